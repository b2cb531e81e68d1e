/* timer.c - a hierarchical wheel of 1 ms: set, cancel and "when next" are O(1), and a timer moves down at
 * most once a level. A deadline is rounded up to its tick, so nothing fires early; one that has passed
 * already runs at the next tick.
 *
 * A run first moves everything due onto one list, in order of ticks, then calls back from it: a timer set by
 * a callback for "now" waits for the next run, so a run ends. Nothing can fail. */
#include "base/must.h"
#include "io/loop.h"

#define TICK_NS 1000000u
#define BITS    6
static_must(1 << BITS == WHEEL_SLOTS);

static uint64_t tick_of(const struct io_timer *t) {
    return t->deadline_ns / TICK_NS + (t->deadline_ns % TICK_NS != 0);
}

void wheel_init(struct wheel *w, uint64_t now_ns) {
    *w = (struct wheel){.cur = now_ns / TICK_NS};
    list_init(&w->due);
    for (int l = 0; l < WHEEL_LEVELS; l++) {
        for (int s = 0; s < WHEEL_SLOTS; s++) list_init(&w->slots[l][s]);
    }
}

/* Where a tick later than cur lies. This stays true while cur moves on, until the slot's first tick is
 * reached. */
static void place(const struct wheel *w, uint64_t tick, unsigned *level, unsigned *slot) {
    must(tick > w->cur);
    *level = (unsigned)(63 - __builtin_clzll(tick ^ w->cur)) / BITS;
    must(*level < WHEEL_LEVELS);
    *slot = (unsigned)(tick >> BITS * *level) & (WHEEL_SLOTS - 1);
}

static void wheel_add(struct wheel *w, struct io_timer *t) {
    uint64_t tick = tick_of(t);
    must(t->on_fire != NULL);
    unsigned level, slot;
    if (tick <= w->cur) {
        list_add_tail(&w->due, &t->link);
        return;
    }
    place(w, tick, &level, &slot);
    if (!(w->filled[level] >> slot & 1) || tick < w->min[level][slot]) w->min[level][slot] = tick;
    w->filled[level] |= (uint64_t)1 << slot;
    must(w->min[level][slot] <= tick);
    list_add_tail(&w->slots[level][slot], &t->link);
}

void io_timer_set(struct io *io, struct io_timer *t, uint64_t deadline_ns) {
    must(t->on_fire != NULL);
    io_timer_cancel(io, t);
    must(t->deadline_ns == 0);
    t->deadline_ns = deadline_ns ? deadline_ns : 1; /* 0 says "not set" */
    if (t->deadline_ns <= io->now_ns) {
        list_add_tail(&io->wheel.due, &t->link);
    } else {
        wheel_add(&io->wheel, t);
    }
}

void io_timer_cancel(struct io *io, struct io_timer *t) {
    struct wheel *w = &io->wheel;
    if (!t->deadline_ns) return;
    must(t->link.next != &t->link); /* set: on a list */
    list_del(&t->link);
    if (tick_of(t) > w->cur) {
        unsigned level, slot;
        place(w, tick_of(t), &level, &slot);
        if (list_empty(&w->slots[level][slot])) w->filled[level] &= ~((uint64_t)1 << slot);
    }
    t->deadline_ns = 0;
}

/* The earliest filled slot and its first tick; false when there is none. */
static bool first_slot(const struct wheel *w, unsigned *level, unsigned *slot, uint64_t *start) {
    for (unsigned l = 0; l < WHEEL_LEVELS; l++) {
        if (!w->filled[l]) continue;
        *level = l;
        *slot = (unsigned)__builtin_ctzll(w->filled[l]);
        uint64_t above = w->cur >> BITS * (l + 1) << BITS * (l + 1);
        *start = above | (uint64_t)*slot << BITS * l;
        must(*start > w->cur);
        return true;
    }
    return false;
}

uint64_t io_timer_next(const struct io *io) {
    const struct wheel *w = &io->wheel;
    unsigned level, slot;
    uint64_t start;
    if (!list_empty(&w->due)) return io->now_ns;
    if (!first_slot(w, &level, &slot, &start)) return UINT64_MAX;
    must(w->min[level][slot] >= start);
    uint64_t tick = w->min[level][slot];
    return tick > UINT64_MAX / TICK_NS ? UINT64_MAX : tick * TICK_NS;
}

/* Moves what is due onto the due list and the rest of each slot passed to lower levels. */
static void advance(struct wheel *w, uint64_t to) {
    unsigned level, slot;
    uint64_t start;
    while (first_slot(w, &level, &slot, &start) && start <= to) {
        struct list *from = &w->slots[level][slot], *node;
        must(!list_empty(from));
        w->cur = start;
        w->filled[level] &= ~((uint64_t)1 << slot);
        while ((node = list_pop(from))) wheel_add(w, container_of(node, struct io_timer, link));
    }
    if (to > w->cur) w->cur = to;
    must(w->cur >= to);
}

size_t wheel_run(struct io *io) {
    struct wheel *w = &io->wheel;
    struct list firing, *node;
    size_t n = 0;
    must(io->ticking);
    advance(w, io->now_ns / TICK_NS);
    if (list_empty(&w->due)) return 0;
    list_add_tail(&w->due, &firing); /* take the whole list over: firing becomes its head */
    list_del(&w->due);
    while ((node = list_pop(&firing))) {
        struct io_timer *t = container_of(node, struct io_timer, link);
        must(t->deadline_ns && t->deadline_ns <= io->now_ns);
        t->deadline_ns = 0;
        t->on_fire(t);
        n++;
    }
    return n;
}
