/* hist.c - see hist.h. */
#include "stats/hist.h"

#include <math.h>
#include <string.h>

#include "base/must.h"

void hist_init(struct hist *h) {
    memset(h, 0, sizeof *h);
    h->min = UINT64_MAX;
}

size_t hist_cell(uint64_t ns) {
    if (ns < 2 * HIST_SUB) return (size_t)ns;
    unsigned shift = 63u - (unsigned)__builtin_clzll(ns) - 7u;
    size_t cell = (size_t)shift * HIST_SUB + (size_t)(ns >> shift);
    return cell < HIST_CELLS ? cell : HIST_CELLS - 1;
}

uint64_t hist_cell_low(size_t cell) {
    must(cell < HIST_CELLS);
    if (cell < 2 * HIST_SUB) return cell;
    unsigned shift = (unsigned)(cell / HIST_SUB - 1);
    return (uint64_t)(cell - (size_t)shift * HIST_SUB) << shift;
}

uint64_t hist_cell_high(size_t cell) {
    if (cell < 2 * HIST_SUB) return cell;
    unsigned shift = (unsigned)(cell / HIST_SUB - 1);
    return hist_cell_low(cell) + ((uint64_t)1 << shift) - 1;
}

void hist_add_many(struct hist *h, uint64_t ns, uint64_t times) {
    if (times == 0) return;
    h->count[hist_cell(ns)] += times;
    h->total += times;
    h->sum += (double)ns * (double)times;
    if (ns < h->min) h->min = ns;
    if (ns > h->max) h->max = ns;
}

void hist_merge(struct hist *into, const struct hist *from) {
    for (size_t i = 0; i < HIST_CELLS; i++) into->count[i] += from->count[i];
    into->total += from->total;
    into->sum += from->sum;
    if (from->min < into->min) into->min = from->min;
    if (from->max > into->max) into->max = from->max;
}

uint64_t hist_at(const struct hist *h, double percent) {
    must(percent >= 0 && percent <= 100);
    if (h->total == 0) return 0;
    /* The small amount keeps 99.9 % of 1000 at 999 although the product is not exact. */
    uint64_t rank = (uint64_t)ceil(percent / 100 * (double)h->total - 1e-6);
    if (rank == 0) return h->min;
    uint64_t seen = 0;
    for (size_t i = 0; i < HIST_CELLS; i++) {
        seen += h->count[i];
        if (seen < rank) continue;
        uint64_t high = hist_cell_high(i);
        return i == HIST_CELLS - 1 || high > h->max ? h->max : high;
    }
    return h->max;
}

double hist_mean(const struct hist *h) { return h->total ? h->sum / (double)h->total : 0; }
