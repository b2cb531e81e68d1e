/* run.c - see run.h: opens the links, starts the lanes, takes samples of server and machine around what is
 * measured, adds up. Every failure ends in an outcome that is void and says why. */
#include "load/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/must.h"
#include "host/clock.h"
#include "load/bystanders.h"
#include "load/lane.h"

enum { LEAD_NS = 5000000, STEP_NS = 10000000, PROGRESS_STEPS = 10 };

static const struct shape *const shapes[] = {[WORK_CORE] = &shape_core,
                                             [WORK_REQUEST] = &shape_request,
                                             [WORK_STREAM] = &shape_stream,
                                             [WORK_CONSUME] = &shape_consume,
                                             [WORK_ROUTED] = &shape_routed};

uint64_t run_sent(const struct run *r) {
    uint64_t n = 0;
    for (uint32_t i = 0; i < r->lanes_n; i++)
        n += atomic_load_explicit(&r->lanes[i].sent_seen, memory_order_relaxed);
    return n;
}

uint64_t run_came(const struct run *r) {
    uint64_t n = 0;
    for (uint32_t i = 0; i < r->lanes_n; i++)
        n += atomic_load_explicit(&r->lanes[i].came_seen, memory_order_relaxed);
    return n;
}

bool run_sending(const struct run *r) {
    for (uint32_t i = 0; i < r->lanes_n; i++) {
        if (atomic_load_explicit(&r->lanes[i].sending, memory_order_acquire)) return true;
    }
    return false;
}

/* Senders go to lanes from the first on, receivers from the last on, so that two lanes share a one-to-one
 * work. */
static uint32_t share(uint32_t count, uint32_t lanes, uint32_t lane) {
    return count / lanes + (lane < count % lanes);
}

static uint64_t series_slot_ns(const struct work *w) {
    uint64_t ns = w->duration_ns / SERIES_SLOTS;
    if (w->messages)
        ns = w->rate > 0 ? (uint64_t)((double)w->messages / w->rate * (1e9 / (double)SERIES_SLOTS))
                         : NS_PER_S / 4;
    return ns > 0 ? ns : 1;
}

static bool open_link(struct run *r, struct lane *lane, struct link *l, bool sender, uint32_t index) {
    l->lane = lane;
    l->sender = sender;
    l->index = index;
    if (!conn_open(&l->conn, &r->target->address) || !lane_watch(lane, l)) {
        snprintf(r->why, sizeof r->why, "%s", l->conn.error);
        return false;
    }
    l->conn.id = sender ? index : r->work->publishers + index;
    if (l->conn.max_payload && r->work->size > l->conn.max_payload) {
        snprintf(r->why, sizeof r->why, "the server takes messages of %llu bytes at most",
                 (unsigned long long)l->conn.max_payload);
        return false;
    }
    return r->shape->open(r, l);
}

static bool open_lane(struct run *r, uint32_t i, uint32_t *sender, uint32_t *receiver) {
    const struct work *w = r->work;
    struct lane *lane = &r->lanes[i];
    lane->run = r;
    lane->senders_n = share(w->publishers, r->lanes_n, i);
    lane->receivers_n = share(w->subscribers, r->lanes_n, r->lanes_n - 1 - i);
    lane->links_n = lane->senders_n + lane->receivers_n;
    lane->links = calloc(lane->links_n + 1, sizeof *lane->links);
    lane->stream_count = calloc(w->streams + 1, sizeof *lane->stream_count);
    must(lane->links && lane->stream_count);
    for (uint32_t k = 0; k < lane->links_n; k++) lane->links[k].conn.fd = -1;
    lane->epoll = epoll_create1(EPOLL_CLOEXEC);
    must(lane->epoll >= 0);
    hist_init(&lane->latency);
    hist_init(&lane->late);
    atomic_store(&lane->sending, lane->senders_n > 0);
    for (uint32_t k = 0; k < lane->links_n; k++) {
        bool sends = k < lane->senders_n;
        if (!open_link(r, lane, &lane->links[k], sends, sends ? (*sender)++ : (*receiver)++)) return false;
    }
    return true;
}

