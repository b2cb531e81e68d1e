/* api_stream.c - requests about one stream. What changes the directory runs on shard 0 first, which checks
 * the configuration, reserves name and subjects and hands on to the stream's shard; that applies, tells every
 * shard, and answers once it is durable and routed everywhere. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"
#include "jetstream/api.h"
#include "jetstream/codec_stream.h"
#include "jetstream/info.h"
#include "wire/json.h"

static bool has_separator(struct span s) { return s.n && (memchr(s.p, '/', s.n) || memchr(s.p, '\\', s.n)); }

static void stream_answer(struct api_req *r, struct js_stream *s, bool created, enum api_when when) {
    must(s->engine != NULL);
    must(r->err.code == JS_OK);
    struct text *t = api_begin(r);
    info_stream_put(t, s, true, NULL);
    text_key_time(t, "ts", js_wall(r->js));
    if (created) text_key_bool(t, "did_create", true);
    text_lit(t, "}");
    api_answer(r, when);
}

/* --- create --- */

static bool limits_ok(const struct js *js, const struct stream_cfg *c, int64_t extra, struct js_error *e) {
    must(js->host.self == 0);
    const struct js_limits *l = js->limits;
    int64_t bytes = c->max_bytes > 0 ? c->max_bytes : 0;
    if (extra >= 0) bytes = extra;
    bool memory = c->storage == MR_MEMORY;
    int64_t max = memory ? l->max_memory : l->max_store;
    int64_t reserved = memory ? js->dir.reserved_memory : js->dir.reserved_storage;
    if (max >= 0 && bytes > max - reserved) return js_fail(e, memory ? JS_NO_MEMORY : JS_NO_STORAGE, NULL);
    return true;
}

/* What CREATE checks before it looks at the configuration itself. */
static bool create_ok(const struct api_req *r, const struct stream_cfg *c, struct js_error *e) {
    const struct js *js = r->js;
    must(r->js->host.self == 0);
    if (!span_eq(c->name, r->stream)) return js_fail(e, JS_STREAM_MISMATCH, NULL);
    if (has_separator(r->stream)) return js_fail(e, JS_STREAM_SEPARATOR, NULL);
    if (c->sealed) return js_fail(e, JS_STREAM_CONFIG, "stream configuration for create can not be sealed");
    if (c->mirror_direct && !c->mirror)
        return js_fail(e, JS_STREAM_CONFIG, "stream has no mirror but does have mirror direct");
    if (js->limits->max_streams > 0 && js->dir.listed >= (size_t)js->limits->max_streams)
        return js_fail(e, JS_MAX_STREAMS, NULL);
    return limits_ok(js, c, -1, e);
}

static bool cfg_take(struct api_req *r, struct stream_cfg *c) {
    must(r->err.code == JS_OK);
    return stream_cfg_read(c, r->body, r->js->limits->strict, &r->err);
}

/* Shard 0: takes name and subjects; *shard is where the stream will be, *incarnation 0 when it exists. */
static bool reserve(struct js *js, const struct stream_cfg *c, unsigned *shard, uint64_t *incarnation,
                    struct js_error *e) {
    must(js->host.self == 0);
    must(c->name.n > 0 && c->subjects_n > 0);
    struct dir_entry *entry = directory_find(&js->dir, c->name);
    *incarnation = 0;
    if (entry && entry->state != DIR_LEAVING) {
        *shard = entry->shard;
        return true;
    }
    if (directory_overlaps(&js->dir, entry, c->subjects, c->subjects_n))
        return js_fail(e, JS_SUBJECT_OVERLAP, NULL);
    uint64_t number = ++js->next_incarnation * DIR_SHARDS_MAX;
    uint32_t place =
        entry ? entry->shard : directory_pick(&js->dir, js->host.shards, c->storage == MR_MEMORY);
    if (place == js->host.shards) return js_fail(e, JS_STREAM_CREATE, mr_status_text(MR_FAILED));
    struct dir_entry *fresh = entry ? entry : directory_add(&js->dir, c->name, place, number);
    if (!fresh || directory_subjects(fresh, c->subjects, c->subjects_n) != ERR_OK) {
        if (fresh && !entry) directory_remove(&js->dir, fresh);
        return js_fail(e, JS_INSUFFICIENT_RESOURCES, NULL);
    }
    fresh->incarnation = number;
    directory_move(&js->dir, fresh, DIR_RESERVED);
    directory_reserve(&js->dir, fresh, c->storage == MR_MEMORY, c->max_bytes);
    *shard = fresh->shard;
    *incarnation = number;
    return true;
}

