/* recover.c - streams and consumers rebuilt from the log's records, in their order.
 *
 * Happy path: a full record (REC_STREAM, REC_CONSUMER) sets what is known, the records behind it change it.
 * Records of a stream may come before its first full record, because older full records are recycled: they
 * are kept in a blank stream. What is still blank when the log ends has no messages and is dropped, or its
 * full records are damaged: then it is not served, but its messages keep their place on disk and a line in
 * the log says so. A damaged message counts as lost and is named in one line. Age limits are applied last. */
#include "engine.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/header.h"
#include "base/must.h"

enum { RECORD_LEAST = 48 }; /* bytes of a message in the log: its header, a subject, padding */

/* --- applying --- */

static struct mr_stream *get_or_make(struct shard_log *l, uint32_t number) {
    must(l->recovering);
    struct mr_stream *s = map_u64_get(&l->streams, number);
    if (s || number == 0) return s;
    s = mrs_make(l->shard, l, number);
    if (!s) return NULL;
    stream_init_blank(&s->st, l->shard->env->uuid, &mrs_hooks);
    mrs_set_pages(s);
    if (number >= l->next_stream) l->next_stream = number + 1;
    return s;
}

static struct span message_id(const struct mr_stream *s, const struct rec *r) {
    must(r->kind == REC_MESSAGE || r->kind == REC_MOVED);
    must(s->number == r->stream);
    bool alone = r->kind == REC_MESSAGE && s->id && s->id_seq == r->seq && s->id_ts == r->ts;
    if (alone) return span_of(s->id, s->id_size);
    struct span id;
    return header_get(r->hdr, SPAN_LIT("Nats-Msg-Id"), &id) ? id : SPAN_EMPTY;
}

static struct stream_put put_of(const struct mr_stream *s, const struct rec *r, uint64_t loc) {
    struct stream_put p = put_of_record(r, loc);
    p.msg_id = message_id(s, r);
    p.rollup = r->flags & REC_F_ROLLUP_ALL       ? MR_ROLLUP_ALL
               : r->flags & REC_F_ROLLUP_SUBJECT ? MR_ROLLUP_SUBJECT
                                                 : MR_ROLLUP_NONE;
    return p;
}

/* What was lost before this place held none of its last sequences. */
static void sequence_sure(struct mr_stream *s) {
    must(s->unnamed <= s->log->unnamed);
    s->unnamed = s->log->unnamed;
}

static void dead_record(struct shard_log *l, const struct rec *r, uint64_t loc) {
    must(loc != 0);
    store_dead(l->store, loc, rec_size(r->subject.n, r->hdr.n, r->payload.n));
}

static void apply_message(struct shard_log *l, struct mr_stream *s, const struct rec *r, uint64_t loc) {
    must(s->log == l && !s->deleted);
    struct stream_put p = put_of(s, r, loc);
    enum err e = stream_replay(&s->st, &p);
    sequence_sure(s);
    if (e) dead_record(l, r, loc);
    if (e && e != ERR_NONE)
        env_log(l->shard->env, MR_LOG_ERROR, "log-%04x: message %llu of stream %u: %s", l->index,
                (unsigned long long)r->seq, r->stream, err_text(e));
}

/* Counted, not stored: dead from the start. */
static void apply_skipped(struct shard_log *l, struct mr_stream *s, const struct rec *r, uint64_t loc) {
    must(r->flags & REC_F_SKIPPED);
    struct stream_put p = put_of(s, r, loc);
    enum err e = stream_replay_skip(&s->st, &p);
    sequence_sure(s);
    dead_record(l, r, loc);
    if (e && e != ERR_NONE)
        env_log(l->shard->env, MR_LOG_ERROR, "log-%04x: message %llu of stream %u: %s", l->index,
                (unsigned long long)r->seq, r->stream, err_text(e));
}

static void apply_moved(struct shard_log *l, struct mr_stream *s, const struct rec *r, uint64_t loc) {
    must(s->log == l && !s->deleted);
    const struct index_entry *x = stream_get(&s->st, r->seq, false);
    uint64_t old = x ? x->loc : 0;
    struct stream_put p = put_of(s, r, loc);
    if (!p.msg_id.n) s->st.ids_alone = true;
    if (stream_moved(&s->st, &p)) {
        dead_record(l, r, loc);
    } else if (old && old != loc) {
        mrs_left(s, old);
        dead_record(l, r, old);
    }
}

