/* chart.c - see chart.h. */
#include "report/chart.h"

#include <math.h>
#include <string.h>

#include "report/report.h"

enum { WIDTH = 640, HEIGHT = 300, LEFT = 64, RIGHT = 16, TOP = 12, BOTTOM = 44, TICKS_MAX = 16 };

struct scale {
    bool log;
    double min, max, from, to; /* values, and where they lie */
};

void html_text(FILE *f, const char *text) {
    for (; *text; text++) {
        switch (*text) {
        case '<': fputs("&lt;", f); break;
        case '>': fputs("&gt;", f); break;
        case '&': fputs("&amp;", f); break;
        case '"': fputs("&quot;", f); break;
        default: fputc(*text, f);
        }
    }
}

static double place(const struct scale *s, double v) {
    double a = s->log ? log10(s->min) : s->min, b = s->log ? log10(s->max) : s->max;
    double x = s->log ? log10(v) : v;
    return b > a ? s->from + (x - a) / (b - a) * (s->to - s->from) : (s->from + s->to) / 2;
}

static const char *tick_text(double v, char *out, size_t room) {
    if (fabs(v) >= 1000) return figure_text(v, out, room);
    snprintf(out, room, "%g", v);
    return out;
}

/* 1, 2 or 5 times a power of ten, near v and not below it. */
static double nice(double v) {
    double p = pow(10, floor(log10(v)));
    return v <= p ? p : v <= 2 * p ? 2 * p : v <= 5 * p ? 5 * p : 10 * p;
}

static bool usable(const struct scale *s, double v) { return isfinite(v) && (!s->log || v > 0); }

static void widen(struct scale *s, const double *v, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (!usable(s, v[i])) continue;
        if (isnan(s->min) || v[i] < s->min) s->min = v[i];
        if (isnan(s->max) || v[i] > s->max) s->max = v[i];
    }
}

static void round_ends(struct scale *s, bool from_zero) {
    if (s->log) {
        s->min = pow(10, floor(log10(s->min)));
        s->max = nice(s->max);
        if (s->max / s->min < 10) s->max = s->min * 10;
    } else {
        if (from_zero) s->min = 0;
        if (s->max <= s->min) s->max = s->min + 1;
    }
}

static size_t find_ticks(const struct scale *s, double *ticks) {
    size_t n = 0;
    if (s->log) {
        for (double t = s->min; t <= s->max * 1.0001 && n < TICKS_MAX; t *= 10) ticks[n++] = t;
        return n;
    }
    double step = nice((s->max - s->min) / 6);
    for (double t = ceil(s->min / step) * step; t <= s->max * 1.0001 && n < TICKS_MAX; t += step)
        ticks[n++] = t;
    return n;
}

