/* checkpoint.c - a log's checkpoints: at the end of a turn the state is cut, over the next turns its pages go
 * into the log, then a root that names them all.
 *
 * Happy path: when enough was appended since the last cut (or mr_checkpoint() asked), what consumers owe the
 * log is written, so that memory and log say the same; then the store cuts, each stream that changed cuts,
 * and the images of changed consumers are taken. A bounded amount a turn the streams' pages and heads and the
 * images are appended, then the root. When the store says that it stands, what only older roots named is
 * dead.
 *
 * A stream that is deleted meanwhile gets its part written first, at once: the root names it, the log behind
 * the cut says that it is gone. What can fail: memory, room, a failed log. Then the checkpoint is given up,
 * the last one stands, and another is tried later; nothing else depends on it. */
#include "checkpoint.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/must.h"
#include "engine.h"
#include "stream/tlv.h"

#define TRY_AGAIN_NS ((uint64_t)1000 * 1000 * 1000)
enum {
    DISTANCE = 64 << 20,      /* bytes of log between two checkpoints, at least */
    TURN_BYTES = 1 << 20,     /* pages appended in a turn */
    BUSY_BYTES = 64 << 10,    /* the same while the log has enough to do */
    BUSY_BACKLOG = 256 << 10, /* which it has when this much waits for the disk */
};

/* --- places --- */

static size_t record_bytes(uint32_t payload) { return rec_size(0, 0, payload); }

/* Without memory the record stays where it is until the log is opened again. */
static void place_add(struct ck_places *l, struct ck_place p) {
    must(l->len <= l->cap);
    if (!p.loc) return;
    if (l->len == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 64;
        struct ck_place *at = realloc(l->at, cap * sizeof *at);
        if (!at) return;
        l->at = at;
        l->cap = cap;
    }
    l->at[l->len++] = p;
}

static void places_move(struct ck_places *to, struct ck_places *from) {
    for (size_t i = 0; i < from->len; i++) place_add(to, from->at[i]);
    from->len = 0;
}

static void places_dead(struct shard_log *l, struct ck_places *list) {
    must(l->store != NULL);
    for (size_t i = 0; i < list->len; i++)
        store_unkeep(l->store, list->at[i].loc, record_bytes(list->at[i].bytes));
    list->len = 0;
}

/* --- ends --- */

static void lists_free(struct checkpoint *c) {
    free(c->streams);
    free(c->consumers);
    c->streams = NULL;
    c->consumers = NULL;
    c->streams_len = c->consumers_len = c->consumers_cap = c->stream_at = c->consumer_at = 0;
    c->page_held = false;
    codec_buf_deinit(&c->page);
    codec_buf_deinit(&c->blob);
    codec_buf_init(&c->page);
    codec_buf_init(&c->blob);
}

void checkpoint_init(struct checkpoint *c) {
    *c = (struct checkpoint){0};
    codec_buf_init(&c->page);
    codec_buf_init(&c->blob);
}

void checkpoint_deinit(struct checkpoint *c) {
    lists_free(c);
    free(c->dead_now.at);
    free(c->dead_next.at);
    c->dead_now = c->dead_next = (struct ck_places){0};
}

static void page_dead(void *ctx, struct page_key key, uint64_t loc, uint32_t size) {
    struct shard_log *l = ctx;
    must(key.kind > 0);
    store_unkeep(l->store, loc, record_bytes(size));
}

static void end_cuts(struct shard_log *l, bool ok) {
    struct checkpoint *c = &l->ck;
    for (size_t i = 0; i < c->streams_len; i++) {
        struct mr_stream *s = map_u64_get(&l->streams, c->streams[i].number);
        if (!s || !s->cutting) continue;
        must(!s->deleted && s->log == l);
        s->cutting = false;
        stream_cut_end(&s->st, ok, page_dead, l);
    }
}

static struct span image_of(const struct checkpoint *c, const struct ck_consumer *k) {
    must(k->from + k->bytes <= c->blob.n);
    return span_of(c->blob.p + k->from, k->bytes);
}

/* The consumer whose image is to be written; NULL: it is gone, or none is. */
static struct mr_consumer *imaged(const struct shard_log *l, const struct ck_consumer *k) {
    struct mr_stream *s = k->bytes ? map_u64_get(&l->streams, k->stream) : NULL;
    return s ? mrc_find(s, codec_name(image_of(&l->ck, k))) : NULL;
}

