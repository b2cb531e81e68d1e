/* batch.c - see batch.h. The happy path walks the messages once and remembers subjects and ids in tables on
 * the stack. Order of the checks of one message: size, duplicate, expected last sequence, expected last
 * subject sequence, rollup, discard new. What fails is the first message that must not be stored. */
#include "stream/batch.h"

#include "base/crc32c.h"
#include "base/must.h"
#include "stream/stream_core.h"

enum { TABLE = 2048 };
static_must(TABLE >= 2 * STREAM_BATCH_MAX);
static_must((TABLE & (TABLE - 1)) == 0);

/* Words of the batch and the message that brought each first. */
struct words {
    uint16_t slot[TABLE]; /* message + 1; 0 = free */
    struct span word[STREAM_BATCH_MAX];
};

struct check {
    struct stream *st;
    const struct mr_msg *msgs;
    const struct mr_append_opts *opts;
    struct words subjects, ids;
    uint16_t of_subject[STREAM_BATCH_MAX]; /* by the first message of the subject: how many there are */
    uint64_t bytes;                        /* of the messages so far */
    struct stream_batch_verdict *out;
};

static uint16_t *words_slot(struct words *w, struct span s) {
    must(s.n > 0);
    uint32_t at = crc32c(0, s.p, s.n) & (TABLE - 1);
    while (w->slot[at] && !span_eq(w->word[w->slot[at] - 1], s)) at = (at + 1) & (TABLE - 1);
    return &w->slot[at];
}

static bool words_have(struct words *w, struct span s) { return *words_slot(w, s) != 0; }

/* The message that brought it first. */
static size_t words_add(struct words *w, struct span s, size_t message) {
    uint16_t *slot = words_slot(w, s);
    if (!*slot) {
        w->word[message] = s;
        *slot = (uint16_t)(message + 1);
    }
    must(*slot <= STREAM_BATCH_MAX);
    return *slot - 1u;
}

static enum mr_status in_batch(struct check *c, enum mr_status s) {
    c->out->in_batch = true;
    return s;
}

static enum mr_status known(struct check *c, size_t i, int64_t now) {
    struct span id = c->opts ? span_of_bytes(c->opts[i].msg_id) : SPAN_EMPTY;
    if (id.n == 0) return MR_OK;
    if (words_have(&c->ids, id)) return in_batch(c, MR_DUPLICATE);
    struct dedupe *d = &c->st->dedupe;
    c->out->v.seq = dedupe_find(d, dedupe_hash(d, id), now);
    words_add(&c->ids, id, i);
    return c->out->v.seq ? MR_DUPLICATE : MR_OK;
}

static enum mr_status expected(struct check *c, size_t i) {
    const struct mr_append_opts *o = &c->opts[i];
    uint64_t *seq = &c->out->v.seq;
    if (o->expect_last_seq) {
        *seq = c->st->last_seq + i;
        if (o->last_seq != *seq) return MR_WRONG_LAST_SEQ;
        if (i > 0) return in_batch(c, MR_WRONG_LAST_SEQ); /* the first message says it for all */
    }
    if (o->expect_last_subject_seq) {
        struct mr_bytes filter = o->last_subject_filter.n ? o->last_subject_filter : c->msgs[i].subject;
        if (words_have(&c->subjects, span_of_bytes(filter))) return in_batch(c, MR_WRONG_LAST_SEQ);
        *seq = stream_seq_last(c->st, span_of_bytes(filter), false);
        if (o->last_subject_seq != *seq) return MR_WRONG_LAST_SEQ;
    }
    return MR_OK;
}

static enum mr_status rollup(struct check *c, size_t i) {
    const struct mr_stream_config *cfg = &c->st->conf.c;
    enum mr_rollup r = c->opts[i].rollup;
    if (r == MR_ROLLUP_NONE) return MR_OK;
    if (!cfg->allow_rollup || cfg->deny_purge) return MR_DENIED;
    bool late = r == MR_ROLLUP_ALL ? i > 0 : words_have(&c->subjects, span_of_bytes(c->msgs[i].subject));
    return late ? in_batch(c, MR_DENIED) : MR_OK;
}

