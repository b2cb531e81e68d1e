/* test_store.c - append, commit, read and recover over the real back ends and a real file system. */
#include "test_store.h"

/* --- append and commit --- */

static void one_record_comes_back(enum io_backend b) {
    struct fixture *f = fix_new(b);
    fix_open(f);
    CHECK_EQ(f->seen_len, 0);
    struct rec r = make(1, 1, 100);
    uint64_t frame, loc = fix_append(f, &r, STORE_FORCE, &frame);
    CHECK_EQ(frame, 1);
    CHECK_EQ(store_durable(f->s), 0);
    fix_check(f, loc, 1, 1, 100); /* from the frame being filled */
    fix_wait_durable(f, frame);
    CHECK_EQ(f->durable, 1);
    fix_check(f, loc, 1, 1, 100); /* from the buffer */
    store_close(f->s);
    fix_open(f);
    CHECK_EQ(f->seen_len, 1);
    CHECK(f->seen[0].right && f->seen[0].seq == 1 && f->seen[0].loc == loc);
    fix_check(f, loc, 1, 1, 100); /* from the disk */
    CHECK_EQ(f->damage_len, 0);
    fix_end(f);
}
static void posix_one_record(void) { one_record_comes_back(IO_POSIX); }
static void auto_one_record(void) { one_record_comes_back(IO_AUTO); }

static void many_sizes(enum io_backend b) {
    struct fixture *f = fix_new(b);
    enum { N = 3000 };
    static uint64_t locs[N + 1];
    static size_t sizes[N + 1];
    struct rng g = {5};
    fix_open(f);
    uint64_t frame = 0, last = 0;
    for (uint64_t i = 1; i <= N; i++) {
        sizes[i] = rng_below(&g, i % 50 == 0 ? 200000 : 2000);
        struct rec r = make((uint32_t)(i % 7 + 1), i, sizes[i]);
        locs[i] = fix_append(f, &r, i % 4 ? STORE_RIDE : STORE_FORCE, &frame);
        CHECK(frame >= last && locs[i] > locs[i - 1]);
        last = frame;
        if (i % 10 == 0) fix_turn(f);
    }
    fix_wait_durable(f, last);
    for (uint64_t i = 1; i <= N; i += 3) fix_check(f, locs[i], (uint32_t)(i % 7 + 1), i, sizes[i]);
    store_close(f->s);
    fix_open(f);
    CHECK_EQ(f->seen_len, N);
    for (uint64_t i = 1; i <= N; i++) {
        const struct seen *x = &f->seen[i - 1];
        CHECK(x->right && x->seq == i && x->loc == locs[i] && x->payload == sizes[i]);
    }
    for (uint64_t i = N; i > 0; i -= 2) fix_check(f, locs[i], (uint32_t)(i % 7 + 1), i, sizes[i]);
    struct store_stats st;
    store_stats(f->s, &st);
    CHECK(st.segments >= 3 && st.damaged == 0 && st.cache_hits > 0);
    fix_end(f);
}
static void posix_many_sizes(void) { many_sizes(IO_POSIX); }
static void auto_many_sizes(void) { many_sizes(IO_AUTO); }

static void rides_wait_and_force_does_not(void) {
    struct fixture *f = fix_new(IO_POSIX);
    fix_open(f);
    struct rec r = make(1, 1, 10);
    uint64_t frame;
    fix_append(f, &r, STORE_RIDE, &frame);
    store_commit(f->s);
    CHECK(!store_frame_empty(f->s)); /* still being filled */
    CHECK(store_deadline(f->s) <= io_now(f->io) + RIDE_NS);
    r = make(1, 2, 10);
    uint64_t forced;
    fix_append(f, &r, STORE_FORCE, &forced);
    CHECK_EQ(forced, frame); /* one frame for both */
    store_commit(f->s);
    CHECK(store_frame_empty(f->s));
    fix_wait_durable(f, frame);
    r = make(1, 3, 10);
    fix_append(f, &r, STORE_RIDE, &frame);
    fix_wait_durable(f, frame); /* goes by itself */
    fix_end(f);
}

