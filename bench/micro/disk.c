/* disk.c - see disk.h. */
#include "disk.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BLOCK ((size_t)4096)
#define STEP  ((size_t)1 << 20)

static char own_folder[4096];

static void die(const char *what) {
    perror(what);
    exit(1);
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *at) {
    (void)st, (void)kind, (void)at;
    return remove(path);
}
void disk_remove(const char *path) { nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS); }
static void remove_own(void) { disk_remove(own_folder); }

const char *disk_folder(const char *base) {
    if (own_folder[0]) return own_folder;
    if (!base) base = getenv("MICRO_DIR");
    snprintf(own_folder, sizeof own_folder, "%.4000s/micro-XXXXXX", base ? base : ".");
    if (!mkdtemp(own_folder)) die(own_folder);
    atexit(remove_own);
    return own_folder;
}

struct disk_file {
    int fd;
    size_t size, at;
    uint8_t *buf;
    char path[4200];
};

struct disk_file *disk_open(const char *folder, size_t bytes) {
    struct disk_file *f = calloc(1, sizeof *f);
    if (!f || posix_memalign((void **)&f->buf, BLOCK, STEP)) die("memory");
    memset(f->buf, 0x5a, STEP);
    f->size = (bytes + STEP - 1) / STEP * STEP;
    snprintf(f->path, sizeof f->path, "%s/limit", folder);
    f->fd = open(f->path, O_RDWR | O_CREAT | O_TRUNC | O_DIRECT | O_DSYNC, 0600);
    if (f->fd < 0) die(f->path);
    for (size_t at = 0; at < f->size; at += STEP)
        if (pwrite(f->fd, f->buf, STEP, (off_t)at) != (ssize_t)STEP) die(f->path);
    return f;
}

void disk_write_durable(struct disk_file *f, size_t n) {
    n = (n + BLOCK - 1) / BLOCK * BLOCK;
    if (n > STEP) n = STEP;
    if (f->at + n > f->size) f->at = 0;
    f->buf[0]++;
    if (pwrite(f->fd, f->buf, n, (off_t)f->at) != (ssize_t)n) die(f->path);
    f->at += n;
}

void disk_read(struct disk_file *f, uint64_t where, size_t n) {
    if (n > STEP) n = STEP;
    size_t at = where % (f->size - n + 1) / BLOCK * BLOCK;
    if (pread(f->fd, f->buf, n, (off_t)at) != (ssize_t)n) die(f->path);
}

void disk_close(struct disk_file *f) {
    close(f->fd);
    unlink(f->path);
    free(f->buf);
    free(f);
}

uint64_t disk_written(void) {
    char line[128];
    unsigned long long n = 0;
    FILE *io = fopen("/proc/self/io", "re");
    if (!io) die("/proc/self/io");
    while (fgets(line, sizeof line, io))
        if (strncmp(line, "write_bytes: ", 13) == 0) n = strtoull(line + 13, NULL, 10);
    fclose(io);
    return n;
}

uint64_t disk_cpu_ns(void) {
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return ((uint64_t)r.ru_utime.tv_sec + (uint64_t)r.ru_stime.tv_sec) * 1000000000u +
           ((uint64_t)r.ru_utime.tv_usec + (uint64_t)r.ru_stime.tv_usec) * 1000u;
}

uint64_t disk_now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
