/* memlog.h - messages in memory: the log's second backend. Records lie in 2 MiB slabs on huge pages; the
 * header is 20 bytes. Nothing is written anywhere; append is complete at once. A slab is given back when all
 * its records are dead. A location is slab << 32 | offset / 4. */
#pragma once
#include "base/err.h"
#include "base/mem.h"
#include "store/store.h"

struct memlog;

/* bytes_max: a hard ceiling on slabs; beyond it append says ERR_LIMIT. */
enum err memlog_open(struct memlog **m, uint64_t bytes_max) MUST_USE;
void memlog_close(struct memlog *m);
enum err memlog_append(struct memlog *m, const struct rec *r, uint64_t *loc) MUST_USE;
/* Spans are valid until the record is dead. */
enum err memlog_read(struct memlog *m, uint64_t loc, struct rec *out) MUST_USE;
void memlog_dead(struct memlog *m, uint64_t loc);
uint64_t memlog_bytes(const struct memlog *m); /* slabs held */
enum mem_pages memlog_pages(const struct memlog *m);
