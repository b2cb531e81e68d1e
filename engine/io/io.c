/* io.c - the public calls: each checks its contract and goes on to the implementation. A tick is: let the
 * implementation submit, wait and call back, then run the timers that are due. Opening is where things fail:
 * the caller learns why in words it can show to an operator. */
#include "io/io.h"

#include <time.h>

#include "base/must.h"
#include "io/loop.h"

static const struct io_config defaults = {IO_AUTO, 4096, 64 << 10, 32};

static struct io_config config_fill(const struct io_config *cfg) {
    struct io_config c = cfg ? *cfg : defaults;
    if (!c.ops_max) c.ops_max = defaults.ops_max;
    if (!c.recv_buf_size) c.recv_buf_size = defaults.recv_buf_size;
    if (!c.recv_buf_count) c.recv_buf_count = defaults.recv_buf_count;
    must(c.backend <= IO_SIM);
    return c;
}

enum err io_open(struct io **io, const struct io_config *cfg, const char **why) {
    struct io_config c = config_fill(cfg);
    const char *ring_why = "", *posix_why = "";
    enum err e = ERR_UNSUPPORTED;
    must(io != NULL);
    *io = NULL;
    if (why) *why = "";
    if (c.backend == IO_AUTO || c.backend == IO_URING) {
        e = uring_open(io, &c, &ring_why);
        if (why && e) *why = ring_why;
    }
    if (c.backend == IO_POSIX || (c.backend == IO_AUTO && e)) {
        e = posix_open(io, &c, &posix_why);
        if (why && e) *why = posix_why;
    }
    must(e || *io != NULL);
    return e;
}

void io_close(struct io *io) {
    if (!io) return;
    must(!io->ticking);
    must(io->ops != NULL && io->ops->close != NULL);
    io->ops->close(io);
}

void io_init(struct io *io, enum io_backend backend, const struct io_ops *ops) {
    must(ops->poll != NULL && ops->submit != NULL && ops->stop != NULL);
    must(ops->clock != NULL);
    io->ops = ops;
    io->backend = backend;
    io->ticking = io->woken = false;
    io->wall_ns = 0;
    io->now_ns = 0;
    io_clock_refresh(io);
    wheel_init(&io->wheel, io->now_ns);
}

enum io_backend io_backend_of(const struct io *io) { return io->backend; }

const char *io_backend_name(enum io_backend b) {
    static const char *const names[] = {"auto", "uring", "posix", "sim"};
    must((unsigned)b < sizeof names / sizeof *names);
    return names[b];
}

void io_submit(struct io *io, struct io_op *op) {
    must(!op->busy);
    must(op->on_done != NULL);
    must(op->fd >= 0);
    must(op->kind <= IO_OP_CLOSE);
    op->busy = true;
    op->stopped = false;
    op->done = 0;
    io->ops->submit(io, op);
}

bool io_sent(struct io_op *op, uint64_t *at, size_t n) {
    op->done += n;
    must(op->kind == IO_OP_SEND);
    if (!op->iov_count) {
        must(op->done <= op->len);
        return op->done == op->len;
    }
    for (; *at < op->iov_count && n >= op->iov[*at].iov_len; (*at)++) n -= op->iov[*at].iov_len;
    if (*at == op->iov_count) {
        must(n == 0);
        return true;
    }
    op->iov[*at].iov_base = (char *)op->iov[*at].iov_base + n;
    op->iov[*at].iov_len -= n;
    return false;
}

void io_stop(struct io *io, struct io_op *op) {
    must(op->on_done != NULL);
    if (!op->busy || op->stopped) return;
    op->stopped = true;
    io->ops->stop(io, op);
}

size_t io_tick(struct io *io, uint64_t wait_until_ns) {
    must(!io->ticking);
    io->ticking = true;
    uint64_t timer = io_timer_next(io), until = wait_until_ns < timer ? wait_until_ns : timer;
    if (io->woken) until = 0;
    io->woken = false;
    size_t n = io->ops->poll(io, until);
    must(io->ticking);
    n += wheel_run(io);
    io->ticking = false;
    return n;
}

