/* Pull delivery: turns, ends, limits, and consumers that nobody uses any more. */
#include "jetstream/deliver.h"
#include "js_world.h"

static void consumer(struct world *w, const char *name, const char *more) {
    char call[256], body[1024];
    snprintf(call, sizeof call, "CONSUMER.CREATE.S.%s", name);
    snprintf(body, sizeof body, "{\"stream_name\":\"S\",\"config\":{\"ack_policy\":\"explicit\"%s}}", more);
    world_has(world_api(w, call, body), "\"stream_name\":\"S\"");
}

static struct world *with_stream(unsigned shards, int messages) {
    struct world *w = world_open(shards, false);
    world_has(
        world_api(w, "STREAM.CREATE.S", "{\"name\":\"S\",\"subjects\":[\"s.*\"],\"storage\":\"memory\"}"),
        "did_create");
    for (int i = 0; i < messages; i++) {
        char data[16];
        snprintf(data, sizeof data, "%d", i);
        world_pub(w, 0, "s.1", "", "", span_str(data));
    }
    world_tick(w);
    world_tick(w);
    world_forget(w);
    return w;
}

static void pull(struct world *w, const char *consumer_name, const char *inbox, const char *body) {
    char subject[256];
    snprintf(subject, sizeof subject, "$JS.API.CONSUMER.MSG.NEXT.S.%s", consumer_name);
    CHECK_EQ(world_pub(w, w->shards - 1, subject, inbox, "", span_str(body)), 1);
}

static const char *info(struct world *w, const char *name) {
    char call[128];
    snprintf(call, sizeof call, "CONSUMER.INFO.S.%s", name);
    return world_api(w, call, "");
}

/* Requests take turns, one message each. */
static void turns(void) {
    struct world *w = with_stream(2, 0);
    consumer(w, "c", ",\"durable_name\":\"c\"");
    world_forget(w);
    pull(w, "c", "_INBOX.a", "3");
    pull(w, "c", "_INBOX.b", "{\"batch\":2}");
    world_tick(w);
    world_tick(w);
    for (int i = 0; i < 6; i++) world_pub(w, 0, "s.1", "", "", SPAN_LIT("x"));
    world_wait(w, 5, 500);
    CHECK_EQ(w->got_n, 5);
    for (size_t i = 0; i < 5; i++) {
        char ack[64];
        snprintf(ack, sizeof ack, "$JS.ACK.S.c.1.%zu.%zu.", i + 1, i + 1);
        CHECK(strncmp(w->got[i].reply, ack, strlen(ack)) == 0);
        CHECK_STR(w->got[i].subject, "s.1"); /* its own subject, not the inbox */
    }
    world_has(info(w, "c"), "\"num_waiting\":0,\"num_pending\":1");
    world_close(w);
}

/* A long inbox, as clients with long prefixes have. */
static void long_inbox(void) {
    struct world *w = with_stream(1, 1);
    consumer(w, "c", ",\"durable_name\":\"c\"");
    world_forget(w);
    char inbox[512] = "_INBOX.";
    memset(inbox + 7, 'x', 400);
    pull(w, "c", inbox, "");
    world_wait(w, 1, 500);
    CHECK_EQ(w->got_n, 1);
    CHECK_STR(w->got[0].data, "0");
    world_close(w);
}

/* An inbox nobody listens to takes nothing; the message comes again to somebody else. */
static void no_interest(void) {
    struct world *w = with_stream(1, 1);
    consumer(w, "c", ",\"durable_name\":\"c\"");
    world_forget(w);
    pull(w, "c", "nobody.home", "");
    world_wait(w, 1, 20);
    CHECK_EQ(w->got_n, 0);
    world_has(info(w, "c"), "\"delivered\":{\"consumer_seq\":0,\"stream_seq\":0}");
    world_forget(w);
    w->deaf = true; /* it listened when we looked, and did not take it */
    pull(w, "c", "_INBOX.a", "");
    world_wait(w, 1, 20);
    w->deaf = false;
    pull(w, "c", "_INBOX.b", "");
    world_wait(w, 1, 500);
    CHECK_EQ(w->got_n, 1);
    CHECK(strncmp(w->got[0].reply, "$JS.ACK.S.c.2.1.2.", 18) == 0);
    world_close(w);
}

static void hdr_is(const struct got *g, const char *want) { CHECK_STR(g->hdr, want); }

