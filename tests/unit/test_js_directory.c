/* The directory of streams, and JSON text. */
#include "jetstream/directory.h"
#include "jetstream/errors.h"
#include "jetstream/text.h"
#include "lib/check.h"

static struct dir_entry *add(struct directory *d, const char *name, uint32_t shard, const char *subject,
                             bool active) {
    struct dir_entry *e = directory_add(d, span_str(name), shard, 7);
    CHECK(e != NULL);
    struct span s = span_str(subject);
    CHECK_EQ(directory_subjects(e, &s, 1), ERR_OK);
    if (active) directory_move(d, e, DIR_ACTIVE);
    return e;
}

static void life(void) {
    struct directory d;
    directory_init(&d, 1);
    struct dir_entry *a = add(&d, "A", 0, "a.>", true);
    CHECK(directory_find(&d, SPAN_LIT("A")) == a);
    CHECK(directory_find(&d, SPAN_LIT("B")) == NULL);
    CHECK_EQ(d.active, 1);
    directory_move(&d, a, DIR_LEAVING);
    CHECK_EQ(d.active, 0);
    CHECK_EQ(d.listed, 1);
    directory_remove(&d, a);
    CHECK_EQ(d.listed, 0);
    CHECK(directory_find(&d, SPAN_LIT("A")) == NULL);
    directory_deinit(&d);
}

static void overlaps(void) {
    struct directory d;
    directory_init(&d, 2);
    struct dir_entry *a = add(&d, "A", 0, "a.>", true);
    (void)add(&d, "B", 1, "b", false); /* reserved counts too */
    struct span in = SPAN_LIT("a.1"), b = SPAN_LIT("b"), none = SPAN_LIT("c");
    CHECK(directory_overlaps(&d, NULL, &in, 1));
    CHECK(!directory_overlaps(&d, a, &in, 1));
    CHECK(directory_overlaps(&d, a, &b, 1));
    CHECK(!directory_overlaps(&d, NULL, &none, 1));
    struct span several[] = {none, b};
    CHECK(directory_overlaps(&d, a, several, 2));
    directory_deinit(&d);
}

static void picks_the_emptiest(void) {
    struct directory d;
    directory_init(&d, 3);
    (void)add(&d, "A", 0, "a", true);
    CHECK_EQ(directory_pick(&d, 3, false), 1);
    (void)add(&d, "B", 1, "b", true);
    CHECK_EQ(directory_pick(&d, 3, false), 2);
    CHECK_EQ(directory_pick(&d, 1, false), 0);
    d.failed = 1 << 2;
    CHECK(directory_pick(&d, 3, false) != 2);
    CHECK_EQ(directory_pick(&d, 3, true), 2);
    d.failed = 7;
    CHECK_EQ(directory_pick(&d, 3, false), 3); /* none */
    directory_deinit(&d);
}

static void sorted(void) {
    struct directory d;
    size_t n;
    directory_init(&d, 4);
    (void)add(&d, "b", 0, "x.*", true);
    (void)add(&d, "B", 0, "x.1.y", true);
    (void)add(&d, "a1", 0, "z", true);
    (void)add(&d, "a", 0, "q", true);
    (void)add(&d, "hidden", 0, "h", false);
    struct dir_entry **all = directory_sorted(&d, SPAN_EMPTY, &n);
    CHECK_EQ(n, 4);
    const char *const want[] = {"B", "a", "a1", "b"};
    for (size_t i = 0; i < n; i++) CHECK_MEM(all[i]->name.p, all[i]->name.n, want[i], strlen(want[i]));
    free(all);
    all = directory_sorted(&d, SPAN_LIT("x.5"), &n);
    CHECK_EQ(n, 1);
    CHECK_MEM(all[0]->name.p, all[0]->name.n, "b", 1);
    free(all);
    directory_deinit(&d);
}

static void reserves(void) {
    struct directory d;
    directory_init(&d, 5);
    struct dir_entry *a = add(&d, "A", 0, "a", true);
    directory_reserve(&d, a, false, 100);
    CHECK_EQ(d.reserved_storage, 100);
    directory_reserve(&d, a, false, 40);
    CHECK_EQ(d.reserved_storage, 40);
    directory_reserve(&d, a, true, -1);
    CHECK_EQ(d.reserved_storage, 0);
    CHECK_EQ(d.reserved_memory, 0);
    directory_reserve(&d, a, true, 7);
    directory_remove(&d, a);
    CHECK_EQ(d.reserved_memory, 0);
    directory_deinit(&d);
}