void io_wake(struct io *target, struct io *from) {
    must(target != NULL);
    must(target->ops->wake != NULL || target == from);
    if (target == from) {
        target->woken = true;
    } else {
        target->ops->wake(target, from);
    }
}

uint64_t io_now(const struct io *io) { return io->now_ns; }
int64_t io_wall(const struct io *io) { return io->wall_ns; }

void io_clock_refresh(struct io *io) {
    uint64_t mono;
    int64_t wall;
    must(io->ops != NULL);
    io->ops->clock(io, &mono, &wall);
    must(mono >= io->now_ns);
    io->now_ns = mono;
    if (wall > io->wall_ns) io->wall_ns = wall; /* a clock set back stands still until it is passed again */
}

void io_clock_real(struct io *io, uint64_t *mono_ns, int64_t *wall_ns) {
    struct timespec mono, wall;
    (void)io;
    must(clock_gettime(CLOCK_MONOTONIC, &mono) == 0);
    must(clock_gettime(CLOCK_REALTIME, &wall) == 0);
    *mono_ns = (uint64_t)mono.tv_sec * 1000000000u + (uint64_t)mono.tv_nsec;
    *wall_ns = (int64_t)wall.tv_sec * 1000000000 + wall.tv_nsec;
}

void io_register(struct io *io, void *p, size_t n) {
    must(p != NULL || n == 0);
    must(io->ops != NULL);
    if (io->ops->reg && n) io->ops->reg(io, p, n);
}

/* --- files: the implementation's --- */

enum err io_file_open(struct io *io, int dirfd, const char *path, unsigned flags, int *fd) {
    must(path != NULL && fd != NULL);
    return io->ops->file->open(io, dirfd, path, flags, fd);
}
void io_file_close(struct io *io, int fd) {
    must(fd >= 0);
    io->ops->file->close(io, fd);
}
enum err io_file_size(struct io *io, int fd, uint64_t *size) {
    must(fd >= 0);
    must(size != NULL);
    return io->ops->file->size(io, fd, size);
}
enum err io_file_read(struct io *io, int fd, void *buf, size_t n, uint64_t off, size_t *got) {
    must(fd >= 0 && (buf != NULL || n == 0));
    return io->ops->file->read(io, fd, buf, n, off, got);
}
enum err io_file_write(struct io *io, int fd, const void *buf, size_t n, uint64_t off, bool sync) {
    must(fd >= 0 && (buf != NULL || n == 0));
    return io->ops->file->write(io, fd, buf, n, off, sync);
}
enum err io_file_allocate(struct io *io, int fd, uint64_t off, uint64_t n) {
    must(fd >= 0);
    return io->ops->file->allocate(io, fd, off, n);
}
enum err io_file_cut(struct io *io, int fd, uint64_t size) {
    must(fd >= 0);
    return io->ops->file->cut(io, fd, size);
}
enum err io_file_sync(struct io *io, int fd) {
    must(fd >= 0);
    return io->ops->file->sync(io, fd);
}
enum err io_file_rename(struct io *io, int dirfd, const char *from, const char *to) {
    must(from != NULL && to != NULL);
    return io->ops->file->rename(io, dirfd, from, to);
}
enum err io_file_unlink(struct io *io, int dirfd, const char *path) {
    must(path != NULL);
    return io->ops->file->unlink(io, dirfd, path);
}
enum err io_dir_make(struct io *io, int dirfd, const char *path) {
    must(path != NULL);
    return io->ops->file->mkdir(io, dirfd, path);
}
enum err io_dir_list(struct io *io, int fd, struct io_dirent_list *out) {
    must(fd >= 0 && out != NULL);
    return io->ops->file->list(io, fd, out);
}
enum err io_file_lock(struct io *io, int fd) {
    must(fd >= 0);
    return io->ops->file->lock(io, fd);
}
enum err io_fs_of(struct io *io, int fd, struct io_fs *out) {
    must(fd >= 0 && out != NULL);
    return io->ops->file->fs(io, fd, out);
}
