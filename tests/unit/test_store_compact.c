/* test_store_compact.c - segments that hold little are emptied, over the simulated disk. The owner here is a
 * table of places; it checks each step that compaction takes. */
#include "test_store_sim.h"

enum { MSGS = 8000, SEGMENT = 256 << 10, BODY = 1000 };

static struct fixture *f;
static uint64_t place[MSGS], copied_in[MSGS]; /* where it lies, 0: nowhere; the frame of its copy */
static uint32_t body[MSGS];
static uint64_t moves, losts, refuse; /* refuse: so many moves from now on */
static size_t live;

static size_t bytes_of(uint64_t seq) {
    struct rec r = make(1, seq, body[seq]);
    return rec_size(r.subject.n, r.hdr.n, r.payload.n);
}

static bool on_wanted(void *ctx, uint8_t kind, uint32_t stream, uint64_t seq, uint64_t loc) {
    CHECK(ctx == f);
    CHECK(kind == REC_MESSAGE || kind == REC_MOVED || kind == REC_FRAGMENT || kind == REC_CHECKPOINT);
    return kind != REC_CHECKPOINT && stream == 1 && seq < MSGS && place[seq] == loc;
}

static void forget(uint64_t seq) {
    store_dead(f->s, place[seq], bytes_of(seq));
    live -= bytes_of(seq);
    place[seq] = 0;
}

static enum err on_move(void *ctx, const struct rec *r, uint64_t loc) {
    if (!on_wanted(ctx, r->kind, r->stream, r->seq, loc)) return ERR_NONE;
    struct rec want = make(1, r->seq, body[r->seq]);
    want.kind = r->kind;
    CHECK(same(r, &want));
    if (refuse) {
        refuse--;
        return ERR_FULL;
    }
    struct rec copy = *r;
    copy.kind = REC_MOVED;
    uint64_t to, frame;
    enum err e = store_append(f->s, &copy, STORE_RIDE, &to, &frame);
    if (e) return e;
    place[r->seq] = to;
    copied_in[r->seq] = frame;
    store_dead(f->s, loc, bytes_of(r->seq));
    moves++;
    return ERR_OK;
}

static void on_lost(void *ctx, uint32_t stream, uint64_t seq, uint64_t loc) {
    CHECK(on_wanted(ctx, REC_MESSAGE, stream, seq, loc));
    losts++;
    forget(seq);
}

static void begin(void) {
    f = sim_fixture(SEGMENT);
    f->owner.wanted = on_wanted;
    f->owner.move = on_move;
    f->owner.lost = on_lost;
    memset(place, 0, sizeof place);
    memset(copied_in, 0, sizeof copied_in);
    moves = losts = refuse = 0;
    live = 0;
    fix_open(f);
}

static void end(void) { sim_end(f); }

static void answer_rewrite(void) {
    if (!f->rewrite) return;
    uint64_t segno = f->rewrite, frame;
    f->rewrite = 0;
    struct rec r = make(1, 1000000 + segno, 100);
    r.kind = REC_STREAM;
    fix_append(f, &r, STORE_RIDE, &frame);
    store_rewritten(f->s, segno);
}

static void go(int turns) {
    for (int i = 0; i < turns; i++) {
        fix_turn(f);
        answer_rewrite();
    }
}

static void put(uint64_t seq, uint32_t n) {
    uint64_t frame;
    body[seq] = n;
    struct rec r = make(1, seq, n);
    place[seq] = fix_append(f, &r, STORE_FORCE, &frame);
    live += bytes_of(seq);
}

/* Messages from..to, of which every keep-th stays. */
static void fill(uint64_t from, uint64_t to, uint64_t keep, uint32_t n) {
    for (uint64_t seq = from; seq <= to; seq++) {
        put(seq, n);
        if (seq > from + 40 && (seq - 40) % keep) forget(seq - 40);
        go(1);
    }
    for (uint64_t seq = to - 39; seq <= to; seq++)
        if (seq % keep) forget(seq);
}

static void check_one(uint64_t seq) {
    struct rec got;
    CHECK_EQ(fix_read(f, place[seq], &got), ERR_OK);
    struct rec want = make(1, seq, body[seq]);
    want.kind = got.kind;
    CHECK(got.kind == (copied_in[seq] ? REC_MOVED : REC_MESSAGE));
    CHECK(same(&got, &want));
}

