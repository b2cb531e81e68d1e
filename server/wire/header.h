/* header.h - NATS header blocks: `NATS/1.0[ code[ text]]\r\n`, then `Key: value\r\n` each, then `\r\n`.
 * base/header.h reads them; here they are judged and built. Spans returned lie inside the block; building
 * goes into the caller's buffer. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/header.h"
#include "base/span.h"

/* Is the whole block well-formed: version line, every line a non-empty key without blanks, colon, value,
 * CRLF; blank line last and nothing behind it? */
bool header_valid(struct span hdr);
/* Status of the first line: false when there is none. text is empty when only a code stands. */
bool header_status(struct span hdr, int *code, struct span *text);

/* Builder: header_begin, any number of header_add, header_end. Once something did not fit, the rest is
 * ignored and header_end returns 0. */
struct header_buf {
    uint8_t *p;
    size_t cap, n;
    bool full;
};
/* status 0: plain block. text may be empty: `NATS/1.0 503`. */
void header_begin(struct header_buf *b, uint8_t *p, size_t cap, int status, struct span text);
void header_add(struct header_buf *b, struct span key, struct span value);
void header_add_u64(struct header_buf *b, struct span key, uint64_t value);
/* Copies another block's key/value lines, except those named in skip (may be NULL with skip_n 0). */
void header_add_all(struct header_buf *b, struct span hdr, const struct span *skip, size_t skip_n);
/* The block's length, 0 when it did not fit. */
size_t header_end(struct header_buf *b);