static void a_closing_frame_follows(void) {
    struct fixture *f = fix_new(IO_POSIX);
    fix_open(f);
    struct rec r = make(1, 1, 10);
    uint64_t frame;
    fix_append(f, &r, STORE_FORCE, &frame);
    fix_wait_durable(f, frame + 1);
    for (int i = 0; i < 20; i++) fix_turn(f);
    CHECK_EQ(store_durable(f->s), frame + 1);   /* one, not more */
    CHECK_EQ(store_deadline(f->s), UINT64_MAX); /* idle */
    struct frame_header h;
    fix_peek(f, 0, SEG_HEADERS_BYTES + 4096, &h, sizeof h);
    CHECK(h.flags & FRAME_CLOSING);
    CHECK_EQ(h.durable_through, frame);
    fix_end(f);
}

static void several_frames_fly(void) {
    struct fixture *f = fix_new(IO_POSIX);
    f->cfg.frames_in_flight = 4;
    fix_open(f);
    uint64_t frame = 0;
    for (uint64_t i = 1; i <= 12; i++) {
        struct rec r = make(1, i, 200000);
        fix_append(f, &r, STORE_FORCE, &frame);
        store_commit(f->s);
        CHECK(f->s->flying <= 4);
    }
    CHECK(f->s->flying == 4);
    fix_wait_durable(f, frame);
    store_close(f->s);
    fix_open(f);
    CHECK_EQ(f->seen_len, 12);
    fix_end(f);
}

static void a_full_buffer_refuses(void) {
    struct fixture *f = fix_new(IO_POSIX);
    f->cfg.buffer_bytes = 4 << 20;
    f->cfg.frame_max = 256 << 10;
    fix_open(f);
    uint64_t loc, frame = 0, n = 0;
    enum err e = ERR_OK;
    for (n = 1; n < 1000 && !e; n++) { /* no tick: nothing gets written */
        struct rec r = make(1, n, 100000);
        uint64_t no;
        e = store_append(f->s, &r, STORE_FORCE, &loc, &no);
        if (!e) frame = no;
    }
    CHECK_EQ(e, ERR_FULL);
    n -= 2; /* as many were taken */
    CHECK(store_backlog(f->s) >= n * 100000);
    fix_wait_durable(f, frame);
    CHECK(store_backlog(f->s) == 0);
    struct rec r = make(1, n + 1, 100000);
    fix_append(f, &r, STORE_FORCE, &frame);
    fix_wait_durable(f, frame);
    store_close(f->s);
    fix_open(f);
    CHECK_EQ(f->seen_len, n + 1);
    fix_end(f);
}

/* --- large records --- */

static void fragmented(enum io_backend b) {
    struct fixture *f = fix_new(b);
    f->cfg.frame_max = 64 << 10;
    f->cfg.seg_min = 1 << 20;
    f->cfg.seg_max = 4 << 20;
    fix_open(f);
    const size_t sizes[] = {65536 - 300, 65536, 70000, 500000, 3 << 20, 10, 9 << 20, 100000};
    enum { N = sizeof sizes / sizeof *sizes };
    uint64_t locs[N], frame = 0;
    for (size_t i = 0; i < N; i++) {
        struct rec r = make(3, i + 1, sizes[i]);
        locs[i] = fix_append(f, &r, STORE_FORCE, &frame);
        fix_check(f, locs[i], 3, i + 1, sizes[i]);
        fix_turn(f);
    }
    fix_wait_durable(f, frame);
    store_close(f->s);
    fix_open(f);
    CHECK_EQ(f->seen_len, N);
    for (size_t i = 0; i < N; i++) {
        CHECK(f->seen[i].right && f->seen[i].payload == sizes[i] && f->seen[i].loc == locs[i]);
        fix_check(f, locs[i], 3, i + 1, sizes[i]);
    }
    CHECK_EQ(f->damage_len, 0);
    fix_end(f);
}
static void posix_fragments(void) { fragmented(IO_POSIX); }
static void auto_fragments(void) { fragmented(IO_AUTO); }

