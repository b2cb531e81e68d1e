/* disk.c - see disk.h. Each thread overwrites its own preallocated file in order, as a log does. When a file
 * cannot be made or a write fails, the probe is not valid. */
#include "host/disk.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/must.h"
#include "host/clock.h"

enum { FILE_BYTES = 16 << 20 };

struct writer {
    pthread_t thread;
    char path[300];
    int fd;
    uint32_t size;
    uint64_t until_ns, writes;
    uint8_t *block;
    bool direct, failed;
    struct hist latency;
};

static bool prepare(struct writer *w, const char *folder, unsigned i) {
    snprintf(w->path, sizeof w->path, "%s/millrace-bench-probe.%d.%u", folder, (int)getpid(), i);
    w->block = NULL;
    if (posix_memalign((void **)&w->block, 4096, w->size) != 0) return false;
    memset(w->block, 0x5a, w->size);
    w->fd = open(w->path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    if (w->fd < 0) return false;
    for (uint64_t at = 0; at + w->size <= FILE_BYTES; at += w->size) {
        if (pwrite(w->fd, w->block, w->size, (off_t)at) != (ssize_t)w->size) return false;
    }
    if (fsync(w->fd) != 0) return false;
    close(w->fd);
    w->direct = true;
    w->fd = open(w->path, O_WRONLY | O_DIRECT | O_DSYNC | O_CLOEXEC);
    if (w->fd < 0) {
        w->direct = false;
        w->fd = open(w->path, O_WRONLY | O_DSYNC | O_CLOEXEC);
    }
    return w->fd >= 0;
}

static void *write_on(void *arg) {
    struct writer *w = arg;
    uint64_t at = 0, begin = now_ns();
    while (begin < w->until_ns) {
        if (pwrite(w->fd, w->block, w->size, (off_t)at) != (ssize_t)w->size) {
            w->failed = true;
            return NULL;
        }
        uint64_t end = now_ns();
        hist_add(&w->latency, end - begin);
        w->writes++;
        begin = end;
        at = at + 2 * w->size <= FILE_BYTES ? at + w->size : 0;
    }
    return NULL;
}

static void tidy(struct writer *w) {
    if (w->fd >= 0) close(w->fd);
    unlink(w->path);
    free(w->block);
}

void disk_probe(struct disk_probe *p, const char *folder, uint32_t size, unsigned depth,
                uint64_t duration_ns) {
    must(depth >= 1 && depth <= DISK_DEPTH_MAX && size % 4096 == 0);
    memset(p, 0, sizeof *p);
    hist_init(&p->latency);
    struct writer *w = calloc(depth, sizeof *w);
    must(w);
    bool ready = true;
    for (unsigned i = 0; i < depth; i++) {
        w[i].size = size;
        w[i].fd = -1;
        hist_init(&w[i].latency);
        ready = ready && prepare(&w[i], folder, i);
    }
    uint64_t begin = now_ns();
    unsigned started = 0;
    for (; ready && started < depth; started++) {
        w[started].until_ns = begin + duration_ns;
        if (pthread_create(&w[started].thread, NULL, write_on, &w[started]) != 0) break;
    }
    p->valid = ready && started == depth;
    uint64_t writes = 0;
    for (unsigned i = 0; i < started; i++) {
        pthread_join(w[i].thread, NULL);
        p->valid = p->valid && !w[i].failed;
        p->direct = w[i].direct;
        writes += w[i].writes;
        hist_merge(&p->latency, &w[i].latency);
    }
    double seconds = (double)(now_ns() - begin) / (double)NS_PER_S;
    p->per_second = (double)writes / seconds;
    p->bytes_per_second = p->per_second * size;
    for (unsigned i = 0; i < depth; i++) tidy(&w[i]);
    free(w);
}
