/* fuzz_record.c - a log that holds anything. The input is a small program that lays frames and records down
 * in up to three segment files, with right checksums over wrong fields as well as with bytes flipped
 * afterwards; a log is then opened over them. Whatever lies there: opening ends in order, every record it
 * hands out reads back the same, the log takes and keeps a new record, and later opens, after an orderly stop
 * and after a crash, hand out the same records again, no fewer and no more. First the bytes are read as they
 * are, as one record and one frame. */
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/must.h"
#include "sim/sim_io.h"
#include "store/frame.h"
#include "store/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* A log touches a few bytes of many regions: without huge pages a run costs a tenth. */
int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    return prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) & 0;
}

enum { SEG_BYTES = 128 << 10, SEGS = 3, BLOCK = 4096, KEPT = 512, OPS_MAX = 400 };

/* --- the input --- */

struct input {
    const uint8_t *p;
    size_t n;
};
static uint64_t take(struct input *in, size_t n) {
    uint64_t v = 0;
    for (size_t i = 0; i < n && in->n; i++, in->p++, in->n--) v = v << 8 | *in->p;
    return v;
}

/* --- what is laid down --- */

struct build {
    uint8_t seg[SEGS][SEG_BYTES];
    uint64_t epoch[SEGS], first_frame[SEGS];
    unsigned at;  /* the segment */
    uint32_t off; /* where the frame being built begins */
    uint32_t used, records, body;
    uint64_t no, durable, prev;
};

static uint32_t room(const struct build *b) {
    uint32_t end = b->off + (uint32_t)sizeof(struct frame_header) + b->used;
    return end + 4096 < SEG_BYTES ? SEG_BYTES - end - 4096 : 0;
}

/* A record whose checksums are right and whose sizes may not be. */
static void lay_record(struct build *b, struct input *in, bool honest) {
    uint8_t kind = (uint8_t)take(in, 1), subject = (uint8_t)(take(in, 1) & 31), flags = (uint8_t)take(in, 1);
    uint32_t body = (uint32_t)take(in, 1) * (honest ? 1 : 8), hdr = (uint32_t)(take(in, 1) & 15);
    if (body + 64 > room(b)) return;
    uint32_t off = b->off + (uint32_t)sizeof(struct frame_header) + b->used;
    uint8_t *p = b->seg[b->at] + off, *content = p + sizeof(struct rec_header);
    struct rec_header h = {.size = (uint32_t)sizeof h + body,
                           .kind = honest ? (uint8_t)(kind % (REC_KIND_END - 1) + 1) : kind,
                           .flags = flags,
                           .subject_size = subject,
                           .hdr_size = hdr,
                           .stream = kind & 3,
                           .seq = b->no + b->records,
                           .ts = 5};
    if (honest && subject + hdr > body) h.subject_size = 0, h.hdr_size = 0;
    for (uint32_t i = 0; i < body; i++) content[i] = (uint8_t)take(in, i < 24);
    if (h.kind == REC_FRAGMENT && body >= sizeof(struct frag_header)) {
        struct frag_header f = {
            .total = (uint32_t)take(in, 1) * 16, .offset = (uint32_t)take(in, 1) * 16, .kind = flags % 16};
        f.subject_size = (uint16_t)take(in, 1);
        memcpy(content, &f, sizeof f);
    }
    if (!honest) h.size = (uint32_t)take(in, 4) ^ h.size;
    h.head_crc = crc32c(rec_seed(b->epoch[b->at], off), &h, offsetof(struct rec_header, head_crc));
    h.crc = crc32c(h.head_crc, content, body);
    memcpy(p, &h, sizeof h);
    b->body = crc32c(b->body, &h.crc, 4);
    b->used += (uint32_t)align_up(sizeof h + body, REC_ALIGN);
    b->records++;
}

