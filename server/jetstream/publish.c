/* publish.c - see publish.h. Happy path: no headers, a reply subject: the engine takes the message with the
 * reply as its note, and when it is durable `{"stream":"S","seq":12}` goes to that reply. What fails: a
 * refusal is formatted at once and leaves behind a barrier, because it depends on messages that may not be
 * durable yet, and so answers keep their order. No heap. */
#include "jetstream/publish.h"

#include "base/bytes.h"
#include "base/must.h"
#include "jetstream/api.h"
#include "jetstream/batch.h"
#include "wire/header.h"

enum { HEADER_MAX = UINT16_MAX, NOTE_MAX = 8192, ACK_MAX = 4096 };

/* A sequence in a header; what cannot be read matches nothing. */
static uint64_t header_seq(struct span v) {
    uint64_t n;
    return get_u64(v, &n) ? n : UINT64_MAX;
}

/* All headers this server knows; the first of equal names counts. */
struct nats_headers {
    struct span msg_id, stream, last_seq, last_subject_seq, last_subject, last_msg_id, rollup, ttl, incr,
        schedule, schedule_next, scheduler, source;
};

#define H(key, member)                                                                                       \
    { SPAN_LIT("Nats-" key), offsetof(struct nats_headers, member) }
static const struct {
    struct span key;
    size_t at;
} known[] = {
    H("Msg-Id", msg_id),
    H("Expected-Stream", stream),
    H("Expected-Last-Sequence", last_seq),
    H("Expected-Last-Subject-Sequence", last_subject_seq),
    H("Expected-Last-Subject-Sequence-Subject", last_subject),
    H("Expected-Last-Msg-Id", last_msg_id),
    H("Rollup", rollup),
    H("TTL", ttl),
    H("Incr", incr),
    H("Schedule", schedule),
    H("Schedule-Next", schedule_next),
    H("Scheduler", scheduler),
    H("Stream-Source", source),
};
#undef H

static void headers_read(struct nats_headers *h, struct span hdr) {
    must(hdr.n > 0);
    struct header_iter it;
    struct span key, value;
    *h = (struct nats_headers){0};
    header_iter_init(&it, hdr);
    while (header_next(&it, &key, &value)) {
        if (key.n < 8 || memcmp(key.p, "Nats-", 5) != 0) continue;
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
            if (!span_eq(key, known[i].key)) continue;
            struct span *to = (struct span *)((uint8_t *)h + known[i].at);
            if (!to->p) *to = value;
            break;
        }
    }
}

static bool refuse_features(const struct nats_headers *h, const struct js_stream *s, struct js_error *e) {
    if (h->incr.n) return js_fail(e, JS_COUNTER_DISABLED, NULL);
    if (h->stream.n && !span_eq(h->stream, s->name)) return js_fail(e, JS_EXPECTED_STREAM, NULL);
    if (h->ttl.n) return js_fail(e, JS_TTL_DISABLED, NULL);
    if (!h->last_subject_seq.n && h->last_subject.n) return js_fail(e, JS_SEQ_MISSING, NULL);
    if (h->schedule.n) return js_fail(e, JS_SCHEDULES_DISABLED, NULL);
    if (h->schedule_next.n || h->scheduler.n) return js_fail(e, JS_SCHEDULER, NULL);
    if (h->source.n) return js_fail(e, JS_SOURCE_HEADER, NULL);
    return true;
}

static bool rollup_get(struct span v, const struct js_stream *s, struct publish_ask *a) {
    if (v.n == 0) return true;
    if (!s->allow_rollup) return js_fail(&a->err, JS_ROLLUP, "rollup not permitted");
    if (span_eq(v, SPAN_LIT("sub")))
        a->opts.rollup = MR_ROLLUP_SUBJECT;
    else if (span_eq(v, SPAN_LIT("all")))
        a->opts.rollup = MR_ROLLUP_ALL;
    else
        return js_failf(&a->err, JS_ROLLUP, "rollup value invalid: \"%.*s\"", (int)v.n, v.p);
    return true;
}

bool publish_ask_get(struct publish_ask *a, const struct js_stream *s, struct span hdr) {
    must(a && s);
    struct nats_headers h;
    headers_read(&h, hdr);
    if (!refuse_features(&h, s, &a->err)) return false;
    struct mr_append_opts *o = &a->opts;
    o->msg_id = js_bytes(h.msg_id);
    o->expect_last_msg_id = js_bytes(h.last_msg_id);
    if ((o->expect_last_seq = h.last_seq.n > 0)) o->last_seq = header_seq(h.last_seq);
    if ((o->expect_last_subject_seq = h.last_subject_seq.n > 0)) {
        o->last_subject_seq = header_seq(h.last_subject_seq);
        o->last_subject_filter = js_bytes(h.last_subject);
    }
    return rollup_get(h.rollup, s, a);
}

