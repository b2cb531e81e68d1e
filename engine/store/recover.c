/* recover.c - the log as it is found at open, by the rules of format.h, RECOVERY.
 *
 * The happy path reads segment after segment, frame after frame, and applies each record. At a place where
 * the next frame is not whole the question is only whether the missing frames had been durable. They had when
 * a valid frame behind them says so (durable_through) or when writing already went on with a higher number
 * after an earlier stop. Then their good records count, the rest is reported, and reading goes on behind
 * them; else the log ends there.
 *
 * Everything is decided from what lies on disk and nothing on disk changes before the decision, so that
 * recovery may be interrupted and repeated; its first write is the header of the segment that says where
 * writing goes on. What can fail: reading the folder, a foreign or newer file, memory; the log is then left
 * as it was. */
#include "store/recover.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/must.h"

#define PROGRESS_NS ((uint64_t)1000 * 1000 * 1000)

/* --- loading the segments --- */

static bool header_copy(struct window *w, struct seg *g, uint64_t off, struct seg_header *h, bool *blank) {
    must(off == 0 || off == SEG_HEADER_COPY);
    const uint8_t *p = window_at(w, g, off, SEG_HEADER_COPY);
    if (!p) return false;
    for (size_t i = 0; i < sizeof *h; i++) *blank = *blank && p[i] == 0;
    memcpy(h, p, sizeof *h);
    return seg_header_ok(h);
}

static enum err adopt(struct store *s, struct seg *g, const struct seg_header *h) {
    must(seg_header_ok(h));
    must(g->segno == 0);
    if (h->version != FORMAT_VERSION) return ERR_FORMAT;
    if (memcmp(h->uuid, s->cfg.uuid, sizeof h->uuid) != 0 || h->log != s->cfg.log) return ERR_FOREIGN;
    bool sane = h->block >= 512 && h->block <= SEG_HEADERS_BYTES && (h->block & (h->block - 1)) == 0 &&
                h->segno > 0 && h->segno < UINT32_MAX && h->size > SEG_HEADERS_BYTES &&
                h->size % h->block == 0 && h->first_frame <= FRAME_NO_MAX;
    if (!sane) return ERR_CORRUPT;
    g->segno = h->segno;
    g->epoch = h->epoch;
    g->held = g->size;
    g->unwritten = g->held < h->size;
    g->size = h->size;
    g->block = h->block;
    g->first_frame = h->first_frame;
    g->headed = true;
    g->state = SEG_SEALED;
    if (g->segno >= s->next_segno) s->next_segno = g->segno + 1;
    return ERR_OK;
}

static void quarantine(struct recovery *r, struct seg *g) {
    struct store *s = r->s;
    must(g->segno == 0);
    char name[16], bad[16];
    seg_name(g, name);
    snprintf(bad, sizeof bad, "%08x.bad", g->file);
    struct store_damage d = {
        .off = 0, .size = g->size, .what = "a segment whose headers are both damaged; set aside"};
    memcpy(d.file, name, sizeof d.file);
    if (s->cfg.read_only) {
        inspect_headless(s, g);
        return;
    }
    log_line(&s->log, LOG_ERROR, "log %04x: %s: both headers are damaged; renamed to %s", s->cfg.log, name,
             bad);
    if (io_file_rename(s->io, s->dirfd, name, bad))
        log_line(&s->log, LOG_ERROR, "log %04x: %s cannot be renamed", s->cfg.log, name);
    tell_damage(s, &d);
    seg_discard(s, g);
}

static bool begins_with(struct window *w, struct seg *g, const struct seg_header *h) {
    struct frame_header f;
    const uint8_t *p = window_at(w, g, SEG_HEADERS_BYTES, sizeof f);
    return p && frame_head(p, h->epoch, &f) && f.off == SEG_HEADERS_BYTES;
}

/* Both copies are good. If they differ, a stop came between them: the newer one counts, unless frames of the
 * older one lie there. Then nothing was written since, or a block of another file took the place of a copy.
 */
