/* test_engine_wait.c - what takes its time: reads from disk, waits that are given up, several logs under one
 * barrier, acknowledgement at an interval, shards on threads of their own. */
#include <pthread.h>

#include "engine_world.h"

static char big[8192];

/* A stream whose messages are on disk only: written, then opened again with a cache that holds few of them.
 */
static struct mr_stream *cold_stream(int messages) {
    w.cfg.cache_bytes = 1 << 20;
    world_new(1);
    struct mr_stream *s = stream_new("S");
    memset(big, 'b', sizeof big - 1);
    for (int i = 0; i < messages; i++) {
        append(s, "a", big, 0);
        if (i % 100 == 99) settle();
    }
    settle();
    world_reopen(1);
    return stream_old("S");
}

/* --- reads --- */

static void cold_reads_say_later_and_then_come(void) {
    struct mr_stream *s = cold_stream(400);
    struct mr_wait wt = {.on_ready = wait_ready};
    struct mr_msg_view v;
    CHECK_EQ(mr_get(s, 10, true, &wt, &v), MR_LATER);
    CHECK_EQ(wait_fired, 0);
    for (int i = 0; wait_fired == 0; i++) {
        CHECK(i < 20000);
        turn();
    }
    CHECK_EQ(wait_fired, 1);
    CHECK_EQ(mr_get(s, 10, true, &wt, &v), MR_OK);
    CHECK_EQ(v.seq, 10);
    for (uint64_t seq = 400; seq > 0; seq -= 7) {
        CHECK_EQ(get(s, seq, &v), MR_OK);
        CHECK_EQ(v.seq, seq);
        CHECK_EQ(v.msg.payload.n, sizeof big - 1);
        if (seq < 7) break;
    }
    world_close();
}

static void a_cancelled_wait_does_not_fire(void) {
    struct mr_stream *s = cold_stream(50);
    struct mr_wait wt = {.on_ready = wait_ready};
    struct mr_msg_view v;
    CHECK_EQ(mr_get(s, 10, true, &wt, &v), MR_LATER);
    mr_wait_cancel(&wt);
    mr_wait_cancel(&wt); /* no-op */
    for (int i = 0; i < 20; i++) turn();
    CHECK_EQ(wait_fired, 0);
    world_close();
}

static void more_waits_than_the_cache_has_room(void) {
    struct mr_stream *s = cold_stream(800);
    enum { WAITS = 64 };
    static struct mr_wait waits[WAITS];
    struct mr_msg_view v;
    int later = 0;
    for (int i = 0; i < WAITS; i++) {
        waits[i].on_ready = wait_ready;
        later += mr_get(s, 1 + (uint64_t)i * 12, true, &waits[i], &v) == MR_LATER;
    }
    CHECK(later > 16); /* 8 blocks of 128 KiB */
    for (int i = 0; wait_fired < later; i++) {
        CHECK(i < 20000);
        turn();
    }
    CHECK_EQ(wait_fired, later);
    world_close();
}

static void outstanding_at_close_and_delete(void) {
    struct mr_stream *s = cold_stream(400);
    static struct mr_wait waits[2];
    struct mr_msg_view v;
    struct mr_consumer *c = consumer_new(s, "C");
    struct mr_delivery d;
    waits[0].on_ready = waits[1].on_ready = wait_ready;
    CHECK_EQ(mr_get(s, 10, true, &waits[0], &v), MR_LATER);
    CHECK_EQ(mr_consumer_next(c, io_wall(w.io), 0, 0, &d), MR_LATER);
    CHECK_EQ(mr_stream_delete(s), MR_OK); /* with its consumer, in the middle of a read */
    for (int i = 0; i < 20; i++) turn();
    CHECK_EQ(wait_fired, 1);
    CHECK_EQ(w.ready_count, 0);
    s = stream_new("S");
    for (int i = 0; i < 400; i++) append(s, "a", big, 0);
    settle();
    world_reopen(1);
    CHECK_EQ(mr_get(stream_old("S"), 10, true, &waits[1], &v), MR_LATER);
    world_close();
    mr_wait_cancel(&waits[1]);
}

