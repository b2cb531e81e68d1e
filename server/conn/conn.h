/* conn.h - one client connection's life, on one shard.
 *
 * Happy path: conn_open() sends INFO and starts receiving. Received bytes are parsed in place; each operation
 * is dispatched at once (dispatch.c): CONNECT, PING, SUB, UNSUB, and PUB into route_publish(). Answers and
 * deliveries go to the outbox, which leaves at the tick's end (conns_flush). What fails: a peer's mistake is
 * answered with the exact -ERR text and costs at most this connection; a full outbox or a send that is not
 * through after write_deadline makes it a slow consumer and closes it; nobody else waits. A payload that is
 * not whole in the receive buffer is gathered in a buffer charged to the shard's ingest budget; at the budget
 * receiving stops until there is room.
 *
 * Parking: when a publish reports m.congested, the connection stops parsing (the rest of the bytes is kept)
 * and receiving until conns_unpark(); with m.log_full until conns_log_has_room().
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/rng.h"
#include "conn/carry.h"
#include "conn/outbox.h"
#include "io/io.h"
#include "route/route.h"

struct conn;

/* Limits and switches a connection obeys; one per server, read-only, shared by all shards. */
struct conn_limits {
    int64_t max_payload, max_pending, max_control_line;
    int64_t max_subscriptions, max_sub_tokens; /* 0 = none */
    int64_t ping_interval_ns, write_deadline_ns, auth_timeout_ns, first_ping_ns;
    int ping_max;
    bool no_headers;
    uint64_t ingest_max;  /* bytes of partial messages a shard holds; 0 = 64 MiB */
    uint64_t outbox_max;  /* bytes of outgoing messages a shard holds for all its connections; 0 = 256 MiB */
    int64_t move_wait_ns; /* how long a connection stays on a shard it moved to, at first; 0 = 1 s */
};

/* What the INFO line says of the server; strings live as long as the server. */
struct conn_server {
    const char *server_id, *server_name, *version, *xkey, *git_commit, *go, *host, *cluster, *domain;
    int port;
    bool jetstream, auth_required;
    int api_level;
};

struct conn_counters { /* this shard's */
    uint64_t in_msgs, in_bytes, out_msgs, out_bytes, slow_consumers, stale, connections, total_connections,
        moved_in;
};

/* What the shards tell each other when a connection moves; see move.c. */
enum conn_move_step {
    CONN_MOVE_ASK,    /* to the new shard: take it? Its last subject, and of each subscription subject, sid */
    CONN_MOVE_YES,    /* back */
    CONN_MOVE_NO,     /* back */
    CONN_MOVE_SWITCH, /* old shard to all: its messages go to shard arg from now on */
    CONN_MOVE_SWITCHED, /* back, and to the new shard: what follows from here goes there */
    CONN_MOVE_TAKE,     /* to the new shard: arg is the connection */
    CONN_MOVE_DROP      /* to the new shard: it closed, nothing comes */
};
enum { CONN_MOVE_SUBS_MAX = 16, CONN_MOVE_SPANS = 1 + 2 * CONN_MOVE_SUBS_MAX };
struct conn_move_letter {
    enum conn_move_step step;
    uint64_t cid, arg;
    const struct span *spans;
    size_t spans_n;
};

/* The shard's connections and what they stand on. The lists and what follows `counters` are conn's own. */
struct conns {
    struct io *io;
    struct route *route;
    const struct conn_limits *limits;
    const struct conn_server *server;
    struct log *log;
    /* Upcalls to the shard. barrier: every shard is to apply what came before; true: done already, else
     * conn_barrier_done() for this cid follows. closed: the descriptor is gone, bookkeeping; once for each
     * conn_open() that succeeded. */
    void *ctx;
    bool (*barrier)(void *ctx, uint64_t cid);
    void (*closed)(void *ctx, uint64_t cid);
    /* May this client in? Decides on CONNECT options; NULL = everyone. (server/auth) */
    bool (*authorize)(void *ctx, const void *connect_opts);
    /* Between shards; self and shards are the caller's to set. tell: in order with routed messages, to
     * conns_on_move() of shard `to`. moved: a connection that was shard `from`'s is this one's. */
    unsigned self, shards;
    void (*tell)(void *ctx, unsigned to, const struct conn_move_letter *l); /* NULL = connections stay */
    void (*moved)(void *ctx, uint64_t cid, unsigned from);
    struct conn_counters counters;
    bool lame_duck;
    bool stopping;   /* nothing is read any more */
    size_t arriving; /* of count: their shard is still another one */
    size_t stalling; /* clients that lag so far behind that publishers are held back for them */

