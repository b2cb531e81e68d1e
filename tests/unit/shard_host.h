/* shard_host.h - a whole server in this process and clients on real sockets, for tests of what only shows
 * when connections sit on different shards. */
#pragma once
#include "shard/shard.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/socket.h>

#include "lib/check.h"

enum { LINE_MAX_TEXT = 1024, WAIT_MS = 10000 };

/* --- the server --- */

struct running {
    struct options o;
    struct log log;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool ready, ended;
    unsigned moved; /* connections, from shard to shard */
    int port, http_port, status;
    char fatal[256];
    char lines[32768];
};

static inline int port_in(const char *text, const char *before) {
    const char *at = strstr(text, before);
    return at ? atoi(strrchr(at, ':') + 1) : 0;
}

static inline void on_line(void *ctx, enum log_level level, const char *text) {
    struct running *r = ctx;
    pthread_mutex_lock(&r->mutex);
    if (strstr(text, "client connections on ")) r->port = port_in(text, "client connections on ");
    if (strstr(text, "Starting http monitor on ")) r->http_port = port_in(text, "http monitor on ");
    if (level == LOG_FATAL) snprintf(r->fatal, sizeof r->fatal, "%s", text);
    if (strcmp(text, "Server is ready") == 0) r->ready = true;
    if (strstr(text, "connection moved to shard")) r->moved++;
    size_t n = strlen(r->lines);
    snprintf(r->lines + n, sizeof r->lines - n, "%s\n", text);
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->mutex);
}

static inline void *run(void *arg) {
    struct running *r = arg;
    int status = server_run(&r->o, &r->log);
    pthread_mutex_lock(&r->mutex);
    r->status = status;
    r->ended = true;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->mutex);
    return NULL;
}

static inline struct running *start(unsigned shards, int port) {
    struct running *r = calloc(1, sizeof *r);
    struct option_error e;
    options_defaults(&r->o);
    r->o.shards = shards;
    r->o.port = port;
    r->o.io = IO_POSIX;
    snprintf(r->o.host, sizeof r->o.host, "127.0.0.1");
    CHECK(options_settle(&r->o, &e));
    r->log = (struct log){.level = LOG_INFO, .line = on_line, .ctx = r};
    pthread_mutex_init(&r->mutex, NULL);
    pthread_cond_init(&r->changed, NULL);
    return r;
}

static inline void launch(struct running *r) {
    CHECK_EQ(pthread_create(&r->thread, NULL, run, r), 0);
    pthread_mutex_lock(&r->mutex);
    while (!r->ready && !r->ended) pthread_cond_wait(&r->changed, &r->mutex);
    pthread_mutex_unlock(&r->mutex);
}

static inline int finish(struct running *r) {
    pthread_join(r->thread, NULL);
    int status = r->status;
    free(r);
    return status;
}

static inline int stop(struct running *r) {
    kill(getpid(), SIGTERM);
    return finish(r);
}

static inline struct running *serve(unsigned shards) {
    struct running *r = start(shards, -1);
    launch(r);
    CHECK(r->ready);
    CHECK(r->port > 0);
    return r;
}

/* --- a client --- */

struct client {
    int fd;
    size_t n;
    char in[1 << 16];
};

static inline struct client *dial(const struct running *r) {
    struct client *c = calloc(1, sizeof *c);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)r->port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_EQ(connect(c->fd, (void *)&a, sizeof a), 0);
    CHECK_EQ(setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)), 0);
    return c;
}

static inline void hang_up(struct client *c) {
    close(c->fd);
    free(c);
}

__attribute__((format(printf, 2, 3))) static inline void say(struct client *c, const char *fmt, ...) {
    char text[LINE_MAX_TEXT];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    CHECK_EQ(send(c->fd, text, (size_t)n, MSG_NOSIGNAL), n);
}

/* The next line without its end; "" when the peer closed. */
static inline const char *hear(struct client *c) {
    static _Thread_local char line[1 << 16];
    for (;;) {
        char *end = memchr(c->in, '\n', c->n);
        if (end) {
            size_t n = (size_t)(end - c->in) + 1;
            memcpy(line, c->in, n);
            line[n - 2] = '\0';
            c->n -= n;
            memmove(c->in, c->in + n, c->n);
            return line;
        }
        struct pollfd p = {.fd = c->fd, .events = POLLIN};
        CHECK_EQ(poll(&p, 1, WAIT_MS), 1);
        ssize_t got = recv(c->fd, c->in + c->n, sizeof c->in - c->n, 0);
        if (got <= 0) return "";
        c->n += (size_t)got;
    }
}

/* Skips INFO and what the server says of its own accord. */
static inline void expect(struct client *c, const char *want) {
    const char *line = hear(c);
    while (strncmp(line, "INFO ", 5) == 0 || strcmp(line, "PING") == 0) line = hear(c);
    CHECK_STR(line, want);
}

static inline struct client *join(const struct running *r) {
    struct client *c = dial(r);
    CHECK(strncmp(hear(c), "INFO ", 5) == 0);
    say(c,
        "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true}\r\nPING\r\n");
    expect(c, "PONG");
    return c;
}

static inline void on_each(void (*test)(unsigned shards)) {
    static const unsigned counts[] = {1, 2, 4};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) test(counts[i]);
}
