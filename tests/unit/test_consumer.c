/* A consumer, rule by rule. Where a case quotes nats-server, that is what 2.15.2 answered to the same steps.
 */
#include "test_consumer_lib.h"

static void delivers_in_order_and_counts(void) {
    struct rig g;
    rig_open(&g, NULL);
    struct consumer *c = rig_consumer(&g, NULL);
    CHECK_STR(rig_state(c), "0,0 0,0 0 0 0");
    for (int i = 0; i < 3; i++) rig_put(&g, "a");
    CHECK_STR(rig_state(c), "0,0 0,0 0 0 3");
    struct choice ch;
    CHECK_EQ(consumer_peek(c, g.now, &ch), CHOICE_NEW);
    CHECK_EQ(ch.seq, 1);
    CHECK_EQ(ch.consumer_seq, 1);
    CHECK_EQ(ch.deliveries, 1);
    CHECK_EQ(ch.pending, 2);
    consumer_delivered(c, &ch, g.now);
    CHECK_EQ(rig_next(&g, c), 2);
    CHECK_EQ(rig_next(&g, c), 3);
    CHECK_EQ(rig_next(&g, c), 0);
    CHECK_STR(rig_state(c), "3,3 0,0 3 0 0");
    rig_close(&g);
}

static void only_visible_messages(void) {
    struct rig g;
    rig_open(&g, NULL);
    struct consumer *c = rig_consumer(&g, NULL);
    rig_append(&g, "a");
    rig_append(&g, "a");
    CHECK_EQ(rig_next(&g, c), 0);
    CHECK_STR(rig_state(c), "0,0 0,0 0 0 0");
    stream_visible(&g.st, 1);
    CHECK_EQ(rig_next(&g, c), 1);
    CHECK_EQ(rig_next(&g, c), 0);
    stream_visible(&g.st, 2);
    CHECK(consumer_ready(c, g.now));
    CHECK_EQ(rig_next(&g, c), 2);
    rig_close(&g);
}

static void explicit_floor_is_contiguous(void) {
    struct rig g;
    rig_open(&g, NULL);
    struct consumer *c = rig_consumer(&g, NULL);
    for (int i = 0; i < 5; i++) rig_put(&g, "a");
    for (int i = 0; i < 4; i++) rig_next(&g, c);
    CHECK(rig_ack(&g, c, 2, 2));
    CHECK_STR(rig_state(c), "4,4 0,0 3 0 1");
    CHECK(rig_ack(&g, c, 1, 1));
    CHECK_STR(rig_state(c), "4,4 2,2 2 0 1");
    CHECK(!rig_ack(&g, c, 1, 1)); /* repeated */
    CHECK(!rig_ack(&g, c, 5, 5)); /* not delivered yet */
    CHECK(!rig_ack(&g, c, 99, 9));
    CHECK(rig_ack(&g, c, 4, 4));
    CHECK(rig_ack(&g, c, 3, 3));
    CHECK_STR(rig_state(c), "4,4 4,4 0 0 1");
    rig_close(&g);
}

static void ack_all_moves_everything(void) {
    struct rig g;
    rig_open(&g, NULL);
    struct mr_consumer_config cfg = rig_config();
    cfg.ack = MR_ACK_ALL;
    struct consumer *c = rig_consumer(&g, &cfg);
    for (int i = 0; i < 5; i++) rig_put(&g, "a");
    for (int i = 0; i < 5; i++) rig_next(&g, c);
    CHECK(rig_ack(&g, c, 3, 3));
    CHECK_STR(rig_state(c), "5,5 3,3 2 0 0");
    CHECK(!rig_ack(&g, c, 2, 2));
    CHECK(rig_ack(&g, c, 5, 5));
    CHECK_STR(rig_state(c), "5,5 5,5 0 0 0");
    rig_close(&g);
}

static void ack_none_needs_none(void) {
    struct rig g;
    rig_open(&g, NULL);
    struct mr_consumer_config cfg = rig_config();
    cfg.ack = MR_ACK_NONE;
    cfg.max_ack_pending = 1;
    struct consumer *c = rig_consumer(&g, &cfg);
    for (int i = 0; i < 3; i++) rig_put(&g, "a");
    for (uint64_t i = 1; i <= 3; i++) CHECK_EQ(rig_next(&g, c), i);
    CHECK_STR(rig_state(c), "3,3 3,3 0 0 0");
    CHECK(!rig_ack(&g, c, 2, 2));
    CHECK_EQ(consumer_deadline(c), INT64_MAX);
    rig_close(&g);
}

