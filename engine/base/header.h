/* header.h - reading NATS header blocks: `NATS/1.0...\r\n`, then `Key: value\r\n` each, then `\r\n`. Server
 * and engine read with the same rule, so that a message id found when a message comes in is found again at
 * recovery.
 *
 * matches nats-server: what counts is CRLF before the key and a colon behind it, wherever that stands, behind
 * an empty line too; spaces before the value are skipped, nothing else is trimmed; a value without CRLF
 * behind it goes on to the end of the block. Reading never fails on bad bytes, it finds nothing; spans
 * returned lie inside the block. */
#pragma once
#include <stdbool.h>

#include "base/span.h"

/* The value of the first line that starts with exactly `key:` (case counts). False when there is none; an
 * empty value is found. */
bool header_get(struct span hdr, struct span key, struct span *value);

/* Walks key/value lines in order; lines without a colon are skipped. For each key the first value met is what
 * header_get() finds. */
struct header_iter {
    struct span rest;
};
void header_iter_init(struct header_iter *it, struct span hdr);
bool header_next(struct header_iter *it, struct span *key, struct span *value);
