/* consumer_count.c - how many messages match from next_seq to the watermark: exact, and counted only when
 * somebody asks. Without a filter the index counts pages. With one the subjects know how many there are in
 * the whole stream, and what lies on the nearer side of the place where the count begins is walked over: of a
 * single subject from page to page by their filters, else message by message. */
#include "base/must.h"
#include "stream/consumer_core.h"
#include "stream/stream_core.h"
#include "subject/subject.h"

/* The only filter, if it names one subject. */
static struct span single(const struct consumer *c) {
    must(c->conf.block);
    if (c->conf.c.filters_count != 1) return SPAN_EMPTY;
    struct span f = span_of_bytes(c->conf.c.filters[0]);
    return subject_has_wildcard(f) ? SPAN_EMPTY : f;
}

static uint64_t count_subject(struct consumer *c, struct span subject, uint64_t from, uint64_t to) {
    struct stream *st = c->st;
    uint32_t id = subjects_find(&st->subjects, subject);
    must(from <= to);
    uint64_t n = 0;
    if (id == SUBJECT_NONE) return 0;
    for (uint64_t seq = stream_find_same(st, id, from); seq && seq <= to; n++)
        seq = stream_find_same(st, id, seq + 1);
    return n;
}

static uint64_t walk(struct consumer *c, uint64_t from, uint64_t to) {
    must(from > 0);
    if (from > to) return 0;
    struct span subject = single(c);
    if (subject.n && c->last_per_subject_until < from) return count_subject(c, subject, from, to);
    const struct index *x = &c->st->index;
    uint64_t n = 0;
    for (uint64_t seq = index_next(x, from, to); seq; seq = index_next(x, seq + 1, to))
        n += consumer_wants(c, seq);
    return n;
}

/* In the whole stream. */
static uint64_t total(struct consumer *c) {
    must(c->last_per_subject_until == 0);
    struct subjects *s = &c->st->subjects;
    uint64_t n = 0;
    uint32_t at = 0, id;
    while ((id = subjects_next(s, single(c), &at)) != SUBJECT_NONE)
        if (consumer_matches(c, id)) n += subjects_at(s, id)->count;
    must(n <= c->st->msgs);
    return n;
}

static uint64_t count(struct consumer *c, uint64_t from, uint64_t to) {
    const struct stream *st = c->st;
    must(from <= to);
    if (st->msgs == 0) return 0;
    bool all = c->conf.c.filters_count == 0;
    if (all && c->last_per_subject_until < from) return index_count(&st->index, from, to);
    if (from < st->first_seq) from = st->first_seq;
    bool before = !all && !c->last_per_subject_until && to == st->last_seq && !st->pages.lost;
    if (!before || from - st->first_seq > to - from) return walk(c, from, to);
    uint64_t gone = walk(c, st->first_seq, from - 1), n = total(c);
    must(gone <= n || st->pages.lost);
    return gone <= n ? n - gone : 0;
}

void consumer_count(struct consumer *c) {
    must(c->next_seq > 0);
    must(c->st->visible_seq <= c->st->last_seq);
    uint64_t to = c->st->visible_seq, from = c->counted_seq + 1;
    if (from < c->next_seq) from = c->next_seq;
    if (from > to) return;
    c->num_pending += count(c, from, to);
    c->counted_seq = to;
}
