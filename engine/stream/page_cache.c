/* page_cache.c - entries of index pages that come and go.
 *
 * A page whose image is what memory holds can be evicted: it is on the cache's list, the one used last at the
 * tail. An access to one that was evicted reads its image again (host->load). If that cannot be had the
 * segments its messages lie in are read again (host->rebuild); the summary says which of them live. Messages
 * not found even there are lost: until stream_settle_lost() their entries stand in for them, with a subject
 * that nobody has. Counts of subjects are made anew then, because nobody knows whose they were.
 *
 * Memory that runs out here has no caller to tell: the cache is emptied, and if that is not enough it ends
 * the process. */
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "stream/index_core.h"
#include "stream/page_core.h"
#include "stream/stream_core.h"

enum { KEPT_MIN = 8, LOST_LOC = 1 };

void page_cache_init(struct page_cache *c, size_t bytes_max) {
    must(c);
    *c = (struct page_cache){.bytes_max = bytes_max};
    list_init(&c->clean);
}

void stream_set_pages(struct stream *st, const struct page_host *host, struct page_cache *cache) {
    must(st && host && cache);
    must(st->index.pages == 0 && host->load);
    st->pages.host = host;
    st->pages.cache = cache;
}

/* ------------------------------------------------------------------------------------------------ the list
 */

void page_keep(struct stream *st, struct index_page *p) {
    must(st && p);
    if (list_empty(&p->clean)) return;
    struct page_cache *c = st->pages.cache;
    must(c != NULL);
    must(p->data && c->pages > 0);
    list_del(&p->clean);
    c->pages--;
    c->bytes -= index_data_bytes(p->data);
}

void page_used(struct stream *st, struct index_page *p) {
    must(p->data);
    if (list_empty(&p->clean) || st->pages.cache->clean.prev == &p->clean) return;
    list_del(&p->clean);
    list_add_tail(&st->pages.cache->clean, &p->clean);
}

static bool evict(struct page_cache *c) {
    struct list *l = list_pop(&c->clean);
    if (!l) return false;
    struct index_page *p = container_of(l, struct index_page, clean);
    must(p->data && p->place.loc && !p->place.dirty);
    c->bytes -= index_data_bytes(p->data);
    c->pages--;
    c->evictions++;
    free(p->data);
    p->data = NULL;
    return true;
}

void page_clean(struct stream *st, struct index_page *p) {
    must(p->place.loc != 0);
    must(!p->place.dirty && !p->place.due && list_empty(&p->clean));
    struct page_cache *c = st->pages.cache;
    if (!c || !p->data) return;
    list_add_tail(&c->clean, &p->clean);
    c->pages++;
    c->bytes += index_data_bytes(p->data);
    while (c->bytes > c->bytes_max && c->pages > KEPT_MIN) evict(c);
}

/* ------------------------------------------------------------------------------------------------ reading */

static struct index_data *data_make(struct page_cache *c) {
    size_t n = sizeof(struct index_data) + INDEX_PAGE * sizeof(struct index_entry);
    struct index_data *d = malloc(n);
    while (!d && evict(c)) d = malloc(n);
    must(d != NULL);
    memset(d, 0, n);
    d->cap = INDEX_PAGE;
    return d;
}

/* Every live message has an entry. */
static bool complete(const struct index_page *p, const struct index_data *d) {
    must(d->cap == INDEX_PAGE);
    uint32_t off = page_next_live(p, 0);
    while (off < INDEX_PAGE && d->e[off].loc != 0) off = page_next_live(p, off + 1);
    return off == INDEX_PAGE;
}

static bool load(struct stream *st, struct index_page *p, struct index_data *d) {
    const struct page_host *h = st->pages.host;
    must(p->place.loc != 0);
    struct span image = SPAN_EMPTY;
    struct page_key key = {PAGE_INDEX, p->number};
    enum err e = h->load(h->ctx, st, key, p->place.loc, p->place.size, &image);
    return e == ERR_OK && image_to_index(image, p->number, st->subjects.items_len, d) && complete(p, d);
}

