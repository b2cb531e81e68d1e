/* reroot.c - a checkpoint found again at open. recover.c asks for the slots of the root file, newest first,
 * and takes one over: the table of segments, the owner's state, the place where reading goes on. What was
 * taken over can be given back (root_undo), then the next slot or the whole log is tried.
 *
 * A root is passed over when anything it names does not read or cannot be: its own record, a page the owner
 * needs at once, a segment whose pages it keeps. A segment with messages may be gone, because they died since
 * and it was recycled: that shows only when the log behind the cut was read. Messages of one that is gone for
 * no such reason are lost, and no reason to pass over the root. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/must.h"
#include "store/recover.h"

/* --- slots --- */

static bool slot_ok(const struct store *s, const struct root_slot *t) {
    return memcmp(t->magic, ROOT_MAGIC, sizeof t->magic) == 0 &&
           t->crc == crc32c(0, t, offsetof(struct root_slot, crc)) && t->version == FORMAT_VERSION &&
           t->log == s->cfg.log && memcmp(t->uuid, s->cfg.uuid, sizeof t->uuid) == 0 && t->counter > 0 &&
           t->loc != 0;
}

/* Frames up to this one were durable when a slot was written, whatever became of its root. */
static uint64_t proven_by_slots(const struct recovery *r) {
    must(r->roots_len <= 2);
    uint64_t frame = 0;
    for (size_t i = 0; i < r->roots_len; i++)
        if (r->roots[i].frame > frame) frame = r->roots[i].frame;
    return frame;
}

enum err roots_read(struct recovery *r) {
    struct store *s = r->s;
    must(r->roots_len == 0);
    if (s->root.fd < 0) return ERR_OK;
    struct root_slot t[2];
    bool ok[2];
    for (unsigned i = 0; i < 2; i++) {
        size_t got = 0;
        enum err e = io_file_read(s->io, s->root.fd, s->root.block, ROOT_SLOT_BYTES,
                                  (uint64_t)i * ROOT_SLOT_BYTES, &got);
        if (e == ERR_NOMEM) return e;
        memcpy(&t[i], s->root.block, sizeof t[i]);
        ok[i] = !e && got == ROOT_SLOT_BYTES && slot_ok(s, &t[i]) && t[i].counter % 2 == i;
        if (!ok[i] && s->cfg.read_only) inspect_slot(s, i, s->root.block, e ? 0 : got);
    }
    unsigned newest = ok[1] && (!ok[0] || t[1].counter > t[0].counter);
    if (ok[newest]) r->roots[r->roots_len++] = t[newest];
    if (ok[!newest]) r->roots[r->roots_len++] = t[!newest];
    r->known = proven_by_slots(r);
    return ERR_OK;
}

/* --- taking over --- */

struct table {
    struct root_head h;
    const uint8_t *rows;
    struct span state;
};

static bool table_of(struct span payload, const struct root_slot *slot, struct table *t) {
    if (payload.n < sizeof t->h) return false;
    memcpy(&t->h, payload.p, sizeof t->h);
    struct span rest = span_skip(payload, sizeof t->h);
    if (t->h.segments > rest.n / sizeof(struct root_seg)) return false;
    t->rows = rest.p;
    t->state = span_skip(rest, t->h.segments * sizeof(struct root_seg));
    return t->h.counter == slot->counter && t->h.frame > 0 && t->h.frame <= slot->frame && t->h.segno > 0 &&
           t->h.off >= SEG_HEADERS_BYTES;
}

static struct root_seg row_at(const struct table *t, size_t i) {
    struct root_seg row;
    must(i < t->h.segments);
    memcpy(&row, t->rows + i * sizeof row, sizeof row);
    return row;
}

static enum err ghost_add(struct store *s, const struct root_seg *row) {
    struct ghost *p = realloc(s->ghosts, (s->ghosts_len + 1) * sizeof *p);
    if (!p) return ERR_NOMEM;
    s->ghosts = p;
    p[s->ghosts_len++] = (struct ghost){row->segno, row->live};
    return ERR_OK;
}

static enum err take_row(struct store *s, const struct root_seg *row) {
    struct seg *g = seg_find(s, row->segno);
    if (!g) return row->live ? ghost_add(s, row) : ERR_OK;
    bool sane = row->end >= SEG_HEADERS_BYTES && row->end <= g->size && row->end % g->block == 0 &&
                row->needs < row->segno;
    if (!sane) return ERR_CORRUPT;
    g->live = row->live;
    g->needs = row->needs;
    g->damaged = row->damaged;
    g->last_no = row->last_frame;
    g->end = g->on_disk = row->end;
    return ERR_OK;
}

static enum err take_table(struct store *s, const struct table *t) {
    uint64_t last = 0;
    enum err e = ERR_OK;
    must(s->ghosts_len == 0);
    for (size_t i = 0; i < t->h.segments && !e; i++) {
        struct root_seg row = row_at(t, i);
        if (row.segno <= last) return ERR_CORRUPT;
        last = row.segno;
        e = take_row(s, &row);
    }
    return e;
}

