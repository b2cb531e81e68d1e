/* gather.c - see gather.h: account information (sums over all shards), names and lists of streams.
 *
 * Happy path: the asking shard numbers the request, asks the others by cast, takes its own part behind a
 * barrier, and answers when the last part is in. Every shard answers behind a barrier of its own. NAMES needs
 * the directory alone. What fails is memory; then the answer is short, or an error. A shard does not leave
 * while the server runs, so every part comes. */
#include "jetstream/gather.h"

#include <stddef.h>
#include <stdlib.h>

#include "base/must.h"
#include "jetstream/codec_stream.h"
#include "jetstream/info.h"
#include "wire/json.h"

enum { NAMES_LIMIT = 1024, LIST_LIMIT = 256 };
enum gather_what { GATHER_ACCOUNT, GATHER_LIST };
enum {
    U_MEMORY,
    U_STORAGE,
    U_STREAMS,
    U_CONSUMERS,
    U_TOTAL,
    U_ERRORS,
    U_RESERVED_MEMORY,
    U_RESERVED_STORAGE,
    U_COUNT
};

struct api_gather {
    enum gather_what what;
    uint64_t id;
    unsigned missing; /* shards that have not answered */
    uint64_t sum[U_COUNT];
    struct text part[DIR_SHARDS_MAX]; /* list items, one a line */
    struct text order;                /* per item: the shard it comes from, one byte */
    size_t total, offset;
};

void gather_free(struct api_req *r) {
    struct api_gather *g = r->gather;
    if (!g) return;
    (void)map_u64_del(&r->js->gathers, g->id);
    for (size_t i = 0; i < DIR_SHARDS_MAX; i++) text_free(&g->part[i]);
    text_free(&g->order);
    free(g);
    r->gather = NULL;
}

static bool gather_new(struct api_req *r, enum gather_what what) {
    must(r->gather == NULL);
    struct js *js = r->js;
    struct api_gather *g = calloc(1, sizeof *g);
    if (!g) return js_fail(&r->err, JS_INSUFFICIENT_RESOURCES, NULL);
    g->what = what;
    g->id = ++js->next_gather;
    r->gather = g;
    if (map_u64_put(&js->gathers, g->id, r) == ERR_OK) return true;
    return js_fail(&r->err, JS_INSUFFICIENT_RESOURCES, NULL);
}

/* --- this shard's part --- */

static void usage(struct js *js, uint64_t sum[U_COUNT]) {
    must(js->engine != NULL);
    for (const struct list *l = js->all.next; l != &js->all; l = l->next) {
        struct js_stream *s = container_of(l, struct js_stream, link);
        struct mr_stream_state st;
        mr_stream_state(s->engine, &st);
        sum[mr_stream_config(s->engine)->storage == MR_MEMORY ? U_MEMORY : U_STORAGE] += st.bytes;
    }
    sum[U_STREAMS] += js->streams_n;
    sum[U_CONSUMERS] += js->consumers_n;
    sum[U_TOTAL] += js->api_total;
    sum[U_ERRORS] += js->api_errors;
    sum[U_RESERVED_MEMORY] += (uint64_t)js->dir.reserved_memory; /* only shard 0 keeps count */
    sum[U_RESERVED_STORAGE] += (uint64_t)js->dir.reserved_storage;
}

/* One line a name: the stream as lists show it, or nothing when it is gone. */
static void list_items(struct js *js, struct span names, struct text *out) {
    while (names.n) {
        const uint8_t *end = memchr(names.p, '\n', names.n);
        must(end != NULL);
        size_t n = (size_t)(end - names.p);
        struct js_stream *s = js_stream_find(js, span_of(names.p, n));
        if (s) {
            text_lit(out, "{");
            info_stream_put(out, s, false, NULL);
            text_key_time(out, "ts", js_wall(js));
            text_lit(out, "}");
        }
        text_lit(out, "\n");
        names = span_skip(names, n + 1);
    }
}

/* --- putting together --- */

