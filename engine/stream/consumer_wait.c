/* consumer_wait.c - entries that wait for an ack: where they wait, when they run out, what becomes of them
 * then.
 *
 * With one ack wait for all, the order of delivery is the order in which waits run out: a list. Under backoff
 * and after a delayed NAK it is not: a heap. What ran out goes to the redelivery queue by sequence, as
 * nats-server sorts it. */
#include <stdlib.h>

#include "base/must.h"
#include "stream/consumer_core.h"

enum { REMOVED_TRACKED = 1 << 16, SCRATCH_KEPT = 4096 };

int64_t consumer_wait(const struct consumer *c, const struct pending *p) {
    must(c && p);
    must(c->conf.c.backoff_ns || c->conf.c.backoff_count == 0);
    const struct mr_consumer_config *cfg = &c->conf.c;
    if (cfg->backoff_count == 0) return cfg->ack_wait_ns;
    size_t step = p->redelivered < cfg->backoff_count ? p->redelivered : cfg->backoff_count - 1;
    return cfg->backoff_ns[step];
}

static int64_t later(int64_t ts, int64_t wait) {
    must(wait >= 0);
    return ts > INT64_MAX - wait ? INT64_MAX : ts + wait;
}

void consumer_put_waiting(struct consumer *c, uint32_t i, bool by_age) {
    const struct pending *p = pending_at(&c->pending, i);
    must(p->where != PENDING_DEAD);
    int64_t wait = consumer_wait(c, p);
    must(wait >= 0);
    if (wait == 0)
        pending_place(&c->pending, i, PENDING_NOWHERE, 0);
    else if (by_age && c->conf.c.backoff_count == 0)
        pending_place(&c->pending, i, PENDING_WAIT, 0);
    else
        pending_place(&c->pending, i, PENDING_HEAP, later(p->ts, wait));
}

bool consumer_scratch(struct consumer *c, uint32_t n) {
    must(c);
    must(n <= PENDING_MAX);
    if (n <= c->scratch_cap) return true;
    uint32_t cap = c->scratch_cap ? c->scratch_cap : 64;
    while (cap < n) cap *= 2;
    uint32_t *p = realloc(c->scratch, cap * sizeof *p);
    if (!p) return false;
    c->scratch = p;
    c->scratch_cap = cap;
    return true;
}

static int by_ts(const void *a, const void *b, void *items) {
    must(a && b && items);
    const struct pending *x = (const struct pending *)items + *(const uint32_t *)a;
    const struct pending *y = (const struct pending *)items + *(const uint32_t *)b;
    if (x->ts != y->ts) return x->ts < y->ts ? -1 : 1;
    return x->seq < y->seq ? -1 : 1;
}

static int by_seq(const void *a, const void *b, void *items) {
    must(a && b && items);
    const struct pending *x = (const struct pending *)items + *(const uint32_t *)a;
    const struct pending *y = (const struct pending *)items + *(const uint32_t *)b;
    return x->seq < y->seq ? -1 : 1;
}

static bool is_waiting(const struct pending *p) {
    must(p->where != PENDING_FREE);
    must(p->where != PENDING_DEAD);
    return p->where == PENDING_WAIT || p->where == PENDING_HEAP || p->where == PENDING_NOWHERE;
}

void consumer_replace_waiting(struct consumer *c) {
    must(c && c->st);
    struct pending_set *s = &c->pending;
    bool sorted = consumer_scratch(c, s->count);
    if (!sorted && pending_use_heap(s) != ERR_OK) return; /* as they were is better than nowhere */
    uint32_t n = 0;
    for (uint32_t i = s->order.head; i != PENDING_NONE; i = pending_at(s, i)->newer) {
        if (!is_waiting(pending_at(s, i))) continue;
        if (sorted)
            c->scratch[n++] = i;
        else
            consumer_put_waiting(c, i, false);
    }
    if (n == 0) return;
    for (uint32_t k = 0; k < n; k++) pending_place(s, c->scratch[k], PENDING_NOWHERE, 0);
    qsort_r(c->scratch, n, sizeof c->scratch[0], by_ts, s->items);
    /* An entry with a time in the future has a delay of its own; the list must end at the present. */
    for (uint32_t k = 0; k < n; k++) {
        struct pending *p = pending_at(s, c->scratch[k]);
        if (p->ts > c->now && pending_use_heap(s) != ERR_OK) p->ts = c->now; /* sooner, without memory */
        consumer_put_waiting(c, c->scratch[k], p->ts <= c->now);
    }
}

/* ------------------------------------------------------------------------------------------------ changes */

void consumer_touch(struct consumer *c, uint32_t i) {
    must(c);
    c->dirty = true;
    pending_touch(&c->pending, i);
}

static void note_removed(struct consumer *c, uint64_t seq) {
    must(seq > 0);
    must(c->removed_len <= c->removed_cap);
    if (c->want_full) return;
    if (c->removed_len == c->removed_cap) {
        uint32_t cap = c->removed_cap ? c->removed_cap * 2 : 64;
        uint64_t *p = cap <= REMOVED_TRACKED ? realloc(c->removed, cap * sizeof *p) : NULL;
        if (!p) {
            c->want_full = true;
            c->removed_len = 0;
            return;
        }
        c->removed = p;
        c->removed_cap = cap;
    }
    c->removed[c->removed_len++] = seq;
}

