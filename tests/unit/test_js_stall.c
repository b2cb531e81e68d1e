/* test_js_stall.c - requests that write while the log's buffer is full: they wait their turn among the
 * publishes, bounded in number and time, and streams in memory do not wait with them. */
#include "jetstream/api.h"
#include "jetstream/publish.h"
#include "js_world.h"

enum { SIZE = 65536, FILL_MAX = 4096 };

static void create(struct world *w, const char *name, const char *more) {
    char call[256], body[1024];
    snprintf(call, sizeof call, "STREAM.CREATE.%s", name);
    snprintf(body, sizeof body, "{\"name\":\"%s\"%s}", name, more);
    world_has(world_api(w, call, body), "\"did_create\":true");
}

/* Publishes to S until the log's buffer is full and one waits; how many. */
static int fill(struct world *w) {
    static const uint8_t data[SIZE];
    int n = 0;
    while (!js_congested(w->shard[0].js)) {
        CHECK(++n < FILL_MAX);
        CHECK_EQ(world_pub(w, 0, "S", "_INBOX.fill", "", span_of(data, SIZE)), 1);
    }
    return n;
}

static void ask(struct world *w, const char *call, const char *body, const char *reply) {
    char subject[256];
    snprintf(subject, sizeof subject, "$JS.API.%s", call);
    CHECK_EQ(world_pub(w, 0, subject, reply, "", span_str(body)), 1);
}

static size_t found(const struct world *w, const char *subject) {
    for (size_t i = 0; i < w->got_n; i++)
        if (strcmp(w->got[i].subject, subject) == 0) return i;
    fprintf(stderr, "no answer to %s\n", subject);
    exit(1);
}

static const char *answer(const struct world *w, const char *subject) {
    return w->got[found(w, subject)].data;
}

/* One of each kind, while publishes wait: all succeed, in their order. */
static void all_wait_their_turn(void) {
    struct world *w = world_open(1, true);
    create(w, "S", "");
    create(w, "GONE", "");
    world_has(world_api(w, "CONSUMER.CREATE.S.old", "{\"stream_name\":\"S\",\"config\":{\"name\":\"old\"}}"),
              "\"name\":\"old\"");
    world_has(world_js_pub(w, "S", "", "first"), "\"seq\":1");
    world_forget(w);
    int n = fill(w);
    ask(w, "STREAM.MSG.DELETE.S", "{\"seq\":1}", "_INBOX.msg");
    ask(w, "CONSUMER.DELETE.S.old", "", "_INBOX.old");
    ask(w, "CONSUMER.CREATE.S.new", "{\"stream_name\":\"S\",\"config\":{\"name\":\"new\"}}", "_INBOX.new");
    ask(w, "STREAM.PURGE.S", "", "_INBOX.purge");
    ask(w, "STREAM.CREATE.T", "{\"name\":\"T\"}", "_INBOX.create");
    ask(w, "STREAM.UPDATE.S", "{\"name\":\"S\",\"description\":\"changed\"}", "_INBOX.update");
    ask(w, "STREAM.DELETE.GONE", "", "_INBOX.delete");
    /* Before any commit: the requests find the publishes waiting. */
    api_run_queue(w->shard[0].js);
    CHECK_EQ(w->shard[0].js->stall[STALL_LOG].requests, 7);
    CHECK_EQ(w->got_n, 0);
    world_pub(w, 0, "S", "_INBOX.last", "", SPAN_LIT("behind the purge"));
    world_wait(w, (size_t)n + 8, 3000);
    CHECK_EQ(w->got_n, n + 8);
    world_has(answer(w, "_INBOX.msg"), "\"success\":true");
    world_has(answer(w, "_INBOX.old"), "\"success\":true");
    world_has(answer(w, "_INBOX.new"), "\"name\":\"new\"");
    char want[64];
    snprintf(want, sizeof want, "\"purged\":%d}", n);
    world_has(answer(w, "_INBOX.purge"), want);
    world_has(answer(w, "_INBOX.create"), "\"did_create\":true");
    world_has(answer(w, "_INBOX.update"), "\"description\":\"changed\"");
    world_has(answer(w, "_INBOX.delete"), "\"success\":true");
    CHECK(found(w, "_INBOX.msg") < found(w, "_INBOX.old"));
    CHECK(found(w, "_INBOX.old") < found(w, "_INBOX.new"));
    CHECK(found(w, "_INBOX.new") < found(w, "_INBOX.purge"));
    CHECK(found(w, "_INBOX.purge") < found(w, "_INBOX.last"));
    CHECK_EQ(w->shard[0].js->api_stalled_bytes, 0);
    snprintf(want, sizeof want, "\"seq\":%d}", n + 2);
    world_has(answer(w, "_INBOX.last"), want);
    world_has(world_api(w, "STREAM.INFO.S", ""), "\"messages\":1,");
    world_close(w);
}

