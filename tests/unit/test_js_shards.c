/* Streams on several shards: one directory, wherever one asks; and the same folder opened with another number
 * of shards. */
#include "js_world.h"

static const char *create(struct world *w, const char *name, const char *subjects) {
    char call[256], body[1024];
    snprintf(call, sizeof call, "STREAM.CREATE.%s", name);
    snprintf(body, sizeof body, "{\"name\":\"%s\",\"subjects\":[%s]%s}", name, subjects,
             w->path[0] ? "" : ",\"storage\":\"memory\"");
    return world_api(w, call, body);
}

/* Publishes a request without waiting. */
static void say(struct world *w, unsigned shard, const char *call, const char *inbox, const char *body) {
    char subject[256];
    snprintf(subject, sizeof subject, "$JS.API.%s", call);
    CHECK_EQ(world_pub(w, shard, subject, inbox, "", span_str(body)), 1);
}

static const struct got *answer(struct world *w, const char *inbox) {
    for (size_t i = 0; i < w->got_n; i++)
        if (!strcmp(w->got[i].subject, inbox)) return &w->got[i];
    fprintf(stderr, "no answer to %s\n", inbox);
    exit(1);
}

static void spread(void) {
    struct world *w = world_open(4, false);
    for (int i = 0; i < 8; i++) {
        char name[16], subject[16];
        snprintf(name, sizeof name, "S%d", i);
        snprintf(subject, sizeof subject, "\"s%d.>\"", i);
        world_has(create(w, name, subject), "did_create");
    }
    for (unsigned i = 0; i < 4; i++) CHECK_EQ(w->shard[i].js->streams_n, 2);
    for (unsigned from = 0; from < 4; from++)
        for (int i = 0; i < 8; i++) {
            char subject[32], want[64];
            snprintf(subject, sizeof subject, "s%d.x", i);
            snprintf(want, sizeof want, "{\"stream\":\"S%d\",\"seq\":%u}", i, from + 1);
            CHECK_EQ(world_ask(w, from, subject, SPAN_LIT("x"), "", 1, 1000), 1);
            CHECK_STR(w->got[0].data, want);
        }
    world_has(world_api(w, "STREAM.NAMES", ""),
              "\"total\":8,\"offset\":0,\"limit\":1024,\"streams\":[\"S0\",\"S1\",\"S2\",");
    world_has(world_api(w, "INFO", ""), "\"streams\":8,\"consumers\":0");
    world_close(w);
}

/* Two creates of one name, one of which wins; equal ones both do. */
static void same_name_at_once(void) {
    struct world *w = world_open(4, false);
    world_forget(w);
    say(w, 1, "STREAM.CREATE.S", "_INBOX.a", "{\"name\":\"S\",\"storage\":\"memory\"}");
    say(w, 2, "STREAM.CREATE.S", "_INBOX.b", "{\"name\":\"S\",\"storage\":\"memory\"}");
    say(w, 3, "STREAM.CREATE.S", "_INBOX.c", "{\"name\":\"S\",\"storage\":\"memory\",\"max_msgs\":5}");
    world_wait(w, 3, 500);
    CHECK_EQ(w->got_n, 3);
    size_t created = 0, refused = 0;
    for (size_t i = 0; i < 3; i++) {
        created += strstr(w->got[i].data, "\"did_create\":true") != NULL;
        refused += strstr(w->got[i].data, "\"err_code\":10058") != NULL;
    }
    CHECK_EQ(created + refused, 3);
    CHECK(created >= 1 && refused >= 1);
    world_has(world_api(w, "STREAM.NAMES", ""), "\"total\":1,");
    world_close(w);
}

/* Overlapping subjects at once: exactly one stream gets them. */
static void overlap_at_once(void) {
    struct world *w = world_open(4, false);
    world_forget(w);
    say(w, 1, "STREAM.CREATE.A", "_INBOX.a",
        "{\"name\":\"A\",\"storage\":\"memory\",\"subjects\":[\"x.*\"]}");
    say(w, 2, "STREAM.CREATE.B", "_INBOX.b",
        "{\"name\":\"B\",\"storage\":\"memory\",\"subjects\":[\"x.1\"]}");
    world_wait(w, 2, 500);
    CHECK_EQ(w->got_n, 2);
    bool a = strstr(answer(w, "_INBOX.a")->data, "did_create") != NULL,
         b = strstr(answer(w, "_INBOX.b")->data, "did_create") != NULL;
    CHECK(a != b);
    world_has(answer(w, a ? "_INBOX.b" : "_INBOX.a")->data, "\"err_code\":10065");
    world_close(w);
}

