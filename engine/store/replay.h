/* replay.h - from bytes found on disk to the owner: whole records in order, fragments put together, batches
 * held back until their end. Used by recovery and rescan.c; may allocate. */
#pragma once
#include "store/core.h"

struct replay {
    struct store *s;
    uint64_t records;
    uint64_t bad; /* records whose body did not verify */
    /* a run of fragments */
    uint8_t *run;
    size_t run_cap, run_got, run_total;
    uint64_t run_loc;
    struct rec run_rec;
    uint32_t run_subject, run_hdr;
    /* a batch without its end: records one after the other, each behind a struct held */
    uint8_t *batch;
    size_t batch_cap, batch_used;
    uint64_t batch_seg; /* where it begins; 0: none */
    uint32_t batch_stream;
    bool batch_hole; /* durable bytes that do not verify lie directly behind what is held */
    enum err why;    /* out of memory */
    void (*sink)(void *ctx, const struct rec *r,
                 uint64_t loc); /* set: gets the records instead of the owner */
    void *sink_ctx;
};

void replay_init(struct replay *y, struct store *s);
void replay_deinit(struct replay *y);
/* One good record at its place. */
void replay_record(struct replay *y, const struct rec *r, uint64_t segno, uint64_t off);
/* Durable bytes are missing here. */
void replay_hole(struct replay *y);
/* Writing stopped here and went on elsewhere: what is incomplete never existed. */
void replay_break(struct replay *y);

/* The whole frame at p. */
void replay_frame(struct replay *y, const uint8_t *p, const struct frame_header *h, uint64_t segno);
/* A frame that is not whole but was durable: good records count, the others are reported. p: h->size bytes.
 */
void replay_damaged(struct replay *y, const uint8_t *p, const struct frame_header *h, struct seg *g);
/* Bytes of frames whose headers are lost, off..off + n: good records count, the rest is reported as one. */
void replay_unknown(struct replay *y, const uint8_t *p, size_t n, struct seg *g, uint64_t off);
/* With a sink: whatever record verifies in these bytes. */
void replay_search(struct replay *y, const uint8_t *p, size_t n, struct seg *g, uint64_t off);
