/* main.c - the millrace server: reads what it is told, opens the log, serves; or checks a folder. */
#include <stdio.h>
#include <string.h>

#include "shard/fsck.h"
#include "shard/logfile.h"
#include "shard/options.h"
#include "shard/shard.h"

int main(int argc, char **argv) {
    static struct options options;
    static struct logfile log;
    struct option_error e;
    int status;
    if (argc > 1 && strcmp(argv[1], "fsck") == 0) return fsck_main(argc - 1, argv + 1);
    if (!options_read(&options, argc, argv, &status)) return status;
    if (!logfile_open(&log, &options, &e)) {
        fprintf(stderr, "millrace: %s\n", e.text);
        return 1;
    }
    status = server_run(&options, &log.log);
    logfile_close(&log);
    return status;
}
