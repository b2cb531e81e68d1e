/* api_message.c - single messages by sequence, subject or time: MSG.GET and MSG.DELETE. A read may wait for
 * the disk; the request then goes on where it was. MSG.GET sees everything and answers once that is durable.
 */
#include <stddef.h>

#include "base/must.h"
#include "jetstream/api.h"
#include "jetstream/codec_stream.h"
#include "jetstream/get_body.h"
#include "wire/json.h"

#define F(key, kind, member)                                                                                 \
    { key, JSON_##kind, offsetof(struct get_body, member), NULL, NULL }
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
const struct json_table get_body_table = {"JSApiMsgGetRequest", get_fields,
                                          sizeof get_fields / sizeof get_fields[0]};

/* What a request keeps over waits. */
enum { W_SEQ, W_NO_HDR };

uint64_t get_body_seq(const struct js_stream *s, const struct get_body *b, bool visible) {
    must(s->engine != NULL);
    uint64_t seq = b->start_time != GET_NO_TIME ? mr_seq_at(s->engine, b->start_time) : b->seq;
    if (b->next.n) return mr_seq_next(s->engine, seq ? seq : 1, js_bytes(b->next), visible);
    if (seq) return seq;
    return b->last.n ? mr_seq_last(s->engine, js_bytes(b->last), visible) : 0;
}

/* --- MSG.GET --- */

static void message_put(struct text *t, const struct mr_msg_view *v, bool no_hdr) {
    must(v->seq > 0);
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
    must(r->out.n == 0);
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
    message_put(api_begin(r), &v, r->word[W_NO_HDR]);
    text_lit(&r->out, "}");
    api_answer(r, API_DURABLE);
}

/* Exactly one way to name the message. */
static bool selector_ok(const struct get_body *b) {
    bool time = b->start_time != GET_NO_TIME;
    if (b->batch > 0 || b->max_bytes > 0) return false;
    if (b->seq == 0 && b->last.n == 0 && b->next.n == 0 && !time) return false;
    return !(b->seq && b->last.n) && !(b->seq && time) && !(time && b->last.n) && !(b->last.n && b->next.n);
}

void api_msg_get(struct api_req *r) {
    must(r->stream.n > 0);
    struct get_body b = GET_BODY_INIT;
    struct json_err je;
    if (api_body_is_empty(r->body)) {
        api_fail_with(r, JS_BAD_REQUEST, NULL);
        return;
    }
    yyjson_doc *doc = js_json_read(r->body, get_body_table.go_type, &je);
    bool ok = doc && json_decode(yyjson_doc_get_root(doc), &get_body_table, r->js->limits->strict, &b, &je);
    if (!ok) js_fail(&r->err, JS_INVALID_JSON, je.text);
    if (ok && !selector_ok(&b)) ok = js_fail(&r->err, JS_BAD_REQUEST, NULL);
    struct js_stream *s = ok ? api_stream(r) : NULL;
    if (s) {
        r->word[W_SEQ] = get_body_seq(s, &b, false);
        r->word[W_NO_HDR] = b.no_hdr;
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

/* matches nats-server, whose file store knows three ways of not having a message */
static void not_there(struct api_req *r, const struct js_stream *s, uint64_t seq) {
    must(s->engine != NULL);
    struct mr_stream_state st;
    mr_stream_state(s->engine, &st);
    bool file = mr_stream_config(s->engine)->storage == MR_FILE;
    if (file && seq > st.last_seq)
        js_fail(&r->err, JS_MSG_DELETE, "stream store EOF");
    else if (file && seq < st.first_seq)
        js_fail(&r->err, JS_MSG_DELETE, "no message found");
    else
        js_fail_u64(&r->err, JS_SEQ_NOT_FOUND, seq);
}

static bool delete_allowed(const struct js_stream *s, struct js_error *e) {
    const struct mr_stream_config *cfg = mr_stream_config(s->engine);
    if (cfg->sealed) return js_fail(e, JS_SEALED, NULL);
    if (cfg->deny_delete) return js_fail(e, JS_MSG_DELETE, "message delete not permitted");
    return true;
}

void api_msg_delete(struct api_req *r) {
    must(r->stream.n > 0);
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
    if (!s || !delete_allowed(s, &r->err)) {
        api_fail_durable(r);
        return;
    }
    enum mr_status st = mr_delete(s->engine, b.seq, !b.no_erase);
    if (st == MR_OK || st == MR_LATER) {
        api_answer_success(r, API_DURABLE);
        return;
    }
    if (api_busy(r, st)) return;
    if (st == MR_NONE)
        not_there(r, s, b.seq);
    else
        js_fail(&r->err, api_code_of(st, JS_MSG_DELETE), mr_status_text(st));
    api_fail_durable(r);
}
