/* format.h - what lies on disk. This text and these structs are the only specification of the format; every
 * number is little-endian, every reserved byte zero, every checksum CRC-32C (base/crc32c.h).
 *
 * FOLDER     <path>/MILLRACE            two copies of struct store_id, at 0 and at 4096
 *            <path>/lock                flock'ed by the process that has the folder open
 *            <path>/log-<4 hex>/        one folder a log; a log belongs to the folder, not to a core
 *            <path>/log-<4 hex>/<8 hex>.seg   a segment file. The number is the file's, not the segment's:
 *                                       files are recycled. <8 hex>.bad: one that was set aside.
 *            <path>/log-<4 hex>/root    where the newest checkpoints lie: struct root_slot at 0 and at 4096,
 *                                       written in turns; the file may be missing, and its slots blank or bad
 *
 * SEGMENT    a preallocated file of `size` bytes. Bytes 0 and 4096 hold the same struct seg_header; frames
 *            begin at 8192. The segment number orders the segments of a log and is never reused. The epoch
 *            is random, new at each use of the file, and seeds every checksum in it, so that bytes of an
 *            earlier use never validate. The newest valid header of the two counts, or, when they differ,
 *            the one whose epoch the first frame has; a segment whose headers are both bad is quarantined.
 *
 * FRAME      one commit. Aligned to `block` bytes (the device's physical block, at least 512, 4096 when
 *            unknown), padded with zeros, never rewritten. struct frame_header stands at its start and again
 *            in its last bytes. A frame is WHOLE when both are valid and equal, and each of its records is.
 *            frame_no         counts frames of the log from 1 without gaps
 *            prev             frame_hash of the frame before it in the log; 0 in the first, and when that
 *                             one was found damaged. h = 0, then h = mix64(h ^ w) for each of the header's
 *                             ten 8-byte words w (base/bytes.h)
 *            durable_through  the highest frame known durable when this one was sealed
 *            body             over the records' crc fields in order, each 4 bytes, unseeded
 *            crc              over the header up to crc, seeded with the epoch's low word
 *
 * RECORD     8-byte aligned in the frame, directly behind the header or the record before it. struct
 *            rec_header, then subject, header block (NATS/1.0...), payload: as they go out on the wire, then
 *            zeros to 8 bytes. A reader that loses its place tries every 8 bytes up to the end of the frame
 *            until a head_crc fits.
 *            head_crc         over the header up to head_crc, seeded with rec_seed: the low word of
 *                             mix64(epoch + mix64(offset in the file)). A record in the wrong place never
 *                             validates
 *            crc              goes on from head_crc's value over the body without padding. (Not over the
 *                             bytes of head_crc: a CRC run over its own value forgets its seed.)
 *
 * FRAGMENT   a record that would not fit a frame is cut into REC_FRAGMENT records of the same stream and
 *            sequence in order; each payload begins with struct frag_header and goes on with bytes of the
 *            body; subject and header block of a fragment are empty. The record exists once its last
 *            fragment (offset + bytes == total) is there; a run without its last fragment never existed. A
 *            run lies in one segment, nothing between its pieces. Its location is that of the first
 *            fragment.
 *
 * MOVED      REC_MOVED is a message that compaction copied: same stream, sequence and time, no flags. Replay
 *            never takes it for new: a message that is known lies here from now on; one that is not was
 *            recycled with its segment. Before that happens a full record of the stream follows the copies.
 *            REC_SWAP is not written.
 *
 * CHECKPOINT The log says everything; a checkpoint makes opening fast and is never needed. It stands for a
 * cut: the state behind all frames before one (struct root_cut). REC_PAGE records hold pieces of that state,
 * of this cut or, where nothing changed since, of an earlier one. REC_ROOT, behind them all, names them:
 * payload struct root_head, `segments` times struct root_seg, then the owner's bytes (engine/checkpoint.h),
 * which say where the pages lie. A slot of `root` is written, durably, once the frame that ends with the
 * REC_ROOT is durable; slot `counter` % 2, counter one more than the newest valid slot's. Reading the log
 * from its beginning, REC_PAGE and REC_ROOT mean nothing. Opening takes the newest slot whose checkpoint can
 * be read, and reads the log from its cut: of older segments, those in its table count with what it says, the
 * others hold nothing. Before anything is appended slots that were passed over are made blank. A valid slot
 * also proves, like durable_through, that frames up to its `frame` were durable.
 *
 * RECOVERY   Segments in the order of their numbers, frames in order. The first frame n that is not whole
 *            and behind which no valid frame carries durable_through >= n was in flight: the log ends before
 *            it. If one does, n was durable and is damaged: its good records count, the others are reported
 *            as lost, and reading goes on.
 *            After an unclean stop the segment where the log ends is closed there by a frame without
 *            records, marked FRAME_LAST (the only place where a block is written again); its file is cut
 *            off behind that, whatever size its header says; segments without frames that count lose their
 *            header; and writing goes on in a new segment with a new epoch. Its header names the frame it
 *            goes on with: frames of that number and above in older segments never existed, those below it
 *            were durable.
 *            Frame numbers jump only between segments, behind a FRAME_LAST: there whole segments were
 *            recycled, and a frame behind the gap carries durable_through at or above it.
 *            A frame marked FRAME_CLOSING has no records; one is written 10 ms after the last append, so
 *            that damage in an acknowledged tail is told from a tear.
 *
 * ATOMICITY  A frame is atomic. A batch larger than a frame carries REC_F_BATCH in each record,
 *            REC_F_BATCH_BEGIN too in the first and REC_F_BATCH_END too in the last; without its end it
 *            never existed. The records of a batch stand together: any other record between them ends it. An
 *            end whose header verifies is one, whatever its body says; and durable bytes that do not verify,
 *            behind records of a batch, held its end when something else follows before a stop: another
 *            record, or a frame without any that is not a FRAME_LAST.
 */
