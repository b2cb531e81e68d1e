/* core.h - the inside of a log, for the units of this folder only.
 *
 *     append.c   records into the frame being filled
 *     commit.c   frames to the disk, watermarks
 *     segment.c  segment files and where the next frame goes
 *     maker.c    prepares segments in the background
 *     read.c     records out of the buffer or the cache
 *     cache.c    blocks read from disk
 *     recover.c  the log as it was found at open (scan.c, replay.c)
 *     compact.c  segments that hold little are emptied
 *     reclaim.c  segments nobody needs any more
 *     root.c     checkpoints: the cut, the root, its file (reroot.c: found again at open)
 *     load.c     one record, blocking
 *
 * Frame numbers are dense, so every watermark is one number:
 *     oldest <= [in the buffer] < ... durable <= written <= submitted <= sealed < filling = sealed + 1
 */
#pragma once
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/rng.h"
#include "io/io.h"
#include "store/frame.h"
#include "store/store.h"

enum {
    SLOTS_MAX = 16, /* frames in flight */
    BUF_ALIGN = 4096,
    FILL_STEP = 1 << 20,    /* one write of zeros */
    BLOCK_SIZE = 128 << 10, /* of the read cache */
    SEG_SIZE_STEP = BLOCK_SIZE,
    GATHERS = 4
};
#define RIDE_NS        ((uint64_t)10 * 1000 * 1000) /* STORE_RIDE waits at most this long */
#define CLOSING_NS     ((uint64_t)10 * 1000 * 1000) /* a closing frame follows the last append by this */
#define SPACE_RETRY_NS ((uint64_t)500 * 1000 * 1000)
#define CLOSE_WAIT_NS  ((uint64_t)10 * 1000 * 1000 * 1000)

/* A frame in the write buffer. Lifecycle: filling -> sealed -> flying -> written; gone when the buffer's head
 * passes it. */
enum frame_state { FRAME_GONE, FRAME_FILLING, FRAME_SEALED, FRAME_FLYING, FRAME_WRITTEN };
struct frame {
    struct seg *seg;              /* only until it is written: segments come and go */
    uint64_t segno, off, through; /* through: the durable watermark it carries */
    size_t pos;                   /* in the buffer */
    uint32_t size, cap, used, records, body;
    uint8_t state, flags;
};

/* A segment file. FREE files keep their old header until the next use; they count as part of the log until
 * then. */
enum seg_state { SEG_FREE, SEG_MAKING, SEG_READY, SEG_ACTIVE, SEG_SEALED };
struct seg {
    struct list link;  /* ready, free */
    struct list dirty; /* written without sync since the last sync */
    struct list open;  /* sealed and its file is open, least recently used first */
    uint32_t file;
    int fd; /* -1: not open */
    enum seg_state state;
    bool headed;    /* the header is durable: frames may go there */
    bool unwritten; /* holds extents that were never written */
    bool damaged;   /* something in it did not read */
    bool asked;     /* the owner was asked to write again what lies there: it goes when that is durable */
    bool stays;     /* compaction could not empty it */
    uint32_t block; /* alignment of its frames */
    uint64_t segno, epoch, size;
    uint64_t first_frame; /* recovery: what the header says */
    uint64_t held;        /* recovery: bytes of the file, which may be fewer than the header says */
    bool ended;           /* recovery: its FRAME_LAST was found; behind it nothing counts */
    int16_t repair;   /* recovery: the other copy of the header is to be mended from this one; -1: neither */
    bool half_headed; /* recovery: one copy of the header does not verify */
    uint64_t end;     /* behind the last frame placed */
    uint64_t on_disk; /* behind the last frame of the contiguous written prefix */
    uint64_t last_no; /* the last frame placed */
    uint64_t live;    /* bytes of message records still wanted */
    uint64_t kept;    /* bytes of checkpoint records that are needed */
    uint64_t dead_at; /* the frame that was being filled when a record of this segment died last */
    uint64_t needs;   /* segment where a batch begins that goes on here; 0: none */
    uint32_t reads;   /* in flight */
};

struct slot {
    struct io_op op;
    struct store *s;
    uint64_t no; /* 0: free */
    uint64_t started_ns;
};

