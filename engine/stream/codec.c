/* codec.c - payloads of the records that carry state. A payload is a list of items: tag (u16), length (u32),
 * value. A reader skips tags it does not know and takes a missing word of a list for its default, so that
 * later versions can add both. A step is the difference to the item before, as a zigzag varint.
 *
 * REC_STREAM: NAME. CONFIG words: storage, retention, discard, flags (1 discard_new_per_subject, 2 sealed,
 * 4 deny_delete, 8 deny_purge, 16 allow_rollup, 32 allow_direct, 64 no_ack), max_msgs, max_bytes, max_age_ns,
 * max_msg_size, max_msgs_per_subject, max_consumers, duplicate_window_ns, first_seq. SUBJECT each. EXTRA.
 * STATE words: first_seq, last_seq, last_ts, created, lost_msgs, lost_bytes. LAST_ID. RUNS: varints live,
 * deleted, live, ... from first_seq to last_seq. IDS whose message is gone: 12 bytes of hash, varint sequence
 * less the one before, varint time less the one before. It is the stream as it is behind everything logged
 * before: messages not in RUNS are gone for good.
 *
 * REC_CONSUMER: NAME. CONFIG words: flags (1 durable, 2 mem_storage, 4 headers_only), deliver, opt_start_seq,
 * opt_start_time, ack, ack_wait_ns, max_deliver, max_ack_pending, inactive_threshold_ns. SUBJECT: each
 * filter. BACKOFF words. EXTRA. STATE words: created, delivered_last, floor_last, next_seq, delivered_cseq,
 * delivered_seq, floor_cseq, floor_seq, last_per_subject_until. PENDING: every entry.
 *
 * REC_PROGRESS: STATE as above. PENDING: entries that are new or changed: steps of sequence, consumer
 * sequence and time, varints redeliveries and place (0 waiting, 1 to be redelivered at once, 2 at
 * max_deliver). REMOVED: steps of the sequences of entries that are gone; they come first.
 *
 * Each record of a consumer, its REC_CONSUMER_GONE too, may have RELEASED: runs of messages that left the
 * stream with what the record says (interest and work queue retention): varints, steps from the run before to
 * its first sequence and from there to its last. A REC_PROGRESS without a name has nothing else.
 *
 * The head of a stream in a checkpoint: NAME to LAST_ID as in REC_STREAM. TOTALS words: messages, bytes, time of
 * the first message, are subjects listed, ids. PAGES: varints kind, number, location, size of each image but
 * those of index pages. What the images hold stands atop page_image.c.
 *
 * REC_PURGE: STATE word: below. FILTER.
 */
#include "stream/codec.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/must.h"
#include "stream/codec_core.h"
#include "stream/tlv.h"

struct span codec_name(struct span record) {
    must(record.p || record.n == 0);
    struct tlv t = tlv_open(record);
    struct span name = SPAN_EMPTY;
    while (tlv_next(&t)) {
        if (t.tag == TAG_NAME) name = t.value;
    }
    return t.bad ? SPAN_EMPTY : name;
}

static bool count_subjects(struct span record, size_t *count) {
    must(count);
    must(record.p || record.n == 0);
    struct tlv t = tlv_open(record);
    *count = 0;
    while (tlv_next(&t)) {
        if (t.tag != TAG_SUBJECT) continue;
        if (t.value.n > UINT16_MAX || ++*count > CONF_SUBJECTS_MAX) return false;
    }
    return !t.bad;
}

enum err codec_subjects(struct span record, struct mr_bytes **subjects, size_t *count) {
    must(subjects && count);
    *subjects = NULL;
    if (!count_subjects(record, count)) return ERR_CORRUPT;
    if (*count == 0) return ERR_OK;
    struct mr_bytes *s = malloc(*count * sizeof *s);
    if (!s) return ERR_NOMEM;
    size_t n = 0;
    struct tlv t = tlv_open(record);
    while (tlv_next(&t)) {
        if (t.tag == TAG_SUBJECT) s[n++] = bytes_of_span(t.value);
    }
    must(n == *count);
    *subjects = s;
    return ERR_OK;
}

enum err codec_purge(struct codec_buf *b, const struct stream_purge *p) {
    must(b && p && p->below > 0);
    tlv_reset(b);
    tlv_words(b, TAG_STATE, &p->below, 1);
    if (p->filter.n) tlv_bytes(b, TAG_FILTER, p->filter);
    return b->failed ? ERR_NOMEM : ERR_OK;
}

enum err codec_read_purge(struct span record, struct stream_purge *p) {
    must(p);
    struct tlv t = tlv_open(record);
    struct stream_purge got = {.filter = SPAN_EMPTY, .below = 0};
    bool ok = true;
    while (ok && tlv_next(&t)) {
        if (t.tag == TAG_STATE)
            ok = tlv_get_words(t.value, &got.below, 1);
        else if (t.tag == TAG_FILTER)
            got.filter = t.value;
    }
    if (!ok || t.bad || got.below == 0 || got.below == UINT64_MAX || got.filter.n > UINT16_MAX)
        return ERR_CORRUPT;
    *p = got;
    return ERR_OK;
}

uint64_t codec_config_hash(struct span record) {
    uint64_t h = 0;
    struct tlv t = tlv_open(record);
    while (tlv_next(&t)) {
        bool config = t.tag == TAG_NAME || t.tag == TAG_CONFIG || t.tag == TAG_SUBJECT ||
                      t.tag == TAG_EXTRA || t.tag == TAG_BACKOFF;
        if (!config) continue;
        h = hash_bytes(t.value.p, t.value.n, h ^ (uint64_t)t.tag);
    }
    return h;
}