static void delete_then_create(void) {
    struct world *w = world_open(4, false);
    world_has(create(w, "S", "\"x\""), "did_create");
    world_has(world_js_pub(w, "x", "", "old"), "\"seq\":1");
    world_forget(w);
    /* without waiting in between */
    say(w, 2, "STREAM.DELETE.S", "_INBOX.a", "");
    say(w, 2, "STREAM.CREATE.S", "_INBOX.b", "{\"name\":\"S\",\"storage\":\"memory\",\"subjects\":[\"y\"]}");
    say(w, 2, "STREAM.CREATE.T", "_INBOX.c", "{\"name\":\"T\",\"storage\":\"memory\",\"subjects\":[\"x\"]}");
    world_wait(w, 3, 500);
    CHECK_EQ(w->got_n, 3);
    world_has(answer(w, "_INBOX.a")->data, "\"success\":true");
    world_has(answer(w, "_INBOX.b")->data, "did_create");
    world_has(answer(w, "_INBOX.c")->data, "did_create");
    world_has(world_js_pub(w, "y", "", "new"), "{\"stream\":\"S\",\"seq\":1}");
    world_has(world_js_pub(w, "x", "", "new"), "{\"stream\":\"T\",\"seq\":1}");
    world_has(world_api(w, "STREAM.NAMES", ""), "\"streams\":[\"S\",\"T\"]");
    for (unsigned i = 0; i < 4; i++) {
        CHECK_EQ(world_ask(w, i, "$JS.API.STREAM.INFO.S", SPAN_EMPTY, "", 1, 500), 1);
        world_has(w->got[0].data, "\"subjects\":[\"y\"]");
    }
    world_close(w);
}

static void subjects_move(void) {
    struct world *w = world_open(4, false);
    world_has(create(w, "A", "\"a\",\"shared\""), "did_create");
    world_has(create(w, "B", "\"b\""), "did_create");
    world_has(world_api(w, "STREAM.UPDATE.B",
                        "{\"name\":\"B\",\"storage\":\"memory\",\"subjects\":[\"b\",\"shared\"]}"),
              "\"err_code\":10065");
    world_has(world_api(w, "STREAM.UPDATE.A", "{\"name\":\"A\",\"storage\":\"memory\",\"subjects\":[\"a\"]}"),
              "\"subjects\":[\"a\"]");
    world_has(world_api(w, "STREAM.UPDATE.B",
                        "{\"name\":\"B\",\"storage\":\"memory\",\"subjects\":[\"b\",\"shared\"]}"),
              "\"subjects\":[\"b\",\"shared\"]");
    world_has(world_js_pub(w, "shared", "", "x"), "\"stream\":\"B\"");
    /* an update that fails on the stream's shard gives its subjects back */
    world_has(world_api(w, "STREAM.UPDATE.A",
                        "{\"name\":\"A\",\"storage\":\"file\",\"subjects\":[\"a\",\"wanted\"]}"),
              "can not change storage type");
    world_has(create(w, "C", "\"wanted\""), "did_create");
    world_has(world_js_pub(w, "wanted", "", "x"), "\"stream\":\"C\"");
    world_has(world_api(w, "STREAM.NAMES", "{\"subject\":\"shared\"}"), "\"streams\":[\"B\"]");
    world_close(w);
}