/* The same on the shard of a stream that is not the requester's. */
static void from_another_shard(void) {
    struct world *w = world_open(2, true);
    create(w, "S", "");
    create(w, "T", "");
    world_forget(w);
    unsigned at = js_stream_find(w->shard[0].js, SPAN_LIT("S")) ? 0 : 1;
    CHECK_EQ(at, 0);
    int n = fill(w);
    char subject[64] = "$JS.API.STREAM.PURGE.S";
    CHECK_EQ(world_pub(w, 1, subject, "_INBOX.purge", "", SPAN_EMPTY), 1);
    world_wait(w, (size_t)n + 1, 3000);
    char want[64];
    snprintf(want, sizeof want, "\"purged\":%d}", n);
    world_has(answer(w, "_INBOX.purge"), want);
    world_close(w);
}

/* A stream in memory has nothing to do with a log that is full. */
static void memory_goes_on(void) {
    struct world *w = world_open(1, true);
    struct js *js = w->shard[0].js;
    create(w, "S", "");
    create(w, "M", ",\"storage\":\"memory\"");
    world_forget(w);
    fill(w);
    CHECK_EQ(world_pub(w, 0, "M", "_INBOX.m", "", SPAN_LIT("x")), 1);
    CHECK(js_stall_empty(js, STALL_MEMORY));
    ask(w, "STREAM.PURGE.M", "", "_INBOX.purge");
    ask(w, "STREAM.CREATE.N", "{\"name\":\"N\",\"storage\":\"memory\"}", "_INBOX.create");
    api_run_queue(js);
    CHECK_EQ(js->stall[STALL_LOG].requests, 0);
    CHECK(js_stream_find(js, SPAN_LIT("N")) != NULL);
    struct mr_stream_state st;
    mr_stream_state(js_stream_find(js, SPAN_LIT("M"))->engine, &st);
    CHECK_EQ(st.msgs, 0);
    CHECK_EQ(st.last_seq, 1);
    world_wait(w, 3, 3000);
    world_close(w);
}

/* Not for ever: those that waited too long are refused, and nothing of them happens. */
static void in_vain(void) {
    struct world *w = world_open(1, true);
    struct js *js = w->shard[0].js;
    create(w, "S", "");
    create(w, "KEPT", "");
    world_forget(w);
    int n = fill(w);
    ask(w, "STREAM.PURGE.S", "", "_INBOX.purge");
    ask(w, "STREAM.CREATE.T", "{\"name\":\"T\"}", "_INBOX.create");
    ask(w, "STREAM.DELETE.KEPT", "", "_INBOX.delete");
    ask(w, "STREAM.PURGE.KEPT", "", "_INBOX.late");
    api_run_queue(js);
    CHECK_EQ(js->stall[STALL_LOG].requests, 4);
    struct list *l = js->api_stalled.next;
    for (int i = 0; i < 3; i++, l = l->next) container_of(l, struct api_req, link)->give_up_ns = 1;
    api_give_up(js);
    CHECK_EQ(js->stall[STALL_LOG].requests, 1);
    CHECK_EQ(w->got_n, 3);
    for (size_t i = 0; i < 3; i++) world_has(w->got[i].data, "\"err_code\":10023");
    world_wait(w, (size_t)n + 4, 3000);
    world_has(answer(w, "_INBOX.late"), "\"success\":true");
    char want[64];
    snprintf(want, sizeof want, "\"messages\":%d,", n);
    world_has(world_api(w, "STREAM.INFO.S", ""), want);
    world_has(world_api(w, "STREAM.INFO.KEPT", ""), "\"messages\":0,");
    world_has(world_api(w, "STREAM.INFO.T", ""), "\"err_code\":10059");
    world_has(world_api(w, "STREAM.CREATE.T", "{\"name\":\"T\"}"), "\"did_create\":true");
    world_has(world_api(w, "STREAM.DELETE.KEPT", ""), "\"success\":true");
    world_close(w);
}

