/* cache.c - blocks of 128 KiB read from segment files, least recently used given up first. A missing block is
 * read asynchronously, once, whoever waits for it; a block handed out stays until the next commit. Only bytes
 * that were on disk when the read was submitted count as valid: a block of the segment in use is read again
 * when more is wanted of it.
 *
 * A failed read is told to those who waited and forgotten, so that a later reader tries again. */
#include <stdlib.h>

#include "base/bytes.h"
#include "base/must.h"
#include "store/core.h"

enum block_state { BLOCK_FREE, BLOCK_LOADING, BLOCK_READY, BLOCK_FAILED };
struct block {
    struct io_op op;
    struct store *s;
    struct seg *seg; /* while loading */
    struct list lru, waiters;
    uint64_t key, tick; /* tick: when it was handed out last */
    uint32_t next;      /* in its bucket */
    enum block_state state;
    enum err why;
    bool cut;
    size_t valid;
};

enum {
    NIL = 0xffffffff,
    LOADING_AHEAD_MAX = 4 /* parts of the cache that read-ahead may occupy: one in so many */
};

static uint64_t key_of(const struct seg *g, uint64_t index) { return g->segno << 32 | index; }
static uint32_t number_of(const struct cache *c, const struct block *b) { return (uint32_t)(b - c->blocks); }
static uint8_t *memory_of(const struct cache *c, const struct block *b) {
    return c->mem.p + (size_t)number_of(c, b) * BLOCK_SIZE;
}
static uint32_t *bucket_of(struct cache *c, uint64_t key) { return &c->buckets[mix64(key) & c->mask]; }

static void on_loaded(struct io_op *op, int64_t res);

enum err cache_init(struct store *s) {
    struct cache *c = &s->cache;
    uint32_t least = 2 * (s->cfg.frame_max / BLOCK_SIZE + 2); /* any record fits, twice */
    c->count = (uint32_t)(s->cfg.cache_bytes / BLOCK_SIZE);
    if (c->count < least) c->count = least;
    for (c->mask = 63; c->mask < c->count;) c->mask = c->mask * 2 + 1;
    list_init(&c->lru);
    list_init(&c->spare);
    c->blocks = calloc(c->count, sizeof *c->blocks);
    c->buckets = malloc((c->mask + 1) * sizeof *c->buckets);
    if (!c->blocks || !c->buckets) return ERR_NOMEM;
    for (uint32_t i = 0; i <= c->mask; i++) c->buckets[i] = NIL;
    for (uint32_t i = 0; i < c->count; i++) {
        c->blocks[i].s = s;
        list_init(&c->blocks[i].lru);
        list_init(&c->blocks[i].waiters);
    }
    return region_open(&c->mem, (size_t)c->count * BLOCK_SIZE);
}

void cache_deinit(struct store *s) {
    struct cache *c = &s->cache;
    for (uint32_t i = 0; i < c->count && c->blocks; i++) must(!c->blocks[i].op.busy);
    region_close(&c->mem);
    free(c->blocks);
    free(c->buckets);
}

static struct block *lookup(struct cache *c, uint64_t key) {
    for (uint32_t i = *bucket_of(c, key); i != NIL; i = c->blocks[i].next) {
        if (c->blocks[i].key == key) return &c->blocks[i];
    }
    return NULL;
}

static void forget(struct cache *c, struct block *b) {
    must(b->state == BLOCK_READY || b->state == BLOCK_FAILED);
    uint32_t *at = bucket_of(c, b->key);
    while (*at != number_of(c, b)) at = &c->blocks[*at].next;
    *at = b->next;
    b->state = BLOCK_FREE;
    list_del(&b->lru);
    list_add_tail(&c->spare, &b->lru);
}

/* A block to load into: one given back, a new one while the cache grows, then the one used longest ago. */
static struct block *take(struct store *s) {
    struct cache *c = &s->cache;
    struct list *spare = list_pop(&c->spare);
    if (spare) return container_of(spare, struct block, lru);
    if (c->used < c->count) {
        size_t upto = (size_t)(c->used + 1) * BLOCK_SIZE;
        if (region_commit(&c->mem, upto, false) == ERR_OK) return &c->blocks[c->used++];
    }
    list_each(l, next, &c->lru) {
        struct block *b = container_of(l, struct block, lru);
        if (b->state == BLOCK_LOADING || (b->state == BLOCK_READY && b->tick == s->tick)) continue;
        forget(c, b);
        list_del(&b->lru);
        return b;
    }
    return NULL;
}

