/* plan.c - see plan.h. A server that is to be started starts for each round on an empty folder and ends after
 * it; one that does not start, or dies, makes that round void. */
#include "cmd/plan.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/must.h"
#include "host/child.h"
#include "host/clock.h"
#include "host/disk.h"
#include "host/proc.h"

/* What a server keeps in a round is bounded: a fast one would fill memory or disk in the time a slow one
 * needs. */
enum { STORED_MAX = 20000000 };
static const uint64_t stored_bytes_max = (uint64_t)4 << 30;

/* The first line of `program -v`. */
static void read_version(const char *program, char *out, size_t room) {
    char command[400];
    snprintf(command, sizeof command, "'%s' -v 2>&1", program);
    FILE *f = strchr(program, '\'') ? NULL : popen(command, "re");
    out[0] = 0;
    if (!f) return;
    if (fgets(out, (int)room, f)) out[strcspn(out, "\r\n")] = 0;
    pclose(f);
}

static void describe_mode(struct target *t) {
    if (t->mode[0]) return;
    if (!t->program[0])
        snprintf(t->mode, sizeof t->mode, "as configured there");
    else if (t->sync_interval[0])
        snprintf(t->mode, sizeof t->mode, "sync_interval %s", t->sync_interval);
    else if (strstr(t->version, "nats-server"))
        snprintf(t->mode, sizeof t->mode, "before the sync (default)");
    else if (strstr(t->version, "illrace"))
        snprintf(t->mode, sizeof t->mode, "on disk (default)");
    else
        snprintf(t->mode, sizeof t->mode, "default");
}

static void learn_server(struct plan *p, struct target *t) {
    struct server_info *s = &p->report->servers[p->report->servers_n++];
    if (t->program[0]) {
        read_version(t->program, t->version, sizeof t->version);
    } else {
        struct conn c;
        t->pid = t->address.local ? proc_listening(t->address.port) : 0;
        if (conn_open(&c, &t->address))
            snprintf(t->version, sizeof t->version, "%.70s at %.80s", c.server, t->url);
        else
            snprintf(t->version, sizeof t->version, "%.150s", c.error);
        conn_close(&c);
    }
    describe_mode(t);
    snprintf(s->label, sizeof s->label, "%s", t->label);
    snprintf(s->version, sizeof s->version, "%s", t->version);
    snprintf(s->mode, sizeof s->mode, "%s", t->mode);
}

/* The millrace beside this program. */
static bool own_server(struct plan *p, const char *program) {
    struct options *o = p->options;
    char path[512], spec[600], self[400];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    snprintf(path, sizeof path, "%s", o->millrace);
    if (!path[0]) {
        self[n > 0 ? n : 0] = 0;
        char *slash = strrchr(n > 0 ? self : strncpy(self, program, sizeof self - 1), '/');
        if (slash) *slash = 0;
        snprintf(path, sizeof path, "%.400s/millrace", slash ? self : ".");
    }
    snprintf(spec, sizeof spec, "millrace=run:%s", path);
    if (target_parse(&o->servers[0], spec, p->why, sizeof p->why)) {
        o->servers_n = 1;
        return true;
    }
    snprintf(p->why, sizeof p->why,
             "no server to start at %.300s: build it (scripts/build), name it (--millrace PATH) or give "
             "--server URL",
             path);
    return false;
}

static void measure_flush(struct report *r) {
    static struct disk_probe d;
    disk_probe(&d, r->machine.folder, 4096, 1, NS_PER_S / 2);
    if (!d.valid) return;
    r->flush_known = true;
    r->flush_direct = d.direct;
    r->flush_p50_us = (double)hist_at(&d.latency, 50) / 1e3;
    r->flush_p99_us = (double)hist_at(&d.latency, 99) / 1e3;
    r->flush_per_s = d.per_second;
}

static void keep_command(struct report *r, int argc, char **argv) {
    size_t n = (size_t)snprintf(r->command, sizeof r->command, "millrace-bench");
    for (int i = 0; i < argc && n < sizeof r->command; i++)
        n += (size_t)snprintf(r->command + n, sizeof r->command - n, " %s", argv[i]);
}

bool plan_open(struct plan *p, struct options *o, _Atomic bool *interrupted, const char *program, int argc,
               char **argv) {
    memset(p, 0, sizeof *p);
    p->options = o;
    p->interrupted = interrupted;
    p->report = report_open();
    snprintf(p->report->version, sizeof p->report->version, "%s", MILLRACE_BENCH_VERSION);
    keep_command(p->report, argc, argv);
    machine_read(&p->report->machine, o->dir);
    if (o->threads == 0) o->threads = p->report->machine.cores > 1 ? p->report->machine.cores / 2 : 1;
    if (access(o->dir, W_OK) != 0) {
        snprintf(p->why, sizeof p->why, "nothing can be written to %s", o->dir);
        return false;
    }
    if (o->command != CMD_LIMITS && o->servers_n == 0 && !own_server(p, program)) return false;
    measure_flush(p->report);
    for (size_t i = 0; i < o->servers_n; i++) learn_server(p, &o->servers[i]);
    if (o->trust)
        snprintf(p->report->note, sizeof p->report->note,
                 "Stored messages were not read back (--trust): only what the servers answered was checked.");
    return true;
}