static void seal(struct build *b, struct input *in, bool honest) {
    struct frame_header h = {.magic = FRAME_MAGIC,
                             .flags = (uint32_t)(take(in, 1) & 15),
                             .used = b->used,
                             .records = b->records,
                             .frame_no = b->no,
                             .durable_through = b->durable,
                             .prev = b->prev,
                             .epoch = b->epoch[b->at],
                             .off = b->off,
                             .body = b->body};
    h.size = (uint32_t)align_up(h.used + FRAME_OVERHEAD, BLOCK);
    if (b->off + h.size > SEG_BYTES) return;
    if (!honest) {
        h.size += (uint32_t)(int8_t)take(in, 1) * 512u;
        h.used ^= (uint32_t)take(in, 2);
        h.frame_no += (uint64_t)(int8_t)take(in, 1);
        h.durable_through += (uint64_t)(int8_t)take(in, 1);
        h.off += (uint32_t)take(in, 1) * 512;
    }
    h.crc = crc32c((uint32_t)h.epoch, &h, offsetof(struct frame_header, crc));
    uint32_t size = (uint32_t)align_up(b->used + FRAME_OVERHEAD, BLOCK),
             copies = honest ? 3 : (uint32_t)take(in, 1);
    if (copies & 1) memcpy(b->seg[b->at] + b->off, &h, sizeof h);
    if (copies & 2) memcpy(b->seg[b->at] + b->off + size - sizeof h, &h, sizeof h);
    b->prev = frame_hash(&h);
    b->off += size;
    b->used = b->records = b->body = 0;
    b->no++;
}

static void next_segment(struct build *b, struct input *in) {
    if (b->at + 1 == SEGS) return;
    b->at++;
    b->off = SEG_HEADERS_BYTES;
    b->used = b->records = b->body = 0;
    uint64_t first = take(in, 1);
    if (first & 128) b->no = b->first_frame[b->at] = (first & 127) + 1;
}

static void lay_down(struct build *b, struct input *in) {
    for (int i = 0; i < OPS_MAX && in->n; i++) {
        switch (take(in, 1) % 8) {
        case 0:
        case 1: lay_record(b, in, true); break;
        case 2: lay_record(b, in, false); break;
        case 3: seal(b, in, true); break;
        case 4: seal(b, in, false); break;
        case 5: b->durable = b->no - 1 - take(in, 1) % 8 % b->no; break;
        case 6: b->seg[take(in, 1) % SEGS][take(in, 3) % SEG_BYTES] ^= (uint8_t)take(in, 1); break;
        case 7: next_segment(b, in); break;
        }
        if (b->off + 2 * BLOCK > SEG_BYTES) next_segment(b, in);
        if (b->off + 2 * BLOCK > SEG_BYTES) return;
    }
}

/* --- the log over it --- */

struct kept {
    uint64_t loc, seq;
    uint32_t sum, zero;
};

struct host {
    struct store *s;
    struct io *io;
    struct kept kept[KEPT], before[KEPT]; /* handed out by this open and by the one before it */
    size_t count;
};

static uint32_t sum_of(const struct rec *r) {
    uint32_t c = crc32c(0, r->subject.p, r->subject.n);
    c = crc32c(c, r->hdr.p, r->hdr.n);
    return crc32c(c, r->payload.p, r->payload.n) ^ r->kind ^ r->flags ^ (uint32_t)r->stream;
}

static void on_apply(void *ctx, const struct rec *r, uint64_t loc) {
    struct host *h = ctx;
    must(r->kind != REC_FRAGMENT && r->kind > 0 && r->kind < REC_KIND_END);
    if (h->count < KEPT) h->kept[h->count++] = (struct kept){.loc = loc, .seq = r->seq, .sum = sum_of(r)};
}
static void on_damaged(void *ctx, const struct store_damage *d) {
    (void)ctx;
    must(d->what != NULL);
}
static void on_commit(void *ctx, uint64_t written, uint64_t durable) {
    (void)ctx;
    must(durable <= written);
}
static void on_failed(void *ctx, enum err why) {
    const struct host *h = ctx;
    must(why == ERR_FAILED);
    must(sim_io_dead(h->io)); /* the disk is sound */
}
static void on_rewrite(void *ctx, uint64_t segno) { /* never answered: nothing may be taken back */
    (void)ctx;
    must(segno > 0);
}
static void on_ready(struct store_wait *w) { (void)w; }

static void read_back(struct host *h) {
    struct store_wait w;
    store_wait_init(&w);
    w.on_ready = on_ready;
    for (size_t i = 0; i < h->count; i++) {
        struct rec r;
        enum err e = ERR_LATER;
        for (int tries = 0; tries < 1000 && (e == ERR_LATER || e == ERR_FULL); tries++) {
            e = store_read(h->s, h->kept[i].loc, &w, &r);
            if (e == ERR_FULL) store_commit(h->s);
            if (e == ERR_LATER || e == ERR_FULL) io_tick(h->io, io_now(h->io) + 1000000);
        }
        if (!e) must(r.seq == h->kept[i].seq && sum_of(&r) == h->kept[i].sum);
        must(e == ERR_OK || e == ERR_CORRUPT); /* fragments in odd places gather at open, not at reading */
    }
}

