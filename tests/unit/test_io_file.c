/* test_io_file.c - what io.h promises of files, on both real back ends. */
#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>

#include "unit/io_seen.h"

/* Stands before the C library's: counts, and fails when told to. */
static int syncs, sync_error;
int fdatasync(int fd) {
    __atomic_add_fetch(&syncs, 1, __ATOMIC_SEQ_CST);
    errno = __atomic_load_n(&sync_error, __ATOMIC_SEQ_CST);
    return errno ? -1 : (int)syscall(SYS_fdatasync, fd);
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

/* posix only: durable writes that wait together share one sync, others need none, and its failure is
 * everyone's. */
static void durable_means_synced(void) {
    struct io *io = open_loop(IO_POSIX);
    int fd = scratch_file(io, 0), other = scratch_file(io, 0);
    char text[8] = "text";
    struct seen w[10];
    for (int fails = 0; fails < 2; fails++) {
        __atomic_store_n(&sync_error, fails ? EIO : 0, __ATOMIC_SEQ_CST);
        syncs = 0;
        for (int i = 0; i < 10; i++) {
            w[i] = file_op(io, IO_OP_WRITE, i == 9 ? other : fd, text, sizeof text, (uint64_t)i * 8);
            w[i].op.flags = i < 3 ? 0 : IO_DSYNC;
            io_submit(io, &w[i].op);
        }
        for (int i = 0; i < 10; i++) until_idle(&w[i]);
        for (int i = 0; i < 10; i++) CHECK_EQ(w[i].res, fails && i >= 3 ? -ERR_IO : (int64_t)sizeof text);
        CHECK_EQ(syncs, 2); /* one a file */
        CHECK_EQ(io_file_write(io, fd, text, sizeof text, 0, false), ERR_OK);
        CHECK_EQ(syncs, 2);
        CHECK_EQ(io_file_write(io, fd, text, sizeof text, 0, true), fails ? ERR_IO : ERR_OK);
        CHECK_EQ(syncs, 3);
    }
    io_file_close(io, fd);
    io_file_close(io, other);
    io_close(io);
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
    CHECK_EQ(io_file_cut(io, fd, 8), ERR_OK);
    CHECK_EQ(io_file_read(io, fd, buf, sizeof buf, 4, &got), ERR_OK);
    CHECK_MEM(buf, got, "4567", 4);
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

EACH(direct_durable_writes)
EACH(reads_end_at_the_end)
EACH(sync_and_allocate)
EACH(a_short_write_fails)
EACH(stop_file_operations)
EACH(blocking_files)
EACH(directories)
EACH(knows_the_file_system)

CHECK_MAIN(CASE(durable_means_synced), BOTH(direct_durable_writes), BOTH(reads_end_at_the_end),
           BOTH(sync_and_allocate), BOTH(a_short_write_fails), BOTH(stop_file_operations),
           BOTH(blocking_files), BOTH(directories), BOTH(knows_the_file_system))
