/* test_frame.c - bytes of frames and records: what is laid down verifies, whatever changes in it does not. */
#include "store/frame.h"

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/rng.h"
#include "lib/check.h"

#define EPOCH 0x1122334455667788u
enum { OFF = 12288, BLOCK = 4096 };

static uint8_t buf[64 << 10];

static struct rec sample(uint64_t seq) {
    static const char hdr[] = "NATS/1.0\r\na: b\r\n\r\n";
    return (struct rec){.kind = REC_MESSAGE,
                        .flags = REC_F_ROLLUP_SUBJECT,
                        .stream = 7,
                        .seq = seq,
                        .ts = 1234567890123456789,
                        .subject = SPAN_LIT("a.b.c"),
                        .hdr = seq % 2 ? span_str(hdr) : SPAN_EMPTY,
                        .payload = SPAN_LIT("the payload")};
}

static bool same(const struct rec *a, const struct rec *b) {
    return a->kind == b->kind && a->flags == b->flags && a->stream == b->stream && a->seq == b->seq &&
           a->ts == b->ts && span_eq(a->subject, b->subject) && span_eq(a->hdr, b->hdr) &&
           span_eq(a->payload, b->payload);
}

static size_t size_of(const struct rec *r) { return rec_size(r->subject.n, r->hdr.n, r->payload.n); }

/* A sealed frame with n records at buf. */
static struct frame_header seal(uint32_t n) {
    struct frame_header h = {
        .frame_no = 9, .durable_through = 5, .prev = 42, .epoch = EPOCH, .off = OFF, .sealed_ns = 77};
    memset(buf, 0xaa, sizeof buf);
    for (uint32_t i = 0; i < n; i++) {
        struct rec r = sample(i);
        uint32_t crc = rec_put(buf + sizeof h + h.used, &r, EPOCH, OFF + sizeof h + h.used);
        h.body = crc32c(h.body, &crc, 4);
        h.used += (uint32_t)size_of(&r);
        h.records++;
    }
    frame_seal(buf, &h, BLOCK);
    return h;
}

static void a_record_comes_back(void) {
    for (uint64_t seq = 0; seq < 4; seq++) {
        struct rec r = sample(seq), got;
        size_t size;
        rec_put(buf, &r, EPOCH, 8192);
        CHECK_EQ(rec_check(buf, sizeof buf, EPOCH, 8192, &got, &size), REC_STATE_GOOD);
        CHECK_EQ(size, size_of(&r));
        CHECK(same(&r, &got));
    }
    struct rec empty = {.kind = REC_STREAM_GONE, .stream = 1}, got;
    size_t size;
    rec_put(buf, &empty, EPOCH, 8);
    CHECK_EQ(rec_check(buf, sizeof(struct rec_header), EPOCH, 8, &got, &size), REC_STATE_GOOD);
    CHECK_EQ(size, sizeof(struct rec_header));
}

static void a_record_has_one_place(void) {
    struct rec r = sample(1), got;
    size_t size;
    rec_put(buf, &r, EPOCH, 8192);
    CHECK_EQ(rec_check(buf, sizeof buf, EPOCH, 8200, &got, &size), REC_STATE_NO_HEAD);
    CHECK_EQ(rec_check(buf, sizeof buf, EPOCH + 1, 8192, &got, &size), REC_STATE_NO_HEAD);
    for (uint64_t i = 0; i < 5000; i++)
        CHECK(rec_seed(EPOCH, 8192 + 8 * i) != rec_seed(EPOCH + 1, 8192 + 8 * i));
}

/* The body's checksum depends on the header and the place, not only on the body. */
static void a_stale_body_under_a_new_header(void) {
    struct rec r = sample(2), other = sample(2), got;
    size_t size;
    uint8_t second[256];
    other.payload = SPAN_LIT("THE PAYLOAD");
    rec_put(buf, &r, EPOCH, 8192);
    rec_put(second, &other, EPOCH + 1, 8192); /* an earlier use of the file */
    /* A tear between the header's first 36 bytes and the rest. */
    size_t cut = offsetof(struct rec_header, crc);
    memcpy(buf + cut, second + cut, size_of(&r) - cut);
    CHECK_EQ(rec_check(buf, sizeof buf, EPOCH, 8192, &got, &size), REC_STATE_BAD_BODY);
}

static void short_room(void) {
    struct rec r = sample(1), got;
    size_t size, n = size_of(&r);
    rec_put(buf, &r, EPOCH, 0);
    uint8_t *copy = malloc(n); /* so that a sanitizer sees a step too far */
    for (size_t room = 0; room < n; room++) {
        memcpy(copy, buf, room);
        uint8_t *exact = room ? realloc(malloc(1), room) : malloc(1);
        memcpy(exact, buf, room);
        CHECK_EQ(rec_check(exact, room, EPOCH, 0, &got, &size), REC_STATE_NO_HEAD);
        free(exact);
    }
    free(copy);
}

