/* process.h - what this process uses of the machine. */
#pragma once
#include <stdint.h>

struct io;

struct process_use {
    uint64_t at_ns, cpu_ns; /* of the last sample */
    double cpu_percent;     /* between the last two; 100 is one core */
};

void process_init(struct process_use *u, struct io *io);
/* Samples at most once a second. */
double process_cpu(struct process_use *u, struct io *io);
/* Resident bytes; 0 when the kernel does not say. */
uint64_t process_memory(struct io *io);
unsigned process_cores(void);