static bool choose_first(struct window *w, struct seg *g, const struct seg_header *a,
                         const struct seg_header *b) {
    if (a->epoch == b->epoch || g->size < SEG_HEADERS_BYTES + sizeof(struct frame_header))
        return a->segno >= b->segno;
    bool first = begins_with(w, g, a), second = begins_with(w, g, b);
    return first != second ? first : a->segno >= b->segno;
}

static enum err load(struct recovery *r, uint32_t file) {
    must(!r->s->opened);
    struct store *s = r->s;
    struct seg *g = seg_new(s, file);
    if (!g) return ERR_NOMEM;
    enum err e = seg_open_file(s, g, false);
    if (!e) e = io_file_size(s->io, g->fd, &g->size);
    if (e) {
        seg_discard(s, g);
        return e;
    }
    struct seg_header a, b;
    bool blank = true;
    bool first = g->size >= SEG_HEADER_COPY && header_copy(&r->win, g, 0, &a, &blank);
    bool second = g->size >= SEG_HEADERS_BYTES && header_copy(&r->win, g, SEG_HEADER_COPY, &b, &blank);
    if (r->win.why)
        e = r->win.why;
    else if (first || second) {
        bool use_first = first && (!second || choose_first(&r->win, g, &a, &b));
        if (!first || !second || a.segno != b.segno) g->repair = !use_first;
        g->half_headed = !first || !second;
        e = r->win.why ? r->win.why : adopt(s, g, use_first ? &a : &b);
        r->win.g = NULL;
    } else if (!blank) {
        quarantine(r, g);
        return ERR_OK;
    } else if (s->cfg.read_only) {
        if (g->size > 0 && g->size < SEG_HEADERS_BYTES)
            inspect_headless(s, g);
        else
            seg_discard(s, g);
        return ERR_OK;
    } else { /* a stop while it was being made, or taken back by a recovery */
        if (g->size > 0 && g->size < SEG_HEADERS_BYTES)
            log_line(&s->log, LOG_ERROR,
                     "log %04x: %08x.seg is cut off within its headers: what it held is lost", s->cfg.log,
                     file);
        g->unwritten = true;
        g->size -= g->size % SEG_SIZE_STEP;
        e = io_file_sync(s->io, g->fd); /* its old header may still lie below what was read */
        reclaim_free(s, g);
        return e;
    }
    if (!e && seg_find(s, g->segno)) e = ERR_CORRUPT; /* a copied file */
    if (!e) e = seg_list_add(s, g);
    if (e && s->cfg.read_only) {
        r->win.why = ERR_OK;
        return inspect_refused(s, g, e);
    }
    if (e) {
        log_line(&s->log, LOG_ERROR, "log %04x: %08x.seg: %s", s->cfg.log, file, err_text(e));
        seg_discard(s, g);
    } else {
        seg_close_file(s, g); /* there may be more segments than descriptors */
    }
    return e;
}

static bool segment_file(const char *name, const char *suffix, uint32_t *file) {
    char *end;
    unsigned long n = strtoul(name, &end, 16);
    *file = (uint32_t)n;
    return end == name + 8 && strcmp(end, suffix) == 0;
}

static enum err load_all(struct recovery *r) {
    must(r->s->dirfd >= 0);
    must(r->s->segs_len == 0);
    struct store *s = r->s;
    struct io_dirent_list names;
    enum err e = io_dir_list(s->io, s->dirfd, &names);
    if (e) return e;
    for (size_t i = 0; i < names.count && !e; i++) {
        uint32_t file;
        if (segment_file(names.names[i], ".seg", &file))
            e = load(r, file);
        else if (segment_file(names.names[i], ".bad", &file)) {
            if (s->cfg.read_only) inspect_set_aside(s, names.names[i]);
            if (file >= s->next_file) s->next_file = file + 1;
        }
    }
    free(names.names);
    return e;
}

