/* query.c - questions about a stream's messages, answered from the index and the subjects. */
#include "base/must.h"
#include "stream/stream.h"
#include "stream/stream_core.h"
#include "subject/subject.h"

static uint64_t end_of(const struct stream *st, bool visible_only) {
    must(st);
    return visible_only && st->visible_seq < st->last_seq ? st->visible_seq : st->last_seq;
}

bool stream_has(const struct stream *st, uint64_t seq, bool visible_only) {
    must(st);
    return seq > 0 && seq <= end_of(st, visible_only) && index_has(&st->index, seq);
}

const struct index_entry *stream_get(const struct stream *st, uint64_t seq, bool visible_only) {
    must(st);
    if (seq == 0 || seq > end_of(st, visible_only)) return NULL;
    return index_get(&st->index, seq);
}

/* ------------------------------------------------------------------------------------------------ next */

static uint64_t next_literal(struct stream *st, uint64_t from, struct span subject) {
    must(subject.n > 0);
    uint32_t id = subjects_find(&st->subjects, subject);
    if (id == SUBJECT_NONE) return 0;
    if (from <= subjects_at(&st->subjects, id)->first) return stream_first_same(st, id);
    return stream_find_same(st, id, from);
}

bool memo_match(struct memo *m, const struct stream *st, uint32_t id, struct span filter) {
    must(m && st);
    if (id == SUBJECT_NONE) return false;
    uint32_t at = id % MEMO;
    if (m->id[at] != id + 1) {
        m->id[at] = id + 1;
        m->match[at] = subject_match(subjects_name(&st->subjects, id), filter);
    }
    return m->match[at];
}

static uint64_t next_wildcard(const struct stream *st, uint64_t from, uint64_t to, struct span filter) {
    must(filter.n > 0);
    struct memo m = {0};
    uint64_t seq = index_next(&st->index, from, to);
    while (seq && !memo_match(&m, st, index_get(&st->index, seq)->subject, filter))
        seq = index_next(&st->index, seq + 1, to);
    return seq;
}

uint64_t stream_seq_next(struct stream *st, uint64_t from, struct span filter, bool visible_only) {
    must(filter.p || filter.n == 0);
    must(st);
    uint64_t to = end_of(st, visible_only), seq;
    if (from < st->first_seq) from = st->first_seq;
    if (filter.n == 0 || span_eq(filter, SPAN_LIT(">")))
        seq = index_next(&st->index, from, to);
    else if (subject_has_wildcard(filter))
        seq = next_wildcard(st, from, to, filter);
    else
        seq = next_literal(st, from, filter);
    return seq <= to ? seq : 0;
}

/* ------------------------------------------------------------------------------------------------ last */

uint64_t stream_seq_last(struct stream *st, struct span filter, bool visible_only) {
    must(filter.p || filter.n == 0);
    must(st);
    uint64_t to = end_of(st, visible_only), found = 0;
    if (filter.n == 0 || span_eq(filter, SPAN_LIT(">"))) return index_before(&st->index, st->first_seq, to);
    uint32_t at = 0, id;
    while ((id = subjects_next(&st->subjects, filter, &at)) != SUBJECT_NONE) {
        uint64_t seq = subjects_at(&st->subjects, id)->last;
        if (seq <= found) continue;
        if (seq > to) seq = stream_find_same_back(st, id, to);
        if (seq > found) found = seq;
    }
    return found;
}

uint64_t stream_seq_at(const struct stream *st, int64_t ts) {
    must(st);
    uint64_t seq = index_seq_at(&st->index, ts);
    return seq ? seq : st->last_seq + 1;
}

/* ------------------------------------------------------------------------------------------------ lists */

void stream_subjects(struct stream *st, struct span filter,
                     bool (*fn)(void *ctx, struct mr_bytes subject, uint64_t msgs, uint64_t first,
                                uint64_t last),
                     void *ctx) {
    must(st && fn);
    uint32_t at = 0, id;
    while ((id = subjects_next(&st->subjects, filter, &at)) != SUBJECT_NONE) {
        const struct subject *s = subjects_at(&st->subjects, id);
        must(s->count > 0);
        uint64_t first = stream_first_same(st, id);
        if (!first) first = s->first;
        if (!fn(ctx, bytes_of_span(subjects_name(&st->subjects, id)), s->count, first, s->last)) return;
    }
}

void stream_deleted(const struct stream *st, bool (*fn)(void *ctx, uint64_t seq), void *ctx) {
    must(st && fn);
    if (st->msgs == 0) return;
    for (uint64_t seq = st->first_seq; seq <= st->last_seq;) {
        seq += index_run(&st->index, seq, st->last_seq);
        uint64_t live = index_next(&st->index, seq, st->last_seq);
        for (uint64_t end = live ? live : st->last_seq + 1; seq < end; seq++) {
            if (!fn(ctx, seq)) return;
        }
    }
}

void stream_state(const struct stream *st, struct mr_stream_state *out) {
    must(st && out);
    must(st->msgs == 0 || st->last_seq - st->first_seq + 1 >= st->msgs);
    *out = (struct mr_stream_state){
        .msgs = st->msgs,
        .bytes = st->bytes,
        .first_seq = st->first_seq,
        .last_seq = st->last_seq,
        .num_deleted = st->msgs ? st->last_seq - st->first_seq + 1 - st->msgs : 0,
        .num_subjects = st->subjects.count,
        .lost_msgs = st->lost_msgs,
        .lost_bytes = st->lost_bytes,
        .visible_seq = st->visible_seq,
        .first_ts = st->first_ts,
        .last_ts = st->last_ts,
        .created = st->created,
    };
}
