/* commit_queue.h - what waits for a frame: a bounded ring of bytes, first in first out. An entry is pushed
 * when its record is appended, under the frame that holds it, and taken once that frame is on disk. Frames
 * never go back, so the entries that are done are always the oldest. Memory streams use the same queue with
 * turns of the loop for frames.
 *
 * What waits for records that are written only at the end of the turn (a consumer's progress) is pushed open:
 * it, and what is behind it, is not done before cq_settle() names its frame.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/span.h"

struct mr_stream;

enum cq_kind {
    CQ_SKIP,    /* fills the ring's end */
    CQ_VISIBLE, /* the stream's watermark moves to seq, nobody is told */
    CQ_APPEND,  /* as above, and on_done(MR_DONE_APPEND) */
    CQ_ACK,
    CQ_BARRIER,
};

enum { CQ_NOTE_MAX = 8192 };

struct cq_entry {
    uint64_t frame;
    struct mr_stream *stream; /* holds a reference; NULL: a barrier on a shard */
    uint64_t seq, tag;
    void *part; /* BARRIER: counts the queues that still have to pass it; NULL when this is the only one */
    uint64_t open_next; /* position of the next open entry */
    uint32_t size;      /* of the whole entry in the ring */
    uint16_t note_size;
    uint8_t kind;
    uint8_t status; /* MR_OK, or what cq_settle() said */
    bool durable;   /* written is not enough, whatever the log's mode */
};

#define CQ_OPEN UINT64_MAX /* as a frame: not known yet */

struct commit_queue {
    uint8_t *buf;
    size_t size;                    /* a power of two */
    uint64_t head, read, tail;      /* given back up to head, taken up to read, pushed up to tail */
    uint64_t last;                  /* position of the newest entry, UINT64_MAX when it was taken */
    uint64_t frame;                 /* newest frame pushed */
    size_t count;                   /* entries not taken */
    uint64_t open_first, open_last; /* positions of the open entries, UINT64_MAX: none */
};

enum err cq_init(struct commit_queue *q, size_t size) MUST_USE;
void cq_deinit(struct commit_queue *q);
/* Is there room for an entry with a note of this size? Ask before the record is appended. */
bool cq_room(const struct commit_queue *q, size_t note_size);
/* Copies entry and note in; there is room. A VISIBLE entry that only moves the watermark of the newest entry
 * on replaces it; returns false then, and the entry's reference to the stream is not needed. */
bool cq_push(struct commit_queue *q, const struct cq_entry *e, struct span note);
/* Gives every open entry its frame, or the reason why there will be none. */
void cq_settle(struct commit_queue *q, uint64_t frame, uint8_t status);
bool cq_open(const struct commit_queue *q); /* is there an open entry? */
/* The oldest entry not yet taken, NULL when there is none. Valid until cq_release(). */
const struct cq_entry *cq_peek(struct commit_queue *q);
void cq_take(struct commit_queue *q);
struct span cq_note(const struct cq_entry *e);
/* Gives the room of everything taken back. */
void cq_release(struct commit_queue *q);
bool cq_empty(const struct commit_queue *q); /* nothing left to take */