static void complain(struct shard_log *l, const struct rec *r, uint64_t loc, const char *what, enum err e) {
    must(e != ERR_OK && e != ERR_LATER);
    env_log(l->shard->env, MR_LOG_ERROR, "log-%04x, segment %llu: %s of stream %u: %s; ignored", l->index,
            (unsigned long long)loc_seg(loc), what, r->stream, err_text(e));
    l->shard->damaged++;
    l->damaged++;
}

static void apply_stream(struct shard_log *l, struct mr_stream *s, const struct rec *r, uint64_t loc) {
    must(loc_seg(loc) >= s->full_segno);
    must(s->st.recovering);
    enum err e = stream_load(&s->st, r->payload);
    if (e) {
        complain(l, r, loc, "the record", e);
    } else {
        s->full_segno = loc_seg(loc);
        s->dead_segno = UINT64_MAX;
        sequence_sure(s);
    }
}

static void apply_consumer(struct shard_log *l, struct mr_stream *s, const struct rec *r, uint64_t loc) {
    must(r->stream == s->number);
    stream_replay_released(&s->st, r->payload);
    struct mr_consumer *c = mrc_find(s, r->subject);
    bool fresh = !c;
    if (fresh) c = mrc_make(s, r->subject);
    enum err e = c ? consumer_load(&c->c, &s->st, r->payload) : ERR_NOMEM;
    if (e) {
        complain(l, r, loc, "the record of a consumer", e);
        if (fresh && c) mrc_drop(c);
        return;
    }
    c->loaded = c->logged = c->changed = true;
    c->full_segno = loc_seg(loc);
}

/* Progress of a consumer whose full record comes later says nothing that the full record does not. */
static void apply_progress(struct shard_log *l, struct mr_stream *s, const struct rec *r, uint64_t loc) {
    must(r->stream == s->number);
    stream_replay_released(&s->st, r->payload);
    struct mr_consumer *c = r->subject.n ? mrc_find(s, r->subject) : NULL;
    enum err e = c ? consumer_replay(&c->c, r->payload) : ERR_OK;
    if (c) c->changed = true;
    if (e) complain(l, r, loc, "a consumer's progress", e);
}

static void apply_gone(struct shard_log *l, struct mr_stream *s, const struct rec *r) {
    must(s->log == l && !s->deleted);
    l->gone = true;
    if (r->kind == REC_STREAM_GONE) {
        mrs_drop(s);
        return;
    }
    stream_replay_released(&s->st, r->payload);
    struct mr_consumer *c = mrc_find(s, r->subject);
    if (c) mrc_drop(c);
}

static void keep_id(struct mr_stream *s, const struct rec *r) {
    must(!s->deleted);
    struct span payload = r->payload;
    s->id_seq = 0;
    uint8_t *p = payload.n > 8 ? realloc(s->id, payload.n) : NULL;
    if (!p) return;
    s->id = p;
    s->id_seq = load64(payload.p);
    s->id_ts = r->ts;
    s->id_size = payload.n - 8;
    memcpy(p, payload.p + 8, s->id_size);
}

static void apply_to(struct shard_log *l, struct mr_stream *s, const struct rec *r, uint64_t loc) {
    must(s->shard == l->shard);
    must(r->stream > 0);
    switch (r->kind) {
    case REC_MESSAGE: (r->flags & REC_F_SKIPPED ? apply_skipped : apply_message)(l, s, r, loc); break;
    case REC_MOVED: apply_moved(l, s, r, loc); break;
    case REC_DELETE: stream_replay_delete(&s->st, r->seq); break;
    case REC_STREAM: apply_stream(l, s, r, loc); break;
    case REC_STREAM_GONE:
    case REC_CONSUMER_GONE: apply_gone(l, s, r); break;
    case REC_CONSUMER: apply_consumer(l, s, r, loc); break;
    case REC_PROGRESS: apply_progress(l, s, r, loc); break;
    case REC_CHECKPOINT: keep_id(s, r); break;
    case REC_PURGE:
        if (stream_replay_purge(&s->st, r->payload)) complain(l, r, loc, "a purge", ERR_CORRUPT);
        break;
    default: break; /* of a later version of this format: not ours to judge */
    }
}

void recover_apply(struct shard_log *l, const struct rec *r, uint64_t loc) {
    must(l->recovering);
    must(loc != 0);
    if (r->kind == REC_PAGE || r->kind == REC_ROOT) return; /* of a checkpoint that is not this one */
    if (r->kind == REC_CHECKPOINT && r->stream == 0) {
        shard_log_apply_directory(l, r->payload);
        l->directory_segno = loc_seg(loc);
        return;
    }
    struct mr_stream *s = get_or_make(l, r->stream);
    if (s) apply_to(l, s, r, loc);
}

