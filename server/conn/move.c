/* move.c - a connection moves to the shard of the stream it publishes to, so that its messages and their
 * acknowledgements cross no mailbox.
 *
 * Happy path: after MOVE_AFTER messages in a row that went to one other shard alone, the connection is paused
 * and that shard is asked (ASK). It makes an arriving connection with the same subscriptions, which nobody
 * knows of and which takes nothing yet, and says YES. When receiving has ended here, SWITCH goes to all: each
 * shard moves the interest in one step and says so to both (SWITCHED), in order with the messages it routed.
 * What a shard sent before its SWITCHED is delivered by the old shard, what follows is collected in the
 * outbox of the arriving connection; so each message is taken once, and there is no gap. When all have
 * answered, everything the client published has been applied everywhere, and the old shard has nothing more
 * to deliver: it stops its send and hands the connection over (TAKE) with the bytes that are left. The new
 * one sends these first, then what it collected, and receives.
 *
 * What fails: the other shard may say NO (no memory, no such stream, lame duck), and the connection stays.
 * One that closes on the way tells the new shard (DROP), which takes its subscriptions off once all have
 * switched. One that is closed on the new shard before it is there is closed on arrival. Nothing here waits
 * for the client. */
#include "conn/state.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/must.h"

enum { MOVE_AFTER = 64, WAIT_GROWS = 64 };
#define WAIT_NS 1000000000u

static uint64_t bit(unsigned shard) { return UINT64_C(1) << shard; }

static uint64_t all_shards(const struct conns *cs) {
    must(cs->shards > 1 && cs->shards <= ROUTE_SHARDS_MAX);
    return UINT64_MAX >> (64 - cs->shards);
}

static void tell(struct conns *cs, unsigned to, enum conn_move_step step, uint64_t cid, uint64_t arg) {
    must(to != cs->self && to < cs->shards);
    cs->tell(cs->ctx, to, &(struct conn_move_letter){.step = step, .cid = cid, .arg = arg});
}

/* Subject and sid of each subscription. */
static size_t subs_list(const struct conn *c, struct span *spans) {
    struct span sid;
    void *value;
    size_t at = 0, n = 0;
    must(c->subs.count <= CONN_MOVE_SUBS_MAX);
    while (map_str_next(&c->subs, &at, &sid, &value)) {
        const struct conn_sub *s = value;
        spans[n++] = s->sub.subject;
        spans[n++] = sid;
    }
    return n;
}

bool conn_takes(const struct conn *c, const struct route_msg *m) {
    must(c->moving != STAY);
    uint64_t from = bit(m->from ? m->from - 1u : c->cs->self);
    bool switched = c->move.switched & from;
    if (c->moving == MOVE_ARRIVING) return switched && !c->move.doom;
    return !switched;
}

/* --- leaving --- */

/* A connection that was moved, or could not be, stays for a while, longer each time. */
static void rest(struct conn *c) {
    const struct conns *cs = c->cs;
    uint64_t first = cs->limits->move_wait_ns ? (uint64_t)cs->limits->move_wait_ns : WAIT_NS;
    uint64_t wait = c->move.wait_ns ? c->move.wait_ns * 2 : first;
    must(first > 0);
    c->move.wait_ns = wait < first * WAIT_GROWS ? wait : first * WAIT_GROWS;
    c->move.not_before_ns = io_now(cs->io) + c->move.wait_ns;
}

static bool may_move(const struct conn *c) {
    const struct conns *cs = c->cs;
    struct span sid;
    void *value;
    size_t at = 0;
    if (!cs->tell || c->paused || c->moving || c->eof || cs->lame_duck || cs->stopping) return false;
    if (!c->connected || c->pongs_owed || c->stalling || io_now(cs->io) < c->move.not_before_ns) return false;
    if (c->subs.count > CONN_MOVE_SUBS_MAX) return false;
    while (map_str_next(&c->subs, &at, &sid, &value)) {
        const struct conn_sub *s = value;
        if (s->sub.queue.n || s->max || s->is_retired) return false;
    }
    return true;
}

static void ask(struct conn *c, unsigned to, struct span subject) {
    struct conns *cs = c->cs;
    struct span spans[CONN_MOVE_SPANS] = {subject};
    size_t n = 1 + subs_list(c, spans + 1);
    must(to != cs->self && to < cs->shards);
    c->moving = MOVE_ASKED;
    c->move.peer = to;
    c->move.switched = 0;
    c->move.agreed = false;
    conn_pause(c, PAUSE_MOVE);
    cs->tell(cs->ctx, to,
             &(struct conn_move_letter){CONN_MOVE_ASK, c->cid, c->headers, spans, n}); /* headers or not */
}

