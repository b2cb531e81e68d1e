/* The outbox: order and bytes through a real socket, bounds, memory given back, what happens to a send in
 * flight; and the buffers received bytes wait in. */
#include "conn/outbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "base/rng.h"
#include "conn/carry.h"
#include "lib/check.h"

struct pair {
    struct io *io;
    struct outbox_pools pools;
    struct outbox ob;
    int peer;
    enum err last;
    unsigned sent;
    bool go_on; /* flush again when a send is done */
};

static void on_sent(struct outbox *ob, enum err e) {
    struct pair *p = container_of(ob, struct pair, ob);
    p->last = e;
    p->sent++;
    if (p->go_on && !e) outbox_flush(ob);
}

static void open_pair(struct pair *p, size_t pending_max, uint64_t bytes_max) {
    const char *why;
    struct io_config cfg = {.backend = IO_POSIX};
    int fds[2];
    *p = (struct pair){.go_on = true};
    CHECK_EQ(io_open(&p->io, &cfg, &why), ERR_OK);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    p->peer = fds[1];
    outbox_pools_init(&p->pools, bytes_max);
    outbox_init(&p->ob, p->io, &p->pools, pending_max, fds[0], on_sent);
}

static void tick(struct pair *p) {
    io_tick(p->io, 0);
    io_clock_refresh(p->io);
}

static void close_pair(struct pair *p) {
    if (p->ob.send.busy) io_stop(p->io, &p->ob.send);
    while (p->ob.send.busy) tick(p);
    outbox_deinit(&p->ob);
    CHECK_EQ(slab_used(&p->pools.small) + slab_used(&p->pools.large), 0);
    outbox_pools_deinit(&p->pools);
    close(p->ob.send.fd);
    if (p->peer >= 0) close(p->peer);
    io_close(p->io);
}

/* Byte number i of everything that is ever put. */
static uint8_t byte_at(uint64_t i) { return (uint8_t)(mix64(i / 8) >> (i % 8 * 8)); }

static void make(uint8_t *p, uint64_t from, size_t n) {
    for (size_t i = 0; i < n; i++) p[i] = byte_at(from + i);
}

/* Takes what is there, checks it, returns how much. */
static size_t take(struct pair *p, uint64_t from) {
    static uint8_t got[1 << 16];
    size_t n = 0;
    ssize_t k;
    while ((k = recv(p->peer, got, sizeof got, 0)) > 0) {
        for (ssize_t i = 0; i < k; i++) CHECK_EQ(got[i], byte_at(from + n + (size_t)i));
        n += (size_t)k;
    }
    return n;
}

static void random_puts(void) {
    struct pair p;
    struct rng r = {42};
    static uint8_t data[200000];
    uint64_t put = 0, taken = 0;
    open_pair(&p, 1 << 20, 8 << 20);
    for (int i = 0; i < 4000; i++) {
        size_t n = (size_t)rng_below(&r, rng_below(&r, 20) ? 400 : sizeof data);
        make(data, put, n);
        enum err e = ERR_OK;
        uint8_t *room;
        switch (rng_below(&r, 3)) {
        case 0: e = outbox_put(&p.ob, data, n); break;
        case 1: {
            size_t a = n / 3, b = n / 2;
            struct iovec v[] = {{data, a}, {data + a, b - a}, {data + b, 0}, {data + b, n - b}};
            e = outbox_putv(&p.ob, v, 4);
            break;
        }
        default:
            if (n > OUTBOX_CHUNK / 2 - OUTBOX_HEAD) n = OUTBOX_CHUNK / 2 - OUTBOX_HEAD;
            e = outbox_reserve(&p.ob, n * 2, &room); /* more than is used */
            if (e) break;
            memcpy(room, data, n);
            outbox_commit(&p.ob, n);
        }
        if (!e) put += n;
        CHECK(!e || e == ERR_LIMIT);
        CHECK(p.ob.pending <= p.ob.pending_max);
        if (rng_below(&r, 4) == 0) outbox_flush(&p.ob);
        tick(&p);
        if (rng_below(&r, 3) == 0 || e) taken += take(&p, taken);
    }
    outbox_flush(&p.ob);
    while (!outbox_idle(&p.ob)) {
        tick(&p);
        taken += take(&p, taken);
    }
    taken += take(&p, taken);
    CHECK_EQ(taken, put);
    CHECK(put > 1 << 20);
    CHECK_EQ(slab_used(&p.pools.small) + slab_used(&p.pools.large), 0); /* an empty outbox holds nothing */
    CHECK_EQ(p.last, ERR_OK);
    close_pair(&p);
}