/* The images that were not written. */
static void forget_images(struct shard_log *l) {
    struct checkpoint *c = &l->ck;
    for (; c->consumer_at < c->consumers_len; c->consumer_at++) {
        struct mr_consumer *co = imaged(l, &c->consumers[c->consumer_at]);
        if (!co || !co->imaging) continue;
        co->imaging = false;
        co->changed = true;
    }
}

static void give_up(struct shard_log *l, enum err why) {
    struct checkpoint *c = &l->ck;
    must(c->stage != CHECKPOINT_IDLE);
    must(why != ERR_OK);
    forget_images(l);
    end_cuts(l, false);
    places_move(&c->dead_next, &c->dead_now);
    lists_free(c);
    c->stage = CHECKPOINT_IDLE;
    c->retry_ns = io_now(l->shard->io) + TRY_AGAIN_NS;
    env_log(l->shard->env, MR_LOG_INFO, "log-%04x: a checkpoint was given up: %s", l->index, err_text(why));
}

static void succeed(struct shard_log *l) {
    struct checkpoint *c = &l->ck;
    must(c->stage == CHECKPOINT_ROOT);
    end_cuts(l, true);
    places_dead(l, &c->dead_now);
    lists_free(c);
    c->stage = CHECKPOINT_IDLE;
    c->asked = false;
    c->retry_ns = store_pinned(l->store) ? io_now(l->shard->io) + TRY_AGAIN_NS : 0;
    c->last_bytes = c->bytes;
    c->done++;
    c->done_bytes += c->bytes;
    env_log(l->shard->env, MR_LOG_DEBUG, "log-%04x: checkpoint of %llu bytes in %llu ms", l->index,
            (unsigned long long)c->bytes,
            (unsigned long long)((io_now(l->shard->io) - c->begun_ns) / 1000000));
}

/* --- the cut --- */

struct renewal {
    struct shard_log *l;
    struct mr_stream *s;
    struct page_key keys[256];
    uint64_t locs[256];
    size_t len;
};

static void collect_pinned(void *ctx, struct page_key key, uint64_t loc, uint32_t size) {
    struct renewal *r = ctx;
    must(size > 0);
    if (r->len == sizeof r->locs / sizeof *r->locs || !store_only_kept(r->l->store, loc_seg(loc))) return;
    r->keys[r->len] = key;
    r->locs[r->len++] = loc;
}

/* What lies in segments that hold nothing else is written again, so that they can go; some of it at a time.
 */
static void renew_stream(struct shard_log *l, struct mr_stream *s) {
    must(s->paged && !s->cutting);
    struct renewal r = {.l = l, .s = s};
    stream_images(&s->st, collect_pinned, &r);
    for (size_t i = 0; i < r.len; i++) (void)stream_page_renew(&s->st, r.keys[i], r.locs[i]);
    s->head_renew = s->head_loc && store_only_kept(l->store, loc_seg(s->head_loc));
    list_each(pos, tmp, &s->consumers) {
        struct mr_consumer *c = container_of(pos, struct mr_consumer, link);
        if (c->image_loc && store_only_kept(l->store, loc_seg(c->image_loc))) c->changed = true;
    }
}

static enum err note_consumer(struct shard_log *l, struct mr_consumer *co) {
    struct checkpoint *c = &l->ck;
    must(co->logged && !co->c.dirty); /* memory and log say the same */
    if (c->consumers_len == c->consumers_cap) {
        size_t cap = c->consumers_cap ? c->consumers_cap * 2 : 64;
        struct ck_consumer *p = realloc(c->consumers, cap * sizeof *p);
        if (!p) return ERR_NOMEM;
        c->consumers = p;
        c->consumers_cap = cap;
    }
    struct ck_consumer *k = &c->consumers[c->consumers_len];
    *k = (struct ck_consumer){.stream = co->s->number,
                              .image = {co->image_loc, co->image_bytes},
                              .full_segno = co->full_segno,
                              .from = c->blob.n};
    if (!co->image_loc || co->changed) {
        enum err e = codec_consumer(&c->page, &co->c);
        if (e) return e;
        tlv_raw(&c->blob, c->page.p, c->page.n);
        if (c->blob.failed) return ERR_NOMEM;
        k->bytes = c->page.n;
    }
    c->consumers_len++;
    return ERR_OK;
}

