/* progress.c - see progress.h. */
#include "report/progress.h"

#include <stdio.h>
#include <unistd.h>

#include "host/clock.h"
#include "report/report.h"

enum { BAR = 30 };

void progress_open(struct progress *p, bool quiet, size_t steps) {
    *p = (struct progress){.terminal = isatty(2), .quiet = quiet, .steps = steps, .begin_ns = now_ns()};
}

void progress_begin(struct progress *p, const char *what) {
    snprintf(p->what, sizeof p->what, "%s", what);
    if (p->quiet) return;
    if (p->terminal)
        progress_show(p, 0, 0);
    else
        fprintf(stderr, "[%zu/%zu] %s\n", p->step + 1, p->steps, what);
}

void progress_show(struct progress *p, double part, double per_second) {
    if (p->quiet || !p->terminal) return;
    double whole = ((double)p->step + part) / (double)(p->steps ? p->steps : 1);
    double spent = (double)(now_ns() - p->begin_ns) / 1e9, left = whole > 0.02 ? spent / whole - spent : 0;
    int full = (int)(whole * BAR);
    char rate[40], bar[BAR + 1];
    for (int i = 0; i < BAR; i++) bar[i] = i < full ? '#' : '.';
    bar[BAR] = 0;
    fprintf(stderr, "\r\033[K[%s] %3.0f %%  %s", bar, whole * 100, p->what);
    if (per_second > 0) fprintf(stderr, "  %s/s", figure_text(per_second, rate, sizeof rate));
    if (left >= 1) fprintf(stderr, "  %.0f s left", left);
    fflush(stderr);
}

void progress_end(struct progress *p) { p->step++; }

void progress_clear(struct progress *p) {
    if (p->terminal && !p->quiet) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
    }
}