static void all_or_nothing(void) {
    struct pair p;
    static uint8_t data[70000];
    uint8_t *room;
    open_pair(&p, 100000, 8 << 20);
    make(data, 0, sizeof data);
    CHECK_EQ(outbox_put(&p.ob, data, 60000), ERR_OK);
    CHECK_EQ(outbox_put(&p.ob, data, 40001), ERR_LIMIT);
    CHECK_EQ(outbox_reserve(&p.ob, OUTBOX_CHUNK - OUTBOX_HEAD, &room), ERR_OK);
    struct iovec v[] = {{data, 40000}, {data, 1}};
    CHECK_EQ(outbox_putv(&p.ob, v, 2), ERR_LIMIT);
    CHECK_EQ(p.ob.pending, 60000);
    CHECK_EQ(outbox_put(&p.ob, data + 60000, 10000), ERR_OK);
    outbox_flush(&p.ob);
    size_t taken = 0;
    while (taken < 70000) {
        tick(&p);
        taken += take(&p, taken);
    }
    close_pair(&p);
}

static void the_first_chunk_is_small(void) {
    struct pair p;
    open_pair(&p, 1 << 20, 8 << 20);
    CHECK_EQ(outbox_put(&p.ob, "x", 1), ERR_OK);
    CHECK_EQ(slab_used(&p.pools.small), 1);
    CHECK_EQ(slab_used(&p.pools.large), 0);
    static uint8_t data[5000];
    CHECK_EQ(outbox_put(&p.ob, data, sizeof data), ERR_OK);
    CHECK_EQ(slab_used(&p.pools.small), 1);
    CHECK_EQ(slab_used(&p.pools.large), 1);
    close_pair(&p);
}

static void memory_runs_out(void) {
    struct pair p;
    static uint8_t data[4 << 20];
    open_pair(&p, 64 << 20, 16 * OUTBOX_CHUNK);
    make(data, 0, sizeof data);
    CHECK_EQ(outbox_put(&p.ob, data, sizeof data), ERR_NOMEM);
    CHECK_EQ(p.ob.pending, 0);
    CHECK_EQ(slab_used(&p.pools.large), 0); /* what it had taken is back */
    CHECK_EQ(outbox_put(&p.ob, data, 100000), ERR_OK);
    CHECK_EQ(outbox_put(&p.ob, data, sizeof data), ERR_NOMEM);
    outbox_flush(&p.ob);
    size_t taken = 0;
    while (taken < 100000) {
        tick(&p);
        taken += take(&p, taken);
    }
    close_pair(&p);
}

/* Fills the socket so that a send stays in flight. */
static void block(struct pair *p) {
    static uint8_t data[1 << 20];
    make(data, 0, sizeof data);
    CHECK_EQ(outbox_put(&p->ob, data, sizeof data), ERR_OK);
    outbox_flush(&p->ob);
    for (int i = 0; i < 10; i++) tick(p);
    CHECK(p->ob.send.busy);
    CHECK(p->ob.since_ns != 0);
}

static void dropped_while_sending(void) {
    struct pair p;
    open_pair(&p, 64 << 20, 64 << 20);
    p.go_on = false;
    block(&p);
    size_t held = slab_used(&p.pools.large);
    CHECK(p.ob.sending < p.ob.pending);
    outbox_drop(&p.ob);
    CHECK(slab_used(&p.pools.large) < held);
    CHECK(slab_used(&p.pools.large) * OUTBOX_CHUNK + OUTBOX_CHUNK_SMALL >= p.ob.sending);
    CHECK(p.ob.send.busy);
    CHECK(!outbox_idle(&p.ob));
    io_stop(p.io, &p.ob.send);
    while (p.ob.send.busy) tick(&p);
    CHECK_EQ(p.last, ERR_CANCELLED);
    CHECK_EQ(p.sent, 1);
    close_pair(&p);
}

