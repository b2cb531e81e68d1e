/* shape_consume.c - pull consumers. Without a rate: messages are published first, untimed, then read as fast
 * as they come (catch-up). With a rate: publishers send by schedule while the consumer follows, and latency
 * is from the intended send time to delivery (tail). All receivers share one consumer. Judged: each message
 * is delivered once, holds what was published under its sequence, in order where one receiver reads alone;
 * with acknowledgements, the consumer's floor ends at the last message and nothing is left pending. */
#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"
#include "host/clock.h"
#include "load/delivery.h"
#include "load/fill.h"
#include "load/shape_stream.h"

enum { ACK_PENDING_MAX = 20000, REQUESTS_AHEAD = 2 };

/* Everything the receivers of a run share: which sequences were delivered, a bit each. */
struct seen {
    _Atomic uint64_t *bits;
    uint64_t limit;
};

static struct seen seen; /* one run at a time in a process */

static uint64_t messages_limit(const struct work *w) {
    double seconds = (double)(w->warmup_ns + w->duration_ns) / 1e9 + 60;
    return w->messages ? w->messages : (uint64_t)(w->rate * seconds) + 1000;
}

static bool prepare(struct run *r) {
    const struct work *w = r->work;
    char name[32];
    stream_name(w, 0, name, sizeof name);
    if (!(w->rate > 0 ? stream_prepare(r) : fill_stream(w, r->target, r->control, r->why, sizeof r->why)))
        return false;
    seen.limit = messages_limit(w);
    seen.bits = calloc(seen.limit / 64 + 1, sizeof *seen.bits);
    must(seen.bits);
    return api_consumer_make(&r->api, name, "mrb", w->acks, ACK_PENDING_MAX);
}

static bool open_link(struct run *r, struct link *l) {
    if (l->sender) return stream_open_sender(r, l);
    char text[96];
    snprintf(text, sizeof text, "SUB %s.%u 7\r\n", r->inbox, l->conn.id);
    conn_put_text(&l->conn, text);
    return true;
}

/* Keeps two requests under way. */
static void turn(struct link *l) {
    const struct run *r = l->lane->run;
    const struct work *w = r->work;
    if (l->sender) return;
    while (l->asked < l->came + (uint64_t)REQUESTS_AHEAD * w->batch) {
        char body[64], line[200], name[32];
        stream_name(w, 0, name, sizeof name);
        int body_n = snprintf(body, sizeof body, "{\"batch\":%u,\"expires\":30000000000}", w->batch);
        int n = snprintf(line, sizeof line, "PUB $JS.API.CONSUMER.MSG.NEXT.%s.mrb %s.%u %d\r\n%s\r\n", name,
                         r->inbox, l->conn.id, body_n, body);
        conn_put(&l->conn, line, (size_t)n);
        l->asked += w->batch;
    }
}

/* A request ended early: what it did not deliver is asked for again. */
static void on_status(struct link *l, const struct incoming *m) {
    uint64_t left;
    if (delivery_status(l, m, &left)) l->asked -= left < l->asked ? left : l->asked;
}

static bool judge(struct link *l, const struct incoming *m, uint64_t *at) {
    const struct run *r = l->lane->run;
    uint64_t delivered, sequence, tag;
    if (!delivery_sequence(m->reply, &delivered, &sequence)) {
        lane_void(l->lane, "a delivery's reply subject is not understood: %.*s", (int)m->reply.n,
                  (const char *)m->reply.p);
    } else if (!payload_get(&r->payload, m->payload, &tag, at)) {
        lane_void(l->lane, "sequence %llu came back altered", (unsigned long long)sequence);
    } else if (sequence == 0 || sequence > seen.limit) {
        lane_void(l->lane, "sequence %llu was never acknowledged", (unsigned long long)sequence);
    } else if (r->payload.size >= PAYLOAD_TAG && r->work->publishers <= 1 &&
               tag_number(tag) != sequence - 1) {
        lane_void(l->lane, "sequence %llu holds message %llu", (unsigned long long)sequence,
                  (unsigned long long)tag_number(tag));
    } else if (r->work->subscribers == 1 && sequence != l->came + 1) {
        lane_void(l->lane, "sequence %llu was delivered where %llu was due", (unsigned long long)sequence,
                  (unsigned long long)l->came + 1);
    } else {
        uint64_t bit = (uint64_t)1 << (sequence % 64);
        if (!(atomic_fetch_or_explicit(&seen.bits[sequence / 64], bit, memory_order_relaxed) & bit))
            return true;
        lane_void(l->lane, "sequence %llu was delivered again (delivery %llu)", (unsigned long long)sequence,
                  (unsigned long long)delivered);
    }
    return false;
}

