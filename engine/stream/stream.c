#include "stream/stream.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/must.h"
#include "stream/stream_core.h"

enum { SIZE_FILE = 30, SIZE_FILE_HDR = 4, SIZE_MEMORY = 16 };

static void no_hook(void *ctx, struct stream *st, const struct stream_removed *r) {
    (void)ctx;
    must(st && r);
}

static void keep(void *ctx, struct stream *st, struct consumer *c, uint64_t seq) {
    (void)ctx;
    must(st && c && seq > 0);
}

static void set_up(struct stream *st, const uint8_t secret[16], int64_t window,
                   const struct stream_hooks *hooks) {
    must(secret);
    must(window >= 0);
    st->on_removed = hooks && hooks->on_removed ? hooks->on_removed : no_hook;
    st->on_released = hooks && hooks->on_released ? hooks->on_released : keep;
    st->ctx = hooks ? hooks->ctx : NULL;
    index_init(&st->index);
    subjects_init(&st->subjects, load64(secret) ^ load64(secret + 8));
    dedupe_init(&st->dedupe, secret, window);
    st->index.owner = st->subjects.owner = st->dedupe.owner = st;
    st->pages.changed = true;
}

enum err stream_init(struct stream *st, const struct mr_stream_config *cfg, int64_t created,
                     const uint8_t secret[16], const struct stream_hooks *hooks) {
    must(st && cfg && secret);
    *st = (struct stream){.created = created};
    enum err e = stream_conf_copy(&st->conf, cfg);
    if (e != ERR_OK) return e;
    set_up(st, secret, cfg->duplicate_window_ns, hooks);
    stream_list_subjects(st);
    if (cfg->first_seq > 1) {
        st->first_seq = cfg->first_seq;
        st->last_seq = st->visible_seq = cfg->first_seq - 1;
    }
    return ERR_OK;
}

void stream_init_blank(struct stream *st, const uint8_t secret[16], const struct stream_hooks *hooks) {
    must(st && secret);
    *st = (struct stream){.blank = true, .recovering = true};
    set_up(st, secret, 0, hooks);
}

void stream_deinit(struct stream *st) {
    must(st);
    stream_pages_deinit(st);
    index_deinit(&st->index);
    subjects_deinit(&st->subjects);
    dedupe_deinit(&st->dedupe);
    free(st->pages.gone);
    st->pages = (struct stream_pages){0};
    stream_conf_deinit(&st->conf);
    free(st->last_id);
    st->last_id = NULL;
    st->last_id_len = st->last_id_cap = 0;
}

/* While a stream keeps a few messages of each subject, they are listed. */
void stream_list_subjects(struct stream *st) {
    must(st && !st->blank);
    enum { LISTED_MAX = 256 };
    struct subjects *s = &st->subjects;
    int64_t max = st->conf.c.max_msgs_per_subject;
    bool listed = max > 1 && max <= LISTED_MAX;
    if (listed == s->listed) return;
    if (!listed) {
        subjects_unlist(s);
        return;
    }
    uint32_t at = 0, id;
    while ((id = subjects_next(s, SPAN_EMPTY, &at)) != SUBJECT_NONE) {
        subjects_touch(s, id);
        subjects_at(s, id)->count = 0;
    }
    s->listed = true;
    for (uint64_t seq = index_next(&st->index, 1, UINT64_MAX); seq;
         seq = index_next(&st->index, seq + 1, UINT64_MAX)) {
        id = index_get(&st->index, seq)->subject;
        if (subjects_list_reserve(s, id) != ERR_OK) subjects_unlist(s); /* they are searched for then */
        subjects_put(s, id, seq);
    }
}

enum mr_status stream_update(struct stream *st, const struct mr_stream_config *cfg, int64_t now) {
    must(st && cfg && !st->blank);
    struct mr_stream_config want = *cfg;
    want.name = st->conf.c.name;
    want.storage = st->conf.c.storage;
    want.first_seq = st->conf.c.first_seq;
    struct stream_conf conf;
    enum err e = stream_conf_copy(&conf, &want);
    if (e != ERR_OK) return e == ERR_NOMEM ? MR_NOMEM : MR_INVAL;
    stream_conf_deinit(&st->conf);
    st->conf = conf;
    st->pages.changed = true;
    dedupe_set_window(&st->dedupe, conf.c.duplicate_window_ns, now);
    stream_limit(st, SUBJECT_NONE);
    stream_limit_subjects(st);
    stream_list_subjects(st);
    stream_expire(st, now, SIZE_MAX);
    return MR_OK;
}

