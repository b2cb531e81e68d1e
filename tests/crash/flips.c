/* flips.c - damage to every file of a data folder, and what must hold after it. A folder is made once, closed
 * in order or as a kill leaves it; then, trial after trial, a copy of it is damaged, verified, opened and
 * read to the end.
 *
 *   flips [--flips N] [--blocks N] [--seed S] [--only I] [--jobs N]
 *
 * --flips: one bit each. --blocks: a file cut off, 4 KiB of zeros, or two blocks that change places. Whatever
 * was damaged: no byte is served that was not stored; nothing crashes or hangs; each message that is lost
 * lies where the damage is (one at most for a bit) and is named by mr_verify(); a confirmed message does not
 * come again and every other comes, but for a consumer whose own record was hit; no sequence is used again.
 * Without a finding everything is as it was. Prints the trials that failed (their folders stay) and a line
 * that sums up; --only runs a trial again. */
#include "crash/flips.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/rng.h"
#include "lib/check.h"
#include "store/frame.h"

enum { BASES = 2, BLOCK = 4096, FINDINGS_MAX = 4096, HANG_S = 60 };

enum how { HOW_FLIP, HOW_CUT, HOW_ZERO, HOW_SWAP };
static const char *const how_names[] = {"flip", "cut", "zeros", "swap"};

struct damage {
    enum how how;
    int file[2];
    uint64_t from[2], to[2]; /* bytes */
    int count;
    unsigned bit;
    uint64_t torn; /* HOW_CUT: where the frame begins that was cut; nobody can tell it from one in flight at a
                      stop */
};

struct found {
    struct mr_finding f;
    char file[64], stream[32];
};

/* What all trials add up to; shared with the children. */
struct totals {
    uint64_t trials, detected, harmless, lost_trials, lost, by_seq, by_place, refused, returned, again,
        skipped;
};

static struct ref refs[BASES];
static char top[400];
static struct totals *totals;

struct trial {
    const struct ref *r;
    struct damage d;
    char dir[500], base[500];
    struct found found[FINDINGS_MAX];
    size_t found_count;
    struct mr_verify_result result;
    uint64_t lost, returned;
    bool gone[STREAMS][SEQ_MAX]; /* lost */
    bool altered;                /* something is not as it was */
};

/* --- damage --- */

/* Every kind of file, every kind of place: half of the time bytes that are used, near the front a quarter of
 * it. */
static void pick(const struct ref *r, struct rng *g, int *file, uint64_t *off) {
    *file = (int)rng_below(g, (uint64_t)r->files_count);
    if (rng_below(g, 10) < 7) /* most of what there is to damage */
        while (!r->files[*file].segno || r->files[*file].used <= 8192)
            *file = (int)rng_below(g, (uint64_t)r->files_count);
    const struct ref_file *f = &r->files[*file];
    while (!f->size) f = &r->files[ *file = (int)rng_below(g, (uint64_t)r->files_count)];
    uint64_t room = rng_below(g, 8) ? f->used : f->size;
    *off = rng_below(g, rng_below(g, 16) ? room : room < 16384 ? room : 16384);
}

static void pick_block(const struct ref *r, struct rng *g, struct damage *d, int i) {
    pick(r, g, &d->file[i], &d->from[i]);
    d->from[i] -= d->from[i] % BLOCK;
    d->to[i] = d->from[i] + BLOCK;
}

static struct damage choose(const struct ref *r, struct rng *g, bool flip) {
    struct damage d = {.how = flip ? HOW_FLIP : (enum how)(HOW_CUT + rng_below(g, 3)), .count = 1};
    if (d.how == HOW_FLIP || d.how == HOW_CUT) {
        pick(r, g, &d.file[0], &d.from[0]);
        d.to[0] = d.how == HOW_FLIP ? d.from[0] + 1 : r->files[d.file[0]].size;
        d.bit = (unsigned)rng_below(g, 8);
        return d;
    }
    pick_block(r, g, &d, 0);
    if (d.how == HOW_SWAP) {
        pick_block(r, g, &d, 1);
        d.count = 2;
    }
    return d;
}

static int open_file(const struct trial *t, int i) {
    char path[600];
    snprintf(path, sizeof path, "%s/%s", t->dir, t->r->files[t->d.file[i]].name);
    int fd = open(path, O_RDWR);
    CHECK(fd >= 0);
    return fd;
}

