/* test_store_batch.c - batches in the log: reserved room is enough whatever the sizes, what was cut in the
 * middle never existed, and one damaged record costs itself only. */
#include "base/rng.h"
#include "test_store.h"

enum { PAYLOAD_MAX = 30000 };

static uint8_t batch_flags(size_t i, size_t count) {
    return (uint8_t)(REC_F_BATCH | (i == 0 ? REC_F_BATCH_BEGIN : 0) | (i == count - 1 ? REC_F_BATCH_END : 0));
}

/* Reserves and appends count records of these sizes from seq on. Returns the frame of the last. */
static uint64_t put_batch(struct fixture *f, uint64_t seq, const size_t *sizes, size_t count,
                          uint64_t *locs) {
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        struct rec r = make(1, seq + i, sizes[i]);
        bytes += rec_size(r.subject.n, r.hdr.n, r.payload.n);
    }
    enum err e = ERR_FULL;
    for (int i = 0; i < 20000 && (e = store_reserve(f->s, bytes, count)) == ERR_FULL; i++) fix_turn(f);
    CHECK_EQ(e, ERR_OK);
    uint64_t loc = 0, frame = 0, segno = 0;
    for (size_t i = 0; i < count; i++) {
        struct rec r = make(1, seq + i, sizes[i]);
        r.flags = batch_flags(i, count);
        CHECK_EQ(store_append(f->s, &r, STORE_FORCE, &loc, &frame), ERR_OK);
        if (!i) segno = loc_seg(loc);
        CHECK_EQ(loc_seg(loc), segno);
        if (locs) locs[i] = loc;
    }
    return frame;
}

static void what_is_reserved_is_enough(void) {
    struct fixture *f = fix_new(IO_POSIX);
    f->cfg.frame_max = 8192;
    f->cfg.seg_min = f->cfg.seg_max = 1 << 20;
    fix_open(f);
    struct rng g = {77};
    uint64_t seq = 1, frame = 0;
    size_t sizes[200];
    for (int round = 0; round < 120; round++) {
        size_t count = 1 + rng_below(&g, round % 4 ? 12 : 150), shape = rng_below(&g, 4);
        for (size_t i = 0; i < count; i++) {
            size_t most = shape == 0 ? 100 : shape == 1 ? 8000 : shape == 2 ? 9000 : PAYLOAD_MAX;
            sizes[i] = rng_below(&g, most);
            if (shape == 1 && i % 2) sizes[i] = 5000 + sizes[i] / 3;
        }
        struct rec r = make(1, seq, rng_below(&g, 6000));
        fix_append(f, &r, STORE_FORCE, &frame);
        frame = put_batch(f, seq + 1, sizes, count, NULL);
        seq += 1 + count;
        if (round % 3 == 0) fix_turn(f);
    }
    fix_wait_durable(f, frame);
    fix_kill(f);
    fix_open(f);
    CHECK_EQ(f->seen_len, seq - 1);
    for (size_t i = 0; i < f->seen_len; i++) CHECK(f->seen[i].right && f->seen[i].seq == i + 1);
    fix_end(f);
}

static void too_large_is_refused(void) {
    struct fixture *f = fix_new(IO_POSIX);
    fix_open(f);
    CHECK_EQ(store_reserve(f->s, (size_t)STORE_BATCH_MAX + 8, 10), ERR_LIMIT);
    CHECK_EQ(store_reserve(f->s, 4096, 10), ERR_OK);
    f->s->failed = true;
    CHECK_EQ(store_reserve(f->s, 4096, 10), ERR_FAILED);
    fix_end(f);
}

/* The log ends at every frame of a batch in turn, as a kill would leave it: only with its last frame is it
 * there. */
