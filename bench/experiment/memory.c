/* memory.c - what the pages under messages in memory are worth.
 *
 *     experiment-memory --pages plain|huge|reserved|ahead [--mib 1024] [--message 128] [--reads 5000000]
 * [--cpu 1]
 *
 * plain     4 KiB pages (MADV_NOHUGEPAGE)
 * huge      2 MiB aligned, MADV_HUGEPAGE, first touched by the append that needs them
 * reserved  MAP_HUGETLB; wants vm.nr_hugepages, says so and ends otherwise
 * ahead     huge, and each 2 MiB step is populated (MADV_POPULATE_WRITE) by another thread, one step ahead
 *
 * Appends records (20 bytes of head, a body) one behind the other until the region is full, then reads: in
 * order, at random (one does not wait for the other), at random along a chain (each one says which is next).
 * Every read checks the record's number. One line: ns each, the slowest appends, page faults, resident
 * memory. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/rng.h"
#include "experiment/meter.h"
#include "host/clock.h"

enum pages { PLAIN, HUGE, RESERVED, AHEAD, KINDS };
static const char *const names[KINDS] = {"plain", "huge", "reserved", "ahead"};
#define STEP ((size_t)2 << 20)
enum { HEAD = 20, TIMED = 16 };

struct memory {
    uint8_t *p;
    size_t size, record, count;
    enum pages pages;
    pthread_t thread;
    _Atomic size_t wanted; /* ahead: populate up to here */
};

static void *populate(void *arg) {
    struct memory *m = arg;
    for (size_t at = 0; at < m->size; at += STEP) {
        while (at >= atomic_load_explicit(&m->wanted, memory_order_acquire)) {
            struct timespec t = {0, 20000};
            nanosleep(&t, NULL);
        }
        if (madvise(m->p + at, STEP, MADV_POPULATE_WRITE) != 0) die("MADV_POPULATE_WRITE");
    }
    return NULL;
}

static void memory_open(struct memory *m) {
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | (m->pages == RESERVED ? MAP_HUGETLB : 0);
    uint8_t *p = mmap(NULL, m->size + STEP, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (p == MAP_FAILED) die(m->pages == RESERVED ? "MAP_HUGETLB (vm.nr_hugepages)" : "mmap");
    m->p = (uint8_t *)align_up((uintptr_t)p, STEP);
    if (m->pages != RESERVED &&
        madvise(m->p, m->size, m->pages == PLAIN ? MADV_NOHUGEPAGE : MADV_HUGEPAGE) != 0)
        die("madvise");
    if (m->pages != AHEAD) return;
    atomic_store(&m->wanted, 2 * STEP);
    if (pthread_create(&m->thread, NULL, populate, m) != 0) die("pthread_create");
}

/* The chain: record i names the next one to be read, in an order that visits all (an odd multiplier). */
static uint64_t chain_next(const struct memory *m, uint64_t i) {
    return (i * 2654435761u + 12345) % m->count;
}

static void append_all(struct memory *m, struct hist *slow) {
    uint8_t body[4096];
    size_t n = m->record - HEAD;
    memset(body, 7, sizeof body);
    for (size_t i = 0; i < m->count; i++) {
        uint64_t from = i % TIMED == 0 ? now_ns() : 0;
        uint8_t *at = m->p + i * m->record;
        if (m->pages == AHEAD && ((size_t)(at - m->p) & (STEP - 1)) < m->record)
            atomic_store_explicit(&m->wanted, (size_t)(at - m->p) / STEP * STEP + 3 * STEP,
                                  memory_order_release);
        store64(at, i);
        store64(at + 8, chain_next(m, i));
        store32(at + 16, (uint32_t)n);
        memcpy(at + HEAD, body, n);
        if (from) hist_add(slow, now_ns() - from);
    }
}

static uint64_t read_one(const struct memory *m, uint64_t i) {
    const uint8_t *at = m->p + i * m->record;
    require(load64(at) == i, "the record that was written");
    return load64(at + 8) + at[m->record - 1];
}

static uint64_t faults(void) {
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (uint64_t)(r.ru_minflt + r.ru_majflt);
}

static double each(uint64_t from, uint64_t n) { return (double)(now_ns() - from) / (double)n; }

int main(int argc, char **argv) {
    struct memory m = {.size = option_number(argc, argv, "mib", 1024) << 20,
                       .record = HEAD + option_number(argc, argv, "message", 128)};
    const char *kind = option_text(argc, argv, "pages", "huge");
    while (m.pages < KINDS && strcmp(kind, names[m.pages]) != 0) m.pages++;
    require(m.pages < KINDS && m.record <= 4096 && m.size % STEP == 0 && m.size > 0, "the options");
    m.count = m.size / m.record;
    uint64_t reads = option_number(argc, argv, "reads", 5000000), sum = 0;
    static struct hist slow;
    hist_init(&slow);
    if (option_number(argc, argv, "head", 1)) head_print(NULL);
    memory_open(&m);
    stay_on((int)option_number(argc, argv, "cpu", 1));
    uint64_t faults_before = faults(), t = now_ns();
    struct meter cost = meter_now();
    append_all(&m, &slow);
    double append = each(t, m.count);
    cost = meter_since(&cost);
    faults_before = faults() - faults_before;
    t = now_ns();
    for (uint64_t i = 0; i < m.count; i++) sum += read_one(&m, i);
    double in_order = each(t, m.count);
    struct rng rng = {1};
    t = now_ns();
    for (uint64_t i = 0; i < reads; i++) sum += read_one(&m, rng_below(&rng, m.count));
    double random = each(t, reads);
    t = now_ns();
    for (uint64_t i = 0, no = 1; i < reads; i++) {
        no = read_one(&m, no) - 7 + (i & 7) * 977; /* off the multiplier's short cycles */
        no %= m.count;
    }
    double chain = each(t, reads);
    t = now_ns();
    for (size_t i = 0; i < m.count; i++) store64(m.p + i * m.record, i);
    double again = each(t, m.count);
    printf("%-8s append %.1f ns (again, head only: %.1f), processor %.1f ns; an append: ", names[m.pages],
           append, again, cost.process_s * 1e9 / (double)m.count);
    hist_print(&slow);
    printf("; read in order %.1f ns, at random %.1f, along a chain %.1f; %llu faults; sum %llx\n", in_order,
           random, chain, (unsigned long long)faults_before, (unsigned long long)sum);
    if (m.pages == AHEAD) pthread_join(m.thread, NULL);
    return 0;
}
