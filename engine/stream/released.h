/* released.h - messages that left a stream because the consumers they were kept for let them go (interest and
 * work queue retention), and that the log has not been told of yet.
 *
 * They are kept as runs of sequences, added in any order; the next record of one of the stream's consumers
 * takes them along (codec_released()), so that an acknowledgement and what it removes are one record, and no
 * message needs a record of its own. Too many runs, or no memory for them: `lost` says that the stream's full
 * record must be written instead.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "stream/codec.h"

enum { RELEASED_RUNS_MAX = 1 << 16 };

struct released_run {
    uint64_t first, last;
};

struct released {
    struct released_run *runs;
    uint32_t len, cap;
    uint64_t msgs, bytes; /* bytes as nats-server counts messages */
    bool lost;
};

void released_add(struct released *r, uint64_t seq, uint64_t bytes);
/* The log took them, or a full record that knows them gone. */
void released_clear(struct released *r);
void released_deinit(struct released *r);
static inline bool released_any(const struct released *r) { return r->len > 0 || r->lost; }

/* Adds the item to a payload; sorts the runs. Nothing when there are none. ERR_NOMEM. */
enum err codec_released(struct codec_buf *b, struct released *r) MUST_USE;
/* The item's value in a payload, empty when there is none; and its runs, ascending: false at the end. */
struct span codec_find_released(struct span record);
bool codec_next_released(struct span *value, struct released_run *run);
