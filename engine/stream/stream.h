/* stream.h - what JetStream means by a stream, as decisions: no I/O, no clock. Times are passed in, locations
 * are the caller's.
 *
 * Happy path: stream_admit() looks at the tail and says whether a message is taken, with which sequence and
 * time; the caller appends it to its log and calls stream_applied() with the location, which cannot fail
 * after a successful admission. Limits are enforced there: each message that goes is reported to on_removed
 * before it is forgotten. When the append is durable the caller moves the watermark with stream_visible();
 * consumers and visible_only reads stop there.
 *
 * Recovery: for each record in the log's order stream_replay*(), stream_load() and the like, then
 * stream_recovered(). A stream whose full record comes later than some of its messages begins blank
 * (stream_init_blank). A full record is the truth at its place in the log: messages before it that it calls
 * deleted are dropped, ones it has and nobody found are lost.
 *
 * What can fail: memory, at growth points only, before anything changed (ERR_NOMEM, MR_NOMEM).
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/span.h"
#include "millrace.h"
#include "stream/config.h"
#include "stream/dedupe.h"
#include "stream/index.h"
#include "stream/missing.h"
#include "stream/page.h"
#include "stream/subjects.h"

enum removed_why { REMOVED_LIMIT, REMOVED_AGE, REMOVED_DELETE, REMOVED_PURGE, REMOVED_LOST };

/* A message that is about to be forgotten: its subject can still be looked at. body: bytes of subject,
 * headers and payload, so that its record took rec_size(0, 0, body). loc 0 and subject SUBJECT_NONE: its
 * record was not found when a damaged page was made anew. */
struct stream_removed {
    uint64_t seq, loc;
    int64_t ts;
    uint32_t subject, body;
    enum removed_why why;
};

struct consumer;
struct page_cut;

struct stream_pages {
    const struct page_host *host;
    struct page_cache *cache;
    struct page_cut *cut;    /* being written; NULL = none */
    struct page_image *gone; /* images that only older heads name */
    size_t gone_len, gone_cap;
    struct index_page *rebuilding;
    uint64_t last_fetch; /* number of the index page read last */
    bool changed;        /* since the last cut */
    bool lost;           /* there are entries whose record was not found: see stream_settle_lost() */
};

struct stream {
    struct stream_conf conf;
    struct index index;
    struct subjects subjects;
    struct dedupe dedupe;
    struct stream_pages pages;
    uint64_t msgs, bytes, first_seq, last_seq, visible_seq, lost_msgs, lost_bytes;
    int64_t first_ts, last_ts, created; /* last_ts: the newest time given out, never goes back */
    uint8_t *last_id;                   /* message id of the last message */
    size_t last_id_len, last_id_cap;
    struct dedupe_key admitted; /* of the message that was admitted last */
    bool blank;                 /* no full record seen yet */
    bool recovering;            /* from stream_init_blank() until stream_recovered() */
    bool ids_alone;             /* copies of messages may lack an id that was logged beside the original */
    bool unsure;                /* recovering: what is known here may be more or less than there was */
    struct missing *missing;    /* which messages lost_msgs counts, for who asks; or NULL */
    /* Called for each message that goes. Must not change the stream. For REMOVED_PURGE the consumers are told
     * once, by consumer_on_purge(), not one by one. */
    void (*on_removed)(void *ctx, struct stream *st, const struct stream_removed *r);
    /* Under interest and work queue retention: consumer c has done with this message; may remove it. */
    void (*on_released)(void *ctx, struct stream *st, struct consumer *c, uint64_t seq);
    void *ctx;
};

struct stream_hooks {
    void (*on_removed)(void *ctx, struct stream *st, const struct stream_removed *r);
    void *ctx;
    void (*on_released)(void *ctx, struct stream *st, struct consumer *c, uint64_t seq);
};

/* A new stream. secret: 16 random bytes that key its tables against chosen collisions, the same ones every
 * time this folder is opened (they are not in the records). */
enum err stream_init(struct stream *st, const struct mr_stream_config *cfg, int64_t created,
                     const uint8_t secret[16], const struct stream_hooks *hooks) MUST_USE;
/* A stream of which only messages are known so far: no limits, no name, stream_load() follows. */
void stream_init_blank(struct stream *st, const uint8_t secret[16], const struct stream_hooks *hooks);
void stream_deinit(struct stream *st);
/* Replaces the configuration and applies lowered limits (MR_FAILED never; MR_INVAL, MR_NOMEM leave it as it
 * was). */
enum mr_status stream_update(struct stream *st, const struct mr_stream_config *cfg, int64_t now) MR_MUST_USE;

/* ----------------------------------------------------------------------------------- appending */

struct stream_verdict {
    enum mr_status status;
    uint64_t seq;        /* OK: to be given; DUPLICATE: the original's; WRONG_LAST_SEQ: the actual last */
    int64_t ts;          /* OK: to be given, never before the last message's */
    struct span last_id; /* WRONG_LAST_ID: the actual one, until the next stream_applied() */
};
/* Decides on the tail, in the order of nats-server 2.15: sealed, size, expected last subject sequence,
 * expected last sequence, duplicate, expected last id, rollup, limits under discard new. Changes nothing but
 * capacity: with MR_OK the stream_applied() of this very message cannot fail. opts may be NULL; now is
 * opts->now or the loop's clock. */
void stream_admit(struct stream *st, const struct mr_msg *m, const struct mr_append_opts *opts, int64_t now,
                  struct stream_verdict *v);

/* A message that lies in the log. msg_id and rollup come from the options, or from its headers and flags in
 * recovery. */
