/* sim_store.c - random work on a log over the simulated disk, with crashes anywhere, judged after each
 * recovery.
 *
 *     sim_store --seed N               one seed; prints a trace that a second run repeats
 *     sim_store --seeds A..B           many; the last line is "N passed, N failed"
 *     sim_store ... --break WHAT       the disk breaks a promise (dsync, fsync, dirsync): seeds must fail
 * then
 *
 * A seed is a handful of lives: open, work, and an end - a power cut, a kill, an orderly close, a failing
 * write - at a random operation, which may well lie inside the recovery. Between lives bits may rot. Each
 * seed runs in a child process. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/must.h"
#include "sim/sim_io.h"
#include "sim/store_model.h"
#include "store/frame.h"

enum { READERS = 4, LIVES_MAX = 7 };

struct reader {
    struct store_wait w;
    struct life *life;
    uint64_t id; /* 0: idle */
};

struct life {
    struct sim_disk *disk;
    struct model model;
    struct rng rng, crash_rng;
    struct io *io;
    struct store *s;
    struct store_config cfg;
    struct store_owner owner;
    struct reader readers[READERS];
    uint64_t written, durable;
    uint64_t rewrite; /* segment number asked for; 0: none */
    uint64_t live_max;
    bool failed, faults;
    enum sim_crash crash;
    uint64_t by_kill, by_power; /* frames promised should the last life's end be a kill, a power cut */
};

static uint64_t below(struct life *l, uint64_t n) { return rng_below(&l->rng, n); }
static bool chance(struct life *l, unsigned percent) { return below(l, 100) < percent; }

/* --- upcalls --- */

static void declare_dead(struct life *l, uint64_t id) {
    struct entry *e = model_at(&l->model, id);
    if (e->kind != REC_MESSAGE || e->dead) return;
    e->dead = true;
    struct rec r = model_rec(&l->model, id);
    size_t bytes = rec_size(r.subject.n, 0, e->size);
    store_dead(l->s, e->loc, bytes);
    l->model.live -= bytes;
}

/* What a delete or state that was found says of messages found before it. */
static void apply_kills(struct life *l, uint64_t id) {
    struct model *m = &l->model;
    const struct entry *e = model_at(m, id);
    if (e->kind == REC_DELETE && e->target && model_at(m, e->target)->found) declare_dead(l, e->target);
    for (uint64_t i = 1; e->kind == REC_STREAM && i < id; i++) {
        const struct entry *x = model_at(m, i);
        if (x->found && x->stream == e->stream && x->killer && x->killer < id) declare_dead(l, i);
    }
}

static void on_apply(void *ctx, const struct rec *r, uint64_t loc) {
    struct life *l = ctx;
    model_found(&l->model, r, loc);
    uint64_t id = (uint64_t)r->ts;
    if (r->kind == REC_MESSAGE)
        l->model.live += rec_size(r->subject.n, 0, r->payload.n);
    else
        apply_kills(l, id);
}

static void on_damaged(void *ctx, const struct store_damage *d) {
    struct life *l = ctx;
    l->model.damage_reports++;
    must(d->what != NULL);
}

static void on_commit(void *ctx, uint64_t written, uint64_t durable) {
    struct life *l = ctx;
    if (written < l->written || durable < l->durable || durable > written)
        model_fail("a watermark went back");
    l->written = written;
    l->durable = durable;
}

static void on_failed(void *ctx, enum err why) {
    struct life *l = ctx;
    must(why == ERR_FAILED);
    if (!l->faults && !sim_io_dead(l->io)) model_fail("the log failed on a sound disk");
    l->failed = true;
}

static void on_rewrite(void *ctx, uint64_t segno) { ((struct life *)ctx)->rewrite = segno; }

static void on_line(void *ctx, int level, const char *text) {
    (void)ctx;
    if (getenv("VERBOSE")) fprintf(stderr, "  [%d] %s\n", level, text);
}

/* --- reading --- */

static void read_on(struct reader *r) {
    struct life *l = r->life;
    struct rec got;
    struct entry *e = model_at(&l->model, r->id);
    enum err err = e->dead ? ERR_NONE : store_read(l->s, e->loc, &r->w, &got);
    if (err == ERR_LATER) return;
    if (!err && !model_same(&l->model, r->id, &got))
        model_fail("record %llu reads differently", (unsigned long long)r->id);
    bool excused = e->dead || l->faults || sim_io_dead(l->io) || l->model.lenient || err == ERR_FULL;
    if (err && !excused)
        model_fail("record %llu at segment %llu, %llu does not read: %s", (unsigned long long)r->id,
                   (unsigned long long)(e->loc >> 32),
                   (unsigned long long)((e->loc & UINT32_MAX) * REC_ALIGN), err_text(err));
    r->id = 0;
}

