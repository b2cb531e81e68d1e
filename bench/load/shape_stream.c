/* shape_stream.c - publishes to streams, each acknowledged. A publish carries the number of a slot in its
 * reply subject; the acknowledgement frees the slot. Judged: every publish is acknowledged once, by the
 * stream it went to, with sequences that rise for each connection; afterwards the streams' own counts, and a
 * sample of acknowledged sequences read back and compared. */
#include "load/shape_stream.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"

enum { READ_BACK_MAX = 64 };

void stream_name(const struct work *w, uint32_t i, char *out, size_t room) {
    /* The stand-in servers of `trust` know one name only. */
    if (w->trust)
        snprintf(out, room, "WL");
    else
        snprintf(out, room, "MRB%u", i);
}

/* Consumers that wait for nothing: nobody asks them for messages. */
static bool idle_consumers(struct run *r) {
    char stream[32], name[32];
    stream_name(r->work, 0, stream, sizeof stream);
    for (uint32_t i = 0; i < r->work->consumers; i++) {
        snprintf(name, sizeof name, "idle%u", i);
        if (!api_consumer_make(&r->api, stream, name, true, 1000)) return false;
    }
    return true;
}

bool stream_prepare(struct run *r) {
    const struct work *w = r->work;
    for (uint32_t i = 0; i < w->streams; i++) {
        struct stream_spec s = {
            .memory = w->memory, .per_subject = w->per_subject, .work_queue = w->work_queue};
        stream_name(w, i, s.name, sizeof s.name);
        snprintf(s.subjects, sizeof s.subjects, w->subjects > 1 ? "mrb.%u.*" : "mrb.%u", i);
        if (!api_stream_make(&r->api, &s)) return false;
    }
    return w->kind != WORK_STREAM || idle_consumers(r);
}

bool stream_open_sender(struct run *r, struct link *l) {
    const struct work *w = r->work;
    char text[96];
    snprintf(text, sizeof text, "SUB %s.%u.* 1\r\n", r->inbox, l->conn.id);
    conn_put_text(&l->conn, text);
    link_slots_open(l, link_window(w));
    l->next = calloc(w->streams, sizeof *l->next);
    must(l->next);
    return true;
}

bool stream_may_send(struct link *l) { return l->free_n > 0; }

static uint8_t *put_text(uint8_t *p, const char *text, size_t n) {
    memcpy(p, text, n);
    return p + n;
}

/* mrb.<stream>[.<subject>]: messages go over streams and subjects in a fixed pattern that touches all of
 * them. */
static uint8_t *put_subject(const struct work *w, uint8_t *p, const struct link *l, uint32_t *stream) {
    uint64_t n = l->sent * w->publishers + l->index;
    *stream = (uint32_t)(n % w->streams);
    p = put_text(p, "mrb.", 4);
    p += put_u64(p, *stream);
    if (w->subjects < 2) return p;
    *p++ = '.';
    return p + put_u64(p, (n / w->streams) * 2654435761u % w->subjects);
}

void stream_send(struct link *l, uint64_t intended_ns) {
    const struct run *r = l->lane->run;
    uint32_t i = l->free[--l->free_n], size = r->payload.size;
    struct slot *slot = &l->slots[i];
    uint8_t line[160], *p = put_text(line, "PUB ", 4);
    p = put_subject(r->work, p, l, &slot->stream);
    *p++ = ' ';
    p = put_text(p, r->inbox, strlen(r->inbox));
    *p++ = '.';
    p += put_u64(p, l->conn.id);
    *p++ = '.';
    p += put_u64(p, i);
    *p++ = ' ';
    p += put_u64(p, size);
    p = put_text(p, "\r\n", 2);
    size_t line_n = (size_t)(p - line);
    uint8_t *out = conn_room(&l->conn, line_n + size + 2);
    memcpy(out, line, line_n);
    slot->tag = payload_tag(l->index, l->sent);
    slot->at_ns = intended_ns;
    slot->busy = true;
    payload_put(&r->payload, out + line_n, slot->tag, intended_ns);
    memcpy(out + line_n + size, "\r\n", 2);
}

