/* posix.c - the loop over epoll, for machines that refuse the ring; also what sanitizers can see into. A
 * descriptor is registered once, edge-triggered, while it has a RECV or ACCEPT, or a SEND that waits for
 * room. Files go to the helper thread (disk.c), which reports through the eventfd that io_wake() uses too.
 *
 * An operation is always in one place: the queue (submitted since the last tick), waiting for its descriptor,
 * ready (there is something to read), with the disk, backing off, or done (its result waits for the
 * callback). A tick starts the queue, waits, and calls back once from the done list and once for each ready
 * operation, so none starves another. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/asan.h"
#include "base/must.h"
#include "io/disk.h"
#include "io/loop.h"

enum place { AT_QUEUE, AT_FD, AT_READY, AT_DISK, AT_BACKOFF, AT_DONE };
/* What the words of an operation hold here. DISK_RES is the result of all kinds. */
enum { W_PLACE = 0, W_IOV = 2, W_TIMER = 3 };
enum { EVENTS_MAX = 256, READY_MAX = 256, ACCEPTS_MAX = 16, IOV_MAX_SEND = 256 };
#define BACKOFF_NS 100000000u

struct fd_state {
    struct io_op *rd, *wr;
    bool hup; /* the peer is gone or half gone: read on until that shows */
};

struct posix {
    struct io io;
    int epoll, event;
    struct fd_state *fds;
    size_t fds_len;
    struct list queue, ready, done, disk_batch;
    struct disk disk;
    uint8_t *recv_buf; /* the only one: what is in it is used up inside on_done */
    size_t recv_buf_size;
};

static_must(offsetof(struct posix, io) == 0);
static_must(sizeof(struct io_timer) <= (9 - W_TIMER) * sizeof(uint64_t));

static struct posix *posix_of(struct io *io) { return (struct posix *)io; }
static struct io_op *op_of(struct list *node) { return container_of(node, struct io_op, link); }
static enum place place_of(const struct io_op *op) { return (enum place)op->priv_word[W_PLACE]; }

/* Moves an operation to a place, at the end of its list (NULL: the place has none). It must be on no list. */
static void put(struct io_op *op, enum place place, struct list *list) {
    must(op->busy);
    must(place <= AT_DONE);
    must((list == NULL) == (place == AT_FD || place == AT_BACKOFF));
    op->priv_word[W_PLACE] = place;
    if (list) {
        list_add_tail(list, &op->link);
    } else {
        list_init(&op->link);
    }
}

static void finish(struct posix *p, struct io_op *op, int64_t res) {
    must(res > -(int64_t)ERR_COUNT);
    op->priv_word[DISK_RES] = (uint64_t)res;
    put(op, AT_DONE, &p->done);
}

static int64_t minus(int errno_value) { return -(int64_t)err_of_errno(errno_value); }

/* --- descriptors --- */

static struct fd_state *fd_state(struct posix *p, int fd) {
    must(fd >= 0);
    if ((size_t)fd >= p->fds_len) {
        size_t len = p->fds_len ? p->fds_len : 64;
        while (len <= (size_t)fd) len *= 2;
        struct fd_state *fds = realloc(p->fds, len * sizeof *fds);
        if (!fds) return NULL;
        memset(fds + p->fds_len, 0, (len - p->fds_len) * sizeof *fds);
        p->fds = fds;
        p->fds_len = len;
    }
    must((size_t)fd < p->fds_len);
    return &p->fds[fd];
}

/* (Re-)arms both edges. The descriptor may be a new one with an old number, so what we registered before does
 * not count. */
static enum err watch(struct posix *p, int fd) {
    must(fd != p->event && fd != p->epoll);
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.u64 = (uint64_t)fd};
    if (epoll_ctl(p->epoll, EPOLL_CTL_ADD, fd, &ev) == 0) return ERR_OK;
    if (errno == EEXIST && epoll_ctl(p->epoll, EPOLL_CTL_MOD, fd, &ev) == 0) return ERR_OK;
    return err_of_errno(errno);
}

/* Takes the operation off its descriptor; unwatched when it was the last, since the number may soon name
 * another file. */
static void detach(struct posix *p, struct io_op *op) {
    must((size_t)op->fd < p->fds_len);
    struct fd_state *s = &p->fds[op->fd];
    must(s->rd == op || s->wr == op);
    if (s->rd == op) s->rd = NULL;
    if (s->wr == op) s->wr = NULL;
    if (s->rd || s->wr) return;
    must(op->busy);
    s->hup = false;
    epoll_ctl(p->epoll, EPOLL_CTL_DEL, op->fd,
              &(struct epoll_event){0}); /* fails when it is closed already */
}

