/* sim_engine.c - random work on streams and consumers over the simulated disk, with the machine stopping
 * anywhere.
 *
 *     sim_engine --seed N               one seed; prints a trace that a second run repeats
 *     sim_engine --seeds A..B           many; the last line is "N passed, N failed"
 *     sim_engine ... --break WHAT       the disk breaks a promise (dsync, fsync, dirsync), or compaction
 *                                       forgets a step (place, ask): seeds must fail then
 *
 * A seed is a handful of lives of one folder, each with one to three shards on one loop: open (which may be
 * cut short), judge what is there (engine_model.h), work, and an end: a power cut, a kill, a failing write,
 * an orderly close. At last everything that is left is delivered and acknowledged. Each seed runs in a child
 * process. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/must.h"
#include "engine.h"
#include "sim/engine_digest.h"
#include "sim/engine_model.h"
#include "sim/sim_io.h"
#include "store/core.h"
#include "store/frame.h"

enum { SHARDS_MAX = 3, LIVES_MAX = 6, JOBS_MAX = 4, BREAK_PLACE = SIM_NO_DIRSYNC + 1 };
#define ULL(x) ((unsigned long long)(x))

/* What all seeds did, in memory they share: a simulator that never compacts proves nothing about it. */
static struct coverage { uint64_t emptied, moved, passed_over; } * covered;

struct sim_run {
    struct sim_disk *disk;
    struct model m;
    struct rng rng, crash_rng;
    struct io *io;
    struct mr_env *env;
    struct mr_shard *shards[SHARDS_MAX];
    uint32_t shards_count;
    enum mr_sync sync;
    int64_t interval_ns;
    uint64_t segment_bytes, checkpoint_bytes;
    uint64_t by_root, checkpoints, bitten; /* openings; checkpoints that stood, that were damaged */
    enum sim_crash crash;
    bool faults, forgets /* a step of compaction */, long_lives;
    uint64_t done;
};

/* What an operation says of itself when it is done. */
struct note {
    uint64_t stream, instance, consumer, seq, op;
};

static uint64_t below(struct sim_run *r, uint64_t n) { return rng_below(&r->rng, n); }
static bool chance(struct sim_run *r, unsigned percent) { return below(r, 100) < percent; }
static bool dead(struct sim_run *r) { return sim_io_dead(r->io); }
static struct mr_bytes bytes(const char *s) { return (struct mr_bytes){(const uint8_t *)s, strlen(s)}; }

/* --- what the engine reports --- */

static void append_done(struct sim_run *r, const struct note *n, const struct mr_done *d) {
    struct m_stream *s = &r->m.streams[n->stream];
    if (s->instance != n->instance) return; /* deleted meanwhile */
    if (d->status != MR_OK) return;
    if (d->seq != n->seq) model_fail("done names sequence %llu, not %llu", ULL(d->seq), ULL(n->seq));
    if (n->seq <= s->reported)
        model_fail("stream %llu: %llu reported behind %llu", ULL(n->instance), ULL(n->seq), ULL(s->reported));
    s->reported = n->seq;
    struct m_msg *x = &s->msgs[n->seq];
    if (x->state == MSG_TAIL) x->state = MSG_KEPT;
    x->promised = true;
    model_stream_sure(s, n->op, false);
}

static void ack_done(struct sim_run *r, const struct note *n, const struct mr_done *d) {
    struct m_stream *s = &r->m.streams[n->stream];
    struct m_consumer *c = &s->consumers[n->consumer & 7];
    if (d->status != MR_OK || s->instance != n->instance || c->instance != n->consumer >> 3) return;
    c->acks[n->seq].state = ACK_SURE;
    c->acks[n->seq].confirmed = !s->memory;
    struct m_msg *x = &s->msgs[n->seq];
    if (x->state == MSG_LEAVING && x->released && x->op <= n->op) x->state = MSG_GONE;
}

static void barrier_done(struct sim_run *r, const struct note *n, const struct mr_done *d) {
    if (d->status != MR_OK || r->sync != MR_SYNC_ALWAYS) return;
    for (int i = 0; i < M_STREAMS; i++) {
        struct m_stream *s = &r->m.streams[i];
        if (s->state != OBJ_FREE && s->shard == n->stream) model_stream_sure(s, n->op, true);
    }
}

