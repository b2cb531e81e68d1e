/* Message ids in their window: exact at both ends, whatever the order of growth, expiry and rebasing. */
#include "base/rng.h"
#include "lib/check.h"
#include "stream/dedupe.h"
#include "stream/siphash.h"

#define MS  1000000ll
#define SEC (1000 * MS)
static const uint8_t secret[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

static struct dedupe_key key(struct dedupe *d, uint64_t id) {
    char buf[32];
    return dedupe_hash(d, span_of(buf, (size_t)sprintf(buf, "id-%" PRIu64, id)));
}

static void put(struct dedupe *d, uint64_t id, uint64_t seq, int64_t ts) {
    CHECK_EQ(dedupe_reserve(d), ERR_OK);
    dedupe_put(d, key(d, id), seq, ts);
}

/* The reference vectors of SipHash-2-4-128: key 00..0f, inputs of 0 and 15 bytes 00, 01, ... */
static void siphash_vectors(void) {
    uint8_t k[16], m[15];
    uint64_t key2[2], out[2];
    for (uint8_t i = 0; i < 16; i++) k[i] = i;
    for (uint8_t i = 0; i < 15; i++) m[i] = i;
    memcpy(key2, k, 16);
    siphash128(key2, m, 0, out);
    CHECK(out[0] == 0xe6a825ba047f81a3u && out[1] == 0x930255c71472f66du);
    siphash128(key2, m, 15, out);
    CHECK(out[0] == 0x11a8b03399e99354u && out[1] == 0xd9c3cf970fec087eu);
}

static void window_is_exact(void) {
    struct dedupe d;
    dedupe_init(&d, secret, 2 * SEC);
    put(&d, 1, 7, 10 * SEC);
    CHECK_EQ(dedupe_find(&d, key(&d, 1), 10 * SEC), 7);
    CHECK_EQ(dedupe_find(&d, key(&d, 1), 12 * SEC - 1), 7);
    CHECK_EQ(dedupe_find(&d, key(&d, 1), 12 * SEC), 0);
    CHECK_EQ(dedupe_find(&d, key(&d, 2), 10 * SEC), 0);
    dedupe_deinit(&d);
}

static void off_without_window(void) {
    struct dedupe d;
    dedupe_init(&d, secret, 0);
    put(&d, 1, 1, 0);
    CHECK_EQ(dedupe_find(&d, key(&d, 1), 0), 0);
    CHECK_EQ(d.cap, 0);
    dedupe_deinit(&d);
}

enum { IDS = 3000 };

/* Against an array of (last time, sequence); times in whole milliseconds, so that nothing is rounded. */
static void random_against_model(void) {
    for (uint64_t seed = 0; seed < 6; seed++) {
        struct rng r = {seed};
        struct dedupe d;
        int64_t window = (int64_t)(1 + rng_below(&r, 5000)) * MS, now = SEC;
        dedupe_init(&d, secret, window);
        static int64_t seen[IDS];
        static uint64_t seqs[IDS];
        memset(seqs, 0, sizeof seqs);
        uint64_t seq = rng_next(&r) >> 8;
        for (int i = 0; i < 60000; i++) {
            uint64_t id = rng_below(&r, IDS);
            now += (int64_t)rng_below(&r, seed + 2) * MS;
            uint64_t want = seqs[id] && now - seen[id] < window ? seqs[id] : 0;
            CHECK_EQ(dedupe_find(&d, key(&d, id), now), want);
            seq += 1 + rng_below(&r, 3);
            if (want == 0) put(&d, id, seq, now), seen[id] = now, seqs[id] = seq;
            if (rng_below(&r, 500) == 0) now += (int64_t)rng_below(&r, 4) * window;
            if (rng_below(&r, 50) == 0) dedupe_expire(&d, now);
        }
        dedupe_deinit(&d);
    }
}

static void memory_returns(void) {
    struct dedupe d;
    dedupe_init(&d, secret, SEC);
    for (uint64_t i = 0; i < 50000; i++) put(&d, i, i + 1, 0);
    CHECK(d.cap >= 50000);
    /* 20 bytes and its share of the table. */
    CHECK(sizeof(struct dedupe_entry) + 4.0 * d.table_cap / 50000 < 34);
    put(&d, 60000, 60001, SEC / 2);
    for (int i = 0; i < 10; i++) dedupe_expire(&d, SEC);
    CHECK_EQ(d.len, 1);
    CHECK(d.cap <= 1024);
    CHECK_EQ(dedupe_find(&d, key(&d, 60000), SEC), 60001);
    dedupe_expire(&d, 2 * SEC);
    CHECK_EQ(d.cap, 0);
    dedupe_deinit(&d);
}

/* A ring that never runs empty outlives the 32 bits of its times and sequences. */
static void bases_move(void) {
    struct dedupe d;
    int64_t window = 3600 * SEC, now = 0;
    dedupe_init(&d, secret, window);
    uint64_t seq = 1;
    for (uint64_t i = 0; i < 4000; i++) {
        now += window / 3;
        seq += 40u << 20;
        put(&d, i, seq, now);
        CHECK_EQ(dedupe_find(&d, key(&d, i), now), seq);
        if (i >= 2) CHECK_EQ(dedupe_find(&d, key(&d, i - 2), now), seq - 2 * (40ull << 20));
        if (i >= 3) CHECK_EQ(dedupe_find(&d, key(&d, i - 3), now), 0);
    }
    CHECK_EQ(d.dropped, 0);
    dedupe_deinit(&d);
}

static void window_changes(void) {
    struct dedupe d;
    dedupe_init(&d, secret, 10 * SEC);
    put(&d, 1, 1, 0);
    put(&d, 2, 2, 5 * SEC);
    dedupe_set_window(&d, 3 * SEC, 6 * SEC);
    CHECK_EQ(dedupe_find(&d, key(&d, 1), 6 * SEC), 0);
    CHECK_EQ(dedupe_find(&d, key(&d, 2), 6 * SEC), 2);
    dedupe_set_window(&d, 1000000 * SEC, 7 * SEC);
    CHECK_EQ(dedupe_find(&d, key(&d, 2), 1000 * SEC), 2);
    dedupe_set_window(&d, 0, 7 * SEC);
    CHECK_EQ(dedupe_find(&d, key(&d, 2), 7 * SEC), 0);
    dedupe_deinit(&d);
}

/* Recovery hands ids in any order, some twice. */
static void late_ids(void) {
    struct dedupe d;
    dedupe_init(&d, secret, 100 * SEC);
    put(&d, 5, 5, 5 * SEC);
    put(&d, 7, 7, 7 * SEC);
    const uint64_t late[] = {6, 1, 5, 9, 1};
    for (size_t i = 0; i < 5; i++)
        CHECK_EQ(dedupe_add_late(&d, key(&d, late[i]), late[i], (int64_t)late[i] * SEC), ERR_OK);
    CHECK_EQ(dedupe_settle(&d), ERR_OK);
    CHECK_EQ(d.len, 5);
    for (uint64_t id = 1; id < 10; id++)
        CHECK_EQ(dedupe_find(&d, key(&d, id), 10 * SEC), id == 1 || (id >= 5 && id != 8) ? id : 0);
    CHECK_EQ(dedupe_find(&d, key(&d, 1), 101 * SEC), 0);
    CHECK_EQ(dedupe_find(&d, key(&d, 5), 101 * SEC), 5);
    dedupe_deinit(&d);
}

CHECK_MAIN(CASE(siphash_vectors), CASE(window_is_exact), CASE(off_without_window), CASE(random_against_model),
           CASE(memory_returns), CASE(bases_move), CASE(window_changes), CASE(late_ids))
