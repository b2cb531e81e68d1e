/* test_engine_batch.c - mr_append_batch(): all or nothing, in memory, on disk and after a cut. */
#include "engine_world.h"
#include "lib/check.h"

enum { MANY = 700 };

static struct mr_msg msgs[MR_BATCH_MSGS_MAX + 1];
static struct mr_append_opts opts[MR_BATCH_MSGS_MAX + 1];
static struct mr_append_result res;
static size_t failed_at;
static char subjects_text[MR_BATCH_MSGS_MAX + 1][32];
static uint8_t body[64 << 10];

/* Messages "b.<i>" of `size` bytes each. */
static void fill(size_t count, size_t size) {
    memset(opts, 0, sizeof opts);
    for (size_t i = 0; i < count; i++) {
        snprintf(subjects_text[i], sizeof subjects_text[i], "b.%zu", i);
        msgs[i] = (struct mr_msg){.subject = str(subjects_text[i]), .payload = {body, size}};
    }
}

static enum mr_status put(struct mr_stream *s, size_t count) {
    opts[count - 1].want_done = true;
    opts[count - 1].tag = count;
    opts[count - 1].note = str("all");
    w.in_call = true;
    enum mr_status st = mr_append_batch(s, msgs, opts, count, &res, &failed_at);
    w.in_call = false;
    return st;
}

static void put_ok(struct mr_stream *s, size_t count) {
    size_t n = w.done_count;
    enum mr_status st;
    for (int i = 0; (st = put(s, count)) == MR_BUSY; i++) {
        CHECK(i < 20000);
        turn();
    }
    CHECK_EQ(st, MR_OK);
    until_done(n + 1);
    CHECK_EQ(w.done_count, n + 1); /* one for all */
    CHECK_EQ(w.done[n].status, MR_OK);
    CHECK_EQ(w.done[n].tag, count);
    CHECK_EQ(w.done[n].seq, res.seq);
}

static struct mr_stream_state state(struct mr_stream *s) {
    struct mr_stream_state st;
    mr_stream_state(s, &st);
    return st;
}

static void refused(struct mr_stream *s, size_t count, enum mr_status want, size_t at) {
    struct mr_stream_state before = state(s), after;
    CHECK_EQ(mr_check_batch(s, msgs, opts, count, &res, &failed_at), want);
    CHECK_EQ(put(s, count), want);
    CHECK_EQ(failed_at, at);
    after = state(s);
    CHECK(memcmp(&before, &after, sizeof before) == 0);
}

static struct mr_stream *stream_with(const char *name, enum mr_storage storage) {
    struct mr_stream_config cfg = stream_config(name);
    cfg.storage = storage;
    struct mr_stream *s;
    CHECK_EQ(mr_stream_create(w.sh, &cfg, io_wall(w.io), &s), MR_OK);
    return s;
}

static void stored_as_one(enum mr_storage storage) {
    world_new(1);
    struct mr_stream *s = stream_with("S", storage);
    struct mr_consumer *c = consumer_new(s, "c");
    struct mr_delivery d;
    CHECK_EQ(next(c, &d), MR_NONE);
    fill(MANY, 3000); /* more than a frame holds */
    store(s, "a", "first");
    expect(c, 1, 1);
    CHECK_EQ(put(s, MANY), MR_OK);
    CHECK_EQ(res.seq, MANY + 1);
    CHECK_EQ(state(s).last_seq, MANY + 1);
    CHECK_EQ(state(s).visible_seq, 1);
    CHECK_EQ(next(c, &d), MR_NONE);
    for (int i = 0; w.done_count < 2; i++) { /* never a part of it */
        CHECK(i < 20000);
        CHECK_EQ(state(s).visible_seq, 1);
        turn();
    }
    CHECK_EQ(state(s).visible_seq, MANY + 1);
    CHECK_EQ(w.done[1].seq, MANY + 1);
    for (uint64_t i = 0; i < MANY; i++) CHECK_EQ(expect(c, i + 2, 1).view.msg.payload.n, 3000);
    world_close();
}
static void stored_as_one_on_disk(void) { stored_as_one(MR_FILE); }
static void stored_as_one_in_memory(void) { stored_as_one(MR_MEMORY); }

