/* directory.c - see directory.h. Happy path: add, activate, find. What fails is memory; then the entry is as
 * it was. */
#include "jetstream/directory.h"

#include <stdlib.h>

#include "base/must.h"
#include "subject/subject.h"

void directory_init(struct directory *d, uint64_t seed) {
    *d = (struct directory){0};
    map_str_init(&d->by_name, seed);
}

static void entry_free(struct dir_entry *e) {
    must(e->name.n > 0);
    free(e->subjects);
    free(e);
}

void directory_deinit(struct directory *d) {
    size_t at = 0;
    struct span name;
    void *e;
    while (map_str_next(&d->by_name, &at, &name, &e)) entry_free(e);
    map_str_deinit(&d->by_name);
    *d = (struct directory){0};
}

struct dir_entry *directory_find(const struct directory *d, struct span name) {
    return map_str_get(&d->by_name, name);
}

struct dir_entry *directory_add(struct directory *d, struct span name, uint32_t shard, uint64_t incarnation) {
    must(name.n > 0 && shard < DIR_SHARDS_MAX);
    must(!directory_find(d, name));
    struct dir_entry *e = calloc(1, sizeof *e + name.n);
    if (!e) return NULL;
    memcpy(e->block, name.p, name.n);
    e->name = span_of(e->block, name.n);
    e->shard = shard;
    e->incarnation = incarnation;
    e->state = DIR_RESERVED;
    if (map_str_put(&d->by_name, e->name, e) != ERR_OK) {
        free(e);
        return NULL;
    }
    d->per_shard[shard]++;
    d->listed++;
    return e;
}

void directory_reserve(struct directory *d, struct dir_entry *e, bool memory, int64_t max_bytes) {
    int64_t *old = e->memory ? &d->reserved_memory : &d->reserved_storage;
    *old -= e->max_bytes;
    must(*old >= 0);
    e->memory = memory;
    e->max_bytes = max_bytes > 0 ? max_bytes : 0;
    *(memory ? &d->reserved_memory : &d->reserved_storage) += e->max_bytes;
}

void directory_remove(struct directory *d, struct dir_entry *e) {
    directory_reserve(d, e, e->memory, 0);
    directory_move(d, e, DIR_LEAVING);
    struct dir_entry *was = map_str_del(&d->by_name, e->name);
    must(was == e);
    must(d->per_shard[e->shard] > 0 && d->listed > 0);
    d->per_shard[e->shard]--;
    d->listed--;
    entry_free(e);
}

void directory_move(struct directory *d, struct dir_entry *e, enum dir_state state) {
    if (e->state == DIR_ACTIVE) d->active--;
    e->state = state;
    if (state == DIR_ACTIVE) d->active++;
    must(d->active <= d->listed);
}

enum err directory_subjects(struct dir_entry *e, const struct span *subjects, size_t n) {
    must(n == 0 || subjects);
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++) bytes += subjects[i].n;
    struct span *copy = malloc(n * sizeof *copy + bytes + 1);
    if (!copy) return ERR_NOMEM;
    uint8_t *at = (uint8_t *)(copy + n);
    for (size_t i = 0; i < n; i++) {
        memcpy(at, subjects[i].p, subjects[i].n);
        copy[i] = span_of(at, subjects[i].n);
        at += subjects[i].n;
    }
    free(e->subjects);
    e->subjects = copy;
    e->subjects_n = n;
    return ERR_OK;
}

static bool any_overlap(const struct dir_entry *e, const struct span *subjects, size_t n) {
    must(e->subjects_n == 0 || e->subjects);
    for (size_t i = 0; i < e->subjects_n; i++)
        for (size_t k = 0; k < n; k++)
            if (subject_overlap(e->subjects[i], subjects[k])) return true;
    return false;
}

bool directory_overlaps(const struct directory *d, const struct dir_entry *self, const struct span *subjects,
                        size_t n) {
    must(n == 0 || subjects);
    size_t at = 0;
    struct span name;
    void *e;
    while (map_str_next(&d->by_name, &at, &name, &e))
        if (e != self && any_overlap(e, subjects, n)) return true;
    return false;
}

uint32_t directory_pick(const struct directory *d, unsigned shards, bool memory) {
    must(shards > 0 && shards <= DIR_SHARDS_MAX);
    uint32_t best = shards;
    for (uint32_t i = 0; i < shards; i++) {
        if (!memory && d->failed >> i & 1) continue;
        if (best == shards || d->per_shard[i] < d->per_shard[best]) best = i;
    }
    return best;
}

static int by_name(const void *a, const void *b) {
    const struct dir_entry *x = *(struct dir_entry *const *)a, *y = *(struct dir_entry *const *)b;
    int r = memcmp(x->name.p, y->name.p, x->name.n < y->name.n ? x->name.n : y->name.n);
    return r ? r : x->name.n < y->name.n ? -1 : x->name.n > y->name.n;
}

struct dir_entry **directory_sorted(const struct directory *d, struct span filter, size_t *n) {
    struct dir_entry **list = calloc(d->active + 1, sizeof(struct dir_entry *));
    if (!list) return NULL;
    size_t at = 0;
    struct span name;
    void *v;
    *n = 0;
    while (map_str_next(&d->by_name, &at, &name, &v)) {
        struct dir_entry *e = v;
        if (e->state == DIR_ACTIVE && (filter.n == 0 || any_overlap(e, &filter, 1))) list[(*n)++] = e;
    }
    must(*n <= d->active);
    qsort(list, *n, sizeof(struct dir_entry *), by_name);
    return list;
}
