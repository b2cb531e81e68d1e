/* faultdisk.c - a disk with a volatile write cache, for power cuts: a FUSE file system of two files.
 *
 *     faultdisk MOUNTPOINT MEGABYTES
 *
 * `disk` is a disk's content, to be put under a loop device and a real file system. What is written to it
 * lies in a cache until it is flushed (fsync, which is what the loop device makes of the kernel's FLUSH).
 * `control` takes one command a write, and reads as one line of counters:
 *
 *     cut SEED      the power goes: every write since the last flush is kept, lost, or torn into 512-byte
 * sectors of which some are kept, in an order of its own; from then on all I/O fails cutat N SEED  the same
 * on the N-th write from now on, before it counts as done power         the power is back: what survived can
 * be read and written
 *
 * A loop device on a plain file would keep unflushed O_DIRECT writes, which no cut then loses. Nothing here
 * is kept on a real disk: the content is memory, and gone with the process. Single-threaded. A cache above
 * its bound flushes itself, as a disk's does; running out of memory fails the write. */
#define FUSE_USE_VERSION 31
#define _GNU_SOURCE
#include <errno.h>
#include <fuse.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { SECTOR = 512, CACHE_MAX = 64 << 20, CHUNK = 1 << 20, CHUNKS_MAX = 1 << 14 };

struct cached {
    struct cached *next;
    size_t off, size;
    uint8_t data[];
};

static struct {
    uint8_t *durable, *seen; /* what a cut leaves, what reads see */
    size_t size, cached_bytes;
    struct cached *first, **last;
    bool off, touched[CHUNKS_MAX]; /* chunks ever written: the others take no memory */
    uint64_t cut_at, cut_seed, random;
    uint64_t writes, flushes, cuts, pending, lost, torn; /* pending, lost, torn: writes at the last cut */
} disk;

static uint64_t next_random(void) {
    disk.random ^= disk.random << 13;
    disk.random ^= disk.random >> 7;
    return disk.random ^= disk.random << 17;
}