void stream_rebuilt(struct stream *st, const struct stream_put *put) {
    must(st && put);
    struct index_page *p = st->pages.rebuilding;
    must(p != NULL);
    must(p->data != NULL);
    if (put->seq / INDEX_PAGE != p->number || !page_has(p, put->seq % INDEX_PAGE)) return;
    uint32_t id = subjects_find(&st->subjects, put->subject);
    size_t body = put->subject.n + put->hdr_size + put->payload_size;
    if (id == SUBJECT_NONE || put->loc == 0 || body >= INDEX_BODY_MAX) return;
    p->data->e[put->seq % INDEX_PAGE] =
        (struct index_entry){put->loc, put->ts, id, (uint32_t)body | (put->hdr_size ? INDEX_HAS_HDR : 0)};
}

static void rebuild(struct stream *st, struct index_page *p) {
    const struct page_host *h = st->pages.host;
    must(!st->pages.rebuilding);
    st->pages.cache->rebuilds++;
    st->pages.rebuilding = p;
    uint64_t from = p->number * INDEX_PAGE;
    if (h->rebuild) h->rebuild(h->ctx, st, from ? from : 1, from + INDEX_PAGE - 1, p->seg_low, p->seg_high);
    st->pages.rebuilding = NULL;
    for (uint32_t off = page_next_live(p, 0); off < INDEX_PAGE; off = page_next_live(p, off + 1)) {
        struct index_entry *e = &p->data->e[off];
        if (e->loc) continue;
        *e = (struct index_entry){LOST_LOC, p->first_ts, SUBJECT_NONE, 0};
        filter_add(&p->filter, SUBJECT_NONE);
        st->pages.lost = true;
    }
    struct index_group *g = index_group_of(&st->index, p->number / INDEX_GROUP);
    p->place.dirty = g->place.dirty = st->pages.changed = true;
}

static void want(struct stream *st, uint64_t number) {
    const struct page_host *h = st->pages.host;
    const struct index_page *p = index_page_of(&st->index, number);
    if (!p || p->data || !h->want) return;
    must(p->place.loc != 0);
    h->want(h->ctx, st, (struct page_key){PAGE_INDEX, number}, p->place.loc, p->place.size);
}

struct index_data *page_fetch(struct stream *st, struct index_page *p) {
    must(st && p && !p->data && p->count > 0);
    must(st->pages.host && st->pages.cache && list_empty(&p->clean));
    st->pages.cache->loads++;
    struct index_data *d = data_make(st->pages.cache);
    p->data = d;
    if (!load(st, p, d)) {
        memset(d->e, 0, INDEX_PAGE * sizeof d->e[0]);
        rebuild(st, p);
    }
    /* Those who walk upwards find the next page read ahead. */
    if (p->number == st->pages.last_fetch + 1) want(st, p->number + 1);
    st->pages.last_fetch = p->number;
    index_page_tidy(&st->index, p);
    if (!p->place.dirty && !p->place.due) page_clean(st, p);
    return p->data;
}

/* ------------------------------------------------------------------------------------------------ lost
 * messages */

static void recount(struct stream *st) {
    struct subjects *s = &st->subjects;
    uint32_t at = 0, id;
    bool listed = s->listed;
    subjects_unlist(s);
    while ((id = subjects_next(s, SPAN_EMPTY, &at)) != SUBJECT_NONE) {
        subjects_touch(s, id);
        subjects_at(s, id)->count = 0;
    }
    st->bytes = 0;
    for (uint64_t seq = index_next(&st->index, 1, UINT64_MAX); seq;
         seq = index_next(&st->index, seq + 1, UINT64_MAX)) {
        const struct index_entry *e = index_get(&st->index, seq);
        st->bytes += stream_entry_size(st, e);
        if (e->subject != SUBJECT_NONE) subjects_put(s, e->subject, seq);
    }
    if (st->pages.lost) return;
    at = 0;
    while ((id = subjects_next(s, SPAN_EMPTY, &at)) != SUBJECT_NONE)
        if (subjects_at(s, id)->count == 0) subjects_drop(s, id);
    if (listed) stream_list_subjects(st);
}

void stream_settle_lost(struct stream *st) {
    must(st);
    while (st->pages.lost) {
        st->pages.lost = false;
        uint64_t seq = 0;
        while ((seq = index_find(&st->index, SUBJECT_NONE, seq + 1, UINT64_MAX)) != 0) {
            st->lost_msgs++;
            missing_add(st->missing, seq, seq);
            stream_remove(st, seq, REMOVED_LOST);
        }
        recount(st);
    }
}
