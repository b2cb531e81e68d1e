/* append.c - one message into a stream.
 *
 * Happy path: the stream admits it and names its sequence, the log takes the record, the stream applies it,
 * an entry waits for the frame. Every refusal comes before anything changed: the stream's own (limits,
 * expectations, duplicate), the shard's share of the configured storage, a full queue or log (MR_BUSY), no
 * space, a failed log. A message id that is not in the message's headers is logged ahead of it, so that it is
 * known again after a restart. */
#include "append.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/header.h"
#include "base/must.h"

enum { ID_ON_STACK = 512 };

static uint8_t append_flags(const struct mr_append_opts *o) {
    if (!o || o->rollup == MR_ROLLUP_NONE) return 0;
    return o->rollup == MR_ROLLUP_ALL ? REC_F_ROLLUP_ALL : REC_F_ROLLUP_SUBJECT;
}

struct rec append_rec(const struct mr_stream *s, const struct mr_msg *m, const struct mr_append_opts *o,
                      const struct stream_verdict *v, bool wanted) {
    must(v->seq > 0);
    struct rec r = {.kind = REC_MESSAGE,
                    .flags = append_flags(o),
                    .stream = s->number,
                    .seq = v->seq,
                    .ts = v->ts,
                    .subject = span_of_bytes(m->subject),
                    .hdr = span_of_bytes(m->hdr),
                    .payload = span_of_bytes(m->payload)};
    if (wanted) return r;
    r.flags |= REC_F_SKIPPED;
    r.payload = SPAN_EMPTY;
    if (!o || o->msg_id.n == 0) r.hdr = SPAN_EMPTY; /* all that replay reads of them is the id */
    return r;
}

/* Is the messages' share of the environment's storage used up? */
static enum mr_status over_share(const struct mr_stream *s, uint64_t size) {
    const struct mr_shard *sh = s->shard;
    uint64_t max = s->log ? sh->file_max : sh->memory_max;
    if (max == 0) return MR_OK;
    uint64_t used = s->log ? sh->file_bytes : sh->memory_bytes;
    if (used + size <= max) return MR_OK;
    return s->log ? MR_STORAGE_FULL : MR_MEMORY_FULL;
}

/* The message that follows has this id: no other of the stream has its sequence and its time. Left alone by a
 * stop, the record says nothing; left alone by a refusal, it is taken back by an empty one before another
 * message gets the sequence, maybe at the same time. */
static enum err log_id(struct mr_stream *s, uint64_t seq, int64_t ts, struct span id) {
    uint8_t small[8 + ID_ON_STACK], *p = id.n <= ID_ON_STACK ? small : malloc(8 + id.n);
    if (!p) return ERR_NOMEM;
    store64(p, seq);
    if (id.n) memcpy(p + 8, id.p, id.n);
    struct rec r = {.kind = REC_CHECKPOINT, .stream = s->number, .ts = ts, .payload = span_of(p, 8 + id.n)};
    uint64_t loc;
    enum err e = shard_log_append(s->log, &r, &loc);
    if (p != small) free(p);
    return e;
}

static enum err take_back_id(struct mr_stream *s) {
    if (!s->id_owed) return ERR_OK;
    must(s->log != NULL);
    enum err e = log_id(s, s->id_owed, 0, SPAN_EMPTY);
    if (!e) s->id_owed = 0;
    return e;
}

enum mr_status append_room(struct mr_stream *s, uint64_t size, size_t note) {
    must(!s->deleted);
    if (s->shard->closing) return MR_FAILED;
    enum mr_status e = over_share(s, size);
    if (e != MR_OK) return e;
    if (!cq_room(mrs_queue(s), note)) return MR_BUSY;
    if (!list_empty(&s->stale) && mrs_log_full(s))
        return MR_BUSY; /* its limits come before what they remove */
    if ((e = status_of(mrs_log_before_limit(s, size))) != MR_OK) return e;
    return status_of(take_back_id(s));
}

uint64_t append_size(const struct mr_stream *s, const struct mr_msg *m) {
    return stream_msg_size(s->st.conf.c.storage, m->subject.n, m->hdr.n, m->payload.n);
}

bool append_id_in_headers(const struct mr_msg *m, struct span id) {
    struct span hdr = span_of_bytes(m->hdr);
    if (hdr.n && id.p > hdr.p && id.p + id.n <= hdr.p + hdr.n) return true;
    struct span named;
    return header_get(hdr, SPAN_LIT("Nats-Msg-Id"), &named) && span_eq(named, id);
}

