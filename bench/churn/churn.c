/* churn.c - what a log costs while messages come and go.
 *
 *     millrace-churn --work delete|subject|expire [--seconds N] [--rate N] [--live N] [--size BYTES]
 *                    [--segment MIB] [--window N] [--compact 0|1] [--dir FOLDER]
 *
 * delete    every message put deletes another one at random: the worst order there is
 * subject   as many subjects as live messages, one message each, put at random (a key-value bucket)
 * expire    nine of ten messages grow too old after two seconds, the tenth stays until --live are newer
 *
 * Puts as fast as the window allows, or at a rate; every put is waited for until it is durable. One line:
 * messages and their bytes a second, latency (from the intended time when there is a rate), bytes written for
 * each byte of a record, and the most the log took on disk beside what it held. --compact 0 shows the same
 * without compaction. What cannot be opened or stored ends the run. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/must.h"
#include "base/rng.h"
#include "engine.h"
#include "store/core.h"

#define ULL(x)  ((unsigned long long)(x))
#define SECOND  ((uint64_t)1000000000)
#define WARM_NS (2 * SECOND)

enum work { DELETE, SUBJECT, EXPIRE };

struct churn {
    enum work work;
    uint64_t seconds, rate, live, size, segment, window, compact;
    const char *dir;
    struct io *io;
    struct mr_env *env;
    struct mr_shard *sh;
    struct mr_stream *s, *old; /* old: the one that expires */
    struct rng rng;
    uint64_t *seqs, seqs_len; /* live ones, in no order */
    uint64_t put, done, bytes, started, warm_at;
    uint64_t *sent; /* times, by number modulo window */
    uint32_t *took; /* microseconds */
    uint64_t took_len, took_cap;
    uint64_t most_disk, most_over, held;
    uint8_t body[1 << 16];
};

static void die(const char *what, enum mr_status st) {
    fprintf(stderr, "%s: %s\n", what, mr_status_text(st));
    exit(1);
}

static void on_done(void *ctx, const struct mr_done *done, size_t count) {
    struct churn *c = ctx;
    uint64_t now = io_now(c->io);
    for (size_t i = 0; i < count; i++) {
        if (done[i].status != MR_OK) die("a put", (enum mr_status)done[i].status);
        c->done++;
        if (now >= c->warm_at && c->took_len < c->took_cap)
            c->took[c->took_len++] = (uint32_t)((now - c->sent[done[i].tag]) / 1000);
    }
}

static void line(void *ctx, enum mr_log_level level, const char *text) {
    (void)ctx;
    if (level >= MR_LOG_WARN || getenv("VERBOSE")) fprintf(stderr, "%s\n", text);
}

/* --- the work --- */

static struct mr_stream *stream(struct churn *c, const char *name) {
    static const struct mr_bytes all[] = {{(const uint8_t *)">", 1}};
    struct mr_stream_config cfg = {.size = sizeof cfg,
                                   .name = {(const uint8_t *)name, strlen(name)},
                                   .subjects = all,
                                   .subjects_count = 1,
                                   .max_msgs = -1,
                                   .max_bytes = -1,
                                   .max_msg_size = -1,
                                   .max_msgs_per_subject = c->work == SUBJECT ? 1 : -1,
                                   .max_consumers = -1};
    if (strcmp(name, "OLD") == 0) cfg.max_age_ns = (int64_t)(2 * SECOND);
    if (c->work == EXPIRE && !cfg.max_age_ns) cfg.max_msgs = (int64_t)c->live;
    struct mr_stream *s;
    enum mr_status st = mr_stream_create(c->sh, &cfg, io_wall(c->io), &s);
    if (st != MR_OK) die("stream", st);
    return s;
}

static void forget_one(struct churn *c) {
    uint64_t i = rng_below(&c->rng, c->seqs_len), seq = c->seqs[i];
    enum mr_status st = mr_delete(c->s, seq, false);
    if (st == MR_BUSY) return;
    if (st != MR_OK) die("a delete", st);
    c->seqs[i] = c->seqs[--c->seqs_len];
}

/* False: no room now. */
static bool put(struct churn *c, uint64_t intended) {
    char subject[64];
    uint64_t key = c->work == SUBJECT ? rng_below(&c->rng, c->live) : c->put % 1000;
    int n = snprintf(subject, sizeof subject, "churn.some.name.%012llu", ULL(key));
    struct mr_stream *to = c->work == EXPIRE && c->put % 10 ? c->old : c->s;
    store64(c->body, c->put);
    struct mr_msg m = {.subject = {(uint8_t *)subject, (size_t)n}, .payload = {c->body, c->size}};
    struct mr_append_opts o = {.want_done = true, .tag = c->put % c->window};
    struct mr_append_result r;
    enum mr_status st = mr_append(to, &m, &o, &r);
    if (st == MR_BUSY) return false;
    if (st != MR_OK) die("a put", st);
    c->sent[o.tag] = intended;
    c->put++;
    c->bytes += rec_size((size_t)n, 0, c->size);
    if (c->work != DELETE) return true;
    c->seqs[c->seqs_len++] = r.seq;
    if (c->seqs_len > c->live) forget_one(c);
    return true;
}

static void sample(struct churn *c) {
    struct mr_shard_stats st;
    mr_shard_stats(c->sh, &st);
    c->held = st.live_bytes;
    if (st.disk_bytes > c->most_disk) c->most_disk = st.disk_bytes;
    if (st.disk_bytes > 2 * st.live_bytes && st.disk_bytes - 2 * st.live_bytes > c->most_over)
        c->most_over = st.disk_bytes - 2 * st.live_bytes;
}