void conn_went(struct conn *c, uint8_t far, struct span subject) {
    must(c->phase == CONN_OPEN);
    if (far != c->far) {
        c->far = far;
        c->far_n = 0;
    }
    if (far == 0 || ++c->far_n < MOVE_AFTER) return;
    c->far_n = 0;
    if (may_move(c)) ask(c, far - 1u, subject);
}

static void stay(struct conn *c) {
    must(c->moving == MOVE_ASKED);
    c->moving = STAY;
    rest(c);
    conn_resume(c, PAUSE_MOVE);
}

/* From here on this shard's messages for it go to the other shard too. */
static void switch_all(struct conn *c) {
    struct conns *cs = c->cs;
    struct span spans[CONN_MOVE_SPANS], sid;
    void *value;
    size_t at = 0, n = subs_list(c, spans);
    must(!c->recv.busy && c->pongs_owed == 0);
    while (map_str_next(&c->subs, &at, &sid, &value)) {
        struct conn_sub *s = value;
        route_remote(cs->route, c->move.peer, s->sub.subject, SPAN_EMPTY, true);
        s->sub.local_only = true; /* the others do not count it here any more */
    }
    c->moving = MOVE_LEAVING;
    c->move.switched = bit(cs->self);
    for (unsigned to = 0; to < cs->shards; to++) {
        if (to == cs->self) continue;
        cs->tell(cs->ctx, to, &(struct conn_move_letter){CONN_MOVE_SWITCH, c->cid, c->move.peer, spans, n});
    }
}

/* Everything that is for it here has come. */
static void cut(struct conn *c) {
    struct span sid;
    void *value;
    size_t at = 0;
    must(c->moving == MOVE_LEAVING && c->move.switched == all_shards(c->cs));
    while (map_str_next(&c->subs, &at, &sid, &value)) {
        struct conn_sub *s = value;
        must(s->sub.local_only);
        route_unsubscribe(c->cs->route, &s->sub);
    }
    c->moving = MOVE_CUT;
    if (c->out.send.busy) io_stop(c->cs->io, &c->out.send);
}

/* The object itself goes, off everything that is this shard's. */
static void hand_over(struct conn *c) {
    struct conns *cs = c->cs;
    uint64_t timer_ns = c->timer.deadline_ns;
    must(!c->recv.busy && !c->out.send.busy && !c->close.busy);
    if (outbox_take(&c->out, &c->move.rest, &c->move.rest_n)) {
        conn_log(c, LOG_ERROR, "no memory for %zu bytes of a connection that moves", c->out.pending);
        conn_close(c, "Write Error", false);
        return;
    }
    bool lagged = c->stalling;
    conn_unstall(c);
    io_timer_cancel(cs->io, &c->timer);
    c->timer.deadline_ns = timer_ns; /* kept for the other shard */
    list_del(&c->all);
    list_del(&c->dirty);
    list_del(&c->parked);
    list_del(&c->stalled);
    list_del(&c->held);
    list_del(&c->held_far);
    list_del(&c->starved);
    list_del(&c->sending);
    must(list_empty(&c->closing));
    carry_leave(&cs->ingest, &c->carry);
    must(map_u64_del(&cs->by_cid, c->cid) == c);
    cs->count--;
    cs->counters.connections = cs->count - cs->arriving;
    c->cs = NULL;
    tell(cs, c->move.peer, CONN_MOVE_TAKE, c->cid, (uintptr_t)c);
    if (lagged) conns_unpark(cs);
}

void conn_move_on(struct conn *c) {
    struct conns *cs = c->cs;
    if (c->phase != CONN_OPEN) return;
    if (c->moving == MOVE_ASKED && c->move.agreed && !c->recv.busy) {
        if (cs->stopping || cs->lame_duck) {
            tell(cs, c->move.peer, CONN_MOVE_DROP, c->cid, 0);
            stay(c);
            return;
        }
        switch_all(c);
    }
    if (c->moving == MOVE_LEAVING && c->move.switched == all_shards(cs)) cut(c);
    if (c->moving == MOVE_CUT && !c->out.send.busy) hand_over(c);
}

void conn_move_drop(struct conn *c) {
    must(c->phase != CONN_OPEN && c->moving != MOVE_ARRIVING);
    tell(c->cs, c->move.peer, CONN_MOVE_DROP, c->cid, 0);
    c->moving = STAY;
}

/* --- arriving --- */

