/* store.h - one log: durable, ordered records of many streams. Owner: one shard's thread; no locks.
 *
 * Happy path: store_append() copies a record into the frame being filled; store_commit(), once a tick, seals
 * the frame and hands it to the disk as one write; when that completes the watermarks move and
 * owner.on_commit says so. While frames are in flight the next one fills: group commit without a timer. A
 * failed or short write is final: everything after it is refused with ERR_FAILED, reads go on,
 * owner.on_failed says why; nothing is retried and then acknowledged.
 *
 * A location (loc) is segment number << 32 | offset / 8; it stays valid until the record is declared dead or
 * moved.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"
#include "base/span.h"

struct io;
struct store;

struct rec {
    uint8_t kind, flags; /* enum rec_kind, enum rec_flag */
    uint32_t stream;
    uint64_t seq;
    int64_t ts;
    struct span subject, hdr, payload;
};

/* What a reader found damaged. kind, stream and seq are 0 when even the record's header is unreadable. */
struct store_damage {
    uint64_t segno, off, size; /* segno 0: none, or unknown */
    uint32_t stream;
    uint8_t kind; /* of record */
    uint64_t seq;
    char file[16];    /* in the log's folder */
    bool unnamed;     /* there may have been records that nobody can name */
    const char *what; /* static */
};

/* Upcalls; all from inside io_tick(), store_open() or store_commit(). */
struct store_owner {
    void *ctx;
    /* Recovery: every record of the log in order. rec's spans live until it returns. */
    void (*apply)(void *ctx, const struct rec *r, uint64_t loc);
    void (*damaged)(void *ctx, const struct store_damage *d);
    /* Frames up to `written` are with the kernel, up to `durable` on disk. Monotone. */
    void (*on_commit)(void *ctx, uint64_t written, uint64_t durable);
    void (*on_failed)(void *ctx, enum err why);
    /* Space is wanted back: append again the full state (REC_STREAM, REC_CONSUMER) of everything whose newest
     * full record lies in a segment numbered <= segno, now or over the next ticks, then call
     * store_rewritten(segno). Segments without live messages up to it are recycled once that is durable. What
     * is gone must stay gone: append REC_STREAM_GONE and REC_CONSUMER_GONE again too when they lie there,
     * unless store_first_segno() says that nothing older than the subject's own records remains. A full
     * record must itself say which messages are deleted: the REC_DELETE and REC_PURGE records before it may
     * be gone. Not called again before store_rewritten(). */
    void (*rewrite)(void *ctx, uint64_t segno);
    /* Compaction (all three NULL: none). Is the record at loc, a message or a checkpoint, still wanted? kind
     * may be REC_FRAGMENT. */
    bool (*wanted)(void *ctx, uint8_t kind, uint32_t stream, uint64_t seq, uint64_t loc);
    /* The record at loc shall lie elsewhere: append a copy (a message as REC_MOVED), remember its place, call
     * store_dead(loc). ERR_NONE: it is not wanted any more. Errors of store_append(): asked again later. */
    enum err (*move)(void *ctx, const struct rec *r, uint64_t loc);
    /* A wanted record that does not verify: was told to damaged(), too. */
    void (*lost)(void *ctx, uint32_t stream, uint64_t seq, uint64_t loc);
    /* Recovery: whole segments are missing between the record before and the next: recycled, or damaged.
     * May be NULL. */
    void (*gap)(void *ctx);
    /* Checkpoints; NULL: the owner has none, the log is always read from its beginning. load: take the state
     * over that was given to store_root(), reading its pages with store_load(); what was appended since the
     * cut is applied next. Any error but ERR_NOMEM: reset follows, then an older checkpoint, or the whole
     * log. reset: forget everything loaded and applied so far. */
    enum err (*load)(void *ctx, struct span state);
    void (*reset)(void *ctx);
    /* While the log is read at open: bytes so far, of about so many. May be NULL. */
    void (*progress)(void *ctx, uint64_t done, uint64_t total);
};

