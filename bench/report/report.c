/* report.c - the model. Memory is taken a row and a round at a time; without any the program ends. */
#include "report/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"

const struct figure_info figure_info[FIG_COUNT] = {
#define X(id, key, title, unit, better) {key, title, unit, better},
    FIGURES(X)
#undef X
};

struct report *report_open(void) {
    struct report *r = calloc(1, sizeof *r);
    must(r);
    return r;
}

static void cell_close(struct cell *c) {
    if (c->series) series_deinit(c->series);
    free(c->series);
    free(c->latency);
    free(c->rounds);
}

void report_close(struct report *r) {
    for (size_t i = 0; i < r->rows_n; i++) {
        for (size_t s = 0; s < SERVERS_MAX; s++) cell_close(&r->rows[i].cells[s]);
    }
    free(r);
}

struct row *report_row(struct report *r, const char *name, const char *command, const char *title,
                       const char *mode) {
    if (r->rows_n == ROWS_MAX) return NULL;
    struct row *row = &r->rows[r->rows_n++];
    snprintf(row->name, sizeof row->name, "%s", name);
    snprintf(row->command, sizeof row->command, "%s", command);
    snprintf(row->title, sizeof row->title, "%s", title);
    snprintf(row->mode, sizeof row->mode, "%s", mode);
    row->headline = FIG_RATE;
    return row;
}

struct round *report_round(struct row *row, size_t server) {
    must(server < SERVERS_MAX);
    struct cell *c = &row->cells[server];
    if (c->rounds_n == ROUNDS_MAX) return NULL;
    if (!c->rounds) c->rounds = calloc(ROUNDS_MAX, sizeof *c->rounds);
    must(c->rounds);
    struct round *round = &c->rounds[c->rounds_n++];
    for (size_t i = 0; i < FIG_COUNT; i++) round->figures[i] = NAN;
    round->valid = true;
    return round;
}

void report_latency(struct row *row, size_t server, const struct hist *latency, const struct series *series) {
    struct cell *c = &row->cells[server];
    if (latency->total == 0) return;
    if (!c->latency) {
        c->latency = malloc(sizeof *c->latency);
        must(c->latency);
        hist_init(c->latency);
    }
    hist_merge(c->latency, latency);
    if (c->series)
        series_deinit(c->series);
    else
        c->series = malloc(sizeof *c->series);
    must(c->series);
    series_init(c->series, series->begin_ns, series->slot_ns);
    series_merge(c->series, series);
}

struct summary cell_summary(const struct cell *c, enum figure f) {
    double values[ROUNDS_MAX];
    size_t n = 0;
    for (size_t i = 0; i < c->rounds_n; i++) {
        if (c->rounds[i].valid) values[n++] = c->rounds[i].figures[f];
    }
    return summary_of(values, n);
}

bool cell_void(const struct cell *c, const char **why) {
    for (size_t i = 0; i < c->rounds_n; i++) {
        if (c->rounds[i].valid) continue;
        if (why) *why = c->rounds[i].why;
        return true;
    }
    return false;
}

bool cell_behind(const struct cell *c) {
    for (size_t i = 0; i < c->rounds_n; i++) {
        if (c->rounds[i].valid && c->rounds[i].behind) return true;
    }
    return false;
}

bool row_has(const struct row *row, size_t servers_n, enum figure f) {
    for (size_t i = 0; i < servers_n; i++) {
        if (cell_summary(&row->cells[i], f).count) return true;
    }
    return false;
}

bool row_comparable(const struct row *row, size_t a, size_t b, enum figure f) {
    bool latency = f >= FIG_P50 && f <= FIG_MAX, rate = f == FIG_RATE || f == FIG_MBS;
    if (cell_void(&row->cells[a], NULL) || cell_void(&row->cells[b], NULL)) return false;
    if (figure_info[f].better == 0 || (rate && row->rate > 0)) return false;
    return !latency || (!cell_behind(&row->cells[a]) && !cell_behind(&row->cells[b]));
}

bool report_void(const struct report *r) {
    for (size_t i = 0; i < r->rows_n; i++) {
        for (size_t s = 0; s < r->servers_n; s++) {
            if (cell_void(&r->rows[i].cells[s], NULL)) return true;
        }
    }
    return false;
}
