/* facts.c - asks the machine. Blocks for some durable writes to a file of its own in the store's folder;
 * whatever cannot be found out is left out. */
#include "shard/facts.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "shard/state.h"
#include "shard/version.h"

enum { BLOCK = 4096, BLOCKS = 8, WRITES = 9 };
#define PROBE_NAME   "probe.tmp"
#define PROBE_MAX_NS 20000000u

static int by_size(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Median of durable overwrites of one block, as the log does them; 0 when one fails. */
static int64_t time_writes(struct io *io, int fd, void *block) {
    int64_t took[WRITES];
    size_t n = 0;
    io_clock_refresh(io);
    uint64_t begin = io_now(io), at = begin;
    for (; n < WRITES && (n < 3 || at - begin < PROBE_MAX_NS); n++) {
        if (io_file_write(io, fd, block, BLOCK, n % BLOCKS * BLOCK, true)) return 0;
        io_clock_refresh(io);
        took[n] = (int64_t)(io_now(io) - at);
        at = io_now(io);
    }
    must(n > 0);
    qsort(took, n, sizeof took[0], by_size);
    return took[n / 2];
}

static int64_t probe_durable_write(struct io *io, int dir) {
    int fd;
    int64_t ns = 0;
    uint8_t *blocks = aligned_alloc(BLOCK, BLOCK * BLOCKS);
    if (!blocks) return 0;
    memset(blocks, 0, BLOCK * BLOCKS);
    enum err e = io_file_open(io, dir, PROBE_NAME, IO_O_CREATE | IO_O_DIRECT, &fd);
    if (e) e = io_file_open(io, dir, PROBE_NAME, IO_O_CREATE, &fd);
    if (!e) {
        if (!io_file_write(io, fd, blocks, BLOCK * BLOCKS, 0, true)) ns = time_writes(io, fd, blocks);
        io_file_close(io, fd);
        if (io_file_unlink(io, dir, PROBE_NAME)) ns = 0;
    }
    free(blocks);
    return ns;
}

static void store_facts(struct server *sv, struct startup_facts *f) {
    struct io *io = sv->shard[0].io;
    int dir;
    f->store_dir = sv->opts->store_dir;
    f->recovery_ns = sv->recovery_ns;
    for (unsigned i = 0; i < sv->shards; i++) {
        const struct js_stats *st = &sv->shard[i].recovered;
        f->streams += st->streams;
        f->consumers += st->consumers;
        f->messages += st->messages;
        f->bytes += st->bytes;
    }
    f->pages = mem_probe_pages(&f->pages_how);
    if (io_file_open(io, AT_FDCWD, f->store_dir, IO_O_DIR, &dir)) return;
    if (io_fs_of(io, dir, &f->fs)) f->fs = (struct io_fs){.type = "unknown"};
    f->durable_write_ns = probe_durable_write(io, dir);
    io_file_close(io, dir);
}

void facts_gather(struct server *sv, struct startup_facts *f) {
    const struct shard *s = &sv->shard[0];
    must(sv->lobby.open);
    *f = (struct startup_facts){.version = MILLRACE_VERSION,
                                .server_id = sv->id,
                                .server_name = sv->info.server_name,
                                .shards = sv->shards,
                                .io_backend = io_backend_name(io_backend_of(s->io)),
                                .io_why = s->io_why && s->io_why[0] ? s->io_why : NULL,
                                .port = sv->lobby.port};
    if (sv->env) store_facts(sv, f);
}
