/* outbox.c - a chain of chunks between the formatting of a message and the socket.
 *
 * Happy path: bytes are appended to the last chunk while earlier ones, or its own front, are being sent; a
 * finished send gives its chunks back. Chunks are never moved, so the vectors of a send in flight stay valid
 * while more is appended behind them. What fails: the bound of this connection (ERR_LIMIT) or the memory of
 * the shard (ERR_NOMEM); both leave the chain as it was, and the owner decides whom that costs the
 * connection. */
#include "conn/outbox.h"

#include <stdlib.h>
#include <string.h>

#include "base/must.h"

/* What the pools keep, in chunks (1 MiB and 512 KiB), and how many they give back at a time. */
enum { KEEP_LARGE = 32, KEEP_SMALL = 128, TRIM_MAX = 32 };

struct outbox_chunk {
    struct outbox_chunk *next;
    uint32_t start, end, cap; /* bytes not yet sent: [start, end) */
    uint8_t data[];
};

static_must(sizeof(struct outbox_chunk) == OUTBOX_HEAD);

void outbox_pools_init(struct outbox_pools *p, uint64_t bytes_max) {
    must(bytes_max > 0);
    size_t large = bytes_max / OUTBOX_CHUNK, small = bytes_max / 4 / OUTBOX_CHUNK_SMALL;
    slab_init(&p->large, OUTBOX_CHUNK, large > 16 ? large : 16);
    slab_init(&p->small, OUTBOX_CHUNK_SMALL, small > 32 ? small : 32);
}

void outbox_pools_deinit(struct outbox_pools *p) {
    slab_deinit(&p->large);
    slab_deinit(&p->small);
}

static bool spare(const struct slab *s, size_t keep) { return s->free_n - s->cold > keep; }

bool outbox_pools_spare(const struct outbox_pools *p) {
    return spare(&p->large, KEEP_LARGE) || spare(&p->small, KEEP_SMALL);
}

bool outbox_pools_trim(struct outbox_pools *p) {
    bool more = slab_trim(&p->large, KEEP_LARGE, TRIM_MAX);
    return slab_trim(&p->small, KEEP_SMALL, TRIM_MAX) || more;
}

static struct outbox_chunk *chunk_take(struct outbox *ob, size_t n, bool small) {
    struct outbox_chunk *c = NULL;
    size_t cap = OUTBOX_CHUNK_SMALL - OUTBOX_HEAD;
    if (small && n <= cap) c = slab_take(&ob->pools->small);
    if (!c) {
        cap = OUTBOX_CHUNK - OUTBOX_HEAD;
        c = slab_take(&ob->pools->large);
    }
    if (!c) return NULL;
    must(n <= cap);
    *c = (struct outbox_chunk){.cap = (uint32_t)cap};
    return c;
}

static void chunk_give(struct outbox *ob, struct outbox_chunk *c) {
    must(c->start <= c->end && c->end <= c->cap);
    slab_give(c->cap == OUTBOX_CHUNK - OUTBOX_HEAD ? &ob->pools->large : &ob->pools->small, c);
}

static void chain(struct outbox *ob, struct outbox_chunk *c) {
    must(c->next == NULL && c->start == c->end);
    must((ob->first == NULL) == (ob->last == NULL));
    if (ob->last) {
        ob->last->next = c;
    } else {
        ob->first = c;
    }
    ob->last = c;
}

/* --- putting --- */

static size_t room_left(const struct outbox *ob) { return ob->last ? ob->last->cap - ob->last->end : 0; }

/* Gets chunks for n more bytes behind the last one, all or none. The chain is not touched. */
static enum err provide(struct outbox *ob, size_t n, struct outbox_chunk **more) {
    must(n > 0);
    struct outbox_chunk **tail = more;
    *more = NULL;
    for (bool small = !ob->first; n > 0; small = false) {
        size_t first_max = OUTBOX_CHUNK_SMALL - sizeof(struct outbox_chunk);
        struct outbox_chunk *c = chunk_take(ob, 0, small && n <= first_max);
        if (!c) {
            while ((c = *more)) {
                *more = c->next;
                chunk_give(ob, c);
            }
            return ERR_NOMEM;
        }
        *tail = c;
        tail = &c->next;
        n -= n < c->cap ? n : c->cap;
    }
    return ERR_OK;
}

static const uint8_t *fill(struct outbox_chunk *c, const uint8_t *p, size_t *n) {
    size_t left = c->cap - c->end, k = *n < left ? *n : left;
    memcpy(c->data + c->end, p, k);
    c->end += (uint32_t)k;
    *n -= k;
    return p + k;
}

enum err outbox_putv(struct outbox *ob, const struct iovec *v, size_t count) {
    must(ob->pending <= ob->pending_max);
    size_t n = 0;
    for (size_t i = 0; i < count; i++) n += v[i].iov_len;
    if (n > ob->pending_max || ob->pending > ob->pending_max - n) return ERR_LIMIT;
    struct outbox_chunk *more = NULL;
    size_t left = room_left(ob);
    if (n > left) {
        enum err e = provide(ob, n - left, &more);
        if (e) return e;
    }
    for (size_t i = 0; i < count; i++) {
        const uint8_t *p = v[i].iov_base;
        size_t k = v[i].iov_len;
        while (k > 0) {
            if (room_left(ob) == 0) {
                struct outbox_chunk *c = more;
                must(c != NULL);
                more = c->next;
                c->next = NULL;
                chain(ob, c);
            }
            p = fill(ob->last, p, &k);
        }
    }
    must(more == NULL);
    ob->pending += n;
    return ERR_OK;
}