/* What is left of an object that was handed over. */
static void free_old(struct conn *old) {
    struct span sid;
    void *value;
    size_t at = 0;
    must(old->cs == NULL);
    while (map_str_next(&old->subs, &at, &sid, &value)) free(value);
    map_str_deinit(&old->subs);
    connect_deinit(&old->opts);
    free(old->carry.p);
    free(old->move.rest);
    free(old);
}

void conn_move_discard(struct conn *c) {
    struct conn *old = c->move.old;
    must(c->moving == MOVE_ARRIVING && c->cs->arriving > 0);
    c->cs->arriving--;
    c->moving = STAY;
    c->move.old = NULL;
    if (!old) return;
    close(old->recv.fd);
    free_old(old);
}

static void subs_announced(struct conn *c) {
    struct span sid;
    void *value;
    size_t at = 0;
    while (map_str_next(&c->subs, &at, &sid, &value)) ((struct conn_sub *)value)->sub.local_only = false;
    must(c->move.switched == all_shards(c->cs));
}

static void forget(struct conn *c) {
    conn_move_discard(c);
    c->phase = CONN_DEAD;
    conn_drop_subs(c);
    conn_free(c);
}

static bool add_subs(struct conn *c, const struct span *pairs, size_t n) {
    must(n % 2 == 0);
    for (size_t i = 0; i < n; i += 2) {
        if (conn_sub_add(c, pairs[i], SPAN_EMPTY, pairs[i + 1], true)) return false;
    }
    return true;
}

/* Among the others by age: monitoring asks for the oldest first. */
static void line_up(struct conn *c) {
    struct list *all = &c->cs->all, *at;
    must(all->prev == &c->all);
    list_del(&c->all);
    for (at = all->prev; at != all && container_of(at, struct conn, all)->cid > c->cid; at = at->prev)
        continue;
    list_add_after(at, &c->all);
}

static void on_ask(struct conns *cs, unsigned from, const struct conn_move_letter *l) {
    must(l->spans_n >= 1);
    bool welcome = !cs->lame_duck && !cs->stopping && route_serves(cs->route, l->spans[0]);
    struct conn *c = welcome ? conn_make(cs, -1, l->cid) : NULL;
    if (c) {
        line_up(c);
        cs->arriving++;
        c->moving = MOVE_ARRIVING;
        c->move.peer = from;
        c->headers = l->arg;
        conn_pause(c, PAUSE_MOVE);
        if (!add_subs(c, l->spans + 1, l->spans_n - 1)) {
            forget(c);
            c = NULL;
        }
    }
    tell(cs, from, c ? CONN_MOVE_YES : CONN_MOVE_NO, l->cid, 0);
}

static void add_counts(struct conn *c, const struct conn *old) {
    struct span sid;
    void *value;
    size_t at = 0;
    must(c->subs.count == old->subs.count);
    while (map_str_next(&old->subs, &at, &sid, &value)) {
        struct conn_sub *s = map_str_get(&c->subs, sid);
        must(s != NULL);
        s->delivered += ((const struct conn_sub *)value)->delivered;
    }
}

static void take_state(struct conn *c, struct conn *old) {
    c->recv.fd = c->close.fd = c->out.send.fd = old->recv.fd;
    c->headers = old->headers;
    c->parser = old->parser;
    c->carry = old->carry;
    carry_arrive(&c->cs->ingest, &c->carry);
    old->carry = (struct carry){0};
    c->opts = old->opts;
    connect_init(&old->opts); /* without the strings, which are c's now */
    c->in_msgs += old->in_msgs;
    c->in_bytes += old->in_bytes;
    c->out_msgs += old->out_msgs;
    c->out_bytes += old->out_bytes;
    c->opened_ns = old->opened_ns;
    c->heard_ns = old->heard_ns;
    c->fed_ns = old->fed_ns;
    c->pinged_ns = old->pinged_ns;
    c->pings_out = old->pings_out;
    c->connected = old->connected;
    c->first_pong = old->first_pong;
    c->eof = old->eof;
    c->recv_err = old->recv_err;
    c->told_ldm = old->told_ldm;
    c->port = old->port;
    memcpy(c->peer, old->peer, sizeof c->peer);
    c->move.wait_ns = old->move.wait_ns;
    add_counts(c, old);
}

