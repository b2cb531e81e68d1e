#include "stream/subjects.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/must.h"
#include "stream/page.h"
#include "subject/subject.h"

/* Names of a chunk stand one behind the other. When there is no room they are laid out anew, with a quarter
 * more. */
enum { NAMES_MIN = 64, TABLE_MIN = 16, IDS_MAX = 1u << 31 };
static_must(sizeof(struct subject) == 40);

void subjects_init(struct subjects *s, uint64_t seed) {
    must(s);
    *s = (struct subjects){.seed = seed, .free_id = SUBJECT_NONE, .recent = SUBJECT_NONE, .gen = 1};
}

void subjects_deinit(struct subjects *s) {
    must(s);
    subjects_unlist(s);
    for (uint32_t i = 0; i < s->chunks_len; i++) {
        free(s->chunks[i].items);
        free(s->chunks[i].names);
    }
    free(s->chunks);
    free(s->table);
    *s = (struct subjects){.free_id = SUBJECT_NONE, .recent = SUBJECT_NONE};
}

struct span subjects_name(const struct subjects *s, uint32_t id) {
    must(id < s->items_len);
    const struct subject *t = subjects_at(s, id);
    const struct subject_chunk *c = &s->chunks[id / SUBJECT_CHUNK];
    must(t->name + t->size <= c->names_len);
    return span_of(c->names + t->name, t->size);
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
        if (subjects_at(s, id)->hash == hash && span_eq(subjects_name(s, id), name)) return i;
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
    for (uint32_t id = 0; id < s->items_len; id++) {
        const struct subject *t = subjects_at(s, id);
        if (t->size == 0) continue;
        uint32_t at = t->hash & (cap - 1);
        while (table[at]) at = (at + 1) & (cap - 1);
        table[at] = id + 1;
    }
    free(s->table);
    s->table = table;
    s->table_cap = cap;
    return ERR_OK;
}

static enum err chunks_grow(struct subjects *s) {
    must(s->chunks_len <= s->chunks_cap);
    if (s->chunks_len < s->chunks_cap) return ERR_OK;
    uint32_t cap = s->chunks_cap ? s->chunks_cap * 2 : 1;
    struct subject_chunk *c = realloc(s->chunks, cap * sizeof *c);
    if (!c) return ERR_NOMEM;
    s->chunks = c;
    s->chunks_cap = cap;
    return ERR_OK;
}

/* Room for one id more. */
static enum err items_grow(struct subjects *s) {
    must(s->items_len <= s->chunks_len * (uint64_t)SUBJECT_CHUNK);
    if (s->free_id != SUBJECT_NONE) return ERR_OK;
    if (s->items_len >= IDS_MAX) return ERR_LIMIT;
    uint32_t at = s->items_len / SUBJECT_CHUNK;
    if (at == s->chunks_len) {
        if (chunks_grow(s) != ERR_OK) return ERR_NOMEM;
        s->chunks[s->chunks_len++] = (struct subject_chunk){0};
    }
    struct subject_chunk *c = &s->chunks[at];
    if (c->len < c->cap) return ERR_OK;
    uint32_t cap = at > 0 ? SUBJECT_CHUNK : c->cap ? c->cap * 2u : 4;
    must(cap <= SUBJECT_CHUNK);
    struct subject *items = realloc(c->items, cap * sizeof *items);
    if (!items) return ERR_NOMEM;
    c->items = items;
    c->cap = (uint16_t)cap;
    return ERR_OK;
}

static enum err names_grow(struct subject_chunk *c, size_t n) {
    must(c->names_len <= c->names_cap);
    must(c->names_dead <= c->names_len);
    if (c->names_len + n <= c->names_cap) return ERR_OK;
    size_t live = c->names_len - c->names_dead, cap = live + n + (live + n) / 4;
    if (cap < NAMES_MIN) cap = NAMES_MIN;
    must(cap <= UINT32_MAX);
    uint8_t *to = malloc(cap);
    if (!to) return ERR_NOMEM;
    uint32_t len = 0;
    for (uint32_t i = 0; i < c->len; i++) {
        struct subject *t = &c->items[i];
        if (t->size == 0) continue;
        memcpy(to + len, c->names + t->name, t->size);
        t->name = len;
        len += t->size;
    }
    must(len == live);
    free(c->names);
    c->names = to;
    c->names_cap = (uint32_t)cap;
    c->names_len = len;
    c->names_dead = 0;
    return ERR_OK;
}

void subjects_touch(struct subjects *s, uint32_t id) {
    must(id / SUBJECT_CHUNK < s->chunks_len);
    page_touch(s->owner, &s->chunks[id / SUBJECT_CHUNK].place, PAGE_SUBJECTS, id / SUBJECT_CHUNK);
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
    if (id == SUBJECT_NONE) {
        s->chunks[s->items_len / SUBJECT_CHUNK].len++;
        return s->items_len++;
    }
    must(subjects_at(s, id)->size == 0);
    s->free_id = subjects_at(s, id)->name;
    return id;
}

enum err subjects_reserve(struct subjects *s, struct span name) {
    must(s);
    if (name.n == 0 || name.n > UINT16_MAX) return ERR_LIMIT;
    uint32_t id = subjects_find(s, name);
    if (id != SUBJECT_NONE) return subjects_list_reserve(s, id);
    enum err e = table_grow(s);
    if (e == ERR_OK) e = items_grow(s);
    uint32_t next = s->free_id == SUBJECT_NONE ? s->items_len : s->free_id;
    if (e == ERR_OK) e = names_grow(&s->chunks[next / SUBJECT_CHUNK], name.n);
    return e;
}

