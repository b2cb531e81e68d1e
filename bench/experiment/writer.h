/* writer.h - a log reduced to its writes: frames, one behind the other in a file whose blocks are written
 * already, several in flight, made safe in one of several ways. What is safe is a count of frames without a
 * gap. One thread; all completions come through the ring it shares with the caller's sockets. */
#pragma once
#include <liburing.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stats/hist.h"

enum method {
    DSYNC,   /* O_DIRECT write with RWF_DSYNC through the ring */
    LINKED,  /* O_DIRECT write, linked to an fdatasync, both through the ring */
    GROUPED, /* O_DIRECT writes; one fdatasync at a time for all that completed before it */
    THREAD,  /* pwritev2(RWF_DSYNC), O_DIRECT, in a thread for each frame in flight; the ring is woken */
    DIRECT,  /* O_DIRECT write through the ring, safe when it completes; an fdatasync at an interval */
    CACHED,  /* pwrite to the page cache from the loop, safe when it returns; an fdatasync at an interval */
    QUEUED,  /* the same write through the ring */
    METHODS
};
extern const char *const method_names[METHODS];

enum { FRAME_MAX = 256 << 10, FRAME_HEAD = 32, SLOTS = 64 };

struct writer_config {
    const char *path;
    uint64_t file_size;
    enum method method;
    uint32_t align; /* frames are padded to it */
    uint32_t depth; /* in flight */
    uint64_t interval_ns;
};

struct writer;

/* Writes the file out first. user_data of what the writer queues has the lowest bit set. */
struct writer *writer_open(const struct writer_config *cfg, struct io_uring *ring);
/* Where the next frame's messages go: FRAME_MAX - FRAME_HEAD bytes. NULL: all slots wait to become safe. */
uint8_t *writer_room(struct writer *w);
uint32_t writer_flying(const struct writer *w);
/* Sends the next frame off with so many bytes and messages. Only while fewer than depth are flying. */
void writer_send(struct writer *w, uint32_t bytes, uint32_t messages);
/* A completion with the lowest bit set. */
void writer_on_cqe(struct writer *w, const struct io_uring_cqe *cqe);
/* Once a tick: starts what is due at the interval; returns when it wants to be called again (0: no wish). */
uint64_t writer_tick(struct writer *w);

uint64_t writer_safe_messages(const struct writer *w);
uint64_t writer_frames(const struct writer *w);
uint64_t writer_padding(const struct writer *w);           /* bytes written beyond head and messages */
const struct hist *writer_latency(const struct writer *w); /* from sent off to safe */

/* Reads the last lap back, past the page cache: every frame there, whole, in order. Returns how many. */
uint64_t writer_verify(struct writer *w);
void writer_close(struct writer *w);
