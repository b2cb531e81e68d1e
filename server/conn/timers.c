/* timers.c - a connection's one timer. While it is open: the wait for CONNECT when credentials are required,
 * then pings. The first ping comes about two seconds after CONNECT, later ones every ping_interval unless the
 * client was heard; a client that leaves ping_max of them unanswered is told it is stale and closed. On the
 * way out the timer bounds the draining and the lingering. */
#include "conn/state.h"

#include "base/must.h"

#define RTT_INTERVAL_NS ((uint64_t)3600 * 1000000000u)

static void arm(struct conn *c, int64_t ns) {
    must(ns > 0);
    io_timer_set(c->cs->io, &c->timer, io_now(c->cs->io) + (uint64_t)ns);
}

void conn_arm_ping(struct conn *c) { arm(c, c->cs->limits->ping_interval_ns); }

/* After CONNECT: soon, but spread by up to a fifth, so that many clients that came together are not pinged
 * together. */
void conn_arm_first(struct conn *c) {
    must(c->phase == CONN_OPEN);
    const struct conn_limits *l = c->cs->limits;
    if (!c->connected) {
        arm(c, c->parser.auth_pending ? l->auth_timeout_ns : l->ping_interval_ns);
        return;
    }
    int64_t ns = l->first_ping_ns < l->ping_interval_ns ? l->first_ping_ns : l->ping_interval_ns;
    arm(c, ns + (int64_t)rng_below(&c->cs->rng, (uint64_t)ns / 5 + 1));
}

static void auth_timeout(struct conn *c) {
    must(c->parser.auth_pending);
    conn_log(c, LOG_DEBUG, "Authentication Timeout");
    conn_err(c, "Authentication Timeout");
    conn_close(c, "Authentication Timeout", true);
}

static void ping_or_close(struct conn *c) {
    const struct conn_limits *l = c->cs->limits;
    uint64_t now = io_now(c->cs->io), quiet = now - c->heard_ns;
    bool rtt_due = c->pinged_ns == 0 || now - c->pinged_ns > RTT_INTERVAL_NS;
    conn_log(c, LOG_DEBUG, "Client Ping Timer");
    if (c->paused) {
        /* Its PONG may be among the bytes that are not read. */
    } else if (quiet < (uint64_t)l->ping_interval_ns && !rtt_due) {
        conn_log(c, LOG_DEBUG, "Delaying PING due to remote client data or ping %llus ago",
                 (unsigned long long)((quiet + 500000000u) / 1000000000u));
    } else if (c->pings_out + 1 > l->ping_max) {
        conn_log(c, LOG_DEBUG, "Stale Client Connection - Closing");
        c->cs->counters.stale++;
        conn_err(c, "Stale Connection");
        conn_close(c, "Stale Connection", true);
        return;
    } else {
        c->pinged_ns = now;
        conn_ping(c);
    }
    conn_arm_ping(c);
}

void conn_on_timer(struct io_timer *t) {
    struct conn *c = container_of(t, struct conn, timer);
    if (c->phase != CONN_OPEN) {
        c->phase = CONN_DEAD;
        conn_advance(c);
    } else if (c->parser.auth_pending) {
        auth_timeout(c);
    } else {
        ping_or_close(c);
    }
}
