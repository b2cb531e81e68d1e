/* api.c - see api.h: the table of requests, their queue, and the three ways an answer leaves. */
#include "jetstream/api.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/must.h"
#include "jetstream/codec_stream.h"
#include "jetstream/deliver.h"
#include "jetstream/gather.h"
#include "wire/header.h"
#include "wire/json.h"

enum { API_RUN_MAX = 256 };               /* requests a tick */
#define ROOM_WAIT_NS UINT64_C(4000000000) /* for room; clients wait 5 s, and are to learn why in vain */

#define PAGED ",\"total\":0,\"offset\":0,\"limit\":0"

static const struct api_call calls[] = {
    {"INFO", 0, 0, API_HERE, "account_info", "", api_account_info, NULL},
    {"STREAM.CREATE.", 1, API_CHANGES, API_DIRECTORY, "stream_create", "", api_stream_create,
     api_stream_create_apply},
    {"STREAM.UPDATE.", 1, API_CHANGES, API_DIRECTORY, "stream_update", "", api_stream_update,
     api_stream_update_apply},
    {"STREAM.DELETE.", 1, API_CHANGES, API_DIRECTORY, "stream_delete", "", api_stream_delete,
     api_stream_delete_apply},
    {"STREAM.NAMES", 0, 0, API_DIRECTORY, "stream_names", PAGED ",\"streams\":null", api_stream_names, NULL},
    {"STREAM.LIST", 0, 0, API_DIRECTORY, "stream_list", PAGED ",\"streams\":[]", api_stream_list, NULL},
    {"STREAM.INFO.", 1, 0, API_OWNER, "stream_info", PAGED, api_stream_info, NULL},
    {"STREAM.PURGE.", 1, API_CHANGES, API_OWNER, "stream_purge", ",\"purged\":0", api_stream_purge, NULL},
    {"STREAM.MSG.GET.", 1, 0, API_OWNER, "stream_msg_get", "", api_msg_get, NULL},
    {"STREAM.MSG.DELETE.", 1, API_CHANGES, API_OWNER, "stream_msg_delete", "", api_msg_delete, NULL},
    {"DIRECT.GET.", 1, API_REST | API_RAW, API_OWNER, NULL, "", api_direct_get, NULL},
    {"CONSUMER.CREATE.", 1, API_CHANGES, API_OWNER, "consumer_create", "", api_consumer_create, NULL},
    {"CONSUMER.CREATE.", 2, API_REST | API_CHANGES, API_OWNER, "consumer_create", "", api_consumer_create,
     NULL},
    {"CONSUMER.DURABLE.CREATE.", 2, API_CHANGES, API_OWNER, "consumer_create", "", api_consumer_create, NULL},
    {"CONSUMER.DELETE.", 2, API_CHANGES, API_OWNER, "consumer_delete", "", api_consumer_delete, NULL},
    {"CONSUMER.INFO.", 2, 0, API_OWNER, "consumer_info", "", api_consumer_info, NULL},
    {"CONSUMER.NAMES.", 1, 0, API_OWNER, "consumer_names", PAGED ",\"consumers\":[]", api_consumer_names,
     NULL},
    {"CONSUMER.LIST.", 1, 0, API_OWNER, "consumer_list", PAGED ",\"consumers\":[]", api_consumer_list, NULL},
    {"STREAM.SNAPSHOT.", 1, 0, API_HERE, "stream_snapshot", "", api_unsupported, NULL},
    {"STREAM.RESTORE.", 1, 0, API_HERE, "stream_restore", "", api_unsupported, NULL},
    {"CONSUMER.PAUSE.", 2, API_CHANGES, API_OWNER, "consumer_pause",
     ",\"paused\":false,\"pause_until\":\"0001-01-01T00:00:00Z\"", api_consumer_pause, NULL},
    {"CONSUMER.UNPIN.", 2, 0, API_HERE, "consumer_unpin", "", api_unsupported, NULL},
    {"CONSUMER.RESET.", 2, 0, API_HERE, "consumer_reset", "", api_unsupported, NULL},
    {"STREAM.LEADER.STEPDOWN.", 1, 0, API_HERE, "stream_leader_stepdown", "", api_clustered, NULL},
    {"CONSUMER.LEADER.STEPDOWN.", 2, 0, API_HERE, "consumer_leader_stepdown", "", api_clustered, NULL},
    {"STREAM.PEER.REMOVE.", 1, 0, API_HERE, "stream_remove_peer", "", api_clustered, NULL},
};
enum { CALLS = sizeof calls / sizeof calls[0] };

