/* parse.c - the grammar of client lines. Happy path: the verb is told by its first bytes, one memchr finds
 * the line's end, one pass splits its arguments; a publish whose payload is there is handed out at once. What
 * is not whole leaves the parser in one of the states below, with the offsets it needs to go on without
 * looking back.
 *
 * Behaviour is nats-server's, byte for byte, with these differences: a CR inside a line (not before its LF)
 * is plain text however the stream is cut; the control line limit is exact; HMSG from a client is an unknown
 * operation. Everything wrong ends the connection: most of it with a text, wrong argument counts and numbers
 * without. */
#include "wire/parse.h"

#include "base/must.h"

enum state {
    ST_START,   /* at a verb; an incomplete verb is kept */
    ST_SKIP,    /* PING, PONG, +OK: whatever follows is dropped up to LF */
    ST_BLANK,   /* behind verb and blanks, before the first argument */
    ST_ARG,     /* first kept byte is the first of the arguments; `scanned` bytes hold no LF */
    ST_PAYLOAD, /* first kept byte as in ST_ARG; the line is parsed, offsets are set, `need` is known */
    ST_DEAD,
};

enum { ARGS_MAX = 5, SIZE_DIGITS_MAX = 9 };

static const char text_unknown[] = "Unknown Protocol Operation";
static const char text_line[] = "maximum control line exceeded";
static const char text_payload[] = "Maximum Payload Violation";
static const char text_auth[] = "Authorization Violation";

/* What must follow a verb: at least one blank, any number of blanks, or anything. */
enum behind { BLANKS, MAYBE_BLANKS, ANYTHING };

struct verb {
    char text[8]; /* lower case */
    uint8_t n;
    uint8_t behind;
};

static const struct verb verbs[OP_COUNT] = {
    [OP_CONNECT] = {"connect", 7, MAYBE_BLANKS},
    [OP_PUB] = {"pub", 3, BLANKS},
    [OP_HPUB] = {"hpub", 4, BLANKS},
    [OP_SUB] = {"sub", 3, BLANKS},
    [OP_UNSUB] = {"unsub", 5, BLANKS},
    [OP_PING] = {"ping", 4, ANYTHING},
    [OP_PONG] = {"pong", 4, ANYTHING},
    [OP_INFO] = {"info", 4, MAYBE_BLANKS},
    [OP_OK] = {"+ok", 3, ANYTHING},
    [OP_ERR] = {"-err", 4, BLANKS},
};

void parser_init(struct parser *p, uint32_t max_control_line, int32_t max_payload) {
    must(max_payload >= -1);
    must(p != NULL);
    *p = (struct parser){.max_control_line = max_control_line, .max_payload = max_payload};
}

const char *op_name(enum op_kind k) {
    static const char *const names[OP_COUNT] = {"CONNECT", "PUB",  "HPUB", "SUB", "UNSUB",
                                                "PING",    "PONG", "INFO", "+OK", "-ERR"};
    must(k < OP_COUNT);
    return names[k];
}

static enum parse_result fail(struct parser *p, struct op *op, const char *text) {
    p->state = ST_DEAD;
    p->need = 0;
    op->error = text;
    return PARSE_ERROR;
}

static bool is_blank(uint8_t c) { return c == ' ' || c == '\t'; }

/* Letters only: every byte but the two cases of a letter stays different from it. */
static uint8_t lower(uint8_t c) { return (uint8_t)(c >= 'A' && c <= 'Z' ? c | 0x20 : c); }

/* The only verb these first bytes can begin; OP_COUNT when none, *more when one byte cannot tell yet. */
static enum op_kind verb_guess(const uint8_t *buf, size_t n, bool *more) {
    *more = false;
    switch (lower(buf[0])) {
    case 'p':
        *more = n < 2;
        switch (n < 2 ? 0 : lower(buf[1])) {
        case 'u': return OP_PUB;
        case 'i': return OP_PING;
        case 'o': return OP_PONG;
        default: return OP_COUNT;
        }
    case 'h': return OP_HPUB;
    case 's': return OP_SUB;
    case 'u': return OP_UNSUB;
    case 'c': return OP_CONNECT;
    case 'i': return OP_INFO;
    case '+': return OP_OK;
    case '-': return OP_ERR;
    default: return OP_COUNT;
    }
}

static bool verb_matches(const struct verb *v, const uint8_t *buf, size_t n) {
    size_t m = n < v->n ? n : v->n;
    must(m > 0);
    for (size_t i = 1; i < m; i++) {
        if (lower(buf[i]) != (uint8_t)v->text[i]) return false;
    }
    return true;
}

