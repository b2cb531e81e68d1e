/* hist.h - a histogram of durations in fixed memory: log-linear cells, as in HdrHistogram. Below 256 ns every
 * value has its own cell; above, each doubling is cut into 128, so a value read back is at most 0.8 % above
 * the one recorded. What lies beyond four hours counts in the last cell; minimum and maximum are kept
 * exactly. No allocation, no locks: one histogram a thread, merged at the end. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HIST_SUB = 128, HIST_OCTAVES = 37, HIST_CELLS = HIST_SUB * (HIST_OCTAVES + 1) };

struct hist {
    uint64_t total, min, max;
    double sum;
    uint64_t count[HIST_CELLS];
};

void hist_init(struct hist *h);
void hist_add_many(struct hist *h, uint64_t ns, uint64_t times);
static inline void hist_add(struct hist *h, uint64_t ns) { hist_add_many(h, ns, 1); }
void hist_merge(struct hist *into, const struct hist *from);

/* The cell a value falls into, and the smallest and largest value of a cell. */
size_t hist_cell(uint64_t ns);
uint64_t hist_cell_low(size_t cell);
uint64_t hist_cell_high(size_t cell);

/* The smallest value such that `percent` of what was recorded is not above it, rounded up to its cell's end
 * and never above the maximum. 0 when nothing was recorded. */
uint64_t hist_at(const struct hist *h, double percent);
double hist_mean(const struct hist *h);
