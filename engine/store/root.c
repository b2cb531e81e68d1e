/* root.c - checkpoints as the store sees them: a cut, records that are kept, a root that names them, and the
 * root file that names the root.
 *
 * Happy path: store_cut() seals the frame being filled and copies the table of segments; the owner appends
 * its pages over many turns and has them kept; store_root() appends the root with the table as of the cut;
 * when its frame is durable root_run() writes the slot that does not
 * hold the newest root. Only then does the owner give up what the root before named, so at any moment a
 * durable slot names a checkpoint that is whole.
 *
 * What can fail: memory and room, before anything changed, and the write of the slot: then the root before
 * stands and no other is tried until the log is opened again. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/must.h"
#include "store/core.h"

static const char ROOT_NAME[] = "root";

static void on_slot(struct io_op *op, int64_t res);

enum err root_init(struct store *s) {
    must(s->root.block == NULL);
    s->root.fd = -1;
    s->root.op.on_done = on_slot;
    s->root.block = aligned_alloc(BUF_ALIGN, ROOT_SLOT_BYTES);
    return s->root.block ? ERR_OK : ERR_NOMEM;
}

void root_deinit(struct store *s) {
    must(!s->root.op.busy);
    if (s->root.fd >= 0) io_file_close(s->io, s->root.fd);
    free(s->root.block);
    free(s->root.segs);
    free(s->ghosts);
    s->root = (struct rooter){.fd = -1};
    s->ghosts = NULL;
}

bool root_busy(const struct store *s) { return s->root.op.busy; }

/* --- the file --- */

/* Blocking, once in the life of a log: small ones never need it. */
static enum err make_file(struct store *s) {
    must(s->root.fd < 0);
    unsigned direct = s->direct ? IO_O_DIRECT : 0u;
    enum err e = io_file_open(s->io, s->dirfd, ROOT_NAME, IO_O_CREATE | direct, &s->root.fd);
    if (e) {
        s->root.fd = -1;
        return e;
    }
    memset(s->root.block, 0, ROOT_SLOT_BYTES);
    for (uint64_t off = 0; !e && off < ROOT_FILE_BYTES; off += ROOT_SLOT_BYTES)
        e = io_file_write(s->io, s->root.fd, s->root.block, ROOT_SLOT_BYTES, off, true);
    if (!e) e = io_file_sync(s->io, s->dirfd);
    if (!e) return ERR_OK;
    io_file_close(s->io, s->root.fd);
    s->root.fd = -1;
    return e;
}

enum err root_open_file(struct store *s) {
    unsigned flags = (s->direct ? IO_O_DIRECT : 0u) | (s->cfg.read_only ? IO_O_RDONLY : 0u);
    uint64_t size = 0;
    must(s->root.fd < 0);
    enum err e = io_file_open(s->io, s->dirfd, ROOT_NAME, flags, &s->root.fd);
    if (e) {
        s->root.fd = -1;
        return e == ERR_NOENT ? ERR_OK : e;
    }
    e = io_file_size(s->io, s->root.fd, &size);
    if (!e && size >= ROOT_FILE_BYTES) return ERR_OK;
    io_file_close(s->io, s->root.fd); /* a stop while it was being made */
    s->root.fd = -1;
    return e;
}

enum err root_blank_slot(struct store *s, unsigned slot) {
    must(slot < 2);
    must(s->root.fd >= 0);
    memset(s->root.block, 0, ROOT_SLOT_BYTES);
    return io_file_write(s->io, s->root.fd, s->root.block, ROOT_SLOT_BYTES, (uint64_t)slot * ROOT_SLOT_BYTES,
                         true);
}

/* --- the cut --- */

/* The segment with the last frame sealed, and where the next one follows. */
static struct seg *tail(const struct store *s) {
    if (s->place) return s->place;
    return s->segs_len ? s->segs[s->segs_len - 1] : NULL;
}

static struct root_seg image_of(const struct seg *g) {
    must(g->segno > 0);
    must(g->end >= SEG_HEADERS_BYTES);
    return (struct root_seg){.segno = g->segno,
                             .live = g->live,
                             .end = g->end,
                             .last_frame = g->last_no,
                             .needs = g->needs,
                             .damaged = g->damaged};
}

enum err store_cut(struct store *s) {
    struct rooter *t = &s->root;
    must(s->opened);
    must(s->owner.load != NULL);
    if (s->failed || t->state == STORE_ROOT_FAILED) return ERR_FAILED;
    if (t->state == STORE_ROOT_WRITES) return ERR_FULL;
    if (!tail(s)) return ERR_NOSPC;
    enum err e = t->fd < 0 ? make_file(s) : ERR_OK;
    if (e) return e;
    struct root_seg *segs = malloc(s->segs_len * sizeof *segs);
    if (!segs) return ERR_NOMEM;
    if (s->filling) frame_finish(s, 0);
    for (size_t i = 0; i < s->segs_len; i++) segs[i] = image_of(s->segs[i]);
    free(t->segs);
    t->segs = segs;
    t->segs_len = s->segs_len;
    t->cut_placed = s->placed;
    t->state = STORE_ROOT_IDLE;
    t->cut = (struct root_head){.segno = tail(s)->segno,
                                .off = tail(s)->end,
                                .frame = s->sealed + 1,
                                .prev = s->prev_hash,
                                .ended = !s->place};
    return ERR_OK;
}

