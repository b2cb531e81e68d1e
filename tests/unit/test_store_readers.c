/* test_store_readers.c - more readers at once than the cache has room for: each of them is served. */
#include "test_store.h"

enum { READERS_MAX = 400, SMALLEST = 1 << 20 };

struct reader {
    struct store_wait wait;
    uint64_t loc, seq;
    size_t size;
    bool ready, served;
};

static void reader_ready(struct store_wait *w) { container_of(w, struct reader, wait)->ready = true; }

/* As the engine asks: in the order of the requests, and again when told or at the next turn. */
static size_t ask_all(struct fixture *f, struct reader *r, size_t n) {
    size_t served = 0;
    for (size_t i = 0; i < n; i++) {
        if (r[i].served || !r[i].ready) continue;
        struct rec got;
        enum err e = store_read(f->s, r[i].loc, &r[i].wait, &got);
        CHECK(e == ERR_OK || e == ERR_LATER || e == ERR_FULL);
        r[i].ready = e == ERR_FULL;
        if (e == ERR_LATER) store_read_ahead(f->s, r[i].loc);
        if (e != ERR_OK) continue;
        struct rec want = make(1, r[i].seq, r[i].size);
        CHECK(same(&got, &want));
        r[i].served = true;
        served++;
    }
    return served;
}

static void all_are_served(enum io_backend b, size_t cache, size_t n, size_t size, size_t gone) {
    struct fixture *f = fix_new(b);
    f->cfg.cache_bytes = cache;
    f->cfg.buffer_bytes = 4 << 20;
    static struct reader r[READERS_MAX];
    CHECK(n <= READERS_MAX);
    fix_open(f);
    uint64_t frame = 0;
    for (size_t i = 0; i < n; i++) {
        struct rec rec = make(1, i + 1, size);
        r[i] = (struct reader){.seq = i + 1, .size = size, .ready = true};
        store_wait_init(&r[i].wait);
        r[i].wait.on_ready = reader_ready;
        r[i].loc = fix_append(f, &rec, STORE_FORCE, &frame);
    }
    fix_wait_durable(f, frame);
    store_close(f->s);
    fix_open(f); /* nothing is in memory */
    size_t served = ask_all(f, r, n);
    for (size_t i = 0; i < gone; i++) { /* some lose interest while their blocks are on the way */
        if (!r[i].served) served++;
        r[i].served = true;
        store_wait_cancel(&r[i].wait);
    }
    for (size_t turns = 0; served < n && turns < 20000; turns++) {
        fix_turn(f);
        served += ask_all(f, r, n);
    }
    CHECK_EQ(served, n);
    for (size_t i = 0; i < n; i++) store_wait_cancel(&r[i].wait);
    fix_end(f);
}

static void large_records(void) { all_are_served(IO_POSIX, SMALLEST, 40, 900000, 0); }
static void large_records_auto(void) { all_are_served(IO_AUTO, SMALLEST, 40, 900000, 0); }
static void large_records_usual_cache(void) { all_are_served(IO_AUTO, 8 << 20, 120, 900000, 0); }
static void records_over_two_blocks(void) { all_are_served(IO_AUTO, SMALLEST, 400, 100000, 0); }
static void small_records(void) { all_are_served(IO_AUTO, SMALLEST, 400, 9000, 0); }
static void fragmented_records(void) { all_are_served(IO_AUTO, SMALLEST, 16, 3 << 20, 0); }
static void some_give_up(void) { all_are_served(IO_AUTO, SMALLEST, 40, 900000, 12); }

CHECK_MAIN(CASE(large_records), CASE(large_records_auto), CASE(large_records_usual_cache),
           CASE(records_over_two_blocks), CASE(small_records), CASE(fragmented_records), CASE(some_give_up))
