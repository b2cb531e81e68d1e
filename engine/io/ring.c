/* ring.c - the byte queue between two threads. A message is an 8-byte head (its length) and its bytes,
 * rounded up to 8; one that does not fit before the end of the buffer starts over at the front behind a skip
 * mark. Positions count bytes since the start and never wrap. The only operating failure is a reader that is
 * behind: NULL from ring_reserve(). */
#include "io/ring.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/must.h"

#define HEAD 8u
#define SKIP UINT64_MAX

enum err ring_init(struct ring *r, size_t size) {
    must(size >= 64);
    must((size & (size - 1)) == 0);
    memset(r, 0, sizeof *r);
    r->buf = aligned_alloc(64, size);
    if (!r->buf) return ERR_NOMEM;
    r->size = size;
    return ERR_OK;
}

void ring_deinit(struct ring *r) {
    must(r->buf != NULL || r->size == 0);
    free(r->buf);
    r->buf = NULL;
    r->size = 0;
}

size_t ring_message_max(const struct ring *r) {
    must(r->size > 0);
    return r->size / 4;
}

static bool writer_has_room(struct ring *r, size_t need) {
    must(r->tail_local - r->head_seen <= r->size);
    if (r->size - (r->tail_local - r->head_seen) >= need) return true;
    r->head_seen = atomic_load_explicit(&r->head, memory_order_acquire);
    return r->size - (r->tail_local - r->head_seen) >= need;
}

void *ring_reserve(struct ring *r, size_t n) {
    must(r->buf != NULL);
    must(n <= ring_message_max(r));
    size_t at = r->tail_local & (r->size - 1), frame = align_up(HEAD + n, 8);
    size_t skip = r->size - at < frame ? r->size - at : 0;
    if (!writer_has_room(r, skip + frame)) return NULL;
    if (skip)
        store64(r->buf + at, SKIP); /* the reader sees it only once the message behind it is published */
    r->reserved_at = r->tail_local + skip;
    r->reserved = n;
    return r->buf + (r->reserved_at & (r->size - 1)) + HEAD;
}

void ring_push(struct ring *r, size_t n) {
    must(r->reserved_at >= r->tail_local); /* one push a reservation */
    must(n <= r->reserved);
    store64(r->buf + (r->reserved_at & (r->size - 1)), n);
    r->tail_local = r->reserved_at + align_up(HEAD + n, 8);
    r->reserved = 0;
    must(r->tail_local - r->head_seen <= r->size);
}

bool ring_publish(struct ring *r) {
    must(r->buf != NULL);
    if (atomic_load_explicit(&r->tail, memory_order_relaxed) == r->tail_local) return false;
    atomic_store_explicit(&r->tail, r->tail_local, memory_order_release);
    return true;
}

bool ring_next(struct ring *r, struct span *msg) {
    must(r->buf != NULL);
    if (r->head_local == r->tail_seen) {
        r->tail_seen = atomic_load_explicit(&r->tail, memory_order_acquire);
        if (r->head_local == r->tail_seen) return false;
    }
    size_t at = r->head_local & (r->size - 1);
    uint64_t n = load64(r->buf + at);
    if (n == SKIP) {
        r->head_local += r->size - at;
        at = 0;
        n = load64(r->buf);
    }
    must(n <= ring_message_max(r));
    *msg = span_of(r->buf + at + HEAD, n);
    r->head_local += align_up(HEAD + n, 8);
    must(r->head_local <= r->tail_seen);
    return true;
}

bool ring_waiting(struct ring *r) {
    must(r->buf != NULL);
    if (r->head_local == r->tail_seen) r->tail_seen = atomic_load_explicit(&r->tail, memory_order_acquire);
    return r->head_local != r->tail_seen;
}

void ring_release(struct ring *r) {
    must(r->head_local <= r->tail_seen);
    if (atomic_load_explicit(&r->head, memory_order_relaxed) == r->head_local) return;
    atomic_store_explicit(&r->head, r->head_local, memory_order_release);
}
