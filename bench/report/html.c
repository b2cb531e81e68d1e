/* html.c - one page that needs nothing else: style, tables and drawings in the file, no script, no network,
 * light and dark as the reader's system has it. */
#include "report/html.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "report/chart.h"

static const char style[] =
    ":root{color-scheme:light "
    "dark;--bg:#fff;--fg:#1c2330;--dim:#5b6573;--line:#dfe3e9;--card:#f6f7f9;--good:#14713c;--bad:#b3261e;"
    "--c0:#2563c9;--c1:#d9660a;--c2:#17864a;--c3:#a2349b;--c4:#0e8a96;--c5:#9a7400;--c6:#c2334f;--c7:#5c5f9e}"
    "\n"
    "@media(prefers-color-scheme:dark){:root{--bg:#12161d;--fg:#e3e7ee;--dim:#98a2b1;--line:#2d3542;--card:#"
    "1a202a;--good:#5cc98b;"
    "--bad:#ff8a80;--c0:#6ea8ff;--c1:#ffa04d;--c2:#5cc98b;--c3:#e08ad8;--c4:#53cdd8;--c5:#dcb84a;--c6:#"
    "ff8296;--c7:#a5a8ec}}\n"
    "*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--fg);font:15px/1.5 "
    "system-ui,sans-serif}"
    "main{max-width:1260px;margin:0 auto;padding:28px 20px "
    "60px}h1{font-size:25px;margin:0}h2{font-size:18px;margin:34px 0 10px}"
    "code{font:13px ui-monospace,monospace;overflow-wrap:anywhere}.dim{color:var(--dim)}p{margin:6px 0}"
    ".scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:13px}"
    "th,td{padding:5px 6px;border-bottom:1px solid "
    "var(--line);text-align:right;white-space:nowrap;vertical-align:top;"
    "font-variant-numeric:tabular-nums}th{color:var(--dim);font-weight:600;vertical-align:bottom;white-space:"
    "normal}"
    "th:first-child,td:first-child,td.void{text-align:left}td:first-child{white-space:normal;min-width:150px}"
    "td "
    "small{display:block;white-space:normal;color:var(--dim);font-size:11.5px}td.first{font-weight:650}tr."
    "row "
    "td{background:var(--card);padding-top:9px}td.first small{font-weight:400}"
    ".good{color:var(--good)}.bad{color:var(--bad)}td.void{color:var(--bad);white-space:normal}"
    ".charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,480px),1fr));gap:16px}"
    "figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:8px;padding:12px 14px}"
    "figcaption{font-size:13px;color:var(--dim)}figcaption "
    "b{color:var(--fg);font-size:14px}svg{width:100%;height:auto;display:block}"
    "svg text{font-size:11.5px;fill:var(--fg)}svg text.axis{fill:var(--dim)}.grid{stroke:var(--line)}"
    ".line{fill:none;stroke-width:2;stroke-linejoin:round}.dash{stroke-dasharray:5 4;stroke-width:1.3}"
    ".whisker{stroke:var(--fg);stroke-width:1.5}.mark{stroke:var(--dim);stroke-dasharray:3 3}"
    ".legend{font-size:12.5px;margin:4px 0}.legend span{margin-right:14px;white-space:nowrap}"
    ".legend i{display:inline-block;width:16px;height:0;border-top:3px "
    "solid;vertical-align:middle;margin-right:5px}"
    ".legend i.dash{border-top:2px dashed}dl{display:grid;grid-template-columns:max-content 1fr;gap:3px "
    "18px;margin:0;font-size:14px}"
    "dt{color:var(--dim)}dd{margin:0}\n";

static void put_style(FILE *f) {
    fprintf(f, "<style>\n%s", style);
    for (int i = 0; i < CHART_COLOURS; i++) {
        fprintf(f,
                ".line.s%d{stroke:var(--c%d)}.bar.s%d,.dot.s%d{fill:var(--c%d)}.b%d{border-color:var(--c%d)!"
                "important}\n",
                i, i, i, i, i, i, i);
    }
    fputs("</style>\n", f);
}

static void put_head(FILE *f, const struct report *r) {
    const struct machine *m = &r->machine;
    fputs("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
          "content=\"width=device-width\"><title>millrace-bench</title>\n",
          f);
    put_style(f);
    fputs("</head><body><main>\n<h1>What it costs and how fast it is</h1>\n<p class=\"dim\">", f);
    html_text(f, m->started);
    fputs(", ", f);
    html_text(f, m->kernel);
    fprintf(f, ", %u cores (", m->cores);
    html_text(f, m->cpu);
    fputs("), load generator and servers on this machine unless a server's address says "
          "otherwise</p>\n<p><code>",
          f);
    html_text(f, r->command);
    fputs("</code></p>\n", f);
    if (r->note[0]) {
        fputs("<p>", f);
        html_text(f, r->note);
        fputs("</p>\n", f);
    }
    if (r->interrupted) fputs("<p class=\"bad\">Interrupted: this is what there was until then.</p>\n", f);
    if (report_void(r))
        fputs("<p class=\"bad\">At least one run is void: something was missing, doubled, altered or "
              "refused. The table says what.</p>\n",
              f);
}

