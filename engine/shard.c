/* shard.c - a shard's life: opened with its logs, turned, closed.
 *
 * Happy path of a turn: see engine.h. Opening recovers every log of the folder whose number belongs to this
 * shard (number modulo shards), and makes the log with the shard's own number when there is none. What can
 * fail at opening is a status, and everything opened so far is closed again. Closing is bounded: what is not
 * durable after ten seconds is reported as failed. */
#include "engine.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"

/* --- opening --- */

/* The logs of this shard: those in the folder, or a new one. */
static enum err open_logs(struct mr_shard *sh) {
    must(sh->logs == NULL && sh->logs_count == 0);
    const struct mr_env *env = sh->env;
    if (env->dir_fd < 0) return ERR_OK;
    uint32_t *numbers = malloc((env->logs_count + 1) * sizeof *numbers);
    sh->logs = calloc(env->logs_count + 1, sizeof *sh->logs);
    if (!numbers || !sh->logs) {
        free(numbers);
        return ERR_NOMEM;
    }
    size_t n = 0;
    for (size_t i = 0; i < env->logs_count; i++)
        if (env->logs[i] % env->cfg.shards == sh->index) numbers[n++] = env->logs[i];
    if (n == 0 && !env->read_only) numbers[n++] = sh->index;
    sh->logs_count = n;
    enum err e = ERR_OK;
    for (size_t i = 0; i < n && !e; i++) {
        e = shard_log_open(sh, &sh->logs[i], numbers[i]);
        if (e) env_log(env, MR_LOG_ERROR, "log-%04x cannot be opened: %s", numbers[i], err_text(e));
    }
    free(numbers);
    return e ? e : recover_finish(sh);
}

static void init(struct mr_shard *sh) {
    const struct mr_env_config *cfg = &sh->env->cfg;
    list_init(&sh->streams);
    list_init(&sh->moved);
    list_init(&sh->events);
    list_init(&sh->due_streams);
    list_init(&sh->due_consumers);
    list_init(&sh->retry);
    env_random(sh->io, &sh->seed, sizeof sh->seed);
    map_str_init(&sh->names, sh->seed);
    codec_buf_init(&sh->buf);
    page_cache_init(&sh->pages, cfg->index_bytes ? cfg->index_bytes : INDEX_BYTES);
    reopen_host(sh);
    pool_init(&sh->parts, sizeof(struct barrier_part), 256, BARRIERS_MAX);
    sh->file_max = cfg->disk_max / cfg->shards;
    sh->memory_max = cfg->memory_max / cfg->shards;
    sh->turn = 1;
}

static enum err open_loop(struct mr_shard *sh, struct io *loop) {
    must(sh->io == NULL);
    sh->io = loop;
    if (loop) return ERR_OK;
    const char *why = NULL;
    enum err e = io_open(&sh->io, &(struct io_config){.backend = IO_AUTO}, &why);
    if (e) return e;
    sh->io_owned = true;
    if (why && *why) env_log(sh->env, MR_LOG_WARN, "%s", why);
    return ERR_OK;
}

static void free_shard(struct mr_shard *sh) {
    must_set_dump(NULL, NULL);
    must(!sh->ticking);
    must(sh->batch_count == 0);
    while (!list_empty(&sh->streams)) mrs_close(container_of(sh->streams.next, struct mr_stream, link));
    for (size_t i = 0; i < sh->logs_count; i++) {
        struct shard_log *l = &sh->logs[i];
        size_t at = 0;
        uint64_t number;
        void *value;
        while (l->streams.count && map_u64_next(&l->streams, &at, &number, &value)) {
            mrs_close(value); /* not yet named: opening failed */
            at = 0;
        }
        if (l->shard) shard_log_close(l);
    }
    if (sh->mem) memlog_close(sh->mem);
    cq_deinit(&sh->memory);
    map_str_deinit(&sh->names);
    codec_buf_deinit(&sh->buf);
    pool_deinit(&sh->parts);
    if (sh->io_owned) io_close(sh->io);
    free(sh->mem_dead);
    free(sh->logs);
    free(sh);
}

