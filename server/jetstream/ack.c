/* ack.c - see ack.h. Happy path: the subject names consumer and sequences, the payload the verb; the engine
 * takes it at once, or the shard that has the stream does. An acknowledgement with a reply is answered with
 * an empty message once it is durable. What fails: a subject that names no consumer has no responder;
 * everything else the engine knows how to ignore. */
#include "jetstream/ack.h"

#include "base/must.h"
#include "jetstream/deliver.h"
#include "wire/gotime.h"
#include "wire/json.h"

enum { ACK_TOKENS_MAX = 12 };
#define LOST_SAID_EVERY_NS UINT64_C(10000000000)

static bool decimal(struct span s, uint64_t *out) {
    must(out != NULL);
    uint64_t v = 0;
    if (s.n == 0 || s.n > 19) return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') return false;
        v = v * 10 + (uint64_t)(s.p[i] - '0');
    }
    *out = v;
    return true;
}

bool ack_subject_get(struct span subject, struct ack_subject *a) {
    must(a != NULL);
    struct span pre = SPAN_LIT("$JS.ACK."), token[ACK_TOKENS_MAX];
    if (!span_starts(subject, pre)) return false;
    size_t n = 0, from = pre.n;
    for (size_t i = pre.n; i <= subject.n && n < ACK_TOKENS_MAX; i++) {
        if (i < subject.n && subject.p[i] != '.') continue;
        token[n++] = span_of(subject.p + from, i - from);
        from = i + 1;
    }
    size_t at = n == 7 ? 0 : n >= 9 ? 2 : ACK_TOKENS_MAX; /* the longer form begins with domain and account */
    if (at == ACK_TOKENS_MAX || token[at].n == 0 || token[at + 1].n == 0) return false;
    a->stream = token[at];
    a->path = span_of(token[at].p, token[at].n + 1 + token[at + 1].n);
    return decimal(token[at + 2], &a->delivered) && decimal(token[at + 3], &a->sseq) &&
           decimal(token[at + 4], &a->cseq);
}

enum ack_verb ack_verb_get(struct span p, struct span *rest) {
    must(rest != NULL);
    *rest = SPAN_EMPTY;
    if (p.n == 0 || span_eq(p, SPAN_LIT("+ACK")) || span_eq(p, SPAN_LIT("+OK"))) return ACK_ACK;
    if (p.n < 4) return ACK_NOTHING;
    *rest = span_skip(p, 4);
    if (span_starts(p, SPAN_LIT("+NXT"))) return ACK_NEXT;
    if (span_starts(p, SPAN_LIT("-NAK"))) return ACK_NAK;
    if (span_eq(p, SPAN_LIT("+WPI"))) return ACK_PROGRESS;
    if (span_starts(p, SPAN_LIT("+TERM"))) {
        *rest = span_skip(p, 5);
        return ACK_TERM;
    }
    *rest = SPAN_EMPTY;
    return ACK_NOTHING;
}

int64_t ack_delay_get(struct span rest) {
    int64_t delay = 0;
    while (rest.n && (rest.p[0] == ' ' || rest.p[0] == '\t')) rest = span_skip(rest, 1);
    while (rest.n && (rest.p[rest.n - 1] == ' ' || rest.p[rest.n - 1] == '\n' || rest.p[rest.n - 1] == '\r'))
        rest.n--;
    if (rest.n == 0 || rest.n > 1024) return 0;
    if (rest.p[0] != '{') return goduration_get(rest, &delay) && delay > 0 ? delay : 0;
    struct json_err je;
    yyjson_doc *doc = json_read(rest, JSON_DEPTH_MAX, &je);
    if (!json_get_i64(yyjson_doc_get_root(doc), "delay", 0, INT64_MAX, &delay)) delay = 0;
    yyjson_doc_free(doc);
    return delay;
}

/* matches nats-server, whose only answer to a confirmed acknowledgement is success: clients take any message
 * for it, some even a "503", so one that could not be made durable is not answered at all. The client's
 * request times out, and the message comes again. */
static void ack_lost(struct js *js, enum mr_status why) {
    must(why != MR_OK);
    uint64_t now = js_now(js);
    js->acks_lost++;
    if (js->acks_lost_said_ns && now - js->acks_lost_said_ns < LOST_SAID_EVERY_NS) return;
    log_line(js->host.log, LOG_ERROR, "jetstream: %llu acknowledgement%s to be confirmed not answered: %s",
             (unsigned long long)js->acks_lost, js->acks_lost == 1 ? "" : "s", mr_status_text(why));
    js->acks_lost_said_ns = now;
    js->acks_lost = 0;
}