static void the_largest_record(void) {
    struct fixture *f = fix_new(IO_POSIX);
    fix_open(f);
    uint64_t frame, loc;
    struct rec r = make(1, 1, REC_SIZE_MAX);
    CHECK_EQ(store_append(f->s, &r, STORE_FORCE, &loc, &frame), ERR_LIMIT);
    r = make(1, 1, 64 << 20);
    loc = fix_append(f, &r, STORE_FORCE, &frame);
    fix_wait_durable(f, frame);
    r = make(1, 2, 50);
    fix_append(f, &r, STORE_FORCE, &frame);
    fix_wait_durable(f, frame);
    fix_turn(f);
    CHECK(f->s->buf_cap <= 16 << 20); /* back to its size */
    store_close(f->s);
    fix_open(f);
    CHECK_EQ(f->seen_len, 2);
    CHECK(f->seen[0].right && f->seen[1].right);
    fix_check(f, loc, 1, 1, 64 << 20);
    fix_end(f);
}

/* --- recovery --- */

static void after_a_kill(void) {
    struct fixture *f = fix_new(IO_POSIX);
    uint64_t total = 0;
    for (int round = 0; round < 4; round++) {
        fix_open(f);
        CHECK_EQ(f->seen_len, total);
        for (size_t i = 0; i < f->seen_len; i++) CHECK(f->seen[i].right && f->seen[i].seq == i + 1);
        uint64_t frame = 0;
        for (int i = 0; i < 50; i++) {
            struct rec r = make(1, ++total, 300);
            fix_append(f, &r, STORE_FORCE, &frame);
            fix_turn(f);
        }
        fix_wait_durable(f, frame);
        struct rec r = make(1, total + 1, 300); /* never committed: gone */
        fix_append(f, &r, STORE_RIDE, &frame);
        fix_kill(f);
    }
    fix_open(f);
    CHECK_EQ(f->seen_len, total);
    CHECK_EQ(f->damage_len, 0);
    fix_end(f);
}

static void an_orderly_stop_goes_on_in_place(void) {
    struct fixture *f = fix_new(IO_POSIX);
    for (uint64_t i = 1; i <= 5; i++) {
        fix_open(f);
        CHECK_EQ(f->seen_len, i - 1);
        struct rec r = make(1, i, 10);
        uint64_t frame, loc = fix_append(f, &r, STORE_FORCE, &frame);
        CHECK_EQ(loc_seg(loc), 1);
        fix_wait_durable(f, frame);
        store_close(f->s);
    }
    fix_open(f);
    CHECK_EQ(f->seen_len, 5);
    fix_end(f);
}

/* Writes n records of 1000 bytes, each in a frame of its own. */
static void write_frames(struct fixture *f, uint64_t n, uint64_t *locs) {
    for (uint64_t i = 1; i <= n; i++) {
        struct rec r = make(1, i, 1000);
        uint64_t frame;
        locs[i] = fix_append(f, &r, STORE_FORCE, &frame);
        fix_wait_durable(f, frame);
    }
}

static void damage_costs_one_record(void) {
    struct fixture *f = fix_new(IO_POSIX);
    uint64_t locs[11];
    fix_open(f);
    write_frames(f, 10, locs);
    store_close(f->s);
    fix_rot(f, 0, loc_off(locs[4]) + sizeof(struct rec_header) + 500);
    for (int again = 0; again < 2; again++) {
        fix_open(f);
        CHECK_EQ(f->seen_len, 9);
        CHECK_EQ(f->damage_len, 1);
        CHECK_EQ(f->damage[0].seq, 4);
        CHECK_EQ(f->damage[0].stream, 1);
        CHECK_EQ(f->damage[0].off, loc_off(locs[4]));
        for (size_t i = 0; i < 9; i++) CHECK(f->seen[i].right && f->seen[i].seq == i + 1 + (i >= 3));
        struct rec got;
        CHECK_EQ(fix_read(f, locs[4], &got), ERR_CORRUPT);
        CHECK_EQ(f->damage_len, 1); /* said once */
        fix_check(f, locs[3], 1, 3, 1000);
        fix_check(f, locs[5], 1, 5, 1000);
        store_close(f->s);
    }
    f->s = NULL;
    fix_end(f);
}

