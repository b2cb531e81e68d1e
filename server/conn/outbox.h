/* outbox.h - bytes on their way to one socket: a bounded chain of chunks from the shard's pools, one send in
 * flight. What is put here leaves at the tick's end (outbox_flush), gathered into one submission.
 *
 * An empty outbox holds no memory, and the pools give theirs back to the kernel when nobody needed it for a
 * second. The first chunk of a chain is a small one, so that a message to each of many connections costs
 * pages, not megabytes; the rest are large. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"
#include "base/slab.h"
#include "io/io.h"

enum { OUTBOX_CHUNK = 32768, OUTBOX_CHUNK_SMALL = 4096, OUTBOX_HEAD = 24, OUTBOX_IOV = 16 };

/* A shard's chunks. */
struct outbox_pools {
    struct slab small, large;
};
/* bytes_max: what all chunks together may hold. */
void outbox_pools_init(struct outbox_pools *p, uint64_t bytes_max);
void outbox_pools_deinit(struct outbox_pools *p);
/* Is there memory that may not be needed any more? Then call outbox_pools_trim() in a while; it gives back, a
 * little at a time, what was not needed since the last call. True: call again soon. */
bool outbox_pools_spare(const struct outbox_pools *p);
bool outbox_pools_trim(struct outbox_pools *p);

struct outbox_chunk;
struct outbox {
    struct outbox_chunk *first, *last;
    size_t pending, pending_max; /* bytes not yet taken by the kernel, and their bound (max_pending) */
    struct outbox_pools *pools;
    struct io *io;
    size_t sending;                                 /* bytes of the send in flight */
    uint64_t since_ns;                              /* when the send in flight was submitted, 0 = none */
    void (*on_sent)(struct outbox *ob, enum err e); /* each finished send; an error closes the connection */
    struct io_op send;
    struct iovec iov[OUTBOX_IOV];
};

void outbox_init(struct outbox *ob, struct io *io, struct outbox_pools *pools, size_t pending_max, int fd,
                 void (*on_sent)(struct outbox *, enum err));
/* Appends a copy. ERR_LIMIT: pending_max would be passed (slow consumer); ERR_NOMEM: the pools are empty.
 * Nothing is added then. */
enum err outbox_put(struct outbox *ob, const void *p, size_t n) MUST_USE;
/* As outbox_put for several pieces, all or nothing. */
enum err outbox_putv(struct outbox *ob, const struct iovec *v, size_t count) MUST_USE;
/* Contiguous room for n <= OUTBOX_CHUNK - OUTBOX_HEAD bytes, to be filled at once and committed with the
 * length used (0 is fine). */
enum err outbox_reserve(struct outbox *ob, size_t n, uint8_t **room) MUST_USE;
void outbox_commit(struct outbox *ob, size_t used);
/* Moving to another shard's pools. Takes all bytes out into a block the caller frees; no send is in flight.
 * ERR_NOMEM: nothing happened. */
enum err outbox_take(struct outbox *ob, uint8_t **bytes, size_t *n) MUST_USE;
/* Puts bytes before all others; no send is in flight. The bound does not count here. ERR_NOMEM. */
enum err outbox_prepend(struct outbox *ob, const uint8_t *bytes, size_t n) MUST_USE;
/* Submits what is pending unless a send is in flight. */
void outbox_flush(struct outbox *ob);
bool outbox_idle(const struct outbox *ob);
/* Gives back what no send in flight needs. Nothing may be put here afterwards. */
void outbox_drop(struct outbox *ob);
/* Drops everything; a send in flight must have completed (io_stop it first). */
void outbox_deinit(struct outbox *ob);
