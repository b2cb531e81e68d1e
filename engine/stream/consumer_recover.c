/* consumer_recover.c - a consumer from its records: the newest full one and the progress after it. */
#include <stdlib.h>

#include "base/must.h"
#include "stream/codec_core.h"
#include "stream/consumer_core.h"
#include "stream/sound.h"

static void take_numbers(struct consumer *c, const struct consumer_numbers *n) {
    must(n->next_seq > 0);
    must(n->floor_cseq <= n->delivered_cseq);
    c->created = n->created;
    c->delivered_last = n->delivered_last;
    c->floor_last = n->floor_last;
    c->next_seq = n->next_seq;
    c->delivered_cseq = n->delivered_cseq;
    c->delivered_seq = n->delivered_seq;
    c->floor_cseq = n->floor_cseq;
    c->floor_seq = n->floor_seq;
    c->last_per_subject_until = n->last_per_subject_until;
    consumer_clock(c, n->delivered_last);
    consumer_clock(c, n->floor_last);
    consumer_recount(c);
}

static void place_entry(struct consumer *c, uint32_t i, uint64_t place) {
    must(pending_at(&c->pending, i)->where == PENDING_NOWHERE);
    must(place < AS_END);
    if (place == AS_DEAD)
        pending_place(&c->pending, i, PENDING_DEAD, 0);
    else if (place == AS_QUEUED)
        pending_place(&c->pending, i, PENDING_QUEUE, 0);
    /* else it waits: for how long, consumer_recovered() decides */
}

static enum err take_entry(struct consumer *c, const struct pending_image *img) {
    must(img->seq > 0);
    must(img->redelivered < UINT32_MAX);
    uint32_t i = pending_find(&c->pending, img->seq);
    if (i == PENDING_NONE) {
        enum err e = pending_reserve(&c->pending);
        if (e != ERR_OK) return e;
        i = pending_add(&c->pending, img->seq, img->cseq);
    }
    struct pending *p = pending_at(&c->pending, i);
    pending_place(&c->pending, i, PENDING_NOWHERE, 0);
    p->cseq = img->cseq;
    p->ts = img->ts;
    p->logged = true;
    pending_set_redelivered(&c->pending, i, (uint32_t)img->redelivered);
    place_entry(c, i, img->place);
    return ERR_OK;
}

static enum err take_entries(struct consumer *c, struct span pending) {
    must(c && c->st);
    struct pending_image p = {0};
    enum err e = ERR_OK;
    while (e == ERR_OK && pending.n && codec_next_pending(&pending, &p)) e = take_entry(c, &p);
    return e;
}

static void take_removed(struct consumer *c, struct span removed) {
    must(c && c->st);
    uint64_t seq = 0;
    while (removed.n && codec_next_removed(&removed, &seq)) {
        uint32_t i = pending_find(&c->pending, seq);
        if (i != PENDING_NONE) pending_remove(&c->pending, i);
    }
}

enum err consumer_load(struct consumer *c, struct stream *st, struct span record) {
    must(c && st);
    struct consumer_image img;
    enum err e = codec_read_consumer(record, &img);
    if (e != ERR_OK) return e;
    consumer_deinit(c);
    c->st = st;
    c->conf = img.conf;
    pending_init(&c->pending);
    if (c->conf.c.backoff_count && (e = pending_use_heap(&c->pending)) != ERR_OK) return e;
    take_numbers(c, &img.n);
    return take_entries(c, img.pending);
}

enum err consumer_replay(struct consumer *c, struct span record) {
    must(c && c->st);
    struct consumer_image img;
    enum err e = codec_read_progress(record, &img);
    if (e != ERR_OK) return e;
    take_numbers(c, &img.n);
    take_removed(c, img.removed);
    return take_entries(c, img.pending);
}

/* The log may end earlier than the consumer's record knew, when messages behind were damaged. */
static void stay_in_stream(struct consumer *c) {
    must(!c->st->blank);
    uint64_t last = c->st->last_seq;
    if (c->next_seq > last + 1) c->next_seq = last + 1;
    if (c->delivered_seq > last) c->delivered_seq = last;
    if (c->floor_seq > last) c->floor_seq = last;
}

void consumer_recovered(struct consumer *c, int64_t now) {
    must(c && c->st);
    must(!c->st->recovering);
    consumer_clock(c, now);
    consumer_drop_missing(c);
    stay_in_stream(c);
    consumer_replace_waiting(c);
    consumer_recount(c);
    must_slow(consumer_is_sound(c));
}
