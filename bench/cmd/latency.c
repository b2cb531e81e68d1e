/* latency.c - open loop: fixed rates, or a sweep. The sweep finds what the fastest server takes in a closed
 * loop, offers parts of that to all, and names each server's knee: the highest rate it kept up with while its
 * p99 stayed within five times that of the lightest load. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cmd/plan.h"
#include "host/clock.h"

static const double parts[] = {0.05, 0.1, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9};
enum { PARTS = sizeof parts / sizeof parts[0], PROBE_WINDOW = 250 };

static const char *const places[] = {"file stream", "memory stream", "core, to a subscriber",
                                     "request and reply"};

static struct work base_work(const struct plan *p) {
    struct work w = plan_work(p);
    int on = p->options->on;
    w.kind = on == ON_CORE ? WORK_CORE : on == ON_REQUEST ? WORK_REQUEST : WORK_STREAM;
    if (on == ON_CORE || on == ON_REQUEST) w.subscribers = 1;
    return w;
}

static double saturation(struct plan *p) {
    struct work w = base_work(p);
    double best = 0;
    w.messages = 0;
    w.warmup_ns = NS_PER_S / 2;
    w.duration_ns = NS_PER_S;
    w.window = w.kind == WORK_CORE ? 65536 : PROBE_WINDOW;
    for (size_t i = 0; i < p->options->servers_n && !plan_stopped(p); i++) {
        double rate = plan_probe(p, &w, i);
        if (rate > best) best = rate;
    }
    return best;
}

static double round_rate(double rate) {
    double unit = pow(10, floor(log10(rate)) - 1);
    return fmax(1, floor(rate / unit) * unit);
}

static void latency_row(struct plan *p, double rate) {
    struct work w = base_work(p);
    w.rate = rate;
    snprintf(w.name, sizeof w.name, "%.0f/s", rate);
    snprintf(w.title, sizeof w.title, "%s, %.0f messages/s offered over %u connection%s, %u B",
             places[p->options->on], rate, w.publishers, w.publishers == 1 ? "" : "s", w.size);
    plan_row(p, &w, "");
}

/* Row indices first..last are the sweep, lightest first. */
static void say_knee(struct plan *p, size_t first, size_t last) {
    struct report *r = p->report;
    for (size_t s = 0; s < r->servers_n; s++) {
        double light = cell_summary(&r->rows[first].cells[s], FIG_P99).median, knee = 0;
        for (size_t i = first; i < last; i++) {
            const struct cell *c = &r->rows[i].cells[s];
            double p99 = cell_summary(c, FIG_P99).median;
            if (cell_void(c, NULL) || cell_behind(c) || isnan(p99) || p99 > 5 * light) break;
            knee = r->rows[i].rate;
        }
        size_t n = strlen(r->note);
        if (knee > 0)
            snprintf(r->note + n, sizeof r->note - n, "%sKnee of %s: %.0f messages/s.", n ? " " : "",
                     r->servers[s].label, knee);
    }
    if (r->note[0]) printf("%s\n", r->note);
}

bool cmd_latency(struct plan *p) {
    const struct options *o = p->options;
    if (o->rates_n) {
        p->progress.steps += (o->rates_n - 1) * o->repeat * o->servers_n;
        for (size_t i = 0; i < o->rates_n; i++) latency_row(p, o->rates[i]);
        return true;
    }
    p->progress.steps += (PARTS - 1) * o->repeat * o->servers_n;
    double most = saturation(p);
    if (most <= 0) return plan_stopped(p);
    size_t first = p->report->rows_n;
    for (size_t i = 0; i < PARTS; i++) latency_row(p, round_rate(most * parts[i]));
    if (p->report->rows_n > first) say_knee(p, first, p->report->rows_n);
    return true;
}
