/* conn.c - see conn.h. */
#include "net/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/must.h"
#include "host/clock.h"
#include "wire/json.h"

enum { BUFFER_FIRST = 256 << 10 };

static bool fail(struct conn *c, const char *what, const char *why) {
    if (!c->error[0]) snprintf(c->error, sizeof c->error, "%s%s%.150s", what, why[0] ? ": " : "", why);
    return false;
}

static void grow(uint8_t **p, size_t *cap, size_t need) {
    if (need <= *cap) return;
    size_t cap_new = *cap ? *cap : BUFFER_FIRST;
    while (cap_new < need) cap_new *= 2;
    *p = realloc(*p, cap_new);
    must(*p);
    *cap = cap_new;
}

uint8_t *conn_room(struct conn *c, size_t n) {
    if (c->out_n + n > c->out_cap && c->out_at > 0) {
        memmove(c->out, c->out + c->out_at, c->out_n - c->out_at);
        c->out_n -= c->out_at;
        c->out_at = 0;
    }
    grow(&c->out, &c->out_cap, c->out_n + n);
    uint8_t *p = c->out + c->out_n;
    c->out_n += n;
    return p;
}

void conn_put(struct conn *c, const void *p, size_t n) { memcpy(conn_room(c, n), p, n); }
void conn_put_text(struct conn *c, const char *text) { conn_put(c, text, strlen(text)); }

bool conn_flush(struct conn *c) {
    while (c->out_at < c->out_n) {
        ssize_t n = send(c->fd, c->out + c->out_at, c->out_n - c->out_at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) return true;
        if (n < 0) return fail(c, "sending failed", strerror(errno));
        c->out_at += (size_t)n;
    }
    c->out_at = c->out_n = 0;
    return true;
}

static void read_info(struct conn *c, struct span json) {
    struct json_err e;
    yyjson_doc *doc = json_read(json, 32, &e);
    if (!doc) return;
    yyjson_val *root = yyjson_doc_get_root(doc);
    struct span version = SPAN_EMPTY, name = SPAN_EMPTY;
    json_get_str(root, "version", &version);
    json_get_str(root, "server_name", &name);
    json_get_u64(root, "max_payload", &c->max_payload);
    snprintf(c->server, sizeof c->server, "version %.*s", (int)version.n, (const char *)version.p);
    yyjson_doc_free(doc);
}

/* One operation; false when the connection is of no use any more. */
static bool handle(struct conn *c, enum incoming_kind kind, const struct incoming *m,
                   conn_on_message *on_message, void *ctx, uint64_t now) {
    char text[160];
    snprintf(text, sizeof text, "%.*s", (int)m->arg.n, (const char *)m->arg.p);
    switch (kind) {
    case IN_MSG:
        if (on_message) on_message(ctx, c, m, now);
        return true;
    case IN_PING: conn_put_text(c, "PONG\r\n"); return true;
    case IN_PONG: c->pongs++; return true;
    case IN_INFO: read_info(c, m->arg); return true;
    case IN_OK: return true;
    case IN_ERR: return fail(c, "the server says", text);
    default: return fail(c, "not understood", text);
    }
}

bool conn_read(struct conn *c, conn_on_message *on_message, void *ctx) {
    grow(&c->in, &c->in_cap, c->in_n + BUFFER_FIRST / 4);
    ssize_t got = recv(c->fd, c->in + c->in_n, c->in_cap - c->in_n, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return true;
    if (got < 0) return fail(c, "receiving failed", strerror(errno));
    if (got == 0) return fail(c, "the server closed the connection", "");
    uint64_t now = now_ns();
    c->in_n += (size_t)got;
    size_t at = 0;
    struct incoming m;
    enum incoming_kind kind;
    while ((kind = incoming_next(c->in + at, c->in_n - at, &m)) != IN_MORE) {
        if (kind == IN_MSG)
            on_message ? on_message(ctx, c, &m, now) : (void)0;
        else if (!handle(c, kind, &m, on_message, ctx, now))
            return false;
        at += m.used;
    }
    c->in_n -= at;
    if (c->in_n) memmove(c->in, c->in + at, c->in_n);
    if (m.used > c->in_cap) grow(&c->in, &c->in_cap, m.used);
    return true;
}

bool conn_wait(struct conn *c, uint64_t until_ns) {
    uint64_t now = now_ns();
    if (now >= until_ns) return false;
    struct pollfd p = {c->fd, (short)(POLLIN | (conn_waiting(c) ? POLLOUT : 0)), 0};
    int ms = (int)((until_ns - now) / 1000000) + 1;
    return poll(&p, 1, ms < 100 ? ms : 100) >= 0;
}

static void put_connect(struct conn *c, const struct address *a) {
    char text[600];
    int n = snprintf(
        text, sizeof text,
        "CONNECT "
        "{\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true,\"lang\":\"c\","
        "\"version\":\"1\",\"protocol\":1,\"name\":\"millrace-bench\"");
    conn_put(c, text, (size_t)n);
    if (a->user[0]) {
        n = snprintf(text, sizeof text, ",\"user\":\"%s\",\"pass\":\"%s\"", a->user, a->pass);
        conn_put(c, text, (size_t)n);
    }
    conn_put_text(c, "}\r\nPING\r\n");
}

bool conn_open(struct conn *c, const struct address *a) {
    memset(c, 0, sizeof *c);
    c->fd = socket(a->sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0) return fail(c, "no socket", strerror(errno));
    int one = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(c->fd, (const struct sockaddr *)&a->sa, a->sa_len) != 0)
        return fail(c, "connecting failed", strerror(errno));
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    put_connect(c, a);
    uint64_t until = now_ns() + 10 * NS_PER_S;
    while (c->pongs == 0) {
        if (!conn_wait(c, until)) return fail(c, "no answer to CONNECT", "");
        if (!conn_flush(c) || !conn_read(c, NULL, NULL)) return false;
    }
    return true;
}

void conn_close(struct conn *c) {
    if (c->fd >= 0) close(c->fd);
    free(c->in);
    free(c->out);
    c->fd = -1;
    c->in = c->out = NULL;
}
