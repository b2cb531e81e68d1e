/* disk.c - the helper thread. It takes all there is to do at once, runs it in order and hands results back as
 * they come. Neighbouring durable writes to one file share one fdatasync, as they would share a flush in the
 * ring. A failed sync fails each write it was for. Owners do not touch an operation's memory meanwhile; the
 * lock orders the hand-over. */
#include "io/disk.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "base/must.h"
#include "io/loop.h"

static struct io_op *op_of(struct list *node) { return container_of(node, struct io_op, link); }

static bool is_durable_write(const struct io_op *op) {
    return op->kind == IO_OP_WRITE && op->flags & IO_DSYNC;
}

static void move_all(struct list *from, struct list *to) {
    struct list *node;
    while ((node = list_pop(from))) list_add_tail(to, node);
    must(list_empty(from));
}

static void finish(struct disk *d, struct io_op *op, int64_t res) {
    static const uint64_t one = 1;
    op->priv_word[DISK_RES] = (uint64_t)res;
    must(op->busy);
    must(res > -(int64_t)ERR_COUNT);
    pthread_mutex_lock(&d->lock);
    bool first = list_empty(&d->finished);
    list_add_tail(&d->finished, &op->link);
    pthread_mutex_unlock(&d->lock);
    if (first) must(write(d->event, &one, sizeof one) == sizeof one || errno == EAGAIN);
}

static int64_t run(const struct io_op *op) {
    size_t got = 0;
    enum err e = ERR_INVAL;
    const struct io_file_ops *file = &io_files_real;
    must(op->busy && op->fd >= 0);
    switch (op->kind) {
    case IO_OP_READ: e = file->read(NULL, op->fd, op->buf, op->len, op->off, &got); break;
    case IO_OP_WRITE:
        e = file->write(NULL, op->fd, op->buf, op->len, op->off, false);
        got = op->len;
        break;
    case IO_OP_FSYNC: e = file->sync(NULL, op->fd); break;
    case IO_OP_FALLOCATE: e = file->allocate(NULL, op->fd, op->off, op->len); break;
    default: must(op->kind == IO_OP_READ); /* only files come here */
    }
    must(got <= op->len);
    return e ? -(int64_t)e : (int64_t)got;
}

/* A durable write and those behind it on the same file: all are written, one sync covers them. */
static void run_durable(struct disk *d, struct io_op *op, struct list *batch) {
    struct list group = LIST_INIT(group), *node;
    int fd = op->fd;
    must(is_durable_write(op));
    for (;; op = op_of(list_pop(batch))) {
        must(op->fd == fd);
        op->priv_word[DISK_RES] = (uint64_t)run(op);
        list_add_tail(&group, &op->link);
        if (list_empty(batch) || !is_durable_write(op_of(batch->next)) || op_of(batch->next)->fd != fd) break;
    }
    enum err e = io_files_real.write(NULL, fd, NULL, 0, 0, true);
    while ((node = list_pop(&group))) {
        int64_t res = (int64_t)op_of(node)->priv_word[DISK_RES];
        finish(d, op_of(node), res >= 0 && e ? -(int64_t)e : res);
    }
}

static void *disk_main(void *arg) {
    struct disk *d = arg;
    struct list batch = LIST_INIT(batch);
    must(d->event >= 0);
    for (;;) {
        pthread_mutex_lock(&d->lock);
        while (list_empty(&batch) && list_empty(&d->todo) && !d->stop) pthread_cond_wait(&d->more, &d->lock);
        move_all(&d->todo, &batch);
        bool stop = d->stop;
        pthread_mutex_unlock(&d->lock);
        if (stop) return NULL;
        must(!list_empty(&batch));
        struct io_op *op = op_of(list_pop(&batch));
        if (is_durable_write(op)) {
            run_durable(d, op, &batch);
        } else {
            finish(d, op, run(op));
        }
    }
}

void disk_init(struct disk *d, int event) {
    must(event >= 0);
    *d = (struct disk){.event = event};
    list_init(&d->todo);
    list_init(&d->finished);
    must(pthread_mutex_init(&d->lock, NULL) == 0);
    must(pthread_cond_init(&d->more, NULL) == 0);
}

/* Signals are the host's: the helper takes none. */
static bool start(struct disk *d) {
    sigset_t all, before;
    must(!d->running && !d->stop);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    d->running = pthread_create(&d->thread, NULL, disk_main, d) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return d->running;
}

enum err disk_run(struct disk *d, struct list *batch) {
    must(!d->stop);
    if (list_empty(batch)) return ERR_OK;
    if (!d->running && !start(d)) return ERR_NOMEM;
    pthread_mutex_lock(&d->lock);
    move_all(batch, &d->todo);
    pthread_cond_signal(&d->more);
    pthread_mutex_unlock(&d->lock);
    return ERR_OK;
}

void disk_take(struct disk *d, struct list *out) {
    must(out != &d->finished);
    if (!d->running) return;
    pthread_mutex_lock(&d->lock);
    move_all(&d->finished, out);
    pthread_mutex_unlock(&d->lock);
}

void disk_deinit(struct disk *d) {
    must(!d->stop);
    pthread_mutex_lock(&d->lock);
    d->stop = true;
    pthread_cond_signal(&d->more);
    pthread_mutex_unlock(&d->lock);
    if (d->running) must(pthread_join(d->thread, NULL) == 0);
    must(pthread_cond_destroy(&d->more) == 0);
    must(pthread_mutex_destroy(&d->lock) == 0);
}