/* --- damage --- */

static void name_damage(const struct shard_log *l, const struct store_damage *d) {
    must(d->what != NULL);
    const struct mr_stream *s = d->stream ? map_u64_get(&l->streams, d->stream) : NULL;
    struct span name = s && !s->st.blank ? span_of_bytes(s->st.conf.c.name) : SPAN_EMPTY;
    env_log(l->shard->env, MR_LOG_ERROR,
            "log-%04x: %s: segment %llu at %llu, %llu bytes; stream %u \"%.*s\", sequence %llu", l->index,
            d->what, (unsigned long long)d->segno, (unsigned long long)d->off, (unsigned long long)d->size,
            d->stream, (int)name.n, name.n ? (const char *)name.p : "", (unsigned long long)d->seq);
}

/* In recovery names are not known yet: the first few are named at the end. Later the reader knows what it
 * read. */
void recover_damaged(struct shard_log *l, const struct store_damage *d) {
    must(l->shard != NULL);
    struct mr_shard *sh = l->shard;
    sh->damaged++;
    l->damaged += l->recovering;
    if (!l->recovering) {
        name_damage(l, d);
        return;
    }
    struct mr_stream *s = d->stream && d->seq ? get_or_make(l, d->stream) : NULL;
    if (s) stream_lost(&s->st, d->seq, d->size);
    if (s) sequence_sure(s);
    if (d->unnamed && d->segno) l->unnamed += d->size / RECORD_LEAST + 1;
    if (sh->damage_count < DAMAGE_KEPT) sh->damage[sh->damage_count++] = (struct damage){l, *d};
}

/* Not every damaged place has a name: what it held may be unknown, and only so many are kept. */
static void say_unnamed(const struct mr_shard *sh) {
    unsigned long long all = sh->damaged;
    must(all > sh->damage_count);
    if (sh->damage_count == 0)
        env_log(sh->env, MR_LOG_ERROR, "%llu damaged place%s in all", all, all == 1 ? "" : "s");
    else
        env_log(sh->env, MR_LOG_ERROR, "%llu damaged places in all, %s", all,
                sh->damage_count == 1 ? "the first is named above" : "the first ones are named above");
}

static void name_all_damage(struct mr_shard *sh) {
    must(sh->damage_count <= DAMAGE_KEPT);
    must(sh->damaged >= sh->damage_count);
    for (size_t i = 0; i < sh->damage_count; i++) name_damage(sh->damage[i].log, &sh->damage[i].what);
    if (sh->damaged > sh->damage_count) say_unnamed(sh);
    sh->damage_count = 0;
}

/* --- the end of the log --- */

static bool first_subject(void *ctx, struct mr_bytes subject, uint64_t msgs, uint64_t first, uint64_t last) {
    must(msgs > 0 && first <= last);
    *(struct mr_bytes *)ctx = subject;
    return false;
}

/* Its messages stay: it remains one of the log's streams, which a directory names, without a name of its own.
 */
static void finish_blank(struct mr_stream *s) {
    must(s->name.n == 0);
    must(s->st.blank);
    struct mr_stream_state st;
    struct mr_bytes subject = {0};
    stream_state(&s->st, &st);
    if (st.msgs == 0) {
        mrs_drop(s);
        return;
    }
    stream_subjects(&s->st, SPAN_EMPTY, first_subject, &subject);
    env_log(
        s->shard->env, MR_LOG_ERROR,
        "log-%04x: stream %u IS LOST: no copy of its configuration can be read. Its %llu messages, sequences "
        "%llu to %llu, the first subject being \"%.*s\", stay on disk and are not served",
        s->log->index, s->number, (unsigned long long)st.msgs, (unsigned long long)st.first_seq,
        (unsigned long long)st.last_seq, (int)subject.n, subject.n ? (const char *)subject.p : "");
    s->shard->damaged++;
}

/* A deleted stream whose REC_STREAM_GONE is damaged, under a name that was used again. */
static void drop_older(struct mr_stream *s) {
    must(s->name.n > 0);
    must(!s->st.recovering);
    env_log(s->shard->env, MR_LOG_WARN,
            "log-%04x: stream %u was replaced by a newer one of its name \"%.*s\": dropped", s->log->index,
            s->number, (int)s->name.n, (const char *)s->name.p);
    mrs_drop(s);
}