/* The first byte of the frame that holds this one; itself when there is none. */
static uint64_t frame_of(int fd, uint64_t at) {
    for (uint64_t off = at - at % BLOCK, n = 0; n <= FRAME_SIZE_MAX / BLOCK; off -= BLOCK, n++) {
        struct frame_header h;
        bool read = pread(fd, &h, sizeof h, (off_t)off) == (ssize_t)sizeof h;
        if (read && h.magic == FRAME_MAGIC && h.off == off) return off + h.size > at ? off : at;
        if (off == 0) break;
    }
    return at;
}

static void inflict(struct trial *t) {
    static uint8_t block[2][BLOCK];
    struct damage *d = &t->d;
    int fd = open_file(t, 0), other = d->count > 1 ? open_file(t, 1) : -1;
    memset(block, 0, sizeof block);
    switch (d->how) {
    case HOW_FLIP:
        CHECK_EQ(pread(fd, block[0], 1, (off_t)d->from[0]), 1);
        block[0][0] ^= (uint8_t)(1u << d->bit);
        CHECK_EQ(pwrite(fd, block[0], 1, (off_t)d->from[0]), 1);
        break;
    case HOW_CUT:
        d->torn = frame_of(fd, d->from[0]);
        CHECK_EQ(ftruncate(fd, (off_t)d->from[0]), 0);
        break;
    case HOW_ZERO: CHECK_EQ(pwrite(fd, block[0], BLOCK, (off_t)d->from[0]), BLOCK); break;
    case HOW_SWAP:
        CHECK(pread(fd, block[0], BLOCK, (off_t)d->from[0]) >= 0);
        CHECK(pread(other, block[1], BLOCK, (off_t)d->from[1]) >= 0);
        CHECK_EQ(pwrite(fd, block[1], BLOCK, (off_t)d->from[0]), BLOCK);
        CHECK_EQ(pwrite(other, block[0], BLOCK, (off_t)d->from[1]), BLOCK);
        break;
    }
    close(fd);
    if (other >= 0) close(other);
}

static void describe(const struct trial *t, char *out, size_t n) {
    const struct damage *d = &t->d;
    int k = snprintf(out, n, "%s %s at %llu", how_names[d->how], t->r->files[d->file[0]].name,
                     (unsigned long long)d->from[0]);
    if (d->how == HOW_FLIP) k += snprintf(out + k, n - (size_t)k, " bit %u", d->bit);
    if (d->count > 1)
        snprintf(out + k, n - (size_t)k, " with %s at %llu", t->r->files[d->file[1]].name,
                 (unsigned long long)d->from[1]);
}

/* --- what is found --- */

static void on_found(void *ctx, const struct mr_finding *f) {
    struct trial *t = ctx;
    if (t->found_count == FINDINGS_MAX) return;
    struct found *x = &t->found[t->found_count++];
    x->f = *f;
    snprintf(x->file, sizeof x->file, "%s", f->file ? f->file : "");
    snprintf(x->stream, sizeof x->stream, "%.*s", (int)f->stream.n,
             f->stream.n ? (const char *)f->stream.p : "");
    if (getenv("SHOW_LOG"))
        fprintf(stderr, "found: %s at %llu, %llu bytes, %s %s %llu..%llu lost %d: %s\n", x->file,
                (unsigned long long)f->offset, (unsigned long long)f->length, f->record ? f->record : "",
                x->stream, (unsigned long long)f->seq, (unsigned long long)f->seq_last, f->lost, f->cause);
}

static bool overlaps(const struct trial *t, const struct ref_msg *m) {
    if (t->d.how == HOW_CUT && m->file == t->d.file[0] && m->to > t->d.torn) return true;
    for (int i = 0; i < t->d.count; i++)
        if (m->file == t->d.file[i] && m->from < t->d.to[i] && t->d.from[i] < m->to) return true;
    return false;
}

static bool named_by_seq(const struct trial *t, const char *stream, uint64_t seq) {
    for (size_t i = 0; i < t->found_count; i++) {
        const struct found *x = &t->found[i];
        if (x->f.lost && strcmp(x->stream, stream) == 0 && seq >= x->f.seq && seq <= x->f.seq_last)
            return true;
    }
    return false;
}

