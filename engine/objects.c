/* objects.c - streams and consumers as objects of a shard: made, named, listed, counted, freed. Nothing here
 * writes records.
 *
 * A stream that is deleted while operations wait for a frame loses its content at once and its struct with
 * the last of them. A consumer is never referred to by a queue, so it goes at once. What can fail is memory,
 * before anything changed. */
#include "engine.h"

#include <stdlib.h>

#include "base/must.h"

static void *copy_bytes(struct span s) {
    uint8_t *p = malloc(s.n + 1);
    if (p && s.n) memcpy(p, s.p, s.n);
    if (p) p[s.n] = 0;
    return p;
}

/* --- streams --- */

static void record_dead(struct mr_stream *s, uint64_t loc, uint32_t body) {
    must(loc != 0);
    if (s->log) {
        store_dead(s->log->store, loc, rec_size(0, 0, body));
    } else {
        shard_memory_dead(s->shard, loc);
    }
}

static void on_removed(void *ctx, struct stream *st, const struct stream_removed *r) {
    (void)ctx;
    struct mr_stream *s = container_of(st, struct mr_stream, st);
    must(!s->deleted);
    must(r->loc != 0 || r->why == REMOVED_LOST);
    bool tell = r->why != REMOVED_PURGE && !st->recovering;
    list_each(pos, tmp, &s->consumers) {
        if (!tell) break;
        struct mr_consumer *c = container_of(pos, struct mr_consumer, link);
        consumer_on_removed(&c->c, r);
        if (c->c.dirty) mrc_touched(c);
    }
    if (!r->loc) return;
    if (s->log) mrs_left(s, r->loc);
    record_dead(s, r->loc, r->body);
}
const struct stream_hooks mrs_hooks = {.on_removed = on_removed, .on_released = mrs_on_released};

struct mr_stream *mrs_make(struct mr_shard *sh, struct shard_log *l, uint32_t number) {
    must(sh != NULL);
    must(!l || number > 0);
    struct mr_stream *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->shard = sh;
    s->log = l;
    s->number = number;
    s->dead_segno = UINT64_MAX;
    list_init(&s->link);
    list_init(&s->moved);
    list_init(&s->stale);
    list_init(&s->twice);
    list_init(&s->due);
    list_init(&s->release);
    list_init(&s->consumers);
    list_init(&s->armed);
    map_str_init(&s->consumer_names, sh->seed);
    mrs_init_timer(s);
    if (l && map_u64_put(&l->streams, number, s) != ERR_OK) {
        free(s);
        return NULL;
    }
    if (l) l->streams_count++;
    return s;
}

enum err mrs_enlist(struct mr_stream *s, struct span name) {
    must(!s->deleted && list_empty(&s->link));
    must(!s->name.p);
    if (map_str_get(&s->shard->names, name)) return ERR_EXISTS;
    uint8_t *copy = copy_bytes(name);
    if (!copy) return ERR_NOMEM;
    enum err e = map_str_put(&s->shard->names, span_of(copy, name.n), s);
    if (e) {
        free(copy);
        return e;
    }
    s->name = span_of(copy, name.n);
    list_add_tail(&s->shard->streams, &s->link);
    s->shard->streams_count++;
    return ERR_OK;
}

static void free_if_unused(struct mr_stream *s) {
    if (s->refs == 0) free(s);
}

void mrs_unref(struct mr_stream *s) {
    must(s->refs > 0);
    s->refs--;
    if (s->deleted) free_if_unused(s);
}

void mrs_account(struct mr_stream *s) {
    must(s->shard != NULL);
    uint64_t *total = s->log ? &s->shard->file_bytes : &s->shard->memory_bytes;
    must(*total >= s->bytes_seen);
    *total += s->st.bytes - s->bytes_seen;
    s->bytes_seen = s->st.bytes;
}

void mrs_tell_purge(struct mr_stream *s, struct span filter) {
    must(!s->deleted);
    list_each(pos, tmp, &s->consumers) {
        struct mr_consumer *c = container_of(pos, struct mr_consumer, link);
        consumer_on_purge(&c->c, filter);
        mrc_touched(c);
    }
}

