/* test_io_fallback.c - older kernels and forbidden rings: without each newer feature the ring still keeps its
 * promises, and where there is none, IO_AUTO takes posix and says why. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "io/uring.h"
#include "unit/io_seen.h"

/* Many small writers and a large one, with stops in between: all that receive buffers are involved in. */
static void traffic(struct io *io) {
    enum { PAIRS = 70, N = 2 << 20 };
    static struct seen rx[PAIRS], tx[PAIRS];
    for (int i = 0; i < PAIRS; i++) {
        int fd[2];
        size_t n = i ? 5000 : N;
        pair(fd);
        rx[i] = receiver(io, fd[1], n);
        tx[i] = sender(io, fd[0], noise(n, (uint64_t)i), n);
        io_submit(io, &rx[i].op);
        io_submit(io, &tx[i].op);
    }
    for (int i = 0; i < PAIRS; i++) {
        while (rx[i].total < (int64_t)tx[i].op.len) {
            io_tick(io, FOREVER);
            if (i) continue;
            io_stop(io, &rx[i].op);
            until_idle(&rx[i]);
            io_submit(io, &rx[i].op);
        }
        until_idle(&tx[i]);
        CHECK_EQ(tx[i].res, tx[i].op.len);
        CHECK_MEM(rx[i].data, tx[i].op.len, tx[i].op.buf, tx[i].op.len);
    }
}

static void disk(struct io *io) {
    static _Alignas(4096) uint8_t mem[16384], back[16384];
    int fd = scratch_file(io, IO_O_DIRECT);
    memset(mem, 0x5a, sizeof mem);
    io_register(io, mem, sizeof mem);
    struct seen w = file_op(io, IO_OP_WRITE, fd, mem, sizeof mem, 0);
    w.op.flags = IO_DSYNC;
    io_submit(io, &w.op);
    until_idle(&w);
    CHECK_EQ(w.res, sizeof mem);
    struct seen r = file_op(io, IO_OP_READ, fd, back, sizeof back, 0);
    io_submit(io, &r.op);
    until_idle(&r);
    CHECK_EQ(r.res, sizeof back);
    CHECK_MEM(back, sizeof back, mem, sizeof mem);
    io_file_close(io, fd);
}

static struct io *small_loop(void) {
    struct io *io;
    const char *why;
    struct io_config cfg = {.backend = IO_URING, .recv_buf_size = 4096, .recv_buf_count = 4};
    CHECK_EQ(io_open(&io, &cfg, &why), ERR_OK);
    return io;
}

/* More ends of streams than there are buffers: none may cost one. */
static void ends(struct io *io) {
    for (int i = 0; i < 20; i++) {
        int fd[2];
        pair(fd);
        struct seen rx = receiver(io, fd[1], 10);
        io_submit(io, &rx.op);
        io_tick(io, 0);
        CHECK_EQ(write(fd[0], "bye", (size_t)i % 4), i % 4);
        close(fd[0]);
        until_idle(&rx);
        CHECK_EQ(rx.res, 0);
        CHECK_EQ(rx.total, i % 4);
        close(fd[1]);
        free(rx.data);
    }
}

static void ring_without(unsigned refused) {
    uring_refuse = refused;
    struct io *io = small_loop(), *other = open_loop(IO_URING);
    ends(io);
    traffic(io);
    disk(io);
    io_wake(other, io);
    io_tick(io, 0);
    CHECK_EQ(io_tick(other, FOREVER), 0);
    io_close(other);
    io_close(io);
}
static void ring_with_everything(void) { ring_without(0); }
static void ring_without_deferred_task_runs(void) { ring_without(REFUSE_SINGLE); }
static void ring_without_incremental_buffers(void) { ring_without(REFUSE_INCREMENTAL); }
static void ring_without_receive_limits(void) { ring_without(REFUSE_LIMIT); }
static void ring_without_registered_memory(void) { ring_without(REFUSE_FIXED); }
static void ring_without_messages(void) { ring_without(REFUSE_MSG_RING); }
static void ring_of_an_old_kernel(void) {
    ring_without(REFUSE_SINGLE | REFUSE_INCREMENTAL | REFUSE_LIMIT | REFUSE_FIXED);
}

/* What a completion cannot show: that a durable write asks for it, and that registered memory is used as
 * such. */
