/* test_monitor.c - exchanges over real sockets: pieces, pipelines, refusals, clients and shards that are
 * slow, silent or gone, and the end. */
#include "monitor_host.h"

/* --- connections --- */

static void exchange(enum io_backend backend) {
    struct world *w = world_open(2, backend, (struct monitor_times){0});
    static const char text[] = GET("/healthz");
    struct client c = dial(w);
    w->hold = true;
    for (size_t at = 0; at < sizeof text - 1; at++) { /* keep-alive, and split at every byte */
        say_bytes(&c, text, at);
        say_bytes(&c, text + at, sizeof text - 1 - at);
        while (w->asked_n == 0) tick(w);
        answer_all(w);
        CHECK_EQ(hear(&c), 200);
    }
    for (size_t i = 0; i < sizeof text - 1; i++) say_bytes(&c, text + i, 1);
    while (w->asked_n == 0) tick(w);
    answer_all(w);
    CHECK_EQ(hear(&c), 200);
    w->hold = false;
    say(&c, "HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    CHECK_EQ(hear_as(&c, true), 200);
    CHECK(header_has(&c, "Content-Length: 15\r\n"));
    say(&c, "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    CHECK_EQ(hear(&c), 200);
    CHECK(header_has(&c, "Connection: close\r\n"));
    hear_end(&c);
    hang_up(&c);
    world_close(w);
}

static void requests_in_pieces_on_posix(void) { exchange(IO_POSIX); }

static void requests_in_pieces_on_the_ring(void) {
    struct io *io;
    const char *why;
    if (io_open(&io, &(struct io_config){.backend = IO_URING}, &why)) return; /* not allowed here */
    io_close(io);
    exchange(IO_URING);
}

static void pipelined_requests_keep_their_order(void) {
    struct world *w = world_of(2);
    struct client c = dial(w);
    w->hold = true;
    say(&c, GET("/healthz") GET("/nope")
                GET("/subsz") "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" GET("/never"));
    while (w->asked_n == 0) tick(w);
    pump(w);
    take_in(&c);
    CHECK_EQ(c.n, 0); /* nothing overtakes */
    answer_all(w);
    CHECK_EQ(hear(&c), 200);
    body_is(&c, "{\"status\":\"ok\"}");
    CHECK_EQ(hear(&c), 404);
    while (w->asked_n == 0) tick(w);
    answer_all(w);
    CHECK_EQ(hear(&c), 200);
    CHECK(memmem(c.body, c.body_n, "num_subscriptions", 17) != NULL);
    CHECK_EQ(hear(&c), 200);
    hear_end(&c);
    hang_up(&c);
    world_close(w);
}

static void pipelining_has_a_bound(void) {
    struct world *w = world_of(1);
    struct client c = dial(w);
    size_t one = sizeof GET("/healthz") - 1, count = 2000;
    char *text = malloc(one * count);
    for (size_t i = 0; i < count; i++) memcpy(text + i * one, GET("/healthz"), one);
    CHECK_EQ(send(c.fd, text, one * count, MSG_NOSIGNAL), (ssize_t)(one * count));
    CHECK_EQ(hear(&c), 200); /* what came first is answered, and then it is over */
    while (take_in(&c), !c.eof) tick(w);
    CHECK(c.n < count * 100);
    free(text);
    hang_up(&c);
    world_close(w);
}

static void refused_and_closed(const char *text, size_t n, int status, const char *body) {
    struct world *w = world_open(1, IO_POSIX, (struct monitor_times){.linger_ns = 60000000000});
    struct client c = dial(w);
    say_bytes(&c, text, n);
    CHECK_EQ(hear(&c), status);
    body_is(&c, body);
    CHECK(header_has(&c, "Connection: close\r\n"));
    hear_end(&c);
    pump(w);
    int err = 0;
    socklen_t err_n = sizeof err;
    CHECK_EQ(getsockopt(c.fd, SOL_SOCKET, SO_ERROR, &err, &err_n), 0);
    CHECK_EQ(err, 0); /* a reset could have overtaken the page */
    hang_up(&c);
    CHECK_EQ(w->questions, 0);
    world_close(w);
}

static void garbage_is_refused(void) {
    static const char post[] = "POST /varz HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc";
    static const char garbage[] = "GARBAGE\r\n\r\n", none[] = "GET / HTTP/1.1\r\n\r\n";
    refused_and_closed(garbage, sizeof garbage - 1, 400, "400 Bad Request");
    refused_and_closed(none, sizeof none - 1, 400, "400 Bad Request: missing required Host header");
    refused_and_closed(post, sizeof post - 1, 405, "405 Method Not Allowed");
}

/* The refusal arrives although more comes than is ever read. */
static void oversize_is_refused(void) {
    size_t n = 1 << 20;
    char *text = malloc(n);
    memset(text, 'a', n);
    memcpy(text, "GET /", 5);
    refused_and_closed(text, n, 431, "431 Request Header Fields Too Large");
    free(text);
}

static void slow_senders_are_told(void) {
    struct world *w = world_open(1, IO_POSIX, (struct monitor_times){.request_ns = SOON_NS});
    struct client c = dial(w);
    say(&c, "GET /var");
    CHECK_EQ(hear(&c), 408);
    body_is(&c, "408 Request Timeout");
    hear_end(&c);
    hang_up(&c);
    world_close(w);
}

/* One byte now and then does not buy time. */
static void drips_do_not_help(void) {
    struct world *w = world_open(1, IO_POSIX, (struct monitor_times){.request_ns = SOON_NS});
    struct client c = dial(w);
    say(&c, "GET /");
    while (take_in(&c), c.n == 0) say(&c, "a");
    CHECK_EQ(hear(&c), 408);
    hang_up(&c);
    world_close(w);
}

static void idle_connections_end(void) {
    struct world *w = world_open(1, IO_POSIX, (struct monitor_times){.idle_ns = SOON_NS});
    struct client a = dial(w), b = dial(w);
    say(&a, GET("/healthz"));
    CHECK_EQ(hear(&a), 200);
    hear_end(&a);
    hear_end(&b);
    hang_up(&a);
    hang_up(&b);
    CHECK_EQ(w->m->count, 0);
    world_close(w);
}

static void slow_readers_are_dropped(void) {
    struct world *w = world_open(1, IO_POSIX, (struct monitor_times){.send_ns = SOON_NS});
    struct client c = dial(w);
    int small = 4096;
    CHECK_EQ(setsockopt(c.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    add_conns(w, 1, MONITOR_LIST_MAX);
    for (int i = 0; i < 8; i++) say(&c, GET("/connz?limit=4096")); /* more than the sockets take */
    while (w->m->count) tick(w);
    CHECK_EQ(w->m->pages_bytes, 0);
    CHECK(w->m->requests[PAGE_CONNZ] < 8);
    hang_up(&c);
    world_close(w);
}

static void silent_shards_are_named(void) {
    struct world *w = world_open(3, IO_POSIX, (struct monitor_times){.answer_ns = SOON_NS});
    struct client a = dial(w), b = dial(w);
    w->hold = true;
    say(&a, GET("/healthz"));
    while (w->asked_n < 2) tick(w);
    struct asked late = w->asked[1];
    answer_one(w, &w->asked[0]);
    w->asked_n = 0;
    CHECK_EQ(hear(&a), 503);
    body_is(&a, "{\"status\":\"unavailable\",\"error\":\"shard 2 did not answer\"}");
    hear_end(&a);
    say(&b, GET("/subsz"));
    while (w->asked_n < 2) tick(w);
    w->counters[2].subscriptions = 1000;
    answer_one(w, &late); /* belongs to a round that is over */
    w->counters[2].subscriptions = 3;
    answer_one(w, &w->asked[1]);
    answer_one(w, &w->asked[1]); /* counts once */
    answer_one(w, &w->asked[0]);
    CHECK_EQ(hear(&b), 200);
    yyjson_doc *d = json_of(&b);
    CHECK_EQ(num(d, "/num_subscriptions"), 3);
    yyjson_doc_free(d);
    hang_up(&a);
    hang_up(&b);
    world_close(w);
}

static void clients_take_turns_and_may_leave(void) {
    struct world *w = world_of(2);
    struct client c[4];
    w->hold = true;
    for (int i = 0; i < 4; i++) {
        c[i] = dial(w);
        say(&c[i], GET("/healthz"));
    }
    while (w->m->count < 4) tick(w);
    pump(w);
    CHECK_EQ(w->asked_n, 1); /* one round at a time */
    struct linger now = {.l_onoff = 1};
    setsockopt(c[0].fd, SOL_SOCKET, SO_LINGER, &now, sizeof now); /* leaves with a reset */
    hang_up(&c[0]);
    setsockopt(c[2].fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    hang_up(&c[2]);
    while (w->m->count > 2) tick(w);
    answer_all(w); /* the first round's answer comes too late, the second's is behind it */
    CHECK_EQ(hear(&c[1]), 200);
    answer_all(w);
    CHECK_EQ(hear(&c[3]), 200);
    hang_up(&c[1]);
    hang_up(&c[3]);
    world_close(w);
}

/* A client that shuts its sending side down still gets its page. */
static void half_closed_clients_are_answered(void) {
    struct world *w = world_of(2);
    struct client c = dial(w);
    w->hold = true;
    say(&c, GET("/healthz"));
    CHECK_EQ(shutdown(c.fd, SHUT_WR), 0);
    while (w->asked_n == 0) tick(w);
    pump(w);
    answer_all(w);
    CHECK_EQ(hear(&c), 200);
    hear_end(&c);
    hang_up(&c);
    world_close(w);
}

static void idle_connections_give_way(void) {
    struct world *w = world_of(1);
    struct client c[MONITOR_CONNS_MAX + 8];
    size_t n = sizeof c / sizeof c[0];
    for (size_t i = 0; i < n; i++) {
        c[i] = dial(w);
        say(&c[i], GET("/healthz"));
        CHECK_EQ(hear(&c[i]), 200);
        CHECK(w->m->alive <= MONITOR_CONNS_MAX);
    }
    for (size_t i = 0; i < 8; i++) hear_end(&c[i]); /* the oldest */
    for (size_t i = 8; i < n; i++) {
        say(&c[i], GET("/healthz"));
        CHECK_EQ(hear(&c[i]), 200);
    }
    for (size_t i = 0; i < n; i++) hang_up(&c[i]);
    world_close(w);
}

static void busy_connections_do_not_give_way(void) {
    struct world *w = world_of(2);
    struct client c[MONITOR_CONNS_MAX];
    w->hold = true;
    for (size_t i = 0; i < MONITOR_CONNS_MAX; i++) {
        c[i] = dial(w);
        say(&c[i], GET("/healthz"));
    }
    while (list_empty(&w->m->waiting)) tick(w);
    while (w->m->alive < MONITOR_CONNS_MAX) tick(w);
    pump(w);
    struct client extra = dial(w);
    hear_end(&extra);
    for (size_t i = 0; i < MONITOR_CONNS_MAX; i++) {
        answer_all(w);
        CHECK_EQ(hear(&c[i]), 200);
    }
    for (size_t i = 0; i < MONITOR_CONNS_MAX; i++) hang_up(&c[i]);
    hang_up(&extra);
    world_close(w);
}

static void stopping_ends_everything(void) {
    struct world *w = world_of(2);
    struct client idle = dial(w), part = dial(w), waits = dial(w), queued = dial(w);
    w->hold = true;
    say(&part, "GET /va");
    say(&waits, GET("/healthz"));
    while (w->asked_n == 0) tick(w);
    say(&queued, GET("/healthz"));
    while (list_empty(&w->m->waiting)) tick(w);
    monitor_stop(w->m);
    monitor_stop(w->m);
    CHECK(!monitor_idle(w->m));
    while (!monitor_idle(w->m)) tick(w);
    CHECK_EQ(w->asked_n, 1); /* nobody was asked any more */
    answer_all(w);           /* and an answer finds no one */
    hear_end(&idle);
    hear_end(&part);
    hear_end(&waits);
    hear_end(&queued);
    hang_up(&idle);
    hang_up(&part);
    hang_up(&waits);
    hang_up(&queued);
    world_close(w);
}

/* The server's last step was cut short: the loop does not run again. */
static void closing_without_the_loop(void) {
    struct world *w = world_of(2);
    struct client c = dial(w);
    w->hold = true;
    say(&c, GET("/healthz"));
    while (w->asked_n == 0) tick(w);
    monitor_close(w->m);
    io_close(w->io);
    close(c.fd);
    free(c.in);
    free(w);
}

static void taken_ports_are_reported(void) {
    struct world *w = world_of(1);
    struct monitor *second;
    int port = w->port;
    CHECK_EQ(monitor_open(&second, &w->host, &w->server, &port), ERR_ADDRINUSE);
    world_close(w);
}

CHECK_MAIN(CASE(requests_in_pieces_on_posix), CASE(requests_in_pieces_on_the_ring),
           CASE(pipelined_requests_keep_their_order), CASE(pipelining_has_a_bound), CASE(garbage_is_refused),
           CASE(oversize_is_refused), CASE(slow_senders_are_told), CASE(drips_do_not_help),
           CASE(idle_connections_end), CASE(slow_readers_are_dropped), CASE(silent_shards_are_named),
           CASE(clients_take_turns_and_may_leave), CASE(half_closed_clients_are_answered),
           CASE(idle_connections_give_way), CASE(busy_connections_do_not_give_way),
           CASE(stopping_ends_everything), CASE(closing_without_the_loop), CASE(taken_ports_are_reported))
