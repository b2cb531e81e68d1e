/* load.h - a report read back from its JSON: rounds and figures, without histograms. */
#pragma once
#include <stddef.h>

#include "report/report.h"

/* NULL with the reason in why when the file is none of ours. Close with report_close(). */
struct report *report_load(const char *path, char *why, size_t room);