static void damaged_headers(void) {
    struct fixture *f = fix_new(IO_POSIX);
    uint64_t locs[11];
    fix_open(f);
    write_frames(f, 10, locs);
    store_close(f->s);
    fix_rot(f, 0, loc_off(locs[3]) - 8);  /* the frame's header */
    fix_rot(f, 0, loc_off(locs[6]) + 4);  /* a record's header: kind */
    fix_rot(f, 0, loc_off(locs[9]) - 40); /* both headers of a frame */
    fix_rot(f, 0, loc_off(locs[9]) - 80 + 4096 - 8);
    fix_open(f);
    CHECK_EQ(f->seen_len, 9); /* only record 6 is lost */
    for (size_t i = 0; i < 9; i++) CHECK(f->seen[i].right && f->seen[i].seq == i + 1 + (i >= 5));
    CHECK_EQ(f->damage_len, 3);
    fix_end(f);
}

static void damage_in_the_tail_is_no_tear(void) {
    struct fixture *f = fix_new(IO_POSIX);
    uint64_t locs[6];
    fix_open(f);
    write_frames(f, 5, locs);
    fix_wait_durable(f, 6); /* the closing frame */
    fix_kill(f);
    fix_rot(f, 0, loc_off(locs[5]) + 300);
    fix_open(f);
    CHECK_EQ(f->seen_len, 4);
    CHECK_EQ(f->damage_len, 1);
    CHECK_EQ(f->damage[0].seq, 5);
    store_close(f->s);
    fix_open(f);
    CHECK_EQ(f->seen_len, 4);
    CHECK_EQ(f->damage_len, 1);
    fix_end(f);
}

static void a_tear_ends_the_log(void) {
    struct fixture *f = fix_new(IO_POSIX);
    uint64_t locs[6];
    uint8_t zeros[4096] = {0};
    f->cfg.frames_in_flight = 4;
    fix_open(f);
    write_frames(f, 5, locs);
    f->s->append_ns = io_now(f->io) + 1000000000000; /* no closing frame */
    fix_kill(f);
    fix_poke(f, 0, loc_off(locs[5]) - 80 + 512, zeros, 512);
    for (int again = 0; again < 3; again++) {
        fix_open(f);
        CHECK_EQ(f->seen_len, 4);
        CHECK_EQ(f->damage_len, 0);
        fix_kill(f);
    }
    fix_open(f);
    struct rec r = make(1, 5, 77); /* another content under the same number */
    uint64_t frame;
    fix_append(f, &r, STORE_FORCE, &frame);
    CHECK(frame > 5);
    fix_wait_durable(f, frame);
    fix_kill(f);
    fix_open(f);
    CHECK_EQ(f->seen_len, 5);
    CHECK_EQ(f->seen[4].payload, 77);
    CHECK_EQ(f->damage_len, 0);
    fix_end(f);
}

static void batches_are_whole_or_not(void) {
    struct fixture *f = fix_new(IO_POSIX);
    f->cfg.frame_max = 8192;
    fix_open(f);
    uint64_t frame = 0;
    for (uint64_t i = 1; i <= 40; i++) { /* 1-10 plain, 11-20 a batch, 21 plain, 22-40 a batch without end */
        struct rec r = make(1, i, 2000);
        if ((i > 10 && i <= 20) || i > 21) r.flags = REC_F_BATCH;
        if (i == 20) r.flags |= REC_F_BATCH_END;
        fix_append(f, &r, STORE_FORCE, &frame);
        if (i % 5 == 0) fix_turn(f);
    }
    fix_wait_durable(f, frame);
    fix_kill(f);
    fix_open(f);
    CHECK_EQ(f->seen_len, 21);
    for (size_t i = 0; i < 21; i++) CHECK(f->seen[i].right && f->seen[i].seq == i + 1);
    fix_end(f);
}

/* --- what is refused --- */

static void foreign_and_newer_files(void) {
    struct fixture *f = fix_new(IO_POSIX);
    fix_open(f);
    store_close(f->s);
    f->cfg.log = 2;
    CHECK_EQ(fix_try_open(f), ERR_FOREIGN);
    CHECK(f->s == NULL);
    f->cfg.log = 1;
    f->cfg.uuid[3]++;
    CHECK_EQ(fix_try_open(f), ERR_FOREIGN);
    f->cfg.uuid[3]--;
    struct seg_header h;
    fix_peek(f, 0, 0, &h, sizeof h);
    h.version++;
    seg_header_seal(&h);
    fix_poke(f, 0, 0, &h, sizeof h);
    fix_poke(f, 0, SEG_HEADER_COPY, &h, sizeof h);
    CHECK_EQ(fix_try_open(f), ERR_FORMAT);
    f->s = NULL;
    fix_end(f);
}

