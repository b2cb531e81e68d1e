/* index_search.c - walks through the index. Whether a message lives is read from the summaries; entries are
 * looked at only where a page's filter says that a subject may be there. */
#include "stream/index_core.h"

uint32_t page_next_live(const struct index_page *p, uint32_t off) {
    must(off <= INDEX_PAGE);
    if (off == INDEX_PAGE) return INDEX_PAGE;
    uint32_t i = off / 64;
    uint64_t w = p->live[i] & UINT64_MAX << (off % 64);
    while (!w && ++i < INDEX_WORDS) w = p->live[i];
    return w ? i * 64 + (uint32_t)__builtin_ctzll(w) : INDEX_PAGE;
}

uint32_t page_last_live(const struct index_page *p, uint32_t off) {
    must(off < INDEX_PAGE);
    uint32_t i = off / 64;
    uint64_t w = p->live[i] & UINT64_MAX >> (63 - off % 64);
    while (!w && i > 0) w = p->live[--i];
    return w ? i * 64 + 63 - (uint32_t)__builtin_clzll(w) : INDEX_PAGE;
}

/* ------------------------------------------------------------------------------------------------ pages */

/* A place in the walk over pages, up or down. */
struct walk {
    const struct index *x;
    size_t slot; /* of the group */
    uint32_t page;
};

/* The first page whose number is >= number, or NULL. */
static struct index_page *walk_up(struct walk *w, const struct index *x, uint64_t number) {
    must(w && x);
    *w = (struct walk){x, index_slot_at(x, number / INDEX_GROUP), 0};
    if (w->slot < x->len && x->slots[x->head + w->slot].number == number / INDEX_GROUP)
        w->page = number % INDEX_GROUP;
    for (; w->slot < x->len; w->slot++, w->page = 0) {
        const struct index_group *g = x->slots[x->head + w->slot].group;
        for (; w->page < INDEX_GROUP; w->page++)
            if (g->pages[w->page]) return g->pages[w->page];
    }
    return NULL;
}

static struct index_page *walk_next(struct walk *w) {
    must(w->slot < w->x->len);
    for (w->page++; w->slot < w->x->len; w->slot++, w->page = 0) {
        const struct index_group *g = w->x->slots[w->x->head + w->slot].group;
        for (; w->page < INDEX_GROUP; w->page++)
            if (g->pages[w->page]) return g->pages[w->page];
    }
    return NULL;
}

/* The next page down from (slot, page), both included. */
static struct index_page *walk_down_from(struct walk *w) {
    must(w->slot < w->x->len);
    for (;; w->slot--, w->page = INDEX_GROUP - 1) {
        const struct index_group *g = w->x->slots[w->x->head + w->slot].group;
        for (uint32_t i = w->page + 1; i-- > 0;) {
            w->page = i;
            if (g->pages[i]) return g->pages[i];
        }
        if (w->slot == 0) return NULL;
    }
}

/* The last page whose number is <= number, or NULL. */
static struct index_page *walk_down(struct walk *w, const struct index *x, uint64_t number) {
    must(w && x);
    *w = (struct walk){x, index_slot_at(x, number / INDEX_GROUP), INDEX_GROUP - 1};
    if (w->slot < x->len && x->slots[x->head + w->slot].number == number / INDEX_GROUP)
        w->page = number % INDEX_GROUP;
    else if (w->slot == 0)
        return NULL;
    else
        w->slot--;
    return walk_down_from(w);
}

static struct index_page *walk_before(struct walk *w) {
    must(w->slot < w->x->len);
    if (w->page > 0) {
        w->page--;
        return walk_down_from(w);
    }
    if (w->slot == 0) return NULL;
    w->slot--;
    w->page = INDEX_GROUP - 1;
    return walk_down_from(w);
}

static uint64_t begin_of(const struct index_page *p) { return p->number * INDEX_PAGE; }

/* The first offset in the page that is not below `from`; the last that is not above `to`, which is not below
 * the page. */