struct store_config {
    const char *path; /* the log's folder, exists */
    uint32_t log;
    uint8_t uuid[16];
    bool interval; /* frames without STORE_DSYNC are written without O_DSYNC and synced at the interval */
    int64_t interval_ns;
    uint32_t frame_max;        /* default 1 MiB; records above it are fragmented */
    uint32_t frames_in_flight; /* default 4 */
    uint64_t seg_min,
        seg_max; /* sizes of segments: grow by doubling from min (default 4 MiB) to max (default 64 MiB) */
    uint32_t seg_ready;  /* prepared segments kept (default 1 while small, else 2) */
    size_t buffer_bytes; /* write buffer, also the cache of the tail (default 16 MiB of address space) */
    size_t cache_bytes;  /* read cache (default 8 MiB) */
    bool full_scan;      /* pass over checkpoints at open */
    bool read_only; /* nothing on disk is changed: what would be mended or set aside is told to owner.damaged
                       and passed over; the log refuses appends. Not to be committed. See inspect.c */
    void (*log_line)(void *ctx, int level, const char *text);
    void *log_ctx;
};

/* Opens or creates the log: recovers (owner.apply for every record), then continues in a fresh place. Blocks
 * while reading. *s is set before the first upcall, so that apply may call store_dead(); on an error it is
 * NULL again. */
enum err store_open(struct store **s, const struct store_config *cfg, struct io *io,
                    const struct store_owner *owner) MUST_USE;
/* Commits, waits for what is in flight (bounded: 10 s), writes a closing frame, closes. */
void store_close(struct store *s);

enum store_how {
    STORE_RIDE = 0,  /* may wait for the next commit, at most 10 ms */
    STORE_FORCE = 1, /* commit at this tick's end */
    STORE_DSYNC = 2, /* durable even when the log is in interval mode */
};
/* Copies the record into the frame being filled. *frame is the frame that will hold (the last fragment of)
 * it. ERR_FULL: buffer or frames in flight at their bound, again after the next on_commit. ERR_NOSPC,
 * ERR_NOFILES, ERR_NOENT and the like: no segment can be had, and why; that may pass. ERR_FAILED: final.
 * ERR_LIMIT: larger than 64 MiB. Nothing is appended unless ERR_OK. */
enum err store_append(struct store *s, const struct rec *r, unsigned how, uint64_t *loc,
                      uint64_t *frame) MUST_USE;

/* Room for a batch: `count` records of `bytes` in all (rec_size), appended directly behind this call, are all
 * taken and lie in one segment. A batch is begun in no other way, and nothing else is appended before its end:
 * recovery relies on it. ERR_FULL, ERR_NOSPC and the like, ERR_FAILED as above; ERR_LIMIT: larger than
 * STORE_BATCH_MAX. */
enum { STORE_BATCH_MAX = 48 << 20 };
enum err store_reserve(struct store *s, size_t bytes, size_t count) MUST_USE;

/* Everything appended so far is to be durable soon, also in interval mode, as by STORE_DSYNC. */
void store_want_sync(struct store *s);
/* Ends the tick: seals the frame being filled if something forces it or rides 10 ms, and submits it when a
 * slot is free. */
void store_commit(struct store *s);
/* When store_commit() is wanted without new appends (monotonic ns), UINT64_MAX = never. */
uint64_t store_deadline(const struct store *s);
/* The frame now being filled, the written and the durable watermark; filling == durable + 1 means nothing
 * outstanding when empty. */
uint64_t store_frame_filling(const struct store *s);
bool store_frame_empty(const struct store *s);
uint64_t store_written(const struct store *s);
uint64_t store_durable(const struct store *s);
size_t store_backlog(const struct store *s); /* bytes appended and not yet durable (interval: written) */

/* A reader that waits for a block. Embedded; on_ready runs once, inside io_tick(). */
struct store_wait {
    struct list link;
    void (*on_ready)(struct store_wait *w);
    bool waiting;
};
/* The record at loc, checksum verified. ERR_OK: the spans are valid until the next store_commit(). ERR_LATER:
 * a read was started (or joined); w->on_ready follows, then call again. ERR_CORRUPT (reported to
 * owner.damaged once), ERR_IO, ERR_FULL (cache full of reads in flight: again next tick), ERR_NONE (the
 * segment was recycled: the record was dead). A fragmented record is gathered first, bounded by the cache. */
