/* uring_recv.c - receiving: one multishot RECV a connection, its bytes in buffers that all connections share.
 *
 * The kernel says which buffer it used; where in it follows from how much of it was handed out before. A
 * receive ends when the buffers are used up (they are back before it is queued again), when its share of
 * bytes for one round is through (so that a firehose leaves buffers to others), or when the completion queue
 * is full; each time it is simply submitted again with the next tick. It ends for the owner at the end of the
 * stream, on an error, or when stopped.
 *
 * A stopped receive may have bytes in the completion queue that the socket no longer has. They are gathered
 * and come with the last callback, so that stopping and going on loses nothing. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/asan.h"
#include "base/bytes.h"
#include "base/must.h"
#include "io/uring.h"

enum { GROUP = 0, CLASSIC_SIZE = 16 << 10, COUNT_MAX = 32768 };
#define SHARE_BYTES (256u << 10)

/* Bytes of a stopped receive. */
struct stash {
    size_t n, cap;
    uint8_t bytes[];
};
static struct stash stash_lost; /* stands for one that memory was lacking for: the stream is broken */

static uint32_t pow2_up(uint64_t n) {
    uint32_t p = 1;
    while (p < n && p < COUNT_MAX) p *= 2;
    must((p & (p - 1)) == 0);
    return p;
}

static void buf_give(struct uring *u, uint16_t id) {
    struct uring_bufs *b = &u->bufs;
    must(id < b->count);
    must(b->given < b->count);
    b->used[id] = 0;
    io_uring_buf_ring_add(b->ring, b->mem + (size_t)id * b->size, b->size, id, (int)b->count - 1,
                          (int)b->given++);
}

void uring_bufs_publish(struct uring *u) {
    must(u->bufs.given <= u->bufs.count);
    if (u->bufs.given) io_uring_buf_ring_advance(u->bufs.ring, (int)u->bufs.given);
    u->bufs.given = 0;
}

static bool ring_open(struct uring *u, unsigned flags, uint32_t size, uint64_t count) {
    struct uring_bufs *b = &u->bufs;
    int ret;
    must(size > 0 && count > 0);
    b->size = size;
    b->count = pow2_up(count);
    b->ring = io_uring_setup_buf_ring(&u->ring, b->count, GROUP, flags, &ret);
    return b->ring != NULL;
}