static void bad_segment_headers(void) {
    struct fixture *f = fix_new(IO_POSIX);
    fix_open(f);
    struct rec r = make(1, 1, 10);
    uint64_t frame;
    fix_append(f, &r, STORE_FORCE, &frame);
    fix_wait_durable(f, frame);
    store_close(f->s);
    fix_rot(f, 0, 20); /* one copy is enough */
    fix_open(f);
    CHECK_EQ(f->seen_len, 1);
    store_close(f->s);
    fix_rot(f, 0, SEG_HEADER_COPY + 20); /* and was mended from the other */
    fix_open(f);
    CHECK_EQ(f->seen_len, 1);
    store_close(f->s);
    fix_rot(f, 0, 20);
    fix_rot(f, 0, SEG_HEADER_COPY + 20);
    fix_open(f);
    CHECK_EQ(f->seen_len, 0);
    CHECK_EQ(f->damage_len, 1);
    char path[96];
    snprintf(path, sizeof path, "%s/00000000.bad", f->dir);
    CHECK(access(path, F_OK) == 0);
    fix_end(f);
}

static bool told_cut_off;
static void cut_off_line(void *ctx, int level, const char *text) {
    (void)ctx;
    told_cut_off |= level == LOG_WARN && strstr(text, "00000000.seg is cut off") != NULL;
}

/* As a copy that was broken off leaves it: what is missing cannot be told from a tear, only that it is. */
static void a_cut_off_file_is_said(void) {
    struct fixture *f = fix_new(IO_POSIX);
    char path[96];
    f->cfg.log_line = cut_off_line;
    fix_open(f);
    uint64_t frame = 0;
    for (uint64_t i = 1; i <= 20; i++) {
        struct rec r = make(1, i, 3000);
        fix_append(f, &r, STORE_FORCE, &frame);
        fix_wait_durable(f, frame);
    }
    fix_kill(f);
    told_cut_off = false;
    fix_open(f);
    CHECK(f->seen_len == 20 && !told_cut_off);
    fix_kill(f);
    fix_path(f, 0, path);
    CHECK_EQ(truncate(path, SEG_HEADERS_BYTES + 20000), 0);
    fix_open(f);
    CHECK(f->seen_len > 0 && f->seen_len < 20);
    for (size_t i = 0; i < f->seen_len; i++) CHECK(f->seen[i].right && f->seen[i].seq == i + 1);
    CHECK(told_cut_off);
    fix_end(f);
}

static void memory_file_systems(void) { /* no O_DIRECT there on older kernels: falls back */
    struct fixture *f = fix_new(IO_POSIX);
    char dir[64] = "/dev/shm/mr-store-XXXXXX";
    if (!mkdtemp(dir)) exit(0);
    CHECK(rmdir(f->dir) == 0);
    strcpy(f->dir, dir);
    fix_open(f);
    struct rec r = make(1, 1, 10);
    uint64_t frame;
    fix_append(f, &r, STORE_FORCE, &frame);
    fix_wait_durable(f, frame);
    store_close(f->s);
    fix_open(f);
    CHECK_EQ(f->seen_len, 1);
    fix_end(f);
}

CHECK_MAIN(CASE(posix_one_record), CASE(auto_one_record), CASE(posix_many_sizes), CASE(auto_many_sizes),
           CASE(rides_wait_and_force_does_not), CASE(a_closing_frame_follows), CASE(several_frames_fly),
           CASE(a_full_buffer_refuses), CASE(posix_fragments), CASE(auto_fragments), CASE(the_largest_record),
           CASE(after_a_kill), CASE(an_orderly_stop_goes_on_in_place), CASE(damage_costs_one_record),
           CASE(damaged_headers), CASE(damage_in_the_tail_is_no_tear), CASE(a_tear_ends_the_log),
           CASE(batches_are_whole_or_not), CASE(foreign_and_newer_files), CASE(bad_segment_headers),
           CASE(a_cut_off_file_is_said), CASE(memory_file_systems))
