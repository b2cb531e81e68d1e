/* test_conn_life.c - a connection's life: INFO, barriers, pings and deadlines, its end, and what the log says
 * of it. */
#include <arpa/inet.h>

#include "conn/state.h"
#include "conn_host.h"
#include "wire/connect.h"

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
    client_say(&c, QUIET "PING\r\n");
    CHECK(strncmp(c.out, "PONG\r\nINFO {", 12) == 0);
    CHECK(strstr(c.out, "\"connect_info\":true,\"remote_account\":\"$G\",\"api_lvl\":5") != NULL);
    client_close(&c);
    host_close(&h);
}

/* Who am I? As the nats tool asks. */
static void user_info(void) {
    struct host h;
    struct client c;
    host_defaults(&h);
    host_open(&h);
    start(&c, &h, 7, QUIET "SUB r 1\r\n");
    client_say(&c, "PUB $SYS.REQ.USER.INFO r 0\r\n\r\nPUB $SYS.REQ.USER.INFO 0\r\n\r\nPING\r\n");
    CHECK(strncmp(client_text(&c), "MSG r 1 ", 8) == 0);
    CHECK(strstr(client_text(&c),
                 "\r\n{\"server\":{\"name\":\"test\",\"host\":\"127.0.0.1\",\"id\":\"NTEST\","
                 "\"ver\":\"2.15.2\",\"jetstream\":false,\"time\":\"") != NULL);
    CHECK(strstr(client_text(&c),
                 "\"data\":{\"user\":\"\",\"account\":\"$G\",\"account_name\":\"$G\"}}\r\n") != NULL);
    CHECK(strstr(client_text(&c) + 8, "MSG") == NULL); /* who gives no reply gets none */
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

/* --- barriers --- */

static void barrier_holds_pong(void) {
    struct host h;
    struct client c;
    host_defaults(&h);
    h.hold_barriers = true;
    host_open(&h);
    start(&c, &h, 4, QUIET "SUB a 1\r\n");
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
    start(&c, &h, 4, QUIET);
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
    client_send(&c, QUIET, strlen(QUIET));
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
    start(&c, &h, 1, QUIET);
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
    start(&ready, &h, 1, QUIET "PING\r\n");
    start(&early, &h, 2, QUIET);
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
    start(&s, &h, 1, QUIET "SUB a 1\r\n");
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
    start(&s, &h, 1, QUIET "SUB a 1\r\n");
    start(&p, &h, 2, QUIET);
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
    start(&c, &h, 7, QUIET "SUB a 1\r\nPUB a 1\r\nx\r\nPING\r\nPONG\r\n");
    CHECK_STR(h.lines, "");
    client_close(&c);
    host_close(&h);
}

CHECK_MAIN(CASE(info_fields), CASE(user_info), CASE(a_full_server), CASE(barrier_holds_pong),
           CASE(barrier_and_verbose), CASE(barrier_and_eof), CASE(stale_client), CASE(answering_client),
           CASE(auth_timeout), CASE(authorization), CASE(lame_duck), CASE(last_words_leave),
           CASE(closed_while_sending), CASE(the_error_survives_posix), CASE(the_error_survives_auto),
           CASE(log_lines), CASE(quiet_log))
