/* watch.c - see watch.h. Happy path: a request at the port asks every shard by letter (and this one by a
 * call); each gathers its counters, and the connections that were asked for, into a letter back. What fails:
 * memory for the connections; then the shard does not answer, and the port says so after a while. */
#include "shard/watch.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"
#include "monitor/monitor.h"
#include "shard/state.h"
#include "shard/version.h"

/* --- a shard's answer --- */

struct gathering {
    const struct monitor_question *q;
    uint8_t *out;
    size_t count;
    bool no_memory;
};

static size_t entry_size(const struct monitor_question *q) {
    return q->details ? sizeof(struct monitor_conn) : sizeof(uint64_t);
}

static size_t copy_text(char *out, size_t room, struct span text) {
    size_t n = text.n < room ? text.n : room;
    if (n) memcpy(out, text.p, n);
    return n;
}

static void describe(struct monitor_conn *c, const struct conn_info *i) {
    *c = (struct monitor_conn){.cid = i->cid,
                               .opened_ns = i->opened_ns,
                               .heard_ns = i->heard_ns,
                               .pending_bytes = i->pending_bytes,
                               .in_msgs = i->in_msgs,
                               .in_bytes = i->in_bytes,
                               .out_msgs = i->out_msgs,
                               .out_bytes = i->out_bytes,
                               .subscriptions = i->subscriptions,
                               .port = i->port};
    must(i->peer != NULL);
    copy_text(c->ip, sizeof c->ip - 1, span_str(i->peer));
    c->name_n = (uint16_t)copy_text(c->name, sizeof c->name, i->name);
    c->lang_n = (uint8_t)copy_text(c->lang, sizeof c->lang, i->lang);
    c->version_n = (uint8_t)copy_text(c->version, sizeof c->version, i->version);
}

static bool gather(void *ctx, const struct conn_info *info) {
    struct gathering *g = ctx;
    size_t size = entry_size(g->q);
    struct monitor_conn c;
    if (g->count == g->q->conns_max) return false;
    if (info->cid < g->q->cid_min || info->cid > g->q->cid_max) return true;
    if ((g->count & (g->count - 1)) == 0) { /* room doubles: 1, 2, 4, ... */
        uint8_t *room = realloc(g->out, (g->count ? g->count * 2 : 1) * size);
        if (!room) {
            g->no_memory = true;
            return false;
        }
        g->out = room;
    }
    if (g->q->details) describe(&c, info);
    memcpy(g->out + g->count++ * size, g->q->details ? (const void *)&c : (const void *)&info->cid, size);
    return true;
}

static struct monitor_counters count_up(const struct shard *s) {
    const struct conn_counters *c = &s->conns.counters;
    struct route_stats route;
    struct js_stats js = {0};
    route_stats(s->route, &route);
    if (s->js) js_stats(s->js, &js);
    must(s->conns_ready);
    struct monitor_counters out = {.connections = s->conns.by_cid.count - s->conns.arriving,
                                   .total_connections = c->total_connections,
                                   .subscriptions = route.subs,
                                   .sub_inserts = route.inserts,
                                   .sub_removes = route.removes,
                                   .sub_matches = route.matches,
                                   .sub_cache_hits = route.cache_hits,
                                   .in_msgs = c->in_msgs,
                                   .in_bytes = c->in_bytes,
                                   .out_msgs = c->out_msgs,
                                   .out_bytes = c->out_bytes,
                                   .slow_consumers = c->slow_consumers,
                                   .stale_connections = c->stale,
                                   .streams = js.streams,
                                   .consumers = js.consumers,
                                   .messages = js.messages,
                                   .bytes = js.bytes,
                                   .memory = js.memory,
                                   .storage = js.storage,
                                   .api_total = js.api_total,
                                   .api_errors = js.api_errors,
                                   .logs_failed = js.failed,
                                   .logs_refusing = js.refusing != NULL};
    if (js.refusing) snprintf(out.refusing, sizeof out.refusing, "%s", js.refusing);
    return out;
}

static void answer(struct shard *s, uint64_t id, const struct monitor_question *q) {
    struct gathering g = {.q = q};
    struct monitor_counters counters = count_up(s);
    if (q->conns_max) conns_each(&s->conns, gather, &g);
    must(g.count <= q->conns_max);
    struct span entries = span_of(g.out, g.count * entry_size(q));
    if (g.no_memory)
        log_line(s->server->log, LOG_WARN, "no memory to answer a monitoring request");
    else if (s->self == 0)
        monitor_on_answer(s->server->monitor, 0, id, &counters, entries);
    else
        post_answer(s->mail, id, span_of(&counters, sizeof counters), entries);
    free(g.out);
}

