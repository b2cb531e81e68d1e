/* growth.c - what becomes of a figure when there is more of something: judged here, shown as text and
 * Markdown (html.c and json.c show it too). */
#include <math.h>
#include <string.h>

#include "base/must.h"
#include "report/report.h"

/* Rounds and machines vary: less than this is no growth. */
static const double flat = 1.25;

struct growth *report_growth(struct report *r, const char *name, const char *of, double from, double to) {
    if (r->growths_n == GROWTHS_MAX) return NULL;
    struct growth *g = &r->growths[r->growths_n++];
    *g = (struct growth){.from = from, .to = to};
    snprintf(g->name, sizeof g->name, "%s", name);
    snprintf(g->of, sizeof g->of, "%s", of);
    return g;
}

double growth_factor(const struct growth *g, size_t server, enum figure f) {
    const struct cell *small = &g->small->cells[server], *large = &g->large->cells[server];
    if (cell_void(small, NULL) || cell_void(large, NULL)) return NAN;
    struct summary a = cell_summary(small, f), b = cell_summary(large, f);
    return a.count && b.count && a.median > 0 ? b.median / a.median : NAN;
}

const char *growth_verdict(const struct growth *g, size_t server, char *out, size_t room) {
    must(figure_info[g->judged].better < 0);
    double factor = growth_factor(g, server, g->judged);
    if (cell_void(&g->small->cells[server], NULL) || cell_void(&g->large->cells[server], NULL))
        snprintf(out, room, "void");
    else if (isnan(factor))
        snprintf(out, room, "not measured");
    else if (factor < flat)
        snprintf(out, room, "flat");
    else
        snprintf(out, room, "grows %.2fx", factor);
    return out;
}

static const char *factor_text(double factor, char *out, size_t room) {
    if (isnan(factor))
        snprintf(out, room, "-");
    else
        snprintf(out, room, "%.2fx", factor);
    return out;
}

/* 0, 1, 1,000,000: of things there is no fraction. */
const char *count_text(double n, char *out, size_t room) {
    if (n >= 1000) return figure_text(n, out, room);
    snprintf(out, room, "%.0f", n);
    return out;
}

static const char *median_text(const struct row *row, size_t server, enum figure f, char *out, size_t room) {
    const struct cell *c = &row->cells[server];
    struct summary s = cell_summary(c, f);
    if (cell_void(c, NULL)) return "void";
    return figure_text(s.count ? s.median : NAN, out, room);
}

static void text_line(const struct report *r, const struct growth *g, size_t server, FILE *out) {
    char a[40], b[40], c[40];
    fprintf(out, "  %-12s ", r->servers[server].label);
    for (size_t i = 0; i < g->figures_n; i++) {
        enum figure f = g->figures[i];
        fprintf(out, "%s %s -> %s %s (%s)   ", figure_info[f].title,
                median_text(g->small, server, f, a, sizeof a), median_text(g->large, server, f, b, sizeof b),
                figure_info[f].unit, factor_text(growth_factor(g, server, f), c, sizeof c));
    }
    fprintf(out, "%s\n", growth_verdict(g, server, a, sizeof a));
}

void report_text_growths(const struct report *r, FILE *out) {
    char a[40], b[40];
    if (r->growths_n == 0) return;
    fputs("\nWhat grows, and should not:\n", out);
    for (size_t i = 0; i < r->growths_n; i++) {
        const struct growth *g = &r->growths[i];
        fprintf(out, "%s: %s -> %s %s\n", g->name, count_text(g->from, a, sizeof a),
                count_text(g->to, b, sizeof b), g->of);
        for (size_t s = 0; s < r->servers_n; s++) text_line(r, g, s, out);
    }
    fflush(out);
}

static void markdown_line(const struct report *r, const struct growth *g, size_t i, FILE *out) {
    char a[40], b[40], c[40];
    enum figure f = g->figures[i];
    if (i == 0)
        fprintf(out, "| %s: %s to %s %s |", g->name, count_text(g->from, a, sizeof a),
                count_text(g->to, b, sizeof b), g->of);
    else
        fputs("| |", out);
    fprintf(out, " %s, %s |", figure_info[f].title, figure_info[f].unit);
    for (size_t s = 0; s < r->servers_n; s++)
        fprintf(out, " %s | %s | %s |", median_text(g->small, s, f, a, sizeof a),
                median_text(g->large, s, f, b, sizeof b),
                i == 0 ? growth_verdict(g, s, c, sizeof c)
                       : factor_text(growth_factor(g, s, f), c, sizeof c));
    fputc('\n', out);
}

void report_markdown_growths(const struct report *r, FILE *out) {
    if (r->growths_n == 0) return;
    fputs("| more of | figure |", out);
    for (size_t s = 0; s < r->servers_n; s++)
        fprintf(out, " %s: small | large | growth |", r->servers[s].label);
    fputs("\n|---|---|", out);
    for (size_t s = 0; s < r->servers_n; s++) fputs("---|---|---|", out);
    fputc('\n', out);
    for (size_t i = 0; i < r->growths_n; i++) {
        for (size_t k = 0; k < r->growths[i].figures_n; k++) markdown_line(r, &r->growths[i], k, out);
    }
}
