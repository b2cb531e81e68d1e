/* api.h - one request on $JS.API: from its subject to its handler, on the shard that can answer it.
 *
 * Happy path: the sink copies the request into a queue (no answer may be published inside a route callback);
 * js_commit() runs it: here, or on the stream's shard, or on shard 0 for what changes the directory. The
 * handler writes its answer into req->out and says when it may leave: at once, once everything appended
 * before is durable, or once every shard routes accordingly too. Exactly one answer leaves; a client that
 * gave no reply subject gets none.
 *
 * What fails is the client's request: req->err holds the error, and the answer carries it in nats-server's
 * shape. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "jetstream/casts.h"
#include "jetstream/core.h"
#include "jetstream/text.h"

enum api_where {
    API_HERE,      /* any shard */
    API_OWNER,     /* the shard that has the stream; here when there is none, to say so */
    API_DIRECTORY, /* shard 0 */
};
enum api_step { API_RUN, API_APPLY }; /* the handler; the part that the stream's shard does for shard 0 */
enum api_flag {
    API_REST = 1,    /* more tokens may follow */
    API_CHANGES = 2, /* an answer needs a working log */
    API_RAW = 4,     /* DIRECT.GET: no JSON answers */
};
enum api_when { API_NOW, API_DURABLE, API_ROUTED };

struct api_req;
struct json_table;

struct api_call {
    const char *prefix; /* behind "$JS.API."; ends with '.' when names follow */
    uint8_t names;      /* tokens that follow: stream, consumer */
    uint8_t flags;      /* enum api_flag */
    enum api_where where;
    const char *type;       /* of the answer, between "v1." and "_response" */
    const char *error_tail; /* fields that stay when the answer is an error */
    void (*run)(struct api_req *r);
    void (*apply)(struct api_req *r);
};

struct api_gather;

struct api_req {
    struct list link;
    struct js *js;
    const struct api_call *call;
    struct span subject, reply, hdr, body;
    struct span stream, consumer, rest; /* tokens of the subject */
    enum api_step step;
    bool again;           /* it is the oldest of what waits for room, and tried again */
    bool memory;          /* APPLY: the stream to be made is one in memory */
    uint64_t give_up_ns;  /* while it waits for room */
    bool volatile_only;   /* what it changed was in memory, and is gone: no log to wait for */
    uint64_t incarnation; /* APPLY: of the stream reserved for this request; 0 = none */
    struct text out;
    struct js_error err;
    enum api_when when;
    struct js_barrier barrier;
    struct mr_wait wait;
    void (*resume)(struct api_req *r); /* what goes on after wait; NULL: not waiting */
    struct span gone;                  /* ROUTED: announce that this stream is gone */
    uint64_t announce;                 /* ROUTED: incarnation of the stream to announce or of the one gone */
    uint64_t word[8];                  /* a handler's own, over waits */
    struct api_gather *gather;
    size_t size;
    uint8_t block[];
};

enum err api_open(struct js *js) MUST_USE;
void api_close(struct js *js);
/* Runs queued requests, bounded. */
void api_run_queue(struct js *js);
void api_on_cast(struct js *js, const struct cast *c);
/* Runs one that waited for room; false: it still does. */
bool api_retry(struct api_req *r);
/* Answers those that have waited too long. */
void api_give_up(struct js *js);
/* A barrier with this tag was reached. */
void api_on_durable(struct js *js, uint64_t tag, enum mr_status status);

/* For handlers. Each ends in exactly one of these. */
void api_fail(struct api_req *r); /* with r->err; at once */
void api_fail_with(struct api_req *r, enum js_code code, const char *arg);
void api_fail_durable(struct api_req *r); /* with r->err, which depends on what is not durable yet */
void api_answer(struct api_req *r, enum api_when when); /* with r->out, closed here */
void api_answer_success(struct api_req *r, enum api_when when);
void api_forward(struct api_req *r, unsigned shard, enum api_step step, uint64_t incarnation);
void api_drop(struct api_req *r); /* no answer */
/* Begins r->out: `{"type":"..."`. */
struct text *api_begin(struct api_req *r);
/* A read began that r->wait waits for (call before it is begun); resume runs when it is ready. api_resume:
 * now. */
void api_wait(struct api_req *r, void (*resume)(struct api_req *r));
void api_resume(struct api_req *r);
/* For handlers that write: has the engine no room now? Then the request waits among the stalled publishes and
 * the handler returns, to be run again from its start. False: no, or too many wait: answer st. */
bool api_busy(struct api_req *r, enum mr_status st);
/* Goes on in the next turn. */
void api_again(struct api_req *r, void (*resume)(struct api_req *r));
/* The stream the request names, here; NULL: r->err is "stream not found". */
struct js_stream *api_stream(struct api_req *r);
/* Parses the body when it is a JSON object or array; false: r->err. */
bool api_body(struct api_req *r, const struct json_table *t, void *out);
bool api_body_is_json(struct span body);
bool api_body_is_empty(struct span body);
/* Headers ask for no more than this server has. */
bool api_level_ok(const struct js *js, struct span hdr);
enum js_code api_code_of(enum mr_status s, enum js_code other);

/* Handlers: api_stream.c, api_consumer.c, api_message.c, info.c, gather.c. */
void api_account_info(struct api_req *r);
void api_stream_create(struct api_req *r);
void api_stream_create_apply(struct api_req *r);
/* APPLY will not be: shard 0 takes its reservation back. */
void api_stream_take_back(struct api_req *r);
void api_stream_update(struct api_req *r);
void api_stream_update_apply(struct api_req *r);
void api_stream_delete(struct api_req *r);
void api_stream_delete_apply(struct api_req *r);
void api_stream_info(struct api_req *r);
void api_stream_purge(struct api_req *r);
void api_stream_names(struct api_req *r);
void api_stream_list(struct api_req *r);
void api_msg_get(struct api_req *r);
void api_msg_delete(struct api_req *r);
void api_direct_get(struct api_req *r);
void api_consumer_create(struct api_req *r);
void api_consumer_delete(struct api_req *r);
void api_consumer_info(struct api_req *r);
void api_consumer_pause(struct api_req *r);
void api_consumer_names(struct api_req *r);
void api_consumer_list(struct api_req *r);
void api_unsupported(struct api_req *r);
void api_clustered(struct api_req *r);