static void forget_cache(void) {
    for (struct cached *c = disk.first, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    disk.first = NULL;
    disk.last = &disk.first;
    disk.cached_bytes = 0;
}

static void flush_cache(void) {
    for (const struct cached *c = disk.first; c; c = c->next) memcpy(disk.durable + c->off, c->data, c->size);
    forget_cache();
}

static void survive(const struct cached *c) {
    switch (next_random() % 3) {
    case 0: disk.lost++; break;
    case 1: memcpy(disk.durable + c->off, c->data, c->size); break;
    default:
        disk.torn++;
        for (size_t at = 0; at < c->size; at += SECTOR) {
            if (next_random() & 1) memcpy(disk.durable + c->off + at, c->data + at, SECTOR);
        }
    }
}

/* Each of the cached writes in turn, a random one of those left. */
static void cut(uint64_t seed) {
    disk.random = seed * 0x9e3779b97f4a7c15u | 1;
    disk.off = true;
    disk.cuts++;
    disk.pending = disk.lost = disk.torn = 0;
    uint64_t count = 0;
    for (const struct cached *c = disk.first; c; c = c->next) count++;
    for (disk.pending = count; count > 0; count--) {
        struct cached **at = &disk.first;
        for (uint64_t skip = next_random() % count; skip > 0; skip--) at = &(*at)->next;
        struct cached *c = *at;
        *at = c->next;
        survive(c);
        free(c);
    }
    disk.first = NULL;
    forget_cache();
    disk.cut_at = 0;
}

static void power(void) {
    for (size_t i = 0; i < disk.size / CHUNK; i++) {
        if (disk.touched[i]) memcpy(disk.seen + i * CHUNK, disk.durable + i * CHUNK, CHUNK);
    }
    disk.off = false;
}

static int command(const char *text) {
    unsigned long long a, b;
    if (sscanf(text, "cutat %llu %llu", &a, &b) == 2 && a > 0) {
        disk.cut_at = disk.writes + a;
        disk.cut_seed = b;
    } else if (sscanf(text, "cut %llu", &a) == 1) {
        cut(a);
    } else if (strncmp(text, "power", 5) == 0) {
        power();
    } else {
        return -EINVAL;
    }
    return 0;
}

/* ------------------------------------------------------------------------------------------------ the file
 * system */

static bool is_disk(const char *path) { return strcmp(path, "/disk") == 0; }
static bool is_control(const char *path) { return strcmp(path, "/control") == 0; }

static int on_getattr(const char *path, struct stat *st, struct fuse_file_info *fi) {
    (void)fi;
    *st = (struct stat){.st_mode = S_IFREG | 0600, .st_nlink = 1};
    if (strcmp(path, "/") == 0) {
        *st = (struct stat){.st_mode = S_IFDIR | 0700, .st_nlink = 2};
    } else if (is_disk(path)) {
        st->st_size = (off_t)disk.size;
    } else if (!is_control(path)) {
        return -ENOENT;
    }
    return 0;
}

static int on_readdir(const char *path, void *buf, fuse_fill_dir_t fill, off_t off, struct fuse_file_info *fi,
                      enum fuse_readdir_flags flags) {
    (void)path, (void)off, (void)fi, (void)flags;
    static const char *const names[] = {".", "..", "disk", "control"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) fill(buf, names[i], NULL, 0, 0);
    return 0;
}

static int on_open(const char *path, struct fuse_file_info *fi) {
    fi->direct_io = 1; /* no page cache between the loop device and us */
    return is_disk(path) || is_control(path) ? 0 : -ENOENT;
}

static int read_control(char *buf, size_t n, off_t off) {
    char text[256];
    int len = snprintf(text, sizeof text,
                       "writes %llu flushes %llu cuts %llu pending %llu lost %llu torn %llu off %d\n",
                       (unsigned long long)disk.writes, (unsigned long long)disk.flushes,
                       (unsigned long long)disk.cuts, (unsigned long long)disk.pending,
                       (unsigned long long)disk.lost, (unsigned long long)disk.torn, disk.off);
    if (off >= len) return 0;
    if (n > (size_t)(len - off)) n = (size_t)(len - off);
    memcpy(buf, text + off, n);
    return (int)n;
}

static int on_read(const char *path, char *buf, size_t n, off_t off, struct fuse_file_info *fi) {
    (void)fi;
    if (is_control(path)) return read_control(buf, n, off);
    if (disk.off) return -EIO;
    if ((size_t)off >= disk.size) return 0;
    if (n > disk.size - (size_t)off) n = disk.size - (size_t)off;
    memcpy(buf, disk.seen + off, n);
    return (int)n;
}

static int write_disk(const char *buf, size_t n, size_t off) {
    if (disk.off) return -EIO;
    if (off % SECTOR || n % SECTOR || n == 0 || off > disk.size || n > disk.size - off) return -EINVAL;
    struct cached *c = malloc(sizeof *c + n);
    if (!c) return -ENOMEM;
    *c = (struct cached){.off = off, .size = n};
    memcpy(c->data, buf, n);
    memcpy(disk.seen + off, buf, n);
    for (size_t i = off / CHUNK; i <= (off + n - 1) / CHUNK; i++) disk.touched[i] = true;
    *disk.last = c;
    disk.last = &c->next;
    disk.cached_bytes += n;
    disk.writes++;
    if (disk.cut_at && disk.writes >= disk.cut_at) {
        cut(disk.cut_seed);
        return -EIO;
    }
    if (disk.cached_bytes > CACHE_MAX) flush_cache();
    return (int)n;
}

static int on_write(const char *path, const char *buf, size_t n, off_t off, struct fuse_file_info *fi) {
    (void)fi;
    if (is_disk(path)) return write_disk(buf, n, (size_t)off);
    char text[64] = {0};
    if (n >= sizeof text) return -EINVAL;
    memcpy(text, buf, n);
    int e = command(text);
    return e ? e : (int)n;
}

static int on_fsync(const char *path, int data, struct fuse_file_info *fi) {
    (void)data, (void)fi;
    if (!is_disk(path)) return 0;
    if (disk.off) return -EIO;
    disk.flushes++;
    flush_cache();
    return 0;
}

static int on_truncate(const char *path, off_t size,
                       struct fuse_file_info *fi) { /* echo > control truncates */
    (void)size, (void)fi;
    return is_control(path) ? 0 : -EPERM;
}

int main(int argc, char **argv) {
    if (argc != 3 || atoi(argv[2]) < 1 || atoi(argv[2]) > CHUNKS_MAX) {
        fputs("usage: faultdisk MOUNTPOINT MEGABYTES\n", stderr);
        return 2;
    }
    disk.size = (size_t)atoi(argv[2]) << 20;
    disk.last = &disk.first;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    disk.durable = mmap(NULL, disk.size, PROT_READ | PROT_WRITE, flags, -1, 0);
    disk.seen = mmap(NULL, disk.size, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (disk.durable == MAP_FAILED || disk.seen == MAP_FAILED) {
        perror("faultdisk: memory");
        return 1;
    }
    static const struct fuse_operations ops = {.getattr = on_getattr,
                                               .readdir = on_readdir,
                                               .open = on_open,
                                               .read = on_read,
                                               .write = on_write,
                                               .fsync = on_fsync,
                                               .truncate = on_truncate};
    char *args[] = {argv[0], "-f", "-s", argv[1], NULL};
    return fuse_main(4, args, &ops, NULL);
}
