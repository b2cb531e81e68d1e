/* Checkpoints of a stream: random operations, with cuts at random moments that are written while the stream
 * goes on, some given up; now and then the stream is opened from the last finished cut and the log behind
 * it, compared with the one that went on, and takes its place. The cache is as small as it can be, so that
 * entries come and go all the time; images are handed out once and die only when they are told dead. */
#include "base/rng.h"
#include "lib/check.h"
#include "stream/codec.h"
#include "stream/page_core.h"
#include "stream/sound.h"
#include "stream/stream_core.h"

enum { LOG_MAX = 400000, IMAGES_MAX = 200000, SUBJECTS = 3000, NO_ROOT = -1 };

enum kind { E_MSG, E_MOVED, E_DELETE, E_PURGE, E_FULL };
struct entry {
    enum kind kind;
    struct stream_put put;
    uint32_t name, id;
    uint64_t seq;
    uint8_t *record;
    size_t record_size;
};

struct image {
    struct page_key key;
    uint8_t *p;
    size_t n;
    bool live, seen;
};

struct world {
    struct rng rng;
    struct stream *st;
    struct page_cache cache;
    struct page_host host;
    struct mr_stream_config cfg;
    struct entry *log;
    size_t log_len;
    struct image *images; /* by location */
    uint64_t images_len;
    uint32_t damage, forget; /* one in so many loads fails; one in so many records is not found again */
    uint64_t loc, lost;
    int64_t now;
    size_t cut_at, root_at;
    uint8_t *root;
    size_t root_size;
    uint32_t wanted, rebuilt;
    bool strange; /* places are not what was given */
};

static const uint8_t secret[16] = {3, 1, 4};
static struct world w;

static bool one_in(uint32_t n) { return n && rng_below(&w.rng, n) == 0; }

static struct span name_of(uint32_t i, char *buf) {
    return span_of(buf, (size_t)sprintf(buf, "orders.%u.%s", i, i % 3 ? "x" : "a-longer-name"));
}

static struct span put_spans(const struct entry *e, struct stream_put *p, char *name, char *id) {
    *p = e->put;
    p->subject = name_of(e->name, name);
    if (e->id) p->msg_id = span_of(id, (size_t)sprintf(id, "id-%u", e->id));
    return p->subject;
}

/* ------------------------------------------------------------------------------------------------ the owner
 */

static enum err load(void *ctx, struct stream *st, struct page_key key, uint64_t loc, uint32_t size,
                     struct span *image) {
    (void)ctx;
    (void)st;
    if (w.strange && (loc >= w.images_len || w.images[loc].n != size ||
                      w.images[loc].key.number != key.number || w.images[loc].key.kind != key.kind))
        return ERR_NONE;
    CHECK(loc > 0 && loc < w.images_len);
    const struct image *i = &w.images[loc];
    CHECK(i->live);
    CHECK_EQ(i->n, size);
    CHECK_EQ(i->key.kind, key.kind);
    CHECK_EQ(i->key.number, key.number);
    if (key.kind == PAGE_INDEX && one_in(w.damage)) return ERR_CORRUPT;
    *image = span_of(i->p, i->n);
    return ERR_OK;
}

static void want(void *ctx, struct stream *st, struct page_key key, uint64_t loc, uint32_t size) {
    (void)ctx;
    CHECK(loc < w.images_len && w.images[loc].n == size && key.kind == PAGE_INDEX && st);
    w.wanted++;
}

static void rebuild(void *ctx, struct stream *st, uint64_t from, uint64_t to, uint64_t low, uint64_t high) {
    (void)ctx;
    char name[64], id[32];
    w.rebuilt++;
    for (size_t i = 0; i < w.log_len; i++) {
        const struct entry *e = &w.log[i];
        struct stream_put p;
        if (e->kind > E_MOVED || e->put.seq < from || e->put.seq > to) continue;
        if (e->put.loc >> 32 < low || e->put.loc >> 32 > high || one_in(w.forget)) continue;
        put_spans(e, &p, name, id);
        stream_rebuilt(st, &p);
    }
}