/* Writing that went on in a segment gave up what follows in the segments before it. */
static enum err set_limits(struct recovery *r) {
    must(r->limits == NULL);
    struct store *s = r->s;
    r->limits = calloc(s->segs_len + 1, sizeof *r->limits);
    if (!r->limits) return ERR_NOMEM;
    uint64_t limit = UINT64_MAX;
    for (size_t i = s->segs_len; i-- > 0;) {
        r->limits[i] = limit;
        uint64_t begins = s->segs[i]->first_frame;
        if (begins && begins < limit) limit = begins;
    }
    return ERR_OK;
}

/* --- proof --- */

/* Were frames up to n durable? Looks at what lies behind the place reading has come to, each place once. */
static bool proven(struct recovery *r, size_t seg, uint64_t off, uint64_t n) {
    must(seg < r->s->segs_len);
    must(n > 0);
    struct store *s = r->s;
    uint64_t limit = r->limits[seg];
    if (limit != UINT64_MAX && limit - 1 > r->known) r->known = limit - 1;
    if (r->ahead_seg < seg || (r->ahead_seg == seg && r->ahead_off < off))
        r->ahead_seg = seg, r->ahead_off = off;
    while (r->known < n && r->ahead_seg < s->segs_len && !r->win.why) {
        struct seg *g = s->segs[r->ahead_seg];
        struct found f;
        if (scan_next(&r->win, g, r->ahead_off, &f)) {
            bool counts = f.h.frame_no < r->limits[r->ahead_seg];
            if (counts && f.h.durable_through > r->known) r->known = f.h.durable_through;
            r->ahead_off = f.h.off + f.h.size;
        } else {
            r->ahead_seg++;
            r->ahead_off = SEG_HEADERS_BYTES;
        }
    }
    return r->known >= n;
}

/* --- damage --- */

/* No header says which frames these were. They count only when all that is missing was durable. */
static bool salvage_unknown(struct recovery *r, struct seg *g, uint64_t from, uint64_t to, bool counts) {
    must(from <= to);
    must(to <= g->size);
    while (from < to) {
        size_t n = to - from < FRAME_SIZE_MAX ? (size_t)(to - from) : FRAME_SIZE_MAX;
        const uint8_t *p = window_at(&r->win, g, from, n);
        if (!p) return false;
        if (counts)
            replay_unknown(&r->replay, p, n, g, from);
        else
            report_damage(r->s, g, from, n, NULL, "frames whose headers do not verify");
        from += n;
        if (counts) g->end = g->on_disk = from;
    }
    return true;
}

/* The next frame of a place at or behind `at` that is one of those up to number `upto`: where its bytes begin
 * in *begins, which is where the place ends for us when there is none (false). */
static bool place_next(struct recovery *r, const struct stop *t, uint64_t at, uint64_t upto, struct found *f,
                       uint64_t *begins) {
    must(at <= t->to);
    bool any = scan_next(&r->win, r->s->segs[t->seg], at, f) && f->h.off < t->to;
    *begins = !any ? t->to : f->h.off > at ? f->h.off : at;
    return any && f->h.frame_no <= upto;
}

/* Up to where in this place everything was durable: behind the last frame known to be. 0: nowhere. */
static uint64_t sure_end(struct recovery *r, const struct stop *t, uint64_t upto) {
    uint64_t at = t->off, end = 0, begins;
    must(t->off >= SEG_HEADERS_BYTES);
    for (struct found f; at < t->to && place_next(r, t, at, upto, &f, &begins);)
        end = at = f.h.off + f.h.size;
    return end;
}

/* The log reaches into segment i, if no whole frame says so. */
static void count_in(struct recovery *r, size_t i) {
    must(i < r->s->segs_len);
    if (r->last_seg != SIZE_MAX && r->last_seg >= i) return;
    r->last_seg = i;
    r->ended = false;
}

/* Frames up to number `upto` in this place are not whole but were durable. Bytes that no header speaks for
 * count up to sure. */