static void comes_back_after_a_restart(void) {
    world_new(1);
    struct mr_stream *s = stream_new("S");
    static const char hdr[] = "NATS/1.0\r\nNats-Msg-Id: id-7\r\n\r\n";
    fill(20, 900);
    msgs[7].hdr = str(hdr);
    opts[7].msg_id = (struct mr_bytes){(const uint8_t *)strstr(hdr, "id-7"), 4};
    put_ok(s, 20);
    fill(MANY, 2000);
    put_ok(s, MANY);
    world_reopen(1);
    s = stream_old("S");
    CHECK_EQ(state(s).msgs, MANY + 20);
    struct mr_msg_view v;
    CHECK_EQ(get(s, 8, &v), MR_OK);
    CHECK_MEM(v.msg.subject.p, v.msg.subject.n, "b.7", 3);
    CHECK_EQ(get(s, MANY + 20, &v), MR_OK);
    CHECK_EQ(v.msg.payload.n, 2000);
    fill(2, 10);
    msgs[1].hdr = str(hdr);
    opts[1].msg_id = str("id-7");
    refused(s, 2, MR_DUPLICATE, 1);
    CHECK_EQ(res.seq, 8);
    CHECK(!res.in_batch);
    world_close();
}

static void refusals_change_nothing(void) {
    world_new(1);
    struct mr_stream_config cfg = stream_config("S");
    cfg.max_msgs = 10;
    cfg.max_msg_size = 1000;
    cfg.discard = MR_DISCARD_NEW;
    cfg.allow_rollup = true;
    struct mr_stream *s;
    CHECK_EQ(mr_stream_create(w.sh, &cfg, io_wall(w.io), &s), MR_OK);
    store(s, "a", "1");
    store(s, "b.1", "2");
    fill(9, 10);
    refused(s, 9, MR_MAX_MSGS, 8);
    fill(3, 10);
    msgs[2].payload.n = 1001;
    refused(s, 3, MR_TOO_LARGE, 2);
    fill(3, 10);
    opts[1].expect_last_seq = true;
    opts[1].last_seq = 2;
    refused(s, 3, MR_WRONG_LAST_SEQ, 1);
    CHECK_EQ(res.seq, 3);
    opts[1].last_seq = 3;
    refused(s, 3, MR_WRONG_LAST_SEQ, 1);
    CHECK(res.in_batch);
    fill(3, 10);
    opts[1].expect_last_subject_seq = true;
    refused(s, 3, MR_WRONG_LAST_SEQ, 1);
    CHECK_EQ(res.seq, 2);
    opts[1].last_subject_filter = str("b.0"); /* written by the batch itself */
    refused(s, 3, MR_WRONG_LAST_SEQ, 1);
    CHECK(res.in_batch);
    fill(3, 10);
    opts[2].rollup = MR_ROLLUP_ALL;
    refused(s, 3, MR_DENIED, 2);
    CHECK(res.in_batch);
    opts[2].rollup = MR_ROLLUP_SUBJECT;
    msgs[2].subject = msgs[0].subject;
    refused(s, 3, MR_DENIED, 2);
    fill(3, 10);
    msgs[0].hdr = msgs[2].hdr = str("NATS/1.0\r\nNats-Msg-Id: x\r\n\r\n");
    opts[0].msg_id = opts[2].msg_id = str("x");
    refused(s, 3, MR_DUPLICATE, 2);
    CHECK(res.in_batch);
    fill(3, 10);
    opts[1].msg_id = str("not in the headers");
    refused(s, 3, MR_INVAL, 1);
    fill(3, 10);
    opts[1].expect_last_msg_id = str("x");
    refused(s, 3, MR_UNSUPPORTED, 1);
    fill(MR_BATCH_MSGS_MAX + 1, 1);
    refused(s, MR_BATCH_MSGS_MAX + 1, MR_INVAL, MR_BATCH_MSGS_MAX + 1);
    fill(8, 10); /* and what is left still fits */
    opts[0].expect_last_seq = true;
    opts[0].last_seq = 2;
    opts[1].expect_last_subject_seq = true;
    opts[1].last_subject_seq = 2;
    put_ok(s, 8);
    CHECK_EQ(state(s).msgs, 10);
    world_close();
}

