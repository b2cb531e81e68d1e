/* verify_log.c - one log of a folder that is verified.
 *
 * Happy path: the log is opened as ever, by its newest checkpoint, so that what it serves is known. Beside it
 * the store reads the same log a second time, all of it from the beginning: every record that verifies and is
 * the one that an index names is ticked off, a thousand sequences to a counter; every place that does not
 * verify is told at once, with the names the first opening has. At the end the counters must say as much as
 * the indexes. Where one does not, its messages are read one by one, and those that are not there are told.
 *
 * Memory is bounded by what the opened log may use, plus a counter for each thousand messages. Whatever does
 * not read is a finding; only memory ends the check. */
#include "verify.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/must.h"
#include "store/frame.h"

enum { CHUNK_BITS = 10, NAMED_MAX = 1 << 16 };

/* Full records of a stream or consumer: how many say the same as the newest. */
struct copies {
    uint64_t config;
    unsigned count;
};

struct log_check {
    struct verifier *v;
    uint32_t log;
    struct mr_shard *sh; /* NULL: the log does not open */
    struct shard_log *l;
    struct map_u64 chunks; /* messages ticked off, by stream and chunk; the value is the count */
    struct map_u64 named;  /* messages told as lost where they lay */
    struct map_u64 copies; /* by stream and consumer; struct copies */
    char file[32];
    bool no_memory;
};

static const char *const kinds[REC_KIND_END] = {
    [REC_MESSAGE] = "message",
    [REC_FRAGMENT] = "fragment of a record",
    [REC_MOVED] = "message (moved)",
    [REC_DELETE] = "deletion of a message",
    [REC_PURGE] = "purge",
    [REC_STREAM] = "stream configuration",
    [REC_STREAM_GONE] = "deletion of a stream",
    [REC_CONSUMER] = "consumer configuration",
    [REC_CONSUMER_GONE] = "deletion of a consumer",
    [REC_PROGRESS] = "progress of a consumer",
    [REC_CHECKPOINT] = "message id or directory",
    [REC_PAGE] = "page of a checkpoint",
    [REC_ROOT] = "root of a checkpoint",
};

static uint64_t key_of(uint64_t a, uint64_t b) { return mix64(a + 1 + mix64(b + 1)) >> 1; }

/* Of a stream (no name) or a consumer of it. */
static uint64_t copies_key(uint32_t stream, struct span consumer) {
    return key_of(stream, consumer.n ? hash_bytes(consumer.p, consumer.n, 0) : 0);
}

static const char *file_name(struct log_check *c, const char *in_log) {
    char log[ENV_LOG_NAME];
    env_log_name(c->log, log);
    snprintf(c->file, sizeof c->file, "%s/%.15s", log, in_log);
    return c->file;
}

static struct mr_stream *stream_at(const struct log_check *c, uint32_t number) {
    return c->l && number ? map_u64_get(&c->l->streams, number) : NULL;
}

static struct mr_bytes name_of(const struct mr_stream *s) {
    return s && !s->st.blank ? s->st.conf.c.name : (struct mr_bytes){0};
}

static void tell(struct log_check *c, struct mr_finding f) {
    f.log = c->log;
    verify_tell(c->v, &f);
}

/* --- ticking off --- */

static bool is_message(uint8_t kind) { return kind == REC_MESSAGE || kind == REC_MOVED; }

/* Is r what the index has at this sequence? */
static bool is_indexed(const struct mr_stream *s, const struct index_entry *x, const struct rec *r) {
    must(x->loc != 0);
    if (!is_message(r->kind) || r->stream != s->number || r->ts != x->ts) return false;
    size_t body = r->subject.n + r->hdr.n + r->payload.n;
    if (body != (x->size & ~(uint32_t)INDEX_HAS_HDR) || x->subject == SUBJECT_NONE) return false;
    return span_eq(subjects_name(&s->st.subjects, x->subject), r->subject);
}

static void count_chunk(struct log_check *c, uint32_t stream, uint64_t seq) {
    uint64_t key = key_of(stream, seq >> CHUNK_BITS);
    uintptr_t n = (uintptr_t)map_u64_get(&c->chunks, key);
    must(n <= (uintptr_t)1 << CHUNK_BITS);
    if (map_u64_put(&c->chunks, key, (void *)(n + 1))) c->no_memory = true; /* NOLINT: a count */
}