/* ------------------------------------------------------------------------------------------------ sizes */

uint64_t stream_msg_size(enum mr_storage storage, size_t subject, size_t hdr, size_t payload) {
    must(subject <= SIZE_MAX / 4);
    must(hdr <= SIZE_MAX / 4 && payload <= SIZE_MAX / 4);
    uint64_t body = (uint64_t)subject + hdr + payload;
    if (storage == MR_MEMORY) return body + SIZE_MEMORY;
    return body + SIZE_FILE + (hdr ? SIZE_FILE_HDR : 0);
}

uint64_t stream_entry_size(const struct stream *st, const struct index_entry *e) {
    size_t hdr = e->size & INDEX_HAS_HDR ? 1 : 0, body = e->size & ~(uint32_t)INDEX_HAS_HDR;
    must(body >= hdr);
    return stream_msg_size(st->conf.c.storage, 0, hdr, body - hdr);
}

/* ------------------------------------------------------------------------------------------------ one in,
 * one out */

uint64_t stream_find_same(const struct stream *st, uint32_t id, uint64_t from) {
    const struct subject *s = subjects_at(&st->subjects, id);
    must(s->count > 0);
    if (st->subjects.listed) return subjects_seq_from(&st->subjects, id, from);
    if (from > s->last) return 0;
    if (from <= s->first && s->exact) return s->first;
    return index_find(&st->index, id, from > s->first ? from : s->first, s->last);
}

uint64_t stream_find_same_back(const struct stream *st, uint32_t id, uint64_t to) {
    const struct subject *s = subjects_at(&st->subjects, id);
    must(s->count > 0);
    if (st->subjects.listed) return subjects_seq_to(&st->subjects, id, to);
    if (to >= s->last) return s->last;
    return to < s->first || s->count == 1 ? 0 : index_find_back(&st->index, id, s->first, to);
}

uint64_t stream_first_same(struct stream *st, uint32_t id) {
    struct subject *s = subjects_at(&st->subjects, id);
    must(s->count > 0);
    if (s->exact) return s->first;
    uint64_t first = index_find(&st->index, id, s->first, s->last);
    must(first || st->pages.lost);
    if (!first) return 0;
    subjects_set_first(&st->subjects, id, first);
    return first;
}

uint64_t stream_next_same(const struct stream *st, uint64_t seq) {
    const struct index_entry *e = index_get(&st->index, seq);
    must(e);
    return e->subject == SUBJECT_NONE ? 0 : stream_find_same(st, e->subject, seq + 1);
}

uint64_t stream_prev_same(const struct stream *st, uint64_t seq) {
    const struct index_entry *e = index_get(&st->index, seq);
    must(e && seq > 0);
    return e->subject == SUBJECT_NONE ? 0 : stream_find_same_back(st, e->subject, seq - 1);
}

uint32_t stream_insert(struct stream *st, const struct stream_put *p) {
    must(p->seq > 0);
    must(p->seq <= st->last_seq);
    uint32_t id = SUBJECT_NONE;
    enum err e = subjects_add(&st->subjects, p->subject, &id);
    must(e == ERR_OK);
    size_t body = p->subject.n + p->hdr_size + p->payload_size;
    must(body < INDEX_BODY_MAX && p->loc != 0);
    struct index_entry entry = {.loc = p->loc, .ts = p->ts, .subject = id, .size = (uint32_t)body};
    if (p->hdr_size) entry.size |= INDEX_HAS_HDR;
    index_set(&st->index, p->seq, &entry);
    st->pages.changed = true;
    subjects_put(&st->subjects, id, p->seq);
    st->msgs++;
    st->bytes += stream_entry_size(st, &entry);
    if (st->msgs == 1 || p->seq < st->first_seq) {
        st->first_seq = p->seq;
        st->first_ts = p->ts;
    }
    must(st->msgs == st->index.count);
    return id;
}

