/* Random operations on a stream beside a naive model; and the same stream built again from the records it
 * would have logged, with full records, messages moved, and recycled parts at random places. */
#include "test_stream_model.h"

#include "stream/sound.h"

/* What the log would hold. */
enum entry_kind { E_MSG, E_MOVED, E_DELETE, E_PURGE, E_FULL };
enum { SEGMENT = 24 }; /* entries that are recycled together */
struct entry {
    enum entry_kind kind;
    struct stream_put put;
    char subject[16], id[16];
    uint64_t seq;
    uint8_t *record;
    size_t record_size;
    bool recycled;
};

struct world {
    struct rng rng;
    struct stream st;
    struct model model;
    struct entry *log;
    size_t log_len;
    uint64_t removed, recycled, moved;
    int64_t now;
    bool one_window;
    struct mr_stream_config cfg;
};

static void on_removed(void *ctx, struct stream *st, const struct stream_removed *r) {
    struct world *w = ctx;
    const struct index_entry *e = stream_get(st, r->seq, false);
    CHECK(e && e->loc == r->loc && e->ts == r->ts && e->subject == r->subject);
    CHECK(subjects_at(&st->subjects, r->subject)->count > 0);
    w->removed++;
}

static struct entry *log_entry(struct world *w, enum entry_kind kind) {
    CHECK(w->log_len < MODEL_LOG);
    w->log[w->log_len] = (struct entry){.kind = kind};
    return &w->log[w->log_len++];
}

static void log_record(struct world *w, enum entry_kind kind, const struct codec_buf *b) {
    struct entry *e = log_entry(w, kind);
    e->record = malloc(b->n ? b->n : 1);
    memcpy(e->record, b->p, b->n);
    e->record_size = b->n;
}

/* A message's location is the number of its entry. */
static struct entry *place_of(struct world *w, uint64_t seq) {
    const struct index_entry *e = stream_get(&w->st, seq, false);
    return e ? &w->log[e->loc - 1] : NULL;
}

/* Segments without a message that lives there, before the full record just written. */
static void recycle(struct world *w) {
    for (size_t from = 0; from + SEGMENT < w->log_len; from += SEGMENT) {
        bool wanted = false;
        for (size_t i = from; i < from + SEGMENT; i++)
            wanted |= w->log[i].kind <= E_MOVED && place_of(w, w->log[i].put.seq) == &w->log[i];
        for (size_t i = from; i < from + SEGMENT && !wanted; i++) {
            w->recycled += !w->log[i].recycled;
            w->log[i].recycled = true;
        }
    }
}

static void log_full(struct world *w) {
    struct codec_buf b;
    codec_buf_init(&b);
    CHECK_EQ(codec_stream(&b, &w->st), ERR_OK);
    log_record(w, E_FULL, &b);
    codec_buf_deinit(&b);
    if (rng_below(&w->rng, 2)) recycle(w);
}

/* ------------------------------------------------------------------------------------------------ comparing
 */

static void compare(struct stream *st, struct model *m) {
    for (size_t i = 0; i < m->len; i++) {
        if (m->msgs[i].live == (stream_get(st, m->msgs[i].seq, false) != NULL)) continue;
        fprintf(stderr, "%" PRIu64 " on %s should be %s\n", m->msgs[i].seq,
                model_subjects[m->msgs[i].subject], m->msgs[i].live ? "there" : "gone");
    }
    CHECK(stream_is_sound(st));
    struct mr_stream_state s;
    stream_state(st, &s);
    CHECK_EQ(s.msgs, model_count(m, ""));
    CHECK_EQ(s.bytes, model_bytes(m));
    CHECK_EQ(s.last_seq, m->last);
    CHECK_EQ(s.first_seq, m->first);
    uint64_t subjects = 0;
    for (int i = 0; i < MODEL_SUBJECTS; i++) {
        uint64_t n = model_count(m, model_subjects[i]), first = 0, last = 0;
        subjects += n > 0;
        for (size_t j = 0; j < m->len; j++) {
            if (!m->msgs[j].live || m->msgs[j].subject != i) continue;
            if (!first) first = m->msgs[j].seq;
            last = m->msgs[j].seq;
        }
        uint32_t id = subjects_find(&st->subjects, span_str(model_subjects[i]));
        CHECK_EQ(id != SUBJECT_NONE, n > 0);
        if (n == 0) continue;
        const struct subject *t = subjects_at(&st->subjects, id);
        CHECK_EQ(t->count, n);
        if (t->exact) CHECK_EQ(t->first, first);
        CHECK(t->first <= first);
        CHECK_EQ(t->last, last);
    }
    CHECK_EQ(s.num_subjects, subjects);
    for (size_t i = 0; i < m->len; i++) {
        const struct index_entry *e = stream_get(st, m->msgs[i].seq, false);
        CHECK_EQ(e != NULL, m->msgs[i].live);
        if (e) CHECK_EQ(e->ts, m->msgs[i].ts);
        uint64_t next = e ? stream_next_same(st, m->msgs[i].seq) : 0;
        if (next) CHECK_EQ(stream_prev_same(st, next), m->msgs[i].seq);
    }
}

