/* loop.h - what every implementation of a loop has at its start. Included by the implementations only
 * (uring.c, posix.c and the simulator), never by users of io.h.
 *
 * An implementation embeds struct io as its first member, calls io_init(), and keeps two promises in its
 * poll(): io_clock_refresh() after the wait and before the first callback, and op->busy = false before a last
 * callback. */
#pragma once
#include "io/io.h"

/* Timers: level l holds those whose tick (1 ms) first differs from `cur` in the l-th group of six bits, so
 * the earliest lies in the lowest filled slot of the lowest filled level, and a slot never has to be looked
 * at twice. */
enum { WHEEL_LEVELS = 8, WHEEL_SLOTS = 64 };
struct wheel {
    uint64_t cur;                  /* all ticks up to this one have been run */
    uint64_t filled[WHEEL_LEVELS]; /* one bit a slot */
    uint64_t min[WHEEL_LEVELS]
                [WHEEL_SLOTS]; /* no timer of the slot is earlier (exact until one is cancelled) */
    struct list slots[WHEEL_LEVELS][WHEEL_SLOTS];
    struct list due; /* to run at the next tick */
};

struct io {
    const struct io_ops *ops;
    enum io_backend backend;
    bool ticking; /* inside io_tick(): guards against nesting */
    bool woken;   /* io_wake() by its own thread */
    uint64_t now_ns;
    int64_t wall_ns;
    struct wheel wheel;
};

/* Sets the common part up; reads the clocks. */
void io_init(struct io *io, enum io_backend backend, const struct io_ops *ops);

void wheel_init(struct wheel *w, uint64_t now_ns);
/* Runs what is due at io->now_ns; returns how many. */
size_t wheel_run(struct io *io);

/* Counts n more bytes of a SEND as sent: moves op->done, and with vectors *at, the index of the first that is
 * not through, whose entry is advanced. True when nothing is left. */
bool io_sent(struct io_op *op, uint64_t *at, size_t n);

/* The machine's clocks and files, for implementations that want the real ones. */
void io_clock_real(struct io *io, uint64_t *mono_ns, int64_t *wall_ns);
extern const struct io_file_ops io_files_real;

/* The two implementations. *why is set on failure. */
enum err uring_open(struct io **io, const struct io_config *cfg, const char **why) MUST_USE;
enum err posix_open(struct io **io, const struct io_config *cfg, const char **why) MUST_USE;
