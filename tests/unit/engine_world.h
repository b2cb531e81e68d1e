/* engine_world.h - a host for the engine's tests: one environment, its shards on one loop, and what the
 * callbacks said. */
#pragma once
#include "engine_fixture.h"
#include "io/io.h"

enum { WORLD_SHARDS = 4, WORLD_EVENTS = 4096 };

struct seen_done {
    enum mr_done_kind kind;
    enum mr_status status;
    struct mr_stream *stream;
    uint64_t seq, tag;
    char note[64];
};

static struct world {
    char dir[256];
    enum io_backend backend;
    struct mr_env_config cfg;
    struct io *io;
    struct mr_env *env;
    struct mr_shard *sh, *shards[WORLD_SHARDS];
    struct seen_done done[WORLD_EVENTS];
    size_t done_count;
    struct mr_consumer *ready[WORLD_EVENTS];
    size_t ready_count;
    uint64_t exceeded_seq, exceeded_count, exceeded_deliveries;
    bool in_call; /* inside a call into the engine: callbacks must not happen */
    void (*on_done_more)(const struct mr_done *d);
    void (*on_ready_more)(struct mr_consumer *c);
    void (*log)(void *ctx, enum mr_log_level level, const char *text); /* instead of note_log */
} w;

static void world_on_done(void *ctx, const struct mr_done *done, size_t count) {
    CHECK(ctx == &w);
    CHECK(!w.in_call);
    for (size_t i = 0; i < count; i++) {
        CHECK(w.done_count < WORLD_EVENTS);
        struct seen_done *s = &w.done[w.done_count++];
        *s = (struct seen_done){done[i].kind, done[i].status, done[i].stream, done[i].seq, done[i].tag, ""};
        size_t n = done[i].note.n < sizeof s->note - 1 ? done[i].note.n : sizeof s->note - 1;
        if (n) memcpy(s->note, done[i].note.p, n);
        if (w.on_done_more) w.on_done_more(&done[i]);
    }
}
static void world_on_ready(void *ctx, struct mr_consumer *c) {
    CHECK(ctx == &w);
    CHECK(!w.in_call);
    CHECK(w.ready_count < WORLD_EVENTS);
    w.ready[w.ready_count++] = c;
    if (w.on_ready_more) w.on_ready_more(c);
}
static void world_on_max_deliver(void *ctx, struct mr_consumer *c, uint64_t seq, uint64_t deliveries) {
    CHECK(ctx == &w);
    CHECK(!w.in_call);
    CHECK(c != NULL);
    w.exceeded_seq = seq;
    w.exceeded_deliveries = deliveries;
    w.exceeded_count++;
}

__attribute__((unused)) static void world_open(uint32_t shards) {
    w.cfg.size = sizeof w.cfg;
    w.cfg.path = w.dir[0] ? w.dir : NULL;
    w.cfg.shards = shards;
    w.cfg.log = w.log ? w.log : note_log;
    w.done_count = w.ready_count = 0;
    const char *why = NULL;
    CHECK_EQ(io_open(&w.io, &(struct io_config){.backend = w.backend}, &why), ERR_OK);
    CHECK_EQ(mr_env_open(&w.cfg, &w.env), MR_OK);
    struct mr_host host = {&w, world_on_done, world_on_ready, world_on_max_deliver};
    for (uint32_t i = 0; i < shards; i++) CHECK_EQ(mr_shard_open(w.env, i, w.io, &host, &w.shards[i]), MR_OK);
    w.sh = w.shards[0];
}

__attribute__((unused)) static void world_close(void) {
    for (uint32_t i = 0; i < w.cfg.shards; i++) mr_shard_close(w.shards[i]);
    mr_env_close(w.env);
    io_close(w.io);
}

__attribute__((unused)) static void world_reopen(uint32_t shards) {
    world_close();
    world_open(shards);
}

/* A new folder, opened with the back end that IO names (posix when unset). */
__attribute__((unused)) static void world_new(uint32_t shards) {
    const char *io = getenv("MR_TEST_IO");
    w.backend = io && strcmp(io, "uring") == 0 ? IO_URING : IO_POSIX;
    temp_dir(w.dir);
    world_open(shards);
}

__attribute__((unused)) static void turn(void) {
    uint64_t at = io_now(w.io) + 20 * 1000 * 1000;
    for (uint32_t i = 0; i < w.cfg.shards; i++) mr_shard_tick(w.shards[i]);
    for (uint32_t i = 0; i < w.cfg.shards; i++)
        if (mr_shard_deadline(w.shards[i]) < at) at = mr_shard_deadline(w.shards[i]);
    io_tick(w.io, at);
}

/* Turns until `count` operations are done. Gives up after a time no healthy machine needs. */
__attribute__((unused)) static void until_done(size_t count) {
    for (int i = 0; w.done_count < count; i++) {
        CHECK(i < 20000);
        turn();
    }
}
__attribute__((unused)) static void until_ready(size_t count) {
    for (int i = 0; w.ready_count < count; i++) {
        CHECK(i < 20000);
        turn();
    }
}
__attribute__((unused)) static void settle(void) {
    size_t n = w.done_count;
    for (uint32_t i = 0; i < w.cfg.shards; i++)
        CHECK_EQ(mr_barrier(w.shards[i], NULL, 0, (struct mr_bytes){0}), MR_OK);
    until_done(n + w.cfg.shards);
}

