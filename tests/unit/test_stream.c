/* A stream, rule by rule: admission, limits, purges, what a damaged or shortened log leaves. */
#include "lib/check.h"
#include "stream/codec.h"
#include "stream/stream.h"

#define MS   1000000ll
#define SEC  (1000 * MS)
#define B(s) ((struct mr_bytes){(const uint8_t *)(s), strlen(s)})
static const uint8_t secret[16] = {1, 2, 3};
static const int64_t T0 = 1000 * SEC;

static struct mr_stream_config config(void) {
    static const struct mr_bytes subjects[] = {{(const uint8_t *)">", 1}};
    return (struct mr_stream_config){.size = sizeof(struct mr_stream_config),
                                     .name = B("S"),
                                     .subjects = subjects,
                                     .subjects_count = 1,
                                     .max_msgs = -1,
                                     .max_bytes = -1,
                                     .max_msg_size = -1,
                                     .max_msgs_per_subject = -1};
}

static struct stream *open_with(struct mr_stream_config cfg) {
    static struct stream st;
    CHECK_EQ(stream_init(&st, &cfg, T0, secret, NULL), ERR_OK);
    return &st;
}

static struct stream_verdict ask(struct stream *st, const char *subject, const char *payload,
                                 const struct mr_append_opts *o, int64_t now) {
    struct mr_msg m = {.subject = B(subject), .payload = B(payload)};
    struct stream_verdict v;
    stream_admit(st, &m, o, now, &v);
    return v;
}

static enum mr_status put_opts(struct stream *st, const char *subject, const char *payload,
                               const struct mr_append_opts *o, int64_t now) {
    struct stream_verdict v = ask(st, subject, payload, o, now);
    if (v.status != MR_OK) return v.status;
    struct stream_put p = {.seq = v.seq,
                           .loc = v.seq,
                           .ts = v.ts,
                           .subject = span_str(subject),
                           .payload_size = strlen(payload)};
    if (o) p.msg_id = span_of_bytes(o->msg_id), p.rollup = o->rollup;
    stream_applied(st, &p);
    return MR_OK;
}

static enum mr_status put(struct stream *st, const char *subject) {
    return put_opts(st, subject, "", NULL, T0);
}

static const char *show(struct stream *st) {
    static char buf[200];
    struct mr_stream_state s;
    stream_state(st, &s);
    snprintf(buf, sizeof buf,
             "%" PRIu64 " msgs %" PRIu64 "..%" PRIu64 " %" PRIu64 " deleted %" PRIu64 " lost", s.msgs,
             s.first_seq, s.last_seq, s.num_deleted, s.lost_msgs);
    return buf;
}

/* ------------------------------------------------------------------------------------------------ admission
 */

/* Each step leaves one more thing wrong out: the first that is wrong is the answer, in nats-server's order.
 */
