/* text.c - the report for a terminal or a log: a head with the machine, then each row as soon as it is done.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "report/report.h"

const char *figure_text(double v, char *out, size_t room) {
    if (isnan(v)) {
        snprintf(out, room, "-");
    } else if (fabs(v) < 1000) {
        snprintf(out, room, "%.*f", fabs(v) >= 100 || v == 0 ? 0 : fabs(v) >= 10 ? 1 : 2, v);
    } else {
        char digits[32];
        int n = snprintf(digits, sizeof digits, "%.0f", v);
        size_t at = 0;
        for (int i = 0; i < n && at + 2 < room; i++) {
            if (i && (n - i) % 3 == 0 && digits[i - 1] != '-') out[at++] = ',';
            out[at++] = digits[i];
        }
        out[at] = 0;
    }
    return out;
}

static void print_range(const struct summary *s, FILE *out) {
    char a[40], b[40], m[40];
    fprintf(out, "%s", figure_text(s->median, m, sizeof m));
    if (s->count > 1)
        fprintf(out, " [%s-%s]", figure_text(s->min, a, sizeof a), figure_text(s->max, b, sizeof b));
}

static void print_cell(const struct row *row, const struct cell *c, const char *label, FILE *out) {
    static const enum figure last_of_line[] = {FIG_OFFERED, FIG_MAX};
    const char *why;
    (void)row;
    if (c->rounds_n == 0) return;
    fprintf(out, "  %-12s ", label);
    if (cell_void(c, &why)) {
        fprintf(out, "VOID: %s\n", why);
        return;
    }
    size_t line = 0;
    bool any = false;
    for (enum figure f = 0; f < FIG_COUNT; f++) {
        struct summary s = cell_summary(c, f);
        if (s.count == 0) continue;
        bool next = line < 2 && f > last_of_line[line];
        while (line < 2 && f > last_of_line[line]) line++;
        if (any && next) fprintf(out, "\n  %-12s ", "");
        fprintf(out, "%s%s ", any && !next ? "  " : "", figure_info[f].title);
        print_range(&s, out);
        if (figure_info[f].unit[0]) fprintf(out, " %s", figure_info[f].unit);
        any = true;
    }
    fputc('\n', out);
    if (cell_behind(c))
        fprintf(out, "  %-12s did not keep up with what was offered: latencies are lower bounds\n", "");
    if (c->rounds[c->rounds_n - 1].cut_short) fprintf(out, "  %-12s cut short by Ctrl-C\n", "");
    if (cell_summary(c, FIG_STEAL).max > 2)
        fprintf(out, "  %-12s the hypervisor took more than 2 %%: take no ratio from this\n", "");
}

static void print_ratios(const struct report *r, const struct row *row, FILE *out) {
    static const enum figure compared[] = {FIG_CPU, FIG_MACH, FIG_RATE, FIG_P50, FIG_P99, FIG_RSS};
    for (size_t s = 1; s < r->servers_n; s++) {
        if (cell_void(&row->cells[0], NULL) || cell_void(&row->cells[s], NULL)) continue;
        bool any = false, verdicts = true;
        for (size_t i = 0; i < sizeof compared / sizeof compared[0]; i++) {
            struct summary a = cell_summary(&row->cells[0], compared[i]),
                           b = cell_summary(&row->cells[s], compared[i]);
            struct ratio ratio = ratio_of(&a, &b);
            char text[120];
            if (isnan(ratio.ratio) || !row_comparable(row, 0, s, compared[i])) continue;
            if (!any) fprintf(out, "  %s to %s: ", r->servers[s].label, r->servers[0].label);
            fprintf(out, "%s%s %s", any ? "; " : "", figure_info[compared[i]].title,
                    ratio_text(&ratio, text, sizeof text));
            any = true;
            verdicts = verdicts && ratio.verdict != VERDICT_NONE;
        }
        if (any) fputs(verdicts ? "\n" : " (too few rounds for a verdict)\n", out);
    }
}

void report_text_head(const struct report *r, FILE *out) {
    const struct machine *m = &r->machine;
    fprintf(out, "millrace-bench %s, %s\n", r->version, m->started);
    fprintf(out, "%s, %u x %s, %" PRIu64 " MB, load %.2f\n", m->kernel, m->cores, m->cpu,
            m->memory_bytes >> 20, m->load);
    fprintf(out, "files in %s (%s on %s)", m->folder, m->file_system, m->device);
    if (r->flush_known)
        fprintf(out, ", durable write of 4 KiB: p50 %.0f µs, p99 %.0f µs%s", r->flush_p50_us, r->flush_p99_us,
                r->flush_direct ? "" : " (through the page cache)");
    fputc('\n', out);
    for (size_t i = 0; i < r->servers_n; i++) {
        if (!r->servers[i].label[0]) continue;
        fprintf(out, "%s: %s%s%s\n", r->servers[i].label, r->servers[i].version,
                r->servers[i].mode[0] ? ", " : "", r->servers[i].mode);
    }
    if (r->note[0]) fprintf(out, "%s\n", r->note);
    fputc('\n', out);
}

void report_text_row(const struct report *r, const struct row *row, FILE *out) {
    fprintf(out, "%s: %s%s%s\n", row->name, row->title, row->mode[0] ? ", " : "", row->mode);
    for (size_t i = 0; i < r->servers_n; i++) print_cell(row, &row->cells[i], r->servers[i].label, out);
    print_ratios(r, row, out);
    fflush(out);
}
