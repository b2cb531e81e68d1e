/* header.c - NATS header blocks judged and built. Bad bytes are no error: header_valid says no. A builder
 * that runs out of room reports it once, at the end. */
#include "wire/header.h"

#include "base/bytes.h"
#include "base/must.h"

static const char version[] = "NATS/1.0";
#define VERSION SPAN_LIT(version)

static const uint8_t *crlf_find(struct span s) { return s.n ? memmem(s.p, s.n, "\r\n", 2) : NULL; }

/* Takes a line without its CRLF off rest; false when no CRLF is left. */
static bool line_take(struct span *rest, struct span *line) {
    const uint8_t *end = crlf_find(*rest);
    if (!end) return false;
    *line = span_of(rest->p, (size_t)(end - rest->p));
    *rest = span_skip(*rest, line->n + 2);
    return true;
}

/* These keep pointing into the block even when nothing is left. */
static struct span from(struct span s, size_t at) {
    must(at <= s.n);
    return span_of(s.p + at, s.n - at);
}
static struct span blanks_skip(struct span s) {
    size_t at = 0;
    while (at < s.n && s.p[at] == ' ') at++;
    return from(s, at);
}

static bool key_clean(struct span key) {
    for (size_t i = 0; i < key.n; i++) {
        if (key.p[i] <= ' ' || key.p[i] == 0x7f) return false;
    }
    return key.n != 0;
}

static bool value_clean(struct span value) {
    must(value.p != NULL || value.n == 0);
    return !value.n || (!memchr(value.p, '\r', value.n) && !memchr(value.p, '\n', value.n));
}

/* The colon of a key/value line, NULL when there is none. */
static const uint8_t *colon_find(struct span line) { return line.n ? memchr(line.p, ':', line.n) : NULL; }

bool header_valid(struct span hdr) {
    struct span line;
    if (!line_take(&hdr, &line) || !span_starts(line, VERSION)) return false;
    if (line.n > VERSION.n && line.p[VERSION.n] != ' ') return false;
    while (line_take(&hdr, &line)) {
        if (line.n == 0) return hdr.n == 0;
        const uint8_t *colon = colon_find(line);
        if (!colon) return false;
        size_t key_n = (size_t)(colon - line.p);
        if (!key_clean(span_of(line.p, key_n)) || !value_clean(from(line, key_n + 1))) return false;
    }
    return false;
}

bool header_status(struct span hdr, int *code, struct span *text) {
    must(code != NULL);
    must(text != NULL);
    struct span line;
    if (!line_take(&hdr, &line) || !span_starts(line, VERSION)) return false;
    line = blanks_skip(from(line, VERSION.n));
    if (line.n < 3 || (line.n > 3 && line.p[3] != ' ')) return false;
    uint64_t v;
    if (!get_u64(span_of(line.p, 3), &v)) return false;
    *code = (int)v;
    *text = blanks_skip(from(line, 3));
    return true;
}

static void add(struct header_buf *b, struct span s) {
    must(b->n <= b->cap);
    if (b->full || s.n > b->cap - b->n) {
        b->full = true;
        return;
    }
    if (s.n) memcpy(b->p + b->n, s.p, s.n);
    b->n += s.n;
}

/* A text that would break the block (it holds CR or LF) ends at the first of them. */
static struct span one_line(struct span s) {
    size_t n = 0;
    while (n < s.n && s.p[n] != '\r' && s.p[n] != '\n') n++;
    return span_of(s.p, n);
}

void header_begin(struct header_buf *b, uint8_t *p, size_t cap, int status, struct span text) {
    must(status == 0 || (status >= 100 && status <= 999));
    must(status != 0 || text.n == 0);
    *b = (struct header_buf){.p = p, .cap = cap};
    add(b, VERSION);
    if (status) {
        uint8_t number[20];
        add(b, SPAN_LIT(" "));
        add(b, span_of(number, put_u64(number, (uint64_t)status)));
    }
    if (text.n) add(b, SPAN_LIT(" "));
    add(b, one_line(text));
    add(b, SPAN_LIT("\r\n"));
}

void header_add(struct header_buf *b, struct span key, struct span value) {
    must(key_clean(key));
    add(b, key);
    add(b, SPAN_LIT(": "));
    add(b, one_line(value));
    add(b, SPAN_LIT("\r\n"));
}

void header_add_u64(struct header_buf *b, struct span key, uint64_t value) {
    uint8_t number[20];
    header_add(b, key, span_of(number, put_u64(number, value)));
}

static bool listed(struct span key, const struct span *list, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (span_eq(key, list[i])) return true;
    }
    return false;
}

void header_add_all(struct header_buf *b, struct span hdr, const struct span *skip, size_t skip_n) {
    must(skip != NULL || skip_n == 0);
    struct header_iter it;
    struct span key, value;
    header_iter_init(&it, hdr);
    while (header_next(&it, &key, &value)) {
        if (listed(key, skip, skip_n)) continue;
        /* As it stands, blanks before the value too: what passes through is not reformatted. */
        add(b, span_of(key.p, (size_t)(value.p + value.n - key.p)));
        add(b, SPAN_LIT("\r\n"));
    }
}

size_t header_end(struct header_buf *b) {
    add(b, SPAN_LIT("\r\n"));
    must(b->full || b->n >= sizeof "NATS/1.0\r\n\r\n" - 1);
    return b->full ? 0 : b->n;
}
