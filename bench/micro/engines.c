/* engines.c - the engines an embedder might pick, doing the same durable work one after the other in the same
 * run, and the disk's own durable write as their limit. README.md says how to run it and how to read the
 * table.
 *
 * A round: for each group size and each engine a new folder; groups are appended for a while, each durable
 * before the next; the store is opened again and read back, and must hold every message; it is opened again,
 * and messages are taken and deleted in groups, again durable. The order of the engines turns from round to
 * round; the table has medians. Anything an engine gets wrong ends the program. */
#include "engines.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk.h"

enum { POOL = 1024, ROUNDS_MAX = 9, GROUPS_MAX = 8, ENGINES_MAX = 5 };

struct phase {
    uint64_t msgs, ns, cpu_ns, written;
};
struct outcome {
    struct phase append, read, take;
};
struct figures {
    double rate, cpu_us, written;
};
struct plan {
    size_t payload, groups[GROUPS_MAX], groups_count;
    int rounds;
    double seconds;
    const struct engine *engines[ENGINES_MAX];
    size_t engines_count;
    uint8_t *pool;
    uint64_t pool_sum[POOL];
};

void engine_fail(const char *engine, const char *what) {
    fprintf(stderr, "%s: %s\n", engine, what);
    exit(1);
}

static struct phase now_is(void) { return (struct phase){0, disk_now_ns(), disk_cpu_ns(), disk_written()}; }
static void since(struct phase *p, const struct phase *start, uint64_t msgs) {
    struct phase n = now_is();
    *p = (struct phase){msgs, n.ns - start->ns, n.cpu_ns - start->cpu_ns, n.written - start->written};
}

static void append_phase(const struct plan *p, const struct engine *e, const char *folder, size_t group,
                         struct outcome *o, uint64_t *sum) {
    void *s = e->open(folder);
    struct phase start = now_is();
    uint64_t msgs = 0, until = start.ns + (uint64_t)(p->seconds * 1e9);
    do {
        size_t at = msgs % POOL;
        e->append(s, p->pool + at * p->payload, p->payload, group);
        for (size_t i = 0; i < group; i++) *sum += p->pool_sum[at + i];
        msgs += group;
    } while (disk_now_ns() < until);
    since(&o->append, &start, msgs);
    e->close(s);
}

static void read_phase(const struct engine *e, const char *folder, struct outcome *o, uint64_t sum) {
    void *s = e->open(folder);
    struct phase start = now_is();
    uint64_t got = 0, n = e->read(s, &got);
    since(&o->read, &start, n);
    e->close(s);
    if (n != o->append.msgs || got != sum) engine_fail(e->name, "what was read back is not what was stored");
}

static void take_phase(const struct plan *p, const struct engine *e, const char *folder, size_t group,
                       struct outcome *o) {
    void *s = e->open(folder);
    struct phase start = now_is();
    uint64_t msgs = 0, until = start.ns + (uint64_t)(p->seconds * 1e9), none = 0;
    while (msgs < o->append.msgs && disk_now_ns() < until) {
        size_t n = e->take(s, group);
        if (n == 0) engine_fail(e->name, "nothing left to take too early");
        msgs += n;
    }
    since(&o->take, &start, msgs);
    e->close(s);
    s = e->open(folder);
    uint64_t left = e->read(s, &none);
    e->close(s);
    if (left != o->append.msgs - msgs) engine_fail(e->name, "what was deleted is not what was taken");
}

static struct outcome run_engine(const struct plan *p, const struct engine *e, size_t group) {
    char folder[4200];
    struct outcome o;
    uint64_t sum = 0;
    snprintf(folder, sizeof folder, "%s/%s", disk_folder(NULL), e->name);
    if (mkdir(folder, 0700)) engine_fail(e->name, folder);
    append_phase(p, e, folder, group, &o, &sum);
    read_phase(e, folder, &o, sum);
    take_phase(p, e, folder, group, &o);
    disk_remove(folder);
    return o;
}

static struct outcome run_limit(const struct plan *p, size_t group) {
    struct outcome o = {0};
    struct disk_file *f = disk_open(disk_folder(NULL), (size_t)64 << 20);
    struct phase start = now_is();
    uint64_t writes = 0, until = start.ns + (uint64_t)(p->seconds * 1e9);
    do disk_write_durable(f, group * p->payload), writes++;
    while (disk_now_ns() < until);
    since(&o.append, &start, writes * group);
    disk_close(f);
    return o;
}

