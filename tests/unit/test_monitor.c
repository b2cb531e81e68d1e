/* test_monitor.c - the HTTP monitoring port: requests in any pieces, parameters, and whole exchanges over
 * real sockets on a real loop, with shards that answer at once, late or never. */
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

/* --- requests --- */

static struct request *take(const char *text, size_t *used) {
    struct request *r = malloc(sizeof *r);
    CHECK(r != NULL);
    request_init(r);
    *used = 0;
    size_t n = strlen(text);
    while (*used < n && !r->whole && !r->status) *used += request_feed(r, span_of(text + *used, n - *used));
    return r;
}

static void refused(const char *text, int status, const char *reason) {
    size_t used;
    struct request *r = take(text, &used);
    CHECK(!r->whole);
    CHECK_EQ(r->status, status);
    CHECK_STR(r->reason, reason);
    free(r);
}

static void target(const char *url, const char *path, const char *query) {
    char text[512];
    size_t used;
    struct span p, q;
    snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", url);
    struct request *r = take(text, &used);
    CHECK(r->whole);
    CHECK_EQ(used, strlen(text));
    request_target(r, &p, &q);
    CHECK_MEM(p.p, p.n, path, strlen(path));
    CHECK_MEM(q.p, q.n, query, strlen(query));
    free(r);
}

static void requests_name_their_target(void) {
    target("/", "/", "");
    target("/varz", "/varz", "");
    target("/connz?limit=1&offset=2", "/connz", "limit=1&offset=2");
    target("/connz?", "/connz", "");
    target("/connz?a=b?c", "/connz", "a=b?c");
    target("http://foo:80/healthz?x=1", "/healthz", "x=1");
    target("http://foo", "/", "");
    target("/a?u=http://b/c", "/a", "u=http://b/c");
}

static void requests_come_in_any_pieces(void) {
    static const char text[] =
        "\r\nGET /connz?limit=3 HTTP/1.1\r\nUser-Agent: a\r\nHOST: b\r\nConnection: close\r\n"
        "Content-Length: 3\r\n\r\nabcGET /next";
    size_t n = sizeof text - 1, end = n - strlen("GET /next");
    for (size_t at = 0; at <= end; at++) {
        struct request *r = malloc(sizeof *r);
        struct span p, q;
        request_init(r);
        size_t used = at ? request_feed(r, span_of(text, at)) : 0;
        CHECK_EQ(used, at);
        if (at < end) CHECK(!r->whole);
        if (at < end) used += request_feed(r, span_of(text + at, n - at));
        CHECK(r->whole && !r->status && !r->keep_alive && !r->head);
        CHECK_EQ(used, end);
        request_target(r, &p, &q);
        CHECK_MEM(p.p, p.n, "/connz", 6);
        CHECK_MEM(q.p, q.n, "limit=3", 7);
        free(r);
    }
    struct request *r = malloc(sizeof *r);
    request_init(r);
    for (size_t at = 0; at < end; at++) CHECK_EQ(request_feed(r, span_of(text + at, 1)), 1);
    CHECK(r->whole);
    free(r);
}

