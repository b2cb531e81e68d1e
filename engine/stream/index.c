#include "stream/index.h"

#include <stdlib.h>
#include <string.h>

#include "base/must.h"

/* Dense: e[] by offset, holes have loc 0. Packed: `live` entries in order, room for cap, their offsets behind
 * them. Packing is tried when entries go and is not needed for correctness: it may fail for memory. */
struct index_page {
    uint16_t live, cap;
    bool packed;
    struct index_entry e[];
};

enum { CAP_MIN = 16, PACK_AT = INDEX_PAGE / 4, PACKED_MIN = 8 };
static_must(sizeof(struct index_entry) == 32);

static uint16_t *offs(struct index_page *p) {
    must(p->packed);
    return (uint16_t *)(void *)(p->e + p->cap);
}

void index_init(struct index *x) {
    must(x);
    *x = (struct index){0};
}

void index_deinit(struct index *x) {
    must(x);
    for (size_t i = 0; i < x->len; i++) free(x->slots[x->head + i].page);
    free(x->slots);
    *x = (struct index){0};
}

/* Position of the first slot whose number is >= number; len when none. Without gaps the guess is right at
 * once. */
static size_t slot_at(const struct index *x, uint64_t number) {
    must(x->head + x->len <= x->cap);
    const struct index_slot *s = x->slots + x->head;
    if (x->len == 0 || number <= s[0].number) return 0;
    uint64_t guess = number - s[0].number;
    if (guess < x->len && s[guess].number == number) return guess;
    size_t low = 0, high = guess < x->len ? guess + 1 : x->len;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (s[mid].number < number)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static struct index_page *page_of(const struct index *x, uint64_t number) {
    must(x);
    size_t i = slot_at(x, number);
    if (i == x->len) return NULL;
    const struct index_slot *s = &x->slots[x->head + i];
    return s->number == number ? s->page : NULL;
}

/* First position in a packed page whose offset is >= off. */
static uint32_t packed_at(struct index_page *p, uint32_t off) {
    must(p->live <= p->cap);
    must(off <= INDEX_PAGE);
    const uint16_t *o = offs(p);
    uint32_t low = 0, high = p->live;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (o[mid] < off)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static struct index_entry *page_get(struct index_page *p, uint32_t off) {
    must(off < INDEX_PAGE);
    if (!p->packed) {
        return off < p->cap && p->e[off].loc != 0 ? &p->e[off] : NULL;
    }
    uint32_t i = packed_at(p, off);
    return i < p->live && offs(p)[i] == off ? &p->e[i] : NULL;
}

struct index_entry *index_get(const struct index *x, uint64_t seq) {
    must(x);
    struct index_page *p = page_of(x, seq / INDEX_PAGE);
    return p ? page_get(p, (uint32_t)(seq % INDEX_PAGE)) : NULL;
}

/* ------------------------------------------------------------------------------------------------ growing */

/* A dense page with room for offset off and all there was in `from`. Frees from. NULL: no memory, from
 * stands. */
static struct index_page *page_grow(struct index_page *from, uint32_t off) {
    must(off < INDEX_PAGE);
    uint32_t cap = from && from->packed ? INDEX_PAGE : CAP_MIN;
    while (cap <= off) cap *= 2;
    struct index_page *d = malloc(sizeof *d + cap * sizeof d->e[0]);
    if (!d) return NULL;
    uint32_t old = from && !from->packed ? from->cap : 0;
    must(old <= cap && cap <= INDEX_PAGE);
    *d = (struct index_page){.live = from ? from->live : 0, .cap = (uint16_t)cap};
    if (old) memcpy(d->e, from->e, old * sizeof d->e[0]);
    memset(d->e + old, 0, (cap - old) * sizeof d->e[0]);
    if (from && from->packed) {
        for (uint32_t i = 0; i < from->live; i++) d->e[offs(from)[i]] = from->e[i];
    }
    free(from);
    return d;
}

/* Keeps only what lives. On no memory the page stays as it is. */
static struct index_page *page_pack(struct index_page *from) {
    must(from->live > 0 && from->live <= PACK_AT);
    uint32_t cap = PACKED_MIN;
    while (cap < from->live) cap *= 2;
    struct index_page *p = malloc(sizeof *p + cap * (sizeof p->e[0] + sizeof(uint16_t)));
    if (!p) return from;
    p->live = 0;
    p->cap = (uint16_t)cap;
    p->packed = true;
    uint32_t span = from->packed ? from->live : from->cap;
    for (uint32_t i = 0; i < span; i++) {
        const struct index_entry *e = &from->e[i];
        if (e->loc == 0) continue;
        offs(p)[p->live] = from->packed ? offs(from)[i] : (uint16_t)i;
        p->e[p->live++] = *e;
    }
    must(p->live == from->live);
    free(from);
    return p;
}

static void page_tidy(struct index_slot *s) {
    must(s->page);
    must(s->page->live <= s->page->cap);
    struct index_page *p = s->page;
    bool sparse =
        p->packed ? p->cap > PACKED_MIN && p->live <= p->cap / 4 : p->cap == INDEX_PAGE && p->live <= PACK_AT;
    if (sparse && p->live > 0) s->page = page_pack(p);
}

static enum err slots_grow(struct index *x) {
    must(x->head <= x->cap);
    if (x->head + x->len < x->cap) return ERR_OK;
    if (x->head > x->cap / 2) {
        memmove(x->slots, x->slots + x->head, x->len * sizeof x->slots[0]);
        x->head = 0;
        return ERR_OK;
    }
    size_t cap = x->cap ? x->cap * 2 : 4;
    struct index_slot *s = realloc(x->slots, cap * sizeof *s);
    if (!s) return ERR_NOMEM;
    x->slots = s;
    x->cap = cap;
    return ERR_OK;
}

static enum err page_add(struct index *x, uint64_t number, uint32_t off) {
    must(off < INDEX_PAGE);
    must(!page_of(x, number));
    if (slots_grow(x) != ERR_OK) return ERR_NOMEM;
    struct index_page *p = page_grow(NULL, off);
    if (!p) return ERR_NOMEM;
    size_t i = slot_at(x, number);
    struct index_slot *s = x->slots + x->head;
    memmove(s + i + 1, s + i, (x->len - i) * sizeof *s);
    s[i] = (struct index_slot){number, p};
    x->len++;
    if (i > 0 && i + 1 == x->len) page_tidy(&s[i - 1]);
    return ERR_OK;
}

enum err index_reserve(struct index *x, uint64_t seq) {
    must(x && seq > 0);
    uint64_t number = seq / INDEX_PAGE;
    uint32_t off = (uint32_t)(seq % INDEX_PAGE);
    size_t i = slot_at(x, number);
    if (i == x->len || x->slots[x->head + i].number != number) return page_add(x, number, off);
    struct index_slot *s = &x->slots[x->head + i];
    if (page_get(s->page, off) || (!s->page->packed && off < s->page->cap)) return ERR_OK;
    struct index_page *p = page_grow(s->page, off);
    if (!p) return ERR_NOMEM;
    s->page = p;
    return ERR_OK;
}

struct index_entry *index_set(struct index *x, uint64_t seq, const struct index_entry *e) {
    must(seq > 0);
    must(e->loc != 0);
    struct index_entry *at = index_get(x, seq);
    if (!at) {
        struct index_page *p = page_of(x, seq / INDEX_PAGE);
        must(p && !p->packed && seq % INDEX_PAGE < p->cap);
        at = &p->e[seq % INDEX_PAGE];
        p->live++;
        x->count++;
    }
    *at = *e;
    return at;
}

/* ------------------------------------------------------------------------------------------------ shrinking
 */

static void page_remove(struct index *x, size_t i) {
    must(i < x->len);
    struct index_slot *s = x->slots + x->head;
    must(s[i].page->live == 0);
    free(s[i].page);
    x->len--;
    if (i == 0)
        x->head++;
    else
        memmove(s + i, s + i + 1, (x->len - i) * sizeof *s);
    if (x->len == 0) x->head = 0;
}

void index_clear(struct index *x, uint64_t seq) {
    must(x && x->count > 0);
    size_t i = slot_at(x, seq / INDEX_PAGE);
    must(i < x->len);
    struct index_slot *s = &x->slots[x->head + i];
    struct index_page *p = s->page;
    uint32_t off = (uint32_t)(seq % INDEX_PAGE);
    struct index_entry *e = page_get(p, off);
    must(s->number == seq / INDEX_PAGE && e);
    p->live--;
    x->count--;
    if (p->packed) {
        uint32_t at = (uint32_t)(e - p->e);
        memmove(p->e + at, p->e + at + 1, (p->live - at) * sizeof *e);
        memmove(offs(p) + at, offs(p) + at + 1, (p->live - at) * sizeof(uint16_t));
    } else {
        *e = (struct index_entry){0};
    }
    if (p->live == 0)
        page_remove(x, i);
    else if (p->packed || i + 1 < x->len)
        page_tidy(s);
}

/* ------------------------------------------------------------------------------------------------ searching
 */

/* Lowest live offset >= off in the page; INDEX_PAGE when none. */
static uint32_t page_next(struct index_page *p, uint32_t off) {
    must(off <= INDEX_PAGE);
    if (p->packed) {
        uint32_t i = packed_at(p, off);
        return i < p->live ? offs(p)[i] : INDEX_PAGE;
    }
    for (; off < p->cap; off++) {
        if (p->e[off].loc != 0) return off;
    }
    return INDEX_PAGE;
}

/* Highest live offset <= off in the page; INDEX_PAGE when none. */
static uint32_t page_before(struct index_page *p, uint32_t off) {
    must(off < INDEX_PAGE);
    if (p->packed) {
        uint32_t i = packed_at(p, off + 1);
        return i > 0 ? offs(p)[i - 1] : INDEX_PAGE;
    }
    for (uint32_t n = off < p->cap ? off + 1u : p->cap; n > 0; n--) {
        if (p->e[n - 1].loc != 0) return n - 1;
    }
    return INDEX_PAGE;
}

uint64_t index_next(const struct index *x, uint64_t from, uint64_t to) {
    must(x->head + x->len <= x->cap);
    must(x);
    if (from > to) return 0;
    for (size_t i = slot_at(x, from / INDEX_PAGE); i < x->len; i++) {
        const struct index_slot *s = &x->slots[x->head + i];
        uint64_t begin = s->number * INDEX_PAGE;
        if (begin > to) break;
        uint32_t off = page_next(s->page, begin < from ? (uint32_t)(from - begin) : 0);
        if (off < INDEX_PAGE) return begin + off <= to ? begin + off : 0;
    }
    return 0;
}

uint64_t index_before(const struct index *x, uint64_t from, uint64_t to) {
    must(x);
    if (from > to) return 0;
    size_t i = slot_at(x, to / INDEX_PAGE);
    if (i < x->len && x->slots[x->head + i].number == to / INDEX_PAGE) i++;
    while (i-- > 0) {
        const struct index_slot *s = &x->slots[x->head + i];
        uint64_t begin = s->number * INDEX_PAGE;
        uint32_t off =
            page_before(s->page, to - begin < INDEX_PAGE ? (uint32_t)(to - begin) : INDEX_PAGE - 1);
        if (off < INDEX_PAGE) return begin + off >= from ? begin + off : 0;
        if (begin <= from) break;
    }
    return 0;
}

uint64_t index_run(const struct index *x, uint64_t from, uint64_t to) {
    must(x);
    uint64_t seq = from;
    while (seq <= to) {
        struct index_page *p = page_of(x, seq / INDEX_PAGE);
        uint32_t off = (uint32_t)(seq % INDEX_PAGE);
        if (p && p->live == INDEX_PAGE) {
            seq += INDEX_PAGE - off;
            continue;
        }
        while (p && off < INDEX_PAGE && page_get(p, off)) off++;
        seq = seq - seq % INDEX_PAGE + off;
        if (off < INDEX_PAGE) break;
    }
    return (seq <= to ? seq : to + 1) - from;
}

size_t index_memory(const struct index *x) {
    must(x);
    size_t n = x->cap * sizeof x->slots[0];
    for (size_t i = 0; i < x->len; i++) {
        const struct index_page *p = x->slots[x->head + i].page;
        n += sizeof *p + p->cap * (sizeof p->e[0] + (p->packed ? sizeof(uint16_t) : 0));
    }
    return n;
}
