/* page_cut.c - a checkpoint of one stream: see page.h.
 *
 * stream_cut() lists what is due: pages that changed since their image, and every group with such a page,
 * because it names the image. A due page that is about to change is turned into bytes first (page_save); one
 * that does not change is turned into bytes when its turn comes. Index pages come first, so that groups can
 * name them. Message ids are not saved before they change: what came behind the cut comes again with the
 * replay of the log, what ran out would run out again.
 *
 * Who still names an image: the newest head that was finished names all that pages had then. An image that a
 * cut replaces is remembered in the cut, one whose page is gone in pages.gone; both are dead when a cut that
 * does not name them has ended well. Without memory an entry of pages.gone is dropped: the image then counts
 * as alive until the log is read whole again. */
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "stream/codec_core.h"
#include "stream/index_core.h"
#include "stream/page_core.h"
#include "stream/stream_core.h"
#include "stream/tlv.h"

enum { SAVED_MAX = 64 << 20 };

/* ------------------------------------------------------------------------------------------------ places */

struct page_place *page_place_of(struct stream *st, struct page_key key) {
    must(st);
    switch (key.kind) {
    case PAGE_INDEX: {
        struct index_page *p = index_page_of(&st->index, key.number);
        return p ? &p->place : NULL;
    }
    case PAGE_GROUP: {
        struct index_group *g = index_group_of(&st->index, key.number);
        return g ? &g->place : NULL;
    }
    case PAGE_SUBJECTS:
        return key.number < st->subjects.chunks_len ? &st->subjects.chunks[key.number].place : NULL;
    case PAGE_DEDUPE: return dedupe_place(&st->dedupe, key.number);
    default: return NULL;
    }
}

static int key_order(struct page_key a, struct page_key b) {
    if (a.kind != b.kind) return a.kind < b.kind ? -1 : 1;
    return a.number < b.number ? -1 : a.number > b.number;
}

