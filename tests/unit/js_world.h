/* js_world.h - a few shards on one thread: real loops, routes and engines, JetStream on each, and one client
 * that publishes and listens on any of them. What shards tell each other goes through queues in order, as it
 * does through mailboxes. */
#pragma once
#include <ftw.h>
#include <sys/stat.h>
#include <time.h>

#include "io/io.h"
#include "jetstream/core.h"
#include "jetstream/js.h"
#include "lib/check.h"
#include "millrace.h"
#include "route/route.h"
#include "wire/header.h"

enum { WORLD_SHARDS = 4, WORLD_GOT_MAX = 1 << 16 };
enum letter_kind { LETTER_CAST, LETTER_MSG, LETTER_ANNOUNCE, LETTER_BARRIER };

struct world;
struct letter { /* bytes are copied behind it */
    struct letter *next;
    enum letter_kind kind;
    unsigned from;
    bool flag;
    struct js_barrier *barrier;
    uint32_t n[6];
    uint8_t bytes[];
};

struct got {
    unsigned shard;
    char *subject, *reply, *hdr, *data;
    size_t data_n;
};

struct world_shard {
    struct world *w;
    unsigned self;
    struct io *io;
    struct route *route;
    struct js *js;
    struct letter *first, **last;
    struct sub inbox;
    struct sink sink;
};

struct world {
    unsigned shards;
    struct mr_env *env;
    struct js_limits limits;
    struct world_shard shard[WORLD_SHARDS];
    struct got got[WORLD_GOT_MAX];
    size_t got_n, asked, errors;
    bool congested, deaf; /* deaf: the inbox refuses */
    const char *lags;     /* a client's subject that asks publishers to pause */
    unsigned barriers;    /* letters of a barrier under way */
    char path[64];
};

static inline char *world_copy(struct span s) {
    char *p = malloc(s.n + 1);
    if (s.n) memcpy(p, s.p, s.n);
    p[s.n] = 0;
    return p;
}

static inline void world_post(struct world *w, unsigned to, unsigned from, enum letter_kind kind, bool flag,
                              const struct span *parts, size_t count, struct js_barrier *b) {
    size_t n = 0;
    CHECK(count <= 6);
    for (size_t i = 0; i < count; i++) n += parts[i].n;
    struct letter *l = calloc(1, sizeof *l + n);
    l->kind = kind, l->from = from, l->flag = flag, l->barrier = b;
    uint8_t *at = l->bytes;
    for (size_t i = 0; i < count; i++) {
        l->n[i] = (uint32_t)parts[i].n;
        if (parts[i].n) memcpy(at, parts[i].p, parts[i].n);
        at += parts[i].n;
    }
    *w->shard[to].last = l;
    w->shard[to].last = &l->next;
}

static inline void world_cast(void *ctx, unsigned to, const struct span *parts, size_t count) {
    struct world_shard *s = ctx;
    CHECK(to != s->self);
    world_post(s->w, to, s->self, LETTER_CAST, false, parts, count, NULL);
}
static inline void world_barrier(void *ctx, struct js_barrier *b) {
    struct world_shard *s = ctx;
    b->id = s->w->shards - 1;
    if (b->id == 0) {
        b->on_done(b);
        return;
    }
    for (unsigned i = 0; i < s->w->shards; i++)
        if (i != s->self) world_post(s->w, i, s->self, LETTER_BARRIER, false, NULL, 0, b);
}
static inline bool world_congested(void *ctx, unsigned shard) {
    (void)shard;
    return ((struct world_shard *)ctx)->w->congested;
}
static inline void world_announce(void *ctx, struct span subject, struct span queue, bool add) {
    struct world_shard *s = ctx;
    struct span parts[] = {subject, queue};
    for (unsigned i = 0; i < s->w->shards; i++)
        if (i != s->self) world_post(s->w, i, s->self, LETTER_ANNOUNCE, add, parts, 2, NULL);
}
static inline void world_forward(void *ctx, unsigned to, struct route_msg *m, const struct span *picks,
                                 size_t n, bool plain) {
    struct world_shard *s = ctx;
    struct span parts[] = {m->msg.subject, m->msg.reply, m->msg.hdr, m->msg.payload, m->to};
    CHECK(n <= 1);
    struct span all[6] = {parts[0], parts[1], parts[2], parts[3], parts[4], n ? picks[0] : SPAN_EMPTY};
    world_post(s->w, to, s->self, LETTER_MSG, plain, all, 6, NULL);
}

