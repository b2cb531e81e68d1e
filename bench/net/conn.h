/* conn.h - one client connection: bytes gathered for sending, bytes received and read in place. Opened
 * blocking (dial and handshake), used without blocking afterwards. What goes wrong is kept as a text in
 * `error` and makes a run void; nothing is reconnected.
 *
 * Order of use: conn_open; conn_room/conn_put and conn_flush to send; conn_read when readable; conn_close. */
#pragma once
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/incoming.h"

struct address {
    struct sockaddr_storage sa;
    socklen_t sa_len;
    char host[128], user[128], pass[128];
    uint16_t port;
    bool local; /* this machine: its processes can be looked at */
};
/* nats://[user[:pass]@]host[:port], or host[:port]. False when it is no address or the name is not known. */
bool address_parse(struct address *a, const char *url);

struct conn {
    int fd;
    bool want_out, marked;
    uint8_t *in, *out;
    size_t in_n, in_cap, out_at, out_n, out_cap;
    uint64_t pongs;
    char error[200];
    char server[160]; /* of INFO: what the server calls itself */
    uint64_t max_payload;
    struct conn *next_marked;
    void *owner;
    uint32_t id;
};

/* Blocks for ten seconds at most. False with error set. */
bool conn_open(struct conn *c, const struct address *a);
void conn_close(struct conn *c);
/* n bytes behind what waits to be sent; the caller fills them at once. */
uint8_t *conn_room(struct conn *c, size_t n);
void conn_put(struct conn *c, const void *p, size_t n);
void conn_put_text(struct conn *c, const char *text);
static inline size_t conn_waiting(const struct conn *c) { return c->out_n - c->out_at; }
/* Sends what the socket takes. False when the connection is gone (error set). */
bool conn_flush(struct conn *c);

/* Called for each message, inside conn_read; the spans are gone when it returns. */
typedef void conn_on_message(void *ctx, struct conn *c, const struct incoming *m, uint64_t received_ns);
/* Reads once and hands out what is whole; answers PING. False when the connection is gone or the server sent
 * an error. */
bool conn_read(struct conn *c, conn_on_message *on_message, void *ctx);
/* Waits until readable or the time is over. */
bool conn_wait(struct conn *c, uint64_t until_ns);
