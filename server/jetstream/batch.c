/* batch.c - atomic batches; see batch.h. Happy path: messages with one Nats-Batch-Id and a
 * Nats-Batch-Sequence that counts from 1 are copied behind each other, each answered with an empty message;
 * the one with Nats-Batch-Commit hands all of them to the engine as one, and once that is durable the PubAck
 * names batch and count. Nothing collected survives a restart: nothing of it was acknowledged.
 *
 * What fails ends the batch: a gap, a bound, a message the stream must not store, ten idle seconds. Order of
 * the checks and their texts are nats-server's; that a shard collects no more than BATCH_BYTES_MAX is ours.
 * When the engine has no room the commit message waits with the other publishes and the batch with it. */
#include "jetstream/batch.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/must.h"
#include "jetstream/api.h"
#include "jetstream/codec_stream.h"
#include "jetstream/publish.h"
#include "wire/header.h"

enum { COUNT_BITS = 16, CAP_MIN = 4096 };
static const char commit_line[] = "Nats-Batch-Commit: 1\r\n\r\n";
#define LEVEL_KEY SPAN_LIT("Nats-Required-Api-Level")

struct batch {
    struct batch_head head;
    size_t count;
    uint8_t *p; /* struct part, subject, headers, payload; then the next, 8-byte aligned */
    size_t n, cap;
};
struct part {
    uint32_t subject_n, hdr_n, payload_n, size;
};

/* The messages of one commit as the engine wants them. */
struct batch_commit {
    struct mr_msg msgs[MR_BATCH_MSGS_MAX];
    struct mr_append_opts opts[MR_BATCH_MSGS_MAX];
};

/* What the headers of one message say about its batch. */
struct batch_ask {
    struct span id;
    uint64_t seq;
    bool commit, end; /* end: this message only ends the batch, it is not stored */
    bool commit_valid;
};

/* --- both kinds of batches --- */

void js_batching_init(struct js_batching *b) {
    *b = (struct js_batching){.atomic_n = 0};
    list_init(&b->idle);
    map_u64_init(&b->fast);
}

void js_batching_deinit(struct js_batching *b) {
    must(b->atomic_n == 0 && b->fast_n == 0 && b->bytes == 0);
    map_u64_deinit(&b->fast);
    free(b->commit);
}

struct batch_head *batch_find(struct list *of_stream, struct span id) {
    list_each(l, tmp, of_stream) {
        struct batch_head *h = container_of(l, struct batch_head, link);
        if (!span_eq(span_of(h->id, h->id_n), id)) continue;
        list_del(&h->link);
        list_add_after(of_stream, &h->link);
        return h;
    }
    return NULL;
}

void batch_add(struct batch_head *h, struct list *of_stream, struct js_stream *s, struct span id) {
    must(id.n <= BATCH_ID_MAX);
    h->stream = s;
    h->id_n = (uint8_t)id.n;
    if (id.n) memcpy(h->id, id.p, id.n);
    list_init(&h->idle);
    list_add_after(of_stream, &h->link);
    batch_touch(h);
}

void batch_touch(struct batch_head *h) {
    struct js *js = h->stream->js;
    h->used_ns = js_now(js);
    list_del(&h->idle);
    list_add_tail(&js->batching.idle, &h->idle);
}

static void drop_atomic(struct batch *b) {
    struct js_stream *s = b->head.stream;
    must(s->js->batching.bytes >= b->cap && s->js->batching.atomic_n > 0 && s->batches.atomic_n > 0);
    s->js->batching.bytes -= b->cap;
    s->js->batching.atomic_n--;
    s->batches.atomic_n--;
    free(b->p);
    free(b);
}

void batch_drop(struct batch_head *h) {
    list_del(&h->idle);
    list_del(&h->link);
    if (h->fast)
        js_fast_free(h);
    else
        drop_atomic(container_of(h, struct batch, head));
}

static void drop_all(struct list *of_stream) {
    list_each(l, tmp, of_stream) batch_drop(container_of(l, struct batch_head, link));
    must(list_empty(of_stream));
}

static struct batch_head *oldest(const struct js_batching *b) {
    return list_empty(&b->idle) ? NULL : container_of(b->idle.next, struct batch_head, idle);
}

void js_batching_expire(struct js *js) {
    for (struct batch_head *h; (h = oldest(&js->batching)) && h->used_ns + BATCH_IDLE_NS <= js_now(js);) {
        must(h->stream->js == js);
        batch_drop(h);
    }
}

uint64_t js_batching_deadline(const struct js_batching *b) {
    const struct batch_head *h = oldest(b);
    return h ? h->used_ns + BATCH_IDLE_NS : UINT64_MAX;
}

/* --- of a stream --- */