enum err uring_bufs_open(struct uring *u, const struct io_config *cfg) {
    struct uring_bufs *b = &u->bufs;
    uint64_t total = (uint64_t)cfg->recv_buf_size * cfg->recv_buf_count;
    must(total > 0);
    b->limit = !(uring_refuse & REFUSE_LIMIT);
    b->incremental = !(uring_refuse & REFUSE_INCREMENTAL) &&
                     ring_open(u, IOU_PBUF_RING_INC, cfg->recv_buf_size, cfg->recv_buf_count);
    if (!b->incremental) {
        uint32_t size = cfg->recv_buf_size < CLASSIC_SIZE ? cfg->recv_buf_size : CLASSIC_SIZE;
        if (!ring_open(u, 0, size, total / size)) return ERR_UNSUPPORTED;
    }
    b->used = calloc(b->count, sizeof *b->used);
    void *mem =
        mmap(NULL, (size_t)b->size * b->count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    b->mem = mem == MAP_FAILED ? NULL : mem;
    if (!b->used || !b->mem) return ERR_NOMEM;
    for (uint32_t i = 0; i < b->count; i++) buf_give(u, (uint16_t)i);
    uring_bufs_publish(u);
    asan_poison(b->mem, (size_t)b->size * b->count);
    return ERR_OK;
}

void uring_bufs_close(struct uring *u) {
    struct uring_bufs *b = &u->bufs;
    if (b->ring) io_uring_free_buf_ring(&u->ring, b->ring, b->count, GROUP);
    if (b->mem) {
        asan_unpoison(b->mem, (size_t)b->size * b->count);
        must(munmap(b->mem, (size_t)b->size * b->count) == 0);
    }
    free(b->used);
    *b = (struct uring_bufs){0};
}

void uring_recv_drop(struct io_op *op) {
    must(op->kind == IO_OP_RECV);
    if (op->priv != &stash_lost) free(op->priv);
    op->priv = NULL;
}

void uring_prepare_recv(struct uring *u, struct io_op *op, struct io_uring_sqe *sqe) {
    must(op->kind == IO_OP_RECV);
    must(op->priv == NULL);
    io_uring_prep_recv_multishot(sqe, op->fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = GROUP;
    op->priv_word[W_KIND] = u->bufs.limit;
    if (u->bufs.limit) sqe->optlen = SHARE_BYTES;
}

static uint16_t buf_id(uint32_t flags) {
    must(flags & IORING_CQE_F_BUFFER);
    return (uint16_t)(flags >> IORING_CQE_BUFFER_SHIFT);
}

static void stash_add(struct io_op *op, const uint8_t *p, size_t n) {
    struct stash *s = op->priv;
    must(n > 0);
    must(op->stopped);
    if (s == &stash_lost) return;
    size_t have = s ? s->n : 0;
    if (!s || have + n > s->cap) {
        size_t cap = (have + n) * 2;
        struct stash *bigger = realloc(s, sizeof *s + cap);
        if (!bigger) {
            free(s);
            op->priv = &stash_lost;
            return;
        }
        bigger->cap = cap;
        op->priv = s = bigger;
    }
    memcpy(s->bytes + have, p, n);
    s->n = have + n;
    must(s->n <= s->cap);
}

static size_t end_stopped(struct io_op *op, int32_t res) {
    struct stash *s = op->priv;
    op->priv = NULL;
    must(op->stopped);
    must(!s || s == &stash_lost || s->n > 0);
    if (!s) return uring_end(op, res == 0 ? 0 : -(int64_t)ERR_CANCELLED);
    if (s == &stash_lost) return uring_end(op, -(int64_t)ERR_NOMEM);
    op->buf = s->bytes;
    uring_end(op, (int64_t)s->n); /* the owner may have freed op now */
    free(s);
    return 1;
}

static size_t on_bytes(struct uring *u, struct io_op *op, uint16_t id, size_t n, bool more) {
    struct uring_bufs *b = &u->bufs;
    size_t calls = 0;
    must(id < b->count);
    must(n > 0 && n <= b->size - b->used[id]);
    uint8_t *p = b->mem + (size_t)id * b->size + b->used[id];
    b->used[id] += (uint32_t)n;
    asan_unpoison(p, n);
    if (op->stopped) {
        stash_add(op, p, n);
        if (!more) calls = end_stopped(op, 1);
    } else {
        if (!more) uring_put(op, AT_QUEUE, &u->queue);
        op->buf = p;
        op->on_done(op, (int64_t)n);
        calls = 1;
    }
    asan_poison(p, n);
    if (!b->incremental || b->used[id] == b->size) buf_give(u, id);
    return calls;
}

static bool goes_on(struct uring *u, const struct io_op *op, int32_t res) {
    must(res <= 0);
    bool limit_refused = res == -EINVAL && op->priv_word[W_KIND];
    if (limit_refused) u->bufs.limit = false;
    return limit_refused || res == -ENOBUFS || res == -EINTR || res == -EAGAIN;
}

size_t uring_complete_recv(struct uring *u, struct io_op *op, int32_t res, uint32_t flags) {
    bool more = flags & IORING_CQE_F_MORE;
    must(op->kind == IO_OP_RECV);
    if (!more) uring_left_kernel(u, op);
    if (res > 0) return on_bytes(u, op, buf_id(flags), (size_t)res, more);
    if (flags & IORING_CQE_F_BUFFER && !u->bufs.incremental) buf_give(u, buf_id(flags));
    must(!more);
    if (op->stopped) return end_stopped(op, res);
    if (goes_on(u, op, res)) {
        uring_put(op, AT_QUEUE, &u->queue);
        return 0;
    }
    return uring_end(op, res ? -(int64_t)err_of_errno(-res) : 0);
}
