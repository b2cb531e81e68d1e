/* recover.h - what a recovery knows on its way through the log: recover.c reads and decides, resume.c makes
 * the decision stand on disk and finds the place to go on. */
#pragma once
#include "store/replay.h"
#include "store/scan.h"

/* A place where frames are missing: a segment stopped being readable at off, and at `to` its next frame
 * begins, or it ends. */
struct stop {
    size_t seg;
    uint64_t off, to;
};
enum { STOPS_MAX = 3 }; /* the first since the last whole frame */

struct recovery {
    struct store *s;
    struct window win;
    struct replay replay;
    uint64_t next;      /* the frame expected */
    uint64_t last_hash; /* of the frame before it; 0: it was not whole */
    bool first;         /* nothing was read yet: the log may begin with any number */
    bool clean, ended;  /* the last frame said so: orderly stop; last of its segment */
    uint64_t known;     /* frames up to this one were durable */
    size_t ahead_seg;   /* how far was looked for proof */
    uint64_t ahead_off;
    uint64_t *limits; /* by segment: frames from this number on were given up by a later recovery */
    struct stop stops[STOPS_MAX];
    size_t stops_len;
    bool at_end;
    uint64_t end_off;
    size_t last_seg; /* of the last frame that counts; SIZE_MAX: none */
    uint64_t progress_ns;
    struct root_slot roots[2]; /* those that verify, newest first */
    size_t roots_len;
    size_t start_seg; /* where reading begins; start_off 0: at its beginning */
    uint64_t start_off;
};

/* --- reroot.c --- */
enum err roots_read(struct recovery *r) MUST_USE;
/* Takes a checkpoint over. ERR_NOMEM is final; any other error: undo, and try something older. */
enum err root_take(struct recovery *r, const struct root_slot *slot) MUST_USE;
void root_undo(struct recovery *r);
/* The log is read: tells of segments that the checkpoint counts on and that are not there. */
void root_tell_missing(struct store *s);
void ghost_dead(struct store *s, uint64_t segno, size_t bytes);
/* Decided: slots that were passed over are counted and, unless read_only, made blank. */
enum err roots_settle(struct recovery *r) MUST_USE;

/* --- inspect.c: what read_only does instead of mending --- */
/* Tells of a segment file without a header, or with one that is refused, and passes over it. */
void inspect_headless(struct store *s, struct seg *g);
void inspect_set_aside(struct store *s, const char *name);
enum err inspect_refused(struct store *s, struct seg *g, enum err why) MUST_USE;
/* A slot of the root file that does not verify: blank, or damaged? */
void inspect_slot(struct store *s, unsigned slot, const uint8_t *p, size_t n);
void inspect_progress(const struct recovery *r);
enum err inspect_resume(struct recovery *r) MUST_USE;

/* The log is read and decided. Afterwards s->place and the write buffer are ready. */
enum err resume(struct recovery *r) MUST_USE;
