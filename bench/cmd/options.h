/* options.h - the command line: a table of options, each with the commands it belongs to. What is not known,
 * or does not belong to the command, is refused by name. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "load/work.h"

enum command {
    CMD_THROUGHPUT,
    CMD_LATENCY,
    CMD_STORAGE,
    CMD_CONSUME,
    CMD_FANOUT,
    CMD_REQUEST,
    CMD_LIMITS,
    CMD_COMPARE,
    CMD_SUITE,
    CMD_SHAPES,
    CMD_COUNT
};

enum on { ON_FILE, ON_MEMORY, ON_CORE, ON_REQUEST };
enum { RATES_MAX = 24, SERVERS_GIVEN_MAX = 8, FILES_MAX = 2 };

struct options {
    enum command command;
    struct target servers[SERVERS_GIVEN_MAX];
    size_t servers_n;
    char millrace[256], dir[256], json[256], csv[256], markdown[256], html[256], interval[32], only[256];
    char files[FILES_MAX][256]; /* compare: A B; suite: the list */
    size_t files_n;
    int on; /* enum on */
    uint64_t repeat, seed, threads, messages, connections, window, size, subjects, streams, per_subject,
        batch, subscribers;
    uint64_t warmup_ns, duration_ns, patience_ns;
    double rates[RATES_MAX];
    size_t rates_n;
    bool no_acks, trust, spin, quiet, quick, help, version;
    bool warmup_given, duration_given, size_given, connections_given, window_given;
};

const char *command_name(enum command c);
/* Fills what the command starts from, then what is given. False with the reason in why. argv[0] is the
 * command. */
bool options_parse(struct options *o, int argc, char **argv, char *why, size_t room);
/* The same on top of what o holds already: the lines of a suite. */
bool options_parse_more(struct options *o, int argc, char **argv, char *why, size_t room);
void options_defaults(struct options *o, enum command c);
/* Help: of all commands, or of one. */
void options_usage(const char *command);

/* 10s, 500ms, 2m; a bare number is seconds. */
bool duration_parse(const char *text, uint64_t *ns);
/* 1000, 16KiB, 1MiB, 20k, 3M, 1_000. */
bool count_parse(const char *text, uint64_t *n);
