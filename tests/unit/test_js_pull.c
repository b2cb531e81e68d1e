/* Pull requests and acknowledgements: what their bytes mean. */
#include "jetstream/ack.h"
#include "jetstream/pull.h"
#include "js_recorded.h"

static struct pull_ask ask(const char *body) {
    struct pull_ask a;
    char why[PULL_ERROR_MAX];
    CHECK(pull_ask_get(&a, span_str(body), why));
    CHECK_STR(why, "");
    return a;
}

static void asks(void) {
    CHECK_EQ(ask("").batch, 1);
    CHECK_EQ(ask("  \r\n").batch, 1);
    CHECK_EQ(ask("17").batch, 17);
    CHECK_EQ(ask(" 17 ").batch, 17);
    CHECK_EQ(ask("-5").batch, 1);
    CHECK_EQ(ask("17x").batch, 1);
    CHECK_EQ(ask("99999999999999999999").batch, 1);
    CHECK_EQ(ask("{}").batch, 1);
    CHECK_EQ(ask("{\"batch\":0}").batch, 1);
    struct pull_ask a = ask("{\"batch\":5,\"expires\":1000000000,\"no_wait\":true,\"max_bytes\":77,\"idle_"
                            "heartbeat\":500000000}");
    CHECK_EQ(a.batch, 5);
    CHECK_EQ(a.expires_ns, 1000000000);
    CHECK_EQ(a.max_bytes, 77);
    CHECK_EQ(a.heartbeat_ns, 500000000);
    CHECK(a.no_wait);
    a = ask(" { \"expires\" : 12 , \"no_wait\" : false , \"batch\" : 3 } ");
    CHECK_EQ(a.batch, 3);
    CHECK_EQ(a.expires_ns, 12);
    CHECK(!a.no_wait);
    CHECK_EQ(ask("{\"batch\":5,\"group\":\"A\"}").batch, 5); /* groups are ignored without a policy */
    CHECK_EQ(ask("{\"batch\":5,\"other\":[1,{\"a\":2}]}").batch, 5);
    CHECK_EQ(ask("{\"batch\":null,\"expires\":7}").expires_ns, 7);
    CHECK_EQ(ask("{\"expires\":-7}").expires_ns, -7);
    CHECK_EQ(ask("{\"b\\u0061tch\":5}").batch, 5);
}

static void refused(const char *body, const char *text) {
    struct pull_ask a;
    char why[PULL_ERROR_MAX];
    CHECK(!pull_ask_get(&a, span_str(body), why));
    CHECK_STR(why, text);
}

static void refusals(void) {
    refused("{\"batch\":1,\"expires\":", "unexpected end of JSON input");
    refused("{\"batch\":1,\"expires\":100,\"idle_heartbeat\":51}", "heartbeat value too large");
    refused("{\"idle_heartbeat\":51}", "heartbeat value too large");
    refused("{\"idle_heartbeat\":9223372036854775807,\"expires\":5}", "heartbeat value too large");
    refused("{\"min_pending\":5}", "Not a Overflow Priority consumer");
    refused("{\"id\":\"x\"}", "Not a Pinned Client Priority consumer");
    refused("{\"priority\":10}", "Priority must be between 0 and 9");
    char *big = malloc(PULL_BODY_MAX + 100);
    memset(big, ' ', PULL_BODY_MAX + 100);
    memcpy(big, "{\"x\":", 5);
    memcpy(big + PULL_BODY_MAX + 96, "1}\0", 3);
    refused(big, "request too large");
    free(big);
}

/* Recorded requests that were refused for what they say are refused in the same words. */
static void recorded(void) {
    yyjson_doc *doc = recorded_read("recorded");
    size_t i, n, seen = 0;
    yyjson_val *step;
    yyjson_arr_foreach(yyjson_doc_get_root(doc), i, n, step) {
        struct span subject = recorded_str(step, "subject"), hdr;
        if (!span_starts(subject, SPAN_LIT("$JS.API.CONSUMER.MSG.NEXT."))) continue;
        yyjson_val *first = yyjson_arr_get_first(yyjson_obj_get(step, "expect"));
        hdr = recorded_str(first, "hdr");
        struct span bad = SPAN_LIT("NATS/1.0 400 Bad Request - ");
        struct pull_ask a;
        char why[PULL_ERROR_MAX];
        bool ok = pull_ask_get(&a, recorded_str(step, "body"), why);
        CHECK_EQ(ok, !span_starts(hdr, bad));
        if (ok) continue;
        CHECK_MEM(why, strlen(why), hdr.p + bad.n, hdr.n - bad.n - 4);
        seen++;
    }
    CHECK(seen >= 5);
    yyjson_doc_free(doc);
}