static void run(struct churn *c) {
    uint64_t end = c->started + c->seconds * SECOND, look = 0;
    for (uint64_t now; (now = io_now(c->io)) < end;) {
        uint64_t due = c->rate ? (now - c->started) * c->rate / SECOND : UINT64_MAX;
        while (c->put < due && c->put - c->done < c->window) {
            uint64_t intended = c->rate ? c->started + c->put * SECOND / c->rate : io_now(c->io);
            if (!put(c, intended)) break;
        }
        mr_shard_run(c->sh, c->rate ? 100000 : 1000000);
        if (now < look) continue;
        look = now + SECOND / 50;
        sample(c);
    }
}

/* --- around it --- */

static void begin(struct churn *c) {
    struct mr_env_config cfg = {.size = sizeof cfg,
                                .path = c->dir,
                                .shards = 1,
                                .segment_bytes = c->segment << 20,
                                .log = line};
    struct mr_host host = {.ctx = c, .on_done = on_done};
    const char *why;
    if (io_open(&c->io, &(struct io_config){.backend = IO_AUTO}, &why)) exit(1);
    enum mr_status st = mr_env_open(&cfg, &c->env);
    if (st == MR_OK) st = mr_shard_open(c->env, 0, c->io, &host, &c->sh);
    if (st != MR_OK) die(c->dir, st);
    if (!c->compact) c->sh->logs[0].store->owner.move = NULL;
    c->s = stream(c, "KEPT");
    if (c->work == EXPIRE) c->old = stream(c, "OLD");
    c->rng.state = 7;
    c->took_cap = 50000000;
    c->took = malloc(c->took_cap * sizeof *c->took);
    c->sent = calloc(c->window, sizeof *c->sent);
    c->seqs = malloc((c->live + 2) * sizeof *c->seqs);
    must(c->took && c->sent && c->seqs);
    c->started = io_now(c->io);
    c->warm_at = c->started + WARM_NS;
}

static int ascending(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void report(struct churn *c) {
    struct mr_shard_stats st;
    mr_shard_stats(c->sh, &st);
    double took = (double)(io_now(c->io) - c->started) / 1e9, mib = 1 << 20;
    qsort(c->took, c->took_len, sizeof *c->took, ascending);
    uint64_t n = c->took_len ? c->took_len : 1;
    if (!c->took_len) c->took[0] = 0;
    printf("%-7s compact %llu: %9.0f msgs/s %6.1f MiB/s  p50 %6.2f p99 %6.2f p99.9 %6.2f max %6.2f ms  "
           "written %4.2f moved %4.2f  live %6.1f MiB, most on disk %7.1f MiB, over twice live %6.1f MiB  "
           "emptied %llu segments\n",
           (const char *[]){"delete", "subject", "expire"}[c->work], ULL(c->compact), (double)c->done / took,
           (double)c->bytes / mib / took, c->took[n / 2] / 1e3, c->took[n * 99 / 100] / 1e3,
           c->took[n * 999 / 1000] / 1e3, c->took[n - 1] / 1e3, (double)st.commit_bytes / (double)c->bytes,
           (double)st.moved_bytes / (double)c->bytes, (double)c->held / mib, (double)c->most_disk / mib,
           (double)c->most_over / mib, ULL(st.emptied_segments));
}

static uint64_t *number_of(struct churn *c, const char *name) {
    const struct {
        const char *name;
        uint64_t *to;
    } all[] = {{"--seconds", &c->seconds}, {"--rate", &c->rate},     {"--live", &c->live},
               {"--size", &c->size},       {"--segment", &c->segment}, {"--window", &c->window},
               {"--compact", &c->compact}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(name, all[i].name) == 0) return all[i].to;
    return NULL;
}

static bool parse(struct churn *c, int argc, char **argv) {
    bool work = false;
    for (int i = 1; i + 1 < argc; i += 2) {
        uint64_t *to = number_of(c, argv[i]);
        const char *v = argv[i + 1];
        if (to) {
            *to = strtoull(v, NULL, 10);
        } else if (strcmp(argv[i], "--dir") == 0) {
            c->dir = v;
        } else if (strcmp(argv[i], "--work") == 0) {
            work = true;
            c->work = *v == 'd' ? DELETE : *v == 's' ? SUBJECT : EXPIRE;
        } else {
            return false;
        }
    }
    return work && argc % 2 && c->size >= 8 && c->size <= sizeof c->body && c->live && c->window;
}

int main(int argc, char **argv) {
    static struct churn c = {
        .seconds = 20, .live = 500000, .size = 128, .segment = 64, .window = 2000, .compact = 1};
    char dir[] = "/tmp/millrace-churn-XXXXXX", cmd[64];
    if (!parse(&c, argc, argv)) {
        fprintf(stderr, "usage: millrace-churn --work delete|subject|expire [--seconds N] [--rate N]\n"
                        "       [--live N] [--size BYTES] [--segment MIB] [--window N] [--compact 0|1]\n"
                        "       [--dir FOLDER]\n");
        return 2;
    }
    bool own = !c.dir;
    if (own && !(c.dir = mkdtemp(dir))) return 1;
    begin(&c);
    run(&c);
    report(&c);
    mr_shard_close(c.sh);
    mr_env_close(c.env);
    io_close(c.io);
    snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
    return own && system(cmd) != 0;
}