static enum err note_stream(struct shard_log *l, struct mr_stream *s) {
    struct checkpoint *c = &l->ck;
    must(!s->deleted && !s->cutting);
    must(!s->st.recovering);
    struct ck_stream *k = &c->streams[c->streams_len];
    *k = (struct ck_stream){.number = s->number,
                            .head = {s->head_loc, s->head_bytes},
                            .full_segno = s->full_segno,
                            .dead_segno = s->dead_segno};
    renew_stream(l, s);
    list_each(pos, tmp, &s->consumers) {
        struct mr_consumer *co = container_of(pos, struct mr_consumer, link);
        if (!co->logged) continue;
        enum err e = note_consumer(l, co);
        if (e) return e;
        k->consumers++;
    }
    k->due = !s->head_loc || s->head_renew || stream_changed(&s->st);
    enum err e = k->due ? stream_cut(&s->st) : ERR_OK;
    if (e) return e;
    s->cutting = k->due;
    c->streams_len++;
    return ERR_OK;
}

static void consumers_noted(struct shard_log *l) {
    struct checkpoint *c = &l->ck;
    for (size_t i = 0; i < c->consumers_len; i++) {
        struct mr_consumer *co = imaged(l, &c->consumers[i]);
        if (!co) continue;
        co->imaging = true;
        co->changed = false;
    }
}

/* Messages whose stream's configuration is lost are found by reading the whole log, and in no other way. */
static bool all_known(const struct shard_log *l) {
    size_t at = 0;
    uint64_t number;
    void *value;
    while (map_u64_next(&l->streams, &at, &number, &value)) {
        const struct mr_stream *s = value;
        if (s->st.blank || s->st.recovering) return false;
    }
    return true;
}

static enum err cut(struct shard_log *l) {
    struct checkpoint *c = &l->ck;
    must(c->stage == CHECKPOINT_IDLE);
    if (!all_known(l)) return ERR_NONE;
    enum err e = shard_log_flush(l);
    if (!e) e = store_cut(l->store);
    if (e) return e;
    c->streams = calloc(l->streams.count + 1, sizeof *c->streams);
    if (!c->streams) return ERR_NOMEM;
    c->stage = CHECKPOINT_PAGES;
    c->next_stream = l->next_stream;
    c->gone = l->gone;
    c->directory_segno = l->directory_segno;
    c->bytes = 0;
    c->begun_ns = io_now(l->shard->io);
    size_t at = 0;
    uint64_t number;
    void *value;
    while (!e && map_u64_next(&l->streams, &at, &number, &value)) e = note_stream(l, value);
    if (e) {
        give_up(l, e);
        return ERR_OK;
    }
    consumers_noted(l);
    places_move(&c->dead_now, &c->dead_next);
    return ERR_OK;
}

/* --- pages --- */

static enum err append_page(struct shard_log *l, uint32_t stream, struct page_key key, struct span image,
                            struct ck_place *at) {
    must(image.n <= UINT32_MAX);
    struct rec r = {.kind = REC_PAGE,
                    .flags = (uint8_t)key.kind,
                    .stream = stream,
                    .ts = (int64_t)key.number,
                    .payload = image};
    uint64_t loc;
    enum err e = shard_log_append(l, &r, &loc);
    if (e) return e;
    *at = (struct ck_place){loc, (uint32_t)image.n};
    store_keep(l->store, loc, record_bytes(at->bytes));
    l->ck.bytes += record_bytes(at->bytes);
    return ERR_OK;
}

static void head_placed(struct shard_log *l, struct mr_stream *s, struct ck_stream *k, struct ck_place at) {
    must(k->due && s->cutting);
    place_add(&l->ck.dead_now, (struct ck_place){s->head_loc, s->head_bytes});
    s->head_loc = at.loc;
    s->head_bytes = at.bytes;
    k->head = at;
    k->due = false;
}

/* One page, or the head, of this stream. */
static enum err stream_step(struct shard_log *l, struct mr_stream *s, struct ck_stream *k) {
    struct checkpoint *c = &l->ck;
    must(s->cutting && k->due);
    enum err e = ERR_OK;
    if (!c->page_held) {
        e = stream_cut_next(&s->st, &c->page, &c->key);
        if (e == ERR_NONE) {
            c->key = (struct page_key){CHECKPOINT_HEAD, 0};
            e = stream_cut_head(&s->st, &c->page);
        }
        if (e) return e == ERR_FULL ? ERR_NOMEM : e;
        c->page_held = true;
    }
    struct ck_place at;
    e = append_page(l, k->number, c->key, codec_span(&c->page), &at);
    if (e) return e;
    c->page_held = false;
    if (c->key.kind == CHECKPOINT_HEAD)
        head_placed(l, s, k, at);
    else
        stream_cut_placed(&s->st, c->key, at.loc, at.bytes);
    return ERR_OK;
}

