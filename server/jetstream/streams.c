/* streams.c - the streams and consumers of this shard as the server sees them: names, subscriptions, what the
 * data path needs of their configuration at hand. The engine owns the truth; these follow it. What fails is
 * memory, or a subject the router refuses; then nothing is left behind. */
#include <stdlib.h>

#include "base/must.h"
#include "jetstream/codec_consumer.h"
#include "jetstream/core.h"
#include "jetstream/deliver.h"
#include "jetstream/publish.h"
#include "jetstream/push.h"
#include "jetstream/text.h"

struct js_stream *js_stream_find(struct js *js, struct span name) {
    return map_str_get(&js->streams, name);
}

/* `{"stream":"S","seq":`, and with the domain in it. */
static void pub_ack_texts(const struct js *js, struct span name, struct text *head, struct text *bare) {
    must(name.n > 0);
    const char *domain = js->limits->domain;
    text_lit(head, "{");
    text_key_str(head, "stream", name);
    if (domain && *domain) text_key_str(head, "domain", span_str(domain));
    text_key(head, "seq");
    text_lit(bare, "{");
    text_key_str(bare, "stream", name);
    text_key(bare, "seq");
}

static struct js_stream *stream_new(struct js *js, struct span name) {
    must(name.n > 0);
    struct text head = {0}, bare = {0};
    pub_ack_texts(js, name, &head, &bare);
    bool ok =
        !head.failed && !bare.failed && head.n <= JS_ACK_HEAD_MAX; /* acks are put together on the stack */
    struct js_stream *s = ok ? calloc(1, sizeof *s + name.n + head.n + bare.n) : NULL;
    if (s) {
        memcpy(s->block, name.p, name.n);
        memcpy(s->block + name.n, head.p, head.n);
        memcpy(s->block + name.n + head.n, bare.p, bare.n);
        s->name = span_of(s->block, name.n);
        s->ack_head = span_of(s->block + name.n, head.n);
        s->ack_bare = span_of(s->block + name.n + head.n, bare.n);
        s->js = js;
        s->sink.deliver = js_publish_deliver;
        list_init(&s->subs);
        list_init(&s->consumers);
        js_stream_batches_init(&s->batches);
        list_init(&s->link);
    }
    text_free(&head);
    text_free(&bare);
    return s;
}

static struct js_stream_sub *sub_find(struct js_stream *s, struct span subject) {
    must(subject.n > 0);
    list_each(l, tmp, &s->subs) {
        struct js_stream_sub *sub = container_of(l, struct js_stream_sub, link);
        if (span_eq(sub->sub.subject, subject)) return sub;
    }
    return NULL;
}

static enum err sub_add(struct js_stream *s, struct span subject) {
    must(!sub_find(s, subject));
    struct js_stream_sub *sub = calloc(1, sizeof *sub + subject.n);
    if (!sub) return ERR_NOMEM;
    memcpy(sub->subject, subject.p, subject.n);
    sub->sub.sink = &s->sink;
    sub->sub.subject = span_of(sub->subject, subject.n);
    enum err e = route_subscribe(s->js->host.route, &sub->sub);
    if (e != ERR_OK) {
        free(sub);
        return e;
    }
    list_add_tail(&s->subs, &sub->link);
    return ERR_OK;
}

static void sub_drop(struct js_stream *s, struct js_stream_sub *sub) {
    must(sub->sub.sink == &s->sink);
    route_unsubscribe(s->js->host.route, &sub->sub);
    list_del(&sub->link);
    free(sub);
}

static bool wanted(const struct mr_stream_config *cfg, struct span subject) {
    for (size_t i = 0; i < cfg->subjects_count; i++)
        if (span_eq(js_span(cfg->subjects[i]), subject)) return true;
    return false;
}

enum err js_stream_follow(struct js_stream *s) {
    must(s->engine != NULL);
    const struct mr_stream_config *cfg = mr_stream_config(s->engine);
    s->max_msg_size = cfg->max_msg_size;
    s->no_ack = cfg->no_ack;
    s->allow_direct = cfg->allow_direct;
    s->allow_rollup = cfg->allow_rollup && !cfg->deny_purge;
    s->sealed = cfg->sealed;
    s->stalls_in = cfg->storage == MR_MEMORY ? STALL_MEMORY : STALL_LOG;
    js_stream_batches_follow(s);
    for (size_t i = 0; i < cfg->subjects_count; i++) {
        struct span subject = js_span(cfg->subjects[i]);
        enum err e = sub_find(s, subject) ? ERR_OK : sub_add(s, subject);
        if (e != ERR_OK) return e;
    }
    list_each(l, tmp, &s->subs) {
        struct js_stream_sub *sub = container_of(l, struct js_stream_sub, link);
        if (!wanted(cfg, sub->sub.subject)) sub_drop(s, sub);
    }
    return ERR_OK;
}

static void stream_free(struct js_stream *s) {
    must(list_empty(&s->consumers));
    list_each(l, tmp, &s->subs) sub_drop(s, container_of(l, struct js_stream_sub, link));
    list_del(&s->link);
    free(s);
}

static enum err adopt_consumers(struct js_stream *s) {
    must(s->consumers_n == 0);
    for (struct mr_consumer *c = NULL; (c = mr_consumer_after(s->engine, c));) {
        struct js_consumer *jc;
        enum err e = js_consumer_adopt(s, c, &jc);
        if (e != ERR_OK) return e;
    }
    return ERR_OK;
}

