/* page_image.c - pages to bytes and back. All numbers are varints (tlv.h) unless it says otherwise; a step is
 * the difference to the one before, as a zigzag varint. Every image begins with its number.
 *
 * PAGE_INDEX: for each entry: offset less the one before (the first: plus 1), step of location, step of time,
 * subject, size * 2 + has it headers. Entries of messages that are gone may be among them.
 *
 * PAGE_GROUP: how many pages; for each 13 bytes: position in the group, u64 location and u32 size of its
 * image; then for each: live messages, zigzag of the oldest time, newest less oldest, lowest segment, highest
 * less lowest, bits of the filter, its words (u64), and, unless all live, 16 words (u64) with a bit for each
 * that does.
 *
 * PAGE_SUBJECTS: ids, bytes of all names; for each id: size of the name, 0 = free; the name, messages, first,
 * last less first, is first exact, how many sequences in between follow, each less the one before.
 *
 * PAGE_DEDUPE: for each: 12 bytes of hash, step of sequence, step of time.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "stream/index_core.h"
#include "stream/page_core.h"
#include "stream/tlv.h"

enum { PLACE = 13, ENTRY_MAX = 2 + 10 + 10 + 5 + 5, FILTER_BITS_MAX = 8 * INDEX_PAGE };

static uint8_t *put(uint8_t *p, uint64_t n) {
    for (; n >= 0x80; n >>= 7) *p++ = (uint8_t)(n | 0x80);
    *p++ = (uint8_t)n;
    return p;
}

/* A number of at most `max`. */
static bool get(struct span *s, uint64_t max, uint64_t *n) {
    must(s && n);
    return tlv_get_varint(s, n) && *n <= max;
}

static bool get_step(struct span *s, uint64_t *at) {
    uint64_t step;
    if (!tlv_get_varint(s, &step)) return false;
    *at += (uint64_t)tlv_unzigzag(step);
    return true;
}

static bool begins(struct span *s, uint64_t number) {
    uint64_t n;
    return get(s, number, &n) && n == number;
}

/* ------------------------------------------------------------------------------------------------ index */

void image_of_index(struct codec_buf *b, const struct index_page *p) {
    must(b && p->data);
    tlv_reset(b);
    tlv_varint(b, p->number);
    const struct index_data *d = p->data;
    uint32_t n = d->packed ? d->used : d->cap, last = UINT32_MAX;
    uint8_t *start = tlv_room(b, (size_t)n * ENTRY_MAX), *at = start;
    uint64_t loc = 0, ts = 0;
    if (!start) return;
    for (uint32_t i = 0; i < n; i++) {
        const struct index_entry *e = &d->e[i];
        if (e->loc == 0) continue;
        uint32_t off = d->packed ? data_offs(d)[i] : i;
        at = put(at, off - last);
        at = put(at, tlv_zigzag((int64_t)(e->loc - loc)));
        at = put(at, tlv_zigzag(e->ts - (int64_t)ts));
        at = put(at, e->subject);
        at = put(at, (uint64_t)(e->size & ~INDEX_HAS_HDR) << 1 | e->size >> 31);
        last = off;
        loc = e->loc;
        ts = (uint64_t)e->ts;
    }
    must(at <= start + (size_t)n * ENTRY_MAX);
    b->n -= (size_t)(start + (size_t)n * ENTRY_MAX - at);
}

bool image_to_index(struct span image, uint64_t number, uint32_t subjects, struct index_data *d) {
    must(!d->packed && d->cap == INDEX_PAGE);
    if (!begins(&image, number)) return false;
    uint64_t loc = 0, ts = 0, step, subject, size;
    uint32_t off = UINT32_MAX;
    while (image.n) {
        if (!get(&image, INDEX_PAGE, &step) || step == 0) return false;
        off += (uint32_t)step;
        if (off >= INDEX_PAGE || !get_step(&image, &loc) || !get_step(&image, &ts)) return false;
        if (!get(&image, UINT32_MAX, &subject) || !get(&image, (uint64_t)INDEX_BODY_MAX << 1, &size))
            return false;
        if (loc == 0 || subject >= subjects) return false;
        d->e[off] = (struct index_entry){loc, (int64_t)ts, (uint32_t)subject,
                                         (uint32_t)(size >> 1) | (size & 1 ? INDEX_HAS_HDR : 0)};
    }
    return true;
}

/* ------------------------------------------------------------------------------------------------ groups */

static void put_summary(struct codec_buf *b, const struct index_page *p) {
    must(p->count > 0);
    tlv_varint(b, p->count);
    tlv_varint(b, tlv_zigzag(p->first_ts));
    tlv_varint(b, (uint64_t)p->last_ts - (uint64_t)p->first_ts);
    tlv_varint(b, p->seg_low);
    tlv_varint(b, p->seg_high - p->seg_low);
    const struct index_filter *f = &p->filter;
    tlv_varint(b, f->bits);
    for (uint32_t i = 0; i < f->bits / 64; i++) {
        uint8_t *at = tlv_room(b, 8);
        if (at) store64(at, f->bits == 64 ? f->word : f->words[i]);
    }
    for (uint32_t i = 0; i < INDEX_WORDS && p->count < INDEX_PAGE; i++) {
        uint8_t *at = tlv_room(b, 8);
        if (at) store64(at, p->live[i]);
    }
}