/* It is here. */
static void arrive(struct conn *c) {
    struct conns *cs = c->cs;
    struct conn *old = c->move.old;
    must(c->subs.count == old->subs.count);
    subs_announced(c);
    take_state(c, old);
    c->moving = STAY;
    c->move.old = NULL;
    cs->arriving--;
    cs->counters.connections = cs->count - cs->arriving;
    cs->counters.moved_in++;
    rest(c);
    io_timer_set(cs->io, &c->timer, old->timer.deadline_ns);
    bool lost = !c->move.doom && outbox_prepend(&c->out, old->move.rest, old->move.rest_n) != ERR_OK;
    old->timer.deadline_ns = 0;
    free_old(old);
    if (cs->moved) cs->moved(cs->ctx, c->cid, c->move.peer);
    conn_log(c, LOG_DEBUG, "Client connection moved to shard %u", cs->self);
    if (lost || c->move.doom) {
        conn_close(c, lost ? "Write Error" : c->move.doom, !lost && c->move.doom_drain);
        return;
    }
    if (cs->lame_duck && !c->told_ldm && c->first_pong && c->opts.protocol >= 1) {
        c->told_ldm = true;
        conn_send_info(c, false, true);
    }
    if (c->out.pending) conn_mark(c);
    if (c->phase == CONN_OPEN) conn_resume(c, PAUSE_MOVE);
}

/* When every shard has switched and the old one is done with it, whichever comes last. */
static void arrive_when_due(struct conn *c) {
    must(c->moving == MOVE_ARRIVING);
    if (c->move.dropped && !(c->move.switched & bit(c->cs->self))) {
        forget(c); /* the others never heard of it */
        return;
    }
    if (c->move.switched != all_shards(c->cs)) return;
    if (c->move.dropped) {
        subs_announced(c);
        forget(c);
    } else if (c->move.old) {
        arrive(c);
    }
}

/* --- letters --- */

/* This shard's messages for that connection go to its new shard from here on. */
static void on_switch(struct conns *cs, unsigned from, const struct conn_move_letter *l) {
    unsigned to = (unsigned)l->arg;
    must(to < cs->shards && l->spans_n % 2 == 0);
    for (size_t i = 0; i < l->spans_n; i += 2) {
        if (to != cs->self) route_remote(cs->route, to, l->spans[i], SPAN_EMPTY, true);
        route_remote(cs->route, from, l->spans[i], SPAN_EMPTY, false);
    }
    tell(cs, from, CONN_MOVE_SWITCHED, l->cid, 0);
    if (to != cs->self) {
        tell(cs, to, CONN_MOVE_SWITCHED, l->cid, 0);
        return;
    }
    struct conn *c = map_u64_get(&cs->by_cid, l->cid);
    must(c && c->moving == MOVE_ARRIVING);
    c->move.switched |= bit(from) | bit(to);
    arrive_when_due(c);
}

static void on_answer(struct conn *c, unsigned from, enum conn_move_step step) {
    if (step == CONN_MOVE_SWITCHED) {
        must(c->moving == MOVE_LEAVING || c->moving == MOVE_ARRIVING || c->phase != CONN_OPEN);
        c->move.switched |= bit(from);
        if (c->moving == MOVE_ARRIVING) {
            arrive_when_due(c);
            return;
        }
    } else if (c->moving != MOVE_ASKED || c->phase != CONN_OPEN) {
        return; /* it is closing */
    } else if (step == CONN_MOVE_NO) {
        stay(c);
        return;
    } else {
        c->move.agreed = true;
    }
    conn_move_on(c);
}

static void on_end(struct conn *c, const struct conn_move_letter *l) {
    must(c->moving == MOVE_ARRIVING && !c->move.old && !c->move.dropped);
    if (l->step == CONN_MOVE_TAKE) {
        c->move.old = (struct conn *)(uintptr_t)l->arg;
    } else {
        c->move.dropped = true;
    }
    arrive_when_due(c);
}

void conns_on_move(struct conns *cs, unsigned from, const struct conn_move_letter *l) {
    struct conn *c = map_u64_get(&cs->by_cid, l->cid);
    must(cs->tell != NULL && from < cs->shards && from != cs->self);
    switch (l->step) {
    case CONN_MOVE_ASK: on_ask(cs, from, l); break;
    case CONN_MOVE_SWITCH: on_switch(cs, from, l); break;
    case CONN_MOVE_YES:
    case CONN_MOVE_NO:
    case CONN_MOVE_SWITCHED:
        if (c) on_answer(c, from, l->step); /* else it closed meanwhile */
        break;
    case CONN_MOVE_TAKE: must(c != NULL); /* fallthrough */
    case CONN_MOVE_DROP:
        if (c) on_end(c, l); /* else it was refused */
        break;
    }
    conns_reap(cs);
    if (cs->ingest.freed) conns_feed_starved(cs);
}
