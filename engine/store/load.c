/* load.c - one record at a time, blocking: the pages of a checkpoint, at open and when one that was put aside
 * is wanted again. From the write buffer or the block cache when it is there, else one read of the file.
 *
 * At open pages lie close together, so that more is read than asked for and the next ones are there already.
 * What can fail is said by the result; damage is reported as any other. */
#include <string.h>

#include "base/bytes.h"
#include "base/must.h"
#include "store/core.h"

#define AHEAD ((size_t)256 << 10) /* at open */

enum err loader_init(struct store *s) {
    struct loader *l = &s->loader;
    must(l->window.p == NULL);
    l->ahead = AHEAD;
    enum err e = region_open(&l->window, FRAME_SIZE_MAX + AHEAD);
    return e ? e : region_open(&l->whole, REC_SIZE_MAX);
}

void loader_deinit(struct store *s) {
    region_close(&s->loader.window);
    region_close(&s->loader.whole);
}

void loader_forget(struct store *s) {
    struct loader *l = &s->loader;
    l->segno = 0;
    l->ahead = s->cfg.read_only ? AHEAD : 0;
    region_release(&l->window, 0, l->window.committed);
    region_release(&l->whole, 0, l->whole.committed);
}

static bool from_cache(struct store *s, struct seg *g, uint64_t off, size_t n, uint8_t *to) {
    for (size_t done = 0; done < n;) {
        size_t skip = (size_t)((off + done) % BLOCK_SIZE), valid;
        const uint8_t *p = cache_peek(s, g, (off + done) / BLOCK_SIZE, &valid);
        if (!p || skip >= valid) return false;
        size_t take = valid - skip < n - done ? valid - skip : n - done;
        if (take < n - done && valid < BLOCK_SIZE) return false;
        memcpy(to + done, p + skip, take);
        done += take;
    }
    return true;
}

/* n bytes at off, valid until the next call. */
static enum err bytes_at(struct store *s, struct seg *g, uint64_t off, size_t n, const uint8_t **p) {
    struct loader *l = &s->loader;
    must(n > 0);
    must(off + n <= g->size);
    if (l->segno == g->segno && off >= l->start && off + n <= l->start + l->have) {
        *p = l->window.p + (off - l->start);
        return ERR_OK;
    }
    uint64_t start = off & ~(uint64_t)(BUF_ALIGN - 1), limit = s->opened ? g->on_disk : g->size;
    size_t least = (size_t)(off + n - start), want = least > l->ahead ? least : l->ahead, got;
    if (start + want > limit && limit >= off + n) want = (size_t)(limit - start);
    want = align_up(want, BUF_ALIGN);
    if (want > l->window.reserved) return ERR_CORRUPT;
    if (region_commit(&l->window, want, false)) return ERR_NOMEM;
    l->segno = 0;
    if (s->opened && from_cache(s, g, off, n, l->window.p)) {
        *p = l->window.p;
        return ERR_OK;
    }
    if (g->fd < 0) {
        enum err e = seg_open_file(s, g, false);
        if (e) return e;
    }
    enum err e = io_file_read(s->io, g->fd, l->window.p, want, start, &got);
    if (e) return e;
    if (got < least) return ERR_CORRUPT;
    l->segno = g->segno;
    l->start = start;
    l->have = s->opened && !s->cfg.read_only ? least : got; /* what lies behind may yet be written */
    *p = l->window.p + (off - start);
    return ERR_OK;
}

/* The record as it lies in the file, a fragment as a fragment. length: without padding. */
static enum err read_piece(struct store *s, struct seg *g, uint64_t off, struct rec *out, uint32_t *length) {
    const uint8_t *p;
    struct rec_header h;
    size_t size;
    if (off < SEG_HEADERS_BYTES || off + sizeof h > g->size) return ERR_CORRUPT;
    enum err e = bytes_at(s, g, off, sizeof h, &p);
    if (e) return e;
    if (!rec_head(p, sizeof h, g->epoch, off, &h)) return ERR_CORRUPT;
    size_t n = align_up(h.size, REC_ALIGN);
    if (n > g->size - off || n > FRAME_SIZE_MAX) return ERR_CORRUPT;
    e = bytes_at(s, g, off, n, &p);
    if (e) return e;
    *length = h.size;
    return rec_check(p, n, g->epoch, off, out, &size) == REC_STATE_GOOD ? ERR_OK : ERR_CORRUPT;
}

static enum err piece(struct store *s, uint64_t loc, struct rec *out, uint32_t *length) {
    if (s->opened && store_buffered(s, loc, out, length)) return ERR_OK;
    struct seg *g;
    enum err e = ERR_OK;
    if (s->opened)
        e = seg_for_read(s, loc_seg(loc), &g);
    else if (!(g = seg_find(s, loc_seg(loc))))
        e = ERR_NONE;
    return e ? e : read_piece(s, g, loc_off(loc), out, length);
}

/* Takes a fragment in behind what is there; false: it does not belong. */
static bool take(struct loader *l, const struct rec *r, const struct rec *first,
                 const struct frag_header *whole, size_t *got) {
    struct frag_header h;
    if (r->kind != REC_FRAGMENT || r->payload.n < sizeof h) return false;
    memcpy(&h, r->payload.p, sizeof h);
    size_t n = r->payload.n - sizeof h;
    if (h.total != whole->total || h.offset != *got || n > whole->total - *got) return false;
    if (r->stream != first->stream || r->seq != first->seq) return false;
    memcpy(l->whole.p + *got, r->payload.p + sizeof h, n);
    *got += n;
    return true;
}

static enum err put_together(struct store *s, uint64_t loc, struct rec first, uint32_t length,
                             struct rec *out) {
    struct loader *l = &s->loader;
    struct frag_header whole;
    struct rec r = first;
    must(first.kind == REC_FRAGMENT);
    if (first.payload.n < sizeof whole) return ERR_CORRUPT;
    memcpy(&whole, first.payload.p, sizeof whole);
    if (whole.offset != 0 || whole.total > REC_SIZE_MAX) return ERR_CORRUPT;
    if (region_commit(&l->whole, whole.total, false)) return ERR_NOMEM;
    uint64_t off = loc_off(loc);
    uint32_t block = seg_find(s, loc_seg(loc))->block;
    size_t got = 0;
    while (take(l, &r, &first, &whole, &got)) {
        if (got == whole.total) {
            *out = first;
            out->kind = whole.kind;
            out->flags = whole.flags;
            return rec_split(l->whole.p, got, whole.subject_size, whole.hdr_size, out) ? ERR_OK : ERR_CORRUPT;
        }
        off += align_up(align_up(length, REC_ALIGN) + FRAME_OVERHEAD, block); /* first in the next frame */
        enum err e = piece(s, loc_of(loc_seg(loc), off), &r, &length);
        if (e) return e;
    }
    return ERR_CORRUPT;
}

enum err store_load(struct store *s, uint64_t loc, struct rec *out) {
    uint32_t length;
    must(out != NULL);
    must(loc != 0);
    enum err e = piece(s, loc, out, &length);
    if (!e && out->kind == REC_FRAGMENT) e = put_together(s, loc, *out, length, out);
    if (e != ERR_CORRUPT || !s->opened) return e; /* at open something older is tried */
    struct seg *g = seg_find(s, loc_seg(loc));
    must(g != NULL);
    report_damage(s, g, loc_off(loc), 0, NULL, "a piece of a checkpoint");
    return ERR_CORRUPT;
}
