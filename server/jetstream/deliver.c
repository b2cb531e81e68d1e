/* deliver.c - see deliver.h. Happy path: a request joins its consumer's queue; the consumer is ready; each
 * turn one message goes to the oldest request's inbox, with the subject it was stored under and an ack
 * subject as its reply. What can end a request without its batch: time, size, an inbox nobody listens to, the
 * consumer's end; each has its status line.
 *
 * A message that was taken from the engine and found no listener (an inbox that went away in this very tick)
 * is handed back at once, to be delivered again. No heap, but for inbox names longer than PULL_REPLY_INLINE.
 */
#include "jetstream/deliver.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/must.h"
#include "jetstream/api.h"
#include "jetstream/pull.h"
#include "jetstream/push.h"
#include "wire/gotime.h"
#include "wire/header.h"

enum {
    TURN_MSGS = 256, /* a consumer's turn in one tick */
    TURN_BYTES = 512 << 10,
    STATUS_MAX = 256,
    ACK_SUBJECT_MAX = 8 + 255 + 1 + 255 + 1 + 5 * 21,
    CONGESTED_EVERY = 32,
};

/* --- requests --- */

static void pull_free(struct js_consumer *c, struct pull *p) {
    must(c->pulls_n > 0);
    list_del(&p->link);
    c->pulls_n--;
    free(p->reply_long);
    pool_give(&c->stream->js->pulls, p);
    if (c->pulls_n == 0 && c->inactive_ns > 0) js_consumer_timer(c);
}

static struct pull *pull_new(struct js_consumer *c, const struct pull_ask *a, struct span reply) {
    must(a->batch > 0 && reply.n > 0 && reply.n <= JS_REPLY_MAX);
    struct js *js = c->stream->js;
    struct pull *p = pool_take(&js->pulls);
    if (!p) return NULL;
    *p = (struct pull){.batch_left = a->batch,
                       .bytes_left = a->max_bytes,
                       .bytes_limited = a->max_bytes > 0,
                       .no_wait = a->no_wait,
                       .heartbeat_ns = a->heartbeat_ns,
                       .reply_n = (uint32_t)reply.n};
    uint64_t now = js_now(js);
    if (a->expires_ns > 0) p->expires_ns = now + (uint64_t)a->expires_ns;
    if (a->expires_ns < 0) p->expires_ns = 1;
    if (a->heartbeat_ns > 0) p->heartbeat_at = now + (uint64_t)a->heartbeat_ns;
    if (reply.n > PULL_REPLY_INLINE && !(p->reply_long = malloc(reply.n))) {
        pool_give(&js->pulls, p);
        return NULL;
    }
    memcpy(p->reply_long ? p->reply_long : p->reply, reply.p, reply.n);
    list_init(&p->link);
    list_add_tail(&c->pulls, &p->link);
    c->pulls_n++;
    return p;
}

/* The status line alone. */
static size_t status_put(char out[STATUS_MAX], int code, const char *text) {
    int n = snprintf(out, STATUS_MAX, "NATS/1.0 %d %s\r\n\r\n", code, text);
    must(n > 0 && n < STATUS_MAX);
    return (size_t)n;
}

static size_t status_pending_put(char out[STATUS_MAX], int code, const char *text, const struct pull *p) {
    int n = snprintf(out, STATUS_MAX,
                     "NATS/1.0 %d %s\r\nNats-Pending-Messages: %lld\r\nNats-Pending-Bytes: %lld\r\n\r\n",
                     code, text, (long long)p->batch_left, (long long)p->bytes_left);
    must(n > 0 && n < STATUS_MAX);
    return (size_t)n;
}

/* From inside a route callback. */
static void refuse(struct js *js, struct span reply, int code, const char *text) {
    char out[STATUS_MAX + PULL_ERROR_MAX];
    int n = snprintf(out, sizeof out, "NATS/1.0 %d %s\r\n\r\n", code, text);
    must(n > 0 && (size_t)n < sizeof out);
    (void)js_later_put(js, reply, span_of(out, (size_t)n));
}

