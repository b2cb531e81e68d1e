/* store.c - opening and closing a log. Opening fills the configuration in, recovers what is there and leaves
 * a place to write at; it changes nothing on disk before recovery has decided. Closing commits, waits for the
 * disk a bounded time, and marks the stop as orderly; what does not finish in time is left as a crash would
 * leave it, which recovery copes with. */
#include "store/store.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/must.h"
#include "store/core.h"

#define DEFAULT_FRAME   ((uint32_t)1 << 20)
#define DEFAULT_FLYING  4u
#define DEFAULT_SEG_MIN ((uint64_t)4 << 20)
#define DEFAULT_SEG_MAX ((uint64_t)64 << 20)
#define DEFAULT_BUFFER  ((size_t)16 << 20)
#define DEFAULT_CACHE   ((size_t)8 << 20)
#define FRAME_MIN       ((uint32_t)4096)

static void line(void *ctx, enum log_level level, const char *text) {
    const struct store *s = ctx;
    if (s->cfg.log_line) s->cfg.log_line(s->cfg.log_ctx, (int)level, text);
}

static void fill_in(struct store_config *c, uint32_t block) {
    must(block >= 512);
    must(block <= BUF_ALIGN);
    if (!c->frame_max) c->frame_max = DEFAULT_FRAME;
    if (c->frame_max > FRAME_SIZE_MAX) c->frame_max = FRAME_SIZE_MAX;
    if (c->frame_max < FRAME_MIN) c->frame_max = FRAME_MIN;
    c->frame_max = (uint32_t)align_up(c->frame_max, block);
    if (!c->frames_in_flight) c->frames_in_flight = DEFAULT_FLYING;
    if (c->frames_in_flight > SLOTS_MAX) c->frames_in_flight = SLOTS_MAX;
    if (!c->seg_min) c->seg_min = DEFAULT_SEG_MIN;
    if (!c->seg_max) c->seg_max = DEFAULT_SEG_MAX;
    uint64_t least = align_up(SEG_HEADERS_BYTES + c->frame_max + 2 * block,
                              SEG_SIZE_STEP); /* one frame and a closing one */
    c->seg_min = align_up(c->seg_min < least ? least : c->seg_min, SEG_SIZE_STEP);
    c->seg_max = align_up(c->seg_max < c->seg_min ? c->seg_min : c->seg_max, SEG_SIZE_STEP);
    if (!c->buffer_bytes) c->buffer_bytes = DEFAULT_BUFFER;
    if (c->buffer_bytes < 4 * (size_t)c->frame_max) c->buffer_bytes = 4 * (size_t)c->frame_max;
    if (!c->cache_bytes) c->cache_bytes = DEFAULT_CACHE;
    if (!c->interval_ns) c->interval_ns = (int64_t)1000 * 1000 * 1000;
}

static void seed(struct store *s) {
    uint64_t word;
    memcpy(&word, s->cfg.uuid, sizeof word);
    if (io_backend_of(s->io) == IO_SIM)
        s->rng.state = word ^ (uint64_t)io_wall(s->io); /* so that a seed replays */
    else
        random_bytes(&s->rng.state, sizeof s->rng.state);
}

static enum err open_folder(struct store *s) {
    struct io_fs fs;
    enum err e = io_file_open(s->io, AT_FDCWD, s->path, IO_O_DIR, &s->dirfd);
    if (e) {
        s->dirfd = s->root.fd = -1;
        return e;
    }
    s->block = 4096;
    if (s->cfg.read_only) { /* asking the file system makes a file without a name */
        s->direct = io_backend_of(s->io) != IO_SIM;
        return ERR_OK;
    }
    e = io_fs_of(s->io, s->dirfd, &fs);
    s->direct = !e && fs.direct;
    if (!e && fs.block >= 512 && fs.block <= BUF_ALIGN && (fs.block & (fs.block - 1)) == 0)
        s->block = fs.block;
    return e;
}

static enum err prepare(struct store *s) {
    must(s->maker.block == NULL);
    s->maker.block = aligned_alloc(BUF_ALIGN, BUF_ALIGN);
    if (!s->maker.block) return ERR_NOMEM;
    enum err e = region_open(&s->maker.mem, FILL_STEP);
    if (!e) e = region_commit(&s->maker.mem, FILL_STEP, false);
    if (!e) maker_init(s);
    if (!e) e = reader_init(s);
    if (!e) e = compact_init(s);
    if (!e) e = root_init(s);
    return e ? e : loader_init(s);
}

static void lists_init(struct store *s) {
    struct list *all[] = {&s->ready,   &s->free,     &s->open,      &s->dirty,
                          &s->syncing, &s->unlinked, &s->unlinking, &s->left};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) list_init(all[i]);
}