/* When publishes fill half of the queue, nothing more is to come from other shards, until it has drained. */
static void brimful(void) {
    struct world *w = world_open(1, true);
    struct js *js = w->shard[0].js;
    static const uint8_t data[SIZE];
    create(w, "S", "");
    world_forget(w);
    int n = fill(w);
    CHECK(!js_brimful(js));
    for (; !js_brimful(js); n++) {
        CHECK(js->stall[STALL_LOG].n <= js->stall[STALL_LOG].max / 2);
        world_pub(w, 0, "S", "_INBOX.fill", "", span_of(data, SIZE));
    }
    CHECK(js->stall[STALL_LOG].n > js->stall[STALL_LOG].max / 2);
    world_wait(w, (size_t)n, 3000);
    CHECK_EQ(w->got_n, n);
    for (int i = 0; i < n; i++) world_has(w->got[i].data, "\"seq\":");
    CHECK(!js_brimful(js) && !js_congested(js));
    CHECK_EQ(js->stall[STALL_LOG].cap, 0); /* its memory went back */
    world_close(w);
}

/* Not any number of them. */
static void too_many(void) {
    struct world *w = world_open(1, true);
    struct js *js = w->shard[0].js;
    create(w, "S", "");
    world_forget(w);
    int n = fill(w);
    for (int i = 0; i < JS_STALL_REQUESTS + 10; i++) ask(w, "STREAM.PURGE.S", "", "_INBOX.purge");
    while (!list_empty(&js->api_queue)) api_run_queue(js);
    CHECK_EQ(js->stall[STALL_LOG].requests, JS_STALL_REQUESTS);
    CHECK_EQ(w->got_n, 10);
    for (size_t i = 0; i < 10; i++) world_has(w->got[i].data, "\"err_code\":10023");
    world_wait(w, (size_t)n + JS_STALL_REQUESTS + 10, 3000);
    CHECK_EQ(w->got_n, n + JS_STALL_REQUESTS + 10);
    for (size_t i = 10; i < w->got_n; i++)
        CHECK(strstr(w->got[i].data, "\"seq\":") || strstr(w->got[i].data, "\"success\":true"));
    world_close(w);
}

/* The stream leaves while requests about it wait. */
static void the_stream_is_gone(void) {
    struct world *w = world_open(1, true);
    create(w, "S", "");
    create(w, "G", "");
    world_forget(w);
    int n = fill(w);
    ask(w, "STREAM.DELETE.G", "", "_INBOX.delete");
    ask(w, "STREAM.PURGE.G", "", "_INBOX.purge");
    ask(w, "CONSUMER.DELETE.G.c", "", "_INBOX.consumer");
    world_wait(w, (size_t)n + 3, 3000);
    world_has(answer(w, "_INBOX.delete"), "\"success\":true");
    world_has(answer(w, "_INBOX.purge"), "\"err_code\":10059");
    world_has(answer(w, "_INBOX.consumer"), "\"err_code\":10059");
    world_close(w);
}

/* The server ends meanwhile. */
static void closed_while_they_wait(void) {
    struct world *w = world_open(1, true);
    create(w, "S", "");
    world_forget(w);
    fill(w);
    ask(w, "STREAM.PURGE.S", "", "_INBOX.purge");
    api_run_queue(w->shard[0].js);
    CHECK_EQ(w->shard[0].js->stall[STALL_LOG].requests, 1);
    world_close(w);
}

CHECK_MAIN(CASE(all_wait_their_turn), CASE(from_another_shard), CASE(memory_goes_on), CASE(in_vain),
           CASE(brimful), CASE(too_many), CASE(the_stream_is_gone), CASE(closed_while_they_wait))
