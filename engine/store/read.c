/* read.c - records out of the log. What is still in the write buffer is served from there; everything else
 * comes from the block cache and is verified each time it is handed out. A record that crosses blocks is
 * copied together in an arena that is emptied at the next commit; a fragmented one is gathered piece by piece
 * over as many ticks as its blocks take to arrive.
 *
 * Damage is an answer, not a failure: ERR_CORRUPT for this record, told to the owner once; its neighbours
 * still read. */
#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/must.h"
#include "store/core.h"

#define ARENA_LIMIT  ((size_t)4 << 20)
#define GATHER_STALE ((uint64_t)100 * 1000 * 1000) /* one nobody asked for this long may be given up */
#define GATHER_KEEP  ((uint64_t)1000 * 1000 * 1000)
enum { REPORTED_MAX = 4096 };

enum err reader_init(struct store *s) {
    must(s->arena.p == NULL);
    map_u64_init(&s->reported);
    enum err e = region_open(&s->arena, ARENA_LIMIT + 4 * (size_t)s->cfg.frame_max);
    for (size_t i = 0; i < GATHERS && !e; i++) e = region_open(&s->gathers[i].mem, REC_SIZE_MAX);
    return e ? e : cache_init(s);
}

void reader_deinit(struct store *s) {
    cache_deinit(s);
    region_close(&s->arena);
    for (size_t i = 0; i < GATHERS; i++) region_close(&s->gathers[i].mem);
    map_u64_deinit(&s->reported);
}

void reader_settle(struct store *s) {
    s->arena_used = 0;
    for (size_t i = 0; i < GATHERS; i++) {
        struct gather *t = &s->gathers[i];
        if (!t->loc || io_now(s->io) - t->touched_ns < GATHER_KEEP) continue;
        t->loc = 0;
        region_release(&t->mem, 0, t->mem.committed);
    }
}

void tell_damage(struct store *s, const struct store_damage *d) {
    must(d->what != NULL);
    s->stats.damaged++;
    if (s->owner.damaged) s->owner.damaged(s->owner.ctx, d);
}

void report_damage(struct store *s, struct seg *g, uint64_t off, uint64_t size, const struct rec *r,
                   const char *what) {
    uint64_t key = loc_of(g->segno, off);
    must(what != NULL);
    if (map_u64_get(&s->reported, key)) return;
    if (s->reported.count < REPORTED_MAX && map_u64_put(&s->reported, key, s))
        return; /* out of memory: say it later */
    g->damaged = true;
    struct store_damage d = {.segno = g->segno, .off = off, .size = size, .what = what, .unnamed = !r};
    if (r) d.kind = r->kind, d.stream = r->stream, d.seq = r->seq;
    seg_name(g, d.file);
    log_line(&s->log, LOG_ERROR,
             "log %04x: damage in %08x.seg at %llu, %llu bytes (stream %u, sequence %llu): %s", s->cfg.log,
             g->file, (unsigned long long)off, (unsigned long long)size, d.stream, (unsigned long long)d.seq,
             what);
    tell_damage(s, &d);
}

/* --- from the write buffer --- */

/* The frame in the buffer that holds loc; NULL: it is not there. */
static struct frame *buffered(struct store *s, uint64_t segno, uint64_t off, uint64_t *no) {
    uint64_t lo = s->oldest, hi = s->sealed + s->filling;
    while (lo <= hi) { /* the last frame that begins at or before loc */
        uint64_t mid = lo + (hi - lo) / 2;
        const struct frame *f = frame_at(s, mid);
        if (f->segno < segno || (f->segno == segno && f->off <= off))
            lo = mid + 1;
        else
            hi = mid - 1;
    }
    if (hi < s->oldest) return NULL;
    struct frame *f = frame_at(s, hi);
    *no = hi;
    return f->segno == segno && off < f->off + sizeof(struct frame_header) + f->used ? f : NULL;
}

static enum err read_buffered(struct store *s, struct frame *f, uint64_t no, uint64_t off, struct rec *out,
                              uint32_t *length) {
    struct rec_header h;
    const uint8_t *p = s->buf.p + f->pos + (off - f->off);
    must(off >= f->off + sizeof(struct frame_header));
    must(f->state != FRAME_GONE);
    memcpy(&h, p, sizeof h);
    must(h.size >= sizeof h);
    must(h.kind < REC_KIND_END);
    must(off + h.size <= f->off + sizeof(struct frame_header) + f->used);
    *out = (struct rec){.kind = h.kind, .flags = h.flags, .stream = h.stream, .seq = h.seq, .ts = h.ts};
    bool split = rec_split(p + sizeof h, h.size - sizeof h, h.subject_size, h.hdr_size, out);
    must(split);
    if (no < s->pinned) s->pinned = no;
    *length = h.size;
    return ERR_OK;
}