static void tick_off(struct log_check *c, const struct rec *r, uint64_t loc) {
    struct mr_stream *s = stream_at(c, r->stream);
    must(loc != 0);
    if (!s) return;
    const struct index_entry *x = stream_get(&s->st, r->seq, false);
    if (x && x->loc == loc && is_indexed(s, x, r)) count_chunk(c, r->stream, r->seq);
}

static void note_copy(struct log_check *c, const struct rec *r) {
    uint64_t key = copies_key(r->stream, r->kind == REC_CONSUMER ? r->subject : SPAN_EMPTY);
    uint64_t config = codec_config_hash(r->payload);
    struct copies *k = map_u64_get(&c->copies, key);
    if (!k) {
        k = calloc(1, sizeof *k);
        if (!k || map_u64_put(&c->copies, key, k)) {
            free(k);
            c->no_memory = true;
            return;
        }
    }
    k->count = k->config == config ? k->count + 1 : 1;
    k->config = config;
}

static void on_record(void *ctx, const struct rec *r, uint64_t loc) {
    struct log_check *c = ctx;
    must(r->kind > 0 && r->kind < REC_KIND_END);
    c->v->out->records++;
    if (is_message(r->kind) && !(r->flags & REC_F_SKIPPED)) tick_off(c, r, loc);
    if (r->kind == REC_STREAM || r->kind == REC_CONSUMER) note_copy(c, r);
}

static void on_progress(void *ctx, uint64_t done, uint64_t total) {
    struct log_check *c = ctx;
    must(done <= total);
    verify_progress(c->v, done);
}

/* --- damaged places --- */

static bool is_missing(const struct mr_stream *s, uint64_t seq) {
    for (size_t i = 0; i < s->missing.len; i++)
        if (seq >= s->missing.at[i].from && seq <= s->missing.at[i].to) return true;
    return false;
}

/* Was this the only copy of a message that should be there? */
static bool is_loss(const struct mr_stream *s, const struct store_damage *d) {
    must(d->seq > 0);
    const struct index_entry *x = stream_get(&s->st, d->seq, false);
    if (x) return x->loc == loc_of(d->segno, d->off);
    return is_missing(s, d->seq);
}

static void on_damaged(void *ctx, const struct store_damage *d) {
    struct log_check *c = ctx;
    struct mr_stream *s = stream_at(c, d->stream);
    must(d->what != NULL && d->kind < REC_KIND_END);
    struct mr_finding f = {.found = MR_FOUND_DAMAGE,
                           .file = file_name(c, d->file),
                           .offset = d->off,
                           .length = d->size,
                           .segment = d->segno,
                           .record = kinds[d->kind],
                           .stream_number = d->stream,
                           .stream = name_of(s),
                           .seq = d->seq,
                           .seq_last = d->seq,
                           .cause = d->what};
    f.lost = s && d->seq && is_message(d->kind) && is_loss(s, d);
    if (f.lost && c->named.count < NAMED_MAX && map_u64_put(&c->named, key_of(d->stream, d->seq), s))
        c->no_memory = true;
    tell(c, f);
}

/* --- what is lost --- */

static bool was_named(const struct log_check *c, const struct mr_stream *s, uint64_t seq) {
    return map_u64_get(&c->named, key_of(s->number, seq)) != NULL;
}

static void tell_lost(struct log_check *c, const struct mr_stream *s, uint64_t from, uint64_t to,
                      uint64_t loc, const char *cause) {
    char name[16];
    must(from > 0 && from <= to);
    c->v->out->lost_messages += to - from + 1;
    if (from == to && was_named(c, s, from)) return;
    struct mr_finding f = {.found = MR_FOUND_LOST,
                           .record = kinds[REC_MESSAGE],
                           .stream_number = s->number,
                           .stream = name_of(s),
                           .seq = from,
                           .seq_last = to,
                           .lost = true,
                           .cause = cause};
    if (loc) {
        f.segment = loc_seg(loc);
        f.offset = loc_off(loc);
        if (store_segment_file(c->l->store, f.segment, name)) f.file = file_name(c, name);
    }
    tell(c, f);
}

