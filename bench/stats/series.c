/* series.c - see series.h. Memory is taken once a slot, 60 slots at most; when there is none left the program
 * ends. */
#include "stats/series.h"

#include <stdlib.h>
#include <string.h>

#include "base/must.h"

void series_init(struct series *s, uint64_t begin_ns, uint64_t slot_ns) {
    must(slot_ns > 0);
    memset(s, 0, sizeof *s);
    s->begin_ns = begin_ns;
    s->slot_ns = slot_ns;
}

void series_deinit(struct series *s) {
    for (size_t i = 0; i < SERIES_SLOTS; i++) free(s->slots[i]);
    memset(s->slots, 0, sizeof s->slots);
}

static struct hist *slot(struct series *s, size_t i) {
    if (!s->slots[i]) {
        s->slots[i] = malloc(sizeof *s->slots[i]);
        must(s->slots[i]);
        hist_init(s->slots[i]);
    }
    return s->slots[i];
}

struct hist *series_at(struct series *s, uint64_t at_ns) {
    uint64_t i = at_ns > s->begin_ns ? (at_ns - s->begin_ns) / s->slot_ns : 0;
    return slot(s, i < SERIES_SLOTS ? (size_t)i : SERIES_SLOTS - 1);
}

void series_merge(struct series *into, const struct series *from) {
    must(into->begin_ns == from->begin_ns && into->slot_ns == from->slot_ns);
    for (size_t i = 0; i < SERIES_SLOTS; i++) {
        if (from->slots[i]) hist_merge(slot(into, i), from->slots[i]);
    }
}
