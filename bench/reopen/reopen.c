/* reopen.c - how long a large store takes to be there again: libmillrace alone, no server.
 *
 *     bench-reopen FOLDER fill MESSAGES SUBJECTS   messages of 128 bytes in one stream, then kill -9 of
 * itself
 *     bench-reopen FOLDER streams COUNT            COUNT streams, a message in each, then the same
 *     bench-reopen FOLDER stop                     opens and stops in order
 *     bench-reopen FOLDER open [scan]              opens; scan: without checkpoints. Says how long until the
 * first message was read, until a message was stored, and the memory
 *
 * Give the kernel's cache up between two runs, as root: echo 3 > /proc/sys/vm/drop_caches */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "millrace.h"

static struct mr_env *env;
static struct mr_shard *shard;
static uint64_t done;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}
static struct mr_bytes bytes(const char *s) { return (struct mr_bytes){(const uint8_t *)s, strlen(s)}; }
static void on_done(void *ctx, const struct mr_done *d, size_t count) {
    (void)ctx;
    for (size_t i = 0; i < count; i++) {
        if (d[i].status == MR_OK) continue;
        fprintf(stderr, "%s\n", mr_status_text(d[i].status));
        exit(1);
    }
    done += count;
}
static void on_ready(void *ctx, struct mr_consumer *c) { (void)ctx, (void)c; }
static bool ready;
static void on_wait(struct mr_wait *w) {
    (void)w;
    ready = true;
}
static void on_log(void *ctx, enum mr_log_level level, const char *text) {
    (void)ctx;
    if (level >= MR_LOG_INFO || getenv("VERBOSE")) fprintf(stderr, "  %s\n", text);
}
static void check(enum mr_status st, const char *what) {
    if (st == MR_OK) return;
    fprintf(stderr, "%s: %s\n", what, mr_status_text(st));
    exit(1);
}

static void start(const char *path, bool scan) {
    struct mr_env_config cfg = {
        .size = sizeof cfg, .path = path, .shards = 1, .log = on_log, .full_scan = scan};
    struct mr_host host = {NULL, on_done, on_ready, NULL};
    check(mr_env_open(&cfg, &env), "open");
    check(mr_shard_open(env, 0, NULL, &host, &shard), "open");
}

static long resident_kib(const char *what) {
    char line[200];
    long kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, what, strlen(what)) == 0) kib = atol(line + strlen(what));
    if (f) fclose(f);
    return kib;
}

static struct mr_stream *make(const char *name) {
    struct mr_bytes subjects[1] = {bytes(">")};
    struct mr_stream_config cfg = {.size = sizeof cfg,
                                   .name = bytes(name),
                                   .subjects = subjects,
                                   .subjects_count = 1,
                                   .max_msgs = -1,
                                   .max_bytes = -1,
                                   .max_msg_size = -1,
                                   .max_msgs_per_subject = -1,
                                   .max_consumers = -1};
    struct mr_stream *s;
    enum mr_status st;
    while ((st = mr_stream_create(shard, &cfg, (int64_t)time(NULL) * 1000000000, &s)) == MR_BUSY)
        mr_shard_run(shard, 1000000);
    check(st, "create");
    return s;
}

static void append(struct mr_stream *s, uint64_t n, uint64_t subjects) {
    char subject[64], payload[129];
    uint64_t k = n * 2654435761u % subjects;
    snprintf(subject, sizeof subject, "orders.region-%02llu.%08llu", (unsigned long long)(k % 37),
             (unsigned long long)k);
    snprintf(payload, sizeof payload, "%0128llu", (unsigned long long)n);
    struct mr_msg m = {.subject = bytes(subject), .payload = bytes(payload)};
    struct mr_append_opts o = {.want_done = true};
    enum mr_status st;
    while ((st = mr_append(s, &m, &o, NULL)) == MR_BUSY) mr_shard_run(shard, 1000000);
    check(st, "append");
}

static void wait_for(uint64_t n) {
    while (done < n) mr_shard_run(shard, 1000000);
}

