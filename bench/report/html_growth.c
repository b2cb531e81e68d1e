/* html_growth.c - the page's table of what grows: a line for each server and each kind of more. */
#include <math.h>

#include "report/chart.h"
#include "report/html.h"

static void put_pair(FILE *f, const struct growth *g, size_t server, enum figure figure) {
    char a[40], b[40];
    double factor = growth_factor(g, server, figure);
    struct summary small = cell_summary(&g->small->cells[server], figure),
                   large = cell_summary(&g->large->cells[server], figure);
    fputs("<td>", f);
    if (small.count && large.count)
        fprintf(f, "%s → %s", figure_text(small.median, a, sizeof a), figure_text(large.median, b, sizeof b));
    fprintf(f, "<small>%s", figure_info[figure].title);
    fprintf(f, ", %s", figure_info[figure].unit);
    if (!isnan(factor)) fprintf(f, ", %.2fx", factor);
    fputs("</small></td>", f);
}

static void put_server(FILE *f, const struct report *r, const struct growth *g, size_t server) {
    char text[40];
    const char *why = NULL;
    fputs("<tr><td>", f);
    html_text(f, r->servers[server].label);
    growth_verdict(g, server, text, sizeof text);
    fprintf(f, "</td><td class=\"%s\">", text[0] == 'f' ? "good" : "bad");
    html_text(f, text);
    if (cell_void(&g->small->cells[server], &why) || cell_void(&g->large->cells[server], &why)) {
        fputs("<small>", f);
        html_text(f, why);
        fputs("</small>", f);
    }
    fputs("</td>", f);
    for (size_t i = 0; i < g->figures_n; i++) put_pair(f, g, server, g->figures[i]);
    for (size_t i = g->figures_n; i < GROWTH_FIGURES; i++) fputs("<td></td>", f);
    fputs("</tr>\n", f);
}

void html_growths(FILE *f, const struct report *r) {
    char a[40], b[40];
    if (r->growths_n == 0) return;
    fputs("<h2>What grows, and should not</h2>\n<p class=\"dim\">The same work with little and with much of "
          "something. The first figure is the one that should stay as it is; flat: it grows by less than a "
          "quarter.</p>\n<div class=\"scroll\"><table><tbody>\n",
          f);
    for (size_t i = 0; i < r->growths_n; i++) {
        const struct growth *g = &r->growths[i];
        fprintf(f, "<tr class=\"row\"><td colspan=\"%d\"><b>", GROWTH_FIGURES + 2);
        html_text(f, g->name);
        fprintf(f, "</b> <span class=\"dim\">%s to %s ", count_text(g->from, a, sizeof a),
                count_text(g->to, b, sizeof b));
        html_text(f, g->of);
        fputs("</span></td></tr>\n", f);
        for (size_t s = 0; s < r->servers_n; s++) put_server(f, r, g, s);
    }
    fputs("</tbody></table></div>\n", f);
}
