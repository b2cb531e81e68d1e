/* test_conn_pressure.c - who waits for whom: slow consumers, a shard short of memory, sinks that want a
 * pause; and a crowd of clients that does everything at once. */
#include "base/rng.h"
#include "conn/state.h"
#include "conn_host.h"

/* --- slow consumers --- */

static void max_pending(void) {
    struct host h;
    struct client slow, good, p;
    host_defaults(&h);
    h.log.level = LOG_DEBUG;
    h.limits.max_pending = 2 << 20;
    host_open(&h);
    start(&slow, &h, 1, QUIET "SUB a 1\r\n");
    start(&good, &h, 2, QUIET "SUB a 1\r\n");
    start(&p, &h, 3, QUIET);
    size_t got = 0, expected = 0;
    for (int i = 0; i < 100; i++) {
        publish_many(&p, "a", 60000, 1);
        expected += strlen("MSG a 1 60000\r\n") + 60002;
        pump(&h);
        client_take(&good);
        got += good.n;
        client_clear(&good);
    }
    while (got < expected) {
        pump(&h);
        client_take(&good);
        got += good.n;
        client_clear(&good);
    }
    CHECK_EQ(got, expected);
    CHECK_EQ(h.closed, 1);
    CHECK_EQ(h.closed_cid, 1);
    CHECK_EQ(h.cs.counters.slow_consumers, 1);
    log_has(&h, "[INF] unix:0 - cid:1 - Slow Consumer Detected: MaxPending of 2097152 Exceeded\n");
    log_has(&h, "cid:1 - Client connection closed: Slow Consumer (Pending Bytes)\n");
    client_close(&slow);
    client_close(&good);
    client_close(&p);
    host_close(&h);
}

static void write_deadline(void) {
    struct host h;
    struct client slow, p;
    host_defaults(&h);
    h.log.level = LOG_DEBUG;
    h.limits.write_deadline_ns = 50 * MS_;
    host_open(&h);
    start(&slow, &h, 1, QUIET "SUB a 1\r\n");
    start(&p, &h, 2, QUIET);
    publish_many(&p, "a", 60000, 20);
    pump_until(&h, one_closed);
    CHECK_EQ(h.closed_cid, 1);
    log_has(&h, "cid:1 - Slow Consumer Detected: WriteDeadline of 50ms exceeded with ");
    log_has(&h, "cid:1 - Client connection closed: Slow Consumer (Write Deadline)\n");
    client_say(&p, "PING\r\n");
    hears(&p, "PONG\r\nINFO{ci} \r\n");
    client_close(&slow);
    client_close(&p);
    host_close(&h);
}

/* The shard's memory for outgoing bytes is used up: the one that hogs it goes, whoever noticed. */
static void outbox_memory(void) {
    struct host h;
    struct client slow, p;
    host_defaults(&h);
    h.log.level = LOG_DEBUG;
    h.limits.max_payload = 64 << 10;
    h.limits.outbox_max = 1;
    host_open(&h);
    start(&slow, &h, 1, QUIET "SUB a 1\r\n");
    start(&p, &h, 2, QUIET "SUB b 9\r\n");
    for (int i = 0; i < 120; i++) { /* the larger message, to the other, is the one that finds no room */
        publish_many(&p, "a", 20000, 1);
        publish_many(&p, "b", 60000, 1);
        for (int k = 0; k < 20 && p.n < 60000; k++) {
            pump(&h);
            client_take(&p);
        }
        CHECK_EQ(p.n, strlen("MSG b 9 60000\r\n") + 60002);
        client_clear(&p);
    }
    CHECK_EQ(h.closed, 1);
    CHECK_EQ(h.closed_cid, 1);
    log_has(&h, "cid:1 - Slow Consumer Detected: no memory left for outgoing messages, ");
    client_close(&slow);
    client_close(&p);
    host_close(&h);
}