static void on_ready(struct store_wait *w) { read_on(container_of(w, struct reader, w)); }

static void do_read(struct life *l) {
    struct model *m = &l->model;
    struct reader *r = &l->readers[below(l, READERS)];
    if (r->id || !m->count) return;
    uint64_t id = 1 + below(l, m->count);
    const struct entry *e = model_at(m, id);
    if (e->fate == ENTRY_LOST || e->dead || !e->loc || e->kind != REC_MESSAGE) return;
    r->id = id;
    if (chance(l, 20)) store_read_ahead(l->s, e->loc);
    read_on(r);
}

/* --- writing --- */

static size_t some_size(struct life *l) {
    switch (below(l, 20)) {
    case 0: return below(l, 60000);
    case 1: return 0;
    case 2:
    case 3: return below(l, 9000);
    default: return below(l, 600);
    }
}

/* Appends; false when it was refused. */
static bool append(struct life *l, struct entry *e, unsigned how) {
    struct model *m = &l->model;
    uint64_t id = model_add(m, e);
    struct rec r = model_rec(m, id);
    uint64_t loc, frame;
    enum err err = store_append(l->s, &r, how, &loc, &frame);
    if (err) {
        bool faulty = err == ERR_IO && (l->faults || sim_io_dead(l->io)); /* no segment can be made */
        if (err != ERR_FULL && err != ERR_NOSPC && err != ERR_FAILED && !faulty)
            model_fail("append: %s", err_text(err));
        if (err == ERR_FAILED && !l->failed) model_fail("append failed without a word");
        m->count--;
        return false;
    }
    e = model_at(m, id);
    e->loc = loc;
    e->frame = frame;
    if (e->kind == REC_MESSAGE) m->live += rec_size(r.subject.n, 0, e->size);
    return true;
}

/* Records of a batch count from the frame of its end. */
static void batch_ended(struct life *l) {
    struct model *m = &l->model;
    uint64_t frame = model_at(m, m->count)->frame;
    uint32_t batch = model_at(m, m->count)->batch;
    for (uint64_t i = m->count; i > 0 && model_at(m, i)->batch == batch; i--) model_at(m, i)->frame = frame;
}

/* A batch; room for it is asked for first. A log that fails half way leaves it without an end: it never
 * existed. */
static void do_batch(struct life *l) {
    struct model *m = &l->model;
    uint32_t stream = 1 + (uint32_t)below(l, STREAMS), sizes[12];
    uint64_t count = 2 + below(l, 11), first = m->count + 1;
    size_t bytes = 0;
    for (uint64_t i = 0; i < count; i++) {
        sizes[i] = (uint32_t)some_size(l);
        bytes += rec_size(24, 0, sizes[i]); /* the subject takes less */
    }
    if (store_reserve(l->s, bytes, count)) return;
    m->batches++;
    for (uint64_t i = 0; i < count; i++) {
        struct entry e = {.kind = REC_MESSAGE,
                          .stream = stream,
                          .size = sizes[i],
                          .flags = REC_F_BATCH,
                          .batch = m->batches};
        if (i == 0) e.flags |= REC_F_BATCH_BEGIN;
        if (i == count - 1) e.flags |= REC_F_BATCH_END;
        if (!append(l, &e, i == count - 1 ? STORE_FORCE : STORE_RIDE)) break;
        if (i == count - 1) {
            batch_ended(l);
            return;
        }
        model_at(m, m->count)->frame = 0; /* not promised before the end */
    }
    if (!l->failed) model_fail("a batch did not fit the room reserved for it");
    for (uint64_t i = first; i <= m->count; i++) {
        declare_dead(l, i);
        model_at(m, i)->fate = ENTRY_LOST;
    }
}

static void do_append(struct life *l) {
    struct entry e = {
        .kind = REC_MESSAGE, .stream = 1 + (uint32_t)below(l, STREAMS), .size = (uint32_t)some_size(l)};
    unsigned how = chance(l, 60) ? STORE_FORCE : chance(l, 50) ? STORE_RIDE : STORE_DSYNC;
    append(l, &e, how);
}

