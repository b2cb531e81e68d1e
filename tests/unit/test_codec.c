/* Records of state: what goes in comes out, what is unknown is skipped, and no bytes do harm. */
#include "base/bytes.h"
#include "base/rng.h"
#include "stream/tlv.h"
#include "test_consumer_lib.h"

static const uint8_t secret[16] = {1};

static struct mr_stream_config full_stream_config(void) {
    static const struct mr_bytes subjects[] = {{(const uint8_t *)"a.*", 3}, {(const uint8_t *)"b.>", 3}};
    return (struct mr_stream_config){.size = sizeof(struct mr_stream_config),
                                     .name = B("ORDERS"),
                                     .subjects = subjects,
                                     .subjects_count = 2,
                                     .storage = MR_FILE,
                                     .retention = MR_RETAIN_WORKQUEUE,
                                     .discard = MR_DISCARD_NEW,
                                     .discard_new_per_subject = true,
                                     .sealed = false,
                                     .deny_delete = true,
                                     .deny_purge = true,
                                     .allow_rollup = true,
                                     .allow_direct = true,
                                     .no_ack = true,
                                     .max_msgs = 1,
                                     .max_bytes = 2,
                                     .max_age_ns = 3,
                                     .max_msg_size = 4,
                                     .max_msgs_per_subject = 5,
                                     .max_consumers = 6,
                                     .duplicate_window_ns = 7,
                                     .first_seq = 8,
                                     .extra = B("{\"x\":1}")};
}

static void same_bytes(struct mr_bytes a, struct mr_bytes b) { CHECK_MEM(a.p, a.n, b.p, b.n); }

static void stream_config_round_trip(void) {
    struct mr_stream_config cfg = full_stream_config();
    struct stream st, copy;
    CHECK_EQ(stream_init(&st, &cfg, 77, secret, NULL), ERR_OK);
    struct codec_buf b;
    codec_buf_init(&b);
    CHECK_EQ(codec_stream(&b, &st), ERR_OK);
    CHECK(span_eq(codec_name(codec_span(&b)), SPAN_LIT("ORDERS")));
    stream_init_blank(&copy, secret, NULL);
    CHECK_EQ(stream_load(&copy, codec_span(&b)), ERR_OK);
    const struct mr_stream_config *c = &copy.conf.c;
    same_bytes(c->name, cfg.name);
    same_bytes(c->extra, cfg.extra);
    CHECK_EQ(c->subjects_count, 2);
    for (size_t i = 0; i < 2; i++) same_bytes(c->subjects[i], cfg.subjects[i]);
    CHECK(c->retention == cfg.retention && c->discard == cfg.discard && c->storage == cfg.storage);
    CHECK(c->discard_new_per_subject && !c->sealed && c->deny_delete && c->deny_purge && c->allow_rollup &&
          c->allow_direct && c->no_ack);
    CHECK(c->max_msgs == 1 && c->max_bytes == 2 && c->max_age_ns == 3 && c->max_msg_size == 4 &&
          c->max_msgs_per_subject == 5);
    CHECK(c->max_consumers == 6 && c->duplicate_window_ns == 7 && c->first_seq == 8);
    CHECK_EQ(copy.created, 77);
    CHECK_EQ(copy.first_seq, 8);
    CHECK_EQ(copy.last_seq, 7);
    codec_buf_deinit(&b);
    stream_deinit(&st);
    stream_deinit(&copy);
}

