/* map.c - linear probing over a power of two, at most three quarters full; a deletion moves followers back
 * into the hole, so there are no tombstones and look-ups stay short however long the map lives. Growth
 * doubles and is the only thing that can fail: then the map is as it was. Values are never NULL; that is how
 * "absent" is told. */
#include "base/map.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/must.h"

#define CAP_FIRST 16u
#define EMPTY_KEY UINT64_MAX

static bool has_room(size_t count, size_t cap) {
    must(count <= cap);
    return (count + 1) * 4 <= cap * 3;
}

/* Is the entry at `at`, whose home is `home`, allowed to move to `hole`? Yes unless its home lies behind the
 * hole. */
static bool may_fill(size_t hole, size_t home, size_t at, size_t mask) {
    must(hole <= mask && home <= mask);
    must(at <= mask && at != hole);
    return ((at - home) & mask) >= ((at - hole) & mask);
}

/* --- u64 keys --- */

void map_u64_init(struct map_u64 *m) {
    must(m != NULL);
    *m = (struct map_u64){0};
}

/* The slot that holds the key, or the empty one where it belongs. The map has at least one empty slot. */
static size_t u64_find(const struct map_u64_slot *slots, size_t cap, uint64_t key) {
    must(cap > 0 && (cap & (cap - 1)) == 0);
    size_t i = mix64(key) & (cap - 1);
    while (slots[i].key != key && slots[i].key != EMPTY_KEY) i = (i + 1) & (cap - 1);
    return i;
}

void *map_u64_get(const struct map_u64 *m, uint64_t key) {
    must(key != EMPTY_KEY);
    if (m->count == 0) return NULL;
    return m->slots[u64_find(m->slots, m->cap, key)].value; /* NULL in empty slots */
}

static enum err u64_grow(struct map_u64 *m) {
    size_t cap = m->cap ? m->cap * 2 : CAP_FIRST;
    struct map_u64_slot *slots = cap <= SIZE_MAX / sizeof *slots ? malloc(cap * sizeof *slots) : NULL;
    if (!slots) return ERR_NOMEM;
    for (size_t i = 0; i < cap; i++) slots[i] = (struct map_u64_slot){EMPTY_KEY, NULL};
    for (size_t i = 0; i < m->cap; i++) {
        if (m->slots[i].key != EMPTY_KEY) slots[u64_find(slots, cap, m->slots[i].key)] = m->slots[i];
    }
    free(m->slots);
    m->slots = slots;
    m->cap = cap;
    must(has_room(m->count, m->cap));
    return ERR_OK;
}

enum err map_u64_put(struct map_u64 *m, uint64_t key, void *value) {
    must(key != EMPTY_KEY);
    must(value != NULL);
    if (m->cap) {
        size_t i = u64_find(m->slots, m->cap, key);
        if (m->slots[i].key == key) {
            m->slots[i].value = value;
            return ERR_OK;
        }
    }
    if (!has_room(m->count, m->cap) && u64_grow(m)) return ERR_NOMEM;
    m->slots[u64_find(m->slots, m->cap, key)] = (struct map_u64_slot){key, value};
    m->count++;
    return ERR_OK;
}

void *map_u64_del(struct map_u64 *m, uint64_t key) {
    must(key != EMPTY_KEY);
    if (m->count == 0) return NULL;
    size_t mask = m->cap - 1, hole = u64_find(m->slots, m->cap, key);
    if (m->slots[hole].key != key) return NULL;
    void *value = m->slots[hole].value;
    must(value != NULL);
    for (size_t at = (hole + 1) & mask; m->slots[at].key != EMPTY_KEY; at = (at + 1) & mask) {
        if (!may_fill(hole, mix64(m->slots[at].key) & mask, at, mask)) continue;
        m->slots[hole] = m->slots[at];
        hole = at;
    }
    m->slots[hole] = (struct map_u64_slot){EMPTY_KEY, NULL};
    m->count--;
    return value;
}

