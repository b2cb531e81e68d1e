/* monitor.c - the listener: accepts, makes room, stops. Happy path: on_accept() opens an HTTP connection
 * (http.c). What fails: the address cannot be had (monitor_open says so); no descriptor is left (tried again
 * after a moment); too many connections (the idlest gives way, or the new one is closed). */
#include "monitor/monitor.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/must.h"
#include "monitor/core.h"

#define AGAIN_NS 100000000u

static void take(struct monitor *m, int fd) {
    must(fd >= 0);
    if (!m->open || (m->alive >= MONITOR_CONNS_MAX && !http_evict(m)))
        io_file_close(m->host.io, fd);
    else
        http_open(m, fd);
}

static void on_accept(struct io_op *op, int64_t res) {
    struct monitor *m = container_of(op, struct monitor, accept);
    must(m->fd >= 0);
    if (res >= 0)
        take(m, (int)res);
    else if (m->open)
        log_line(m->host.log, LOG_ERROR, "cannot accept a monitoring connection: %s; trying again",
                 err_text((enum err) - res));
    if (op->busy) return;
    if (m->open) {
        io_timer_set(m->host.io, &m->again, io_now(m->host.io) + AGAIN_NS);
    } else {
        io_file_close(m->host.io, m->fd);
        m->fd = -1;
    }
}

static void on_again(struct io_timer *t) {
    struct monitor *m = container_of(t, struct monitor, again);
    must(m->open);
    if (!m->accept.busy) io_submit(m->host.io, &m->accept);
}

static void set_times(struct monitor_times *t) {
    static const uint64_t second = 1000000000;
    if (!t->idle_ns) t->idle_ns = 60 * second;
    if (!t->request_ns) t->request_ns = 10 * second;
    if (!t->answer_ns) t->answer_ns = 5 * second;
    if (!t->send_ns) t->send_ns = 10 * second;
    if (!t->linger_ns) t->linger_ns = second;
    must(t->answer_ns > 0);
}

enum err monitor_open(struct monitor **out, const struct monitor_host *host,
                      const struct monitor_server *server, int *port) {
    must(host->io && host->ask && host->shards > 0 && host->shards <= MONITOR_SHARDS_MAX);
    must(server->server_id && server->server_name && server->version);
    struct monitor *m = calloc(1, sizeof *m);
    if (!m) return ERR_NOMEM;
    *m = (struct monitor){.host = *host, .server = *server, .open = true, .again.on_fire = on_again};
    list_init(&m->conns);
    list_init(&m->waiting);
    set_times(&m->host.times);
    enum err e = io_listen(host->io, server->http_host, port, &m->fd);
    if (e) {
        free(m);
        return e;
    }
    m->port = *port;
    process_init(&m->use, host->io);
    m->accept = (struct io_op){.kind = IO_OP_ACCEPT, .fd = m->fd, .on_done = on_accept};
    io_submit(host->io, &m->accept);
    *out = m;
    return ERR_OK;
}

void monitor_stop(struct monitor *m) {
    if (!m->open) return;
    m->open = false;
    io_timer_cancel(m->host.io, &m->again);
    if (m->accept.busy) {
        io_stop(m->host.io, &m->accept);
    } else {
        io_file_close(m->host.io, m->fd);
        m->fd = -1;
    }
    list_each(at, tmp, &m->conns) http_kill(container_of(at, struct http_conn, link));
    must(m->alive == 0 && list_empty(&m->waiting));
}

bool monitor_idle(const struct monitor *m) { return !m->open && m->fd < 0 && m->count == 0; }

void monitor_close(struct monitor *m) {
    if (m->open) monitor_stop(m);
    if (m->fd >= 0) close(m->fd); /* the loop does not run again */
    list_each(at, tmp, &m->conns) {
        struct http_conn *c = container_of(at, struct http_conn, link);
        c->recv.busy = c->send.busy = false;
        http_free(c);
    }
    must(m->count == 0 && m->pages_bytes == 0);
    free(m->round.entries);
    free(m);
}
