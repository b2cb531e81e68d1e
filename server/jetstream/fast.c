/* fast.c - fast batches; see batch.h. The reply subject says everything:
 *
 *     <prefix>.<id>.<flow>.<gap mode>.<sequence>.<operation>.$FI
 *     operation: 0 start, 1 append, 2 commit, 3 end, 4 ping
 *
 * Happy path: every message is appended as it comes; when it is durable its sequence counts as persisted,
 * every `flow` messages a flow message says how far that is, and when everything up to the commit is, the
 * PubAck with batch and count goes out. With gap mode "fail" a missing message ends the batch at what came
 * before it, with "ok" it is only reported.
 *
 * What fails is told in an error message, the first message's failure in the PubAck itself. When the engine
 * has no room the message waits with the other publishes and is taken anew: nothing has changed then that
 * would count twice. */
#include <stdlib.h>

#include "base/bytes.h"
#include "base/must.h"
#include "jetstream/api.h"
#include "jetstream/batch.h"
#include "jetstream/publish.h"

enum { OP_START, OP_APPEND, OP_COMMIT, OP_END, OP_PING, OP_MAX = OP_PING };
enum { FLOW_MAX = 500, FLOW_DEFAULT = 10, TEXT_MAX = 4096 };
static const char suffix[] = ".$FI";

/* The reply subject, read. */
struct fast_ask {
    struct span id;
    uint64_t seq;
    uint16_t flow;
    uint8_t op;
    bool gap_ok;
};

struct flow {
    uint64_t last;      /* highest sequence taken */
    uint64_t persisted; /* highest sequence known durable */
    uint64_t told;      /* where the last flow message was due */
    uint64_t stream;    /* sequence in the stream of the last durable one */
    uint32_t pending;   /* appended and not durable */
    uint16_t every, every_max;
    bool commit, greeted;
};

struct fast_batch {
    struct batch_head head;
    uint64_t number;
    bool gap_ok;
    struct flow f;
    bool told;         /* an answer waits for the disk, as the end will */
    struct span asked; /* owned: where the end was asked for, while it waits for the disk */
};

/* --- the reply subject --- */

bool js_fast_is_part(const struct msg *m) {
    size_t n = sizeof suffix - 1;
    return m->reply.n > n && memcmp(m->reply.p + m->reply.n - n, suffix, n) == 0;
}

/* Cuts the last token off; false when there is no dot before it. */
static bool last_token(struct span *rest, struct span *token) {
    size_t at = rest->n;
    while (at > 0 && rest->p[at - 1] != '.') at--;
    if (at == 0) return false;
    *token = span_of(rest->p + at, rest->n - at);
    rest->n = at - 1;
    return true;
}

static bool op_fits(const struct fast_ask *a) {
    if (a->op == OP_START) return a->seq == 1;
    if (a->op == OP_APPEND || a->op == OP_END) return a->seq > 1;
    return true;
}

static bool ask_get(struct fast_ask *a, struct span reply) {
    struct span rest = span_of(reply.p, reply.n - (sizeof suffix - 1)), op, seq, gap, flow;
    uint64_t n;
    if (!last_token(&rest, &op) || !get_u64(op, &n) || n > OP_MAX) return false;
    a->op = (uint8_t)n;
    if (!last_token(&rest, &seq) || !get_u64(seq, &a->seq) || a->seq == 0 || a->seq == UINT64_MAX)
        return false;
    if (!op_fits(a) || !last_token(&rest, &gap)) return false;
    a->gap_ok = span_eq(gap, SPAN_LIT("ok"));
    if (!a->gap_ok && !span_eq(gap, SPAN_LIT("fail"))) return false;
    if (!last_token(&rest, &flow)) return false;
    if (!get_u64(flow, &n) || n == 0) n = FLOW_DEFAULT;
    a->flow = n > UINT16_MAX ? UINT16_MAX : (uint16_t)n;
    return last_token(&rest, &a->id);
}

/* --- flow --- */

static uint16_t at_most(uint64_t n, uint16_t most) { return n < most ? (uint16_t)n : most; }

