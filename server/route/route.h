/* route.h - from subject to everything that wants the message, for one account on one shard.
 *
 * Every shard holds a replica of all interest: its own subscriptions in full, and of each other shard the
 * patterns it has subscribers for, with how many members each queue group has there. Publishing matches once:
 * local subscriptions get the message, each other shard with interest gets it once (through peer->forward)
 * together with the names of the queue groups for which a member there was picked. Route knows shards only as
 * numbers behind that one upcall.
 *
 * No re-entrancy: deliver and forward only queue. Publishing from inside them is a bug.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/span.h"
#include "subject/trie.h"
#include "wire/msg.h"

enum { ROUTE_SHARDS_MAX = 64, ROUTE_PICKS_MAX = 64 };

struct route;
struct sub;

/* One message on its way. Spans are borrowed for the call. */
struct route_msg {
    struct msg msg;
    /* Where it goes when that is not msg.subject: a consumer's message keeps the subject it was stored under
     * and goes to the inbox that asked for it. Matching, queue picks and route_deliver() use `to`; forward()
     * carries it; sinks show msg.subject. Empty = msg.subject. */
    struct span to;
    uint64_t cid;   /* publishing connection, 0 = the server itself */
    bool no_echo;   /* do not deliver to subscriptions of cid */
    bool congested; /* out: some sink took it but wants the publisher to pause (see conn.h) */
    bool log_full;  /* out, with congested: because it waits for a log, until that has room again */
    uint8_t from;   /* 0: published on this shard; else 1 + the shard that forwarded it */
    uint8_t far;    /* out: 1 + the shard that alone got it, for plain subscriptions there; else 0 */
};

/* Where a subscription leads. deliver queues the message and returns; false: not taken (then a queue group
 * tries another). */
struct sink {
    bool (*deliver)(struct sink *sink, struct sub *sub, struct route_msg *m);
};

/* One subscription; embedded in its owner, who keeps the spans alive while it is subscribed. */
struct sub {
    struct trie_entry entry;
    struct sink *sink;
    struct span subject, queue; /* queue empty: plain */
    uint64_t cid;               /* owner connection, 0 = server */
    bool local_only; /* not announced to other shards: each shard has its own (the JetStream API) */
};

/* Upcalls to the shard. */
struct route_peer {
    void *ctx;
    /* This shard's interest changed: tell all others (route_remote there). add: +1 member or pattern, else
     * -1. */
    void (*announce)(void *ctx, struct span subject, struct span queue, bool add);
    /* Hand the message to another shard; picks: queue groups to serve there. Never fails; may set
     * m->congested. */
    void (*forward)(void *ctx, unsigned shard, struct route_msg *m, const struct span *picks,
                    size_t picks_count, bool plain);
};

enum err route_open(struct route **r, unsigned self, unsigned shards, const struct route_peer *peer,
                    uint64_t seed) MUST_USE;
void route_close(struct route *r);

/* ERR_INVAL: not a valid subject. ERR_NOMEM. */
enum err route_subscribe(struct route *r, struct sub *s) MUST_USE;
void route_unsubscribe(struct route *r, struct sub *s);
/* Another shard's interest changed. */
void route_remote(struct route *r, unsigned shard, struct span subject, struct span queue, bool add);

/* Delivers to everything that matches anywhere: every plain subscription, one member of each queue group (by
 * name, over patterns and shards, weighted by members, random start, own connection skipped without echo).
 * Returns how many got it. */
size_t route_publish(struct route *r, struct route_msg *m);
/* A message another shard forwarded here: plain subscriptions if plain, and one local member of each picked
 * group. */
size_t route_deliver(struct route *r, struct route_msg *m, const struct span *picks, size_t picks_count,
                     bool plain);
/* Is anyone, anywhere, interested? */
bool route_interest(struct route *r, struct span subject);
/* The other shards with interest, a bit each: which ways a message takes at this moment. */
uint64_t route_shards(const struct route *r, struct span subject);
/* Has anyone, anywhere, subscribed to exactly this subject (a pattern that merely matches does not count), in
 * this queue group, or plainly when queue is empty? */
bool route_bound(const struct route *r, struct span subject, struct span queue);
/* Does a subscription of this shard's server (a stream) that all shards know take this subject? */
bool route_serves(const struct route *r, struct span subject);
/* Another number whenever a subscription came or went, here or elsewhere. */
uint32_t route_generation(const struct route *r);

struct route_stats {
    uint64_t subs, remote_patterns, inserts, removes, matches, cache_hits;
};
void route_stats(const struct route *r, struct route_stats *out);
