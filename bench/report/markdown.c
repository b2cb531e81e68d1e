/* markdown.c - one table for a README: CPU a message, its ratio, and what the work is about (rate, or a
 * latency), each row with what an acknowledgement meant there. */
#include <math.h>
#include <string.h>

#include "report/report.h"

static void put_mode(FILE *f, const struct report *r, const struct row *row) {
    if (row->mode[0]) {
        fputs(row->mode, f);
        return;
    }
    for (size_t s = 0; s < r->servers_n; s++)
        fprintf(f, "%s%s: %s", s ? "; " : "", r->servers[s].label, r->servers[s].mode);
}

static void put_median(FILE *f, const struct cell *c, enum figure figure) {
    char text[40];
    struct summary s = cell_summary(c, figure);
    if (cell_void(c, NULL))
        fputs(" void |", f);
    else if (s.count == 0)
        fputs(" |", f);
    else
        fprintf(f, " %s%s |", figure_text(s.median, text, sizeof text),
                cell_behind(c) ? " (fell behind)" : "");
}

static void put_headline(FILE *f, const struct row *row, const struct cell *c) {
    char text[40];
    struct summary s = cell_summary(c, row->headline);
    const struct figure_info *info = &figure_info[row->headline];
    if (cell_void(c, NULL))
        fputs(" void |", f);
    else if (s.count == 0)
        fputs(" |", f);
    else if (row->headline == FIG_RATE)
        fprintf(f, " %s/s |", figure_text(s.median, text, sizeof text));
    else
        fprintf(f, " %s µs %s |", figure_text(s.median, text, sizeof text), info->title);
}

static void put_ratio(FILE *f, const struct cell *a, const struct cell *b) {
    struct summary sa = cell_summary(a, FIG_CPU), sb = cell_summary(b, FIG_CPU);
    struct ratio ratio = ratio_of(&sa, &sb);
    if (isnan(ratio.ratio) || cell_void(a, NULL) || cell_void(b, NULL))
        fputs(" |", f);
    else if (ratio.verdict == VERDICT_OVERLAP)
        fprintf(f, " %.2f (no difference shown) |", ratio.ratio);
    else
        fprintf(f, " %.2f |", ratio.ratio);
}

static void put_row(FILE *f, const struct report *r, const struct row *row) {
    fprintf(f, "| %s: %s | ", row->name, row->title);
    put_mode(f, r, row);
    fputs(" |", f);
    for (size_t s = 0; s < r->servers_n; s++) put_median(f, &row->cells[s], FIG_CPU);
    for (size_t s = 1; s < r->servers_n; s++) put_ratio(f, &row->cells[0], &row->cells[s]);
    for (size_t s = 0; s < r->servers_n; s++) put_headline(f, row, &row->cells[s]);
    fputs("\n", f);
}

bool report_markdown(const struct report *r, const char *path) {
    FILE *f = fopen(path, "we");
    if (!f) return false;
    fputs("| work | an acknowledgement means |", f);
    for (size_t s = 0; s < r->servers_n; s++) fprintf(f, " CPU µs/message: %s |", r->servers[s].label);
    for (size_t s = 1; s < r->servers_n; s++)
        fprintf(f, " %s to %s |", r->servers[s].label, r->servers[0].label);
    for (size_t s = 0; s < r->servers_n; s++) fprintf(f, " rate or latency: %s |", r->servers[s].label);
    fputs("\n|---|---|", f);
    for (size_t s = 0; s < 3 * r->servers_n - 1; s++) fputs("---|", f);
    fputs("\n", f);
    for (size_t i = 0; i < r->rows_n; i++) put_row(f, r, &r->rows[i]);
    if (r->growths_n) fputc('\n', f);
    report_markdown_growths(r, f);
    bool ok = !ferror(f);
    return fclose(f) == 0 && ok;
}
