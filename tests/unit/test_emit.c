/* test_emit.c - every line a client is sent, byte for byte as nats-server writes it, in a buffer of exactly
 * the size said. */
#include "wire/emit.h"

#include <yyjson.h>

#include "base/rng.h"
#include "lib/check.h"
#include "wire/parse.h"

static struct span sp(const char *s) { return span_str(s); }

/* The announced size is exact: one byte less and nothing is written. */
static void expect_msg(const char *subject, const char *sid, const char *reply, size_t hdr_n, size_t total,
                       const char *line) {
    size_t n = strlen(line);
    uint8_t *out = malloc(n + 1);
    CHECK_EQ(emit_msg_size(sp(subject), sp(sid), sp(reply), hdr_n, total), n);
    CHECK_EQ(emit_msg(out, n, sp(subject), sp(sid), sp(reply), hdr_n, total), n);
    CHECK_MEM(out, n, line, n);
    memset(out, '#', n + 1);
    CHECK_EQ(emit_msg(out, n - 1, sp(subject), sp(sid), sp(reply), hdr_n, total), 0);
    for (size_t i = 0; i <= n; i++) CHECK_EQ(out[i], '#');
    free(out);
}

static void message_lines(void) {
    expect_msg("foo", "1", "", 0, 0, "MSG foo 1 0\r\n");
    expect_msg("foo.bar", "22", "", 0, 9, "MSG foo.bar 22 9\r\n");
    expect_msg("foo.bar", "22", "_INBOX.x", 0, 10, "MSG foo.bar 22 _INBOX.x 10\r\n");
    expect_msg("f", "s", "", 12, 12, "HMSG f s 12 12\r\n");
    expect_msg("f", "s", "r", 99, 100, "HMSG f s r 99 100\r\n");
    expect_msg("f", "s", "r", 100, 1048576, "HMSG f s r 100 1048576\r\n");
    expect_msg("f", "s", "", 0, SIZE_MAX, "MSG f s 18446744073709551615\r\n");
}

static void sizes_agree_for_any_numbers(void) {
    struct rng r = {4};
    uint8_t out[256];
    for (int i = 0; i < 20000; i++) {
        size_t total = rng_next(&r) >> rng_below(&r, 64),
               hdr = rng_below(&r, 2) ? total >> rng_below(&r, 64) : 0;
        struct span reply = rng_below(&r, 2) ? SPAN_LIT("re.ply") : SPAN_EMPTY;
        char want[128];
        int n = hdr ? snprintf(want, sizeof want, "HMSG a.b 7 %.*s%s%zu %zu\r\n", (int)reply.n,
                               (const char *)reply.p, reply.n ? " " : "", hdr, total)
                    : snprintf(want, sizeof want, "MSG a.b 7 %.*s%s%zu\r\n", (int)reply.n,
                               (const char *)reply.p, reply.n ? " " : "", total);
        size_t got = emit_msg(out, sizeof out, sp("a.b"), sp("7"), reply, hdr, total);
        CHECK_MEM(out, got, want, (size_t)n);
        CHECK_EQ(emit_msg_size(sp("a.b"), sp("7"), reply, hdr, total), n);
    }
}

static void short_lines(void) {
    uint8_t out[64];
    CHECK_MEM(out, emit_ok(out, sizeof out), "+OK\r\n", 5);
    CHECK_MEM(out, emit_ping(out, sizeof out), "PING\r\n", 6);
    CHECK_MEM(out, emit_pong(out, 6), "PONG\r\n", 6);
    CHECK_EQ(emit_pong(out, 5), 0);
    CHECK_EQ(emit_ok(out, 4), 0);
    const char want[] = "-ERR 'Stale Connection'\r\n";
    CHECK_MEM(out, emit_err(out, sizeof want - 1, sp("Stale Connection")), want, sizeof want - 1);
    CHECK_EQ(emit_err(out, sizeof want - 2, sp("Stale Connection")), 0);
}

static void expect_info(const struct info *i, const char *json) {
    static uint8_t out[8192];
    char want[8192];
    int n = snprintf(want, sizeof want, "INFO %s \r\n", json);
    size_t got = emit_info(out, sizeof out, i);
    CHECK_MEM(out, got, want, (size_t)n);
    CHECK_EQ(emit_info(out, got, i), got);
    CHECK_EQ(emit_info(out, got - 1, i), 0);
    for (size_t room = 0; room < 12; room++) CHECK_EQ(emit_info(out, room, i), 0);
}