static void waiting_limit(void) {
    struct world *w = with_stream(1, 0);
    consumer(w, "c", ",\"durable_name\":\"c\",\"max_waiting\":2");
    world_forget(w);
    pull(w, "c", "_INBOX.a", "");
    pull(w, "c", "_INBOX.b", "");
    pull(w, "c", "_INBOX.c", "");
    pull(w, "c", "_INBOX.d", "{\"expires\":5000000000,\"idle_heartbeat\":1000000000}");
    world_wait(w, 2, 20);
    CHECK_EQ(w->got_n, 1);
    CHECK_STR(w->got[0].subject, "_INBOX.c");
    hdr_is(&w->got[0], "NATS/1.0 409 Exceeded MaxWaiting\r\n\r\n");
    world_close(w);
}

/* Requests whose clients are gone make room. */
static void waiting_forgotten(void) {
    struct world *w = with_stream(1, 0);
    consumer(w, "c", ",\"durable_name\":\"c\",\"max_waiting\":2");
    world_forget(w);
    pull(w, "c", "nobody.1", "");
    pull(w, "c", "nobody.2", "");
    pull(w, "c", "_INBOX.c", ""); /* one too many, and the reason to look */
    world_wait(w, 1, 50);
    CHECK_EQ(w->got_n, 1);
    world_wait(w, 2, 20);
    pull(w, "c", "_INBOX.d", "");
    world_has(info(w, "c"), "\"num_waiting\":1");
    world_close(w);
}

static void requests_pending(void) {
    struct world *w = with_stream(1, 3);
    consumer(w, "c", ",\"durable_name\":\"c\",\"max_ack_pending\":1");
    world_forget(w);
    pull(w, "c", "_INBOX.a", "10");
    world_wait(w, 1, 500);
    pull(w, "c", "_INBOX.b", "{\"batch\":1,\"no_wait\":true}"); /* two are left, nine are asked for */
    world_wait(w, 2, 500);
    CHECK_EQ(w->got_n, 2);
    hdr_is(&w->got[1], "NATS/1.0 408 Requests Pending\r\n\r\n");
    world_close(w);
}

/* Outstanding acknowledgements hold everything back, also who would not wait. */
static void ack_pending(void) {
    struct world *w = with_stream(1, 3);
    consumer(w, "c", ",\"durable_name\":\"c\",\"max_ack_pending\":1");
    world_forget(w);
    pull(w, "c", "_INBOX.a", "");
    world_wait(w, 1, 500);
    pull(w, "c", "_INBOX.b", "{\"batch\":2,\"no_wait\":true}");
    world_wait(w, 2, 20);
    CHECK_EQ(w->got_n, 1);
    CHECK_EQ(world_pub(w, 0, w->got[0].reply, "", "", SPAN_EMPTY), 1);
    world_wait(w, 2, 500);
    CHECK_EQ(w->got_n, 2);
    CHECK_STR(w->got[1].data, "1");
    world_close(w);
}

static void ends(void) {
    struct world *w = with_stream(2, 0);
    consumer(w, "c", ",\"durable_name\":\"c\"");
    consumer(w, "d", ",\"durable_name\":\"d\"");
    world_forget(w);
    pull(w, "c", "_INBOX.a", "5");
    pull(w, "d", "_INBOX.b", "5");
    for (int i = 0; i < 4; i++) world_tick(w);
    world_pub(w, 0, "$JS.API.CONSUMER.DELETE.S.c", "_INBOX.del", "", SPAN_EMPTY);
    world_wait(w, 2, 500);
    CHECK_EQ(w->got_n, 2);
    CHECK_STR(w->got[0].subject, "_INBOX.a");
    hdr_is(&w->got[0], "NATS/1.0 409 Consumer Deleted\r\n\r\n");
    world_has(w->got[1].data, "\"success\":true");
    world_forget(w);
    world_pub(w, 1, "$JS.API.STREAM.DELETE.S", "_INBOX.del", "", SPAN_EMPTY);
    world_wait(w, 2, 500);
    CHECK_EQ(w->got_n, 2);
    CHECK_STR(w->got[0].subject, "_INBOX.b");
    hdr_is(&w->got[0], "NATS/1.0 409 Consumer Deleted\r\n\r\n");
    world_has(w->got[1].data, "\"success\":true");
    world_close(w);
}

static void stopping(void) {
    struct world *w = with_stream(1, 0);
    consumer(w, "c", ",\"durable_name\":\"c\"");
    world_forget(w);
    pull(w, "c", "_INBOX.a", "{\"batch\":5,\"max_bytes\":100}");
    world_tick(w);
    js_shutdown(w->shard[0].js);
    CHECK_EQ(w->got_n, 1);
    hdr_is(&w->got[0],
           "NATS/1.0 409 Server Shutdown\r\nNats-Pending-Messages: 5\r\nNats-Pending-Bytes: 100\r\n\r\n");
    world_close(w);
}

/* The way to another shard is backed up: who listens there waits, who listens here does not; and when he
 * moves, what counts is where he is then. */
