/* tlv.h - the grammar under codec.h: items of tag (u16), length (u32), value, one behind the other; inside
 * values little-endian words and varints (7 bits a byte, low first, at most 10 bytes). Readers never pass the
 * end; a malformed item ends in bad. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "stream/codec.h"

/* Writing; a failed allocation is remembered in b->failed. tlv_begin() returns what tlv_end() needs. */
void tlv_reset(struct codec_buf *b);
size_t tlv_begin(struct codec_buf *b, uint16_t tag);
void tlv_end(struct codec_buf *b, size_t begin);
void tlv_bytes(struct codec_buf *b, uint16_t tag, struct span value);
void tlv_words(struct codec_buf *b, uint16_t tag, const uint64_t *words, size_t count);
void tlv_raw(struct codec_buf *b, const void *p, size_t n);
void tlv_varint(struct codec_buf *b, uint64_t n);
/* n bytes more, to be filled by the caller; NULL: failed. */
uint8_t *tlv_room(struct codec_buf *b, size_t n);

struct tlv {
    struct span left;
    uint16_t tag;
    struct span value;
    bool bad;
};
/* Items of a payload: false at the end or when bad. */
struct tlv tlv_open(struct span payload);
bool tlv_next(struct tlv *t);
/* Words of a value; those it does not have stay as they are. False: not a multiple of 8 bytes. */
bool tlv_get_words(struct span value, uint64_t *words, size_t count);
/* Takes a varint, or n bytes, off the front; false when it is not whole. */
bool tlv_get_varint(struct span *value, uint64_t *n);
bool tlv_get_raw(struct span *value, void *to, size_t n);

static inline uint64_t tlv_zigzag(int64_t n) { return ((uint64_t)n << 1) ^ (n < 0 ? UINT64_MAX : 0); }
static inline int64_t tlv_unzigzag(uint64_t n) { return (int64_t)(n >> 1) ^ -(int64_t)(n & 1); }
