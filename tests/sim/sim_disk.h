/* sim_disk.h - a disk in memory that loses what a real one may lose. It outlives the loops opened on it
 * (sim_io.h): a crash decides what of the unsynced writes survives, then the next loop finds that.
 *
 * The model. A write is volatile until a durable write (IO_DSYNC), an fsync that was submitted after it
 * completed, or nothing: then a power cut decides for each 512-byte sector whether it arrived, in any order.
 * Writes in flight count as volatile. A file's size is volatile likewise, when it grew and when it was cut.
 * Names (create, unlink, rename) are volatile until their directory is synced; a prefix of the unsynced
 * changes survives. A kill (SIM_KILL) loses nothing that completed, but it stays volatile: a power cut
 * during the next recovery may still take it. Writes in flight land or not.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/rng.h"

enum { SIM_SECTOR = 512, SIM_NAME = 64 };

enum sim_crash { SIM_KILL, SIM_POWER };

/* What is broken on purpose, to see that the simulator finds it. */
enum sim_break { SIM_SOUND, SIM_NO_DSYNC, SIM_NO_FSYNC, SIM_NO_DIRSYNC };

struct sim_node;

struct sim_disk;
struct sim_disk *sim_disk_new(void);
void sim_disk_free(struct sim_disk *d);
void sim_disk_break(struct sim_disk *d, enum sim_break what);
/* Bytes that files may take in all; lowering it below what is used refuses growth only. */
void sim_disk_limit(struct sim_disk *d, uint64_t bytes);
uint64_t sim_disk_used(const struct sim_disk *d);
/* Bits of a durable byte flip. False when there is no such byte. */
bool sim_disk_rot(struct sim_disk *d, const char *path, uint64_t off, uint8_t mask);
/* Flips a bit in the given number of random sectors of random files. */
void sim_disk_rot_any(struct sim_disk *d, struct rng *r, unsigned sectors);
/* A hash of everything that was done to the disk: two runs of one seed agree. */
uint64_t sim_disk_trace(const struct sim_disk *d);

/* --- for sim_io.c --- */

struct sim_write; /* a write in flight */

/* NULL: no such name. The parent of `path` and its last part. */
struct sim_node *sim_node_find(struct sim_disk *d, struct sim_node *dir, const char *path);
enum err sim_node_create(struct sim_disk *d, struct sim_node *dir, const char *path, bool is_dir,
                         struct sim_node **n) MUST_USE;
enum err sim_node_unlink(struct sim_disk *d, struct sim_node *dir, const char *path) MUST_USE;
enum err sim_node_rename(struct sim_disk *d, struct sim_node *dir, const char *from, const char *to) MUST_USE;
bool sim_node_is_dir(const struct sim_node *n);
/* Name number i of a directory, NULL behind the last. */
const char *sim_node_name(const struct sim_node *n, size_t i);
uint64_t sim_node_size(const struct sim_node *n);
enum err sim_node_grow(struct sim_disk *d, struct sim_node *n, uint64_t size) MUST_USE;
/* Shortens a file. Volatile until it is synced: a power cut may bring back what lay behind. */
void sim_node_cut(struct sim_node *n, uint64_t size);
size_t sim_node_read(const struct sim_node *n, uint64_t off, void *to, size_t len);
/* A write that completed; durable: it and the size are on the medium. */
enum err sim_node_write(struct sim_disk *d, struct sim_node *n, uint64_t off, const void *from, size_t len,
                        bool durable) MUST_USE;
/* A sync covers what completed before sim_node_mark() gave its mark. */
uint64_t sim_node_mark(struct sim_disk *d);
void sim_node_sync(struct sim_disk *d, struct sim_node *n, uint64_t mark);
void sim_node_hold(struct sim_node *n, int by); /* open descriptors: +1, -1 */
bool *sim_node_locked(struct sim_node *n);
struct sim_node *sim_disk_root(struct sim_disk *d);
void sim_disk_note(struct sim_disk *d, uint64_t a, uint64_t b, uint64_t c);

/* The machine stops: writes that were in flight are added by the caller first (sim_node_tear), then this
 * decides. */
void sim_node_tear(struct sim_disk *d, struct sim_node *n, uint64_t off, const void *from, size_t len);
void sim_disk_settle(struct sim_disk *d, enum sim_crash how, struct rng *r);
