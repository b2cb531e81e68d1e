/* index.h - where each message of a stream lies: sequence -> location, time, size, subject. 24 bytes a
 * message in pages of 1024 sequences, found in O(1).
 *
 * Of each page a summary stays in memory: which of its messages live (a bit each, and the only truth about
 * it), times, segments, and a filter of its subjects, so that searches pass over pages without looking at
 * their entries. Entries never change when messages go, so that a page that is full is written once.
 *
 * A page is dense while most of its messages live, packed (sorted, binary search) once three quarters are
 * gone, and freed with its last message. The last page of a small stream grows by doubling. Messages do not
 * know their neighbours of the same subject: index_find() looks for them.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"
#include "stream/place.h"

enum { INDEX_PAGE = 1024, INDEX_GROUP = 32, INDEX_WORDS = INDEX_PAGE / 64 };
enum { INDEX_HAS_HDR = 1u << 31, INDEX_BODY_MAX = 1u << 30 };

struct index_entry {
    uint64_t loc; /* not 0 */
    int64_t ts;
    uint32_t subject; /* its id in struct subjects */
    uint32_t size;    /* subject + headers + payload bytes, INDEX_HAS_HDR when there are headers */
};

/* Which subjects a page may have: no false negatives. Made when a page is complete; bits 0: not made. */
struct index_filter {
    uint32_t bits; /* a power of two; 64: in `word` */
    union {
        uint64_t word, *words;
    };
};

struct index_data;

/* The summary of a page. */
struct index_page {
    struct index_data *data; /* NULL: not in memory, the image has them */
    uint64_t number;         /* sequence / INDEX_PAGE */
    struct page_place place; /* of the entries' image */
    struct list clean;       /* can be evicted: on the cache's list */
    uint64_t live[INDEX_WORDS];
    struct index_filter filter;
    int64_t first_ts, last_ts;  /* no entry is older, none newer */
    uint32_t seg_low, seg_high; /* segments (loc >> 32) of its entries */
    uint16_t count;             /* live entries */
};

/* 32 neighbouring pages. */
struct index_group {
    uint64_t number;         /* page number / INDEX_GROUP */
    struct page_place place; /* of the summaries' image */
    uint32_t count;
    struct index_page *pages[INDEX_GROUP];
};

struct index_slot {
    uint64_t number;
    struct index_group *group;
};

struct index {
    struct index_slot *slots; /* the groups there are, ascending: slots[head] .. slots[head + len - 1] */
    size_t cap, head, len;
    size_t pages;
    uint64_t count;       /* live entries */
    struct stream *owner; /* NULL: all entries stay in memory */
};

void index_init(struct index *x);
void index_deinit(struct index *x);
/* Does the message live? Needs no entries. */
bool index_has(const struct index *x, uint64_t seq);
/* The entry of a live message or NULL. Valid until the next set or clear, and until 8 other pages were looked
 * at. */
const struct index_entry *index_get(const struct index *x, uint64_t seq);
/* Makes room for the entry, so that the index_set() of this sequence cannot fail unless another is cleared
 * first. ERR_NOMEM. */
enum err index_reserve(struct index *x, uint64_t seq) MUST_USE;
/* Adds or replaces an entry after index_reserve(); loc != 0. */
void index_set(struct index *x, uint64_t seq, const struct index_entry *e);
/* A live message lies elsewhere now. */
void index_move(struct index *x, uint64_t seq, uint64_t loc);
/* Removes an entry; it must be there. */
void index_clear(struct index *x, uint64_t seq);
size_t index_memory(const struct index *x); /* bytes held */

/* --- index_search.c; none of these needs entries but find and seq_at --- */
/* The lowest live sequence in [from, to], the highest; 0 when none. Empty pages are skipped. */
uint64_t index_next(const struct index *x, uint64_t from, uint64_t to);
uint64_t index_before(const struct index *x, uint64_t from, uint64_t to);
/* How many sequences from `from` on, up to `to`, are live without a hole. */
uint64_t index_run(const struct index *x, uint64_t from, uint64_t to);
/* How many live in [from, to]. */
uint64_t index_count(const struct index *x, uint64_t from, uint64_t to);
/* The lowest live message of this subject in [from, to], the highest; 0 when none. */
uint64_t index_find(const struct index *x, uint32_t subject, uint64_t from, uint64_t to);
uint64_t index_find_back(const struct index *x, uint32_t subject, uint64_t from, uint64_t to);
/* The first live message that is not older than ts; 0 when none. */
uint64_t index_seq_at(const struct index *x, int64_t ts);
