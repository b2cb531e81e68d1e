/* api_consumer.c - requests about consumers; all run on the stream's shard. Changes answer once they are
 * durable. */
#include <stddef.h>
#include <stdlib.h>

#include "base/must.h"
#include "jetstream/api.h"
#include "jetstream/codec_consumer.h"
#include "jetstream/deliver.h"
#include "jetstream/info.h"
#include "jetstream/push.h"
#include "subject/subject.h"
#include "wire/gotime.h"
#include "wire/json.h"
#include "wire/nuid.h"

enum { NAMES_LIMIT = 1024, LIST_LIMIT = 256, PATH_MAX_BYTES = 2 * 256 };

static bool has_separator(struct span s) { return s.n && (memchr(s.p, '/', s.n) || memchr(s.p, '\\', s.n)); }

static struct span path_put(uint8_t out[PATH_MAX_BYTES], struct span stream, struct span consumer) {
    must(stream.n > 0);
    if (stream.n + 1 + consumer.n > PATH_MAX_BYTES) return SPAN_EMPTY;
    memcpy(out, stream.p, stream.n);
    out[stream.n] = '.';
    if (consumer.n) memcpy(out + stream.n + 1, consumer.p, consumer.n);
    return span_of(out, stream.n + 1 + consumer.n);
}

/* The consumer a request names; NULL: r->err. */
static struct js_consumer *consumer_of(struct api_req *r) {
    must(r->call->names == 2);
    uint8_t buf[PATH_MAX_BYTES];
    if (!api_stream(r)) return NULL;
    struct span path = path_put(buf, r->stream, r->consumer);
    struct js_consumer *c = path.n ? js_consumer_find(r->js, path) : NULL;
    if (!c) js_fail(&r->err, JS_CONSUMER_NOT_FOUND, NULL);
    return c;
}

static void consumer_answer(struct api_req *r, struct js_consumer *c, enum api_when when) {
    must(c->engine != NULL);
    must(r->err.code == JS_OK);
    info_consumer_put(api_begin(r), c, true);
    text_lit(&r->out, "}");
    api_answer(r, when);
}

/* --- create --- */

/* Do subject and request name the same things? Fills the name that the subject gives. */
static bool names_agree(struct api_req *r, struct consumer_cfg *c) {
    must(r->stream.n > 0);
    struct js_error *e = &r->err;
    bool legacy_durable = span_starts(r->subject, SPAN_LIT("CONSUMER.DURABLE."));
    struct span name = r->consumer.n ? r->consumer : c->name;
    if (!span_eq(r->stream, c->stream_name)) return js_fail(e, JS_STREAM_MISMATCH, NULL);
    if (has_separator(name)) return js_fail(e, JS_CONSUMER_SEPARATOR, NULL);
    if (legacy_durable && c->durable.n == 0) return js_fail(e, JS_DURABLE_NOT_SET, NULL);
    if (r->consumer.n && c->durable.n && !span_eq(r->consumer, c->durable))
        return js_fail(e, JS_DURABLE_MISMATCH, NULL);
    if (r->consumer.n == 0 && c->durable.n) return js_fail(e, JS_EPHEMERAL_WITH_DURABLE, NULL);
    if (r->consumer.n) c->name = r->consumer;
    if (r->rest.n && c->filters_n) return js_fail(e, JS_FILTERS_API, NULL);
    if (r->rest.n && !span_eq(r->rest, c->filter)) return js_fail(e, JS_FILTER_MISMATCH, NULL);
    if (c->num_replicas > 1) return js_fail(e, JS_REPLICAS, NULL);
    return true;
}

/* A work queue's message has one consumer. matches nats-server: one without filters only looks at others when
 * it is new. */
static bool queue_unique(const struct js_stream *s, struct span name, const struct consumer_cfg *c,
                         struct js_error *e) {
    if (mr_stream_config(s->engine)->retention != MR_RETAIN_WORKQUEUE) return true;
    const struct span *mine = c->filters_n ? c->filters : &c->filter;
    size_t n = c->filters_n ? c->filters_n : c->filter.n > 0;
    for (const struct list *l = s->consumers.next; l != &s->consumers; l = l->next) {
        const struct js_consumer *k = container_of(l, struct js_consumer, link);
        const struct mr_consumer_config *cfg = mr_consumer_config(k->engine);
        if (span_eq(k->name, name)) continue;
        for (size_t i = 0; i < n; i++) {
            bool clash = cfg->filters_count == 0;
            for (size_t f = 0; f < cfg->filters_count && !clash; f++)
                clash = subject_overlap(mine[i], js_span(cfg->filters[f]));
            if (clash) return js_fail(e, JS_QUEUE_NOT_UNIQUE, NULL);
        }
    }
    return true;
}