static void too_many_bytes(void) {
    world_new(1);
    struct mr_stream *s = stream_new("S");
    fill(MR_BATCH_MSGS_MAX, sizeof body);
    CHECK_EQ(put(s, MR_BATCH_MSGS_MAX), MR_TOO_LARGE);
    CHECK_EQ(failed_at, MR_BATCH_MSGS_MAX);
    CHECK_EQ(state(s).last_seq, 0);
    fill(700, sizeof body); /* 45 MiB: more than the write buffer */
    put_ok(s, 700);
    CHECK_EQ(state(s).msgs, 700);
    world_reopen(1);
    CHECK_EQ(state(stream_old("S")).msgs, 700);
    world_close();
}

static void limits_and_rollups(enum mr_storage storage) {
    world_new(1);
    struct mr_stream_config cfg = stream_config("S");
    cfg.storage = storage;
    cfg.max_msgs = 5;
    cfg.allow_rollup = true;
    struct mr_stream *s;
    CHECK_EQ(mr_stream_create(w.sh, &cfg, io_wall(w.io), &s), MR_OK);
    store(s, "a", "1");
    fill(MANY, 30);
    put_ok(s, MANY);
    CHECK_EQ(state(s).msgs, 5);
    CHECK_EQ(state(s).first_seq, MANY - 3);
    fill(3, 30);
    opts[0].rollup = MR_ROLLUP_ALL;
    put_ok(s, 3);
    CHECK_EQ(state(s).msgs, 3);
    CHECK_EQ(state(s).first_seq, MANY + 2);
    if (storage == MR_FILE) {
        world_reopen(1);
        s = stream_old("S");
        CHECK_EQ(state(s).msgs, 3);
        CHECK_EQ(state(s).first_seq, MANY + 2);
        CHECK_EQ(state(s).last_seq, MANY + 4);
    }
    world_close();
}
static void limits_and_rollups_on_disk(void) { limits_and_rollups(MR_FILE); }
static void limits_and_rollups_in_memory(void) { limits_and_rollups(MR_MEMORY); }

/* A memory log that is full in the middle of a batch takes the batch back. */
static void memory_runs_out(void) {
    w.cfg.memory_max = 4 << 20;
    world_new(1);
    struct mr_stream *s = stream_with("S", MR_MEMORY);
    fill(100, sizeof body);
    enum mr_status st = put(s, 100);
    CHECK_EQ(st, MR_MEMORY_FULL);
    CHECK_EQ(state(s).last_seq, 0);
    CHECK_EQ(state(s).bytes, 0);
    fill(10, sizeof body);
    put_ok(s, 10);
    CHECK_EQ(state(s).msgs, 10);
    world_close();
}

/* The process dies while a batch of many frames is being written: copies of the folder taken in between never
 * hold a part. */
static void a_kill_leaves_all_or_nothing(void) {
    world_new(1);
    struct mr_stream *s = stream_new("S");
    store(s, "a", "first");
    fill(MANY, 20000); /* 14 MB in some fourteen frames */
    size_t n = w.done_count;
    enum mr_status st;
    while ((st = put(s, MANY)) == MR_BUSY) turn();
    CHECK_EQ(st, MR_OK);
    char dir[256], cmd[1024];
    strcpy(dir, w.dir);
    int seen[2] = {0, 0};
    for (int i = 0; i < 40; i++) {
        bool acknowledged = w.done_count > n;
        snprintf(cmd, sizeof cmd, "rm -rf %s-copy && cp -r %s %s-copy", dir, dir, dir);
        CHECK_EQ(system(cmd), 0);
        struct world live = w;
        snprintf(w.dir, sizeof w.dir, "%.200s-copy", dir);
        world_open(1);
        uint64_t msgs_then = state(stream_old("S")).msgs;
        world_close();
        w = live;
        CHECK(msgs_then == 1 || msgs_then == MANY + 1);
        if (acknowledged) CHECK_EQ(msgs_then, MANY + 1);
        seen[msgs_then > 1]++;
        if (acknowledged) break;
        turn();
    }
    snprintf(cmd, sizeof cmd, "rm -rf %s-copy", dir);
    CHECK_EQ(system(cmd), 0);
    CHECK(seen[0] > 0);
    CHECK(seen[1] > 0);
    world_close();
}

CHECK_MAIN(CASE(stored_as_one_on_disk), CASE(stored_as_one_in_memory), CASE(comes_back_after_a_restart),
           CASE(refusals_change_nothing), CASE(too_many_bytes), CASE(limits_and_rollups_on_disk),
           CASE(limits_and_rollups_in_memory), CASE(memory_runs_out), CASE(a_kill_leaves_all_or_nothing))
