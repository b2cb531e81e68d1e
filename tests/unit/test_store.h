/* test_store.h - a log in a temporary folder for the tests of engine/store: opens and reopens it over a real
 * loop, remembers every upcall, and makes records whose content follows from their number. */
#pragma once
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/io.h"
#include "lib/check.h"
#include "store/core.h"
#include "store/store.h"

enum { SEEN_MAX = 20000 };

struct seen {
    uint8_t kind, flags;
    uint32_t stream;
    uint64_t seq, loc;
    int64_t ts;
    size_t payload, subject, hdr;
    bool right; /* the content is what make() made */
};

struct fixture {
    char dir[64];
    struct io *io;
    struct store *s;
    struct store_config cfg;
    struct store_owner owner;
    struct seen *seen;
    size_t seen_len;
    struct store_damage damage[64];
    size_t damage_len, damage_after[64]; /* so many records */
    uint64_t written, durable;
    int failed;
    uint64_t rewrite; /* last asked */
    void (*on_commit)(struct fixture *f);
};

static uint8_t fix_body[70 << 20];
static char fix_subject[64], fix_hdr[64];

/* Record number seq of a stream with a payload of n bytes. */
static inline struct rec make(uint32_t stream, uint64_t seq, size_t n) {
    struct rec r = {.kind = REC_MESSAGE, .stream = stream, .seq = seq, .ts = (int64_t)(1000000 + seq)};
    int len = snprintf(fix_subject, sizeof fix_subject, "orders.%u.%llu", stream, (unsigned long long)seq);
    r.subject = span_of(fix_subject, (size_t)len);
    if (seq % 3 == 0) {
        len = snprintf(fix_hdr, sizeof fix_hdr, "NATS/1.0\r\nid: %llu\r\n\r\n", (unsigned long long)seq);
        r.hdr = span_of(fix_hdr, (size_t)len);
    }
    CHECK(n <= sizeof fix_body);
    struct rng g = {seq * 1000003 + stream};
    for (size_t i = 0; i < n; i += 8) {
        uint64_t w = rng_next(&g);
        memcpy(fix_body + i, &w, n - i < 8 ? n - i : 8);
    }
    r.payload = span_of(fix_body, n);
    return r;
}

static inline bool same(const struct rec *a, const struct rec *b) {
    return a->kind == b->kind && a->stream == b->stream && a->seq == b->seq && a->ts == b->ts &&
           span_eq(a->subject, b->subject) && span_eq(a->hdr, b->hdr) && span_eq(a->payload, b->payload);
}

static inline void fix_apply(void *ctx, const struct rec *r, uint64_t loc) {
    struct fixture *f = ctx;
    CHECK(f->seen_len < SEEN_MAX);
    struct rec want = make(r->stream, r->seq, r->payload.n);
    want.kind = r->kind;
    f->seen[f->seen_len++] = (struct seen){.kind = r->kind,
                                           .flags = r->flags,
                                           .stream = r->stream,
                                           .seq = r->seq,
                                           .loc = loc,
                                           .ts = r->ts,
                                           .payload = r->payload.n,
                                           .subject = r->subject.n,
                                           .hdr = r->hdr.n,
                                           .right = same(r, &want)};
}

static inline void fix_damaged(void *ctx, const struct store_damage *d) {
    struct fixture *f = ctx;
    if (f->damage_len < 64) {
        f->damage[f->damage_len] = *d;
        f->damage_after[f->damage_len] = f->seen_len;
    }
    f->damage_len++;
}

static inline void fix_commit(void *ctx, uint64_t written, uint64_t durable) {
    struct fixture *f = ctx;
    CHECK(written >= f->written && durable >= f->durable && durable <= written);
    f->written = written;
    f->durable = durable;
    if (f->on_commit) f->on_commit(f);
}

static inline void fix_failed(void *ctx, enum err why) {
    struct fixture *f = ctx;
    CHECK_EQ(why, ERR_FAILED);
    f->failed++;
}

static inline void fix_rewrite(void *ctx, uint64_t segno) {
    struct fixture *f = ctx;
    CHECK(segno >= f->rewrite);
    f->rewrite = segno;
}

static inline void fix_line(void *ctx, int level, const char *text) {
    (void)ctx;
    if (getenv("VERBOSE")) fprintf(stderr, "[%d] %s\n", level, text);
}

