/* dispatch.c - what each operation does. PUB is the data path: checks that look at no more than a few bytes,
 * then route_publish().
 *
 * What fails is the peer's doing: a broken rule is answered with nats-server's -ERR text; some rules cost the
 * connection, others the operation. The operation's spans are borrowed for the call. */
#include "conn/state.h"

#include <stdio.h>

#include "base/bytes.h"
#include "base/must.h"
#include "subject/subject.h"
#include "wire/json.h"

enum { VIOLATION_MAX = 1200 };

/* --- PUB --- */

/* Reserved for traffic between servers; plain text of two or three tests that rarely get past the first byte.
 */
static bool is_gateway(struct span s) {
    return (span_starts(s, SPAN_LIT("_GR_.")) && s.n > 5) || (span_starts(s, SPAN_LIT("$GR.")) && s.n > 4);
}

static bool subject_reserved(struct span s) {
    if (s.n == 0 || (s.p[0] != '$' && s.p[0] != '_')) return false;
    return is_gateway(s) || span_starts(s, SPAN_LIT("$NRG."));
}

static bool reply_reserved(struct span s) {
    if (s.n == 0 || (s.p[0] != '$' && s.p[0] != '_')) return false;
    return is_gateway(s) || span_starts(s, SPAN_LIT("_R_.")) ||
           (span_starts(s, SPAN_LIT("$JS.ACK.")) && s.n > 8);
}

static void violation(struct conn *c, const char *what, const char *log_what, struct span subject) {
    must(what && log_what);
    char quoted[1024], text[VIOLATION_MAX];
    quote(quoted, sizeof quoted, subject);
    snprintf(text, sizeof text, "Permissions Violation for Publish %s %s", what, quoted);
    conn_err(c, text);
    conn_log(c, LOG_ERROR, "Publish Violation - %s %s", log_what, quoted);
}

/* The client's own plain subscription that the reply would reach. */
static struct conn_sub *inbox_for(struct conn *c, struct span reply) {
    must(reply.n > 0);
    struct span sid;
    void *value;
    size_t at = 0;
    if (c->inbox && !c->inbox->is_retired && subject_match(reply, c->inbox->sub.subject)) return c->inbox;
    while (map_str_next(&c->subs, &at, &sid, &value)) {
        struct conn_sub *s = value;
        if (s->is_retired || s->sub.queue.n || !subject_match(reply, s->sub.subject)) continue;
        c->inbox = s;
        return s;
    }
    return NULL;
}

/* Nobody got the request: the requester's own inbox hears it at once. Matches nats-server here: the message
 * does not count towards the subscription's auto-unsubscribe. */
static void no_responders(struct conn *c, const struct msg *m) {
    must(m->reply.n > 0 && c->headers);
    const struct conn_sub *s = inbox_for(c, m->reply);
    if (!s) return;
    uint8_t n[20];
    size_t digits = put_u64(n, 32 + m->subject.n);
    struct iovec v[] = {
        {"HMSG ", 5},
        {(void *)m->reply.p, m->reply.n},
        {" ", 1},
        {(void *)s->sid.p, s->sid.n},
        {" ", 1},
        {n, digits},
        {" ", 1},
        {n, digits},
        {"\r\nNATS/1.0 503\r\nNats-Subject: ", 30},
        {(void *)m->subject.p, m->subject.n},
        {"\r\n\r\n\r\n", 6},
    };
    enum err e;
    while ((e = outbox_putv(&c->out, v, sizeof v / sizeof v[0]))) {
        if (!conn_relieve(c, e)) return;
    }
    conn_mark(c);
}

static void trace_pub(const struct conn *c, const struct op *op) {
    uint8_t digits[40];
    size_t n = 0;
    if (op->kind == OP_HPUB) {
        n = put_u64(digits, op->msg.hdr.n);
        digits[n++] = ' ';
    }
    n += put_u64(digits + n, msg_size(&op->msg));
    struct span words[] = {op->msg.subject, op->msg.reply, span_of(digits, n)};
    conn_trace(c, "<<-", op_name(op->kind), words, 3);
    conn_trace_payload(c, "<<-", &op->msg, true);
}

