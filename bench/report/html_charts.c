/* html_charts.c - which drawings a report gets. Rows that are steps of one question (the modes of storage,
 * the rates of a sweep) share a drawing a server; other rows have one each, with a line a server. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "report/chart.h"
#include "report/html.h"

enum { POINTS = 160, LINES_MAX = 16, BOTH_MAX = 3 };

static const double percent_ticks[] = {0, 1, 2, 3, 4, 5, 6};
static const char *const percent_texts[] = {"0 %",     "90 %",     "99 %",     "99.9 %",
                                            "99.99 %", "99.999 %", "99.9999 %"};

static void line_init(struct chart_line *l, const char *label, int colour, bool dashed) {
    memset(l, 0, sizeof *l);
    snprintf(l->label, sizeof l->label, "%s", label);
    l->colour = colour;
    l->dashed = dashed;
    l->x = calloc(POINTS, sizeof *l->x);
    l->y = calloc(POINTS, sizeof *l->y);
    must(l->x && l->y);
}

static void lines_free(struct chart_line *l, size_t n) {
    for (size_t i = 0; i < n; i++) {
        free(l[i].x);
        free(l[i].y);
    }
}

static void add_point(struct chart_line *l, double x, double y) {
    if (l->n == POINTS) return;
    l->x[l->n] = x;
    l->y[l->n++] = y;
}

/* Over powers of ten of what is left: each step to the right is ten times rarer. */
static void add_percentiles(struct chart_line *l, const struct hist *h) {
    double most = log10((double)h->total);
    for (int i = 0; i < POINTS; i++) {
        double x = most * i / (POINTS - 1);
        add_point(l, x, (double)hist_at(h, fmin(100, 100 * (1 - pow(10, -x)))) / 1e3);
    }
}

static void add_over_time(struct chart_line *l, const struct series *s, double percent) {
    for (size_t i = 0; i < SERIES_SLOTS; i++) {
        if (s->slots[i])
            add_point(l, (double)i * (double)s->slot_ns / 1e9, (double)hist_at(s->slots[i], percent) / 1e3);
    }
}

static bool drawable(const struct cell *c) {
    return c->latency && c->latency->total > 0 && !cell_void(c, NULL);
}

struct picked {
    const struct cell *cell;
    const char *label;
};

static void draw_percentiles(FILE *f, const char *title, const struct picked *p, size_t n) {
    struct chart_line lines[LINES_MAX];
    struct chart_axis x = {"share of messages that were faster", false, 7, percent_ticks, percent_texts};
    struct chart_axis y = {"latency, µs", true, 0, NULL, NULL};
    char text[200];
    for (size_t i = 0; i < n; i++) {
        line_init(&lines[i], p[i].label, (int)i, false);
        add_percentiles(&lines[i], p[i].cell->latency);
    }
    snprintf(text, sizeof text, "%s: latency by percentile", title);
    chart_lines(f, text, "Lower is better; each step to the right is ten times rarer.", &x, &y, lines, n);
    lines_free(lines, n);
}

static void draw_over_time(FILE *f, const char *title, const struct picked *p, size_t n) {
    struct chart_line lines[2 * LINES_MAX];
    struct chart_axis x = {"seconds into the last round", false, 0, NULL, NULL},
                      y = {"latency, µs", true, 0, NULL, NULL};
    char text[200];
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        snprintf(text, sizeof text, "%s p99", p[i].label);
        line_init(&lines[at], text, (int)i, false);
        add_over_time(&lines[at++], p[i].cell->series, 99);
        if (n > BOTH_MAX) continue;
        snprintf(text, sizeof text, "%s p50", p[i].label);
        line_init(&lines[at], text, (int)i, true);
        add_over_time(&lines[at++], p[i].cell->series, 50);
    }
    snprintf(text, sizeof text, "%s: latency over time", title);
    chart_lines(f, text, "Steady lines are good; spikes are pauses.", &x, &y, lines, at);
    lines_free(lines, at);
}

static void draw_pair(FILE *f, const char *title, const struct picked *p, size_t n) {
    if (n == 0) return;
    draw_percentiles(f, title, p, n);
    draw_over_time(f, title, p, n);
}

/* Rows that belong together: one command whose rows differ in one thing only. */
static bool is_family(const struct report *r) {
    for (size_t i = 0; i < r->rows_n; i++) {
        if (strcmp(r->rows[i].command, r->rows[0].command) != 0) return false;
    }
    return r->rows_n > 1 &&
           (strcmp(r->rows[0].command, "storage") == 0 || strcmp(r->rows[0].command, "latency") == 0);
}

static void draw_by_server(FILE *f, const struct report *r) {
    struct picked p[LINES_MAX];
    for (size_t s = 0; s < r->servers_n; s++) {
        size_t n = 0;
        for (size_t i = 0; i < r->rows_n && n < LINES_MAX; i++) {
            if (drawable(&r->rows[i].cells[s]))
                p[n++] = (struct picked){&r->rows[i].cells[s], r->rows[i].name};
        }
        draw_pair(f, r->servers[s].label, p, n);
    }
}