/* Takes one token off rest; false when there is none. */
static bool token_take(struct span *rest, struct span *token) {
    must(rest && token);
    if (rest->n == 0) return false;
    const uint8_t *dot = memchr(rest->p, '.', rest->n);
    size_t n = dot ? (size_t)(dot - rest->p) : rest->n;
    *token = span_of(rest->p, n);
    *rest = span_skip(*rest, dot ? n + 1 : n);
    return n > 0;
}

static const struct api_call *call_find(struct span subject, struct span name[2], struct span *rest) {
    must(name && rest);
    for (size_t i = 0; i < CALLS; i++) {
        const struct api_call *c = &calls[i];
        if (!span_starts(subject, span_str(c->prefix))) continue;
        name[0] = name[1] = SPAN_EMPTY;
        *rest = span_skip(subject, strlen(c->prefix));
        bool ok = true;
        for (size_t k = 0; ok && k < c->names; k++) ok = token_take(rest, &name[k]);
        if (ok && (rest->n == 0 || (c->flags & API_REST))) return c;
    }
    return NULL;
}

static struct api_req *req_new(struct js *js, struct span subject, struct span reply, struct span hdr,
                               struct span body) {
    size_t size = sizeof(struct api_req) + subject.n + reply.n + hdr.n + body.n;
    struct api_req *r = calloc(1, size);
    if (!r) return NULL;
    r->js = js;
    r->size = size;
    uint8_t *at = r->block;
    struct span *to[] = {&r->subject, &r->reply, &r->hdr, &r->body}, from[] = {subject, reply, hdr, body};
    for (size_t i = 0; i < 4; i++) {
        if (from[i].n) memcpy(at, from[i].p, from[i].n);
        *to[i] = span_of(at, from[i].n);
        at += from[i].n;
    }
    struct span name[2];
    r->call = call_find(r->subject, name, &r->rest);
    must(r->call != NULL);
    r->stream = name[0];
    r->consumer = name[1];
    list_init(&r->link);
    return r;
}

static void req_free(struct api_req *r) {
    must(r->js != NULL);
    list_del(&r->link);
    gather_free(r);
    text_free(&r->out);
    free(r);
}

static void queue_put(struct js *js, struct api_req *r) {
    must(list_empty(&r->link));
    must(js->api_queued < JS_API_QUEUE_MAX);
    list_add_tail(&js->api_queue, &r->link);
    js->api_queued++;
    js->api_queued_bytes += r->size;
}

/* A message on $JS.API. False when nobody would answer: then the client is told that there are no responders.
 */
static bool api_deliver(struct sink *sink, struct sub *sub, struct route_msg *m) {
    struct js *js = container_of(sink, struct js, api_sink);
    struct span subject = span_skip(m->msg.subject, sub->subject.n - 1),
                next = SPAN_LIT("CONSUMER.MSG.NEXT.");
    must(sub->subject.n > 1 && sub->subject.p[sub->subject.n - 1] == '>');
    if (span_starts(subject, next)) return js_next(js, span_skip(subject, next.n), &m->msg);
    struct span name[2], rest, reply = js_reply_of(m->msg.reply);
    const struct api_call *call = call_find(subject, name, &rest);
    if (!call || js->closing) return true; /* matches nats-server: unknown requests are not answered at all */
    if (call->flags & API_RAW) {
        const struct dir_entry *e = directory_find(&js->dir, name[0]);
        if (!e || !e->allow_direct) return false;
        if (reply.n == 0) return true;
    }
    size_t size = subject.n + msg_size(&m->msg);
    if (js->api_queued >= JS_API_QUEUE_MAX || js->api_queued_bytes + size > JS_API_QUEUE_BYTES) return true;
    struct api_req *r = req_new(js, subject, reply, m->msg.hdr, m->msg.payload);
    if (r) queue_put(js, r);
    return true;
}