bool map_u64_next(const struct map_u64 *m, size_t *at, uint64_t *key, void **value) {
    must(at != NULL);
    must(m->count <= m->cap);
    for (; *at < m->cap; (*at)++) {
        const struct map_u64_slot *slot = &m->slots[*at];
        if (slot->key == EMPTY_KEY) continue;
        if (key) *key = slot->key;
        if (value) *value = slot->value;
        (*at)++;
        return true;
    }
    return false;
}

void map_u64_deinit(struct map_u64 *m) {
    must(m->count <= m->cap);
    free(m->slots);
    map_u64_init(m);
}

/* --- bytes as keys: a slot is empty when its value is NULL --- */

void map_str_init(struct map_str *m, uint64_t seed) {
    must(m != NULL);
    *m = (struct map_str){.seed = seed};
}

static size_t str_find(const struct map_str_slot *slots, size_t cap, uint64_t hash, struct span key) {
    must(cap > 0 && (cap & (cap - 1)) == 0);
    size_t i = hash & (cap - 1);
    while (slots[i].value && (slots[i].hash != hash || !span_eq(slots[i].key, key))) i = (i + 1) & (cap - 1);
    return i;
}

void *map_str_get(const struct map_str *m, struct span key) {
    must(key.p != NULL || key.n == 0);
    if (m->count == 0) return NULL;
    return m->slots[str_find(m->slots, m->cap, hash_bytes(key.p, key.n, m->seed), key)].value;
}

static enum err str_grow(struct map_str *m) {
    size_t cap = m->cap ? m->cap * 2 : CAP_FIRST, mask = cap - 1;
    struct map_str_slot *slots = calloc(cap, sizeof *slots);
    if (!slots) return ERR_NOMEM;
    for (size_t i = 0; i < m->cap; i++) {
        if (!m->slots[i].value) continue;
        size_t to = m->slots[i].hash & mask; /* keys differ already: any empty slot will do */
        while (slots[to].value) to = (to + 1) & mask;
        slots[to] = m->slots[i];
    }
    free(m->slots);
    m->slots = slots;
    m->cap = cap;
    must(has_room(m->count, m->cap));
    return ERR_OK;
}

enum err map_str_put(struct map_str *m, struct span key, void *value) {
    must(key.p != NULL || key.n == 0);
    must(value != NULL);
    uint64_t hash = hash_bytes(key.p, key.n, m->seed);
    if (m->cap) {
        struct map_str_slot *slot = &m->slots[str_find(m->slots, m->cap, hash, key)];
        if (slot->value) {
            *slot = (struct map_str_slot){hash, key, value}; /* the key too: it lives in the new value */
            return ERR_OK;
        }
    }
    if (!has_room(m->count, m->cap) && str_grow(m)) return ERR_NOMEM;
    m->slots[str_find(m->slots, m->cap, hash, key)] = (struct map_str_slot){hash, key, value};
    m->count++;
    return ERR_OK;
}

void *map_str_del(struct map_str *m, struct span key) {
    must(key.p != NULL || key.n == 0);
    if (m->count == 0) return NULL;
    size_t mask = m->cap - 1, hole = str_find(m->slots, m->cap, hash_bytes(key.p, key.n, m->seed), key);
    void *value = m->slots[hole].value;
    if (!value) return NULL;
    for (size_t at = (hole + 1) & mask; m->slots[at].value; at = (at + 1) & mask) {
        if (!may_fill(hole, m->slots[at].hash & mask, at, mask)) continue;
        m->slots[hole] = m->slots[at];
        hole = at;
    }
    m->slots[hole] = (struct map_str_slot){0, SPAN_EMPTY, NULL};
    m->count--;
    return value;
}

bool map_str_next(const struct map_str *m, size_t *at, struct span *key, void **value) {
    must(at != NULL);
    must(m->count <= m->cap);
    for (; *at < m->cap; (*at)++) {
        const struct map_str_slot *slot = &m->slots[*at];
        if (!slot->value) continue;
        if (key) *key = slot->key;
        if (value) *value = slot->value;
        (*at)++;
        return true;
    }
    return false;
}

void map_str_deinit(struct map_str *m) {
    must(m->count <= m->cap);
    free(m->slots);
    map_str_init(m, m->seed);
}
