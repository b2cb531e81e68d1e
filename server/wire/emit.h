/* emit.h - bytes to a client. Every function writes at out if the whole text fits into room bytes and returns
 * its length; otherwise it writes nothing and returns 0. No allocation except in emit_info, which runs once
 * or twice a connection. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

/* The line before a message, exactly `MSG subject sid [reply] total\r\n`, or with hdr_n > 0
 * `HMSG subject sid [reply] hdr_n total\r\n`. total counts header block and payload. To a client without
 * header support send hdr_n = 0 and the payload alone. The caller sends block, payload and CRLF behind it. */
size_t emit_msg(uint8_t *out, size_t room, struct span subject, struct span sid, struct span reply,
                size_t hdr_n, size_t total);
/* The exact length of that line. */
size_t emit_msg_size(struct span subject, struct span sid, struct span reply, size_t hdr_n, size_t total);

size_t emit_ok(uint8_t *out, size_t room);
size_t emit_ping(uint8_t *out, size_t room);
size_t emit_pong(uint8_t *out, size_t room);
/* -ERR 'text'\r\n */
size_t emit_err(uint8_t *out, size_t room, struct span text);

/* INFO's fields; a const char * may be NULL where "omitted when empty" is said. Order and omission as
 * nats-server. */
struct info {
    const char *server_id, *server_name, *version; /* always present */
    int proto;
    const char *git_commit; /* omitted when empty */
    const char *go;         /* always; clients want it non-empty */
    const char *host;
    int port;
    bool headers;
    bool auth_required, tls_required, tls_verify, tls_available; /* omitted when false */
    int32_t max_payload;
    bool jetstream;     /* omitted when false */
    const char *ip;     /* omitted when empty, like all strings below */
    uint64_t client_id; /* omitted when 0 */
    const char *client_ip, *nonce, *cluster;
    bool cluster_dynamic;
    const char *domain;
    const char *const *connect_urls; /* omitted when connect_urls_n is 0 */
    size_t connect_urls_n;
    const char *const *ws_connect_urls;
    size_t ws_connect_urls_n;
    bool ldm, connect_info;
    const char *remote_account;
    bool acc_is_sys;
    int api_lvl; /* omitted when 0 */
    const char *xkey;
};
/* `INFO {json} \r\n`. 0 also when memory is out. */
size_t emit_info(uint8_t *out, size_t room, const struct info *i);
