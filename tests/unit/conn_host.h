/* conn_host.h - a shard small enough for tests of connections: a real loop, a real route, and clients at the
 * other end of socket pairs. Everything runs on one thread; pump() ticks until nothing happens any more. */
#pragma once
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "base/rng.h"
#include "conn/conn.h"
#include "lib/check.h"

enum { HOST_OUT_MAX = 8 << 20, HOST_LOG_MAX = 1 << 20 };

struct host {
    struct io *io;
    struct route *route;
    struct conns cs;
    struct conn_limits limits;
    struct conn_server server;
    struct log log;
    char *lines; /* the log, a line each */
    size_t lines_n;
    bool hold_barriers;                 /* conn_barrier_done() is the test's to call */
    unsigned barriers, reached, closed; /* barriers asked for, and reached by host_reach() */
    uint64_t asked[8192];               /* by whom, in order */
    uint64_t closed_cid;
    bool (*authorize)(void *ctx, const void *opts);
    enum io_backend backend;
};

static inline void host_announce(void *ctx, struct span subject, struct span queue, bool add) {
    (void)ctx, (void)subject, (void)queue, (void)add;
}
static inline bool host_barrier(void *ctx, uint64_t cid) {
    struct host *h = ctx;
    if (!h->hold_barriers) return true;
    h->asked[h->barriers++ % 8192] = cid;
    return false;
}
/* The oldest barrier that is outstanding is reached. */
static inline void host_reach(struct host *h) {
    if (h->reached < h->barriers) conn_barrier_done(&h->cs, h->asked[h->reached++ % 8192]);
}
static inline void host_closed(void *ctx, uint64_t cid) {
    struct host *h = ctx;
    h->closed++;
    h->closed_cid = cid;
}
static inline void host_line(void *ctx, enum log_level level, const char *text) {
    struct host *h = ctx;
    static const char *const names[] = {"FTL", "ERR", "WRN", "INF", "DBG", "TRC"};
    if (h->lines_n + strlen(text) + 8 >= HOST_LOG_MAX) return;
    h->lines_n +=
        (size_t)snprintf(h->lines + h->lines_n, HOST_LOG_MAX - h->lines_n, "[%s] %s\n", names[level], text);
}

/* Limits as nats-server's defaults; a test changes h->limits or h->server before host_open(). */
static inline void host_defaults(struct host *h) {
    *h = (struct host){.backend = IO_POSIX};
    h->limits = (struct conn_limits){
        .max_payload = 1 << 20,
        .max_pending = 64 << 20,
        .max_control_line = 4096,
        .ping_interval_ns = 120000000000,
        .write_deadline_ns = 10000000000,
        .auth_timeout_ns = 2000000000,
        .first_ping_ns = 2000000000,
        .ping_max = 2,
    };
    h->server = (struct conn_server){.server_id = "NTEST",
                                     .server_name = "test",
                                     .version = "2.15.2",
                                     .go = "none",
                                     .host = "127.0.0.1",
                                     .port = 4222,
                                     .api_level = 5};
    h->log = (struct log){.level = LOG_TRACE, .line = host_line, .ctx = h};
}

static inline void host_open(struct host *h) {
    const char *why = NULL;
    struct io_config cfg = {.backend = h->backend};
    struct route_peer peer = {.ctx = h, .announce = host_announce};
    h->log.ctx = h;
    h->lines = calloc(1, HOST_LOG_MAX);
    CHECK(h->lines != NULL);
    CHECK_EQ(io_open(&h->io, &cfg, &why), ERR_OK);
    CHECK_EQ(route_open(&h->route, 0, 1, &peer, 7), ERR_OK);
    CHECK_EQ(conns_init(&h->cs, h->io, h->route, &h->limits, &h->server, &h->log), ERR_OK);
    h->cs.ctx = h;
    h->cs.barrier = host_barrier;
    h->cs.closed = host_closed;
    h->cs.authorize = h->authorize;
}

/* Ticks until three ticks in a row, each waiting a little, had nothing to do. */
static inline void pump(struct host *h) {
    for (int quiet = 0; quiet < 3;) {
        conns_flush(&h->cs);
        quiet = io_tick(h->io, io_now(h->io) + 1000000) ? 0 : quiet + 1;
        io_clock_refresh(h->io);
    }
}
/* Ticks until done says so; a test that never gets there hangs and is killed by the runner. */
static inline void pump_until(struct host *h, bool (*done)(struct host *h)) {
    while (!done(h)) {
        conns_flush(&h->cs);
        io_tick(h->io, io_now(h->io) + 1000000);
        io_clock_refresh(h->io);
    }
}

static inline void host_close(struct host *h) {
    conns_close_all(&h->cs, "Server Shutdown");
    while (conns_count(&h->cs)) {
        conns_flush(&h->cs);
        io_tick(h->io, io_now(h->io) + 1000000);
        io_clock_refresh(h->io);
    }
    conns_deinit(&h->cs);
    struct route_stats st;
    route_stats(h->route, &st);
    CHECK_EQ(st.subs, 0);
    route_close(h->route);
    io_close(h->io);
    free(h->lines);
}

