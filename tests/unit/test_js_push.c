/* Push consumers: who activates them, flow control, heartbeats, and their end. */
#include "jetstream/push.h"
#include "js_world.h"
#include "wire/gotime.h"

static struct world *with_stream(unsigned shards, int messages) {
    struct world *w = world_open(shards, false);
    /* on the last shard, so that the client on shard 0 is elsewhere */
    for (unsigned i = 0; i + 1 < shards; i++) {
        char call[64], body[128];
        snprintf(call, sizeof call, "STREAM.CREATE.FILL%u", i);
        snprintf(body, sizeof body, "{\"name\":\"FILL%u\",\"storage\":\"memory\"}", i);
        world_has(world_api(w, call, body), "did_create");
    }
    world_has(
        world_api(w, "STREAM.CREATE.S", "{\"name\":\"S\",\"subjects\":[\"s.*\"],\"storage\":\"memory\"}"),
        "did_create");
    for (int i = 0; i < messages; i++) {
        char data[16];
        snprintf(data, sizeof data, "%d", i);
        world_pub(w, 0, "s.1", "", "", span_str(data));
    }
    for (int i = 0; i < 3; i++) world_tick(w);
    world_forget(w);
    return w;
}

static const char *consumer(struct world *w, const char *name, const char *more) {
    char call[256], body[1024];
    snprintf(call, sizeof call, "CONSUMER.CREATE.S.%s", name);
    snprintf(body, sizeof body, "{\"stream_name\":\"S\",\"config\":{\"deliver_subject\":\"push.x\"%s}}",
             more);
    return world_api(w, call, body);
}

static const char *info(struct world *w, const char *name) {
    char call[128];
    snprintf(call, sizeof call, "CONSUMER.INFO.S.%s", name);
    return world_api(w, call, "");
}

static void follows_interest(unsigned shards) {
    struct world *w = with_stream(shards, 2);
    struct sub *wild = world_bind(w, 0, "push.*", "");
    CHECK(!strstr(consumer(w, "c", ",\"durable_name\":\"c\",\"ack_policy\":\"explicit\""), "push_bound"));
    world_wait(w, 2, 20);
    world_forget(w);
    world_wait(w, 1, 20);
    CHECK_EQ(w->got_n, 0); /* a pattern over the deliver subject does not count */
    world_unbind(w, 0, wild);
    struct sub *s = world_bind(w, 0, "push.x", "");
    world_wait(w, 2, 500);
    CHECK_EQ(w->got_n, 2);
    CHECK_STR(w->got[0].subject, "s.1");
    CHECK_STR(w->got[1].data, "1");
    CHECK(strncmp(w->got[1].reply, "$JS.ACK.S.c.1.2.2.", 18) == 0);
    world_has(info(w, "c"), "\"push_bound\":true");
    world_forget(w);
    world_unbind(w, 0, s);
    world_pub(w, 0, "s.1", "", "", SPAN_LIT("later"));
    world_wait(w, 1, 20);
    CHECK_EQ(w->got_n, 0);
    CHECK(!strstr(info(w, "c"), "push_bound"));
    world_forget(w);
    s = world_bind(w, 0, "push.x", "");
    world_wait(w, 1, 500);
    CHECK_EQ(w->got_n, 1);
    CHECK_STR(w->got[0].data, "later");
    /* a negative acknowledgement brings it again */
    char *reply = strdup(w->got[0].reply);
    world_pub(w, 0, reply, "", "", SPAN_LIT("-NAK"));
    free(reply);
    world_wait(w, 2, 500);
    CHECK_EQ(w->got_n, 2);
    CHECK(strncmp(w->got[1].reply, "$JS.ACK.S.c.2.3.4.", 18) == 0);
    world_unbind(w, 0, s);
    world_close(w);
}

static void interest_here(void) { follows_interest(1); }
static void interest_elsewhere(void) { follows_interest(3); }