/* Is a flow message due? Then the next distance is decided: publishers share FLOW_MAX. */
static bool flow_due(struct flow *f, size_t batches) {
    must(f->every > 0 && batches > 0);
    if (f->persisted < f->told + f->every) return false;
    f->told += (f->persisted - f->told) / f->every * f->every;
    uint64_t share = FLOW_MAX / batches;
    uint16_t most = at_most(share ? share : 1, f->every_max);
    if (f->every < most)
        f->every = at_most((uint64_t)f->every * 2, most);
    else if (f->every > most)
        f->every = f->every / 2 > most ? f->every / 2 : most;
    return true;
}

static struct text text_on(uint8_t *p) { return (struct text){.p = p, .cap = TEXT_MAX, .fixed = true}; }

static void flow_put(struct text *t, uint64_t seq, uint16_t every) {
    text_lit(t, "{\"type\":\"ack\"");
    text_key_u64(t, "seq", seq);
    text_key_u64(t, "msgs", every);
    text_lit(t, "}");
}

static enum mr_status answer_flow(struct js_stream *s, struct span reply, const struct flow *f) {
    uint8_t out[TEXT_MAX];
    struct text t = text_on(out);
    flow_put(&t, f->told, f->every);
    return publish_answer(s, reply, text_span(&t));
}

static enum mr_status answer_gap(struct fast_batch *b, struct span reply, uint64_t wanted, uint64_t got) {
    uint8_t out[TEXT_MAX];
    struct text t = text_on(out);
    text_lit(&t, "{\"type\":\"gap\"");
    text_key_u64(&t, "last_seq", wanted);
    text_key_u64(&t, "seq", got);
    text_lit(&t, "}");
    b->told = true;
    return publish_answer(b->head.stream, reply, text_span(&t));
}

static enum mr_status answer_error(struct fast_batch *b, struct span reply, uint64_t seq,
                                   const struct js_error *e) {
    uint8_t out[TEXT_MAX];
    struct text t = text_on(out);
    text_lit(&t, "{\"type\":\"err\"");
    text_key_u64(&t, "seq", seq);
    text_key(&t, "error");
    js_error_put(&t, e);
    text_lit(&t, "}");
    must(!t.failed);
    b->told = true;
    return publish_answer(b->head.stream, reply, text_span(&t));
}

static struct span id_of(const struct fast_batch *b) { return span_of(b->head.id, b->head.id_n); }

static enum mr_status answer_ack(struct fast_batch *b, struct span reply, uint64_t seq, bool duplicate,
                                 uint64_t count) {
    uint8_t out[TEXT_MAX];
    struct text t = text_on(out);
    publish_ack_put(&t, b->head.stream, seq, duplicate, id_of(b), count);
    return publish_answer(b->head.stream, reply, text_span(&t));
}

/* --- a batch's life --- */

void js_fast_free(struct batch_head *h) {
    struct fast_batch *b = container_of(h, struct fast_batch, head);
    struct js_batching *all = &h->stream->js->batching;
    void *was = map_u64_del(&all->fast, b->number);
    must(was == b);
    must(all->fast_n > 0 && h->stream->batches.fast_n > 0);
    all->fast_n--;
    h->stream->batches.fast_n--;
    free((void *)b->asked.p);
    free(b);
}

static struct fast_batch *begin(struct js_stream *s, const struct fast_ask *a, struct js_error *e) {
    struct js_batching *all = &s->js->batching;
    if (a->seq != 1 || a->op == OP_PING) {
        js_fail(e, JS_FAST_UNKNOWN, NULL);
        return NULL;
    }
    bool full = s->batches.fast_n >= FAST_STREAM_MAX || all->fast_n >= FAST_SERVER_MAX / s->js->host.shards;
    struct fast_batch *b = full ? NULL : calloc(1, sizeof *b);
    if (b) b->number = all->next_fast++ & ((UINT64_C(1) << PUBLISH_KIND_SHIFT) - 1);
    if (!b || map_u64_put(&all->fast, b->number, b) != ERR_OK) {
        free(b);
        js_fail(e, JS_FAST_INFLIGHT, NULL);
        return NULL;
    }
    all->fast_n++;
    s->batches.fast_n++;
    b->head.fast = true;
    b->gap_ok = a->gap_ok;
    b->f.every_max = a->flow;
    b->f.every = s->batches.fast_n > 1 ? 1 : at_most(FLOW_MAX, a->flow);
    batch_add(&b->head, &s->batches.fast, s, a->id);
    return b;
}

