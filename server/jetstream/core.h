/* core.h - what the files of this folder share: one shard's JetStream, its streams and consumers. Everything
 * here belongs to the shard's thread. Other shards are reached by casts only. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "io/io.h"
#include "jetstream/batch.h"
#include "jetstream/directory.h"
#include "jetstream/errors.h"
#include "jetstream/js.h"
#include "jetstream/stall.h"
#include "millrace.h"
#include "route/route.h"

enum {
    JS_API_QUEUE_MAX = 10000, /* requests waiting on a shard, as nats-server's request_queue_limit */
    JS_API_QUEUE_BYTES = 64 << 20,
    JS_STALL_BYTES = 16 << 20, /* publishes the engine had no room for */
    JS_STALL_REQUESTS = 1024,  /* requests it had none for; their bytes: JS_API_QUEUE_BYTES */
    JS_LATER_BYTES = 1 << 20,  /* short answers decided inside a route callback */
    JS_PULLS_MAX = 1 << 18,    /* pull requests waiting on a shard */
    JS_PAUSE_NS = 1000000,     /* how soon what met congestion is tried again */
    JS_REPLY_MAX = 4096,
    JS_ACK_HEAD_MAX = 1900, /* of a PubAck, with name and domain */
};

/* Messages to be published once no route callback is under way, first in first out; see later.c. */
struct js_later {
    uint8_t *p;
    size_t n, cap;
    bool flushing;
};

struct js {
    struct js_host host;
    const struct js_limits *limits;
    struct mr_shard *engine;
    struct directory dir;
    struct map_str streams; /* name -> struct js_stream, of this shard */
    struct map_str paths;   /* "stream.consumer" -> struct js_consumer, of this shard */
    struct list all;        /* struct js_stream.link */
    size_t streams_n, consumers_n;
    uint64_t next_incarnation;

    struct sink api_sink, ack_sink, flow_sink;
    struct sub api_sub, ack_sub, flow_sub;
    struct list api_queue;    /* struct api_req.link, to be run */
    struct list api_waiting;  /* go on in the next turn, or wait for a barrier the engine had no room for */
    struct list api_stalled;  /* among the stalled publishes, the oldest first */
    struct list api_inflight; /* started and not answered: reads, barriers, gathers */
    size_t api_queued, api_queued_bytes, api_stalled_bytes;
    bool still_full; /* the request being tried again met no room */
    uint64_t api_total, api_errors, next_gather;
    struct map_u64 gathers; /* id -> struct api_req on the shard that asked */

    struct js_later later;
    struct js_stall stall[STALL_QUEUES];
    struct js_batching batching;
    struct pool pulls;
    struct list ready;        /* struct js_consumer.ready: something to deliver and somebody who asked */
    struct list due;          /* struct js_consumer.due: a timer ran out */
    struct list pushes;       /* struct js_push.link */
    uint32_t push_generation; /* of subscriptions, when interest in pushes was last looked at */
    uint64_t next_question;
    struct js_consumer *ack_memo;
    uint64_t deliver_round;
    uint64_t acks_lost, acks_lost_said_ns; /* confirmed ones that got no answer, since it was last said */
    bool closing;
    bool more, paused;     /* after delivery: some have more at once; some wait for their clients */
    bool idle_asked, idle; /* the barrier that js_idle() waits for */
};

/* A stream of this shard. */
struct js_stream {
    struct sink sink; /* its subjects lead here: publish.c */
    struct list link;
    struct js *js;
    struct mr_stream *engine;
    struct span name; /* into block */
    uint64_t incarnation;
    struct list subs; /* struct js_stream_sub.link */
    struct list consumers;
    size_t consumers_n;
    struct span ack_head; /* of a PubAck, up to the sequence: `{"stream":"S","seq":`, with the domain if any;
                             into block */
    struct span ack_bare; /* the same without a domain, for errors */
    int64_t max_msg_size;
    bool no_ack, allow_direct, allow_rollup, sealed;
    enum stall_of stalls_in;
    struct js_stream_batches batches;
    uint8_t block[];
};

