/* Publishing into streams: acknowledgements in order, refusals, headers, and what happens when the engine is
 * full. */
#include "jetstream/publish.h"
#include "js_world.h"

static void create(struct world *w, const char *name, const char *more) {
    char call[256], body[1024];
    snprintf(call, sizeof call, "STREAM.CREATE.%s", name);
    snprintf(body, sizeof body, "{\"name\":\"%s\"%s}", name, more);
    world_has(world_api(w, call, body), "\"did_create\":true");
}

static void acks_in_order(void) {
    struct world *w = world_open(2, true);
    create(w, "S", "");
    world_forget(w);
    for (int i = 0; i < 2000; i++) {
        char reply[32];
        snprintf(reply, sizeof reply, "_INBOX.p%d", i);
        world_pub(w, (unsigned)i & 1 ? 0 : 0, "S", reply, "", SPAN_LIT("x"));
        if (i % 100 == 0) world_tick(w);
    }
    world_wait(w, 2000, 2000);
    CHECK_EQ(w->got_n, 2000);
    for (int i = 0; i < 2000; i++) {
        char subject[32], data[64];
        snprintf(subject, sizeof subject, "_INBOX.p%d", i);
        snprintf(data, sizeof data, "{\"stream\":\"S\",\"seq\":%d}", i + 1);
        CHECK_STR(w->got[i].subject, subject);
        CHECK_STR(w->got[i].data, data);
    }
    world_close(w);
}

/* A refusal does not overtake the acknowledgement of what it depends on. */
static void refusals_in_order(void) {
    struct world *w = world_open(1, true);
    create(w, "S", "");
    world_forget(w);
    const char *id = "NATS/1.0\r\nNats-Msg-Id: one\r\n\r\n",
               *seq = "NATS/1.0\r\nNats-Expected-Last-Sequence: 5\r\n\r\n";
    world_pub(w, 0, "S", "_INBOX.a", id, SPAN_LIT("x"));
    world_pub(w, 0, "S", "_INBOX.b", id, SPAN_LIT("x"));
    world_pub(w, 0, "S", "_INBOX.c", seq, SPAN_LIT("x"));
    world_pub(w, 0, "S", "_INBOX.d", "", SPAN_LIT("x"));
    CHECK_EQ(w->got_n, 0);
    world_wait(w, 4, 2000);
    CHECK_EQ(w->got_n, 4);
    CHECK_STR(w->got[0].data, "{\"stream\":\"S\",\"seq\":1}");
    CHECK_STR(w->got[1].data, "{\"stream\":\"S\",\"seq\":1,\"duplicate\": true}");
    CHECK_STR(w->got[2].data,
              "{\"error\":{\"code\":400,\"err_code\":10071,\"description\":\"wrong last sequence: 1\"},"
              "\"stream\":\"S\",\"seq\":0}");
    CHECK_STR(w->got[3].data, "{\"stream\":\"S\",\"seq\":2}");
    world_close(w);
}

static void nobody_asked(void) {
    struct world *w = world_open(1, false);
    create(w, "N", ",\"no_ack\":true,\"storage\":\"memory\"");
    create(w, "S", ",\"storage\":\"memory\"");
    world_forget(w);
    CHECK_EQ(world_pub(w, 0, "N", "_INBOX.a", "", SPAN_LIT("x")), 1);
    CHECK_EQ(world_pub(w, 0, "N", "_INBOX.a", "NATS/1.0\r\nNats-Expected-Stream: X\r\n\r\n", SPAN_LIT("x")),
             1);
    CHECK_EQ(world_pub(w, 0, "S", "", "", SPAN_LIT("x")), 1);
    CHECK_EQ(world_pub(w, 0, "S", "", "NATS/1.0\r\nNats-Expected-Stream: X\r\n\r\n", SPAN_LIT("x")), 1);
    world_wait(w, 1, 20);
    CHECK_EQ(w->got_n, 0);
    world_has(world_api(w, "STREAM.INFO.N", ""), "\"messages\":1,");
    world_has(world_api(w, "STREAM.INFO.S", ""), "\"messages\":1,");
    world_close(w);
}

static void domain(void) {
    struct world *w = world_open(1, false);
    w->limits.domain = "hub";
    create(w, "S", ",\"storage\":\"memory\"");
    CHECK_STR(world_js_pub(w, "S", "", "x"), "{\"stream\":\"S\",\"domain\":\"hub\",\"seq\":1}");
    CHECK_STR(
        world_js_pub(w, "S", "NATS/1.0\r\nNats-Expected-Stream: X\r\n\r\n", "x"),
        "{\"error\":{\"code\":400,\"err_code\":10060,\"description\":\"expected stream does not match\"},"
        "\"stream\":\"S\",\"seq\":0}");
    const char *id = "NATS/1.0\r\nNats-Msg-Id: one\r\n\r\n";
    (void)world_js_pub(w, "S", id, "x");
    CHECK_STR(world_js_pub(w, "S", id, "x"),
              "{\"stream\":\"S\",\"domain\":\"hub\",\"seq\":2,\"duplicate\": true}");
    world_has(world_api(w, "STREAM.INFO.S", ""), "\"domain\":\"hub\"");
    world_has(world_api(w, "INFO", ""), "\"domain\":\"hub\"");
    world_close(w);
}

