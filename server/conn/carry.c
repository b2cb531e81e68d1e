/* carry.c - buffers for bytes that have to wait, in powers of two from 4 KiB.
 *
 * Happy path: the few bytes a receive buffer ends with lie here until the rest arrives, and the buffer goes
 * back to the free list of its size. What fails: the budget (ERR_LIMIT; the connection then stops receiving
 * and tries again when something was given back) and memory. Forced room may pass the budget: it is for what
 * the kernel has handed over already, at most two receive buffers a connection, which must be kept somewhere.
 */
#include "conn/carry.h"

#include <stdlib.h>
#include <string.h>

#include "base/asan.h"
#include "base/must.h"

void ingest_init(struct ingest *in, uint64_t max) {
    must(max > 0);
    *in = (struct ingest){.max = max};
}

static unsigned class_of(size_t n) {
    unsigned k = 0;
    while (k < CARRY_CLASSES && ((size_t)CARRY_MIN << k) < n) k++;
    return k;
}

static size_t class_size(unsigned k) {
    must(k < CARRY_CLASSES);
    return (size_t)CARRY_MIN << k;
}

static uint8_t *buffer_take(struct ingest *in, unsigned k) {
    uint8_t *p = in->free_list[k];
    if (!p) return malloc(class_size(k));
    memcpy(&in->free_list[k], p, sizeof(void *));
    asan_unpoison(p, class_size(k));
    in->kept -= class_size(k);
    return p;
}

static void buffer_give(struct ingest *in, uint8_t *p, size_t cap) {
    must(p != NULL && cap > 0);
    unsigned k = class_of(cap);
    must(class_size(k) == cap);
    if (in->kept + cap > in->max / 4 || in->kept + cap > CARRY_KEEP_MAX) {
        free(p);
        return;
    }
    memcpy(p, &in->free_list[k], sizeof(void *));
    in->free_list[k] = p;
    in->kept += cap;
    asan_poison(p + sizeof(void *), cap - sizeof(void *));
}

void ingest_deinit(struct ingest *in) {
    must(in->used == 0);
    for (unsigned k = 0; k < CARRY_CLASSES; k++) {
        while (in->free_list[k]) free(buffer_take(in, k));
    }
    must(in->kept == 0);
}

enum err carry_room(struct ingest *in, struct carry *c, size_t total, bool forced) {
    must(total >= c->n);
    if (c->cap - c->at >= total && c->p) return ERR_OK;
    if (c->cap >= total && c->p) {
        memmove(c->p, c->p + c->at, c->n);
        c->at = 0;
        return ERR_OK;
    }
    unsigned k = class_of(total);
    if (k == CARRY_CLASSES) return ERR_NOMEM;
    size_t cap = class_size(k);
    if (!forced && in->used - c->cap + cap > in->max) return ERR_LIMIT;
    uint8_t *p = buffer_take(in, k);
    if (!p) return ERR_NOMEM;
    if (c->n) memcpy(p, c->p + c->at, c->n);
    in->used += cap;
    size_t n = c->n;
    carry_drop(in, c);
    *c = (struct carry){.p = p, .n = n, .cap = cap};
    return ERR_OK;
}

void carry_append(struct carry *c, const uint8_t *p, size_t n) {
    must(c->cap - c->at - c->n >= n);
    memcpy(c->p + c->at + c->n, p, n);
    c->n += n;
}

void carry_consume(struct ingest *in, struct carry *c, size_t used) {
    must(used <= c->n);
    c->at += used;
    c->n -= used;
    if (c->n == 0) carry_drop(in, c);
}

void carry_drop(struct ingest *in, struct carry *c) {
    if (!c->p) return;
    must(in->used >= c->cap);
    in->used -= c->cap;
    in->freed = true;
    buffer_give(in, c->p, c->cap);
    *c = (struct carry){0};
}

void carry_leave(struct ingest *in, const struct carry *c) {
    must(in->used >= c->cap);
    in->used -= c->cap;
    in->freed |= c->cap > 0;
}

void carry_arrive(struct ingest *in, const struct carry *c) {
    must((c->p == NULL) == (c->cap == 0));
    in->used += c->cap;
}
