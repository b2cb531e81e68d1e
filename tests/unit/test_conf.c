/* test_conf.c - the configuration grammar: texts and the tree they give, written back as one line; places and
 * sentences of errors; files and variables through a table. Expected values are what nats-server's own parser
 * gave, except where a comment says so. */
#include "wire/conf.h"

#include <stdarg.h>

#include "base/rng.h"
#include "lib/check.h"
#include "wire/gotime.h"

/* --- a world of files and variables --- */

struct pair {
    const char *name, *text;
};
struct world {
    struct pair files[8], env[8];
};

static const char *world_read(void *ctx, const char *path, struct span *text) {
    const struct world *w = ctx;
    for (int i = 0; i < 8 && w->files[i].name; i++) {
        if (strcmp(w->files[i].name, path) != 0) continue;
        *text = span_str(w->files[i].text);
        return NULL;
    }
    return "no such file";
}

static const char *world_env(void *ctx, const char *name) {
    const struct world *w = ctx;
    for (int i = 0; i < 8 && w->env[i].name; i++) {
        if (strcmp(w->env[i].name, name) == 0) return w->env[i].text;
    }
    return NULL;
}

static bool parse_world(struct world *w, const char *path, struct conf *c, struct conf_error *e) {
    struct conf_source src = {world_read, world_env, w};
    return conf_parse(c, path, &src, e);
}

static bool parse(const char *text, struct conf *c, struct conf_error *e) {
    struct world w = {{{"f.conf", text}},
                      {{"HOME", "/root"},
                       {"LIST", "[1 , {z: 2k} ]"},
                       {"EMPTY", ""},
                       {"SELF", "$SELF"},
                       {"A", "$B"},
                       {"B", "$A"},
                       {"BROKEN", "{"},
                       {"NUM", "42"}}};
    return parse_world(&w, "f.conf", c, e);
}

/* --- the tree as one line --- */

struct line {
    char text[1 << 14];
    size_t n;
};

__attribute__((format(printf, 2, 3))) static void put(struct line *l, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    l->n += (size_t)vsnprintf(l->text + l->n, sizeof l->text - l->n, fmt, args);
    va_end(args);
    CHECK(l->n < sizeof l->text);
}

static void put_node(struct line *l, const struct conf_node *n) {
    char time[GOTIME_TEXT_MAX];
    uint32_t count = 0;
    switch (n->kind) {
    case CONF_STR:
        put(l, "\"%.*s\"", (int)n->str.n, (const char *)n->str.p);
        CHECK_EQ(n->str.p[n->str.n], 0);
        break;
    case CONF_INT: put(l, "%lld", (long long)n->i); break;
    case CONF_FLOAT: put(l, "%g", n->f); break;
    case CONF_BOOL: put(l, n->b ? "true" : "false"); break;
    case CONF_TIME: put(l, "@%.*s", (int)gotime_put(time, n->i), time); break;
    case CONF_ARRAY:
    case CONF_MAP:
        put(l, n->kind == CONF_MAP ? "{" : "[");
        conf_each(k, n) {
            if (count++) put(l, ",");
            if (n->kind == CONF_MAP) put(l, "%.*s:", (int)k->key.n, (const char *)k->key.p);
            CHECK(k->depth < n->depth && k->line >= 1 && k->col >= 1 && k->file != NULL);
            put_node(l, k);
        }
        CHECK_EQ(count, n->count);
        put(l, n->kind == CONF_MAP ? "}" : "]");
    }
}

static void expect_tree(const char *text, const char *tree) {
    static struct line l;
    struct conf c;
    struct conf_error e;
    l.n = 0;
    if (!parse(text, &c, &e)) {
        fprintf(stderr, "<%s>: %u:%u: %s\n", text, e.line, e.col, e.text);
        exit(1);
    }
    put_node(&l, c.root);
    if (strcmp(l.text, tree) != 0) fprintf(stderr, "for <%s>:\n", text);
    CHECK_STR(l.text, tree);
    conf_deinit(&c);
}

static void expect_trees(const struct pair *rows, size_t n) {
    for (size_t i = 0; i < n; i++) expect_tree(rows[i].name, rows[i].text);
}
#define EXPECT_TREES(rows) expect_trees(rows, sizeof rows / sizeof rows[0])