static void groups(void) {
    struct world *w = with_stream(2, 4);
    struct sub *plain = world_bind(w, 0, "push.x", ""), *other = world_bind(w, 0, "push.x", "other");
    (void)consumer(w, "c", ",\"durable_name\":\"c\",\"deliver_group\":\"g\",\"ack_policy\":\"explicit\"");
    world_forget(w);
    world_wait(w, 1, 20);
    CHECK_EQ(w->got_n, 0);
    world_unbind(w, 0, plain);
    world_unbind(w, 0, other);
    struct sub *a = world_bind(w, 0, "push.x", "g"), *b = world_bind(w, 1, "push.x", "g");
    world_wait(w, 4, 500);
    world_wait(w, 5, 20);
    CHECK_EQ(w->got_n, 4); /* each to one of the two */
    world_unbind(w, 0, a);
    world_unbind(w, 1, b);
    world_close(w);
}

static bool is_question(const struct got *g) {
    return !strcmp(g->hdr, "NATS/1.0 100 FlowControl Request\r\n\r\n");
}

/* The last question that came, and how many messages. */
static char *question(struct world *w, size_t *messages) {
    char *q = NULL;
    *messages = 0;
    for (size_t i = 0; i < w->got_n; i++) {
        if (is_question(&w->got[i]))
            q = w->got[i].reply;
        else
            ++*messages;
    }
    return q ? strdup(q) : NULL;
}

static void flow_control(void) {
    enum { SIZE = 65536, COUNT = 200 };
    struct world *w = with_stream(2, 0);
    uint8_t *data = calloc(1, SIZE);
    struct sub *s = world_bind(w, 0, "push.x", "");
    (void)consumer(
        w, "c",
        ",\"flow_control\":true,\"idle_heartbeat\":100000000,\"ack_policy\":\"none\",\"max_deliver\":1");
    world_forget(w);
    for (int i = 0; i < COUNT; i++) world_pub(w, 0, "s.1", "", "", span_of(data, SIZE));
    world_wait(w, COUNT, 20);
    size_t n, before;
    char *q = question(w, &n);
    CHECK(q != NULL);
    CHECK(strncmp(q, "$JS.FC.S.c.", 11) == 0);
    CHECK(n >= 31 && n <= 34); /* two mebibytes, then it stops */
    /* while it waits for the answer, heartbeats say so */
    before = w->got_n;
    world_wait(w, before + 1, 500);
    CHECK(w->got_n > before);
    char stalled[256];
    snprintf(stalled, sizeof stalled, "Nats-Consumer-Stalled: %s\r\n\r\n", q);
    world_has(w->got[w->got_n - 1].hdr, "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: ");
    world_has(w->got[w->got_n - 1].hdr, stalled);
    world_forget(w);
    world_pub(w, 0, "$JS.FC.S.c.999999", "", "", SPAN_EMPTY); /* not the question */
    world_pub(w, 0, "$JS.FC.S.none.1", "", "", SPAN_EMPTY);
    CHECK_EQ(world_pub(w, 0, "$JS.FC.junk", "", "", SPAN_EMPTY), 0);
    world_wait(w, 3, 20);
    (void)question(w, &n);
    CHECK(n <= 1); /* at most a heartbeat */
    size_t total = 32;
    for (int round = 0; round < 50 && total < COUNT; round++) {
        world_forget(w);
        CHECK_EQ(world_pub(w, 0, q, "", "", SPAN_EMPTY), 1);
        world_wait(w, COUNT, 20);
        char *next = question(w, &n);
        for (size_t i = 0; i < w->got_n; i++) total += w->got[i].data_n == SIZE;
        if (!next) break;
        free(q);
        q = next;
    }
    CHECK(total >= COUNT - 2);
    free(q);
    free(data);
    world_unbind(w, 0, s);
    world_close(w);
}