static void str(const char *in, size_t n, const char *want) {
    struct text t = {0};
    text_str(&t, span_of(in, n));
    CHECK_MEM(t.p, t.n, want, strlen(want));
    text_free(&t);
}

static void escapes(void) {
    str("plain", 5, "\"plain\"");
    str("<a> & \"b\"\\", 10, "\"\\u003ca\\u003e \\u0026 \\\"b\\\"\\\\\"");
    str("\n\r\t\b\f\1", 6, "\"\\n\\r\\t\\b\\f\\u0001\"");
    str("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9, "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"");
    str("a\xff\xc3", 3, "\"a\\ufffd\\ufffd\"");
    str("\xed\xa0\x80", 3, "\"\\ufffd\\ufffd\\ufffd\"");
    str("\xe2\x80\xa8", 3, "\"\\u2028\"");
    str("", 0, "\"\"");
    str("\xc0\x80\xe0\x80\x80", 5, "\"\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\"");
}

static void objects(void) {
    struct text t = {0};
    text_lit(&t, "{");
    text_key_u64(&t, "a", 18446744073709551615u);
    text_key_i64(&t, "b", INT64_MIN);
    text_key_bool(&t, "c", false);
    text_opt_bool(&t, "d", false);
    text_opt_str(&t, "e", SPAN_EMPTY);
    text_opt_i64(&t, "f", 0);
    text_key_time(&t, "g", 0);
    text_key_time(&t, "h", 1700000000500000000);
    text_key(&t, "i");
    text_lit(&t, "[");
    text_item(&t);
    text_u64(&t, 1);
    text_item(&t);
    text_u64(&t, 2);
    text_lit(&t, "]}");
    const char *want =
        "{\"a\":18446744073709551615,\"b\":-9223372036854775808,\"c\":false,\"g\":\"0001-01-01T00:00:00Z\","
        "\"h\":\"2023-11-14T22:13:20.5Z\",\"i\":[1,2]}";
    CHECK_MEM(t.p, t.n, want, strlen(want));
    text_free(&t);
}

/* A caller's buffer is never outgrown. */
static void fixed(void) {
    uint8_t buf[8];
    struct text t = {.p = buf, .cap = sizeof buf, .fixed = true};
    text_lit(&t, "1234567");
    CHECK(!t.failed);
    text_lit(&t, "89");
    CHECK(t.failed);
    CHECK_EQ(t.n, 7);
    text_lit(&t, "8");
    CHECK_EQ(t.n, 7);
    text_free(&t);
}

static void error(enum js_code code, const char *arg, const char *want) {
    struct text t = {0};
    struct js_error e;
    CHECK(!js_fail(&e, code, arg));
    js_error_put(&t, &e);
    CHECK_MEM(t.p, t.n, want, strlen(want));
    text_free(&t);
}

static void errors(void) {
    error(JS_BAD_REQUEST, NULL, "{\"code\":400,\"err_code\":10003,\"description\":\"bad request\"}");
    error(JS_WRONG_LAST_SEQ, "7",
          "{\"code\":400,\"err_code\":10071,\"description\":\"wrong last sequence: 7\"}");
    error(JS_STREAM_CONFIG, "x \"y\"", "{\"code\":500,\"err_code\":10052,\"description\":\"x \\\"y\\\"\"}");
    error(JS_SEQ_NOT_FOUND, "9",
          "{\"code\":400,\"err_code\":10043,\"description\":\"sequence 9 not found\"}");
    char longer[2000];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    struct js_error e;
    CHECK(!js_fail(&e, JS_INVALID_JSON, longer));
    CHECK(strlen(e.text) == sizeof e.text - 1);
}

CHECK_MAIN(CASE(life), CASE(overlaps), CASE(picks_the_emptiest), CASE(sorted), CASE(reserves), CASE(escapes),
           CASE(objects), CASE(fixed), CASE(errors))
