/* info.h - streams and consumers as answers show them. Each writes one JSON object. */
#pragma once
#include <stdbool.h>

#include "jetstream/core.h"
#include "jetstream/text.h"

struct info_ask {
    bool deleted;         /* list deleted sequences */
    struct span subjects; /* list subjects that match, with their counts; empty = none */
    uint64_t offset;
};
enum { INFO_SUBJECTS_MAX = 100000, INFO_DELETED_MAX = 100000 };

/* `"config":{...},"created":...,"state":{...}`: the members, without braces. full: with the server's
 * metadata. */
void info_stream_put(struct text *t, struct js_stream *s, bool full, const struct info_ask *ask);
/* How many subjects match. */
uint64_t info_subjects_count(const struct js_stream *s, struct span filter);
/* `"stream_name":...` up to `"ts":...`, without braces. */
void info_consumer_put(struct text *t, struct js_consumer *c, bool full);
/* `"config":`, canonical or as answers show it. */
void info_config_put(struct text *t, struct span canonical, bool full, const struct js_limits *limits);
