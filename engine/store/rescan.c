/* rescan.c - segments read again while the log is in use, for messages whose index page is lost. Blocking,
 * one segment at a time, every record that verifies; damage is skipped without a word, since what is lost by
 * it is told by who asked. */
#include "base/must.h"
#include "store/replay.h"
#include "store/scan.h"

static enum err scan(struct window *w, struct replay *y, struct seg *g) {
    must(g->segno > 0);
    must(g->on_disk <= g->size);
    for (uint64_t off = SEG_HEADERS_BYTES; off < g->on_disk && !w->why;) {
        uint64_t left = g->on_disk - off;
        struct frame_header h;
        bool head = scan_head(w, g, off, &h) && h.size <= left;
        /* Without its header a frame is searched block by block: a record that crosses blocks is lost then.
         */
        size_t n = head ? h.size : left < g->block ? (size_t)left : g->block;
        const uint8_t *p = window_at(w, g, off, n);
        if (!p) break;
        replay_search(y, p, n, g, off);
        off += n;
    }
    replay_break(y);
    return w->why ? w->why : y->why;
}

enum err store_rescan(struct store *s, uint64_t from, uint64_t to,
                      void (*fn)(void *ctx, const struct rec *r, uint64_t loc), void *ctx) {
    struct window w;
    struct replay y;
    must(fn != NULL);
    replay_init(&y, s);
    y.sink = fn;
    y.sink_ctx = ctx;
    enum err e = window_open(&w, s);
    for (size_t i = 0; i < s->segs_len && !e; i++) {
        struct seg *g = s->segs[i];
        if (g->segno < from || g->segno > to) continue;
        bool was_open = g->fd >= 0;
        e = scan(&w, &y, g);
        w.g = NULL;
        if (!was_open && g->fd >= 0 && list_empty(&g->open) && !g->reads) seg_close_file(s, g);
    }
    replay_deinit(&y);
    window_close(&w);
    return e;
}
