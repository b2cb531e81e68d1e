/* crc32c.c - CRC-32C by the processor's instruction, three streams at a time on long input (the instruction
 * takes three cycles but starts every cycle), or by tables, eight bytes at a time. The choice and the tables
 * are made once, before main(). Nothing can fail.
 *
 * Three streams are joined by "shift": the CRC register after n more zero bytes. Shifting is linear over
 * GF(2), so it is four table look-ups, one a byte of the register, with a table for each of the two block
 * lengths used. */
#include "base/crc32c.h"

#include <stdbool.h>

#include "base/bytes.h"
#include "base/must.h"

#define POLY        0x82f63b78u /* 0x1edc6f41 with its bits reversed */
#define BLOCK_LONG  4096u
#define BLOCK_SHORT 256u

static_must(BLOCK_LONG % 8 == 0 && BLOCK_SHORT % 8 == 0);

static uint32_t slice[8][256];
static uint32_t shift_long[4][256], shift_short[4][256];
static uint32_t (*update)(uint32_t reg, const uint8_t *p, size_t n);

static uint32_t update_portable(uint32_t reg, const uint8_t *p, size_t n) {
    for (; n >= 8; n -= 8, p += 8) {
        uint64_t w = load64(p) ^ reg;
        reg = slice[7][w & 255] ^ slice[6][w >> 8 & 255] ^ slice[5][w >> 16 & 255] ^ slice[4][w >> 24 & 255] ^
              slice[3][w >> 32 & 255] ^ slice[2][w >> 40 & 255] ^ slice[1][w >> 48 & 255] ^ slice[0][w >> 56];
    }
    for (; n > 0; n--, p++) reg = reg >> 8 ^ slice[0][(reg ^ *p) & 255];
    return reg;
}

#if defined(__x86_64__)
#include <nmmintrin.h>
#define HARDWARE       1
#define HW_TARGET      __attribute__((target("sse4.2")))
#define hw_step8(r, w) ((uint32_t)_mm_crc32_u64((r), (w)))
#define hw_step1(r, b) _mm_crc32_u8((r), (b))
static bool hw_present(void) { return __builtin_cpu_supports("sse4.2"); }
#elif defined(__aarch64__)
#include <arm_acle.h>
#include <asm/hwcap.h>
#include <sys/auxv.h>
#define HARDWARE       1
#define HW_TARGET      __attribute__((target("+crc")))
#define hw_step8(r, w) __crc32cd((r), (w))
#define hw_step1(r, b) __crc32cb((r), (b))
static bool hw_present(void) { return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0; }
#endif

#ifdef HARDWARE
static inline uint32_t shift(const uint32_t table[4][256], uint32_t reg) {
    return table[0][reg & 255] ^ table[1][reg >> 8 & 255] ^ table[2][reg >> 16 & 255] ^ table[3][reg >> 24];
}

/* Three neighbouring blocks of `block` bytes at p. */
HW_TARGET static inline uint32_t hw_three(uint32_t reg, const uint8_t *p, size_t block,
                                          const uint32_t table[4][256]) {
    uint32_t second = 0, third = 0;
    for (const uint8_t *end = p + block; p < end; p += 8) {
        reg = hw_step8(reg, load64(p));
        second = hw_step8(second, load64(p + block));
        third = hw_step8(third, load64(p + 2 * block));
    }
    return shift(table, shift(table, reg) ^ second) ^ third;
}

HW_TARGET static uint32_t update_hw(uint32_t reg, const uint8_t *p, size_t n) {
    must(p != NULL || n == 0);
    for (; n >= 3 * BLOCK_LONG; n -= 3 * BLOCK_LONG, p += 3 * BLOCK_LONG)
        reg = hw_three(reg, p, BLOCK_LONG, shift_long);
    for (; n >= 3 * BLOCK_SHORT; n -= 3 * BLOCK_SHORT, p += 3 * BLOCK_SHORT)
        reg = hw_three(reg, p, BLOCK_SHORT, shift_short);
    for (; n >= 8; n -= 8, p += 8) reg = hw_step8(reg, load64(p));
    for (; n > 0; n--, p++) reg = hw_step1(reg, *p);
    return reg;
}
#endif

static void fill_slices(void) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t reg = i;
        for (int bit = 0; bit < 8; bit++) reg = reg >> 1 ^ (reg & 1 ? POLY : 0);
        slice[0][i] = reg;
    }
    for (uint32_t i = 0; i < 256; i++) {
        for (int k = 1; k < 8; k++) slice[k][i] = slice[k - 1][i] >> 8 ^ slice[0][slice[k - 1][i] & 255];
    }
}

/* table[k][b]: the register whose byte k is b and whose others are zero, after `zeros` zero bytes. Each bit
 * is run through once; the other entries are sums of bits. */
static void fill_shift(uint32_t table[4][256], size_t zeros) {
    must(zeros > 0);
    must(slice[0][1] != 0); /* the tables it is made from */
    for (unsigned bit = 0; bit < 32; bit++) {
        uint32_t reg = 1u << bit;
        for (size_t i = 0; i < zeros; i++) reg = reg >> 8 ^ slice[0][reg & 255];
        table[bit / 8][1u << bit % 8] = reg;
    }
    for (int k = 0; k < 4; k++) {
        for (uint32_t b = 1; b < 256; b++) table[k][b] = table[k][b & (b - 1)] ^ table[k][b & -b];
    }
}

__attribute__((constructor)) static void choose(void) {
    fill_slices();
    fill_shift(shift_long, BLOCK_LONG);
    fill_shift(shift_short, BLOCK_SHORT);
    update = update_portable;
#ifdef HARDWARE
    if (hw_present()) update = update_hw;
#endif
    must(crc32c(0, "123456789", 9) == 0xe3069283);
    must(crc32c_portable(0, "123456789", 9) == 0xe3069283);
}

uint32_t crc32c(uint32_t crc, const void *p, size_t n) {
    must(p != NULL || n == 0);
    must(update != NULL);
    return ~update(~crc, p, n);
}

uint32_t crc32c_portable(uint32_t crc, const void *p, size_t n) {
    must(p != NULL || n == 0);
    return ~update_portable(~crc, p, n);
}
