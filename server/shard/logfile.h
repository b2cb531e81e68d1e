/* logfile.h - where log lines go: stderr or a file, one line a write, from any thread.
 * `[pid] 2026/11/23 13:57:23.788117 [INF] message`, as nats-server has it. */
#pragma once
#include <stdbool.h>

#include "base/log.h"
#include "shard/options.h"

struct logfile {
    struct log log; /* hand this on; ctx points back here, so a logfile does not move */
    int fd;
    int pid;
    bool debug, time, utc, colors;
    char path[sizeof((struct options *)0)->log_file]; /* empty: stderr */
};

/* Opens what the options say. False: *e says why. Reads nothing else than the options about logs. */
bool logfile_open(struct logfile *lf, const struct options *o, struct option_error *e);
/* Opens the file anew (after a rotation), keeping the old one when that fails. Lines of other threads go to
 * the one or the other, whole. */
bool logfile_reopen(struct logfile *lf);
void logfile_close(struct logfile *lf);