static void redelivered_after_ack_wait(void) {
    struct rig g;
    rig_open(&g, NULL);
    struct consumer *c = rig_consumer(&g, NULL);
    for (int i = 0; i < 3; i++) rig_put(&g, "a");
    rig_next(&g, c);
    g.now += SEC;
    rig_next(&g, c);
    CHECK_EQ(consumer_deadline(c), g.now - SEC + 30 * SEC);
    g.now += 29 * SEC - 1;
    CHECK(!consumer_expire(c, g.now));
    g.now += 1;
    CHECK(consumer_expire(c, g.now));
    struct choice ch;
    CHECK_EQ(consumer_peek(c, g.now, &ch), CHOICE_AGAIN);
    CHECK_EQ(ch.seq, 1);
    CHECK_EQ(ch.deliveries, 2);
    CHECK_EQ(ch.consumer_seq, 3); /* each delivery takes one */
    CHECK_EQ(ch.pending, 1);
    consumer_delivered(c, &ch, g.now);
    CHECK_STR(rig_state(c), "3,2 0,0 2 1 1");
    CHECK_EQ(rig_next(&g, c), 3); /* message 2 still waits */
    g.now += SEC;
    CHECK_EQ(rig_next(&g, c), 2);
    CHECK(rig_ack(&g, c, 1, 3));
    CHECK_STR(rig_state(c), "5,3 1,1 2 1 0"); /* the floor follows the first delivery of message 2 */
    CHECK(rig_ack(&g, c, 2, 5));
    CHECK_STR(rig_state(c), "5,3 3,2 1 0 0");
    CHECK(rig_ack(&g, c, 3, 4));
    CHECK_STR(rig_state(c), "5,3 5,3 0 0 0");
    rig_close(&g);
}

static void expired_together_come_by_sequence(void) {
    struct rig g;
    rig_open(&g, NULL);
    struct consumer *c = rig_consumer(&g, NULL);
    for (int i = 0; i < 4; i++) rig_put(&g, "a");
    for (int i = 0; i < 4; i++) rig_next(&g, c);
    consumer_ack(c, MR_PROGRESS, 1, 1, 0, g.now + 1);
    consumer_ack(c, MR_NAK, 3, 3, 5 * SEC, g.now + 2);
    g.now += 40 * SEC;
    for (uint64_t i = 1; i <= 4; i++) CHECK_EQ(rig_next(&g, c), i);
    rig_close(&g);
}

static void progress_restarts_the_wait(void) {
    struct rig g;
    rig_open(&g, NULL);
    struct consumer *c = rig_consumer(&g, NULL);
    rig_put(&g, "a");
    rig_next(&g, c);
    g.now += 20 * SEC;
    CHECK(consumer_ack(c, MR_PROGRESS, 1, 1, 0, g.now));
    CHECK_EQ(consumer_deadline(c), g.now + 30 * SEC);
    g.now += 15 * SEC;
    CHECK_EQ(rig_next(&g, c), 0);
    CHECK(!consumer_ack(c, MR_PROGRESS, 2, 1, 0, g.now));
    rig_close(&g);
}

static void nak_comes_back(void) {
    struct rig g;
    rig_open(&g, NULL);
    struct consumer *c = rig_consumer(&g, NULL);
    for (int i = 0; i < 3; i++) rig_put(&g, "a");
    for (int i = 0; i < 3; i++) rig_next(&g, c);
    CHECK(consumer_ack(c, MR_NAK, 2, 2, 0, g.now));
    CHECK(!consumer_ack(c, MR_NAK, 2, 2, 0, g.now)); /* queued already */
    CHECK(consumer_ack(c, MR_NAK, 1, 1, 10 * SEC, g.now));
    CHECK(!consumer_ack(c, MR_NAK, 9, 9, 0, g.now));
    CHECK_EQ(rig_next(&g, c), 2);
    CHECK_EQ(rig_next(&g, c), 0);
    CHECK_EQ(consumer_deadline(c), g.now + 10 * SEC);
    g.now += 10 * SEC;
    CHECK_EQ(rig_next(&g, c), 1);
    CHECK_STR(rig_state(c), "5,3 0,0 3 2 0");
    /* A NAK of a queued message with a delay takes it off the queue. */
    CHECK(consumer_ack(c, MR_NAK, 3, 3, 0, g.now));
    CHECK(consumer_ack(c, MR_NAK, 3, 3, 60 * SEC, g.now));
    CHECK_EQ(rig_next(&g, c), 0);
    rig_close(&g);
}