static void consumers_read_from_disk(void) {
    struct mr_stream *s = cold_stream(300);
    struct mr_consumer *c = consumer_new(s, "C");
    for (uint64_t seq = 1; seq <= 300; seq++) {
        struct mr_delivery d;
        enum mr_status st;
        size_t ready = w.ready_count;
        while ((st = mr_consumer_next(c, io_wall(w.io), 0, 0, &d)) == MR_LATER) {
            until_ready(ready + 1);
            ready = w.ready_count;
        }
        CHECK_EQ(st, MR_OK);
        CHECK_EQ(d.view.seq, seq);
        CHECK_EQ(d.pending, 300 - seq);
        ack(c, &d, false);
    }
    struct mr_consumer_state st;
    mr_consumer_state(c, &st);
    CHECK_EQ(st.floor_stream_seq, 300);
    world_reopen(1); /* plain acks are written at an orderly end */
    mr_consumer_state(mr_consumer_find(stream_old("S"), str("C")), &st);
    CHECK_EQ(st.floor_stream_seq, 300);
    world_close();
}

/* An ack makes room, the room is used at once and gone again, and another ack makes room: one call, in the
 * end. */
static void woken_again_before_it_was_called(void) {
    world_new(1);
    struct mr_stream *s = stream_new("S");
    struct mr_consumer_config cfg = consumer_config("C");
    cfg.max_ack_pending = 1;
    struct mr_consumer *c;
    CHECK_EQ(mr_consumer_create(s, &cfg, io_wall(w.io), &c), MR_OK);
    for (int i = 0; i < 3; i++) store(s, "a", "x");
    struct mr_delivery d, none;
    for (uint64_t seq = 1; seq <= 2; seq++) {
        d = expect(c, seq, 1);
        CHECK_EQ(next(c, &none), MR_BUSY);
        ack(c, &d, false);
    }
    CHECK_EQ(w.ready_count, 0);
    until_ready(1);
    (void)expect(c, 3, 1);
    for (int i = 0; i < 5; i++) turn();
    CHECK_EQ(w.ready_count, 1);
    world_close();
}

/* --- several logs --- */

static void one_barrier_for_several_logs(void) {
    world_new(3);
    for (uint32_t i = 0; i < 3; i++) {
        char name[8];
        snprintf(name, sizeof name, "S%u", i);
        w.sh = w.shards[i];
        stream_new(name);
    }
    world_reopen(1);
    struct mr_stream_config cfg = stream_config("M");
    cfg.storage = MR_MEMORY;
    struct mr_stream *m;
    CHECK_EQ(mr_stream_create(w.sh, &cfg, io_wall(w.io), &m), MR_OK);
    struct mr_shard_stats st;
    mr_shard_stats(w.sh, &st);
    CHECK_EQ(st.logs, 3);
    for (int round = 0; round < 3; round++) {
        size_t n = w.done_count;
        append(stream_old("S0"), "a", "x", 1);
        append(stream_old("S2"), "a", "x", 1);
        if (round == 1) append(m, "a", "x", 1);
        CHECK_EQ(mr_barrier(w.sh, NULL, 9, str("all")), MR_OK);
        size_t want = n + (round == 1 ? 4 : 3);
        until_done(want);
        CHECK_EQ(w.done[want - 1].kind, MR_DONE_BARRIER); /* the last of all */
        CHECK_EQ(w.done[want - 1].tag, 9);
        for (int i = 0; i < 5; i++) turn();
        CHECK_EQ(w.done_count, want); /* and once */
    }
    world_close();
}

/* --- interval --- */

