/* commit.c - frames to the disk. store_commit(), at a tick's end, seals the frame being filled when something
 * in it must go and a slot is free, and submits what is sealed, in order, several at a time. Completions come
 * back in any order; the watermarks follow the contiguous prefix only, so nothing is acknowledged over a
 * hole.
 *
 * Two ways to be durable. Always: each frame is written with IO_DSYNC, written and durable move together.
 * Interval: frames are written plainly; one sync of every file written to makes durable what was written when
 * it was submitted. It runs at the interval, and at once when a frame holding a STORE_DSYNC record and all
 * before it are written: a durable write alone would promise only its own bytes.
 *
 * A write or sync that fails or falls short ends the log: nothing is retried, nothing behind it is
 * acknowledged. */
#include "base/bytes.h"
#include "base/must.h"
#include "store/core.h"

/* Sealing another small frame while some are in flight buys latency for processor time: it waits until this
 * many bytes a frame in flight have gathered. */
#define SEAL_BYTES ((uint64_t)16 << 10)

void frame_finish(struct store *s, unsigned flags) {
    uint64_t no = s->sealed + 1;
    struct frame *f = frame_at(s, no);
    struct seg *g = f->seg;
    must(s->filling);
    must(f->state == FRAME_FILLING);
    must(g == s->place);
    must(f->off == g->end);
    must(s->durable < no);
    if (g->size - f->off - align_up(f->used + FRAME_OVERHEAD, s->block) < s->block) flags |= FRAME_LAST;
    if (!f->records) flags |= FRAME_CLOSING;
    if (s->cfg.interval) flags |= FRAME_INTERVAL;
    struct frame_header h = {
        .flags = flags,
        .used = f->used,
        .records = f->records,
        .frame_no = no,
        .durable_through = s->durable,
        .prev = s->prev_hash,
        .epoch = g->epoch,
        .off = f->off,
        .sealed_ns = io_wall(s->io),
        .body = f->body,
    };
    frame_seal(s->buf.p + f->pos, &h, s->block);
    must(h.size <= f->cap);
    s->prev_hash = frame_hash(&h);
    f->through = h.durable_through;
    f->size = h.size;
    f->state = FRAME_SEALED;
    s->buf_head = f->pos + align_up(h.size, BUF_ALIGN);
    g->end = f->off + h.size;
    g->last_no = no;
    if (flags & FRAME_LAST) {
        g->state = SEG_SEALED;
        s->place = NULL;
        s->changed = true;
    }
    s->sealed = no;
    s->filling = s->forced = false;
    s->ride_ns = UINT64_MAX;
    s->closed_off = f->records == 0;
    s->placed += h.size;
    s->backlog += f->used;
}

/* --- failure --- */

void commit_fail(struct store *s, enum err why, const char *what) {
    must(what != NULL);
    must(why != ERR_OK);
    if (s->failed) return;
    s->failed = true;
    s->why = why;
    log_line(&s->log, LOG_ERROR, "log %04x: %s: %s; it takes no more writes until it is opened again",
             s->cfg.log, what, err_text(why));
    if (s->owner.on_failed) s->owner.on_failed(s->owner.ctx, ERR_FAILED);
}

void commit_nudge(struct store *s) {
    must(s->durable <= s->written);
    must(s->written <= s->sealed);
    if (!s->failed && s->owner.on_commit) s->owner.on_commit(s->owner.ctx, s->written, s->durable);
}

static void durable_to(struct store *s, uint64_t no) {
    must(no >= s->durable);
    must(no <= s->written);
    s->durable = no;
    if (no >= s->oldest && frame_at(s, no)->through > s->proof) s->proof = frame_at(s, no)->through;
}

/* --- sync at the interval --- */

static void sync_next(struct store *s);

