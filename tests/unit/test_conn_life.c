/* What a connection may cost and whom: limits, slow consumers, memory, pings, barriers, back pressure, and
 * all the ways it ends while something is still under way. */
#include <arpa/inet.h>

#include "base/rng.h"
#include "conn/state.h"
#include "conn_host.h"
#include "wire/connect.h"

#define Q0  "CONNECT {\"verbose\":false,\"headers\":true,\"protocol\":1}\r\n"
#define MS_ 1000000ll

static void log_has(struct host *h, const char *text) {
    if (strstr(h->lines, text)) return;
    size_t skip = h->lines_n > 3000 ? h->lines_n - 3000 : 0;
    fprintf(stderr, "the log has no line with\n  %s\nbut, at its end,\n%s\n", text, h->lines + skip);
    exit(1);
}

static void hears(struct client *c, const char *text) {
    client_take(c);
    CHECK_STR(client_text(c), text);
    client_clear(c);
}

static void start(struct client *c, struct host *h, uint64_t cid, const char *text) {
    client_open(c, h, cid);
    client_say(c, text);
    client_clear(c);
}

/* --- INFO --- */

static void info_fields(void) {
    struct host h;
    struct client c;
    host_defaults(&h);
    h.server.jetstream = true;
    h.server.domain = "hub";
    h.server.xkey = "XKEY";
    host_open(&h);
    client_open(&c, &h, 77);
    pump(&h);
    client_take(&c);
    CHECK_STR(
        c.out,
        "INFO "
        "{\"server_id\":\"NTEST\",\"server_name\":\"test\",\"version\":\"2.15.2\",\"proto\":1,\"go\":"
        "\"none\","
        "\"host\":\"127.0.0.1\",\"port\":4222,\"headers\":true,\"max_payload\":1048576,\"jetstream\":true,"
        "\"client_id\":77,\"client_ip\":\"unix\",\"domain\":\"hub\",\"api_lvl\":5,\"xkey\":\"XKEY\"} \r\n");
    client_clear(&c);
    client_say(&c, Q0 "PING\r\n");
    CHECK(strncmp(c.out, "PONG\r\nINFO {", 12) == 0);
    CHECK(strstr(c.out, "\"connect_info\":true,\"remote_account\":\"$G\",\"api_lvl\":5") != NULL);
    client_close(&c);
    host_close(&h);
}

static void a_full_server(void) {
    struct host h;
    struct client c;
    host_defaults(&h);
    host_open(&h);
    client_open_as(&c, &h, 5, true);
    pump(&h);
    hears(&c, "INFO{} \r\n-ERR 'maximum connections exceeded'\r\n<EOF>");
    log_has(&h, "cid:5 - maximum connections exceeded\n");
    log_has(&h, "cid:5 - Client connection closed: Maximum Connections Exceeded\n");
    client_close(&c);
    pump(&h);
    CHECK_EQ(conns_count(&h.cs), 0);
    CHECK_EQ(h.closed, 1);
    host_close(&h);
}

/* --- limits --- */

static void control_lines(void) {
    static char line[6000];
    struct host h;
    struct client c;
    host_defaults(&h);
    host_open(&h);
    start(&c, &h, 1, Q0);
    memset(line, 'a', 4094);
    memcpy(line, "PUB ", 4);
    memcpy(line + 4094, " 1\r\nx\r\nPING\r\n", 14); /* 4092 bytes of arguments */
    client_say(&c, line);
    hears(&c, "PONG\r\nINFO{ci} \r\n");
    memset(line, 'a', 5000); /* never a line end */
    memcpy(line, "PUB ", 4);
    line[5000] = '\0';
    client_say(&c, line);
    hears(&c, "-ERR 'maximum control line exceeded'\r\n<EOF>");
    log_has(&h, "Client connection closed: Maximum Control Line Exceeded\n");
    client_close(&c);
    host_close(&h);
}