/* Hands one to the engine. */
static void ack_take(struct js_consumer *c, const struct ack_subject *s, struct span reply,
                     struct span payload) {
    must(c->engine && c->stream);
    must(s->path.n == c->path.n);
    struct js *js = c->stream->js;
    struct span rest;
    enum ack_verb verb = ack_verb_get(payload, &rest);
    struct mr_ack a = {.kind = MR_ACK, .seq = s->sseq, .consumer_seq = s->cseq};
    if (verb == ACK_NAK) {
        a.kind = MR_NAK;
        a.delay_ns = rest.n ? ack_delay_get(rest) : 0;
    } else if (verb == ACK_PROGRESS) {
        a.kind = MR_PROGRESS;
    } else if (verb == ACK_TERM) {
        a.kind = MR_TERM;
    }
    if (verb == ACK_NOTHING) {
        /* matches nats-server: an unknown payload changes nothing and is answered */
        if (reply.n) (void)js_later_put(js, reply, SPAN_EMPTY);
        return;
    }
    a.want_done = reply.n > 0 && verb != ACK_NEXT;
    if (a.want_done) a.note = js_bytes(reply);
    c->active_ns = js_now(js);
    enum mr_status st = mr_consumer_ack(c->engine, &a, js_wall(js));
    if (st == MR_BUSY) { /* no room for who wants to know; it counts all the same */
        ack_lost(js, st);
        a.want_done = false;
        st = mr_consumer_ack(c->engine, &a, js_wall(js));
    }
    if (st != MR_OK && st != MR_LATER)
        log_line(js->host.log, LOG_DEBUG, "jetstream: ack refused: %s", mr_status_text(st));
    if (verb == ACK_NEXT && reply.n) js_next_body(c, reply, rest);
}

void js_ack_done(struct js *js, const struct mr_done *d) {
    must(d->kind == MR_DONE_ACK);
    if (d->status == MR_OK)
        js_reply(js, js_span(d->note), SPAN_EMPTY, SPAN_EMPTY);
    else
        ack_lost(js, d->status);
}

static struct js_consumer *ack_consumer(struct js *js, struct span path) {
    must(path.n > 0);
    struct js_consumer *c = js->ack_memo;
    if (c && span_eq(c->path, path)) return c;
    c = js_consumer_find(js, path);
    if (c) js->ack_memo = c;
    return c;
}

static bool ack_deliver(struct sink *sink, struct sub *sub, struct route_msg *m) {
    struct js *js = container_of(sink, struct js, ack_sink);
    must(sub == &js->ack_sub);
    struct ack_subject a;
    struct span reply = js_reply_of(m->msg.reply);
    if (!ack_subject_get(m->msg.subject, &a)) return false;
    struct js_consumer *c = ack_consumer(js, a.path);
    if (c) {
        ack_take(c, &a, reply, m->msg.payload);
        return true;
    }
    const struct dir_entry *e = directory_find(&js->dir, a.stream);
    if (!e || e->shard == js->host.self) return false;
    struct cast cast = {.kind = CAST_ACK, .part = {m->msg.subject, SPAN_EMPTY, reply, m->msg.payload}};
    cast_send(js, e->shard, &cast);
    return true;
}

/* "503" as the router answers when nobody listens. */
static void no_responders(struct js *js, struct span reply, struct span subject) {
    must(span_starts(subject, SPAN_LIT("$JS.")));
    char hdr[64 + JS_REPLY_MAX];
    if (reply.n == 0 || subject.n > JS_REPLY_MAX) return;
    static const char head[] = "NATS/1.0 503\r\nNats-Subject: ";
    size_t n = sizeof head - 1;
    memcpy(hdr, head, n);
    memcpy(hdr + n, subject.p, subject.n);
    memcpy(hdr + n + subject.n, "\r\n\r\n", 4);
    (void)js_later_put(js, reply, span_of(hdr, n + subject.n + 4));
}

void js_ack_on_cast(struct js *js, const struct cast *c) {
    struct ack_subject a;
    bool ok = ack_subject_get(c->part[0], &a);
    must(ok);
    struct js_consumer *to = ack_consumer(js, a.path);
    if (to)
        ack_take(to, &a, c->part[2], c->part[3]);
    else
        no_responders(js, c->part[2], c->part[0]);
}

enum err js_ack_open(struct js *js) {
    must(js->ack_sub.entry.node == NULL);
    js->ack_sink.deliver = ack_deliver;
    js->ack_sub = (struct sub){.sink = &js->ack_sink, .subject = SPAN_LIT("$JS.ACK.>"), .local_only = true};
    return route_subscribe(js->host.route, &js->ack_sub);
}

void js_ack_close(struct js *js) { route_unsubscribe(js->host.route, &js->ack_sub); }
