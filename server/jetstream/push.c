/* push.c - see push.h. Happy path: active, no question open too long, the engine has a message: out it goes.
 * What fails: nobody is bound any more; then the message just taken comes again, and the consumer waits, or
 * goes when it is ephemeral. */
#include "jetstream/push.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/must.h"
#include "jetstream/codec_consumer.h"
#include "jetstream/deliver.h"

enum {
    WINDOW_FIRST = 2 << 20,
    WINDOW_MAX = 32 << 20,
    TURN_MSGS = 256,
    TURN_BYTES = 512 << 10,
    CONGESTED_EVERY = 32,
    AGAIN_NS = 10000000, /* a listener that takes nothing is tried again after so long */
    SUBJECT_ROOM = 7 + 255 + 1 + 255 + 1 + 20,
};

/* $JS.FC.<stream>.<consumer>.<id> */
static struct span question_put(uint8_t out[SUBJECT_ROOM], const struct js_push *p) {
    static const char pre[] = "$JS.FC.";
    const struct span path = p->consumer->path;
    size_t n = sizeof pre - 1;
    must(n + path.n + 1 + 20 <= SUBJECT_ROOM);
    memcpy(out, pre, n);
    memcpy(out + n, path.p, path.n);
    n += path.n;
    out[n++] = '.';
    return span_of(out, n + put_u64(out + n, p->question));
}

/* --- being one --- */

static void activate(struct js_push *p, bool active) {
    must(p->consumer->push == p);
    struct js_consumer *c = p->consumer;
    uint64_t now = js_now(c->stream->js);
    if (p->active == active) return;
    p->active = active;
    c->active_ns = now;
    if (active) {
        p->out = p->asked = p->question = 0;
        if (p->heartbeat_ns) p->heartbeat_at = now + (uint64_t)p->heartbeat_ns;
        js_consumer_ready(c);
    } else {
        list_del(&c->ready);
    }
    js_consumer_timer(c);
}

static bool bound(const struct js_push *p) {
    must(p->to.n > 0);
    return route_bound(p->consumer->stream->js->host.route, p->to, p->group);
}

static struct js_push *push_new(struct js_consumer *c, const struct consumer_cfg *cfg) {
    must(cfg->deliver_subject.n > 0);
    struct js_push *p = calloc(1, sizeof *p + cfg->deliver_subject.n + cfg->deliver_group.n);
    if (!p) return NULL;
    memcpy(p->block, cfg->deliver_subject.p, cfg->deliver_subject.n);
    p->to = span_of(p->block, cfg->deliver_subject.n);
    if (cfg->deliver_group.n) memcpy(p->block + p->to.n, cfg->deliver_group.p, cfg->deliver_group.n);
    p->group = span_of(p->block + p->to.n, cfg->deliver_group.n);
    p->consumer = c;
    p->heartbeat_ns = cfg->idle_heartbeat;
    p->window = cfg->flow_control ? WINDOW_FIRST : 0;
    list_init(&p->link);
    return p;
}

void js_push_drop(struct js_consumer *c) {
    if (!c->push) return;
    list_del(&c->push->link);
    free(c->push);
    c->push = NULL;
}

enum err js_push_follow(struct js_consumer *c, const struct consumer_cfg *cfg) {
    must(c->engine != NULL);
    struct js_push *old = c->push;
    if (old && span_eq(old->to, cfg->deliver_subject) && span_eq(old->group, cfg->deliver_group))
        return ERR_OK;
    struct js_push *p = NULL;
    if (cfg->deliver_subject.n && !(p = push_new(c, cfg))) return ERR_NOMEM;
    js_push_drop(c);
    c->push = p;
    if (p) {
        list_add_tail(&c->stream->js->pushes, &p->link);
        activate(p, bound(p));
    }
    return ERR_OK;
}

void js_push_interest(struct js *js) {
    uint32_t generation = route_generation(js->host.route);
    if (generation == js->push_generation) return;
    js->push_generation = generation;
    list_each(l, tmp, &js->pushes) {
        struct js_push *p = container_of(l, struct js_push, link);
        activate(p, bound(p));
    }
}

/* --- delivering --- */

static void ask(struct js_push *p) {
    must(p->window > 0 && p->question == 0);
    uint8_t subject[SUBJECT_ROOM];
    struct js *js = p->consumer->stream->js;
    p->question = ++js->next_question;
    p->asked = p->out;
    (void)js_publish(js, p->to, p->to, question_put(subject, p),
                     SPAN_LIT("NATS/1.0 100 FlowControl Request\r\n\r\n"), SPAN_EMPTY, NULL);
}

/* matches nats-server: one question at half a window; what goes out while it is open past a window joins it.
 */
static void flow_account(struct js_push *p, size_t size) {
    if (p->window == 0) return;
    p->out += size;
    if (p->question == 0 && p->out > p->window / 2)
        ask(p);
    else if (p->question && p->out - p->asked >= p->window)
        p->asked += size;
    must(p->asked <= p->out);
}

static bool stalled(const struct js_push *p) { return p->window && p->out > p->window; }

