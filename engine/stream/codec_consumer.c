/* codec_consumer.c - REC_CONSUMER and REC_PROGRESS; the format stands atop codec.c. */
#include <stdlib.h>

#include "base/bytes.h"
#include "base/must.h"
#include "stream/codec_core.h"
#include "stream/consumer.h"
#include "stream/tlv.h"

enum { CONFIG_WORDS = 9, STATE_WORDS = 9 };
enum { F_DURABLE = 1, F_MEM = 2, F_HEADERS_ONLY = 4 };

static void put_config(struct codec_buf *b, const struct mr_consumer_config *c) {
    must(b && c);
    must(c->name.n > 0);
    must(c->backoff_count <= CONF_BACKOFF_MAX);
    uint64_t w[CONFIG_WORDS] = {(c->durable ? F_DURABLE : 0u) | (c->mem_storage ? F_MEM : 0u) |
                                    (c->headers_only ? F_HEADERS_ONLY : 0u),
                                c->deliver,
                                c->opt_start_seq,
                                (uint64_t)c->opt_start_time,
                                c->ack,
                                (uint64_t)c->ack_wait_ns,
                                (uint64_t)c->max_deliver,
                                (uint64_t)c->max_ack_pending,
                                (uint64_t)c->inactive_threshold_ns};
    tlv_bytes(b, TAG_NAME, span_of_bytes(c->name));
    tlv_words(b, TAG_CONFIG, w, CONFIG_WORDS);
    for (size_t i = 0; i < c->filters_count; i++) tlv_bytes(b, TAG_SUBJECT, span_of_bytes(c->filters[i]));
    if (c->backoff_count) tlv_words(b, TAG_BACKOFF, (const uint64_t *)c->backoff_ns, c->backoff_count);
    if (c->extra.n) tlv_bytes(b, TAG_EXTRA, span_of_bytes(c->extra));
}

static void put_state(struct codec_buf *b, const struct consumer *c) {
    must(c->next_seq > 0);
    must(c->floor_cseq <= c->delivered_cseq);
    uint64_t w[STATE_WORDS] = {(uint64_t)c->created,
                               (uint64_t)c->delivered_last,
                               (uint64_t)c->floor_last,
                               c->next_seq,
                               c->delivered_cseq,
                               c->delivered_seq,
                               c->floor_cseq,
                               c->floor_seq,
                               c->last_per_subject_until};
    tlv_words(b, TAG_STATE, w, STATE_WORDS);
}

static enum pending_as place_of(const struct pending *p) {
    must(p->where != PENDING_FREE);
    if (p->where == PENDING_DEAD) return AS_DEAD;
    return p->where == PENDING_QUEUE ? AS_QUEUED : AS_WAITING;
}

static void put_step(struct codec_buf *b, uint64_t from, uint64_t to) {
    tlv_varint(b, tlv_zigzag((int64_t)(to - from)));
}

static void put_entry(struct codec_buf *b, const struct pending *p, struct pending *last) {
    must(p->seq > 0);
    must(p->cseq > 0);
    put_step(b, last->seq, p->seq);
    put_step(b, last->cseq, p->cseq);
    put_step(b, (uint64_t)last->ts, (uint64_t)p->ts);
    tlv_varint(b, p->redelivered);
    tlv_varint(b, place_of(p));
    *last = *p;
}

enum err codec_consumer(struct codec_buf *b, const struct consumer *c) {
    must(b && c);
    const struct pending_set *s = &c->pending;
    tlv_reset(b);
    put_config(b, &c->conf.c);
    put_state(b, c);
    size_t at = tlv_begin(b, TAG_PENDING);
    struct pending last = {0};
    for (uint32_t i = s->order.head; i != PENDING_NONE; i = pending_at(s, i)->newer)
        put_entry(b, pending_at(s, i), &last);
    for (uint32_t i = s->gone.head; i != PENDING_NONE; i = pending_at(s, i)->after)
        put_entry(b, pending_at(s, i), &last);
    tlv_end(b, at);
    return b->failed ? ERR_NOMEM : ERR_OK;
}

enum err codec_progress(struct codec_buf *b, const struct consumer *c) {
    must(b && c);
    must(!c->want_full);
    const struct pending_set *s = &c->pending;
    tlv_reset(b);
    put_state(b, c);
    if (s->dirty_count) {
        size_t at = tlv_begin(b, TAG_PENDING);
        struct pending last = {0};
        for (uint32_t i = s->dirty.head; i != PENDING_NONE; i = pending_at(s, i)->dirty_next)
            put_entry(b, pending_at(s, i), &last);
        tlv_end(b, at);
    }
    if (c->removed_len) {
        size_t at = tlv_begin(b, TAG_REMOVED);
        for (uint32_t i = 0; i < c->removed_len; i++) put_step(b, i ? c->removed[i - 1] : 0, c->removed[i]);
        tlv_end(b, at);
    }
    return b->failed ? ERR_NOMEM : ERR_OK;
}

/* ------------------------------------------------------------------------------------------------ reading */

static bool get_step(struct span *s, uint64_t *n) {
    must(s && n);
    uint64_t step;
    if (!tlv_get_varint(s, &step)) return false;
    *n += (uint64_t)tlv_unzigzag(step);
    return true;
}

bool codec_next_pending(struct span *pending, struct pending_image *p) {
    must(pending && p);
    uint64_t ts = (uint64_t)p->ts;
    bool ok = get_step(pending, &p->seq) && get_step(pending, &p->cseq) && get_step(pending, &ts) &&
              tlv_get_varint(pending, &p->redelivered) && tlv_get_varint(pending, &p->place);
    p->ts = (int64_t)ts;
    return ok;
}