static void account_put(struct api_req *r) {
    must(r->gather->what == GATHER_ACCOUNT);
    const struct js *js = r->js;
    const struct js_limits *l = js->limits;
    const uint64_t *sum = r->gather->sum;
    struct text *t = api_begin(r);
    text_key_u64(t, "memory", sum[U_MEMORY]);
    text_key_u64(t, "storage", sum[U_STORAGE]);
    text_key_u64(t, "reserved_memory", sum[U_RESERVED_MEMORY]);
    text_key_u64(t, "reserved_storage", sum[U_RESERVED_STORAGE]);
    text_key_u64(t, "streams", sum[U_STREAMS]);
    text_key_u64(t, "consumers", sum[U_CONSUMERS]);
    text_key(t, "limits");
    text_lit(t, "{");
    text_key_i64(t, "max_memory", l->max_memory);
    text_key_i64(t, "max_storage", l->max_store);
    text_key_i64(t, "max_streams", l->max_streams);
    text_key_i64(t, "max_consumers", l->max_consumers);
    text_key_i64(t, "max_ack_pending", l->max_ack_pending);
    text_key_i64(t, "memory_max_stream_bytes", l->memory_max_stream_bytes);
    text_key_i64(t, "storage_max_stream_bytes", l->store_max_stream_bytes);
    text_key_bool(t, "max_bytes_required", l->max_bytes_required);
    text_lit(t, "}");
    if (l->domain && *l->domain) text_key_str(t, "domain", span_str(l->domain));
    text_key(t, "api");
    text_lit(t, "{");
    text_key_i64(t, "level", l->api_level);
    text_key_u64(t, "total", sum[U_TOTAL]);
    text_key_u64(t, "errors", sum[U_ERRORS]);
    text_lit(t, "}}");
}

static struct span line_take(struct span *rest) {
    const uint8_t *end = rest->n ? memchr(rest->p, '\n', rest->n) : NULL;
    if (!end) return SPAN_EMPTY;
    struct span line = span_of(rest->p, (size_t)(end - rest->p));
    *rest = span_skip(*rest, line.n + 1);
    return line;
}

static void page_put(struct text *t, size_t total, size_t offset, size_t limit) {
    must(offset <= total);
    text_key_u64(t, "total", total);
    text_key_u64(t, "offset", offset);
    text_key_u64(t, "limit", limit);
    text_key(t, "streams");
}

static void list_put(struct api_req *r) {
    must(r->gather->what == GATHER_LIST);
    struct api_gather *g = r->gather;
    struct span rest[DIR_SHARDS_MAX];
    for (size_t i = 0; i < DIR_SHARDS_MAX; i++) {
        rest[i] = text_span(&g->part[i]);
        if (g->part[i].failed) r->out.failed = true;
    }
    struct text *t = api_begin(r);
    page_put(t, g->total, g->offset, LIST_LIMIT);
    text_lit(t, "[");
    for (size_t i = 0; i < g->order.n; i++) {
        struct span item = line_take(&rest[g->order.p[i]]);
        if (item.n == 0) continue;
        text_item(t);
        text_raw(t, item);
    }
    text_lit(t, "]}");
}

static void part_in(struct api_req *r) {
    struct api_gather *g = r->gather;
    must(g->missing > 0);
    if (--g->missing) return;
    if (g->what == GATHER_ACCOUNT)
        account_put(r);
    else
        list_put(r);
    api_answer(r, API_DURABLE); /* this shard's own part waits for this shard's log */
}

/* --- between shards --- */

/* An answer to another shard that waits for this shard's log. */
struct gather_part {
    unsigned to;
    struct cast answer;
    struct text text;
};

void gather_on_durable(struct js *js, uint64_t tag) {
    struct gather_part *p = (struct gather_part *)(uintptr_t)tag;
    must(p != NULL && p->answer.kind == CAST_GATHERED);
    p->answer.part[0] = text_span(&p->text);
    if (!js->closing) cast_send(js, p->to, &p->answer);
    text_free(&p->text);
    free(p);
}

void gather_on_ask(struct js *js, unsigned from, const struct cast *c) {
    static_must(1 + U_COUNT <= CAST_WORDS);
    struct gather_part *p = calloc(1, sizeof *p);
    if (!p) {
        struct cast nothing = {.kind = CAST_GATHERED, .word = {c->word[0]}};
        cast_send(js, from, &nothing);
        return;
    }
    p->to = from;
    p->answer = (struct cast){.kind = CAST_GATHERED, .word = {c->word[0]}};
    if (c->flag == GATHER_ACCOUNT)
        usage(js, p->answer.word + 1);
    else
        list_items(js, c->part[0], &p->text);
    uint64_t tag = (uint64_t)(uintptr_t)p;
    enum mr_status st = mr_barrier(js->engine, NULL, tag | GATHER_TAG, (struct mr_bytes){NULL, 0});
    if (st != MR_OK && st != MR_LATER) gather_on_durable(js, tag); /* a failed log still tells what it has */
}

void gather_on_answer(struct js *js, unsigned from, const struct cast *c) {
    must(from < DIR_SHARDS_MAX && from != js->host.self);
    struct api_req *r = map_u64_get(&js->gathers, c->word[0]);
    if (!r) return;
    for (size_t i = 0; i < U_COUNT; i++) r->gather->sum[i] += c->word[1 + i];
    text_raw(&r->gather->part[from], c->part[0]);
    part_in(r);
}

