/* test_engine_retention.c - interest and work queue retention through the public interface: what goes when,
 * what the peer says of it too, and what is there after a stop, an orderly one and one in the middle. */
#include "engine_world.h"

#include <inttypes.h>

static struct mr_stream *retaining(const char *name, enum mr_retention retention, enum mr_storage storage) {
    struct mr_stream_config cfg = stream_config(name);
    cfg.retention = retention;
    cfg.storage = storage;
    struct mr_stream *s;
    CHECK_EQ(mr_stream_create(w.sh, &cfg, io_wall(w.io), &s), MR_OK);
    return s;
}

static struct mr_consumer *consumer_on(struct mr_stream *s, const char *name, enum mr_ack_policy ack_policy,
                                       const char *filter) {
    struct mr_consumer_config cfg = consumer_config(name);
    struct mr_bytes f = filter ? str(filter) : (struct mr_bytes){0};
    cfg.ack = ack_policy;
    cfg.filters = &f;
    cfg.filters_count = filter != NULL;
    struct mr_consumer *c;
    CHECK_EQ(mr_consumer_create(s, &cfg, io_wall(w.io), &c), MR_OK);
    return c;
}

/* "first-last:" and the sequences that live. */
static const char *live(const struct mr_stream *s) {
    static char out[512];
    struct mr_stream_state st;
    mr_stream_state(s, &st);
    size_t n = (size_t)snprintf(out, sizeof out, "%" PRIu64 "-%" PRIu64 ":", st.first_seq, st.last_seq),
           count = 0;
    for (uint64_t seq = 1; (seq = mr_seq_next(s, seq, (struct mr_bytes){0}, false)) != 0; seq++, count++)
        n += (size_t)snprintf(out + n, sizeof out - n, " %" PRIu64, seq);
    CHECK_EQ(st.msgs, count);
    return out;
}

static void fill(struct mr_stream *s, const char *subject, int count) {
    for (int i = 0; i < count; i++) store(s, subject, "payload");
}

static void answer(struct mr_consumer *c, const struct mr_delivery *d, enum mr_ack_kind kind) {
    struct mr_ack a = {.kind = kind, .seq = d->view.seq, .consumer_seq = d->consumer_seq};
    CHECK_EQ(mr_consumer_ack(c, &a, io_wall(w.io)), MR_OK);
}

/* Delivers the next `count` and acknowledges those whose bit is set in `which`. */
static void take(struct mr_consumer *c, int count, unsigned which) {
    for (int i = 0; i < count; i++) {
        struct mr_delivery d;
        CHECK_EQ(next(c, &d), MR_OK);
        if (which >> i & 1) answer(c, &d, MR_ACK);
    }
}

/* The process ends here: what is in the folder now is opened again. */
static void stop_dead(void) {
    char copy[300], command[1200];
    snprintf(copy, sizeof copy, "%s-dead", w.dir);
    snprintf(command, sizeof command, "cp -a %s %s", w.dir, copy);
    CHECK_EQ(system(command), 0);
    world_close();
    snprintf(command, sizeof command, "rm -rf %s && mv %s %s", w.dir, copy, w.dir);
    CHECK_EQ(system(command), 0);
    world_open(w.cfg.shards);
}

/* --- work queues --- */

