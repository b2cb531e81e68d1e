/* codec_stream.c - see codec_stream.h. Happy path: read, fill defaults, check, write the canonical text. What
 * fails is the client's configuration; the answer is the first text nats-server would give. */
#include "jetstream/codec_stream.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"
#include "subject/subject.h"
#include "wire/gotime.h"

static const char *const retention_names[] = {"limits", "interest", "workqueue", NULL};
static const char *const discard_names[] = {"old", "new", NULL};
static const char *const storage_names[] = {"file", "memory", NULL};
static const char *const compression_names[] = {"none", "s2", NULL};
static const char *const persist_names[] = {"default", "async", NULL};
static_must(MR_RETAIN_WORKQUEUE == 2);
static_must(MR_DISCARD_NEW == 1);
static_must(MR_MEMORY == 1);

#define F(key, kind, member)                                                                                 \
    { key, JSON_##kind, offsetof(struct stream_cfg, member), NULL, NULL }
#define E(key, member, names)                                                                                \
    { key, JSON_ENUM, offsetof(struct stream_cfg, member), names, NULL }
#define N(key, member, go_type)                                                                              \
    { key, JSON_I64, offsetof(struct stream_cfg, member), NULL, go_type }
static const struct json_field stream_fields[] = {
    F("name", STR, name),
    F("description", STR, description),
    F("subjects", STRINGS, subjects_val),
    E("retention", retention, retention_names),
    N("max_consumers", max_consumers, "int"),
    F("max_msgs", I64, max_msgs),
    F("max_bytes", I64, max_bytes),
    N("max_age", max_age, "time.Duration"),
    F("max_msgs_per_subject", I64, max_msgs_per_subject),
    F("max_msg_size", I32, max_msg_size),
    E("discard", discard, discard_names),
    E("storage", storage, storage_names),
    N("num_replicas", num_replicas, "int"),
    F("no_ack", BOOL, no_ack),
    N("duplicate_window", duplicate_window, "time.Duration"),
    F("placement", OBJECT, placement),
    F("mirror", OBJECT, mirror),
    F("sources", ARRAY, sources),
    E("compression", compression, compression_names),
    F("first_seq", U64, first_seq),
    F("subject_transform", OBJECT, subject_transform),
    F("republish", OBJECT, republish),
    F("allow_direct", BOOL, allow_direct),
    F("mirror_direct", BOOL, mirror_direct),
    F("discard_new_per_subject", BOOL, discard_new_per_subject),
    F("sealed", BOOL, sealed),
    F("deny_delete", BOOL, deny_delete),
    F("deny_purge", BOOL, deny_purge),
    F("allow_rollup_hdrs", BOOL, allow_rollup),
    F("consumer_limits", OBJECT, consumer_limits),
    F("allow_msg_ttl", BOOL, allow_msg_ttl),
    N("subject_delete_marker_ttl", subject_delete_marker_ttl, "time.Duration"),
    F("allow_msg_counter", BOOL, allow_msg_counter),
    F("allow_atomic", BOOL, allow_atomic),
    F("allow_msg_schedules", BOOL, allow_msg_schedules),
    E("persist_mode", persist_mode, persist_names),
    F("allow_batched", BOOL, allow_batched),
    F("metadata", STRMAP, metadata),
    F("pedantic", BOOL, pedantic),
};
static const struct json_field limits_fields[] = {
    N("inactive_threshold", limit_inactive_threshold, "time.Duration"),
    N("max_ack_pending", limit_max_ack_pending, "int"),
};
#undef F
#undef E
#undef N

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
static const struct json_table stream_table = {"StreamConfigRequest.StreamConfig", stream_fields,
                                               COUNT(stream_fields)};
static const struct json_table limits_table = {"StreamConfigRequest.StreamConfig.consumer_limits",
                                               limits_fields, COUNT(limits_fields)};

yyjson_doc *js_json_read(struct span body, const char *go_type, struct json_err *e) {
    must(go_type && e);
    const struct json_table any = {go_type, NULL, 0};
    yyjson_doc *doc = json_read(body, JSON_DEPTH_MAX, e);
    if (doc && json_decode(yyjson_doc_get_root(doc), &any, false, e, e)) return doc;
    yyjson_doc_free(doc);
    if (doc) return NULL;
    if (strcmp(e->text, "unexpected end of JSON input") == 0) {
        (void)snprintf(e->text, sizeof e->text, "unexpected EOF");
    } else if (e->offset) {
        /* A stream goes on behind its first value and finds no second one. */
        char *more = strstr(e->text, " after top-level value");
        size_t n = more ? (size_t)(more - e->text) : strlen(e->text);
        (void)snprintf(e->text + n, sizeof e->text - n, "%s at offset %zu",
                       more ? " looking for beginning of value" : "", e->offset);
    }
    return NULL;
}

static struct span val_span(yyjson_val *v) { return span_of(yyjson_get_str(v), yyjson_get_len(v)); }

static bool subjects_take(struct stream_cfg *c) {
    size_t n = c->subjects_val ? yyjson_arr_size(c->subjects_val) : 0;
    if (n == 0) return true;
    c->subjects = calloc(n, sizeof *c->subjects);
    if (!c->subjects) return false;
    yyjson_arr_iter it = yyjson_arr_iter_with(c->subjects_val);
    for (yyjson_val *v; (v = yyjson_arr_iter_next(&it));) c->subjects[c->subjects_n++] = val_span(v);
    must(c->subjects_n == n);
    return true;
}

bool stream_cfg_read(struct stream_cfg *c, struct span body, bool strict, struct js_error *e) {
    must(c && e);
    struct json_err je = {{0}};
    *c = (struct stream_cfg){0};
    if (body.n == 0) return true;
    c->doc = js_json_read(body, "StreamConfigRequest", &je);
    if (!c->doc) return js_fail(e, JS_INVALID_JSON, je.text);
    yyjson_val *root = yyjson_doc_get_root(c->doc);
    bool ok = json_decode(root, &stream_table, strict, c, &je) &&
              (!c->consumer_limits || json_decode(c->consumer_limits, &limits_table, strict, c, &je));
    if (!ok) {
        stream_cfg_free(c);
        return js_fail(e, JS_INVALID_JSON, je.text);
    }
    if (!subjects_take(c)) {
        stream_cfg_free(c);
        return js_fail(e, JS_INSUFFICIENT_RESOURCES, NULL);
    }
    return true;
}

void stream_cfg_free(struct stream_cfg *c) {
    free(c->subjects);
    yyjson_doc_free(c->doc);
    *c = (struct stream_cfg){0};
}

bool js_name_valid(struct span name) {
    if (name.n == 0) return false;
    for (size_t i = 0; i < name.n; i++)
        if (name.p[i] == 0 || memchr(" \t\r\n\f.*>\\/", name.p[i], 10)) return false;
    return true;
}

size_t js_metadata_size(yyjson_val *metadata) {
    size_t n = 0;
    yyjson_obj_iter it = yyjson_obj_iter_with(metadata);
    for (yyjson_val *k; (k = yyjson_obj_iter_next(&it));)
        n += yyjson_get_len(k) + yyjson_get_len(yyjson_obj_iter_get_val(k));
    return n;
}

/* 0 and anything below -1 mean "no limit". */
static bool limit_settle(int64_t *v, const char *name, bool pedantic, struct js_error *e) {
    must(name != NULL);
    if (*v > 0 || *v == -1) return true;
    if (pedantic && *v < -1) return js_failf(e, JS_PEDANTIC, "%s must be set to -1", name);
    *v = -1;
    return true;
}

static bool check_text(const struct stream_cfg *c, struct js_error *e) {
    if (!js_name_valid(c->name))
        return js_fail(e, JS_STREAM_CONFIG,
                       "stream name is required and can not contain '.', '*', '>', '\\', '/'");
    if (c->name.n > STREAM_NAME_MAX)
        return js_failf(e, JS_STREAM_CONFIG, "stream name is too long, maximum allowed is %d",
                        STREAM_NAME_MAX);
    if (c->description.n > STREAM_DESCRIPTION_MAX)
        return js_failf(e, JS_STREAM_CONFIG, "stream description is too long, maximum allowed is %d",
                        STREAM_DESCRIPTION_MAX);
    if (c->metadata && js_metadata_size(c->metadata) > JS_METADATA_MAX)
        return js_failf(e, JS_STREAM_CONFIG, "stream metadata exceeds maximum size of %d bytes",
                        JS_METADATA_MAX);
    return true;
}

static bool check_limits(struct stream_cfg *c, struct js_error *e) {
    must(c->name.n > 0);
    if (c->num_replicas == 0) c->num_replicas = 1;
    if (c->num_replicas > 5) return js_fail(e, JS_STREAM_CONFIG, "maximum replicas is 5");
    if (c->num_replicas < 0) return js_fail(e, JS_NEGATIVE_REPLICAS, NULL);
    int64_t msg_size = c->max_msg_size;
    bool ok = limit_settle(&c->max_msgs, "max_msgs", c->pedantic, e) &&
              limit_settle(&c->max_msgs_per_subject, "max_msgs_per_subject", c->pedantic, e) &&
              limit_settle(&c->max_bytes, "max_bytes", c->pedantic, e) &&
              limit_settle(&msg_size, "max_msg_size", c->pedantic, e) &&
              limit_settle(&c->max_consumers, "max_consumers", c->pedantic, e);
    c->max_msg_size = (int32_t)msg_size;
    if (!ok) return false;
    if (c->max_age < 0) return js_fail(e, JS_STREAM_CONFIG, "max age can not be negative");
    if (c->max_age != 0 && c->max_age < 100000000)
        return js_fail(e, JS_STREAM_CONFIG, "max age needs to be >= 100ms");
    return true;
}

static bool window_settle(struct stream_cfg *c, int64_t limit, struct js_error *e) {
    must(c->max_age >= 0);
    if (c->duplicate_window != 0 || c->mirror || yyjson_arr_size(c->sources) > 0) return true;
    int64_t window = INT64_C(120000000000);
    if (limit > 0 && window > limit) {
        if (c->pedantic)
            return js_fail(e, JS_PEDANTIC, "duplicate window limits are higher than current limits");
        window = limit;
    }
    if (c->max_age != 0 && c->max_age < window) {
        if (c->pedantic) return js_fail(e, JS_PEDANTIC, "duplicate window cannot be bigger than max age");
        window = c->max_age;
    }
    c->duplicate_window = window;
    return true;
}

static bool check_window(struct stream_cfg *c, int64_t limit, struct js_error *e) {
    must(c->max_age >= 0);
    if (!window_settle(c, limit, e)) return false;
    if (c->duplicate_window < 0) return js_fail(e, JS_STREAM_CONFIG, "duplicates window can not be negative");
    if (c->max_age != 0 && c->duplicate_window > c->max_age)
        return js_fail(e, JS_STREAM_CONFIG, "duplicates window can not be larger then max age");
    if (limit > 0 && c->duplicate_window > limit) {
        char text[GODURATION_TEXT_MAX];
        size_t n = goduration_put(text, limit);
        return js_failf(e, JS_STREAM_CONFIG, "duplicates window can not be larger then server limit of %.*s",
                        (int)n, text);
    }
    if (c->duplicate_window > 0 && c->duplicate_window < 100000000)
        return js_fail(e, JS_STREAM_CONFIG, "duplicates window needs to be >= 100ms");
    return true;
}

static bool check_policies(const struct stream_cfg *c, struct js_error *e) {
    must(c->num_replicas > 0);
    if (c->deny_purge && c->allow_rollup)
        return js_fail(e, JS_STREAM_CONFIG, "roll-ups require the purge permission");
    if (c->discard_new_per_subject) {
        if (c->discard != MR_DISCARD_NEW)
            return js_fail(e, JS_STREAM_CONFIG,
                           "discard new per subject requires discard new policy to be set");
        if (c->max_msgs_per_subject <= 0)
            return js_fail(e, JS_STREAM_CONFIG, "discard new per subject requires max msgs per subject > 0");
    }
    if (c->subject_delete_marker_ttl < 0)
        return js_fail(e, JS_STREAM_CONFIG, "subject delete marker TTL must not be negative");
    if (c->subject_delete_marker_ttl > 0 && c->subject_delete_marker_ttl < 1000000000)
        return js_fail(e, JS_STREAM_CONFIG, "subject delete marker TTL must be at least 1 second");
    if (c->first_seq > MR_FIRST_SEQ_MAX)
        return js_fail(e, JS_STREAM_CONFIG, "first sequence is too large"); /* nats-server lets it wrap */
    return true;
}

static bool check_reserved(struct span s, struct js_error *e) {
    must(subject_valid(s));
    static const char *const spaces[] = {"$JS.>", "$JSC.>", "$NRG.>"};
    for (size_t i = 0; i < COUNT(spaces); i++)
        if (subject_overlap(s, span_str(spaces[i])) && !subject_subset(s, SPAN_LIT("$JS.EVENT.>")))
            return js_fail(e, JS_STREAM_CONFIG,
                           "subjects that overlap with jetstream api require no-ack to be true");
    if (subject_overlap(s, SPAN_LIT("$SYS.>")) && !subject_subset(s, SPAN_LIT("$SYS.ACCOUNT.>")))
        return js_fail(e, JS_STREAM_CONFIG,
                       "subjects that overlap with system api require no-ack to be true");
    return true;
}

static bool check_subjects(struct stream_cfg *c, struct js_error *e) {
    must(c->name.n > 0);
    if (c->subjects_n > STREAM_SUBJECTS_MAX)
        return js_failf(e, JS_STREAM_CONFIG, "more than %d subjects are not supported by this server",
                        STREAM_SUBJECTS_MAX);
    if (c->subjects_n == 0 && !c->mirror && yyjson_arr_size(c->sources) == 0) {
        c->subjects = calloc(1, sizeof *c->subjects);
        if (!c->subjects) return js_fail(e, JS_INSUFFICIENT_RESOURCES, NULL);
        c->subjects[c->subjects_n++] = c->name;
        return true;
    }
    for (size_t i = 0; i < c->subjects_n; i++) {
        struct span s = c->subjects[i];
        if (!subject_valid(s)) return js_fail(e, JS_STREAM_CONFIG, "invalid subject");
        if (s.n == 1 && s.p[0] == '>') {
            if (!c->no_ack)
                return js_fail(e, JS_STREAM_CONFIG, "capturing all subjects requires no-ack to be true");
            if (c->num_replicas != 1)
                return js_fail(e, JS_STREAM_CONFIG, "capturing all subjects requires replicas of 1");
        }
        if (!c->no_ack && !check_reserved(s, e)) return false;
        for (size_t k = i + 1; k < c->subjects_n; k++)
            if (subject_overlap(c->subjects[k], s))
                return js_failf(e, JS_STREAM_CONFIG, "subject \"%.*s\" overlaps with \"%.*s\"", (int)s.n, s.p,
                                (int)c->subjects[k].n, c->subjects[k].p);
    }
    return true;
}

/* What nats-server has and this server has not must be refused, never accepted and ignored. */
static bool check_supported(const struct stream_cfg *c, struct js_error *e) {
    const struct {
        bool wanted;
        const char *what;
    } missing[] = {
        {c->compression != 0, "compression is"},
        {c->mirror != NULL, "mirrors are"},
        {yyjson_arr_size(c->sources) > 0, "sources are"},
        {c->subject_transform != NULL, "subject transforms are"},
        {c->republish != NULL, "republish is"},
        {c->allow_msg_ttl || c->subject_delete_marker_ttl > 0, "message TTLs are"},
        {c->allow_msg_counter, "message counters are"},
        {c->allow_msg_schedules, "message schedules are"},
        {c->persist_mode != 0, "async persist mode is"},
    };
    for (size_t i = 0; i < COUNT(missing); i++)
        if (missing[i].wanted)
            return js_failf(e, JS_STREAM_CONFIG, "%s not supported by this server", missing[i].what);
    return true;
}

static bool check_bytes(const struct stream_cfg *c, const struct js_limits *l, struct js_error *e) {
    must(c->storage == MR_FILE || c->storage == MR_MEMORY);
    if (l->max_bytes_required && c->max_bytes <= 0) return js_fail(e, JS_MAX_BYTES_REQUIRED, NULL);
    int64_t limit = c->storage == MR_MEMORY ? l->memory_max_stream_bytes : l->store_max_stream_bytes;
    if (limit > 0 && c->max_bytes > limit) return js_fail(e, JS_STREAM_BYTES_EXCESS, NULL);
    return true;
}

/* An empty placement is none. */
static bool check_placement(struct stream_cfg *c, struct js_error *e) {
    struct span preferred;
    if (!c->placement) return true;
    if (json_get_str(c->placement, "preferred", &preferred) && preferred.n)
        return js_fail(e, JS_STREAM_CONFIG, "preferred server not permitted in placement");
    struct span cluster = SPAN_EMPTY;
    (void)json_get_str(c->placement, "cluster", &cluster);
    if (cluster.n == 0 && yyjson_arr_size(yyjson_obj_get(c->placement, "tags")) == 0) c->placement = NULL;
    return true;
}

bool stream_cfg_check(struct stream_cfg *c, const struct js_limits *limits, struct js_error *e) {
    bool ok = check_text(c, e) && check_limits(c, e) && check_window(c, limits->duplicate_window_ns, e) &&
              check_policies(c, e) && check_supported(c, e) && check_subjects(c, e) &&
              check_bytes(c, limits, e) && check_placement(c, e);
    must(ok || e->code != JS_OK);
    return ok;
}

bool stream_cfg_check_update(const struct stream_cfg *old, struct stream_cfg *c, struct js_error *e) {
    must(old != c && old->name.n > 0);
    const char *why = NULL;
    if (!span_eq(c->name, old->name)) why = "stream configuration name must match original";
    if (!why && c->num_replicas > 1) return js_fail(e, JS_REPLICAS, NULL);
    if (!why && c->storage != old->storage) why = "stream configuration update can not change storage type";
    if (!why && c->retention != old->retention &&
        (c->retention == MR_RETAIN_WORKQUEUE || old->retention == MR_RETAIN_WORKQUEUE))
        why = "stream configuration update can not change retention policy to/from workqueue";
    if (!why && old->sealed && !c->sealed) why = "stream configuration update can not unseal a sealed stream";
    if (!why && old->deny_delete && !c->deny_delete)
        why = "stream configuration update can not cancel deny message deletes";
    if (!why && old->deny_purge && !c->deny_purge)
        why = "stream configuration update can not cancel deny purge";
    if (why) return js_fail(e, JS_STREAM_CONFIG, why);
    if (c->sealed) {
        c->max_age = 0;
        c->discard = MR_DISCARD_NEW;
        c->deny_delete = c->deny_purge = true;
        c->allow_rollup = false;
    }
    return true;
}

static int by_key(const void *a, const void *b) {
    const struct span *x = a, *y = b;
    int r = memcmp(x->p, y->p, x->n < y->n ? x->n : y->n);
    return r ? r : x->n < y->n ? -1 : x->n > y->n;
}

static bool server_key(struct span k) {
    return span_eq(k, SPAN_LIT("_nats.ver")) || span_eq(k, SPAN_LIT("_nats.level")) ||
           span_eq(k, SPAN_LIT("_nats.req.level"));
}

void js_metadata_put(struct text *t, yyjson_val *metadata, int required_level) {
    must(required_level >= 0 && required_level < 10);
    struct pair {
        struct span key, value;
    } *pairs = calloc(yyjson_obj_size(metadata) + 1, sizeof *pairs);
    if (!pairs) {
        t->failed = true;
        return;
    }
    char level[12] = {(char)('0' + required_level), 0};
    size_t n = 0;
    pairs[n++] = (struct pair){SPAN_LIT("_nats.req.level"), span_str(level)};
    yyjson_obj_iter it = yyjson_obj_iter_with(metadata);
    for (yyjson_val *k; (k = yyjson_obj_iter_next(&it));)
        if (!server_key(val_span(k)))
            pairs[n++] = (struct pair){val_span(k), val_span(yyjson_obj_iter_get_val(k))};
    qsort(pairs, n, sizeof *pairs, by_key);
    text_lit(t, "{");
    for (size_t i = 0; i < n; i++) {
        if (i + 1 < n && span_eq(pairs[i].key, pairs[i + 1].key)) continue;
        text_item(t);
        text_str(t, pairs[i].key);
        text_lit(t, ":");
        text_str(t, pairs[i].value);
    }
    text_lit(t, "}");
    free(pairs);
}

static void placement_put(struct text *t, yyjson_val *p) {
    must(yyjson_is_obj(p));
    struct span cluster = SPAN_EMPTY;
    (void)json_get_str(p, "cluster", &cluster);
    text_key(t, "placement");
    text_lit(t, "{");
    text_opt_str(t, "cluster", cluster);
    yyjson_val *tags = yyjson_obj_get(p, "tags");
    if (yyjson_arr_size(tags) > 0) {
        text_key(t, "tags");
        text_lit(t, "[");
        yyjson_arr_iter it = yyjson_arr_iter_with(tags);
        for (yyjson_val *v; (v = yyjson_arr_iter_next(&it));) {
            text_item(t);
            text_str(t, yyjson_is_str(v) ? val_span(v) : SPAN_EMPTY);
        }
        text_lit(t, "]");
    }
    text_lit(t, "}");
}

static void key_enum(struct text *t, const char *key, const char *const *names, int v) {
    must(v >= 0 && names[v]);
    text_key_str(t, key, span_str(names[v]));
}

static void flags_put(struct text *t, const struct stream_cfg *c) {
    must(t->n > 0 || t->failed);
    text_key_bool(t, "allow_direct", c->allow_direct);
    text_key_bool(t, "mirror_direct", c->mirror_direct);
    text_opt_bool(t, "discard_new_per_subject", c->discard_new_per_subject);
    text_key_bool(t, "sealed", c->sealed);
    text_key_bool(t, "deny_delete", c->deny_delete);
    text_key_bool(t, "deny_purge", c->deny_purge);
    text_key_bool(t, "allow_rollup_hdrs", c->allow_rollup);
    text_key(t, "consumer_limits");
    text_lit(t, "{");
    text_opt_i64(t, "inactive_threshold", c->limit_inactive_threshold);
    text_opt_i64(t, "max_ack_pending", c->limit_max_ack_pending);
    text_lit(t, "}");
    text_key_bool(t, "allow_msg_ttl", c->allow_msg_ttl);
    text_opt_bool(t, "allow_atomic", c->allow_atomic);
    text_opt_bool(t, "allow_batched", c->allow_batched);
}

/* The API level that a server must have to know all of this. */
static int required_level(const struct stream_cfg *c) {
    return c->allow_batched ? 4 : c->allow_atomic ? 2 : 0;
}

void stream_cfg_put(struct text *t, const struct stream_cfg *c) {
    must(c->name.n > 0);
    text_lit(t, "{");
    text_key_str(t, "name", c->name);
    text_opt_str(t, "description", c->description);
    if (c->subjects_n) {
        text_key(t, "subjects");
        text_lit(t, "[");
        for (size_t i = 0; i < c->subjects_n; i++) {
            text_item(t);
            text_str(t, c->subjects[i]);
        }
        text_lit(t, "]");
    }
    key_enum(t, "retention", retention_names, c->retention);
    text_key_i64(t, "max_consumers", c->max_consumers);
    text_key_i64(t, "max_msgs", c->max_msgs);
    text_key_i64(t, "max_bytes", c->max_bytes);
    text_key_i64(t, "max_age", c->max_age);
    text_key_i64(t, "max_msgs_per_subject", c->max_msgs_per_subject);
    text_opt_i64(t, "max_msg_size", c->max_msg_size);
    key_enum(t, "discard", discard_names, c->discard);
    key_enum(t, "storage", storage_names, c->storage);
    text_key_i64(t, "num_replicas", c->num_replicas);
    text_opt_bool(t, "no_ack", c->no_ack);
    text_opt_i64(t, "duplicate_window", c->duplicate_window);
    if (c->placement) placement_put(t, c->placement);
    key_enum(t, "compression", compression_names, c->compression);
    text_opt_u64(t, "first_seq", c->first_seq);
    flags_put(t, c);
    text_key(t, "metadata");
    js_metadata_put(t, c->metadata, required_level(c));
    text_lit(t, "}");
}

void js_config_echo(struct text *t, struct span canonical, const struct js_limits *limits) {
    must(canonical.n > 4 &&
         memcmp(canonical.p + canonical.n - 2, "}}", 2) == 0); /* metadata is last and never empty */
    text_raw(t, span_of(canonical.p, canonical.n - 2));
    text_lit(t, ",\"_nats.level\":\"");
    text_i64(t, limits->api_level);
    text_lit(t, "\",\"_nats.ver\":");
    text_str(t, span_str(limits->server_version));
    text_lit(t, "}}");
}

static struct mr_bytes bytes_of(struct span s) { return (struct mr_bytes){s.p, s.n}; }

bool stream_cfg_engine(const struct stream_cfg *c, struct span extra, struct stream_engine_cfg *out) {
    must(c->name.n > 0 && extra.n > 0);
    out->subjects = calloc(c->subjects_n + 1, sizeof *out->subjects);
    if (!out->subjects) return false;
    for (size_t i = 0; i < c->subjects_n; i++) out->subjects[i] = bytes_of(c->subjects[i]);
    out->cfg = (struct mr_stream_config){
        .size = sizeof out->cfg,
        .name = bytes_of(c->name),
        .subjects = out->subjects,
        .subjects_count = c->subjects_n,
        .storage = (enum mr_storage)c->storage,
        .retention = (enum mr_retention)c->retention,
        .discard = (enum mr_discard)c->discard,
        .discard_new_per_subject = c->discard_new_per_subject,
        .sealed = c->sealed,
        .deny_delete = c->deny_delete,
        .deny_purge = c->deny_purge,
        .allow_rollup = c->allow_rollup,
        .allow_direct = c->allow_direct,
        .no_ack = c->no_ack,
        .max_msgs = c->max_msgs,
        .max_bytes = c->max_bytes,
        .max_age_ns = c->max_age, /* 0: none, here and there */
        .max_msg_size = c->max_msg_size,
        .max_msgs_per_subject = c->max_msgs_per_subject,
        .max_consumers = c->max_consumers,
        .duplicate_window_ns = c->duplicate_window,
        .first_seq = c->first_seq,
        .extra = bytes_of(extra),
    };
    return true;
}

void stream_engine_cfg_free(struct stream_engine_cfg *c) { free(c->subjects); }