static uint64_t header_level(struct span v) {
    uint64_t n;
    return get_u64(v, &n) ? n : UINT64_MAX;
}

bool api_level_ok(const struct js *js, struct span hdr) {
    must(js->limits != NULL);
    struct span v;
    if (hdr.n == 0 || !header_get(hdr, SPAN_LIT("Nats-Required-Api-Level"), &v) || v.n == 0) return true;
    return header_level(v) <= (uint64_t)js->limits->api_level;
}

/* --- what writes, and the engine without room --- */

static bool writes_here(const struct api_req *r) {
    return (r->call->flags & API_CHANGES) && (r->call->where == API_OWNER || r->step == API_APPLY);
}

static enum stall_of stalls_in(const struct api_req *r) {
    const struct js_stream *s = js_stream_find(r->js, r->stream);
    if (s) return s->stalls_in;
    return r->memory ? STALL_MEMORY : STALL_LOG;
}

/* False: the bound is reached. */
static bool wait_for_room(struct api_req *r) {
    struct js *js = r->js;
    must(!r->again && r->give_up_ns == 0);
    if (js->api_stalled_bytes + r->size > JS_API_QUEUE_BYTES) return false;
    if (!js_stall_put_request(js, stalls_in(r), r)) return false;
    js->api_stalled_bytes += r->size;
    r->give_up_ns = js_now(js) + ROOM_WAIT_NS;
    list_del(&r->link);
    list_add_tail(&js->api_stalled, &r->link);
    return true;
}

static void stalled_no_more(struct api_req *r) {
    must(r->js->api_stalled_bytes >= r->size);
    r->js->api_stalled_bytes -= r->size;
    list_del(&r->link);
    list_add_tail(&r->js->api_inflight, &r->link);
}

static void run(struct api_req *r) {
    must(r->err.code == JS_OK);
    if (r->step == API_APPLY)
        r->call->apply(r);
    else
        r->call->run(r);
}

/* Nothing was changed. */
static void refuse(struct api_req *r) {
    if (r->step == API_APPLY) api_stream_take_back(r);
    api_fail_with(r, JS_INSUFFICIENT_RESOURCES, NULL);
}

/* On the shard that answers it. What writes keeps its place behind publishes and requests that wait. */
static void start(struct api_req *r) {
    if (!writes_here(r) || js_stall_empty(r->js, stalls_in(r)))
        run(r);
    else if (!wait_for_room(r))
        refuse(r);
}

bool api_busy(struct api_req *r, enum mr_status st) {
    must(r->err.code == JS_OK);
    if (st != MR_BUSY) return false;
    if (!r->again) return wait_for_room(r);
    r->js->still_full = true;
    return true;
}

bool api_retry(struct api_req *r) {
    struct js *js = r->js;
    must(!list_empty(&js->api_stalled) && r->give_up_ns > 0);
    js->still_full = false;
    r->again = true;
    stalled_no_more(r);
    run(r);
    if (!js->still_full) return true; /* r may be gone */
    js->api_stalled_bytes += r->size;
    list_del(&r->link);
    list_add_after(&js->api_stalled, &r->link);
    return false;
}

void api_give_up(struct js *js) {
    while (!list_empty(&js->api_stalled)) {
        struct api_req *r = container_of(js->api_stalled.next, struct api_req, link);
        if (js_now(js) < r->give_up_ns) return;
        js_stall_forget_request(js, r);
        stalled_no_more(r);
        refuse(r);
    }
}