static void on_done(void *ctx, const struct mr_done *done, size_t count) {
    struct sim_run *r = ctx;
    for (size_t i = 0; i < count; i++) {
        struct note n;
        must(done[i].note.n == sizeof n);
        memcpy(&n, done[i].note.p, sizeof n);
        bool sound = !r->faults && !dead(r);
        if (done[i].status != MR_OK && sound && done[i].status != MR_NOSPC)
            model_fail("an operation failed on a sound disk: %s", mr_status_text(done[i].status));
        if (done[i].kind == MR_DONE_APPEND) append_done(r, &n, &done[i]);
        if (done[i].kind == MR_DONE_ACK) ack_done(r, &n, &done[i]);
        if (done[i].kind == MR_DONE_BARRIER) barrier_done(r, &n, &done[i]);
        r->done++;
    }
}
static void on_ready(void *ctx, struct mr_consumer *c) {
    (void)ctx;
    must(mr_consumer_stream(c) != NULL);
}
static void on_log(void *ctx, enum mr_log_level level, const char *text) {
    (void)ctx;
    if (getenv("VERBOSE")) fprintf(stderr, "  [%d] %s\n", (int)level, text);
}

/* Copies the message, gives the original up, and forgets now and then to remember where the copy lies. */
static enum err forget_place(void *ctx, const struct rec *r, uint64_t loc) {
    struct shard_log *l = ctx;
    enum err e = compact_move(l, r, loc);
    if (e || r->seq % 8) return e;
    struct mr_stream *s = map_u64_get(&l->streams, r->stream);
    struct stream_put p = {.seq = r->seq, .loc = loc, .ts = r->ts, .subject = r->subject};
    return stream_moved(&s->st, &p);
}

static void forget(struct sim_run *r) {
    for (uint32_t i = 0; i < r->shards_count; i++)
        for (size_t k = 0; k < r->shards[i]->logs_count; k++)
            r->shards[i]->logs[k].store->owner.move = forget_place;
}

static void turn(struct sim_run *r, uint64_t most_ns) {
    uint64_t until = io_now(r->io) + most_ns;
    for (uint32_t i = 0; i < r->shards_count; i++) {
        mr_shard_tick(r->shards[i]);
        uint64_t at = mr_shard_deadline(r->shards[i]);
        if (at < until) until = at;
    }
    io_tick(r->io, until);
}

/* --- operations --- */

static bool refused(struct sim_run *r, enum mr_status st) {
    if (st == MR_OK) return false;
    bool expected = st == MR_BUSY || st == MR_NOSPC || st == MR_FAILED;
    if (!expected || (st == MR_FAILED && !r->faults && !dead(r)))
        model_fail("refused: %s", mr_status_text(st));
    return true;
}

static struct mr_bytes noted(struct note *n) { return (struct mr_bytes){(const uint8_t *)n, sizeof *n}; }

static void configure(const struct m_stream *s, char name[8], int i, struct mr_stream_config *cfg) {
    static const struct mr_bytes subjects[] = {{(const uint8_t *)"s.*", 3}};
    snprintf(name, 8, "S%d", i);
    *cfg = (struct mr_stream_config){.size = sizeof *cfg,
                                     .name = bytes(name),
                                     .subjects = subjects,
                                     .subjects_count = 1,
                                     .storage = s->memory ? MR_MEMORY : MR_FILE,
                                     .retention = s->retention,
                                     .max_msgs = s->max_msgs ? s->max_msgs : -1,
                                     .max_bytes = -1,
                                     .max_msg_size = -1,
                                     .max_msgs_per_subject = -1,
                                     .max_consumers = -1,
                                     .duplicate_window_ns = INT64_C(24) * 3600 * 1000000000,
                                     .extra = model_extra(s->instance, s->version)};
}

static void do_create(struct sim_run *r, int i) {
    struct m_stream *s = &r->m.streams[i];
    model_stream_reset(s, ++r->m.instances);
    s->memory = chance(r, 15);
    s->max_msgs = chance(r, 50) ? 0 : 3 + (int64_t)below(r, 40);
    s->retention = chance(r, 40)   ? MR_RETAIN_LIMITS
                   : chance(r, 50) ? MR_RETAIN_WORKQUEUE
                                   : MR_RETAIN_INTEREST;
    if (s->retention == MR_RETAIN_INTEREST)
        s->max_msgs = 0; /* what lost acknowledgements leave is not known */
    s->op = ++r->m.ops;
    char name[8];
    struct mr_stream_config cfg;
    configure(s, name, i, &cfg);
    s->shard = (uint32_t)below(r, r->shards_count);
    if (refused(r, mr_stream_create(r->shards[s->shard], &cfg, io_wall(r->io), &s->s))) {
        model_stream_reset(s, 0);
        return;
    }
    s->state = OBJ_COMING;
}