static void odd_names(void) {
    struct world *w = world_open(1, false);
    world_has(world_api(w, "STREAM.CREATE.q\"x",
                        "{\"name\":\"q\\\"x\",\"storage\":\"memory\",\"subjects\":[\"odd\"]}"),
              "\"name\":\"q\\\"x\"");
    CHECK_STR(world_js_pub(w, "odd", "", "x"), "{\"stream\":\"q\\\"x\",\"seq\":1}");
    world_close(w);
}

/* A name in which every byte must be escaped, and replies longer than any subscription. */
static void long_names(void) {
    struct world *w = world_open(2, false);
    char name[1600] = "", call[400] = "STREAM.CREATE.", body[4000], reply[6000] = "_INBOX.";
    for (int i = 0; i < 255; i++) strcat(name, "\\u0001");
    memset(call + strlen(call), 1, 255);
    snprintf(body, sizeof body, "{\"name\":\"%s\",\"subjects\":[\"odd\"],\"storage\":\"memory\"}", name);
    world_has(world_api(w, call, body), "did_create");
    world_has(world_js_pub(w, "odd", "", "x"), "\",\"seq\":1}");
    world_has(world_js_pub(w, "odd", "NATS/1.0\r\nNats-Expected-Stream: X\r\n\r\n", "x"),
              "\"err_code\":10060");
    memset(reply + 7, 'r', 5000);
    world_forget(w);
    for (unsigned from = 0; from < 2; from++) {
        CHECK_EQ(world_pub(w, from, "odd", reply, "", SPAN_LIT("x")), 1);
        CHECK_EQ(world_pub(w, from, "$JS.API.INFO", reply, "", SPAN_EMPTY), 1);
        (void)world_pub(w, from, "$JS.API.CONSUMER.MSG.NEXT.A.b", reply, "", SPAN_EMPTY);
        (void)world_pub(w, from, "$JS.ACK.A.b.1.1.1.1.1", reply, "", SPAN_EMPTY);
    }
    world_wait(w, 1, 20);
    CHECK_EQ(w->got_n, 0);
    world_has(world_js_pub(w, "odd", "", "x"), "\"seq\":4}");
    world_close(w);
}

static void limits_refuse(void) {
    struct world *w = world_open(1, false);
    create(w, "S",
           ",\"storage\":\"memory\",\"subjects\":[\"s.*\"],\"discard\":\"new\",\"max_msgs\":2,\"max_msg_"
           "size\":50,"
           "\"max_msgs_per_subject\":1,\"discard_new_per_subject\":true");
    CHECK_STR(world_js_pub(w, "s.1", "", "x"), "{\"stream\":\"S\",\"seq\":1}");
    world_has(world_js_pub(w, "s.1", "", "x"),
              "\"err_code\":10077,\"description\":\"maximum messages per subject exceeded\"");
    world_has(world_js_pub(w, "s.2", "", "123456789012345678901234567890123456789012345678901"),
              "\"err_code\":10054");
    CHECK_STR(world_js_pub(w, "s.2", "", "x"), "{\"stream\":\"S\",\"seq\":2}");
    world_has(world_js_pub(w, "s.3", "", "x"),
              "\"err_code\":10077,\"description\":\"maximum messages exceeded\"");
    world_has(world_js_pub(w, "s.1", "NATS/1.0\r\nNats-Rollup: sub\r\n\r\n", "x"), "rollup not permitted");
    world_close(w);
}

/* A rollup of a pattern takes away all that it matches. */
static void rollup_of_a_pattern(void) {
    struct world *w = world_open(1, false);
    create(w, "S", ",\"storage\":\"memory\",\"subjects\":[\"s.>\"],\"allow_rollup_hdrs\":true");
    (void)world_js_pub(w, "s.a", "", "x");
    (void)world_js_pub(w, "s.b.1", "", "x");
    (void)world_js_pub(w, "s.b.2", "", "x");
    CHECK_STR(world_js_pub(w, "s.b.*", "NATS/1.0\r\nNats-Rollup: sub\r\n\r\n", "x"),
              "{\"stream\":\"S\",\"seq\":4}");
    world_has(world_api(w, "STREAM.INFO.S", "{\"subjects_filter\":\">\"}"),
              "\"subjects\":{\"s.a\":1,\"s.b.*\":1}");
    world_close(w);
}

