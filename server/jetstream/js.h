/* js.h - JetStream on one shard: the $JS.API, publish acknowledgements and delivery, over millrace.h.
 *
 * A stream lives on one shard; its subjects are ordinary subscriptions of that shard whose sink appends. So a publish from any
 * shard reaches it through route like any message, and its acknowledgement is published to the reply subject like any message.
 * Requests on $JS.API.> and acknowledgements on $JS.ACK.> arrive at the js of the shard the client is connected to, which
 * knows every stream's shard (a directory replica) and hands them on (host.cast). Shard 0 owns the directory: names and subjects
 * are reserved there before a stream is created, and lists are gathered from all shards.
 *
 * Answers that depend on records not yet durable wait for mr_barrier(); answers that change routing wait for host.barrier too.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/log.h"
#include "base/span.h"
#include "route/route.h"

struct io;
struct js;
struct mr_env;
struct mr_shard;

/* Limits as configured; -1 = none. Read-only, shared by all shards. */
struct js_limits {
    int64_t max_memory, max_store, max_streams, max_consumers, max_ack_pending, memory_max_stream_bytes,
        store_max_stream_bytes, max_request_batch, duplicate_window_ns;
    bool max_bytes_required, strict;
    const char *domain, *server_name, *server_version, *server_id;
    int api_level;
    int64_t max_payload;
};

/* Waits until every shard has applied everything this shard sent before. Embedded by the caller. */
struct js_barrier {
    void (*on_done)(struct js_barrier *b);
    uint64_t id;
};

struct js_host {
    void *ctx;
    unsigned self, shards;
    struct io *io;
    struct route *route;
    struct log *log;
    /* Hands bytes to js_on_cast() of another shard; reliable, in order with routed messages. */
    void (*cast)(void *ctx, unsigned shard, const struct span *parts, size_t count);
    void (*barrier)(void *ctx, struct js_barrier *b);
    /* Is the way to that shard (where a consumer's client sits now) backed up? Delivery to it pauses then. */
    bool (*congested)(void *ctx, unsigned shard);
};

/* Opens this shard's part: opens the engine's shard, recovers, subscribes. All shards must be open before clients are let in:
 * js_open() announces the recovered streams with casts that are handled before any client's message. */
enum err js_open(struct js **js, const struct js_host *host, const struct js_limits *limits, struct mr_env *env) MUST_USE;
void js_close(struct js *js); /* commits and closes the engine's shard */
void js_on_cast(struct js *js, unsigned from, struct span bytes);

/* The two JetStream steps of shard_tick(). */
void js_commit(struct js *js);  /* mr_shard_tick(): one durable write for everything appended; finished operations answer */
void js_deliver(struct js *js); /* hands visible messages to waiting pull requests, expires requests, heartbeats */
uint64_t js_deadline(const struct js *js); /* monotonic ns at which js wants a tick; UINT64_MAX = never */
/* Publishes wait for room in the engine: those who sent them (route_msg.log_full) pause until this is false. */
bool js_congested(const struct js *js);
/* So much waits that the shard is to take no letters either, which might bring more. */
bool js_brimful(const struct js *js);
/* Asked, again and again, while the server stops and nothing new is handed in: is everything that was durable, and
 * answered? */
bool js_idle(struct js *js);
/* Tells waiting pull requests that the server stops (409 Server Shutdown). */
void js_shutdown(struct js *js);

struct js_stats { uint64_t streams, consumers, messages, bytes, memory, storage, api_total, api_errors; bool failed; const char *refusing; /* why messages to files are refused for now; NULL: they are not */ };
void js_stats(const struct js *js, struct js_stats *out);
