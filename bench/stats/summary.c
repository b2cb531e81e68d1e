/* summary.c - see summary.h. */
#include "stats/summary.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VALUES_MAX = 256 };

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct summary summary_of(const double *values, size_t count) {
    double sorted[VALUES_MAX];
    struct summary s = {0, NAN, NAN, NAN};
    for (size_t i = 0; i < count && s.count < VALUES_MAX; i++) {
        if (!isnan(values[i])) sorted[s.count++] = values[i];
    }
    if (s.count == 0) return s;
    qsort(sorted, s.count, sizeof sorted[0], by_value);
    size_t half = s.count / 2;
    s.median = s.count % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
    s.min = sorted[0];
    s.max = sorted[s.count - 1];
    return s;
}

static double divide(double b, double a) { return a != 0 ? b / a : NAN; }

struct ratio ratio_of(const struct summary *a, const struct summary *b) {
    struct ratio r = {NAN, NAN, NAN, VERDICT_NONE};
    if (a->count == 0 || b->count == 0) return r;
    r.ratio = divide(b->median, a->median);
    r.min = divide(b->min, a->max);
    r.max = divide(b->max, a->min);
    if (a->count < 2 || b->count < 2) return r;
    r.verdict = b->max < a->min ? VERDICT_LOWER : b->min > a->max ? VERDICT_HIGHER : VERDICT_OVERLAP;
    return r;
}

const char *verdict_text(enum verdict v) {
    switch (v) {
    case VERDICT_NONE: return "too few rounds for a verdict";
    case VERDICT_OVERLAP: return "no difference shown";
    case VERDICT_LOWER: return "lower";
    case VERDICT_HIGHER: return "higher";
    }
    return "";
}

const char *ratio_text(const struct ratio *r, char *out, size_t room) {
    if (isnan(r->ratio)) {
        snprintf(out, room, "not measured");
    } else if (r->verdict == VERDICT_NONE) {
        snprintf(out, room, "%.2fx", r->ratio);
    } else {
        snprintf(out, room, "%.2fx [%.2f-%.2f], %s", r->ratio, r->min, r->max, verdict_text(r->verdict));
    }
    return out;
}
