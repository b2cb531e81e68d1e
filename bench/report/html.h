/* html.h - the parts of the page. */
#pragma once
#include <stdio.h>

#include "report/report.h"

/* All drawings that the report has something for. */
void html_charts(FILE *f, const struct report *r);
/* The table of growths; nothing when there are none. */
void html_growths(FILE *f, const struct report *r);