bool store_buffered(struct store *s, uint64_t loc, struct rec *out, uint32_t *length) {
    uint64_t no;
    struct frame *f = buffered(s, loc_seg(loc), loc_off(loc), &no);
    return f && read_buffered(s, f, no, loc_off(loc), out, length) == ERR_OK;
}

/* --- from the disk --- */

/* n contiguous bytes at off, in their block or copied to the arena. */
static enum err bytes_at(struct store *s, struct seg *g, uint64_t off, size_t n, struct store_wait *w,
                         const uint8_t **p) {
    uint64_t first = off / BLOCK_SIZE, last = (off + n - 1) / BLOCK_SIZE;
    size_t in = (size_t)(off % BLOCK_SIZE), valid;
    if (first == last) {
        enum err e = cache_get(s, g, first, in + n, w, p, &valid);
        if (!e) *p += in;
        return e;
    }
    enum err e = cache_want(s, g, off, n, w);
    if (e) return e;
    size_t at = align_up(s->arena_used, 8);
    if (at && at + n > ARENA_LIMIT) return ERR_FULL;
    must(n <= s->arena.reserved);
    if (region_commit(&s->arena, at + n, false)) return ERR_FULL;
    for (size_t done = 0; done < n;) {
        uint64_t index = (off + done) / BLOCK_SIZE;
        size_t skip = (size_t)((off + done) % BLOCK_SIZE),
               take = BLOCK_SIZE - skip < n - done ? BLOCK_SIZE - skip : n - done;
        const uint8_t *from;
        e = cache_get(s, g, index, skip + take, NULL, &from, &valid);
        must(e == ERR_OK); /* handed out in this tick, so it stays */
        memcpy(s->arena.p + at + done, from + skip, take);
        done += take;
    }
    s->arena_used = at + n;
    *p = s->arena.p + at;
    return ERR_OK;
}

static enum err corrupt(struct store *s, struct seg *g, uint64_t off, uint64_t size, const struct rec *r,
                        const char *what) {
    report_damage(s, g, off, size, r, what);
    return ERR_CORRUPT;
}

static enum err read_disk(struct store *s, uint64_t loc, struct store_wait *w, struct rec *out,
                          uint32_t *length) {
    struct seg *g;
    uint64_t off = loc_off(loc);
    enum err e = seg_for_read(s, loc_seg(loc), &g);
    if (e) return e;
    const size_t head = sizeof(struct rec_header);
    if (off < SEG_HEADERS_BYTES || off + head > g->on_disk)
        return corrupt(s, g, off, 0, NULL, "no record lies there");
    const uint8_t *p;
    struct rec_header h;
    size_t mark = s->arena_used, size;
    e = bytes_at(s, g, off, head, w, &p);
    if (e == ERR_CORRUPT) return corrupt(s, g, off, head, NULL, "the file ends before the record");
    if (e) return e;
    bool good = rec_head(p, head, g->epoch, off, &h);
    s->arena_used = mark;
    if (!good || off + align_up(h.size, REC_ALIGN) > g->on_disk)
        return corrupt(s, g, off, head, NULL, "a record's header does not verify");
    size_t n = align_up(h.size, REC_ALIGN);
    if (n > s->arena.reserved) return corrupt(s, g, off, n, NULL, "a record is larger than a frame");
    e = bytes_at(s, g, off, n, w, &p);
    if (e == ERR_CORRUPT) return corrupt(s, g, off, n, NULL, "the file ends within the record");
    if (e) return e;
    switch (rec_check(p, n, g->epoch, off, out, &size)) {
    case REC_STATE_GOOD: break;
    case REC_STATE_NO_HEAD: return corrupt(s, g, off, head, NULL, "a record's header does not verify");
    case REC_STATE_BAD_BODY: return corrupt(s, g, off, size, out, "a record's body does not verify");
    }
    *length = h.size;
    return ERR_OK;
}

/* The record as it lies in the log, a fragment as a fragment. length: without padding. */
static enum err read_plain(struct store *s, uint64_t loc, struct store_wait *w, struct rec *out,
                           uint32_t *length) {
    uint64_t no;
    struct frame *f = buffered(s, loc_seg(loc), loc_off(loc), &no);
    return f ? read_buffered(s, f, no, loc_off(loc), out, length) : read_disk(s, loc, w, out, length);
}

/* --- fragments --- */

static struct gather *gather_find(struct store *s, uint64_t loc) {
    for (size_t i = 0; i < GATHERS; i++) {
        if (s->gathers[i].loc == loc) return &s->gathers[i];
    }
    return NULL;
}

/* A free one, or the one asked for longest ago, if that is long enough or it was complete and handed out
 * before. */
