/* test_monitor_request.c - one HTTP request out of bytes in any pieces, and its parameters. */
#include "lib/check.h"
#include "monitor/core.h"
#include "monitor/pages.h"

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

CHECK_MAIN(CASE(requests_name_their_target), CASE(requests_come_in_any_pieces),
           CASE(requests_are_refused_by_name), CASE(requests_keep_the_connection_or_not),
           CASE(requests_have_a_largest_size), CASE(requests_of_noise_end),
           CASE(parameters_are_read_as_go_does), CASE(parameters_that_do_not_parse_are_named),
           CASE(durations_read_like_nats_servers))
