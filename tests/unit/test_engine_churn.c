/* test_engine_churn.c - messages come and go for a long time, over the simulated disk: the log takes at most
 * twice what it holds, two segments and its pool; what is read meanwhile is right; and all of it is there
 * after an orderly stop, a kill and a power cut, wherever that comes. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/rng.h"
#include "engine.h"
#include "lib/check.h"
#include "sim/sim_io.h"

enum { POOL = 5 /* two ready, one being prepared, two free */, MSGS = 40000 };

static struct sim_disk *disk;
static struct io *io;
static struct mr_env *env;
static struct mr_shard *sh;
static struct rng rng;
static uint64_t seed, done_seq, segment;
static uint8_t body[200000];
static struct mr_stream *s;
static bool there[MSGS]; /* by sequence */
static uint64_t last;

static void on_done(void *ctx, const struct mr_done *done, size_t count) {
    (void)ctx;
    for (size_t i = 0; i < count; i++) {
        CHECK_EQ(done[i].status, MR_OK);
        if (done[i].seq > done_seq) done_seq = done[i].seq;
    }
}

static void on_log(void *ctx, enum mr_log_level level, const char *text) {
    (void)ctx;
    if (getenv("VERBOSE")) fprintf(stderr, "  [%d] %s\n", (int)level, text);
}

static void open_it(void) {
    CHECK_EQ(sim_io_open(&io, disk, seed++), ERR_OK);
    struct mr_env_config cfg = {.size = sizeof cfg,
                                .path = "d",
                                .shards = 1,
                                .segment_bytes = 1 << 20,
                                .cache_bytes = 1 << 20,
                                .log = on_log};
    struct mr_host host = {.on_done = on_done};
    CHECK_EQ(env_open(&cfg, io, &env), MR_OK);
    CHECK_EQ(mr_shard_open(env, 0, io, &host, &sh), MR_OK);
}

static void close_it(void) {
    mr_shard_close(sh);
    mr_env_close(env);
    io_close(io);
}

static void stats(struct mr_shard_stats *st) { mr_shard_stats(sh, st); }

static void begin(void) {
    rng.state = seed = 11;
    disk = sim_disk_new();
    CHECK_EQ(sim_node_create(disk, NULL, "d", true, NULL), ERR_OK);
    sim_node_sync(disk, sim_disk_root(disk), UINT64_MAX);
    memset(there, 0, sizeof there);
    last = done_seq = 0;
    open_it();
    struct mr_shard_stats st;
    stats(&st);
    segment = st.disk_bytes;
}

static void end(void) {
    close_it();
    sim_disk_free(disk);
}

static struct mr_stream *stream(const char *name, int64_t per_subject, int64_t max_age_ns) {
    static const struct mr_bytes all[] = {{(const uint8_t *)">", 1}};
    struct mr_stream_config cfg = {.size = sizeof cfg,
                                   .name = {(const uint8_t *)name, strlen(name)},
                                   .subjects = all,
                                   .subjects_count = 1,
                                   .max_msgs = -1,
                                   .max_bytes = -1,
                                   .max_msg_size = -1,
                                   .max_msgs_per_subject = per_subject,
                                   .max_age_ns = max_age_ns,
                                   .max_consumers = -1};
    struct mr_stream *made;
    CHECK_EQ(mr_stream_create(sh, &cfg, io_wall(io), &made), MR_OK);
    return made;
}

static void turn(void) {
    mr_shard_tick(sh);
    uint64_t at = mr_shard_deadline(sh), most = io_now(io) + 1000000;
    io_tick(io, at < most ? at : most);
}

/* --- messages: everything follows from the sequence --- */

static uint64_t subjects = 100;
static struct mr_bytes subject_of(uint64_t seq) {
    static char name[32];
    int n = snprintf(name, sizeof name, "churn.%llu", (unsigned long long)(mix64(seq) % subjects));
    return (struct mr_bytes){(uint8_t *)name, (size_t)n};
}

static struct mr_bytes body_of(uint64_t seq) {
    size_t n = seq % 701 == 0 ? 150000 : 16 + mix64(seq) % 3000;
    for (size_t i = 0; i < n; i += 8) store64(body + i, seq * 31 + i);
    return (struct mr_bytes){body, n};
}

