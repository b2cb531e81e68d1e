/* sim_io.c - see sim_io.h. Operations wait in a list with the time they complete at; a tick runs those that
 * are due, or moves the clock to the first. Every step counts toward a planned crash, so that a run can be
 * cut anywhere. A dead loop answers everything with ERR_IO, which lets the engine above it be taken down by
 * its ordinary means. */
#include "sim/sim_io.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "io/loop.h"

#define START_NS   ((uint64_t)1000 * 1000 * 1000)
#define START_WALL ((int64_t)1700000000 * 1000000000)
#define STEP_NS    ((uint64_t)1000)
#define LATENCY_NS ((uint64_t)200 * 1000)
enum { FD_BASE = 1000, FDS_MAX = 1024 };
enum { WORD_DUE, WORD_MARK, WORD_RES }; /* of op->priv_word */

struct sim_fd {
    struct sim_node *node;
    bool locked;
};

struct sim {
    struct io io;
    struct sim_disk *disk;
    struct rng rng;
    struct sim_faults faults;
    struct sim_fd fds[FDS_MAX];
    struct list flying;
    uint64_t now, ops;
    uint64_t crash_at;
    enum sim_crash crash_how;
    struct rng *crash_rng;
    bool dead;
};

static struct sim *sim_of(const struct io *io) {
    must(io->backend == IO_SIM);
    return (struct sim *)io;
}

static struct sim_node *node_of(struct sim *s, int fd) {
    if (fd == AT_FDCWD) return sim_disk_root(s->disk);
    must(fd >= FD_BASE && fd < FD_BASE + FDS_MAX && s->fds[fd - FD_BASE].node);
    return s->fds[fd - FD_BASE].node;
}

/* --- crashes --- */

void sim_io_crash(struct io *io, enum sim_crash how, struct rng *r) {
    struct sim *s = sim_of(io);
    if (s->dead) return;
    list_each(l, next, &s->flying) {
        struct io_op *op = container_of(l, struct io_op, link);
        if (op->kind == IO_OP_WRITE) {
            sim_node_tear(s->disk, node_of(s, op->fd), op->off, op->buf, op->len);
        }
        op->priv_word[WORD_DUE] = s->now;
    }
    s->dead = true;
    for (int i = 0; i < FDS_MAX; i++) {
        if (s->fds[i].locked) *sim_node_locked(s->fds[i].node) = false;
        s->fds[i].locked = false;
    }
    sim_disk_settle(s->disk, how, r);
}

/* One step; true when the machine stopped, now or before. */
static bool step(struct sim *s) {
    s->ops++;
    if (s->crash_at && s->ops >= s->crash_at) sim_io_crash(&s->io, s->crash_how, s->crash_rng);
    return s->dead;
}

void sim_io_crash_at(struct io *io, uint64_t n, enum sim_crash how, struct rng *r) {
    struct sim *s = sim_of(io);
    s->crash_at = n ? s->ops + n : 0;
    s->crash_how = how;
    s->crash_rng = r;
}

bool sim_io_dead(const struct io *io) { return sim_of(io)->dead; }
uint64_t sim_io_ops(const struct io *io) { return sim_of(io)->ops; }
void sim_io_sleep(struct io *io, uint64_t ns) { sim_of(io)->now += ns; }
void sim_io_faults(struct io *io, const struct sim_faults *f) { sim_of(io)->faults = *f; }

static bool one_in(struct sim *s, uint32_t n) { return n && rng_below(&s->rng, n) == 0; }

/* --- operations --- */

static void sim_submit(struct io *io, struct io_op *op) {
    struct sim *s = sim_of(io);
    must(op->kind == IO_OP_READ || op->kind == IO_OP_WRITE || op->kind == IO_OP_FSYNC ||
         op->kind == IO_OP_FALLOCATE);
    uint64_t most = s->faults.latency_ns ? s->faults.latency_ns : LATENCY_NS;
    op->priv_word[WORD_DUE] = s->now + 1 + rng_below(&s->rng, most);
    op->priv_word[WORD_MARK] = sim_node_mark(s->disk);
    list_add_tail(&s->flying, &op->link);
    step(s);
}

static void sim_stop(struct io *io, struct io_op *op) {
    (void)io;
    (void)op; /* its result comes */
}

/* A write that fails may have reached the medium in part. */
static void land_in_part(struct sim *s, struct sim_node *n, const struct io_op *op) {
    for (size_t at = 0; at + SIM_SECTOR <= op->len; at += SIM_SECTOR) {
        const uint8_t *from = (const uint8_t *)op->buf + at;
        if (rng_below(&s->rng, 2) && sim_node_write(s->disk, n, op->off + at, from, SIM_SECTOR, false))
            return;
    }
}

