/* parse.h - the bytes a client sends, as operations. Resumable and without copies: an operation's spans point
 * into the caller's buffer. Pure; one struct parser a connection.
 *
 * The caller's loop:
 *
 *     for (;;) switch (parse_next(&p, buf, n, &used, &op)) {
 *     case PARSE_OP:    handle op (its spans lie in buf); buf += used, n -= used; continue;
 *     case PARSE_MORE:  buf += used, n -= used; keep these n bytes, append what is received behind them and
 *                       call again with the kept bytes first. When p.need is not 0, the operation is whole
 *                       at exactly p.need bytes.
 *     case PARSE_ERROR: send -ERR op.error unless NULL; close.
 *     }
 *
 * While PARSE_MORE is answered the kept bytes must stay contiguous and first, but may move. What is kept is
 * bounded: at most max_control_line + 2 bytes while a line is incomplete, p.need once it is known. Nothing
 * kept is scanned twice. However the stream is cut, the same operations and the same error come out.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/msg.h"

enum op_kind {
    OP_CONNECT,
    OP_PUB,
    OP_HPUB,
    OP_SUB,
    OP_UNSUB,
    OP_PING,
    OP_PONG,
    OP_INFO,
    OP_OK,
    OP_ERR,
    OP_COUNT
};

/* Only the fields of its kind are set. Subjects are not validated here. */
struct op {
    enum op_kind kind;
    /* PARSE_ERROR only: the text for -ERR '...', NULL = close without a word. */
    const char *error;
    /* PUB, HPUB */
    struct msg msg;
    /* SUB: subject, queue (empty when none), sid. UNSUB: sid */
    struct span subject, queue, sid;
    /* UNSUB: messages since subscribe, 0 = now. What is no number counts as 0, as nats-server has it. */
    int64_t unsub_max;
    /* CONNECT, INFO: the json; ERR: the text. ERR closes the connection, INFO only if it is no json. */
    struct span arg;
};

enum parse_result { PARSE_OP, PARSE_MORE, PARSE_ERROR };

struct parser {
    /* The caller's; may change between calls. */
    uint32_t max_control_line; /* bytes of a line's arguments: no verb, no blanks behind it, no line end */
    int32_t max_payload;       /* header block and payload together; -1 = any */
    bool headers;              /* HPUB allowed: CONNECT said headers and the server supports them */
    bool auth_pending;         /* anything but CONNECT is "Authorization Violation"; clear it once accepted */
    /* Out: bytes, from the first kept one, at which the operation under way is whole; 0 = not known. */
    size_t need;
    /* The parser's own. */
    uint8_t state, kind;
    uint32_t scanned, subject_at, subject_n, reply_at, reply_n, payload_at, hdr_n, size;
};

void parser_init(struct parser *p, uint32_t max_control_line, int32_t max_payload);
/* *used is always set: bytes of buf that are done with. PARSE_ERROR is final: any further call answers it
 * again, with error NULL. */
enum parse_result parse_next(struct parser *p, const uint8_t *buf, size_t n, size_t *used, struct op *op);
/* For logs: "PUB", "SUB"... */
const char *op_name(enum op_kind k);