static void acknowledge(struct link *l, const struct incoming *m) {
    static const char end[] = " 4\r\n+ACK\r\n";
    uint8_t *p = conn_room(&l->conn, 4 + m->reply.n + sizeof end - 1);
    memcpy(p, "PUB ", 4);
    memcpy(p + 4, m->reply.p, m->reply.n);
    memcpy(p + 4 + m->reply.n, end, sizeof end - 1);
}

static void on_message(void *ctx, struct conn *conn, const struct incoming *m, uint64_t now) {
    (void)conn;
    struct link *l = ctx;
    uint64_t at;
    if (l->sender) {
        stream_on_ack(l, m, now, false);
    } else if (m->reply.n == 0) {
        on_status(l, m);
    } else if (judge(l, m, &at)) {
        if (l->lane->run->work->acks) acknowledge(l, m);
        l->came++;
        lane_came(l->lane, l->lane->run->work->rate > 0 ? at : UINT64_MAX, now, m->payload.n);
    }
}

static bool complete(struct lane *lane) {
    const struct run *r = lane->run;
    uint64_t came = run_came(r);
    /* Catch-up ends early on Ctrl-C: whatever came until then is right. */
    if (r->work->rate == 0)
        return came >= r->work->messages || atomic_load_explicit(&r->stop, memory_order_relaxed);
    return stream_answered(lane) && came == run_sent(r);
}

/* A work queue holds nothing when everything is acknowledged. */
static bool is_empty(struct run *r, const char *name) {
    struct stream_state s;
    if (!api_stream_state(&r->api, name, &s)) return false;
    if (s.messages)
        snprintf(r->why, sizeof r->why,
                 "%llu messages are left in the work queue although all were acknowledged",
                 (unsigned long long)s.messages);
    return s.messages == 0;
}

static bool check(struct run *r) {
    const struct work *w = r->work;
    char name[32];
    stream_name(w, 0, name, sizeof name);
    uint64_t came = 0, until = now_ns() + w->patience_ns;
    for (uint32_t i = 0; i < r->lanes_n; i++) came += r->lanes[i].came;
    if (w->rate > 0 && !stream_check(r)) return false;
    struct consumer_state s = {0};
    bool whole = w->rate > 0 || came == w->messages;
    while (w->acks && whole) {
        if (!api_consumer_state(&r->api, name, "mrb", &s)) return false;
        if (s.floor == came && s.ack_pending == 0) break;
        if (now_ns() > until) {
            snprintf(r->why, sizeof r->why,
                     "%llu were acknowledged, but the consumer's floor is %llu with %llu pending",
                     (unsigned long long)came, (unsigned long long)s.floor,
                     (unsigned long long)s.ack_pending);
            return false;
        }
        sleep_ns(NS_PER_S / 100);
    }
    if (w->work_queue && whole && !is_empty(r, name)) return false;
    return r->target->program[0] || stream_drop_all(r);
}

static void close_link(struct run *r, struct link *l) {
    (void)r, (void)l;
    free(seen.bits);
    seen.bits = NULL;
}

const struct shape shape_consume = {.prepare = prepare,
                                    .open = open_link,
                                    .may_send = stream_may_send,
                                    .send = stream_send,
                                    .on_message = on_message,
                                    .turn = turn,
                                    .complete = complete,
                                    .check = check,
                                    .close = close_link};
