/* test_io.c - every promise of io.h on both real back ends: each case runs once with the ring and once with
 * posix. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/rng.h"
#include "io/io.h"
#include "lib/check.h"

#define FOREVER UINT64_MAX
#define MS      1000000u

static struct io *open_loop(enum io_backend b) {
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
    uint8_t *data; /* RECV: everything received */
    size_t data_cap;
    bool stop_next; /* io_stop() inside the next callback */
};

static void on_seen(struct io_op *op, int64_t res) {
    struct seen *s = (struct seen *)op;
    s->calls++;
    s->res = res;
    if (op->kind == IO_OP_RECV && res > 0) {
        CHECK((size_t)(s->total + res) <= s->data_cap);
        memcpy(s->data + s->total, op->buf, (size_t)res);
    }
    if (res > 0) s->total += res;
    if (s->stop_next) {
        s->stop_next = false;
        io_stop(s->io, op);
    }
}

static struct seen seen_of(struct io *io, enum io_kind kind, int fd) {
    return (struct seen){.op = {.on_done = on_seen, .kind = kind, .fd = fd}, .io = io};
}

static void until_idle(struct seen *s) {
    while (s->op.busy) io_tick(s->io, FOREVER);
}
static void until_total(struct seen *s, int64_t total) {
    while (s->total < total) {
        CHECK(s->op.busy);
        io_tick(s->io, FOREVER);
    }
}
static void settle(struct io *io) {
    for (int i = 0; i < 5; i++) io_tick(io, 0);
}

static void pair(int fds[2]) {
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
}

static uint8_t *noise(size_t n, uint64_t seed) {
    struct rng r = {seed};
    uint8_t *p = malloc(n);
    CHECK(p != NULL);
    for (size_t i = 0; i < n; i++) p[i] = (uint8_t)rng_next(&r);
    return p;
}

static struct seen receiver(struct io *io, int fd, size_t cap) {
    struct seen s = seen_of(io, IO_OP_RECV, fd);
    s.data = malloc(cap);
    s.data_cap = cap;
    CHECK(s.data != NULL);
    return s;
}

static struct seen sender(struct io *io, int fd, const void *p, size_t n) {
    struct seen s = seen_of(io, IO_OP_SEND, fd);
    s.op.buf = (void *)(uintptr_t)p;
    s.op.len = n;
    return s;
}

/* --- sockets --- */

static void nothing_before_the_tick(enum io_backend b) {
    struct io *io = open_loop(b);
    int fd[2];
    char c;
    pair(fd);
    struct seen tx = sender(io, fd[0], "hello", 5);
    io_submit(io, &tx.op);
    CHECK(tx.op.busy);
    CHECK_EQ(tx.calls, 0);
    CHECK_EQ(read(fd[1], &c, 1), -1); /* not in the socket yet */
    until_idle(&tx);
    CHECK_EQ(tx.calls, 1);
    CHECK_EQ(tx.res, 5);
    CHECK_EQ(read(fd[1], &c, 1), 1);
    CHECK_EQ(c, 'h');
    io_close(io);
}

/* Random pieces in, the same bytes out, through one multishot receive. */
static void bytes_arrive_in_order(enum io_backend b) {
    enum { N = 3 << 20 };
    struct io *io = open_loop(b);
    struct rng r = {3};
    uint8_t *text = noise(N, 1);
    int fd[2];
    pair(fd);
    struct seen rx = receiver(io, fd[1], N);
    io_submit(io, &rx.op);
    for (size_t at = 0; at < N;) {
        size_t n = rng_below(&r, 4) ? 1 + rng_below(&r, 300) : 1 + rng_below(&r, 200000);
        if (n > N - at) n = N - at;
        struct seen tx = sender(io, fd[0], text + at, n);
        io_submit(io, &tx.op);
        until_idle(&tx);
        CHECK_EQ(tx.res, n);
        at += n;
    }
    until_total(&rx, N);
    CHECK(rx.op.busy);
    CHECK_MEM(rx.data, N, text, N);
    free(text);
    free(rx.data);
    io_close(io);
}

static void end_of_stream(enum io_backend b) {
    struct io *io = open_loop(b);
    for (int data = 0; data < 2; data++) {
        int fd[2];
        pair(fd);
        struct seen rx = receiver(io, fd[1], 100);
        io_submit(io, &rx.op);
        if (data) CHECK_EQ(write(fd[0], "last words", 10), 10);
        close(fd[0]);
        until_idle(&rx);
        CHECK_EQ(rx.res, 0);
        CHECK_EQ(rx.total, data ? 10 : 0);
        int calls = rx.calls;
        settle(io);
        CHECK_EQ(rx.calls, calls);
        close(fd[1]);
        free(rx.data);
    }
    io_close(io);
}

