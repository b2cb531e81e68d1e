/* index_core.h - what the files of struct index share: pages from the inside. */
#pragma once
#include "base/must.h"
#include "stream/index.h"

/* The entries of a page. Dense: e[] by offset, cap of them, loc 0 where there never was one. Packed: `used`
 * entries in order, room for cap, their offsets behind them. Entries of messages that are gone may stay: the
 * summary's bits say what lives. */
struct index_data {
    uint16_t used, cap;
    bool packed;
    struct index_entry e[];
};

static inline uint16_t *data_offs(const struct index_data *d) {
    must(d->packed);
    return (uint16_t *)(void *)((uintptr_t)(d->e + d->cap));
}

static inline bool page_has(const struct index_page *p, uint32_t off) {
    return p->live[off / 64] >> (off % 64) & 1;
}

/* Position of the first group whose number is >= number; len when none. */
size_t index_slot_at(const struct index *x, uint64_t number);
/* The page of this number or NULL. */
struct index_page *index_page_of(const struct index *x, uint64_t number);
/* A group or page to be filled from an image: empty, its place unknown. NULL: no memory. */
struct index_group *index_group_add(struct index *x, uint64_t number);
struct index_page *index_page_add(struct index *x, struct index_group *g, uint64_t number);
struct index_group *index_group_of(const struct index *x, uint64_t number);
/* Packs entries that became few. */
void index_page_tidy(const struct index *x, struct index_page *p);
size_t index_data_bytes(const struct index_data *d);
/* The entries of a page, read when they are not in memory. */
struct index_data *index_page_data(const struct index *x, struct index_page *p);
/* The first entry at an offset >= off, by its position in e[]; `used` or cap when there is none. */
uint32_t index_data_at(const struct index_data *d, uint32_t off);

/* The first live offset >= off, INDEX_PAGE when none; the last one <= off, INDEX_PAGE when none. */
uint32_t page_next_live(const struct index_page *p, uint32_t off);
uint32_t page_last_live(const struct index_page *p, uint32_t off);

/* --- index_filter.c --- */
/* Makes the page's filter from its live entries; without memory there is none. */
void filter_make(struct index_page *p);
void filter_free(struct index_filter *f);
void filter_add(struct index_filter *f, uint32_t subject);
/* May the page have this subject? */
bool filter_has(const struct index_filter *f, uint32_t subject);
size_t filter_memory(const struct index_filter *f);
