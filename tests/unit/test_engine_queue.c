/* test_engine_queue.c - the commit queue: order, notes, wrapping, merging, and room. */
#include "base/rng.h"
#include "commit_queue.h"
#include "lib/check.h"

enum { SIZE = 65536 };

static struct mr_stream *stream(uintptr_t n) { return (struct mr_stream *)(n * 64); }

static void in_order_with_notes(void) {
    struct commit_queue q;
    CHECK_EQ(cq_init(&q, SIZE), ERR_OK);
    CHECK(cq_empty(&q));
    CHECK(cq_peek(&q) == NULL);
    struct cq_entry e = {.frame = 5, .stream = stream(1), .seq = 7, .tag = 9, .kind = CQ_APPEND};
    CHECK(cq_push(&q, &e, SPAN_LIT("hello")));
    e.kind = CQ_ACK;
    e.frame = 6;
    e.durable = true;
    CHECK(cq_push(&q, &e, SPAN_EMPTY));
    const struct cq_entry *p = cq_peek(&q);
    CHECK_EQ(p->frame, 5);
    CHECK_EQ(p->seq, 7);
    CHECK_EQ(p->tag, 9);
    CHECK(!p->durable);
    CHECK_MEM(cq_note(p).p, cq_note(p).n, "hello", 5);
    cq_take(&q);
    CHECK_MEM(cq_note(p).p, cq_note(p).n, "hello", 5); /* readable until released */
    p = cq_peek(&q);
    CHECK_EQ(p->kind, CQ_ACK);
    CHECK(p->durable);
    CHECK_EQ(cq_note(p).n, 0);
    cq_take(&q);
    CHECK(cq_empty(&q));
    cq_release(&q);
    CHECK_EQ(q.tail, 0);
    cq_deinit(&q);
}

static void watermark_moves_merge(void) {
    struct commit_queue q;
    CHECK_EQ(cq_init(&q, SIZE), ERR_OK);
    struct cq_entry e = {.frame = 1, .stream = stream(1), .seq = 1, .kind = CQ_VISIBLE};
    CHECK(cq_push(&q, &e, SPAN_EMPTY));
    e.seq = 2;
    CHECK(!cq_push(&q, &e, SPAN_EMPTY));
    CHECK_EQ(cq_peek(&q)->seq, 2);
    e.stream = stream(2);
    CHECK(cq_push(&q, &e, SPAN_EMPTY)); /* another stream */
    e.frame = 2;
    CHECK(cq_push(&q, &e, SPAN_EMPTY)); /* another frame */
    e.seq = 3;
    e.kind = CQ_APPEND;
    CHECK(cq_push(&q, &e, SPAN_EMPTY)); /* somebody wants to know */
    e.kind = CQ_VISIBLE;
    CHECK(cq_push(&q, &e, SPAN_EMPTY));
    int n = 0;
    for (; cq_peek(&q); n++) cq_take(&q);
    CHECK_EQ(n, 5);
    e.seq = 4;
    CHECK(cq_push(&q, &e, SPAN_EMPTY)); /* what was taken is not changed any more */
    cq_deinit(&q);
}

static void full_says_so(void) {
    struct commit_queue q;
    CHECK_EQ(cq_init(&q, SIZE), ERR_OK);
    static const uint8_t note[CQ_NOTE_MAX];
    struct cq_entry e = {.frame = 1, .stream = stream(1), .kind = CQ_APPEND};
    int n = 0;
    for (; cq_room(&q, sizeof note); n++) CHECK(cq_push(&q, &e, span_of(note, sizeof note)));
    CHECK_EQ(n, SIZE / (CQ_NOTE_MAX + sizeof e));
    CHECK(cq_room(&q, 0)); /* a small one still fits */
    cq_peek(&q);
    cq_take(&q);
    CHECK(!cq_room(&q, sizeof note)); /* taken is not given back */
    cq_release(&q);
    cq_peek(&q);
    cq_take(&q);
    cq_release(&q);
    CHECK(cq_room(&q, sizeof note));
    cq_deinit(&q);
}

static void open_entries_are_settled(void) {
    struct commit_queue q;
    CHECK_EQ(cq_init(&q, SIZE), ERR_OK);
    CHECK(!cq_open(&q));
    struct cq_entry e = {.frame = 3, .stream = stream(1), .seq = 1, .kind = CQ_APPEND};
    CHECK(cq_push(&q, &e, SPAN_EMPTY));
    for (int i = 0; i < 3; i++) {
        e = (struct cq_entry){.frame = CQ_OPEN, .stream = stream(1), .seq = 10, .kind = CQ_ACK};
        CHECK(cq_push(&q, &e, SPAN_LIT("x")));
        e = (struct cq_entry){.frame = 3, .stream = stream(1), .seq = 2, .kind = CQ_APPEND};
        CHECK(cq_push(&q, &e, SPAN_EMPTY));
    }
    CHECK(cq_open(&q));
    cq_take(&q);
    CHECK_EQ(cq_peek(&q)->frame, CQ_OPEN);
    cq_settle(&q, 4, 17);
    CHECK(!cq_open(&q));
    for (int i = 0; i < 6; i++) {
        const struct cq_entry *p = cq_peek(&q);
        CHECK_EQ(p->frame, i % 2 ? 3 : 4);
        CHECK_EQ(p->status, i % 2 ? 0 : 17);
        cq_take(&q);
    }
    CHECK(cq_empty(&q));
    cq_deinit(&q);
}

/* Against a plain counter: thousands of entries of random sizes, pushed and taken in bursts. */
static void random_bursts(void) {
    struct commit_queue q;
    CHECK_EQ(cq_init(&q, SIZE), ERR_OK);
    struct rng r = {4711};
    uint64_t pushed = 0, taken = 0;
    static uint8_t note[CQ_NOTE_MAX];
    while (taken < 50000) {
        for (uint64_t burst = rng_below(&r, 40); burst; burst--) {
            size_t n = rng_below(&r, 8) ? rng_below(&r, 100) : rng_below(&r, CQ_NOTE_MAX + 1);
            if (!cq_room(&q, n)) break;
            memset(note, (int)(pushed & 255), n);
            struct cq_entry e = {
                .frame = pushed / 3, .stream = stream(1), .seq = pushed, .tag = n, .kind = CQ_APPEND};
            CHECK(cq_push(&q, &e, span_of(note, n)));
            pushed++;
        }
        for (uint64_t burst = rng_below(&r, 40); burst; burst--) {
            const struct cq_entry *e = cq_peek(&q);
            CHECK_EQ(e == NULL, taken == pushed);
            if (!e) break;
            CHECK_EQ(e->seq, taken);
            CHECK_EQ(e->frame, taken / 3);
            struct span s = cq_note(e);
            CHECK_EQ(s.n, e->tag);
            for (size_t i = 0; i < s.n; i++) CHECK_EQ(s.p[i], taken & 255);
            cq_take(&q);
            taken++;
        }
        if (rng_below(&r, 2)) cq_release(&q);
    }
    cq_deinit(&q);
}

CHECK_MAIN(CASE(in_order_with_notes), CASE(watermark_moves_merge), CASE(full_says_so),
           CASE(open_entries_are_settled), CASE(random_bursts))