/* `of_subject`: how many messages of the batch so far, this one included, have its subject. */
static enum mr_status discard_new(struct check *c, size_t i, uint64_t of_subject) {
    struct stream *st = c->st;
    const struct mr_stream_config *cfg = &st->conf.c;
    if (cfg->discard != MR_DISCARD_NEW) return MR_OK;
    if (cfg->max_msgs > 0 && st->msgs + i + 1 > (uint64_t)cfg->max_msgs) return MR_MAX_MSGS;
    if (cfg->max_bytes > 0 && st->bytes + c->bytes > (uint64_t)cfg->max_bytes) return MR_MAX_BYTES;
    bool rolls = c->opts && c->opts[i].rollup != MR_ROLLUP_NONE;
    if (!cfg->discard_new_per_subject || cfg->max_msgs_per_subject <= 0 || rolls) return MR_OK;
    uint32_t id = subjects_find(&st->subjects, span_of_bytes(c->msgs[i].subject));
    uint64_t stored = id == SUBJECT_NONE ? 0 : subjects_at(&st->subjects, id)->count;
    return stored + of_subject > (uint64_t)cfg->max_msgs_per_subject ? MR_MAX_PER_SUBJECT : MR_OK;
}

static enum mr_status decide(struct check *c, size_t i, int64_t now) {
    const struct mr_stream_config *cfg = &c->st->conf.c;
    const struct mr_msg *m = &c->msgs[i];
    size_t n = m->hdr.n + m->payload.n;
    if (cfg->max_msg_size > 0 && n > (uint64_t)cfg->max_msg_size) return MR_TOO_LARGE;
    if (m->subject.n + n >= INDEX_BODY_MAX || m->subject.n > UINT16_MAX) return MR_TOO_LARGE;
    if (c->opts && c->opts[i].expect_last_msg_id.n) return MR_UNSUPPORTED;
    enum mr_status s = known(c, i, now);
    if (s == MR_OK && c->opts) s = expected(c, i);
    if (s == MR_OK && c->opts) s = rollup(c, i);
    if (s != MR_OK) return s;
    size_t first = words_add(&c->subjects, span_of_bytes(m->subject), i);
    c->bytes += stream_msg_size(cfg->storage, m->subject.n, m->hdr.n, m->payload.n);
    return discard_new(c, i, ++c->of_subject[first]);
}

/* From the last to the first, so that making a page of the index does not pack the one before. */
static enum mr_status reserve(struct check *c, size_t count) {
    for (size_t i = count; i-- > 0;) {
        struct span id = c->opts ? span_of_bytes(c->opts[i].msg_id) : SPAN_EMPTY;
        if (stream_reserve(c->st, c->st->last_seq + 1 + i, span_of_bytes(c->msgs[i].subject), id))
            return MR_NOMEM;
    }
    return MR_OK;
}

void stream_admit_batch(struct stream *st, const struct mr_msg *msgs, const struct mr_append_opts *opts,
                        size_t count, int64_t now, struct stream_batch_verdict *out) {
    must(!st->blank && !st->recovering);
    must(count > 0 && count <= STREAM_BATCH_MAX);
    *out = (struct stream_batch_verdict){.v = {.status = st->conf.c.sealed ? MR_SEALED : MR_OK}};
    struct check c = {.st = st, .msgs = msgs, .opts = opts, .out = out};
    for (size_t i = 0; i < count && out->v.status == MR_OK; i++) {
        must(msgs[i].subject.n > 0);
        out->v.seq = 0;
        out->failed_at = i;
        out->v.status = decide(&c, i, now);
    }
    if (out->v.status == MR_OK) out->v.status = reserve(&c, count);
    if (out->v.status != MR_OK) return;
    out->v.seq = st->last_seq + 1;
    out->v.ts = now > st->last_ts ? now : st->last_ts;
    out->failed_at = count;
}

enum err stream_batch_next(struct stream *st, const struct mr_msg *m, const struct mr_append_opts *opts) {
    must(m->subject.n > 0);
    struct span id = opts ? span_of_bytes(opts->msg_id) : SPAN_EMPTY;
    if (id.n) st->admitted = dedupe_hash(&st->dedupe, id);
    must(st->last_seq < UINT64_MAX - 1);
    return stream_reserve(st, st->last_seq + 1, span_of_bytes(m->subject), id);
}