/* --- running --- */

static void req_run(struct api_req *r) {
    struct js *js = r->js;
    must(r->js->engine != NULL);
    unsigned shard = js->host.self;
    if (r->call->where == API_DIRECTORY) shard = 0;
    const struct dir_entry *e = r->call->where == API_OWNER ? directory_find(&js->dir, r->stream) : NULL;
    if (e) shard = e->shard;
    if (shard != js->host.self) {
        api_forward(r, shard, API_RUN, 0);
        return;
    }
    list_del(&r->link);
    list_add_tail(&js->api_inflight, &r->link);
    if (!(r->call->flags & API_RAW) && !api_level_ok(js, r->hdr)) {
        api_fail_with(r, JS_API_LEVEL, NULL);
        return;
    }
    start(r);
}

void api_run_queue(struct js *js) {
    struct list again;
    list_init(&again);
    for (struct list *l; (l = list_pop(&js->api_waiting));) list_add_tail(&again, l);
    for (struct list *l; (l = list_pop(&again));) {
        struct api_req *r = container_of(l, struct api_req, link);
        list_add_tail(&js->api_inflight, &r->link);
        if (r->resume)
            api_resume(r);
        else
            api_answer(r, r->when);
    }
    for (size_t i = 0; i < API_RUN_MAX && !list_empty(&js->api_queue); i++) {
        struct api_req *r = container_of(list_pop(&js->api_queue), struct api_req, link);
        must(js->api_queued > 0 && js->api_queued_bytes >= r->size);
        js->api_queued--;
        js->api_queued_bytes -= r->size;
        req_run(r);
    }
}

void api_forward(struct api_req *r, unsigned shard, enum api_step step, uint64_t incarnation) {
    struct js *js = r->js;
    if (shard == js->host.self) {
        must(step == API_RUN || r->call->apply != NULL);
        r->incarnation = incarnation;
        r->step = step;
        start(r);
        return;
    }
    struct cast c = {.kind = CAST_API,
                     .flag = (uint8_t)step,
                     .word = {incarnation, r->memory},
                     .part = {r->subject, r->reply, r->hdr, r->body}};
    cast_send(js, shard, &c);
    req_free(r);
}

void api_on_cast(struct js *js, const struct cast *c) {
    must(c->kind == CAST_API);
    struct api_req *r = req_new(js, c->part[0], c->part[1], c->part[2], c->part[3]);
    if (!r) {
        log_line(js->host.log, LOG_ERROR, "jetstream: no memory for a request");
        return;
    }
    r->incarnation = c->word[0];
    r->memory = c->word[1];
    r->step = (enum api_step)c->flag;
    list_add_tail(&js->api_inflight, &r->link);
    /* The stream may have left since the other shard looked; its handler says so. */
    if (r->step == API_RUN && !(r->call->flags & API_RAW) && !api_level_ok(js, r->hdr))
        api_fail_with(r, JS_API_LEVEL, NULL);
    else
        start(r);
}

struct text *api_begin(struct api_req *r) {
    must(r->call->type != NULL);
    r->out.n = 0;
    text_lit(&r->out, "{\"type\":\"io.nats.jetstream.api.v1.");
    text_lit(&r->out, r->call->type);
    text_lit(&r->out, "_response\"");
    return &r->out;
}

static void req_send(struct api_req *r) {
    must(r->resume == NULL);
    struct js *js = r->js;
    js->api_total++;
    if (r->err.code != JS_OK) js->api_errors++;
    if (!r->out.failed)
        js_reply(js, r->reply, SPAN_EMPTY, text_span(&r->out));
    else
        log_line(js->host.log, LOG_ERROR, "jetstream: no memory for an answer");
    req_free(r);
}

