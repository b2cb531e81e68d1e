/* pick.c - queue groups: draws a member among all, and goes on from there when it does not take the message.
 * Local members first once the draw fell on one of them; other shards are asked blindly, as they find another
 * local member themselves. */
#include "route/pick.h"

#include "base/must.h"

/* Local members from `start` on, round once. */
static bool pick_local(struct match *a, const struct match_group *g, struct route_msg *m, uint64_t start) {
    must(start < g->members_n);
    for (uint32_t i = 0; i < g->members_n; i++) {
        uint64_t at = start + i < g->members_n ? start + i : start + i - g->members_n;
        struct sub *s = a->members[g->members_at + at];
        if (!s || (m->no_echo && s->cid == m->cid)) continue;
        if (s->sink->deliver(s->sink, s, m)) return true;
    }
    return false;
}

/* The shard on which the at-th remote member sits. */
static uint32_t remote_shard(const struct match *a, const struct match_group *g, uint64_t at) {
    must(at < g->remote_members);
    const struct match_remote *r = &a->remotes[g->remotes_at];
    for (; at >= r->members; r++) at -= r->members;
    must(r < &a->remotes[g->remotes_at + g->remotes_n]);
    return r->shard;
}

size_t pick_any(struct match *a, struct match_group *g, struct route_msg *m, struct rng *rng,
                uint64_t *picked) {
    uint64_t total = (uint64_t)g->members_n + g->remote_members;
    must(total > 0);
    uint64_t at = total == 1 ? 0 : rng_below(rng, total);
    g->chosen = MATCH_HERE;
    if (at < g->members_n && pick_local(a, g, m, at)) return 1;
    if (!g->remote_members) return 0;
    g->chosen = remote_shard(a, g, at < g->members_n ? rng_below(rng, g->remote_members) : at - g->members_n);
    *picked |= UINT64_C(1) << g->chosen;
    return 1;
}

size_t pick_named(struct match *a, struct span name, struct route_msg *m, struct rng *rng) {
    must(name.n > 0);
    for (uint32_t i = 0; i < a->group_n; i++) {
        const struct match_group *g = &a->groups[i];
        if (!span_eq(match_group_name(a, g), name)) continue;
        return g->members_n && pick_local(a, g, m, rng_below(rng, g->members_n));
    }
    return 0;
}
