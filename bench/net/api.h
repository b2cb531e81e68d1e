/* api.h - requests one at a time, for what surrounds a measurement: streams, consumers, reading back what was
 * stored. Never on the measured path. Every function returns false with the reason in `why`. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <yyjson.h>

#include "net/conn.h"

struct api {
    struct conn conn;
    uint64_t asked;
    bool answered, pulls; /* pulls: the answer comes under the subject of a stored message */
    uint8_t *reply;
    size_t reply_n, reply_cap;
    char why[256];
};

bool api_open(struct api *a, const struct address *to);
void api_close(struct api *a);
/* Sends body to subject and waits ten seconds for the answer, which stands in reply until the next request.
 */
bool api_request(struct api *a, const char *subject, const char *body);
/* The same on $JS.API.<what>; the answer as a document to be freed. False when the answer is an error; a code
 * that equals `pardoned` is no error (the document is NULL then). */
bool api_js(struct api *a, const char *what, const char *body, int64_t pardoned, yyjson_doc **doc);

struct stream_spec {
    char name[32], subjects[48];
    bool memory, work_queue;
    int64_t per_subject; /* max_msgs_per_subject; 0 = none */
};
/* Made anew: what stood under the name is deleted. */
bool api_stream_make(struct api *a, const struct stream_spec *s);
/* Made where nothing stands under the name: one request. */
bool api_stream_create(struct api *a, const struct stream_spec *s);
bool api_stream_drop(struct api *a, const char *name);

struct stream_state {
    uint64_t messages, first, last;
};
bool api_stream_state(struct api *a, const char *name, struct stream_state *s);
/* The message stored under a sequence; payload needs room for what the largest message has, *n is its length.
 */
bool api_stream_get(struct api *a, const char *name, uint64_t sequence, uint8_t *payload, size_t room,
                    size_t *n);

bool api_consumer_make(struct api *a, const char *stream, const char *name, bool acks,
                       uint64_t ack_pending_max);
/* One without acknowledgements that sees what the filter matches; how many wait for it, as the server says.
 */
bool api_consumer_filter(struct api *a, const char *stream, const char *name, const char *filter,
                         uint64_t *pending);
/* The next message of a consumer; its payload stands in reply. */
bool api_pull_one(struct api *a, const char *stream, const char *name);
/* Streams the server has. */
bool api_streams_total(struct api *a, uint64_t *total);
struct consumer_state {
    uint64_t floor, ack_pending, pending;
};
bool api_consumer_state(struct api *a, const char *stream, const char *name, struct consumer_state *s);