/* --- the table --- */

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}
static double median(double *v, int n) {
    qsort(v, (size_t)n, sizeof *v, by_value);
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static struct figures figures_of(const struct plan *p, const struct outcome *o, size_t offset) {
    double rate[ROUNDS_MAX], cpu[ROUNDS_MAX], written[ROUNDS_MAX];
    for (int r = 0; r < p->rounds; r++) {
        struct phase ph;
        memcpy(&ph, (const char *)&o[r] + offset, sizeof ph);
        double n = ph.msgs ? (double)ph.msgs : 1;
        rate[r] = n / ((double)ph.ns / 1e9);
        cpu[r] = (double)ph.cpu_ns / 1e3 / n;
        written[r] = (double)ph.written / (n * (double)p->payload);
    }
    return (struct figures){median(rate, p->rounds), median(cpu, p->rounds), median(written, p->rounds)};
}

static void print_row(const struct plan *p, const char *name, size_t group, const struct outcome *o,
                      bool limit) {
    struct figures a = figures_of(p, o, offsetof(struct outcome, append)),
                   r = figures_of(p, o, offsetof(struct outcome, read)),
                   t = figures_of(p, o, offsetof(struct outcome, take));
    printf("| %5zu | %-9s | %9.0f | %7.2f | %7.2f |", group, name, a.rate, a.cpu_us, a.written);
    if (limit)
        printf(" %9s | %7s | %9s | %7s | %7s |\n", "", "", "", "", "");
    else
        printf(" %9.0f | %7.2f | %9.0f | %7.2f | %7.2f |\n", r.rate, r.cpu_us, t.rate, t.cpu_us, t.written);
}

static void print_head(const struct plan *p) {
    printf("%zu B a message, %d rounds of %.1f s, medians; CPU in us a message, written in bytes a payload "
           "byte\n\n",
           p->payload, p->rounds, p->seconds);
    printf("| group | engine    | append/s  | CPU     | written | read/s    | CPU     | take/s    | CPU     "
           "| written |\n"
           "|-------|-----------|-----------|---------|---------|-----------|---------|-----------|---------|"
           "---------|\n");
}

/* --- the command --- */

static const struct engine *const known[] = {
    &engine_millrace,
#ifdef WITH_ROCKSDB
    &engine_rocksdb,
#endif
#ifdef WITH_LMDB
    &engine_lmdb,
#endif
#ifdef WITH_SQLITE
    &engine_sqlite,
#endif
};
enum { KNOWN = sizeof known / sizeof *known };

static void usage(const char *program) {
    fprintf(
        stderr,
        "usage: %s [--payload BYTES] [--seconds S] [--rounds N] [--groups 1,64,1024] [ENGINE...]\nengines:",
        program);
    for (size_t i = 0; i < KNOWN; i++) fprintf(stderr, " %s", known[i]->name);
    fprintf(stderr, "; the folder is made in $MICRO_DIR, or here\n");
    exit(2);
}

static void groups_from(struct plan *p, const char *text, const char *program) {
    p->groups_count = 0;
    for (char *end; *text; text = *end ? end + 1 : end) {
        unsigned long g = strtoul(text, &end, 10);
        if (end == text || g == 0 || g > POOL || POOL % g || p->groups_count == GROUPS_MAX) usage(program);
        p->groups[p->groups_count++] = g;
    }
}

static void options(struct plan *p, int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        size_t k = 0;
        while (k < KNOWN && strcmp(known[k]->name, name) != 0) k++;
        if (k < KNOWN && p->engines_count < ENGINES_MAX) {
            p->engines[p->engines_count++] = known[k];
            continue;
        }
        const char *value = ++i < argc ? argv[i] : "";
        if (strcmp(name, "--payload") == 0)
            p->payload = strtoul(value, NULL, 10);
        else if (strcmp(name, "--seconds") == 0)
            p->seconds = strtod(value, NULL);
        else if (strcmp(name, "--rounds") == 0)
            p->rounds = (int)strtol(value, NULL, 10);
        else if (strcmp(name, "--groups") == 0)
            groups_from(p, value, argv[0]);
        else
            usage(argv[0]);
    }
    if (p->payload < 8 || p->payload > 65536 || p->seconds <= 0 || p->rounds < 1 || p->rounds > ROUNDS_MAX)
        usage(argv[0]);
    if (p->engines_count > 0) return;
    for (size_t k = 0; k < KNOWN; k++) p->engines[p->engines_count++] = known[k];
}

static void fill_pool(struct plan *p) {
    uint64_t x = 88172645463325252u;
    p->pool = malloc(POOL * p->payload);
    if (!p->pool) engine_fail("pool", "memory");
    for (size_t i = 0; i < POOL * p->payload; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        p->pool[i] = (uint8_t)x;
    }
    for (size_t i = 0; i < POOL; i++) p->pool_sum[i] = sum_of(p->pool + i * p->payload, p->payload);
}

int main(int argc, char **argv) {
    static struct plan p = {
        .payload = 128, .groups = {1, 64, 1024}, .groups_count = 3, .rounds = 3, .seconds = 2};
    static struct outcome outcomes[ENGINES_MAX + 1][ROUNDS_MAX];
    options(&p, argc, argv);
    fill_pool(&p);
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    print_head(&p);
    for (size_t g = 0; g < p.groups_count; g++) {
        size_t group = p.groups[g];
        for (int r = 0; r < p.rounds; r++) {
            for (size_t k = 0; k < p.engines_count; k++) {
                size_t which = (k + (size_t)r) % p.engines_count;
                outcomes[which][r] = run_engine(&p, p.engines[which], group);
            }
            outcomes[ENGINES_MAX][r] = run_limit(&p, group);
        }
        for (size_t k = 0; k < p.engines_count; k++)
            print_row(&p, p.engines[k]->name, group, outcomes[k], false);
        print_row(&p, "the disk", group, outcomes[ENGINES_MAX], true);
    }
    printf("\nDurable by:");
    for (size_t k = 0; k < p.engines_count; k++)
        printf(" %s (%s)%s", p.engines[k]->name, p.engines[k]->durable, k + 1 < p.engines_count ? ";" : "\n");
    free(p.pool);
    return 0;
}
