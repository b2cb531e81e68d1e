/* append.c - records into the write buffer. The buffer is a ring of frames in memory, laid out as they will
 * lie on disk; what is written stays in it as the cache of the log's tail until the ring comes round. A
 * frame's place in its file is fixed when it is begun, so a record's location is known, and seeds its
 * checksum, when it is copied.
 *
 * Refusals change nothing that a reader of the log could see: at worst the frame being filled is sealed a
 * little early. ERR_FULL when the ring is full of frames not yet written or handed to readers in this tick,
 * ERR_NOSPC when no segment can be had; the last segment's end is kept for records that are not messages
 * (deletes, acks, configuration give space back). */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/must.h"
#include "store/core.h"

#define BUF_MIN ((size_t)2 << 20)

enum err buffer_init(struct store *s, uint64_t next_no) {
    must(next_no > 0);
    must(s->frames == NULL);
    s->buf_cap = align_up(s->cfg.buffer_bytes < BUF_MIN ? BUF_MIN : s->cfg.buffer_bytes, BUF_MIN);
    uint64_t count = 64;
    while (count < s->buf_cap / BUF_ALIGN) count *= 2;
    s->frames = calloc(count, sizeof *s->frames);
    if (!s->frames) return ERR_NOMEM;
    s->frames_mask = count - 1;
    s->oldest = next_no;
    s->sealed = s->submitted = s->written = s->durable = next_no - 1;
    s->pinned = s->ride_ns = UINT64_MAX;
    /* Room for the largest record, once in a while; used only up to buf_cap otherwise. */
    return region_open(&s->buf, s->buf_cap + REC_SIZE_MAX + 8 * (size_t)s->cfg.frame_max);
}

void buffer_deinit(struct store *s) {
    region_close(&s->buf);
    free(s->frames);
    s->frames = NULL;
}

/* --- the ring --- */

static bool buffer_empty(const struct store *s) { return s->oldest > s->sealed; }

/* Forgets the oldest frame; false when it is still needed. */
static bool evict(struct store *s) {
    must(s->frames != NULL);
    must(s->oldest <= s->sealed + 1);
    if (buffer_empty(s) || s->oldest > s->written || s->oldest >= s->pinned) {
        s->refused = true;
        return false;
    }
    struct frame *f = frame_at(s, s->oldest);
    must(f->state == FRAME_WRITTEN);
    f->state = FRAME_GONE;
    s->oldest++;
    return true;
}

static void evict_all(struct store *s) {
    must(s->written == s->sealed);
    while (!buffer_empty(s) && evict(s)) {
    }
    must(buffer_empty(s));
}

static size_t buffer_free(struct store *s) {
    must(s->buf_head <= s->buf_cap);
    if (buffer_empty(s)) return s->buf_cap;
    size_t tail = frame_at(s, s->oldest)->pos;
    return tail < s->buf_head ? s->buf_cap - (s->buf_head - tail) : tail - s->buf_head;
}

/* Finds n contiguous bytes at the head, forgetting old frames for it. */
static bool buffer_room(struct store *s, size_t n, size_t *pos) {
    must(n % BUF_ALIGN == 0);
    must(n <= s->buf_cap);
    for (;;) {
        size_t tail = buffer_empty(s) ? 0 : frame_at(s, s->oldest)->pos;
        bool wrapped = !buffer_empty(s) && tail >= s->buf_head;
        size_t end = wrapped ? tail : s->buf_cap;
        if (s->buf_head + n <= end) break;
        if (!wrapped && (buffer_empty(s) || tail >= n)) {
            s->buf_head = 0;
            break;
        }
        if (!evict(s)) return false;
    }
    *pos = s->buf_head;
    return true;
}

static bool buffer_commit(struct store *s, size_t upto) {
    return region_commit(&s->buf, upto, false) == ERR_OK;
}

/* After a record larger than the ring: back to its size. */
static size_t buffer_normal(const struct store *s) {
    return align_up(s->cfg.buffer_bytes < BUF_MIN ? BUF_MIN : s->cfg.buffer_bytes, BUF_MIN);
}