static void requests_are_refused_by_name(void) {
    refused("GARBAGE\r\n\r\n", 400, "");
    refused("\x16\x03\x01\x02", 400, ""); /* TLS */
    refused("GET /\r\n\r\n", 505, ": unsupported protocol version");
    refused("CONNECT {\"verbose\":false}\r\n", 400, "");
    refused("GET / HTTP/1.1\r\n\r\n", 400, ": missing required Host header");
    refused("GET / HTTP/1.1\r\nHosts: a\r\nXhost: b\r\n\r\n", 400, ": missing required Host header");
    refused("GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", 400, ": too many Host headers");
    refused("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, ": unsupported protocol version");
    refused("POST /varz HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n", 405, "");
    refused("DELETE /varz HTTP/1.1\r\nHost: a\r\n\r\n", 405, "");
    refused("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, "");
    refused("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "");
    refused("GET / HTTP/1.1\r\nHo st: a\r\n\r\n", 400, "");
}

static void requests_keep_the_connection_or_not(void) {
    static const struct {
        const char *text;
        bool keep, head, old;
    } cases[] = {
        {GET("/"), true, false, false},
        {"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", true, true, false},
        {"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", false, false, false},
        {"GET / HTTP/1.0\r\n\r\n", false, false, true},
        {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true, false, true},
        {"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", true, false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t used;
        struct request *r = take(cases[i].text, &used);
        CHECK(r->whole);
        CHECK_EQ(used, strlen(cases[i].text));
        CHECK_EQ(r->keep_alive, cases[i].keep);
        CHECK_EQ(r->head, cases[i].head);
        CHECK_EQ(r->is_1_0, cases[i].old);
        free(r);
    }
}

/* A request of exactly n bytes. */
static char *request_of_size(size_t n) {
    char *text = malloc(n + 1);
    size_t head = (size_t)sprintf(text, "GET /varz HTTP/1.1\r\nHost: x\r\nX: ");
    memset(text + head, 'a', n - head - 4);
    memcpy(text + n - 4, "\r\n\r\n", 5);
    return text;
}

static void requests_have_a_largest_size(void) {
    size_t used;
    char *text = request_of_size(REQUEST_BYTES_MAX);
    struct request *r = take(text, &used);
    CHECK(r->whole && !r->status);
    CHECK_EQ(used, REQUEST_BYTES_MAX);
    free(r);
    free(text);
    text = request_of_size(REQUEST_BYTES_MAX + 1);
    refused(text, 431, "");
    free(text);
    text = malloc(100000);
    memset(text, 'a', 100000);
    memcpy(text, "GET /", 5);
    text[99999] = '\0';
    refused(text, 431, "");
    free(text);
}

/* Any bytes at all: no crash, no more taken than there was, one verdict. */
static void requests_of_noise_end(void) {
    uint64_t x = 88172645463325252u;
    for (int round = 0; round < 3000; round++) {
        char text[600] =
            "GET /connz?a=b HTTP/1.1\r\nHost: x\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\n";
        size_t n = strlen(text), used = 0;
        for (int k = 0; k < 3; k++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            text[x % n] = (char)(x >> 32);
        }
        struct request *r = malloc(sizeof *r);
        request_init(r);
        while (used < n && !r->whole && !r->status) {
            size_t step = 1 + (x >> 40) % 40;
            size_t got = request_feed(r, span_of(text + used, step < n - used ? step : n - used));
            CHECK(got <= n - used);
            used += got;
        }
        free(r);
    }
}

/* --- parameters --- */

static void parameters_are_read_as_go_does(void) {
    struct query q = {
        .text = span_str("a=1&b=&c=%41+b&a=2&d&bad%zz=1&e=%zz&e=5&f=TRUE&g=0&n=-7&u=18446744073709551615")};
    char v[QUERY_VALUE_MAX];
    query_text(&q, "a", v);
    CHECK_STR(v, "1");
    query_text(&q, "c", v);
    CHECK_STR(v, "A b");
    query_text(&q, "d", v);
    CHECK_STR(v, "");
    query_text(&q, "missing", v);
    CHECK_STR(v, "");
    query_text(&q, "e", v);
    CHECK_STR(v, "5");
    CHECK_EQ(query_int(&q, "a", 9), 1);
    CHECK_EQ(query_int(&q, "b", 9), 9);
    CHECK_EQ(query_int(&q, "n", 9), -7);
    CHECK(query_bool(&q, "f", false));
    CHECK(!query_bool(&q, "g", true));
    CHECK(query_bool(&q, "b", true));
    CHECK(query_u64(&q, "u", 0) == UINT64_MAX);
    CHECK_STR(q.error, "");
}

static void complains(const char *text, char type, const char *error) {
    struct query q = {.text = span_str(text)};
    if (type == 'b') CHECK(query_bool(&q, "x", true));
    if (type == 'i') CHECK_EQ(query_int(&q, "x", 4), 4);
    if (type == 'u') CHECK_EQ(query_u64(&q, "x", 4), 4);
    CHECK_STR(q.error, error);
}

static void parameters_that_do_not_parse_are_named(void) {
    complains("x=yes", 'b',
              "Error decoding boolean for 'x': strconv.ParseBool: parsing \"yes\": invalid syntax");
    complains("x=1x", 'i', "Error decoding int for 'x': strconv.Atoi: parsing \"1x\": invalid syntax");
    complains("x=%22%01\\", 'i',
              "Error decoding int for 'x': strconv.Atoi: parsing \"\\\"\\x01\\\\\": invalid syntax");
    complains("x=-", 'i', "Error decoding int for 'x': strconv.Atoi: parsing \"-\": invalid syntax");
    complains(
        "x=9223372036854775808", 'i',
        "Error decoding int for 'x': strconv.Atoi: parsing \"9223372036854775808\": value out of range");
    complains("x=-1", 'u',
              "Error decoding uint64 for 'x': strconv.ParseUint: parsing \"-1\": invalid syntax");
    complains("x=18446744073709551616", 'u',
              "Error decoding uint64 for 'x': strconv.ParseUint: parsing \"18446744073709551616\": value out "
              "of range");
    char text[2000] = "x=";
    memset(text + 2, '\x01', 1500);
    struct query q = {.text = span_str(text)};
    CHECK_EQ(query_int(&q, "x", 1), 1);
    CHECK(strlen(q.error) < sizeof q.error);
}

static void durations_read_like_nats_servers(void) {
    static const struct {
        uint64_t seconds;
        const char *text;
    } cases[] = {{0, "0s"},        {59, "59s"},         {60, "1m0s"},
                 {3661, "1h1m1s"}, {86400, "1d0h0m0s"}, {31536000 + 90061, "1y1d1h1m1s"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct json_out o;
        yyjson_mut_val *root = json_begin(&o);
        json_lasted(&o, root, "t", cases[i].seconds * 1000000000 + 999999999);
        CHECK_STR(yyjson_mut_get_str(yyjson_mut_obj_get(root, "t")), cases[i].text);
        yyjson_mut_doc_free(o.doc);
    }
}

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

static void on_line(void *ctx, enum log_level level, const char *text) {
    struct world *w = ctx;
    (void)level;
    snprintf(w->last_line, sizeof w->last_line, "%s", text);
}

static void answer_one(struct world *w, const struct asked *a) {
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

static void on_ask(void *ctx, unsigned shard, uint64_t id, const struct monitor_question *q) {
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
static void answer_all(struct world *w) {
    while (w->asked_n) answer_one(w, &w->asked[--w->asked_n]);
}

static struct world *world_open(unsigned shards, enum io_backend backend, struct monitor_times times) {
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

static struct world *world_of(unsigned shards) {
    return world_open(shards, IO_POSIX, (struct monitor_times){0});
}

static void tick(struct world *w) {
    io_tick(w->io, io_now(w->io) + 1000000);
    io_clock_refresh(w->io);
}

static void pump(struct world *w) {
    for (int i = 0; i < 4; i++) tick(w);
}

static void world_close(struct world *w) {
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

static struct client dial(struct world *w) {
    struct client c = {.w = w, .fd = socket(AF_INET, SOCK_STREAM, 0), .in = malloc(IN_MAX + 1)};
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)w->port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(c.in != NULL);
    CHECK_EQ(connect(c.fd, (void *)&a, sizeof a), 0);
    CHECK_EQ(fcntl(c.fd, F_SETFL, O_NONBLOCK), 0);
    return c;
}

static void hang_up(struct client *c) {
    close(c->fd);
    free(c->in);
    pump(c->w);
}

static void say_bytes(struct client *c, const char *text, size_t n) {
    while (n) {
        ssize_t got = send(c->fd, text, n, MSG_NOSIGNAL);
        if (got < 0 && errno != EAGAIN) return; /* it has closed */
        if (got > 0) text += got, n -= (size_t)got;
        tick(c->w);
    }
}
static void say(struct client *c, const char *text) { say_bytes(c, text, strlen(text)); }

static void take_in(struct client *c) {
    ssize_t got;
    while (!c->eof && (got = recv(c->fd, c->in + c->n, IN_MAX - c->n, 0)) != -1) {
        if (got == 0) c->eof = true;
        c->n += (size_t)got;
    }
    if (!c->eof && errno != EAGAIN) c->eof = true;
    c->in[c->n] = '\0';
}

/* Is the next response there? */
static bool parse_response(struct client *c, bool head) {
    char *start = c->in + c->done, *end = strstr(start, "\r\n\r\n"), *length;
    if (!end || strncmp(start, "HTTP/1.1 ", 9) != 0) return false;
    c->status = atoi(start + 9);
    length = strstr(start, "Content-Length: ");
    CHECK(length && length < end);
    c->body = end + 4;
    c->body_n = head ? 0 : (size_t)atoi(length + 16);
    return c->n >= (size_t)(c->body - c->in) + c->body_n;
}

static int hear_as(struct client *c, bool head) {
    while (take_in(c), !parse_response(c, head)) {
        CHECK(!c->eof);
        tick(c->w);
    }
    c->done = (size_t)(c->body - c->in) + c->body_n;
    return c->status;
}
static int hear(struct client *c) { return hear_as(c, false); }

static void hear_end(struct client *c) {
    while (take_in(c), !c->eof) tick(c->w);
    CHECK_EQ(c->n, c->done);
}

static void body_is(const struct client *c, const char *text) {
    CHECK_MEM(c->body, c->body_n, text, strlen(text));
}

static bool header_has(const struct client *c, const char *line) {
    size_t n = (size_t)(c->body - c->in);
    return memmem(c->in, n, line, strlen(line)) != NULL;
}

static yyjson_doc *json_of(const struct client *c) {
    yyjson_doc *d = yyjson_read(c->body, c->body_n, 0);
    CHECK(d != NULL);
    CHECK(header_has(c, "Content-Type: application/json\r\n"));
    CHECK(header_has(c, "Access-Control-Allow-Origin: *\r\n"));
    return d;
}

static uint64_t num(yyjson_doc *d, const char *at) {
    yyjson_val *v = yyjson_doc_ptr_get(d, at);
    if (!v) fprintf(stderr, "no %s\n", at);
    CHECK(v && yyjson_is_num(v));
    return yyjson_get_uint(v);
}

static const char *str(yyjson_doc *d, const char *at) {
    const char *s = yyjson_get_str(yyjson_doc_ptr_get(d, at));
    return s ? s : "(none)";
}

static yyjson_doc *page(struct world *w, const char *path, int status) {
    char text[600];
    struct client c = dial(w);
    snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path);
    say(&c, text);
    CHECK_EQ(hear(&c), status);
    yyjson_doc *d = json_of(&c);
    hang_up(&c);
    return d;
}

/* --- pages --- */

static void index_and_unknown_paths(void) {
    struct world *w = world_of(1);
    struct client c = dial(w);
    say(&c, GET("/"));
    CHECK_EQ(hear(&c), 200);
    CHECK(header_has(&c, "Content-Type: text/html; charset=utf-8\r\n"));
    CHECK(memmem(c.body, c.body_n, "./varz", 6) != NULL);
    static const char *const unknown[] = {GET("/nope"), GET("/varz/"), GET("//varz"), GET("/connzz"),
                                          GET("/metrics")};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        say(&c, unknown[i]);
        CHECK_EQ(hear(&c), 404);
        body_is(&c, "404 page not found\n");
    }
    CHECK_EQ(w->questions, 0);
    hang_up(&c);
    world_close(w);
}

static void varz_adds_up_shards(void) {
    struct world *w = world_of(3);
    for (unsigned s = 0; s < 3; s++) {
        w->counters[s] = (struct monitor_counters){.total_connections = 10 + s,
                                                   .subscriptions = 20 + s,
                                                   .in_msgs = 30 + s,
                                                   .in_bytes = 40 + s,
                                                   .out_msgs = 50 + s,
                                                   .out_bytes = 60 + s,
                                                   .slow_consumers = 1,
                                                   .stale_connections = 2,
                                                   .memory = 100,
                                                   .storage = 200,
                                                   .api_total = 5,
                                                   .api_errors = 3};
        w->conns_n[s] = s;
    }
    yyjson_doc *d = page(w, "/varz", 200);
    CHECK_STR(str(d, "/server_id"), "NID");
    CHECK_STR(str(d, "/server_name"), "name");
    CHECK_STR(str(d, "/version"), "2.15.2");
    CHECK_STR(str(d, "/http_host"), "127.0.0.1");
    CHECK_EQ(num(d, "/http_port"), w->port);
    CHECK_EQ(num(d, "/port"), 4222);
    CHECK_EQ(num(d, "/proto"), 1);
    CHECK_EQ(num(d, "/auth_timeout"), 2);
    CHECK_EQ(num(d, "/connections"), 3);
    CHECK_EQ(num(d, "/total_connections"), 33);
    CHECK_EQ(num(d, "/subscriptions"), 63);
    CHECK_EQ(num(d, "/in_msgs"), 93);
    CHECK_EQ(num(d, "/in_bytes"), 123);
    CHECK_EQ(num(d, "/out_msgs"), 153);
    CHECK_EQ(num(d, "/out_bytes"), 183);
    CHECK_EQ(num(d, "/slow_consumers"), 3);
    CHECK_EQ(num(d, "/slow_consumer_stats/clients"), 3);
    CHECK_EQ(num(d, "/stale_connections"), 6);
    CHECK_EQ(num(d, "/jetstream/config/max_storage"), 20);
    CHECK_STR(str(d, "/jetstream/config/store_dir"), "/data");
    CHECK_EQ(num(d, "/jetstream/stats/memory"), 300);
    CHECK_EQ(num(d, "/jetstream/stats/storage"), 600);
    CHECK_EQ(num(d, "/jetstream/stats/api/total"), 15);
    CHECK_EQ(num(d, "/jetstream/stats/api/level"), 5);
    CHECK_EQ(num(d, "/http_req_stats/~1varz"), 1);
    CHECK(num(d, "/mem") > 1 << 16);
    CHECK(num(d, "/cores") > 0);
    CHECK_STR(str(d, "/start"), "2023-11-14T22:13:20Z");
    CHECK(yyjson_doc_ptr_get(d, "/cluster") == NULL);
    yyjson_doc_free(d);
    world_close(w);
}

static void jsz_and_subsz_and_no_jetstream(void) {
    struct world *w = world_of(2);
    w->counters[0] = (struct monitor_counters){
        .streams = 1, .consumers = 2, .messages = 3, .bytes = 4, .subscriptions = 5};
    w->counters[1] = (struct monitor_counters){
        .streams = 10, .consumers = 20, .messages = 30, .bytes = 40, .subscriptions = 50};
    w->counters[0].sub_inserts = 7;
    w->counters[1].sub_inserts = 8;
    w->counters[0].sub_removes = 1;
    w->counters[0].sub_matches = 6;
    w->counters[1].sub_matches = 2;
    w->counters[1].sub_cache_hits = 2;
    yyjson_doc *d = page(w, "/jsz?streams=1&config=true", 200);
    CHECK_EQ(num(d, "/streams"), 11);
    CHECK_EQ(num(d, "/consumers"), 22);
    CHECK_EQ(num(d, "/messages"), 33);
    CHECK_EQ(num(d, "/bytes"), 44);
    CHECK_EQ(num(d, "/accounts"), 1);
    CHECK(yyjson_doc_ptr_get(d, "/disabled") == NULL);
    yyjson_doc_free(d);
    d = page(w, "/subscriptionsz", 200);
    CHECK_EQ(num(d, "/num_subscriptions"), 55);
    CHECK_EQ(num(d, "/num_inserts"), 15);
    CHECK_EQ(num(d, "/num_removes"), 1);
    CHECK_EQ(num(d, "/num_matches"), 8);
    CHECK(yyjson_get_real(yyjson_doc_ptr_get(d, "/cache_hit_rate")) == 0.25);
    yyjson_doc_free(d);
    w->m->server.jetstream = false;
    d = page(w, "/jsz", 200);
    CHECK(yyjson_is_true(yyjson_doc_ptr_get(d, "/disabled")));
    CHECK_EQ(num(d, "/config/max_memory"), 0);
    yyjson_doc_free(d);
    d = page(w, "/varz", 200);
    CHECK_EQ(yyjson_obj_size(yyjson_doc_ptr_get(d, "/jetstream")), 0);
    yyjson_doc_free(d);
    world_close(w);
}

static void healthz_knows_failed_logs(void) {
    struct world *w = world_of(2);
    struct client c = dial(w);
    say(&c, GET("/healthz"));
    CHECK_EQ(hear(&c), 200);
    body_is(&c, "{\"status\":\"ok\"}");
    w->counters[1].logs_failed = 1;
    say(&c, GET("/healthz?js-server-only=true"));
    CHECK_EQ(hear(&c), 503);
    body_is(&c, "{\"status\":\"unavailable\",\"error\":\"JetStream: writing failed on 1 of 2 shards; their "
                "streams take no more\"}");
    CHECK(strncmp(w->last_line, "Healthcheck failed: JetStream", 29) == 0);
    say(&c, GET("/healthz?js-enabled-only=1"));
    CHECK_EQ(hear(&c), 200);
    w->counters[1].logs_failed = 0;
    w->counters[0].logs_refusing = 1;
    snprintf(w->counters[0].refusing, MONITOR_WHY_MAX, "out of file descriptors");
    say(&c, GET("/healthz"));
    CHECK_EQ(hear(&c), 503);
    body_is(&c, "{\"status\":\"unavailable\",\"error\":\"JetStream: no room for messages on 1 of 2 shards: out of "
                "file descriptors\"}");
    say(&c, GET("/healthz?js-enabled-only=x"));
    CHECK_EQ(hear(&c), 400);
    body_is(&c,
            "Error decoding boolean for 'js-enabled-only': strconv.ParseBool: parsing \"x\": invalid syntax");
    say(&c, GET("/healthz?account=A&stream=S"));
    CHECK_EQ(hear(&c), 501);
    hang_up(&c);
    world_close(w);
}

/* cids dealt out to the shards in turn, as the server does. */
static void add_conns(struct world *w, unsigned shards, size_t count) {
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

static void window_is(struct world *w, const char *path, uint64_t first, size_t count, size_t offset,
                      size_t limit) {
    yyjson_doc *d = page(w, path, 200);
    yyjson_val *list = yyjson_doc_ptr_get(d, "/connections"), *v;
    size_t i, max;
    CHECK(yyjson_is_arr(list));
    CHECK_EQ(num(d, "/num_connections"), count);
    CHECK_EQ(num(d, "/total"), 10);
    CHECK_EQ(num(d, "/offset"), offset);
    CHECK_EQ(num(d, "/limit"), limit);
    CHECK_EQ(yyjson_arr_size(list), count);
    yyjson_arr_foreach(list, i, max, v) CHECK_EQ(yyjson_get_uint(yyjson_obj_get(v, "cid")), first + i);
    yyjson_doc_free(d);
}

static void connz_pages_over_shards(void) {
    struct world *w = world_of(3);
    add_conns(w, 3, 10);
    window_is(w, "/connz", 5, 10, 0, 1024);
    window_is(w, "/connz?sort=cid&state=open&auth=1", 5, 10, 0, 1024);
    window_is(w, "/connz?limit=4", 5, 4, 0, 4);
    window_is(w, "/connz?limit=4&offset=4", 9, 4, 4, 4);
    window_is(w, "/connz?limit=4&offset=8", 13, 2, 8, 4);
    window_is(w, "/connz?limit=4&offset=10", 0, 0, 10, 4);
    window_is(w, "/connz?offset=99999999999", 0, 0, MONITOR_OFFSET_MAX, 1024);
    window_is(w, "/connz?limit=-3&offset=-3", 5, 10, 0, 1024);
    window_is(w, "/connz?limit=99999999999", 5, 10, 0, MONITOR_LIST_MAX);
    window_is(w, "/connz?cid=7&limit=9&offset=2", 7, 1, 0, 1);
    window_is(w, "/connz?cid=99", 0, 0, 0, 1);
    world_close(w);
}

static void connz_shows_a_connection(void) {
    struct world *w = world_of(2);
    add_conns(w, 2, 2);
    struct monitor_conn *c = &w->conns[1][0];
    memset(c->name, 0xff, sizeof c->name); /* cut, and no UTF-8 */
    c->name_n = sizeof c->name;
    c->lang_n = 0;
    w->m->server.started_ns = w->conns[0][0].opened_ns;
    yyjson_doc *d = page(w, "/connz", 200);
    CHECK_EQ(num(d, "/connections/0/cid"), 5);
    CHECK_STR(str(d, "/connections/0/kind"), "Client");
    CHECK_STR(str(d, "/connections/0/type"), "nats");
    CHECK_STR(str(d, "/connections/0/ip"), "127.0.0.1");
    CHECK(strncmp(str(d, "/connections/0/uptime"), "1m", 2) == 0);
    CHECK_STR(str(d, "/connections/0/start"), "2023-11-14T22:13:20Z");
    CHECK_STR(str(d, "/connections/0/last_activity"), "2023-11-14T22:14:20.5Z");
    CHECK_STR(str(d, "/connections/0/name"), "n0");
    CHECK_EQ(num(d, "/connections/1/port"), 1001);
    CHECK_EQ(num(d, "/connections/1/in_msgs"), 1);
    CHECK_EQ(num(d, "/connections/1/in_bytes"), 2);
    CHECK_EQ(num(d, "/connections/1/out_msgs"), 3);
    CHECK_EQ(num(d, "/connections/1/out_bytes"), 4);
    CHECK_EQ(num(d, "/connections/1/pending_bytes"), 7);
    CHECK_EQ(num(d, "/connections/1/subscriptions"), 2);
    CHECK(strncmp(str(d, "/connections/1/name"), "\xef\xbf\xbd", 3) == 0);
    CHECK(yyjson_doc_ptr_get(d, "/connections/1/lang") == NULL);
    CHECK(yyjson_doc_ptr_get(d, "/connections/1/version") == NULL);
    yyjson_doc_free(d);
    world_close(w);
}

static void connz_refuses_what_it_cannot_do(void) {
    static const struct {
        const char *query;
        int status;
        const char *text;
    } cases[] = {
        {"limit=x", 400, "Error decoding int for 'limit': strconv.Atoi: parsing \"x\": invalid syntax"},
        {"cid=x", 400, "Error decoding uint64 for 'cid': strconv.ParseUint: parsing \"x\": invalid syntax"},
        {"subs=yes", 400,
         "Error decoding boolean for 'subs': strconv.ParseBool: parsing \"yes\": invalid syntax"},
        {"sort=foo", 400, "invalid sorting option: foo"},
        {"state=foo", 400, "Error decoding state for foo"},
        {"sort=bytes_to", 501, "sorting by bytes_to is not supported"},
        {"state=closed", 501, "closed connections are not kept: state 'closed' is not supported"},
        {"acc=A", 501, "the filter 'acc' is not supported"},
    };
    struct world *w = world_of(2);
    struct client c = dial(w);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[200];
        snprintf(text, sizeof text, "GET /connz?%s HTTP/1.1\r\nHost: x\r\n\r\n", cases[i].query);
        say(&c, text);
        CHECK_EQ(hear(&c), cases[i].status);
        body_is(&c, cases[i].text);
    }
    say(&c, GET("/connz?subs=detail"));
    CHECK_EQ(hear(&c), 200);
    CHECK_EQ(w->questions, 2);
    hang_up(&c);
    world_close(w);
}

/* --- connections --- */

static void exchange(enum io_backend backend) {
    struct world *w = world_open(2, backend, (struct monitor_times){0});
    static const char text[] = GET("/healthz");
    struct client c = dial(w);
    w->hold = true;
    for (size_t at = 0; at < sizeof text - 1; at++) { /* keep-alive, and split at every byte */
        say_bytes(&c, text, at);
        say_bytes(&c, text + at, sizeof text - 1 - at);
        while (w->asked_n == 0) tick(w);
        answer_all(w);
        CHECK_EQ(hear(&c), 200);
    }
    for (size_t i = 0; i < sizeof text - 1; i++) say_bytes(&c, text + i, 1);
    while (w->asked_n == 0) tick(w);
    answer_all(w);
    CHECK_EQ(hear(&c), 200);
    w->hold = false;
    say(&c, "HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    CHECK_EQ(hear_as(&c, true), 200);
    CHECK(header_has(&c, "Content-Length: 15\r\n"));
    say(&c, "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    CHECK_EQ(hear(&c), 200);
    CHECK(header_has(&c, "Connection: close\r\n"));
    hear_end(&c);
    hang_up(&c);
    world_close(w);
}

static void requests_in_pieces_on_posix(void) { exchange(IO_POSIX); }

static void requests_in_pieces_on_the_ring(void) {
    struct io *io;
    const char *why;
    if (io_open(&io, &(struct io_config){.backend = IO_URING}, &why)) return; /* not allowed here */
    io_close(io);
    exchange(IO_URING);
}

static void pipelined_requests_keep_their_order(void) {
    struct world *w = world_of(2);
    struct client c = dial(w);
    w->hold = true;
    say(&c, GET("/healthz") GET("/nope")
                GET("/subsz") "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" GET("/never"));
    while (w->asked_n == 0) tick(w);
    pump(w);
    take_in(&c);
    CHECK_EQ(c.n, 0); /* nothing overtakes */
    answer_all(w);
    CHECK_EQ(hear(&c), 200);
    body_is(&c, "{\"status\":\"ok\"}");
    CHECK_EQ(hear(&c), 404);
    while (w->asked_n == 0) tick(w);
    answer_all(w);
    CHECK_EQ(hear(&c), 200);
    CHECK(memmem(c.body, c.body_n, "num_subscriptions", 17) != NULL);
    CHECK_EQ(hear(&c), 200);
    hear_end(&c);
    hang_up(&c);
    world_close(w);
}

static void pipelining_has_a_bound(void) {
    struct world *w = world_of(1);
    struct client c = dial(w);
    size_t one = sizeof GET("/healthz") - 1, count = 2000;
    char *text = malloc(one * count);
    for (size_t i = 0; i < count; i++) memcpy(text + i * one, GET("/healthz"), one);
    CHECK_EQ(send(c.fd, text, one * count, MSG_NOSIGNAL), (ssize_t)(one * count));
    CHECK_EQ(hear(&c), 200); /* what came first is answered, and then it is over */
    while (take_in(&c), !c.eof) tick(w);
    CHECK(c.n < count * 100);
    free(text);
    hang_up(&c);
    world_close(w);
}

static void refused_and_closed(const char *text, size_t n, int status, const char *body) {
    struct world *w = world_open(1, IO_POSIX, (struct monitor_times){.linger_ns = 60000000000});
    struct client c = dial(w);
    say_bytes(&c, text, n);
    CHECK_EQ(hear(&c), status);
    body_is(&c, body);
    CHECK(header_has(&c, "Connection: close\r\n"));
    hear_end(&c);
    pump(w);
    int err = 0;
    socklen_t err_n = sizeof err;
    CHECK_EQ(getsockopt(c.fd, SOL_SOCKET, SO_ERROR, &err, &err_n), 0);
    CHECK_EQ(err, 0); /* a reset could have overtaken the page */
    hang_up(&c);
    CHECK_EQ(w->questions, 0);
    world_close(w);
}

static void garbage_is_refused(void) {
    static const char post[] = "POST /varz HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc";
    static const char garbage[] = "GARBAGE\r\n\r\n", none[] = "GET / HTTP/1.1\r\n\r\n";
    refused_and_closed(garbage, sizeof garbage - 1, 400, "400 Bad Request");
    refused_and_closed(none, sizeof none - 1, 400, "400 Bad Request: missing required Host header");
    refused_and_closed(post, sizeof post - 1, 405, "405 Method Not Allowed");
}

/* The refusal arrives although more comes than is ever read. */
static void oversize_is_refused(void) {
    size_t n = 1 << 20;
    char *text = malloc(n);
    memset(text, 'a', n);
    memcpy(text, "GET /", 5);
    refused_and_closed(text, n, 431, "431 Request Header Fields Too Large");
    free(text);
}

static void slow_senders_are_told(void) {
    struct world *w = world_open(1, IO_POSIX, (struct monitor_times){.request_ns = SOON_NS});
    struct client c = dial(w);
    say(&c, "GET /var");
    CHECK_EQ(hear(&c), 408);
    body_is(&c, "408 Request Timeout");
    hear_end(&c);
    hang_up(&c);
    world_close(w);
}

/* One byte now and then does not buy time. */
static void drips_do_not_help(void) {
    struct world *w = world_open(1, IO_POSIX, (struct monitor_times){.request_ns = SOON_NS});
    struct client c = dial(w);
    say(&c, "GET /");
    while (take_in(&c), c.n == 0) say(&c, "a");
    CHECK_EQ(hear(&c), 408);
    hang_up(&c);
    world_close(w);
}

static void idle_connections_end(void) {
    struct world *w = world_open(1, IO_POSIX, (struct monitor_times){.idle_ns = SOON_NS});
    struct client a = dial(w), b = dial(w);
    say(&a, GET("/healthz"));
    CHECK_EQ(hear(&a), 200);
    hear_end(&a);
    hear_end(&b);
    hang_up(&a);
    hang_up(&b);
    CHECK_EQ(w->m->count, 0);
    world_close(w);
}

static void slow_readers_are_dropped(void) {
    struct world *w = world_open(1, IO_POSIX, (struct monitor_times){.send_ns = SOON_NS});
    struct client c = dial(w);
    int small = 4096;
    CHECK_EQ(setsockopt(c.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    add_conns(w, 1, MONITOR_LIST_MAX);
    for (int i = 0; i < 8; i++) say(&c, GET("/connz?limit=4096")); /* more than the sockets take */
    while (w->m->count) tick(w);
    CHECK_EQ(w->m->pages_bytes, 0);
    CHECK(w->m->requests[PAGE_CONNZ] < 8);
    hang_up(&c);
    world_close(w);
}

static void silent_shards_are_named(void) {
    struct world *w = world_open(3, IO_POSIX, (struct monitor_times){.answer_ns = SOON_NS});
    struct client a = dial(w), b = dial(w);
    w->hold = true;
    say(&a, GET("/healthz"));
    while (w->asked_n < 2) tick(w);
    struct asked late = w->asked[1];
    answer_one(w, &w->asked[0]);
    w->asked_n = 0;
    CHECK_EQ(hear(&a), 503);
    body_is(&a, "{\"status\":\"unavailable\",\"error\":\"shard 2 did not answer\"}");
    hear_end(&a);
    say(&b, GET("/subsz"));
    while (w->asked_n < 2) tick(w);
    w->counters[2].subscriptions = 1000;
    answer_one(w, &late); /* belongs to a round that is over */
    w->counters[2].subscriptions = 3;
    answer_one(w, &w->asked[1]);
    answer_one(w, &w->asked[1]); /* counts once */
    answer_one(w, &w->asked[0]);
    CHECK_EQ(hear(&b), 200);
    yyjson_doc *d = json_of(&b);
    CHECK_EQ(num(d, "/num_subscriptions"), 3);
    yyjson_doc_free(d);
    hang_up(&a);
    hang_up(&b);
    world_close(w);
}

static void clients_take_turns_and_may_leave(void) {
    struct world *w = world_of(2);
    struct client c[4];
    w->hold = true;
    for (int i = 0; i < 4; i++) {
        c[i] = dial(w);
        say(&c[i], GET("/healthz"));
    }
    while (w->m->count < 4) tick(w);
    pump(w);
    CHECK_EQ(w->asked_n, 1); /* one round at a time */
    struct linger now = {.l_onoff = 1};
    setsockopt(c[0].fd, SOL_SOCKET, SO_LINGER, &now, sizeof now); /* leaves with a reset */
    hang_up(&c[0]);
    setsockopt(c[2].fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    hang_up(&c[2]);
    while (w->m->count > 2) tick(w);
    answer_all(w); /* the first round's answer comes too late, the second's is behind it */
    CHECK_EQ(hear(&c[1]), 200);
    answer_all(w);
    CHECK_EQ(hear(&c[3]), 200);
    hang_up(&c[1]);
    hang_up(&c[3]);
    world_close(w);
}

/* A client that shuts its sending side down still gets its page. */
static void half_closed_clients_are_answered(void) {
    struct world *w = world_of(2);
    struct client c = dial(w);
    w->hold = true;
    say(&c, GET("/healthz"));
    CHECK_EQ(shutdown(c.fd, SHUT_WR), 0);
    while (w->asked_n == 0) tick(w);
    pump(w);
    answer_all(w);
    CHECK_EQ(hear(&c), 200);
    hear_end(&c);
    hang_up(&c);
    world_close(w);
}

static void idle_connections_give_way(void) {
    struct world *w = world_of(1);
    struct client c[MONITOR_CONNS_MAX + 8];
    size_t n = sizeof c / sizeof c[0];
    for (size_t i = 0; i < n; i++) {
        c[i] = dial(w);
        say(&c[i], GET("/healthz"));
        CHECK_EQ(hear(&c[i]), 200);
        CHECK(w->m->alive <= MONITOR_CONNS_MAX);
    }
    for (size_t i = 0; i < 8; i++) hear_end(&c[i]); /* the oldest */
    for (size_t i = 8; i < n; i++) {
        say(&c[i], GET("/healthz"));
        CHECK_EQ(hear(&c[i]), 200);
    }
    for (size_t i = 0; i < n; i++) hang_up(&c[i]);
    world_close(w);
}

static void busy_connections_do_not_give_way(void) {
    struct world *w = world_of(2);
    struct client c[MONITOR_CONNS_MAX];
    w->hold = true;
    for (size_t i = 0; i < MONITOR_CONNS_MAX; i++) {
        c[i] = dial(w);
        say(&c[i], GET("/healthz"));
    }
    while (list_empty(&w->m->waiting)) tick(w);
    while (w->m->alive < MONITOR_CONNS_MAX) tick(w);
    pump(w);
    struct client extra = dial(w);
    hear_end(&extra);
    for (size_t i = 0; i < MONITOR_CONNS_MAX; i++) {
        answer_all(w);
        CHECK_EQ(hear(&c[i]), 200);
    }
    for (size_t i = 0; i < MONITOR_CONNS_MAX; i++) hang_up(&c[i]);
    hang_up(&extra);
    world_close(w);
}

static void stopping_ends_everything(void) {
    struct world *w = world_of(2);
    struct client idle = dial(w), part = dial(w), waits = dial(w), queued = dial(w);
    w->hold = true;
    say(&part, "GET /va");
    say(&waits, GET("/healthz"));
    while (w->asked_n == 0) tick(w);
    say(&queued, GET("/healthz"));
    while (list_empty(&w->m->waiting)) tick(w);
    monitor_stop(w->m);
    monitor_stop(w->m);
    CHECK(!monitor_idle(w->m));
    while (!monitor_idle(w->m)) tick(w);
    CHECK_EQ(w->asked_n, 1); /* nobody was asked any more */
    answer_all(w);           /* and an answer finds no one */
    hear_end(&idle);
    hear_end(&part);
    hear_end(&waits);
    hear_end(&queued);
    hang_up(&idle);
    hang_up(&part);
    hang_up(&waits);
    hang_up(&queued);
    world_close(w);
}

/* The server's last step was cut short: the loop does not run again. */
static void closing_without_the_loop(void) {
    struct world *w = world_of(2);
    struct client c = dial(w);
    w->hold = true;
    say(&c, GET("/healthz"));
    while (w->asked_n == 0) tick(w);
    monitor_close(w->m);
    io_close(w->io);
    close(c.fd);
    free(c.in);
    free(w);
}

static void taken_ports_are_reported(void) {
    struct world *w = world_of(1);
    struct monitor *second;
    int port = w->port;
    CHECK_EQ(monitor_open(&second, &w->host, &w->server, &port), ERR_ADDRINUSE);
    world_close(w);
}

CHECK_MAIN(CASE(requests_name_their_target), CASE(requests_come_in_any_pieces),
           CASE(requests_are_refused_by_name), CASE(requests_keep_the_connection_or_not),
           CASE(requests_have_a_largest_size), CASE(requests_of_noise_end),
           CASE(parameters_are_read_as_go_does), CASE(parameters_that_do_not_parse_are_named),
           CASE(durations_read_like_nats_servers), CASE(index_and_unknown_paths), CASE(varz_adds_up_shards),
           CASE(jsz_and_subsz_and_no_jetstream), CASE(healthz_knows_failed_logs),
           CASE(connz_pages_over_shards), CASE(connz_shows_a_connection),
           CASE(connz_refuses_what_it_cannot_do), CASE(requests_in_pieces_on_posix),
           CASE(requests_in_pieces_on_the_ring), CASE(pipelined_requests_keep_their_order),
           CASE(pipelining_has_a_bound), CASE(garbage_is_refused), CASE(oversize_is_refused),
           CASE(slow_senders_are_told), CASE(drips_do_not_help), CASE(idle_connections_end),
           CASE(slow_readers_are_dropped), CASE(silent_shards_are_named),
           CASE(clients_take_turns_and_may_leave), CASE(half_closed_clients_are_answered),
           CASE(idle_connections_give_way), CASE(busy_connections_do_not_give_way),
           CASE(stopping_ends_everything), CASE(closing_without_the_loop), CASE(taken_ports_are_reported))