static bool open_log(struct host *h, struct sim_disk *d, const struct store_config *cfg, uint64_t seed) {
    struct store_owner owner = {h, on_apply, on_damaged, on_commit, on_failed, on_rewrite};
    memcpy(h->before, h->kept, sizeof h->before);
    h->count = 0;
    must(sim_io_open(&h->io, d, seed) == ERR_OK);
    enum err e = store_open(&h->s, cfg, h->io, &owner);
    must(e == ERR_OK || e == ERR_CORRUPT || e == ERR_FOREIGN || e == ERR_FORMAT);
    if (e) io_close(h->io);
    return e == ERR_OK;
}

static void close_log(struct host *h) {
    store_close(h->s);
    io_close(h->io);
}

static void add_one(struct host *h, uint64_t seq) {
    struct rec r = {.kind = REC_MESSAGE, .stream = 99, .seq = seq, .payload = SPAN_LIT("new")};
    struct kept k = {.seq = seq, .sum = sum_of(&r)};
    uint64_t frame;
    must(store_append(h->s, &r, STORE_FORCE, &k.loc, &frame) == ERR_OK);
    if (h->count < KEPT) h->kept[h->count++] = k;
}

/* Opens again: what is handed out now is what the last open handed out and what was added to it. */
static void same_again(struct host *h, struct sim_disk *d, const struct store_config *cfg, uint64_t seed) {
    size_t count = h->count;
    must(open_log(h, d, cfg, seed));
    must(h->count == count);
    must(memcmp(h->kept, h->before, count * sizeof h->kept[0]) == 0);
}

static void put_file(struct sim_disk *d, const char *name, const struct build *b, unsigned i) {
    struct sim_node *n;
    struct seg_header s = {.version = FORMAT_VERSION,
                           .block = BLOCK,
                           .log = 1,
                           .segno = i + 1,
                           .epoch = b->epoch[i],
                           .size = SEG_BYTES};
    s.first_frame = b->first_frame[i];
    seg_header_seal(&s);
    must(sim_node_create(d, NULL, name, false, &n) == ERR_OK);
    must(sim_node_write(d, n, 0, b->seg[i], SEG_BYTES, true) == ERR_OK);
    must(sim_node_write(d, n, 0, &s, sizeof s, true) == ERR_OK);
    must(sim_node_write(d, n, SEG_HEADER_COPY, &s, sizeof s, true) == ERR_OK);
}

static void as_a_log(const struct build *b) {
    static const char *const names[SEGS] = {"log/00000000.seg", "log/00000001.seg", "log/00000002.seg"};
    struct sim_disk *d = sim_disk_new();
    struct host *h = calloc(1, sizeof *h);
    must(h != NULL && sim_node_create(d, NULL, "log", true, NULL) == ERR_OK);
    for (unsigned i = 0; i <= b->at; i++) put_file(d, names[i], b, i);
    struct store_config cfg = {
        .path = "log", .log = 1, .frame_max = 8192, .seg_min = SEG_BYTES, .seg_max = SEG_BYTES};
    cfg.buffer_bytes = 2 << 20;
    struct rng crash = {1};
    if (open_log(h, d, &cfg, 1)) {
        read_back(h);
        add_one(h, 0xfeed);
        close_log(h);
        same_again(h, d, &cfg, 2);
        sim_io_crash(h->io, SIM_KILL, &crash); /* nothing is in flight: it only is no orderly stop */
        close_log(h);
        same_again(h, d, &cfg, 3);
        add_one(h, 0xf00d);
        close_log(h);
        same_again(h, d, &cfg, 4);
        close_log(h);
    }
    sim_disk_free(d);
    free(h);
}

/* The bytes themselves, in a buffer of just their size. */
static void as_bytes(const uint8_t *data, size_t size) {
    struct rec r;
    size_t n;
    struct frame_header h;
    if (rec_check(data, size, 1, 8192, &r, &n) == REC_STATE_GOOD) must(n <= size);
    if (size >= sizeof h && frame_head(data, load64(data + 40), &h) && h.size <= size)
        (void)frame_whole(data, &h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    as_bytes(data, size);
    struct build *b = calloc(1, sizeof *b);
    must(b != NULL);
    for (unsigned i = 0; i < SEGS; i++) b->epoch[i] = 1000 + i;
    b->off = SEG_HEADERS_BYTES;
    b->no = 1;
    struct input in = {data, size};
    lay_down(b, &in);
    as_a_log(b);
    free(b);
    return 0;
}
