/* memlog.c - see memlog.h. Records are laid one behind the other into 2 MiB slabs of one reserved region; a
 * slab whose records are all dead is given back to the kernel and used again. A record larger than a slab
 * takes neighbouring slabs of its own.
 *
 * The usual header packs into 20 bytes: times count from the slab's first record, and what does not fit its
 * bits (a time five hours later, a header block of 8 KiB, flags) makes the header a long one of 48 bytes.
 * What can fail is the ceiling (ERR_LIMIT) and memory itself (ERR_NOMEM); the log is then as it was. */
#include "store/memlog.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/must.h"
#include "store/format.h"
#include "store/frame.h"

#define SLAB        ((size_t)2 << 20)
#define ADDRESS_MAX ((uint64_t)256 << 30)
enum {
    MEM_ALIGN = 4,
    HEAD = 20,
    SEQ_BITS = 42,
    STREAM_BITS = 20,
    TIME_BITS = 44,
    SUBJECT_BITS = 12,
    HDR_LOW_BITS = 8,
    HDR_BITS = 13,
    SIZE_BITS = 27,
};
static_must(SEQ_BITS + STREAM_BITS < 63 && TIME_BITS + SUBJECT_BITS + HDR_LOW_BITS == 64);
static_must(SIZE_BITS + HDR_BITS - HDR_LOW_BITS == 32 && REC_SIZE_MAX < 1 << SIZE_BITS);

struct long_head {
    uint64_t seq;
    int64_t ts;
    uint32_t stream, hdr_size;
    uint16_t subject_size;
    uint8_t kind, flags;
};

struct slab {
    uint32_t live; /* records */
    uint32_t used;
    uint32_t span; /* slabs this one leads, for a large record; 0: part of another's, or free */
    bool held;
    int64_t ts;
};

struct memlog {
    struct region mem;
    struct slab *slabs;
    size_t count, top, free, held; /* top: slabs from here on were never used; free: below it */
    size_t current;                /* being filled; SIZE_MAX: none */
};

enum err memlog_open(struct memlog **out, uint64_t bytes_max) {
    must(out != NULL);
    struct memlog *m = *out = calloc(1, sizeof *m);
    if (!m) return ERR_NOMEM;
    if (bytes_max > ADDRESS_MAX) bytes_max = ADDRESS_MAX;
    m->count = (size_t)(bytes_max / SLAB);
    if (!m->count) m->count = 1;
    m->current = SIZE_MAX;
    m->slabs = calloc(m->count, sizeof *m->slabs);
    enum err e = m->slabs ? region_open(&m->mem, m->count * SLAB) : ERR_NOMEM;
    if (e) {
        free(m->slabs);
        free(m);
        *out = NULL;
    }
    return e;
}

void memlog_close(struct memlog *m) {
    if (!m) return;
    region_close(&m->mem);
    free(m->slabs);
    free(m);
}

uint64_t memlog_bytes(const struct memlog *m) { return (uint64_t)m->held * SLAB; }
enum mem_pages memlog_pages(const struct memlog *m) { return m->mem.pages; }

/* --- slabs --- */

static size_t find_free(const struct memlog *m, size_t n) {
    must(n > 0);
    must(m->top <= m->count);
    for (size_t i = 0, run = 0; m->free >= n && i < m->top; i++) {
        run = m->slabs[i].held ? 0 : run + 1;
        if (run == n) return i + 1 - n;
    }
    return SIZE_MAX;
}

/* n neighbouring slabs; *at is the first. */
static enum err slabs_take(struct memlog *m, size_t n, size_t *at) {
    must(n > 0);
    *at = find_free(m, n);
    if (*at == SIZE_MAX) {
        if (n > m->count - m->top) return ERR_LIMIT;
        enum err e = region_commit(&m->mem, (m->top + n) * SLAB, true);
        if (e) return e;
        *at = m->top;
        m->top += n;
        m->free += n;
    }
    for (size_t i = *at; i < *at + n; i++) m->slabs[i] = (struct slab){.held = true};
    m->slabs[*at].span = (uint32_t)n;
    m->free -= n;
    m->held += n;
    return ERR_OK;
}

static void slabs_give(struct memlog *m, size_t at) {
    must(m->held >= m->slabs[at].span);
    size_t n = m->slabs[at].span;
    must(n > 0);
    must(m->slabs[at].live == 0);
    region_release(&m->mem, at * SLAB, n * SLAB);
    for (size_t i = at; i < at + n; i++) m->slabs[i] = (struct slab){0};
    m->free += n;
    m->held -= n;
}

/* --- headers --- */

static bool packs(const struct rec *r, int64_t base) {
    must(r->subject.n <= UINT16_MAX);
    return r->kind == REC_MESSAGE && r->flags == 0 && r->seq >> SEQ_BITS == 0 &&
           r->stream >> STREAM_BITS == 0 && r->ts >= base && (uint64_t)(r->ts - base) >> TIME_BITS == 0 &&
           r->subject.n >> SUBJECT_BITS == 0 && r->hdr.n >> HDR_BITS == 0;
}

