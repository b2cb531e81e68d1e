/* test_json.c - reading with bounds, decoding by table, the sentences of Go 1.26 for the same inputs,
 * encodings. */
#include "wire/json.h"

#include "base/rng.h"
#include "lib/check.h"
#include "wire/gotime.h"

static void explanations(void) {
    static const struct {
        const char *text, *sentence;
        size_t offset;
    } rows[] = {
        {"", "unexpected end of JSON input", 0},
        {"{", "unexpected end of JSON input", 1},
        {"[", "unexpected end of JSON input", 1},
        {"{\"a\"", "unexpected end of JSON input", 4},
        {"{\"a\":", "unexpected end of JSON input", 5},
        {"{\"a\":1", "unexpected end of JSON input", 6},
        {"{\"a\":1,", "unexpected end of JSON input", 7},
        {"{\"a\":1,}", "invalid character '}' looking for beginning of object key string", 8},
        {"{a:1}", "invalid character 'a' looking for beginning of object key string", 2},
        {"[1,]", "invalid character ']' looking for beginning of value", 4},
        {"[1 2]", "invalid character '2' after array element", 4},
        {"{\"a\" 1}", "invalid character '1' after object key", 6},
        {"{\"a\":1 \"b\"}", "invalid character '\"' after object key:value pair", 8},
        {"tru", "invalid character ' ' in literal true (expecting 'e')", 3},
        {"trux", "invalid character 'x' in literal true (expecting 'e')", 4},
        {"nul!", "invalid character '!' in literal null (expecting 'l')", 4},
        {"fals", "invalid character ' ' in literal false (expecting 'e')", 4},
        {"-", "invalid character ' ' in numeric literal", 1},
        {"-x", "invalid character 'x' in numeric literal", 2},
        {"01", "invalid character '1' after top-level value", 2},
        {"1.", "invalid character ' ' after decimal point in numeric literal", 2},
        {"1.x", "invalid character 'x' after decimal point in numeric literal", 3},
        {"1e", "invalid character ' ' in exponent of numeric literal", 2},
        {"1e+x", "invalid character 'x' in exponent of numeric literal", 4},
        {"\"abc", "unexpected end of JSON input", 4},
        {"\"a\\qb\"", "invalid character 'q' in string escape code", 4},
        {"\"\\u12x4\"", "invalid character 'x' in \\u hexadecimal character escape", 6},
        {"\"a\nb\"", "invalid character '\\n' in string literal", 3},
        {"{} x", "invalid character 'x' after top-level value", 4},
        {"]", "invalid character ']' looking for beginning of value", 1},
        {"}", "invalid character '}' looking for beginning of value", 1},
        {"{,}", "invalid character ',' looking for beginning of object key string", 2},
        {"[,1]", "invalid character ',' looking for beginning of value", 2},
        {"'a'", "invalid character '\\'' looking for beginning of value", 1},
        {"\x01", "invalid character '\\x01' looking for beginning of value", 1},
        {"\xff",
         "invalid character '"
         "\xc3\xbf"
         "' looking for beginning of value",
         1},
        {"{\"a\":'", "invalid character '\\'' looking for beginning of value", 6},
        {"\\", "invalid character '\\\\' looking for beginning of value", 1},
        {"+1", "invalid character '+' looking for beginning of value", 1},
        {".5", "invalid character '.' looking for beginning of value", 1},
        {"nan", "invalid character 'a' in literal null (expecting 'u')", 2},
        {""
         "\xc3\xa9"
         "",
         "invalid character '"
         "\xc3\x83"
         "' looking for beginning of value",
         1},
        {"{\"a\":"
         "\xc3\xbf"
         "}",
         "invalid character '"
         "\xc3\x83"
         "' looking for beginning of value",
         6},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct json_err e = {.text = ""};
        CHECK(json_read(span_str(rows[i].text), JSON_DEPTH_MAX, &e) == NULL);
        CHECK_STR(e.text, rows[i].sentence);
        CHECK_EQ(e.offset, rows[i].offset);
    }
    struct json_err e;
    CHECK(json_explain(span_of("\"\0\"", 3), &e));
    CHECK_STR(e.text, "invalid character '\\x00' in string literal");
}

