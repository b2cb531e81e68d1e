/* test_engine_damage.c - folders opened with damage in them: what was not hit stays, and no sequence is given
 * out twice because nobody could read what it was given to. Small segments, real files. */
#include "engine_folder.h"

#include "base/bytes.h"
#include "store/frame.h"

static uint64_t last_seq(struct mr_stream *s) {
    struct mr_stream_state st;
    mr_stream_state(s, &st);
    return st.last_seq;
}

/* The header of a stream's last message is unreadable: nobody knows whose it was. Its sequence is not given
 * out again, not after another start either. A stream that goes on behind the damage has no gap. */
static void a_sequence_is_not_given_out_twice(void) {
    world_small();
    struct mr_stream *quiet = stream_new("quiet"), *busy = stream_new("busy");
    CHECK_EQ(store(quiet, "q", "first of the quiet"), 1);
    CHECK_EQ(store(busy, "b", "first of the busy"), 1);
    CHECK_EQ(store(quiet, "q", "second of the quiet"), 2);
    CHECK_EQ(store(busy, "b", "second of the busy"), 2);
    settle();
    world_close();
    flip(first_segment, place_of("second of the quiet", false) - 20, 0x08);
    world_open(1);
    CHECK(last_seq(stream_old("quiet")) >= 2);
    CHECK_EQ(last_seq(stream_old("busy")), 2);
    check_msg(stream_old("quiet"), 1, "q", "first of the quiet");
    uint64_t next = store(stream_old("quiet"), "q", "third of the quiet");
    CHECK(next > 2 && next < 20);
    CHECK_EQ(store(stream_old("busy"), "b", "third of the busy"), 3);
    for (int i = 0; i < 2; i++) { /* and what was skipped stays skipped, and is counted once */
        struct mr_stream_state st;
        w.cfg.full_scan = i;
        world_reopen(1);
        mr_stream_state(stream_old("quiet"), &st);
        CHECK_EQ(st.last_seq, next);
        CHECK_EQ(st.msgs, 2);
        CHECK_EQ(st.lost_msgs, 0); /* nobody knows whether one was */
        check_msg(stream_old("quiet"), next, "q", "third of the quiet");
        check_msg(stream_old("busy"), 3, "b", "third of the busy");
    }
    world_close();
}

/* A header of a frame is no record. */
static void a_frame_header_costs_no_sequence(void) {
    world_small();
    store(stream_new("S"), "s", "the only message");
    settle();
    world_close();
    flip(first_segment, place_of("the only message", false) / 4096 * 4096 + 30, 0x08);
    world_open(1);
    CHECK_EQ(last_seq(stream_old("S")), 1);
    check_msg(stream_old("S"), 1, "s", "the only message");
    world_close();
}

/* A frame that nothing proves was durable may have been cut by a stop: what it holds must not count, or a
 * copy half made would. */
static void a_cut_frame_ends_the_log(void) {
    static char text[3000];
    memset(text, 'x', sizeof text - 1);
    world_small();
    struct mr_stream *s = stream_new("S");
    settle();
    for (int i = 0; i < 8; i++) append(s, "s", text, 0); /* one frame */
    until_done(9);
    store(s, "s", "behind it");
    settle();
    world_close();
    char path[400];
    path_in(path, first_segment);
    CHECK_EQ(truncate(path, (off_t)(place_of(text, false) + 3 * sizeof text)), 0); /* in the fourth or so */
    world_open(1);
    struct mr_stream_state st;
    mr_stream_state(stream_old("S"), &st);
    CHECK_EQ(st.msgs, 0);
    uint64_t after = store(stream_old("S"), "s", "after");
    world_reopen(1);
    mr_stream_state(stream_old("S"), &st);
    CHECK_EQ(st.msgs, 1);
    check_msg(stream_old("S"), after, "s", "after");
    world_close();
}

/* A segment is gone as a whole, and with it every record that says what the streams are; the checkpoint
 * knows, and what lies in other segments is served. how 0: headers damaged, 1: cut off in them, 2: deleted.
 */
static void a_segment_is_gone(void) {
    static char text[4000];
    memset(text, 'y', sizeof text - 1);
    for (int how = 0; how < 3; how++) {
        world_small();
        struct mr_stream *s = stream_new("S");
        consumer_new(s, "C");
        for (int i = 0; i < 400; i++) { /* more than one segment */
            append(s, "s", text, 0);
            if (i % 20 == 19) until_done((size_t)i + 1);
        }
        settle();
        checkpoint();
        store(s, "s", "behind the checkpoint");
        settle();
        world_close();
        char path[400];
        path_in(path, first_segment);
        if (how == 0) flip(first_segment, 50, 0x08), flip(first_segment, SEG_HEADER_COPY + 50, 0x08);
        if (how == 1) CHECK_EQ(truncate(path, 3000), 0);
        if (how == 2) CHECK_EQ(unlink(path), 0);
        for (int i = 0; i < 2; i++) {
            struct mr_stream_state st;
            world_open(1);
            s = stream_old("S");
            CHECK(mr_consumer_find(s, str("C")) != NULL);
            mr_stream_state(s, &st);
            CHECK(st.msgs > 50 && st.msgs < 400);
            CHECK_EQ(st.msgs + st.lost_msgs, 401 + (uint64_t)i);
            CHECK(st.first_seq > 1);
            for (uint64_t seq = st.first_seq; seq < 401; seq++) check_msg(s, seq, "s", text);
            check_msg(s, 401, "s", "behind the checkpoint");
            CHECK_EQ(store(s, "s", "and on"), 402 + (uint64_t)i);
            world_close();
        }
    }
}

/* A copy of one segment's header comes to stand in another segment, which still knows who it is. */
static void headers_change_places(void) {
    static char text[4000];
    memset(text, 'z', sizeof text - 1);
    world_small();
    struct mr_stream *s = stream_new("S");
    for (int i = 0; i < 900; i++) {
        append(s, "s", text, 0);
        if (i % 20 == 19) until_done((size_t)i + 1);
    }
    settle();
    world_close();
    uint8_t one[SEG_HEADER_COPY], two[SEG_HEADER_COPY];
    for (off_t at = 0; at <= SEG_HEADER_COPY; at += SEG_HEADER_COPY) {
        char path[400];
        path_in(path, first_segment);
        int a = open(path, O_RDWR);
        path_in(path, "log-0000/00000001.seg");
        int b = open(path, O_RDWR);
        CHECK(a >= 0 && b >= 0);
        CHECK_EQ(pread(a, one, sizeof one, at), sizeof one);
        CHECK_EQ(pread(b, two, sizeof two, at), sizeof two);
        CHECK(((struct seg_header *)(void *)one)->segno != ((struct seg_header *)(void *)two)->segno);
        CHECK_EQ(pwrite(a, two, sizeof two, at), sizeof two);
        CHECK_EQ(pwrite(b, one, sizeof one, at), sizeof one);
        close(a);
        close(b);
        world_open(1);
        for (uint64_t seq = 1; seq <= 900; seq++) check_msg(stream_old("S"), seq, "s", text);
        world_close(); /* mended */
    }
}

CHECK_MAIN(CASE(headers_change_places), CASE(a_sequence_is_not_given_out_twice),
           CASE(a_frame_header_costs_no_sequence), CASE(a_cut_frame_ends_the_log), CASE(a_segment_is_gone))
