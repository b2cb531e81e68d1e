/* io.h - the only door to the kernel on the data path: one loop a thread, with sockets, files, timers and
 * wake-ups.
 *
 * Three implementations stand behind it: the ring (io_uring), posix (epoll, and pread/pwrite/fdatasync on one
 * helper thread a loop), and the simulator in tests/sim. They promise the same: an operation is submitted
 * once, completes once (multishot ones until stopped), and its callback runs inside io_tick() on the loop's
 * thread, never inside the call that submitted it. Nothing reaches the kernel before io_tick(), so that one
 * system call carries everything a tick queued.
 *
 * A loop is used from the thread that opened it, except io_wake().
 */
#pragma once
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/err.h"
#include "base/list.h"

struct io;

enum io_backend { IO_AUTO, IO_URING, IO_POSIX, IO_SIM };

enum io_kind {
    IO_OP_ACCEPT,
    IO_OP_RECV,
    IO_OP_SEND,
    IO_OP_READ,
    IO_OP_WRITE,
    IO_OP_FSYNC,
    IO_OP_FALLOCATE,
    IO_OP_CLOSE
};

enum io_flag {
    IO_DSYNC =
        1, /* WRITE: complete only when data and the metadata to read it back are durable (RWF_DSYNC) */
};

/* One operation, embedded in its owner. The owner must not move or die between submission and the (last)
 * callback. Lifecycle: idle -> busy (io_submit) -> idle (before on_done, except for multishot ACCEPT and RECV
 * that go on). */
struct io_op {
    /* res < 0: minus an enum err. Otherwise ACCEPT: the new descriptor, non-blocking, close-on-exec; RECV:
     * bytes at buf, valid until on_done returns, 0 when the peer closed; SEND, READ, WRITE: bytes done. SEND
     * and WRITE complete whole or fail; READ is short only at the end of the file. ACCEPT may report
     * -ERR_NOFILES and go on (busy stays true): it tries again after 100 ms. */
    void (*on_done)(struct io_op *op, int64_t res);
    enum io_kind kind;
    uint8_t flags;
    bool busy;
    bool stopped; /* multishot: stop requested, see io_stop() */
    int fd;
    uint32_t iov_count; /* SEND: vectors in iov; 0 means buf and len */
    uint64_t off;       /* files; FALLOCATE: start */
    void *buf;          /* in for SEND and WRITE, out for READ; RECV: set by the loop at each callback */
    size_t len;
    struct iovec *iov; /* SEND: must stay valid and unchanged until done; the loop may advance its entries */
    size_t done; /* out: bytes done, also when a SEND was stopped or failed on the way */
    /* back end's own */
    struct list link;
    void *priv;
    uint64_t priv_word[9]; /* room for a struct msghdr and a flag word */
};

struct io_timer {
    struct list link;
    uint64_t deadline_ns; /* monotonic; 0 = not set */
    void (*on_fire)(struct io_timer *t);
};

struct io_config {
    enum io_backend backend;
    uint32_t
        ops_max; /* operations in flight the ring is sized for; more queue inside the loop (default 4096) */
    uint32_t recv_buf_size;  /* default 64 KiB */
    uint32_t recv_buf_count; /* default 32 */
};

/* Opens a loop on this thread. IO_AUTO probes the ring and falls back to posix; *why then names cause and
 * cure (static). */
enum err io_open(struct io **io, const struct io_config *cfg, const char **why) MUST_USE;
void io_close(struct io *io);
enum io_backend io_backend_of(const struct io *io);
const char *io_backend_name(enum io_backend b);

/* Queues op. kind, fd and the fields of its kind are set by the caller; on_done stays the caller's. Never
 * fails: an operation that cannot start completes with its error at the next tick. */
void io_submit(struct io *io, struct io_op *op);
/* Asks a busy operation to end early (no-op on an idle one). It still completes once: with its result, or
 * -ERR_CANCELLED. For RECV, no data callback runs after io_stop() except that last one (busy is false in it),
 * which may carry bytes: they are gone from the socket, so an owner that goes on with the connection must use
 * them. Stop what is busy on a descriptor, and wait for its last callback, before closing the descriptor. */
void io_stop(struct io *io, struct io_op *op);

/* Submits what is queued, waits until something completes, another thread wakes the loop, or wait_until_ns
 * (monotonic; 0 = do not wait, UINT64_MAX = no limit) or the nearest timer, then runs callbacks: completions
 * first, then due timers. Returns the number of callbacks run. Bounded work a call. */
size_t io_tick(struct io *io, uint64_t wait_until_ns);

/* Wakes target's io_tick(), now or the next one; from any thread; from is the calling thread's own loop or
 * NULL. With a loop the wake may leave with its next io_tick(): target must be open until then. */
void io_wake(struct io *target, struct io *from);

/* Clocks, read once a tick: monotonic, and real time (ns since 1970; never goes backwards within a loop). */
uint64_t io_now(const struct io *io);
int64_t io_wall(const struct io *io);
void io_clock_refresh(struct io *io);

