/* progress.c - records that are written at the end of a turn: what changed in consumers, and full records
 * that are owed.
 *
 * Happy path: a consumer that changed goes on its log's dirty list. Once an ack or a barrier waits for it, or
 * after 10 ms, every dirty consumer of the log gets one record, and the open entries of the queue get the
 * frame of the last one: so one record carries all acks of a turn, and an ack is confirmed only with the
 * state it changed. Delivery counts and plain acks are never waited for. A full record gets a second copy in
 * a later frame. A log without room keeps the list for the next turn and the entries open; without space on
 * the device the entries are told so, and the state follows when there is space again. */
#include "engine.h"

#include "base/must.h"

static enum err append_stream(struct mr_stream *s) {
    must(s->log && !s->deleted);
    struct mr_shard *sh = s->shard;
    int64_t now = io_wall(sh->io);
    enum err e = codec_stream(&sh->buf, &s->st);
    if (e) return e;
    struct rec r = {
        .kind = REC_STREAM, .stream = s->number, .ts = now, .payload = span_of(sh->buf.p, sh->buf.n)};
    uint64_t loc;
    if ((e = shard_log_append(s->log, &r, &loc))) return e;
    must(loc_seg(loc) >= s->full_segno);
    s->full_segno = loc_seg(loc);
    s->full_frame = s->log->last_frame;
    s->dead_segno = UINT64_MAX;
    list_del(&s->stale);
    mrs_released_logged(s); /* the record knows them gone */
    return ERR_OK;
}

enum err mrs_log_full(struct mr_stream *s) {
    must(s->number > 0 && s->number < s->log->next_stream);
    enum err e = append_stream(s);
    if (e) return e;
    list_del(&s->twice);
    list_add_tail(&s->log->twice_streams, &s->twice);
    return ERR_OK;
}

void mrs_mark_stale(struct mr_stream *s) {
    must(!s->deleted);
    must(s->log != NULL);
    if (list_empty(&s->stale)) list_add_tail(&s->log->stale, &s->stale);
}

static enum err append_consumer(struct mr_consumer *c, uint8_t kind, uint64_t *loc) {
    must(kind == REC_CONSUMER || kind == REC_PROGRESS);
    must(c->name.n > 0 && c->name.n <= CONF_NAME_MAX);
    struct mr_shard *sh = c->s->shard;
    struct rec r = {.kind = kind,
                    .stream = c->s->number,
                    .ts = io_wall(sh->io),
                    .subject = c->name,
                    .payload = span_of(sh->buf.p, sh->buf.n)};
    enum err e = shard_log_append(c->s->log, &r, loc);
    c->changed |= !e;
    return e;
}

static enum err append_full(struct mr_consumer *c) {
    must(c->s->log != NULL && !c->s->deleted);
    must(c->logged);
    enum err e = codec_consumer(&c->s->shard->buf, &c->c);
    uint64_t loc;
    if (!e) e = mrs_put_released(c->s);
    if (!e) e = append_consumer(c, REC_CONSUMER, &loc);
    if (e) return e;
    if (!c->s->released.lost) mrs_released_logged(c->s);
    must(loc_seg(loc) >= c->full_segno);
    c->full_segno = loc_seg(loc);
    c->full_frame = c->s->log->last_frame;
    consumer_logged(&c->c);
    return ERR_OK;
}

enum err mrc_log_full(struct mr_consumer *c) {
    must(c->logged);
    enum err e = append_full(c);
    if (e) return e;
    list_del(&c->twice);
    list_add_tail(&c->s->log->twice_consumers, &c->twice);
    return ERR_OK;
}

/* Those whose first copy is durable: it lies in another frame. */
static enum err log_second_copies(struct shard_log *l) {
    must(!l->failed);
    enum err e = ERR_OK;
    while (!e && !list_empty(&l->twice_streams)) {
        struct mr_stream *s = container_of(l->twice_streams.next, struct mr_stream, twice);
        if (s->full_frame > l->durable) break;
        e = append_stream(s);
        if (!e) list_del(&s->twice);
    }
    while (!e && !list_empty(&l->twice_consumers)) {
        struct mr_consumer *c = container_of(l->twice_consumers.next, struct mr_consumer, twice);
        if (c->full_frame > l->durable) break;
        e = append_full(c);
        if (!e) list_del(&c->twice);
    }
    return e;
}

static enum err log_one(struct mr_consumer *c) {
    must(c->logged && !c->c.conf.c.mem_storage);
    must(c->c.dirty || c->c.want_full);
    if (c->c.want_full) return append_full(c);
    enum err e = codec_progress(&c->s->shard->buf, &c->c);
    uint64_t loc;
    if (!e) e = mrs_put_released(c->s);
    if (!e) e = append_consumer(c, REC_PROGRESS, &loc);
    if (e) return e;
    consumer_logged(&c->c);
    if (!c->s->released.lost) mrs_released_logged(c->s);
    return ERR_OK;
}