void api_stream_create(struct api_req *r) {
    must(r->js->host.self == 0);
    struct stream_cfg c;
    unsigned shard = 0;
    uint64_t incarnation = 0;
    if (!cfg_take(r, &c)) {
        api_fail(r);
        return;
    }
    bool ok = create_ok(r, &c, &r->err) && stream_cfg_check(&c, r->js->limits, &r->err);
    if (ok && c.num_replicas > 1) ok = js_fail(&r->err, JS_REPLICAS, NULL);
    if (ok) ok = reserve(r->js, &c, &shard, &incarnation, &r->err);
    r->memory = c.storage == MR_MEMORY;
    stream_cfg_free(&c);
    if (ok)
        api_forward(r, shard, API_APPLY, incarnation);
    else
        api_fail(r);
}

/* The same name again: equal configurations are one stream. */
static void create_same(struct api_req *r, struct js_stream *s, const struct stream_cfg *c) {
    must(span_eq(s->name, c->name));
    struct text t = {0};
    stream_cfg_put(&t, c);
    bool same = !t.failed && span_eq(text_span(&t), js_span(mr_stream_config(s->engine)->extra));
    text_free(&t);
    if (same) {
        stream_answer(r, s, true, API_DURABLE);
        return;
    }
    js_fail(&r->err, JS_STREAM_EXISTS, NULL);
    api_fail_durable(r);
}

void api_stream_take_back(struct api_req *r) {
    must(r->step == API_APPLY);
    struct js_stream *s = js_stream_find(r->js, r->stream);
    if (r->incarnation)
        cast_stream_remove(r->js, r->stream, r->incarnation);
    else if (s)
        cast_stream_add(s);
}

static enum mr_status create_engine(struct js *js, const struct stream_cfg *c, struct mr_stream **engine) {
    must(js->engine && c->name.n > 0);
    struct text t = {0};
    struct stream_engine_cfg cfg = {.subjects = NULL};
    enum mr_status st = MR_NOMEM;
    stream_cfg_put(&t, c);
    if (!t.failed && stream_cfg_engine(c, text_span(&t), &cfg))
        st = mr_stream_create(js->engine, &cfg.cfg, js_wall(js), engine);
    stream_engine_cfg_free(&cfg);
    text_free(&t);
    return st == MR_LATER ? MR_OK : st;
}

/* No log of this shard works any more: another shard is to have the stream. Shard 0 learns it first, so this
 * happens once a shard. */
static void create_elsewhere(struct api_req *r) {
    must(!r->memory);
    cast_failed(r->js);
    api_stream_take_back(r);
    api_forward(r, 0, API_RUN, 0);
}

static void create_new(struct api_req *r, const struct stream_cfg *c) {
    must(r->incarnation != 0);
    struct js *js = r->js;
    struct mr_stream *engine = NULL;
    struct js_stream *s;
    enum mr_status st = create_engine(js, c, &engine);
    if (api_busy(r, st)) return;
    if (st == MR_FAILED) {
        create_elsewhere(r);
        return;
    }
    if (st != MR_OK) {
        js_fail(&r->err, st == MR_EXISTS ? JS_STREAM_EXISTS : api_code_of(st, JS_STREAM_CREATE),
                mr_status_text(st));
    } else if (js_stream_adopt(js, engine, r->incarnation, &s) == ERR_OK) {
        r->announce = r->incarnation;
        stream_answer(r, s, true, API_ROUTED);
        return;
    } else {
        js_fail(&r->err, JS_INSUFFICIENT_RESOURCES, NULL);
        if (mr_stream_delete(engine) != MR_OK)
            log_line(js->host.log, LOG_ERROR,
                     "jetstream: a stream that could not be set up could not be removed either");
    }
    api_stream_take_back(r);
    api_fail(r);
}

