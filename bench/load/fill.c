/* fill.c - see fill.h. */
#include "load/fill.h"

#include <stdio.h>

enum { FILL_WINDOW = 500 };

bool fill_stream(const struct work *work, const struct target *t, const struct run_control *control,
                 char *why, size_t room) {
    struct work w = *work;
    w.kind = WORK_STREAM;
    w.publishers = 1;
    w.subscribers = w.consumers = 0;
    w.window = FILL_WINDOW;
    w.threads = 1;
    struct run_control quiet = {.machine = control->machine, .interrupted = control->interrupted};
    struct target kept = *t;
    snprintf(kept.program, sizeof kept.program, "-"); /* the streams stay */
    struct outcome o;
    run_work(&w, &kept, &quiet, &o);
    bool ok = o.valid && o.came == w.messages;
    if (!o.valid)
        snprintf(why, room, "publishing what is to be there before failed: %.200s", o.why);
    else if (!ok)
        snprintf(why, room, "interrupted while publishing what is to be there before");
    outcome_deinit(&o);
    return ok;
}
