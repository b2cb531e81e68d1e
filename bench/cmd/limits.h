/* limits.h - what the machine allows, measured with nothing of a server in the way. */
#pragma once
#include <stdint.h>

#include "stats/hist.h"

/* Bytes a second one core copies in blocks of this size. */
double limit_memcpy(uint64_t block, uint64_t duration_ns);
/* Nanoseconds a system call that does nothing takes. */
double limit_syscall(uint64_t duration_ns);
/* Round trips of 64 bytes over loopback between two threads. */
void limit_echo(struct hist *latency, uint64_t duration_ns);
/* Bytes a second from one thread to another over loopback, written in blocks of this size. */
double limit_stream(uint64_t block, uint64_t duration_ns);
/* Round trips of a wake-up by eventfd between threads on two cores; nothing recorded when there is one core
 * only. */
void limit_wake(struct hist *latency, uint64_t duration_ns);
