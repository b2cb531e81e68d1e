/* test_monitor_pages.c - what the pages show, of shards that answer. */
#include "monitor_host.h"

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
    body_is(
        &c,
        "{\"status\":\"unavailable\",\"error\":\"JetStream: no room for messages on 1 of 2 shards: out of "
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

CHECK_MAIN(CASE(index_and_unknown_paths), CASE(varz_adds_up_shards), CASE(jsz_and_subsz_and_no_jetstream),
           CASE(healthz_knows_failed_logs), CASE(connz_pages_over_shards), CASE(connz_shows_a_connection),
           CASE(connz_refuses_what_it_cannot_do))
