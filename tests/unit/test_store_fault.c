/* test_store_fault.c - space, reclaim and failing disks, over the simulated disk where each step is ours to
 * decide. */
#include "test_store_sim.h"

/* The machine stops; a new one opens the log. */
static void crash_and_open(struct fixture *f, enum sim_crash how) {
    static uint64_t seed = 100;
    sim_io_crash(f->io, how, &crash_rng);
    store_close(f->s);
    io_close(f->io);
    CHECK_EQ(sim_io_open(&f->io, disk, seed++), ERR_OK);
    f->failed = 0;
    fix_open(f);
}

static uint64_t put(struct fixture *f, uint64_t seq, size_t n, unsigned how, uint64_t *frame) {
    struct rec r = make(1, seq, n);
    return fix_append(f, &r, how, frame);
}

/* --- reclaim --- */

enum { BODY = 3000 };
static size_t bytes_of(uint64_t seq) {
    struct rec r = make(1, seq, BODY);
    return rec_size(r.subject.n, r.hdr.n, r.payload.n);
}

static void answer_rewrite(struct fixture *f) {
    if (!f->rewrite || f->rewrite == UINT64_MAX) return;
    uint64_t segno = f->rewrite, frame;
    f->rewrite = 0;
    struct rec r = make(1, 1000000 + segno, 100);
    r.kind = REC_STREAM;
    fix_append(f, &r, STORE_RIDE, &frame);
    store_rewritten(f->s, segno);
}

/* A stream that keeps the last `keep` messages, for n messages. */
static void roll(struct fixture *f, uint64_t n, uint64_t keep, uint64_t *locs) {
    uint64_t frame = 0;
    for (uint64_t i = 1; i <= n; i++) {
        locs[i] = put(f, i, BODY, STORE_FORCE, &frame);
        if (i > keep) store_dead(f->s, locs[i - keep], bytes_of(i - keep));
        fix_turn(f);
        answer_rewrite(f);
    }
    fix_wait_durable(f, frame);
}

static void dead_segments_are_used_again(void) {
    struct fixture *f = sim_fixture(256 << 10);
    static uint64_t locs[4001];
    fix_open(f);
    roll(f, 4000, 100, locs); /* 12 MiB through segments of 256 KiB, 300 KiB live */
    struct store_stats st;
    store_stats(f->s, &st);
    CHECK(st.live_bytes <= 110 * 3200);
    CHECK(sim_disk_used(disk) <= 10 * (256 << 10)); /* and not 46 */
    CHECK(store_first_segno(f->s) > 30);
    for (uint64_t i = 3901; i <= 4000; i++) fix_check(f, locs[i], 1, i, BODY);
    struct rec got;
    CHECK_EQ(fix_read(f, locs[1], &got), ERR_NONE); /* its segment is gone */
    crash_and_open(f, SIM_POWER);
    size_t live = 0;
    for (size_t i = 0; i < f->seen_len; i++) live += f->seen[i].kind == REC_MESSAGE && f->seen[i].seq > 3900;
    CHECK_EQ(live, 100);
    CHECK_EQ(f->damage_len, 0);
    sim_end(f);
}

static void nothing_goes_before_the_owner_has_rewritten(void) {
    struct fixture *f = sim_fixture(256 << 10);
    fix_open(f);
    uint64_t frame, first = 0;
    for (uint64_t i = 1; i <= 600; i++) {
        uint64_t loc = put(f, i, BODY, STORE_FORCE, &frame);
        if (!first) first = loc_seg(loc);
        store_dead(f->s, loc, bytes_of(i));
        fix_turn(f);
    }
    fix_wait_durable(f, frame);
    CHECK(f->rewrite > 0);
    CHECK_EQ(store_first_segno(f->s), first); /* asked, not answered: all is there */
    for (int i = 0; i < 400 && store_first_segno(f->s) == first; i++) {
        answer_rewrite(f);
        fix_turn(f);
    }
    CHECK(store_first_segno(f->s) > first);
    sim_end(f);
}

