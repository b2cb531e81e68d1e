/* maker.c - prepares segments in the background, one at a time:
 *
 *     allocate -> zeros, 1 MiB a write -> sync -> header -> its copy -> directory -> ready
 *
 * A recycled file goes straight to its header. Written zeros make later commits cheap (no extent has to be
 * converted), and nobody waits for them: a zero write goes only when no commit is in flight or when the
 * filler falls behind the log. A log that is used up first takes the file as it stands (counted as dry); its
 * frames wait for the header only.
 *
 * No space, or any other failure here, costs a retry every half second, not the log; the half-made file is
 * removed. Only when frames are queued for the segment already is a failure final. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/must.h"
#include "store/core.h"

static void step(struct store *s);
static void on_done(struct io_op *op, int64_t res);

void maker_init(struct store *s) {
    must(s->maker.seg == NULL);
    s->maker.stage = MAKER_IDLE;
    s->maker.op.on_done = on_done;
    must(s->maker.mem.committed >= FILL_STEP);
    must(s->maker.block != NULL);
}

bool maker_busy(const struct store *s) { return s->maker.op.busy; }

static uint32_t ready_target(const struct store *s) {
    must(s->cfg.seg_min > 0);
    if (s->cfg.seg_ready) return s->cfg.seg_ready;
    return s->segs_len && s->segs[s->segs_len - 1]->size >= 4 * s->cfg.seg_min ? 2 : 1;
}

/* An unused log prepares nothing: it stays as small as it was created. */
bool maker_wanted(const struct store *s) {
    must((s->maker.stage == MAKER_IDLE) == (s->maker.seg == NULL));
    if (s->maker.stage != MAKER_IDLE || s->failed || s->closing) return false;
    if (s->maker.waited) return true;
    return s->appended > 0 && s->ready_count < ready_target(s) &&
           (!s->place || s->place->end > s->place->size / 4);
}

/* --- beginnings and ends --- */

static struct seg *recycled(struct store *s, uint64_t size) {
    must(size >= s->cfg.seg_min);
    list_each(l, next, &s->free) {
        struct seg *g = container_of(l, struct seg, link);
        if (g->reads || !seg_usable(s, g) || g->size < s->maker.want) continue;
        if (g->size < size / 2 && !s->maker.no_space) continue;
        list_del(l);
        s->free_count--;
        return g;
    }
    return NULL;
}

static void no_space(struct store *s, enum err why) {
    must(why != ERR_OK);
    must(s->maker.stage == MAKER_IDLE);
    struct maker *m = &s->maker;
    if (!m->no_space || m->why != why) {
        log_line(&s->log, LOG_WARN, "log %04x: no segment can be prepared: %s; trying again", s->cfg.log,
                 err_text(why));
    }
    m->no_space = true;
    m->why = why;
    m->retry_ns = io_now(s->io) + SPACE_RETRY_NS;
    m->tell |= m->waited;
}

/* The file of a preparation that failed: away, or back to the pool while its old header still stands. A
 * removed one counts as part of the log until that is durable. */
static void abandon(struct store *s, struct seg *g, enum maker_stage stage, uint64_t old_segno) {
    char name[16];
    seg_name(g, name);
    if (!s->maker.fresh && stage < MAKER_HEAD) {
        reclaim_free(s, g);
        return;
    }
    seg_close_file(s, g);
    g->segno = old_segno;
    if (io_file_unlink(s->io, s->dirfd, name) == ERR_OK) {
        list_add_tail(&s->unlinked, &g->link);
        return;
    }
    log_line(&s->log, LOG_WARN, "log %04x: %s stays behind", s->cfg.log, name);
    list_add_tail(&s->left, &g->link);
}

static void give_up(struct store *s, enum err why) {
    must(why != ERR_OK);
    must(s->maker.seg != NULL);
    must(!s->maker.op.busy);
    struct maker *m = &s->maker;
    struct seg *g = m->seg;
    enum maker_stage stage = m->stage;
    uint64_t old_segno = m->old_segno;
    m->seg = NULL;
    m->stage = MAKER_IDLE;
    m->old_segno = 0;
    if (m->taken) {
        commit_fail(s, why, "preparing the segment in use failed");
        return;
    }
    abandon(s, g, stage, old_segno);
    no_space(s, why);
}