enum mr_status mr_shard_open(struct mr_env *env, uint32_t index, struct io *loop, const struct mr_host *host,
                             struct mr_shard **shard) {
    must(env != NULL && shard != NULL);
    *shard = NULL;
    if (index >= env->cfg.shards || !host) return MR_INVAL;
    struct mr_shard *sh = calloc(1, sizeof *sh);
    if (!sh) return MR_NOMEM;
    sh->env = env;
    sh->index = index;
    sh->host = *host;
    enum err e = open_loop(sh, loop);
    if (e) {
        free(sh);
        return status_of(e);
    }
    init(sh);
    e = cq_init(&sh->memory, QUEUE_BYTES);
    if (!e) e = open_logs(sh);
    if (e) {
        free_shard(sh);
        return e == ERR_NOENT ? MR_IO : status_of(e);
    }
    *shard = sh;
    return MR_OK;
}

/* --- turning --- */

/* What a broken invariant prints. */
static void dump(void *object) {
    const struct mr_shard *sh = object;
    dprintf(2, "shard %u: turn %llu, %zu streams, %zu consumers, memory queue %zu\n", sh->index,
            (unsigned long long)sh->turn, sh->streams_count, sh->consumers_count, sh->memory.count);
    for (size_t i = 0; i < sh->logs_count; i++) {
        const struct shard_log *l = &sh->logs[i];
        dprintf(2, "log-%04x: written %llu, durable %llu, last %llu, queue %zu, wanted %d, failed %d\n",
                l->index, (unsigned long long)l->written, (unsigned long long)l->durable,
                (unsigned long long)l->last_frame, l->queue.count, l->wanted, l->failed);
    }
}

void mr_shard_tick(struct mr_shard *shard) {
    must(shard->turn > 0);
    must(!shard->ticking);
    must_set_dump(dump, shard);
    shard->ticking = true;
    shard->turn++;
    shard->called = false;
    shard_memory_sweep(shard);
    shard_run_due(shard);
    for (size_t i = 0; i < shard->logs_count; i++) {
        struct shard_log *l = &shard->logs[i];
        shard_log_rewrite(l);
        shard_log_progress(l);
        shard_log_checkpoint(l);
        store_commit(l->store);
    }
    shard_complete(shard);
    must(shard->ticking && shard->batch_count == 0);
    shard->ticking = false;
}

uint64_t mr_shard_deadline(const struct mr_shard *shard) {
    must(!shard->ticking);
    if (shard_has_calls(shard)) return 0;
    if (!list_empty(&shard->due_streams) || !list_empty(&shard->due_consumers)) return 0;
    uint64_t at = UINT64_MAX;
    for (size_t i = 0; i < shard->logs_count; i++) {
        const struct shard_log *l = &shard->logs[i];
        uint64_t progress = shard_log_progress_at(l), commit = store_deadline(l->store);
        uint64_t checkpoint = shard_log_checkpoint_at(l);
        if (progress < at) at = progress;
        if (checkpoint < at) at = checkpoint;
        if (commit < at) at = commit;
    }
    return at;
}

void mr_shard_run(struct mr_shard *shard, int64_t timeout_ns) {
    must(!shard->ticking && !shard->closing);
    must(timeout_ns >= 0);
    mr_shard_tick(shard);
    uint64_t until = io_now(shard->io) + (uint64_t)timeout_ns, at = mr_shard_deadline(shard);
    if (shard->called) until = 0; /* the host has something to act on */
    io_tick(shard->io, at < until ? at : until);
    mr_shard_tick(shard);
}

size_t mr_shard_backlog(const struct mr_shard *shard) {
    size_t n = 0;
    for (size_t i = 0; i < shard->logs_count; i++) n += store_backlog(shard->logs[i].store);
    return n;
}

/* --- closing --- */