static void queue_life(enum mr_storage storage) {
    struct mr_stream *s = retaining("W", MR_RETAIN_WORKQUEUE, storage);
    struct mr_consumer *c = consumer_on(s, "a", MR_ACK_EXPLICIT, NULL);
    fill(s, "w", 6);
    struct mr_delivery d1 = expect(c, 1, 1), d2 = expect(c, 2, 1), d3 = expect(c, 3, 1);
    ack(c, &d2, false);
    CHECK_STR(live(s), "1-6: 1 3 4 5 6");
    answer(c, &d1, MR_TERM);
    CHECK_STR(live(s), "3-6: 3 4 5 6");
    answer(c, &d3, MR_NAK);
    CHECK_STR(live(s), "3-6: 3 4 5 6");
    answer(c, &d2, MR_ACK); /* once more */
    d3 = expect(c, 3, 2);
    CHECK_STR(live(s), "3-6: 3 4 5 6");
    CHECK_EQ(mr_consumer_delete(c), MR_OK);
    CHECK_STR(live(s), "3-6: 3 4 5 6");
    c = consumer_on(s, "n", MR_ACK_EXPLICIT, NULL);
    take(c, 4, 0xf);
    CHECK_STR(live(s), "7-6:");
    struct mr_consumer_state st;
    mr_consumer_state(c, &st);
    CHECK_EQ(st.floor_stream_seq, 6);
    CHECK_EQ(st.num_ack_pending, 0);
    fill(s, "w", 1);
    CHECK_STR(live(s), "7-7: 7");
}

static void a_queue(void) {
    world_new(1);
    queue_life(MR_MEMORY);
    CHECK_EQ(mr_stream_delete(stream_old("W")), MR_OK);
    queue_life(MR_FILE);
    settle();
    for (int i = 0; i < 2; i++) {
        stop_dead();
        CHECK_STR(live(stream_old("W")), "7-7: 7");
        struct mr_consumer *c = mr_consumer_find(stream_old("W"), str("n"));
        struct mr_delivery d = expect(c, 7, 1 + (uint64_t)i);
        answer(c, &d, MR_NAK);
        settle();
    }
    world_close();
}

static enum mr_status refused(struct mr_stream *s, enum mr_ack_policy a, enum mr_deliver deliver,
                              const char *filter) {
    struct mr_consumer_config cfg = consumer_config("x");
    struct mr_bytes f = filter ? str(filter) : (struct mr_bytes){0};
    cfg.ack = a;
    cfg.deliver = deliver;
    cfg.filters = &f;
    cfg.filters_count = filter != NULL;
    struct mr_consumer *c;
    enum mr_status st = mr_consumer_create(s, &cfg, io_wall(w.io), &c);
    if (st == MR_OK) CHECK_EQ(mr_consumer_delete(c), MR_OK);
    return st;
}

static void a_queue_and_its_consumers(void) {
    world_new(1);
    struct mr_stream *s = retaining("W", MR_RETAIN_WORKQUEUE, MR_FILE);
    CHECK_EQ(refused(s, MR_ACK_NONE, MR_DELIVER_ALL, NULL), MR_DENIED);
    CHECK_EQ(refused(s, MR_ACK_ALL, MR_DELIVER_ALL, NULL), MR_DENIED);
    CHECK_EQ(refused(s, MR_ACK_EXPLICIT, MR_DELIVER_NEW, NULL), MR_DENIED);
    CHECK_EQ(refused(s, MR_ACK_EXPLICIT, MR_DELIVER_ALL, NULL), MR_OK);
    struct mr_consumer *a = consumer_on(s, "a", MR_ACK_EXPLICIT, "w.*.x");
    CHECK_EQ(refused(s, MR_ACK_EXPLICIT, MR_DELIVER_ALL, NULL), MR_DENIED);
    CHECK_EQ(refused(s, MR_ACK_EXPLICIT, MR_DELIVER_ALL, "w.y.*"), MR_DENIED);
    CHECK_EQ(refused(s, MR_ACK_EXPLICIT, MR_DELIVER_ALL, "w.y.z"), MR_OK);
    struct mr_consumer *b = consumer_on(s, "b", MR_ACK_EXPLICIT, "v");
    fill(s, "w.1.x", 2);
    fill(s, "v", 2);
    fill(s, "u", 1);
    take(b, 2, 1);
    take(a, 2, 2);
    CHECK_STR(live(s), "1-5: 1 4 5");
    struct mr_stream_config cfg = *mr_stream_config(s);
    cfg.retention = MR_RETAIN_INTEREST;
    CHECK_EQ(mr_stream_update(s, &cfg, io_wall(w.io)), MR_INVAL);
    cfg.retention = MR_RETAIN_LIMITS;
    CHECK_EQ(mr_stream_update(s, &cfg, io_wall(w.io)), MR_INVAL);
    world_close();
}