#pragma once
#include <stdint.h>

#include "base/must.h"

enum { FORMAT_VERSION = 1, SEG_HEADERS_BYTES = 8192, SEG_HEADER_COPY = 4096, REC_ALIGN = 8 };

/* A location: where a record lies, as the store names it and checkpoints hold it. */
static inline uint64_t loc_of(uint64_t segno, uint64_t off) { return segno << 32 | off / REC_ALIGN; }
static inline uint64_t loc_seg(uint64_t loc) { return loc >> 32; }
static inline uint64_t loc_off(uint64_t loc) { return (loc & UINT32_MAX) * REC_ALIGN; }

#define STORE_MAGIC "MILLRACE"
#define SEG_MAGIC   "MRSEGMNT"
enum { FRAME_MAGIC = 0x4d41524d /* "MRAM" */ };
#define FRAME_NO_MAX ((uint64_t)1 << 62) /* no log comes that far; so numbers behind a frame's do not wrap   \
                                          */

struct store_id {
    uint8_t magic[8];
    uint32_t version, reserved;
    uint8_t uuid[16];
    int64_t created_ns;
    uint8_t zero[20];
    uint32_t crc; /* of everything before it */
};
static_must(sizeof(struct store_id) == 64);

struct seg_header {
    uint8_t magic[8];
    uint32_t version, block;
    uint8_t uuid[16]; /* the folder's */
    uint32_t log, reserved;
    uint64_t segno, epoch, size;
    int64_t created_ns;
    uint64_t first_frame; /* writing went on here after a stop, with this frame; 0 otherwise. See RECOVERY */
    uint8_t zero[12];
    uint32_t crc;
};
static_must(sizeof(struct seg_header) == 96);

enum frame_flag {
    FRAME_CLOSING = 1,  /* no records */
    FRAME_INTERVAL = 2, /* written without O_DSYNC */
    FRAME_LAST = 4,     /* the last of its segment: the log goes on in a later one */
    FRAME_CLEAN = 8, /* the last of an orderly stop, nothing else in flight; the next frame has no records */
};

