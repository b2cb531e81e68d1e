/* meter.h - what the experiments share: CPU time of this process and of the whole machine, the head that says
 * where a figure comes from, options, threads on a processor of their own. Whatever fails ends the program.
 */
#pragma once
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "stats/hist.h"

struct meter {
    uint64_t wall_ns;
    double process_s; /* this process, kernel threads that belong to it (io-wq) included */
    double machine_s; /* all processors, what was not idle: interrupts and kernel workers included */
};
struct meter meter_now(void);
struct meter meter_since(const struct meter *before);

_Noreturn void die(const char *what); /* with errno's text */
void require(bool ok, const char *what);

/* Kernel, processor, file system and disk under the folder (NULL: none), load, on one line. */
void head_print(const char *folder);
/* The value behind --name, or `otherwise`. */
const char *option_text(int argc, char **argv, const char *name, const char *otherwise);
uint64_t option_number(int argc, char **argv, const char *name, uint64_t otherwise);

/* The calling thread stays on this processor; -1: anywhere. */
void stay_on(int cpu);
/* "p50 12.3 p99 ... max ... us" */
void hist_print(const struct hist *h);
