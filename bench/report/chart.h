/* chart.h - drawings for the page, as inline SVG: lines over two axes, and bars with what each spread over.
 * Colours come from the page's style sheet, so that they follow light and dark. Points that are no numbers
 * are left out. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { CHART_COLOURS = 8 };

struct chart_line {
    char label[64];
    int colour;
    bool dashed;
    size_t n;
    double *x, *y; /* ascending x */
};

struct chart_axis {
    const char *title;
    bool log;
    size_t ticks_n; /* 0 = found from the values */
    const double *ticks;
    const char *const *tick_texts;
};

/* Nothing when no line has a point. */
void chart_lines(FILE *f, const char *title, const char *caption, const struct chart_axis *x,
                 const struct chart_axis *y, const struct chart_line *lines, size_t n);

struct chart_bar {
    char label[96];
    int colour;
    double value, min, max;
};
/* Horizontal, from 0; mark > 0 draws a line there (1 for ratios). Nothing when there is no value. */
void chart_bars(FILE *f, const char *title, const char *unit, const struct chart_bar *bars, size_t n,
                double mark);

/* Text with <, >, & and quotes made harmless. */
void html_text(FILE *f, const char *text);