/* In the log it is one record, so no crash comes between the message and what it takes away. */
static void rollup_of_a_pattern_is_one_record(void) {
    struct world *w = world_open(1, true);
    create(w, "S", ",\"subjects\":[\"s.>\"],\"allow_rollup_hdrs\":true");
    (void)world_js_pub(w, "s.a", "", "x");
    (void)world_js_pub(w, "s.b.1", "", "x");
    (void)world_js_pub(w, "s.b.2", "", "x");
    struct mr_shard_stats before, after;
    mr_shard_stats(w->shard[0].js->engine, &before);
    world_pub(w, 0, "s.b.*", "", "NATS/1.0\r\nNats-Rollup: sub\r\n\r\n", SPAN_LIT("x"));
    mr_shard_stats(w->shard[0].js->engine, &after);
    CHECK_EQ(after.records, before.records + 1);
    for (int life = 0; life < 2; life++) {
        world_has(world_api(w, "STREAM.INFO.S", "{\"subjects_filter\":\">\"}"),
                  "\"subjects\":{\"s.a\":1,\"s.b.*\":1}");
        world_reopen(w, 1);
    }
    world_close(w);
}

static void headers_too_large(void) {
    struct world *w = world_open(1, false);
    create(w, "S", ",\"storage\":\"memory\"");
    char *hdr = malloc(70000);
    int n = sprintf(hdr, "NATS/1.0\r\nA: ");
    memset(hdr + n, 'x', 66000);
    strcpy(hdr + n + 66000, "\r\n\r\n");
    world_has(world_js_pub(w, "S", hdr, "x"), "\"err_code\":10097");
    free(hdr);
    world_close(w);
}

/* --- headers, by themselves --- */

static struct publish_ask ask(const char *lines, enum js_code code) {
    struct publish_ask a = {.err.code = JS_OK};
    struct js_stream *s = calloc(1, sizeof *s);
    char *hdr = calloc(1, strlen(lines) + 32);
    sprintf(hdr, "NATS/1.0\r\n%s\r\n", lines);
    s->name = SPAN_LIT("S");
    s->allow_rollup = true;
    CHECK_EQ(publish_ask_get(&a, s, span_str(hdr)), code == JS_OK);
    CHECK_EQ(a.err.code, code);
    free(s);
    free(hdr);
    return a; /* its spans are gone: only for numbers and codes */
}

static void headers(void) {
    struct publish_ask a = ask("Nats-Expected-Last-Sequence: 7\r\nNats-Expected-Last-Sequence: 8\r\n", JS_OK);
    CHECK(a.opts.expect_last_seq);
    CHECK_EQ(a.opts.last_seq, 7); /* the first counts */
    CHECK(!ask("nats-expected-last-sequence: 7\r\n", JS_OK).opts.expect_last_seq);
    CHECK(!ask("Nats-Expected-Last-Sequence: \r\n", JS_OK).opts.expect_last_seq);
    CHECK(ask("Nats-Expected-Last-Sequence: -1\r\n", JS_OK).opts.last_seq == UINT64_MAX);
    CHECK_EQ(ask("Nats-Expected-Last-Sequence:7\r\n", JS_OK).opts.last_seq, 7);
    a = ask("X: y\r\nNats-Expected-Last-Subject-Sequence: 0\r\n", JS_OK);
    CHECK(a.opts.expect_last_subject_seq && a.opts.last_subject_seq == 0);
    CHECK_EQ(ask("Nats-Rollup: sub\r\n", JS_OK).opts.rollup, MR_ROLLUP_SUBJECT);
    CHECK_EQ(ask("Nats-Rollup: all\r\n", JS_OK).opts.rollup, MR_ROLLUP_ALL);
    (void)ask("Nats-Rollup: some\r\n", JS_ROLLUP);
    (void)ask("Nats-Expected-Stream: T\r\n", JS_EXPECTED_STREAM);
    (void)ask("Nats-Expected-Stream: S\r\n", JS_OK);
    (void)ask("Nats-TTL: 5s\r\n", JS_TTL_DISABLED);
    (void)ask("Nats-Incr: +5\r\n", JS_COUNTER_DISABLED);
    (void)ask("Nats-Schedule: @every 1s\r\n", JS_SCHEDULES_DISABLED);
    (void)ask("Nats-Scheduler: x\r\n", JS_SCHEDULER);
    (void)ask("Nats-Stream-Source: x\r\n", JS_SOURCE_HEADER);
    (void)ask("Nats-Expected-Last-Subject-Sequence-Subject: x\r\n", JS_SEQ_MISSING);
    (void)ask("Nats-Msg-Id: x\r\nNats-Unknown: y\r\nbroken\r\n: z\r\n", JS_OK);
}

