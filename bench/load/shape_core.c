/* shape_core.c - publishers to subscribers without JetStream. Without subscribers a PING behind every so many
 * bytes counts what the server took in; with subscribers each message counts when it arrives. Judged: every
 * subscriber gets every message of every publisher once, in the publisher's order, unaltered. Publishers stay
 * at most a window ahead of the subscribers, or a server would have to cut those off. */
#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"
#include "host/clock.h"
#include "load/run.h"

enum { CHUNKS_MAX = 16 };

/* A publisher's PINGs under way: how many messages each covers. */
struct chunks {
    uint64_t counts[CHUNKS_MAX], at_ns[CHUNKS_MAX], head, tail, unpinged;
};

static bool prepare(struct run *r) {
    (void)r;
    return true;
}

static bool open_link(struct run *r, struct link *l) {
    const struct work *w = r->work;
    if (!l->sender) {
        conn_put_text(&l->conn, w->subjects > 1 ? "SUB mrb.core.* 1\r\n" : "SUB mrb.core 1\r\n");
        l->next = calloc(w->publishers, sizeof *l->next);
        must(l->next);
        return true;
    }
    l->state = calloc(1, sizeof(struct chunks));
    must(l->state);
    return true;
}

static void close_link(struct run *r, struct link *l) {
    (void)r;
    free(l->state);
    l->state = NULL;
}

static bool may_send(struct link *l) {
    const struct run *r = l->lane->run;
    const struct work *w = r->work;
    const struct chunks *c = l->state;
    if (w->subscribers == 0) return c->tail - c->head < CHUNKS_MAX;
    uint64_t room = w->rate > 0 ? (uint64_t)OPEN_WINDOW : w->window;
    /* This lane's own count is newer than the one the other lanes see. */
    uint64_t sent =
        run_sent(r) - atomic_load_explicit(&l->lane->sent_seen, memory_order_relaxed) + l->lane->sent;
    return sent < room + run_came(r) / w->subscribers;
}

static void send_message(struct link *l, uint64_t intended_ns) {
    const struct run *r = l->lane->run;
    uint32_t size = r->payload.size;
    uint8_t line[64], *p = line;
    memcpy(p, "PUB mrb.core", 12);
    p += 12;
    if (r->work->subjects > 1) {
        *p++ = '.';
        p += put_u64(p, l->sent * 2654435761u % r->work->subjects);
    }
    *p++ = ' ';
    p += put_u64(p, size);
    memcpy(p, "\r\n", 2);
    size_t line_n = (size_t)(p + 2 - line);
    uint8_t *out = conn_room(&l->conn, line_n + size + 2);
    memcpy(out, line, line_n);
    payload_put(&r->payload, out + line_n, payload_tag(l->index, l->sent), intended_ns);
    memcpy(out + line_n + size, "\r\n", 2);
    struct chunks *c = l->state;
    if (c->unpinged++ == 0) c->at_ns[c->tail % CHUNKS_MAX] = intended_ns;
}

static void sent_batch(struct link *l) {
    struct chunks *c = l->state;
    if (l->lane->run->work->subscribers > 0 || c->unpinged == 0) return;
    c->counts[c->tail++ % CHUNKS_MAX] = c->unpinged;
    c->unpinged = 0;
    l->pings++;
    conn_put_text(&l->conn, "PING\r\n");
}

/* Counts what PONGs confirm. */
static void turn(struct link *l) {
    struct chunks *c = l->state;
    if (!l->sender || l->lane->run->work->subscribers > 0) return;
    if (l->lane->run->work->rate > 0 && c->tail - c->head < CHUNKS_MAX) sent_batch(l);
    uint64_t now = now_ns();
    while (c->head < c->tail && c->head < l->conn.pongs) {
        uint64_t i = c->head++ % CHUNKS_MAX;
        for (uint64_t k = 0; k < c->counts[i]; k++)
            lane_came(l->lane, k ? UINT64_MAX : c->at_ns[i], now, l->lane->run->payload.size);
    }
}

static void on_message(void *ctx, struct conn *conn, const struct incoming *m, uint64_t now) {
    (void)conn;
    struct link *l = ctx;
    uint64_t tag, at;
    const struct run *r = l->lane->run;
    if (l->sender || !payload_get(&r->payload, m->payload, &tag, &at)) {
        lane_void(l->lane, "a message came back altered: %zu bytes on %.*s", m->payload.n, (int)m->subject.n,
                  (const char *)m->subject.p);
        return;
    }
    if (r->payload.size >= PAYLOAD_TAG) {
        uint32_t sender = tag_sender(tag);
        if (sender >= r->work->publishers || tag_number(tag) != l->next[sender]) {
            lane_void(l->lane, "subscriber %u got message %llu of publisher %u where message %llu was due",
                      l->index, (unsigned long long)tag_number(tag), sender,
                      (unsigned long long)(sender < r->work->publishers ? l->next[sender] : 0));
            return;
        }
        l->next[sender]++;
    }
    l->came++;
    lane_came(l->lane, r->work->rate > 0 ? at : UINT64_MAX, now, m->payload.n);
}

static bool complete(struct lane *lane) {
    const struct work *w = lane->run->work;
    if (w->subscribers == 0) return lane->came == lane->sent;
    return lane->run && run_came(lane->run) == run_sent(lane->run) * w->subscribers;
}

const struct shape shape_core = {.prepare = prepare,
                                 .open = open_link,
                                 .may_send = may_send,
                                 .send = send_message,
                                 .sent_batch = sent_batch,
                                 .on_message = on_message,
                                 .turn = turn,
                                 .complete = complete,
                                 .close = close_link};