static void do_update(struct sim_run *r, int i) {
    struct m_stream *s = &r->m.streams[i];
    if (s->version_op > s->op && s->version != s->version_sure) return; /* one at a time */
    int64_t before = s->max_msgs;
    if (s->max_msgs) s->max_msgs = 3 + (int64_t)below(r, 40);
    s->version++;
    char name[8];
    struct mr_stream_config cfg;
    configure(s, name, i, &cfg);
    if (refused(r, mr_stream_update(s->s, &cfg, io_wall(r->io)))) {
        s->version--;
        s->max_msgs = before;
        return;
    }
    s->version_op = ++r->m.ops;
    model_limit(s, UINT64_MAX); /* certain with an orderly end only: its record comes when there is room */
}

static void do_delete_stream(struct sim_run *r, int i) {
    struct m_stream *s = &r->m.streams[i];
    if (refused(r, mr_stream_delete(s->s))) return;
    if (s->memory) {
        model_stream_reset(s, 0);
        return;
    }
    s->s = NULL;
    s->op = ++r->m.ops;
    s->state = OBJ_LEAVING;
    for (int k = 0; k < M_CONSUMERS; k++) s->consumers[k].c = NULL;
}

static void do_append(struct sim_run *r, int i) {
    struct m_stream *s = &r->m.streams[i];
    if (s->last + 2 >= M_MSGS) return;
    uint64_t content = ++r->m.contents, id = chance(r, 30) ? content : 0, op = r->m.ops + 1;
    struct note n = {.stream = (uint64_t)i, .instance = s->instance, .seq = s->last + 1, .op = op};
    struct mr_msg msg = {model_subject(content), model_header(id), model_payload(s->instance, content)};
    struct mr_append_opts o = {.want_done = chance(r, 90), .note = noted(&n)};
    if (id) o.msg_id = model_id(id);
    struct mr_append_result res;
    if (refused(r, mr_append(s->s, &msg, &o, &res))) return;
    if (res.seq != s->last + 1)
        model_fail("stream %llu: sequence %llu after %llu", ULL(s->instance), ULL(res.seq), ULL(s->last));
    r->m.ops = op;
    s->last = res.seq;
    enum msg_state state = model_wanted(s, content) ? MSG_TAIL : MSG_GONE;
    s->msgs[s->last] =
        (struct m_msg){.content = content, .id = id, .op = op, .state = (uint8_t)state, .id_known = id != 0};
    model_limit(s, op);
}

/* An id that must be known is refused, with its sequence. */
static void do_duplicate(struct sim_run *r, int i) {
    struct m_stream *s = &r->m.streams[i];
    if (!s->last) return;
    uint64_t seq = 1 + below(r, s->last);
    const struct m_msg *x = &s->msgs[seq];
    if (!x->id_known) return;
    struct mr_msg msg = {model_subject(1), model_header(x->id), bytes("again")};
    struct mr_append_opts o = {.msg_id = model_id(x->id)};
    struct mr_append_result res;
    enum mr_status st = mr_append(s->s, &msg, &o, &res);
    if (st == MR_FAILED && r->faults) return; /* a failed log may refuse without a look at the id */
    if (st != MR_DUPLICATE || res.seq != seq)
        model_fail("P8: stream %llu: id of %llu: %s, sequence %llu", ULL(s->instance), ULL(seq),
                   mr_status_text(st), ULL(res.seq));
}

static void do_delete(struct sim_run *r, int i) {
    struct m_stream *s = &r->m.streams[i];
    if (!s->last) return;
    uint64_t seq = 1 + below(r, s->last);
    struct m_msg *x = &s->msgs[seq];
    bool live = x->state == MSG_TAIL || x->state == MSG_KEPT, known = x->state != MSG_MAYBE;
    enum mr_status st = mr_delete(s->s, seq, chance(r, 20));
    if (known && (st == MR_NONE ? live : st == MR_OK && !live))
        model_fail("delete of %llu: %s", ULL(seq), mr_status_text(st));
    if (st == MR_NONE || refused(r, st)) return;
    x->state = MSG_LEAVING;
    x->released = false;
    x->op = ++r->m.ops;
}

static void do_purge(struct sim_run *r, int i) {
    struct m_stream *s = &r->m.streams[i];
    uint64_t keep = chance(r, 50) ? 1 + below(r, 20) : 0, purged, live = 0;
    for (uint64_t seq = 1; seq <= s->last; seq++)
        if (s->msgs[seq].state == MSG_MAYBE) return; /* how many there are is not known */
    if (refused(r, mr_purge(s->s, (struct mr_bytes){0}, 0, keep, &purged))) return;
    r->m.ops++;
    for (uint64_t seq = s->last; seq > 0; seq--) {
        struct m_msg *x = &s->msgs[seq];
        if ((x->state != MSG_TAIL && x->state != MSG_KEPT) || live++ < keep) continue;
        x->state = MSG_LEAVING;
        x->released = false;
        x->op = r->m.ops;
    }
    if (purged != (live > keep ? live - keep : 0))
        model_fail("purge took %llu of %llu, kept %llu", ULL(purged), ULL(live), ULL(keep));
}

