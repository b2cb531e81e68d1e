/* The index and the subjects against naive arrays: pages that grow, pack and unpack, names that come and go.
 */
#include "base/bytes.h"
#include "base/rng.h"
#include "lib/check.h"
#include "stream/index_core.h"
#include "stream/subjects.h"

enum { SPACE = 20000 };

static void compare(const struct index *x, const uint64_t *loc, uint64_t n) {
    uint64_t count = 0;
    for (uint64_t seq = 1; seq < n; seq++) {
        const struct index_entry *e = index_get(x, seq);
        CHECK_EQ(e ? e->loc : 0, loc[seq]);
        count += loc[seq] != 0;
    }
    CHECK_EQ(x->count, count);
}

static uint64_t naive_next(const uint64_t *loc, uint64_t from, uint64_t to) {
    for (uint64_t i = from; i <= to && i < SPACE; i++)
        if (loc[i]) return i;
    return 0;
}

static uint64_t naive_before(const uint64_t *loc, uint64_t from, uint64_t to) {
    for (uint64_t i = to < SPACE ? to : SPACE - 1; i >= from && i > 0; i--)
        if (loc[i]) return i;
    return 0;
}

/* Few subjects near the beginning of the values, many beyond. */
static uint32_t subject_of(uint64_t loc) { return (uint32_t)(loc % (loc & 64 ? 5 : 2000)); }

static void search_subject(const struct index *x, const uint64_t *loc, uint64_t a, uint64_t b,
                           struct rng *r) {
    uint32_t id = (uint32_t)rng_below(r, rng_below(r, 2) ? 5 : 2000);
    uint64_t first = 0, last = 0, n = 0, at = 0;
    for (uint64_t i = a; i <= b; i++) {
        n += loc[i] != 0;
        if (!loc[i] || subject_of(loc[i]) != id) continue;
        if (!first) first = i;
        last = i;
    }
    CHECK_EQ(index_find(x, id, a, b), first);
    CHECK_EQ(index_find_back(x, id, a, b), last);
    CHECK_EQ(index_count(x, a, b), n);
    CHECK_EQ(index_has(x, a), loc[a] != 0);
    int64_t ts = (int64_t)rng_below(r, SPACE * 3);
    for (uint64_t i = 1; i < SPACE && !at; i++)
        if (loc[i] && (int64_t)i * 3 >= ts) at = i;
    CHECK_EQ(index_seq_at(x, ts), at);
}

static void search(const struct index *x, const uint64_t *loc, struct rng *r) {
    uint64_t a = 1 + rng_below(r, SPACE - 1), b = a + rng_below(r, SPACE - a);
    CHECK_EQ(index_next(x, a, b), naive_next(loc, a, b));
    CHECK_EQ(index_before(x, a, b), naive_before(loc, a, b));
    uint64_t run = 0;
    while (a + run <= b && loc[a + run]) run++;
    CHECK_EQ(index_run(x, a, b), run);
    if (rng_below(r, 8) == 0) search_subject(x, loc, a, b, r);
}

static void put(struct index *x, uint64_t *loc, uint64_t seq, uint64_t value) {
    CHECK_EQ(index_reserve(x, seq), ERR_OK);
    index_set(x, seq,
              &(struct index_entry){.loc = value, .subject = subject_of(value), .ts = (int64_t)seq * 3});
    loc[seq] = value;
}

/* Appends, clears from the front, the back and anywhere, and puts old ones back as compaction in recovery
 * does. */
static void index_random(void) {
    for (uint64_t seed = 0; seed < 12; seed++) {
        struct rng r = {seed};
        static uint64_t loc[SPACE];
        memset(loc, 0, sizeof loc);
        struct index x;
        index_init(&x);
        uint64_t last = 1 + rng_below(&r, 3000);
        uint64_t keep = 1 + rng_below(&r, 40);
        for (int i = 0; i < 40000 && last + 2 < SPACE; i++) {
            uint64_t op = rng_below(&r, 100), seq = 1 + rng_below(&r, last);
            if (op < 45)
                put(&x, loc, ++last, rng_next(&r) | 1);
            else if (op < 46)
                last += rng_below(&r, 30);
            else if (op < 47)
                put(&x, loc, seq, rng_next(&r) | 1);
            else if (op < 60)
                search(&x, loc, &r);
            else if (loc[seq] && seq % keep != 0)
                index_clear(&x, seq), loc[seq] = 0;
            if (i % 8000 == 0) compare(&x, loc, SPACE);
        }
        compare(&x, loc, SPACE);
        for (uint64_t seq = naive_next(loc, 1, SPACE); seq; seq = naive_next(loc, seq, SPACE))
            index_clear(&x, seq), loc[seq] = 0;
        CHECK_EQ(x.count, 0);
        CHECK_EQ(x.pages, 0);
        CHECK_EQ(x.len, 0);
        index_deinit(&x);
    }
}

