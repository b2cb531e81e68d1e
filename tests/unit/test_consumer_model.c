/* Random operations on a consumer beside a naive model of nats-server's rules; and a copy that is built from
 * its records only, compared at random points and put in the consumer's place now and then, as a restart
 * would. */
#include "base/rng.h"
#include "stream/sound.h"
#include "subject/subject.h"
#include "test_consumer_lib.h"

enum { SEQS = 1500, STEPS = 4000 };

struct entry {
    bool live, pending, dead, queued;
    const char *subject;
    uint64_t cseq, order;
    int64_t ts;
    uint32_t again;
};

struct world {
    struct rng rng;
    struct rig g;
    struct consumer copy;
    struct consumer *c;
    struct entry e[SEQS];
    uint64_t last, visible, next, dseq, dstream, fc, fs, order, until, exceeded, told;
    struct mr_consumer_config cfg;
    struct mr_bytes filters[2];
    int64_t backoff[3];
};

static const char *const subjects[] = {"a.1", "a.2", "b.1", "b.2", "c"};

/* ------------------------------------------------------------------------------------------------ the model
 */

static bool matches(const struct world *w, uint64_t seq) {
    if (w->cfg.filters_count == 0) return true;
    for (size_t i = 0; i < w->cfg.filters_count; i++)
        if (subject_match(span_str(w->e[seq].subject), span_of_bytes(w->cfg.filters[i]))) return true;
    return false;
}

static bool wanted(const struct world *w, uint64_t seq) {
    if (!w->e[seq].live || !matches(w, seq)) return false;
    for (uint64_t s = seq + 1; s <= w->until; s++)
        if (w->e[s].live && w->e[s].subject == w->e[seq].subject) return false;
    return true;
}

static uint64_t count_pending(const struct world *w) {
    uint64_t n = 0;
    for (uint64_t s = 1; s <= w->last; s++) n += w->e[s].pending;
    return n;
}

static int64_t wait_of(const struct world *w, const struct entry *e) {
    if (w->cfg.backoff_count == 0) return w->cfg.ack_wait_ns;
    return w->backoff[e->again < w->cfg.backoff_count ? e->again : w->cfg.backoff_count - 1];
}

static void model_exceed(struct world *w, struct entry *e, uint32_t again) {
    e->pending = e->queued = false;
    e->dead = true;
    e->again = again;
    w->exceeded++;
}

static void model_expire(struct world *w) {
    for (uint64_t s = 1; s <= w->last; s++) {
        struct entry *e = &w->e[s];
        if (!e->pending || e->queued || e->ts + wait_of(w, e) > w->g.now) continue;
        if (w->cfg.max_deliver > 0 && (e->again ? e->again : 1) >= w->cfg.max_deliver)
            model_exceed(w, e, e->again ? e->again : 1);
        else
            e->queued = true, e->order = ++w->order;
    }
}

static uint64_t model_head(const struct world *w) {
    uint64_t head = 0;
    for (uint64_t s = 1; s <= w->last; s++)
        if (w->e[s].queued && (!head || w->e[s].order < w->e[head].order)) head = s;
    return head;
}

static uint64_t model_peek(struct world *w, enum choice_kind *kind) {
    model_expire(w);
    uint64_t s;
    while ((s = model_head(w)) != 0) {
        *kind = CHOICE_AGAIN;
        if (w->cfg.max_deliver <= 0 || w->e[s].again + 2 <= w->cfg.max_deliver) return s;
        model_exceed(w, &w->e[s], w->e[s].again + 1);
    }
    *kind = CHOICE_BUSY;
    if (w->cfg.ack != MR_ACK_NONE && w->cfg.max_ack_pending > 0 &&
        count_pending(w) >= (uint64_t)w->cfg.max_ack_pending)
        return 0;
    *kind = CHOICE_NEW;
    for (s = w->next; s <= w->visible; s++)
        if (wanted(w, s)) return s;
    *kind = CHOICE_NONE;
    return 0;
}

static void model_delivered(struct world *w, uint64_t s, bool again) {
    struct entry *e = &w->e[s];
    w->dseq++;
    if (s > w->dstream) w->dstream = s;
    if (again) {
        e->again++;
        e->queued = false;
        e->ts = w->g.now;
        return;
    }
    w->next = s + 1;
    if (w->cfg.ack == MR_ACK_NONE) {
        w->fc = w->dseq;
        w->fs = s;
    } else {
        e->pending = true;
        e->cseq = w->dseq;
        e->ts = w->g.now;
        e->again = 0;
    }
}

