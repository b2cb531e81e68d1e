/* compact.c - segments that hold little are emptied: what is still wanted in them is appended again at the
 * log's end, so that reclaim.c can take them. One segment at a time:
 *
 *     look at the log -> choose -> read in order -> ask the owner: wanted? -> gather, sort by stream -> move
 *
 * The owner makes each copy and declares the original dead; nothing else is needed for safety. A death counts
 * once the frame being filled then is durable, which is not before the copy's, and the full records that must
 * stand behind the copies are asked for when the segment is found dead.
 *
 * A log that takes no more than twice what it holds, and two segments, is left alone: what dies by itself
 * need not be copied. Above that a segment less than half full exists, and as many bytes are moved as others
 * append: a segment that is emptied gives back at least what its copies took, so the log stops growing. When
 * nobody appends it goes faster. On a full disk only what is certain to fit is begun, since it gives a whole
 * segment back.
 *
 * What can fail: an append is refused (again after the next commit); memory (again at the next look); a
 * record does not verify (it is lost, which the owner is told) or cannot be read: then the segment stays. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/must.h"
#include "store/core.h"

#define CHUNK      ((size_t)2 << 20)   /* one read a turn: as fast as segments are filled */
#define GATHER     ((size_t)4 << 20)   /* sorted at once */
#define CREDIT_MAX ((int64_t)1 << 20)
#define TURN_BYTES ((size_t)128 << 10) /* saved credit that may be used at once */
#define QUIET_NS   ((uint64_t)20 * 1000 * 1000) /* nobody else appended for this long */
enum {
    ITEMS_MAX = 8192, /* sorted at once: within a millisecond */
    QUIET_BYTES = 256 << 10, /* a turn, then */
    IDLE_BYTES = 32 << 10    /* a turn, when only the disk has nothing to do */
};

/* A gathered record. */
struct moving {
    uint64_t loc, seq;
    uint32_t stream;
    uint32_t at; /* its bytes in the gather region */
};

static void on_read(struct io_op *op, int64_t res);
static void on_block(struct store_wait *w) { must(!w->waiting); }

enum err compact_init(struct store *s) {
    struct compactor *c = &s->compactor;
    must(c->segno == 0);
    c->op.on_done = on_read;
    store_wait_init(&c->wait);
    c->wait.on_ready = on_block;
    enum err e = region_open(&c->win, FRAME_SIZE_MAX + 2 * CHUNK);
    return e ? e : region_open(&c->gather, GATHER + FRAME_SIZE_MAX);
}

void compact_deinit(struct store *s) {
    struct compactor *c = &s->compactor;
    must(!c->op.busy);
    store_wait_cancel(&c->wait);
    region_close(&c->win);
    region_close(&c->gather);
    free(c->items);
}

/* --- which segment --- */

/* Of every byte that is read and moved, how much comes back, and how likely is it that waiting would have
 * spared the work: old segments change little. */
static uint64_t gain(const struct store *s, const struct seg *g) {
    must(g->segno < s->next_segno);
    must(g->live <= g->size);
    return (g->size - g->live) * 1024 / (g->size + g->live) * (s->next_segno - g->segno);
}

static bool on_disk_whole(const struct store *s, const struct seg *g) {
    return g->state == SEG_SEALED && g->last_no <= s->durable && g->on_disk == g->end;
}

/* Without space there is only what is left of the last segment: part of it stays for deletes. */
static bool fits(const struct store *s, const struct seg *g) {
    if (!s->place) return false;
    uint64_t left = s->place->size - s->place->end;
    return g->live + g->live / 8 + 2 * s->rewrite_cost + s->place->size / 16 <= left;
}

static bool eligible(const struct store *s, const struct seg *g) {
    if (g->stays || g->live == 0 || !on_disk_whole(s, g)) return false;
    if (!s->maker.no_space) return g->live * 2 < g->size;
    return g->live * 8 < g->size * 7 && fits(s, g);
}

static struct seg *choose(const struct store *s) {
    struct seg *best = NULL;
    for (size_t i = 0; i < s->segs_len; i++) {
        struct seg *g = s->segs[i];
        if (eligible(s, g) && (!best || gain(s, g) > gain(s, best))) best = g;
    }
    return best;
}

static void begin(struct store *s, const struct seg *g) {
    struct compactor *c = &s->compactor;
    must(c->segno == 0 && !c->op.busy);
    must(g->segno > 0);
    c->segno = g->segno;
    c->off = SEG_HEADERS_BYTES;
    c->recs_end = c->frame_end = c->big = 0;
    c->win_want = c->win_have = c->gathered = c->items_len = c->items_next = 0;
    c->warm = true;
}