static bool named_by_place(const struct trial *t, const struct ref_msg *m) {
    for (size_t i = 0; i < t->found_count; i++) {
        const struct found *x = &t->found[i];
        bool there = m->file >= 0 && strcmp(x->file, t->r->files[m->file].name) == 0;
        if (there && t->d.how == HOW_CUT && x->f.offset <= t->d.from[0]) return true;
        if (there && x->f.found == MR_FOUND_DAMAGE && x->f.offset < m->to &&
            m->from < x->f.offset + x->f.length)
            return true;
    }
    return false;
}

/* --- what must hold --- */

static struct mr_bytes str(const char *s) { return (struct mr_bytes){(const uint8_t *)s, strlen(s)}; }

static void check_lost(struct trial *t, const struct ref_stream *rs, uint64_t seq) {
    const struct ref_msg *m = &rs->msgs[seq];
    t->lost++;
    t->gone[rs - t->r->streams][seq] = true;
    bool seq_named = named_by_seq(t, rs->name, seq), place = named_by_place(t, m);
    bool hit = overlaps(t, m) || (m->batch && t->d.how != HOW_FLIP); /* a batch whose end is gone never was */
    if (!hit)
        fprintf(stderr, "%s %llu is lost, and was not damaged: it lies in %s at %llu to %llu\n", rs->name,
                (unsigned long long)seq, t->r->files[m->file].name, (unsigned long long)m->from,
                (unsigned long long)m->to);
    if (!seq_named && !place)
        fprintf(stderr, "%s %llu is lost, and not named\n", rs->name, (unsigned long long)seq);
    CHECK(hit);
    CHECK(seq_named || place);
    if (t->d.how == HOW_FLIP) CHECK(seq_named);
    totals->by_seq += seq_named;
    totals->by_place += !seq_named;
}

static void check_stream(struct trial *t, struct life *l, const struct ref_stream *rs) {
    struct mr_stream *s = mr_stream_find(l->sh, str(rs->name));
    struct mr_stream_state st;
    CHECK(s != NULL); /* configuration is there twice */
    for (uint64_t seq = 1; seq <= rs->last_seq; seq++) {
        const struct ref_msg *m = &rs->msgs[seq];
        struct mr_msg_view v;
        enum mr_status got = life_get(l, s, seq, &v);
        CHECK(got == MR_OK || got == MR_NONE || got == MR_CORRUPT);
        if (got == MR_OK) CHECK(v.seq == seq && hash_msg(&v.msg) == m->hash);
        if (got == MR_OK && m->live) CHECK(v.ts == m->ts);
        if (got == MR_OK && !m->live) t->returned++; /* what had removed it is lost */
        if (got != MR_OK && m->live) check_lost(t, rs, seq);
    }
    mr_stream_state(s, &st);
    CHECK(st.last_seq >= rs->last_seq || t->d.how == HOW_CUT);
    t->altered |= st.last_seq != rs->last_seq;
}

/* The record with what this consumer confirmed or was given is damaged itself: named by its stream, or in a
 * place whose records nobody can name. */
static bool progress_hit(const struct trial *t, const struct ref_consumer *rc) {
    for (size_t i = 0; i < t->found_count; i++) {
        const struct found *x = &t->found[i];
        if (x->f.found != MR_FOUND_DAMAGE) continue;
        if (!x->f.record || !x->f.length) return true;
        bool consumers = strstr(x->f.record, "consumer") != NULL;
        if (consumers && strcmp(x->stream, rc->stream) == 0) return true;
    }
    return false;
}

/* Everything that was not confirmed came. */
static void check_given(const struct trial *t, const struct ref_consumer *rc, const bool seen[SEQ_MAX]) {
    const struct ref_stream *rs = &t->r->streams[rc->at];
    for (uint64_t seq = 1; seq <= rs->last_seq; seq++) {
        if (!rs->msgs[seq].live || rc->confirmed[seq] || t->gone[rc->at][seq] || seen[seq]) continue;
        totals->skipped++;
        if (!progress_hit(t, rc))
            fprintf(stderr, "%s does not come to %s: %llu\n", rc->stream, rc->name, (unsigned long long)seq);
        CHECK(progress_hit(t, rc));
    }
}

