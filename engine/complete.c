/* complete.c - the end of a turn: what the watermarks have passed is finished, and the host is called.
 *
 * Happy path: entries leave a log's queue while their frame is at or below its watermark; streams' visible
 * sequences move, operations are reported in batches, then consumers that wait for something are called.
 * Entries of a failed log are reported with MR_FAILED and move nothing. A callback may delete any stream or
 * consumer, also those of the very batch: entries hold a reference, the batch is patched, consumers leave
 * their lists. What callbacks hand in is finished in a later turn, so that a turn ends. */
#include "engine.h"

#include "base/must.h"

/* Up to where a queue's frames are done. */
struct gate {
    uint64_t written, durable;
    bool failed;
};

struct commit_queue *mrs_queue(struct mr_stream *s) {
    return s->log ? &s->log->queue : &s->shard->memory;
}

void mrs_push(struct mr_stream *s, struct cq_entry e, struct span note) {
    must(e.kind > CQ_SKIP && e.kind < CQ_BARRIER);
    must(e.seq <= s->st.last_seq || e.kind == CQ_ACK);
    must(!s->deleted);
    e.stream = s;
    e.frame = !s->log ? s->shard->turn : e.kind == CQ_ACK ? CQ_OPEN : s->log->last_frame;
    if (s->log && e.kind == CQ_ACK) {
        e.durable = s->log->confirm = true;
        s->log->wanted = true;
    }
    if (cq_push(mrs_queue(s), &e, note)) s->refs++;
}

/* --- finished operations --- */

static void flush_batch(struct mr_shard *sh, struct commit_queue *q) {
    must(sh->ticking || sh->closing);
    must(sh->batch_count <= DONE_BATCH);
    if (sh->batch_count) sh->called = true;
    if (sh->batch_count && sh->host.on_done) sh->host.on_done(sh->host.ctx, sh->batch, sh->batch_count);
    for (size_t i = 0; i < sh->batch_count; i++)
        if (sh->batch_refs[i]) mrs_unref(sh->batch_refs[i]);
    sh->batch_count = 0;
    cq_release(q);
}

/* Did the last queue pass this barrier? Then its status is the worst one seen. */
static bool barrier_passed(struct mr_shard *sh, const struct cq_entry *e, uint8_t *status) {
    must(e->kind == CQ_BARRIER);
    struct barrier_part *part = e->part;
    if (!part) return true;
    must(part->left > 0);
    if (*status != MR_OK) part->status = *status;
    if (--part->left > 0) return false;
    *status = part->status;
    pool_give(&sh->parts, part);
    return true;
}

static void make_visible(struct mr_stream *s, uint64_t seq) {
    must(!s->deleted);
    must(seq > 0 && seq <= s->st.last_seq);
    stream_visible(&s->st, seq);
    if (!list_empty(&s->armed) && list_empty(&s->moved)) list_add_tail(&s->shard->moved, &s->moved);
}

static void report(struct mr_shard *sh, const struct cq_entry *e, uint8_t status) {
    must(sh->batch_count < DONE_BATCH);
    must(status < MR_STATUS_COUNT);
    static const enum mr_done_kind kinds[] = {
        [CQ_APPEND] = MR_DONE_APPEND, [CQ_ACK] = MR_DONE_ACK, [CQ_BARRIER] = MR_DONE_BARRIER};
    must(e->kind >= CQ_APPEND && e->kind <= CQ_BARRIER);
    struct span note = cq_note(e);
    sh->batch_refs[sh->batch_count] = e->stream;
    sh->batch[sh->batch_count++] =
        (struct mr_done){.kind = kinds[e->kind],
                         .status = status,
                         .stream = e->stream && !e->stream->deleted ? e->stream : NULL,
                         .seq = e->seq,
                         .tag = e->tag,
                         .note = {note.p, note.n}};
}

static void finish(struct mr_shard *sh, const struct cq_entry *e, uint8_t status) {
    must(e->frame != CQ_OPEN);
    must(e->stream || e->kind == CQ_BARRIER);
    struct mr_stream *s = e->stream;
    bool appended = e->kind == CQ_VISIBLE || e->kind == CQ_APPEND;
    if (appended && status == MR_OK && !s->deleted) make_visible(s, e->seq);
    bool tell = e->kind == CQ_BARRIER ? barrier_passed(sh, e, &status) : e->kind != CQ_VISIBLE;
    if (tell) {
        report(sh, e, status);
    } else if (s) {
        mrs_unref(s);
    }
}

