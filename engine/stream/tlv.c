#include "stream/tlv.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/must.h"

enum { HEAD = 6, BUF_MIN = 512 };

void codec_buf_init(struct codec_buf *b) {
    must(b);
    *b = (struct codec_buf){0};
}

void codec_buf_deinit(struct codec_buf *b) {
    must(b);
    free(b->p);
    *b = (struct codec_buf){0};
}

/* ------------------------------------------------------------------------------------------------ writing */

void tlv_reset(struct codec_buf *b) {
    must(b);
    b->n = 0;
    b->failed = false;
}

uint8_t *tlv_room(struct codec_buf *b, size_t n) {
    must(b);
    must(b->n <= b->cap);
    if (b->failed) return NULL;
    if (b->n + n > b->cap) {
        size_t cap = b->cap ? b->cap * 2 : BUF_MIN;
        while (cap < b->n + n) cap *= 2;
        uint8_t *p = realloc(b->p, cap);
        if (!p) {
            b->failed = true;
            return NULL;
        }
        b->p = p;
        b->cap = cap;
    }
    b->n += n;
    return b->p + b->n - n;
}

size_t tlv_begin(struct codec_buf *b, uint16_t tag) {
    must(b);
    must(tag != 0);
    size_t at = b->n;
    uint8_t *p = tlv_room(b, HEAD);
    if (p) store16(p, tag);
    return at;
}

void tlv_end(struct codec_buf *b, size_t begin) {
    must(b);
    if (b->failed) return;
    must(begin + HEAD <= b->n);
    if (b->n - begin - HEAD > UINT32_MAX)
        b->failed = true;
    else
        store32(b->p + begin + 2, (uint32_t)(b->n - begin - HEAD));
}

void tlv_raw(struct codec_buf *b, const void *p, size_t n) {
    must(p || n == 0);
    uint8_t *to = tlv_room(b, n);
    if (to && n) memcpy(to, p, n);
}

void tlv_bytes(struct codec_buf *b, uint16_t tag, struct span value) {
    must(value.p || value.n == 0);
    size_t at = tlv_begin(b, tag);
    tlv_raw(b, value.p, value.n);
    tlv_end(b, at);
}

void tlv_words(struct codec_buf *b, uint16_t tag, const uint64_t *words, size_t count) {
    must(words && count);
    size_t at = tlv_begin(b, tag);
    for (size_t i = 0; i < count; i++) {
        uint8_t *p = tlv_room(b, 8);
        if (p) store64(p, words[i]);
    }
    tlv_end(b, at);
}

void tlv_varint(struct codec_buf *b, uint64_t n) {
    uint8_t v[10];
    size_t len = 0;
    for (; n >= 0x80; n >>= 7) v[len++] = (uint8_t)(n | 0x80);
    v[len++] = (uint8_t)n;
    must(len <= sizeof v);
    tlv_raw(b, v, len);
}

/* ------------------------------------------------------------------------------------------------ reading */

struct tlv tlv_open(struct span payload) {
    must(payload.p || payload.n == 0);
    return (struct tlv){.left = payload};
}

bool tlv_next(struct tlv *t) {
    must(t);
    if (t->bad || t->left.n == 0) return false;
    t->bad = t->left.n < HEAD;
    if (t->bad) return false;
    t->tag = load16(t->left.p);
    size_t n = load32(t->left.p + 2);
    t->bad = t->tag == 0 || n > t->left.n - HEAD;
    if (t->bad) return false;
    t->value = span_of(t->left.p + HEAD, n);
    t->left = span_skip(t->left, HEAD + n);
    return true;
}

bool tlv_get_words(struct span value, uint64_t *words, size_t count) {
    must(words);
    if (value.n % 8 != 0) return false;
    for (size_t i = 0; i < count && i < value.n / 8; i++) words[i] = load64(value.p + 8 * i);
    return true;
}

bool tlv_get_varint(struct span *value, uint64_t *n) {
    must(value && n);
    uint64_t v = 0;
    for (size_t i = 0; i < value->n && i < 10; i++) {
        uint8_t b = value->p[i];
        if (i == 9 && b > 1) return false;
        v |= (uint64_t)(b & 0x7f) << (7 * i);
        if (b & 0x80) continue;
        *n = v;
        *value = span_of(value->p + i + 1, value->n - i - 1);
        return true;
    }
    return false;
}

bool tlv_get_raw(struct span *value, void *to, size_t n) {
    must(n > 0);
    must(value && to);
    if (value->n < n) return false;
    memcpy(to, value->p, n);
    *value = span_of(value->p + n, value->n - n);
    return true;
}
