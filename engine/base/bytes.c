/* bytes.c - hashing and decimal text. Pure functions; a malformed number is a false, never an assertion,
 * because numbers come from peers. */
#include "base/bytes.h"

#include "base/must.h"

#define K0 0xa0761d6478bd642fu
#define K1 0xe7037ed1a0b428dbu

/* The 128-bit product folded on itself: one multiply mixes 16 bytes. */
static inline uint64_t fold(uint64_t a, uint64_t b) {
    __uint128_t m = (__uint128_t)a * b;
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

/* At most 16 bytes as two words: overlapping loads instead of a loop, every byte in at least one of them. */
static inline void load_short(const uint8_t *p, size_t n, uint64_t *a, uint64_t *b) {
    must(n <= 16);
    *a = *b = 0;
    if (n >= 4) {
        size_t mid = (n >> 3) << 2;
        *a = (uint64_t)load32(p) << 32 | load32(p + mid);
        *b = (uint64_t)load32(p + n - 4) << 32 | load32(p + n - 4 - mid);
    } else if (n > 0) {
        *a = (uint64_t)p[0] << 16 | (uint64_t)p[n >> 1] << 8 | p[n - 1];
    }
}

uint64_t hash_bytes(const void *data, size_t n, uint64_t seed) {
    must(data != NULL || n == 0);
    const uint8_t *p = data;
    uint64_t h = mix64(seed) ^ K0, a, b;
    if (n <= 16) {
        load_short(p, n, &a, &b);
    } else {
        size_t left = n;
        for (; left > 16; left -= 16, p += 16) h = fold(load64(p) ^ K1, load64(p + 8) ^ h);
        a = load64(p + left - 16);
        b = load64(p + left - 8);
    }
    return fold(K1 ^ n, fold(a ^ K1, b ^ h));
}

size_t put_u64(uint8_t *out, uint64_t n) {
    uint8_t text[20];
    size_t at = sizeof text;
    must(out != NULL);
    do {
        must(at > 0);
        text[--at] = (uint8_t)('0' + n % 10);
        n /= 10;
    } while (n);
    memcpy(out, text + at, sizeof text - at);
    must(at < sizeof text);
    return sizeof text - at;
}

bool get_u64(struct span s, uint64_t *out) {
    uint64_t n = 0;
    must(out != NULL);
    if (s.n == 0) return false;
    must(s.p != NULL);
    for (size_t i = 0; i < s.n; i++) {
        unsigned digit = (unsigned)s.p[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(n, 10u, &n) || __builtin_add_overflow(n, digit, &n))
            return false;
    }
    *out = n;
    return true;
}
