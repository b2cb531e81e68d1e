/* text.c - base64 and UTF-8, the two encodings json needs by hand. Pure; whatever is wrong with the bytes is
 * answered with false or repaired. */
#include "base/must.h"
#include "wire/json.h"

static const char alphabet[64 + 1] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t base64_put(char *out, struct span bytes) {
    char *at = out;
    must(out != NULL);
    for (size_t i = 0; i < bytes.n; i += 3) {
        size_t left = bytes.n - i;
        uint32_t v = (uint32_t)bytes.p[i] << 16;
        if (left > 1) v |= (uint32_t)bytes.p[i + 1] << 8;
        if (left > 2) v |= bytes.p[i + 2];
        *at++ = alphabet[v >> 18];
        *at++ = alphabet[v >> 12 & 63];
        *at++ = left > 1 ? alphabet[v >> 6 & 63] : '=';
        *at++ = left > 2 ? alphabet[v & 63] : '=';
    }
    must((size_t)(at - out) == base64_len(bytes.n));
    return base64_len(bytes.n);
}

/* 0 to 63, or -1. */
static int sextet(uint8_t c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool base64_get(uint8_t *out, size_t *n, struct span text) {
    must(n != NULL);
    *n = 0;
    if (text.n % 4) return false;
    for (size_t i = 0; i < text.n; i += 4) {
        const uint8_t *q = text.p + i;
        bool last = i + 4 == text.n;
        size_t pad = last && q[3] == '=' ? 1u + (q[2] == '=') : 0;
        uint32_t v = 0;
        for (size_t k = 0; k < 4; k++) {
            int s = k < 4 - pad ? sextet(q[k]) : 0;
            if (s < 0) return false;
            v = v << 6 | (uint32_t)s;
        }
        for (size_t k = 0; k < 3 - pad; k++) out[(*n)++] = (uint8_t)(v >> (16 - 8 * k));
    }
    must(*n <= text.n / 4 * 3);
    return true;
}

/* Bytes of the valid sequence that begins here; 0 when none does. */
static size_t utf8_step(const uint8_t *p, size_t n) {
    uint8_t c = p[0];
    if (c < 0x80) return 1;
    size_t len = c >= 0xc2 && c <= 0xdf ? 2 : c >= 0xe0 && c <= 0xef ? 3 : c >= 0xf0 && c <= 0xf4 ? 4 : 0;
    if (!len || n < len) return 0;
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80) return 0;
    }
    bool too_long = (c == 0xe0 && p[1] < 0xa0) || (c == 0xf0 && p[1] < 0x90);
    bool surrogate = c == 0xed && p[1] > 0x9f, beyond = c == 0xf4 && p[1] > 0x8f;
    return too_long || surrogate || beyond ? 0 : len;
}

bool utf8_valid(struct span s) {
    must(s.p != NULL || s.n == 0);
    for (size_t i = 0; i < s.n;) {
        size_t step = utf8_step(s.p + i, s.n - i);
        if (!step) return false;
        i += step;
    }
    return true;
}

struct span utf8_fix(struct span s, uint8_t *room) {
    if (utf8_valid(s)) return s;
    must(room != NULL);
    uint8_t *at = room;
    for (size_t i = 0; i < s.n;) {
        size_t step = utf8_step(s.p + i, s.n - i);
        memcpy(at, step ? (const char *)s.p + i : "\xef\xbf\xbd", step ? step : 3);
        at += step ? step : 3;
        i += step ? step : 1;
    }
    must((size_t)(at - room) <= 3 * s.n);
    return span_of(room, (size_t)(at - room));
}
