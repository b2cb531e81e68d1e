/* test_watch.c - the monitoring port of whole servers on one and three shards: what connections on different
 * shards did is on its pages, and it starts and stops with the server. */
#include <yyjson.h>

#include "shard_host.h"

enum { CLIENTS = 7 };

static struct running *serve_http(unsigned shards, int http_port) {
    struct running *r = start(shards, -1);
    r->o.http_port = http_port;
    launch(r);
    return r;
}

static int reach(int port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_EQ(connect(fd, (void *)&a, sizeof a), 0);
    return fd;
}

static void send_text(int fd, const char *text) {
    CHECK_EQ(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* Reads until text is there, or to the end when text is NULL. */
static size_t read_until(int fd, const char *text, char *in, size_t room) {
    size_t n = 0;
    for (ssize_t got = 1; got > 0;) {
        in[n] = '\0';
        if (text && strstr(in, text)) return n;
        CHECK(n + 1 < room);
        got = recv(fd, in + n, room - 1 - n, 0);
        CHECK(got >= 0);
        n += (size_t)got;
    }
    CHECK(text == NULL);
    in[n] = '\0';
    return n;
}

static yyjson_doc *page(const struct running *r, const char *path) {
    static char in[1 << 16];
    char text[256];
    int fd = reach(r->http_port);
    snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path);
    send_text(fd, text);
    size_t n = read_until(fd, NULL, in, sizeof in);
    close(fd);
    CHECK(strncmp(in, "HTTP/1.1 200 OK\r\n", 17) == 0);
    char *body = strstr(in, "\r\n\r\n") + 4;
    yyjson_doc *d = yyjson_read(body, n - (size_t)(body - in), 0);
    CHECK(d != NULL);
    return d;
}

static uint64_t num(yyjson_doc *d, const char *at) {
    yyjson_val *v = yyjson_doc_ptr_get(d, at);
    CHECK(yyjson_is_num(v));
    return yyjson_get_uint(v);
}

static void connections_are_shown(const struct running *r) {
    yyjson_doc *d = page(r, "/connz?limit=4&offset=2");
    CHECK_EQ(num(d, "/total"), CLIENTS);
    CHECK_EQ(num(d, "/num_connections"), 4);
    CHECK_EQ(num(d, "/connections/0/cid"), 7);
    CHECK_EQ(num(d, "/connections/3/cid"), 10);
    CHECK_EQ(num(d, "/connections/3/in_msgs"), 1);
    CHECK_EQ(num(d, "/connections/3/in_bytes"), 3);
    CHECK_EQ(num(d, "/connections/3/subscriptions"), 2);
    CHECK(num(d, "/connections/3/port") > 0);
    CHECK_STR(yyjson_get_str(yyjson_doc_ptr_get(d, "/connections/3/name")), "n5");
    CHECK_STR(yyjson_get_str(yyjson_doc_ptr_get(d, "/connections/3/lang")), "c");
    CHECK_STR(yyjson_get_str(yyjson_doc_ptr_get(d, "/connections/3/version")), "1.5");
    CHECK_STR(yyjson_get_str(yyjson_doc_ptr_get(d, "/connections/3/ip")), "127.0.0.1");
    yyjson_doc_free(d);
}

static void totals_are_shown(const struct running *r) {
    yyjson_doc *d = page(r, "/varz");
    CHECK_EQ(num(d, "/connections"), CLIENTS);
    CHECK_EQ(num(d, "/total_connections"), CLIENTS);
    CHECK_EQ(num(d, "/in_msgs"), CLIENTS);
    CHECK_EQ(num(d, "/in_bytes"), CLIENTS * 3);
    CHECK_EQ(num(d, "/out_msgs"), CLIENTS * CLIENTS);
    CHECK_EQ(num(d, "/subscriptions"), CLIENTS * 2);
    CHECK_EQ(num(d, "/port"), r->port);
    CHECK_EQ(num(d, "/http_port"), r->http_port);
    yyjson_doc_free(d);
    d = page(r, "/healthz");
    CHECK_STR(yyjson_get_str(yyjson_doc_ptr_get(d, "/status")), "ok");
    yyjson_doc_free(d);
}

static void show(unsigned shards) {
    struct running *r = serve_http(shards, -1);
    static char in[1 << 16];
    int fd[CLIENTS];
    CHECK(r->ready && r->http_port > 0);
    for (int i = 0; i < CLIENTS; i++) {
        char text[256];
        fd[i] = reach(r->port);
        snprintf(text, sizeof text,
                 "CONNECT {\"verbose\":false,\"name\":\"n%d\",\"lang\":\"c\",\"version\":\"1.%d\"}\r\n"
                 "SUB all 1\r\nSUB none q 2\r\nPING\r\n",
                 i, i);
        send_text(fd[i], text);
        read_until(fd[i], "PONG\r\n", in, sizeof in);
    }
    for (int i = 0; i < CLIENTS; i++) {
        send_text(fd[i], "PUB all 3\r\nabc\r\nPING\r\n");
        read_until(fd[i], "PONG\r\n", in, sizeof in);
    }
    connections_are_shown(r);
    totals_are_shown(r);
    for (int i = 0; i < CLIENTS; i++) close(fd[i]);
    int idle = reach(r->http_port), part = reach(r->http_port);
    send_text(part, "GET /va");
    CHECK_EQ(stop(r), 0);
    CHECK_EQ(read_until(idle, NULL, in, sizeof in), 0);
    close(idle);
    close(part);
}

static void one_shard(void) { show(1); }
static void three_shards(void) { show(3); }

static void a_taken_port_ends_the_server(void) {
    struct sockaddr_in a = {.sin_family = AF_INET};
    socklen_t n = sizeof a;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_EQ(bind(fd, (void *)&a, sizeof a), 0);
    CHECK_EQ(listen(fd, 1), 0);
    CHECK_EQ(getsockname(fd, (void *)&a, &n), 0);
    struct running *r = serve_http(2, ntohs(a.sin_port));
    CHECK(!r->ready && r->ended);
    CHECK(strstr(r->fatal, "can't listen to the monitor port: 127.0.0.1:") != NULL);
    CHECK(strstr(r->fatal, ": address already in use") != NULL);
    CHECK_EQ(finish(r), 1);
    close(fd);
}

static void no_port_unless_asked_for(void) {
    struct running *r = serve_http(1, 0);
    CHECK(r->ready);
    CHECK_EQ(r->http_port, 0);
    CHECK_EQ(stop(r), 0);
}

CHECK_MAIN(CASE(one_shard), CASE(three_shards), CASE(a_taken_port_ends_the_server),
           CASE(no_port_unless_asked_for))