static void check_all(void) {
    for (uint64_t seq = 1; seq < MSGS; seq++)
        if (place[seq]) check_one(seq);
}

static uint64_t held(void) {
    struct store_stats st;
    store_stats(f->s, &st);
    CHECK_EQ(st.live_bytes, live);
    return st.segments * SEGMENT;
}

/* The last place of each message, as a recovery finds it. */
static void crash_and_find(enum sim_crash how) {
    static uint64_t seed = 50, found[MSGS];
    uint64_t want[MSGS];
    memcpy(want, place, sizeof want);
    sim_io_crash(f->io, how, &crash_rng);
    store_close(f->s);
    io_close(f->io);
    CHECK_EQ(sim_io_open(&f->io, disk, seed++), ERR_OK);
    f->failed = 0;
    fix_open(f);
    memset(found, 0, sizeof found);
    for (size_t i = 0; i < f->seen_len; i++)
        if (f->seen[i].kind == REC_MESSAGE || f->seen[i].kind == REC_MOVED) {
            CHECK(f->seen[i].right);
            found[f->seen[i].seq] = f->seen[i].loc;
        }
    for (uint64_t seq = 1; seq < MSGS; seq++)
        if (want[seq]) CHECK(found[seq] != 0);
}

/* --- cases --- */

static void little_is_gathered(void) {
    begin();
    fill(1, 6000, 10, BODY); /* 6 MiB through 24 segments; a tenth stays */
    go(600);
    CHECK(moves > 300);
    CHECK(held() <= 2 * live + 3 * SEGMENT);
    struct store_stats st;
    store_stats(f->s, &st);
    CHECK(st.disk_bytes <= 2 * live + 7 * SEGMENT); /* with the pool */
    CHECK_EQ(st.moved_records, moves);
    CHECK(st.emptied > 10);
    check_all();
    crash_and_find(SIM_POWER);
    end();
}

/* A log that holds much of what it takes is left alone, and nothing is moved for nothing. */
static void what_dies_by_itself_is_not_copied(void) {
    begin();
    for (uint64_t seq = 1; seq <= 6000; seq++) {
        put(seq, BODY);
        if (seq > 1000) forget(seq - 1000);
        if (seq % 14 == 0) go(1); /* a full frame */
    }
    go(300);
    CHECK(held() <= 2 * live + 3 * SEGMENT);
    CHECK(moves < 200);
    check_all();
    end();
}

/* No original's segment goes before the frame with the copy is durable. */
static void originals_stay_until_the_copies_are_durable(void) {
    begin();
    static uint64_t original[MSGS];
    for (uint64_t seq = 1; seq <= 4000; seq++) {
        put(seq, BODY);
        original[seq] = place[seq] >> 32;
        if (seq > 40 && (seq - 40) % 9) forget(seq - 40);
        go(1);
        for (uint64_t x = 1; x <= seq; x++)
            if (copied_in[x] > store_durable(f->s)) CHECK(seg_find(f->s, original[x]) != NULL);
        for (uint64_t x = 1; x <= seq; x++)
            if (place[x]) original[x] = copied_in[x] <= store_durable(f->s) ? place[x] >> 32 : original[x];
    }
    CHECK(moves > 100);
    end();
}

static void crashes_anywhere(void) {
    for (uint64_t at = 1; at < 60; at++) {
        begin();
        fill(1, 1500 + at * 7, 12, BODY);
        sim_io_crash_at(f->io, at * at / 4 + 1, at % 2 ? SIM_POWER : SIM_KILL, &crash_rng);
        go(120);
        crash_and_find(at % 2 ? SIM_POWER : SIM_KILL);
        CHECK_EQ(f->damage_len, 0);
        end();
    }
}

static void refused_moves_are_tried_again(void) {
    begin();
    refuse = 50;
    fill(1, 3000, 10, BODY);
    go(600);
    CHECK_EQ(refuse, 0);
    CHECK(held() <= 2 * live + 3 * SEGMENT);
    check_all();
    end();
}

