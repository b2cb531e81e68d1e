/* test_bench_stats.c - the benchmark's histogram against sorted values, its series, its verdicts. */
#include <math.h>

#include "base/rng.h"
#include "lib/check.h"
#include "stats/series.h"
#include "stats/summary.h"

static struct hist h, other;

static void cells_cover_every_value_once(void) {
    CHECK_EQ(hist_cell_low(0), 0);
    for (size_t i = 1; i < HIST_CELLS; i++) CHECK_EQ(hist_cell_low(i), hist_cell_high(i - 1) + 1);
    for (size_t i = 0; i < HIST_CELLS; i++) {
        CHECK_EQ(hist_cell(hist_cell_low(i)), i);
        CHECK_EQ(hist_cell(hist_cell_high(i)), i);
    }
    CHECK_EQ(hist_cell(UINT64_MAX), HIST_CELLS - 1);
    CHECK(hist_cell_high(HIST_CELLS - 1) > 4ull * 3600 * 1000000000);
}

static void a_cell_is_narrow(void) {
    for (size_t i = 256; i < HIST_CELLS; i++) {
        double low = (double)hist_cell_low(i), high = (double)hist_cell_high(i);
        CHECK((high - low) / low < 0.0079);
    }
}

static void empty_histograms_answer(void) {
    hist_init(&h);
    CHECK_EQ(hist_at(&h, 50), 0);
    CHECK_EQ(hist_at(&h, 100), 0);
    CHECK(hist_mean(&h) == 0);
    hist_add_many(&h, 7, 0);
    CHECK_EQ(h.total, 0);
    CHECK(h.min == UINT64_MAX);
}

static void small_values_are_exact(void) {
    hist_init(&h);
    for (uint64_t v = 1; v <= 200; v++) hist_add(&h, v);
    CHECK_EQ(hist_at(&h, 0), 1);
    CHECK_EQ(hist_at(&h, 50), 100);
    CHECK_EQ(hist_at(&h, 99), 198);
    CHECK_EQ(hist_at(&h, 99.5), 199);
    CHECK_EQ(hist_at(&h, 100), 200);
    CHECK(hist_mean(&h) == 100.5);
}

