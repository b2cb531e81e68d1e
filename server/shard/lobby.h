/* lobby.h - where clients come in: shard 0 accepts and hands each descriptor to the shard with the fewest
 * connections. It numbers them, counts them over all shards, and marks those beyond the limit. A descriptor
 * that cannot be accepted (no more of them) is tried again after a moment; nothing else waits for it. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "io/io.h"
#include "route/route.h"

struct server;

struct lobby {
    struct server *server;
    struct io *io;
    struct io_op accept;
    struct io_timer again;
    int fd, port;
    bool open;
    uint64_t next_cid;
    int32_t load[ROUTE_SHARDS_MAX]; /* below 0 for a moment when one moves on before its arrival is known */
    uint32_t total;
};

void lobby_init(struct lobby *l, struct server *sv, struct io *io);
/* Listens at options' host and port. */
enum err lobby_open(struct lobby *l) MUST_USE;
/* Takes no more clients. */
void lobby_close(struct lobby *l);
/* A connection has moved. */
void lobby_on_moved(struct lobby *l, unsigned from, unsigned to);
/* A connection of that shard is gone. */
void lobby_on_closed(struct lobby *l, unsigned shard);
