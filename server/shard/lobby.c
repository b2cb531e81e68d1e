/* lobby.c - accepting. Happy path: on_accept() picks the shard, and the descriptor goes there by mail (or
 * stays). */
#include "shard/lobby.h"

#include "base/must.h"
#include "shard/state.h"

enum { FIRST_CID = 5 }; /* as nats-server, whose own clients come first */
#define AGAIN_NS 100000000u

static unsigned lightest(const struct lobby *l) {
    unsigned best = 0;
    for (unsigned s = 1; s < l->server->shards; s++) {
        if (l->load[s] < l->load[best]) best = s;
    }
    must(best < l->server->shards);
    return best;
}

static void hand_over(struct lobby *l, int fd) {
    struct server *sv = l->server;
    unsigned to = lightest(l);
    uint64_t cid = l->next_cid++;
    bool full = l->total >= sv->clients_max;
    l->load[to]++;
    l->total++;
    if (to != 0) {
        post_conn(sv->shard[0].mail, to, fd, cid, full);
        return;
    }
    if (conn_open(&sv->shard[0].conns, fd, cid, full)) lobby_on_closed(l, 0);
}

static void on_accept(struct io_op *op, int64_t res) {
    struct lobby *l = container_of(op, struct lobby, accept);
    if (res >= 0) {
        must(res <= INT32_MAX);
        if (l->open)
            hand_over(l, (int)res);
        else
            io_file_close(l->io, (int)res);
    } else if (l->open) {
        log_line(l->server->log, LOG_ERROR, "cannot accept a client: %s; trying again",
                 err_text((enum err) - res));
    }
    if (!op->busy && l->open) io_timer_set(l->io, &l->again, io_now(l->io) + AGAIN_NS);
    if (!op->busy && !l->open) io_file_close(l->io, l->fd);
}

static void on_again(struct io_timer *t) {
    struct lobby *l = container_of(t, struct lobby, again);
    if (l->open && !l->accept.busy) io_submit(l->io, &l->accept);
}

void lobby_init(struct lobby *l, struct server *sv, struct io *io) {
    must(sv->shards <= ROUTE_SHARDS_MAX);
    *l = (struct lobby){.server = sv, .io = io, .fd = -1, .next_cid = FIRST_CID};
    l->again.on_fire = on_again;
}

enum err lobby_open(struct lobby *l) {
    const struct options *o = l->server->opts;
    must(!l->open);
    l->port = o->port;
    enum err e = io_listen(l->io, o->host, &l->port, &l->fd);
    if (e) return e;
    l->open = true;
    l->accept = (struct io_op){.kind = IO_OP_ACCEPT, .fd = l->fd, .on_done = on_accept};
    io_submit(l->io, &l->accept);
    return ERR_OK;
}

void lobby_close(struct lobby *l) {
    if (!l->open) return;
    l->open = false;
    io_timer_cancel(l->io, &l->again);
    must(l->fd >= 0);
    if (l->accept.busy)
        io_stop(l->io, &l->accept);
    else
        io_file_close(l->io, l->fd);
}

void lobby_on_moved(struct lobby *l, unsigned from, unsigned to) {
    must(from != to);
    must(from < l->server->shards && to < l->server->shards);
    l->load[from]--;
    l->load[to]++;
}

void lobby_on_closed(struct lobby *l, unsigned shard) {
    must(shard < l->server->shards);
    must(l->total > 0);
    l->load[shard]--;
    l->total--;
}