static uint32_t low_off(const struct index_page *p, uint64_t from) {
    return from > begin_of(p) ? (uint32_t)(from - begin_of(p)) : 0;
}
static uint32_t high_off(const struct index_page *p, uint64_t to) {
    must(to >= begin_of(p));
    return to - begin_of(p) < INDEX_PAGE ? (uint32_t)(to - begin_of(p)) : INDEX_PAGE - 1;
}

/* ------------------------------------------------------------------------------------------------ what lives
 */

uint64_t index_next(const struct index *x, uint64_t from, uint64_t to) {
    must(x->head + x->len <= x->cap);
    if (from > to) return 0;
    struct walk w;
    for (struct index_page *p = walk_up(&w, x, from / INDEX_PAGE); p && begin_of(p) <= to;
         p = walk_next(&w)) {
        uint32_t off = page_next_live(p, low_off(p, from));
        if (off < INDEX_PAGE) return begin_of(p) + off <= to ? begin_of(p) + off : 0;
    }
    return 0;
}

uint64_t index_before(const struct index *x, uint64_t from, uint64_t to) {
    must(x->head + x->len <= x->cap);
    if (from > to) return 0;
    struct walk w;
    for (struct index_page *p = walk_down(&w, x, to / INDEX_PAGE); p; p = walk_before(&w)) {
        uint32_t off = page_last_live(p, high_off(p, to));
        if (off < INDEX_PAGE) return begin_of(p) + off >= from ? begin_of(p) + off : 0;
        if (begin_of(p) <= from) break;
    }
    return 0;
}

/* Live offsets from off on without a hole. */
static uint32_t page_run(const struct index_page *p, uint32_t off) {
    must(off < INDEX_PAGE);
    uint32_t at = off;
    while (at < INDEX_PAGE) {
        uint64_t dead = ~p->live[at / 64] >> (at % 64);
        if (dead) return at + (uint32_t)__builtin_ctzll(dead) - off;
        at += 64 - at % 64;
    }
    return at - off;
}

uint64_t index_run(const struct index *x, uint64_t from, uint64_t to) {
    must(x);
    uint64_t seq = from;
    while (seq <= to) {
        const struct index_page *p = index_page_of(x, seq / INDEX_PAGE);
        uint32_t off = seq % INDEX_PAGE, n = p ? page_run(p, off) : 0;
        seq += n;
        if (off + n < INDEX_PAGE) break;
    }
    return (seq <= to ? seq : to + 1) - from;
}

static uint32_t page_count(const struct index_page *p, uint32_t low, uint32_t high) {
    must(low <= high && high < INDEX_PAGE);
    if (low == 0 && high == INDEX_PAGE - 1) return p->count;
    uint32_t n = 0;
    for (uint32_t i = low / 64; i <= high / 64; i++) {
        uint64_t w = p->live[i];
        if (i == low / 64) w &= UINT64_MAX << (low % 64);
        if (i == high / 64) w &= UINT64_MAX >> (63 - high % 64);
        n += (uint32_t)__builtin_popcountll(w);
    }
    return n;
}

uint64_t index_count(const struct index *x, uint64_t from, uint64_t to) {
    must(x);
    if (from > to) return 0;
    uint64_t n = 0;
    struct walk w;
    for (struct index_page *p = walk_up(&w, x, from / INDEX_PAGE); p && begin_of(p) <= to; p = walk_next(&w))
        n += page_count(p, low_off(p, from), high_off(p, to));
    must(n <= x->count);
    return n;
}

/* ------------------------------------------------------------------------------------------------ subjects
 */

