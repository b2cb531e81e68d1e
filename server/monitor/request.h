/* request.h - one HTTP request out of bytes that come in any pieces: llhttp with bounds around it. No I/O. */
#pragma once
#include <llhttp.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"

enum { REQUEST_BYTES_MAX = 8192 };

struct request {
    llhttp_t parser;
    size_t bytes; /* taken so far */
    size_t url_n;
    char field[8]; /* start of the header name being read */
    size_t field_n;
    unsigned hosts;
    bool whole, head, keep_alive, is_1_0;
    int status;         /* of a request that is refused */
    const char *reason; /* what nats-server's HTTP library says behind the status, "" or ": ..." */
    char url[REQUEST_BYTES_MAX];
};

void request_init(struct request *r);
/* Takes bytes up to the end of the request and returns how many. Then r->whole, or r->status says that it is
 * refused and the connection useless, or it wants more. Not to be called again after either. */
size_t request_feed(struct request *r, struct span bytes);
/* Path and query (without '?') of a whole request; they live as long as it does. */
void request_target(const struct request *r, struct span *path, struct span *query);
/* The standard text of a status this server sends. */
const char *request_status_text(int status);