static void vectors_are_sent_whole(enum io_backend b) {
    enum { VECTORS = 2500, N = 3 << 20 };
    static struct iovec iov[VECTORS];
    struct io *io = open_loop(b);
    uint8_t *text = noise(N, 2);
    struct rng r = {9};
    int fd[2];
    pair(fd);
    size_t at = 0;
    for (int i = 0; i < VECTORS; i++) {
        size_t n = i % 7 == 0 ? 0 : rng_below(&r, 1900);
        if (i == VECTORS - 1) n = N - at;
        iov[i] = (struct iovec){text + at, n};
        at += n;
    }
    struct seen tx = seen_of(io, IO_OP_SEND, fd[0]), rx = receiver(io, fd[1], N);
    tx.op.iov = iov;
    tx.op.iov_count = VECTORS;
    io_submit(io, &tx.op);
    settle(io); /* the socket is full long before the end */
    CHECK(tx.op.busy);
    io_submit(io, &rx.op);
    until_total(&rx, N);
    until_idle(&tx);
    CHECK_EQ(tx.res, N);
    CHECK_EQ(tx.calls, 1);
    CHECK_MEM(rx.data, N, text, N);
    free(text);
    free(rx.data);
    io_close(io);
}

static void empty_send(enum io_backend b) {
    struct io *io = open_loop(b);
    struct iovec none[2] = {{NULL, 0}, {NULL, 0}};
    int fd[2];
    pair(fd);
    struct seen tx = sender(io, fd[0], NULL, 0);
    io_submit(io, &tx.op);
    until_idle(&tx);
    CHECK_EQ(tx.res, 0);
    tx.op.iov = none;
    tx.op.iov_count = 2;
    io_submit(io, &tx.op);
    until_idle(&tx);
    CHECK_EQ(tx.res, 0);
    io_close(io);
}

static void send_fails_when_the_peer_goes(enum io_backend b) {
    enum { N = 8 << 20 };
    struct io *io = open_loop(b);
    uint8_t *text = noise(N, 2);
    int fd[2];
    pair(fd);
    struct seen tx = sender(io, fd[0], text, N);
    io_submit(io, &tx.op);
    settle(io);
    CHECK(tx.op.busy); /* nobody reads */
    close(fd[1]);
    until_idle(&tx);
    CHECK_EQ(tx.res, -ERR_CLOSED);
    CHECK_EQ(tx.calls, 1);
    free(text);
    io_close(io);
}

static void stop_an_idle_receive(enum io_backend b) {
    struct io *io = open_loop(b);
    int fd[2];
    pair(fd);
    struct seen rx = receiver(io, fd[1], 100);
    for (int submitted = 0; submitted < 2; submitted++) { /* stopped before and after it reached the kernel */
        io_submit(io, &rx.op);
        if (submitted) settle(io);
        rx.calls = 0;
        io_stop(io, &rx.op);
        io_stop(io, &rx.op);
        CHECK_EQ(rx.calls, 0);
        until_idle(&rx);
        CHECK_EQ(rx.res, -ERR_CANCELLED);
        settle(io);
        CHECK_EQ(rx.calls, 1);
    }
    io_stop(io, &rx.op); /* idle: nothing to stop */
    io_submit(io, &rx.op);
    CHECK_EQ(write(fd[0], "again", 5), 5);
    until_total(&rx, 5);
    CHECK_MEM(rx.data, 5, "again", 5);
    io_close(io);
    free(rx.data);
}

static void stop_a_blocked_send(enum io_backend b) {
    enum { N = 8 << 20 };
    struct io *io = open_loop(b);
    uint8_t *text = noise(N, 2);
    int fd[2];
    pair(fd);
    struct seen tx = sender(io, fd[0], text, N);
    io_submit(io, &tx.op);
    settle(io);
    CHECK(tx.op.busy);
    io_stop(io, &tx.op);
    until_idle(&tx);
    CHECK_EQ(tx.res, -ERR_CANCELLED);
    CHECK_EQ(tx.calls, 1);
    free(text);
    io_close(io);
}

/* Stopping and going on again and again, with bytes under way all the time, loses none of them. After
 * io_stop() there is exactly one more callback. */
static void stop_loses_no_bytes(enum io_backend b) {
    enum { N = 6 << 20 };
    struct io *io = open_loop(b);
    struct rng r = {5};
    uint8_t *text = noise(N, 1);
    int fd[2], rounds = 0;
    pair(fd);
    struct seen rx = receiver(io, fd[1], N), tx = sender(io, fd[0], text, N);
    io_submit(io, &tx.op);
    while (rx.total < N) {
        io_submit(io, &rx.op);
        rx.stop_next = rng_below(&r, 2);
        for (size_t i = 1 + rng_below(&r, 3); i > 0 && rx.op.busy && rx.total < N; i--) io_tick(io, 0);
        if (!rx.op.busy) continue;
        bool inside = rx.op.stopped;
        int calls = rx.calls;
        io_stop(io, &rx.op);
        until_idle(&rx);
        CHECK(rx.calls == calls + 1 || inside);
        CHECK(rx.res > 0 || rx.res == -ERR_CANCELLED);
        rounds++;
    }
    CHECK(rounds > 3);
    until_idle(&tx);
    CHECK_MEM(rx.data, N, text, N);
    free(text);
    free(rx.data);
    io_close(io);
}

