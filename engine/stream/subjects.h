/* subjects.h - the subjects of a stream's messages: name -> id, and for each its count, first and last
 * sequence. At most 100 bytes with a name of 30 bytes. Ids come in chunks of 256 with their names, so that a
 * checkpoint writes those that changed and nothing doubles.
 *
 * count and last are exact. first is exact when `exact` says so, else no message of the subject lies before
 * it. While `listed` is on all sequences between first and last are kept too (8 bytes each): for streams that
 * keep a few messages of each subject, where limits and neighbours are asked for with every message.
 * Otherwise the index is searched for them (index.h).
 *
 * An id is reused after its subject's last message is gone. `gen` differs for every life of an id, so that
 * who caches something about an id compares it: see subjects_gen(). Spans of names are valid until the next
 * subjects_add().
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/span.h"
#include "stream/place.h"

struct subject {
    uint64_t first, last; /* sequences */
    uint32_t count;       /* messages; 0 = the id is free */
    uint32_t hash;
    uint32_t name; /* offset in the chunk's names; free ids: the next free id */
    uint16_t size; /* of the name */
    bool exact;    /* first is a message of this subject */
    uint32_t gen;
};

/* Sequences between first and last, ascending: seq[from] .. seq[from + len - 1]. */
struct subject_list {
    uint32_t from, len, cap;
    uint64_t seq[];
};

struct subject_chunk {
    struct subject *items;
    uint8_t *names;
    struct subject_list **lists; /* NULL: none of these subjects has a list */
    uint32_t names_len, names_cap, names_dead;
    uint16_t len, cap; /* items ever used; room */
    struct page_place place;
};

enum { SUBJECT_NONE = UINT32_MAX, SUBJECT_CHUNK = 256 };

struct subjects {
    struct subject_chunk *chunks; /* id / SUBJECT_CHUNK */
    uint32_t chunks_len, chunks_cap;
    uint32_t items_len, free_id, count; /* ids ever used; the first free one; subjects */
    uint32_t *table;                    /* open addressing: id + 1, 0 = empty */
    uint32_t table_cap;
    uint32_t recent;         /* the id found or added last: most streams see one subject many times over */
    uint32_t gen, gen_wraps; /* next generation; how often the counter started over */
    bool listed;
    uint64_t seed;
    struct stream *owner; /* NULL: pages are not written */
};

void subjects_init(struct subjects *s, uint64_t seed);
void subjects_deinit(struct subjects *s);
/* The id of a name or SUBJECT_NONE. */
uint32_t subjects_find(struct subjects *s, struct span name);
/* Makes room, so that the next subjects_add() of this name and subjects_put() of one message cannot fail.
 * ERR_NOMEM, ERR_LIMIT. */
enum err subjects_reserve(struct subjects *s, struct span name) MUST_USE;
/* Finds or adds. A new one has count 0 and must get a message or be dropped at once. ERR_NOMEM, ERR_LIMIT. */
enum err subjects_add(struct subjects *s, struct span name, uint32_t *id) MUST_USE;
/* Its last message is gone. */
void subjects_drop(struct subjects *s, uint32_t id);
struct span subjects_name(const struct subjects *s, uint32_t id);
/* Ids of subjects that match filter (empty or ">" = all), in no order: start with *at = 0; SUBJECT_NONE at
 * the end. A literal filter costs one lookup, a wildcard one comparison a subject. Subjects may be dropped
 * meanwhile, not added. */
uint32_t subjects_next(struct subjects *s, struct span filter, uint32_t *at);
size_t subjects_memory(const struct subjects *s); /* bytes held */

/* Before a change of this subject. */
void subjects_touch(struct subjects *s, uint32_t id);
/* Loading: a chunk with this many ids, all free; then each of them; then the chain of free ids. ERR_NOMEM,
 * ERR_CORRUPT. */
enum err subjects_load_chunk(struct subjects *s, uint32_t chunk, uint32_t ids, size_t names) MUST_USE;
enum err subjects_load(struct subjects *s, uint32_t id, struct span name) MUST_USE;
void subjects_loaded(struct subjects *s);

static inline struct subject *subjects_at(const struct subjects *s, uint32_t id) {
    return &s->chunks[id / SUBJECT_CHUNK].items[id % SUBJECT_CHUNK];
}

/* --- subjects_seqs.c: which messages a subject has --- */
/* A message more. It need not be the newest. Room was reserved. */
void subjects_put(struct subjects *s, uint32_t id, uint64_t seq);
/* One less. False: it was the last one, there are others, and `last` is to be found and given to
 * subjects_set_last(). */
bool subjects_take(struct subjects *s, uint32_t id, uint64_t seq);
void subjects_set_first(struct subjects *s, uint32_t id, uint64_t seq);
void subjects_set_last(struct subjects *s, uint32_t id, uint64_t seq);
/* While listed: the first message at or after seq, the last one at or before it; 0 = none. */
uint64_t subjects_seq_from(const struct subjects *s, uint32_t id, uint64_t seq);
uint64_t subjects_seq_to(const struct subjects *s, uint32_t id, uint64_t seq);
/* Room for one message more of this subject. ERR_NOMEM. */
enum err subjects_list_reserve(struct subjects *s, uint32_t id) MUST_USE;
/* Lists off, and forgotten; to turn them on set listed and put every message into subjects without any. */
void subjects_unlist(struct subjects *s);