static void well_formed_needs_no_explanation(void) {
    static const char *const texts[] = {
        "1",    " [] ",    "{}",       "{\"a\":[1,2.5e-3,-0,true,false,null,\"x\\u00e9\\n\"]}",
        "\"\"", "[[],{}]", "-1.5E+10", "0",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct json_err e;
        CHECK(!json_explain(span_str(texts[i]), &e));
        yyjson_doc *doc = json_read(span_str(texts[i]), JSON_DEPTH_MAX, &e);
        CHECK(doc != NULL);
        yyjson_doc_free(doc);
    }
}

/* What yyjson refuses, the explainer explains, and the other way round. */
static void both_agree_on_random_texts(void) {
    struct rng r = {12};
    int good = 0;
    for (int round = 0; round < 200000; round++) {
        char text[24];
        size_t n = 1 + rng_below(&r, rng_below(&r, 2) ? 5 : sizeof text - 1);
        for (size_t i = 0; i < n; i++) text[i] = "{}[]:,\"\"a01 -.eE+tn\\u\t"[rng_below(&r, 23)];
        char *exact = malloc(n);
        memcpy(exact, text, n);
        struct json_err e;
        yyjson_doc *doc = json_read(span_of(exact, n), JSON_DEPTH_MAX, &e);
        if (json_explain(span_of(exact, n), &e) == (doc != NULL)) fprintf(stderr, "<%.*s>\n", (int)n, text);
        CHECK_EQ(json_explain(span_of(exact, n), &e), doc == NULL);
        good += doc != NULL;
        yyjson_doc_free(doc);
        free(exact);
    }
    CHECK(good > 1000);
}

static void bounds(void) {
    struct json_err e;
    char deep[300];
    memset(deep, '[', 150), memset(deep + 150, ']', 150);
    for (uint32_t d = 98; d <= 102; d++) {
        yyjson_doc *doc = json_read(span_of(deep + 150 - d, 2 * d), JSON_DEPTH_MAX, &e);
        CHECK_EQ(doc != NULL, d <= JSON_DEPTH_MAX);
        if (!doc) CHECK_STR(e.text, "exceeded max depth");
        yyjson_doc_free(doc);
    }
    CHECK(json_read(SPAN_LIT("{\"a\":{}}"), 1, &e) == NULL);
    yyjson_doc *doc =
        json_read(SPAN_LIT("{\"a\":\"[[[[\\\"[[[\"}"), 1, &e); /* brackets in strings do not count */
    CHECK(doc != NULL);
    yyjson_doc_free(doc);
    char *big = calloc(1, JSON_BYTES_MAX + 1);
    memset(big, ' ', JSON_BYTES_MAX + 1);
    big[0] = '1';
    CHECK(json_read(span_of(big, JSON_BYTES_MAX + 1), 1, &e) == NULL);
    doc = json_read(span_of(big, JSON_BYTES_MAX), 1, &e);
    CHECK(doc != NULL);
    yyjson_doc_free(doc);
    free(big);
}

/* --- decoding --- */

struct target {
    int64_t a, g, time;
    struct span b;
    yyjson_val *d, *h, *i, *any, *list;
    bool e;
    uint8_t f;
    int32_t small;
    uint64_t u;
    double x;
    int policy;
};

static const char *const policies[] = {"limits", "interest", "workqueue", NULL};
#define F(name, type, member, ...)                                                                           \
    { name, type, offsetof(struct target, member), __VA_ARGS__ }
static const struct json_field fields[] = {
    F("a", JSON_I64, a, NULL, "int"),
    F("b", JSON_STR, b, NULL, NULL),
    F("c", JSON_TIME, time, NULL, NULL),
    F("d", JSON_STRINGS, d, NULL, NULL),
    F("e", JSON_BOOL, e, NULL, NULL),
    F("f", JSON_U8, f, NULL, NULL),
    F("g", JSON_I64, g, NULL, "time.Duration"),
    F("h", JSON_STRMAP, h, NULL, NULL),
    F("i", JSON_OBJECT, i, NULL, NULL),
    F("any", JSON_ANY, any, NULL, NULL),
    F("list", JSON_ARRAY, list, NULL, NULL),
    F("small", JSON_I32, small, NULL, NULL),
    F("u", JSON_U64, u, NULL, NULL),
    F("x", JSON_F64, x, NULL, NULL),
    F("policy", JSON_ENUM, policy, policies, NULL),
    {"skip", JSON_SKIP, 0, NULL, NULL},
};
static const struct json_table table = {"T", fields, sizeof fields / sizeof fields[0]};