/* Prepares one segment at a time; see maker.c. */
enum maker_stage {
    MAKER_IDLE,
    MAKER_ALLOCATE,
    MAKER_ZERO,
    MAKER_SYNC,
    MAKER_HEAD,
    MAKER_HEAD_COPY,
    MAKER_DIR
};
struct maker {
    struct io_op op;
    struct seg *seg;
    enum maker_stage stage;
    bool fresh;  /* a new file: its directory entry must be synced */
    bool taken;  /* the log could not wait: frames are queued for it already */
    bool paused; /* yielded to commits */
    bool no_space;
    enum err why; /* no_space: what appends are told */
    bool waited;  /* an append was refused for want of a segment */
    bool tell;    /* it may try again */
    uint64_t zero_off, retry_ns, old_segno;
    uint64_t want;     /* a record needs a segment of at least this size */
    struct region mem; /* zeros, never touched: they take no memory */
    uint8_t *block;    /* 4 KiB for a header or a frame without records */
};

/* Empties one segment at a time; see compact.c. */
struct compactor {
    struct io_op op;
    struct seg *reading;      /* the read is in flight */
    uint64_t segno;           /* the segment being emptied; 0: none */
    uint64_t off;             /* the next place to look at */
    uint64_t recs_end, frame_end; /* of the frame around it; 0: no frame is known here */
    struct region win;        /* bytes of the segment from win_off on */
    uint64_t win_off;
    size_t win_want, win_have; /* asked for, got */
    struct region gather;     /* records to be moved, as they lie on disk */
    size_t gathered;
    struct moving *items;
    size_t items_len, items_next, items_cap;
    uint64_t big, big_seq;    /* a fragmented record being put together; 0: none */
    uint32_t big_stream;
    struct store_wait wait;   /* for its blocks */
    bool pressed;             /* the log takes more than it should */
    bool blocked;             /* an append was refused: after the next commit */
    bool warm;                /* holds memory */
    int64_t credit, seen;     /* bytes it may append; those of others when that was counted */
    size_t fresh;             /* earned this turn */
    uint64_t appended;        /* bytes of its own, ever */
};

struct block; /* cache.c */
struct cache {
    struct region mem;
    struct block *blocks;
    uint32_t *buckets;
    uint32_t count, mask, used;
    struct list lru, spare;
    uint64_t reads, hits;
};

/* Checkpoints: the cut a root is to be written for, and the root file. root.c */
struct rooter {
    int fd;
    uint8_t *block; /* a slot's image */
    struct io_op op;
    enum store_root_state state;
    bool pinned;                  /* see store_pinned() */
    uint64_t counter, loc, bytes; /* of the newest root that stands; 0: none */
    uint64_t base, carry;         /* an opening would read what was placed since base, and this much before */
    struct root_head cut;         /* frame 0: none */
    uint64_t cut_placed;
    struct root_seg *segs; /* as of the cut */
    size_t segs_len;
    uint64_t new_loc, new_frame, new_bytes;
};

/* Records read one at a time, blocking. load.c */
struct loader {
    struct region window, whole; /* bytes of a segment; a fragmented record put together */
    uint64_t segno, start;       /* of what is in the window; 0: nothing */
    size_t have, ahead;          /* ahead: read at least so much, for the records behind */
};

/* A segment that a checkpoint counts on and that is not there; see reroot.c. */
struct ghost {
    uint64_t segno, live;
};

/* A fragmented record being put together. */
struct gather {
    struct region mem;
    uint64_t loc, next_off; /* loc 0: free */
    uint64_t touched_ns, tick;
    size_t got, total;
    struct rec rec;
    uint32_t subject_size, hdr_size;
};

struct store {
    struct store_config cfg;
    struct store_owner owner;
    struct io *io;
    struct log log;
    char path[256];
    int dirfd;
    uint32_t block;
    bool direct, failed, closing, opened;
    bool refused_open; /* read_only: an ordinary opening would fail */
    enum err why;

    struct frame *frames;
    uint64_t frames_mask;
    uint64_t oldest, sealed, submitted, written, durable;
    uint64_t proof;     /* the highest durable_through that lies durably on disk itself */
    bool filling;       /* frame sealed + 1 is open */
    bool forced;        /* commit it at this tick's end */
    uint64_t ride_ns;   /* the oldest record in it that rides; UINT64_MAX: none */
    uint64_t append_ns; /* last append */
    uint64_t busy_ns;   /* the same, but for compaction */
    uint64_t prev_hash;
    bool closed_off; /* the last frame sealed has no records */
    struct slot slots[SLOTS_MAX];
    uint32_t flying;

