/* rewrite.c - full records written again near the log's end, so that the segments they lay in can be
 * recycled.
 *
 * The store names a segment; everything whose newest full record lies there or before is appended again, a
 * bounded amount a turn, then the store is told. So is a stream whose full record still counts on messages
 * there that died since: replay would take them for lost. What was deleted must stay deleted when the records
 * that say so are recycled: ahead of the full records goes a directory that names every stream and consumer
 * there is, and replay drops what was made before it and is not named. A log without room goes on in the next
 * turn.
 *
 * The directory is a REC_CHECKPOINT of stream 0. Payload: u32 next stream number, u32 streams; each: u32
 * number, u32 consumers; each consumer: u8 length, name. Little-endian. A REC_CHECKPOINT of another stream
 * holds the id of the next message where that has no Nats-Msg-Id header: u64 sequence, id (append.c). */
#include "engine.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/must.h"

/* --- writing --- */

struct writer {
    uint8_t *p;
    size_t n, cap;
};
static void put(struct writer *w, const void *p, size_t n) {
    must(w->n <= w->cap);
    must(n <= w->cap - w->n);
    memcpy(w->p + w->n, p, n);
    w->n += n;
}
static void put32(struct writer *w, uint32_t v) {
    uint8_t raw[4];
    store32(raw, v);
    put(w, raw, sizeof raw);
}

static void put_consumers(struct writer *w, const struct mr_stream *s) {
    must(!s->deleted);
    size_t count_at = w->n;
    uint32_t count = 0;
    put32(w, 0);
    list_each(pos, tmp, &s->consumers) {
        const struct mr_consumer *c = container_of(pos, struct mr_consumer, link);
        if (!c->logged) continue;
        must(c->name.n <= CONF_NAME_MAX);
        uint8_t len = (uint8_t)c->name.n;
        put(w, &len, 1);
        put(w, c->name.p, len);
        count++;
    }
    store32(w->p + count_at, count);
}

static void put_directory(struct writer *w, const struct shard_log *l) {
    must(w->n == 0);
    must(l->streams.count < l->next_stream);
    put32(w, l->next_stream);
    put32(w, (uint32_t)l->streams.count);
    size_t at = 0;
    uint64_t number;
    void *value;
    while (map_u64_next(&l->streams, &at, &number, &value)) {
        put32(w, (uint32_t)number);
        put_consumers(w, value);
    }
}

static enum err write_directory(struct shard_log *l) {
    must(!l->failed && !l->recovering);
    struct writer w = {.cap = 8 + 8 * l->streams.count + (1 + CONF_NAME_MAX) * l->shard->consumers_count};
    w.p = malloc(w.cap);
    if (!w.p) return ERR_NOMEM;
    put_directory(&w, l);
    struct rec r = {.kind = REC_CHECKPOINT, .ts = io_wall(l->shard->io), .payload = span_of(w.p, w.n)};
    must(w.n <= w.cap);
    uint64_t loc;
    enum err e = shard_log_append(l, &r, &loc);
    free(w.p);
    if (e) return e;
    must(loc_seg(loc) >= l->directory_segno);
    l->gone = false;
    l->directory_segno = loc_seg(loc);
    return ERR_OK;
}

/* One stream's share; counts what was written. */
static enum err rewrite_stream(struct mr_stream *s, uint64_t segno, size_t *bytes) {
    must(s->log && s->log->rewrite_segno == segno);
    enum err e = ERR_OK;
    if (s->st.blank) return ERR_OK; /* all that is known of it are messages */
    if (s->full_segno <= segno || s->dead_segno <= segno) {
        e = mrs_log_full(s);
        *bytes += s->shard->buf.n;
    }
    list_each(pos, tmp, &s->consumers) {
        struct mr_consumer *c = container_of(pos, struct mr_consumer, link);
        if (e) break;
        if (!c->logged || c->full_segno > segno) continue;
        e = mrc_log_full(c);
        *bytes += s->shard->buf.n;
    }
    return e;
}

