/* codec_stream.h - a stream's configuration between JSON and the engine: strict reading, nats-server's
 * defaults, checks and texts, and one canonical text that is stored with the stream and echoed to clients.
 * Two configurations are equal when their canonical texts are. Pure: no engine calls, no clock.
 *
 * A struct stream_cfg borrows from the document it was read from; both live until stream_cfg_free(). */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "jetstream/errors.h"
#include "jetstream/js.h"
#include "jetstream/text.h"
#include "millrace.h"
#include "wire/json.h"

enum {
    STREAM_NAME_MAX = 255,
    STREAM_DESCRIPTION_MAX = 4096,
    JS_METADATA_MAX = 128 << 10,
    STREAM_SUBJECTS_MAX = 2048
};

struct stream_cfg {
    struct span name, description;
    struct span *subjects; /* owned */
    size_t subjects_n;
    int retention, discard, storage, compression, persist_mode; /* in the order of the engine's enums */
    int64_t max_consumers, max_msgs, max_bytes, max_age, max_msgs_per_subject, num_replicas, duplicate_window,
        subject_delete_marker_ttl;
    int32_t max_msg_size;
    uint64_t first_seq;
    bool no_ack, allow_direct, mirror_direct, discard_new_per_subject, sealed, deny_delete, deny_purge,
        allow_rollup, allow_msg_ttl, allow_msg_counter, allow_atomic, allow_msg_schedules, allow_batched,
        pedantic;
    int64_t limit_inactive_threshold, limit_max_ack_pending; /* consumer_limits */
    yyjson_val *subjects_val, *placement, *mirror, *sources, *subject_transform, *republish, *consumer_limits,
        *metadata;
    yyjson_doc *doc; /* owned */
};

/* Reads a request's body. An empty body is an empty configuration, as in nats-server. False: e says why
 * (10025). */
bool stream_cfg_read(struct stream_cfg *c, struct span body, bool strict, struct js_error *e);
/* Fills defaults and checks in nats-server's order; then refuses what this server does not do. */
bool stream_cfg_check(struct stream_cfg *c, const struct js_limits *limits, struct js_error *e);
/* Both normalised: may old become new? Applies what sealing implies. */
bool stream_cfg_check_update(const struct stream_cfg *old, struct stream_cfg *c, struct js_error *e);
void stream_cfg_free(struct stream_cfg *c);

/* The canonical text, without what only answers carry. */
void stream_cfg_put(struct text *t, const struct stream_cfg *c);
/* A canonical text as answers show it: with the server's version and level among the metadata. */
void js_config_echo(struct text *t, struct span canonical, const struct js_limits *limits);

/* The engine's view; borrows c and extra (the canonical text). */
struct stream_engine_cfg {
    struct mr_stream_config cfg;
    struct mr_bytes *subjects; /* owned */
};
bool stream_cfg_engine(const struct stream_cfg *c, struct span extra, struct stream_engine_cfg *out);
void stream_engine_cfg_free(struct stream_engine_cfg *c);

/* Parses a request's body as nats-server's stream decoder does, with its texts; go_type is the request's name
 * in them. NULL: e says why. A body of null is an empty object. */
yyjson_doc *js_json_read(struct span body, const char *go_type, struct json_err *e);

/* No empty name, no blanks, dots, wildcards or path separators. */
bool js_name_valid(struct span name);
/* "key":"value" pairs sorted by key, the server's own keys replaced by the required level. */
void js_metadata_put(struct text *t, yyjson_val *metadata, int required_level);
/* Sum of keys and values. */
size_t js_metadata_size(yyjson_val *metadata);
