/* recover.c - a stream from its records, in the order of the log. Whatever a full record says holds from
 * there on. */
#include <stdlib.h>

#include "base/must.h"
#include "stream/codec_core.h"
#include "stream/sound.h"
#include "stream/stream.h"
#include "stream/stream_core.h"

/* ------------------------------------------------------------------------------------------------ the full
 * record */

static void drop_range(struct stream *st, uint64_t from, uint64_t to) {
    must(st->recovering);
    if (from > to) return;
    for (uint64_t seq; (seq = index_next(&st->index, from, to)) != 0;) stream_remove(st, seq, REMOVED_LIMIT);
}

/* Takes out what the record does not have. */
static void drop_others(struct stream *st, const struct stream_image *img) {
    must(st && img);
    must(img->first_seq <= img->last_seq + 1);
    struct span runs = img->runs;
    uint64_t at = img->first_seq, live, dead;
    if (at > 0) drop_range(st, 1, at - 1);
    while (codec_next_run(&runs, &live, &dead)) {
        at += live;
        drop_range(st, at, at + dead - 1);
        at += dead;
    }
    drop_range(st, at, UINT64_MAX);
}

/* Those the record has and nobody found. */
static void note_missing(struct stream *st, const struct stream_image *img) {
    struct span runs = img->runs;
    uint64_t at = img->first_seq, live, dead;
    if (!st->missing) return;
    missing_clear(st->missing);
    must(st->msgs <= img->live);
    while (st->msgs < img->live && codec_next_run(&runs, &live, &dead)) {
        for (uint64_t end = at + live; at < end;) {
            uint64_t next = index_next(&st->index, at, end - 1);
            if (!next) next = end;
            missing_add(st->missing, at, next - 1);
            at = next + 1;
        }
        at += dead;
    }
}

static void count_bytes(struct stream *st) {
    must(st->recovering);
    st->bytes = 0;
    for (uint64_t seq = index_next(&st->index, 1, UINT64_MAX); seq;
         seq = index_next(&st->index, seq + 1, UINT64_MAX))
        st->bytes += stream_entry_size(st, index_get(&st->index, seq));
}

static void take_state(struct stream *st, const struct stream_image *img) {
    must(st->recovering);
    must(img->conf.block);
    bool counted = st->conf.c.storage == img->conf.c.storage;
    stream_conf_deinit(&st->conf);
    st->conf = img->conf;
    if (!counted) count_bytes(st);
    drop_others(st, img);
    must(st->msgs <= img->live);
    note_missing(st, img);
    st->last_seq = img->last_seq;
    if (st->msgs == 0) st->first_seq = img->live ? img->last_seq + 1 : img->first_seq;
    st->visible_seq = st->last_seq;
    st->last_ts = img->last_ts > st->last_ts ? img->last_ts : st->last_ts;
    st->created = img->created;
    st->lost_msgs = img->lost_msgs + (img->live - st->msgs);
    if (img->lost_bytes > st->lost_bytes) st->lost_bytes = img->lost_bytes;
    stream_set_last_id(st, img->last_id);
    dedupe_set_window(&st->dedupe, st->conf.c.duplicate_window_ns, st->last_ts);
}

static enum err add_ids(struct stream *st, struct span ids) {
    must(st->recovering);
    struct dedupe_key k;
    uint64_t seq = 0;
    int64_t ts = 0;
    enum err e = ERR_OK;
    while (e == ERR_OK && codec_next_id(&ids, &k, &seq, &ts)) e = dedupe_add_late(&st->dedupe, k, seq, ts);
    return e;
}

enum err stream_load(struct stream *st, struct span record) {
    must(st && (st->blank || st->recovering));
    struct stream_image img;
    enum err e = codec_read_stream(record, &img);
    if (e != ERR_OK) return e;
    e = stream_reserve_id(st, img.last_id.n);
    if (e == ERR_OK) e = add_ids(st, img.ids);
    /* Ids are judged by this record's window: the one that is known may be older than the ids are. */
    dedupe_set_window(&st->dedupe, img.conf.c.duplicate_window_ns, img.last_ts);
    if (e == ERR_OK) e = dedupe_settle(&st->dedupe);
    if (e != ERR_OK) {
        stream_conf_deinit(&img.conf);
        return e;
    }
    take_state(st, &img);
    st->blank = false;
    st->unsure = st->msgs < img.live; /* copies of what is missing follow, and another full record behind them */
    stream_list_subjects(st);
    return ERR_OK;
}

/* ------------------------------------------------------------------------------------------------ messages
 */

static bool put_ok(const struct stream_put *p) {
    must(p);
    return p->seq > 0 && p->seq < UINT64_MAX - 1 && p->loc != 0 && p->ts >= 0 && p->subject.n > 0 &&
           p->subject.n <= UINT16_MAX && p->hdr_size < INDEX_BODY_MAX && p->payload_size < INDEX_BODY_MAX &&
           p->subject.n + p->hdr_size + p->payload_size < INDEX_BODY_MAX;
}

