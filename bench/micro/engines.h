/* engines.h - what is asked of each engine: messages of one size under ascending numbers, durable when the
 * call returns. A failure ends the program with the engine's own words. */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct engine {
    const char *name, *durable; /* how it is made durable, for the report */
    void *(*open)(const char *folder);
    /* `count` messages, payload i at p + i * n; on the disk, as one commit, when it returns. */
    void (*append)(void *e, const uint8_t *p, size_t n, size_t count);
    /* Every message in order; returns how many there are and adds their bytes' checksum up. */
    uint64_t (*read)(void *e, uint64_t *sum);
    /* Takes the next `count` messages in order, and deletes them; durable when it returns. Returns how many
     * there were. */
    size_t (*take)(void *e, size_t count);
    void (*close)(void *e);
};

extern const struct engine engine_millrace, engine_rocksdb, engine_lmdb, engine_sqlite;

_Noreturn void engine_fail(const char *engine, const char *what);
static inline uint64_t sum_of(const void *p, size_t n) { /* touches each byte's cache line, and the content */
    uint64_t s = n;
    for (size_t i = 0; i < n; i += 16) s += ((const uint8_t *)p)[i] * (i + 1);
    return s;
}
