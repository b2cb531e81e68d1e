/* codec_stream.c - REC_STREAM; the format stands atop codec.c. */
#include <stdlib.h>

#include "base/must.h"
#include "stream/codec_core.h"
#include "stream/tlv.h"

enum { CONFIG_WORDS = 12, STATE_WORDS = 6, IDS_MAX = 1 << 21 /* 40 MB at most */ };
enum {
    F_NEW_PER_SUBJECT = 1,
    F_SEALED = 2,
    F_DENY_DELETE = 4,
    F_DENY_PURGE = 8,
    F_ROLLUP = 16,
    F_DIRECT = 32,
    F_NO_ACK = 64
};

static uint64_t flags_of(const struct mr_stream_config *c) {
    must(c);
    return (c->discard_new_per_subject ? F_NEW_PER_SUBJECT : 0u) | (c->sealed ? F_SEALED : 0u) |
           (c->deny_delete ? F_DENY_DELETE : 0u) | (c->deny_purge ? F_DENY_PURGE : 0u) |
           (c->allow_rollup ? F_ROLLUP : 0u) | (c->allow_direct ? F_DIRECT : 0u) |
           (c->no_ack ? F_NO_ACK : 0u);
}

static void put_config(struct codec_buf *b, const struct mr_stream_config *c) {
    must(b && c);
    must(c->name.n > 0);
    must(c->name.n <= CONF_NAME_MAX);
    uint64_t w[CONFIG_WORDS] = {c->storage,
                                c->retention,
                                c->discard,
                                flags_of(c),
                                (uint64_t)c->max_msgs,
                                (uint64_t)c->max_bytes,
                                (uint64_t)c->max_age_ns,
                                (uint64_t)c->max_msg_size,
                                (uint64_t)c->max_msgs_per_subject,
                                (uint64_t)c->max_consumers,
                                (uint64_t)c->duplicate_window_ns,
                                c->first_seq};
    tlv_bytes(b, TAG_NAME, span_of_bytes(c->name));
    tlv_words(b, TAG_CONFIG, w, CONFIG_WORDS);
    for (size_t i = 0; i < c->subjects_count; i++) tlv_bytes(b, TAG_SUBJECT, span_of_bytes(c->subjects[i]));
    if (c->extra.n) tlv_bytes(b, TAG_EXTRA, span_of_bytes(c->extra));
}

static void put_runs(struct codec_buf *b, const struct stream *st) {
    must(st->msgs == 0 || st->first_seq > 0);
    must(st->msgs == st->index.count);
    if (st->msgs == 0) return;
    size_t at = tlv_begin(b, TAG_RUNS);
    for (uint64_t seq = st->first_seq; seq <= st->last_seq;) {
        uint64_t live = index_run(&st->index, seq, st->last_seq);
        uint64_t next = index_next(&st->index, seq + live, st->last_seq);
        uint64_t dead = (next ? next : st->last_seq + 1) - seq - live;
        tlv_varint(b, live);
        tlv_varint(b, dead);
        must(live > 0);
        seq += live + dead;
    }
    tlv_end(b, at);
}

/* Ids whose message is still there are found again with it, unless messages were copied without. */
static void put_ids(struct codec_buf *b, const struct stream *st) {
    must(b && st);
    must(!st->recovering || st->dedupe.late_len == 0);
    uint32_t at = 0, n = 0;
    struct dedupe_key k;
    uint64_t seq, last_seq = 0;
    int64_t ts, last_ts = 0;
    size_t begin = 0;
    if (st->dedupe.len > IDS_MAX) at = st->dedupe.len - IDS_MAX;
    while (dedupe_next(&st->dedupe, &at, &k, &seq, &ts)) {
        if (!st->ids_alone && index_has(&st->index, seq)) continue;
        if (ts < last_ts) ts = last_ts; /* times are kept rounded up, older ones perhaps more often */
        if (n++ == 0) begin = tlv_begin(b, TAG_IDS);
        tlv_raw(b, k.h, sizeof k.h);
        tlv_varint(b, seq - last_seq);
        tlv_varint(b, (uint64_t)(ts - last_ts));
        last_seq = seq;
        last_ts = ts;
    }
    if (n) tlv_end(b, begin);
}

void codec_put_state(struct codec_buf *b, const struct stream *st) {
    must(b && st && !st->blank);
    uint64_t state[STATE_WORDS] = {st->first_seq,         st->last_seq,  (uint64_t)st->last_ts,
                                   (uint64_t)st->created, st->lost_msgs, st->lost_bytes};
    put_config(b, &st->conf.c);
    tlv_words(b, TAG_STATE, state, STATE_WORDS);
    if (st->last_id_len) tlv_bytes(b, TAG_LAST_ID, span_of(st->last_id, st->last_id_len));
}

enum err codec_stream(struct codec_buf *b, const struct stream *st) {
    must(b && st && !st->blank);
    tlv_reset(b);
    codec_put_state(b, st);
    put_runs(b, st);
    put_ids(b, st);
    return b->failed ? ERR_NOMEM : ERR_OK;
}

/* ------------------------------------------------------------------------------------------------ reading */

