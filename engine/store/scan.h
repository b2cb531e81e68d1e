/* scan.h - reading a segment file front to back through a window, and finding frame headers in it. Blocking;
 * for recovery. */
#pragma once
#include "store/core.h"

struct window {
    struct store *s;
    struct region mem;
    struct seg *g; /* whose bytes are in it */
    uint64_t start;
    size_t have;
    uint64_t bytes;      /* read in all */
    bool heads;          /* only headers of segments are wanted: little at a time */
    unsigned unreadable; /* blocks */
    enum err why;        /* the last failure that was not damage */
};
enum err window_open(struct window *w, struct store *s) MUST_USE;
void window_close(struct window *w);
/* n bytes at off, valid until the next call; what lies behind the file's end or does not read is zeros. NULL:
 * see why. */
const uint8_t *window_at(struct window *w, struct seg *g, uint64_t off, size_t n);

/* A frame header found at a block boundary: as the first copy (the frame begins there) or the second (it ends
 * there). */
struct found {
    struct frame_header h;
    bool at_end;
};
/* The first copy at off? */
bool scan_head(struct window *w, struct seg *g, uint64_t off, struct frame_header *h);
/* The first valid copy at or behind off: a start at a boundary >= off, an end at a boundary > off. false:
 * none. */
bool scan_next(struct window *w, struct seg *g, uint64_t off, struct found *f);
