/* mem.h - where memory comes from. Address space is reserved at start and committed as used; what is used is
 * counted against a bound. The data path takes from a pool or a region, never from malloc. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* What a region stands on, best first. */
enum mem_pages { MEM_HUGETLB, MEM_THP, MEM_PLAIN };

/* A reserved range of address space, committed in steps of 2 MiB. */
struct region {
    uint8_t *p;
    size_t reserved, committed;
    enum mem_pages pages;
};
/* Reserves (PROT_NONE) `reserved` bytes, rounded up to 2 MiB and aligned to it. */
enum err region_open(struct region *r, size_t reserved) MUST_USE;
/* Makes the first `want` bytes usable: MAP_HUGETLB first when huge is set, else MADV_HUGEPAGE, else plain
 * pages. */
enum err region_commit(struct region *r, size_t want, bool huge) MUST_USE;
/* Gives the pages in [from, from + n) back to the kernel; the range stays usable and reads as zero. */
void region_release(struct region *r, size_t from, size_t n);
void region_close(struct region *r);

/* Huge pages this machine gives: probes once by mapping one; the text says how to get them when it does not.
 */
enum mem_pages mem_probe_pages(const char **how_to_get);

/* Fixed-size objects from chunks of chunk_count; grows up to limit_count, never shrinks until deinit. Not
 * thread-safe. */
struct pool {
    void *free_list;
    void **chunks;
    size_t chunks_len, object_size, chunk_count, count, limit_count, used;
};
void pool_init(struct pool *p, size_t object_size, size_t chunk_count, size_t limit_count);
/* NULL when the limit is reached or memory is out. The object's bytes are not cleared. */
void *pool_take(struct pool *p);
void pool_give(struct pool *p, void *object);
void pool_deinit(struct pool *p);