void buffer_settle(struct store *s) {
    must(s->frames != NULL);
    must(s->durable <= s->written);
    s->pinned = UINT64_MAX;
    s->tick++;
    if (s->buf_cap == buffer_normal(s) || s->filling || s->written < s->sealed) return;
    evict_all(s);
    s->buf_cap = buffer_normal(s);
    s->buf_head = 0;
    if (s->buf.committed > s->buf_cap) region_release(&s->buf, s->buf_cap, s->buf.committed - s->buf_cap);
}

/* Makes sure that frames of `bytes` in all can be begun one after the other without a refusal. */
static enum err buffer_ensure(struct store *s, size_t bytes, size_t count) {
    must(count > 0);
    size_t want =
        bytes +
        3 * (size_t)s->cfg.frame_max; /* waste at the end of the ring, and the last frame's room to grow */
    must(want <= s->buf.reserved);
    if (want > s->buf_cap) {
        s->refused = s->filling || s->written < s->sealed || s->pinned <= s->sealed;
        if (s->refused) return ERR_FULL;
        evict_all(s);
        s->buf_cap = align_up(want, BUF_MIN);
        s->buf_head = 0;
    }
    while (buffer_free(s) < want || s->sealed + count + 2 - s->oldest > s->frames_mask) {
        if (!evict(s)) return ERR_FULL;
    }
    return ERR_OK;
}

/* --- frames --- */

static uint64_t place_left(const struct store *s) {
    if (!s->place) return 0;
    must(s->place->end <= s->place->size);
    return s->place->size - s->place->end;
}

static enum err begin(struct store *s, size_t cap) {
    uint64_t no = s->sealed + 1;
    size_t pos;
    must(!s->filling);
    must(s->place != NULL);
    must(cap % s->block == 0);
    must(cap >= s->block);
    if (no - s->oldest > s->frames_mask && !evict(s)) return ERR_FULL;
    if (!buffer_room(s, align_up(cap, BUF_ALIGN), &pos) || !buffer_commit(s, pos + cap)) return ERR_FULL;
    *frame_at(s, no) = (struct frame){.seg = s->place,
                                      .segno = s->place->segno,
                                      .off = s->place->end,
                                      .pos = pos,
                                      .cap = (uint32_t)cap,
                                      .state = FRAME_FILLING};
    s->filling = true;
    s->forced = false;
    s->ride_ns = UINT64_MAX;
    return ERR_OK;
}

/* A frame for records leaves a block free behind it, so that a closing or last frame always has a place. */
enum err frame_begin(struct store *s) {
    uint64_t left = place_left(s);
    must(left >= 2 * s->block);
    left -= s->block;
    return begin(s, left < s->cfg.frame_max ? (size_t)left : s->cfg.frame_max);
}

static enum err frame_empty(struct store *s, unsigned flags) {
    must(s->place != NULL);
    must(place_left(s) >= s->block);
    enum err e = begin(s, s->block);
    if (!e) frame_finish(s, flags);
    return e;
}

void commit_closing(struct store *s, unsigned flags) {
    must(!s->filling);
    if (s->place && frame_empty(s, flags) == ERR_OK) s->closed_off = true;
}

/* Where the segment would end if the frame being filled were sealed now. */
static uint64_t left_after(struct store *s) {
    must(!s->filling || s->place != NULL);
    uint64_t left = place_left(s);
    if (!s->filling) return left;
    return left - align_up(frame_at(s, s->sealed + 1)->used + FRAME_OVERHEAD, s->block);
}

/* Only records that are not messages may use the last quarter of the last segment there is. */
static bool reserved(struct store *s, const struct rec *r, uint64_t left) {
    must(r->kind < REC_KIND_END);
    if (r->kind != REC_MESSAGE || !s->maker.no_space || s->ready_count || s->batch_reserved) return false;
    if (s->place && left >= s->place->size / 4) return false;
    s->maker.waited = true;
    return true;
}

