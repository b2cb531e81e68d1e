/* slab.c - see slab.h. Happy path: the block given back last is taken next, from the top of a stack of
 * numbers, so those not needed sink to its bottom, where they lose their memory first. Address space is
 * reserved with the first block and made usable in steps. What can fail is memory, which looks like a slab in
 * full use. */
#include "base/slab.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/asan.h"
#include "base/must.h"

enum { STEP_BYTES = 1 << 20 };

void slab_init(struct slab *s, size_t block_size, size_t blocks) {
    must(block_size > 0 && block_size % (size_t)sysconf(_SC_PAGESIZE) == 0);
    must(blocks > 0 && blocks < UINT32_MAX);
    *s = (struct slab){.block_size = block_size, .blocks = blocks};
}

static bool reserve(struct slab *s) {
    must(s->p == NULL && s->fresh == 0);
    s->free = malloc(s->blocks * sizeof *s->free);
    if (!s->free) return false;
    void *p =
        mmap(NULL, s->blocks * s->block_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
        free(s->free);
        s->free = NULL;
        return false;
    }
    s->p = p;
    return true;
}

/* A huge page for one block would be memory that no trimming gives back. */
static bool make_usable(struct slab *s) {
    must(s->fresh == s->usable && s->usable < s->blocks);
    size_t step = STEP_BYTES / s->block_size ? STEP_BYTES / s->block_size : 1;
    if (step > s->blocks - s->usable) step = s->blocks - s->usable;
    uint8_t *at = s->p + s->usable * s->block_size;
    if (mprotect(at, step * s->block_size, PROT_READ | PROT_WRITE) != 0) return false;
    (void)madvise(at, step * s->block_size, MADV_NOHUGEPAGE);
    asan_poison(at, step * s->block_size);
    s->usable += (uint32_t)step;
    return true;
}

static void *block_at(const struct slab *s, uint32_t number) {
    must(number < s->fresh);
    return s->p + number * s->block_size;
}

void *slab_take(struct slab *s) {
    must(s->cold <= s->free_n && s->free_n <= s->fresh);
    uint32_t number;
    if (s->free_n > 0) {
        number = s->free[--s->free_n];
        if (s->cold > s->free_n) s->cold = s->free_n;
        if (s->spare > s->free_n - s->cold) s->spare = s->free_n - s->cold;
    } else {
        if (s->fresh == s->blocks || (!s->p && !reserve(s))) return NULL;
        if (s->fresh == s->usable && !make_usable(s)) return NULL;
        number = s->fresh++;
        s->spare = 0;
    }
    void *block = block_at(s, number);
    asan_unpoison(block, s->block_size);
    return block;
}

void slab_give(struct slab *s, void *block) {
    size_t off = (size_t)((uint8_t *)block - s->p);
    must(off % s->block_size == 0 && off / s->block_size < s->fresh);
    must(s->free_n < s->fresh);
    must(s->free_n == 0 || s->free[s->free_n - 1] != off / s->block_size); /* given back twice in a row */
    s->free[s->free_n++] = (uint32_t)(off / s->block_size);
    asan_poison(block, s->block_size);
}

bool slab_trim(struct slab *s, size_t keep, size_t max) {
    must(s->spare <= s->free_n - s->cold);
    size_t n = s->spare > keep ? s->spare - keep : 0;
    bool more = n > max;
    if (more) n = max;
    for (size_t i = 0; i < n; i++) {
        void *block = block_at(s, s->free[s->cold]);
        if (madvise(block, s->block_size, MADV_DONTNEED) != 0) break;
        s->cold++;
        s->spare--;
    }
    if (!more) s->spare = s->free_n - s->cold; /* from here on it is looked at anew */
    return more;
}

size_t slab_used(const struct slab *s) { return s->fresh - s->free_n; }

size_t slab_bytes(const struct slab *s) {
    must(s->cold <= s->fresh);
    return (s->fresh - s->cold) * s->block_size;
}

void slab_deinit(struct slab *s) {
    if (s->p) {
        asan_unpoison(s->p, s->usable * s->block_size);
        must(munmap(s->p, s->blocks * s->block_size) == 0);
    }
    free(s->free);
    *s = (struct slab){0};
}