static void consumer_config_round_trip(void) {
    struct rig g;
    rig_open(&g, NULL);
    const int64_t backoff[] = {5, 6};
    struct mr_bytes filters[] = {B("a"), B("b.>")};
    struct mr_consumer_config cfg = {.size = sizeof cfg,
                                     .name = B("worker"),
                                     .durable = true,
                                     .mem_storage = true,
                                     .deliver = MR_DELIVER_BY_SEQ,
                                     .opt_start_seq = 3,
                                     .opt_start_time = 4,
                                     .ack = MR_ACK_ALL,
                                     .ack_wait_ns = 5,
                                     .max_deliver = 6,
                                     .backoff_ns = backoff,
                                     .backoff_count = 2,
                                     .filters = filters,
                                     .filters_count = 2,
                                     .max_ack_pending = 7,
                                     .inactive_threshold_ns = 8,
                                     .headers_only = true,
                                     .extra = B("more")};
    struct consumer *c = rig_consumer(&g, &cfg);
    struct codec_buf b;
    codec_buf_init(&b);
    CHECK_EQ(codec_consumer(&b, c), ERR_OK);
    struct consumer copy = {0};
    CHECK_EQ(consumer_load(&copy, &g.st, codec_span(&b)), ERR_OK);
    const struct mr_consumer_config *k = &copy.conf.c;
    same_bytes(k->name, cfg.name);
    same_bytes(k->extra, cfg.extra);
    CHECK(k->durable && k->mem_storage && k->headers_only && k->deliver == cfg.deliver && k->ack == cfg.ack);
    CHECK(k->opt_start_seq == 3 && k->opt_start_time == 4 && k->ack_wait_ns == 5 && k->max_deliver == 6);
    CHECK(k->max_ack_pending == 7 && k->inactive_threshold_ns == 8 && k->backoff_count == 2 &&
          k->backoff_ns[1] == 6);
    CHECK_EQ(k->filters_count, 2);
    for (size_t i = 0; i < 2; i++) same_bytes(k->filters[i], filters[i]);
    CHECK_EQ(copy.next_seq, c->next_seq);
    consumer_deinit(&copy);
    codec_buf_deinit(&b);
    rig_close(&g);
}

static void unknown_items_are_skipped(void) {
    struct rig g;
    rig_open(&g, NULL);
    rig_put(&g, "a");
    struct codec_buf b;
    codec_buf_init(&b);
    CHECK_EQ(codec_stream(&b, &g.st), ERR_OK);
    tlv_bytes(&b, 60000, SPAN_LIT("from a later version"));
    struct stream copy;
    stream_init_blank(&copy, secret, NULL);
    CHECK_EQ(stream_load(&copy, codec_span(&b)), ERR_OK);
    CHECK_EQ(copy.last_seq, 1);
    CHECK_EQ(copy.lost_msgs, 1); /* the record has it, the log did not */
    stream_deinit(&copy);
    codec_buf_deinit(&b);
    rig_close(&g);
}

static void varints(void) {
    const uint64_t values[] = {0, 1, 127, 128, 300, 1ull << 32, UINT64_MAX - 1, UINT64_MAX};
    struct codec_buf b;
    codec_buf_init(&b);
    for (size_t i = 0; i < 8; i++) tlv_varint(&b, values[i]);
    struct span s = codec_span(&b);
    for (size_t i = 0; i < 8; i++) {
        uint64_t n;
        CHECK(tlv_get_varint(&s, &n));
        CHECK(n == values[i]);
    }
    CHECK_EQ(s.n, 0);
    const uint8_t bad[][11] = {{0x80}, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02}};
    const size_t sizes[] = {1, 10};
    for (size_t i = 0; i < 2; i++) {
        uint64_t n;
        s = span_of(bad[i], sizes[i]);
        CHECK(!tlv_get_varint(&s, &n));
    }
    for (int64_t i = -3; i <= 3; i++)
        CHECK_EQ(tlv_unzigzag(tlv_zigzag(i * (INT64_MAX / 3))), i * (INT64_MAX / 3));
    codec_buf_deinit(&b);
}