static void tick(FILE *f, const struct scale *s, bool vertical, double v, const char *text) {
    double at = place(s, v);
    if (vertical) {
        fprintf(f, "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>", LEFT, WIDTH - RIGHT,
                at, at);
        fprintf(f, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n", LEFT - 6, at + 4, text);
    } else {
        fprintf(f, "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>", at, at, TOP,
                HEIGHT - BOTTOM);
        fprintf(f, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n", at, HEIGHT - BOTTOM + 16,
                text);
    }
}

static void draw_axis(FILE *f, const struct chart_axis *axis, const struct scale *s, bool vertical) {
    double found[TICKS_MAX];
    char text[40];
    size_t n = axis->ticks_n ? axis->ticks_n : find_ticks(s, found);
    const double *ticks = axis->ticks_n ? axis->ticks : found;
    for (size_t i = 0; i < n; i++) {
        if (ticks[i] < s->min * 0.999 || ticks[i] > s->max * 1.001) continue;
        tick(f, s, vertical, ticks[i],
             axis->ticks_n ? axis->tick_texts[i] : tick_text(ticks[i], text, sizeof text));
    }
    if (vertical)
        fprintf(f, "<text class=\"axis\" transform=\"translate(12 %d) rotate(-90)\" text-anchor=\"middle\">",
                (TOP + HEIGHT - BOTTOM) / 2);
    else
        fprintf(f, "<text class=\"axis\" x=\"%d\" y=\"%d\" text-anchor=\"middle\">",
                (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6);
    html_text(f, axis->title);
    fputs("</text>\n", f);
}

static void draw_line(FILE *f, const struct chart_line *l, const struct scale *x, const struct scale *y) {
    size_t drawn = 0;
    double at_x = 0, at_y = 0;
    fprintf(f, "<polyline class=\"line s%d%s\" points=\"", l->colour % CHART_COLOURS,
            l->dashed ? " dash" : "");
    for (size_t i = 0; i < l->n; i++) {
        if (!usable(x, l->x[i]) || !usable(y, l->y[i])) continue;
        at_x = place(x, l->x[i]);
        at_y = place(y, l->y[i]);
        fprintf(f, "%.1f,%.1f ", at_x, at_y);
        drawn++;
    }
    fputs("\"><title>", f);
    html_text(f, l->label);
    fputs("</title></polyline>\n", f);
    if (drawn == 1)
        fprintf(f, "<circle class=\"dot s%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/>\n", l->colour % CHART_COLOURS,
                at_x, at_y);
}

static void draw_legend(FILE *f, const struct chart_line *lines, size_t n) {
    fputs("<p class=\"legend\">", f);
    for (size_t i = 0; i < n; i++) {
        if (lines[i].n == 0) continue;
        fprintf(f, "<span><i class=\"b%d%s\"></i>", lines[i].colour % CHART_COLOURS,
                lines[i].dashed ? " dash" : "");
        html_text(f, lines[i].label);
        fputs("</span> ", f);
    }
    fputs("</p>\n", f);
}

static void draw_head(FILE *f, const char *title, const char *caption) {
    fputs("<figure><figcaption><b>", f);
    html_text(f, title);
    fputs("</b>", f);
    if (caption[0]) {
        fputs("<br>", f);
        html_text(f, caption);
    }
    fputs("</figcaption>\n", f);
}

void chart_lines(FILE *f, const char *title, const char *caption, const struct chart_axis *x,
                 const struct chart_axis *y, const struct chart_line *lines, size_t n) {
    struct scale sx = {x->log, NAN, NAN, LEFT, WIDTH - RIGHT}, sy = {y->log, NAN, NAN, HEIGHT - BOTTOM, TOP};
    for (size_t i = 0; i < n; i++) {
        widen(&sx, lines[i].x, lines[i].n);
        widen(&sy, lines[i].y, lines[i].n);
    }
    if (isnan(sx.min) || isnan(sy.min)) return;
    if (x->ticks_n == 0 && x->log)
        round_ends(&sx, false);
    else if (sx.max <= sx.min)
        sx.max = sx.min + 1;
    round_ends(&sy, true);
    draw_head(f, title, caption);
    draw_legend(f, lines, n);
    fprintf(f, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", WIDTH, HEIGHT);
    html_text(f, title);
    fputs("\">\n", f);
    draw_axis(f, x, &sx, false);
    draw_axis(f, y, &sy, true);
    for (size_t i = 0; i < n; i++) {
        if (lines[i].n) draw_line(f, &lines[i], &sx, &sy);
    }
    fputs("</svg></figure>\n", f);
}

enum { BAR_LEFT = 190, BAR_RIGHT = 150, BAR_STEP = 26 };

static void draw_bar(FILE *f, const struct chart_bar *b, double unit_px, size_t i, const char *unit) {
    int y = TOP + (int)i * BAR_STEP;
    char text[40];
    fprintf(f, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">", BAR_LEFT - 8, y + 14);
    html_text(f, b->label);
    fputs("</text>", f);
    if (!isfinite(b->value)) {
        fprintf(f, "<text class=\"axis\" x=\"%d\" y=\"%d\">not measured</text>\n", BAR_LEFT + 4, y + 14);
        return;
    }
    double end = b->max > b->value ? b->max : b->value;
    fprintf(f, "<rect class=\"bar s%d\" x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"18\" rx=\"2\"/>",
            b->colour % CHART_COLOURS, BAR_LEFT, y, fmax(1, b->value * unit_px));
    if (b->max > b->min)
        fprintf(f, "<line class=\"whisker\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>",
                BAR_LEFT + b->min * unit_px, BAR_LEFT + b->max * unit_px, y + 9, y + 9);
    fprintf(f, "<text x=\"%.1f\" y=\"%d\">%s %s</text>\n", BAR_LEFT + end * unit_px + 6, y + 14,
            figure_text(b->value, text, sizeof text), unit);
}

void chart_bars(FILE *f, const char *title, const char *unit, const struct chart_bar *bars, size_t n,
                double mark) {
    double most = mark;
    size_t known = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(bars[i].value)) continue;
        known++;
        most = fmax(most, fmax(bars[i].value, isfinite(bars[i].max) ? bars[i].max : 0));
    }
    if (known == 0 || most <= 0) return;
    int height = TOP + (int)n * BAR_STEP + 4;
    double unit_px = (WIDTH - BAR_LEFT - BAR_RIGHT) / most;
    draw_head(f, title, "");
    fprintf(f, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", WIDTH, height);
    html_text(f, title);
    fputs("\">\n", f);
    for (size_t i = 0; i < n; i++) draw_bar(f, &bars[i], unit_px, i, unit);
    if (mark > 0)
        fprintf(f, "<line class=\"mark\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>",
                BAR_LEFT + mark * unit_px, BAR_LEFT + mark * unit_px, TOP - 6, height - 2);
    fputs("</svg></figure>\n", f);
}
