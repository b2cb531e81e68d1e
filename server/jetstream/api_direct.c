/* api_direct.c - DIRECT.GET: messages themselves instead of JSON about them, of what is durable, without
 * waiting for anything but the disk. One message, a batch of them in order, or the last ones of many
 * subjects.
 *
 * Happy path: the request is read, what it names becomes a sequence (or a list of them), each message leaves
 * with headers that say where it is from; batches end in "204 EOB". A batch is bounded a turn and goes on in
 * the next. What fails is a status line. */
#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"
#include "jetstream/api.h"
#include "jetstream/get_body.h"
#include "subject/subject.h"
#include "wire/gotime.h"
#include "wire/header.h"

enum {
    TURN_MSGS = 256,
    BYTES_DEFAULT = 64 << 20, /* of a batch that does not say */
    MULTI_MAX = 1024,         /* as nats-server */
    COUNT_MAX = 1 << 20,      /* messages looked at to count what is pending */
};

/* What a request keeps over waits. The text of r->out holds the filter of a batch or the sequences of a
 * multi. */
enum { W_SEQ, W_FLAGS, W_LEFT, W_BYTES, W_LAST, W_PENDING, W_UP_TO, W_AT };
enum { FLAG_NO_HDR = 1, FLAG_BATCH = 2, FLAG_MULTI = 4, FLAG_SENT = 8 };

static void status(struct api_req *r, const char *line) {
    char out[64];
    int n = snprintf(out, sizeof out, "NATS/1.0 %s\r\n\r\n", line);
    must(n > 0 && (size_t)n < sizeof out);
    js_reply(r->js, r->reply, span_of(out, (size_t)n), SPAN_EMPTY);
    api_drop(r);
}

/* What the router says when nobody listens. */
static void gone(struct api_req *r) {
    char out[64 + JS_REPLY_MAX];
    int n = snprintf(out, sizeof out, "NATS/1.0 503\r\nNats-Subject: $JS.API.%.*s\r\n\r\n",
                     (int)(r->subject.n < 3000 ? r->subject.n : 3000), r->subject.p);
    must(n > 0 && (size_t)n < sizeof out);
    js_reply(r->js, r->reply, span_of(out, (size_t)n), SPAN_EMPTY);
    api_drop(r);
}

/* The message's headers, and where it is from. 0: does not fit. */
static size_t headers_put(uint8_t *out, size_t room, const struct api_req *r, const struct mr_msg_view *v) {
    must(v->seq > 0 && room > JS_REPLY_MAX);
    struct header_buf b;
    char ts[GOTIME_TEXT_MAX];
    header_begin(&b, out, room, 0, SPAN_EMPTY);
    if (v->msg.hdr.n) header_add_all(&b, js_span(v->msg.hdr), NULL, 0);
    header_add(&b, SPAN_LIT("Nats-Stream"), r->stream);
    header_add(&b, SPAN_LIT("Nats-Subject"), js_span(v->msg.subject));
    header_add_u64(&b, SPAN_LIT("Nats-Sequence"), v->seq);
    header_add(&b, SPAN_LIT("Nats-Time-Stamp"), span_of(ts, gotime_put(ts, v->ts)));
    if (r->word[W_FLAGS] & (FLAG_BATCH | FLAG_MULTI)) {
        header_add_u64(&b, SPAN_LIT("Nats-Num-Pending"), r->word[W_PENDING]);
        header_add_u64(&b, SPAN_LIT("Nats-Last-Sequence"), r->word[W_LAST]);
    }
    return header_end(&b);
}

static void send_one(struct api_req *r, const struct mr_msg_view *v) {
    uint8_t hdr[UINT16_MAX + 2 * JS_REPLY_MAX];
    size_t n = 0;
    must(r->reply.n > 0);
    if (!(r->word[W_FLAGS] & FLAG_NO_HDR)) n = headers_put(hdr, sizeof hdr, r, v);
    js_reply(r->js, r->reply, span_of(hdr, n), js_span(v->msg.payload));
    r->word[W_FLAGS] |= FLAG_SENT;
    r->word[W_LAST] = v->seq;
}

