/* consumer.h - what JetStream means by a consumer, as decisions: what is delivered next, what an ack changes,
 * what comes again when. No I/O, no clock; it reads its stream's index, never a message. Rules are
 * nats-server 2.15's.
 *
 * Happy path: consumer_peek() names the next message, the caller fetches it and calls consumer_delivered();
 * the client's answer goes to consumer_ack(). consumer_deadline() says when an ack wait runs out: then
 * consumer_expire() and, if it says so, peek again. What changed since the last record is kept as a dirty
 * set; codec.h writes it.
 *
 * Nothing fails but memory at growth points: peek then says CHOICE_BUSY.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/span.h"
#include "millrace.h"
#include "stream/config.h"
#include "stream/pending.h"
#include "stream/stream.h"

/* A message that reached max_deliver and was not reported yet. */
struct consumer_exceeded {
    uint64_t seq, deliveries;
};

struct consumer {
    struct stream *st;
    struct consumer_conf conf;
    int64_t created, delivered_last, floor_last; /* 0 = never */
    int64_t now;                                 /* the latest time seen: it never goes back */
    uint64_t next_seq;                           /* where the search for new messages goes on */
    uint64_t delivered_cseq, delivered_seq, floor_cseq, floor_seq;
    uint64_t last_per_subject_until;   /* up to here only the last message of each subject counts; 0 = off */
    uint64_t counted_seq, num_pending; /* matching messages in [next_seq, counted_seq] */
    struct pending_set pending;
    uint32_t *matches; /* by subject id: generation << 1 | does it match */
    uint32_t matches_cap, matches_wraps;
    uint64_t *removed; /* sequences the log knows as pending that are no more */
    uint32_t removed_len, removed_cap;
    uint32_t *scratch; /* entries to be sorted */
    uint32_t scratch_cap;
    struct consumer_exceeded *exceeded; /* to report */
    uint32_t exceeded_at, exceeded_len, exceeded_cap;
    bool dirty;     /* something to log */
    bool want_full; /* a delta is no longer enough: log the full record */
};

/* A new consumer: chooses where it starts, from the deliver policy and the stream's tail as it is. */
enum err consumer_init(struct consumer *c, struct stream *st, const struct mr_consumer_config *cfg,
                       int64_t now) MUST_USE;
void consumer_deinit(struct consumer *c);
/* ERR_INVAL, ERR_NOMEM leave it as it was. Log the full record afterwards. */
enum err consumer_update(struct consumer *c, const struct mr_consumer_config *cfg, int64_t now) MUST_USE;

enum choice_kind {
    CHOICE_NONE, /* nothing now; see consumer_deadline() */
    CHOICE_BUSY, /* max_ack_pending reached and nothing to redeliver, or no memory */
    CHOICE_NEW,
    CHOICE_AGAIN, /* a redelivery */
};
struct choice {
    enum choice_kind kind;
    uint64_t seq, loc;
    uint64_t consumer_seq, deliveries; /* as they will be; deliveries 1 = first */
    uint64_t pending;                  /* matching messages after this one */
};
/* What is to be delivered next; expires ack waits first. Same answer until something changes. */
enum choice_kind consumer_peek(struct consumer *c, int64_t now, struct choice *out);
/* The choice went out. */
void consumer_delivered(struct consumer *c, const struct choice *choice, int64_t now);
/* The chosen message cannot be had (damaged): do not choose it again. Its removal from the stream is told by
 * consumer_on_removed(). */
void consumer_skip(struct consumer *c, const struct choice *choice, int64_t now);

/* An answer of the client. Returns whether anything changed: unknown and repeated acks do not. */
bool consumer_ack(struct consumer *c, enum mr_ack_kind kind, uint64_t seq, uint64_t consumer_seq,
                  int64_t delay_ns, int64_t now);
/* What ran out goes to the redelivery queue, messages at max_deliver to the exceeded list. Is something ready
 * for redelivery? */
bool consumer_expire(struct consumer *c, int64_t now);
/* When consumer_expire() has something to do; INT64_MAX = never. */
int64_t consumer_deadline(const struct consumer *c);
/* Would consumer_peek() choose something? For waking up; call it when the watermark moved or an ack came. */
bool consumer_ready(struct consumer *c, int64_t now);
/* Messages that reached max_deliver, each once. False when there is none (left). */
bool consumer_next_exceeded(struct consumer *c, struct consumer_exceeded *out);

/* Gives memory back after many entries have gone; between two other calls. */
void consumer_trim(struct consumer *c);
/* From the stream's on_removed, for every reason but REMOVED_PURGE. */
void consumer_on_removed(struct consumer *c, const struct stream_removed *r);
/* The log took a full record, or a progress record of everything so far. */
void consumer_logged(struct consumer *c);

/* After a purge or rollup with this filter (empty = all). */
void consumer_on_purge(struct consumer *c, struct span filter);

/* Does a subject of the stream match the consumer's filters? The other: one the stream need not know. */
bool consumer_matches(struct consumer *c, uint32_t subject_id);
bool consumer_matches_name(const struct consumer *c, struct span subject);
/* Is this live message still to be delivered by the consumer, or to be acknowledged? Then interest retention
 * keeps it. One at max_deliver counts until the floor has passed it, as in nats-server. */
bool consumer_holds(struct consumer *c, uint64_t seq);
void consumer_state(struct consumer *c, struct mr_consumer_state *out);

/* ----------------------------------------------------------------------------------- recovery */

/* A REC_CONSUMER payload; on a struct that is zeroed or initialised. The stream need not have its messages
 * yet. ERR_CORRUPT changes nothing. */
enum err consumer_load(struct consumer *c, struct stream *st, struct span record) MUST_USE;
/* A REC_PROGRESS payload on top of the state so far. ERR_CORRUPT changes nothing. */
enum err consumer_replay(struct consumer *c, struct span record) MUST_USE;
/* The log ends here and the stream is recovered: forgets pending messages that are gone, counts. */
void consumer_recovered(struct consumer *c, int64_t now);