/* More writers than buffers, all at once: everyone is served, and a socket that never runs dry does not keep
 * the others out: when the small ones are through, most of the big one's bytes are still to come. */
static void a_firehose_starves_nobody(enum io_backend b) {
    enum { SMALL = 60, N = 24 << 20 };
    struct io *io = open_loop(b);
    uint8_t *text = noise(N, 1);
    int big[2], fd[SMALL][2];
    static struct seen rx[SMALL];
    pair(big);
    struct seen tx = sender(io, big[0], text, N), hose = receiver(io, big[1], N);
    io_submit(io, &tx.op);
    io_submit(io, &hose.op);
    for (int i = 0; i < 4; i++) io_tick(io, FOREVER);
    for (int i = 0; i < SMALL; i++) {
        pair(fd[i]);
        rx[i] = receiver(io, fd[i][1], 100);
        io_submit(io, &rx[i].op);
        CHECK_EQ(write(fd[i][0], "me too", 6), 6);
    }
    for (int i = 0; i < SMALL; i++) until_total(&rx[i], 6);
    CHECK(hose.total < N / 2);
    until_total(&hose, N);
    CHECK_MEM(hose.data, N, text, N);
    io_close(io);
    for (int i = 0; i < SMALL; i++) free(rx[i].data);
    free(hose.data);
    free(text);
}

/* --- accepting --- */

