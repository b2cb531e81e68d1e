/* shard.c - one thread's life: its parts are opened, it ticks, it is closed.
 *
 * shard_tick() is the path of a message from top to bottom. Nothing on it writes a socket or a file on the
 * spot: work is queued where it belongs and leaves with the next io_tick(). A completed commit is seen in
 * io_tick(), its acknowledgements go to outboxes and letters, and both leave at the end of the same tick. */
#include "shard/shard.h"

#include <limits.h>
#include <stdlib.h>

#include "base/must.h"
#include "shard/state.h"
#include "shard/watch.h"

enum { DRAIN_BATCH = 64 << 10, DRAIN_MAX = 512 << 10 }; /* bytes of letters at once; a tick */
#define RETRY_NS       10000000u
#define STALL_AGAIN_NS 1000000u

/* --- the tick --- */

static bool log_is_full(const struct shard *s) { return s->js && js_congested(s->js); }

/* Nothing that a letter might bring would find a place any more. */
static bool is_brimful(const struct shard *s) { return s->js && js_brimful(s->js); }

/* Somebody is to be told that the log has room again. */
static bool held_by_log(const struct shard *s) { return s->full_for || !list_empty(&s->conns.held); }

/* How long the loop may wait for something to happen; lies down when others are to wake it. */
static uint64_t wait_until(struct shard *s) {
    uint64_t now = io_now(s->io), until = s->js ? js_deadline(s->js) : UINT64_MAX;
    if (barriers_due(&s->barriers) || shard_phase_due(s)) return 0;
    if (s->stop_by_ns < until) until = s->stop_by_ns;
    if (held_by_log(s) && !log_is_full(s)) return 0;
    if (!list_empty(&s->conns.parked) && !mail_congested(s->mail, UINT_MAX)) {
        uint64_t at = s->met_congestion ? 0 : s->unpark_ns;
        if (at < until) until = at;
    }
    if (until <= now) return 0;
    if (now < s->poll_until_ns) return 0;
    if (is_brimful(s)) return until; /* letters have to wait anyway */
    s->lying = mail_lie_down(s->mail);
    return s->lying ? until : 0;
}

/* --poll: who had work is likely to get more soon, and looking is quicker than being woken. */
static void had_work(struct shard *s) {
    if (s->server->opts->poll_us)
        s->poll_until_ns = io_now(s->io) + s->server->opts->poll_us * UINT64_C(1000);
}

static void wait_and_receive(struct shard *s) {
    size_t done = io_tick(s->io, wait_until(s));
    if (s->lying) mail_get_up(s->mail);
    s->lying = false;
    if (done) had_work(s);
}

/* Letters of other shards, so many that outboxes are not filled faster than they leave. What they publish to
 * a full log waits in JetStream's queue, and those who sent it are told to pause, so that everything else
 * goes on. Only when that queue fills up too, letters stay where they are, the senders' queues fill up, and
 * so all their publishers wait. */
static void receive_letters(struct shard *s) {
    for (size_t n = 0, got = 1; got && n < DRAIN_MAX; n += got) {
        if (is_brimful(s)) return;
        got = mail_drain(s->mail, DRAIN_BATCH);
        if (got) had_work(s);
    }
}

/* Parked publishers go on when the congestion they met is over; those that lagging clients hold back have a
 * timer of their own. Now and then in any case, as congestion may come and go within a tick. */
static void unpark(struct shard *s) {
    uint64_t now = io_now(s->io);
    bool parked = !list_empty(&s->conns.parked);
    if (parked && s->unpark_ns == UINT64_MAX) s->unpark_ns = now + RETRY_NS;
    if (!parked) {
        s->unpark_ns = UINT64_MAX;
    } else if (mail_congested(s->mail, UINT_MAX)) {
        s->met_congestion = true;
    } else if (s->met_congestion || now >= s->unpark_ns) {
        s->met_congestion = false;
        conns_unpark(&s->conns);
        s->unpark_ns = list_empty(&s->conns.parked) ? UINT64_MAX : now + RETRY_NS;
    }
}

/* A client here lags behind a publisher there, or a log does: the publisher is told, and once more for each
 * message it sends after it was let go. */
static void stall_publisher(struct shard *s, unsigned from, const struct route_msg *m) {
    uint64_t now = io_now(s->io);
    must(m->congested && from != s->self);
    if (m->cid == 0) return;
    if (m->cid == s->stalled_cid && m->log_full == s->stalled_log && now - s->stalled_ns < STALL_AGAIN_NS)
        return;
    s->stalled_cid = m->cid;
    s->stalled_log = m->log_full;
    s->stalled_ns = now;
    *(m->log_full ? &s->full_for : &s->stalled_shards) |= UINT64_C(1) << from;
    mail_send(s->mail, from, &(struct letter){.kind = MAIL_STALL, .flags = m->log_full, .id = m->cid});
}

