/* push.h - delivery to a subject instead of to requests: push consumers.
 *
 * A push consumer is active while somebody is subscribed to exactly its deliver subject (in its group, if it
 * has one). While it is, messages go out as they become visible, bounded a tick. Flow control: after half a
 * window of bytes a question goes out whose reply is $JS.FC.<stream>.<consumer>.<id>; a window without an
 * answer stops delivery; each answer doubles the window, from 2 to 32 MiB. Idle heartbeats tell a client that
 * nothing was lost. */
#pragma once
#include <stdbool.h>

#include "jetstream/casts.h"
#include "jetstream/core.h"

struct js_push {
    struct list link; /* js->pushes */
    struct js_consumer *consumer;
    struct span to, group; /* into block */
    bool active;
    int64_t heartbeat_ns;
    uint64_t heartbeat_at; /* monotonic; 0: none */
    uint64_t window;       /* bytes; 0: no flow control */
    uint64_t out;          /* bytes delivered and not yet answered for */
    uint64_t asked;        /* bytes the question under way is about */
    uint64_t question;     /* its id, 0: none under way */
    uint8_t block[];
};

struct consumer_cfg;

/* Becomes, stays or ceases to be a push consumer, as the configuration says. ERR_NOMEM: as it was. */
enum err js_push_follow(struct js_consumer *c, const struct consumer_cfg *cfg) MUST_USE;
void js_push_drop(struct js_consumer *c);
/* Who is bound may have changed: looks at all push consumers if any subscription came or went. */
void js_push_interest(struct js *js);
/* One turn. True: there may be more. */
bool js_push_serve(struct js_consumer *c);
void js_push_due(struct js_consumer *c);

enum err js_push_open(struct js *js) MUST_USE; /* answers on $JS.FC */
void js_push_close(struct js *js);
void js_push_on_cast(struct js *js, const struct cast *c);
