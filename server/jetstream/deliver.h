/* deliver.h - from pull requests to messages. A request waits in its consumer's queue (pull.h); when the
 * engine has something visible, requests are served in turn, one message each, and consumers by turns,
 * bounded a tick. */
#pragma once
#include <stdbool.h>

#include "jetstream/casts.h"
#include "jetstream/core.h"
#include "wire/msg.h"

/* A request on $JS.API.CONSUMER.MSG.NEXT.<path>, from a route callback. False: no such consumer. */
bool js_next(struct js *js, struct span path, const struct msg *m);
void js_next_on_cast(struct js *js, const struct cast *c);
/* The same behind +NXT: body is what follows it. */
void js_next_body(struct js_consumer *c, struct span reply, struct span body);

/* The engine may have something for this consumer. */
void js_consumer_ready(struct js_consumer *c);
/* One message to a subject: how many got it, and its size as clients count. */
size_t js_deliver_one(struct js_consumer *c, struct span to, const struct mr_delivery *d, size_t *size);
/* Its client lags, or the way there is backed up: this consumer's turn ends, and it gets none for a moment.
 */
void js_consumer_pause(struct js_consumer *c);
/* Nanoseconds left of the pause its configuration asks for. */
int64_t js_consumer_paused(const struct js_consumer *c);
/* Nobody got it: it comes again. */
void js_hand_back(struct js_consumer *c, const struct mr_delivery *d);
/* Serves ready consumers, then due timers. */
void js_deliver_all(struct js *js);
/* Ends all waiting requests with this status line ("409 Consumer Deleted"). Not from inside a route callback.
 */
void js_pulls_end(struct js_consumer *c, int status, const char *text, bool pending_headers);
/* Drops requests nobody listens to any more; how many are left. */
size_t js_pulls_sweep(struct js_consumer *c);
/* Looks at the consumer again at this time (monotonic; 0: never), or earlier. */
void js_consumer_wake(struct js_consumer *c, uint64_t at);
/* Sets the timer for what comes next: expiry, heartbeat, inactivity. */
void js_consumer_timer(struct js_consumer *c);
