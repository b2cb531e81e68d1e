/* json_explain.c - what is wrong with a json text, in the words of Go's encoding/json, because clients print
 * them and tests compare them. Only runs on texts yyjson has refused. Happy path: one pass with a stack of
 * open brackets; it stops at the first byte the grammar does not allow. */
#include <stdio.h>

#include "base/must.h"
#include "wire/json.h"

enum expect { VALUE, VALUE_OR_END, KEY, KEY_OR_END, COLON, AFTER };

struct scan {
    struct span s;
    size_t at;
    const char *context; /* set: s.p[at] is wrong, or, at the end, missing */
    bool inside;         /* of a number, literal or escape, where not even a blank may stand */
    char open[JSON_DEPTH_MAX + 1];
    size_t depth;
};

/* The byte under the cursor; 0 at the end, which no rule accepts. */
static uint8_t peek(const struct scan *x) { return x->at < x->s.n ? x->s.p[x->at] : 0; }

static bool bad(struct scan *x, const char *context) {
    must(context != NULL);
    x->context = context;
    return false;
}

static bool bad_inside(struct scan *x, const char *context) {
    x->inside = true;
    return bad(x, context);
}

static bool is_digit(uint8_t c) { return c >= '0' && c <= '9'; }
static bool is_hex(uint8_t c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
static bool is_space(uint8_t c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

static bool scan_escape(struct scan *x) {
    uint8_t c = peek(x);
    if (c == 0 || !strchr("bfnrt\\/\"u", c)) return bad_inside(x, "in string escape code");
    x->at++;
    for (int i = 0; c == 'u' && i < 4; i++, x->at++) {
        if (!is_hex(peek(x))) return bad_inside(x, "in \\u hexadecimal character escape");
    }
    return true;
}

static bool scan_string(struct scan *x) {
    must(peek(x) == '"');
    for (x->at++; peek(x) != '"';) {
        if (peek(x) < ' ') return bad(x, "in string literal");
        if (x->s.p[x->at++] == '\\' && !scan_escape(x)) return false;
    }
    x->at++;
    return true;
}

static void scan_digits(struct scan *x) {
    while (is_digit(peek(x))) x->at++;
}

static bool scan_number(struct scan *x) {
    x->at += peek(x) == '-';
    if (!is_digit(peek(x))) return bad_inside(x, "in numeric literal");
    if (peek(x) == '0')
        x->at++;
    else
        scan_digits(x);
    if (peek(x) == '.') {
        x->at++;
        if (!is_digit(peek(x))) return bad_inside(x, "after decimal point in numeric literal");
        scan_digits(x);
    }
    if (peek(x) == 'e' || peek(x) == 'E') {
        x->at++;
        x->at += peek(x) == '+' || peek(x) == '-';
        if (!is_digit(peek(x))) return bad_inside(x, "in exponent of numeric literal");
        scan_digits(x);
    }
    return true;
}

static bool scan_literal(struct scan *x) {
    static const struct {
        const char *word;
        const char *context[4];
    } words[] = {
        {"true",
         {"in literal true (expecting 'r')", "in literal true (expecting 'u')",
          "in literal true (expecting 'e')"}},
        {"false",
         {"in literal false (expecting 'a')", "in literal false (expecting 'l')",
          "in literal false (expecting 's')", "in literal false (expecting 'e')"}},
        {"null",
         {"in literal null (expecting 'u')", "in literal null (expecting 'l')",
          "in literal null (expecting 'l')"}},
    };
    size_t w = peek(x) == 't' ? 0 : peek(x) == 'f' ? 1 : 2;
    must(peek(x) == (uint8_t)words[w].word[0]);
    x->at++;
    for (size_t i = 1; words[w].word[i]; i++, x->at++) {
        if (peek(x) != (uint8_t)words[w].word[i]) return bad_inside(x, words[w].context[i - 1]);
    }
    return true;
}

static bool scan_open(struct scan *x, enum expect *next) {
    uint8_t c = peek(x);
    must(c == '{' || c == '[');
    if (x->depth > JSON_DEPTH_MAX) return bad(x, "");
    x->open[x->depth++] = (char)c;
    x->at++;
    *next = c == '{' ? KEY_OR_END : VALUE_OR_END;
    return true;
}

static bool scan_value(struct scan *x, enum expect *next) {
    uint8_t c = peek(x);
    *next = AFTER;
    if (c == '{' || c == '[') return scan_open(x, next);
    if (c == '"') return scan_string(x);
    if (c == '-' || is_digit(c)) return scan_number(x);
    if (c == 't' || c == 'f' || c == 'n') return scan_literal(x);
    return bad(x, "looking for beginning of value");
}

static bool scan_close(struct scan *x, enum expect *next) {
    must(x->depth > 0);
    x->depth--;
    x->at++;
    *next = AFTER;
    return true;
}

static bool scan_after(struct scan *x, enum expect *next) {
    if (x->depth == 0) return bad(x, "after top-level value");
    bool object = x->open[x->depth - 1] == '{';
    if (peek(x) == (object ? '}' : ']')) return scan_close(x, next);
    if (peek(x) != ',') return bad(x, object ? "after object key:value pair" : "after array element");
    x->at++;
    *next = object ? KEY : VALUE;
    return true;
}

static bool scan_step(struct scan *x, enum expect *next) {
    switch (*next) {
    case AFTER: return scan_after(x, next);
    case COLON:
        if (peek(x) != ':') return bad(x, "after object key");
        x->at++;
        *next = VALUE;
        return true;
    case KEY_OR_END:
        if (peek(x) == '}') return scan_close(x, next);
        /* fall through */
    case KEY:
        if (peek(x) != '"') return bad(x, "looking for beginning of object key string");
        *next = COLON;
        return scan_string(x);
    case VALUE_OR_END:
        if (peek(x) == ']') return scan_close(x, next);
        /* fall through */
    case VALUE: return scan_value(x, next);
    }
    must(false); /* a state that is not in the table */
    return false;
}

/* 'x', or escaped as Go quotes a character. */
static void quote(uint8_t c, char out[8]) {
    static const char plain[] = "\a\b\f\n\r\t\v\\'", letters[] = "abfnrtv\\'";
    const char *hit = c ? strchr(plain, c) : NULL;
    must(sizeof plain == sizeof letters);
    if (hit)
        snprintf(out, 8, "'\\%c'", letters[hit - plain]);
    else if (c < ' ' || c == 0x7f)
        snprintf(out, 8, "'\\x%02x'", c);
    else if (c < 0x80)
        snprintf(out, 8, "'%c'", c);
    else
        snprintf(out, 8, "'%c%c'", 0xc0 | c >> 6, 0x80 | (c & 0x3f)); /* Go takes the byte for a code point */
}

bool json_explain(struct span text, struct json_err *e) {
    struct scan x = {.s = text};
    enum expect next = VALUE;
    must(e != NULL);
    for (bool ok = true; ok;) {
        while (x.at < text.n && is_space(text.p[x.at])) x.at++;
        if (x.at == text.n && x.depth == 0 && next == AFTER) return false;
        ok = scan_step(&x, &next);
    }
    must(x.context != NULL);
    e->offset = x.at < text.n ? x.at + 1 : text.n;
    if (!*x.context) {
        snprintf(e->text, sizeof e->text, "exceeded max depth");
    } else if (x.at >= text.n && !x.inside) {
        snprintf(e->text, sizeof e->text, "unexpected end of JSON input");
    } else {
        char c[8];
        quote(x.at < text.n ? text.p[x.at] : ' ', c); /* Go's scanner tries a blank at the end */
        snprintf(e->text, sizeof e->text, "invalid character %s %s", c, x.context);
    }
    return true;
}