static void check_consumer(struct trial *t, struct life *l, const struct ref_consumer *rc) {
    bool seen[SEQ_MAX] = {false};
    struct mr_stream *s = mr_stream_find(l->sh, str(rc->stream));
    struct mr_consumer *c = s ? mr_consumer_find(s, str(rc->name)) : NULL;
    int64_t now = INT64_MAX / 2; /* every ack wait is over */
    CHECK(c != NULL);
    for (int i = 0; i < 100000; i++) {
        struct mr_delivery d;
        enum mr_status st = mr_consumer_next(c, now, 0, 0, &d);
        CHECK(st != MR_BUSY);
        if (st == MR_NONE) {
            check_given(t, rc, seen);
            return;
        }
        if (st != MR_OK) {
            mr_shard_run(l->sh, 1000000);
            continue;
        }
        const struct ref_msg *m = &t->r->streams[rc->at].msgs[d.view.seq];
        CHECK(m->known && hash_msg(&d.view.msg) == m->hash);
        seen[d.view.seq] = true;
        if (rc->confirmed[d.view.seq]) {
            totals->again++;
            if (!progress_hit(t, rc))
                fprintf(stderr, "%s comes again to %s: %llu\n", rc->stream, rc->name,
                        (unsigned long long)d.view.seq);
            CHECK(progress_hit(t, rc));
        }
        const struct mr_ack a = {.kind = MR_TERM, .seq = d.view.seq, .consumer_seq = d.consumer_seq};
        CHECK_EQ(mr_consumer_ack(c, &a, now), MR_OK);
    }
    fprintf(stderr, "deliveries never end\n");
    exit(1);
}

/* The next message gets a sequence that no other had. */
static void check_append(struct trial *t, struct life *l, const struct ref_stream *rs) {
    struct mr_stream *s = mr_stream_find(l->sh, str(rs->name));
    char subject[8] = {rs->name[0], '.', '0', 0};
    const struct mr_msg m = {.subject = str(subject), .payload = str("after")};
    const struct mr_append_opts o = {.want_done = true};
    struct mr_append_result res;
    size_t done = l->done;
    CHECK_EQ(mr_append(s, &m, &o, &res), MR_OK);
    for (int i = 0; l->done == done; i++) {
        CHECK(i < 100000);
        mr_shard_run(l->sh, 1000000);
    }
    CHECK_EQ(l->failed, 0);
    CHECK(res.seq > rs->last_seq || t->d.how == HOW_CUT);
}

static void verify(struct trial *t) {
    const struct mr_verify_config cfg = {.size = sizeof cfg, .path = t->dir, .found = on_found, .ctx = t};
    t->result = (struct mr_verify_result){.size = sizeof t->result};
    CHECK_EQ(mr_verify(&cfg, &t->result), MR_OK);
}

/* A cut MILLRACE has lost both of its copies; nothing else may keep a folder from opening. */
static bool may_refuse(const struct trial *t) {
    return t->d.how == HOW_CUT && strcmp(t->r->files[t->d.file[0]].name, "MILLRACE") == 0 &&
           t->result.refused;
}

static void run(struct trial *t) {
    struct life l;
    copy_tree(t->base, t->dir);
    inflict(t);
    verify(t);
    bool detected = t->result.damaged_places || t->result.lost_messages;
    enum mr_status st = life_open(&l, t->dir);
    totals->detected += detected;
    totals->harmless += !detected;
    if (st != MR_OK && may_refuse(t)) {
        totals->refused++;
        CHECK_EQ(t->result.lost_messages, 0);
        return;
    }
    CHECK_EQ(st, MR_OK);
    CHECK(!t->result.refused);
    for (int i = 0; i < STREAMS; i++) check_stream(t, &l, &t->r->streams[i]);
    if (t->d.how == HOW_FLIP) CHECK(t->lost <= 1);
    for (int i = 0; i < CONSUMERS; i++) check_consumer(t, &l, &t->r->consumers[i]);
    for (int i = 0; i < STREAMS; i++) check_append(t, &l, &t->r->streams[i]);
    life_close(&l);
    if (!detected) CHECK(!t->lost && !t->returned && !t->altered);
    if (t->d.how == HOW_FLIP) CHECK(t->result.lost_messages >= t->lost);
    CHECK_EQ(life_open(&l, t->dir), MR_OK); /* what was decided stands */
    life_close(&l);
    totals->lost += t->lost;
    totals->lost_trials += t->lost > 0;
    totals->returned += t->returned;
}

