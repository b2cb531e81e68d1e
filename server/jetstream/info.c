/* info.c - see info.h. All of it is the state as of everything handed to the engine so far: an answer with it
 * leaves behind a barrier. What fails is memory; the text is then marked. */
#include "jetstream/info.h"

#include <stdlib.h>

#include "base/must.h"
#include "jetstream/codec_stream.h"
#include "jetstream/deliver.h"
#include "jetstream/push.h"

void info_config_put(struct text *t, struct span canonical, bool full, const struct js_limits *limits) {
    must(limits != NULL);
    text_key(t, "config");
    if (canonical.n == 0)
        text_lit(t, "{}");
    else if (full)
        js_config_echo(t, canonical, limits);
    else
        text_raw(t, canonical);
}

struct subject_count {
    struct span subject;
    uint64_t msgs;
};

struct subject_list {
    struct subject_count *p;
    size_t n, cap;
    bool failed;
};

static bool list_subject(void *ctx, struct mr_bytes subject, uint64_t msgs, uint64_t first, uint64_t last) {
    must(first <= last || msgs == 0);
    struct subject_list *l = ctx;
    (void)first;
    (void)last;
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 256;
        struct subject_count *p = realloc(l->p, cap * sizeof *p);
        if (!p) {
            l->failed = true;
            return false;
        }
        l->p = p;
        l->cap = cap;
    }
    l->p[l->n++] = (struct subject_count){js_span(subject), msgs};
    return true;
}

static int by_subject(const void *a, const void *b) {
    const struct subject_count *x = a, *y = b;
    size_t n = x->subject.n < y->subject.n ? x->subject.n : y->subject.n;
    int r = memcmp(x->subject.p, y->subject.p, n);
    return r ? r : x->subject.n < y->subject.n ? -1 : x->subject.n > y->subject.n;
}

static void subjects_put(struct text *t, const struct js_stream *s, const struct info_ask *ask) {
    must(ask->subjects.n > 0);
    struct subject_list l = {0};
    mr_subjects(s->engine, js_bytes(ask->subjects), list_subject, &l);
    if (l.failed) t->failed = true;
    if (l.n) {
        qsort(l.p, l.n, sizeof *l.p, by_subject);
        text_key(t, "subjects");
        text_lit(t, "{");
        uint64_t end = ask->offset + INFO_SUBJECTS_MAX;
        for (size_t i = ask->offset; i < l.n && i < end; i++) {
            text_item(t);
            text_str(t, l.p[i].subject);
            text_lit(t, ":");
            text_u64(t, l.p[i].msgs);
        }
        text_lit(t, "}");
    }
    free(l.p);
}

static bool count_subject(void *ctx, struct mr_bytes subject, uint64_t msgs, uint64_t first, uint64_t last) {
    (void)subject;
    (void)msgs;
    (void)first;
    (void)last;
    ++*(uint64_t *)ctx;
    return true;
}

uint64_t info_subjects_count(const struct js_stream *s, struct span filter) {
    must(s->engine != NULL);
    uint64_t n = 0;
    mr_subjects(s->engine, js_bytes(filter), count_subject, &n);
    return n;
}

struct deleted_list {
    struct text *t;
    size_t n;
};

static bool list_deleted(void *ctx, uint64_t seq) {
    must(seq > 0);
    struct deleted_list *l = ctx;
    text_item(l->t);
    text_u64(l->t, seq);
    return ++l->n < INFO_DELETED_MAX;
}

static void deleted_put(struct text *t, const struct js_stream *s) {
    must(s->engine != NULL);
    struct deleted_list l = {t, 0};
    text_key(t, "deleted");
    text_lit(t, "[");
    mr_deleted(s->engine, list_deleted, &l);
    text_lit(t, "]");
}

static void state_put(struct text *t, const struct js_stream *s, const struct info_ask *ask) {
    must(s->engine != NULL);
    struct mr_stream_state st;
    mr_stream_state(s->engine, &st);
    text_key(t, "state");
    text_lit(t, "{");
    text_key_u64(t, "messages", st.msgs);
    text_key_u64(t, "bytes", st.bytes);
    /* matches nats-server: a stream that never had a message begins at 0 */
    text_key_u64(t, "first_seq", st.last_seq == 0 && st.msgs == 0 ? 0 : st.first_seq);
    text_key_time(t, "first_ts", st.msgs ? st.first_ts : 0);
    text_key_u64(t, "last_seq", st.last_seq);
    text_key_time(t, "last_ts", st.last_ts);
    text_opt_u64(t, "num_subjects", st.num_subjects);
    if (ask && ask->subjects.n) subjects_put(t, s, ask);
    text_opt_u64(t, "num_deleted", st.num_deleted);
    if (ask && ask->deleted && st.num_deleted) deleted_put(t, s);
    if (st.lost_msgs) {
        text_key(t, "lost");
        text_lit(t, "{\"msgs\":null");
        text_key_u64(t, "bytes", st.lost_bytes);
        text_lit(t, "}");
    }
    text_key_u64(t, "consumer_count", st.consumers);
    text_lit(t, "}");
}

void info_stream_put(struct text *t, struct js_stream *s, bool full, const struct info_ask *ask) {
    must(s->engine != NULL);
    const struct js *js = s->js;
    struct mr_stream_state st;
    mr_stream_state(s->engine, &st);
    info_config_put(t, js_span(mr_stream_config(s->engine)->extra), full, js->limits);
    text_key_time(t, "created", st.created);
    state_put(t, s, ask);
    if (js->limits->domain && *js->limits->domain) text_key_str(t, "domain", span_str(js->limits->domain));
}

static void sequence_put(struct text *t, const char *key, uint64_t cseq, uint64_t sseq, int64_t last) {
    must(last >= 0);
    text_key(t, key);
    text_lit(t, "{");
    text_key_u64(t, "consumer_seq", cseq);
    text_key_u64(t, "stream_seq", sseq);
    if (last) text_key_time(t, "last_active", last);
    text_lit(t, "}");
}

static void pause_put(struct text *t, const struct js_consumer *c) {
    must(c->engine != NULL);
    int64_t left = js_consumer_paused(c);
    if (left == 0) return;
    text_key_bool(t, "paused", true);
    text_key_i64(t, "pause_remaining", left);
}

void info_consumer_put(struct text *t, struct js_consumer *c, bool full) {
    must(c->engine && c->stream);
    struct js *js = c->stream->js;
    struct mr_consumer_state st;
    const struct mr_consumer_config *cfg = mr_consumer_config(c->engine);
    mr_consumer_state(c->engine, &st);
    text_key_str(t, "stream_name", c->stream->name);
    text_key_str(t, "name", c->name);
    text_key_time(t, "created", st.created);
    info_config_put(t, js_span(cfg->extra), full, js->limits);
    sequence_put(t, "delivered", st.delivered_consumer_seq, st.delivered_stream_seq, st.delivered_last);
    sequence_put(t, "ack_floor", st.floor_consumer_seq, st.floor_stream_seq, st.floor_last);
    text_key_u64(t, "num_ack_pending", st.num_ack_pending);
    text_key_u64(t, "num_redelivered", cfg->max_deliver == 1 ? 0 : st.num_redelivered);
    text_key_u64(t, "num_waiting", js_pulls_sweep(c));
    text_key_u64(t, "num_pending", st.num_pending);
    if (c->push && c->push->active) text_key_bool(t, "push_bound", true);
    pause_put(t, c);
    text_key_time(t, "ts", js_wall(js));
}
