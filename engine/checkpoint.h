/* checkpoint.h - the checkpoint of a log in the making, and what is kept for it (checkpoint.c, reopen.c).
 *
 * The owner's bytes of a REC_ROOT, little-endian: u32 next stream number, u32 flags (1: something was deleted
 * since the directory record), u64 segment of the newest directory record, u32 streams; each: u32 number, u64
 * place and u32 payload bytes of its head, u64 segment of its newest full record, u64 lowest segment with a
 * message that died since (or all ones), u32 consumers; each of these: u64 place and u32 payload bytes of its
 * image, u64 segment of its newest full record. REC_PAGE: stream, flags = enum page_kind, ts = number of the
 * page (seq is 0: damage to a page is damage to no message); a head has flags CHECKPOINT_HEAD and holds what
 * stream/page.h makes; an image has CHECKPOINT_CONSUMER and holds a REC_CONSUMER payload.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stream/codec.h"
#include "stream/page.h"

enum { CHECKPOINT_HEAD = 255, CHECKPOINT_CONSUMER = 254 };

enum checkpoint_stage { CHECKPOINT_IDLE, CHECKPOINT_PAGES, CHECKPOINT_ROOT };

struct ck_place {
    uint64_t loc;
    uint32_t bytes; /* of payload */
};
struct ck_places {
    struct ck_place *at;
    size_t len, cap;
};

/* A stream and a consumer as the root will name them. */
struct ck_stream {
    uint32_t number, consumers;
    struct ck_place head;
    uint64_t full_segno, dead_segno;
    bool due; /* its pages and head are still to be written */
};
struct ck_consumer {
    uint32_t stream;
    struct ck_place image;
    uint64_t full_segno;
    size_t from, bytes; /* its image in the blob, still to be written; bytes 0: nothing to write */
};

struct checkpoint {
    enum checkpoint_stage stage;
    bool asked;
    bool page_held;      /* page and key wait for room in the log */
    struct page_key key; /* kind CHECKPOINT_HEAD: the head */
    struct codec_buf page, blob;
    struct ck_stream *streams;
    struct ck_consumer *consumers;
    size_t streams_len, consumers_len, consumers_cap, stream_at, consumer_at;
    uint32_t next_stream;
    bool gone;
    uint64_t directory_segno;
    struct ck_places dead_now, dead_next; /* dead with the root in the making; with the one after it */
    uint64_t bytes, last_bytes;           /* written for this one, for the last one */
    uint64_t retry_ns, begun_ns;
    uint64_t done, done_bytes; /* counters */
};