static struct block *load(struct store *s, struct seg *g, uint64_t index) {
    struct cache *c = &s->cache;
    struct block *b = take(s);
    if (!b) return NULL;
    uint64_t start = index * BLOCK_SIZE;
    must(start < g->on_disk && g->fd >= 0 && b->state == BLOCK_FREE);
    b->key = key_of(g, index);
    uint32_t *bucket = bucket_of(c, b->key);
    b->next = *bucket;
    *bucket = number_of(c, b);
    list_add_tail(&c->lru, &b->lru);
    b->state = BLOCK_LOADING;
    b->valid = g->on_disk - start < BLOCK_SIZE ? (size_t)(g->on_disk - start) : BLOCK_SIZE;
    b->seg = g;
    b->tick = 0;
    b->op.kind = IO_OP_READ;
    b->op.flags = 0;
    b->op.fd = g->fd;
    b->op.buf = memory_of(c, b);
    b->op.len = BLOCK_SIZE;
    b->op.off = start;
    b->op.on_done = on_loaded;
    g->reads++;
    c->reads++;
    io_submit(s->io, &b->op);
    return b;
}

static void on_loaded(struct io_op *op, int64_t res) {
    struct block *b = container_of(op, struct block, op);
    struct store *s = b->s;
    must(b->state == BLOCK_LOADING && b->seg->reads > 0);
    b->seg->reads--;
    b->seg = NULL;
    b->why = res < 0 ? (enum err) - res : ERR_OK;
    b->cut = res >= 0 && (size_t)res < b->valid; /* the file ends before its time */
    if (b->cut) b->valid = (size_t)res;
    b->state = b->why ? BLOCK_FAILED : BLOCK_READY;
    struct list woken = LIST_INIT(woken);
    for (struct list *l; (l = list_pop(&b->waiters));) list_add_tail(&woken, l);
    if (b->state == BLOCK_FAILED && list_empty(&woken)) forget(&s->cache, b); /* nobody to tell */
    for (struct list *l; (l = list_pop(&woken));) {
        struct store_wait *w = container_of(l, struct store_wait, link);
        w->waiting = false;
        w->on_ready(w);
    }
}

static void wait_on(struct block *b, struct store_wait *w) {
    if (!w) return;
    must(!w->waiting);
    w->waiting = true;
    list_add_tail(&b->waiters, &w->link);
}

/* A block read for the first time behind one that is there: someone reads in order. */
static void ahead(struct store *s, struct seg *g, uint64_t index) {
    if (index && lookup(&s->cache, key_of(g, index - 1))) cache_prefetch(s, g, index + 1);
}

enum err cache_get(struct store *s, struct seg *g, uint64_t index, size_t upto, struct store_wait *w,
                   const uint8_t **p, size_t *n) {
    struct cache *c = &s->cache;
    must(upto <= BLOCK_SIZE && index * BLOCK_SIZE + upto <= g->on_disk);
    struct block *b = lookup(c, key_of(g, index));
    if (b && b->state == BLOCK_FAILED) {
        enum err why = b->why;
        if (list_empty(&b->waiters)) forget(c, b);
        return why;
    }
    if (b && b->state == BLOCK_READY && b->valid < upto) {
        if (b->cut) return ERR_CORRUPT;
        if (b->tick == s->tick) return ERR_FULL; /* spans of it are out: read again at the next tick */
        forget(c, b);
        b = NULL;
    }
    if (!b) {
        b = load(s, g, index);
        if (!b) return ERR_FULL;
        ahead(s, g, index);
    }
    if (b->state == BLOCK_LOADING) {
        wait_on(b, w);
        return ERR_LATER;
    }
    bool first = b->tick == 0;
    b->tick = s->tick; /* from here on it stays */
    list_del(&b->lru);
    list_add_tail(&c->lru, &b->lru);
    if (first) ahead(s, g, index);
    c->hits++;
    *p = memory_of(c, b);
    *n = b->valid;
    return ERR_OK;
}

void cache_prefetch(struct store *s, struct seg *g, uint64_t index) {
    if (index * BLOCK_SIZE >= g->on_disk || lookup(&s->cache, key_of(g, index))) return;
    uint32_t loading = 0;
    list_each(l, next, &s->cache.lru) loading += container_of(l, struct block, lru)->state == BLOCK_LOADING;
    if (loading * LOADING_AHEAD_MAX < s->cache.count) (void)load(s, g, index);
}

void store_wait_init(struct store_wait *w) {
    list_init(&w->link);
    w->waiting = false;
}

void store_wait_cancel(struct store_wait *w) {
    if (w->waiting) list_del(&w->link);
    w->waiting = false;
}