static void nak_below_the_floor_is_ignored(void) {
    struct rig g;
    rig_open(&g, NULL);
    struct consumer *c = rig_consumer(&g, NULL);
    rig_put(&g, "a");
    rig_put(&g, "a");
    rig_next(&g, c);
    rig_next(&g, c);
    rig_ack(&g, c, 1, 1);
    CHECK(!consumer_ack(c, MR_NAK, 2, 1, 0, g.now));
    CHECK(consumer_ack(c, MR_NAK, 2, 2, 0, g.now));
    rig_close(&g);
}

static void term_ends_it(void) {
    struct rig g;
    rig_open(&g, NULL);
    struct consumer *c = rig_consumer(&g, NULL);
    rig_put(&g, "a");
    rig_next(&g, c);
    consumer_ack(c, MR_NAK, 1, 1, 0, g.now);
    CHECK(consumer_ack(c, MR_TERM, 1, 1, 0, g.now));
    CHECK_EQ(rig_next(&g, c), 0);
    CHECK_STR(rig_state(c), "1,1 1,1 0 0 0");
    rig_close(&g);
}

/* nats-server, max_deliver 2, three messages never acknowledged: after the second wait they are still counted
 * until the next pull; then num_ack_pending 0, num_redelivered 3, floor 0,0. The next ack moves the floor
 * over them. */
static void max_deliver_two(void) {
    struct rig g;
    rig_open(&g, NULL);
    struct mr_consumer_config cfg = rig_config();
    cfg.max_deliver = 2;
    struct consumer *c = rig_consumer(&g, &cfg);
    for (int i = 0; i < 3; i++) rig_put(&g, "a");
    for (int i = 0; i < 3; i++) rig_next(&g, c);
    g.now += 30 * SEC;
    for (uint64_t i = 1; i <= 3; i++) CHECK_EQ(rig_next(&g, c), i);
    CHECK_STR(rig_state(c), "6,3 0,0 3 3 0");
    g.now += 30 * SEC;
    consumer_expire(c, g.now);
    CHECK_STR(rig_state(c), "6,3 0,0 3 3 0");
    CHECK_EQ(rig_next(&g, c), 0);
    CHECK_STR(rig_state(c), "6,3 0,0 0 3 0");
    struct consumer_exceeded x;
    for (uint64_t i = 1; i <= 3; i++) {
        CHECK(consumer_next_exceeded(c, &x));
        CHECK_EQ(x.seq, i);
        CHECK_EQ(x.deliveries, 2);
    }
    CHECK(!consumer_next_exceeded(c, &x));
    g.now += 60 * SEC;
    CHECK_EQ(rig_next(&g, c), 0);
    CHECK(!consumer_next_exceeded(c, &x)); /* once */
    rig_put(&g, "a");
    CHECK_EQ(rig_next(&g, c), 4);
    CHECK(rig_ack(&g, c, 4, 7));
    CHECK_STR(rig_state(c), "7,4 7,4 0 3 0");
    CHECK(rig_ack(&g, c, 2, 5)); /* a late ack takes it off the count */
    CHECK_STR(rig_state(c), "7,4 7,4 0 2 0");
    rig_close(&g);
}

/* With max_deliver 1 the wait itself ends it; num_redelivered stays 0 in the report. */
static void max_deliver_one(void) {
    struct rig g;
    rig_open(&g, NULL);
    struct mr_consumer_config cfg = rig_config();
    cfg.max_deliver = 1;
    struct consumer *c = rig_consumer(&g, &cfg);
    rig_put(&g, "a");
    rig_next(&g, c);
    g.now += 30 * SEC;
    CHECK(!consumer_expire(c, g.now));
    struct consumer_exceeded x;
    CHECK(consumer_next_exceeded(c, &x));
    CHECK_EQ(x.deliveries, 1);
    CHECK_STR(rig_state(c), "1,1 0,0 0 0 0");
    rig_close(&g);
}