static void finish(struct store *s) {
    struct compactor *c = &s->compactor;
    must(!c->op.busy);
    store_wait_cancel(&c->wait);
    c->segno = 0;
    s->reclaim_ns = 0; /* look again: the segment may go, or the next be chosen */
    s->changed = true;
}

static void give_memory_back(struct store *s) {
    struct compactor *c = &s->compactor;
    must(c->segno == 0 && !c->op.busy);
    if (c->win.committed) region_release(&c->win, 0, c->win.committed);
    if (c->gather.committed) region_release(&c->gather, 0, c->gather.committed);
    free(c->items);
    c->items = NULL;
    c->items_cap = 0;
    c->warm = false;
}

void compact_look(struct store *s) {
    struct compactor *c = &s->compactor;
    uint64_t held = 0, waste = 0, live = 0;
    for (size_t i = 0; i < s->segs_len; i++) {
        const struct seg *g = s->segs[i];
        if (g->state != SEG_SEALED) continue;
        held += g->size;
        live += g->live;
        if (seg_dead(s, g)) waste += g->size;
    }
    uint64_t most = 2 * live + (s->place ? s->place->size : s->cfg.seg_max);
    c->pressed = held > most;
    if (!s->owner.move || c->segno || c->op.busy) return;
    const struct seg *g = held - waste > most || s->maker.no_space ? choose(s) : NULL;
    if (g)
        begin(s, g);
    else if (c->warm)
        give_memory_back(s);
}

/* --- reading --- */

static void on_read(struct io_op *op, int64_t res) {
    struct store *s = container_of(op, struct store, compactor.op);
    struct compactor *c = &s->compactor;
    must(c->reading != NULL && c->reading->reads > 0);
    c->reading->reads--;
    if (res < 0 && c->reading->segno == c->segno) {
        log_line(&s->log, LOG_WARN, "log %04x: %08x.seg cannot be read: %s; it stays", s->cfg.log,
                 c->reading->file, err_text((enum err) - res));
        c->reading->stays = true;
    }
    c->win_have = res < 0 ? 0 : (size_t)res;
    c->reading = NULL;
}

static void start_read(struct store *s, struct seg *g, uint64_t off, size_t n) {
    struct compactor *c = &s->compactor;
    uint64_t start = off & ~(uint64_t)(BUF_ALIGN - 1);
    size_t want = (size_t)align_up(off + n - start, BUF_ALIGN);
    if (want < CHUNK) want = CHUNK;
    must(want <= c->win.reserved);
    struct seg *same;
    enum err e = region_commit(&c->win, want, false);
    if (!e && (e = seg_for_read(s, g->segno, &same)) && e != ERR_FULL) g->stays = true;
    c->blocked = e;
    if (e) return;
    c->win_off = start;
    c->win_want = want;
    c->win_have = 0;
    c->reading = g;
    g->reads++;
    c->op.kind = IO_OP_READ;
    c->op.fd = g->fd;
    c->op.buf = c->win.p;
    c->op.len = want;
    c->op.off = start;
    io_submit(s->io, &c->op);
}

/* n bytes of the segment at off; NULL: they are on their way, or cannot be had. */
static const uint8_t *bytes_at(struct store *s, struct seg *g, uint64_t off, size_t n) {
    struct compactor *c = &s->compactor;
    must(!c->op.busy);
    must(off + n <= g->on_disk);
    if (off >= c->win_off && off + n <= c->win_off + c->win_have) return c->win.p + (off - c->win_off);
    if (off >= c->win_off && off + n <= c->win_off + c->win_want)
        g->stays = true; /* the file ends before its time */
    else
        start_read(s, g, off, n);
    return NULL;
}

/* --- what lies there --- */

static bool item_room(struct compactor *c) {
    if (c->items_len < c->items_cap) return true;
    size_t cap = c->items_cap ? 2 * c->items_cap : 1024;
    struct moving *p = realloc(c->items, cap * sizeof *p);
    if (!p) return false;
    c->items = p;
    c->items_cap = cap;
    return true;
}

static bool gather(struct store *s, const uint8_t *p, size_t n, const struct rec *r, uint64_t loc) {
    struct compactor *c = &s->compactor;
    must(n % REC_ALIGN == 0);
    must(c->gathered < GATHER);
    if (!item_room(c) || region_commit(&c->gather, c->gathered + n, false)) {
        c->blocked = true;
        return false;
    }
    memcpy(c->gather.p + c->gathered, p, n);
    c->items[c->items_len++] =
        (struct moving){.loc = loc, .seq = r->seq, .stream = r->stream, .at = (uint32_t)c->gathered};
    c->gathered += n;
    return true;
}

