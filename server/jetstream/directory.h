/* directory.h - which streams there are and which shard has each. Every shard holds a replica of name ->
 * shard; shard 0's is the original: there names and subjects are reserved before a stream is created, so two
 * streams can never overlap. Pure memory; who tells whom is casts.c's business.
 *
 * An entry's life on shard 0: reserved (a create is under way) -> active -> leaving (a delete is under way)
 * -> gone. The incarnation tells a stream from a later one of the same name. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/map.h"
#include "base/span.h"

enum { DIR_SHARDS_MAX = 64 };
enum dir_state { DIR_RESERVED, DIR_ACTIVE, DIR_LEAVING };

struct dir_entry {
    struct span name; /* into block */
    uint32_t shard;
    uint64_t incarnation;
    enum dir_state state;
    bool allow_direct;
    struct span *subjects; /* shard 0 only; owned, the bytes behind the array */
    size_t subjects_n;
    bool memory; /* shard 0 only: storage, and what its limit reserves */
    int64_t max_bytes;
    uint8_t block[];
};

struct directory {
    struct map_str by_name;
    size_t per_shard[DIR_SHARDS_MAX];
    size_t active, listed; /* entries in that state; all entries */
    int64_t reserved_memory, reserved_storage;
    uint64_t failed; /* shards whose logs take no more, a bit each; as far as one has learnt */
};

void directory_init(struct directory *d, uint64_t seed);
void directory_deinit(struct directory *d);
struct dir_entry *directory_find(const struct directory *d, struct span name);
/* A new entry, DIR_RESERVED. The name must be free. NULL: out of memory. */
struct dir_entry *directory_add(struct directory *d, struct span name, uint32_t shard, uint64_t incarnation);
void directory_remove(struct directory *d, struct dir_entry *e);
void directory_move(struct directory *d, struct dir_entry *e, enum dir_state state);
/* Replaces the reserved subjects. ERR_NOMEM leaves them. */
enum err directory_subjects(struct dir_entry *e, const struct span *subjects, size_t n) MUST_USE;
void directory_reserve(struct directory *d, struct dir_entry *e, bool memory, int64_t max_bytes);
/* Do any of these meet a subject of another stream? */
bool directory_overlaps(const struct directory *d, const struct dir_entry *self, const struct span *subjects,
                        size_t n);
/* The shard with the fewest streams, for files among those whose logs work; `shards` when there is none. */
uint32_t directory_pick(const struct directory *d, unsigned shards, bool memory);
/* Active entries whose subjects meet filter (empty = all), sorted by name: an array of *n that the caller
 * frees. NULL when memory is out; with no match an array of nothing. */
struct dir_entry **directory_sorted(const struct directory *d, struct span filter, size_t *n);
