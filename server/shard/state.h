/* state.h - what a shard and the server consist of. For the files of this folder. */
#pragma once
#include <pthread.h>

#include "conn/conn.h"
#include "io/io.h"
#include "jetstream/js.h"
#include "route/route.h"
#include "shard/barrier.h"
#include "shard/gate.h"
#include "shard/letters.h"
#include "shard/lobby.h"
#include "shard/mail.h"
#include "shard/shard.h"
#include "wire/nuid.h"

/* All shards take each step together. APPLY: what this shard announced has arrived everywhere. QUIET: nothing
 * more is read, and what was read has arrived where it belongs. COMMIT: it is durable and answered. CLOSE:
 * last bytes leave, connections close. Only forward. */
enum shard_phase {
    SHARD_NEW,
    SHARD_APPLY,
    SHARD_SERVING,
    SHARD_QUIET,
    SHARD_COMMIT,
    SHARD_CLOSE,
    SHARD_ENDED
};

struct shard {
    unsigned self;
    enum shard_phase phase, entered; /* entered: begun, at the tick's turn for it */
    struct server *server;
    struct io *io;
    const char *io_why;
    struct mail *mail;
    struct route *route;
    struct conns conns;
    struct js *js; /* NULL: JetStream is off */
    struct barriers barriers;
    bool conns_ready, lying;
    uint64_t poll_until_ns;           /* --poll: until then the loop does not sleep */
    bool met_congestion;              /* letters made publishers wait */
    uint64_t unpark_ns;               /* when parked publishers are let go on without being asked */
    uint64_t stalled_shards;          /* where publishers were told to wait */
    uint64_t full_for;                /* ... because of the log */
    uint64_t stalled_cid, stalled_ns; /* the publisher that was told last to wait, and when */
    bool stalled_log;                 /* and why */
    bool applied, reported; /* all shards have applied what this one sent; the step is done, shard 0 knows */
    struct js_barrier apply;
    struct js_stats recovered; /* as the shard reports it is ready */
    uint64_t stop_by_ns;       /* monotonic; a step not done by then is cut short */
    struct io_timer lame_duck; /* closes one connection after the other */
    uint64_t lame_duck_every_ns;
    pthread_t thread;
};

struct server {
    const struct options *opts;
    struct log *log;
    unsigned shards;
    struct shard *shard;
    struct mail_post *post;
    struct mr_env *env;
    struct conn_server info;
    struct js_limits js_limits;
    struct gate gate;
    uint64_t route_seed;
    char id[NKEY_LEN + 1], xkey[NKEY_LEN + 1];
    int64_t started_ns, started_wall_ns, recovery_ns;
    /* shard 0's */
    struct lobby lobby;
    int64_t clients_max;     /* max_connections, or fewer: a descriptor each */
    struct monitor *monitor; /* NULL: no port for it */
    struct io_op signals;
    unsigned reports; /* shards that are done with the step */
    bool stopping, is_lame_duck, lame_duck_closing;
    struct io_timer lame_duck;
};

/* Runs fn on every shard: on the others by mail, here at once. Only shard 0 does this. */
void server_call_all(struct server *sv, shard_call *fn, void *arg);

/* shard.c: opens the shard's parts on its thread; false: said why. */
bool shard_open(struct shard *s);
/* Recovers and announces; other shards may be told things from here on. */
bool shard_recover(struct shard *s);
/* Runs ticks from SHARD_APPLY on until the shard has ended. */
void shard_run(struct shard *s);
/* Closes the parts, down to what other shards may still use. */
void shard_close(struct shard *s);

/* phase.c */
void shard_next_phase(void *ctx, void *arg); /* a shard_call */
bool shard_phase_due(const struct shard *s); /* there is a step to begin */
void shard_phase_step(struct shard *s);      /* once a tick */

/* server.c: every shard serves; a port that cannot be had stops the server. */
void server_open_doors(struct server *sv);
/* logfile: SIGUSR1 */
void server_reopen_log(struct server *sv);

/* stop.c */
void server_stop(struct server *sv);
void server_lame_duck(struct server *sv);

/* signals.c: SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 reach shard 0 as bytes; a second SIGINT or SIGTERM
 * exits at once. */
bool signals_install(struct server *sv);
void signals_listen(struct server *sv);
void signals_ignore_term(void); /* as nats-server in lame duck mode */
void signals_remove(void);