static bool is_gap(uint8_t c, bool ends) { return is_blank(c) || (ends && (c == '\r' || c == '\n')); }

/* Splits at blanks; CR and LF separate too when `ends` (SUB and UNSUB, matches nats-server here). Stops at
 * ARGS_MAX. */
static size_t split(struct span line, struct span args[ARGS_MAX], bool ends) {
    size_t count = 0;
    const uint8_t *at = line.p, *end = line.p + line.n;
    while (count < ARGS_MAX) {
        while (at < end && is_gap(*at, ends)) at++;
        if (at == end) break;
        const uint8_t *from = at;
        while (at < end && !is_gap(*at, ends)) at++;
        args[count++] = span_of(from, (size_t)(at - from));
    }
    must(count <= ARGS_MAX);
    return count;
}

/* At most nine digits, as nats-server; -1 for everything else. */
static int64_t get_size(struct span s) {
    int64_t v = 0;
    if (s.n == 0 || s.n > SIZE_DIGITS_MAX) return -1;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') return -1;
        v = v * 10 + (s.p[i] - '0');
    }
    return v;
}

/* ST_PAYLOAD: base is the first byte of the arguments. */
static enum parse_result payload_step(struct parser *p, const uint8_t *base, size_t n, size_t *used,
                                      struct op *op) {
    must(p->need >= 2);
    if (n + 1 >= p->need && base[p->need - 2] != '\r') return fail(p, op, text_unknown);
    if (n < p->need) return PARSE_MORE;
    if (base[p->need - 1] != '\n') return fail(p, op, text_unknown);
    op->kind = (enum op_kind)p->kind;
    op->error = NULL;
    op->msg.subject = span_of(base + p->subject_at, p->subject_n);
    op->msg.reply = span_of(base + p->reply_at, p->reply_n);
    op->msg.hdr = span_of(base + p->payload_at, p->hdr_n);
    op->msg.payload = span_of(base + p->payload_at + p->hdr_n, p->size - p->hdr_n);
    must(p->payload_at + p->size + 2 == p->need);
    *used = p->need;
    p->need = 0;
    p->state = ST_START;
    return PARSE_OP;
}

/* A PUB or HPUB line is whole; line_n counts its end too. Leaves the state at ST_PAYLOAD with offsets from
 * the line. */
static enum parse_result publish_line(struct parser *p, struct span line, size_t line_n, struct op *op) {
    bool hpub = p->kind == OP_HPUB;
    must(hpub || p->kind == OP_PUB);
    must(line_n > line.n);
    struct span args[ARGS_MAX];
    if (hpub && !p->headers) return fail(p, op, NULL);
    size_t count = split(line, args, false), sizes = hpub ? 2 : 1;
    if (count != sizes + 1 && count != sizes + 2) return fail(p, op, NULL);
    int64_t hdr = hpub ? get_size(args[count - 2]) : 0, size = get_size(args[count - 1]);
    if (hdr < 0 || size < 0 || hdr > size) return fail(p, op, NULL);
    if (p->max_payload >= 0 && size > p->max_payload) return fail(p, op, text_payload);
    bool reply = count == sizes + 2;
    p->subject_at = (uint32_t)(args[0].p - line.p);
    p->subject_n = (uint32_t)args[0].n;
    p->reply_at = reply ? (uint32_t)(args[1].p - line.p) : 0;
    p->reply_n = reply ? (uint32_t)args[1].n : 0;
    p->hdr_n = (uint32_t)hdr;
    p->size = (uint32_t)size;
    p->payload_at = (uint32_t)line_n;
    p->need = line_n + (size_t)size + 2;
    p->state = ST_PAYLOAD;
    return PARSE_MORE;
}

/* Any other whole line. */
static enum parse_result line_done(struct parser *p, struct span line, struct op *op) {
    struct span args[ARGS_MAX];
    size_t count = 0;
    op->kind = (enum op_kind)p->kind;
    op->error = NULL;
    if (p->kind == OP_SUB || p->kind == OP_UNSUB) count = split(line, args, true);
    switch (op->kind) {
    case OP_SUB:
        if (count != 2 && count != 3) return fail(p, op, NULL);
        op->subject = args[0];
        op->queue = count == 3 ? args[1] : SPAN_EMPTY;
        op->sid = args[count - 1];
        break;
    case OP_UNSUB:
        if (count != 1 && count != 2) return fail(p, op, NULL);
        op->sid = args[0];
        op->unsub_max = count == 2 ? get_size(args[1]) : 0;
        if (op->unsub_max < 0) op->unsub_max = 0;
        break;
    default: must(op->kind == OP_CONNECT || op->kind == OP_INFO || op->kind == OP_ERR); op->arg = line;
    }
    p->state = ST_START;
    return PARSE_OP;
}