static void send_go(struct shard *s, uint64_t *shards, bool log_has_room) {
    for (; *shards; *shards &= *shards - 1)
        mail_send(s->mail, (unsigned)__builtin_ctzll(*shards),
                  &(struct letter){.kind = MAIL_GO, .flags = log_has_room});
    s->stalled_cid = 0;
}

/* Nobody lags any more. */
static void release_publishers(struct shard *s) {
    if (!s->stalled_shards || s->conns.stalling) return;
    send_go(s, &s->stalled_shards, false);
}

/* What waited for the log is in it: those who sent it go on. */
static void release_held(struct shard *s) {
    if (!held_by_log(s) || log_is_full(s)) return;
    send_go(s, &s->full_for, true);
    conns_log_has_room(&s->conns, false);
}

static void shard_tick(struct shard *s) {
    wait_and_receive(s); /* bytes in: parse, dispatch, route, admit, append; commits that completed: acks */
    receive_letters(s);  /* the same from other shards */
    barriers_complete(&s->barriers); /* what all shards have applied is answered */
    unpark(s);                       /* publishers that had to pause go on */
    release_held(s);
    if (s->js) js_commit(s->js);  /* one durable write for everything appended */
    if (s->js) js_deliver(s->js); /* visible messages to waiting consumers */
    shard_phase_step(s);          /* starting and stopping */
    conns_flush(&s->conns);       /* bytes out */
    release_publishers(s);        /* of other shards, once nobody lags here */
    barriers_send(&s->barriers);  /* asks the others once for all who want to know */
    mail_publish(s->mail);        /* letters out */
}

void shard_run(struct shard *s) {
    must(s->phase == SHARD_NEW);
    s->phase = SHARD_APPLY;
    while (s->phase != SHARD_ENDED) shard_tick(s);
    io_tick(s->io, 0); /* the last letters' wake-ups leave with it */
}

/* --- letters --- */

static void on_conn_moved(void *ctx, uint64_t cid, unsigned from) {
    struct shard *s = ctx;
    if (s->self == 0)
        lobby_on_moved(&s->server->lobby, from, 0);
    else
        mail_send(s->mail, 0, &(struct letter){.kind = MAIL_MOVED, .id = cid, .arg = from});
}

static void on_conn_closed(void *ctx, uint64_t cid) {
    struct shard *s = ctx;
    if (s->self == 0)
        lobby_on_closed(&s->server->lobby, 0);
    else
        mail_send(s->mail, 0, &(struct letter){.kind = MAIL_CLOSED, .id = cid});
}

static void open_conn(struct shard *s, int fd, uint64_t cid, bool full) {
    enum err e = ERR_CLOSED;
    if (s->phase > SHARD_SERVING)
        io_file_close(s->io, fd);
    else
        e = conn_open(&s->conns, fd, cid, full);
    if (e) on_conn_closed(s, cid);
}

/* The parts of a cast lie behind one another in the letter. */
static struct span joined(const struct letter *l) {
    size_t n = 0;
    must(l->spans_n > 0);
    for (size_t i = 0; i < l->spans_n; i++) n += l->spans[i].n;
    return span_of(l->spans[0].p, n);
}

static void on_stall(struct shard *s, const struct letter *l) {
    must(l->kind == MAIL_STALL);
    if (l->flags)
        conns_hold(&s->conns, l->id);
    else
        conns_stall(&s->conns, l->id);
}

static void on_go(struct shard *s, const struct letter *l) {
    must(l->kind == MAIL_GO);
    if (l->flags)
        conns_log_has_room(&s->conns, true);
    else
        conns_release(&s->conns);
}

static void on_letter(void *ctx, unsigned from, const struct letter *l) {
    struct shard *s = ctx;
    struct routed r;
    struct conn_move_letter move;
    switch (l->kind) {
    case MAIL_MSG:
        read_msg(l, &r);
        r.m.from = (uint8_t)(from + 1);
        route_deliver(s->route, &r.m, r.picks, r.picks_n, r.plain);
        if (r.m.congested) stall_publisher(s, from, &r.m);
        break;
    case MAIL_STALL: on_stall(s, l); break;
    case MAIL_GO: on_go(s, l); break;
    case MAIL_INTEREST: route_remote(s->route, from, l->spans[0], l->spans[1], l->flags); break;
    case MAIL_CAST:
        must(s->js != NULL);
        js_on_cast(s->js, from, joined(l));
        break;
    case MAIL_BARRIER: barriers_answer(&s->barriers, from, l->id); break;
    case MAIL_PASSED: barriers_on_passed(&s->barriers, from, l->id); break;
    case MAIL_CONN: open_conn(s, (int)l->arg, l->id, l->flags); break;
    case MAIL_CLOSED: lobby_on_closed(&s->server->lobby, from); break;
    case MAIL_MOVE:
        read_move(l, &move);
        conns_on_move(&s->conns, from, &move);
        break;
    case MAIL_MOVED: lobby_on_moved(&s->server->lobby, (unsigned)l->arg, from); break;
    case MAIL_CALL: read_call(l, s); break;
    case MAIL_ASK: watch_on_ask(s, l); break;
    case MAIL_ANSWER: watch_on_answer(s, from, l); break;
    case MAIL_BLOCK:
    case MAIL_KINDS: must(false); break;
    }
}

