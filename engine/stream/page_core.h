/* page_core.h - what the files of pages share: the state of a cut, and images of pages. */
#pragma once
#include "stream/codec.h"
#include "stream/page.h"
#include "stream/place.h"
#include "stream/stream.h"

/* A page that the cut writes. old: the image that it replaces. */
struct page_due {
    struct page_key key;
    uint64_t old_loc, loc;
    uint32_t old_size, size;
    uint8_t *bytes; /* as it was, when it changed since */
    uint32_t bytes_size;
    bool given;
};

struct page_cut {
    struct page_due *due; /* by kind and number */
    size_t len, at;
    struct page_image *table; /* groups and chunks as of the cut */
    size_t table_len;
    size_t gone; /* how many of pages.gone no head from this cut on names */
    size_t saved;
    bool failed;
    struct codec_buf head;
};

/* --- page_image.c: pages to bytes and back. Readers believe nothing: false on anything odd. --- */
void image_of_index(struct codec_buf *b, const struct index_page *p);
/* Into zeroed dense entries of a whole page. */
bool image_to_index(struct span image, uint64_t number, uint32_t subjects, struct index_data *d);
void image_of_group(struct codec_buf *b, const struct index_group *g);
/* Names of index pages in a group's image are brought up to date: place says where each lies now. */
void image_patch_group(uint8_t *image, size_t size, struct page_cut *cut);
enum err image_to_group(struct span image, uint64_t number, struct index *x) MUST_USE;
void image_of_subjects(struct codec_buf *b, const struct subjects *s, uint32_t chunk);
enum err image_to_subjects(struct span image, uint32_t chunk, struct subjects *s) MUST_USE;
void image_of_ids(struct codec_buf *b, const struct dedupe *d, uint64_t chunk);
enum err image_to_ids(struct span image, struct dedupe *d) MUST_USE;

/* The due page of this key or NULL. */
struct page_due *cut_find(const struct page_cut *cut, uint32_t kind, uint64_t number);
/* The place of a page that is there, or NULL. */
struct page_place *page_place_of(struct stream *st, struct page_key key);

/* --- page_cache.c --- */
/* Entries of a page that are not in memory are read; what cannot be had is rebuilt. Never fails. */
struct index_data *page_fetch(struct stream *st, struct index_page *p);
/* The page was used; it is about to change; its image is what it is. */
void page_used(struct stream *st, struct index_page *p);
void page_keep(struct stream *st, struct index_page *p);
void page_clean(struct stream *st, struct index_page *p);
