/* barrier.h - "every other shard has applied what this one sent". A round is one letter to each shard and one
 * answer from each; it leaves with the tick's letters, so that any number of requests share it. Requests are
 * answered in order.
 *
 * Nothing sent since the last round came back: nothing to wait for. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "shard/mail.h"

struct js_barrier;

/* Who waits: a connection's PONG, or JetStream. */
struct barrier_request {
    uint64_t round, cid;
    struct js_barrier *js; /* NULL: the connection */
};

struct barriers {
    struct mail *mail;
    unsigned shards;
    uint64_t round;                /* the last one sent */
    uint64_t round_sent;           /* mail_sent() when it was */
    uint64_t passed;               /* the last one all shards answered */
    uint64_t passed_sent;          /* mail_sent() when that one was sent */
    bool wanted;                   /* a round is to be sent at the tick's end */
    uint64_t *answered;            /* by shard */
    struct barrier_request *queue; /* ring of cap, a power of two */
    size_t first, count, cap;
    void (*done)(void *ctx, const struct barrier_request *r);
    void *ctx;
};

enum err barriers_init(struct barriers *b, struct mail *mail, unsigned self, unsigned shards,
                       void (*done)(void *ctx, const struct barrier_request *r), void *ctx) MUST_USE;
void barriers_deinit(struct barriers *b);

/* Nothing this shard sent is outstanding, and no request waits. */
bool barriers_idle(const struct barriers *b);
/* done follows inside a later barriers_complete(). */
void barriers_request(struct barriers *b, uint64_t cid, struct js_barrier *js);
/* Does the next barriers_complete() have something to do? */
bool barriers_due(const struct barriers *b);
/* Calls done for every request whose round is through, in order. */
void barriers_complete(struct barriers *b);
/* Sends the round that is wanted; before mail_publish(). */
void barriers_send(struct barriers *b);
/* A shard answered. */
void barriers_on_passed(struct barriers *b, unsigned from, uint64_t round);
/* Answers another shard's round: what it sent before has been handled. */
void barriers_answer(struct barriers *b, unsigned from, uint64_t round);