/* --- requests --- */

void api_account_info(struct api_req *r) {
    must(r->gather == NULL);
    struct js *js = r->js;
    if (!gather_new(r, GATHER_ACCOUNT)) {
        api_fail(r);
        return;
    }
    struct cast c = {.kind = CAST_GATHER, .flag = GATHER_ACCOUNT, .word = {r->gather->id}};
    r->gather->missing = js->host.shards;
    cast_send_others(js, &c);
    usage(js, r->gather->sum);
    part_in(r);
}

struct list_body {
    int64_t offset;
    struct span subject;
};

/* Offset and filter of a list request; the filter is copied, for it outlives the document. */
static bool list_body_get(struct api_req *r, struct list_body *b, uint8_t *filter, size_t room) {
    must(room >= JS_REPLY_MAX);
    static const struct json_field fields[] = {
        {"offset", JSON_I64, offsetof(struct list_body, offset), NULL, NULL},
        {"subject", JSON_STR, offsetof(struct list_body, subject), NULL, NULL},
    };
    static const struct json_table table = {"JSApiStreamListRequest", fields, 2};
    struct json_err je;
    *b = (struct list_body){0};
    if (!api_body_is_json(r->body)) return true;
    yyjson_doc *doc = js_json_read(r->body, table.go_type, &je);
    bool ok = doc && json_decode(yyjson_doc_get_root(doc), &table, r->js->limits->strict, b, &je);
    if (ok && b->subject.n <= room) {
        if (b->subject.n) memcpy(filter, b->subject.p, b->subject.n);
        b->subject.p = filter;
    }
    yyjson_doc_free(doc);
    if (b->offset < 0) b->offset = 0;
    return ok || js_fail(&r->err, JS_INVALID_JSON, je.text);
}

/* The page's entries; the caller frees. NULL: r->err. */
static struct dir_entry **list_page(struct api_req *r, size_t limit, size_t *total, size_t *from,
                                    size_t *to) {
    struct list_body b;
    uint8_t filter[JS_REPLY_MAX];
    if (!list_body_get(r, &b, filter, sizeof filter)) return NULL;
    struct dir_entry **all = directory_sorted(&r->js->dir, b.subject, total);
    if (!all) {
        js_fail(&r->err, JS_INSUFFICIENT_RESOURCES, NULL);
        return NULL;
    }
    *from = (uint64_t)b.offset < *total ? (size_t)b.offset : *total;
    *to = *total - *from > limit ? *from + limit : *total;
    return all;
}

void api_stream_names(struct api_req *r) {
    must(r->js->host.self == 0);
    size_t total, from, to;
    struct dir_entry **all = list_page(r, NAMES_LIMIT, &total, &from, &to);
    if (!all) {
        api_fail(r);
        return;
    }
    struct text *t = api_begin(r);
    page_put(t, total, from, NAMES_LIMIT);
    text_lit(t, from < to ? "[" : "null");
    for (size_t i = from; i < to; i++) {
        text_item(t);
        text_str(t, all[i]->name);
    }
    text_lit(t, from < to ? "]}" : "}");
    free(all);
    api_answer(r, API_NOW);
}

/* Asks each shard for its streams of the page, in the page's order. */
static void list_ask(struct api_req *r, struct dir_entry **all, size_t from, size_t to) {
    must(from <= to);
    struct js *js = r->js;
    struct api_gather *g = r->gather;
    struct text names[DIR_SHARDS_MAX] = {{0}};
    for (size_t i = from; i < to; i++) {
        uint8_t shard = (uint8_t)all[i]->shard;
        text_raw(&names[shard], all[i]->name);
        text_lit(&names[shard], "\n");
        text_raw(&g->order, span_of(&shard, 1));
    }
    g->missing = 1;
    for (unsigned i = 0; i < js->host.shards; i++) {
        struct cast c = {
            .kind = CAST_GATHER, .flag = GATHER_LIST, .word = {g->id}, .part = {text_span(&names[i])}};
        if (names[i].n && i != js->host.self) {
            g->missing++;
            cast_send(js, i, &c);
        }
    }
    list_items(js, text_span(&names[js->host.self]), &g->part[js->host.self]);
    for (unsigned i = 0; i < js->host.shards; i++) text_free(&names[i]);
}

void api_stream_list(struct api_req *r) {
    must(r->js->host.self == 0);
    size_t total, from, to;
    struct dir_entry **all = list_page(r, LIST_LIMIT, &total, &from, &to);
    if (!all || !gather_new(r, GATHER_LIST)) {
        free(all);
        api_fail(r);
        return;
    }
    r->gather->total = total;
    r->gather->offset = from;
    list_ask(r, all, from, to);
    free(all);
    part_in(r);
}