static void checks_in_order(void) {
    struct mr_stream_config cfg = config();
    cfg.max_msg_size = 5;
    cfg.duplicate_window_ns = SEC;
    cfg.discard = MR_DISCARD_NEW;
    cfg.max_msgs = 1;
    struct stream *st = open_with(cfg);
    struct mr_append_opts first = {.msg_id = B("id1")};
    CHECK_EQ(put_opts(st, "a", "x", &first, T0), MR_OK);
    st->conf.c.sealed = true;
    struct mr_append_opts o = {.expect_last_subject_seq = true,
                               .last_subject_seq = 9,
                               .expect_last_seq = true,
                               .last_seq = 8,
                               .msg_id = B("id1"),
                               .expect_last_msg_id = B("other"),
                               .rollup = MR_ROLLUP_SUBJECT};
    CHECK_EQ(ask(st, "a", "123456", &o, T0).status, MR_SEALED);
    st->conf.c.sealed = false;
    CHECK_EQ(ask(st, "a", "123456", &o, T0).status, MR_TOO_LARGE);
    struct stream_verdict v = ask(st, "a", "12345", &o, T0);
    CHECK_EQ(v.status, MR_WRONG_LAST_SEQ);
    CHECK_EQ(v.seq, 1);
    o.expect_last_subject_seq = false;
    CHECK_EQ(ask(st, "a", "1", &o, T0).status, MR_WRONG_LAST_SEQ);
    o.last_seq = 1;
    v = ask(st, "a", "1", &o, T0);
    CHECK_EQ(v.status, MR_DUPLICATE);
    CHECK_EQ(v.seq, 1);
    o.msg_id = B("id2");
    v = ask(st, "a", "1", &o, T0);
    CHECK_EQ(v.status, MR_WRONG_LAST_ID);
    CHECK(span_eq(v.last_id, SPAN_LIT("id1")));
    o.expect_last_msg_id = B("id1");
    CHECK_EQ(ask(st, "a", "1", &o, T0).status, MR_DENIED);
    o.rollup = MR_ROLLUP_NONE;
    CHECK_EQ(ask(st, "a", "1", &o, T0).status, MR_MAX_MSGS);
    CHECK_STR(show(st), "1 msgs 1..1 0 deleted 0 lost");
    stream_deinit(st);
}

static void expected_sequences(void) {
    struct stream *st = open_with(config());
    struct mr_append_opts zero = {.expect_last_subject_seq = true},
                          wild = {.expect_last_subject_seq = true, .last_subject_filter = B("a.*")};
    CHECK_EQ(put_opts(st, "a.1", "", &zero, T0), MR_OK);
    CHECK_EQ(put_opts(st, "a.2", "", &zero, T0), MR_OK);
    CHECK_EQ(put_opts(st, "a.1", "", &zero, T0), MR_WRONG_LAST_SEQ);
    CHECK_EQ(ask(st, "b", "", &wild, T0).seq, 2);
    wild.last_subject_seq = 2;
    CHECK_EQ(put_opts(st, "b", "", &wild, T0), MR_OK);
    struct mr_append_opts last = {.expect_last_seq = true, .last_seq = 2};
    CHECK_EQ(ask(st, "b", "", &last, T0).seq, 3);
    last.last_seq = 3;
    CHECK_EQ(put_opts(st, "b", "", &last, T0), MR_OK);
    stream_deinit(st);
}

static void duplicates(void) {
    struct mr_stream_config cfg = config();
    cfg.duplicate_window_ns = 2 * SEC;
    struct stream *st = open_with(cfg);
    struct mr_append_opts o = {.msg_id = B("x")};
    CHECK_EQ(put_opts(st, "a", "", &o, T0), MR_OK);
    CHECK_EQ(put(st, "a"), MR_OK);
    CHECK_EQ(put_opts(st, "b", "", &o, T0 + 2 * SEC - 1), MR_DUPLICATE);
    CHECK_EQ(put_opts(st, "b", "", &o, T0 + 2 * SEC), MR_OK);
    CHECK_EQ(ask(st, "b", "", &o, T0 + 3 * SEC).seq, 3);
    /* The message may be gone, the id is still known. */
    stream_delete(st, 3);
    CHECK_EQ(put_opts(st, "b", "", &o, T0 + 3 * SEC), MR_DUPLICATE);
    stream_deinit(st);
}

static void last_id_is_that_of_the_last_message(void) {
    struct stream *st = open_with(config());
    struct mr_append_opts id = {.msg_id = B("x")}, want = {.expect_last_msg_id = B("x")};
    CHECK_EQ(put_opts(st, "a", "", &id, T0), MR_OK);
    CHECK_EQ(put_opts(st, "a", "", &want, T0), MR_OK);
    CHECK_EQ(put_opts(st, "a", "", &want, T0), MR_WRONG_LAST_ID); /* the message between had none */
    stream_deinit(st);
}

