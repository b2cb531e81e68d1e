/* conf_lex.c - see conf_lex.h. Happy path: the cursor goes forward over the bytes, once; spans point into the
 * text. The grammar is nats-server's, oddities included where a file could depend on them: a quote ends a
 * bare word, a block's `)` stands alone on its line. Where nats-server refuses or corrupts what it should
 * take (`[1,2]`, numbers that overflow, an unknown size suffix, a missing value) this says yes or no clearly
 * instead. */
#include "wire/conf_lex.h"

#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

#include "base/must.h"

bool lex_init(struct lex *x, struct span text, const char *file, struct conf_error *e) {
    must(e != NULL);
    *x = (struct lex){.text = text, .line = 1, .file = file, .e = e};
    const uint8_t *nul = text.n ? memchr(text.p, 0, text.n) : NULL;
    if (!nul) return true;
    lex_skip(x, (size_t)(nul - text.p));
    return lex_fail(x, "Unexpected NUL byte");
}

int lex_peek(const struct lex *x) { return x->at < x->text.n ? x->text.p[x->at] : 0; }

static int peek_at(const struct lex *x, size_t ahead) {
    return x->at + ahead < x->text.n ? x->text.p[x->at + ahead] : 0;
}

void lex_skip(struct lex *x, size_t n) {
    must(n <= x->text.n - x->at);
    for (; n; n--) {
        if (x->text.p[x->at++] != '\n') continue;
        x->line++;
        x->line_at = x->at;
    }
}

uint32_t lex_col(const struct lex *x) {
    must(x->at >= x->line_at);
    return (uint32_t)(x->at - x->line_at) + 1;
}

void lex_one_line(char *text) {
    must(text != NULL);
    for (; *text; text++) {
        if ((uint8_t)*text < ' ' || *text == 0x7f) *text = '?';
    }
}

bool lex_fail(struct lex *x, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    snprintf(x->e->file, sizeof x->e->file, "%s", x->file);
    vsnprintf(x->e->text, sizeof x->e->text, fmt, args);
    va_end(args);
    lex_one_line(x->e->text);
    lex_one_line(x->e->file);
    x->e->line = x->line;
    x->e->col = x->line ? lex_col(x) : 0;
    return false;
}

/* For sentences: the byte under the cursor, or what is there instead. */
static const char *shown(const struct lex *x, char room[8]) {
    int c = lex_peek(x);
    if (c == 0) return "end of file";
    if (c == '\n' || c == '\r') return "new line";
    snprintf(room, 8, c < ' ' || c > '~' ? "'\\x%02x'" : "'%c'", c);
    return room;
}