static void subscription_limits(void) {
    struct host h;
    struct client c;
    host_defaults(&h);
    h.limits.max_subscriptions = 2;
    h.limits.max_sub_tokens = 3;
    host_open(&h);
    start(&c, &h, 1, Q0 "PING\r\n");
    client_say(&c, "SUB a 1\r\nSUB a.b.c.d 2\r\nSUB a.b.c 2\r\nSUB b 3\r\nUNSUB 1\r\nSUB b 3\r\nPUB b "
                   "0\r\n\r\nPING\r\n");
    hears(&c, "-ERR 'Permissions Violation for Subscription to \"a.b.c.d\", too many tokens'\r\n"
              "-ERR 'maximum subscriptions exceeded'\r\nMSG b 3 0\r\n\r\nPONG\r\n");
    client_close(&c);
    host_close(&h);
}

static void headers_are_cut_off(void) {
    struct host h;
    struct client with, without;
    host_defaults(&h);
    host_open(&h);
    start(&with, &h, 1, Q0 "SUB a 1\r\n");
    start(&without, &h, 2, "CONNECT {\"verbose\":false}\r\nSUB a 2\r\n");
    client_say(&with, "HPUB a r 20 22\r\nNATS/1.0\r\nA: bcd\r\n\r\nhi\r\n");
    hears(&with, "HMSG a 1 r 20 22\r\nNATS/1.0\r\nA: bcd\r\n\r\nhi\r\n");
    hears(&without, "MSG a 2 r 2\r\nhi\r\n");
    client_close(&with);
    client_close(&without);
    host_close(&h);
}

/* --- payloads --- */

enum { BIG = 1 << 20 };
static uint8_t big[BIG + 2];

static void make_big(uint64_t seed) {
    struct rng r = {seed};
    for (size_t i = 0; i < BIG; i++) big[i] = (uint8_t)rng_next(&r);
    memcpy(big + BIG, "\r\n", 2);
}

static void hears_big(struct client *c, const char *line) {
    size_t n = strlen(line);
    client_take(c);
    CHECK(c->n == n + BIG + 2);
    CHECK_MEM(c->out, n, line, n);
    CHECK_MEM(c->out + n, BIG + 2, big, BIG + 2);
    client_clear(c);
}

static void large_payloads(enum io_backend backend) {
    struct host h;
    struct client p, s;
    host_defaults(&h);
    h.backend = backend;
    host_open(&h);
    start(&s, &h, 1, Q0 "SUB > 1\r\n");
    start(&p, &h, 2, Q0);
    for (uint64_t seed = 1; seed <= 3; seed++) {
        make_big(seed);
        size_t piece = seed == 1 ? sizeof big : seed == 2 ? 65536 : 4999;
        client_send(&p, "PUB a 1048576\r\n", 15);
        for (size_t at = 0; at < sizeof big; at += piece) {
            client_send(&p, big + at, sizeof big - at < piece ? sizeof big - at : piece);
            conns_flush(&h.cs);
            io_tick(h.io, 0);
            client_take(&s);
        }
        for (int i = 0; i < 50 && s.n < BIG; i++) { /* the socket holds less than it all */
            pump(&h);
            client_take(&s);
        }
        pump(&h);
        hears_big(&s, "MSG a 1 1048576\r\n");
        CHECK_EQ(h.cs.ingest.used, 0);
    }
    client_close(&p);
    client_close(&s);
    host_close(&h);
}
static void large_payloads_posix(void) { large_payloads(IO_POSIX); }
static void large_payloads_auto(void) { large_payloads(IO_AUTO); }

