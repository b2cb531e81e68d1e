#include "sim/engine_digest.h"

#include <string.h>

#include "base/bytes.h"
#include "engine.h"

#define ULL(x) ((unsigned long long)(x))

static uint64_t hash_of(struct span s) {
    uint64_t h = s.n;
    for (size_t i = 0; i < s.n; i++) h = mix64(h ^ s.p[i]);
    return h;
}

static void messages(FILE *out, const struct stream *st) {
    for (uint64_t seq = 1; seq <= st->last_seq; seq++) {
        const struct index_entry *e = stream_get(st, seq, false);
        if (!e) continue;
        struct span name = subjects_name(&st->subjects, e->subject);
        fprintf(out, "    %llu at %llx, %u bytes, %lld, %.*s\n", ULL(seq), ULL(e->loc), e->size,
                (long long)e->ts, (int)name.n, (const char *)name.p);
    }
}

static bool subject(void *ctx, struct mr_bytes name, uint64_t msgs, uint64_t first, uint64_t last) {
    uint64_t *sum = ctx;
    *sum += mix64(hash_of(span_of(name.p, name.n)) ^ mix64(msgs) ^ mix64(first + 1) ^ mix64(last + 2));
    return true;
}

/* Which message brought which id; their times are rounded each time they are written. */
static void ids(FILE *out, const struct stream *st) {
    uint32_t at = 0;
    struct dedupe_key k;
    uint64_t seq;
    int64_t ts;
    while (dedupe_next(&st->dedupe, &at, &k, &seq, &ts))
        fprintf(out, "    id %08x%08x%08x of %llu\n", k.h[0], k.h[1], k.h[2], ULL(seq));
}

static void consumer(FILE *out, struct mr_consumer *c) {
    struct mr_consumer_state cs;
    consumer_state(&c->c, &cs);
    fprintf(out,
            "  consumer %.*s: delivered %llu %llu, floor %llu %llu, "
            "ack pending %llu, pending %llu, full in %llu\n",
            (int)c->name.n, (const char *)c->name.p, ULL(c->c.delivered_cseq), ULL(c->c.delivered_seq),
            ULL(c->c.floor_cseq), ULL(c->c.floor_seq), ULL(c->c.pending.count), ULL(c->c.num_pending),
            ULL(c->full_segno));
    fprintf(out, "    made %lld, delivered %lld, floor %lld, last per subject %llu, full %d\n",
            (long long)c->c.created, (long long)c->c.delivered_last, (long long)c->c.floor_last,
            ULL(c->c.last_per_subject_until), c->c.want_full);
    /* A full record may know more than progress says: that an ack wait ran out (no places here), and that the
     * next messages are gone (no next sequence above). */
    const struct pending_set *p = &c->c.pending;
    for (uint32_t i = p->order.head; i != PENDING_NONE; i = pending_at(p, i)->newer) {
        const struct pending *x = pending_at(p, i);
        fprintf(out, "    pending %llu as %llu, %lld\n", ULL(x->seq), ULL(x->cseq), (long long)x->ts);
    }
}

static int by_name(struct span a, struct span b) {
    int c = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);
    return c ? c : (a.n > b.n) - (a.n < b.n);
}

/* In the order of their names: the order of their making shows nowhere. */
static void consumers(FILE *out, struct mr_stream *s) {
    const struct mr_consumer *last = NULL;
    for (;;) {
        struct mr_consumer *next = NULL;
        list_each(pos, tmp, &s->consumers) {
            struct mr_consumer *c = container_of(pos, struct mr_consumer, link);
            if (last && by_name(c->name, last->name) <= 0) continue;
            if (!next || by_name(c->name, next->name) < 0) next = c;
        }
        if (!next) return;
        if (next->logged) consumer(out, next);
        last = next;
    }
}

static void stream(FILE *out, struct mr_stream *s) {
    struct mr_stream_state st;
    uint64_t sum = 0;
    mr_stream_state(s, &st);
    mr_subjects(s, (struct mr_bytes){0}, subject, &sum);
    fprintf(
        out,
        "stream %u \"%.*s\": %llu messages, %llu bytes, %llu..%llu, seen %llu, lost %llu, %lld..%lld, made "
        "%lld, %llu subjects %016llx, extra %016llx, max %lld, last id %016llx, full in %llu, dead in %llx\n",
        s->number, (int)s->name.n, (const char *)s->name.p, ULL(st.msgs), ULL(st.bytes), ULL(st.first_seq),
        ULL(st.last_seq), ULL(st.visible_seq), ULL(st.lost_msgs), (long long)st.first_ts,
        (long long)st.last_ts, (long long)st.created, ULL(st.num_subjects), ULL(sum),
        ULL(hash_of(span_of_bytes(s->st.conf.c.extra))), (long long)s->st.conf.c.max_msgs,
        ULL(hash_of(span_of(s->st.last_id, s->st.last_id_len))), ULL(s->full_segno), ULL(s->dead_segno));
    messages(out, &s->st);
    ids(out, &s->st);
    consumers(out, s);
}

/* What the messages of this log take in it: the store must count the same. */
static uint64_t wanted(const struct shard_log *l) {
    uint64_t sum = 0;
    for (uint32_t n = 1; n < l->next_stream; n++) {
        const struct mr_stream *s = map_u64_get(&l->streams, n);
        for (uint64_t seq = 1; s && seq <= s->st.last_seq; seq++) {
            const struct index_entry *e = stream_get(&s->st, seq, false);
            if (e) sum += rec_size(0, 0, e->size & ~(uint32_t)INDEX_HAS_HDR);
        }
    }
    return sum;
}

void digest_shard(FILE *out, const struct mr_shard *sh) {
    for (size_t i = 0; i < sh->logs_count; i++) {
        const struct shard_log *l = &sh->logs[i];
        struct store_stats st;
        store_stats(l->store, &st);
        fprintf(out,
                "log %u: next stream %u, gone %d, directory in %llu, %llu bytes live, %llu of messages, %zu "
                "streams\n",
                l->index, l->next_stream, l->gone, ULL(l->directory_segno), ULL(st.live_bytes),
                ULL(wanted(l)), l->streams.count);
        for (uint32_t n = 1; n < l->next_stream; n++) {
            struct mr_stream *s = map_u64_get(&l->streams, n);
            if (s) stream(out, s);
        }
    }
}

bool digest_differs(const char *a, const char *b) {
    unsigned told = 0;
    while ((*a || *b) && told < 6) {
        size_t n = strcspn(a, "\n"), m = strcspn(b, "\n");
        if (n != m || memcmp(a, b, n) != 0) {
            fprintf(stderr, "  by scan: %.*s\n  by root: %.*s\n", (int)n, a, (int)m, b);
            told++;
        }
        a += n + (a[n] == '\n');
        b += m + (b[m] == '\n');
    }
    return told > 0;
}
