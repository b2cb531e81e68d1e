/* open.c - a shard's set of connections, and a connection's first steps: it takes the descriptor, says INFO,
 * listens.
 *
 * What fails: memory (ERR_NOMEM: the descriptor is closed, nobody else notices). A connection beyond the
 * server's limit is opened like any other, told so, and closed. */
#include "conn/conn.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/must.h"
#include "conn/state.h"
#include "wire/emit.h"

enum { INFO_ROOM = 16384, LINE_EXTRA = 2048 };
#define INGEST_DEFAULT ((uint64_t)64 << 20)
#define OUTBOX_DEFAULT ((uint64_t)256 << 20)

/* --- the set --- */

/* A single message must fit into either budget, however small they were set. */
static uint64_t at_least(uint64_t bytes, int64_t message) {
    uint64_t floor = (uint64_t)message * 2 + (1 << 20);
    return bytes < floor ? floor : bytes;
}

enum err conns_init(struct conns *cs, struct io *io, struct route *route, const struct conn_limits *limits,
                    const struct conn_server *server, struct log *log) {
    must(io && route && limits && server);
    must(limits->max_payload > 0 && limits->max_payload <= INT32_MAX);
    must(limits->max_control_line > 0 && limits->max_control_line <= INT32_MAX);
    *cs = (struct conns){.io = io, .route = route, .limits = limits, .server = server, .log = log};
    cs->line_cap = (size_t)limits->max_control_line * 2 + LINE_EXTRA;
    cs->line = malloc(cs->line_cap);
    if (!cs->line) return ERR_NOMEM;
    list_init(&cs->all);
    list_init(&cs->dirty);
    list_init(&cs->parked);
    list_init(&cs->starved);
    list_init(&cs->stalled);
    list_init(&cs->held);
    list_init(&cs->held_far);
    list_init(&cs->sending);
    list_init(&cs->closing);
    list_init(&cs->retired);
    map_u64_init(&cs->by_cid);
    uint64_t outbox = limits->outbox_max ? limits->outbox_max : OUTBOX_DEFAULT;
    uint64_t ingest = limits->ingest_max ? limits->ingest_max : INGEST_DEFAULT;
    outbox_pools_init(&cs->chunks, at_least(outbox, limits->max_payload));
    ingest_init(&cs->ingest, at_least(ingest, limits->max_payload));
    cs->stall.on_fire = conns_on_stall;
    cs->sweep.on_fire = conns_on_sweep;
    cs->trim.on_fire = conns_on_trim;
    random_bytes(&cs->seed, sizeof cs->seed);
    cs->rng.state = cs->seed;
    return ERR_OK;
}

void conns_deinit(struct conns *cs) {
    must(cs->line != NULL);
    list_each(at, tmp, &cs->all) {
        struct conn *c = container_of(at, struct conn, all);
        if (c->recv.fd >= 0) close(c->recv.fd);
        if (c->moving == MOVE_ARRIVING) conn_move_discard(c);
        c->recv.busy = c->out.send.busy = c->close.busy = false;
        c->phase = CONN_DEAD;
        conn_drop_subs(c);
        conn_free(c);
    }
    conns_reap_subs(cs);
    must(cs->count == 0);
    must(list_empty(&cs->retired));
    io_timer_cancel(cs->io, &cs->stall);
    io_timer_cancel(cs->io, &cs->sweep);
    io_timer_cancel(cs->io, &cs->trim);
    outbox_pools_deinit(&cs->chunks);
    ingest_deinit(&cs->ingest);
    map_u64_deinit(&cs->by_cid);
    free(cs->line);
    cs->line = NULL;
}

size_t conns_count(const struct conns *cs) { return cs->count; }

void conns_flush(struct conns *cs) {
    conns_reap(cs);
    while (!list_empty(&cs->dirty)) {
        struct conn *c = container_of(list_pop(&cs->dirty), struct conn, dirty);
        must(c->phase == CONN_OPEN);
        conn_flush(c);
    }
    conns_arm_trim(cs);
}

void conns_lame_duck(struct conns *cs) {
    cs->lame_duck = true;
    list_each(at, tmp, &cs->all) {
        struct conn *c = container_of(at, struct conn, all);
        if (c->phase != CONN_OPEN || !c->first_pong || c->opts.protocol < 1) continue;
        conn_log(c, LOG_DEBUG, "Sending Lame Duck Mode info to client");
        c->told_ldm = true;
        if (!conn_send_info(c, false, true)) conn_close(c, "Write Error", false);
    }
}

void conns_close_all(struct conns *cs, const char *reason) {
    cs->lame_duck = true;
    list_each(at, tmp, &cs->all) conn_close(container_of(at, struct conn, all), reason, true);
}

/* --- one connection --- */