static void limits(void) {
    struct world *w = world_open(2, false);
    w->limits.max_streams = 2;
    w->limits.max_memory = 1000;
    world_has(create(w, "A", "\"a\""), "did_create");
    world_has(world_api(w, "STREAM.CREATE.B", "{\"name\":\"B\",\"storage\":\"memory\",\"max_bytes\":2000}"),
              "\"err_code\":10028");
    world_has(world_api(w, "STREAM.CREATE.B", "{\"name\":\"B\",\"storage\":\"memory\",\"max_bytes\":600}"),
              "did_create");
    world_has(world_api(w, "STREAM.CREATE.C", "{\"name\":\"C\",\"storage\":\"memory\"}"),
              "\"err_code\":10027");
    world_has(world_api(w, "STREAM.UPDATE.B", "{\"name\":\"B\",\"storage\":\"memory\",\"max_bytes\":1200}"),
              "\"err_code\":10028");
    world_has(world_api(w, "STREAM.UPDATE.B", "{\"name\":\"B\",\"storage\":\"memory\",\"max_bytes\":900}"),
              "\"max_bytes\":900");
    world_has(world_api(w, "STREAM.DELETE.A", ""), "success");
    world_has(world_api(w, "STREAM.CREATE.C", "{\"name\":\"C\",\"storage\":\"memory\",\"max_bytes\":200}"),
              "\"err_code\":10028");
    world_has(world_api(w, "STREAM.DELETE.B", ""), "success");
    world_has(world_api(w, "STREAM.CREATE.C", "{\"name\":\"C\",\"storage\":\"memory\",\"max_bytes\":200}"),
              "did_create");
    world_has(world_api(w, "INFO", ""), "\"reserved_memory\":200");
    world_close(w);
}

static size_t count(const char *text, const char *part) {
    size_t n = 0;
    for (; (text = strstr(text, part)); text++) n++;
    return n;
}

static void pages(void) {
    struct world *w = world_open(4, false);
    for (int i = 0; i < 300; i++) {
        char name[16], subject[16];
        snprintf(name, sizeof name, "S%03d", 299 - i);
        snprintf(subject, sizeof subject, "\"s%d\"", i);
        world_has(create(w, name, subject), "did_create");
    }
    const char *page = world_api(w, "STREAM.LIST", "");
    world_has(page, "\"total\":300,\"offset\":0,\"limit\":256,\"streams\":[{\"config\":{\"name\":\"S000\"");
    CHECK_EQ(count(page, "\"config\":{\"name\":\"S"), 256);
    const char *at = page;
    for (int i = 0; i < 256; i++) { /* in order */
        char want[32];
        snprintf(want, sizeof want, "\"name\":\"S%03d\"", i);
        at = strstr(at, want);
        CHECK(at != NULL);
    }
    page = world_api(w, "STREAM.LIST", "{\"offset\":256}");
    world_has(page, "\"total\":300,\"offset\":256,\"limit\":256,\"streams\":[{\"config\":{\"name\":\"S256\"");
    CHECK_EQ(count(page, "\"config\":{\"name\":\"S"), 44);
    CHECK_EQ(count(world_api(w, "STREAM.LIST", "{\"subject\":\"s7\"}"), "\"config\":{\"name\":\"S"), 1);
    world_close(w);
}

