/* test_slab.c - blocks that come back: which is taken next, what loses its memory and when, bounds; and
 * random use against a model. */
#include "base/slab.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/rng.h"
#include "lib/check.h"

enum { BLOCK = 32768, BLOCKS = 256 };

/* How many pages of a block are in memory. */
static size_t resident(const void *block) {
    unsigned char pages[BLOCK / 4096];
    size_t n = 0;
    CHECK_EQ(mincore((void *)(uintptr_t)block, BLOCK, pages), 0);
    for (size_t i = 0; i < sizeof pages; i++) n += pages[i] & 1;
    return n;
}

static void bounds(void) {
    struct slab s;
    void *b[BLOCKS];
    slab_init(&s, BLOCK, BLOCKS);
    CHECK_EQ(slab_bytes(&s), 0);
    for (size_t i = 0; i < BLOCKS; i++) {
        b[i] = slab_take(&s);
        CHECK(b[i] != NULL && (uintptr_t)b[i] % 4096 == 0);
        memset(b[i], (int)i, BLOCK);
    }
    CHECK(slab_take(&s) == NULL);
    CHECK_EQ(slab_used(&s), BLOCKS);
    CHECK_EQ(slab_bytes(&s), BLOCKS * BLOCK);
    for (size_t i = 0; i < BLOCKS; i++) {
        CHECK_EQ(((uint8_t *)b[i])[BLOCK - 1], (uint8_t)i);
        slab_give(&s, b[i]);
    }
    CHECK_EQ(slab_used(&s), 0);
    CHECK(slab_take(&s) == b[BLOCKS - 1]); /* the last one given back is still warm */
    slab_deinit(&s);
    slab_init(&s, BLOCK, 1);
    slab_deinit(&s); /* never used */
}

static void trimming(void) {
    struct slab s;
    void *b[64];
    slab_init(&s, BLOCK, BLOCKS);
    for (size_t i = 0; i < 64; i++) memset(b[i] = slab_take(&s), 1, BLOCK);
    for (size_t i = 0; i < 64; i++) slab_give(&s, b[i]);
    CHECK(!slab_trim(&s, 8, 10)); /* all were needed since the last call */
    CHECK_EQ(slab_bytes(&s), 64 * BLOCK);
    CHECK(slab_trim(&s, 8, 10)); /* ten, and more to come */
    CHECK_EQ(slab_bytes(&s), 54 * BLOCK);
    for (size_t i = 0; i < 10; i++) CHECK_EQ(resident(b[i]), 0);
    for (size_t i = 10; i < 64; i++) CHECK_EQ(resident(b[i]), BLOCK / 4096);
    while (slab_trim(&s, 8, 10)) continue;
    CHECK_EQ(slab_bytes(&s), 8 * BLOCK);
    CHECK(!slab_trim(&s, 8, 10));
    CHECK_EQ(slab_bytes(&s), 8 * BLOCK);
    for (size_t i = 0; i < 64; i++) memset(b[i] = slab_take(&s), 2, BLOCK); /* cold ones serve as well */
    CHECK_EQ(slab_bytes(&s), 64 * BLOCK);
    for (size_t i = 0; i < 64; i++) slab_give(&s, b[i]);
    slab_deinit(&s);
}

/* What is needed now and then stays. */
static void needed_ones_stay(void) {
    struct slab s;
    void *b[32];
    slab_init(&s, BLOCK, BLOCKS);
    for (int round = 0; round < 5; round++) {
        for (size_t i = 0; i < 32; i++) CHECK((b[i] = slab_take(&s)) != NULL);
        for (size_t i = 0; i < 32; i++) slab_give(&s, b[i]);
        CHECK(!slab_trim(&s, 0, 100));
        CHECK_EQ(slab_bytes(&s), 32 * BLOCK);
    }
    CHECK(!slab_trim(&s, 0, 100));
    CHECK_EQ(slab_bytes(&s), 0);
    slab_deinit(&s);
}

static void random_use(void) {
    struct slab s;
    struct rng r = {.state = 7};
    void *held[BLOCKS];
    size_t n = 0;
    slab_init(&s, BLOCK, BLOCKS);
    for (int i = 0; i < 20000; i++) {
        uint64_t what = rng_below(&r, 100);
        if (what < 48) {
            void *p = slab_take(&s);
            CHECK_EQ(p == NULL, n == BLOCKS);
            if (!p) continue;
            memcpy((char *)p + rng_below(&r, BLOCK / 8) * 8, &p, sizeof p);
            memcpy(p, &p, sizeof p);
            held[n++] = p;
        } else if (what < 98 && n > 0) {
            size_t k = rng_below(&r, n);
            void *said;
            memcpy(&said, held[k], sizeof said);
            CHECK(said == held[k]); /* nobody else has it */
            slab_give(&s, held[k]);
            held[k] = held[--n];
        } else if (what >= 98) {
            (void)slab_trim(&s, rng_below(&r, 8), 1 + rng_below(&r, 16));
        }
        CHECK_EQ(slab_used(&s), n);
        CHECK(slab_bytes(&s) >= n * BLOCK && slab_bytes(&s) <= (size_t)BLOCKS * BLOCK);
    }
    slab_deinit(&s);
}

CHECK_MAIN(CASE(bounds), CASE(trimming), CASE(needed_ones_stay), CASE(random_use))