void stream_lost_before(struct stream *st, uint64_t seq) {
    must(st->recovering);
    must(seq > st->last_seq);
    if (st->blank) return;
    st->lost_msgs += seq - st->last_seq - 1;
    missing_add(st->missing, st->last_seq + 1, seq - 1);
}

enum err stream_replay(struct stream *st, const struct stream_put *p) {
    must(st && p && st->recovering);
    if (!put_ok(p)) return ERR_CORRUPT;
    if (p->seq <= st->last_seq) return ERR_NONE;
    enum err e = stream_reserve(st, p->seq, p->subject, p->msg_id);
    if (e == ERR_OK && p->msg_id.n)
        e = dedupe_add_late(&st->dedupe, dedupe_hash(&st->dedupe, p->msg_id), p->seq, p->ts);
    if (e != ERR_OK) return e;
    stream_lost_before(st, p->seq);
    uint32_t id = stream_append(st, p);
    if (st->blank) return ERR_OK;
    if (!st->unsure) stream_limit(st, id);
    if (p->rollup != MR_ROLLUP_NONE) stream_rollup(st, id, p);
    if (p->rollup == MR_ROLLUP_ALL) missing_remove(st->missing, 1, p->seq - 1);
    return ERR_OK;
}

void stream_gap(struct stream *st) {
    must(st && st->recovering);
    st->unsure = true;
}

/* A copy whose original was recycled. What knows of the stream counted the message as lost; one newer than
 * that stands in for all that is missing before it. */
static enum err insert_late(struct stream *st, const struct stream_put *p) {
    must(st->recovering);
    must(!index_has(&st->index, p->seq));
    enum err e = stream_reserve(st, p->seq, p->subject, SPAN_EMPTY);
    if (e == ERR_OK && p->msg_id.n)
        e = dedupe_add_late(&st->dedupe, dedupe_hash(&st->dedupe, p->msg_id), p->seq, p->ts);
    if (e != ERR_OK) return e;
    if (p->seq > st->last_seq)
        stream_lost_before(st, p->seq);
    else if (!st->blank && st->lost_msgs)
        st->lost_msgs--;
    missing_remove(st->missing, p->seq, p->seq);
    if (p->seq > st->last_seq) st->last_seq = p->seq;
    if (p->ts > st->last_ts) st->last_ts = p->ts;
    stream_insert(st, p);
    return ERR_OK;
}

enum err stream_moved(struct stream *st, const struct stream_put *p) {
    must(st && p);
    if (!put_ok(p)) return ERR_CORRUPT;
    if (index_has(&st->index, p->seq)) {
        index_move(&st->index, p->seq, p->loc);
        st->pages.changed = true;
        return ERR_OK;
    }
    return st->recovering ? insert_late(st, p) : ERR_NONE;
}

void stream_replay_delete(struct stream *st, uint64_t seq) {
    must(st && st->recovering);
    missing_remove(st->missing, seq, seq);
    if (stream_has(st, seq, false)) stream_remove(st, seq, REMOVED_DELETE);
}

enum err stream_replay_purge(struct stream *st, struct span record) {
    must(st && st->recovering);
    struct stream_purge p;
    enum err e = codec_read_purge(record, &p);
    if (e != ERR_OK) return e;
    stream_purge(st, &p);
    if (p.filter.n == 0 && p.below > 0) missing_remove(st->missing, 1, p.below - 1);
    return ERR_OK;
}

/* ------------------------------------------------------------------------------------------------ damage,
 * end */

void stream_lost(struct stream *st, uint64_t seq, uint64_t bytes) {
    must(st);
    if (seq == 0 || seq >= UINT64_MAX - 1) return;
    if (seq > st->last_seq) {
        if (!st->recovering) return;
        stream_lost_before(st, seq + 1);
        st->lost_bytes += bytes;
        st->last_seq = seq;
        st->pages.changed = true;
        if (st->msgs == 0) st->first_seq = seq + 1;
        return;
    }
    const struct index_entry *e = index_get(&st->index, seq);
    if (!e) return;
    st->lost_bytes += stream_entry_size(st, e);
    st->lost_msgs++;
    missing_add(st->missing, seq, seq);
    stream_remove(st, seq, REMOVED_LOST);
}

void stream_pass_over(struct stream *st, uint64_t n) {
    must(st && st->recovering && !st->blank);
    if (n > MR_FIRST_SEQ_MAX || st->last_seq > MR_FIRST_SEQ_MAX) return;
    st->last_seq += n;
    st->pages.changed = true;
    if (st->msgs == 0) st->first_seq = st->last_seq + 1;
}

enum err stream_recovered(struct stream *st, int64_t now) {
    must(st && !st->blank);
    stream_settle_lost(st);
    if (st->unsure) { /* the full record that should follow is damaged */
        stream_limit(st, SUBJECT_NONE);
        stream_limit_subjects(st);
    }
    st->unsure = false;
    enum err e = dedupe_settle(&st->dedupe);
    dedupe_expire(&st->dedupe, now);
    st->recovering = false;
    st->visible_seq = st->last_seq;
    must_slow(stream_is_sound(st));
    return e;
}
