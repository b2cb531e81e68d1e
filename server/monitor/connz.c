/* connz.c - /connz: which connections to show, and showing them. In two rounds, so that no more is gathered
 * than is shown: first every shard names the cids of its oldest connections, up to the end of the page; then
 * those on the page are asked for in full. */
#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"
#include "monitor/pages.h"

enum { LIMIT_DEFAULT = 1024 };

/* --- what is wanted --- */

static bool no(struct query *q, int *status, int with, const char *text, const char *value) {
    must(with >= 400);
    *status = with;
    snprintf(q->error, sizeof q->error, text, value);
    return false;
}

static bool read_state(struct query *q, int *status) {
    char state[QUERY_VALUE_MAX];
    query_text(q, "state", state);
    if (state[0] == '\0' || strcmp(state, "0") == 0 || strcmp(state, "open") == 0) return true;
    bool known = strcmp(state, "closed") == 0 || strcmp(state, "any") == 0 || strcmp(state, "all") == 0 ||
                 strcmp(state, "1") == 0 || strcmp(state, "2") == 0;
    must(!q->error[0]);
    if (known)
        return no(q, status, 501, "closed connections are not kept: state '%s' is not supported", state);
    return no(q, status, 400, "Error decoding state for %s", state);
}

static bool read_sort(struct query *q, int *status) {
    static const char *const others[] = {"start",    "subs",       "pending", "msgs_to", "msgs_from",
                                         "bytes_to", "bytes_from", "last",    "idle",    "uptime",
                                         "stop",     "reason",     "rtt"};
    char key[QUERY_VALUE_MAX];
    query_text(q, "sort", key);
    if (key[0] == '\0' || strcmp(key, "cid") == 0) return true;
    must(!q->error[0]);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (strcmp(key, others[i]) == 0) return no(q, status, 501, "sorting by %s is not supported", key);
    }
    return no(q, status, 400, "invalid sorting option: %s", key);
}

/* What would show fewer connections is not ignored. */
static bool read_filters(struct query *q, int *status) {
    static const char *const filters[] = {"user", "acc", "mqtt_client", "filter_subject"};
    char value[QUERY_VALUE_MAX];
    for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++) {
        query_text(q, filters[i], value);
        must(!q->error[0]);
        if (value[0]) return no(q, status, 501, "the filter '%s' is not supported", filters[i]);
    }
    return true;
}

bool connz_read(struct query *q, struct connz *out, int *status) {
    char subs[QUERY_VALUE_MAX];
    *status = 400;
    query_text(q, "subs", subs);
    if (strcmp(subs, "detail") != 0) (void)query_bool(q, "subs", false); /* not shown, but checked */
    (void)query_bool(q, "auth", false);
    out->offset = query_int(q, "offset", 0);
    out->limit = query_int(q, "limit", 0);
    out->cid = query_u64(q, "cid", 0);
    if (q->error[0] || !read_sort(q, status) || !read_state(q, status) || !read_filters(q, status))
        return false;
    if (out->offset < 0) out->offset = 0;
    if (out->offset > MONITOR_OFFSET_MAX) out->offset = MONITOR_OFFSET_MAX;
    if (out->limit <= 0) out->limit = LIMIT_DEFAULT;
    if (out->limit > MONITOR_LIST_MAX) out->limit = MONITOR_LIST_MAX;
    if (out->cid) out->offset = 0, out->limit = 1;
    must(out->limit > 0 && out->offset >= 0);
    return true;
}

/* --- gathering --- */

void connz_question(const struct connz *z, struct monitor_question *q) {
    must(z->limit > 0);
    if (z->cid) {
        *q = (struct monitor_question){z->cid, z->cid, 1, true};
        return;
    }
    *q = (struct monitor_question){0, UINT64_MAX, (uint32_t)(z->offset + z->limit), false};
}