/* Much is pending for a subscriber: its publisher pauses, and goes on by itself. */
static void stalled_publisher(void) {
    struct host h;
    struct client slow, p;
    host_defaults(&h);
    h.log.level = LOG_DEBUG;
    h.limits.max_pending = 4 << 20;
    host_open(&h);
    start(&slow, &h, 1, QUIET "SUB a 1\r\n");
    start(&p, &h, 2, QUIET);
    static char text[1024];
    int n = snprintf(text, sizeof text, "PUB a 1000\r\n%01000d\r\n", 0);
    bool parked = false;
    for (int i = 0; i < 4000 && !parked; i++) {
        client_send(&p, text, (size_t)n);
        conns_flush(&h.cs);
        io_tick(h.io, 0);
        parked = !list_empty(&h.cs.parked);
    }
    CHECK(parked);
    CHECK_EQ(h.closed, 0);
    client_send(&p, "PING\r\n", 6);
    for (int i = 0; i < 1000 && p.n == 0; i++) {
        pump(&h);
        client_take(&p);
        client_take(&slow);
        if (slow.n > BIG) client_clear(&slow);
    }
    hears(&p, "PONG\r\nINFO{ci} \r\n");
    CHECK_EQ(h.closed, 0);
    client_close(&slow);
    client_close(&p);
    host_close(&h);
}

/* One that has stopped reading for good: its publisher is slowed down to a buffer now and then, not stopped,
 * until the bound is reached and the client goes. What the server itself publishes does not wait for it. */
static void stuck_subscriber(void) {
    struct host h;
    struct client slow, p;
    host_defaults(&h);
    h.log.level = LOG_DEBUG;
    h.limits.max_pending = 2 << 20;
    host_open(&h);
    start(&slow, &h, 1, QUIET "SUB a 1\r\n");
    start(&p, &h, 2, QUIET);
    publish_many(&p, "a", 60000, 33); /* past three quarters */
    for (int i = 0; i < 400; i++) {   /* until it counts as stopped */
        io_tick(h.io, io_now(h.io) + MS_);
        conns_flush(&h.cs);
        io_clock_refresh(h.io);
    }
    CHECK_EQ(h.closed, 0);
    struct conn *c = container_of(h.cs.all.next, struct conn, all);
    CHECK(c->out.pending > c->stall_at);
    struct route_msg m = {.msg = {.subject = SPAN_LIT("a")}};
    CHECK_EQ(route_publish(h.route, &m), 1);
    CHECK(!m.congested);
    m.cid = 99; /* a client of another shard */
    CHECK_EQ(route_publish(h.route, &m), 1);
    CHECK(m.congested);
    size_t before = c->out.pending;
    publish_many(&p, "a", 1000, 50); /* one buffer: a pause, then all of it */
    for (int i = 0; i < 1000 && c->out.pending - before < 50000; i++) pump(&h);
    CHECK_EQ(c->out.pending - before, 50 * (strlen("MSG a 1 1000\r\n") + 1002));
    CHECK_EQ(h.closed, 0);
    publish_many(&p, "a", 60000, 20);
    pump_until(&h, one_closed);
    CHECK_EQ(h.closed_cid, 1);
    log_has(&h, "cid:1 - Slow Consumer Detected: MaxPending of 2097152 Exceeded\n");
    client_close(&slow);
    client_close(&p);
    host_close(&h);
}

/* --- a sink that wants a pause --- */

struct narrow {
    struct sink sink;
    struct sub sub;
    unsigned got;
    bool full;
};
static bool narrow_deliver(struct sink *sink, struct sub *sub, struct route_msg *m) {
    struct narrow *n = container_of(sink, struct narrow, sink);
    (void)sub;
    n->got++;
    m->congested = n->full;
    return true;
}

