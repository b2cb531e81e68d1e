/* receive.c - from received bytes to operations.
 *
 * Happy path: a receive buffer is parsed where it lies, each operation handled at once, its spans pointing
 * into the buffer. The cut-off operation at its end is carried: copied to a buffer of its own, completed with
 * just the bytes it lacks from the next receive, handled from there; then parsing goes on in place. What
 * fails: no room to gather a payload, or a sink that wants the publisher to pause. Both stop receiving; what
 * the kernel has handed over already is carried too, and the socket's own window holds the peer back. */
#include "conn/state.h"

#include "base/must.h"

enum { LINE_SLACK = 64, UNCHARGED_MAX = 8192, LINGER_BYTES = 65536 };
#define RELEASE_NS 100000000u

static bool running(const struct conn *c) { return c->phase == CONN_OPEN && !c->paused; }

void conn_listen(struct conn *c) {
    must(c->phase == CONN_OPEN);
    if (!c->recv.busy) io_submit(c->cs->io, &c->recv);
}

/* Where those are that pause for this reason, and its own node there; NULL: nobody looks for them. */
static struct list *pause_list(struct conn *c, enum conn_pause why, struct list **of) {
    struct conns *cs = c->cs;
    switch (why) {
    case PAUSE_CONGESTED: *of = &cs->parked; return &c->parked;
    case PAUSE_STALL: *of = &cs->stalled; return &c->stalled;
    case PAUSE_INGEST: *of = &cs->starved; return &c->starved;
    case PAUSE_LOG: *of = &cs->held; return &c->held;
    case PAUSE_FAR_LOG: *of = &cs->held_far; return &c->held_far;
    case PAUSE_BARRIER:
    case PAUSE_STOP:
    case PAUSE_MOVE: break;
    }
    return NULL;
}

void conn_pause(struct conn *c, enum conn_pause why) {
    must(why != 0 && c->phase == CONN_OPEN);
    c->paused |= (uint8_t)why;
    struct list *of, *node = pause_list(c, why, &of);
    if (node && list_empty(node)) list_add_tail(of, node);
}

/* Room for a carried operation of `total` bytes. Small ones are few bytes a connection and never wait. */
static bool gather_room(struct conn *c, size_t total) {
    must(total > 0);
    enum err e = carry_room(&c->cs->ingest, &c->carry, total, total <= UNCHARGED_MAX);
    if (e == ERR_OK) return true;
    if (e == ERR_LIMIT) {
        conn_pause(c, PAUSE_INGEST);
    } else {
        conn_log(c, LOG_ERROR, "no memory for a message of %zu bytes", total);
        conn_close(c, "Read Error", false);
    }
    return false;
}

/* Keeps what came while nothing may be handled. */
static void keep(struct conn *c, const uint8_t *p, size_t n) {
    must(n == 0 || !running(c));
    if (n == 0) return;
    if (carry_room(&c->cs->ingest, &c->carry, c->carry.n + n, true)) {
        conn_close(c, "Read Error", false);
        return;
    }
    carry_append(&c->carry, p, n);
}

/* Handles operations at p until bytes are missing or the connection may not go on. Returns how many bytes are
 * done with. */
static size_t handle(struct conn *c, const uint8_t *p, size_t n) {
    struct op op;
    size_t done = 0, used;
    while (running(c)) {
        enum parse_result r = parse_next(&c->parser, p + done, n - done, &used, &op);
        must(used <= n - done);
        struct span near = span_of(p + done, n - done);
        done += used;
        if (r == PARSE_OP) {
            conn_dispatch(c, &op);
        } else {
            if (r == PARSE_ERROR) conn_bad_input(c, op.error, near);
            break;
        }
    }
    return done;
}

/* Handles what is carried, then sees to it that the rest of a cut-off payload fits. */
static void handle_carried(struct conn *c) {
    if (c->carry.n == 0) return;
    size_t used = handle(c, carry_bytes(&c->carry), c->carry.n);
    carry_consume(&c->cs->ingest, &c->carry, used);
    if (running(c) && c->carry.n && c->parser.need) gather_room(c, c->parser.need);
}

/* Adds to the carried operation what it lacks, no more, and handles it. */
static size_t complete_carried(struct conn *c, const uint8_t *p, size_t n) {
    must(c->carry.n > 0 && n > 0);
    size_t take = n, have = c->carry.n;
    if (c->parser.need) {
        must(c->parser.need > have);
        if (c->parser.need - have < n) take = c->parser.need - have;
        if (!gather_room(c, c->parser.need)) return 0;
    } else {
        const uint8_t *end = memchr(p, '\n', n);
        size_t line_max = c->parser.max_control_line + LINE_SLACK;
        if (end) take = (size_t)(end - p) + 1;
        if (take > line_max) take = line_max;
        if (!gather_room(c, have + take)) return 0;
    }
    carry_append(&c->carry, p, take);
    handle_carried(c);
    return take;
}

static void receive(struct conn *c, const uint8_t *p, size_t n) {
    while (n > 0 && running(c)) {
        bool carried = c->carry.n > 0;
        size_t took = carried ? complete_carried(c, p, n) : handle(c, p, n);
        p += took;
        n -= took;
        if (carried || n == 0 || !running(c)) continue;
        if (gather_room(c, c->parser.need ? c->parser.need : n)) {
            carry_append(&c->carry, p, n);
            return;
        }
    }
    if (c->phase == CONN_OPEN) keep(c, p, n);
}

/* The socket has ended, and everything that came before is handled. */
static void ended(struct conn *c) {
    must(c->eof && !c->paused);
    if (c->recv_err) conn_log(c, LOG_DEBUG, "read error: %s", err_text(c->recv_err));
    conn_close(c, c->recv_err ? "Read Error" : "Client Closed", !c->recv_err);
}

