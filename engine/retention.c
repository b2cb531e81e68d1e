/* retention.c - what messages stay for: interest and work queue retention.
 *
 * A work queue's message goes when the consumer that has it acknowledges it; an interest stream's when no
 * consumer holds it any more: none that matches it has still to deliver it or to see it acknowledged. It goes
 * at once, in memory; the log hears of it with the next record of a consumer (s->released), in one record
 * with the acknowledgement. So an acknowledgement that is not durable takes its message with it when the
 * machine stops, and a durable one removed it for good. Deleting a consumer is one record together with what
 * it had kept.
 *
 * What can fail is that record, before anything changed. Too many runs for one record: the stream's full
 * record says it instead. */
#include "engine.h"

#include "base/must.h"
#include "subject/subject.h"

static struct mr_consumer *consumer_at(struct list *pos) {
    return container_of(pos, struct mr_consumer, link);
}

static bool by_interest(const struct mr_stream *s) {
    must(!s->deleted);
    return s->st.conf.c.retention == MR_RETAIN_INTEREST;
}

/* --- the log is told --- */

static void note_released(struct mr_stream *s, uint64_t seq) {
    must(s->log != NULL);
    const struct index_entry *x = stream_get(&s->st, seq, false);
    must(x != NULL);
    struct shard_log *l = s->log;
    if (l->failed) return;
    released_add(&s->released, seq, stream_entry_size(&s->st, x));
    if (s->released.lost) mrs_mark_stale(s);
    if (list_empty(&l->dirty) && list_empty(&l->released)) l->dirty_since = io_now(l->shard->io);
    if (list_empty(&s->release)) list_add_tail(&l->released, &s->release);
}

void mrs_released_logged(struct mr_stream *s) {
    must(s->log != NULL);
    released_clear(&s->released);
    list_del(&s->release);
}

enum err mrs_put_released(struct mr_stream *s) {
    must(s->log != NULL);
    if (s->released.lost) return ERR_OK; /* the full record is owed */
    return codec_released(&s->shard->buf, &s->released);
}

static void start_payload(struct codec_buf *b) {
    must(b);
    b->n = 0;
    b->failed = false;
}

enum err mrs_log_released(struct mr_stream *s) {
    must(s->log && !s->deleted);
    if (!released_any(&s->released)) return ERR_OK;
    if (s->released.lost) return mrs_log_full(s);
    struct codec_buf *b = &s->shard->buf;
    start_payload(b);
    enum err e = codec_released(b, &s->released);
    struct rec r = {
        .kind = REC_PROGRESS, .stream = s->number, .ts = io_wall(s->shard->io), .payload = codec_span(b)};
    uint64_t loc;
    if (!e) e = shard_log_append(s->log, &r, &loc);
    if (!e) mrs_released_logged(s);
    return e;
}

/* Replay knows the messages that were let go and not logged yet: a limit must not find more of them there
 * than it found here, or it would remove others. size: of the message or batch. */
enum err mrs_log_before_limit(struct mr_stream *s, uint64_t size) {
    must(!s->deleted);
    const struct released *r = &s->released;
    const struct mr_stream_config *c = &s->st.conf.c;
    if (!released_any(r)) return ERR_OK;
    uint64_t msgs = s->st.msgs + r->msgs + MR_BATCH_MSGS_MAX, bytes = s->st.bytes + r->bytes + size;
    bool full = c->max_msgs_per_subject > 0 ||
                (c->discard == MR_DISCARD_OLD && c->max_msgs > 0 && msgs > (uint64_t)c->max_msgs) ||
                (c->discard == MR_DISCARD_OLD && c->max_bytes > 0 && bytes > (uint64_t)c->max_bytes);
    return full ? mrs_log_released(s) : ERR_OK;
}

/* --- who holds what --- */

bool mrs_wanted(struct mr_stream *s, struct span subject) {
    must(subject.n > 0);
    if (!by_interest(s)) return true;
    list_each(pos, tmp, &s->consumers) {
        if (consumer_matches_name(&consumer_at(pos)->c, subject)) return true;
    }
    return false;
}

/* The one that held a message last is asked first: the slowest consumer often is the same. */
static bool held_by_others(struct mr_stream *s, const struct mr_consumer *but, uint64_t seq) {
    must(seq > 0 && seq <= s->st.last_seq);
    if (s->holder && s->holder != but && consumer_holds(&s->holder->c, seq)) return true;
    list_each(pos, tmp, &s->consumers) {
        struct mr_consumer *c = consumer_at(pos);
        if (c == but || !consumer_holds(&c->c, seq)) continue;
        s->holder = c;
        return true;
    }
    return false;
}

static void remove_released(struct mr_stream *s, uint64_t seq) {
    must(!s->st.recovering);
    if (s->log) note_released(s, seq);
    stream_delete(&s->st, seq);
}

void mrs_on_released(void *ctx, struct stream *st, struct consumer *c, uint64_t seq) {
    (void)ctx;
    struct mr_stream *s = container_of(st, struct mr_stream, st);
    must(!s->deleted);
    if (!stream_get(st, seq, false)) return;
    if (by_interest(s) && held_by_others(s, container_of(c, struct mr_consumer, c), seq)) return;
    remove_released(s, seq);
    mrs_account(s);
}

/* --- a consumer goes, or wants other messages than before --- */