static void pairs_and_separators(void) {
    static const struct pair rows[] = {
        {"", "{}"},
        {" \n# only a comment\n// and another", "{}"},
        {"a: 1\nb = 2\nc 3", "{a:1,b:2,c:3}"},
        {"a: 3, b: 4; c: 5", "{a:3,b:4,c:5}"},
        {"a\t=\tb\r\nc : d\r\n", "{a:\"b\",c:\"d\"}"},
        {"foo\n bar\nx 1", "{foo:\"bar\",x:1}"},
        {"\"a b\": 1\n'c d' 2", "{a b:1,c d:2}"},
        {"a: x#y # z\nb: //x", "{a:\"x#y\",b:\"//x\"}"},
        {"a: 1 # c\nb: 2 // d\n", "{a:1,b:2}"},
        {"a: 1\na: 2\nb: 3\na: 4", "{b:3,a:4}"},
        {"A: 1\na: 2", "{A:1,a:2}"}, /* look-ups fold, the later one wins */
        {"a: b'", "{a:\"b\"}"},
        {"include: 'x'", "{include:\"x\"}"}, /* a separator makes it a key */
        {"cluster{ x", "{cluster{:\"x\"}"},
    };
    EXPECT_TREES(rows);
}

static void strings(void) {
    static const struct pair rows[] = {
        {"a: 'raw \\n \"x\"'", "{a:\"raw \\n \"x\"\"}"},
        {"a: \"t\\t n\\n r\\r q\\\" b\\\\ x\\x41\\x7a\"", "{a:\"t\t n\n r\r q\" b\\ xAz\"}"},
        {"a: x\\x41y", "{a:\"xAy\"}"},
        {"a: \"two\nlines\"", "{a:\"two\nlines\"}"},
        {"a: ''\nb: \"\"", "{a:\"\",b:\"\"}"},
        {"a: (\nfoo\n bar)\n)\nb: 1", "{a:\"\nfoo\n bar)\n\",b:1}"},
        {"a (\n)\n", "{a:\"\n\"}"},
        {"a: 'true'\nb: \"5\"\nc: tr\\x75e", "{a:\"true\",b:\"5\",c:\"true\"}"},
        {"a: nats://h:4222\nb: /etc/x", "{a:\"nats://h:4222\",b:\"/etc/x\"}"},
        {"a: $2a$11$abc/d.", "{a:\"$2a$11$abc/d.\"}"},
    };
    EXPECT_TREES(rows);
}

static void numbers(void) {
    static const struct pair rows[] = {
        {"a: 0\nb: -1\nc: 9223372036854775807\nd: -9223372036854775808",
         "{a:0,b:-1,c:9223372036854775807,d:-9223372036854775808}"},
        {"a: 1k\nb: 1K\nc: 2kb\nd: 2KiB\ne: 2ki", "{a:1000,b:1000,c:2048,d:2048,e:2048}"},
        {"a: 5m\nb: 3e\nc: 2tib\nd: 1MB\ne: 1g\nf: 1Gi",
         "{a:5000000,b:3000000000000000000,c:2199023255552,d:1048576,"
         "e:1000000000,f:1073741824}"},
        {"a: -2k\nb: 1pb", "{a:-2000,b:1125899906842624}"},
        {"a: 1.5\nb: -0.25", "{a:1.5,b:-0.25}"},
        {"a: 1e5\nb: 10s\nc: 1_000\nd: 0x10\ne: 5e7x",
         "{a:\"1e5\",b:\"10s\",c:\"1_000\",d:\"0x10\",e:\"5e7x\"}"},
        {"a: 1.2.3.4:5\nb: 127.0.0.1", "{a:\"1.2.3.4:5\",b:\"127.0.0.1\"}"},
        {"a: 2024-02-29T23:59:59Z", "{a:@2024-02-29T23:59:59Z}"},
        {"a: TRUE, b: On, c: yes, d: false, e: oFF, f: no", "{a:true,b:true,c:true,d:false,e:false,f:false}"},
        {"a: [1,2]\nb: [1k]",
         "{a:[1,2],b:[1000]}"}, /* nats-server refuses the one and makes a string of the other */
    };
    EXPECT_TREES(rows);
}