static bool decode(const char *text, bool strict, struct target *t, struct json_err *e, yyjson_doc **doc) {
    *doc = json_read(span_str(text), JSON_DEPTH_MAX, e);
    CHECK(*doc != NULL);
    return json_decode(yyjson_doc_get_root(*doc), &table, strict, t, e);
}

static void every_type(void) {
    struct target t = {.small = 77};
    struct json_err e;
    yyjson_doc *doc;
    CHECK(decode(
        "{\"a\":-5,\"b\":\"str\",\"c\":\"2024-01-02T03:04:05.5Z\",\"d\":[\"x\",\"y\"],\"e\":true,\"f\":255,"
        "\"g\":9223372036854775807,\"h\":{\"k\":\"v\"},\"i\":{\"z\":1},\"any\":[1],\"list\":[{}],"
        "\"small\":null,\"u\":18446744073709551615,\"x\":1.5,\"policy\":\"workqueue\",\"skip\":{\"any\":1}}",
        true, &t, &e, &doc));
    CHECK_EQ(t.a, -5);
    CHECK_MEM(t.b.p, t.b.n, "str", 3);
    CHECK_EQ(t.time, INT64_C(1704164645500000000));
    CHECK_EQ(yyjson_arr_size(t.d), 2);
    CHECK_EQ(t.e, true);
    CHECK_EQ(t.f, 255);
    CHECK_EQ(t.g, INT64_MAX);
    CHECK_STR(yyjson_get_str(yyjson_obj_get(t.h, "k")), "v");
    CHECK_EQ(yyjson_get_int(yyjson_obj_get(t.i, "z")), 1);
    CHECK(yyjson_is_arr(t.any) && yyjson_is_arr(t.list));
    CHECK_EQ(t.small, 77); /* null leaves it */
    CHECK(t.u == UINT64_MAX && t.x == 1.5);
    CHECK_EQ(t.policy, 2);
    yyjson_doc_free(doc);
}