static void image_dead(void *ctx, struct page_key key, uint64_t loc, uint32_t size) {
    (void)ctx;
    struct image *i = &w.images[loc];
    CHECK(i->live && i->n == size && i->key.kind == key.kind && i->key.number == key.number);
    i->live = false;
    free(i->p);
    i->p = NULL;
}

static void image_seen(void *ctx, struct page_key key, uint64_t loc, uint32_t size) {
    (void)ctx;
    struct image *i = &w.images[loc];
    CHECK(i->live && !i->seen && i->n == size && i->key.kind == key.kind);
    i->seen = true;
}

/* The stream knows every image there is, each once; behind a restart others may be left over. */
static void check_images(struct stream *st, bool others) {
    stream_images(st, image_seen, NULL);
    for (uint64_t loc = 1; loc < w.images_len; loc++) {
        struct image *i = &w.images[loc];
        if (i->live && !i->seen) {
            CHECK(others);
            image_dead(NULL, i->key, loc, (uint32_t)i->n);
        }
        i->seen = false;
    }
}

/* ------------------------------------------------------------------------------------------------ comparing
 */

static void compare(struct stream *a, struct stream *b) {
    struct mr_stream_state x, y;
    CHECK(stream_is_sound(a));
    CHECK(stream_is_sound(b));
    stream_state(a, &x);
    stream_state(b, &y);
    y.visible_seq = x.visible_seq;
    CHECK(memcmp(&x, &y, sizeof x) == 0);
    CHECK_MEM(a->last_id, a->last_id_len, b->last_id, b->last_id_len);
    CHECK_EQ(a->subjects.listed, b->subjects.listed);
    for (uint64_t seq = x.first_seq; seq <= x.last_seq; seq++) {
        const struct index_entry *e = stream_get(a, seq, false), *f = stream_get(b, seq, false);
        CHECK_EQ(e != NULL, f != NULL);
        if (!e) continue;
        CHECK(e->loc == f->loc && e->ts == f->ts && e->size == f->size);
        struct span n = subjects_name(&a->subjects, e->subject), m = subjects_name(&b->subjects, f->subject);
        CHECK(span_eq(n, m));
    }
    for (uint32_t at = 0, id; (id = subjects_next(&a->subjects, SPAN_EMPTY, &at)) != SUBJECT_NONE;) {
        uint32_t other = subjects_find(&b->subjects, subjects_name(&a->subjects, id));
        CHECK(other != SUBJECT_NONE);
        const struct subject *s = subjects_at(&a->subjects, id), *t = subjects_at(&b->subjects, other);
        CHECK(s->count == t->count && s->last == t->last);
        if (id % 16 == 0) CHECK_EQ(stream_first_same(a, id), stream_first_same(b, other));
    }
    dedupe_expire(&a->dedupe, w.now);
    dedupe_expire(&b->dedupe, w.now);
    CHECK_EQ(a->dedupe.len, b->dedupe.len);
    uint32_t at = 0;
    struct dedupe_key k;
    uint64_t seq;
    int64_t ts;
    while (dedupe_next(&a->dedupe, &at, &k, &seq, &ts)) CHECK_EQ(dedupe_find(&b->dedupe, k, w.now), seq);
}

/* ------------------------------------------------------------------------------------------------ operations
 */

static struct entry *log_entry(enum kind kind) {
    CHECK(w.log_len < LOG_MAX);
    w.log[w.log_len] = (struct entry){.kind = kind};
    return &w.log[w.log_len++];
}

static void log_record(enum kind kind, const struct codec_buf *b) {
    struct entry *e = log_entry(kind);
    e->record = malloc(b->n + 1);
    memcpy(e->record, b->p, b->n);
    e->record_size = b->n;
}

static void log_full(void) {
    struct codec_buf b;
    codec_buf_init(&b);
    CHECK_EQ(codec_stream(&b, w.st), ERR_OK);
    log_record(E_FULL, &b);
    codec_buf_deinit(&b);
}

static uint64_t next_loc(void) {
    w.loc += 1 + rng_below(&w.rng, 5000);
    if (one_in(3000)) w.loc = ((w.loc >> 32) + 1) << 32;
    return w.loc;
}

