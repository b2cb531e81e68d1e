/* test_mem.c - regions commit in steps, stay in place and read as zero after a release; pools respect their
 * limit, never hand an object out twice, and keep their contents. */
#include "base/asan.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "lib/check.h"

#define MIB ((size_t)1 << 20)

static void region_commits_in_steps(void) {
    struct region r;
    CHECK_EQ(region_open(&r, 5 * MIB), ERR_OK);
    CHECK_EQ(r.reserved, 6 * MIB);
    CHECK_EQ((uintptr_t)r.p % (2 * MIB), 0);
    CHECK_EQ(r.committed, 0);
    CHECK_EQ(region_commit(&r, 1, false), ERR_OK);
    CHECK_EQ(r.committed, 2 * MIB);
    uint8_t *p = r.p;
    p[0] = 1;
    p[2 * MIB - 1] = 2;
    CHECK_EQ(region_commit(&r, 2 * MIB + 1, false), ERR_OK);
    CHECK_EQ(r.committed, 4 * MIB);
    CHECK(r.p == p);
    CHECK(p[0] == 1 && p[2 * MIB - 1] == 2 && p[2 * MIB] == 0);
    CHECK_EQ(region_commit(&r, 3, false), ERR_OK);
    CHECK_EQ(r.committed, 4 * MIB);
    CHECK_EQ(region_commit(&r, 6 * MIB + 1, false), ERR_LIMIT);
    CHECK_EQ(region_commit(&r, 6 * MIB, false), ERR_OK);
    p[6 * MIB - 1] = 3;
    region_close(&r);
    region_close(&r);
}

static void region_too_big(void) {
    struct region r;
    CHECK_EQ(region_open(&r, SIZE_MAX - 5), ERR_NOMEM);
    CHECK_EQ(region_open(&r, SIZE_MAX / 2), ERR_NOMEM);
    region_close(&r);
}

/* Asking for huge pages works with or without any reserved; what it stands on is told. */
static void region_huge_or_not(void) {
    const char *how = NULL;
    enum mem_pages probed = mem_probe_pages(&how);
    CHECK(how != NULL);
    CHECK_EQ(probed == MEM_HUGETLB, *how == 0);
    struct region r;
    CHECK_EQ(region_open(&r, 4 * MIB), ERR_OK);
    CHECK_EQ(region_commit(&r, 2 * MIB, true), ERR_OK);
    CHECK(probed == MEM_HUGETLB || r.pages != MEM_HUGETLB);
    memset(r.p, 7, 2 * MIB);
    region_release(&r, 0, 2 * MIB);
    for (size_t i = 0; i < 2 * MIB; i += 511) CHECK_EQ(r.p[i], 0);
    region_close(&r);
}

static void release_reads_zero(void) {
    struct region r;
    CHECK_EQ(region_open(&r, 4 * MIB), ERR_OK);
    CHECK_EQ(region_commit(&r, 4 * MIB, false), ERR_OK);
    static const size_t ranges[][2] = {{0, 4 * MIB}, {100, 50},    {100, 8192}, {4096, 4096},
                                       {4000, 200},  {4095, 4098}, {9, 0}};
    for (size_t k = 0; k < sizeof ranges / sizeof *ranges; k++) {
        size_t from = ranges[k][0], n = ranges[k][1];
        memset(r.p, 0xaa, 4 * MIB);
        region_release(&r, from, n);
        for (size_t i = 0; i < 32768; i++) CHECK_EQ(r.p[i], i >= from && i < from + n ? 0 : 0xaa);
        r.p[from] = 1; /* still usable */
    }
    region_close(&r);
}

static void pool_limits_and_reuse(void) {
    struct pool p;
    void *got[10];
    pool_init(&p, 24, 4, 10);
    for (int i = 0; i < 10; i++) {
        got[i] = pool_take(&p);
        CHECK(got[i] != NULL);
        CHECK_EQ((uintptr_t)got[i] % 16, 0);
        memset(got[i], i, 24);
    }
    CHECK(pool_take(&p) == NULL);
    CHECK_EQ(p.used, 10);
    CHECK_EQ(p.count, 10);
    CHECK_EQ(p.chunks_len, 3);
    for (int i = 0; i < 10; i++) {
        for (int j = 0; j < 24; j++) CHECK_EQ(((uint8_t *)got[i])[j], i);
    }
    pool_give(&p, got[3]);
    pool_give(&p, got[7]);
    CHECK_EQ(p.used, 8);
    CHECK(pool_take(&p) == got[7]);
    CHECK(pool_take(&p) == got[3]);
    CHECK(pool_take(&p) == NULL);
    for (int i = 0; i < 10; i++) pool_give(&p, got[i]);
    CHECK_EQ(p.used, 0);
    CHECK_EQ(p.chunks_len, 3);
    pool_deinit(&p);
}

static void pool_small_objects_and_no_limit(void) {
    struct pool p;
    pool_init(&p, 1, 3, 100);
    uint8_t *got[100];
    for (int i = 0; i < 100; i++) {
        got[i] = pool_take(&p);
        CHECK(got[i] != NULL);
        *got[i] = (uint8_t)i;
    }
    for (int i = 0; i < 100; i++) CHECK_EQ(*got[i], i);
    CHECK_EQ(p.chunks_len, 34);
    pool_deinit(&p); /* with objects out: they go too */
    pool_init(&p, 8, 4, 0);
    CHECK(pool_take(&p) == NULL);
    pool_deinit(&p);
}

/* In sanitizer builds a given-back object must not be touched. */
static void pool_poisons(void) {
    struct pool p;
    pool_init(&p, 64, 4, 4);
    char *object = pool_take(&p);
    CHECK(!asan_bad(object, 64));
    pool_give(&p, object);
#ifdef MR_ASAN
    CHECK(asan_bad(object + 8, 56));
#endif
    pool_deinit(&p);
}

CHECK_MAIN(CASE(region_commits_in_steps), CASE(region_too_big), CASE(region_huge_or_not),
           CASE(release_reads_zero), CASE(pool_limits_and_reuse), CASE(pool_small_objects_and_no_limit),
           CASE(pool_poisons))