/* Sets or moves a timer; resolution 1 ms, never early. Cancel is a no-op on an unset timer. */
void io_timer_set(struct io *io, struct io_timer *t, uint64_t deadline_ns);
void io_timer_cancel(struct io *io, struct io_timer *t);
/* The next time a set timer wants the loop, UINT64_MAX if none. */
uint64_t io_timer_next(const struct io *io);

/* Registers memory for WRITE and READ (fixed buffers) where the back end can; failure only costs speed. The
 * kernel holds on to these very pages until the loop is closed: never give them back (region_release)
 * meanwhile. */
void io_register(struct io *io, void *p, size_t n);

/* --- files off the data path: these block. Paths are relative to dirfd (AT_FDCWD allowed). --- */
enum io_open_flag { IO_O_CREATE = 1, IO_O_EXCL = 2, IO_O_DIRECT = 4, IO_O_DIR = 8, IO_O_RDONLY = 16 };
struct io_dirent_list {
    char (*names)[64];
    size_t count;
}; /* names longer than 63 bytes are reported as "?" */

enum err io_file_open(struct io *io, int dirfd, const char *path, unsigned flags, int *fd) MUST_USE;
void io_file_close(struct io *io, int fd);
enum err io_file_size(struct io *io, int fd, uint64_t *size) MUST_USE;
/* Reads exactly n bytes or up to the end of the file; *got says. Buffers for O_DIRECT files are 4 KiB
 * aligned. */
enum err io_file_read(struct io *io, int fd, void *buf, size_t n, uint64_t off, size_t *got) MUST_USE;
/* Writes all of it and, with sync, makes it durable. */
enum err io_file_write(struct io *io, int fd, const void *buf, size_t n, uint64_t off, bool sync) MUST_USE;
enum err io_file_allocate(struct io *io, int fd, uint64_t off, uint64_t n) MUST_USE;
/* Shortens the file; lasting once it is synced. */
enum err io_file_cut(struct io *io, int fd, uint64_t size) MUST_USE;
enum err io_file_sync(struct io *io, int fd) MUST_USE; /* fsync; for directories too */
enum err io_file_rename(struct io *io, int dirfd, const char *from, const char *to) MUST_USE;
enum err io_file_unlink(struct io *io, int dirfd, const char *path) MUST_USE;
enum err io_dir_make(struct io *io, int dirfd,
                     const char *path) MUST_USE; /* ERR_EXISTS is returned, not hidden */
enum err io_dir_list(struct io *io, int fd,
                     struct io_dirent_list *out) MUST_USE; /* caller frees names with free() */
/* Takes an exclusive lock on the file for the life of the descriptor (flock). ERR_LOCKED when held elsewhere.
 */
enum err io_file_lock(struct io *io, int fd) MUST_USE;
/* The process that holds it, for a message; 0: unknown. */
uint32_t io_file_locked_by(int fd);
/* What the file system under fd is. block: alignment that O_DIRECT and atomic sector writes want (4096 when
 * unknown). */
struct io_fs {
    char type[24];
    uint64_t free_bytes;
    uint32_t block;
    bool direct;
    bool network;
};
enum err io_fs_of(struct io *io, int fd, struct io_fs *out) MUST_USE;

/* --- sockets off the data path --- */
/* Binds and listens; host may be a name or address, "" or NULL = any. *port 0 or -1 picks one and stores it.
 */
enum err io_listen(struct io *io, const char *host, int *port, int *fd) MUST_USE;
/* Text of the peer's address ("127.0.0.1", no port) into out, and its port. */
void io_peer(int fd, char out[46], uint16_t *port);

/* What an implementation provides; see uring.c, posix.c, tests/sim. The public functions above are thin calls
 * of these. */
struct io_ops {
    void (*close)(struct io *);
    void (*submit)(struct io *, struct io_op *);
    void (*stop)(struct io *, struct io_op *);
    size_t (*poll)(struct io *, uint64_t wait_until_ns); /* submit, wait, run completions */
    void (*wake)(struct io *target, struct io *from);
    void (*clock)(struct io *, uint64_t *mono_ns, int64_t *wall_ns);
    void (*reg)(struct io *, void *p, size_t n);
    const struct io_file_ops *file;
};
struct io_file_ops { /* same contracts as io_file_* */
    enum err (*open)(struct io *, int dirfd, const char *path, unsigned flags, int *fd);
    void (*close)(struct io *, int fd);
    enum err (*size)(struct io *, int fd, uint64_t *size);
    enum err (*read)(struct io *, int fd, void *buf, size_t n, uint64_t off, size_t *got);
    enum err (*write)(struct io *, int fd, const void *buf, size_t n, uint64_t off, bool sync);
    enum err (*allocate)(struct io *, int fd, uint64_t off, uint64_t n);
    enum err (*cut)(struct io *, int fd, uint64_t size);
    enum err (*sync)(struct io *, int fd);
    enum err (*rename)(struct io *, int dirfd, const char *from, const char *to);
    enum err (*unlink)(struct io *, int dirfd, const char *path);
    enum err (*mkdir)(struct io *, int dirfd, const char *path);
    enum err (*list)(struct io *, int fd, struct io_dirent_list *out);
    enum err (*lock)(struct io *, int fd);
    enum err (*fs)(struct io *, int fd, struct io_fs *out);
};
