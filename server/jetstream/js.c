/* js.c - see js.h: opening and closing one shard's JetStream, the two steps of its tick, and what the engine
 * calls back.
 *
 * Happy path of a tick: routed messages were appended and requests queued by the sinks; js_commit() runs the
 * requests, then the engine's tick seals everything into one durable write; finished operations come back
 * through on_done and answer; js_deliver() hands out what became visible. What fails is said to the clients
 * it concerns; the shard goes on. */
#include "jetstream/js.h"

#include <stdlib.h>

#include "base/must.h"
#include "base/rng.h"
#include "jetstream/ack.h"
#include "jetstream/api.h"
#include "jetstream/deliver.h"
#include "jetstream/publish.h"
#include "jetstream/pull.h"
#include "jetstream/push.h"

#define IDLE_TAG UINT64_MAX /* of js_idle()'s barrier */

uint64_t js_now(const struct js *js) { return io_now(js->host.io); }
int64_t js_wall(const struct js *js) { return io_wall(js->host.io); }

size_t js_publish(struct js *js, struct span to, struct span subject, struct span reply, struct span hdr,
                  struct span payload, bool *congested) {
    must(to.n > 0 && subject.n > 0);
    struct route_msg m = {.msg = {.subject = subject, .reply = reply, .hdr = hdr, .payload = payload},
                          .to = to};
    size_t n = route_publish(js->host.route, &m);
    if (m.congested && congested) *congested = true;
    return n;
}

bool js_way_congested(const struct js *js, struct span subject) {
    must(subject.n > 0);
    for (uint64_t left = route_shards(js->host.route, subject); left; left &= left - 1)
        if (js->host.congested(js->host.ctx, (unsigned)__builtin_ctzll(left))) return true;
    return false;
}

void js_reply(struct js *js, struct span reply, struct span hdr, struct span payload) {
    must(reply.n <= JS_REPLY_MAX);
    struct route_msg m = {.msg = {.subject = reply, .hdr = hdr, .payload = payload}};
    if (reply.n) (void)route_publish(js->host.route, &m);
}

/* --- what the engine calls --- */

static void on_done(void *ctx, const struct mr_done *done, size_t count) {
    must(count == 0 || done);
    struct js *js = ctx;
    for (size_t i = 0; i < count; i++) {
        const struct mr_done *d = &done[i];
        if (d->kind == MR_DONE_BARRIER && d->tag == IDLE_TAG)
            js->idle = true;
        else if (d->kind == MR_DONE_BARRIER && d->tag)
            api_on_durable(js, d->tag, d->status);
        else if (d->kind == MR_DONE_ACK)
            js_ack_done(js, d);
        else
            js_publish_done(js, d);
    }
}

static void on_ready(void *ctx, struct mr_consumer *engine) {
    struct js_consumer *c = mr_consumer_user(engine);
    (void)ctx;
    if (c) js_consumer_ready(c);
}

/* --- open and close --- */

static enum err of_status(enum mr_status s) {
    must(s < MR_STATUS_COUNT);
    switch (s) {
    case MR_OK: return ERR_OK;
    case MR_NOMEM: return ERR_NOMEM;
    case MR_NOSPC: return ERR_NOSPC;
    case MR_LOCKED: return ERR_LOCKED;
    case MR_FOREIGN: return ERR_FOREIGN;
    case MR_FORMAT: return ERR_FORMAT;
    case MR_PERM: return ERR_PERM;
    case MR_CORRUPT: return ERR_CORRUPT;
    case MR_FAILED: return ERR_FAILED;
    default: return ERR_IO;
    }
}

/* The streams that recovery found. */
static enum err adopt_all(struct js *js) {
    must(js->streams_n == 0);
    for (struct mr_stream *s = NULL; (s = mr_stream_next(js->engine, s));) {
        struct js_stream *out;
        uint64_t incarnation = ++js->next_incarnation * DIR_SHARDS_MAX + js->host.self;
        enum err e = js_stream_adopt(js, s, incarnation, &out);
        if (e != ERR_OK) return e;
        cast_stream_add(out);
    }
    return ERR_OK;
}

static enum err open_engine(struct js *js, struct mr_env *env) {
    must(js->engine == NULL);
    const struct mr_host host = {.ctx = js, .on_done = on_done, .on_ready = on_ready};
    enum mr_status s = mr_shard_open(env, js->host.self, js->host.io, &host, &js->engine);
    if (s != MR_OK) {
        log_line(js->host.log, LOG_ERROR, "jetstream: shard %u: %s", js->host.self, mr_status_text(s));
        return of_status(s);
    }
    return adopt_all(js);
}

static void init(struct js *js) {
    uint64_t seed;
    random_bytes(&seed, sizeof seed);
    directory_init(&js->dir, seed);
    map_str_init(&js->streams, seed + 1);
    map_str_init(&js->paths, seed + 2);
    list_init(&js->all);
    list_init(&js->ready);
    list_init(&js->due);
    js_batching_init(&js->batching);
    list_init(&js->pushes);
    pool_init(&js->pulls, sizeof(struct pull), 256, JS_PULLS_MAX);
    size_t payload = js->limits->max_payload > 0 ? (size_t)js->limits->max_payload : 0;
    for (size_t i = 0; i < STALL_QUEUES; i++)
        js->stall[i].max = payload * 4 > JS_STALL_BYTES ? payload * 4 : JS_STALL_BYTES;
}

