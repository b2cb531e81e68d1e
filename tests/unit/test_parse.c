/* test_parse.c - client bytes to operations: each grammar rule by table, and long transcripts cut at every
 * point, which must give what the whole gives. The buffer handed to the parser is a fresh allocation of
 * exactly the bytes known, so that the sanitizer sees any look beyond them. */
#include "wire/parse.h"

#include <stdarg.h>

#include "base/rng.h"
#include "lib/check.h"

enum { MCL = 64, PAYLOAD_MAX = 1000 };

/* --- operations as text --- */

struct log {
    char text[1 << 16];
    size_t n;
};

__attribute__((format(printf, 2, 3))) static void note(struct log *l, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    l->n += (size_t)vsnprintf(l->text + l->n, sizeof l->text - l->n, fmt, args);
    va_end(args);
    CHECK(l->n < sizeof l->text);
}

#define S(s) (int)(s).n, (const char *)(s).p

static void note_op(struct log *l, const struct op *op) {
    note(l, "%s", op_name(op->kind));
    switch (op->kind) {
    case OP_PUB:
    case OP_HPUB:
        note(l, " <%.*s> <%.*s> <%.*s> <%.*s>", S(op->msg.subject), S(op->msg.reply), S(op->msg.hdr),
             S(op->msg.payload));
        CHECK_EQ(msg_size(&op->msg), op->msg.hdr.n + op->msg.payload.n);
        break;
    case OP_SUB: note(l, " <%.*s> <%.*s> <%.*s>", S(op->subject), S(op->queue), S(op->sid)); break;
    case OP_UNSUB: note(l, " <%.*s> %lld", S(op->sid), (long long)op->unsub_max); break;
    case OP_CONNECT:
    case OP_INFO:
    case OP_ERR: note(l, " <%.*s>", S(op->arg)); break;
    default: break;
    }
    note(l, ";");
}

static void note_error(struct log *l, const struct op *op) {
    note(l, "!%s", op->error ? op->error : "silent");
}

/* --- the caller's loop, fed by cuts --- */

struct feed {
    struct parser p;
    struct log log;
    uint8_t *kept;
    size_t kept_n;
    bool dead;
};

static void feed_init(struct feed *f) {
    memset(f, 0, sizeof *f);
    parser_init(&f->p, MCL, PAYLOAD_MAX);
    f->p.headers = true;
}

static void feed(struct feed *f, const void *bytes, size_t n) {
    if (f->dead) return;
    uint8_t *buf = malloc(f->kept_n + n + !(f->kept_n + n));
    if (f->kept_n) memcpy(buf, f->kept, f->kept_n);
    if (n) memcpy(buf + f->kept_n, bytes, n);
    free(f->kept);
    size_t left = f->kept_n + n, at = 0;
    for (;;) {
        struct op op;
        size_t used;
        enum parse_result r = parse_next(&f->p, buf + at, left, &used, &op);
        CHECK(used <= left);
        at += used, left -= used;
        if (r == PARSE_OP) {
            note_op(&f->log, &op);
            CHECK_EQ(f->p.need, 0);
            continue;
        }
        if (r == PARSE_ERROR) {
            note_error(&f->log, &op);
            f->dead = true;
        } else {
            CHECK(f->p.need == 0 || f->p.need > left);
            CHECK(f->p.need != 0 || left <= MCL + 2); /* what is kept is bounded */
        }
        break;
    }
    f->kept_n = f->dead ? 0 : left;
    f->kept = malloc(f->kept_n + 1);
    memcpy(f->kept, buf + at, f->kept_n);
    free(buf);
}

static void feed_deinit(struct feed *f) { free(f->kept); }

static void expect(const char *bytes, size_t n, const char *ops) {
    static struct feed f;
    feed_init(&f);
    feed(&f, bytes, n);
    if (strcmp(f.log.text, ops) != 0) fprintf(stderr, "for \"%.*s\":\n", (int)n, bytes);
    CHECK_STR(f.log.text, ops);
    feed_deinit(&f);
}

struct row {
    const char *bytes, *ops;
};

static void expect_rows(const struct row *rows, size_t count) {
    for (size_t i = 0; i < count; i++) expect(rows[i].bytes, strlen(rows[i].bytes), rows[i].ops);
}
#define EXPECT_ROWS(rows) expect_rows(rows, sizeof rows / sizeof rows[0])