/* --- interest --- */

static void interest_of_two(enum mr_storage storage) {
    struct mr_stream *s = retaining("I", MR_RETAIN_INTEREST, storage);
    struct mr_consumer *a = consumer_on(s, "a", MR_ACK_EXPLICIT, "i.1");
    fill(s, "i.2", 1);
    fill(s, "i.1", 1);
    fill(s, "i.2", 1);
    CHECK_STR(live(s), "2-3: 2");
    struct mr_consumer *b = consumer_on(s, "b", MR_ACK_EXPLICIT, "i.*");
    fill(s, "i.1", 1);
    fill(s, "i.2", 1);
    fill(s, "i.1", 1);
    CHECK_STR(live(s), "2-6: 2 4 5 6");
    struct mr_delivery da[3], db[4];
    for (int i = 0; i < 3; i++) CHECK_EQ(next(a, &da[i]), MR_OK);
    for (int i = 0; i < 4; i++) CHECK_EQ(next(b, &db[i]), MR_OK);
    answer(b, &db[1], MR_ACK);
    answer(b, &db[2], MR_ACK);
    CHECK_STR(live(s), "2-6: 2 4 6");
    answer(a, &da[1], MR_ACK);
    CHECK_STR(live(s), "2-6: 2 6");
    answer(b, &db[3], MR_TERM);
    CHECK_STR(live(s), "2-6: 2 6");
    CHECK_EQ(mr_consumer_delete(a), MR_OK);
    CHECK_STR(live(s), "2-6: 2");
}

static void two_are_interested(void) {
    world_new(1);
    interest_of_two(MR_MEMORY);
    CHECK_EQ(mr_stream_delete(stream_old("I")), MR_OK);
    interest_of_two(MR_FILE);
    settle();
    stop_dead();
    struct mr_stream *s = stream_old("I");
    CHECK_STR(live(s), "2-6: 2");
    CHECK_EQ(mr_consumer_delete(mr_consumer_find(s, str("b"))), MR_OK);
    CHECK_STR(live(s), "7-6:");
    settle();
    stop_dead();
    CHECK_STR(live(stream_old("I")), "7-6:");
    world_close();
}

static void consumers_leave(void) {
    world_new(1);
    struct mr_stream *s = retaining("I", MR_RETAIN_INTEREST, MR_FILE);
    struct mr_consumer *a = consumer_on(s, "a", MR_ACK_EXPLICIT, NULL),
                       *b = consumer_on(s, "b", MR_ACK_EXPLICIT, NULL),
                       *c = consumer_on(s, "c", MR_ACK_EXPLICIT, NULL);
    fill(s, "i", 6);
    take(a, 6, 0xf);
    take(b, 3, 3);
    CHECK_STR(live(s), "1-6: 1 2 3 4 5 6");
    CHECK_EQ(mr_consumer_delete(c), MR_OK);
    CHECK_STR(live(s), "3-6: 3 4 5 6");
    settle();
    stop_dead();
    s = stream_old("I");
    CHECK_STR(live(s), "3-6: 3 4 5 6");
    CHECK_EQ(mr_consumer_delete(mr_consumer_find(s, str("b"))), MR_OK);
    CHECK_STR(live(s), "5-6: 5 6");
    CHECK_EQ(mr_consumer_delete(mr_consumer_find(s, str("a"))), MR_OK);
    CHECK_STR(live(s), "7-6:");
    settle();
    stop_dead();
    CHECK_STR(live(stream_old("I")), "7-6:");
    world_close();
}

