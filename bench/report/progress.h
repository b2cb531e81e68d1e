/* progress.h - a bar on a terminal, plain lines in a pipe; on standard error, so that reports can be
 * redirected. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct progress {
    bool terminal, quiet;
    size_t step, steps; /* runs done, runs in all */
    uint64_t begin_ns;
    char what[96];
};

void progress_open(struct progress *p, bool quiet, size_t steps);
/* A run begins: what is the text beside the bar. */
void progress_begin(struct progress *p, const char *what);
/* part 0..1 of the run under way. */
void progress_show(struct progress *p, double part, double per_second);
void progress_end(struct progress *p);
/* Nothing of the bar stays on the line: call before printing anything else. */
void progress_clear(struct progress *p);
