/* uring.c - the loop over io_uring: not part of this build yet; IO_AUTO takes posix. */
#include "io/loop.h"

enum err uring_open(struct io **io, const struct io_config *cfg, const char **why) {
    (void)io, (void)cfg;
    *why = "this build has no ring";
    return ERR_UNSUPPORTED;
}