static void config_of(const uint64_t *w, struct mr_stream_config *c) {
    must(w && c);
    c->size = sizeof *c;
    c->storage = (enum mr_storage)(w[0] & 0xff);
    c->retention = (enum mr_retention)(w[1] & 0xff);
    c->discard = (enum mr_discard)(w[2] & 0xff);
    c->discard_new_per_subject = w[3] & F_NEW_PER_SUBJECT;
    c->sealed = w[3] & F_SEALED;
    c->deny_delete = w[3] & F_DENY_DELETE;
    c->deny_purge = w[3] & F_DENY_PURGE;
    c->allow_rollup = w[3] & F_ROLLUP;
    c->allow_direct = w[3] & F_DIRECT;
    c->no_ack = w[3] & F_NO_ACK;
    c->max_msgs = (int64_t)w[4];
    c->max_bytes = (int64_t)w[5];
    c->max_age_ns = (int64_t)w[6];
    c->max_msg_size = (int64_t)w[7];
    c->max_msgs_per_subject = (int64_t)w[8];
    c->max_consumers = (int64_t)w[9];
    c->duplicate_window_ns = (int64_t)w[10];
    c->first_seq = w[11];
}

bool codec_next_run(struct span *runs, uint64_t *live, uint64_t *dead) {
    must(runs && live && dead);
    return tlv_get_varint(runs, live) && tlv_get_varint(runs, dead);
}

bool codec_next_id(struct span *ids, struct dedupe_key *k, uint64_t *seq, int64_t *ts) {
    must(ids && k);
    must(seq && ts);
    must(*ts >= 0);
    uint64_t step, time;
    if (!tlv_get_raw(ids, k->h, sizeof k->h) || !tlv_get_varint(ids, &step) || !tlv_get_varint(ids, &time))
        return false;
    if (step == 0 || step > UINT64_MAX - *seq || time > (uint64_t)(INT64_MAX - *ts)) return false;
    *seq += step;
    *ts += (int64_t)time;
    return true;
}

static bool check_runs(struct stream_image *img) {
    must(img && img->live == 0);
    must(img->last_seq < UINT64_MAX - 1);
    struct span r = img->runs;
    uint64_t at = img->first_seq, live, dead;
    while (r.n) {
        if (!codec_next_run(&r, &live, &dead)) return false;
        uint64_t left = img->last_seq + 1 - at;
        if (live == 0 || live > left || dead > left - live) return false;
        if (r.n && dead == 0) return false;
        img->live += live;
        at += live + dead;
    }
    return img->runs.n == 0 || at == img->last_seq + 1;
}

static bool check_image(struct stream_image *img) {
    must(img);
    if (img->last_seq >= UINT64_MAX - 1 || img->first_seq > img->last_seq + 1) return false;
    if (img->runs.n && img->first_seq == 0) return false;
    if (img->last_ts < 0 || !check_runs(img)) return false;
    struct span ids = img->ids;
    struct dedupe_key k;
    uint64_t seq = 0;
    int64_t ts = 0;
    while (ids.n) {
        if (!codec_next_id(&ids, &k, &seq, &ts)) return false;
    }
    return seq <= img->last_seq;
}

static bool take_item(struct stream_image *img, const struct tlv *t, uint64_t *config, uint64_t *state) {
    must(img && t);
    must(config && state);
    must(t->tag != 0);
    switch (t->tag) {
    case TAG_NAME: img->conf.c.name = bytes_of_span(t->value); return true;
    case TAG_EXTRA: img->conf.c.extra = bytes_of_span(t->value); return true;
    case TAG_CONFIG: return tlv_get_words(t->value, config, CONFIG_WORDS);
    case TAG_STATE: return tlv_get_words(t->value, state, STATE_WORDS);
    case TAG_LAST_ID: img->last_id = t->value; return true;
    case TAG_RUNS: img->runs = t->value; return true;
    case TAG_IDS: img->ids = t->value; return true;
    default: return true;
    }
}

enum err codec_read_stream(struct span record, struct stream_image *img) {
    must(img);
    *img = (struct stream_image){0};
    uint64_t config[CONFIG_WORDS] = {0}, s[STATE_WORDS] = {0};
    struct tlv t = tlv_open(record);
    while (tlv_next(&t)) {
        if (!take_item(img, &t, config, s)) return ERR_CORRUPT;
    }
    if (t.bad || img->conf.c.name.n == 0) return ERR_CORRUPT;
    struct mr_stream_config c = img->conf.c;
    config_of(config, &c);
    img->first_seq = s[0];
    img->last_seq = s[1];
    img->last_ts = (int64_t)s[2];
    img->created = (int64_t)s[3];
    img->lost_msgs = s[4];
    img->lost_bytes = s[5];
    if (!check_image(img)) return ERR_CORRUPT;
    struct mr_bytes *subjects;
    enum err e = codec_subjects(record, &subjects, &c.subjects_count);
    if (e != ERR_OK) return e;
    c.subjects = subjects;
    e = stream_conf_copy(&img->conf, &c);
    free(subjects);
    return e == ERR_INVAL ? ERR_CORRUPT : e;
}
