/* uring.c - the loop over io_uring: one ring a thread, one io_uring_enter() a tick for everything queued
 * since the last.
 *
 * io_submit() and io_stop() only queue. A tick fills submission entries (wake-ups, then cancellations, then
 * operations in order; what does not fit stays queued), enters the kernel, and hands out at most REAP_MAX
 * completions; the rest waits in the completion queue for the next tick, which then does not sleep.
 * Completions are made only inside our own enter (DEFER_TASKRUN), so nothing interrupts a callback.
 *
 * An operation is in one place: the queue, with the kernel, backing off, or done. One that is stopped while
 * with the kernel is on the cancel list until its cancellation is submitted; it leaves that list with its
 * final completion.
 *
 * What can fail is opening: the kernel may refuse the ring or lack what we need; the caller gets the cause
 * and the cure. */
#include "io/uring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/must.h"

enum { REAP_MAX = 512, ENTRIES_MIN = 8, ENTRIES_MAX = 4096, CLOSE_ROUNDS = 50 };

unsigned uring_refuse;

static_must(offsetof(struct uring, io) == 0);

static struct uring *uring_of(struct io *io) { return (struct uring *)io; }

void uring_put(struct io_op *op, enum uring_place place, struct list *list) {
    must(op->busy);
    must(place <= AT_DONE);
    must((list == NULL) == (place == AT_KERNEL || place == AT_BACKOFF));
    op->priv_word[W_PLACE] = place;
    if (list) {
        list_add_tail(list, &op->link);
    } else {
        list_init(&op->link);
    }
}

size_t uring_end(struct io_op *op, int64_t res) {
    must(op->busy);
    must(list_empty(&op->link));
    must(res > -(int64_t)ERR_COUNT);
    if (op->kind == IO_OP_ACCEPT) uring_unwatch(op);
    op->busy = false;
    op->on_done(op, res);
    return 1;
}

void uring_left_kernel(struct uring *u, struct io_op *op) {
    must(u->inflight > 0);
    must(op->priv_word[W_PLACE] == AT_KERNEL);
    u->inflight--;
    list_del(&op->link); /* off the cancel list, if it is on it */
}

static void uring_submit(struct io *io, struct io_op *op) {
    must(io->backend == IO_URING);
    must(((uintptr_t)op & TAG_BITS) == 0);
    op->priv_word[W_IOV] = 0;
    if (op->kind == IO_OP_ACCEPT) op->priv_word[W_WATCH] = 0;
    if (op->kind == IO_OP_RECV) op->priv = NULL;
    uring_put(op, AT_QUEUE, &uring_of(io)->queue);
}

static void uring_stop(struct io *io, struct io_op *op) {
    struct uring *u = uring_of(io);
    must(op->busy && op->stopped);
    switch ((enum uring_place)op->priv_word[W_PLACE]) {
    case AT_DONE: return;
    case AT_KERNEL: list_add_tail(&u->cancels, &op->link); return;
    case AT_QUEUE: list_del(&op->link); break;
    case AT_BACKOFF: uring_unback(u, op); break;
    }
    op->priv_word[W_RES] = (uint64_t) - (int64_t)ERR_CANCELLED;
    uring_put(op, AT_DONE, &u->done);
}

/* --- waking --- */

static void write_event(int event) {
    static const uint64_t one = 1;
    must(event >= 0);
    must(write(event, &one, sizeof one) == sizeof one || errno == EAGAIN);
}

/* From a ring to a ring: an entry of the caller's next submission instead of a system call. */
static void uring_wake(struct io *target, struct io *from) {
    struct uring *t = uring_of(target);
    must(target->backend == IO_URING);
    must(target != from);
    struct uring *f =
        from && from->backend == IO_URING && !(uring_refuse & REFUSE_MSG_RING) ? uring_of(from) : NULL;
    if (!f || f->wakes_len == WAKES_MAX) {
        write_event(t->event);
        return;
    }
    for (size_t i = 0; i < f->wakes_len; i++) {
        if (f->wakes[i] == t) return;
    }
    f->wakes[f->wakes_len++] = t;
}

/* --- submitting --- */

/* A free entry; when there is none, what is filled is submitted first. NULL when the kernel takes no more
 * now. */