static void append(uint32_t subjects) {
    static const uint8_t bytes[300];
    char name[64], id[32];
    w.now += (int64_t)rng_below(&w.rng, 3);
    uint32_t n = (uint32_t)rng_below(&w.rng, subjects),
             known = one_in(3) ? 1 + (uint32_t)rng_below(&w.rng, 1u << 30) : 0;
    struct mr_msg m = {
        bytes_of_span(name_of(n, name)), {bytes, one_in(3) ? 20 : 0}, {bytes, rng_below(&w.rng, 200)}};
    struct mr_append_opts o = {.rollup = one_in(2000) ? MR_ROLLUP_SUBJECT : MR_ROLLUP_NONE};
    if (known) o.msg_id = (struct mr_bytes){(uint8_t *)id, (size_t)sprintf(id, "id-%u", known)};
    struct stream_verdict v;
    stream_admit(w.st, &m, &o, w.now, &v);
    if (v.status != MR_OK) return;
    struct entry *e = log_entry(E_MSG);
    e->name = n;
    e->id = known;
    e->put = (struct stream_put){.seq = v.seq,
                                 .loc = next_loc(),
                                 .ts = v.ts,
                                 .hdr_size = m.hdr.n,
                                 .payload_size = m.payload.n,
                                 .rollup = o.rollup};
    struct stream_put p;
    put_spans(e, &p, name, id);
    stream_applied(w.st, &p);
    stream_visible(w.st, v.seq);
}

static uint64_t any_seq(void) {
    uint64_t n = w.st->last_seq + 1 - w.st->first_seq;
    return n ? index_next(&w.st->index, w.st->first_seq + rng_below(&w.rng, n), w.st->last_seq) : 0;
}

static void delete_some(void) {
    uint64_t seq = any_seq();
    for (uint64_t n = rng_below(&w.rng, 300); n > 0 && seq; n--) {
        log_entry(E_DELETE)->seq = seq;
        stream_delete(w.st, seq);
        seq = one_in(10) ? any_seq() : index_next(&w.st->index, seq, w.st->last_seq);
    }
}

static void move_some(void) {
    uint64_t seq = any_seq();
    char name[64];
    for (uint64_t n = rng_below(&w.rng, 200); n > 0 && seq; n--) {
        const struct index_entry *x = stream_get(w.st, seq, false);
        struct span s = subjects_name(&w.st->subjects, x->subject);
        uint32_t i = (uint32_t)strtoul((const char *)s.p + 7, NULL, 10);
        struct entry *e = log_entry(E_MOVED);
        e->name = i;
        size_t hdr = x->size & INDEX_HAS_HDR ? 20 : 0, body = (x->size & ~INDEX_HAS_HDR) - s.n - hdr;
        e->put = (struct stream_put){
            .seq = seq, .loc = next_loc(), .ts = x->ts, .hdr_size = hdr, .payload_size = body};
        struct stream_put p;
        put_spans(e, &p, name, NULL);
        CHECK_EQ(stream_moved(w.st, &p), ERR_OK);
        seq = one_in(10) ? any_seq() : index_next(&w.st->index, seq + 1, w.st->last_seq);
    }
}

static void purge(void) {
    char name[64];
    struct span filter =
        one_in(3) ? SPAN_LIT("orders.*.x") : name_of((uint32_t)rng_below(&w.rng, SUBJECTS), name);
    if (one_in(20)) filter = SPAN_EMPTY;
    struct stream_purge p;
    uint64_t keep = rng_below(&w.rng, 2) ? w.st->msgs / 2 : 0,
             seq = keep ? 0 : w.st->first_seq + w.st->msgs / 4;
    if (stream_plan_purge(w.st, filter, seq, keep, &p) != MR_OK) return;
    struct codec_buf b;
    codec_buf_init(&b);
    CHECK_EQ(codec_purge(&b, &p), ERR_OK);
    log_record(E_PURGE, &b);
    codec_buf_deinit(&b);
    stream_purge(w.st, &p);
}

static void configure(void) {
    static const int64_t per_subject[] = {-1, -1, 1, 2, 3, 20, 300};
    w.cfg.max_msgs = one_in(2) ? -1 : (int64_t)(8000 + rng_below(&w.rng, 20000));
    w.cfg.max_msgs_per_subject = per_subject[rng_below(&w.rng, 7)];
    w.cfg.max_age_ns = one_in(2) ? 0 : 30000;
    w.cfg.allow_rollup = true;
    w.cfg.duplicate_window_ns = 1000 * 1000 * 1000;
}

