#include "stream/released.h"

#include <stdlib.h>

#include "base/must.h"
#include "stream/codec_core.h"
#include "stream/tlv.h"

static bool grow(struct released *r) {
    must(r->len == r->cap);
    uint32_t cap = r->cap ? r->cap * 2 : 16;
    struct released_run *runs = cap <= RELEASED_RUNS_MAX ? realloc(r->runs, cap * sizeof *runs) : NULL;
    if (!runs) return false;
    r->runs = runs;
    r->cap = cap;
    return true;
}

void released_add(struct released *r, uint64_t seq, uint64_t bytes) {
    must(seq > 0 && seq < UINT64_MAX);
    must(r->len <= r->cap);
    r->msgs++;
    r->bytes += bytes;
    if (r->lost) return;
    struct released_run *last = r->len ? &r->runs[r->len - 1] : NULL;
    if (last && seq == last->last + 1) {
        last->last = seq;
    } else if (last && seq + 1 == last->first) {
        last->first = seq;
    } else if (r->len < r->cap || grow(r)) {
        r->runs[r->len++] = (struct released_run){seq, seq};
    } else {
        r->lost = true;
        r->len = 0;
    }
}

void released_clear(struct released *r) {
    must(r);
    r->len = 0;
    r->msgs = r->bytes = 0;
    r->lost = false;
}

void released_deinit(struct released *r) {
    must(r);
    free(r->runs);
    *r = (struct released){0};
}

static int by_first(const void *a, const void *b) {
    const struct released_run *x = a, *y = b;
    return x->first < y->first ? -1 : x->first > y->first;
}

enum err codec_released(struct codec_buf *b, struct released *r) {
    must(b && r);
    must(!r->lost);
    if (r->len == 0) return b->failed ? ERR_NOMEM : ERR_OK;
    qsort(r->runs, r->len, sizeof r->runs[0], by_first);
    size_t at = tlv_begin(b, TAG_RELEASED);
    uint64_t end = 0;
    for (uint32_t i = 0; i < r->len; i++) {
        const struct released_run *run = &r->runs[i];
        must(run->first > end && run->last >= run->first); /* a message goes once */
        tlv_varint(b, run->first - end);
        tlv_varint(b, run->last - run->first);
        end = run->last;
    }
    tlv_end(b, at);
    return b->failed ? ERR_NOMEM : ERR_OK;
}

struct span codec_find_released(struct span record) {
    must(record.p || record.n == 0);
    struct tlv t = tlv_open(record);
    struct span value = SPAN_EMPTY;
    while (tlv_next(&t)) {
        if (t.tag == TAG_RELEASED) value = t.value;
    }
    return t.bad ? SPAN_EMPTY : value;
}

bool codec_next_released(struct span *value, struct released_run *run) {
    must(value && run);
    uint64_t gap, more;
    if (!tlv_get_varint(value, &gap) || !tlv_get_varint(value, &more)) return false;
    if (gap == 0 || gap > UINT64_MAX - 1 - run->last) return false;
    run->first = run->last + gap;
    if (more > UINT64_MAX - 1 - run->first) return false;
    run->last = run->first + more;
    return true;
}