void shard_log_rewrite(struct shard_log *l) {
    must(!l->recovering);
    uint64_t segno = l->rewrite_segno, number;
    if (segno == 0 || l->failed) return;
    bool directory = l->gone || (l->directory_segno && l->directory_segno <= segno);
    if (directory && write_directory(l)) return;
    size_t at = 0, bytes = 0;
    void *value;
    while (map_u64_next(&l->streams, &at, &number, &value)) {
        if (rewrite_stream(value, segno, &bytes) || bytes > REWRITE_BUDGET)
            return; /* the next turn goes on */
    }
    l->rewrite_segno = 0;
    store_rewritten(l->store, segno);
}

/* --- recovery --- */

struct reader {
    struct span rest;
    bool bad;
};
static uint32_t get32(struct reader *r) {
    must(r->rest.n == 0 || r->rest.p);
    if (r->rest.n < 4) r->bad = true;
    if (r->bad) return 0;
    uint32_t v = load32(r->rest.p);
    r->rest = span_skip(r->rest, 4);
    return v;
}
static struct span get_name(struct reader *r) {
    must(r->rest.n == 0 || r->rest.p);
    if (r->rest.n < 1 || r->rest.n < 1u + r->rest.p[0]) r->bad = true;
    if (r->bad) return SPAN_EMPTY;
    struct span name = span_of(r->rest.p + 1, r->rest.p[0]);
    r->rest = span_skip(r->rest, 1 + name.n);
    return name;
}

static void mark_listed(struct shard_log *l, struct reader *r) {
    must(l->recovering);
    uint32_t count = get32(r);
    for (uint32_t i = 0; i < count && !r->bad; i++) {
        struct mr_stream *s = map_u64_get(&l->streams, get32(r));
        if (s) s->listed = true;
        uint32_t consumers = get32(r);
        for (uint32_t k = 0; k < consumers && !r->bad; k++) {
            struct span name = get_name(r);
            struct mr_consumer *c = s && !r->bad ? mrc_find(s, name) : NULL;
            if (c) c->listed = true;
        }
    }
}

/* The sweep is restarted when its list of what to drop is full: dropping changes the map. */
static bool drop_unlisted(struct shard_log *l, uint32_t below) {
    must(l->recovering);
    struct mr_stream *drop[256];
    size_t at = 0, count = 0;
    uint64_t number;
    void *value;
    while (count < 256 && map_u64_next(&l->streams, &at, &number, &value)) {
        struct mr_stream *s = value;
        if (number >= below) continue;
        if (!s->listed) drop[count++] = s;
        list_each(pos, tmp, &s->consumers) {
            struct mr_consumer *c = container_of(pos, struct mr_consumer, link);
            if (!c->listed) mrc_drop(c);
        }
    }
    for (size_t i = 0; i < count; i++) mrs_drop(drop[i]);
    return count == 256;
}

static void clear_marks(struct shard_log *l) {
    must(l->recovering);
    size_t at = 0;
    uint64_t number;
    void *value;
    while (map_u64_next(&l->streams, &at, &number, &value)) {
        struct mr_stream *s = value;
        s->listed = false;
        list_each(pos, tmp, &s->consumers) container_of(pos, struct mr_consumer, link)->listed = false;
    }
}

void shard_log_apply_directory(struct shard_log *l, struct span payload) {
    must(payload.n == 0 || payload.p);
    must(l->recovering);
    struct reader r = {.rest = payload};
    uint32_t below = get32(&r);
    mark_listed(l, &r);
    if (r.bad) {
        env_log(l->shard->env, MR_LOG_ERROR, "log-%04x: a directory record is malformed and was ignored",
                l->index);
    } else {
        while (drop_unlisted(l, below)) {
        }
        if (below > l->next_stream) l->next_stream = below;
        l->gone = false;
    }
    clear_marks(l);
}