static void pull_end(struct js_consumer *c, struct pull *p, int code, const char *text,
                     bool pending_headers) {
    must(code >= 400);
    char out[STATUS_MAX];
    size_t n = pending_headers ? status_pending_put(out, code, text, p) : status_put(out, code, text);
    js_reply(c->stream->js, pull_reply(p), span_of(out, n), SPAN_EMPTY);
    pull_free(c, p);
}

void js_pulls_end(struct js_consumer *c, int code, const char *text, bool pending_headers) {
    list_each(l, tmp, &c->pulls) pull_end(c, container_of(l, struct pull, link), code, text, pending_headers);
    must(c->pulls_n == 0);
}

size_t js_pulls_sweep(struct js_consumer *c) {
    must(!list_empty(&c->pulls) || c->pulls_n == 0);
    struct js *js = c->stream->js;
    list_each(l, tmp, &c->pulls) {
        struct pull *p = container_of(l, struct pull, link);
        if (!route_interest(js->host.route, pull_reply(p))) pull_free(c, p);
    }
    return c->pulls_n;
}

static bool limits_ok(const struct js_consumer *c, const struct pull_ask *a, char why[PULL_ERROR_MAX]) {
    must(a->batch > 0);
    if (c->max_batch > 0 && a->batch > c->max_batch) {
        (void)snprintf(why, PULL_ERROR_MAX, "Exceeded MaxRequestBatch of %lld", (long long)c->max_batch);
        return false;
    }
    if (c->max_expires > 0 && a->expires_ns > c->max_expires) {
        char d[GODURATION_TEXT_MAX];
        size_t n = goduration_put(d, c->max_expires);
        (void)snprintf(why, PULL_ERROR_MAX, "Exceeded MaxRequestExpires of %.*s", (int)n, d);
        return false;
    }
    if (c->max_bytes > 0 && a->max_bytes > c->max_bytes) {
        (void)snprintf(why, PULL_ERROR_MAX, "Exceeded MaxRequestMaxBytes of %lld", (long long)c->max_bytes);
        return false;
    }
    return true;
}

/* Is more asked for already than there is? Then a request that would not wait is turned away. */
static bool requests_pending(const struct js_consumer *c) {
    must(c->engine != NULL);
    struct mr_consumer_state st;
    uint64_t asked = 0;
    if (c->pulls_n == 0) return false;
    for (const struct list *l = c->pulls.next; l != &c->pulls; l = l->next)
        asked += (uint64_t)container_of(l, struct pull, link)->batch_left;
    mr_consumer_state(c->engine, &st);
    return st.num_pending > 0 && st.num_pending < asked;
}

static void want_ready(struct js_consumer *c) {
    if (list_empty(&c->ready)) list_add_tail(&c->stream->js->ready, &c->ready);
}

void js_consumer_wake(struct js_consumer *c, uint64_t at) {
    must(c->timer.on_fire != NULL);
    if (at == 0 || at >= c->timer_ns) return;
    c->timer_ns = at;
    io_timer_set(c->stream->js->host.io, &c->timer, at);
}

void js_next_body(struct js_consumer *c, struct span reply, struct span body) {
    struct js *js = c->stream->js;
    struct pull_ask a;
    char why[PULL_ERROR_MAX];
    must(reply.n > 0 && reply.n <= JS_REPLY_MAX);
    if (!pull_ask_get(&a, body, why)) {
        char text[PULL_ERROR_MAX + 16];
        (void)snprintf(text, sizeof text, "Bad Request - %s", why);
        refuse(js, reply, 400, text);
        return;
    }
    c->active_ns = js_now(js);
    if (!limits_ok(c, &a, why)) {
        refuse(js, reply, 409, why);
        return;
    }
    if (a.no_wait && requests_pending(c)) {
        refuse(js, reply, 408, "Requests Pending");
        return;
    }
    struct pull *p = c->pulls_n < c->max_waiting ? pull_new(c, &a, reply) : NULL;
    if (!p) {
        /* The timer looks for requests nobody waits for any more. matches nats-server: who has a heartbeat
         * hears nothing and comes back by himself instead of at once */
        js_consumer_wake(c, 1);
        if (a.heartbeat_ns == 0) refuse(js, reply, 409, "Exceeded MaxWaiting");
        return;
    }
    js_consumer_wake(c, p->expires_ns);
    js_consumer_wake(c, p->heartbeat_at);
    if (c->ready_edge || p->no_wait) want_ready(c);
}

