/* backlog.c - a list of chunks, each filled from its start with [size of the letter, 8 bytes][letter]. The
 * first chunk is given up when its last letter has been dropped, so an empty backlog holds no memory. */
#include "shard/backlog.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/must.h"

enum { CHUNK_BYTES = 128 << 10, HEAD = 8 };

struct chunk {
    struct list link;
    size_t used, taken, cap;
    _Alignas(8) uint8_t bytes[];
};

static struct chunk *chunk_of(struct list *l) { return container_of(l, struct chunk, link); }

void backlog_init(struct backlog *b) {
    must(b != NULL);
    list_init(&b->chunks);
    b->bytes = 0;
}

void backlog_deinit(struct backlog *b) {
    list_each(at, next, &b->chunks) free(chunk_of(at));
    backlog_init(b);
}

static struct chunk *chunk_add(struct backlog *b, size_t need) {
    size_t cap = need > CHUNK_BYTES ? need : CHUNK_BYTES;
    struct chunk *c = malloc(sizeof *c + cap);
    must(c != NULL);
    c->used = c->taken = 0;
    c->cap = cap;
    list_add_tail(&b->chunks, &c->link);
    return c;
}

void *backlog_add(struct backlog *b, size_t n) {
    size_t need = HEAD + align_up(n, 8);
    must(n > 0);
    struct chunk *c = backlog_empty(b) ? NULL : chunk_of(b->chunks.prev);
    if (!c || c->cap - c->used < need) c = chunk_add(b, need);
    uint8_t *p = c->bytes + c->used;
    store64(p, n);
    c->used += need;
    b->bytes += n;
    must(c->used <= c->cap);
    return p + HEAD;
}

bool backlog_first(const struct backlog *b, struct span *letter) {
    if (backlog_empty(b)) return false;
    struct chunk *c = chunk_of(b->chunks.next);
    must(c->taken < c->used);
    *letter = span_of(c->bytes + c->taken + HEAD, load64(c->bytes + c->taken));
    return true;
}

void backlog_drop(struct backlog *b) {
    must(!backlog_empty(b));
    struct chunk *c = chunk_of(b->chunks.next);
    size_t n = load64(c->bytes + c->taken);
    must(b->bytes >= n);
    b->bytes -= n;
    c->taken += HEAD + align_up(n, 8);
    must(c->taken <= c->used);
    if (c->taken < c->used) return;
    list_del(&c->link);
    free(c);
}