void watch_on_ask(struct shard *s, const struct letter *l) {
    struct monitor_question q;
    struct span bytes = read_ask(l);
    must(s->self != 0 && bytes.n == sizeof q);
    memcpy(&q, bytes.p, sizeof q);
    answer(s, l->id, &q);
}

void watch_on_answer(struct shard *s, unsigned from, const struct letter *l) {
    struct monitor_counters counters;
    struct span bytes, entries;
    read_answer(l, &bytes, &entries);
    must(s->self == 0 && bytes.n == sizeof counters);
    memcpy(&counters, bytes.p, sizeof counters);
    if (s->server->monitor) monitor_on_answer(s->server->monitor, from, l->id, &counters, entries);
}

/* --- the port --- */

static void on_ask(void *ctx, unsigned shard, uint64_t id, const struct monitor_question *q) {
    struct server *sv = ctx;
    must(shard < sv->shards);
    if (shard == 0)
        answer(&sv->shard[0], id, q);
    else
        post_ask(sv->shard[0].mail, shard, id, span_of(q, sizeof *q));
}

static struct monitor_server facts_of(const struct server *sv) {
    const struct options *o = sv->opts;
    must(sv->lobby.port > 0);
    return (struct monitor_server){.server_id = sv->id,
                                   .server_name = sv->info.server_name,
                                   .version = sv->info.version,
                                   .program_version = MILLRACE_VERSION,
                                   .host = o->host,
                                   .http_host = o->http_host,
                                   .config_digest = o->config_digest,
                                   .port = sv->lobby.port,
                                   .max_connections = o->max_connections,
                                   .max_subscriptions = o->conn.max_subscriptions,
                                   .max_payload = o->conn.max_payload,
                                   .max_pending = o->conn.max_pending,
                                   .max_control_line = o->conn.max_control_line,
                                   .ping_interval_ns = o->conn.ping_interval_ns,
                                   .write_deadline_ns = o->conn.write_deadline_ns,
                                   .auth_timeout_ns = o->conn.auth_timeout_ns,
                                   .ping_max = o->conn.ping_max,
                                   .auth_required = sv->info.auth_required,
                                   .jetstream = sv->env != NULL,
                                   .api_level = sv->info.api_level,
                                   .store_dir = o->store_dir,
                                   .domain = sv->js_limits.domain,
                                   .max_memory = sv->js_limits.max_memory,
                                   .max_store = sv->js_limits.max_store,
                                   .sync_interval_ns = o->sync_always ? 0 : o->sync_interval_ns,
                                   .sync_always = o->sync_always,
                                   .strict = sv->js_limits.strict,
                                   .started_wall_ns = sv->started_wall_ns,
                                   .started_ns = (uint64_t)sv->started_ns};
}

bool watch_open(struct server *sv) {
    const struct options *o = sv->opts;
    int port = o->http_port;
    if (port == 0) return true;
    must(!sv->monitor && sv->shards <= MONITOR_SHARDS_MAX);
    const struct monitor_server facts = facts_of(sv);
    const struct monitor_host host = {
        .ctx = sv, .io = sv->shard[0].io, .log = sv->log, .shards = sv->shards, .ask = on_ask};
    bool v6 = strchr(o->http_host, ':') != NULL;
    const char *left = v6 ? "[" : "", *right = v6 ? "]" : "";
    enum err e = monitor_open(&sv->monitor, &host, &facts, &port);
    if (e)
        log_line(sv->log, LOG_FATAL,
                 "Can't start monitoring: can't listen to the monitor port: %s%s%s:%d: %s", left,
                 o->http_host, right, port, err_text(e));
    else
        log_line(sv->log, LOG_INFO, "Starting http monitor on %s%s%s:%d", left, o->http_host, right, port);
    return e == ERR_OK;
}

void watch_stop(struct server *sv) {
    if (sv->monitor) monitor_stop(sv->monitor);
}

bool watch_idle(const struct server *sv) { return !sv->monitor || monitor_idle(sv->monitor); }

void watch_close(struct server *sv) {
    if (sv->monitor) monitor_close(sv->monitor);
    sv->monitor = NULL;
}
