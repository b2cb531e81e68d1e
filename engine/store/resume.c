/* resume.c - where writing goes on after a recovery. First what was read is made durable, then the end of the
 * log is marked: after an orderly stop by an empty frame in the same segment, after any other by closing that
 * segment, wiping what was in flight behind the end, and beginning a new one whose header says with which
 * frame. A stop between any two of these writes leaves a log that the next recovery reads the same way. Any
 * failure fails the open. */
#include "store/recover.h"

#include <string.h>

#include "base/bytes.h"
#include "base/must.h"

/* One copy of a header is left, or the copies differ since a stop came between them: the good one once more.
 */
static enum err repair_header(struct store *s, struct seg *g) {
    uint8_t *mem = s->maker.block;
    uint64_t good = (uint64_t)g->repair * SEG_HEADER_COPY, bad = SEG_HEADER_COPY - good;
    size_t got;
    must(g->repair == 0 || g->repair == 1);
    enum err e = g->fd < 0 ? seg_open_file(s, g, false) : ERR_OK;
    if (!e) e = io_file_read(s->io, g->fd, mem, SEG_HEADER_COPY, good, &got);
    if (!e && got < SEG_HEADER_COPY) e = ERR_CORRUPT;
    return e ? e : io_file_write(s->io, g->fd, mem, SEG_HEADER_COPY, bad, true);
}

/* What was found must be on disk before anything is built on it: after a kill it may lie in caches only,
 * names as well. */
static enum err settle(struct recovery *r) {
    must(r->s->place == NULL);
    struct store *s = r->s;
    enum err e = io_file_sync(s->io, s->dirfd);
    for (size_t i = 0; i < s->segs_len && !e; i++) {
        struct seg *g = s->segs[i];
        if (g->last_no > r->known) {
            if (g->fd < 0) e = seg_open_file(s, g, false);
            if (!e) e = io_file_sync(s->io, g->fd);
        }
        if (!e && g->repair >= 0) e = repair_header(s, g);
        if (g->fd >= 0) seg_close_file(s, g);
    }
    return e;
}

static enum err write_empty(struct recovery *r, struct seg *g, unsigned flags) {
    must(r->next > 0);
    must(g->end >= SEG_HEADERS_BYTES);
    struct store *s = r->s;
    enum err e = g->fd < 0 ? seg_open_file(s, g, false) : ERR_OK;
    if (e) return e;
    uint8_t *mem = s->maker.block;
    struct frame_header h = {
        .flags = FRAME_CLOSING | flags,
        .frame_no = r->next,
        .durable_through = r->next - 1,
        .prev = r->last_hash,
        .epoch = g->epoch,
        .off = g->end,
        .sealed_ns = io_wall(s->io),
    };
    must(g->end + g->block <= g->size);
    frame_seal(mem, &h, g->block);
    e = io_file_write(s->io, g->fd, mem, h.size, h.off, true);
    if (e) return e;
    g->end = g->on_disk = h.off + h.size;
    g->last_no = r->next++;
    r->last_hash = frame_hash(&h);
    return ERR_OK;
}

/* After an orderly stop: in the same segment, behind a frame without records, written before anything else.
 * Should a stop tear it, nothing but this one block is written again. */
static enum err go_on(struct recovery *r, struct seg *g) {
    must(r->clean);
    must(!r->ended);
    enum err e = write_empty(r, g, 0);
    if (e) return e;
    g->state = SEG_ACTIVE;
    r->s->place = g;
    return ERR_OK;
}

/* Frames behind the end of the log were in flight: zeros over whatever of them could still be taken for a
 * frame. */
static enum err scrub(struct recovery *r, struct seg *g) {
    must(g->fd >= 0);
    must(g->end % g->block == 0);
    struct store *s = r->s;
    struct found f;
    enum err e = ERR_OK;
    bool any = false;
    for (uint64_t at = g->end; !e && scan_next(&r->win, g, at, &f); any = true) {
        uint64_t to = f.h.off + f.h.size;
        for (at = f.h.off < at ? at : f.h.off; !e && at < to;) {
            size_t n = to - at < FILL_STEP ? (size_t)(to - at) : FILL_STEP;
            e = io_file_write(s->io, g->fd, s->maker.mem.p, n, at, false);
            at += n;
        }
        r->win.g = NULL; /* its copy is old now */
    }
    return any && !e ? io_file_sync(s->io, g->fd) : e;
}

/* After an unclean stop the segment where the log ends is closed there, so that the end still shows when the
 * segments behind it were recycled one day. */
static enum err close_off(struct recovery *r) {
    must(r->s->place == NULL);
    if (r->last_seg == SIZE_MAX || r->ended) return ERR_OK;
    struct seg *g = r->s->segs[r->last_seg];
    if (g->end + g->block > g->size) return ERR_OK;
    log_line(&r->s->log, LOG_INFO, "log %04x: not closed in order; it ends with frame %llu", r->s->cfg.log,
             (unsigned long long)(r->next - 1));
    enum err e = write_empty(r, g, FRAME_LAST);
    return e ? e : scrub(r, g);
}

/* Segments without a frame or a good record that counts, and all behind the end, go back to the pool, without
 * a header: what was in flight in them when the log stopped must not be found again once the segments around
 * them are gone. One that says where writing went on stays when anything follows. */
static enum err drop_unused(struct recovery *r) {
    struct store *s = r->s;
    enum err e = ERR_OK;
    size_t kept = r->last_seg == SIZE_MAX ? 0 : r->last_seg + 1; /* behind these nothing counts */
    for (size_t i = 0; i < s->segs_len && !e;) {
        struct seg *g = s->segs[i];
        if (i < kept && (g->last_no || g->live || g->damaged || g->first_frame)) {
            i++;
            continue;
        }
        must(g->live == 0);
        if (i < kept) kept--;
        if (g->fd < 0) e = seg_open_file(s, g, false);
        if (!e) e = io_file_write(s->io, g->fd, s->maker.mem.p, SEG_HEADERS_BYTES, 0, true);
        seg_list_remove(s, g);
        g->segno = 0;
        reclaim_free(s, g);
    }
    return e;
}

/* Without space reads go on, and the maker looks for some like any other time. */
static enum err new_place(struct store *s, uint64_t first_frame) {
    must(first_frame > 0);
    must(s->place == NULL);
    enum err e = seg_make_now(s, first_frame);
    if (e != ERR_NOSPC) return e;
    log_line(&s->log, LOG_WARN, "log %04x: no space for a segment: nothing can be appended yet", s->cfg.log);
    s->maker.no_space = true;
    return ERR_OK;
}

enum err resume(struct recovery *r) {
    must(!r->s->opened);
    must(r->s->frames == NULL);
    struct store *s = r->s;
    struct seg *last = r->clean && r->last_seg != SIZE_MAX ? s->segs[r->last_seg] : NULL;
    if (last &&
        (last->block != s->block || last->unwritten || r->ended || last->size - last->end < 3 * s->block))
        last = NULL;
    enum err e = settle(r);
    if (!e && last) e = go_on(r, last);
    if (!e && !last) e = close_off(r);
    if (!e) e = drop_unused(r);
    if (!e && !last) e = new_place(s, r->next);
    if (!e) e = buffer_init(s, r->next);
    s->prev_hash = r->last_hash;
    s->proof = r->next - 1;
    s->closed_off = true; /* what was just written says that all of it is durable */
    return e;
}