/* One folder, opened with one shard, then four, then two: everything is there each time. */
static void reopened(void) {
    struct world *w = world_open(1, true);
    for (int i = 0; i < 5; i++) {
        char name[16], subject[16];
        snprintf(name, sizeof name, "S%d", i);
        snprintf(subject, sizeof subject, "\"s%d\"", i);
        world_has(create(w, name, subject), "did_create");
    }
    world_has(
        world_api(w, "CONSUMER.CREATE.S1.c",
                  "{\"stream_name\":\"S1\",\"config\":{\"durable_name\":\"c\",\"ack_policy\":\"explicit\"}}"),
        "\"name\":\"c\"");
    static const unsigned shards[] = {1, 4, 2, 4, 1};
    for (unsigned round = 0; round < 5; round++) {
        if (round) world_reopen(w, shards[round]);
        world_has(world_api(w, "STREAM.NAMES", ""), "\"streams\":[\"S0\",\"S1\",\"S2\",\"S3\",\"S4\"]");
        for (int i = 0; i < 5; i++) {
            char subject[16], want[64];
            snprintf(subject, sizeof subject, "s%d", i);
            snprintf(want, sizeof want, "{\"stream\":\"S%d\",\"seq\":%u}", i, round + 1);
            CHECK_EQ(world_ask(w, (unsigned)i % w->shards, subject, SPAN_LIT("payload"), "", 1, 1000), 1);
            CHECK_STR(w->got[0].data, want);
        }
        /* each round's message is delivered once, and stays acknowledged */
        CHECK_EQ(world_ask(w, 0, "$JS.API.CONSUMER.MSG.NEXT.S1.c", SPAN_LIT("{\"batch\":9,\"no_wait\":true}"),
                           "", 2, 1000),
                 2);
        char ack[64];
        snprintf(ack, sizeof ack, "$JS.ACK.S1.c.1.%u.%u.", round + 1, round + 1);
        CHECK(strncmp(w->got[0].reply, ack, strlen(ack)) == 0);
        CHECK_STR(w->got[1].hdr, "NATS/1.0 404 No Messages\r\n\r\n");
        char *reply = strdup(w->got[0].reply);
        CHECK_EQ(world_ask(w, w->shards - 1, reply, SPAN_EMPTY, "", 1, 1000), 1);
        free(reply);
        snprintf(ack, sizeof ack, "\"ack_floor\":{\"consumer_seq\":%u,\"stream_seq\":%u", round + 1,
                 round + 1);
        world_has(world_api(w, "CONSUMER.INFO.S1.c", ""), ack);
    }
    world_has(world_api(w, "STREAM.DELETE.S3", ""), "success");
    world_reopen(w, 3);
    world_has(world_api(w, "STREAM.NAMES", ""), "\"streams\":[\"S0\",\"S1\",\"S2\",\"S4\"]");
    world_has(create(w, "S3", "\"s3\""), "did_create");
    world_has(world_js_pub(w, "s3", "", "x"), "\"seq\":1}");
    world_close(w);
}

/* A request for a consumer that is gone, from a shard that cannot know: what the router says when nobody
 * listens. */
static void far_misses(void) {
    struct world *w = world_open(2, false);
    world_has(create(w, "A", "\"a\""), "did_create");
    world_has(create(w, "B", "\"b\""), "did_create");
    static const char *const streams[] = {"A", "B"};
    for (unsigned from = 0; from < 2; from++)
        for (int i = 0; i < 2; i++) {
            char subject[128], want[256];
            snprintf(subject, sizeof subject, "$JS.API.CONSUMER.MSG.NEXT.%s.none", streams[i]);
            snprintf(want, sizeof want, "NATS/1.0 503\r\nNats-Subject: %s\r\n\r\n", subject);
            CHECK_EQ(world_ask(w, from, subject, SPAN_EMPTY, "", 1, 500), 1);
            CHECK_STR(w->got[0].hdr, want);
            snprintf(subject, sizeof subject, "$JS.ACK.%s.none.1.1.1.1.1", streams[i]);
            snprintf(want, sizeof want, "NATS/1.0 503\r\nNats-Subject: %s\r\n\r\n", subject);
            CHECK_EQ(world_ask(w, from, subject, SPAN_EMPTY, "", 1, 500), 1);
            CHECK_STR(w->got[0].hdr, want);
            snprintf(subject, sizeof subject, "$JS.API.DIRECT.GET.%s", streams[i]);
            snprintf(want, sizeof want, "NATS/1.0 503\r\nNats-Subject: %s\r\n\r\n", subject);
            CHECK_EQ(world_ask(w, from, subject, SPAN_LIT("{\"seq\":1}"), "", 1, 500), 1);
            CHECK_STR(w->got[0].hdr, want);
        }
    world_close(w);
}

/* Not answered: what nats-server does not answer; refused in words: what it does and this server does not. */
static void other_requests(void) {
    struct world *w = world_open(2, false);
    CHECK_EQ(world_ask(w, 0, "$JS.API.NONSENSE", SPAN_EMPTY, "", 1, 20), 0);
    CHECK_EQ(world_ask(w, 0, "$JS.API.STREAM.INFO.A.B", SPAN_EMPTY, "", 1, 20), 0);
    world_has(world_api(w, "CONSUMER.PAUSE.A.B", "{}"), "consumer_pause_response");
    world_has(world_api(w, "STREAM.SNAPSHOT.A", "{}"), "STREAM.SNAPSHOT is not supported by this server");
    world_has(world_api(w, "STREAM.LEADER.STEPDOWN.A", ""), "\"err_code\":10010");
    world_has(world_api(w, "STREAM.INFO.*", ""), "\"err_code\":10059");
    world_close(w);
}