/* Opens a frame in which `bytes` of frames fit into its segment, after sealing the one being filled. */
static enum err fresh_frame(struct store *s, const struct rec *r, uint64_t bytes) {
    must(bytes >= s->block);
    must(bytes % s->block == 0);
    uint64_t left = left_after(s);
    bool stay = s->place && left >= bytes + s->block;
    if (stay && reserved(s, r, left)) return s->maker.why;
    enum err e = stay ? ERR_OK : seg_can_advance(s, bytes + s->block);
    if (e) return e;
    if (s->filling)
        frame_finish(s, stay ? 0 : FRAME_LAST);
    else if (!stay && s->place && (e = frame_empty(s, FRAME_LAST)))
        return e;
    if (!s->place && (e = seg_advance(s, bytes + s->block))) return e;
    return frame_begin(s);
}

/* --- records --- */

static void account(struct store *s, struct frame *f, uint32_t crc, size_t bytes) {
    must(s->filling);
    must(f->state == FRAME_FILLING);
    must(bytes % REC_ALIGN == 0);
    f->body = crc32c(f->body, &crc, sizeof crc);
    f->used += (uint32_t)bytes;
    f->records++;
    must(f->used + FRAME_OVERHEAD <= f->cap);
    s->appended += bytes;
}

static uint8_t *fill_at(struct store *s, struct frame *f, uint64_t *off) {
    must(f->state == FRAME_FILLING);
    must(f->used % REC_ALIGN == 0);
    *off = f->off + sizeof(struct frame_header) + f->used;
    return s->buf.p + f->pos + sizeof(struct frame_header) + f->used;
}

static enum err append_whole(struct store *s, const struct rec *r, size_t bytes, uint64_t *loc) {
    must(bytes + FRAME_OVERHEAD <= s->cfg.frame_max);
    struct frame *f = frame_at(s, s->sealed + 1);
    bool fits = s->filling && f->used + bytes + FRAME_OVERHEAD <= f->cap;
    if (fits && s->maker.no_space && reserved(s, r, left_after(s))) return s->maker.why;
    if (!fits) {
        enum err e = fresh_frame(s, r, align_up(bytes + FRAME_OVERHEAD, s->block));
        if (e) return e;
        f = frame_at(s, s->sealed + 1);
    }
    uint64_t off;
    uint8_t *at = fill_at(s, f, &off);
    uint32_t crc = rec_put(at, r, f->seg->epoch, off);
    *loc = loc_of(f->segno, off);
    account(s, f, crc, bytes);
    return ERR_OK;
}

/* A record larger than a frame: each piece in a frame of its own, all in one segment; the last frame stays
 * open. */
static enum err append_run(struct store *s, const struct rec *r, uint64_t *loc) {
    size_t head = sizeof(struct rec_header) + sizeof(struct frag_header);
    size_t piece = s->cfg.frame_max - FRAME_OVERHEAD - head;
    size_t total = rec_length(r) - sizeof(struct rec_header), count = (total + piece - 1) / piece;
    size_t last = total - (count - 1) * piece;
    must(count > 0);
    must(last > 0);
    must(piece % REC_ALIGN == 0);
    uint64_t bytes = (count - 1) * s->cfg.frame_max;
    bytes += align_up(align_up(head + last, REC_ALIGN) + FRAME_OVERHEAD, s->block);
    enum err e = buffer_ensure(s, bytes, count);
    if (!e) e = fresh_frame(s, r, bytes);
    for (size_t from = 0; !e && from < total; from += piece) {
        size_t n = total - from < piece ? total - from : piece;
        if (from) {
            frame_finish(s, 0);
            e = frame_begin(s);
            must(e == ERR_OK); /* buffer_ensure() and fresh_frame() saw to it */
        }
        struct frame *f = frame_at(s, s->sealed + 1);
        uint64_t off;
        uint8_t *at = fill_at(s, f, &off);
        uint32_t crc = rec_put_fragment(at, r, from, n, f->seg->epoch, off);
        if (!from) *loc = loc_of(f->segno, off);
        account(s, f, crc, align_up(head + n, REC_ALIGN));
    }
    return e;
}