    struct region buf;
    size_t buf_head, buf_cap;
    bool refused;    /* ERR_FULL was said: commit soon, so that on_commit follows */
    uint64_t pinned; /* the oldest frame handed to a reader since the last commit; UINT64_MAX: none */
    uint64_t tick;
    uint64_t appended, placed; /* bytes of records; bytes of frames */
    size_t backlog;            /* bytes of records sealed and not written */

    /* interval mode */
    struct list dirty, syncing;
    struct io_op sync_op;
    bool sync_busy;
    uint64_t sync_through, sync_wanted, sync_from_ns;

    struct seg **segs; /* by number; all but free and making ones */
    size_t segs_len, segs_cap;
    struct list ready, free, open;
    uint32_t ready_count, free_count, open_count;
    uint32_t next_file;
    uint64_t seg_least; /* the smallest that serves: one frame and a closing one */
    struct rng rng;     /* epochs */
    uint64_t next_segno;
    struct seg *place; /* where the next frame goes, at place->end; NULL: the next segment's start */
    struct maker maker;
    uint64_t batch_from; /* segment where an open batch began; 0: none */
    bool batch_reserved; /* store_reserve() saw to the space of what is appended now */

    struct cache cache;
    struct region arena; /* records that cross blocks, until the next commit */
    size_t arena_used;
    struct gather gathers[GATHERS];
    struct map_u64 reported;

    struct rooter root;
    struct loader loader;
    struct ghost *ghosts; /* recovery only */
    size_t ghosts_len;
    bool holes;         /* segments with messages that are wanted are not there */
    bool keeps_missing; /* recovery: a record to be kept lies nowhere */

    uint64_t rewrite_asked, rewrite_done_at; /* segment number; frame that must be durable, 0: still asked */
    uint64_t reclaim_ns, reclaim_segno;      /* next look for dead segments */
    bool changed;                            /* something died or was sealed since the last look */
    uint64_t state_bytes;                    /* of records that are not messages, ever */
    uint64_t rewrite_from, rewrite_cost;     /* the same when the owner was asked; what the last time cost */
    struct compactor compactor;
    struct io_op unlink_op;
    struct list unlinked;  /* segments whose removal is not durable yet */
    struct list unlinking; /* the same, and the sync that makes it so runs */
    struct list left;      /* segments in an unknown state that could not be removed */

    struct store_stats stats;
};

static inline struct frame *frame_at(struct store *s, uint64_t no) { return &s->frames[no & s->frames_mask]; }

/* --- segment.c --- */
struct seg *seg_new(struct store *s, uint32_t file); /* NULL: out of memory */
void seg_name(const struct seg *g, char out[16]);
enum err seg_open_file(struct store *s, struct seg *g, bool create) MUST_USE;
void seg_close_file(struct store *s, struct seg *g);
void seg_discard(struct store *s, struct seg *g); /* closes, frees the struct; the file stays */
struct seg *seg_find(const struct store *s, uint64_t segno);
/* The same, with its file open for reading. */
enum err seg_for_read(struct store *s, uint64_t segno, struct seg **g) MUST_USE;
enum err seg_list_add(struct store *s, struct seg *g) MUST_USE; /* keeps the order */
void seg_list_remove(struct store *s, struct seg *g);
void seg_fill_header(struct store *s, struct seg *g, uint64_t first_frame, struct seg_header *h);
/* Blocking, for open: a file with zeros and headers, in the directory, durable, at the end of the list and
 * s->place. */
enum err seg_make_now(struct store *s, uint64_t first_frame) MUST_USE;
uint64_t seg_next_size(const struct store *s);
bool seg_usable(const struct store *s, const struct seg *g); /* can its free file be used again? */
/* The next segment becomes s->place. ERR_FULL: being allocated; ERR_NOSPC. need: bytes of frames that must
 * fit. */
