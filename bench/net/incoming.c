/* incoming.c - see incoming.h. Lines are found by memchr; sizes are read backwards from the line's end. */
#include "net/incoming.h"

#include <string.h>

#include "base/must.h"

enum { LINE_MAX_BYTES = 1 << 20, TOKENS_MAX = 6, SIZE_MAX_BYTES = 1 << 30 };

static bool number(struct span s, uint32_t *out) {
    uint32_t v = 0;
    if (s.n == 0 || s.n > 9) return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') return false;
        v = v * 10 + (uint32_t)(s.p[i] - '0');
    }
    *out = v;
    return true;
}

static size_t tokens(struct span line, struct span out[TOKENS_MAX]) {
    size_t count = 0;
    const uint8_t *p = line.p, *end = line.p + line.n;
    while (p < end && count < TOKENS_MAX) {
        const uint8_t *blank = memchr(p, ' ', (size_t)(end - p));
        if (!blank) blank = end;
        if (blank > p) out[count++] = span_of(p, (size_t)(blank - p));
        p = blank + 1;
    }
    return count;
}

/* MSG subject sid [reply] size; HMSG subject sid [reply] header-size size. */
static enum incoming_kind message(struct span args, bool headers, size_t line_n, const uint8_t *p, size_t n,
                                  struct incoming *m) {
    struct span t[TOKENS_MAX];
    size_t count = tokens(args, t), sizes = headers ? 2 : 1;
    uint32_t header_n = 0, size;
    if (count != 2 + sizes && count != 3 + sizes) return IN_BAD;
    if (!number(t[1], &m->sid) || !number(t[count - 1], &size)) return IN_BAD;
    if (headers && (!number(t[count - 2], &header_n) || header_n > size)) return IN_BAD;
    if (size > SIZE_MAX_BYTES) return IN_BAD;
    m->used = line_n + size + 2;
    if (n < m->used) return IN_MORE;
    m->subject = t[0];
    m->reply = count == 3 + sizes ? t[2] : SPAN_EMPTY;
    m->header = span_of(p + line_n, header_n);
    m->payload = span_of(p + line_n + header_n, size - header_n);
    return memcmp(p + m->used - 2, "\r\n", 2) == 0 ? IN_MSG : IN_BAD;
}

static enum incoming_kind other(struct span line, struct incoming *m) {
    if (span_starts(line, SPAN_LIT("PING"))) return IN_PING;
    if (span_starts(line, SPAN_LIT("PONG"))) return IN_PONG;
    if (span_starts(line, SPAN_LIT("+OK"))) return IN_OK;
    m->arg = line;
    if (span_starts(line, SPAN_LIT("INFO "))) {
        m->arg = span_skip(line, 5);
        return IN_INFO;
    }
    if (!span_starts(line, SPAN_LIT("-ERR"))) return IN_BAD;
    m->arg = span_skip(line, 5);
    return IN_ERR;
}

enum incoming_kind incoming_next(const uint8_t *p, size_t n, struct incoming *m) {
    m->used = 0;
    const uint8_t *end = n ? memchr(p, '\n', n) : NULL;
    if (!end) {
        m->arg = span_of(p, n < 80 ? n : 80);
        return n > LINE_MAX_BYTES ? IN_BAD : IN_MORE;
    }
    size_t line_n = (size_t)(end - p) + 1;
    struct span line = span_of(p, line_n >= 2 && end[-1] == '\r' ? line_n - 2 : line_n - 1);
    m->arg = span_of(line.p, line.n < 80 ? line.n : 80);
    m->used = line_n;
    if (line.n > 4 && memcmp(p, "MSG ", 4) == 0) return message(span_skip(line, 4), false, line_n, p, n, m);
    if (line.n > 5 && memcmp(p, "HMSG ", 5) == 0) return message(span_skip(line, 5), true, line_n, p, n, m);
    return other(line, m);
}
