/* watch.h - between the monitoring port and the shards: what a shard answers when it is asked for its
 * numbers, and the port on shard 0. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct letter;
struct server;
struct shard;

/* Opens the port that options ask for, if any. False: it cannot be had, and why was logged. */
bool watch_open(struct server *sv);
/* Takes no more requests; what is open is closed. */
void watch_stop(struct server *sv);
bool watch_idle(const struct server *sv);
void watch_close(struct server *sv); /* see monitor_close() */

/* Letters. on_ask: shard 0 wants this shard's numbers; on_answer: to shard 0. */
void watch_on_ask(struct shard *s, const struct letter *l);
void watch_on_answer(struct shard *s, unsigned from, const struct letter *l);
