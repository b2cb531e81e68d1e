/* core.h - what the monitor consists of. For the files of this folder. */
#pragma once
#include <sys/uio.h>

#include "base/list.h"
#include "monitor/monitor.h"
#include "monitor/process.h"
#include "monitor/query.h"
#include "monitor/request.h"

enum {
    MONITOR_CONNS_MAX = 32,       /* HTTP connections */
    MONITOR_PAGES_MAX = 32 << 20, /* bytes of pages not sent yet, all connections together */
    MONITOR_LIST_MAX = 4096,      /* connections on one page of /connz */
    MONITOR_OFFSET_MAX = 1 << 20,
};

/* READ: waits for a request. ANSWER: shards are being asked. SEND: the page is on its way. LINGER: told that
 * nothing more comes; what still arrives is thrown away, because closing with unread bytes would reset the
 * connection and could destroy the page. DEAD: waits for operations in flight. Only DEAD is final. */
enum http_phase { HTTP_READ, HTTP_ANSWER, HTTP_SEND, HTTP_LINGER, HTTP_DEAD };

enum page {
    PAGE_INDEX,
    PAGE_VARZ,
    PAGE_CONNZ,
    PAGE_JSZ,
    PAGE_SUBSZ,
    PAGE_HEALTHZ,
    PAGES, /* none of them */
};

struct reply {
    int status;
    const char *type;  /* of the content */
    const char *extra; /* further header lines or NULL */
    char *body;        /* from malloc; the connection's from here on; NULL: memory was out */
    size_t n;
};

/* What /connz was asked for. */
struct connz {
    int64_t offset, limit;
    uint64_t cid; /* 0: all */
};

struct http_conn {
    struct monitor *m;
    struct list link; /* on m->conns */
    struct list waiting;
    enum http_phase phase;
    bool eof, close_after;
    uint64_t since_ns; /* in this phase; READ: also since the first byte of the request */
    struct io_op recv, send;
    struct io_timer timer;
    struct iovec iov[2];
    char *body;
    size_t body_n, carry_n;
    char head[512];
    enum page page;
    struct connz connz;
    bool js_enabled_only;
    struct monitor_question question; /* to be put to the shards */
    struct request request;
    uint8_t carry[REQUEST_BYTES_MAX]; /* came while a request was being answered */
};

/* One question put to all shards for one connection. */
struct round {
    struct http_conn *conn; /* NULL: none is under way, or its client has left */
    uint64_t id;
    bool running;
    uint64_t missing; /* shards that have not answered, a bit each */
    struct monitor_counters sum;
    uint8_t *entries; /* of all shards, one behind the other */
    size_t entries_n; /* bytes */
    bool no_memory;
};

struct monitor {
    struct monitor_host host;
    struct monitor_server server;
    struct process_use use;
    int fd, port;
    bool open;
    struct io_op accept;
    struct io_timer again;
    struct list conns, waiting; /* of struct http_conn */
    unsigned alive, count;      /* not DEAD; all */
    size_t pages_bytes;
    struct round round;
    uint64_t requests[PAGES];
};

/* http.c */
void http_open(struct monitor *m, int fd);
void http_await(struct http_conn *c); /* shards are being asked */
void http_reply(struct http_conn *c, const struct reply *r);
void http_fail(struct http_conn *c, int status, const char *text); /* a text page */
void http_kill(struct http_conn *c);
/* The connection that shows the least life gives way to another. False: all are being answered. */
bool http_evict(struct monitor *m);
void http_free(struct http_conn *c);

/* answer.c */
void answer_request(struct http_conn *c);
/* The round for c is over. True: another question comes before the page. */
bool answer_again(struct http_conn *c);
void answer_page(struct http_conn *c);
void answer_late(struct http_conn *c); /* the shards did not answer in time */

/* round.c: puts c->question to all shards when it is c's turn. */
void round_queue(struct http_conn *c);
void round_leave(struct http_conn *c); /* it waits no more */

/* connz.c */
/* What /connz is to show. False: *status and q->error say why not. */
bool connz_read(struct query *q, struct connz *out, int *status);
void connz_question(const struct connz *z, struct monitor_question *q);
/* cids: those of all shards. The question for the ones on the page; false: there are none. */
bool connz_window(const struct connz *z, uint64_t *cids, size_t n, struct monitor_question *q);
