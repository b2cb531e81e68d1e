/* msg.h - one message as spans. The bytes belong to whoever filled it (a receive buffer, a slab, a stored
 * record); a struct msg never outlives them. Nothing here allocates. */
#pragma once
#include "base/span.h"

struct msg {
    struct span subject;
    struct span reply;   /* empty when none */
    struct span hdr;     /* the whole block, "NATS/1.0" up to and with the blank line; empty when none */
    struct span payload; /* without header block and without the closing CRLF */
};

/* What max_payload counts and HMSG announces: header block and payload. */
static inline size_t msg_size(const struct msg *m) { return m->hdr.n + m->payload.n; }