/* --- tables --- */

static void plain_operations(void) {
    static const struct row rows[] = {
        {"", ""},
        {"PING\r\n", "PING;"},
        {"PONG\r\n", "PONG;"},
        {"+OK\r\n", "+OK;"},
        {"-ERR 'x y'\r\n", "-ERR <'x y'>;"},
        {"CONNECT {}\r\n", "CONNECT <{}>;"},
        {"INFO {\"a\":1} \r\n", "INFO <{\"a\":1} >;"},
        {"PUB foo 5\r\nhello\r\n", "PUB <foo> <> <> <hello>;"},
        {"PUB foo bar 5\r\nhello\r\n", "PUB <foo> <bar> <> <hello>;"},
        {"PUB foo 0\r\n\r\n", "PUB <foo> <> <> <>;"},
        {"PUB foo 2\r\n\r\n\r\n", "PUB <foo> <> <> <\r\n>;"},
        {"HPUB foo 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", "HPUB <foo> <> <NATS/1.0\r\n\r\n> <hi>;"},
        {"HPUB foo re 12 12\r\nNATS/1.0\r\n\r\n\r\n", "HPUB <foo> <re> <NATS/1.0\r\n\r\n> <>;"},
        {"HPUB foo 0 2\r\nhi\r\n", "HPUB <foo> <> <> <hi>;"},
        {"SUB foo 1\r\n", "SUB <foo> <> <1>;"},
        {"SUB foo q 1\r\n", "SUB <foo> <q> <1>;"},
        {"UNSUB 1\r\n", "UNSUB <1> 0;"},
        {"UNSUB 1 10\r\n", "UNSUB <1> 10;"},
        {"PING\r\nPONG\r\nSUB a 1\r\nPUB a 1\r\nx\r\nPI", "PING;PONG;SUB <a> <> <1>;PUB <a> <> <> <x>;"},
    };
    EXPECT_ROWS(rows);
}

static void blanks_case_and_line_ends(void) {
    static const struct row rows[] = {
        {"ping\npong\n", "PING;PONG;"},
        {"PiNg  anything at all\r\n", "PING;"},
        {"PINGPONG\r\n", "PING;"},
        {"+ok and more\n", "+OK;"},
        {"pub\tfoo\t\t 3\nabc\r\n", "PUB <foo> <> <> <abc>;"},
        {"PUB    foo   bar   3   \r\nabc\r\n", "PUB <foo> <bar> <> <abc>;"},
        {"sUb  foo\t1\n", "SUB <foo> <> <1>;"},
        {"unsub \t 7 \t 3 \r\n", "UNSUB <7> 3;"},
        {"connect{}\r\n", "CONNECT <{}>;"},
        {"CONNECT\t\t {}\n", "CONNECT <{}>;"},
        {"info{}\n", "INFO <{}>;"},
        {"-err  x\n", "-ERR <x>;"},
        {"SUB \n foo 1\r\n", "SUB <foo> <> <1>;"}, /* the first byte is an argument's, whatever it is */
        {"PUB \nfoo 0\r\n\r\n", "PUB <\nfoo> <> <> <>;"},
        {"SUB a\rb 1\r\n", "SUB <a> <b> <1>;"},         /* CR separates here */
        {"PUB a\rb 0\r\n\r\n", "PUB <a\rb> <> <> <>;"}, /* and not here */
        {"UNSUB x\r1 5\n", "!silent"},
        {"UNSUB 1 x\r\n", "UNSUB <1> 0;"},
        {"UNSUB 1 -5\r\n", "UNSUB <1> 0;"},
        {"UNSUB 1 9999999999\r\n", "UNSUB <1> 0;"},
        {"UNSUB 1 999999999\r\n", "UNSUB <1> 999999999;"},
    };
    EXPECT_ROWS(rows);
}

#define UNKNOWN "!Unknown Protocol Operation"

