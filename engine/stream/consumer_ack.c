/* consumer_ack.c - what takes entries away or puts them off: the client's answers, messages that leave the
 * stream. */
#include "base/must.h"
#include "stream/consumer_core.h"
#include "subject/subject.h"

#define DELAY_MAX (INT64_MAX / 4) /* 73 years: the sum with a time of day stays in range */

static bool ack_one(struct consumer *c, uint64_t seq) {
    must(c && c->st);
    uint32_t i = pending_find(&c->pending, seq);
    if (i == PENDING_NONE) return false;
    if (pending_at(&c->pending, i)->where == PENDING_DEAD)
        consumer_drop(c, i);
    else
        consumer_settle(c, i);
    return true;
}

static void drop_acked(struct consumer *c, uint32_t i) {
    must(c->conf.c.ack == MR_ACK_ALL);
    uint64_t seq = pending_at(&c->pending, i)->seq;
    consumer_drop(c, i);
    consumer_let_go(c, seq);
}

static void drop_dead_through(struct consumer *c, uint64_t seq) {
    must(c->conf.c.ack == MR_ACK_ALL);
    for (uint32_t i = c->pending.gone.head, next; i != PENDING_NONE; i = next) {
        const struct pending *p = pending_at(&c->pending, i);
        next = p->after;
        if (p->seq <= seq) drop_acked(c, i);
    }
}

static void drop_through(struct consumer *c, uint64_t seq) {
    must(c->conf.c.ack == MR_ACK_ALL);
    must(seq < c->next_seq);
    struct pending_set *s = &c->pending;
    while (s->order.head != PENDING_NONE && pending_at(s, s->order.head)->seq <= seq)
        drop_acked(c, s->order.head);
    drop_dead_through(c, seq);
}

static bool ack_all(struct consumer *c, uint64_t seq, uint64_t cseq) {
    must(c->conf.c.ack == MR_ACK_ALL);
    must(seq < c->next_seq);
    if (cseq <= c->floor_cseq || seq <= c->floor_seq || cseq > c->delivered_cseq) return false;
    c->floor_cseq = cseq;
    c->floor_seq = seq;
    c->dirty = true;
    drop_through(c, seq);
    return true;
}

static bool ack(struct consumer *c, uint64_t seq, uint64_t cseq) {
    must(c->conf.c.ack != MR_ACK_NONE);
    must(c->floor_cseq <= c->delivered_cseq);
    if (seq >= c->next_seq || c->conf.c.ack == MR_ACK_NONE) return false;
    bool changed = c->conf.c.ack == MR_ACK_ALL ? ack_all(c, seq, cseq) : ack_one(c, seq);
    if (changed || c->conf.c.ack == MR_ACK_EXPLICIT) c->floor_last = c->now;
    if (changed && c->conf.c.ack == MR_ACK_EXPLICIT) consumer_let_go(c, seq);
    return changed;
}

/* nats-server sets the entry's time so that the plain ack wait ends after the delay; a backoff step longer
 * than the ack wait comes on top. */
static bool put_off(struct consumer *c, uint32_t i, int64_t delay) {
    must(delay > 0);
    must(c->conf.c.ack_wait_ns >= 0);
    if (pending_use_heap(&c->pending) != ERR_OK) return false; /* no memory: it comes after its ack wait */
    struct pending *p = pending_at(&c->pending, i);
    if (delay > DELAY_MAX) delay = DELAY_MAX;
    p->ts = c->now - c->conf.c.ack_wait_ns + delay;
    consumer_put_waiting(c, i, false);
    c->delivered_last = c->now;
    return true;
}

static bool nak(struct consumer *c, uint64_t seq, uint64_t cseq, int64_t delay) {
    must(c->conf.c.ack != MR_ACK_NONE);
    must(c->floor_cseq <= c->delivered_cseq);
    if (cseq <= c->floor_cseq || cseq > c->delivered_cseq + 1) return false;
    uint32_t i = pending_find(&c->pending, seq);
    if (i == PENDING_NONE || pending_at(&c->pending, i)->where == PENDING_DEAD) return false;
    bool queued = pending_at(&c->pending, i)->where == PENDING_QUEUE;
    if (delay > 0 ? !put_off(c, i, delay) : queued) return false;
    if (delay <= 0) pending_place(&c->pending, i, PENDING_QUEUE, 0);
    consumer_touch(c, i);
    return true;
}

static bool progress(struct consumer *c, uint64_t seq) {
    must(c->conf.c.ack != MR_ACK_NONE);
    uint32_t i = pending_find(&c->pending, seq);
    if (i == PENDING_NONE || pending_at(&c->pending, i)->where == PENDING_DEAD) return false;
    struct pending *p = pending_at(&c->pending, i);
    p->ts = c->now;
    if (p->where != PENDING_QUEUE) consumer_put_waiting(c, i, true);
    c->delivered_last = c->now;
    consumer_touch(c, i);
    return true;
}

