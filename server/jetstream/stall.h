/* stall.h - what the engine had no room for, in order: publishes and requests that write. One queue for the
 * shard's logs and one for its memory, so that streams in memory do not wait for a disk. While anything
 * waits, everything of that kind queues behind it. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct api_req;
struct js;
struct js_stream;
struct msg;

enum stall_of { STALL_LOG, STALL_MEMORY, STALL_QUEUES };

struct js_stall {
    uint8_t *p;
    size_t from, n, cap; /* entries lie in [from, from + n), never wrapped */
    size_t max;
    size_t requests; /* of the entries */
};

/* Does nothing wait, in this queue or in any? */
bool js_stall_empty(const struct js *js, enum stall_of of);
bool js_stall_none(const struct js *js);
/* Copies the message. False: the bound is reached. */
bool js_stall_put(struct js *js, struct js_stream *s, const struct msg *m);
/* The request stays its owner's. False: the bound is reached. */
bool js_stall_put_request(struct js *js, enum stall_of of, struct api_req *r);
/* Tries again, oldest first, until the engine is full or nothing is left. */
void js_stall_retry(struct js *js);
/* The stream is gone; what it would have stored is dropped. */
void js_stall_forget(struct js *js, const struct js_stream *s);
/* The request does not wait any more. */
void js_stall_forget_request(struct js *js, const struct api_req *r);
void js_stall_deinit(struct js *js);
