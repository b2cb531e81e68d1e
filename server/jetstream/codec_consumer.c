/* codec_consumer.c - see codec_consumer.h. Happy path: read, fill defaults, check, write the canonical text.
 * What fails is the client's configuration; the answer is the first text nats-server would give. */
#include "jetstream/codec_consumer.h"

#include <stddef.h>
#include <stdlib.h>

#include "base/must.h"
#include "subject/subject.h"
#include "wire/gotime.h"

static const char *const deliver_names[] = {
    "all", "last", "new", "by_start_sequence", "by_start_time", "last_per_subject", NULL};
static const char *const ack_names[] = {"none", "all", "explicit", "flow_control", NULL};
static const char *const replay_names[] = {"instant", "original", NULL};
static const char *const priority_names[] = {"none", "overflow", "pinned_client", "prioritized", NULL};
static const char *const action_names[] = {"", "create", "update", NULL};
static_must(MR_ACK_EXPLICIT == 2);
static_must(MR_DELIVER_LAST_PER_SUBJECT == 5);

#define F(key, kind, member)                                                                                 \
    { key, JSON_##kind, offsetof(struct consumer_cfg, member), NULL, NULL }
#define E(key, member, names)                                                                                \
    { key, JSON_ENUM, offsetof(struct consumer_cfg, member), names, NULL }
#define N(key, member, go_type)                                                                              \
    { key, JSON_I64, offsetof(struct consumer_cfg, member), NULL, go_type }
static const struct json_field request_fields[] = {
    F("stream_name", STR, stream_name),
    F("config", OBJECT, config),
    F("action", ANY, action_val),
    F("pedantic", BOOL, pedantic),
};
static const struct json_field config_fields[] = {
    F("durable_name", STR, durable),
    F("name", STR, name),
    F("description", STR, description),
    E("deliver_policy", deliver, deliver_names),
    F("opt_start_seq", U64, opt_start_seq),
    F("opt_start_time", TIME, opt_start_time),
    E("ack_policy", ack, ack_names),
    N("ack_wait", ack_wait, "time.Duration"),
    N("max_deliver", max_deliver, "int"),
    F("backoff", ARRAY, backoff_val),
    F("filter_subject", STR, filter),
    F("filter_subjects", STRINGS, filters_val),
    E("replay_policy", replay, replay_names),
    F("rate_limit_bps", U64, rate_limit),
    F("sample_freq", STR, sample_freq),
    N("max_waiting", max_waiting, "int"),
    N("max_ack_pending", max_ack_pending, "int"),
    F("flow_control", BOOL, flow_control),
    F("headers_only", BOOL, headers_only),
    N("max_batch", max_batch, "int"),
    N("max_expires", max_expires, "time.Duration"),
    N("max_bytes", max_bytes, "int"),
    F("deliver_subject", STR, deliver_subject),
    F("deliver_group", STR, deliver_group),
    N("idle_heartbeat", idle_heartbeat, "time.Duration"),
    N("inactive_threshold", inactive_threshold, "time.Duration"),
    N("num_replicas", num_replicas, "int"),
    F("mem_storage", BOOL, mem_storage),
    F("direct", BOOL, direct),
    F("sourcing", BOOL, sourcing),
    F("metadata", STRMAP, metadata),
    F("pause_until", TIME, pause_until),
    F("priority_groups", STRINGS, priority_groups),
    E("priority_policy", priority_policy, priority_names),
    N("priority_timeout", priority_timeout, "time.Duration"),
};
#undef F
#undef E
#undef N

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
static const struct json_table request_table = {"CreateConsumerRequest", request_fields,
                                                COUNT(request_fields)};
static const struct json_table config_table = {"ConsumerConfig.config", config_fields, COUNT(config_fields)};

static struct span val_span(yyjson_val *v) { return span_of(yyjson_get_str(v), yyjson_get_len(v)); }

static bool arrays_take(struct consumer_cfg *c, struct js_error *e) {
    must(!c->filters && !c->backoff);
    size_t n = yyjson_arr_size(c->filters_val), b = yyjson_arr_size(c->backoff_val);
    if (n > CONSUMER_FILTERS_MAX)
        return js_failf(e, JS_CONSUMER_CREATE,
                        "more than %d filter subjects are not supported by this server",
                        CONSUMER_FILTERS_MAX);
    if (b > CONSUMER_BACKOFF_MAX)
        return js_failf(e, JS_CONSUMER_CREATE, "more than %d backoff values are not supported by this server",
                        CONSUMER_BACKOFF_MAX);
    c->filters = calloc(n + 1, sizeof *c->filters);
    c->backoff = calloc(b + 1, sizeof *c->backoff);
    if (!c->filters || !c->backoff) return js_fail(e, JS_INSUFFICIENT_RESOURCES, NULL);
    yyjson_val *v;
    yyjson_arr_iter it = yyjson_arr_iter_with(c->filters_val);
    while ((v = yyjson_arr_iter_next(&it))) c->filters[c->filters_n++] = val_span(v);
    it = yyjson_arr_iter_with(c->backoff_val);
    while ((v = yyjson_arr_iter_next(&it))) {
        if (!yyjson_is_int(v) || (yyjson_is_uint(v) && yyjson_get_uint(v) > INT64_MAX))
            return js_failf(e, JS_INVALID_JSON,
                            "json: cannot unmarshal %s into Go struct field ConsumerConfig.config.backoff of "
                            "type time.Duration",
                            yyjson_is_str(v)   ? "string"
                            : yyjson_is_num(v) ? "number"
                                               : yyjson_get_type_desc(v));
        c->backoff[c->backoff_n++] = yyjson_get_sint(v);
    }
    return true;
}

static bool config_take(struct consumer_cfg *c, yyjson_val *config, bool strict, struct js_error *e) {
    must(c->deliver == 0 && c->ack == 0);
    struct json_err je = {{0}};
    c->opt_start_time = c->pause_until = CONSUMER_NO_TIME;
    if (config && !json_decode(config, &config_table, strict, c, &je))
        return js_fail(e, JS_INVALID_JSON, je.text);
    return arrays_take(c, e);
}

/* Go's own type for actions has its own words. */
static bool action_take(struct consumer_cfg *c, struct js_error *e) {
    must(c->action == 0);
    if (!c->action_val || yyjson_is_null(c->action_val)) return true;
    for (int i = 0; action_names[i]; i++)
        if (yyjson_equals_str(c->action_val, action_names[i])) {
            c->action = i;
            return true;
        }
    char *text = yyjson_val_write(c->action_val, 0, NULL);
    js_failf(e, JS_INVALID_JSON, "unknown consumer action: %s", text ? text : "");
    free(text);
    return false;
}

bool consumer_cfg_read(struct consumer_cfg *c, struct span body, bool strict, struct js_error *e) {
    struct json_err je = {{0}};
    *c = (struct consumer_cfg){0};
    if (body.n) {
        c->doc = js_json_read(body, "CreateConsumerRequest", &je);
        if (!c->doc) return js_fail(e, JS_INVALID_JSON, je.text);
        bool ok = json_decode(yyjson_doc_get_root(c->doc), &request_table, strict, c, &je);
        if (!ok) js_fail(e, JS_INVALID_JSON, je.text);
        if (!ok || !action_take(c, e)) {
            consumer_cfg_free(c);
            return false;
        }
    }
    if (config_take(c, c->config, strict, e)) return true;
    consumer_cfg_free(c);
    return false;
}

bool consumer_cfg_load(struct consumer_cfg *c, struct span canonical, struct js_error *e) {
    must(canonical.n > 0);
    struct json_err je = {{0}};
    *c = (struct consumer_cfg){0};
    c->doc = json_read(canonical, JSON_DEPTH_MAX, &je);
    if (!c->doc) return js_fail(e, JS_INVALID_JSON, je.text);
    if (config_take(c, yyjson_doc_get_root(c->doc), false, e)) return true;
    consumer_cfg_free(c);
    return false;
}

void consumer_cfg_free(struct consumer_cfg *c) {
    free(c->filters);
    free(c->backoff);
    yyjson_doc_free(c->doc);
    *c = (struct consumer_cfg){0};
}

/* Below `floor` there is nothing to ask for: taken as floor, or refused when pedantic. */
static bool floor_settle(int64_t *v, int64_t floor, const char *what, bool pedantic, struct js_error *e) {
    must(floor <= 0);
    if (*v >= floor) return true;
    if (pedantic) return js_fail(e, JS_PEDANTIC, what);
    *v = floor;
    return true;
}

static bool floors_settle(struct consumer_cfg *c, struct js_error *e) {
    bool p = c->pedantic;
    if (c->max_deliver == 0) c->max_deliver = -1;
    return floor_settle(&c->max_deliver, -1, "max_deliver must be set to -1", p, e) &&
           floor_settle(&c->max_waiting, 0, "max_waiting must not be negative", p, e) &&
           floor_settle(&c->max_ack_pending, -1, "max_ack_pending must be set to -1", p, e) &&
           floor_settle(&c->max_batch, 0, "max_batch must not be negative", p, e) &&
           floor_settle(&c->max_expires, 0, "max_expires must not be negative", p, e) &&
           floor_settle(&c->max_bytes, 0, "max_bytes must not be negative", p, e) &&
           floor_settle(&c->idle_heartbeat, 0, "idle_heartbeat must not be negative", p, e) &&
           floor_settle(&c->inactive_threshold, 0, "inactive_threshold must not be negative", p, e) &&
           floor_settle(&c->priority_timeout, 0, "priority_timeout must not be negative", p, e);
}

static bool defaults_settle(struct consumer_cfg *c, const struct stream_cfg *s, const struct js_limits *l,
                            struct js_error *e) {
    must(s->name.n > 0);
    if (!floors_settle(c, e)) return false;
    bool pull = c->deliver_subject.n == 0;
    if (pull && c->max_waiting == 0) c->max_waiting = 512;
    if (c->ack_wait == 0 && (c->ack == MR_ACK_EXPLICIT || c->ack == MR_ACK_ALL))
        c->ack_wait = INT64_C(30000000000);
    if (c->backoff_n) {
        if (c->pedantic && c->ack_wait != c->backoff[0])
            return js_fail(e, JS_PEDANTIC, "first backoff value has to equal batch AckWait");
        c->ack_wait = c->backoff[0];
    }
    if (c->max_ack_pending == 0) {
        if (c->pedantic && s->limit_max_ack_pending > 0)
            return js_fail(e, JS_PEDANTIC, "max_ack_pending must be set if it's configured in stream limits");
        c->max_ack_pending = s->limit_max_ack_pending;
    }
    if (c->inactive_threshold == 0) {
        if (c->pedantic && s->limit_inactive_threshold > 0)
            return js_fail(e, JS_PEDANTIC,
                           "inactive_threshold must be set if it's configured in stream limits");
        c->inactive_threshold = s->limit_inactive_threshold;
    }
    if (c->max_ack_pending == 0 && c->ack != MR_ACK_NONE)
        c->max_ack_pending = l->max_ack_pending > 0 && l->max_ack_pending < 1000 ? l->max_ack_pending : 1000;
    if (pull && c->max_batch == 0 && l->max_request_batch > 0) {
        if (c->pedantic)
            return js_fail(e, JS_PEDANTIC, "max_request_batch must be set if it's JetStream limits are set");
        c->max_batch = l->max_request_batch;
    }
    return true;
}

static bool check_basics(const struct consumer_cfg *c, const struct stream_cfg *s, struct js_error *e) {
    must(c->max_deliver == -1 || c->max_deliver > 0);
    if (c->name.n && !js_name_valid(c->name))
        return js_fail(e, JS_STREAM_CONFIG, "consumer name can not contain '.', '*', '>', '\\', '/'");
    if (c->durable.n && !js_name_valid(c->durable))
        return js_fail(e, JS_STREAM_CONFIG, "consumer durable name can not contain '.', '*', '>', '\\', '/'");
    if (c->num_replicas > 0 && c->num_replicas > s->num_replicas)
        return js_fail(e, JS_CONSUMER_REPLICAS, NULL);
    if (c->num_replicas < 0) return js_fail(e, JS_NEGATIVE_REPLICAS, NULL);
    for (size_t i = 0; i < c->backoff_n; i++)
        if (c->backoff[i] < 0) return js_fail(e, JS_BACKOFF, NULL);
    if (c->ack_wait < 0) return js_fail(e, JS_ACK_WAIT, NULL);
    if (c->ack == ACK_FLOW_CONTROL && c->deliver_subject.n == 0) return js_fail(e, JS_FC_NEEDS_PUSH, NULL);
    if (c->backoff_n && c->max_deliver != -1 && (int64_t)c->backoff_n > c->max_deliver)
        return js_fail(e, JS_BACKOFF_LENGTH, NULL);
    if (c->description.n > CONSUMER_DESCRIPTION_MAX)
        return js_fail_u64(e, JS_DESCRIPTION_TOO_LONG, CONSUMER_DESCRIPTION_MAX);
    return true;
}

static bool check_push(const struct consumer_cfg *c, const struct stream_cfg *s, struct js_error *e) {
    must(c->deliver_subject.n > 0);
    if (subject_has_wildcard(c->deliver_subject)) return js_fail(e, JS_DELIVER_WILDCARD, NULL);
    if (!subject_valid(c->deliver_subject)) return js_fail(e, JS_DELIVER_INVALID, NULL);
    for (size_t i = 0; i < s->subjects_n; i++)
        if (subject_subset(c->deliver_subject, s->subjects[i])) return js_fail(e, JS_DELIVER_CYCLE, NULL);
    if (c->max_waiting != 0) return js_fail(e, JS_PUSH_MAX_WAITING, NULL);
    if (c->max_ack_pending > 0 && c->ack == MR_ACK_NONE) return js_fail(e, JS_ACK_PENDING_POLICY, NULL);
    if (c->idle_heartbeat > 0 && c->idle_heartbeat < 100000000) return js_fail(e, JS_SMALL_HEARTBEAT, NULL);
    return true;
}

static bool check_pull(const struct consumer_cfg *c, const struct stream_cfg *s, const struct js_limits *l,
                       struct js_error *e) {
    must(c->deliver_subject.n == 0);
    if (c->ack == MR_ACK_NONE && s->retention == MR_RETAIN_WORKQUEUE)
        return js_fail(e, JS_PULL_QUEUE_ACK, NULL);
    if (c->rate_limit > 0) return js_fail(e, JS_PULL_RATE_LIMIT, NULL);
    if (c->idle_heartbeat > 0) return js_fail(e, JS_HEARTBEAT_PUSH, NULL);
    if (c->flow_control) return js_fail(e, JS_FLOW_CONTROL_PUSH, NULL);
    if (c->max_expires != 0 && c->max_expires < 1000000) return js_fail(e, JS_SMALL_EXPIRES, NULL);
    if (l->max_request_batch > 0 && c->max_batch > l->max_request_batch)
        return js_fail_u64(e, JS_BATCH_EXCESS, (uint64_t)l->max_request_batch);
    return true;
}

static bool check_ceilings(const struct consumer_cfg *c, const struct stream_cfg *s,
                           const struct js_limits *l, struct js_error *e) {
    must(c->max_ack_pending >= -1);
    if (l->max_ack_pending > 0 && c->max_ack_pending > l->max_ack_pending)
        return js_fail_u64(e, JS_ACK_PENDING_EXCESS, (uint64_t)l->max_ack_pending);
    if (s->limit_max_ack_pending > 0 && c->max_ack_pending > s->limit_max_ack_pending)
        return js_fail_u64(e, JS_ACK_PENDING_EXCESS, (uint64_t)s->limit_max_ack_pending);
    if (s->limit_inactive_threshold > 0 && c->inactive_threshold > s->limit_inactive_threshold) {
        char text[GODURATION_TEXT_MAX];
        size_t n = goduration_put(text, s->limit_inactive_threshold);
        return js_failf(e, JS_INACTIVE_EXCESS, "%.*s", (int)n, text);
    }
    if (c->direct && c->deliver_subject.n == 0) return js_fail(e, JS_DIRECT_PUSH, NULL);
    if (c->direct && c->durable.n) return js_fail(e, JS_DIRECT_EPHEMERAL, NULL);
    return true;
}

static bool check_filters(const struct consumer_cfg *c, struct js_error *e) {
    must(c->filters_n == 0 || c->filters);
    if (c->filter.n && c->filters_n) return js_fail(e, JS_BOTH_FILTERS, NULL);
    if (c->filter.n && !subject_valid(c->filter)) return js_fail(e, JS_STREAM_CONFIG, "invalid subject");
    for (size_t i = 0; i < c->filters_n; i++)
        if (c->filters[i].n == 0) return js_fail(e, JS_EMPTY_FILTER, NULL);
    for (size_t i = 0; i < c->filters_n; i++) {
        if (!subject_valid(c->filters[i])) return js_fail(e, JS_STREAM_CONFIG, "invalid subject");
        for (size_t k = 0; k < c->filters_n; k++)
            if (k != i && subject_subset(c->filters[i], c->filters[k]))
                return js_fail(e, JS_FILTERS_OVERLAP, NULL);
    }
    return true;
}

static bool bad_start(struct js_error *e, const char *policy, const char *what) {
    return js_failf(e, JS_CONSUMER_POLICY,
                    "consumer delivery policy is deliver %s, but optional start %s is also set", policy,
                    what);
}

static bool not_set(struct js_error *e, const char *policy, const char *what) {
    return js_failf(e, JS_CONSUMER_POLICY,
                    "consumer delivery policy is deliver %s, but optional %s is not set", policy, what);
}

static bool check_start(const struct consumer_cfg *c, struct js_error *e) {
    static const char *const policies[] = {
        "all", "last", "new", "by start sequence", "by start time", "last per subject"};
    must((size_t)c->deliver < COUNT(policies));
    const char *policy = policies[c->deliver];
    bool seq = c->opt_start_seq > 0, time = c->opt_start_time != CONSUMER_NO_TIME;
    if (c->deliver == MR_DELIVER_BY_SEQ) {
        if (!seq) return not_set(e, policy, "start sequence");
        return time ? bad_start(e, policy, "time") : true;
    }
    if (c->deliver == MR_DELIVER_BY_TIME) {
        if (!time) return not_set(e, policy, "start time");
        return seq ? bad_start(e, policy, "start sequence") : true;
    }
    if (seq) return bad_start(e, policy, "sequence");
    if (time) return bad_start(e, policy, "time");
    if (c->deliver == MR_DELIVER_LAST_PER_SUBJECT && c->filter.n == 0 && c->filters_n == 0)
        return not_set(e, policy, "filter subject");
    return true;
}

/* "5" or "5%"; out is the number. */
static bool sampling_get(struct span s, uint64_t *out) {
    must(out != NULL);
    *out = 0;
    if (s.n && s.p[s.n - 1] == '%') s.n--;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9' || *out > 1000000) return false;
        *out = *out * 10 + (uint64_t)(s.p[i] - '0');
    }
    return s.n > 0;
}

