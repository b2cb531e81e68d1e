/* engine_folder.h - engine_world.h with a folder of small segments, checkpoints when asked for, and hands in
 * its files: where a text lies, a bit turned over. */
#pragma once
#include "engine_world.h"

__attribute__((unused)) static const char *const first_segment = "log-0000/00000000.seg";

__attribute__((unused)) static struct mr_shard_stats stats(void) {
    struct mr_shard_stats st;
    mr_shard_stats(w.sh, &st);
    return st;
}

__attribute__((unused)) static void world_small(void) {
    w.cfg.segment_bytes = 1 << 20;
    w.cfg.checkpoint_bytes = 1 << 30; /* only when asked for */
    world_new(1);
}

__attribute__((unused)) static void checkpoint(void) {
    uint64_t before = stats().checkpoints;
    CHECK_EQ(mr_checkpoint(w.sh), MR_OK);
    for (int i = 0; i < 10000 && stats().checkpoints == before; i++) mr_shard_run(w.sh, 1000000);
    CHECK_EQ(stats().checkpoints, before + 1);
}

__attribute__((unused)) static void path_in(char out[400], const char *name) {
    snprintf(out, 400, "%s/%s", w.dir, name);
}

/* Where this text lies in the first segment, the first time or the last. */
__attribute__((unused)) static uint64_t place_of(const char *text, bool last) {
    char path[400];
    struct stat st;
    path_in(path, first_segment);
    CHECK_EQ(stat(path, &st), 0);
    uint8_t *p = malloc((size_t)st.st_size), *at = NULL;
    read_file(path, p, (size_t)st.st_size);
    for (uint8_t *from = p, *hit;
         (hit = memmem(from, (size_t)(p + st.st_size - from), text, strlen(text)));) {
        at = hit;
        from = hit + 1;
        if (!last) break;
    }
    CHECK(at != NULL);
    uint64_t off = (uint64_t)(at - p);
    free(p);
    return off;
}

__attribute__((unused)) static void flip(const char *name, uint64_t off, uint8_t bit) {
    char path[400];
    uint8_t b;
    path_in(path, name);
    int fd = open(path, O_RDWR);
    CHECK(fd >= 0);
    CHECK_EQ(pread(fd, &b, 1, (off_t)off), 1);
    b ^= bit;
    CHECK_EQ(pwrite(fd, &b, 1, (off_t)off), 1);
    close(fd);
}
