/* test_engine.c - streams and consumers over the real loop and a real folder: stored, acknowledged, read,
 * delivered, kept over orderly and disorderly ends. Every case runs once on each back end. */
#include "engine_world.h"

#include <sys/stat.h>

#define SECOND INT64_C(1000000000)

/* --- storing --- */

static void stored_and_acknowledged_in_order(void) {
    world_new(1);
    struct mr_stream *s = stream_new("S");
    CHECK_EQ(append(s, "a", "one", 11), 1);
    CHECK_EQ(append(s, "b", "two", 12), 2);
    CHECK_EQ(append(s, "a", "three", 13), 3);
    CHECK_EQ(w.done_count, 0); /* not inside the call */
    struct mr_stream_state st;
    mr_stream_state(s, &st);
    CHECK_EQ(st.msgs, 3);
    CHECK_EQ(st.visible_seq, 0);
    struct mr_msg_view v;
    struct mr_wait wt = {.on_ready = wait_ready};
    CHECK_EQ(mr_get(s, 1, true, &wt, &v), MR_NONE); /* not visible yet */
    CHECK_EQ(mr_get(s, 1, false, &wt, &v), MR_OK);
    until_done(3);
    for (size_t i = 0; i < 3; i++) {
        CHECK_EQ(w.done[i].kind, MR_DONE_APPEND);
        CHECK_EQ(w.done[i].status, MR_OK);
        CHECK_EQ(w.done[i].seq, i + 1);
        CHECK_EQ(w.done[i].tag, 11 + i);
        CHECK(w.done[i].stream == s);
    }
    CHECK_STR(w.done[1].note, "b");
    mr_stream_state(s, &st);
    CHECK_EQ(st.visible_seq, 3);
    CHECK_EQ(st.num_subjects, 2);
    CHECK_EQ(mr_get(s, 1, true, &wt, &v), MR_OK);
    check_msg(s, 3, "a", "three");
    CHECK_EQ(mr_seq_last(s, str("a"), true), 3);
    CHECK_EQ(mr_seq_next(s, 1, str("b"), true), 2);
    CHECK_EQ(get(s, 4, &v), MR_NONE);
    CHECK_EQ(get(s, 0, &v), MR_NONE);
    world_close();
}

static void kept_over_an_orderly_end(void) {
    world_new(1);
    struct mr_stream *s = stream_new("S");
    for (int i = 1; i <= 100; i++) CHECK_EQ(append(s, i % 2 ? "odd" : "even", "payload", i), i);
    world_reopen(1);
    s = stream_old("S");
    struct mr_stream_state st;
    mr_stream_state(s, &st);
    CHECK_EQ(st.msgs, 100);
    CHECK_EQ(st.visible_seq, 100);
    check_msg(s, 1, "odd", "payload");
    check_msg(s, 100, "even", "payload");
    CHECK_EQ(store(s, "odd", "next"), 101);
    world_reopen(1);
    check_msg(stream_old("S"), 101, "odd", "next");
    world_close();
}

static void close_reports_what_is_outstanding(void) {
    world_new(1);
    struct mr_stream *s = stream_new("S");
    for (int i = 0; i < 5; i++) append(s, "a", "x", i);
    world_close();
    CHECK_EQ(w.done_count, 5);
    for (size_t i = 0; i < 5; i++) CHECK_EQ(w.done[i].status, MR_OK);
}

/* Runs f in a child that ends without closing anything, as after kill -9. */
static void in_killed_child(void (*f)(void)) {
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        world_open(1);
        f();
        _exit(0);
    }
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
}

static void child_stores_ten(void) {
    struct mr_stream *s = mr_stream_find(w.sh, str("S"));
    if (!s) s = stream_new("S");
    for (int i = 0; i < 10; i++) store(s, "a", "kept");
    append(s, "a", "perhaps", 0);
}

static void kept_over_kill(void) {
    world_new(1);
    world_close();
    for (uint64_t round = 0; round < 3; round++) {
        in_killed_child(child_stores_ten);
        world_open(1);
        struct mr_stream *s = stream_old("S");
        struct mr_stream_state st;
        mr_stream_state(s, &st);
        CHECK(st.msgs >= 10 * (round + 1));
        uint64_t kept = 0;
        for (uint64_t seq = 1; seq <= st.last_seq; seq++) {
            struct mr_msg_view v;
            CHECK_EQ(get(s, seq, &v), MR_OK);
            kept += v.msg.payload.n == 4;
        }
        CHECK_EQ(kept, 10 * (round + 1));
        world_close();
    }
}