static inline struct fixture *fix_new(enum io_backend backend) {
    struct fixture *f = calloc(1, sizeof *f);
    const char *why;
    f->seen = calloc(SEEN_MAX, sizeof *f->seen);
    strcpy(f->dir, "/tmp/mr-store-XXXXXX");
    CHECK(mkdtemp(f->dir) != NULL);
    struct io_config c = {.backend = backend};
    if (io_open(&f->io, &c, &why)) {
        fprintf(stderr, "no loop: %s\n", why);
        exit(1);
    }
    f->cfg = (struct store_config){.path = f->dir, .log = 1, .log_line = fix_line};
    memset(f->cfg.uuid, 7, sizeof f->cfg.uuid);
    f->owner = (struct store_owner){f, fix_apply, fix_damaged, fix_commit, fix_failed, fix_rewrite};
    return f;
}

static inline enum err fix_try_open(struct fixture *f) {
    f->seen_len = f->damage_len = 0;
    f->written = f->durable = 0;
    return store_open(&f->s, &f->cfg, f->io, &f->owner);
}
static inline void fix_open(struct fixture *f) { CHECK_EQ(fix_try_open(f), ERR_OK); }

/* One turn of the host's loop. */
static inline void fix_turn(struct fixture *f) {
    store_commit(f->s);
    uint64_t until = store_deadline(f->s), most = io_now(f->io) + 5 * 1000 * 1000;
    io_tick(f->io, until < most ? until : most);
}

static inline void fix_wait_durable(struct fixture *f, uint64_t frame) {
    for (int i = 0; i < 20000 && store_durable(f->s) < frame; i++) fix_turn(f);
    CHECK(store_durable(f->s) >= frame);
}

/* Appends until it is taken. */
static inline uint64_t fix_append(struct fixture *f, const struct rec *r, unsigned how, uint64_t *frame) {
    uint64_t loc = 0, no;
    enum err e = ERR_FULL;
    for (int i = 0; i < 20000 && e == ERR_FULL; i++) {
        e = store_append(f->s, r, how, &loc, &no);
        if (e == ERR_FULL) fix_turn(f);
    }
    CHECK_EQ(e, ERR_OK);
    if (frame) *frame = no;
    return loc;
}

/* Leaves the log as a killed process would: nothing is written any more, what the kernel has stays. */
static inline void fix_kill(struct fixture *f) {
    for (int i = 0; i < 50; i++) io_tick(f->io, io_now(f->io) + 1000 * 1000); /* what is in flight lands */
    f->s->failed = true; /* so that closing writes nothing */
    store_close(f->s);
    f->s = NULL;
}

static inline void fix_path(const struct fixture *f, uint32_t file, char out[96]) {
    snprintf(out, 96, "%s/%08x.seg", f->dir, file);
}

static inline void fix_poke(const struct fixture *f, uint32_t file, uint64_t off, const void *p, size_t n) {
    char path[96];
    fix_path(f, file, path);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    CHECK(fd >= 0 && pwrite(fd, p, n, (off_t)off) == (ssize_t)n && fsync(fd) == 0);
    close(fd);
}

static inline void fix_peek(const struct fixture *f, uint32_t file, uint64_t off, void *p, size_t n) {
    char path[96];
    fix_path(f, file, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0 && pread(fd, p, n, (off_t)off) == (ssize_t)n);
    close(fd);
}

/* Flips one bit of a byte. */
static inline void fix_rot(const struct fixture *f, uint32_t file, uint64_t off) {
    uint8_t b;
    fix_peek(f, file, off, &b, 1);
    b ^= 0x10;
    fix_poke(f, file, off, &b, 1);
}

static inline void fix_end(struct fixture *f) {
    if (f->s) store_close(f->s);
    io_close(f->io);
    char cmd[128];
    snprintf(cmd, sizeof cmd, "rm -rf %s", f->dir);
    CHECK(system(cmd) == 0);
    free(f->seen);
    free(f);
}

/* Reads the record at loc and checks that it is number seq. */
static inline void fix_ready(struct store_wait *w) { (void)w; }
static inline enum err fix_read(struct fixture *f, uint64_t loc, struct rec *out) {
    struct store_wait w;
    store_wait_init(&w);
    w.on_ready = fix_ready;
    enum err e = ERR_LATER;
    for (int i = 0; i < 20000; i++) {
        e = store_read(f->s, loc, &w, out);
        if (e != ERR_LATER && e != ERR_FULL) return e;
        for (int j = 0; j < 20000 && w.waiting; j++) io_tick(f->io, io_now(f->io) + 1000 * 1000);
        CHECK(!w.waiting);
        if (e == ERR_FULL) fix_turn(f);
    }
    return e;
}
static inline void fix_check(struct fixture *f, uint64_t loc, uint32_t stream, uint64_t seq, size_t n) {
    struct rec got;
    CHECK_EQ(fix_read(f, loc, &got), ERR_OK);
    struct rec want = make(stream, seq, n);
    CHECK(same(&got, &want));
}
