/* replay.c - see replay.h. The happy path is one apply a record. What is incomplete - a run of fragments
 * without its last, a batch without its end - is dropped without a word: it was never acknowledged, or its
 * damage was reported where it was found. A batch counts all the same when its end was damaged for certain.
 * Only memory can run out; that stops the recovery. */
#include "store/replay.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/must.h"

struct held {
    struct rec rec; /* spans are rebuilt from the sizes */
    uint64_t loc;
    size_t size;     /* of the body that follows */
    uint64_t damage; /* bytes of a record whose body does not verify: it has its turn among the others */
};

void replay_init(struct replay *y, struct store *s) {
    must(s != NULL);
    *y = (struct replay){.s = s};
}

void replay_deinit(struct replay *y) {
    free(y->run);
    free(y->batch);
}

static bool room(struct replay *y, uint8_t **p, size_t *cap, size_t need) {
    must(need > 0);
    if (need <= *cap) return true;
    size_t n = *cap ? *cap : 4096;
    while (n < need) n *= 2;
    uint8_t *q = realloc(*p, n);
    if (!q) {
        y->why = ERR_NOMEM;
        return false;
    }
    *p = q;
    *cap = n;
    return true;
}

static void apply(struct replay *y, const struct rec *r, uint64_t loc) {
    must(r->kind != REC_FRAGMENT);
    must(loc_off(loc) >= SEG_HEADERS_BYTES);
    struct store *s = y->s;
    if (r->kind == REC_MESSAGE || r->kind == REC_MOVED) {
        struct seg *g = seg_find(s, loc_seg(loc));
        must(g != NULL);
        g->live += rec_size(r->subject.n, r->hdr.n, r->payload.n);
    }
    y->records++;
    if (s->owner.apply) s->owner.apply(s->owner.ctx, r, loc);
}

/* --- batches --- */

static void bad_body(struct replay *y, uint64_t loc, uint64_t size, const struct rec *r) {
    struct seg *g = seg_find(y->s, loc_seg(loc));
    must(size > 0);
    if (g) report_damage(y->s, g, loc_off(loc), size, r, "a record's body does not verify");
}

static void batch_empty(struct replay *y) {
    y->batch_used = 0;
    y->batch_seg = 0;
    y->batch_hole = false;
}

/* Its records never existed; that some are damaged is told all the same. */
static void batch_drop(struct replay *y) {
    for (size_t at = 0; at < y->batch_used;) {
        struct held h;
        memcpy(&h, y->batch + at, sizeof h);
        if (h.damage) bad_body(y, h.loc, h.damage, NULL);
        at += sizeof h + align_up(h.size, _Alignof(struct held));
    }
    batch_empty(y);
}

static void batch_hold(struct replay *y, const struct rec *r, uint64_t loc, uint64_t damage) {
    must(r->kind == REC_MESSAGE || damage);
    size_t body = r->subject.n + r->hdr.n + r->payload.n, at = y->batch_used;
    size_t need = sizeof(struct held) + align_up(body, _Alignof(struct held));
    if (!room(y, &y->batch, &y->batch_cap, at + need)) return;
    struct held h = {.rec = *r, .loc = loc, .size = body, .damage = damage};
    uint8_t *to = y->batch + at + sizeof h;
    memcpy(y->batch + at, &h, sizeof h);
    const struct span parts[3] = {r->subject, r->hdr, r->payload};
    for (size_t i = 0; i < 3; i++) {
        if (parts[i].n) memcpy(to, parts[i].p, parts[i].n);
        to += parts[i].n;
    }
    y->batch_used = at + need;
    y->batch_hole = false;
    if (!y->batch_seg) y->batch_seg = loc_seg(loc), y->batch_stream = r->stream;
}

/* The end came: every record counts, and every segment it touches holds on to its first. */
static void batch_release(struct replay *y, uint64_t last_seg) {
    must(y->batch_seg > 0);
    must(last_seg >= y->batch_seg);
    for (size_t i = 0; i < y->s->segs_len; i++) {
        struct seg *g = y->s->segs[i];
        if (g->segno > y->batch_seg && g->segno <= last_seg) g->needs = y->batch_seg;
    }
    for (size_t at = 0; at < y->batch_used;) {
        struct held h;
        memcpy(&h, y->batch + at, sizeof h);
        bool split = rec_split(y->batch + at + sizeof h, h.size, h.rec.subject.n, h.rec.hdr.n, &h.rec);
        must(split);
        if (h.damage)
            bad_body(y, h.loc, h.damage, &h.rec);
        else
            apply(y, &h.rec, h.loc);
        at += sizeof h + align_up(h.size, _Alignof(struct held));
    }
    batch_empty(y);
}

