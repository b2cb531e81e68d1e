/* route.c - one account's routing table on one shard: local subscriptions, the other shards' interest, and
 * publishing.
 *
 * Happy path: route_publish() asks match.h who wants the subject, delivers to local plain subscriptions, lets
 * pick.h serve each queue group, and forwards once to each other shard that is to get something. Nothing here
 * fails on the way: a sink that cannot take a message says so and is skipped.
 *
 * A sink may unsubscribe (itself or others) inside deliver: the answer being served forgets what goes. */
#include "route/route.h"

#include <stdlib.h>

#include "base/must.h"
#include "base/rng.h"
#include "route/interest.h"
#include "route/match.h"
#include "route/pick.h"

struct route {
    unsigned self, shards;
    struct route_peer peer;
    struct rng rng;
    struct trie local;
    struct interests remote;
    struct matcher matcher;
    struct match *serving; /* the answer of the publish under way, NULL between */
    uint64_t inserts, removes;
};

enum err route_open(struct route **out, unsigned self, unsigned shards, const struct route_peer *peer,
                    uint64_t seed) {
    must(shards >= 1 && shards <= ROUTE_SHARDS_MAX);
    must(self < shards);
    must(shards == 1 || (peer && peer->announce && peer->forward));
    struct route *r = calloc(1, sizeof *r);
    if (!r) return ERR_NOMEM;
    r->self = self;
    r->shards = shards;
    if (peer) r->peer = *peer;
    r->rng.state = seed + self;
    trie_init(&r->local, seed);
    interests_init(&r->remote, shards, seed);
    r->local.watched = r->remote.trie.watched = MATCH_ACKS;
    enum err e = matcher_init(&r->matcher, &r->local, &r->remote, seed);
    if (e) {
        interests_deinit(&r->remote);
        trie_deinit(&r->local);
        free(r);
        return e;
    }
    *out = r;
    return ERR_OK;
}

void route_close(struct route *r) {
    must(r->serving == NULL);
    must(r->local.count == 0); /* owners unsubscribe first */
    matcher_deinit(&r->matcher);
    interests_deinit(&r->remote);
    trie_deinit(&r->local);
    free(r);
}

static void announce(struct route *r, const struct sub *s, bool add) {
    if (r->shards == 1 || s->local_only) return;
    r->peer.announce(r->peer.ctx, s->subject, s->queue, add);
}

enum err route_subscribe(struct route *r, struct sub *s) {
    must(s->sink && s->sink->deliver);
    must(r->serving == NULL);
    enum err e = trie_insert(&r->local, s->subject, &s->entry);
    if (e) return e;
    r->inserts++;
    matcher_invalidate(&r->matcher);
    announce(r, s, true);
    return ERR_OK;
}

void route_unsubscribe(struct route *r, struct sub *s) {
    must(s->entry.node != NULL); /* it is subscribed */
    trie_remove(&r->local, &s->entry);
    r->removes++;
    matcher_invalidate(&r->matcher);
    if (r->serving) match_forget(r->serving, s);
    announce(r, s, false);
}

void route_remote(struct route *r, unsigned shard, struct span subject, struct span queue, bool add) {
    must(shard < r->shards && shard != r->self);
    must(r->serving == NULL);
    enum err e = interests_change(&r->remote, shard, subject, queue, add);
    must(e == ERR_OK); /* a shard that forgets what others want would lose messages without a trace */
    matcher_invalidate(&r->matcher);
}

static size_t deliver_plain(struct match *a, struct route_msg *m) {
    size_t n = 0;
    for (uint32_t i = 0; i < a->plain_n; i++) {
        struct sub *s = a->plain[i];
        if (!s || (m->no_echo && s->cid == m->cid)) continue;
        n += s->sink->deliver(s->sink, s, m);
    }
    return n;
}

/* Hands the message to one shard with everything picked there; more groups than one hand-over names go in
 * several. */
static void forward_to(struct route *r, struct match *a, struct route_msg *m, unsigned shard, bool picked) {
    struct span picks[ROUTE_PICKS_MAX];
    bool plain = a->plain_shards >> shard & 1;
    size_t n = 0;
    for (uint32_t i = 0; picked && i < a->group_n; i++) {
        if (a->groups[i].chosen != shard) continue;
        if (n == ROUTE_PICKS_MAX) {
            r->peer.forward(r->peer.ctx, shard, m, picks, n, plain);
            plain = false;
            n = 0;
        }
        picks[n++] = match_group_name(a, &a->groups[i]);
    }
    must(plain || n);
    r->peer.forward(r->peer.ctx, shard, m, picks, n, plain);
}

