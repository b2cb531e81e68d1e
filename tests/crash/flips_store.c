/* flips_store.c - the folder for flips.c: made by the public interface, then opened once more in a copy to
 * note where each message lies (the only look inside). */
#include "crash/flips.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/rng.h"
#include "engine.h"
#include "lib/check.h"
#include "store/frame.h"

enum { ROUNDS = 6, ROUND = 90, LARGE = 1100000 };

static struct mr_bytes str(const char *s) { return (struct mr_bytes){(const uint8_t *)s, strlen(s)}; }

/* --- files --- */

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *at) {
    (void)st, (void)kind, (void)at;
    return remove(path);
}
void remove_tree(const char *dir) { nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS); }

static void copy_file(const char *from, const char *to, off_t size) {
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(in >= 0 && out >= 0);
    for (off_t left = size; left > 0;) {
        ssize_t n = copy_file_range(in, NULL, out, NULL, (size_t)left, 0);
        CHECK(n >= 0);
        if (n == 0) break; /* cut meanwhile */
        left -= n;
    }
    close(in);
    close(out);
}

void copy_tree(const char *from, const char *to) {
    CHECK(mkdir(to, 0700) == 0);
    DIR *d = opendir(from);
    CHECK(d != NULL);
    for (struct dirent *e; (e = readdir(d));) {
        char a[600], b[600];
        struct stat st;
        if (e->d_name[0] == '.') continue;
        snprintf(a, sizeof a, "%s/%s", from, e->d_name);
        snprintf(b, sizeof b, "%s/%s", to, e->d_name);
        if (lstat(a, &st) != 0) continue;
        if (S_ISDIR(st.st_mode))
            copy_tree(a, b);
        else
            copy_file(a, b, st.st_size);
    }
    closedir(d);
}

/* --- a life --- */

static void on_log(void *ctx, enum mr_log_level level, const char *text) {
    struct life *l = ctx;
    if (level >= MR_LOG_WARN) snprintf(l->last_log, sizeof l->last_log, "%s", text);
    if (getenv("SHOW_LOG")) fprintf(stderr, "log: %s\n", text);
}
static void on_done(void *ctx, const struct mr_done *done, size_t count) {
    struct life *l = ctx;
    for (size_t i = 0; i < count; i++) l->failed += done[i].status != MR_OK;
    l->done += count;
}
static void on_ready(void *ctx, struct mr_consumer *c) { (void)ctx, (void)c; }

enum mr_status life_open(struct life *l, const char *dir) {
    *l = (struct life){0};
    const struct mr_env_config cfg = {.size = sizeof cfg,
                                      .path = dir,
                                      .shards = 1,
                                      .segment_bytes = 1, /* the smallest there are */
                                      .checkpoint_bytes = 1 << 30,
                                      .log = on_log,
                                      .log_ctx = l};
    const struct mr_host host = {.ctx = l, .on_done = on_done, .on_ready = on_ready};
    enum mr_status s = mr_env_open(&cfg, &l->env);
    if (s == MR_OK) s = mr_shard_open(l->env, 0, NULL, &host, &l->sh);
    if (s != MR_OK) mr_env_close(l->env);
    return s;
}

void life_close(struct life *l) {
    mr_shard_close(l->sh);
    mr_env_close(l->env);
}

static void until(struct life *l, size_t done) {
    for (int i = 0; l->done < done; i++) {
        CHECK(i < 100000);
        mr_shard_run(l->sh, 1000000);
    }
    CHECK_EQ(l->failed, 0);
}

struct waiter {
    struct mr_wait wait; /* first */
    volatile bool woken;
};
static void wake(struct mr_wait *w) { ((struct waiter *)(void *)w)->woken = true; }

enum mr_status life_get(struct life *l, struct mr_stream *s, uint64_t seq, struct mr_msg_view *v) {
    struct waiter w = {.wait.on_ready = wake};
    enum mr_status st;
    for (int i = 0; (st = mr_get(s, seq, false, &w.wait, v)) == MR_LATER; i++) {
        for (; !w.woken; i++) {
            CHECK(i < 100000);
            mr_shard_run(l->sh, 1000000);
        }
        w.woken = false;
    }
    return st;
}