static bool check_rest(const struct consumer_cfg *c, struct js_error *e) {
    must((size_t)c->priority_policy < COUNT(priority_names));
    uint64_t sampling = 0;
    if (c->sample_freq.n && !sampling_get(c->sample_freq, &sampling))
        return js_failf(e, JS_SAMPLING, "strconv.Atoi: parsing \"%.*s\": invalid syntax",
                        (int)(c->sample_freq.n - (c->sample_freq.p[c->sample_freq.n - 1] == '%')),
                        c->sample_freq.p);
    if (c->flow_control && c->idle_heartbeat == 0) return js_fail(e, JS_FLOW_CONTROL_HEARTBEAT, NULL);
    if (c->durable.n && c->name.n && !span_eq(c->durable, c->name)) return js_fail(e, JS_NAME_MISMATCH, NULL);
    if (js_metadata_size(c->metadata) > JS_METADATA_MAX)
        return js_failf(e, JS_CONSUMER_METADATA, "%dKB", JS_METADATA_MAX / 1024);
    if (c->priority_policy == 0 && yyjson_arr_size(c->priority_groups) > 0)
        return js_fail(e, JS_GROUPS_NO_POLICY, NULL);
    if (c->priority_policy == 0 && c->priority_timeout > 0) return js_fail(e, JS_PINNED_NO_POLICY, NULL);
    return true;
}

