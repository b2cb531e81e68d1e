/* http.c - one HTTP connection: request in, page out, again (keep-alive), each step bounded in time.
 *
 * Happy path: on_recv() feeds the request; answer_request() replies at once or when the shards have answered;
 * on_sent() reads on. Bytes that come meanwhile are carried (at most one request's worth; beyond that the
 * connection closes behind the page). What fails ends the connection: a refused request gets a page first. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "base/must.h"
#include "monitor/core.h"

static struct io *io_of(const struct http_conn *c) {
    must(c->m != NULL);
    return c->m->host.io;
}

static const struct monitor_times *times_of(const struct http_conn *c) { return &c->m->host.times; }

static void enter(struct http_conn *c, enum http_phase phase, uint64_t for_ns) {
    must(c->phase != HTTP_DEAD);
    c->phase = phase;
    c->since_ns = io_now(io_of(c));
    io_timer_set(io_of(c), &c->timer, c->since_ns + for_ns);
}

/* --- the end --- */

static void drop_body(struct http_conn *c) {
    must(c->m->pages_bytes >= c->body_n);
    c->m->pages_bytes -= c->body_n;
    free(c->body);
    c->body = NULL;
    c->body_n = 0;
}

void http_free(struct http_conn *c) {
    struct monitor *m = c->m;
    must(c->phase == HTTP_DEAD && !c->recv.busy && !c->send.busy);
    must(m->count > 0);
    drop_body(c);
    io_file_close(io_of(c), c->recv.fd);
    list_del(&c->link);
    m->count--;
    free(c);
}

void http_kill(struct http_conn *c) {
    if (c->phase == HTTP_DEAD) return;
    must(c->m->alive > 0);
    c->m->alive--;
    c->phase = HTTP_DEAD;
    round_leave(c);
    /* Freed by the timer when nothing is in flight: the caller may still be using it. */
    if (c->recv.busy) io_stop(io_of(c), &c->recv);
    if (c->send.busy) io_stop(io_of(c), &c->send);
    io_timer_cancel(io_of(c), &c->timer);
    if (!c->recv.busy && !c->send.busy) io_timer_set(io_of(c), &c->timer, io_now(io_of(c)));
}

static void free_if_done(struct http_conn *c) {
    if (c->phase != HTTP_DEAD || c->recv.busy || c->send.busy) return;
    io_timer_cancel(io_of(c), &c->timer);
    http_free(c);
}

static void linger(struct http_conn *c) {
    must(!c->send.busy);
    if (c->eof || shutdown(c->recv.fd, SHUT_WR) != 0)
        http_kill(c);
    else
        enter(c, HTTP_LINGER, times_of(c)->linger_ns);
}

bool http_evict(struct monitor *m) {
    struct http_conn *worst = NULL;
    list_each(at, tmp, &m->conns) {
        struct http_conn *c = container_of(at, struct http_conn, link);
        if (c->phase != HTTP_READ && c->phase != HTTP_LINGER) continue;
        if (!worst || c->since_ns < worst->since_ns) worst = c;
    }
    if (!worst) return false;
    must(worst->phase != HTTP_DEAD);
    http_kill(worst);
    return true;
}

/* --- out --- */

static size_t put_head(struct http_conn *c, const struct reply *r) {
    char date[40];
    struct tm tm;
    time_t now = (time_t)(io_wall(io_of(c)) / 1000000000);
    must(gmtime_r(&now, &tm) != NULL);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    const char *keep = c->close_after ? "Connection: close\r\n" : "";
    if (!c->close_after && c->request.is_1_0) keep = "Connection: keep-alive\r\n";
    bool refused = c->request.status == r->status; /* the library's words */
    int n = snprintf(c->head, sizeof c->head,
                     "HTTP/1.1 %d %s%s\r\n%sContent-Type: %s\r\nDate: %s\r\n"
                     "Content-Length: %zu\r\n%s\r\n",
                     r->status, request_status_text(r->status), refused ? c->request.reason : "",
                     r->extra ? r->extra : "", r->type, date, r->n, keep);
    must(n > 0 && (size_t)n < sizeof c->head);
    return (size_t)n;
}

void http_reply(struct http_conn *c, const struct reply *r) {
    must(c->phase == HTTP_READ || c->phase == HTTP_ANSWER);
    must(r->body != NULL && !c->body && !c->send.busy);
    if (c->m->pages_bytes + r->n > MONITOR_PAGES_MAX) { /* other clients read too slowly */
        free(r->body);
        http_kill(c);
        return;
    }
    c->body = r->body;
    c->body_n = r->n;
    c->m->pages_bytes += r->n;
    c->iov[0] = (struct iovec){c->head, put_head(c, r)};
    c->iov[1] = (struct iovec){c->body, c->body_n};
    bool bare = c->request.head || c->body_n == 0;
    c->send.iov = c->iov;
    c->send.iov_count = bare ? 1 : 2;
    enter(c, HTTP_SEND, times_of(c)->send_ns);
    io_submit(io_of(c), &c->send);
}