static void large_messages(void) {
    world_new(1);
    struct mr_stream *s = stream_new("S");
    size_t n = 3 << 20; /* several frames */
    char *big = malloc(n + 1);
    for (size_t i = 0; i < n; i++) big[i] = (char)('a' + i % 23);
    big[n] = 0;
    CHECK_EQ(store(s, "big", big), 1);
    CHECK_EQ(store(s, "small", "x"), 2);
    check_msg(s, 1, "big", big);
    world_reopen(1);
    s = stream_old("S");
    check_msg(s, 1, "big", big);
    check_msg(s, 2, "small", "x");
    free(big);
    world_close();
}

static void headers_are_kept(void) {
    world_new(1);
    struct mr_stream *s = stream_new("S");
    struct mr_msg m = message("a", "body");
    m.hdr = str("NATS/1.0\r\nX: y\r\n\r\n");
    CHECK_EQ(mr_append(s, &m, NULL, NULL), MR_OK); /* nobody is told */
    settle();
    struct mr_msg_view v;
    CHECK_EQ(get(s, 1, &v), MR_OK);
    CHECK_MEM(v.msg.hdr.p, v.msg.hdr.n, "NATS/1.0\r\nX: y\r\n\r\n", 18);
    world_reopen(1);
    CHECK_EQ(get(stream_old("S"), 1, &v), MR_OK);
    CHECK_MEM(v.msg.hdr.p, v.msg.hdr.n, "NATS/1.0\r\nX: y\r\n\r\n", 18);
    world_close();
}

/* --- barriers --- */

static void barrier_follows_what_was_handed_in(void) {
    world_new(1);
    struct mr_stream *s = stream_new("S");
    append(s, "a", "x", 1);
    CHECK_EQ(mr_barrier(w.sh, s, 2, str("note")), MR_OK);
    append(s, "a", "y", 3);
    CHECK_EQ(mr_barrier(w.sh, NULL, 4, str("shard")), MR_OK);
    until_done(4);
    for (size_t i = 0; i < 4; i++) CHECK_EQ(w.done[i].tag, i + 1);
    CHECK_EQ(w.done[1].kind, MR_DONE_BARRIER);
    CHECK(w.done[1].stream == s);
    CHECK_STR(w.done[1].note, "note");
    CHECK(w.done[3].stream == NULL);
    CHECK_STR(w.done[3].note, "shard");
    world_close();
}

static void barrier_with_nothing_outstanding(void) {
    world_new(1);
    struct mr_stream *s = stream_new("S");
    settle();
    size_t n = w.done_count;
    CHECK_EQ(mr_barrier(w.sh, s, 5, (struct mr_bytes){0}), MR_OK);
    CHECK_EQ(w.done_count, n);
    CHECK_EQ(mr_shard_deadline(w.sh), 0); /* it wants its tick */
    mr_shard_tick(w.sh);
    CHECK_EQ(w.done_count, n + 1);
    world_close();
}

/* --- consumers --- */

static void delivered_and_acknowledged(void) {
    world_new(1);
    struct mr_stream *s = stream_new("S");
    struct mr_consumer *c = consumer_new(s, "C");
    CHECK(mr_consumer_find(s, str("C")) == c);
    struct mr_delivery d;
    CHECK_EQ(next(c, &d), MR_NONE);
    append(s, "a", "one", 0);
    CHECK_EQ(next(c, &d), MR_NONE); /* not durable yet */
    until_ready(1);
    CHECK(w.ready[0] == c);
    d = expect(c, 1, 1);
    CHECK_MEM(d.view.msg.payload.p, d.view.msg.payload.n, "one", 3);
    CHECK_EQ(d.consumer_seq, 1);
    CHECK_EQ(d.pending, 0);
    CHECK_EQ(next(c, &(struct mr_delivery){0}), MR_NONE);
    size_t n = w.done_count;
    ack(c, &d, true);
    CHECK_EQ(w.done_count, n);
    until_done(n + 1);
    CHECK_EQ(w.done[n].kind, MR_DONE_ACK);
    CHECK_EQ(w.done[n].status, MR_OK);
    CHECK_EQ(w.done[n].seq, 1);
    CHECK_EQ(w.done[n].tag, 77);
    CHECK_STR(w.done[n].note, "ack");
    struct mr_consumer_state st;
    mr_consumer_state(c, &st);
    CHECK_EQ(st.floor_stream_seq, 1);
    CHECK_EQ(st.num_ack_pending, 0);
    world_close();
}