static void exceeded_is_forgotten_with_its_message(void) {
    struct rig g;
    rig_open(&g, NULL);
    struct mr_consumer_config cfg = rig_config();
    cfg.max_deliver = 2;
    struct consumer *c = rig_consumer(&g, &cfg);
    rig_put(&g, "a");
    for (int i = 0; i < 3; i++, g.now += 30 * SEC) rig_next(&g, c);
    CHECK_STR(rig_state(c), "2,1 0,0 0 1 0");
    stream_delete(&g.st, 1);
    CHECK_STR(rig_state(c), "2,1 0,0 0 0 0");
    rig_close(&g);
}

static void backoff_steps(void) {
    struct rig g;
    rig_open(&g, NULL);
    const int64_t steps[] = {SEC, 5 * SEC, 20 * SEC};
    struct mr_consumer_config cfg = rig_config();
    cfg.ack_wait_ns = SEC; /* as the server sets it */
    cfg.backoff_ns = steps;
    cfg.backoff_count = 3;
    struct consumer *c = rig_consumer(&g, &cfg);
    rig_put(&g, "a");
    const int64_t waits[] = {SEC, 5 * SEC, 20 * SEC, 20 * SEC};
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(rig_next(&g, c), 1);
        CHECK_EQ(consumer_deadline(c), g.now + waits[i]);
        g.now += waits[i] - 1;
        CHECK_EQ(rig_next(&g, c), 0);
        g.now += 1;
    }
    rig_close(&g);
}

/* nats-server: backoff 0.2 s, 3 s, delivered twice, NAK with a delay of 0.5 s: comes back after 3.3 s. */
static void delayed_nak_under_backoff(void) {
    struct rig g;
    rig_open(&g, NULL);
    const int64_t steps[] = {200 * MS, 3 * SEC};
    struct mr_consumer_config cfg = rig_config();
    cfg.ack_wait_ns = 200 * MS;
    cfg.backoff_ns = steps;
    cfg.backoff_count = 2;
    struct consumer *c = rig_consumer(&g, &cfg);
    rig_put(&g, "a");
    CHECK_EQ(rig_next(&g, c), 1);
    g.now += 400 * MS;
    CHECK_EQ(rig_next(&g, c), 1);
    CHECK(consumer_ack(c, MR_NAK, 1, 2, 500 * MS, g.now));
    CHECK_EQ(consumer_deadline(c), g.now + 3300 * MS);
    rig_close(&g);
}

static void max_ack_pending_holds_back_new_ones(void) {
    struct rig g;
    rig_open(&g, NULL);
    struct mr_consumer_config cfg = rig_config();
    cfg.max_ack_pending = 2;
    struct consumer *c = rig_consumer(&g, &cfg);
    for (int i = 0; i < 4; i++) rig_put(&g, "a");
    rig_next(&g, c);
    rig_next(&g, c);
    struct choice ch;
    CHECK_EQ(consumer_peek(c, g.now, &ch), CHOICE_BUSY);
    CHECK(!consumer_ready(c, g.now));
    consumer_ack(c, MR_NAK, 1, 1, 0, g.now);
    CHECK_EQ(consumer_peek(c, g.now, &ch), CHOICE_AGAIN); /* redeliveries are not held back */
    consumer_delivered(c, &ch, g.now);
    CHECK_EQ(consumer_peek(c, g.now, &ch), CHOICE_BUSY);
    rig_ack(&g, c, 2, 2);
    CHECK_EQ(rig_next(&g, c), 3);
    rig_close(&g);
}

/* ------------------------------------------------------------------------------------------------ where it
 * starts */

static const char *start(struct rig *g, enum mr_deliver deliver, uint64_t seq, int64_t time,
                         const char *filter) {
    struct mr_consumer_config cfg = rig_config();
    struct mr_bytes f = B(filter);
    cfg.deliver = deliver;
    cfg.opt_start_seq = seq;
    cfg.opt_start_time = time;
    cfg.filters = &f;
    cfg.filters_count = *filter ? 1 : 0;
    static char buf[300];
    struct consumer *c = rig_consumer(g, &cfg);
    int n = snprintf(buf, sizeof buf, "%s:", rig_state(c));
    for (uint64_t s; (s = rig_next(g, c)) != 0;)
        n += snprintf(buf + n, sizeof buf - (size_t)n, " %" PRIu64, s);
    CHECK_EQ(c->num_pending, 0);
    consumer_deinit(c);
    g->consumers--;
    return buf;
}