static void unknown_operations(void) {
    static const struct row rows[] = {
        {"\r\n", UNKNOWN},
        {" PING\r\n", UNKNOWN},
        {"X", UNKNOWN},
        {"PX", UNKNOWN},
        {"PUX", UNKNOWN},
        {"PUBX", UNKNOWN},
        {"PUB\r\n", UNKNOWN},
        {"MSG a 1 0\r\n", UNKNOWN},
        {"RS+ a\r\n", UNKNOWN},
        {"A+ a\r\n", UNKNOWN},
        {"LS+ a\r\n", UNKNOWN},
        {"HMSG a 1 0\r\n", UNKNOWN},
        {"UNSUB\r\n", UNKNOWN},
        {"SUB\r\n", UNKNOWN},
        {"SUBX", UNKNOWN},
        {"HPUB\n", UNKNOWN},
        {"-ERR\r\n", UNKNOWN},
        {"-ERX", UNKNOWN},
        {"+OX", UNKNOWN},
        {"CONNEXT", UNKNOWN},
        {"INFX", UNKNOWN},
        {"\xd0UB", UNKNOWN},
        {"0UB ", UNKNOWN},
        {"PING\r\nnonsense", "PING;" UNKNOWN},
        {"PUB foo 3\r\nabcd\r\n", UNKNOWN},
        {"PUB foo 3\r\nab\r\n\r\n", UNKNOWN},
        {"PUB foo 3\r\nabc\n", UNKNOWN},
        {"PUB foo 3\r\nabc\rX", UNKNOWN},
        {"PUB foo 3\r\nabcX", UNKNOWN}, /* known before the last byte is there */
    };
    EXPECT_ROWS(rows);
    expect("PUB\0", 4, UNKNOWN);
    expect("\0", 1, UNKNOWN);
}

static void closed_without_a_word(void) {
    static const struct row rows[] = {
        {"SUB foo\r\n", "!silent"},
        {"SUB a b c d\r\n", "!silent"},
        {"SUB \r\n", "!silent"},
        {"UNSUB \r\n", "!silent"},
        {"UNSUB 1 2 3\r\n", "!silent"},
        {"PUB foo\r\n", "!silent"},
        {"PUB \r\n", "!silent"},
        {"PUB a b c 1\r\n", "!silent"},
        {"PUB a b c d e f g 1\r\n", "!silent"},
        {"PUB foo x\r\n", "!silent"},
        {"PUB foo -1\r\n", "!silent"},
        {"PUB foo 1x\r\n", "!silent"},
        {"PUB foo 0000000001\r\n", "!silent"},
        {"PUB foo 9999999999\r\n", "!silent"},
        {"HPUB foo 3\r\n", "!silent"},
        {"HPUB foo 3 2\r\n", "!silent"},
        {"HPUB foo x 2\r\n", "!silent"},
        {"HPUB foo 2 x\r\n", "!silent"},
        {"HPUB a b c 2 2\r\n", "!silent"},
        {"HPUB foo 2000 1\r\n", "!silent"}, /* before the payload limit is looked at */
    };
    EXPECT_ROWS(rows);
}

static void payload_limit(void) {
    static const struct row rows[] = {
        {"PUB foo 1001\r\n", "!Maximum Payload Violation"},
        {"PUB foo 999999999\r\n", "!Maximum Payload Violation"},
        {"HPUB foo 12 1001\r\n", "!Maximum Payload Violation"},
        {"PUB foo 1000\r\n", ""},
    };
    EXPECT_ROWS(rows);
    struct feed f;
    feed_init(&f);
    f.p.max_payload = -1;
    feed(&f, "PUB foo 999999999\r\nx", 20);
    CHECK_STR(f.log.text, "");
    CHECK_EQ(f.p.need, sizeof "foo 999999999\r\n" - 1 + 999999999 + 2);
    feed_deinit(&f);
}

/* The limit counts arguments only; whether the line is whole or still coming must not matter. */
static void line_limit(void) {
    for (size_t n = MCL - 2; n <= MCL + 3; n++) {
        for (int crlf = 0; crlf < 2; crlf++) {
            char line[256], want[256];
            memset(line, ' ', sizeof line);
            memcpy(line, "SUB", 3); /* blanks behind the verb do not count */
            memset(line + 50, 's', n);
            line[50 + n - 2] = ' ';
            memcpy(line + 50 + n, crlf ? "\r\n" : "\n", crlf ? 2 : 1);
            snprintf(want, sizeof want, "SUB <%.*s> <> <s>;", (int)n - 2, line + 50);
            expect(line, 51 + n + (size_t)crlf, n <= MCL ? want : "!maximum control line exceeded");
        }
    }
    static struct feed f;
    feed_init(&f);
    feed(&f, "SUB ", 4);
    for (int i = 0; i < MCL; i++) feed(&f, "x", 1);
    CHECK(!f.dead);
    feed(&f, "\r", 1); /* could be the line's end yet */
    CHECK(!f.dead);
    feed(&f, "x", 1);
    CHECK_STR(f.log.text, "!maximum control line exceeded");
    feed_deinit(&f);
}