static void error_text(struct api_req *r) {
    must(r->err.code != JS_OK);
    struct text *t = api_begin(r);
    text_key(t, "error");
    js_error_put(t, &r->err);
    text_lit(t, r->call->error_tail);
    text_lit(t, "}");
}

void api_fail(struct api_req *r) {
    must(r->err.code != JS_OK);
    error_text(r);
    req_send(r);
}

void api_fail_with(struct api_req *r, enum js_code code, const char *arg) {
    must(r->err.code == JS_OK);
    js_fail(&r->err, code, arg);
    api_fail(r);
}

/* Everything before is durable: the answer may leave, or wait for the other shards. */
static void barrier_done(struct js_barrier *b) { req_send(container_of(b, struct api_req, barrier)); }

static void answer_durable(struct api_req *r) {
    must(r->when != API_NOW);
    if (r->when != API_ROUTED || r->err.code != JS_OK) {
        req_send(r);
        return;
    }
    struct js *js = r->js;
    if (r->gone.n) {
        cast_stream_remove(js, r->gone, r->announce);
    } else if (r->announce) {
        struct js_stream *s = js_stream_find(js, r->stream);
        if (s && s->incarnation == r->announce) cast_stream_add(s);
    }
    if (js->closing) { /* nobody is left to wait for */
        req_send(r);
        return;
    }
    r->barrier.on_done = barrier_done;
    js->host.barrier(js->host.ctx, &r->barrier);
}

/* A log that failed keeps serving what it has; changes it cannot promise are errors. */
static void log_failed(struct api_req *r, enum mr_status status) {
    must(status != MR_OK);
    if ((r->call->flags & API_CHANGES) && r->err.code == JS_OK) {
        js_fail(&r->err, api_code_of(status, JS_STORE_FAILED), mr_status_text(status));
        error_text(r);
    }
}

void api_on_durable(struct js *js, uint64_t tag, enum mr_status status) {
    if (tag & GATHER_TAG) {
        gather_on_durable(js, tag & ~(uint64_t)GATHER_TAG);
        return;
    }
    struct api_req *r = (struct api_req *)(uintptr_t)tag;
    must(r != NULL && r->js == js);
    if (status != MR_OK) log_failed(r, status);
    answer_durable(r);
}

static void answer_later(struct api_req *r, enum api_when when) {
    must(when != API_NOW);
    must(r->resume == NULL);
    struct js *js = r->js;
    r->when = when;
    if (r->volatile_only) {
        answer_durable(r);
        return;
    }
    /* Another log of this shard, slow or failed, is none of this stream's business. */
    const struct js_stream *of = r->call->names ? js_stream_find(js, r->stream) : NULL;
    enum mr_status s =
        mr_barrier(js->engine, of ? of->engine : NULL, (uint64_t)(uintptr_t)r, (struct mr_bytes){NULL, 0});
    if (s == MR_BUSY) {
        list_del(&r->link);
        list_add_tail(&js->api_waiting, &r->link);
    } else if (s != MR_OK && s != MR_LATER) {
        log_failed(r, s);
        answer_durable(r);
    }
}

void api_fail_durable(struct api_req *r) {
    must(r->err.code != JS_OK);
    error_text(r);
    answer_later(r, API_DURABLE);
}

void api_answer(struct api_req *r, enum api_when when) {
    must(r->out.n > 0 || r->out.failed);
    if (when == API_NOW)
        req_send(r);
    else
        answer_later(r, when);
}

void api_answer_success(struct api_req *r, enum api_when when) {
    must(r->err.code == JS_OK);
    text_lit(api_begin(r), ",\"success\":true}");
    api_answer(r, when);
}

void api_drop(struct api_req *r) { req_free(r); }

void api_resume(struct api_req *r) {
    void (*resume)(struct api_req *) = r->resume;
    must(resume != NULL);
    r->resume = NULL;
    resume(r);
}

static void on_read(struct mr_wait *w) { api_resume(container_of(w, struct api_req, wait)); }