static void time_never_goes_back(void) {
    struct stream *st = open_with(config());
    CHECK_EQ(put_opts(st, "a", "", NULL, T0 + SEC), MR_OK);
    CHECK_EQ(ask(st, "a", "", NULL, T0).ts, T0 + SEC);
    stream_deinit(st);
}

static void sizes_as_nats_server_counts(void) {
    CHECK_EQ(stream_msg_size(MR_FILE, 5, 0, 10), 22 + 5 + 10 + 8);
    CHECK_EQ(stream_msg_size(MR_FILE, 5, 20, 10), 22 + 5 + 4 + 20 + 10 + 8);
    CHECK_EQ(stream_msg_size(MR_MEMORY, 5, 20, 10), 16 + 5 + 20 + 10);
    struct mr_stream_config cfg = config();
    cfg.storage = MR_MEMORY;
    struct stream *st = open_with(cfg);
    CHECK_EQ(put_opts(st, "abc", "hello", NULL, T0), MR_OK);
    CHECK_EQ(st->bytes, 16 + 3 + 5);
    stream_deinit(st);
}

/* ------------------------------------------------------------------------------------------------ limits */

static void discard_new(void) {
    struct mr_stream_config cfg = config();
    cfg.discard = MR_DISCARD_NEW;
    cfg.max_msgs = 3;
    cfg.max_msgs_per_subject = 2;
    struct stream *st = open_with(cfg);
    CHECK_EQ(put(st, "a"), MR_OK);
    CHECK_EQ(put(st, "a"), MR_OK);
    CHECK_EQ(put(st, "b"), MR_OK);
    CHECK_EQ(put(st, "b"), MR_MAX_MSGS);
    CHECK_EQ(put(st, "a"), MR_OK); /* the subject is full: the new one takes a place */
    CHECK_STR(show(st), "3 msgs 2..4 0 deleted 0 lost");
    st->conf.c.discard_new_per_subject = true;
    CHECK_EQ(put(st, "a"), MR_MAX_PER_SUBJECT);
    st->conf.c.allow_rollup = true;
    struct mr_append_opts o = {.rollup = MR_ROLLUP_SUBJECT};
    CHECK_EQ(put_opts(st, "a", "", &o, T0), MR_OK);
    CHECK_STR(show(st), "2 msgs 3..5 1 deleted 0 lost");
    stream_deinit(st);
}

static void discard_new_bytes(void) {
    struct mr_stream_config cfg = config();
    cfg.discard = MR_DISCARD_NEW;
    cfg.max_bytes = 2 * (30 + 1 + 4);
    cfg.max_msgs_per_subject = 1;
    struct stream *st = open_with(cfg);
    CHECK_EQ(put_opts(st, "a", "1234", NULL, T0), MR_OK);
    CHECK_EQ(put_opts(st, "b", "1234", NULL, T0), MR_OK);
    CHECK_EQ(put_opts(st, "c", "", NULL, T0), MR_MAX_BYTES);
    CHECK_EQ(put_opts(st, "a", "12345", NULL, T0), MR_MAX_BYTES); /* larger than the one it replaces */
    CHECK_EQ(put_opts(st, "a", "4321", NULL, T0), MR_OK);         /* as large is small enough */
    CHECK_EQ(put_opts(st, "a", "123", NULL, T0), MR_OK);
    stream_deinit(st);
}

static void discard_old(void) {
    struct mr_stream_config cfg = config();
    cfg.max_msgs = 4;
    cfg.max_bytes = 200;
    struct stream *st = open_with(cfg);
    for (int i = 0; i < 6; i++) CHECK_EQ(put(st, "a"), MR_OK);
    CHECK_STR(show(st), "4 msgs 3..6 0 deleted 0 lost");
    char big[120];
    memset(big, 'x', sizeof big);
    big[119] = 0;
    CHECK_EQ(put_opts(st, "a", big, NULL, T0), MR_OK);
    CHECK_STR(show(st), "2 msgs 6..7 0 deleted 0 lost");
    stream_deinit(st);
}

