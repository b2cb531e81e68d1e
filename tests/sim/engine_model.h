/* engine_model.h - what an environment was asked to keep, and the judgement on what it shows after each
 * opening.
 *
 * Streams and consumers are told apart by an instance number in their configuration's extra bytes; a
 * message's content follows from its stream's instance and a number of its own. What an operation changed is
 * undecided until something reported after it says that it is durable: then it must hold for ever. An opening
 * decides everything else: what is found then is durable too. P1 a promised message is there, identical,
 * under its sequence     P3 a sequence never names two contents P2 nothing is there behind a missing one P7
 * floors and confirmed acks of consumers P8 a known message id is refused, with its sequence               P6
 * is that openings are cut short, too
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/rng.h"
#include "millrace.h"

enum { M_STREAMS = 6, M_CONSUMERS = 3, M_MSGS = 4096, M_PAYLOAD = 70000 };

enum msg_state {
    MSG_NONE,    /* no message has this sequence */
    MSG_TAIL,    /* appended in this life, not reported */
    MSG_KEPT,    /* promised */
    MSG_LEAVING, /* removed; whether durably is not known */
    MSG_GONE,    /* removed for good */
    MSG_MAYBE,   /* let go, unless a consumer's acknowledgement was lost with an earlier life */
};
struct m_msg {
    uint64_t content, id, op; /* op: of the append, or of the removal */
    uint8_t state;
    bool promised; /* was reported or found once */
    bool id_known; /* its id must be refused */
    bool released; /* LEAVING: by an acknowledgement, op, which no later append makes durable */
};

enum ack_state { ACK_NOT, ACK_ASKED, ACK_SURE };
struct m_ack {
    uint64_t op;
    uint8_t state;
    bool confirmed; /* on_done said so: holds whatever happened */
    bool this_life; /* asked in this life: not delivered again in it */
    bool delivered; /* in the final drain */
};

enum obj_state { OBJ_FREE, OBJ_COMING, OBJ_THERE, OBJ_LEAVING };
struct m_consumer {
    enum obj_state state;
    uint64_t instance, op;
    int filter; /* the messages it gets: -1 = all, or those with this number in their subject */
    struct mr_consumer *c;
    struct m_ack *acks; /* by sequence */
};
struct m_stream {
    enum obj_state state;
    uint64_t instance, op;
    uint32_t version, version_sure; /* of the configuration */
    uint64_t version_op;
    bool memory;
    uint32_t shard; /* in this life */
    int64_t max_msgs;
    enum mr_retention retention;
    uint64_t last, reported; /* last sequence; the last one reported in this life */
    struct mr_stream *s;
    struct m_msg *msgs; /* by sequence */
    struct m_consumer consumers[M_CONSUMERS];
};

struct model {
    struct m_stream streams[M_STREAMS]; /* stream i is named "S<i>", its consumers "C<k>" */
    uint64_t instances, ops, contents;
    bool relaxed; /* power went in interval mode: what was acknowledged may be missing from the end */
    bool draining;
    bool passed_over; /* sequences were, for damage that may have held them: the run ends there */
};

/* The bytes of a message; valid until the next call. */
struct mr_bytes model_payload(uint64_t instance, uint64_t content);
struct mr_bytes model_subject(uint64_t content);
/* The header block that carries an id (none for 0 and odd ones, which come as an option only), and the id. */
struct mr_bytes model_header(uint64_t id);
struct mr_bytes model_id(uint64_t id);
struct mr_bytes model_extra(uint64_t instance, uint32_t version); /* 12 bytes */

void model_init(struct model *m);
void model_deinit(struct model *m);
void model_stream_reset(struct m_stream *s, uint64_t instance);
void model_consumer_reset(struct m_consumer *c, uint64_t instance);

/* Is this the message that the model has under its sequence? Ends the run when not. */
void model_check_view(const struct m_stream *s, const struct mr_msg_view *v);
bool model_matches(const struct m_consumer *c, uint64_t content);
/* Does a consumer of an interest stream want it? True for all others. */
bool model_wanted(const struct m_stream *s, uint64_t content);
/* Acknowledged by operation op: it may go. */
void model_let_go(struct m_stream *s, uint64_t seq, uint64_t op);
/* This consumer is gone by operation op, and what was kept for it alone. */
void model_consumer_gone(struct m_stream *s, uint64_t op);
/* Messages that max_msgs removes now, by operation op. */
void model_limit(struct m_stream *s, uint64_t op);
/* Everything handed in up to operation op is durable on this stream's log; whole: acks and objects, too. */
void model_stream_sure(struct m_stream *s, uint64_t op, bool whole);
/* Removes from the model what did not outlive the end of a life. */
void model_life_ends(struct model *m, bool orderly);
/* Holds what is found now against what was promised. get reads a message, waiting as long as it takes: MR_OK
 * or MR_NONE. */
void model_judge(struct model *m, struct mr_shard **shards, uint32_t count,
                 enum mr_status (*get)(void *ctx, struct mr_stream *s, uint64_t seq, struct mr_msg_view *v),
                 void *ctx);

_Noreturn __attribute__((format(printf, 1, 2))) void model_fail(const char *fmt, ...);
