/* outbox.h - bytes on their way to one socket: a bounded chain of chunks from the shard's pool, one send in flight. What is
 * put here leaves at the tick's end (outbox_flush), gathered into one submission. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "io/io.h"

enum { OUTBOX_CHUNK = 32768, OUTBOX_IOV = 16 };

struct outbox_chunk;
struct outbox {
    struct io *io;
    struct pool *chunks;    /* of struct outbox_chunk, the shard's */
    struct outbox_chunk *first, *last;
    size_t pending, pending_max; /* bytes not yet taken by the kernel, and their bound (max_pending) */
    struct io_op send;
    struct iovec iov[OUTBOX_IOV];
    size_t sending;         /* bytes of the send in flight */
    uint64_t since_ns;      /* when the send in flight was submitted, 0 = none */
    void (*on_sent)(struct outbox *ob, enum err e); /* each finished send; an error closes the connection */
};

void outbox_init(struct outbox *ob, struct io *io, struct pool *chunks, size_t pending_max, int fd, void (*on_sent)(struct outbox *, enum err));
/* Appends a copy. ERR_LIMIT: pending_max would be passed (slow consumer); ERR_NOMEM: the pool is empty. Nothing is added then. */
enum err outbox_put(struct outbox *ob, const void *p, size_t n) MUST_USE;
/* As outbox_put for several pieces, all or nothing. */
enum err outbox_putv(struct outbox *ob, const struct iovec *v, size_t count) MUST_USE;
/* Contiguous room for n <= OUTBOX_CHUNK bytes, to be filled at once and committed with the length used; NULL as above. */
uint8_t *outbox_reserve(struct outbox *ob, size_t n);
void outbox_commit(struct outbox *ob, size_t used);
/* Submits what is pending unless a send is in flight. */
void outbox_flush(struct outbox *ob);
bool outbox_idle(const struct outbox *ob);
/* Drops everything; a send in flight must have completed (io_stop it first). */
void outbox_deinit(struct outbox *ob);
