/* test_missing.c - ranges of sequences, against a plain array of flags. */
#include "stream/missing.h"

#include "base/rng.h"
#include "lib/check.h"

enum { SPACE = 200 };

static void check_same(const struct missing *m, const bool flags[SPACE + 2]) {
    bool seen[SPACE + 2] = {false};
    for (size_t i = 0; i < m->len; i++) {
        CHECK(m->at[i].from <= m->at[i].to);
        if (i) CHECK(m->at[i].from > m->at[i - 1].to + 1); /* else it would be one range */
        for (uint64_t s = m->at[i].from; s <= m->at[i].to; s++) seen[s] = true;
    }
    CHECK_MEM(seen, sizeof seen, flags, sizeof(bool) * (SPACE + 2));
}

static void like_flags(void) {
    struct rng r = {7};
    for (int round = 0; round < 300; round++) {
        struct missing m = {0};
        bool flags[SPACE + 2] = {false};
        for (int i = 0; i < 60; i++) {
            uint64_t from = 1 + rng_below(&r, SPACE), to = from + rng_below(&r, i % 7 ? 5 : 60);
            bool add = rng_below(&r, 3) > 0;
            if (to > SPACE) to = SPACE;
            (add ? missing_add : missing_remove)(&m, from, to);
            for (uint64_t s = from; s <= to; s++) flags[s] = add;
            check_same(&m, flags);
        }
        missing_deinit(&m);
    }
}

static void edges(void) {
    struct missing m = {0};
    missing_add(&m, 5, 4); /* nothing */
    missing_remove(&m, 1, 10);
    CHECK_EQ(m.len, 0);
    missing_add(&m, 1, 1);
    missing_add(&m, UINT64_MAX - 3, UINT64_MAX - 2);
    CHECK_EQ(m.len, 2);
    missing_remove(&m, 1, UINT64_MAX - 3);
    CHECK_EQ(m.len, 1);
    CHECK(m.at[0].from == UINT64_MAX - 2);
    missing_clear(&m);
    CHECK_EQ(m.len, 0);
    missing_deinit(&m);
    missing_add(NULL, 1, 2); /* nobody asks */
    missing_remove(NULL, 1, 2);
    missing_clear(NULL);
    missing_deinit(NULL);
}

static void bounded(void) {
    struct missing m = {0};
    for (uint64_t i = 1; i <= 70000; i++) missing_add(&m, 2 * i, 2 * i);
    CHECK_EQ(m.len, 65536);
    CHECK(m.more);
    missing_deinit(&m);
}

CHECK_MAIN(CASE(like_flags), CASE(edges), CASE(bounded))