/* What a new consumer of a work queue must be. */
static bool queue_takes(const struct js_stream *s, struct span name, const struct consumer_cfg *c,
                        struct js_error *e) {
    must(s->engine != NULL);
    if (mr_stream_config(s->engine)->retention != MR_RETAIN_WORKQUEUE) return true;
    if (c->ack != MR_ACK_EXPLICIT) return js_fail(e, JS_QUEUE_ACK, NULL);
    if (s->consumers_n > 0 && c->filter.n == 0 && c->filters_n == 0)
        return js_fail(e, JS_QUEUE_UNFILTERED, NULL);
    if (!queue_unique(s, name, c, e)) return false;
    return c->deliver == MR_DELIVER_ALL || js_fail(e, JS_QUEUE_DELIVER, NULL);
}

static bool room_for_one(const struct js_stream *s, struct js_error *e) {
    must(s->engine != NULL);
    int64_t most = mr_stream_config(s->engine)->max_consumers, limit = s->js->limits->max_consumers;
    if (most <= 0 || (limit > 0 && limit < most)) most = limit;
    if (most > 0 && s->consumers_n >= (size_t)most) return js_fail(e, JS_MAX_CONSUMERS, NULL);
    return true;
}

/* The engine's form of a checked configuration. */
static enum mr_status with_engine_cfg(const struct consumer_cfg *c, struct span name, struct js_stream *s,
                                      struct mr_consumer **engine) {
    must(name.n > 0 && engine);
    struct text t = {0};
    struct consumer_engine_cfg cfg = {.filters = NULL};
    enum mr_status st = MR_NOMEM;
    consumer_cfg_put(&t, c);
    if (!t.failed && consumer_cfg_engine(c, name, text_span(&t), &cfg)) {
        int64_t now = js_wall(s->js);
        st = *engine ? mr_consumer_update(*engine, &cfg.cfg, now)
                     : mr_consumer_create(s->engine, &cfg.cfg, now, engine);
    }
    consumer_engine_cfg_free(&cfg);
    text_free(&t);
    return st == MR_LATER ? MR_OK : st;
}

/* False without r->err: the engine has no room. */
static bool create_new(struct api_req *r, struct js_stream *s, const struct consumer_cfg *c,
                       struct js_consumer **out) {
    char random[NAME_LEN];
    struct span name = c->durable.n ? c->durable : c->name;
    uint8_t buf[PATH_MAX_BYTES];
    while (name.n == 0) {
        nuid_name_put(random);
        struct span path = path_put(buf, s->name, span_of(random, NAME_LEN));
        if (!js_consumer_find(r->js, path)) name = span_of(random, NAME_LEN);
    }
    if (name.n > CONSUMER_NAME_MAX) return js_fail_u64(&r->err, JS_NAME_TOO_LONG, CONSUMER_NAME_MAX);
    if (!js_name_valid(name)) return js_fail(&r->err, JS_BAD_DURABLE, NULL);
    struct mr_consumer *engine = NULL;
    must(s->engine && out);
    enum mr_status st = with_engine_cfg(c, name, s, &engine);
    if (st == MR_BUSY) return false;
    if (st != MR_OK)
        return js_fail(&r->err, st == MR_LIMIT ? JS_MAX_CONSUMERS : api_code_of(st, JS_CONSUMER_CREATE),
                       mr_status_text(st));
    if (js_consumer_adopt(s, engine, out) == ERR_OK) return true;
    if (mr_consumer_delete(engine) != MR_OK)
        log_line(r->js->host.log, LOG_ERROR,
                 "jetstream: a consumer that could not be set up could not be removed either");
    return js_fail(&r->err, JS_INSUFFICIENT_RESOURCES, NULL);
}

/* Once it is there, only a request of its own pauses it. */
static bool keep_pause(struct consumer_cfg *c, struct span extra, struct js_error *e) {
    struct consumer_cfg was;
    if (!consumer_cfg_load(&was, extra, e)) return false;
    c->pause_until = was.pause_until;
    consumer_cfg_free(&was);
    return true;
}