/* Something else follows, and whoever writes a batch writes nothing else before its end. So the end lay in a
 * hole if there is one; without, the batch was given up. */
static void batch_over(struct replay *y, uint64_t segno) {
    if (!y->batch_seg) return;
    if (y->batch_hole)
        batch_release(y, segno);
    else
        batch_drop(y);
}

static void deliver(struct replay *y, const struct rec *r, uint64_t loc) {
    must(r->kind != REC_FRAGMENT);
    if (y->sink) {
        y->sink(y->sink_ctx, r, loc);
        return;
    }
    bool part = r->kind == REC_MESSAGE; /* a copy that compaction made stands for itself */
    bool end = part && r->flags & REC_F_BATCH_END, inside = part && r->flags & REC_F_BATCH;
    bool begin = part && r->flags & REC_F_BATCH_BEGIN;
    if (y->batch_seg && ((!end && !inside) || begin || r->stream != y->batch_stream))
        batch_over(y, loc_seg(loc));
    if (inside && !end) {
        batch_hold(y, r, loc, 0);
        return;
    }
    if (end && y->batch_seg) batch_release(y, loc_seg(loc));
    apply(y, r, loc);
}

/* A damaged record costs itself only: the others of its batch count when it was the last, and have their turn
 * before it when it was not. A piece of one does not say whether it was. */
static void damaged_record(struct replay *y, const struct rec *r, uint64_t loc, uint64_t size) {
    must(r->payload.n == 0);
    y->bad++;
    bool ours = y->batch_seg && r->stream == y->batch_stream && !y->why, piece = r->kind == REC_FRAGMENT;
    bool end = r->kind == REC_MESSAGE && r->flags & REC_F_BATCH_END;
    bool inside = r->kind == REC_MESSAGE && r->flags & REC_F_BATCH && !(r->flags & REC_F_BATCH_BEGIN);
    if (ours && end) batch_release(y, loc_seg(loc));
    if (ours && !end && (inside || piece))
        batch_hold(y, r, loc, size);
    else
        bad_body(y, loc, size, r);
    if (piece) replay_hole(y);
}

/* --- fragments --- */

static void run_drop(struct replay *y) { y->run_loc = 0; }

static void fragment(struct replay *y, const struct rec *r, uint64_t loc) {
    must(r->kind == REC_FRAGMENT);
    must(y->run_got <= y->run_cap);
    struct frag_header h;
    if (r->payload.n < sizeof h) return;
    memcpy(&h, r->payload.p, sizeof h);
    size_t n = r->payload.n - sizeof h;
    if (h.offset == 0) {
        if (h.total > REC_SIZE_MAX || (uint64_t)h.subject_size + h.hdr_size > h.total ||
            h.kind == REC_FRAGMENT || h.kind == 0 || h.kind >= REC_KIND_END)
            return;
        y->run_rec =
            (struct rec){.kind = h.kind, .flags = h.flags, .stream = r->stream, .seq = r->seq, .ts = r->ts};
        y->run_loc = loc;
        y->run_got = 0;
        y->run_total = h.total;
        y->run_subject = h.subject_size;
        y->run_hdr = h.hdr_size;
    }
    bool fits = y->run_loc && h.offset == y->run_got && h.total == y->run_total &&
                n <= y->run_total - y->run_got && r->stream == y->run_rec.stream &&
                r->seq == y->run_rec.seq && loc_seg(loc) == loc_seg(y->run_loc);
    if (!fits || !room(y, &y->run, &y->run_cap, y->run_got + n)) {
        run_drop(y);
        return;
    }
    memcpy(y->run + y->run_got, r->payload.p + sizeof h, n);
    y->run_got += n;
    if (y->run_got < y->run_total) return;
    struct rec whole = y->run_rec;
    bool split = rec_split(y->run, y->run_total, y->run_subject, y->run_hdr, &whole);
    must(split);
    uint64_t first = y->run_loc;
    run_drop(y);
    deliver(y, &whole, first);
}