static void parked(enum io_backend backend) {
    struct host h;
    struct client p;
    struct narrow n = {.sink.deliver = narrow_deliver, .full = true};
    host_defaults(&h);
    h.backend = backend;
    host_open(&h);
    n.sub.sink = &n.sink;
    n.sub.subject = SPAN_LIT("a");
    CHECK_EQ(route_subscribe(h.route, &n.sub), ERR_OK);
    start(&p, &h, 1, QUIET "PING\r\n");
    client_say(&p, "PUB a 1\r\n1\r\nPUB a 1\r\n2\r\nPUB a 1\r\n3\r\nPING\r\nPUB a 1\r\n4");
    CHECK_EQ(n.got, 1);
    client_say(&p, "\r\nPUB b 1\r\n5\r\n");
    CHECK_EQ(n.got, 1);
    conns_unpark(&h.cs);
    pump(&h);
    CHECK_EQ(n.got, 2); /* still full: one more, and parked again */
    n.full = false;
    conns_unpark(&h.cs);
    client_say(&p, "");
    CHECK_EQ(n.got, 4);
    hears(&p, "PONG\r\n");
    CHECK_EQ(h.cs.ingest.used, 0);
    n.full = true; /* a peer that goes while parked: what it sent before is still handled */
    client_send(&p, "PUB a 1\r\n1\r\nPUB a 1\r\n2\r\n", 24);
    shutdown(p.fd, SHUT_WR);
    pump(&h);
    CHECK_EQ(n.got, 5);
    CHECK_EQ(h.closed, 0);
    n.full = false;
    conns_unpark(&h.cs);
    pump(&h);
    CHECK_EQ(n.got, 6);
    CHECK_EQ(h.closed, 1);
    client_close(&p);
    route_unsubscribe(h.route, &n.sub);
    host_close(&h);
}
static void parked_posix(void) { parked(IO_POSIX); }
static void parked_auto(void) { parked(IO_AUTO); }

static void closed_while_parked(void) {
    struct host h;
    struct client p;
    struct narrow n = {.sink.deliver = narrow_deliver, .full = true};
    host_defaults(&h);
    host_open(&h);
    n.sub.sink = &n.sink;
    n.sub.subject = SPAN_LIT("a");
    CHECK_EQ(route_subscribe(h.route, &n.sub), ERR_OK);
    start(&p, &h, 1, QUIET "PUB a 1\r\n1\r\nPUB a 1\r\n2\r\n");
    CHECK_EQ(n.got, 1);
    route_unsubscribe(h.route, &n.sub);
    host_close(&h);
    CHECK_EQ(n.got, 1);
    client_close(&p);
}

/* A parked client's PONG may be among what is not read: it is not stale. */
static bool pinged_often(struct host *h) {
    int n = 0;
    for (const char *at = h->lines; (at = strstr(at, "Client Ping Timer")); at++) n++;
    return n >= 5;
}
static void parked_and_pinged(void) {
    struct host h;
    struct client p;
    struct narrow n = {.sink.deliver = narrow_deliver, .full = true};
    host_defaults(&h);
    h.limits.first_ping_ns = 2 * MS_;
    h.limits.ping_interval_ns = 2 * MS_;
    host_open(&h);
    n.sub.sink = &n.sink;
    n.sub.subject = SPAN_LIT("a");
    CHECK_EQ(route_subscribe(h.route, &n.sub), ERR_OK);
    client_open(&p, &h, 1);
    client_send(&p, QUIET "PUB a 1\r\n1\r\n", strlen(QUIET) + 12);
    pump_until(&h, pinged_often);
    CHECK_EQ(h.closed, 0);
    route_unsubscribe(h.route, &n.sub);
    client_close(&p);
    host_close(&h);
}

/* --- messages from other than a client of this shard --- */

static size_t server_publishes(struct host *h, const char *subject) {
    struct route_msg m = {.msg = {.subject = span_str(subject), .payload = SPAN_LIT("x")}};
    return route_publish(h->route, &m);
}

static void ended_in_a_delivery(void) {
    struct host h;
    struct client c;
    host_defaults(&h);
    host_open(&h);
    start(&c, &h, 1, QUIET "SUB a 1\r\nUNSUB 1 1\r\nSUB b q 2\r\nUNSUB 2 1\r\n");
    CHECK_EQ(server_publishes(&h, "a"), 1);
    CHECK_EQ(server_publishes(&h, "a"), 0); /* ended, though route still knows it */
    CHECK_EQ(server_publishes(&h, "a"), 0);
    CHECK_EQ(server_publishes(&h, "b"), 1);
    CHECK_EQ(server_publishes(&h, "b"), 0);
    client_send(&c, "SUB c 1\r\n", 9); /* its sid is free at once */
    io_tick(h.io, io_now(h.io) + 100 * MS_);
    CHECK_EQ(server_publishes(&h, "c"), 1);
    pump(&h);
    hears(&c, "MSG a 1 1\r\nx\r\nMSG b 2 1\r\nx\r\nMSG c 1 1\r\nx\r\n");
    client_close(&c);
    host_close(&h);
}