static void do_barrier(struct sim_run *r) {
    uint32_t k = (uint32_t)below(r, r->shards_count);
    struct note n = {.stream = k, .op = r->m.ops};
    (void)refused(r, mr_barrier(r->shards[k], NULL, 0, noted(&n)));
}

static enum mr_status get_waiting(void *ctx, struct mr_stream *s, uint64_t seq, struct mr_msg_view *v);

static void do_get(struct sim_run *r, int i) {
    struct m_stream *s = &r->m.streams[i];
    if (!s->last) return;
    uint64_t seq = 1 + below(r, s->last);
    struct mr_wait w = {0};
    struct mr_msg_view v;
    enum mr_status st = mr_get(s->s, seq, true, &w, &v);
    const struct m_msg *x = &s->msgs[seq];
    bool sound = !r->faults && !dead(r);
    if (st == MR_OK) model_check_view(s, &v);
    if (st == MR_OK && x->state == MSG_TAIL && x->promised) model_fail("a promised message is in the tail");
    if (st == MR_OK && x->state == MSG_LEAVING)
        model_fail("stream %llu: removed %llu is shown", ULL(s->instance), ULL(seq));
    if (st != MR_OK && st != MR_LATER && x->state == MSG_KEPT && sound)
        model_fail("stream %llu: %llu does not read: %s", ULL(s->instance), ULL(seq), mr_status_text(st));
    mr_wait_cancel(&w);
}

/* --- consumers --- */

static void do_consumer(struct sim_run *r, int i, int k) {
    struct m_stream *s = &r->m.streams[i];
    struct m_consumer *c = &s->consumers[k];
    if (c->c && chance(r, 90)) return;
    if (c->c) {
        if (refused(r, mr_consumer_delete(c->c))) return;
        c->c = NULL;
        c->op = ++r->m.ops;
        c->state = OBJ_LEAVING;
        model_consumer_gone(s, c->op);
        if (s->memory) model_consumer_reset(c, 0);
        return;
    }
    if (c->state != OBJ_FREE) return;
    model_consumer_reset(c, ++r->m.instances);
    c->filter = s->retention == MR_RETAIN_WORKQUEUE ? k : chance(r, 50) ? -1 : (int)below(r, 5);
    struct mr_bytes filter = model_subject((uint64_t)(c->filter + 5));
    char name[8];
    snprintf(name, sizeof name, "C%d", k);
    struct mr_consumer_config cfg = {.size = sizeof cfg,
                                     .name = bytes(name),
                                     .durable = true,
                                     .filters = &filter,
                                     .filters_count = c->filter >= 0,
                                     .ack = MR_ACK_EXPLICIT,
                                     .ack_wait_ns = 1000 * 1000 * (int64_t)(20 + below(r, 2000)),
                                     .max_deliver = -1,
                                     .max_ack_pending = 1 + (int64_t)below(r, 300),
                                     .extra = model_extra(c->instance, 0)};
    if (refused(r, mr_consumer_create(s->s, &cfg, io_wall(r->io), &c->c))) {
        model_consumer_reset(c, 0);
        return;
    }
    c->op = ++r->m.ops;
    c->state = OBJ_COMING;
}

static void answer(struct sim_run *r, int i, int k, const struct mr_delivery *d) {
    struct m_stream *s = &r->m.streams[i];
    struct m_consumer *c = &s->consumers[k];
    struct note n = {.stream = (uint64_t)i,
                     .instance = s->instance,
                     .consumer = c->instance << 3 | (uint64_t)k,
                     .seq = d->view.seq,
                     .op = r->m.ops + 1};
    struct mr_ack a = {
        .kind = MR_ACK, .seq = d->view.seq, .consumer_seq = d->consumer_seq, .note = noted(&n)};
    a.want_done = r->m.draining || chance(r, 40);
    if (!r->m.draining && chance(r, 15))
        a.kind = MR_NAK, a.want_done = false, a.delay_ns = (int64_t)below(r, 50) * 1000000;
    enum mr_status st = mr_consumer_ack(c->c, &a, io_wall(r->io));
    if (refused(r, st) || a.kind != MR_ACK) return;
    struct m_ack *x = &c->acks[d->view.seq];
    if (x->state != ACK_SURE)
        *x = (struct m_ack){.op = ++r->m.ops, .state = ACK_ASKED, .delivered = x->delivered};
    x->this_life = true;
    model_let_go(s, d->view.seq, x->state == ACK_ASKED ? x->op : r->m.ops);
}