void http_fail(struct http_conn *c, int status, const char *text) {
    static const char plain[] = "text/plain; charset=utf-8";
    struct reply r = {.status = status, .type = plain, .body = strdup(text), .n = strlen(text)};
    if (status == 404) r.extra = "X-Content-Type-Options: nosniff\r\n";
    if (status == 405) r.extra = "Allow: GET, HEAD\r\n";
    must(status >= 400);
    if (r.body)
        http_reply(c, &r);
    else
        http_kill(c);
}

void http_await(struct http_conn *c) { enter(c, HTTP_ANSWER, times_of(c)->answer_ns); }

/* --- in --- */

static void refuse(struct http_conn *c) {
    char text[128];
    must(c->request.status >= 400);
    c->close_after = true;
    snprintf(text, sizeof text, "%d %s%s", c->request.status, request_status_text(c->request.status),
             c->request.reason);
    http_fail(c, c->request.status, text);
}

static void begin_read(struct http_conn *c) {
    request_init(&c->request);
    enter(c, HTTP_READ, times_of(c)->idle_ns);
}

static void carry(struct http_conn *c, struct span bytes) {
    if (bytes.n > sizeof c->carry - c->carry_n) {
        c->close_after = true;
        bytes.n = 0;
    }
    if (bytes.n) memmove(c->carry + c->carry_n, bytes.p, bytes.n);
    c->carry_n += bytes.n;
    must(c->carry_n <= sizeof c->carry);
}

/* Takes requests from bytes until one is being answered; the rest is carried. */
static void feed(struct http_conn *c, struct span bytes) {
    while (bytes.n && c->phase == HTTP_READ) {
        struct request *r = &c->request;
        if (r->bytes == 0) enter(c, HTTP_READ, times_of(c)->request_ns);
        bytes = span_skip(bytes, request_feed(r, bytes));
        must(c->phase == HTTP_READ);
        if (r->status) {
            refuse(c);
            return;
        }
        if (!r->whole) continue;
        c->close_after = !r->keep_alive || c->eof || !c->m->open;
        answer_request(c);
    }
    if (c->phase == HTTP_ANSWER || c->phase == HTTP_SEND) carry(c, bytes);
}

static void on_end(struct http_conn *c, bool failed) {
    c->eof = true;
    c->close_after = true;
    if (failed || c->phase == HTTP_READ || c->phase == HTTP_LINGER) http_kill(c);
}

static void on_recv(struct io_op *op, int64_t res) {
    struct http_conn *c = container_of(op, struct http_conn, recv);
    if (c->phase != HTTP_DEAD) {
        if (res <= 0)
            on_end(c, res < 0);
        else
            feed(c, span_of(op->buf, (size_t)res));
        if (!op->busy && !c->eof && c->phase != HTTP_DEAD) io_submit(io_of(c), op);
    }
    free_if_done(c);
}

static void on_sent(struct io_op *op, int64_t res) {
    struct http_conn *c = container_of(op, struct http_conn, send);
    must(!op->busy);
    drop_body(c);
    if (c->phase == HTTP_SEND && res < 0) {
        http_kill(c);
    } else if (c->phase == HTTP_SEND && c->close_after) {
        linger(c);
    } else if (c->phase == HTTP_SEND) {
        struct span rest = span_of(c->carry, c->carry_n);
        c->carry_n = 0;
        begin_read(c);
        feed(c, rest);
    }
    free_if_done(c);
}

static void on_timer(struct io_timer *t) {
    struct http_conn *c = container_of(t, struct http_conn, timer);
    switch (c->phase) {
    case HTTP_READ:
        if (c->request.bytes == 0) {
            http_kill(c);
            break;
        }
        c->request.status = 408;
        refuse(c);
        break;
    case HTTP_ANSWER: answer_late(c); break;
    case HTTP_SEND:
    case HTTP_LINGER: http_kill(c); break;
    case HTTP_DEAD: break;
    }
    free_if_done(c);
}

void http_open(struct monitor *m, int fd) {
    struct http_conn *c = calloc(1, sizeof *c);
    must(fd >= 0 && m->open);
    if (!c) {
        io_file_close(m->host.io, fd);
        return;
    }
    c->m = m;
    c->timer.on_fire = on_timer;
    c->recv = (struct io_op){.kind = IO_OP_RECV, .fd = fd, .on_done = on_recv};
    c->send = (struct io_op){.kind = IO_OP_SEND, .fd = fd, .on_done = on_sent};
    list_init(&c->waiting);
    list_add_tail(&m->conns, &c->link);
    m->count++;
    m->alive++;
    begin_read(c);
    io_submit(m->host.io, &c->recv);
}
