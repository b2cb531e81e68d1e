/* uring_ops.c - each kind of operation as a submission entry, and what its completion means. SEND, WRITE and
 * READ that come back short are submitted again for the rest, so the owner sees them whole or failed; EINTR
 * and EAGAIN never reach it. RECV and ACCEPT have files of their own. */
#include <errno.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/asan.h"
#include "base/must.h"
#include "io/uring.h"

enum { IOV_MAX_SEND = 1024 };
#define CHUNK_MAX  ((size_t)1 << 30) /* of one entry, and of one registered buffer */
#define SECTOR     512

static_must(sizeof(struct msghdr) <= W_IOV * sizeof(uint64_t));

/* --- memory registered once, so that the kernel need not look its pages up for each transfer --- */

void uring_fix(struct uring *u, uint8_t *p, size_t n) {
    must(p != NULL && n > 0);
    must(u->fixed_len <= FIXED_MAX);
    if (uring_refuse & REFUSE_FIXED) return;
    if (!u->fixed_open && io_uring_register_buffers_sparse(&u->ring, FIXED_MAX) != 0) return;
    u->fixed_open = true;
    while (n > 0 && u->fixed_len < FIXED_MAX) {
        size_t part = n < CHUNK_MAX ? n : CHUNK_MAX;
        struct iovec iov = {p, part};
        __u64 tag = 0;
        if (io_uring_register_buffers_update_tag(&u->ring, u->fixed_len, &iov, &tag, 1) != 1) return;
        u->fixed[u->fixed_len].p = p;
        u->fixed[u->fixed_len++].n = part;
        p += part;
        n -= part;
    }
}

static int fixed_index(const struct uring *u, const uint8_t *p, size_t n) {
    must(u->fixed_len <= FIXED_MAX);
    for (unsigned i = 0; i < u->fixed_len; i++) {
        size_t off = (size_t)((uintptr_t)p - (uintptr_t)u->fixed[i].p);
        if (off < u->fixed[i].n && n <= u->fixed[i].n - off) return (int)i;
    }
    return -1;
}

/* --- submission --- */

static void prepare_send(struct io_op *op, struct io_uring_sqe *sqe) {
    const int flags = MSG_WAITALL | MSG_NOSIGNAL;
    struct iovec *first = op->iov + (op->iov_count ? op->priv_word[W_IOV] : 0);
    size_t count = op->iov_count ? op->iov_count - op->priv_word[W_IOV] : 0;
    must(!op->iov_count || count > 0);
    if (count > 1) {
        struct msghdr *m = (struct msghdr *)(void *)op->priv_word;
        *m = (struct msghdr){.msg_iov = first, .msg_iovlen = count < IOV_MAX_SEND ? count : IOV_MAX_SEND};
        for (size_t i = 0; i < m->msg_iovlen; i++) must(!asan_bad(first[i].iov_base, first[i].iov_len));
        io_uring_prep_sendmsg(sqe, op->fd, m, (unsigned)flags);
        return;
    }
    char *p = count ? first->iov_base : (char *)op->buf + op->done;
    size_t n = count ? first->iov_len : op->len - op->done;
    must(count || op->done <= op->len);
    must(!asan_bad(p, n));
    io_uring_prep_send(sqe, op->fd, p, n < CHUNK_MAX ? n : CHUNK_MAX, flags);
}

static void prepare_transfer(struct uring *u, struct io_op *op, struct io_uring_sqe *sqe) {
    uint8_t *p = (uint8_t *)op->buf + op->done;
    size_t left = op->len - op->done;
    must(op->done <= op->len);
    unsigned n = (unsigned)(left < CHUNK_MAX ? left : CHUNK_MAX);
    int fixed = fixed_index(u, p, n);
    must(!asan_bad(p, n));
    if (op->kind == IO_OP_READ) {
        if (fixed >= 0) {
            io_uring_prep_read_fixed(sqe, op->fd, p, n, op->off + op->done, fixed);
        } else {
            io_uring_prep_read(sqe, op->fd, p, n, op->off + op->done);
        }
        return;
    }
    if (fixed >= 0) {
        io_uring_prep_write_fixed(sqe, op->fd, p, n, op->off + op->done, fixed);
    } else {
        io_uring_prep_write(sqe, op->fd, p, n, op->off + op->done);
    }
    if (op->flags & IO_DSYNC) sqe->rw_flags = RWF_DSYNC;
}