static struct io_uring_sqe *entry(struct uring *u) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
    if (sqe) return sqe;
    must(io_uring_sq_space_left(&u->ring) == 0);
    int ret = io_uring_submit(&u->ring);
    must(ret >= 0 || ret == -EAGAIN || ret == -EBUSY || ret == -EINTR);
    return io_uring_get_sqe(&u->ring);
}

static bool fill_wakes(struct uring *u) {
    must(u->wakes_len <= WAKES_MAX);
    while (u->wakes_len > 0) {
        struct io_uring_sqe *sqe = entry(u);
        if (!sqe) return false;
        struct uring *target = u->wakes[--u->wakes_len];
        io_uring_prep_msg_ring(sqe, target->ring.ring_fd, 0, TAG_WOKEN, 0);
        sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
        io_uring_sqe_set_data64(sqe, (uintptr_t)target | TAG_WAKE);
    }
    if (u->event_armed) return true;
    struct io_uring_sqe *sqe = entry(u);
    if (!sqe) return false;
    io_uring_prep_read(sqe, u->event, &u->event_word, sizeof u->event_word, 0);
    io_uring_sqe_set_data64(sqe, TAG_EVENT);
    must(u->wakes_len == 0);
    u->event_armed = true;
    return true;
}

static bool fill_cancels(struct uring *u) {
    while (!list_empty(&u->cancels)) {
        struct io_uring_sqe *sqe = entry(u);
        if (!sqe) return false;
        struct io_op *op = uring_op_of(list_pop(&u->cancels));
        must(op->stopped && op->priv_word[W_PLACE] == AT_KERNEL);
        io_uring_prep_cancel64(sqe, (uintptr_t)op | TAG_OP, 0);
        sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
        io_uring_sqe_set_data64(sqe, TAG_CANCEL);
    }
    return true;
}

/* False when something had to stay queued. */
static bool fill(struct uring *u) {
    if (!fill_wakes(u) || !fill_cancels(u)) return false;
    while (!list_empty(&u->queue)) {
        struct io_uring_sqe *sqe = entry(u);
        if (!sqe) return false;
        struct io_op *op = uring_op_of(list_pop(&u->queue));
        must(op->priv_word[W_PLACE] == AT_QUEUE && !op->stopped);
        uring_prepare(u, op, sqe);
        uring_put(op, AT_KERNEL, NULL);
        u->inflight++;
    }
    return true;
}

