/* stream_core.h - what the files of struct stream share: adding and taking out one message. */
#pragma once
#include "stream/stream.h"

/* Messages whose record was not found are taken out, and what is counted is counted again. */
void stream_settle_lost(struct stream *st);
void stream_pages_deinit(struct stream *st);
/* Recovery: the messages between the last one and seq were not found. */
void stream_lost_before(struct stream *st, uint64_t seq);
/* Adds a message to index, subject and counters; room was reserved. It need not be the newest. Returns the
 * subject's id. */
uint32_t stream_insert(struct stream *st, const struct stream_put *p);
/* Reports a message and takes it out; it must be live. */
void stream_remove(struct stream *st, uint64_t seq, enum removed_why why);
/* The first message of a subject at or after `from`, the last one at or before `to`; 0 = none. */
uint64_t stream_find_same(const struct stream *st, uint32_t id, uint64_t from);
uint64_t stream_find_same_back(const struct stream *st, uint32_t id, uint64_t to);
/* Its very first one: makes subject.first exact. */
uint64_t stream_first_same(struct stream *st, uint32_t id);
/* Turns subjects.listed on or off, as the configuration wants it. */
void stream_list_subjects(struct stream *st);
/* Remembers for a few subjects whether they match, so that a walk does not compare each message. */
enum { MEMO = 64 };
struct memo {
    uint32_t id[MEMO]; /* + 1 */
    bool match[MEMO];
};
bool memo_match(struct memo *m, const struct stream *st, uint32_t id, struct span filter);
/* Makes stream_insert(), the dedupe entry and the last id of this message possible without failing. */
enum err stream_reserve(struct stream *st, uint64_t seq, struct span subject, struct span msg_id);
enum err stream_reserve_id(struct stream *st, size_t n);
/* Everything of a message at the stream's end but limits. */
uint32_t stream_append(struct stream *st, const struct stream_put *p);
/* max_msgs, max_bytes; and max_msgs_per_subject of one subject. */
void stream_limit(struct stream *st, uint32_t subject);
void stream_limit_subjects(struct stream *st);
void stream_rollup(struct stream *st, uint32_t id, const struct stream_put *p);
void stream_set_last_id(struct stream *st, struct span id); /* room was reserved */
