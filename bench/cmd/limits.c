/* limits.c - the ceilings of this machine as a report: every other figure can be read as a part of one of
 * these. */
#include "cmd/limits.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cmd/plan.h"
#include "host/clock.h"
#include "host/disk.h"

static struct hist latency;
static struct series no_series;

struct probe {
    const char *name, *title;
    void (*run)(struct plan *p, double *figures, uint64_t a, uint64_t b);
    uint64_t a, b;
};

static uint64_t span_ns(const struct plan *p) {
    return p->options->duration_given ? p->options->duration_ns : NS_PER_S;
}

static void put_latency(double *f) {
    if (latency.total == 0) return;
    f[FIG_P50] = (double)hist_at(&latency, 50) / 1e3;
    f[FIG_P90] = (double)hist_at(&latency, 90) / 1e3;
    f[FIG_P99] = (double)hist_at(&latency, 99) / 1e3;
    f[FIG_P999] = (double)hist_at(&latency, 99.9) / 1e3;
    f[FIG_MAX] = (double)latency.max / 1e3;
    f[FIG_RATE] = 1e9 / hist_mean(&latency);
}

static void run_syscall(struct plan *p, double *f, uint64_t a, uint64_t b) {
    (void)a, (void)b;
    f[FIG_NS] = limit_syscall(span_ns(p));
    f[FIG_RATE] = 1e9 / f[FIG_NS];
}

static void run_memcpy(struct plan *p, double *f, uint64_t a, uint64_t b) {
    (void)b;
    f[FIG_MBS] = limit_memcpy(a, span_ns(p)) / 1e6;
}

static void run_echo(struct plan *p, double *f, uint64_t a, uint64_t b) {
    (void)a, (void)b;
    limit_echo(&latency, span_ns(p));
    put_latency(f);
}

static void run_stream(struct plan *p, double *f, uint64_t a, uint64_t b) {
    (void)b;
    f[FIG_MBS] = limit_stream(a, span_ns(p)) / 1e6;
}

static void run_wake(struct plan *p, double *f, uint64_t a, uint64_t b) {
    (void)a, (void)b;
    limit_wake(&latency, span_ns(p));
    put_latency(f);
}

static void run_disk(struct plan *p, double *f, uint64_t size, uint64_t depth) {
    static struct disk_probe d;
    disk_probe(&d, p->report->machine.folder, (uint32_t)size, (unsigned)depth, span_ns(p));
    if (!d.valid) return;
    hist_merge(&latency, &d.latency);
    put_latency(f);
    f[FIG_RATE] = d.per_second;
    f[FIG_MBS] = d.bytes_per_second / 1e6;
}

static const struct probe probes[] = {
    {"syscall", "a system call that does nothing", run_syscall, 0, 0},
    {"memcpy-4k", "memory copy, 4 KiB blocks, one core", run_memcpy, 4 << 10, 0},
    {"memcpy-64k", "memory copy, 64 KiB blocks, one core", run_memcpy, 64 << 10, 0},
    {"memcpy-64m", "memory copy, 64 MiB blocks, one core", run_memcpy, 64 << 20, 0},
    {"echo", "loopback there and back, 64 B, one at a time", run_echo, 0, 0},
    {"stream-16k", "loopback one way, 16 KiB writes", run_stream, 16 << 10, 0},
    {"stream-64k", "loopback one way, 64 KiB writes", run_stream, 64 << 10, 0},
    {"wake", "waking a thread on another core, there and back", run_wake, 0, 0},
    {"disk-4k-1", "durable write, 4 KiB, one at a time", run_disk, 4 << 10, 1},
    {"disk-16k-1", "durable write, 16 KiB, one at a time", run_disk, 16 << 10, 1},
    {"disk-64k-1", "durable write, 64 KiB, one at a time", run_disk, 64 << 10, 1},
    {"disk-256k-1", "durable write, 256 KiB, one at a time", run_disk, 256 << 10, 1},
    {"disk-1m-1", "durable write, 1 MiB, one at a time", run_disk, 1 << 20, 1},
    {"disk-4k-4", "durable write, 4 KiB, four under way", run_disk, 4 << 10, 4},
    {"disk-64k-4", "durable write, 64 KiB, four under way", run_disk, 64 << 10, 4},
    {"disk-1m-4", "durable write, 1 MiB, four under way", run_disk, 1 << 20, 4},
};
enum { PROBES = sizeof probes / sizeof probes[0] };

bool cmd_limits(struct plan *p) {
    struct report *r = p->report;
    r->servers_n = 1;
    snprintf(r->servers[0].label, sizeof r->servers[0].label, "this machine");
    p->progress.steps = PROBES * p->options->repeat;
    for (size_t i = 0; i < PROBES && !plan_stopped(p); i++) {
        struct row *row = report_row(r, probes[i].name, "limits", probes[i].title, "");
        for (uint64_t k = 0; row && k < p->options->repeat && !plan_stopped(p); k++) {
            progress_begin(&p->progress, probes[i].title);
            hist_init(&latency);
            series_init(&no_series, 0, 1);
            struct round *round = report_round(row, 0);
            if (round) probes[i].run(p, round->figures, probes[i].a, probes[i].b);
            report_latency(row, 0, &latency, &no_series);
            progress_end(&p->progress);
        }
        progress_clear(&p->progress);
        if (row) report_text_row(r, row, stdout);
    }
    return true;
}
