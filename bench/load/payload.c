/* payload.c - see payload.h. */
#include "load/payload.h"

#include <stdlib.h>

#include "base/must.h"
#include "base/rng.h"

void payload_init(struct payload *p, uint32_t size, uint64_t seed) {
    struct rng rng = {seed};
    p->size = size;
    p->pattern = malloc((size_t)size + 8);
    must(p->pattern);
    for (uint32_t i = 0; i < size; i += 8) store64(p->pattern + i, rng_next(&rng));
}

void payload_deinit(struct payload *p) {
    free(p->pattern);
    p->pattern = NULL;
}
