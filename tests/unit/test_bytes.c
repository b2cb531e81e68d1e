/* test_bytes.c - the small words of base: bytes, spans, lists, errors, assertions and random numbers. */
#include <errno.h>
#include <signal.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "base/must.h"
#include "base/rng.h"
#include "lib/check.h"

static void loads_are_little_endian(void) {
    uint8_t b[11] = {0xff, 1, 2, 3, 4, 5, 6, 7, 8, 0xff, 0xff};
    CHECK_EQ(load16(b + 1), 0x0201);
    CHECK_EQ(load32(b + 1), 0x04030201);
    CHECK_EQ(load64(b + 1), 0x0807060504030201);
    uint8_t o[9] = {0};
    store64(o + 1, 0x0807060504030201);
    CHECK_MEM(o + 1, 8, b + 1, 8);
    store32(o, 0xa1b2c3d4);
    CHECK_EQ(o[0], 0xd4);
    CHECK_EQ(load32(o), 0xa1b2c3d4);
    store16(o, 0xbeef);
    CHECK_EQ(o[0], 0xef);
    CHECK_EQ(load16(o), 0xbeef);
}

static void align_rounds_up(void) {
    CHECK_EQ(align_up(0, 8), 0);
    CHECK_EQ(align_up(1, 8), 8);
    CHECK_EQ(align_up(8, 8), 8);
    CHECK_EQ(align_up(4097, 4096), 8192);
    CHECK_EQ(align_up((uint64_t)1 << 40, 4096), (uint64_t)1 << 40);
}

static void decimal_round_trip(void) {
    static const struct {
        uint64_t n;
        const char *text;
    } table[] = {
        {0, "0"}, {9, "9"}, {10, "10"}, {1234567890, "1234567890"}, {UINT64_MAX, "18446744073709551615"}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        uint8_t out[20];
        uint64_t back = 77;
        size_t n = put_u64(out, table[i].n);
        CHECK_MEM(out, n, table[i].text, strlen(table[i].text));
        CHECK(get_u64(span_of(out, n), &back));
        CHECK(back == table[i].n);
    }
}

static void decimal_refuses(void) {
    static const char *const bad[] = {"",
                                      "-1",
                                      "+1",
                                      " 1",
                                      "1 ",
                                      "1a",
                                      "0x1",
                                      "18446744073709551616",
                                      "99999999999999999999",
                                      "184467440737095516150"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint64_t n = 42;
        CHECK(!get_u64(span_str(bad[i]), &n));
        CHECK_EQ(n, 42);
    }
    uint64_t n;
    CHECK(get_u64(SPAN_LIT("0000000000000000000000007"), &n));
    CHECK_EQ(n, 7);
}

static void hash_depends_on_every_byte(void) {
    uint8_t text[100];
    for (size_t i = 0; i < sizeof text; i++) text[i] = (uint8_t)(i * 7);
    for (size_t n = 0; n <= sizeof text; n++) {
        uint64_t h = hash_bytes(text, n, 1);
        CHECK(h == hash_bytes(text, n, 1));
        CHECK(h != hash_bytes(text, n, 2));
        if (n) CHECK(h != hash_bytes(text, n - 1, 1));
        for (size_t i = 0; i < n; i++) {
            text[i] ^= 1;
            CHECK(h != hash_bytes(text, n, 1));
            text[i] ^= 1;
        }
    }
    CHECK(hash_bytes(NULL, 0, 5) == hash_bytes("x", 0, 5));
}

/* Similar keys must spread over the low bits, which tables use. */
static void hash_spreads(void) {
    enum { BUCKETS = 1024, KEYS = 8192 };
    static unsigned count[BUCKETS];
    for (unsigned i = 0; i < KEYS; i++) {
        char key[32];
        int n = snprintf(key, sizeof key, "orders.eu.%u", i);
        count[hash_bytes(key, (size_t)n, 3) % BUCKETS]++;
    }
    for (unsigned i = 0; i < BUCKETS; i++) CHECK(count[i] < 32); /* 8 on average */
}

static void spans(void) {
    CHECK(span_eq(SPAN_LIT("abc"), span_str("abc")));
    CHECK(!span_eq(SPAN_LIT("abc"), SPAN_LIT("abd")));
    CHECK(!span_eq(SPAN_LIT("abc"), SPAN_LIT("ab")));
    CHECK(span_eq(SPAN_EMPTY, SPAN_LIT("")));
    CHECK(span_eq(span_skip(SPAN_LIT("abc"), 1), SPAN_LIT("bc")));
    CHECK_EQ(span_skip(SPAN_LIT("abc"), 3).n, 0);
    CHECK_EQ(span_skip(SPAN_LIT("abc"), 9).n, 0);
    CHECK(span_starts(SPAN_LIT("abc"), SPAN_LIT("ab")));
    CHECK(span_starts(SPAN_LIT("abc"), SPAN_EMPTY));
    CHECK(!span_starts(SPAN_LIT("ab"), SPAN_LIT("abc")));
}

struct item {
    int n;
    struct list link;
};

