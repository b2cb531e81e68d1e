/* scan.c - see scan.h. Reads 4 MiB at a time. A read that fails is tried again in single blocks, so that one
 * bad sector costs what lies in it and nothing else; what stays unreadable counts as zeros, which never
 * verify. */
#include "store/scan.h"

#include <string.h>

#include "base/bytes.h"
#include "base/must.h"

#define CHUNK ((size_t)4 << 20)
enum { UNREADABLE_MAX = 64 };

enum err window_open(struct window *w, struct store *s) {
    must(s != NULL);
    *w = (struct window){.s = s};
    return region_open(&w->mem, FRAME_SIZE_MAX + CHUNK);
}

void window_close(struct window *w) { region_close(&w->mem); }

static void read_blocks(struct window *w, uint64_t off, size_t n) {
    must(n % BUF_ALIGN == 0);
    must(off % BUF_ALIGN == 0);
    for (size_t done = 0; done < n; done += BUF_ALIGN) {
        size_t got;
        if (io_file_read(w->s->io, w->g->fd, w->mem.p + done, BUF_ALIGN, off + done, &got)) {
            got = 0;
            if (++w->unreadable > UNREADABLE_MAX)
                w->why = ERR_IO; /* the device is gone, not a sector of it */
            if (w->why) return;
            report_damage(w->s, w->g, off + done, BUF_ALIGN, NULL, "a block that cannot be read");
        }
        memset(w->mem.p + done + got, 0, BUF_ALIGN - got);
    }
}

const uint8_t *window_at(struct window *w, struct seg *g, uint64_t off, size_t n) {
    must(n > 0);
    must(n <= FRAME_SIZE_MAX);
    if (w->g == g && off >= w->start && off + n <= w->start + w->have) return w->mem.p + (off - w->start);
    if (g->fd < 0 && (w->why = seg_open_file(w->s, g, false))) return NULL;
    uint64_t start = off & ~(uint64_t)(BUF_ALIGN - 1);
    size_t chunk = w->heads ? SEG_HEADERS_BYTES : CHUNK;
    uint64_t end = start + chunk < g->size ? start + chunk : g->size;
    if (start < g->held && end > g->held) end = g->held; /* a file that was cut is as short as it is */
    if (end < off + n) end = off + n;
    size_t want = (size_t)align_up(end - start, BUF_ALIGN), got;
    if ((w->why = region_commit(&w->mem, want, false))) return NULL;
    w->g = g;
    w->start = start;
    w->have = want;
    w->bytes += want;
    if (io_file_read(w->s->io, g->fd, w->mem.p, want, start, &got))
        read_blocks(w, start, want);
    else
        memset(w->mem.p + got, 0, want - got);
    return w->why ? NULL : w->mem.p + (off - start);
}

bool scan_head(struct window *w, struct seg *g, uint64_t off, struct frame_header *h) {
    must(off % g->block == 0);
    must(off >= SEG_HEADERS_BYTES);
    if (off + sizeof *h > g->size) return false;
    const uint8_t *p = window_at(w, g, off, sizeof *h);
    return p && frame_head(p, g->epoch, h) && h->off == off && h->size <= g->size - off &&
           h->size % g->block == 0;
}

static bool scan_tail(struct window *w, struct seg *g, uint64_t end, struct frame_header *h) {
    must(end % g->block == 0);
    if (end < SEG_HEADERS_BYTES + g->block || end > g->size) return false;
    const uint8_t *p = window_at(w, g, end - sizeof *h, sizeof *h);
    return p && frame_head(p, g->epoch, h) && h->off + h->size == end && h->off >= SEG_HEADERS_BYTES &&
           h->off % g->block == 0;
}

bool scan_next(struct window *w, struct seg *g, uint64_t off, struct found *f) {
    must(off >= SEG_HEADERS_BYTES);
    must(off % g->block == 0);
    for (uint64_t at = off; at < g->size && !w->why; at += g->block) {
        f->at_end = false;
        if (scan_head(w, g, at, &f->h)) return true;
        f->at_end = true;
        if (scan_tail(w, g, at + g->block, &f->h)) return true;
    }
    return false;
}
