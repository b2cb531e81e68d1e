/* Memory that runs out: every allocation of a scenario fails once. What was refused left everything as it
 * was, what was admitted went through, and the next try succeeds. malloc and realloc are wrapped by the
 * linker. */
#include "base/rng.h"
#include "stream/sound.h"
#include "test_consumer_lib.h"

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t m);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t m);
void *__wrap_realloc(void *p, size_t n);

static long allocations, fail_at = -1;

static bool fails(void) { return ++allocations == fail_at; }
void *__wrap_malloc(size_t n) { return fails() ? NULL : __real_malloc(n); }
void *__wrap_calloc(size_t n, size_t m) { return fails() ? NULL : __real_calloc(n, m); }
void *__wrap_realloc(void *p, size_t n) { return fails() ? NULL : __real_realloc(p, n); }

static void append(struct rig *g, int i) {
    char subject[32], id[32];
    snprintf(subject, sizeof subject, "s.%d", i % 37);
    snprintf(id, sizeof id, "id-%d", i);
    struct mr_msg m = {.subject = B(subject)};
    struct mr_append_opts o = {.msg_id = B(id)};
    struct stream_verdict v;
    uint64_t last = g->st.last_seq, msgs = g->st.msgs;
    stream_admit(&g->st, &m, &o, g->now, &v);
    if (v.status == MR_NOMEM) {
        CHECK(g->st.last_seq == last && g->st.msgs == msgs);
        CHECK(stream_is_sound(&g->st));
        stream_admit(&g->st, &m, &o, g->now, &v);
    }
    CHECK_EQ(v.status, MR_OK);
    long held = fail_at;
    fail_at = allocations + 1; /* what is admitted needs no memory */
    struct stream_put p = {
        .seq = v.seq, .loc = v.seq * 8, .ts = v.ts, .subject = span_str(subject), .msg_id = span_str(id)};
    stream_applied(&g->st, &p);
    CHECK_EQ(allocations, fail_at - 1);
    fail_at = held;
    stream_visible(&g->st, v.seq);
}

static void deliver(struct rig *g, struct consumer *c) {
    struct choice ch;
    enum choice_kind kind = consumer_peek(c, g->now, &ch);
    if (kind == CHOICE_BUSY) kind = consumer_peek(c, g->now, &ch);
    CHECK(kind == CHOICE_NEW || kind == CHOICE_AGAIN);
    consumer_delivered(c, &ch, g->now);
}

static enum err log_to(struct codec_buf *b, struct consumer *c, struct stream *st, struct consumer *copy) {
    bool full = c->want_full || !copy->st;
    enum err e = full ? codec_consumer(b, c) : codec_progress(b, c);
    if (e != ERR_OK) return e;
    e = full ? consumer_load(copy, st, codec_span(b)) : consumer_replay(copy, codec_span(b));
    if (e == ERR_OK) consumer_logged(c);
    return e;
}

static enum err recover(struct codec_buf *b, struct rig *g) {
    static const uint8_t secret[16] = {1};
    struct stream copy;
    enum err e = codec_stream(b, &g->st);
    if (e != ERR_OK) return e;
    stream_init_blank(&copy, secret, NULL);
    for (uint64_t seq = g->st.first_seq; e == ERR_OK && seq <= g->st.last_seq; seq++) {
        const struct index_entry *x = stream_get(&g->st, seq, false);
        if (!x) continue;
        struct stream_put p = {.seq = seq,
                               .loc = x->loc,
                               .ts = x->ts,
                               .subject = subjects_name(&g->st.subjects, x->subject),
                               .msg_id = SPAN_LIT("i")};
        e = stream_replay(&copy, &p);
    }
    if (e == ERR_OK) e = stream_load(&copy, codec_span(b));
    if (e == ERR_OK) e = stream_recovered(&copy, g->now);
    if (e == ERR_OK) CHECK_EQ(copy.msgs, g->st.msgs);
    stream_deinit(&copy);
    return e;
}

/* Tries until memory is there: it fails once only. */
#define AGAIN(call)                                                                                          \
    do {                                                                                                     \
        enum err again_e = (call);                                                                           \
        if (again_e == ERR_NOMEM) again_e = (call);                                                          \
        CHECK_EQ(again_e, ERR_OK);                                                                           \
    } while (0)

static void scenario(void) {
    static const uint8_t secret[16] = {1};
    struct rig g = {.now = 1000 * SEC};
    struct mr_stream_config cfg = rig_stream_config();
    cfg.duplicate_window_ns = 100 * SEC;
    cfg.max_msgs_per_subject = 40;
    struct stream_hooks hooks = {rig_removed, &g};
    AGAIN(stream_init(&g.st, &cfg, g.now, secret, &hooks));
    struct mr_bytes f = B("s.*");
    struct mr_consumer_config ccfg = rig_config();
    ccfg.filters = &f;
    ccfg.filters_count = 1;
    struct consumer *c = &g.c[0], copy = {0};
    AGAIN(consumer_init(c, &g.st, &ccfg, g.now));
    g.consumers = 1;
    struct codec_buf b;
    codec_buf_init(&b);
    for (int i = 0; i < 1500; i++) append(&g, i);
    for (int i = 0; i < 200; i++) deliver(&g, c);
    AGAIN(log_to(&b, c, &g.st, &copy));
    for (uint64_t seq = g.st.first_seq; seq < g.st.first_seq + 300; seq++)
        consumer_ack(c, MR_ACK, seq, 1, 0, g.now);
    g.now += 40 * SEC;
    for (int i = 0; i < 30; i++) deliver(&g, c);
    AGAIN(log_to(&b, c, &g.st, &copy));
    CHECK_EQ(copy.pending.count, c->pending.count);
    CHECK_EQ(copy.floor_seq, c->floor_seq);
    AGAIN(consumer_update(c, &ccfg, g.now));
    AGAIN(recover(&b, &g));
    rig_purge(&g, "s.10", 0, 0);
    CHECK(stream_is_sound(&g.st));
    CHECK(consumer_is_sound(c));
    consumer_deinit(&copy);
    codec_buf_deinit(&b);
    rig_close(&g);
}

static void every_allocation_fails_once(void) {
    fail_at = -1;
    allocations = 0;
    scenario();
    long total = allocations;
    CHECK(total > 50);
    for (long n = 1; n <= total; n++) {
        allocations = 0;
        fail_at = n;
        scenario();
    }
}

CHECK_MAIN(CASE(every_allocation_fails_once))
