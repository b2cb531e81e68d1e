/* subjects_seqs.c - which messages a subject has: count, first, last, and while `listed` those in between.
 * What can fail is subjects_list_reserve(), before anything changed. */
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "stream/subjects.h"

enum { LIST_MIN = 1 };

static struct subject_list **list_slot(const struct subjects *s, uint32_t id) {
    must(id < s->items_len);
    const struct subject_chunk *c = &s->chunks[id / SUBJECT_CHUNK];
    return c->lists ? &c->lists[id % SUBJECT_CHUNK] : NULL;
}

static struct subject_list *list_of(const struct subjects *s, uint32_t id) {
    must(s->listed);
    struct subject_list **l = list_slot(s, id);
    return l ? *l : NULL;
}

void subjects_unlist(struct subjects *s) {
    must(s);
    s->listed = false;
    for (uint32_t i = 0; i < s->chunks_len; i++) {
        struct subject_chunk *c = &s->chunks[i];
        if (c->lists && s->owner) subjects_touch(s, i * SUBJECT_CHUNK);
        for (uint32_t k = 0; c->lists && k < SUBJECT_CHUNK; k++) free(c->lists[k]);
        free(c->lists);
        c->lists = NULL;
    }
}

enum err subjects_list_reserve(struct subjects *s, uint32_t id) {
    must(id < s->items_len);
    if (!s->listed || subjects_at(s, id)->count < 2) return ERR_OK;
    struct subject_chunk *c = &s->chunks[id / SUBJECT_CHUNK];
    if (!c->lists) c->lists = calloc(SUBJECT_CHUNK, sizeof c->lists[0]);
    if (!c->lists) return ERR_NOMEM;
    struct subject_list **l = &c->lists[id % SUBJECT_CHUNK];
    if (*l && (*l)->len < (*l)->cap) return ERR_OK;
    uint32_t cap = *l ? (*l)->cap + (*l)->cap / 2 + 1 : LIST_MIN;
    struct subject_list *to = realloc(*l, sizeof *to + cap * sizeof to->seq[0]);
    if (!to) return ERR_NOMEM;
    if (!*l) to->from = to->len = 0;
    to->cap = cap;
    *l = to;
    return ERR_OK;
}

/* Position of the first sequence >= seq. */
static uint32_t list_at(const struct subject_list *l, uint64_t seq) {
    must(l->from + l->len <= l->cap);
    uint32_t low = l->from, high = l->from + l->len;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (l->seq[mid] < seq)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static void list_add(struct subject_list *l, uint64_t seq) {
    must(l && l->len < l->cap);
    if (l->from + l->len == l->cap) {
        memmove(l->seq, l->seq + l->from, l->len * sizeof l->seq[0]);
        l->from = 0;
    }
    uint32_t at = list_at(l, seq), end = l->from + l->len;
    must(at == end || l->seq[at] != seq);
    memmove(l->seq + at + 1, l->seq + at, (end - at) * sizeof l->seq[0]);
    l->seq[at] = seq;
    l->len++;
}

static void list_del(struct subject_list *l, uint64_t seq) {
    must(l && l->len > 0);
    uint32_t at = list_at(l, seq), end = l->from + l->len;
    must(at < end && l->seq[at] == seq);
    if (at == l->from)
        l->from++;
    else
        memmove(l->seq + at, l->seq + at + 1, (end - at - 1) * sizeof l->seq[0]);
    if (--l->len == 0) l->from = 0;
}

static void list_forget(struct subjects *s, uint32_t id) {
    struct subject_list **l = list_slot(s, id);
    must(subjects_at(s, id)->count <= 1);
    if (!l || !*l) return;
    must((*l)->len == 0);
    free(*l);
    *l = NULL;
}

/* ------------------------------------------------------------------------------------------------ one more,
 * one less */

void subjects_put(struct subjects *s, uint32_t id, uint64_t seq) {
    must(seq > 0);
    struct subject *t = subjects_at(s, id);
    must(t->size > 0);
    subjects_touch(s, id);
    uint32_t count = t->count++;
    if (count == 0) {
        t->first = t->last = seq;
        t->exact = true;
        return;
    }
    uint64_t between = seq;
    if (seq > t->last) {
        between = t->last;
        t->last = seq;
    } else if (seq <= t->first) {
        between = t->first;
        t->first = seq;
        t->exact = true;
    }
    if (s->listed && count >= 2) list_add(list_of(s, id), between);
}

bool subjects_take(struct subjects *s, uint32_t id, uint64_t seq) {
    struct subject *t = subjects_at(s, id);
    must(t->count > 0);
    must(seq >= t->first && seq <= t->last);
    subjects_touch(s, id);
    if (--t->count == 0) {
        if (s->listed) list_forget(s, id);
        return true;
    }
    if (s->listed) {
        struct subject_list *l = list_of(s, id);
        must(t->exact && (t->count == 1 || l));
        uint64_t gone = seq;
        if (seq == t->first)
            gone = t->first = t->count == 1 ? t->last : l->seq[l->from];
        else if (seq == t->last)
            gone = t->last = t->count == 1 ? t->first : l->seq[l->from + l->len - 1];
        if (t->count >= 2) list_del(l, gone);
        if (t->count <= 1) list_forget(s, id);
        return true;
    }
    if (seq == t->last) return false;
    if (t->count == 1) {
        t->first = t->last;
        t->exact = true;
    } else if (seq == t->first) {
        t->first = seq + 1;
        t->exact = false;
    }
    return true;
}

void subjects_set_first(struct subjects *s, uint32_t id, uint64_t seq) {
    struct subject *t = subjects_at(s, id);
    must(t->count > 0 && !s->listed);
    must(seq >= t->first && seq <= t->last);
    subjects_touch(s, id);
    t->first = seq;
    t->exact = true;
}

void subjects_set_last(struct subjects *s, uint32_t id, uint64_t seq) {
    struct subject *t = subjects_at(s, id);
    must(t->count > 0 && !s->listed);
    must(seq >= t->first && seq < t->last);
    subjects_touch(s, id);
    t->last = seq;
    if (t->count > 1) return;
    t->first = seq;
    t->exact = true;
}

/* ------------------------------------------------------------------------------------------------ looking
 * up */

uint64_t subjects_seq_from(const struct subjects *s, uint32_t id, uint64_t seq) {
    const struct subject *t = subjects_at(s, id);
    must(s->listed && t->count > 0);
    must(t->exact);
    if (seq <= t->first) return t->first;
    if (seq > t->last) return 0;
    const struct subject_list *l = t->count > 2 ? list_of(s, id) : NULL;
    if (!l) return t->last;
    uint32_t at = list_at(l, seq);
    return at < l->from + l->len ? l->seq[at] : t->last;
}

uint64_t subjects_seq_to(const struct subjects *s, uint32_t id, uint64_t seq) {
    const struct subject *t = subjects_at(s, id);
    must(s->listed && t->count > 0);
    must(t->exact);
    if (seq >= t->last) return t->last;
    if (seq < t->first) return 0;
    const struct subject_list *l = t->count > 2 ? list_of(s, id) : NULL;
    if (!l) return t->first;
    uint32_t at = list_at(l, seq + 1);
    return at > l->from ? l->seq[at - 1] : t->first;
}
