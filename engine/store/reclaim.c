/* reclaim.c - segments nobody needs. A sealed segment whose message records are all dead still holds
 * configuration, deletes and acks; the owner is asked to append the full state of what lies there again
 * (owner.rewrite), says when it has (store_rewritten), and when that is durable the segment goes back to the
 * pool or, when the pool is full, away.
 *
 * Nothing is given back early: the records that made it dead are durable, a later durable frame says that all
 * of its frames were (so that recovery does not take the gap for a tear), and no batch that begins in a live
 * segment goes on in it. */
#include <stdlib.h>

#include "base/bytes.h"
#include "base/must.h"
#include "store/recover.h"

#define LOOK_NS ((uint64_t)100 * 1000 * 1000)
enum { FREE_MAX = 2 };

void store_dead(struct store *s, uint64_t loc, size_t bytes) {
    struct seg *g = seg_find(s, loc_seg(loc));
    if (!g && !s->opened) ghost_dead(s, loc_seg(loc), bytes);
    if (!g) return;
    must(bytes <= g->live);
    g->live -= bytes;
    g->dead_at = s->opened ? s->sealed + 1 : 0; /* while recovering, what kills is durable already */
    s->changed = true;
}

static bool batch_gone(const struct store *s, const struct seg *g) {
    must(g->needs < g->segno);
    const struct seg *from = g->needs ? seg_find(s, g->needs) : NULL;
    return !from || from->live == 0;
}

bool seg_dead(const struct store *s, const struct seg *g) {
    must(g->state != SEG_FREE);
    must(s->proof <= s->durable);
    return g->state == SEG_SEALED && g->live == 0 && g->kept == 0 && g->dead_at <= s->durable &&
           g->last_no <= s->proof && batch_gone(s, g) && list_empty(&g->dirty) && !s->sync_busy;
}

/* --- away with files --- */

static void on_removed(struct io_op *op, int64_t res) {
    struct store *s = container_of(op, struct store, unlink_op);
    struct list *l;
    if (res < 0) { /* they may come back after a crash; asking again is all there is */
        while ((l = list_pop(&s->unlinking))) list_add_tail(&s->unlinked, l);
        return;
    }
    while ((l = list_pop(&s->unlinking))) seg_discard(s, container_of(l, struct seg, link));
}

static void removal_sync(struct store *s) {
    must(s->dirfd >= 0);
    if (s->unlink_op.busy || list_empty(&s->unlinked)) return;
    for (struct list *l; (l = list_pop(&s->unlinked));) list_add_tail(&s->unlinking, l);
    s->unlink_op.kind = IO_OP_FSYNC;
    s->unlink_op.fd = s->dirfd;
    s->unlink_op.on_done = on_removed;
    io_submit(s->io, &s->unlink_op);
}

/* Free files beyond what the maker will use soon, and those nobody can use. */
static void trim(struct store *s) {
    must(s->free_count > 0 || list_empty(&s->free));
    list_each(l, next, &s->free) {
        struct seg *g = container_of(l, struct seg, link);
        if (g->reads || (s->free_count <= FREE_MAX && seg_usable(s, g))) continue;
        char name[16];
        seg_name(g, name);
        if (io_file_unlink(s->io, s->dirfd, name)) return;
        list_del(l);
        s->free_count--;
        seg_close_file(s, g);
        list_add_tail(&s->unlinked, l);
    }
}

void reclaim_free(struct store *s, struct seg *g) {
    must(g != s->place);
    must(list_empty(&g->link));
    g->state = SEG_FREE;
    g->size -= g->size % SEG_SIZE_STEP; /* a recovery cut it off anywhere */
    list_add_tail(&s->free, &g->link);
    s->free_count++;
    s->maker.retry_ns = 0; /* whoever waits for space may look at once */
}

/* --- asking and taking --- */

static void take_back(struct store *s, uint64_t upto) {
    must(upto > 0);
    must(upto < s->next_segno);
    for (size_t i = 0; i < s->segs_len;) {
        struct seg *g = s->segs[i];
        if (g->segno > upto) break;
        if (!g->asked || !seg_dead(s, g)) {
            i++;
            continue;
        }
        seg_list_remove(s, g);
        reclaim_free(s, g);
    }
}

/* Full records cost, too: not for every segment, unless the log takes more than it should. */
static bool worth_asking(const struct store *s, uint64_t waste, uint64_t total, size_t files) {
    must(waste <= total);
    if (waste * 4 >= total || files * 4 >= s->segs_len || s->maker.no_space) return true;
    return s->compactor.pressed && waste >= 2 * s->rewrite_cost;
}

/* Only what is dead now may go afterwards: the full records that follow are written behind these deaths. */
static void ask(struct store *s) {
    must(!s->rewrite_asked);
    uint64_t total = 0, waste = 0, last = 0, pinned = 0;
    size_t files = 0; /* small ones, after many stops, count by their number */
    for (size_t i = 0; i < s->segs_len; i++) {
        struct seg *g = s->segs[i];
        total += g->size;
        if (seg_only_kept(g)) pinned += g->size;
        g->asked = seg_dead(s, g);
        if (g->state == SEG_SEALED && g->live == 0)
            s->changed |= g->dead_at > s->durable || g->last_no > s->proof; /* soon */
        if (!g->asked) continue;
        waste += g->size;
        files++;
        last = g->segno;
    }
    s->root.pinned = pinned && (pinned * 4 >= total || s->maker.no_space || s->compactor.pressed);
    if (!last || !worth_asking(s, waste, total, files)) return;
    s->rewrite_asked = last;
    s->rewrite_done_at = 0;
    s->rewrite_from = s->state_bytes;
    if (s->owner.rewrite)
        s->owner.rewrite(s->owner.ctx, last);
    else
        store_rewritten(s, last);
}

void store_rewritten(struct store *s, uint64_t segno) {
    must(s->opened);
    must(segno > 0);
    must(s->rewrite_asked >= segno);
    if (s->rewrite_asked != segno) return;
    s->rewrite_cost = s->state_bytes - s->rewrite_from;
    s->rewrite_done_at = s->filling ? s->sealed + 1 : s->sealed;
    if (!s->rewrite_done_at) s->rewrite_done_at = 1;
}

void reclaim_run(struct store *s) {
    must(s->opened);
    must(!s->failed);
    if (s->closing) return;
    if (s->rewrite_asked && s->rewrite_done_at && s->durable >= s->rewrite_done_at) {
        take_back(s, s->rewrite_asked);
        s->rewrite_asked = 0;
    }
    uint64_t now = io_now(s->io);
    if (!s->rewrite_asked && (now >= s->reclaim_ns || s->reclaim_segno != s->next_segno)) {
        s->reclaim_ns = now + LOOK_NS;
        s->reclaim_segno = s->next_segno;
        s->changed = false;
        compact_look(s);
        ask(s);
    }
    trim(s);
    removal_sync(s);
}