static void mark_dirty(struct mr_consumer *c) {
    must(c->logged);
    struct shard_log *l = c->s->log;
    must(l != NULL);
    if (!list_empty(&c->dirty)) return;
    if (list_empty(&l->dirty) && list_empty(&l->released)) l->dirty_since = io_now(l->shard->io);
    list_add_tail(&l->dirty, &c->dirty);
}

void mrc_touched(struct mr_consumer *c) {
    must(!c->s->deleted);
    struct shard_log *l = c->s->log;
    mrc_arm_timer(c);
    if (!c->c.dirty && !c->c.want_full) return;
    if (!c->logged || c->c.conf.c.mem_storage || l->failed) {
        consumer_logged(&c->c);
        return;
    }
    mark_dirty(c);
}

void mrc_owe_full(struct mr_consumer *c) {
    must(c->logged);
    c->c.want_full = true;
    mark_dirty(c);
}

static enum err log_stale(struct shard_log *l) {
    must(!l->failed);
    enum err e = ERR_OK;
    while (!e && !list_empty(&l->stale))
        e = mrs_log_full(container_of(l->stale.next, struct mr_stream, stale));
    return e;
}

static enum err log_dirty(struct shard_log *l) {
    must(!l->confirm || l->wanted);
    enum err e = ERR_OK;
    while (!e && !list_empty(&l->dirty)) {
        struct mr_consumer *c = container_of(l->dirty.next, struct mr_consumer, dirty);
        must(c->s->log == l);
        e = c->c.dirty || c->c.want_full ? log_one(c) : ERR_OK;
        if (!e) list_del(&c->dirty);
    }
    while (!e && !list_empty(&l->released)) /* of consumers that keep no records */
        e = mrs_log_released(container_of(l->released.next, struct mr_stream, release));
    return e;
}

enum err shard_log_flush(struct shard_log *l) {
    must(!l->recovering);
    if (l->failed) return ERR_FAILED;
    enum err e = log_stale(l);
    if (!e) e = log_dirty(l);
    if (!e) e = log_stale(l); /* too much was let go for one record */
    must(e || (list_empty(&l->dirty) && list_empty(&l->released)));
    return e;
}

static bool rides(const struct shard_log *l) {
    must(l->store != NULL);
    return !list_empty(&l->dirty) || !list_empty(&l->released);
}

static bool ride_is_over(const struct shard_log *l) {
    return rides(l) && io_now(l->shard->io) - l->dirty_since >= RIDE_NS;
}

/* Room comes with the next commit, space perhaps after a while. */
static void try_later(struct shard_log *l, enum err e) {
    must(e != ERR_LATER);
    must(e != ERR_OK);
    l->retry_ns = e == ERR_FULL ? UINT64_MAX : io_now(l->shard->io) + SPACE_RETRY_NS;
}

void shard_log_progress(struct shard_log *l) {
    must(!l->recovering);
    must(cq_open(&l->queue) <= l->wanted || l->failed);
    must(l->store != NULL);
    if (l->failed) return; /* complete.c tells who waits */
    l->retry_ns = 0;
    enum err e = log_stale(l);
    if (!e) e = log_second_copies(l);
    if (!e && (l->wanted || ride_is_over(l))) e = log_dirty(l);
    if (e) try_later(l, e);
    if (e == ERR_FULL || e == ERR_NOMEM || !l->wanted) return;
    must(e || !rides(l));
    /* Whoever wants it confirmed wants it on disk, also when what says it was logged long ago. */
    if (l->confirm && l->last_frame > l->durable) store_want_sync(l->store);
    cq_settle(&l->queue, l->last_frame, (uint8_t)(e ? status_of(e) : MR_OK));
    l->wanted = l->confirm = false;
}

static bool second_copy_due(const struct shard_log *l) {
    must(l->durable <= l->written);
    const struct list *s = &l->twice_streams, *c = &l->twice_consumers;
    if (!list_empty(s) && container_of(s->next, struct mr_stream, twice)->full_frame <= l->durable)
        return true;
    return !list_empty(c) && container_of(c->next, struct mr_consumer, twice)->full_frame <= l->durable;
}

uint64_t shard_log_progress_at(const struct shard_log *l) {
    must(l->store != NULL);
    if (l->failed) return UINT64_MAX;
    if (l->retry_ns) return l->retry_ns;
    if (l->rewrite_segno) return io_now(l->shard->io) + RIDE_NS;
    if (l->wanted || !list_empty(&l->stale) || second_copy_due(l)) return 0;
    return rides(l) ? l->dirty_since + RIDE_NS : UINT64_MAX;
}
