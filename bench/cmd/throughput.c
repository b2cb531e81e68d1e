/* throughput.c - closed loops: throughput, consume, fanout, request. Each builds a work from the options and
 * a sentence that says what it is. */
#include <math.h>
#include <stdio.h>

#include "cmd/plan.h"

static const char *plural(uint64_t n) { return n == 1 ? "" : "s"; }

/* "4 publishers, window 100, 128 B" */
static size_t say_load(const struct work *w, char *out, size_t room) {
    int n = snprintf(out, room, "%u publisher%s", w->publishers, plural(w->publishers));
    if (w->kind == WORK_STREAM && w->window == 1)
        n += snprintf(out + n, room - (size_t)n, ", one at a time");
    else if (w->kind == WORK_STREAM)
        n += snprintf(out + n, room - (size_t)n, ", window %u", w->window);
    n += snprintf(out + n, room - (size_t)n, ", %u B", w->size);
    if (w->subjects > 1) n += snprintf(out + n, room - (size_t)n, ", %u subjects", w->subjects);
    if (w->streams > 1) n += snprintf(out + n, room - (size_t)n, ", %u streams", w->streams);
    if (w->per_subject)
        n += snprintf(out + n, room - (size_t)n, ", %lld a subject", (long long)w->per_subject);
    return (size_t)n;
}

bool cmd_throughput(struct plan *p) {
    struct work w = plan_work(p);
    bool core = p->options->on == ON_CORE;
    w.kind = core ? WORK_CORE : WORK_STREAM;
    char load[100];
    say_load(&w, load, sizeof load);
    snprintf(w.name, sizeof w.name, "%s", core ? "core" : w.memory ? "memory" : "file");
    snprintf(w.title, sizeof w.title, "%s, %.80s",
             core       ? "core publish, no subscriber"
             : w.memory ? "memory stream"
                        : "file stream",
             load);
    plan_row(p, &w, "");
    return true;
}

bool cmd_fanout(struct plan *p) {
    struct work w = plan_work(p);
    w.kind = WORK_CORE;
    w.subscribers = (uint32_t)p->options->subscribers;
    snprintf(w.name, sizeof w.name, "fan-%u", w.subscribers);
    snprintf(w.title, sizeof w.title,
             "%u publisher%s to %u subscriber%s, %u B (CPU a published message, rate in deliveries)",
             w.publishers, plural(w.publishers), w.subscribers, plural(w.subscribers), w.size);
    plan_row(p, &w, "");
    return true;
}

bool cmd_request(struct plan *p) {
    struct work w = plan_work(p);
    w.kind = WORK_REQUEST;
    w.subscribers = (uint32_t)p->options->subscribers;
    snprintf(w.name, sizeof w.name, "request");
    if (w.window == 1)
        snprintf(w.title, sizeof w.title, "request and reply, %u requester%s, one at a time, %u B",
                 w.publishers, plural(w.publishers), w.size);
    else
        snprintf(w.title, sizeof w.title, "request and reply, %u requester%s, window %u, %u B", w.publishers,
                 plural(w.publishers), w.window, w.size);
    plan_row(p, &w, "");
    return true;
}

static void consume_row(struct plan *p, struct work *w, bool acks) {
    w->acks = acks;
    const char *how = acks ? "acknowledging" : "without acknowledgements";
    const char *where = w->memory ? "memory" : "file";
    if (w->rate > 0) {
        snprintf(w->name, sizeof w->name, "tail%s", acks ? "" : "-no-acks");
        snprintf(w->title, sizeof w->title, "pull %s, following %.0f messages/s, %s stream, batch %u, %u B",
                 how, w->rate, where, w->batch, w->size);
    } else {
        snprintf(w->name, sizeof w->name, "pull%s", acks ? "" : "-no-acks");
        snprintf(w->title, sizeof w->title, "pull %s, catching up, %s stream, batch %u, %u B", how, where,
                 w->batch, w->size);
    }
    plan_row(p, w, "");
}

bool cmd_consume(struct plan *p) {
    const struct options *o = p->options;
    struct work w = plan_work(p);
    w.kind = WORK_CONSUME;
    w.subscribers = (uint32_t)o->connections;
    w.publishers = 0;
    if (w.messages == 0 && o->rates_n == 0) w.messages = 500000;
    size_t rows = o->rates_n ? o->rates_n : 1;
    p->progress.steps += (rows - 1) * o->repeat * o->servers_n;
    for (size_t i = 0; i < rows; i++) {
        w.rate = o->rates_n ? o->rates[i] : 0;
        w.publishers = w.rate > 0 ? 1 : 0;
        consume_row(p, &w, !o->no_acks);
    }
    return true;
}
