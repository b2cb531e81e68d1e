/* test_engine_header.c - the one header that recovery looks for, in blocks of all shapes. */
#include "engine.h"
#include "lib/check.h"

static void finds(const char *hdr, const char *want) {
    struct span got = header_value(span_str(hdr), SPAN_LIT("Nats-Msg-Id"));
    CHECK_MEM(got.p, got.n, want, strlen(want));
}

static void values(void) {
    finds("NATS/1.0\r\nNats-Msg-Id: abc\r\n\r\n", "abc");
    finds("NATS/1.0\r\nNats-Msg-Id:abc\r\n\r\n", "abc");
    finds("NATS/1.0\r\nNats-Msg-Id: \t a b c \t\r\n\r\n", "a b c");
    finds("NATS/1.0 503\r\nA: b\r\nNats-Msg-Id: x:y\r\nC: d\r\n\r\n", "x:y");
    finds("NATS/1.0\r\nNats-Msg-Id: first\r\nNats-Msg-Id: second\r\n\r\n", "first");
}

static void none(void) {
    finds("", "");
    finds("NATS/1.0\r\n\r\n", "");
    finds("NATS/1.0\r\nNats-Msg-Id:\r\n\r\n", "");
    finds("NATS/1.0\r\nNats-Msg-Id2: x\r\n\r\n", "");
    finds("NATS/1.0\r\nX-Nats-Msg-Id: x\r\n\r\n", "");
    finds("NATS/1.0\r\n\r\nNats-Msg-Id: behind the end\r\n\r\n", "");
}

static void malformed(void) {
    finds("HTTP/1.1\r\nNats-Msg-Id: x\r\n\r\n", "");
    finds("NATS/1.0\r\nNats-Msg-Id: no end", "");
    finds("Nats-Msg-Id: x\r\n", "");
    finds("\r\n\r\n\r\n", "");
    static const char bytes[] = "NATS/1.0\r\n\0\r\nNats-Msg-Id: z\r\n\r\n";
    struct span got = header_value(span_of(bytes, sizeof bytes - 1), SPAN_LIT("Nats-Msg-Id"));
    CHECK_MEM(got.p, got.n, "z", 1);
}

/* Every prefix of a block ends well: the sanitizer sees what is read beyond it. */
static void prefixes(void) {
    static const char block[] = "NATS/1.0\r\nA: b\r\nNats-Msg-Id: abc\r\n\r\n";
    for (size_t n = 0; n < sizeof block; n++) {
        char *copy = malloc(n + 1);
        memcpy(copy, block, n);
        struct span got = header_value(span_of(copy, n), SPAN_LIT("Nats-Msg-Id"));
        CHECK(got.n == 0 || (n >= 34 && got.n == 3));
        free(copy);
    }
}

CHECK_MAIN(CASE(values), CASE(none), CASE(malformed), CASE(prefixes))