static void start_positions(void) {
    struct rig g;
    rig_open(&g, NULL);
    const char *subjects[] = {"a", "b", "a", "c", "b", "a"};
    int64_t begin = g.now;
    for (int i = 0; i < 6; i++, g.now += SEC) rig_put(&g, subjects[i]);
    CHECK_STR(start(&g, MR_DELIVER_ALL, 0, 0, ""), "0,0 0,0 0 0 6: 1 2 3 4 5 6");
    CHECK_STR(start(&g, MR_DELIVER_ALL, 0, 0, "b"), "0,0 0,0 0 0 2: 2 5");
    CHECK_STR(start(&g, MR_DELIVER_LAST, 0, 0, ""), "0,5 0,5 0 0 1: 6");
    CHECK_STR(start(&g, MR_DELIVER_LAST, 0, 0, "c"), "0,3 0,3 0 0 1: 4");
    CHECK_STR(start(&g, MR_DELIVER_LAST, 0, 0, "none"), "0,0 0,0 0 0 0:");
    CHECK_STR(start(&g, MR_DELIVER_NEW, 0, 0, ""), "0,6 0,6 0 0 0:");
    CHECK_STR(start(&g, MR_DELIVER_BY_SEQ, 4, 0, ""), "0,3 0,3 0 0 3: 4 5 6");
    CHECK_STR(start(&g, MR_DELIVER_BY_SEQ, 40, 0, ""), "0,39 0,39 0 0 0:");
    CHECK_STR(start(&g, MR_DELIVER_BY_SEQ, UINT64_MAX, 0, ""),
              "0,9223372036854775806 0,9223372036854775806 0 0 0:"); /* its record must read back */
    CHECK_STR(start(&g, MR_DELIVER_BY_TIME, 0, begin + 3 * SEC, ""), "0,3 0,3 0 0 3: 4 5 6");
    CHECK_STR(start(&g, MR_DELIVER_BY_TIME, 0, begin + 3 * SEC + 1, ""), "0,4 0,4 0 0 2: 5 6");
    CHECK_STR(start(&g, MR_DELIVER_BY_TIME, 0, begin + 60 * SEC, ""), "0,6 0,6 0 0 0:");
    CHECK_STR(start(&g, MR_DELIVER_LAST_PER_SUBJECT, 0, 0, ""), "0,3 0,3 0 0 3: 4 5 6");
    CHECK_STR(start(&g, MR_DELIVER_LAST_PER_SUBJECT, 0, 0, "b"), "0,4 0,4 0 0 1: 5");
    rig_purge(&g, "", 4, 0);
    CHECK_STR(start(&g, MR_DELIVER_ALL, 0, 0, ""), "0,3 0,3 0 0 3: 4 5 6");
    CHECK_STR(start(&g, MR_DELIVER_BY_SEQ, 2, 0, ""), "0,3 0,3 0 0 3: 4 5 6");
    rig_close(&g);
}

static void start_on_an_empty_stream(void) {
    struct rig g;
    rig_open(&g, NULL);
    CHECK_STR(start(&g, MR_DELIVER_LAST, 0, 0, ""), "0,0 0,0 0 0 0:");
    CHECK_STR(start(&g, MR_DELIVER_LAST_PER_SUBJECT, 0, 0, ">"), "0,0 0,0 0 0 0:");
    rig_put(&g, "a");
    rig_purge(&g, "", 0, 0);
    CHECK_STR(start(&g, MR_DELIVER_ALL, 0, 0, ""), "0,1 0,1 0 0 0:");
    rig_close(&g);
}

