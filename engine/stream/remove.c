/* remove.c - how messages leave a stream: limits, age, deletes, purges, rollups. Each goes through
 * stream_remove(). */
#include "base/must.h"
#include "stream/sound.h"
#include "stream/stream.h"
#include "stream/stream_core.h"
#include "subject/subject.h"

static bool is_all(struct span filter) { return filter.n == 0 || span_eq(filter, SPAN_LIT(">")); }

static void limit_subject(struct stream *st, uint32_t id) {
    must(id != SUBJECT_NONE);
    int64_t max = st->conf.c.max_msgs_per_subject;
    if (max <= 0) return;
    const struct subject *s = subjects_at(&st->subjects, id);
    for (uint64_t first; s->count > (uint64_t)max && (first = stream_first_same(st, id)) != 0;) {
        stream_remove(st, first, REMOVED_LIMIT);
        if (st->pages.lost) stream_settle_lost(st);
    }
}

void stream_limit(struct stream *st, uint32_t subject) {
    must(st && !st->blank);
    const struct mr_stream_config *c = &st->conf.c;
    if (st->pages.lost) stream_settle_lost(st); /* what subjects say of lost messages does not hold */
    if (subject != SUBJECT_NONE) limit_subject(st, subject);
    if (c->discard != MR_DISCARD_OLD) return;
    while (c->max_msgs > 0 && st->msgs > (uint64_t)c->max_msgs)
        stream_remove(st, st->first_seq, REMOVED_LIMIT);
    while (c->max_bytes > 0 && st->bytes > (uint64_t)c->max_bytes && st->msgs)
        stream_remove(st, st->first_seq, REMOVED_LIMIT);
}

void stream_limit_subjects(struct stream *st) {
    must(st && !st->blank);
    uint64_t max = (uint64_t)st->conf.c.max_msgs_per_subject, over = 0;
    if (st->conf.c.max_msgs_per_subject <= 0) return;
    uint32_t at = 0, id;
    while ((id = subjects_next(&st->subjects, SPAN_EMPTY, &at)) != SUBJECT_NONE) {
        uint64_t n = subjects_at(&st->subjects, id)->count;
        if (n > max) over += n - max;
    }
    /* One walk for all subjects, from the oldest message on. */
    for (uint64_t seq = st->first_seq; over; seq++) {
        seq = index_next(&st->index, seq, st->last_seq);
        must(seq || st->pages.lost);
        if (seq == 0) break;
        uint32_t id_of = index_get(&st->index, seq)->subject;
        if (id_of == SUBJECT_NONE || subjects_at(&st->subjects, id_of)->count <= max) continue;
        stream_remove(st, seq, REMOVED_LIMIT);
        over--;
    }
}

size_t stream_expire(struct stream *st, int64_t now, size_t budget) {
    must(st->msgs == 0 || st->first_seq > 0);
    must(st);
    int64_t age = st->conf.c.max_age_ns;
    if (age <= 0) return 0;
    stream_settle_lost(st);
    size_t n = 0;
    for (; n < budget && st->msgs && st->first_ts <= now - age; n++)
        stream_remove(st, st->first_seq, REMOVED_AGE);
    return n;
}

int64_t stream_expires_at(const struct stream *st) {
    must(st);
    int64_t age = st->conf.c.max_age_ns;
    if (age <= 0 || st->msgs == 0 || st->first_ts > INT64_MAX - age) return INT64_MAX;
    return st->first_ts + age;
}

enum mr_status stream_may_delete(const struct stream *st, uint64_t seq) {
    must(st);
    if (st->conf.c.sealed) return MR_SEALED;
    if (st->conf.c.deny_delete) return MR_DENIED;
    return stream_has(st, seq, false) ? MR_OK : MR_NONE;
}

void stream_delete(struct stream *st, uint64_t seq) {
    must(st && stream_has(st, seq, false));
    stream_remove(st, seq, REMOVED_DELETE);
}

/* ------------------------------------------------------------------------------------------------ purge */

static uint64_t matching(struct stream *st, struct span filter) {
    must(st);
    if (is_all(filter)) return st->msgs;
    uint64_t n = 0;
    uint32_t at = 0, id;
    while ((id = subjects_next(&st->subjects, filter, &at)) != SUBJECT_NONE)
        n += subjects_at(&st->subjects, id)->count;
    return n;
}