static uint32_t data_find(const struct index_page *p, const struct index_data *d, uint32_t subject,
                          uint32_t low, uint32_t high) {
    must(low <= high && high < INDEX_PAGE);
    if (!d->packed) {
        if (high >= d->cap) high = d->cap - 1u;
        for (uint32_t i = low; i <= high; i++)
            if (d->e[i].subject == subject && page_has(p, i)) return i;
        return INDEX_PAGE;
    }
    const uint16_t *o = data_offs(d);
    for (uint32_t i = index_data_at(d, low); i < d->used && o[i] <= high; i++)
        if (d->e[i].subject == subject && page_has(p, o[i])) return o[i];
    return INDEX_PAGE;
}

static uint32_t data_find_back(const struct index_page *p, const struct index_data *d, uint32_t subject,
                               uint32_t low, uint32_t high) {
    must(low <= high && high < INDEX_PAGE);
    if (!d->packed) {
        for (uint32_t i = high < d->cap ? high + 1 : d->cap; i-- > low;)
            if (d->e[i].subject == subject && page_has(p, i)) return i;
        return INDEX_PAGE;
    }
    const uint16_t *o = data_offs(d);
    for (uint32_t i = index_data_at(d, high + 1); i-- > 0 && o[i] >= low;)
        if (d->e[i].subject == subject && page_has(p, o[i])) return o[i];
    return INDEX_PAGE;
}

uint64_t index_find(const struct index *x, uint32_t subject, uint64_t from, uint64_t to) {
    must(x);
    if (from > to) return 0;
    struct walk w;
    for (struct index_page *p = walk_up(&w, x, from / INDEX_PAGE); p && begin_of(p) <= to;
         p = walk_next(&w)) {
        if (!filter_has(&p->filter, subject)) continue;
        uint32_t low = low_off(p, from), high = high_off(p, to);
        uint32_t off = data_find(p, index_page_data(x, p), subject, low, high);
        if (off < INDEX_PAGE) return begin_of(p) + off;
    }
    return 0;
}

uint64_t index_find_back(const struct index *x, uint32_t subject, uint64_t from, uint64_t to) {
    must(x);
    if (from > to) return 0;
    struct walk w;
    for (struct index_page *p = walk_down(&w, x, to / INDEX_PAGE); p; p = walk_before(&w)) {
        if (begin_of(p) + INDEX_PAGE - 1 < from) break;
        if (!filter_has(&p->filter, subject)) continue;
        uint32_t low = low_off(p, from), high = high_off(p, to);
        uint32_t off = data_find_back(p, index_page_data(x, p), subject, low, high);
        if (off < INDEX_PAGE) return begin_of(p) + off;
    }
    return 0;
}

/* ------------------------------------------------------------------------------------------------ times */

static uint64_t page_seq_at(const struct index *x, struct index_page *p, int64_t ts) {
    must(p->count > 0);
    if (p->first_ts >= ts) return begin_of(p) + page_next_live(p, 0);
    const struct index_data *d = index_page_data(x, p);
    for (uint32_t off = page_next_live(p, 0); off < INDEX_PAGE; off = page_next_live(p, off + 1))
        if (d->e[index_data_at(d, off)].ts >= ts) return begin_of(p) + off;
    return 0;
}

/* A group without messages is one that is about to get its first. */
static int64_t group_last_ts(const struct index_group *g) {
    must(g->count > 0);
    for (uint32_t i = INDEX_GROUP; i-- > 0;)
        if (g->pages[i] && g->pages[i]->count) return g->pages[i]->last_ts;
    return INT64_MAX;
}

/* Times never go back from a sequence to the next: the first group whose last page reaches ts has it, or the
 * next page does. */
uint64_t index_seq_at(const struct index *x, int64_t ts) {
    must(x);
    size_t low = 0, high = x->len;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (group_last_ts(x->slots[x->head + mid].group) < ts)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == x->len) return 0;
    struct walk w;
    for (struct index_page *p = walk_up(&w, x, x->slots[x->head + low].number * INDEX_GROUP); p;
         p = walk_next(&w)) {
        if (p->count == 0 || p->last_ts < ts) continue;
        uint64_t seq = page_seq_at(x, p, ts);
        if (seq) return seq;
    }
    return 0;
}
