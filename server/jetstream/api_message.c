/* api_message.c - single messages by sequence, subject or time: MSG.GET, MSG.DELETE and DIRECT.GET. Reads may
 * wait for the disk; the request then goes on where it was. DIRECT.GET answers with the message itself or a
 * status line, never with JSON, and sees only what is durable; MSG.GET sees everything and answers once that
 * is durable. */
#include <stddef.h>
#include <stdio.h>

#include "base/must.h"
#include "jetstream/api.h"
#include "jetstream/codec_stream.h"
#include "subject/subject.h"
#include "wire/gotime.h"
#include "wire/header.h"
#include "wire/json.h"

#define NO_TIME INT64_MAX

struct get_body {
    uint64_t seq, up_to_seq;
    struct span last, next;
    int64_t batch, max_bytes, start_time, up_to_time;
    yyjson_val *multi_last;
    bool no_hdr;
};

#define F(key, kind, member)                                                                                 \
    { key, JSON_##kind, offsetof(struct get_body, member), NULL }
static const struct json_field get_fields[] = {
    F("seq", U64, seq),
    F("last_by_subj", STR, last),
    F("next_by_subj", STR, next),
    F("batch", I64, batch),
    F("max_bytes", I64, max_bytes),
    F("start_time", TIME, start_time),
    F("multi_last", STRINGS, multi_last),
    F("up_to_seq", U64, up_to_seq),
    F("up_to_time", TIME, up_to_time),
    F("no_hdr", BOOL, no_hdr),
};
#undef F
static const struct json_table get_table = {"JSApiMsgGetRequest", get_fields,
                                            sizeof get_fields / sizeof get_fields[0]};

/* What a request keeps over waits. */
enum { W_SEQ, W_FLAGS, W_LEFT, W_BYTES, W_SENT_LAST, W_PENDING, W_ROOM };
enum { FLAG_NO_HDR = 1, FLAG_BATCH = 2, FLAG_LAST = 4 };

/* --- MSG.GET --- */

static void message_put(struct text *t, const struct mr_msg_view *v, bool no_hdr) {
    text_key(t, "message");
    text_lit(t, "{");
    text_key_str(t, "subject", js_span(v->msg.subject));
    text_key_u64(t, "seq", v->seq);
    struct span part[2] = {no_hdr ? SPAN_EMPTY : js_span(v->msg.hdr), js_span(v->msg.payload)};
    for (size_t i = 0; i < 2; i++) {
        if (part[i].n == 0) continue;
        text_key(t, i ? "data" : "hdrs");
        text_lit(t, "\"");
        text_base64(t, part[i]);
        text_lit(t, "\"");
    }
    text_key_time(t, "time", v->ts);
    text_lit(t, "}");
}

static void msg_read(struct api_req *r) {
    struct js_stream *s = api_stream(r);
    struct mr_msg_view v;
    if (!s) {
        api_fail(r);
        return;
    }
    api_wait(r, msg_read);
    enum mr_status st = r->word[W_SEQ] ? mr_get(s->engine, r->word[W_SEQ], false, &r->wait, &v) : MR_NONE;
    if (st == MR_LATER) return;
    r->resume = NULL;
    if (st != MR_OK) {
        js_fail(&r->err, JS_NO_MESSAGE, NULL);
        api_fail_durable(r);
        return;
    }
    message_put(api_begin(r), &v, r->word[W_FLAGS] & FLAG_NO_HDR);
    text_lit(&r->out, "}");
    api_answer(r, API_DURABLE);
}

/* Exactly one way to name the message. */
static bool selector_ok(const struct get_body *b) {
    bool time = b->start_time != NO_TIME;
    if (b->batch > 0 || b->max_bytes > 0) return false;
    if (b->seq == 0 && b->last.n == 0 && b->next.n == 0 && !time) return false;
    return !(b->seq && b->last.n) && !(b->seq && time) && !(time && b->last.n) && !(b->last.n && b->next.n);
}

static uint64_t seq_of(const struct js_stream *s, const struct get_body *b, bool visible) {
    uint64_t seq = b->start_time != NO_TIME ? mr_seq_at(s->engine, b->start_time) : b->seq;
    if (b->next.n) return mr_seq_next(s->engine, seq ? seq : 1, js_bytes(b->next), visible);
    if (seq) return seq;
    return b->last.n ? mr_seq_last(s->engine, js_bytes(b->last), visible) : 0;
}

void api_msg_get(struct api_req *r) {
    struct get_body b = {.start_time = NO_TIME, .up_to_time = NO_TIME};
    struct json_err je;
    if (api_body_is_empty(r->body)) {
        api_fail_with(r, JS_BAD_REQUEST, NULL);
        return;
    }
    yyjson_doc *doc = js_json_read(r->body, get_table.go_type, &je);
    bool ok = doc && json_decode(yyjson_doc_get_root(doc), &get_table, r->js->limits->strict, &b, &je);
    if (!ok) js_fail(&r->err, JS_INVALID_JSON, je.text);
    if (ok && !selector_ok(&b)) ok = js_fail(&r->err, JS_BAD_REQUEST, NULL);
    struct js_stream *s = ok ? api_stream(r) : NULL;
    if (s) {
        r->word[W_SEQ] = seq_of(s, &b, false);
        r->word[W_FLAGS] = b.no_hdr ? FLAG_NO_HDR : 0;
    }
    yyjson_doc_free(doc);
    if (s)
        msg_read(r);
    else
        api_fail(r);
}

/* --- MSG.DELETE --- */

struct delete_body {
    uint64_t seq;
    bool no_erase;
};

static bool delete (struct api_req *r, const struct js_stream *s, const struct delete_body *b) {
    const struct mr_stream_config *cfg = mr_stream_config(s->engine);
    struct mr_stream_state st;
    if (cfg->sealed) return js_fail(&r->err, JS_SEALED, NULL);
    if (cfg->deny_delete) return js_fail(&r->err, JS_MSG_DELETE, "message delete not permitted");
    enum mr_status e = mr_delete(s->engine, b->seq, !b->no_erase);
    if (e == MR_OK || e == MR_LATER) return true;
    mr_stream_state(s->engine, &st);
    if (e == MR_NONE) {
        /* matches nats-server, whose file store knows three ways of not having a message */
        bool file = cfg->storage == MR_FILE;
        if (file && b->seq > st.last_seq) return js_fail(&r->err, JS_MSG_DELETE, "stream store EOF");
        if (file && b->seq < st.first_seq) return js_fail(&r->err, JS_MSG_DELETE, "no message found");
        return js_fail_u64(&r->err, JS_SEQ_NOT_FOUND, b->seq);
    }
    return js_fail(&r->err, api_code_of(e, JS_MSG_DELETE), mr_status_text(e));
}

void api_msg_delete(struct api_req *r) {
    static const struct json_field fields[] = {
        {"seq", JSON_U64, offsetof(struct delete_body, seq), NULL, NULL},
        {"no_erase", JSON_BOOL, offsetof(struct delete_body, no_erase), NULL, NULL},
    };
    static const struct json_table table = {"JSApiMsgDeleteRequest", fields, 2};
    struct delete_body b = {0};
    if (api_body_is_empty(r->body)) {
        api_fail_with(r, JS_BAD_REQUEST, NULL);
        return;
    }
    struct js_stream *s = api_body(r, &table, &b) ? api_stream(r) : NULL;
    if (s && delete (r, s, &b))
        api_answer_success(r, API_DURABLE);
    else
        api_fail_durable(r);
}

/* --- DIRECT.GET --- */

static void direct_status(struct api_req *r, const char *line) {
    char out[64];
    int n = snprintf(out, sizeof out, "NATS/1.0 %s\r\n\r\n", line);
    must(n > 0 && (size_t)n < sizeof out);
    js_reply(r->js, r->reply, span_of(out, (size_t)n), SPAN_EMPTY);
    api_drop(r);
}

static void direct_gone(struct api_req *r) {
    char out[64 + JS_REPLY_MAX];
    int n = snprintf(out, sizeof out, "NATS/1.0 503\r\nNats-Subject: $JS.API.%.*s\r\n\r\n",
                     (int)(r->subject.n < 3000 ? r->subject.n : 3000), r->subject.p);
    must(n > 0 && (size_t)n < sizeof out);
    js_reply(r->js, r->reply, span_of(out, (size_t)n), SPAN_EMPTY);
    api_drop(r);
}

/* The message's headers, and where it is from. 0: does not fit. */
static size_t direct_headers(uint8_t *out, size_t room, const struct api_req *r,
                             const struct mr_msg_view *v) {
    struct header_buf b;
    char ts[GOTIME_TEXT_MAX];
    header_begin(&b, out, room, 0, SPAN_EMPTY);
    if (v->msg.hdr.n) header_add_all(&b, js_span(v->msg.hdr), NULL, 0);
    header_add(&b, SPAN_LIT("Nats-Stream"), r->stream);
    header_add(&b, SPAN_LIT("Nats-Subject"), js_span(v->msg.subject));
    header_add_u64(&b, SPAN_LIT("Nats-Sequence"), v->seq);
    header_add(&b, SPAN_LIT("Nats-Time-Stamp"), span_of(ts, gotime_put(ts, v->ts)));
    if (r->word[W_FLAGS] & FLAG_BATCH) {
        header_add_u64(&b, SPAN_LIT("Nats-Num-Pending"), r->word[W_PENDING]);
        header_add_u64(&b, SPAN_LIT("Nats-Last-Sequence"), r->word[W_SENT_LAST]);
    }
    return header_end(&b);
}

static void direct_send(struct api_req *r, const struct mr_msg_view *v) {
    uint8_t hdr[UINT16_MAX + 2 * JS_REPLY_MAX];
    size_t n = 0;
    if (!(r->word[W_FLAGS] & FLAG_NO_HDR)) n = direct_headers(hdr, sizeof hdr, r, v);
    js_reply(r->js, r->reply, span_of(hdr, n), js_span(v->msg.payload));
}

static void direct_read(struct api_req *r) {
    struct js_stream *s = js_stream_find(r->js, r->stream);
    struct mr_msg_view v;
    if (!s || !s->allow_direct) {
        direct_gone(r);
        return;
    }
    api_wait(r, direct_read);
    enum mr_status st = r->word[W_SEQ] ? mr_get(s->engine, r->word[W_SEQ], true, &r->wait, &v) : MR_NONE;
    if (st == MR_LATER) return;
    r->resume = NULL;
    if (st != MR_OK) {
        direct_status(r, "404 Message Not Found");
        return;
    }
    direct_send(r, &v);
    api_drop(r);
}

static bool direct_conflict(const struct get_body *b) {
    bool time = b->start_time != NO_TIME, multi = yyjson_arr_size(b->multi_last) > 0;
    return (b->seq && b->last.n) || (b->seq && time) || (time && b->last.n) || (b->last.n && b->next.n) ||
           (b->last.n && b->batch > 0) || (b->last.n && multi) || (b->next.n && multi) ||
           (b->up_to_seq && b->up_to_time != NO_TIME);
}

/* The subject form: `DIRECT.GET.<stream>.<subject>`, which may be a pattern. */
static const char *direct_by_subject(struct api_req *r, const struct js_stream *s, const struct get_body *b) {
    if (b->last.n || b->next.n || yyjson_arr_size(b->multi_last) > 0 || b->seq || b->batch ||
        b->start_time != NO_TIME || b->up_to_seq || b->up_to_time != NO_TIME)
        return "408 Bad Request";
    r->word[W_SEQ] = mr_seq_last(s->engine, js_bytes(r->rest), true);
    return NULL;
}

static const char *direct_by_body(struct api_req *r, const struct js_stream *s, const struct get_body *b) {
    bool time = b->start_time != NO_TIME, multi = yyjson_arr_size(b->multi_last) > 0;
    if (b->seq == 0 && b->last.n == 0 && b->next.n == 0 && !multi && !time) return "408 Empty Request";
    if (direct_conflict(b)) return "408 Bad Request";
    if (multi || b->batch > 0) return "501 Batches Are Not Supported";
    r->word[W_SEQ] = seq_of(s, b, true);
    return NULL;
}

void api_direct_get(struct api_req *r) {
    struct get_body b = {.start_time = NO_TIME, .up_to_time = NO_TIME};
    struct json_err je;
    struct js_stream *s = js_stream_find(r->js, r->stream);
    if (!s || !s->allow_direct) {
        direct_gone(r);
        return;
    }
    if (!api_level_ok(r->js, r->hdr)) {
        direct_status(r, "412 Required Api Level");
        return;
    }
    if (r->body.n == 0 && r->rest.n == 0) {
        direct_status(r, "408 Empty Request");
        return;
    }
    yyjson_doc *doc = r->body.n ? json_read(r->body, JSON_DEPTH_MAX, &je) : NULL;
    const char *line = NULL;
    if (r->body.n && (!doc || !json_decode(yyjson_doc_get_root(doc), &get_table, false, &b, &je)))
        line = "408 Malformed Request";
    else
        line = r->rest.n ? direct_by_subject(r, s, &b) : direct_by_body(r, s, &b);
    r->word[W_FLAGS] = b.no_hdr ? FLAG_NO_HDR : 0;
    yyjson_doc_free(doc);
    if (line)
        direct_status(r, line);
    else
        direct_read(r);
}
