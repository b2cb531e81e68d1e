/* deliver.c - the sink of a client's subscriptions: one formatted line and one copy of the message into the
 * outbox.
 *
 * This is what fan-out costs a subscriber, so nothing here allocates, and a connection that cannot take the
 * message only loses it for itself. A message for a client without header support goes out as MSG with its
 * payload alone. */
#include "conn/state.h"

#include "base/bytes.h"
#include "base/must.h"
#include "wire/emit.h"

enum { LINE_FIXED = 64, COPY_WHOLE_MAX = 2048 };
#define PROGRESS_NS 250000000u

static uint8_t *copy(uint8_t *to, struct span s) {
    if (s.n) memcpy(to, s.p, s.n);
    return to + s.n;
}

/* Small: line, message and line end as one piece. */
static enum err put_whole(struct conn *c, const struct msg *m, struct span sid, struct span hdr,
                          size_t room) {
    must(room <= COPY_WHOLE_MAX);
    uint8_t *p;
    enum err e = outbox_reserve(&c->out, room, &p);
    if (e) return e;
    size_t line = emit_msg(p, room, m->subject, sid, m->reply, hdr.n, hdr.n + m->payload.n);
    must(line > 0 && line + hdr.n + m->payload.n + 2 <= room);
    uint8_t *end = copy(copy(p + line, hdr), m->payload);
    end[0] = '\r';
    end[1] = '\n';
    outbox_commit(&c->out, (size_t)(end + 2 - p));
    return ERR_OK;
}

/* Large: in pieces, across chunks. */
static enum err put_pieces(struct conn *c, const struct msg *m, struct span sid, struct span hdr) {
    struct conns *cs = c->cs;
    size_t line = emit_msg(cs->line, cs->line_cap, m->subject, sid, m->reply, hdr.n, hdr.n + m->payload.n);
    if (line == 0) return ERR_LIMIT; /* longer than any line a client could have sent */
    struct iovec v[] = {
        {cs->line, line}, {(void *)hdr.p, hdr.n}, {(void *)m->payload.p, m->payload.n}, {"\r\n", 2}};
    return outbox_putv(&c->out, v, 4);
}

/* Counts the message. False: the subscription had its last one before. */
static bool count(struct conn_sub *s) {
    must(s->max >= 0 && s->delivered >= 0);
    struct conn *c = s->conn;
    s->delivered++;
    if (s->max == 0) return true;
    if (s->delivered < s->max) return true;
    conn_sub_retire(s);
    if (s->delivered > s->max) return false;
    conn_log(c, LOG_DEBUG, "Auto-unsubscribe limit of %lld reached for sid '%.*s'", (long long)s->max,
             (int)(s->sid.n < 64 ? s->sid.n : 64), s->sid.p);
    return true;
}

/* Much is pending: the publisher is to pause until it is less, and again and again for as long as the client
 * gets on with reading, so that publishers keep its pace. One that has stopped reading for PROGRESS_NS,
 * perhaps only because its machine is busy, slows them down to a pause for each buffer they send, as in
 * nats-server: it fills up in seconds, not milliseconds, and is then closed. */
static void stall(struct conn *c, struct route_msg *m) {
    must(c->out.pending > c->stall_at);
    struct conns *cs = c->cs;
    uint64_t now = io_now(cs->io);
    if (!c->stalling) {
        c->stalling = true;
        cs->stalling++;
        c->progress_ns = now;
    }
    conns_arm_stall(cs);
    bool stopped = now - c->progress_ns > PROGRESS_NS;
    if (stopped && m->cid == 0) return; /* the server itself does not wait */
    if (stopped && map_u64_get(&cs->by_cid, m->cid)) {
        cs->stuck = true;
    } else {
        m->congested = true; /* those of other shards are told now and then */
    }
}

static void trace_msg(const struct conn *c, const struct conn_sub *s, const struct msg *m, struct span hdr) {
    uint8_t digits[40];
    size_t n = 0;
    if (hdr.n) {
        n = put_u64(digits, hdr.n);
        digits[n++] = ' ';
    }
    n += put_u64(digits + n, hdr.n + m->payload.n);
    struct span words[] = {m->subject, s->sid, m->reply, span_of(digits, n)};
    conn_trace(c, "->>", hdr.n ? "HMSG" : "MSG", words, 4);
    conn_trace_payload(c, "->>", m, hdr.n > 0);
}

bool conn_deliver(struct sink *sink, struct sub *sub, struct route_msg *rm) {
    struct conn_sub *s = conn_sub_of(sub);
    struct conn *c = s->conn;
    const struct msg *m = &rm->msg;
    enum err e;
    must(sink == &c->sink);
    if (c->phase != CONN_OPEN || (c->moving && !conn_takes(c, rm)) || !count(s)) return false;
    struct span hdr = c->headers ? m->hdr : SPAN_EMPTY;
    size_t bytes = hdr.n + m->payload.n;
    size_t room = LINE_FIXED + m->subject.n + s->sid.n + m->reply.n + bytes;
    do {
        e = room <= COPY_WHOLE_MAX ? put_whole(c, m, s->sid, hdr, room) : put_pieces(c, m, s->sid, hdr);
    } while (e && conn_relieve(c, e));
    if (e) return false;
    c->out_msgs++;
    c->out_bytes += bytes;
    c->cs->counters.out_msgs++;
    c->cs->counters.out_bytes += bytes;
    conn_mark(c);
    if (c->out.pending > c->stall_at) stall(c, rm);
    if (c->trace) trace_msg(c, s, m, hdr);
    return true;
}
