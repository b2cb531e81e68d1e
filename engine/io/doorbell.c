/* doorbell.c - see doorbell.h. No failures. */
#include "io/doorbell.h"

#include "base/must.h"

void doorbell_lie_down(struct doorbell *d) {
    must(d != NULL);
    uint32_t was = atomic_exchange_explicit(&d->lying, 1, memory_order_acq_rel);
    must(was <= 1);
}

void doorbell_get_up(struct doorbell *d) {
    must(d != NULL);
    /* not a plain store: that would end the chain by which the next lying down sees what earlier wakers
     * published */
    atomic_exchange_explicit(&d->lying, 0, memory_order_acq_rel);
}

bool doorbell_ring(struct doorbell *d) {
    uint32_t was = atomic_fetch_and_explicit(&d->lying, 0, memory_order_acq_rel);
    must(was <= 1);
    return was;
}

uint64_t allowance_out(const struct allowance *a) {
    uint64_t back = atomic_load_explicit(&a->returned, memory_order_acquire);
    must(back <= a->lent);
    return a->lent - back;
}

void allowance_lend(struct allowance *a, uint64_t n) {
    must(n > 0);
    a->lent += n;
    must(a->lent >= n);
}

void allowance_return(struct allowance *a, uint64_t n) {
    must(n > 0);
    /* one borrower: a load and a store suffice */
    uint64_t back = atomic_load_explicit(&a->returned, memory_order_relaxed);
    atomic_store_explicit(&a->returned, back + n, memory_order_release);
}
