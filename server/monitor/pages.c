/* pages.c - the pages but /connz. Fields have nats-server's names, order and meaning; what this server does
 * not have or know is left out. */
#include "monitor/pages.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"

const char *const page_paths[PAGES] = {
    [PAGE_INDEX] = "/",  [PAGE_VARZ] = "/varz",   [PAGE_CONNZ] = "/connz",
    [PAGE_JSZ] = "/jsz", [PAGE_SUBSZ] = "/subsz", [PAGE_HEALTHZ] = "/healthz"};

struct reply page_index(const struct monitor *m) {
    static const char text[] =
        "<!DOCTYPE html>\n<html lang=\"en\"><head><title>Millrace</title></head><body>\n"
        "<h1>Millrace %s</h1>\n<ul>\n"
        "<li><a href=\"./varz\">General</a> /varz</li>\n"
        "<li><a href=\"./jsz\">JetStream</a> /jsz</li>\n"
        "<li><a href=\"./connz\">Connections</a> /connz</li>\n"
        "<li><a href=\"./subsz\">Subscriptions</a> /subsz</li>\n"
        "<li><a href=\"./healthz\">Health probe</a> /healthz</li>\n"
        "</ul>\n</body></html>\n";
    struct reply r = {.status = 200, .type = "text/html; charset=utf-8", .body = malloc(sizeof text + 64)};
    must(m->server.program_version && strlen(m->server.program_version) < 60);
    if (r.body) r.n = (size_t)snprintf(r.body, sizeof text + 64, text, m->server.program_version);
    return r;
}

/* --- /varz --- */

static void text_if(struct json_out *o, yyjson_mut_val *obj, const char *key, const char *text) {
    if (text && text[0]) json_text(o, obj, key, span_str(text));
}

static void put_identity(struct json_out *o, yyjson_mut_val *v, const struct monitor_server *s) {
    must(s->port > 0);
    json_text(o, v, "server_id", span_str(s->server_id));
    json_text(o, v, "server_name", span_str(s->server_name));
    json_text(o, v, "version", span_str(s->version));
    json_int(o, v, "proto", 1);
    json_text(o, v, "host", span_str(s->host));
    json_int(o, v, "port", s->port);
    if (s->auth_required) json_bool(o, v, "auth_required", true);
}

static void put_seconds(struct json_out *o, yyjson_mut_val *v, const char *key, int64_t ns) {
    must(ns >= 0);
    if (ns % 1000000000 == 0)
        json_int(o, v, key, ns / 1000000000);
    else if (!yyjson_mut_obj_add_real(o->doc, v, key, (double)ns / 1e9))
        o->failed = true;
}

static void put_limits(struct json_out *o, yyjson_mut_val *v, const struct monitor *m) {
    const struct monitor_server *s = &m->server;
    json_int(o, v, "max_connections", s->max_connections);
    if (s->max_subscriptions) json_int(o, v, "max_subscriptions", s->max_subscriptions);
    json_int(o, v, "ping_interval", s->ping_interval_ns);
    json_int(o, v, "ping_max", s->ping_max);
    json_text(o, v, "http_host", span_str(s->http_host));
    json_int(o, v, "http_port", m->port);
    put_seconds(o, v, "auth_timeout", s->auth_timeout_ns);
    json_int(o, v, "max_control_line", s->max_control_line);
    json_int(o, v, "max_payload", s->max_payload);
    json_int(o, v, "max_pending", s->max_pending);
}

static void put_js_config(struct json_out *o, yyjson_mut_val *v, const struct monitor_server *s) {
    yyjson_mut_val *config = json_object(o, v, "config");
    json_int(o, config, "max_memory", s->jetstream ? s->max_memory : 0);
    json_int(o, config, "max_storage", s->jetstream ? s->max_store : 0);
    if (!s->jetstream) return;
    text_if(o, config, "store_dir", s->store_dir);
    if (s->sync_interval_ns) json_int(o, config, "sync_interval", s->sync_interval_ns);
    if (s->sync_always) json_bool(o, config, "sync_always", true);
    text_if(o, config, "domain", s->domain);
    if (s->strict) json_bool(o, config, "strict", true);
}

static void put_js_stats(struct json_out *o, yyjson_mut_val *v, const struct monitor *m) {
    const struct monitor_counters *c = &m->round.sum;
    json_uint(o, v, "memory", c->memory);
    json_uint(o, v, "storage", c->storage);
    json_int(o, v, "accounts", m->server.jetstream ? 1 : 0);
    yyjson_mut_val *api = json_object(o, v, "api");
    json_int(o, api, "level", m->server.jetstream ? m->server.api_level : 0);
    json_uint(o, api, "total", c->api_total);
    json_uint(o, api, "errors", c->api_errors);
}

/* A tenth of a percent, as nats-server. */
static void put_cpu(struct json_out *o, yyjson_mut_val *v, double percent) {
    uint64_t tenths = (uint64_t)(percent * 10 + 0.5);
    must(percent >= 0);
    if (tenths % 10 == 0)
        json_uint(o, v, "cpu", tenths / 10);
    else if (!yyjson_mut_obj_add_real(o->doc, v, "cpu", (double)tenths / 10))
        o->failed = true;
}

