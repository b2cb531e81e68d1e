/* read.c - messages by sequence, and the searches that need no message.
 *
 * Happy path: the index names the place, the store or the memory log lends the record. A block that is not in
 * memory is read in the background: MR_LATER, and the caller's wait fires in io_tick() (or in the next turn,
 * when the cache had no room). A record that fails its checksum, or is not the one the index means, is
 * MR_CORRUPT once; the message counts as lost. */
#include "engine.h"

#include <stdlib.h>

#include "base/must.h"

/* --- fetching --- */

static void view_of(const struct rec *r, struct mr_msg_view *out) {
    must(r->seq > 0);
    *out = (struct mr_msg_view){
        .msg = {{r->subject.p, r->subject.n}, {r->hdr.p, r->hdr.n}, {r->payload.p, r->payload.n}},
        .seq = r->seq,
        .ts = r->ts};
}

static enum err fetch_memory(struct mr_shard *sh, uint64_t loc, struct rec *r) {
    must(loc > 0);
    must(sh->mem != NULL);
    sh->mem_viewed = true;
    return memlog_read(sh->mem, loc - 1, r);
}

enum err mrs_fetch(struct mr_stream *s, uint64_t seq, uint64_t loc, struct store_wait *w,
                   struct mr_msg_view *out) {
    must(!s->deleted);
    must(w != NULL || !s->log);
    must(seq > 0 && loc != 0);
    struct rec r;
    enum err e = s->log ? store_read(s->log->store, loc, w, &r) : fetch_memory(s->shard, loc, &r);
    if (e == ERR_LATER) store_read_ahead(s->log->store, loc);
    if (e == ERR_NONE) e = ERR_CORRUPT;
    if (e) return e;
    if (r.seq != seq || (s->log && r.stream != s->number)) {
        env_log(s->shard->env, MR_LOG_ERROR, "stream \"%.*s\": sequence %llu is not where it should be",
                (int)s->name.n, (const char *)s->name.p, (unsigned long long)seq);
        return ERR_CORRUPT;
    }
    view_of(&r, out);
    return ERR_OK;
}

void mrs_lost(struct mr_stream *s, uint64_t seq) {
    must(!s->deleted && !s->st.recovering);
    const struct index_entry *x = stream_get(&s->st, seq, false);
    must(x != NULL);
    env_log(s->shard->env, MR_LOG_ERROR, "stream \"%.*s\": sequence %llu is damaged and lost", (int)s->name.n,
            (const char *)s->name.p, (unsigned long long)seq);
    stream_lost(&s->st, seq, x->size & ~INDEX_HAS_HDR);
    mrs_account(s);
}

/* --- waiting --- */

enum wait_state { WAIT_IDLE, WAIT_STORE, WAIT_TURN };
struct wait_priv {
    struct store_wait store; /* its link is on the shard's list while WAIT_TURN */
    uint64_t state;
};
static_must(sizeof(struct wait_priv) <= sizeof(((struct mr_wait *)0)->priv));

static struct wait_priv *priv_of(struct mr_wait *w) { return (struct wait_priv *)(void *)w->priv; }

static void fire(struct wait_priv *p) {
    must(p->state != WAIT_IDLE);
    struct mr_wait *w = container_of((void **)(void *)p, struct mr_wait, priv[0]);
    p->state = WAIT_IDLE;
    if (w->on_ready) w->on_ready(w);
}
static void on_block(struct store_wait *sw) { fire(container_of(sw, struct wait_priv, store)); }

void mr_wait_cancel(struct mr_wait *w) {
    must(priv_of(w)->state <= WAIT_TURN);
    struct wait_priv *p = priv_of(w);
    if (p->state == WAIT_STORE) store_wait_cancel(&p->store);
    if (p->state == WAIT_TURN) list_del(&p->store.link);
    p->state = WAIT_IDLE;
}

static void wait_prepare(struct mr_wait *w) {
    must(w != NULL);
    mr_wait_cancel(w);
    struct wait_priv *p = priv_of(w);
    store_wait_init(&p->store);
    p->store.on_ready = on_block;
}