static void salvage(struct recovery *r, const struct stop *t, uint64_t upto, uint64_t sure) {
    must(t->seg < r->s->segs_len);
    must(upto >= r->next);
    struct seg *g = r->s->segs[t->seg];
    for (uint64_t at = t->off; at < t->to && !r->win.why;) {
        struct found f;
        uint64_t begins;
        bool any = place_next(r, t, at, upto, &f, &begins), counts = begins <= sure;
        if (!salvage_unknown(r, g, at, begins, counts)) return;
        if (counts && begins > at) count_in(r, t->seg);
        if (!any) return;
        at = f.h.off + f.h.size;
        if (f.h.off < begins || at > t->to) continue; /* no writer lays frames one over the other */
        const uint8_t *p = window_at(&r->win, g, f.h.off, f.h.size);
        if (!p) return;
        replay_damaged(&r->replay, p, &f.h, g);
        g->end = g->on_disk = at;
        g->last_no = f.h.frame_no;
        r->last_seg = t->seg;
        r->ended = g->ended = f.h.flags & FRAME_LAST;
        if (r->ended) return;
    }
}

/* Frames up to number `upto` are missing since the last whole one: what can be said of them was in these
 * places. all: no others are missing. Else what lies behind the last of them may have been in flight. */
static void salvage_stops(struct recovery *r, uint64_t upto, bool all) {
    must(r->stops_len <= STOPS_MAX);
    must(upto >= r->next);
    uint64_t sure[STOPS_MAX];
    bool behind = all; /* is a place behind this one sure? */
    for (size_t i = r->stops_len; i-- > 0;) {
        sure[i] = behind ? r->stops[i].to : sure_end(r, &r->stops[i], upto);
        behind = behind || sure[i] > 0;
    }
    for (size_t i = 0; i < r->stops_len; i++) {
        const struct stop *t = &r->stops[i];
        struct found f;
        bool used = t->off > SEG_HEADERS_BYTES || scan_next(&r->win, r->s->segs[t->seg], t->off, &f);
        if (used) salvage(r, t, upto, sure[i]);
    }
    r->stops_len = 0;
}

static void stop_add(struct recovery *r, size_t i, uint64_t from, uint64_t to) {
    must(from <= to);
    if (r->stops_len < STOPS_MAX) r->stops[r->stops_len++] = (struct stop){i, from, to};
}

/* Frame m is the next that can be read, in segment i at off; skipped_from: the place in the same segment
 * where the frames missing before it should be, 0: none. false: some of them were in flight, and the log ends
 * before those. */
static bool close_gap(struct recovery *r, size_t i, uint64_t off, uint64_t skipped_from, uint64_t m) {
    must(i < r->s->segs_len);
    must(!r->at_end);
    must(m >= r->next);
    if (m == r->next ||
        (r->first && !r->stops_len && !skipped_from)) { /* nothing missing, or recycled before this one */
        r->stops_len = 0;
        r->next = m;
        return true;
    }
    bool all = proven(r, i, skipped_from ? skipped_from : off, m - 1);
    uint64_t upto = all ? m - 1 : r->known;
    if (upto >= r->next) {
        if (skipped_from) stop_add(r, i, skipped_from, off);
        replay_hole(&r->replay);
        if (r->stops_len) count_in(r, r->stops[0].seg); /* the log went on there */
        salvage_stops(r, upto, all);
        r->next = upto + 1;
        r->last_hash = 0;
    }
    r->stops_len = 0;
    r->first = false;
    r->clean = false;
    r->at_end = !all;
    return all;
}

/* --- walking --- */

static void tell_gap(struct recovery *r) {
    must(!r->at_end);
    const struct store_owner *o = &r->s->owner;
    if (o->gap) o->gap(o->ctx);
}