static void every_flipped_bit_of_a_record_shows(void) {
    struct rec r = sample(1), got;
    size_t size, n = sizeof(struct rec_header) + r.subject.n + r.hdr.n + r.payload.n;
    rec_put(buf, &r, EPOCH, 4096);
    for (size_t bit = 0; bit < n * 8; bit++) {
        buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
        enum rec_state state = rec_check(buf, sizeof buf, EPOCH, 4096, &got, &size);
        CHECK(state != REC_STATE_GOOD);
        if (bit / 8 >= offsetof(struct rec_header, crc)) { /* it still says which record it was */
            CHECK_EQ(state, REC_STATE_BAD_BODY);
            CHECK(got.stream == 7 && got.seq == 1 && got.payload.n == 0);
        }
        buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    CHECK_EQ(rec_check(buf, sizeof buf, EPOCH, 4096, &got, &size), REC_STATE_GOOD);
}

static void fragments(void) {
    struct rec r = sample(1), got;
    size_t total = r.subject.n + r.hdr.n + r.payload.n, size, at = 0;
    uint8_t whole[256];
    for (size_t from = 0; from < total; from += 7) {
        size_t n = total - from < 7 ? total - from : 7;
        rec_put_fragment(buf, &r, from, n, EPOCH, 512);
        CHECK_EQ(rec_check(buf, sizeof buf, EPOCH, 512, &got, &size), REC_STATE_GOOD);
        struct frag_header f;
        memcpy(&f, got.payload.p, sizeof f);
        CHECK_EQ(got.kind, REC_FRAGMENT);
        CHECK(f.total == total && f.offset == from && f.kind == r.kind && f.flags == r.flags);
        CHECK(f.subject_size == r.subject.n && f.hdr_size == r.hdr.n && got.seq == 1 && got.stream == 7);
        memcpy(whole + at, got.payload.p + sizeof f, n);
        at += n;
    }
    CHECK_EQ(at, total);
    CHECK(rec_split(whole, total, r.subject.n, r.hdr.n, &r));
    struct rec want = sample(1);
    CHECK(same(&r, &want));
    CHECK(!rec_split(whole, 3, 2, 2, &r));
}

static void a_frame_is_whole(void) {
    for (uint32_t n = 0; n < 40; n += 13) {
        struct frame_header h = seal(n), got;
        CHECK_EQ(h.size % BLOCK, 0);
        CHECK(frame_head(buf, EPOCH, &got) && memcmp(&h, &got, sizeof h) == 0);
        CHECK(frame_head(buf + h.size - sizeof h, EPOCH, &got) && got.off == OFF); /* the second copy */
        CHECK(frame_whole(buf, &h));
        CHECK(!frame_head(buf, EPOCH ^ 1, &got));
    }
}

static void every_flipped_bit_of_a_frame_shows(void) {
    struct frame_header h = seal(3), got;
    for (size_t bit = 0; bit < h.size * 8; bit++) {
        size_t byte = bit / 8;
        if (byte == sizeof h + h.used) byte = h.size - sizeof h, bit = byte * 8; /* padding is not covered */
        buf[byte] ^= (uint8_t)(1 << bit % 8);
        bool whole = frame_head(buf, EPOCH, &got) && frame_whole(buf, &got);
        bool padding = false;
        /* Between records there are up to seven bytes of padding. */
        struct rec r;
        size_t size;
        for (size_t at = sizeof h; at < sizeof h + h.used && whole; at += size) {
            CHECK_EQ(rec_check(buf + at, h.used, EPOCH, OFF + at, &r, &size), REC_STATE_GOOD);
            size_t end = at + sizeof(struct rec_header) + r.subject.n + r.hdr.n + r.payload.n;
            padding = padding || (byte >= end && byte < at + size);
        }
        CHECK(!whole || padding);
        buf[byte] ^= (uint8_t)(1 << bit % 8);
    }
    CHECK(frame_whole(buf, &h));
}

static void torn_sectors_show(void) {
    struct frame_header h = seal(300);
    CHECK(h.size > 3 * BLOCK && h.size <= sizeof buf);
    uint8_t *keep = malloc(h.size);
    memcpy(keep, buf, h.size);
    for (size_t at = 0; at < sizeof h + h.used; at += 512) {
        memset(buf + at, 0, 512);
        struct frame_header got;
        CHECK(!(frame_head(buf, EPOCH, &got) && frame_whole(buf, &got)));
        memcpy(buf, keep, h.size);
    }
    free(keep);
}

static void hostile_headers(void) {
    struct rng g = {3};
    for (int i = 0; i < 200000; i++) {
        uint8_t bytes[sizeof(struct frame_header)];
        for (size_t j = 0; j < sizeof bytes; j += 8) store64(bytes + j, rng_next(&g));
        struct frame_header h;
        store32(bytes, FRAME_MAGIC);
        CHECK(!frame_head(bytes, EPOCH, &h));
        struct rec r;
        size_t size;
        store32(bytes, 40 + (uint32_t)rng_below(&g, 100));
        bytes[4] = REC_MESSAGE;
        CHECK_EQ(rec_check(bytes, sizeof bytes, EPOCH, 0, &r, &size), REC_STATE_NO_HEAD);
    }
}

/* The format is frozen: these bytes and no others. */
static void golden(void) {
    struct frame_header h = seal(2);
    CHECK_EQ(crc32c(0, buf, h.size), 1996019050);
    CHECK_EQ(frame_hash(&h), 7562763186147857820);
    CHECK_EQ(rec_seed(EPOCH, OFF), 2739505419);
    struct seg_header s = {
        .version = FORMAT_VERSION, .block = 4096, .log = 3, .segno = 5, .epoch = EPOCH, .size = 1 << 20};
    seg_header_seal(&s);
    CHECK(seg_header_ok(&s));
    CHECK_EQ(s.crc, 3900421894);
    s.first_frame = 1;
    CHECK(!seg_header_ok(&s));
}

CHECK_MAIN(CASE(a_record_comes_back), CASE(a_record_has_one_place), CASE(a_stale_body_under_a_new_header),
           CASE(short_room), CASE(every_flipped_bit_of_a_record_shows), CASE(fragments),
           CASE(a_frame_is_whole), CASE(every_flipped_bit_of_a_frame_shows), CASE(torn_sectors_show),
           CASE(hostile_headers), CASE(golden))
