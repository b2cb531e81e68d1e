/* engine.h - what the engine's units share: a shard, its logs, its streams and their consumers. Private.
 *
 * One turn (shard.c, mr_shard_tick): what fell due by time; progress and rewritten records into the logs; one
 * commit a log; then, and only there, the callbacks: finished operations, consumers that have something to
 * deliver. So no callback runs inside the call that caused it, and a view handed out in one lives until the
 * next turn's commit.
 *
 * Life of an operation on a file stream: decide (stream/) -> record into the log (store/) -> apply (stream/)
 * -> entry in the log's commit queue -> the watermark passes its frame -> visible, on_done. The record comes
 * before the decision is applied, so that a log without room changes nothing. A memory stream differs in
 * where the record goes (memlog) and in that its entries are finished by the next turn.
 */
#pragma once
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "checkpoint.h"
#include "commit_queue.h"
#include "env.h"
#include "io/io.h"
#include "millrace.h"
#include "store/format.h"
#include "store/memlog.h"
#include "store/store.h"
#include "stream/codec.h"
#include "stream/consumer.h"
#include "stream/released.h"
#include "stream/stream.h"

enum {
    DONE_BATCH = 64,       /* operations reported in one on_done */
    QUEUE_BYTES = 8 << 20, /* bound of what waits for a log's watermark */
    BARRIERS_MAX = 1 << 16,
    SEGMENT_MIN = 4 << 20,    /* what the store begins with */
    DAMAGE_KEPT = 64,         /* damages named one by one after a recovery */
    EXPIRE_BUDGET = 2048,     /* messages dropped for their age a stream and turn */
    REWRITE_BUDGET = 1 << 20, /* bytes of full records written again a turn */
    CLOSE_REPLAY = 4 << 20,   /* a stop with more to be read at the next opening makes a checkpoint */
    INDEX_BYTES = 32 << 20,   /* of index pages in memory that could be read again, a shard */
};
#define RIDE_NS                                                                                              \
    ((uint64_t)10 * 1000 * 1000) /* how long plain acks and delivery counts wait for their record */
#define SPACE_RETRY_NS ((uint64_t)500 * 1000 * 1000)
#define CLOSE_WAIT_NS  ((uint64_t)10 * 1000 * 1000 * 1000)

struct shard_log {
    struct mr_shard *shard;
    struct store *store;
    uint32_t index;       /* log-XXXX */
    uint32_t next_stream; /* number of the next stream made here */
    uint32_t streams_count;
    struct map_u64 streams; /* number -> struct mr_stream */
    struct commit_queue queue;
    uint64_t written, durable;                  /* watermarks as last told */
    uint64_t last_frame;                        /* frame of the newest record appended */
    struct list dirty;                          /* consumers with progress to log */
    struct list released;                       /* streams with s->released to log */
    uint64_t dirty_since;                       /* monotonic; when `dirty` or `released` became non-empty */
    struct list stale;                          /* streams whose full record is to be written */
    struct list twice_streams, twice_consumers; /* their full record gets a second copy, in a later frame */
    uint64_t retry_ns; /* 0, or when `dirty` and `stale` are tried again: UINT64_MAX = with the next commit */
    bool confirm;      /* an open entry wants its record on disk, whatever the log's mode */
    bool wanted;       /* an open entry waits for progress: no riding */
    bool failed;
    bool gone;                /* something was deleted since the last directory record */
    uint64_t directory_segno; /* where the newest directory record lies; 0 = none */
    uint64_t rewrite_segno;   /* asked for by the store; 0 = nothing */
    bool recovering;
    uint64_t damaged; /* counted while recovering */
    uint64_t unnamed; /* recovery: how many records may have been lost that nobody can name */
    struct checkpoint ck;
};

