/* payload.h - what messages carry, so that every one that comes back can be judged: who sent it, which of his
 * it is, when it was meant to be sent, and bytes that are the same in every message of a run and different in
 * every run's seed. Of short messages only the beginning of this. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/bytes.h"

enum { PAYLOAD_TAG = 8, PAYLOAD_HEAD = 16, TAG_BITS = 40 };

struct payload {
    uint32_t size;
    uint8_t *pattern; /* size bytes; those of the head are replaced in each message */
};

void payload_init(struct payload *p, uint32_t size, uint64_t seed);
void payload_deinit(struct payload *p);

static inline uint64_t payload_tag(uint32_t sender, uint64_t number) {
    return (uint64_t)sender << TAG_BITS | number;
}
static inline uint32_t tag_sender(uint64_t tag) { return (uint32_t)(tag >> TAG_BITS); }
static inline uint64_t tag_number(uint64_t tag) { return tag & (((uint64_t)1 << TAG_BITS) - 1); }

static inline void payload_put(const struct payload *p, uint8_t *out, uint64_t tag, uint64_t intended_ns) {
    memcpy(out, p->pattern, p->size);
    if (p->size >= PAYLOAD_TAG) store64(out, tag);
    if (p->size >= PAYLOAD_HEAD) store64(out + 8, intended_ns);
}
/* Are these the bytes of a message of this run? The tag and time are UINT64_MAX when the message is too short
 * for them. */
static inline bool payload_get(const struct payload *p, struct span s, uint64_t *tag, uint64_t *intended_ns) {
    *tag = *intended_ns = UINT64_MAX;
    if (s.n != p->size) return false;
    size_t head = s.n >= PAYLOAD_HEAD ? PAYLOAD_HEAD : s.n >= PAYLOAD_TAG ? PAYLOAD_TAG : 0;
    if (head >= PAYLOAD_TAG) *tag = load64(s.p);
    if (head >= PAYLOAD_HEAD) *intended_ns = load64(s.p + 8);
    return s.n == head || memcmp(s.p + head, p->pattern + head, s.n - head) == 0;
}