/* The same name again: equal is fine, different is an update unless the client insists on creating. */
static bool create_over(struct api_req *r, struct js_consumer *old, struct consumer_cfg *c) {
    struct text t = {0};
    struct span extra = js_span(mr_consumer_config(old->engine)->extra);
    if (!keep_pause(c, extra, &r->err)) return false;
    consumer_cfg_put(&t, c);
    bool same = !t.failed && span_eq(text_span(&t), extra);
    text_free(&t);
    if (!same && c->action == CONSUMER_CREATE) return js_fail(&r->err, JS_CONSUMER_EXISTS, NULL);
    if (!queue_unique(old->stream, old->name, c, &r->err)) return false;
    if (same) return true;
    struct consumer_cfg was;
    if (!consumer_cfg_load(&was, extra, &r->err)) return false;
    bool ok = consumer_cfg_check_update(&was, c, &r->err);
    bool moved = !span_eq(was.deliver_subject, c->deliver_subject);
    if (ok && moved && old->push && old->push->active) ok = js_fail(&r->err, JS_CONSUMER_NAME_EXISTS, NULL);
    consumer_cfg_free(&was);
    if (!ok) return false;
    struct mr_consumer *engine = old->engine;
    must(old->engine != NULL);
    enum mr_status st = with_engine_cfg(c, old->name, old->stream, &engine);
    if (st != MR_OK) return js_fail(&r->err, api_code_of(st, JS_CONSUMER_CREATE), mr_status_text(st));
    return js_consumer_follow(old) == ERR_OK || js_fail(&r->err, JS_INSUFFICIENT_RESOURCES, NULL);
}

static struct js_consumer *create(struct api_req *r, struct consumer_cfg *c) {
    must(r->err.code == JS_OK);
    struct js_stream *s = api_stream(r);
    struct stream_cfg sc;
    if (!s || !stream_cfg_read(&sc, js_span(mr_stream_config(s->engine)->extra), false, &r->err)) return NULL;
    bool ok = consumer_cfg_check(c, &sc, r->js->limits, &r->err);
    stream_cfg_free(&sc);
    if (!ok) return NULL;
    uint8_t buf[PATH_MAX_BYTES];
    struct span name = c->durable.n ? c->durable : c->name, path = path_put(buf, s->name, name);
    struct js_consumer *k = name.n && path.n ? js_consumer_find(r->js, path) : NULL;
    consumer_cfg_settle(c);
    if (k) return create_over(r, k, c) ? k : NULL;
    if (c->action == CONSUMER_UPDATE) {
        js_fail(&r->err, JS_CONSUMER_MISSING, NULL);
        return NULL;
    }
    bool may = room_for_one(s, &r->err) && queue_takes(s, name, c, &r->err);
    return may && create_new(r, s, c, &k) ? k : NULL;
}

void api_consumer_create(struct api_req *r) {
    must(r->call->names >= 1);
    struct consumer_cfg c;
    if (!consumer_cfg_read(&c, r->body, r->js->limits->strict, &r->err)) {
        api_fail(r);
        return;
    }
    struct js_consumer *k = names_agree(r, &c) ? create(r, &c) : NULL;
    consumer_cfg_free(&c);
    if (k) {
        consumer_answer(r, k, API_DURABLE);
        return;
    }
    if (r->err.code == JS_OK) {
        if (api_busy(r, MR_BUSY)) return;
        js_fail(&r->err, JS_INSUFFICIENT_RESOURCES, NULL);
    }
    api_fail_durable(r);
}

/* --- the rest --- */

void api_consumer_delete(struct api_req *r) {
    must(r->consumer.n > 0);
    if (!api_body_is_empty(r->body)) {
        api_fail_with(r, JS_NOT_EMPTY, NULL);
        return;
    }
    struct js_consumer *c = consumer_of(r);
    if (!c) {
        api_fail_durable(r);
        return;
    }
    enum mr_status st = mr_consumer_delete(c->engine);
    if (api_busy(r, st)) return;
    if (st != MR_OK && st != MR_LATER) {
        js_fail(&r->err, api_code_of(st, JS_STREAM_GENERAL), mr_status_text(st));
        api_fail_durable(r);
        return;
    }
    js_consumer_drop(c, 409, "Consumer Deleted");
    api_answer_success(r, API_DURABLE);
}

void api_consumer_info(struct api_req *r) {
    must(r->consumer.n > 0);
    if (!api_body_is_empty(r->body)) {
        api_fail_with(r, JS_NOT_EMPTY, NULL);
        return;
    }
    struct js_consumer *c = consumer_of(r);
    if (c)
        consumer_answer(r, c, API_DURABLE);
    else
        api_fail_durable(r);
}

