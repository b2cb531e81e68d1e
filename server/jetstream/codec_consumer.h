/* codec_consumer.h - a consumer's configuration between JSON and the engine, as codec_stream.h does it for
 * streams. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "jetstream/codec_stream.h"

enum consumer_action { CONSUMER_CREATE_OR_UPDATE, CONSUMER_CREATE, CONSUMER_UPDATE };
enum {
    CONSUMER_NAME_MAX = 255,
    CONSUMER_DESCRIPTION_MAX = 4096,
    CONSUMER_FILTERS_MAX = 1024,
    CONSUMER_BACKOFF_MAX = 256
};
/* opt_start_time and pause_until when the request does not name them. */
#define CONSUMER_NO_TIME INT64_MAX
enum { ACK_FLOW_CONTROL = 3 }; /* an ack policy the engine does not know */

struct consumer_cfg {
    struct span durable, name, description, filter, sample_freq, deliver_subject, deliver_group;
    struct span *filters; /* filter_subjects; owned */
    size_t filters_n;
    int64_t *backoff; /* owned */
    size_t backoff_n;
    int deliver, ack, replay, priority_policy; /* in the order of the engine's enums */
    uint64_t opt_start_seq, rate_limit;
    int64_t opt_start_time, ack_wait, max_deliver, max_waiting, max_ack_pending, max_batch, max_expires,
        max_bytes, idle_heartbeat, inactive_threshold, num_replicas, pause_until, priority_timeout;
    bool flow_control, headers_only, mem_storage, direct, sourcing;
    yyjson_val *filters_val, *backoff_val, *metadata, *priority_groups;
    /* The request around it. */
    struct span stream_name;
    int action; /* enum consumer_action */
    bool pedantic;
    yyjson_val *config, *action_val;
    yyjson_doc *doc; /* owned */
};

/* Reads a CREATE request; false: e says why (10025). */
bool consumer_cfg_read(struct consumer_cfg *c, struct span body, bool strict, struct js_error *e);
/* Reads a canonical text. */
bool consumer_cfg_load(struct consumer_cfg *c, struct span canonical, struct js_error *e);
void consumer_cfg_free(struct consumer_cfg *c);

/* Fills defaults, checks in nats-server's order, then refuses what this server does not do. */
bool consumer_cfg_check(struct consumer_cfg *c, const struct stream_cfg *stream,
                        const struct js_limits *limits, struct js_error *e);
/* May old become c? (10012) */
bool consumer_cfg_check_update(const struct consumer_cfg *old, const struct consumer_cfg *c,
                               struct js_error *e);
/* Ephemerals that do not say when they end get five seconds; call once the consumer is known to be new or
 * changed. */
void consumer_cfg_settle(struct consumer_cfg *c);

void consumer_cfg_put(struct text *t, const struct consumer_cfg *c);

struct consumer_engine_cfg {
    struct mr_consumer_config cfg;
    struct mr_bytes *filters; /* owned */
};
bool consumer_cfg_engine(const struct consumer_cfg *c, struct span name, struct span extra,
                         struct consumer_engine_cfg *out);
void consumer_engine_cfg_free(struct consumer_engine_cfg *c);