static void maps_and_arrays(void) {
    static const struct pair rows[] = {
        {"a {\n b {\n c: [ {d: 1}, {e: 2} ]\n }\n}", "{a:{b:{c:[{d:1},{e:2}]}}}"},
        {"a = {b = c}", "{a:{b:\"c\"}}"},
        {"a: {}\nb: []\nc: [[],[{}]]", "{a:{},b:[],c:[[],[{}]]}"},
        {"a: {b:\n 1}", "{a:{b:1}}"},
        {"a: {b: 1, c: 2; d: 3\ne: 4, }", "{a:{b:1,c:2,d:3,e:4}}"},
        {"a: {b: 1 # x\n // y\n c: 2}", "{a:{b:1,c:2}}"},
        {"a: [\n1\n2\n# c\n3 // d\n 'x', y,]", "{a:[1,2,3,\"x\",\"y\"]}"},
        {"a: [/etc/x, b]", "{a:[\"/etc/x\",\"b\"]}"}, /* nats-server refuses an unquoted path here */
        {"a: {b: {c: 1}, b: {d: 2}}", "{a:{b:{d:2}}}"},
    };
    EXPECT_TREES(rows);
}

static void braces_around_everything(void) {
    static const struct pair rows[] = {
        {"{a: 1, b: {c: 2}}", "{a:1,b:{c:2}}"},
        {"{a: 1}\n b: 2", "{a:1,b:2}"},
        {"{a: 1\n", "{a:1}"},
        {"{\"a\": 1,\n \"b\": [true ]\n}\n", "{a:1,b:[true]}"},
        {"a { b: 1 } }\nb: 2", "{a:{b:1},b:2}"},
        {"a: 1\n}\n", "{a:1}"},
        {"}", "{}"},
        {"{{a: 1}}", "{a:1}"},
        {"a: 1}b: 2", "{a:1,b:2}"},
    };
    EXPECT_TREES(rows);
}

static void variables(void) {
    static const struct pair rows[] = {
        {"b: 1\na: $b", "{b:1,a:1}"},
        {"b: {x: [1 ]}\na: {b: $b, c: $b}", "{b:{x:[1]},a:{b:{x:[1]},c:{x:[1]}}}"},
        {"x: 1\na: {x: 2, b: {c: $x}}\nd: $x", "{x:1,a:{x:2,b:{c:2}},d:1}"},
        {"x: 1\nx: $x\n", "{x:1}"},
        {"x: 7\na: [$x, $x]", "{x:7,a:[7,7]}"},
        {"a: $HOME\nb: $LIST\nc: $EMPTY\nd: $NUM", "{a:\"/root\",b:[1,{z:2000}],c:\"\",d:42}"},
        {"NUM: mine\na: $NUM", "{NUM:\"mine\",a:\"mine\"}"},
        {"a: '$HOME'\nb: \"$HOME\"", "{a:\"$HOME\",b:\"$HOME\"}"},
    };
    EXPECT_TREES(rows);
    struct conf c;
    struct conf_error e;
    CHECK(parse("tok: s3cr3t\nother: 1\nauth { t: $tok }", &c, &e));
    CHECK(conf_get(c.root, "tok")->used);
    CHECK(!conf_get(c.root, "other")->used);
    CHECK(!conf_get(conf_get(c.root, "auth"), "t")->used);
    CHECK_EQ(conf_get(conf_get(c.root, "auth"), "t")->line, 3);
    conf_deinit(&c);
}

/* --- errors --- */