/* After anything that may have changed whether the connection receives. */
static void settle(struct conn *c) {
    if (c->phase != CONN_OPEN) return;
    if (c->paused) {
        if (c->recv.busy) io_stop(c->cs->io, &c->recv);
    } else if (c->eof) {
        if (c->pongs_owed == 0) ended(c);
    } else {
        conn_listen(c);
    }
}

void conns_stall(struct conns *cs, uint64_t cid) {
    struct conn *c = map_u64_get(&cs->by_cid, cid);
    if (!c || c->phase != CONN_OPEN) return;
    must(c->cs == cs);
    if (list_empty(&cs->stalled)) cs->release_ns = io_now(cs->io) + RELEASE_NS;
    conn_pause(c, PAUSE_STALL);
    settle(c);
    conns_arm_stall(cs);
}

void conns_hold(struct conns *cs, uint64_t cid) {
    struct conn *c = map_u64_get(&cs->by_cid, cid);
    if (!c || c->phase != CONN_OPEN) return;
    must(c->cs == cs);
    conn_pause(c, PAUSE_FAR_LOG);
    settle(c);
}

void conns_stop_reading(struct conns *cs) {
    cs->stopping = true;
    list_each(at, tmp, &cs->all) {
        struct conn *c = container_of(at, struct conn, all);
        must(c->cs == cs);
        if (c->phase != CONN_OPEN) continue;
        conn_pause(c, PAUSE_STOP);
        settle(c);
    }
}

/* When no operation's bytes are in use any more. */
static void after_all(struct conns *cs) {
    conns_reap(cs);
    if (cs->ingest.freed) conns_feed_starved(cs);
}

/* On the way out. A little is read, to see the peer close; one that goes on sending is cut off, so that it
 * notices. */
static void throw_away(struct conn *c, int64_t res) {
    if (res > 0 && c->thrown_away <= LINGER_BYTES) c->thrown_away += (uint32_t)res;
    if (c->phase == CONN_LINGER && c->thrown_away > LINGER_BYTES) c->phase = CONN_DEAD;
    if (c->phase == CONN_LINGER && !c->eof && !c->recv.busy) io_submit(c->cs->io, &c->recv);
    if (c->phase == CONN_DEAD || !c->recv.busy) conn_advance(c);
}

void conn_on_recv(struct io_op *op, int64_t res) {
    struct conn *c = container_of(op, struct conn, recv);
    struct conns *cs = c->cs;
    must(res != 0 || !op->busy);
    if (res == 0 || (res < 0 && res != -(int64_t)ERR_CANCELLED)) {
        c->eof = true;
        c->recv_err = res < 0 ? (enum err) - res : ERR_OK;
        if (c->recv_err == ERR_CLOSED) c->recv_err = ERR_OK;
    }
    if (c->phase != CONN_OPEN) {
        throw_away(c, res);
        return;
    }
    if (res > 0) {
        c->fed_ns = io_now(cs->io);
        c->paused_once = false;
        receive(c, op->buf, (size_t)res);
    }
    settle(c);
    if (c->moving) conn_move_on(c);
    after_all(cs);
}

void conn_resume(struct conn *c, enum conn_pause why) {
    must(c->phase == CONN_OPEN);
    c->paused &= (uint8_t)~why;
    struct list *of, *node = pause_list(c, why, &of);
    if (node) list_del(node);
    if (c->paused) return;
    handle_carried(c);
    settle(c);
}

/* Takes all nodes of from over to the empty to, so that those that come back to from are not met again. */
static void take_all(struct list *to, struct list *from) {
    must(to != from);
    list_init(to);
    if (list_empty(from)) return;
    *to = *from;
    to->next->prev = to;
    to->prev->next = to;
    list_init(from);
}

/* Those that pause for this reason go on; who has to pause again does not hold this up. */
static void resume_all(struct list *paused, size_t node_at, enum conn_pause why) {
    struct list now;
    take_all(&now, paused);
    while (!list_empty(&now)) {
        struct list *node = now.next;
        struct conn *c = (struct conn *)(void *)((uint8_t *)node - node_at);
        list_del(node);
        if (c->phase == CONN_OPEN) conn_resume(c, why);
    }
}

void conns_unpark(struct conns *cs) {
    resume_all(&cs->parked, offsetof(struct conn, parked), PAUSE_CONGESTED);
    after_all(cs);
}

void conns_release(struct conns *cs) {
    resume_all(&cs->stalled, offsetof(struct conn, stalled), PAUSE_STALL);
    after_all(cs);
}

void conns_log_has_room(struct conns *cs, bool far) {
    if (far)
        resume_all(&cs->held_far, offsetof(struct conn, held_far), PAUSE_FAR_LOG);
    else
        resume_all(&cs->held, offsetof(struct conn, held), PAUSE_LOG);
    after_all(cs);
}

void conns_feed_starved(struct conns *cs) {
    cs->ingest.freed = false;
    resume_all(&cs->starved, offsetof(struct conn, starved), PAUSE_INGEST);
}

void conn_barrier_done(struct conns *cs, uint64_t cid) {
    struct conn *c = map_u64_get(&cs->by_cid, cid);
    if (!c || c->phase != CONN_OPEN) return;
    must(c->barriers > 0 && c->pongs_owed >= c->barriers);
    c->barriers--;
    do { /* with the last barrier those that needed none of their own */
        conn_pong(c);
        c->pongs_owed--;
    } while (c->barriers == 0 && c->pongs_owed > 0);
    if (c->phase == CONN_OPEN && c->pongs_owed == 0) conn_resume(c, PAUSE_BARRIER);
    after_all(cs);
}
