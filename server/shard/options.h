/* options.h - everything an operator can set, from defaults, a configuration file, and flags (which override
 * it). */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/log.h"
#include "conn/conn.h"
#include "io/io.h"
#include "jetstream/js.h"

#define STORE_DIR_DEFAULT  "./data"
#define OPTIONS_SHARDS_MAX 64
#define OPTIONS_POLL_MAX   1000000

struct options {
    char host[256], name[256], domain[256], http_host[256];
    char store_dir[4096], config_file[4096], pid_file[4096], log_file[4096];
    int port, http_port; /* port -1: any; http_port 0: off */
    bool jetstream, store_dir_given, debug, trace, logtime, logtime_utc;
    bool check_only /* -t */, show_help, show_version;
    unsigned shards;  /* 0: one a core; set by options_settle() */
    unsigned poll_us; /* how long a shard looks for more after it had work, before it sleeps */
    enum io_backend io;
    bool sync_always;
    int64_t sync_interval_ns;
    int64_t max_connections; /* negative: nobody may connect */
    int64_t lame_duck_ns, lame_duck_grace_ns;
    uint64_t cache_bytes; /* a shard's read cache; 0 = the engine's default */
    struct conn_limits conn;
    struct js_limits
        js; /* its strings are the server's to set, but for domain, which points into this struct */
    char config_digest[80]; /* "sha256:..." or empty */
};

/* A mistake of the operator: printed as "millrace: <text>", exit 1 (configuration) or 2 (flags). */
struct option_error {
    char text[1024];
};

/* All of it, as main() wants it: defaults, file, flags, checks. True: run. False: there is nothing to run,
 * because help, version, the result of -t or a mistake was printed; *status is the exit status. */
bool options_read(struct options *o, int argc, char **argv, int *status);

void options_defaults(struct options *o);
/* Flags, Go style: one or two dashes, -x v, -x=v, booleans -x or -x=false. false: *e says what. */
bool options_flags(struct options *o, int argc, char **argv, struct option_error *e);
/* Reads a NATS configuration file: "file:line:col: unknown field "foo", did you mean ...". */
bool options_file(struct options *o, const char *path, struct option_error *e);
/* Checks values against each other (max_payload <= max_pending ...), fills what depends on the machine. */
bool options_settle(struct options *o, struct option_error *e);
const char *options_usage(void);

/* "always" or a Go duration. Shared by the flag and the file. */
bool options_sync(struct options *o, struct span text);
/* "auto", "uring" or "posix". */
bool options_io(struct options *o, struct span text);