/* As captured from nats-server 2.15.2, identities shortened. */
static void info_of_a_plain_server(void) {
    struct info i = {
        .server_id = "NC",
        .server_name = "NC",
        .version = "2.15.2",
        .proto = 1,
        .go = "go1.26.8",
        .host = "127.0.0.1",
        .port = 14731,
        .headers = true,
        .max_payload = 1048576,
        .client_id = 44,
        .client_ip = "127.0.0.1",
        .api_lvl = 5,
        .xkey = "XB",
    };
    expect_info(
        &i,
        "{\"server_id\":\"NC\",\"server_name\":\"NC\",\"version\":\"2.15.2\",\"proto\":1,\"go\":\"go1.26.8\","
        "\"host\":\"127.0.0.1\",\"port\":14731,\"headers\":true,\"max_payload\":1048576,\"client_id\":44,"
        "\"client_ip\":\"127.0.0.1\",\"api_lvl\":5,\"xkey\":\"XB\"}");
    i.connect_info = true;
    i.remote_account = "$G";
    expect_info(
        &i,
        "{\"server_id\":\"NC\",\"server_name\":\"NC\",\"version\":\"2.15.2\",\"proto\":1,\"go\":\"go1.26.8\","
        "\"host\":\"127.0.0.1\",\"port\":14731,\"headers\":true,\"max_payload\":1048576,\"client_id\":44,"
        "\"client_ip\":\"127.0.0.1\",\"connect_info\":true,\"remote_account\":\"$G\",\"api_lvl\":5,"
        "\"xkey\":\"XB\"}");
}

static void info_with_everything(void) {
    static const char *const urls[] = {"a:1", "b:2"}, *const ws[] = {"c:3"};
    struct info i = {"S",  "N",  "2.15.2", 1,    "abc",     "go", "h",  4222,      false, true, true,
                     true, true, -1,       true, "1.2.3.4", 7,    "ip", "non\"ce", "C",   true, "D",
                     urls, 2,    ws,       1,    true,      true, "A",  true,      5,     "X"};
    expect_info(
        &i,
        "{\"server_id\":\"S\",\"server_name\":\"N\",\"version\":\"2.15.2\",\"proto\":1,\"git_commit\":"
        "\"abc\","
        "\"go\":\"go\",\"host\":\"h\",\"port\":4222,\"headers\":false,\"auth_required\":true,"
        "\"tls_required\":true,\"tls_verify\":true,\"tls_available\":true,\"max_payload\":-1,"
        "\"jetstream\":true,\"ip\":\"1.2.3.4\",\"client_id\":7,\"client_ip\":\"ip\",\"nonce\":\"non\\\"ce\","
        "\"cluster\":\"C\",\"cluster_dynamic\":true,\"domain\":\"D\",\"connect_urls\":[\"a:1\",\"b:2\"],"
        "\"ws_connect_urls\":[\"c:3\"],\"ldm\":true,\"connect_info\":true,\"remote_account\":\"A\","
        "\"acc_is_sys\":true,\"api_lvl\":5,\"xkey\":\"X\"}");
}

/* Our own parser takes what we send as INFO, and any JSON reader takes the json. */
static void info_is_readable(void) {
    uint8_t out[1024];
    struct info i = {.server_id = "id", .server_name = "n\xff\n", .version = "2.15.2", .go = "", .host = ""};
    size_t n = emit_info(out, sizeof out, &i), used;
    struct parser p;
    struct op op;
    parser_init(&p, 4096, -1);
    CHECK_EQ(parse_next(&p, out, n, &used, &op), PARSE_OP);
    CHECK_EQ(op.kind, OP_INFO);
    CHECK_EQ(used, n);
    yyjson_doc *doc = yyjson_read((const char *)op.arg.p, op.arg.n, 0);
    CHECK(doc != NULL);
    CHECK_STR(yyjson_get_str(yyjson_obj_get(yyjson_doc_get_root(doc), "server_name")), "n\xef\xbf\xbd\n");
    yyjson_doc_free(doc);
}

CHECK_MAIN(CASE(message_lines), CASE(sizes_agree_for_any_numbers), CASE(short_lines),
           CASE(info_of_a_plain_server), CASE(info_with_everything), CASE(info_is_readable))
