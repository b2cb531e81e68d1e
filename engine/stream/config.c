#include "stream/config.h"

#include <stdlib.h>
#include <string.h>

#include "base/must.h"

/* Where the next copied bytes go. */
struct packer {
    uint8_t *at, *end;
};

static struct mr_bytes pack(struct packer *p, struct mr_bytes b) {
    must(p->at <= p->end);
    must(b.p || b.n == 0);
    must((size_t)(p->end - p->at) >= b.n);
    struct mr_bytes copy = {b.n ? p->at : NULL, b.n};
    if (b.n) memcpy(p->at, b.p, b.n);
    p->at += b.n;
    return copy;
}

static bool subjects_size(const struct mr_bytes *s, size_t count, size_t *n) {
    must(n);
    must(s || count == 0);
    if (count > CONF_SUBJECTS_MAX) return false;
    for (size_t i = 0; i < count; i++) {
        if (s[i].n > UINT16_MAX) return false;
        *n += s[i].n;
    }
    return true;
}

static const struct mr_bytes *pack_subjects(struct packer *p, struct mr_bytes *to, const struct mr_bytes *s,
                                            size_t count) {
    must(p && to);
    must(p->at <= p->end);
    for (size_t i = 0; i < count; i++) to[i] = pack(p, s[i]);
    return count ? to : NULL;
}

static bool stream_ok(const struct mr_stream_config *c) {
    must(c);
    return c->size >= sizeof *c && c->name.n <= CONF_NAME_MAX && c->extra.n <= CONF_EXTRA_MAX &&
           (unsigned)c->storage <= MR_MEMORY && (unsigned)c->retention <= MR_RETAIN_WORKQUEUE &&
           (unsigned)c->discard <= MR_DISCARD_NEW && c->max_age_ns >= 0 && c->duplicate_window_ns >= 0 &&
           c->first_seq <= MR_FIRST_SEQ_MAX;
}

enum err stream_conf_copy(struct stream_conf *to, const struct mr_stream_config *c) {
    must(to && c);
    size_t n = c->name.n + c->extra.n, heads = c->subjects_count * sizeof(struct mr_bytes);
    if (!stream_ok(c) || !subjects_size(c->subjects, c->subjects_count, &n)) return ERR_INVAL;
    uint8_t *block = malloc(heads + n + 1);
    if (!block) return ERR_NOMEM;
    struct packer p = {block + heads, block + heads + n};
    to->block = block;
    to->c = *c;
    to->c.size = sizeof *c;
    to->c.name = pack(&p, c->name);
    to->c.extra = pack(&p, c->extra);
    to->c.subjects = pack_subjects(&p, (struct mr_bytes *)(void *)block, c->subjects, c->subjects_count);
    must(p.at == p.end);
    return ERR_OK;
}

void stream_conf_deinit(struct stream_conf *f) {
    must(f);
    free(f->block);
    *f = (struct stream_conf){0};
}

static bool consumer_ok(const struct mr_consumer_config *c) {
    must(c);
    must(c->backoff_ns || c->backoff_count == 0);
    bool ok = c->size >= sizeof *c && c->name.n <= CONF_NAME_MAX && c->extra.n <= CONF_EXTRA_MAX &&
              (unsigned)c->deliver <= MR_DELIVER_LAST_PER_SUBJECT && (unsigned)c->ack <= MR_ACK_EXPLICIT &&
              c->ack_wait_ns >= 0 && c->backoff_count <= CONF_BACKOFF_MAX;
    for (size_t i = 0; ok && i < c->backoff_count; i++) ok = c->backoff_ns[i] >= 0;
    return ok;
}

enum err consumer_conf_copy(struct consumer_conf *to, const struct mr_consumer_config *c) {
    must(to && c);
    size_t n = c->name.n + c->extra.n;
    if (!consumer_ok(c) || !subjects_size(c->filters, c->filters_count, &n)) return ERR_INVAL;
    size_t heads = c->filters_count * sizeof(struct mr_bytes), steps = c->backoff_count * sizeof(int64_t);
    uint8_t *block = malloc(heads + steps + n + 1);
    if (!block) return ERR_NOMEM;
    struct packer p = {block + heads + steps, block + heads + steps + n};
    to->block = block;
    to->c = *c;
    to->c.size = sizeof *c;
    to->c.name = pack(&p, c->name);
    to->c.extra = pack(&p, c->extra);
    to->c.filters = pack_subjects(&p, (struct mr_bytes *)(void *)block, c->filters, c->filters_count);
    int64_t *backoff = (int64_t *)(void *)(block + heads);
    for (size_t i = 0; i < c->backoff_count; i++) backoff[i] = c->backoff_ns[i];
    to->c.backoff_ns = c->backoff_count ? backoff : NULL;
    must(p.at == p.end);
    return ERR_OK;
}

void consumer_conf_deinit(struct consumer_conf *f) {
    must(f);
    free(f->block);
    *f = (struct consumer_conf){0};
}