static bool check_supported(const struct consumer_cfg *c, struct js_error *e) {
    must((size_t)c->replay < COUNT(replay_names));
    uint64_t sampling = 0;
    (void)sampling_get(c->sample_freq, &sampling);
    const struct {
        bool wanted;
        const char *what;
    } missing[] = {
        {c->rate_limit > 0, "rate limits are"},
        {c->ack == ACK_FLOW_CONTROL, "acknowledgement by flow control is"},
        {c->replay != 0, "replay policy original is"},
        {sampling > 0, "ack sampling is"},
        {c->priority_policy != 0, "priority groups are"},
        {c->sourcing || c->direct, "sourcing consumers are"},
    };
    for (size_t i = 0; i < COUNT(missing); i++)
        if (missing[i].wanted)
            return js_failf(e, JS_CONSUMER_CREATE, "%s not supported by this server", missing[i].what);
    return true;
}

bool consumer_cfg_check(struct consumer_cfg *c, const struct stream_cfg *stream,
                        const struct js_limits *limits, struct js_error *e) {
    bool ok = defaults_settle(c, stream, limits, e) && check_basics(c, stream, e) &&
              (c->deliver_subject.n ? check_push(c, stream, e) : check_pull(c, stream, limits, e)) &&
              check_ceilings(c, stream, limits, e) && check_filters(c, e) && check_start(c, e) &&
              check_rest(c, e) && check_supported(c, e);
    must(ok || e->code != JS_OK);
    return ok;
}