enum err outbox_put(struct outbox *ob, const void *p, size_t n) {
    struct iovec v = {(void *)p, n};
    return outbox_putv(ob, &v, 1);
}

enum err outbox_reserve(struct outbox *ob, size_t n, uint8_t **room) {
    must(n <= OUTBOX_CHUNK - OUTBOX_HEAD);
    if (n > ob->pending_max || ob->pending > ob->pending_max - n) return ERR_LIMIT;
    if (room_left(ob) < n) {
        struct outbox_chunk *c = chunk_take(ob, n, !ob->first);
        if (!c) return ERR_NOMEM;
        chain(ob, c);
    }
    must(room_left(ob) >= n);
    *room = ob->last->data + ob->last->end;
    return ERR_OK;
}

void outbox_commit(struct outbox *ob, size_t used) {
    must(ob->last != NULL);
    must(used <= room_left(ob));
    ob->last->end += (uint32_t)used;
    ob->pending += used;
}

/* --- moving --- */

enum err outbox_take(struct outbox *ob, uint8_t **bytes, size_t *n) {
    must(!ob->send.busy && ob->sending == 0);
    *bytes = NULL;
    *n = 0;
    if (ob->pending) {
        *bytes = malloc(ob->pending);
        if (!*bytes) return ERR_NOMEM;
        for (const struct outbox_chunk *c = ob->first; c; c = c->next) {
            memcpy(*bytes + *n, c->data + c->start, c->end - c->start);
            *n += c->end - c->start;
        }
    }
    must(*n == ob->pending);
    outbox_deinit(ob);
    return ERR_OK;
}

enum err outbox_prepend(struct outbox *ob, const uint8_t *bytes, size_t n) {
    must(!ob->send.busy);
    if (n == 0) return ERR_OK;
    struct outbox_chunk *more, *last;
    enum err e = provide(ob, n, &more);
    if (e) return e;
    ob->pending += n;
    for (last = more;; last = last->next) {
        bytes = fill(last, bytes, &n);
        if (!last->next) break;
    }
    must(n == 0);
    last->next = ob->first;
    ob->first = more;
    if (!ob->last) ob->last = last;
    return ERR_OK;
}

/* --- sending --- */

/* Steps over n sent bytes; chunks that are through go back, the last one too when nothing is behind it. */
static void consume(struct outbox *ob, size_t n) {
    must(n <= ob->pending);
    ob->pending -= n;
    while (ob->first) {
        struct outbox_chunk *c = ob->first;
        size_t k = c->end - c->start;
        if (k > n) {
            c->start += (uint32_t)n;
            break;
        }
        n -= k;
        c->start = c->end;
        ob->first = c->next;
        if (!ob->first) ob->last = NULL;
        chunk_give(ob, c);
    }
    must(ob->first || n == 0);
}

static void on_send(struct io_op *op, int64_t res) {
    struct outbox *ob = container_of(op, struct outbox, send);
    must(ob->since_ns != 0);
    must(res < 0 || (size_t)res == ob->sending);
    size_t n = ob->sending;
    ob->since_ns = 0;
    ob->sending = 0;
    consume(ob, res >= 0 ? n : op->done);
    ob->on_sent(ob, res < 0 ? (enum err) - res : ERR_OK);
}

void outbox_flush(struct outbox *ob) {
    must(ob->send.busy == (ob->since_ns != 0));
    if (ob->send.busy || ob->pending == 0) return;
    uint32_t count = 0;
    size_t n = 0;
    for (struct outbox_chunk *c = ob->first; c && count < OUTBOX_IOV; c = c->next) {
        if (c->end == c->start) continue;
        ob->iov[count++] = (struct iovec){c->data + c->start, c->end - c->start};
        n += c->end - c->start;
    }
    must(count > 0);
    ob->sending = n;
    ob->since_ns = io_now(ob->io);
    if (!ob->since_ns) ob->since_ns = 1;
    if (count == 1) { /* the common case, which needs no vectors */
        ob->send.iov_count = 0;
        ob->send.buf = ob->iov[0].iov_base;
        ob->send.len = n;
    } else {
        ob->send.iov = ob->iov;
        ob->send.iov_count = count;
    }
    io_submit(ob->io, &ob->send);
}

bool outbox_idle(const struct outbox *ob) { return ob->pending == 0 && !ob->send.busy; }

/* --- life --- */

void outbox_init(struct outbox *ob, struct io *io, struct outbox_pools *pools, size_t pending_max, int fd,
                 void (*on_sent)(struct outbox *, enum err)) {
    must(on_sent != NULL);
    *ob = (struct outbox){.io = io, .pools = pools, .pending_max = pending_max, .on_sent = on_sent};
    ob->send.kind = IO_OP_SEND;
    ob->send.fd = fd;
    ob->send.on_done = on_send;
}

/* Gives back chunks from *link on. */
static void give_from(struct outbox *ob, struct outbox_chunk **link) {
    must(!ob->send.busy || *link == NULL || link != &ob->first);
    struct outbox_chunk *c = *link;
    *link = NULL;
    while (c) {
        struct outbox_chunk *next = c->next;
        ob->pending -= c->end - c->start;
        c->start = c->end;
        chunk_give(ob, c);
        c = next;
    }
}

void outbox_drop(struct outbox *ob) {
    struct outbox_chunk **link = &ob->first;
    size_t held = 0;
    ob->last = NULL;
    while (*link && held < ob->sending) {
        held += (*link)->end - (*link)->start;
        ob->last = *link;
        link = &(*link)->next;
    }
    give_from(ob, link);
}

void outbox_deinit(struct outbox *ob) {
    must(!ob->send.busy);
    give_from(ob, &ob->first);
    ob->last = NULL;
    must(ob->pending == 0);
}
