/* doorbell.h - two small agreements between threads that the queue of ring.h leaves open: who has to be
 * woken, and how many bytes travel outside the queue. With ring.h the only place in which atomics are used.
 */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A sleeper is woken once, and not at all while it does not sleep. The sleeper lies down, then looks once
 * more at whatever could have kept it up; a waker publishes its work, then rings. Both are read-modify-writes
 * of one word, so one of them comes first: either the waker sees the sleeper lying, or the sleeper's look
 * sees the work. */
struct doorbell {
    _Alignas(64) _Atomic uint32_t lying;
};
void doorbell_lie_down(struct doorbell *d);
void doorbell_get_up(struct doorbell *d);
/* True for exactly one caller: it has to wake the sleeper now. */
bool doorbell_ring(struct doorbell *d);

/* Bytes one thread has lent to another and not got back yet. */
struct allowance {
    uint64_t lent; /* the lender's */
    _Alignas(64) _Atomic uint64_t returned;
};
/* Lender: how much is out? */
uint64_t allowance_out(const struct allowance *a);
void allowance_lend(struct allowance *a, uint64_t n);
/* Borrower. */
void allowance_return(struct allowance *a, uint64_t n);
