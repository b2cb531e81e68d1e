#include "stream/sound.h"

#include <stdlib.h>

#include "base/must.h"
#include "stream/consumer_core.h"

/* ------------------------------------------------------------------------------------------------ stream */

struct seen {
    uint64_t first, last;
    uint32_t count;
};

static void check_subject(const struct stream *st, uint32_t id, const struct seen *n) {
    const struct subject *s = subjects_at(&st->subjects, id);
    if (s->size == 0) {
        must(n->count == 0);
        return;
    }
    must(s->count == n->count && s->last == n->last);
    must(s->exact ? s->first == n->first : s->first <= n->first);
    must(s->exact || (s->count > 1 && !st->subjects.listed));
}

static void check_entry(const struct stream *st, uint32_t id, uint64_t seq, struct seen *n) {
    must(seq > n->last);
    if (n->last && st->subjects.listed) must(subjects_seq_from(&st->subjects, id, n->last + 1) == seq);
    if (n->count++ == 0) n->first = seq;
    n->last = seq;
}

static void check_bounds(const struct stream *st) {
    must(st->first_seq <= st->last_seq + 1);
    must(st->visible_seq <= st->last_seq);
    must(st->msgs == st->index.count);
    must(index_next(&st->index, 1, UINT64_MAX) == (st->msgs ? st->first_seq : 0));
    must(index_before(&st->index, 1, UINT64_MAX) <= st->last_seq);
    must(st->dedupe.len <= st->dedupe.cap);
}

bool stream_is_sound(const struct stream *st) {
    must(st);
    check_bounds(st);
    uint64_t bytes = 0, subjects = 0;
    struct seen *seen = calloc(st->subjects.items_len + 1u, sizeof *seen);
    if (!seen) return true;
    for (uint64_t seq = index_next(&st->index, 1, UINT64_MAX); seq;
         seq = index_next(&st->index, seq + 1, UINT64_MAX)) {
        const struct index_entry *e = index_get(&st->index, seq);
        if (st->pages.lost) { /* a page that cannot be had: not settled yet */
            free(seen);
            return true;
        }
        must(e && e->subject < st->subjects.items_len);
        bytes += stream_entry_size(st, e);
        check_entry(st, e->subject, seq, &seen[e->subject]);
    }
    for (uint32_t id = 0; id < st->subjects.items_len; id++) {
        check_subject(st, id, &seen[id]);
        subjects += subjects_at(&st->subjects, id)->size != 0;
    }
    free(seen);
    must(index_count(&st->index, 1, UINT64_MAX) == st->msgs);
    must(bytes == st->bytes);
    must(subjects == st->subjects.count);
    return true;
}

/* ------------------------------------------------------------------------------------------------ consumer
 */

static uint32_t check_order(const struct consumer *c) {
    const struct pending_set *s = &c->pending;
    uint32_t n = 0, older = PENDING_NONE;
    for (uint32_t i = s->order.head; i != PENDING_NONE; i = pending_at(s, i)->newer) {
        const struct pending *p = pending_at(s, i);
        must(p->where != PENDING_DEAD);
        must(p->older == older);
        must(older == PENDING_NONE || pending_at(s, older)->seq < p->seq);
        must(pending_find(s, p->seq) == i);
        must(p->seq < c->next_seq);
        must(p->cseq <= c->delivered_cseq);
        older = i;
        n++;
    }
    must(s->order.tail == older);
    return n;
}

static uint32_t check_place(const struct pending_set *s, const struct pending_list *l,
                            enum pending_where where) {
    uint32_t n = 0, before = PENDING_NONE;
    for (uint32_t i = l->head; i != PENDING_NONE; i = pending_at(s, i)->after) {
        must(pending_at(s, i)->where == where);
        must(pending_at(s, i)->before == before);
        must(where != PENDING_WAIT || before == PENDING_NONE ||
             pending_at(s, before)->ts <= pending_at(s, i)->ts);
        before = i;
        n++;
    }
    must(l->tail == before);
    return n;
}

static void check_heap(const struct pending_set *s) {
    for (uint32_t at = 0; at < s->heap_len; at++) {
        must(pending_at(s, s->heap[at].item)->where == PENDING_HEAP);
        must(pending_at(s, s->heap[at].item)->before == at);
        must(at == 0 || s->heap[(at - 1) / 2].deadline <= s->heap[at].deadline);
    }
}

static void check_dirty(const struct pending_set *s) {
    uint32_t n = 0;
    for (uint32_t i = s->dirty.head; i != PENDING_NONE; i = pending_at(s, i)->dirty_next) {
        must(pending_at(s, i)->dirty);
        n++;
    }
    must(n == s->dirty_count);
}

static void check_count(struct consumer *c) {
    if (c->st->pages.lost) return; /* a page that cannot be had: not settled yet */
    consumer_count(c);
    uint64_t n = 0, to = c->st->visible_seq;
    for (uint64_t seq = index_next(&c->st->index, c->next_seq, to); seq;
         seq = index_next(&c->st->index, seq + 1, to))
        n += consumer_wants(c, seq);
    must(n == c->num_pending);
}

bool consumer_is_sound(struct consumer *c) {
    must(c && c->st);
    must(c->next_seq > 0);
    must(c->floor_cseq <= c->delivered_cseq);
    const struct pending_set *s = &c->pending;
    must(check_order(c) == s->count);
    must(check_place(s, &s->gone, PENDING_DEAD) == s->dead);
    must(check_place(s, &s->queue, PENDING_QUEUE) == s->queued);
    must(check_place(s, &s->wait, PENDING_WAIT) + s->queued + s->heap_len <= s->count);
    check_heap(s);
    check_dirty(s);
    check_count(c);
    return true;
}
