/* process.c - asks the kernel: CPU time by its clock, memory by /proc, which is no disk and does not block.
 */
#include "monitor/process.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/must.h"
#include "io/io.h"

#define SAMPLE_NS 1000000000u

static uint64_t cpu_ns(void) {
    struct timespec t;
    must(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void process_init(struct process_use *u, struct io *io) {
    must(io != NULL);
    *u = (struct process_use){.at_ns = io_now(io), .cpu_ns = cpu_ns()};
}

double process_cpu(struct process_use *u, struct io *io) {
    uint64_t now = io_now(io), used = cpu_ns();
    must(now >= u->at_ns);
    if (now - u->at_ns < SAMPLE_NS) return u->cpu_percent;
    u->cpu_percent = 100.0 * (double)(used - u->cpu_ns) / (double)(now - u->at_ns);
    u->at_ns = now;
    u->cpu_ns = used;
    return u->cpu_percent;
}

/* "total resident shared ...", in pages. */
static uint64_t resident_pages(struct span text) {
    uint64_t pages = 0;
    const uint8_t *at = text.n ? memchr(text.p, ' ', text.n) : NULL;
    if (!at) return 0;
    struct span rest = span_skip(text, (size_t)(at - text.p) + 1);
    const uint8_t *end = rest.n ? memchr(rest.p, ' ', rest.n) : NULL;
    if (!end || !get_u64(span_of(rest.p, (size_t)(end - rest.p)), &pages)) return 0;
    must(pages < UINT64_MAX >> 24);
    return pages;
}

uint64_t process_memory(struct io *io) {
    char text[128];
    size_t got = 0;
    int fd;
    if (io_file_open(io, AT_FDCWD, "/proc/self/statm", IO_O_RDONLY, &fd)) return 0;
    enum err e = io_file_read(io, fd, text, sizeof text, 0, &got);
    io_file_close(io, fd);
    must(got <= sizeof text);
    return e ? 0 : resident_pages(span_of(text, got)) * (uint64_t)sysconf(_SC_PAGESIZE);
}

unsigned process_cores(void) {
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    must(n < 1 << 20);
    return n > 0 ? (unsigned)n : 1;
}
