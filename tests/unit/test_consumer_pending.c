/* The set of unacknowledged messages against naive arrays: order, places, heap, dirty list, growth. */
#include "base/rng.h"
#include "lib/check.h"
#include "stream/pending.h"

enum { SEQS = 600 };

struct naive {
    bool there, dirty, logged;
    enum pending_where where;
    int64_t deadline, ts;
    uint64_t cseq, placed;
    uint32_t again;
};

static void place(struct pending_set *s, struct naive *n, uint32_t i, enum pending_where where,
                  int64_t deadline, uint64_t stamp) {
    pending_at(s, i)->ts = (int64_t)stamp; /* WAIT wants them ascending */
    pending_place(s, i, where, deadline);
    n->where = where;
    n->deadline = deadline;
    n->ts = (int64_t)stamp;
    n->placed = stamp;
}

static void check_list(const struct pending_set *s, const struct pending_list *l, const struct naive *n,
                       enum pending_where where) {
    uint64_t last = 0, count = 0, want = 0;
    for (uint32_t i = l->head; i != PENDING_NONE; i = pending_at(s, i)->after, count++) {
        const struct naive *e = &n[pending_at(s, i)->seq];
        CHECK(e->there && e->where == where);
        CHECK(e->placed > last);
        last = e->placed;
    }
    for (uint64_t seq = 1; seq < SEQS; seq++) want += n[seq].there && n[seq].where == where;
    CHECK_EQ(count, want);
}

static void check_counts(const struct pending_set *s, const struct naive *n) {
    uint32_t count = 0, dead = 0, again = 0, dirty = 0;
    int64_t top = INT64_MAX, deadline = INT64_MAX;
    for (uint64_t seq = 1; seq < SEQS; seq++) {
        uint32_t i = pending_find(s, seq);
        CHECK_EQ(i != PENDING_NONE, n[seq].there);
        if (!n[seq].there) continue;
        CHECK(pending_at(s, i)->cseq == n[seq].cseq && pending_at(s, i)->logged == n[seq].logged);
        *(n[seq].where == PENDING_DEAD ? &dead : &count) += 1;
        again += n[seq].again > 0;
        dirty += n[seq].dirty;
        if (n[seq].where == PENDING_HEAP && n[seq].deadline < top) top = n[seq].deadline;
    }
    pending_heap_top(s, &deadline);
    CHECK_EQ(deadline, top);
    CHECK(s->count == count && s->dead == dead && s->again == again && s->dirty_count == dirty);
}

static void check_all(const struct pending_set *s, const struct naive *n) {
    check_counts(s, n);
    check_list(s, &s->wait, n, PENDING_WAIT);
    check_list(s, &s->queue, n, PENDING_QUEUE);
    check_list(s, &s->gone, n, PENDING_DEAD);
    uint64_t last = 0;
    for (uint32_t i = s->order.head; i != PENDING_NONE; i = pending_at(s, i)->newer) {
        CHECK(pending_at(s, i)->seq > last);
        last = pending_at(s, i)->seq;
    }
}

static void op(struct pending_set *s, struct naive *all, struct rng *r, uint64_t stamp) {
    uint64_t seq = 1 + rng_below(r, SEQS - 1), what = rng_below(r, 100);
    struct naive *n = &all[seq];
    uint32_t i = pending_find(s, seq);
    if (i == PENDING_NONE) {
        if (what < 40) return;
        CHECK_EQ(pending_reserve(s), ERR_OK);
        i = pending_add(s, seq, stamp);
        *n = (struct naive){.there = true, .where = PENDING_NOWHERE, .cseq = stamp};
    } else if (what < 25) {
        pending_remove(s, i);
        *n = (struct naive){0};
        return;
    } else if (what < 40) {
        pending_touch(s, i);
        n->dirty = true;
    } else if (what < 50) {
        n->again = (uint32_t)rng_below(r, 3);
        pending_set_redelivered(s, i, n->again);
    } else if (what < 52) {
        pending_clean(s);
        for (uint64_t k = 1; k < SEQS; k++) all[k].logged |= all[k].dirty, all[k].dirty = false;
    }
    CHECK_EQ(pending_use_heap(s), ERR_OK);
    static const enum pending_where places[] = {PENDING_WAIT, PENDING_HEAP, PENDING_QUEUE, PENDING_DEAD,
                                                PENDING_NOWHERE};
    place(s, n, i, places[rng_below(r, 5)], (int64_t)rng_below(r, 1000), stamp);
}

