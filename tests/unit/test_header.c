/* test_header.c - header blocks: finding, walking, judging and building them, against a plain model and on
 * spoilt bytes. */
#include "wire/header.h"

#include "base/rng.h"
#include "lib/check.h"

static const char block[] =
    "NATS/1.0\r\nA: one\r\nNats-Msg-Id:   two words \r\nempty:\r\nA: second\r\nx-A: no\r\n"
    "t:\ttab\r\ncolon: a:b\r\nNats-Msg-Id-2: 5\r\n\r\n";

static void expect_value(const char *hdr, const char *key, const char *value) {
    struct span got = SPAN_EMPTY;
    bool found = header_get(span_str(hdr), span_str(key), &got);
    if (found != (value != NULL)) fprintf(stderr, "%s: found is %d\n", key, found);
    CHECK_EQ(found, value != NULL);
    if (value) CHECK_MEM(got.p, got.n, value, strlen(value));
}

static void getting(void) {
    expect_value(block, "A", "one"); /* the first counts */
    expect_value(block, "a", NULL);  /* case counts */
    expect_value(block, "Nats-Msg-Id", "two words ");
    expect_value(block, "Nats-Msg-Id-2", "5");
    expect_value(block, "Nats-Msg", NULL);
    expect_value(block, "Msg-Id", NULL);
    expect_value(block, "empty", "");
    expect_value(block, "t", "\ttab");
    expect_value(block, "colon", "a:b");
    expect_value(block, "NATS/1.0", NULL);
    expect_value("", "A", NULL);
    expect_value("A: x\r\n", "A", NULL); /* a line must come before */
    expect_value("NATS/1.0\r\nA: cut off", "A", "cut off");
    expect_value("NATS/1.0\r\nA", "A", NULL);
    expect_value("NATS/1.0\r\nA:", "A", "");
    expect_value("NATS/1.0\nA: x\r\n", "A", NULL); /* CRLF, not LF */
    expect_value("NATS/1.0\r\nB: A: x\r\nA: y\r\n\r\n", "A", "y");
    expect_value("NATS/1.0\r\nAA: x\r\nA: y\r\n\r\n", "A", "y");
}

static void walking(void) {
    static const char *const want[] = {
        "A=one",     "Nats-Msg-Id=two words ", "empty=", "A=second", "x-A=no", "t=\ttab",
        "colon=a:b", "Nats-Msg-Id-2=5"};
    struct header_iter it;
    struct span k, v;
    size_t n = 0;
    header_iter_init(&it, span_str(block));
    while (header_next(&it, &k, &v)) {
        char text[64];
        snprintf(text, sizeof text, "%.*s=%.*s", (int)k.n, (const char *)k.p, (int)v.n, (const char *)v.p);
        CHECK(n < sizeof want / sizeof *want);
        CHECK_STR(text, want[n++]);
    }
    CHECK_EQ(n, sizeof want / sizeof *want);
    CHECK(!header_next(&it, &k, &v));
    header_iter_init(&it, SPAN_LIT("NATS/1.0"));
    CHECK(!header_next(&it, &k, &v));
    header_iter_init(&it, SPAN_LIT("A: a line must come before"));
    CHECK(!header_next(&it, &k, &v));
    /* As a look-up: an empty line does not end the block, and the last line needs no end. */
    header_iter_init(&it, SPAN_LIT("HTTP/1.0\r\nno colon\r\nA: b\r\n\r\nB: behind"));
    CHECK(header_next(&it, &k, &v));
    CHECK_MEM(k.p, k.n, "A", 1);
    CHECK(header_next(&it, &k, &v));
    CHECK_MEM(v.p, v.n, "behind", 6);
    CHECK(!header_next(&it, &k, &v));
}

