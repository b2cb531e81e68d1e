/* test_memlog.c - messages in memory. */
#include "store/memlog.h"

#include "base/rng.h"
#include "lib/check.h"
#include "store/format.h"

enum { SLAB = 2 << 20 };
static uint8_t body[5 << 20];
static char subject[64];

static struct rec make(uint64_t seq, size_t n) {
    struct rec r = {.kind = REC_MESSAGE,
                    .stream = (uint32_t)(seq % 5 + 1),
                    .seq = seq,
                    .ts = (int64_t)(1700000000000000000 + seq)};
    r.subject =
        span_of(subject, (size_t)snprintf(subject, sizeof subject, "s.%llu", (unsigned long long)seq));
    if (seq % 4 == 0) r.hdr = SPAN_LIT("NATS/1.0\r\nx: y\r\n\r\n");
    struct rng g = {seq};
    for (size_t i = 0; i < n; i++) body[i] = (uint8_t)rng_next(&g);
    r.payload = span_of(body, n);
    return r;
}

static void check(struct memlog *m, uint64_t loc, uint64_t seq, size_t n) {
    struct rec got, want = make(seq, n);
    CHECK_EQ(memlog_read(m, loc, &got), ERR_OK);
    CHECK(got.kind == want.kind && got.flags == want.flags && got.stream == want.stream && got.seq == seq &&
          got.ts == want.ts);
    CHECK(span_eq(got.subject, want.subject) && span_eq(got.hdr, want.hdr) &&
          span_eq(got.payload, want.payload));
}

static void many(void) {
    struct memlog *m;
    enum { N = 20000 };
    static uint64_t locs[N + 1];
    CHECK_EQ(memlog_open(&m, (uint64_t)1 << 30), ERR_OK);
    CHECK_EQ(memlog_bytes(m), 0);
    for (uint64_t i = 1; i <= N; i++) {
        struct rec r = make(i, i % 700);
        CHECK_EQ(memlog_append(m, &r, &locs[i]), ERR_OK);
    }
    for (uint64_t i = 1; i <= N; i++) check(m, locs[i], i, i % 700);
    uint64_t held = memlog_bytes(m);
    CHECK(held >= 7000000 && held % SLAB == 0);
    for (uint64_t i = 1; i <= N; i++) {
        memlog_dead(m, locs[i]);
        if (i < N) check(m, locs[N], N, N % 700);
    }
    CHECK(memlog_bytes(m) <= SLAB); /* the one being filled */
    struct rec r = make(1, 10);
    CHECK_EQ(memlog_append(m, &r, &locs[0]), ERR_OK);
    check(m, locs[0], 1, 10);
    memlog_close(m);
}

static void small_messages_cost_24_bytes(void) {
    struct memlog *m;
    uint64_t loc, before = 0;
    CHECK_EQ(memlog_open(&m, 64 << 20), ERR_OK);
    for (uint64_t i = 1; i < 100; i++) {
        struct rec r = make(i, 16);
        CHECK_EQ(memlog_append(m, &r, &loc), ERR_OK);
        if (i > 1) CHECK(((loc - before) & UINT32_MAX) * 4 <= 24 + 24 + 18 + 16);
        struct rec got;
        CHECK_EQ(memlog_read(m, loc, &got), ERR_OK);
        CHECK((const uint8_t *)got.subject.p != NULL);
        before = loc;
    }
    struct rec a = {.kind = REC_MESSAGE,
                    .stream = 1,
                    .seq = 100,
                    .ts = 1700000000000000100,
                    .payload = SPAN_LIT("0123456789abcdef")};
    uint64_t x, y;
    CHECK_EQ(memlog_append(m, &a, &x), ERR_OK);
    CHECK_EQ(memlog_append(m, &a, &y), ERR_OK);
    CHECK_EQ((y - x) * 4, 20 + 16);
    memlog_close(m);
}

