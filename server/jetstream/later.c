/* later.c - short answers that are decided inside a route callback (a refused pull request) and may not be
 * published there. They wait in a ring of bytes, bounded, and leave at the next step of the tick. What fails:
 * room; then the answer is dropped, which its client sees as a request that timed out. */
#include <stdlib.h>

#include "base/must.h"
#include "jetstream/core.h"

struct later_head {
    uint32_t to_n, hdr_n;
};

bool js_later_put(struct js *js, struct span to, struct span hdr) {
    struct js_later *l = &js->later;
    struct later_head head = {(uint32_t)to.n, (uint32_t)hdr.n};
    size_t need = sizeof head + to.n + hdr.n;
    must(!l->flushing && to.n <= JS_REPLY_MAX);
    if (l->n + need > JS_LATER_BYTES) return false;
    if (l->n + need > l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 16384;
        while (cap < l->n + need) cap *= 2;
        uint8_t *p = realloc(l->p, cap);
        if (!p) return false;
        l->p = p;
        l->cap = cap;
    }
    memcpy(l->p + l->n, &head, sizeof head);
    memcpy(l->p + l->n + sizeof head, to.p, to.n);
    if (hdr.n) memcpy(l->p + l->n + sizeof head + to.n, hdr.p, hdr.n);
    l->n += need;
    return true;
}

void js_later_flush(struct js *js) {
    struct js_later *l = &js->later;
    struct later_head head;
    l->flushing = true;
    for (size_t at = 0; at < l->n;) {
        memcpy(&head, l->p + at, sizeof head);
        at += sizeof head;
        must(at + head.to_n + head.hdr_n <= l->n);
        js_reply(js, span_of(l->p + at, head.to_n), span_of(l->p + at + head.to_n, head.hdr_n), SPAN_EMPTY);
        at += head.to_n + head.hdr_n;
    }
    l->flushing = false;
    l->n = 0;
}

void js_later_deinit(struct js_later *l) {
    free(l->p);
    *l = (struct js_later){0};
}