enum err js_stream_adopt(struct js *js, struct mr_stream *engine, uint64_t incarnation,
                         struct js_stream **out) {
    struct js_stream *s = stream_new(js, js_span(mr_stream_config(engine)->name));
    if (!s) return ERR_NOMEM;
    must(!js_stream_find(js, s->name));
    s->engine = engine;
    s->incarnation = incarnation;
    enum err e = map_str_put(&js->streams, s->name, s);
    if (e == ERR_OK) {
        js->streams_n++;
        list_add_tail(&js->all, &s->link);
        e = js_stream_follow(s);
        if (e == ERR_OK) e = adopt_consumers(s);
        if (e != ERR_OK) {
            js_stream_drop(s);
            return e;
        }
        mr_stream_set_user(engine, s);
        *out = s;
        return ERR_OK;
    }
    stream_free(s);
    return e;
}

void js_stream_drop(struct js_stream *s) {
    struct js *js = s->js;
    list_each(l, tmp, &s->consumers)
        js_consumer_drop(container_of(l, struct js_consumer, link), 409, "Consumer Deleted");
    js_stall_forget(js, s);
    js_stream_batches_drop(s);
    void *was = map_str_del(&js->streams, s->name);
    must(was == s);
    must(js->streams_n > 0);
    js->streams_n--;
    stream_free(s);
}

struct js_consumer *js_consumer_find(struct js *js, struct span path) {
    return map_str_get(&js->paths, path);
}

static void on_timer(struct io_timer *t) {
    must(t->on_fire == on_timer);
    struct js_consumer *c = container_of(t, struct js_consumer, timer);
    c->timer_ns = UINT64_MAX;
    if (list_empty(&c->due)) list_add_tail(&c->stream->js->due, &c->due);
}

static struct js_consumer *consumer_new(struct js_stream *s, struct span name) {
    must(name.n > 0 && s->name.n > 0);
    static const char pre[] = "$JS.ACK.";
    size_t pre_n = sizeof pre - 1, path_n = s->name.n + 1 + name.n;
    struct js_consumer *c = calloc(1, sizeof *c + pre_n + path_n + 1);
    if (!c) return NULL;
    uint8_t *at = c->block;
    memcpy(at, pre, pre_n);
    memcpy(at + pre_n, s->name.p, s->name.n);
    at[pre_n + s->name.n] = '.';
    memcpy(at + pre_n + s->name.n + 1, name.p, name.n);
    at[pre_n + path_n] = '.';
    c->ack_prefix = span_of(at, pre_n + path_n + 1);
    c->path = span_of(at + pre_n, path_n);
    c->name = span_of(at + pre_n + s->name.n + 1, name.n);
    c->stream = s;
    c->timer.on_fire = on_timer;
    c->timer_ns = UINT64_MAX;
    list_init(&c->link);
    list_init(&c->ready);
    list_init(&c->due);
    list_init(&c->pulls);
    return c;
}

/* What only the canonical text says. */
static enum err follow_text(struct js_consumer *c, const struct mr_consumer_config *cfg) {
    struct consumer_cfg text;
    struct js_error e = {JS_OK, ""};
    c->max_waiting = 512;
    c->max_batch = c->max_expires = c->max_bytes = c->paused_until = 0;
    if (cfg->extra.n == 0 || !consumer_cfg_load(&text, js_span(cfg->extra), &e)) return ERR_OK;
    if (text.max_waiting > 0) c->max_waiting = (size_t)text.max_waiting;
    if (text.pause_until != CONSUMER_NO_TIME) c->paused_until = text.pause_until;
    c->max_batch = text.max_batch;
    c->max_expires = text.max_expires;
    c->max_bytes = text.max_bytes;
    enum err r = js_push_follow(c, &text);
    consumer_cfg_free(&text);
    return r;
}

enum err js_consumer_follow(struct js_consumer *c) {
    must(c->engine != NULL);
    const struct mr_consumer_config *cfg = mr_consumer_config(c->engine);
    c->headers_only = cfg->headers_only;
    c->ack_none = cfg->ack == MR_ACK_NONE;
    c->inactive_ns = cfg->inactive_threshold_ns;
    enum err e = follow_text(c, cfg);
    c->active_ns = js_now(c->stream->js);
    js_consumer_timer(c);
    js_consumer_ready(c);
    return e;
}

enum err js_consumer_adopt(struct js_stream *s, struct mr_consumer *engine, struct js_consumer **out) {
    struct js *js = s->js;
    struct js_consumer *c = consumer_new(s, js_span(mr_consumer_config(engine)->name));
    if (!c) return ERR_NOMEM;
    must(!js_consumer_find(js, c->path));
    enum err e = map_str_put(&js->paths, c->path, c);
    if (e != ERR_OK) {
        free(c);
        return e;
    }
    c->engine = engine;
    mr_consumer_set_user(engine, c);
    list_add_tail(&s->consumers, &c->link);
    s->consumers_n++;
    js->consumers_n++;
    struct mr_consumer_state st;
    mr_consumer_state(engine, &st);
    c->last_cseq = st.delivered_consumer_seq;
    c->last_sseq = st.delivered_stream_seq;
    c->last_pending = st.num_pending;
    e = js_consumer_follow(c);
    if (e != ERR_OK) {
        js_consumer_drop(c, 409, "Consumer Deleted");
        return e;
    }
    *out = c;
    return ERR_OK;
}

void js_consumer_drop(struct js_consumer *c, int status, const char *text) {
    struct js *js = c->stream->js;
    js_pulls_end(c, status, text, false);
    js_push_drop(c);
    io_timer_cancel(js->host.io, &c->timer);
    list_del(&c->ready);
    list_del(&c->due);
    list_del(&c->link);
    void *was = map_str_del(&js->paths, c->path);
    must(was == c);
    must(c->stream->consumers_n > 0 && js->consumers_n > 0);
    c->stream->consumers_n--;
    js->consumers_n--;
    if (js->ack_memo == c) js->ack_memo = NULL;
    free(c);
}