/* Nothing above this can be free: a consumer without filters has still to come there. */
static uint64_t held_above(struct mr_stream *s, const struct mr_consumer *but) {
    must(!s->deleted);
    uint64_t last = s->st.last_seq;
    list_each(pos, tmp, &s->consumers) {
        const struct mr_consumer *c = consumer_at(pos);
        if (c != but && c->c.conf.c.filters_count == 0 && c->c.next_seq <= last) last = c->c.next_seq - 1;
    }
    return last;
}

/* The first message from `from` on that nobody but `but` holds; 0 = none. */
static uint64_t next_free(struct mr_stream *s, const struct mr_consumer *but, uint64_t from, uint64_t to) {
    must(from > 0);
    while (from <= to && (from = stream_seq_next(&s->st, from, SPAN_EMPTY, false)) != 0 && from <= to) {
        if (!held_by_others(s, but, from)) return from;
        from++;
    }
    return 0;
}

static uint64_t kept_from(const struct mr_stream *s, const struct mr_consumer *c) {
    must(c->c.next_seq > 0);
    return c->c.floor_seq > s->st.first_seq ? c->c.floor_seq : s->st.first_seq ? s->st.first_seq : 1;
}

static void remove_free(struct mr_stream *s, const struct mr_consumer *but, uint64_t from) {
    must(by_interest(s));
    uint64_t to = held_above(s, but);
    for (uint64_t seq = from; (seq = next_free(s, but, seq, to)) != 0; seq++) remove_released(s, seq);
    mrs_account(s);
}

enum err mrc_log_gone(struct mr_consumer *c) {
    must(c->logged);
    struct mr_stream *s = c->s;
    struct released r = {0};
    uint64_t to = by_interest(s) ? held_above(s, c) : 0, seq = kept_from(s, c);
    for (; (seq = next_free(s, c, seq, to)) != 0; seq++) released_add(&r, seq, 0);
    struct codec_buf *b = &s->shard->buf;
    start_payload(b);
    enum err e = r.lost ? ERR_OK : codec_released(b, &r);
    struct rec rec = {.kind = REC_CONSUMER_GONE,
                      .stream = s->number,
                      .ts = io_wall(s->shard->io),
                      .subject = c->name,
                      .payload = codec_span(b)};
    uint64_t loc;
    if (!e) e = shard_log_append(s->log, &rec, &loc);
    if (!e && r.lost) mrs_mark_stale(s); /* the full record names them */
    released_deinit(&r);
    return e;
}

void mrc_release(struct mr_consumer *c) {
    struct mr_stream *s = c->s;
    if (!by_interest(s)) return;
    uint64_t to = held_above(s, c), seq = kept_from(s, c);
    for (; (seq = next_free(s, c, seq, to)) != 0; seq++) {
        if (s->log && !c->logged) note_released(s, seq);
        stream_delete(&s->st, seq);
    }
    mrs_account(s);
}

void mrc_matches_others(struct mr_consumer *c) {
    must(!c->s->deleted);
    if (by_interest(c->s)) remove_free(c->s, NULL, kept_from(c->s, c));
}

/* --- the stream becomes one of interest --- */

static bool matched(struct mr_stream *s, uint64_t seq) {
    const struct index_entry *x = stream_get(&s->st, seq, false);
    must(x != NULL);
    list_each(pos, tmp, &s->consumers) {
        if (consumer_matches(&consumer_at(pos)->c, x->subject)) return true;
    }
    return false;
}

/* matches nats-server: what no consumer ever asked for stays, unless there is none at all. */
void mrs_becomes_interest(struct mr_stream *s) {
    must(by_interest(s));
    uint64_t to = held_above(s, NULL), seq = s->st.first_seq ? s->st.first_seq : 1;
    bool none = s->consumers_count == 0;
    for (; (seq = next_free(s, NULL, seq, to)) != 0; seq++)
        if (none || matched(s, seq)) remove_released(s, seq);
    mrs_account(s);
}

/* --- recovery --- */

/* A consumer that keeps no records is gone with the process, and what was kept for it alone is not let go by
 * anyone any more: what lies at or below every floor there is goes now. */
void mrs_recover_interest(struct mr_stream *s) {
    must(!s->st.recovering);
    if (!by_interest(s) || s->st.msgs == 0) return;
    uint64_t to = s->st.last_seq;
    list_each(pos, tmp, &s->consumers) {
        const struct mr_consumer *c = consumer_at(pos);
        if (c->c.floor_seq < to) to = c->c.floor_seq;
    }
    uint64_t seq = s->st.first_seq;
    for (; seq <= to && (seq = stream_seq_next(&s->st, seq, SPAN_EMPTY, false)) != 0 && seq <= to; seq++)
        remove_released(s, seq);
}

/* --- work queues --- */

static bool overlaps(const struct mr_consumer_config *a, const struct mr_consumer_config *b) {
    must(a && b);
    if (a->filters_count == 0 || b->filters_count == 0) return true;
    for (size_t i = 0; i < a->filters_count; i++)
        for (size_t k = 0; k < b->filters_count; k++)
            if (subject_overlap(span_of_bytes(a->filters[i]), span_of_bytes(b->filters[k]))) return true;
    return false;
}

enum mr_status mrs_may_consume(struct mr_stream *s, const struct mr_consumer_config *cfg) {
    must(!s->deleted);
    if (s->st.conf.c.retention != MR_RETAIN_WORKQUEUE) return MR_OK;
    if (cfg->ack != MR_ACK_EXPLICIT || cfg->deliver != MR_DELIVER_ALL) return MR_DENIED;
    list_each(pos, tmp, &s->consumers) {
        if (overlaps(cfg, &consumer_at(pos)->c.conf.c)) return MR_DENIED;
    }
    return MR_OK;
}