static void age(void) {
    struct mr_stream_config cfg = config();
    cfg.max_age_ns = 10 * SEC;
    struct stream *st = open_with(cfg);
    CHECK_EQ(stream_expires_at(st), INT64_MAX);
    for (int i = 0; i < 5; i++) CHECK_EQ(put_opts(st, "a", "", NULL, T0 + i * SEC), MR_OK);
    CHECK_EQ(stream_expires_at(st), T0 + 10 * SEC);
    CHECK_EQ(stream_expire(st, T0 + 10 * SEC - 1, 100), 0);
    CHECK_EQ(stream_expire(st, T0 + 12 * SEC, 2), 2);
    CHECK_EQ(stream_expire(st, T0 + 12 * SEC, 2), 1);
    CHECK_STR(show(st), "2 msgs 4..5 0 deleted 0 lost");
    CHECK_EQ(stream_expire(st, T0 + 99 * SEC, 100), 2);
    CHECK_STR(show(st), "0 msgs 6..5 0 deleted 0 lost");
    stream_deinit(st);
}

static void update_applies_lowered_limits(void) {
    struct stream *st = open_with(config());
    for (int i = 0; i < 10; i++) CHECK_EQ(put(st, i % 2 ? "a" : "b"), MR_OK);
    struct mr_stream_config cfg = config();
    cfg.name = B("ignored");
    cfg.storage = MR_MEMORY;
    cfg.max_msgs = 6;
    cfg.max_msgs_per_subject = 2;
    CHECK_EQ(stream_update(st, &cfg, T0), MR_OK);
    CHECK_STR(show(st), "4 msgs 7..10 0 deleted 0 lost");
    CHECK(span_eq(span_of_bytes(st->conf.c.name), SPAN_LIT("S")));
    CHECK_EQ(st->conf.c.storage, MR_FILE);
    cfg.retention = (enum mr_retention)77;
    CHECK_EQ(stream_update(st, &cfg, T0), MR_INVAL);
    CHECK_EQ(st->conf.c.max_msgs, 6);
    stream_deinit(st);
}

static void rollup_all(void) {
    struct mr_stream_config cfg = config();
    cfg.allow_rollup = true;
    struct stream *st = open_with(cfg);
    for (int i = 0; i < 5; i++) CHECK_EQ(put(st, i % 2 ? "a" : "b"), MR_OK);
    struct mr_append_opts o = {.rollup = MR_ROLLUP_ALL};
    CHECK_EQ(put_opts(st, "a", "", &o, T0), MR_OK);
    CHECK_STR(show(st), "1 msgs 6..6 0 deleted 0 lost");
    st->conf.c.deny_purge = true;
    CHECK_EQ(put_opts(st, "a", "", &o, T0), MR_DENIED);
    stream_deinit(st);
}

static void rollup_pattern(void) {
    struct mr_stream_config cfg = config();
    cfg.allow_rollup = true;
    struct stream *st = open_with(cfg);
    struct mr_append_opts o = {.rollup = MR_ROLLUP_SUBJECT};
    static const char *const subjects[] = {"x.1", "y", "x.2", "x.1.z", "x.1"};
    for (size_t i = 0; i < 5; i++) CHECK_EQ(put(st, subjects[i]), MR_OK);
    CHECK_EQ(put_opts(st, "x.*", "", &o, T0), MR_OK); /* y and x.1.z stay, and itself */
    CHECK_STR(show(st), "3 msgs 2..6 2 deleted 0 lost");
    CHECK_EQ(put_opts(st, "x.*", "", &o, T0), MR_OK);
    CHECK_STR(show(st), "3 msgs 2..7 3 deleted 0 lost");
    CHECK_EQ(put_opts(st, ">", "", &o, T0), MR_OK);
    CHECK_STR(show(st), "1 msgs 8..8 0 deleted 0 lost");
    stream_deinit(st);
}