/* The wanted record at c->off. False: its bytes are not there yet. */
static bool take(struct store *s, struct seg *g, const struct rec_header *h, uint64_t loc) {
    struct compactor *c = &s->compactor;
    size_t n = align_up(h->size, REC_ALIGN), size;
    struct rec r;
    if (h->kind == REC_FRAGMENT) {
        c->big = loc;
        c->big_stream = h->stream;
        c->big_seq = h->seq;
        c->off += n;
        return true;
    }
    const uint8_t *p = bytes_at(s, g, c->off, n);
    if (!p) return false;
    if (rec_check(p, n, g->epoch, c->off, &r, &size) == REC_STATE_GOOD) {
        if (!gather(s, p, n, &r, loc)) return false;
    } else {
        report_damage(s, g, c->off, n, &r, "a record's body does not verify");
        s->owner.lost(s->owner.ctx, h->stream, h->seq, loc);
    }
    c->off += n;
    return true;
}

/* Is there a frame's header at c->off? Then its records come next. False: the bytes are not there yet. */
static bool enter_frame(struct store *s, struct seg *g) {
    struct compactor *c = &s->compactor;
    struct frame_header h;
    const uint8_t *p = bytes_at(s, g, c->off, sizeof h);
    if (!p) return false;
    if (!frame_head(p, g->epoch, &h) || h.off != c->off || h.size > g->on_disk - c->off) return true;
    c->recs_end = h.off + sizeof h + h.used;
    c->frame_end = h.off + h.size;
    c->off += sizeof h;
    return true;
}

/* One step through the segment. Where a frame's header is damaged every 8 bytes are tried. False: bytes are
 * not there yet. */
static bool step(struct store *s, struct seg *g) {
    struct compactor *c = &s->compactor;
    must(c->off < g->on_disk);
    if (c->recs_end && c->off >= c->recs_end) {
        c->off = c->frame_end;
        c->recs_end = 0;
        return true;
    }
    if (!c->recs_end && c->off % g->block == 0) {
        if (!enter_frame(s, g)) return false;
        if (c->recs_end) return true;
    }
    uint64_t end = c->recs_end ? c->recs_end : g->on_disk;
    struct rec_header h;
    if (end - c->off < sizeof h) {
        c->off = end;
        return true;
    }
    const uint8_t *p = bytes_at(s, g, c->off, sizeof h);
    if (!p) return false;
    if (!rec_head(p, sizeof h, g->epoch, c->off, &h) || align_up(h.size, REC_ALIGN) > end - c->off) {
        c->off += REC_ALIGN;
        return true;
    }
    uint64_t loc = loc_of(g->segno, c->off);
    bool content = h.kind == REC_MESSAGE || h.kind == REC_MOVED || h.kind == REC_FRAGMENT ||
                   h.kind == REC_CHECKPOINT;
    if (content && s->owner.wanted(s->owner.ctx, h.kind, h.stream, h.seq, loc)) return take(s, g, &h, loc);
    c->off += align_up(h.size, REC_ALIGN);
    return true;
}