void consumer_cfg_settle(struct consumer_cfg *c) {
    must(c->inactive_threshold >= 0);
    if (c->durable.n == 0 && c->inactive_threshold <= 0) c->inactive_threshold = INT64_C(5000000000);
}

bool consumer_cfg_check_update(const struct consumer_cfg *old, const struct consumer_cfg *c,
                               struct js_error *e) {
    must(old != c);
    const char *why = NULL;
    if (old->deliver != c->deliver)
        why = "deliver policy can not be updated";
    else if (old->mem_storage != c->mem_storage)
        why = "storage type can not be updated";
    else if (old->direct != c->direct)
        why = "direct can not be updated";
    else if (old->sourcing != c->sourcing)
        why = "sourcing can not be updated";
    else if (old->opt_start_seq != c->opt_start_seq)
        why = "start sequence can not be updated";
    else if (old->opt_start_time != c->opt_start_time)
        why = "start time can not be updated";
    else if (old->ack != c->ack)
        why = "ack policy can not be updated";
    else if (old->replay != c->replay)
        why = "replay policy can not be updated";
    else if (old->idle_heartbeat != c->idle_heartbeat)
        why = "heart beats can not be updated";
    else if (old->flow_control != c->flow_control)
        why = "flow control can not be updated";
    else if (old->deliver_subject.n == 0 && c->deliver_subject.n)
        why = "can not update pull consumer to push based";
    else if (old->deliver_subject.n && c->deliver_subject.n == 0)
        why = "can not update push consumer to pull based";
    else if (old->max_waiting != c->max_waiting)
        why = "max waiting can not be updated";
    return why ? js_fail(e, JS_CONSUMER_CREATE, why) : true;
}