void js_stream_batches_init(struct js_stream_batches *b) {
    *b = (struct js_stream_batches){.atomic_n = 0};
    list_init(&b->atomic);
    list_init(&b->fast);
}

void js_stream_batches_follow(struct js_stream *s) {
    struct stream_cfg c;
    struct js_error e;
    struct span text = js_span(mr_stream_config(s->engine)->extra);
    struct js_stream_batches *b = &s->batches;
    b->allow_atomic = b->allow_fast = false;
    if (text.n && stream_cfg_read(&c, text, false, &e)) {
        b->allow_atomic = c.allow_atomic;
        b->allow_fast = c.allow_batched;
        stream_cfg_free(&c);
    }
    if (!b->allow_atomic) drop_all(&b->atomic);
    if (!b->allow_fast) drop_all(&b->fast);
}

void js_stream_batches_drop(struct js_stream *s) {
    drop_all(&s->batches.atomic);
    drop_all(&s->batches.fast);
    must(s->batches.atomic_n == 0 && s->batches.fast_n == 0);
}

/* --- collecting --- */

bool js_batch_is_part(const struct msg *m, struct span *id) {
    return m->hdr.n && header_get(m->hdr, SPAN_LIT("Nats-Batch-Id"), id) && id->n;
}

static bool ask_get(struct batch_ask *a, const struct js_stream *s, const struct msg *m, struct js_error *e) {
    struct span seq, commit;
    if (!s->batches.allow_atomic) return js_fail(e, JS_BATCH_DISABLED, NULL);
    if (a->id.n > BATCH_ID_MAX) return js_fail(e, JS_BATCH_ID, NULL);
    if (!header_get(m->hdr, SPAN_LIT("Nats-Batch-Sequence"), &seq) || !get_u64(seq, &a->seq))
        return js_fail(e, JS_BATCH_NO_SEQ, NULL);
    if (!header_get(m->hdr, SPAN_LIT("Nats-Batch-Commit"), &commit)) return true;
    a->commit = true;
    a->end = span_eq(commit, SPAN_LIT("eob"));
    a->commit_valid = a->end || span_eq(commit, SPAN_LIT("1"));
    return true;
}

/* The message that only ends a batch is no part of its size. */
static bool too_large(const struct batch_ask *a) { return a->seq - a->end > MR_BATCH_MSGS_MAX; }

static bool fail_large(struct js_error *e) { return js_fail_u64(e, JS_BATCH_TOO_LARGE, MR_BATCH_MSGS_MAX); }

/* A batch begins with sequence 1 and within the bounds. NULL: e says why not. */
static struct batch *begin(struct js_stream *s, const struct batch_ask *a, struct js_error *e) {
    struct js_batching *all = &s->js->batching;
    if (a->seq != 1) {
        (void)(too_large(a) ? fail_large(e) : js_fail(e, JS_BATCH_INCOMPLETE, NULL));
        return NULL;
    }
    if (s->batches.atomic_n >= BATCH_STREAM_MAX || all->atomic_n >= BATCH_SERVER_MAX / s->js->host.shards) {
        js_fail(e, JS_BATCH_INFLIGHT, NULL);
        return NULL;
    }
    struct batch *b = calloc(1, sizeof *b);
    if (!b) {
        js_fail(e, JS_BATCH_INCOMPLETE, NULL);
        return NULL;
    }
    batch_add(&b->head, &s->batches.atomic, s, a->id);
    s->batches.atomic_n++;
    all->atomic_n++;
    return b;
}

static bool follows(const struct batch *b, const struct batch_ask *a, const struct msg *m,
                    struct js_error *e) {
    if (a->commit && !a->commit_valid) return js_fail(e, JS_BATCH_COMMIT, NULL);
    if (!api_level_ok(b->head.stream->js, m->hdr)) return js_fail(e, JS_API_LEVEL, NULL);
    if (a->seq != b->count + 1 || (a->seq == 1 && a->end)) return js_fail(e, JS_BATCH_INCOMPLETE, NULL);
    return too_large(a) ? fail_large(e) : true;
}

static uint8_t *room(struct batch *b, size_t n) {
    struct js_batching *all = &b->head.stream->js->batching;
    if (b->n + n > MR_BATCH_BYTES_MAX) return NULL;
    size_t cap = b->cap ? b->cap : CAP_MIN;
    while (cap < b->n + n) cap *= 2;
    if (cap == b->cap) return b->p + b->n;
    if (all->bytes + (cap - b->cap) > BATCH_BYTES_MAX) return NULL;
    uint8_t *p = realloc(b->p, cap);
    if (!p) return NULL;
    all->bytes += cap - b->cap;
    b->p = p;
    b->cap = cap;
    return p + b->n;
}