static void acks_of_all_kinds(void) {
    world_new(1);
    struct mr_stream *s = retaining("I", MR_RETAIN_INTEREST, MR_FILE);
    struct mr_consumer *all = consumer_on(s, "all", MR_ACK_ALL, NULL),
                       *none = consumer_on(s, "none", MR_ACK_NONE, NULL);
    fill(s, "i", 5);
    take(all, 4, 4);
    CHECK_STR(live(s), "1-5: 1 2 3 4 5");
    take(none, 2, 0);
    CHECK_STR(live(s), "3-5: 3 4 5");
    take(none, 2, 0);
    CHECK_STR(live(s), "4-5: 4 5");
    struct mr_delivery d;
    CHECK_EQ(next(none, &d), MR_OK);
    CHECK_MEM(d.view.msg.payload.p, d.view.msg.payload.n, "payload", 7);
    settle();
    stop_dead();
    s = stream_old("I");
    CHECK_STR(live(s), "4-5: 4 5");
    CHECK_EQ(mr_consumer_delete(mr_consumer_find(s, str("all"))), MR_OK);
    CHECK_STR(live(s), "6-5:");
    world_close();
}

static void at_max_deliver(void) {
    world_new(1);
    struct mr_stream *s = retaining("I", MR_RETAIN_INTEREST, MR_MEMORY);
    struct mr_consumer_config cfg = consumer_config("a");
    cfg.max_deliver = 1;
    cfg.ack_wait_ns = 1000 * 1000;
    struct mr_consumer *a, *b = consumer_on(s, "b", MR_ACK_EXPLICIT, NULL);
    CHECK_EQ(mr_consumer_create(s, &cfg, io_wall(w.io), &a), MR_OK);
    fill(s, "i", 3);
    struct mr_delivery d = expect(a, 1, 1);
    expect(a, 2, 1);
    while (w.exceeded_count < 2) turn();
    take(b, 3, 7);
    CHECK_STR(live(s),
              "1-3: 1 2 3"); /* matches nats-server: exhausted ones stay until they are acknowledged */
    answer(a, &d, MR_ACK);
    CHECK_STR(live(s), "2-3: 2 3");
    world_close();
}

/* --- nobody wants it --- */

static enum mr_status publish_with_id(struct mr_stream *s, const char *subject, const char *id,
                                      uint64_t *seq) {
    struct mr_msg m = message(subject, "payload");
    struct mr_append_opts o = {.msg_id = str(id)};
    struct mr_append_result r;
    enum mr_status st = mr_append(s, &m, &o, &r);
    *seq = r.seq;
    return st;
}

static void unwanted(enum mr_storage storage) {
    struct mr_stream_config cfg = stream_config("I");
    cfg.retention = MR_RETAIN_INTEREST;
    cfg.storage = storage;
    cfg.discard = MR_DISCARD_NEW;
    cfg.max_msgs = 3;
    cfg.allow_rollup = true;
    struct mr_stream *s;
    CHECK_EQ(mr_stream_create(w.sh, &cfg, io_wall(w.io), &s), MR_OK);
    fill(s, "i.1", 3);
    uint64_t seq;
    CHECK_EQ(publish_with_id(s, "i.1", "x", &seq), MR_OK);
    CHECK_EQ(seq, 4);
    CHECK_EQ(publish_with_id(s, "i.1", "x", &seq), MR_DUPLICATE);
    CHECK_EQ(seq, 4);
    CHECK_STR(live(s), "5-4:");
    struct mr_append_opts o = {.expect_last_msg_id = str("x"), .expect_last_seq = true, .last_seq = 4};
    struct mr_append_result r;
    struct mr_msg m = message("i.1", "p");
    CHECK_EQ(mr_append(s, &m, &o, &r), MR_OK);
    consumer_on(s, "a", MR_ACK_EXPLICIT, "i.1");
    fill(s, "i.1", 3);
    CHECK_EQ(mr_append(s, &m, NULL, &r), MR_MAX_MSGS);
    fill(s, "i.2", 1); /* no limit stands in its way */
    CHECK_STR(live(s), "6-9: 6 7 8");
    m = message("i.2", "roll");
    CHECK_EQ(mr_append(s, &m, &(struct mr_append_opts){.rollup = MR_ROLLUP_ALL}, &r), MR_OK);
    CHECK_STR(live(s), "11-10:");
    fill(s, "i.1", 1);
    fill(s, "i.2", 2);
    CHECK_STR(live(s), "11-13: 11");
    struct mr_msg both[2] = {message("i.2", "p"), message("i.1", "p")};
    size_t failed_at;
    CHECK_EQ(mr_append_batch(s, both, NULL, 2, &r, &failed_at), MR_OK);
    CHECK_STR(live(s), "11-15: 11 15");
    settle();
}