static uint8_t *put_head(uint8_t *at, const struct rec *r, int64_t base, bool packed) {
    size_t body = r->subject.n + r->hdr.n + r->payload.n;
    uint64_t a = (uint64_t)packed << 63, b = 0;
    uint32_t c = (uint32_t)body;
    if (packed) {
        a |= r->seq | (uint64_t)r->stream << SEQ_BITS;
        b = (uint64_t)(r->ts - base) | (uint64_t)r->subject.n << TIME_BITS |
            (uint64_t)(r->hdr.n & ((1 << HDR_LOW_BITS) - 1)) << (TIME_BITS + SUBJECT_BITS);
        c |= (uint32_t)(r->hdr.n >> HDR_LOW_BITS) << SIZE_BITS;
    }
    store64(at, a);
    store64(at + 8, b);
    store32(at + 16, c);
    at += HEAD;
    if (packed) return at;
    struct long_head h = {r->seq,  r->ts,   r->stream, (uint32_t)r->hdr.n, (uint16_t)r->subject.n,
                          r->kind, r->flags};
    memcpy(at, &h, sizeof h);
    return at + sizeof h;
}

static void get_rec(const uint8_t *at, int64_t base, struct rec *out) {
    uint64_t a = load64(at), b = load64(at + 8);
    uint32_t c = load32(at + 16);
    size_t body = c & ((1u << SIZE_BITS) - 1), subject, hdr;
    at += HEAD;
    if (a >> 63) {
        *out = (struct rec){.kind = REC_MESSAGE,
                            .stream = (uint32_t)(a >> SEQ_BITS) & ((1u << STREAM_BITS) - 1),
                            .seq = a & (((uint64_t)1 << SEQ_BITS) - 1),
                            .ts = base + (int64_t)(b & (((uint64_t)1 << TIME_BITS) - 1))};
        subject = (size_t)(b >> TIME_BITS) & ((1u << SUBJECT_BITS) - 1);
        hdr = (size_t)(b >> (TIME_BITS + SUBJECT_BITS)) | (size_t)(c >> SIZE_BITS) << HDR_LOW_BITS;
    } else {
        struct long_head h;
        memcpy(&h, at, sizeof h);
        *out = (struct rec){.kind = h.kind, .flags = h.flags, .stream = h.stream, .seq = h.seq, .ts = h.ts};
        subject = h.subject_size;
        hdr = h.hdr_size;
        at += sizeof h;
    }
    bool split = rec_split(at, body, subject, hdr, out);
    must(split);
}

/* --- the calls --- */

enum err memlog_append(struct memlog *m, const struct rec *r, uint64_t *loc) {
    size_t body = r->subject.n + r->hdr.n + r->payload.n;
    must(r->kind > 0);
    must(r->kind < REC_KIND_END);
    must(r->subject.n <= UINT16_MAX);
    if (body > REC_SIZE_MAX) return ERR_LIMIT;
    size_t most = align_up(HEAD + sizeof(struct long_head) + body, MEM_ALIGN), at = m->current;
    if (most > SLAB || at == SIZE_MAX || m->slabs[at].used + most > SLAB) {
        enum err e = slabs_take(m, (most + SLAB - 1) / SLAB, &at);
        if (e) return e;
        if (most <= SLAB) {
            size_t old = m->current;
            m->current = at;
            if (old != SIZE_MAX && m->slabs[old].live == 0) slabs_give(m, old);
        }
    }
    struct slab *b = &m->slabs[at];
    if (!b->used) b->ts = r->ts;
    bool packed = packs(r, b->ts);
    uint8_t *start = m->mem.p + at * SLAB + b->used, *p = put_head(start, r, b->ts, packed);
    const struct span parts[3] = {r->subject, r->hdr, r->payload};
    for (size_t i = 0; i < 3; i++) {
        if (parts[i].n) memcpy(p, parts[i].p, parts[i].n);
        p += parts[i].n;
    }
    *loc = (uint64_t)at << 32 | b->used / MEM_ALIGN;
    b->used += (uint32_t)align_up((size_t)(p - start), MEM_ALIGN);
    b->live++;
    return ERR_OK;
}

enum err memlog_read(struct memlog *m, uint64_t loc, struct rec *out) {
    must(out != NULL);
    size_t at = (size_t)(loc >> 32);
    if (at >= m->top || !m->slabs[at].span || !m->slabs[at].live) return ERR_NONE;
    size_t off = (size_t)(loc & UINT32_MAX) * MEM_ALIGN;
    must(off < m->slabs[at].used);
    get_rec(m->mem.p + at * SLAB + off, m->slabs[at].ts, out);
    return ERR_OK;
}

void memlog_dead(struct memlog *m, uint64_t loc) {
    size_t at = (size_t)(loc >> 32);
    must(at < m->top);
    must(m->slabs[at].live > 0);
    if (--m->slabs[at].live > 0) return;
    if (at == m->current)
        m->slabs[at].used = 0; /* empty: filled from its start again */
    else
        slabs_give(m, at);
}