struct mr_stream {
    struct stream st;
    struct mr_shard *shard;
    struct shard_log *log; /* NULL: memory */
    uint32_t number;       /* in its log */
    struct missing missing; /* of a store that is being verified */
    uint32_t refs;         /* entries in a commit queue */
    bool deleted;          /* freed with its last reference */
    bool listed;           /* recovery: the directory at hand names it */
    bool paged;            /* its state can be checkpointed */
    bool cutting;          /* a checkpoint in the making has cut it */
    struct span name;      /* owned */
    struct list link;      /* the shard's streams, by creation */
    struct list moved;     /* watermark moved, consumers to be woken */
    struct list stale;     /* full record to be written */
    struct list twice;     /* second copy to be written */
    struct list due;
    struct list consumers; /* by creation */
    struct list armed;     /* consumers that wait to be called */
    struct map_str consumer_names;
    size_t consumers_count;
    struct released released;   /* retention.c: to be logged ... */
    struct list release;        /* ... with its log's next progress */
    struct mr_consumer *holder; /* the consumer that held a message last */
    uint64_t bytes_seen;        /* as counted in the shard's total */
    uint64_t full_segno;        /* where the newest full record lies */
    uint64_t full_frame;
    uint64_t
        dead_segno;  /* lowest segment with a message that died there since: the full record counts on it */
    uint64_t head_loc; /* of the newest head; 0: none */
    uint32_t head_bytes;
    bool head_renew;  /* the head lies where nothing else is wanted */
    uint64_t id_owed; /* an id was logged for this sequence, and its message was refused */
    uint64_t unnamed; /* recovery: the log's, when its last sequence was known for sure */
    uint64_t id_seq; /* recovery: the message that brings ... */
    int64_t id_ts;
    uint8_t *id;     /* ... this id, which is not in its headers */
    size_t id_size;
    struct io_timer timer; /* the first message grows too old */
    void *user;
};

struct mr_consumer {
    struct consumer c;
    struct mr_stream *s;
    struct span name;  /* owned */
    struct list link;  /* the stream's consumers */
    struct list armed; /* mr_consumer_next() had nothing: to be called when it has */
    struct list event; /* to be called this turn */
    struct list dirty; /* progress to log */
    struct list twice; /* second copy to be written */
    struct list due;
    bool ready;  /* event: on_ready */
    bool logged; /* has records: not on a memory stream, nor an ephemeral one in memory */
    bool loaded; /* recovery: its full record was seen */
    bool listed; /* recovery: the directory at hand names it */
    bool changed; /* what the log says of it, since its image was taken */
    bool imaging; /* a checkpoint in the making is to write its image */
    uint64_t full_segno, full_frame;
    uint64_t image_loc; /* of the newest image; 0: none */
    uint32_t image_bytes;
    struct store_wait wait; /* for the block with the next message */
    struct io_timer timer;  /* an ack wait runs out */
    void *user;
};

struct barrier_part {
    uint32_t left; /* queues that have not passed it */
    uint8_t status;
};

struct damage {
    struct shard_log *log;
    struct store_damage what;
};

struct mr_shard {
    struct mr_env *env;
    struct io *io;
    bool io_owned, ticking, closing;
    bool called; /* a callback ran in this turn */
    uint32_t index;
    struct mr_host host;
    struct shard_log *logs;
    size_t logs_count;
    struct memlog *mem;         /* opened with the first memory stream */
    struct commit_queue memory; /* frames are turns */
    uint64_t turn;
    uint64_t *mem_dead; /* freed when this turn's views are gone */
    size_t mem_dead_len, mem_dead_cap;
    bool mem_viewed;
    uint64_t memory_max, file_max, memory_bytes, file_bytes; /* this shard's share; as nats-server counts */
    struct list streams;
    size_t streams_count, consumers_count;
    struct map_str names;
    uint64_t seed; /* of tables of names */
    struct list moved, events, due_streams, due_consumers, retry /* mr_wait */;
    struct mr_done batch[DONE_BATCH]; /* being reported */
    struct mr_stream *batch_refs[DONE_BATCH];
    size_t batch_count;
    struct mr_consumer *calling; /* the consumer whose callback runs; NULL when deleted in it */
    struct codec_buf buf;
    struct page_cache pages;
    struct page_host page_host;
    struct pool parts;
    uint64_t damaged;
    struct damage damage[DAMAGE_KEPT];
    size_t damage_count;
};