/* A decided answer waits for what it depends on: the note is the reply's length, the reply, the text. */
enum mr_status publish_answer(struct js_stream *s, struct span reply, struct span text) {
    must(reply.n <= JS_REPLY_MAX);
    uint8_t note[NOTE_MAX];
    if (2 + reply.n + text.n > sizeof note) return MR_OK;
    store16(note, (uint16_t)reply.n);
    memcpy(note + 2, reply.p, reply.n);
    memcpy(note + 2 + reply.n, text.p, text.n);
    return mr_barrier(s->js->engine, s->engine, 0, (struct mr_bytes){note, 2 + reply.n + text.n});
}

/* Into out: `{"error":{...},"stream":"S","seq":0}`. Error texts hold only what a header may hold; quotes are
 * escaped. */
static size_t error_put(uint8_t *out, size_t room, const struct js_stream *s, const struct js_error *e) {
    struct text t = {.p = out, .cap = room, .fixed = true};
    text_lit(&t, "{\"error\":");
    js_error_put(&t, e);
    text_lit(&t, ",");
    text_raw(&t, span_skip(s->ack_bare, 1));
    text_lit(&t, "0}");
    must(!t.failed);
    return t.n;
}

enum mr_status publish_refuse(struct js_stream *s, struct span reply, const struct js_error *e) {
    must(e->code != JS_OK);
    /* 512 bytes of description, each at most six escaped, and the stream's name twice over */
    uint8_t out[512 * 6 + 255 * 6 + 1024];
    if (reply.n == 0 || s->no_ack) return MR_OK;
    return publish_answer(s, reply, span_of(out, error_put(out, sizeof out, s, e)));
}

void publish_ack_put(struct text *t, const struct js_stream *s, uint64_t seq, bool duplicate,
                     struct span batch, uint64_t count) {
    text_raw(t, s->ack_head);
    text_u64(t, seq);
    if (duplicate) text_lit(t, ",\"duplicate\": true"); /* the blank is nats-server's */
    if (batch.n) {
        text_key_str(t, "batch", batch);
        text_key_u64(t, "count", count);
    }
    text_lit(t, "}");
    must(!t->failed);
}

static enum mr_status duplicate(struct js_stream *s, struct span reply, uint64_t seq) {
    must(seq > 0);
    uint8_t out[ACK_MAX];
    struct text t = {.p = out, .cap = sizeof out, .fixed = true};
    if (reply.n == 0 || s->no_ack) return MR_OK;
    publish_ack_put(&t, s, seq, true, SPAN_EMPTY, 0);
    return publish_answer(s, reply, text_span(&t));
}

void publish_ack_batch(struct js *js, struct js_stream *s, struct span reply, uint64_t seq, struct span batch,
                       uint64_t count) {
    uint8_t out[ACK_MAX];
    struct text t = {.p = out, .cap = sizeof out, .fixed = true};
    publish_ack_put(&t, s, seq, false, batch, count);
    js_reply(js, reply, SPAN_EMPTY, text_span(&t));
}

/* The engine's refusal in nats-server's words. */
void publish_error_get(struct js_error *e, enum mr_status st, const struct mr_append_result *r) {
    must(st != MR_OK && st != MR_BUSY);
    switch (st) {
    case MR_SEALED: js_fail(e, JS_SEALED, NULL); return;
    case MR_WRONG_LAST_SEQ: js_fail_u64(e, JS_WRONG_LAST_SEQ, r->seq); return;
    case MR_WRONG_LAST_ID: js_failf(e, JS_WRONG_LAST_ID, "%.*s", (int)r->last_id.n, r->last_id.p); return;
    case MR_DENIED: js_fail(e, JS_ROLLUP, "rollup not permitted"); return;
    case MR_TOO_LARGE: js_fail(e, JS_TOO_LARGE, NULL); return;
    case MR_STORAGE_FULL:
    case MR_MEMORY_FULL:
    case MR_NOMEM: js_fail(e, JS_INSUFFICIENT_RESOURCES, NULL); return;
    default: js_fail(e, JS_STORE_FAILED, mr_status_text(st)); return;
    }
}

static bool size_ok(const struct js_stream *s, const struct msg *m, struct js_error *e) {
    must(e->code == JS_OK);
    if (s->sealed) return js_fail(e, JS_SEALED, NULL);
    if (s->max_msg_size >= 0 && msg_size(m) > (size_t)s->max_msg_size) return js_fail(e, JS_TOO_LARGE, NULL);
    if (m->hdr.n > HEADER_MAX) return js_fail(e, JS_HEADER_TOO_LARGE, NULL);
    return true;
}

