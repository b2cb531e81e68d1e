/* resume.c - where writing goes on after a recovery. First what was read is made durable, then the end of the
 * log is marked: after an orderly stop by an empty frame in the same segment, after any other by closing that
 * segment, cutting its file off behind the end, and beginning a new one whose header says with which frame. A
 * stop between any two of these writes leaves a log that the next recovery reads the same way. Any failure
 * fails the open, but for a file system that does not cut. */
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

/* What lies behind the last frame of a segment goes back to the file system, and with it what was in flight
 * there. The file system may refuse; that costs space only. */
static enum err cut(struct store *s, struct seg *g) {
    must(g->ended);
    must(g->end % g->block == 0);
    if (g->held < g->end + g->block) return ERR_OK;
    enum err e = g->fd < 0 ? seg_open_file(s, g, false) : ERR_OK;
    if (e) return e;
    e = io_file_cut(s->io, g->fd, g->end);
    if (e) {
        log_line(&s->log, LOG_WARN, "log %04x: %08x.seg: what it does not use is not given back: %s",
                 s->cfg.log, g->file, err_text(e));
        return ERR_OK;
    }
    g->held = g->size = g->end;
    return io_file_sync(s->io, g->fd);
}

/* Cuts every segment that is closed, also where a stop came between closing and cutting. */
static enum err cut_all(struct store *s) {
    enum err e = ERR_OK;
    must(s->place == NULL);
    for (size_t i = 0; i < s->segs_len && !e; i++) {
        struct seg *g = s->segs[i];
        if (g->ended) e = cut(s, g);
        if (g->fd >= 0) seg_close_file(s, g);
        if (g->ended && g->held == g->end) {
            g->size = g->end;
            g->unwritten = false;
        }
        if (!g->unwritten || (g->ended && g->held > g->end)) continue;
        log_line(&s->log, LOG_WARN, /* a power cut took an end that held nothing; or someone else took more */
                 "log %04x: %08x.seg is cut off at %llu of %llu bytes; a record behind that, if there was "
                 "one, is lost",
                 s->cfg.log, g->file, (unsigned long long)g->held, (unsigned long long)g->size);
    }
    return e;
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
    if (e) return e;
    g->ended = true;
    if (g->held < g->end) g->held = g->end;
    return ERR_OK;
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
    if (e != ERR_NOSPC && e != ERR_NOFILES) return e;
    log_line(&s->log, LOG_WARN, "log %04x: no segment can be made: %s: nothing can be appended yet",
             s->cfg.log, err_text(e));
    s->maker.no_space = true;
    s->maker.why = e;
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
    if (!e && !last) e = close_off(r);
    if (!e) e = cut_all(s);
    if (!e && last) e = go_on(r, last);
    if (!e) e = drop_unused(r);
    if (!e && !last) e = new_place(s, r->next);
    if (!e) e = buffer_init(s, r->next);
    s->prev_hash = r->last_hash;
    s->proof = r->next - 1;
    s->closed_off = true; /* what was just written says that all of it is durable */
    return e;
}