static void next_take(struct js_consumer *c, struct span reply, struct span body, bool level_ok) {
    must(reply.n > 0);
    if (c->push)
        refuse(c->stream->js, reply, 409, "Consumer is push based");
    else if (level_ok)
        js_next_body(c, reply, body);
    else
        refuse(c->stream->js, reply, 412, "Required Api Level");
}

bool js_next(struct js *js, struct span path, const struct msg *m) {
    struct span reply = js_reply_of(m->reply);
    struct js_consumer *c = js_consumer_find(js, path);
    if (c) {
        if (reply.n) next_take(c, reply, m->payload, api_level_ok(js, m->hdr));
        return true;
    }
    const uint8_t *dot = memchr(path.p, '.', path.n);
    const struct dir_entry *e =
        dot ? directory_find(&js->dir, span_of(path.p, (size_t)(dot - path.p))) : NULL;
    if (!e || e->shard == js->host.self) return false;
    if (reply.n == 0) return true;
    struct cast cast = {
        .kind = CAST_NEXT, .flag = api_level_ok(js, m->hdr), .part = {path, reply, m->payload}};
    cast_send(js, e->shard, &cast);
    return true;
}

void js_next_on_cast(struct js *js, const struct cast *cast) {
    struct js_consumer *c = js_consumer_find(js, cast->part[0]);
    if (c) {
        next_take(c, cast->part[1], cast->part[2], cast->flag);
        return;
    }
    /* What the router says when nobody listens. */
    char out[64 + 2 * 256 + 64];
    int n = snprintf(out, sizeof out, "NATS/1.0 503\r\nNats-Subject: $JS.API.CONSUMER.MSG.NEXT.%.*s\r\n\r\n",
                     (int)(cast->part[0].n < 512 ? cast->part[0].n : 512), cast->part[0].p);
    must(n > 0 && (size_t)n < sizeof out);
    (void)js_later_put(js, cast->part[1], span_of(out, (size_t)n));
}

/* --- messages --- */

void js_consumer_ready(struct js_consumer *c) {
    c->ready_edge = true;
    if (c->push ? c->push->active : c->pulls_n > 0) want_ready(c);
}

static size_t digits(uint64_t n) {
    size_t d = 1;
    while (n >= 10) {
        n /= 10;
        d++;
    }
    return d;
}

/* How long the next ack subject will be, as far as one can know before the message is chosen. */
static size_t ack_size(const struct js_consumer *c) {
    must(c->ack_prefix.n > 10);
    return c->ack_prefix.n + 1 + 1 + digits(c->last_sseq + 1) + 1 + digits(c->last_cseq + 1) + 1 + 19 + 1 +
           digits(c->last_pending ? c->last_pending - 1 : 0);
}

static size_t ack_put(uint8_t out[ACK_SUBJECT_MAX], const struct js_consumer *c,
                      const struct mr_delivery *d) {
    const uint64_t field[5] = {d->deliveries, d->view.seq, d->consumer_seq, (uint64_t)d->view.ts, d->pending};
    size_t n = c->ack_prefix.n;
    must(n + 5 * 21 <= ACK_SUBJECT_MAX);
    memcpy(out, c->ack_prefix.p, n);
    for (size_t i = 0; i < 5; i++) {
        if (i) out[n++] = '.';
        n += put_u64(out + n, field[i]);
    }
    return n;
}

