/* pending.h - the messages a consumer has delivered and waits for: 56 bytes each in one array that grows by
 * doubling.
 *
 * An entry is found by sequence (hash) and stands in sequence order (the floor moves to the next one in
 * O(1)). It waits in exactly one place: in the order of delivery (all have the same ack wait), in a heap by
 * deadline (backoff, delayed NAK), in the redelivery queue, or nowhere: it reached max_deliver and is only
 * remembered. Changed entries are on the dirty list until the consumer's progress is logged.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { PENDING_NONE = UINT32_MAX, PENDING_MAX = 1 << 22 };

enum pending_where { PENDING_FREE, PENDING_WAIT, PENDING_HEAP, PENDING_QUEUE, PENDING_DEAD };

struct pending {
    uint64_t seq, cseq;   /* of the first delivery: nats-server keeps it over redeliveries */
    int64_t ts;           /* of the last delivery, as the ack wait counts it */
    uint32_t redelivered; /* deliveries after the first */
    uint32_t hash_next;
    uint32_t older, newer;  /* sequence order */
    uint32_t before, after; /* in its place; heap: before = position */
    uint32_t dirty_next;
    uint8_t where;
    bool dirty, logged; /* is on the dirty list; is known to the log */
    uint8_t unused;
};

struct pending_list {
    uint32_t head, tail;
};

struct pending_set {
    struct pending *items;
    uint32_t *buckets, *heap;
    uint32_t cap, buckets_cap, free_head, used;
    uint32_t count; /* waiting for an ack: all but DEAD */
    uint32_t dead;  /* at max_deliver */
    uint32_t heap_len;
    struct pending_list order, wait, queue, gone; /* order: by sequence, without DEAD; gone: DEAD */
    uint32_t dirty_head;
    uint32_t dirty_count;
};

void pending_init(struct pending_set *s);
void pending_deinit(struct pending_set *s);
/* Room for one more; ERR_LIMIT at PENDING_MAX, ERR_NOMEM. */
enum err pending_reserve(struct pending_set *s) MUST_USE;
uint32_t pending_find(const struct pending_set *s, uint64_t seq);
/* After pending_reserve(). The new entry is in order, not yet in a place. */
uint32_t pending_add(struct pending_set *s, uint64_t seq, uint64_t cseq);
void pending_remove(struct pending_set *s, uint32_t i);
/* Moves an entry to the end of a place. WAIT: ts must not be below the last one's; HEAP: key = deadline. */
void pending_place(struct pending_set *s, uint32_t i, enum pending_where where, int64_t deadline);
/* The entry of the heap with the earliest deadline. */
uint32_t pending_heap_top(const struct pending_set *s, int64_t *deadline);
void pending_touch(struct pending_set *s, uint32_t i); /* to the dirty list */
void pending_clean(struct pending_set *s);             /* everything is logged */
void pending_clear(struct pending_set *s);             /* forget all */