/* {"stream":"NAME","seq":N} with or without blanks; false when it says anything else. */
static bool read_ack(struct span s, struct span *stream, uint64_t *sequence) {
    static const char seq[] = "\"seq\":";
    if (!span_starts(s, SPAN_LIT("{\"stream\":"))) return false;
    const uint8_t *begin = s.p + 10, *end = s.p + s.n;
    while (begin < end && *begin == ' ') begin++;
    if (begin == end || *begin++ != '"') return false;
    const uint8_t *quote = memchr(begin, '"', (size_t)(end - begin));
    if (!quote) return false;
    *stream = span_of(begin, (size_t)(quote - begin));
    const uint8_t *p = memmem(quote, (size_t)(end - quote), seq, sizeof seq - 1);
    if (!p) return false;
    for (p += sizeof seq - 1; p < end && *p == ' ';) p++;
    const uint8_t *digits = p;
    while (p < end && *p >= '0' && *p <= '9') p++;
    if (!get_u64(span_of(digits, (size_t)(p - digits)), sequence)) return false;
    size_t rest = (size_t)(end - p);
    return rest <= 2 || !memmem(p, rest, "\"duplicate\":true", 16);
}

/* Keeps every 2^n-th acknowledgement, twice as rarely whenever the room is used up. */
static void take_sample(struct lane *lane, uint32_t stream, uint64_t sequence, uint64_t tag) {
    if (lane->came & lane->samples_mask) return;
    if (lane->samples_n == SAMPLES_MAX) {
        for (uint32_t i = 0; i < SAMPLES_MAX / 2; i++) lane->samples[i] = lane->samples[2 * i];
        lane->samples_n = SAMPLES_MAX / 2;
        lane->samples_mask = lane->samples_mask * 2 + 1;
    }
    lane->samples[lane->samples_n++] = (struct sample){sequence, tag, stream};
}

static void refused(struct link *l, const struct incoming *m) {
    if (m->payload.n == 0)
        lane_void(l->lane, "a publish was not taken by any stream: %.*s",
                  (int)(m->header.n > 2 ? m->header.n - 4 : 0), (const char *)m->header.p);
    else
        lane_void(l->lane, "a publish was refused: %.*s", (int)(m->payload.n < 180 ? m->payload.n : 180),
                  (const char *)m->payload.p);
}

static bool judge_ack(struct link *l, const struct slot *slot, const struct incoming *m, uint64_t *sequence) {
    const struct work *w = l->lane->run->work;
    struct span stream;
    if (!read_ack(m->payload, &stream, sequence)) {
        refused(l, m);
        return false;
    }
    if (w->trust) return true;
    char name[32];
    stream_name(w, slot->stream, name, sizeof name);
    if (!span_eq(stream, span_str(name))) {
        lane_void(l->lane, "stream %.*s acknowledged what was sent to %s", (int)stream.n,
                  (const char *)stream.p, name);
        return false;
    }
    if (*sequence <= l->next[slot->stream]) {
        lane_void(l->lane, "out of order: sequence %llu of %s was acknowledged after %llu",
                  (unsigned long long)*sequence, name, (unsigned long long)l->next[slot->stream]);
        return false;
    }
    return true;
}

void stream_on_ack(struct link *l, const struct incoming *m, uint64_t now, bool counts) {
    const uint8_t *dot = memrchr(m->subject.p, '.', m->subject.n);
    uint64_t i = UINT64_MAX, sequence = 0;
    if (dot) get_u64(span_of(dot + 1, (size_t)(m->subject.p + m->subject.n - dot - 1)), &i);
    if (i >= l->slots_n || !l->slots[i].busy) {
        lane_void(l->lane, "an acknowledgement came that nothing waits for: %.*s", (int)m->subject.n,
                  (const char *)m->subject.p);
        return;
    }
    struct slot *slot = &l->slots[i];
    if (!judge_ack(l, slot, m, &sequence)) return;
    l->next[slot->stream] = sequence;
    l->lane->stream_count[slot->stream]++;
    take_sample(l->lane, slot->stream, sequence, slot->tag);
    slot->busy = false;
    l->free[l->free_n++] = (uint32_t)i;
    l->came++;
    if (counts) lane_came(l->lane, slot->at_ns, now, l->lane->run->payload.size);
}