/* Where messages for JetStream itself arrive. */
static enum err open_sinks(struct js *js) {
    enum err e = api_open(js);
    if (e == ERR_OK) e = js_ack_open(js);
    if (e == ERR_OK) e = js_push_open(js);
    return e;
}

static void close_sinks(struct js *js) {
    if (js->flow_sub.entry.node) js_push_close(js);
    if (js->ack_sub.entry.node) js_ack_close(js);
    if (js->api_sub.entry.node) api_close(js);
}

enum err js_open(struct js **out, const struct js_host *host, const struct js_limits *limits,
                 struct mr_env *env) {
    must(host->self < host->shards && host->shards <= DIR_SHARDS_MAX);
    struct js *js = calloc(1, sizeof *js);
    *out = NULL;
    if (!js) return ERR_NOMEM;
    js->host = *host;
    js->limits = limits;
    init(js);
    enum err e = open_sinks(js);
    if (e == ERR_OK) e = open_engine(js, env);
    if (e != ERR_OK) {
        js_close(js);
        return e;
    }
    *out = js;
    return ERR_OK;
}

void js_close(struct js *js) {
    if (!js) return;
    js->closing = true;
    if (js->engine) {
        mr_shard_close(js->engine); /* what was unfinished answers now */
        js->engine = NULL;
    }
    close_sinks(js);
    while (!list_empty(&js->all)) js_stream_drop(container_of(js->all.next, struct js_stream, link));
    js_stall_deinit(js);
    js_batching_deinit(&js->batching);
    js_later_deinit(&js->later);
    pool_deinit(&js->pulls);
    map_str_deinit(&js->streams);
    map_str_deinit(&js->paths);
    directory_deinit(&js->dir);
    free(js);
}

void js_on_cast(struct js *js, unsigned from, struct span bytes) { cast_handle(js, from, bytes); }

/* --- the tick --- */

void js_commit(struct js *js) {
    must(js->engine != NULL);
    js_later_flush(js);
    api_give_up(js);
    if (!js_stall_none(js)) js_stall_retry(js);
    js_batching_expire(js);
    api_run_queue(js);
    mr_shard_tick(js->engine);
}

void js_deliver(struct js *js) {
    must(js->engine != NULL);
    js_later_flush(js);
    js_deliver_all(js);
}

uint64_t js_deadline(const struct js *js) {
    must(js->engine != NULL);
    uint64_t at = mr_shard_deadline(js->engine), idle = js_batching_deadline(&js->batching);
    if (idle < at) at = idle;
    bool now = !list_empty(&js->api_queue) || js->later.n || !list_empty(&js->due);
    if (now) return 0;
    if (!list_empty(&js->ready)) {
        uint64_t soon = js->paused && !js->more ? js_now(js) + JS_PAUSE_NS : 0;
        if (soon < at) at = soon;
    }
    if (!list_empty(&js->api_waiting) || !js_stall_none(js)) {
        uint64_t soon = js_now(js) + JS_PAUSE_NS;
        if (soon < at) at = soon;
    }
    return at;
}

bool js_congested(const struct js *js) { return !js_stall_none(js); }

bool js_brimful(const struct js *js) {
    must(js->engine != NULL);
    for (size_t i = 0; i < STALL_QUEUES; i++)
        if (js->stall[i].n > js->stall[i].max / 2) return true;
    return false;
}

bool js_idle(struct js *js) {
    if (!js_stall_none(js) || !list_empty(&js->api_queue) || js->later.n) return false;
    if (!js->idle_asked)
        js->idle_asked = mr_barrier(js->engine, NULL, IDLE_TAG, (struct mr_bytes){NULL, 0}) == MR_OK;
    return js->idle;
}

void js_shutdown(struct js *js) {
    must(js->engine != NULL);
    js->closing = true;
    for (struct list *l = js->all.next; l != &js->all; l = l->next) {
        struct js_stream *s = container_of(l, struct js_stream, link);
        for (struct list *k = s->consumers.next; k != &s->consumers; k = k->next)
            js_pulls_end(container_of(k, struct js_consumer, link), 409, "Server Shutdown", true);
    }
}

void js_stats(const struct js *js, struct js_stats *out) {
    must(js->engine && out);
    struct mr_shard_stats es;
    *out = (struct js_stats){.streams = js->streams_n,
                             .consumers = js->consumers_n,
                             .api_total = js->api_total,
                             .api_errors = js->api_errors};
    for (const struct list *l = js->all.next; l != &js->all; l = l->next) {
        struct js_stream *s = container_of(l, struct js_stream, link);
        struct mr_stream_state st;
        mr_stream_state(s->engine, &st);
        out->messages += st.msgs;
        out->bytes += st.bytes;
        *(mr_stream_config(s->engine)->storage == MR_MEMORY ? &out->memory : &out->storage) += st.bytes;
    }
    mr_shard_stats(js->engine, &es);
    out->failed = es.failed;
    out->refusing = es.refusing == MR_OK ? NULL : mr_status_text(es.refusing);
}
