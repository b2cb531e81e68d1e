#include "stream/subjects.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/must.h"
#include "subject/subject.h"

/* Names stand 4-aligned in one arena. When it is full it is compacted if half of it is dead, else doubled. */
enum { ARENA_ALIGN = 4, ARENA_MIN = 256, TABLE_MIN = 16, IDS_MAX = 1u << 31 };
static_must(sizeof(struct subject) == 40);

void subjects_init(struct subjects *s, uint64_t seed) {
    must(s);
    *s = (struct subjects){.seed = seed, .free_id = SUBJECT_NONE, .recent = SUBJECT_NONE, .gen = 1};
}

void subjects_deinit(struct subjects *s) {
    must(s);
    free(s->items);
    free(s->table);
    free(s->arena);
    *s = (struct subjects){.free_id = SUBJECT_NONE, .recent = SUBJECT_NONE};
}

struct subject *subjects_at(const struct subjects *s, uint32_t id) {
    must(id < s->items_len);
    return &s->items[id];
}

struct span subjects_name(const struct subjects *s, uint32_t id) {
    const struct subject *t = subjects_at(s, id);
    must((size_t)t->name * ARENA_ALIGN + t->size <= s->arena_len);
    return span_of(s->arena + (size_t)t->name * ARENA_ALIGN, t->size);
}

static uint32_t name_hash(const struct subjects *s, struct span name) {
    must(name.n > 0);
    return (uint32_t)mix64(hash_bytes(name.p, name.n, s->seed));
}

/* The table slot that holds the name, or the empty one where it belongs. */
static uint32_t slot_of(const struct subjects *s, struct span name, uint32_t hash) {
    must(name.n > 0);
    must(s->table_cap > s->count);
    uint32_t mask = s->table_cap - 1;
    for (uint32_t i = hash & mask;; i = (i + 1) & mask) {
        if (s->table[i] == 0) return i;
        uint32_t id = s->table[i] - 1;
        if (s->items[id].hash == hash && span_eq(subjects_name(s, id), name)) return i;
    }
}

static bool is_recent(const struct subjects *s, struct span name) {
    must(s);
    return s->recent != SUBJECT_NONE && span_eq(subjects_name(s, s->recent), name);
}

uint32_t subjects_find(struct subjects *s, struct span name) {
    must(s);
    if (s->count == 0) return SUBJECT_NONE;
    if (is_recent(s, name)) return s->recent;
    uint32_t at = slot_of(s, name, name_hash(s, name));
    if (s->table[at] == 0) return SUBJECT_NONE;
    s->recent = s->table[at] - 1;
    return s->recent;
}

/* ------------------------------------------------------------------------------------------------ growing */

static enum err table_grow(struct subjects *s) {
    must(s->count <= s->table_cap);
    must((s->table_cap & (s->table_cap - 1)) == 0);
    if ((s->count + 1) * 4ull <= s->table_cap * 3ull) return ERR_OK;
    uint32_t cap = s->table_cap ? s->table_cap * 2 : TABLE_MIN;
    uint32_t *table = calloc(cap, sizeof *table);
    if (!table) return ERR_NOMEM;
    for (uint32_t i = 0; i < s->table_cap; i++) {
        if (s->table[i] == 0) continue;
        uint32_t at = s->items[s->table[i] - 1].hash & (cap - 1);
        while (table[at]) at = (at + 1) & (cap - 1);
        table[at] = s->table[i];
    }
    free(s->table);
    s->table = table;
    s->table_cap = cap;
    return ERR_OK;
}

static enum err items_grow(struct subjects *s) {
    must(s->items_len <= s->items_cap);
    if (s->free_id != SUBJECT_NONE || s->items_len < s->items_cap) return ERR_OK;
    if (s->items_cap >= IDS_MAX) return ERR_LIMIT;
    uint32_t cap = s->items_cap ? s->items_cap * 2 : 4;
    struct subject *items = realloc(s->items, cap * sizeof *items);
    if (!items) return ERR_NOMEM;
    s->items = items;
    s->items_cap = cap;
    return ERR_OK;
}