static bool shown(const struct report *r, enum figure figure) {
    /* The row says what was offered; the drawings and the other files have the rest. */
    if (figure == FIG_OFFERED || figure == FIG_P90) return false;
    if (figure == FIG_LOAD || figure == FIG_STEAL || figure == FIG_OWN || figure == FIG_SWITCHES ||
        figure == FIG_LATE)
        return false;
    for (size_t i = 0; i < r->rows_n; i++) {
        if (row_has(&r->rows[i], r->servers_n, figure)) return true;
    }
    return false;
}

static void put_figure(FILE *f, const struct summary *s, bool first) {
    char a[40], b[40];
    fprintf(f, "<td%s>", first ? " class=\"first\"" : "");
    if (s->count) fputs(figure_text(s->median, a, sizeof a), f);
    if (s->count > 1 && s->max > s->min)
        fprintf(f, "<small>%s–<wbr>%s</small>", figure_text(s->min, a, sizeof a),
                figure_text(s->max, b, sizeof b));
    fputs("</td>", f);
}

/* A line over the whole width: what the figures below are of. */
static void put_work(FILE *f, const struct row *row, size_t columns) {
    fprintf(f, "<tr class=\"row\"><td colspan=\"%zu\"><b>", columns);
    html_text(f, row->name);
    fputs("</b> <span class=\"dim\">", f);
    html_text(f, row->title);
    if (row->mode[0]) {
        fputs(", ", f);
        html_text(f, row->mode);
    }
    fputs("</span></td></tr>\n", f);
}

/* One server only needs no lines of its own: its first field is the work. */
static void put_server(FILE *f, const struct report *r, const struct row *row, size_t s, bool remarks) {
    const struct cell *c = &row->cells[s];
    fputs("<tr><td>", f);
    html_text(f, r->servers_n > 1 ? r->servers[s].label : row->name);
    if (r->servers_n == 1) {
        fputs("<small>", f);
        html_text(f, row->title);
        if (row->mode[0]) fputs(", ", f);
        html_text(f, row->mode);
        fputs("</small>", f);
    }
    if (remarks) {
        fputs("<small>", f);
        if (!row->mode[0]) html_text(f, r->servers[s].mode);
        if (cell_behind(c)) fputs("<br>did not keep up with what was offered", f);
        if (cell_summary(c, FIG_STEAL).max > 2) fputs("<br>disturbed: steal above 2 %", f);
        if (c->rounds[c->rounds_n - 1].cut_short) fputs("<br>cut short", f);
        fputs("</small>", f);
    }
    fputs("</td>", f);
}

static void put_cell(FILE *f, const struct report *r, const struct row *row, size_t s, size_t columns) {
    const struct cell *c = &row->cells[s];
    const char *why;
    put_server(f, r, row, s, true);
    if (cell_void(c, &why)) {
        fprintf(f, "<td class=\"void\" colspan=\"%zu\">void: ", columns);
        html_text(f, why);
        fputs("</td></tr>\n", f);
        return;
    }
    bool first = true;
    for (enum figure g = 0; g < FIG_COUNT; g++) {
        if (!shown(r, g)) continue;
        struct summary v = cell_summary(c, g);
        put_figure(f, &v, first);
        first = false;
    }
    fputs("</tr>\n", f);
}

static void put_table(FILE *f, const struct report *r) {
    size_t columns = 0;
    fputs("<h2>Figures</h2>\n<p class=\"dim\">Medians, with the range over all rounds below. What a message "
          "costs the server comes "
          "first.</p>\n<div class=\"scroll\"><table><thead><tr><th></th>",
          f);
    for (enum figure g = 0; g < FIG_COUNT; g++) {
        if (!shown(r, g)) continue;
        columns++;
        fputs("<th>", f);
        html_text(f, figure_info[g].title);
        fprintf(f, "<br>%s</th>", figure_info[g].unit);
    }
    fputs("</tr></thead><tbody>\n", f);
    for (size_t i = 0; i < r->rows_n; i++) {
        if (r->servers_n > 1) put_work(f, &r->rows[i], columns + 1);
        for (size_t s = 0; s < r->servers_n; s++) {
            if (r->rows[i].cells[s].rounds_n) put_cell(f, r, &r->rows[i], s, columns);
        }
    }
    fputs("</tbody></table></div>\n", f);
}

