/* monitor_host.h - a monitoring port with shards that answer when a test lets them, and an HTTP client. */
#pragma once
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <yyjson.h>

#include "lib/check.h"
#include "monitor/core.h"
#include "monitor/pages.h"

enum { IN_MAX = 8 << 20, SHARDS_MAX = 4, ASKED_MAX = 256 };
#define SOON_NS   20000000u
#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"

/* --- a monitor and its shards --- */

struct asked {
    unsigned shard;
    uint64_t id;
    struct monitor_question q;
};

struct world {
    struct io *io;
    struct monitor *m;
    struct monitor_host host;
    struct monitor_server server;
    struct log log;
    int port;
    bool hold; /* questions are answered by answer_all() */
    struct asked asked[ASKED_MAX];
    size_t asked_n, questions;
    struct monitor_counters counters[SHARDS_MAX];
    struct monitor_conn conns[SHARDS_MAX][5000];
    size_t conns_n[SHARDS_MAX];
    char last_line[256];
};

static inline void on_line(void *ctx, enum log_level level, const char *text) {
    struct world *w = ctx;
    (void)level;
    snprintf(w->last_line, sizeof w->last_line, "%s", text);
}

static inline void answer_one(struct world *w, const struct asked *a) {
    static uint8_t bytes[1 + 5000 * sizeof(struct monitor_conn)]; /* one off: no alignment is promised */
    size_t n = 0, count = 0;
    for (size_t i = 0; i < w->conns_n[a->shard] && count < a->q.conns_max; i++) {
        const struct monitor_conn *c = &w->conns[a->shard][i];
        if (c->cid < a->q.cid_min || c->cid > a->q.cid_max) continue;
        size_t size = a->q.details ? sizeof *c : sizeof c->cid;
        memcpy(bytes + 1 + n, a->q.details ? (const void *)c : (const void *)&c->cid, size);
        n += size;
        count++;
    }
    w->counters[a->shard].connections = w->conns_n[a->shard];
    monitor_on_answer(w->m, a->shard, a->id, &w->counters[a->shard], span_of(bytes + 1, n));
}

static inline void on_ask(void *ctx, unsigned shard, uint64_t id, const struct monitor_question *q) {
    struct world *w = ctx;
    struct asked a = {shard, id, *q};
    w->questions++;
    if (shard == 0 || !w->hold) {
        answer_one(w, &a);
        return;
    }
    CHECK(w->asked_n < ASKED_MAX);
    w->asked[w->asked_n++] = a;
}

/* The last asked first: order does not matter. */
static inline void answer_all(struct world *w) {
    while (w->asked_n) answer_one(w, &w->asked[--w->asked_n]);
}

static inline struct world *world_open(unsigned shards, enum io_backend backend, struct monitor_times times) {
    struct world *w = calloc(1, sizeof *w);
    const char *why;
    CHECK(w != NULL);
    CHECK_EQ(io_open(&w->io, &(struct io_config){.backend = backend}, &why), ERR_OK);
    w->log = (struct log){.level = LOG_INFO, .line = on_line, .ctx = w};
    w->host = (struct monitor_host){
        .ctx = w, .io = w->io, .log = &w->log, .shards = shards, .times = times, .ask = on_ask};
    w->server = (struct monitor_server){.server_id = "NID",
                                        .server_name = "name",
                                        .version = "2.15.2",
                                        .program_version = "0.1.0",
                                        .host = "127.0.0.1",
                                        .http_host = "127.0.0.1",
                                        .port = 4222,
                                        .max_connections = 65536,
                                        .max_payload = 1 << 20,
                                        .auth_timeout_ns = 2000000000,
                                        .jetstream = true,
                                        .api_level = 5,
                                        .max_memory = 10,
                                        .max_store = 20,
                                        .store_dir = "/data",
                                        .sync_always = true,
                                        .started_wall_ns = 1700000000000000000,
                                        .started_ns = io_now(w->io)};
    w->port = -1;
    CHECK_EQ(monitor_open(&w->m, &w->host, &w->server, &w->port), ERR_OK);
    CHECK(w->port > 0);
    return w;
}

static inline struct world *world_of(unsigned shards) {
    return world_open(shards, IO_POSIX, (struct monitor_times){0});
}

static inline void tick(struct world *w) {
    io_tick(w->io, io_now(w->io) + 1000000);
    io_clock_refresh(w->io);
}

static inline void pump(struct world *w) {
    for (int i = 0; i < 4; i++) tick(w);
}

static inline void world_close(struct world *w) {
    monitor_stop(w->m);
    while (!monitor_idle(w->m)) tick(w);
    monitor_close(w->m);
    io_close(w->io);
    free(w);
}

/* --- an HTTP client --- */

struct client {
    struct world *w;
    int fd;
    bool eof;
    size_t n, done; /* done: bytes of responses that were looked at */
    char *in;
    int status;
    char *body;
    size_t body_n;
};

