/* test_consumer_lib.h - a stream and consumers on it, driven by hand. Messages are payload-less, times are
 * given. */
#pragma once
#include "lib/check.h"
#include "stream/codec.h"
#include "stream/consumer.h"

#define MS   1000000ll
#define SEC  (1000 * MS)
#define B(s) ((struct mr_bytes){(const uint8_t *)(s), strlen(s)})
enum { RIG_CONSUMERS = 4 };

struct rig {
    struct stream st;
    struct consumer c[RIG_CONSUMERS];
    size_t consumers;
    int64_t now;
};

static inline void rig_removed(void *ctx, struct stream *st, const struct stream_removed *r) {
    struct rig *g = ctx;
    CHECK(st == &g->st);
    for (size_t i = 0; i < g->consumers && r->why != REMOVED_PURGE; i++) consumer_on_removed(&g->c[i], r);
}

static inline struct mr_stream_config rig_stream_config(void) {
    static const struct mr_bytes subjects[] = {{(const uint8_t *)">", 1}};
    return (struct mr_stream_config){
        .size = sizeof(struct mr_stream_config), .name = B("S"), .subjects = subjects, .subjects_count = 1};
}

static inline void rig_open(struct rig *g, const struct mr_stream_config *cfg) {
    static const uint8_t secret[16] = {1};
    struct mr_stream_config plain = rig_stream_config();
    struct stream_hooks hooks = {rig_removed, g};
    *g = (struct rig){.now = 1000 * SEC};
    CHECK_EQ(stream_init(&g->st, cfg ? cfg : &plain, g->now, secret, &hooks), ERR_OK);
}

static inline void rig_close(struct rig *g) {
    for (size_t i = 0; i < g->consumers; i++) consumer_deinit(&g->c[i]);
    stream_deinit(&g->st);
}

static inline uint64_t rig_append(struct rig *g, const char *subject) {
    struct mr_msg m = {.subject = B(subject)};
    struct stream_verdict v;
    stream_admit(&g->st, &m, NULL, g->now, &v);
    CHECK_EQ(v.status, MR_OK);
    struct stream_put p = {.seq = v.seq, .loc = v.seq * 8, .ts = v.ts, .subject = span_str(subject)};
    stream_applied(&g->st, &p);
    return v.seq;
}

/* Appended and visible. */
static inline uint64_t rig_put(struct rig *g, const char *subject) {
    uint64_t seq = rig_append(g, subject);
    stream_visible(&g->st, seq);
    return seq;
}

static inline void rig_purge(struct rig *g, const char *filter, uint64_t seq, uint64_t keep) {
    struct stream_purge p;
    CHECK_EQ(stream_plan_purge(&g->st, span_str(filter), seq, keep, &p), MR_OK);
    stream_purge(&g->st, &p);
    for (size_t i = 0; i < g->consumers; i++) consumer_on_purge(&g->c[i], p.filter);
}

static inline struct mr_consumer_config rig_config(void) {
    return (struct mr_consumer_config){.size = sizeof(struct mr_consumer_config),
                                       .name = B("C"),
                                       .durable = true,
                                       .ack = MR_ACK_EXPLICIT,
                                       .ack_wait_ns = 30 * SEC,
                                       .max_deliver = -1,
                                       .max_ack_pending = 1000};
}

static inline struct consumer *rig_consumer(struct rig *g, const struct mr_consumer_config *cfg) {
    CHECK(g->consumers < RIG_CONSUMERS);
    struct mr_consumer_config plain = rig_config();
    struct consumer *c = &g->c[g->consumers++];
    CHECK_EQ(consumer_init(c, &g->st, cfg ? cfg : &plain, g->now), ERR_OK);
    return c;
}

/* Delivers what is chosen: the sequence, 0 when nothing is. */
static inline uint64_t rig_next(struct rig *g, struct consumer *c) {
    struct choice ch;
    enum choice_kind kind = consumer_peek(c, g->now, &ch);
    if (kind == CHOICE_NONE || kind == CHOICE_BUSY) return 0;
    CHECK_EQ(ch.loc, ch.seq * 8);
    consumer_delivered(c, &ch, g->now);
    return ch.seq;
}

static inline bool rig_ack(struct rig *g, struct consumer *c, uint64_t seq, uint64_t cseq) {
    return consumer_ack(c, MR_ACK, seq, cseq, 0, g->now);
}

/* delivered c,s  floor c,s  ack pending, redelivered, pending */
static inline const char *rig_state(struct consumer *c) {
    static char buf[200];
    struct mr_consumer_state s;
    consumer_state(c, &s);
    snprintf(buf, sizeof buf,
             "%" PRIu64 ",%" PRIu64 " %" PRIu64 ",%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64,
             s.delivered_consumer_seq, s.delivered_stream_seq, s.floor_consumer_seq, s.floor_stream_seq,
             s.num_ack_pending, s.num_redelivered, s.num_pending);
    return buf;
}
