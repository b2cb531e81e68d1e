/* stop.c - how the server stops (the rest of it is in phase.c), and how it empties itself first in lame duck
 * mode: no new clients, those that are there are told, and after the grace period they are closed one by one
 * over the duration. */
#include "base/must.h"
#include "shard/state.h"
#include "shard/watch.h"

#define SECOND_NS 1000000000u

void server_stop(struct server *sv) {
    if (sv->stopping) return;
    sv->stopping = true;
    log_line(sv->log, LOG_INFO, "Initiating Shutdown...");
    io_timer_cancel(sv->shard[0].io, &sv->lame_duck);
    lobby_close(&sv->lobby);
    watch_stop(sv);
    must(sv->reports == 0);
    server_call_all(sv, shard_next_phase, NULL);
}

/* Closes one connection, then waits for its turn again. */
static void on_lame_duck(struct io_timer *t) {
    struct shard *s = container_of(t, struct shard, lame_duck);
    size_t at = 0;
    uint64_t cid;
    void *c;
    if (!map_u64_next(&s->conns.by_cid, &at, &cid, &c)) return;
    must(c != NULL);
    conn_close(c, "Server Shutdown", true);
    io_timer_set(s->io, t, io_now(s->io) + s->lame_duck_every_ns);
}

static void shard_lame_duck(void *ctx, void *arg) {
    struct shard *s = ctx;
    (void)arg;
    conns_lame_duck(&s->conns);
}

static void shard_lame_duck_close(void *ctx, void *arg) {
    struct shard *s = ctx;
    (void)arg;
    const struct options *o = s->server->opts;
    int64_t spread = o->lame_duck_ns - o->lame_duck_grace_ns;
    size_t count = conns_count(&s->conns);
    must(o->lame_duck_ns >= 0);
    if (count == 0) return;
    s->lame_duck_every_ns = spread > 0 ? (uint64_t)spread / count : 0;
    s->lame_duck.on_fire = on_lame_duck;
    on_lame_duck(&s->lame_duck);
}

/* After the grace period: closing begins, and the server ends when the last client has left, looked at each
 * second. */
static void on_server_lame_duck(struct io_timer *t) {
    struct server *sv = container_of(t, struct server, lame_duck);
    bool first = !sv->lame_duck_closing;
    must(sv->is_lame_duck);
    if (sv->lobby.total == 0) {
        server_stop(sv);
        return;
    }
    sv->lame_duck_closing = true;
    if (first) server_call_all(sv, shard_lame_duck_close, NULL);
    io_timer_set(sv->shard[0].io, t, io_now(sv->shard[0].io) + SECOND_NS);
}

void server_lame_duck(struct server *sv) {
    if (sv->is_lame_duck || sv->stopping) return;
    struct io *io = sv->shard[0].io;
    sv->is_lame_duck = true;
    signals_ignore_term();
    log_line(sv->log, LOG_INFO, "Entering lame duck mode, stop accepting new clients");
    lobby_close(&sv->lobby);
    server_call_all(sv, shard_lame_duck, NULL);
    sv->lame_duck.on_fire = on_server_lame_duck;
    must(sv->opts->lame_duck_grace_ns >= 0);
    io_timer_set(io, &sv->lame_duck, io_now(io) + (uint64_t)sv->opts->lame_duck_grace_ns);
}
