/* reopen.c - a log's state found again by its checkpoint, and pages of it when they are wanted.
 *
 * Happy path: the root's bytes name every stream's head and every consumer's image; each is read and handed
 * to stream/, which asks for the pages it needs at once; the log behind the cut is applied next, as after any
 * opening. Later an index page that was put aside is read when it is wanted.
 *
 * Whatever does not read or does not fit makes the checkpoint unusable: reopen_reset(), then an older one, or
 * the whole log. An index page that cannot be had later is put together again from the messages' records. */
#include "engine.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/header.h"
#include "base/must.h"

#define PROGRESS_NS ((uint64_t)1000 * 1000 * 1000)

/* --- pages --- */

/* The record at loc, if it is this stream's. */
static enum err read_page(struct shard_log *l, uint32_t stream, struct page_key key, uint64_t loc,
                          uint32_t size, struct span *image) {
    struct rec r;
    must(l->store != NULL);
    enum err e = loc ? store_load(l->store, loc, &r) : ERR_CORRUPT;
    if (e) return e;
    bool right = r.kind == REC_PAGE && r.stream == stream && r.flags == key.kind &&
                 r.ts == (int64_t)key.number && r.seq == 0 && r.payload.n == size;
    if (!right) return ERR_CORRUPT;
    *image = r.payload;
    return ERR_OK;
}

static enum err on_load(void *ctx, struct stream *st, struct page_key key, uint64_t loc, uint32_t size,
                        struct span *image) {
    (void)ctx;
    struct mr_stream *s = container_of(st, struct mr_stream, st);
    must(s->log != NULL && s->paged);
    enum err e = read_page(s->log, s->number, key, loc, size, image);
    /* Not damage: what seems lost now is there again at the next opening, so nothing may be built on this. */
    if (e && e != ERR_CORRUPT && e != ERR_NONE && !s->log->recovering) store_fail(s->log->store, e);
    return e;
}

static void on_want(void *ctx, struct stream *st, struct page_key key, uint64_t loc, uint32_t size) {
    (void)ctx;
    struct mr_stream *s = container_of(st, struct mr_stream, st);
    must(key.kind == PAGE_INDEX && size > 0);
    if (!s->log->recovering) store_read_ahead(s->log->store, loc);
}

struct rebuild {
    struct mr_stream *s;
    uint64_t from, to;
};

static void on_found(void *ctx, const struct rec *r, uint64_t loc) {
    struct rebuild *b = ctx;
    bool ours = (r->kind == REC_MESSAGE || r->kind == REC_MOVED) && r->stream == b->s->number &&
                r->seq >= b->from && r->seq <= b->to;
    if (!ours) return;
    struct stream_put p = put_of_record(r, loc);
    stream_rebuilt(&b->s->st, &p);
}

static void on_rebuild(void *ctx, struct stream *st, uint64_t seq_from, uint64_t seq_to, uint64_t segno_from,
                       uint64_t segno_to) {
    (void)ctx;
    struct mr_stream *s = container_of(st, struct mr_stream, st);
    must(seq_from <= seq_to);
    struct rebuild b = {s, seq_from, seq_to};
    env_log(s->shard->env, MR_LOG_ERROR,
            "log-%04x: an index page of stream \"%.*s\" is damaged: reading segments %llu to %llu for its "
            "messages",
            s->log->index, (int)s->name.n, s->name.n ? (const char *)s->name.p : "",
            (unsigned long long)segno_from, (unsigned long long)segno_to);
    enum err e = store_rescan(s->log->store, segno_from, segno_to, on_found, &b);
    if (e) env_log(s->shard->env, MR_LOG_ERROR, "log-%04x: reading again: %s", s->log->index, err_text(e));
}

void reopen_host(struct mr_shard *sh) {
    sh->page_host = (struct page_host){on_load, on_want, on_rebuild, sh};
}

void mrs_set_pages(struct mr_stream *s) {
    must(!s->paged);
    if (!s->log) return;
    if (s->shard->env->read_only) s->st.missing = &s->missing;
    stream_set_pages(&s->st, &s->shard->page_host, &s->shard->pages);
    s->paged = true;
}

/* --- the root's bytes --- */

struct reader {
    struct span rest;
    bool bad;
};

static uint64_t get(struct reader *r, size_t n) {
    must(n == 4 || n == 8);
    if (r->rest.n < n) r->bad = true;
    if (r->bad) return 0;
    uint64_t v = n == 4 ? load32(r->rest.p) : load64(r->rest.p);
    r->rest = span_skip(r->rest, n);
    return v;
}

static void keep(void *ctx, struct page_key key, uint64_t loc, uint32_t size) {
    struct shard_log *l = ctx;
    must(key.kind > 0);
    store_keep(l->store, loc, rec_size(0, 0, size));
}