static void a_cut_batch_never_existed(void) {
    enum { COUNT = 30 };
    size_t sizes[COUNT];
    for (size_t i = 0; i < COUNT; i++) sizes[i] = 500 + 137 * i;
    for (int cut = 0; cut < 12; cut++) {
        struct fixture *f = fix_new(IO_POSIX);
        f->cfg.frame_max = 8192;
        fix_open(f);
        uint64_t frame = 0, locs[COUNT];
        struct rec first = make(1, 1, 3000);
        fix_append(f, &first, STORE_FORCE, &frame);
        fix_wait_durable(f, frame);
        frame = put_batch(f, 2, sizes, COUNT, locs);
        fix_wait_durable(f, frame);
        fix_kill(f);
        /* Zeros from the record on: what a power cut leaves of frames in flight. The file is the first one's.
         */
        static const uint8_t zeros[256 << 10];
        uint64_t from = loc_off(locs[(size_t)cut * COUNT / 12]) / 4096 * 4096;
        fix_poke(f, 0, from, zeros, sizeof zeros);
        fix_open(f);
        CHECK_EQ(f->seen_len, 1);
        CHECK_EQ(f->damage_len, 0);
        /* What follows in its place is not taken for a part of it. */
        frame = put_batch(f, 2, sizes + 5, 10, NULL);
        fix_wait_durable(f, frame);
        fix_kill(f);
        fix_open(f);
        CHECK_EQ(f->seen_len, 11);
        for (size_t i = 1; i < f->seen_len; i++)
            CHECK(f->seen[i].right && f->seen[i].payload == sizes[i + 4]);
        fix_end(f);
    }
}

/* A batch given up is dropped even when the next one follows directly. */
static void a_new_batch_drops_an_open_one(void) {
    struct fixture *f = fix_new(IO_POSIX);
    fix_open(f);
    uint64_t frame = 0;
    for (uint64_t i = 0; i < 6; i++) {
        struct rec r = make(1, i < 3 ? 1 + i : i - 2, i < 3 ? 100 : 200);
        r.flags = batch_flags(i < 3 ? i : i - 3, i < 3 ? 99 : 3);
        fix_append(f, &r, STORE_FORCE, &frame);
    }
    fix_wait_durable(f, frame);
    fix_kill(f);
    fix_open(f);
    CHECK_EQ(f->seen_len, 3);
    for (size_t i = 0; i < 3; i++) CHECK(f->seen[i].seq == i + 1 && f->seen[i].payload == 200);
    fix_end(f);
}

static void damage_in_a_batch_costs_one_record(void) {
    enum { COUNT = 9 };
    for (size_t hurt = 0; hurt < COUNT; hurt++) {
        struct fixture *f = fix_new(IO_POSIX);
        fix_open(f);
        size_t sizes[COUNT];
        uint64_t locs[COUNT], frame = 0;
        for (size_t i = 0; i < COUNT; i++) sizes[i] = 300;
        frame = put_batch(f, 1, sizes, COUNT, locs);
        fix_wait_durable(f, frame);
        for (uint64_t i = 10; i < 13; i++) { /* so that the damage is told from a tear */
            struct rec r = make(1, i, 50);
            fix_append(f, &r, STORE_FORCE, &frame);
            fix_wait_durable(f, frame);
        }
        fix_kill(f);
        fix_rot(f, 0, loc_off(locs[hurt]) + sizeof(struct rec_header) + 60);
        fix_open(f);
        CHECK_EQ(f->seen_len, COUNT - 1 + 3);
        CHECK_EQ(f->damage_len, 1);
        CHECK_EQ(f->damage[0].seq, hurt + 1);
        CHECK_EQ(f->damage_after[0],
                 hurt); /* in its turn: else those before it would be taken for old ones */
        fix_end(f);
    }
}

enum follows { A_RECORD, A_BATCH, AN_IDLE_FRAME, A_SEGMENT, FOLLOWS };

/* Not even the header of the damaged record reads: the others count when anything follows that shows the end
 * to have been there. */