static void forget(struct entry *e) {
    e->pending = e->queued = e->dead = false;
    e->again = 0;
}

static void model_settle(struct world *w, uint64_t s) {
    uint64_t cseq = w->e[s].cseq, next = s + 1;
    forget(&w->e[s]);
    if (count_pending(w) == 0) {
        w->fc = w->dseq;
        w->fs = w->dstream;
    } else if (cseq == w->fc + 1) {
        w->fc = cseq;
        w->fs = s;
        while (next <= w->last && !w->e[next].pending) next++;
        if (next <= w->last) w->fc = w->e[next].cseq - 1, w->fs = next - 1;
    }
}

static void model_gone(struct world *w, uint64_t s) {
    w->e[s].live = false;
    if (w->e[s].pending) model_settle(w, s);
    forget(&w->e[s]);
}

static bool model_ack(struct world *w, enum mr_ack_kind kind, uint64_t s, uint64_t cseq, int64_t delay) {
    struct entry *e = &w->e[s];
    if (w->cfg.ack == MR_ACK_NONE) return false;
    if (kind == MR_PROGRESS) {
        if (e->pending) e->ts = w->g.now;
        return e->pending;
    }
    if (kind == MR_NAK) {
        if (cseq <= w->fc || cseq > w->dseq + 1 || !e->pending || (delay == 0 && e->queued)) return false;
        e->queued = delay == 0;
        if (delay)
            e->ts = w->g.now - w->cfg.ack_wait_ns + delay;
        else
            e->order = ++w->order;
        return true;
    }
    if (s >= w->next) return false;
    if (w->cfg.ack == MR_ACK_EXPLICIT) {
        bool known = e->pending || e->dead;
        if (e->pending) model_settle(w, s);
        forget(e);
        return known;
    }
    if (cseq <= w->fc || s <= w->fs || cseq > w->dseq) return false;
    w->fc = cseq;
    w->fs = s;
    for (uint64_t i = 1; i <= s; i++) forget(&w->e[i]);
    return true;
}

/* ------------------------------------------------------------------------------------------------ comparing
 */

static void compare(struct world *w) {
    /* What was passed over because a later message of its subject was wanted is not looked at again when that
     * one goes. */
    if (w->until) w->next = w->c->next_seq;
    uint64_t dead_or_again = 0, pending = 0;
    for (uint64_t s = 1; s <= w->last; s++) dead_or_again += w->e[s].again > 0;
    for (uint64_t s = w->next; s <= w->visible; s++) pending += wanted(w, s);
    if (w->cfg.max_deliver == 1) dead_or_again = 0;
    char want[200];
    snprintf(want, sizeof want,
             "%" PRIu64 ",%" PRIu64 " %" PRIu64 ",%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64, w->dseq,
             w->dstream, w->fc, w->fs, count_pending(w), dead_or_again, pending);
    CHECK_STR(rig_state(w->c), want);
    CHECK(consumer_is_sound(w->c));
}

/* The copy may not know yet that a wait ran out: it finds out as soon as it looks. */
static void same_entries(const struct world *w, const struct consumer *a, const struct consumer *b) {
    CHECK_EQ(a->pending.count, b->pending.count);
    CHECK_EQ(a->pending.dead, b->pending.dead);
    CHECK_EQ(a->pending.again, b->pending.again);
    for (uint64_t s = 1; s <= w->last; s++) {
        uint32_t i = pending_find(&a->pending, s), j = pending_find(&b->pending, s);
        CHECK_EQ(i == PENDING_NONE, j == PENDING_NONE);
        if (i == PENDING_NONE) continue;
        const struct pending *p = pending_at(&a->pending, i), *q = pending_at(&b->pending, j);
        CHECK(p->cseq == q->cseq && p->ts == q->ts && p->redelivered == q->redelivered);
        CHECK_EQ(p->where == PENDING_DEAD, q->where == PENDING_DEAD);
        if ((p->where == PENDING_QUEUE) != (q->where == PENDING_QUEUE))
            CHECK(p->where == PENDING_QUEUE && q->ts + wait_of(w, &w->e[s]) <= w->g.now);
    }
    CHECK_EQ(a->delivered_cseq, b->delivered_cseq);
    CHECK_EQ(a->delivered_seq, b->delivered_seq);
    CHECK_EQ(a->floor_cseq, b->floor_cseq);
    CHECK_EQ(a->floor_seq, b->floor_seq);
    CHECK_EQ(a->next_seq, b->next_seq);
    CHECK_EQ(a->last_per_subject_until, b->last_per_subject_until);
    CHECK_EQ(a->created, b->created);
    CHECK_EQ(a->delivered_last, b->delivered_last);
    CHECK_EQ(a->floor_last, b->floor_last);
}