static uint64_t put(struct mr_stream *to, uint64_t seq) {
    struct mr_msg m = {.subject = subject_of(seq), .payload = body_of(seq)};
    struct mr_append_opts o = {.want_done = true};
    struct mr_append_result r;
    enum mr_status st;
    while ((st = mr_append(to, &m, &o, &r)) == MR_BUSY) turn();
    CHECK_EQ(st, MR_OK);
    return r.seq;
}

static void woken(struct mr_wait *w) { (void)w; }

static void check_one(uint64_t seq) {
    struct mr_wait w = {.on_ready = woken};
    struct mr_msg_view v;
    enum mr_status st;
    while ((st = mr_get(s, seq, false, &w, &v)) == MR_LATER) turn();
    CHECK_EQ(st, there[seq] ? MR_OK : MR_NONE);
    if (st != MR_OK) return;
    struct mr_bytes want = body_of(seq);
    CHECK_MEM(v.msg.payload.p, v.msg.payload.n, want.p, want.n);
    want = subject_of(seq);
    CHECK_MEM(v.msg.subject.p, v.msg.subject.n, want.p, want.n);
}

static void check_all(void) {
    struct mr_stream_state st;
    uint64_t count = 0;
    for (uint64_t seq = 1; seq <= last; seq++) {
        check_one(seq);
        count += there[seq];
    }
    mr_stream_state(s, &st);
    CHECK_EQ(st.msgs, count);
    CHECK_EQ(st.last_seq, last);
    CHECK_EQ(st.lost_msgs, 0);
}

static void check_bound(void) {
    struct mr_shard_stats st;
    stats(&st);
    CHECK(st.disk_bytes <= 2 * st.live_bytes + (2 + POOL) * segment);
}

static void remove_one(uint64_t seq) {
    if (!there[seq]) return;
    enum mr_status st;
    while ((st = mr_delete(s, seq, false)) == MR_BUSY) turn();
    CHECK_EQ(st, MR_OK);
    there[seq] = false;
}

static void more(uint64_t seq, uint64_t per_turn) {
    last = seq;
    if (seq % per_turn) return;
    turn();
    check_bound();
    check_one(1 + rng_below(&rng, last));
}

static void settle(void) {
    while (done_seq < last) turn();
    for (int i = 0; i < 400; i++) turn();
    check_bound();
}

static void find_all_again(void) {
    struct rng crash = {5};
    settle();
    check_all();
    for (int life = 0; life < 3; life++) {
        if (life) sim_io_crash(io, life == 1 ? SIM_KILL : SIM_POWER, &crash);
        close_it();
        open_it();
        s = mr_stream_find(sh, (struct mr_bytes){(const uint8_t *)"S", 1});
        CHECK(s != NULL);
        check_all();
    }
}

/* --- cases --- */

/* Each message put deletes another one, anywhere: forty segments' worth through a tenth of that. */
static void deletes_in_the_middle(void) {
    begin();
    s = stream("S", -1, 0);
    for (uint64_t seq = 1; seq <= 24000; seq++) {
        CHECK_EQ(put(s, seq), seq);
        there[seq] = true;
        more(seq, 20);
        if (seq > 3000) remove_one(1 + rng_below(&rng, seq));
        if (seq > 3000) remove_one(1 + rng_below(&rng, seq));
    }
    struct mr_shard_stats st;
    stats(&st);
    CHECK(st.emptied_segments > 5);
    CHECK(st.moved_bytes < st.commit_bytes / 2);
    find_all_again();
    end();
}

/* A key-value bucket: the newest message of each of many subjects. */
static void one_message_a_subject(void) {
    begin();
    subjects = 1500;
    s = stream("S", 1, 0);
    static uint64_t newest[1500];
    memset(newest, 0, sizeof newest);
    for (uint64_t seq = 1; seq <= 20000; seq++) {
        CHECK_EQ(put(s, seq), seq);
        uint64_t *before = &newest[mix64(seq) % subjects];
        there[*before] = false;
        there[*before = seq] = true;
        more(seq, 16);
    }
    find_all_again();
    end();
}

/* Most messages grow too old; a few of another stream lie between them and stay. */
static void old_ones_leave_between_those_that_stay(void) {
    begin();
    subjects = 100;
    s = stream("S", -1, 0);
    struct mr_stream *old = stream("OLD", -1, INT64_C(300) * 1000 * 1000);
    for (uint64_t seq = 1; seq <= 1500; seq++) {
        CHECK_EQ(put(s, seq), seq);
        there[seq] = true;
        for (uint64_t i = 0; i < 15; i++) (void)put(old, seq * 20 + i);
        more(seq, 1);
    }
    sim_io_sleep(io, UINT64_C(500) * 1000 * 1000);
    for (int i = 0; i < 200; i++) turn();
    struct mr_stream_state st;
    mr_stream_state(old, &st);
    CHECK_EQ(st.msgs, 0);
    find_all_again();
    end();
}