static void sentences_of_wrong_types(void) {
    static const struct {
        const char *text, *sentence;
    } rows[] = {
        {"{\"a\":\"x\"}", "json: cannot unmarshal string into Go struct field T.a of type int"},
        {"{\"a\":1.5}", "json: cannot unmarshal number 1.5 into Go struct field T.a of type int"},
        {"{\"a\":1.0}", "json: cannot unmarshal number 1.0 into Go struct field T.a of type int"},
        {"{\"a\":9223372036854775808}",
         "json: cannot unmarshal number 9223372036854775808 into Go struct field T.a of type int"},
        {"{\"a\":true}", "json: cannot unmarshal bool into Go struct field T.a of type int"},
        {"{\"a\":[]}", "json: cannot unmarshal array into Go struct field T.a of type int"},
        {"{\"A\":{}}", "json: cannot unmarshal object into Go struct field T.a of type int"},
        {"{\"b\":1.5}", "json: cannot unmarshal number into Go struct field T.b of type string"},
        {"{\"e\":\"x\"}", "json: cannot unmarshal string into Go struct field T.e of type bool"},
        {"{\"f\":256}", "json: cannot unmarshal number 256 into Go struct field T.f of type uint8"},
        {"{\"f\":-1}", "json: cannot unmarshal number -1 into Go struct field T.f of type uint8"},
        {"{\"u\":-1}", "json: cannot unmarshal number -1 into Go struct field T.u of type uint64"},
        {"{\"small\":2147483648}",
         "json: cannot unmarshal number 2147483648 into Go struct field T.small of type int32"},
        {"{\"g\":\"1s\"}", "json: cannot unmarshal string into Go struct field T.g of type time.Duration"},
        {"{\"d\":\"x\"}", "json: cannot unmarshal string into Go struct field T.d of type []string"},
        {"{\"d\":[\"a\",1]}", "json: cannot unmarshal number into Go struct field T.d of type string"},
        {"{\"h\":[]}", "json: cannot unmarshal array into Go struct field T.h of type map[string]string"},
        {"{\"h\":{\"a\":1}}", "json: cannot unmarshal number into Go struct field T.h of type string"},
        {"{\"c\":1}", "Time.UnmarshalJSON: input is not a JSON string"},
        {"{\"c\":\"x\"}",
         "parsing time \"x\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"x\" as \"2006\""},
        {"{\"policy\":\"foo\"}", "can not unmarshal \"\\\"foo\\\"\""},
        {"{\"policy\":5}", "can not unmarshal \"5\""},
        {"{\"x\":\"1\"}", "json: cannot unmarshal string into Go struct field T.x of type float64"},
        {"{\"list\":{}}", "json: cannot unmarshal object into Go struct field T.list of type slice"},
        {"{\"nope\":1}", "json: unknown field \"nope\""},
        {"[]", "json: cannot unmarshal array into Go value of type server.T"},
        {"1", "json: cannot unmarshal number into Go value of type server.T"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct target t = {0};
        struct json_err e = {.text = ""};
        yyjson_doc *doc;
        CHECK(!decode(rows[i].text, true, &t, &e, &doc));
        CHECK_STR(e.text, rows[i].sentence);
        yyjson_doc_free(doc);
    }
}

static void names(void) {
    struct target t = {0};
    struct json_err e;
    yyjson_doc *doc;
    CHECK(decode("{\"nope\":1,\"A\":1,\"a\":2,\"SMALL\":3,\"small\":4,\"smal\":5}", false, &t, &e, &doc));
    CHECK_EQ(t.a, 2);
    CHECK_EQ(t.small, 4);
    yyjson_doc_free(doc);
    CHECK(decode("null", true, &t, &e, &doc));
    CHECK_EQ(t.a, 2);
    yyjson_doc_free(doc);
}

static void getters(void) {
    struct json_err e;
    yyjson_doc *doc =
        json_read(SPAN_LIT("{\"s\":\"t\",\"n\":-3,\"u\":18446744073709551615,\"b\":true,\"z\":null}"), 4, &e);
    yyjson_val *o = yyjson_doc_get_root(doc);
    struct span s = SPAN_EMPTY;
    bool b = false;
    int64_t i = 9;
    uint64_t u = 9;
    CHECK(json_get_str(o, "s", &s) && s.n == 1);
    CHECK(!json_get_str(o, "n", &s) && !json_get_str(o, "missing", &s) && !json_get_str(o, "z", &s));
    CHECK(json_get_bool(o, "b", &b) && b);
    CHECK(!json_get_bool(o, "n", &b));
    CHECK(json_get_i64(o, "n", -3, 0, &i) && i == -3);
    CHECK(!json_get_i64(o, "n", -2, 0, &i) && !json_get_i64(o, "u", 0, INT64_MAX, &i) && i == -3);
    CHECK(json_get_u64(o, "u", &u) && u == UINT64_MAX);
    CHECK(!json_get_u64(o, "n", &u) && !json_get_u64(NULL, "n", &u) && !json_get_str(NULL, "s", &s));
    yyjson_doc_free(doc);
}

static void writing(void) {
    yyjson_mut_doc *d = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *o = yyjson_mut_obj(d);
    yyjson_mut_doc_set_root(d, o);
    CHECK(json_add_span(d, o, "s", SPAN_LIT("a\"b\xff")));
    CHECK(json_add_span(d, o, "empty", SPAN_EMPTY));
    CHECK(json_add_time(d, o, "t", 0));
    CHECK(json_add_time(d, o, "zero", GOTIME_ZERO));
    CHECK(json_add_base64(d, o, "data", SPAN_LIT("\0\xff!")));
    CHECK(json_add_base64(d, o, "none", SPAN_EMPTY));
    const char want[] = "{\"s\":\"a\\\"b\xef\xbf\xbd\",\"empty\":\"\",\"t\":\"1970-01-01T00:00:00Z\","
                        "\"zero\":\"0001-01-01T00:00:00Z\",\"data\":\"AP8h\",\"none\":\"\"}";
    uint8_t out[sizeof want];
    CHECK_EQ(json_write(d, out, sizeof want - 2), 0);
    CHECK_MEM(out, json_write(d, out, sizeof want - 1), want, sizeof want - 1);
    yyjson_mut_doc_free(d);
}

/* --- encodings --- */

static void base64_vectors(void) {
    static const char *const rows[][2] = {{"", ""},
                                          {"f", "Zg=="},
                                          {"fo", "Zm8="},
                                          {"foo", "Zm9v"},
                                          {"foob", "Zm9vYg=="},
                                          {"fooba", "Zm9vYmE="},
                                          {"foobar", "Zm9vYmFy"}}; /* RFC 4648 */
    static const char *const bad[] = {
        "Z", "Zg", "Zg=", "Zg===", "=Zg=", "Z===", "Zg==Zg==", "Zm9v\n", "Zm9-", "Zm 9"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[16];
        uint8_t bytes[16];
        size_t n;
        CHECK_MEM(text, base64_put(text, span_str(rows[i][0])), rows[i][1], strlen(rows[i][1]));
        CHECK(base64_get(bytes, &n, span_str(rows[i][1])));
        CHECK_MEM(bytes, n, rows[i][0], strlen(rows[i][0]));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint8_t bytes[16];
        size_t n;
        if (base64_get(bytes, &n, span_str(bad[i]))) fprintf(stderr, "%s\n", bad[i]);
        CHECK(!base64_get(bytes, &n, span_str(bad[i])));
    }
}

static void base64_comes_back(void) {
    struct rng r = {2};
    for (int round = 0; round < 5000; round++) {
        uint8_t in[64], back[66];
        char text[90];
        size_t n = rng_below(&r, sizeof in), got;
        for (size_t i = 0; i < n; i++) in[i] = (uint8_t)rng_next(&r);
        size_t len = base64_put(text, span_of(in, n));
        CHECK_EQ(len, base64_len(n));
        CHECK(base64_get(back, &got, span_of(text, len)));
        CHECK_MEM(back, got, in, n);
    }
}

static void utf8(void) {
    static const char *const good[] = {"",
                                       "abc",
                                       "\xc2\x80",
                                       "\xdf\xbf",
                                       "\xe0\xa0\x80",
                                       "\xed\x9f\xbf",
                                       "\xef\xbf\xbf",
                                       "\xf0\x90\x80\x80",
                                       "\xf4\x8f\xbf\xbf"};
    static const char *const rows[][2] = {
        {"\xff", "?"},
        {"a\x80z", "a?z"},
        {"\xc0\x80", "??"},
        {"\xc1\xbf", "??"},
        {"\xe0\x9f\xbf", "???"},
        {"\xed\xa0\x80", "???"},
        {"\xf0\x8f\xbf\xbf", "????"},
        {"\xf4\x90\x80\x80", "????"},
        {"\xe2\x82", "??"},
        {"\xf5\x80\x80\x80", "????"},
        {"\xc3(", "?("},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) CHECK(utf8_valid(span_str(good[i])));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t room[64];
        char text[64] = "";
        CHECK(!utf8_valid(span_str(rows[i][0])));
        struct span s = utf8_fix(span_str(rows[i][0]), room);
        CHECK(utf8_valid(s));
        for (size_t k = 0; k < s.n; k++) {
            bool mark = s.p[k] == 0xef;
            strncat(text, mark ? "?" : (const char *)s.p + k, 1);
            if (mark) k += 2;
        }
        CHECK_STR(text, rows[i][1]);
    }
}

CHECK_MAIN(CASE(explanations), CASE(well_formed_needs_no_explanation), CASE(both_agree_on_random_texts),
           CASE(bounds), CASE(every_type), CASE(sentences_of_wrong_types), CASE(names), CASE(getters),
           CASE(writing), CASE(base64_vectors), CASE(base64_comes_back), CASE(utf8))