void api_stream_create_apply(struct api_req *r) {
    must(r->announce == 0);
    struct stream_cfg c;
    struct js_stream *s = js_stream_find(r->js, r->stream);
    if (!cfg_take(r, &c) || !stream_cfg_check(&c, r->js->limits, &r->err)) {
        if (r->incarnation) api_stream_take_back(r);
        api_fail(r);
    } else if (s) {
        create_same(r, s, &c);
    } else if (r->incarnation == 0) {
        /* Its create failed or its delete was quicker: the client may simply ask again. */
        api_fail_with(r, JS_STREAM_NOT_FOUND, NULL);
    } else {
        create_new(r, &c);
    }
    stream_cfg_free(&c);
}

/* --- update --- */

/* Shard 0: the subjects of the old and the new configuration are both reserved until the stream's shard has
 * decided. */
static bool reserve_more(struct js *js, struct dir_entry *e, const struct stream_cfg *c,
                         struct js_error *err) {
    must(js->host.self == 0);
    must(e->state != DIR_LEAVING);
    if (directory_overlaps(&js->dir, e, c->subjects, c->subjects_n))
        return js_fail(err, JS_SUBJECT_OVERLAP, NULL);
    size_t n = e->subjects_n + c->subjects_n;
    struct span *both = calloc(n + 1, sizeof *both);
    if (!both) return js_fail(err, JS_INSUFFICIENT_RESOURCES, NULL);
    for (size_t i = 0; i < e->subjects_n; i++) both[i] = e->subjects[i];
    for (size_t i = 0; i < c->subjects_n; i++) both[e->subjects_n + i] = c->subjects[i];
    enum err r = directory_subjects(e, both, n);
    free(both);
    return r == ERR_OK || js_fail(err, JS_INSUFFICIENT_RESOURCES, NULL);
}

void api_stream_update(struct api_req *r) {
    struct js *js = r->js;
    must(r->js->host.self == 0);
    struct stream_cfg c;
    if (!cfg_take(r, &c)) {
        api_fail(r);
        return;
    }
    struct dir_entry *e = directory_find(&js->dir, r->stream);
    bool ok = stream_cfg_check(&c, js->limits, &r->err);
    if (ok && !span_eq(c.name, r->stream)) ok = js_fail(&r->err, JS_STREAM_MISMATCH, NULL);
    if (ok && (!e || e->state == DIR_LEAVING)) ok = js_fail(&r->err, JS_STREAM_NOT_FOUND, NULL);
    if (ok) {
        int64_t more = (c.max_bytes > 0 ? c.max_bytes : 0) - e->max_bytes;
        ok = limits_ok(js, &c, more > 0 ? more : 0, &r->err) && reserve_more(js, e, &c, &r->err);
    }
    stream_cfg_free(&c);
    if (ok)
        api_forward(r, e->shard, API_APPLY, 0);
    else
        api_fail(r);
}

static bool consumers_allow(const struct js_stream *s, const struct stream_cfg *old,
                            const struct stream_cfg *c, struct js_error *e) {
    int64_t inactive = c->limit_inactive_threshold, pending = c->limit_max_ack_pending;
    if ((inactive <= 0 || inactive == old->limit_inactive_threshold) &&
        (pending <= 0 || pending == old->limit_max_ack_pending))
        return true;
    char names[400] = "";
    size_t n = 0;
    for (const struct list *l = s->consumers.next; l != &s->consumers; l = l->next) {
        const struct js_consumer *k = container_of(l, struct js_consumer, link);
        const struct mr_consumer_config *cfg = mr_consumer_config(k->engine);
        bool bad = (inactive > 0 && cfg->inactive_threshold_ns > inactive) ||
                   (pending > 0 && cfg->max_ack_pending > pending);
        if (!bad || n + k->name.n + 3 > sizeof names) continue;
        int put = snprintf(names + n, sizeof names - n, "%s%.*s", n ? ", " : "", (int)k->name.n, k->name.p);
        n += put > 0 ? (size_t)put : 0;
    }
    return n == 0 ||
           js_failf(e, JS_STREAM_UPDATE, "change to limits violates consumers: %.*s", (int)n, names);
}

