/* page_load.c - a stream from the head and the pages of a checkpoint. Groups, subjects and ids are read at
 * once, index pages when they are asked for. Nothing is believed: whatever does not fit together is
 * ERR_CORRUPT, and the caller takes another way. */
#include <stdlib.h>

#include "base/must.h"
#include "stream/codec_core.h"
#include "stream/index_core.h"
#include "stream/page_core.h"
#include "stream/stream_core.h"
#include "stream/tlv.h"

enum { TOTALS = 5 };

static bool find_items(struct span head, uint64_t *totals, struct span *pages) {
    must(totals && pages);
    struct tlv t = tlv_open(head);
    bool found = false;
    while (tlv_next(&t)) {
        if (t.tag == TAG_TOTALS) found = tlv_get_words(t.value, totals, TOTALS) && t.value.n >= 8 * TOTALS;
        if (t.tag == TAG_PAGES) *pages = t.value;
    }
    return found && !t.bad;
}

static bool next_image(struct span *pages, struct page_image *i) {
    uint64_t kind, size;
    if (!tlv_get_varint(pages, &kind) || !tlv_get_varint(pages, &i->key.number) ||
        !tlv_get_varint(pages, &i->loc) || !tlv_get_varint(pages, &size))
        return false;
    if (kind <= PAGE_INDEX || kind > PAGE_DEDUPE || i->loc == 0 || size > UINT32_MAX) return false;
    if (kind == PAGE_SUBJECTS && i->key.number > UINT32_MAX / SUBJECT_CHUNK) return false;
    i->key.kind = (uint32_t)kind;
    i->size = (uint32_t)size;
    return true;
}

static enum err take_image(struct stream *st, const struct page_image *i, struct span image) {
    must(i->loc != 0);
    struct page_place place = {.loc = i->loc, .size = i->size};
    enum err e;
    switch (i->key.kind) {
    case PAGE_GROUP:
        e = image_to_group(image, i->key.number, &st->index);
        if (e == ERR_OK) index_group_of(&st->index, i->key.number)->place = place;
        return e;
    case PAGE_SUBJECTS:
        e = image_to_subjects(image, (uint32_t)i->key.number, &st->subjects);
        if (e == ERR_OK) st->subjects.chunks[i->key.number].place = place;
        return e;
    default:
        /* Ids are numbered anew and written again with the next checkpoint. */
        page_gone(st, i->key.kind, i->key.number, &place);
        return image_to_ids(image, &st->dedupe);
    }
}

static enum err load_pages(struct stream *st, struct span pages) {
    const struct page_host *h = st->pages.host;
    must(h && st->index.pages == 0);
    while (pages.n) {
        struct page_image i;
        struct span image;
        if (!next_image(&pages, &i)) return ERR_CORRUPT;
        enum err e = h->load(h->ctx, st, i.key, i.loc, i.size, &image);
        if (e == ERR_OK) e = take_image(st, &i, image);
        if (e != ERR_OK) return e;
    }
    subjects_loaded(&st->subjects);
    return ERR_OK;
}

/* Do the parts tell the same? */
static bool fits(struct stream *st, const struct stream_image *img, const uint64_t *totals) {
    uint64_t msgs = 0;
    for (uint32_t id = 0; id < st->subjects.items_len; id++) {
        const struct subject *s = subjects_at(&st->subjects, id);
        if (s->size == 0) continue;
        msgs += s->count;
        if (s->last > img->last_seq || (s->exact && s->first < img->first_seq)) return false;
    }
    uint64_t first = index_next(&st->index, 1, UINT64_MAX);
    return msgs == totals[0] && st->index.count == totals[0] && st->subjects.items_len == totals[4] &&
           totals[2] <= INT64_MAX && (msgs == 0 || first == img->first_seq) &&
           index_before(&st->index, 1, UINT64_MAX) <= img->last_seq;
}

static void take_state(struct stream *st, struct stream_image *img, const uint64_t *totals) {
    must(st->blank && st->recovering);
    stream_conf_deinit(&st->conf);
    st->conf = img->conf;
    st->msgs = totals[0];
    st->bytes = totals[1];
    st->first_ts = (int64_t)totals[2];
    st->first_seq = img->first_seq;
    st->last_seq = st->visible_seq = img->last_seq;
    st->last_ts = img->last_ts;
    st->created = img->created;
    st->lost_msgs = img->lost_msgs;
    st->lost_bytes = img->lost_bytes;
    stream_set_last_id(st, img->last_id);
    dedupe_set_window(&st->dedupe, st->conf.c.duplicate_window_ns, st->last_ts);
    st->blank = false;
    st->pages.changed = false;
}

enum err stream_load_head(struct stream *st, struct span head) {
    must(st && st->blank && st->recovering);
    must(st->last_seq == 0 && st->pages.host);
    uint64_t totals[TOTALS];
    struct span pages = SPAN_EMPTY;
    if (!find_items(head, totals, &pages)) return ERR_CORRUPT;
    struct stream_image img;
    enum err e = codec_read_stream(head, &img);
    if (e != ERR_OK) return e;
    st->subjects.listed = totals[3];
    e = stream_reserve_id(st, img.last_id.n);
    if (e == ERR_OK) e = load_pages(st, pages);
    if (e == ERR_OK && !fits(st, &img, totals)) e = ERR_CORRUPT;
    if (e != ERR_OK) {
        stream_conf_deinit(&img.conf);
        return e;
    }
    take_state(st, &img, totals);
    stream_list_subjects(st);
    return ERR_OK;
}