void plan_close(struct plan *p) { report_close(p->report); }

bool plan_stopped(const struct plan *p) { return atomic_load(p->interrupted); }

struct work plan_work(const struct plan *p) {
    const struct options *o = p->options;
    struct work w = {
        .window = (uint32_t)o->window, .size = (uint32_t)o->size, .subjects = (uint32_t)o->subjects};
    w.streams = (uint32_t)o->streams;
    w.publishers = (uint32_t)o->connections;
    w.threads = (uint32_t)o->threads;
    w.batch = (uint32_t)o->batch;
    w.per_subject = (int64_t)o->per_subject;
    w.acks = !o->no_acks;
    w.trust = o->trust;
    w.spin = o->spin;
    w.memory = o->on == ON_MEMORY;
    w.messages = o->messages;
    w.warmup_ns = o->warmup_ns;
    w.duration_ns = o->duration_ns;
    w.patience_ns = o->patience_ns;
    w.most = stored_bytes_max / (w.size ? w.size : 1);
    if (w.most > STORED_MAX) w.most = STORED_MAX;
    w.seed = o->seed;
    return w;
}

static void on_progress(void *ctx, double part, double per_second) { progress_show(ctx, part, per_second); }

static double a_second(double n, double seconds) { return seconds > 0 ? n / seconds : NAN; }

static void fill_latency(double *f, const struct outcome *o) {
    static const struct {
        enum figure figure;
        double percent;
    } points[] = {{FIG_P50, 50},    {FIG_P90, 90},      {FIG_P99, 99},
                  {FIG_P999, 99.9}, {FIG_P9999, 99.99}, {FIG_MAX, 100}};
    for (size_t i = 0; o->latency.total && i < sizeof points / sizeof points[0]; i++)
        f[points[i].figure] = (double)hist_at(&o->latency, points[i].percent) / 1e3;
}

static void fill_round(const struct plan *p, struct round *round, const struct work *w,
                       const struct outcome *o) {
    double *f = round->figures;
    round->valid = o->valid;
    round->cut_short = o->cut_short;
    round->behind = o->behind;
    snprintf(round->why, sizeof round->why, "%s", o->why);
    if (!o->valid) return;
    bool fans = w->kind == WORK_CORE && w->subscribers > 0;
    double messages = fans ? (double)o->done / w->subscribers : (double)o->done;
    if (o->server_seen) f[FIG_CPU] = o->server_cpu_ns / 1e3 / messages;
    f[FIG_MACH] = fmax(0, o->machine_busy_ns - o->own_cpu_ns) / 1e3 / messages;
    f[FIG_RATE] = a_second((double)o->done, o->seconds);
    if (o->bytes) f[FIG_MBS] = a_second((double)o->bytes, o->seconds) / 1e6;
    if (w->rate > 0) f[FIG_OFFERED] = w->rate;
    if (w->rate > 0) f[FIG_LATE] = (double)hist_at(&o->late, 99) / 1e3;
    fill_latency(f, o);
    if (o->server_seen) f[FIG_RSS] = (double)o->rss_max_bytes / 1e6;
    bool stores =
        (w->kind == WORK_STREAM || w->kind == WORK_ROUTED || (w->kind == WORK_CONSUME && w->rate > 0)) &&
        !w->memory;
    if (stores && o->server_seen && o->bytes) f[FIG_WRITTEN] = (double)o->written_bytes / (double)o->bytes;
    uint64_t durable = o->disk_flushes ? o->disk_flushes : o->disk_writes;
    if (stores && p->report->machine.disk_stat[0]) f[FIG_FLUSHES] = a_second((double)durable, o->seconds);
    if (stores && p->disk_bytes_per_s > 0) f[FIG_OF_DISK] = f[FIG_MBS] * 1e8 / p->disk_bytes_per_s;
    if (p->memory_bytes_per_s > 0) f[FIG_OF_MEMORY] = f[FIG_MBS] * 1e8 / p->memory_bytes_per_s;
    if (o->server_seen) f[FIG_SWITCHES] = (double)o->switches / messages;
    f[FIG_OWN] = o->own_cpu_ns / 1e3 / messages;
    f[FIG_STEAL] = o->steal * 100;
    f[FIG_LOAD] = o->load;
}