static void a_batch_holds_its_segments(void) {
    struct fixture *f = sim_fixture(256 << 10);
    fix_open(f);
    uint64_t frame, locs[201];
    for (uint64_t i = 1; i <= 200; i++) { /* one batch over several segments */
        struct rec r = make(1, i, BODY);
        r.flags = REC_F_BATCH | (i == 200 ? REC_F_BATCH_END : 0);
        locs[i] = fix_append(f, &r, STORE_FORCE, &frame);
        fix_turn(f);
    }
    uint64_t last = loc_seg(locs[200]);
    CHECK(last > loc_seg(locs[1]) + 1);
    for (uint64_t i = 2; i <= 200; i++) store_dead(f->s, locs[i], bytes_of(i)); /* only the first is wanted */
    for (uint64_t i = 201; i <= 400; i++) {
        store_dead(f->s, put(f, i, BODY, STORE_FORCE, &frame), bytes_of(i));
        fix_turn(f);
        answer_rewrite(f);
    }
    CHECK(seg_find(f->s, last) != NULL); /* holds the batch's end */
    crash_and_open(f, SIM_POWER);
    CHECK(f->seen_len > 0 && f->seen[0].seq == 1 && f->seen[0].flags & REC_F_BATCH);
    CHECK(seg_find(f->s, last) != NULL && seg_find(f->s, last)->needs == loc_seg(locs[1]));
    sim_end(f);
}

/* --- space --- */

static void no_space_is_no_failure(void) {
    struct fixture *f = sim_fixture(256 << 10);
    fix_open(f);
    uint64_t loc, frame = 0, seq = 1;
    sim_disk_limit(disk, 1 << 20);
    enum err e = ERR_OK;
    for (int i = 0; i < 5000 && e != ERR_NOSPC; i++) {
        struct rec r = make(1, seq, BODY);
        e = store_append(f->s, &r, STORE_FORCE, &loc, &frame);
        if (!e) seq++;
        fix_turn(f);
    }
    CHECK_EQ(e, ERR_NOSPC);
    CHECK_EQ(f->failed, 0);
    for (uint64_t i = 0; i < 12; i++) { /* what is not a message still goes */
        struct rec r = make(1, 5000 + i, 500);
        r.kind = REC_PROGRESS;
        CHECK_EQ(store_append(f->s, &r, STORE_FORCE, &loc, &frame), ERR_OK);
        fix_turn(f);
    }
    fix_wait_durable(f, frame);
    sim_disk_limit(disk, UINT64_MAX);
    struct rec r = make(1, seq, BODY);
    for (int i = 0; i < 2000 && (e = store_append(f->s, &r, STORE_FORCE, &loc, &frame)) != ERR_OK; i++)
        fix_turn(f);
    CHECK_EQ(e, ERR_OK);
    fix_wait_durable(f, frame);
    crash_and_open(f, SIM_POWER);
    CHECK_EQ(f->seen_len, seq + 12);
    sim_end(f);
}

static void opening_without_space(void) {
    struct fixture *f = sim_fixture(256 << 10);
    fix_open(f);
    uint64_t frame, loc = put(f, 1, 100, STORE_FORCE, &frame);
    fix_wait_durable(f, frame);
    sim_disk_limit(disk, sim_disk_used(disk));
    crash_and_open(f, SIM_POWER); /* wants a new segment */
    CHECK_EQ(f->seen_len, 1);
    fix_check(f, loc, 1, 1, 100);
    struct rec r = make(1, 2, 100);
    CHECK_EQ(store_append(f->s, &r, STORE_FORCE, &loc, &frame), ERR_NOSPC);
    crash_and_open(f, SIM_KILL);
    CHECK_EQ(f->seen_len, 1);
    sim_disk_limit(disk, UINT64_MAX);
    enum err e = ERR_NOSPC;
    for (int i = 0; i < 2000 && (e = store_append(f->s, &r, STORE_FORCE, &loc, &frame)) != ERR_OK; i++)
        fix_turn(f);
    CHECK_EQ(e, ERR_OK);
    fix_wait_durable(f, frame);
    crash_and_open(f, SIM_POWER);
    CHECK_EQ(f->seen_len, 2);
    CHECK_EQ(f->damage_len, 0);
    sim_end(f);
}

