/* pending.h - the messages a consumer has delivered and waits for: 68 bytes each in arrays that grow by
 * doubling and shrink when an eighth is left; 84 once something waits in the heap.
 *
 * An entry is found by sequence (hash) and stands in sequence order (the floor moves to the next one in
 * O(1)). It waits in exactly one place: in the order of delivery (all have the same ack wait), in a heap by
 * deadline (backoff, delayed NAK), in the redelivery queue, or nowhere: it reached max_deliver and is only
 * remembered until its message is gone. Changed entries are on the dirty list until the consumer's progress
 * is logged.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { PENDING_NONE = UINT32_MAX, PENDING_MAX = 1 << 22 };

enum pending_where { PENDING_FREE, PENDING_NOWHERE, PENDING_WAIT, PENDING_HEAP, PENDING_QUEUE, PENDING_DEAD };

struct pending {
    uint64_t seq, cseq;     /* of the first delivery: nats-server keeps it over redeliveries */
    int64_t ts;             /* of the last delivery, as the ack wait counts it */
    uint32_t redelivered;   /* deliveries after the first */
    uint32_t hash_next;     /* free entries: the next free one */
    uint32_t older, newer;  /* sequence order; not when DEAD */
    uint32_t before, after; /* in its place; HEAP: before = position in the heap */
    uint32_t dirty_prev, dirty_next;
    uint8_t where;      /* enum pending_where */
    bool dirty, logged; /* on the dirty list; known to the log */
};

struct pending_list {
    uint32_t head, tail;
};

struct pending_due {
    int64_t deadline;
    uint32_t item;
};

struct pending_set {
    struct pending *items;
    uint32_t *buckets;
    struct pending_due *heap;
    uint32_t cap, buckets_cap, free_head;
    uint32_t count; /* waiting for an ack: all but DEAD */
    uint32_t dead;  /* at max_deliver */
    uint32_t again; /* with redelivered > 0, DEAD ones included */
    uint32_t heap_len, queued, dirty_count;
    bool heaped;                                  /* the heap has room for all of cap */
    struct pending_list order, wait, queue, gone; /* gone: DEAD */
    struct pending_list dirty;
};

void pending_init(struct pending_set *s);
void pending_deinit(struct pending_set *s);
/* Room for one more; ERR_LIMIT at PENDING_MAX, ERR_NOMEM. */
enum err pending_reserve(struct pending_set *s) MUST_USE;
/* Before the first entry is placed in the heap: gives it room, now and whenever the set grows. ERR_NOMEM. */
enum err pending_use_heap(struct pending_set *s) MUST_USE;
/* Gives memory back that so few entries do not need; indices change. Does nothing when there is none to copy
 * them with. */
void pending_trim(struct pending_set *s);
/* The entry of a sequence or PENDING_NONE. */
uint32_t pending_find(const struct pending_set *s, uint64_t seq);
struct pending *pending_at(const struct pending_set *s, uint32_t i);
/* After pending_reserve(). The new entry is in sequence order and NOWHERE. */
uint32_t pending_add(struct pending_set *s, uint64_t seq, uint64_t cseq);
void pending_remove(struct pending_set *s, uint32_t i);
/* Moves an entry to the end of a place. WAIT: ts must not be below the last one's. HEAP: deadline is its key.
 */
void pending_place(struct pending_set *s, uint32_t i, enum pending_where where, int64_t deadline);
/* The entry of the heap with the earliest deadline; PENDING_NONE. */
uint32_t pending_heap_top(const struct pending_set *s, int64_t *deadline);
void pending_set_redelivered(struct pending_set *s, uint32_t i, uint32_t n);
void pending_touch(struct pending_set *s, uint32_t i); /* to the dirty list */
void pending_clean(struct pending_set *s);             /* everything is logged */