static int dial(int port) {
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    CHECK_EQ(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static int listener(struct io *io, int *port) {
    int fd;
    *port = -1;
    CHECK_EQ(io_listen(io, "127.0.0.1", port, &fd), ERR_OK);
    CHECK(*port > 0);
    return fd;
}

static void accepts_until_stopped(enum io_backend b) {
    struct io *io = open_loop(b);
    int port, client[20];
    struct seen acc = seen_of(io, IO_OP_ACCEPT, listener(io, &port));
    io_submit(io, &acc.op);
    for (int i = 0; i < 20; i++) client[i] = dial(port);
    while (acc.calls < 20) io_tick(io, FOREVER);
    CHECK(acc.op.busy);
    CHECK(acc.res > 0);
    CHECK(fcntl((int)acc.res, F_GETFL) & O_NONBLOCK);
    CHECK(fcntl((int)acc.res, F_GETFD) & FD_CLOEXEC);
    char host[46];
    uint16_t peer_port;
    io_peer((int)acc.res, host, &peer_port);
    CHECK_STR(host, "127.0.0.1");
    CHECK(peer_port > 0);
    struct seen rx = receiver(io, (int)acc.res, 100);
    io_submit(io, &rx.op);
    for (int i = 0; i < 20; i++) CHECK_EQ(write(client[i], "hi", 2), 2);
    until_total(&rx, 2);
    io_stop(io, &acc.op);
    until_idle(&acc);
    CHECK_EQ(acc.res, -ERR_CANCELLED);
    dial(port);
    settle(io);
    CHECK_EQ(acc.calls, 21);
    io_close(io);
    free(rx.data);
}

static void accept_recovers_from_no_files(enum io_backend b) {
    struct io *io = open_loop(b);
    int port, fd = listener(io, &port), client = dial(port), hog[64], hogs = 0;
    struct seen acc = seen_of(io, IO_OP_ACCEPT, fd);
    struct rlimit limit;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = 40;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    while (hogs < 64 && (hog[hogs] = dup(0)) >= 0) hogs++;
    io_submit(io, &acc.op);
    while (acc.calls < 2) io_tick(io, FOREVER); /* says so each time it tries */
    CHECK_EQ(acc.res, -ERR_NOFILES);
    CHECK(acc.op.busy);
    while (hogs > 0) close(hog[--hogs]);
    while (acc.res < 0) io_tick(io, FOREVER);
    CHECK(acc.op.busy);
    CHECK_EQ(write(client, "x", 1), 1);
    io_stop(io, &acc.op);
    until_idle(&acc);
    io_close(io);
}

static void stop_an_accept_that_backs_off(enum io_backend b) {
    struct io *io = open_loop(b);
    int port, fd = listener(io, &port);
    dial(port);
    struct seen acc = seen_of(io, IO_OP_ACCEPT, fd);
    struct rlimit limit;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = 20;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    while (dup(0) >= 0) {
    }
    io_submit(io, &acc.op);
    while (!acc.calls) io_tick(io, FOREVER);
    CHECK_EQ(acc.res, -ERR_NOFILES);
    io_stop(io, &acc.op);
    until_idle(&acc);
    CHECK_EQ(acc.res, -ERR_CANCELLED);
    CHECK(io_timer_next(io) == FOREVER);
    io_close(io);
}

static void listening_says_what_is_wrong(enum io_backend b) {
    struct io *io = open_loop(b);
    int port, again, fd = listener(io, &port), other;
    again = port;
    CHECK_EQ(io_listen(io, "127.0.0.1", &again, &other), ERR_ADDRINUSE);
    CHECK_EQ(other, -1);
    CHECK_EQ(io_listen(io, "no.such.host.invalid", &again, &other), ERR_NOENT);
    again = 70000;
    CHECK_EQ(io_listen(io, "127.0.0.1", &again, &other), ERR_INVAL);
    again = 0;
    CHECK_EQ(io_listen(io, "", &again, &other), ERR_OK);
    CHECK(again > 0);
    int client = dial(again); /* any address includes the loopback of IPv4 */
    struct seen acc = seen_of(io, IO_OP_ACCEPT, other);
    io_submit(io, &acc.op);
    while (!acc.calls) io_tick(io, FOREVER);
    char host[46];
    uint16_t peer_port;
    io_peer((int)acc.res, host, &peer_port);
    CHECK_STR(host, "127.0.0.1"); /* not ::ffff:127.0.0.1 */
    close(client);
    close(fd);
    io_close(io);
}

static void wrong_descriptors_fail(enum io_backend b) {
    struct io *io = open_loop(b);
    int fd[2];
    pair(fd);
    close(fd[0]);
    close(fd[1]);
    static const enum io_kind kinds[] = {IO_OP_ACCEPT, IO_OP_RECV,  IO_OP_SEND, IO_OP_READ,
                                         IO_OP_WRITE,  IO_OP_FSYNC, IO_OP_CLOSE};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char buf[8] = "";
        struct seen s = seen_of(io, kinds[i], fd[0]);
        s.op.buf = buf;
        s.op.len = sizeof buf;
        io_submit(io, &s.op);
        CHECK_EQ(s.calls, 0);
        until_idle(&s);
        CHECK(s.res < 0);
        CHECK_EQ(s.calls, 1);
    }
    io_close(io);
}

/* --- files --- */

static char scratch[] = "/tmp/test_io.XXXXXX";

static int scratch_dir(struct io *io) {
    int fd;
    memset(scratch + sizeof scratch - 7, 'X', 6);
    CHECK(mkdtemp(scratch) != NULL);
    CHECK_EQ(io_file_open(io, AT_FDCWD, scratch, IO_O_DIR, &fd), ERR_OK);
    return fd;
}
/* The directory must be empty again. */
static void scratch_done(struct io *io, int dir) {
    io_file_close(io, dir);
    CHECK_EQ(rmdir(scratch), 0);
}

/* A file without a name any more. */
static int scratch_file(struct io *io, unsigned flags) {
    int dir = scratch_dir(io), fd;
    CHECK_EQ(io_file_open(io, dir, "f", IO_O_CREATE | IO_O_EXCL | flags, &fd), ERR_OK);
    CHECK_EQ(io_file_unlink(io, dir, "f"), ERR_OK);
    scratch_done(io, dir);
    return fd;
}

static struct seen file_op(struct io *io, enum io_kind kind, int fd, void *buf, size_t len, uint64_t off) {
    struct seen s = seen_of(io, kind, fd);
    s.op.buf = buf;
    s.op.len = len;
    s.op.off = off;
    return s;
}

static int64_t run(struct seen s) {
    io_submit(s.io, &s.op);
    CHECK(s.op.busy && !s.calls);
    until_idle(&s);
    CHECK_EQ(s.calls, 1);
    return s.res;
}

enum { BLOCK = 4096, BLOCKS = 64 };

/* Durable writes through O_DIRECT, from memory that is registered and from memory that is not, several in
 * flight. */
static void direct_durable_writes(enum io_backend b) {
    struct io *io = open_loop(b);
    int fd = scratch_file(io, IO_O_DIRECT);
    struct seen w[BLOCKS];
    uint8_t *mem = aligned_alloc(BLOCK, BLOCK * BLOCKS), *back = aligned_alloc(BLOCK, BLOCK * BLOCKS);
    CHECK(mem && back);
    for (int registered = 0; registered < 2; registered++) {
        struct rng r = {(uint64_t)registered};
        for (size_t i = 0; i < BLOCK * BLOCKS; i += 8) store64(mem + i, rng_next(&r));
        if (registered) {
            io_register(io, mem, BLOCK * BLOCKS);
            io_register(io, back, BLOCK * BLOCKS);
        }
        for (int i = 0; i < BLOCKS; i++) {
            w[i] = file_op(io, IO_OP_WRITE, fd, mem + i * BLOCK, BLOCK, (uint64_t)i * BLOCK);
            w[i].op.flags = i % 3 ? IO_DSYNC : 0;
            io_submit(io, &w[i].op);
        }
        for (int i = 0; i < BLOCKS; i++) until_idle(&w[i]);
        for (int i = 0; i < BLOCKS; i++) CHECK_EQ(w[i].res, BLOCK);
        memset(back, 0, BLOCK * BLOCKS);
        CHECK_EQ(run(file_op(io, IO_OP_READ, fd, back, BLOCK * BLOCKS, 0)), BLOCK * BLOCKS);
        CHECK_MEM(back, BLOCK * BLOCKS, mem, BLOCK * BLOCKS);
        memset(back, 0, BLOCK);
        CHECK_EQ(run(file_op(io, IO_OP_READ, fd, back, BLOCK, 5 * BLOCK)), BLOCK);
        CHECK_MEM(back, BLOCK, mem + 5 * BLOCK, BLOCK);
    }
    CHECK_EQ(run(file_op(io, IO_OP_WRITE, fd, mem + 1, BLOCK, 0)), -ERR_INVAL); /* not aligned */
    CHECK_EQ(run(file_op(io, IO_OP_CLOSE, fd, NULL, 0, 0)), 0);
    CHECK_EQ(fcntl(fd, F_GETFD), -1);
    io_close(io);
    free(mem);
    free(back);
}

static void reads_end_at_the_end(enum io_backend b) {
    struct io *io = open_loop(b);
    char buf[300];
    for (int direct = 0; direct < 2; direct++) {
        int fd = scratch_file(io, direct ? IO_O_DIRECT : 0);
        uint8_t *mem = aligned_alloc(BLOCK, 4 * BLOCK);
        CHECK_EQ(ftruncate(fd, 2 * BLOCK + 100), 0);
        CHECK_EQ(run(file_op(io, IO_OP_READ, fd, mem, 4 * BLOCK, 0)), 2 * BLOCK + 100);
        CHECK_EQ(run(file_op(io, IO_OP_READ, fd, mem, 4 * BLOCK, BLOCK)), BLOCK + 100);
        CHECK_EQ(run(file_op(io, IO_OP_READ, fd, mem, BLOCK, 4 * BLOCK)), 0);
        if (!direct) CHECK_EQ(run(file_op(io, IO_OP_READ, fd, buf, sizeof buf, 2 * BLOCK)), 100);
        io_file_close(io, fd);
        free(mem);
    }
    io_close(io);
}

static void sync_and_allocate(enum io_backend b) {
    struct io *io = open_loop(b);
    int fd = scratch_file(io, 0);
    struct stat st;
    CHECK_EQ(run(file_op(io, IO_OP_FALLOCATE, fd, NULL, 1 << 20, BLOCK)), 0);
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_size, (1 << 20) + BLOCK);
    CHECK(st.st_blocks * 512 >= 1 << 20);
    CHECK_EQ(run(file_op(io, IO_OP_FSYNC, fd, NULL, 0, 0)), 0);
    CHECK_EQ(run(file_op(io, IO_OP_WRITE, fd, (char[]){"abc"}, 3, 7)), 3);
    char back[3];
    CHECK_EQ(run(file_op(io, IO_OP_READ, fd, back, 3, 7)), 3);
    CHECK_MEM(back, 3, "abc", 3);
    io_file_close(io, fd);
    io_close(io);
}