static void move_first(struct stream *st) {
    must(st->first_seq <= st->last_seq);
    uint64_t first = st->msgs ? index_next(&st->index, st->first_seq + 1, st->last_seq) : 0;
    must((first != 0) == (st->msgs != 0));
    st->first_seq = first ? first : st->last_seq + 1;
    st->first_ts = first ? index_get(&st->index, first)->ts : 0;
}

static void unlink_same(struct stream *st, uint32_t id, uint64_t seq) {
    struct subject *s = subjects_at(&st->subjects, id);
    must(s->count > 0);
    if (!subjects_take(&st->subjects, id, seq)) {
        uint64_t last = index_find_back(&st->index, id, s->first, seq - 1);
        must(last || st->pages.lost);
        subjects_set_last(&st->subjects, id, last ? last : s->first);
    }
    if (s->count == 0) subjects_drop(&st->subjects, id);
}

void stream_remove(struct stream *st, uint64_t seq, enum removed_why why) {
    const struct index_entry *e = index_get(&st->index, seq);
    must(e && st->msgs > 0);
    uint32_t id = e->subject;
    bool lost = id == SUBJECT_NONE; /* a page could not be had, and this stands in for what it said */
    struct stream_removed r = {
        seq, lost ? 0 : e->loc, e->ts, id, e->size & ~(uint32_t)INDEX_HAS_HDR, lost ? REMOVED_LOST : why};
    uint64_t size = stream_entry_size(st, e);
    st->on_removed(st->ctx, st, &r);
    must(st->bytes >= size);
    st->pages.changed = true;
    index_clear(&st->index, seq);
    if (id != SUBJECT_NONE) unlink_same(st, id, seq);
    st->msgs--;
    st->bytes -= size;
    if (seq == st->first_seq) move_first(st);
}

/* ------------------------------------------------------------------------------------------------ appending
 */

enum err stream_reserve_id(struct stream *st, size_t n) {
    must(st);
    must(st->last_id_len <= st->last_id_cap);
    if (n <= st->last_id_cap) return ERR_OK;
    size_t cap = st->last_id_cap ? st->last_id_cap : 32;
    while (cap < n) cap *= 2;
    uint8_t *p = realloc(st->last_id, cap);
    if (!p) return ERR_NOMEM;
    st->last_id = p;
    st->last_id_cap = cap;
    return ERR_OK;
}

enum err stream_reserve(struct stream *st, uint64_t seq, struct span subject, struct span msg_id) {
    must(seq > 0);
    must(subject.n > 0);
    enum err e = index_reserve(&st->index, seq);
    if (e == ERR_OK) e = subjects_reserve(&st->subjects, subject);
    if (e == ERR_OK && msg_id.n && !st->recovering) e = dedupe_reserve(&st->dedupe);
    if (e == ERR_OK) e = stream_reserve_id(st, msg_id.n);
    return e;
}

void stream_set_last_id(struct stream *st, struct span id) {
    must(id.p || id.n == 0);
    must(id.n <= st->last_id_cap);
    st->pages.changed = true;
    if (id.n) memcpy(st->last_id, id.p, id.n);
    st->last_id_len = id.n;
}

uint32_t stream_append(struct stream *st, const struct stream_put *p) {
    must(st->blank || st->last_seq + 1 >= st->first_seq);
    must(p->seq > st->last_seq);
    st->last_seq = p->seq;
    uint32_t id = stream_insert(st, p);
    if (p->ts > st->last_ts) st->last_ts = p->ts;
    stream_set_last_id(st, p->msg_id);
    if (p->msg_id.n && !st->recovering) dedupe_put(&st->dedupe, st->admitted, p->seq, p->ts);
    return id;
}

uint32_t stream_applied(struct stream *st, const struct stream_put *p) {
    must(st && p && !st->blank);
    must(p->seq == st->last_seq + 1);
    uint32_t id = stream_append(st, p);
    stream_limit(st, id);
    if (p->rollup != MR_ROLLUP_NONE) stream_rollup(st, id, p);
    return id;
}

void stream_visible(struct stream *st, uint64_t seq) {
    must(st);
    must(seq <= st->last_seq);
    if (seq > st->visible_seq) st->visible_seq = seq;
}