static void put_strings(struct text *t, const char *key, const struct span *s, size_t n) {
    must(n == 0 || s);
    if (n == 0) return;
    text_key(t, key);
    text_lit(t, "[");
    for (size_t i = 0; i < n; i++) {
        text_item(t);
        text_str(t, s[i]);
    }
    text_lit(t, "]");
}

static void put_backoff(struct text *t, const struct consumer_cfg *c) {
    must(c->backoff_n == 0 || c->backoff);
    if (c->backoff_n == 0) return;
    text_key(t, "backoff");
    text_lit(t, "[");
    for (size_t i = 0; i < c->backoff_n; i++) {
        text_item(t);
        text_i64(t, c->backoff[i]);
    }
    text_lit(t, "]");
}

static void put_delivery(struct text *t, const struct consumer_cfg *c) {
    must((size_t)c->replay < COUNT(replay_names) - 1);
    text_key_str(t, "replay_policy", span_str(replay_names[c->replay]));
    text_opt_u64(t, "rate_limit_bps", c->rate_limit);
    text_opt_str(t, "sample_freq", c->sample_freq);
    text_opt_i64(t, "max_waiting", c->max_waiting);
    text_opt_i64(t, "max_ack_pending", c->max_ack_pending);
    text_opt_bool(t, "flow_control", c->flow_control);
    text_opt_bool(t, "headers_only", c->headers_only);
    text_opt_i64(t, "max_batch", c->max_batch);
    text_opt_i64(t, "max_expires", c->max_expires);
    text_opt_i64(t, "max_bytes", c->max_bytes);
    text_opt_str(t, "deliver_subject", c->deliver_subject);
    text_opt_str(t, "deliver_group", c->deliver_group);
    text_opt_i64(t, "idle_heartbeat", c->idle_heartbeat);
    text_opt_i64(t, "inactive_threshold", c->inactive_threshold);
}