/* A limit of the file's size stands for a full disk: the part that fits is no success. */
static void a_short_write_fails(enum io_backend b) {
    struct io *io = open_loop(b);
    int fd = scratch_file(io, 0);
    struct rlimit limit = {3 * BLOCK, 3 * BLOCK};
    uint8_t *mem = noise(4 * BLOCK, 1);
    signal(SIGXFSZ, SIG_IGN);
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
    CHECK_EQ(run(file_op(io, IO_OP_WRITE, fd, mem, 2 * BLOCK, 0)), 2 * BLOCK);
    CHECK_EQ(run(file_op(io, IO_OP_WRITE, fd, mem, 4 * BLOCK, 0)), -ERR_NOSPC);
    struct seen w = file_op(io, IO_OP_WRITE, fd, mem, 2 * BLOCK, 2 * BLOCK);
    w.op.flags = IO_DSYNC;
    CHECK_EQ(run(w), -ERR_NOSPC);
    CHECK_EQ(io_file_write(io, fd, mem, 4 * BLOCK, 0, true), ERR_NOSPC);
    free(mem);
    io_file_close(io, fd);
    io_close(io);
}

static void stop_file_operations(enum io_backend b) {
    struct io *io = open_loop(b);
    int fd = scratch_file(io, 0);
    char buf[100];
    for (int started = 0; started < 2; started++) {
        struct seen s = file_op(io, IO_OP_WRITE, fd, buf, sizeof buf, 0);
        memset(buf, 0, sizeof buf);
        io_submit(io, &s.op);
        if (started) io_tick(io, 0);
        io_stop(io, &s.op);
        until_idle(&s);
        CHECK_EQ(s.calls, 1);
        CHECK(s.res == -ERR_CANCELLED || s.res == sizeof buf);
        if (!started) CHECK_EQ(s.res, -ERR_CANCELLED);
    }
    io_file_close(io, fd);
    io_close(io);
}

