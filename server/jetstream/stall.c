/* stall.c - publishes that found the engine full. They wait here in order, copied, up to a bound; while
 * anything waits every publish queues behind it, so order holds, and the shard parks its publishers
 * (js_congested). After each commit the oldest are tried again. Beyond the bound a publish is refused with
 * "insufficient resources". */
#include <stdlib.h>

#include "base/bytes.h"
#include "base/must.h"
#include "jetstream/publish.h"

struct stall_head {
    struct js_stream *stream; /* NULL: forgotten */
    uint32_t n[4];
    uint64_t size; /* of the whole entry */
};

bool js_stall_empty(const struct js *js) { return js->stall.n == 0; }

/* Room for n bytes behind the last entry: moves what there is to the front, or grows. */
static uint8_t *stall_room(struct js_stall *st, size_t n) {
    must(st->max > 0);
    if (st->n + n > st->max) return NULL;
    if (st->from + st->n + n > st->cap && st->from > 0) {
        memmove(st->p, st->p + st->from, st->n);
        st->from = 0;
    }
    if (st->n + n > st->cap) {
        size_t cap = st->cap ? st->cap : 65536;
        while (cap < st->n + n) cap *= 2;
        uint8_t *p = realloc(st->p, cap);
        if (!p) return NULL;
        st->p = p;
        st->cap = cap;
    }
    return st->p + st->from + st->n;
}

bool js_stall_put(struct js *js, struct js_stream *s, const struct msg *m) {
    struct js_stall *st = &js->stall;
    struct span part[4] = {m->subject, m->reply, m->hdr, m->payload};
    struct stall_head head = {.stream = s};
    size_t size = sizeof head;
    for (size_t i = 0; i < 4; i++) size += head.n[i] = (uint32_t)part[i].n;
    head.size = align_up(size, 8);
    uint8_t *at = stall_room(st, head.size);
    if (!at) return false;
    memcpy(at, &head, sizeof head);
    at += sizeof head;
    for (size_t i = 0; i < 4; i++) {
        if (part[i].n) memcpy(at, part[i].p, part[i].n);
        at += part[i].n;
    }
    st->n += head.size;
    must(st->n <= st->max && st->from + st->n <= st->cap);
    return true;
}

static struct msg stall_msg(const struct stall_head *head, const uint8_t *at) {
    must(head->size > sizeof *head);
    struct span part[4];
    at += sizeof *head;
    for (size_t i = 0; i < 4; i++) {
        part[i] = span_of(at, head->n[i]);
        at += head->n[i];
    }
    return (struct msg){.subject = part[0], .reply = part[1], .hdr = part[2], .payload = part[3]};
}

void js_stall_retry(struct js *js) {
    struct js_stall *st = &js->stall;
    while (st->n) {
        struct stall_head head;
        memcpy(&head, st->p + st->from, sizeof head);
        must(head.size <= st->n);
        struct msg m = stall_msg(&head, st->p + st->from);
        if (head.stream && js_publish_take(head.stream, &m) == MR_BUSY) break;
        st->from += head.size;
        st->n -= head.size;
    }
    if (st->n == 0) st->from = 0;
}

void js_stall_forget(struct js *js, const struct js_stream *s) {
    must(s != NULL);
    struct js_stall *st = &js->stall;
    for (size_t at = st->from; at < st->from + st->n;) {
        struct stall_head head;
        memcpy(&head, st->p + at, sizeof head);
        if (head.stream == s) {
            head.stream = NULL;
            memcpy(st->p + at, &head, sizeof head);
        }
        at += head.size;
    }
}

void js_stall_deinit(struct js *js) {
    free(js->stall.p);
    js->stall = (struct js_stall){0};
}