static void publish(struct conn *c, const struct op *op) {
    struct conns *cs = c->cs;
    size_t bytes = msg_size(&op->msg);
    must(bytes <= (size_t)cs->limits->max_payload);
    c->in_msgs++;
    c->in_bytes += bytes;
    cs->counters.in_msgs++;
    cs->counters.in_bytes += bytes;
    c->heard_ns = io_now(cs->io);
    if (c->trace) trace_pub(c, op);
    if (c->opts.pedantic && !subject_literal(op->msg.subject)) conn_err(c, "Invalid Publish Subject");
    if (subject_reserved(op->msg.subject)) {
        violation(c, "to", "Subject", op->msg.subject);
        return;
    }
    if (reply_reserved(op->msg.reply)) {
        violation(c, "with Reply of", "Reply", op->msg.reply);
        return;
    }
    if (c->opts.verbose) conn_ok(c);
    if (op->msg.hdr.n && conn_is_trace_only(op->msg.hdr)) return;
    struct route_msg m = {.msg = op->msg, .cid = c->cid, .no_echo = !c->opts.echo};
    cs->stuck = false;
    size_t took = route_publish(cs->route, &m);
    if (!list_empty(&cs->retired)) conns_reap_subs(cs);
    if (op->msg.subject.p[0] == '$' && conn_user_info(c, &op->msg)) took++;
    if (took == 0 && op->msg.reply.n && c->opts.no_responders) no_responders(c, &op->msg);
    if (c->phase != CONN_OPEN) return;
    if (!(m.congested || (cs->stuck && !c->paused_once))) {
        if (m.far | c->far) conn_went(c, m.far, op->msg.subject);
        return;
    }
    c->paused_once |= cs->stuck;
    conn_pause(c, m.log_full ? PAUSE_LOG : PAUSE_CONGESTED);
}

/* --- the others --- */

static void ping(struct conn *c) {
    struct conns *cs = c->cs;
    if (c->trace) conn_trace(c, "<<-", "PING", NULL, 0);
    c->heard_ns = io_now(cs->io);
    bool done = cs->barrier(cs->ctx, c->cid);
    if (done && c->barriers == 0) {
        conn_pong(c);
        return;
    }
    c->barriers += !done;
    c->pongs_owed++;
    if (c->opts.verbose) conn_pause(c, PAUSE_BARRIER);
}

static void pong(struct conn *c) {
    if (c->trace) conn_trace(c, "<<-", "PONG", NULL, 0);
    c->pings_out = 0;
}

/* Tolerated, for what it says matters only between servers. */
static void info(struct conn *c, struct span json) {
    struct json_err e;
    yyjson_doc *doc = json_read(json, CONNECT_DEPTH_MAX, &e);
    bool object = doc && yyjson_is_obj(yyjson_doc_get_root(doc));
    yyjson_doc_free(doc);
    if (object) return;
    conn_log(c, LOG_ERROR, "INFO that is not readable");
    conn_close(c, "Protocol Violation", true);
}

static void peer_error(struct conn *c, struct span text) {
    conn_log(c, LOG_ERROR, "Client Error %.*s", (int)(text.n < 512 ? text.n : 512), (const char *)text.p);
    conn_close(c, "Parse Error", true);
}

void conn_dispatch(struct conn *c, const struct op *op) {
    must(c->phase == CONN_OPEN && !c->paused);
    switch (op->kind) {
    case OP_PUB:
    case OP_HPUB: publish(c, op); return;
    case OP_PING: ping(c); return;
    case OP_PONG: pong(c); return;
    case OP_SUB: conn_subscribe(c, op); return;
    case OP_UNSUB: conn_unsubscribe(c, op); return;
    case OP_CONNECT: conn_connect(c, op->arg); return;
    case OP_INFO: info(c, op->arg); return;
    case OP_ERR: peer_error(c, op->arg); return;
    case OP_OK:
    case OP_COUNT: return;
    }
}

/* Input that is no protocol, or breaks a limit the parser knows. Barriers that are outstanding are not waited
 * for, but their PONGs keep their place before the error. */
void conn_bad_input(struct conn *c, const char *error, struct span near) {
    static const struct {
        const char *error, *log, *reason;
    } known[] = {
        {"Maximum Payload Violation", "maximum payload exceeded", "Maximum Message Payload Exceeded"},
        {"maximum control line exceeded", "maximum control line exceeded", "Maximum Control Line Exceeded"},
        {"Authorization Violation", "authentication error", "Authentication Failure"},
    };
    const char *reason = "Protocol Violation", *log = "Client parser ERROR";
    char quoted[160];
    must(c->phase == CONN_OPEN);
    for (; c->pongs_owed > 0; c->pongs_owed--) conn_pong(c);
    for (size_t i = 0; error && i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(known[i].error, error) != 0) continue;
        reason = known[i].reason;
        log = known[i].log;
    }
    if (error) conn_err(c, error);
    size_t shown = 0;
    while (shown < near.n && shown < 32 && near.p[shown] != '{') shown++; /* no part of a CONNECT's json */
    quote(quoted, sizeof quoted, span_of(near.p, shown));
    conn_log(c, LOG_ERROR, "%s: proto='%s...'", log, quoted);
    conn_close(c, reason, true);
}