bool conn_send_info(struct conn *c, bool connect_info, bool lame_duck) {
    must(!(connect_info && lame_duck) || c->cs->lame_duck);
    const struct conn_server *s = c->cs->server;
    const struct conn_limits *l = c->cs->limits;
    uint8_t text[INFO_ROOM];
    struct info i = {
        .server_id = s->server_id,
        .server_name = s->server_name,
        .version = s->version,
        .proto = 1,
        .git_commit = s->git_commit,
        .go = s->go,
        .host = s->host,
        .port = s->port,
        .headers = !l->no_headers,
        .auth_required = s->auth_required,
        .max_payload = (int32_t)l->max_payload,
        .jetstream = s->jetstream,
        .client_id = c->cid,
        .client_ip = c->peer,
        .cluster = s->cluster,
        .domain = s->domain,
        .ldm = lame_duck,
        .connect_info = connect_info,
        .remote_account = connect_info ? "$G" : NULL,
        .api_lvl = s->api_level,
        .xkey = s->xkey,
    };
    size_t n = emit_info(text, sizeof text, &i);
    return n > 0 && conn_put(c, text, n);
}

struct conn *conn_make(struct conns *cs, int fd, uint64_t cid) {
    must(map_u64_get(&cs->by_cid, cid) == NULL);
    struct conn *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    c->cs = cs;
    c->cid = cid;
    c->trace = log_on(cs->log, LOG_TRACE);
    c->stall_at = (size_t)cs->limits->max_pending / 4 * 3;
    c->sink.deliver = conn_deliver;
    list_init(&c->all);
    list_init(&c->dirty);
    list_init(&c->parked);
    list_init(&c->starved);
    list_init(&c->stalled);
    list_init(&c->held);
    list_init(&c->held_far);
    list_init(&c->sending);
    list_init(&c->closing);
    map_str_init(&c->subs, cs->seed);
    connect_init(&c->opts);
    parser_init(&c->parser, (uint32_t)cs->limits->max_control_line, (int32_t)cs->limits->max_payload);
    c->parser.auth_pending = cs->server->auth_required;
    outbox_init(&c->out, cs->io, &cs->chunks, (size_t)cs->limits->max_pending, fd, conn_on_sent);
    c->recv = (struct io_op){.kind = IO_OP_RECV, .fd = fd, .on_done = conn_on_recv};
    c->close = (struct io_op){.kind = IO_OP_CLOSE, .fd = fd, .on_done = conn_on_closed};
    c->timer.on_fire = conn_on_timer;
    c->opened_ns = c->heard_ns = c->fed_ns = io_now(cs->io);
    if (fd >= 0) io_peer(fd, c->peer, &c->port);
    if (map_u64_put(&cs->by_cid, cid, c)) {
        connect_deinit(&c->opts);
        free(c);
        return NULL;
    }
    list_add_tail(&cs->all, &c->all);
    cs->count++;
    return c;
}

enum err conn_open(struct conns *cs, int fd, uint64_t cid, bool full) {
    int on = 1;
    must(fd >= 0);
    if (cs->lame_duck) {
        close(fd);
        return ERR_CLOSED;
    }
    struct conn *c = conn_make(cs, fd, cid);
    if (!c) {
        close(fd);
        return ERR_NOMEM;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on,
               sizeof on); /* fails on other kinds of sockets, which need none */
    cs->counters.total_connections++;
    cs->counters.connections = cs->count - cs->arriving;
    conn_log(c, LOG_DEBUG, "Client connection created");
    if (!conn_send_info(c, false, cs->lame_duck)) {
        conn_close(c, "Write Error", false);
        return ERR_OK;
    }
    if (full) {
        conn_log(c, LOG_ERROR, "maximum connections exceeded");
        conn_err(c, "maximum connections exceeded");
        conn_close(c, "Maximum Connections Exceeded", true);
        return ERR_OK;
    }
    conn_arm_first(c);
    conn_listen(c);
    return ERR_OK;
}

void conn_free(struct conn *c) {
    struct conns *cs = c->cs;
    must(c->phase == CONN_DEAD);
    must(!c->recv.busy && !c->out.send.busy && !c->close.busy);
    must(c->subs.count == 0);
    io_timer_cancel(cs->io, &c->timer);
    list_del(&c->all);
    list_del(&c->dirty);
    list_del(&c->parked);
    list_del(&c->starved);
    list_del(&c->stalled);
    list_del(&c->held);
    list_del(&c->held_far);
    list_del(&c->sending);
    list_del(&c->closing);
    if (map_u64_get(&cs->by_cid, c->cid) == c) map_u64_del(&cs->by_cid, c->cid);
    outbox_deinit(&c->out);
    carry_drop(&cs->ingest, &c->carry);
    map_str_deinit(&c->subs);
    connect_deinit(&c->opts);
    cs->count--;
    cs->counters.connections = cs->count - cs->arriving;
    free(c);
}