static inline bool world_inbox(struct sink *sink, struct sub *sub, struct route_msg *m) {
    struct world_shard *s = container_of(sink, struct world_shard, sink);
    struct world *w = s->w;
    (void)sub;
    if (w->deaf) return false;
    m->congested |= w->lags && span_eq(m->to.n ? m->to : m->msg.subject, span_str(w->lags));
    CHECK(w->got_n < WORLD_GOT_MAX);
    w->got[w->got_n++] = (struct got){s->self,
                                      world_copy(m->msg.subject),
                                      world_copy(m->msg.reply),
                                      world_copy(m->msg.hdr),
                                      world_copy(m->msg.payload),
                                      m->msg.payload.n};
    return true;
}

static inline void world_read(struct world_shard *s, struct letter *l) {
    struct span part[6];
    uint8_t *at = l->bytes;
    for (size_t i = 0; i < 6; i++) {
        part[i] = span_of(at, l->n[i]);
        at += l->n[i];
    }
    struct route_msg m = {.msg = {part[0], part[1], part[2], part[3]}, .to = part[4]};
    switch (l->kind) {
    case LETTER_CAST: {
        uint8_t *flat = l->bytes;
        js_on_cast(s->js, l->from, span_of(flat, (size_t)(at - flat)));
        break;
    }
    case LETTER_MSG: route_deliver(s->route, &m, &part[5], part[5].n > 0, l->flag); break;
    case LETTER_ANNOUNCE: route_remote(s->route, l->from, part[0], part[1], l->flag); break;
    case LETTER_BARRIER:
        if (--l->barrier->id == 0) l->barrier->on_done(l->barrier);
        break;
    }
    free(l);
}

static inline void world_line(void *ctx, enum log_level level, const char *text) {
    struct world *w = ctx;
    if (level <= LOG_ERROR) {
        w->errors++;
        fprintf(stderr, "log: %s\n", text);
    }
}

static inline void world_tick(struct world *w) {
    for (unsigned i = 0; i < w->shards; i++) {
        struct world_shard *s = &w->shard[i];
        io_tick(s->io, 0);
        struct letter *l = s->first;
        s->first = NULL;
        s->last = &s->first;
        while (l) {
            struct letter *next = l->next;
            world_read(s, l);
            l = next;
        }
        js_commit(s->js);
        js_deliver(s->js);
    }
}

static inline bool world_busy(const struct world *w) {
    for (unsigned i = 0; i < w->shards; i++)
        if (w->shard[i].first || (js_deadline(w->shard[i].js) == 0 && !w->congested)) return true;
    return false;
}

/* Ticks until `n` messages came altogether, or nothing does for a while. */
static inline void world_wait(struct world *w, size_t n, int idle_ms) {
    struct timespec t = {0, 200000};
    for (int idle = 0; w->got_n < n && idle < idle_ms * 5; idle++) {
        size_t before = w->got_n;
        world_tick(w);
        if (world_busy(w) || w->got_n > before) idle = 0;
        if (!world_busy(w)) nanosleep(&t, NULL);
    }
}

static inline void world_open_shards(struct world *w, const char *path) {
    static struct log log;
    log = (struct log){LOG_ERROR, world_line, w};
    struct mr_env_config cfg = {.size = sizeof cfg, .path = path, .shards = w->shards};
    CHECK_EQ(mr_env_open(&cfg, &w->env), MR_OK);
    for (unsigned i = 0; i < w->shards; i++) {
        struct world_shard *s = &w->shard[i];
        *s = (struct world_shard){.w = w, .self = i, .last = &s->first, .sink = {world_inbox}};
        struct io_config io = {.backend = IO_POSIX};
        const char *why;
        struct route_peer peer = {s, world_announce, world_forward};
        CHECK_EQ(io_open(&s->io, &io, &why), ERR_OK);
        CHECK_EQ(route_open(&s->route, i, w->shards, &peer, 7), ERR_OK);
    }
    for (unsigned i = 0; i < w->shards; i++) {
        struct world_shard *s = &w->shard[i];
        struct js_host host = {s,    i,          w->shards,     s->io,          s->route,
                               &log, world_cast, world_barrier, world_congested};
        CHECK_EQ(js_open(&s->js, &host, &w->limits, w->env), ERR_OK);
    }
    w->shard[0].inbox = (struct sub){.sink = &w->shard[0].sink, .subject = SPAN_LIT("_INBOX.>"), .cid = 1};
    CHECK_EQ(route_subscribe(w->shard[0].route, &w->shard[0].inbox), ERR_OK);
    for (int i = 0; i < 3; i++) world_tick(w);
}