static uint64_t hash_on(uint64_t h, struct mr_bytes b) {
    uint64_t word;
    h = mix64(h ^ b.n);
    for (; b.n >= 8; b.p += 8, b.n -= 8) {
        memcpy(&word, b.p, 8);
        h = mix64(h ^ word);
    }
    for (; b.n; b.p++, b.n--) h = mix64(h ^ *b.p);
    return h;
}
uint64_t hash_msg(const struct mr_msg *m) {
    return hash_on(hash_on(hash_on(1, m->subject), m->hdr), m->payload);
}

/* --- what is stored --- */

struct maker {
    struct ref *r;
    struct life l;
    struct rng rng;
    struct mr_stream *s[STREAMS];
    struct mr_consumer *c[CONSUMERS];
    uint8_t *payload;
};

static void note(struct maker *m, int at, uint64_t seq, const struct mr_msg *msg) {
    CHECK(seq < SEQ_MAX);
    m->r->streams[at].msgs[seq] = (struct ref_msg){.known = true, .hash = hash_msg(msg), .file = -1};
}

static struct mr_msg compose(struct maker *m, char subject[32], char hdr[64], size_t size) {
    for (size_t i = 0; i < size; i += 8) {
        uint64_t word = rng_next(&m->rng);
        memcpy(m->payload + i, &word, 8);
    }
    static uint64_t id;
    bool with = rng_below(&m->rng, 3) == 0;
    if (with) snprintf(hdr, 64, "NATS/1.0\r\nNats-Msg-Id: id-%llu\r\n\r\n", (unsigned long long)++id);
    return (struct mr_msg){.subject = str(subject),
                           .hdr = with ? str(hdr) : (struct mr_bytes){0},
                           .payload = {m->payload, size}};
}

static void append(struct maker *m, int at, size_t size) {
    char subject[32], hdr[64];
    snprintf(subject, sizeof subject, "%c.%u", "pkrj"[at], (unsigned)rng_below(&m->rng, 20));
    struct mr_msg msg = compose(m, subject, hdr, size);
    struct mr_append_result res;
    struct mr_append_opts o = {.want_done = true};
    if (msg.hdr.n) o.msg_id = (struct mr_bytes){msg.hdr.p + 23, msg.hdr.n - 27};
    enum mr_status st;
    while ((st = mr_append(m->s[at], &msg, &o, &res)) == MR_BUSY) mr_shard_run(m->l.sh, 1000000);
    CHECK_EQ(st, MR_OK);
    note(m, at, res.seq, &msg);
    if (rng_below(&m->rng, 3) == 0) until(&m->l, m->l.done + 1);
}

static void append_batch(struct maker *m) {
    static uint8_t bodies[5][600];
    struct mr_msg msgs[5];
    struct mr_append_result res;
    size_t bad;
    for (int i = 0; i < 5; i++) {
        for (size_t k = 0; k < sizeof bodies[i]; k++) bodies[i][k] = (uint8_t)rng_next(&m->rng);
        msgs[i] = (struct mr_msg){.subject = str("p.batch"), .payload = {bodies[i], sizeof bodies[i]}};
    }
    enum mr_status st;
    while ((st = mr_append_batch(m->s[0], msgs, NULL, 5, &res, &bad)) == MR_BUSY)
        mr_shard_run(m->l.sh, 1000000);
    CHECK_EQ(st, MR_OK);
    for (uint64_t i = 0; i < 5; i++) {
        note(m, 0, res.seq - 4 + i, &msgs[i]);
        m->r->streams[0].msgs[res.seq - 4 + i].batch = true;
    }
}

/* Delivers some and confirms most of them, not in order. */
static void consume(struct maker *m, int which, int count) {
    struct ref_consumer *rc = &m->r->consumers[which];
    int64_t now = (int64_t)1 << 60; /* waits run out long after this test */
    for (int i = 0, tries = 0; i < count && tries < 10000; tries++) {
        struct mr_delivery d;
        enum mr_status st = mr_consumer_next(m->c[which], now, 0, 0, &d);
        if (st == MR_NONE) return;
        if (st != MR_OK) {
            mr_shard_run(m->l.sh, 1000000);
            continue;
        }
        i++;
        const struct mr_ack a = {
            .kind = MR_ACK, .seq = d.view.seq, .consumer_seq = d.consumer_seq, .want_done = true};
        if (rng_below(&m->rng, 4) == 0) continue; /* stays pending */
        size_t before = m->l.done;
        CHECK_EQ(mr_consumer_ack(m->c[which], &a, now), MR_OK);
        until(&m->l, before + 1);
        rc->confirmed[a.seq] = true;
    }
}

