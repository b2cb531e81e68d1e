/* rng.h - a small seeded generator (splitmix64) for simulation, load and queue picks, and the kernel's for
 * identities. */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct rng {
    uint64_t state;
};

static inline uint64_t rng_next(struct rng *r) {
    uint64_t z = (r->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}
/* Uniform enough in [0, n); n > 0. */
static inline uint64_t rng_below(struct rng *r, uint64_t n) {
    return (uint64_t)(((__uint128_t)rng_next(r) * n) >> 64);
}
/* Bytes from getrandom(2); never fails once the system is up. */
void random_bytes(void *out, size_t n);
