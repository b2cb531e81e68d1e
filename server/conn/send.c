/* send.c - everything a connection says goes through here into its outbox, and leaves at the tick's end.
 *
 * What fails: the connection's own bound (max_pending), the shard's memory for outgoing bytes, or a send that
 * is not through after write_deadline. Each makes a slow consumer, and that one alone is closed; for memory
 * it is the connection with the most pending, since it is the one that does not read. While a connection that
 * still makes progress has much pending, publishers that deliver to it are asked to pause, for a few
 * milliseconds at most. */
#include "conn/state.h"

#include "base/must.h"
#include "wire/emit.h"
#include "wire/gotime.h"

#define STALL_NS     10000000u
#define TRIM_NS      1000000000u /* memory not needed for so long goes back */
#define TRIM_MORE_NS 5000000u
#define SWEEP_NS     1000000000u

/* --- slow consumers --- */

static void slow_consumer(struct conn *c, const char *reason) {
    must(reason != NULL);
    c->cs->counters.slow_consumers++;
    conn_close(c, reason, false);
}

/* The open connection with the most bytes pending. */
static struct conn *fullest(struct conns *cs) {
    struct conn *most = NULL;
    list_each(at, tmp, &cs->all) {
        struct conn *c = container_of(at, struct conn, all);
        if (c->phase != CONN_OPEN || c->move.doom) continue;
        if (!most || c->out.pending > most->out.pending) most = c;
    }
    return most;
}

bool conn_relieve(struct conn *c, enum err e) {
    must(e == ERR_LIMIT || e == ERR_NOMEM);
    if (e == ERR_LIMIT) {
        if (c->phase == CONN_OPEN) {
            conn_log(c, LOG_INFO, "Slow Consumer Detected: MaxPending of %zu Exceeded", c->out.pending_max);
            slow_consumer(c, "Slow Consumer (Pending Bytes)");
        }
        return false;
    }
    struct conn *most = fullest(c->cs);
    if (!most) return false;
    conn_log(most, LOG_INFO,
             "Slow Consumer Detected: no memory left for outgoing messages, %zu bytes pending",
             most->out.pending);
    slow_consumer(most, "Slow Consumer (Pending Bytes)");
    outbox_drop(&most->out);
    return most != c;
}

/* --- saying something --- */

void conn_mark(struct conn *c) {
    if (list_empty(&c->dirty)) list_add_tail(&c->cs->dirty, &c->dirty);
}

bool conn_put(struct conn *c, const void *p, size_t n) {
    enum err e;
    if (c->phase != CONN_OPEN) return false;
    while ((e = outbox_put(&c->out, p, n))) {
        if (!conn_relieve(c, e)) return false;
    }
    conn_mark(c);
    return true;
}

void conn_ok(struct conn *c) {
    uint8_t text[16];
    if (c->trace) conn_trace(c, "->>", "OK", NULL, 0);
    conn_put(c, text, emit_ok(text, sizeof text));
}

void conn_ping(struct conn *c) {
    must(c->pings_out >= 0);
    uint8_t text[16];
    c->pings_out++;
    if (c->trace) conn_trace(c, "->>", "PING", NULL, 0);
    conn_put(c, text, emit_ping(text, sizeof text));
}

/* The first PONG after CONNECT is followed by a second INFO, for clients that can take one. */
void conn_pong(struct conn *c) {
    must(c->connected || !c->first_pong);
    uint8_t text[16];
    if (c->trace) conn_trace(c, "->>", "PONG", NULL, 0);
    if (!conn_put(c, text, emit_pong(text, sizeof text))) return;
    if (!c->connected || c->first_pong) return;
    c->first_pong = true;
    if (c->opts.protocol >= 1 && !conn_send_info(c, true, c->cs->lame_duck))
        conn_close(c, "Write Error", false);
}

void conn_err(struct conn *c, const char *text) {
    size_t n = strlen(text);
    must(n + 16 <= c->cs->line_cap);
    struct span words = span_of(text, n);
    if (c->trace) conn_trace(c, "->>", "-ERR", &words, 1);
    conn_put(c, c->cs->line, emit_err(c->cs->line, c->cs->line_cap, words));
}

/* --- leaving --- */

/* When the oldest send in flight is due, or soon when somebody waits for room to gather. */
static void sweep_arm(struct conns *cs) {
    must(cs->limits->write_deadline_ns > 0);
    uint64_t at = UINT64_MAX;
    if (!list_empty(&cs->sending)) {
        const struct conn *oldest = container_of(cs->sending.next, struct conn, sending);
        at = oldest->out.since_ns + (uint64_t)cs->limits->write_deadline_ns;
    }
    if (!list_empty(&cs->starved) && io_now(cs->io) + SWEEP_NS < at) at = io_now(cs->io) + SWEEP_NS;
    if (at == UINT64_MAX) return;
    if (cs->sweep.deadline_ns == 0 || at < cs->sweep.deadline_ns) io_timer_set(cs->io, &cs->sweep, at);
}