static void attach(struct posix *p, struct io_op *op, bool reader) {
    struct fd_state *s = fd_state(p, op->fd);
    if (!s) {
        finish(p, op, -(int64_t)ERR_NOMEM);
        return;
    }
    struct io_op **slot = reader ? &s->rd : &s->wr;
    must(*slot == NULL); /* one of a direction at a time */
    *slot = op;
    must(s->rd != s->wr);
    put(op, AT_FD, NULL);
    enum err e = watch(p, op->fd);
    if (!e) return;
    detach(p, op);
    finish(p, op, -(int64_t)e);
}

/* --- sending --- */

/* The vectors not yet sent, at most IOV_MAX_SEND of them, as one message. The index of the first is kept in
 * the operation. */
static ssize_t send_once(struct io_op *op) {
    struct iovec one = {(char *)op->buf + op->done, op->len - op->done};
    struct msghdr m = {.msg_iov = &one, .msg_iovlen = 1};
    if (op->iov_count) {
        size_t left = op->iov_count - op->priv_word[W_IOV];
        m.msg_iov = op->iov + op->priv_word[W_IOV];
        m.msg_iovlen = left < IOV_MAX_SEND ? left : IOV_MAX_SEND;
    }
    must(m.msg_iovlen > 0);
    for (size_t i = 0; i < m.msg_iovlen; i++) must(!asan_bad(m.msg_iov[i].iov_base, m.msg_iov[i].iov_len));
    return sendmsg(op->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Sends until all is gone or the socket is full. The operation is at its descriptor or at none. */
static void send_on(struct posix *p, struct io_op *op) {
    bool attached = place_of(op) == AT_FD;
    int64_t res;
    must(op->kind == IO_OP_SEND && !op->stopped);
    must(!attached || p->fds[op->fd].wr == op);
    for (bool through = io_sent(op, &op->priv_word[W_IOV], 0);;) {
        if (through) {
            res = (int64_t)op->done;
            break;
        }
        ssize_t n = send_once(op);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) {
            if (!attached) attach(p, op, false);
            return;
        }
        if (n < 0) {
            res = minus(errno);
            break;
        }
        through = io_sent(op, &op->priv_word[W_IOV], (size_t)n);
    }
    if (attached) detach(p, op);
    finish(p, op, res);
}

/* --- receiving and accepting: called for operations that were popped from the ready list --- */

static void end(struct io_op *op, int64_t res) {
    must(op->busy);
    must(list_empty(&op->link));
    op->busy = false;
    op->on_done(op, res);
}

static void receive(struct posix *p, struct io_op *op) {
    must(op->kind == IO_OP_RECV && !op->stopped);
    must(p->fds[op->fd].rd == op);
    ssize_t n = recv(op->fd, p->recv_buf, p->recv_buf_size, MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) {
        put(op, AT_READY, &p->ready);
    } else if (n < 0 && errno == EAGAIN) {
        put(op, AT_FD, NULL);
    } else if (n <= 0) {
        int64_t res = n ? minus(errno) : 0;
        detach(p, op);
        end(op, res);
    } else {
        bool more = (size_t)n == p->recv_buf_size || p->fds[op->fd].hup;
        put(op, more ? AT_READY : AT_FD, more ? &p->ready : NULL);
        op->buf = p->recv_buf;
        asan_poison(p->recv_buf + n, p->recv_buf_size - (size_t)n);
        op->on_done(op, n);
        asan_unpoison(p->recv_buf, p->recv_buf_size);
    }
}

static void on_backoff_over(struct io_timer *t) {
    struct io_op *op = (struct io_op *)(void *)((char *)t - offsetof(struct io_op, priv_word[W_TIMER]));
    must(place_of(op) == AT_BACKOFF);
    must(op->kind == IO_OP_ACCEPT);
    put(op, AT_READY, &posix_of(op->priv)->ready);
}

static struct io_timer *backoff_of(struct io_op *op) {
    return (struct io_timer *)(void *)&op->priv_word[W_TIMER];
}

/* Out of descriptors: the owner is told, and the listener tries again a little later. */
static void back_off(struct posix *p, struct io_op *op) {
    struct io_timer *t = backoff_of(op);
    must(op->kind == IO_OP_ACCEPT);
    must(list_empty(&op->link));
    *t = (struct io_timer){.on_fire = on_backoff_over};
    op->priv = p;
    put(op, AT_BACKOFF, NULL);
    io_timer_set(&p->io, t, io_now(&p->io) + BACKOFF_NS);
    op->on_done(op, -(int64_t)ERR_NOFILES);
}

static bool is_shortage(int errno_value) {
    return errno_value == EMFILE || errno_value == ENFILE || errno_value == ENOMEM || errno_value == ENOBUFS;
}

static size_t accept_some(struct posix *p, struct io_op *op) {
    size_t calls = 0;
    must(op->kind == IO_OP_ACCEPT && !op->stopped);
    must(p->fds[op->fd].rd == op);
    put(op, AT_READY, &p->ready);
    for (; calls < ACCEPTS_MAX && place_of(op) == AT_READY; calls++) {
        int fd = accept4(op->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        int e = fd < 0 ? errno : 0;
        if (fd >= 0) {
            op->on_done(op, fd);
        } else if (e == EAGAIN) {
            list_del(&op->link);
            put(op, AT_FD, NULL);
        } else if (is_shortage(e)) {
            list_del(&op->link);
            back_off(p, op);
        } else if (e == EINVAL || e == EBADF || e == ENOTSOCK || e == EOPNOTSUPP) {
            list_del(&op->link);
            detach(p, op);
            end(op, minus(e));
            return calls + 1; /* the owner may have freed it */
        }                     /* else that one connection failed; the next may not */
    }
    return calls;
}

static size_t run_ready(struct posix *p) {
    size_t calls = 0;
    struct list batch = LIST_INIT(batch), *node;
    for (int i = 0; i < READY_MAX && (node = list_pop(&p->ready)); i++) list_add_tail(&batch, node);
    while ((node = list_pop(&batch))) {
        struct io_op *op = op_of(node);
        must(place_of(op) == AT_READY);
        if (op->kind == IO_OP_ACCEPT) {
            calls += accept_some(p, op);
        } else {
            receive(p, op);
            calls++;
        }
    }
    return calls;
}

/* --- the tick --- */

static void start_op(struct posix *p, struct io_op *op) {
    op->priv_word[W_IOV] = 0;
    must(place_of(op) == AT_QUEUE);
    must(!op->stopped);
    switch (op->kind) {
    case IO_OP_ACCEPT:
        fcntl(op->fd, F_SETFL, fcntl(op->fd, F_GETFL) | O_NONBLOCK);
        attach(p, op, true);
        break;
    case IO_OP_RECV: attach(p, op, true); break;
    case IO_OP_SEND: send_on(p, op); break;
    case IO_OP_CLOSE: finish(p, op, close(op->fd) == 0 || errno != EBADF ? 0 : minus(errno)); break;
    case IO_OP_READ:
    case IO_OP_WRITE: must(!asan_bad(op->buf, op->len)); /* fallthrough */
    case IO_OP_FSYNC:
    case IO_OP_FALLOCATE: put(op, AT_DISK, &p->disk_batch); break;
    }
}

static void start_queued(struct posix *p) {
    struct list *node;
    while ((node = list_pop(&p->queue))) start_op(p, op_of(node));
    if (disk_run(&p->disk, &p->disk_batch) == ERR_OK) return;
    must(!list_empty(&p->disk_batch));
    while ((node = list_pop(&p->disk_batch))) finish(p, op_of(node), -(int64_t)ERR_NOMEM);
}

static int wait_events(struct posix *p, struct epoll_event *events, uint64_t until) {
    uint64_t now = 0;
    int64_t wall;
    if (until && until != UINT64_MAX) io_clock_real(&p->io, &now, &wall);
    uint64_t left = until > now ? until - now : 0;
    struct timespec ts = {(time_t)(left / 1000000000u), (long)(left % 1000000000u)};
    int n = epoll_pwait2(p->epoll, events, EVENTS_MAX, until == UINT64_MAX ? NULL : &ts, NULL);
    if (n < 0 && (errno == ENOSYS || errno == EPERM)) { /* before Linux 5.11, or an old seccomp profile */
        uint64_t ms = left / 1000000u + (left % 1000000u != 0);
        n = epoll_wait(p->epoll, events, EVENTS_MAX,
                       until == UINT64_MAX ? -1 : (int)(ms < 1000000 ? ms : 1000000));
    }
    must(n >= 0 || errno == EINTR);
    return n > 0 ? n : 0;
}

static void on_wake(struct posix *p) {
    uint64_t count;
    must(read(p->event, &count, sizeof count) == sizeof count || errno == EAGAIN);
    struct list finished = LIST_INIT(finished), *node;
    disk_take(&p->disk, &finished);
    while ((node = list_pop(&finished))) {
        must(place_of(op_of(node)) == AT_DISK);
        put(op_of(node), AT_DONE, &p->done);
    }
}

static void on_event(struct posix *p, const struct epoll_event *ev) {
    if (ev->data.u64 == UINT64_MAX) {
        on_wake(p);
        return;
    }
    must(ev->data.u64 < p->fds_len);
    struct fd_state *s = &p->fds[ev->data.u64];
    must(!s->rd || s->rd->busy);
    must(!s->wr || s->wr->busy);
    bool gone = ev->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);
    s->hup |= gone && s->rd;
    if (s->rd && (gone || ev->events & EPOLLIN) && place_of(s->rd) == AT_FD) put(s->rd, AT_READY, &p->ready);
    if (s->wr && ev->events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) send_on(p, s->wr);
}

static size_t run_done(struct posix *p) {
    size_t calls = 0;
    struct list batch = LIST_INIT(batch), *node;
    while ((node = list_pop(&p->done))) list_add_tail(&batch, node);
    while ((node = list_pop(&batch))) {
        must(place_of(op_of(node)) == AT_DONE);
        end(op_of(node), (int64_t)op_of(node)->priv_word[DISK_RES]);
        calls++;
    }
    return calls;
}

static size_t posix_poll(struct io *io, uint64_t wait_until_ns) {
    struct posix *p = posix_of(io);
    struct epoll_event events[EVENTS_MAX];
    must(io->backend == IO_POSIX && io->ticking);
    start_queued(p);
    must(list_empty(&p->queue) && list_empty(&p->disk_batch));
    bool idle = list_empty(&p->done) && list_empty(&p->ready);
    int n = wait_events(p, events, idle ? wait_until_ns : 0);
    io_clock_refresh(io);
    for (int i = 0; i < n; i++) on_event(p, &events[i]);
    size_t calls = run_done(p);
    return calls + run_ready(p);
}

static void posix_submit(struct io *io, struct io_op *op) { put(op, AT_QUEUE, &posix_of(io)->queue); }

static void posix_stop(struct io *io, struct io_op *op) {
    struct posix *p = posix_of(io);
    must(op->busy && op->stopped);
    switch (place_of(op)) {
    case AT_DISK:
    case AT_DONE: return; /* its result comes */
    case AT_QUEUE: break;
    case AT_BACKOFF: io_timer_cancel(io, backoff_of(op)); /* fallthrough */
    case AT_FD:
    case AT_READY: detach(p, op);
    }
    list_del(&op->link);
    finish(p, op, -(int64_t)ERR_CANCELLED);
}

static void posix_wake(struct io *target, struct io *from) {
    static const uint64_t one = 1;
    (void)from;
    must(target->backend == IO_POSIX);
    must(write(posix_of(target)->event, &one, sizeof one) == sizeof one || errno == EAGAIN);
}

static void posix_close(struct io *io) {
    struct posix *p = posix_of(io);
    must(io->backend == IO_POSIX);
    must(!io->ticking);
    disk_deinit(&p->disk);
    if (p->epoll >= 0) close(p->epoll);
    close(p->event);
    free(p->recv_buf);
    free(p->fds);
    free(p);
}

static const struct io_ops posix_ops = {
    .close = posix_close,
    .submit = posix_submit,
    .stop = posix_stop,
    .poll = posix_poll,
    .wake = posix_wake,
    .clock = io_clock_real,
    .file = &io_files_real,
};

enum err posix_open(struct io **io, const struct io_config *cfg, const char **why) {
    struct epoll_event ev = {.events = EPOLLIN, .data.u64 = UINT64_MAX};
    struct posix *p = calloc(1, sizeof *p);
    must(cfg->recv_buf_size > 0);
    *why = "out of memory";
    if (!p) return ERR_NOMEM;
    p->recv_buf_size = cfg->recv_buf_size;
    p->recv_buf = malloc(p->recv_buf_size);
    p->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    p->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!p->recv_buf || p->event < 0 || p->epoll < 0 ||
        epoll_ctl(p->epoll, EPOLL_CTL_ADD, p->event, &ev) != 0) {
        enum err e = p->recv_buf ? err_of_errno(errno) : ERR_NOMEM;
        if (p->recv_buf)
            *why = "no descriptor for epoll or eventfd: raise the limit of open files (ulimit -n)";
        if (p->event >= 0) close(p->event);
        if (p->epoll >= 0) close(p->epoll);
        free(p->recv_buf);
        free(p);
        return e;
    }
    list_init(&p->queue);
    list_init(&p->ready);
    list_init(&p->done);
    list_init(&p->disk_batch);
    disk_init(&p->disk, p->event);
    io_init(&p->io, IO_POSIX, &posix_ops);
    *io = &p->io;
    return ERR_OK;
}
