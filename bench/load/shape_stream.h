/* shape_stream.h - the publishing side of streams, for the shapes that need one. */
#pragma once
#include "load/run.h"

void stream_name(const struct work *w, uint32_t i, char *out, size_t room);
/* Makes the work's streams anew. */
bool stream_prepare(struct run *r);
bool stream_open_sender(struct run *r, struct link *l);
bool stream_may_send(struct link *l);
void stream_send(struct link *l, uint64_t intended_ns);
/* Every message this thread published is acknowledged. */
bool stream_answered(const struct lane *lane);
/* An acknowledgement came. counts: it is what the run measures. */
void stream_on_ack(struct link *l, const struct incoming *m, uint64_t now, bool counts);
/* The streams hold what was acknowledged: counts, and a sample read back. */
bool stream_check(struct run *r);
bool stream_drop_all(struct run *r);