static void do_delete(struct life *l) {
    struct model *m = &l->model;
    while (m->oldest <= m->count) {
        const struct entry *x = model_at(m, m->oldest);
        if (x->kind == REC_MESSAGE && x->fate != ENTRY_LOST && !x->dead) break;
        m->oldest++;
    }
    uint64_t id = chance(l, 80) ? m->oldest : 1 + below(l, m->count + 1);
    if (id > m->count) return;
    struct entry *x = model_at(m, id);
    if (x->kind != REC_MESSAGE || x->fate == ENTRY_LOST || x->dead || !x->loc || x->batch) {
        if (x->batch && id == m->oldest) m->oldest++; /* batches live on */
        return;
    }
    struct entry e = {.kind = REC_DELETE, .stream = x->stream, .target = id};
    if (!append(l, &e, chance(l, 30) ? STORE_FORCE : STORE_RIDE)) return;
    model_at(m, id)->killer = m->count;
    declare_dead(l, id);
}

/* The full state of every stream whose newest lies in a segment that shall go. */
static void do_rewrite(struct life *l) {
    struct model *m = &l->model;
    for (uint32_t k = 1; k <= STREAMS; k++) {
        uint64_t newest = m->newest_state[k];
        if (newest && model_at(m, newest)->loc >> 32 > l->rewrite) continue;
        struct entry e = {.kind = REC_STREAM, .stream = k, .size = (uint32_t)below(l, 3000)};
        if (!append(l, &e, STORE_RIDE)) return; /* again at the next step */
        m->newest_state[k] = m->count;
    }
    uint64_t segno = l->rewrite;
    l->rewrite = 0;
    store_rewritten(l->s, segno);
}

static void turn(struct life *l) {
    store_commit(l->s);
    uint64_t until = store_deadline(l->s), most = io_now(l->io) + 1000 * (1 + below(l, 3000));
    io_tick(l->io, until < most ? until : most);
}

static void work(struct life *l, uint64_t steps) {
    for (uint64_t i = 0; i < steps && !sim_io_dead(l->io); i++) {
        if (l->rewrite && chance(l, 70)) do_rewrite(l);
        uint64_t what = below(l, 100);
        if (what < 45)
            do_append(l);
        else if (what < 49)
            do_batch(l);
        else if (what < 56)
            do_read(l);
        else if (what < 60 || l->model.live > l->live_max)
            do_delete(l);
        else
            turn(l);
        while (l->model.live > 2 * l->live_max && !l->failed && !sim_io_dead(l->io) && chance(l, 95)) {
            do_delete(l);
            if (chance(l, 20)) turn(l);
        }
    }
}

/* --- lives --- */

static void start(struct life *l, uint64_t seed) {
    if (sim_io_open(&l->io, l->disk, seed)) model_fail("no loop");
    l->written = l->durable = 0;
    l->rewrite = 0;
    l->failed = l->faults = false;
    l->model.oldest = 1;
    model_begin(&l->model);
    l->crash = chance(l, 60) ? SIM_POWER : SIM_KILL;
    for (int i = 0; i < READERS; i++) {
        l->readers[i] = (struct reader){.life = l};
        store_wait_init(&l->readers[i].w);
        l->readers[i].w.on_ready = on_ready;
    }
}

/* False: the machine stopped before the log was open; what was promised stays promised, unless power went. */
static bool open_log(struct life *l) {
    enum err e = store_open(&l->s, &l->cfg, l->io, &l->owner);
    if (e) {
        if (!sim_io_dead(l->io)) model_fail("open: %s", err_text(e));
        if (l->crash == SIM_POWER) l->by_kill = l->by_power;
        io_close(l->io);
        return false;
    }
    model_judge(&l->model, l->by_kill);
    return true;
}

static void stop(struct life *l) {
    for (int i = 0; i < READERS; i++) store_wait_cancel(&l->readers[i].w);
    store_close(l->s);
    bool died = sim_io_dead(l->io), orderly = !died && !l->failed;
    l->by_kill = orderly ? UINT64_MAX : l->written;
    l->by_power = orderly ? UINT64_MAX : l->durable;
    io_close(l->io);
    if (died && l->crash == SIM_POWER) l->by_kill = l->by_power;
    l->s = NULL;
}

static void misbehave(struct life *l) {
    struct sim_faults f = {.latency_ns = 1000 * (1 + below(l, 2000))};
    l->faults = chance(l, 10);
    if (l->faults) f.write_error = 20 + (uint32_t)below(l, 200), f.read_error = (uint32_t)below(l, 50);
    if (chance(l, 4)) f.misdirect = 50, l->model.lenient = l->faults = true;
    sim_io_faults(l->io, &f);
    bool tight = chance(l, 10);
    sim_disk_limit(l->disk, tight ? sim_disk_used(l->disk) + below(l, 512 << 10) : UINT64_MAX);
}

