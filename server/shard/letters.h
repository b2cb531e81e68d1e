/* letters.h - what the letters between shards say: routed messages, interest, connections, calls. Each is
 * written by post_x() and read by read_x(); mail.c carries them without looking inside. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conn/conn.h"
#include "route/route.h"
#include "shard/mail.h"

/* A routed message and whom it is for on the other shard. */
struct routed {
    struct route_msg m;
    const struct span *picks;
    size_t picks_n;
    bool plain;
};
void post_msg(struct mail *m, unsigned to, const struct routed *r);
void read_msg(const struct letter *l, struct routed *r); /* spans: as long as the letter's */

/* To all: this shard has one member or pattern more (add) or less. */
void post_interest(struct mail *m, struct span subject, struct span queue, bool add);

/* The descriptor changes hands. full: to be refused. */
void post_conn(struct mail *m, unsigned to, int fd, uint64_t cid, bool full);

/* About a connection that moves. */
void post_move(struct mail *m, unsigned to, const struct conn_move_letter *l);
void read_move(const struct letter *l, struct conn_move_letter *out);

/* Runs fn(shard's context, arg) on the other shard, in order with everything else. arg lives until it ran. */
typedef void shard_call(void *ctx, void *arg);
void post_call(struct mail *m, unsigned to, shard_call *fn, void *arg);
void read_call(const struct letter *l, void *ctx);

/* Monitoring: shard 0 asks, the other shard answers; bytes of monitor.h's structs. */
void post_ask(struct mail *m, unsigned to, uint64_t id, struct span question);
struct span read_ask(const struct letter *l);
void post_answer(struct mail *m, uint64_t id, struct span counters, struct span entries);
void read_answer(const struct letter *l, struct span *counters, struct span *entries);