static void say(const char *what) {
    struct mr_shard_stats st;
    mr_shard_stats(shard, &st);
    printf("%s: %.1f GB on disk, %llu checkpoints of %.1f MB in all, %.1f MB to replay, %ld MiB resident\n",
           what, (double)st.disk_bytes / 1e9, (unsigned long long)st.checkpoints,
           (double)st.checkpoint_bytes / 1e6, (double)st.replay_bytes / 1e6, resident_kib("VmRSS:") / 1024);
}

static void fill(uint64_t messages, uint64_t subjects) {
    struct mr_stream *s = make("S");
    double from = now(), last = from;
    for (uint64_t i = 0; i < messages; i++) {
        append(s, i, subjects);
        if (i % 2000 == 0) mr_shard_run(shard, 0);
        if (i % 5000000 == 0 && i) {
            printf("%llu messages, %.0f/s\n", (unsigned long long)i, 5e6 / (now() - last));
            fflush(stdout);
            last = now();
        }
    }
    wait_for(messages);
    printf("%.0f messages/s\n", (double)messages / (now() - from));
}

static void streams(uint64_t count) {
    char name[40];
    double from = now();
    for (uint64_t i = 0; i < count; i++) {
        snprintf(name, sizeof name, "stream-%llu", (unsigned long long)i);
        append(make(name), i, count);
        if (i % 200 == 0) mr_shard_run(shard, 0);
    }
    wait_for(count);
    printf("%llu streams made and published to in %.2f s\n", (unsigned long long)count, now() - from);
}

static void first_read(struct mr_stream *s) {
    struct mr_stream_state st;
    mr_stream_state(s, &st);
    uint64_t seq = st.first_seq + (st.last_seq - st.first_seq) / 3;
    struct mr_wait w = {.on_ready = on_wait};
    struct mr_msg_view v;
    enum mr_status r;
    while ((r = mr_get(s, seq, true, &w, &v)) == MR_LATER)
        for (ready = false; !ready;) mr_shard_run(shard, 1000000);
    check(r, "get");
    printf("message %llu of %llu, %llu subjects\n", (unsigned long long)v.seq, (unsigned long long)st.msgs,
           (unsigned long long)st.num_subjects);
}

static void reopen(const char *path, bool scan) {
    double from = now();
    start(path, scan);
    double opened = now();
    struct mr_stream *s = mr_stream_next(shard, NULL);
    if (!s) exit(1);
    first_read(s);
    double read = now();
    append(s, 0, 1);
    wait_for(1);
    struct mr_shard_stats st;
    mr_shard_stats(shard, &st);
    printf("opened %.3f s, first read %.3f s, first message stored %.3f s; read %.1f MB of log; %llu "
           "streams; resident %ld "
           "MiB, at most %ld MiB%s\n",
           opened - from, read - from, now() - from, (double)st.recovered_bytes / 1e6,
           (unsigned long long)st.streams, resident_kib("VmRSS:") / 1024, resident_kib("VmHWM:") / 1024,
           st.logs_scanned ? " (the whole log)" : "");
}

int main(int argc, char **argv) {
    if (argc == 5 && strcmp(argv[2], "fill") == 0) {
        start(argv[1], false);
        fill(strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10));
    } else if (argc == 4 && strcmp(argv[2], "streams") == 0) {
        start(argv[1], false);
        streams(strtoull(argv[3], NULL, 10));
    } else if (argc == 3 && strcmp(argv[2], "stop") == 0) {
        start(argv[1], false);
        double from = now();
        mr_shard_close(shard);
        mr_env_close(env);
        printf("stopped in %.3f s\n", now() - from);
        return 0;
    } else if (argc >= 3 && strcmp(argv[2], "open") == 0) {
        reopen(argv[1], argc == 4 && strcmp(argv[3], "scan") == 0);
    } else {
        fprintf(stderr,
                "usage: bench-reopen FOLDER fill MESSAGES SUBJECTS | streams COUNT | stop | open [scan]\n");
        return 2;
    }
    say("state");
    fflush(stdout);
    kill(getpid(), SIGKILL);
}