static void ready_comes_once_for_each_time_there_was_nothing(void) {
    world_new(1);
    struct mr_stream *s = stream_new("S");
    struct mr_consumer *c = consumer_new(s, "C");
    struct mr_delivery d;
    for (int i = 0; i < 3; i++) store(s, "a", "x");
    CHECK_EQ(w.ready_count, 0); /* it never asked */
    for (int i = 0; i < 3; i++) CHECK_EQ(next(c, &d), MR_OK);
    CHECK_EQ(next(c, &d), MR_NONE);
    for (int i = 0; i < 3; i++) store(s, "a", "x");
    settle();
    CHECK_EQ(w.ready_count, 1);
    world_close();
}

static void two_consumers(struct mr_consumer **a, struct mr_consumer **b) {
    *a = mr_consumer_find(stream_old("S"), str("A"));
    *b = mr_consumer_find(stream_old("S"), str("B"));
    CHECK(*a && *b);
}

static void child_confirms(void) {
    struct mr_stream *s = stream_new("S");
    struct mr_consumer *a = consumer_new(s, "A"), *b = consumer_new(s, "B");
    for (int i = 0; i < 6; i++) store(s, "a", "x");
    struct mr_delivery d[6];
    for (uint64_t i = 0; i < 6; i++) d[i] = expect(a, i + 1, 1);
    for (uint64_t i = 0; i < 3; i++) (void)expect(b, i + 1, 1);
    size_t n = w.done_count;
    ack(a, &d[0], true);
    ack(a, &d[3], true);
    until_done(n + 2);
}

static void a_confirmed_ack_is_never_redelivered(void) {
    world_new(1);
    world_close();
    in_killed_child(child_confirms);
    world_open(1);
    struct mr_consumer *a, *b;
    two_consumers(&a, &b);
    struct mr_consumer_state st;
    mr_consumer_state(a, &st);
    CHECK_EQ(st.floor_stream_seq, 1);
    CHECK_EQ(st.num_ack_pending, 4);
    CHECK_EQ(st.delivered_stream_seq, 6);
    struct mr_consumer_config cfg = *mr_consumer_config(a);
    cfg.ack_wait_ns = 1; /* now everything that is pending comes again */
    CHECK_EQ(mr_consumer_update(a, &cfg, io_wall(w.io)), MR_OK);
    static const uint64_t again[] = {2, 3, 5, 6};
    bool seen[7] = {false};
    for (int i = 0; i < 4; i++) {
        struct mr_delivery d;
        enum mr_status r = mr_consumer_next(a, io_wall(w.io) + 3600 * SECOND, 0, 0, &d);
        for (int k = 0; r == MR_LATER && k < 20000; k++) {
            turn();
            r = mr_consumer_next(a, io_wall(w.io) + 3600 * SECOND, 0, 0, &d);
        }
        CHECK_EQ(r, MR_OK);
        seen[d.view.seq] = true;
    }
    for (int i = 0; i < 4; i++) CHECK(seen[again[i]]);
    world_close();
}

static void nak_and_redelivery(void) {
    world_new(1);
    struct mr_stream *s = stream_new("S");
    struct mr_consumer *c = consumer_new(s, "C");
    for (int i = 0; i < 2; i++) store(s, "a", "x");
    struct mr_delivery d = expect(c, 1, 1);
    struct mr_ack nak = {.kind = MR_NAK, .seq = 1, .consumer_seq = d.consumer_seq};
    CHECK_EQ(mr_consumer_ack(c, &nak, io_wall(w.io)), MR_OK);
    d = expect(c, 1, 2);
    (void)expect(c, 2, 1);
    CHECK_EQ(next(c, &d), MR_NONE);
    nak.consumer_seq = d.consumer_seq;
    nak.delay_ns = 30 * 1000 * 1000;
    size_t n = w.ready_count;
    CHECK_EQ(mr_consumer_ack(c, &nak, io_wall(w.io)), MR_OK);
    CHECK_EQ(next(c, &d), MR_NONE);
    until_ready(n + 1); /* the delay is over */
    (void)expect(c, 1, 3);
    world_close();
}

