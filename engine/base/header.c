/* header.c - see header.h. Happy path: memchr and memmem over the block, no copies. */
#include "base/header.h"

#include "base/must.h"

static const uint8_t *crlf_find(struct span s) { return s.n ? memmem(s.p, s.n, "\r\n", 2) : NULL; }

/* Keeps pointing into the block even when nothing is left. */
static struct span from(struct span s, size_t at) {
    must(at <= s.n);
    return span_of(s.p + at, s.n - at);
}

/* What stands up to the next CRLF, or up to the end. */
static struct span to_crlf(struct span s) {
    const uint8_t *end = crlf_find(s);
    return end ? span_of(s.p, (size_t)(end - s.p)) : s;
}

static struct span value_of(struct span line, size_t colon) {
    size_t at = colon + 1;
    while (at < line.n && line.p[at] == ' ') at++;
    return from(line, at);
}

bool header_get(struct span hdr, struct span key, struct span *value) {
    must(value != NULL);
    must(key.n > 0);
    for (size_t at = 0; hdr.n - at > key.n;) {
        const uint8_t *hit = memmem(hdr.p + at, hdr.n - at, key.p, key.n);
        if (!hit) return false;
        at = (size_t)(hit - hdr.p) + key.n;
        if (at >= hdr.n) return false;
        if (hit - hdr.p < 2 || hit[-1] != '\n' || hit[-2] != '\r' || hdr.p[at] != ':') continue;
        *value = value_of(to_crlf(from(hdr, at)), 0);
        return true;
    }
    return false;
}

/* Steps over the first line; false when nothing stands behind it. */
static bool step(struct span *rest) {
    const uint8_t *end = crlf_find(*rest);
    *rest = end ? from(*rest, (size_t)(end - rest->p) + 2) : SPAN_EMPTY;
    return rest->n > 0;
}

void header_iter_init(struct header_iter *it, struct span hdr) {
    must(it != NULL);
    it->rest = hdr;
    (void)step(&it->rest);
}

bool header_next(struct header_iter *it, struct span *key, struct span *value) {
    must(key != NULL);
    must(value != NULL);
    while (it->rest.n) {
        struct span line = to_crlf(it->rest);
        (void)step(&it->rest);
        const uint8_t *colon = line.n ? memchr(line.p, ':', line.n) : NULL;
        if (!colon) continue;
        size_t key_n = (size_t)(colon - line.p);
        *key = span_of(line.p, key_n);
        *value = value_of(line, key_n);
        return true;
    }
    return false;
}
