/* deliver.c - the next message of a consumer, and the client's answer to it.
 *
 * Happy path: the consumer chooses, the record is fetched, the choice counts as delivered. Nothing counts
 * before the message is in hand: MR_LATER and MR_TOO_LARGE leave everything as it was. A damaged message is
 * lost and the next one chosen. An ack that wants to be confirmed waits, as an open entry, for the record
 * that holds the state it left behind. */
#include "engine.h"

#include "base/must.h"

static uint64_t msg_bytes(const struct mr_stream *s, uint64_t seq) {
    const struct index_entry *x = stream_get(&s->st, seq, true);
    must(x != NULL);
    return x->size & ~INDEX_HAS_HDR;
}

static void fill(const struct choice *ch, const struct mr_msg_view *v, struct mr_delivery *out) {
    must(ch->consumer_seq > 0 && ch->deliveries > 0);
    must(v->seq == ch->seq);
    *out = (struct mr_delivery){
        .view = *v, .consumer_seq = ch->consumer_seq, .deliveries = ch->deliveries, .pending = ch->pending};
}

/* The chosen message cannot be had. */
static void give_up(struct mr_consumer *c, const struct choice *ch, enum err e, int64_t now) {
    must(e != ERR_OK && e != ERR_LATER);
    consumer_skip(&c->c, ch, now);
    if (e == ERR_CORRUPT) mrs_lost(c->s, ch->seq);
    mrc_touched(c);
}

static enum mr_status nothing(struct mr_consumer *c, enum mr_status why) {
    must(why == MR_NONE || why == MR_BUSY || why == MR_LATER);
    mrc_arm(c);
    mrc_touched(c); /* choosing may have let ack waits run out */
    return why;
}

static enum mr_status deliver(struct mr_consumer *c, const struct choice *ch, int64_t now,
                              struct mr_delivery *out) {
    must(ch->seq > 0 && ch->seq <= c->s->st.visible_seq);
    must(!c->wait.waiting);
    struct mr_msg_view v;
    enum err e = mrs_fetch(c->s, ch->seq, ch->loc, &c->wait, &v);
    if (e == ERR_LATER) return nothing(c, MR_LATER);
    if (e == ERR_FULL) {
        mrc_arm(c);
        mrc_wake(c); /* the next turn tries again */
        return MR_LATER;
    }
    if (e) {
        give_up(c, ch, e, now);
        return MR_CORRUPT;
    }
    consumer_delivered(&c->c, ch, now);
    mrc_touched(c);
    fill(ch, &v, out);
    return MR_OK;
}

enum mr_status mr_consumer_next(struct mr_consumer *c, int64_t now, size_t bytes_max, size_t reply_size,
                                struct mr_delivery *out) {
    must(!c->s->deleted);
    if (c->wait.waiting) return nothing(c, MR_LATER);
    if (c->s->shard->closing) return MR_NONE;
    for (;;) {
        struct choice ch;
        enum choice_kind kind = consumer_peek(&c->c, now, &ch);
        mrc_note_exceeded(c);
        if (kind == CHOICE_NONE) return nothing(c, MR_NONE);
        if (kind == CHOICE_BUSY) return nothing(c, MR_BUSY);
        if (bytes_max && msg_bytes(c->s, ch.seq) + reply_size > bytes_max) return MR_TOO_LARGE;
        enum mr_status st = deliver(c, &ch, now, out);
        if (st != MR_CORRUPT) return st;
    }
}

/* The entry that reports an ack when the consumer's state is durable, or at the next turn when it is kept in
 * memory. */
static void wait_for_record(struct mr_consumer *c, const struct mr_ack *a) {
    must(a->want_done);
    struct cq_entry e = {.kind = CQ_ACK, .seq = a->seq, .tag = a->tag};
    mrs_push(c->s, e, span_of_bytes(a->note));
}

enum mr_status mr_consumer_ack(struct mr_consumer *c, const struct mr_ack *a, int64_t now) {
    must(a->kind <= MR_TERM);
    must(!c->s->deleted);
    size_t note = a->want_done ? a->note.n : 0;
    if (note > CQ_NOTE_MAX) return MR_INVAL;
    if (a->want_done && !cq_room(mrs_queue(c->s), note)) return MR_BUSY;
    bool changed = consumer_ack(&c->c, a->kind, a->seq, a->consumer_seq, a->delay_ns, now);
    if (changed) {
        consumer_trim(&c->c);
        mrc_wake_if_ready(c, now);
        mrc_touched(c);
    }
    if (a->want_done) wait_for_record(c, a);
    return MR_OK;
}