static void the_peer_goes(void) {
    struct pair p;
    open_pair(&p, 64 << 20, 64 << 20);
    block(&p);
    close(p.peer);
    p.peer = -1;
    while (p.ob.send.busy) tick(&p);
    CHECK_EQ(p.last, ERR_CLOSED);
    CHECK(p.ob.pending > 0);
    close_pair(&p);
}

/* --- carried bytes --- */

static void carry_in_order(void) {
    struct ingest in;
    struct carry c = {0};
    struct rng r = {7};
    uint8_t data[3000];
    uint64_t put = 0, got = 0;
    ingest_init(&in, 1 << 20);
    for (int i = 0; i < 20000; i++) {
        size_t n = (size_t)rng_below(&r, sizeof data);
        if (c.n + n < 60000) {
            make(data, put, n);
            CHECK_EQ(carry_room(&in, &c, c.n + n, false), ERR_OK);
            carry_append(&c, data, n);
            put += n;
        }
        size_t used = (size_t)rng_below(&r, c.n + 1);
        for (size_t k = 0; k < used; k++) CHECK_EQ(carry_bytes(&c)[k], byte_at(got + k));
        carry_consume(&in, &c, used);
        got += used;
        CHECK_EQ(in.used, c.cap);
    }
    carry_drop(&in, &c);
    CHECK_EQ(in.used, 0);
    CHECK(in.kept > 0 && in.kept <= in.max / 4);
    ingest_deinit(&in);
}

static void carry_budget(void) {
    struct ingest in;
    struct carry a = {0}, b = {0}, c = {0};
    ingest_init(&in, 100000);
    CHECK_EQ(carry_room(&in, &a, 60000, false), ERR_OK);
    CHECK_EQ(in.used, 65536);
    CHECK_EQ(carry_room(&in, &b, 40000, false), ERR_LIMIT);
    CHECK_EQ(in.used, 65536);
    CHECK_EQ(carry_room(&in, &b, 40000, true), ERR_OK); /* what is there already must be kept */
    CHECK_EQ(in.used, 131072);
    in.freed = false;
    carry_drop(&in, &a);
    CHECK(in.freed);
    CHECK_EQ(carry_room(&in, &c, 30000, false), ERR_OK);
    CHECK_EQ(carry_room(&in, &c, (size_t)1 << 40, false), ERR_NOMEM);
    carry_drop(&in, &b);
    carry_drop(&in, &c);
    ingest_deinit(&in);
}

/* What a slow reader made the pools take goes back once it is gone and a while has passed, a little at a
 * time. */
static void memory_goes_back(void) {
    struct pair p;
    open_pair(&p, 64 << 20, 64 << 20);
    CHECK(!outbox_pools_spare(&p.pools));
    size_t n = 32 << 20;
    uint8_t *bytes = calloc(1, n);
    CHECK_EQ(outbox_put(&p.ob, bytes, n), ERR_OK);
    size_t most = slab_bytes(&p.pools.large);
    CHECK(most >= n);
    CHECK(!outbox_pools_spare(&p.pools));
    CHECK(!outbox_pools_trim(&p.pools)); /* all in use */
    CHECK_EQ(slab_bytes(&p.pools.large), most);
    outbox_drop(&p.ob);
    CHECK(outbox_pools_spare(&p.pools));
    CHECK(!outbox_pools_trim(&p.pools)); /* needed a moment ago */
    CHECK_EQ(slab_bytes(&p.pools.large), most);
    int calls = 1;
    size_t before = most;
    for (; outbox_pools_trim(&p.pools); calls++) {
        CHECK(before - slab_bytes(&p.pools.large) <= 1 << 20);
        before = slab_bytes(&p.pools.large);
    }
    CHECK(calls > 16);
    CHECK(slab_bytes(&p.pools.large) <= 1 << 20);
    CHECK(!outbox_pools_spare(&p.pools));
    CHECK_EQ(outbox_put(&p.ob, bytes, n), ERR_OK); /* and can be had again */
    outbox_drop(&p.ob);
    free(bytes);
    close_pair(&p);
}

CHECK_MAIN(CASE(memory_goes_back), CASE(random_puts), CASE(all_or_nothing), CASE(the_first_chunk_is_small),
           CASE(memory_runs_out), CASE(dropped_while_sending), CASE(the_peer_goes), CASE(carry_in_order),
           CASE(carry_budget))