struct stream_put {
    uint64_t seq, loc;
    int64_t ts;
    struct span subject, msg_id;
    size_t hdr_size, payload_size;
    enum mr_rollup rollup;
};
/* The log took what stream_admit() allowed: p->seq is last_seq + 1. Enforces limits and rollup. Returns the
 * subject's id. With a rollup the caller tells its consumers: consumer_on_purge() with the subject (SUBJECT)
 * or empty (ALL). */
uint32_t stream_applied(struct stream *st, const struct stream_put *p);
/* A message that no consumer of an interest stream wants (skip.c): admitted whatever the limits say, and only
 * counted: it has a sequence and an id. */
void stream_admit_unwanted(struct stream *st, const struct mr_msg *m, const struct mr_append_opts *opts,
                           int64_t now, struct stream_verdict *v);
void stream_skip(struct stream *st, const struct stream_put *p);
/* Everything up to seq may be seen. Never goes back. */
void stream_visible(struct stream *st, uint64_t seq);

/* ----------------------------------------------------------------------------------- removing */

/* Drops messages older than max_age, at most budget; returns how many. */
size_t stream_expire(struct stream *st, int64_t now, size_t budget);
/* The time at which the first message grows too old; INT64_MAX = never. */
int64_t stream_expires_at(const struct stream *st);
/* One message. MR_NONE, MR_DENIED, MR_SEALED; the log's record comes first: ask stream_may_delete(), append,
 * then delete. */
enum mr_status stream_may_delete(const struct stream *st, uint64_t seq) MR_MUST_USE;
void stream_delete(struct stream *st, uint64_t seq);

/* A purge as it is logged: everything that matches filter below `below`. Computed from a request by
 * stream_plan_purge(), so that applying it again in recovery has the same effect. */
struct stream_purge {
    struct span filter; /* empty = all */
    uint64_t below;     /* exclusive; may lie beyond last_seq + 1: then the sequence jumps (filter empty) */
};
/* MR_NONE: nothing to do (not an error); MR_DENIED, MR_SEALED, MR_INVAL (seq and keep both given). */
enum mr_status stream_plan_purge(struct stream *st, struct span filter, uint64_t seq, uint64_t keep,
                                 struct stream_purge *p) MR_MUST_USE;
uint64_t stream_purge(struct stream *st, const struct stream_purge *p); /* returns how many went */

/* ----------------------------------------------------------------------------------- reading */

/* Is there such a message? Needs no entry, so costs nothing when the entries are not in memory. */
bool stream_has(const struct stream *st, uint64_t seq, bool visible_only);
/* The entry of a message (location, time, sizes) or NULL; valid until the stream changes or is asked for 8
 * others. */
const struct index_entry *stream_get(const struct stream *st, uint64_t seq, bool visible_only);
uint64_t stream_seq_next(struct stream *st, uint64_t from, struct span filter, bool visible_only);
uint64_t stream_seq_last(struct stream *st, struct span filter, bool visible_only);
uint64_t stream_seq_at(const struct stream *st, int64_t ts);
/* The neighbour with the same subject; 0 = none. seq must be live. */
uint64_t stream_next_same(const struct stream *st, uint64_t seq);
uint64_t stream_prev_same(const struct stream *st, uint64_t seq);
void stream_subjects(struct stream *st, struct span filter,
                     bool (*fn)(void *ctx, struct mr_bytes subject, uint64_t msgs, uint64_t first,
                                uint64_t last),
                     void *ctx);
void stream_deleted(const struct stream *st, bool (*fn)(void *ctx, uint64_t seq), void *ctx);
/* Everything but the count of consumers. */
void stream_state(const struct stream *st, struct mr_stream_state *out);
/* Bytes as nats-server counts a message. */
uint64_t stream_entry_size(const struct stream *st, const struct index_entry *e);
uint64_t stream_msg_size(enum mr_storage storage, size_t subject, size_t hdr, size_t payload);

/* ----------------------------------------------------------------------------------- recovery */

/* Segments of the log were recycled here: with deletes and the like, perhaps. Until a full record is complete,
 * limits are not applied: they would find other messages than they found then, and remove others. */
void stream_gap(struct stream *st);
/* A REC_STREAM payload: takes configuration and state over. ERR_CORRUPT changes nothing. */
enum err stream_load(struct stream *st, struct span record) MUST_USE;
/* A message record. A sequence known already is ignored (ERR_NONE); skipped sequences count as lost. */
enum err stream_replay(struct stream *st, const struct stream_put *p) MUST_USE;
/* The record of a message that was only counted. As above. */
enum err stream_replay_skip(struct stream *st, const struct stream_put *p) MUST_USE;
/* A message has a new place: compaction copied it, or a REC_MOVED is replayed. ERR_NONE: it is not live (any
 * more). */
enum err stream_moved(struct stream *st, const struct stream_put *p) MUST_USE;
/* REC_DELETE and REC_PURGE. */
void stream_replay_delete(struct stream *st, uint64_t seq);
enum err stream_replay_purge(struct stream *st, struct span record) MUST_USE;
/* What a consumer's record says that left the stream with it. */
void stream_replay_released(struct stream *st, struct span record);
/* A record of this stream is damaged: the message is gone, its sequence stays used. bytes: what is known of
 * its size. */
void stream_lost(struct stream *st, uint64_t seq, uint64_t bytes);
/* The next n sequences may have been given out: they are not given out again. */
void stream_pass_over(struct stream *st, uint64_t n);
/* The log ends here (ERR_NOMEM: ids were forgotten): everything is visible, ids older than the window are
 * forgotten. Ages are stream_expire()'s business. */
enum err stream_recovered(struct stream *st, int64_t now) MUST_USE;