enum err seg_advance(struct store *s, uint64_t need) MUST_USE;
/* Would seg_advance() work now? Starts what is needed for it. */
enum err seg_can_advance(struct store *s, uint64_t need) MUST_USE;
void seg_number(struct store *s, struct seg *g); /* gives it the next number and an epoch */

/* --- maker.c --- */
void maker_init(struct store *s);
void maker_deinit(struct store *s);
void maker_run(struct store *s);         /* once a tick */
void maker_kick(struct store *s);        /* the log needs a segment now */
struct seg *maker_take(struct store *s); /* cuts the preparation short, NULL when nothing is allocated */
bool maker_wanted(const struct store *s);
bool maker_busy(const struct store *s);

/* --- append.c --- */
/* Opens frame sealed + 1 at s->place. ERR_FULL when the buffer has no room. */
enum err frame_begin(struct store *s) MUST_USE;
enum err buffer_init(struct store *s, uint64_t next_no) MUST_USE;
void buffer_deinit(struct store *s);
void buffer_settle(struct store *s); /* once a tick */

/* --- commit.c --- */
void frame_finish(struct store *s, unsigned flags); /* seals the frame being filled */
void commit_fail(struct store *s, enum err why, const char *what);
void commit_nudge(struct store *s); /* on_commit with the watermarks as they are: try again */
void commit_closing(struct store *s, unsigned flags); /* writes a frame without records */

/* --- read.c, cache.c --- */
enum err reader_init(struct store *s) MUST_USE;
void reader_deinit(struct store *s);
void reader_settle(struct store *s); /* once a tick */
/* The record as it lies in the write buffer, a fragment as a fragment; false: it is not there. */
bool store_buffered(struct store *s, uint64_t loc, struct rec *out, uint32_t *length);
void tell_damage(struct store *s, const struct store_damage *d); /* counts it and tells the owner */
/* Once a place, with a line in the log. r: the record; NULL: nobody knows which were there; of stream 0: none
 * were. */
void report_damage(struct store *s, struct seg *g, uint64_t off, uint64_t size, const struct rec *r,
                   const char *what);
enum err cache_init(struct store *s) MUST_USE;
void cache_deinit(struct store *s);
/* The block's bytes: ERR_OK: *p and how many are valid in *n, until the next commit. ERR_LATER: w waits (w
 * may be NULL). */
enum err cache_get(struct store *s, struct seg *g, uint64_t index, size_t upto, struct store_wait *w,
                   const uint8_t **p, size_t *n) MUST_USE;
/* ERR_OK: all blocks of [off, off + n) are there, for this tick. ERR_LATER: all that are missing are on their
 * way and stay for w. ERR_FULL: none was asked for. */
enum err cache_want(struct store *s, struct seg *g, uint64_t off, size_t n, struct store_wait *w) MUST_USE;
void cache_prefetch(struct store *s, struct seg *g, uint64_t index);

/* A block that is there without reading: its bytes, valid up to *n, or NULL. */
const uint8_t *cache_peek(struct store *s, struct seg *g, uint64_t index, size_t *n);

/* --- root.c, load.c --- */
enum err root_init(struct store *s) MUST_USE; /* memory only */
void root_deinit(struct store *s);
enum err root_open_file(struct store *s) MUST_USE; /* if there is one; blocking */
void root_run(struct store *s);                    /* once a tick */
bool root_busy(const struct store *s);
bool seg_only_kept(const struct seg *g); /* nothing but pieces of checkpoints hold on to it */
enum err root_blank_slot(struct store *s, unsigned slot) MUST_USE; /* blocking */
enum err loader_init(struct store *s) MUST_USE;
void loader_deinit(struct store *s);
void loader_forget(struct store *s);

/* --- recover.c --- */
enum err recover(struct store *s) MUST_USE;

/* --- compact.c --- */
enum err compact_init(struct store *s) MUST_USE;
void compact_deinit(struct store *s);
void compact_look(struct store *s); /* now and then: what the log takes, which segment to empty */
void compact_run(struct store *s);  /* once a tick */
uint64_t compact_deadline(const struct store *s);

/* --- reclaim.c --- */
bool seg_dead(const struct store *s, const struct seg *g); /* nothing in it is wanted, and that is durable */
void reclaim_run(struct store *s); /* once a tick */
void reclaim_free(struct store *s,
                  struct seg *g); /* a segment nobody needs, not on the list: into the pool */