static void ack_wait_runs_out(void) {
    world_new(1);
    struct mr_stream *s = stream_new("S");
    struct mr_consumer_config cfg = consumer_config("C");
    cfg.ack_wait_ns = 20 * 1000 * 1000;
    cfg.max_deliver = 2;
    struct mr_consumer *c;
    CHECK_EQ(mr_consumer_create(s, &cfg, io_wall(w.io), &c), MR_OK);
    store(s, "a", "x");
    struct mr_delivery d = expect(c, 1, 1);
    CHECK_EQ(next(c, &d), MR_NONE);
    until_ready(1);
    (void)expect(c, 1, 2);
    CHECK_EQ(next(c, &d), MR_NONE);
    for (int i = 0; w.exceeded_count == 0; i++) {
        CHECK(i < 20000);
        turn();
    }
    CHECK_EQ(w.exceeded_seq, 1);
    CHECK_EQ(w.exceeded_deliveries, 2);
    for (int i = 0; i < 5; i++) turn();
    CHECK_EQ(w.exceeded_count, 1);
    world_close();
}

static void max_ack_pending_makes_busy_until_an_ack(void) {
    world_new(1);
    struct mr_stream *s = stream_new("S");
    struct mr_consumer_config cfg = consumer_config("C");
    cfg.max_ack_pending = 2;
    struct mr_consumer *c;
    CHECK_EQ(mr_consumer_create(s, &cfg, io_wall(w.io), &c), MR_OK);
    for (int i = 0; i < 4; i++) store(s, "a", "x");
    struct mr_delivery one = expect(c, 1, 1), d = expect(c, 2, 1);
    CHECK_EQ(next(c, &d), MR_BUSY);
    settle();
    CHECK_EQ(w.ready_count, 0);
    ack(c, &one, false);
    until_ready(1);
    (void)expect(c, 3, 1);
    CHECK_EQ(next(c, &d), MR_BUSY);
    world_close();
}

static void too_large_consumes_nothing(void) {
    world_new(1);
    struct mr_stream *s = stream_new("S");
    struct mr_consumer *c = consumer_new(s, "C");
    store(s, "subj", "0123456789");
    struct mr_delivery d;
    CHECK_EQ(mr_consumer_next(c, io_wall(w.io), 20, 7, &d), MR_TOO_LARGE); /* 4 + 10 + 7 */
    CHECK_EQ(mr_consumer_next(c, io_wall(w.io), 21, 7, &d), MR_OK);
    CHECK_EQ(d.deliveries, 1);
    world_close();
}

static void consumers_in_memory_are_gone(void) {
    world_new(1);
    struct mr_stream *s = stream_new("S");
    struct mr_consumer_config cfg = consumer_config("E");
    struct mr_consumer *c;
    cfg.durable = false;
    cfg.mem_storage = true;
    CHECK_EQ(mr_consumer_create(s, &cfg, io_wall(w.io), &c), MR_OK);
    cfg.name = str("K");
    cfg.mem_storage = false;
    CHECK_EQ(mr_consumer_create(s, &cfg, io_wall(w.io), &c), MR_OK);
    CHECK_EQ(mr_consumer_create(s, &cfg, io_wall(w.io), &c), MR_EXISTS);
    world_reopen(1);
    s = stream_old("S");
    CHECK(mr_consumer_find(s, str("E")) == NULL);
    CHECK(mr_consumer_find(s, str("K")) != NULL);
    CHECK(mr_consumer_after(s, NULL) == mr_consumer_find(s, str("K")));
    CHECK_EQ(mr_consumer_delete(mr_consumer_find(s, str("K"))), MR_OK);
    CHECK(mr_consumer_after(s, NULL) == NULL);
    world_reopen(1);
    CHECK(mr_consumer_after(stream_old("S"), NULL) == NULL);
    world_close();
}