/* One message kept in each page of many costs little: the pages are packed. */
static void index_sparse_is_small(void) {
    struct index x;
    index_init(&x);
    for (uint64_t seq = 1; seq <= 200 * INDEX_PAGE; seq++) {
        CHECK_EQ(index_reserve(&x, seq), ERR_OK);
        index_set(&x, seq, &(struct index_entry){.loc = seq});
    }
    size_t full = index_memory(&x);
    for (uint64_t seq = 1; seq <= 200 * INDEX_PAGE; seq++)
        if (seq % INDEX_PAGE != 7) index_clear(&x, seq);
    CHECK_EQ(x.count, 200);
    CHECK(index_memory(&x) < full / 30);
    for (uint64_t page = 0; page < 200; page++)
        CHECK_EQ(index_get(&x, page * INDEX_PAGE + 7)->loc, page * INDEX_PAGE + 7);
    index_deinit(&x);
}

/* Pages that cannot have a subject are passed over, and it costs less than a byte a message to know. */
static void index_filters_are_small(void) {
    struct index x;
    index_init(&x);
    for (uint64_t seq = 1; seq <= 100 * INDEX_PAGE; seq++) {
        CHECK_EQ(index_reserve(&x, seq), ERR_OK);
        index_set(&x, seq, &(struct index_entry){.loc = seq, .subject = (uint32_t)seq});
    }
    CHECK(index_memory(&x) < 100 * INDEX_PAGE * 25);
    size_t maybe = 0;
    for (uint64_t page = 0; page < 90; page++)
        maybe += filter_has(&index_page_of(&x, page)->filter, 99 * INDEX_PAGE);
    CHECK(maybe < 30);
    for (uint64_t seq = 1; seq <= 100 * INDEX_PAGE; seq++) {
        CHECK(filter_has(&index_page_of(&x, seq / INDEX_PAGE)->filter, (uint32_t)seq));
        CHECK_EQ(index_find(&x, (uint32_t)seq, 1, UINT64_MAX), seq);
    }
    index_deinit(&x);
}

static void index_small_stream_is_small(void) {
    struct index x;
    index_init(&x);
    for (uint64_t seq = 1; seq <= 10; seq++) {
        CHECK_EQ(index_reserve(&x, seq), ERR_OK);
        index_set(&x, seq, &(struct index_entry){.loc = 1});
    }
    CHECK(index_memory(&x) <= 1024);
    index_deinit(&x);
}

static void index_far_apart(void) {
    struct index x;
    index_init(&x);
    uint64_t far[] = {1, 1ull << 40, 1ull << 62, UINT64_MAX - 2};
    for (size_t i = 0; i < 4; i++) {
        CHECK_EQ(index_reserve(&x, far[i]), ERR_OK);
        index_set(&x, far[i], &(struct index_entry){.loc = i + 1});
    }
    CHECK_EQ(index_next(&x, 2, UINT64_MAX), 1ull << 40);
    CHECK_EQ(index_before(&x, 1, (1ull << 62) - 1), 1ull << 40);
    CHECK_EQ(index_next(&x, (1ull << 62) + 1, UINT64_MAX), UINT64_MAX - 2);
    index_deinit(&x);
}

/* ------------------------------------------------------------------------------------------------ subjects
 */

/* Which messages a subject has, listed or not, against a bitmap of them. */
static void subjects_seqs(void) {
    enum { LAST = 3000 };
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct rng r = {seed};
        struct subjects s;
        subjects_init(&s, 1);
        s.listed = seed % 2;
        static bool has[LAST];
        memset(has, 0, sizeof has);
        uint64_t most = 1 + rng_below(&r, 40), n = 0, last = 0;
        uint32_t id = SUBJECT_NONE;
        for (int i = 0; i < 4000; i++) {
            uint64_t seq = rng_below(&r, 9) && last + 9 < LAST ? last + 1 + rng_below(&r, 4)
                                                               : 1 + rng_below(&r, last + 1);
            if (n < most && !has[seq]) {
                CHECK_EQ(subjects_reserve(&s, SPAN_LIT("a")), ERR_OK);
                CHECK_EQ(subjects_add(&s, SPAN_LIT("a"), &id), ERR_OK);
                subjects_put(&s, id, seq);
                has[seq] = true;
                n++;
            } else if (n > 0) {
                for (seq = rng_below(&r, 2) ? 1 : seq; seq < LAST && !has[seq]; seq++) {
                }
                if (seq >= LAST) continue;
                has[seq] = false;
                n--;
                for (last = LAST - 1; last > 0 && !has[last]; last--) {
                }
                if (!subjects_take(&s, id, seq)) subjects_set_last(&s, id, last);
                if (n == 0) subjects_drop(&s, id);
            }
            uint64_t first = 0;
            last = 0;
            for (seq = 1; seq < LAST; seq++) {
                if (!has[seq]) continue;
                if (!first) first = seq;
                last = seq;
            }
            CHECK_EQ(s.count, n > 0);
            if (n == 0) continue;
            const struct subject *t = subjects_at(&s, id);
            CHECK_EQ(t->count, n);
            CHECK_EQ(t->last, last);
            CHECK(t->exact ? t->first == first : t->first <= first && !s.listed);
            if (!s.listed) continue;
            uint64_t at = 1 + rng_below(&r, LAST - 1), up = at, down = at;
            while (up < LAST && !has[up]) up++;
            while (down > 0 && !has[down]) down--;
            CHECK_EQ(subjects_seq_from(&s, id, at), up < LAST ? up : 0);
            CHECK_EQ(subjects_seq_to(&s, id, at), down);
        }
        subjects_deinit(&s);
    }
}