static void records_in_pieces_move(void) {
    begin();
    for (uint64_t seq = 1; seq <= 600; seq++) {
        put(seq, seq % 20 == 0 ? 50000 : 2000); /* larger than a frame */
        go(1);
    }
    for (uint64_t seq = 1; seq <= 600; seq++)
        if (seq % 60) forget(seq);
    uint64_t frame;
    struct rec r = make(1, 2000000, 10);
    r.kind = REC_PROGRESS;
    fix_append(f, &r, STORE_FORCE, &frame);
    go(800);
    CHECK(moves > 5);
    CHECK(held() <= 2 * live + 3 * SEGMENT);
    check_all();
    crash_and_find(SIM_KILL);
    end();
}

/* --- damage --- */

static void rot(uint64_t loc, uint64_t skip) {
    struct seg *g = seg_find(f->s, loc >> 32);
    CHECK(g != NULL);
    char path[64];
    snprintf(path, sizeof path, "log/%08x.seg", g->file);
    CHECK(sim_disk_rot(disk, path, (loc & UINT32_MAX) * 8 + skip, 1));
}

/* Full segments of which few messages stay, one of them damaged: its body, or its header. */
static void damaged_one(uint64_t skip) {
    begin();
    for (uint64_t seq = 1; seq <= 1200; seq++) {
        put(seq, BODY);
        if (seq % 14 == 0) go(1);
    }
    go(20);
    CHECK_EQ(moves, 0);
    uint64_t first = place[20] >> 32;
    rot(place[20], skip);
    for (uint64_t seq = 1; seq <= 1200; seq++)
        if (seq % 20 || seq > 800) forget(seq);
    go(10);
    uint64_t frame;
    struct rec r = make(1, 2000000, 10);
    r.kind = REC_PROGRESS;
    fix_append(f, &r, STORE_FORCE, &frame);
    go(600);
    CHECK(moves > 20);
    CHECK(f->damage_len >= 1 || skip < sizeof(struct rec_header));
    CHECK_EQ(losts, skip >= sizeof(struct rec_header));
    bool stays = seg_find(f->s, first) != NULL;
    CHECK_EQ(stays, skip < sizeof(struct rec_header)); /* nobody knows whose it was: nothing is given up */
    if (stays) place[20] = 0;
    check_all();
    end();
}
static void a_damaged_body_is_lost_alone(void) { damaged_one(200); }
static void a_damaged_header_keeps_its_segment(void) { damaged_one(10); }

static void a_damaged_frame_gives_its_records(void) {
    begin();
    fill(1, 300, 1, BODY);
    uint64_t first = place[1] >> 32;
    for (uint64_t off = SEG_HEADERS_BYTES; off < SEGMENT; off += 4096)
        rot(first << 32 | off / 8, 0); /* every frame's first header, and some records */
    for (uint64_t seq = 1; seq <= 300; seq++)
        if (place[seq] >> 32 == first && seq % 10) forget(seq);
    for (uint64_t seq = 301; seq <= 2000; seq++) {
        put(seq, BODY);
        forget(seq);
        go(1);
    }
    go(300);
    CHECK(moves >= 10);
    check_all();
    end();
}

/* --- space --- */

static void a_full_disk_gets_room_by_it(void) {
    begin();
    fill(1, 2400, 4, BODY); /* a quarter stays, below the bound or not */
    sim_disk_limit(disk, sim_disk_used(disk));
    enum err e = ERR_OK;
    uint64_t seq = 3000, taken = 0;
    for (int i = 0; i < 20000 && taken < 1500; i++) { /* messages that die at once: more than fits */
        uint64_t loc, frame;
        body[seq] = BODY;
        struct rec r = make(1, seq, BODY);
        e = store_append(f->s, &r, STORE_FORCE, &loc, &frame);
        if (e) CHECK(e == ERR_NOSPC || e == ERR_FULL);
        if (!e) store_dead(f->s, loc, bytes_of(seq));
        if (!e) taken++, seq++;
        if (e == ERR_NOSPC) sim_io_sleep(f->io, 100 * 1000 * 1000);
        go(1);
    }
    CHECK_EQ(taken, 1500);
    check_all();
    end();
}

CHECK_MAIN(CASE(little_is_gathered), CASE(what_dies_by_itself_is_not_copied),
           CASE(originals_stay_until_the_copies_are_durable), CASE(crashes_anywhere),
           CASE(refused_moves_are_tried_again), CASE(records_in_pieces_move),
           CASE(a_damaged_body_is_lost_alone), CASE(a_damaged_header_keeps_its_segment),
           CASE(a_damaged_frame_gives_its_records), CASE(a_full_disk_gets_room_by_it))