static void on_synced(struct io_op *op, int64_t res) {
    struct store *s = container_of(op, struct store, sync_op);
    must(s->sync_busy);
    s->stats.durable_writes++;
    if (res < 0) {
        s->sync_busy = false;
        commit_fail(s, (enum err) - res, "a sync failed");
        return;
    }
    if (s->failed) {
        s->sync_busy = false;
        return;
    }
    sync_next(s);
}

static void sync_next(struct store *s) {
    struct list *l = list_pop(&s->syncing);
    if (l) {
        struct seg *g = container_of(l, struct seg, dirty);
        must(g->fd >= 0);
        s->sync_op.kind = IO_OP_FSYNC;
        s->sync_op.fd = g->fd;
        s->sync_op.on_done = on_synced;
        io_submit(s->io, &s->sync_op);
        return;
    }
    s->sync_busy = false;
    durable_to(s, s->sync_through);
    commit_nudge(s);
}

static void sync_start(struct store *s) {
    must(s->cfg.interval);
    must(!s->failed);
    must(s->written > s->durable);
    must(!s->sync_busy);
    must(list_empty(&s->syncing));
    list_each(l, next, &s->dirty) {
        list_del(l);
        list_add_tail(&s->syncing, l);
    }
    s->sync_busy = true;
    s->sync_through = s->written;
    s->sync_from_ns = 0;
    sync_next(s);
}

/* When the next sync is due; 0: now. */
static uint64_t sync_due(const struct store *s) {
    must(s->durable <= s->written);
    if (!s->cfg.interval || s->sync_busy || s->failed || s->written == s->durable) return UINT64_MAX;
    if (s->sync_wanted > s->durable && s->written >= s->sync_wanted) return 0;
    return s->sync_from_ns ? s->sync_from_ns + (uint64_t)s->cfg.interval_ns : 0;
}

/* --- writes --- */

static void advance(struct store *s) {
    must(s->written <= s->submitted);
    must(!s->failed);
    uint64_t before = s->written;
    while (s->written < s->submitted) {
        struct frame *f = frame_at(s, s->written + 1);
        if (f->state != FRAME_WRITTEN) break;
        f->seg->on_disk = f->off + f->size;
        f->seg = NULL;
        s->backlog -= f->used;
        s->written++;
    }
    if (s->written == before) return;
    if (!s->cfg.interval)
        durable_to(s, s->written);
    else if (!s->sync_from_ns)
        s->sync_from_ns = io_now(s->io);
    commit_nudge(s);
}

static void on_written(struct io_op *op, int64_t res) {
    struct slot *slot = container_of(op, struct slot, op);
    struct store *s = slot->s;
    struct frame *f = frame_at(s, slot->no);
    must(f->state == FRAME_FLYING);
    must(s->flying > 0);
    s->flying--;
    slot->no = 0;
    s->stats.write_ns_last = (int64_t)(io_now(s->io) - slot->started_ns);
    if (res != (int64_t)f->size) {
        commit_fail(s, res < 0 ? (enum err) - res : ERR_IO,
                    res < 0 ? "a write failed" : "a write fell short");
        return;
    }
    f->state = FRAME_WRITTEN;
    if (s->cfg.interval && list_empty(&f->seg->dirty)) list_add_tail(&s->dirty, &f->seg->dirty);
    s->stats.frames++;
    s->stats.frame_bytes += f->size;
    if (!s->failed) advance(s); /* behind a failure nothing is acknowledged any more */
}

static struct slot *slot_free(struct store *s) {
    must(s->cfg.frames_in_flight > 0);
    must(s->cfg.frames_in_flight <= SLOTS_MAX);
    if (s->flying >= s->cfg.frames_in_flight) return NULL;
    for (size_t i = 0; i < s->cfg.frames_in_flight; i++) {
        if (!s->slots[i].no) return &s->slots[i];
    }
    return NULL;
}

