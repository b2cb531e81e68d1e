/* slab.h - blocks of equal size in reserved address space, which go back to the kernel when they were not
 * needed for a while. For what swells and shrinks with the traffic; what only grows is a pool's (mem.h). Not
 * thread-safe. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct slab {
    uint8_t *p; /* NULL: nothing reserved yet */
    size_t block_size, blocks;
    uint32_t *free; /* a stack of numbers; those below `cold` have no memory */
    uint32_t free_n, cold, fresh /* never used from here on */, usable /* of the reserved ones */;
    uint32_t spare; /* fewest free ones with memory since slab_trim() looked last */
};

/* block_size: whole pages. Reserves nothing before the first block is taken. */
void slab_init(struct slab *s, size_t block_size, size_t blocks);
/* NULL when all are in use, or memory is out. The bytes are not cleared. */
void *slab_take(struct slab *s);
void slab_give(struct slab *s, void *block);
/* Gives back memory that nobody needed since the last call, but for `keep` blocks, and at most of `max`
 * blocks. True: there may be more for a later call to give back. */
bool slab_trim(struct slab *s, size_t keep, size_t max);
/* Blocks that are in use. */
size_t slab_used(const struct slab *s);
/* Bytes of blocks that have, or had a moment ago, memory. */
size_t slab_bytes(const struct slab *s);
/* All blocks, also those in use. */
void slab_deinit(struct slab *s);
