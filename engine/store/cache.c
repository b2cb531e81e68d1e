/* cache.c - blocks of 128 KiB read from segment files, least recently used given up first. A missing block is
 * read asynchronously, once, whoever waits for it; a block handed out stays until the next commit. Only bytes
 * that were on disk when the read was submitted count as valid: a block of the segment in use is read again
 * when more is wanted of it.
 *
 * A reader that waits gets what it waited for, however many there are: a block on its way to one is not given
 * up before it was handed out, or for a second, should nobody come. What lies over several blocks is asked
 * for all at once or not at all, so that no two readers wait for each other's half.
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
    uint64_t held_ns; /* ready: for a reader that waits, until then */
    bool many;        /* who waits wants more blocks than this */
};

#define HELD_NS ((uint64_t)1000 * 1000 * 1000)
enum {
    NIL = 0xffffffff,
    LOADING_AHEAD_MAX = 4, /* parts of the cache that read-ahead may occupy: one in so many */
    SINGLE_MAX = 2         /* the same for it and those who wait for one block */
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

static bool may_go(const struct store *s, const struct block *b, uint64_t now) {
    if (b->state == BLOCK_LOADING) return false;
    return b->state == BLOCK_FAILED || (b->tick != s->tick && b->held_ns <= now);
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
    uint64_t now = io_now(s->io);
    list_each(l, next, &c->lru) {
        struct block *b = container_of(l, struct block, lru);
        if (!may_go(s, b, now)) continue;
        forget(c, b);
        list_del(&b->lru);
        return b;
    }
    return NULL;
}

/* May another block be loaded that leaves all but one in `part` to readers of several? */
static bool may_load(const struct store *s, uint32_t part) {
    const struct cache *c = &s->cache;
    uint64_t now = io_now(s->io);
    uint32_t busy = 0;
    for (const struct list *l = c->lru.next; l != &c->lru; l = l->next) {
        const struct block *b = container_of(l, struct block, lru);
        busy += !b->many && (b->state == BLOCK_LOADING || b->held_ns > now);
    }
    return busy < c->count / part;
}

static struct block *load(struct store *s, struct seg *g, uint64_t index) {
    struct cache *c = &s->cache;
    struct block *b = take(s);
    if (!b) return NULL;
    uint64_t start = index * BLOCK_SIZE;
    must(start < g->on_disk);
    must(g->fd >= 0);
    must(b->state == BLOCK_FREE);
    b->key = key_of(g, index);
    uint32_t *bucket = bucket_of(c, b->key);
    b->next = *bucket;
    *bucket = number_of(c, b);
    list_add_tail(&c->lru, &b->lru);
    b->state = BLOCK_LOADING;
    b->valid = g->on_disk - start < BLOCK_SIZE ? (size_t)(g->on_disk - start) : BLOCK_SIZE;
    b->seg = g;
    b->tick = b->held_ns = 0;
    b->many = false;
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
    must(b->state == BLOCK_LOADING);
    must(b->seg->reads > 0);
    b->seg->reads--;
    b->seg = NULL;
    b->why = res < 0 ? (enum err) - res : ERR_OK;
    b->cut = res >= 0 && (size_t)res < b->valid; /* the file ends before its time */
    if (b->cut) b->valid = (size_t)res;
    b->state = b->why ? BLOCK_FAILED : BLOCK_READY;
    if (!list_empty(&b->waiters) || b->held_ns) b->held_ns = io_now(s->io) + HELD_NS;
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
    must(upto <= BLOCK_SIZE);
    must(index * BLOCK_SIZE + upto <= g->on_disk);
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
        b = may_load(s, SINGLE_MAX) ? load(s, g, index) : NULL;
        if (!b) return ERR_FULL;
        ahead(s, g, index);
    }
    if (b->state == BLOCK_LOADING) {
        wait_on(b, w);
        return ERR_LATER;
    }
    bool first = b->tick == 0;
    b->tick = s->tick; /* from here on it stays */
    b->held_ns = 0;
    b->many = false;
    list_del(&b->lru);
    list_add_tail(&c->lru, &b->lru);
    if (first) ahead(s, g, index);
    c->hits++;
    *p = memory_of(c, b);
    *n = b->valid;
    return ERR_OK;
}

const uint8_t *cache_peek(struct store *s, struct seg *g, uint64_t index, size_t *n) {
    must(n != NULL);
    const struct block *b = lookup(&s->cache, key_of(g, index));
    if (!b || b->state != BLOCK_READY) return NULL;
    *n = b->valid;
    return memory_of(&s->cache, b);
}

/* --- several blocks --- */

static bool room_for(struct store *s, size_t n) {
    struct cache *c = &s->cache;
    size_t room = c->count - c->used;
    for (const struct list *l = c->spare.next; l != &c->spare && room < n; l = l->next) room++;
    uint64_t now = io_now(s->io);
    for (const struct list *l = c->lru.next; l != &c->lru && room < n; l = l->next)
        room += may_go(s, container_of(l, struct block, lru), now);
    return room >= n;
}

/* Counts what is not there yet; what is there stays at least to the end of this tick. */
static enum err survey(struct store *s, struct seg *g, uint64_t off, size_t n, size_t *missing,
                       size_t *loading) {
    uint64_t first = off / BLOCK_SIZE, last = (off + n - 1) / BLOCK_SIZE;
    for (uint64_t i = first; i <= last; i++) {
        struct block *b = lookup(&s->cache, key_of(g, i));
        size_t upto = i < last ? BLOCK_SIZE : (size_t)(off + n - i * BLOCK_SIZE);
        if (!b) {
            ++*missing;
        } else if (b->state == BLOCK_LOADING) {
            ++*loading;
        } else if (b->state == BLOCK_READY && b->valid >= upto) {
            b->tick = s->tick;
        } else {
            const uint8_t *p;
            size_t valid;
            enum err e = cache_get(s, g, i, upto, NULL, &p, &valid); /* an error, or read again */
            if (e != ERR_LATER) return e;
            ++*loading;
        }
    }
    return ERR_OK;
}

enum err cache_want(struct store *s, struct seg *g, uint64_t off, size_t n, struct store_wait *w) {
    uint64_t first = off / BLOCK_SIZE, last = (off + n - 1) / BLOCK_SIZE;
    size_t missing = 0, loading = 0;
    must(n > 0);
    must(off + n <= g->on_disk);
    enum err e = survey(s, g, off, n, &missing, &loading);
    if (e || missing + loading == 0) return e;
    if (!room_for(s, missing)) return ERR_FULL;
    struct block *wait = NULL;
    for (uint64_t i = first; i <= last; i++) {
        struct block *b = lookup(&s->cache, key_of(g, i));
        if (!b) b = load(s, g, i);
        if (!b) return ERR_FULL; /* no memory for a cache of full size */
        b->held_ns = io_now(s->io) + HELD_NS;
        b->many = true;
        if (b->state == BLOCK_LOADING) wait = b;
    }
    must(wait != NULL);
    wait_on(wait, w);
    ahead(s, g, last);
    return ERR_LATER;
}

void cache_prefetch(struct store *s, struct seg *g, uint64_t index) {
    if (index * BLOCK_SIZE >= g->on_disk || lookup(&s->cache, key_of(g, index))) return;
    if (may_load(s, LOADING_AHEAD_MAX)) (void)load(s, g, index);
}

void store_wait_init(struct store_wait *w) {
    list_init(&w->link);
    w->waiting = false;
}

void store_wait_cancel(struct store_wait *w) {
    if (w->waiting) list_del(&w->link);
    w->waiting = false;
}
