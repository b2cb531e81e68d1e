/* close.c - the way out: drain, linger, wait for what is in flight, close the descriptor, free.
 *
 * conn_close() only marks, since it may be called from anywhere, also from inside a delivery. The rest
 * happens when the call is back in the loop (conns_reap): subscriptions go, timers stop, carried bytes are
 * dropped. From then on each completion and the one timer push the connection along (conn_advance). Every
 * step is bounded in time. */
#include "conn/state.h"

#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/must.h"

#define DRAIN_NS  1000000000u
#define LINGER_NS 20000000u

void conn_close(struct conn *c, const char *reason, bool drain) {
    must(reason != NULL);
    if (c->phase == CONN_DEAD || (c->phase != CONN_OPEN && drain)) return;
    if (c->moving == MOVE_ARRIVING) { /* once it is here */
        if (!c->move.doom) c->move.doom_drain = drain;
        if (!c->move.doom) c->move.doom = reason;
        return;
    }
    if (c->phase == CONN_OPEN) {
        c->reason = reason;
        conn_log(c, LOG_DEBUG, "Client connection closed: %s", reason);
    }
    c->phase = drain ? CONN_DRAIN : CONN_DEAD;
    if (list_empty(&c->closing)) list_add_tail(&c->cs->closing, &c->closing);
}

/* Takes it off everything that could still call it, but for its operations. */
static void detach(struct conn *c) {
    must(c->phase != CONN_OPEN);
    if (c->moving) conn_move_drop(c);
    conn_drop_subs(c);
    conn_unstall(c);
    c->paused = 0;
    list_del(&c->parked);
    list_del(&c->starved);
    list_del(&c->stalled);
    list_del(&c->held);
    list_del(&c->held_far);
    list_del(&c->sending);
    list_del(&c->dirty);
    carry_drop(&c->cs->ingest, &c->carry);
    io_timer_cancel(c->cs->io, &c->timer);
    if (map_u64_get(&c->cs->by_cid, c->cid) == c) map_u64_del(&c->cs->by_cid, c->cid);
}

void conns_reap(struct conns *cs) {
    conns_reap_subs(cs);
    while (!list_empty(&cs->closing)) {
        struct conn *c = container_of(list_pop(&cs->closing), struct conn, closing);
        detach(c);
        conn_advance(c);
    }
}

static void set_timer(struct conn *c, uint64_t ns) {
    must(ns > 0 && c->phase != CONN_OPEN);
    if (c->timer.deadline_ns == 0) io_timer_set(c->cs->io, &c->timer, io_now(c->cs->io) + ns);
}

static void advance_dead(struct conn *c) {
    must(c->phase == CONN_DEAD && list_empty(&c->closing));
    struct io *io = c->cs->io;
    if (c->close.busy) return;
    if (c->recv.busy) io_stop(io, &c->recv);
    if (c->out.send.busy) io_stop(io, &c->out.send);
    if (c->recv.busy || c->out.send.busy) return;
    io_timer_cancel(io, &c->timer);
    io_submit(io, &c->close);
}

/* Are there bytes of the peer that nobody will read? Closing then resets the connection. */
static bool has_unread(const struct conn *c) {
    int n = 0;
    return ioctl(c->recv.fd, FIONREAD, &n) == 0 && n > 0;
}

/* Everything is sent. If closing would do harm, the peer is given a moment to read it and close too. */
static void begin_linger(struct conn *c) {
    must(c->phase == CONN_DRAIN && outbox_idle(&c->out));
    io_timer_cancel(c->cs->io, &c->timer);
    if (c->eof || !has_unread(c) || shutdown(c->recv.fd, SHUT_WR) != 0) {
        c->phase = CONN_DEAD;
        advance_dead(c);
        return;
    }
    c->phase = CONN_LINGER;
    set_timer(c, LINGER_NS);
    if (!c->recv.busy) io_submit(c->cs->io, &c->recv);
}

void conn_advance(struct conn *c) {
    must(c->phase != CONN_OPEN);
    if (!list_empty(&c->closing)) return; /* first to be detached */
    if (c->phase == CONN_LINGER && c->eof) c->phase = CONN_DEAD;
    switch ((enum conn_phase)c->phase) {
    case CONN_OPEN:
    case CONN_LINGER: break;
    case CONN_DRAIN:
        if (outbox_idle(&c->out)) {
            begin_linger(c);
        } else {
            conn_flush(c);
            set_timer(c, DRAIN_NS);
        }
        break;
    case CONN_DEAD: advance_dead(c); break;
    }
}

void conn_on_closed(struct io_op *op, int64_t res) {
    struct conn *c = container_of(op, struct conn, close);
    (void)res; /* the descriptor is gone in any case */
    must(c->phase == CONN_DEAD);
    struct conns *cs = c->cs;
    uint64_t cid = c->cid;
    conn_free(c);
    if (cs->closed) cs->closed(cs->ctx, cid);
}
