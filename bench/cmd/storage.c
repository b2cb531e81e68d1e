/* storage.c - memory against file at an interval against file durable, the same work on each, beside what
 * memory and disk allow. Servers that are started here get the mode; one that runs already has its own, so it
 * shows memory and file. */
#include <stdio.h>

#include "cmd/limits.h"
#include "cmd/plan.h"
#include "host/clock.h"
#include "host/disk.h"

static void measure_limits(struct plan *p) {
    static struct disk_probe d;
    p->memory_bytes_per_s = limit_memcpy(64 << 10, NS_PER_S / 4);
    disk_probe(&d, p->report->machine.folder, 1 << 20, 2, NS_PER_S);
    if (d.valid) p->disk_bytes_per_s = d.bytes_per_second;
    snprintf(p->report->note, sizeof p->report->note,
             "Limits of this machine: memory copies %.0f MB/s (64 KiB blocks, one core), durable writes %.0f "
             "MB/s (1 MiB, two under way).",
             p->memory_bytes_per_s / 1e6, p->disk_bytes_per_s / 1e6);
    printf("%s\n\n", p->report->note);
}

static void storage_row(struct plan *p, const char *name, bool memory, const char *sync, const char *mode) {
    struct work w = plan_work(p);
    w.kind = WORK_STREAM;
    w.memory = memory;
    w.sync_interval = sync;
    snprintf(w.name, sizeof w.name, "%s", name);
    snprintf(w.title, sizeof w.title, "%u publisher%s, window %u, %u B", w.publishers,
             w.publishers == 1 ? "" : "s", w.window, w.size);
    plan_row(p, &w, mode);
}

bool cmd_storage(struct plan *p) {
    const struct options *o = p->options;
    bool own = true;
    char interval[96];
    for (size_t i = 0; i < o->servers_n; i++) own = own && o->servers[i].program[0];
    size_t rows = own ? 3 : 2;
    p->progress.steps += (rows - 1) * o->repeat * o->servers_n;
    measure_limits(p);
    storage_row(p, "memory", true, NULL, "in memory");
    if (!own) {
        storage_row(p, "file", false, NULL, "on file, as the server is configured");
        return true;
    }
    snprintf(interval, sizeof interval, "acknowledged before the sync, synced every %s", o->interval);
    storage_row(p, "file, interval", false, o->interval, interval);
    storage_row(p, "file, durable", false, "always", "acknowledged when on disk");
    return true;
}