/* Many crashes leave many segments with little in them. */
static void segments_of_many_lives_are_merged(void) {
    begin();
    subjects = 100;
    struct rng crash = {9};
    s = stream("S", -1, 0);
    for (uint64_t seq = 1; seq <= 60; seq++) {
        CHECK_EQ(put(s, seq), seq);
        there[last = seq] = true;
        while (done_seq < seq) turn();
        sim_io_crash(io, SIM_KILL, &crash);
        close_it();
        open_it();
        done_seq = seq;
        s = mr_stream_find(sh, (struct mr_bytes){(const uint8_t *)"S", 1});
        for (int i = 0; i < 40; i++) turn();
    }
    find_all_again();
    end();
}

/* An id that is an option only lies beside its message in the log, and must not stay behind. */
static void ids_move_along(void) {
    begin();
    struct mr_stream_config cfg = {.size = sizeof cfg,
                                   .name = {(const uint8_t *)"S", 1},
                                   .subjects = &(struct mr_bytes){(const uint8_t *)">", 1},
                                   .subjects_count = 1,
                                   .max_msgs = -1,
                                   .max_bytes = -1,
                                   .max_msg_size = -1,
                                   .max_msgs_per_subject = -1,
                                   .max_consumers = -1,
                                   .duplicate_window_ns = INT64_C(3600) * 1000000000};
    CHECK_EQ(mr_stream_create(sh, &cfg, io_wall(io), &s), MR_OK);
    struct mr_msg m = {.subject = subject_of(1), .payload = body_of(1)};
    struct mr_append_opts o = {.want_done = true, .msg_id = {(const uint8_t *)"one", 3}};
    struct mr_append_result r;
    CHECK_EQ(mr_append(s, &m, &o, &r), MR_OK);
    there[1] = true;
    for (uint64_t seq = 2; seq <= 12000; seq++) {
        CHECK_EQ(put(s, seq), seq);
        there[seq] = true;
        more(seq, 20);
        if (seq > 40) remove_one(seq - 20);
    }
    struct mr_shard_stats st;
    stats(&st);
    CHECK(st.emptied_segments > 0);
    find_all_again();
    m = (struct mr_msg){.subject = subject_of(1), .payload = body_of(1)};
    CHECK_EQ(mr_append(s, &m, &o, &r), MR_DUPLICATE);
    CHECK_EQ(r.seq, 1);
    end();
}

/* A fixed piece of work with compaction in it, stopped at every k-th operation of the disk. */
static void stopped_at_every_operation(void) {
    for (uint64_t k = 1; k <= 120; k++) {
        struct rng crash = {k};
        begin();
        subjects = 100;
        s = stream("S", -1, 0);
        for (uint64_t seq = 1; seq <= 3200; seq++) {
            CHECK_EQ(put(s, seq), seq);
            there[last = seq] = true;
            if (seq % 64 == 0) turn();
        }
        for (uint64_t seq = 1; seq <= 3000; seq++)
            if (seq % 6) remove_one(seq);
        while (done_seq < last) turn();
        sim_io_crash_at(io, k, k % 3 ? SIM_POWER : SIM_KILL, &crash);
        for (int i = 0; i < 300 && !sim_io_dead(io); i++) turn();
        close_it();
        open_it();
        s = mr_stream_find(sh, (struct mr_bytes){(const uint8_t *)"S", 1});
        CHECK(s != NULL);
        for (uint64_t seq = 1; seq <= last; seq++)
            if (there[seq]) check_one(seq);
        struct mr_stream_state st;
        mr_stream_state(s, &st);
        CHECK_EQ(st.lost_msgs, 0);
        CHECK_EQ(st.last_seq, last);
        end();
    }
}

CHECK_MAIN(CASE(ids_move_along), CASE(stopped_at_every_operation), CASE(deletes_in_the_middle), CASE(one_message_a_subject),
           CASE(old_ones_leave_between_those_that_stay), CASE(segments_of_many_lives_are_merged))
