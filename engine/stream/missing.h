/* missing.h - which sequences of a stream should be there and were not found, as ranges: kept while a store
 * is verified, otherwise nobody asks (all functions take NULL). Bounded; what has no room is said by `more`.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct missing_range {
    uint64_t from, to;
};
struct missing {
    struct missing_range *at; /* ascending, neither overlapping nor touching */
    size_t len, cap;
    bool more;
};

void missing_deinit(struct missing *m);
void missing_clear(struct missing *m);
/* Nothing when from > to. */
void missing_add(struct missing *m, uint64_t from, uint64_t to);
void missing_remove(struct missing *m, uint64_t from, uint64_t to);
