/* casts.c - see casts.h. Happy path: a handler a kind. Casts come from this very program, so a malformed one
 * is a bug. */
#include "jetstream/casts.h"

#include <stddef.h>
#include <stdlib.h>

#include "base/must.h"
#include "jetstream/ack.h"
#include "jetstream/api.h"
#include "jetstream/core.h"
#include "jetstream/deliver.h"
#include "jetstream/gather.h"
#include "jetstream/push.h"
#include "jetstream/text.h"

enum { HEAD = offsetof(struct cast, part) };

void cast_send(struct js *js, unsigned shard, struct cast *c) {
    must(shard < js->host.shards && shard != js->host.self);
    must(c->kind < CAST_KINDS);
    struct span parts[1 + CAST_PARTS] = {span_of(c, HEAD)};
    size_t count = 1;
    for (size_t i = 0; i < CAST_PARTS; i++) {
        must(c->part[i].n <= UINT32_MAX);
        c->n[i] = (uint32_t)c->part[i].n;
        if (c->n[i]) parts[count++] = c->part[i];
    }
    js->host.cast(js->host.ctx, shard, parts, count);
}

void cast_send_others(struct js *js, struct cast *c) {
    must(c->kind == CAST_ADD || c->kind == CAST_REMOVE || c->kind == CAST_GATHER);
    for (unsigned i = 0; i < js->host.shards; i++)
        if (i != js->host.self) cast_send(js, i, c);
}

/* Lines of subjects into the entry; on shard 0 only. */
static void apply_subjects(struct js *js, struct dir_entry *e, const struct cast *c) {
    struct span *subjects = NULL, rest = c->part[1];
    size_t n = 0, cap = 0;
    while (rest.n) {
        const uint8_t *end = memchr(rest.p, '\n', rest.n);
        must(end != NULL);
        if (n == cap) {
            cap = cap ? cap * 2 : 8;
            struct span *more = realloc(subjects, cap * sizeof *subjects);
            if (!more) break;
            subjects = more;
        }
        subjects[n++] = span_of(rest.p, (size_t)(end - rest.p));
        rest = span_skip(rest, (size_t)(end - rest.p) + 1);
    }
    if (directory_subjects(e, subjects, n) != ERR_OK)
        log_line(js->host.log, LOG_ERROR, "jetstream: no memory for the subjects of stream %.*s",
                 (int)e->name.n, e->name.p);
    free(subjects);
    directory_reserve(&js->dir, e, c->flag & CAST_MEMORY, (int64_t)c->word[1]);
}

static void apply_add(struct js *js, const struct cast *c) {
    must(c->part[0].n > 0 && c->word[0] != 0);
    struct dir_entry *e = directory_find(&js->dir, c->part[0]);
    if (e && e->incarnation != c->word[0]) {
        /* The directory has moved on (its original is on shard 0), or this replica has not heard of the
         * removal yet. */
        if (js->host.self == 0 && e->state != DIR_ACTIVE) return;
        directory_remove(&js->dir, e);
        e = NULL;
    }
    if (!e) e = directory_add(&js->dir, c->part[0], c->call, c->word[0]);
    if (!e) {
        log_line(js->host.log, LOG_ERROR, "jetstream: no memory for stream %.*s", (int)c->part[0].n,
                 c->part[0].p);
        return;
    }
    e->allow_direct = c->flag & CAST_DIRECT;
    directory_move(&js->dir, e, DIR_ACTIVE);
    if (js->host.self == 0) apply_subjects(js, e, c);
}

static void apply_remove(struct js *js, const struct cast *c) {
    must(c->word[0] != 0);
    struct dir_entry *e = directory_find(&js->dir, c->part[0]);
    if (e && e->incarnation == c->word[0]) directory_remove(&js->dir, e);
}

void cast_stream_add(struct js_stream *s) {
    must(s->incarnation != 0);
    struct js *js = s->js;
    const struct mr_stream_config *cfg = mr_stream_config(s->engine);
    struct text lines = {0};
    for (size_t i = 0; i < cfg->subjects_count; i++) {
        text_raw(&lines, js_span(cfg->subjects[i]));
        text_lit(&lines, "\n");
    }
    struct cast c = {
        .kind = CAST_ADD,
        .flag =
            (uint8_t)((cfg->allow_direct ? CAST_DIRECT : 0) | (cfg->storage == MR_MEMORY ? CAST_MEMORY : 0)),
        .call = (uint16_t)js->host.self,
        .word = {s->incarnation, (uint64_t)cfg->max_bytes},
        .part = {s->name, text_span(&lines)},
    };
    cast_send_others(js, &c);
    apply_add(js, &c);
    text_free(&lines);
}

void cast_stream_remove(struct js *js, struct span name, uint64_t incarnation) {
    must(name.n > 0);
    struct cast c = {.kind = CAST_REMOVE, .word = {incarnation}, .part = {name}};
    cast_send_others(js, &c);
    apply_remove(js, &c);
}

static void apply_failed(struct js *js, unsigned shard) {
    must(js->host.self == 0 && shard < js->host.shards);
    js->dir.failed |= UINT64_C(1) << shard;
}

void cast_failed(struct js *js) {
    struct cast c = {.kind = CAST_FAILED};
    if (js->host.self == 0)
        apply_failed(js, 0);
    else
        cast_send(js, 0, &c);
}

static void parts_of(struct cast *c, struct span bytes) {
    must(bytes.n >= HEAD);
    memcpy(c, bytes.p, HEAD);
    struct span rest = span_skip(bytes, HEAD);
    for (size_t i = 0; i < CAST_PARTS; i++) {
        must(c->n[i] <= rest.n);
        c->part[i] = span_of(rest.p, c->n[i]);
        rest = span_skip(rest, c->n[i]);
    }
    must(rest.n == 0);
}

void cast_handle(struct js *js, unsigned from, struct span bytes) {
    struct cast c;
    parts_of(&c, bytes);
    must(from != js->host.self);
    switch ((enum cast_kind)c.kind) {
    case CAST_API: api_on_cast(js, &c); return;
    case CAST_NEXT: js_next_on_cast(js, &c); return;
    case CAST_ACK: js_ack_on_cast(js, &c); return;
    case CAST_FLOW: js_push_on_cast(js, &c); return;
    case CAST_ADD: apply_add(js, &c); return;
    case CAST_REMOVE: apply_remove(js, &c); return;
    case CAST_FAILED: apply_failed(js, from); return;
    case CAST_GATHER: gather_on_ask(js, from, &c); return;
    case CAST_GATHERED: gather_on_answer(js, from, &c); return;
    case CAST_KINDS: break;
    }
    must(c.kind < CAST_KINDS);
}