static void confirmed_without_a_change(void) {
    world_new(1);
    struct mr_stream *s = stream_new("S");
    struct mr_consumer *c = consumer_new(s, "C");
    store(s, "a", "x");
    struct mr_delivery d = expect(c, 1, 1);
    size_t n = w.done_count;
    ack(c, &d, false);
    ack(c, &d, true); /* repeated */
    struct mr_ack unknown = {.kind = MR_ACK, .seq = 999, .consumer_seq = 999, .want_done = true};
    CHECK_EQ(mr_consumer_ack(c, &unknown, io_wall(w.io)), MR_OK);
    until_done(n + 2);
    CHECK_EQ(w.done[n].seq, 1);
    CHECK_EQ(w.done[n + 1].seq, 999);
    world_close();
}

/* --- deleting --- */

static void messages_deleted_and_purged(void) {
    world_new(1);
    struct mr_stream *s = stream_new("S");
    for (int i = 0; i < 10; i++) append(s, i < 5 ? "a" : "b", "x", 0);
    CHECK_EQ(mr_delete(s, 3, false), MR_OK);
    CHECK_EQ(mr_delete(s, 3, false), MR_NONE);
    uint64_t purged;
    CHECK_EQ(mr_purge(s, str("b"), 0, 2, &purged), MR_OK);
    CHECK_EQ(purged, 3);
    for (int round = 0; round < 2; round++) {
        struct mr_stream_state st;
        mr_stream_state(s, &st);
        CHECK_EQ(st.msgs, 6);
        CHECK_EQ(st.last_seq, 10);
        struct mr_msg_view v;
        CHECK_EQ(get(s, 3, &v), MR_NONE);
        CHECK_EQ(get(s, 6, &v), MR_NONE);
        check_msg(s, 9, "b", "x");
        world_reopen(1);
        s = stream_old("S");
    }
    CHECK_EQ(mr_purge(s, (struct mr_bytes){0}, 0, 0, &purged), MR_OK);
    CHECK_EQ(purged, 6);
    CHECK_EQ(mr_purge(s, (struct mr_bytes){0}, 0, 0, &purged), MR_OK);
    CHECK_EQ(purged, 0);
    world_reopen(1);
    CHECK_EQ(store(stream_old("S"), "a", "x"), 11);
    world_close();
}

static void stream_deleted_with_everything_outstanding(void) {
    world_new(1);
    struct mr_stream *s = stream_new("S"), *other = stream_new("T");
    struct mr_consumer *c = consumer_new(s, "C");
    store(s, "a", "x");
    (void)expect(c, 1, 1);
    struct mr_delivery d;
    CHECK_EQ(next(c, &d), MR_NONE);
    size_t n = w.done_count;
    append(s, "a", "y", 1);
    append(other, "a", "y", 2);
    CHECK_EQ(mr_barrier(w.sh, s, 3, (struct mr_bytes){0}), MR_OK);
    struct mr_ack a = {.kind = MR_ACK, .seq = 1, .consumer_seq = 1, .want_done = true, .tag = 4};
    CHECK_EQ(mr_consumer_ack(c, &a, io_wall(w.io)), MR_OK);
    CHECK_EQ(mr_stream_delete(s), MR_OK);
    CHECK(mr_stream_find(w.sh, str("S")) == NULL);
    CHECK(mr_stream_next(w.sh, NULL) == other);
    until_done(n + 4);
    for (size_t i = 0; i < 4; i++) {
        CHECK_EQ(w.done[n + i].tag, i + 1);
        CHECK(w.done[n + i].stream == (i == 1 ? other : NULL));
    }
    CHECK_EQ(w.ready_count, 0);
    s = stream_new("S"); /* the name is free, and nothing of the old one shows */
    CHECK_EQ(store(s, "a", "new"), 1);
    world_reopen(1);
    s = stream_old("S");
    check_msg(s, 1, "a", "new");
    CHECK(mr_consumer_after(s, NULL) == NULL);
    world_close();
}

static void delete_in_done(const struct mr_done *d) {
    if (d->tag == 1) CHECK_EQ(mr_stream_delete(d->stream), MR_OK);
    if (d->tag > 1) CHECK(d->stream == NULL);
}
static void delete_in_ready(struct mr_consumer *c) { CHECK_EQ(mr_consumer_delete(c), MR_OK); }

