/* text.c - see text.h. Happy path: room is doubled, bytes are appended. What fails: memory; then the text is
 * marked and its owner answers nothing rather than half a document. */
#include "jetstream/text.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/must.h"
#include "wire/gotime.h"
#include "wire/json.h"

void text_free(struct text *t) {
    if (!t->fixed) free(t->p);
    *t = (struct text){0};
}

static uint8_t *text_room(struct text *t, size_t n) {
    if (t->failed) return NULL;
    if (t->cap - t->n < n) {
        size_t cap = t->cap ? t->cap : 512;
        while (cap - t->n < n) cap *= 2;
        uint8_t *p = t->fixed ? NULL : realloc(t->p, cap);
        if (!p) {
            t->failed = true;
            return NULL;
        }
        t->p = p;
        t->cap = cap;
    }
    must(t->cap - t->n >= n);
    return t->p + t->n;
}

void text_raw(struct text *t, struct span s) {
    uint8_t *p = text_room(t, s.n);
    must(s.n == 0 || s.p);
    if (!p || !s.n) return;
    memcpy(p, s.p, s.n);
    t->n += s.n;
}

void text_lit(struct text *t, const char *s) { text_raw(t, span_str(s)); }

void text_u64(struct text *t, uint64_t n) {
    uint8_t *p = text_room(t, 20);
    if (p) t->n += put_u64(p, n);
}

void text_i64(struct text *t, int64_t n) {
    if (n < 0) text_lit(t, "-");
    text_u64(t, n < 0 ? 0 - (uint64_t)n : (uint64_t)n);
}

void text_base64(struct text *t, struct span s) {
    uint8_t *p = text_room(t, base64_len(s.n));
    if (p) t->n += base64_put((char *)p, s);
}

void text_bool(struct text *t, bool b) { text_lit(t, b ? "true" : "false"); }

void text_time(struct text *t, int64_t unix_ns) {
    char buf[GOTIME_TEXT_MAX];
    size_t n = gotime_put(buf, unix_ns ? unix_ns : GOTIME_ZERO);
    must(n > 0 && n <= sizeof buf);
    text_lit(t, "\"");
    text_raw(t, span_of(buf, n));
    text_lit(t, "\"");
}

/* The length of the well-formed UTF-8 sequence at s, 0 when there is none. */
static size_t utf8_len(struct span s) {
    must(s.n > 0);
    uint8_t c = s.p[0];
    size_t n = c < 0x80                ? 1
               : c >= 0xc2 && c < 0xe0 ? 2
               : (c & 0xf0) == 0xe0    ? 3
               : c >= 0xf0 && c < 0xf5 ? 4
                                       : 0;
    if (n == 0 || n > s.n) return 0;
    for (size_t i = 1; i < n; i++)
        if ((s.p[i] & 0xc0) != 0x80) return 0;
    if ((c == 0xe0 && s.p[1] < 0xa0) || (c == 0xed && s.p[1] >= 0xa0)) return 0;
    if ((c == 0xf0 && s.p[1] < 0x90) || (c == 0xf4 && s.p[1] >= 0x90)) return 0;
    return n;
}

static void text_escape(struct text *t, uint8_t c) {
    must(c < 0x80);
    static const char hex[] = "0123456789abcdef";
    switch (c) {
    case '"': text_lit(t, "\\\""); return;
    case '\\': text_lit(t, "\\\\"); return;
    case '\b': text_lit(t, "\\b"); return;
    case '\f': text_lit(t, "\\f"); return;
    case '\n': text_lit(t, "\\n"); return;
    case '\r': text_lit(t, "\\r"); return;
    case '\t': text_lit(t, "\\t"); return;
    default: break;
    }
    char u[7] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15], 0};
    text_lit(t, u);
}

static bool plain(uint8_t c) {
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&';
}

void text_str(struct text *t, struct span s) {
    text_lit(t, "\"");
    for (size_t i = 0; i < s.n;) {
        size_t run = i;
        while (run < s.n && plain(s.p[run])) run++;
        text_raw(t, span_of(s.p + i, run - i));
        i = run;
        if (i == s.n) break;
        size_t n = utf8_len(span_skip(s, i));
        if (n == 0) {
            text_lit(t, "\\ufffd");
            n = 1;
        } else if (n == 1) {
            text_escape(t, s.p[i]);
        } else if (n == 3 && s.p[i] == 0xe2 && s.p[i + 1] == 0x80 && (s.p[i + 2] | 1) == 0xa9) {
            text_lit(t, s.p[i + 2] == 0xa8 ? "\\u2028" : "\\u2029");
        } else {
            text_raw(t, span_of(s.p + i, n));
        }
        i += n;
    }
    text_lit(t, "\"");
}

void text_item(struct text *t) {
    if (t->n && t->p[t->n - 1] != '{' && t->p[t->n - 1] != '[') text_lit(t, ",");
}

void text_key(struct text *t, const char *key) {
    must(key && *key);
    text_item(t);
    text_lit(t, "\"");
    text_lit(t, key);
    text_lit(t, "\":");
}

void text_key_str(struct text *t, const char *key, struct span s) {
    text_key(t, key);
    text_str(t, s);
}
void text_key_u64(struct text *t, const char *key, uint64_t n) {
    text_key(t, key);
    text_u64(t, n);
}
void text_key_i64(struct text *t, const char *key, int64_t n) {
    text_key(t, key);
    text_i64(t, n);
}
void text_key_bool(struct text *t, const char *key, bool b) {
    text_key(t, key);
    text_bool(t, b);
}
void text_key_time(struct text *t, const char *key, int64_t unix_ns) {
    text_key(t, key);
    text_time(t, unix_ns);
}
void text_opt_str(struct text *t, const char *key, struct span s) {
    if (s.n) text_key_str(t, key, s);
}
void text_opt_u64(struct text *t, const char *key, uint64_t n) {
    if (n) text_key_u64(t, key, n);
}
void text_opt_i64(struct text *t, const char *key, int64_t n) {
    if (n) text_key_i64(t, key, n);
}
void text_opt_bool(struct text *t, const char *key, bool b) {
    if (b) text_key_bool(t, key, b);
}