void image_of_group(struct codec_buf *b, const struct index_group *g) {
    must(b && g);
    tlv_reset(b);
    tlv_varint(b, g->number);
    uint32_t n = 0;
    for (uint32_t i = 0; i < INDEX_GROUP; i++) n += g->pages[i] && g->pages[i]->count;
    tlv_varint(b, n);
    for (uint32_t i = 0; i < INDEX_GROUP; i++) {
        const struct index_page *p = g->pages[i];
        uint8_t *at = p && p->count ? tlv_room(b, PLACE) : NULL;
        if (!at) continue;
        at[0] = (uint8_t)i;
        store64(at + 1, p->place.loc);
        store32(at + 9, p->place.size);
    }
    for (uint32_t i = 0; i < INDEX_GROUP; i++)
        if (g->pages[i] && g->pages[i]->count) put_summary(b, g->pages[i]);
}

void image_patch_group(uint8_t *image, size_t size, struct page_cut *cut) {
    must(image && cut);
    struct span s = span_of(image, size);
    uint64_t number, n;
    bool ok = tlv_get_varint(&s, &number) && tlv_get_varint(&s, &n);
    must(ok && n <= INDEX_GROUP);
    uint8_t *at = image + (size - s.n);
    for (; n > 0; n--, at += PLACE) {
        const struct page_due *d = cut_find(cut, PAGE_INDEX, number * INDEX_GROUP + at[0]);
        if (!d) continue;
        must(d->loc != 0);
        store64(at + 1, d->loc);
        store32(at + 9, d->size);
    }
}

static bool get_words(struct span *s, uint64_t *w, uint32_t n) {
    if (s->n < (size_t)n * 8) return false;
    for (uint32_t i = 0; i < n; i++) w[i] = load64(s->p + i * 8u);
    *s = span_skip(*s, (size_t)n * 8);
    return true;
}

static bool get_filter(struct span *s, struct index_filter *f) {
    must(f->bits == 0);
    uint64_t bits;
    if (!get(s, FILTER_BITS_MAX, &bits) || (bits & (bits - 1)) || (bits && bits < 64)) return false;
    if (bits == 0) return true;
    if (bits > 64) f->words = malloc(bits / 8);
    if (bits > 64 && !f->words) return false;
    f->bits = (uint32_t)bits;
    return get_words(s, bits == 64 ? &f->word : f->words, (uint32_t)bits / 64);
}

static bool get_summary(struct span *s, struct index_page *p) {
    must(p->count == 0);
    uint64_t count, first, ts, low, high;
    if (!get(s, INDEX_PAGE, &count) || count == 0 || !tlv_get_varint(s, &first) || !tlv_get_varint(s, &ts) ||
        !get(s, UINT32_MAX, &low) || !get(s, UINT32_MAX - low, &high) || !get_filter(s, &p->filter))
        return false;
    p->count = (uint16_t)count;
    p->first_ts = tlv_unzigzag(first);
    p->last_ts = (int64_t)((uint64_t)p->first_ts + ts);
    p->seg_low = (uint32_t)low;
    p->seg_high = (uint32_t)(low + high);
    memset(p->live, 0xff, sizeof p->live);
    if (count < INDEX_PAGE && !get_words(s, p->live, INDEX_WORDS)) return false;
    for (uint32_t i = 0; i < INDEX_WORDS; i++) count -= (uint64_t)__builtin_popcountll(p->live[i]);
    return count == 0 && p->last_ts >= p->first_ts;
}

enum err image_to_group(struct span image, uint64_t number, struct index *x) {
    must(x);
    uint64_t n;
    if (!begins(&image, number) || !get(&image, INDEX_GROUP, &n) || n == 0 || image.n < n * PLACE)
        return ERR_CORRUPT;
    struct index_group *g = index_group_of(x, number) ? NULL : index_group_add(x, number);
    if (!g) return ERR_NOMEM;
    const uint8_t *at = image.p;
    image = span_skip(image, n * PLACE);
    for (uint32_t next = 0; n > 0; n--, at += PLACE) {
        if (at[0] < next || at[0] >= INDEX_GROUP || load64(at + 1) == 0) return ERR_CORRUPT;
        struct index_page *p = index_page_add(x, g, number * INDEX_GROUP + at[0]);
        if (!p) return ERR_NOMEM;
        p->place = (struct page_place){.loc = load64(at + 1), .size = load32(at + 9)};
        if (!get_summary(&image, p)) return ERR_CORRUPT;
        x->count += p->count;
        next = at[0] + 1u;
    }
    return image.n == 0 ? ERR_OK : ERR_CORRUPT;
}

/* ------------------------------------------------------------------------------------------------ subjects
 */