static void deleted_inside_callbacks(void) {
    world_new(1);
    struct mr_stream *s = stream_new("S");
    for (uint64_t i = 1; i <= 5; i++) append(s, "a", "x", i);
    w.on_done_more = delete_in_done;
    until_done(5);
    CHECK(mr_stream_find(w.sh, str("S")) == NULL);
    w.on_done_more = NULL;
    s = stream_new("S");
    struct mr_consumer *c[3];
    struct mr_delivery d;
    c[0] = consumer_new(s, "A");
    c[1] = consumer_new(s, "B");
    c[2] = consumer_new(s, "C");
    for (int i = 0; i < 3; i++) CHECK_EQ(next(c[i], &d), MR_NONE);
    w.on_ready_more = delete_in_ready;
    store(s, "a", "x");
    until_ready(3);
    CHECK(mr_consumer_after(s, NULL) == NULL);
    world_close();
}

/* --- configuration, limits --- */

static void limits_and_update(void) {
    world_new(1);
    struct mr_stream_config cfg = stream_config("S");
    cfg.max_msgs = 3;
    struct mr_stream *s;
    CHECK_EQ(mr_stream_create(w.sh, &cfg, io_wall(w.io), &s), MR_OK);
    CHECK_EQ(mr_stream_create(w.sh, &cfg, io_wall(w.io), &(struct mr_stream *){0}), MR_EXISTS);
    for (int i = 0; i < 5; i++) store(s, "a", "x");
    struct mr_stream_state st;
    mr_stream_state(s, &st);
    CHECK_EQ(st.first_seq, 3);
    cfg.max_msgs = 2;
    cfg.extra = str("description");
    CHECK_EQ(mr_stream_update(s, &cfg, io_wall(w.io)), MR_OK);
    for (int round = 0; round < 2; round++) {
        mr_stream_state(s, &st);
        CHECK_EQ(st.first_seq, 4);
        CHECK_EQ(st.msgs, 2);
        CHECK_EQ(mr_stream_config(s)->max_msgs, 2);
        CHECK_MEM(mr_stream_config(s)->extra.p, mr_stream_config(s)->extra.n, "description", 11);
        world_reopen(1);
        s = stream_old("S");
    }
    CHECK_EQ(store(s, "a", "x"), 6);
    world_close();
}

static void messages_grow_too_old(void) {
    world_new(1);
    struct mr_stream_config cfg = stream_config("S");
    cfg.max_age_ns = 100 * 1000 * 1000;
    cfg.duplicate_window_ns = cfg.max_age_ns;
    struct mr_stream *s;
    CHECK_EQ(mr_stream_create(w.sh, &cfg, io_wall(w.io), &s), MR_OK);
    store(s, "a", "x");
    store(s, "a", "y");
    struct mr_stream_state st;
    for (int i = 0;; i++) {
        mr_stream_state(s, &st);
        if (st.msgs == 0) break;
        CHECK(i < 20000);
        turn();
    }
    CHECK_EQ(st.first_seq, 3);
    world_reopen(1);
    mr_stream_state(stream_old("S"), &st);
    CHECK_EQ(st.msgs, 0);
    CHECK_EQ(store(stream_old("S"), "a", "z"), 3);
    world_close();
}

static enum mr_status with_id(struct mr_stream *s, const char *id, bool in_header, uint64_t *seq) {
    char hdr[128];
    snprintf(hdr, sizeof hdr, "NATS/1.0\r\nNats-Msg-Id: %s\r\n\r\n", id);
    struct mr_msg m = message("a", "x");
    if (in_header) m.hdr = str(hdr);
    struct mr_append_opts o = {.msg_id = str(id)};
    struct mr_append_result r;
    enum mr_status st = mr_append(s, &m, &o, &r);
    *seq = r.seq;
    return st;
}

static void duplicates_are_refused_over_restarts(void) {
    world_new(1);
    struct mr_stream *s = stream_new("S");
    uint64_t seq;
    CHECK_EQ(with_id(s, "header", true, &seq), MR_OK);
    CHECK_EQ(with_id(s, "option", false, &seq), MR_OK);
    store(s, "a", "without");
    for (int round = 0; round < 3; round++) {
        CHECK_EQ(with_id(s, "header", true, &seq), MR_DUPLICATE);
        CHECK_EQ(seq, 1);
        CHECK_EQ(with_id(s, "option", false, &seq), MR_DUPLICATE);
        CHECK_EQ(seq, 2);
        if (round == 1) CHECK_EQ(mr_delete(s, 2, false), MR_OK); /* the id outlives its message */
        world_reopen(1);
        s = stream_old("S");
    }
    CHECK_EQ(with_id(s, "third", true, &seq), MR_OK);
    CHECK_EQ(seq, 4);
    world_close();
}

