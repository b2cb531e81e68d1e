/* batch.h - is a whole batch of messages taken? The decision of admit.c for many messages at once, as
 * nats-server 2.15 makes it: every message is checked against the stream as it is before the batch, and
 * against the messages of the batch before it where the two would contradict each other. */
#pragma once
#include "stream/stream.h"

enum { STREAM_BATCH_MAX = 1000 };

struct stream_batch_verdict {
    struct stream_verdict v; /* OK: sequence of the first message, and the time of all */
    size_t failed_at;
    bool in_batch; /* refused for a message of the same batch, not for what is stored */
};
/* Changes nothing but capacity. opts: one each, or NULL. */
void stream_admit_batch(struct stream *st, const struct mr_msg *msgs, const struct mr_append_opts *opts,
                        size_t count, int64_t now, struct stream_batch_verdict *out);
/* Before the stream_applied() of each message of an admitted batch. ERR_NOMEM: limits freed what was reserved
 * and the system has nothing to give back. */
enum err stream_batch_next(struct stream *st, const struct mr_msg *m,
                           const struct mr_append_opts *opts) MUST_USE;