static void judging(void) {
    static const char *const good[] = {
        "NATS/1.0\r\n\r\n",
        "NATS/1.0 503\r\n\r\n",
        "NATS/1.0 404 No Messages\r\n\r\n",
        "NATS/1.0\r\nA:b\r\n\r\n",
        "NATS/1.0\r\nA:\r\n\r\n",
        "NATS/1.0\r\nA: b: c\r\n\r\n",
        block,
    };
    static const char *const bad[] = {
        "",
        "NATS/1.0",
        "NATS/1.0\r\n",
        "NATS/1.1\r\n\r\n",
        "NATS/1.0x\r\n\r\n",
        "NATS/1.0\n\n",
        "nats/1.0\r\n\r\n",
        "NATS/1.0\r\nA\r\n\r\n",
        "NATS/1.0\r\n: b\r\n\r\n",
        "NATS/1.0\r\nA b: c\r\n\r\n",
        "NATS/1.0\r\nA: b\r\n",
        "NATS/1.0\r\nA: b\nC: d\r\n\r\n",
        "NATS/1.0\r\nA: b\rc\r\n\r\n",
        "NATS/1.0\r\n\r\nmore",
        "\r\n\r\n",
        "NATS/1.0\r\n A: b\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        if (!header_valid(span_str(good[i]))) fprintf(stderr, "\"%s\"\n", good[i]);
        CHECK(header_valid(span_str(good[i])));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (header_valid(span_str(bad[i]))) fprintf(stderr, "\"%s\"\n", bad[i]);
        CHECK(!header_valid(span_str(bad[i])));
    }
}

static void status_lines(void) {
    int code = 0;
    struct span text;
    CHECK(header_status(SPAN_LIT("NATS/1.0 404 No Messages\r\n\r\n"), &code, &text));
    CHECK_EQ(code, 404);
    CHECK_MEM(text.p, text.n, "No Messages", 11);
    CHECK(header_status(SPAN_LIT("NATS/1.0 503\r\n\r\n"), &code, &text));
    CHECK_EQ(code, 503);
    CHECK_EQ(text.n, 0);
    CHECK(!header_status(SPAN_LIT("NATS/1.0\r\nA: b\r\n\r\n"), &code, &text));
    CHECK(!header_status(SPAN_LIT("NATS/1.0 4x4\r\n\r\n"), &code, &text));
    CHECK(!header_status(SPAN_LIT("NATS/1.0 5030\r\n\r\n"), &code, &text));
    CHECK(!header_status(SPAN_LIT("NATS/1.0 50\r\n\r\n"), &code, &text));
    CHECK(!header_status(SPAN_EMPTY, &code, &text));
}

static void building(void) {
    uint8_t out[256];
    struct header_buf b;
    header_begin(&b, out, sizeof out, 503, SPAN_EMPTY);
    header_add(&b, SPAN_LIT("Nats-Subject"), SPAN_LIT("foo"));
    const char no_responders[] = "NATS/1.0 503\r\nNats-Subject: foo\r\n\r\n";
    CHECK_MEM(out, header_end(&b), no_responders, sizeof no_responders - 1);
    header_begin(&b, out, sizeof out, 409, SPAN_LIT("Consumer Deleted"));
    const char deleted[] = "NATS/1.0 409 Consumer Deleted\r\n\r\n";
    CHECK_MEM(out, header_end(&b), deleted, sizeof deleted - 1);
    header_begin(&b, out, sizeof out, 0, SPAN_EMPTY);
    header_add_u64(&b, SPAN_LIT("Nats-Sequence"), UINT64_MAX);
    header_add(&b, SPAN_LIT("E"), SPAN_EMPTY);
    header_add(&b, SPAN_LIT("Bad"), SPAN_LIT("one\r\nInjected: yes"));
    const char plain[] = "NATS/1.0\r\nNats-Sequence: 18446744073709551615\r\nE: \r\nBad: one\r\n\r\n";
    CHECK_MEM(out, header_end(&b), plain, sizeof plain - 1);
    CHECK(header_valid(span_of(out, sizeof plain - 1)));
}

