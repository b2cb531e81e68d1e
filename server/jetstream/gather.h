/* gather.h - answers that need several shards: one shard asks, every other answers once, the parts are put
 * together. */
#pragma once
#include "jetstream/api.h"

/* Another shard asks; it is answered once everything appended here before is durable. */
void gather_on_ask(struct js *js, unsigned from, const struct cast *c);
void gather_on_answer(struct js *js, unsigned from, const struct cast *c);
enum { GATHER_TAG = 1 }; /* marks a barrier that gather waits for */
void gather_on_durable(struct js *js, uint64_t tag);
/* What a request holds of a gather. */
void gather_free(struct api_req *r);