/* One run on one server, which is started first where that is asked for. outs has n. */
static void run_on(struct plan *p, const struct work *w, const struct target *given, plan_runner *runner,
                   struct outcome *outs, size_t n) {
    struct target t = *given;
    struct child child = {0};
    struct run_control control = {&p->report->machine, p->interrupted, on_progress, &p->progress};
    const char *sync = w->sync_interval ? w->sync_interval : t.sync_interval[0] ? t.sync_interval : NULL;
    memset(outs, 0, n * sizeof *outs);
    if (t.program[0]) {
        char why[256], url[64];
        if (!child_start(&child, t.program, p->options->dir, sync, why, sizeof why)) {
            for (size_t i = 0; i < n; i++)
                snprintf(outs[i].why, sizeof outs[i].why, "%.40s does not start: %.200s", t.label, why);
            return;
        }
        snprintf(url, sizeof url, "127.0.0.1:%u", child.port);
        must(address_parse(&t.address, url));
        t.pid = child.pid;
    }
    runner(w, &t, &control, outs);
    bool died = t.program[0] && !child_alive(&child);
    for (size_t i = 0; died && i < n; i++) {
        if (outs[i].valid) snprintf(outs[i].why, sizeof outs[i].why, "the server died");
        outs[i].valid = false;
    }
    child_stop(&child);
}

double plan_probe(struct plan *p, const struct work *w, size_t server) {
    struct outcome o;
    progress_begin(&p->progress, "looking for saturation");
    run_on(p, w, &p->options->servers[server], run_work, &o, 1);
    double rate = o.valid ? a_second((double)o.done, o.seconds) : 0;
    if (!o.valid) snprintf(p->why, sizeof p->why, "%s: %s", p->options->servers[server].label, o.why);
    outcome_deinit(&o);
    return rate;
}

static void keep_outcome(struct plan *p, struct row *row, const struct work *w, size_t server,
                         struct outcome *out) {
    /* What Ctrl-C left nothing of is no result, and no fault of the server's. */
    if (!plan_stopped(p) || out->valid) {
        struct round *round = report_round(row, server);
        if (round) fill_round(p, round, w, out);
        if (out->valid) report_latency(row, server, &out->latency, &out->series);
    }
    outcome_deinit(out);
}

static void run_round(struct plan *p, struct row *const *rows, size_t n, const struct work *w,
                      plan_runner *runner, size_t server, uint64_t i) {
    struct options *o = p->options;
    char what[120];
    struct work mine = *w;
    mine.seed = o->seed + i;
    snprintf(what, sizeof what, "%.40s, %.32s, round %" PRIu64 " of %" PRIu64, rows[0]->name,
             o->servers[server].label, i + 1, o->repeat);
    progress_begin(&p->progress, what);
    static struct outcome outs[PARTS_MAX]; /* large: histograms */
    run_on(p, &mine, &o->servers[server], runner, outs, n);
    for (size_t k = 0; k < n; k++) keep_outcome(p, rows[k], &mine, server, &outs[k]);
    progress_end(&p->progress);
}

static void run_rounds(struct plan *p, struct row *const *rows, size_t n, const struct work *w,
                       plan_runner *runner) {
    struct options *o = p->options;
    for (uint64_t i = 0; i < o->repeat; i++) {
        for (size_t k = 0; k < o->servers_n && !plan_stopped(p); k++)
            run_round(p, rows, n, w, runner, i % 2 ? o->servers_n - 1 - k : k, i);
    }
    progress_clear(&p->progress);
    for (size_t k = 0; k < n; k++) report_text_row(p->report, rows[k], stdout);
}

static struct row *new_row(struct plan *p, const char *name, const char *title, const char *mode) {
    struct row *row = report_row(p->report, name, command_name(p->options->command), title, mode);
    if (!row) snprintf(p->why, sizeof p->why, "more than %d rows", ROWS_MAX);
    return row;
}

struct row *plan_row(struct plan *p, const struct work *w, const char *mode) {
    if (plan_stopped(p)) return NULL;
    if (!mode[0] && (w->kind == WORK_CORE || w->kind == WORK_REQUEST))
        mode = "not stored";
    else if (!mode[0] && w->memory)
        mode = "in memory";
    struct row *row = new_row(p, p->row_name ? p->row_name : w->name, w->title, mode);
    if (!row) return NULL;
    bool alone = w->window == 1 && (w->kind == WORK_STREAM || w->kind == WORK_REQUEST);
    row->headline = w->rate > 0 ? FIG_P99 : alone ? FIG_P50 : FIG_RATE;
    row->rate = w->rate;
    run_rounds(p, &row, 1, w, run_work);
    return row;
}

bool plan_rows(struct plan *p, const struct work *w, const char *mode, plan_runner *runner,
               const struct plan_part *parts, size_t parts_n) {
    struct row *rows[PARTS_MAX];
    must(parts_n >= 1 && parts_n <= PARTS_MAX);
    if (plan_stopped(p)) return false;
    for (size_t k = 0; k < parts_n; k++) {
        rows[k] = new_row(p, parts[k].name, parts[k].title, mode);
        if (!rows[k]) return false;
        rows[k]->headline = parts[k].headline;
    }
    run_rounds(p, rows, parts_n, w, runner);
    return true;
}
