/* test_bench_net.c - what the benchmark reads from servers, cut anywhere; addresses; payloads that betray any
 * change. */
#include "lib/check.h"
#include "load/payload.h"
#include "load/work.h"
#include "net/incoming.h"

static const char transcript[] =
    "INFO {\"version\":\"2\"}\r\nPING\r\nPONG\r\n+OK\r\nMSG a.b 12 5\r\nhello\r\n"
    "MSG a.b 12 _INBOX.1 2\r\n\r\n\r\nHMSG x 3 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"
    "HMSG x 3 re.ply 12 12\r\nNATS/1.0\r\n\r\n\r\n-ERR 'Unknown Protocol'\r\n";
static const enum incoming_kind kinds[] = {IN_INFO, IN_PING, IN_PONG, IN_OK, IN_MSG,
                                           IN_MSG,  IN_MSG,  IN_MSG,  IN_ERR};

static bool is(struct span s, const char *text) { return span_eq(s, span_str(text)); }

static void check_one(size_t i, const struct incoming *m) {
    if (i == 0) CHECK(is(m->arg, "{\"version\":\"2\"}"));
    if (i == 4) CHECK(is(m->subject, "a.b") && m->sid == 12 && m->reply.n == 0 && is(m->payload, "hello"));
    if (i == 5) CHECK(is(m->reply, "_INBOX.1") && is(m->payload, "\r\n"));
    if (i == 6) CHECK(is(m->header, "NATS/1.0\r\n\r\n") && is(m->payload, "hi") && m->reply.n == 0);
    if (i == 7) CHECK(is(m->reply, "re.ply") && m->header.n == 12 && m->payload.n == 0);
    if (i == 8) CHECK(is(m->arg, "'Unknown Protocol'"));
}

/* However the bytes arrive, the same operations come out; nothing is read behind what has arrived. */
static void cut_anywhere(void) {
    size_t n = sizeof transcript - 1;
    for (size_t piece = 1; piece <= n; piece++) {
        size_t at = 0, have = 0, i = 0;
        while (have < n) {
            have = have + piece < n ? have + piece : n;
            uint8_t *copy = malloc(have - at ? have - at : 1);
            memcpy(copy, transcript + at, have - at);
            struct incoming m;
            enum incoming_kind kind;
            size_t used = 0;
            while ((kind = incoming_next(copy + used, have - at - used, &m)) != IN_MORE) {
                CHECK(i < sizeof kinds / sizeof kinds[0]);
                CHECK_EQ(kind, kinds[i]);
                check_one(i, &m);
                used += m.used;
                i++;
            }
            at += used;
            free(copy);
        }
        CHECK_EQ(i, sizeof kinds / sizeof kinds[0]);
        CHECK_EQ(at, n);
    }
}

static void says_how_many_bytes_are_needed(void) {
    struct incoming m;
    const char *text = "MSG a 1 100\r\nabc";
    CHECK_EQ(incoming_next((const uint8_t *)text, strlen(text), &m), IN_MORE);
    CHECK_EQ(m.used, 13 + 100 + 2);
}

static void nonsense_is_refused(void) {
    static const char *const bad[] = {"MSG a 1\r\n",
                                      "MSG a x 5\r\n",
                                      "MSG a 1 b 5 6 7\r\n",
                                      "MSG a 1 -5\r\n",
                                      "HMSG a 1 9 5\r\n",
                                      "HMSG a 1 5\r\n",
                                      "WHAT\r\n",
                                      "\r\n",
                                      "MSG a 1 1\r\nabc",
                                      "MSG a 1 9999999999\r\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct incoming m;
        CHECK_EQ(incoming_next((const uint8_t *)bad[i], strlen(bad[i]), &m), IN_BAD);
    }
}

static void addresses(void) {
    struct address a;
    CHECK(address_parse(&a, "nats://127.0.0.1:4333") && a.port == 4333 && a.local);
    CHECK(address_parse(&a, "127.0.0.1") && a.port == 4222);
    CHECK(address_parse(&a, "nats://me:secret@127.0.0.1:5/") && a.port == 5);
    CHECK_STR(a.user, "me");
    CHECK_STR(a.pass, "secret");
    CHECK(address_parse(&a, "[::1]:77") && a.port == 77 && a.local);
    CHECK(!address_parse(&a, "127.0.0.1:0"));
    CHECK(!address_parse(&a, "127.0.0.1:99999"));
    CHECK(!address_parse(&a, "http://127.0.0.1"));
    CHECK(!address_parse(&a, ""));
}

static void targets(void) {
    struct target t;
    char why[200];
    CHECK(target_parse(&t, "mine=nats://127.0.0.1:4333,mode=synced by hand", why, sizeof why));
    CHECK_STR(t.label, "mine");
    CHECK_STR(t.mode, "synced by hand");
    CHECK(target_parse(&t, "127.0.0.1:4333", why, sizeof why));
    CHECK_STR(t.label, "127.0.0.1:4333");
    CHECK(target_parse(&t, "x=run:/bin/sh,sync=always", why, sizeof why));
    CHECK_STR(t.program, "/bin/sh");
    CHECK_STR(t.sync_interval, "always");
    CHECK(target_parse(&t, "run:/bin/sh", why, sizeof why));
    CHECK_STR(t.label, "sh");
    CHECK(!target_parse(&t, "run:/bin/none-such", why, sizeof why));
    CHECK(!target_parse(&t, "127.0.0.1:1,sync=always", why, sizeof why));
    CHECK(!target_parse(&t, "run:/bin/sh,fast=yes", why, sizeof why));
}

static void payloads_come_back_or_not(void) {
    static const uint32_t sizes[] = {0, 1, 7, 8, 15, 16, 17, 128, 5000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct payload p, q;
        uint8_t b[5001];
        uint64_t tag, at, sent = payload_tag(3, 77);
        payload_init(&p, sizes[i], 1);
        payload_init(&q, sizes[i], 2);
        payload_put(&p, b, sent, 12345);
        CHECK(payload_get(&p, span_of(b, sizes[i]), &tag, &at));
        CHECK(tag == (sizes[i] >= 8 ? sent : UINT64_MAX));
        CHECK(at == (sizes[i] >= 16 ? 12345 : UINT64_MAX));
        CHECK(!payload_get(&p, span_of(b, sizes[i] + 1), &tag, &at));
        bool pattern = sizes[i] > 16 || (sizes[i] > 0 && sizes[i] < 8) || sizes[i] == 15;
        if (pattern) {
            CHECK(!payload_get(&q, span_of(b, sizes[i]), &tag, &at));
            b[sizes[i] - 1] ^= 1;
            CHECK(!payload_get(&p, span_of(b, sizes[i]), &tag, &at));
        }
        payload_deinit(&p);
        payload_deinit(&q);
    }
    CHECK_EQ(tag_sender(payload_tag(19999, 5)), 19999);
    CHECK_EQ(tag_number(payload_tag(19999, 1099511627775)), 1099511627775);
}

CHECK_MAIN(CASE(cut_anywhere), CASE(says_how_many_bytes_are_needed), CASE(nonsense_is_refused),
           CASE(addresses), CASE(targets), CASE(payloads_come_back_or_not))