static enum err load_consumer(struct mr_stream *s, struct reader *r) {
    uint64_t loc = get(r, 8);
    uint32_t size = (uint32_t)get(r, 4);
    uint64_t full_segno = get(r, 8);
    struct span image;
    if (r->bad) return ERR_CORRUPT;
    enum err e = read_page(s->log, s->number, (struct page_key){CHECKPOINT_CONSUMER, 0}, loc, size, &image);
    if (e) return e;
    struct span name = codec_name(image);
    if (!name.n || name.n > CONF_NAME_MAX || mrc_find(s, name)) return ERR_CORRUPT;
    struct mr_consumer *c = mrc_make(s, name);
    if (!c) return ERR_NOMEM;
    if ((e = consumer_load(&c->c, &s->st, image))) {
        mrc_drop(c);
        return e;
    }
    c->loaded = c->logged = true;
    c->full_segno = full_segno;
    c->image_loc = loc;
    c->image_bytes = size;
    keep(s->log, (struct page_key){CHECKPOINT_CONSUMER, 0}, loc, size);
    return ERR_OK;
}

static enum err load_head(struct mr_stream *s, uint64_t loc, uint32_t size) {
    struct span image;
    enum err e = read_page(s->log, s->number, (struct page_key){CHECKPOINT_HEAD, 0}, loc, size, &image);
    if (e) return e;
    uint8_t *copy = malloc(image.n + 1); /* its pages are read over it */
    if (!copy) return ERR_NOMEM;
    if (image.n) memcpy(copy, image.p, image.n);
    e = stream_load_head(&s->st, span_of(copy, image.n));
    free(copy);
    if (e) return e;
    s->st.ids_alone = true; /* copies that compaction made before may lack theirs */
    s->head_loc = loc;
    s->head_bytes = size;
    keep(s->log, (struct page_key){CHECKPOINT_HEAD, 0}, loc, size);
    stream_images(&s->st, keep, s->log);
    return ERR_OK;
}

static enum err load_stream(struct shard_log *l, struct reader *r) {
    uint32_t number = (uint32_t)get(r, 4);
    uint64_t loc = get(r, 8);
    uint32_t size = (uint32_t)get(r, 4);
    uint64_t full_segno = get(r, 8), dead_segno = get(r, 8);
    uint32_t consumers = (uint32_t)get(r, 4);
    if (r->bad || number == 0 || map_u64_get(&l->streams, number)) return ERR_CORRUPT;
    struct mr_stream *s = mrs_make(l->shard, l, number);
    if (!s) return ERR_NOMEM;
    stream_init_blank(&s->st, l->shard->env->uuid, &mrs_hooks);
    mrs_set_pages(s);
    s->full_segno = full_segno;
    s->dead_segno = dead_segno;
    enum err e = load_head(s, loc, size);
    for (uint32_t i = 0; i < consumers && !e; i++) e = load_consumer(s, r);
    return e;
}

enum err reopen_load(struct shard_log *l, struct span state) {
    must(l->recovering && l->streams.count == 0);
    must(l->store != NULL);
    struct mr_shard *sh = l->shard;
    struct reader r = {.rest = state};
    l->next_stream = (uint32_t)get(&r, 4);
    l->gone = get(&r, 4) & 1;
    l->directory_segno = get(&r, 8);
    uint32_t streams = (uint32_t)get(&r, 4);
    uint64_t tell_ns = io_now(sh->io) + PROGRESS_NS;
    enum err e = ERR_OK;
    for (uint32_t i = 0; i < streams && !e; i++) {
        e = load_stream(l, &r);
        io_clock_refresh(sh->io);
        if (io_now(sh->io) < tell_ns) continue;
        tell_ns = io_now(sh->io) + PROGRESS_NS;
        env_log(sh->env, MR_LOG_INFO, "log-%04x: %u of %u streams loaded", l->index, i + 1, streams);
    }
    if (!e && (r.bad || r.rest.n || l->next_stream == 0)) e = ERR_CORRUPT;
    return e;
}

static void forget_damage(struct shard_log *l) {
    struct mr_shard *sh = l->shard;
    size_t n = 0;
    must(sh->damaged >= l->damaged);
    for (size_t i = 0; i < sh->damage_count; i++) {
        if (sh->damage[i].log != l) sh->damage[n++] = sh->damage[i];
    }
    sh->damage_count = n;
    sh->damaged -= l->damaged;
    l->damaged = 0;
}

void reopen_reset(struct shard_log *l) {
    size_t at = 0;
    uint64_t number;
    void *value;
    must(l->recovering);
    while (l->streams.count && map_u64_next(&l->streams, &at, &number, &value)) {
        mrs_close(value);
        at = 0; /* the map changed */
    }
    forget_damage(l);
    l->next_stream = 1;
    l->gone = false;
    l->unnamed = 0;
    l->directory_segno = 0;
    checkpoint_deinit(&l->ck);
    checkpoint_init(&l->ck);
}
