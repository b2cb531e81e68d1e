/* subjects.h - the subjects of a stream's messages: name -> id, and for each its count, first and last
 * sequence, all exact. 32 bytes and the name each; the lists of sequences lie in the index (index.h).
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

struct subject {
    uint64_t first, last; /* sequences */
    uint32_t count;       /* messages; 0 = the id is free */
    uint32_t hash;
    uint32_t name; /* offset / 4 in the arena; free ids: the next free id */
    uint16_t size; /* of the name */
    uint32_t gen;
};

struct subjects {
    struct subject *items; /* by id */
    uint32_t items_len, items_cap, free_id, count;
    uint32_t *table; /* open addressing: id + 1, 0 = empty */
    uint32_t table_cap;
    uint32_t recent;         /* the id found or added last: most streams see one subject many times over */
    uint32_t gen, gen_wraps; /* next generation; how often the counter started over */
    uint8_t *arena;
    size_t arena_len, arena_cap, arena_dead;
    uint64_t seed;
};

enum { SUBJECT_NONE = UINT32_MAX };

void subjects_init(struct subjects *s, uint64_t seed);
void subjects_deinit(struct subjects *s);
/* The id of a name or SUBJECT_NONE. */
uint32_t subjects_find(struct subjects *s, struct span name);
/* Makes room, so that the next subjects_add() of this name cannot fail. ERR_NOMEM, ERR_LIMIT. */
enum err subjects_reserve(struct subjects *s, struct span name) MUST_USE;
/* Finds or adds. A new one has count 0 and must get a message or be dropped at once. ERR_NOMEM, ERR_LIMIT. */
enum err subjects_add(struct subjects *s, struct span name, uint32_t *id) MUST_USE;
/* Its last message is gone. */
void subjects_drop(struct subjects *s, uint32_t id);
struct subject *subjects_at(const struct subjects *s, uint32_t id);
struct span subjects_name(const struct subjects *s, uint32_t id);
/* Ids of subjects that match filter (empty or ">" = all), in no order: start with *at = 0; SUBJECT_NONE at
 * the end. A literal filter costs one lookup, a wildcard one comparison a subject. Subjects may be dropped
 * meanwhile, not added. */
uint32_t subjects_next(struct subjects *s, struct span filter, uint32_t *at);