/* Space came back: a message must be taken again. */
static void check_space(struct life *l) {
    sim_disk_limit(l->disk, UINT64_MAX);
    if (l->failed || l->model.lenient) return;
    uint64_t before = l->model.count;
    for (int i = 0; i < 400 && l->model.count == before && !sim_io_dead(l->io) && !l->failed; i++) {
        struct entry e = {.kind = REC_MESSAGE, .stream = 1, .size = 100};
        if (!append(l, &e, STORE_FORCE)) turn(l);
        if (i % 10 == 0) sim_io_sleep(l->io, 600 * 1000 * 1000);
    }
    if (l->model.count == before && !sim_io_dead(l->io) && !l->failed)
        model_fail("nothing is taken though there is space");
}

/* --- damage between lives --- */

/* The file that holds segment segno, by its newest valid header. */
static bool file_of(struct life *l, uint64_t segno, char path[64]) {
    struct sim_node *dir = sim_node_find(l->disk, NULL, "log");
    for (size_t i = 0; sim_node_name(dir, i); i++) {
        struct seg_header a, b;
        snprintf(path, 64, "log/%.32s", sim_node_name(dir, i));
        const struct sim_node *n = sim_node_find(l->disk, NULL, path);
        if (sim_node_read(n, 0, &a, sizeof a) < sizeof a) continue;
        if (sim_node_read(n, SEG_HEADER_COPY, &b, sizeof b) < sizeof b) continue;
        bool first = seg_header_ok(&a), second = seg_header_ok(&b);
        uint64_t newest = first && (!second || a.segno >= b.segno) ? a.segno : second ? b.segno : 0;
        if (newest == segno) return true;
    }
    return false;
}

/* Does the record at off stand directly behind a frame's header? */
static bool leads_a_frame(struct life *l, const char *path, uint64_t off) {
    struct frame_header h;
    const struct sim_node *n = sim_node_find(l->disk, NULL, path);
    return n && off % 4096 == sizeof h && sim_node_read(n, off - sizeof h, &h, sizeof h) == sizeof h &&
           h.magic == FRAME_MAGIC && h.off == off - sizeof h;
}

/* The header of a batch's end may be damaged only where something follows that says it was one. */
static bool followed(struct model *m, uint64_t id) {
    if (id == m->count) return false;
    const struct entry *e = model_at(m, id), *next = model_at(m, id + 1);
    return next->fate == ENTRY_KEPT && !next->damaged && next->loc >> 32 == e->loc >> 32;
}

static bool behind_a_damaged_end(struct model *m, uint64_t id) {
    const struct entry *e = model_at(m, id > 1 ? id - 1 : id);
    return e->damaged && e->flags & REC_F_BATCH_END;
}

/* Flips a bit of a record that was found by the last recovery; it and nothing else may be lost by that. */
static void damage(struct life *l) {
    struct model *m = &l->model;
    char path[64];
    for (int tries = 0; tries < 30 && m->count; tries++) {
        uint64_t id = 1 + below(l, m->count);
        struct entry *e = model_at(m, id);
        if (e->kind != REC_MESSAGE || e->fate != ENTRY_KEPT || e->dead || e->killer || e->damaged) continue;
        if (e->batch && (e->size < 8 || e->size > 3000)) continue;
        if (behind_a_damaged_end(m, id)) continue;
        if (!file_of(l, e->loc >> 32, path)) continue;
        struct rec r = model_rec(m, id);
        uint64_t size = sizeof(struct rec_header) + r.subject.n;
        if (e->size + size < 4000) size += e->size; /* a fragmented record: its first piece */
        uint64_t off = (e->loc & UINT32_MAX) * REC_ALIGN;
        if (chance(l, 80)) {
            e->damaged = true;
            uint64_t skip = e->flags & REC_F_BATCH_END && !followed(m, id) ? sizeof(struct rec_header) : 0;
            sim_disk_rot(l->disk, path, off + skip + below(l, size - skip), (uint8_t)(1 << below(l, 8)));
        } else if (chance(l, 50)) {
            sim_disk_rot(l->disk, path, below(l, 2) * SEG_HEADER_COPY + below(l, sizeof(struct seg_header)),
                         4); /* one copy */
        } else if (leads_a_frame(l, path, off)) {
            sim_disk_rot(l->disk, path, off - 1 - below(l, sizeof(struct frame_header)),
                         1); /* a frame's header */
        }
        return;
    }
}

