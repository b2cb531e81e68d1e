/* publish.h - a stream's subjects: admit, append, acknowledge once durable. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "jetstream/core.h"

/* The sink behind a stream's subscriptions. */
bool js_publish_deliver(struct sink *sink, struct sub *sub, struct route_msg *m);
/* Takes one message for a stream now. MR_BUSY: the engine has no room; everything else is settled, with its
 * answer on the way. */
enum mr_status js_publish_take(struct js_stream *s, const struct msg *m);
/* Answers finished appends and refusals, in order. */
void js_publish_done(struct js *js, const struct mr_done *d);

/* What Nats-* headers of a publish ask for. */
struct publish_ask {
    struct mr_append_opts opts;
    struct js_error err; /* refused before the engine sees it */
};
/* Reads them in nats-server's order of checks. False: err says why. */
bool publish_ask_get(struct publish_ask *a, const struct js_stream *s, struct span hdr);

/* --- shared with batches (batch.c, fast.c) --- */
/* A decided answer, behind a barrier: it may depend on messages that are not durable yet. MR_BUSY: nothing
 * happened. */
enum mr_status publish_answer(struct js_stream *s, struct span reply, struct span text);
/* The same with an error in a PubAck; nothing when nobody wants to know. */
enum mr_status publish_refuse(struct js_stream *s, struct span reply, const struct js_error *e);
/* The engine's refusal in nats-server's words. */
void publish_error_get(struct js_error *e, enum mr_status st, const struct mr_append_result *r);
/* An append that will never be durable, or whose stream is gone (s NULL): the note is the reply. */
void publish_lost(struct js *js, struct js_stream *s, const struct mr_done *d);
/* A PubAck; batch empty: without batch and count. */
void publish_ack_put(struct text *t, const struct js_stream *s, uint64_t seq, bool duplicate,
                     struct span batch, uint64_t count);
void publish_ack_batch(struct js *js, struct js_stream *s, struct span reply, uint64_t seq, struct span batch,
                       uint64_t count);
