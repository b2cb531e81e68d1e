/* consumer.c - a consumer's life: where it starts, what an update changes, what it reports. */
#include "stream/consumer.h"

#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "stream/consumer_core.h"
#include "subject/subject.h"

int64_t consumer_clock(struct consumer *c, int64_t now) {
    must(c);
    if (now > c->now) c->now = now;
    return c->now;
}

/* ------------------------------------------------------------------------------------------------ where to
 * start */

static struct span filter_at(const struct consumer *c, size_t i) {
    must(i < c->conf.c.filters_count || (i == 0 && c->conf.c.filters_count == 0));
    return c->conf.c.filters_count ? span_of_bytes(c->conf.c.filters[i]) : SPAN_EMPTY;
}

static uint64_t start_last(struct consumer *c) {
    must(c->st->first_seq > 0 || c->st->msgs == 0);
    if (c->conf.c.filters_count == 0) return c->st->last_seq;
    uint64_t seq = 0;
    for (size_t i = 0; i < c->conf.c.filters_count; i++) {
        uint64_t last = stream_seq_last(c->st, filter_at(c, i), false);
        if (last > seq) seq = last;
    }
    return seq;
}

/* The earliest among the last messages of the subjects. */
static uint64_t start_last_per_subject(struct consumer *c) {
    must(c->last_per_subject_until == 0);
    struct stream *st = c->st;
    if (st->conf.c.max_msgs_per_subject == 1) return st->first_seq;
    c->last_per_subject_until = st->last_seq;
    uint64_t seq = 0;
    uint32_t at = 0, id;
    while ((id = subjects_next(&st->subjects, SPAN_EMPTY, &at)) != SUBJECT_NONE) {
        uint64_t last = subjects_at(&st->subjects, id)->last;
        if ((seq == 0 || last < seq) && consumer_matches(c, id)) seq = last;
    }
    return seq ? seq : st->last_seq;
}

/* A start by time is moved up to the first message of a filter that has its first only later: so does
 * nats-server. */
static uint64_t start_by_time(struct consumer *c) {
    must(c->conf.c.deliver == MR_DELIVER_BY_TIME);
    struct stream *st = c->st;
    uint64_t seq = stream_seq_at(st, c->conf.c.opt_start_time), near = st->last_seq;
    for (size_t i = 0; i < c->conf.c.filters_count; i++) {
        uint64_t first = stream_seq_next(st, st->first_seq, filter_at(c, i), false);
        if (first >= seq && first < near) near = first;
    }
    return c->conf.c.filters_count && near > seq && near < st->last_seq ? near : seq;
}

static uint64_t start_seq(struct consumer *c) {
    must(c->st && c->conf.block);
    must(c->st->first_seq <= c->st->last_seq + 1);
    const struct mr_consumer_config *cfg = &c->conf.c;
    const struct stream *st = c->st;
    uint64_t seq = 0;
    switch (cfg->deliver) {
    case MR_DELIVER_ALL: seq = st->first_seq; break;
    case MR_DELIVER_LAST: seq = start_last(c); break;
    case MR_DELIVER_NEW: seq = st->last_seq + 1; break;
    case MR_DELIVER_BY_SEQ: seq = cfg->opt_start_seq; break;
    case MR_DELIVER_BY_TIME: seq = start_by_time(c); break;
    case MR_DELIVER_LAST_PER_SUBJECT: seq = start_last_per_subject(c); break;
    }
    bool given = cfg->deliver == MR_DELIVER_BY_SEQ && cfg->opt_start_seq > 0;
    if (st->first_seq == 0 && !given) return 1;
    if (seq > st->last_seq && !given) return st->last_seq + 1;
    if (seq < st->first_seq) seq = st->first_seq;
    if (seq > INT64_MAX)
        seq = INT64_MAX; /* where no stream comes to, and still a sequence with one behind it */
    return seq ? seq : 1;
}

enum err consumer_init(struct consumer *c, struct stream *st, const struct mr_consumer_config *cfg,
                       int64_t now) {
    must(c && st && cfg);
    must(!st->blank);
    *c = (struct consumer){.st = st, .created = now, .now = now};
    enum err e = consumer_conf_copy(&c->conf, cfg);
    if (e != ERR_OK) return e;
    pending_init(&c->pending);
    if (cfg->backoff_count && (e = pending_use_heap(&c->pending)) != ERR_OK) return e;
    c->next_seq = start_seq(c);
    c->delivered_seq = c->floor_seq = c->next_seq - 1;
    consumer_recount(c);
    c->dirty = c->want_full = true;
    return ERR_OK;
}

void consumer_deinit(struct consumer *c) {
    must(c);
    pending_deinit(&c->pending);
    consumer_conf_deinit(&c->conf);
    free(c->matches);
    free(c->removed);
    free(c->scratch);
    free(c->exceeded);
    *c = (struct consumer){0};
}

/* ------------------------------------------------------------------------------------------------ update */

static bool same_filters(const struct mr_consumer_config *a, const struct mr_consumer_config *b) {
    must(a && b);
    if (a->filters_count != b->filters_count) return false;
    for (size_t i = 0; i < a->filters_count; i++) {
        if (!span_eq(span_of_bytes(a->filters[i]), span_of_bytes(b->filters[i]))) return false;
    }
    return true;
}

