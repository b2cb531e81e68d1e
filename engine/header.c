/* header.c - one value out of a NATS/1.0 header block, for recovery. Pure; a malformed block has no headers.
 */
#include "engine.h"

static struct span trim(struct span s) {
    while (s.n && (s.p[0] == ' ' || s.p[0] == '\t')) s = span_skip(s, 1);
    while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t')) s.n--;
    return s;
}

/* Cuts the next line off, without its CRLF; false when there is none. */
static bool next_line(struct span *rest, struct span *line) {
    const uint8_t *end = rest->n ? memmem(rest->p, rest->n, "\r\n", 2) : NULL;
    if (!end) return false;
    *line = span_of(rest->p, (size_t)(end - rest->p));
    *rest = span_skip(*rest, line->n + 2);
    return true;
}

struct span header_value(struct span hdr, struct span name) {
    must(name.n > 0);
    struct span line;
    if (!next_line(&hdr, &line) || !span_starts(line, SPAN_LIT("NATS/1.0"))) return SPAN_EMPTY;
    while (next_line(&hdr, &line) && line.n > 0) {
        if (span_starts(line, name) && line.n > name.n && line.p[name.n] == ':')
            return trim(span_skip(line, name.n + 1));
    }
    return SPAN_EMPTY;
}
