/* test_connect.c - CONNECT options: defaults, every field, what Go's decoder tolerates and what it refuses.
 */
#include "wire/connect.h"

#include "lib/check.h"

static bool parse(struct connect_opts *o, const char *json) {
    /* A copy that is gone afterwards: the options must own their strings. */
    size_t n = strlen(json);
    uint8_t *bytes = malloc(n + !n);
    memcpy(bytes, json, n);
    bool ok = connect_parse(o, span_of(bytes, n));
    memset(bytes, 'Z', n);
    free(bytes);
    return ok;
}

#define CHECK_SPAN(s, text) CHECK_MEM((s).p, (s).n, text, strlen(text))

static void defaults(void) {
    struct connect_opts o;
    connect_init(&o);
    CHECK(parse(&o, "{}"));
    CHECK(o.verbose && o.pedantic && o.echo);
    CHECK(!o.headers && !o.no_responders && !o.tls_required && !o.new_account);
    CHECK_EQ(o.protocol, 0);
    CHECK_EQ(o.user.n + o.pass.n + o.name.n + o.jwt.n + o.proxy_sig.n, 0);
    connect_deinit(&o);
}

static void every_field(void) {
    struct connect_opts o;
    connect_init(&o);
    CHECK(parse(
        &o, "{\"verbose\":false,\"pedantic\":false,\"echo\":false,\"tls_required\":true,\"headers\":true,"
            "\"no_responders\":true,\"new_account\":true,\"protocol\":1,\"user\":\"u\",\"pass\":\"p w\","
            "\"auth_token\":\"t\",\"nkey\":\"NK\",\"jwt\":\"e.y.J\",\"sig\":\"si\",\"name\":\"n\\u00e9\\n\","
            "\"lang\":\"go\",\"version\":\"1.2\",\"account\":\"A\",\"proxy_sig\":\"ps\"}"));
    CHECK(!o.verbose && !o.pedantic && !o.echo);
    CHECK(o.tls_required && o.headers && o.no_responders && o.new_account);
    CHECK_EQ(o.protocol, 1);
    CHECK_SPAN(o.user, "u");
    CHECK_SPAN(o.pass, "p w");
    CHECK_SPAN(o.auth_token, "t");
    CHECK_SPAN(o.nkey, "NK");
    CHECK_SPAN(o.jwt, "e.y.J");
    CHECK_SPAN(o.sig, "si");
    CHECK_SPAN(o.name, "n\xc3\xa9\n");
    CHECK_SPAN(o.lang, "go");
    CHECK_SPAN(o.version, "1.2");
    CHECK_SPAN(o.account, "A");
    CHECK_SPAN(o.proxy_sig, "ps");
    connect_deinit(&o);
}

static void tolerated(void) {
    static const char *const texts[] = {
        "null",
        " {} ",
        "{\"unknown\":[1,{\"x\":null}]}",
        "{\"verbose\":null}",
        "{\"import\":{\"allow\":[]}}",
        "{\"protocol\":7}",
        "{\"protocol\":-1}",
        "{\"name\":\"\"}",
        "{\"name\":\"a\\u0000b\"}",
        "{\"a\":1,\"a\":2}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct connect_opts o;
        connect_init(&o);
        if (!parse(&o, texts[i])) fprintf(stderr, "%s\n", texts[i]);
        CHECK(parse(&o, texts[i]));
        CHECK(o.verbose);
        connect_deinit(&o);
    }
}

static void refused_leaves_all_as_it_was(void) {
    static const char *const texts[] = {
        "",
        "{",
        "[]",
        "1",
        "\"x\"",
        "{\"verbose\":\"x\"}",
        "{\"verbose\":0}",
        "{\"user\":1}",
        "{\"user\":{}}",
        "{\"protocol\":1.5}",
        "{\"protocol\":\"1\"}",
        "{\"protocol\":99999999999999999999}",
        "{} x",
        "{'a':1}",
        "{\"a\":1,}",
        "{\"user\":\"new\",\"pass\":true}",
        "{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}",
    };
    struct connect_opts o;
    connect_init(&o);
    CHECK(parse(&o, "{\"user\":\"old\",\"verbose\":false}"));
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (parse(&o, texts[i])) fprintf(stderr, "%s\n", texts[i]);
        CHECK(!parse(&o, texts[i]));
        CHECK_SPAN(o.user, "old");
        CHECK(!o.verbose);
        CHECK_EQ(o.pass.n, 0);
    }
    connect_deinit(&o);
}

static void names_fold_and_the_later_wins(void) {
    struct connect_opts o;
    connect_init(&o);
    CHECK(parse(&o, "{\"VERBOSE\":false,\"User\":\"a\",\"user\":\"b\",\"lang\":\"c\",\"LANG\":\"d\"}"));
    CHECK(!o.verbose);
    CHECK_SPAN(o.user, "b");
    CHECK_SPAN(o.lang, "d");
    connect_deinit(&o);
}

static void a_second_connect_adds(void) {
    struct connect_opts o;
    connect_init(&o);
    CHECK(parse(&o, "{\"user\":\"a\",\"name\":\"first\",\"headers\":true,\"verbose\":false}"));
    CHECK(parse(&o, "{\"user\":\"longer than before\",\"echo\":false}"));
    CHECK_SPAN(o.user, "longer than before");
    CHECK_SPAN(o.name, "first");
    CHECK(o.headers && !o.echo && !o.verbose);
    connect_deinit(&o);
    CHECK(o.mem == NULL && o.verbose && o.user.n == 0);
}

static void bytes_that_are_no_utf8(void) {
    struct connect_opts o;
    connect_init(&o);
    CHECK(parse(&o, "{\"name\":\"a\xff"
                    "b\xc3\"}"));
    CHECK_SPAN(o.name, "a\xef\xbf\xbd"
                       "b\xef\xbf\xbd");
    connect_deinit(&o);
}

CHECK_MAIN(CASE(defaults), CASE(every_field), CASE(tolerated), CASE(refused_leaves_all_as_it_was),
           CASE(names_fold_and_the_later_wins), CASE(a_second_connect_adds), CASE(bytes_that_are_no_utf8))
