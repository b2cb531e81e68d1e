/* append.h - what appending one message (append.c) and a batch (batch.c) share: the steps between the
 * stream's decision and the entry that waits for the frame, in this order. */
#pragma once
#include "engine.h"

uint64_t append_size(const struct mr_stream *s, const struct mr_msg *m); /* as the storage limits count it */
/* Is there room for `size` more, and for one entry with this note? Nothing changed unless MR_OK. */
enum mr_status append_room(struct mr_stream *s, uint64_t size, size_t note) MR_MUST_USE;
bool append_id_in_headers(const struct mr_msg *m, struct span id);
/* wanted: mrs_wanted(); otherwise the message is counted, not stored. */
struct rec append_rec(const struct mr_stream *s, const struct mr_msg *m, const struct mr_append_opts *o,
                      const struct stream_verdict *v, bool wanted);
enum mr_status append_write(struct mr_stream *s, const struct rec *r, uint64_t *loc) MR_MUST_USE;
void append_apply(struct mr_stream *s, const struct mr_msg *m, const struct mr_append_opts *o,
                  const struct stream_verdict *v, bool wanted, uint64_t loc);
/* The entry under the frame of the newest record. */
void append_wait(struct mr_stream *s, const struct mr_append_opts *o, uint64_t seq);