static bool update_here(struct js_stream *s, struct stream_cfg *c, struct js_error *e) {
    must(span_eq(s->name, c->name));
    struct js *js = s->js;
    struct stream_cfg old;
    if (!stream_cfg_read(&old, js_span(mr_stream_config(s->engine)->extra), false, e)) return false;
    bool ok = stream_cfg_check_update(&old, c, e) && consumers_allow(s, &old, c, e);
    c->first_seq = old.first_seq; /* what it began with stays */
    stream_cfg_free(&old);
    if (!ok) return false;
    struct text t = {0};
    struct stream_engine_cfg cfg = {.subjects = NULL};
    enum mr_status st = MR_NOMEM;
    stream_cfg_put(&t, c);
    if (!t.failed && stream_cfg_engine(c, text_span(&t), &cfg))
        st = mr_stream_update(s->engine, &cfg.cfg, js_wall(js));
    stream_engine_cfg_free(&cfg);
    text_free(&t);
    if (st != MR_OK && st != MR_LATER)
        return js_fail(e, api_code_of(st, JS_STREAM_UPDATE), mr_status_text(st));
    return js_stream_follow(s) == ERR_OK || js_fail(e, JS_INSUFFICIENT_RESOURCES, NULL);
}

void api_stream_update_apply(struct api_req *r) {
    must(r->announce == 0);
    struct js_stream *s = api_stream(r);
    struct stream_cfg c = {0};
    bool ok =
        s && cfg_take(r, &c) && stream_cfg_check(&c, r->js->limits, &r->err) && update_here(s, &c, &r->err);
    stream_cfg_free(&c);
    if (s && !ok) cast_stream_add(s); /* shard 0 takes the reservation back */
    if (!ok) {
        api_fail_durable(r);
        return;
    }
    r->announce = s->incarnation;
    stream_answer(r, s, false, API_ROUTED);
}

/* --- delete --- */

void api_stream_delete(struct api_req *r) {
    struct js *js = r->js;
    must(r->js->host.self == 0);
    if (!api_body_is_empty(r->body)) {
        api_fail_with(r, JS_NOT_EMPTY, NULL);
        return;
    }
    struct dir_entry *e = directory_find(&js->dir, r->stream);
    if (!e || e->state == DIR_LEAVING) {
        api_fail_with(r, JS_STREAM_NOT_FOUND, NULL);
        return;
    }
    directory_move(&js->dir, e, DIR_LEAVING);
    api_forward(r, e->shard, API_APPLY, 0);
}

/* Reads that wait for the disk must not outlive their stream. */
static void end_reads(struct js *js, struct span name) {
    must(name.n > 0);
    must(!js_stream_find(js, name));
    list_each(l, tmp, &js->api_inflight) {
        struct api_req *r = container_of(l, struct api_req, link);
        if (!r->resume || !span_eq(r->stream, name)) continue;
        mr_wait_cancel(&r->wait);
        api_resume(r);
    }
}

void api_stream_delete_apply(struct api_req *r) {
    must(r->gone.n == 0);
    struct js *js = r->js;
    struct js_stream *s = api_stream(r);
    if (!s) {
        api_fail(r);
        return;
    }
    struct mr_stream *engine = s->engine;
    enum mr_status st = mr_stream_delete(engine);
    if (api_busy(r, st)) return;
    if (st != MR_OK && st != MR_LATER) {
        cast_stream_add(s);
        js_fail(&r->err, api_code_of(st, JS_STREAM_DELETE), mr_status_text(st));
        api_fail_durable(r);
        return;
    }
    uint64_t incarnation = s->incarnation;
    r->volatile_only = s->stalls_in == STALL_MEMORY;
    js_stream_drop(s);
    end_reads(js, r->stream);
    r->gone = r->stream;
    r->announce = incarnation;
    api_answer_success(r, API_ROUTED);
}

/* --- info and purge --- */

struct info_body {
    bool deleted_details;
    struct span subjects_filter; /* into a doc that is gone: see below */
    int64_t offset;
};

