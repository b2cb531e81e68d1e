/* engine_model.c - see engine_model.h. Pure bookkeeping; a broken promise prints one line and ends the
 * process. */
#include "sim/engine_model.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/must.h"

void model_fail(const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    _exit(1);
}

#define ULL(x) ((unsigned long long)(x))

/* --- contents --- */

struct mr_bytes model_payload(uint64_t instance, uint64_t content) {
    static uint8_t buf[M_PAYLOAD + 8];
    struct rng r = {mix64(instance * 1000003 + content)};
    uint64_t kind = rng_below(&r, 100);
    size_t n = 16 + (kind < 90   ? rng_below(&r, 600)
                     : kind < 96 ? rng_below(&r, 9000)
                                 : rng_below(&r, M_PAYLOAD - 16));
    for (size_t i = 0; i < n; i += 8) store64(buf + i, rng_next(&r));
    store64(buf, instance);
    store64(buf + 8, content);
    return (struct mr_bytes){buf, n};
}

struct mr_bytes model_subject(uint64_t content) {
    static char buf[16];
    int n = snprintf(buf, sizeof buf, "s.%u", (unsigned)(content % 5));
    return (struct mr_bytes){(const uint8_t *)buf, (size_t)n};
}

struct mr_bytes model_header(uint64_t id) {
    static char buf[64];
    int n = id && id % 2 == 0 ? snprintf(buf, sizeof buf, "NATS/1.0\r\nNats-Msg-Id: id-%llu\r\n\r\n", ULL(id))
                              : 0;
    return (struct mr_bytes){(const uint8_t *)buf, (size_t)n};
}

struct mr_bytes model_id(uint64_t id) {
    static char buf[32];
    int n = snprintf(buf, sizeof buf, "id-%llu", ULL(id));
    return (struct mr_bytes){(const uint8_t *)buf, (size_t)n};
}

struct mr_bytes model_extra(uint64_t instance, uint32_t version) {
    static uint8_t buf[12];
    store64(buf, instance);
    store32(buf + 8, version);
    return (struct mr_bytes){buf, sizeof buf};
}

/* --- life --- */

void model_init(struct model *m) {
    *m = (struct model){0};
    for (int i = 0; i < M_STREAMS; i++) {
        struct m_stream *s = &m->streams[i];
        s->msgs = calloc(M_MSGS, sizeof *s->msgs);
        for (int k = 0; k < M_CONSUMERS; k++) s->consumers[k].acks = calloc(M_MSGS, sizeof(struct m_ack));
    }
}

void model_deinit(struct model *m) {
    for (int i = 0; i < M_STREAMS; i++) {
        free(m->streams[i].msgs);
        for (int k = 0; k < M_CONSUMERS; k++) free(m->streams[i].consumers[k].acks);
    }
}

void model_consumer_reset(struct m_consumer *c, uint64_t instance) {
    struct m_ack *acks = c->acks;
    memset(acks, 0, M_MSGS * sizeof *acks);
    *c = (struct m_consumer){.acks = acks, .instance = instance};
}

void model_stream_reset(struct m_stream *s, uint64_t instance) {
    struct m_stream empty = {.msgs = s->msgs, .instance = instance};
    memset(s->msgs, 0, M_MSGS * sizeof *s->msgs);
    for (int k = 0; k < M_CONSUMERS; k++) {
        model_consumer_reset(&s->consumers[k], 0);
        empty.consumers[k] = s->consumers[k];
    }
    *s = empty;
}

void model_check_view(const struct m_stream *s, const struct mr_msg_view *v) {
    if (v->seq == 0 || v->seq > s->last)
        model_fail("stream %llu has an invented sequence %llu", ULL(s->instance), ULL(v->seq));
    const struct m_msg *m = &s->msgs[v->seq];
    if (m->state == MSG_NONE || m->state == MSG_GONE)
        model_fail("stream %llu: sequence %llu came back", ULL(s->instance), ULL(v->seq));
    struct mr_bytes p = model_payload(s->instance, m->content), subject = model_subject(m->content),
                    hdr = model_header(m->id);
    bool same = v->msg.payload.n == p.n && memcmp(v->msg.payload.p, p.p, p.n) == 0 &&
                v->msg.subject.n == subject.n && memcmp(v->msg.subject.p, subject.p, subject.n) == 0 &&
                v->msg.hdr.n == hdr.n && (hdr.n == 0 || memcmp(v->msg.hdr.p, hdr.p, hdr.n) == 0);
    if (!same) model_fail("stream %llu: sequence %llu has another content", ULL(s->instance), ULL(v->seq));
}

/* --- retention --- */