static void submit(struct store *s, struct slot *slot, uint64_t no) {
    struct frame *f = frame_at(s, no);
    must(f->state == FRAME_SEALED);
    must(f->seg->headed);
    must(f->seg->fd >= 0);
    must(!slot->op.busy);
    slot->s = s;
    slot->no = no;
    slot->started_ns = io_now(s->io);
    slot->op.kind = IO_OP_WRITE;
    slot->op.flags = s->cfg.interval ? 0 : IO_DSYNC;
    slot->op.fd = f->seg->fd;
    slot->op.buf = s->buf.p + f->pos;
    slot->op.len = f->size;
    slot->op.off = f->off;
    slot->op.on_done = on_written;
    f->state = FRAME_FLYING;
    s->flying++;
    s->submitted = no;
    s->stats.durable_writes += !s->cfg.interval;
    io_submit(s->io, &slot->op);
}

static void submit_sealed(struct store *s) {
    must(s->submitted <= s->sealed);
    must(!s->failed);
    struct slot *slot;
    while (s->submitted < s->sealed && (slot = slot_free(s)) && frame_at(s, s->submitted + 1)->seg->headed) {
        submit(s, slot, s->submitted + 1);
    }
}

/* --- the tick's end --- */

static bool must_go(const struct store *s, uint64_t now) {
    return s->forced || s->refused || (s->ride_ns != UINT64_MAX && now >= s->ride_ns + RIDE_NS);
}

/* May the frame being filled be sealed now, or is it better that it fills while others are in flight? */
static bool worth_sealing(struct store *s) {
    must(s->filling);
    must(s->submitted <= s->sealed);
    uint32_t waiting = s->flying + (uint32_t)(s->sealed - s->submitted);
    if (waiting >= s->cfg.frames_in_flight) return false;
    return waiting == 0 || frame_at(s, s->sealed + 1)->used >= SEAL_BYTES * waiting;
}

static uint64_t closing_due(const struct store *s) {
    if (s->closed_off || s->filling || s->failed || !s->place || s->durable < s->sealed) return UINT64_MAX;
    if (s->maker.no_space) return UINT64_MAX; /* what is left is for records */
    return s->append_ns + CLOSING_NS;
}

void store_commit(struct store *s) {
    uint64_t now = io_now(s->io);
    must(s->opened);
    buffer_settle(s);
    reader_settle(s);
    if (s->failed) return;
    if (s->filling && must_go(s, now) && worth_sealing(s)) frame_finish(s, 0);
    if (closing_due(s) <= now) commit_closing(s, 0);
    submit_sealed(s);
    if (sync_due(s) <= now) sync_start(s);
    root_run(s);
    maker_run(s);
    reclaim_run(s);
    compact_run(s);
    bool nudge = s->refused && !s->flying;
    s->refused = false;
    if (nudge) commit_nudge(s);
}

static uint64_t sooner(uint64_t a, uint64_t b) { return a < b ? a : b; }

uint64_t store_deadline(const struct store *s) {
    must(s->opened);
    if (s->failed) return UINT64_MAX;
    if (s->refused) return 0;
    uint64_t due = sooner(closing_due(s), sync_due(s));
    bool waits = s->flying || s->submitted < s->sealed; /* a completion comes first */
    if (s->filling && !waits && s->forced) due = 0;
    if (s->filling && !waits && s->ride_ns != UINT64_MAX) due = sooner(due, s->ride_ns + RIDE_NS);
    if (s->submitted < s->sealed && !s->flying && frame_at((struct store *)s, s->submitted + 1)->seg->headed)
        due = 0;
    if (s->root.state == STORE_ROOT_WRITES && !root_busy(s) && s->durable >= s->root.new_frame) due = 0;
    if (maker_wanted(s)) due = sooner(due, s->maker.no_space ? s->maker.retry_ns : 0);
    if (s->changed && !s->rewrite_asked) due = sooner(due, s->reclaim_ns);
    return sooner(due, compact_deadline(s));
}

size_t store_backlog(const struct store *s) {
    must(s->opened);
    must(s->backlog == 0 || s->written < s->sealed);
    return s->backlog + (s->filling ? frame_at((struct store *)s, s->sealed + 1)->used : 0);
}