static void run_seed(uint64_t seed, enum sim_break broken, bool trace) {
    struct life *l = calloc(1, sizeof *l);
    must(l != NULL);
    l->rng.state = seed * 0x9e3779b97f4a7c15u + 1;
    l->crash_rng.state = seed + 77;
    l->disk = sim_disk_new();
    sim_disk_break(l->disk, broken);
    if (sim_node_create(l->disk, NULL, "log", true, NULL)) model_fail("no folder");
    sim_node_sync(l->disk, sim_disk_root(l->disk), UINT64_MAX);
    model_init(&l->model);
    l->owner = (struct store_owner){l, on_apply, on_damaged, on_commit, on_failed, on_rewrite};
    l->cfg = (struct store_config){.path = "log",
                                   .log = 3,
                                   .interval = chance(l, 25),
                                   .interval_ns = 1000 * 1000 * (int64_t)(1 + below(l, 50)),
                                   .frame_max = 4096u << below(l, 5),
                                   .frames_in_flight = 1 + (uint32_t)below(l, 8),
                                   .seg_min = (uint64_t)(128 << 10) << below(l, 2),
                                   .seg_max = (uint64_t)(256 << 10) << below(l, 3),
                                   .buffer_bytes = (size_t)2 << 20,
                                   .cache_bytes = (size_t)1 << 20,
                                   .log_line = on_line};
    l->live_max = 50000 + below(l, 500000);
    uint64_t lives = 2 + below(l, LIVES_MAX - 1);
    for (uint64_t i = 0; i <= lives; i++) {
        bool last = i == lives;
        start(l, seed * 100 + i);
        if (!last && chance(l, 15))
            sim_io_crash_at(l->io, 1 + below(l, 60), l->crash, &l->crash_rng); /* while opening */
        if (!open_log(l)) continue;
        if (last) break;
        if (getenv("VERBOSE"))
            fprintf(stderr, "life %llu: %llu records, %s, interval %d\n", (unsigned long long)i,
                    (unsigned long long)l->model.count, l->crash == SIM_KILL ? "kill" : "power",
                    l->cfg.interval);
        misbehave(l);
        bool crash = chance(l, 75);
        if (crash) sim_io_crash_at(l->io, 1 + below(l, 600), l->crash, &l->crash_rng);
        work(l, 40 + below(l, 260));
        if (!crash) check_space(l);
        if (chance(l, 60)) sim_disk_limit(l->disk, UINT64_MAX); /* else the next life begins without space */
        if (crash && chance(l, 50)) sim_io_crash(l->io, l->crash, &l->crash_rng);
        stop(l);
        if (chance(l, 25)) damage(l);
    }
    stop(l);
    if (trace)
        printf("seed %llu: trace %016llx, %llu records\n", (unsigned long long)seed,
               (unsigned long long)sim_disk_trace(l->disk), (unsigned long long)l->model.count);
    model_deinit(&l->model);
    sim_disk_free(l->disk);
    free(l);
}

/* --- command line --- */

static bool run_child(uint64_t seed, enum sim_break broken) {
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        run_seed(seed, broken, false);
        _exit(0);
    }
    int status = 1;
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static enum sim_break break_of(const char *what) {
    static const char *const names[] = {"nothing", "dsync", "fsync", "dirsync"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(what, names[i]) == 0) return (enum sim_break)i;
    }
    fprintf(stderr, "--break knows dsync, fsync and dirsync, not %s\n", what);
    exit(2);
}

int main(int argc, char **argv) {
    unsigned long long from = 1, to = 100;
    prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0); /* a life touches a few bytes of many regions */
    enum sim_break broken = SIM_SOUND;
    bool one = false;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seed") == 0)
            from = to = strtoull(argv[i + 1], NULL, 10), one = true;
        else if (strcmp(argv[i], "--seeds") == 0 && sscanf(argv[i + 1], "%llu..%llu", &from, &to) == 2)
            one = false;
        else if (strcmp(argv[i], "--break") == 0)
            broken = break_of(argv[i + 1]);
        else
            from = 1, to = 0;
    }
    if (from > to || argc % 2 == 0) {
        fprintf(stderr, "usage: sim_store [--seed N | --seeds A..B] [--break dsync|fsync|dirsync]\n");
        return 2;
    }
    if (one) {
        run_seed(from, broken, true);
        return 0;
    }
    unsigned passed = 0, failed = 0;
    for (unsigned long long seed = from; seed <= to; seed++) {
        if (run_child(seed, broken)) {
            passed++;
        } else {
            failed++;
            fprintf(stderr, "FAILED seed %llu\n", seed);
        }
    }
    printf("%u passed, %u failed\n", passed, failed);
    return failed != 0;
}