static enum mr_status do_next(struct sim_run *r, int i, int k) {
    struct m_stream *s = &r->m.streams[i];
    struct m_consumer *c = &s->consumers[k];
    if (!c->c) return MR_NONE;
    struct mr_delivery d;
    enum mr_status st = mr_consumer_next(c->c, io_wall(r->io), 0, 0, &d);
    if (st != MR_OK) {
        if (st != MR_NONE && st != MR_BUSY && st != MR_LATER) model_fail("next: %s", mr_status_text(st));
        return st;
    }
    model_check_view(s, &d.view);
    const struct m_msg *m = &s->msgs[d.view.seq];
    struct m_ack *a = &c->acks[d.view.seq];
    if (m->state == MSG_LEAVING)
        model_fail("stream %llu: removed %llu is delivered", ULL(s->instance), ULL(d.view.seq));
    if (a->state == ACK_SURE || a->this_life)
        model_fail("P7: stream %llu: %llu was acknowledged%s%s%s and comes again, delivery %llu",
                   ULL(s->instance), ULL(d.view.seq), a->state == ACK_SURE ? " surely" : "",
                   a->confirmed ? ", confirmed" : "", a->this_life ? " in this life" : "", ULL(d.deliveries));
    a->state = ACK_NOT; /* asked for in an earlier life and lost with it */
    a->delivered = true;
    if (r->m.draining || chance(r, 80)) answer(r, i, k, &d);
    return MR_OK;
}

/* --- work --- */

static void ask_checkpoint(struct sim_run *r) {
    enum mr_status st = mr_checkpoint(r->shards[below(r, r->shards_count)]);
    if (st != MR_OK && st != MR_FAILED) model_fail("checkpoint: %s", mr_status_text(st));
}

static int some_stream(struct sim_run *r) { return (int)below(r, M_STREAMS); }

static void on_stream(struct sim_run *r, int i) {
    uint64_t what = below(r, 1000);
    int k = (int)below(r, M_CONSUMERS);
    if (what < 550) {
        do_append(r, i);
    } else if (what < 850) {
        do_next(r, i, k);
    } else if (what < 880) {
        do_get(r, i);
    } else if (what < 920) {
        do_duplicate(r, i);
    } else if (what < 950) {
        do_delete(r, i);
    } else if (what < 958) {
        do_purge(r, i);
    } else if (what < 970) {
        do_update(r, i);
    } else if (what < 974) {
        do_delete_stream(r, i);
    } else {
        do_consumer(r, i, k);
    }
}

static void work(struct sim_run *r, uint64_t steps) {
    for (uint64_t n = 0; n < steps && !dead(r); n++) {
        int i = some_stream(r);
        uint64_t what = below(r, 100);
        if (r->checkpoint_bytes && chance(r, 1)) ask_checkpoint(r);
        if (what < 20) {
            turn(r, 1000 * (1 + below(r, 4000)));
        } else if (what < 24) {
            do_barrier(r);
        } else if (r->m.streams[i].s) {
            on_stream(r, i);
        } else if (r->m.streams[i].state == OBJ_FREE && chance(r, 30)) {
            do_create(r, i);
        }
    }
}

/* --- reading everything --- */

static void woken(struct mr_wait *w) { (void)w; }

static enum mr_status get_waiting(void *ctx, struct mr_stream *s, uint64_t seq, struct mr_msg_view *v) {
    struct sim_run *r = ctx;
    struct mr_wait w = {.on_ready = woken};
    enum mr_status st;
    while ((st = mr_get(s, seq, false, &w, v)) == MR_LATER && !dead(r)) turn(r, 1000000);
    mr_wait_cancel(&w);
    return st;
}

/* Every message that was not acknowledged comes once more; none that was does. */
static void drain(struct sim_run *r) {
    r->m.draining = true;
    for (int i = 0; i < M_STREAMS; i++) {
        struct m_stream *s = &r->m.streams[i];
        for (int k = 0; k < M_CONSUMERS && s->s; k++) {
            struct m_consumer *c = &s->consumers[k];
            for (uint64_t seq = 1; seq <= s->last; seq++) c->acks[seq].delivered = false;
            for (int idle = 0; c->c && idle < 60;) {
                if (do_next(r, i, k) == MR_OK) continue;
                sim_io_sleep(r->io, 100 * 1000 * 1000);
                turn(r, 1000000);
                idle++;
            }
            for (uint64_t seq = 1; c->c && seq <= s->last; seq++)
                if (c->acks[seq].delivered && c->acks[seq].state == ACK_ASKED)
                    model_fail("stream %llu: the ack of %llu waits for the interval", ULL(s->instance),
                               ULL(seq));
            for (uint64_t seq = 1; c->c && seq <= s->last; seq++)
                if (s->msgs[seq].state == MSG_KEPT && model_matches(c, s->msgs[seq].content) &&
                    c->acks[seq].state == ACK_NOT)
                    model_fail("stream %llu: %llu is never delivered", ULL(s->instance), ULL(seq));
        }
    }
    r->m.draining = false;
}

