/* mail.h - letters between shards: one bounded queue for each ordered pair, written and read in place.
 *
 * Happy path: mail_send() writes the letter into the queue to its shard; at the tick's end mail_publish()
 * makes everything visible and wakes the shards that sleep; there mail_drain() hands each letter to the
 * handler, in order. A letter larger than the queue takes travels as a pointer to a block that the receiver
 * frees.
 *
 * Credit is room in the queue. Sending never blocks and never fails: without room (or with too many bytes in
 * blocks under way) letters wait on the sender's side, in order, and mail_congested() is true until they have
 * moved on. What routes to a congested shard parks its publisher, so that at most what one tick adds waits.
 * The receiver wakes a sender that waits for room. Memory for waiting letters that cannot be had stops the
 * process: a lost letter would be a lost message. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/span.h"

struct io;

enum mail_kind {
    MAIL_BLOCK,    /* mail.c's own: a letter too large for the queue */
    MAIL_CONN,     /* id: connection id; arg: descriptor; flag: refuse, the server is full */
    MAIL_CLOSED,   /* id: connection id; to the shard that counts them */
    MAIL_INTEREST, /* spans: subject, queue; flag: one more, else one less */
    MAIL_MSG,      /* a routed message, see letters.h */
    MAIL_BARRIER,  /* id; answered by MAIL_PASSED when everything before it was handled */
    MAIL_PASSED,
    MAIL_GO,     /* nobody lags any more (flag: the log has room again): who was told to wait may go on */
    MAIL_STALL,  /* id: connection id; a client (flag: the log) lags behind what it publishes */
    MAIL_CAST,   /* JetStream's own bytes */
    MAIL_MOVE,   /* id: connection id; flags: step of its move, see conn.h; what follows is that step's */
    MAIL_MOVED,  /* id: connection id; arg: the shard it was on; to the shard that counts them */
    MAIL_CALL,   /* id: function, arg: its argument; see letters.h */
    MAIL_ASK,    /* id: round; span: what monitoring wants to know of a shard */
    MAIL_ANSWER, /* id: round; spans: counters, connections */
    MAIL_KINDS
};
enum { MAIL_SPANS_MAX = 80 };

/* Out: the bytes are copied by mail_send(). In: they are valid during the handler's call. */
struct letter {
    enum mail_kind kind;
    uint8_t flags;
    uint64_t id, arg;
    const struct span *spans;
    size_t spans_n;
};

/* The queues between all shards; made before any shard starts, closed after all have ended. */
struct mail_post;
enum err mail_post_open(struct mail_post **post, unsigned shards) MUST_USE;
void mail_post_close(struct mail_post *post);

/* One shard's end. All shards must have passed mail_open() before any of them sends. */
struct mail;

enum err mail_open(struct mail **m, struct mail_post *post, unsigned self, struct io *io,
                   void (*handle)(void *ctx, unsigned from, const struct letter *l), void *ctx) MUST_USE;
void mail_close(struct mail *m); /* letters that still wait are dropped */

void mail_send(struct mail *m, unsigned to, const struct letter *l);
/* To every other shard. */
void mail_send_all(struct mail *m, const struct letter *l);
/* Do letters to that shard (UINT_MAX: any) wait for room? */
bool mail_congested(const struct mail *m, unsigned to);
/* How many letters were sent, barriers and their answers not counted. */
uint64_t mail_sent(const struct mail *m);

/* Hands letters to the handler until bytes_max of them are through; returns how many bytes, 0 when there was
 * none. */
size_t mail_drain(struct mail *m, size_t bytes_max);
bool mail_waiting(struct mail *m); /* would mail_drain() find one? */
/* Moves waiting letters on where there is room again, makes everything sent visible, wakes who sleeps. Once a
 * tick. */
void mail_publish(struct mail *m);

/* Before waiting: false when letters are there or came meanwhile; else others will wake this shard's loop. */
bool mail_lie_down(struct mail *m);
void mail_get_up(struct mail *m);