static void the_rank_is_the_one_asked_for(void) {
    hist_init(&h);
    hist_add_many(&h, 10, 999);
    hist_add(&h, 200);
    CHECK_EQ(hist_at(&h, 99.9), 10);
    CHECK_EQ(hist_at(&h, 99.91), 200);
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void percentiles_follow_sorted_values(void) {
    enum { N = 20000 };
    static uint64_t v[N];
    struct rng rng = {42};
    static const double percents[] = {1, 10, 25, 50, 75, 90, 99, 99.9, 99.99, 100};
    for (int round = 0; round < 20; round++) {
        hist_init(&h);
        for (int i = 0; i < N; i++) {
            v[i] = rng_next(&rng) >> (24 + rng_below(&rng, 30));
            hist_add(&h, v[i]);
        }
        qsort(v, N, sizeof v[0], by_value);
        for (size_t k = 0; k < sizeof percents / sizeof percents[0]; k++) {
            size_t rank = (size_t)ceil(percents[k] / 100 * N - 1e-6);
            uint64_t want = v[rank - 1], got = hist_at(&h, percents[k]);
            CHECK(got >= want && (double)got <= (double)want * 1.0079 + 1);
        }
        CHECK_EQ(hist_at(&h, 100), v[N - 1]);
        CHECK_EQ(h.min, v[0]);
    }
}

static void merged_is_as_if_recorded_in_one(void) {
    static struct hist both;
    struct rng rng = {7};
    hist_init(&h);
    hist_init(&other);
    hist_init(&both);
    for (int i = 0; i < 5000; i++) {
        uint64_t ns = rng_below(&rng, 1u << 30);
        hist_add(i % 3 ? &h : &other, ns);
        hist_add(&both, ns);
    }
    hist_merge(&h, &other);
    CHECK_EQ(h.total, both.total);
    CHECK_EQ(h.min, both.min);
    CHECK_EQ(h.max, both.max);
    CHECK(memcmp(h.count, both.count, sizeof h.count) == 0);
}

static void beyond_the_last_cell_counts_in_it(void) {
    hist_init(&h);
    hist_add(&h, UINT64_MAX - 1);
    CHECK_EQ(h.count[HIST_CELLS - 1], 1);
    CHECK(hist_at(&h, 50) == UINT64_MAX - 1);
}

static void series_cut_time_into_slots(void) {
    struct series a, b;
    series_init(&a, 1000, 10);
    series_init(&b, 1000, 10);
    hist_add(series_at(&a, 1000), 5);
    hist_add(series_at(&a, 1009), 6);
    hist_add(series_at(&a, 1010), 7);
    hist_add(series_at(&a, 5), 8);
    hist_add(series_at(&b, 1000000), 9);
    series_merge(&a, &b);
    CHECK_EQ(a.slots[0]->total, 3);
    CHECK_EQ(a.slots[1]->total, 1);
    CHECK(a.slots[2] == NULL);
    CHECK_EQ(a.slots[SERIES_SLOTS - 1]->max, 9);
    series_deinit(&a);
    series_deinit(&b);
}

static void medians_and_intervals(void) {
    static const double odd[] = {3, 1, 2}, even[] = {4, 1, 3, 2}, holes[] = {NAN, 5, NAN};
    struct summary s = summary_of(odd, 3);
    CHECK(s.count == 3 && s.median == 2 && s.min == 1 && s.max == 3);
    s = summary_of(even, 4);
    CHECK(s.median == 2.5);
    s = summary_of(holes, 3);
    CHECK(s.count == 1 && s.median == 5);
    s = summary_of(holes, 1);
    CHECK(s.count == 0 && isnan(s.median));
    s = summary_of(NULL, 0);
    CHECK(s.count == 0);
}

static enum verdict verdict(double a_min, double a_max, double b_min, double b_max) {
    double a[] = {a_min, a_max}, b[] = {b_min, b_max};
    struct summary sa = summary_of(a, 2), sb = summary_of(b, 2);
    return ratio_of(&sa, &sb).verdict;
}

static void verdicts_only_where_intervals_do_not_touch(void) {
    CHECK_EQ(verdict(1, 2, 3, 4), VERDICT_HIGHER);
    CHECK_EQ(verdict(3, 4, 1, 2), VERDICT_LOWER);
    CHECK_EQ(verdict(1, 3, 2, 4), VERDICT_OVERLAP);
    CHECK_EQ(verdict(2, 4, 1, 3), VERDICT_OVERLAP);
    CHECK_EQ(verdict(1, 4, 2, 3), VERDICT_OVERLAP);
    CHECK_EQ(verdict(1, 2, 2, 3), VERDICT_OVERLAP);
    CHECK_EQ(verdict(2, 3, 1, 2), VERDICT_OVERLAP);
}

static void one_round_is_no_verdict(void) {
    double one = 1, many[] = {5, 6};
    struct summary a = summary_of(&one, 1), b = summary_of(many, 2), none = summary_of(NULL, 0);
    CHECK_EQ(ratio_of(&a, &b).verdict, VERDICT_NONE);
    CHECK_EQ(ratio_of(&b, &a).verdict, VERDICT_NONE);
    CHECK(ratio_of(&a, &b).ratio == 5.5);
    CHECK(isnan(ratio_of(&none, &b).ratio));
    CHECK_EQ(ratio_of(&none, &b).verdict, VERDICT_NONE);
}

static void ratios_have_their_widest_ends(void) {
    double a[] = {2, 4, 3}, b[] = {6, 12, 9}, zero[] = {0, 0};
    char text[100];
    struct summary sa = summary_of(a, 3), sb = summary_of(b, 3), sz = summary_of(zero, 2);
    struct ratio r = ratio_of(&sa, &sb);
    CHECK(r.ratio == 3 && r.min == 1.5 && r.max == 6);
    CHECK_STR(ratio_text(&r, text, sizeof text), "3.00x [1.50-6.00], higher");
    r = ratio_of(&sz, &sb);
    CHECK(isnan(r.ratio));
    CHECK_STR(ratio_text(&r, text, sizeof text), "not measured");
}

CHECK_MAIN(CASE(cells_cover_every_value_once), CASE(a_cell_is_narrow), CASE(empty_histograms_answer),
           CASE(small_values_are_exact), CASE(the_rank_is_the_one_asked_for),
           CASE(percentiles_follow_sorted_values), CASE(merged_is_as_if_recorded_in_one),
           CASE(beyond_the_last_cell_counts_in_it), CASE(series_cut_time_into_slots),
           CASE(medians_and_intervals), CASE(verdicts_only_where_intervals_do_not_touch),
           CASE(one_round_is_no_verdict), CASE(ratios_have_their_widest_ends))