static void random_against_arrays(void) {
    for (uint64_t seed = 0; seed < 6; seed++) {
        struct rng r = {seed};
        static struct naive all[SEQS];
        memset(all, 0, sizeof all);
        struct pending_set s;
        pending_init(&s);
        for (uint64_t stamp = 1; stamp < 20000; stamp++) {
            op(&s, all, &r, stamp);
            if (stamp % 50 == 0) check_all(&s, all);
        }
        pending_deinit(&s);
    }
}

/* The heap gives deadlines back in order, whatever was taken from its middle. */
static void heap_sorts(void) {
    struct rng r = {3};
    struct pending_set s;
    pending_init(&s);
    for (uint64_t seq = 1; seq <= 2000; seq++) {
        CHECK_EQ(pending_reserve(&s), ERR_OK);
        CHECK_EQ(pending_use_heap(&s), ERR_OK);
        pending_place(&s, pending_add(&s, seq, seq), PENDING_HEAP, (int64_t)rng_below(&r, 500));
    }
    for (uint64_t seq = 1; seq <= 2000; seq += 3) pending_remove(&s, pending_find(&s, seq));
    int64_t last = 0, deadline = 0;
    for (uint32_t i; (i = pending_heap_top(&s, &deadline)) != PENDING_NONE; last = deadline) {
        CHECK(deadline >= last);
        pending_remove(&s, i);
    }
    CHECK_EQ(s.count, 0);
    pending_deinit(&s);
}

/* Few of many are left, in every place: the memory goes, they stay as they were. */
static void trimmed(void) {
    struct rng r = {9};
    struct pending_set s;
    static struct naive all[SEQS];
    memset(all, 0, sizeof all);
    pending_init(&s);
    CHECK_EQ(pending_use_heap(&s), ERR_OK);
    for (uint64_t seq = 1; seq <= 100000; seq++) {
        CHECK_EQ(pending_reserve(&s), ERR_OK);
        pending_add(&s, seq, seq);
    }
    for (uint64_t seq = 1; seq < SEQS; seq++)
        all[seq] = (struct naive){.there = true, .where = PENDING_NOWHERE, .cseq = seq};
    for (uint64_t stamp = 1; stamp < 5000; stamp++) op(&s, all, &r, stamp);
    pending_trim(&s); /* too many yet */
    CHECK_EQ(s.cap, 131072);
    for (uint64_t seq = SEQS; seq <= 100000; seq++) pending_remove(&s, pending_find(&s, seq));
    pending_trim(&s);
    CHECK(s.cap <= 2048);
    check_all(&s, all);
    for (uint64_t stamp = 5000; stamp < 10000; stamp++) {
        op(&s, all, &r, stamp);
        if (stamp % 50 == 0) check_all(&s, all);
        pending_trim(&s);
    }
    CHECK(s.cap <= 2048);
    pending_deinit(&s);
}

static void bounded(void) {
    struct pending_set s;
    pending_init(&s);
    for (uint64_t seq = 1; seq <= PENDING_MAX; seq++) {
        CHECK_EQ(pending_reserve(&s), ERR_OK);
        pending_add(&s, seq, seq);
    }
    CHECK_EQ(pending_reserve(&s), ERR_LIMIT);
    pending_remove(&s, pending_find(&s, 77));
    CHECK_EQ(pending_reserve(&s), ERR_OK);
    pending_deinit(&s);
}

CHECK_MAIN(CASE(random_against_arrays), CASE(heap_sorts), CASE(trimmed), CASE(bounded))