/* --- the engine is full --- */

/* More than the log's buffers hold, without a turn of the loop: some wait, some are refused, none is lost or
 * reordered. */
static void stalled(void) {
    enum { COUNT = 700, SIZE = 65536 };
    struct world *w = world_open(1, true);
    create(w, "S", "");
    world_forget(w);
    uint8_t *data = calloc(1, SIZE);
    size_t paused = 0;
    for (int i = 0; i < COUNT; i++) {
        char reply[32];
        snprintf(reply, sizeof reply, "_INBOX.p%d", i);
        struct route_msg m = {.msg = {SPAN_LIT("S"), span_str(reply), SPAN_EMPTY, span_of(data, SIZE)}};
        CHECK_EQ(route_publish(w->shard[0].route, &m), 1);
        paused += m.congested;
    }
    CHECK(paused > 0);
    CHECK(js_congested(w->shard[0].js));
    world_wait(w, COUNT, 3000);
    CHECK_EQ(w->got_n, COUNT);
    CHECK(!js_congested(w->shard[0].js));
    unsigned long seq = 0, refused = 0, last = 0;
    for (int i = 0; i < COUNT; i++) {
        unsigned long got = 0;
        if (sscanf(w->got[i].data, "{\"stream\":\"S\",\"seq\":%lu}", &got) == 1) {
            CHECK_EQ(got, seq + 1);
            seq = got;
            unsigned long number = strtoul(w->got[i].subject + strlen("_INBOX.p"), NULL, 10);
            CHECK(seq == 1 || number > last);
            last = number;
        } else {
            world_has(w->got[i].data, "\"err_code\":10023");
            refused++;
        }
    }
    CHECK(refused > 0 && seq + refused == COUNT);
    char want[64];
    snprintf(want, sizeof want, "\"messages\":%lu,", seq);
    world_has(world_api(w, "STREAM.INFO.S", ""), want);
    free(data);
    world_close(w);
}

/* What waits for a stream that is deleted meanwhile is dropped. */
static void stalled_and_deleted(void) {
    enum { COUNT = 320, SIZE = 65536 };
    struct world *w = world_open(1, true);
    create(w, "S", "");
    create(w, "T", "");
    world_forget(w);
    uint8_t *data = calloc(1, SIZE);
    for (int i = 0; i < COUNT; i++) {
        struct route_msg m = {.msg = {i % 2 ? SPAN_LIT("S") : SPAN_LIT("T"), SPAN_LIT("_INBOX.x"), SPAN_EMPTY,
                                      span_of(data, SIZE)}};
        route_publish(w->shard[0].route, &m);
    }
    CHECK(js_congested(w->shard[0].js));
    struct js_stream *s = js_stream_find(w->shard[0].js, SPAN_LIT("S"));
    js_stall_forget(w->shard[0].js, s);
    world_wait(w, COUNT, 300);
    CHECK(w->got_n < COUNT);
    CHECK(!js_congested(w->shard[0].js));
    size_t to_s = 0, to_t = 0;
    for (size_t i = 0; i < w->got_n; i++) {
        to_s += strstr(w->got[i].data, "\"stream\":\"S\",\"seq\":") != NULL;
        to_t += strstr(w->got[i].data, "\"stream\":\"T\",\"seq\":") != NULL;
    }
    CHECK(to_s < to_t);
    free(data);
    world_close(w);
}

/* Acknowledgements of a stream that is gone when they leave. */
static void deleted_under_way(void) {
    struct world *w = world_open(1, true);
    create(w, "S", "");
    world_forget(w);
    world_pub(w, 0, "$JS.API.STREAM.DELETE.S", "_INBOX.del", "", SPAN_EMPTY);
    world_pub(w, 0, "S", "_INBOX.pub", "", SPAN_LIT("x"));
    world_wait(w, 2, 2000);
    CHECK_EQ(w->got_n, 2);
    for (size_t i = 0; i < 2; i++)
        if (!strcmp(w->got[i].subject, "_INBOX.pub")) world_has(w->got[i].data, "\"seq\":");
    CHECK_EQ(world_pub(w, 0, "S", "_INBOX.pub", "", SPAN_LIT("x")), 0);
    world_close(w);
}

CHECK_MAIN(CASE(acks_in_order), CASE(refusals_in_order), CASE(nobody_asked), CASE(domain), CASE(odd_names),
           CASE(long_names), CASE(limits_refuse), CASE(rollup_of_a_pattern),
           CASE(rollup_of_a_pattern_is_one_record), CASE(headers_too_large), CASE(headers), CASE(stalled),
           CASE(stalled_and_deleted), CASE(deleted_under_way))
