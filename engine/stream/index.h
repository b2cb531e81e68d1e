/* index.h - where each message of a stream lies: sequence -> location, time, size, subject, and the
 * neighbours with the same subject. 32 bytes a message in pages of 1024 sequences, found in O(1).
 *
 * A page is dense while most of its messages live, packed (sorted, binary search) once three quarters are
 * gone, and freed with its last message, so that a few old messages among many deleted ones cost what they
 * are. The last page of a small stream grows by doubling. The messages of one subject form a doubly linked
 * list through the entries: the first, the last and the neighbour of any of them are found without a search,
 * whatever is deleted in between.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { INDEX_PAGE = 1024 };
enum { INDEX_HAS_HDR = 1u << 31, INDEX_BODY_MAX = 1u << 30 };

struct index_entry {
    uint64_t loc; /* 0 = hole */
    int64_t ts;
    uint32_t subject;    /* its id in struct subjects */
    uint32_t size;       /* subject + headers + payload bytes, INDEX_HAS_HDR when there are headers */
    uint32_t prev, next; /* distance to the neighbours of the same subject, 0 = none; see index_prev() */
};

struct index_page;

struct index_slot {
    uint64_t number; /* sequence / INDEX_PAGE */
    struct index_page *page;
};

struct index {
    struct index_slot *slots; /* the pages there are, ascending: slots[head] .. slots[head + len - 1] */
    size_t cap, head, len;
    uint64_t count; /* live entries */
};

void index_init(struct index *x);
void index_deinit(struct index *x);
/* The entry of a live message or NULL. Valid until the next set or clear. */
struct index_entry *index_get(const struct index *x, uint64_t seq);
/* Makes room for the entry, so that the index_set() of this sequence cannot fail unless another is cleared
 * first. ERR_NOMEM. */
enum err index_reserve(struct index *x, uint64_t seq) MUST_USE;
/* Adds or replaces an entry after index_reserve(); loc != 0. */
struct index_entry *index_set(struct index *x, uint64_t seq, const struct index_entry *e);
/* Removes an entry; it must be there. */
void index_clear(struct index *x, uint64_t seq);
/* The lowest live sequence in [from, to], the highest; 0 when none. Empty pages are skipped. */
uint64_t index_next(const struct index *x, uint64_t from, uint64_t to);
uint64_t index_before(const struct index *x, uint64_t from, uint64_t to);
/* How many sequences from `from` on, up to `to`, are live without a hole. */
uint64_t index_run(const struct index *x, uint64_t from, uint64_t to);
size_t index_memory(const struct index *x); /* bytes held */