void consumer_drop(struct consumer *c, uint32_t i) {
    must(c && c->pending.count + c->pending.dead > 0);
    const struct pending *p = pending_at(&c->pending, i);
    c->dirty = true;
    if (p->logged) note_removed(c, p->seq);
    pending_remove(&c->pending, i);
}

void consumer_trim(struct consumer *c) {
    must(c && c->st);
    pending_trim(&c->pending);
    if (c->scratch_cap <= SCRATCH_KEPT || c->pending.count > SCRATCH_KEPT) return;
    free(c->scratch);
    c->scratch = NULL;
    c->scratch_cap = 0;
}

void consumer_logged(struct consumer *c) {
    must(c);
    pending_clean(&c->pending);
    c->removed_len = 0;
    c->dirty = c->want_full = false;
}

void consumer_settle(struct consumer *c, uint32_t i) {
    must(c->floor_cseq <= c->delivered_cseq);
    struct pending p = *pending_at(&c->pending, i);
    must(p.where != PENDING_DEAD);
    consumer_drop(c, i);
    if (c->pending.count == 0) {
        c->floor_cseq = c->delivered_cseq;
        c->floor_seq = c->delivered_seq;
    } else if (p.cseq == c->floor_cseq + 1) {
        c->floor_cseq = p.cseq;
        c->floor_seq = p.seq;
        if (p.newer != PENDING_NONE) {
            const struct pending *next = pending_at(&c->pending, p.newer);
            c->floor_cseq = next->cseq - 1;
            c->floor_seq = next->seq - 1;
        }
    }
}

/* The message stays out of redelivery and is reported once. The floor waits for the next ack, as nats-server
 * reports it. */
void consumer_exceed(struct consumer *c, uint32_t i, uint64_t deliveries, uint32_t redelivered) {
    must(redelivered > 0);
    must(pending_at(&c->pending, i)->where != PENDING_DEAD);
    uint64_t seq = pending_at(&c->pending, i)->seq;
    pending_set_redelivered(&c->pending, i, redelivered);
    pending_place(&c->pending, i, PENDING_DEAD, 0);
    consumer_touch(c, i);
    if (c->exceeded_len == c->exceeded_cap) {
        uint32_t cap = c->exceeded_cap ? c->exceeded_cap * 2 : 16;
        struct consumer_exceeded *p = realloc(c->exceeded, cap * sizeof *p);
        if (!p) return; /* only the advisory is lost */
        c->exceeded = p;
        c->exceeded_cap = cap;
    }
    c->exceeded[c->exceeded_len++] = (struct consumer_exceeded){seq, deliveries};
}

bool consumer_next_exceeded(struct consumer *c, struct consumer_exceeded *out) {
    must(c && out);
    if (c->exceeded_at == c->exceeded_len) {
        c->exceeded_at = c->exceeded_len = 0;
        return false;
    }
    *out = c->exceeded[c->exceeded_at++];
    return true;
}

/* ------------------------------------------------------------------------------------------------ running
 * out */

/* nats-server counts a message that was delivered once or twice as one here; the rest is noticed when it is
 * chosen again. */
static bool exceeds_now(const struct consumer *c, const struct pending *p) {
    must(p->where != PENDING_DEAD);
    int64_t max = c->conf.c.max_deliver;
    return max > 0 && (p->redelivered ? p->redelivered : 1) >= (uint64_t)max;
}

static void ran_out(struct consumer *c, uint32_t i) {
    const struct pending *p = pending_at(&c->pending, i);
    must(p->where == PENDING_NOWHERE);
    if (exceeds_now(c, p))
        consumer_exceed(c, i, (uint64_t)p->redelivered + 1, p->redelivered ? p->redelivered : 1);
    else
        pending_place(&c->pending, i, PENDING_QUEUE, 0);
}

/* One entry that ran out by now, taken from where it waited. */
static uint32_t take_due(struct consumer *c) {
    struct pending_set *s = &c->pending;
    int64_t deadline;
    uint32_t i = s->wait.head;
    if (i != PENDING_NONE && later(pending_at(s, i)->ts, c->conf.c.ack_wait_ns) > c->now) i = PENDING_NONE;
    if (i == PENDING_NONE) {
        i = pending_heap_top(s, &deadline);
        if (i != PENDING_NONE && deadline > c->now) i = PENDING_NONE;
    }
    if (i != PENDING_NONE) pending_place(s, i, PENDING_NOWHERE, 0);
    return i;
}

bool consumer_expire(struct consumer *c, int64_t now) {
    must(c);
    consumer_clock(c, now);
    struct pending_set *s = &c->pending;
    if (s->wait.head == PENDING_NONE && s->heap_len == 0) return s->queued > 0;
    uint32_t n = 0, i;
    while ((i = take_due(c)) != PENDING_NONE) {
        if (consumer_scratch(c, n + 1))
            c->scratch[n++] = i;
        else
            ran_out(c, i); /* without memory to sort: in the order in which they ran out */
    }
    if (n > 1) qsort_r(c->scratch, n, sizeof c->scratch[0], by_seq, s->items);
    for (uint32_t k = 0; k < n; k++) ran_out(c, c->scratch[k]);
    return s->queued > 0;
}

int64_t consumer_deadline(const struct consumer *c) {
    must(c);
    int64_t deadline = INT64_MAX, heap;
    uint32_t i = c->pending.wait.head;
    if (i != PENDING_NONE) deadline = later(pending_at(&c->pending, i)->ts, c->conf.c.ack_wait_ns);
    if (pending_heap_top(&c->pending, &heap) != PENDING_NONE && heap < deadline) deadline = heap;
    return deadline;
}
