/* span.h - a run of bytes someone else owns. A span never frees and never outlives its owner; every function
 * that hands one out says how long it stays valid. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
    const uint8_t *p;
    size_t n;
};

#define SPAN_EMPTY  ((struct span){NULL, 0})
#define SPAN_LIT(s) ((struct span){(const uint8_t *)(s), sizeof(s) - 1})

static inline struct span span_of(const void *p, size_t n) { return (struct span){(const uint8_t *)p, n}; }
static inline struct span span_str(const char *s) { return span_of(s, strlen(s)); }
static inline bool span_eq(struct span a, struct span b) {
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
static inline struct span span_skip(struct span s, size_t n) {
    return n < s.n ? span_of(s.p + n, s.n - n) : SPAN_EMPTY;
}
static inline bool span_starts(struct span s, struct span head) {
    return s.n >= head.n && (head.n == 0 || memcmp(s.p, head.p, head.n) == 0);
}