static void settle(struct maker *m) {
    CHECK_EQ(mr_barrier(m->l.sh, NULL, 0, (struct mr_bytes){0}), MR_OK);
    until(&m->l, m->l.done + 1);
}

static void checkpoint(struct maker *m) {
    struct mr_shard_stats st;
    mr_shard_stats(m->l.sh, &st);
    uint64_t before = st.checkpoints;
    CHECK_EQ(mr_checkpoint(m->l.sh), MR_OK);
    for (int i = 0; st.checkpoints == before; i++) {
        CHECK(i < 100000);
        mr_shard_run(m->l.sh, 1000000);
        mr_shard_stats(m->l.sh, &st);
    }
}

static struct mr_stream *make_stream(struct maker *m, const char *name, int at) {
    static const char *const subjects[] = {"p.*", "k.*", "r.*", "j.*"};
    struct mr_bytes subject = str(at < 0 ? "gone.*" : subjects[at]);
    struct mr_stream_config cfg = {.size = sizeof cfg,
                                   .name = str(name),
                                   .subjects = &subject,
                                   .subjects_count = 1,
                                   .retention = at == 3 ? MR_RETAIN_WORKQUEUE : MR_RETAIN_LIMITS,
                                   .max_msgs = at == 2 ? 100 : -1,
                                   .max_bytes = -1,
                                   .max_msg_size = -1,
                                   .max_msgs_per_subject = at == 1 ? 3 : -1,
                                   .max_consumers = -1,
                                   .duplicate_window_ns = INT64_C(3600) * 1000000000};
    struct mr_stream *s;
    CHECK_EQ(mr_stream_create(m->l.sh, &cfg, 1, &s), MR_OK);
    return s;
}

static void make_consumer(struct maker *m, int which, int at, const char *name) {
    const struct mr_consumer_config cfg = {.size = sizeof cfg,
                                           .name = str(name),
                                           .durable = true,
                                           .ack = MR_ACK_EXPLICIT,
                                           .ack_wait_ns = INT64_C(30) * 1000000000,
                                           .max_deliver = -1,
                                           .max_ack_pending = 1000};
    CHECK_EQ(mr_consumer_create(m->s[at], &cfg, 1, &m->c[which]), MR_OK);
    m->r->consumers[which].stream = m->r->streams[at].name;
    m->r->consumers[which].name = name;
    m->r->consumers[which].at = at;
}

static void start(struct maker *m) {
    static const char *const names[] = {"plain", "keys", "ring", "jobs"};
    for (int i = 0; i < STREAMS; i++) {
        m->r->streams[i].name = names[i];
        m->s[i] = make_stream(m, names[i], i);
    }
    make_consumer(m, 0, 0, "reader");
    make_consumer(m, 1, 3, "worker");
    make_consumer(m, 2, 1, "watcher");
}

static void one_round(struct maker *m, int round) {
    for (int i = 0; i < ROUND; i++) {
        append(m, (int)rng_below(&m->rng, STREAMS), rng_below(&m->rng, i % 8 ? 1200 : 12000));
        if (i % 20 == 7) append_batch(m);
        if (i % 10 == 3) consume(m, (int)rng_below(&m->rng, CONSUMERS), 6);
    }
    settle(m);
    for (uint64_t seq = (uint64_t)round * 15 + 3, n = 0; n < 5; n++, seq += 2) {
        enum mr_status st = mr_delete(m->s[0], seq, false);
        CHECK(st == MR_OK || st == MR_NONE);
    }
    uint64_t purged;
    if (round == 3) CHECK_EQ(mr_purge(m->s[1], str("k.7"), 0, 0, &purged), MR_OK);
    if (round == 1) append(m, 0, LARGE);
    struct mr_stream *gone = round == 0 ? make_stream(m, "gone", -1) : mr_stream_find(m->l.sh, str("gone"));
    if (round == 2) CHECK_EQ(mr_stream_delete(gone), MR_OK);
    settle(m);
    if (round == 2 || round == 3) checkpoint(m);
}

/* --- where it lies --- */