enum err consumer_update(struct consumer *c, const struct mr_consumer_config *cfg, int64_t now) {
    must(c->st && c->conf.block);
    must(c && cfg);
    const struct mr_consumer_config *old = &c->conf.c;
    struct mr_consumer_config want = *cfg;
    want.name = old->name;
    want.durable = old->durable;
    want.mem_storage = old->mem_storage;
    want.deliver = old->deliver;
    want.opt_start_seq = old->opt_start_seq;
    want.opt_start_time = old->opt_start_time;
    want.ack = old->ack;
    struct consumer_conf conf;
    enum err e = consumer_conf_copy(&conf, &want);
    if (e != ERR_OK) return e;
    if (cfg->backoff_count && pending_use_heap(&c->pending) != ERR_OK) {
        consumer_conf_deinit(&conf);
        return ERR_NOMEM;
    }
    bool filters = !same_filters(old, &conf.c);
    consumer_clock(c, now);
    consumer_conf_deinit(&c->conf);
    c->conf = conf;
    if (filters) {
        if (c->matches) memset(c->matches, 0, c->matches_cap * sizeof c->matches[0]);
        consumer_recount(c);
    }
    consumer_replace_waiting(c);
    c->dirty = c->want_full = true;
    return ERR_OK;
}

/* ------------------------------------------------------------------------------------------------ filters */

static bool match_name(const struct consumer *c, struct span name) {
    must(name.n > 0);
    must(c->conf.c.filters_count > 0);
    for (size_t i = 0; i < c->conf.c.filters_count; i++) {
        if (subject_match(name, filter_at(c, i))) return true;
    }
    return false;
}

static bool grow_matches(struct consumer *c, uint32_t id) {
    must(id != SUBJECT_NONE);
    if (id < c->matches_cap) return true;
    uint32_t cap = c->matches_cap ? c->matches_cap : 16;
    while (cap <= id) cap *= 2;
    uint32_t *m = realloc(c->matches, cap * sizeof *m);
    if (!m) return false;
    memset(m + c->matches_cap, 0, (cap - c->matches_cap) * sizeof *m);
    c->matches = m;
    c->matches_cap = cap;
    return true;
}

bool consumer_matches_name(const struct consumer *c, struct span subject) {
    must(c && subject.n > 0);
    return c->conf.c.filters_count == 0 || match_name(c, subject);
}

bool consumer_matches(struct consumer *c, uint32_t id) {
    must(c);
    if (c->conf.c.filters_count == 0) return true;
    if (id == SUBJECT_NONE) return false; /* of a message that is lost, see page_cache.c */
    const struct subjects *s = &c->st->subjects;
    if (c->matches_wraps != s->gen_wraps) {
        if (c->matches) memset(c->matches, 0, c->matches_cap * sizeof c->matches[0]);
        c->matches_wraps = s->gen_wraps;
    }
    uint32_t gen = subjects_at(s, id)->gen;
    must(gen > 0 && gen < 1u << 31);
    if (id < c->matches_cap && c->matches[id] >> 1 == gen) return c->matches[id] & 1;
    bool match = match_name(c, subjects_name(s, id));
    if (grow_matches(c, id)) c->matches[id] = gen << 1 | match;
    return match;
}

/* ------------------------------------------------------------------------------------------------ counting
 */

/* Is this the last message of its subject up to `until`? */
static bool is_last(const struct consumer *c, uint64_t seq) {
    must(seq > 0);
    must(seq <= c->last_per_subject_until);
    uint64_t next = stream_next_same(c->st, seq);
    return next == 0 || next > c->last_per_subject_until;
}

bool consumer_wants(struct consumer *c, uint64_t seq) {
    must(seq <= c->st->last_seq);
    const struct index_entry *e = index_get(&c->st->index, seq);
    must(e);
    if (!consumer_matches(c, e->subject)) return false;
    return seq > c->last_per_subject_until || is_last(c, seq);
}

bool consumer_holds(struct consumer *c, uint64_t seq) {
    must(c && seq > 0);
    must(c->next_seq > 0);
    if (seq <= c->floor_seq || !consumer_wants(c, seq)) return false;
    if (seq >= c->next_seq || c->conf.c.ack != MR_ACK_EXPLICIT) return true;
    return pending_find(&c->pending, seq) != PENDING_NONE;
}

void consumer_let_go(struct consumer *c, uint64_t seq) {
    must(c->st && seq > 0);
    must(seq < c->next_seq);
    struct stream *st = c->st;
    if (st->conf.c.retention != MR_RETAIN_LIMITS) st->on_released(st->ctx, st, c, seq);
}

void consumer_recount(struct consumer *c) {
    must(c->next_seq > 0);
    c->num_pending = 0;
    c->counted_seq = c->next_seq - 1;
}

void consumer_state(struct consumer *c, struct mr_consumer_state *out) {
    must(c && out);
    must(c->floor_cseq <= c->delivered_cseq);
    consumer_count(c);
    *out = (struct mr_consumer_state){
        .delivered_consumer_seq = c->delivered_cseq,
        .delivered_stream_seq = c->delivered_seq,
        .floor_consumer_seq = c->floor_cseq,
        .floor_stream_seq = c->floor_seq,
        .num_ack_pending = c->pending.count,
        .num_redelivered = c->conf.c.max_deliver == 1 ? 0 : c->pending.again,
        .num_pending = c->num_pending,
        .delivered_last = c->delivered_last,
        .floor_last = c->floor_last,
        .created = c->created,
    };
}
