/* ring.h - a bounded byte queue from one thread to one other: messages lie contiguous in it, are read in
 * place, and are given back in order. Atomics live here and nowhere else in the engine. Design: SPSC with
 * cached peer indices; the head and the tail are published once a batch.
 *
 * A message is 8-byte aligned and at most ring size / 4 bytes. */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/span.h"

struct ring {
    uint8_t *buf;
    size_t size;                        /* power of two */
    _Alignas(64) _Atomic uint64_t tail; /* published by the writer */
    uint64_t tail_local, head_seen;     /* writer's */
    uint64_t reserved_at, reserved;
    _Alignas(64) _Atomic uint64_t head; /* published by the reader */
    uint64_t head_local, tail_seen;     /* reader's */
};

enum err ring_init(struct ring *r, size_t size) MUST_USE;
void ring_deinit(struct ring *r);
size_t ring_message_max(const struct ring *r);

/* Writer: room for n contiguous bytes, or NULL when the reader is behind. Fill it, then ring_push(). */
void *ring_reserve(struct ring *r, size_t n);
/* Commits the reservation with its final length (<= reserved). Not visible to the reader before
 * ring_publish(). */
void ring_push(struct ring *r, size_t n);
/* Makes pushed messages visible. True if anything was published: then the peer may need a wake. */
bool ring_publish(struct ring *r);

/* Reader: the next message, valid until ring_release(); false when there is none. */
bool ring_next(struct ring *r, struct span *msg);
/* Reader: is there a message that ring_next() would hand out? */
bool ring_waiting(struct ring *r);
/* Gives back everything returned by ring_next() so far. */
void ring_release(struct ring *r);