enum mr_status append_write(struct mr_stream *s, const struct rec *r, uint64_t *loc) {
    if (!s->log && r->flags & REC_F_SKIPPED) return MR_OK; /* nothing to keep */
    enum err e = s->log ? shard_log_append(s->log, r, loc) : memlog_append(s->shard->mem, r, loc);
    if (!s->log) ++*loc; /* the first place in memory is 0, which means none to an index */
    if (e == ERR_LIMIT) return s->log ? MR_TOO_LARGE : MR_MEMORY_FULL;
    return status_of(e);
}

static enum mr_status put_record(struct mr_stream *s, const struct mr_msg *m, const struct mr_append_opts *o,
                                 const struct stream_verdict *v, bool wanted, uint64_t *loc) {
    struct rec r = append_rec(s, m, o, v, wanted);
    bool alone = o && o->msg_id.n && s->log && !append_id_in_headers(m, span_of_bytes(o->msg_id));
    must(!s->id_owed);
    enum err e = alone ? log_id(s, v->seq, v->ts, span_of_bytes(o->msg_id)) : ERR_OK;
    if (e) return status_of(e);
    enum mr_status st = append_write(s, &r, loc);
    if (st != MR_OK && alone) s->id_owed = v->seq;
    return st;
}

/* Its record is dead as soon as it is written: before its segment goes, a full record follows that knows it. */
static void skip(struct mr_stream *s, const struct stream_put *p) {
    must(p->seq == s->st.last_seq + 1);
    stream_skip(&s->st, p);
    if (s->log) store_dead(s->log->store, p->loc, rec_size(p->subject.n, p->hdr_size, 0));
}

void append_apply(struct mr_stream *s, const struct mr_msg *m, const struct mr_append_opts *o,
                  const struct stream_verdict *v, bool wanted, uint64_t loc) {
    struct stream_put p = {.seq = v->seq,
                           .loc = loc,
                           .ts = v->ts,
                           .subject = span_of_bytes(m->subject),
                           .msg_id = o ? span_of_bytes(o->msg_id) : SPAN_EMPTY,
                           .hdr_size = m->hdr.n,
                           .payload_size = m->payload.n,
                           .rollup = o ? o->rollup : MR_ROLLUP_NONE};
    if (wanted) {
        (void)stream_applied(&s->st, &p);
    } else {
        if (p.msg_id.n == 0) p.hdr_size = 0;
        skip(s, &p);
    }
    must(s->st.last_seq == v->seq);
    if (p.rollup != MR_ROLLUP_NONE) mrs_tell_purge(s, p.rollup == MR_ROLLUP_ALL ? SPAN_EMPTY : p.subject);
    mrs_account(s);
    if (s->st.conf.c.max_age_ns > 0 && s->timer.deadline_ns == 0) mrs_arm_timer(s);
}

void append_wait(struct mr_stream *s, const struct mr_append_opts *o, uint64_t seq) {
    bool tell = o && o->want_done;
    struct cq_entry e = {.kind = tell ? CQ_APPEND : CQ_VISIBLE, .seq = seq, .tag = tell ? o->tag : 0};
    mrs_push(s, e, tell ? span_of_bytes(o->note) : SPAN_EMPTY);
}

enum mr_status mr_append(struct mr_stream *s, const struct mr_msg *m, const struct mr_append_opts *opts,
                         struct mr_append_result *result) {
    must(!s->deleted);
    size_t note = opts && opts->want_done ? opts->note.n : 0;
    if (m->subject.n == 0 || m->subject.n > UINT16_MAX || note > CQ_NOTE_MAX) return MR_INVAL;
    struct stream_verdict v;
    bool wanted = mrs_wanted(s, span_of_bytes(m->subject));
    int64_t now = opts && opts->now ? opts->now : io_wall(s->shard->io);
    (wanted ? stream_admit : stream_admit_unwanted)(&s->st, m, opts, now, &v);
    if (result) *result = (struct mr_append_result){.seq = v.seq, .last_id = bytes_of_span(v.last_id)};
    if (v.status != MR_OK) return v.status;
    enum mr_status e = append_room(s, append_size(s, m), note);
    if (e != MR_OK) return e;
    uint64_t loc = 0;
    if ((e = put_record(s, m, opts, &v, wanted, &loc)) != MR_OK) return e;
    append_apply(s, m, opts, &v, wanted, loc);
    append_wait(s, opts, v.seq);
    return MR_OK;
}
