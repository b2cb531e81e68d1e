/* test_map.c - both maps against a plain model under random put, get and delete, plus what callers rely on:
 * replacement takes the new key's bytes, iteration sees each entry once. */
#include "base/bytes.h"
#include "base/map.h"
#include "base/rng.h"
#include "lib/check.h"

enum { KEYS = 3000, STEPS = 200000 };

static void u64_basics(void) {
    struct map_u64 m;
    int a = 1, b = 2;
    map_u64_init(&m);
    CHECK(map_u64_get(&m, 7) == NULL);
    CHECK(map_u64_del(&m, 7) == NULL);
    CHECK_EQ(map_u64_put(&m, 0, &a), ERR_OK);
    CHECK_EQ(map_u64_put(&m, UINT64_MAX - 1, &b), ERR_OK);
    CHECK(map_u64_get(&m, 0) == &a);
    CHECK_EQ(map_u64_put(&m, 0, &b), ERR_OK);
    CHECK_EQ(m.count, 2);
    CHECK(map_u64_get(&m, 0) == &b);
    CHECK(map_u64_del(&m, 0) == &b);
    CHECK(map_u64_del(&m, 0) == NULL);
    CHECK_EQ(m.count, 1);
    map_u64_deinit(&m);
    CHECK_EQ(m.count, 0);
    CHECK(map_u64_get(&m, 1) == NULL);
    map_u64_deinit(&m);
}

/* Keys 64 apart so that some share homes; deletes keep the load changing. */
static void u64_like_the_model(void) {
    static char model[KEYS];
    static int values[KEYS];
    struct rng r = {11};
    struct map_u64 m;
    size_t count = 0;
    map_u64_init(&m);
    for (int step = 0; step < STEPS; step++) {
        size_t k = rng_below(&r, KEYS);
        uint64_t key = k * 64;
        switch (rng_below(&r, step / 20000 % 2 ? 4 : 3)) {
        case 0:
            CHECK_EQ(map_u64_put(&m, key, &values[k]), ERR_OK);
            count += !model[k];
            model[k] = 1;
            break;
        case 1: CHECK(map_u64_get(&m, key) == (model[k] ? &values[k] : NULL)); break;
        default:
            CHECK(map_u64_del(&m, key) == (model[k] ? &values[k] : NULL));
            count -= (size_t)model[k];
            model[k] = 0;
        }
        CHECK_EQ(m.count, count);
    }
    for (size_t k = 0; k < KEYS; k++) CHECK(map_u64_get(&m, k * 64) == (model[k] ? &values[k] : NULL));
    map_u64_deinit(&m);
}

static void u64_iterates_once(void) {
    static char seen[1000];
    struct map_u64 m;
    map_u64_init(&m);
    for (uint64_t k = 0; k < 1000; k++) CHECK_EQ(map_u64_put(&m, k, &seen[k]), ERR_OK);
    size_t at = 0, n = 0;
    uint64_t key;
    void *value;
    while (map_u64_next(&m, &at, &key, &value)) {
        CHECK(value == &seen[key]);
        CHECK_EQ(seen[key]++, 0);
        n++;
    }
    CHECK_EQ(n, 1000);
    map_u64_deinit(&m);
}

static void str_basics(void) {
    struct map_str m;
    int a = 1, b = 2;
    char first[] = "key", second[] = "key";
    map_str_init(&m, 99);
    CHECK(map_str_get(&m, SPAN_LIT("key")) == NULL);
    CHECK(map_str_del(&m, SPAN_LIT("key")) == NULL);
    CHECK_EQ(map_str_put(&m, span_str(first), &a), ERR_OK);
    CHECK_EQ(map_str_put(&m, SPAN_EMPTY, &b), ERR_OK);
    CHECK(map_str_get(&m, SPAN_LIT("")) == &b);
    CHECK(map_str_get(&m, SPAN_LIT("ke")) == NULL);
    CHECK_EQ(map_str_put(&m, span_str(second), &b), ERR_OK);
    memset(first, 'x', 3); /* replaced: the old key's bytes may go */
    CHECK(map_str_get(&m, SPAN_LIT("key")) == &b);
    CHECK_EQ(m.count, 2);
    CHECK(map_str_del(&m, SPAN_LIT("key")) == &b);
    CHECK(map_str_get(&m, SPAN_LIT("key")) == NULL);
    map_str_deinit(&m);
    CHECK_EQ(m.seed, 99);
    CHECK_EQ(map_str_put(&m, SPAN_LIT("again"), &a), ERR_OK);
    map_str_deinit(&m);
}

static void str_like_the_model(void) {
    static char names[KEYS][24];
    static char model[KEYS];
    struct rng r = {12};
    struct map_str m;
    size_t count = 0;
    map_str_init(&m, 1);
    for (int k = 0; k < KEYS; k++) snprintf(names[k], sizeof names[k], "subject.%d.%d", k % 10, k);
    for (int step = 0; step < STEPS; step++) {
        size_t k = rng_below(&r, KEYS);
        struct span key = span_str(names[k]);
        switch (rng_below(&r, step / 20000 % 2 ? 4 : 3)) {
        case 0:
            CHECK_EQ(map_str_put(&m, key, names[k]), ERR_OK);
            count += !model[k];
            model[k] = 1;
            break;
        case 1: CHECK(map_str_get(&m, key) == (model[k] ? names[k] : NULL)); break;
        default:
            CHECK(map_str_del(&m, key) == (model[k] ? names[k] : NULL));
            count -= (size_t)model[k];
            model[k] = 0;
        }
        CHECK_EQ(m.count, count);
    }
    size_t at = 0, n = 0;
    struct span key;
    void *value;
    while (map_str_next(&m, &at, &key, &value)) {
        CHECK(key.p == value);
        CHECK(model[((char *)value - names[0]) / (ptrdiff_t)sizeof names[0]]);
        n++;
    }
    CHECK_EQ(n, count);
    map_str_deinit(&m);
}

CHECK_MAIN(CASE(u64_basics), CASE(u64_like_the_model), CASE(u64_iterates_once), CASE(str_basics),
           CASE(str_like_the_model))
