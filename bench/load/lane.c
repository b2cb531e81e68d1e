/* lane.c - a lane's life: its thread, its pacing, its bookkeeping. Happy path: sleep in epoll until something
 * arrives or is due, hand what arrived to the shape, send what may be sent, flush. When nothing comes back
 * for `patience` although something is under way, the run is void. */
#include "load/lane.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/must.h"
#include "host/clock.h"

enum { EVENTS = 128, BATCH_BYTES = 128 << 10, SCHEDULE_BATCH = 256, RECHECK_NS = 100000, IDLE_NS = 20000000 };

void lane_void(struct lane *lane, const char *format, ...) {
    if (lane->failed) return;
    lane->failed = true;
    va_list args;
    va_start(args, format);
    vsnprintf(lane->why, sizeof lane->why, format, args);
    va_end(args);
}

void lane_came(struct lane *lane, uint64_t intended_ns, uint64_t now, uint64_t size) {
    const struct run *r = lane->run;
    lane->came++;
    lane->last_ns = now;
    uint64_t from = r->measure_from_ns, to = atomic_load_explicit(&r->measure_to_ns, memory_order_relaxed);
    if (now >= from && now < to) {
        lane->done++;
        lane->bytes += size;
    }
    if (intended_ns >= from && intended_ns < to && now >= intended_ns) {
        hist_add(&lane->latency, now - intended_ns);
        hist_add(series_at(&lane->series, intended_ns), now - intended_ns);
    }
}

void lane_mark(struct link *l) {
    if (l->conn.marked) return;
    l->conn.marked = true;
    l->conn.next_marked = l->lane->marked;
    l->lane->marked = &l->conn;
}

static bool sending_over(struct lane *lane, uint64_t now) {
    const struct run *r = lane->run;
    return lane->sent >= lane->quota || now >= r->measure_to_ns ||
           atomic_load_explicit(&r->stop, memory_order_relaxed);
}

static void send_one(struct lane *lane, struct link *l, uint64_t intended_ns, uint64_t now) {
    const struct run *r = lane->run;
    if (now >= r->measure_from_ns && now < r->measure_to_ns) lane->published++;
    lane->run->shape->send(l, intended_ns);
    l->sent++;
    lane->sent++;
}

/* Closed loop: fills this sender's window, a buffer at a time. */
static void fill_window(struct lane *lane, struct link *l, uint64_t now) {
    const struct shape *shape = lane->run->shape;
    bool any = false;
    while (conn_waiting(&l->conn) < BATCH_BYTES && lane->sent < lane->quota && shape->may_send(l)) {
        send_one(lane, l, now, now);
        any = true;
    }
    if (any && shape->sent_batch) shape->sent_batch(l);
}

/* Open loop: sends what is due; the time the next is due. */
static uint64_t follow_schedule(struct lane *lane, uint64_t now) {
    const struct shape *shape = lane->run->shape;
    uint64_t base = lane->run->begin_ns;
    for (int i = 0; i < SCHEDULE_BATCH; i++) {
        uint64_t due = base + (uint64_t)(lane->offset_ns + (double)lane->scheduled * lane->gap_ns);
        if (due > now || lane->sent >= lane->quota) return due;
        struct link *l = &lane->links[lane->turn_at];
        lane->turn_at = (lane->turn_at + 1) % lane->senders_n;
        if (!shape->may_send(l)) return now + RECHECK_NS;
        send_one(lane, l, due, now);
        if (due >= lane->run->measure_from_ns) hist_add(&lane->late, now - due);
        lane_mark(l);
        lane->scheduled++;
    }
    return now;
}

static void watch_output(struct lane *lane, struct link *l) {
    bool want = conn_waiting(&l->conn) > 0;
    if (want == l->conn.want_out) return;
    l->conn.want_out = want;
    struct epoll_event e = {.events = EPOLLIN | (want ? (uint32_t)EPOLLOUT : 0), .data.ptr = l};
    epoll_ctl(lane->epoll, EPOLL_CTL_MOD, l->conn.fd, &e);
}

/* The window stands open although nothing will arrive to say so: publishes that nobody answers. */
static bool more_to_send(struct lane *lane, struct link *l, bool over) {
    return l->sender && lane->run->work->rate == 0 && !over && lane->sent < lane->quota &&
           conn_waiting(&l->conn) == 0 && lane->run->shape->may_send(l);
}

/* Everything that may leave now leaves; answers when the lane wants its next turn. */
static uint64_t turn(struct lane *lane, uint64_t now) {
    const struct work *w = lane->run->work;
    uint64_t next = now + IDLE_NS;
    bool over = sending_over(lane, now);
    if (w->rate > 0 && lane->senders_n && !over) next = follow_schedule(lane, now);
    struct conn *marked = lane->marked;
    lane->marked = NULL;
    for (struct conn *c = marked; c;) {
        struct conn *following = c->next_marked;
        struct link *l = c->owner;
        c->marked = false;
        if (l->sender && w->rate == 0 && !over) fill_window(lane, l, now);
        if (lane->run->shape->turn) lane->run->shape->turn(l);
        if (!conn_flush(c)) lane_void(lane, "%s", c->error);
        if (more_to_send(lane, l, over)) {
            lane_mark(l);
            next = now;
        }
        watch_output(lane, l);
        c = following;
    }
    bool sending = lane->senders_n > 0 && !sending_over(lane, now);
    atomic_store_explicit(&lane->sent_seen, lane->sent, memory_order_relaxed);
    atomic_store_explicit(&lane->came_seen, lane->came, memory_order_relaxed);
    atomic_store_explicit(&lane->sending, sending, memory_order_release);
    return next;
}

