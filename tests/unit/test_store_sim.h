/* test_store_sim.h - a fixture of test_store.h over the simulated disk, where each step is the test's to
 * decide. */
#pragma once
#include "sim/sim_io.h"
#include "test_store.h"

static struct sim_disk *disk;
static struct rng crash_rng = {1};

/* Segments of this size; not opened yet. */
static inline struct fixture *sim_fixture(uint64_t segment) {
    struct fixture *f = calloc(1, sizeof *f);
    f->seen = calloc(SEEN_MAX, sizeof *f->seen);
    disk = sim_disk_new();
    CHECK_EQ(sim_node_create(disk, NULL, "log", true, NULL), ERR_OK);
    sim_node_sync(disk, sim_disk_root(disk), UINT64_MAX);
    CHECK_EQ(sim_io_open(&f->io, disk, 1), ERR_OK);
    f->cfg = (struct store_config){.path = "log",
                                   .log = 1,
                                   .frame_max = 16384,
                                   .seg_min = segment,
                                   .seg_max = segment,
                                   .buffer_bytes = 2 << 20,
                                   .cache_bytes = 1 << 20,
                                   .log_line = fix_line};
    f->owner = (struct store_owner){f, fix_apply, fix_damaged, fix_commit, fix_failed, fix_rewrite};
    return f;
}

static inline void sim_end(struct fixture *f) {
    if (f->s) store_close(f->s);
    io_close(f->io);
    sim_disk_free(disk);
    free(f->seen);
    free(f);
}