enum err store_read(struct store *s, uint64_t loc, struct store_wait *w, struct rec *out) MUST_USE;
void store_wait_init(struct store_wait *w);
void store_wait_cancel(struct store_wait *w);
/* A hint: records from loc on will be read in order. */
void store_read_ahead(struct store *s, uint64_t loc);

/* The message record at loc (of this many bytes: rec_size) is no longer wanted. */
void store_dead(struct store *s, uint64_t loc, size_t bytes);
/* The owner appended everything that owner.rewrite(segno) asked for. */
void store_rewritten(struct store *s, uint64_t segno);
/* The lowest number of a segment that may hold records: nothing older is left in the log. */
uint64_t store_first_segno(const struct store *s);
/* Are messages lost together with the segments they lay in? Their segments have no file. */
bool store_holes(const struct store *s);
/* The name of the file that holds a segment; false: there is none. */
bool store_segment_file(const struct store *s, uint64_t segno, char name[16]);

/* ----- checkpoints (format.h, CHECKPOINT). Between a cut and its root any number of turns may pass. */

/* The state as it is now will be that of the next store_root(): seals the frame being filled and remembers
 * where the log stands. ERR_FAILED, ERR_NOMEM, ERR_NOSPC (no segment), ERR_FULL (a root is being written). */
enum err store_cut(struct store *s) MUST_USE;
/* The record at loc (bytes: rec_size) belongs to a checkpoint: its segment stays. Until store_unkeep().
 * Inside owner.load for everything the checkpoint consists of. */
void store_keep(struct store *s, uint64_t loc, size_t bytes);
void store_unkeep(struct store *s, uint64_t loc, size_t bytes);
/* Appends the root: the owner's state as of the cut. When it is durable the root file is written; see
 * store_root_state(). Errors as store_append(). */
enum err store_root(struct store *s, struct span state) MUST_USE;
enum store_root_state {
    STORE_ROOT_IDLE,   /* nothing to tell */
    STORE_ROOT_WRITES, /* on its way */
    STORE_ROOT_DONE,   /* the last one stands; until the next store_cut() */
    STORE_ROOT_FAILED, /* the root file could not be written; the one before stands */
};
enum store_root_state store_root_state(const struct store *s);
/* Bytes of frames placed since the cut that the newest root stands for: what an opening would read. */
uint64_t store_replay_bytes(const struct store *s);
/* Do segments that hold nothing but pieces of checkpoints stand in the way? Then a checkpoint is wanted that
 * writes again what lies in them (store_only_kept()). */
bool store_pinned(const struct store *s);
bool store_only_kept(const struct store *s, uint64_t segno);
/* The device does not give back what must be known: as after a failed write, and nothing is reclaimed. */
void store_fail(struct store *s, enum err why);
/* Is there hardly any space left? Then nothing but what must be is to be appended. */
bool store_tight(const struct store *s);
/* The record at loc now, blocking; out's spans live until the next call of this or of store_commit(). Also
 * inside owner.load. ERR_CORRUPT, ERR_NONE (recycled), ERR_IO, ERR_NOMEM. */
enum err store_load(struct store *s, uint64_t loc, struct rec *out) MUST_USE;

/* Reads the segments numbered from..to again, blocking, and hands on every record that verifies and is on
 * disk, in order. ERR_IO, ERR_NOMEM. Not from within on_commit. */
enum err store_rescan(struct store *s, uint64_t from, uint64_t to,
                      void (*fn)(void *ctx, const struct rec *r, uint64_t loc), void *ctx) MUST_USE;

/* Bytes a message record takes in the log. */
size_t rec_size(size_t subject, size_t hdr, size_t payload);

struct store_stats {
    uint64_t frames, frame_bytes, durable_writes, records, segments, segments_ready, disk_bytes, live_bytes,
        reads, cache_hits, damaged, dry, recovered_bytes, emptied /* segments */, moved_records, moved_bytes,
        roots, roots_passed;
    enum { STORE_BY_SCAN, STORE_BY_ROOT, STORE_BY_OTHER_ROOT } opened_by;
    int64_t write_ns_last; /* time of the last frame write */
    bool failed;
    bool refused_open; /* read_only: an ordinary opening would fail */
    enum err refusing; /* no segment can be had for now, and why; else ERR_OK */
};
void store_stats(const struct store *s, struct store_stats *out);