/* The level a client asked for is checked and not stored. */
static size_t copy_hdr(uint8_t *to, struct span hdr) {
    struct span level;
    if (!hdr.n || !header_get(hdr, LEVEL_KEY, &level)) {
        if (hdr.n) memcpy(to, hdr.p, hdr.n);
        return hdr.n;
    }
    struct header_buf h;
    const struct span skip[] = {LEVEL_KEY};
    header_begin(&h, to, hdr.n, 0, SPAN_EMPTY);
    header_add_all(&h, hdr, skip, 1);
    return header_end(&h);
}

static bool collect(struct batch *b, const struct msg *m, struct js_error *e) {
    size_t most = sizeof(struct part) + m->subject.n + m->hdr.n + m->payload.n;
    uint8_t *at = room(b, align_up(most, 8));
    if (!at) return js_fail(e, JS_INSUFFICIENT_RESOURCES, NULL);
    uint8_t *to = at + sizeof(struct part);
    memcpy(to, m->subject.p, m->subject.n);
    size_t hdr_n = copy_hdr(to + m->subject.n, m->hdr);
    if (m->payload.n) memcpy(to + m->subject.n + hdr_n, m->payload.p, m->payload.n);
    size_t n = sizeof(struct part) + m->subject.n + hdr_n + m->payload.n;
    struct part part = {(uint32_t)m->subject.n, (uint32_t)hdr_n, (uint32_t)m->payload.n,
                        (uint32_t)align_up(n, 8)};
    memcpy(at, &part, sizeof part);
    b->n += part.size;
    b->count++;
    must(b->n <= b->cap);
    return true;
}

/* --- committing --- */

/* Lays the messages out for the engine. */
static struct batch_commit *lay_out(const struct batch *b) {
    struct js_batching *all = &b->head.stream->js->batching;
    struct batch_commit *c = all->commit ? all->commit : (all->commit = malloc(sizeof *c));
    if (!c) return NULL;
    const uint8_t *at = b->p;
    for (size_t i = 0; i < b->count; i++) {
        struct part part;
        memcpy(&part, at, sizeof part);
        const uint8_t *p = at + sizeof part;
        c->msgs[i] = (struct mr_msg){.subject = {p, part.subject_n},
                                     .hdr = {p + part.subject_n, part.hdr_n},
                                     .payload = {p + part.subject_n + part.hdr_n, part.payload_n}};
        at += part.size;
    }
    must(at == b->p + b->n);
    return c;
}

/* What message i asks for; false: e says what it must not. */
static bool opts_get(struct js_stream *s, struct batch_commit *c, size_t i, struct js_error *e) {
    struct publish_ask a;
    struct span hdr = js_span(c->msgs[i].hdr);
    memset(&c->opts[i], 0, sizeof c->opts[i]);
    a.err.code = JS_OK;
    a.opts = c->opts[i];
    bool ok = hdr.n == 0 || hdr.n <= UINT16_MAX;
    if (!ok) return js_fail(e, JS_HEADER_TOO_LARGE, NULL);
    ok = hdr.n == 0 || publish_ask_get(&a, s, hdr);
    if (a.opts.expect_last_msg_id.n) return js_fail(e, JS_BATCH_HEADER, "Nats-Expected-Last-Msg-Id");
    if (!ok) *e = a.err;
    c->opts[i] = a.opts;
    return ok;
}

static void engine_error(struct js_error *e, enum mr_status st, const struct mr_append_result *r,
                         enum mr_rollup rollup) {
    if (st == MR_DUPLICATE)
        js_fail(e, JS_BATCH_DUPLICATE, NULL);
    else if (st == MR_WRONG_LAST_SEQ && r->in_batch)
        js_fail(e, JS_WRONG_LAST_SEQ_ANY, NULL);
    else if (st == MR_DENIED && r->in_batch)
        js_fail(e, JS_ROLLUP,
                rollup == MR_ROLLUP_ALL ? "batch rollup all invalid" : "batch rollup sub invalid");
    else if (st == MR_TOO_LARGE)
        js_fail(e, JS_INSUFFICIENT_RESOURCES, NULL); /* of one message was checked before */
    else
        publish_error_get(e, st, r);
}

/* The engine's say on the first `count` messages, and with count all of them the deed. */
static enum mr_status hand_in(struct js_stream *s, struct batch_commit *c, size_t count, bool append,
                              struct js_error *e) {
    struct mr_append_result r;
    size_t at = 0;
    if (count == 0) return MR_OK;
    enum mr_status st = append ? mr_append_batch(s->engine, c->msgs, c->opts, count, &r, &at)
                               : mr_check_batch(s->engine, c->msgs, c->opts, count, &r, &at);
    if (st != MR_OK && st != MR_BUSY)
        engine_error(e, st, &r, at < count ? c->opts[at].rollup : MR_ROLLUP_NONE);
    return st;
}

