#include "stream/siphash.h"

#include "base/bytes.h"
#include "base/must.h"

struct sip {
    uint64_t a, b, c, d;
};

static inline uint64_t rotl(uint64_t x, unsigned r) { return (x << r) | (x >> (64 - r)); }

static inline void sip_round(struct sip *s) {
    s->a += s->b;
    s->b = rotl(s->b, 13) ^ s->a;
    s->a = rotl(s->a, 32);
    s->c += s->d;
    s->d = rotl(s->d, 16) ^ s->c;
    s->a += s->d;
    s->d = rotl(s->d, 21) ^ s->a;
    s->c += s->b;
    s->b = rotl(s->b, 17) ^ s->c;
    s->c = rotl(s->c, 32);
}

static inline void sip_word(struct sip *s, uint64_t w) {
    must(s);
    s->d ^= w;
    sip_round(s);
    sip_round(s);
    s->a ^= w;
}

static inline uint64_t sip_finish(struct sip *s) {
    must(s);
    for (int i = 0; i < 4; i++) sip_round(s);
    return s->a ^ s->b ^ s->c ^ s->d;
}

void siphash128(const uint64_t key[2], const void *p, size_t n, uint64_t out[2]) {
    must(key && out);
    must(p || n == 0);
    struct sip s = {
        .a = 0x736f6d6570736575u ^ key[0],
        .b = 0x646f72616e646f6du ^ key[1] ^ 0xee,
        .c = 0x6c7967656e657261u ^ key[0],
        .d = 0x7465646279746573u ^ key[1],
    };
    const uint8_t *at = p;
    size_t left = n;
    for (; left >= 8; left -= 8, at += 8) sip_word(&s, load64(at));
    uint64_t last = (uint64_t)n << 56;
    for (size_t i = 0; i < left; i++) last |= (uint64_t)at[i] << (8 * i);
    sip_word(&s, last);
    s.c ^= 0xee;
    out[0] = sip_finish(&s);
    s.b ^= 0xdd;
    out[1] = sip_finish(&s);
}