static inline struct client dial(struct world *w) {
    struct client c = {.w = w, .fd = socket(AF_INET, SOCK_STREAM, 0), .in = malloc(IN_MAX + 1)};
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)w->port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(c.in != NULL);
    CHECK_EQ(connect(c.fd, (void *)&a, sizeof a), 0);
    CHECK_EQ(fcntl(c.fd, F_SETFL, O_NONBLOCK), 0);
    return c;
}

static inline void hang_up(struct client *c) {
    close(c->fd);
    free(c->in);
    pump(c->w);
}

static inline void say_bytes(struct client *c, const char *text, size_t n) {
    while (n) {
        ssize_t got = send(c->fd, text, n, MSG_NOSIGNAL);
        if (got < 0 && errno != EAGAIN) return; /* it has closed */
        if (got > 0) text += got, n -= (size_t)got;
        tick(c->w);
    }
}
static inline void say(struct client *c, const char *text) { say_bytes(c, text, strlen(text)); }

static inline void take_in(struct client *c) {
    ssize_t got;
    while (!c->eof && (got = recv(c->fd, c->in + c->n, IN_MAX - c->n, 0)) != -1) {
        if (got == 0) c->eof = true;
        c->n += (size_t)got;
    }
    if (!c->eof && errno != EAGAIN) c->eof = true;
    c->in[c->n] = '\0';
}

/* Is the next response there? */
static inline bool parse_response(struct client *c, bool head) {
    char *start = c->in + c->done, *end = strstr(start, "\r\n\r\n"), *length;
    if (!end || strncmp(start, "HTTP/1.1 ", 9) != 0) return false;
    c->status = atoi(start + 9);
    length = strstr(start, "Content-Length: ");
    CHECK(length && length < end);
    c->body = end + 4;
    c->body_n = head ? 0 : (size_t)atoi(length + 16);
    return c->n >= (size_t)(c->body - c->in) + c->body_n;
}

static inline int hear_as(struct client *c, bool head) {
    while (take_in(c), !parse_response(c, head)) {
        CHECK(!c->eof);
        tick(c->w);
    }
    c->done = (size_t)(c->body - c->in) + c->body_n;
    return c->status;
}
static inline int hear(struct client *c) { return hear_as(c, false); }

static inline void hear_end(struct client *c) {
    while (take_in(c), !c->eof) tick(c->w);
    CHECK_EQ(c->n, c->done);
}

static inline void body_is(const struct client *c, const char *text) {
    CHECK_MEM(c->body, c->body_n, text, strlen(text));
}

static inline bool header_has(const struct client *c, const char *line) {
    size_t n = (size_t)(c->body - c->in);
    return memmem(c->in, n, line, strlen(line)) != NULL;
}

static inline yyjson_doc *json_of(const struct client *c) {
    yyjson_doc *d = yyjson_read(c->body, c->body_n, 0);
    CHECK(d != NULL);
    CHECK(header_has(c, "Content-Type: application/json\r\n"));
    CHECK(header_has(c, "Access-Control-Allow-Origin: *\r\n"));
    return d;
}

static inline uint64_t num(yyjson_doc *d, const char *at) {
    yyjson_val *v = yyjson_doc_ptr_get(d, at);
    if (!v) fprintf(stderr, "no %s\n", at);
    CHECK(v && yyjson_is_num(v));
    return yyjson_get_uint(v);
}

static inline const char *str(yyjson_doc *d, const char *at) {
    const char *s = yyjson_get_str(yyjson_doc_ptr_get(d, at));
    return s ? s : "(none)";
}

static inline yyjson_doc *page(struct world *w, const char *path, int status) {
    char text[600];
    struct client c = dial(w);
    snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path);
    say(&c, text);
    CHECK_EQ(hear(&c), status);
    yyjson_doc *d = json_of(&c);
    hang_up(&c);
    return d;
}

/* cids dealt out to the shards in turn, as the server does. */
static inline void add_conns(struct world *w, unsigned shards, size_t count) {
    for (size_t i = 0; i < count; i++) {
        unsigned s = (unsigned)(i % shards);
        struct monitor_conn *c = &w->conns[s][w->conns_n[s]++];
        *c = (struct monitor_conn){.cid = 5 + i,
                                   .port = (uint16_t)(1000 + i),
                                   .opened_ns = io_now(w->io) - 61000000000,
                                   .heard_ns = io_now(w->io) - 500000000,
                                   .in_msgs = i,
                                   .in_bytes = i * 2,
                                   .out_msgs = i * 3,
                                   .out_bytes = i * 4,
                                   .pending_bytes = 7,
                                   .subscriptions = 2};
        strcpy(c->ip, "127.0.0.1");
        c->name_n = (uint16_t)sprintf(c->name, "n%zu", i);
        c->lang_n = (uint8_t)sprintf(c->lang, "c");
    }
}