/* The budget holds one such message: the second waits for the first, and gets its turn. */
static void ingest_budget(void) {
    struct host h;
    struct client a, b, s;
    host_defaults(&h);
    h.limits.ingest_max = 1;
    host_open(&h);
    start(&s, &h, 1, Q0 "SUB > 1\r\n");
    start(&a, &h, 2, Q0);
    start(&b, &h, 3, Q0);
    make_big(4);
    client_say(&a, "PUB a 1048576\r\n");
    client_send(&a, big, BIG / 2);
    pump(&h);
    client_say(&b, "PUB b 1048576\r\n");
    size_t sent = 0; /* as much as it can without pumping for ever: the server does not read */
    for (ssize_t k; (k = send(b.fd, big + sent, sizeof big - sent, MSG_NOSIGNAL)) > 0;) {
        sent += (size_t)k;
        pump(&h);
    }
    CHECK(sent < sizeof big);
    CHECK(!list_empty(&h.cs.starved));
    CHECK(h.cs.ingest.used < 3 << 20);
    client_say(&s, "PING\r\n"); /* others do not notice */
    hears(&s, "PONG\r\nINFO{ci} \r\n");
    client_send(&a, big + BIG / 2, sizeof big - BIG / 2);
    for (int i = 0; i < 50 && s.n < BIG; i++) {
        pump(&h);
        client_take(&s);
    }
    hears_big(&s, "MSG a 1 1048576\r\n");
    while (sent < sizeof big) {
        ssize_t k = send(b.fd, big + sent, sizeof big - sent, MSG_NOSIGNAL);
        sent += k > 0 ? (size_t)k : 0;
        pump(&h);
        client_take(&s);
    }
    for (int i = 0; i < 50 && s.n < BIG; i++) {
        pump(&h);
        client_take(&s);
    }
    hears_big(&s, "MSG b 1 1048576\r\n");
    CHECK_EQ(h.cs.ingest.used, 0);
    client_close(&a);
    client_close(&b);
    client_close(&s);
    host_close(&h);
}

static bool one_closed(struct host *h) { return h->closed == 1; }

/* One that sends half a message and no more gives way to those that wait for the room it takes. */
static void idle_gatherer(void) {
    struct host h;
    struct client a, b;
    host_defaults(&h);
    h.limits.ingest_max = 1;
    h.limits.write_deadline_ns = 20 * MS_;
    host_open(&h);
    start(&a, &h, 2, Q0);
    start(&b, &h, 3, Q0 "SUB b 1\r\n");
    client_say(&a, "PUB a 1048576\r\nhalf");
    client_say(&b, "PUB b 1048576\r\nhalf");
    pump_until(&h, one_closed);
    CHECK_EQ(h.closed_cid, 2);
    make_big(5);
    client_say(&b, "");
    CHECK(h.cs.ingest.used > 0);
    log_has(&h, "cid:2 - Half a message of 1048589 bytes holds memory that others wait for\n");
    client_close(&a);
    client_close(&b);
    host_close(&h);
}

/* --- slow consumers --- */

static void publish_many(struct client *p, const char *subject, size_t bytes, int count) {
    static char text[70000];
    int n = snprintf(text, sizeof text, "PUB %s %zu\r\n", subject, bytes);
    memset(text + n, 'x', bytes);
    memcpy(text + (size_t)n + bytes, "\r\n", 2);
    for (int i = 0; i < count; i++) client_send(p, text, (size_t)n + bytes + 2);
}