bool codec_next_removed(struct span *removed, uint64_t *seq) { return get_step(removed, seq); }

static bool check_numbers(const struct consumer_numbers *n) {
    must(n);
    const uint64_t max = UINT64_MAX - 2;
    return n->next_seq > 0 && n->next_seq < max && n->delivered_seq < max && n->floor_seq < max &&
           n->delivered_cseq < max && n->floor_cseq <= n->delivered_cseq && n->last_per_subject_until < max;
}

static bool check_entries(const struct consumer_image *img) {
    must(img);
    must(img->n.next_seq > 0);
    struct span s = img->pending;
    struct pending_image p = {0};
    while (s.n) {
        if (!codec_next_pending(&s, &p)) return false;
        if (p.seq == 0 || p.seq >= img->n.next_seq || p.cseq == 0 || p.cseq > img->n.delivered_cseq)
            return false;
        if (p.redelivered >= UINT32_MAX || p.place >= AS_END) return false;
    }
    uint64_t seq = 0;
    for (s = img->removed; s.n;) {
        if (!codec_next_removed(&s, &seq)) return false;
    }
    return true;
}

static bool take_item(struct consumer_image *img, const struct tlv *t, uint64_t *config, uint64_t *state,
                      struct span *backoff) {
    must(img && t);
    must(config && state && backoff);
    must(t->tag != 0);
    switch (t->tag) {
    case TAG_NAME: img->conf.c.name = bytes_of_span(t->value); return true;
    case TAG_EXTRA: img->conf.c.extra = bytes_of_span(t->value); return true;
    case TAG_CONFIG: return tlv_get_words(t->value, config, CONFIG_WORDS);
    case TAG_STATE: return tlv_get_words(t->value, state, STATE_WORDS);
    case TAG_BACKOFF: *backoff = t->value; return t->value.n % 8 == 0 && t->value.n / 8 <= CONF_BACKOFF_MAX;
    case TAG_PENDING: img->pending = t->value; return true;
    case TAG_REMOVED: img->removed = t->value; return true;
    default: return true;
    }
}

static void numbers_of(const uint64_t *w, struct consumer_numbers *n) {
    must(w && n);
    *n = (struct consumer_numbers){.created = (int64_t)w[0],
                                   .delivered_last = (int64_t)w[1],
                                   .floor_last = (int64_t)w[2],
                                   .next_seq = w[3],
                                   .delivered_cseq = w[4],
                                   .delivered_seq = w[5],
                                   .floor_cseq = w[6],
                                   .floor_seq = w[7],
                                   .last_per_subject_until = w[8]};
}

static enum err read_items(struct span record, struct consumer_image *img, uint64_t *config,
                           struct span *backoff) {
    must(img && config && backoff);
    *img = (struct consumer_image){0};
    uint64_t state[STATE_WORDS] = {0};
    struct tlv t = tlv_open(record);
    while (tlv_next(&t)) {
        if (!take_item(img, &t, config, state, backoff)) return ERR_CORRUPT;
    }
    numbers_of(state, &img->n);
    return !t.bad && check_numbers(&img->n) && check_entries(img) ? ERR_OK : ERR_CORRUPT;
}

enum err codec_read_progress(struct span record, struct consumer_image *img) {
    must(img);
    uint64_t config[CONFIG_WORDS] = {0};
    struct span backoff = SPAN_EMPTY;
    enum err e = read_items(record, img, config, &backoff);
    img->conf.c = (struct mr_consumer_config){0};
    return e;
}

static void config_of(const uint64_t *w, struct mr_consumer_config *c) {
    must(w && c);
    c->size = sizeof *c;
    c->durable = w[0] & F_DURABLE;
    c->mem_storage = w[0] & F_MEM;
    c->headers_only = w[0] & F_HEADERS_ONLY;
    c->deliver = (enum mr_deliver)(w[1] & 0xff);
    c->opt_start_seq = w[2];
    c->opt_start_time = (int64_t)w[3];
    c->ack = (enum mr_ack_policy)(w[4] & 0xff);
    c->ack_wait_ns = (int64_t)w[5];
    c->max_deliver = (int64_t)w[6];
    c->max_ack_pending = (int64_t)w[7];
    c->inactive_threshold_ns = (int64_t)w[8];
}

static enum err copy_config(struct consumer_image *img, struct mr_consumer_config *c, struct span record,
                            struct span backoff) {
    must(img && c);
    must(backoff.n % 8 == 0);
    must(backoff.n / 8 <= CONF_BACKOFF_MAX);
    struct mr_bytes *filters;
    enum err e = codec_subjects(record, &filters, &c->filters_count);
    if (e != ERR_OK) return e;
    int64_t steps[CONF_BACKOFF_MAX];
    c->backoff_count = backoff.n / 8;
    for (size_t i = 0; i < c->backoff_count; i++) steps[i] = (int64_t)load64(backoff.p + 8 * i);
    c->backoff_ns = steps;
    c->filters = filters;
    e = consumer_conf_copy(&img->conf, c);
    c->backoff_ns = NULL;
    c->filters = NULL;
    free(filters);
    return e == ERR_INVAL ? ERR_CORRUPT : e;
}

enum err codec_read_consumer(struct span record, struct consumer_image *img) {
    must(img);
    uint64_t config[CONFIG_WORDS] = {0};
    struct span backoff = SPAN_EMPTY;
    enum err e = read_items(record, img, config, &backoff);
    if (e != ERR_OK) return e;
    struct mr_consumer_config c = img->conf.c;
    if (c.name.n == 0) return ERR_CORRUPT;
    config_of(config, &c);
    return copy_config(img, &c, record, backoff);
}
