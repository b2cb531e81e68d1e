/* frame.c - see frame.h. Everything here works on bytes in memory, whole or hostile: readers get arbitrary
 * bytes and may not read behind the room they were given. Nothing can fail but verification, which says so by
 * its result. */
#include "store/frame.h"

#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/must.h"

static_must(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__); /* the structs of format.h are copied as they are */

enum { REC_HEAD_PART = offsetof(struct rec_header, head_crc) };
static_must(sizeof(struct frame_header) % REC_ALIGN == 0);

uint64_t frame_hash(const struct frame_header *h) {
    uint64_t words[sizeof *h / 8], hash = 0;
    static_must(sizeof words == sizeof *h);
    memcpy(words, h, sizeof words);
    for (size_t i = 0; i < sizeof words / 8; i++) hash = mix64(hash ^ words[i]);
    return hash;
}

uint32_t rec_seed(uint64_t epoch, uint64_t off) { return (uint32_t)mix64(epoch + mix64(off)); }

size_t rec_size(size_t subject, size_t hdr, size_t payload) {
    return align_up(sizeof(struct rec_header) + subject + hdr + payload, REC_ALIGN);
}

static uint32_t head_seal(struct rec_header *h, uint64_t epoch, uint64_t off) {
    must(off % REC_ALIGN == 0);
    must(h->size >= sizeof *h);
    h->head_crc = crc32c(rec_seed(epoch, off), h, REC_HEAD_PART);
    return h->head_crc;
}

static uint8_t *put(uint8_t *to, struct span s) {
    if (s.n) memcpy(to, s.p, s.n);
    return to + s.n;
}

uint32_t rec_put(uint8_t *at, const struct rec *r, uint64_t epoch, uint64_t off) {
    size_t n = rec_length(r), padded = align_up(n, REC_ALIGN);
    must(r->kind > 0);
    must(r->kind < REC_KIND_END);
    must(r->subject.n <= UINT16_MAX);
    must(n <= UINT32_MAX);
    struct rec_header h = {
        .size = (uint32_t)n,
        .kind = r->kind,
        .flags = r->flags,
        .subject_size = (uint16_t)r->subject.n,
        .hdr_size = (uint32_t)r->hdr.n,
        .stream = r->stream,
        .seq = r->seq,
        .ts = r->ts,
    };
    uint8_t *body = at + sizeof h, *end = put(put(put(body, r->subject), r->hdr), r->payload);
    memset(end, 0, padded - n);
    h.crc = crc32c(head_seal(&h, epoch, off), body, n - sizeof h);
    memcpy(at, &h, sizeof h);
    return h.crc;
}

/* Copies n bytes of the concatenated body, beginning at from. */
static void body_slice(uint8_t *to, const struct rec *r, size_t from, size_t n) {
    const struct span parts[3] = {r->subject, r->hdr, r->payload};
    for (size_t i = 0; i < 3 && n; i++) {
        if (from >= parts[i].n) {
            from -= parts[i].n;
            continue;
        }
        size_t take = parts[i].n - from < n ? parts[i].n - from : n;
        memcpy(to, parts[i].p + from, take);
        to += take, n -= take, from = 0;
    }
    must(n == 0);
}

uint32_t rec_put_fragment(uint8_t *at, const struct rec *r, size_t from, size_t n, uint64_t epoch,
                          uint64_t off) {
    size_t total = rec_length(r) - sizeof(struct rec_header);
    must(n > 0);
    must(from + n <= total);
    must(total <= REC_SIZE_MAX);
    struct frag_header f = {
        .total = (uint32_t)total,
        .offset = (uint32_t)from,
        .kind = r->kind,
        .flags = r->flags,
        .subject_size = (uint16_t)r->subject.n,
        .hdr_size = (uint32_t)r->hdr.n,
    };
    size_t size = sizeof(struct rec_header) + sizeof f + n;
    struct rec_header h = {
        .size = (uint32_t)size, .kind = REC_FRAGMENT, .stream = r->stream, .seq = r->seq, .ts = r->ts};
    uint8_t *body = at + sizeof h;
    memcpy(body, &f, sizeof f);
    body_slice(body + sizeof f, r, from, n);
    memset(at + size, 0, align_up(size, REC_ALIGN) - size);
    h.crc = crc32c(head_seal(&h, epoch, off), body, size - sizeof h);
    memcpy(at, &h, sizeof h);
    return h.crc;
}

