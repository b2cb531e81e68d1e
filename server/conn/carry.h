/* carry.h - received bytes that are not used up yet: the cut-off end of a receive buffer, a payload being
 * gathered, or what came while a connection is paused. One contiguous buffer a connection, none while there
 * is nothing to carry; all of a shard's together are charged to one budget. Buffers come in powers of two and
 * are kept for reuse up to a bound, so that gathering does not allocate in the steady state. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { CARRY_MIN = 4096, CARRY_CLASSES = 20, CARRY_KEEP_MAX = 16 << 20 };

/* A shard's budget. */
struct ingest {
    uint64_t used, max; /* bytes of buffers in use, and their bound */
    uint64_t kept;      /* bytes of buffers waiting for reuse, at most max / 4 and CARRY_KEEP_MAX */
    bool freed;         /* something was given back: whoever waits for room may try again */
    void *free_list[CARRY_CLASSES];
};
void ingest_init(struct ingest *in, uint64_t max);
void ingest_deinit(struct ingest *in);

struct carry {
    uint8_t *p;
    size_t at, n, cap; /* n bytes at p + at */
};

/* Makes room for total >= c->n contiguous bytes. ERR_LIMIT: over the budget, unless forced; ERR_NOMEM. */
enum err carry_room(struct ingest *in, struct carry *c, size_t total, bool forced) MUST_USE;
/* There must be room. */
void carry_append(struct carry *c, const uint8_t *p, size_t n);
static inline const uint8_t *carry_bytes(const struct carry *c) { return c->p + c->at; }
/* Steps over used bytes; an empty carry gives its buffer back. */
void carry_consume(struct ingest *in, struct carry *c, size_t used);
/* The buffer leaves this shard's budget for another's; it keeps its bytes. */
void carry_leave(struct ingest *in, const struct carry *c);
void carry_arrive(struct ingest *in, const struct carry *c);
void carry_drop(struct ingest *in, struct carry *c);