static void draw_by_row(FILE *f, const struct report *r) {
    struct picked p[SERVERS_MAX];
    for (size_t i = 0; i < r->rows_n; i++) {
        size_t n = 0;
        for (size_t s = 0; s < r->servers_n; s++) {
            if (drawable(&r->rows[i].cells[s]))
                p[n++] = (struct picked){&r->rows[i].cells[s], r->servers[s].label};
        }
        draw_pair(f, r->rows[i].name, p, n);
    }
}

static void draw_sweep(FILE *f, const struct report *r) {
    struct chart_line lines[2 * SERVERS_MAX] = {0};
    struct chart_axis x = {"messages a second offered", true, 0, NULL, NULL},
                      y = {"latency, µs", true, 0, NULL, NULL};
    size_t at = 0;
    char text[64];
    for (size_t s = 0; s < r->servers_n; s++) {
        for (int k = 0; k < 2; k++, at++) {
            snprintf(text, sizeof text, "%.50s %s", r->servers[s].label, k ? "p50" : "p99");
            line_init(&lines[at], text, (int)s, k);
            for (size_t i = 0; i < r->rows_n; i++) {
                if (!cell_void(&r->rows[i].cells[s], NULL))
                    add_point(&lines[at], r->rows[i].rate,
                              cell_summary(&r->rows[i].cells[s], k ? FIG_P50 : FIG_P99).median);
            }
        }
    }
    chart_lines(f, "Latency by load", "Where a line turns up, the server is at its limit.", &x, &y, lines,
                at);
    lines_free(lines, at);
}

/* A bar for each row and server. */
static void draw_figure(FILE *f, const struct report *r, enum figure figure) {
    static struct chart_bar bars[ROWS_MAX];
    size_t n = 0;
    char title[120];
    for (size_t i = 0; i < r->rows_n; i++) {
        for (size_t s = 0; s < r->servers_n && n < ROWS_MAX; s++) {
            const struct cell *c = &r->rows[i].cells[s];
            if (c->rounds_n == 0 || cell_void(c, NULL)) continue;
            struct summary v = cell_summary(c, figure);
            if (v.count == 0 && strcmp(r->rows[i].command, "limits") == 0) continue;
            struct chart_bar *b = &bars[n++];
            *b = (struct chart_bar){
                .colour = (int)(r->servers_n > 1 ? s : i), .value = v.median, .min = v.min, .max = v.max};
            if (r->servers_n > 1)
                snprintf(b->label, sizeof b->label, "%s, %s", r->rows[i].name, r->servers[s].label);
            else
                snprintf(b->label, sizeof b->label, "%s", r->rows[i].name);
        }
    }
    const struct figure_info *info = &figure_info[figure];
    snprintf(title, sizeof title, "%s, %s%s", info->title, info->unit,
             info->better > 0   ? " (longer is better)"
             : info->better < 0 ? " (shorter is better)"
                                : "");
    chart_bars(f, title, info->unit, bars, n, 0);
}

/* How the other servers stand to the first, row by row. */
static void draw_ratios(FILE *f, const struct report *r, enum figure figure) {
    static struct chart_bar bars[ROWS_MAX];
    size_t n = 0;
    char title[160];
    for (size_t i = 0; i < r->rows_n; i++) {
        for (size_t s = 1; s < r->servers_n && n < ROWS_MAX; s++) {
            const struct cell *one = &r->rows[i].cells[0], *other = &r->rows[i].cells[s];
            struct summary a = cell_summary(one, figure), b = cell_summary(other, figure);
            struct ratio ratio = ratio_of(&a, &b);
            if (isnan(ratio.ratio) || !row_comparable(&r->rows[i], 0, s, figure)) continue;
            bars[n] = (struct chart_bar){
                .colour = (int)s, .value = ratio.ratio, .min = ratio.min, .max = ratio.max};
            if (r->servers_n > 2)
                snprintf(bars[n].label, sizeof bars[n].label, "%s, %s", r->rows[i].name, r->servers[s].label);
            else
                snprintf(bars[n].label, sizeof bars[n].label, "%s", r->rows[i].name);
            n++;
        }
    }
    const struct figure_info *info = &figure_info[figure];
    snprintf(title, sizeof title, "%s%s%s in relation to %s (%s 1 is better)", info->title,
             r->servers_n == 2 ? " of " : "", r->servers_n == 2 ? r->servers[1].label : "",
             r->servers[0].label, info->better > 0 ? "above" : "below");
    chart_bars(f, title, "x", bars, n, 1);
}

void html_charts(FILE *f, const struct report *r) {
    static const enum figure shown[] = {FIG_CPU, FIG_RATE, FIG_P50, FIG_P99, FIG_RSS, FIG_WRITTEN};
    if (r->rows_n == 0) return;
    bool family = is_family(r), storage = family && strcmp(r->rows[0].command, "storage") == 0;
    bool limits = strcmp(r->rows[0].command, "limits") == 0;
    fputs("<div class=\"charts\">\n", f);
    if (storage) {
        for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++) draw_figure(f, r, shown[i]);
    } else if (limits) {
        draw_figure(f, r, FIG_MBS);
        draw_figure(f, r, FIG_P50);
    } else if (!family && r->servers_n > 1) {
        draw_ratios(f, r, FIG_CPU);
        draw_ratios(f, r, FIG_RATE);
    }
    if (family && !storage) draw_sweep(f, r);
    if (family)
        draw_by_server(f, r);
    else if (!limits)
        draw_by_row(f, r);
    fputs("</div>\n", f);
}
