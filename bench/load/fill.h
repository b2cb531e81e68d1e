/* fill.h - messages that stand in a stream before anything is measured. */
#pragma once
#include "load/run.h"

/* Makes the work's streams and publishes its messages, checked as every run; the streams stay. False with the
 * reason in why. */
bool fill_stream(const struct work *w, const struct target *t, const struct run_control *control, char *why,
                 size_t room);