/* Batches larger than a turn, from another shard; they stop where they are told to. */
static void direct_batches(void) {
    struct world *w = world_open(2, true);
    world_has(create(w, "FILL", "\"fill\""), "did_create");
    world_has(
        world_api(w, "STREAM.CREATE.S", "{\"name\":\"S\",\"subjects\":[\"s.*\"],\"allow_direct\":true}"),
        "did_create");
    for (int i = 0; i < 1000; i++) {
        char subject[16];
        snprintf(subject, sizeof subject, "s.%d", i % 10);
        world_pub(w, 0, subject, "", "", SPAN_LIT("payload"));
        if (i % 100 == 0) world_tick(w);
    }
    world_has(world_api(w, "STREAM.INFO.S", ""), "\"messages\":1000");
    CHECK_EQ(world_ask(w, 0, "$JS.API.DIRECT.GET.S", SPAN_LIT("{\"batch\":900,\"seq\":1}"), "", 901, 500),
             901);
    for (int i = 0; i < 900; i++) {
        char want[128];
        snprintf(want, sizeof want, "Nats-Sequence: %d\r\n", i + 1);
        world_has(w->got[i].hdr, want);
        snprintf(want, sizeof want, "Nats-Num-Pending: %d\r\nNats-Last-Sequence: %d\r\n\r\n", 999 - i, i);
        world_has(w->got[i].hdr, want);
    }
    CHECK_STR(w->got[900].hdr,
              "NATS/1.0 204 EOB\r\nNats-Num-Pending: 100\r\nNats-Last-Sequence: 900\r\n\r\n");
    CHECK_EQ(world_ask(w, 0, "$JS.API.DIRECT.GET.S",
                       SPAN_LIT("{\"batch\":500,\"next_by_subj\":\"s.3\",\"seq\":500}"), "", 51, 500),
             51);
    CHECK_STR(w->got[50].hdr, "NATS/1.0 204 EOB\r\nNats-Num-Pending: 0\r\nNats-Last-Sequence: 994\r\n\r\n");
    CHECK_EQ(world_ask(w, 0, "$JS.API.DIRECT.GET.S", SPAN_LIT("{\"multi_last\":[\"s.>\"],\"up_to_seq\":505}"),
                       "", 11, 500),
             11);
    world_has(w->got[0].hdr, "Nats-Sequence: 496\r\n");
    CHECK_STR(w->got[10].hdr, "NATS/1.0 204 EOB\r\nNats-Num-Pending: 0\r\nNats-Last-Sequence: "
                              "505\r\nNats-UpTo-Sequence: 505\r\n\r\n");
    /* deleted under it: what is left still ends in order */
    world_forget(w);
    world_pub(w, 0, "$JS.API.DIRECT.GET.S", "_INBOX.x", "", SPAN_LIT("{\"batch\":1000,\"seq\":1}"));
    world_tick(w);
    world_tick(w);
    say(w, 0, "STREAM.DELETE.S", "_INBOX.del", "");
    world_wait(w, 2000, 50);
    world_has(answer(w, "_INBOX.del")->data, "success");
    CHECK_EQ(world_pub(w, 0, "$JS.API.DIRECT.GET.S", "_INBOX.x", "", SPAN_LIT("{\"seq\":1}")), 0);
    world_close(w);
}

