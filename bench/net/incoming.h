/* incoming.h - what a server sends, one operation at a time, as spans into the caller's bytes. Written for
 * speed: a load generator must not be the slow side. Pure. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

enum incoming_kind { IN_MORE, IN_MSG, IN_PING, IN_PONG, IN_OK, IN_INFO, IN_ERR, IN_BAD };

struct incoming {
    uint32_t sid;
    struct span subject, reply, header, payload; /* IN_MSG; reply and header may be empty */
    struct span arg;                             /* IN_INFO: the json; IN_ERR: the text; IN_BAD: the line */
    size_t used; /* bytes of this operation; IN_MORE: bytes it has in all, 0 = not known */
};

/* The first operation in p[0..n). IN_MORE: not whole yet. IN_BAD: nothing a server may send; do not go on. */
enum incoming_kind incoming_next(const uint8_t *p, size_t n, struct incoming *m);