void conn_flush(struct conn *c) {
    if (c->out.send.busy || c->out.pending == 0 || c->moving == MOVE_ARRIVING) return;
    outbox_flush(&c->out);
    must(list_empty(&c->sending));
    if (c->phase != CONN_OPEN) return;           /* its drain is timed by its own timer */
    list_add_tail(&c->cs->sending, &c->sending); /* in order of time, so that one timer serves all */
    sweep_arm(c->cs);
}

void conn_on_sent(struct outbox *ob, enum err e) {
    struct conn *c = container_of(ob, struct conn, out);
    list_del(&c->sending);
    c->progress_ns = io_now(c->cs->io);
    if (c->phase == CONN_OPEN && c->moving == MOVE_CUT && (!e || e == ERR_CANCELLED)) {
        conn_move_on(c);
        return;
    }
    if (e && c->phase != CONN_DEAD) {
        if (e != ERR_CLOSED) conn_log(c, LOG_DEBUG, "Error flushing: %s", err_text(e));
        conn_close(c, "Write Error", false);
    }
    if (c->phase == CONN_OPEN || c->phase == CONN_DRAIN) conn_flush(c);
    if (c->phase != CONN_OPEN) {
        conn_advance(c);
        return;
    }
    if (c->stalling && c->out.pending <= c->stall_at) {
        conn_unstall(c);
        conns_unpark(c->cs);
    }
}

void conn_unstall(struct conn *c) {
    if (!c->stalling) return;
    must(c->cs->stalling > 0);
    c->stalling = false;
    c->cs->stalling--;
}

void conns_arm_stall(struct conns *cs) {
    if (cs->stall.deadline_ns == 0) io_timer_set(cs->io, &cs->stall, io_now(cs->io) + STALL_NS);
}

void conns_arm_trim(struct conns *cs) {
    if (cs->trim.deadline_ns == 0 && outbox_pools_spare(&cs->chunks))
        io_timer_set(cs->io, &cs->trim, io_now(cs->io) + TRIM_NS);
}

void conns_on_trim(struct io_timer *t) {
    struct conns *cs = container_of(t, struct conns, trim);
    must(t->on_fire == conns_on_trim);
    if (outbox_pools_trim(&cs->chunks))
        io_timer_set(cs->io, t, io_now(cs->io) + TRIM_MORE_NS);
    else
        conns_arm_trim(cs);
}

void conns_on_stall(struct io_timer *t) {
    struct conns *cs = container_of(t, struct conns, stall);
    conns_unpark(cs);
    if (list_empty(&cs->stalled)) return;
    if (io_now(cs->io) >= cs->release_ns)
        conns_release(cs);
    else
        conns_arm_stall(cs);
}

static void write_deadline_missed(struct conn *c) {
    must(c->out.send.busy);
    char limit[GODURATION_TEXT_MAX + 1];
    limit[goduration_put(limit, c->cs->limits->write_deadline_ns)] = '\0';
    conn_log(c, LOG_INFO,
             "Slow Consumer Detected: WriteDeadline of %s exceeded with %u chunks of %zu total bytes.", limit,
             c->out.send.iov_count ? c->out.send.iov_count : 1, c->out.sending);
    slow_consumer(c, "Slow Consumer (Write Deadline)");
}

/* A payload that holds part of the budget while others wait for it, and of which nothing came for a whole
 * write_deadline. */
static void close_idle_gatherers(struct conns *cs, uint64_t now) {
    list_each(at, tmp, &cs->all) {
        struct conn *c = container_of(at, struct conn, all);
        bool idle = c->fed_ns + (uint64_t)cs->limits->write_deadline_ns <= now;
        if (c->phase != CONN_OPEN || c->paused || c->carry.n == 0 || !idle) continue;
        conn_log(c, LOG_INFO, "Half a message of %zu bytes holds memory that others wait for",
                 c->parser.need);
        conn_close(c, "Stale Connection", false);
    }
}

void conns_on_sweep(struct io_timer *t) {
    struct conns *cs = container_of(t, struct conns, sweep);
    uint64_t now = io_now(cs->io);
    list_each(at, tmp, &cs->sending) {
        struct conn *c = container_of(at, struct conn, sending);
        if (c->out.since_ns + (uint64_t)cs->limits->write_deadline_ns > now) break;
        if (c->phase == CONN_OPEN) write_deadline_missed(c);
    }
    if (!list_empty(&cs->starved)) close_idle_gatherers(cs, now);
    conns_reap(cs);
    conns_feed_starved(cs);
    sweep_arm(cs);
}
