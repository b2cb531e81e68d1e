#include "stream/index.h"

#include <stdlib.h>
#include <string.h>

#include "stream/index_core.h"
#include "stream/page_core.h"

enum { CAP_MIN = 16, PACK_AT = INDEX_PAGE / 4, PACKED_MIN = 8 };
static_must(sizeof(struct index_entry) == 24);
static_must(INDEX_PAGE % 64 == 0);

void index_init(struct index *x) {
    must(x);
    *x = (struct index){0};
}

static void page_free(const struct index *x, struct index_page *p) {
    must(p);
    if (x->owner) page_keep(x->owner, p);
    filter_free(&p->filter);
    free(p->data);
    free(p);
}

void index_deinit(struct index *x) {
    must(x);
    for (size_t i = 0; i < x->len; i++) {
        struct index_group *g = x->slots[x->head + i].group;
        for (size_t k = 0; k < INDEX_GROUP; k++)
            if (g->pages[k]) page_free(x, g->pages[k]);
        free(g);
    }
    free(x->slots);
    *x = (struct index){0};
}

/* ------------------------------------------------------------------------------------------------ finding */

/* Without gaps the guess is right at once. */
size_t index_slot_at(const struct index *x, uint64_t number) {
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

struct index_group *index_group_of(const struct index *x, uint64_t number) {
    must(x);
    size_t i = index_slot_at(x, number);
    if (i == x->len) return NULL;
    const struct index_slot *s = &x->slots[x->head + i];
    return s->number == number ? s->group : NULL;
}

struct index_page *index_page_of(const struct index *x, uint64_t number) {
    const struct index_group *g = index_group_of(x, number / INDEX_GROUP);
    return g ? g->pages[number % INDEX_GROUP] : NULL;
}

struct index_data *index_page_data(const struct index *x, struct index_page *p) {
    must(x && p);
    must(p->data || x->owner);
    if (!p->data) return page_fetch(x->owner, p);
    if (x->owner) page_used(x->owner, p);
    return p->data;
}

uint32_t index_data_at(const struct index_data *d, uint32_t off) {
    must(off <= INDEX_PAGE);
    if (!d->packed) return off;
    must(d->used <= d->cap);
    const uint16_t *o = data_offs(d);
    uint32_t low = 0, high = d->used;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (o[mid] < off)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static struct index_entry *data_get(struct index_data *d, uint32_t off) {
    uint32_t i = index_data_at(d, off);
    must(i < (d->packed ? d->used : d->cap));
    must(!d->packed || data_offs(d)[i] == off);
    must(d->e[i].loc != 0);
    return &d->e[i];
}

bool index_has(const struct index *x, uint64_t seq) {
    must(x);
    const struct index_page *p = index_page_of(x, seq / INDEX_PAGE);
    return p && page_has(p, seq % INDEX_PAGE);
}

const struct index_entry *index_get(const struct index *x, uint64_t seq) {
    must(x);
    struct index_page *p = index_page_of(x, seq / INDEX_PAGE);
    if (!p || !page_has(p, seq % INDEX_PAGE)) return NULL;
    return data_get(index_page_data(x, p), seq % INDEX_PAGE);
}

/* ------------------------------------------------------------------------------------------------ growing */

/* Dense entries with room for offset off and all there was in `from`. Frees from. NULL: no memory, from
 * stands. */
static struct index_data *data_grow(struct index_data *from, uint32_t off) {
    must(off < INDEX_PAGE);
    uint32_t cap = from && from->packed ? INDEX_PAGE : CAP_MIN;
    while (cap <= off || (from && cap < from->cap)) cap *= 2;
    struct index_data *d = malloc(sizeof *d + cap * sizeof d->e[0]);
    if (!d) return NULL;
    uint32_t old = from && !from->packed ? from->cap : 0;
    must(old <= cap && cap <= INDEX_PAGE);
    *d = (struct index_data){.cap = (uint16_t)cap};
    if (old) memcpy(d->e, from->e, old * sizeof d->e[0]);
    memset(d->e + old, 0, (cap - old) * sizeof d->e[0]);
    if (from && from->packed) {
        for (uint32_t i = 0; i < from->used; i++) d->e[data_offs(from)[i]] = from->e[i];
    }
    free(from);
    return d;
}

/* The live entries packed. Without memory the page stays as it is. */
static void page_pack(const struct index *x, struct index_page *p) {
    must(p->count > 0 && p->count <= PACK_AT);
    if (p->place.due) page_save(x->owner, PAGE_INDEX, p->number);
    struct index_data *from = p->data;
    uint32_t cap = PACKED_MIN;
    while (cap < p->count) cap *= 2;
    struct index_data *d = malloc(sizeof *d + cap * (sizeof d->e[0] + sizeof(uint16_t)));
    if (!d) return;
    *d = (struct index_data){.cap = (uint16_t)cap, .packed = true};
    for (uint32_t off = page_next_live(p, 0); off < INDEX_PAGE; off = page_next_live(p, off + 1)) {
        data_offs(d)[d->used] = (uint16_t)off;
        d->e[d->used++] = *data_get(from, off);
    }
    must(d->used == p->count);
    bool clean = !list_empty(&p->clean);
    if (clean) page_keep(x->owner, p);
    p->data = d;
    free(from);
    filter_make(p);
    if (clean) page_clean(x->owner, p);
}

void index_page_tidy(const struct index *x, struct index_page *p) {
    must(p);
    const struct index_data *d = p->data;
    if (!d || p->count == 0) return;
    bool sparse = d->packed ? d->cap > PACKED_MIN && p->count <= d->cap / 4
                            : d->cap == INDEX_PAGE && p->count <= PACK_AT;
    if (sparse) page_pack(x, p);
}

static enum err slots_grow(struct index *x) {
    must(x->head <= x->cap);
    if (x->head + x->len < x->cap) return ERR_OK;
    if (x->head > x->cap / 2) {
        memmove(x->slots, x->slots + x->head, x->len * sizeof x->slots[0]);
        x->head = 0;
        return ERR_OK;
    }
    size_t cap = x->cap ? x->cap * 2 : 2;
    struct index_slot *s = realloc(x->slots, cap * sizeof *s);
    if (!s) return ERR_NOMEM;
    x->slots = s;
    x->cap = cap;
    return ERR_OK;
}

struct index_group *index_group_add(struct index *x, uint64_t number) {
    must(!index_group_of(x, number));
    if (slots_grow(x) != ERR_OK) return NULL;
    struct index_group *g = calloc(1, sizeof *g);
    if (!g) return NULL;
    g->number = number;
    size_t i = index_slot_at(x, number);
    struct index_slot *s = x->slots + x->head;
    memmove(s + i + 1, s + i, (x->len - i) * sizeof *s);
    s[i] = (struct index_slot){number, g};
    x->len++;
    return g;
}

static void group_remove(struct index *x, struct index_group *g) {
    must(g->count == 0);
    size_t i = index_slot_at(x, g->number);
    struct index_slot *s = x->slots + x->head;
    must(i < x->len && s[i].group == g);
    page_gone(x->owner, PAGE_GROUP, g->number, &g->place);
    free(g);
    x->len--;
    if (i == 0)
        x->head++;
    else
        memmove(s + i, s + i + 1, (x->len - i) * sizeof *s);
    if (x->len == 0) x->head = 0;
}

/* The last page there is, or NULL. */
static struct index_page *last_page(const struct index *x) {
    if (x->len == 0) return NULL;
    const struct index_group *g = x->slots[x->head + x->len - 1].group;
    must(g->count > 0);
    for (size_t i = INDEX_GROUP; i-- > 0;)
        if (g->pages[i]) return g->pages[i];
    return NULL;
}

static void touch_group(const struct index *x, uint64_t number) {
    struct index_group *g = index_group_of(x, number / INDEX_GROUP);
    must(g);
    page_touch(x->owner, &g->place, PAGE_GROUP, g->number);
}

/* The page that was the last one is complete now. */
static void complete(const struct index *x, struct index_page *p) {
    must(p);
    if (p->count == 0 || !p->data) return;
    touch_group(x, p->number);
    filter_make(p);
    index_page_tidy(x, p);
}

struct index_page *index_page_add(struct index *x, struct index_group *g, uint64_t number) {
    must(g->number == number / INDEX_GROUP);
    must(!g->pages[number % INDEX_GROUP]);
    struct index_page *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    list_init(&p->clean);
    p->number = number;
    g->pages[number % INDEX_GROUP] = p;
    g->count++;
    x->pages++;
    return p;
}

static enum err page_add(struct index *x, uint64_t number, uint32_t off) {
    must(off < INDEX_PAGE);
    must(!index_page_of(x, number));
    struct index_page *last = last_page(x);
    struct index_data *d = data_grow(NULL, off);
    struct index_group *g = index_group_of(x, number / INDEX_GROUP);
    if (d && !g) g = index_group_add(x, number / INDEX_GROUP);
    struct index_page *p = d && g ? index_page_add(x, g, number) : NULL;
    if (!p) {
        if (g && g->count == 0) group_remove(x, g);
        free(d);
        return ERR_NOMEM;
    }
    p->data = d;
    if (last && last->number < number) complete(x, last);
    return ERR_OK;
}

enum err index_reserve(struct index *x, uint64_t seq) {
    must(x && seq > 0);
    uint32_t off = (uint32_t)(seq % INDEX_PAGE);
    struct index_page *p = index_page_of(x, seq / INDEX_PAGE);
    if (!p) return page_add(x, seq / INDEX_PAGE, off);
    struct index_data *d = index_page_data(x, p);
    if (x->owner) page_keep(x->owner, p); /* not evicted before it is set */
    if (page_has(p, off) || (!d->packed && off < d->cap)) return ERR_OK;
    d = data_grow(d, off);
    if (!d) return ERR_NOMEM;
    p->data = d;
    return ERR_OK;
}

static void touch_page(const struct index *x, struct index_page *p) {
    must(p->data);
    touch_group(x, p->number);
    page_touch(x->owner, &p->place, PAGE_INDEX, p->number);
    if (!list_empty(&p->clean)) page_keep(x->owner, p);
}

static void widen(struct index_page *p, const struct index_entry *e) {
    uint32_t seg = (uint32_t)(e->loc >> 32);
    bool first = p->count == 0;
    if (first || e->ts < p->first_ts) p->first_ts = e->ts;
    if (first || e->ts > p->last_ts) p->last_ts = e->ts;
    if (first || seg < p->seg_low) p->seg_low = seg;
    if (first || seg > p->seg_high) p->seg_high = seg;
    must(p->seg_low <= p->seg_high);
}

void index_set(struct index *x, uint64_t seq, const struct index_entry *e) {
    must(seq > 0);
    must(e->loc != 0);
    uint32_t off = seq % INDEX_PAGE;
    struct index_page *p = index_page_of(x, seq / INDEX_PAGE);
    must(p);
    struct index_data *d = index_page_data(x, p);
    touch_page(x, p);
    widen(p, e);
    filter_add(&p->filter, e->subject);
    if (page_has(p, off)) {
        *data_get(d, off) = *e;
        return;
    }
    must(!d->packed && off < d->cap);
    d->e[off] = *e;
    p->live[off / 64] |= 1ull << (off % 64);
    p->count++;
    x->count++;
}

void index_move(struct index *x, uint64_t seq, uint64_t loc) {
    must(loc != 0);
    struct index_page *p = index_page_of(x, seq / INDEX_PAGE);
    must(p && page_has(p, seq % INDEX_PAGE));
    struct index_entry *e = data_get(index_page_data(x, p), seq % INDEX_PAGE);
    touch_page(x, p);
    e->loc = loc;
    widen(p, e);
}

/* ------------------------------------------------------------------------------------------------ shrinking
 */

static void page_remove(struct index *x, struct index_page *p) {
    must(p->count == 0);
    must(x->pages > 0);
    struct index_group *g = index_group_of(x, p->number / INDEX_GROUP);
    must(g && g->pages[p->number % INDEX_GROUP] == p);
    if (p->place.due) page_save(x->owner, PAGE_INDEX, p->number);
    page_gone(x->owner, PAGE_INDEX, p->number, &p->place);
    g->pages[p->number % INDEX_GROUP] = NULL;
    g->count--;
    x->pages--;
    page_free(x, p);
    if (g->count == 0) group_remove(x, g);
}

void index_clear(struct index *x, uint64_t seq) {
    must(x && x->count > 0);
    uint32_t off = seq % INDEX_PAGE;
    struct index_page *p = index_page_of(x, seq / INDEX_PAGE);
    must(p && page_has(p, off));
    touch_group(x, p->number);
    p->live[off / 64] &= ~(1ull << (off % 64));
    p->count--;
    x->count--;
    if (p->count == 0)
        page_remove(x, p);
    else if (p->count <= PACK_AT && (!p->data || p->data->packed || p != last_page(x)))
        index_page_tidy(x, p);
}

size_t index_data_bytes(const struct index_data *d) {
    must(d->cap <= INDEX_PAGE);
    return sizeof *d + d->cap * (sizeof d->e[0] + (d->packed ? sizeof(uint16_t) : 0));
}

size_t index_memory(const struct index *x) {
    must(x);
    size_t n = x->cap * sizeof x->slots[0];
    for (size_t i = 0; i < x->len; i++) {
        const struct index_group *g = x->slots[x->head + i].group;
        n += sizeof *g;
        for (size_t k = 0; k < INDEX_GROUP; k++) {
            const struct index_page *p = g->pages[k];
            if (!p) continue;
            n += sizeof *p + filter_memory(&p->filter);
            if (p->data) n += index_data_bytes(p->data);
        }
    }
    return n;
}