/* Everything sent while opening has been taken in by the server before the first message leaves. */
static bool settle(struct run *r, struct link *l) {
    struct conn *c = &l->conn;
    uint64_t until = now_ns() + 10 * NS_PER_S, pongs = c->pongs + 1;
    conn_put_text(c, "PING\r\n");
    while (c->pongs < pongs) {
        bool ok = conn_wait(c, until) && conn_flush(c) && conn_read(c, NULL, NULL);
        if (!ok) {
            snprintf(r->why, sizeof r->why, "%s", c->error[0] ? c->error : "no answer to a first PING");
            return false;
        }
    }
    c->pongs = 0;
    return true;
}

static bool open_all(struct run *r) {
    const struct work *w = r->work;
    uint32_t most = w->publishers > w->subscribers ? w->publishers : w->subscribers, sender = 0, receiver = 0;
    r->lanes_n = w->threads < most ? w->threads : most;
    must(r->lanes_n > 0);
    r->lanes = calloc(r->lanes_n, sizeof *r->lanes);
    must(r->lanes);
    for (uint32_t i = 0; i < r->lanes_n; i++) {
        if (!open_lane(r, i, &sender, &receiver)) return false;
    }
    for (uint32_t i = 0; i < r->lanes_n; i++) {
        for (uint32_t k = 0; k < r->lanes[i].links_n; k++) {
            if (!settle(r, &r->lanes[i].links[k])) return false;
        }
    }
    return true;
}

static void set_plan(struct run *r) {
    const struct work *w = r->work;
    r->begin_ns = now_ns() + LEAD_NS;
    bool counted = w->messages > 0;
    r->measure_from_ns = r->begin_ns + (counted ? 0 : w->warmup_ns);
    atomic_store(&r->measure_to_ns, counted ? UINT64_MAX : r->measure_from_ns + w->duration_ns);
    bool stores = w->kind == WORK_STREAM || w->kind == WORK_CONSUME || w->kind == WORK_ROUTED;
    uint64_t given = 0, all = counted ? w->messages : stores && w->most ? w->most : UINT64_MAX >> 8;
    uint32_t senders_before = 0;
    for (uint32_t i = 0; i < r->lanes_n; i++) {
        struct lane *lane = &r->lanes[i];
        series_init(&lane->series, r->measure_from_ns, series_slot_ns(w));
        senders_before += lane->senders_n;
        uint64_t upto = w->publishers ? (uint64_t)((__uint128_t)all * senders_before / w->publishers) : 0;
        lane->quota = upto - given;
        given = upto;
        if (w->rate <= 0 || !lane->senders_n) continue;
        lane->gap_ns = 1e9 / w->rate * w->publishers / lane->senders_n;
        lane->offset_ns = 1e9 / w->rate * i;
    }
}

static bool all_ended(const struct run *r) {
    for (uint32_t i = 0; i < r->lanes_n; i++) {
        if (!atomic_load(&r->lanes[i].ended)) return false;
    }
    return true;
}

static void show_progress(struct run *r, uint64_t now, uint64_t *came_before, uint64_t *at_before) {
    const struct work *w = r->work;
    if (!r->control->progress || now <= r->begin_ns) return;
    uint64_t came = run_came(r), whole = w->warmup_ns + w->duration_ns;
    double part = whole ? (double)(now - r->begin_ns) / (double)whole : 0;
    uint64_t due = w->messages * (w->kind == WORK_CORE && w->subscribers ? w->subscribers : 1);
    if (w->messages) part = (double)came / (double)due;
    double rate = now > *at_before ? (double)(came - *came_before) / ((double)(now - *at_before) / 1e9) : 0;
    *came_before = came;
    *at_before = now;
    r->control->progress(r->control->ctx, part < 1 ? part : 1, rate);
}

/* Waits out a span of the run, showing progress and watching for Ctrl-C; true when all lanes ended before. */
static bool wait_until(struct run *r, uint64_t until_ns) {
    uint64_t came = run_came(r), at = now_ns(), now;
    for (int step = 1; (now = now_ns()) < until_ns; step++) {
        if (all_ended(r)) return true;
        if (r->control->interrupted && atomic_load(r->control->interrupted) &&
            !atomic_exchange(&r->stop, true)) {
            if (atomic_load(&r->measure_to_ns) > now) atomic_store(&r->measure_to_ns, now);
            return false;
        }
        sleep_ns(until_ns - now < STEP_NS ? until_ns - now : STEP_NS);
        if (step % PROGRESS_STEPS == 0) show_progress(r, now, &came, &at);
    }
    return false;
}

