/* banner.h - what the operator is told at start; the last line is "Server is ready". */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/io.h"
#include "shard/options.h"

/* What was found out while starting. Strings are static or live as long as the server. */
struct startup_facts {
    const char *version, *server_id, *server_name;
    unsigned shards;
    const char *io_backend, *io_why; /* io_why: why not the ring, NULL when it is */
    int port;                        /* the one bound */
    const char *store_dir;           /* NULL: JetStream is off, and what follows is not set */
    struct io_fs fs;
    int64_t durable_write_ns; /* median of a 4 KiB durable write; 0 = not measured */
    enum mem_pages pages;
    const char *pages_how;                        /* how to get huge pages, NULL when there are some */
    uint64_t streams, consumers, messages, bytes; /* recovered */
    int64_t recovery_ns, start_ns;
};

void banner_print(struct log *log, const struct options *o, const struct startup_facts *f);