bool model_matches(const struct m_consumer *c, uint64_t content) {
    return c->filter < 0 || content % 5 == (uint64_t)c->filter;
}

bool model_wanted(const struct m_stream *s, uint64_t content) {
    for (int k = 0; k < M_CONSUMERS; k++)
        if (s->consumers[k].c && model_matches(&s->consumers[k], content)) return true;
    return s->retention != MR_RETAIN_INTEREST;
}

enum held { HELD_NOT, HELD_MAYBE, HELD };

/* By consumers of this life; one that acknowledged in an earlier life may have lost that. */
static enum held held(const struct m_stream *s, uint64_t seq) {
    enum held most = HELD_NOT;
    for (int k = 0; k < M_CONSUMERS; k++) {
        const struct m_consumer *c = &s->consumers[k];
        const struct m_ack *a = &c->acks[seq];
        if (!c->c || !model_matches(c, s->msgs[seq].content)) continue;
        if (a->state == ACK_NOT) return HELD;
        if (a->state == ACK_ASKED && !a->this_life) most = HELD_MAYBE;
    }
    return most;
}

static bool alive(const struct m_msg *m);

void model_let_go(struct m_stream *s, uint64_t seq, uint64_t op) {
    struct m_msg *x = &s->msgs[seq];
    enum held h = s->retention == MR_RETAIN_WORKQUEUE ? HELD_NOT : held(s, seq);
    if (s->retention == MR_RETAIN_LIMITS || h == HELD || !alive(x)) return;
    x->state = h == HELD_MAYBE ? MSG_MAYBE : MSG_LEAVING;
    x->released = true;
    x->op = op;
}

void model_consumer_gone(struct m_stream *s, uint64_t op) {
    for (uint64_t seq = 1; s->retention == MR_RETAIN_INTEREST && seq <= s->last; seq++) {
        struct m_msg *x = &s->msgs[seq];
        enum held h = alive(x) ? held(s, seq) : HELD;
        if (h == HELD) continue;
        x->state = h == HELD_MAYBE ? MSG_MAYBE : MSG_LEAVING;
        x->released = false;
        x->op = op;
    }
}

static bool alive(const struct m_msg *m) { return m->state == MSG_TAIL || m->state == MSG_KEPT; }

void model_limit(struct m_stream *s, uint64_t op) {
    if (s->max_msgs <= 0) return;
    int64_t live = 0;
    for (uint64_t seq = s->last; seq > 0; seq--) {
        if (!alive(&s->msgs[seq]) || ++live <= s->max_msgs) continue;
        s->msgs[seq].state = MSG_LEAVING;
        s->msgs[seq].released = false;
        s->msgs[seq].op = op;
    }
}

/* --- what is certain --- */

static void consumer_sure(struct m_consumer *c, uint64_t op, uint64_t last) {
    if (c->op > op) return;
    if (c->state == OBJ_COMING) c->state = OBJ_THERE;
    if (c->state == OBJ_LEAVING) c->state = OBJ_FREE;
    for (uint64_t seq = 1; seq <= last; seq++) {
        struct m_ack *a = &c->acks[seq];
        if (a->state == ACK_ASKED && a->this_life && a->op <= op) a->state = ACK_SURE;
    }
}

void model_stream_sure(struct m_stream *s, uint64_t op, bool whole) {
    for (uint64_t seq = 1; seq <= s->last; seq++) {
        struct m_msg *x = &s->msgs[seq];
        if (x->state == MSG_LEAVING && x->op <= op && (whole || !x->released)) x->state = MSG_GONE;
    }
    if (!whole || s->op > op) return;
    if (s->state == OBJ_COMING) s->state = OBJ_THERE;
    if (s->state == OBJ_LEAVING) s->state = OBJ_FREE;
    if (s->version_op <= op) s->version_sure = s->version;
    for (int k = 0; k < M_CONSUMERS; k++) consumer_sure(&s->consumers[k], op, s->last);
}

void model_life_ends(struct model *m, bool orderly) {
    for (int i = 0; i < M_STREAMS; i++) {
        struct m_stream *s = &m->streams[i];
        s->s = NULL;
        if (s->memory) {
            model_stream_reset(s, 0);
            continue;
        }
        for (uint64_t seq = 1; orderly && seq <= s->last; seq++)
            if (s->msgs[seq].state == MSG_TAIL) s->msgs[seq].state = MSG_KEPT;
        if (orderly) model_stream_sure(s, UINT64_MAX, true);
        for (int k = 0; k < M_CONSUMERS; k++) {
            s->consumers[k].c = NULL;
            for (uint64_t seq = 0; seq < M_MSGS; seq++) s->consumers[k].acks[seq].this_life = false;
        }
    }
}