/* --- lives --- */

static enum mr_status open_all(struct sim_run *r, bool full_scan) {
    struct mr_env_config cfg = {.size = sizeof cfg,
                                .path = "d",
                                .shards = r->shards_count,
                                .sync = r->sync,
                                .sync_interval_ns = r->interval_ns,
                                .segment_bytes = r->segment_bytes,
                                .cache_bytes = 1 << 20,
                                .log = on_log,
                                .checkpoint_bytes = r->checkpoint_bytes,
                                .index_bytes = 1, /* as few pages as it takes */
                                .full_scan = full_scan || !r->checkpoint_bytes};
    enum mr_status st = env_open(&cfg, r->io, &r->env);
    struct mr_host host = {r, on_done, on_ready, NULL};
    for (uint32_t i = 0; i < r->shards_count; i++) {
        r->shards[i] = NULL;
        if (st == MR_OK) st = mr_shard_open(r->env, i, r->io, &host, &r->shards[i]);
    }
    return st;
}

static char *digest_all(struct sim_run *r) {
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    must(out != NULL);
    for (uint32_t i = 0; i < r->shards_count; i++) digest_shard(out, r->shards[i]);
    fclose(out);
    return text;
}

/* What a copy of this process finds on the disk as it is now, reading the whole log. */
static char *digest_by_scan(struct sim_run *r) {
    int fds[2];
    if (pipe(fds)) model_fail("no pipe");
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        if (open_all(r, true) != MR_OK) model_fail("open by scan");
        char *text = digest_all(r);
        FILE *out = fdopen(fds[1], "w");
        fputs(text, out);
        fclose(out);
        _exit(0);
    }
    close(fds[1]);
    char *text = NULL;
    size_t n = 0;
    FILE *in = fdopen(fds[0], "r");
    must(pid > 0 && in != NULL);
    if (getdelim(&text, &n, 0, in) < 0) text = strdup("");
    fclose(in);
    int status = 1;
    if (waitpid(pid, &status, 0) != pid || status != 0) model_fail("the copy that reads the whole log");
    return text;
}

/* The last record of a checkpoint at or before off - back, in whole bytes of a frame. */
static bool page_before(const struct sim_node *n, const struct seg_header *h, uint64_t *off, uint64_t back,
                        struct rec_header *rh) {
    for (uint64_t at = *off - back / REC_ALIGN * REC_ALIGN; at <= *off; at += REC_ALIGN) {
        uint8_t raw[sizeof *rh];
        if (sim_node_read(n, at, raw, sizeof raw) < sizeof raw) return false;
        bool head = rec_head(raw, sizeof raw, h->epoch, at, rh);
        if (!head || (rh->kind != REC_PAGE && rh->kind != REC_ROOT) || rh->size == sizeof *rh) continue;
        *off = at;
        return true;
    }
    return false;
}

/* A bit of a checkpoint flips: of a slot of a root file, or of the root that it names. Nothing but the way of
 * opening may change by that. */
static void damage_checkpoint(struct sim_run *r) {
    char path[64];
    uint32_t log = (uint32_t)below(r, SHARDS_MAX);
    snprintf(path, sizeof path, "d/log-%04x/root", log);
    struct sim_node *n = sim_node_find(r->disk, NULL, path);
    uint64_t at = below(r, 2) * ROOT_SLOT_BYTES;
    struct root_slot slot;
    if (!n || sim_node_read(n, at, &slot, sizeof slot) < sizeof slot || !slot.loc) return;
    if (chance(r, 40)) {
        (void)sim_disk_rot(r->disk, path, at + below(r, sizeof slot), (uint8_t)(1 << below(r, 8)));
        return;
    }
    /* Where the segment lies: the file whose header has its number. Pages lie before their root. */
    uint64_t off = (slot.loc & UINT32_MAX) * REC_ALIGN, back = chance(r, 50) ? 0 : below(r, 3000);
    for (uint32_t file = 0; file < 64; file++) {
        struct seg_header h;
        snprintf(path, sizeof path, "d/log-%04x/%08x.seg", log, file);
        n = sim_node_find(r->disk, NULL, path);
        if (!n || sim_node_read(n, 0, &h, sizeof h) < sizeof h || h.segno != slot.loc >> 32) continue;
        if (back > off - SEG_HEADERS_BYTES) back = 0;
        struct rec_header rh;
        if (!page_before(n, &h, &off, back, &rh)) return;
        (void)sim_disk_rot(r->disk, path, off + sizeof rh + below(r, rh.size - sizeof rh),
                           (uint8_t)(1 << below(r, 8)));
        r->bitten++;
        return;
    }
}

