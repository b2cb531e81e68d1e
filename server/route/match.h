/* match.h - the answer to "who wants this subject", compiled once and kept: local subscriptions, other
 * shards, and queue groups with their members wherever they are.
 *
 * Answers lie one behind the other in a ring of bytes, the newest over the oldest; a set-associative table
 * finds them by the subject's hash. An answer is good while the generation it was made in lasts (any
 * subscription change starts a new one) and its bytes were not overwritten; the subject is compared in full.
 * So a publish on a known subject costs one hash and one cache line of table, and nothing is allocated.
 * Answers too large to keep are made anew each time in a buffer that grows.
 *
 * Acknowledgements differ in every subject, $JS.ACK.stream.consumer.1.2.3.4.5, and go all to the same place:
 * one answer is kept for all that share the first four tokens, as long as no subscription looks at those
 * behind. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/span.h"
#include "route/interest.h"
#include "subject/trie.h"

struct sub;

#define MATCH_ACKS SPAN_LIT("$JS.ACK.")

struct match_remote { /* members of a group on one other shard */
    uint32_t shard, members;
};

struct match_group {
    uint32_t name_at, name_n;       /* bytes from the start of the answer */
    uint32_t members_at, members_n; /* in members */
    uint32_t remotes_at, remotes_n; /* in remotes */
    uint32_t remote_members;        /* sum over its remotes */
    uint32_t chosen;                /* the shard this message's pick is on; MATCH_HERE: none elsewhere */
};
enum { MATCH_HERE = UINT32_MAX };

/* What an answer is kept for: its subject, all that begin with it, or nothing but the news that those differ.
 */
enum match_kind { MATCH_SUBJECT, MATCH_PREFIX, MATCH_DIFFER };

/* An answer; valid until the next match_find(). */
struct match {
    uint32_t bytes, subject_at, subject_n;
    uint8_t kind; /* enum match_kind */
    uint32_t plain_n, group_n, member_n, remote_n;
    uint64_t plain_shards; /* other shards with plain subscriptions */
    struct sub **plain, **members;
    struct match_group *groups;
    struct match_remote *remotes;
};

struct match_slot {
    uint32_t tag, generation;
    uint64_t at; /* position in the ring of bytes, counted since the start */
};
enum { MATCH_WAYS = 4 };
struct match_set {
    _Alignas(64) struct match_slot way[MATCH_WAYS];
};

struct match_found;

struct matcher {
    const struct trie *local;
    const struct interests *remote;
    uint64_t seed;
    uint32_t generation, victim;
    struct match_set *sets;
    uint8_t *ring;
    uint64_t ring_at;
    uint8_t *large; /* an answer that is not kept */
    size_t large_n;
    struct match_found *found; /* collected, before it is laid out */
    size_t found_n, found_cap;
    uint32_t *index; /* group names, hashed, while an answer is made */
    size_t index_cap;
    struct match_group *groups;
    size_t groups_n, groups_cap;
    uint64_t finds, hits;
};

enum err matcher_init(struct matcher *m, const struct trie *local, const struct interests *remote,
                      uint64_t seed) MUST_USE;
void matcher_deinit(struct matcher *m);
/* The subscriptions changed: every answer is stale. */
void matcher_invalidate(struct matcher *m);
struct match *matcher_find(struct matcher *m, struct span subject);
/* Takes a subscription that goes away out of an answer that is being served. */
void match_forget(struct match *a, const struct sub *s);

static inline struct span match_group_name(const struct match *a, const struct match_group *g) {
    return span_of((const uint8_t *)a + g->name_at, g->name_n);
}