static void reconfigure(void) {
    configure();
    CHECK_EQ(stream_update(w.st, &w.cfg, w.now), MR_OK);
    log_full();
}

static void ask(void) {
    uint64_t seq = any_seq();
    char name[64];
    if (!seq) return;
    const struct index_entry *e = stream_get(w.st, seq, false);
    CHECK(e && e->loc);
    int64_t ts = e->ts;
    uint64_t at = stream_seq_at(w.st, ts), next = stream_next_same(w.st, seq);
    CHECK(at && at <= seq && stream_get(w.st, at, false)->ts == ts);
    if (next) CHECK_EQ(stream_prev_same(w.st, next), seq);
    struct span n = name_of((uint32_t)rng_below(&w.rng, SUBJECTS), name);
    uint64_t first = stream_seq_next(w.st, seq, n, false), last = stream_seq_last(w.st, n, false);
    CHECK(first ? first >= seq && last >= first : last < seq);
}

/* Questions whose answers depend on what was lost: they only have to end. */
static void ask_anything(uint64_t seq) {
    char name[64];
    struct span n = name_of((uint32_t)rng_below(&w.rng, SUBJECTS), name);
    struct stream_purge p;
    (void)stream_seq_next(w.st, seq, n, false);
    (void)stream_seq_next(w.st, seq, SPAN_LIT("orders.*.x"), false);
    (void)stream_seq_last(w.st, n, false);
    enum mr_status s = stream_plan_purge(w.st, n, 0, 1 + rng_below(&w.rng, 3), &p);
    CHECK(s == MR_OK || s == MR_NONE);
    if (stream_has(w.st, seq, false)) (void)stream_next_same(w.st, seq), (void)stream_prev_same(w.st, seq);
}

/* ------------------------------------------------------------------------------------------------ cuts */

static void write_some(uint64_t n) {
    struct codec_buf b;
    codec_buf_init(&b);
    for (; n > 0; n--) {
        struct page_key key;
        enum err e = stream_cut_next(w.st, &b, &key);
        if (e == ERR_OK) {
            CHECK(w.images_len < IMAGES_MAX);
            CHECK(key.kind > PAGE_GROUP || b.n <= PAGE_IMAGE_MAX);
            struct image *i = &w.images[w.images_len];
            *i = (struct image){.key = key, .p = malloc(b.n), .n = b.n, .live = true};
            memcpy(i->p, b.p, b.n);
            stream_cut_placed(w.st, key, w.images_len++, (uint32_t)b.n);
            continue;
        }
        CHECK_EQ(e, ERR_NONE);
        CHECK_EQ(stream_cut_head(w.st, &b), ERR_OK);
        free(w.root);
        w.root = malloc(b.n);
        memcpy(w.root, b.p, b.n);
        w.root_size = b.n;
        w.root_at = w.cut_at;
        stream_cut_end(w.st, true, image_dead, NULL);
        check_images(w.st, false);
        break;
    }
    codec_buf_deinit(&b);
}

static void cut_or_write(void) {
    if (!w.st->pages.cut) {
        CHECK_EQ(stream_cut(w.st), ERR_OK);
        CHECK(!stream_changed(w.st));
        w.cut_at = w.log_len;
    } else if (one_in(40)) {
        stream_cut_end(w.st, false, NULL, NULL);
        CHECK(stream_changed(w.st));
        check_images(w.st, false);
    } else {
        write_some(1 + rng_below(&w.rng, 20));
    }
}

static void renew(void) {
    if (w.images_len < 2) return;
    uint64_t loc = 1 + rng_below(&w.rng, w.images_len - 1);
    bool known = stream_page_renew(w.st, w.images[loc].key, loc);
    CHECK_EQ(known, w.images[loc].live);
}

/* ------------------------------------------------------------------------------------------------ opening
 */

