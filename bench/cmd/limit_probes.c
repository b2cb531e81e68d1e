/* limit_probes.c - see limits.h. Two threads where two sides are needed; the second ends when its descriptor
 * closes. A probe that cannot run answers 0, or records nothing. */
#include "cmd/limits.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/must.h"
#include "host/clock.h"

enum { ECHO_BYTES = 64, BUFFER = 256 << 10 };

double limit_memcpy(uint64_t block, uint64_t duration_ns) {
    uint8_t *from = malloc(block), *to = malloc(block);
    must(from && to);
    memset(from, 1, block);
    memset(to, 2, block);
    uint64_t begin = now_ns(), now = begin, bytes = 0;
    while (now < begin + duration_ns) {
        for (uint64_t done = 0; done < 16u << 20; done += block) {
            memcpy(to, from, block);
            __asm__ volatile("" : : "r"(to) : "memory");
            bytes += block;
        }
        now = now_ns();
    }
    free(from);
    free(to);
    return (double)bytes / ((double)(now - begin) / 1e9);
}

double limit_syscall(uint64_t duration_ns) {
    uint64_t begin = now_ns(), now = begin, calls = 0;
    while (now < begin + duration_ns) {
        for (int i = 0; i < 1000; i++) syscall(SYS_getppid);
        calls += 1000;
        now = now_ns();
    }
    return (double)(now - begin) / (double)calls;
}

/* Two ends of a TCP connection over loopback. */
static bool pair(int ends[2]) {
    struct sockaddr_in a = {.sin_family = AF_INET};
    socklen_t n = sizeof a;
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ends[0] = ends[1] = -1;
    bool ok = listener >= 0 && bind(listener, (struct sockaddr *)&a, n) == 0 && listen(listener, 1) == 0 &&
              getsockname(listener, (struct sockaddr *)&a, &n) == 0;
    ends[0] = ok ? socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) : -1;
    ok = ok && ends[0] >= 0 && connect(ends[0], (struct sockaddr *)&a, sizeof a) == 0;
    ends[1] = ok ? accept(listener, NULL, NULL) : -1;
    for (int i = 0; i < 2 && ends[i] >= 0; i++)
        setsockopt(ends[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (listener >= 0) close(listener);
    return ends[1] >= 0;
}

static void close_pair(int ends[2]) {
    for (int i = 0; i < 2; i++) {
        if (ends[i] >= 0) close(ends[i]);
    }
}

static void *echo(void *arg) {
    uint8_t b[ECHO_BYTES];
    int fd = *(int *)arg;
    while (recv(fd, b, sizeof b, MSG_WAITALL) == sizeof b) {
        if (send(fd, b, sizeof b, MSG_NOSIGNAL) != sizeof b) break;
    }
    return NULL;
}

void limit_echo(struct hist *latency, uint64_t duration_ns) {
    int ends[2];
    uint8_t b[ECHO_BYTES] = {0};
    pthread_t thread;
    if (pair(ends) && pthread_create(&thread, NULL, echo, &ends[1]) == 0) {
        uint64_t begin = now_ns(), at = begin;
        while (at < begin + duration_ns) {
            if (send(ends[0], b, sizeof b, MSG_NOSIGNAL) != sizeof b ||
                recv(ends[0], b, sizeof b, MSG_WAITALL) != sizeof b)
                break;
            uint64_t now = now_ns();
            hist_add(latency, now - at);
            at = now;
        }
        shutdown(ends[0], SHUT_RDWR);
        pthread_join(thread, NULL);
    }
    close_pair(ends);
}

static void *drain(void *arg) {
    int fd = *(int *)arg;
    uint8_t *b = malloc(BUFFER);
    must(b);
    while (recv(fd, b, BUFFER, 0) > 0) continue;
    free(b);
    return NULL;
}

double limit_stream(uint64_t block, uint64_t duration_ns) {
    int ends[2];
    pthread_t thread;
    double rate = 0;
    uint8_t *b = calloc(1, block);
    must(b);
    if (pair(ends) && pthread_create(&thread, NULL, drain, &ends[1]) == 0) {
        uint64_t begin = now_ns(), now = begin, bytes = 0;
        for (; now < begin + duration_ns; now = now_ns()) {
            ssize_t n = send(ends[0], b, block, MSG_NOSIGNAL);
            if (n <= 0) break;
            bytes += (uint64_t)n;
        }
        rate = (double)bytes / ((double)(now - begin) / 1e9);
        shutdown(ends[0], SHUT_RDWR);
        pthread_join(thread, NULL);
    }
    close_pair(ends);
    free(b);
    return rate;
}

static bool pin(int core) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    return sched_setaffinity(0, sizeof set, &set) == 0;
}

struct bells {
    int there, back;
    _Bool stop;
};

static void *answer(void *arg) {
    struct bells *b = arg;
    eventfd_t v;
    pin(1);
    while (eventfd_read(b->there, &v) == 0 && v < 1000) eventfd_write(b->back, 1);
    return NULL;
}

void limit_wake(struct hist *latency, uint64_t duration_ns) {
    cpu_set_t before;
    struct bells b = {eventfd(0, EFD_CLOEXEC), eventfd(0, EFD_CLOEXEC), false};
    pthread_t thread;
    must(b.there >= 0 && b.back >= 0);
    sched_getaffinity(0, sizeof before, &before);
    if (CPU_ISSET(0, &before) && CPU_ISSET(1, &before) && pthread_create(&thread, NULL, answer, &b) == 0) {
        pin(0);
        eventfd_t v;
        uint64_t begin = now_ns(), at = begin;
        while (at < begin + duration_ns) {
            eventfd_write(b.there, 1);
            eventfd_read(b.back, &v);
            uint64_t now = now_ns();
            hist_add(latency, now - at);
            at = now;
        }
        eventfd_write(b.there, 1000);
        pthread_join(thread, NULL);
        sched_setaffinity(0, sizeof before, &before);
    }
    close(b.there);
    close(b.back);
}