static void blocking_files(enum io_backend b) {
    struct io *io = open_loop(b);
    int dir = scratch_dir(io), fd, again;
    char buf[16] = "";
    size_t got;
    uint64_t size;
    CHECK_EQ(io_file_open(io, dir, "none", 0, &fd), ERR_NOENT);
    CHECK_EQ(io_file_open(io, dir, "a", IO_O_CREATE | IO_O_EXCL, &fd), ERR_OK);
    CHECK_EQ(io_file_open(io, dir, "a", IO_O_CREATE | IO_O_EXCL, &again), ERR_EXISTS);
    CHECK_EQ(io_file_write(io, fd, "0123456789", 10, 0, true), ERR_OK);
    CHECK_EQ(io_file_read(io, fd, buf, sizeof buf, 4, &got), ERR_OK);
    CHECK_MEM(buf, got, "456789", 6);
    CHECK_EQ(io_file_read(io, fd, buf, sizeof buf, 50, &got), ERR_OK);
    CHECK_EQ(got, 0);
    CHECK_EQ(io_file_size(io, fd, &size), ERR_OK);
    CHECK_EQ(size, 10);
    CHECK_EQ(io_file_allocate(io, fd, 0, 100000), ERR_OK);
    CHECK_EQ(io_file_size(io, fd, &size), ERR_OK);
    CHECK_EQ(size, 100000);
    CHECK_EQ(io_file_sync(io, fd), ERR_OK);
    CHECK_EQ(io_file_rename(io, dir, "a", "b"), ERR_OK);
    CHECK_EQ(io_file_rename(io, dir, "a", "b"), ERR_NOENT);
    CHECK_EQ(io_file_sync(io, dir), ERR_OK);
    CHECK_EQ(io_file_open(io, dir, "b", IO_O_RDONLY, &again), ERR_OK);
    CHECK(io_file_write(io, again, "x", 1, 0, false) != ERR_OK);
    CHECK_EQ(io_file_lock(io, fd), ERR_OK);
    CHECK_EQ(io_file_lock(io, again), ERR_LOCKED);
    io_file_close(io, fd);
    CHECK_EQ(io_file_lock(io, again), ERR_OK);
    io_file_close(io, again);
    CHECK_EQ(io_file_unlink(io, dir, "b"), ERR_OK);
    CHECK_EQ(io_file_unlink(io, dir, "b"), ERR_NOENT);
    scratch_done(io, dir);
    io_close(io);
}

static int by_name(const void *a, const void *b) { return strcmp(a, b); }

static void directories(enum io_backend b) {
    struct io *io = open_loop(b);
    int dir = scratch_dir(io), fd;
    char name[80];
    struct io_dirent_list l;
    CHECK_EQ(io_dir_list(io, dir, &l), ERR_OK);
    CHECK_EQ(l.count, 0);
    free(l.names);
    CHECK_EQ(io_dir_make(io, dir, "sub"), ERR_OK);
    CHECK_EQ(io_dir_make(io, dir, "sub"), ERR_EXISTS);
    memset(name, 'n', sizeof name);
    name[64] = 0; /* one too long */
    CHECK_EQ(io_file_open(io, dir, name, IO_O_CREATE, &fd), ERR_OK);
    io_file_close(io, fd);
    CHECK_EQ(io_file_open(io, dir, name + 1, IO_O_CREATE, &fd), ERR_OK);
    io_file_close(io, fd);
    for (int twice = 0; twice < 2; twice++) { /* a second listing starts from the front */
        CHECK_EQ(io_dir_list(io, dir, &l), ERR_OK);
        CHECK_EQ(l.count, 3);
        qsort(l.names, l.count, sizeof *l.names, by_name);
        CHECK_STR(l.names[0], "?");
        CHECK_STR(l.names[1], name + 1);
        CHECK_STR(l.names[2], "sub");
        free(l.names);
    }
    CHECK_EQ(io_file_unlink(io, dir, name), ERR_OK);
    CHECK_EQ(io_file_unlink(io, dir, name + 1), ERR_OK);
    CHECK_EQ(unlinkat(dir, "sub", AT_REMOVEDIR), 0);
    scratch_done(io, dir);
    io_close(io);
}

static void knows_the_file_system(enum io_backend b) {
    struct io *io = open_loop(b);
    struct io_fs fs, again;
    int dir = scratch_dir(io), fd;
    CHECK_EQ(io_fs_of(io, dir, &fs), ERR_OK);
    CHECK(fs.type[0] != 0);
    CHECK(fs.free_bytes > 0);
    CHECK(fs.block >= 4096);
    CHECK_EQ(io_file_open(io, dir, "f", IO_O_CREATE, &fd), ERR_OK);
    CHECK_EQ(io_fs_of(io, fd, &again), ERR_OK);
    CHECK_STR(again.type, fs.type);
    CHECK_EQ(again.direct, fs.direct);
    CHECK_EQ(again.block, fs.block);
    int direct;
    CHECK_EQ(io_file_open(io, dir, "f", IO_O_DIRECT, &direct), fs.direct ? ERR_OK : ERR_UNSUPPORTED);
    CHECK_EQ(io_file_unlink(io, dir, "f"), ERR_OK);
    scratch_done(io, dir);
    CHECK_EQ(io_file_open(io, AT_FDCWD, "/proc/self/status", IO_O_RDONLY, &fd), ERR_OK);
    CHECK_EQ(io_fs_of(io, fd, &fs), ERR_OK);
    CHECK_STR(fs.type, "0x9fa0"); /* procfs is no place for a store: shown as its number */
    CHECK(!fs.direct);
    io_close(io);
}