static void congestion(void) {
    struct world *w = with_stream(2, 5);
    struct js *js = w->shard[0].js;
    CHECK(js_stream_find(js, SPAN_LIT("S")) != NULL);
    consumer(w, "far", ",\"durable_name\":\"far\"");
    consumer(w, "near", ",\"durable_name\":\"near\"");
    world_forget(w);
    struct sub *far = world_bind(w, 1, "far", "");
    w->congested = true;
    pull(w, "far", "far", "5");
    pull(w, "near", "_INBOX.near", "5");
    world_wait(w, 5, 20);
    CHECK_EQ(w->got_n, 5);
    for (size_t i = 0; i < 5; i++) CHECK(strncmp(w->got[i].reply, "$JS.ACK.S.near.", 15) == 0);
    CHECK(js_deadline(js) != UINT64_MAX); /* it will look again */
    world_unbind(w, 1, far);
    world_wait(w, 6, 20); /* the pull is dropped when it is looked at and nobody listens */
    far = world_bind(w, 0, "far", "");
    pull(w, "far", "far", "2");
    world_wait(w, 7, 500);
    CHECK_EQ(w->got_n, 7);
    world_unbind(w, 0, far);
    far = world_bind(w, 1, "far", "");
    pull(w, "far", "far", "3");
    world_wait(w, 8, 20);
    CHECK_EQ(w->got_n, 7);
    w->congested = false;
    world_wait(w, 10, 500);
    CHECK_EQ(w->got_n, 10);
    world_unbind(w, 1, far);
    world_close(w);
}

/* One whose client lags gets little at a time; the others get theirs, whoever comes first. */
static void one_lags(void) {
    enum { COUNT = 300 };
    struct world *w = with_stream(1, COUNT);
    consumer(w, "slow", ",\"durable_name\":\"slow\",\"max_ack_pending\":-1");
    consumer(w, "fast", ",\"durable_name\":\"fast\",\"max_ack_pending\":-1");
    world_forget(w);
    w->lags = "_INBOX.slow";
    pull(w, "slow", "_INBOX.slow", "300");
    pull(w, "fast", "_INBOX.fast", "300");
    size_t slow = 0, fast = 0, seen = 0;
    for (int i = 0; i < 20; i++) world_tick(w);
    for (; seen < w->got_n; seen++)
        *(strncmp(w->got[seen].reply, "$JS.ACK.S.slow.", 15) == 0 ? &slow : &fast) += 1;
    CHECK_EQ(fast, COUNT);
    CHECK(slow >= 1 && slow <= 20);
    w->lags = NULL;
    world_wait(w, 2 * COUNT, 500);
    CHECK_EQ(w->got_n, 2 * COUNT);
    world_close(w);
}

/* One greedy consumer does not keep another waiting for its whole backlog. */
static void fair(void) {
    struct world *w = with_stream(1, 2000);
    consumer(w, "a", ",\"durable_name\":\"a\",\"max_ack_pending\":-1");
    consumer(w, "b", ",\"durable_name\":\"b\",\"max_ack_pending\":-1");
    world_forget(w);
    pull(w, "a", "_INBOX.a", "2000");
    pull(w, "b", "_INBOX.b", "2000");
    world_tick(w);
    size_t to_a = 0, to_b = 0;
    for (size_t i = 0; i < w->got_n; i++) {
        to_a += strncmp(w->got[i].reply, "$JS.ACK.S.a.", 12) == 0;
        to_b += strncmp(w->got[i].reply, "$JS.ACK.S.b.", 12) == 0;
    }
    CHECK(to_a > 0 && to_a <= 512);
    CHECK_EQ(to_a, to_b);
    world_wait(w, 4000, 1000);
    CHECK_EQ(w->got_n, 4000);
    world_close(w);
}

static void headers_only(void) {
    struct world *w = with_stream(1, 0);
    consumer(w, "c", ",\"durable_name\":\"c\",\"headers_only\":true");
    world_pub(w, 0, "s.1", "", "NATS/1.0\r\nA: b\r\n\r\n", SPAN_LIT("12345"));
    world_pub(w, 0, "s.1", "", "", SPAN_LIT("123"));
    world_forget(w);
    pull(w, "c", "_INBOX.a", "2");
    world_wait(w, 2, 500);
    CHECK_EQ(w->got_n, 2);
    hdr_is(&w->got[0], "NATS/1.0\r\nA: b\r\nNats-Msg-Size: 5\r\n\r\n");
    hdr_is(&w->got[1], "NATS/1.0\r\nNats-Msg-Size: 3\r\n\r\n");
    CHECK_STR(w->got[0].data, "");
    world_close(w);
}