static enum err arena_grow(struct subjects *s, size_t n) {
    must(s->arena_len <= s->arena_cap);
    must(s->arena_dead <= s->arena_len);
    if (s->arena_len + n <= s->arena_cap) return ERR_OK;
    size_t cap = s->arena_cap ? s->arena_cap : ARENA_MIN;
    size_t live = s->arena_len - s->arena_dead;
    while (live + n > cap / 2) cap *= 2;
    if (cap / ARENA_ALIGN > UINT32_MAX) return ERR_LIMIT;
    uint8_t *to = malloc(cap);
    if (!to) return ERR_NOMEM;
    size_t len = 0;
    for (uint32_t id = 0; id < s->items_len; id++) {
        struct subject *t = &s->items[id];
        if (t->size == 0) continue;
        memcpy(to + len, s->arena + (size_t)t->name * ARENA_ALIGN, t->size);
        t->name = (uint32_t)(len / ARENA_ALIGN);
        len += align_up(t->size, ARENA_ALIGN);
    }
    must(len == live);
    free(s->arena);
    s->arena = to;
    s->arena_cap = cap;
    s->arena_len = len;
    s->arena_dead = 0;
    return ERR_OK;
}

static uint32_t next_gen(struct subjects *s) {
    must(s->gen > 0);
    must(s->gen < 1u << 31);
    uint32_t gen = s->gen++;
    if (s->gen == 1u << 31) {
        s->gen = 1;
        s->gen_wraps++;
    }
    return gen;
}

static uint32_t take_id(struct subjects *s) {
    uint32_t id = s->free_id;
    if (id == SUBJECT_NONE) return s->items_len++;
    must(s->items[id].size == 0);
    s->free_id = s->items[id].name;
    return id;
}

enum err subjects_reserve(struct subjects *s, struct span name) {
    must(s);
    if (name.n == 0 || name.n > UINT16_MAX) return ERR_LIMIT;
    if (subjects_find(s, name) != SUBJECT_NONE) return ERR_OK;
    enum err e = table_grow(s);
    if (e == ERR_OK) e = items_grow(s);
    if (e == ERR_OK) e = arena_grow(s, align_up(name.n, ARENA_ALIGN));
    return e;
}

enum err subjects_add(struct subjects *s, struct span name, uint32_t *id) {
    must(s && id);
    enum err e = subjects_reserve(s, name);
    if (e != ERR_OK) return e;
    *id = subjects_find(s, name);
    if (*id != SUBJECT_NONE) return ERR_OK;
    uint32_t hash = name_hash(s, name);
    *id = take_id(s);
    s->items[*id] = (struct subject){.hash = hash,
                                     .name = (uint32_t)(s->arena_len / ARENA_ALIGN),
                                     .size = (uint16_t)name.n,
                                     .gen = next_gen(s)};
    memcpy(s->arena + s->arena_len, name.p, name.n);
    s->arena_len += align_up(name.n, ARENA_ALIGN);
    s->table[slot_of(s, name, hash)] = *id + 1;
    s->count++;
    s->recent = *id;
    return ERR_OK;
}

/* ------------------------------------------------------------------------------------------------ dropping
 */

/* Closes the hole at `at` of a linear-probing table: moves up whoever would not be found across it. */
static void table_close(struct subjects *s, uint32_t at) {
    must(at < s->table_cap);
    must(s->table[at] != 0);
    uint32_t mask = s->table_cap - 1;
    for (uint32_t i = (at + 1) & mask; s->table[i]; i = (i + 1) & mask) {
        uint32_t home = s->items[s->table[i] - 1].hash & mask;
        if (((i - home) & mask) < ((i - at) & mask)) continue;
        s->table[at] = s->table[i];
        at = i;
    }
    s->table[at] = 0;
}

void subjects_drop(struct subjects *s, uint32_t id) {
    must(s->count > 0);
    struct subject *t = subjects_at(s, id);
    must(t->size > 0 && t->count == 0);
    uint32_t at = slot_of(s, subjects_name(s, id), t->hash);
    must(s->table[at] == id + 1);
    s->count--;
    table_close(s, at);
    s->arena_dead += align_up(t->size, ARENA_ALIGN);
    *t = (struct subject){.name = s->free_id};
    s->free_id = id;
    if (s->recent == id) s->recent = SUBJECT_NONE;
}

/* ------------------------------------------------------------------------------------------------
 * enumerating */

uint32_t subjects_next(struct subjects *s, struct span filter, uint32_t *at) {
    must(s && at);
    bool all = filter.n == 0 || span_eq(filter, SPAN_LIT(">"));
    if (!all && !subject_has_wildcard(filter)) {
        return (*at)++ == 0 ? subjects_find(s, filter) : SUBJECT_NONE;
    }
    while (*at < s->items_len) {
        uint32_t id = (*at)++;
        if (s->items[id].size == 0) continue;
        if (all || subject_match(subjects_name(s, id), filter)) return id;
    }
    return SUBJECT_NONE;
}