static void errors_name_their_place(void) {
    static const struct {
        const char *text;
        uint32_t line, col;
        const char *sentence;
    } rows[] = {
        {"a: 1\nfoo:\n", 2, 5, "Expected value but found new line"},
        {"foo", 1, 4,
         "Expected value but got end of file"}, /* nats-server takes "foo:" for an empty string */
        {"foo:", 1, 5, "Expected value but got end of file"},
        {"foo: ,", 1, 6, "Expected value but got ','"},
        {"=1", 1, 1, "Unexpected key separator '='"},
        {"a: {=1}", 1, 5, "Unexpected key separator '='"},
        {"a: {]}", 1, 5, "Expected a key but got ']'"},
        {"a {b: 1,, c: 2}", 1, 9, "Expected a key but got ','"},
        {"a: [1,,2]", 1, 7, "Unexpected array value terminator ','."},
        {"a: [}", 1, 5, "Expected value but got '}'"},
        {"a: [1 }", 1, 7,
         "Expected an array value terminator ',' or an array terminator ']', but got '}' instead."},
        {"a: {b: 1 ]", 1, 10,
         "Expected a map value terminator ',' or a map terminator '}', but got ']' instead."},
        {"a: [1", 1, 6,
         "Expected an array value terminator ',' or an array terminator ']', but got end of file instead."},
        {"a: [1,\n", 2, 1, "Unexpected end of file processing array."},
        {"a {b: 1\n", 2, 1, "Unexpected end of file processing map."},
        {"a: 1 2", 1, 6,
         "Expected a top-level value to end with a new line, comment or EOF, but got '2' instead."},
        {"a: 1.5s", 1, 7,
         "Expected a top-level value to end with a new line, comment or EOF, but got 's' instead."},
        {"a: 'b' 'c'", 1, 8,
         "Expected a top-level value to end with a new line, comment or EOF, but got ''' instead."},
        {"a: \"x\\y\"", 1, 7,
         "Invalid escape character 'y'. Only the following escape characters are allowed: \\xXX, \\t, \\n, "
         "\\r, \\\", \\\\."},
        {"a: \"\\x4\"", 1, 5, "Expected two hexadecimal digits after '\\x'"},
        {"a: \"open\nb: 1", 2, 5, "Unexpected end of file: a quote was not closed"},
        {"a: 'open", 1, 5, "Unexpected end of file: a quote was not closed"},
        {"'open: 1", 1, 2, "Unexpected end of file: a quote was not closed"},
        {"a: (\nfoo)", 2, 5, "Unexpected end of file: a block was not closed by ')' on a line of its own"},
        {"a: 12-3", 1, 6, "All ISO8601 dates must be in full Zulu form."},
        {"a: 2024-01-02", 1, 14, "Expected 'T' in ISO8601 datetime, but found end of file instead."},
        {"a: 2024-x1-02T00:00:00Z", 1, 9, "Expected digit in ISO8601 datetime, but found 'x' instead."},
        {"a: 2023-02-29T00:00:00Z", 1, 1, "expected Zulu formatted DateTime, but got '2023-02-29T00:00:00Z'"},
        {"a: .5", 1, 4, "Floats must start with a digit"},
        {"a: -.5", 1, 5, "Floats must start with a digit, not '.'."},
        {"a: -x", 1, 5, "Expected a digit but got 'x'."},
        {"a: 1.\n", 1, 6, "Floats must have a digit after the '.', but got new line instead."},
        {"b: 1\n  a: 9223372036854775808", 2, 3, "integer '9223372036854775808' is out of the range"},
        {"a: 9223372036854775807k", 1, 1,
         "integer '9223372036854775807k' is out of the range"}, /* theirs wraps */
        {"a: 5kbb", 1, 1, "unknown size suffix in '5kbb'"},     /* theirs loses the key */
        {"a: $nope", 1, 9, "variable reference for 'nope' on line 1 can not be found"},
        {"\na: $b\nb: 1", 2, 6, "variable reference for 'b' on line 2 can not be found"},
        {"a: $SELF", 1, 9,
         "variable reference for 'SELF' on line 1 could not be parsed: variable reference cycle for 'SELF'"},
        {"a: $BROKEN", 1, 11,
         "variable reference for 'BROKEN' on line 1 could not be parsed: Unexpected end of file processing "
         "map."},
        {"a: 1\n}\nb: 2", 3, 1, "Unexpected '}' before this"},
        {"include 5", 1, 9, "Expected include value but got '5'"},
        {"include\va", 1, 8, "Expected include value but got '\\x0b'"},
        {"include \n", 1, 9, "Expected include value but got new line"},
        {"include 'x", 1, 10, "Unexpected end of file: a quote was not closed"},
        {"a: b\\\x01", 1, 6,
         "Invalid escape character '\\x01'. Only the following escape characters are allowed: \\xXX, \\t, "
         "\\n, \\r, \\\", \\\\."},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct conf c;
        struct conf_error e;
        if (parse(rows[i].text, &c, &e)) {
            fprintf(stderr, "<%s> is taken\n", rows[i].text);
            exit(1);
        }
        if (strcmp(e.text, rows[i].sentence) || e.line != rows[i].line || e.col != rows[i].col) {
            fprintf(stderr, "<%s>: %u:%u, not %u:%u\n", rows[i].text, e.line, e.col, rows[i].line,
                    rows[i].col);
        }
        CHECK_STR(e.text, rows[i].sentence);
        CHECK_EQ(e.line, rows[i].line);
        CHECK_EQ(e.col, rows[i].col);
        CHECK_STR(e.file, "f.conf");
        CHECK(c.root == NULL && c.chunks == NULL);
    }
    struct world w = {{{"x", "a: 1"}}, {{0}}};
    struct conf c;
    struct conf_error e;
    char text[600];
    CHECK(!parse_world(&w, "missing.conf", &c, &e));
    CHECK_EQ(conf_error_text(&e, text, sizeof text), strlen(text));
    CHECK_STR(text, "missing.conf: error opening config file: no such file");
}

