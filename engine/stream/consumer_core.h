/* consumer_core.h - what the files of struct consumer share. */
#pragma once
#include "stream/consumer.h"

/* The consumer's clock: it never goes back. */
int64_t consumer_clock(struct consumer *c, int64_t now);
/* Does the message at seq, which is live, count for this consumer: filters, and last per subject? */
bool consumer_wants(struct consumer *c, uint64_t seq);
/* It has done with a message: the stream may let it go. */
void consumer_let_go(struct consumer *c, uint64_t seq);
/* Brings num_pending up to the watermark. */
void consumer_count(struct consumer *c);
void consumer_recount(struct consumer *c);
/* How long an entry waits, by its deliveries; 0 = for ever. */
int64_t consumer_wait(const struct consumer *c, const struct pending *p);
/* Puts an entry where it waits; by_age: its ts is not older than that of any other waiting entry. */
void consumer_put_waiting(struct consumer *c, uint32_t i, bool by_age);
/* Puts every waiting entry anew: the waits have changed. */
void consumer_replace_waiting(struct consumer *c);
bool consumer_scratch(struct consumer *c, uint32_t n);
void consumer_touch(struct consumer *c, uint32_t i);
/* Takes an entry out and remembers that for the log. */
void consumer_drop(struct consumer *c, uint32_t i);
/* As nats-server moves the floor when an entry is acknowledged or its message is gone. */
void consumer_settle(struct consumer *c, uint32_t i);
void consumer_exceed(struct consumer *c, uint32_t i, uint64_t deliveries, uint32_t redelivered);
/* Forgets entries whose message is gone. */
void consumer_drop_missing(struct consumer *c);