static void forget_stream(struct mr_stream *s) {
    must(!s->deleted);
    struct mr_shard *sh = s->shard;
    list_each(pos, tmp, &s->consumers) mrc_drop(container_of(pos, struct mr_consumer, link));
    must(list_empty(&s->armed));
    io_timer_cancel(sh->io, &s->timer);
    if (s->name.p) {
        must(map_str_del(&sh->names, s->name) == s);
        sh->streams_count--;
    }
    list_del(&s->link);
    list_del(&s->moved);
    list_del(&s->stale);
    list_del(&s->twice);
    list_del(&s->due);
    list_del(&s->release);
    released_deinit(&s->released);
    if (s->log) {
        must(map_u64_del(&s->log->streams, s->number) == s);
        s->log->streams_count--;
    }
    map_str_deinit(&s->consumer_names);
    missing_deinit(&s->missing);
    stream_deinit(&s->st);
    s->st = (struct stream){0};
    mrs_account(s);
    free((void *)s->name.p);
    free(s->id);
    s->name = SPAN_EMPTY;
    s->id = NULL;
    s->deleted = true;
}

static void all_dead(struct mr_stream *s) {
    must(!s->deleted);
    const struct stream *st = &s->st;
    uint64_t seq = st->index.count ? index_next(&st->index, 1, UINT64_MAX) : 0;
    while (seq) {
        const struct index_entry *x = index_get(&st->index, seq);
        must(x != NULL);
        if (x->subject != SUBJECT_NONE) record_dead(s, x->loc, x->size & ~INDEX_HAS_HDR);
        seq = index_next(&st->index, seq + 1, UINT64_MAX);
    }
}

void mrs_drop(struct mr_stream *s) {
    must(!s->deleted);
    checkpoint_drop_stream(s);
    all_dead(s);
    forget_stream(s);
    for (size_t i = 0; i < s->shard->batch_count; i++)
        if (s->shard->batch[i].stream == s) s->shard->batch[i].stream = NULL;
    free_if_unused(s);
}

void mrs_close(struct mr_stream *s) {
    forget_stream(s);
    must(s->refs == 0);
    free_if_unused(s);
}

/* --- consumers --- */

static void block_is_here(struct store_wait *w) { mrc_wake(container_of(w, struct mr_consumer, wait)); }

struct mr_consumer *mrc_make(struct mr_stream *s, struct span name) {
    must(name.n > 0 && !mrc_find(s, name));
    must(!s->deleted);
    struct mr_consumer *c = calloc(1, sizeof *c);
    uint8_t *copy = c ? copy_bytes(name) : NULL;
    bool named = copy && map_str_put(&s->consumer_names, span_of(copy, name.n), c) == ERR_OK;
    if (!named) {
        free(copy);
        free(c);
        return NULL;
    }
    c->s = s;
    c->name = span_of(copy, name.n);
    list_init(&c->armed);
    list_init(&c->event);
    list_init(&c->dirty);
    list_init(&c->twice);
    list_init(&c->due);
    store_wait_init(&c->wait);
    c->wait.on_ready = block_is_here;
    mrc_init_timer(c);
    list_add_tail(&s->consumers, &c->link);
    s->consumers_count++;
    s->shard->consumers_count++;
    return c;
}

struct mr_consumer *mrc_find(struct mr_stream *s, struct span name) {
    must(!s->deleted);
    must(s->consumer_names.count == s->consumers_count);
    return map_str_get(&s->consumer_names, name);
}

void mrc_drop(struct mr_consumer *c) {
    struct mr_stream *s = c->s;
    must(s->consumers_count > 0);
    checkpoint_drop_consumer(c);
    store_wait_cancel(&c->wait);
    io_timer_cancel(s->shard->io, &c->timer);
    list_del(&c->link);
    list_del(&c->armed);
    list_del(&c->event);
    list_del(&c->dirty);
    list_del(&c->twice);
    list_del(&c->due);
    must(map_str_del(&s->consumer_names, c->name) == c);
    s->consumers_count--;
    s->shard->consumers_count--;
    if (s->shard->calling == c) s->shard->calling = NULL;
    if (s->holder == c) s->holder = NULL;
    consumer_deinit(&c->c);
    free((void *)c->name.p);
    free(c);
}
