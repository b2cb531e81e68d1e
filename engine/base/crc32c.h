/* crc32c.h - CRC-32C (Castagnoli), as in RFC 3720 appendix B.4. crc32c(0, "123456789", 9) == 0xe3069283.
 * Continues: crc32c(crc32c(0, a), b) == crc32c(0, ab). Uses SSE4.2 or ARMv8 CRC where the processor has it,
 * chosen once. */
#pragma once
#include <stddef.h>
#include <stdint.h>

uint32_t crc32c(uint32_t crc, const void *p, size_t n);
/* The table version, for tests to compare with. */
uint32_t crc32c_portable(uint32_t crc, const void *p, size_t n);