/* With a name of 30 bytes and its slot in the table a subject takes 100 bytes at most. */
static void subjects_are_small(void) {
    struct subjects s;
    subjects_init(&s, 1);
    char buf[64];
    for (uint32_t i = 0; i < 300000; i++) {
        uint32_t id;
        int n = snprintf(buf, sizeof buf, "orders.eu.customer.%011u", i);
        CHECK_EQ(n, 30);
        CHECK_EQ(subjects_add(&s, span_of(buf, 30), &id), ERR_OK);
        subjects_put(&s, id, i + 1);
        if (i > 2000 && i % 4096 == 0) CHECK(subjects_memory(&s) <= (i + 1) * 100ull);
    }
    subjects_deinit(&s);
}

enum { NAMES = 700 };

static struct span name_of(char *buf, uint64_t i) {
    return span_of(buf, (size_t)sprintf(buf, "a.%" PRIu64 ".%s", i, i % 3 ? "x" : "longer-name"));
}

static void subjects_random(void) {
    struct rng r = {7};
    struct subjects s;
    subjects_init(&s, 99);
    uint32_t ids[NAMES], gens[NAMES];
    memset(ids, 0xff, sizeof ids);
    uint32_t count = 0, gen_last = 0;
    char buf[64], other[64];
    for (int i = 0; i < 60000; i++) {
        uint64_t n = rng_below(&r, NAMES);
        struct span name = name_of(buf, n);
        CHECK_EQ(subjects_find(&s, name), ids[n]);
        if (ids[n] == SUBJECT_NONE && rng_below(&r, 3)) {
            CHECK_EQ(subjects_add(&s, name, &ids[n]), ERR_OK);
            gens[n] = subjects_at(&s, ids[n])->gen;
            CHECK(gens[n] > gen_last);
            gen_last = gens[n];
            count++;
        } else if (ids[n] != SUBJECT_NONE && rng_below(&r, 2)) {
            subjects_drop(&s, ids[n]);
            ids[n] = SUBJECT_NONE;
            count--;
        }
        CHECK_EQ(s.count, count);
        n = rng_below(&r, NAMES);
        if (ids[n] == SUBJECT_NONE) continue;
        CHECK(span_eq(subjects_name(&s, ids[n]), name_of(other, n)));
        CHECK_EQ(subjects_at(&s, ids[n])->gen, gens[n]);
    }
    subjects_deinit(&s);
}

/* Names of dropped subjects give their room back. */
static void subjects_churn_is_bounded(void) {
    struct subjects s;
    subjects_init(&s, 1);
    char buf[64];
    for (uint64_t i = 0; i < 100000; i++) {
        uint32_t id;
        CHECK_EQ(subjects_add(&s, name_of(buf, i), &id), ERR_OK);
        if (i >= 10) subjects_drop(&s, subjects_find(&s, name_of(buf, i - 10)));
    }
    CHECK(subjects_memory(&s) <= 8192);
    subjects_deinit(&s);
}

static void subjects_filters(void) {
    struct subjects s;
    subjects_init(&s, 1);
    const char *names[] = {"a.b", "a.c", "a.b.c", "b"};
    for (size_t i = 0; i < 4; i++) {
        uint32_t id;
        CHECK_EQ(subjects_add(&s, span_str(names[i]), &id), ERR_OK);
    }
    const struct {
        const char *filter;
        int want;
    } table[] = {{"", 4}, {">", 4}, {"a.*", 2}, {"a.>", 3}, {"a.b", 1}, {"c", 0}, {"*", 1}, {"*.*.c", 1}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        uint32_t at = 0;
        int n = 0;
        while (subjects_next(&s, span_str(table[i].filter), &at) != SUBJECT_NONE) n++;
        CHECK_EQ(n, table[i].want);
    }
    subjects_deinit(&s);
}

CHECK_MAIN(CASE(index_random), CASE(index_sparse_is_small), CASE(index_small_stream_is_small),
           CASE(index_filters_are_small), CASE(index_far_apart), CASE(subjects_random), CASE(subjects_seqs),
           CASE(subjects_are_small), CASE(subjects_churn_is_bounded), CASE(subjects_filters))