static void put_use(struct json_out *o, yyjson_mut_val *v, struct monitor *m) {
    int64_t now = io_wall(m->host.io), since = m->server.started_wall_ns;
    json_int(o, v, "write_deadline", m->server.write_deadline_ns);
    json_time(o, v, "start", since);
    json_time(o, v, "now", now);
    json_lasted(o, v, "uptime", now > since ? (uint64_t)(now - since) : 0);
    json_uint(o, v, "mem", process_memory(m->host.io));
    json_uint(o, v, "cores", process_cores());
    put_cpu(o, v, process_cpu(&m->use, m->host.io));
}

/* All messages come from and go to clients. */
static void put_traffic(struct json_out *o, yyjson_mut_val *v, const struct monitor_counters *c) {
    json_uint(o, v, "connections", c->connections);
    json_uint(o, v, "total_connections", c->total_connections);
    json_uint(o, v, "in_msgs", c->in_msgs);
    json_uint(o, v, "in_bytes", c->in_bytes);
    json_uint(o, v, "in_client_msgs", c->in_msgs);
    json_uint(o, v, "in_client_bytes", c->in_bytes);
    json_uint(o, v, "out_msgs", c->out_msgs);
    json_uint(o, v, "out_bytes", c->out_bytes);
    json_uint(o, v, "out_client_msgs", c->out_msgs);
    json_uint(o, v, "out_client_bytes", c->out_bytes);
    json_uint(o, v, "slow_consumers", c->slow_consumers);
    json_uint(o, v, "stale_connections", c->stale_connections);
    json_uint(o, v, "subscriptions", c->subscriptions);
}

static void put_requests(struct json_out *o, yyjson_mut_val *v, const struct monitor *m) {
    yyjson_mut_val *stats = json_object(o, v, "http_req_stats");
    for (int p = 0; p < PAGES; p++) {
        must(page_paths[p] != NULL);
        if (m->requests[p]) json_uint(o, stats, page_paths[p], m->requests[p]);
    }
}

struct reply page_varz(struct monitor *m) {
    struct json_out o;
    yyjson_mut_val *v = json_begin(&o);
    put_identity(&o, v, &m->server);
    put_limits(&o, v, m);
    yyjson_mut_val *js = json_object(&o, v, "jetstream");
    if (m->server.jetstream) {
        put_js_config(&o, js, &m->server);
        put_js_stats(&o, json_object(&o, js, "stats"), m);
    }
    put_use(&o, v, m);
    put_traffic(&o, v, &m->round.sum);
    put_requests(&o, v, m);
    json_time(&o, v, "config_load_time", m->server.started_wall_ns);
    json_text(&o, v, "config_digest", span_str(m->server.config_digest ? m->server.config_digest : ""));
    json_uint(&o, json_object(&o, v, "slow_consumer_stats"), "clients", m->round.sum.slow_consumers);
    json_uint(&o, json_object(&o, v, "stale_connection_stats"), "clients", m->round.sum.stale_connections);
    return json_end(&o, 200, true);
}

/* --- the others --- */

struct reply page_jsz(const struct monitor *m) {
    const struct monitor_counters *c = &m->round.sum;
    struct json_out o;
    yyjson_mut_val *v = json_begin(&o);
    put_js_stats(&o, v, m);
    json_stamp(&o, v, m);
    if (!m->server.jetstream) json_bool(&o, v, "disabled", true);
    put_js_config(&o, v, &m->server);
    json_uint(&o, v, "streams", c->streams);
    json_uint(&o, v, "consumers", c->consumers);
    json_uint(&o, v, "messages", c->messages);
    json_uint(&o, v, "bytes", c->bytes);
    json_int(&o, v, "total", m->server.jetstream ? 1 : 0); /* accounts */
    return json_end(&o, 200, true);
}

struct reply page_subsz(const struct monitor *m) {
    const struct monitor_counters *c = &m->round.sum;
    struct json_out o;
    yyjson_mut_val *v = json_begin(&o);
    json_stamp(&o, v, m);
    json_uint(&o, v, "num_subscriptions", c->subscriptions);
    json_uint(&o, v, "num_inserts", c->sub_inserts);
    json_uint(&o, v, "num_removes", c->sub_removes);
    json_uint(&o, v, "num_matches", c->sub_matches);
    double rate = c->sub_matches ? (double)c->sub_cache_hits / (double)c->sub_matches : 0;
    if (!yyjson_mut_obj_add_real(o.doc, v, "cache_hit_rate", rate)) o.failed = true;
    return json_end(&o, 200, true);
}

struct reply page_healthz(const struct monitor *m, const char *problem, bool js_enabled_only) {
    char text[128 + MONITOR_WHY_MAX];
    struct json_out o;
    yyjson_mut_val *v = json_begin(&o);
    uint64_t failed = js_enabled_only ? 0 : m->round.sum.logs_failed;
    if (!problem && failed) {
        snprintf(text, sizeof text,
                 "JetStream: writing failed on %llu of %u shards; their streams take no more",
                 (unsigned long long)failed, m->host.shards);
        problem = text;
    }
    if (!problem && !js_enabled_only && m->round.sum.logs_refusing) {
        snprintf(text, sizeof text, "JetStream: no room for messages on %llu of %u shards: %s",
                 (unsigned long long)m->round.sum.logs_refusing, m->host.shards, m->round.sum.refusing);
        problem = text;
    }
    must(failed <= m->host.shards);
    json_text(&o, v, "status", problem ? SPAN_LIT("unavailable") : SPAN_LIT("ok"));
    if (problem) json_text(&o, v, "error", span_str(problem));
    if (problem) log_line(m->host.log, LOG_WARN, "Healthcheck failed: %s", problem);
    return json_end(&o, problem ? 503 : 200, false);
}
