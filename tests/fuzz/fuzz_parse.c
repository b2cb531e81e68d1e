/* fuzz_parse.c - the wire parser on any bytes. The stream is parsed whole and again cut into pieces;
 * operations and the final error must be the same, nothing is kept beyond the bound, and spans stay inside
 * the buffer. The first two bytes choose the options and the cuts. */
#include <stdlib.h>

#include "base/must.h"
#include "base/rng.h"
#include "wire/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct run {
    struct parser p;
    uint8_t *kept;
    size_t kept_n;
    uint64_t digest, ops;
    bool dead;
};

static void run_init(struct run *r, uint8_t options) {
    memset(r, 0, sizeof *r);
    parser_init(&r->p, options & 1 ? 32 : 512, options & 2 ? 64 : 4096);
    r->p.headers = options & 4;
    r->p.auth_pending = options & 8;
}

static void mix(struct run *r, uint64_t v) {
    r->digest = (r->digest ^ v) * 0x9e3779b97f4a7c15u + (r->digest >> 29);
}

static void mix_span(struct run *r, struct span s, const uint8_t *buf, size_t n) {
    must(s.n == 0 || (s.p >= buf && s.p + s.n <= buf + n));
    mix(r, s.n);
    for (size_t i = 0; i < s.n; i++) mix(r, s.p[i]);
}

static void mix_op(struct run *r, const struct op *op, const uint8_t *buf, size_t n) {
    mix(r, op->kind);
    r->ops++;
    switch (op->kind) {
    case OP_PUB:
    case OP_HPUB:
        mix_span(r, op->msg.subject, buf, n);
        mix_span(r, op->msg.reply, buf, n);
        mix_span(r, op->msg.hdr, buf, n);
        mix_span(r, op->msg.payload, buf, n);
        must((int64_t)msg_size(&op->msg) <= r->p.max_payload);
        must(op->msg.payload.p[op->msg.payload.n] == '\r');
        break;
    case OP_SUB:
        mix_span(r, op->subject, buf, n);
        mix_span(r, op->queue, buf, n);
        mix_span(r, op->sid, buf, n);
        break;
    case OP_UNSUB:
        mix_span(r, op->sid, buf, n);
        must(op->unsub_max >= 0);
        mix(r, (uint64_t)op->unsub_max);
        break;
    case OP_CONNECT:
        r->p.auth_pending = false;
        mix_span(r, op->arg, buf, n);
        break;
    case OP_INFO:
    case OP_ERR: mix_span(r, op->arg, buf, n); break;
    default: break;
    }
}

static void feed(struct run *r, const uint8_t *bytes, size_t n) {
    if (r->dead) return;
    size_t left = r->kept_n + n, at = 0;
    uint8_t *buf = malloc(left + !left);
    if (r->kept_n) memcpy(buf, r->kept, r->kept_n);
    if (n) memcpy(buf + r->kept_n, bytes, n);
    free(r->kept);
    for (;;) {
        struct op op;
        size_t used;
        enum parse_result got = parse_next(&r->p, buf + at, left, &used, &op);
        must(used <= left);
        if (got == PARSE_OP) {
            must(used > 0);
            mix_op(r, &op, buf + at, left);
        }
        at += used, left -= used;
        if (got == PARSE_OP) continue;
        if (got == PARSE_ERROR) {
            r->dead = true;
            for (const char *c = op.error; c && *c; c++) mix(r, (uint8_t)*c);
        } else {
            must(r->p.need ? r->p.need > left : left <= r->p.max_control_line + 2);
        }
        break;
    }
    r->kept_n = r->dead ? 0 : left;
    r->kept = malloc(r->kept_n + 1);
    memcpy(r->kept, buf + at, r->kept_n);
    free(buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) return 0;
    struct run whole, cut;
    struct rng rng = {data[1]};
    run_init(&whole, data[0]);
    run_init(&cut, data[0]);
    feed(&whole, data + 2, size - 2);
    for (size_t at = 2; at < size;) {
        size_t step = 1 + rng_below(&rng, data[1] & 1 ? 4 : 64);
        if (step > size - at) step = size - at;
        feed(&cut, data + at, step);
        at += step;
    }
    must(whole.digest == cut.digest);
    must(whole.ops == cut.ops);
    must(whole.dead == cut.dead);
    must(whole.kept_n == cut.kept_n);
    free(whole.kept);
    free(cut.kept);
    return 0;
}
