/* get_body.h - the request that names messages: MSG.GET and DIRECT.GET share it. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "jetstream/core.h"
#include "wire/json.h"

#define GET_NO_TIME INT64_MAX

/* Spans and values lie in the document it was read from. */
struct get_body {
    uint64_t seq, up_to_seq;
    struct span last, next;
    int64_t batch, max_bytes, start_time, up_to_time; /* times: GET_NO_TIME when not named */
    yyjson_val *multi_last;
    bool no_hdr;
};
#define GET_BODY_INIT                                                                                        \
    { .start_time = GET_NO_TIME, .up_to_time = GET_NO_TIME }

extern const struct json_table get_body_table;

/* The one message that seq, time, next_by_subj or last_by_subj name; 0: none. */
uint64_t get_body_seq(const struct js_stream *s, const struct get_body *b, bool visible);
