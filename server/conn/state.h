/* state.h - what a connection consists of, and what the files of this folder offer each other. Not for users
 * of conn.h.
 *
 * A connection is open, then on its way out: draining (its last bytes leave), lingering (the peer is told
 * that nothing more comes and gets a moment to read it, because closing with unread bytes makes the kernel
 * reset the connection, which could destroy the -ERR on its way), dead (waiting for operations in flight),
 * gone. It only ever moves forward. The object lives until the last of its operations has called back.
 */
#pragma once
#include "base/span.h"
#include "conn/conn.h"
#include "wire/connect.h"
#include "wire/parse.h"

enum conn_phase { CONN_OPEN, CONN_DRAIN, CONN_LINGER, CONN_DEAD };

enum conn_pause {
    PAUSE_CONGESTED = 1, /* a sink asked for it; until conns_unpark() */
    PAUSE_BARRIER = 2,   /* a verbose client's answers keep their order: PONG is outstanding */
    PAUSE_INGEST = 4,    /* no room to gather its payload; until something was given back */
    PAUSE_STALL = 8,     /* a client on another shard lags; until conns_release() */
    PAUSE_STOP = 16,     /* the server stops; for good */
    PAUSE_MOVE = 32,     /* it moves to another shard; until it is there */
    PAUSE_LOG = 64,      /* what it published waits for a log of this shard; until conns_log_has_room() */
    PAUSE_FAR_LOG = 128, /* ... of another shard */
};

/* How far a move is; the first three on the old shard, the last on the new one. */
enum move_stage { STAY, MOVE_ASKED, MOVE_LEAVING, MOVE_CUT, MOVE_ARRIVING };

struct conn_move {
    bool agreed, dropped; /* MOVE_ASKED: the other shard takes it; MOVE_ARRIVING: it closed */
    bool doom_drain;
    unsigned peer;
    uint64_t switched; /* shards whose messages go to the new shard, by what has arrived from them */
    struct conn *old;  /* MOVE_ARRIVING: as it left the other shard */
    const char *doom;  /* MOVE_ARRIVING: it is to close, why */
    uint8_t *rest;     /* bytes that were not sent before it left */
    size_t rest_n;
    uint64_t not_before_ns, wait_ns; /* to keep it from moving back and forth */
};

struct conn {
    /* what a delivery touches */
    struct conns *cs;
    uint8_t phase, paused, moving; /* moving: enum move_stage */
    bool headers, trace, stalling;
    size_t stall_at; /* pending bytes above which publishers are asked to pause */
    uint64_t cid, out_msgs, out_bytes;
    struct list dirty; /* on cs->dirty */
    struct outbox out;
    /* what receiving touches */
    struct parser parser;
    struct carry carry;
    struct io_op recv;
    uint8_t far, far_n; /* so many messages in a row went to just shard far - 1 */
    uint64_t opened_ns;
    uint64_t in_msgs, in_bytes, heard_ns; /* last PUB, SUB, UNSUB, PING or CONNECT */
    uint64_t fed_ns;                      /* last bytes of any kind */
    uint64_t pinged_ns;                   /* last PING to it, 0 = never */
    bool connected, first_pong, eof, told_ldm;
    uint32_t thrown_away; /* bytes received while lingering */
    bool paused_once;     /* for the buffer being handled, because of a client that has stopped reading */
    enum err recv_err;
    struct connect_opts opts;
    struct map_str subs;    /* by sid */
    struct conn_sub *inbox; /* the one that took the last no-responders status: tried first */
    /* the rest */
    struct list all, parked, held, held_far, stalled, starved, sending, closing;
    struct io_timer timer; /* by phase: auth timeout or ping; drain; linger */
    struct io_op close;
    uint64_t progress_ns; /* while stalling: when the kernel last took bytes */
    uint32_t barriers;    /* outstanding */
    uint32_t pongs_owed;  /* at least as many */
    int pings_out;
    uint16_t port;
    char peer[46];
    const char *reason;
    struct conn_move move;
    struct sink sink;
};

/* One SUB. The spans lie in text. */
struct conn_sub {
    struct sub sub;
    struct conn *conn;
    struct span sid;
    int64_t delivered, max; /* max 0: no auto-unsubscribe */
    bool is_retired;
    struct list retired; /* on cs->retired */
    uint8_t text[];
};

