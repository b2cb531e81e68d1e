/* text.h - JSON text under construction, written front to back: what Go's encoding/json would print, byte for
 * byte, where clients or tests compare. Grows on the heap; once memory is out everything is ignored and
 * `failed` stays set. Used by the API only: the data path formats into stack buffers. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

struct text {
    uint8_t *p;
    size_t n, cap;
    bool failed;
    bool fixed; /* p is the caller's buffer of cap bytes: nothing grows, what does not fit fails */
};

void text_free(struct text *t);
static inline struct span text_span(const struct text *t) { return span_of(t->p, t->n); }

void text_raw(struct text *t, struct span s);
void text_lit(struct text *t, const char *s);
/* Quoted and escaped as Go does it: < > & and control characters as \u00xx, bytes that are no UTF-8 as
 * U+FFFD. */
void text_str(struct text *t, struct span s);
void text_u64(struct text *t, uint64_t n);
void text_i64(struct text *t, int64_t n);
void text_bool(struct text *t, bool b);
void text_base64(struct text *t, struct span s); /* without quotes */
/* "2024-01-02T03:04:05.6Z"; 0 is Go's zero time. */
void text_time(struct text *t, int64_t unix_ns);

/* `"key":` with a comma before it unless it is the first of its object. */
void text_key(struct text *t, const char *key);
/* A comma unless the array has just begun. */
void text_item(struct text *t);

void text_key_str(struct text *t, const char *key, struct span s);
void text_key_u64(struct text *t, const char *key, uint64_t n);
void text_key_i64(struct text *t, const char *key, int64_t n);
void text_key_bool(struct text *t, const char *key, bool b);
void text_key_time(struct text *t, const char *key, int64_t unix_ns);
/* Only when not empty, 0 or false: Go's omitempty. */
void text_opt_str(struct text *t, const char *key, struct span s);
void text_opt_u64(struct text *t, const char *key, uint64_t n);
void text_opt_i64(struct text *t, const char *key, int64_t n);
void text_opt_bool(struct text *t, const char *key, bool b);