static void nobody_wants_it(void) {
    world_new(1);
    unwanted(MR_MEMORY);
    CHECK_EQ(mr_stream_delete(stream_old("I")), MR_OK);
    unwanted(MR_FILE);
    for (int i = 0; i < 2; i++) {
        stop_dead();
        struct mr_stream *s = stream_old("I");
        CHECK_STR(live(s), "11-15: 11 15");
        uint64_t seq;
        CHECK_EQ(publish_with_id(s, "i.1", "x", &seq), MR_DUPLICATE);
        CHECK_EQ(seq, 4);
        struct mr_stream_state st;
        mr_stream_state(s, &st);
        CHECK_EQ(st.lost_msgs, 0);
    }
    world_close();
}

/* The records of messages that were only counted, and of what let messages go, are recycled: nothing comes
 * back, no sequence goes back. */
static void segments_go(void) {
    w.cfg.segment_bytes = 1 << 20;
    world_new(1);
    struct mr_stream *s = retaining("I", MR_RETAIN_INTEREST, MR_FILE),
                     *q = retaining("W", MR_RETAIN_WORKQUEUE, MR_FILE);
    struct mr_consumer *c = consumer_on(q, "c", MR_ACK_EXPLICIT, NULL);
    fill(q, "w", 4);
    take(c, 3, 5);
    uint64_t seq;
    CHECK_EQ(publish_with_id(s, "i", "x", &seq), MR_OK);
    fill(s, "i", 2);
    struct mr_stream_config cfg = stream_config("R");
    cfg.max_msgs = 5;
    struct mr_stream *ring;
    CHECK_EQ(mr_stream_create(w.sh, &cfg, io_wall(w.io), &ring), MR_OK);
    static char big[32 * 1024];
    memset(big, 'p', sizeof big - 1);
    for (int i = 0; i < 400; i++) store(ring, "r", big);
    settle();
    stop_dead();
    CHECK_STR(live(stream_old("I")), "4-3:");
    CHECK_STR(live(stream_old("W")), "2-4: 2 4");
    CHECK_EQ(publish_with_id(stream_old("I"), "i", "x", &seq), MR_DUPLICATE);
    CHECK_EQ(seq, 1);
    struct mr_stream_state st;
    mr_stream_state(stream_old("W"), &st);
    CHECK_EQ(st.lost_msgs, 0);
    world_close();
}

/* --- changes --- */

