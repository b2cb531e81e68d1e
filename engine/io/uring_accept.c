/* uring_accept.c - ACCEPT on the ring. Happy path: the ring polls an epoll descriptor that watches the listener; when it
 * fires, what waits is accepted with plain calls, and the poll is armed again. Descriptors that run out are told to the
 * owner, and accepting goes on after a pause.
 *
 * Why not a multishot accept: a ring keeps the files of its operations open for a moment after its process was killed.
 * The port of a listener would stay taken, and clients would still be let in by a server that no longer exists. Epoll
 * does not keep what it watches open. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/must.h"
#include "io/uring.h"

#define BACKOFF_NS 100000000u
enum { ACCEPTS_MAX = 16 };
/* In the operation: the pause's timer, then W_WATCH, the epoll descriptor + 1 or 0. */

static_must(sizeof(struct io_timer) <= W_WATCH * sizeof(uint64_t));

static int watch_open(int listener) {
    struct epoll_event want = {.events = EPOLLIN};
    int fd = epoll_create1(EPOLL_CLOEXEC), flags = fcntl(listener, F_GETFL);
    if (fd < 0) return -1;
    if (flags >= 0 && fcntl(listener, F_SETFL, flags | O_NONBLOCK) == 0 &&
        epoll_ctl(fd, EPOLL_CTL_ADD, listener, &want) == 0)
        return fd;
    close(fd);
    return -1;
}

void uring_prepare_accept(struct io_op *op, struct io_uring_sqe *sqe) {
    must(op->kind == IO_OP_ACCEPT);
    if (op->priv_word[W_WATCH] == 0) op->priv_word[W_WATCH] = (uint64_t)watch_open(op->fd) + 1; /* 0: none */
    /* Without a descriptor for the watch the listener itself is polled: an error is then found by accept. */
    int fd = op->priv_word[W_WATCH] ? (int)op->priv_word[W_WATCH] - 1 : op->fd;
    io_uring_prep_poll_add(sqe, fd, POLLIN);
}

void uring_unwatch(struct io_op *op) {
    must(op->kind == IO_OP_ACCEPT);
    if (op->priv_word[W_WATCH]) close((int)op->priv_word[W_WATCH] - 1);
    op->priv_word[W_WATCH] = 0;
}

static struct io_timer *backoff_of(struct io_op *op) { return (struct io_timer *)(void *)op->priv_word; }

static void on_backoff_over(struct io_timer *t) {
    struct io_op *op = (struct io_op *)(void *)((char *)t - offsetof(struct io_op, priv_word));
    struct uring *u = op->priv;
    must(op->priv_word[W_PLACE] == AT_BACKOFF);
    must(!op->stopped);
    uring_put(op, AT_QUEUE, &u->queue);
}

static size_t back_off(struct uring *u, struct io_op *op) {
    struct io_timer *t = backoff_of(op);
    must(op->kind == IO_OP_ACCEPT);
    must(list_empty(&op->link));
    *t = (struct io_timer){.on_fire = on_backoff_over};
    op->priv = u;
    uring_put(op, AT_BACKOFF, NULL);
    io_timer_set(&u->io, t, io_now(&u->io) + BACKOFF_NS);
    op->on_done(op, -(int64_t)ERR_NOFILES);
    return 1;
}

void uring_unback(struct uring *u, struct io_op *op) {
    must(op->priv_word[W_PLACE] == AT_BACKOFF);
    must(op->kind == IO_OP_ACCEPT);
    io_timer_cancel(&u->io, backoff_of(op));
}

/* What an errno of accept(2) means for the next one. */
enum then { THEN_AGAIN, THEN_PAUSE, THEN_END };
static enum then after(int error) {
    switch (error) {
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS: return THEN_PAUSE;
    case EINVAL:
    case EBADF:
    case ENOTSOCK:
    case EOPNOTSUPP:
    case ECANCELED: return THEN_END;
    default: return THEN_AGAIN; /* that one connection failed, or none waits */
    }
}

static size_t accept_some(int listener, int fds[ACCEPTS_MAX], int *error) {
    size_t n = 0;
    *error = 0;
    while (n < ACCEPTS_MAX && *error == 0) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) fds[n++] = fd;
        else *error = errno;
    }
    return n;
}

size_t uring_complete_accept(struct uring *u, struct io_op *op, int32_t res) {
    int fds[ACCEPTS_MAX], error;
    must(op->kind == IO_OP_ACCEPT);
    uring_left_kernel(u, op);
    if (op->stopped) return uring_end(op, -(int64_t)ERR_CANCELLED);
    if (res < 0) return uring_end(op, -(int64_t)err_of_errno(-res));
    size_t n = accept_some(op->fd, fds, &error);
    if (n == 0 && after(error) == THEN_PAUSE) return back_off(u, op);
    if (n == 0 && after(error) == THEN_END) return uring_end(op, -(int64_t)err_of_errno(error));
    uring_put(op, AT_QUEUE, &u->queue);
    for (size_t i = 0; i < n; i++) {
        if (op->stopped) close(fds[i]);
        else op->on_done(op, fds[i]);
    }
    return n;
}