/* Behind the stream's last record there is damage that may have held more of them: so many sequences are not
 * given out again. Its full record says so from now on, since the damage may be recycled. */
static void pass_over(struct mr_stream *s) {
    uint64_t n = s->log->unnamed - s->unnamed;
    must(s->log->unnamed >= s->unnamed);
    if (n == 0) return;
    env_log(
        s->shard->env, MR_LOG_WARN,
        "stream \"%.*s\": damage behind sequence %llu may have held more: the next %llu are not given out",
        (int)s->st.conf.c.name.n, (const char *)s->st.conf.c.name.p, (unsigned long long)s->st.last_seq,
        (unsigned long long)n);
    stream_pass_over(&s->st, n);
    mrs_mark_stale(s);
}

/* What the index knows of segments that are not there. */
static void drop_with_segments(struct mr_stream *s) {
    char name[16];
    uint64_t first = 0, last = 0, count = 0;
    if (!store_holes(s->log->store)) return;
    for (uint64_t seq = 0; (seq = index_next(&s->st.index, seq + 1, UINT64_MAX - 1)) != 0;) {
        const struct index_entry *x = stream_get(&s->st, seq, false);
        if (!x || !x->loc || store_segment_file(s->log->store, loc_seg(x->loc), name)) continue;
        stream_lost(&s->st, seq, x->size & ~INDEX_HAS_HDR);
        if (!first) first = seq;
        last = seq;
        count++;
    }
    if (!count) return;
    env_log(s->shard->env, MR_LOG_ERROR,
            "stream \"%.*s\": %llu messages, of sequences %llu to %llu, are lost with their segments",
            (int)s->st.conf.c.name.n, (const char *)s->st.conf.c.name.p, (unsigned long long)count,
            (unsigned long long)first, (unsigned long long)last);
}

static enum err finish_stream(struct mr_stream *s, int64_t now) {
    must(s->st.recovering && !s->st.blank);
    must(s->log && !s->log->recovering);
    free(s->id);
    s->id = NULL;
    pass_over(s);
    drop_with_segments(s);
    struct span name = span_of_bytes(s->st.conf.c.name);
    struct mr_stream *older = map_str_get(&s->shard->names, name);
    if (older) drop_older(older);
    enum err e = mrs_enlist(s, name);
    if (e) return e;
    if ((e = stream_recovered(&s->st, now))) return e;
    list_each(pos, tmp, &s->consumers) {
        struct mr_consumer *c = container_of(pos, struct mr_consumer, link);
        must(c->loaded);
        consumer_recovered(&c->c, now);
        mrc_touched(c);
    }
    mrs_recover_interest(s);
    while (stream_expire(&s->st, now, EXPIRE_BUDGET) == EXPIRE_BUDGET) {
    }
    must(s->st.visible_seq == s->st.last_seq);
    mrs_account(s);
    mrs_arm_timer(s);
    return ERR_OK;
}

static int by_creation(const void *a, const void *b) {
    const struct mr_stream *x = *(struct mr_stream *const *)a, *y = *(struct mr_stream *const *)b;
    if (x->st.created != y->st.created) return x->st.created < y->st.created ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static size_t collect(struct mr_shard *sh, struct mr_stream **all) {
    must(sh->logs_count > 0);
    size_t n = 0;
    for (size_t i = 0; i < sh->logs_count; i++) {
        size_t at = 0;
        uint64_t number;
        void *value;
        while (map_u64_next(&sh->logs[i].streams, &at, &number, &value)) all[n++] = value;
    }
    return n;
}

enum err recover_finish(struct mr_shard *sh) {
    must(sh->streams_count == 0 && list_empty(&sh->streams));
    size_t total = 0;
    for (size_t i = 0; i < sh->logs_count; i++) total += sh->logs[i].streams.count;
    struct mr_stream **all = malloc((total + 1) * sizeof *all);
    if (!all) return ERR_NOMEM;
    must(collect(sh, all) == total);
    name_all_damage(sh);
    qsort(all, total, sizeof *all, by_creation);
    int64_t now = io_wall(sh->io);
    enum err e = ERR_OK;
    for (size_t i = 0; i < total && !e; i++) {
        if (all[i]->st.blank) {
            finish_blank(all[i]);
        } else {
            e = finish_stream(all[i], now);
        }
    }
    free(all);
    return e;
}