static void wait_for_turn(struct mr_shard *sh, struct mr_wait *w) {
    struct wait_priv *p = priv_of(w);
    must(p->state == WAIT_IDLE);
    list_init(&p->store.link);
    list_add_tail(&sh->retry, &p->store.link);
    p->state = WAIT_TURN;
}

void shard_retry_waits(struct mr_shard *sh) {
    must(sh->turn > 0);
    struct list now;
    if (list_empty(&sh->retry)) return;
    list_add_after(&sh->retry, &now);
    list_del(&sh->retry);
    for (struct list *pos; (pos = list_pop(&now));)
        fire(container_of(container_of(pos, struct store_wait, link), struct wait_priv, store));
}

enum mr_status mr_get(struct mr_stream *s, uint64_t seq, bool visible_only, struct mr_wait *w,
                      struct mr_msg_view *out) {
    must(!s->deleted);
    must(w != NULL || !s->log);
    const struct index_entry *x = seq ? stream_get(&s->st, seq, visible_only) : NULL;
    if (!x) return MR_NONE;
    if (s->shard->closing) return MR_FAILED; /* no new reads: the log waits for those it has */
    if (w) wait_prepare(w);
    enum err e = mrs_fetch(s, seq, x->loc, w ? &priv_of(w)->store : NULL, out);
    if (e == ERR_CORRUPT) mrs_lost(s, seq);
    if (e == ERR_LATER) priv_of(w)->state = WAIT_STORE;
    if (e != ERR_FULL) return status_of(e);
    wait_for_turn(s->shard, w);
    return MR_LATER;
}

/* --- memory that may still be looked at --- */

void shard_memory_dead(struct mr_shard *sh, uint64_t loc) {
    must(sh->mem != NULL && loc > 0);
    if (!sh->mem_viewed) {
        memlog_dead(sh->mem, loc - 1);
        return;
    }
    if (sh->mem_dead_len == sh->mem_dead_cap) {
        size_t cap = sh->mem_dead_cap ? 2 * sh->mem_dead_cap : 256;
        uint64_t *grown = realloc(sh->mem_dead, cap * sizeof *grown);
        if (!grown) {
            memlog_dead(sh->mem,
                        loc - 1); /* a view may change under its reader; better than to leak the record */
            return;
        }
        must(cap > sh->mem_dead_len);
        sh->mem_dead = grown;
        sh->mem_dead_cap = cap;
    }
    sh->mem_dead[sh->mem_dead_len++] = loc;
}

void shard_memory_sweep(struct mr_shard *sh) {
    must(sh->mem_dead_len <= sh->mem_dead_cap);
    must(sh->mem || sh->mem_dead_len == 0);
    for (size_t i = 0; i < sh->mem_dead_len; i++) memlog_dead(sh->mem, sh->mem_dead[i] - 1);
    sh->mem_dead_len = 0;
    sh->mem_viewed = false;
}

/* --- searches --- */

uint64_t mr_seq_next(const struct mr_stream *s, uint64_t from, struct mr_bytes filter, bool visible_only) {
    must(!s->deleted);
    return stream_seq_next((struct stream *)&s->st, from, span_of_bytes(filter), visible_only);
}

uint64_t mr_seq_last(const struct mr_stream *s, struct mr_bytes filter, bool visible_only) {
    must(!s->deleted);
    return stream_seq_last((struct stream *)&s->st, span_of_bytes(filter), visible_only);
}

uint64_t mr_seq_at(const struct mr_stream *s, int64_t ts) { return stream_seq_at(&s->st, ts); }

void mr_subjects(const struct mr_stream *s, struct mr_bytes filter,
                 bool (*fn)(void *ctx, struct mr_bytes subject, uint64_t msgs, uint64_t first, uint64_t last),
                 void *ctx) {
    stream_subjects((struct stream *)&s->st, span_of_bytes(filter), fn, ctx);
}

void mr_deleted(const struct mr_stream *s, bool (*fn)(void *ctx, uint64_t seq), void *ctx) {
    stream_deleted(&s->st, fn, ctx);
}
