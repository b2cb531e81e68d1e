/* stream_api.c - streams through the public interface: made, changed, deleted, found, purged.
 *
 * Happy path: decide, write the record, apply. A log without room (MR_BUSY), without space or failed refuses
 * before anything changed, except an update: that is applied at once and its full record follows as soon as
 * there is room; a barrier waits for it. */
#include "engine.h"

#include <stdlib.h>

#include "base/must.h"

/* --- life --- */

/* The record of something that needs no payload. */
static enum err log_mark(struct mr_stream *s, uint8_t kind, uint8_t flags, uint64_t seq) {
    must(s->log && !s->deleted);
    must(kind == REC_STREAM_GONE || (kind == REC_DELETE && seq > 0));
    struct rec r = {
        .kind = kind, .flags = flags, .stream = s->number, .seq = seq, .ts = io_wall(s->shard->io)};
    uint64_t loc;
    return shard_log_append(s->log, &r, &loc);
}

static enum err open_memory(struct mr_shard *sh) {
    if (sh->mem) return ERR_OK;
    uint64_t ceiling = sh->memory_max ? sh->memory_max : UINT64_C(1) << 40;
    return memlog_open(&sh->mem, ceiling);
}

static enum mr_status place(struct mr_shard *sh, const struct mr_stream_config *cfg, struct shard_log **l) {
    must(sh->turn > 0);
    *l = NULL;
    if (cfg->storage == MR_MEMORY) return status_of(open_memory(sh));
    *l = shard_log_choose(sh);
    if (!*l) return MR_UNSUPPORTED;
    return (*l)->failed ? MR_FAILED : MR_OK;
}

static enum err start(struct mr_stream *s, const struct mr_stream_config *cfg, int64_t now) {
    must(s->name.n == 0);
    enum err e = stream_init(&s->st, cfg, now, s->shard->env->uuid, &mrs_hooks);
    if (!e) mrs_set_pages(s);
    if (!e) e = mrs_enlist(s, span_of_bytes(cfg->name));
    if (!e && s->log) e = mrs_log_full(s);
    return e;
}

enum mr_status mr_stream_create(struct mr_shard *shard, const struct mr_stream_config *cfg, int64_t now,
                                struct mr_stream **stream) {
    *stream = NULL;
    if (!cfg || cfg->size < offsetof(struct mr_stream_config, extra) + sizeof cfg->extra || cfg->name.n == 0)
        return MR_INVAL;
    if (map_str_get(&shard->names, span_of_bytes(cfg->name))) return MR_EXISTS;
    struct shard_log *l;
    enum mr_status st = place(shard, cfg, &l);
    if (st != MR_OK) return st;
    struct mr_stream *s = mrs_make(shard, l, l ? l->next_stream : 0);
    if (!s) return MR_NOMEM;
    if (l) l->next_stream++;
    enum err e = start(s, cfg, now);
    if (e) {
        if (l) l->next_stream--;
        mrs_drop(s);
        return status_of(e);
    }
    must(s->st.last_seq == 0 || cfg->first_seq > 0);
    must(map_str_get(&shard->names, s->name) == s);
    *stream = s;
    return MR_OK;
}

/* A work queue is one for ever. */
static bool may_become(enum mr_retention from, enum mr_retention to) {
    return from == to || (from != MR_RETAIN_WORKQUEUE && to != MR_RETAIN_WORKQUEUE);
}

enum mr_status mr_stream_update(struct mr_stream *s, const struct mr_stream_config *cfg, int64_t now) {
    must(!s->deleted);
    if (s->log && s->log->failed) return MR_FAILED;
    enum mr_retention was = s->st.conf.c.retention;
    if (!cfg || !may_become(was, cfg->retention)) return MR_INVAL;
    enum mr_status st = stream_update(&s->st, cfg, now);
    if (st != MR_OK) return st;
    if (cfg->retention != was && cfg->retention == MR_RETAIN_INTEREST) mrs_becomes_interest(s);
    mrs_account(s);
    mrs_arm_timer(s);
    if (s->log && mrs_log_full(s)) mrs_mark_stale(s);
    return MR_OK;
}

enum mr_status mr_stream_delete(struct mr_stream *s) {
    must(!s->deleted);
    if (s->log) {
        enum err e = log_mark(s, REC_STREAM_GONE, 0, 0);
        if (e) return status_of(e);
        s->log->gone = true;
    }
    mrs_drop(s);
    return MR_OK;
}

/* --- finding --- */

struct mr_stream *mr_stream_find(struct mr_shard *shard, struct mr_bytes name) {
    return map_str_get(&shard->names, span_of_bytes(name));
}

struct mr_stream *mr_stream_next(struct mr_shard *shard, struct mr_stream *after) {
    must(!after || (!after->deleted && after->shard == shard));
    struct list *next = after ? after->link.next : shard->streams.next;
    return next == &shard->streams ? NULL : container_of(next, struct mr_stream, link);
}

const struct mr_stream_config *mr_stream_config(const struct mr_stream *s) { return &s->st.conf.c; }
void mr_stream_set_user(struct mr_stream *s, void *user) { s->user = user; }
void *mr_stream_user(const struct mr_stream *s) { return s->user; }
struct mr_shard *mr_stream_shard(const struct mr_stream *s) {
    return s->shard;
}

void mr_stream_state(const struct mr_stream *s, struct mr_stream_state *out) {
    must(out != NULL);
    must(!s->deleted);
    stream_state(&s->st, out);
    out->consumers = s->consumers_count;
}

/* --- removing messages --- */

enum mr_status mr_delete(struct mr_stream *s, uint64_t seq, bool erase) {
    must(s->shard->turn > 0);
    must(!s->deleted);
    enum mr_status st = stream_may_delete(&s->st, seq);
    if (st != MR_OK) return st;
    if (s->log) {
        enum err e = log_mark(s, REC_DELETE, erase ? REC_F_ERASED : 0, seq);
        if (e) return status_of(e);
    }
    stream_delete(&s->st, seq);
    mrs_account(s);
    return MR_OK;
}

static enum err log_purge(struct mr_stream *s, const struct stream_purge *p) {
    must(s->log && p->below > 0);
    struct codec_buf *b = &s->shard->buf;
    enum err e = codec_purge(b, p);
    if (e) return e;
    struct rec r = {
        .kind = REC_PURGE, .stream = s->number, .ts = io_wall(s->shard->io), .payload = span_of(b->p, b->n)};
    uint64_t loc;
    return shard_log_append(s->log, &r, &loc);
}

enum mr_status mr_purge(struct mr_stream *s, struct mr_bytes filter, uint64_t seq, uint64_t keep,
                        uint64_t *purged) {
    must(!s->deleted);
    *purged = 0;
    struct stream_purge p;
    enum mr_status st = stream_plan_purge(&s->st, span_of_bytes(filter), seq, keep, &p);
    if (st == MR_NONE) return MR_OK;
    if (st != MR_OK) return st;
    if (s->log) {
        enum err e = log_purge(s, &p);
        if (e) return status_of(e);
    }
    *purged = stream_purge(&s->st, &p);
    must(s->st.last_seq + 1 >= p.below || p.filter.n > 0);
    mrs_tell_purge(s, p.filter);
    mrs_account(s);
    return MR_OK;
}
