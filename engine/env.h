/* env.h - the folder: one environment. It finds or makes the folder, locks it, checks its identity, and knows
 * its logs. It does not change after env_open(), so that shards on other threads may read it; each makes the
 * log folders it needs.
 */
#pragma once
#include "base/log.h"
#include "io/io.h"
#include "millrace.h"

enum { ENV_LOGS_MAX = 4096 };

struct mr_env {
    struct mr_env_config cfg; /* path points at `path` */
    char *path;
    struct io *io; /* for the folder only */
    bool io_owned;
    int dir_fd, lock_fd; /* -1 in an environment without a folder */
    uint8_t uuid[16]; /* random, the folder's for ever; also keys the tables that peers could aim at: not to
                         be told */
    bool read_only;   /* it is being verified: nothing is made, mended or renamed */
    bool id_bad[2];   /* read_only: copies of the identity that do not verify; both: uuid is not known */
    uint32_t holder;  /* of the lock, when that is why it did not open; 0: unknown */
    uint32_t *logs;   /* numbers found at open, ascending */
    size_t logs_count;
};

/* mr_env_open() on a loop of the caller's, which outlives the environment: the simulator's door. */
enum mr_status env_open(const struct mr_env_config *cfg, struct io *io, struct mr_env **env) MR_MUST_USE;

/* The same for a folder that is to be verified; *env also when it fails, to be closed by the caller. Without
 * the lock's file there is nobody to be kept out. */
enum mr_status env_open_read_only(const struct mr_env_config *cfg, struct io *io,
                                  struct mr_env **env) MR_MUST_USE;

/* One line to the host's log; cut at 1 KiB. */
__attribute__((format(printf, 3, 4))) void env_log(const struct mr_env *env, enum mr_log_level level,
                                                   const char *fmt, ...);

/* Random bytes; in the simulator they follow from its clock. */
void env_random(struct io *io, void *out, size_t n);

enum { ENV_LOG_NAME = 9 }; /* "log-0000" */
void env_log_name(uint32_t log, char out[ENV_LOG_NAME]);
/* Makes the folder of a log, durably, on the calling shard's loop. ERR_OK when it exists already. */
enum err env_log_make(const struct mr_env *env, struct io *io, uint32_t log) MUST_USE;

enum mr_status status_of(enum err e);