static void heartbeats(void) {
    struct world *w = with_stream(2, 3);
    struct sub *s = world_bind(w, 0, "push.x", "");
    world_pub(w, 0, "$JS.API.CONSUMER.CREATE.S.c", "", "",
              SPAN_LIT("{\"stream_name\":\"S\",\"config\":{\"deliver_subject\":\"push.x\",\"idle_heartbeat\":"
                       "100000000}}"));
    world_wait(w, 6, 500);
    size_t beats = 0;
    for (size_t i = 0; i < w->got_n; i++) {
        if (strncmp(w->got[i].hdr, "NATS/1.0 100 Idle", 17)) continue;
        CHECK_STR(w->got[i].hdr,
                  "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 3\r\nNats-Last-Stream: 3\r\n\r\n");
        beats++;
    }
    CHECK(beats >= 2);
    world_unbind(w, 0, s);
    world_forget(w);
    world_wait(w, 1, 150);
    CHECK_EQ(w->got_n, 0);
    world_close(w);
}

static void ephemerals_go(void) {
    struct world *w = with_stream(2, 0);
    struct sub *s = world_bind(w, 0, "push.x", "");
    (void)consumer(w, "c", ",\"inactive_threshold\":100000000");
    struct timespec t = {0, 1000000};
    for (int i = 0; i < 250; i++) {
        nanosleep(&t, NULL);
        world_tick(w);
    }
    world_has(info(w, "c"), "\"push_bound\":true");
    world_unbind(w, 0, s);
    for (int i = 0; i < 300; i++) {
        nanosleep(&t, NULL);
        world_tick(w);
    }
    world_has(info(w, "c"), "\"err_code\":10014");
    world_close(w);
}

static void refusals(void) {
    struct world *w = with_stream(1, 0);
    struct sub *s = world_bind(w, 0, "push.x", "");
    (void)consumer(w, "c", ",\"durable_name\":\"c\",\"ack_policy\":\"explicit\"");
    CHECK_EQ(world_ask(w, 0, "$JS.API.CONSUMER.MSG.NEXT.S.c", SPAN_EMPTY, "", 1, 100), 1);
    CHECK_STR(w->got[0].hdr, "NATS/1.0 409 Consumer is push based\r\n\r\n");
    world_has(
        world_api(w, "CONSUMER.CREATE.S.c",
                  "{\"stream_name\":\"S\",\"config\":{\"durable_name\":\"c\",\"ack_policy\":\"explicit\"}}"),
        "can not update push consumer to pull based");
    world_has(world_api(w, "CONSUMER.CREATE.S.c",
                        "{\"stream_name\":\"S\",\"config\":{\"durable_name\":\"c\",\"ack_policy\":"
                        "\"explicit\",\"deliver_subject\":\"push.y\"}}"),
              "\"err_code\":10013");
    world_unbind(w, 0, s);
    world_has(world_api(w, "CONSUMER.CREATE.S.c",
                        "{\"stream_name\":\"S\",\"config\":{\"durable_name\":\"c\",\"ack_policy\":"
                        "\"explicit\",\"deliver_subject\":\"push.y\"}}"),
              "\"deliver_subject\":\"push.y\"");
    s = world_bind(w, 0, "push.y", "");
    world_pub(w, 0, "s.1", "", "", SPAN_LIT("x"));
    world_forget(w);
    world_wait(w, 1, 500);
    CHECK_EQ(w->got_n, 1);
    world_unbind(w, 0, s);
    world_has(world_api(w, "CONSUMER.CREATE.S.d",
                        "{\"stream_name\":\"S\",\"config\":{\"durable_name\":\"d\",\"deliver_subject\":"
                        "\"p\",\"rate_limit_bps\":1000}}"),
              "rate limits are not supported by this server");
    world_has(world_api(w, "CONSUMER.DELETE.S.c", ""), "success");
    world_close(w);
}