static void wait_for_events(struct lane *lane, uint64_t next) {
    struct epoll_event events[EVENTS];
    uint64_t now = now_ns(), pause = next > now ? next - now : 0;
    if (pause > IDLE_NS) pause = IDLE_NS;
    if (lane->run->work->spin && pause < IDLE_NS) pause = 0;
    struct timespec t = {0, (long)pause};
    int n = epoll_pwait2(lane->epoll, events, EVENTS, &t, NULL);
    for (int i = 0; i < n; i++) {
        struct link *l = events[i].data.ptr;
        if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
            if (!conn_read(&l->conn, lane->run->shape->on_message, l)) lane_void(lane, "%s", l->conn.error);
        }
        lane_mark(l);
    }
}

/* Senders that wait for receivers hear nothing themselves: they are looked at in each turn. */
static void mark_senders(struct lane *lane) {
    for (uint32_t i = 0; i < lane->senders_n; i++) lane_mark(&lane->links[i]);
}

static void ping_all(struct lane *lane) {
    for (uint32_t i = 0; i < lane->links_n; i++) {
        conn_put_text(&lane->links[i].conn, "PING\r\n");
        lane->links[i].pings++;
        lane_mark(&lane->links[i]);
    }
}

static bool pongs_came(const struct lane *lane) {
    for (uint32_t i = 0; i < lane->links_n; i++) {
        if (lane->links[i].conn.pongs < lane->links[i].pings) return false;
    }
    return true;
}

/* Counts from the last time that anything came back to any lane, or that nothing was missing. */
static void judge_silence(struct lane *lane, uint64_t now, bool complete) {
    uint64_t came = run_came(lane->run);
    if (complete || came != lane->came_before || lane->heard_ns == 0) {
        lane->came_before = came;
        lane->heard_ns = now;
    }
    if (now < lane->heard_ns + lane->run->work->patience_ns) return;
    lane_void(lane, "nothing came back for %.1f s: %llu sent, %llu came back",
              (double)(now - lane->heard_ns) / 1e9, (unsigned long long)run_sent(lane->run),
              (unsigned long long)came);
}

/* Open loop: what was due while it was measured and never left has waited until the end at least. Without it,
 * a server that falls far behind would show only the messages it took early. */
static void count_unsent(struct lane *lane) {
    const struct run *r = lane->run;
    uint64_t to = atomic_load(&r->measure_to_ns);
    if (r->work->rate <= 0 || !lane->senders_n || to == UINT64_MAX) return;
    for (uint64_t k = lane->scheduled;; k++) {
        uint64_t due = r->begin_ns + (uint64_t)(lane->offset_ns + (double)k * lane->gap_ns);
        if (due >= to) return;
        if (due >= r->measure_from_ns) hist_add(&lane->latency, to - due);
    }
}

static void *lane_main(void *arg) {
    struct lane *lane = arg;
    struct run *r = lane->run;
    bool closing = false;
    prctl(PR_SET_TIMERSLACK, 1);
    uint64_t now = now_ns();
    if (now < r->begin_ns) sleep_ns(r->begin_ns - now);
    for (uint32_t i = 0; i < lane->links_n; i++) lane_mark(&lane->links[i]);
    bool waits = r->work->kind == WORK_CORE && r->work->subscribers > 0;
    while (!lane->failed) {
        now = now_ns();
        if (waits) mark_senders(lane);
        uint64_t next = turn(lane, now);
        bool sending = run_sending(r), complete = r->shape->complete(lane);
        if (closing && pongs_came(lane)) break;
        if (!closing && !sending && complete) {
            closing = true;
            ping_all(lane);
            continue;
        }
        judge_silence(lane, now, complete && !closing);
        bool look_again = waits ? lane->senders_n && r->lanes_n > 1 : false;
        if (look_again && next > now + RECHECK_NS) next = now + RECHECK_NS;
        if (!sending && next > now + IDLE_NS / 20) next = now + IDLE_NS / 20;
        wait_for_events(lane, next);
    }
    count_unsent(lane);
    atomic_store(&lane->ended, true);
    atomic_store(&lane->sending, false);
    if (lane->failed) atomic_store(&r->stop, true);
    return NULL;
}

bool lane_start(struct lane *lane) { return pthread_create(&lane->thread, NULL, lane_main, lane) == 0; }

bool lane_watch(struct lane *lane, struct link *l) {
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = l};
    l->conn.owner = l;
    return epoll_ctl(lane->epoll, EPOLL_CTL_ADD, l->conn.fd, &e) == 0;
}

uint32_t link_window(const struct work *w) {
    if (w->rate <= 0) return w->window;
    return w->publishers < OPEN_WINDOW ? OPEN_WINDOW / w->publishers : 1;
}

void link_slots_open(struct link *l, uint32_t n) {
    l->slots_n = l->free_n = n;
    l->slots = calloc(n, sizeof *l->slots);
    l->free = calloc(n, sizeof *l->free);
    must(l->slots && l->free);
    for (uint32_t i = 0; i < n; i++) l->free[i] = n - 1 - i;
}
