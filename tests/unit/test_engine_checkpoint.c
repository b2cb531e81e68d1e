/* test_engine_checkpoint.c - each way to open a log: by the newest checkpoint, by the one before, by reading
 * all of it; and that each finds the same. Small segments, real files; a kill is a second folder with a copy.
 */
#include "engine_folder.h"

#include <dirent.h>

#include "base/bytes.h"
#include "engine.h"
#include "store/format.h"

enum { ROUND = 40 };

/* Some of everything: messages, deletes, a consumer half way, a stream that goes. */
static void work(int round) {
    char name[16], text[64];
    struct mr_stream *s = round ? stream_old("S") : stream_new("S");
    struct mr_consumer *c = round ? mr_consumer_find(s, str("C")) : consumer_new(s, "C");
    for (int i = 0; i < ROUND; i++) {
        snprintf(name, sizeof name, "a.%d", i % 7);
        snprintf(text, sizeof text, "round %d, message %d", round, i);
        store(s, name, text);
    }
    uint64_t first = (uint64_t)round * ROUND;
    CHECK_EQ(mr_delete(s, first + 3, false), MR_OK);
    size_t n = w.done_count;
    for (uint64_t i = 1; i <= 2; i++) {
        uint64_t seq = (uint64_t)round * 2 + i; /* the third is deleted */
        struct mr_delivery d = expect(c, seq > 2 ? seq + 1 : seq, 1);
        ack(c, &d, true);
    }
    until_done(n + 2);
    snprintf(name, sizeof name, "T%d", round);
    store(stream_new(name), "t", "t");
    if (!round) return;
    snprintf(name, sizeof name, "T%d", round - 1);
    CHECK_EQ(mr_stream_delete(stream_old(name)), MR_OK);
}

static void check_work(int rounds) {
    struct mr_stream *s = stream_old("S");
    struct mr_stream_state st;
    mr_stream_state(s, &st);
    CHECK_EQ(st.last_seq, (uint64_t)rounds * ROUND);
    CHECK_EQ(st.msgs, (uint64_t)rounds * (ROUND - 1));
    CHECK_EQ(st.lost_msgs, 0);
    CHECK_EQ(st.num_subjects, 7);
    for (int r = 0; r < rounds; r++) {
        for (int i = 0; i < ROUND; i++) {
            char name[16], text[64];
            struct mr_msg_view v;
            snprintf(name, sizeof name, "a.%d", i % 7);
            snprintf(text, sizeof text, "round %d, message %d", r, i);
            uint64_t seq = (uint64_t)r * ROUND + (uint64_t)i + 1;
            if (i == 2)
                CHECK_EQ(get(s, seq, &v), MR_NONE);
            else
                check_msg(s, seq, name, text);
        }
        char name[16];
        snprintf(name, sizeof name, "T%d", r);
        struct mr_stream *t = mr_stream_find(w.sh, str(name));
        CHECK((t != NULL) == (r == rounds - 1));
    }
    CHECK(mr_consumer_find(s, str("C")) != NULL);
}

/* --- what is done to a folder between its lives --- */

static const char root_name[] = "log-0000/root";

static struct root_slot slot_read(int which) {
    char path[400];
    uint8_t all[ROOT_FILE_BYTES];
    struct root_slot t;
    path_in(path, root_name);
    read_file(path, all, sizeof all);
    memcpy(&t, all + which * ROOT_SLOT_BYTES, sizeof t);
    return t;
}

static int newest_slot(void) { return slot_read(1).counter > slot_read(0).counter; }

static void slot_tear(int which) { flip(root_name, (uint64_t)which * ROOT_SLOT_BYTES + 40, 0x10); }

/* A bit in the body of the root that this slot names. */
static void root_damage(int which) {
    struct root_slot t = slot_read(which);
    char path[400], name[300];
    path_in(path, "log-0000");
    DIR *d = opendir(path);
    CHECK(d != NULL);
    for (struct dirent *e; (e = readdir(d));) {
        struct seg_header h;
        if (!strstr(e->d_name, ".seg")) continue;
        snprintf(name, sizeof name, "log-0000/%s", e->d_name);
        path_in(path, name);
        read_file(path, &h, sizeof h);
        if (h.segno == loc_seg(t.loc)) flip(name, loc_off(t.loc) + sizeof(struct rec_header) + 9, 0x10);
    }
    closedir(d);
}

/* --- cases --- */

static void by_the_newest(void) {
    world_small();
    work(0);
    checkpoint();
    work(1);
    world_reopen(1);
    CHECK_EQ(stats().logs_scanned, 0);
    check_work(2);
    checkpoint();
    world_reopen(1);
    CHECK_EQ(stats().logs_scanned, 0);
    CHECK(stats().recovered_bytes < 5 << 20); /* headers, and one look behind the cut */
    check_work(2);
    world_close();
}

/* A folder with two checkpoints and work behind each, closed. */
static void two_checkpoints(void) {
    world_small();
    work(0);
    checkpoint();
    work(1);
    checkpoint();
    work(2);
    world_close();
}

static void by_the_one_before(bool torn) {
    two_checkpoints();
    if (torn)
        slot_tear(newest_slot());
    else
        root_damage(newest_slot());
    world_open(1);
    CHECK_EQ(stats().logs_scanned, 0);
    CHECK_EQ(stats().checkpoints_passed, torn ? 0 : 1);
    check_work(3);
    checkpoint(); /* into the slot that was bad */
    CHECK(slot_read(newest_slot()).counter == 2);
    world_reopen(1);
    check_work(3);
    world_close();
}