static void replay(struct stream *to, size_t from) {
    char name[64], id[32];
    for (size_t i = from; i < w.log_len; i++) {
        struct entry *e = &w.log[i];
        struct stream_put p;
        put_spans(e, &p, name, id);
        enum err r = ERR_OK;
        switch (e->kind) {
        case E_MSG: r = stream_replay(to, &p); break;
        case E_MOVED: r = stream_moved(to, &p) == ERR_CORRUPT ? ERR_CORRUPT : ERR_OK; break;
        case E_DELETE: stream_replay_delete(to, e->seq); break;
        case E_PURGE: r = stream_replay_purge(to, span_of(e->record, e->record_size)); break;
        case E_FULL: r = stream_load(to, span_of(e->record, e->record_size)); break;
        }
        CHECK_EQ(r, ERR_OK);
    }
}

static void open_again(void) {
    if (!w.root) return;
    if (w.st->pages.cut) stream_cut_end(w.st, false, NULL, NULL);
    struct stream *st = malloc(sizeof *st), ref;
    stream_init_blank(st, secret, NULL);
    stream_set_pages(st, &w.host, &w.cache);
    CHECK_EQ(stream_load_head(st, span_of(w.root, w.root_size)), ERR_OK);
    replay(st, w.root_at);
    CHECK_EQ(stream_recovered(st, w.now), ERR_OK);
    stream_expire(st, w.now, SIZE_MAX);
    stream_expire(w.st, w.now, SIZE_MAX);
    compare(w.st, st);
    if (one_in(4)) {
        stream_init_blank(&ref, secret, NULL);
        replay(&ref, 0);
        CHECK_EQ(stream_recovered(&ref, w.now), ERR_OK);
        stream_expire(&ref, w.now, SIZE_MAX);
        compare(&ref, st);
        stream_deinit(&ref);
    }
    stream_deinit(w.st);
    free(w.st);
    w.st = st;
    check_images(st, true);
}

static void set_up(uint64_t seed) {
    static const struct mr_bytes subjects[] = {{(const uint8_t *)">", 1}};
    w = (struct world){.rng = {seed}, .now = 1000, .loc = 1ull << 32, .images_len = 1};
    w.cfg = (struct mr_stream_config){
        .size = sizeof w.cfg, .name = {(const uint8_t *)"S", 1}, .subjects = subjects, .subjects_count = 1};
    w.log = malloc(LOG_MAX * sizeof *w.log);
    w.images = calloc(IMAGES_MAX, sizeof *w.images);
    w.host = (struct page_host){load, want, rebuild, NULL};
    page_cache_init(&w.cache, 0);
    w.st = malloc(sizeof *w.st);
    configure();
    CHECK_EQ(stream_init(w.st, &w.cfg, 5, secret, NULL), ERR_OK);
    stream_set_pages(w.st, &w.host, &w.cache);
    log_full();
}

static void tear_down(void) {
    stream_deinit(w.st);
    CHECK_EQ(w.cache.pages, 0);
    CHECK_EQ(w.cache.bytes, 0);
    free(w.st);
    for (size_t i = 0; i < w.log_len; i++)
        if (w.log[i].kind >= E_PURGE) free(w.log[i].record);
    for (uint64_t i = 0; i < w.images_len; i++) free(w.images[i].p);
    free(w.images);
    free(w.log);
    free(w.root);
}

static void step(void) {
    uint64_t op = rng_below(&w.rng, 1000);
    uint32_t subjects = one_in(2) ? SUBJECTS : 20;
    if (op < 300)
        for (uint64_t n = rng_below(&w.rng, 600); n > 0; n--) append(subjects);
    else if (op < 400)
        delete_some();
    else if (op < 450)
        move_some();
    else if (op < 455)
        purge();
    else if (op < 600)
        ask();
    else if (op < 900)
        cut_or_write();
    else if (op < 950)
        renew();
    else if (op < 965)
        open_again();
    else if (op < 970)
        reconfigure();
    else if (op < 972)
        log_full();
    else
        stream_expire(w.st, w.now, SIZE_MAX);
}

static void run(uint64_t seed, int steps, uint32_t damage) {
    set_up(seed);
    w.damage = damage;
    for (int i = 0; i < steps && w.log_len < LOG_MAX - 30000; i++) step();
    while (!w.st->pages.cut) cut_or_write();
    write_some(UINT64_MAX);
    open_again();
    tear_down();
}

