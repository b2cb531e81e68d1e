/* client.c - see client.h. Latency counts from the schedule, not from the send that came late.
 * Acknowledgements are eight bytes: how many messages, in order, are safe. */
#include "experiment/client.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "experiment/meter.h"
#include "host/clock.h"

enum { BATCH = 64 << 10, WINDOW_MAX = 1 << 16 };

struct client {
    struct client_config cfg;
    struct client_result *out;
    int fd;
    uint64_t start, end, sent, acked;
    uint64_t due[WINDOW_MAX]; /* by number, with a window */
    uint8_t out_buf[BATCH], in_buf[4096];
    size_t out_len, out_at, in_len;
};

static uint64_t due_at(const struct client *c, uint64_t no) {
    if (!c->cfg.rate) return c->due[no % WINDOW_MAX];
    return c->start + (uint64_t)((double)no * 1e9 / (double)c->cfg.rate);
}

static uint64_t allowed(const struct client *c, uint64_t now) {
    if (now > c->end) now = c->end;
    if (!c->cfg.rate) return now == c->end ? c->sent : c->acked + c->cfg.window;
    return (uint64_t)((double)(now - c->start) / 1e9 * (double)c->cfg.rate);
}

static void send_due(struct client *c, uint64_t now) {
    uint64_t until = allowed(c, now);
    while (c->out_at < c->out_len || c->sent < until) {
        if (c->out_at == c->out_len) {
            c->out_at = c->out_len = 0;
            for (; c->sent < until && c->out_len + c->cfg.message <= BATCH; c->sent++) {
                memset(c->out_buf + c->out_len, (int)(c->sent * 31 & 0xff), c->cfg.message);
                memcpy(c->out_buf + c->out_len, &c->sent, sizeof c->sent);
                c->due[c->sent % WINDOW_MAX] = now;
                c->out_len += c->cfg.message;
            }
        }
        ssize_t n = send(c->fd, c->out_buf + c->out_at, c->out_len - c->out_at, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) return;
        if (n < 0) die("send");
        c->out_at += (size_t)n;
    }
}

static void take_acks(struct client *c) {
    for (;;) {
        ssize_t n = recv(c->fd, c->in_buf + c->in_len, sizeof c->in_buf - c->in_len, MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) die("recv");
        c->in_len += (size_t)n;
        size_t whole = c->in_len / 8 * 8;
        uint64_t now = now_ns(), upto = c->acked;
        if (whole) memcpy(&upto, c->in_buf + whole - 8, 8);
        require(upto >= c->acked && upto <= c->sent, "what is acknowledged was sent");
        for (; c->acked < upto; c->acked++) hist_add(&c->out->latency, now - due_at(c, c->acked));
        memmove(c->in_buf, c->in_buf + whole, c->in_len -= whole);
    }
}

static void wait_for_work(struct client *c) {
    bool full = c->out_at < c->out_len;
    struct pollfd p = {c->fd, (short)(POLLIN | (full ? POLLOUT : 0)), 0};
    uint64_t now = now_ns(), next = c->cfg.rate && now < c->end ? due_at(c, c->sent) : now + NS_PER_S / 10;
    uint64_t wait = next > now ? next - now : 0;
    struct timespec t = {(time_t)(wait / NS_PER_S), (long)(wait % NS_PER_S)};
    if (ppoll(&p, 1, &t, NULL) < 0 && errno != EINTR) die("ppoll");
}

static void client_run(struct client *c) {
    stay_on(c->cfg.cpu);
    prctl(PR_SET_TIMERSLACK, 1ul);
    c->start = now_ns();
    c->end = c->start + c->cfg.seconds * NS_PER_S;
    for (uint64_t now = c->start; now < c->end || c->out_at < c->out_len || c->acked < c->sent;
         now = now_ns()) {
        send_due(c, now);
        take_acks(c);
        if (!c->cfg.spin) wait_for_work(c);
    }
    struct meter m = meter_now();
    c->out->sent = c->sent;
    c->out->cpu_s = m.process_s;
    c->out->seconds = (double)(now_ns() - c->start) / 1e9;
}

pid_t client_start(const struct client_config *cfg, struct client_result *out, int *fd) {
    int pair[2], room = 4 << 20;
    require(cfg->message >= 16 && cfg->message <= MESSAGE_MAX && cfg->window <= WINDOW_MAX,
            "the client's options");
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) die("socketpair");
    for (int i = 0; i < 2; i++) setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    hist_init(&out->latency);
    pid_t pid = fork();
    if (pid < 0) die("fork");
    if (pid == 0) {
        struct client *c = calloc(1, sizeof *c);
        if (!c) die("memory");
        close(pair[0]);
        *c = (struct client){.cfg = *cfg, .out = out, .fd = pair[1]};
        client_run(c);
        _exit(0);
    }
    close(pair[1]);
    *fd = pair[0];
    return pid;
}