static bool is_blank(int c) { return c == ' ' || c == '\t'; }
static bool is_line_end(int c) { return c == '\n' || c == '\r'; }
static bool is_white(int c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
static bool is_digit(int c) { return c >= '0' && c <= '9'; }
static bool is_hex(int c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

void lex_blanks(struct lex *x) {
    while (is_blank(lex_peek(x))) x->at++;
}

void lex_white(struct lex *x) {
    while (is_white(lex_peek(x))) lex_skip(x, 1);
}

static bool at_comment(const struct lex *x) {
    return lex_peek(x) == '#' || (lex_peek(x) == '/' && peek_at(x, 1) == '/');
}

void lex_comment(struct lex *x) {
    lex_blanks(x);
    if (!at_comment(x)) return;
    while (lex_peek(x) && !is_line_end(lex_peek(x))) x->at++;
}

void lex_between(struct lex *x) {
    do {
        lex_white(x);
        lex_comment(x);
    } while (is_white(lex_peek(x)));
}

/* The cursor is behind the opening quote; no escapes. Leaves it behind the closing one. */
static bool quoted_raw(struct lex *x, char quote, struct span *out) {
    const uint8_t *from = x->text.p + x->at;
    must(x->at > 0 && from[-1] == (uint8_t)quote);
    const uint8_t *end = memchr(from, quote, x->text.n - x->at);
    if (!end) return lex_fail(x, "Unexpected end of file: a quote was not closed");
    *out = span_of(from, (size_t)(end - from));
    lex_skip(x, out->n + 1);
    return true;
}

bool lex_key(struct lex *x, struct span *key, bool *keyword) {
    int c = lex_peek(x);
    must(c != 0 && !is_white(c));
    *keyword = false;
    if (c == '=' || c == ':') return lex_fail(x, "Unexpected key separator '%c'", c);
    if (c == ',' || c == ';' || c == ']') return lex_fail(x, "Expected a key but got '%c'", c);
    if (c == '"' || c == '\'') {
        x->at++;
        return quoted_raw(x, (char)c, key);
    }
    const uint8_t *from = x->text.p + x->at;
    while (c && !is_white(c) && c != '=' && c != ':') {
        x->at++;
        c = lex_peek(x);
    }
    *key = span_of(from, (size_t)(x->text.p + x->at - from));
    *keyword = is_white(c);
    must(key->n > 0);
    return true;
}

bool lex_include(struct lex *x, struct span *path) {
    char room[8];
    lex_blanks(x);
    int c = lex_peek(x);
    if (c == '"' || c == '\'') {
        x->at++;
        return quoted_raw(x, (char)c, path);
    }
    if (c == 0 || is_white(c) || strchr("[{(-\\;}", c) || is_digit(c)) {
        return lex_fail(x, "Expected include value but got %s", shown(x, room));
    }
    const uint8_t *from = x->text.p + x->at;
    while (c && !is_white(c) && c != ';' && c != '}' && c != '\'') {
        x->at++;
        c = lex_peek(x);
    }
    *path = span_of(from, (size_t)(x->text.p + x->at - from));
    if (c == '\'') x->at++;
    must(path->n > 0);
    return true;
}

/* --- values --- */

/* The cursor is at a backslash. */
static bool escape_skip(struct lex *x) {
    char room[8];
    int c = peek_at(x, 1);
    must(lex_peek(x) == '\\');
    if (c == 'x') {
        if (!is_hex(peek_at(x, 2)) || !is_hex(peek_at(x, 3))) {
            return lex_fail(x, "Expected two hexadecimal digits after '\\x'");
        }
        x->at += 4;
        return true;
    }
    if (c == 0 || !strchr("tnr\"\\", c)) {
        x->at++;
        return lex_fail(x,
                        "Invalid escape character %s. Only the following escape characters are allowed: "
                        "\\xXX, \\t, \\n, \\r, \\\", \\\\.",
                        shown(x, room));
    }
    x->at += 2;
    return true;
}

static int hex_value(int c) {
    must(is_hex(c));
    return is_digit(c) ? c - '0' : (c | 0x20) - 'a' + 10;
}

size_t lex_unescape(struct span raw, uint8_t *out) {
    size_t n = 0;
    for (size_t i = 0; i < raw.n; i++) {
        uint8_t c = raw.p[i];
        if (c == '\\') {
            must(i + 1 < raw.n);
            c = raw.p[++i];
            if (c == 'x') {
                c = (uint8_t)(hex_value(raw.p[i + 1]) << 4 | hex_value(raw.p[i + 2]));
                i += 2;
            } else {
                c = c == 't' ? '\t' : c == 'n' ? '\n' : c == 'r' ? '\r' : c;
            }
        }
        out[n++] = c;
    }
    must(n <= raw.n);
    return n;
}

/* The cursor is behind the opening quote. */
static bool double_quoted(struct lex *x, struct scalar *s) {
    const uint8_t *from = x->text.p + x->at;
    must(x->at > 0 && from[-1] == '"');
    for (int c = lex_peek(x); c != '"'; c = lex_peek(x)) {
        if (c == 0) return lex_fail(x, "Unexpected end of file: a quote was not closed");
        s->escaped |= c == '\\';
        if (c != '\\')
            lex_skip(x, 1);
        else if (!escape_skip(x))
            return false;
    }
    s->raw = span_of(from, (size_t)(x->text.p + x->at - from));
    x->at++;
    return true;
}

/* The cursor is behind `(`. Everything up to a `)` that stands alone on its line, line ends included. */
static bool block(struct lex *x, struct scalar *s) {
    const uint8_t *from = x->text.p + x->at;
    must(x->at > 0 && from[-1] == '(');
    while (lex_peek(x)) {
        bool alone = lex_peek(x) == '\n' && peek_at(x, 1) == ')' && (peek_at(x, 2) == '\n' || !peek_at(x, 2));
        lex_skip(x, 1);
        if (!alone) continue;
        s->raw = span_of(from, (size_t)(x->text.p + x->at - from));
        x->at++;
        return true;
    }
    return lex_fail(x, "Unexpected end of file: a block was not closed by ')' on a line of its own");
}

static bool is_word(struct span s, const char *word) {
    return s.n == strlen(word) && strncasecmp((const char *)s.p, word, s.n) == 0;
}

static bool is_bool(struct span s) {
    return is_word(s, "true") || is_word(s, "false") || is_word(s, "on") || is_word(s, "off") ||
           is_word(s, "yes") || is_word(s, "no");
}

static bool ends_bare(int c) { return c == 0 || is_blank(c) || is_line_end(c) || strchr(";,]}", c); }

/* A word without quotes, the part before the cursor included. */
static bool bare(struct lex *x, size_t start, struct scalar *s) {
    char room[8];
    int c = lex_peek(x);
    must(start <= x->at);
    for (; !ends_bare(c) && c != '\''; c = lex_peek(x)) {
        s->escaped |= c == '\\';
        if (c != '\\')
            x->at++;
        else if (!escape_skip(x))
            return false;
    }
    s->kind = CONF_STR;
    s->raw = span_of(x->text.p + start, x->at - start);
    if (!s->raw.n && c != '\'') return lex_fail(x, "Expected value but got %s", shown(x, room));
    if (c == '\'') x->at++;
    if (s->escaped || c == '\'') return true;
    if (is_bool(s->raw)) s->kind = CONF_BOOL;
    s->variable = s->raw.n > 0 && s->raw.p[0] == '$';
    if (s->variable) s->raw = span_skip(s->raw, 1);
    return true;
}

static bool done(struct lex *x, size_t start, enum conf_kind kind, struct scalar *s) {
    must(x->at > start);
    s->kind = kind;
    s->raw = span_of(x->text.p + start, x->at - start);
    return true;
}

static size_t digits_skip(struct lex *x) {
    size_t from = x->at;
    while (is_digit(lex_peek(x))) x->at++;
    return x->at - from;
}

/* Behind "2024": "-01-02T03:04:05Z" and nothing else. */
static bool date(struct lex *x, size_t start, struct scalar *s) {
    char room[8];
    if (x->at - start != 4) return lex_fail(x, "All ISO8601 dates must be in full Zulu form.");
    for (const char *f = "-00-00T00:00:00Z"; *f; f++, x->at++) {
        int c = lex_peek(x);
        if (*f == '0' ? !is_digit(c) : c != *f) {
            return lex_fail(x, "Expected %s in ISO8601 datetime, but found %s instead.",
                            *f == '0' ? "digit" : (char[]){'\'', *f, '\'', 0}, shown(x, room));
        }
    }
    return done(x, start, CONF_TIME, s);
}

/* At the point behind the first digits: a float, or with a second point an address. */
static bool fraction(struct lex *x, size_t start, struct scalar *s) {
    char room[8];
    must(lex_peek(x) == '.');
    x->at++;
    if (!digits_skip(x)) {
        return lex_fail(x, "Floats must have a digit after the '.', but got %s instead.", shown(x, room));
    }
    if (lex_peek(x) != '.') return done(x, start, CONF_FLOAT, s);
    while (is_digit(lex_peek(x)) || (lex_peek(x) && strchr(".:-", lex_peek(x)))) x->at++;
    return done(x, start, CONF_STR, s);
}

/* At k, m, g, t, p or e: an integer with a suffix if the word ends with it, else a word like 1e5. */
static bool suffixed(struct lex *x, size_t start, struct scalar *s) {
    must(x->at > start);
    x->at++;
    while (lex_peek(x) && strchr("bBiI", lex_peek(x))) x->at++;
    return ends_bare(lex_peek(x)) ? done(x, start, CONF_INT, s) : bare(x, start, s);
}

static bool number(struct lex *x, struct scalar *s) {
    char room[8];
    size_t start = x->at;
    bool minus = lex_peek(x) == '-';
    must(minus || is_digit(lex_peek(x)));
    x->at += minus;
    if (lex_peek(x) == '.') return lex_fail(x, "Floats must start with a digit, not '.'.");
    if (!digits_skip(x)) return lex_fail(x, "Expected a digit but got %s.", shown(x, room));
    int c = lex_peek(x);
    if (c == '-' && !minus) return date(x, start, s);
    if (c == '.') return fraction(x, start, s);
    if (c && strchr("kKmMgGtTpPeE", c)) return suffixed(x, start, s);
    if (ends_bare(c) || minus) return done(x, start, CONF_INT, s);
    x->at += c == '\''; /* matches nats-server here: 2'3 is a word */
    return bare(x, start, s);
}

bool lex_scalar(struct lex *x, struct scalar *s) {
    int c = lex_peek(x);
    must(c != '{' && c != '[');
    *s = (struct scalar){.kind = CONF_STR};
    if (is_digit(c) || c == '-') return number(x, s);
    if (c == '.') return lex_fail(x, "Floats must start with a digit");
    if (c != '"' && c != '\'' && c != '(') return bare(x, x->at, s);
    x->at++;
    return c == '"' ? double_quoted(x, s) : c == '(' ? block(x, s) : quoted_raw(x, '\'', &s->raw);
}
