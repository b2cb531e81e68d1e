/* shape_request.c - requests to responders and back through the server. Judged: every request is answered
 * once, with the bytes it carried. */
#include <stdio.h>

#include "load/shape_stream.h"

static bool prepare(struct run *r) {
    (void)r;
    return true;
}

static bool open_link(struct run *r, struct link *l) {
    if (!l->sender) {
        conn_put_text(&l->conn, "SUB mrb.request workers 1\r\n");
        return true;
    }
    char text[96];
    snprintf(text, sizeof text, "SUB %s.%u.* 1\r\n", r->inbox, l->conn.id);
    conn_put_text(&l->conn, text);
    link_slots_open(l, link_window(r->work));
    return true;
}

static void send_request(struct link *l, uint64_t intended_ns) {
    const struct run *r = l->lane->run;
    uint32_t i = l->free[--l->free_n], size = r->payload.size;
    char line[160];
    int n = snprintf(line, sizeof line, "PUB mrb.request %s.%u.%u %u\r\n", r->inbox, l->conn.id, i, size);
    uint8_t *out = conn_room(&l->conn, (size_t)n + size + 2);
    memcpy(out, line, (size_t)n);
    l->slots[i] = (struct slot){.at_ns = intended_ns, .tag = payload_tag(l->index, l->sent), .busy = true};
    payload_put(&r->payload, out + n, l->slots[i].tag, intended_ns);
    memcpy(out + n + size, "\r\n", 2);
}

static void respond(struct link *l, const struct incoming *m) {
    char line[300];
    int n = snprintf(line, sizeof line, "PUB %.*s %zu\r\n", (int)m->reply.n, (const char *)m->reply.p,
                     m->payload.n);
    if (m->reply.n == 0 || n >= (int)sizeof line) {
        lane_void(l->lane, "a request came without a place for its answer");
        return;
    }
    uint8_t *out = conn_room(&l->conn, (size_t)n + m->payload.n + 2);
    memcpy(out, line, (size_t)n);
    memcpy(out + n, m->payload.p, m->payload.n);
    memcpy(out + n + m->payload.n, "\r\n", 2);
}

static void on_message(void *ctx, struct conn *conn, const struct incoming *m, uint64_t now) {
    (void)conn;
    struct link *l = ctx;
    if (!l->sender) {
        respond(l, m);
        return;
    }
    const uint8_t *dot = memrchr(m->subject.p, '.', m->subject.n);
    uint64_t i = UINT64_MAX, tag, at;
    if (dot) get_u64(span_of(dot + 1, (size_t)(m->subject.p + m->subject.n - dot - 1)), &i);
    if (i >= l->slots_n || !l->slots[i].busy) {
        lane_void(l->lane, "an answer came that nothing waits for: %.*s", (int)m->subject.n,
                  (const char *)m->subject.p);
        return;
    }
    const struct payload *p = &l->lane->run->payload;
    if (!payload_get(p, m->payload, &tag, &at) || (p->size >= PAYLOAD_TAG && tag != l->slots[i].tag)) {
        lane_void(l->lane, "an answer does not hold what was asked (%zu bytes, %.*s)", m->payload.n,
                  (int)(m->header.n < 40 ? m->header.n : 40), (const char *)m->header.p);
        return;
    }
    l->slots[i].busy = false;
    l->free[l->free_n++] = (uint32_t)i;
    l->came++;
    lane_came(l->lane, l->slots[i].at_ns, now, p->size);
}

/* Responders' lanes stay until every request is answered. */
static bool complete(struct lane *lane) { return run_came(lane->run) == run_sent(lane->run); }

static void close_link(struct run *r, struct link *l) { (void)r, (void)l; }

const struct shape shape_request = {.prepare = prepare,
                                    .open = open_link,
                                    .may_send = stream_may_send,
                                    .send = send_request,
                                    .on_message = on_message,
                                    .complete = complete,
                                    .close = close_link};
