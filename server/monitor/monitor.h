/* monitor.h - the HTTP monitoring port: what the server is and does, as JSON with nats-server's field names.
 *
 * It lives on one shard's loop. Happy path: a connection is accepted, llhttp parses the request, every shard
 * is asked for its numbers (host.ask), the answers (monitor_on_answer) are added up, and the page is sent.
 * Another shard's memory is never read. What fails costs the HTTP client at most its connection: anything but
 * GET and HEAD is refused, requests are bounded in size and time, connections in number, pages in length; a
 * shard that does not answer in time is named in a 503. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/log.h"
#include "base/span.h"
#include "io/io.h"

struct monitor;

enum { MONITOR_SHARDS_MAX = 64, MONITOR_NAME_MAX = 256, MONITOR_WORD_MAX = 32, MONITOR_WHY_MAX = 64 };

/* What one shard counts. */
struct monitor_counters {
    uint64_t connections, total_connections, subscriptions;
    uint64_t sub_inserts, sub_removes, sub_matches, sub_cache_hits;
    uint64_t in_msgs, in_bytes, out_msgs, out_bytes, slow_consumers, stale_connections;
    uint64_t streams, consumers, messages, bytes, memory, storage, api_total, api_errors;
    uint64_t logs_failed, logs_refusing;
    char refusing[MONITOR_WHY_MAX]; /* why; of several shards, of one of them */
};

/* One client connection. Texts longer than their room are cut; times are monotonic. */
struct monitor_conn {
    uint64_t cid, opened_ns, heard_ns, pending_bytes;
    uint64_t in_msgs, in_bytes, out_msgs, out_bytes, subscriptions;
    uint16_t port, name_n;
    uint8_t lang_n, version_n;
    char ip[46], name[MONITOR_NAME_MAX], lang[MONITOR_WORD_MAX], version[MONITOR_WORD_MAX];
};

/* What a shard is asked for beside its counters: of its connections with cid_min <= cid <= cid_max the
 * conns_max that came first, as struct monitor_conn, or only their cids (uint64_t). Travels as bytes. */
struct monitor_question {
    uint64_t cid_min, cid_max;
    uint32_t conns_max;
    bool details;
};

/* What does not change while the server runs. Strings live as long as the monitor; NULL or "" is left out. */
struct monitor_server {
    const char *server_id, *server_name, *version, *program_version, *host, *http_host, *config_digest;
    int port;
    int64_t max_connections, max_subscriptions, max_payload, max_pending, max_control_line;
    int64_t ping_interval_ns, write_deadline_ns, auth_timeout_ns;
    int ping_max;
    bool auth_required, jetstream;
    int api_level;
    const char *store_dir, *domain;
    int64_t max_memory, max_store, sync_interval_ns;
    bool sync_always, strict;
    /* Real time, and the monotonic time it belongs to: so times do not move from page to page. */
    int64_t started_wall_ns;
    uint64_t started_ns;
};

/* How long each step of an HTTP connection may take; 0: the default. */
struct monitor_times {
    uint64_t idle_ns;    /* keep-alive, 60 s */
    uint64_t request_ns; /* from the first byte of a request to its last, 10 s */
    uint64_t answer_ns;  /* for all shards to answer, 5 s */
    uint64_t send_ns;    /* 10 s */
    uint64_t linger_ns;  /* until the peer closes too, 1 s */
};

struct monitor_host {
    void *ctx;
    struct io *io;
    struct log *log;
    unsigned shards;
    struct monitor_times times;
    /* Asks a shard; it answers with monitor_on_answer(), within the call or later. */
    void (*ask)(void *ctx, unsigned shard, uint64_t id, const struct monitor_question *q);
};

/* Listens on server->http_host at *port (-1 or 0: any, stored). */
enum err monitor_open(struct monitor **m, const struct monitor_host *host,
                      const struct monitor_server *server, int *port) MUST_USE;
/* entries: what q asked for, as an array in bytes (no alignment needed). Late answers are ignored. */
void monitor_on_answer(struct monitor *m, unsigned shard, uint64_t id, const struct monitor_counters *c,
                       struct span entries);
/* Closes the listener and all connections; done when monitor_idle(). */
void monitor_stop(struct monitor *m);
bool monitor_idle(const struct monitor *m);
/* Frees everything. Stop it and tick the loop until it is idle before this; else only if the loop does not
 * run again. */
void monitor_close(struct monitor *m);
