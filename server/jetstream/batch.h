/* batch.h - publishing many messages as one batch, on the shard of the stream. Atomic batches (batch.c,
 * ADR-50) are named by Nats-Batch-* headers, collected in memory and appended as a whole by their commit.
 * Fast batches (fast.c) are named by the reply subject, store each message as it comes and acknowledge every
 * so many. Both are forgotten when idle too long, when their stream goes or no longer allows them. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"
#include "base/map.h"
#include "base/span.h"
#include "millrace.h"
#include "wire/msg.h"

struct js;
struct js_stream;
struct js_error;

enum {
    BATCH_ID_MAX = 64,
    BATCH_STREAM_MAX = 50, /* atomic batches a stream, as nats-server */
    BATCH_SERVER_MAX = 1000,
    FAST_STREAM_MAX = 1000,
    FAST_SERVER_MAX = 50000,
    BATCH_BYTES_MAX = 128 << 20, /* collected on a shard */
};
#define BATCH_IDLE_NS ((uint64_t)10 * 1000 * 1000 * 1000)

/* What both kinds begin with. */
struct batch_head {
    struct list idle; /* js_batching.idle, the one unused for longest first; empty while it commits */
    struct list link; /* of its stream, the one used last first */
    struct js_stream *stream;
    uint64_t used_ns;
    bool fast;
    uint8_t id_n;
    uint8_t id[BATCH_ID_MAX];
};

/* Of one shard. */
struct js_batching {
    struct list idle;
    size_t atomic_n, fast_n, bytes;
    struct map_u64 fast; /* number -> struct fast_batch */
    uint64_t next_fast;
    struct batch_commit *commit; /* room for the messages of one commit; made with the first */
};
/* Of one stream. */
struct js_stream_batches {
    struct list atomic, fast; /* struct batch_head.link */
    size_t atomic_n, fast_n;
    bool allow_atomic, allow_fast;
};

void js_batching_init(struct js_batching *b);
void js_batching_deinit(struct js_batching *b); /* streams are gone */
/* Forgets batches that nothing was heard of for BATCH_IDLE_NS. */
void js_batching_expire(struct js *js);
uint64_t js_batching_deadline(const struct js_batching *b); /* monotonic; UINT64_MAX: none */

void js_stream_batches_init(struct js_stream_batches *b);
/* Takes what the configuration allows; batches it no longer allows are forgotten. */
void js_stream_batches_follow(struct js_stream *s);
void js_stream_batches_drop(struct js_stream *s);

/* Is this publish part of a batch? Then it is taken: as js_publish_take(). */
bool js_batch_is_part(const struct msg *m, struct span *id);
enum mr_status js_batch_take(struct js_stream *s, const struct msg *m, struct span id);
bool js_fast_is_part(const struct msg *m);
enum mr_status js_fast_take(struct js_stream *s, const struct msg *m);

/* The engine's tag of an append says whose it is: PUBLISH_PLAIN is 0. */
enum publish_kind { PUBLISH_PLAIN, PUBLISH_BATCH, PUBLISH_FAST };
enum { PUBLISH_KIND_SHIFT = 56 };
static inline enum publish_kind publish_kind_of(uint64_t tag) {
    return (enum publish_kind)(tag >> PUBLISH_KIND_SHIFT);
}
/* A batch is durable, or never will be; s is NULL when its stream is gone. */
void js_batch_done(struct js *js, struct js_stream *s, const struct mr_done *d);
void js_fast_done(struct js *js, struct js_stream *s, const struct mr_done *d);

/* --- shared by batch.c and fast.c --- */
struct batch_head *batch_find(struct list *of_stream, struct span id);
void batch_add(struct batch_head *h, struct list *of_stream, struct js_stream *s, struct span id);
void batch_touch(struct batch_head *h);
void batch_drop(struct batch_head *h); /* takes it off every list and frees it */
void js_fast_free(struct batch_head *h);