void api_wait(struct api_req *r, void (*resume)(struct api_req *r)) {
    must(resume != NULL);
    r->resume = resume;
    r->wait.on_ready = on_read;
}

void api_again(struct api_req *r, void (*resume)(struct api_req *r)) {
    must(resume != NULL);
    r->resume = resume;
    list_del(&r->link);
    list_add_tail(&r->js->api_waiting, &r->link);
}

struct js_stream *api_stream(struct api_req *r) {
    must(r->call->names > 0);
    struct js_stream *s = js_stream_find(r->js, r->stream);
    if (!s) js_fail(&r->err, JS_STREAM_NOT_FOUND, NULL);
    return s;
}

bool api_body_is_json(struct span body) {
    size_t i = 0;
    while (i < body.n && (body.p[i] == ' ' || body.p[i] == '\t' || body.p[i] == '\n' || body.p[i] == '\r'))
        i++;
    return i < body.n && (body.p[i] == '{' || body.p[i] == '[');
}

bool api_body_is_empty(struct span body) {
    if (body.n == 0) return true;
    struct json_err je;
    yyjson_doc *doc = json_read(body, JSON_DEPTH_MAX, &je);
    yyjson_val *root = yyjson_doc_get_root(doc);
    bool empty = yyjson_is_obj(root) && yyjson_obj_size(root) == 0;
    yyjson_doc_free(doc);
    return empty;
}

bool api_body(struct api_req *r, const struct json_table *t, void *out) {
    must(t && out);
    struct json_err je = {{0}};
    yyjson_doc *doc = js_json_read(r->body, t->go_type, &je);
    if (!doc) return js_fail(&r->err, JS_INVALID_JSON, je.text);
    bool ok = json_decode(yyjson_doc_get_root(doc), t, r->js->limits->strict, out, &je);
    yyjson_doc_free(doc);
    return ok || js_fail(&r->err, JS_INVALID_JSON, je.text);
}

enum js_code api_code_of(enum mr_status s, enum js_code other) {
    must(s != MR_OK);
    switch (s) {
    case MR_SEALED: return JS_SEALED;
    case MR_MEMORY_FULL: return JS_NO_MEMORY;
    case MR_STORAGE_FULL:
    case MR_NOSPC: return JS_NO_STORAGE;
    case MR_BUSY:
    case MR_NOMEM: return JS_INSUFFICIENT_RESOURCES;
    default: return other;
    }
}

void api_unsupported(struct api_req *r) {
    must(r->call->where == API_HERE);
    struct span name = r->subject;
    js_failf(&r->err, JS_STREAM_GENERAL, "%.*s is not supported by this server",
             (int)(strlen(r->call->prefix) - 1), name.p);
    api_fail(r);
}

void api_clustered(struct api_req *r) { api_fail_with(r, JS_CLUSTER_REQUIRED, NULL); }

enum err api_open(struct js *js) {
    must(js->api_sub.entry.node == NULL);
    list_init(&js->api_queue);
    list_init(&js->api_waiting);
    list_init(&js->api_stalled);
    list_init(&js->api_inflight);
    map_u64_init(&js->gathers);
    js->api_sink.deliver = api_deliver;
    js->api_sub = (struct sub){.sink = &js->api_sink, .subject = SPAN_LIT("$JS.API.>"), .local_only = true};
    return route_subscribe(js->host.route, &js->api_sub);
}

static void close_list(struct list *l) {
    while (!list_empty(l)) {
        struct api_req *r = container_of(l->next, struct api_req, link);
        if (r->resume) mr_wait_cancel(&r->wait);
        req_free(r);
    }
}

void api_close(struct js *js) {
    must(js->closing || !js->engine);
    route_unsubscribe(js->host.route, &js->api_sub);
    close_list(&js->api_queue);
    close_list(&js->api_waiting);
    close_list(&js->api_stalled);
    close_list(&js->api_inflight);
    map_u64_deinit(&js->gathers);
}
