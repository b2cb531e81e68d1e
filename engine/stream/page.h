/* page.h - a stream's state as pages, so that a checkpoint writes what changed and opening reads what is
 * needed. The caller keeps the images as records in its log; this layer says what they hold and who still
 * needs them.
 *
 * A checkpoint of one stream: stream_cut() fixes the state; then, over as many turns as it takes and while
 * the stream goes on changing, stream_cut_next() gives the images that are due, as they were at the cut, and
 * stream_cut_placed() takes their places; stream_cut_head() gives what names them all; once the root that
 * names the head is durable stream_cut_end(ok) tells which older images nobody needs. Opening:
 * stream_load_head() into a blank stream, then the log from the cut on, as ever, then stream_recovered().
 * The result equals what a replay of the whole log gives.
 *
 * An image is dead only when stream_cut_end(ok = true) says so, or with its stream. An image that was placed
 * by a cut that failed stays in use and is not dead. Images found in the log behind the cut that is opened
 * belong to no head: dead.
 *
 * What can fail: memory. A cut that cannot keep what it must keep is abandoned: stream_cut_next() says
 * ERR_NOMEM once, the caller ends it with ok = false, and nothing was lost but work.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"
#include "base/span.h"
#include "stream/codec.h"

struct stream;
struct stream_put;

enum page_kind {
    PAGE_INDEX = 1, /* entries of 1024 sequences; the only kind that is loaded later than at opening */
    PAGE_GROUP,     /* summaries of 32 index pages */
    PAGE_SUBJECTS,  /* 256 subjects */
    PAGE_DEDUPE,    /* 1024 message ids */
};
/* Images of PAGE_INDEX and PAGE_GROUP are never larger; the other kinds and heads can be, by long subjects.
 */
enum { PAGE_IMAGE_MAX = 32 << 10 };

/* Goes into the record of the image, so that who meets the record can ask for it. */
struct page_key {
    uint32_t kind;
    uint64_t number;
};

/* Where an image lies. */
struct page_image {
    struct page_key key;
    uint64_t loc;
    uint32_t size;
};

/* Index pages that are not needed now: one list for all streams of a shard, and how much may stay. */
struct page_cache {
    struct list clean; /* pages that can be evicted, the one used last at the tail */
    size_t bytes, bytes_max, pages;
    uint64_t loads, evictions, rebuilds; /* counters */
};
/* bytes_max: what resident pages may take that could be read again; at least 8 pages are kept. */
void page_cache_init(struct page_cache *c, size_t bytes_max);

/* What a stream whose records lie in a log asks of its owner. */
struct page_host {
    /* The image at loc, read now and verified to be the record of this stream and key; valid until the next
     * call. Any error: it cannot be had. At opening it is called for every group, subject and dedupe page,
     * in ascending order of numbers; later for index pages only. */
    enum err (*load)(void *ctx, struct stream *st, struct page_key key, uint64_t loc, uint32_t size,
                     struct span *image);
    /* It will be asked for soon: read it in the background. May do nothing. */
    void (*want)(void *ctx, struct stream *st, struct page_key key, uint64_t loc, uint32_t size);
    /* The image of an index page cannot be had. Read the segments segno_from to segno_to, both included, in
     * their order, and give every message record (also moved copies) of this stream with a sequence in
     * [seq_from, seq_to] to stream_rebuilt(). What does not come is lost. */
    void (*rebuild)(void *ctx, struct stream *st, uint64_t seq_from, uint64_t seq_to, uint64_t segno_from,
                    uint64_t segno_to);
    void *ctx;
};
/* Directly behind stream_init() or stream_init_blank(); both outlive the stream. Without it every page stays
 * in memory. The high half of a location is the number of its segment. */
void stream_set_pages(struct stream *st, const struct page_host *host, struct page_cache *cache);
void stream_rebuilt(struct stream *st, const struct stream_put *p);

/* ----------------------------------------------------------------------------------- checkpoints */

/* Did anything change since the last cut that ended well? If not its head still stands. */
bool stream_changed(const struct stream *st);
/* The state as of now is what will be written. ERR_NOMEM: no cut. */
enum err stream_cut(struct stream *st) MUST_USE;
/* The next image that is due: ERR_OK; place it, then ask on. ERR_NONE: no more. ERR_NOMEM, ERR_CORRUPT (a
 * page that must be copied cannot be read any more): give the cut up. Replaces the buffer's content. */
enum err stream_cut_next(struct stream *st, struct codec_buf *out, struct page_key *key) MUST_USE;
/* The image given last lies here now. size: its bytes, as they were given. */
void stream_cut_placed(struct stream *st, struct page_key key, uint64_t loc, uint32_t size);
/* Everything but the pages, and where those are; after ERR_NONE. ERR_NOMEM. */
enum err stream_cut_head(struct stream *st, struct codec_buf *out) MUST_USE;
/* ok: a root that names this head is durable, and no older one is needed. Each image that only older heads
 * named is told to dead (where it lies, bytes of image). Not ok: nothing is dead. */
void stream_cut_end(struct stream *st, bool ok,
                    void (*dead)(void *ctx, struct page_key key, uint64_t loc, uint32_t size), void *ctx);
/* All images the stream has or had and that stream_cut_end() has not told dead: at its deletion. */
void stream_images(const struct stream *st,
                   void (*fn)(void *ctx, struct page_key key, uint64_t loc, uint32_t size), void *ctx);

/* The image at loc must leave its place (its segment is to be emptied). False: nobody needs it. True: it is
 * written anew by the next cut, and told dead when that has ended well. */
bool stream_page_renew(struct stream *st, struct page_key key, uint64_t loc);

/* ----------------------------------------------------------------------------------- opening */

/* A head, into a stream that was initialised blank and has got its host. ERR_CORRUPT, ERR_NOMEM, or what load
 * said: deinit it and take another way. Replay of the log from the cut on follows. */
enum err stream_load_head(struct stream *st, struct span head) MUST_USE;