/* What a recovery cut short is short, but it is the log's: on a full disk it is used again as it is. */
static void a_full_disk_lives_on_cut_segments(void) {
    struct fixture *f = sim_fixture(256 << 10);
    fix_open(f);
    uint64_t frame, seq = 0, loc;
    while (f->s->place->end < 190 << 10) put(f, ++seq, BODY, STORE_FORCE, &frame), fix_turn(f);
    fix_wait_durable(f, frame);
    crash_and_open(f, SIM_KILL);
    size_t cut = f->seen_len;
    static uint64_t locs[4000];
    sim_disk_limit(disk, sim_disk_used(disk));
    enum err e = ERR_OK;
    for (int i = 0; i < 3000 && e != ERR_NOSPC; i++) {
        struct rec r = make(1, ++seq, BODY);
        e = store_append(f->s, &r, STORE_FORCE, &loc, &frame);
        if (e) seq--;
        locs[seq] = loc;
        fix_turn(f);
    }
    CHECK_EQ(e, ERR_NOSPC);
    for (size_t k = 0; k < cut; k++) store_dead(f->s, f->seen[k].loc, bytes_of(f->seen[k].seq));
    struct rec next = make(1, seq + 1, BODY), purge = make(1, cut, 10);
    purge.kind = REC_PURGE;
    fix_append(f, &purge, STORE_FORCE, &frame);
    for (int i = 0; i < 3000 && (e = store_append(f->s, &next, STORE_FORCE, &loc, &frame)) != ERR_OK; i++) {
        fix_turn(f);
        answer_rewrite(f);
    }
    CHECK_EQ(e, ERR_OK);
    fix_wait_durable(f, frame);
    for (uint64_t i = cut + 1; i <= seq; i++) fix_check(f, locs[i], 1, i, BODY);
    crash_and_open(f, SIM_POWER);
    CHECK(f->seen[f->seen_len - 1].seq == seq + 1 && f->damage_len == 0);
    sim_end(f);
}

/* Someone waits for ERR_FULL or ERR_NOSPC to pass: on_commit must come by itself. */
static int told;
static void count_told(struct fixture *f) {
    (void)f;
    told++;
}
static void who_was_refused_is_told(void) {
    struct fixture *f = sim_fixture(256 << 10);
    fix_open(f);
    sim_disk_limit(disk, 600 << 10);
    uint64_t loc, frame = 0;
    enum err e = ERR_OK;
    for (uint64_t i = 1; i < 5000 && e != ERR_NOSPC; i++) {
        struct rec r = make(1, i, BODY);
        e = store_append(f->s, &r, STORE_FORCE, &loc, &frame);
        fix_turn(f);
    }
    for (int i = 0; i < 200; i++) fix_turn(f);
    sim_disk_limit(disk, UINT64_MAX);
    f->on_commit = count_told;
    told = 0;
    for (int i = 0; i < 3000 && !told; i++) fix_turn(f);
    CHECK(told > 0);
    struct rec r = make(1, 9, BODY);
    CHECK_EQ(store_append(f->s, &r, STORE_FORCE, &loc, &frame), ERR_OK);
    sim_end(f);
}

/* --- failure --- */