/* The test's end of a connection. */
struct client {
    struct host *h;
    int fd;
    bool eof, reset;
    size_t n;
    char *out; /* what came so far, INFO lines cut to INFO{} and INFO{ci} by client_text() */
};

static inline void client_open_as(struct client *c, struct host *h, uint64_t cid, bool full) {
    int fds[2];
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    *c = (struct client){.h = h, .fd = fds[0], .out = malloc(HOST_OUT_MAX)};
    CHECK(c->out != NULL);
    c->out[0] = '\0';
    CHECK_EQ(conn_open(&h->cs, fds[1], cid, full), ERR_OK);
}
static inline void client_open(struct client *c, struct host *h, uint64_t cid) {
    client_open_as(c, h, cid, false);
}

/* Takes what is there. */
static inline void client_take(struct client *c) {
    for (;;) {
        CHECK(c->n + 65536 < HOST_OUT_MAX);
        ssize_t n = recv(c->fd, c->out + c->n, HOST_OUT_MAX - 1 - c->n, 0);
        if (n < 0 && errno == EAGAIN) break;
        if (n <= 0) {
            c->eof = true;
            c->reset = n < 0;
            break;
        }
        c->n += (size_t)n;
    }
    c->out[c->n] = '\0';
}

/* Sends it all, pumping when the socket is full; stops at a closed one. */
static inline void client_send(struct client *c, const void *p, size_t n) {
    const char *at = p;
    while (n > 0) {
        ssize_t k = send(c->fd, at, n, MSG_NOSIGNAL);
        if (k < 0 && errno == EAGAIN) {
            pump(c->h);
            client_take(c);
            continue;
        }
        if (k < 0) return;
        at += k;
        n -= (size_t)k;
    }
}
static inline void client_say(struct client *c, const char *text) {
    client_send(c, text, strlen(text));
    pump(c->h);
    client_take(c);
}

/* Everything received, with INFO lines as INFO{} or, with connect_info, INFO{ci}, or, in lame duck mode,
 * INFO{ldm}; <EOF> at the end when the server closed. */
static inline char *client_text(struct client *c) {
    char *to = c->out, *from = c->out;
    while (*from) {
        char *end;
        if (strncmp(from, "INFO {", 6) == 0 && (end = strstr(from, "\r\n"))) {
            *end = '\0';
            const char *what = strstr(from, "\"ldm\":true")            ? "ldm"
                               : strstr(from, "\"connect_info\":true") ? "ci"
                                                                       : "";
            to += sprintf(to, "INFO{%s} \r\n", what);
            from = end + 2;
        } else {
            *to++ = *from++;
        }
    }
    *to = '\0';
    if (c->eof) memcpy(to, "<EOF>", 6);
    return c->out;
}
/* Forgets what came so far. */
static inline void client_clear(struct client *c) {
    c->n = 0;
    c->out[0] = '\0';
}
static inline void client_close(struct client *c) {
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
    free(c->out);
}

#define QUIET "CONNECT {\"verbose\":false,\"headers\":true,\"protocol\":1}\r\n"
#define MS_   1000000ll

static inline void log_has(struct host *h, const char *text) {
    if (strstr(h->lines, text)) return;
    size_t skip = h->lines_n > 3000 ? h->lines_n - 3000 : 0;
    fprintf(stderr, "the log has no line with\n  %s\nbut, at its end,\n%s\n", text, h->lines + skip);
    exit(1);
}

static inline void hears(struct client *c, const char *text) {
    client_take(c);
    CHECK_STR(client_text(c), text);
    client_clear(c);
}

static inline void start(struct client *c, struct host *h, uint64_t cid, const char *text) {
    client_open(c, h, cid);
    client_say(c, text);
    client_clear(c);
}

static inline bool one_closed(struct host *h) { return h->closed == 1; }

static inline void publish_many(struct client *p, const char *subject, size_t bytes, int count) {
    static char text[70000];
    int n = snprintf(text, sizeof text, "PUB %s %zu\r\n", subject, bytes);
    memset(text + n, 'x', bytes);
    memcpy(text + (size_t)n + bytes, "\r\n", 2);
    for (int i = 0; i < count; i++) client_send(p, text, (size_t)n + bytes + 2);
}

enum { BIG = 1 << 20 };
static uint8_t big[BIG + 2] __attribute__((unused));

static inline void make_big(uint64_t seed) {
    struct rng r = {seed};
    for (size_t i = 0; i < BIG; i++) big[i] = (uint8_t)rng_next(&r);
    memcpy(big + BIG, "\r\n", 2);
}

static inline void hears_big(struct client *c, const char *line) {
    size_t n = strlen(line);
    client_take(c);
    CHECK(c->n == n + BIG + 2);
    CHECK_MEM(c->out, n, line, n);
    CHECK_MEM(c->out + n, BIG + 2, big, BIG + 2);
    client_clear(c);
}