static void finish(struct store *s) {
    must(s->maker.seg != NULL);
    must(!s->maker.seg->headed);
    must(s->maker.seg->segno > 0);
    struct maker *m = &s->maker;
    struct seg *g = m->seg;
    m->seg = NULL;
    m->stage = MAKER_IDLE;
    m->old_segno = m->want = 0;
    g->headed = true;
    if (!m->taken) {
        g->state = SEG_READY;
        list_add_tail(&s->ready, &g->link);
        s->ready_count++;
    }
    m->tell |= m->waited;
}

static void space_is_there(struct store *s) {
    must(s->maker.stage > MAKER_ALLOCATE);
    struct maker *m = &s->maker;
    m->no_space = false;
    m->tell |= m->waited;
}

/* Lets a refused append try again; never from inside the append itself. */
static void tell(struct store *s) {
    if (!s->maker.tell) return;
    s->maker.tell = s->maker.waited = false;
    commit_nudge(s);
}

static enum err begin_fresh(struct store *s, uint64_t size) {
    must(s->maker.seg == NULL);
    must(size % SEG_SIZE_STEP == 0);
    struct maker *m = &s->maker;
    struct seg *g = seg_new(s, s->next_file);
    if (!g) return ERR_NOMEM;
    g->size = size;
    enum err e = seg_open_file(s, g, true);
    if (e) {
        seg_discard(s, g);
        return e;
    }
    g->unwritten = true;
    m->seg = g;
    m->fresh = true;
    m->stage = MAKER_ALLOCATE;
    return ERR_OK;
}

static enum err begin_recycled(struct store *s, struct seg *g) {
    must(s->maker.seg == NULL);
    must(g->state == SEG_FREE);
    must(g->reads == 0);
    struct maker *m = &s->maker;
    if (g->fd < 0) {
        enum err e = seg_open_file(s, g, false);
        if (e) {
            seg_discard(s, g);
            return e;
        }
    }
    m->seg = g;
    m->fresh = false;
    m->old_segno = g->segno;
    m->stage = g->unwritten ? MAKER_ALLOCATE : MAKER_HEAD; /* it may have been cut short */
    return ERR_OK;
}

static void begin(struct store *s) {
    struct maker *m = &s->maker;
    must(m->stage == MAKER_IDLE);
    must(!m->op.busy);
    uint64_t size = seg_next_size(s);
    if (size < m->want) size = m->want;
    struct seg *g = recycled(s, size);
    enum err e = g ? begin_recycled(s, g) : begin_fresh(s, size);
    if (e) {
        no_space(s, e);
        return;
    }
    m->seg->state = SEG_MAKING;
    m->taken = m->paused = false;
    m->zero_off = SEG_HEADERS_BYTES;
    step(s);
    if (m->stage > MAKER_ALLOCATE) space_is_there(s);
}

/* --- steps --- */

static void submit(struct store *s, enum io_kind kind, int fd, void *buf, size_t n, uint64_t off,
                   uint8_t flags) {
    struct io_op *op = &s->maker.op;
    must(!op->busy);
    op->kind = kind;
    op->fd = fd;
    op->buf = buf;
    op->len = n;
    op->off = off;
    op->flags = flags;
    io_submit(s->io, op);
}

/* Zeros wait for commits, unless the log is eating into its segment faster than the next one gets ready. */
static bool may_zero(const struct store *s) {
    must(s->maker.seg != NULL);
    must(s->maker.zero_off >= SEG_HEADERS_BYTES);
    const struct maker *m = &s->maker;
    if (!s->flying && s->submitted == s->sealed) return true;
    if (!s->place) return true;
    uint64_t used = s->place->end * 100 / s->place->size, done = m->zero_off * 100 / m->seg->size;
    return used > 25 && done < (used - 25) * 2;
}

