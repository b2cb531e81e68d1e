/* delivery.c - see delivery.h. */
#include "load/delivery.h"

#include <stdlib.h>

bool delivery_sequence(struct span reply, uint64_t *delivered, uint64_t *sequence) {
    struct span t[16];
    size_t count = 0;
    const uint8_t *p = reply.p, *end = reply.p + reply.n;
    while (p < end && count < 16) {
        const uint8_t *dot = memchr(p, '.', (size_t)(end - p));
        if (!dot) dot = end;
        t[count++] = span_of(p, (size_t)(dot - p));
        p = dot + 1;
    }
    size_t at = count == 9 ? 4 : count >= 11 ? 6 : 0;
    return at && get_u64(t[at], delivered) && get_u64(t[at + 1], sequence);
}

bool delivery_status(struct link *l, const struct incoming *m, uint64_t *left) {
    static const char key[] = "Nats-Pending-Messages: ";
    const uint8_t *p = memmem(m->header.p, m->header.n, key, sizeof key - 1);
    *left = p ? strtoull((const char *)p + sizeof key - 1, NULL, 10) : 0;
    if (*left || span_starts(m->header, SPAN_LIT("NATS/1.0 100"))) return true;
    lane_void(l->lane, "a pull request was refused: %.*s", (int)(m->header.n < 100 ? m->header.n : 100),
              (const char *)m->header.p);
    return false;
}