static void log_progress(struct world *w) {
    struct codec_buf b;
    codec_buf_init(&b);
    bool full = w->c->want_full || rng_below(&w->rng, 20) == 0;
    enum err e = full ? codec_consumer(&b, w->c) : codec_progress(&b, w->c);
    CHECK_EQ(e, ERR_OK);
    e = full ? consumer_load(&w->copy, &w->g.st, codec_span(&b)) : consumer_replay(&w->copy, codec_span(&b));
    CHECK_EQ(e, ERR_OK);
    consumer_logged(w->c);
    same_entries(w, w->c, &w->copy);
    codec_buf_deinit(&b);
}

/* The copy takes over. Its queue is in order of sequence; what had run out runs out again. */
static void restart(struct world *w) {
    w->c->want_full = true;
    log_progress(w);
    struct consumer old = *w->c;
    *w->c = w->copy;
    w->copy = old;
    consumer_recovered(w->c, w->g.now);
    for (uint64_t s = 1; s <= w->last; s++) w->e[s].queued = false;
    const struct pending_set *p = &w->c->pending;
    for (uint32_t i = p->queue.head; i != PENDING_NONE; i = pending_at(p, i)->after) {
        struct entry *e = &w->e[pending_at(p, i)->seq];
        CHECK(e->pending);
        e->queued = true;
        e->order = ++w->order;
    }
    w->told = w->exceeded; /* advisories not yet sent die with the process */
    struct consumer_exceeded x;
    CHECK(!consumer_next_exceeded(w->c, &x));
    w->c->want_full = true;
    log_progress(w);
}

/* ------------------------------------------------------------------------------------------------ operations
 */

static void op_append(struct world *w) {
    if (w->last + 1 >= SEQS) return;
    const char *subject = subjects[rng_below(&w->rng, 5)];
    uint64_t first = w->g.st.first_seq;
    CHECK_EQ(rig_append(&w->g, subject), ++w->last);
    w->e[w->last] = (struct entry){.live = true, .subject = subject};
    for (uint64_t s = first; s < w->g.st.first_seq; s++)
        if (s > 0 && w->e[s].live) model_gone(w, s);
}

static void op_visible(struct world *w) {
    w->visible += rng_below(&w->rng, w->last - w->visible + 1);
    stream_visible(&w->g.st, w->visible);
}

static void op_deliver(struct world *w) {
    struct choice ch;
    enum choice_kind kind;
    uint64_t s = model_peek(w, &kind);
    CHECK_EQ(consumer_peek(w->c, w->g.now, &ch), kind);
    CHECK_EQ(ch.seq, s);
    CHECK(w->next <= w->c->next_seq);
    if (s == 0 || rng_below(&w->rng, 5) == 0) return;
    CHECK_EQ(ch.consumer_seq, w->dseq + 1);
    CHECK_EQ(ch.deliveries, kind == CHOICE_NEW ? 1 : w->e[s].again + 2);
    consumer_delivered(w->c, &ch, w->g.now);
    model_delivered(w, s, kind == CHOICE_AGAIN);
    struct mr_consumer_state st;
    consumer_state(w->c, &st);
    CHECK_EQ(st.num_pending, ch.pending);
}

static void op_ack(struct world *w) {
    if (w->last == 0) return;
    uint64_t s = 1 + rng_below(&w->rng, w->last);
    for (int i = 0; i < 30 && !w->e[s].pending; i++) s = 1 + rng_below(&w->rng, w->last);
    uint64_t cseq = rng_below(&w->rng, 8) ? w->e[s].cseq : rng_below(&w->rng, w->dseq + 3);
    static const enum mr_ack_kind kinds[] = {MR_ACK, MR_ACK, MR_ACK,      MR_ACK,
                                             MR_NAK, MR_NAK, MR_PROGRESS, MR_TERM};
    enum mr_ack_kind kind = kinds[rng_below(&w->rng, 8)];
    int64_t delay = rng_below(&w->rng, 2) ? 0 : (int64_t)(1 + rng_below(&w->rng, 30)) * SEC;
    bool changed = model_ack(w, kind, s, cseq, delay);
    CHECK_EQ(consumer_ack(w->c, kind, s, cseq, delay, w->g.now), changed);
}

