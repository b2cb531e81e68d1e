/* plan.h - carries out works on all servers, round by round, and files what was measured. */
#pragma once
#include <stdatomic.h>

#include "cmd/options.h"
#include "load/run.h"
#include "report/progress.h"
#include "report/report.h"

struct plan {
    struct options *options;
    struct report *report;
    struct progress progress;
    _Atomic bool *interrupted;
    const char *row_name; /* of the next row, where a suite gives it; else NULL */
    double disk_bytes_per_s,
        memory_bytes_per_s; /* limits, where the command wants figures beside them; else 0 */
    char why[512];
};

/* Finds the server to start when none is given, learns versions, measures the disk. False with the reason in
 * why. */
bool plan_open(struct plan *p, struct options *o, _Atomic bool *interrupted, const char *program, int argc,
               char **argv);
void plan_close(struct plan *p);
/* A work with what all commands have in common filled in. */
struct work plan_work(const struct plan *p);
/* One work on all servers in alternating rounds; the row, or NULL when it was interrupted before anything was
 * measured or there is no room. Servers that run:PROGRAM gives get the work's sync_interval; mode says so. */
struct row *plan_row(struct plan *p, const struct work *w, const char *mode);
/* A run that gives several outcomes at once, each a row of its own. */
struct plan_part {
    const char *name, *title;
    enum figure headline;
};
typedef void plan_runner(const struct work *w, const struct target *t, const struct run_control *control,
                         struct outcome *outs);
/* As plan_row, with a runner of the command's own; parts_n (PARTS_MAX at most) outcomes and rows. False when
 * there is no room, or it was interrupted before anything was measured. */
enum { PARTS_MAX = 4 };
bool plan_rows(struct plan *p, const struct work *w, const char *mode, plan_runner *runner,
               const struct plan_part *parts, size_t parts_n);
/* One run outside the report, as the search for saturation needs; messages a second, 0 when it failed (why).
 */
double plan_probe(struct plan *p, const struct work *w, size_t server);
bool plan_stopped(const struct plan *p);

/* The commands. Each adds rows; false with why when it cannot. */
bool cmd_throughput(struct plan *p);
bool cmd_latency(struct plan *p);
bool cmd_storage(struct plan *p);
bool cmd_consume(struct plan *p);
bool cmd_fanout(struct plan *p);
bool cmd_request(struct plan *p);
bool cmd_limits(struct plan *p);
bool cmd_suite(struct plan *p);
bool cmd_shapes(struct plan *p);
int cmd_compare(const struct options *o);
