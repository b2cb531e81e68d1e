/* test_timer.c - the wheel under a clock that the test moves: never early, at most a tick late, in order, and
 * always in step with a plain sorted model. */
#include "base/rng.h"
#include "io/loop.h"
#include "lib/check.h"

#define MS ((uint64_t)1000000)

static uint64_t clock_ns;
static void clock_read(struct io *io, uint64_t *mono_ns, int64_t *wall_ns) {
    (void)io;
    *mono_ns = clock_ns;
    *wall_ns = (int64_t)clock_ns;
}
static size_t poll_none(struct io *io, uint64_t until) {
    (void)until;
    io_clock_refresh(io);
    return 0;
}
static void no_op(struct io *io, struct io_op *op) { (void)io, (void)op; }
static const struct io_ops ops = {.poll = poll_none, .clock = clock_read, .submit = no_op, .stop = no_op};

static struct io *loop_at(uint64_t ns) {
    static struct io io;
    clock_ns = ns;
    io_init(&io, IO_SIM, &ops);
    return &io;
}
static size_t tick_at(struct io *io, uint64_t ns) {
    clock_ns = ns;
    return io_tick(io, 0);
}

struct timer {
    struct io_timer t;
    struct io *io;
    int fired;
    uint64_t deadline; /* as last set */
    uint64_t again;    /* set again this much later when it fires */
    struct timer *kills, *sets;
};
static int order[64], order_len;
static struct timer *timers;

static void on_fire(struct io_timer *t) {
    struct timer *x = (struct timer *)t;
    x->fired++;
    CHECK_EQ(t->deadline_ns, 0); /* idle before its callback */
    CHECK(io_now(x->io) >= x->deadline);
    if (timers && order_len < 64) order[order_len++] = (int)(x - timers);
    if (x->again) io_timer_set(x->io, t, x->deadline = io_now(x->io) + x->again);
    if (x->kills) io_timer_cancel(x->io, &x->kills->t);
    if (x->sets) io_timer_set(x->io, &x->sets->t, x->sets->deadline = io_now(x->io));
}
static void set(struct timer *x, struct io *io, uint64_t deadline) {
    x->t.on_fire = on_fire;
    x->io = io;
    x->deadline = deadline;
    io_timer_set(io, &x->t, deadline);
}

static void never_early_and_not_late(void) {
    static const uint64_t after[] = {1,
                                     MS - 1,
                                     MS,
                                     MS + 1,
                                     63 * MS,
                                     64 * MS,
                                     65 * MS,
                                     4095 * MS,
                                     4096 * MS,
                                     4097 * MS + 5,
                                     262144 * MS,
                                     86400000 * MS,
                                     365 * (86400000 * MS)};
    for (size_t i = 0; i < sizeof after / sizeof *after; i++) {
        for (uint64_t start = 0; start < 3; start++) {
            struct io *io = loop_at(start * 1234567891 + 77);
            struct timer x = {0};
            set(&x, io, clock_ns + after[i]);
            uint64_t next = io_timer_next(io);
            CHECK(next >= x.deadline);
            CHECK(next < x.deadline + MS);
            CHECK_EQ(tick_at(io, x.deadline - 1), 0);
            CHECK_EQ(tick_at(io, next), 1);
            CHECK_EQ(x.fired, 1);
            CHECK(io_timer_next(io) == UINT64_MAX);
        }
    }
}

static void past_deadlines_run_at_the_next_tick(void) {
    struct io *io = loop_at(5 * MS + 300);
    struct timer x = {0}, y = {0}, z = {0};
    set(&x, io, 1);
    set(&y, io, clock_ns);
    set(&z, io, 0);
    CHECK(io_timer_next(io) <= clock_ns);
    CHECK_EQ(x.fired + y.fired + z.fired, 0);
    CHECK_EQ(tick_at(io, clock_ns), 3);
}

static void moved_and_cancelled(void) {
    struct io *io = loop_at(0);
    struct timer x = {0}, y = {0};
    io_timer_cancel(io, &x.t); /* unset: nothing */
    set(&x, io, 10 * MS);
    set(&x, io, 100 * MS);
    set(&y, io, 10 * MS);
    CHECK_EQ(tick_at(io, 50 * MS), 1);
    CHECK_EQ(x.fired, 0);
    set(&x, io, 60 * MS);
    CHECK(io_timer_next(io) == 60 * MS);
    io_timer_cancel(io, &x.t);
    io_timer_cancel(io, &x.t);
    CHECK(io_timer_next(io) == UINT64_MAX);
    CHECK_EQ(tick_at(io, 1000 * MS), 0);
    set(&x, io, 1000 * MS - 1); /* past, then cancelled before it ran */
    io_timer_cancel(io, &x.t);
    CHECK_EQ(tick_at(io, 1001 * MS), 0);
}

