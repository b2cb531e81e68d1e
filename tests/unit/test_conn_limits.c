/* test_conn_limits.c - what a client may send: lines, subscriptions, headers, payloads of any size, and the
 * shard's budget for those that come in pieces. */
#include "conn/state.h"
#include "conn_host.h"

/* --- limits --- */

static void control_lines(void) {
    static char line[6000];
    struct host h;
    struct client c;
    host_defaults(&h);
    host_open(&h);
    start(&c, &h, 1, QUIET);
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
    start(&c, &h, 1, QUIET "PING\r\n");
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
    start(&with, &h, 1, QUIET "SUB a 1\r\n");
    start(&without, &h, 2, "CONNECT {\"verbose\":false}\r\nSUB a 2\r\n");
    client_say(&with, "HPUB a r 20 22\r\nNATS/1.0\r\nA: bcd\r\n\r\nhi\r\n");
    hears(&with, "HMSG a 1 r 20 22\r\nNATS/1.0\r\nA: bcd\r\n\r\nhi\r\n");
    hears(&without, "MSG a 2 r 2\r\nhi\r\n");
    client_close(&with);
    client_close(&without);
    host_close(&h);
}

/* --- payloads --- */

static void large_payloads(enum io_backend backend) {
    struct host h;
    struct client p, s;
    host_defaults(&h);
    h.backend = backend;
    host_open(&h);
    start(&s, &h, 1, QUIET "SUB > 1\r\n");
    start(&p, &h, 2, QUIET);
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
    start(&s, &h, 1, QUIET "SUB > 1\r\n");
    start(&a, &h, 2, QUIET);
    start(&b, &h, 3, QUIET);
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

/* One that sends half a message and no more gives way to those that wait for the room it takes. */
static void idle_gatherer(void) {
    struct host h;
    struct client a, b;
    host_defaults(&h);
    h.limits.ingest_max = 1;
    h.limits.write_deadline_ns = 20 * MS_;
    host_open(&h);
    start(&a, &h, 2, QUIET);
    start(&b, &h, 3, QUIET "SUB b 1\r\n");
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

CHECK_MAIN(CASE(control_lines), CASE(subscription_limits), CASE(headers_are_cut_off),
           CASE(large_payloads_posix), CASE(large_payloads_auto), CASE(ingest_budget), CASE(idle_gatherer))