static const char *span_read(void *ctx, const char *path, struct span *text) {
    CHECK_STR(path, "n");
    *text = *(struct span *)ctx;
    return NULL;
}

static void a_nul_byte_is_refused(void) {
    struct span text = SPAN_LIT("a: 1\nb: \0x\n");
    struct conf c;
    struct conf_error e;
    const struct conf_source src = {span_read, NULL, &text}; /* and no environment */
    CHECK(!conf_parse(&c, "n", &src, &e));
    CHECK_STR(e.text, "Unexpected NUL byte");
    CHECK_EQ(e.line, 2);
    CHECK_EQ(e.col, 4);
    text = SPAN_LIT("a: $HOME");
    CHECK(!conf_parse(&c, "n", &src, &e));
    CHECK_STR(e.text, "variable reference for 'HOME' on line 1 can not be found");
}

static void cycles_of_the_environment(void) {
    struct conf c;
    struct conf_error e;
    CHECK(!parse("x: $A", &c, &e));
    CHECK(strstr(e.text, "variable reference cycle for 'A'") != NULL);
}

/* --- included files --- */

static void includes(void) {
    static struct line l;
    struct world w = {
        {{"etc/main.conf", "a: 1\ninclude 'sub/one.conf'\nx { include two.conf; b: $from_two }\nc: $d"},
         {"etc/sub/one.conf", "d: 4\na: 5\ninclude \"three.conf\""},
         {"etc/two.conf", "from_two: yes"},
         {"etc/sub/three.conf", "deep { e: $d2 }"},
         {"/abs.conf", "abs: 1"}},
        {{"d2", "env"}}};
    struct conf c;
    struct conf_error e;
    l.n = 0;
    CHECK(parse_world(&w, "etc/main.conf", &c, &e));
    put_node(&l, c.root);
    CHECK_STR(l.text, "{d:4,a:5,deep:{e:\"env\"},x:{from_two:true,b:true},c:4}");
    CHECK_STR(conf_get(c.root, "d")->file, "etc/sub/one.conf");
    CHECK_STR(conf_get(c.root, "deep")->file, "etc/sub/three.conf");
    CHECK_EQ(conf_get(c.root, "a")->line, 2);
    CHECK_STR(conf_get(c.root, "c")->file, "etc/main.conf");
    conf_deinit(&c);
    w.files[0].text = "include /abs.conf";
    CHECK(parse_world(&w, "etc/main.conf", &c, &e));
    CHECK(conf_get(c.root, "abs") != NULL);
    conf_deinit(&c);
}

static void includes_that_fail(void) {
    struct world w = {{{"m", "a: 1\n  include gone.conf"},
                       {"loop", "include loop"},
                       {"bad", "\ninclude worse"},
                       {"worse", "\n\n a: ["}},
                      {{0}}};
    struct conf c;
    struct conf_error e;
    char text[600];
    CHECK(!parse_world(&w, "m", &c, &e));
    conf_error_text(&e, text, sizeof text);
    CHECK_STR(text, "m:2:20: error parsing include file 'gone.conf', no such file");
    CHECK(!parse_world(&w, "loop", &c, &e));
    CHECK_STR(e.text, "included files nest too deep");
    CHECK(!parse_world(&w, "bad", &c, &e));
    CHECK_STR(e.file, "worse");
    CHECK_EQ(e.line, 3);
    conf_error_text(&e, text, 10);
    CHECK_EQ(strlen(text), 9);
}

