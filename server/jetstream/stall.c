/* stall.c - see stall.h. Publishes wait as copies, requests as pointers; both up to a bound, beyond which
 * they are refused with "insufficient resources". After each commit the oldest are tried again. The shard
 * parks the publishers meanwhile (js_congested); requests give up after a time (api.c). */
#include "jetstream/stall.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/must.h"
#include "jetstream/api.h"
#include "jetstream/publish.h"

enum { KEEP_MAX = 1 << 20 }; /* of an empty queue's memory */

struct stall_head {
    struct js_stream *stream; /* of a publish */
    struct api_req *req;      /* both NULL: forgotten */
    uint32_t n[4];
    uint64_t size; /* of the whole entry */
};

bool js_stall_empty(const struct js *js, enum stall_of of) { return js->stall[of].n == 0; }
bool js_stall_none(const struct js *js) {
    return js_stall_empty(js, STALL_LOG) && js_stall_empty(js, STALL_MEMORY);
}

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

/* An entry with these parts behind its head. */
static bool put(struct js_stall *st, struct stall_head head, const struct span *part, size_t parts) {
    must(parts <= 4);
    must(!head.stream != !head.req);
    size_t size = sizeof head;
    for (size_t i = 0; i < parts; i++) size += head.n[i] = (uint32_t)part[i].n;
    head.size = align_up(size, 8);
    uint8_t *at = stall_room(st, head.size);
    if (!at) return false;
    memcpy(at, &head, sizeof head);
    at += sizeof head;
    for (size_t i = 0; i < parts; i++) {
        if (part[i].n) memcpy(at, part[i].p, part[i].n);
        at += part[i].n;
    }
    st->n += head.size;
    must(st->n <= st->max && st->from + st->n <= st->cap);
    return true;
}

bool js_stall_put(struct js *js, struct js_stream *s, const struct msg *m) {
    const struct span part[4] = {m->subject, m->reply, m->hdr, m->payload};
    return put(&js->stall[s->stalls_in], (struct stall_head){.stream = s}, part, 4);
}

bool js_stall_put_request(struct js *js, enum stall_of of, struct api_req *r) {
    struct js_stall *st = &js->stall[of];
    if (st->requests >= JS_STALL_REQUESTS) return false;
    if (!put(st, (struct stall_head){.req = r}, NULL, 0)) return false;
    st->requests++;
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

/* False: the engine is still full. */
static bool try(struct js_stall *st, const struct stall_head *head) {
    must(head->size <= st->n);
    if (head->req) return api_retry(head->req);
    if (!head->stream) return true;
    struct msg m = stall_msg(head, st->p + st->from);
    return js_publish_take(head->stream, &m) != MR_BUSY;
}

static void retry(struct js_stall *st) {
    while (st->n) {
        struct stall_head head;
        memcpy(&head, st->p + st->from, sizeof head);
        if (!try(st, &head)) break;
        /* What came behind it meanwhile may have moved it to the front, where it is still the first. */
        if (head.req) st->requests--;
        st->from += head.size;
        st->n -= head.size;
    }
    if (st->n > 0) return;
    must(st->requests == 0);
    st->from = 0;
    if (st->cap <= KEEP_MAX) return;
    free(st->p);
    st->p = NULL;
    st->cap = 0;
}

void js_stall_retry(struct js *js) {
    for (size_t i = 0; i < STALL_QUEUES; i++) retry(&js->stall[i]);
}

/* Takes out what belongs to this stream or is this request. */
static void forget(struct js_stall *st, const struct js_stream *s, const struct api_req *r) {
    must(!s != !r);
    for (size_t at = st->from; at < st->from + st->n;) {
        struct stall_head head;
        memcpy(&head, st->p + at, sizeof head);
        if ((s && head.stream == s) || (r && head.req == r)) {
            if (head.req) st->requests--;
            head.stream = NULL;
            head.req = NULL;
            memcpy(st->p + at, &head, sizeof head);
        }
        at += head.size;
    }
}

void js_stall_forget(struct js *js, const struct js_stream *s) { forget(&js->stall[s->stalls_in], s, NULL); }

void js_stall_forget_request(struct js *js, const struct api_req *r) {
    for (size_t i = 0; i < STALL_QUEUES; i++) forget(&js->stall[i], NULL, r);
}

void js_stall_deinit(struct js *js) {
    for (size_t i = 0; i < STALL_QUEUES; i++) {
        free(js->stall[i].p);
        js->stall[i] = (struct js_stall){0};
    }
}