static bool pause_set(struct api_req *r, struct js_consumer *k, int64_t until) {
    must(k->engine != NULL);
    struct consumer_cfg c;
    if (!consumer_cfg_load(&c, js_span(mr_consumer_config(k->engine)->extra), &r->err)) return false;
    c.pause_until = until;
    struct mr_consumer *engine = k->engine;
    enum mr_status st = with_engine_cfg(&c, k->name, k->stream, &engine);
    consumer_cfg_free(&c);
    if (st != MR_OK) return js_fail(&r->err, api_code_of(st, JS_CONSUMER_CREATE), mr_status_text(st));
    return js_consumer_follow(k) == ERR_OK || js_fail(&r->err, JS_INSUFFICIENT_RESOURCES, NULL);
}

/* No time, or one that has passed, ends the pause. */
void api_consumer_pause(struct api_req *r) {
    must(r->consumer.n > 0);
    static const struct json_field fields[] = {{"pause_until", JSON_TIME, 0, NULL, NULL}};
    static const struct json_table table = {"JSApiConsumerPauseRequest", fields, 1};
    int64_t until = GOTIME_ZERO;
    if (api_body_is_json(r->body) && !api_body(r, &table, &until)) {
        api_fail(r);
        return;
    }
    struct js_consumer *c = consumer_of(r);
    if (!c || !pause_set(r, c, until)) {
        api_fail_durable(r);
        return;
    }
    struct text *t = api_begin(r);
    int64_t left = js_consumer_paused(c);
    text_key_bool(t, "paused", left > 0);
    text_key_time(t, "pause_until", until);
    if (left > 0) text_key_i64(t, "pause_remaining", left);
    text_lit(t, "}");
    api_answer(r, API_DURABLE);
}

static int by_name(const void *a, const void *b) {
    const struct js_consumer *x = *(struct js_consumer *const *)a, *y = *(struct js_consumer *const *)b;
    int r = memcmp(x->name.p, y->name.p, x->name.n < y->name.n ? x->name.n : y->name.n);
    return r ? r : x->name.n < y->name.n ? -1 : x->name.n > y->name.n;
}

/* Sorted; the caller frees. */
static struct js_consumer **consumers_sorted(const struct js_stream *s) {
    struct js_consumer **all = calloc(s->consumers_n + 1, sizeof(struct js_consumer *));
    if (!all) return NULL;
    size_t n = 0;
    for (const struct list *l = s->consumers.next; l != &s->consumers; l = l->next)
        all[n++] = container_of(l, struct js_consumer, link);
    must(n == s->consumers_n);
    qsort(all, n, sizeof(struct js_consumer *), by_name);
    return all;
}

static bool offset_get(struct api_req *r, uint64_t *offset) {
    must(offset != NULL);
    static const struct json_field fields[] = {{"offset", JSON_I64, 0, NULL, NULL}};
    static const struct json_table table = {"JSApiConsumersRequest", fields, 1};
    int64_t v = 0;
    *offset = 0;
    if (!api_body_is_json(r->body)) return true;
    if (!api_body(r, &table, &v)) return false;
    *offset = v > 0 ? (uint64_t)v : 0;
    return true;
}

static void page(struct api_req *r, size_t limit, void (*put)(struct text *t, struct js_consumer *c)) {
    must(limit > 0 && put);
    uint64_t offset;
    struct js_stream *s = offset_get(r, &offset) ? api_stream(r) : NULL;
    struct js_consumer **all = s ? consumers_sorted(s) : NULL;
    if (!all) {
        if (s) js_fail(&r->err, JS_INSUFFICIENT_RESOURCES, NULL);
        api_fail_durable(r);
        return;
    }
    if (offset > s->consumers_n) offset = s->consumers_n;
    struct text *t = api_begin(r);
    text_key_u64(t, "total", s->consumers_n);
    text_key_u64(t, "offset", offset);
    text_key_u64(t, "limit", limit);
    text_key(t, "consumers");
    text_lit(t, "[");
    for (size_t i = offset; i < s->consumers_n && i < offset + limit; i++) {
        text_item(t);
        put(t, all[i]);
    }
    text_lit(t, "]}");
    free(all);
    api_answer(r, API_DURABLE);
}

static void put_name(struct text *t, struct js_consumer *c) { text_str(t, c->name); }

static void put_info(struct text *t, struct js_consumer *c) {
    must(c->stream != NULL);
    text_lit(t, "{");
    info_consumer_put(t, c, false);
    text_lit(t, "}");
}

void api_consumer_names(struct api_req *r) { page(r, NAMES_LIMIT, put_name); }
void api_consumer_list(struct api_req *r) { page(r, LIST_LIMIT, put_info); }