static inline struct conn_sub *conn_sub_of(struct sub *s) { return container_of(s, struct conn_sub, sub); }

/* open.c: INFO and the first steps. conn_make: in the set, idle; NULL: no memory */
struct conn *conn_make(struct conns *cs, int fd, uint64_t cid);
bool conn_send_info(struct conn *c, bool connect_info, bool lame_duck);

/* send.c: bytes to the client. False: it is a slow consumer and closing now */
bool conn_put(struct conn *c, const void *p, size_t n);
void conn_mark(struct conn *c); /* something is in the outbox */
/* Deals with a failed outbox_put: true means try again. */
bool conn_relieve(struct conn *c, enum err e);
void conn_ok(struct conn *c);
void conn_err(struct conn *c, const char *text);
void conn_ping(struct conn *c);
void conn_pong(struct conn *c);
void conn_flush(struct conn *c);
void conn_on_sent(struct outbox *ob, enum err e);
void conns_on_sweep(struct io_timer *t);
void conns_on_stall(struct io_timer *t);
void conns_on_trim(struct io_timer *t);
void conns_arm_trim(struct conns *cs);  /* memory for outboxes is looked at in a while */
void conn_unstall(struct conn *c);      /* it does not lag any more, or is on its way out */
void conns_arm_stall(struct conns *cs); /* parked publishers are let go on soon, whatever else happens */

/* receive.c */
void conn_on_recv(struct io_op *op, int64_t res);
void conn_listen(struct conn *c);
void conn_pause(struct conn *c, enum conn_pause why);
void conn_resume(struct conn *c, enum conn_pause why);
/* Lets those go on that waited for room to gather. */
void conns_feed_starved(struct conns *cs);

/* dispatch.c, connect.c, subs.c, deliver.c */
void conn_dispatch(struct conn *c, const struct op *op);
void conn_bad_input(struct conn *c, const char *error, struct span near);
void conn_connect(struct conn *c, struct span json);
void conn_subscribe(struct conn *c, const struct op *op);
void conn_unsubscribe(struct conn *c, const struct op *op);
enum err conn_sub_add(struct conn *c, struct span subject, struct span queue, struct span sid,
                      bool local_only) MUST_USE;
void conn_drop_subs(struct conn *c);
void conn_sub_retire(struct conn_sub *s);
void conns_reap_subs(struct conns *cs);
bool conn_deliver(struct sink *sink, struct sub *sub, struct route_msg *m);

/* special.c. conn_user_info: true when m is that request; it was answered */
bool conn_is_trace_only(struct span hdr);
bool conn_user_info(struct conn *c, const struct msg *m);

/* close.c */
void conns_reap(struct conns *cs);
void conn_advance(struct conn *c);
void conn_on_closed(struct io_op *op, int64_t res);
void conn_free(struct conn *c);

/* move.c. conn_went: a message went to that shard alone (1 + shard; 0: not so) */
void conn_went(struct conn *c, uint8_t far, struct span subject);
bool conn_takes(const struct conn *c, const struct route_msg *m); /* while it moves: is this its shard? */
void conn_move_on(struct conn *c);                                /* a receive or send has ended */
void conn_move_drop(struct conn *c);                              /* it closes */
void conn_move_discard(struct conn *c);                           /* it does not arrive any more */

/* timers.c */
void conn_on_timer(struct io_timer *t);
void conn_arm_first(struct conn *c);
void conn_arm_ping(struct conn *c);

/* logline.c: log lines of a connection, as nats-server words them */
__attribute__((format(printf, 3, 4))) void conn_log(const struct conn *c, enum log_level level,
                                                    const char *fmt, ...);
/* <<- [OP words], ->> [OP words]; empty words are left out. */
void conn_trace(const struct conn *c, const char *arrow, const char *op, const struct span *words,
                size_t count);
void conn_trace_payload(const struct conn *c, const char *arrow, const struct msg *m, bool headers);
void conn_trace_connect(const struct conn *c, struct span json);
/* s in double quotes, as Go's %q; cut to fit. NUL-terminated; returns out. */
char *quote(char *out, size_t room, struct span s);
/* A CONNECT's json without what must not be logged; cut to fit. */
size_t redact(char *out, size_t room, struct span json);