struct js_stream_sub {
    struct sub sub;
    struct list link;
    uint8_t subject[];
};

/* A consumer of this shard. */
struct js_consumer {
    struct list link;       /* js_stream.consumers */
    struct list ready, due; /* on js->ready, js->due when not empty */
    struct js_stream *stream;
    struct mr_consumer *engine;
    struct span path; /* "stream.consumer" */
    struct span name;
    struct span ack_prefix; /* "$JS.ACK.stream.consumer." */
    struct list pulls;      /* struct pull.link, the oldest first */
    size_t pulls_n;
    struct js_push *push; /* NULL: a pull consumer; see push.h */
    struct io_timer timer;
    uint64_t timer_ns;   /* what the timer is set to; UINT64_MAX when not set */
    uint64_t active_ns;  /* monotonic: last pull or delivery */
    uint64_t pause_ns;   /* its client lags, or the way there is backed up: not before */
    int64_t paused_until; /* wall time: nothing is delivered before; 0 = not paused */
    int64_t inactive_ns;  /* deleted after so long without use; 0 = never */
    int64_t max_batch, max_expires, max_bytes;
    size_t max_waiting;
    uint64_t last_cseq, last_sseq, last_pending; /* of the last delivery, for the length of ack subjects */
    bool headers_only;
    bool ready_edge; /* the engine may have something: set by on_ready, cleared when it says no */
    bool ack_none;
    uint8_t block[];
};

/* Nobody can be subscribed to a longer subject: such a reply is none. */
static inline struct span js_reply_of(struct span reply) {
    return reply.n <= JS_REPLY_MAX ? reply : SPAN_EMPTY;
}

static inline struct mr_bytes js_bytes(struct span s) { return (struct mr_bytes){s.p, s.n}; }
static inline struct span js_span(struct mr_bytes b) { return span_of(b.p, b.n); }

/* --- js.c --- */
/* Publishes for the server: not from inside a route callback. to: where it goes when that is not subject. */
size_t js_publish(struct js *js, struct span to, struct span subject, struct span reply, struct span hdr,
                  struct span payload, bool *congested);
/* Is some way to who listens to this subject backed up? Asked anew each time, since clients move. */
bool js_way_congested(const struct js *js, struct span subject);
/* An answer without ceremony: subject is the client's reply subject; nothing when it is empty. */
void js_reply(struct js *js, struct span reply, struct span hdr, struct span payload);
uint64_t js_now(const struct js *js); /* monotonic */
int64_t js_wall(const struct js *js);

/* --- streams.c --- */
/* Takes up an engine stream: maps, subscriptions. ERR_NOMEM; ERR_INVAL: a subject the router refuses. */
enum err js_stream_adopt(struct js *js, struct mr_stream *engine, uint64_t incarnation,
                         struct js_stream **out) MUST_USE;
/* Follows the engine's configuration: subscribes what is new, unsubscribes what is gone. */
enum err js_stream_follow(struct js_stream *s) MUST_USE;
/* Unsubscribes and forgets; consumers too (their pull requests are told). The engine's stream is not touched.
 */
void js_stream_drop(struct js_stream *s);
struct js_stream *js_stream_find(struct js *js, struct span name);

enum err js_consumer_adopt(struct js_stream *s, struct mr_consumer *engine,
                           struct js_consumer **out) MUST_USE;
/* Follows the engine's configuration. ERR_NOMEM: in part. */
enum err js_consumer_follow(struct js_consumer *c) MUST_USE;
/* Forgets; waiting pull requests are told with this status ("409 Consumer Deleted"). */
void js_consumer_drop(struct js_consumer *c, int status, const char *text);
struct js_consumer *js_consumer_find(struct js *js, struct span path);

/* --- later.c: short answers from inside route callbacks --- */
/* False: no room, dropped; the client's request times out. */
bool js_later_put(struct js *js, struct span to, struct span hdr);
void js_later_flush(struct js *js);
void js_later_deinit(struct js_later *l);