static void add_lane(struct outcome *o, struct lane *lane) {
    o->done += lane->done;
    o->bytes += lane->bytes;
    o->published += lane->published;
    o->sent += lane->sent;
    o->came += lane->came;
    hist_merge(&o->latency, &lane->latency);
    hist_merge(&o->late, &lane->late);
    series_merge(&o->series, &lane->series);
    if (lane->failed && !o->why[0]) snprintf(o->why, sizeof o->why, "%s", lane->why);
}

static uint64_t last_came(const struct run *r) {
    uint64_t last = 0;
    for (uint32_t i = 0; i < r->lanes_n; i++) {
        if (r->lanes[i].last_ns > last) last = r->lanes[i].last_ns;
    }
    return last;
}

static void measure(struct run *r, struct outcome *o) {
    set_plan(r);
    for (uint32_t i = 0; i < r->lanes_n; i++) must(lane_start(&r->lanes[i]));
    wait_until(r, r->measure_from_ns);
    struct moment from = moment_take(r->target, r->control);
    bool ended = wait_until(r, atomic_load(&r->measure_to_ns));
    struct moment to = moment_take(r->target, r->control);
    o->cut_short = atomic_load(&r->stop) && !ended;
    while (!all_ended(r)) sleep_ns(STEP_NS / 10);
    for (uint32_t i = 0; i < r->lanes_n; i++) pthread_join(r->lanes[i].thread, NULL);
    series_init(&o->series, r->measure_from_ns, series_slot_ns(r->work));
    for (uint32_t i = 0; i < r->lanes_n; i++) add_lane(o, &r->lanes[i]);
    uint64_t end = atomic_load(&r->measure_to_ns), last = last_came(r);
    if (ended && last < end) end = last;
    o->seconds = end > r->measure_from_ns ? (double)(end - r->measure_from_ns) / 1e9 : 0;
    outcome_cost(o, r->control, &from, &to);
    const struct work *w = r->work;
    o->behind = w->rate > 0 && (double)o->done < 0.98 * w->rate * o->seconds;
    if (o->done == 0 && !o->why[0])
        snprintf(o->why, sizeof o->why, "nothing came back while it was measured (%llu in the whole run)",
                 (unsigned long long)o->came);
}

static void close_lane(struct run *r, struct lane *lane) {
    for (uint32_t i = 0; i < lane->links_n; i++) {
        struct link *l = &lane->links[i];
        r->shape->close(r, l);
        free(l->slots);
        free(l->free);
        free(l->next);
        conn_close(&l->conn);
    }
    series_deinit(&lane->series);
    free(lane->stream_count);
    free(lane->links);
    if (lane->links) close(lane->epoll);
}

void run_work(const struct work *w, const struct target *t, const struct run_control *control,
              struct outcome *out) {
    struct run r = {.work = w, .target = t, .control = control, .shape = shapes[w->kind]};
    memset(out, 0, sizeof *out);
    hist_init(&out->latency);
    hist_init(&out->late);
    snprintf(r.inbox, sizeof r.inbox, "_INBOX.mrb%x", (unsigned)getpid());
    payload_init(&r.payload, w->size, w->seed);
    bool ok = api_open(&r.api, &t->address) || (snprintf(r.why, sizeof r.why, "%s", r.api.why), false);
    ok = ok && r.shape->prepare(&r) && bystanders_open(&r) && open_all(&r);
    if (ok) {
        measure(&r, out);
        ok = !out->why[0] && bystanders_check(&r) && (!r.shape->check || w->trust || r.shape->check(&r));
    }
    if (!ok && !out->why[0]) snprintf(out->why, sizeof out->why, "%s", r.why[0] ? r.why : r.api.why);
    out->valid = ok;
    for (uint32_t i = 0; i < r.lanes_n; i++) close_lane(&r, &r.lanes[i]);
    free(r.lanes);
    bystanders_close(&r);
    api_close(&r.api);
    payload_deinit(&r.payload);
}

void outcome_deinit(struct outcome *o) { series_deinit(&o->series); }