/* ------------------------------------------------------------------------------------------------ delete,
 * purge */

static void deletes(void) {
    struct stream *st = open_with(config());
    for (int i = 0; i < 5; i++) CHECK_EQ(put(st, "a"), MR_OK);
    stream_delete(st, 3);
    CHECK_STR(show(st), "4 msgs 1..5 1 deleted 0 lost");
    stream_delete(st, 5);
    CHECK_STR(show(st), "3 msgs 1..5 2 deleted 0 lost");
    stream_delete(st, 1);
    CHECK_STR(show(st), "2 msgs 2..5 2 deleted 0 lost");
    CHECK_EQ(stream_may_delete(st, 3), MR_NONE);
    st->conf.c.deny_delete = true;
    CHECK_EQ(stream_may_delete(st, 2), MR_DENIED);
    st->conf.c.sealed = true;
    CHECK_EQ(stream_may_delete(st, 2), MR_SEALED);
    stream_deinit(st);
}

static enum mr_status purge(struct stream *st, const char *filter, uint64_t seq, uint64_t keep) {
    struct stream_purge p;
    enum mr_status s = stream_plan_purge(st, span_str(filter), seq, keep, &p);
    if (s == MR_OK) stream_purge(st, &p);
    return s;
}

static void purges(void) {
    struct stream *st = open_with(config());
    for (int i = 0; i < 10; i++) CHECK_EQ(put(st, i % 2 ? "a" : "b"), MR_OK);
    CHECK_EQ(purge(st, "", 3, 1), MR_INVAL);
    CHECK_EQ(purge(st, "", 1, 0), MR_NONE);
    CHECK_EQ(purge(st, "c", 0, 0), MR_NONE);
    CHECK_EQ(purge(st, "", 0, 99), MR_NONE);
    CHECK_EQ(purge(st, "a", 0, 2), MR_OK);
    CHECK_STR(show(st), "7 msgs 1..10 3 deleted 0 lost");
    CHECK_EQ(purge(st, "", 4, 0), MR_OK);
    CHECK_STR(show(st), "5 msgs 5..10 1 deleted 0 lost");
    CHECK_EQ(purge(st, "", 0, 2), MR_OK);
    CHECK_STR(show(st), "2 msgs 9..10 0 deleted 0 lost");
    CHECK_EQ(purge(st, "", 0, 0), MR_OK);
    CHECK_STR(show(st), "0 msgs 11..10 0 deleted 0 lost");
    CHECK_EQ(purge(st, "", 50, 0), MR_OK); /* the sequence jumps */
    CHECK_STR(show(st), "0 msgs 50..49 0 deleted 0 lost");
    CHECK_EQ(put(st, "a"), MR_OK);
    CHECK_EQ(st->last_seq, 50);
    CHECK_EQ(purge(st, "", UINT64_MAX, 0), MR_OK); /* but not so far that none is left */
    CHECK_STR(show(st), "0 msgs 51..50 0 deleted 0 lost");
    CHECK_EQ(purge(st, "", MR_FIRST_SEQ_MAX, 0), MR_OK);
    CHECK_EQ(put(st, "a"), MR_OK);
    CHECK_EQ(st->last_seq, MR_FIRST_SEQ_MAX);
    st->conf.c.deny_purge = true;
    CHECK_EQ(purge(st, "", 0, 0), MR_DENIED);
    stream_deinit(st);
}

static void empty_stream_says_zero(void) {
    struct stream *st = open_with(config());
    CHECK_STR(show(st), "0 msgs 0..0 0 deleted 0 lost");
    CHECK_EQ(stream_seq_next(st, 0, SPAN_EMPTY, false), 0);
    CHECK_EQ(stream_seq_last(st, SPAN_EMPTY, false), 0);
    CHECK_EQ(stream_seq_at(st, 0), 1);
    stream_deinit(st);
}