enum err subjects_add(struct subjects *s, struct span name, uint32_t *id) {
    must(s && id);
    enum err e = subjects_reserve(s, name);
    if (e != ERR_OK) return e;
    *id = subjects_find(s, name);
    if (*id != SUBJECT_NONE) return ERR_OK;
    uint32_t hash = name_hash(s, name);
    subjects_touch(s, s->free_id == SUBJECT_NONE ? s->items_len : s->free_id);
    *id = take_id(s);
    struct subject_chunk *c = &s->chunks[*id / SUBJECT_CHUNK];
    *subjects_at(s, *id) =
        (struct subject){.hash = hash, .name = c->names_len, .size = (uint16_t)name.n, .gen = next_gen(s)};
    memcpy(c->names + c->names_len, name.p, name.n);
    c->names_len += (uint32_t)name.n;
    s->table[slot_of(s, name, hash)] = *id + 1;
    s->count++;
    s->recent = *id;
    return ERR_OK;
}

/* ------------------------------------------------------------------------------------------------ loading
 */

enum err subjects_load_chunk(struct subjects *s, uint32_t chunk, uint32_t ids, size_t names) {
    must(ids <= SUBJECT_CHUNK);
    must(s->free_id == SUBJECT_NONE);
    if (chunk != s->chunks_len || s->items_len != chunk * SUBJECT_CHUNK || ids == 0 || names > UINT32_MAX / 2)
        return ERR_CORRUPT;
    if (chunks_grow(s) != ERR_OK) return ERR_NOMEM;
    struct subject_chunk *c = &s->chunks[s->chunks_len++];
    *c = (struct subject_chunk){0};
    uint32_t cap = chunk > 0 ? SUBJECT_CHUNK : 4;
    while (cap < ids) cap *= 2;
    c->items = calloc(cap, sizeof c->items[0]);
    c->names = malloc(names + names / 8 + 1);
    if (!c->items || !c->names) return ERR_NOMEM;
    c->cap = (uint16_t)cap;
    c->names_cap = (uint32_t)(names + names / 8 + 1);
    c->len = (uint16_t)ids;
    s->items_len += ids;
    return ERR_OK;
}

enum err subjects_load(struct subjects *s, uint32_t id, struct span name) {
    must(id < s->items_len);
    must(subjects_at(s, id)->size == 0);
    struct subject_chunk *c = &s->chunks[id / SUBJECT_CHUNK];
    if (name.n == 0 || name.n > UINT16_MAX || name.n > c->names_cap - c->names_len) return ERR_CORRUPT;
    if (table_grow(s) != ERR_OK) return ERR_NOMEM;
    uint32_t hash = name_hash(s, name), at = slot_of(s, name, hash);
    if (s->table[at]) return ERR_CORRUPT;
    *subjects_at(s, id) =
        (struct subject){.hash = hash, .name = c->names_len, .size = (uint16_t)name.n, .gen = next_gen(s)};
    memcpy(c->names + c->names_len, name.p, name.n);
    c->names_len += (uint32_t)name.n;
    s->table[at] = id + 1;
    s->count++;
    return ERR_OK;
}

void subjects_loaded(struct subjects *s) {
    must(s->free_id == SUBJECT_NONE);
    for (uint32_t id = s->items_len; id-- > 0;) {
        if (subjects_at(s, id)->size) continue;
        subjects_at(s, id)->name = s->free_id;
        s->free_id = id;
    }
    must(s->count <= s->items_len);
}

/* ------------------------------------------------------------------------------------------------ dropping
 */

/* Closes the hole at `at` of a linear-probing table: moves up whoever would not be found across it. */
static void table_close(struct subjects *s, uint32_t at) {
    must(at < s->table_cap);
    must(s->table[at] != 0);
    uint32_t mask = s->table_cap - 1;
    for (uint32_t i = (at + 1) & mask; s->table[i]; i = (i + 1) & mask) {
        uint32_t home = subjects_at(s, s->table[i] - 1)->hash & mask;
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
    subjects_touch(s, id);
    s->count--;
    table_close(s, at);
    struct subject_chunk *c = &s->chunks[id / SUBJECT_CHUNK];
    c->names_dead += t->size;
    if (c->names_dead == c->names_len) c->names_dead = c->names_len = 0;
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
        if (subjects_at(s, id)->size == 0) continue;
        if (all || subject_match(subjects_name(s, id), filter)) return id;
    }
    return SUBJECT_NONE;
}

size_t subjects_memory(const struct subjects *s) {
    must(s);
    size_t n = s->table_cap * sizeof s->table[0] + s->chunks_cap * sizeof s->chunks[0];
    for (uint32_t i = 0; i < s->chunks_len; i++) {
        const struct subject_chunk *c = &s->chunks[i];
        n += c->cap * sizeof c->items[0] + c->names_cap;
        if (!c->lists) continue;
        n += SUBJECT_CHUNK * sizeof c->lists[0];
        for (uint32_t k = 0; k < SUBJECT_CHUNK; k++)
            if (c->lists[k]) n += sizeof *c->lists[k] + c->lists[k]->cap * sizeof c->lists[k]->seq[0];
    }
    return n;
}
