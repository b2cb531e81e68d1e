/* frame.h - bytes of frames and records: laying them down, sealing and verifying them. Pure: no I/O, no
 * state. What the bytes mean is said in format.h. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/format.h"
#include "store/store.h"

enum {
    FRAME_OVERHEAD = 2 * (int)sizeof(struct frame_header),
    FRAME_SIZE_MAX = 16 << 20,                /* no writer makes a larger one */
    REC_SIZE_MAX = (64 << 20) + 65536 + 65536 /* whole records: a payload of 64 MiB, headers and subject */
};

uint64_t frame_hash(const struct frame_header *h);
uint32_t rec_seed(uint64_t epoch, uint64_t off);

/* Bytes of the record without padding: header and body. */
static inline size_t rec_length(const struct rec *r) {
    return sizeof(struct rec_header) + r->subject.n + r->hdr.n + r->payload.n;
}

/* Lays r down at `at`, which will stand at off in the file, padded; the caller made room. Returns its crc. */
uint32_t rec_put(uint8_t *at, const struct rec *r, uint64_t epoch, uint64_t off);
/* Writes piece `from`.. (n bytes of r's body) as a fragment. */
uint32_t rec_put_fragment(uint8_t *at, const struct rec *r, size_t from, size_t n, uint64_t epoch,
                          uint64_t off);

enum rec_state { REC_STATE_GOOD, REC_STATE_NO_HEAD /* no record's header here */, REC_STATE_BAD_BODY };
/* Verifies the record at p, of which `room` bytes may belong to it. GOOD: out's spans point into p. BAD_BODY:
 * out has kind, stream, seq, and *size is true, but the spans are empty. *size: bytes with padding. */
enum rec_state rec_check(const uint8_t *p, size_t room, uint64_t epoch, uint64_t off, struct rec *out,
                         size_t *size);
/* Only the header: false when it does not verify; else *h is a copy. */
bool rec_head(const uint8_t *p, size_t room, uint64_t epoch, uint64_t off, struct rec_header *h);
/* Spans of a body (subject, headers, payload) with sizes from its header; false when they do not fit. */
bool rec_split(const uint8_t *body, size_t n, size_t subject, size_t hdr, struct rec *out);

/* The frame at mem holds h->used bytes of records behind room for the header. Fills magic, size (to block),
 * crc; zeros the padding; writes both headers. The caller set the rest of h. */
void frame_seal(uint8_t *mem, struct frame_header *h, uint32_t block);
/* A header for this place (either copy of it): magic, crc, epoch, sane sizes; *h is a copy. */
bool frame_head(const uint8_t *p, uint64_t epoch, struct frame_header *h);
/* Is the frame at p (size bytes, h its verified first header) whole? */
bool frame_whole(const uint8_t *p, const struct frame_header *h);

void seg_header_seal(struct seg_header *h);
bool seg_header_ok(
    const struct seg_header *h); /* magic and crc; version and owner are the caller's to judge */