static int by_stream(const void *a, const void *b) {
    const struct moving *x = a, *y = b;
    if (x->stream != y->stream) return x->stream < y->stream ? -1 : 1;
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

/* Gathers until there is enough to sort, a large record comes, or bytes are missing: then false. */
static bool scan(struct store *s, struct seg *g) {
    struct compactor *c = &s->compactor;
    must(c->items_next == c->items_len);
    if (c->items_next) c->items_len = c->items_next = c->gathered = 0;
    while (c->off < g->on_disk && c->gathered < GATHER && c->items_len < ITEMS_MAX && !c->big)
        if (!step(s, g)) return false;
    if (c->items_len) qsort(c->items, c->items_len, sizeof *c->items, by_stream);
    return true;
}

/* --- moving --- */

static enum err move(struct store *s, const struct rec *r, uint64_t loc) {
    uint64_t before = s->appended;
    must(r->kind != REC_FRAGMENT);
    enum err e = s->owner.move(s->owner.ctx, r, loc);
    must(e || s->appended > before);
    struct compactor *c = &s->compactor;
    if (e && e != ERR_NONE) c->blocked = true;
    if (e) return e;
    uint64_t n = s->appended - before;
    c->appended += n;
    c->credit -= (int64_t)n;
    s->stats.moved_records++;
    s->stats.moved_bytes += n;
    return ERR_OK;
}

/* False: refused. */
static bool move_next(struct store *s, size_t *bytes) {
    struct compactor *c = &s->compactor;
    const struct moving *m = &c->items[c->items_next];
    struct rec_header h;
    const uint8_t *p = c->gather.p + m->at;
    memcpy(&h, p, sizeof h);
    struct rec r = {.kind = h.kind, .flags = h.flags, .stream = h.stream, .seq = h.seq, .ts = h.ts};
    bool split = rec_split(p + sizeof h, h.size - sizeof h, h.subject_size, h.hdr_size, &r);
    must(split);
    enum err e = move(s, &r, m->loc);
    if (e && e != ERR_NONE) return false;
    c->items_next++;
    *bytes = e ? 0 : h.size;
    return true;
}

/* A record in pieces is put together by the reader. False: later. */
static bool move_big(struct store *s, struct seg *g, size_t *bytes) {
    struct compactor *c = &s->compactor;
    struct rec r;
    must(c->big != 0);
    if (c->wait.waiting) return false;
    *bytes = 0;
    enum err e = store_read(s, c->big, &c->wait, &r);
    if (e == ERR_LATER) return false;
    if (e == ERR_FULL) {
        c->blocked = true;
        return false;
    }
    if (e == ERR_CORRUPT) {
        s->owner.lost(s->owner.ctx, c->big_stream, c->big_seq, c->big);
    } else if (e) {
        g->stays = e != ERR_NONE;
    } else {
        *bytes = rec_length(&r);
        e = move(s, &r, c->big);
        if (e && e != ERR_NONE) return false;
    }
    c->big = 0;
    return true;
}

/* --- how much --- */

static bool disk_idle(const struct store *s) { return !s->flying && s->submitted == s->sealed; }
static bool quiet(const struct store *s) { return io_now(s->io) - s->busy_ns > QUIET_NS; }

/* As much as others append, whatever the load. */
static void earn(struct store *s) {
    struct compactor *c = &s->compactor;
    int64_t others = (int64_t)s->placed - (int64_t)c->appended;
    c->fresh = others > c->seen ? (size_t)(others - c->seen) : 0;
    if (c->fresh) c->seen = others;
    c->credit += (int64_t)c->fresh;
    if (c->credit > CREDIT_MAX) c->credit = CREDIT_MAX;
    if (c->credit < -CREDIT_MAX) c->credit = -CREDIT_MAX;
}

static size_t allowance(const struct store *s) {
    const struct compactor *c = &s->compactor;
    size_t n = c->credit > 0 ? (size_t)c->credit : 0;
    if (n > TURN_BYTES + c->fresh) n = TURN_BYTES + c->fresh;
    if (!disk_idle(s)) return n;
    size_t least = quiet(s) ? QUIET_BYTES : IDLE_BYTES;
    return n > least ? n : least;
}

/* Moves up to `most` bytes. */
static void work(struct store *s, struct seg *g, size_t most) {
    struct compactor *c = &s->compactor;
    for (size_t done = 0, n = 0; done < most && !c->blocked && !g->stays; done += n) {
        n = 0;
        if (g->live == 0) return;
        if (c->items_next < c->items_len) {
            if (!move_next(s, &n)) return;
        } else if (c->big) {
            if (!move_big(s, g, &n)) return;
        } else if (c->off >= g->on_disk || !scan(s, g)) {
            return;
        }
    }
}

static bool emptied(struct store *s, struct seg *g) {
    const struct compactor *c = &s->compactor;
    if (g->stays || g->live == 0) return true;
    return c->off >= g->on_disk && c->items_next == c->items_len && !c->big;
}

void compact_run(struct store *s) {
    struct compactor *c = &s->compactor;
    earn(s);
    c->blocked = false;
    if (!c->segno || c->op.busy || s->closing) return;
    struct seg *g = seg_find(s, c->segno);
    uint64_t before = c->appended;
    if (g) work(s, g, allowance(s));
    if (c->appended > before && !quiet(s)) s->forced |= s->filling; /* others shall not wait for more */
    if (c->op.busy || (g && !emptied(s, g))) return;
    if (g && g->live > 0) {
        g->stays = true;
        log_line(&s->log, LOG_WARN, "log %04x: %llu bytes in %08x.seg could not be moved; it stays",
                 s->cfg.log, (unsigned long long)g->live, g->file);
    }
    s->stats.emptied += g && g->live == 0;
    finish(s);
}

uint64_t compact_deadline(const struct store *s) {
    const struct compactor *c = &s->compactor;
    if (!c->segno || c->op.busy || c->wait.waiting || s->closing) return UINT64_MAX;
    if (!disk_idle(s)) return UINT64_MAX; /* a completion comes first */
    return c->blocked ? io_now(s->io) + QUIET_NS : 0;
}