void replay_record(struct replay *y, const struct rec *r, uint64_t segno, uint64_t off) {
    must(r->kind > 0);
    must(r->kind < REC_KIND_END);
    if (y->why) return;
    if (r->kind == REC_FRAGMENT) {
        fragment(y, r, loc_of(segno, off));
        return;
    }
    run_drop(y);
    deliver(y, r, loc_of(segno, off));
}

void replay_hole(struct replay *y) {
    must(!y->s->opened);
    y->batch_hole = y->batch_seg > 0;
}

/* Nothing of the same life follows that would say whether a damaged end was one. Its sequences may have been
 * given to others since: dropped, but not without a word. */
void replay_break(struct replay *y) {
    must(!y->s->opened || y->sink);
    run_drop(y);
    struct seg *g = y->batch_hole ? seg_find(y->s, y->batch_seg) : NULL;
    if (g) {
        struct held h;
        memcpy(&h, y->batch, sizeof h);
        report_damage(y->s, g, loc_off(h.loc), y->batch_used, &h.rec,
                      "a batch without its end, which damage may have taken; dropped");
    }
    batch_drop(y);
}

/* --- frames --- */

void replay_frame(struct replay *y, const uint8_t *p, const struct frame_header *h, uint64_t segno) {
    must(segno > 0);
    size_t at = sizeof *h, end = sizeof *h + h->used, size;
    for (struct rec r; at < end; at += size) {
        enum rec_state state = rec_check(p + at, end - at, h->epoch, h->off + at, &r, &size);
        must(state == REC_STATE_GOOD); /* the frame was found whole */
        replay_record(y, &r, segno, h->off + at);
    }
    bool idle = h->records == 0 && h->flags & FRAME_CLOSING && !(h->flags & FRAME_LAST);
    if (idle)
        batch_over(y, segno); /* its writer had nothing left to write; a recovery closes with a last one */
}

/* Good records between from and to count; calls bad() for each stretch that is none. */
static void salvage(struct replay *y, const uint8_t *p, size_t from, size_t to, struct seg *g, uint64_t off,
                    bool each) {
    size_t bad = from;
    for (size_t at = from, size; at + REC_ALIGN <= to;) {
        struct rec r;
        enum rec_state state = rec_check(p + at, to - at, g->epoch, off + at, &r, &size);
        if (state == REC_STATE_NO_HEAD) {
            at += REC_ALIGN;
            continue;
        }
        if (at > bad) replay_hole(y);
        if (each && at > bad)
            report_damage(y->s, g, off + bad, at - bad, NULL, "records whose headers do not verify");
        if (state == REC_STATE_GOOD)
            replay_record(y, &r, g->segno, off + at);
        else
            damaged_record(y, &r, loc_of(g->segno, off + at), size);
        at += size;
        bad = at;
    }
    if (to > bad) replay_hole(y);
    if (each && to > bad)
        report_damage(y->s, g, off + bad, to - bad, NULL, "records whose headers do not verify");
}

void replay_damaged(struct replay *y, const uint8_t *p, const struct frame_header *h, struct seg *g) {
    uint64_t before = y->s->stats.damaged, bad = y->bad;
    must(h->size >= FRAME_OVERHEAD);
    must(h->used + FRAME_OVERHEAD <= h->size);
    salvage(y, p, sizeof *h, sizeof *h + h->used, g, h->off, true);
    if (y->s->stats.damaged == before && y->bad == bad)
        report_damage(y->s, g, h->off, sizeof *h, &(struct rec){0},
                      "a frame's header; its records are whole");
}

void replay_unknown(struct replay *y, const uint8_t *p, size_t n, struct seg *g, uint64_t off) {
    must(off >= SEG_HEADERS_BYTES);
    must(n > 0);
    report_damage(y->s, g, off, n, NULL, "frames whose headers do not verify");
    salvage(y, p, 0, n, g, off, false);
}

void replay_search(struct replay *y, const uint8_t *p, size_t n, struct seg *g, uint64_t off) {
    must(y->sink != NULL);
    size_t size;
    for (size_t at = 0; at + REC_ALIGN <= n && !y->why; at += size) {
        struct rec r;
        enum rec_state state = rec_check(p + at, n - at, g->epoch, off + at, &r, &size);
        if (state == REC_STATE_GOOD) replay_record(y, &r, g->segno, off + at);
        if (state == REC_STATE_NO_HEAD) size = REC_ALIGN;
    }
}