/* Reads the body; the filter is copied, for it outlives the document. */
static bool info_ask_get(struct api_req *r, struct info_ask *ask, uint8_t *filter, size_t room) {
    must(room >= JS_REPLY_MAX);
    struct json_err je;
    if (!api_body_is_json(r->body)) return true;
    static const struct json_field fields[] = {
        {"offset", JSON_I64, offsetof(struct info_body, offset), NULL, NULL},
        {"deleted_details", JSON_BOOL, offsetof(struct info_body, deleted_details), NULL, NULL},
        {"subjects_filter", JSON_STR, offsetof(struct info_body, subjects_filter), NULL, NULL},
    };
    static const struct json_table table = {"JSApiStreamInfoRequest", fields, 3};
    struct info_body b = {0};
    yyjson_doc *doc = js_json_read(r->body, table.go_type, &je);
    bool ok = doc && json_decode(yyjson_doc_get_root(doc), &table, r->js->limits->strict, &b, &je);
    if (ok && b.subjects_filter.n <= room) {
        if (b.subjects_filter.n) memcpy(filter, b.subjects_filter.p, b.subjects_filter.n);
        ask->subjects = span_of(filter, b.subjects_filter.n);
    }
    ask->deleted = b.deleted_details;
    ask->offset = b.offset > 0 ? (uint64_t)b.offset : 0;
    yyjson_doc_free(doc);
    return ok || js_fail(&r->err, JS_INVALID_JSON, je.text);
}

void api_stream_info(struct api_req *r) {
    must(r->stream.n > 0);
    struct js *js = r->js;
    struct info_ask ask = {0};
    uint8_t filter[JS_REPLY_MAX];
    struct js_stream *s = info_ask_get(r, &ask, filter, sizeof filter) ? api_stream(r) : NULL;
    if (!s) {
        api_fail(r);
        return;
    }
    uint64_t total = ask.subjects.n ? info_subjects_count(s, ask.subjects) : 0;
    if (ask.offset > total) ask.offset = total;
    struct text *t = api_begin(r);
    text_key_u64(t, "total", total);
    text_key_u64(t, "offset", total ? ask.offset : 0);
    text_key_u64(t, "limit", total ? INFO_SUBJECTS_MAX : 0);
    info_stream_put(t, s, true, &ask);
    text_key(t, "cluster");
    text_lit(t, "{");
    text_key_str(t, "leader", span_str(js->limits->server_name));
    text_lit(t, "}");
    text_key_time(t, "ts", js_wall(js));
    text_lit(t, "}");
    api_answer(r, API_DURABLE);
}

struct purge_body {
    uint64_t seq, keep;
    struct span filter;
};

static bool purge_allowed(const struct js_stream *s, struct js_error *e) {
    must(s->engine != NULL);
    const struct mr_stream_config *cfg = mr_stream_config(s->engine);
    if (cfg->sealed) return js_fail(e, JS_SEALED, NULL);
    if (cfg->deny_purge) return js_fail(e, JS_PURGE_FAILED, "stream purge not permitted");
    return true;
}

static void purge(struct api_req *r, struct js_stream *s, const struct purge_body *b) {
    uint64_t purged = 0;
    enum mr_status st = mr_purge(s->engine, js_bytes(b->filter), b->seq, b->keep, &purged);
    if (api_busy(r, st)) return;
    if (st != MR_OK && st != MR_LATER) {
        js_fail(&r->err, api_code_of(st, JS_STREAM_GENERAL), mr_status_text(st));
        api_fail(r);
        return;
    }
    struct text *t = api_begin(r);
    text_lit(t, ",\"success\":true");
    text_key_u64(t, "purged", purged);
    text_lit(t, "}");
    api_answer(r, API_DURABLE);
}

void api_stream_purge(struct api_req *r) {
    must(r->stream.n > 0);
    static const struct json_field fields[] = {
        {"seq", JSON_U64, offsetof(struct purge_body, seq), NULL, NULL},
        {"filter", JSON_STR, offsetof(struct purge_body, filter), NULL, NULL},
        {"keep", JSON_U64, offsetof(struct purge_body, keep), NULL, NULL},
    };
    static const struct json_table table = {"JSApiStreamPurgeRequest", fields, 3};
    struct purge_body b = {0};
    struct json_err je;
    yyjson_doc *doc = NULL;
    bool ok = true;
    if (api_body_is_json(r->body)) {
        doc = js_json_read(r->body, table.go_type, &je);
        ok = doc && json_decode(yyjson_doc_get_root(doc), &table, r->js->limits->strict, &b, &je);
        if (!ok) js_fail(&r->err, JS_INVALID_JSON, je.text);
        if (ok && b.seq && b.keep) ok = js_fail(&r->err, JS_BAD_REQUEST, NULL);
    }
    struct js_stream *s = ok ? api_stream(r) : NULL;
    if (s && purge_allowed(s, &r->err))
        purge(r, s, &b);
    else
        api_fail(r);
    yyjson_doc_free(doc);
}
