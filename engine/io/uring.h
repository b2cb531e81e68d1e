/* uring.h - the ring's loop from inside: uring.c opens it and runs the tick, uring_ops.c knows each kind of
 * operation, uring_recv.c the receive buffers. */
#pragma once
#include <liburing.h>

#include "io/loop.h"

/* What a completion's user_data points at, in its low bits. */
enum uring_tag { TAG_OP = 0, TAG_CANCEL = 1, TAG_EVENT = 2, TAG_WAKE = 3, TAG_WOKEN = 4, TAG_BITS = 7 };

/* Where an operation is. In the queue: submitted, not yet with the kernel; done: its result waits for the
 * callback. */
enum uring_place { AT_QUEUE, AT_KERNEL, AT_BACKOFF, AT_DONE };

/* What the words of an operation hold. 0 to 6: a msghdr (SEND), a timer and the watch (ACCEPT), whether a limit was asked
 * for (RECV). */
enum { W_KIND = 0, W_WATCH = 5, W_IOV = 7, W_RES = 7, W_PLACE = 8 };

enum { FIXED_MAX = 16, WAKES_MAX = 64 };

/* Buffers the kernel picks from when bytes arrive. Incremental: it fills one after the other, piece by piece,
 * whoever the bytes are from; classic: a buffer a receive. Bytes are used up inside on_done, so a buffer goes
 * back at once. */
struct uring_bufs {
    struct io_uring_buf_ring *ring;
    uint8_t *mem;
    uint32_t *used; /* incremental: bytes of each buffer that were handed out */
    uint32_t size, count, given;
    bool incremental;
    bool limit; /* the kernel can end a multishot receive after so many bytes (Linux 6.17) */
};

struct uring {
    struct io io;
    struct io_uring ring;
    struct list queue, cancels, done;
    size_t inflight; /* operations with the kernel */
    struct uring_bufs bufs;
    int event; /* written by io_wake() from threads without a ring */
    uint64_t event_word;
    bool event_armed, closing;
    struct uring *wakes[WAKES_MAX]; /* rings to wake with the next submission */
    size_t wakes_len;
    struct {
        uint8_t *p;
        size_t n;
    } fixed[FIXED_MAX];
    unsigned fixed_len;
    bool fixed_open;
};

/* For tests: behave as on kernels that refuse these. */
enum {
    REFUSE_SETUP = 1,
    REFUSE_SINGLE = 2,
    REFUSE_INCREMENTAL = 4,
    REFUSE_LIMIT = 8,
    REFUSE_FIXED = 16,
    REFUSE_MSG_RING = 32
};
extern unsigned uring_refuse;

static inline struct io_op *uring_op_of(struct list *node) { return container_of(node, struct io_op, link); }

/* uring.c */
void uring_put(struct io_op *op, enum uring_place place, struct list *list);
/* The last callback of an operation that is on no list. */
size_t uring_end(struct io_op *op, int64_t res);
/* The operation left the kernel: its final completion is here. */
void uring_left_kernel(struct uring *u, struct io_op *op);

/* uring_ops.c: fills an entry; handles a completion, returns the callbacks run; ends a stopped operation that
 * is not with the kernel. */
void uring_prepare(struct uring *u, struct io_op *op, struct io_uring_sqe *sqe);
size_t uring_complete(struct uring *u, struct io_op *op, int32_t res, uint32_t flags);
void uring_unback(struct uring *u, struct io_op *op);
void uring_fix(struct uring *u, uint8_t *p, size_t n);

/* uring_accept.c; uring_unwatch when an ACCEPT ends. */
void uring_prepare_accept(struct io_op *op, struct io_uring_sqe *sqe);
size_t uring_complete_accept(struct uring *u, struct io_op *op, int32_t res);
void uring_unwatch(struct io_op *op);

/* uring_recv.c */
enum err uring_bufs_open(struct uring *u, const struct io_config *cfg) MUST_USE;
void uring_bufs_close(struct uring *u);
void uring_bufs_publish(struct uring *u);
void uring_prepare_recv(struct uring *u, struct io_op *op, struct io_uring_sqe *sqe);
/* Frees what the operation holds, when it is not to be completed. */
void uring_recv_drop(struct io_op *op);
size_t uring_complete_recv(struct uring *u, struct io_op *op, int32_t res, uint32_t flags);