static void put_subject(struct codec_buf *b, const struct subjects *s, uint32_t id) {
    must(id < s->items_len);
    const struct subject *t = subjects_at(s, id);
    tlv_varint(b, t->size);
    if (t->size == 0) return;
    struct span name = subjects_name(s, id);
    tlv_raw(b, name.p, name.n);
    tlv_varint(b, t->count);
    tlv_varint(b, t->first);
    tlv_varint(b, t->last - t->first);
    tlv_varint(b, t->exact);
    struct subject_list **lists = s->chunks[id / SUBJECT_CHUNK].lists;
    const struct subject_list *l = lists ? lists[id % SUBJECT_CHUNK] : NULL;
    tlv_varint(b, l ? l->len : 0);
    uint64_t last = t->first;
    for (uint32_t i = 0; l && i < l->len; i++) {
        tlv_varint(b, l->seq[l->from + i] - last);
        last = l->seq[l->from + i];
    }
}

void image_of_subjects(struct codec_buf *b, const struct subjects *s, uint32_t chunk) {
    must(b && chunk < s->chunks_len);
    const struct subject_chunk *c = &s->chunks[chunk];
    tlv_reset(b);
    tlv_varint(b, chunk);
    tlv_varint(b, c->len);
    tlv_varint(b, c->names_len - c->names_dead);
    for (uint32_t i = 0; i < c->len; i++) put_subject(b, s, chunk * SUBJECT_CHUNK + i);
}

static enum err get_list(struct span *image, struct subjects *s, uint32_t id, uint32_t count, uint64_t last) {
    must(subjects_at(s, id)->count > 0);
    uint64_t n, step, seq = subjects_at(s, id)->first;
    if (!get(image, count, &n) || n != (s->listed && count > 2 ? count - 2 : 0)) return ERR_CORRUPT;
    for (; n > 0; n--) {
        if (!get(image, last - seq, &step) || step == 0 || seq + step >= last) return ERR_CORRUPT;
        seq += step;
        if (subjects_list_reserve(s, id) != ERR_OK) return ERR_NOMEM;
        subjects_put(s, id, seq);
    }
    return ERR_OK;
}

static enum err get_subject(struct span *image, struct subjects *s, uint32_t id) {
    uint64_t size, count, first, last, exact;
    if (!get(image, UINT16_MAX, &size) || size > image->n) return ERR_CORRUPT;
    if (size == 0) return ERR_OK;
    struct span name = span_of(image->p, size);
    *image = span_skip(*image, size);
    enum err e = subjects_load(s, id, name);
    if (e != ERR_OK) return e;
    if (!get(image, UINT32_MAX, &count) || count == 0 || !get(image, UINT64_MAX - 2, &first) || first == 0 ||
        !get(image, UINT64_MAX - 2 - first, &last) || !get(image, 1, &exact))
        return ERR_CORRUPT;
    last += first;
    if ((count == 1) != (first == last) || (!exact && (s->listed || count == 1))) return ERR_CORRUPT;
    subjects_put(s, id, first);
    if (count > 1) subjects_put(s, id, last);
    e = get_list(image, s, id, (uint32_t)count, last);
    subjects_at(s, id)->count = (uint32_t)count;
    subjects_at(s, id)->exact = exact;
    return e;
}

enum err image_to_subjects(struct span image, uint32_t chunk, struct subjects *s) {
    must(s);
    uint64_t ids, names;
    if (!begins(&image, chunk) || !get(&image, SUBJECT_CHUNK, &ids) || !get(&image, image.n, &names))
        return ERR_CORRUPT;
    enum err e = subjects_load_chunk(s, chunk, (uint32_t)ids, names);
    for (uint32_t i = 0; i < ids && e == ERR_OK; i++) e = get_subject(&image, s, chunk * SUBJECT_CHUNK + i);
    return e == ERR_OK && image.n ? ERR_CORRUPT : e;
}

/* ------------------------------------------------------------------------------------------------ ids */

void image_of_ids(struct codec_buf *b, const struct dedupe *d, uint64_t chunk) {
    must(b && d);
    tlv_reset(b);
    tlv_varint(b, chunk);
    struct dedupe_key k;
    uint64_t seq, seq_before = 0;
    int64_t ts, ts_before = 0;
    for (uint32_t at = 0; dedupe_next_in(d, chunk, &at, &k, &seq, &ts);) {
        tlv_raw(b, k.h, sizeof k.h);
        tlv_varint(b, tlv_zigzag((int64_t)(seq - seq_before)));
        tlv_varint(b, tlv_zigzag(ts - ts_before));
        seq_before = seq;
        ts_before = ts;
    }
}

enum err image_to_ids(struct span image, struct dedupe *d) {
    must(d);
    uint64_t number, seq = 0, ts = 0;
    if (!tlv_get_varint(&image, &number)) return ERR_CORRUPT;
    while (image.n) {
        struct dedupe_key k;
        if (!tlv_get_raw(&image, k.h, sizeof k.h) || !get_step(&image, &seq) || !get_step(&image, &ts))
            return ERR_CORRUPT;
        if (seq == 0 || seq >= UINT64_MAX - 1 || ts > INT64_MAX) return ERR_CORRUPT;
        if (dedupe_add_late(d, k, seq, (int64_t)ts) != ERR_OK) return ERR_NOMEM;
    }
    return ERR_OK;
}