/* A batch ended by a message of its own: the last one stored says that it was the last. */
static uint8_t *mark_last(struct batch_commit *c, size_t count) {
    struct mr_bytes *hdr = &c->msgs[count - 1].hdr;
    must(hdr->n > 2);
    size_t n = hdr->n - 2 + sizeof commit_line - 1;
    uint8_t *p = malloc(n);
    if (!p) return NULL;
    memcpy(p, hdr->p, hdr->n - 2);
    memcpy(p + hdr->n - 2, commit_line, sizeof commit_line - 1);
    *hdr = (struct mr_bytes){p, n};
    return p;
}

static enum mr_status commit(struct batch *b, struct span reply, bool end, struct js_error *e) {
    struct js_stream *s = b->head.stream;
    struct batch_commit *c = lay_out(b);
    uint8_t *last = c && end ? mark_last(c, b->count) : NULL, note[JS_REPLY_MAX + BATCH_ID_MAX];
    must(b->count > 0 && reply.n <= JS_REPLY_MAX);
    if (!c || (end && !last)) {
        js_fail(e, JS_INSUFFICIENT_RESOURCES, NULL);
        return MR_NOMEM;
    }
    size_t fine = 0;
    while (fine < b->count && opts_get(s, c, fine, e)) fine++;
    bool all = fine == b->count;
    if (all && reply.n && !s->no_ack) {
        struct mr_append_opts *o = &c->opts[b->count - 1];
        memcpy(note, b->head.id, b->head.id_n);
        memcpy(note + b->head.id_n, reply.p, reply.n);
        o->want_done = true;
        o->note = (struct mr_bytes){note, b->head.id_n + reply.n};
        o->tag =
            (uint64_t)PUBLISH_BATCH << PUBLISH_KIND_SHIFT | (uint64_t)b->head.id_n << COUNT_BITS | b->count;
    }
    enum mr_status st = hand_in(s, c, fine, all, e); /* whoever comes first is refused first */
    free(last);
    return all || st != MR_OK ? st : MR_INVAL;
}

/* The batch ends with this answer. */
static enum mr_status end_with(struct batch *b, struct js_stream *s, struct span reply,
                               const struct js_error *e) {
    enum mr_status st = publish_refuse(s, reply, e);
    if (st != MR_BUSY && b) batch_drop(&b->head);
    return st == MR_BUSY ? MR_BUSY : MR_OK;
}

static enum mr_status take_commit(struct batch *b, const struct msg *m, const struct batch_ask *a) {
    struct js_stream *s = b->head.stream;
    struct js_error e;
    size_t n = b->n, count = b->count;
    if (!a->end && !collect(b, m, &e)) return end_with(b, s, m->reply, &e);
    enum mr_status st = commit(b, m->reply, a->end, &e);
    if (st == MR_OK) {
        batch_drop(&b->head);
        return MR_OK;
    }
    if (st != MR_BUSY && end_with(b, s, m->reply, &e) == MR_OK) return MR_OK;
    b->n = n; /* the message comes again */
    b->count = count;
    return MR_BUSY;
}

enum mr_status js_batch_take(struct js_stream *s, const struct msg *m, struct span id) {
    struct batch_ask a = {.id = id};
    struct js_error e;
    if (!ask_get(&a, s, m, &e)) return end_with(NULL, s, m->reply, &e);
    struct batch_head *h = batch_find(&s->batches.atomic, id);
    struct batch *b = h ? container_of(h, struct batch, head) : begin(s, &a, &e);
    if (!b) return end_with(NULL, s, m->reply, &e);
    batch_touch(&b->head);
    if (!follows(b, &a, m, &e)) return end_with(b, s, m->reply, &e);
    if (a.commit) return take_commit(b, m, &a);
    if (!collect(b, m, &e)) return end_with(b, s, m->reply, &e);
    if (m->reply.n && !s->no_ack) (void)js_later_put(s->js, m->reply, SPAN_EMPTY);
    return MR_OK;
}

void js_batch_done(struct js *js, struct js_stream *s, const struct mr_done *d) {
    size_t id_n = d->tag >> COUNT_BITS & 0xff, count = d->tag & 0xffff;
    struct span id = span_of(d->note.p, id_n), reply = span_of(d->note.p + id_n, d->note.n - id_n);
    must(d->note.n > id_n && count > 0);
    if (!s || d->status != MR_OK) {
        struct mr_done lost = *d;
        lost.note = js_bytes(reply);
        publish_lost(js, s, &lost);
        return;
    }
    publish_ack_batch(js, s, reply, d->seq, id, count);
}