/* Headers and "Nats-Msg-Size" instead of the payload. 0: does not fit. */
static size_t headers_only_put(uint8_t *out, size_t room, const struct mr_msg *m) {
    struct header_buf b;
    header_begin(&b, out, room, 0, SPAN_EMPTY);
    if (m->hdr.n) header_add_all(&b, js_span(m->hdr), NULL, 0);
    header_add_u64(&b, SPAN_LIT("Nats-Msg-Size"), m->payload.n);
    return header_end(&b);
}

void js_consumer_pause(struct js_consumer *c) {
    must(c->stream != NULL);
    c->pause_ns = js_now(c->stream->js) + JS_PAUSE_NS;
}

/* A client that lags keeps its consumer waiting, and nobody else. */
static size_t hand_out(struct js_consumer *c, struct span to, struct span subject, struct span reply,
                       struct span hdr, struct span payload) {
    bool congested = false;
    size_t n = js_publish(c->stream->js, to, subject, reply, hdr, payload, &congested);
    if (congested) js_consumer_pause(c);
    return n;
}

static size_t deliver_headers_only(struct js_consumer *c, struct span to, struct span ack,
                                   const struct mr_msg *m, size_t *size) {
    must(c->headers_only);
    uint8_t hdr[UINT16_MAX + 256];
    size_t n = headers_only_put(hdr, sizeof hdr, m);
    *size = m->subject.n + ack.n + n;
    return hand_out(c, to, js_span(m->subject), ack, span_of(hdr, n), SPAN_EMPTY);
}

size_t js_deliver_one(struct js_consumer *c, struct span to, const struct mr_delivery *d, size_t *size) {
    must(to.n > 0 && d->view.seq > 0 && d->deliveries > 0);
    uint8_t ack[ACK_SUBJECT_MAX];
    const struct mr_msg *m = &d->view.msg;
    struct span reply = span_of(ack, ack_put(ack, c, d));
    c->last_cseq = d->consumer_seq;
    c->last_sseq = d->view.seq;
    c->last_pending = d->pending;
    if (c->headers_only) return deliver_headers_only(c, to, reply, m, size);
    *size = m->subject.n + reply.n + m->hdr.n + m->payload.n;
    return hand_out(c, to, js_span(m->subject), reply, js_span(m->hdr), js_span(m->payload));
}

void js_hand_back(struct js_consumer *c, const struct mr_delivery *d) {
    must(d->consumer_seq > 0);
    struct mr_ack a = {.kind = MR_NAK, .seq = d->view.seq, .consumer_seq = d->consumer_seq};
    enum mr_status st = c->ack_none ? MR_OK : mr_consumer_ack(c->engine, &a, js_wall(c->stream->js));
    if (st != MR_OK && st != MR_LATER)
        log_line(c->stream->js->host.log, LOG_DEBUG, "jetstream: hand back: %s", mr_status_text(st));
}

static void account(struct js_consumer *c, struct pull *p, size_t size, uint64_t now) {
    must(p->batch_left > 0 && size > 0);
    p->delivered++;
    p->batch_left--;
    if (p->bytes_limited) {
        p->bytes_left = p->bytes_left > (int64_t)size ? p->bytes_left - (int64_t)size : 0;
        if (p->bytes_left == 0) p->batch_left = 0;
    }
    if (p->batch_left <= 0) {
        if (p->bytes_left > 0)
            pull_end(c, p, 409, "Batch Completed", true);
        else
            pull_free(c, p);
        return;
    }
    if (p->heartbeat_ns) p->heartbeat_at = now + (uint64_t)p->heartbeat_ns;
    list_del(&p->link); /* in turn */
    list_add_tail(&c->pulls, &p->link);
}