static void op_delete(struct world *w) {
    uint64_t s = w->last ? 1 + rng_below(&w->rng, w->last) : 0;
    if (!stream_get(&w->g.st, s, false)) return;
    stream_delete(&w->g.st, s);
    model_gone(w, s);
}

static void op_update(struct world *w) {
    w->cfg.ack_wait_ns = (int64_t)(1 + rng_below(&w->rng, 20)) * SEC;
    w->cfg.max_ack_pending = rng_below(&w->rng, 2) ? (int64_t)(1 + rng_below(&w->rng, 40)) : -1;
    w->cfg.backoff_count = rng_below(&w->rng, 3) ? 0 : 1 + rng_below(&w->rng, 3);
    if (w->cfg.backoff_count) w->cfg.ack_wait_ns = w->backoff[0];
    CHECK_EQ(consumer_update(w->c, &w->cfg, w->g.now), ERR_OK);
}

static void told(struct world *w) {
    struct consumer_exceeded x;
    while (consumer_next_exceeded(w->c, &x)) w->told++;
    CHECK_EQ(w->told, w->exceeded);
}

static void step(struct world *w) {
    uint64_t op = rng_below(&w->rng, 1000);
    if (rng_below(&w->rng, 4) == 0) w->g.now += (int64_t)rng_below(&w->rng, 4) * SEC;
    if (op < 300)
        op_append(w);
    else if (op < 450)
        op_visible(w);
    else if (op < 700)
        op_deliver(w);
    else if (op < 900)
        op_ack(w);
    else if (op < 930)
        op_delete(w);
    else if (op < 935)
        op_update(w);
    else if (op < 990)
        log_progress(w);
    else if (op < 993)
        restart(w);
    else
        model_expire(w), consumer_expire(w->c, w->g.now);
    told(w);
    compare(w);
}

static void open_world(struct world *w, uint64_t seed) {
    *w = (struct world){.rng = {seed}, .backoff = {2 * SEC, 3 * SEC, 9 * SEC}};
    struct mr_stream_config cfg = rig_stream_config();
    if (rng_below(&w->rng, 2)) cfg.max_msgs = (int64_t)(20 + rng_below(&w->rng, 300));
    rig_open(&w->g, &cfg);
    for (uint64_t n = rng_below(&w->rng, 100); n; n--) op_append(w);
    w->visible = w->last;
    stream_visible(&w->g.st, w->last);
    w->cfg = rig_config();
    w->cfg.ack = (enum mr_ack_policy)(seed % 3);
    if (rng_below(&w->rng, 3) == 0) w->cfg.ack = MR_ACK_EXPLICIT;
    static const int64_t deliver_max[] = {-1, 1, 2, 5};
    w->cfg.max_deliver = deliver_max[rng_below(&w->rng, 4)];
    w->cfg.max_ack_pending = rng_below(&w->rng, 2) ? 25 : -1;
    w->cfg.ack_wait_ns = 10 * SEC;
    w->cfg.backoff_ns = w->backoff;
    static const char *const filters[] = {"a.*", "c", "b.1", ">", "a.1"};
    w->cfg.filters_count = rng_below(&w->rng, 3);
    for (size_t i = 0; i < 2; i++) {
        const char *filter = filters[rng_below(&w->rng, 5)];
        w->filters[i] = B(filter);
    }
    w->cfg.filters = w->filters;
    if (seed % 4 == 0) w->cfg.deliver = MR_DELIVER_LAST_PER_SUBJECT;
    w->c = rig_consumer(&w->g, &w->cfg);
    w->until = w->c->last_per_subject_until;
    w->next = w->c->next_seq;
    w->dstream = w->fs = w->next - 1;
    log_progress(w);
}

static void run(uint64_t seed) {
    static struct world w;
    open_world(&w, seed);
    for (int i = 0; i < STEPS; i++) step(&w);
    log_progress(&w);
    consumer_deinit(&w.copy);
    rig_close(&w.g);
}

static void random_operations(void) {
    for (uint64_t seed = 1; seed <= 12; seed++) run(seed);
}

int main(int argc, char **argv) {
    static const struct check_case cases[] = {CASE(random_operations)};
    if (argc > 2) return run(strtoull(argv[2], NULL, 10)), 0; /* one seed: test_consumer_model seed N */
    return check_main(argc, argv, cases, 1);
}
