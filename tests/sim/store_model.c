/* store_model.c - see store_model.h. */
#include "sim/store_model.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "store/format.h"

static uint8_t body[1 << 20];
static char subject[64];

void model_init(struct model *m) { *m = (struct model){.oldest = 1}; }
void model_deinit(struct model *m) { free(m->entries); }

_Noreturn void model_fail(const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

struct entry *model_at(struct model *m, uint64_t id) {
    must(id > 0 && id <= m->count);
    return &m->entries[id];
}

uint64_t model_add(struct model *m, const struct entry *e) {
    if (m->count + 2 > m->cap) {
        m->cap = m->cap ? 2 * m->cap : 256;
        m->entries = realloc(m->entries, m->cap * sizeof *m->entries);
        must(m->entries != NULL);
    }
    m->entries[++m->count] = *e;
    return m->count;
}

struct rec model_rec(const struct model *m, uint64_t id) {
    const struct entry *e = &m->entries[id];
    struct rng g = {id};
    must(e->size <= sizeof body);
    struct rec r = {.kind = e->kind,
                    .flags = e->flags,
                    .stream = e->stream,
                    .ts = (int64_t)id,
                    .seq = e->target ? e->target : id};
    if (e->kind == REC_MESSAGE) {
        int n = snprintf(subject, sizeof subject, "s.%u.%llu", e->stream, (unsigned long long)id);
        r.subject = span_of(subject, (size_t)n);
    }
    for (size_t i = 0; i < e->size; i += 8) {
        uint64_t w = rng_next(&g);
        memcpy(body + i, &w, e->size - i < 8 ? e->size - i : 8);
    }
    r.payload = span_of(body, e->size);
    return r;
}

bool model_same(const struct model *m, uint64_t id, const struct rec *r) {
    struct rec want = model_rec(m, id);
    return want.kind == r->kind && want.flags == r->flags && want.stream == r->stream && want.seq == r->seq &&
           want.ts == r->ts && span_eq(want.subject, r->subject) && span_eq(want.hdr, r->hdr) &&
           span_eq(want.payload, r->payload);
}

/* A state of the stream, found, that was appended behind id. */
static bool restated(const struct model *m, uint32_t stream, uint64_t id) {
    return m->newest_state[stream] > id;
}

bool model_unwanted(const struct model *m, uint64_t id) {
    const struct entry *e = &m->entries[id];
    if (e->kind != REC_MESSAGE) return restated(m, e->stream, id);
    return e->killer && (m->entries[e->killer].found || restated(m, e->stream, e->killer));
}

void model_begin(struct model *m) {
    for (uint64_t i = 1; i <= m->count; i++) m->entries[i].found = m->entries[i].dead = false;
    m->last_found = 0;
    m->damage_reports = 0;
    m->live = 0;
    for (uint32_t k = 1; k <= STREAMS; k++) m->newest_state[k] = 0;
}

void model_found(struct model *m, const struct rec *r, uint64_t loc) {
    uint64_t id = (uint64_t)r->ts;
    if (id == 0 || id > m->count) model_fail("invented: a record with id %llu", (unsigned long long)id);
    struct entry *e = &m->entries[id];
    if (!model_same(m, id, r)) model_fail("record %llu has another content", (unsigned long long)id);
    if (e->found) model_fail("record %llu appears twice", (unsigned long long)id);
    if (id <= m->last_found)
        model_fail("record %llu stands behind %llu", (unsigned long long)id,
                   (unsigned long long)m->last_found);
    if (e->fate == ENTRY_LOST && !m->lenient) model_fail("record %llu came back", (unsigned long long)id);
    if (loc != e->loc) model_fail("record %llu lies elsewhere", (unsigned long long)id);
    m->last_found = id;
    e->found = true;
    if (e->kind == REC_STREAM) m->newest_state[e->stream] = id;
}

static void judge_batches(const struct model *m) {
    for (uint64_t i = 2; i <= m->count; i++) {
        const struct entry *a = &m->entries[i - 1], *b = &m->entries[i];
        if (!a->batch || a->batch != b->batch || a->fate == ENTRY_LOST || b->fate == ENTRY_LOST) continue;
        bool excused = model_unwanted(m, i - 1) || model_unwanted(m, i) || a->damaged || b->damaged;
        if (a->found != b->found && !excused) model_fail("batch %u is there in part", a->batch);
    }
}

void model_judge(struct model *m, uint64_t acked) {
    uint64_t gone = 0;
    for (uint64_t i = 1; i <= m->count; i++) {
        struct entry *e = &m->entries[i];
        if (e->fate == ENTRY_LOST) continue;
        bool mine = e->fate == ENTRY_NEW, wanted = !model_unwanted(m, i);
        if (e->found && gone && mine && !m->lenient)
            model_fail("record %llu is there behind the missing %llu", (unsigned long long)i,
                       (unsigned long long)gone);
        if (e->found || !wanted) continue;
        bool promised = !mine || (e->frame && e->frame <= acked);
        if (promised && !e->damaged && !m->lenient)
            model_fail("record %llu (frame %llu, %s) is missing; acknowledged through frame %llu",
                       (unsigned long long)i, (unsigned long long)e->frame,
                       mine ? "of the last life" : "found before", (unsigned long long)acked);
        if (mine && !gone) gone = i;
    }
    if (!m->lenient) judge_batches(m);
    for (uint64_t i = 1; i <= m->count; i++) {
        struct entry *e = &m->entries[i];
        if (e->damaged && !e->found && e->fate != ENTRY_LOST && !m->damage_reports && !model_unwanted(m, i))
            model_fail("the damage to record %llu was not reported", (unsigned long long)i);
        if (e->damaged && e->found)
            model_fail("record %llu reads in spite of its damage", (unsigned long long)i);
        e->fate = e->found ? ENTRY_KEPT : ENTRY_LOST; /* what a recycled segment held is gone for good, too */
    }
    /* A delete that never reached the disk killed nothing. */
    for (uint64_t i = 1; i <= m->count; i++) {
        struct entry *e = &m->entries[i];
        if (e->killer && m->entries[e->killer].fate == ENTRY_LOST && !restated(m, e->stream, e->killer))
            e->killer = 0;
    }
}