static struct gather *gather_take(struct store *s) {
    struct gather *oldest = NULL;
    for (size_t i = 0; i < GATHERS; i++) {
        struct gather *t = &s->gathers[i];
        if (!t->loc) return t;
        if (!oldest || t->touched_ns < oldest->touched_ns) oldest = t;
    }
    bool idle = oldest->got == oldest->total && oldest->tick != s->tick;
    return idle || io_now(s->io) - oldest->touched_ns > GATHER_STALE ? oldest : NULL;
}

static bool gather_begin(struct gather *t, uint64_t loc, const struct rec *first) {
    struct frag_header h;
    must(first != NULL); /* who has none has found it begun */
    if (first->payload.n < sizeof h) return false;
    memcpy(&h, first->payload.p, sizeof h);
    if (h.offset != 0 || h.total > REC_SIZE_MAX || (uint64_t)h.subject_size + h.hdr_size > h.total)
        return false;
    t->loc = loc;
    t->next_off = loc_off(loc);
    t->got = 0;
    t->total = h.total;
    t->rec = (struct rec){
        .kind = h.kind, .flags = h.flags, .stream = first->stream, .seq = first->seq, .ts = first->ts};
    t->subject_size = h.subject_size;
    t->hdr_size = h.hdr_size;
    return true;
}

/* Takes the piece at next_off in; false when it does not belong. */
static bool gather_piece(struct store *s, struct gather *t, const struct rec *r, uint32_t length) {
    struct frag_header h;
    if (r->kind != REC_FRAGMENT || r->payload.n < sizeof h) return false;
    memcpy(&h, r->payload.p, sizeof h);
    size_t n = r->payload.n - sizeof h;
    if (h.total != t->total || h.offset != t->got || n > t->total - t->got) return false;
    if (r->stream != t->rec.stream || r->seq != t->rec.seq) return false;
    memcpy(t->mem.p + t->got, r->payload.p + sizeof h, n);
    t->got += n;
    struct seg *g = seg_find(s, loc_seg(t->loc));
    must(g != NULL);
    t->next_off +=
        align_up(align_up(length, REC_ALIGN) + FRAME_OVERHEAD, g->block); /* first in the next frame */
    return true;
}

static enum err gather_run(struct store *s, struct gather *t, struct store_wait *w) {
    while (t->got < t->total) {
        size_t mark = s->arena_used;
        struct rec r;
        uint32_t length;
        enum err e = read_plain(s, loc_of(loc_seg(t->loc), t->next_off), w, &r, &length);
        bool good = !e && gather_piece(s, t, &r, length);
        s->arena_used = mark; /* copied */
        if (e == ERR_LATER || e == ERR_FULL) return e;
        if (!good) {
            struct seg *g = seg_find(s, loc_seg(t->loc));
            if (!e && g)
                e = corrupt(s, g, loc_off(t->loc), t->total, &t->rec,
                            "a piece of a fragmented record is missing");
            t->loc = 0;
            return e ? e : ERR_NONE;
        }
    }
    return ERR_OK;
}

static enum err read_gathered(struct store *s, uint64_t loc, const struct rec *first, struct store_wait *w,
                              struct rec *out) {
    struct gather *t = gather_find(s, loc);
    if (!t) {
        t = gather_take(s);
        if (!t) return ERR_FULL;
        t->loc = 0;
        struct seg *g = seg_find(s, loc_seg(loc));
        must(g != NULL);
        if (!gather_begin(t, loc, first))
            return corrupt(s, g, loc_off(loc), 0, first, "a fragment that begins nothing");
        if (region_commit(&t->mem, t->total, false)) {
            t->loc = 0;
            return ERR_FULL;
        }
    }
    t->touched_ns = io_now(s->io);
    t->tick = s->tick;
    enum err e = gather_run(s, t, w);
    if (e) return e;
    *out = t->rec;
    bool split = rec_split(t->mem.p, t->total, t->subject_size, t->hdr_size, out);
    must(split);
    return ERR_OK;
}

/* --- the calls --- */

enum err store_read(struct store *s, uint64_t loc, struct store_wait *w, struct rec *out) {
    uint32_t length;
    must(s->opened);
    must(out != NULL);
    must(w != NULL);
    must(!w->waiting);
    s->stats.reads++;
    struct gather *t = gather_find(s, loc);
    if (loc && t) return read_gathered(s, loc, NULL, w, out);
    enum err e = read_plain(s, loc, w, out, &length);
    if (!e && out->kind == REC_FRAGMENT) e = read_gathered(s, loc, out, w, out);
    return e;
}

void store_read_ahead(struct store *s, uint64_t loc) {
    uint64_t no;
    struct seg *g;
    if (buffered(s, loc_seg(loc), loc_off(loc), &no) || seg_for_read(s, loc_seg(loc), &g)) return;
    uint64_t index = loc_off(loc) / BLOCK_SIZE;
    cache_prefetch(s, g, index);
    cache_prefetch(s, g, index + 1);
}
