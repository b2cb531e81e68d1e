/* codec_core.h - records as they are after decoding, before anything is changed. Spans point into the record.
 */
#pragma once
#include "millrace.h"
#include "stream/codec.h"
#include "stream/dedupe.h"
#include "stream/stream.h"

/* The tags are the format: numbers are never reused. */
enum codec_tag {
    TAG_NAME = 1,
    TAG_CONFIG,  /* words: see the codec_*.c */
    TAG_SUBJECT, /* one each; a consumer's are its filters */
    TAG_EXTRA,
    TAG_STATE, /* words */
    TAG_LAST_ID,
    TAG_RUNS, /* varints: live, deleted, live, ... sequences from first_seq to last_seq */
    TAG_IDS,  /* message ids whose message is gone: 12 bytes of hash, varint sequence step, varint time step
                 (ns) */
    TAG_BACKOFF, /* words */
    TAG_PENDING, /* entries ascending: varints, see codec_consumer.c */
    TAG_REMOVED, /* varints: sequence steps, ascending */
    TAG_FILTER,  /* of a purge */
};

/* Subject items of a record gathered into an array that the caller frees. */
enum err codec_subjects(struct span record, struct mr_bytes **subjects, size_t *count) MUST_USE;

struct stream_image {
    struct stream_conf conf; /* owned: move it out or deinit */
    uint64_t first_seq, last_seq, lost_msgs, lost_bytes, live;
    int64_t last_ts, created;
    struct span last_id, runs, ids;
};
enum err codec_read_stream(struct span record, struct stream_image *img) MUST_USE;
/* Walks what codec_read_stream() has checked: false at the end. */
bool codec_next_run(struct span *runs, uint64_t *live, uint64_t *dead);
bool codec_next_id(struct span *ids, struct dedupe_key *k, uint64_t *seq, int64_t *ts);