static void complete_queue(struct mr_shard *sh, struct commit_queue *q, const struct gate *g) {
    must(g->durable <= g->written);
    must(sh->batch_count == 0);
    if (g->failed) cq_settle(q, q->frame, MR_FAILED);
    for (size_t left = q->count; left > 0; left--) {
        const struct cq_entry *e = cq_peek(q);
        must(e != NULL);
        bool passed = e->frame <= (e->durable ? g->durable : g->written);
        if (e->frame == CQ_OPEN || (!passed && !g->failed)) break;
        finish(sh, e, passed ? e->status : MR_FAILED);
        cq_take(q);
        if (sh->batch_count == DONE_BATCH) flush_batch(sh, q);
    }
    flush_batch(sh, q);
}

/* --- consumers to be called --- */

void mrc_arm(struct mr_consumer *c) {
    must(!c->s->deleted);
    if (list_empty(&c->armed)) list_add_tail(&c->s->armed, &c->armed);
}

static void mrc_call(struct mr_consumer *c) {
    must(!c->s->deleted);
    if (list_empty(&c->event)) list_add_tail(&c->s->shard->events, &c->event);
}

void mrc_wake(struct mr_consumer *c) {
    must(c->s->shard->calling == NULL || c->s->shard->ticking);
    if (list_empty(&c->armed)) return;
    list_del(&c->armed);
    c->ready = true;
    mrc_call(c);
}

void mrc_wake_if_ready(struct mr_consumer *c, int64_t now) {
    if (!list_empty(&c->armed) && !c->wait.waiting && consumer_ready(&c->c, now)) mrc_wake(c);
    mrc_note_exceeded(c); /* looking for the next message is also how some are found to have had enough */
}

void mrc_note_exceeded(struct mr_consumer *c) {
    if (c->c.exceeded_len > 0) mrc_call(c);
}

static void wake_moved(struct mr_shard *sh) {
    must(sh->batch_count == 0);
    int64_t now = io_wall(sh->io);
    for (struct list *pos; (pos = list_pop(&sh->moved));) {
        struct mr_stream *s = container_of(pos, struct mr_stream, moved);
        must(!s->deleted && s->shard == sh);
        list_each(at, tmp, &s->armed) mrc_wake_if_ready(container_of(at, struct mr_consumer, armed), now);
    }
}

/* The callbacks of one consumer; it may be deleted in each. */
static void call_host(struct mr_shard *sh, struct mr_consumer *c) {
    must(list_empty(&c->event));
    must(!c->s->deleted && c->s->shard == sh);
    must(sh->calling == NULL);
    sh->calling = c;
    sh->called = true;
    struct consumer_exceeded x;
    while (sh->calling && consumer_next_exceeded(&c->c, &x))
        if (sh->host.on_max_deliver) sh->host.on_max_deliver(sh->host.ctx, c, x.seq, x.deliveries);
    if (sh->calling && c->ready) {
        c->ready = false;
        if (sh->host.on_ready) sh->host.on_ready(sh->host.ctx, c);
    }
    sh->calling = NULL;
}

static void run_events(struct mr_shard *sh) {
    must(sh->calling == NULL);
    struct list now;
    if (list_empty(&sh->events)) return;
    list_add_after(&sh->events,
                   &now); /* takes this turn's events over: what callbacks add waits for the next */
    list_del(&sh->events);
    for (struct list *pos; (pos = list_pop(&now));)
        call_host(sh, container_of(pos, struct mr_consumer, event));
}

/* In interval mode acknowledged means with the kernel. */
static uint64_t gate_written(const struct shard_log *l) {
    must(l->durable <= l->written);
    return l->shard->env->cfg.sync == MR_SYNC_INTERVAL ? l->written : l->durable;
}

bool shard_has_calls(const struct mr_shard *sh) {
    if (!list_empty(&sh->events) || !list_empty(&sh->retry) || !cq_empty(&sh->memory)) return true;
    for (size_t i = 0; i < sh->logs_count; i++) {
        struct shard_log *l = &sh->logs[i];
        const struct cq_entry *e = cq_peek(&l->queue);
        if (!e) continue;
        if (l->failed || e->frame <= (e->durable ? l->durable : gate_written(l))) return true;
    }
    return false;
}

void shard_complete(struct mr_shard *sh) {
    must(sh->calling == NULL && sh->batch_count == 0);
    must(sh->turn > 0);
    for (size_t i = 0; i < sh->logs_count; i++) {
        struct shard_log *l = &sh->logs[i];
        struct gate g = {gate_written(l), l->durable, l->failed};
        complete_queue(sh, &l->queue, &g);
    }
    complete_queue(sh, &sh->memory, &(struct gate){sh->turn - 1, sh->turn - 1, false});
    wake_moved(sh);
    run_events(sh);
    shard_retry_waits(sh);
}