/* The request that is served next; those that can not be served any more are gone. */
static struct pull *pull_front(struct js_consumer *c, uint64_t now) {
    struct js *js = c->stream->js;
    must(c->stream->js->deliver_round > 0);
    while (c->pulls_n) {
        struct pull *p = container_of(c->pulls.next, struct pull, link);
        if (p->expires_ns && now >= p->expires_ns) {
            pull_end(c, p, 408, "Request Timeout", true);
            continue;
        }
        if (p->checked == js->deliver_round) return p;
        if (route_interest(js->host.route, pull_reply(p))) {
            p->checked = js->deliver_round;
            return p;
        }
        pull_free(c, p);
    }
    return NULL;
}

/* Nothing more: who would not wait is told. */
static void end_of_stream(struct js_consumer *c) {
    must(!c->push);
    list_each(l, tmp, &c->pulls) {
        struct pull *p = container_of(l, struct pull, link);
        if (p->no_wait && (p->expires_ns == 0 || p->delivered)) pull_end(c, p, 404, "No Messages", false);
    }
}

/* One turn. True: there may be more. */
static bool serve(struct js_consumer *c) {
    must(!c->push);
    struct js *js = c->stream->js;
    uint64_t now = js_now(js);
    int64_t wall = js_wall(js);
    size_t bytes = 0;
    for (size_t i = 0; i < TURN_MSGS && bytes < TURN_BYTES; i++) {
        struct pull *p = pull_front(c, now);
        if (!p) return false;
        if (i % CONGESTED_EVERY == 0 && js_way_congested(js, pull_reply(p))) js_consumer_pause(c);
        if (c->pause_ns) return true;
        struct mr_delivery d;
        enum mr_status st =
            mr_consumer_next(c->engine, wall, p->bytes_limited ? (size_t)p->bytes_left : 0, ack_size(c), &d);
        if (st == MR_TOO_LARGE) {
            pull_end(c, p, 409, "Message Size Exceeds MaxBytes", true);
            continue;
        }
        if (st != MR_OK) {
            c->ready_edge = false;
            if (st != MR_BUSY && st != MR_LATER) end_of_stream(c);
            return false;
        }
        size_t size = 0;
        c->active_ns = now;
        if (js_deliver_one(c, pull_reply(p), &d, &size) == 0) {
            js_hand_back(c, &d);
            pull_free(c, p);
        } else {
            account(c, p, size, now);
        }
        bytes += size;
    }
    return c->pulls_n > 0;
}

/* --- timers --- */

static void heartbeat(struct js_consumer *c, struct pull *p, uint64_t now) {
    char out[STATUS_MAX];
    int n =
        snprintf(out, sizeof out,
                 "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: %llu\r\nNats-Last-Stream: %llu\r\n\r\n",
                 (unsigned long long)c->last_cseq, (unsigned long long)c->last_sseq);
    must(n > 0 && (size_t)n < sizeof out);
    js_reply(c->stream->js, pull_reply(p), span_of(out, (size_t)n), SPAN_EMPTY);
    p->heartbeat_at = now + (uint64_t)p->heartbeat_ns;
}

/* Expired, forgotten, silent: the requests a timer is for. */
static void pulls_due(struct js_consumer *c, uint64_t now) {
    must(now > 0);
    struct js *js = c->stream->js;
    list_each(l, tmp, &c->pulls) {
        struct pull *p = container_of(l, struct pull, link);
        if (p->expires_ns && now >= p->expires_ns) {
            c->active_ns = now;
            pull_end(c, p, 408, "Request Timeout", true);
        } else if (!route_interest(js->host.route, pull_reply(p))) {
            pull_free(c, p);
        } else if (p->heartbeat_at && now >= p->heartbeat_at) {
            heartbeat(c, p, now);
        }
    }
}