/* --- bounds --- */

static void nesting_is_bounded(void) {
    static char text[4096];
    for (int d = 95; d <= 105; d++) {
        struct conf c;
        struct conf_error e;
        strcpy(text, "a:");
        for (int i = 0; i < d; i++) strcat(text, i % 2 ? "{a:" : "[");
        strcat(text, "1 ");
        for (int i = d; i-- > 0;) strcat(text, i % 2 ? "}" : "]");
        bool ok = parse(text, &c, &e);
        CHECK_EQ(ok, d < CONF_DEPTH_MAX);
        if (ok)
            conf_deinit(&c);
        else
            CHECK_STR(e.text, "nested too deep");
    }
}

/* Each variable repeats the one before ten times: what they stand for is counted, not what is written. */
static void repetition_is_bounded(void) {
    char text[2048] = "v0: [x,x,x,x,x,x,x,x,x,x]\n";
    struct conf c;
    struct conf_error e;
    for (int i = 1; i < 8; i++) {
        char row[128];
        snprintf(row, sizeof row, "v%d: [$v%d,$v%d,$v%d,$v%d,$v%d,$v%d,$v%d,$v%d,$v%d,$v%d]\n", i, i - 1,
                 i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
        strcat(text, row);
    }
    CHECK(!parse(text, &c, &e));
    CHECK_STR(e.text, "too many values");
    char deep[4096] = "v0: [1 ]\n";
    for (int i = 1; i < 120; i++) snprintf(deep + strlen(deep), 32, "v%d: [$v%d]\n", i, i - 1);
    CHECK(!parse(deep, &c, &e));
    CHECK_STR(e.text, "nested too deep");
}

/* --- readers --- */

static const struct conf_node *one(struct conf *c, const char *text) {
    struct conf_error e;
    if (!parse(text, c, &e)) fprintf(stderr, "%s: %s\n", text, e.text);
    CHECK(c->root != NULL && c->root->count == 1);
    return c->root->first;
}

static void looking_up(void) {
    struct conf c;
    struct conf_error e;
    CHECK(parse("Port: 1\nhost: h\nPORT: 2", &c, &e));
    CHECK_EQ(conf_get(c.root, "port")->i, 2);
    CHECK_EQ(conf_get(c.root, "port")->line, 3);
    CHECK(conf_get(c.root, "por") == NULL && conf_get(c.root, "ports") == NULL);
    CHECK(conf_key_is(conf_get(c.root, "HOST"), "Host"));
    CHECK_STR(conf_kind_name(conf_get(c.root, "host")->kind), "string");
    CHECK_STR(conf_kind_name(c.root->kind), "map");
    conf_deinit(&c);
}

static void durations(void) {
    static const struct {
        const char *text;
        bool ok;
        int64_t ns;
    } rows[] = {{"a: \"2m\"", 1, 120000000000},
                {"a: 2m", 0, 0},
                {"a: 10s", 1, 10000000000},
                {"a: '1h2m3.5s'", 1, 3723500000000},
                {"a: 100ms", 1, 100000000},
                {"a: 5", 0, 0},
                {"a: '5'", 0, 0},
                {"a: '0'", 1, 0},
                {"a: 1.5", 0, 0},
                {"a: true", 0, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct conf c;
        int64_t ns = -1;
        CHECK_EQ(conf_duration_ns(one(&c, rows[i].text), &ns), rows[i].ok);
        if (rows[i].ok) CHECK_EQ(ns, rows[i].ns);
        conf_deinit(&c);
    }
}

static void sizes(void) {
    static const struct {
        const char *text;
        bool ok;
        int64_t bytes;
    } rows[] = {{"a: 5", 1, 5},
                {"a: 5k", 1, 5000},
                {"a: 5KB", 1, 5120},
                {"a: '10G'", 1, 10737418240},
                {"a: \"10GB\"", 1, 10737418240},
                {"a: '1kib'", 1, 1024},
                {"a: '2T'", 1, 2199023255552},
                {"a: '5'", 0, 0},
                {"a: 'G'", 0, 0},
                {"a: 'GB'", 0, 0},
                {"a: 'x5G'", 0, 0},
                {"a: '-5G'", 0, 0},
                {"a: '9999999999999T'", 0, 0},
                {"a: ''", 0, 0},
                {"a: on", 0, 0},
                {"a: '5B'", 0, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct conf c;
        int64_t bytes = -1;
        if (conf_size(one(&c, rows[i].text), &bytes) != rows[i].ok) fprintf(stderr, "%s\n", rows[i].text);
        conf_deinit(&c);
        CHECK_EQ(conf_size(one(&c, rows[i].text), &bytes), rows[i].ok);
        if (rows[i].ok) CHECK_EQ(bytes, rows[i].bytes);
        conf_deinit(&c);
    }
}

static void nearest(void) {
    static const char *const known[] = {"port",      "host",      "max_payload", "max_pending",
                                        "jetstream", "store_dir", NULL};
    static const struct pair rows[] = {
        {"prot", "port"},
        {"Port", "port"},
        {"hots", "host"},
        {"max_paylod", "max_payload"},
        {"maxpayload", "max_payload"},
        {"max_pendign", "max_pending"},
        {"jetsream", "jetstream"},
        {"storedir", "store_dir"},
        {"zzz", NULL},
        {"", NULL},
        {"x", NULL},
        {"completely_different", NULL},
        {"an_overlong_key_that_no_one_would_ever_write_in_a_file", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *got = conf_nearest(span_str(rows[i].name), known);
        if ((got == NULL) != (rows[i].text == NULL))
            fprintf(stderr, "%s: %s\n", rows[i].name, got ? got : "nothing");
        CHECK_STR(got ? got : "nothing", rows[i].text ? rows[i].text : "nothing");
    }
}

static void failing_at_a_node(void) {
    struct conf c;
    struct conf_error e;
    char text[600];
    CHECK(parse("a: 1\n\n  sub: { bogus: 1 }", &c, &e));
    const struct conf_node *n = conf_get(conf_get(c.root, "sub"), "bogus");
    conf_fail(&e, n, "unknown field \"%.*s\"", (int)n->key.n, (const char *)n->key.p);
    CHECK_EQ(conf_error_text(&e, text, sizeof text), strlen(text));
    CHECK_STR(text, "f.conf:3:10: unknown field \"bogus\"");
    conf_deinit(&c);
}

/* Good texts spoilt at random: never a crash, and what is taken is a whole tree. */
static void spoilt_texts(void) {
    static const char *const good[] = {
        "a: [1, {b: $HOME}, 'x', \"\\x41\"]\nc { d: (\nblock\n)\n e: 2024-01-02T03:04:05Z }\n",
        "{\"a\": 1.5, b: -2k}\n", "x: $LIST\ny: {z: $x, w: [$x , 5]} # c\ninclude f.conf\n"};
    static struct line l;
    struct rng r = {14};
    int taken = 0;
    for (int round = 0; round < 30000; round++) {
        char text[128];
        strcpy(text, good[rng_below(&r, 3)]);
        for (uint64_t k = rng_below(&r, 4); k; k--)
            text[rng_below(&r, strlen(text))] = "{}[]()'\"\\#/$:=,;\n\r 1a-.k"[rng_below(&r, 25)];
        struct conf c;
        struct conf_error e;
        if (parse(text, &c, &e)) {
            l.n = 0;
            put_node(&l, c.root);
            conf_deinit(&c);
            taken++;
        } else {
            CHECK(e.text[0] && !strchr(e.text, '\n') && e.line >= 1 && e.col >= 1);
        }
    }
    CHECK(taken > 3000 && taken < 29000);
}

CHECK_MAIN(CASE(pairs_and_separators), CASE(strings), CASE(numbers), CASE(maps_and_arrays),
           CASE(braces_around_everything), CASE(variables), CASE(errors_name_their_place),
           CASE(a_nul_byte_is_refused), CASE(cycles_of_the_environment), CASE(includes),
           CASE(includes_that_fail), CASE(nesting_is_bounded), CASE(repetition_is_bounded), CASE(looking_up),
           CASE(durations), CASE(sizes), CASE(nearest), CASE(failing_at_a_node), CASE(spoilt_texts))
