/* io_seen.h - for the tests of io: a loop of either kind, and an operation that remembers what its callback
 * saw. */
#pragma once
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/rng.h"
#include "io/io.h"
#include "lib/check.h"

#define FOREVER UINT64_MAX
#define MS      1000000u

static inline struct io *open_loop(enum io_backend b) {
    const char *why = "?";
    struct io *io;
    struct io_config cfg = {.backend = b};
    enum err e = io_open(&io, &cfg, &why);
    if (e) fprintf(stderr, "%s: %s\n", err_text(e), why);
    CHECK_EQ(e, ERR_OK);
    CHECK_EQ(io_backend_of(io), b);
    return io;
}

/* What a callback saw. The operation comes first, so that its address is this one's. */
struct seen {
    struct io_op op;
    struct io *io;
    int calls;
    int64_t res, total;
    uint8_t *data; /* RECV: everything received; NULL: only counted */
    size_t data_cap;
    bool stop_next; /* io_stop() inside the next callback */
};

static inline void on_seen(struct io_op *op, int64_t res) {
    struct seen *s = (struct seen *)op;
    s->calls++;
    s->res = res;
    if (op->kind == IO_OP_RECV && res > 0 && s->data) {
        CHECK((size_t)(s->total + res) <= s->data_cap);
        memcpy(s->data + s->total, op->buf, (size_t)res);
    }
    if (res > 0) s->total += res;
    if (s->stop_next) {
        s->stop_next = false;
        io_stop(s->io, op);
    }
}

static inline struct seen seen_of(struct io *io, enum io_kind kind, int fd) {
    return (struct seen){.op = {.on_done = on_seen, .kind = kind, .fd = fd}, .io = io};
}

static inline void until_idle(struct seen *s) {
    while (s->op.busy) io_tick(s->io, FOREVER);
}
static inline void until_total(struct seen *s, int64_t total) {
    while (s->total < total) {
        CHECK(s->op.busy);
        io_tick(s->io, FOREVER);
    }
}
static inline void settle(struct io *io) {
    for (int i = 0; i < 5; i++) io_tick(io, 0);
}

static inline void pair(int fds[2]) {
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
}

static inline uint8_t *noise(size_t n, uint64_t seed) {
    struct rng r = {seed};
    uint8_t *p = malloc(n);
    CHECK(p != NULL);
    for (size_t i = 0; i < n; i++) p[i] = (uint8_t)rng_next(&r);
    return p;
}

static inline struct seen receiver(struct io *io, int fd, size_t cap) {
    struct seen s = seen_of(io, IO_OP_RECV, fd);
    s.data = malloc(cap);
    s.data_cap = cap;
    CHECK(s.data != NULL);
    return s;
}

static inline struct seen sender(struct io *io, int fd, const void *p, size_t n) {
    struct seen s = seen_of(io, IO_OP_SEND, fd);
    s.op.buf = (void *)(uintptr_t)p;
    s.op.len = n;
    return s;
}

/* --- files --- */

static char scratch[] __attribute__((unused)) = "/tmp/test_io.XXXXXX";

static inline int scratch_dir(struct io *io) {
    int fd;
    memset(scratch + sizeof scratch - 7, 'X', 6);
    CHECK(mkdtemp(scratch) != NULL);
    CHECK_EQ(io_file_open(io, AT_FDCWD, scratch, IO_O_DIR, &fd), ERR_OK);
    return fd;
}
/* The directory must be empty again. */
static inline void scratch_done(struct io *io, int dir) {
    io_file_close(io, dir);
    CHECK_EQ(rmdir(scratch), 0);
}

/* A file without a name any more. */
static inline int scratch_file(struct io *io, unsigned flags) {
    int dir = scratch_dir(io), fd;
    CHECK_EQ(io_file_open(io, dir, "f", IO_O_CREATE | IO_O_EXCL | flags, &fd), ERR_OK);
    CHECK_EQ(io_file_unlink(io, dir, "f"), ERR_OK);
    scratch_done(io, dir);
    return fd;
}

static inline struct seen file_op(struct io *io, enum io_kind kind, int fd, void *buf, size_t len,
                                  uint64_t off) {
    struct seen s = seen_of(io, kind, fd);
    s.op.buf = buf;
    s.op.len = len;
    s.op.off = off;
    return s;
}

#define EACH(f)                                                                                              \
    static void f##_ring(void) { f(IO_URING); }                                                              \
    static void f##_posix(void) { f(IO_POSIX); }
#define BOTH(f)                                                                                              \
    {#f " ring", f##_ring}, { #f " posix", f##_posix }
