/* config.h - deep copies of the public configuration structs: one allocation each, owned here, spans point
 * into it. */
#pragma once
#include "base/err.h"
#include "base/span.h"
#include "millrace.h"

struct stream_conf {
    struct mr_stream_config c;
    void *block;
};
struct consumer_conf {
    struct mr_consumer_config c;
    void *block;
};

enum { CONF_EXTRA_MAX = 256 * 1024, CONF_SUBJECTS_MAX = 65536, CONF_NAME_MAX = 255, CONF_BACKOFF_MAX = 1024 };

/* Copies; the destination is overwritten without being freed. ERR_INVAL: c->size is too small, a length above
 * its bound, an enum out of range. ERR_NOMEM. */
enum err stream_conf_copy(struct stream_conf *to, const struct mr_stream_config *c) MUST_USE;
void stream_conf_deinit(struct stream_conf *f);
enum err consumer_conf_copy(struct consumer_conf *to, const struct mr_consumer_config *c) MUST_USE;
void consumer_conf_deinit(struct consumer_conf *f);

static inline struct span span_of_bytes(struct mr_bytes b) { return span_of(b.p, b.n); }
static inline struct mr_bytes bytes_of_span(struct span s) { return (struct mr_bytes){s.p, s.n}; }
