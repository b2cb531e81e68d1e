/* pick.h - one member of a queue group. Every member has the same chance, wherever it is and by whichever
 * pattern it matches; one that does not take the message passes it on to the next. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/rng.h"
#include "route/match.h"
#include "route/route.h"

/* Serves the group from all shards: 1 when it was delivered here or a shard was chosen (g->chosen, and its
 * bit in *picked). */
size_t pick_any(struct match *a, struct match_group *g, struct route_msg *m, struct rng *rng,
                uint64_t *picked);
/* Serves the group of this name from the local members only; 0 when there is none who takes it. */
size_t pick_named(struct match *a, struct span name, struct route_msg *m, struct rng *rng);