static void random_cuts(void) {
    uint64_t loads = 0, evictions = 0;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        run(seed, 600, 0);
        loads += w.cache.loads;
        evictions += w.cache.evictions;
    }
    CHECK(loads > 1000 && evictions > 1000);
}

/* Index pages that cannot be read are made anew from the messages. */
static void damaged_pages(void) {
    uint32_t rebuilt = 0;
    for (uint64_t seed = 100; seed < 106; seed++) {
        run(seed, 400, 30);
        rebuilt += w.rebuilt;
    }
    CHECK(rebuilt > 20);
}

/* Records that are not found again either are lost, each counted once, and what is left fits together. */
static void lost_messages(void) {
    uint64_t lost = 0;
    for (uint64_t seed = 200; seed < 206; seed++) {
        set_up(seed);
        w.cfg.max_msgs = w.cfg.max_msgs_per_subject = -1;
        w.cfg.allow_rollup = false;
        w.cfg.max_age_ns = 0;
        CHECK_EQ(stream_update(w.st, &w.cfg, w.now), MR_OK);
        for (int i = 0; i < 30000; i++) append(SUBJECTS);
        cut_or_write();
        write_some(UINT64_MAX);
        w.damage = 5;
        w.forget = 300;
        uint64_t msgs = w.st->msgs, gone = 0;
        for (int i = 0; i < 300; i++) {
            uint64_t op = rng_below(&w.rng, 4), seq = any_seq(), before = w.st->msgs;
            ask_anything(seq);
            if (op == 0 && stream_has(w.st, seq, false)) {
                uint64_t known = w.st->lost_msgs;
                stream_delete(w.st, seq);
                gone += before - w.st->msgs - (w.st->lost_msgs - known);
            }
            uint64_t last = w.st->last_seq;
            append(SUBJECTS);
            msgs += w.st->last_seq - last;
            CHECK_EQ(w.st->msgs + gone + w.st->lost_msgs, msgs);
        }
        w.damage = 0;
        CHECK_EQ(stream_cut(w.st), ERR_OK);
        CHECK(stream_is_sound(w.st));
        write_some(UINT64_MAX);
        CHECK_EQ(w.st->msgs + gone + w.st->lost_msgs, msgs);
        lost += w.st->lost_msgs;
        tear_down();
    }
    CHECK(lost > 50);
}

/* Whatever the bytes, opening ends: well, or with a word. */
static void damaged_bytes(void) {
    uint64_t refused = 0;
    for (uint64_t seed = 300; seed < 303; seed++) {
        set_up(seed);
        for (int i = 0; i < 6000; i++) append(i % 2 ? SUBJECTS : 20);
        delete_some();
        cut_or_write();
        write_some(UINT64_MAX);
        w.strange = true;
        for (int i = 0; i < 400; i++) {
            uint64_t loc = 1 + rng_below(&w.rng, w.images_len - 1);
            uint8_t *p = one_in(4) ? w.root : w.images[loc].p,
                    *at = p + rng_below(&w.rng, p == w.root ? w.root_size : w.images[loc].n);
            uint8_t was = *at;
            uint32_t value = one_in(2) ? (uint32_t)rng_next(&w.rng) : was ^ 1u << rng_below(&w.rng, 8);
            *at = (uint8_t)(value & 0xff);
            struct stream st;
            stream_init_blank(&st, secret, NULL);
            stream_set_pages(&st, &w.host, &w.cache);
            enum err e = stream_load_head(&st, span_of(w.root, w.root_size));
            CHECK(e == ERR_OK || e == ERR_CORRUPT || e == ERR_NONE || e == ERR_NOMEM);
            refused += e != ERR_OK;
            stream_deinit(&st);
            *at = was;
        }
        tear_down();
    }
    CHECK(refused > 100);
}

int main(int argc, char **argv) {
    static const struct check_case cases[] = {CASE(random_cuts), CASE(damaged_pages), CASE(lost_messages),
                                              CASE(damaged_bytes)};
    if (argc > 2) return run(strtoull(argv[2], NULL, 10), 600, argc > 3 ? 30 : 0), 0; /* one seed */
    return check_main(argc, argv, cases, 4);
}
