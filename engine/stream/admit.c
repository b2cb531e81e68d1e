/* admit.c - is a message taken? A decision on the stream's tail, in the order of nats-server 2.15.2. */
#include "base/must.h"
#include "stream/stream.h"
#include "stream/stream_core.h"

static enum mr_status expected(struct stream *st, const struct mr_msg *m, const struct mr_append_opts *o,
                               struct stream_verdict *v) {
    must(st && m && o && v);
    must(v->seq == 0);
    if (o->expect_last_subject_seq) {
        struct mr_bytes filter = o->last_subject_filter.n ? o->last_subject_filter : m->subject;
        v->seq = stream_seq_last(st, span_of_bytes(filter), false);
        if (v->seq != o->last_subject_seq) return MR_WRONG_LAST_SEQ;
    }
    if (o->expect_last_seq && o->last_seq != st->last_seq) {
        v->seq = st->last_seq;
        return MR_WRONG_LAST_SEQ;
    }
    return MR_OK;
}

static enum mr_status known_id(struct stream *st, const struct mr_append_opts *o, int64_t now,
                               struct stream_verdict *v) {
    must(st && o && v);
    must(v->last_id.n == 0);
    if (o->msg_id.n) {
        st->admitted = dedupe_hash(&st->dedupe, span_of_bytes(o->msg_id));
        v->seq = dedupe_find(&st->dedupe, st->admitted, now);
        if (v->seq) return MR_DUPLICATE;
    }
    struct span last = span_of(st->last_id, st->last_id_len);
    if (o->expect_last_msg_id.n && !span_eq(last, span_of_bytes(o->expect_last_msg_id))) {
        v->last_id = last;
        return MR_WRONG_LAST_ID;
    }
    return MR_OK;
}

/* Would replacing the subject's oldest message make enough room? */
static bool replaces(struct stream *st, uint32_t id, uint64_t size) {
    must(id != SUBJECT_NONE);
    uint64_t first = stream_first_same(st, id);
    const struct index_entry *e = first ? index_get(&st->index, first) : NULL;
    must(e || st->pages.lost);
    return e && stream_entry_size(st, e) >= size;
}

static enum mr_status discard_new(struct stream *st, const struct mr_msg *m, bool rollup) {
    must(st && m);
    must(m->subject.n > 0);
    const struct mr_stream_config *c = &st->conf.c;
    if (c->discard != MR_DISCARD_NEW) return MR_OK;
    uint32_t id = subjects_find(&st->subjects, span_of_bytes(m->subject));
    const struct subject *s = id == SUBJECT_NONE ? NULL : subjects_at(&st->subjects, id);
    bool full = s && c->max_msgs_per_subject > 0 && s->count >= (uint64_t)c->max_msgs_per_subject;
    if (full && c->discard_new_per_subject && !rollup) return MR_MAX_PER_SUBJECT;
    if (c->max_msgs > 0 && st->msgs >= (uint64_t)c->max_msgs && !full) return MR_MAX_MSGS;
    uint64_t size = stream_msg_size(c->storage, m->subject.n, m->hdr.n, m->payload.n);
    if (c->max_bytes > 0 && st->bytes + size > (uint64_t)c->max_bytes && !(full && replaces(st, id, size)))
        return MR_MAX_BYTES;
    return MR_OK;
}

static enum mr_status decide(struct stream *st, const struct mr_msg *m, const struct mr_append_opts *o,
                             int64_t now, bool wanted, struct stream_verdict *v) {
    must(st && m && v);
    must(v->status == MR_OK);
    const struct mr_stream_config *c = &st->conf.c;
    if (c->sealed) return MR_SEALED;
    size_t n = m->hdr.n + m->payload.n;
    if (c->max_msg_size > 0 && n > (uint64_t)c->max_msg_size) return MR_TOO_LARGE;
    if (m->subject.n + n >= INDEX_BODY_MAX || m->subject.n > UINT16_MAX) return MR_TOO_LARGE;
    if (o) {
        enum mr_status s = expected(st, m, o, v);
        if (s == MR_OK) s = known_id(st, o, now, v);
        if (s != MR_OK) return s;
        if (o->rollup != MR_ROLLUP_NONE && (!c->allow_rollup || c->deny_purge)) return MR_DENIED;
    }
    return wanted ? discard_new(st, m, o && o->rollup != MR_ROLLUP_NONE) : MR_OK;
}

static void admit(struct stream *st, const struct mr_msg *m, const struct mr_append_opts *opts, int64_t now,
                  bool wanted, struct stream_verdict *v) {
    must(st && m && v);
    must(!st->blank && !st->recovering && m->subject.n > 0);
    if (st->pages.lost) stream_settle_lost(st);
    *v = (struct stream_verdict){0};
    v->status = decide(st, m, opts, now, wanted, v);
    if (v->status != MR_OK) return;
    struct span id = opts ? span_of_bytes(opts->msg_id) : SPAN_EMPTY;
    if (stream_reserve(st, st->last_seq + 1, span_of_bytes(m->subject), id) != ERR_OK) {
        v->status = MR_NOMEM;
        return;
    }
    v->seq = st->last_seq + 1;
    v->ts = now > st->last_ts ? now : st->last_ts;
}

void stream_admit(struct stream *st, const struct mr_msg *m, const struct mr_append_opts *opts, int64_t now,
                  struct stream_verdict *v) {
    admit(st, m, opts, now, true, v);
}

void stream_admit_unwanted(struct stream *st, const struct mr_msg *m, const struct mr_append_opts *opts,
                           int64_t now, struct stream_verdict *v) {
    must(st->conf.c.retention == MR_RETAIN_INTEREST);
    admit(st, m, opts, now, false, v);
}
