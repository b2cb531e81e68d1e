/* test_io.c - what io.h promises of sockets, timers and waking, on both real back ends: each case runs once
 * with the ring and once with posix. */
#include <errno.h>
#include <pthread.h>

#include "unit/io_seen.h"

/* --- sockets --- */

static void nothing_before_the_tick(enum io_backend b) {
    struct io *io = open_loop(b);
    int fd[2];
    char c;
    pair(fd);
    struct seen tx = sender(io, fd[0], "hello", 5);
    io_submit(io, &tx.op);
    CHECK(tx.op.busy);
    CHECK_EQ(tx.calls, 0);
    CHECK_EQ(read(fd[1], &c, 1), -1); /* not in the socket yet */
    until_idle(&tx);
    CHECK_EQ(tx.calls, 1);
    CHECK_EQ(tx.res, 5);
    CHECK_EQ(read(fd[1], &c, 1), 1);
    CHECK_EQ(c, 'h');
    io_close(io);
}

/* Random pieces in, the same bytes out, through one multishot receive. */
static void bytes_arrive_in_order(enum io_backend b) {
    enum { N = 3 << 20 };
    struct io *io = open_loop(b);
    struct rng r = {3};
    uint8_t *text = noise(N, 1);
    int fd[2];
    pair(fd);
    struct seen rx = receiver(io, fd[1], N);
    io_submit(io, &rx.op);
    for (size_t at = 0; at < N;) {
        size_t n = rng_below(&r, 4) ? 1 + rng_below(&r, 300) : 1 + rng_below(&r, 200000);
        if (n > N - at) n = N - at;
        struct seen tx = sender(io, fd[0], text + at, n);
        io_submit(io, &tx.op);
        until_idle(&tx);
        CHECK_EQ(tx.res, n);
        at += n;
    }
    until_total(&rx, N);
    CHECK(rx.op.busy);
    CHECK_MEM(rx.data, N, text, N);
    free(text);
    free(rx.data);
    io_close(io);
}

static void end_of_stream(enum io_backend b) {
    struct io *io = open_loop(b);
    for (int data = 0; data < 2; data++) {
        int fd[2];
        pair(fd);
        struct seen rx = receiver(io, fd[1], 100);
        io_submit(io, &rx.op);
        if (data) CHECK_EQ(write(fd[0], "last words", 10), 10);
        close(fd[0]);
        until_idle(&rx);
        CHECK_EQ(rx.res, 0);
        CHECK_EQ(rx.total, data ? 10 : 0);
        int calls = rx.calls;
        settle(io);
        CHECK_EQ(rx.calls, calls);
        close(fd[1]);
        free(rx.data);
    }
    io_close(io);
}

static void vectors_are_sent_whole(enum io_backend b) {
    enum { VECTORS = 2500, N = 3 << 20 };
    static struct iovec iov[VECTORS];
    struct io *io = open_loop(b);
    uint8_t *text = noise(N, 2);
    struct rng r = {9};
    int fd[2];
    pair(fd);
    size_t at = 0;
    for (int i = 0; i < VECTORS; i++) {
        size_t n = i % 7 == 0 ? 0 : rng_below(&r, 1900);
        if (i == VECTORS - 1) n = N - at;
        iov[i] = (struct iovec){text + at, n};
        at += n;
    }
    struct seen tx = seen_of(io, IO_OP_SEND, fd[0]), rx = receiver(io, fd[1], N);
    tx.op.iov = iov;
    tx.op.iov_count = VECTORS;
    io_submit(io, &tx.op);
    settle(io); /* the socket is full long before the end */
    CHECK(tx.op.busy);
    io_submit(io, &rx.op);
    until_total(&rx, N);
    until_idle(&tx);
    CHECK_EQ(tx.res, N);
    CHECK_EQ(tx.calls, 1);
    CHECK_MEM(rx.data, N, text, N);
    free(text);
    free(rx.data);
    io_close(io);
}

static void empty_send(enum io_backend b) {
    struct io *io = open_loop(b);
    struct iovec none[2] = {{NULL, 0}, {NULL, 0}};
    int fd[2];
    pair(fd);
    struct seen tx = sender(io, fd[0], NULL, 0);
    io_submit(io, &tx.op);
    until_idle(&tx);
    CHECK_EQ(tx.res, 0);
    tx.op.iov = none;
    tx.op.iov_count = 2;
    io_submit(io, &tx.op);
    until_idle(&tx);
    CHECK_EQ(tx.res, 0);
    io_close(io);
}

