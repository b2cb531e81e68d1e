/* shapes.c - the same work with little and with much of something: subjects, streams, consumers, a backlog,
 * idle connections, one that never reads. A row for each, and for each pair what grew; a server's cost of a
 * message should not depend on any of them. */
#include <stdio.h>
#include <string.h>

#include "cmd/plan.h"
#include "load/creates.h"

struct shape_def {
    const char *name, *of;        /* of: what there is more of */
    const char *title;            /* takes the count */
    uint64_t small, large, quick; /* quick: the large of --quick */
    uint64_t messages, quick_messages;
    void (*set)(struct work *w, uint64_t n);
    bool (*run)(struct plan *p, const struct shape_def *d); /* NULL: two works, compared by CPU a message */
};

static uint64_t large_of(const struct plan *p, const struct shape_def *d) {
    return p->options->quick ? d->quick : d->large;
}

static struct work work_of(const struct plan *p, const struct shape_def *d, uint64_t n) {
    struct work w = plan_work(p);
    char count[40];
    w.kind = WORK_STREAM;
    w.window = 500;
    w.publishers = w.streams = w.subjects = 1;
    w.messages = p->options->quick ? d->quick_messages : d->messages;
    if (d->set) d->set(&w, n);
    count_text((double)n, count, sizeof count);
    snprintf(w.name, sizeof w.name, "%.24s-%.12s", d->name, count);
    snprintf(w.title, sizeof w.title, "%s, %s %s", d->title, count, d->of);
    return w;
}

static void judge(struct plan *p, const struct shape_def *d, const char *name, uint64_t large_n,
                  const struct row *small, const struct row *large, const enum figure *figures, size_t n) {
    struct growth *g = report_growth(p->report, name, d->of, (double)d->small, (double)large_n);
    if (!g) return;
    g->small = small;
    g->large = large;
    g->judged = figures[0];
    for (g->figures_n = 0; g->figures_n < n; g->figures_n++) g->figures[g->figures_n] = figures[g->figures_n];
}

static bool run_pair(struct plan *p, const struct shape_def *d) {
    static const enum figure figures[] = {FIG_CPU, FIG_RATE, FIG_RSS};
    uint64_t n = large_of(p, d);
    struct work small = work_of(p, d, d->small), large = work_of(p, d, n);
    const struct row *a = plan_row(p, &small, ""), *b = plan_row(p, &large, "");
    if (a && b) judge(p, d, d->name, n, a, b, figures, 3);
    return (a && b) || plan_stopped(p);
}

/* --- what each shape has more of --- */

static void set_subjects(struct work *w, uint64_t n) { w->subjects = (uint32_t)n; }

static void set_kept(struct work *w, uint64_t n) {
    w->subjects = (uint32_t)n;
    w->per_subject = 2;
}

static void set_streams(struct work *w, uint64_t n) { w->streams = (uint32_t)n; }

static void set_queue(struct work *w, uint64_t n) {
    w->kind = WORK_CONSUME;
    w->publishers = 0;
    w->subscribers = 1;
    w->work_queue = w->acks = true;
    w->messages = n;
}

static void set_consumers(struct work *w, uint64_t n) { w->consumers = (uint32_t)n; }

static void set_routed(struct work *w, uint64_t n) {
    w->kind = WORK_ROUTED;
    w->subscribers = 1;
    w->consumers = w->subjects = (uint32_t)n;
    w->batch = 100;
}

static void set_stalled(struct work *w, uint64_t n) {
    w->kind = WORK_CORE;
    w->subscribers = 1;
    w->window = 65536;
    w->stalled = (uint32_t)n;
}

static void set_idle(struct work *w, uint64_t n) { w->idle = (uint32_t)n; }

/* --- making something where much is --- */

static bool run_streams(struct plan *p, const struct shape_def *d) {
    static const enum figure figures[] = {FIG_CPU, FIG_P50, FIG_P99, FIG_RSS};
    const struct row *rows[2];
    for (int i = 0; i < 2; i++) {
        uint64_t n = i ? large_of(p, d) : d->small;
        struct work w = work_of(p, d, n);
        const struct plan_part part = {w.name, w.title, FIG_P50};
        w.streams = (uint32_t)n;
        if (!plan_rows(p, &w, "", run_create_streams, &part, 1)) return plan_stopped(p);
        rows[i] = &p->report->rows[p->report->rows_n - 1];
    }
    judge(p, d, d->name, large_of(p, d), rows[0], rows[1], figures, 4);
    return true;
}

