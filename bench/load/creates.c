/* creates.c - see creates.h. */
#include "load/creates.h"

#include <stdio.h>

#include "base/must.h"
#include "host/clock.h"
#include "load/fill.h"
#include "load/shape_stream.h"

enum { ENOUGH = 5 };
static const uint64_t long_ns =
    5 * NS_PER_S; /* slow requests are measured for so long, ENOUGH of them at least */
static const char rare[] = "the only one of its subject";

struct creates {
    const struct work *work;
    const struct target *target;
    const struct run_control *control;
    struct api api;
    int kind; /* enum creates_kind */
};

static void begin(struct outcome *o) {
    memset(o, 0, sizeof *o);
    hist_init(&o->latency);
    hist_init(&o->late);
}

static bool stopped(const struct creates *c) {
    return c->control->interrupted && atomic_load(c->control->interrupted);
}

static void show(const struct creates *c, uint32_t i, uint32_t n) {
    if (c->control->progress && i % 10 == 0) c->control->progress(c->control->ctx, (double)i / n, 0);
}

/* Calls one(i) for i from..to and measures each. False with the reason in the outcome. */
static bool measure(struct creates *c, bool (*one)(struct creates *c, uint32_t i), uint32_t from, uint32_t to,
                    struct outcome *o) {
    uint64_t begin_ns = now_ns();
    series_init(&o->series, begin_ns, NS_PER_S / 4);
    struct moment before = moment_take(c->target, c->control);
    bool ok = true;
    for (uint32_t i = from; ok && i < to && !stopped(c); i++) {
        uint64_t at = now_ns();
        ok = one(c, i);
        uint64_t took = now_ns() - at;
        if (!ok) break;
        hist_add(&o->latency, took);
        hist_add(series_at(&o->series, at), took);
        o->done++;
        if (o->done >= ENOUGH && at - begin_ns > long_ns) break;
    }
    struct moment after = moment_take(c->target, c->control);
    o->seconds = (double)(after.at_ns - before.at_ns) / 1e9;
    outcome_cost(o, c->control, &before, &after);
    o->sent = o->came = o->done;
    if (!ok) snprintf(o->why, sizeof o->why, "%s", c->api.why);
    return ok;
}

static bool make_stream(struct creates *c, uint32_t i) {
    struct stream_spec s = {.memory = c->work->memory};
    stream_name(c->work, i, s.name, sizeof s.name);
    snprintf(s.subjects, sizeof s.subjects, "mrb.%u", i);
    return api_stream_create(&c->api, &s);
}

static bool drop_streams(struct creates *c, uint32_t n) {
    char name[32];
    for (uint32_t i = 0; i < n; i++) {
        stream_name(c->work, i, name, sizeof name);
        if (!api_stream_drop(&c->api, name)) return false;
    }
    return true;
}

static bool open_api(struct creates *c, struct outcome *o) {
    if (api_open(&c->api, &c->target->address)) return true;
    snprintf(o->why, sizeof o->why, "%s", c->api.why);
    return false;
}

void run_create_streams(const struct work *w, const struct target *t, const struct run_control *control,
                        struct outcome *o) {
    struct creates c = {.work = w, .target = t, .control = control};
    uint32_t n = w->streams, first = n > CREATES_MEASURED ? n - CREATES_MEASURED : 0;
    uint64_t total = 0;
    begin(o);
    bool ok = open_api(&c, o);
    for (uint32_t i = 0; ok && i < first; i++) {
        show(&c, i, n);
        ok = !stopped(&c) && make_stream(&c, i);
    }
    if (ok) ok = measure(&c, make_stream, first, n, o);
    ok = ok && api_streams_total(&c.api, &total);
    if (ok && total < first + o->done) {
        snprintf(o->why, sizeof o->why, "%llu streams were made, the server has %llu",
                 (unsigned long long)(first + o->done), (unsigned long long)total);
        ok = false;
    }
    if (ok && !t->program[0]) ok = drop_streams(&c, first + (uint32_t)o->done);
    if (!ok && !o->why[0]) snprintf(o->why, sizeof o->why, "%s", c.api.why);
    o->valid = ok && o->done > 0;
    api_close(&c.api);
}

static bool make_consumer(struct creates *c, uint32_t i) {
    const struct work *w = c->work;
    char stream[32], name[32], filter[32];
    uint64_t pending, due = c->kind == CREATE_RARE ? 1 : w->messages / w->subjects;
    stream_name(w, 0, stream, sizeof stream);
    snprintf(name, sizeof name, "c%dx%u", c->kind, i);
    if (c->kind == CREATE_RARE)
        snprintf(filter, sizeof filter, "mrb.0.rare");
    else
        snprintf(filter, sizeof filter, c->kind == CREATE_SUBJECT ? "mrb.0.%u" : "mrb.*.%u", i % w->subjects);
    if (!api_consumer_filter(&c->api, stream, name, filter, &pending)) return false;
    if (pending != due) {
        snprintf(c->api.why, sizeof c->api.why, "%llu messages wait for a consumer of %s where %llu are due",
                 (unsigned long long)pending, filter, (unsigned long long)due);
        return false;
    }
    if (c->kind != CREATE_RARE) return true;
    if (!api_pull_one(&c->api, stream, name)) return false;
    if (span_eq(span_of(c->api.reply, c->api.reply_n), span_str(rare))) return true;
    snprintf(c->api.why, sizeof c->api.why, "a consumer of %s got another message", filter);
    return false;
}

/* One more message behind all others, under a subject of its own. */
static bool put_rare(struct creates *c) { return api_request(&c->api, "mrb.0.rare", rare); }

void run_create_consumers(const struct work *w, const struct target *t, const struct run_control *control,
                          struct outcome *outs) {
    struct creates c = {.work = w, .target = t, .control = control};
    must(w->subjects > 1 && w->messages % w->subjects == 0);
    for (int k = 0; k < CREATE_KINDS; k++) begin(&outs[k]);
    bool ok = fill_stream(w, t, control, outs[0].why, sizeof outs[0].why) && open_api(&c, &outs[0]);
    if (ok && !put_rare(&c)) {
        snprintf(outs[0].why, sizeof outs[0].why, "%s", c.api.why);
        ok = false;
    }
    for (c.kind = 0; ok && c.kind < CREATE_KINDS; c.kind++) {
        ok = measure(&c, make_consumer, 0, CREATES_MEASURED, &outs[c.kind]);
        outs[c.kind].valid = ok && outs[c.kind].done > 0;
        if (control->progress) control->progress(control->ctx, (c.kind + 1.0) / CREATE_KINDS, 0);
    }
    if (ok && !t->program[0]) ok = drop_streams(&c, 1);
    char first[201];
    snprintf(first, sizeof first, "%.200s", outs[0].why);
    for (int k = 0; k < CREATE_KINDS; k++) {
        if (!outs[k].valid && !outs[k].why[0])
            snprintf(outs[k].why, sizeof outs[k].why, "not measured: %s", first);
    }
    api_close(&c.api);
}