static void direct_too_many(void) {
    struct world *w = world_open(1, false);
    world_has(
        world_api(w, "STREAM.CREATE.S",
                  "{\"name\":\"S\",\"subjects\":[\"s.*\"],\"allow_direct\":true,\"storage\":\"memory\"}"),
        "did_create");
    for (int i = 0; i < 1025; i++) {
        char subject[16];
        snprintf(subject, sizeof subject, "s.%d", i);
        world_pub(w, 0, subject, "", "", SPAN_LIT("x"));
    }
    world_tick(w);
    CHECK_EQ(world_ask(w, 0, "$JS.API.DIRECT.GET.S", SPAN_LIT("{\"multi_last\":[\"s.*\"]}"), "", 1, 500), 1);
    CHECK_STR(w->got[0].hdr, "NATS/1.0 413 Too Many Results\r\n\r\n");
    CHECK_EQ(world_ask(w, 0, "$JS.API.DIRECT.GET.S",
                       SPAN_LIT("{\"multi_last\":[\"s.*\"],\"up_to_seq\":1024}"), "", 1025, 500),
             1025);
    world_close(w);
}

/* A flood of requests is bounded and the rest answered. */
static void flood(void) {
    struct world *w = world_open(1, false);
    world_forget(w);
    for (int i = 0; i < JS_API_QUEUE_MAX + 500; i++) say(w, 0, "STREAM.NAMES", "_INBOX.x", "");
    world_wait(w, JS_API_QUEUE_MAX + 1, 50);
    CHECK_EQ(w->got_n, JS_API_QUEUE_MAX);
    world_has(world_api(w, "INFO", ""), "\"streams\":0");
    world_close(w);
}

/* Hostile bodies: each gets an answer, none hurts. */
static void hostile(void) {
    struct world *w = world_open(2, false);
    world_has(create(w, "S", "\"s\""), "did_create");
    static const char *const calls[] = {"INFO",
                                        "STREAM.CREATE.X",
                                        "STREAM.UPDATE.S",
                                        "STREAM.INFO.S",
                                        "STREAM.NAMES",
                                        "STREAM.LIST",
                                        "STREAM.PURGE.S",
                                        "STREAM.MSG.GET.S",
                                        "STREAM.MSG.DELETE.S",
                                        "CONSUMER.CREATE.S",
                                        "CONSUMER.CREATE.S.c",
                                        "CONSUMER.NAMES.S",
                                        "CONSUMER.LIST.S",
                                        "CONSUMER.INFO.S.c",
                                        "CONSUMER.DELETE.S.c",
                                        "STREAM.DELETE.NONE"};
    char *deep = calloc(1, 200001), *numbers = calloc(1, 400001);
    memset(deep, '[', 200000);
    for (int i = 0; i < 100000; i++) memcpy(numbers + 4 * i, i ? ",1e9" : "[123", 4);
    const char *const bodies[] = {"{",
                                  "[]",
                                  "null",
                                  "{\"offset\":-5}",
                                  "{\"seq\":18446744073709551616}",
                                  "\x01\x02\xff",
                                  "{\"name\":\"S\\u0000\"}",
                                  "{\"stream_name\":\"S\",\"config\":[]}",
                                  "{\"stream_name\":\"S\",\"config\":{\"filter_subjects\":[1]}}",
                                  "{\"subjects_filter\":\"..\"}",
                                  "{\"subject\":\">.>\"}",
                                  "{\"filter\":\"a..b\"}",
                                  "{\"last_by_subj\":\"..\"}",
                                  "{\"next_by_subj\":\" \",\"seq\":1}",
                                  "{\"name\":\"X\",\"subjects\":[\"\"]}",
                                  deep,
                                  numbers};
    for (size_t c = 0; c < sizeof calls / sizeof calls[0]; c++)
        for (size_t b = 0; b < sizeof bodies / sizeof bodies[0]; b++) {
            const char *text = world_api(w, calls[c], bodies[b]);
            CHECK(text[0] == '{' && text[strlen(text) - 1] == '}');
        }
    free(deep);
    free(numbers);
    world_has(world_api(w, "STREAM.INFO.S", ""), "\"name\":\"S\"");
    world_close(w);
}

CHECK_MAIN(CASE(spread), CASE(same_name_at_once), CASE(overlap_at_once), CASE(delete_then_create),
           CASE(subjects_move), CASE(limits), CASE(pages), CASE(reopened), CASE(far_misses),
           CASE(other_requests), CASE(direct_batches), CASE(direct_too_many), CASE(flood), CASE(hostile))