__attribute__((unused)) static struct mr_bytes str(const char *s) {
    return (struct mr_bytes){(const uint8_t *)s, strlen(s)};
}

__attribute__((unused)) static struct mr_stream_config stream_config(const char *name) {
    static struct mr_bytes subjects[1];
    subjects[0] = str(">");
    return (struct mr_stream_config){.size = sizeof(struct mr_stream_config),
                                     .name = str(name),
                                     .subjects = subjects,
                                     .subjects_count = 1,
                                     .max_msgs = -1,
                                     .max_bytes = -1,
                                     .max_msg_size = -1,
                                     .max_msgs_per_subject = -1,
                                     .max_consumers = -1,
                                     .duplicate_window_ns = INT64_C(120) * 1000 * 1000 * 1000};
}
__attribute__((unused)) static struct mr_stream *stream_new(const char *name) {
    struct mr_stream_config cfg = stream_config(name);
    struct mr_stream *s;
    CHECK_EQ(mr_stream_create(w.sh, &cfg, io_wall(w.io), &s), MR_OK);
    return s;
}
__attribute__((unused)) static struct mr_stream *stream_old(const char *name) {
    struct mr_stream *s = mr_stream_find(w.sh, str(name));
    CHECK(s != NULL);
    return s;
}
__attribute__((unused)) static struct mr_consumer_config consumer_config(const char *name) {
    return (struct mr_consumer_config){.size = sizeof(struct mr_consumer_config),
                                       .name = str(name),
                                       .durable = true,
                                       .ack = MR_ACK_EXPLICIT,
                                       .ack_wait_ns = INT64_C(30) * 1000 * 1000 * 1000,
                                       .max_deliver = -1,
                                       .max_ack_pending = 1000};
}
__attribute__((unused)) static struct mr_consumer *consumer_new(struct mr_stream *s, const char *name) {
    struct mr_consumer_config cfg = consumer_config(name);
    struct mr_consumer *c;
    CHECK_EQ(mr_consumer_create(s, &cfg, io_wall(w.io), &c), MR_OK);
    return c;
}

__attribute__((unused)) static struct mr_msg message(const char *subject, const char *payload) {
    return (struct mr_msg){.subject = str(subject), .payload = str(payload)};
}
/* Appends and wants to be told. */
__attribute__((unused)) static uint64_t append(struct mr_stream *s, const char *subject, const char *payload,
                                               uint64_t tag) {
    struct mr_msg m = message(subject, payload);
    struct mr_append_opts o = {.want_done = true, .tag = tag, .note = str(subject)};
    struct mr_append_result r;
    w.in_call = true;
    CHECK_EQ(mr_append(s, &m, &o, &r), MR_OK);
    w.in_call = false;
    return r.seq;
}
/* As above, and waits until it is acknowledged. */
__attribute__((unused)) static uint64_t store(struct mr_stream *s, const char *subject, const char *payload) {
    size_t n = w.done_count;
    uint64_t seq = append(s, subject, payload, 0);
    until_done(n + 1);
    CHECK_EQ(w.done[n].status, MR_OK);
    CHECK_EQ(w.done[n].seq, seq);
    return seq;
}

static int wait_fired;
static void wait_ready(struct mr_wait *wt) {
    (void)wt;
    wait_fired++;
}
__attribute__((unused)) static enum mr_status get(struct mr_stream *s, uint64_t seq, struct mr_msg_view *v) {
    struct mr_wait wt = {.on_ready = wait_ready};
    enum mr_status st;
    for (int i = 0; (st = mr_get(s, seq, false, &wt, v)) == MR_LATER; i++) {
        int fired = wait_fired;
        while (wait_fired == fired) {
            CHECK(i++ < 20000);
            turn();
        }
    }
    return st;
}
__attribute__((unused)) static void check_msg(struct mr_stream *s, uint64_t seq, const char *subject,
                                              const char *payload) {
    struct mr_msg_view v;
    CHECK_EQ(get(s, seq, &v), MR_OK);
    CHECK_EQ(v.seq, seq);
    CHECK_MEM(v.msg.subject.p, v.msg.subject.n, subject, strlen(subject));
    CHECK_MEM(v.msg.payload.p, v.msg.payload.n, payload, strlen(payload));
}

/* The next delivery; turns while the message is being read. */
__attribute__((unused)) static enum mr_status next(struct mr_consumer *c, struct mr_delivery *d) {
    enum mr_status st;
    for (int i = 0; (st = mr_consumer_next(c, io_wall(w.io), 0, 0, d)) == MR_LATER; i++) {
        CHECK(i < 20000);
        turn();
    }
    return st;
}
__attribute__((unused)) static struct mr_delivery expect(struct mr_consumer *c, uint64_t seq,
                                                         uint64_t deliveries) {
    struct mr_delivery d;
    CHECK_EQ(next(c, &d), MR_OK);
    CHECK_EQ(d.view.seq, seq);
    CHECK_EQ(d.deliveries, deliveries);
    return d;
}
__attribute__((unused)) static void ack(struct mr_consumer *c, const struct mr_delivery *d, bool want_done) {
    struct mr_ack a = {MR_ACK, d->view.seq, d->consumer_seq, 0, want_done, 77, str("ack")};
    w.in_call = true;
    CHECK_EQ(mr_consumer_ack(c, &a, io_wall(w.io)), MR_OK);
    w.in_call = false;
}