/* --- what is kept --- */

void store_keep(struct store *s, uint64_t loc, size_t bytes) {
    struct seg *g = seg_find(s, loc_seg(loc));
    must(bytes > 0);
    must(g != NULL || !s->opened);
    if (g)
        g->kept += bytes;
    else
        s->keeps_missing = true;
}

void store_unkeep(struct store *s, uint64_t loc, size_t bytes) {
    struct seg *g = seg_find(s, loc_seg(loc));
    must(g != NULL);
    must(bytes <= g->kept);
    g->kept -= bytes;
    g->dead_at = s->opened ? s->sealed + 1 : 0;
}

/* --- the root --- */

enum err store_root(struct store *s, struct span state) {
    struct rooter *t = &s->root;
    must(s->opened);
    must(t->cut.frame > 0);
    must(t->state == STORE_ROOT_IDLE);
    if (s->failed) return ERR_FAILED;
    size_t table = t->segs_len * sizeof *t->segs, n = sizeof t->cut + table;
    uint8_t *p = malloc(n + state.n);
    if (!p) return ERR_NOMEM;
    t->cut.counter = t->counter + 1;
    t->cut.segments = (uint32_t)t->segs_len;
    memcpy(p, &t->cut, sizeof t->cut);
    memcpy(p + sizeof t->cut, t->segs, table);
    if (state.n) memcpy(p + n, state.p, state.n);
    struct rec r = {
        .kind = REC_ROOT, .seq = t->cut.counter, .ts = io_wall(s->io), .payload = span_of(p, n + state.n)};
    enum err e = store_append(s, &r, STORE_DSYNC | STORE_FORCE, &t->new_loc, &t->new_frame);
    t->new_bytes = rec_size(0, 0, r.payload.n);
    free(p);
    if (e) return e;
    store_keep(s, t->new_loc, t->new_bytes);
    t->state = STORE_ROOT_WRITES;
    return ERR_OK;
}

static void write_slot(struct store *s) {
    struct rooter *t = &s->root;
    must(!t->op.busy);
    must(t->new_frame <= s->durable);
    struct root_slot slot = {.version = FORMAT_VERSION,
                             .log = s->cfg.log,
                             .counter = t->cut.counter,
                             .loc = t->new_loc,
                             .frame = t->new_frame};
    memcpy(slot.magic, ROOT_MAGIC, sizeof slot.magic);
    memcpy(slot.uuid, s->cfg.uuid, sizeof slot.uuid);
    slot.crc = crc32c(0, &slot, offsetof(struct root_slot, crc));
    memset(t->block, 0, ROOT_SLOT_BYTES);
    memcpy(t->block, &slot, sizeof slot);
    t->op.kind = IO_OP_WRITE;
    t->op.flags = IO_DSYNC;
    t->op.fd = t->fd;
    t->op.buf = t->block;
    t->op.len = ROOT_SLOT_BYTES;
    t->op.off = slot.counter % 2 * ROOT_SLOT_BYTES;
    io_submit(s->io, &t->op);
}

static void on_slot(struct io_op *op, int64_t res) {
    struct store *s = container_of(op, struct store, root.op);
    struct rooter *t = &s->root;
    must(t->state == STORE_ROOT_WRITES);
    if (res != ROOT_SLOT_BYTES) { /* perhaps it is there all the same: what it names stays */
        log_line(&s->log, LOG_ERROR, "log %04x: a checkpoint cannot be recorded: %s; the one before stands",
                 s->cfg.log, err_text(res < 0 ? (enum err) - res : ERR_IO));
        t->state = STORE_ROOT_FAILED;
        return;
    }
    if (t->loc) store_unkeep(s, t->loc, t->bytes);
    t->loc = t->new_loc;
    t->bytes = t->new_bytes;
    t->counter = t->cut.counter;
    t->base = t->cut_placed;
    t->carry = 0;
    t->state = STORE_ROOT_DONE;
    s->stats.roots++;
}

void root_run(struct store *s) {
    must(s->opened);
    struct rooter *t = &s->root;
    if (t->state == STORE_ROOT_WRITES && !t->op.busy && s->durable >= t->new_frame) write_slot(s);
}

enum store_root_state store_root_state(const struct store *s) { return s->root.state; }

uint64_t store_replay_bytes(const struct store *s) {
    must(s->placed >= s->root.base);
    return s->placed - s->root.base + s->root.carry;
}

bool store_pinned(const struct store *s) { return s->root.pinned; }

bool seg_only_kept(const struct seg *g) { return g->state == SEG_SEALED && g->live == 0 && g->kept > 0; }

bool store_only_kept(const struct store *s, uint64_t segno) {
    const struct seg *g = seg_find(s, segno);
    return g && seg_only_kept(g);
}

void store_fail(struct store *s, enum err why) {
    must(s->opened);
    commit_fail(s, why, "state cannot be read");
}

bool store_tight(const struct store *s) { return s->failed || s->maker.no_space; }