static void note_batch(struct store *s, const struct rec *r, uint64_t loc) {
    must(loc_seg(loc) > 0);
    bool open = r->kind == REC_MESSAGE && r->flags & REC_F_BATCH && !(r->flags & REC_F_BATCH_END);
    if (!open)
        s->batch_from = 0;
    else if (!s->batch_from || r->flags & REC_F_BATCH_BEGIN)
        s->batch_from = loc_seg(loc);
    s->batch_reserved = s->batch_reserved && open;
}

/* More than frames filled one after the other need, whatever the sizes of their records: a frame and the
 * first record of the next are together more than a frame holds, and a record in pieces leaves one frame of
 * each kind half empty. */
enum err store_reserve(struct store *s, size_t bytes, size_t count) {
    must(s->opened);
    must(count > 0);
    must(bytes >= count * sizeof(struct rec_header));
    if (s->failed) return ERR_FAILED;
    if (bytes > STORE_BATCH_MAX) return ERR_LIMIT;
    const struct rec any = {.kind = REC_MESSAGE};
    struct frame *f = frame_at(s, s->sealed + 1);
    size_t left = s->filling ? f->cap - f->used : 0, waste = FRAME_OVERHEAD + s->block;
    s->batch_reserved = false;
    if (bytes + FRAME_OVERHEAD <= left && !reserved(s, &any, left_after(s))) {
        s->batch_reserved = true;
        return ERR_OK;
    }
    uint64_t need = align_up(bytes + FRAME_OVERHEAD, s->block);
    size_t frames = 1;
    if (need > s->cfg.frame_max) {
        size_t piece =
            s->cfg.frame_max - FRAME_OVERHEAD - sizeof(struct rec_header) - sizeof(struct frag_header);
        frames = 4 * (bytes / piece + 1);
        need = align_up(bytes + frames * (waste + sizeof(struct rec_header) + sizeof(struct frag_header)),
                        s->block);
    }
    enum err e = buffer_ensure(s, need, frames);
    if (!e) e = fresh_frame(s, &any, need);
    s->batch_reserved = !e;
    return e;
}

enum err store_append(struct store *s, const struct rec *r, unsigned how, uint64_t *loc, uint64_t *frame) {
    must(s->opened);
    must(loc != NULL);
    must(frame != NULL);
    must(r->kind > 0);
    must(r->kind < REC_KIND_END);
    must(r->kind != REC_FRAGMENT);
    if (s->failed) return ERR_FAILED;
    size_t n = rec_length(r), bytes = align_up(n, REC_ALIGN);
    if (n > REC_SIZE_MAX || r->subject.n > UINT16_MAX) return ERR_LIMIT;
    bool whole = bytes + FRAME_OVERHEAD <= s->cfg.frame_max;
    enum err e = whole ? append_whole(s, r, bytes, loc) : append_run(s, r, loc);
    if (e) return e;
    note_batch(s, r, *loc);
    struct frame *f = frame_at(s, s->sealed + 1);
    if (r->kind == REC_MESSAGE || r->kind == REC_MOVED)
        f->seg->live += bytes; /* a run too: it lies in one segment */
    *frame = s->sealed + 1;
    s->append_ns = io_now(s->io);
    if (r->kind != REC_MOVED) s->busy_ns = s->append_ns;
    if (r->kind != REC_MESSAGE && r->kind != REC_MOVED) s->state_bytes += bytes;
    if (how & STORE_DSYNC) store_want_sync(s);
    if (how)
        s->forced = true;
    else if (s->ride_ns == UINT64_MAX)
        s->ride_ns = s->append_ns;
    s->stats.records++;
    return ERR_OK;
}

void store_want_sync(struct store *s) {
    must(s->opened);
    if (s->filling) s->forced = true;
    uint64_t frame = s->sealed + s->filling;
    if (frame > s->sync_wanted) s->sync_wanted = frame;
}

uint64_t store_frame_filling(const struct store *s) { return s->sealed + 1; }
bool store_frame_empty(const struct store *s) { return !s->filling; }
uint64_t store_written(const struct store *s) { return s->written; }
uint64_t store_durable(const struct store *s) { return s->durable; }