struct frame_header {
    uint32_t magic, flags;
    uint32_t size;    /* whole frame with both headers and padding, a multiple of block */
    uint32_t used;    /* bytes of records, padding between them included */
    uint32_t records; /* how many */
    uint32_t reserved;
    uint64_t frame_no, durable_through, prev, epoch, off /* of this frame in the file */;
    int64_t sealed_ns;
    uint32_t body, crc;
};
static_must(sizeof(struct frame_header) == 80);

enum rec_kind {
    REC_MESSAGE = 1,
    REC_FRAGMENT,
    REC_MOVED,
    REC_DELETE, /* seq: the deleted message */
    REC_PURGE,  /* payload: the stream layer's */
    REC_STREAM, /* payload: configuration and state of a stream, replaces everything known of it but its
                   messages */
    REC_STREAM_GONE,
    REC_CONSUMER, /* payload: configuration and full state of a consumer */
    REC_CONSUMER_GONE,
    REC_PROGRESS,   /* payload: what changed in a consumer since the record before */
    REC_CHECKPOINT, /* stream 0: the directory of what there is (engine/rewrite.c). Else payload: u64 sequence
                       and the message id of the message with that sequence and this record's ts, which comes
                       next if it comes at all; without an id it takes the one before back */
    REC_SWAP,
    REC_PAGE, /* a piece of state, see CHECKPOINT; flags: which (engine/checkpoint.h), ts: its number */
    REC_ROOT,
    REC_KIND_END
};
enum rec_flag {
    REC_F_BATCH = 1,
    REC_F_BATCH_END = 2,
    REC_F_ROLLUP_SUBJECT = 4,
    REC_F_ROLLUP_ALL = 8,
    REC_F_ERASED = 16,
    REC_F_BATCH_BEGIN = 32,
    REC_F_SKIPPED = 64, /* REC_MESSAGE: it has a sequence, but is not stored; no payload */
};

struct rec_header {
    uint32_t size; /* header and body, without padding */
    uint8_t kind, flags;
    uint16_t subject_size;
    uint32_t hdr_size, stream; /* stream: its number in this log, from 1 */
    uint64_t seq;
    int64_t ts;
    uint32_t head_crc, crc;
};
static_must(sizeof(struct rec_header) == 40);

struct frag_header {
    uint32_t total,
        offset; /* bytes of the whole body (subject, headers, payload); where this piece begins in it */
    uint8_t kind, flags; /* of the whole record */
    uint16_t subject_size;
    uint32_t hdr_size;
};
static_must(sizeof(struct frag_header) == 16);

#define ROOT_MAGIC "MRROOT\0\1"
enum { ROOT_SLOT_BYTES = 4096, ROOT_FILE_BYTES = 8192 };
struct root_slot {
    uint8_t magic[8];
    uint32_t version, log;
    uint8_t uuid[16]; /* the folder's */
    uint64_t counter; /* of checkpoints, from 1 */
    uint64_t loc;     /* of the REC_ROOT: segment number << 32 | offset / 8 */
    uint64_t frame;   /* that ends with it; durable when the slot was written */
    uint32_t reserved, crc;
};
static_must(sizeof(struct root_slot) == 64);

/* The cut: the state is that of all frames before number `frame`. They end at `off` in segment `segno`; the
 * next frame follows there, or at the beginning of a later segment when `ended`. */
struct root_head {
    uint64_t counter, segno, off, frame;
    uint64_t prev; /* frame_hash of the frame before; 0: unknown */
    uint32_t ended, segments;
};
static_must(sizeof(struct root_head) == 48);

/* A segment as of the cut. */
struct root_seg {
    uint64_t segno, live, end, last_frame;
    uint64_t needs; /* segment where a batch begins that goes on here; 0: none */
    uint32_t damaged, reserved;
};
static_must(sizeof(struct root_seg) == 48);