static void on_message(void *ctx, struct conn *c, const struct incoming *m, uint64_t now) {
    (void)c;
    stream_on_ack(ctx, m, now, true);
}

bool stream_answered(const struct lane *lane) {
    for (uint32_t i = 0; i < lane->senders_n; i++) {
        if (lane->links[i].came < lane->links[i].sent) return false;
    }
    return true;
}

static bool complete(struct lane *lane) { return lane->came == lane->sent; }

static bool check_counts(struct run *r) {
    const struct work *w = r->work;
    for (uint32_t i = 0; i < w->streams; i++) {
        struct stream_state s;
        char name[32];
        uint64_t acked = 0;
        stream_name(w, i, name, sizeof name);
        for (uint32_t k = 0; k < r->lanes_n; k++) acked += r->lanes[k].stream_count[i];
        if (!api_stream_state(&r->api, name, &s)) return false;
        bool all = w->per_subject ? s.messages <= acked : s.messages == acked;
        if (s.last == acked && all) continue;
        snprintf(r->why, sizeof r->why,
                 "%llu were acknowledged, but %s holds %llu messages up to sequence %llu",
                 (unsigned long long)acked, name, (unsigned long long)s.messages, (unsigned long long)s.last);
        return false;
    }
    return true;
}

static bool read_back(struct run *r, const struct sample *s, uint8_t *room) {
    char name[32];
    size_t n;
    uint64_t tag, at;
    stream_name(r->work, s->stream, name, sizeof name);
    if (!api_stream_get(&r->api, name, s->sequence, room, (size_t)r->payload.size + 8, &n)) return false;
    bool same = payload_get(&r->payload, span_of(room, n), &tag, &at) &&
                (r->payload.size < PAYLOAD_TAG || tag == s->tag);
    if (!same)
        snprintf(r->why, sizeof r->why, "sequence %llu of %s does not hold what was acknowledged under it",
                 (unsigned long long)s->sequence, name);
    return same;
}

bool stream_check(struct run *r) {
    if (!check_counts(r)) return false;
    if (r->work->per_subject) return true; /* what a limit removed cannot be read back */
    uint8_t *room = malloc((size_t)r->payload.size + 16);
    must(room);
    bool ok = true;
    for (uint32_t k = 0; ok && k < r->lanes_n; k++) {
        uint32_t step = r->lanes[k].samples_n > READ_BACK_MAX ? 2 : 1;
        for (uint32_t i = 0; ok && i < r->lanes[k].samples_n; i += step)
            ok = read_back(r, &r->lanes[k].samples[i], room);
    }
    free(room);
    return ok;
}

bool stream_drop_all(struct run *r) {
    for (uint32_t i = 0; i < r->work->streams; i++) {
        char name[32];
        stream_name(r->work, i, name, sizeof name);
        if (!api_stream_drop(&r->api, name)) return false;
    }
    return true;
}

static bool check(struct run *r) {
    /* A server of our own goes with its folder; others get theirs back clean. */
    return stream_check(r) && (r->target->program[0] || stream_drop_all(r));
}

static void close_link(struct run *r, struct link *l) { (void)r, (void)l; }

const struct shape shape_stream = {.prepare = stream_prepare,
                                   .open = stream_open_sender,
                                   .may_send = stream_may_send,
                                   .send = stream_send,
                                   .on_message = on_message,
                                   .complete = complete,
                                   .check = check,
                                   .close = close_link};
