/* timers.c - what falls due by time: messages that grow too old, ack waits that run out. Each stream and
 * consumer has one timer on the loop, set for the earliest of its deadlines; when it fires, the object is put
 * on the shard's due list and looked at in the next turn. Deadlines are wall time; the loop's timers are
 * monotonic. A timer is moved forward at once and backward only when it fires, so that the data path seldom
 * touches it. */
#include "engine.h"

#include "base/must.h"

/* Monotonic time of a wall time, not before the loop's next look. */
static uint64_t mono_of(const struct io *io, int64_t wall) {
    must(wall > 0);
    int64_t wait = wall - io_wall(io);
    return io_now(io) + (wait > 0 ? (uint64_t)wait : 0);
}

static void arm(struct mr_shard *sh, struct io_timer *t, struct list *due, int64_t at) {
    must(t->on_fire != NULL);
    if (at == INT64_MAX || !list_empty(due)) return;
    uint64_t when = mono_of(sh->io, at);
    if (t->deadline_ns == 0 || when < t->deadline_ns) io_timer_set(sh->io, t, when ? when : 1);
}

/* --- streams --- */

static void age_is_due(struct io_timer *t) {
    must(t->deadline_ns == 0);
    struct mr_stream *s = container_of(t, struct mr_stream, timer);
    must(!s->deleted);
    if (list_empty(&s->due)) list_add_tail(&s->shard->due_streams, &s->due);
}

void mrs_init_timer(struct mr_stream *s) {
    must(s->shard != NULL);
    list_init(&s->timer.link);
    s->timer.on_fire = age_is_due;
}

void mrs_arm_timer(struct mr_stream *s) {
    must(!s->deleted);
    arm(s->shard, &s->timer, &s->due, stream_expires_at(&s->st));
}

/* More than the budget stays due, for the next turn. */
static void expire(struct mr_stream *s, struct list *again) {
    must(!s->deleted && list_empty(&s->due));
    size_t n = stream_expire(&s->st, io_wall(s->shard->io), EXPIRE_BUDGET);
    must(n <= EXPIRE_BUDGET);
    if (n > 0) mrs_account(s);
    if (n == EXPIRE_BUDGET) {
        list_add_tail(again, &s->due);
    } else {
        mrs_arm_timer(s);
    }
}

/* --- consumers --- */

static void ack_wait_is_due(struct io_timer *t) {
    must(t->deadline_ns == 0);
    struct mr_consumer *c = container_of(t, struct mr_consumer, timer);
    if (list_empty(&c->due)) list_add_tail(&c->s->shard->due_consumers, &c->due);
}

void mrc_init_timer(struct mr_consumer *c) {
    must(c->s != NULL);
    list_init(&c->timer.link);
    c->timer.on_fire = ack_wait_is_due;
}

void mrc_arm_timer(struct mr_consumer *c) { arm(c->s->shard, &c->timer, &c->due, consumer_deadline(&c->c)); }

static void run_out(struct mr_consumer *c) {
    must(!c->s->deleted && list_empty(&c->due));
    int64_t now = io_wall(c->s->shard->io);
    (void)consumer_expire(&c->c, now);
    mrc_wake_if_ready(c, now);
    mrc_touched(c);
}

void shard_run_due(struct mr_shard *sh) {
    must(sh->ticking);
    struct list again = LIST_INIT(again);
    for (struct list *pos; (pos = list_pop(&sh->due_streams));)
        expire(container_of(pos, struct mr_stream, due), &again);
    must(list_empty(&sh->due_streams));
    for (struct list *pos; (pos = list_pop(&again));) list_add_tail(&sh->due_streams, pos);
    for (struct list *pos; (pos = list_pop(&sh->due_consumers));)
        run_out(container_of(pos, struct mr_consumer, due));
}
