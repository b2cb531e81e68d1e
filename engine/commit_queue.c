/* commit_queue.c - a ring of entries with their notes behind them.
 *
 * Entries are contiguous and 8-byte aligned; one that would cross the ring's end leaves a CQ_SKIP entry (or,
 * when not even that fits, nothing) and begins at the front. An empty ring starts again at the front, so that
 * a shard with little outstanding stays within a few cache lines. Nothing can fail but memory at cq_init();
 * who pushes has asked cq_room(). */
#include "commit_queue.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/must.h"

enum { ENTRY_ALIGN = 8 };
static_must(sizeof(struct cq_entry) % ENTRY_ALIGN == 0);

static size_t entry_size(size_t note_size) {
    return align_up(sizeof(struct cq_entry) + note_size, ENTRY_ALIGN);
}
static size_t offset_of(const struct commit_queue *q, uint64_t pos) { return (size_t)(pos & (q->size - 1)); }
static struct cq_entry *entry_at(const struct commit_queue *q, uint64_t pos) {
    must(pos < q->tail);
    return (struct cq_entry *)(void *)(q->buf + offset_of(q, pos));
}

enum err cq_init(struct commit_queue *q, size_t size) {
    must(size >= 4 * entry_size(CQ_NOTE_MAX));
    must((size & (size - 1)) == 0);
    *q = (struct commit_queue){
        .size = size, .last = UINT64_MAX, .open_first = UINT64_MAX, .open_last = UINT64_MAX};
    q->buf = malloc(size);
    return q->buf ? ERR_OK : ERR_NOMEM;
}

void cq_deinit(struct commit_queue *q) {
    free(q->buf);
    *q = (struct commit_queue){.last = UINT64_MAX};
}

/* Bytes lost at the ring's end when n contiguous ones are wanted at the tail. */
static size_t skip_before(const struct commit_queue *q, size_t n) {
    size_t left = q->size - offset_of(q, q->tail);
    return left < n ? left : 0;
}

bool cq_room(const struct commit_queue *q, size_t note_size) {
    must(note_size <= CQ_NOTE_MAX);
    must(q->tail - q->head <= q->size);
    size_t n = entry_size(note_size);
    return q->tail - q->head + n + skip_before(q, n) <= q->size;
}

/* Is the newest entry a mere move of the same stream's watermark in the same frame? */
static bool extends_last(const struct commit_queue *q, const struct cq_entry *e) {
    if (e->kind != CQ_VISIBLE || q->last == UINT64_MAX || q->last < q->read) return false;
    const struct cq_entry *l = entry_at(q, q->last);
    return l->kind == CQ_VISIBLE && l->stream == e->stream && l->frame == e->frame &&
           l->durable == e->durable;
}

static void fill_end(struct commit_queue *q, size_t n) {
    if (n >= sizeof(struct cq_entry)) {
        struct cq_entry *skip = (struct cq_entry *)(void *)(q->buf + offset_of(q, q->tail));
        *skip = (struct cq_entry){.kind = CQ_SKIP, .size = (uint32_t)n};
    }
    q->tail += n;
}

static void link_open(struct commit_queue *q, uint64_t pos) {
    entry_at(q, pos)->open_next = UINT64_MAX;
    if (q->open_last != UINT64_MAX) entry_at(q, q->open_last)->open_next = pos;
    if (q->open_first == UINT64_MAX) q->open_first = pos;
    q->open_last = pos;
}

bool cq_push(struct commit_queue *q, const struct cq_entry *e, struct span note) {
    must(e->kind > CQ_SKIP && e->kind <= CQ_BARRIER);
    must(e->frame >= q->frame);
    must(cq_room(q, note.n));
    if (e->frame != CQ_OPEN) q->frame = e->frame;
    if (extends_last(q, e)) {
        struct cq_entry *l = entry_at(q, q->last);
        must(e->seq >= l->seq);
        l->seq = e->seq;
        return false;
    }
    size_t n = entry_size(note.n);
    fill_end(q, skip_before(q, n));
    struct cq_entry *at = (struct cq_entry *)(void *)(q->buf + offset_of(q, q->tail));
    *at = *e;
    at->size = (uint32_t)n;
    at->note_size = (uint16_t)note.n;
    if (note.n) memcpy(at + 1, note.p, note.n);
    q->last = q->tail;
    q->tail += n;
    q->count++;
    if (e->frame == CQ_OPEN) link_open(q, q->last);
    return true;
}

void cq_settle(struct commit_queue *q, uint64_t frame, uint8_t status) {
    must(frame != CQ_OPEN);
    while (q->open_first != UINT64_MAX) {
        struct cq_entry *e = entry_at(q, q->open_first);
        must(e->frame == CQ_OPEN);
        e->frame = frame;
        e->status = status;
        q->open_first = e->open_next;
    }
    q->open_last = UINT64_MAX;
    if (frame > q->frame) q->frame = frame;
}

bool cq_open(const struct commit_queue *q) {
    must((q->open_first == UINT64_MAX) == (q->open_last == UINT64_MAX));
    return q->open_first != UINT64_MAX;
}

const struct cq_entry *cq_peek(struct commit_queue *q) {
    must(q->head <= q->read && q->read <= q->tail);
    while (q->read < q->tail) {
        size_t left = q->size - offset_of(q, q->read);
        if (left < sizeof(struct cq_entry)) {
            q->read += left;
            continue;
        }
        const struct cq_entry *e = entry_at(q, q->read);
        if (e->kind != CQ_SKIP) return e;
        q->read += e->size;
    }
    return NULL;
}

void cq_take(struct commit_queue *q) {
    const struct cq_entry *e = cq_peek(q);
    must(e != NULL);
    must(q->read + e->size <= q->tail);
    must(e->frame != CQ_OPEN);
    if (q->last == q->read) q->last = UINT64_MAX;
    q->read += e->size;
    q->count--;
}

struct span cq_note(const struct cq_entry *e) {
    must(e->kind != CQ_SKIP);
    return span_of(e + 1, e->note_size);
}

void cq_release(struct commit_queue *q) {
    must(q->read <= q->tail);
    q->head = q->read;
    if (q->head != q->tail) return;
    q->head = q->read = q->tail = 0;
    q->last = UINT64_MAX;
}

bool cq_empty(const struct commit_queue *q) {
    must(q->read <= q->tail);
    must(q->count > 0 || q->read == q->tail);
    return q->count == 0;
}