/* What comes after the start is delivered as it comes, also when it replaces a value. */
static void last_per_subject_goes_on(void) {
    struct rig g;
    rig_open(&g, NULL);
    struct mr_consumer_config cfg = rig_config();
    cfg.deliver = MR_DELIVER_LAST_PER_SUBJECT;
    rig_put(&g, "a");
    rig_put(&g, "b");
    rig_put(&g, "a");
    struct consumer *c = rig_consumer(&g, &cfg);
    rig_put(&g, "b");
    rig_put(&g, "b");
    CHECK_STR(rig_state(c), "0,1 0,1 0 0 4");
    const uint64_t want[] = {2, 3, 4, 5, 0};
    for (int i = 0; i < 5; i++) CHECK_EQ(rig_next(&g, c), want[i]);
    rig_close(&g);
}

/* ------------------------------------------------------------------------------------------------ removal */

static void removed_by_limits(void) {
    struct rig g;
    struct mr_stream_config cfg = rig_stream_config();
    cfg.max_msgs = 3;
    rig_open(&g, &cfg);
    struct consumer *c = rig_consumer(&g, NULL);
    for (int i = 0; i < 3; i++) rig_put(&g, "a");
    rig_next(&g, c);
    rig_next(&g, c);
    rig_put(&g, "a"); /* 1 goes: it was pending */
    CHECK_STR(rig_state(c), "2,2 1,1 1 0 2");
    rig_put(&g, "a"); /* 2 goes */
    CHECK_STR(rig_state(c), "2,2 2,2 0 0 3");
    rig_put(&g, "a"); /* 3 goes: not yet delivered */
    CHECK_STR(rig_state(c), "2,2 2,2 0 0 3");
    CHECK_EQ(rig_next(&g, c), 4);
    CHECK_STR(rig_state(c), "3,4 2,2 1 0 2");
    rig_close(&g);
}

static void removed_while_queued(void) {
    struct rig g;
    rig_open(&g, NULL);
    struct consumer *c = rig_consumer(&g, NULL);
    rig_put(&g, "a");
    rig_put(&g, "a");
    rig_next(&g, c);
    rig_next(&g, c);
    consumer_ack(c, MR_NAK, 1, 1, 0, g.now);
    stream_delete(&g.st, 1);
    CHECK_EQ(rig_next(&g, c), 0);
    CHECK_STR(rig_state(c), "2,2 1,1 1 0 0");
    rig_close(&g);
}

static void purge_moves_up(void) {
    struct rig g;
    rig_open(&g, NULL);
    struct consumer *c = rig_consumer(&g, NULL);
    for (int i = 0; i < 10; i++) rig_put(&g, i % 2 ? "b" : "a");
    for (int i = 0; i < 4; i++) rig_next(&g, c);
    rig_purge(&g, "", 4, 0);
    CHECK_STR(rig_state(c), "4,4 3,3 1 0 6");
    rig_purge(&g, "b", 0, 0); /* 4, 6, 8, 10 go */
    CHECK_STR(rig_state(c), "4,4 4,4 0 0 3");
    rig_purge(&g, "", 0, 0);
    CHECK_STR(rig_state(c), "4,10 4,10 0 0 0");
    CHECK_EQ(rig_next(&g, c), 0);
    CHECK_EQ(rig_put(&g, "a"), 11);
    CHECK_EQ(rig_next(&g, c), 11);
    rig_close(&g);
}

static void purge_of_another_subject(void) {
    struct rig g;
    rig_open(&g, NULL);
    struct mr_bytes f = B("a");
    struct mr_consumer_config cfg = rig_config();
    cfg.filters = &f;
    cfg.filters_count = 1;
    struct consumer *c = rig_consumer(&g, &cfg);
    for (int i = 0; i < 6; i++) rig_put(&g, i % 2 ? "b" : "a");
    rig_next(&g, c);
    rig_purge(&g, "b", 0, 0);
    CHECK_STR(rig_state(c), "1,1 0,0 1 0 2");
    CHECK_EQ(rig_next(&g, c), 3);
    rig_close(&g);
}

static void skip_of_a_damaged_message(void) {
    struct rig g;
    rig_open(&g, NULL);
    struct consumer *c = rig_consumer(&g, NULL);
    for (int i = 0; i < 3; i++) rig_put(&g, "a");
    struct choice ch;
    CHECK_EQ(consumer_peek(c, g.now, &ch), CHOICE_NEW);
    consumer_skip(c, &ch, g.now);
    stream_lost(&g.st, ch.seq, 0);
    CHECK_STR(rig_state(c), "0,0 0,0 0 0 2");
    CHECK_EQ(rig_next(&g, c), 2);
    g.now += 30 * SEC;
    CHECK_EQ(consumer_peek(c, g.now, &ch), CHOICE_AGAIN);
    consumer_skip(c, &ch, g.now);
    stream_lost(&g.st, ch.seq, 0);
    CHECK_EQ(rig_next(&g, c), 3);
    CHECK_STR(rig_state(c), "2,3 1,2 1 0 0");
    CHECK_EQ(g.st.lost_msgs, 2);
    rig_close(&g);
}