/* The stream a read goes on with; NULL: gone, and said. */
static struct js_stream *stream_of(struct api_req *r) {
    must(r->call->flags & API_RAW);
    struct js_stream *s = js_stream_find(r->js, r->stream);
    if (s && s->allow_direct) return s;
    gone(r);
    return NULL;
}

static void read_one(struct api_req *r) {
    must(!(r->word[W_FLAGS] & (FLAG_BATCH | FLAG_MULTI)));
    struct js_stream *s = stream_of(r);
    struct mr_msg_view v;
    if (!s) return;
    api_wait(r, read_one);
    enum mr_status st = r->word[W_SEQ] ? mr_get(s->engine, r->word[W_SEQ], true, &r->wait, &v) : MR_NONE;
    if (st == MR_LATER) return;
    r->resume = NULL;
    if (st != MR_OK) {
        status(r, "404 Message Not Found");
        return;
    }
    send_one(r, &v);
    api_drop(r);
}

/* --- batches --- */

static void end_of_batch(struct api_req *r) {
    char out[192];
    if (!(r->word[W_FLAGS] & FLAG_SENT)) {
        status(r, "404 Message Not Found");
        return;
    }
    int n = snprintf(out, sizeof out,
                     "NATS/1.0 204 EOB\r\nNats-Num-Pending: %llu\r\nNats-Last-Sequence: %llu\r\n",
                     (unsigned long long)r->word[W_PENDING], (unsigned long long)r->word[W_LAST]);
    if (r->word[W_FLAGS] & FLAG_MULTI)
        n += snprintf(out + n, sizeof out - (size_t)n, "Nats-UpTo-Sequence: %llu\r\n",
                      (unsigned long long)r->word[W_UP_TO]);
    n += snprintf(out + n, sizeof out - (size_t)n, "\r\n");
    must(n > 0 && (size_t)n < sizeof out);
    js_reply(r->js, r->reply, span_of(out, (size_t)n), SPAN_EMPTY);
    api_drop(r);
}

/* The next sequence of the batch; 0: no more. */
static uint64_t next_seq(const struct api_req *r, const struct js_stream *s) {
    must(r->word[W_LEFT] > 0);
    if (!(r->word[W_FLAGS] & FLAG_MULTI))
        return mr_seq_next(s->engine, r->word[W_SEQ], js_bytes(text_span(&r->out)), true);
    uint64_t seq = 0;
    if ((r->word[W_AT] + 1) * sizeof seq <= r->out.n)
        memcpy(&seq, r->out.p + r->word[W_AT] * sizeof seq, sizeof seq);
    return seq;
}

static void read_batch(struct api_req *r) {
    must(r->word[W_FLAGS] & (FLAG_BATCH | FLAG_MULTI));
    struct js *js = r->js;
    struct js_stream *s = stream_of(r);
    for (size_t i = 0; s && i < TURN_MSGS; i++) {
        struct mr_msg_view v;
        uint64_t seq = r->word[W_LEFT] ? next_seq(r, s) : 0;
        if (seq == 0) {
            end_of_batch(r);
            return;
        }
        api_wait(r, read_batch);
        enum mr_status st = mr_get(s->engine, seq, true, &r->wait, &v);
        if (st == MR_LATER) return;
        r->resume = NULL;
        r->word[W_SEQ] = seq + 1;
        r->word[W_AT]++;
        /* matches nats-server, which does not count when it shows no headers */
        if (r->word[W_PENDING] && !(r->word[W_FLAGS] & FLAG_NO_HDR)) r->word[W_PENDING]--;
        if (st != MR_OK) continue; /* deleted or damaged meanwhile */
        size_t size = v.msg.subject.n + v.msg.hdr.n + v.msg.payload.n;
        send_one(r, &v);
        r->word[W_LEFT]--;
        if (size >= r->word[W_BYTES]) r->word[W_LEFT] = 0;
        r->word[W_BYTES] -= size < r->word[W_BYTES] ? size : r->word[W_BYTES];
        if (js_way_congested(js, r->reply)) break;
    }
    if (s) api_again(r, read_batch);
}

/* --- how many are left --- */