/* A listener that vanishes in the middle: what it did not take comes again. */
static void vanishing(void) {
    struct world *w = with_stream(1, 3);
    struct sub *s = world_bind(w, 0, "push.x", "");
    w->deaf = true;
    char call[] = "$JS.API.CONSUMER.CREATE.S.c";
    world_pub(
        w, 0, call, "", "",
        SPAN_LIT("{\"stream_name\":\"S\",\"config\":{\"durable_name\":\"c\",\"ack_policy\":\"explicit\","
                 "\"deliver_subject\":\"push.x\"}}"));
    for (int i = 0; i < 5; i++) world_tick(w);
    world_unbind(w, 0, s);
    w->deaf = false;
    s = world_bind(w, 0, "push.x", "");
    world_wait(w, 3, 500);
    CHECK_EQ(w->got_n, 3);
    world_unbind(w, 0, s);
    world_close(w);
}

/* Push consumers of a file stream are active again after a restart once somebody subscribes. */
static void restart(void) {
    struct world *w = world_open(2, true);
    world_has(world_api(w, "STREAM.CREATE.S", "{\"name\":\"S\",\"subjects\":[\"s.*\"]}"), "did_create");
    (void)consumer(w, "c", ",\"durable_name\":\"c\",\"ack_policy\":\"explicit\"");
    world_has(world_js_pub(w, "s.1", "", "x"), "\"seq\":1");
    world_reopen(w, 4);
    struct sub *s = world_bind(w, 3, "push.x", "");
    world_wait(w, 1, 1000);
    CHECK_EQ(w->got_n, 1);
    CHECK_STR(w->got[0].data, "x");
    world_unbind(w, 3, s);
    world_close(w);
}

/* A pause ends by itself, and what was asked meanwhile is answered then. */
static void paused_for_a_while(void) {
    struct world *w = with_stream(1, 2);
    char until[GOTIME_TEXT_MAX + 1] = "", more[256];
    until[gotime_put(until, js_wall(w->shard[0].js) + 300000000)] = 0;
    snprintf(more, sizeof more, ",\"durable_name\":\"c\",\"ack_policy\":\"explicit\",\"pause_until\":\"%s\"",
             until);
    struct sub *s = world_bind(w, 0, "push.x", "");
    world_has(consumer(w, "c", more), "\"paused\":true,\"pause_remaining\":");
    world_forget(w);
    world_wait(w, 1, 50);
    CHECK_EQ(w->got_n, 0);
    world_wait(w, 2, 3000);
    CHECK_EQ(w->got_n, 2);
    CHECK(!strstr(info(w, "c"), "\"paused\""));
    snprintf(more, sizeof more, "{\"pause_until\":\"2100-01-01T00:00:00Z\"}");
    world_has(world_api(w, "CONSUMER.PAUSE.S.c", more),
              "\"paused\":true,\"pause_until\":\"2100-01-01T00:00:00Z\"");
    world_forget(w);
    world_pub(w, 0, "s.1", "", "", SPAN_LIT("held back"));
    world_wait(w, 1, 50);
    CHECK_EQ(w->got_n, 0);
    world_unbind(w, 0, s);
    s = world_bind(w, 0, "push.x", ""); /* a new listener changes nothing */
    world_wait(w, 1, 50);
    CHECK_EQ(w->got_n, 0);
    until[gotime_put(until, js_wall(w->shard[0].js) + 300000000)] = 0;
    snprintf(more, sizeof more, "{\"pause_until\":\"%s\"}", until);
    world_has(world_api(w, "CONSUMER.PAUSE.S.c", more), "\"paused\":true");
    world_forget(w);
    world_wait(w, 1, 3000);
    CHECK_STR(w->got[0].data, "held back");
    world_unbind(w, 0, s);
    world_close(w);
}

CHECK_MAIN(CASE(paused_for_a_while), CASE(interest_here), CASE(interest_elsewhere), CASE(groups),
           CASE(flow_control), CASE(heartbeats), CASE(ephemerals_go), CASE(refusals), CASE(vanishing),
           CASE(restart))