static const char *pick_filter(struct rng *r) {
    static const char *const filters[] = {"", "a.1", "a.*", "b.>", "c", "*", "d.2", "x.y", "*.1", "e"};
    return filters[rng_below(r, sizeof filters / sizeof filters[0])];
}

static void ask(struct world *w) {
    const char *filter = pick_filter(&w->rng);
    uint64_t from = rng_below(&w->rng, w->model.last + 3), next = 0, last = 0;
    int64_t ts = w->now - (int64_t)rng_below(&w->rng, 300);
    uint64_t at = w->model.last + 1;
    for (size_t i = 0; i < w->model.len; i++) {
        const struct model_msg *m = &w->model.msgs[i];
        if (m->live && m->ts >= ts && at == w->model.last + 1) at = m->seq;
        if (!m->live || !model_match(m, filter)) continue;
        if (m->seq >= from && !next) next = m->seq;
        last = m->seq;
    }
    CHECK_EQ(stream_seq_next(&w->st, from, span_str(filter), false), next);
    CHECK_EQ(stream_seq_last(&w->st, span_str(filter), false), last);
    CHECK_EQ(stream_seq_at(&w->st, ts), at);
    uint64_t visible = w->st.visible_seq;
    CHECK_EQ(stream_seq_next(&w->st, from, span_str(filter), true), next <= visible ? next : 0);
    CHECK(stream_seq_last(&w->st, span_str(filter), true) <= visible);
}

/* ------------------------------------------------------------------------------------------------ operations
 */

static void op_append(struct world *w) {
    struct model *m = &w->model;
    if (m->len == MODEL_MSGS) return;
    static const uint8_t bytes[200];
    struct model_msg g = {.ts = w->now,
                          .subject = (int)rng_below(&w->rng, MODEL_SUBJECTS),
                          .payload = rng_below(&w->rng, 100),
                          .live = true};
    if (rng_below(&w->rng, 3) == 0) g.hdr = 12 + rng_below(&w->rng, 40);
    struct span subject = span_str(model_subjects[g.subject]);
    struct mr_msg msg = {bytes_of_span(subject), {bytes, g.hdr}, {bytes, g.payload}};
    struct mr_append_opts o = {.rollup = w->cfg.allow_rollup && rng_below(&w->rng, 40) == 0
                                             ? (enum mr_rollup)(1 + rng_below(&w->rng, 2))
                                             : MR_ROLLUP_NONE};
    char id[16] = "";
    if (rng_below(&w->rng, 2))
        o.msg_id =
            (struct mr_bytes){(uint8_t *)id, (size_t)sprintf(id, "i%" PRIu64, rng_next(&w->rng) % 100000)};
    struct stream_verdict v;
    stream_admit(&w->st, &msg, &o, w->now, &v);
    if (v.status != MR_OK) {
        CHECK(v.status == MR_DUPLICATE || w->cfg.discard == MR_DISCARD_NEW);
        return;
    }
    CHECK_EQ(v.seq, m->last + 1);
    struct stream_put p = {
        v.seq,   w->log_len + 1, v.ts, subject, span_of_bytes(o.msg_id), g.hdr, g.payload,
        o.rollup};
    struct entry *e = log_entry(w, E_MSG);
    e->put = p;
    strcpy(e->subject, model_subjects[g.subject]);
    strcpy(e->id, id);
    stream_applied(&w->st, &p);
    g.seq = m->last = v.seq;
    m->msgs[m->len++] = g;
    model_limit(m, &w->cfg, model_subjects[g.subject]);
    struct model_msg *put = &m->msgs[m->len - 1];
    if (o.rollup != MR_ROLLUP_NONE && put->live)
        model_purge(m, o.rollup == MR_ROLLUP_ALL ? "" : model_subjects[g.subject], 0, 1);
    if (rng_below(&w->rng, 3)) stream_visible(&w->st, v.seq - rng_below(&w->rng, v.seq < 5 ? v.seq : 5));
}

