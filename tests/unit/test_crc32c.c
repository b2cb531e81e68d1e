/* test_crc32c.c - the published vectors, the two implementations against each other at every small length and
 * alignment, and continuation. */
#include "base/crc32c.h"
#include "base/rng.h"
#include "lib/check.h"

/* RFC 3720, B.4. */
static void published_vectors(void) {
    uint8_t b[32];
    CHECK(crc32c(0, "123456789", 9) == 0xe3069283);
    memset(b, 0, sizeof b);
    CHECK(crc32c(0, b, 32) == 0x8a9136aa);
    memset(b, 0xff, sizeof b);
    CHECK(crc32c(0, b, 32) == 0x62a8ab43);
    for (int i = 0; i < 32; i++) b[i] = (uint8_t)i;
    CHECK(crc32c(0, b, 32) == 0x46dd794e);
    for (int i = 0; i < 32; i++) b[i] = (uint8_t)(31 - i);
    CHECK(crc32c(0, b, 32) == 0x113fdb5c);
    CHECK(crc32c(0, NULL, 0) == 0);
    CHECK(crc32c(0x1234, NULL, 0) == 0x1234);
}

static uint8_t *noise(size_t n) {
    struct rng r = {7};
    uint8_t *p = malloc(n);
    CHECK(p != NULL);
    for (size_t i = 0; i < n; i++) p[i] = (uint8_t)rng_next(&r);
    return p;
}

static void both_agree(void) {
    enum { N = 40000 };
    uint8_t *p = noise(N);
    for (size_t off = 0; off < 9; off++) {
        for (size_t n = 0; n < 1700; n++) CHECK(crc32c(5, p + off, n) == crc32c_portable(5, p + off, n));
    }
    static const size_t lengths[] = {
        3 * 4096 - 1, 3 * 4096, 3 * 4096 + 1, 3 * 4096 + 768, 6 * 4096 + 3 * 768 + 17, N};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        CHECK(crc32c(0, p, lengths[i]) == crc32c_portable(0, p, lengths[i]));
    free(p);
}

static void continues(void) {
    enum { N = 20000 };
    uint8_t *p = noise(N);
    uint32_t whole = crc32c(0, p, N), whole_portable = crc32c_portable(0, p, N);
    for (size_t cut = 0; cut <= N; cut += 613) {
        CHECK(crc32c(crc32c(0, p, cut), p + cut, N - cut) == whole);
        CHECK(crc32c_portable(crc32c_portable(0, p, cut), p + cut, N - cut) == whole_portable);
    }
    free(p);
}

static void every_bit_counts(void) {
    enum { N = 800 };
    uint8_t *p = noise(N);
    uint32_t whole = crc32c(0, p, N);
    for (size_t bit = 0; bit < N * 8; bit += 3) {
        p[bit / 8] ^= (uint8_t)(1u << bit % 8);
        CHECK(crc32c(0, p, N) != whole);
        p[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    free(p);
}

CHECK_MAIN(CASE(published_vectors), CASE(both_agree), CASE(continues), CASE(every_bit_counts))
