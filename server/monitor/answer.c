/* answer.c - from a request to what answers it. Happy path: the path names a page, its parameters are read,
 * the shards are asked, the page is made. What fails is a text page with nats-server's status and words. */
#include <stdio.h>

#include "base/must.h"
#include "monitor/pages.h"

static enum page page_of(struct span path) {
    if (path.n == 0) return PAGE_INDEX;
    if (span_eq(path, SPAN_LIT("/subscriptionsz"))) return PAGE_SUBSZ;
    for (int p = 0; p < PAGES; p++) {
        must(page_paths[p] != NULL);
        if (span_eq(path, span_str(page_paths[p]))) return (enum page)p;
    }
    return PAGES;
}

/* Options that only add to a page are checked and then left out; those that would change what it says are
 * refused. */
static int read_jsz(struct query *q) {
    static const char *const more[] = {"accounts", "streams", "consumers", "config", "leader-only", "raft"};
    char account[QUERY_VALUE_MAX];
    for (size_t i = 0; i < sizeof more / sizeof more[0]; i++) (void)query_bool(q, more[i], false);
    (void)query_int(q, "offset", 0);
    (void)query_int(q, "limit", 0);
    query_text(q, "acc", account);
    must(strlen(account) < sizeof account);
    return q->error[0] ? 400 : 0;
}

static int read_healthz(struct query *q, bool *js_enabled_only) {
    static const char *const assets[] = {"account", "stream", "consumer"};
    char value[QUERY_VALUE_MAX];
    *js_enabled_only = query_bool(q, "js-enabled-only", false) || query_bool(q, "js-enabled", false);
    (void)query_bool(q, "js-server-only", false);
    (void)query_bool(q, "js-meta-only", false);
    (void)query_bool(q, "details", false);
    if (q->error[0]) return 400;
    for (size_t i = 0; i < sizeof assets / sizeof assets[0]; i++) {
        query_text(q, assets[i], value);
        must(!q->error[0]);
        if (value[0] == '\0') continue;
        snprintf(q->error, sizeof q->error, "checking one %s is not supported", assets[i]);
        return 501;
    }
    return 0;
}

static int read_subsz(struct query *q) {
    must(!q->error[0]);
    (void)query_bool(q, "subs", false);
    (void)query_int(q, "offset", 0);
    (void)query_int(q, "limit", 0);
    return q->error[0] ? 400 : 0;
}

/* 0, or the status of a refusal whose text is q->error. */
static int read_parameters(struct http_conn *c, struct query *q) {
    int status = 0;
    c->question = (struct monitor_question){0};
    switch (c->page) {
    case PAGE_CONNZ:
        if (!connz_read(q, &c->connz, &status)) return status;
        connz_question(&c->connz, &c->question);
        return 0;
    case PAGE_JSZ: return read_jsz(q);
    case PAGE_SUBSZ: return read_subsz(q);
    case PAGE_HEALTHZ: return read_healthz(q, &c->js_enabled_only);
    case PAGE_INDEX:
    case PAGE_VARZ:
    case PAGES: break;
    }
    return 0;
}

static void reply(struct http_conn *c, const struct reply *r) {
    must(r->status != 0);
    if (r->body)
        http_reply(c, r);
    else
        http_fail(c, 500, "out of memory");
}

void answer_request(struct http_conn *c) {
    struct span path;
    struct query q = {.error = ""};
    request_target(&c->request, &path, &q.text);
    c->page = page_of(path);
    if (c->page == PAGES) {
        http_fail(c, 404, "404 page not found\n");
        return;
    }
    c->m->requests[c->page]++;
    int status = read_parameters(c, &q);
    must(!status || q.error[0]);
    if (status) {
        http_fail(c, status, q.error);
    } else if (c->page == PAGE_INDEX) {
        struct reply r = page_index(c->m);
        reply(c, &r);
    } else {
        round_queue(c);
    }
}

bool answer_again(struct http_conn *c) {
    struct round *r = &c->m->round;
    must(c->phase == HTTP_ANSWER);
    if (c->page != PAGE_CONNZ || c->question.details) return false;
    return connz_window(&c->connz, (void *)r->entries, r->entries_n / sizeof(uint64_t), &c->question);
}

void answer_page(struct http_conn *c) {
    struct monitor *m = c->m;
    struct reply r = {.status = 500};
    must(c->phase == HTTP_ANSWER);
    if (!m->round.no_memory) {
        switch (c->page) {
        case PAGE_VARZ: r = page_varz(m); break;
        case PAGE_CONNZ: r = page_connz(c); break;
        case PAGE_JSZ: r = page_jsz(m); break;
        case PAGE_SUBSZ: r = page_subsz(m); break;
        case PAGE_HEALTHZ: r = page_healthz(m, NULL, c->js_enabled_only); break;
        case PAGE_INDEX:
        case PAGES: must(false); break;
        }
    }
    reply(c, &r);
}

void answer_late(struct http_conn *c) {
    struct monitor *m = c->m;
    char text[64] = "too many monitoring requests wait";
    must(c->phase == HTTP_ANSWER);
    if (m->round.conn == c)
        snprintf(text, sizeof text, "shard %d did not answer", __builtin_ctzll(m->round.missing));
    c->close_after = true;
    if (c->page == PAGE_HEALTHZ) {
        struct reply r = page_healthz(m, text, false);
        reply(c, &r);
    } else {
        http_fail(c, 503, text);
    }
    round_leave(c);
}
