/* casts.h - what shards tell each other about JetStream: one small header and up to four runs of bytes. A
 * cast is delivered once, in order with routed messages between the same two shards. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

struct js;
struct js_stream;

enum cast_kind {
    CAST_API,  /* run this request; part: subject, reply, headers, body. See api.h */
    CAST_NEXT, /* a pull request; part: path, reply, body. flag: the body asks for an API level we have */
    CAST_ACK,  /* an acknowledgement; part: ack subject, path, reply, body */
    CAST_FLOW, /* a push consumer's flow control was answered; part: path. word: id */
    CAST_ADD,  /* a stream is at `call` (a shard number); part: name, subjects one a line. word: incarnation,
                  max_bytes */
    CAST_REMOVE,   /* a stream is gone; part: name. word: incarnation */
    CAST_FAILED,   /* to shard 0: this shard's logs take no more streams */
    CAST_GATHER,   /* collect; part: names one a line. word: id */
    CAST_GATHERED, /* the answer; part: text. word: id and numbers */
    CAST_KINDS
};
enum cast_flag { CAST_DIRECT = 1, CAST_MEMORY = 2 }; /* of CAST_ADD */

enum { CAST_PARTS = 4, CAST_WORDS = 10 };

struct cast {
    uint8_t kind, flag;
    uint16_t call;
    uint32_t n[CAST_PARTS]; /* filled in when sent */
    uint64_t word[CAST_WORDS];
    struct span part[CAST_PARTS]; /* not sent as such */
};

void cast_send(struct js *js, unsigned shard, struct cast *c);
void cast_send_others(struct js *js, struct cast *c);
/* Handles one from another shard. */
void cast_handle(struct js *js, unsigned from, struct span bytes);

/* Tells every shard, this one too, where a stream is; or that it is gone. */
void cast_stream_add(struct js_stream *s);
void cast_stream_remove(struct js *js, struct span name, uint64_t incarnation);
/* Tells shard 0 that new streams in files are not for this one any more. */
void cast_failed(struct js *js);