static void note_file(struct ref *r, const char *dir, const char *name) {
    char path[600];
    struct stat st;
    struct seg_header h;
    CHECK(r->files_count < FILES_MAX);
    struct ref_file *f = &r->files[r->files_count++];
    *f = (struct ref_file){0};
    snprintf(f->name, sizeof f->name, "%s", name);
    snprintf(path, sizeof path, "%s/%s", dir, name);
    CHECK_EQ(stat(path, &st), 0);
    f->used = f->size = (uint64_t)st.st_size;
    int fd = open(path, O_RDONLY);
    CHECK(fd >= 0);
    if (pread(fd, &h, sizeof h, 0) == sizeof h && seg_header_ok(&h)) {
        f->segno = h.segno;
        f->used = SEG_HEADERS_BYTES;
        struct frame_header fh;
        while (pread(fd, &fh, sizeof fh, (off_t)f->used) == sizeof fh &&
               frame_head((uint8_t *)&fh, h.epoch, &fh))
            f->used += fh.size;
    }
    close(fd);
}

static void note_files(struct ref *r, const char *dir) {
    char path[600], name[320];
    r->files_count = 0;
    note_file(r, dir, "MILLRACE");
    snprintf(path, sizeof path, "%s/log-0000", dir);
    DIR *d = opendir(path);
    CHECK(d != NULL);
    for (struct dirent *e; (e = readdir(d));) {
        if (e->d_name[0] == '.') continue;
        snprintf(name, sizeof name, "log-0000/%s", e->d_name);
        note_file(r, dir, name);
    }
    closedir(d);
}

static void note_place(struct ref *r, struct ref_msg *m, const struct index_entry *x) {
    uint64_t size = align_up(rec_size(0, 0, x->size & ~(uint32_t)INDEX_HAS_HDR), REC_ALIGN);
    for (int i = 0; i < r->files_count; i++)
        if (r->files[i].segno == loc_seg(x->loc)) m->file = i;
    CHECK(m->file >= 0);
    m->from = loc_off(x->loc);
    m->to = m->from + size + (size > 1 << 20 ? 16384 : 0); /* in pieces */
}

/* The same folder opened: all that is live must read as it was stored. */
static void note_all(struct ref *r, const char *dir) {
    struct life l;
    note_files(r, dir);
    char copy[600];
    snprintf(copy, sizeof copy, "%s.ref", dir);
    copy_tree(dir, copy);
    CHECK_EQ(life_open(&l, copy), MR_OK);
    for (int at = 0; at < STREAMS; at++) {
        struct ref_stream *rs = &r->streams[at];
        struct mr_stream *s = mr_stream_find(l.sh, str(rs->name));
        struct mr_stream_state st;
        CHECK(s != NULL);
        mr_stream_state(s, &st);
        CHECK_EQ(st.lost_msgs, 0);
        rs->last_seq = st.last_seq;
        for (uint64_t seq = 1; seq <= st.last_seq; seq++) {
            struct ref_msg *m = &rs->msgs[seq];
            struct mr_msg_view v;
            CHECK(m->known);
            m->live = life_get(&l, s, seq, &v) == MR_OK;
            if (!m->live) continue;
            CHECK(hash_msg(&v.msg) == m->hash);
            m->ts = v.ts;
            note_place(r, m, stream_get(&s->st, seq, false));
        }
    }
    life_close(&l);
    remove_tree(copy);
}

void store_make(struct ref *r, const char *dir, uint64_t seed, bool killed) {
    struct maker m = {.r = r, .rng = {seed}, .payload = malloc(LARGE + 8)};
    char open_dir[600];
    memset(r, 0, sizeof *r);
    CHECK(m.payload != NULL);
    snprintf(open_dir, sizeof open_dir, "%s.open", dir);
    CHECK_EQ(life_open(&m.l, open_dir), MR_OK);
    start(&m);
    for (int round = 0; round < ROUNDS; round++) one_round(&m, round);
    for (int i = 0; i < 30; i++) mr_shard_run(m.l.sh, 2000000); /* the log is closed off */
    if (killed) copy_tree(open_dir, dir);
    life_close(&m.l);
    if (!killed) copy_tree(open_dir, dir);
    remove_tree(open_dir);
    free(m.payload);
    note_all(r, dir);
}