/* --- what the parts ask of the shard --- */

static void on_announce(void *ctx, struct span subject, struct span queue, bool add) {
    struct shard *s = ctx;
    post_interest(s->mail, subject, queue, add);
}

static void on_forward(void *ctx, unsigned shard, struct route_msg *m, const struct span *picks,
                       size_t picks_n, bool plain) {
    struct shard *s = ctx;
    must(shard != s->self);
    post_msg(s->mail, shard, &(struct routed){.m = *m, .picks = picks, .picks_n = picks_n, .plain = plain});
    if (mail_congested(s->mail, shard)) m->congested = s->met_congestion = true;
}

static bool on_conn_barrier(void *ctx, uint64_t cid) {
    struct shard *s = ctx;
    if (barriers_idle(&s->barriers)) return true;
    barriers_request(&s->barriers, cid, NULL);
    return false;
}

static void on_conn_tell(void *ctx, unsigned to, const struct conn_move_letter *l) {
    struct shard *s = ctx;
    must(to != s->self);
    post_move(s->mail, to, l);
}

static void on_js_barrier(void *ctx, struct js_barrier *b) {
    struct shard *s = ctx;
    must(b->on_done != NULL);
    barriers_request(&s->barriers, 0, b);
}

static void on_barrier_done(void *ctx, const struct barrier_request *r) {
    struct shard *s = ctx;
    if (r->js)
        r->js->on_done(r->js);
    else
        conn_barrier_done(&s->conns, r->cid);
}

static void on_cast(void *ctx, unsigned shard, const struct span *parts, size_t count) {
    struct shard *s = ctx;
    must(count > 0 && count <= MAIL_SPANS_MAX);
    mail_send(s->mail, shard, &(struct letter){.kind = MAIL_CAST, .spans = parts, .spans_n = count});
}

static bool on_js_congested(void *ctx, unsigned shard) {
    struct shard *s = ctx;
    return shard != s->self && mail_congested(s->mail, shard);
}

/* --- opening and closing --- */

static bool failed(const struct shard *s, const char *what, enum err e) {
    if (e) log_line(s->server->log, LOG_FATAL, "shard %u: %s: %s", s->self, what, err_text(e));
    return e != ERR_OK;
}

bool shard_open(struct shard *s) {
    struct server *sv = s->server;
    const struct options *o = sv->opts;
    const struct route_peer peer = {s, on_announce, on_forward};
    enum err e = io_open(&s->io, &(struct io_config){.backend = o->io}, &s->io_why);
    if (e) {
        log_line(sv->log, LOG_FATAL, "shard %u: opening the I/O loop: %s%s%s", s->self, err_text(e),
                 s->io_why && *s->io_why ? ": " : "", s->io_why ? s->io_why : "");
        return false;
    }
    if (failed(s, "opening the mailbox", mail_open(&s->mail, sv->post, s->self, s->io, on_letter, s)) ||
        failed(s, "opening the routing table",
               route_open(&s->route, s->self, sv->shards, &peer, sv->route_seed)) ||
        failed(s, "preparing barriers",
               barriers_init(&s->barriers, s->mail, s->self, sv->shards, on_barrier_done, s)) ||
        failed(s, "preparing connections",
               conns_init(&s->conns, s->io, s->route, &o->conn, &sv->info, sv->log))) {
        return false;
    }
    s->conns_ready = true;
    s->conns.ctx = s;
    s->conns.barrier = on_conn_barrier;
    s->conns.closed = on_conn_closed;
    s->conns.self = s->self;
    s->conns.shards = sv->shards;
    s->conns.moved = on_conn_moved;
    if (sv->shards > 1) s->conns.tell = on_conn_tell;
    return true;
}

bool shard_recover(struct shard *s) {
    struct server *sv = s->server;
    const struct js_host host = {.ctx = s,
                                 .self = s->self,
                                 .shards = sv->shards,
                                 .io = s->io,
                                 .route = s->route,
                                 .log = sv->log,
                                 .cast = on_cast,
                                 .barrier = on_js_barrier,
                                 .congested = on_js_congested};
    must(s->conns_ready);
    return !sv->env || !failed(s, "opening JetStream", js_open(&s->js, &host, &sv->js_limits, sv->env));
}

/* The engine first, as its last commit runs the loop; then connections, which must not see the loop run
 * again. */
void shard_close(struct shard *s) {
    if (s->js) js_close(s->js);
    if (s->self == 0) watch_close(s->server);
    if (s->conns_ready) conns_deinit(&s->conns);
    if (s->route) route_close(s->route);
    if (s->mail && s->barriers.queue) barriers_deinit(&s->barriers);
}