static void max_pending(void) {
    struct host h;
    struct client slow, good, p;
    host_defaults(&h);
    h.log.level = LOG_DEBUG;
    h.limits.max_pending = 2 << 20;
    host_open(&h);
    start(&slow, &h, 1, Q0 "SUB a 1\r\n");
    start(&good, &h, 2, Q0 "SUB a 1\r\n");
    start(&p, &h, 3, Q0);
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
    start(&slow, &h, 1, Q0 "SUB a 1\r\n");
    start(&p, &h, 2, Q0);
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
    start(&slow, &h, 1, Q0 "SUB a 1\r\n");
    start(&p, &h, 2, Q0 "SUB b 9\r\n");
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
    start(&slow, &h, 1, Q0 "SUB a 1\r\n");
    start(&p, &h, 2, Q0);
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
    start(&slow, &h, 1, Q0 "SUB a 1\r\n");
    start(&p, &h, 2, Q0);
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
    start(&p, &h, 1, Q0 "PING\r\n");
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
    start(&p, &h, 1, Q0 "PUB a 1\r\n1\r\nPUB a 1\r\n2\r\n");
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
    client_send(&p, Q0 "PUB a 1\r\n1\r\n", strlen(Q0) + 12);
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
    start(&c, &h, 1, Q0 "SUB a 1\r\nUNSUB 1 1\r\nSUB b q 2\r\nUNSUB 2 1\r\n");
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

/* --- barriers --- */

static void barrier_holds_pong(void) {
    struct host h;
    struct client c;
    host_defaults(&h);
    h.hold_barriers = true;
    host_open(&h);
    start(&c, &h, 4, Q0 "SUB a 1\r\n");
    client_say(&c, "PING\r\nPUB a 1\r\nx\r\nPING\r\n");
    CHECK_EQ(h.barriers, 2);
    hears(&c, "MSG a 1 1\r\nx\r\n"); /* the rest does not wait */
    conn_barrier_done(&h.cs, 4);
    pump(&h);
    hears(&c, "PONG\r\nINFO{ci} \r\n");
    conn_barrier_done(&h.cs, 4);
    pump(&h);
    hears(&c, "PONG\r\n");
    client_say(&c, "PING\r\n");
    h.hold_barriers = false; /* one that needs none keeps its place */
    client_say(&c, "PING\r\n");
    hears(&c, "");
    conn_barrier_done(&h.cs, 4);
    pump(&h);
    hears(&c, "PONG\r\nPONG\r\n");
    h.hold_barriers = true;
    client_say(&c, "PING\r\nPING\r\nNONSENSE\r\n");
    hears(&c, "PONG\r\nPONG\r\n-ERR 'Unknown Protocol Operation'\r\n<EOF>");
    conn_barrier_done(&h.cs, 4); /* too late, and no matter */
    conn_barrier_done(&h.cs, 99);
    client_close(&c);
    host_close(&h);
}

/* A client that says goodbye at once gets the PONG it asked for. */
static void barrier_and_eof(void) {
    struct host h;
    struct client c;
    host_defaults(&h);
    h.hold_barriers = true;
    host_open(&h);
    start(&c, &h, 4, Q0);
    client_send(&c, "PING\r\n", 6);
    shutdown(c.fd, SHUT_WR);
    pump(&h);
    CHECK_EQ(h.closed, 0);
    conn_barrier_done(&h.cs, 4);
    pump(&h);
    hears(&c, "PONG\r\nINFO{ci} \r\n<EOF>");
    CHECK_EQ(h.closed, 1);
    client_close(&c);
    host_close(&h);
}

static void barrier_and_verbose(void) {
    struct host h;
    struct client c;
    host_defaults(&h);
    h.hold_barriers = true;
    host_open(&h);
    start(&c, &h, 4, "CONNECT {}\r\n");
    client_say(&c, "PING\r\nSUB a 1\r\nPING\r\nPUB a 0\r\n\r\n");
    hears(&c, "");
    CHECK_EQ(h.barriers, 1);
    conn_barrier_done(&h.cs, 4);
    pump(&h);
    hears(&c, "PONG\r\n+OK\r\n");
    conn_barrier_done(&h.cs, 4);
    pump(&h);
    hears(&c, "PONG\r\n+OK\r\nMSG a 1 0\r\n\r\n");
    client_send(&c, "PING\r\n", 6); /* and one that says goodbye at once gets its PONG */
    shutdown(c.fd, SHUT_WR);
    pump(&h);
    CHECK_EQ(h.closed, 0);
    conn_barrier_done(&h.cs, 4);
    pump(&h);
    hears(&c, "PONG\r\n<EOF>");
    CHECK_EQ(h.closed, 1);
    client_close(&c);
    host_close(&h);
}

/* --- pings and time --- */

static void stale_client(void) {
    struct host h;
    struct client c;
    host_defaults(&h);
    h.limits.first_ping_ns = 5 * MS_;
    h.limits.ping_interval_ns = 5 * MS_;
    host_open(&h);
    client_open(&c, &h, 1);
    client_send(&c, Q0, strlen(Q0));
    pump_until(&h, one_closed);
    hears(&c, "INFO{} \r\nPING\r\nPING\r\n-ERR 'Stale Connection'\r\n<EOF>");
    log_has(&h, "cid:1 - Client Ping Timer\n");
    log_has(&h, "cid:1 - Stale Client Connection - Closing\n");
    log_has(&h, "cid:1 - Client connection closed: Stale Connection\n");
    CHECK_EQ(h.cs.counters.stale, 1);
    client_close(&c);
    host_close(&h);
}

static void answering_client(void) {
    struct host h;
    struct client c;
    host_defaults(&h);
    h.limits.first_ping_ns = 20 * MS_;
    h.limits.ping_interval_ns = 20 * MS_;
    host_open(&h);
    start(&c, &h, 1, Q0);
    for (int pings = 0; pings < 6;) {
        io_tick(h.io, io_now(h.io) + MS_);
        conns_flush(&h.cs);
        io_clock_refresh(h.io);
        client_take(&c);
        if (!strstr(c.out, "PING\r\n")) continue;
        client_clear(&c);
        client_send(&c, "PONG\r\n", 6);
        pings++;
    }
    CHECK_EQ(h.closed, 0);
    client_close(&c);
    host_close(&h);
}

static void auth_timeout(void) {
    struct host h;
    struct client c;
    host_defaults(&h);
    h.server.auth_required = true;
    h.limits.auth_timeout_ns = 5 * MS_;
    host_open(&h);
    client_open(&c, &h, 1);
    pump_until(&h, one_closed);
    hears(&c, "INFO{} \r\n-ERR 'Authentication Timeout'\r\n<EOF>");
    client_close(&c);
    host_close(&h);
}

static bool knows_ann(void *ctx, const void *opts) {
    const struct connect_opts *o = opts;
    (void)ctx;
    return span_eq(o->user, SPAN_LIT("ann"));
}

static void authorization(void) {
    static const struct {
        const char *say, *hear;
    } cases[] = {
        {"PING\r\n", "INFO{} \r\n-ERR 'Authorization Violation'\r\n<EOF>"},
        {"CONNECT {\"user\":\"bob\"}\r\nPING\r\n", "INFO{} \r\n-ERR 'Authorization Violation'\r\n<EOF>"},
        {"CONNECT {\"user\":\"ann\"}\r\nPING\r\n", "INFO{} \r\n+OK\r\nPONG\r\n"},
        {"CONNECT {\"user\":\"ann\"}\r\nCONNECT {\"user\":\"bob\"}\r\n",
         "INFO{} \r\n+OK\r\n-ERR 'Authorization Violation'\r\n<EOF>"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct host h;
        struct client c;
        host_defaults(&h);
        h.server.auth_required = true;
        h.authorize = knows_ann;
        host_open(&h);
        client_open(&c, &h, 1);
        client_say(&c, cases[i].say);
        hears(&c, cases[i].hear);
        client_close(&c);
        host_close(&h);
    }
}

/* --- the end --- */

static void lame_duck(void) {
    struct host h;
    struct client ready, early;
    host_defaults(&h);
    host_open(&h);
    start(&ready, &h, 1, Q0 "PING\r\n");
    start(&early, &h, 2, Q0);
    conns_lame_duck(&h.cs);
    pump(&h);
    hears(&ready, "INFO{ldm} \r\n");
    hears(&early, "");
    int fds[2];
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    CHECK_EQ(conn_open(&h.cs, fds[1], 3, false), ERR_CLOSED);
    char byte;
    CHECK_EQ(recv(fds[0], &byte, 1, 0), 0); /* closed */
    close(fds[0]);
    client_close(&ready);
    client_close(&early);
    host_close(&h);
}

static void last_words_leave(void) {
    struct host h;
    struct client s;
    host_defaults(&h);
    host_open(&h);
    start(&s, &h, 1, Q0 "SUB a 1\r\n");
    client_send(&s, "PUB a 1\r\nx\r\n", 12);
    io_tick(h.io, io_now(h.io) + MS_);
    conns_close_all(&h.cs, "Server Shutdown");
    pump(&h);
    hears(&s, "MSG a 1 1\r\nx\r\n<EOF>");
    log_has(&h, "Client connection closed: Server Shutdown\n");
    client_close(&s);
    host_close(&h);
}

/* Closed while a send is stuck in the kernel and the peer neither reads nor leaves: it takes the drain's
 * time, no more. */
static void closed_while_sending(void) {
    struct host h;
    struct client s, p;
    host_defaults(&h);
    host_open(&h);
    start(&s, &h, 1, Q0 "SUB a 1\r\n");
    start(&p, &h, 2, Q0);
    publish_many(&p, "a", 60000, 20);
    pump(&h);
    CHECK_EQ(h.closed, 0);
    host_close(&h);
    CHECK_EQ(h.closed, 2);
    client_close(&s);
    client_close(&p);
}

struct tcp {
    int listener, port;
};
static void tcp_open(struct tcp *t, struct host *h) {
    t->port = -1;
    CHECK_EQ(io_listen(h->io, "127.0.0.1", &t->port, &t->listener), ERR_OK);
}
static void tcp_connect(struct tcp *t, struct client *c, struct host *h, uint64_t cid) {
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)t->port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    *c = (struct client){
        .h = h, .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .out = calloc(1, HOST_OUT_MAX)};
    CHECK_EQ(connect(c->fd, (struct sockaddr *)&a, sizeof a), 0);
    CHECK_EQ(fcntl(c->fd, F_SETFL, O_NONBLOCK), 0);
    struct sockaddr_in peer;
    socklen_t n = sizeof peer;
    fcntl(t->listener, F_SETFL, 0);
    int fd = accept4(t->listener, (struct sockaddr *)&peer, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
    CHECK(fd >= 0);
    CHECK_EQ(conn_open(&h->cs, fd, cid, false), ERR_OK);
}

/* An error reaches a client that is still sending: closing with unread bytes would reset the connection. */
static void the_error_survives(enum io_backend backend) {
    struct host h;
    struct client c;
    struct tcp t;
    host_defaults(&h);
    h.backend = backend;
    host_open(&h);
    tcp_open(&t, &h);
    tcp_connect(&t, &c, &h, 12);
    pump(&h);
    client_take(&c);
    CHECK(strstr(c.out, "\"client_ip\":\"127.0.0.1\"") != NULL);
    client_clear(&c);
    make_big(1);
    client_send(&c, "PUB a 2000000\r\n", 15);
    size_t sent = 0;
    ssize_t k = 0;
    while (h.closed == 0) { /* it does not take all of that */
        k = send(c.fd, big, sizeof big, MSG_NOSIGNAL);
        sent += k > 0 ? (size_t)k : 0;
        pump(&h);
    }
    CHECK(sent < 32u << 20);
    CHECK_EQ(send(c.fd, big, sizeof big, MSG_NOSIGNAL), -1);
    c.out[0] = '\0';
    client_take(&c);
    CHECK(strncmp(c.out, "-ERR 'Maximum Payload Violation'\r\n", 34) == 0);
    close(c.fd);
    c.fd = -1;
    client_close(&c);
    close(t.listener);
    host_close(&h);
}
static void the_error_survives_posix(void) { the_error_survives(IO_POSIX); }
static void the_error_survives_auto(void) { the_error_survives(IO_AUTO); }

/* --- the log --- */

static void log_lines(void) {
    struct host h;
    struct client c;
    struct tcp t;
    struct sockaddr_in a;
    socklen_t n = sizeof a;
    char who[64], line[256];
    host_defaults(&h);
    host_open(&h);
    tcp_open(&t, &h);
    tcp_connect(&t, &c, &h, 7);
    CHECK_EQ(getsockname(c.fd, (struct sockaddr *)&a, &n), 0);
    snprintf(who, sizeof who, "127.0.0.1:%u - cid:7", ntohs(a.sin_port));
    client_say(
        &c,
        "CONNECT "
        "{\"verbose\":false,\"headers\":true,\"no_responders\":true,\"protocol\":1,\"user\":\"ann\",\"pass\":"
        "\"s3cr\\\"et\",\"auth_token\":\"t0k\",\"name\":\"me \\\"1\\\"\",\"lang\":\"c\",\"version\":\"1.2\","
        "\"nkey\":\"UA\",\"sig\":\"S1\",\"signal\":\"shown\",\"jwt\":\"J\"}\r\n");
    client_say(&c, "SUB s q 1\r\nPUB s r 5\r\nhe\"\\\n\r\nHPUB s 12 13\r\nNATS/1.0\r\n\r\n\xff\r\nUNSUB 1 "
                   "9\r\nUNSUB 1\r\nPING\r\n");
    client_say(&c, "PUB x 0\r\n\r\nPUB _GR_.a 0\r\n\r\nFOO bar\r\n");
    static const char *const lines[] = {
        "[DBG] %s - Client connection created\n",
        "[TRC] %s - <<- [CONNECT "
        "{\"verbose\":false,\"headers\":true,\"no_responders\":true,\"protocol\":1,\"user\":\"ann\","
        "\"pass\":\"[REDACTED]\",\"auth_token\":\"[REDACTED]\",\"name\":\"me "
        "\\\"1\\\"\",\"lang\":\"c\",\"version\":\"1.2\","
        "\"nkey\":\"[REDACTED]\",\"sig\":\"[REDACTED]\",\"signal\":\"shown\",\"jwt\":\"[REDACTED]\"}]\n",
        "[TRC] %s - \"v1.2:c:me \\\"1\\\"\" - \"$G/user:ann\" - <<- [SUB s q 1]\n",
        " - <<- [PUB s r 5]\n",
        " - <<- MSG_PAYLOAD: [\"he\\\"\\\\\\n\"]\n",
        " - ->> [MSG s 1 r 5]\n",
        " - ->> MSG_PAYLOAD: [\"he\\\"\\\\\\n\"]\n",
        " - <<- [HPUB s 12 13]\n",
        " - <<- MSG_PAYLOAD: [\"NATS/1.0\\r\\n\\r\\n\\xff\"]\n",
        " - ->> [HMSG s 1 12 13]\n",
        " - <<- [UNSUB 1 9]\n",
        " - <<- [UNSUB 1]\n",
        " - <-> [DELSUB 1]\n",
        " - <<- [PING]\n",
        " - ->> [PONG]\n",
        " - ->> [-ERR Permissions Violation for Publish to \"_GR_.a\"]\n",
        "[ERR] %s - \"v1.2:c:me \\\"1\\\"\" - \"$G/user:ann\" - Publish Violation - Subject \"_GR_.a\"\n",
        " - Client parser ERROR: proto='\"FOO bar\\r\\n\"...'\n",
        " - ->> [-ERR Unknown Protocol Operation]\n",
        "- \"$G/user:ann\" - Client connection closed: Protocol Violation\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        const char *percent = strstr(lines[i], "%s");
        if (percent && strlen(lines[i]) < 200) {
            snprintf(line, sizeof line, "%.*s%s%s", (int)(percent - lines[i]), lines[i], who, percent + 2);
            log_has(&h, line);
        } else {
            log_has(&h, percent ? percent + 2 : lines[i]);
        }
    }
    CHECK(strstr(h.lines, "s3cr") == NULL && strstr(h.lines, "t0k") == NULL &&
          strstr(h.lines, "S1\"") == NULL);
    client_close(&c);
    close(t.listener);
    host_close(&h);
}

/* Not a byte of tracing or debugging when it is off. */
static void quiet_log(void) {
    struct host h;
    struct client c;
    host_defaults(&h);
    h.log.level = LOG_INFO;
    host_open(&h);
    start(&c, &h, 7, Q0 "SUB a 1\r\nPUB a 1\r\nx\r\nPING\r\nPONG\r\n");
    CHECK_STR(h.lines, "");
    client_close(&c);
    host_close(&h);
}

/* --- all at once --- */

static const char *const scraps[] = {
    Q0,
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
            if (rng_below(&r, 4)) client_send(&c[i], Q0, strlen(Q0));
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

CHECK_MAIN(CASE(info_fields), CASE(a_full_server), CASE(control_lines), CASE(subscription_limits),
           CASE(headers_are_cut_off), CASE(large_payloads_posix), CASE(large_payloads_auto),
           CASE(ingest_budget), CASE(idle_gatherer), CASE(max_pending), CASE(write_deadline),
           CASE(outbox_memory), CASE(stalled_publisher), CASE(stuck_subscriber), CASE(parked_posix),
           CASE(parked_auto), CASE(closed_while_parked), CASE(barrier_holds_pong), CASE(barrier_and_verbose),
           CASE(barrier_and_eof), CASE(parked_and_pinged), CASE(ended_in_a_delivery), CASE(stale_client),
           CASE(answering_client), CASE(auth_timeout), CASE(authorization), CASE(lame_duck),
           CASE(last_words_leave), CASE(closed_while_sending), CASE(the_error_survives_posix),
           CASE(the_error_survives_auto), CASE(log_lines), CASE(quiet_log), CASE(crowd_posix),
           CASE(crowd_auto))