static void ack_subjects(void) {
    struct ack_subject a;
    CHECK(ack_subject_get(SPAN_LIT("$JS.ACK.S.C.1.22.333.1600000000000000000.5"), &a));
    CHECK_MEM(a.stream.p, a.stream.n, "S", 1);
    CHECK_MEM(a.path.p, a.path.n, "S.C", 3);
    CHECK_EQ(a.delivered, 1);
    CHECK_EQ(a.sseq, 22);
    CHECK_EQ(a.cseq, 333);
    CHECK(ack_subject_get(SPAN_LIT("$JS.ACK._.HASH.S.C.1.22.333.16.5"), &a));
    CHECK_MEM(a.path.p, a.path.n, "S.C", 3);
    CHECK_EQ(a.cseq, 333);
    CHECK(ack_subject_get(SPAN_LIT("$JS.ACK.dom.HASH.S.C.1.22.333.16.5.random"), &a));
    CHECK_MEM(a.path.p, a.path.n, "S.C", 3);
    static const char *const bad[] = {"$JS.ACK.S.C",
                                      "$JS.ACK.S.C.1.2.3",
                                      "$JS.ACK.S.C.x.2.3.4.5",
                                      "$JS.ACK..C.1.2.3.4.5",
                                      "$JS.ACK.S.C.1.2.3.4.5.6",
                                      "$JS.ACK.S..1.2.3.4.5",
                                      "$JS.ACK.S.C.1.99999999999999999999.3.4.5",
                                      "$JS.AC",
                                      "$JS.ACK.S.C.1.-2.3.4.5"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) CHECK(!ack_subject_get(span_str(bad[i]), &a));
}

static enum ack_verb verb(const char *payload, const char *rest) {
    struct span r;
    enum ack_verb v = ack_verb_get(span_str(payload), &r);
    CHECK_MEM(r.p, r.n, rest, strlen(rest));
    return v;
}

static void ack_verbs(void) {
    CHECK_EQ(verb("", ""), ACK_ACK);
    CHECK_EQ(verb("+ACK", ""), ACK_ACK);
    CHECK_EQ(verb("+OK", ""), ACK_ACK);
    CHECK_EQ(verb("-NAK", ""), ACK_NAK);
    CHECK_EQ(verb("-NAK {\"delay\":5}", " {\"delay\":5}"), ACK_NAK);
    CHECK_EQ(verb("+WPI", ""), ACK_PROGRESS);
    CHECK_EQ(verb("+WPIx", ""), ACK_NOTHING);
    CHECK_EQ(verb("+TERM", ""), ACK_TERM);
    CHECK_EQ(verb("+TERM why", " why"), ACK_TERM);
    CHECK_EQ(verb("+NXT", ""), ACK_NEXT);
    CHECK_EQ(verb("+NXT 5", " 5"), ACK_NEXT);
    CHECK_EQ(verb("+ACKx", ""), ACK_NOTHING);
    CHECK_EQ(verb("+T", ""), ACK_NOTHING);
    CHECK_EQ(verb("garbage", ""), ACK_NOTHING);
}

static void nak_delays(void) {
    CHECK_EQ(ack_delay_get(SPAN_LIT(" {\"delay\": 1500}")), 1500);
    CHECK_EQ(ack_delay_get(SPAN_LIT(" 2s")), 2000000000);
    CHECK_EQ(ack_delay_get(SPAN_LIT("")), 0);
    CHECK_EQ(ack_delay_get(SPAN_LIT(" soon")), 0);
    CHECK_EQ(ack_delay_get(SPAN_LIT(" {\"delay\":-5}")), 0);
    CHECK_EQ(ack_delay_get(SPAN_LIT(" {\"delay\":")), 0);
    CHECK_EQ(ack_delay_get(SPAN_LIT(" -2s")), 0);
}

CHECK_MAIN(CASE(asks), CASE(refusals), CASE(recorded), CASE(ack_subjects), CASE(ack_verbs), CASE(nak_delays))
