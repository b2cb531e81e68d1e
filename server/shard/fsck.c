/* fsck.c - mr_verify() for people and scripts: one line a finding on standard output, then one line that sums
 * up. With --json each line is an object. On a terminal a progress line is kept on standard error.
 *
 * Happy path: no finding, "clean", exit status 0. Findings above --max are counted, not printed. What can
 * fail: the command line, and what keeps the folder from being checked: exit status 2, and why on standard
 * error. */
#include "shard/fsck.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/must.h"
#include "millrace.h"

enum { FSCK_CLEAN, FSCK_DAMAGED, FSCK_CANNOT };
#define MAX_DEFAULT 1000
#define TELL_NS     200000000ll

struct fsck {
    const char *path;
    bool json, help, terminal, drawn;
    unsigned long max, printed, left;
    long long next_ns; /* of the progress line */
};

static const char usage[] =
    "\n"
    "Usage: millrace fsck [options] DIR\n"
    "\n"
    "Reads everything in the data folder DIR of a server that is stopped, and names each damaged place and "
    "each\n"
    "message that cannot be read. Changes nothing, also when the server would refuse to start on it.\n"
    "\n"
    "    --json       One JSON object a line: findings, then a summary\n"
    "    --max <n>    Print at most n findings (default: 1000); the others are counted\n"
    "    -h, --help   Show this message\n"
    "\n"
    "Exit status: 0 clean, 1 something is damaged or lost, 2 it could not be checked.\n";

#define ULL(x) ((unsigned long long)(x))

/* --- the command line --- */

static bool read_max(const char *text, unsigned long *max) {
    char *end;
    must(text != NULL);
    errno = 0;
    *max = strtoul(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0' && errno == 0;
}

/* NULL, or what is wrong. */
static const char *read_words(struct fsck *f, int argc, char **argv) {
    must(argc > 0);
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i], *name = word[0] == '-' && word[1] == '-' ? word + 1 : word;
        if (word[0] != '-') {
            if (f->path) return "one folder at a time";
            f->path = word;
        } else if (strcmp(name, "-h") == 0 || strcmp(name, "-help") == 0) {
            f->help = true;
        } else if (strcmp(name, "-json") == 0) {
            f->json = true;
        } else if (strncmp(name, "-max=", 5) == 0) {
            if (!read_max(name + 5, &f->max)) return "--max wants a number";
        } else if (strcmp(name, "-max") == 0) {
            if (++i == argc || !read_max(argv[i], &f->max)) return "--max wants a number";
        } else {
            return "unknown option; try --help";
        }
    }
    return f->path || f->help ? NULL : "which folder?";
}

/* --- printing --- */

static void wipe_progress(struct fsck *f) {
    if (f->drawn) fprintf(stderr, "\r\033[K");
    f->drawn = false;
}

/* Names come from clients: nothing of them reaches a terminal that could move its cursor. */
static void print_name(struct mr_bytes name) {
    putchar('"');
    for (size_t i = 0; i < name.n; i++) {
        uint8_t c = name.p[i];
        if (c < 0x20 || c == 0x7f || c == '"' || c == '\\')
            printf("\\x%02x", c);
        else
            putchar(c);
    }
    putchar('"');
}

static void print_whose(const struct mr_finding *d) {
    if (d->record) printf(", %s", d->record);
    if (d->stream.n) {
        printf(", stream ");
        print_name(d->stream);
    } else if (d->stream_number) {
        printf(", stream number %u", d->stream_number);
    }
    if (d->consumer.n) {
        printf(", consumer ");
        print_name(d->consumer);
    }
    if (d->seq && d->seq == d->seq_last)
        printf(", sequence %llu", ULL(d->seq));
    else if (d->seq)
        printf(", sequences %llu to %llu", ULL(d->seq), ULL(d->seq_last));
}

static void print_text(const struct mr_finding *d) {
    static const char *const words[] = {
        [MR_FOUND_DAMAGE] = "damaged", [MR_FOUND_LOST] = "lost", [MR_FOUND_NOTE] = "note"};
    must(d->found <= MR_FOUND_NOTE);
    printf("%s: ", words[d->found]);
    if (d->file && d->length)
        printf("%s at %llu, %llu bytes", d->file, ULL(d->offset), ULL(d->length));
    else if (d->file)
        printf("%s at %llu", d->file, ULL(d->offset));
    else
        printf("log-%04x", d->log);
    print_whose(d);
    printf(": %s%s\n", d->cause, d->found == MR_FOUND_DAMAGE && d->lost ? "; the message is lost" : "");
}

/* --- the same as JSON --- */

static void print_field(const char *name, struct mr_bytes value) {
    printf(",\"%s\":\"", name);
    for (size_t i = 0; i < value.n; i++) {
        uint8_t c = value.p[i];
        if (c < 0x20 || c == 0x7f || c == '"' || c == '\\')
            printf("\\u%04x", c);
        else
            putchar(c);
    }
    putchar('"');
}

static void print_words(const char *name, const char *value) {
    must(value != NULL);
    print_field(name, (struct mr_bytes){(const uint8_t *)value, strlen(value)});
}

