/* summary.h - what several rounds say together, and what may be claimed from them. A figure is quoted as its
 * median with the interval it moved in; two servers differ only when their intervals do not touch. Pure. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct summary {
    size_t count;
    double median, min, max;
};

/* Of the values that are numbers; count 0 when none is. NaN stands for "could not be measured". */
struct summary summary_of(const double *values, size_t count);

enum verdict {
    VERDICT_NONE,    /* a side has fewer than two rounds, or nothing was measured */
    VERDICT_OVERLAP, /* the intervals touch: no difference is claimed */
    VERDICT_LOWER,   /* all of b lies below all of a */
    VERDICT_HIGHER,  /* all of b lies above all of a */
};

struct ratio {
    double ratio, min, max; /* of the medians; the ends: least b to greatest a, greatest b to least a */
    enum verdict verdict;
};

/* b in relation to a. */
struct ratio ratio_of(const struct summary *a, const struct summary *b);
/* "2.31x [2.20-2.44], higher", "1.02x [0.90-1.10], no difference shown": for tables. Returns out. */
const char *ratio_text(const struct ratio *r, char *out, size_t room);
const char *verdict_text(enum verdict v);
