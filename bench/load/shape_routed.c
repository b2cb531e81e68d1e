/* shape_routed.c - one stream with many pull consumers, each with a subject of its own: every message goes to
 * one of them, so the work is the same however many there are. Judged: each consumer gets what was published
 * to its subject, once, in order, unaltered. One receiver asks for all of them. */
#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"
#include "load/delivery.h"
#include "load/shape_stream.h"

/* A consumer, as its receiver sees it. */
struct taker {
    uint64_t asked, came, last;
};

static bool prepare(struct run *r) {
    const struct work *w = r->work;
    char stream[32], name[32], filter[32];
    uint64_t pending;
    must(w->consumers == w->subjects && w->streams == 1 && w->subscribers == 1 && w->publishers == 1);
    if (!stream_prepare(r)) return false;
    stream_name(w, 0, stream, sizeof stream);
    for (uint32_t i = 0; i < w->consumers; i++) {
        snprintf(name, sizeof name, "take%u", i);
        snprintf(filter, sizeof filter, w->subjects > 1 ? "mrb.0.%u" : "mrb.0", i);
        if (!api_consumer_filter(&r->api, stream, name, filter, &pending)) return false;
    }
    return true;
}

static bool open_link(struct run *r, struct link *l) {
    if (l->sender) return stream_open_sender(r, l);
    char text[96];
    snprintf(text, sizeof text, "SUB %s.%u.* 7\r\n", r->inbox, l->conn.id);
    conn_put_text(&l->conn, text);
    l->state = calloc(r->work->consumers, sizeof(struct taker));
    must(l->state);
    return true;
}

static void close_link(struct run *r, struct link *l) {
    (void)r;
    free(l->state);
    l->state = NULL;
}

/* The next request leaves when half of the one before is used up. */
static void ask(struct link *l, uint32_t i) {
    const struct run *r = l->lane->run;
    const struct work *w = r->work;
    struct taker *t = (struct taker *)l->state + i;
    if (t->asked >= t->came + w->batch / 2 + 1) return;
    char body[64], line[200], name[32];
    stream_name(w, 0, name, sizeof name);
    int body_n = snprintf(body, sizeof body, "{\"batch\":%u,\"expires\":60000000000}", w->batch);
    int n = snprintf(line, sizeof line, "PUB $JS.API.CONSUMER.MSG.NEXT.%s.take%u %s.%u.%u %d\r\n%s\r\n", name,
                     i, r->inbox, l->conn.id, i, body_n, body);
    conn_put(&l->conn, line, (size_t)n);
    t->asked += w->batch;
}

/* All ask at the start; afterwards each when it has taken something. */
static void turn(struct link *l) {
    if (l->sender || l->asked) return;
    l->asked = 1;
    for (uint32_t i = 0; i < l->lane->run->work->consumers; i++) ask(l, i);
}

/* The number at the end of a subject. */
static bool last_number(struct span subject, uint64_t *n) {
    const uint8_t *dot = memrchr(subject.p, '.', subject.n);
    return dot && get_u64(span_of(dot + 1, (size_t)(subject.p + subject.n - dot - 1)), n);
}

static bool judge(struct link *l, const struct taker *t, const struct incoming *m, uint64_t sequence) {
    const struct run *r = l->lane->run;
    uint64_t tag, at;
    if (!payload_get(&r->payload, m->payload, &tag, &at))
        lane_void(l->lane, "sequence %llu came back altered", (unsigned long long)sequence);
    else if (tag_number(tag) != sequence - 1)
        lane_void(l->lane, "sequence %llu holds message %llu", (unsigned long long)sequence,
                  (unsigned long long)tag_number(tag));
    else if (sequence <= t->last)
        lane_void(l->lane, "sequence %llu was delivered after %llu", (unsigned long long)sequence,
                  (unsigned long long)t->last);
    else
        return true;
    return false;
}

static void on_delivery(struct link *l, const struct incoming *m, uint64_t now) {
    const struct run *r = l->lane->run;
    uint64_t delivered, sequence, i = 0;
    bool known = r->work->subjects < 2 || last_number(m->subject, &i);
    if (!known || i >= r->work->consumers || !delivery_sequence(m->reply, &delivered, &sequence)) {
        lane_void(l->lane, "a delivery is not understood: %.*s", (int)m->reply.n, (const char *)m->reply.p);
        return;
    }
    struct taker *t = (struct taker *)l->state + i;
    if (!judge(l, t, m, sequence)) return;
    t->last = sequence;
    t->came++;
    l->came++;
    lane_came(l->lane, UINT64_MAX, now, m->payload.n);
    ask(l, (uint32_t)i);
}

static void on_message(void *ctx, struct conn *conn, const struct incoming *m, uint64_t now) {
    (void)conn;
    struct link *l = ctx;
    uint64_t i, left;
    if (l->sender) {
        stream_on_ack(l, m, now, false);
    } else if (m->reply.n) {
        on_delivery(l, m, now);
    } else if (delivery_status(l, m, &left) && last_number(m->subject, &i) &&
               i < l->lane->run->work->consumers) {
        struct taker *t = (struct taker *)l->state + i;
        t->asked -= left < t->asked ? left : t->asked;
        ask(l, (uint32_t)i);
    }
}

static bool complete(struct lane *lane) {
    return stream_answered(lane) && run_came(lane->run) == run_sent(lane->run);
}

static bool check(struct run *r) { return stream_check(r) && (r->target->program[0] || stream_drop_all(r)); }

const struct shape shape_routed = {.prepare = prepare,
                                   .open = open_link,
                                   .may_send = stream_may_send,
                                   .send = stream_send,
                                   .on_message = on_message,
                                   .turn = turn,
                                   .complete = complete,
                                   .check = check,
                                   .close = close_link};
