/* store_model.h - what a log was asked to keep, and the judgement on what it gives back after a crash.
 *
 * Every record appended gets an id, one after the other; its content follows from the id. Streams 1..STREAMS
 * have messages, deletes (which kill a message) and states (which repeat everything deleted so far). After
 * each recovery model_judge() holds what was found against what was promised:
 *   - what was acknowledged and is still wanted is there, identical, in the order it was appended;
 *   - nothing stands behind a missing record of the same life, nothing came back that was missing once,
 * nothing is invented;
 *   - a batch is there whole or not at all;
 *   - damage done on purpose costs the damaged record only and is reported. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/rng.h"
#include "store/store.h"

enum { STREAMS = 4 };

enum fate_of { ENTRY_NEW /* of this life */, ENTRY_KEPT /* found by a recovery */, ENTRY_LOST };
struct entry {
    uint8_t kind, flags;
    uint32_t stream, size, batch;
    uint64_t frame, loc, killer /* id of the delete */, target;
    enum fate_of fate;
    bool found, dead /* declared to the store */, damaged;
};

struct model {
    struct entry *entries; /* from 1 */
    uint64_t count, cap;
    uint64_t live; /* bytes of messages not dead */
    uint64_t newest_state[STREAMS + 1];
    uint32_t batches;
    uint64_t last_found;
    bool lenient; /* writes went astray: only check that nothing is wrong, not that everything is there */
    uint64_t damage_reports;
    uint64_t oldest; /* hint: no live message below */
};

void model_init(struct model *m);
void model_deinit(struct model *m);
struct entry *model_at(struct model *m, uint64_t id);
/* The record of an entry; spans valid until the next call. */
struct rec model_rec(const struct model *m, uint64_t id);
uint64_t model_add(struct model *m, const struct entry *e);
bool model_same(const struct model *m, uint64_t id, const struct rec *r);
/* Messages that are killed for certain as of what is found now. */
bool model_unwanted(const struct model *m, uint64_t id);

/* A recovery begins, finds a record, ends. acked: frames up to this one were promised. */
void model_begin(struct model *m);
void model_found(struct model *m, const struct rec *r, uint64_t loc);
void model_judge(struct model *m, uint64_t acked);

/* Prints what is wrong and ends the run of this seed. */
_Noreturn __attribute__((format(printf, 1, 2))) void model_fail(const char *fmt, ...);
