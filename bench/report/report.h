/* report.h - what was measured, in the shape in which it is written: rows (pieces of work), in each row a
 * cell for each server, in each cell the rounds. Writers (text, json, csv, html) read this and nothing else.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "host/machine.h"
#include "stats/hist.h"
#include "stats/series.h"
#include "stats/summary.h"

/* In the order in which reports show them: what a message costs the server comes first. */
#define FIGURES(X)                                                                                           \
    X(CPU, "cpu_us", "server CPU", "µs/message", -1)                                                         \
    X(MACH, "mach_us", "machine CPU", "µs/message", -1)                                                      \
    X(RATE, "rate", "rate", "/s", 1)                                                                         \
    X(MBS, "mb_s", "throughput", "MB/s", 1)                                                                  \
    X(NS, "ns", "time", "ns", -1)                                                                            \
    X(OFFERED, "offered", "offered", "/s", 0)                                                                \
    X(P50, "p50_us", "p50", "µs", -1)                                                                        \
    X(P90, "p90_us", "p90", "µs", -1)                                                                        \
    X(P99, "p99_us", "p99", "µs", -1)                                                                        \
    X(P999, "p999_us", "p99.9", "µs", -1)                                                                    \
    X(P9999, "p9999_us", "p99.99", "µs", -1)                                                                 \
    X(MAX, "max_us", "max", "µs", -1)                                                                        \
    X(RSS, "rss_mb", "memory", "MB", -1)                                                                     \
    X(WRITTEN, "written_per_byte", "written", "B/B", -1)                                                     \
    X(FLUSHES, "durable_writes_s", "durable writes", "/s", 0)                                                \
    X(OF_DISK, "of_disk", "of disk limit", "%", 0)                                                           \
    X(OF_MEMORY, "of_memory", "of memory limit", "%", 0)                                                     \
    X(SWITCHES, "switches", "context switches", "/message", 0)                                               \
    X(OWN, "own_cpu_us", "load generator CPU", "µs/message", 0)                                              \
    X(LATE, "late_p99_us", "sent late, p99", "µs", 0)                                                        \
    X(STEAL, "steal", "steal", "%", 0)                                                                       \
    X(LOAD, "load", "load average", "", 0)

enum figure {
#define X(id, key, title, unit, better) FIG_##id,
    FIGURES(X)
#undef X
        FIG_COUNT
};
struct figure_info {
    const char *key, *title, *unit;
    int better; /* 1: more is better, -1: less is, 0: neither */
};
extern const struct figure_info figure_info[FIG_COUNT];

struct round {
    double figures[FIG_COUNT]; /* NaN: not measured */
    bool valid, cut_short, behind;
    char why[256];
};

enum { ROUNDS_MAX = 64, SERVERS_MAX = 8, ROWS_MAX = 256 };

struct cell {
    struct round *rounds;
    size_t rounds_n;
    struct hist *latency;  /* of all valid rounds; NULL when the work has no latency */
    struct series *series; /* of the last valid round */
};

struct row {
    char name[40], command[16], title[160], mode[64]; /* mode: durability, where the row decides it */
    double rate;                                      /* open loop: offered */
    enum figure headline;                             /* what the work is about, beside CPU */
    struct cell cells[SERVERS_MAX];
};

/* Two rows of the same work that differ in how much of something there is. What grows with it and should not
 * is the judgement. */
enum { GROWTHS_MAX = 32, GROWTH_FIGURES = 4 };
struct growth {
    char name[40], of[48];           /* of: what there is more of, in the plural */
    double from, to;                 /* how many */
    const struct row *small, *large; /* rows of the same report */
    enum figure judged;              /* should not grow */
    enum figure figures[GROWTH_FIGURES];
    size_t figures_n; /* what is shown; the judged one first */
};

struct server_info {
    char label[32], version[160], mode[64];
};

struct report {
    char command[600], version[32], note[256];
    struct machine machine;
    bool flush_known, flush_direct;
    double flush_p50_us, flush_p99_us, flush_per_s;
    double load_end;
    struct server_info servers[SERVERS_MAX];
    size_t servers_n;
    struct row rows[ROWS_MAX];
    size_t rows_n;
    struct growth growths[GROWTHS_MAX];
    size_t growths_n;
    bool interrupted;
};

struct report *report_open(void);
void report_close(struct report *r);
/* NULL when there are ROWS_MAX already. */
struct row *report_row(struct report *r, const char *name, const char *command, const char *title,
                       const char *mode);
/* A new round of a cell, all figures unknown, valid. Lives until the next of the same cell. NULL when there
 * are too many. */
struct round *report_round(struct row *row, size_t server);
/* Adds a valid round's latencies to its cell; the series is copied. */
void report_latency(struct row *row, size_t server, const struct hist *latency, const struct series *series);

/* NULL when there are GROWTHS_MAX already. */
struct growth *report_growth(struct report *r, const char *name, const char *of, double from, double to);
/* A server's figure in the large row in relation to the small; NaN where one is void or was not measured. */
double growth_factor(const struct growth *g, size_t server, enum figure f);
/* "flat" while the judged figure of a server grows by less than a quarter, "grows 2.31x", "void", "not
 * measured". Returns out. */
const char *growth_verdict(const struct growth *g, size_t server, char *out, size_t room);

struct summary cell_summary(const struct cell *c, enum figure f);
/* Some round is void: nothing may be claimed from this cell. */
bool cell_void(const struct cell *c, const char **why);
bool cell_behind(const struct cell *c);
bool row_has(const struct row *row, size_t servers_n, enum figure f);
bool report_void(const struct report *r);
/* Two servers may be compared by this figure: both kept up where latencies are concerned, and a rate was not
 * given. */
bool row_comparable(const struct row *row, size_t a, size_t b, enum figure f);

/* Writers. False when the file cannot be written. */
void report_text_head(const struct report *r, FILE *out);
void report_text_row(const struct report *r, const struct row *row, FILE *out);
/* All growths as a table, on the terminal and as Markdown. Nothing when there is none. */
void report_text_growths(const struct report *r, FILE *out);
void report_markdown_growths(const struct report *r, FILE *out);
bool report_json(const struct report *r, const char *path);
bool report_csv(const struct report *r, const char *path);
bool report_markdown(const struct report *r, const char *path);
bool report_html(const struct report *r, const char *path);

/* 1,234,567; 12.3; 0.45: what a reader takes in at a glance. Returns out. */
const char *figure_text(double v, char *out, size_t room);
/* The same for how many there are of something. */
const char *count_text(double n, char *out, size_t room);