/* path NULL: memory only; else a new folder is made. */
static inline struct world *world_open(unsigned shards, bool files) {
    struct world *w = calloc(1, sizeof *w);
    w->shards = shards;
    w->limits = (struct js_limits){.max_memory = -1,
                                   .max_store = -1,
                                   .max_streams = -1,
                                   .max_consumers = -1,
                                   .max_ack_pending = -1,
                                   .memory_max_stream_bytes = -1,
                                   .store_max_stream_bytes = -1,
                                   .strict = true,
                                   .server_name = "tester",
                                   .server_version = "9.9.9",
                                   .server_id = "id",
                                   .api_level = 5,
                                   .max_payload = 1 << 20};
    if (files) {
        snprintf(w->path, sizeof w->path, "/tmp/js-world-XXXXXX");
        CHECK(mkdtemp(w->path) != NULL);
    }
    world_open_shards(w, files ? w->path : NULL);
    return w;
}

static inline void world_forget(struct world *w) {
    for (size_t i = 0; i < w->got_n; i++) {
        free(w->got[i].subject);
        free(w->got[i].reply);
        free(w->got[i].hdr);
        free(w->got[i].data);
    }
    w->got_n = 0;
}

static inline void world_close_shards(struct world *w) {
    for (unsigned i = 0; i < w->shards; i++) js_close(w->shard[i].js);
    route_unsubscribe(w->shard[0].route, &w->shard[0].inbox);
    for (unsigned i = 0; i < w->shards; i++) {
        struct world_shard *s = &w->shard[i];
        while (s->first) {
            struct letter *l = s->first;
            s->first = l->next;
            free(l);
        }
        route_close(s->route);
        io_close(s->io);
    }
    mr_env_close(w->env);
}

static inline int world_unlink(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static inline void world_close(struct world *w) {
    world_close_shards(w);
    world_forget(w);
    if (w->path[0]) nftw(w->path, world_unlink, 16, FTW_DEPTH | FTW_PHYS);
    CHECK_EQ(w->errors, 0);
    free(w);
}

/* The same folder again, with another number of shards. */
static inline void world_reopen(struct world *w, unsigned shards) {
    world_close_shards(w);
    world_forget(w);
    w->shards = shards;
    world_open_shards(w, w->path[0] ? w->path : NULL);
}

/* Publishes on a shard; how many took it. */
static inline size_t world_pub(struct world *w, unsigned shard, const char *subject, const char *reply,
                               const char *hdr, struct span data) {
    struct route_msg m = {.msg = {span_str(subject), span_str(reply), span_str(hdr), data}, .cid = 9};
    size_t n = route_publish(w->shard[shard].route, &m);
    return n;
}

/* Asks and waits for n answers; the first is at w->got[0]. What the router says for nobody is "503" with
 * empty data. */
static inline size_t world_ask(struct world *w, unsigned shard, const char *subject, struct span body,
                               const char *hdr, size_t n, int idle_ms) {
    char reply[64];
    world_forget(w);
    snprintf(reply, sizeof reply, "_INBOX.%zu", ++w->asked);
    if (world_pub(w, shard, subject, reply, hdr, body) == 0) {
        char text[8192];
        snprintf(text, sizeof text, "NATS/1.0 503\r\nNats-Subject: %s\r\n\r\n", subject);
        w->got[w->got_n++] = (struct got){shard, strdup(reply), strdup(""), strdup(text), strdup(""), 0};
    }
    world_wait(w, n, idle_ms);
    return w->got_n;
}

/* Subscribes to exactly this subject, as a client that push consumers deliver to does. */
static inline struct sub *world_bind(struct world *w, unsigned shard, const char *subject,
                                     const char *queue) {
    struct sub *s = calloc(1, sizeof *s);
    *s = (struct sub){
        .sink = &w->shard[shard].sink, .subject = span_str(subject), .queue = span_str(queue), .cid = 1};
    CHECK_EQ(route_subscribe(w->shard[shard].route, s), ERR_OK);
    for (int i = 0; i < 3; i++) world_tick(w);
    return s;
}
static inline void world_unbind(struct world *w, unsigned shard, struct sub *s) {
    route_unsubscribe(w->shard[shard].route, s);
    free(s);
    for (int i = 0; i < 3; i++) world_tick(w);
}

/* A request on $JS.API with one answer, from the last shard; its text is valid until the next. */
static inline const char *world_api(struct world *w, const char *call, const char *body) {
    char subject[512];
    snprintf(subject, sizeof subject, "$JS.API.%s", call);
    CHECK_EQ(world_ask(w, w->shards - 1, subject, span_str(body), "", 1, 2000), 1);
    return w->got[0].data;
}

/* A publish with an ack, from the last shard. */
static inline const char *world_js_pub(struct world *w, const char *subject, const char *hdr,
                                       const char *data) {
    CHECK_EQ(world_ask(w, w->shards - 1, subject, span_str(data), hdr, 1, 2000), 1);
    return w->got[0].data;
}

static inline void world_has(const char *text, const char *part) {
    if (strstr(text, part)) return;
    fprintf(stderr, "no  %s\nin  %s\n", part, text);
    exit(1);
}