void uring_prepare(struct uring *u, struct io_op *op, struct io_uring_sqe *sqe) {
    must(op->busy);
    switch (op->kind) {
    case IO_OP_ACCEPT: uring_prepare_accept(op, sqe); break;
    case IO_OP_RECV: uring_prepare_recv(u, op, sqe); break;
    case IO_OP_SEND: prepare_send(op, sqe); break;
    case IO_OP_READ:
    case IO_OP_WRITE: prepare_transfer(u, op, sqe); break;
    case IO_OP_FSYNC: io_uring_prep_fsync(sqe, op->fd, 0); break;
    case IO_OP_FALLOCATE: io_uring_prep_fallocate(sqe, op->fd, 0, op->off, op->len); break;
    case IO_OP_CLOSE: io_uring_prep_close(sqe, op->fd); break;
    }
    must(((uintptr_t)op & TAG_BITS) == TAG_OP);
    io_uring_sqe_set_data64(sqe, (uintptr_t)op | TAG_OP);
}

/* --- completion --- */

static bool is_passing(int32_t res) { return res == -EINTR || res == -EAGAIN; }

static int64_t minus(int32_t res) { return -(int64_t)err_of_errno(-res); }

/* SEND, WRITE, READ: counts what was done; ends the operation, or queues it for the rest. */
static size_t on_transfer(struct uring *u, struct io_op *op, int32_t res) {
    bool through;
    must(res < 0 || (size_t)res <= CHUNK_MAX * IOV_MAX_SEND);
    uring_left_kernel(u, op);
    if (op->stopped && is_passing(res)) return uring_end(op, -(int64_t)ERR_CANCELLED);
    if (res < 0 && !is_passing(res)) return uring_end(op, minus(res));
    size_t n = res > 0 ? (size_t)res : 0;
    if (op->kind == IO_OP_SEND) {
        through = io_sent(op, &op->priv_word[W_IOV], n);
    } else {
        op->done += n;
        must(op->done <= op->len);
        through = op->done == op->len || (op->kind == IO_OP_READ && res >= 0 && n % SECTOR);
    }
    if (res == 0 && op->kind == IO_OP_READ) through = true; /* the end of the file */
    if (through) return uring_end(op, (int64_t)op->done);
    if (res == 0) return uring_end(op, -(int64_t)(op->kind == IO_OP_WRITE ? ERR_IO : ERR_CLOSED));
    if (op->stopped) return uring_end(op, -(int64_t)ERR_CANCELLED);
    uring_put(op, AT_QUEUE, &u->queue);
    return 0;
}

size_t uring_complete(struct uring *u, struct io_op *op, int32_t res, uint32_t flags) {
    must(op->busy);
    must(op->priv_word[W_PLACE] == AT_KERNEL);
    switch (op->kind) {
    case IO_OP_RECV: return uring_complete_recv(u, op, res, flags);
    case IO_OP_ACCEPT: return uring_complete_accept(u, op, res);
    case IO_OP_SEND:
    case IO_OP_READ:
    case IO_OP_WRITE: must(!(flags & IORING_CQE_F_MORE)); return on_transfer(u, op, res);
    case IO_OP_FSYNC:
    case IO_OP_FALLOCATE:
    case IO_OP_CLOSE: break;
    }
    must(!(flags & IORING_CQE_F_MORE));
    uring_left_kernel(u, op);
    if (is_passing(res) && !op->stopped && op->kind != IO_OP_CLOSE) {
        uring_put(op, AT_QUEUE, &u->queue);
        return 0;
    }
    return uring_end(op, res < 0 ? minus(res) : 0);
}