static void in_order_after_a_long_sleep(void) {
    static const uint64_t at[] = {5000, 3, 70, 4, 64, 4096, 63, 300000, 4095, 128};
    static const int expect[] = {1, 3, 6, 4, 2, 9, 8, 5, 0, 7};
    struct timer x[10] = {0};
    struct io *io = loop_at(0);
    timers = x;
    for (int i = 0; i < 10; i++) set(&x[i], io, at[i] * MS);
    CHECK_EQ(tick_at(io, 400000 * MS), 10);
    for (int i = 0; i < 10; i++) CHECK_EQ(order[i], expect[i]);
}

/* One that sets itself to "now" fires once a tick; one due in the same tick can be cancelled by an earlier
 * one. */
static void callbacks_set_and_cancel(void) {
    struct io *io = loop_at(0);
    struct timer x = {0}, y = {0}, z = {0};
    set(&x, io, MS);
    set(&y, io, MS);
    x.kills = &y;
    CHECK_EQ(tick_at(io, 2 * MS), 1);
    CHECK_EQ(y.fired, 0);
    x.kills = NULL;
    z.t.on_fire = on_fire;
    z.io = io;
    x.sets = &z;
    z.sets = &x;
    set(&x, io, 3 * MS);
    CHECK_EQ(tick_at(io, 3 * MS), 1);
    CHECK_EQ(tick_at(io, 3 * MS), 1);
    CHECK_EQ(tick_at(io, 3 * MS), 1);
    CHECK_EQ(x.fired, 3);
    x.sets = z.sets = NULL;
    CHECK_EQ(tick_at(io, 3 * MS), 1);
    CHECK_EQ(tick_at(io, 3 * MS), 0);
    y.again = 10 * MS;
    set(&y, io, 10 * MS);
    for (uint64_t t = 4; t <= 200; t++) tick_at(io, t * MS);
    CHECK_EQ(y.fired, 20);
}

/* Random sets, moves, cancels and jumps: exactly the timers whose deadline's tick has come have fired. */
static void like_the_model(void) {
    enum { N = 500 };
    static struct timer x[N];
    static bool armed[N];
    struct rng r = {21};
    struct io *io = loop_at(123 * MS + 456);
    for (int step = 0; step < 60000; step++) {
        size_t i = rng_below(&r, N);
        uint64_t scale = (uint64_t)1 << rng_below(&r, 40);
        switch (rng_below(&r, 8)) {
        case 0:
            io_timer_cancel(io, &x[i].t);
            armed[i] = false;
            break;
        case 1:
        case 2: {
            uint64_t next = io_timer_next(io), to = clock_ns + rng_below(&r, scale);
            int fired = 0, due = 0;
            for (int k = 0; k < N; k++) {
                due += armed[k] && (x[k].deadline + MS - 1) / MS <= to / MS;
                if (armed[k])
                    CHECK(next <= (x[k].deadline + MS - 1) / MS * MS); /* the wait is not too long */
                x[k].fired = 0;
            }
            fired = (int)tick_at(io, to);
            for (int k = 0; k < N; k++) {
                bool is_due = armed[k] && (x[k].deadline + MS - 1) / MS <= to / MS;
                if (is_due) CHECK_EQ(x[k].fired, 1);
                if (x[k].fired) {
                    CHECK(armed[k]);
                    armed[k] = false;
                }
            }
            CHECK(fired >= due); /* those set in the past may run before their tick */
            break;
        }
        default: set(&x[i], io, clock_ns + rng_below(&r, scale)); armed[i] = true;
        }
    }
}

static void empty_wheel_costs_nothing(void) {
    struct io *io = loop_at(0);
    CHECK(io_timer_next(io) == UINT64_MAX);
    CHECK_EQ(tick_at(io, UINT64_MAX / 2), 0);
    struct timer x = {0};
    set(&x, io, UINT64_MAX);
    CHECK(io_timer_next(io) > UINT64_MAX - MS);
    CHECK_EQ(tick_at(io, UINT64_MAX - MS), 0);
}

CHECK_MAIN(CASE(never_early_and_not_late), CASE(past_deadlines_run_at_the_next_tick),
           CASE(moved_and_cancelled), CASE(in_order_after_a_long_sleep), CASE(callbacks_set_and_cancel),
           CASE(like_the_model), CASE(empty_wheel_costs_nothing))