void consumer_cfg_put(struct text *t, const struct consumer_cfg *c) {
    must((size_t)c->deliver < COUNT(deliver_names) - 1 && (size_t)c->ack < COUNT(ack_names) - 1);
    text_lit(t, "{");
    text_opt_str(t, "durable_name", c->durable);
    text_opt_str(t, "name", c->name);
    text_opt_str(t, "description", c->description);
    text_key_str(t, "deliver_policy", span_str(deliver_names[c->deliver]));
    text_opt_u64(t, "opt_start_seq", c->opt_start_seq);
    if (c->opt_start_time != CONSUMER_NO_TIME) text_key_time(t, "opt_start_time", c->opt_start_time);
    text_key_str(t, "ack_policy", span_str(ack_names[c->ack]));
    text_opt_i64(t, "ack_wait", c->ack_wait);
    text_opt_i64(t, "max_deliver", c->max_deliver);
    put_backoff(t, c);
    text_opt_str(t, "filter_subject", c->filter);
    put_strings(t, "filter_subjects", c->filters, c->filters_n);
    put_delivery(t, c);
    text_key_i64(t, "num_replicas", c->num_replicas);
    text_opt_bool(t, "mem_storage", c->mem_storage);
    text_opt_bool(t, "direct", c->direct);
    text_opt_bool(t, "sourcing", c->sourcing);
    bool pause = c->pause_until != CONSUMER_NO_TIME && c->pause_until != GOTIME_ZERO;
    if (pause) text_key_time(t, "pause_until", c->pause_until);
    text_key(t, "metadata"); /* last, see js_config_echo() */
    js_metadata_put(t, c->metadata, pause);
    text_lit(t, "}");
}

