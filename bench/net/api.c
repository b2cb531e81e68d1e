/* api.c - see api.h. One connection, one request under way; answers to earlier requests are not taken for
 * later ones, since each has its own inbox. */
#include "net/api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "host/clock.h"
#include "wire/json.h"

enum { NOT_FOUND_STREAM = 10059, PARDON_NONE = -1 };

static bool fail(struct api *a, const char *what, const char *why, size_t why_n) {
    snprintf(a->why, sizeof a->why, "%.90s%s%.*s", what, why_n ? ": " : "", (int)(why_n < 150 ? why_n : 150),
             why);
    return false;
}

bool api_open(struct api *a, const struct address *to) {
    memset(a, 0, sizeof *a);
    if (!conn_open(&a->conn, to)) return fail(a, a->conn.error, "", 0);
    conn_put_text(&a->conn, "SUB _INBOX.mrb.api.* 1\r\n");
    return true;
}

void api_close(struct api *a) {
    conn_close(&a->conn);
    free(a->reply);
    a->reply = NULL;
}

static void on_reply(void *ctx, struct conn *c, const struct incoming *m, uint64_t now) {
    (void)c, (void)now;
    struct api *a = ctx;
    char inbox[64];
    int n = snprintf(inbox, sizeof inbox, "_INBOX.mrb.api.%llu", (unsigned long long)a->asked);
    if (!a->pulls && !span_eq(m->subject, span_of(inbox, (size_t)n))) return;
    size_t all = m->header.n + m->payload.n;
    if (all + 1 > a->reply_cap) {
        a->reply_cap = (all + 1) * 2;
        a->reply = realloc(a->reply, a->reply_cap);
        must(a->reply);
    }
    bool refused = m->payload.n == 0 && span_starts(m->header, SPAN_LIT("NATS/1.0 503"));
    struct span kept = refused ? SPAN_EMPTY : m->payload;
    if (kept.n) memcpy(a->reply, kept.p, kept.n);
    a->reply_n = kept.n;
    a->answered = true;
}

bool api_request(struct api *a, const char *subject, const char *body) {
    char line[400];
    size_t n = strlen(body);
    a->asked++;
    a->answered = false;
    int line_n = snprintf(line, sizeof line, "PUB %s _INBOX.mrb.api.%llu %zu\r\n", subject,
                          (unsigned long long)a->asked, n);
    must(line_n > 0 && (size_t)line_n < sizeof line);
    conn_put(&a->conn, line, (size_t)line_n);
    conn_put(&a->conn, body, n);
    conn_put_text(&a->conn, "\r\n");
    uint64_t until = now_ns() + 10 * NS_PER_S;
    while (!a->answered) {
        if (!conn_flush(&a->conn)) return fail(a, a->conn.error, "", 0);
        if (!conn_wait(&a->conn, until)) return fail(a, "no answer within 10 s to", subject, strlen(subject));
        if (!conn_read(&a->conn, on_reply, a)) return fail(a, a->conn.error, "", 0);
    }
    if (a->reply_n == 0) return fail(a, "nobody serves", subject, strlen(subject));
    return true;
}

bool api_js(struct api *a, const char *what, const char *body, int64_t pardoned, yyjson_doc **doc) {
    char subject[200];
    struct json_err e;
    *doc = NULL;
    snprintf(subject, sizeof subject, "$JS.API.%s", what);
    if (!api_request(a, subject, body)) return false;
    yyjson_doc *d = json_read(span_of(a->reply, a->reply_n), 64, &e);
    if (!d) return fail(a, "the answer is no JSON", e.text, strlen(e.text));
    yyjson_val *error = yyjson_obj_get(yyjson_doc_get_root(d), "error");
    if (!error) {
        *doc = d;
        return true;
    }
    int64_t code = 0;
    struct span text = SPAN_EMPTY;
    json_get_i64(error, "err_code", 0, INT64_MAX, &code);
    json_get_str(error, "description", &text);
    if (code != pardoned) fail(a, subject, (const char *)text.p, text.n);
    yyjson_doc_free(d);
    return code == pardoned;
}

static bool api_js_plain(struct api *a, const char *what, const char *body, int64_t pardoned) {
    yyjson_doc *doc;
    if (!api_js(a, what, body, pardoned, &doc)) return false;
    yyjson_doc_free(doc);
    return true;
}

bool api_stream_drop(struct api *a, const char *name) {
    char what[80];
    snprintf(what, sizeof what, "STREAM.DELETE.%s", name);
    return api_js_plain(a, what, "", NOT_FOUND_STREAM);
}

bool api_stream_make(struct api *a, const struct stream_spec *s) {
    return api_stream_drop(a, s->name) && api_stream_create(a, s);
}

bool api_stream_create(struct api *a, const struct stream_spec *s) {
    char what[80], body[512], limit[64] = "";
    if (s->per_subject > 0)
        snprintf(limit, sizeof limit, ",\"max_msgs_per_subject\":%lld", (long long)s->per_subject);
    snprintf(what, sizeof what, "STREAM.CREATE.%s", s->name);
    snprintf(body, sizeof body,
             "{\"name\":\"%s\",\"subjects\":[\"%s\"],\"retention\":\"%s\",\"max_consumers\":-1,\"max_"
             "msgs\":-1,"
             "\"max_bytes\":-1,\"max_age\":0,\"storage\":\"%s\",\"num_replicas\":1%s}",
             s->name, s->subjects, s->work_queue ? "workqueue" : "limits", s->memory ? "memory" : "file",
             limit);
    return api_js_plain(a, what, body, PARDON_NONE);
}