struct count {
    const struct js_stream *s;
    uint64_t from, n;
    size_t looked;
};

static bool count_subject(void *ctx, struct mr_bytes subject, uint64_t msgs, uint64_t first, uint64_t last) {
    must(first <= last);
    struct count *c = ctx;
    if (first >= c->from) {
        c->n += msgs;
        return true;
    }
    for (uint64_t seq = c->from; last >= c->from && c->looked < COUNT_MAX; c->looked++) {
        seq = mr_seq_next(c->s->engine, seq, subject, true);
        if (seq == 0) break;
        c->n++;
        seq++;
    }
    return true;
}

static uint64_t count_from(const struct js_stream *s, uint64_t from, struct span filter) {
    must(from > 0);
    struct count c = {.s = s, .from = from};
    mr_subjects(s->engine, js_bytes(filter), count_subject, &c);
    return c.n;
}

/* --- the last of many subjects --- */

struct multi {
    const struct js_stream *s;
    uint64_t from, up_to;
    uint64_t seq[MULTI_MAX];
    size_t n, looked;
    bool too_many;
};

/* The last message of a subject that went on behind up_to. */
static uint64_t last_before(struct multi *m, struct mr_bytes subject, uint64_t first) {
    must(first <= m->up_to);
    uint64_t found = 0;
    for (uint64_t seq = first; m->looked < COUNT_MAX; m->looked++) {
        seq = mr_seq_next(m->s->engine, seq, subject, true);
        if (seq == 0 || seq > m->up_to) break;
        found = seq++;
    }
    return found;
}

static bool multi_subject(void *ctx, struct mr_bytes subject, uint64_t msgs, uint64_t first, uint64_t last) {
    must(first <= last);
    struct multi *m = ctx;
    (void)msgs;
    uint64_t seq = last <= m->up_to ? last : first <= m->up_to ? last_before(m, subject, first) : 0;
    if (seq == 0 || seq < m->from) return true;
    m->too_many = m->n == MULTI_MAX;
    if (!m->too_many) m->seq[m->n++] = seq;
    return !m->too_many;
}