static void write_header(struct store *s, uint64_t off) {
    must(s->maker.seg != NULL);
    must(off == 0 || off == SEG_HEADER_COPY);
    struct seg *g = s->maker.seg;
    uint8_t *buf = s->maker.block;
    if (off == 0) {
        if (!s->maker.taken) seg_number(s, g);
        struct seg_header h;
        seg_fill_header(s, g, 0, &h);
        memset(buf, 0, SEG_HEADER_COPY);
        memcpy(buf, &h, sizeof h);
    }
    submit(s, IO_OP_WRITE, g->fd, buf, SEG_HEADER_COPY, off, IO_DSYNC);
}

static void step(struct store *s) {
    struct maker *m = &s->maker;
    struct seg *g = m->seg;
    must(g != NULL);
    must(g->fd >= 0);
    if (m->taken && m->stage < MAKER_HEAD) m->stage = MAKER_HEAD;
    switch (m->stage) {
    case MAKER_ALLOCATE: submit(s, IO_OP_FALLOCATE, g->fd, NULL, g->size, 0, 0); break;
    case MAKER_ZERO:
        m->paused = !may_zero(s);
        if (m->paused) return;
        uint64_t left = g->size - m->zero_off;
        submit(s, IO_OP_WRITE, g->fd, m->mem.p, left < FILL_STEP ? (size_t)left : FILL_STEP, m->zero_off, 0);
        break;
    case MAKER_SYNC: submit(s, IO_OP_FSYNC, g->fd, NULL, 0, 0, 0); break;
    case MAKER_HEAD: write_header(s, 0); break;
    case MAKER_HEAD_COPY: write_header(s, SEG_HEADER_COPY); break;
    case MAKER_DIR: submit(s, IO_OP_FSYNC, s->dirfd, NULL, 0, 0, 0); break;
    case MAKER_IDLE: must(m->stage != MAKER_IDLE); break; /* a step without a segment */
    }
}

/* The stage after a completed one. */
static enum maker_stage next_stage(struct maker *m) {
    must(m->stage != MAKER_IDLE);
    must(m->seg != NULL);
    switch (m->stage) {
    case MAKER_ZERO:
        m->zero_off += m->op.len;
        if (m->zero_off < m->seg->size) return MAKER_ZERO;
        m->seg->unwritten = false;
        return MAKER_SYNC;
    case MAKER_HEAD_COPY: return m->fresh ? MAKER_DIR : MAKER_IDLE;
    case MAKER_DIR: return MAKER_IDLE;
    default: return m->stage + 1;
    }
}

static void on_done(struct io_op *op, int64_t res) {
    struct store *s = container_of(op, struct store, maker.op);
    struct maker *m = &s->maker;
    must(m->stage != MAKER_IDLE);
    must(m->seg != NULL);
    bool allocated = m->stage == MAKER_ALLOCATE;
    if (res == -(int64_t)ERR_UNSUPPORTED && allocated) res = 0; /* the zeros allocate then */
    if (op->kind == IO_OP_WRITE && res >= 0 && (size_t)res != op->len) res = -(int64_t)ERR_IO;
    if (res < 0) {
        give_up(s, (enum err) - res);
    } else if (!s->closing || m->taken) { /* at the end a half-made file is left to the next open */
        m->stage = next_stage(m);
        if (m->stage == MAKER_IDLE)
            finish(s);
        else
            step(s);
        if (allocated) space_is_there(s);
    }
    tell(s);
}

void maker_kick(struct store *s) {
    struct maker *m = &s->maker;
    if (m->stage == MAKER_ZERO && m->paused && !m->op.busy) step(s);
    if (maker_wanted(s) && (!m->no_space || io_now(s->io) >= m->retry_ns)) begin(s);
}

void maker_run(struct store *s) {
    maker_kick(s);
    tell(s);
}

struct seg *maker_take(struct store *s) {
    struct maker *m = &s->maker;
    must(m->stage > MAKER_ALLOCATE);
    must(m->seg != NULL);
    must(!m->taken);
    struct seg *g = m->seg;
    if (m->stage < MAKER_HEAD) seg_number(s, g);
    if (m->stage < MAKER_SYNC) s->stats.dry++;
    m->taken = true;
    if (!m->op.busy) step(s);
    return g;
}