bool rec_head(const uint8_t *p, size_t room, uint64_t epoch, uint64_t off, struct rec_header *h) {
    if (room < sizeof *h) return false;
    memcpy(h, p, sizeof *h);
    if (h->size < sizeof *h || h->kind == 0 || h->kind >= REC_KIND_END)
        return false; /* cheap, before the crc */
    if (h->size > REC_SIZE_MAX || (uint64_t)h->subject_size + h->hdr_size > h->size - sizeof *h) return false;
    return h->head_crc == crc32c(rec_seed(epoch, off), h, REC_HEAD_PART);
}

bool rec_split(const uint8_t *body, size_t n, size_t subject, size_t hdr, struct rec *out) {
    if (subject > n || hdr > n - subject) return false;
    out->subject = span_of(body, subject);
    out->hdr = span_of(body + subject, hdr);
    out->payload = span_of(body + subject + hdr, n - subject - hdr);
    return true;
}

enum rec_state rec_check(const uint8_t *p, size_t room, uint64_t epoch, uint64_t off, struct rec *out,
                         size_t *size) {
    struct rec_header h;
    must(out != NULL);
    must(size != NULL);
    if (!rec_head(p, room, epoch, off, &h)) return REC_STATE_NO_HEAD;
    if (align_up(h.size, REC_ALIGN) > room) return REC_STATE_NO_HEAD;
    *size = align_up(h.size, REC_ALIGN);
    *out = (struct rec){.kind = h.kind, .flags = h.flags, .stream = h.stream, .seq = h.seq, .ts = h.ts};
    const uint8_t *body = p + sizeof h;
    size_t n = h.size - sizeof h;
    if (crc32c(h.head_crc, body, n) != h.crc) return REC_STATE_BAD_BODY;
    bool split = rec_split(body, n, h.subject_size, h.hdr_size, out);
    must(split); /* the header's own check covers it */
    return REC_STATE_GOOD;
}

static uint32_t frame_crc(const struct frame_header *h) {
    return crc32c((uint32_t)h->epoch, h, offsetof(struct frame_header, crc));
}

void frame_seal(uint8_t *mem, struct frame_header *h, uint32_t block) {
    must(block >= 512);
    must((block & (block - 1)) == 0);
    must(h->off % block == 0);
    must(h->used % REC_ALIGN == 0);
    must(h->durable_through < h->frame_no);
    h->magic = FRAME_MAGIC;
    h->size = (uint32_t)align_up(h->used + FRAME_OVERHEAD, block);
    must(h->size <= FRAME_SIZE_MAX);
    h->crc = frame_crc(h);
    memcpy(mem, h, sizeof *h);
    size_t end = sizeof *h + h->used, tail = h->size - sizeof *h;
    memset(mem + end, 0, tail - end);
    memcpy(mem + tail, h, sizeof *h);
}

bool frame_head(const uint8_t *p, uint64_t epoch, struct frame_header *h) {
    memcpy(h, p, sizeof *h);
    if (h->magic != FRAME_MAGIC || h->epoch != epoch || h->crc != frame_crc(h)) return false;
    bool sane = h->size >= 512 && h->size <= FRAME_SIZE_MAX && h->used % REC_ALIGN == 0 &&
                (uint64_t)h->used + FRAME_OVERHEAD <= h->size && h->off % 512 == 0 && h->frame_no > 0 &&
                h->frame_no <= FRAME_NO_MAX && h->durable_through < h->frame_no;
    return sane;
}

bool frame_whole(const uint8_t *p, const struct frame_header *h) {
    if (memcmp(p, p + h->size - sizeof *h, sizeof *h) != 0) return false;
    uint32_t body = 0, records = 0;
    size_t at = sizeof *h, end = sizeof *h + h->used, size;
    for (struct rec r; at < end; at += size, records++) {
        if (rec_check(p + at, end - at, h->epoch, h->off + at, &r, &size) != REC_STATE_GOOD) return false;
        body = crc32c(body, p + at + offsetof(struct rec_header, crc), 4);
    }
    return records == h->records && body == h->body;
}

void seg_header_seal(struct seg_header *h) {
    memcpy(h->magic, SEG_MAGIC, sizeof h->magic);
    must(h->segno > 0);
    must(h->epoch != 0);
    must(h->size > SEG_HEADERS_BYTES);
    h->crc = crc32c(0, h, offsetof(struct seg_header, crc));
}

bool seg_header_ok(const struct seg_header *h) {
    return memcmp(h->magic, SEG_MAGIC, sizeof h->magic) == 0 &&
           h->crc == crc32c(0, h, offsetof(struct seg_header, crc));
}