/* What a message's record says of it, as the stream takes it; without id and rollup. */
static inline struct stream_put put_of_record(const struct rec *r, uint64_t loc) {
    return (struct stream_put){.seq = r->seq,
                               .loc = loc,
                               .ts = r->ts,
                               .subject = r->subject,
                               .hdr_size = r->hdr.n,
                               .payload_size = r->payload.n};
}

/* --- shard_log.c: one log as the engine sees it --- */
enum err shard_log_open(struct mr_shard *sh, struct shard_log *l, uint32_t index) MUST_USE;
void shard_log_close(struct shard_log *l);
/* Appends a record that forces this turn's commit. */
enum err shard_log_append(struct shard_log *l, const struct rec *r, uint64_t *loc) MUST_USE;
/* The log with the fewest streams; NULL in an environment without a folder. */
struct shard_log *shard_log_choose(struct mr_shard *sh);

/* --- objects.c: making and unmaking streams (mrs_) and consumers (mrc_), in memory only --- */
/* Not yet initialised, without a name, on no list but its log's. NULL: out of memory. */
struct mr_stream *mrs_make(struct mr_shard *sh, struct shard_log *l, uint32_t number);
extern const struct stream_hooks mrs_hooks;
/* Makes it known by its name. ERR_EXISTS, ERR_NOMEM. */
enum err mrs_enlist(struct mr_stream *s, struct span name) MUST_USE;
/* Its messages are dead, its consumers gone; freed now or with its last reference. */
void mrs_drop(struct mr_stream *s);
/* Frees it and its consumers; the records stay. At close only. */
void mrs_close(struct mr_stream *s);
void mrs_unref(struct mr_stream *s);
/* Its size changed: keeps the shard's totals. */
void mrs_account(struct mr_stream *s);
/* After a purge or rollup with this filter. */
void mrs_tell_purge(struct mr_stream *s, struct span filter);
struct mr_consumer *mrc_make(struct mr_stream *s, struct span name);
struct mr_consumer *mrc_find(struct mr_stream *s, struct span name);
void mrc_drop(struct mr_consumer *c);

/* --- complete.c: what the watermarks finish, and the callbacks --- */
struct commit_queue *mrs_queue(struct mr_stream *s);
/* Pushes an entry of this stream, there is room; an ack is pushed open. */
void mrs_push(struct mr_stream *s, struct cq_entry e, struct span note);
void shard_complete(struct mr_shard *sh);
/* mr_consumer_next() had nothing: call it when it has. */
void mrc_arm(struct mr_consumer *c);
/* It may have something now. */
void mrc_wake(struct mr_consumer *c);
void mrc_wake_if_ready(struct mr_consumer *c, int64_t now);
/* Messages reached max_deliver: report them this turn. */
void mrc_note_exceeded(struct mr_consumer *c);
bool shard_has_calls(const struct mr_shard *sh);

/* --- progress.c: records written at the end of a turn --- */
/* Its state changed: to be logged, its timer to be set. */
void mrc_touched(struct mr_consumer *c);
/* Its full record is owed. */
void mrc_owe_full(struct mr_consumer *c);
void shard_log_progress(struct shard_log *l);
uint64_t shard_log_progress_at(const struct shard_log *l); /* monotonic; UINT64_MAX = never */
/* Everything that is owed, now. */
enum err shard_log_flush(struct shard_log *l) MUST_USE;
/* Write the full record now, and a second copy once this one is durable: a configuration that is lost would
 * take all its messages along, so one damaged record must not be all there is. */
enum err mrs_log_full(struct mr_stream *s) MUST_USE;
enum err mrc_log_full(struct mr_consumer *c) MUST_USE;
/* Write it when there is room. */
void mrs_mark_stale(struct mr_stream *s);

/* --- retention.c: what messages stay for --- */
/* Does a consumer of an interest stream want messages on this subject? True for all other streams. */
bool mrs_wanted(struct mr_stream *s, struct span subject);
void mrs_on_released(void *ctx, struct stream *st, struct consumer *c, uint64_t seq);
/* Adds what was let go to the payload of a consumer's record in the shard's buffer; logged: the log took it.
 */
