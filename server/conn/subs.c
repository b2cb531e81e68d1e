/* subs.c - a connection's subscriptions: SUB, UNSUB, the end by count, the end with the connection.
 *
 * A subscription is one allocation with its texts behind it, known by its sid here and by its subject in
 * route. It may reach its end inside a delivery, when route must not change: it is then retired, takes
 * nothing more, and is removed as soon as the publish is over (conns_reap_subs). */
#include "conn/state.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"
#include "subject/subject.h"

enum { TEXT_MAX = 1400 };

static struct conn_sub *sub_new(struct conn *c, struct span subject, struct span queue, struct span sid) {
    must(subject.n > 0 && sid.n > 0);
    struct conn_sub *s = malloc(sizeof *s + subject.n + queue.n + sid.n);
    if (!s) return NULL;
    uint8_t *p = s->text;
    memcpy(p, subject.p, subject.n);
    if (queue.n) memcpy(p + subject.n, queue.p, queue.n);
    memcpy(p + subject.n + queue.n, sid.p, sid.n);
    *s = (struct conn_sub){.conn = c};
    s->sub.sink = &c->sink;
    s->sub.cid = c->cid;
    s->sub.subject = span_of(p, subject.n);
    s->sub.queue = queue.n ? span_of(p + subject.n, queue.n) : SPAN_EMPTY;
    s->sid = span_of(p + subject.n + queue.n, sid.n);
    list_init(&s->retired);
    return s;
}

static void sub_end(struct conn_sub *s) {
    struct conn *c = s->conn;
    if (c->trace) conn_trace(c, "<->", "DELSUB", &s->sid, 1);
    must(map_str_del(&c->subs, s->sid) == s);
    if (s->sub.entry.node) route_unsubscribe(c->cs->route, &s->sub); /* else it moves, and is off already */
    list_del(&s->retired);
    if (c->inbox == s) c->inbox = NULL;
    free(s);
}

void conn_sub_retire(struct conn_sub *s) {
    must(s->conn != NULL);
    if (s->is_retired) return;
    s->is_retired = true;
    list_add_tail(&s->conn->cs->retired, &s->retired);
}

void conns_reap_subs(struct conns *cs) {
    while (!list_empty(&cs->retired)) sub_end(container_of(cs->retired.next, struct conn_sub, retired));
}

void conn_drop_subs(struct conn *c) {
    struct span sid;
    void *value;
    size_t at = 0;
    while (map_str_next(&c->subs, &at, &sid, &value)) conn_sub_retire(value);
    conns_reap_subs(c->cs);
    must(c->subs.count == 0);
}

/* --- SUB --- */

static void not_permitted(struct conn *c, const struct op *op, bool tokens) {
    must(tokens || op->queue.n > 0);
    char subject[600], queue[300], text[TEXT_MAX];
    quote(subject, sizeof subject, op->subject);
    quote(queue, sizeof queue, op->queue);
    const char *head = "Permissions Violation for Subscription to";
    int sid_n = (int)(op->sid.n < 64 ? op->sid.n : 64);
    if (tokens) {
        snprintf(text, sizeof text, "%s %s, too many tokens", head, subject);
        conn_log(c, LOG_ERROR, "Subscription Violation Too Many Tokens - Subject %s, SID %.*s", subject,
                 sid_n, op->sid.p);
    } else {
        snprintf(text, sizeof text, "%s %s using queue %s", head, subject, queue);
        conn_log(c, LOG_ERROR, "Subscription Violation - Subject %s, Queue: %s, SID %.*s", subject, queue,
                 sid_n, op->sid.p);
    }
    conn_err(c, text);
}

/* Empty tokens count too: the text is split at its dots. */
static bool too_many_tokens(const struct conn *c, struct span subject) {
    int64_t max = c->cs->limits->max_sub_tokens, n = 1;
    if (max <= 0) return false;
    for (size_t i = 0; i < subject.n; i++) n += subject.p[i] == '.';
    return n > max;
}

static bool at_limit(const struct conn *c) {
    int64_t max = c->cs->limits->max_subscriptions;
    return max > 0 && c->subs.count >= (size_t)max;
}

enum err conn_sub_add(struct conn *c, struct span subject, struct span queue, struct span sid,
                      bool local_only) {
    must(map_str_get(&c->subs, sid) == NULL);
    struct conn_sub *s = sub_new(c, subject, queue, sid);
    if (!s) return ERR_NOMEM;
    s->sub.local_only = local_only;
    enum err e = map_str_put(&c->subs, s->sid, s);
    if (!e) {
        e = route_subscribe(c->cs->route, &s->sub);
        if (e) map_str_del(&c->subs, s->sid);
    }
    if (e) free(s);
    return e;
}

static void trace_sub(const struct conn *c, const struct op *op) {
    struct span words[] = {op->subject, op->queue, op->sid};
    conn_trace(c, "<<-", "SUB", words, 3);
}

void conn_subscribe(struct conn *c, const struct op *op) {
    must(op->sid.n > 0);
    if (c->trace) trace_sub(c, op);
    c->heard_ns = io_now(c->cs->io);
    conns_reap_subs(c->cs); /* a sid whose subscription has just ended is free again */
    if (span_eq(op->queue, SPAN_LIT("_sys_"))) {
        not_permitted(c, op, false);
        return;
    }
    if (too_many_tokens(c, op->subject)) {
        not_permitted(c, op, true);
        return;
    }
    if (at_limit(c)) {
        conn_log(c, LOG_ERROR, "maximum subscriptions exceeded");
        conn_err(c, "maximum subscriptions exceeded");
        return;
    }
    enum err e = ERR_OK; /* a sid in use keeps its first subject */
    if (!map_str_get(&c->subs, op->sid)) e = conn_sub_add(c, op->subject, op->queue, op->sid, false);
    if (e == ERR_NOMEM) {
        conn_log(c, LOG_ERROR, "no memory for a subscription");
        conn_close(c, "Internal Client", false);
    } else if (e) {
        conn_err(c, "Invalid Subject");
    } else if (c->opts.verbose) {
        conn_ok(c);
    }
}

/* --- UNSUB --- */

static void trace_unsub(const struct conn *c, const struct op *op) {
    char max[24] = "";
    int n = op->unsub_max > 0 ? snprintf(max, sizeof max, "%lld", (long long)op->unsub_max) : 0;
    struct span words[] = {op->sid, span_of(max, (size_t)n)};
    conn_trace(c, "<<-", "UNSUB", words, 2);
}

void conn_unsubscribe(struct conn *c, const struct op *op) {
    must(op->sid.n > 0);
    if (c->trace) trace_unsub(c, op);
    c->heard_ns = io_now(c->cs->io);
    struct conn_sub *s = map_str_get(&c->subs, op->sid);
    if (s && op->unsub_max > s->delivered) {
        s->max = op->unsub_max;
        s = NULL;
    }
    if (c->opts.verbose) conn_ok(c);
    if (s) sub_end(s);
}