static int by_seq(const void *a, const void *b) {
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Sorted, each once: filters may overlap. */
static void multi_sort(struct multi *m) {
    size_t n = 0;
    must(m->n <= MULTI_MAX);
    qsort(m->seq, m->n, sizeof m->seq[0], by_seq);
    for (size_t i = 0; i < m->n; i++)
        if (i == 0 || m->seq[i] != m->seq[i - 1]) m->seq[n++] = m->seq[i];
    m->n = n;
}

static uint64_t up_to_of(const struct js_stream *s, const struct get_body *b, const char **line) {
    must(*line == NULL);
    struct mr_stream_state st;
    mr_stream_state(s->engine, &st);
    if (b->up_to_time == GET_NO_TIME) return b->up_to_seq ? b->up_to_seq : st.visible_seq;
    uint64_t seq = mr_seq_at(s->engine, b->up_to_time);
    if (seq <= st.first_seq) {
        *line = "404 No Results";
        return 0;
    }
    return seq - 1;
}

/* NULL: to be read on; else the status line. */
static const char *multi_begin(struct api_req *r, const struct js_stream *s, const struct get_body *b) {
    must(yyjson_arr_size(b->multi_last) > 0);
    const char *line = NULL;
    struct multi *m = calloc(1, sizeof *m);
    if (!m) return "500 insufficient resources";
    m->s = s;
    m->from = b->seq;
    m->up_to = up_to_of(s, b, &line);
    yyjson_arr_iter it = yyjson_arr_iter_with(b->multi_last);
    for (yyjson_val *v; !line && !m->too_many && (v = yyjson_arr_iter_next(&it));)
        mr_subjects(s->engine, (struct mr_bytes){(const uint8_t *)yyjson_get_str(v), yyjson_get_len(v)},
                    multi_subject, m);
    multi_sort(m);
    if (!line && m->too_many) line = "413 Too Many Results";
    if (!line && m->n == 0) line = "404 No Results";
    if (!line) {
        r->out.n = 0;
        text_raw(&r->out, span_of(m->seq, m->n * sizeof m->seq[0]));
        r->word[W_FLAGS] |= FLAG_MULTI;
        r->word[W_PENDING] = m->n;
        r->word[W_LEFT] = b->batch > 0 ? (uint64_t)b->batch : m->n;
        r->word[W_UP_TO] = m->up_to;
    }
    free(m);
    return line;
}

/* --- the request --- */

static bool conflict(const struct get_body *b) {
    bool time = b->start_time != GET_NO_TIME, multi = yyjson_arr_size(b->multi_last) > 0;
    return (b->seq && b->last.n) || (b->seq && time) || (time && b->last.n) || (b->last.n && b->next.n) ||
           (b->last.n && b->batch > 0) || (b->last.n && multi) || (b->next.n && multi) ||
           (b->up_to_seq && b->up_to_time != GET_NO_TIME);
}

/* The subject form: `DIRECT.GET.<stream>.<subject>`, which may be a pattern. */
static const char *by_subject(struct api_req *r, const struct js_stream *s, const struct get_body *b) {
    must(r->rest.n > 0);
    if (b->last.n || b->next.n || yyjson_arr_size(b->multi_last) > 0 || b->seq || b->batch ||
        b->start_time != GET_NO_TIME || b->up_to_seq || b->up_to_time != GET_NO_TIME)
        return "408 Bad Request";
    r->word[W_SEQ] = mr_seq_last(s->engine, js_bytes(r->rest), true);
    return NULL;
}

static void batch_begin(struct api_req *r, const struct js_stream *s, const struct get_body *b) {
    must(b->batch > 0);
    uint64_t from = b->start_time != GET_NO_TIME ? mr_seq_at(s->engine, b->start_time) : b->seq;
    r->out.n = 0;
    text_raw(&r->out, b->next);
    r->word[W_FLAGS] |= FLAG_BATCH;
    r->word[W_SEQ] = from ? from : 1;
    r->word[W_LEFT] = (uint64_t)b->batch;
    r->word[W_PENDING] = count_from(s, r->word[W_SEQ], b->next);
}

static const char *by_body(struct api_req *r, const struct js_stream *s, const struct get_body *b) {
    must(r->rest.n == 0);
    bool time = b->start_time != GET_NO_TIME, multi = yyjson_arr_size(b->multi_last) > 0;
    if (b->seq == 0 && b->last.n == 0 && b->next.n == 0 && !multi && !time) return "408 Empty Request";
    if (conflict(b)) return "408 Bad Request";
    r->word[W_BYTES] = b->max_bytes > 0 ? (uint64_t)b->max_bytes : BYTES_DEFAULT;
    if (multi) return multi_begin(r, s, b);
    if (b->batch > 0)
        batch_begin(r, s, b);
    else
        r->word[W_SEQ] = get_body_seq(s, b, true);
    return NULL;
}

void api_direct_get(struct api_req *r) {
    must(r->call->flags & API_RAW);
    struct get_body b = GET_BODY_INIT;
    struct json_err je;
    struct js_stream *s = stream_of(r);
    if (!s) return;
    if (!api_level_ok(r->js, r->hdr)) {
        status(r, "412 Required Api Level");
        return;
    }
    if (r->body.n == 0 && r->rest.n == 0) {
        status(r, "408 Empty Request");
        return;
    }
    yyjson_doc *doc = r->body.n ? json_read(r->body, JSON_DEPTH_MAX, &je) : NULL;
    const char *line;
    if (r->body.n && (!doc || !json_decode(yyjson_doc_get_root(doc), &get_body_table, false, &b, &je)))
        line = "408 Malformed Request";
    else
        line = r->rest.n ? by_subject(r, s, &b) : by_body(r, s, &b);
    if (b.no_hdr && !(r->word[W_FLAGS] & FLAG_MULTI)) r->word[W_FLAGS] |= FLAG_NO_HDR;
    yyjson_doc_free(doc);
    if (line)
        status(r, line);
    else if (r->word[W_FLAGS] & (FLAG_BATCH | FLAG_MULTI))
        read_batch(r);
    else
        read_one(r);
}
