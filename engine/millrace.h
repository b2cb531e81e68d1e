/* millrace.h - libmillrace, a storage engine for streams of messages with durable consumers.
 *
 * An environment (mr_env) is a folder; a shard (mr_shard) is one thread's part of it: its streams, their consumers and one
 * or more logs. A shard is used from one thread only; shards share nothing. The engine starts no threads: the host calls
 * mr_shard_tick() once a turn of its loop, after it has handed in work, and everything that work produced is then on its
 * way to the disk as one write. What became durable is reported through mr_host.on_done, in order.
 *
 *     append -> (tick) -> one durable write for all streams of a log -> on_done: acknowledge
 *                                                                    -> on_ready: consumers have something to deliver
 *
 * Rules. Functions return enum mr_status; nothing reads errno. Byte strings are borrowed: what you pass is copied before
 * the call returns; what you get stays valid until the next mr_shard_tick() unless stated otherwise. Times are int64_t
 * nanoseconds since 1970 (UTC), durations int64_t nanoseconds. Configuration structs begin with their own size, so that a
 * program built against an older header keeps working. No globals, no signals, no symbols but mr_*. Usable from C++.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow" /* functions share names with structs, as stat() does */
extern "C" {
#endif

#define MR_API __attribute__((visibility("default")))
#define MR_MUST_USE __attribute__((warn_unused_result))

struct io; /* the host's loop (engine/io/io.h); an embedding program without one passes NULL */
struct mr_env;
struct mr_shard;
struct mr_stream;
struct mr_consumer;

struct mr_bytes {
    const uint8_t *p;
    size_t n;
};

#define MR_STATUS_LIST(X)                                                                 \
    X(OK, "ok")                                                                           \
    X(LATER, "started; a callback follows")                                               \
    X(NONE, "nothing there")                                                              \
    X(DUPLICATE, "this message id was stored before")                                     \
    X(EXISTS, "exists with another configuration")                                        \
    X(BUSY, "no room now; hand it in again after the next tick")                          \
    X(INVAL, "not valid")                                                                 \
    X(WRONG_LAST_SEQ, "wrong last sequence")                                              \
    X(WRONG_LAST_ID, "wrong last message id")                                             \
    X(TOO_LARGE, "message size exceeds maximum allowed")                                  \
    X(MAX_MSGS, "maximum messages exceeded")                                              \
    X(MAX_BYTES, "maximum bytes exceeded")                                                \
    X(MAX_PER_SUBJECT, "maximum messages per subject exceeded")                           \
    X(SEALED, "the stream is sealed")                                                     \
    X(DENIED, "not permitted by the stream's configuration")                              \
    X(STORAGE_FULL, "insufficient storage resources available")                           \
    X(MEMORY_FULL, "insufficient memory resources available")                             \
    X(NOSPC, "no space left on the device")                                               \
    X(FAILED, "a write failed; this log takes no more until it is reopened")              \
    X(CORRUPT, "the record is damaged")                                                   \
    X(IO, "the device reported an error")                                                 \
    X(NOMEM, "out of memory")                                                             \
    X(LOCKED, "another process has the folder open")                                      \
    X(FOREIGN, "the folder holds something that is not a Millrace store")                 \
    X(FORMAT, "the folder was written by another format version")                         \
    X(PERM, "not permitted")                                                              \
    X(UNSUPPORTED, "not supported here")                                                  \
    X(LIMIT, "a configured limit would be exceeded")                                      \
    X(NOFILES, "out of file descriptors")                                                 \
    X(GONE, "a file or folder of the store is gone")

enum mr_status {
#define X(name, text) MR_##name,
    MR_STATUS_LIST(X)
#undef X
    MR_STATUS_COUNT
};
MR_API const char *mr_status_text(enum mr_status s); /* static string */

/* ------------------------------------------------------------------------------------------------- environment */

enum mr_sync { MR_SYNC_ALWAYS, MR_SYNC_INTERVAL }; /* acknowledged = on disk; acknowledged = with the kernel, synced at the interval */
enum mr_log_level { MR_LOG_DEBUG, MR_LOG_INFO, MR_LOG_WARN, MR_LOG_ERROR };

struct mr_env_config {
    size_t size;             /* sizeof(struct mr_env_config) */
    const char *path;        /* folder; created when missing; NULL: memory streams only */
    uint32_t shards;         /* how many shards will be opened, >= 1 */
    enum mr_sync sync;
    int64_t sync_interval_ns; /* MR_SYNC_INTERVAL */
    uint64_t disk_max;       /* bytes of file-stream data over all shards; 0 = no limit */
    uint64_t memory_max;     /* bytes of memory streams over all shards; 0 = no limit */
    uint64_t cache_bytes;    /* read cache a shard; 0 = default (8 MiB) */
    uint64_t segment_bytes;  /* largest segment; 0 = default (64 MiB) */
    void (*log)(void *ctx, enum mr_log_level level, const char *text); /* any thread; may be NULL */
    void *log_ctx;
    uint64_t checkpoint_bytes; /* a checkpoint is made when so much log was written since the last one, or
                                  twice what that one took when this is more; 0 = default (64 MiB) */
    uint64_t index_bytes; /* memory a shard for index pages that could be read again; 0 = default (32 MiB) */
    bool full_scan;       /* open without checkpoints: read every log from its beginning */
};

/* Opens or creates the folder: locks it, checks that it is a Millrace store of this format, finds its logs.
 * MR_LOCKED, MR_FOREIGN, MR_FORMAT, MR_PERM, MR_NOSPC, MR_IO; what and where is said through log. */
MR_API enum mr_status mr_env_open(const struct mr_env_config *cfg, struct mr_env **env) MR_MUST_USE;
MR_API void mr_env_close(struct mr_env *env); /* after every shard is closed */

/* ------------------------------------------------------------------------------------------------- shard */

enum mr_done_kind { MR_DONE_APPEND, MR_DONE_BARRIER, MR_DONE_ACK };

/* One finished operation. The spans live until on_done returns. */
struct mr_done {
    enum mr_done_kind kind;
    enum mr_status status;   /* MR_OK, or why it will never be durable: MR_FAILED, MR_NOSPC */
    struct mr_stream *stream; /* NULL for a barrier on a shard, or when deleted meanwhile */
    uint64_t seq;            /* APPEND: the sequence; ACK: the acknowledged sequence */
    uint64_t tag;            /* the caller's, from the operation */
    struct mr_bytes note;    /* the caller's bytes, from the operation */
};

/* What the engine calls. All calls happen inside io_tick() or mr_shard_tick() on the shard's thread, never inside the call
 * that caused them. They may call back into the engine except mr_shard_close(). */
struct mr_host {
    void *ctx;
    /* Operations finished, in the order they were handed in for each stream. */
    void (*on_done)(void *ctx, const struct mr_done *done, size_t count);
    /* Call mr_consumer_next() again: a message became visible, an ack wait ran out, an ack made room, a read completed.
     * Edge-triggered: once after mr_consumer_next() said MR_NONE, MR_BUSY or MR_LATER. */
    void (*on_ready)(void *ctx, struct mr_consumer *c);
    /* Each message that reached max_deliver (for the advisory). May be NULL. */
    void (*on_max_deliver)(void *ctx, struct mr_consumer *c, uint64_t seq, uint64_t deliveries);
};

/* Opens shard `index` on this thread: recovers its logs (reading blocks), after which streams and consumers can be
 * enumerated. loop NULL: the shard opens a loop of its own, driven by mr_shard_run(). */
MR_API enum mr_status mr_shard_open(struct mr_env *env, uint32_t index, struct io *loop, const struct mr_host *host,
                                    struct mr_shard **shard) MR_MUST_USE;
/* Commits what is pending, waits for it, closes. Unacknowledged operations get their on_done first. */
MR_API void mr_shard_close(struct mr_shard *shard);
/* Ends a turn: logs consumer progress, applies age limits and ack waits that are due, seals and submits one frame a log,
 * reports finished memory operations. */
MR_API void mr_shard_tick(struct mr_shard *shard);
/* For programs without a loop: waits up to timeout_ns for completions, runs callbacks, ticks. */
MR_API void mr_shard_run(struct mr_shard *shard, int64_t timeout_ns);
/* Monotonic time (as io_now) at which the shard wants mr_shard_tick() without new work; UINT64_MAX = never. */
MR_API uint64_t mr_shard_deadline(const struct mr_shard *shard);
/* Bytes appended and not yet written; a host should stop taking publishes above a few MiB (mr_append says MR_BUSY at the bound). */
MR_API size_t mr_shard_backlog(const struct mr_shard *shard);

/* on_done(MR_DONE_BARRIER, tag, note) once everything handed to the shard before is durable (file) or applied (memory);
 * at once, at the next tick, when nothing is outstanding. With a stream, only that stream's log counts. */
MR_API enum mr_status mr_barrier(struct mr_shard *shard, struct mr_stream *stream, uint64_t tag, struct mr_bytes note) MR_MUST_USE;

/* Asks for a checkpoint of every log now: the next opening reads little. It is made over the next turns;
 * mr_shard_stats.checkpoints counts those that stand. They are made from time to time anyway, and by
 * mr_shard_close() when there is more than a few MiB to read. MR_FAILED: a log refuses writes and gets none.
 */
MR_API enum mr_status mr_checkpoint(struct mr_shard *shard);

struct mr_shard_stats {
    uint64_t commits, commit_bytes, durable_writes, records, logs, segments, disk_bytes, memory_bytes, reads, cache_hits,
        damaged_records, dry_segments, streams, consumers;
    uint64_t live_bytes /* of messages on disk, as records */, emptied_segments, moved_records, moved_bytes; /* compaction */
    bool failed; /* a log of this shard refuses writes */
    enum mr_status refusing; /* messages are refused for want of a segment, and why; else MR_OK; it passes by itself */
    uint64_t checkpoints, checkpoint_bytes; /* made since opening; what they took */
    uint64_t replay_bytes;                  /* of log that an opening would read now */
    uint64_t recovered_bytes;               /* read at this opening */
    uint64_t checkpoints_passed;            /* found damaged at this opening */
    uint64_t logs_scanned;                  /* opened without a checkpoint */
    uint64_t index_bytes, index_loads,
        index_rebuilds; /* resident pages; read again; put together from the log again */
};
MR_API void mr_shard_stats(const struct mr_shard *shard, struct mr_shard_stats *out);

/* ------------------------------------------------------------------------------------------------- streams */

enum mr_storage { MR_FILE, MR_MEMORY };
/* What messages stay for; max_* and purges apply in any case. LIMITS: those. INTEREST: until every consumer whose filters
 * match has acknowledged it (ack none: was given it); without such a consumer a message gets a sequence and is not stored.
 * Deleting a consumer, or changing its filters, lets go what it alone had kept. WORKQUEUE: until it is acknowledged; its
 * consumers have ack explicit, deliver all, and filters that do not overlap. MR_TERM counts as acknowledged; a message at
 * max_deliver stays. An acknowledged message is gone at once, and for good once the acknowledgement is durable. */
enum mr_retention { MR_RETAIN_LIMITS, MR_RETAIN_INTEREST, MR_RETAIN_WORKQUEUE };
enum mr_discard { MR_DISCARD_OLD, MR_DISCARD_NEW };
#define MR_FIRST_SEQ_MAX ((uint64_t)1 << 62) /* no stream lives to see its sequences run out */

/* Limits: -1 = none. Spans are copied. `extra` is the host's own bytes, kept and returned as they are (the server keeps
 * description and metadata there); at most 256 KiB. */
struct mr_stream_config {
    size_t size; /* sizeof(struct mr_stream_config) */
    struct mr_bytes name;
    const struct mr_bytes *subjects;
    size_t subjects_count;
    enum mr_storage storage;
    enum mr_retention retention;
    enum mr_discard discard;
    bool discard_new_per_subject, sealed, deny_delete, deny_purge, allow_rollup, allow_direct, no_ack;
    int64_t max_msgs, max_bytes, max_age_ns, max_msg_size, max_msgs_per_subject, max_consumers;
    int64_t duplicate_window_ns; /* 0 = no deduplication */
    uint64_t first_seq;          /* 0 = 1; at most MR_FIRST_SEQ_MAX */
    struct mr_bytes extra;
};

/* Creates a stream; visible and usable at once, durable after the next barrier. MR_EXISTS when the name is taken here. */
MR_API enum mr_status mr_stream_create(struct mr_shard *shard, const struct mr_stream_config *cfg, int64_t now,
                                       struct mr_stream **stream) MR_MUST_USE;
/* Replaces the configuration (name, storage and first_seq stay) and applies lowered limits. Retention may change between
 * limits and interest: then what consumers have done with goes, everything when there are none. A work queue stays one
 * (MR_INVAL). */
MR_API enum mr_status mr_stream_update(struct mr_stream *s, const struct mr_stream_config *cfg, int64_t now) MR_MUST_USE;
/* Deletes stream and consumers. The pointers are dead after the call; unfinished appends still get their on_done. */
MR_API enum mr_status mr_stream_delete(struct mr_stream *s) MR_MUST_USE;
MR_API struct mr_stream *mr_stream_find(struct mr_shard *shard, struct mr_bytes name);
/* Enumerates streams of a shard: start with NULL; NULL at the end. Order: by creation. */
MR_API struct mr_stream *mr_stream_next(struct mr_shard *shard, struct mr_stream *after);
/* The configuration, valid until update or delete. */
MR_API const struct mr_stream_config *mr_stream_config(const struct mr_stream *s);
/* A word the host may hang on a stream. */
MR_API void mr_stream_set_user(struct mr_stream *s, void *user);
MR_API void *mr_stream_user(const struct mr_stream *s);
MR_API struct mr_shard *mr_stream_shard(const struct mr_stream *s);

/* Sizes count as nats-server counts them: file: 22 + subject + (4 + headers) + payload + 8; memory: 16 + subject + headers + payload. */
struct mr_stream_state {
    uint64_t msgs, bytes, first_seq, last_seq, num_deleted, num_subjects, lost_msgs, lost_bytes, visible_seq;
    int64_t first_ts, last_ts, created;
    size_t consumers;
};
/* As of everything handed in so far (the tail); answer a peer only after a barrier. */
MR_API void mr_stream_state(const struct mr_stream *s, struct mr_stream_state *out);

struct mr_msg {
    struct mr_bytes subject, hdr, payload; /* hdr: the NATS/1.0 block including its last CRLFCRLF, or empty */
};
struct mr_msg_view {
    struct mr_msg msg;
    uint64_t seq;
    int64_t ts;
};

enum mr_rollup { MR_ROLLUP_NONE, MR_ROLLUP_SUBJECT, MR_ROLLUP_ALL };

struct mr_append_opts {
    struct mr_bytes msg_id;               /* deduplication id; empty = none */
    bool expect_last_seq, expect_last_subject_seq;
    uint64_t last_seq, last_subject_seq;
    struct mr_bytes last_subject_filter;  /* empty: the message's own subject */
    struct mr_bytes expect_last_msg_id;   /* empty = no check */
    enum mr_rollup rollup;
    int64_t now;                          /* 0: the loop's clock */
    bool want_done;                       /* report on_done(MR_DONE_APPEND) */
    uint64_t tag;
    struct mr_bytes note;                 /* at most 8 KiB */
};
struct mr_append_result {
    uint64_t seq;             /* assigned; MR_DUPLICATE: the original's; MR_WRONG_LAST_SEQ: the actual last sequence */
    struct mr_bytes last_id;  /* MR_WRONG_LAST_ID: the actual id */
    bool in_batch;            /* mr_append_batch: refused because of an earlier message of the same batch */
};
/* Admits and appends one message; opts may be NULL. MR_OK: has a sequence, durable when on_done says so. Refusals:
 * SEALED, TOO_LARGE, MAX_*, WRONG_LAST_*, DUPLICATE, DENIED (rollup), STORAGE_FULL, MEMORY_FULL, NOSPC, NOFILES, GONE, FAILED, BUSY.
 * Checks run in nats-server's order: sealed, expected last subject seq, expected last seq, duplicate, expected last id,
 * rollup, size, limits. A refusal depends on records that may not be durable yet: answer it after a barrier. */
MR_API enum mr_status mr_append(struct mr_stream *s, const struct mr_msg *m, const struct mr_append_opts *opts,
                                struct mr_append_result *result) MR_MUST_USE;

/* Appends messages as one: all are stored or none, in memory, on disk and after any crash; they become visible together. Their
 * sequences are contiguous, result->seq is the last. opts: one each, or NULL; want_done, tag, note and now of the last count,
 * and its on_done speaks for all. Each message is checked as nats-server checks a batch (ADR-50): against the stream as it was
 * before, and WRONG_LAST_*, DUPLICATE and DENIED also where a message depends on one before it in the batch (in_batch).
 * Refused: *failed_at is the message, or count when it is the batch. INVAL: more than MR_BATCH_MSGS_MAX messages, or on a file
 * stream an id that is not in the message's Nats-Msg-Id header; TOO_LARGE: more than MR_BATCH_BYTES_MAX with 128 bytes a
 * message; UNSUPPORTED: expect_last_msg_id. As above, answer refusals after a barrier. */
enum { MR_BATCH_MSGS_MAX = 1000, MR_BATCH_BYTES_MAX = 48 << 20 };
MR_API enum mr_status mr_append_batch(struct mr_stream *s, const struct mr_msg *msgs, const struct mr_append_opts *opts, size_t count,
                                      struct mr_append_result *result, size_t *failed_at) MR_MUST_USE;
/* The same checks of the messages, and nothing is appended. */
MR_API enum mr_status mr_check_batch(struct mr_stream *s, const struct mr_msg *msgs, const struct mr_append_opts *opts, size_t count,
                                     struct mr_append_result *result, size_t *failed_at) MR_MUST_USE;

/* A read that may have to wait for the disk. Embedded by the caller; on_ready runs once, then call the function again. */
struct mr_wait {
    void (*on_ready)(struct mr_wait *w);
    void *priv[6];
};
MR_API void mr_wait_cancel(struct mr_wait *w); /* no-op when not waiting */

/* The message with this sequence. MR_NONE: deleted or never there. visible_only: stop at the watermark (DIRECT.GET). */
MR_API enum mr_status mr_get(struct mr_stream *s, uint64_t seq, bool visible_only, struct mr_wait *w, struct mr_msg_view *out) MR_MUST_USE;
/* The first sequence >= from whose subject matches filter (empty = any); 0 when none. Does not read messages. */
MR_API uint64_t mr_seq_next(const struct mr_stream *s, uint64_t from, struct mr_bytes filter, bool visible_only);
/* The last sequence on subjects that match filter (wildcards allowed); 0 when none. */
MR_API uint64_t mr_seq_last(const struct mr_stream *s, struct mr_bytes filter, bool visible_only);
/* The first sequence stored at or after ts; last_seq + 1 when none. */
MR_API uint64_t mr_seq_at(const struct mr_stream *s, int64_t ts);
/* Subjects that match filter, with their message counts; fn returns false to stop. */
MR_API void mr_subjects(const struct mr_stream *s, struct mr_bytes filter, bool (*fn)(void *ctx, struct mr_bytes subject, uint64_t msgs, uint64_t first, uint64_t last), void *ctx);
/* Deleted sequences between first and last, ascending; fn returns false to stop. */
MR_API void mr_deleted(const struct mr_stream *s, bool (*fn)(void *ctx, uint64_t seq), void *ctx);

/* Deletes one message; erase also zeroes it on disk at the next compaction. MR_NONE, MR_DENIED, MR_SEALED. */
MR_API enum mr_status mr_delete(struct mr_stream *s, uint64_t seq, bool erase) MR_MUST_USE;
/* Purges messages that match filter (empty = all), below seq (0 = all) or all but the last `keep`. */
MR_API enum mr_status mr_purge(struct mr_stream *s, struct mr_bytes filter, uint64_t seq, uint64_t keep, uint64_t *purged) MR_MUST_USE;

/* ------------------------------------------------------------------------------------------------- consumers */

enum mr_ack_policy { MR_ACK_NONE, MR_ACK_ALL, MR_ACK_EXPLICIT };
enum mr_deliver { MR_DELIVER_ALL, MR_DELIVER_LAST, MR_DELIVER_NEW, MR_DELIVER_BY_SEQ, MR_DELIVER_BY_TIME, MR_DELIVER_LAST_PER_SUBJECT };

struct mr_consumer_config {
    size_t size; /* sizeof(struct mr_consumer_config) */
    struct mr_bytes name;
    bool durable;             /* false: ephemeral; not kept over a restart when mem_storage, else kept too */
    bool mem_storage;         /* progress is not logged */
    enum mr_deliver deliver;
    uint64_t opt_start_seq;
    int64_t opt_start_time;
    enum mr_ack_policy ack;
    int64_t ack_wait_ns;
    int64_t max_deliver;      /* -1 = no limit */
    const int64_t *backoff_ns;
    size_t backoff_count;
    const struct mr_bytes *filters;
    size_t filters_count;
    int64_t max_ack_pending;  /* -1 = no limit */
    int64_t inactive_threshold_ns; /* 0 = never; the host measures interest and deletes */
    bool headers_only;
    struct mr_bytes extra;    /* as in mr_stream_config */
};

/* MR_EXISTS, MR_LIMIT (max_consumers), MR_DENIED (not on this work queue). */
MR_API enum mr_status mr_consumer_create(struct mr_stream *s, const struct mr_consumer_config *cfg, int64_t now,
                                         struct mr_consumer **c) MR_MUST_USE;
/* Replaces what may change: ack_wait, max_deliver, backoff, filters, max_ack_pending, inactive_threshold, headers_only, extra. */
MR_API enum mr_status mr_consumer_update(struct mr_consumer *c, const struct mr_consumer_config *cfg, int64_t now) MR_MUST_USE;
MR_API enum mr_status mr_consumer_delete(struct mr_consumer *c) MR_MUST_USE;
MR_API struct mr_consumer *mr_consumer_find(struct mr_stream *s, struct mr_bytes name);
MR_API struct mr_consumer *mr_consumer_after(struct mr_stream *s, struct mr_consumer *after); /* NULL starts and ends */
MR_API const struct mr_consumer_config *mr_consumer_config(const struct mr_consumer *c);
MR_API void mr_consumer_set_user(struct mr_consumer *c, void *user);
MR_API void *mr_consumer_user(const struct mr_consumer *c);
MR_API struct mr_stream *mr_consumer_stream(const struct mr_consumer *c);

struct mr_consumer_state {
    uint64_t delivered_consumer_seq, delivered_stream_seq, floor_consumer_seq, floor_stream_seq;
    uint64_t num_ack_pending, num_redelivered, num_pending;
    int64_t delivered_last, floor_last, created; /* 0 = never */
};
MR_API void mr_consumer_state(const struct mr_consumer *c, struct mr_consumer_state *out);

struct mr_delivery {
    struct mr_msg_view view;
    uint64_t consumer_seq, deliveries /* 1 = first */, pending /* matching messages after this one */;
};
/* The next message to deliver: redeliveries that are due first, then new ones at or below the stream's watermark. On MR_OK it
 * counts as delivered at `now` and its ack wait runs. MR_NONE: nothing. MR_BUSY: max_ack_pending reached. MR_LATER: being
 * read from disk. MR_TOO_LARGE: the next message is larger than bytes_max (0 = no limit), counted as subject + reply_size +
 * headers + payload; nothing was consumed. A damaged message is skipped and counted as lost. */
MR_API enum mr_status mr_consumer_next(struct mr_consumer *c, int64_t now, size_t bytes_max, size_t reply_size, struct mr_delivery *out) MR_MUST_USE;

enum mr_ack_kind { MR_ACK, MR_NAK, MR_PROGRESS, MR_TERM };
struct mr_ack {
    enum mr_ack_kind kind;
    uint64_t seq, consumer_seq; /* stream and consumer sequence, from the ack subject */
    int64_t delay_ns;           /* MR_NAK */
    bool want_done;             /* on_done(MR_DONE_ACK) once it is durable: never redelivered after that */
    uint64_t tag;
    struct mr_bytes note;
};
/* Unknown or repeated acks are MR_OK (and get their on_done). */
MR_API enum mr_status mr_consumer_ack(struct mr_consumer *c, const struct mr_ack *a, int64_t now) MR_MUST_USE;

/* -------------------------------------------------------------------------------------------------
 * verification */

enum mr_found {
    MR_FOUND_DAMAGE, /* bytes of a file do not verify, or a file is missing or refused */
    MR_FOUND_LOST,   /* messages that should be there cannot be read: seq to seq_last of one stream */
    MR_FOUND_NOTE,   /* worth knowing; neither damage nor loss */
};

/* One finding; its strings live until found() returns. What is not known is 0, empty or NULL. */
struct mr_finding {
    enum mr_found found;
    const char *file; /* in the folder, as in "log-0000/00000003.seg" */
    uint64_t offset, length;
    uint64_t segment;   /* the number of what the file holds */
    const char *record; /* kind of the damaged record, as in "message" */
    uint32_t log, stream_number;
    struct mr_bytes stream, consumer; /* names */
    uint64_t seq, seq_last;           /* of the messages concerned; alike when it is one */
    bool lost; /* DAMAGE: this was the message; false: there is another copy, or it was deleted since */
    const char *cause; /* a sentence */
};

struct mr_verify_config {
    size_t size;                                                       /* sizeof(struct mr_verify_config) */
    const char *path;                                                  /* the folder */
    void (*found)(void *ctx, const struct mr_finding *f);              /* may be NULL */
    void (*progress)(void *ctx, uint64_t done, uint64_t total);        /* bytes; often; may be NULL */
    void (*log)(void *ctx, enum mr_log_level level, const char *text); /* as in mr_env_config; may be NULL */
    void *ctx;
    uint64_t index_bytes; /* as in mr_env_config */
};

struct mr_verify_result {
    size_t size;                             /* sizeof(struct mr_verify_result), set by the caller */
    uint64_t logs, segments, bytes, records; /* read */
    uint64_t streams, consumers, messages;   /* that are there, and are what they say */
    uint64_t damaged_places, damaged_bytes, lost_messages, notes;
    bool refused;    /* mr_env_open() or mr_shard_open() would refuse this folder */
    uint32_t holder; /* MR_LOCKED: the process that has it open, when it can be told */
};

/* Reads everything in a folder that nobody has open and says what is damaged: identity, segment headers,
 * frames, each record's checksums, the root file, the pages of checkpoints; and that every message the index
 * of a stream names lies there and is that message, and configurations are there twice. Nothing is written or
 * deleted; the folder's lock is held meanwhile. It works on folders that would not open, too. Memory: what
 * opening one log takes, one log at a time; without a checkpoint that is up to 24 bytes a message. MR_OK:
 * checked to the end, and result says what was found. MR_LOCKED; MR_FOREIGN: no Millrace store; MR_GONE: no
 * such folder; MR_FORMAT, MR_PERM, MR_IO, MR_NOMEM, MR_INVAL. */
MR_API enum mr_status mr_verify(const struct mr_verify_config *cfg,
                                struct mr_verify_result *result) MR_MUST_USE;

#ifdef __cplusplus
}
#pragma GCC diagnostic pop
#endif