static void what_is_dropped_is_not_kept(void) {
    static struct feed f;
    feed_init(&f);
    feed(&f, "PING", 4);
    for (int i = 0; i < 1000; i++) {
        feed(&f, "junk junk ", 10);
        CHECK_EQ(f.kept_n, 0);
    }
    feed(&f, "\nSUB", 4);
    for (int i = 0; i < 1000; i++) feed(&f, " \t  ", 4);
    CHECK_EQ(f.kept_n, 0);
    feed(&f, "a 1\n", 4);
    CHECK_STR(f.log.text, "PING;SUB <a> <> <1>;");
    feed_deinit(&f);
}

static void need_is_exact(void) {
    struct parser p;
    parser_init(&p, MCL, -1);
    static uint8_t buf[512];
    size_t used, n = (size_t)sprintf((char *)buf, "PUB   foo re 100\r\nabc");
    struct op op;
    CHECK_EQ(parse_next(&p, buf, n, &used, &op), PARSE_MORE);
    CHECK_EQ(used, 6);
    CHECK_EQ(p.need, sizeof "foo re 100\r\n" - 1 + 102);
    size_t need = p.need;
    memmove(buf, buf + used, n - used);
    memset(buf + n - used, 'p', 200);
    buf[need - 2] = '\r', buf[need - 1] = '\n';
    CHECK_EQ(parse_next(&p, buf, need - 1, &used, &op), PARSE_MORE);
    CHECK_EQ(used, 0);
    CHECK_EQ(p.need, need);
    CHECK_EQ(parse_next(&p, buf, need, &used, &op), PARSE_OP);
    CHECK_EQ(used, need);
    CHECK_EQ(op.msg.payload.n, 100);
    CHECK_MEM(op.msg.reply.p, op.msg.reply.n, "re", 2);
    CHECK_EQ(p.need, 0);
}

static void authentication_first(void) {
    static const char *const early[] = {"PING\r\n", "X", "\r\n", "PUB foo 1\r\n", "s", "INFO {}\r\n"};
    for (size_t i = 0; i < sizeof early / sizeof *early; i++) {
        static struct feed f;
        feed_init(&f);
        f.p.auth_pending = true;
        feed(&f, early[i], strlen(early[i]));
        CHECK_STR(f.log.text, "!Authorization Violation");
        feed_deinit(&f);
    }
    static struct feed f;
    feed_init(&f);
    f.p.auth_pending = true;
    feed(&f, "connect {}\r\n", 12);
    f.p.auth_pending = false;
    feed(&f, "PING\r\n", 6);
    CHECK_STR(f.log.text, "CONNECT <{}>;PING;");
    feed_deinit(&f);
    feed_init(&f);
    f.p.auth_pending = true;
    feed(&f, "CAT", 3);
    CHECK_STR(f.log.text, UNKNOWN);
    feed_deinit(&f);
}

static void headers_must_be_agreed(void) {
    static struct feed f;
    feed_init(&f);
    f.p.headers = false;
    feed(&f, "PUB a 1\r\nx\r\nHPUB a 12 12\r\n", 26);
    CHECK_STR(f.log.text, "PUB <a> <> <> <x>;!silent");
    feed_deinit(&f);
}

static void an_error_is_final(void) {
    struct parser p;
    parser_init(&p, MCL, -1);
    struct op op;
    size_t used;
    CHECK_EQ(parse_next(&p, (const uint8_t *)"X", 1, &used, &op), PARSE_ERROR);
    CHECK_STR(op.error, "Unknown Protocol Operation");
    CHECK_EQ(parse_next(&p, (const uint8_t *)"PING\r\n", 6, &used, &op), PARSE_ERROR);
    CHECK(op.error == NULL);
    CHECK_EQ(used, 0);
}