/* --- waiting, waking, timers --- */

struct fired {
    struct io_timer t;
    int count;
    uint64_t at;
    struct io *io;
};
static void on_fired(struct io_timer *t) {
    struct fired *f = (struct fired *)t;
    f->count++;
    f->at = io_now(f->io);
}

static void timers_end_the_wait(enum io_backend b) {
    struct io *io = open_loop(b);
    struct fired f = {.t.on_fire = on_fired, .io = io};
    uint64_t deadline = io_now(io) + 20 * MS;
    int ticks = 0;
    io_timer_set(io, &f.t, deadline);
    CHECK_EQ(io_tick(io, 0), 0);
    for (; !f.count; ticks++) io_tick(io, FOREVER);
    CHECK(f.at >= deadline);
    CHECK(ticks < 10); /* it slept */
    CHECK(io_timer_next(io) == FOREVER);
    uint64_t until = io_now(io) + 10 * MS;
    for (ticks = 0; io_now(io) < until; ticks++) CHECK_EQ(io_tick(io, until), 0);
    CHECK(ticks < 10);
    io_close(io);
}

static void clocks_go_forward(enum io_backend b) {
    struct io *io = open_loop(b);
    uint64_t mono = io_now(io);
    int64_t wall = io_wall(io);
    CHECK(wall > (int64_t)1700000000 * 1000000000);
    io_clock_refresh(io);
    CHECK(io_now(io) >= mono);
    CHECK(io_wall(io) >= wall);
    io_close(io);
}

struct waker {
    struct io *target;
    int times;
};
static void *wake_main(void *arg) {
    struct waker *w = arg;
    for (int i = 0; i < w->times; i++) {
        usleep(2000);
        io_wake(w->target, NULL);
    }
    return NULL;
}

static void woken_by_a_thread(enum io_backend b) {
    struct io *io = open_loop(b);
    struct waker w = {io, 3};
    pthread_t t;
    CHECK_EQ(pthread_create(&t, NULL, wake_main, &w), 0);
    CHECK_EQ(io_tick(io, FOREVER), 0); /* returns although nothing completes */
    CHECK_EQ(pthread_join(t, NULL), 0);
    settle(io);
    io_wake(io, NULL); /* before the wait */
    io_tick(io, FOREVER);
    io_wake(io, io); /* by itself */
    io_tick(io, FOREVER);
    io_close(io);
}

/* Two loops hand a turn back and forth, each waking the other from its own thread; a lost wake would hang the
 * test. */
struct player {
    enum io_backend backend;
    struct io *io;
    struct player *peer;
    pthread_barrier_t *open;
    int *turn, me, rounds;
};
static void *play(void *arg) {
    struct player *p = arg;
    p->io = open_loop(p->backend);
    pthread_barrier_wait(p->open);
    while (p->rounds > 0) {
        io_tick(p->io, FOREVER);
        if (__atomic_load_n(p->turn, __ATOMIC_ACQUIRE) != p->me) continue;
        p->rounds--;
        __atomic_store_n(p->turn, !p->me, __ATOMIC_RELEASE);
        io_wake(p->peer->io, p->io);
        io_wake(p->peer->io, p->io);
    }
    io_tick(p->io, 0); /* sends the last wake */
    pthread_barrier_wait(p->open);
    io_close(p->io);
    return NULL;
}
static void ping_pong(enum io_backend a, enum io_backend b) {
    int turn = 0;
    pthread_barrier_t open;
    pthread_t thread;
    CHECK_EQ(pthread_barrier_init(&open, NULL, 2), 0);
    struct player p[2] = {{a, NULL, &p[1], &open, &turn, 0, 500}, {b, NULL, &p[0], &open, &turn, 1, 500}};
    CHECK_EQ(pthread_create(&thread, NULL, play, &p[1]), 0);
    p[0].io = open_loop(a);
    pthread_barrier_wait(&open);
    io_wake(p[0].io, p[0].io); /* the first turn is this loop's */
    struct player *me = &p[0];
    while (me->rounds > 0) {
        io_tick(me->io, FOREVER);
        if (__atomic_load_n(me->turn, __ATOMIC_ACQUIRE) != me->me) continue;
        me->rounds--;
        __atomic_store_n(me->turn, !me->me, __ATOMIC_RELEASE);
        io_wake(me->peer->io, me->io);
        io_wake(me->peer->io, me->io);
    }
    io_tick(me->io, 0);
    pthread_barrier_wait(&open);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    io_close(me->io);
}
static void two_loops(enum io_backend b) { ping_pong(b, b); }
static void two_kinds_of_loop(enum io_backend b) { ping_pong(b, IO_POSIX); }

/* --- bounds --- */