static void limits_become_interest(void) {
    world_new(1);
    struct mr_stream *s = stream_new("I");
    struct mr_consumer *a = consumer_on(s, "a", MR_ACK_EXPLICIT, "i.1"),
                       *b = consumer_on(s, "b", MR_ACK_ALL, "i.1"),
                       *n = consumer_on(s, "n", MR_ACK_NONE, "i.1");
    for (int i = 0; i < 9; i++) fill(s, i % 3 == 2 ? "i.1" : "i.0", 1);
    fill(s, "i.1", 4);
    take(n, 7, 0);
    take(a, 6, 013);
    take(b, 5, 020);
    struct mr_stream_config cfg = *mr_stream_config(s);
    cfg.retention = MR_RETAIN_INTEREST;
    CHECK_EQ(mr_stream_update(s, &cfg, io_wall(w.io)), MR_OK);
    CHECK_STR(live(s), "1-13: 1 2 4 5 7 8 9 11 12 13"); /* as nats-server has it */
    fill(s, "i.0", 1);
    CHECK_STR(live(s), "1-14: 1 2 4 5 7 8 9 11 12 13");
    settle();
    stop_dead();
    s = stream_old("I");
    CHECK_STR(live(s), "7-14: 7 8 9 11 12 13"); /* without what nobody will ask for any more */
    cfg = *mr_stream_config(s);
    cfg.retention = MR_RETAIN_LIMITS;
    CHECK_EQ(mr_stream_update(s, &cfg, io_wall(w.io)), MR_OK);
    fill(s, "i.0", 1);
    CHECK_STR(live(s), "7-15: 7 8 9 11 12 13 15");
    struct mr_stream *alone = stream_new("L");
    fill(alone, "l", 4);
    cfg = *mr_stream_config(alone);
    cfg.retention = MR_RETAIN_INTEREST;
    CHECK_EQ(mr_stream_update(alone, &cfg, io_wall(w.io)), MR_OK);
    CHECK_STR(live(alone), "5-4:");
    world_close();
}

static void filters_change(void) {
    world_new(1);
    struct mr_stream *s = retaining("I", MR_RETAIN_INTEREST, MR_FILE);
    struct mr_bytes both[2] = {str("i.1"), str("i.2")};
    struct mr_consumer_config cfg = consumer_config("a");
    cfg.filters = both;
    cfg.filters_count = 2;
    struct mr_consumer *a;
    CHECK_EQ(mr_consumer_create(s, &cfg, io_wall(w.io), &a), MR_OK);
    consumer_on(s, "b", MR_ACK_EXPLICIT, "i.2");
    for (int i = 0; i < 9; i++) fill(s, i % 3 == 0 ? "i.0" : i % 3 == 1 ? "i.1" : "i.2", 1);
    CHECK_STR(live(s), "2-9: 2 3 5 6 8 9");
    take(a, 3, 0);
    cfg.filters = &both[1];
    cfg.filters_count = 1;
    CHECK_EQ(mr_consumer_update(a, &cfg, io_wall(w.io)), MR_OK);
    CHECK_STR(live(s), "3-9: 3 6 9");
    both[1] = str("i.0");
    CHECK_EQ(mr_consumer_update(a, &cfg, io_wall(w.io)), MR_OK);
    CHECK_STR(live(s), "3-9: 3 6 9");
    settle();
    stop_dead();
    CHECK_STR(live(stream_old("I")), "3-9: 3 6 9");
    world_close();
}

/* --- stops in the middle --- */

/* A limit must not bite after a stop where it did not before: the removal that made room is logged first. */
static void limits_after_a_stop(void) {
    world_new(1);
    struct mr_stream_config cfg = stream_config("W");
    cfg.retention = MR_RETAIN_WORKQUEUE;
    cfg.max_msgs = 3;
    struct mr_stream *s;
    CHECK_EQ(mr_stream_create(w.sh, &cfg, io_wall(w.io), &s), MR_OK);
    struct mr_consumer *c = consumer_on(s, "c", MR_ACK_EXPLICIT, NULL);
    fill(s, "w", 3);
    take(c, 2, 2);
    CHECK_STR(live(s), "1-3: 1 3");
    size_t n = w.done_count;
    append(s, "w", "four", 0);
    CHECK_STR(live(s), "1-4: 1 3 4");
    until_done(n + 1);
    stop_dead();
    CHECK_STR(live(stream_old("W")), "1-4: 1 3 4");
    world_close();
}