static void compare(struct sim_run *r, char *by_scan) {
    char *now = digest_all(r);
    if (digest_differs(by_scan, now)) model_fail("opened by its checkpoint the state is another");
    for (uint32_t i = 0; i < r->shards_count; i++) {
        struct mr_shard_stats st;
        mr_shard_stats(r->shards[i], &st);
        r->by_root += st.logs - st.logs_scanned;
    }
    free(now);
    free(by_scan);
}

static bool open_life(struct sim_run *r, uint64_t seed, uint64_t life, bool cut) {
    if (sim_io_open(&r->io, r->disk, seed << 16 | (life * 100 + 1))) model_fail("no loop");
    r->faults = false;
    r->shards_count = 1 + (uint32_t)below(r, SHARDS_MAX);
    char *by_scan = cut || !r->checkpoint_bytes ? NULL : digest_by_scan(r);
    if (cut) sim_io_crash_at(r->io, 1 + below(r, 80), r->crash, &r->crash_rng);
    enum mr_status st = open_all(r, false);
    if (st != MR_OK && !dead(r)) model_fail("open: %s", mr_status_text(st));
    if (dead(r)) return false;
    if (by_scan) compare(r, by_scan);
    if (r->forgets) forget(r);
    sim_io_crash_at(r->io, 0, r->crash, &r->crash_rng);
    return true;
}

static void close_life(struct sim_run *r, bool opened) {
    bool failed = false;
    for (uint32_t i = 0; i < r->shards_count; i++) {
        if (!r->shards[i]) continue;
        struct mr_shard_stats st;
        mr_shard_stats(r->shards[i], &st);
        __atomic_fetch_add(&covered->emptied, st.emptied_segments, __ATOMIC_RELAXED);
        __atomic_fetch_add(&covered->moved, st.moved_records, __ATOMIC_RELAXED);
        r->checkpoints += st.checkpoints;
        mr_shard_close(r->shards[i]);
        failed |= st.failed;
    }
    bool died = dead(r), orderly = opened && !died && !failed && !r->faults;
    mr_env_close(r->env);
    io_close(r->io);
    if (opened) model_life_ends(&r->m, orderly);
    if (died && r->crash == SIM_POWER && r->sync == MR_SYNC_INTERVAL) r->m.relaxed = true;
}

static void misbehave(struct sim_run *r) {
    struct sim_faults f = {.latency_ns = 1000 * (1 + below(r, 2000))};
    r->faults = chance(r, 10);
    if (r->faults) f.write_error = 30 + (uint32_t)below(r, 200);
    sim_io_faults(r->io, &f);
    sim_disk_limit(r->disk, chance(r, 8) ? sim_disk_used(r->disk) + below(r, 1 << 20) : UINT64_MAX);
}

static void one_life(struct sim_run *r, uint64_t seed, uint64_t life, bool last) {
    r->crash = chance(r, 60) ? SIM_POWER : SIM_KILL;
    bool opened = open_life(r, seed, life, !last && life > 0 && chance(r, 20));
    if (opened) {
        model_judge(&r->m, r->shards, r->shards_count, get_waiting, r);
        r->m.relaxed = false;
        __atomic_fetch_add(&covered->passed_over, r->m.passed_over, __ATOMIC_RELAXED);
    }
    if (r->m.passed_over) {
        close_life(r, opened);
        return;
    }
    if (opened && last) {
        drain(r);
    } else if (opened) {
        misbehave(r);
        bool crash = chance(r, 75);
        uint64_t times = r->long_lives ? 6 : 1; /* then segments fill, and messages are moved */
        if (crash) sim_io_crash_at(r->io, 1 + below(r, 400 * times), r->crash, &r->crash_rng);
        work(r, (100 + below(r, 500)) * times);
        sim_disk_limit(r->disk, UINT64_MAX);
        for (int i = 0; i < 40 && !crash; i++) { /* room for what was refused */
            sim_io_sleep(r->io, 100 * 1000 * 1000);
            turn(r, 1000000);
        }
        if (crash && chance(r, 80)) sim_io_crash(r->io, r->crash, &r->crash_rng);
    }
    close_life(r, opened);
    if (r->checkpoint_bytes && chance(r, 20)) damage_checkpoint(r);
}