/* Takes no more: answers now when everything taken is durable, else when it is. */
static enum mr_status finish(struct fast_batch *b, struct span reply) {
    if (b->f.last == b->f.persisted) {
        if (answer_ack(b, reply, b->f.stream, false, b->f.last) == MR_BUSY) return MR_BUSY;
        batch_drop(&b->head);
        return MR_OK;
    }
    must(b->f.pending > 0);
    if (b->f.commit) return MR_OK;
    must(b->asked.p == NULL);
    uint8_t *p = malloc(
        reply.n); /* without memory the answer goes where the last message asked for one: the same inbox */
    if (p) {
        memcpy(p, reply.p, reply.n);
        b->asked = span_of(p, reply.n);
    }
    b->f.commit = true;
    list_del(&b->head.idle);
    return MR_OK;
}

/* Nothing is on its way to the disk: what was taken is what is persisted. */
static void settle(struct flow *f) {
    if (f->pending == 0) f->persisted = f->last;
}

static enum mr_status ping(struct fast_batch *b, const struct fast_ask *a, struct span reply) {
    struct js_stream *s = b->head.stream;
    struct flow *f = &b->f;
    if (a->seq > f->last) {
        if (answer_gap(b, reply, f->last + 1, a->seq + 1) == MR_BUSY) return MR_BUSY;
        if (!b->gap_ok) {
            bool gone = f->last == f->persisted;
            enum mr_status st = finish(b, reply);
            if (gone || st == MR_BUSY) return st;
        } else {
            f->last = a->seq;
            settle(f);
            (void)flow_due(f, s->batches.fast_n);
        }
    }
    return answer_flow(s, reply, f);
}

static enum mr_status refused_duplicate(struct fast_batch *b, const struct fast_ask *a, struct span reply,
                                        uint64_t seq) {
    struct js_stream *s = b->head.stream;
    struct flow was = b->f;
    enum mr_status st = MR_OK;
    b->f.last = a->seq;
    if (b->f.pending == 0) {
        b->f.persisted = a->seq;
        if (flow_due(&b->f, s->batches.fast_n)) st = answer_flow(s, reply, &b->f);
    }
    if (st != MR_BUSY && a->op == OP_COMMIT) {
        bool first = !a->gap_ok && b->f.last == 1;
        st = first ? answer_ack(b, reply, seq, true, a->seq) : finish(b, reply);
        if (first && st != MR_BUSY) batch_drop(&b->head);
    }
    if (st == MR_BUSY) b->f = was;
    return st == MR_BUSY ? MR_BUSY : MR_OK;
}

static enum mr_status refused(struct fast_batch *b, const struct fast_ask *a, struct span reply,
                              const struct js_error *e) {
    struct js_stream *s = b->head.stream;
    if (!a->gap_ok && a->seq == 1) {
        if (publish_refuse(s, reply, e) == MR_BUSY) return MR_BUSY;
        batch_drop(&b->head);
        return MR_OK;
    }
    if (answer_error(b, reply, a->seq, e) == MR_BUSY) return MR_BUSY;
    if (a->gap_ok && a->op != OP_COMMIT) {
        b->f.last = a->seq;
        return MR_OK;
    }
    settle(&b->f);
    return finish(b, reply);
}

static enum mr_status append(struct fast_batch *b, const struct fast_ask *a, const struct msg *m) {
    struct js_stream *s = b->head.stream;
    struct publish_ask p;
    struct mr_append_result r = {0};
    struct mr_msg msg = {js_bytes(m->subject), js_bytes(m->hdr), js_bytes(m->payload)};
    memset(&p.opts, 0, sizeof p.opts);
    if (m->hdr.n && !publish_ask_get(&p, s, m->hdr)) return refused(b, a, m->reply, &p.err);
    p.opts.want_done = true;
    p.opts.note = js_bytes(m->reply);
    p.opts.tag = (uint64_t)PUBLISH_FAST << PUBLISH_KIND_SHIFT | b->number;
    enum mr_status st = mr_append(s->engine, &msg, &p.opts, &r);
    if (st == MR_BUSY) return MR_BUSY;
    if (st == MR_DUPLICATE) return refused_duplicate(b, a, m->reply, r.seq);
    if (st != MR_OK && st != MR_LATER) {
        publish_error_get(&p.err, st, &r);
        return refused(b, a, m->reply, &p.err);
    }
    b->f.last = a->seq;
    b->f.pending++;
    return a->op == OP_COMMIT ? finish(b, m->reply) : MR_OK;
}

