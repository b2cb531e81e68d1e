/* proc.h - what a process on this machine used so far, from /proc. The difference of two samples is what a
 * run cost. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct proc_sample {
    bool valid;
    uint64_t cpu_tasks_ns;  /* exact, but without threads that ended */
    uint64_t cpu_total_ns;  /* with those, in steps of 10 ms */
    uint64_t rss_max_bytes; /* high-water mark of resident memory, and huge pages */
    uint64_t written_bytes; /* sent towards storage */
    uint64_t switches;      /* context switches of all threads */
};

/* valid is false when the process is gone or may not be looked at. */
struct proc_sample proc_sample(pid_t pid);
/* CPU time between two samples of a process. */
uint64_t proc_cpu_ns(const struct proc_sample *before, const struct proc_sample *after);
/* CPU time of the calling process. */
uint64_t own_cpu_ns(void);
/* The process that listens on a TCP port of this machine; 0 when it cannot be found. */
pid_t proc_listening(uint16_t port);
/* The program a process runs; "" when it cannot be told. */
void proc_program(pid_t pid, char *out, size_t room);
