/* consumer_next.c - which message comes next, and what its delivery changes. */
#include "base/must.h"
#include "stream/consumer_core.h"
#include "subject/subject.h"

static bool waits_for_acks(const struct consumer *c) { return c->conf.c.ack != MR_ACK_NONE; }

/* ------------------------------------------------------------------------------------------------ again */

/* The head of the redelivery queue, without those that have had all their deliveries. */
static uint32_t next_again(struct consumer *c) {
    must(c->st && c->next_seq > 0);
    struct pending_set *s = &c->pending;
    int64_t max = c->conf.c.max_deliver;
    while (s->queue.head != PENDING_NONE) {
        uint32_t i = s->queue.head;
        const struct pending *p = pending_at(s, i);
        if (!stream_has(c->st, p->seq, false))
            consumer_settle(c, i);
        else if (max > 0 && (uint64_t)p->redelivered + 2 > (uint64_t)max)
            consumer_exceed(c, i, (uint64_t)p->redelivered + 1, p->redelivered + 1);
        else
            return i;
    }
    return PENDING_NONE;
}

/* ------------------------------------------------------------------------------------------------ new */

/* With one literal filter the subject's list leads from the last delivered message to the next one. */
static uint64_t next_on_subject(struct consumer *c, struct span filter) {
    must(filter.n > 0);
    must(c->conf.c.filters_count == 1);
    uint64_t seq = c->delivered_seq;
    const struct index_entry *e = stream_get(c->st, seq, false);
    if (e && seq < c->next_seq && consumer_matches(c, e->subject)) {
        do seq = stream_next_same(c->st, seq);
        while (seq && seq < c->next_seq);
    } else {
        seq = stream_seq_next(c->st, c->next_seq, filter, false);
    }
    return seq && seq <= c->st->visible_seq ? seq : 0;
}

static uint64_t next_new(struct consumer *c) {
    must(c->next_seq > 0);
    must(c->st->visible_seq <= c->st->last_seq);
    const struct stream *st = c->st;
    const struct mr_consumer_config *cfg = &c->conf.c;
    uint64_t to = st->visible_seq, seq;
    if (c->next_seq > to) return 0;
    bool one = cfg->filters_count == 1 && !subject_has_wildcard(span_of_bytes(cfg->filters[0]));
    if (one && c->last_per_subject_until < c->next_seq) {
        seq = next_on_subject(c, span_of_bytes(cfg->filters[0]));
    } else {
        seq = index_next(&st->index, c->next_seq, to);
        while (seq && !consumer_wants(c, seq)) seq = index_next(&st->index, seq + 1, to);
    }
    /* What was passed over need not be looked at again. */
    c->next_seq = seq ? seq : to + 1;
    return seq;
}

static enum choice_kind choose_new(struct consumer *c, struct choice *out) {
    must(out->seq == 0);
    int64_t max = c->conf.c.max_ack_pending;
    if (waits_for_acks(c)) {
        if (max > 0 && c->pending.count >= (uint64_t)max) return CHOICE_BUSY;
        if (pending_reserve(&c->pending) != ERR_OK) return CHOICE_BUSY;
    }
    out->seq = next_new(c);
    if (out->seq == 0) return CHOICE_NONE;
    consumer_count(c);
    must(c->num_pending > 0);
    out->deliveries = 1;
    out->pending = c->num_pending - 1;
    return CHOICE_NEW;
}

enum choice_kind consumer_peek(struct consumer *c, int64_t now, struct choice *out) {
    must(c && out);
    *out = (struct choice){.consumer_seq = c->delivered_cseq + 1};
    consumer_expire(c, now);
    uint32_t i = next_again(c);
    if (i == PENDING_NONE) {
        out->kind = choose_new(c, out);
    } else {
        consumer_count(c);
        const struct pending *p = pending_at(&c->pending, i);
        out->kind = CHOICE_AGAIN;
        out->seq = p->seq;
        out->deliveries = (uint64_t)p->redelivered + 2;
        out->pending = c->num_pending;
    }
    if (out->seq) out->loc = index_get(&c->st->index, out->seq)->loc;
    return out->kind;
}

bool consumer_ready(struct consumer *c, int64_t now) {
    must(c && c->st);
    struct choice choice;
    enum choice_kind kind = consumer_peek(c, now, &choice);
    return kind == CHOICE_NEW || kind == CHOICE_AGAIN;
}

/* ------------------------------------------------------------------------------------------------ delivered
 */

static void passed(struct consumer *c, uint64_t seq) {
    must(c->num_pending > 0);
    must(seq >= c->next_seq && c->counted_seq >= seq);
    c->next_seq = seq + 1;
    c->num_pending--;
    c->dirty = true;
}

static void delivered_again(struct consumer *c, uint64_t seq) {
    uint32_t i = pending_find(&c->pending, seq);
    must(i != PENDING_NONE);
    struct pending *p = pending_at(&c->pending, i);
    must(p->where == PENDING_QUEUE);
    pending_set_redelivered(&c->pending, i, p->redelivered + 1);
    p->ts = c->now;
    consumer_put_waiting(c, i, true);
    consumer_touch(c, i);
}

static void delivered_new(struct consumer *c, uint64_t seq) {
    must(c->delivered_cseq > 0);
    must(c->floor_cseq < c->delivered_cseq);
    passed(c, seq);
    if (!waits_for_acks(c)) {
        c->floor_cseq = c->delivered_cseq;
        c->floor_seq = seq;
        consumer_let_go(c, seq);
        return;
    }
    uint32_t i = pending_add(&c->pending, seq, c->delivered_cseq);
    pending_at(&c->pending, i)->ts = c->now;
    consumer_put_waiting(c, i, true);
    consumer_touch(c, i);
}

void consumer_delivered(struct consumer *c, const struct choice *choice, int64_t now) {
    must(c && choice);
    must(choice->kind == CHOICE_NEW || choice->kind == CHOICE_AGAIN);
    must(choice->consumer_seq == c->delivered_cseq + 1);
    c->delivered_last = consumer_clock(c, now);
    c->delivered_cseq++;
    if (choice->seq > c->delivered_seq) c->delivered_seq = choice->seq;
    c->dirty = true;
    if (choice->kind == CHOICE_NEW)
        delivered_new(c, choice->seq);
    else
        delivered_again(c, choice->seq);
}

void consumer_skip(struct consumer *c, const struct choice *choice, int64_t now) {
    must(c && choice);
    must(choice->seq > 0);
    consumer_clock(c, now);
    if (choice->kind == CHOICE_NEW) {
        if (choice->seq < c->next_seq) return;
        if (stream_has(c->st, choice->seq, false))
            passed(c, choice->seq);
        else
            c->next_seq = choice->seq + 1;
        return;
    }
    uint32_t i = pending_find(&c->pending, choice->seq);
    if (i != PENDING_NONE && pending_at(&c->pending, i)->where != PENDING_DEAD) consumer_settle(c, i);
}
