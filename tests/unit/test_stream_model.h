/* test_stream_model.h - a stream as naive arrays, and a log that remembers what would have been written. For
 * random tests. */
#pragma once
#include "base/rng.h"
#include "lib/check.h"
#include "stream/codec.h"
#include "stream/stream.h"
#include "subject/subject.h"

enum { MODEL_MSGS = 4000, MODEL_SUBJECTS = 12, MODEL_LOG = 20000 };

static const char *const model_subjects[MODEL_SUBJECTS] = {"a.1", "a.2",   "a.3", "b.1", "b.2", "b.3.x",
                                                           "c",   "c.d.e", "d.1", "d.2", "d.3", "e"};
static const uint8_t model_secret[16] = {9, 8, 7, 6, 5, 4, 3, 2, 1};

struct model_msg {
    uint64_t seq;
    int64_t ts;
    int subject;
    size_t hdr, payload;
    bool live;
};

struct model {
    struct model_msg msgs[MODEL_MSGS]; /* by arrival */
    size_t len;
    uint64_t first, last;
};

static inline bool model_match(const struct model_msg *m, const char *filter) {
    return !filter || !*filter || subject_match(span_str(model_subjects[m->subject]), span_str(filter));
}

static inline uint64_t model_count(const struct model *m, const char *filter) {
    uint64_t n = 0;
    for (size_t i = 0; i < m->len; i++) n += m->msgs[i].live && model_match(&m->msgs[i], filter);
    return n;
}

static inline uint64_t model_size(const struct model_msg *m) {
    return 30 + strlen(model_subjects[m->subject]) + m->payload + (m->hdr ? m->hdr + 4 : 0);
}

static inline uint64_t model_bytes(const struct model *m) {
    uint64_t n = 0;
    for (size_t i = 0; i < m->len; i++) n += m->msgs[i].live ? model_size(&m->msgs[i]) : 0;
    return n;
}

/* first_seq as nats-server reports it: the first live message, else one behind the last. */
static inline void model_first(struct model *m) {
    for (size_t i = 0; i < m->len; i++) {
        if (!m->msgs[i].live) continue;
        m->first = m->msgs[i].seq;
        return;
    }
    if (m->len) m->first = m->last + 1;
}

static inline struct model_msg *model_first_of(struct model *m, const char *filter) {
    for (size_t i = 0; i < m->len; i++)
        if (m->msgs[i].live && model_match(&m->msgs[i], filter)) return &m->msgs[i];
    return NULL;
}

static inline struct model_msg *model_get(struct model *m, uint64_t seq) {
    for (size_t i = 0; i < m->len; i++)
        if (m->msgs[i].live && m->msgs[i].seq == seq) return &m->msgs[i];
    return NULL;
}

static inline void model_limit_subjects(struct model *m, const struct mr_stream_config *c,
                                        const char *subject) {
    for (int s = 0; s < MODEL_SUBJECTS && c->max_msgs_per_subject > 0; s++) {
        if (subject && strcmp(subject, model_subjects[s]) != 0) continue;
        while (model_count(m, model_subjects[s]) > (uint64_t)c->max_msgs_per_subject)
            model_first_of(m, model_subjects[s])->live = false;
    }
}

static inline void model_limit_all(struct model *m, const struct mr_stream_config *c) {
    if (c->discard != MR_DISCARD_OLD) return;
    while (c->max_msgs > 0 && model_count(m, "") > (uint64_t)c->max_msgs) model_first_of(m, "")->live = false;
    while (c->max_bytes > 0 && model_bytes(m) > (uint64_t)c->max_bytes) model_first_of(m, "")->live = false;
}

/* After an append (subject) the subject's limit comes first, after an update (NULL) last: as nats-server does
 * it. */
static inline void model_limit(struct model *m, const struct mr_stream_config *c, const char *subject) {
    if (subject) model_limit_subjects(m, c, subject);
    model_limit_all(m, c);
    if (!subject) model_limit_subjects(m, c, NULL);
    model_first(m);
}

static inline void model_expire(struct model *m, const struct mr_stream_config *c, int64_t now) {
    for (size_t i = 0; i < m->len && c->max_age_ns > 0; i++)
        if (m->msgs[i].ts <= now - c->max_age_ns) m->msgs[i].live = false;
    model_first(m);
}

static inline uint64_t model_purge(struct model *m, const char *filter, uint64_t seq, uint64_t keep) {
    uint64_t total = model_count(m, filter), n = 0, max = UINT64_MAX;
    if (seq == 1) return 0;
    if (keep) max = keep >= total ? 0 : total - keep;
    for (size_t i = 0; i < m->len && n < max; i++) {
        struct model_msg *g = &m->msgs[i];
        if (!g->live || !model_match(g, filter) || (seq && g->seq >= seq)) continue;
        g->live = false;
        n++;
    }
    if (!*filter && seq > m->last + 1) m->last = seq - 1;
    model_first(m);
    if (!*filter && !keep && model_count(m, "") == 0) m->first = m->last + 1;
    return n;
}
