/* fsck.c - mr_verify() for people and scripts: one line a finding on standard output, then one line that sums
 * up. With --json each line is an object. On a terminal a progress line is kept on standard error.
 *
 * Happy path: no finding, "clean", exit status 0. Findings above --max are counted, not printed. What can
 * fail: the command line, and what keeps the folder from being checked: exit status 2, and why on standard
 * error. */
#include "shard/fsck.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/must.h"
#include "millrace.h"
#include "wire/json.h"

enum { FSCK_CLEAN, FSCK_DAMAGED, FSCK_CANNOT };
#define MAX_DEFAULT 1000
#define TELL_NS     200000000ll

struct fsck {
    const char *path;
    bool json, help, terminal, drawn, no_memory;
    uint64_t max, printed, left;
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
            if (!get_u64(span_str(name + 5), &f->max)) return "--max wants a number";
        } else if (strcmp(name, "-max") == 0) {
            if (++i == argc || !get_u64(span_str(argv[i]), &f->max)) return "--max wants a number";
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

static yyjson_mut_doc *object_begin(const char *type, yyjson_mut_val **o) {
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    *o = yyjson_mut_obj(doc);
    if (*o) yyjson_mut_doc_set_root(doc, *o);
    if (yyjson_mut_obj_add_str(doc, *o, "type", type)) return doc;
    yyjson_mut_doc_free(doc);
    return NULL;
}

/* A line; the document is gone. */
static void object_end(struct fsck *f, yyjson_mut_doc *doc, bool whole) {
    char *text = whole ? yyjson_mut_write(doc, YYJSON_WRITE_NOFLAG, NULL) : NULL;
    yyjson_mut_doc_free(doc);
    if (text)
        puts(text);
    else
        f->no_memory = true;
    free(text);
}

static bool add_name(yyjson_mut_doc *doc, yyjson_mut_val *o, const char *key, struct mr_bytes name) {
    return !name.n || json_add_span(doc, o, key, span_of(name.p, name.n));
}

static bool add_finding(yyjson_mut_doc *doc, yyjson_mut_val *o, const struct mr_finding *d) {
    bool ok = true;
    if (d->file)
        ok = yyjson_mut_obj_add_str(doc, o, "file", d->file) &&
             yyjson_mut_obj_add_uint(doc, o, "offset", d->offset) &&
             yyjson_mut_obj_add_uint(doc, o, "length", d->length);
    if (ok && d->segment) ok = yyjson_mut_obj_add_uint(doc, o, "segment", d->segment);
    if (ok && d->record) ok = yyjson_mut_obj_add_str(doc, o, "record", d->record);
    ok = ok && add_name(doc, o, "stream", d->stream);
    if (ok && d->stream_number)
        ok = yyjson_mut_obj_add_uint(doc, o, "log", d->log) &&
             yyjson_mut_obj_add_uint(doc, o, "stream_number", d->stream_number);
    ok = ok && add_name(doc, o, "consumer", d->consumer);
    if (ok && d->seq)
        ok = yyjson_mut_obj_add_uint(doc, o, "first_seq", d->seq) &&
             yyjson_mut_obj_add_uint(doc, o, "last_seq", d->seq_last);
    return ok && yyjson_mut_obj_add_bool(doc, o, "lost", d->lost) &&
           yyjson_mut_obj_add_str(doc, o, "cause", d->cause);
}

static void print_json(struct fsck *f, const struct mr_finding *d) {
    static const char *const words[] = {
        [MR_FOUND_DAMAGE] = "damage", [MR_FOUND_LOST] = "lost", [MR_FOUND_NOTE] = "note"};
    yyjson_mut_val *o;
    must(d->found <= MR_FOUND_NOTE);
    yyjson_mut_doc *doc = object_begin(words[d->found], &o);
    object_end(f, doc, doc && add_finding(doc, o, d));
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
        print_json(f, d);
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

static void sum_up_json(struct fsck *f, const struct mr_verify_result *r, bool clean) {
    const struct {
        const char *key;
        uint64_t n;
    } counts[] = {{"logs", r->logs},
                  {"segments", r->segments},
                  {"bytes", r->bytes},
                  {"records", r->records},
                  {"streams", r->streams},
                  {"consumers", r->consumers},
                  {"messages", r->messages},
                  {"damaged_places", r->damaged_places},
                  {"damaged_bytes", r->damaged_bytes},
                  {"lost_messages", r->lost_messages},
                  {"notes", r->notes},
                  {"not_printed", f->left}};
    yyjson_mut_val *o;
    yyjson_mut_doc *doc = object_begin("summary", &o);
    bool ok = doc && yyjson_mut_obj_add_bool(doc, o, "clean", clean) &&
              yyjson_mut_obj_add_bool(doc, o, "refused", r->refused);
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        ok = ok && yyjson_mut_obj_add_uint(doc, o, counts[i].key, counts[i].n);
    object_end(f, doc, ok);
}

static void sum_up(struct fsck *f, const struct mr_verify_result *r, bool clean) {
    must(clean || r->damaged_places || r->lost_messages || r->refused);
    if (f->json) {
        sum_up_json(f, r, clean);
        return;
    }
    if (f->left) printf("and %llu more\n", ULL(f->left));
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
    if (f.no_memory) fprintf(stderr, "millrace: fsck: out of memory: not everything was printed\n");
    if (fflush(stdout) != 0 || f.no_memory) return FSCK_CANNOT;
    return clean ? FSCK_CLEAN : FSCK_DAMAGED;
}