enum err mrs_put_released(struct mr_stream *s) MUST_USE;
void mrs_released_logged(struct mr_stream *s);
/* As a record of its own; nothing when there is none. */
enum err mrs_log_released(struct mr_stream *s) MUST_USE;
/* The same, if a message of this size could meet a limit otherwise. */
enum err mrs_log_before_limit(struct mr_stream *s, uint64_t size) MUST_USE;
/* The record that a consumer is gone, with all that was kept for it alone; then mrc_release() lets that go.
 */
enum err mrc_log_gone(struct mr_consumer *c) MUST_USE;
void mrc_release(struct mr_consumer *c);
/* Its filters have changed. */
void mrc_matches_others(struct mr_consumer *c);
/* Interest retention begins. */
void mrs_becomes_interest(struct mr_stream *s);
void mrs_recover_interest(struct mr_stream *s);
/* MR_DENIED: not on this work queue. */
enum mr_status mrs_may_consume(struct mr_stream *s, const struct mr_consumer_config *cfg);

/* --- rewrite.c: full records written again, so that segments can go --- */
void shard_log_rewrite(struct shard_log *l);
/* Recovery: drops what the directory record does not name. */
void shard_log_apply_directory(struct shard_log *l, struct span payload);

/* --- compact.c: what the store asks while it empties a segment --- */
bool compact_wanted(struct shard_log *l, uint8_t kind, uint32_t stream, uint64_t seq, uint64_t loc);
enum err compact_move(struct shard_log *l, const struct rec *r, uint64_t from) MUST_USE;
void compact_lost(struct shard_log *l, uint32_t stream, uint64_t seq, uint64_t loc);
/* The message that lay at loc is dead there: the full record still counts on it. */
void mrs_left(struct mr_stream *s, uint64_t loc);

/* --- checkpoint.c --- */
void checkpoint_init(struct checkpoint *c);
void checkpoint_deinit(struct checkpoint *c);
void shard_log_checkpoint(struct shard_log *l); /* a turn's share */
uint64_t shard_log_checkpoint_at(const struct shard_log *l);
/* Is one being made, or about to be? */
bool checkpoint_busy(const struct shard_log *l);
/* It goes: what a checkpoint in the making owes it is written, its images are no longer needed. */
void checkpoint_drop_stream(struct mr_stream *s);
void checkpoint_drop_consumer(struct mr_consumer *c);

/* --- reopen.c: the state found again by a checkpoint, and pages when they are wanted --- */
enum err reopen_load(struct shard_log *l, struct span state) MUST_USE;
void reopen_reset(struct shard_log *l);
void reopen_host(struct mr_shard *sh);
/* Directly behind stream_init() or stream_init_blank(). */
void mrs_set_pages(struct mr_stream *s);

/* --- recover.c --- */
void recover_apply(struct shard_log *l, const struct rec *r, uint64_t loc);
void recover_damaged(struct shard_log *l, const struct store_damage *d);
enum err recover_finish(struct mr_shard *sh) MUST_USE;

/* --- timers.c --- */
void mrs_init_timer(struct mr_stream *s);
void mrc_init_timer(struct mr_consumer *c);
void mrs_arm_timer(struct mr_stream *s);
void mrc_arm_timer(struct mr_consumer *c);
void shard_run_due(struct mr_shard *sh);

/* --- read.c --- */
/* The live message seq. ERR_LATER: w is set. ERR_CORRUPT: mrs_lost() is the caller's. */
enum err mrs_fetch(struct mr_stream *s, uint64_t seq, uint64_t loc, struct store_wait *w,
                   struct mr_msg_view *out) MUST_USE;
/* The message turned out damaged: it is gone and counted. */
void mrs_lost(struct mr_stream *s, uint64_t seq);
void shard_retry_waits(struct mr_shard *sh);
/* A record in memory is dead; it is freed when no view of this turn can name it. */
void shard_memory_dead(struct mr_shard *sh, uint64_t loc);
void shard_memory_sweep(struct mr_shard *sh);