static void shares_of_storage(void) {
    w.cfg.disk_max = 2000;
    w.cfg.memory_max = 64 << 20;
    world_new(2);
    struct mr_stream *s = stream_new("S");
    char payload[401];
    memset(payload, 'x', 400);
    payload[400] = 0;
    store(s, "a", payload);
    store(s, "a", payload);
    struct mr_msg m = message("a", payload);
    CHECK_EQ(mr_append(s, &m, NULL, NULL), MR_STORAGE_FULL);
    uint64_t purged;
    CHECK_EQ(mr_purge(s, (struct mr_bytes){0}, 0, 0, &purged), MR_OK);
    CHECK_EQ(mr_append(s, &m, NULL, NULL), MR_OK);
    CHECK_EQ(mr_stream_delete(s), MR_OK);
    s = stream_new("S");
    CHECK_EQ(store(s, "a", payload), 1);
    world_reopen(2);
    CHECK_EQ(mr_append(stream_old("S"), &m, NULL, NULL), MR_OK);
    CHECK_EQ(mr_append(stream_old("S"), &m, NULL, NULL), MR_STORAGE_FULL);
    world_close();
}

/* --- memory --- */

static struct mr_stream *memory_stream(const char *name) {
    struct mr_stream_config cfg = stream_config(name);
    cfg.storage = MR_MEMORY;
    struct mr_stream *s;
    CHECK_EQ(mr_stream_create(w.sh, &cfg, io_wall(w.io), &s), MR_OK);
    return s;
}

static void memory_streams(void) {
    world_new(1);
    struct mr_stream *s = memory_stream("M");
    struct mr_consumer *c = consumer_new(s, "C");
    struct mr_delivery d;
    CHECK_EQ(next(c, &d), MR_NONE);
    CHECK_EQ(append(s, "a", "one", 1), 1);
    CHECK_EQ(mr_barrier(w.sh, s, 2, (struct mr_bytes){0}), MR_OK);
    CHECK_EQ(w.done_count, 0);
    CHECK_EQ(mr_shard_deadline(w.sh), 0);
    mr_shard_tick(w.sh);
    CHECK_EQ(w.done_count, 2);
    CHECK_EQ(w.ready_count, 1);
    d = expect(c, 1, 1);
    CHECK_MEM(d.view.msg.payload.p, d.view.msg.payload.n, "one", 3);
    CHECK_EQ(mr_delete(s, 1, false), MR_OK);
    CHECK_MEM(d.view.msg.payload.p, d.view.msg.payload.n, "one", 3); /* the view lives to the next tick */
    ack(c, &d, true);
    mr_shard_tick(w.sh);
    CHECK_EQ(w.done_count, 3);
    struct mr_stream_config cfg = *mr_stream_config(s);
    cfg.max_msgs = 5;
    CHECK_EQ(mr_stream_update(s, &cfg, io_wall(w.io)), MR_OK);
    for (int i = 0; i < 8; i++) append(s, "a", "more", 0);
    struct mr_stream_state st;
    mr_stream_state(s, &st);
    CHECK_EQ(st.msgs, 5);
    CHECK_EQ(mr_stream_delete(s), MR_OK);
    s = memory_stream("M");
    append(s, "a", "x", 0);
    world_reopen(1);
    CHECK(mr_stream_find(w.sh, str("M")) == NULL);
    world_close();
}

static void memory_without_a_folder(void) {
    w.cfg.memory_max = 4 << 20;
    world_open(1);
    struct mr_stream_config cfg = stream_config("F");
    struct mr_stream *s;
    CHECK_EQ(mr_stream_create(w.sh, &cfg, io_wall(w.io), &s), MR_UNSUPPORTED);
    s = memory_stream("M");
    char *big = calloc(1, 1 << 20);
    memset(big, 'x', (1 << 20) - 1);
    struct mr_msg m = message("a", big);
    int stored = 0;
    enum mr_status st;
    while ((st = mr_append(s, &m, NULL, NULL)) == MR_OK) CHECK(stored++ < 10);
    CHECK_EQ(st, MR_MEMORY_FULL);
    CHECK(stored >= 2);
    settle();
    free(big);
    world_close();
}