static void by_reading_all(int how) {
    two_checkpoints();
    char path[400];
    path_in(path, root_name);
    if (how == 0) CHECK_EQ(unlink(path), 0);
    for (int i = 0; i < 2 && how == 1; i++) slot_tear(i);
    for (int i = 0; i < 2 && how == 2; i++) root_damage(i);
    world_open(1);
    CHECK_EQ(stats().logs_scanned, 1);
    CHECK_EQ(stats().checkpoints_passed, how == 2 ? 2 : 0);
    check_work(3);
    if (how == 2) CHECK(slot_read(0).counter == 0 && slot_read(1).counter == 0); /* never again */
    checkpoint();
    world_reopen(1);
    CHECK_EQ(stats().logs_scanned, 0);
    check_work(3);
    world_close();
}

static void when_a_slot_is_torn(void) { by_the_one_before(true); }
static void when_a_root_is_damaged(void) { by_the_one_before(false); }
static void without_a_root_file(void) { by_reading_all(0); }
static void when_both_slots_are_torn(void) { by_reading_all(1); }
static void when_both_roots_are_damaged(void) { by_reading_all(2); }

static void when_told_to_read_all(void) {
    world_small();
    work(0);
    checkpoint();
    work(1);
    w.cfg.full_scan = true;
    world_reopen(1);
    CHECK_EQ(stats().logs_scanned, 1);
    check_work(2);
    w.cfg.full_scan = false;
    world_reopen(1);
    check_work(2);
    world_close();
}

/* Without anybody asking: by distance, and at a stop with much to read. */
static void from_time_to_time(void) {
    static char payload[32 * 1024];
    w.cfg.segment_bytes = 1 << 20;
    w.cfg.checkpoint_bytes = 2 << 20;
    world_new(1);
    struct mr_stream *s = stream_new("S");
    memset(payload, 'p', sizeof payload - 1);
    for (int i = 0; i < 200; i++) store(s, "a", payload); /* 6.5 MB */
    CHECK(stats().checkpoints >= 2 && stats().checkpoints <= 4);
    CHECK(stats().replay_bytes < 5 << 20);
    world_reopen(1);
    CHECK(stats().recovered_bytes < 3 << 20);
    world_close();
}

/* Its record is there, its message is not: the next message with this sequence does not get it. */
static void an_id_without_its_message(bool full_scan) {
    world_small();
    struct mr_stream *s = stream_new("S");
    store(s, "a", "first");
    uint8_t payload[10] = {2, [8] = 'i', [9] = 'd'};
    struct rec r = {
        .kind = REC_CHECKPOINT, .stream = s->number, .ts = 1, .payload = span_of(payload, sizeof payload)};
    uint64_t loc;
    CHECK_EQ(shard_log_append(s->log, &r, &loc), ERR_OK);
    world_reopen(1);
    store(stream_old("S"), "a", "second");
    w.cfg.full_scan = full_scan;
    world_reopen(1);
    struct mr_msg m = {.subject = str("a"), .payload = str("third")};
    struct mr_append_opts o = {.msg_id = str("id")};
    struct mr_append_result res;
    CHECK_EQ(mr_append(stream_old("S"), &m, &o, &res), MR_OK);
    CHECK_EQ(res.seq, 3);
    world_reopen(1);
    CHECK_EQ(mr_append(stream_old("S"), &m, &o, &res), MR_DUPLICATE);
    CHECK_EQ(res.seq, 3);
    w.cfg.full_scan = false;
    world_close();
}
static void an_id_alone_by_checkpoint(void) { an_id_without_its_message(false); }
static void an_id_alone_by_scan(void) { an_id_without_its_message(true); }

/* Deleted and made anew while pages are being written: the root names what was, the log says what became. */
static void things_go_meanwhile(void) {
    world_small();
    char name[16];
    for (int i = 0; i < 60; i++) {
        snprintf(name, sizeof name, "X%d", i);
        struct mr_stream *s = stream_new(name);
        consumer_new(s, "C");
        store(s, "a", name);
    }
    CHECK_EQ(mr_checkpoint(w.sh), MR_OK);
    for (int i = 0; i < 60; i += 2) {
        mr_shard_tick(w.sh);
        snprintf(name, sizeof name, "X%d", i);
        CHECK_EQ(mr_stream_delete(stream_old(name)), MR_OK);
        if (i % 4 == 0) store(stream_new(name), "a", "again");
    }
    while (!stats().checkpoints) mr_shard_run(w.sh, 1000000);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 60; i++) {
            snprintf(name, sizeof name, "X%d", i);
            struct mr_stream *s = mr_stream_find(w.sh, str(name));
            CHECK((s != NULL) == (i % 2 == 1 || i % 4 == 0));
            if (s) check_msg(s, 1, "a", i % 4 == 0 ? "again" : name);
            if (s) CHECK((mr_consumer_find(s, str("C")) != NULL) == (i % 2 == 1));
        }
        world_reopen(1);
    }
    world_close();
}

CHECK_MAIN(CASE(by_the_newest), CASE(when_a_slot_is_torn), CASE(when_a_root_is_damaged),
           CASE(without_a_root_file), CASE(when_both_slots_are_torn), CASE(when_both_roots_are_damaged),
           CASE(when_told_to_read_all), CASE(from_time_to_time), CASE(things_go_meanwhile),
           CASE(an_id_alone_by_checkpoint), CASE(an_id_alone_by_scan))
