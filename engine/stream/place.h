/* place.h - where the image of a page lies, and whether it still is what memory holds. Part of everything
 * that is written as a page (page.h): index pages, groups of them, chunks of subjects and of message ids. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct stream;

struct page_place {
    uint64_t loc; /* of the image; 0: never written */
    uint32_t size;
    bool dirty; /* changed since it was written */
    bool due;   /* the cut that is being written wants it as it is now: save it before changing it */
};

/* Keeps the image of a page that is due, because it is about to change (page_cut.c). */
void page_save(struct stream *st, uint32_t kind, uint64_t number);
/* The page will be no more: its image is dead once a head without it is durable. Forgets the place. */
void page_gone(struct stream *st, uint32_t kind, uint64_t number, struct page_place *p);

/* Before every change of what the page's image holds. */
static inline void page_touch(struct stream *st, struct page_place *p, uint32_t kind, uint64_t number) {
    if (p->due) page_save(st, kind, number);
    p->dirty = true;
}
