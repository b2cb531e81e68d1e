/* codec.h - the payloads of REC_STREAM, REC_CONSUMER, REC_PROGRESS and REC_PURGE. The text atop codec.c is
 * their specification: tag-length-value, unknown tags are skipped, every length is checked. Whatever the
 * bytes, decoding ends in ERR_OK, ERR_CORRUPT or ERR_NOMEM.
 *
 * Encoding writes into a buffer that the caller owns and that grows by doubling; keep one a shard.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/span.h"

struct stream;
struct stream_purge;
struct consumer;

struct codec_buf {
    uint8_t *p;
    size_t n, cap;
    bool failed; /* out of memory */
};
void codec_buf_init(struct codec_buf *b);
void codec_buf_deinit(struct codec_buf *b);
static inline struct span codec_span(const struct codec_buf *b) { return span_of(b->p, b->n); }

/* Each replaces the buffer's content with a payload. ERR_NOMEM. */
enum err codec_stream(struct codec_buf *b, const struct stream *st) MUST_USE;     /* REC_STREAM */
enum err codec_purge(struct codec_buf *b, const struct stream_purge *p) MUST_USE; /* REC_PURGE */
/* REC_CONSUMER and REC_PROGRESS. When the log took the payload call consumer_logged(); until then nothing is
 * forgotten. */
enum err codec_consumer(struct codec_buf *b, const struct consumer *c) MUST_USE;
enum err codec_progress(struct codec_buf *b, const struct consumer *c) MUST_USE;

/* The name in a REC_STREAM or REC_CONSUMER payload; empty when damaged. A REC_PROGRESS payload names nobody:
 * put the consumer's name into the record's subject, in both kinds. */
struct span codec_name(struct span record);
/* Of a REC_STREAM or REC_CONSUMER payload: the same for the same configuration, whatever the state. */
uint64_t codec_config_hash(struct span record);
/* A REC_PURGE payload; the filter points into it. */
enum err codec_read_purge(struct span record, struct stream_purge *p) MUST_USE;