static void send_fails_when_the_peer_goes(enum io_backend b) {
    enum { N = 8 << 20 };
    struct io *io = open_loop(b);
    uint8_t *text = noise(N, 2);
    int fd[2];
    pair(fd);
    struct seen tx = sender(io, fd[0], text, N);
    io_submit(io, &tx.op);
    settle(io);
    CHECK(tx.op.busy); /* nobody reads */
    close(fd[1]);
    until_idle(&tx);
    CHECK_EQ(tx.res, -ERR_CLOSED);
    CHECK_EQ(tx.calls, 1);
    free(text);
    io_close(io);
}

static void stop_an_idle_receive(enum io_backend b) {
    struct io *io = open_loop(b);
    int fd[2];
    pair(fd);
    struct seen rx = receiver(io, fd[1], 100);
    for (int submitted = 0; submitted < 2; submitted++) { /* stopped before and after it reached the kernel */
        io_submit(io, &rx.op);
        if (submitted) settle(io);
        rx.calls = 0;
        io_stop(io, &rx.op);
        io_stop(io, &rx.op);
        CHECK_EQ(rx.calls, 0);
        until_idle(&rx);
        CHECK_EQ(rx.res, -ERR_CANCELLED);
        settle(io);
        CHECK_EQ(rx.calls, 1);
    }
    io_stop(io, &rx.op); /* idle: nothing to stop */
    io_submit(io, &rx.op);
    CHECK_EQ(write(fd[0], "again", 5), 5);
    until_total(&rx, 5);
    CHECK_MEM(rx.data, 5, "again", 5);
    io_close(io);
    free(rx.data);
}

static void stop_a_blocked_send(enum io_backend b) {
    enum { N = 8 << 20 };
    struct io *io = open_loop(b);
    uint8_t *text = noise(N, 2);
    int fd[2];
    pair(fd);
    struct seen tx = sender(io, fd[0], text, N);
    io_submit(io, &tx.op);
    settle(io);
    CHECK(tx.op.busy);
    io_stop(io, &tx.op);
    until_idle(&tx);
    CHECK_EQ(tx.res, -ERR_CANCELLED);
    CHECK_EQ(tx.calls, 1);
    free(text);
    io_close(io);
}

/* Stopping and going on again and again, with bytes under way all the time, loses none of them. After
 * io_stop() there is exactly one more callback. */
static void stop_loses_no_bytes(enum io_backend b) {
    enum { N = 6 << 20 };
    struct io *io = open_loop(b);
    struct rng r = {5};
    uint8_t *text = noise(N, 1);
    int fd[2], rounds = 0;
    pair(fd);
    struct seen rx = receiver(io, fd[1], N), tx = sender(io, fd[0], text, N);
    io_submit(io, &tx.op);
    while (rx.total < N) {
        io_submit(io, &rx.op);
        rx.stop_next = rng_below(&r, 2);
        for (size_t i = 1 + rng_below(&r, 3); i > 0 && rx.op.busy && rx.total < N; i--) io_tick(io, 0);
        if (!rx.op.busy) continue;
        bool inside = rx.op.stopped;
        int calls = rx.calls;
        io_stop(io, &rx.op);
        until_idle(&rx);
        CHECK(rx.calls == calls + 1 || inside);
        CHECK(rx.res > 0 || rx.res == -ERR_CANCELLED);
        rounds++;
    }
    CHECK(rounds > 3);
    until_idle(&tx);
    CHECK_MEM(rx.data, N, text, N);
    free(text);
    free(rx.data);
    io_close(io);
}

/* Writes for as long as somebody reads. */
static void *hose_main(void *arg) {
    static uint8_t text[256 << 10];
    int fd = *(int *)arg;
    while (send(fd, text, sizeof text, MSG_NOSIGNAL) > 0) {
    }
    return NULL;
}

/* A socket that never runs dry, beside more small ones than there are buffers: everyone is served, and the
 * big one gets a bounded share of each tick. */