static void run_seed(uint64_t seed, int broken, bool trace) {
    struct sim_run *r = calloc(1, sizeof *r);
    must(r != NULL);
    r->rng.state = seed * 0x9e3779b97f4a7c15u + 5;
    r->crash_rng.state = seed + 991;
    r->disk = sim_disk_new();
    r->forgets = broken == BREAK_PLACE;
    sim_disk_break(r->disk, r->forgets ? SIM_SOUND : (enum sim_break)broken);
    if (sim_node_create(r->disk, NULL, "d", true, NULL)) model_fail("no folder");
    sim_node_sync(r->disk, sim_disk_root(r->disk), UINT64_MAX);
    model_init(&r->m);
    r->sync = chance(r, 25) ? MR_SYNC_INTERVAL : MR_SYNC_ALWAYS;
    r->interval_ns = chance(r, 50) ? 50 * 1000 * 1000 : (int64_t)3600 * 1000 * 1000 * 1000;
    r->segment_bytes = (uint64_t)1 << (20 + below(r, 2));
    r->long_lives = seed % 4 == 0;
    r->checkpoint_bytes = chance(r, 80) ? (uint64_t)1 << (12 + below(r, 8)) : 0;
    uint64_t lives = 2 + below(r, LIVES_MAX - 1);
    for (uint64_t life = 0; life < lives + 2 && !r->m.passed_over; life++)
        one_life(r, seed, life, life >= lives);
    if (trace)
        printf("seed %llu: trace %016llx, %llu operations, %llu checkpoints, %llu damaged, %llu openings by "
               "one\n",
               ULL(seed), ULL(sim_disk_trace(r->disk)), ULL(r->m.ops), ULL(r->checkpoints), ULL(r->bitten),
               ULL(r->by_root));
    model_deinit(&r->m);
    sim_disk_free(r->disk);
    free(r);
}

/* --- command line --- */

struct tally {
    pid_t pids[JOBS_MAX];
    uint64_t seeds[JOBS_MAX];
    unsigned running, passed, failed;
};

static void collect_one(struct tally *t) {
    int status = 1;
    pid_t pid = wait(&status);
    for (unsigned i = 0; i < t->running; i++) {
        if (t->pids[i] != pid) continue;
        if (status == 0) {
            t->passed++;
        } else {
            t->failed++;
            fprintf(stderr, "FAILED seed %llu\n", ULL(t->seeds[i]));
        }
        t->running--;
        t->pids[i] = t->pids[t->running];
        t->seeds[i] = t->seeds[t->running];
        return;
    }
}

static void start_one(struct tally *t, uint64_t seed, int broken) {
    must(t->running < JOBS_MAX);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        run_seed(seed, broken, false);
        _exit(0);
    }
    must(pid > 0);
    t->pids[t->running] = pid;
    t->seeds[t->running++] = seed;
}

static int run_seeds(uint64_t from, uint64_t to, int broken) {
    struct tally t = {0};
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned jobs = cores < 1 ? 1 : cores > JOBS_MAX ? JOBS_MAX : (unsigned)cores;
    for (uint64_t seed = from; seed <= to; seed++) {
        if (t.running == jobs) collect_one(&t);
        start_one(&t, seed, broken);
    }
    while (t.running) collect_one(&t);
    printf("compaction emptied %llu segments, moved %llu records; %llu runs ended early, at sequences passed "
           "over\n",
           ULL(covered->emptied), ULL(covered->moved), ULL(covered->passed_over));
    printf("%u passed, %u failed\n", t.passed, t.failed);
    return t.failed != 0;
}

static int break_of(const char *what) {
    static const char *const names[] = {"nothing", "dsync", "fsync", "dirsync", "place"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(what, names[i]) == 0) return (int)i;
    }
    fprintf(stderr, "--break knows dsync, fsync, dirsync and place, not %s\n", what);
    exit(2);
}

int main(int argc, char **argv) {
    unsigned long long from = 1, to = 100;
    int broken = SIM_SOUND;
    bool one = false;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seed") == 0) {
            from = to = strtoull(argv[i + 1], NULL, 10);
            one = true;
        } else if (strcmp(argv[i], "--seeds") == 0 && sscanf(argv[i + 1], "%llu..%llu", &from, &to) == 2) {
            one = false;
        } else if (strcmp(argv[i], "--break") == 0) {
            broken = break_of(argv[i + 1]);
        } else {
            from = 1, to = 0;
        }
    }
    if (from > to || argc % 2 == 0) {
        fprintf(stderr, "usage: sim_engine [--seed N | --seeds A..B] [--break dsync|fsync|dirsync|place]\n");
        return 2;
    }
    prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0); /* a life touches little of its buffers: small pages are faster */
    covered = mmap(NULL, sizeof *covered, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    must(covered != MAP_FAILED);
    if (!one) return run_seeds(from, to, broken);
    run_seed(from, broken, true);
    return 0;
}
