/* index_filter.c - which subjects a page may have: a Bloom filter with three bits a subject, 4 to 8 bits of
 * room for each, one word for the few. It says yes wrongly for one page in 30 to 7; then the page's entries
 * are looked at. Made once, when the page is complete: pages that are being filled are searched. Nothing can
 * fail: a page without a filter is searched. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "stream/index_core.h"

enum { BITS_MIN = 64, BITS_EACH = 4, PROBES = 3, SET = 2 * INDEX_PAGE };
static_must((SET & (SET - 1)) == 0);

static uint64_t spread(uint32_t subject) { return mix64(subject + 1); }

static uint64_t *words_of(struct index_filter *f) {
    must(f->bits >= BITS_MIN);
    return f->bits == BITS_MIN ? &f->word : f->words;
}

void filter_add(struct index_filter *f, uint32_t subject) {
    if (f->bits == 0) return;
    uint64_t *w = words_of(f), h = spread(subject);
    for (int i = 0; i < PROBES; i++, h >>= 20) {
        uint32_t bit = (uint32_t)h & (f->bits - 1);
        w[bit / 64] |= 1ull << (bit % 64);
    }
}

bool filter_has(const struct index_filter *f, uint32_t subject) {
    if (f->bits == 0) return true;
    must(f->bits >= BITS_MIN);
    const uint64_t *w = f->bits == BITS_MIN ? &f->word : f->words;
    uint64_t h = spread(subject);
    for (int i = 0; i < PROBES; i++, h >>= 20) {
        uint32_t bit = (uint32_t)h & (f->bits - 1);
        if (!(w[bit / 64] >> (bit % 64) & 1)) return false;
    }
    return true;
}

void filter_free(struct index_filter *f) {
    must(f->bits == 0 || f->bits >= BITS_MIN);
    if (f->bits > BITS_MIN) free(f->words);
    *f = (struct index_filter){0};
}

size_t filter_memory(const struct index_filter *f) {
    must((f->bits & (f->bits - 1)) == 0);
    return f->bits > BITS_MIN ? f->bits / 8 : 0;
}

/* Distinct subjects of the page's live entries. */
static uint32_t distinct(const struct index_page *p, uint32_t *out) {
    uint32_t set[SET] = {0}, n = 0; /* id + 1 */
    const struct index_data *d = p->data;
    for (uint32_t i = 0, end = d->packed ? d->used : d->cap; i < end; i++) {
        if (!page_has(p, d->packed ? data_offs(d)[i] : i)) continue;
        uint32_t id = d->e[i].subject, at = (uint32_t)spread(id) & (SET - 1);
        while (set[at] && set[at] != id + 1) at = (at + 1) & (SET - 1);
        if (set[at]) continue;
        set[at] = id + 1;
        must(n < INDEX_PAGE);
        out[n++] = id;
    }
    return n;
}

void filter_make(struct index_page *p) {
    must(p->data && p->count > 0);
    uint32_t ids[INDEX_PAGE], n = distinct(p, ids);
    must(n > 0);
    struct index_filter f = {.bits = BITS_MIN};
    while (f.bits < n * BITS_EACH) f.bits *= 2;
    if (f.bits > BITS_MIN) f.words = calloc(f.bits / 64, sizeof f.words[0]);
    if (f.bits > BITS_MIN && !f.words) return;
    for (uint32_t i = 0; i < n; i++) filter_add(&f, ids[i]);
    filter_free(&p->filter);
    p->filter = f;
}