/* A loop sized for eight takes a thousand: what does not fit waits inside. */
static void more_than_it_is_sized_for(enum io_backend b) {
    enum { PAIRS = 300 };
    static struct seen rx[PAIRS], tx[PAIRS];
    struct io *io;
    struct io_config cfg = {.backend = b, .ops_max = 8, .recv_buf_size = 4096, .recv_buf_count = 2};
    const char *why;
    CHECK_EQ(io_open(&io, &cfg, &why), ERR_OK);
    for (int i = 0; i < PAIRS; i++) {
        int fd[2];
        pair(fd);
        rx[i] = receiver(io, fd[1], 40000);
        tx[i] = sender(io, fd[0], noise(40000, (uint64_t)i), 40000);
        io_submit(io, &rx[i].op);
        io_submit(io, &tx[i].op);
    }
    for (int i = 0; i < PAIRS; i++) {
        until_total(&rx[i], 40000);
        until_idle(&tx[i]);
        CHECK_EQ(tx[i].res, 40000);
        CHECK_MEM(rx[i].data, 40000, tx[i].op.buf, 40000);
    }
    for (int i = 0; i < PAIRS; i++) io_stop(io, &rx[i].op);
    for (int i = 0; i < PAIRS; i++) until_idle(&rx[i]);
    for (int i = 0; i < PAIRS; i++) CHECK_EQ(rx[i].res, -ERR_CANCELLED);
    io_close(io);
}

/* Closing a loop in the middle of everything touches nothing afterwards (the sanitizer would see). */
static void close_in_flight(enum io_backend b) {
    struct io *io = open_loop(b);
    uint8_t *text = noise(8 << 20, 1);
    int fd[2], file = scratch_file(io, 0), port;
    pair(fd);
    struct seen rx = receiver(io, fd[0], 8), tx = sender(io, fd[0], text, 8 << 20);
    struct seen acc = seen_of(io, IO_OP_ACCEPT, listener(io, &port));
    struct seen w = file_op(io, IO_OP_WRITE, file, text, 1 << 20, 0), queued = w;
    io_submit(io, &rx.op);
    io_submit(io, &tx.op);
    io_submit(io, &acc.op);
    io_submit(io, &w.op);
    io_tick(io, 0);
    io_submit(io, &queued.op);
    io_stop(io, &tx.op);
    io_close(io);
    free(text);
    free(rx.data);
}

#define EACH(f)                                                                                              \
    static void f##_ring(void) { f(IO_URING); }                                                              \
    static void f##_posix(void) { f(IO_POSIX); }
#define BOTH(f)                                                                                              \
    {#f " ring", f##_ring}, { #f " posix", f##_posix }

EACH(nothing_before_the_tick)
EACH(bytes_arrive_in_order)
EACH(end_of_stream)
EACH(vectors_are_sent_whole)
EACH(empty_send)
EACH(send_fails_when_the_peer_goes)
EACH(stop_an_idle_receive)
EACH(stop_a_blocked_send)
EACH(stop_loses_no_bytes)
EACH(a_firehose_starves_nobody)
EACH(accepts_until_stopped)
EACH(accept_recovers_from_no_files)
EACH(stop_an_accept_that_backs_off)
EACH(listening_says_what_is_wrong)
EACH(wrong_descriptors_fail)
EACH(direct_durable_writes)
EACH(reads_end_at_the_end)
EACH(sync_and_allocate)
EACH(a_short_write_fails)
EACH(stop_file_operations)
EACH(blocking_files)
EACH(directories)
EACH(knows_the_file_system)
EACH(timers_end_the_wait)
EACH(clocks_go_forward)
EACH(woken_by_a_thread)
EACH(two_loops)
EACH(two_kinds_of_loop)
EACH(more_than_it_is_sized_for)
EACH(close_in_flight)

CHECK_MAIN(BOTH(nothing_before_the_tick), BOTH(bytes_arrive_in_order), BOTH(end_of_stream),
           BOTH(vectors_are_sent_whole), BOTH(empty_send), BOTH(send_fails_when_the_peer_goes),
           BOTH(stop_an_idle_receive), BOTH(stop_a_blocked_send), BOTH(stop_loses_no_bytes),
           BOTH(a_firehose_starves_nobody), BOTH(accepts_until_stopped), BOTH(accept_recovers_from_no_files),
           BOTH(stop_an_accept_that_backs_off), BOTH(listening_says_what_is_wrong),
           BOTH(wrong_descriptors_fail), BOTH(direct_durable_writes), BOTH(reads_end_at_the_end),
           BOTH(sync_and_allocate), BOTH(a_short_write_fails), BOTH(stop_file_operations),
           BOTH(blocking_files), BOTH(directories), BOTH(knows_the_file_system), BOTH(timers_end_the_wait),
           BOTH(clocks_go_forward), BOTH(woken_by_a_thread), BOTH(two_loops), BOTH(two_kinds_of_loop),
           BOTH(more_than_it_is_sized_for), BOTH(close_in_flight))