/* --- logs and shards --- */

static void one_then_four_then_two_shards(void) {
    world_new(1);
    static const uint32_t shards[] = {1, 4, 2, 3, 1};
    int streams = 0;
    for (size_t round = 0; round < 5; round++) {
        if (round > 0) world_reopen(shards[round]);
        for (uint32_t i = 0; i < shards[round]; i++) {
            for (int k = 0; k < 2; k++) {
                char name[16];
                snprintf(name, sizeof name, "S%d", streams++);
                w.sh = w.shards[i];
                store(stream_new(name), "a", name);
            }
        }
        int found = 0;
        for (uint32_t i = 0; i < shards[round]; i++) {
            for (struct mr_stream *s = NULL; (s = mr_stream_next(w.shards[i], s));) {
                CHECK(mr_stream_shard(s) == w.shards[i]);
                char name[16] = "";
                memcpy(name, mr_stream_config(s)->name.p, mr_stream_config(s)->name.n);
                check_msg(s, 1, "a", name);
                found++;
            }
        }
        CHECK_EQ(found, streams);
    }
    struct mr_shard_stats st;
    mr_shard_stats(w.sh, &st);
    CHECK_EQ(st.logs, 4);
    CHECK_EQ(st.streams, streams);
    CHECK_EQ(st.damaged_records, 0);
    world_close();
}

static void enumeration_is_by_creation(void) {
    world_new(1);
    for (int i = 0; i < 20; i++) {
        char name[8];
        snprintf(name, sizeof name, "N%d", (i * 7) % 20);
        stream_new(name);
    }
    for (int round = 0; round < 2; round++) {
        int i = 0;
        for (struct mr_stream *s = NULL; (s = mr_stream_next(w.sh, s)); i++) {
            char name[8];
            snprintf(name, sizeof name, "N%d", (i * 7) % 20);
            CHECK_MEM(mr_stream_config(s)->name.p, mr_stream_config(s)->name.n, name, strlen(name));
        }
        CHECK_EQ(i, 20);
        world_reopen(1);
    }
    world_close();
}

/* --- the back ends --- */

static bool uring_works(void) {
    struct io *io;
    const char *why;
    if (io_open(&io, &(struct io_config){.backend = IO_URING}, &why) != ERR_OK) return false;
    io_close(io);
    return true;
}

static const struct check_case all[] = {
    CASE(stored_and_acknowledged_in_order),
    CASE(kept_over_an_orderly_end),
    CASE(close_reports_what_is_outstanding),
    CASE(kept_over_kill),
    CASE(large_messages),
    CASE(headers_are_kept),
    CASE(barrier_follows_what_was_handed_in),
    CASE(barrier_with_nothing_outstanding),
    CASE(delivered_and_acknowledged),
    CASE(ready_comes_once_for_each_time_there_was_nothing),
    CASE(a_confirmed_ack_is_never_redelivered),
    CASE(nak_and_redelivery),
    CASE(ack_wait_runs_out),
    CASE(max_ack_pending_makes_busy_until_an_ack),
    CASE(too_large_consumes_nothing),
    CASE(consumers_in_memory_are_gone),
    CASE(confirmed_without_a_change),
    CASE(messages_deleted_and_purged),
    CASE(stream_deleted_with_everything_outstanding),
    CASE(deleted_inside_callbacks),
    CASE(limits_and_update),
    CASE(messages_grow_too_old),
    CASE(duplicates_are_refused_over_restarts),
    CASE(shares_of_storage),
    CASE(memory_streams),
    CASE(memory_without_a_folder),
    CASE(one_then_four_then_two_shards),
    CASE(enumeration_is_by_creation),
};

int main(int argc, char **argv) {
    size_t count = sizeof all / sizeof all[0];
    if (getenv("MR_TEST_IO")) return check_main(argc, argv, all, count);
    setenv("MR_TEST_IO", "posix", 1);
    int bad = check_main(argc, argv, all, count);
    if (!uring_works()) {
        fprintf(stderr, "no io_uring here: the cases ran on posix only\n");
        return bad;
    }
    setenv("MR_TEST_IO", "uring", 1);
    return check_main(argc, argv, all, count) | bad;
}
