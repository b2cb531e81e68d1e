/* shard_log.c - one log as the engine sees it: opened with its recovery, appended to, told about watermarks.
 *
 * Happy path: the store's upcalls only note where the watermarks are; complete.c acts on them at the end of
 * the turn, so that no host code runs inside the store. A failed log is noted the same way. */
#include "engine.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"

/* --- the store's upcalls --- */

static void on_apply(void *ctx, const struct rec *r, uint64_t loc) {
    struct shard_log *l = ctx;
    must(l->recovering);
    recover_apply(l, r, loc);
}

static void on_damaged(void *ctx, const struct store_damage *d) {
    struct shard_log *l = ctx;
    must(d->what != NULL);
    recover_damaged(l, d);
}

static void on_commit(void *ctx, uint64_t written, uint64_t durable) {
    struct shard_log *l = ctx;
    must(written >= l->written && durable >= l->durable);
    must(durable <= written);
    l->written = written;
    l->durable = durable;
    if (l->retry_ns == UINT64_MAX) l->retry_ns = 0;
}

static void on_failed(void *ctx, enum err why) {
    must(why != ERR_OK);
    struct shard_log *l = ctx;
    l->failed = true;
    env_log(l->shard->env, MR_LOG_ERROR, "log-%04x: %s; it takes no more until it is reopened", l->index,
            err_text(why));
}

static void on_rewrite(void *ctx, uint64_t segno) {
    must(segno > 0);
    struct shard_log *l = ctx;
    must(l->rewrite_segno == 0);
    l->rewrite_segno = segno;
}

static bool on_wanted(void *ctx, uint8_t kind, uint32_t stream, uint64_t seq, uint64_t loc) {
    return compact_wanted(ctx, kind, stream, seq, loc);
}
static enum err on_move(void *ctx, const struct rec *r, uint64_t loc) { return compact_move(ctx, r, loc); }
static void on_lost(void *ctx, uint32_t stream, uint64_t seq, uint64_t loc) {
    compact_lost(ctx, stream, seq, loc);
}

static enum err on_load(void *ctx, struct span state) {
    struct shard_log *l = ctx;
    must(l->recovering);
    return reopen_load(l, state);
}

static void on_reset(void *ctx) {
    struct shard_log *l = ctx;
    must(l->recovering);
    reopen_reset(l);
}

static void on_gap(void *ctx) {
    struct shard_log *l = ctx;
    must(l->recovering);
    size_t at = 0;
    uint64_t number;
    void *s;
    while (map_u64_next(&l->streams, &at, &number, &s)) stream_gap(&((struct mr_stream *)s)->st);
}

static void on_line(void *ctx, int level, const char *text) {
    const struct shard_log *l = ctx;
    static const enum mr_log_level levels[] = {
        [LOG_FATAL] = MR_LOG_ERROR, [LOG_ERROR] = MR_LOG_ERROR, [LOG_WARN] = MR_LOG_WARN,
        [LOG_INFO] = MR_LOG_INFO,   [LOG_DEBUG] = MR_LOG_DEBUG, [LOG_TRACE] = MR_LOG_DEBUG};
    must(level >= LOG_FATAL && level <= LOG_TRACE);
    env_log(l->shard->env, levels[level], "log-%04x: %s", l->index, text);
}

/* --- opening and closing --- */

/* 0 = the store's own choice, unless the largest is smaller. */
static uint64_t smallest_segment(uint64_t largest) { return largest && largest < SEGMENT_MIN ? largest : 0; }

static void configure(const struct shard_log *l, const char *path, struct store_config *cfg) {
    must(path != NULL);
    must(l->shard->logs_count > 0);
    const struct mr_env *env = l->shard->env;
    *cfg = (struct store_config){.path = path,
                                 .log = l->index,
                                 .interval = env->cfg.sync == MR_SYNC_INTERVAL,
                                 .interval_ns = env->cfg.sync_interval_ns,
                                 .seg_min = smallest_segment(env->cfg.segment_bytes),
                                 .seg_max = env->cfg.segment_bytes,
                                 .cache_bytes = env->cfg.cache_bytes / l->shard->logs_count,
                                 .full_scan = env->cfg.full_scan,
                                 .read_only = env->read_only,
                                 .log_line = on_line,
                                 .log_ctx = (void *)l};
    memcpy(cfg->uuid, env->uuid, sizeof cfg->uuid);
}

enum err shard_log_open(struct mr_shard *sh, struct shard_log *l, uint32_t index) {
    must(index < ENV_LOGS_MAX);
    must(!l->store);
    *l = (struct shard_log){.shard = sh, .index = index, .next_stream = 1, .recovering = true};
    list_init(&l->dirty);
    list_init(&l->released);
    list_init(&l->stale);
    list_init(&l->twice_streams);
    list_init(&l->twice_consumers);
    map_u64_init(&l->streams);
    checkpoint_init(&l->ck);
    enum err e = cq_init(&l->queue, QUEUE_BYTES);
    if (!e && !sh->env->read_only) e = env_log_make(sh->env, sh->io, index);
    if (e) return e;
    char path[4096], name[ENV_LOG_NAME];
    env_log_name(index, name);
    snprintf(path, sizeof path, "%s/%s", sh->env->path, name);
    struct store_config cfg;
    configure(l, path, &cfg);
    struct store_owner owner = {l,         on_apply, on_damaged, on_commit, on_failed, on_rewrite,
                                on_wanted, on_move,  on_lost,    on_gap,    on_load,   on_reset};
    if ((e = store_open(&l->store, &cfg, sh->io, &owner))) return e;
    l->recovering = false;
    l->written = store_written(l->store);
    l->durable = store_durable(l->store);
    return ERR_OK;
}

void shard_log_close(struct shard_log *l) {
    must(l->shard != NULL);
    must(l->streams.count == 0);
    if (l->store) store_close(l->store);
    l->store = NULL;
    must(cq_empty(&l->queue));
    cq_deinit(&l->queue);
    checkpoint_deinit(&l->ck);
    map_u64_deinit(&l->streams);
}

/* --- appending --- */

enum err shard_log_append(struct shard_log *l, const struct rec *r, uint64_t *loc) {
    must(l->store != NULL);
    must(!l->recovering);
    must(r->stream < l->next_stream || r->kind == REC_STREAM || r->kind == REC_CHECKPOINT);
    if (l->failed) return ERR_FAILED;
    uint64_t frame;
    enum err e = store_append(l->store, r, STORE_FORCE, loc, &frame);
    if (e) return e;
    must(frame >= l->last_frame);
    l->last_frame = frame;
    return ERR_OK;
}

struct shard_log *shard_log_choose(struct mr_shard *sh) {
    must(sh->logs || sh->logs_count == 0);
    struct shard_log *best = NULL;
    for (size_t i = 0; i < sh->logs_count; i++) {
        struct shard_log *l = &sh->logs[i];
        if (l->failed) continue;
        if (!best || l->streams_count < best->streams_count) best = l;
    }
    return best ? best : sh->logs;
}