static void entries_say_what_is_wanted(void) {
    static _Alignas(4096) uint8_t mem[8192];
    struct io *io = open_loop(IO_URING);
    struct uring *u = (struct uring *)io;
    struct seen w = file_op(io, IO_OP_WRITE, 9, mem, 4096, 8192);
    struct io_uring_sqe sqe = {0};
    w.op.busy = true;
    uring_prepare(u, &w.op, &sqe);
    CHECK_EQ(sqe.opcode, IORING_OP_WRITE);
    CHECK_EQ(sqe.rw_flags, 0);
    CHECK_EQ(sqe.off, 8192);
    w.op.flags = IO_DSYNC;
    uring_prepare(u, &w.op, &sqe);
    CHECK_EQ(sqe.rw_flags, 2); /* RWF_DSYNC */
    io_register(io, mem, sizeof mem);
    w.op.buf = mem + 4096;
    w.op.done = 512;
    uring_prepare(u, &w.op, &sqe);
    CHECK_EQ(sqe.opcode, IORING_OP_WRITE_FIXED);
    CHECK_EQ(sqe.rw_flags, 2);
    CHECK_EQ(sqe.buf_index, 0);
    CHECK_EQ(sqe.off, 8192 + 512);
    CHECK_EQ(sqe.len, 4096 - 512);
    w.op.kind = IO_OP_READ;
    sqe = (struct io_uring_sqe){0};
    uring_prepare(u, &w.op, &sqe);
    CHECK_EQ(sqe.opcode, IORING_OP_READ_FIXED);
    CHECK_EQ(sqe.rw_flags, 0);
    w.op.len = 4097; /* one byte over the end of it */
    uring_prepare(u, &w.op, &sqe);
    CHECK_EQ(sqe.opcode, IORING_OP_READ);
    io_close(io);
}

/* From here on this process gets `error` from io_uring_setup, as a container's profile would have it. */
static void forbid_ring(int error) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    CHECK_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    CHECK_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static void falls_back(int error, enum err code, const char *cause, const char *cure) {
    struct io *io;
    const char *why = NULL;
    struct io_config cfg = {.backend = IO_URING};
    forbid_ring(error);
    CHECK_EQ(io_open(&io, &cfg, &why), code); /* asked for by name: no silent replacement */
    CHECK(io == NULL);
    CHECK(strstr(why, cause) && strstr(why, cure));
    CHECK_EQ(io_open(&io, NULL, &why), ERR_OK);
    CHECK_EQ(io_backend_of(io), IO_POSIX);
    CHECK_STR(io_backend_name(io_backend_of(io)), "posix");
    CHECK(strstr(why, cause) && strstr(why, cure));
    traffic(io);
    disk(io);
    io_close(io);
    CHECK_EQ(io_open(&io, NULL, NULL), ERR_OK);
    io_close(io);
}
static void forbidden_by_a_profile(void) { falls_back(EPERM, ERR_PERM, "EPERM", "seccomp"); }
static void hidden_by_a_sandbox(void) { falls_back(ENOSYS, ERR_UNSUPPORTED, "ENOSYS", "CONFIG_IO_URING"); }
static void no_memory_for_it(void) { falls_back(ENOMEM, ERR_NOMEM, "ENOMEM", "ulimit -l"); }
static void too_old(void) { falls_back(EINVAL, ERR_UNSUPPORTED, "too old", "6.0"); }

static void automatic_takes_the_ring(void) {
    struct io *io;
    const char *why = "?";
    CHECK_EQ(io_open(&io, NULL, &why), ERR_OK);
    CHECK_EQ(io_backend_of(io), IO_URING);
    CHECK_STR(why, "");
    io_close(io);
    struct io_config sim = {.backend = IO_SIM}; /* has its own door, in the tests */
    CHECK_EQ(io_open(&io, &sim, &why), ERR_UNSUPPORTED);
}

/* Too few descriptors for a loop at all. */
static void no_descriptors(void) {
    struct rlimit before, limit;
    struct io *io;
    const char *why = "";
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    limit = (struct rlimit){4, before.rlim_max};
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    CHECK_EQ(io_open(&io, NULL, &why), ERR_NOFILES);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0); /* the leak checker opens files at the end */
    CHECK(strstr(why, "ulimit -n"));
}

CHECK_MAIN(CASE(ring_with_everything), CASE(ring_without_deferred_task_runs),
           CASE(ring_without_incremental_buffers), CASE(ring_without_receive_limits),
           CASE(ring_without_registered_memory), CASE(ring_without_messages), CASE(ring_of_an_old_kernel),
           CASE(entries_say_what_is_wanted), CASE(forbidden_by_a_profile), CASE(hidden_by_a_sandbox),
           CASE(no_memory_for_it), CASE(too_old), CASE(automatic_takes_the_ring), CASE(no_descriptors))
