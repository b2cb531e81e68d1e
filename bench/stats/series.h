/* series.h - latency over time: the run cut into equal slots, each with its own histogram. A thread has its
 * own, merged at the end. What falls behind the last slot counts in the last. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "stats/hist.h"

enum { SERIES_SLOTS = 60 };

struct series {
    uint64_t begin_ns, slot_ns;
    struct hist *slots[SERIES_SLOTS]; /* NULL until something falls into it */
};

void series_init(struct series *s, uint64_t begin_ns, uint64_t slot_ns);
void series_deinit(struct series *s);
/* The histogram of the slot `at_ns` lies in; never NULL, valid until series_deinit(). */
struct hist *series_at(struct series *s, uint64_t at_ns);
/* Both must have the same begin and slot. */
void series_merge(struct series *into, const struct series *from);