static void a_failed_write_is_final(void) {
    struct fixture *f = sim_fixture(256 << 10);
    fix_open(f);
    uint64_t loc, frame, good = put(f, 1, 100, STORE_FORCE, &frame);
    fix_wait_durable(f, frame);
    sim_io_faults(f->io, &(struct sim_faults){.write_error = 1});
    put(f, 2, 100, STORE_FORCE, &frame);
    for (int i = 0; i < 100; i++) fix_turn(f);
    CHECK_EQ(f->failed, 1);
    CHECK(store_durable(f->s) < frame);
    sim_io_faults(f->io, &(struct sim_faults){0}); /* the disk recovers; the log does not */
    struct rec r = make(1, 3, 100);
    CHECK_EQ(store_append(f->s, &r, STORE_FORCE, &loc, &frame), ERR_FAILED);
    fix_check(f, good, 1, 1, 100); /* reads go on */
    CHECK_EQ(store_deadline(f->s), UINT64_MAX);
    struct store_stats st;
    store_stats(f->s, &st);
    CHECK(st.failed);
    store_close(f->s);
    fix_open(f);
    CHECK(f->seen_len >= 1 && f->seen[0].seq == 1);
    r = make(1, 4, 100);
    fix_append(f, &r, STORE_FORCE, &frame);
    fix_wait_durable(f, frame);
    sim_end(f);
}

static void a_failed_sync_is_final(void) {
    struct fixture *f = sim_fixture(256 << 10);
    f->cfg.interval = true;
    f->cfg.interval_ns = 1000 * 1000;
    fix_open(f);
    uint64_t frame;
    put(f, 1, 100, STORE_FORCE, &frame);
    fix_wait_durable(f, frame);
    sim_io_crash(f->io, SIM_KILL, &crash_rng); /* everything fails from here */
    f->s->forced = true;
    put(f, 2, 100, STORE_FORCE, &frame);
    for (int i = 0; i < 20; i++) fix_turn(f);
    CHECK_EQ(f->failed, 1);
    sim_end(f);
}

/* --- the interval --- */

static void interval_acknowledges_twice(void) {
    struct fixture *f = sim_fixture(256 << 10);
    f->cfg.interval = true;
    f->cfg.interval_ns = 500 * 1000 * 1000;
    fix_open(f);
    uint64_t frame, plain, synced;
    put(f, 1, 100, STORE_FORCE, &plain);
    for (int i = 0; i < 20; i++) fix_turn(f);
    CHECK(store_written(f->s) >= plain && store_durable(f->s) < plain);
    put(f, 2, 100, STORE_DSYNC, &synced);
    while (store_durable(f->s) < synced) fix_turn(f);
    CHECK(io_now(f->io) < 1100ull * 1000 * 1000 + (1ull << 40)); /* by its own sync, and all before it */
    put(f, 3, 100, STORE_FORCE, &frame);
    uint64_t since = io_now(f->io);
    while (store_durable(f->s) < frame) fix_turn(f);
    uint64_t took = io_now(f->io) - since;
    CHECK(took >= 400ull * 1000 * 1000 && took < 700ull * 1000 * 1000); /* the simulated clock */
    put(f, 4, 100, STORE_FORCE, &frame);
    for (int i = 0; i < 20; i++) fix_turn(f);
    CHECK(store_written(f->s) >= frame);
    crash_and_open(f, SIM_KILL); /* written survives the process */
    CHECK_EQ(f->seen_len, 4);
    sim_end(f);
}

/* --- stale bytes --- */

/* Both headers of the frame that ends a file's segment; how much of the file lies behind it. */
static uint64_t behead_the_last(const char *path) {
    struct frame_header h;
    const struct sim_node *n = sim_node_find(disk, NULL, path);
    for (uint64_t off = SEG_HEADERS_BYTES; sim_node_read(n, off, &h, sizeof h) == sizeof h; off += h.size) {
        if (h.magic != FRAME_MAGIC || h.off != off || h.size == 0) return 0;
        if (!(h.flags & FRAME_LAST)) continue;
        sim_disk_rot(disk, path, off + 9, 2);
        sim_disk_rot(disk, path, off + h.size - sizeof h + 9, 2);
        return sim_node_size(n) - off - h.size;
    }
    return 0;
}