enum mr_status js_publish_take(struct js_stream *s, const struct msg *m) {
    must(s->engine && m->subject.n > 0);
    struct publish_ask a;
    struct mr_append_result r = {0};
    struct mr_msg msg = {js_bytes(m->subject), js_bytes(m->hdr), js_bytes(m->payload)};
    memset(&a.opts, 0, sizeof a.opts);
    a.err.code = JS_OK;
    if (!size_ok(s, m, &a.err)) return publish_refuse(s, m->reply, &a.err);
    struct span batch;
    if (js_fast_is_part(m)) return js_fast_take(s, m);
    if (js_batch_is_part(m, &batch)) return js_batch_take(s, m, batch);
    if (m->hdr.n && !publish_ask_get(&a, s, m->hdr)) return publish_refuse(s, m->reply, &a.err);
    a.opts.want_done = m->reply.n > 0 && !s->no_ack;
    if (a.opts.want_done) a.opts.note = js_bytes(m->reply);
    enum mr_status st = mr_append(s->engine, &msg, &a.opts, &r);
    if (st == MR_OK || st == MR_LATER) return MR_OK;
    if (st == MR_BUSY) return MR_BUSY;
    if (st == MR_DUPLICATE) return duplicate(s, m->reply, r.seq);
    publish_error_get(&a.err, st, &r);
    return publish_refuse(s, m->reply, &a.err);
}

/* No room in the queue of the stalled either. */
static void refuse_stalled(struct js_stream *s, const struct msg *m) {
    must(m->subject.n > 0);
    struct js_error e;
    js_fail(&e, JS_INSUFFICIENT_RESOURCES, NULL);
    (void)publish_refuse(s, m->reply, &e);
}

bool js_publish_deliver(struct sink *sink, struct sub *sub, struct route_msg *m) {
    struct js_stream *s = container_of(sink, struct js_stream, sink);
    struct js *js = s->js;
    struct msg cut;
    const struct msg *msg = &m->msg;
    must(sub->sink == sink);
    if (msg->reply.n > JS_REPLY_MAX) {
        cut = *msg;
        cut.reply = SPAN_EMPTY;
        msg = &cut;
    }
    if (js_stall_empty(js, s->stalls_in) && js_publish_take(s, msg) != MR_BUSY) return true;
    m->congested = m->log_full = true;
    if (!js_stall_put(js, s, msg)) refuse_stalled(s, msg);
    return true;
}

static void ack_durable(struct js *js, struct js_stream *s, const struct mr_done *d) {
    uint8_t out[2048];
    size_t n = s->ack_head.n;
    must(n + 21 <= sizeof out);
    memcpy(out, s->ack_head.p, n);
    n += put_u64(out + n, d->seq);
    out[n++] = '}';
    js_reply(js, js_span(d->note), SPAN_EMPTY, span_of(out, n));
}

void publish_lost(struct js *js, struct js_stream *s, const struct mr_done *d) {
    uint8_t out[4096];
    struct js_error e;
    if (!s)
        js_fail(&e, JS_STREAM_NOT_FOUND, NULL);
    else
        publish_error_get(&e, d->status, &(struct mr_append_result){0});
    size_t n;
    if (s) {
        n = error_put(out, sizeof out, s, &e);
    } else {
        struct text t = {.p = out, .cap = sizeof out, .fixed = true};
        text_lit(&t, "{\"error\":");
        js_error_put(&t, &e);
        text_lit(&t, ",\"stream\":\"\",\"seq\":0}");
        must(!t.failed);
        n = t.n;
    }
    js_reply(js, js_span(d->note), SPAN_EMPTY, span_of(out, n));
}

void js_publish_done(struct js *js, const struct mr_done *d) {
    if (d->kind == MR_DONE_BARRIER) {
        must(d->note.n >= 2);
        size_t reply_n = load16(d->note.p);
        must(2 + reply_n <= d->note.n);
        js_reply(js, span_of(d->note.p + 2, reply_n), SPAN_EMPTY,
                 span_of(d->note.p + 2 + reply_n, d->note.n - 2 - reply_n));
        return;
    }
    must(d->kind == MR_DONE_APPEND);
    struct js_stream *s = d->stream ? mr_stream_user(d->stream) : NULL;
    if (publish_kind_of(d->tag) == PUBLISH_BATCH)
        js_batch_done(js, s, d);
    else if (publish_kind_of(d->tag) == PUBLISH_FAST)
        js_fast_done(js, s, d);
    else if (s && d->status == MR_OK)
        ack_durable(js, s, d);
    else
        publish_lost(js, s, d);
}