/* ------------------------------------------------------------------------------------------------ filters,
 * updates */

static void filters_survive_reused_ids(void) {
    struct rig g;
    rig_open(&g, NULL);
    struct mr_bytes f[] = {B("a.*"), B("b")};
    struct mr_consumer_config cfg = rig_config();
    cfg.filters = f;
    cfg.filters_count = 2;
    struct consumer *c = rig_consumer(&g, &cfg);
    for (int i = 0; i < 50; i++) {
        char name[16];
        snprintf(name, sizeof name, "%s%d", i % 3 ? "a." : "x", i);
        uint64_t seq = rig_put(&g, name);
        CHECK_EQ(rig_next(&g, c), i % 3 ? seq : 0);
        stream_delete(&g.st, seq);
    }
    CHECK(g.st.subjects.items_len <= 2);
    rig_close(&g);
}

static void update_of_filters_and_waits(void) {
    struct rig g;
    rig_open(&g, NULL);
    struct mr_consumer_config cfg = rig_config();
    struct consumer *c = rig_consumer(&g, &cfg);
    for (int i = 0; i < 6; i++) rig_put(&g, i % 2 ? "b" : "a");
    rig_next(&g, c);
    struct mr_bytes f = B("b");
    cfg.filters = &f;
    cfg.filters_count = 1;
    cfg.ack_wait_ns = SEC;
    CHECK_EQ(consumer_update(c, &cfg, g.now), ERR_OK);
    CHECK(c->want_full);
    CHECK_STR(rig_state(c), "1,1 0,0 1 0 3");
    CHECK_EQ(consumer_deadline(c), g.now + SEC);
    CHECK_EQ(rig_next(&g, c), 2);
    const int64_t steps[] = {2 * SEC, 4 * SEC};
    cfg.backoff_ns = steps;
    cfg.backoff_count = 2;
    CHECK_EQ(consumer_update(c, &cfg, g.now), ERR_OK);
    CHECK_EQ(consumer_deadline(c), g.now + 2 * SEC);
    cfg.backoff_count = 0;
    CHECK_EQ(consumer_update(c, &cfg, g.now), ERR_OK);
    CHECK_EQ(consumer_deadline(c), g.now + SEC);
    rig_close(&g);
}

static void clock_that_goes_back(void) {
    struct rig g;
    rig_open(&g, NULL);
    struct consumer *c = rig_consumer(&g, NULL);
    rig_put(&g, "a");
    rig_put(&g, "a");
    rig_next(&g, c);
    g.now -= 500 * SEC;
    rig_next(&g, c);
    CHECK_EQ(consumer_deadline(c), g.now + 530 * SEC);
    rig_close(&g);
}

CHECK_MAIN(CASE(delivers_in_order_and_counts), CASE(only_visible_messages),
           CASE(explicit_floor_is_contiguous), CASE(ack_all_moves_everything), CASE(ack_none_needs_none),
           CASE(redelivered_after_ack_wait), CASE(expired_together_come_by_sequence),
           CASE(progress_restarts_the_wait), CASE(nak_comes_back), CASE(nak_below_the_floor_is_ignored),
           CASE(term_ends_it), CASE(max_deliver_two), CASE(max_deliver_one),
           CASE(exceeded_is_forgotten_with_its_message), CASE(backoff_steps), CASE(delayed_nak_under_backoff),
           CASE(max_ack_pending_holds_back_new_ones), CASE(start_positions), CASE(start_on_an_empty_stream),
           CASE(last_per_subject_goes_on), CASE(removed_by_limits), CASE(removed_while_queued),
           CASE(purge_moves_up), CASE(purge_of_another_subject), CASE(skip_of_a_damaged_message),
           CASE(filters_survive_reused_ids), CASE(update_of_filters_and_waits), CASE(clock_that_goes_back))