/* A confirmed acknowledgement removed its message for good; nothing else waits for it. */
static void confirmed_is_gone(void) {
    world_new(1);
    struct mr_stream *s = retaining("W", MR_RETAIN_WORKQUEUE, MR_FILE);
    struct mr_consumer *c = consumer_on(s, "c", MR_ACK_EXPLICIT, NULL);
    fill(s, "w", 5);
    for (uint64_t seq = 1; seq <= 4; seq++) {
        struct mr_delivery d = expect(c, seq, 1);
        size_t n = w.done_count;
        ack(c, &d, true);
        until_done(n + 1);
    }
    stop_dead();
    CHECK_STR(live(stream_old("W")), "5-5: 5");
    expect(mr_consumer_find(stream_old("W"), str("c")), 5, 1);
    world_close();
}

/* A consumer that keeps no records lets messages of a file stream go for good all the same. */
static void a_consumer_in_memory(void) {
    world_new(1);
    struct mr_stream *s = retaining("I", MR_RETAIN_INTEREST, MR_FILE);
    struct mr_consumer_config cfg = consumer_config("m");
    cfg.durable = false;
    cfg.mem_storage = true;
    struct mr_consumer *m, *d = consumer_on(s, "d", MR_ACK_EXPLICIT, "i.1");
    CHECK_EQ(mr_consumer_create(s, &cfg, io_wall(w.io), &m), MR_OK);
    fill(s, "i.2", 3);
    fill(s, "i.1", 2);
    take(m, 4, 6);
    take(d, 1, 1);
    CHECK_STR(live(s), "1-5: 1 4 5");
    settle();
    stop_dead();
    s = stream_old("I");
    CHECK(mr_consumer_find(s, str("m")) == NULL);
    CHECK_STR(live(s), "5-5: 5"); /* 1 and 4 were kept for it alone */
    CHECK_EQ(mr_consumer_create(s, &cfg, io_wall(w.io), &m), MR_OK);
    fill(s, "i.2", 1);
    CHECK_EQ(mr_consumer_delete(m), MR_OK);
    CHECK_STR(live(s), "5-6: 5");
    settle();
    stop_dead();
    CHECK_STR(live(stream_old("I")), "5-6: 5");
    world_close();
}

/* More runs than a record takes: the stream's full record says it. */
static void too_many_runs(void) {
    enum { COUNT = 140000 };
    world_new(1);
    struct mr_stream *s = retaining("W", MR_RETAIN_WORKQUEUE, MR_FILE);
    struct mr_consumer_config cfg = consumer_config("c");
    cfg.max_ack_pending = -1;
    struct mr_consumer *c;
    CHECK_EQ(mr_consumer_create(s, &cfg, io_wall(w.io), &c), MR_OK);
    struct mr_msg m = message("w", "p");
    for (int i = 0; i < COUNT;) {
        enum mr_status st = mr_append(s, &m, NULL, NULL);
        if (st == MR_OK) i++;
        if (st == MR_BUSY) turn();
        CHECK(st == MR_OK || st == MR_BUSY);
    }
    settle();
    struct mr_delivery d;
    for (int i = 0; i < COUNT; i++) CHECK_EQ(next(c, &d), MR_OK);
    settle();
    for (uint64_t seq = 2; seq <= COUNT; seq += 2) {
        struct mr_ack a = {.kind = MR_ACK, .seq = seq, .consumer_seq = seq};
        CHECK_EQ(mr_consumer_ack(c, &a, io_wall(w.io)), MR_OK);
    }
    settle();
    stop_dead();
    struct mr_stream_state st;
    mr_stream_state(stream_old("W"), &st);
    CHECK_EQ(st.msgs, COUNT / 2);
    CHECK_EQ(mr_seq_next(stream_old("W"), 2, (struct mr_bytes){0}, false), 3);
    world_close();
}

CHECK_MAIN(CASE(a_queue), CASE(a_queue_and_its_consumers), CASE(two_are_interested), CASE(consumers_leave),
           CASE(acks_of_all_kinds), CASE(at_max_deliver), CASE(nobody_wants_it), CASE(segments_go),
           CASE(limits_become_interest), CASE(filters_change), CASE(limits_after_a_stop),
           CASE(confirmed_is_gone), CASE(a_consumer_in_memory), CASE(too_many_runs))