static enum err image_step(struct shard_log *l, struct ck_consumer *k) {
    struct checkpoint *c = &l->ck;
    if (!k->bytes) return ERR_OK;
    enum err e =
        append_page(l, k->stream, (struct page_key){CHECKPOINT_CONSUMER, 0}, image_of(c, k), &k->image);
    if (e) return e;
    struct mr_consumer *co = imaged(l, k);
    if (!co || !co->imaging) { /* deleted since the cut */
        place_add(&c->dead_next, k->image);
        return ERR_OK;
    }
    place_add(&c->dead_now, (struct ck_place){co->image_loc, co->image_bytes});
    co->image_loc = k->image.loc;
    co->image_bytes = k->image.bytes;
    co->imaging = false;
    return ERR_OK;
}

/* --- the root --- */

static void put(struct codec_buf *b, uint64_t v, size_t n) {
    uint8_t raw[8];
    must(n == 4 || n == 8);
    store64(raw, v);
    tlv_raw(b, raw, n); /* b->failed remembers */
}

static enum err write_root(struct shard_log *l) {
    struct checkpoint *c = &l->ck;
    struct codec_buf *b = &c->page;
    must(c->stage == CHECKPOINT_PAGES && !c->page_held);
    tlv_reset(b);
    put(b, c->next_stream, 4);
    put(b, c->gone, 4);
    put(b, c->directory_segno, 8);
    put(b, c->streams_len, 4);
    size_t at = 0;
    for (size_t i = 0; i < c->streams_len; i++) {
        const struct ck_stream *k = &c->streams[i];
        must(k->head.loc && !k->due);
        put(b, k->number, 4), put(b, k->head.loc, 8), put(b, k->head.bytes, 4);
        put(b, k->full_segno, 8), put(b, k->dead_segno, 8), put(b, k->consumers, 4);
        for (uint32_t n = 0; n < k->consumers; n++, at++) {
            const struct ck_consumer *co = &c->consumers[at];
            put(b, co->image.loc, 8), put(b, co->image.bytes, 4), put(b, co->full_segno, 8);
        }
    }
    must(at == c->consumers_len);
    if (b->failed) return ERR_NOMEM;
    enum err e = store_root(l->store, codec_span(b));
    if (e) return e;
    c->bytes += record_bytes((uint32_t)b->n);
    c->stage = CHECKPOINT_ROOT;
    return ERR_OK;
}

/* --- a turn --- */

static size_t budget(const struct shard_log *l) {
    return store_backlog(l->store) > BUSY_BACKLOG ? BUSY_BYTES : TURN_BYTES;
}

static enum err write_some(struct shard_log *l) {
    struct checkpoint *c = &l->ck;
    uint64_t until = c->bytes + budget(l);
    enum err e = ERR_OK;
    while (!e && c->stream_at < c->streams_len && c->bytes < until) {
        struct ck_stream *k = &c->streams[c->stream_at];
        if (k->due)
            e = stream_step(l, map_u64_get(&l->streams, k->number), k);
        else
            c->stream_at++;
    }
    while (!e && c->stream_at == c->streams_len && c->consumer_at < c->consumers_len && c->bytes < until) {
        e = image_step(l, &c->consumers[c->consumer_at]);
        if (!e) c->consumer_at++;
    }
    if (!e && c->stream_at == c->streams_len && c->consumer_at == c->consumers_len) e = write_root(l);
    return e;
}

static bool wanted(const struct shard_log *l) {
    uint64_t distance = l->shard->env->cfg.checkpoint_bytes;
    if (!distance) distance = DISTANCE;
    if (distance < 2 * l->ck.last_bytes) distance = 2 * l->ck.last_bytes;
    if (l->ck.asked || store_pinned(l->store)) return true;
    return store_replay_bytes(l->store) >= distance;
}