size_t route_publish(struct route *r, struct route_msg *m) {
    must(r->serving == NULL);
    struct match *a = matcher_find(&r->matcher, m->to.n ? m->to : m->msg.subject);
    uint64_t picked = 0;
    m->congested = m->log_full = false;
    m->from = m->far = 0;
    r->serving = a;
    size_t got = deliver_plain(a, m);
    for (uint32_t i = 0; i < a->group_n; i++) got += pick_any(a, &a->groups[i], m, &r->rng, &picked);
    got += (size_t)__builtin_popcountll(a->plain_shards);
    for (uint64_t to = a->plain_shards | picked; to; to &= to - 1) {
        unsigned shard = (unsigned)__builtin_ctzll(to);
        forward_to(r, a, m, shard, picked >> shard & 1);
    }
    bool one = a->plain_shards && (a->plain_shards & (a->plain_shards - 1)) == 0;
    if (one && a->plain_n == 0 && a->group_n == 0) m->far = (uint8_t)(__builtin_ctzll(a->plain_shards) + 1);
    r->serving = NULL;
    return got;
}

size_t route_deliver(struct route *r, struct route_msg *m, const struct span *picks, size_t picks_count,
                     bool plain) {
    must(r->serving == NULL);
    must(picks_count <= ROUTE_PICKS_MAX);
    struct match *a = matcher_find(&r->matcher, m->to.n ? m->to : m->msg.subject);
    m->congested = m->log_full = false;
    r->serving = a;
    size_t got = plain ? deliver_plain(a, m) : 0;
    for (size_t i = 0; i < picks_count; i++) got += pick_named(a, picks[i], m, &r->rng);
    r->serving = NULL;
    return got;
}

bool route_interest(struct route *r, struct span subject) {
    must(r->shards >= 1);
    return trie_has_match(&r->local, subject) ||
           (r->remote.trie.count && trie_has_match(&r->remote.trie, subject));
}

static void shards_seen(void *ctx, struct trie_entry *e) {
    const struct interest *it = container_of(e, struct interest, entry);
    must(it->mask != 0);
    *(uint64_t *)ctx |= it->mask;
}

uint64_t route_shards(const struct route *r, struct span subject) {
    must(subject.n > 0);
    uint64_t mask = 0;
    if (r->remote.trie.count) trie_match(&r->remote.trie, subject, shards_seen, &mask);
    return mask;
}

struct bound {
    struct span subject, queue;
    bool local, found;
};

static void bound_seen(void *ctx, struct trie_entry *e) {
    struct bound *b = ctx;
    struct span subject, queue;
    if (b->local) {
        const struct sub *s = container_of(e, struct sub, entry);
        subject = s->subject;
        queue = s->queue;
    } else {
        const struct interest *it = container_of(e, struct interest, entry);
        subject = it->subject;
        queue = it->queue;
    }
    b->found |= span_eq(subject, b->subject) && span_eq(queue, b->queue);
}

bool route_bound(const struct route *r, struct span subject, struct span queue) {
    must(subject.n > 0);
    struct bound b = {.subject = subject, .queue = queue, .local = true};
    trie_match(&r->local, subject, bound_seen, &b);
    b.local = false;
    if (!b.found) trie_match(&r->remote.trie, subject, bound_seen, &b);
    return b.found;
}

static void served_seen(void *ctx, struct trie_entry *e) {
    const struct sub *s = container_of(e, struct sub, entry);
    bool *found = ctx;
    *found |= s->cid == 0 && !s->local_only;
}

bool route_serves(const struct route *r, struct span subject) {
    bool found = false;
    must(subject.n > 0);
    trie_match(&r->local, subject, served_seen, &found);
    return found;
}

uint32_t route_generation(const struct route *r) { return r->matcher.generation; }

void route_stats(const struct route *r, struct route_stats *out) {
    must(out != NULL);
    *out = (struct route_stats){
        .subs = r->local.count,
        .remote_patterns = r->remote.trie.count,
        .inserts = r->inserts,
        .removes = r->removes,
        .matches = r->matcher.finds,
        .cache_hits = r->matcher.hits,
    };
}