/* Where reading goes on. */
static enum err take_place(struct recovery *r, const struct root_head *h) {
    struct store *s = r->s;
    size_t i = 0;
    for (; i < s->segs_len && s->segs[i]->segno < h->segno; i++) {
        struct seg *old = s->segs[i];
        if (!old->last_no) old->end = old->on_disk = SEG_HEADERS_BYTES; /* it holds nothing any more */
    }
    bool there = i < s->segs_len && s->segs[i]->segno == h->segno;
    struct seg *g = there ? s->segs[i] : NULL;
    if (g && (h->off > g->size || h->off % g->block != 0 || h->frame > r->limits[i])) return ERR_CORRUPT;
    r->next = h->frame;
    r->last_hash = h->prev;
    r->first = !there; /* recycled since */
    r->ended = !there || h->ended;
    r->start_seg = there && h->ended ? i + 1 : i;
    r->start_off = there && !h->ended ? h->off : 0;
    if (there)
        r->last_seg = i;
    else if (i > 0)
        r->last_seg = i - 1;
    return ERR_OK;
}

enum err root_take(struct recovery *r, const struct root_slot *slot) {
    struct store *s = r->s;
    struct rec rec;
    struct table t;
    must(!s->opened);
    must(s->owner.load != NULL);
    enum err e = store_load(s, slot->loc, &rec);
    if (e) return e;
    if (rec.kind != REC_ROOT || rec.seq != slot->counter) return ERR_CORRUPT;
    uint8_t *copy = malloc(rec.payload.n + 1);
    if (!copy) return ERR_NOMEM;
    memcpy(copy, rec.payload.p, rec.payload.n);
    e = table_of(span_of(copy, rec.payload.n), slot, &t) ? take_table(s, &t) : ERR_CORRUPT;
    if (!e) e = take_place(r, &t.h);
    if (!e) {
        s->root.loc = slot->loc;
        s->root.bytes = rec_size(0, 0, rec.payload.n);
        store_keep(s, slot->loc, s->root.bytes);
        s->root.counter = slot->counter;
        e = s->owner.load(s->owner.ctx, t.state);
        if (!e && s->keeps_missing) e = ERR_NONE;
    }
    free(copy);
    return e;
}

/* --- and back --- */

static void forget_seg(struct seg *g) {
    g->live = g->needs = g->last_no = g->kept = 0;
    g->end = g->on_disk = 0;
    g->damaged = false;
}

void root_undo(struct recovery *r) {
    struct store *s = r->s;
    must(!s->opened);
    for (size_t i = 0; i < s->segs_len; i++) forget_seg(s->segs[i]);
    free(s->ghosts);
    s->ghosts = NULL;
    s->ghosts_len = 0;
    s->keeps_missing = false;
    s->root.loc = s->root.counter = 0;
    map_u64_deinit(&s->reported);
    map_u64_init(&s->reported);
    s->stats.damaged = 0;
    replay_deinit(&r->replay);
    replay_init(&r->replay, s);
    r->next = 1;
    r->known = proven_by_slots(r);
    r->last_hash = r->ahead_off = r->start_off = 0;
    r->first = true;
    r->clean = r->ended = r->at_end = false;
    r->ahead_seg = r->stops_len = r->start_seg = 0;
    r->last_seg = SIZE_MAX;
    s->owner.reset(s->owner.ctx);
}

/* What lay there is lost, and reading the log from its beginning would not find it, but lose the state of the
 * rest: full records may have lain there, too. */
void root_tell_missing(struct store *s) {
    must(!s->opened);
    must(!s->holes);
    for (size_t i = 0; i < s->ghosts_len; i++) {
        const struct ghost *g = &s->ghosts[i];
        struct store_damage d = {
            .segno = g->segno, .size = g->live, .what = "a segment that is not there, with messages"};
        if (!g->live) continue;
        s->holes = true;
        log_line(&s->log, LOG_ERROR, "log %04x: segment %llu is not there; %llu bytes of messages are lost",
                 s->cfg.log, (unsigned long long)g->segno, (unsigned long long)g->live);
        tell_damage(s, &d);
    }
}

bool store_holes(const struct store *s) { return s->holes; }

void ghost_dead(struct store *s, uint64_t segno, size_t bytes) {
    must(!s->opened);
    for (size_t i = 0; i < s->ghosts_len; i++) {
        if (s->ghosts[i].segno != segno) continue;
        must(bytes <= s->ghosts[i].live);
        s->ghosts[i].live -= bytes;
        return;
    }
}

enum err roots_settle(struct recovery *r) {
    struct store *s = r->s;
    must(!s->opened);
    must(r->roots_len <= 2);
    uint64_t newest = 0;
    enum err e = ERR_OK;
    for (size_t i = 0; i < r->roots_len && !e; i++) {
        uint64_t counter = r->roots[i].counter;
        if (counter > newest) newest = counter;
        if (counter <= s->root.counter) continue; /* the one in use, or the one before it */
        if (!s->cfg.read_only) e = root_blank_slot(s, counter % 2);
        s->stats.roots_passed++;
    }
    if (!s->root.counter) s->root.counter = newest; /* both slots are free */
    return e;
}
