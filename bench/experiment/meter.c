/* meter.c - see meter.h. */
#include "experiment/meter.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "host/clock.h"
#include "host/machine.h"

void die(const char *what) {
    perror(what);
    exit(1);
}

void require(bool ok, const char *what) {
    if (ok) return;
    fprintf(stderr, "not as it should be: %s\n", what);
    exit(1);
}

/* Ticks count as busy whatever ran when the tick came; time idle is counted exactly. So: what was not idle.
 */
static double busy_s(void) {
    FILE *f = fopen("/proc/stat", "re");
    unsigned long long v[8] = {0};
    if (!f) die("/proc/stat");
    bool ok = fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &v[0], &v[1], &v[2], &v[3], &v[4],
                     &v[5], &v[6], &v[7]) == 8;
    fclose(f);
    require(ok, "/proc/stat");
    double idle = (double)(v[3] + v[4]) / (double)sysconf(_SC_CLK_TCK);
    return (double)now_ns() / 1e9 * (double)sysconf(_SC_NPROCESSORS_ONLN) - idle;
}

struct meter meter_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (struct meter){now_ns(), (double)t.tv_sec + (double)t.tv_nsec / 1e9, busy_s()};
}

struct meter meter_since(const struct meter *before) {
    struct meter m = meter_now();
    return (struct meter){m.wall_ns - before->wall_ns, m.process_s - before->process_s,
                          m.machine_s - before->machine_s};
}

void head_print(const char *folder) {
    struct machine m;
    machine_read(&m, folder ? folder : ".");
    printf("# %s; %s, %u processors; ", m.kernel, m.cpu, m.cores);
    if (folder) printf("%s on %s; ", m.file_system, m.device);
    printf("load %.2f; %s\n", m.load, m.started);
}

const char *option_text(int argc, char **argv, const char *name, const char *otherwise) {
    for (int i = 1; i + 1 < argc; i++) {
        if (strncmp(argv[i], "--", 2) == 0 && strcmp(argv[i] + 2, name) == 0) return argv[i + 1];
    }
    return otherwise;
}

uint64_t option_number(int argc, char **argv, const char *name, uint64_t otherwise) {
    const char *text = option_text(argc, argv, name, NULL);
    if (!text) return otherwise;
    char *end;
    uint64_t n = strtoull(text, &end, 10);
    require(end != text && *end == 0, name);
    return n;
}

void stay_on(int cpu) {
    if (cpu < 0) return;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0) die("sched_setaffinity");
}

void hist_print(const struct hist *h) {
    printf("p50 %.1f p99 %.1f p99.9 %.1f max %.1f us", (double)hist_at(h, 50) / 1e3,
           (double)hist_at(h, 99) / 1e3, (double)hist_at(h, 99.9) / 1e3, (double)h->max / 1e3);
}