static bool whole_at(struct recovery *r, size_t i, uint64_t off, struct frame_header *h, const uint8_t **p) {
    struct seg *g = r->s->segs[i];
    if (!scan_head(&r->win, g, off, h)) return false;
    *p = window_at(&r->win, g, off, h->size);
    return *p && frame_whole(*p, h);
}

static void progress(struct recovery *r, const struct seg *g) {
    struct store *s = r->s;
    io_clock_refresh(s->io);
    if (s->owner.progress) inspect_progress(r);
    if (io_now(s->io) < r->progress_ns) return;
    r->progress_ns = io_now(s->io) + PROGRESS_NS;
    log_line(&s->log, LOG_INFO, "log %04x: reading segment %llu, %llu MiB, %llu records so far", s->cfg.log,
             (unsigned long long)g->segno, (unsigned long long)(r->win.bytes >> 20),
             (unsigned long long)r->replay.records);
}

/* Takes the whole frame at off in; false when it does not follow what was read. */
static bool take(struct recovery *r, size_t i, uint64_t off, const struct frame_header *h, const uint8_t *p) {
    must(h->off == off);
    must(off + h->size <= r->s->segs[i]->size);
    struct seg *g = r->s->segs[i];
    if (h->frame_no < r->next || h->frame_no >= r->limits[i]) return false;
    if (h->frame_no > r->next) {
        if (off != SEG_HEADERS_BYTES) return false; /* numbers jump between segments only */
        if (!close_gap(r, i, off, 0, h->frame_no)) return false;
        tell_gap(r);
        p = window_at(&r->win, g, off, h->size); /* the window may have moved */
        if (!p || !frame_whole(p, h)) return false;
    } else if (r->last_hash && h->prev && h->prev != r->last_hash) {
        return false;
    }
    r->stops_len = 0;
    replay_frame(&r->replay, p, h, g->segno);
    if (h->durable_through > r->known) r->known = h->durable_through;
    r->next = h->frame_no + 1;
    r->last_hash = frame_hash(h);
    r->first = false;
    r->clean = h->flags & FRAME_CLEAN;
    if (r->clean) replay_break(&r->replay); /* a batch left open then never existed */
    r->ended = g->ended = h->flags & FRAME_LAST;
    r->last_seg = i;
    g->end = g->on_disk = off + h->size;
    g->last_no = h->frame_no;
    return true;
}

/* The place at off is not the next frame. Where to go on in this segment; 0: nowhere. */
static uint64_t skip(struct recovery *r, size_t i, uint64_t off) {
    must(off >= SEG_HEADERS_BYTES);
    must(!r->at_end);
    struct seg *g = r->s->segs[i];
    uint64_t at = off;
    struct found f;
    while (scan_next(&r->win, g, at, &f)) {
        at = f.h.off + f.h.size;
        r->clean = false; /* nothing follows an orderly stop */
        if (f.at_end || f.h.off <= off || f.h.frame_no <= r->next || f.h.frame_no >= r->limits[i]) continue;
        if (!close_gap(r, i, f.h.off, off, f.h.frame_no)) return 0;
        r->last_seg = i;
        r->ended = g->ended = false;
        g->end = g->on_disk = f.h.off;
        g->last_no = f.h.frame_no - 1;
        return f.h.off;
    }
    stop_add(r, i, off, g->size);
    return 0;
}

static void walk_segment(struct recovery *r, size_t i) {
    must(r->next > 0);
    must(r->limits[i] > 0);
    struct seg *g = r->s->segs[i];
    uint64_t off = SEG_HEADERS_BYTES, begins = g->first_frame;
    if (i == r->start_seg && r->start_off) { /* a checkpoint speaks for what lies before */
        off = r->start_off;
        begins = 0;
    }
    g->end = g->on_disk = off;
    if (begins) { /* writing went on here after a stop: what it left incomplete never existed */
        if (begins >= r->limits[i]) return; /* given up as a whole */
        if (begins > r->known + 1) r->known = begins - 1;
        bool jump = begins > r->next;
        if (begins < r->next || !close_gap(r, i, off, 0, begins)) return;
        if (jump) tell_gap(r);
        replay_break(&r->replay);
        r->clean = false;
        r->ended = true; /* what lies before is closed off by this header alone */
    }
    while (off + g->block <= g->size && !r->at_end && !r->win.why && !r->replay.why) {
        struct frame_header h;
        const uint8_t *p;
        progress(r, g);
        if (r->next >= r->limits[i]) return; /* what follows here was given up */
        bool taken = whole_at(r, i, off, &h, &p) && take(r, i, off, &h, p);
        if (r->at_end || (taken && r->ended)) return;
        off = taken ? off + h.size : skip(r, i, off);
        if (!off) return;
    }
}