static void op_delete(struct world *w) {
    uint64_t seq = rng_below(&w->rng, w->model.last + 2);
    struct model_msg *g = model_get(&w->model, seq);
    CHECK_EQ(stream_may_delete(&w->st, seq), g ? MR_OK : MR_NONE);
    if (!g) return;
    log_entry(w, E_DELETE)->seq = seq;
    stream_delete(&w->st, seq);
    g->live = false;
    model_first(&w->model);
}

static void op_purge(struct world *w) {
    const char *filter = pick_filter(&w->rng);
    uint64_t seq = 0, keep = 0;
    if (rng_below(&w->rng, 3) == 0)
        seq = rng_below(&w->rng, w->model.last + (rng_below(&w->rng, 5) ? 2 : 40));
    else
        keep = rng_below(&w->rng, 4) ? rng_below(&w->rng, 30) : 0;
    struct stream_purge p;
    enum mr_status s = stream_plan_purge(&w->st, span_str(filter), seq, keep, &p);
    uint64_t n = 0;
    if (s == MR_OK) {
        struct codec_buf b;
        codec_buf_init(&b);
        CHECK_EQ(codec_purge(&b, &p), ERR_OK);
        log_record(w, E_PURGE, &b);
        codec_buf_deinit(&b);
        n = stream_purge(&w->st, &p);
    } else {
        CHECK_EQ(s, MR_NONE);
    }
    CHECK_EQ(n, model_purge(&w->model, filter, seq, keep));
}

/* Compaction copies messages of a segment, and may be stopped half way. */
static void op_move(struct world *w) {
    const struct model_msg *some = w->model.len ? &w->model.msgs[rng_below(&w->rng, w->model.len)] : NULL;
    if (!some || !some->live) return;
    size_t from = (size_t)(place_of(w, some->seq) - w->log) / SEGMENT * SEGMENT;
    if (from + SEGMENT > w->log_len) return;
    uint64_t most = rng_below(&w->rng, 4) ? SEGMENT : rng_below(&w->rng, SEGMENT);
    for (size_t i = from; i < from + most; i++) {
        struct entry *e = &w->log[i];
        if (e->kind > E_MOVED || place_of(w, e->put.seq) != e || w->log_len + 10 > MODEL_LOG) continue;
        struct entry *to = log_entry(w, E_MOVED);
        to->put = e->put;
        strcpy(to->subject, e->subject);
        strcpy(to->id, e->id);
        to->put.subject = span_str(to->subject);
        to->put.msg_id = span_str(to->id);
        to->put.loc = w->log_len;
        CHECK_EQ(stream_moved(&w->st, &to->put), ERR_OK);
        CHECK(place_of(w, to->put.seq) == to);
        w->moved++;
    }
    if (rng_below(&w->rng, 3)) log_full(w);
}

static void random_config(struct world *w) {
    struct rng *r = &w->rng;
    w->cfg.max_msgs = rng_below(r, 2) ? (int64_t)(1 + rng_below(r, 300)) : -1;
    w->cfg.max_bytes = rng_below(r, 2) ? (int64_t)(200 + rng_below(r, 20000)) : -1;
    w->cfg.max_msgs_per_subject =
        rng_below(r, 2) ? (int64_t)(1 + rng_below(r, rng_below(r, 4) ? 30 : 400)) : -1;
    w->cfg.max_age_ns = rng_below(r, 2) ? (int64_t)(20 + rng_below(r, 500)) : 0;
    w->cfg.discard = rng_below(r, 4) ? MR_DISCARD_OLD : MR_DISCARD_NEW;
    w->cfg.allow_rollup = rng_below(r, 2);
    if (!w->one_window || w->log_len == 0)
        w->cfg.duplicate_window_ns = rng_below(r, 2) ? 1000 * 1000 * 1000 : 0;
}

static void op_update(struct world *w) {
    random_config(w);
    CHECK_EQ(stream_update(&w->st, &w->cfg, w->now), MR_OK);
    model_limit(&w->model, &w->cfg, NULL);
    model_expire(&w->model, &w->cfg, w->now);
    log_full(w);
}

/* ------------------------------------------------------------------------------------------------ recovery
 */