static bool collect(void *ctx, uint64_t seq) {
    char *s = ctx;
    sprintf(s + strlen(s), "%" PRIu64 " ", seq);
    return strlen(s) < 12;
}

static void deleted_list(void) {
    struct stream *st = open_with(config());
    for (int i = 0; i < 9; i++) CHECK_EQ(put(st, "a"), MR_OK);
    const uint64_t gone[] = {1, 3, 4, 7, 9};
    for (size_t i = 0; i < 5; i++) stream_delete(st, gone[i]);
    char s[64] = "";
    stream_deleted(st, collect, s);
    CHECK_STR(s, "3 4 7 9 ");
    stream_deinit(st);
}

/* ------------------------------------------------------------------------------------------------ recovery
 */

static struct span full_record(struct stream *st) {
    static struct codec_buf b;
    CHECK_EQ(codec_stream(&b, st), ERR_OK);
    return codec_span(&b);
}

static enum err replay(struct stream *st, uint64_t seq) {
    struct stream_put p = {.seq = seq, .loc = seq, .ts = T0, .subject = SPAN_LIT("a")};
    return stream_replay(st, &p);
}

/* The created stream's record, then messages of which some are damaged. */
static void gaps_are_lost(void) {
    struct stream *st = open_with(config()), r;
    struct span full = full_record(st);
    stream_init_blank(&r, secret, NULL);
    CHECK_EQ(stream_load(&r, full), ERR_OK);
    CHECK_EQ(replay(&r, 1), ERR_OK);
    CHECK_EQ(replay(&r, 4), ERR_OK); /* 2 and 3 are unreadable altogether */
    CHECK_EQ(replay(&r, 4), ERR_NONE);
    stream_lost(&r, 5, 100); /* its header can be read */
    CHECK_EQ(replay(&r, 6), ERR_OK);
    stream_lost(&r, 7, 50); /* the last one: its number is not used again */
    CHECK_EQ(stream_recovered(&r, T0), ERR_OK);
    CHECK_STR(show(&r), "3 msgs 1..7 4 deleted 4 lost");
    CHECK_EQ(r.lost_bytes, 150);
    CHECK_EQ(ask(&r, "a", "", NULL, T0).seq, 8);
    stream_lost(&r, 6, 0); /* found out later, when it is read */
    CHECK_STR(show(&r), "2 msgs 1..7 5 deleted 5 lost");
    stream_deinit(st);
    stream_deinit(&r);
}

/* The beginning was recycled: messages come before the first full record. */
static void full_record_is_the_truth(void) {
    struct stream *st = open_with(config()), r;
    for (int i = 0; i < 8; i++) CHECK_EQ(put(st, "a"), MR_OK);
    stream_delete(st, 3);
    stream_delete(st, 5);
    stream_delete(st, 1);
    struct span full = full_record(st);
    stream_init_blank(&r, secret, NULL);
    const uint64_t there[] = {3, 4, 5,
                              8}; /* 2, 6 and 7 are lost; 3 and 5 were deleted by records that are gone */
    for (size_t i = 0; i < 4; i++) CHECK_EQ(replay(&r, there[i]), ERR_OK);
    CHECK_EQ(stream_load(&r, full), ERR_OK);
    CHECK_STR(show(&r), "2 msgs 4..8 3 deleted 3 lost");
    CHECK_EQ(replay(&r, 9), ERR_OK);
    CHECK_EQ(stream_recovered(&r, T0), ERR_OK);
    CHECK_STR(show(&r), "3 msgs 4..9 3 deleted 3 lost");
    CHECK_EQ(r.visible_seq, 9);
    stream_deinit(st);
    stream_deinit(&r);
}

