/* bytes.h - little-endian loads and stores, alignment, hashing and decimal text. All inline, no state. */
#pragma once
#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/span.h"

static inline uint16_t load16(const void *p) {
    uint16_t v;
    memcpy(&v, p, 2);
    return le16toh(v);
}
static inline uint32_t load32(const void *p) {
    uint32_t v;
    memcpy(&v, p, 4);
    return le32toh(v);
}
static inline uint64_t load64(const void *p) {
    uint64_t v;
    memcpy(&v, p, 8);
    return le64toh(v);
}
static inline void store16(void *p, uint16_t v) {
    v = htole16(v);
    memcpy(p, &v, 2);
}
static inline void store32(void *p, uint32_t v) {
    v = htole32(v);
    memcpy(p, &v, 4);
}
static inline void store64(void *p, uint64_t v) {
    v = htole64(v);
    memcpy(p, &v, 8);
}

/* a is a power of two. */
static inline uint64_t align_up(uint64_t n, uint64_t a) { return (n + a - 1) & ~(a - 1); }

static inline uint64_t mix64(uint64_t x) {
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    return x ^ (x >> 32);
}
/* A 64-bit hash for tables in memory; never stored. Callers that face peers pass a per-process random seed.
 */
uint64_t hash_bytes(const void *p, size_t n, uint64_t seed);

/* Writes n in decimal at out (room for 20 bytes) and returns the length. */
size_t put_u64(uint8_t *out, uint64_t n);
/* Parses a whole span of decimal digits; false when empty, not all digits, or above UINT64_MAX. */
bool get_u64(struct span s, uint64_t *out);