/* Nothing more is there, but a slot of the root file says that frames behind the last whole one were durable.
 */
static void close_end(struct recovery *r) {
    must(r->stops_len <= STOPS_MAX);
    if (r->at_end || r->known < r->next) return;
    salvage_stops(r, r->known, false);
    r->next = r->known + 1;
    r->last_hash = 0;
    r->clean = false;
}

static enum err walk(struct recovery *r) {
    must(r->limits != NULL);
    struct store *s = r->s;
    enum err e = ERR_OK;
    for (size_t i = r->start_seg; i < s->segs_len && !e && !r->at_end; i++) {
        walk_segment(r, i);
        e = r->win.why ? r->win.why : r->replay.why;
        struct seg *g = s->segs[i];
        if (g->fd >= 0) seg_close_file(s, g);
        r->win.g = NULL;
    }
    if (!e) close_end(r);
    if (!e) e = r->win.why ? r->win.why : r->replay.why;
    replay_break(&r->replay);
    return e;
}

/* By the newest checkpoint that can be used. *done: one could. */
static enum err walk_from_root(struct recovery *r, bool *done) {
    struct store *s = r->s;
    must(!*done);
    if (s->cfg.full_scan || !s->owner.load) return ERR_OK;
    for (size_t i = 0; i < r->roots_len; i++) {
        const struct root_slot *t = &r->roots[i];
        enum err e = root_take(r, t);
        bool taken = !e;
        if (taken) e = walk(r);
        *done = taken && !e;
        if (*done) root_tell_missing(s);
        if (*done) s->stats.opened_by = i ? STORE_BY_OTHER_ROOT : STORE_BY_ROOT;
        if (*done || (taken && e) || e == ERR_NOMEM) return e;
        log_line(&s->log, LOG_ERROR, "log %04x: checkpoint %llu cannot be used: %s", s->cfg.log,
                 (unsigned long long)t->counter, err_text(e));
        root_undo(r);
    }
    if (r->roots_len) log_line(&s->log, LOG_ERROR, "log %04x: reading the whole log", s->cfg.log);
    return ERR_OK;
}

static enum err find(struct recovery *r) {
    bool done = false;
    r->win.heads = true;
    enum err e = load_all(r);
    r->win.heads = false;
    if (!e) e = set_limits(r);
    if (!e) e = root_open_file(r->s);
    if (!e) e = roots_read(r);
    if (!e) e = walk_from_root(r, &done);
    if (!e && !done) e = walk(r);
    return e ? e : roots_settle(r);
}

enum err recover(struct store *s) {
    struct recovery r = {.s = s, .next = 1, .first = true, .last_seg = SIZE_MAX};
    must(!s->opened);
    must(s->segs_len == 0);
    s->next_segno = 1;
    replay_init(&r.replay, s);
    r.progress_ns = io_now(s->io) + PROGRESS_NS;
    enum err e = window_open(&r.win, s);
    if (!e) e = find(&r);
    s->stats.recovered_bytes = s->root.carry = r.win.bytes;
    if (!e) e = s->cfg.read_only ? inspect_resume(&r) : resume(&r);
    loader_forget(s);
    replay_deinit(&r.replay);
    window_close(&r.win);
    free(r.limits);
    return e;
}