static void lists(void) {
    struct list head = LIST_INIT(head);
    struct item items[4];
    CHECK(list_empty(&head));
    CHECK(list_pop(&head) == NULL);
    for (int i = 0; i < 4; i++) {
        items[i].n = i;
        list_add_tail(&head, &items[i].link);
    }
    list_del(&items[2].link);
    CHECK(list_empty(&items[2].link));
    list_del(&items[2].link); /* harmless when on no list */
    int seen = 0;
    list_each(pos, tmp, &head) {
        struct item *it = container_of(pos, struct item, link);
        seen = seen * 10 + it->n;
        if (it->n == 1) list_del(pos);
    }
    CHECK_EQ(seen, 13); /* 0 1 3 */
    CHECK_EQ(container_of(list_pop(&head), struct item, link)->n, 0);
    CHECK_EQ(container_of(list_pop(&head), struct item, link)->n, 3);
    CHECK(list_empty(&head));
}

static void errors_have_texts(void) {
    for (int e = 0; e < ERR_COUNT; e++) CHECK(strlen(err_text((enum err)e)) > 0);
    CHECK_STR(err_text(ERR_NOSPC), "no space left on the device");
    CHECK_EQ(err_of_errno(ENOSPC), ERR_NOSPC);
    CHECK_EQ(err_of_errno(EMFILE), ERR_NOFILES);
    CHECK_EQ(err_of_errno(ENFILE), ERR_NOFILES);
    CHECK_EQ(err_of_errno(ECONNRESET), ERR_CLOSED);
    CHECK_EQ(err_of_errno(EPIPE), ERR_CLOSED);
    CHECK_EQ(err_of_errno(ECANCELED), ERR_CANCELLED);
    CHECK_EQ(err_of_errno(EIO), ERR_IO);
    CHECK_EQ(err_of_errno(9999), ERR_IO);
    for (int e = 1; e < 200; e++) CHECK(err_of_errno(e) != ERR_OK);
}

static int dump_fd;
static void dump(void *object) { CHECK_EQ(write(dump_fd, object, 3), 3); }
static void dump_fails_too(void *object) {
    CHECK_EQ(write(dump_fd, object, 3), 3);
    must(object == NULL);
}

/* Runs a failing must() in a child with the dumper set; returns what the dumper wrote. */
static size_t dumped(void (*fn)(void *), char out[64]) {
    int p[2], status;
    CHECK_EQ(pipe(p), 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        signal(SIGABRT, SIG_DFL);
        CHECK(freopen("/dev/null", "w", stderr));
        dump_fd = p[1];
        char object[] = "obj";
        must_set_dump(fn, fn ? object : NULL);
        must(object[0] == 'x');
        _exit(0);
    }
    close(p[1]);
    ssize_t n = read(p[0], out, 64);
    close(p[0]);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    return n > 0 ? (size_t)n : 0;
}

static void must_prints_and_aborts(void) {
    char out[64];
    CHECK_EQ(dumped(NULL, out), 0);
    CHECK_MEM(out, dumped(dump, out), "obj", 3);
    CHECK_MEM(out, dumped(dump_fails_too, out), "obj", 3);
    must(true);
}

static void rng_is_seeded_and_bounded(void) {
    struct rng a = {1}, b = {1}, c = {2};
    CHECK(rng_next(&a) == rng_next(&b));
    CHECK(rng_next(&a) != rng_next(&c));
    unsigned seen[7] = {0};
    for (int i = 0; i < 7000; i++) seen[rng_below(&a, 7)]++;
    for (int i = 0; i < 7; i++) CHECK(seen[i] > 700 && seen[i] < 1300);
    uint8_t x[32] = {0}, y[32] = {0};
    random_bytes(x, sizeof x);
    random_bytes(y, sizeof y);
    CHECK(memcmp(x, y, sizeof x) != 0);
    random_bytes(NULL, 0);
}

struct lines {
    int count;
    enum log_level level;
    char last[1100];
};
static void keep_line(void *ctx, enum log_level level, const char *text) {
    struct lines *to = ctx;
    to->count++;
    to->level = level;
    snprintf(to->last, sizeof to->last, "%s", text);
}

static void log_levels_and_cuts(void) {
    struct lines got = {0};
    struct log log = {LOG_WARN, keep_line, &got};
    log_line(NULL, LOG_FATAL, "nobody listens");
    log_line(&log, LOG_INFO, "%s", "too fine");
    CHECK_EQ(got.count, 0);
    log_line(&log, LOG_WARN, "disk %d%% of %s", 93, "a\nb\x1b");
    CHECK_EQ(got.count, 1);
    CHECK_EQ(got.level, LOG_WARN);
    CHECK_STR(got.last, "disk 93% of a?b?");
    log_line(&log, LOG_FATAL, "%01023d", 7);
    CHECK_EQ(strlen(got.last), 1023);
    CHECK_EQ(got.last[1022], '7');
    log_line(&log, LOG_FATAL, "%01024d", 7);
    CHECK_EQ(strlen(got.last), 1023);
    CHECK_STR(got.last + 1018, "00...");
    log.line = NULL;
    CHECK(!log_on(&log, LOG_FATAL));
    log_line(&log, LOG_FATAL, "no sink");
}

CHECK_MAIN(CASE(log_levels_and_cuts), CASE(loads_are_little_endian), CASE(align_rounds_up),
           CASE(decimal_round_trip), CASE(decimal_refuses), CASE(hash_depends_on_every_byte),
           CASE(hash_spreads), CASE(spans), CASE(lists), CASE(errors_have_texts),
           CASE(must_prints_and_aborts), CASE(rng_is_seeded_and_bounded))