static void a_firehose_starves_nobody(enum io_backend b) {
    enum { SMALL = 60 };
    struct io *io = open_loop(b);
    int big[2], fd[SMALL][2], size = 16 << 20;
    static struct seen rx[SMALL];
    pthread_t thread;
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, big), 0);
    setsockopt(big[0], SOL_SOCKET, SO_SNDBUFFORCE, &size,
               sizeof size); /* without the privilege: a smaller test */
    CHECK_EQ(pthread_create(&thread, NULL, hose_main, &big[0]), 0);
    struct seen hose = receiver(io, big[1], 1);
    free(hose.data);
    hose.data = NULL; /* only counted */
    io_submit(io, &hose.op);
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < SMALL; i++) {
            if (!round) {
                pair(fd[i]);
                rx[i] = receiver(io, fd[i][1], 100);
                io_submit(io, &rx[i].op);
            }
            rx[i].total = 0;
            CHECK_EQ(write(fd[i][0], "me too", 6), 6);
        }
        int64_t before = hose.total;
        int ticks = 0;
        for (int served = 0; served < SMALL; ticks++) {
            int64_t at = hose.total;
            io_tick(io, FOREVER);
            CHECK(hose.total - at <= 1 << 20);
            served = 0;
            for (int i = 0; i < SMALL; i++) served += rx[i].total == 6;
        }
        CHECK(ticks <= 40);
        while (hose.total == before) io_tick(io, FOREVER);
    }
    shutdown(big[1], SHUT_RDWR);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    io_close(io);
    for (int i = 0; i < SMALL; i++) free(rx[i].data);
}

/* --- accepting --- */