static void put_ratio(FILE *f, const struct row *row, size_t server, enum figure figure) {
    const struct cell *a = &row->cells[0], *b = &row->cells[server];
    struct summary sa = cell_summary(a, figure), sb = cell_summary(b, figure);
    struct ratio ratio = ratio_of(&sa, &sb);
    if (isnan(ratio.ratio) || !row_comparable(row, 0, server, figure)) {
        fputs("<td></td>", f);
        return;
    }
    bool better = (ratio.verdict == VERDICT_HIGHER) == (figure_info[figure].better > 0);
    bool said = ratio.verdict == VERDICT_HIGHER || ratio.verdict == VERDICT_LOWER;
    fprintf(f, "<td class=\"%s\">%.2fx", said ? better ? "good" : "bad" : "", ratio.ratio);
    if (ratio.verdict != VERDICT_NONE)
        fprintf(f, "<small>%.2f–%.2f<br>%s</small>", ratio.min, ratio.max,
                said ? better ? "better" : "worse" : verdict_text(ratio.verdict));
    fputs("</td>", f);
}

static void put_comparisons(FILE *f, const struct report *r) {
    static const enum figure compared[] = {FIG_CPU, FIG_MACH, FIG_RATE, FIG_P50, FIG_P99, FIG_P999, FIG_RSS};
    enum { COMPARED = sizeof compared / sizeof compared[0] };
    if (r->servers_n < 2) return;
    fputs("<h2>In relation to ", f);
    html_text(f, r->servers[0].label);
    fputs("</h2>\n<p class=\"dim\">Better or worse is said only where the ranges of the two do not touch, "
          "over two rounds at "
          "least.</p>\n<div class=\"scroll\"><table><thead><tr><th>server</th>",
          f);
    for (size_t i = 0; i < COMPARED; i++) fprintf(f, "<th>%s</th>", figure_info[compared[i]].title);
    fputs("</tr></thead><tbody>\n", f);
    for (size_t i = 0; i < r->rows_n; i++) {
        const struct row *row = &r->rows[i];
        if (cell_void(&row->cells[0], NULL)) continue;
        put_work(f, row, COMPARED + 1);
        for (size_t s = 1; s < r->servers_n; s++) {
            if (row->cells[s].rounds_n == 0 || cell_void(&row->cells[s], NULL)) continue;
            put_server(f, r, row, s, false);
            for (size_t k = 0; k < COMPARED; k++) put_ratio(f, row, s, compared[k]);
            fputs("</tr>\n", f);
        }
    }
    fputs("</tbody></table></div>\n", f);
}

static void put_pair(FILE *f, const char *name, const char *text) {
    if (!text[0]) return;
    fprintf(f, "<dt>%s</dt><dd>", name);
    html_text(f, text);
    fputs("</dd>\n", f);
}

static void put_environment(FILE *f, const struct report *r) {
    const struct machine *m = &r->machine;
    char text[400];
    fputs("<h2>Where and with what</h2>\n<dl>\n", f);
    put_pair(f, "kernel", m->kernel);
    snprintf(text, sizeof text, "%u x %s, %" PRIu64 " MB of memory%s%s", m->cores, m->cpu,
             m->memory_bytes >> 20, m->governor[0] ? ", governor " : "", m->governor);
    put_pair(f, "machine", text);
    snprintf(text, sizeof text, "%s on %s, %s", m->file_system, m->device, m->folder);
    put_pair(f, "file system", text);
    if (r->flush_known) {
        snprintf(text, sizeof text, "4 KiB in p50 %.0f µs, p99 %.0f µs, %.0f a second%s", r->flush_p50_us,
                 r->flush_p99_us, r->flush_per_s, r->flush_direct ? "" : " (through the page cache)");
        put_pair(f, "a durable write", text);
    }
    snprintf(text, sizeof text, "%.2f before, %.2f after", m->load, r->load_end);
    put_pair(f, "load average", text);
    for (size_t i = 0; i < r->servers_n; i++) {
        snprintf(text, sizeof text, "%s%s%s", r->servers[i].version, r->servers[i].mode[0] ? ", " : "",
                 r->servers[i].mode);
        put_pair(f, r->servers[i].label, text);
    }
    put_pair(f, "millrace-bench", r->version);
    fputs("</dl>\n<p class=\"dim\">Every run checks that what came back is complete, in order and unaltered, "
          "and is void otherwise. "
          "Open-loop latency counts from the moment a message was meant to be sent.</p>\n",
          f);
}

bool report_html(const struct report *r, const char *path) {
    FILE *f = fopen(path, "we");
    if (!f) return false;
    put_head(f, r);
    html_growths(f, r);
    put_table(f, r);
    put_comparisons(f, r);
    fputs("<h2>Drawings</h2>\n", f);
    html_charts(f, r);
    put_environment(f, r);
    fputs("</main></body></html>\n", f);
    bool ok = !ferror(f);
    return fclose(f) == 0 && ok;
}