/* The tick's one system call; none when there is nothing to submit, to fetch or to wait for. */
static void enter(struct uring *u, uint64_t until) {
    struct io_uring *r = &u->ring;
    struct io_uring_cqe *cqe;
    uint64_t now = 0;
    int64_t wall;
    int ret = 0;
    if (io_uring_cq_ready(r)) until = 0;
    if (until && until != UINT64_MAX) io_clock_real(&u->io, &now, &wall);
    if (until == UINT64_MAX) {
        ret = io_uring_submit_and_wait(r, 1);
    } else if (until > now) {
        struct __kernel_timespec ts = {(long long)((until - now) / 1000000000u),
                                       (long long)((until - now) % 1000000000u)};
        ret = io_uring_submit_and_wait_timeout(r, &cqe, 1, &ts, NULL);
    } else if (io_uring_sq_ready(r) ||
               IO_URING_READ_ONCE(*r->sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) {
        ret = io_uring_submit_and_get_events(r);
    }
    must(ret >= 0 || ret == -EINTR || ret == -ETIME || ret == -EAGAIN || ret == -EBUSY);
}

/* --- completing --- */

static size_t on_cqe(struct uring *u, uint64_t data, int32_t res, uint32_t flags) {
    must(u->io.ticking);
    switch ((enum uring_tag)(data & TAG_BITS)) {
    case TAG_OP: return uring_complete(u, (struct io_op *)(uintptr_t)data, res, flags);
    case TAG_EVENT:
        must(u->event_armed);
        u->event_armed = false;
        return 0;
    case TAG_WAKE: /* a failure: the other ring is short of memory or takes no messages */
        if (!u->closing) write_event(((struct uring *)(uintptr_t)(data - TAG_WAKE))->event);
        return 0;
    case TAG_CANCEL: /* a failure: the operation had completed already */
    case TAG_WOKEN: return 0;
    case TAG_BITS: break;
    }
    must(data == 0); /* nobody else's */
    return 0;
}

static size_t reap(struct uring *u, unsigned max) {
    struct io_uring_cqe *cqe;
    unsigned head, n = 0;
    size_t calls = 0;
    io_uring_for_each_cqe(&u->ring, head, cqe) {
        if (n == max) break;
        n++;
        calls += on_cqe(u, cqe->user_data, cqe->res, cqe->flags);
    }
    must(n <= max);
    io_uring_cq_advance(&u->ring, n);
    uring_bufs_publish(u);
    return calls;
}

static size_t run_done(struct uring *u) {
    struct list batch = LIST_INIT(batch), *node;
    size_t calls = 0;
    while ((node = list_pop(&u->done))) list_add_tail(&batch, node);
    while ((node = list_pop(&batch))) {
        struct io_op *op = uring_op_of(node);
        must(op->priv_word[W_PLACE] == AT_DONE);
        calls += uring_end(op, (int64_t)op->priv_word[W_RES]);
    }
    return calls;
}

static size_t uring_poll(struct io *io, uint64_t wait_until_ns) {
    struct uring *u = uring_of(io);
    must(io->backend == IO_URING && io->ticking);
    bool all = fill(u);
    must(!all || list_empty(&u->queue));
    enter(u, all && list_empty(&u->done) ? wait_until_ns : 0);
    io_clock_refresh(io);
    size_t calls = reap(u, REAP_MAX);
    return calls + run_done(u);
}

/* --- opening and closing --- */

static void uring_reg(struct io *io, void *p, size_t n) { uring_fix(uring_of(io), p, n); }

/* Takes every operation back from the kernel, which would otherwise use the owners' memory after us.
 * Callbacks do not run. */
static void drain(struct uring *u) {
    struct __kernel_timespec ts = {0, 100000000};
    struct io_uring_cqe *cqe;
    must(!u->closing && !u->io.ticking);
    u->closing = true;
    struct io_uring_sqe *sqe = entry(u);
    if (sqe) {
        io_uring_prep_cancel64(sqe, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
        io_uring_sqe_set_data64(sqe, TAG_CANCEL);
    }
    for (int i = 0; i < CLOSE_ROUNDS && u->inflight > 0; i++) {
        io_uring_submit_and_wait_timeout(&u->ring, &cqe, 1, &ts, NULL);
        unsigned head, n = 0;
        io_uring_for_each_cqe(&u->ring, head, cqe) {
            n++;
            if ((cqe->user_data & TAG_BITS) != TAG_OP) continue;
            struct io_op *op = (struct io_op *)(uintptr_t)cqe->user_data;
            if (op->kind == IO_OP_ACCEPT) uring_unwatch(op);
            if (cqe->flags & IORING_CQE_F_MORE) continue;
            must(u->inflight > 0);
            if (op->kind == IO_OP_RECV) uring_recv_drop(op);
            u->inflight--;
        }
        io_uring_cq_advance(&u->ring, n);
    }
}

static void uring_close(struct io *io) {
    struct uring *u = uring_of(io);
    must(io->backend == IO_URING);
    if (u->inflight > 0) drain(u);
    uring_bufs_close(u);
    io_uring_queue_exit(&u->ring);
    close(u->event);
    free(u);
}

static const struct io_ops uring_ops = {
    .close = uring_close,
    .submit = uring_submit,
    .stop = uring_stop,
    .poll = uring_poll,
    .wake = uring_wake,
    .clock = io_clock_real,
    .reg = uring_reg,
    .file = &io_files_real,
};

/* Set-ups from the newest kernel's to the oldest's; -EINVAL goes on to the next. */
static int ring_setup(struct io_uring *ring, uint32_t ops_max) {
    static const unsigned modes[] = {
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
            IORING_SETUP_NO_SQARRAY,
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
        IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
        0,
    };
    unsigned entries = ops_max / 4 > ENTRIES_MIN ? ops_max / 4 : ENTRIES_MIN;
    if (entries > ENTRIES_MAX) entries = ENTRIES_MAX;
    int ret = -EINVAL;
    must(entries >= ENTRIES_MIN && entries <= ENTRIES_MAX);
    if (uring_refuse & REFUSE_SETUP) return -EPERM;
    for (size_t i = uring_refuse & REFUSE_SINGLE ? 2 : 0; ret == -EINVAL && i < sizeof modes / sizeof *modes;
         i++) {
        struct io_uring_params p = {.flags = modes[i] | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE |
                                             IORING_SETUP_CLAMP,
                                    .cq_entries = entries * 4};
        ret = io_uring_queue_init_params(entries, ring, &p);
    }
    return ret;
}

/* Multishot receive came with the same release as SEND_ZC, and cannot be asked for itself. */
static bool new_enough(struct io_uring *ring) {
    const unsigned want = IORING_FEAT_EXT_ARG | IORING_FEAT_NODROP | IORING_FEAT_CQE_SKIP;
    struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
    bool ok = probe && io_uring_opcode_supported(probe, IORING_OP_SEND_ZC) && (ring->features & want) == want;
    io_uring_free_probe(probe);
    return ok;
}

static bool disabled_by_sysctl(void) {
    char value = '0';
    int fd = open("/proc/sys/kernel/io_uring_disabled", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    if (read(fd, &value, 1) != 1) value = '0';
    close(fd);
    return value != '0';
}

static const char *reason(int errno_value) {
    switch (errno_value) {
    case EPERM:
    case EACCES:
        return disabled_by_sysctl() ? "io_uring is switched off on this machine (EPERM): sysctl "
                                      "kernel.io_uring_disabled=0 allows it"
                                    : "io_uring is forbidden (EPERM), as container runtimes do by default: "
                                      "use a seccomp profile that "
                                      "allows io_uring_setup, io_uring_enter and io_uring_register";
    case ENOSYS:
        return "no io_uring here (ENOSYS): it needs Linux 6.0 built with CONFIG_IO_URING, and no sandbox "
               "that hides it";
    case ENOMEM:
        return "no memory for io_uring (ENOMEM): raise the limit of locked memory (ulimit -l unlimited, "
               "LimitMEMLOCK=infinity) or of the container's memory";
    case EMFILE:
    case ENFILE: return "no descriptor for io_uring: raise the limit of open files (ulimit -n)";
    case EINVAL:
    case EOPNOTSUPP: return "this kernel's io_uring is too old: Linux 6.0 or newer is needed";
    default: return "io_uring could not be set up";
    }
}

static enum err fail(struct uring *u, int errno_value, const char **why) {
    must(errno_value > 0);
    *why = reason(errno_value);
    if (u->ring.ring_fd >= 0) {
        uring_bufs_close(u);
        io_uring_queue_exit(&u->ring);
    }
    if (u->event >= 0) close(u->event);
    free(u);
    return errno_value == EINVAL ? ERR_UNSUPPORTED : err_of_errno(errno_value);
}

enum err uring_open(struct io **io, const struct io_config *cfg, const char **why) {
    struct uring *u = calloc(1, sizeof *u);
    must(cfg->ops_max > 0 && cfg->recv_buf_size > 0);
    must(cfg->recv_buf_count > 0);
    *why = reason(ENOMEM);
    if (!u) return ERR_NOMEM;
    u->ring.ring_fd = -1;
    u->event = eventfd(0, EFD_CLOEXEC); /* blocking, so that a read of it waits in the ring */
    if (u->event < 0) return fail(u, errno, why);
    int ret = ring_setup(&u->ring, cfg->ops_max);
    if (ret < 0) {
        u->ring.ring_fd = -1;
        return fail(u, -ret, why);
    }
    if (!new_enough(&u->ring)) return fail(u, EINVAL, why);
    enum err e = uring_bufs_open(u, cfg);
    if (e) return fail(u, e == ERR_NOMEM ? ENOMEM : EINVAL, why);
    io_uring_register_ring_fd(&u->ring); /* saves looking the descriptor up; does without when refused */
    list_init(&u->queue);
    list_init(&u->cancels);
    list_init(&u->done);
    io_init(&u->io, IO_URING, &uring_ops);
    *io = &u->io;
    return ERR_OK;
}