bool api_stream_state(struct api *a, const char *name, struct stream_state *s) {
    char what[80];
    yyjson_doc *doc;
    snprintf(what, sizeof what, "STREAM.INFO.%s", name);
    if (!api_js(a, what, "", PARDON_NONE, &doc)) return false;
    yyjson_val *state = yyjson_obj_get(yyjson_doc_get_root(doc), "state");
    bool ok = state && json_get_u64(state, "messages", &s->messages) &&
              json_get_u64(state, "first_seq", &s->first) && json_get_u64(state, "last_seq", &s->last);
    yyjson_doc_free(doc);
    return ok || fail(a, "no state in the answer to", what, strlen(what));
}

bool api_stream_get(struct api *a, const char *name, uint64_t sequence, uint8_t *payload, size_t room,
                    size_t *n) {
    char what[80], body[48];
    yyjson_doc *doc;
    *n = 0;
    snprintf(what, sizeof what, "STREAM.MSG.GET.%s", name);
    snprintf(body, sizeof body, "{\"seq\":%llu}", (unsigned long long)sequence);
    if (!api_js(a, what, body, PARDON_NONE, &doc)) return false;
    yyjson_val *message = yyjson_obj_get(yyjson_doc_get_root(doc), "message");
    struct span text = SPAN_EMPTY;
    bool ok = message != NULL;
    if (ok && json_get_str(message, "data", &text))
        ok = text.n / 4 * 3 <= room + 3 && base64_get(payload, n, text);
    yyjson_doc_free(doc);
    return ok || fail(a, "no message in the answer to", what, strlen(what));
}

bool api_consumer_make(struct api *a, const char *stream, const char *name, bool acks,
                       uint64_t ack_pending_max) {
    char what[120], body[512];
    snprintf(what, sizeof what, "CONSUMER.CREATE.%s.%s", stream, name);
    int n = snprintf(body, sizeof body,
                     "{\"stream_name\":\"%s\",\"config\":{\"name\":\"%s\",\"durable_name\":\"%s\",\"deliver_"
                     "policy\":\"all\","
                     "\"ack_policy\":\"%s\",\"replay_policy\":\"instant\"",
                     stream, name, name, acks ? "explicit" : "none");
    if (acks)
        n += snprintf(body + n, sizeof body - (size_t)n, ",\"ack_wait\":60000000000,\"max_ack_pending\":%llu",
                      (unsigned long long)ack_pending_max);
    snprintf(body + n, sizeof body - (size_t)n, "}}");
    return api_js_plain(a, what, body, PARDON_NONE);
}

bool api_consumer_filter(struct api *a, const char *stream, const char *name, const char *filter,
                         uint64_t *pending) {
    char what[120], body[512];
    yyjson_doc *doc;
    snprintf(what, sizeof what, "CONSUMER.CREATE.%s.%s.%s", stream, name, filter);
    snprintf(
        body, sizeof body,
        "{\"stream_name\":\"%s\",\"config\":{\"name\":\"%s\",\"durable_name\":\"%s\",\"deliver_"
        "policy\":\"all\",\"ack_policy\":\"none\",\"replay_policy\":\"instant\",\"filter_subject\":\"%s\"}}",
        stream, name, name, filter);
    if (!api_js(a, what, body, PARDON_NONE, &doc)) return false;
    bool ok = json_get_u64(yyjson_doc_get_root(doc), "num_pending", pending);
    yyjson_doc_free(doc);
    return ok || fail(a, "no num_pending in the answer to", what, strlen(what));
}

bool api_pull_one(struct api *a, const char *stream, const char *name) {
    char subject[160];
    snprintf(subject, sizeof subject, "$JS.API.CONSUMER.MSG.NEXT.%s.%s", stream, name);
    a->pulls = true;
    bool ok = api_request(a, subject, "{\"batch\":1,\"expires\":9000000000}");
    a->pulls = false;
    return ok;
}

bool api_streams_total(struct api *a, uint64_t *total) {
    yyjson_doc *doc;
    if (!api_js(a, "STREAM.NAMES", "", PARDON_NONE, &doc)) return false;
    bool ok = json_get_u64(yyjson_doc_get_root(doc), "total", total);
    yyjson_doc_free(doc);
    return ok || fail(a, "no total in the answer to STREAM.NAMES", "", 0);
}

bool api_consumer_state(struct api *a, const char *stream, const char *name, struct consumer_state *s) {
    char what[120];
    yyjson_doc *doc;
    snprintf(what, sizeof what, "CONSUMER.INFO.%s.%s", stream, name);
    if (!api_js(a, what, "", PARDON_NONE, &doc)) return false;
    yyjson_val *root = yyjson_doc_get_root(doc);
    bool ok = json_get_u64(yyjson_obj_get(root, "ack_floor"), "stream_seq", &s->floor) &&
              json_get_u64(root, "num_ack_pending", &s->ack_pending) &&
              json_get_u64(root, "num_pending", &s->pending);
    yyjson_doc_free(doc);
    return ok || fail(a, "no state in the answer to", what, strlen(what));
}
