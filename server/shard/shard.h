/* shard.h - one thread with one ring: its connections, its part of the routing table, its streams and its
 * log.
 *
 * shard_tick() is the data path, top to bottom. Shards meet in mailboxes only (mail.h). */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/log.h"
#include "shard/options.h"

struct shard;
struct server; /* what all shards share: options, the listener, mailboxes, counters; see server.h */

/* Runs the server until it is told to stop (SIGINT, SIGTERM): returns the exit status. log is a logfile's
 * (logfile.h): SIGUSR1 reopens it. */
int server_run(const struct options *o, struct log *log);
