/* batch.c - many messages into a stream, as one.
 *
 * Happy path: the stream admits all of them, the log reserves room for all, takes their records one behind
 * the other, marked as one batch; then the stream applies them and one entry waits for the frame of the last.
 * So nothing of a batch is seen before its end is on disk, and recovery drops a batch without its end.
 * Refusals come before anything changed; records in memory that found no room are taken back. A log that
 * fails between two records takes no more: what it has of the batch has no end and is dropped when it is
 * opened again. */
#include "append.h"

#include "base/must.h"
#include "stream/batch.h"

static_must((int)MR_BATCH_MSGS_MAX == (int)STREAM_BATCH_MAX);
static_must((int)MR_BATCH_BYTES_MAX == (int)STORE_BATCH_MAX);

struct batch {
    struct mr_stream *s;
    const struct mr_msg *msgs;
    const struct mr_append_opts *opts;
    size_t count;
    struct stream_verdict first; /* of the first message */
    uint64_t locs[MR_BATCH_MSGS_MAX];
};

static const struct mr_append_opts *opts_at(const struct batch *b, size_t i) {
    return b->opts ? &b->opts[i] : NULL;
}

static enum mr_status well_formed(const struct batch *b, size_t *failed_at) {
    *failed_at = b->count;
    if (b->count == 0 || b->count > MR_BATCH_MSGS_MAX) return MR_INVAL;
    for (size_t i = 0; i < b->count; i++) {
        const struct mr_msg *m = &b->msgs[i];
        struct span id = b->opts ? span_of_bytes(b->opts[i].msg_id) : SPAN_EMPTY;
        *failed_at = i;
        if (m->subject.n == 0 || m->subject.n > UINT16_MAX) return MR_INVAL;
        if (id.n && b->s->log && !append_id_in_headers(m, id)) return MR_INVAL;
    }
    *failed_at = b->count;
    return MR_OK;
}

static enum mr_status admit(struct batch *b, struct mr_append_result *result, size_t *failed_at) {
    must(!b->s->deleted);
    enum mr_status e = well_formed(b, failed_at);
    if (e != MR_OK) return e;
    const struct mr_append_opts *last = opts_at(b, b->count - 1);
    struct stream_batch_verdict v;
    stream_admit_batch(&b->s->st, b->msgs, b->opts, b->count,
                       last && last->now ? last->now : io_wall(b->s->shard->io), &v);
    if (result) *result = (struct mr_append_result){.seq = v.v.seq, .in_batch = v.in_batch};
    *failed_at = v.failed_at;
    b->first = v.v;
    return v.v.status;
}

/* Room for all of it, so that no record is refused after the first one was taken. */
static enum mr_status reserve(const struct batch *b, size_t note) {
    uint64_t size = 0;
    size_t bytes = 0;
    for (size_t i = 0; i < b->count; i++) {
        const struct mr_msg *m = &b->msgs[i];
        size += append_size(b->s, m);
        bytes += rec_size(m->subject.n, m->hdr.n, m->payload.n);
    }
    if (bytes > STORE_BATCH_MAX) return MR_TOO_LARGE;
    enum mr_status e = append_room(b->s, size, note);
    if (e != MR_OK || !b->s->log) return e;
    if (b->s->log->failed) return MR_FAILED;
    return status_of(store_reserve(b->s->log->store, bytes, b->count));
}

static bool wanted_at(const struct batch *b, size_t i) {
    return mrs_wanted(b->s, span_of_bytes(b->msgs[i].subject));
}

static uint8_t flags_at(const struct batch *b, size_t i) {
    uint8_t flags = 0;
    if (!b->s->log) return flags; /* nothing is read back from memory */
    if (i == 0) flags |= REC_F_BATCH_BEGIN;
    if (i == b->count - 1) flags |= REC_F_BATCH_END;
    return flags | REC_F_BATCH;
}

static enum mr_status write_all(struct batch *b) {
    for (size_t i = 0; i < b->count; i++) {
        struct stream_verdict v = b->first;
        v.seq += i;
        struct rec r = append_rec(b->s, &b->msgs[i], opts_at(b, i), &v, wanted_at(b, i));
        r.flags |= flags_at(b, i);
        enum mr_status e = append_write(b->s, &r, &b->locs[i]);
        if (e == MR_OK) continue;
        must(!b->s->log || e == MR_FAILED);
        while (!b->s->log && i-- > 0)
            if (b->locs[i]) memlog_dead(b->s->shard->mem, b->locs[i] - 1);
        return e;
    }
    return MR_OK;
}

static void apply_all(struct batch *b) {
    for (size_t i = 0; i < b->count; i++) {
        struct stream_verdict v = b->first;
        v.seq += i;
        enum err e = stream_batch_next(&b->s->st, &b->msgs[i], opts_at(b, i));
        must(e == ERR_OK); /* reserved before; a page that limits packed meanwhile may want 32 KiB back */
        append_apply(b->s, &b->msgs[i], opts_at(b, i), &v, wanted_at(b, i), b->locs[i]);
    }
    must(b->s->st.last_seq == b->first.seq + b->count - 1);
}

enum mr_status mr_check_batch(struct mr_stream *s, const struct mr_msg *msgs,
                              const struct mr_append_opts *opts, size_t count,
                              struct mr_append_result *result, size_t *failed_at) {
    struct batch b = {.s = s, .msgs = msgs, .opts = opts, .count = count};
    must(failed_at != NULL);
    return admit(&b, result, failed_at);
}

enum mr_status mr_append_batch(struct mr_stream *s, const struct mr_msg *msgs,
                               const struct mr_append_opts *opts, size_t count,
                               struct mr_append_result *result, size_t *failed_at) {
    struct batch b = {.s = s, .msgs = msgs, .opts = opts, .count = count};
    must(failed_at != NULL);
    enum mr_status e = admit(&b, result, failed_at);
    if (e != MR_OK) return e;
    const struct mr_append_opts *last = opts_at(&b, count - 1);
    size_t note = last && last->want_done ? last->note.n : 0;
    if (note > CQ_NOTE_MAX) return MR_INVAL;
    if ((e = reserve(&b, note)) != MR_OK) return e;
    if ((e = write_all(&b)) != MR_OK) return e;
    apply_all(&b);
    uint64_t seq = b.first.seq + count - 1;
    if (result) result->seq = seq;
    append_wait(s, last, seq);
    return MR_OK;
}