struct page_due *cut_find(const struct page_cut *cut, uint32_t kind, uint64_t number) {
    must(cut);
    struct page_key key = {kind, number};
    size_t low = 0, high = cut->len;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (key_order(cut->due[mid].key, key) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low < cut->len && key_order(cut->due[low].key, key) == 0 ? &cut->due[low] : NULL;
}

static void push_gone(struct stream *st, struct page_key key, uint64_t loc, uint32_t size) {
    must(loc != 0);
    struct stream_pages *pg = &st->pages;
    if (pg->gone_len == pg->gone_cap) {
        size_t cap = pg->gone_cap ? pg->gone_cap * 2 : 16;
        struct page_image *gone = realloc(pg->gone, cap * sizeof *gone);
        if (!gone) return;
        pg->gone = gone;
        pg->gone_cap = cap;
    }
    pg->gone[pg->gone_len++] = (struct page_image){key, loc, size};
}

void page_gone(struct stream *st, uint32_t kind, uint64_t number, struct page_place *p) {
    must(p);
    if (!st) return;
    if (p->due) page_save(st, kind, number);
    struct page_key key = {kind, number};
    const struct page_due *d = st->pages.cut ? cut_find(st->pages.cut, kind, number) : NULL;
    /* The cut remembers what it replaces. */
    bool kept = d && d->old_loc == p->loc;
    if (p->loc && !kept) push_gone(st, key, p->loc, p->size);
    *p = (struct page_place){0};
}

/* ------------------------------------------------------------------------------------------------ images */

static enum err image_of(struct stream *st, struct codec_buf *b, struct page_key key) {
    must(b);
    tlv_reset(b);
    switch (key.kind) {
    case PAGE_INDEX: {
        struct index_page *p = index_page_of(&st->index, key.number);
        must(p);
        (void)index_page_data(&st->index, p);
        image_of_index(b, p);
        break;
    }
    case PAGE_GROUP: image_of_group(b, index_group_of(&st->index, key.number)); break;
    case PAGE_SUBJECTS: image_of_subjects(b, &st->subjects, (uint32_t)key.number); break;
    default: image_of_ids(b, &st->dedupe, key.number); break;
    }
    return b->failed ? ERR_NOMEM : ERR_OK;
}

void page_save(struct stream *st, uint32_t kind, uint64_t number) {
    struct page_key key = {kind, number};
    struct page_place *p = page_place_of(st, key);
    must(st->pages.cut && p && p->due);
    struct page_cut *cut = st->pages.cut;
    struct page_due *d = cut_find(cut, kind, number);
    must(d && !d->given && !d->bytes);
    p->due = false;
    if (cut->failed || kind == PAGE_DEDUPE) return;
    struct codec_buf b;
    codec_buf_init(&b);
    uint8_t *bytes = NULL;
    if (image_of(st, &b, key) == ERR_OK && cut->saved + b.n <= SAVED_MAX) bytes = malloc(b.n);
    if (bytes) {
        memcpy(bytes, b.p, b.n);
        d->bytes = bytes;
        d->bytes_size = (uint32_t)b.n;
        cut->saved += b.n;
    } else {
        cut->failed = true;
    }
    codec_buf_deinit(&b);
}

/* ------------------------------------------------------------------------------------------------ beginning
 */

static void add_due(struct page_cut *cut, struct page_key key, struct page_place *p) {
    must(p && !p->due);
    if (cut->due) {
        cut->due[cut->len] = (struct page_due){.key = key, .old_loc = p->loc, .old_size = p->size};
        p->due = true;
    }
    cut->len++;
}

static void add_named(struct page_cut *cut, struct page_key key, struct page_place *p) {
    must(key.kind != PAGE_INDEX);
    if (cut->table) cut->table[cut->table_len] = (struct page_image){key, p->loc, p->size};
    cut->table_len++;
    if (p->dirty) add_due(cut, key, p);
}

static struct index_group *group_at(struct stream *st, size_t i) {
    must(i < st->index.len);
    return st->index.slots[st->index.head + i].group;
}

/* Counts what is due, or lists it once there is room. */
static void list_due(struct stream *st, struct page_cut *cut) {
    cut->len = cut->table_len = 0;
    for (size_t i = 0; i < st->index.len; i++) {
        struct index_group *g = group_at(st, i);
        for (uint32_t k = 0; k < INDEX_GROUP; k++) {
            struct index_page *p = g->pages[k];
            if (!p || p->count == 0 || !p->place.dirty) continue;
            add_due(cut, (struct page_key){PAGE_INDEX, p->number}, &p->place);
            g->place.dirty = true;
        }
    }
    for (size_t i = 0; i < st->index.len; i++) {
        struct index_group *g = group_at(st, i);
        uint32_t live = 0;
        for (uint32_t k = 0; k < INDEX_GROUP; k++) live += g->pages[k] && g->pages[k]->count;
        if (live) add_named(cut, (struct page_key){PAGE_GROUP, g->number}, &g->place);
    }
    for (uint32_t i = 0; i < st->subjects.chunks_len; i++)
        if (st->subjects.chunks[i].len)
            add_named(cut, (struct page_key){PAGE_SUBJECTS, i}, &st->subjects.chunks[i].place);
    uint64_t at, end;
    dedupe_chunks(&st->dedupe, &at, &end);
    for (; at < end; at++) add_named(cut, (struct page_key){PAGE_DEDUPE, at}, dedupe_place(&st->dedupe, at));
}

static void cut_free(struct stream *st) {
    struct page_cut *cut = st->pages.cut;
    must(cut);
    for (size_t i = 0; i < cut->len && cut->due; i++) free(cut->due[i].bytes);
    free(cut->due);
    free(cut->table);
    codec_buf_deinit(&cut->head);
    free(cut);
    st->pages.cut = NULL;
}

bool stream_changed(const struct stream *st) {
    must(st);
    return st->pages.changed;
}

static void put_head(struct stream *st, struct codec_buf *b) {
    must(!st->blank);
    uint64_t totals[] = {st->msgs, st->bytes, (uint64_t)st->first_ts, st->subjects.listed,
                         st->subjects.items_len};
    tlv_reset(b);
    codec_put_state(b, st);
    tlv_words(b, TAG_TOTALS, totals, sizeof totals / sizeof totals[0]);
}

enum err stream_cut(struct stream *st) {
    must(st && !st->blank && !st->recovering);
    must(!st->pages.cut);
    stream_settle_lost(st);
    struct page_cut *cut = calloc(1, sizeof *cut);
    if (!cut) return ERR_NOMEM;
    st->pages.cut = cut;
    put_head(st, &cut->head);
    list_due(st, cut);
    size_t due = cut->len, table = cut->table_len;
    struct page_due *d = malloc((due + 1) * sizeof *d);
    cut->table = malloc((table + 1) * sizeof cut->table[0]);
    if (cut->head.failed || !d || !cut->table) {
        free(d);
        cut_free(st);
        return ERR_NOMEM;
    }
    cut->due = d;
    list_due(st, cut);
    must(cut->len == due && cut->table_len == table);
    cut->gone = st->pages.gone_len;
    st->pages.changed = false;
    return ERR_OK;
}

/* ------------------------------------------------------------------------------------------------ writing */

enum err stream_cut_next(struct stream *st, struct codec_buf *out, struct page_key *key) {
    must(st->pages.cut && out && key);
    struct page_cut *cut = st->pages.cut;
    must(cut->at == 0 || cut->due[cut->at - 1].loc);
    if (cut->failed) return ERR_NOMEM;
    if (cut->at == cut->len) return ERR_NONE;
    struct page_due *d = &cut->due[cut->at];
    struct page_place *p = page_place_of(st, d->key);
    *key = d->key;
    if (d->bytes) {
        tlv_reset(out);
        tlv_raw(out, d->bytes, d->bytes_size);
        cut->saved -= d->bytes_size;
        free(d->bytes);
        d->bytes = NULL;
    } else {
        must(d->key.kind == PAGE_DEDUPE || (p && p->due));
        if (image_of(st, out, d->key) != ERR_OK) return ERR_NOMEM;
        if (p) p->dirty = p->due = false;
    }
    if (out->failed) return ERR_NOMEM;
    if (d->key.kind == PAGE_GROUP) image_patch_group(out->p, out->n, cut);
    d->given = true;
    cut->at++;
    return ERR_OK;
}

void stream_cut_placed(struct stream *st, struct page_key key, uint64_t loc, uint32_t size) {
    struct page_cut *cut = st->pages.cut;
    must(cut != NULL);
    must(cut->at > 0 && loc != 0);
    struct page_due *d = &cut->due[cut->at - 1];
    must(key_order(d->key, key) == 0 && d->given && d->loc == 0);
    d->loc = loc;
    d->size = size;
    struct page_place *p = page_place_of(st, key);
    if (!p) {
        push_gone(st, key, loc, size);
        return;
    }
    p->loc = loc;
    p->size = size;
    if (key.kind == PAGE_INDEX && !p->dirty) page_clean(st, index_page_of(&st->index, key.number));
}

enum err stream_cut_head(struct stream *st, struct codec_buf *out) {
    const struct page_cut *cut = st->pages.cut;
    must(cut != NULL);
    must(out != NULL && cut->at == cut->len);
    tlv_reset(out);
    tlv_raw(out, cut->head.p, cut->head.n);
    size_t at = tlv_begin(out, TAG_PAGES);
    for (size_t i = 0; i < cut->table_len; i++) {
        const struct page_image *t = &cut->table[i];
        const struct page_due *d = cut_find(cut, t->key.kind, t->key.number);
        must(d ? d->loc != 0 : t->loc != 0);
        tlv_varint(out, t->key.kind);
        tlv_varint(out, t->key.number);
        tlv_varint(out, d ? d->loc : t->loc);
        tlv_varint(out, d ? d->size : t->size);
    }
    tlv_end(out, at);
    return out->failed ? ERR_NOMEM : ERR_OK;
}

/* ------------------------------------------------------------------------------------------------ ending */

static void ended_well(struct stream *st, void (*dead)(void *, struct page_key, uint64_t, uint32_t),
                       void *ctx) {
    struct stream_pages *pg = &st->pages;
    const struct page_cut *cut = pg->cut;
    must(cut->at == cut->len && cut->gone <= pg->gone_len);
    for (size_t i = 0; i < cut->gone; i++) dead(ctx, pg->gone[i].key, pg->gone[i].loc, pg->gone[i].size);
    pg->gone_len -= cut->gone;
    if (cut->gone) memmove(pg->gone, pg->gone + cut->gone, pg->gone_len * sizeof pg->gone[0]);
    for (size_t i = 0; i < cut->len; i++) {
        const struct page_due *d = &cut->due[i];
        must(d->loc != 0);
        if (d->old_loc) dead(ctx, d->key, d->old_loc, d->old_size);
    }
}

/* What was placed stays as it is; what was not is changed again. */
static void ended_badly(struct stream *st) {
    st->pages.changed = true;
    for (size_t i = 0; i < st->pages.cut->len; i++) {
        const struct page_due *d = &st->pages.cut->due[i];
        struct page_place *p = page_place_of(st, d->key);
        if (p) p->due = false;
        if (p && !d->loc && p->loc == d->old_loc)
            p->dirty = true;
        else if (d->old_loc)
            push_gone(st, d->key, d->old_loc, d->old_size);
    }
}

void stream_cut_end(struct stream *st, bool ok, void (*dead)(void *, struct page_key, uint64_t, uint32_t),
                    void *ctx) {
    must(st->pages.cut);
    must(!ok || (dead && !st->pages.cut->failed));
    if (ok)
        ended_well(st, dead, ctx);
    else
        ended_badly(st);
    cut_free(st);
}

void stream_pages_deinit(struct stream *st) {
    must(st);
    if (st->pages.cut) stream_cut_end(st, false, NULL, NULL);
}

/* ------------------------------------------------------------------------------------------------ asking */

static void each_place(struct stream *st, void (*fn)(void *, struct page_key, uint64_t, uint32_t),
                       void *ctx) {
    for (size_t i = 0; i < st->index.len; i++) {
        struct index_group *g = group_at(st, i);
        if (g->place.loc) fn(ctx, (struct page_key){PAGE_GROUP, g->number}, g->place.loc, g->place.size);
        for (uint32_t k = 0; k < INDEX_GROUP; k++) {
            const struct index_page *p = g->pages[k];
            if (p && p->place.loc)
                fn(ctx, (struct page_key){PAGE_INDEX, p->number}, p->place.loc, p->place.size);
        }
    }
    for (uint32_t i = 0; i < st->subjects.chunks_len; i++) {
        const struct page_place *p = &st->subjects.chunks[i].place;
        if (p->loc) fn(ctx, (struct page_key){PAGE_SUBJECTS, i}, p->loc, p->size);
    }
    uint64_t at, end;
    dedupe_chunks(&st->dedupe, &at, &end);
    for (; at < end; at++) {
        const struct page_place *p = dedupe_place(&st->dedupe, at);
        if (p->loc) fn(ctx, (struct page_key){PAGE_DEDUPE, at}, p->loc, p->size);
    }
}

void stream_images(const struct stream *st, void (*fn)(void *, struct page_key, uint64_t, uint32_t),
                   void *ctx) {
    must(st && fn);
    struct stream *s = (struct stream *)st; /* only read */
    each_place(s, fn, ctx);
    const struct stream_pages *pg = &st->pages;
    for (size_t i = 0; i < pg->gone_len; i++) fn(ctx, pg->gone[i].key, pg->gone[i].loc, pg->gone[i].size);
    for (size_t i = 0; pg->cut && i < pg->cut->len; i++) {
        const struct page_due *d = &pg->cut->due[i];
        const struct page_place *p = page_place_of(s, d->key);
        if (d->old_loc && (!p || p->loc != d->old_loc)) fn(ctx, d->key, d->old_loc, d->old_size);
    }
}

bool stream_page_renew(struct stream *st, struct page_key key, uint64_t loc) {
    must(st && loc != 0);
    struct page_place *p = page_place_of(st, key);
    if (p && p->loc == loc) {
        if (key.kind == PAGE_INDEX && !p->dirty) page_keep(st, index_page_of(&st->index, key.number));
        p->dirty = st->pages.changed = true;
        return true;
    }
    const struct stream_pages *pg = &st->pages;
    const struct page_due *d = pg->cut ? cut_find(pg->cut, key.kind, key.number) : NULL;
    if (d && d->old_loc == loc) return true;
    for (size_t i = 0; i < pg->gone_len; i++)
        if (pg->gone[i].loc == loc) {
            st->pages.changed = true;
            return true;
        }
    return false;
}