/* Headers and payload arrive as they were published. */
static void unchanged(void) {
    struct world *w = with_stream(2, 0);
    consumer(w, "c", ",\"durable_name\":\"c\"");
    const char *hdr = "NATS/1.0\r\nNats-Msg-Id: 1\r\nX: \xff\xfe\r\n\r\n";
    uint8_t data[256];
    for (int i = 0; i < 256; i++) data[i] = (uint8_t)i;
    world_pub(w, 0, "s.2", "ignored", hdr, span_of(data, sizeof data));
    world_forget(w);
    pull(w, "c", "_INBOX.a", "1");
    world_wait(w, 1, 500);
    CHECK_EQ(w->got_n, 1);
    CHECK_STR(w->got[0].subject, "s.2");
    CHECK_STR(w->got[0].hdr, hdr);
    CHECK_MEM(w->got[0].data, w->got[0].data_n, data, sizeof data);
    world_close(w);
}

/* An ephemeral consumer goes when nobody used it for its threshold, and stays while somebody waits. */
static void inactivity(void) {
    struct world *w = with_stream(1, 0);
    consumer(w, "e", ",\"inactive_threshold\":50000000");
    consumer(w, "f", ",\"inactive_threshold\":50000000");
    world_forget(w);
    pull(w, "f", "_INBOX.a", "{\"batch\":1,\"expires\":100000000000}");
    for (int i = 0; i < 400; i++) {
        struct timespec t = {0, 1000000};
        nanosleep(&t, NULL);
        world_tick(w);
    }
    world_has(info(w, "e"), "\"err_code\":10014");
    world_has(info(w, "f"), "\"num_waiting\":1");
    world_has(world_api(w, "STREAM.INFO.S", ""), "\"consumer_count\":1");
    world_close(w);
}

static void update(void) {
    struct world *w = with_stream(1, 3);
    consumer(w, "c", ",\"durable_name\":\"c\"");
    consumer(w, "c", ",\"durable_name\":\"c\",\"max_batch\":2,\"description\":\"new\"");
    world_has(info(w, "c"), "\"description\":\"new\"");
    world_forget(w);
    pull(w, "c", "_INBOX.a", "3");
    world_wait(w, 1, 500);
    CHECK_EQ(w->got_n, 1);
    hdr_is(&w->got[0], "NATS/1.0 409 Exceeded MaxRequestBatch of 2\r\n\r\n");
    world_close(w);
}

static void level(void) {
    struct world *w = with_stream(2, 1);
    consumer(w, "c", ",\"durable_name\":\"c\"");
    for (unsigned i = 0; i < 2; i++) {
        CHECK_EQ(world_ask(w, i, "$JS.API.CONSUMER.MSG.NEXT.S.c", SPAN_EMPTY,
                           "NATS/1.0\r\nNats-Required-Api-Level: 6\r\n\r\n", 1, 500),
                 1);
        hdr_is(&w->got[0], "NATS/1.0 412 Required Api Level\r\n\r\n");
    }
    CHECK_EQ(world_ask(w, 0, "$JS.API.CONSUMER.MSG.NEXT.S.c", SPAN_EMPTY,
                       "NATS/1.0\r\nNats-Required-Api-Level: 5\r\n\r\n", 1, 500),
             1);
    CHECK_STR(w->got[0].data, "0");
    world_close(w);
}

/* Acknowledged acknowledgements: the empty answer comes, once for each, from either shard. */
static void double_ack(void) {
    struct world *w = with_stream(2, 4);
    consumer(w, "c", ",\"durable_name\":\"c\"");
    CHECK_EQ(world_ask(w, 0, "$JS.API.CONSUMER.MSG.NEXT.S.c", SPAN_LIT("4"), "", 4, 500), 4);
    static const char *const verbs[] = {"", "+ACK", "-NAK {\"delay\":100000000000}", "+TERM"};
    char *ack[4];
    for (int i = 0; i < 4; i++) ack[i] = strdup(w->got[i].reply);
    for (unsigned i = 0; i < 4; i++) {
        CHECK_EQ(world_ask(w, i % 2, ack[i], span_str(verbs[i]), "", 1, 500), 1);
        CHECK_STR(w->got[0].data, "");
        CHECK_STR(w->got[0].hdr, "");
        free(ack[i]);
    }
    world_has(info(w, "c"), "\"num_ack_pending\":1");
    world_close(w);
}

CHECK_MAIN(CASE(turns), CASE(long_inbox), CASE(no_interest), CASE(waiting_limit), CASE(waiting_forgotten),
           CASE(requests_pending), CASE(ack_pending), CASE(ends), CASE(stopping), CASE(congestion),
           CASE(one_lags), CASE(fair), CASE(headers_only), CASE(unchanged), CASE(inactivity), CASE(update),
           CASE(level), CASE(double_ack))