/* A segment ends before its file, which was used before, does; the frame that says so is damaged. What the
 * earlier use left stands where records may stand, and only the epoch in their checksums tells. */
static void an_earlier_use_of_a_file_never_shows(void) {
    struct fixture *f = sim_fixture(256 << 10);
    static uint64_t locs[1001];
    fix_open(f);
    roll(f, 1000, 20, locs);
    uint64_t frame, seq = 1000;
    while (f->s->place->end < SEG_HEADERS_BYTES + (100 << 10) || f->s->place->end > 120 << 10)
        put(f, ++seq, BODY, STORE_FORCE, &frame), fix_turn(f);
    char path[32];
    snprintf(path, sizeof path, "log/%08x.seg", f->s->place->file);
    CHECK(f->s->place->segno > 10); /* far more than there are files */
    enum err e = ERR_FULL;
    for (int i = 0; i < 2000 && e == ERR_FULL; i++) {
        e = store_reserve(f->s, 60 * bytes_of(seq), 60);
        if (e == ERR_FULL) fix_turn(f);
    }
    CHECK_EQ(e, ERR_OK);
    for (int i = 0; i < 100; i++) put(f, ++seq, BODY, STORE_FORCE, &frame);
    fix_wait_durable(f, frame);
    store_close(f->s);
    CHECK(behead_the_last(path) > 64 << 10);
    fix_open(f);
    CHECK(f->damage_len > 0);
    uint64_t last = 0;
    for (size_t i = 0; i < f->seen_len; i++) {
        if (f->seen[i].kind != REC_MESSAGE) continue;
        CHECK(f->seen[i].right);
        CHECK(last ? f->seen[i].seq == last + 1 : f->seen[i].seq <= 981);
        last = f->seen[i].seq;
    }
    CHECK_EQ(last, seq);
    sim_end(f);
}

/* --- preparing --- */

static void an_unused_log_stays_small(void) {
    struct fixture *f = sim_fixture(256 << 10);
    fix_open(f);
    for (int i = 0; i < 50; i++) fix_turn(f);
    CHECK_EQ(sim_disk_used(disk), 256 << 10);
    for (int i = 0; i < 5; i++) {
        store_close(f->s);
        fix_open(f);
    }
    CHECK_EQ(sim_disk_used(disk), 256 << 10);
    CHECK_EQ(store_deadline(f->s), UINT64_MAX);
    sim_end(f);
}

/* --- many stops --- */

static void an_idle_log_takes_no_room_for_kills(void) {
    struct fixture *f = sim_fixture(256 << 10);
    fix_open(f);
    uint64_t frame;
    put(f, 1, 100, STORE_FORCE, &frame);
    fix_wait_durable(f, frame);
    for (int i = 0; i < 100; i++) {
        crash_and_open(f, i % 2 ? SIM_KILL : SIM_POWER);
        for (int k = 0; k < i % 5; k++) fix_turn(f);
    }
    CHECK(sim_disk_used(disk) <= 2 * (256 << 10));
    CHECK(f->s->segs_len <= 3);
    CHECK_EQ(f->seen_len, 1);
    sim_end(f);
}

static void kills_cost_what_was_written_between_them(void) {
    struct fixture *f = sim_fixture(256 << 10);
    f->cfg.seg_max = 4 << 20;
    fix_open(f);
    uint64_t frame, locs[101];
    for (uint64_t i = 1; i <= 100; i++) {
        locs[i] = put(f, i, 100, STORE_FORCE, &frame);
        fix_wait_durable(f, frame);
        crash_and_open(f, i % 2 ? SIM_KILL : SIM_POWER);
    }
    CHECK_EQ(f->seen_len, 100);
    CHECK(sim_disk_used(disk) <= 100 * (SEG_HEADERS_BYTES + 3 * 4096) + 4 * (256 << 10));
    CHECK(f->s->place->size <=
          512 << 10); /* as large as what is in the log makes it, not the files' number */
    for (uint64_t i = 1; i <= 100; i++) fix_check(f, locs[i], 1, i, 100);
    sim_end(f);
}

