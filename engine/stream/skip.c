/* skip.c - a message that nobody wants: under interest retention, when no consumer matches its subject. It
 * gets its sequence, its id is remembered, its rollup takes effect; it is never stored, so no limit on what
 * is stored stands in its way. Its record holds no payload.
 *
 * Happy path: stream_admit_unwanted() decides, the log takes the record, stream_skip() counts it. */
#include "base/must.h"
#include "stream/codec_core.h"
#include "stream/released.h"
#include "stream/stream_core.h"

static void roll_up(struct stream *st, const struct stream_put *p) {
    must(p->rollup != MR_ROLLUP_NONE);
    must(p->seq == st->last_seq);
    struct span filter = p->rollup == MR_ROLLUP_ALL ? SPAN_EMPTY : p->subject;
    (void)stream_purge(st, &(struct stream_purge){filter, p->seq});
}

static void count(struct stream *st, const struct stream_put *p) {
    must(p->seq > st->last_seq);
    st->last_seq = p->seq;
    if (p->ts > st->last_ts) st->last_ts = p->ts;
    stream_set_last_id(st, p->msg_id);
    if (p->rollup != MR_ROLLUP_NONE && !st->blank) roll_up(st, p);
    if (st->msgs == 0) st->first_seq = p->seq + 1;
}

void stream_skip(struct stream *st, const struct stream_put *p) {
    must(st && p && !st->blank && !st->recovering);
    must(p->seq == st->last_seq + 1);
    if (p->msg_id.n) dedupe_put(&st->dedupe, st->admitted, p->seq, p->ts);
    count(st, p);
}

enum err stream_replay_skip(struct stream *st, const struct stream_put *p) {
    must(st && p && st->recovering);
    if (p->seq == 0 || p->seq >= UINT64_MAX - 1 || p->ts < 0 || p->subject.n == 0) return ERR_CORRUPT;
    if (p->seq <= st->last_seq) return ERR_NONE;
    enum err e = stream_reserve_id(st, p->msg_id.n);
    if (e == ERR_OK && p->msg_id.n)
        e = dedupe_add_late(&st->dedupe, dedupe_hash(&st->dedupe, p->msg_id), p->seq, p->ts);
    if (e != ERR_OK) return e;
    stream_lost_before(st, p->seq);
    count(st, p);
    return ERR_OK;
}

void stream_replay_released(struct stream *st, struct span record) {
    must(st && st->recovering);
    struct span value = codec_find_released(record);
    struct released_run run = {0};
    while (value.n && codec_next_released(&value, &run)) {
        uint64_t seq = run.first;
        missing_remove(st->missing, run.first, run.last);
        while (seq <= run.last && (seq = stream_seq_next(st, seq, SPAN_EMPTY, false)) != 0 && seq <= run.last)
            stream_replay_delete(st, seq++);
    }
}
