/* disk.h - what a durable write costs in a folder: the limit every durable figure is read against. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "stats/hist.h"

enum { DISK_DEPTH_MAX = 16 };

struct disk_probe {
    bool valid, direct; /* direct: past the page cache; file systems that refuse it are measured through it */
    double per_second, bytes_per_second;
    struct hist latency;
};
/* `depth` threads write blocks of `size` bytes durably (O_DSYNC) over a file of their own, written once
 * before, for duration_ns. The files are removed. */
void disk_probe(struct disk_probe *p, const char *folder, uint32_t size, unsigned depth,
                uint64_t duration_ns);
