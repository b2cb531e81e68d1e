/* codec_core.h - records as they are after decoding, before anything is changed. Spans point into the record.
 */
#pragma once
#include "millrace.h"
#include "stream/codec.h"
#include "stream/config.h"
#include "stream/dedupe.h"
#include "stream/stream.h"

/* The tags are the format: numbers are never reused. What the values hold stands atop codec.c. */
enum codec_tag {
    TAG_NAME = 1,
    TAG_CONFIG,
    TAG_SUBJECT,
    TAG_EXTRA,
    TAG_STATE,
    TAG_LAST_ID,
    TAG_RUNS,
    TAG_IDS,
    TAG_BACKOFF,
    TAG_PENDING,
    TAG_REMOVED,
    TAG_FILTER,
    TAG_RELEASED,
    TAG_TOTALS,
    TAG_PAGES,
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
/* What a REC_STREAM and the head of a checkpoint have in common: configuration, state, last id. Appends. */
void codec_put_state(struct codec_buf *b, const struct stream *st);
/* Walks what codec_read_stream() has checked: false at the end. */
bool codec_next_run(struct span *runs, uint64_t *live, uint64_t *dead);
bool codec_next_id(struct span *ids, struct dedupe_key *k, uint64_t *seq, int64_t *ts);

/* The numbers of a consumer that are not entries. */
struct consumer_numbers {
    int64_t created, delivered_last, floor_last;
    uint64_t next_seq, delivered_cseq, delivered_seq, floor_cseq, floor_seq, last_per_subject_until;
};

struct consumer_image {
    struct consumer_conf conf; /* owned; a REC_PROGRESS has none */
    struct consumer_numbers n;
    struct span pending, removed;
};

enum pending_as { AS_WAITING, AS_QUEUED, AS_DEAD, AS_END };
struct pending_image {
    uint64_t seq, cseq, redelivered;
    int64_t ts;
    uint64_t place; /* enum pending_as */
};
enum err codec_read_consumer(struct span record, struct consumer_image *img) MUST_USE;
enum err codec_read_progress(struct span record, struct consumer_image *img) MUST_USE;
/* Walk what was checked; start with a zeroed image or sequence. */
bool codec_next_pending(struct span *pending, struct pending_image *p);
bool codec_next_removed(struct span *removed, uint64_t *seq);