/* --- the judgement --- */

struct judge {
    struct model *m;
    struct mr_shard **shards;
    enum mr_status (*get)(void *ctx, struct mr_stream *s, uint64_t seq, struct mr_msg_view *v);
    void *ctx;
};

static void judge_present(const struct judge *j, struct m_stream *s, uint64_t seq,
                          const struct mr_msg_view *v) {
    struct m_msg *x = &s->msgs[seq];
    if (x->state == MSG_GONE && j->m->relaxed) x->state = MSG_LEAVING;
    model_check_view(s, v);
    x->state = MSG_KEPT;
    x->promised = true;
    if (x->id) x->id_known = true;
}

/* found: the last sequence of the stream as it is. */
static void judge_absent(const struct judge *j, struct m_stream *s, uint64_t seq, uint64_t found) {
    struct m_msg *x = &s->msgs[seq];
    bool relaxed = j->m->relaxed && seq > found;
    if (x->state == MSG_KEPT && !relaxed)
        model_fail("P1: stream %llu lost sequence %llu of %llu", ULL(s->instance), ULL(seq), ULL(found));
    if (x->state == MSG_TAIL && seq <= found)
        model_fail("P2: stream %llu has %llu, but not %llu before it", ULL(s->instance), ULL(found),
                   ULL(seq));
    if (x->promised && seq > found && !j->m->relaxed)
        model_fail("P3: stream %llu went back to %llu, %llu was promised", ULL(s->instance), ULL(found),
                   ULL(seq));
    if (!x->promised || seq > found) x->id_known = false;
    x->state = seq > found ? MSG_NONE : MSG_GONE;
    if (seq > found) x->promised = false;
}

/* A failing disk may leave what looks like damage; sequences it may have held are left out, never used twice.
 */
static bool damage_was_told(const struct judge *j, const struct m_stream *s) {
    struct mr_shard_stats st;
    mr_shard_stats(j->shards[s->shard], &st);
    return st.damaged_records > 0;
}

static void judge_messages(const struct judge *j, struct m_stream *s) {
    struct mr_stream_state st;
    mr_stream_state(s->s, &st);
    j->m->passed_over = st.last_seq > s->last && damage_was_told(j, s);
    if (j->m->passed_over) return;
    if (st.last_seq > s->last)
        model_fail("stream %llu: sequences up to %llu are invented", ULL(s->instance), ULL(st.last_seq));
    if (st.visible_seq != st.last_seq)
        model_fail("stream %llu: not everything found is visible", ULL(s->instance));
    if (st.lost_msgs) model_fail("stream %llu: says that it lost messages", ULL(s->instance));
    uint64_t live = 0;
    for (uint64_t seq = 1; seq <= s->last; seq++) {
        struct mr_msg_view v;
        if (s->msgs[seq].state == MSG_NONE) continue;
        if (j->get(j->ctx, s->s, seq, &v) == MR_OK) {
            judge_present(j, s, seq, &v);
            live++;
        } else {
            judge_absent(j, s, seq, st.last_seq);
        }
    }
    if (live != st.msgs)
        model_fail("stream %llu: %llu messages, says %llu", ULL(s->instance), ULL(live), ULL(st.msgs));
    if (s->max_msgs > 0 && st.msgs > (uint64_t)s->max_msgs)
        model_fail("stream %llu: above its limit", ULL(s->instance));
    s->last = st.last_seq;
}

static void judge_consumer(const struct judge *j, struct m_stream *s, struct m_consumer *c) {
    struct mr_consumer_state st;
    mr_consumer_state(c->c, &st);
    for (uint64_t seq = s->last + 1; seq < M_MSGS; seq++) {
        if (c->acks[seq].confirmed || (c->acks[seq].state == ACK_SURE && !j->m->relaxed))
            model_fail("stream %llu: %llu was acknowledged and is not there", ULL(s->instance), ULL(seq));
        c->acks[seq] = (struct m_ack){0};
    }
    for (uint64_t seq = 1; seq <= s->last; seq++) {
        struct m_ack *a = &c->acks[seq];
        if (j->m->relaxed && a->state == ACK_SURE && !a->confirmed) a->state = ACK_ASKED;
        bool its = model_matches(c, s->msgs[seq].content);
        if (its && seq <= st.floor_stream_seq && s->msgs[seq].state == MSG_KEPT && a->state == ACK_NOT)
            model_fail("P7: stream %llu: the floor is %llu, but %llu was not acknowledged", ULL(s->instance),
                       ULL(st.floor_stream_seq), ULL(seq));
    }
}

