/* sim_io.h - the third implementation of io.h: a loop over a simulated disk (sim_disk.h) with a clock of its
 * own. Time moves only inside io_tick(), to the next completion or to where the caller waits until; one seed
 * replays exactly. Files only.
 *
 *     struct sim_disk *d = sim_disk_new();
 *     sim_io_open(&io, d, seed);            open the engine over io, work, io_tick()
 *     sim_io_crash(io, SIM_POWER, &rng);    from now on the loop is dead: every operation fails, nothing
 * reaches the disk close the engine as usual (it sees a failing disk), io_close(io) sim_io_open(&io, d, seed
 * + 1);        the next life
 */
#pragma once
#include "io/io.h"
#include "sim/sim_disk.h"

struct sim_faults {
    uint32_t write_error; /* one write in so many fails with ERR_IO; 0: none. Half of them land in part. */
    uint32_t read_error;
    uint32_t misdirect;  /* one write in so many lands 4 KiB beside its place and is reported done */
    uint64_t latency_ns; /* operations take up to this long (default 200 us) */
};

enum err sim_io_open(struct io **io, struct sim_disk *d, uint64_t seed) MUST_USE;
void sim_io_faults(struct io *io, const struct sim_faults *f);
/* The machine stops now. What was in flight is torn. */
void sim_io_crash(struct io *io, enum sim_crash how, struct rng *r);
/* The machine stops at the n-th operation from now (submission or completion, blocking calls included). 0:
 * never. */
void sim_io_crash_at(struct io *io, uint64_t n, enum sim_crash how, struct rng *r);
bool sim_io_dead(const struct io *io);
/* Operations so far, for choosing where to crash. */
uint64_t sim_io_ops(const struct io *io);
/* Lets time pass. */
void sim_io_sleep(struct io *io, uint64_t ns);