bool consumer_ack(struct consumer *c, enum mr_ack_kind kind, uint64_t seq, uint64_t consumer_seq,
                  int64_t delay_ns, int64_t now) {
    must(c);
    consumer_clock(c, now);
    if (c->conf.c.ack == MR_ACK_NONE) return false;
    switch (kind) {
    case MR_ACK:
    case MR_TERM: return ack(c, seq, consumer_seq);
    case MR_NAK: return nak(c, seq, consumer_seq, delay_ns);
    case MR_PROGRESS: return progress(c, seq);
    }
    return false;
}

/* ------------------------------------------------------------------------------------------------ removed */

/* The message before it may be the last of its subject now. */
static bool leaves_another(struct consumer *c, uint64_t seq) {
    must(seq > 0);
    must(stream_has(c->st, seq, false));
    if (seq > c->last_per_subject_until) return false;
    uint64_t before = stream_prev_same(c->st, seq);
    return before >= c->next_seq && before > 0;
}

void consumer_on_removed(struct consumer *c, const struct stream_removed *r) {
    must(c->next_seq > 0);
    must(r->seq <= c->st->last_seq);
    must(c && r);
    if (r->subject == SUBJECT_NONE) {
        consumer_recount(c); /* nobody knows which subjects have lost messages */
    } else if (r->seq >= c->next_seq && r->seq <= c->counted_seq && consumer_wants(c, r->seq) &&
               !leaves_another(c, r->seq)) {
        must(c->num_pending > 0);
        c->num_pending--;
    }
    if (r->seq < c->next_seq && ack_one(c, r->seq)) c->floor_last = c->now;
}

static bool any_filter_in(const struct consumer *c, struct span purged) {
    must(purged.n > 0);
    for (size_t i = 0; i < c->conf.c.filters_count; i++) {
        if (subject_subset(span_of_bytes(c->conf.c.filters[i]), purged)) return true;
    }
    return false;
}

static bool all_filters_in(const struct consumer *c, struct span purged) {
    must(purged.n > 0);
    for (size_t i = 0; i < c->conf.c.filters_count; i++) {
        if (!subject_subset(span_of_bytes(c->conf.c.filters[i]), purged)) return false;
    }
    return c->conf.c.filters_count > 0;
}

static bool purged_in_filter(const struct consumer *c, struct span purged) {
    must(purged.n > 0);
    for (size_t i = 0; i < c->conf.c.filters_count; i++) {
        if (subject_subset(purged, span_of_bytes(c->conf.c.filters[i]))) return true;
    }
    return c->conf.c.filters_count == 0;
}

/* Entries whose message is gone. */
void consumer_drop_missing(struct consumer *c) {
    must(c && c->st);
    struct pending_set *s = &c->pending;
    for (uint32_t i = s->order.head, next; i != PENDING_NONE; i = next) {
        next = pending_at(s, i)->newer;
        if (!stream_has(c->st, pending_at(s, i)->seq, false)) consumer_settle(c, i);
    }
    for (uint32_t i = s->gone.head, next; i != PENDING_NONE; i = next) {
        next = pending_at(s, i)->after;
        if (!stream_has(c->st, pending_at(s, i)->seq, false)) consumer_drop(c, i);
    }
}

/* Nothing below `start` matters any more: position and floors move up to it, as in nats-server. */
static void move_up(struct consumer *c, uint64_t start) {
    must(start > 0);
    must(start <= c->st->last_seq + 1);
    struct pending_set *s = &c->pending;
    if (c->next_seq < start) c->next_seq = start;
    if (c->floor_seq < start) {
        c->floor_seq = start - 1;
        for (uint32_t i; (i = s->order.head) != PENDING_NONE && pending_at(s, i)->seq < start;) {
            if (pending_at(s, i)->cseq > c->floor_cseq) c->floor_cseq = pending_at(s, i)->cseq;
            consumer_drop(c, i);
        }
    }
    consumer_drop_missing(c);
    if (s->count == 0) {
        c->floor_cseq = c->delivered_cseq;
        c->floor_seq = c->next_seq - 1;
    }
    c->delivered_seq = c->next_seq - 1;
}

void consumer_on_purge(struct consumer *c, struct span filter) {
    must(c);
    struct stream *st = c->st;
    bool all = filter.n == 0, wider = !all && !all_filters_in(c, filter);
    if (!all && !any_filter_in(c, filter) && !purged_in_filter(c, filter)) {
        consumer_drop_missing(c);
        consumer_recount(c);
        return;
    }
    uint64_t start = all || wider ? st->first_seq : stream_seq_next(st, st->first_seq, filter, false);
    if (start == 0) start = st->last_seq + 1;
    move_up(c, start);
    c->dirty = true;
    consumer_recount(c);
}