static void an_unreadable_end_counts_when_something_follows(void) {
    enum { COUNT = 5 };
    for (size_t hurt = 0; hurt < COUNT; hurt++) {
        for (int what = 0; what < FOLLOWS; what++) {
            struct fixture *f = fix_new(IO_POSIX);
            f->cfg.frame_max = 8192;
            f->cfg.seg_min = f->cfg.seg_max = 256 << 10;
            fix_open(f);
            size_t sizes[COUNT] = {300, 300, 300, 300, 20000 * (hurt % 2) + 300}, many[12];
            uint64_t locs[COUNT], frame = put_batch(f, 1, sizes, COUNT, locs), more = 0;
            fix_wait_durable(f, frame);
            for (size_t i = 0; i < 12; i++) many[i] = 20000;
            struct rec r = make(2, 100, 50);
            if (what == A_RECORD) frame = fix_append(f, &r, STORE_FORCE, &frame), more = 1;
            if (what == A_BATCH) frame = put_batch(f, COUNT + 1, sizes, 2, NULL), more = 2;
            if (what == A_SEGMENT) frame = put_batch(f, COUNT + 1, many, 12, NULL), more = 12;
            for (int i = 0; i < 60; i++) fix_turn(f); /* an idle frame follows in any case, but not first */
            fix_kill(f);
            fix_rot(f, 0, loc_off(locs[hurt]) + 9);
            for (int opens = 0; opens < 2; opens++) {
                fix_open(f);
                CHECK_EQ(f->seen_len, COUNT - 1 + more);
                CHECK(f->damage_len > 0);
                for (size_t i = 0; i < f->seen_len; i++) CHECK(f->seen[i].right);
                fix_kill(f);
            }
            fix_end(f);
        }
    }
}

/* A stop directly behind it: the end may have been there or not, and what came later may have its sequences.
 */
static void an_unreadable_end_at_a_stop_is_told(void) {
    struct fixture *f = fix_new(IO_POSIX);
    fix_open(f);
    size_t sizes[3] = {300, 300, 300};
    uint64_t locs[3], frame = put_batch(f, 1, sizes, 3, locs);
    while (store_durable(f->s) < frame) { /* no time for an idle frame */
        store_commit(f->s);
        io_tick(f->io, 0);
    }
    fix_kill(f);
    fix_open(f);
    CHECK_EQ(f->seen_len, 3);
    struct rec r = make(1, 4, 300);
    fix_append(f, &r, STORE_FORCE, &frame);
    fix_wait_durable(f, frame);
    fix_kill(f);
    fix_rot(f, 0, loc_off(locs[2]) + 9);
    fix_open(f);
    CHECK_EQ(f->seen_len, 1);
    CHECK_EQ(f->damage_len, 2);
    CHECK(f->damage[1].stream == 1 && f->damage[1].seq == 1);
    CHECK(strstr(f->damage[1].what, "batch") != NULL);
    fix_end(f);
}

/* Without damage what has no end was given up, whatever follows. */
static void no_hole_no_end(void) {
    struct fixture *f = fix_new(IO_POSIX);
    fix_open(f);
    uint64_t frame = 0;
    for (uint64_t i = 0; i < 3; i++) {
        struct rec r = make(1, 1 + i, 100);
        r.flags = i < 2 ? batch_flags(i, 99) : 0;
        fix_append(f, &r, STORE_FORCE, &frame);
    }
    fix_wait_durable(f, frame);
    fix_kill(f);
    fix_open(f);
    CHECK_EQ(f->seen_len, 1);
    CHECK_EQ(f->damage_len, 0);
    fix_end(f);
}

CHECK_MAIN(CASE(what_is_reserved_is_enough), CASE(too_large_is_refused), CASE(a_cut_batch_never_existed),
           CASE(a_new_batch_drops_an_open_one), CASE(damage_in_a_batch_costs_one_record),
           CASE(an_unreadable_end_counts_when_something_follows), CASE(an_unreadable_end_at_a_stop_is_told),
           CASE(no_hole_no_end))
