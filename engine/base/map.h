/* map.h - open-addressing hash maps that grow by doubling. Not thread-safe. Growth may allocate; lookups
 * never do. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/span.h"

/* u64 -> pointer. Key UINT64_MAX is not allowed. */
struct map_u64 {
    struct map_u64_slot {
        uint64_t key;
        void *value;
    } * slots;
    size_t cap, count;
};
void map_u64_init(struct map_u64 *m);
void *map_u64_get(const struct map_u64 *m, uint64_t key);
/* Inserts or replaces. ERR_NOMEM leaves the map as it was. */
enum err map_u64_put(struct map_u64 *m, uint64_t key, void *value) MUST_USE;
/* Returns the removed value or NULL. */
void *map_u64_del(struct map_u64 *m, uint64_t key);
/* Iteration: start with *at = 0; false at the end. Entries must not change meanwhile. */
bool map_u64_next(const struct map_u64 *m, size_t *at, uint64_t *key, void **value);
void map_u64_deinit(struct map_u64 *m);

/* bytes -> pointer. The map keeps the span given at put: its bytes must live as long as the entry (keep them
 * in the value). */
struct map_str {
    struct map_str_slot {
        uint64_t hash;
        struct span key;
        void *value;
    } * slots;
    size_t cap, count;
    uint64_t seed;
};
void map_str_init(struct map_str *m, uint64_t seed);
void *map_str_get(const struct map_str *m, struct span key);
enum err map_str_put(struct map_str *m, struct span key, void *value) MUST_USE;
void *map_str_del(struct map_str *m, struct span key);
bool map_str_next(const struct map_str *m, size_t *at, struct span *key, void **value);
void map_str_deinit(struct map_str *m);