static void replay(struct world *w, struct stream *to) {
    stream_init_blank(to, model_secret, NULL);
    for (size_t i = 0; i < w->log_len; i++) {
        struct entry *e = &w->log[i];
        if (e->recycled && i && !w->log[i - 1].recycled) stream_gap(to);
        if (e->recycled) continue;
        e->put.subject = span_str(e->subject);
        e->put.msg_id = span_str(e->id);
        enum err r = ERR_OK;
        if (e->kind == E_MSG)
            r = stream_replay(to, &e->put);
        else if (e->kind == E_MOVED)
            r = stream_moved(to, &e->put);
        else if (e->kind == E_DELETE)
            stream_replay_delete(to, e->seq);
        else if (e->kind == E_PURGE)
            r = stream_replay_purge(to, span_of(e->record, e->record_size));
        else
            r = stream_load(to, span_of(e->record, e->record_size));
        CHECK_EQ(r, ERR_OK);
    }
}

static void recover(struct world *w) {
    struct stream copy;
    replay(w, &copy);
    CHECK_EQ(stream_recovered(&copy, w->now), ERR_OK);
    CHECK_EQ(copy.lost_msgs, 0);
    stream_expire(&copy, w->now, SIZE_MAX);
    stream_expire(&w->st, w->now, SIZE_MAX);
    model_expire(&w->model, &w->cfg, w->now);
    compare(&copy, &w->model);
    for (size_t i = 0; i < w->model.len; i++) {
        uint64_t at = w->model.msgs[i].seq;
        const struct index_entry *x = stream_get(&copy, at, false);
        if (x) CHECK_EQ(x->loc, (uint64_t)(place_of(w, at) - w->log) + 1);
    }
    dedupe_expire(&w->st.dedupe, w->now);
    /* Ids that a change of the window made the live stream forget may come back with their messages. */
    CHECK(copy.dedupe.len >= w->st.dedupe.len);
    if (w->one_window) CHECK_EQ(copy.dedupe.len, w->st.dedupe.len);
    uint32_t at = 0;
    struct dedupe_key k;
    uint64_t seq;
    int64_t ts;
    while (dedupe_next(&w->st.dedupe, &at, &k, &seq, &ts))
        CHECK_EQ(dedupe_find(&copy.dedupe, k, w->now), dedupe_find(&w->st.dedupe, k, w->now));
    CHECK_MEM(copy.last_id, copy.last_id_len, w->st.last_id, w->st.last_id_len);
    CHECK_EQ(copy.last_ts, w->st.last_ts);
    stream_deinit(&copy);
}

static void step(struct world *w) {
    uint64_t op = rng_below(&w->rng, 1000);
    w->now += (int64_t)rng_below(&w->rng, 3);
    if (op < 600)
        op_append(w);
    else if (op < 700)
        op_delete(w);
    else if (op < 720)
        op_purge(w);
    else if (op < 900)
        ask(w);
    else if (op < 905)
        op_update(w);
    else if (op < 910)
        log_full(w);
    else if (op < 915)
        recover(w);
    else if (op < 940)
        op_move(w);
    else
        stream_expire(&w->st, w->now, SIZE_MAX), model_expire(&w->model, &w->cfg, w->now);
}

static uint64_t recycled, moved;

static void run(uint64_t seed) {
    static struct world w;
    w = (struct world){.rng = {seed}, .now = 1000, .one_window = seed % 2};
    w.log = calloc(MODEL_LOG, sizeof *w.log);
    static const struct mr_bytes subjects[] = {{(const uint8_t *)">", 1}};
    w.cfg = (struct mr_stream_config){
        .size = sizeof w.cfg, .name = {(const uint8_t *)"S", 1}, .subjects = subjects, .subjects_count = 1};
    w.cfg.first_seq = rng_below(&w.rng, 2) ? 1 + rng_below(&w.rng, 5000) : 0;
    random_config(&w);
    struct stream_hooks hooks = {on_removed, &w};
    CHECK_EQ(stream_init(&w.st, &w.cfg, 5, model_secret, &hooks), ERR_OK);
    w.model.first = w.st.first_seq;
    w.model.last = w.st.last_seq;
    log_full(&w);
    for (int i = 0; i < 2500; i++) {
        step(&w);
        if (i % 100 == 0) compare(&w.st, &w.model);
    }
    recover(&w);
    recycled += w.recycled;
    moved += w.moved;
    stream_deinit(&w.st);
    for (size_t i = 0; i < w.log_len; i++) free(w.log[i].record);
    free(w.log);
}

static void random_operations(void) {
    for (uint64_t seed = 1; seed <= 40; seed++) run(seed);
    CHECK(recycled > 10000);
    CHECK(moved > 5000);
}

int main(int argc, char **argv) {
    static const struct check_case cases[] = {CASE(random_operations)};
    if (argc > 2) return run(strtoull(argv[2], NULL, 10)), 0; /* one seed: test_stream_model seed N */
    return check_main(argc, argv, cases, 1);
}