static int64_t do_write(struct sim *s, struct io_op *op, struct sim_node *n) {
    bool durable = op->flags & IO_DSYNC;
    if (one_in(s, s->faults.write_error)) {
        if (rng_below(&s->rng, 2)) land_in_part(s, n, op);
        return -(int64_t)ERR_IO;
    }
    uint64_t off = op->off;
    if (one_in(s, s->faults.misdirect)) off += off >= 4096 && rng_below(&s->rng, 2) ? (uint64_t)-4096 : 4096;
    enum err e = sim_node_write(s->disk, n, off, op->buf, op->len, durable);
    return e ? -(int64_t)e : (int64_t)op->len;
}

static int64_t run(struct sim *s, struct io_op *op) {
    struct sim_node *n = node_of(s, op->fd);
    if (step(s)) return -(int64_t)ERR_IO;
    sim_disk_note(s->disk, (uint64_t)op->kind, op->off, op->len);
    switch (op->kind) {
    case IO_OP_WRITE: return do_write(s, op, n);
    case IO_OP_READ:
        if (one_in(s, s->faults.read_error)) return -(int64_t)ERR_IO;
        return (int64_t)sim_node_read(n, op->off, op->buf, op->len);
    case IO_OP_FSYNC: sim_node_sync(s->disk, n, op->priv_word[WORD_MARK]); return 0;
    default: return -(int64_t)sim_node_grow(s->disk, n, op->off + op->len);
    }
}

static struct io_op *soonest(struct sim *s) {
    struct io_op *first = NULL;
    list_each(l, next, &s->flying) {
        struct io_op *op = container_of(l, struct io_op, link);
        if (!first || op->priv_word[WORD_DUE] < first->priv_word[WORD_DUE]) first = op;
    }
    return first;
}

static size_t sim_poll(struct io *io, uint64_t wait_until_ns) {
    struct sim *s = sim_of(io);
    struct io_op *op = soonest(s);
    s->now += STEP_NS;
    uint64_t to = op ? op->priv_word[WORD_DUE] : UINT64_MAX;
    if (wait_until_ns < to) to = wait_until_ns;
    if (to != UINT64_MAX && to > s->now) s->now = to;
    io_clock_refresh(io);
    struct list due = LIST_INIT(due);
    while ((op = soonest(s)) && op->priv_word[WORD_DUE] <= s->now) {
        op->priv_word[WORD_RES] =
            (uint64_t)run(s, op); /* may stop the machine: then it is one of those in flight */
        list_del(&op->link);
        list_add_tail(&due, &op->link);
    }
    size_t calls = 0;
    for (struct list *l; (l = list_pop(&due)); calls++) {
        op = container_of(l, struct io_op, link);
        op->busy = false;
        op->on_done(op, (int64_t)op->priv_word[WORD_RES]);
    }
    return calls;
}

static void sim_wake(struct io *target, struct io *from) {
    (void)from;
    target->woken = true;
}

static void sim_clock(struct io *io, uint64_t *mono_ns, int64_t *wall_ns) {
    struct sim *s = sim_of(io);
    *mono_ns = s->now;
    *wall_ns = START_WALL + (int64_t)s->now;
}

static void sim_close(struct io *io) {
    struct sim *s = sim_of(io);
    must(list_empty(&s->flying));
    for (int i = 0; i < FDS_MAX; i++) must(s->fds[i].node == NULL);
    free(s);
}

/* --- files --- */

static enum err file_open(struct io *io, int dirfd, const char *path, unsigned flags, int *fd) {
    struct sim *s = sim_of(io);
    if (step(s)) return ERR_IO;
    struct sim_node *dir = node_of(s, dirfd), *n = sim_node_find(s->disk, dir, path);
    if (n && flags & IO_O_EXCL) return ERR_EXISTS;
    if (!n && !(flags & IO_O_CREATE)) return ERR_NOENT;
    if (!n) {
        enum err e = sim_node_create(s->disk, dir, path, false, &n);
        if (e) return e;
    }
    if (sim_node_is_dir(n) != !!(flags & IO_O_DIR)) return ERR_INVAL;
    for (int i = 0; i < FDS_MAX; i++) {
        if (s->fds[i].node) continue;
        s->fds[i].node = n;
        sim_node_hold(n, 1);
        *fd = FD_BASE + i;
        return ERR_OK;
    }
    return ERR_NOFILES;
}

static void file_close(struct io *io, int fd) {
    struct sim *s = sim_of(io);
    struct sim_node *n = node_of(s, fd);
    struct sim_fd *f = &s->fds[fd - FD_BASE];
    if (f->locked) *sim_node_locked(n) = false;
    sim_node_hold(n, -1);
    *f = (struct sim_fd){0};
}

static enum err file_size(struct io *io, int fd, uint64_t *size) {
    *size = sim_node_size(node_of(sim_of(io), fd));
    return sim_of(io)->dead ? ERR_IO : ERR_OK;
}