static bool run_filters(struct plan *p, const struct shape_def *d) {
    static const enum figure figures[] = {FIG_CPU, FIG_P50, FIG_P99};
    static const char *const names[CREATE_KINDS] = {"filter-subject", "filter-wildcard", "filter-rare"};
    static const char *const titles[CREATE_KINDS] = {
        "a consumer of one subject of 1,000", "the same by a wildcard",
        "a consumer of a subject with one message, the last, and its delivery"};
    const struct row *rows[2];
    for (int i = 0; i < 2; i++) {
        uint64_t n = i ? large_of(p, d) : d->small;
        struct work w = work_of(p, d, n);
        struct plan_part parts[CREATE_KINDS];
        char name[CREATE_KINDS][40], title[CREATE_KINDS][120], count[40];
        count_text((double)n, count, sizeof count);
        for (int k = 0; k < CREATE_KINDS; k++) {
            snprintf(name[k], sizeof name[k], "%s-%.16s", names[k], count);
            snprintf(title[k], sizeof title[k], "%s, made on %.30s messages", titles[k], count);
            parts[k] = (struct plan_part){name[k], title[k], FIG_P50};
        }
        w.size = 16;
        w.subjects = 1000;
        w.messages = n;
        if (!plan_rows(p, &w, "", run_create_consumers, parts, CREATE_KINDS)) return plan_stopped(p);
        rows[i] = &p->report->rows[p->report->rows_n - CREATE_KINDS];
    }
    for (int k = 0; k < CREATE_KINDS; k++)
        judge(p, d, names[k], large_of(p, d), rows[0] + k, rows[1] + k, figures, 3);
    return true;
}

static const struct shape_def shapes[] = {
    {"subjects", "subjects", "file stream, window 500", 1, 1000000, 10000, 1500000, 30000, set_subjects,
     NULL},
    {"kept", "subjects", "file stream that keeps two messages a subject, window 500", 10, 100000, 1000,
     600000, 20000, set_kept, NULL},
    {"streams", "streams", "file streams in turn, window 500", 1, 10000, 100, 300000, 20000, set_streams,
     NULL},
    {"shards", "streams", "file streams in turn, window 500", 1, 2, 2, 500000, 20000, set_streams, NULL},
    {"make-stream", "streams", "making the last 100 of so many (CPU and rate: of a stream)", 100, 10000, 200,
     0, 0, NULL, run_streams},
    {"queue", "messages", "work queue, file, taken and acknowledged, batch 500; backlog", 10000, 1000000,
     20000, 0, 0, set_queue, NULL},
    {"consumers", "consumers", "file stream, window 500, with consumers nobody asks", 1, 1000, 20, 500000,
     20000, set_consumers, NULL},
    {"routed", "consumers", "file stream, window 500, each message to the consumer that has its subject", 1,
     1000, 20, 300000, 20000, set_routed, NULL},
    {"filter", "messages", "making a filtered consumer", 100000, 10000000, 200000, 0, 0, NULL, run_filters},
    {"stalled", "subscribers that never read", "fan-out to one subscriber that reads", 0, 1, 1, 10000000,
     2000000, set_stalled, NULL},
    {"idle", "idle connections", "file stream, window 500", 0, 5000, 50, 500000, 20000, set_idle, NULL},
};
enum { SHAPES = sizeof shapes / sizeof shapes[0] };

static bool named(const char *list, const char *name) {
    size_t n = strlen(name);
    for (const char *p = list; (p = strstr(p, name)); p += n) {
        if ((p == list || p[-1] == ',') && (p[n] == 0 || p[n] == ',')) return true;
    }
    return false;
}

/* Every name of --only is one of ours. */
static bool check_only(struct plan *p) {
    char text[256], *save;
    snprintf(text, sizeof text, "%s", p->options->only);
    for (char *w = strtok_r(text, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
        size_t i = 0;
        while (i < SHAPES && strcmp(shapes[i].name, w) != 0) i++;
        if (i < SHAPES) continue;
        int n = snprintf(p->why, sizeof p->why, "no shape is called %.60s; there are", w);
        for (i = 0; i < SHAPES; i++)
            n += snprintf(p->why + n, sizeof p->why - (size_t)n, " %s", shapes[i].name);
        return false;
    }
    return true;
}

bool cmd_shapes(struct plan *p) {
    const struct options *o = p->options;
    bool ok = check_only(p);
    size_t chosen = 0;
    for (size_t i = 0; i < SHAPES; i++) chosen += !o->only[0] || named(o->only, shapes[i].name);
    p->progress.steps = 2 * chosen * o->repeat * o->servers_n;
    for (size_t i = 0; ok && i < SHAPES && !plan_stopped(p); i++) {
        if (o->only[0] && !named(o->only, shapes[i].name)) continue;
        ok = (shapes[i].run ? shapes[i].run : run_pair)(p, &shapes[i]);
    }
    report_text_growths(p->report, stdout);
    return ok;
}