static bool settled(const struct mr_shard *sh) {
    must(sh->closing);
    if (!cq_empty(&sh->memory)) return false;
    for (size_t i = 0; i < sh->logs_count; i++) {
        const struct shard_log *l = &sh->logs[i];
        if (!cq_empty(&l->queue)) return false;
        bool stuck =
            l->failed || (l->retry_ns != 0 && l->retry_ns != UINT64_MAX); /* no space: not to be waited for */
        bool owes = !list_empty(&l->dirty) || !list_empty(&l->released) || !list_empty(&l->stale);
        if (!stuck && owes) return false;
    }
    return true;
}

/* Whatever is still waiting will never be durable; those who wait are told. */
static void fail_rest(struct mr_shard *sh) {
    must(sh->closing);
    for (size_t i = 0; i < sh->logs_count; i++)
        if (!cq_empty(&sh->logs[i].queue)) sh->logs[i].failed = true;
    while (!settled(sh)) {
        sh->turn++;
        shard_complete(sh);
    }
}

static bool checkpoints_busy(const struct mr_shard *sh) {
    for (size_t i = 0; i < sh->logs_count; i++) {
        if (checkpoint_busy(&sh->logs[i])) return true;
    }
    return false;
}

/* So that the next opening has little to read. */
static void ask_at_close(struct shard_log *l) {
    uint64_t most = l->shard->env->cfg.checkpoint_bytes;
    if (!most || most > CLOSE_REPLAY) most = CLOSE_REPLAY;
    l->ck.asked |= store_replay_bytes(l->store) > most;
}

void mr_shard_close(struct mr_shard *shard) {
    must(!shard->closing);
    must(!shard->ticking);
    shard->closing = true;
    if (shard->env->read_only) {
        free_shard(shard);
        return;
    }
    shard->host.on_ready = NULL; /* operations are still reported, consumers are not called any more */
    shard->host.on_max_deliver = NULL;
    for (size_t i = 0; i < shard->logs_count; i++) ask_at_close(&shard->logs[i]);
    uint64_t until = io_now(shard->io) + CLOSE_WAIT_NS;
    for (;;) {
        for (size_t i = 0; i < shard->logs_count; i++) shard->logs[i].wanted = true;
        mr_shard_tick(shard);
        if ((settled(shard) && !checkpoints_busy(shard)) || io_now(shard->io) >= until) break;
        io_tick(shard->io, io_now(shard->io) + RIDE_NS);
    }
    fail_rest(shard);
    free_shard(shard);
}

/* --- figures --- */

static void add_log(const struct shard_log *l, struct mr_shard_stats *out) {
    must(l->store != NULL);
    struct store_stats st;
    store_stats(l->store, &st);
    out->commits += st.frames;
    out->commit_bytes += st.frame_bytes;
    out->durable_writes += st.durable_writes;
    out->records += st.records;
    out->segments += st.segments;
    out->disk_bytes += st.disk_bytes;
    out->reads += st.reads;
    out->cache_hits += st.cache_hits;
    out->dry_segments += st.dry;
    out->live_bytes += st.live_bytes;
    out->emptied_segments += st.emptied;
    out->moved_records += st.moved_records;
    out->moved_bytes += st.moved_bytes;
    out->failed |= st.failed || l->failed;
    if (st.refusing) out->refusing = status_of(st.refusing);
    out->checkpoints += l->ck.done;
    out->checkpoint_bytes += l->ck.done_bytes;
    out->replay_bytes += store_replay_bytes(l->store);
    out->recovered_bytes += st.recovered_bytes;
    out->checkpoints_passed += st.roots_passed;
    out->logs_scanned += st.opened_by == STORE_BY_SCAN;
}

void mr_shard_stats(const struct mr_shard *shard, struct mr_shard_stats *out) {
    *out = (struct mr_shard_stats){.logs = shard->logs_count,
                                   .streams = shard->streams_count,
                                   .consumers = shard->consumers_count,
                                   .damaged_records = shard->damaged,
                                   .index_bytes = shard->pages.bytes,
                                   .index_loads = shard->pages.loads,
                                   .index_rebuilds = shard->pages.rebuilds,
                                   .memory_bytes = shard->mem ? memlog_bytes(shard->mem) : 0};
    for (size_t i = 0; i < shard->logs_count; i++) add_log(&shard->logs[i], out);
}