bool js_push_serve(struct js_consumer *c) {
    must(c->push && c->push->consumer == c);
    struct js *js = c->stream->js;
    struct js_push *p = c->push;
    size_t bytes = 0;
    int64_t wall = js_wall(js);
    for (size_t i = 0; i < TURN_MSGS && bytes < TURN_BYTES; i++) {
        if (!p->active || stalled(p)) return false;
        if (i % CONGESTED_EVERY == 0 && js_way_congested(js, p->to)) js_consumer_pause(c);
        if (c->pause_ns) return true;
        struct mr_delivery d;
        enum mr_status st = mr_consumer_next(c->engine, wall, 0, 0, &d);
        if (st != MR_OK) {
            c->ready_edge = false;
            return false;
        }
        size_t size = 0;
        if (js_deliver_one(c, p->to, &d, &size) == 0) {
            js_hand_back(c, &d);
            activate(p, bound(p));
            if (p->active) js_consumer_wake(c, js_now(js) + AGAIN_NS);
            return false;
        }
        bytes += size;
        if (p->heartbeat_ns) p->heartbeat_at = js_now(js) + (uint64_t)p->heartbeat_ns;
        flow_account(p, size);
    }
    return true;
}

void js_push_due(struct js_consumer *c) {
    struct js *js = c->stream->js;
    struct js_push *p = c->push;
    uint64_t now = js_now(js);
    uint8_t subject[SUBJECT_ROOM];
    char out[160 + SUBJECT_ROOM];
    if (p->active && c->ready_edge) js_consumer_ready(c);
    if (!p->active || p->heartbeat_ns == 0 || now < p->heartbeat_at) return;
    struct span stall = p->question ? question_put(subject, p) : SPAN_EMPTY;
    int n = snprintf(
        out, sizeof out,
        "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: %llu\r\nNats-Last-Stream: %llu\r\n%s%.*s%s\r\n",
        (unsigned long long)c->last_cseq, (unsigned long long)c->last_sseq,
        stall.n ? "Nats-Consumer-Stalled: " : "", (int)stall.n, stall.n ? (const char *)stall.p : "",
        stall.n ? "\r\n" : "");
    must(n > 0 && (size_t)n < sizeof out);
    js_reply(js, p->to, span_of(out, (size_t)n), SPAN_EMPTY);
    p->heartbeat_at = now + (uint64_t)p->heartbeat_ns;
}

/* --- answers to questions --- */

/* "stream.consumer.id" apart. */
static bool answer_get(struct span subject, struct span *stream, struct span *path, uint64_t *id) {
    must(span_starts(subject, SPAN_LIT("$JS.FC.")));
    struct span rest = span_skip(subject, 7);
    const uint8_t *dot = rest.n ? memchr(rest.p, '.', rest.n) : NULL;
    if (!dot) return false;
    *stream = span_of(rest.p, (size_t)(dot - rest.p));
    const uint8_t *second = memchr(dot + 1, '.', (size_t)(rest.p + rest.n - dot - 1));
    if (!second) return false;
    *path = span_of(rest.p, (size_t)(second - rest.p));
    return get_u64(span_of(second + 1, (size_t)(rest.p + rest.n - second - 1)), id);
}

static void answer_take(struct js_consumer *c, uint64_t id) {
    struct js_push *p = c->push;
    if (!p || id == 0 || p->question != id) return;
    if (p->window < WINDOW_MAX) p->window *= 2;
    must(p->asked <= p->out);
    p->out -= p->asked;
    p->asked = p->question = 0;
    js_consumer_ready(c);
}

static bool flow_deliver(struct sink *sink, struct sub *sub, struct route_msg *m) {
    struct js *js = container_of(sink, struct js, flow_sink);
    must(sub == &js->flow_sub);
    struct span stream, path;
    uint64_t id;
    (void)sub;
    if (!answer_get(m->msg.subject, &stream, &path, &id)) return false;
    struct js_consumer *c = js_consumer_find(js, path);
    if (c) {
        answer_take(c, id);
        return true;
    }
    const struct dir_entry *e = directory_find(&js->dir, stream);
    if (!e || e->shard == js->host.self) return false;
    struct cast cast = {.kind = CAST_FLOW, .word = {id}, .part = {path}};
    cast_send(js, e->shard, &cast);
    return true;
}

void js_push_on_cast(struct js *js, const struct cast *cast) {
    must(cast->kind == CAST_FLOW);
    struct js_consumer *c = js_consumer_find(js, cast->part[0]);
    if (c) answer_take(c, cast->word[0]);
}

enum err js_push_open(struct js *js) {
    must(js->flow_sub.entry.node == NULL);
    list_init(&js->pushes);
    js->flow_sink.deliver = flow_deliver;
    js->flow_sub = (struct sub){.sink = &js->flow_sink, .subject = SPAN_LIT("$JS.FC.>"), .local_only = true};
    return route_subscribe(js->host.route, &js->flow_sub);
}

void js_push_close(struct js *js) { route_unsubscribe(js->host.route, &js->flow_sub); }