/* When an unused consumer may go: its clients may still be at work on what they have. */
static uint64_t inactive_at(const struct js_consumer *c) {
    must(c->inactive_ns > 0);
    struct mr_consumer_state st;
    uint64_t at = c->active_ns + (uint64_t)c->inactive_ns;
    mr_consumer_state(c->engine, &st);
    const struct mr_consumer_config *cfg = mr_consumer_config(c->engine);
    if (!c->push && st.num_ack_pending > 0 && cfg->ack_wait_ns > 0) at += (uint64_t)cfg->ack_wait_ns;
    return at;
}

/* Is this one of those that go when nobody uses them, and does nobody now? */
static bool unused(const struct js_consumer *c) {
    return c->inactive_ns > 0 && (c->push ? !c->push->active : c->pulls_n == 0);
}

int64_t js_consumer_paused(const struct js_consumer *c) {
    int64_t left = c->paused_until ? c->paused_until - js_wall(c->stream->js) : 0;
    return left > 0 ? left : 0;
}

/* The pause may be over. */
static void resume(struct js_consumer *c) {
    must(c->paused_until != 0);
    if (js_consumer_paused(c) > 0) return;
    c->paused_until = 0;
    js_consumer_ready(c);
}

void js_consumer_timer(struct js_consumer *c) {
    int64_t paused = js_consumer_paused(c);
    if (paused > 0) js_consumer_wake(c, js_now(c->stream->js) + (uint64_t)paused);
    for (const struct list *l = c->pulls.next; l != &c->pulls; l = l->next) {
        const struct pull *p = container_of(l, struct pull, link);
        js_consumer_wake(c, p->expires_ns);
        js_consumer_wake(c, p->heartbeat_at);
    }
    if (c->push && c->push->active) js_consumer_wake(c, c->push->heartbeat_at);
    if (unused(c)) js_consumer_wake(c, c->active_ns + (uint64_t)c->inactive_ns);
}

static void consumer_expire(struct js_consumer *c) {
    must(unused(c));
    struct js *js = c->stream->js;
    enum mr_status st = mr_consumer_delete(c->engine);
    if (st != MR_OK && st != MR_LATER)
        log_line(js->host.log, LOG_WARN, "jetstream: removing inactive consumer %.*s: %s", (int)c->path.n,
                 c->path.p, mr_status_text(st));
    js_consumer_drop(c, 409, "Consumer Deleted");
}

static void due(struct js_consumer *c) {
    must(list_empty(&c->due));
    uint64_t now = js_now(c->stream->js);
    if (c->paused_until) resume(c);
    pulls_due(c, now);
    if (c->push) js_push_due(c);
    if (unused(c)) {
        uint64_t at = inactive_at(c);
        if (now >= at) {
            consumer_expire(c);
            return;
        }
        js_consumer_wake(c, at);
    }
    js_consumer_timer(c);
}

/* One consumer's turn; those that pause keep their place for a later one. */
static void turn(struct js *js, struct js_consumer *c) {
    must(list_empty(&c->ready));
    if (js_consumer_paused(c) > 0) { /* requests wait as if there was nothing */
        if (!c->push) end_of_stream(c);
        return;
    }
    bool waits = js_now(js) < c->pause_ns;
    if (!waits) c->pause_ns = 0;
    if (!waits && !(c->push ? js_push_serve(c) : serve(c))) return;
    want_ready(c);
    *(c->pause_ns ? &js->paused : &js->more) = true;
}

void js_deliver_all(struct js *js) {
    must(js->engine != NULL);
    struct list now;
    list_init(&now);
    js->deliver_round++;
    js->more = js->paused = false;
    js_push_interest(js);
    for (struct list *l; (l = list_pop(&js->ready));) list_add_tail(&now, l);
    for (struct list *l; (l = list_pop(&now));) turn(js, container_of(l, struct js_consumer, ready));
    list_init(&now);
    for (struct list *l; (l = list_pop(&js->due));) list_add_tail(&now, l);
    for (struct list *l; (l = list_pop(&now));) due(container_of(l, struct js_consumer, due));
}