/* --- all at once --- */

static const char *const scraps[] = {
    QUIET,
    "CONNECT {}\r\n",
    "PING\r\n",
    "PONG\r\n",
    "SUB a 1\r\n",
    "SUB a q 2\r\n",
    "SUB > 3\r\n",
    "UNSUB 1\r\n",
    "UNSUB 2 2\r\n",
    "UNSUB 3 1\r\n",
    "PUB a 3\r\nabc\r\n",
    "PUB a b 2\r\nab\r\n",
    "PUB b 9000\r\n",
    "x",
    "\r\n",
    "HPUB a 12 12\r\nNATS/1.0\r\n\r\n\r\n",
    "FOO\r\n",
    "-ERR 'x'\r\n",
};

/* Random talk in random pieces, clients that come and go, publishers parked and freed: the checks are the
 * assertions, the sanitizers, and that nothing is left. */
static void crowd(enum io_backend backend, uint64_t seed) {
    enum { CLIENTS = 12 };
    struct host h;
    struct client c[CLIENTS];
    bool open[CLIENTS] = {false};
    struct rng r = {seed};
    uint64_t cid = 0;
    struct narrow n = {.sink.deliver = narrow_deliver};
    host_defaults(&h);
    h.backend = backend;
    h.log.level = LOG_INFO;
    h.limits.max_pending = 60000;
    h.limits.max_payload = 16384;
    h.limits.ingest_max = 1;
    h.limits.outbox_max = 1;
    host_open(&h);
    n.sub.sink = &n.sink;
    n.sub.subject = SPAN_LIT("a");
    CHECK_EQ(route_subscribe(h.route, &n.sub), ERR_OK);
    for (int step = 0; step < 6000; step++) {
        size_t i = (size_t)rng_below(&r, CLIENTS);
        if (!open[i]) {
            client_open_as(&c[i], &h, ++cid, rng_below(&r, 20) == 0);
            open[i] = true;
            if (rng_below(&r, 4)) client_send(&c[i], QUIET, strlen(QUIET));
        }
        size_t count = sizeof scraps / sizeof scraps[0] - (rng_below(&r, 8) ? 2 : 0); /* mostly no mistakes */
        const char *text = scraps[rng_below(&r, count)];
        size_t k = strlen(text), cut = rng_below(&r, 6) ? k : (size_t)rng_below(&r, k + 1);
        if (send(c[i].fd, text, cut, MSG_NOSIGNAL) < 0 && errno != EAGAIN && errno != EPIPE)
            CHECK(errno == ECONNRESET);
        if (rng_below(&r, 3) == 0) {
            client_take(&c[i]);
            client_clear(&c[i]);
        }
        n.full = rng_below(&r, 6) == 0;
        h.hold_barriers = rng_below(&r, 10) == 0;
        conns_flush(&h.cs);
        io_tick(h.io, 0);
        if (rng_below(&r, 5) == 0) conns_unpark(&h.cs);
        if (rng_below(&r, 3) == 0) host_reach(&h);
        if (rng_below(&r, 40) == 0 || c[i].eof) {
            client_close(&c[i]);
            open[i] = false;
        }
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        if (open[i]) client_close(&c[i]);
    }
    route_unsubscribe(h.route, &n.sub);
    n.full = false;
    conns_unpark(&h.cs);
    while (h.reached < h.barriers) host_reach(&h);
    host_close(&h);
    CHECK_EQ(h.closed, cid);
}
static void crowd_posix(void) {
    for (uint64_t seed = 1; seed <= 3; seed++) crowd(IO_POSIX, seed);
}
static void crowd_auto(void) { crowd(IO_AUTO, 9); }

CHECK_MAIN(CASE(max_pending), CASE(write_deadline), CASE(outbox_memory), CASE(stalled_publisher),
           CASE(stuck_subscriber), CASE(parked_posix), CASE(parked_auto), CASE(closed_while_parked),
           CASE(parked_and_pinged), CASE(ended_in_a_delivery), CASE(crowd_posix), CASE(crowd_auto))
