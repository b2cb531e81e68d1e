/* pull.h - one pull request: what its body asks for, and its place in its consumer's queue. Reading takes no
 * heap. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/span.h"

struct pull_ask {
    int64_t batch, max_bytes, expires_ns, heartbeat_ns; /* 0: not asked for; batch is at least 1 */
    bool no_wait;
};

enum { PULL_ERROR_MAX = 256, PULL_BODY_MAX = 4096 };

/* Empty, a number, or JSON. False: why holds the text behind "400 Bad Request - ". */
bool pull_ask_get(struct pull_ask *a, struct span body, char why[PULL_ERROR_MAX]);

enum { PULL_REPLY_INLINE = 104 };

struct pull {
    struct list link; /* js_consumer.pulls */
    int64_t batch_left, bytes_left;
    uint64_t delivered;
    uint64_t expires_ns, heartbeat_at; /* monotonic; 0 = never */
    int64_t heartbeat_ns;
    uint64_t checked; /* the delivery round in which somebody was seen listening */
    bool no_wait, bytes_limited;
    uint32_t reply_n;
    uint8_t *reply_long; /* replies that do not fit inline */
    uint8_t reply[PULL_REPLY_INLINE];
};

static inline struct span pull_reply(const struct pull *p) {
    return span_of(p->reply_long ? p->reply_long : p->reply, p->reply_n);
}