static void moved_messages(void) {
    struct stream *st = open_with(config()), r;
    for (int i = 0; i < 4; i++) CHECK_EQ(put(st, i % 2 ? "b" : "a"), MR_OK);
    struct span full = full_record(st);
    stream_init_blank(&r, secret, NULL);
    CHECK_EQ(replay(&r, 3), ERR_OK);
    const uint64_t moved[] = {4, 1, 2};
    for (size_t i = 0; i < 3; i++) {
        struct stream_put p = {.seq = moved[i],
                               .loc = 100 + moved[i],
                               .ts = T0,
                               .subject = moved[i] % 2 ? SPAN_LIT("a") : SPAN_LIT("b")};
        CHECK_EQ(stream_moved(&r, &p), ERR_OK);
    }
    CHECK_EQ(stream_load(&r, full), ERR_OK);
    CHECK_EQ(stream_recovered(&r, T0), ERR_OK);
    CHECK_STR(show(&r), "4 msgs 1..4 0 deleted 0 lost");
    CHECK_EQ(stream_next_same(&r, 1), 3);
    CHECK_EQ(stream_prev_same(&r, 4), 2);
    CHECK_EQ(stream_get(&r, 2, false)->loc, 102);
    struct stream_put gone = {.seq = 9, .loc = 1, .subject = SPAN_LIT("a")};
    CHECK_EQ(stream_moved(&r, &gone), ERR_NONE);
    stream_deinit(st);
    stream_deinit(&r);
}

/* The originals are gone and their copies stand behind an older full record: found again, none is lost; also
 * those that the record does not know yet. */
static void copies_behind_an_older_record(void) {
    struct stream *st = open_with(config()), r;
    for (int i = 0; i < 4; i++) CHECK_EQ(put(st, "a"), MR_OK);
    struct span full = full_record(st);
    stream_init_blank(&r, secret, NULL);
    CHECK_EQ(stream_load(&r, full), ERR_OK);
    CHECK_EQ(r.lost_msgs, 4);
    const uint64_t moved[] = {3, 1, 7, 2, 6, 4, 5};
    for (size_t i = 0; i < 7; i++) {
        struct stream_put p = {.seq = moved[i], .loc = 100 + moved[i], .ts = T0, .subject = SPAN_LIT("a")};
        CHECK_EQ(stream_moved(&r, &p), ERR_OK);
        if (moved[i] == 7) CHECK_EQ(r.lost_msgs, 4); /* 2 and 4, 5 and 6 */
    }
    CHECK_EQ(stream_recovered(&r, T0), ERR_OK);
    CHECK_STR(show(&r), "7 msgs 1..7 0 deleted 0 lost");
    stream_deinit(st);
    stream_deinit(&r);
}

static void nonsense_records_are_refused(void) {
    struct stream r;
    stream_init_blank(&r, secret, NULL);
    CHECK_EQ(replay(&r, 0), ERR_CORRUPT);
    CHECK_EQ(replay(&r, UINT64_MAX), ERR_CORRUPT);
    struct stream_put p = {.seq = 1, .loc = 1};
    CHECK_EQ(stream_replay(&r, &p), ERR_CORRUPT);
    CHECK_EQ(stream_load(&r, SPAN_EMPTY), ERR_CORRUPT);
    CHECK(r.blank);
    stream_deinit(&r);
}

CHECK_MAIN(CASE(checks_in_order), CASE(expected_sequences), CASE(duplicates),
           CASE(last_id_is_that_of_the_last_message), CASE(time_never_goes_back),
           CASE(sizes_as_nats_server_counts), CASE(discard_new), CASE(discard_new_bytes), CASE(discard_old),
           CASE(age), CASE(update_applies_lowered_limits), CASE(rollup_all), CASE(rollup_pattern),
           CASE(deletes), CASE(purges), CASE(empty_stream_says_zero), CASE(deleted_list), CASE(gaps_are_lost),
           CASE(full_record_is_the_truth), CASE(moved_messages),
           CASE(copies_behind_an_older_record), CASE(nonsense_records_are_refused))
