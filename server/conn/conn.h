/* conn.h - one client connection's life, on one shard.
 *
 * Happy path: conn_open() sends INFO and starts receiving. Received bytes are parsed in place; each operation is dispatched at
 * once (dispatch.c): CONNECT, PING, SUB, UNSUB, and PUB into route_publish(). Answers and deliveries go to the outbox, which
 * leaves at the tick's end (conn_flush). What fails: a peer's mistake is answered with the exact -ERR text and costs at most
 * this connection; a full outbox or a send that makes no progress for write_deadline makes it a slow consumer and closes it;
 * nobody else waits. A payload that is not whole in the receive buffer is gathered in a buffer charged to the shard's
 * ingest budget; at the budget receiving stops until there is room.
 *
 * Parking: when a publish reports m.congested, the connection stops parsing (the rest of the bytes is kept) and receiving until
 * conn_unpark_all().
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "io/io.h"
#include "route/route.h"

struct conn;

/* Limits and switches a connection obeys; one per server, read-only, shared by all shards. */
struct conn_limits {
    int64_t max_payload, max_pending, max_control_line, max_subscriptions /* 0 = none */, max_sub_tokens /* 0 = none */;
    int64_t ping_interval_ns, write_deadline_ns, auth_timeout_ns, first_ping_ns;
    int ping_max;
    bool no_headers;
    uint64_t ingest_max; /* bytes of partial messages a shard holds */
};

/* What the INFO line says of the server; strings live as long as the server. */
struct conn_server {
    const char *server_id, *server_name, *version, *xkey, *git_commit, *go, *host, *cluster, *domain;
    int port;
    bool jetstream, auth_required;
    int api_level;
};

struct conn_counters { /* this shard's */
    uint64_t in_msgs, in_bytes, out_msgs, out_bytes, slow_consumers, connections, total_connections;
};

/* The shard's connections and what they stand on. */
struct conns {
    struct io *io;
    struct route *route;
    const struct conn_limits *limits;
    const struct conn_server *server;
    struct log *log;
    struct pool chunks;      /* outbox chunks */
    struct list all, dirty, parked; /* of struct conn */
    struct map_u64 by_cid;
    struct conn_counters counters;
    uint64_t ingest_used;
    bool lame_duck;
    /* Upcalls to the shard. barrier: every shard is to apply what came before; false: done already, else
     * conn_barrier_done(conn by cid) follows. closed: the descriptor is gone, bookkeeping. */
    void *ctx;
    bool (*barrier)(void *ctx, uint64_t cid);
    void (*closed)(void *ctx, uint64_t cid);
    /* May this client in? Decides on CONNECT options; NULL = everyone. (server/auth) */
    bool (*authorize)(void *ctx, const void *connect_opts);
};

enum err conns_init(struct conns *cs, struct io *io, struct route *route, const struct conn_limits *limits,
                    const struct conn_server *server, struct log *log) MUST_USE;
void conns_deinit(struct conns *cs);

/* Takes the descriptor: sets TCP_NODELAY, sends INFO, receives. cid is unique in the server. full: refuse with
 * 'maximum connections exceeded' after INFO. On error the descriptor is closed. */
enum err conn_open(struct conns *cs, int fd, uint64_t cid, bool full) MUST_USE;
/* Begins to close: the reason is logged; pending bytes (the -ERR) are given a moment to leave when drain is set. */
void conn_close(struct conn *c, const char *reason, bool drain);
/* The barrier the connection asked for has been reached: PONG leaves. One call a request, in order. */
void conn_barrier_done(struct conns *cs, uint64_t cid);
/* Submits the outboxes of all connections that got bytes this tick. */
void conns_flush(struct conns *cs);
/* Lets parked connections go on (called when the congestion may be over; those that still meet it park again). */
void conns_unpark(struct conns *cs);
/* Sends INFO with ldm to everyone and stops accepting new work; or closes all (shutdown). */
void conns_lame_duck(struct conns *cs);
void conns_close_all(struct conns *cs, const char *reason);
size_t conns_count(const struct conns *cs);