/* --- trials --- */

/* In a child of its own, so that a crash is one failure and a hang ends. */
static bool one(uint64_t seed, uint64_t i, bool flip) {
    static struct trial t;
    struct rng g = {mix64(seed) ^ mix64(i + 1)};
    int base = (int)(i % BASES), status;
    memset(&t, 0, sizeof t);
    t.r = &refs[base];
    t.d = choose(t.r, &g, flip);
    snprintf(t.base, sizeof t.base, "%s/base%d", top, base);
    snprintf(t.dir, sizeof t.dir, "%s/trial%llu", top, (unsigned long long)i);
    fflush(NULL);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        alarm(HANG_S);
        run(&t);
        fflush(NULL);
        _exit(0);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    totals->trials++;
    if (status == 0) {
        remove_tree(t.dir);
        return true;
    }
    char what[300];
    describe(&t, what, sizeof what);
    bool hang = WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM;
    fprintf(stderr, "FAILED trial %llu (%s, %s): %s; see %s\n", (unsigned long long)i,
            base ? "killed" : "closed",
            hang                  ? "hang"
            : WIFSIGNALED(status) ? "crash"
                                  : "check",
            what, t.dir);
    return false;
}

static void sum_up(const char *what, uint64_t failed, double seconds) {
    const struct totals *n = totals;
    printf("%s: %llu trials, %llu detected, %llu harmless, %llu messages lost in %llu trials, named by "
           "sequence %llu, "
           "by place %llu, returned %llu, delivered again %llu, not delivered %llu, refused %llu; %.0f s; "
           "%llu failed\n",
           what, (unsigned long long)n->trials, (unsigned long long)n->detected,
           (unsigned long long)n->harmless, (unsigned long long)n->lost, (unsigned long long)n->lost_trials,
           (unsigned long long)n->by_seq, (unsigned long long)n->by_place, (unsigned long long)n->returned,
           (unsigned long long)n->again, (unsigned long long)n->skipped, (unsigned long long)n->refused,
           seconds, (unsigned long long)failed);
    memset(totals, 0, sizeof *totals);
}

static uint64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static uint64_t some(const char *what, uint64_t seed, uint64_t from, uint64_t count, bool flip) {
    uint64_t failed = 0, start = now_ms();
    for (uint64_t i = from; i < from + count && failed < 20; i++) failed += !one(seed, i, flip);
    if (count) sum_up(what, failed, (double)(now_ms() - start) / 1000);
    return failed;
}

static uint64_t number(int argc, char **argv, const char *name, uint64_t otherwise) {
    for (int i = 1; i + 1 < argc; i++)
        if (strcmp(argv[i], name) == 0) return strtoull(argv[i + 1], NULL, 0);
    return otherwise;
}

int main(int argc, char **argv) {
    enum { BLOCKS_FROM = 1000000 }; /* trials have one number, whatever kind */
    uint64_t seed = number(argc, argv, "--seed", 1), only = number(argc, argv, "--only", UINT64_MAX),
             failed = 0;
    const char *base = getenv("TMPDIR");
    snprintf(top, sizeof top, "%.300s/millrace-flips-XXXXXX", base ? base : "/tmp");
    CHECK(mkdtemp(top) != NULL);
    totals = mmap(NULL, sizeof *totals, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(totals != MAP_FAILED);
    for (int i = 0; i < BASES; i++) {
        char dir[500];
        snprintf(dir, sizeof dir, "%s/base%d", top, i);
        store_make(&refs[i], dir, seed * BASES + (uint64_t)i, i);
    }
    if (only != UINT64_MAX) {
        failed = some("trial", seed, only, 1, only < BLOCKS_FROM);
    } else {
        failed += some("flips", seed, 0, number(argc, argv, "--flips", 300), true);
        failed += some("blocks", seed, BLOCKS_FROM, number(argc, argv, "--blocks", 60), false);
    }
    if (!failed) remove_tree(top);
    return failed ? 1 : 0;
}
