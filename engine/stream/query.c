/* query.c - questions about a stream's messages, answered from the index and the subjects. */
#include "base/must.h"
#include "stream/stream.h"
#include "stream/stream_core.h"
#include "subject/subject.h"

static uint64_t end_of(const struct stream *st, bool visible_only) {
    must(st);
    return visible_only && st->visible_seq < st->last_seq ? st->visible_seq : st->last_seq;
}

const struct index_entry *stream_get(const struct stream *st, uint64_t seq, bool visible_only) {
    must(st);
    if (seq == 0 || seq > end_of(st, visible_only)) return NULL;
    return index_get(&st->index, seq);
}

/* ------------------------------------------------------------------------------------------------ next */

/* Along the subject's list, from whichever end is nearer to `from`. */
static uint64_t next_on_list(struct stream *st, const struct subject *s, uint64_t from) {
    must(s->count > 0);
    must(s->first <= s->last);
    if (from <= s->first) return s->first;
    if (from > s->last) return 0;
    uint64_t seq;
    if (from - s->first < s->last - from) {
        for (seq = s->first; seq < from;) seq = stream_next_same(st, seq);
        return seq;
    }
    uint64_t before = s->last;
    for (seq = before; before >= from;) {
        seq = before;
        before = stream_prev_same(st, seq);
    }
    return seq;
}

/* Along the index, until a message of this subject. */
static uint64_t next_in_index(const struct stream *st, uint32_t id, uint64_t from, uint64_t steps) {
    must(id != SUBJECT_NONE);
    uint64_t seq = index_next(&st->index, from, st->last_seq);
    while (seq && steps-- && index_get(&st->index, seq)->subject != id)
        seq = index_next(&st->index, seq + 1, st->last_seq);
    return seq && index_get(&st->index, seq)->subject == id ? seq : 0;
}

static uint64_t next_literal(struct stream *st, uint64_t from, struct span subject) {
    must(subject.n > 0);
    enum { NEAR = 64 };
    uint32_t id = subjects_find(&st->subjects, subject);
    if (id == SUBJECT_NONE) return 0;
    const struct subject *s = subjects_at(&st->subjects, id);
    if (from > s->first && from <= s->last) {
        uint64_t near = next_in_index(st, id, from, NEAR);
        if (near) return near;
    }
    return next_on_list(st, s, from);
}

/* Remembers for a few subjects whether they match, so that a scan does not compare each message. */
struct memo {
    uint32_t id[64]; /* + 1 */
    bool match[64];
};

static bool memo_match(struct memo *m, const struct stream *st, uint32_t id, struct span filter) {
    must(id != SUBJECT_NONE);
    uint32_t at = id % 64;
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
        while (seq > to) seq = stream_prev_same(st, seq);
        if (seq > found) found = seq;
    }
    return found;
}

uint64_t stream_seq_at(const struct stream *st, int64_t ts) {
    must(st);
    uint64_t low = st->first_seq, high = st->last_seq + 1, found = st->last_seq + 1;
    while (low < high) {
        uint64_t mid = low + (high - low) / 2;
        uint64_t seq = index_next(&st->index, mid, high - 1);
        if (seq == 0) {
            high = mid;
        } else if (index_get(&st->index, seq)->ts >= ts) {
            found = seq;
            high = mid;
        } else {
            low = seq + 1;
        }
    }
    return found;
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
        if (!fn(ctx, bytes_of_span(subjects_name(&st->subjects, id)), s->count, s->first, s->last)) return;
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