/* What a version without cuts left behind, or a stop between the end mark and the cut. */
static void a_closed_segment_left_long_is_cut(void) {
    struct fixture *f = sim_fixture(256 << 10);
    fix_open(f);
    uint64_t frame, loc = put(f, 1, 100, STORE_FORCE, &frame);
    fix_wait_durable(f, frame);
    crash_and_open(f, SIM_KILL);
    uint64_t before = sim_disk_used(disk);
    struct sim_node *n = sim_node_find(disk, NULL, "log/00000000.seg");
    CHECK_EQ(sim_node_size(n), SEG_HEADERS_BYTES + 2 * 4096);
    CHECK_EQ(sim_node_grow(disk, n, 256 << 10), ERR_OK);
    store_close(f->s);
    fix_open(f);
    CHECK_EQ(sim_disk_used(disk), before);
    CHECK_EQ(f->damage_len, 0);
    fix_check(f, loc, 1, 1, 100);
    sim_end(f);
}

static bool names_file(const char *name) { return sim_node_find(disk, NULL, name) != NULL; }

static void cut_segments_are_removed_not_used_again(void) {
    struct fixture *f = sim_fixture(256 << 10);
    fix_open(f);
    uint64_t frame, i = 1;
    for (; i <= 10; i++) {
        put(f, i, 100, STORE_FORCE, &frame);
        fix_wait_durable(f, frame);
        crash_and_open(f, SIM_KILL);
    }
    for (size_t k = 0; k < f->seen_len; k++) {
        struct rec r = make(1, f->seen[k].seq, 100);
        store_dead(f->s, f->seen[k].loc, rec_size(r.subject.n, r.hdr.n, r.payload.n));
    }
    put(f, i, 100, STORE_FORCE, &frame);
    fix_wait_durable(f, frame);
    for (int k = 0; k < 300; k++) {
        fix_turn(f);
        answer_rewrite(f);
        sim_io_sleep(f->io, 10 * 1000 * 1000);
    }
    CHECK(!names_file("log/00000000.seg"));
    CHECK_EQ(f->s->segs_len, 1);
    CHECK(sim_disk_used(disk) <= 3 * (256 << 10));
    crash_and_open(f, SIM_POWER);
    CHECK(f->seen_len >= 1 && f->seen[0].seq == i);
    CHECK_EQ(f->damage_len, 0);
    sim_end(f);
}

static void half_made_files_do_not_gather(void) {
    struct fixture *f = sim_fixture(256 << 10);
    fix_open(f);
    uint64_t frame, i = 1;
    for (; i <= 60; i++) { /* each life is killed while it prepares the next segment */
        while (!f->s->maker.seg) put(f, i, 8000, STORE_FORCE, &frame), fix_turn(f);
        for (uint64_t k = 0; k < i % 7; k++) fix_turn(f);
        crash_and_open(f, SIM_KILL);
    }
    uint64_t used = sim_disk_used(disk), held = 0;
    for (size_t k = 0; k < f->s->segs_len; k++) held += f->s->segs[k]->size;
    CHECK(used <= held + 3 * (256 << 10)); /* the pool, and one on its way */
    sim_end(f);
}

static void a_dry_log_goes_on(void) {
    struct fixture *f = sim_fixture(256 << 10);
    f->cfg.frames_in_flight = 8;
    sim_io_faults(f->io, &(struct sim_faults){.latency_ns = 3 * 1000 * 1000});
    fix_open(f);
    sim_io_faults(f->io, &(struct sim_faults){.latency_ns = 3 * 1000 * 1000});
    uint64_t frame = 0;
    for (uint64_t i = 1; i <= 400; i++) { /* faster than zeros can be written */
        put(f, i, 8000, STORE_FORCE, &frame);
        if (i % 4 == 0) fix_turn(f);
    }
    fix_wait_durable(f, frame);
    struct store_stats st;
    store_stats(f->s, &st);
    CHECK(st.dry > 0);
    crash_and_open(f, SIM_POWER);
    CHECK_EQ(f->seen_len, 400);
    sim_end(f);
}