/* Those named before are taken out of a range, if it is not a long one. */
static void tell_missing(struct log_check *c, const struct mr_stream *s, struct missing_range r) {
    enum { LONG = 4096 };
    static const char cause[] = "no record of it can be found, and none that says it was deleted";
    for (uint64_t seq = r.from; r.to - r.from < LONG && seq <= r.to; seq++) {
        if (!was_named(c, s, seq)) continue;
        if (seq > r.from) tell_lost(c, s, r.from, seq - 1, 0, cause);
        tell_lost(c, s, seq, seq, 0, cause);
        r.from = seq + 1;
    }
    if (r.from <= r.to) tell_lost(c, s, r.from, r.to, 0, cause);
}

/* One by one: the counter of this chunk is not what the index says. Returns how many are good. */
static uint64_t read_chunk(struct log_check *c, struct mr_stream *s, uint64_t from, uint64_t to) {
    uint64_t good = 0;
    must(from <= to);
    for (uint64_t seq = from - 1; (seq = index_next(&s->st.index, seq + 1, to)) != 0;) {
        const struct index_entry *at = index_get(&s->st.index, seq);
        struct index_entry x = *at;
        struct rec r;
        enum err e = x.loc ? store_load(c->l->store, x.loc, &r) : ERR_NONE;
        bool same = !e && r.seq == seq && is_indexed(s, &x, &r);
        good += same;
        if (same) continue;
        tell_lost(c, s, seq, seq, x.loc,
                  !e                 ? "the index names a place where another record lies"
                  : e == ERR_NONE    ? "the index names a segment that is not there"
                  : e == ERR_NOMEM   ? "out of memory while it was read"
                  : e == ERR_CORRUPT ? "the record does not verify"
                                     : "the record cannot be read");
        if (seq == to) break;
    }
    return good;
}

static void check_messages(struct log_check *c, struct mr_stream *s) {
    const struct index *x = &s->st.index;
    const uint64_t size = (uint64_t)1 << CHUNK_BITS;
    for (uint64_t seq = 0; (seq = index_next(x, seq + 1, UINT64_MAX - 1)) != 0;) {
        uint64_t from = seq & ~(size - 1), to = from + size - 1;
        uint64_t want = index_count(x, from ? from : 1, to);
        uint64_t have = (uintptr_t)map_u64_get(&c->chunks, key_of(s->number, seq >> CHUNK_BITS));
        must(want > 0);
        c->v->out->messages += have == want ? want : read_chunk(c, s, from ? from : 1, to);
        seq = to;
    }
    for (size_t i = 0; i < s->missing.len; i++) tell_missing(c, s, s->missing.at[i]);
    if (s->missing.more)
        tell(c, (struct mr_finding){.found = MR_FOUND_NOTE,
                                    .stream = name_of(s),
                                    .cause = "more messages of this stream are missing than can be named"});
}

/* --- streams and consumers --- */

static void check_copies(struct log_check *c, const struct mr_stream *s, const struct mr_consumer *co) {
    const struct copies *k = map_u64_get(&c->copies, copies_key(s->number, co ? co->name : SPAN_EMPTY));
    unsigned count = (k ? k->count : 0) + ((co ? co->image_loc : s->head_loc) != 0);
    if (count >= 2) return;
    tell(c, (struct mr_finding){.found = MR_FOUND_NOTE,
                                .stream_number = s->number,
                                .stream = name_of(s),
                                .consumer = co ? bytes_of_span(co->name) : (struct mr_bytes){0},
                                .cause = "its configuration is on disk once only, not twice"});
}

static void check_blank(struct log_check *c, const struct mr_stream *s) {
    must(s->st.blank);
    c->v->out->lost_messages += s->st.msgs;
    tell(c, (struct mr_finding){.found = MR_FOUND_LOST,
                                .stream_number = s->number,
                                .seq = s->st.first_seq,
                                .seq_last = s->st.last_seq,
                                .lost = true,
                                .cause =
                                    "no copy of the stream's configuration can be read: its messages are not "
                                    "served, and stay on disk"});
}