static bool extra_of(struct mr_bytes extra, uint64_t *instance, uint32_t *version) {
    if (extra.n != 12) return false;
    *instance = load64(extra.p);
    *version = load32(extra.p + 8);
    return true;
}

static void find_consumers(const struct judge *j, struct m_stream *s) {
    for (int k = 0; k < M_CONSUMERS; k++) {
        struct m_consumer *c = &s->consumers[k];
        char name[8];
        int n = snprintf(name, sizeof name, "C%d", k);
        c->c = mr_consumer_find(s->s, (struct mr_bytes){(uint8_t *)name, (size_t)n});
        uint64_t instance = 0;
        uint32_t version;
        if (c->c &&
            (!extra_of(mr_consumer_config(c->c)->extra, &instance, &version) || instance != c->instance))
            model_fail("stream %llu: consumer %d is another one", ULL(s->instance), k);
        if (c->c && c->state == OBJ_FREE)
            model_fail("stream %llu: consumer %d came back", ULL(s->instance), k);
        if (!c->c && c->state == OBJ_THERE && !j->m->relaxed)
            model_fail("stream %llu: consumer %d is missing", ULL(s->instance), k);
        if (c->c) {
            c->state = OBJ_THERE;
            judge_consumer(j, s, c);
        } else {
            model_consumer_reset(c, 0);
        }
    }
}

/* Nothing is kept that everybody let go of; what a work queue has was not acknowledged. */
static void judge_kept(struct m_stream *s) {
    for (uint64_t seq = 1; s->retention != MR_RETAIN_LIMITS && seq <= s->last; seq++) {
        if (s->msgs[seq].state != MSG_KEPT) continue;
        if (s->retention == MR_RETAIN_INTEREST && held(s, seq) == HELD_NOT)
            model_fail("P10: stream %llu: %llu is kept for nobody", ULL(s->instance), ULL(seq));
        for (int k = 0; s->retention == MR_RETAIN_WORKQUEUE && k < M_CONSUMERS; k++)
            s->consumers[k].acks[seq].state = ACK_NOT;
    }
}

static void judge_stream(const struct judge *j, struct m_stream *s) {
    uint64_t instance;
    uint32_t version;
    if (!extra_of(mr_stream_config(s->s)->extra, &instance, &version) || instance != s->instance)
        model_fail("stream %llu is another one", ULL(s->instance));
    if (s->state == OBJ_FREE) model_fail("stream %llu came back", ULL(s->instance));
    uint32_t least = j->m->relaxed ? 0 : s->version_sure;
    if (version < least || version > s->version)
        model_fail("stream %llu: configuration %u, not %u to %u", ULL(s->instance), version, least,
                   s->version);
    s->version = s->version_sure = version;
    s->max_msgs = mr_stream_config(s->s)->max_msgs;
    if (mr_stream_config(s->s)->retention != s->retention)
        model_fail("stream %llu: another retention", ULL(s->instance));
    s->state = OBJ_THERE;
    judge_messages(j, s);
    if (j->m->passed_over) return;
    find_consumers(j, s);
    judge_kept(s);
}

static struct mr_stream *find_stream(int i, struct mr_shard **shards, uint32_t count, uint32_t *shard) {
    char name[8];
    int n = snprintf(name, sizeof name, "S%d", i);
    struct mr_stream *found = NULL;
    for (uint32_t k = 0; k < count; k++) {
        struct mr_stream *s = mr_stream_find(shards[k], (struct mr_bytes){(uint8_t *)name, (size_t)n});
        if (s && found) model_fail("stream %s is on two shards", name);
        if (s) *shard = k;
        if (s) found = s;
    }
    return found;
}

void model_judge(struct model *m, struct mr_shard **shards, uint32_t count,
                 enum mr_status (*get)(void *ctx, struct mr_stream *s, uint64_t seq, struct mr_msg_view *v),
                 void *ctx) {
    struct judge j = {m, shards, get, ctx};
    size_t there = 0, found = 0;
    for (int i = 0; i < M_STREAMS; i++) {
        struct m_stream *s = &m->streams[i];
        s->s = find_stream(i, shards, count, &s->shard);
        s->reported = 0;
        if (s->s) {
            judge_stream(&j, s);
            if (m->passed_over) return;
            there++;
            continue;
        }
        if (s->state == OBJ_THERE && !m->relaxed) model_fail("stream %llu is missing", ULL(s->instance));
        model_stream_reset(s, 0);
    }
    for (uint32_t k = 0; k < count; k++)
        for (struct mr_stream *s = NULL; (s = mr_stream_next(shards[k], s));) found++;
    if (found != there) model_fail("%zu streams, not %zu", found, there);
}