/* --- cuts --- */

static const char transcript[] = "CONNECT {\"verbose\":false,\"headers\":true}\r\nPING\r\nsub foo.* "
                                 "1\r\nSUB\t\tbar  queue \t22 \r\nPUB foo.x 11\r\n"
                                 "hello\r\nPUB \r\nPUB foo.y _INBOX.abc 0\r\n\r\n+OK\r\npong junk\r\nHPUB "
                                 "foo.z 23 28\r\nNATS/1.0\r\nA: b\r\nC: \r\n"
                                 "\r\nbody!\r\nUNSUB 1 5\nUNSUB 22\r\nINFO {}\r\n-ERR 'gone'\r\nHPUB a re 12 "
                                 "12\r\nNATS/1.0\r\n\r\n\r\nPING\n";

static void every_split_point(void) {
    static struct feed whole, cut;
    size_t n = sizeof transcript - 1;
    feed_init(&whole);
    feed(&whole, transcript, n);
    if (whole.dead) fprintf(stderr, "%s\n", whole.log.text);
    CHECK(!whole.dead);
    CHECK_EQ(whole.kept_n, 0);
    for (size_t i = 0; i <= n; i++) {
        for (size_t j = i; j <= n; j += i % 7 == 0 ? 1 : 13) {
            feed_init(&cut);
            feed(&cut, transcript, i);
            feed(&cut, transcript + i, j - i);
            feed(&cut, transcript + j, n - j);
            CHECK_STR(cut.log.text, whole.log.text);
            CHECK_EQ(cut.kept_n, 0);
            feed_deinit(&cut);
        }
    }
    feed_init(&cut);
    for (size_t i = 0; i < n; i++) feed(&cut, transcript + i, 1);
    CHECK_STR(cut.log.text, whole.log.text);
    feed_deinit(&cut);
    feed_deinit(&whole);
}

/* Transcripts put together and spoilt at random: cut anywhere, operations and the final error are the same.
 */
static void random_transcripts(void) {
    static const char *const parts[] = {
        "PING\r\n",
        "pong\n",
        "SUB a 1\r\n",
        "SUB a q 2\r\n",
        "UNSUB 1\r\n",
        "PUB a 3\r\nxyz\r\n",
        "+OK\r\n",
        "PUB  a b 0\r\n\r\n",
        "HPUB h 12 13\r\nNATS/1.0\r\n\r\n!\r\n",
        "CONNECT {}\r\n",
        "PUB a 1001\r\n",
        "SUB \r\n",
        "INFO{}\n",
        "SUB xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx 1\r\n",
    };
    struct rng r = {3};
    int errors = 0;
    for (int round = 0; round < 20000; round++) {
        static struct feed whole, cut;
        char bytes[1024];
        size_t n = 0;
        for (uint64_t k = 1 + rng_below(&r, 8); k; k--) {
            const char *part = parts[rng_below(&r, rng_below(&r, 3) ? 10 : sizeof parts / sizeof *parts)];
            memcpy(bytes + n, part, strlen(part));
            n += strlen(part);
        }
        if (rng_below(&r, 2)) bytes[rng_below(&r, n)] = "\r\n \t0Px"[rng_below(&r, 7)];
        feed_init(&whole);
        feed(&whole, bytes, n);
        feed_init(&cut);
        for (size_t at = 0; at < n;) {
            size_t step = 1 + rng_below(&r, rng_below(&r, 2) ? 3 : 40);
            if (step > n - at) step = n - at;
            feed(&cut, bytes + at, step);
            at += step;
        }
        CHECK_STR(cut.log.text, whole.log.text);
        CHECK_EQ(cut.kept_n, whole.kept_n);
        errors += whole.dead;
        feed_deinit(&whole);
        feed_deinit(&cut);
    }
    CHECK(errors > 2000 && errors < 18000);
}

CHECK_MAIN(CASE(plain_operations), CASE(blanks_case_and_line_ends), CASE(unknown_operations),
           CASE(closed_without_a_word), CASE(payload_limit), CASE(line_limit),
           CASE(what_is_dropped_is_not_kept), CASE(need_is_exact), CASE(authentication_first),
           CASE(headers_must_be_agreed), CASE(an_error_is_final), CASE(every_split_point),
           CASE(random_transcripts))