static void purge_round_trip(void) {
    struct codec_buf b;
    codec_buf_init(&b);
    struct stream_purge p = {SPAN_LIT("a.>"), 55}, got;
    CHECK_EQ(codec_purge(&b, &p), ERR_OK);
    CHECK_EQ(codec_read_purge(codec_span(&b), &got), ERR_OK);
    CHECK(span_eq(got.filter, p.filter));
    CHECK_EQ(got.below, 55);
    CHECK_EQ(codec_read_purge(SPAN_EMPTY, &got), ERR_CORRUPT);
    codec_buf_deinit(&b);
}

/* ------------------------------------------------------------------------------------------------ hostile
 * bytes */

/* A stream with holes, ids of deleted messages and a consumer in every state. */
static void busy(struct rig *g) {
    struct mr_stream_config cfg = rig_stream_config();
    cfg.duplicate_window_ns = 100 * SEC;
    rig_open(g, &cfg);
    for (int i = 0; i < 40; i++) {
        char id[16];
        snprintf(id, sizeof id, "id%d", i);
        struct mr_msg m = {.subject = B(i % 3 ? "a" : "b")};
        struct mr_append_opts o = {.msg_id = B(id)};
        struct stream_verdict v;
        stream_admit(&g->st, &m, &o, g->now, &v);
        CHECK_EQ(v.status, MR_OK);
        struct stream_put p = {.seq = v.seq,
                               .loc = v.seq * 8,
                               .ts = v.ts,
                               .subject = span_of_bytes(m.subject),
                               .msg_id = span_str(id)};
        stream_applied(&g->st, &p);
        stream_visible(&g->st, v.seq);
    }
    struct mr_consumer_config ccfg = rig_config();
    const int64_t backoff[] = {SEC, 2 * SEC};
    ccfg.max_deliver = 3;
    ccfg.backoff_ns = backoff;
    ccfg.backoff_count = 2;
    struct consumer *c = rig_consumer(g, &ccfg);
    for (int i = 0; i < 60; i++) {
        rig_next(g, c);
        g->now += SEC / 4;
    }
    for (uint64_t seq = 3; seq < 40; seq += 5) stream_delete(&g->st, seq);
    for (uint64_t seq = 1; seq < 20; seq += 4) rig_ack(g, c, seq, seq);
    consumer_ack(c, MR_NAK, 30, 30, 0, g->now);
}

enum which { STREAM, CONSUMER, PROGRESS, PURGE };

static void encode(struct rig *g, enum which which, struct codec_buf *b) {
    struct stream_purge p = {SPAN_LIT("a.>"), 55};
    enum err e = ERR_OK;
    if (which == STREAM) e = codec_stream(b, &g->st);
    if (which == CONSUMER) e = codec_consumer(b, &g->c[0]);
    if (which == PURGE) e = codec_purge(b, &p);
    if (which == PROGRESS) {
        consumer_logged(&g->c[0]);
        for (int i = 0; i < 20; i++) rig_next(g, &g->c[0]), g->now += SEC;
        for (uint64_t seq = 20; seq < 30; seq++) rig_ack(g, &g->c[0], seq, seq);
        e = codec_progress(b, &g->c[0]);
    }
    CHECK_EQ(e, ERR_OK);
}

