/* engine_millrace.c - libmillrace: a work queue; a confirmed ack is the delete. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engines.h"
#include "millrace.h"

struct store {
    struct mr_env *env;
    struct mr_shard *shard;
    struct mr_stream *stream;
    struct mr_consumer *consumer;
    uint64_t asked, told;
};

static const struct mr_bytes subject = {(const uint8_t *)"jobs", 4};

static void check(enum mr_status s) {
    if (s != MR_OK) engine_fail("millrace", mr_status_text(s));
}
static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}
static void on_done(void *ctx, const struct mr_done *done, size_t count) {
    struct store *s = ctx;
    for (size_t i = 0; i < count; i++) check(done[i].status);
    s->told += count;
}
static void on_ready(void *ctx, struct mr_consumer *c) { (void)ctx, (void)c; }
static void on_read(struct mr_wait *w) { (void)w; }
static void run(struct store *s) { mr_shard_run(s->shard, 100 * 1000 * 1000); }

static void *open_store(const char *folder) {
    struct store *s = calloc(1, sizeof *s);
    if (!s) engine_fail("millrace", "memory");
    struct mr_env_config env = {.size = sizeof env, .path = folder, .shards = 1};
    struct mr_host host = {.ctx = s, .on_done = on_done, .on_ready = on_ready};
    check(mr_env_open(&env, &s->env));
    check(mr_shard_open(s->env, 0, NULL, &host, &s->shard));
    struct mr_stream_config c = {.size = sizeof c,
                                 .name = subject,
                                 .subjects = &subject,
                                 .subjects_count = 1,
                                 .retention = MR_RETAIN_WORKQUEUE,
                                 .max_msgs = -1,
                                 .max_bytes = -1,
                                 .max_msg_size = -1,
                                 .max_msgs_per_subject = -1,
                                 .max_consumers = -1};
    struct mr_consumer_config w = {.size = sizeof w,
                                   .name = subject,
                                   .durable = true,
                                   .ack = MR_ACK_EXPLICIT,
                                   .ack_wait_ns = INT64_C(60000000000),
                                   .max_deliver = -1,
                                   .max_ack_pending = -1};
    s->stream = mr_stream_find(s->shard, c.name);
    if (!s->stream) check(mr_stream_create(s->shard, &c, now(), &s->stream));
    s->consumer = mr_consumer_find(s->stream, w.name);
    if (!s->consumer) check(mr_consumer_create(s->stream, &w, now(), &s->consumer));
    return s;
}

static void wait_told(struct store *s) {
    while (s->told < s->asked) run(s);
}

static void append(void *e, const uint8_t *p, size_t n, size_t count) {
    struct store *s = e;
    for (size_t i = 0; i < count; i++, p += n) {
        struct mr_msg m = {.subject = subject, .payload = {p, n}};
        struct mr_append_opts o = {.want_done = i + 1 == count};
        enum mr_status st;
        while ((st = mr_append(s->stream, &m, &o, NULL)) == MR_BUSY) run(s);
        check(st);
    }
    s->asked++;
    wait_told(s);
}

static uint64_t read_all(void *e, uint64_t *sum) {
    struct store *s = e;
    struct mr_stream_state state;
    mr_stream_state(s->stream, &state);
    uint64_t n = 0;
    for (uint64_t seq = state.first_seq; seq <= state.last_seq; seq++) {
        struct mr_wait w = {.on_ready = on_read};
        struct mr_msg_view v;
        enum mr_status st;
        while ((st = mr_get(s->stream, seq, true, &w, &v)) == MR_LATER) run(s);
        if (st == MR_NONE) continue;
        check(st);
        *sum += sum_of(v.msg.payload.p, v.msg.payload.n);
        if (++n % 256 == 0) mr_shard_tick(s->shard);
    }
    return n;
}

static size_t take(void *e, size_t count) {
    struct store *s = e;
    size_t n = 0;
    int64_t at = now();
    for (; n < count; n++) {
        struct mr_delivery d;
        enum mr_status st;
        while ((st = mr_consumer_next(s->consumer, at, 0, 0, &d)) == MR_LATER) run(s);
        if (st == MR_NONE) break;
        check(st);
        struct mr_ack a = {
            .kind = MR_ACK, .seq = d.view.seq, .consumer_seq = d.consumer_seq, .want_done = true};
        while ((st = mr_consumer_ack(s->consumer, &a, at)) == MR_BUSY) run(s);
        check(st);
        s->asked++;
    }
    wait_told(s);
    return n;
}

static void close_store(void *e) {
    struct store *s = e;
    mr_shard_close(s->shard);
    mr_env_close(s->env);
    free(s);
}

const struct engine engine_millrace = {
    "millrace", "always: O_DIRECT, O_DSYNC", open_store, append, read_all, take, close_store};