/* ST_ARG: base is the first byte of the arguments, which belongs to them whatever it is (matches nats-server
 * here). */
static enum parse_result arg_step(struct parser *p, const uint8_t *base, size_t n, size_t *used,
                                  struct op *op) {
    size_t mcl = p->max_control_line, window = n < mcl + 2 ? n : mcl + 2;
    size_t from = p->scanned ? p->scanned : 1;
    const uint8_t *lf = from < window ? memchr(base + from, '\n', window - from) : NULL;
    size_t line_n = lf ? (size_t)(lf - base) : window;
    size_t text_n = line_n > 1 && base[line_n - 1] == '\r' ? line_n - 1 : line_n;
    if (text_n > mcl) return fail(p, op, text_line);
    if (!lf) {
        p->scanned = (uint32_t)window;
        return PARSE_MORE;
    }
    p->scanned = 0;
    struct span line = span_of(base, text_n);
    if (p->kind != OP_PUB && p->kind != OP_HPUB) {
        *used = line_n + 1;
        return line_done(p, line, op);
    }
    enum parse_result r = publish_line(p, line, line_n + 1, op);
    return r == PARSE_MORE ? payload_step(p, base, n, used, op) : r;
}

/* ST_BLANK: skips blanks; what follows is the arguments. */
static enum parse_result blank_step(struct parser *p, const uint8_t *buf, size_t n, size_t *used,
                                    struct op *op) {
    size_t at = 0;
    while (at < n && is_blank(buf[at])) at++;
    *used = at;
    p->state = at < n ? ST_ARG : ST_BLANK;
    if (at == n) return PARSE_MORE;
    size_t more = 0;
    enum parse_result r = arg_step(p, buf + at, n - at, &more, op);
    *used += more;
    return r;
}

/* ST_SKIP: PING and its like end at LF, whatever stands before it. */
static enum parse_result skip_step(struct parser *p, const uint8_t *buf, size_t n, size_t *used,
                                   struct op *op) {
    const uint8_t *lf = n ? memchr(buf, '\n', n) : NULL;
    *used = lf ? (size_t)(lf - buf) + 1 : n;
    p->state = lf ? ST_START : ST_SKIP;
    op->kind = (enum op_kind)p->kind;
    op->error = NULL;
    return lf ? PARSE_OP : PARSE_MORE;
}

/* ST_START */
static enum parse_result verb_step(struct parser *p, const uint8_t *buf, size_t n, size_t *used,
                                   struct op *op) {
    if (n == 0) return PARSE_MORE;
    if (p->auth_pending && lower(buf[0]) != 'c') return fail(p, op, text_auth);
    must(p->need == 0);
    bool more;
    enum op_kind kind = verb_guess(buf, n, &more);
    if (more) return PARSE_MORE;
    if (kind == OP_COUNT || !verb_matches(&verbs[kind], buf, n)) return fail(p, op, text_unknown);
    const struct verb *v = &verbs[kind];
    if (v->behind == BLANKS && n > v->n && !is_blank(buf[v->n])) return fail(p, op, text_unknown);
    if (n < v->n + (v->behind == BLANKS ? 1u : 0u)) return PARSE_MORE;
    p->kind = (uint8_t)kind;
    p->scanned = 0;
    size_t behind = 0;
    enum parse_result r = v->behind == ANYTHING ? skip_step(p, buf + v->n, n - v->n, &behind, op)
                                                : blank_step(p, buf + v->n, n - v->n, &behind, op);
    *used = v->n + behind;
    return r;
}

enum parse_result parse_next(struct parser *p, const uint8_t *buf, size_t n, size_t *used, struct op *op) {
    must(buf != NULL || n == 0);
    *used = 0;
    enum parse_result r = PARSE_ERROR;
    switch ((enum state)p->state) {
    case ST_START: r = verb_step(p, buf, n, used, op); break;
    case ST_SKIP: r = skip_step(p, buf, n, used, op); break;
    case ST_BLANK: r = blank_step(p, buf, n, used, op); break;
    case ST_ARG: r = arg_step(p, buf, n, used, op); break;
    case ST_PAYLOAD: r = payload_step(p, buf, n, used, op); break;
    case ST_DEAD: op->error = NULL; break;
    }
    must(*used <= n);
    return r;
}