static enum mr_status follow(struct fast_batch *b, const struct fast_ask *a, const struct msg *m) {
    struct js_stream *s = b->head.stream;
    struct flow *f = &b->f;
    if (f->commit) return MR_OK; /* the PubAck is on its way */
    if (a->seq != f->last + 1) {
        if (answer_gap(b, m->reply, f->last + 1, a->seq) == MR_BUSY) return MR_BUSY;
        if (!b->gap_ok || a->seq <= f->last) return finish(b, m->reply);
        f->last = a->seq - 1;
    }
    if (a->op == OP_END) {
        settle(f);
        return finish(b, m->reply);
    }
    if (a->seq == 1 && a->op != OP_COMMIT && !s->no_ack && !f->greeted) {
        if (answer_flow(s, m->reply, f) == MR_BUSY) return MR_BUSY;
        f->greeted = true;
    }
    return append(b, a, m);
}

enum mr_status js_fast_take(struct js_stream *s, const struct msg *m) {
    struct fast_ask a = {.seq = 0};
    struct js_error e;
    if (!s->batches.allow_fast) {
        js_fail(&e, JS_FAST_DISABLED, NULL);
        return publish_refuse(s, m->reply, &e);
    }
    if (!ask_get(&a, m->reply) || a.id.n > BATCH_ID_MAX) {
        js_fail(&e, a.id.n > BATCH_ID_MAX ? JS_FAST_ID : JS_FAST_PATTERN, NULL);
        return publish_refuse(s, m->reply, &e);
    }
    struct batch_head *h = batch_find(&s->batches.fast, a.id);
    struct fast_batch *b = h ? container_of(h, struct fast_batch, head) : begin(s, &a, &e);
    if (!b) return publish_refuse(s, m->reply, &e);
    if (!api_level_ok(s->js, m->hdr)) {
        js_fail(&e, JS_API_LEVEL, NULL);
        enum mr_status st = publish_refuse(s, m->reply, &e);
        if (st != MR_BUSY) batch_drop(&b->head);
        return st;
    }
    if (!b->f.commit) batch_touch(&b->head);
    return a.op == OP_PING ? ping(b, &a, m->reply) : follow(b, &a, m);
}

/* Everything that was to come came, and is durable. last: where the message that came last asked for an
 * answer. */
static void end(struct js *js, struct fast_batch *b, struct span last) {
    uint8_t out[TEXT_MAX];
    struct text t = text_on(out);
    publish_ack_put(&t, b->head.stream, b->f.stream, false, id_of(b), b->f.last);
    struct js_stream *s = b->head.stream;
    struct span asked = b->asked, to = asked.p ? asked : last;
    bool told = b->told;
    b->asked = SPAN_EMPTY;
    batch_drop(&b->head);
    /* Behind what was answered while the disk was waited for; without room there, past it. */
    if (!told || publish_answer(s, to, text_span(&t)) == MR_BUSY) js_reply(js, to, SPAN_EMPTY, text_span(&t));
    free((void *)asked.p);
}

void js_fast_done(struct js *js, struct js_stream *s, const struct mr_done *d) {
    uint64_t number = d->tag & ((UINT64_C(1) << PUBLISH_KIND_SHIFT) - 1);
    struct fast_batch *b = s ? map_u64_get(&js->batching.fast, number) : NULL;
    struct span reply = js_span(d->note);
    struct fast_ask a = {.seq = 0};
    if (s && !b) return; /* idle for too long, or no longer allowed */
    if (!b || d->status != MR_OK) {
        publish_lost(js, s, d);
        if (b) batch_drop(&b->head);
        return;
    }
    bool read = ask_get(&a, reply);
    must(read && b->f.pending > 0);
    b->f.stream = d->seq;
    b->f.persisted = --b->f.pending == 0 ? b->f.last : a.seq;
    if (b->f.commit && b->f.last == b->f.persisted) {
        end(js, b, reply);
    } else if (flow_due(&b->f, s->batches.fast_n)) {
        uint8_t out[TEXT_MAX];
        struct text t = text_on(out);
        flow_put(&t, b->f.told, b->f.every);
        js_reply(js, reply, SPAN_EMPTY, text_span(&t));
    }
}