static enum err file_read(struct io *io, int fd, void *buf, size_t n, uint64_t off, size_t *got) {
    struct sim *s = sim_of(io);
    *got = 0;
    if (step(s) || one_in(s, s->faults.read_error)) return ERR_IO;
    *got = sim_node_read(node_of(s, fd), off, buf, n);
    return ERR_OK;
}

static enum err file_write(struct io *io, int fd, const void *buf, size_t n, uint64_t off, bool sync) {
    struct sim *s = sim_of(io);
    struct sim_node *node = node_of(s, fd);
    if (s->dead) return ERR_IO;
    if (s->crash_at && s->ops + 1 >= s->crash_at)
        sim_node_tear(s->disk, node, off, buf, n); /* cut in the middle */
    if (step(s) || one_in(s, s->faults.write_error)) return ERR_IO;
    sim_disk_note(s->disk, 100, off, n);
    return sim_node_write(s->disk, node, off, buf, n, sync);
}

static enum err file_allocate(struct io *io, int fd, uint64_t off, uint64_t n) {
    struct sim *s = sim_of(io);
    return step(s) ? ERR_IO : sim_node_grow(s->disk, node_of(s, fd), off + n);
}

static enum err file_cut(struct io *io, int fd, uint64_t size) {
    struct sim *s = sim_of(io);
    if (step(s)) return ERR_IO;
    sim_disk_note(s->disk, 101, size, 0);
    sim_node_cut(node_of(s, fd), size);
    return ERR_OK;
}

static enum err file_sync(struct io *io, int fd) {
    struct sim *s = sim_of(io);
    if (step(s)) return ERR_IO;
    sim_node_sync(s->disk, node_of(s, fd), sim_node_mark(s->disk));
    return ERR_OK;
}

static enum err file_rename(struct io *io, int dirfd, const char *from, const char *to) {
    struct sim *s = sim_of(io);
    return step(s) ? ERR_IO : sim_node_rename(s->disk, node_of(s, dirfd), from, to);
}

static enum err file_unlink(struct io *io, int dirfd, const char *path) {
    struct sim *s = sim_of(io);
    return step(s) ? ERR_IO : sim_node_unlink(s->disk, node_of(s, dirfd), path);
}

static enum err dir_make(struct io *io, int dirfd, const char *path) {
    struct sim *s = sim_of(io);
    return step(s) ? ERR_IO : sim_node_create(s->disk, node_of(s, dirfd), path, true, NULL);
}

static enum err dir_list(struct io *io, int fd, struct io_dirent_list *out) {
    struct sim *s = sim_of(io);
    const struct sim_node *n = node_of(s, fd);
    *out = (struct io_dirent_list){0};
    if (step(s)) return ERR_IO;
    while (sim_node_name(n, out->count)) out->count++;
    out->names = calloc(out->count + 1, sizeof *out->names);
    if (!out->names) return ERR_NOMEM;
    for (size_t i = 0; i < out->count; i++)
        snprintf(out->names[i], sizeof *out->names, "%s", sim_node_name(n, i));
    return ERR_OK;
}

static enum err file_lock(struct io *io, int fd) {
    struct sim *s = sim_of(io);
    bool *locked = sim_node_locked(node_of(s, fd));
    if (s->dead) return ERR_IO;
    if (*locked) return ERR_LOCKED;
    *locked = s->fds[fd - FD_BASE].locked = true;
    return ERR_OK;
}

static enum err file_fs(struct io *io, int fd, struct io_fs *out) {
    struct sim *s = sim_of(io);
    (void)node_of(s, fd);
    *out = (struct io_fs){.type = "sim", .free_bytes = (uint64_t)1 << 30, .block = 4096, .direct = true};
    return s->dead ? ERR_IO : ERR_OK;
}

static const struct io_file_ops sim_files = {file_open,     file_close, file_size, file_read,   file_write,
                                             file_allocate, file_cut,   file_sync, file_rename, file_unlink,
                                             dir_make,      dir_list,   file_lock, file_fs};

static const struct io_ops sim_ops = {
    .close = sim_close,
    .submit = sim_submit,
    .stop = sim_stop,
    .poll = sim_poll,
    .wake = sim_wake,
    .clock = sim_clock,
    .file = &sim_files,
};

enum err sim_io_open(struct io **io, struct sim_disk *d, uint64_t seed) {
    struct sim *s = calloc(1, sizeof *s);
    if (!s) return ERR_NOMEM;
    s->disk = d;
    s->rng.state = seed;
    /* No two lives see the same time: identities drawn from the clock stay apart. */
    s->now = START_NS + (seed & 0xffff) * START_NS + sim_node_mark(d);
    list_init(&s->flying);
    s->io.backend = IO_SIM; /* io_init() reads the clock */
    io_init(&s->io, IO_SIM, &sim_ops);
    *io = &s->io;
    return ERR_OK;
}