void shard_log_checkpoint(struct shard_log *l) {
    struct checkpoint *c = &l->ck;
    must(!l->recovering);
    enum err e = ERR_OK;
    if (l->failed) {
        if (c->stage != CHECKPOINT_IDLE) give_up(l, ERR_FAILED);
        return;
    }
    if (c->stage == CHECKPOINT_IDLE) {
        if (!wanted(l) || io_now(l->shard->io) < c->retry_ns) return;
        if (store_tight(l->store) && !store_pinned(l->store)) return;
        e = cut(l);
        if (e) {
            if (c->streams) lists_free(c);
            c->retry_ns = e == ERR_FULL ? 0 : io_now(l->shard->io) + TRY_AGAIN_NS;
            return;
        }
    }
    if (c->stage == CHECKPOINT_PAGES) {
        e = write_some(l);
        if (e && e != ERR_FULL) give_up(l, e);
    }
    if (c->stage == CHECKPOINT_ROOT && store_root_state(l->store) == STORE_ROOT_DONE) succeed(l);
    if (c->stage == CHECKPOINT_ROOT && store_root_state(l->store) == STORE_ROOT_FAILED) give_up(l, ERR_IO);
}

uint64_t shard_log_checkpoint_at(const struct shard_log *l) {
    const struct checkpoint *c = &l->ck;
    if (l->failed || c->stage == CHECKPOINT_ROOT) return UINT64_MAX; /* a completion comes first */
    if (c->stage == CHECKPOINT_PAGES) return store_backlog(l->store) ? UINT64_MAX : 0;
    if (!wanted(l)) return UINT64_MAX;
    if (store_tight(l->store)) return io_now(l->shard->io) + TRY_AGAIN_NS;
    return c->retry_ns;
}

bool checkpoint_busy(const struct shard_log *l) {
    must(l->store != NULL);
    const struct checkpoint *c = &l->ck;
    if (l->failed || store_root_state(l->store) == STORE_ROOT_FAILED) return false;
    return c->stage != CHECKPOINT_IDLE || (c->asked && !c->retry_ns && !store_tight(l->store));
}

enum mr_status mr_checkpoint(struct mr_shard *shard) {
    must(!shard->closing);
    enum mr_status st = MR_OK;
    for (size_t i = 0; i < shard->logs_count; i++) {
        struct shard_log *l = &shard->logs[i];
        l->ck.asked = true;
        l->ck.retry_ns = 0;
        if (l->failed) st = MR_FAILED;
    }
    return st;
}

/* --- what goes meanwhile --- */

static struct ck_stream *part_of(struct checkpoint *c, uint32_t number) {
    for (size_t i = 0; i < c->streams_len; i++) {
        if (c->streams[i].number == number) return &c->streams[i];
    }
    return NULL;
}

/* What is left of its part, now. */
static enum err finish_part(struct shard_log *l, struct mr_stream *s) {
    struct checkpoint *c = &l->ck;
    struct ck_stream *k = part_of(c, s->number);
    must(k != NULL);
    if (!k->due) return ERR_OK;
    struct ck_stream *held = c->page_held ? &c->streams[c->stream_at] : NULL;
    if (held && held != k) { /* another's page waits for room: so would these */
        return ERR_FULL;
    }
    enum err e = ERR_OK;
    while (!e && k->due) e = stream_step(l, s, k);
    return e;
}

static void image_of_gone(void *ctx, struct page_key key, uint64_t loc, uint32_t size) {
    struct shard_log *l = ctx;
    must(key.kind > 0);
    place_add(&l->ck.dead_next, (struct ck_place){loc, size});
}

void checkpoint_drop_stream(struct mr_stream *s) {
    struct shard_log *l = s->log;
    if (!l || !s->paged) return;
    if (s->cutting) {
        must(l->ck.stage != CHECKPOINT_IDLE);
        enum err e = l->failed ? ERR_FAILED : finish_part(l, s);
        if (e) {
            give_up(l, e);
            l->ck.retry_ns = 0;
        } else {
            s->cutting = false;
            stream_cut_end(&s->st, false, page_dead, l);
        }
    }
    stream_images(&s->st, image_of_gone, l);
    place_add(&l->ck.dead_next, (struct ck_place){s->head_loc, s->head_bytes});
}

void checkpoint_drop_consumer(struct mr_consumer *c) {
    struct shard_log *l = c->s->log;
    if (l) place_add(&l->ck.dead_next, (struct ck_place){c->image_loc, c->image_bytes});
}