static void check_stream(struct log_check *c, struct mr_stream *s) {
    if (s->st.blank) {
        check_blank(c, s);
        return;
    }
    c->v->out->streams++;
    check_messages(c, s);
    check_copies(c, s, NULL);
    list_each(pos, tmp, &s->consumers) {
        const struct mr_consumer *co = container_of(pos, struct mr_consumer, link);
        c->v->out->consumers++;
        if (co->logged) check_copies(c, s, co);
    }
}

static void check_all(struct log_check *c) {
    must(c->l->shard == c->sh);
    for (uint32_t n = 1; n < c->l->next_stream; n++) { /* by number, so that two runs say the same */
        struct mr_stream *s = stream_at(c, n);
        if (s) check_stream(c, s);
    }
}

/* --- the log --- */

static void on_done(void *ctx, const struct mr_done *done, size_t count) {
    (void)ctx;
    (void)done;
    must(count == 0); /* nothing is ever handed in */
}

/* As the server would. */
static enum err open_log(struct log_check *c) {
    const struct mr_host host = {.on_done = on_done};
    enum mr_status st = mr_shard_open(c->v->env, c->log, c->v->env->io, &host, &c->sh);
    struct store_stats ss;
    if (st == MR_NOMEM) return ERR_NOMEM;
    if (st != MR_OK) {
        c->v->out->refused = true;
        tell(c, (struct mr_finding){.found = MR_FOUND_DAMAGE,
                                    .file = file_name(c, ""),
                                    .cause = "the log cannot be opened: its streams are not known"});
        return ERR_OK;
    }
    must(c->sh->logs_count == 1);
    c->l = c->sh->logs;
    store_stats(c->l->store, &ss);
    if (ss.roots_passed)
        tell(c, (struct mr_finding){.found = MR_FOUND_DAMAGE,
                                    .file = file_name(c, "root"),
                                    .cause =
                                        "the newest checkpoint cannot be used; an older one or the whole log "
                                        "stands in"});
    return ERR_OK;
}

/* Everything from the beginning, whatever a checkpoint says. */
static enum err read_log(struct log_check *c) {
    struct mr_env *env = c->v->env;
    char path[4096], name[ENV_LOG_NAME];
    struct store *s;
    struct store_stats st;
    env_log_name(c->log, name);
    snprintf(path, sizeof path, "%s/%s", env->path, name);
    struct store_config cfg = {.path = path, .log = c->log, .full_scan = true, .read_only = true};
    memcpy(cfg.uuid, env->uuid, sizeof cfg.uuid);
    struct store_owner owner = {.ctx = c, .apply = on_record, .damaged = on_damaged, .progress = on_progress};
    enum err e = store_open(&s, &cfg, env->io, &owner);
    if (e == ERR_NOMEM) return e;
    if (e) {
        c->v->out->refused = true;
        tell(c, (struct mr_finding){.found = MR_FOUND_DAMAGE,
                                    .file = file_name(c, ""),
                                    .cause = e == ERR_PERM ? "the log's files may not be read"
                                                           : "the log's files cannot be read"});
        return ERR_OK;
    }
    store_stats(s, &st);
    c->v->out->segments += st.segments;
    c->v->out->bytes += st.recovered_bytes;
    c->v->done += st.recovered_bytes;
    c->v->out->refused |= st.refused_open;
    store_close(s);
    return ERR_OK;
}

static void forget(struct log_check *c) {
    size_t at = 0;
    uint64_t key;
    void *value;
    while (map_u64_next(&c->copies, &at, &key, &value)) free(value);
    map_u64_deinit(&c->copies);
    map_u64_deinit(&c->named);
    map_u64_deinit(&c->chunks);
    if (c->sh) mr_shard_close(c->sh);
}

enum err verify_log(struct verifier *v, uint32_t log) {
    struct log_check c = {.v = v, .log = log};
    map_u64_init(&c.chunks);
    map_u64_init(&c.named);
    map_u64_init(&c.copies);
    enum err e = open_log(&c);
    if (!e) e = read_log(&c);
    if (!e && c.l) check_all(&c);
    if (c.no_memory) e = ERR_NOMEM;
    forget(&c);
    return e;
}