static int by_cid(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

bool connz_window(const struct connz *z, uint64_t *cids, size_t n, struct monitor_question *q) {
    size_t from = (size_t)z->offset, to = from + (size_t)z->limit;
    must(z->cid == 0);
    if (from >= n) return false;
    qsort(cids, n, sizeof *cids, by_cid);
    if (to > n) to = n;
    *q = (struct monitor_question){cids[from], cids[to - 1], (uint32_t)(to - from), true};
    must(q->cid_min <= q->cid_max);
    return true;
}

/* --- showing --- */

static int by_conn_cid(const void *a, const void *b) {
    const struct monitor_conn *x = a, *y = b;
    return (x->cid > y->cid) - (x->cid < y->cid);
}

static struct span some(const char *p, size_t n, size_t room) {
    must(n <= room);
    return span_of(p, n);
}

static int64_t wall(const struct monitor *m, uint64_t monotonic_ns) {
    return m->server.started_wall_ns + (int64_t)(monotonic_ns - m->server.started_ns);
}

static void put_conn(struct json_out *o, yyjson_mut_val *v, const struct monitor *m,
                     const struct monitor_conn *c) {
    uint64_t now = io_now(m->host.io);
    must(c->opened_ns <= c->heard_ns);
    json_uint(o, v, "cid", c->cid);
    json_text(o, v, "kind", SPAN_LIT("Client"));
    json_text(o, v, "type", SPAN_LIT("nats"));
    json_text(o, v, "ip", some(c->ip, strnlen(c->ip, sizeof c->ip), sizeof c->ip));
    json_uint(o, v, "port", c->port);
    json_time(o, v, "start", wall(m, c->opened_ns));
    json_time(o, v, "last_activity", wall(m, c->heard_ns));
    json_lasted(o, v, "uptime", now > c->opened_ns ? now - c->opened_ns : 0);
    json_lasted(o, v, "idle", now > c->heard_ns ? now - c->heard_ns : 0);
    json_uint(o, v, "pending_bytes", c->pending_bytes);
    json_uint(o, v, "in_msgs", c->in_msgs);
    json_uint(o, v, "out_msgs", c->out_msgs);
    json_uint(o, v, "in_bytes", c->in_bytes);
    json_uint(o, v, "out_bytes", c->out_bytes);
    json_uint(o, v, "subscriptions", c->subscriptions);
    if (c->name_n) json_text(o, v, "name", some(c->name, c->name_n, sizeof c->name));
    if (c->lang_n) json_text(o, v, "lang", some(c->lang, c->lang_n, sizeof c->lang));
    if (c->version_n) json_text(o, v, "version", some(c->version, c->version_n, sizeof c->version));
}

struct reply page_connz(const struct http_conn *c) {
    const struct round *r = &c->m->round;
    struct monitor_conn *conns = (void *)r->entries;
    size_t n = c->question.details ? r->entries_n / sizeof *conns : 0;
    must(n <= (size_t)c->connz.limit * c->m->host.shards);
    if (n) qsort(conns, n, sizeof *conns, by_conn_cid);
    if (n > (size_t)c->connz.limit) n = (size_t)c->connz.limit;
    struct json_out o;
    yyjson_mut_val *v = json_begin(&o);
    json_stamp(&o, v, c->m);
    json_uint(&o, v, "num_connections", n);
    json_uint(&o, v, "total", r->sum.connections);
    json_int(&o, v, "offset", c->connz.offset);
    json_int(&o, v, "limit", c->connz.limit);
    yyjson_mut_val *list = o.failed ? NULL : yyjson_mut_obj_add_arr(o.doc, v, "connections");
    for (size_t i = 0; i < n && !o.failed; i++) {
        yyjson_mut_val *one = yyjson_mut_arr_add_obj(o.doc, list);
        if (!one) o.failed = true;
        put_conn(&o, one, c->m, &conns[i]);
    }
    return json_end(&o, 200, true);
}