static int dial(int port) {
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    CHECK_EQ(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static int listener(struct io *io, int *port) {
    int fd;
    *port = -1;
    CHECK_EQ(io_listen(io, "127.0.0.1", port, &fd), ERR_OK);
    CHECK(*port > 0);
    return fd;
}

static void accepts_until_stopped(enum io_backend b) {
    struct io *io = open_loop(b);
    int port, client[20];
    struct seen acc = seen_of(io, IO_OP_ACCEPT, listener(io, &port));
    io_submit(io, &acc.op);
    for (int i = 0; i < 20; i++) client[i] = dial(port);
    while (acc.calls < 20) io_tick(io, FOREVER);
    CHECK(acc.op.busy);
    CHECK(acc.res > 0);
    CHECK(fcntl((int)acc.res, F_GETFL) & O_NONBLOCK);
    CHECK(fcntl((int)acc.res, F_GETFD) & FD_CLOEXEC);
    char host[46];
    uint16_t peer_port;
    io_peer((int)acc.res, host, &peer_port);
    CHECK_STR(host, "127.0.0.1");
    CHECK(peer_port > 0);
    struct seen rx = receiver(io, (int)acc.res, 100);
    io_submit(io, &rx.op);
    for (int i = 0; i < 20; i++) CHECK_EQ(write(client[i], "hi", 2), 2);
    until_total(&rx, 2);
    io_stop(io, &acc.op);
    until_idle(&acc);
    CHECK_EQ(acc.res, -ERR_CANCELLED);
    dial(port);
    settle(io);
    CHECK_EQ(acc.calls, 21);
    io_close(io);
    free(rx.data);
}

static size_t open_sockets(void) {
    struct stat st;
    size_t n = 0;
    for (int fd = 0; fd < 1000; fd++) n += fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
    return n;
}

/* Connections that the kernel accepted before it heard of the stop are closed, not lost. */
static void stopping_an_accept_leaks_nothing(enum io_backend b) {
    struct io *io = open_loop(b);
    int port, client[10];
    struct seen acc = seen_of(io, IO_OP_ACCEPT, listener(io, &port));
    io_submit(io, &acc.op);
    settle(io);
    for (int i = 0; i < 10; i++) client[i] = dial(port);
    size_t before = open_sockets();
    acc.stop_next = true;
    until_idle(&acc);
    CHECK_EQ(acc.calls, 2);
    CHECK_EQ(open_sockets(), before + 1);
    for (int i = 0; i < 10; i++) close(client[i]);
    io_close(io);
}

static void accept_recovers_from_no_files(enum io_backend b) {
    struct io *io = open_loop(b);
    int port, fd = listener(io, &port), client = dial(port), hog[64], hogs = 0;
    struct seen acc = seen_of(io, IO_OP_ACCEPT, fd);
    struct rlimit limit;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = 40;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    while (hogs < 64 && (hog[hogs] = dup(0)) >= 0) hogs++;
    io_submit(io, &acc.op);
    while (acc.calls < 2) io_tick(io, FOREVER); /* says so each time it tries */
    CHECK_EQ(acc.res, -ERR_NOFILES);
    CHECK(acc.op.busy);
    while (hogs > 0) close(hog[--hogs]);
    while (acc.res < 0) io_tick(io, FOREVER);
    CHECK(acc.op.busy);
    CHECK_EQ(write(client, "x", 1), 1);
    io_stop(io, &acc.op);
    until_idle(&acc);
    io_close(io);
}

static void stop_an_accept_that_backs_off(enum io_backend b) {
    struct io *io = open_loop(b);
    int port, fd = listener(io, &port);
    dial(port);
    struct seen acc = seen_of(io, IO_OP_ACCEPT, fd);
    struct rlimit limit;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = 20;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    while (dup(0) >= 0) {
    }
    io_submit(io, &acc.op);
    while (!acc.calls) io_tick(io, FOREVER);
    CHECK_EQ(acc.res, -ERR_NOFILES);
    io_stop(io, &acc.op);
    until_idle(&acc);
    CHECK_EQ(acc.res, -ERR_CANCELLED);
    CHECK(io_timer_next(io) == FOREVER);
    io_close(io);
}

static void listening_says_what_is_wrong(enum io_backend b) {
    struct io *io = open_loop(b);
    int port, again, fd = listener(io, &port), other;
    again = port;
    CHECK_EQ(io_listen(io, "127.0.0.1", &again, &other), ERR_ADDRINUSE);
    CHECK_EQ(other, -1);
    CHECK_EQ(io_listen(io, "no.such.host.invalid", &again, &other), ERR_NOENT);
    again = 70000;
    CHECK_EQ(io_listen(io, "127.0.0.1", &again, &other), ERR_INVAL);
    again = 0;
    CHECK_EQ(io_listen(io, "", &again, &other), ERR_OK);
    CHECK(again > 0);
    int client = dial(again); /* any address includes the loopback of IPv4 */
    struct seen acc = seen_of(io, IO_OP_ACCEPT, other);
    io_submit(io, &acc.op);
    while (!acc.calls) io_tick(io, FOREVER);
    char host[46];
    uint16_t peer_port;
    io_peer((int)acc.res, host, &peer_port);
    CHECK_STR(host, "127.0.0.1"); /* not ::ffff:127.0.0.1 */
    close(client);
    close(fd);
    io_close(io);
}

static void wrong_descriptors_fail(enum io_backend b) {
    struct io *io = open_loop(b);
    int fd[2];
    pair(fd);
    close(fd[0]);
    close(fd[1]);
    static const enum io_kind kinds[] = {IO_OP_ACCEPT, IO_OP_RECV,  IO_OP_SEND, IO_OP_READ,
                                         IO_OP_WRITE,  IO_OP_FSYNC, IO_OP_CLOSE};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char buf[8] = "";
        struct seen s = seen_of(io, kinds[i], fd[0]);
        s.op.buf = buf;
        s.op.len = sizeof buf;
        io_submit(io, &s.op);
        CHECK_EQ(s.calls, 0);
        until_idle(&s);
        CHECK(s.res < 0);
        CHECK_EQ(s.calls, 1);
    }
    io_close(io);
}

/* --- waiting, waking, timers --- */

struct fired {
    struct io_timer t;
    int count;
    uint64_t at;
    struct io *io;
};
static void on_fired(struct io_timer *t) {
    struct fired *f = (struct fired *)t;
    f->count++;
    f->at = io_now(f->io);
}

/* With everything armed and nothing happening, the loop sleeps: a few ticks, however long it takes. */
static void timers_end_the_wait(enum io_backend b) {
    struct io *io = open_loop(b);
    struct fired f = {.t.on_fire = on_fired, .io = io};
    uint8_t *text = noise(8 << 20, 1);
    int port, fd[2], ticks = 0;
    pair(fd);
    struct seen acc = seen_of(io, IO_OP_ACCEPT, listener(io, &port));
    struct seen rx = receiver(io, fd[0], 8), tx = sender(io, fd[0], text, 8 << 20);
    io_submit(io, &acc.op);
    io_submit(io, &rx.op);
    io_submit(io, &tx.op);
    settle(io);
    uint64_t deadline = io_now(io) + 20 * MS;
    io_timer_set(io, &f.t, deadline);
    CHECK_EQ(io_tick(io, 0), 0);
    for (; !f.count; ticks++) io_tick(io, FOREVER);
    CHECK(f.at >= deadline);
    CHECK(ticks < 10);
    CHECK(io_timer_next(io) == FOREVER);
    uint64_t until = io_now(io) + 10 * MS;
    for (ticks = 0; io_now(io) < until; ticks++) CHECK_EQ(io_tick(io, until), 0);
    CHECK(ticks < 10);
    dial(port); /* and wakes up for what it waited for */
    while (!acc.calls) io_tick(io, FOREVER);
    io_close(io);
    free(rx.data);
    free(text);
}

static void clocks_go_forward(enum io_backend b) {
    struct io *io = open_loop(b);
    uint64_t mono = io_now(io);
    int64_t wall = io_wall(io);
    CHECK(wall > (int64_t)1700000000 * 1000000000);
    io_clock_refresh(io);
    CHECK(io_now(io) >= mono);
    CHECK(io_wall(io) >= wall);
    io_close(io);
}

struct waker {
    struct io *target;
    int times;
};
static void *wake_main(void *arg) {
    struct waker *w = arg;
    for (int i = 0; i < w->times; i++) {
        usleep(2000);
        io_wake(w->target, NULL);
    }
    return NULL;
}

static void woken_by_a_thread(enum io_backend b) {
    struct io *io = open_loop(b);
    struct waker w = {io, 3};
    pthread_t t;
    CHECK_EQ(pthread_create(&t, NULL, wake_main, &w), 0);
    CHECK_EQ(io_tick(io, FOREVER), 0); /* returns although nothing completes */
    CHECK_EQ(pthread_join(t, NULL), 0);
    settle(io);
    io_wake(io, NULL); /* before the wait */
    io_tick(io, FOREVER);
    io_wake(io, io); /* by itself */
    io_tick(io, FOREVER);
    io_close(io);
}

/* Two loops hand a turn back and forth, each waking the other from its own thread; a lost wake would hang the
 * test. */
struct player {
    enum io_backend backend;
    struct io *io;
    struct player *peer;
    pthread_barrier_t *open;
    int *turn, me, rounds;
};
static void *play(void *arg) {
    struct player *p = arg;
    p->io = open_loop(p->backend);
    pthread_barrier_wait(p->open);
    while (p->rounds > 0) {
        io_tick(p->io, FOREVER);
        if (__atomic_load_n(p->turn, __ATOMIC_ACQUIRE) != p->me) continue;
        p->rounds--;
        __atomic_store_n(p->turn, !p->me, __ATOMIC_RELEASE);
        io_wake(p->peer->io, p->io);
        io_wake(p->peer->io, p->io);
    }
    io_tick(p->io, 0); /* sends the last wake */
    pthread_barrier_wait(p->open);
    io_close(p->io);
    return NULL;
}
static void ping_pong(enum io_backend a, enum io_backend b) {
    int turn = 0;
    pthread_barrier_t open;
    pthread_t thread;
    CHECK_EQ(pthread_barrier_init(&open, NULL, 2), 0);
    struct player p[2] = {{a, NULL, &p[1], &open, &turn, 0, 500}, {b, NULL, &p[0], &open, &turn, 1, 500}};
    CHECK_EQ(pthread_create(&thread, NULL, play, &p[1]), 0);
    p[0].io = open_loop(a);
    pthread_barrier_wait(&open);
    io_wake(p[0].io, p[0].io); /* the first turn is this loop's */
    struct player *me = &p[0];
    while (me->rounds > 0) {
        io_tick(me->io, FOREVER);
        if (__atomic_load_n(me->turn, __ATOMIC_ACQUIRE) != me->me) continue;
        me->rounds--;
        __atomic_store_n(me->turn, !me->me, __ATOMIC_RELEASE);
        io_wake(me->peer->io, me->io);
        io_wake(me->peer->io, me->io);
    }
    io_tick(me->io, 0);
    pthread_barrier_wait(&open);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    io_close(me->io);
}
static void two_loops(enum io_backend b) { ping_pong(b, b); }
static void two_kinds_of_loop(enum io_backend b) { ping_pong(b, IO_POSIX); }

/* --- bounds --- */

/* A loop sized for eight takes a thousand: what does not fit waits inside. */
static void more_than_it_is_sized_for(enum io_backend b) {
    enum { PAIRS = 300 };
    static struct seen rx[PAIRS], tx[PAIRS];
    struct io *io;
    struct io_config cfg = {.backend = b, .ops_max = 8, .recv_buf_size = 4096, .recv_buf_count = 2};
    const char *why;
    CHECK_EQ(io_open(&io, &cfg, &why), ERR_OK);
    for (int i = 0; i < PAIRS; i++) {
        int fd[2];
        pair(fd);
        rx[i] = receiver(io, fd[1], 40000);
        tx[i] = sender(io, fd[0], noise(40000, (uint64_t)i), 40000);
        io_submit(io, &rx[i].op);
        io_submit(io, &tx[i].op);
    }
    for (int i = 0; i < PAIRS; i++) {
        until_total(&rx[i], 40000);
        until_idle(&tx[i]);
        CHECK_EQ(tx[i].res, 40000);
        CHECK_MEM(rx[i].data, 40000, tx[i].op.buf, 40000);
    }
    for (int i = 0; i < PAIRS; i++) io_stop(io, &rx[i].op);
    for (int i = 0; i < PAIRS; i++) until_idle(&rx[i]);
    for (int i = 0; i < PAIRS; i++) CHECK_EQ(rx[i].res, -ERR_CANCELLED);
    io_close(io);
}

/* Closing a loop in the middle of everything touches nothing afterwards (the sanitizer would see). */
static void close_in_flight(enum io_backend b) {
    struct io *io = open_loop(b);
    uint8_t *text = noise(8 << 20, 1);
    int fd[2], file = scratch_file(io, 0), port;
    pair(fd);
    struct seen rx = receiver(io, fd[0], 8), tx = sender(io, fd[0], text, 8 << 20);
    struct seen acc = seen_of(io, IO_OP_ACCEPT, listener(io, &port));
    struct seen w = file_op(io, IO_OP_WRITE, file, text, 1 << 20, 0), queued = w;
    io_submit(io, &rx.op);
    io_submit(io, &tx.op);
    io_submit(io, &acc.op);
    io_submit(io, &w.op);
    io_tick(io, 0);
    io_submit(io, &queued.op);
    io_stop(io, &tx.op);
    io_close(io);
    free(text);
    free(rx.data);
}

EACH(nothing_before_the_tick)
EACH(bytes_arrive_in_order)
EACH(end_of_stream)
EACH(vectors_are_sent_whole)
EACH(empty_send)
EACH(send_fails_when_the_peer_goes)
EACH(stop_an_idle_receive)
EACH(stop_a_blocked_send)
EACH(stop_loses_no_bytes)
EACH(a_firehose_starves_nobody)
EACH(accepts_until_stopped)
EACH(stopping_an_accept_leaks_nothing)
EACH(accept_recovers_from_no_files)
EACH(stop_an_accept_that_backs_off)
EACH(listening_says_what_is_wrong)
EACH(wrong_descriptors_fail)
EACH(timers_end_the_wait)
EACH(clocks_go_forward)
EACH(woken_by_a_thread)
EACH(two_loops)
EACH(two_kinds_of_loop)
EACH(more_than_it_is_sized_for)
EACH(close_in_flight)

CHECK_MAIN(BOTH(nothing_before_the_tick), BOTH(bytes_arrive_in_order), BOTH(end_of_stream),
           BOTH(vectors_are_sent_whole), BOTH(empty_send), BOTH(send_fails_when_the_peer_goes),
           BOTH(stop_an_idle_receive), BOTH(stop_a_blocked_send), BOTH(stop_loses_no_bytes),
           BOTH(a_firehose_starves_nobody), BOTH(accepts_until_stopped),
           BOTH(stopping_an_accept_leaks_nothing), BOTH(accept_recovers_from_no_files),
           BOTH(stop_an_accept_that_backs_off), BOTH(listening_says_what_is_wrong),
           BOTH(wrong_descriptors_fail), BOTH(timers_end_the_wait), BOTH(clocks_go_forward),
           BOTH(woken_by_a_thread), BOTH(two_loops), BOTH(two_kinds_of_loop), BOTH(more_than_it_is_sized_for),
           BOTH(close_in_flight))