/* Frames queued for a segment whose header is still being written: nothing is to be done before that
 * completes. */
static void waiting_does_not_spin(void) {
    struct fixture *f = sim_fixture(256 << 10);
    fix_open(f);
    sim_io_faults(f->io, &(struct sim_faults){.latency_ns = 20 * 1000 * 1000});
    uint64_t frame = 0, turns = 0, loc;
    for (uint64_t i = 1; i <= 300; i++) {
        struct rec r = make(1, i, 8000);
        while (store_append(f->s, &r, STORE_FORCE, &loc, &frame) == ERR_FULL) fix_turn(f), turns++;
        store_commit(f->s);
    }
    while (store_durable(f->s) < frame) fix_turn(f), turns++;
    CHECK(turns < 3000); /* a few an operation, not one a microsecond */
    sim_end(f);
}

/* --- misplaced bytes --- */

static void a_misdirected_write_is_noticed(void) {
    struct fixture *f = sim_fixture(256 << 10);
    fix_open(f);
    uint64_t frame, locs[11];
    for (uint64_t i = 1; i <= 10; i++) {
        if (i == 5) sim_io_faults(f->io, &(struct sim_faults){.misdirect = 1}); /* lands one block off */
        locs[i] = put(f, i, 100, STORE_FORCE, &frame);
        while (store_durable(f->s) < frame) {
            store_commit(f->s);
            io_tick(f->io, io_now(f->io) + 100000);
        }
        if (i == 5) sim_io_faults(f->io, &(struct sim_faults){0});
    }
    crash_and_open(f, SIM_POWER);
    CHECK(f->damage_len > 0);
    for (size_t i = 0; i < f->seen_len; i++)
        CHECK(f->seen[i].right && f->seen[i].loc == locs[f->seen[i].seq]);
    CHECK(f->seen_len >= 8 && f->seen[f->seen_len - 1].seq == 10);
    sim_end(f);
}

static void a_bad_sector_costs_what_lies_in_it(void) {
    struct fixture *f = sim_fixture(256 << 10);
    fix_open(f);
    uint64_t frame;
    for (uint64_t i = 1; i <= 30; i++) {
        put(f, i, 100, STORE_FORCE, &frame);
        fix_wait_durable(f, frame);
    }
    store_close(f->s);
    sim_io_faults(f->io, &(struct sim_faults){.read_error = 40});
    fix_open(f);
    sim_io_faults(f->io, &(struct sim_faults){0});
    for (size_t i = 0; i < f->seen_len; i++) CHECK(f->seen[i].right);
    store_close(f->s);
    fix_open(f); /* nothing was destroyed by not being readable once */
    CHECK_EQ(f->seen_len, 30);
    sim_end(f);
}

CHECK_MAIN(CASE(dead_segments_are_used_again), CASE(nothing_goes_before_the_owner_has_rewritten),
           CASE(a_batch_holds_its_segments), CASE(no_space_is_no_failure), CASE(opening_without_space),
           CASE(a_full_disk_lives_on_cut_segments), CASE(who_was_refused_is_told),
           CASE(a_failed_write_is_final), CASE(a_failed_sync_is_final), CASE(interval_acknowledges_twice),
           CASE(an_unused_log_stays_small), CASE(a_dry_log_goes_on),
           CASE(an_idle_log_takes_no_room_for_kills), CASE(kills_cost_what_was_written_between_them),
           CASE(a_closed_segment_left_long_is_cut), CASE(cut_segments_are_removed_not_used_again),
           CASE(half_made_files_do_not_gather), CASE(waiting_does_not_spin),
           CASE(a_misdirected_write_is_noticed), CASE(an_earlier_use_of_a_file_never_shows),
           CASE(a_bad_sector_costs_what_lies_in_it))