static struct mr_bytes bytes_of(struct span s) { return (struct mr_bytes){s.p, s.n}; }

bool consumer_cfg_engine(const struct consumer_cfg *c, struct span name, struct span extra,
                         struct consumer_engine_cfg *out) {
    must(c->ack != ACK_FLOW_CONTROL && name.n > 0);
    out->filters = calloc(c->filters_n + 1, sizeof *out->filters);
    if (!out->filters) return false;
    size_t n = 0;
    if (c->filter.n) out->filters[n++] = bytes_of(c->filter);
    for (size_t i = 0; i < c->filters_n; i++) out->filters[n++] = bytes_of(c->filters[i]);
    out->cfg = (struct mr_consumer_config){
        .size = sizeof out->cfg,
        .name = bytes_of(name),
        .durable = c->durable.n > 0,
        .mem_storage = c->mem_storage,
        .deliver = (enum mr_deliver)c->deliver,
        .opt_start_seq = c->opt_start_seq,
        .opt_start_time = c->opt_start_time == CONSUMER_NO_TIME ? 0 : c->opt_start_time,
        .ack = (enum mr_ack_policy)c->ack,
        .ack_wait_ns = c->ack_wait,
        .max_deliver = c->max_deliver,
        .backoff_ns = c->backoff,
        .backoff_count = c->backoff_n,
        .filters = out->filters,
        .filters_count = n,
        .max_ack_pending = c->max_ack_pending > 0 ? c->max_ack_pending : -1,
        .inactive_threshold_ns = c->inactive_threshold,
        .headers_only = c->headers_only,
        .extra = bytes_of(extra),
    };
    return true;
}

void consumer_engine_cfg_free(struct consumer_engine_cfg *c) { free(c->filters); }
