/* creates.h - runs that measure what it takes to make something where much is there already: the latency and
 * the server's CPU of each request, one at a time. Checked as every run; an outcome that is void says why. */
#pragma once
#include "load/run.h"

/* Makes work.streams streams; measured are the last of them (CREATES_MEASURED at most). */
void run_create_streams(const struct work *w, const struct target *t, const struct run_control *control,
                        struct outcome *out);

enum creates_kind {
    CREATE_SUBJECT,  /* consumers whose filter is one subject of many */
    CREATE_WILDCARD, /* the same messages, found by a pattern */
    CREATE_RARE,     /* the filter matches the last message only, which is fetched as well */
    CREATE_KINDS
};
enum { CREATES_MEASURED = 100 };
/* Fills a stream with work.messages over work.subjects, then makes filtered consumers of each kind. outs has
 * CREATE_KINDS. */
void run_create_consumers(const struct work *w, const struct target *t, const struct run_control *control,
                          struct outcome *outs);