/* Decodes on top of the living things and works with what came out. */
static void decode(struct rig *g, enum which which, struct span s) {
    struct consumer c = {0};
    struct stream st;
    struct codec_buf b;
    codec_buf_init(&b);
    CHECK_EQ(codec_consumer(&b, &g->c[0]), ERR_OK);
    CHECK_EQ(consumer_load(&c, &g->st, codec_span(&b)), ERR_OK);
    stream_init_blank(&st, secret, NULL);
    for (uint64_t seq = 1; seq <= 60; seq++) {
        struct stream_put p = {
            .seq = seq, .loc = seq, .ts = (int64_t)seq, .subject = SPAN_LIT("a"), .hdr_size = 1};
        CHECK_EQ(stream_replay(&st, &p), ERR_OK);
    }
    enum err e = ERR_OK;
    struct stream_purge p;
    if (which == STREAM) e = stream_load(&st, s);
    if (which == CONSUMER) e = consumer_load(&c, &g->st, s);
    if (which == PROGRESS) e = consumer_replay(&c, s);
    if (which == PURGE) e = codec_read_purge(s, &p);
    CHECK(e == ERR_OK || e == ERR_CORRUPT);
    codec_name(s);
    if (which == STREAM && e == ERR_OK) {
        CHECK_EQ(stream_recovered(&st, 1000), ERR_OK);
        CHECK_EQ(codec_stream(&b, &st), ERR_OK);
        struct mr_stream_state state;
        stream_state(&st, &state);
    }
    if (which == CONSUMER || which == PROGRESS) {
        consumer_recovered(&c, g->now);
        struct choice ch;
        for (int i = 0; i < 5 && consumer_ready(&c, g->now); i++) {
            consumer_peek(&c, g->now, &ch);
            consumer_delivered(&c, &ch, g->now);
        }
        CHECK_EQ(codec_consumer(&b, &c), ERR_OK);
    }
    codec_buf_deinit(&b);
    consumer_deinit(&c);
    stream_deinit(&st);
}

static void hostile(enum which which) {
    struct rig g;
    busy(&g);
    struct rng r = {which + 1};
    struct codec_buf b;
    codec_buf_init(&b);
    encode(&g, which, &b);
    decode(&g, which, codec_span(&b));
    uint8_t *copy = malloc(b.n + 8);
    for (size_t n = 0; n < b.n; n++) { /* every truncation, each in memory of its own */
        uint8_t *cut = malloc(n + 1);
        memcpy(cut, b.p, n);
        decode(&g, which, span_of(cut, n));
        free(cut);
    }
    static const uint8_t nasty[] = {0, 1, 0x7f, 0x80, 0xff};
    for (int i = 0; i < 6000; i++) {
        memcpy(copy, b.p, b.n);
        for (uint64_t flips = 1 + rng_below(&r, 4); flips; flips--)
            copy[rng_below(&r, b.n)] = rng_below(&r, 2) ? nasty[rng_below(&r, 5)] : (uint8_t)rng_next(&r);
        decode(&g, which, span_of(copy, b.n));
    }
    free(copy);
    codec_buf_deinit(&b);
    rig_close(&g);
}

static void hostile_stream(void) { hostile(STREAM); }
static void hostile_consumer(void) { hostile(CONSUMER); }
static void hostile_progress(void) { hostile(PROGRESS); }
static void hostile_purge(void) { hostile(PURGE); }

/* A tick in which a thousand messages came and were acknowledged costs a few bytes each. */
static void progress_is_small(void) {
    struct rig g;
    rig_open(&g, NULL);
    struct consumer *c = rig_consumer(&g, NULL);
    for (int i = 0; i < 1000; i++) rig_put(&g, "a");
    consumer_logged(c);
    struct codec_buf b;
    codec_buf_init(&b);
    for (int i = 0; i < 1000; i++) rig_next(&g, c);
    CHECK_EQ(codec_progress(&b, c), ERR_OK);
    CHECK(b.n < 1000 * 6 + 100);
    consumer_logged(c);
    for (uint64_t seq = 1; seq <= 1000; seq++) rig_ack(&g, c, seq, seq);
    CHECK_EQ(codec_progress(&b, c), ERR_OK);
    CHECK(b.n < 1000 * 2 + 100);
    consumer_logged(c);
    CHECK(!c->dirty);
    codec_buf_deinit(&b);
    rig_close(&g);
}

CHECK_MAIN(CASE(stream_config_round_trip), CASE(consumer_config_round_trip), CASE(unknown_items_are_skipped),
           CASE(varints), CASE(purge_round_trip), CASE(hostile_stream), CASE(hostile_consumer),
           CASE(hostile_progress), CASE(hostile_purge), CASE(progress_is_small))