/* The sequence of the first of the last `keep` messages that match; there are more than keep. */
static uint64_t first_kept(struct stream *st, struct span filter, uint64_t keep) {
    must(st->msgs >= keep);
    must(keep > 0);
    uint64_t seq = st->last_seq + 1;
    bool all = is_all(filter);
    if (!all && !subject_has_wildcard(filter)) {
        seq = stream_seq_last(st, filter, false);
        while (seq && --keep) seq = stream_prev_same(st, seq);
        return seq ? seq : st->first_seq;
    }
    while (keep) {
        seq = index_before(&st->index, st->first_seq, seq - 1);
        must(seq || st->pages.lost);
        if (seq == 0) return st->first_seq;
        uint32_t id = index_get(&st->index, seq)->subject;
        if (all || (id != SUBJECT_NONE && subject_match(subjects_name(&st->subjects, id), filter))) keep--;
    }
    return seq;
}

enum mr_status stream_plan_purge(struct stream *st, struct span filter, uint64_t seq, uint64_t keep,
                                 struct stream_purge *p) {
    must(st && p);
    if (st->conf.c.sealed) return MR_SEALED;
    if (st->conf.c.deny_purge) return MR_DENIED;
    if (seq && keep) return MR_INVAL;
    *p = (struct stream_purge){is_all(filter) ? SPAN_EMPTY : filter, st->last_seq + 1};
    if (seq == 1) return MR_NONE;
    /* The next message gets seq, as in nats-server; but nobody can use up the sequences. */
    if (seq > MR_FIRST_SEQ_MAX && seq > st->last_seq) seq = st->last_seq + 1;
    if (seq) {
        p->below = seq;
        if (is_all(filter)) return seq >= st->first_seq ? MR_OK : MR_NONE;
    }
    uint64_t found = matching(st, filter);
    if (found <= keep && (keep || !is_all(filter))) return MR_NONE;
    if (keep) p->below = first_kept(st, filter, keep);
    return MR_OK;
}

static uint64_t purge_subject(struct stream *st, uint32_t id, uint64_t below) {
    must(id != SUBJECT_NONE);
    must(below > 0);
    uint64_t n = 0, seq = 0;
    for (uint32_t left = subjects_at(&st->subjects, id)->count; left; left--) {
        seq = stream_find_same(st, id, seq + 1);
        if (seq == 0 || seq >= below) break;
        stream_remove(st, seq, REMOVED_PURGE);
        n++;
        if (!st->pages.lost) continue;
        stream_settle_lost(st); /* the subject may be gone with it */
        break;
    }
    return n;
}

/* One walk for all subjects that match. */
static uint64_t purge_matching(struct stream *st, const struct stream_purge *p) {
    must(p->filter.n > 0 && p->below > 0);
    uint64_t n = 0, left = matching(st, p->filter), seq = st->first_seq;
    struct memo m = {0};
    for (; left && (seq = index_next(&st->index, seq, p->below - 1)) != 0; seq++) {
        if (!memo_match(&m, st, index_get(&st->index, seq)->subject, p->filter)) continue;
        stream_remove(st, seq, REMOVED_PURGE);
        n++;
        left--;
    }
    return n;
}

static uint64_t purge_all(struct stream *st, uint64_t below) {
    must(below > 0);
    must(st->first_seq <= st->last_seq + 1);
    uint64_t n = 0;
    for (; st->msgs && st->first_seq < below; n++) stream_remove(st, st->first_seq, REMOVED_PURGE);
    if (st->msgs) return n;
    if (below > st->last_seq + 1) {
        if (st->visible_seq == st->last_seq) st->visible_seq = below - 1;
        st->last_seq = below - 1;
    }
    if (below >= st->first_seq) st->first_seq = st->last_seq + 1;
    st->pages.changed = true;
    return n;
}

uint64_t stream_purge(struct stream *st, const struct stream_purge *p) {
    must(st && p);
    must(p->below > 0);
    if (st->pages.lost) stream_settle_lost(st);
    if (is_all(p->filter)) return purge_all(st, p->below);
    uint64_t n = 0;
    uint32_t id = SUBJECT_NONE;
    if (subject_has_wildcard(p->filter))
        n = purge_matching(st, p);
    else if ((id = subjects_find(&st->subjects, p->filter)) != SUBJECT_NONE)
        n = purge_subject(st, id, p->below);
    must_slow(stream_is_sound(st));
    return n;
}

/* matches nats-server: a rollup of a subject with wildcards in it takes away all that it matches as a
 * pattern; key-value clients purge many keys this way. */
void stream_rollup(struct stream *st, uint32_t id, const struct stream_put *p) {
    must(p->rollup != MR_ROLLUP_NONE);
    must(st->msgs > 0);
    if (st->pages.lost) stream_settle_lost(st);
    if (p->rollup == MR_ROLLUP_ALL)
        purge_all(st, st->last_seq);
    else if (!index_has(&st->index, st->last_seq))
        return;
    else if (subject_has_wildcard(p->subject))
        purge_matching(st, &(struct stream_purge){p->subject, st->last_seq});
    else
        purge_subject(st, id, st->last_seq);
}