static void acknowledged_when_written(void) {
    w.cfg.sync = MR_SYNC_INTERVAL;
    w.cfg.sync_interval_ns = INT64_C(30) * 1000000000;
    world_new(1);
    struct mr_stream *s = stream_new("S");
    struct mr_consumer *c = consumer_new(s, "C");
    for (int i = 0; i < 20; i++) store(s, "a", "x"); /* none of them waits 30 seconds */
    struct mr_shard_stats st;
    mr_shard_stats(w.sh, &st);
    uint64_t writes = st.durable_writes;
    struct mr_delivery d = expect(c, 1, 1);
    size_t n = w.done_count;
    ack(c, &d, true);
    until_done(n + 1);
    mr_shard_stats(w.sh, &st);
    CHECK(st.durable_writes > writes); /* a confirmed ack is on disk */
    world_reopen(1);
    struct mr_consumer_state cs;
    mr_consumer_state(mr_consumer_find(stream_old("S"), str("C")), &cs);
    CHECK_EQ(cs.floor_stream_seq, 1);
    check_msg(stream_old("S"), 20, "a", "x");
    world_close();
}

/* --- threads --- */

struct worker {
    struct mr_env *env;
    uint32_t index;
    size_t done;
    bool ok;
};

static void worker_done(void *ctx, const struct mr_done *done, size_t count) {
    struct worker *k = ctx;
    for (size_t i = 0; i < count; i++) k->ok &= done[i].status == MR_OK;
    k->done += count;
}

static void *work(void *arg) {
    struct worker *k = arg;
    struct mr_host host = {.ctx = k, .on_done = worker_done};
    struct mr_shard *sh;
    k->ok = mr_shard_open(k->env, k->index, NULL, &host, &sh) == MR_OK;
    if (!k->ok) return NULL;
    struct mr_bytes subject = {(const uint8_t *)">", 1};
    char name[8];
    snprintf(name, sizeof name, "T%u", k->index);
    struct mr_stream_config cfg = {.size = sizeof cfg,
                                   .name = str(name),
                                   .subjects = &subject,
                                   .subjects_count = 1,
                                   .max_msgs = -1,
                                   .max_bytes = -1,
                                   .max_msg_size = -1,
                                   .max_msgs_per_subject = -1,
                                   .max_consumers = -1};
    struct mr_stream *s;
    k->ok = mr_stream_create(sh, &cfg, 1, &s) == MR_OK;
    for (size_t i = 0; k->ok && i < 200; i++) {
        struct mr_msg m = message("a", "x");
        struct mr_append_opts o = {.want_done = true};
        k->ok = mr_append(s, &m, &o, NULL) == MR_OK;
        while (k->ok && k->done + 20 < i) mr_shard_run(sh, 10 * 1000 * 1000);
    }
    mr_shard_close(sh);
    k->ok &= k->done == 200;
    return NULL;
}

static void shards_on_threads(void) {
    temp_dir(w.dir);
    w.cfg = (struct mr_env_config){.size = sizeof w.cfg, .path = w.dir, .shards = 3};
    CHECK_EQ(mr_env_open(&w.cfg, &w.env), MR_OK);
    struct worker workers[3] = {0};
    pthread_t threads[3];
    for (uint32_t i = 0; i < 3; i++) {
        workers[i] = (struct worker){.env = w.env, .index = i};
        CHECK_EQ(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < 3; i++) CHECK(workers[i].ok);
    mr_env_close(w.env);
    world_open(1);
    char name[8];
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "T%d", i);
        struct mr_stream_state st;
        mr_stream_state(stream_old(name), &st);
        CHECK_EQ(st.msgs, 200);
    }
    world_close();
}

CHECK_MAIN(CASE(cold_reads_say_later_and_then_come), CASE(a_cancelled_wait_does_not_fire),
           CASE(more_waits_than_the_cache_has_room), CASE(outstanding_at_close_and_delete),
           CASE(consumers_read_from_disk), CASE(woken_again_before_it_was_called),
           CASE(one_barrier_for_several_logs), CASE(acknowledged_when_written), CASE(shards_on_threads))