static void copying(void) {
    uint8_t out[512];
    struct header_buf b;
    const struct span skip[] = {SPAN_LIT("A"), SPAN_LIT("t"), SPAN_LIT("nothing")};
    header_begin(&b, out, sizeof out, 0, SPAN_EMPTY);
    header_add_all(&b, span_str(block), skip, 3);
    header_add(&b, SPAN_LIT("New"), SPAN_LIT("1"));
    const char want[] = "NATS/1.0\r\nNats-Msg-Id:   two words \r\nempty:\r\nx-A: no\r\ncolon: a:b\r\n"
                        "Nats-Msg-Id-2: 5\r\nNew: 1\r\n\r\n";
    CHECK_MEM(out, header_end(&b), want, sizeof want - 1);
    header_begin(&b, out, sizeof out, 0, SPAN_EMPTY);
    header_add_all(&b, span_str(block), NULL, 0);
    CHECK_MEM(out, header_end(&b), block, sizeof block - 1);
}

/* Every size that is too small answers 0 and stays inside; the exact one fits. */
static void room_is_respected(void) {
    const char want[] = "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 12\r\n\r\n";
    size_t full = sizeof want - 1;
    for (size_t cap = 0; cap <= full + 1; cap++) {
        uint8_t *out = malloc(cap + 1);
        struct header_buf b;
        out[cap] = '#';
        header_begin(&b, out, cap, 100, SPAN_LIT("Idle Heartbeat"));
        header_add_u64(&b, SPAN_LIT("Nats-Last-Consumer"), 12);
        CHECK_EQ(header_end(&b), cap < full ? 0 : full);
        CHECK_EQ(out[cap], '#');
        free(out);
    }
}

/* Blocks of random keys: each value is found as the model says, before and after the bytes are spoilt nothing
 * runs away. */
static void random_blocks(void) {
    struct rng r = {8};
    for (int round = 0; round < 20000; round++) {
        uint8_t out[256];
        struct header_buf b;
        char first[4][8] = {"", "", "", ""};
        bool seen[4] = {false};
        header_begin(&b, out, sizeof out, 0, SPAN_EMPTY);
        for (uint64_t n = rng_below(&r, 6); n; n--) {
            uint64_t k = rng_below(&r, 4);
            char value[8];
            size_t len = rng_below(&r, sizeof value);
            for (size_t i = 0; i < len; i++) value[i] = "abc: K"[rng_below(&r, 6)];
            while (len && value[0] == ' ') memmove(value, value + 1, --len);
            header_add(&b, span_of(&"K0K1K2K3"[2 * k], 2), span_of(value, len));
            if (!seen[k]) snprintf(first[k], sizeof first[k], "%.*s", (int)len, value);
            seen[k] = true;
        }
        size_t n = header_end(&b);
        CHECK(header_valid(span_of(out, n)));
        for (size_t k = 0; k < 4; k++) {
            struct span v;
            CHECK_EQ(header_get(span_of(out, n), span_of(&"K0K1K2K3"[2 * k], 2), &v), seen[k]);
            if (seen[k]) CHECK_MEM(v.p, v.n, first[k], strlen(first[k]));
        }
        uint8_t *copy = malloc(n);
        memcpy(copy, out, n);
        for (int i = 0; i < 3; i++) copy[rng_below(&r, n)] = (uint8_t) "\r\n: K\0N\xff"[rng_below(&r, 8)];
        struct span s = span_of(copy, rng_below(&r, n + 1)), k, v;
        struct header_iter it;
        size_t lines = 0;
        header_iter_init(&it, s);
        while (header_next(&it, &k, &v)) {
            struct span found;
            CHECK(v.p >= copy && v.p + v.n <= copy + n);
            if (k.n && !memchr(k.p, '\r', k.n) &&
                !memchr(k.p, '\n', k.n)) { /* walking and looking up agree: this is the first of its key, or
                                              one came before */
                CHECK(header_get(s, k, &found));
                CHECK(found.p <= v.p && (found.p != v.p || found.n == v.n));
            }
            lines++;
        }
        CHECK(lines <= n);
        (void)header_valid(s);
        (void)header_get(s, SPAN_LIT("K0"), &v);
        free(copy);
    }
}

CHECK_MAIN(CASE(getting), CASE(walking), CASE(judging), CASE(status_lines), CASE(building), CASE(copying),
           CASE(room_is_respected), CASE(random_blocks))