static void what_does_not_pack(void) {
    struct memlog *m;
    static char long_subject[60000], long_hdr[70000];
    memset(long_subject, 's', sizeof long_subject);
    memset(long_hdr, 'h', sizeof long_hdr);
    CHECK_EQ(memlog_open(&m, 64 << 20), ERR_OK);
    struct rec base = make(1, 10);
    uint64_t loc;
    CHECK_EQ(memlog_append(m, &base, &loc), ERR_OK);
    const struct rec odd[] = {
        {.kind = REC_MESSAGE, .stream = 1, .seq = UINT64_MAX, .ts = base.ts},
        {.kind = REC_MESSAGE, .stream = UINT32_MAX, .seq = 1, .ts = base.ts},
        {.kind = REC_MESSAGE, .stream = 1, .seq = 1, .ts = base.ts - 1},
        {.kind = REC_MESSAGE, .stream = 1, .seq = 1, .ts = base.ts + (int64_t)86400 * 1000000000},
        {.kind = REC_MESSAGE, .stream = 1, .seq = 1, .ts = INT64_MIN},
        {.kind = REC_MESSAGE, .flags = REC_F_ROLLUP_ALL, .stream = 1, .seq = 1, .ts = base.ts},
        {.kind = REC_PURGE, .stream = 1, .seq = 1, .ts = base.ts},
        {.kind = REC_MESSAGE,
         .stream = 1,
         .seq = 1,
         .ts = base.ts,
         .subject = span_of(long_subject, sizeof long_subject)},
        {.kind = REC_MESSAGE,
         .stream = 1,
         .seq = 1,
         .ts = base.ts,
         .hdr = span_of(long_hdr, sizeof long_hdr)},
        {.kind = REC_MESSAGE, .stream = 1, .seq = 1, .ts = base.ts, .hdr = span_of(long_hdr, 8191)},
        {.kind = REC_MESSAGE, .stream = 1, .seq = 1, .ts = base.ts, .hdr = span_of(long_hdr, 300)},
    };
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        struct rec got;
        CHECK_EQ(memlog_append(m, &odd[i], &loc), ERR_OK);
        CHECK_EQ(memlog_read(m, loc, &got), ERR_OK);
        CHECK(got.kind == odd[i].kind && got.flags == odd[i].flags && got.stream == odd[i].stream);
        CHECK(got.seq == odd[i].seq && got.ts == odd[i].ts);
        CHECK(span_eq(got.subject, odd[i].subject) && span_eq(got.hdr, odd[i].hdr) && got.payload.n == 0);
    }
    memlog_close(m);
}

static void larger_than_a_slab(void) {
    struct memlog *m;
    uint64_t locs[4], extra;
    CHECK_EQ(memlog_open(&m, 16 << 20), ERR_OK); /* 8 slabs */
    for (uint64_t i = 0; i < 2; i++) {
        struct rec r = make(i + 1, 5 << 20); /* 3 slabs each */
        CHECK_EQ(memlog_append(m, &r, &locs[i]), ERR_OK);
    }
    CHECK_EQ(memlog_bytes(m), 6 * SLAB);
    struct rec r = make(3, 5 << 20);
    CHECK_EQ(memlog_append(m, &r, &extra), ERR_LIMIT);
    r = make(4, 100);
    CHECK_EQ(memlog_append(m, &r, &locs[2]), ERR_OK);
    check(m, locs[0], 1, 5 << 20);
    check(m, locs[1], 2, 5 << 20);
    memlog_dead(m, locs[0]);
    CHECK_EQ(memlog_bytes(m), 4 * SLAB);
    r = make(3, 5 << 20);
    CHECK_EQ(memlog_append(m, &r, &extra), ERR_OK); /* where the first one was */
    check(m, extra, 3, 5 << 20);
    check(m, locs[2], 4, 100);
    memlog_close(m);
}

static void the_ceiling(void) {
    struct memlog *m;
    uint64_t loc, first = 0, n = 0;
    CHECK_EQ(memlog_open(&m, 4 << 20), ERR_OK);
    enum err e = ERR_OK;
    for (; !e; n++) {
        struct rec r = make(n + 1, 1000);
        e = memlog_append(m, &r, &loc);
        if (!n) first = loc;
    }
    CHECK_EQ(e, ERR_LIMIT);
    CHECK(n > 3900 && memlog_bytes(m) == 4 << 20);
    check(m, first, 1, 1000);
    memlog_close(m);
}

CHECK_MAIN(CASE(many), CASE(small_messages_cost_24_bytes), CASE(what_does_not_pack), CASE(larger_than_a_slab),
           CASE(the_ceiling))