static void release(struct store *s) {
    must(s->flying == 0);
    struct seg *g = s->maker.seg;
    s->maker.seg = NULL;
    s->place = NULL;
    bool listed = g && seg_find(s, g->segno) == g;
    if (g && !listed) seg_discard(s, g);
    for (size_t i = 0; i < s->segs_len; i++) {
        list_del(&s->segs[i]->dirty);
        seg_discard(s, s->segs[i]);
    }
    struct list *all[] = {&s->ready, &s->free, &s->unlinked, &s->unlinking, &s->left};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        for (struct list *l; (l = list_pop(all[i]));) seg_discard(s, container_of(l, struct seg, link));
    }
    free(s->segs);
    compact_deinit(s);
    root_deinit(s);
    loader_deinit(s);
    reader_deinit(s);
    buffer_deinit(s);
    region_close(&s->maker.mem);
    free(s->maker.block);
    if (s->dirfd >= 0) io_file_close(s->io, s->dirfd);
    free(s);
}

enum err store_open(struct store **out, const struct store_config *cfg, struct io *io,
                    const struct store_owner *owner) {
    must(out != NULL);
    must(cfg->path != NULL);
    must(io != NULL);
    must(owner != NULL);
    struct store *s = *out = calloc(1, sizeof *s);
    if (!s) return ERR_NOMEM;
    s->cfg = *cfg;
    s->owner = *owner;
    s->io = io;
    s->dirfd = -1;
    s->tick = 1;
    s->log = (struct log){.level = LOG_DEBUG, .line = line, .ctx = s};
    lists_init(s);
    int n = snprintf(s->path, sizeof s->path, "%s", cfg->path);
    s->cfg.path = s->path;
    seed(s);
    enum err e = n < 0 || (size_t)n >= sizeof s->path ? ERR_INVAL : open_folder(s);
    fill_in(&s->cfg, s->block ? s->block : 4096);
    s->seg_least = align_up(SEG_HEADERS_BYTES + s->cfg.frame_max + 2 * (uint64_t)(s->block ? s->block : 4096),
                            SEG_SIZE_STEP);
    if (!e) e = prepare(s);
    if (!e) e = recover(s);
    if (e) {
        release(s);
        *out = NULL;
        return e;
    }
    s->append_ns = io_now(io);
    s->opened = true;
    must(s->frames != NULL);
    must((s->place ? s->place->headed : s->maker.no_space));
    return ERR_OK;
}

/* --- closing --- */

static bool reads_busy(const struct store *s) {
    for (size_t i = 0; i < s->segs_len; i++) {
        if (s->segs[i]->reads) return true;
    }
    for (const struct list *l = s->free.next; l != &s->free; l = l->next) {
        if (container_of(l, const struct seg, link)->reads) return true;
    }
    return false;
}

static bool busy(const struct store *s) {
    return s->flying || s->sync_busy || maker_busy(s) || s->unlink_op.busy || s->compactor.op.busy ||
           root_busy(s) || reads_busy(s);
}

/* Runs the loop until everything sealed is durable (or only until nothing is in flight), at most until the
 * time given. */
static void drain(struct store *s, uint64_t until, bool durable) {
    must(s->closing);
    while (io_now(s->io) < until) {
        if (durable && !s->failed) {
            store_want_sync(s);
            store_commit(s);
        }
        bool done = !durable || s->failed || (!s->filling && s->durable == s->sealed);
        if (done && !busy(s)) return;
        if (done && durable) return;
        io_tick(s->io, until);
    }
}

void store_close(struct store *s) {
    if (!s) return;
    must(s->opened);
    must(!s->closing);
    io_clock_refresh(s->io);
    uint64_t until = io_now(s->io) + CLOSE_WAIT_NS;
    s->closing = true;
    drain(s, until, true);
    if (!s->failed && !s->filling && s->durable == s->sealed && s->place) {
        commit_closing(s, FRAME_CLEAN);
        drain(s, until, true);
    }
    drain(s, until, false);
    if (busy(s)) {
        log_line(&s->log, LOG_ERROR, "log %04x: the disk did not answer within 10 s; left as it is",
                 s->cfg.log);
        return; /* the kernel still writes from and reads into this memory: it is never given back */
    }
    release(s);
}

void store_stats(const struct store *s, struct store_stats *out) {
    must(s->opened);
    must(out != NULL);
    *out = s->stats;
    out->failed = s->failed;
    out->refused_open = s->refused_open;
    out->refusing = s->maker.no_space ? s->maker.why : ERR_OK;
    out->segments = s->segs_len;
    out->segments_ready = s->ready_count;
    out->cache_hits = s->cache.hits;
    out->disk_bytes = out->live_bytes = 0;
    for (size_t i = 0; i < s->segs_len; i++) {
        out->disk_bytes += s->segs[i]->size;
        out->live_bytes += s->segs[i]->live;
    }
    const struct list *lists[2] = {&s->ready, &s->free};
    for (int i = 0; i < 2; i++) {
        for (const struct list *l = lists[i]->next; l != lists[i]; l = l->next) {
            out->disk_bytes += container_of(l, const struct seg, link)->size;
        }
    }
    if (s->maker.seg) out->disk_bytes += s->maker.seg->size;
}