static void print_json(const struct mr_finding *d) {
    static const char *const words[] = {
        [MR_FOUND_DAMAGE] = "damage", [MR_FOUND_LOST] = "lost", [MR_FOUND_NOTE] = "note"};
    must(d->found <= MR_FOUND_NOTE);
    printf("{\"type\":\"%s\"", words[d->found]);
    if (d->file) {
        print_words("file", d->file);
        printf(",\"offset\":%llu,\"length\":%llu", ULL(d->offset), ULL(d->length));
    }
    if (d->segment) printf(",\"segment\":%llu", ULL(d->segment));
    if (d->record) print_words("record", d->record);
    if (d->stream.n) print_field("stream", d->stream);
    if (d->stream_number) printf(",\"log\":%u,\"stream_number\":%u", d->log, d->stream_number);
    if (d->consumer.n) print_field("consumer", d->consumer);
    if (d->seq) printf(",\"first_seq\":%llu,\"last_seq\":%llu", ULL(d->seq), ULL(d->seq_last));
    printf(",\"lost\":%s", d->lost ? "true" : "false");
    print_words("cause", d->cause);
    puts("}");
}

static void on_found(void *ctx, const struct mr_finding *d) {
    struct fsck *f = ctx;
    if (f->printed >= f->max) {
        f->left++;
        return;
    }
    f->printed++;
    wipe_progress(f);
    if (f->json)
        print_json(d);
    else
        print_text(d);
}

static void on_progress(void *ctx, uint64_t done, uint64_t total) {
    struct fsck *f = ctx;
    struct timespec t;
    if (!f->terminal || total == 0) return;
    clock_gettime(CLOCK_MONOTONIC, &t);
    long long now = (long long)t.tv_sec * 1000000000 + t.tv_nsec;
    if (!f->next_ns) f->next_ns = now + TELL_NS; /* what is quick needs none */
    if (now < f->next_ns) return;
    f->next_ns = now + TELL_NS;
    fprintf(stderr, "\r%3.0f %% of %llu MiB\033[K", 100.0 * (double)done / (double)total, ULL(total >> 20));
    f->drawn = true;
}

static void sum_up_json(const struct fsck *f, const struct mr_verify_result *r, bool clean) {
    printf("{\"type\":\"summary\",\"clean\":%s,\"refused\":%s,\"logs\":%llu,\"segments\":%llu,\"bytes\":%llu,"
           "\"records\":%llu,\"streams\":%llu,\"consumers\":%llu,\"messages\":%llu,\"damaged_places\":%llu,"
           "\"damaged_bytes\":%llu,\"lost_messages\":%llu,\"notes\":%llu,\"not_printed\":%lu}\n",
           clean ? "true" : "false", r->refused ? "true" : "false", ULL(r->logs), ULL(r->segments),
           ULL(r->bytes), ULL(r->records), ULL(r->streams), ULL(r->consumers), ULL(r->messages),
           ULL(r->damaged_places), ULL(r->damaged_bytes), ULL(r->lost_messages), ULL(r->notes), f->left);
}

static void sum_up(const struct fsck *f, const struct mr_verify_result *r, bool clean) {
    must(clean || r->damaged_places || r->lost_messages || r->refused);
    if (f->json) {
        sum_up_json(f, r, clean);
        return;
    }
    if (f->left) printf("and %lu more\n", f->left);
    if (r->refused) printf("the server would refuse to start on this folder\n");
    printf(
        "%s: %s: %llu damaged places (%llu bytes), %llu messages lost; read %llu logs, %llu segments, %llu "
        "MiB, %llu records; good: %llu streams, %llu consumers, %llu messages\n",
        f->path, clean ? "clean" : "DAMAGED", ULL(r->damaged_places), ULL(r->damaged_bytes),
        ULL(r->lost_messages), ULL(r->logs), ULL(r->segments), ULL(r->bytes >> 20), ULL(r->records),
        ULL(r->streams), ULL(r->consumers), ULL(r->messages));
}

/* --- all of it --- */

static int cannot(const struct fsck *f, const struct mr_verify_result *r, enum mr_status s) {
    must(s != MR_OK);
    if (s == MR_LOCKED && r->holder)
        fprintf(stderr, "millrace: fsck: %s is in use by process %u; stop the server first\n", f->path,
                r->holder);
    else
        fprintf(stderr, "millrace: fsck: %s: %s\n", f->path,
                s == MR_GONE      ? "no such folder"
                : s == MR_FOREIGN ? "not a Millrace store"
                                  : mr_status_text(s));
    return FSCK_CANNOT;
}

int fsck_main(int argc, char **argv) {
    struct fsck f = {.max = MAX_DEFAULT, .terminal = isatty(STDERR_FILENO)};
    const char *wrong = read_words(&f, argc, argv);
    if (f.help) return fputs(usage, stdout) < 0 ? FSCK_CANNOT : FSCK_CLEAN;
    if (wrong) {
        fprintf(stderr, "millrace: fsck: %s\n%s", wrong, usage);
        return FSCK_CANNOT;
    }
    struct mr_verify_result r = {.size = sizeof r};
    const struct mr_verify_config cfg = {
        .size = sizeof cfg, .path = f.path, .found = on_found, .progress = on_progress, .ctx = &f};
    enum mr_status s = mr_verify(&cfg, &r);
    wipe_progress(&f);
    if (s != MR_OK) return cannot(&f, &r, s);
    bool clean = !r.damaged_places && !r.lost_messages && !r.refused;
    sum_up(&f, &r, clean);
    if (fflush(stdout) != 0) return FSCK_CANNOT;
    return clean ? FSCK_CLEAN : FSCK_DAMAGED;
}