    /* of struct conn; held: by a log of this shard, held_far: of another one */
    struct list all, dirty, parked, held, held_far, stalled, starved, sending, closing;
    struct list retired; /* of struct conn_sub */
    struct map_u64 by_cid;
    struct outbox_pools chunks;
    struct ingest ingest;
    struct io_timer stall, sweep, trim;
    uint64_t release_ns; /* when those that are stalled go on in any case */
    bool stuck;          /* the message being published met a client that has stopped reading */
    struct rng rng;
    uint8_t *line; /* room for the longest line before a message */
    size_t line_cap, count;
    uint64_t seed;
};

/* Sets everything up but the upcalls, which the caller fills in (barrier is required). */
enum err conns_init(struct conns *cs, struct io *io, struct route *route, const struct conn_limits *limits,
                    const struct conn_server *server, struct log *log) MUST_USE;
/* Close all and tick the loop until conns_count() is 0 before this. Connections that are still there then are
 * dropped on the spot, which is allowed only if the loop does not run again: the kernel may still use their
 * memory. */
void conns_deinit(struct conns *cs);

/* Takes the descriptor: sets TCP_NODELAY, sends INFO, receives. cid is unique in the server. full: refuse
 * with 'maximum connections exceeded' after INFO. On error the descriptor is closed. */
enum err conn_open(struct conns *cs, int fd, uint64_t cid, bool full) MUST_USE;
/* Begins to close: the reason is logged; pending bytes (the -ERR) are given a moment to leave when drain is
 * set. The connection takes and delivers nothing from now on; its subscriptions are gone when the call that
 * led here is back in the loop, at the latest with conns_flush(). */
void conn_close(struct conn *c, const char *reason, bool drain);
/* The barrier the connection asked for has been reached: PONG leaves. One call a request, in order. The
 * connection may be gone. */
void conn_barrier_done(struct conns *cs, uint64_t cid);
/* Submits the outboxes of all connections that got bytes this tick, and takes closed connections'
 * subscriptions off. */
void conns_flush(struct conns *cs);
/* Lets parked connections go on (called when the congestion may be over; those that still meet it park
 * again). Not from inside route_publish(). */
void conns_unpark(struct conns *cs);
/* What this connection published met, on another shard, a client that lags: it stops until conns_release(),
 * or for a moment. It may be gone. */
void conns_stall(struct conns *cs, uint64_t cid);
void conns_release(struct conns *cs);
/* What this connection published waits for a log of another shard, which is full: it stops until
 * conns_log_has_room(). It may be gone. */
void conns_hold(struct conns *cs, uint64_t cid);
/* A log has room again: of another shard (far), or of this one. */
void conns_log_has_room(struct conns *cs, bool far);
/* A letter of another shard about a connection that moves. */
void conns_on_move(struct conns *cs, unsigned from, const struct conn_move_letter *l);
/* The server stops: nothing more is read or handled from anyone; answers and deliveries still leave. */
void conns_stop_reading(struct conns *cs);
/* Sends INFO with ldm to everyone and stops accepting new work; or closes all (shutdown). */
void conns_lame_duck(struct conns *cs);
void conns_close_all(struct conns *cs, const char *reason);
/* Connections whose descriptor is not closed yet. */
size_t conns_count(const struct conns *cs);

/* What monitoring shows of a connection. Times are monotonic; spans and peer live as long as the call. */
struct conn_info {
    uint64_t cid, opened_ns, heard_ns;
    uint64_t in_msgs, in_bytes, out_msgs, out_bytes, pending_bytes, subscriptions;
    const char *peer;
    uint16_t port;
    struct span name, lang, version;
};
/* Calls fn for each open connection, in the order they came, until it returns false. */
void conns_each(const struct conns *cs, bool (*fn)(void *ctx, const struct conn_info *info), void *ctx);
