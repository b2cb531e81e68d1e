/* pull.c - see pull.h. Happy path: the flat object every client sends is read by hand in one pass. Anything
 * else goes to the JSON reader, whose complaints are what clients see behind "400 Bad Request". */
#include "jetstream/pull.h"

#include <stddef.h>
#include <stdio.h>

#include "base/must.h"
#include "wire/json.h"

static struct span trim(struct span s) {
    while (s.n && (s.p[0] == ' ' || (s.p[0] >= '\t' && s.p[0] <= '\r'))) s = span_skip(s, 1);
    while (s.n && (s.p[s.n - 1] == ' ' || (s.p[s.n - 1] >= '\t' && s.p[s.n - 1] <= '\r'))) s.n--;
    return s;
}

/* A decimal number at s; how many bytes, 0 when there is none or it does not fit. */
static size_t number(struct span s, int64_t *out) {
    must(out != NULL);
    size_t i = s.n && s.p[0] == '-', from = i;
    int64_t v = 0;
    for (; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++) {
        if (v > (INT64_MAX - 9) / 10) return 0;
        v = v * 10 + (s.p[i] - '0');
    }
    *out = from ? -v : v;
    return i > from ? i : 0;
}

static void skip_blank(struct span *s) {
    while (s->n && (s->p[0] == ' ' || s->p[0] == '\n' || s->p[0] == '\t' || s->p[0] == '\r'))
        *s = span_skip(*s, 1);
}

static bool eat(struct span *s, char c) {
    skip_blank(s);
    if (s->n == 0 || s->p[0] != (uint8_t)c) return false;
    *s = span_skip(*s, 1);
    return true;
}

static bool eat_key(struct span *s, struct span *key) {
    must(key != NULL);
    if (!eat(s, '"')) return false;
    const uint8_t *end = s->n ? memchr(s->p, '"', s->n) : NULL;
    if (!end) return false;
    *key = span_of(s->p, (size_t)(end - s->p));
    *s = span_skip(*s, key->n + 1);
    return eat(s, ':');
}

static bool eat_bool(struct span *s, bool *out) {
    skip_blank(s);
    *out = span_starts(*s, SPAN_LIT("true"));
    if (!*out && !span_starts(*s, SPAN_LIT("false"))) return false;
    *s = span_skip(*s, *out ? 4 : 5);
    return true;
}

static bool eat_number(struct span *s, int64_t *out) {
    skip_blank(s);
    size_t n = number(*s, out);
    if (n == 0 || (n < s->n && (s->p[n] == '.' || s->p[n] == 'e' || s->p[n] == 'E'))) return false;
    *s = span_skip(*s, n);
    return true;
}

/* False: not the simple form; a is then half filled. */
static bool fast_get(struct pull_ask *a, struct span s) {
    must(s.n > 0 && s.p[0] == '{');
    struct span key;
    if (!eat(&s, '{')) return false;
    if (eat(&s, '}')) return s.n == 0;
    do {
        if (!eat_key(&s, &key)) return false;
        bool ok = false;
        if (span_eq(key, SPAN_LIT("batch")))
            ok = eat_number(&s, &a->batch);
        else if (span_eq(key, SPAN_LIT("expires")))
            ok = eat_number(&s, &a->expires_ns);
        else if (span_eq(key, SPAN_LIT("max_bytes")))
            ok = eat_number(&s, &a->max_bytes);
        else if (span_eq(key, SPAN_LIT("idle_heartbeat")))
            ok = eat_number(&s, &a->heartbeat_ns);
        else if (span_eq(key, SPAN_LIT("no_wait")))
            ok = eat_bool(&s, &a->no_wait);
        if (!ok) return false;
    } while (eat(&s, ','));
    return eat(&s, '}') && s.n == 0;
}

struct slow_ask {
    struct pull_ask a;
    int64_t min_pending, min_ack_pending, priority;
    struct span group, id;
};

#define F(key, kind, member)                                                                                 \
    { key, JSON_##kind, offsetof(struct slow_ask, member), NULL }
static const struct json_field slow_fields[] = {
    {"expires", JSON_I64, offsetof(struct slow_ask, a.expires_ns), NULL, "time.Duration"},
    {"batch", JSON_I64, offsetof(struct slow_ask, a.batch), NULL, "int"},
    {"max_bytes", JSON_I64, offsetof(struct slow_ask, a.max_bytes), NULL, "int"},
    F("no_wait", BOOL, a.no_wait),
    {"idle_heartbeat", JSON_I64, offsetof(struct slow_ask, a.heartbeat_ns), NULL, "time.Duration"},
    F("group", STR, group),
    F("min_pending", I64, min_pending),
    F("min_ack_pending", I64, min_ack_pending),
    F("id", STR, id),
    {"priority", JSON_I64, offsetof(struct slow_ask, priority), NULL, "int"},
};
#undef F
static const struct json_table slow_table = {"JSApiConsumerGetNextRequest", slow_fields,
                                             sizeof slow_fields / sizeof slow_fields[0]};

static bool refuse(char why[PULL_ERROR_MAX], const char *text) {
    must(text != NULL);
    (void)snprintf(why, PULL_ERROR_MAX, "%s", text);
    return false;
}

/* Go reads pull requests in one piece, other requests from a stream: the texts differ. */
static bool refuse_json(char why[PULL_ERROR_MAX], const char *text) {
    if (strcmp(text, "unexpected EOF") == 0) text = "unexpected end of JSON input";
    const char *at = strstr(text, " at offset ");
    (void)snprintf(why, PULL_ERROR_MAX, "%.*s", at ? (int)(at - text) : (int)strlen(text), text);
    return false;
}

static bool slow_get(struct pull_ask *a, struct span body, char why[PULL_ERROR_MAX]) {
    must(body.n <= PULL_BODY_MAX);
    struct json_err je = {{0}};
    struct slow_ask slow = {0};
    yyjson_doc *doc = json_read(body, JSON_DEPTH_MAX, &je);
    if (!doc) return refuse_json(why, je.text);
    bool ok = json_decode(yyjson_doc_get_root(doc), &slow_table, false, &slow, &je);
    bool pinned = slow.id.n > 0;
    yyjson_doc_free(doc);
    if (!ok) return refuse_json(why, je.text);
    if (slow.min_pending != 0 || slow.min_ack_pending != 0)
        return refuse(why, "Not a Overflow Priority consumer");
    if (pinned) return refuse(why, "Not a Pinned Client Priority consumer");
    if (slow.priority < 0 || slow.priority > 9) return refuse(why, "Priority must be between 0 and 9");
    *a = slow.a;
    return true;
}

bool pull_ask_get(struct pull_ask *a, struct span body, char why[PULL_ERROR_MAX]) {
    *a = (struct pull_ask){0};
    why[0] = 0;
    body = trim(body);
    if (body.n && body.p[0] == '{') {
        if (!fast_get(a, body)) {
            *a = (struct pull_ask){0};
            if (body.n > PULL_BODY_MAX) return refuse(why, "request too large");
            if (!slow_get(a, body, why)) return false;
        }
        if (a->heartbeat_ns > 0 && (a->heartbeat_ns > INT64_MAX / 2 || a->heartbeat_ns * 2 > a->expires_ns))
            return refuse(why, "heartbeat value too large");
    } else if (body.n && number(body, &a->batch) != body.n) {
        a->batch = 0; /* matches nats-server: anything else asks for one message */
    }
    if (a->batch < 1) a->batch = 1;
    if (a->max_bytes < 0) a->max_bytes = 0;
    if (a->heartbeat_ns < 0) a->heartbeat_ns = 0;
    must(a->batch >= 1);
    return true;
}
