/* banner.c - what the operator reads at start: what runs, where, how safe and how fast it is, what is missing
 * and how to get it, and a first command to try. A line a fact, few enough to be read. */
#include "shard/banner.h"

#include <stdio.h>
#include <string.h>

#include "base/must.h"
#include "shard/version.h"
#include "wire/gotime.h"

enum { SIZE_TEXT = 32 };

/* 1.5 GiB. Returns out. */
static const char *size_text(char out[SIZE_TEXT], uint64_t n) {
    must(out != NULL);
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    double v = (double)n;
    size_t u = 0;
    for (; v >= 1024 && u + 1 < sizeof units / sizeof units[0]; u++) v /= 1024;
    bool whole = u == 0 || v >= 100 || v - (double)(uint64_t)v < 0.05;
    snprintf(out, SIZE_TEXT, whole ? "%.0f %s" : "%.1f %s", v, units[u]);
    return out;
}

/* 0.21 ms, 12 ms, 3.4 s: two digits that mean something. */
static const char *time_text(char out[SIZE_TEXT], int64_t ns) {
    must(out != NULL && ns >= 0);
    double ms = (double)ns / 1e6;
    if (ms >= 1000) {
        snprintf(out, SIZE_TEXT, "%.1f s", ms / 1000);
    } else {
        snprintf(out, SIZE_TEXT, ms < 1 ? "%.2f ms" : ms < 10 ? "%.1f ms" : "%.0f ms", ms);
    }
    return out;
}

static void print_store(struct log *log, const struct options *o, const struct startup_facts *f) {
    must(f->store_dir != NULL);
    char free_text[SIZE_TEXT], max[SIZE_TEXT], cost[SIZE_TEXT], sync[GODURATION_TEXT_MAX + 1];
    log_line(log, LOG_INFO, "  Store:    %s on %s, %s free, at most %s used%s", f->store_dir, f->fs.type,
             size_text(free_text, f->fs.free_bytes),
             o->js.max_store < 0 ? "all" : size_text(max, (uint64_t)o->js.max_store),
             f->fs.direct ? "" : ", without O_DIRECT");
    sync[goduration_put(sync, o->sync_interval_ns)] = '\0';
    const char *measured = f->durable_write_ns > 0 ? time_text(cost, f->durable_write_ns) : NULL;
    log_line(log, LOG_INFO, "  Durable:  %s%s%s%s%s",
             o->sync_always ? "always, acknowledged is on disk" : "on disk within ",
             o->sync_always ? "" : sync, measured ? "; a 4 KiB durable write takes " : "",
             measured ? measured : "", measured ? " here" : "");
    if (f->streams == 0) return;
    log_line(log, LOG_INFO, "  Found:    %llu streams, %llu consumers, %llu messages (%s) in %s",
             (unsigned long long)f->streams, (unsigned long long)f->consumers,
             (unsigned long long)f->messages, size_text(max, f->bytes), time_text(cost, f->recovery_ns));
}

static void print_memory(struct log *log, const struct options *o, const struct startup_facts *f) {
    static const char *const pages[] = {"2 MiB pages", "transparent huge pages", "ordinary pages"};
    char max[SIZE_TEXT];
    must((size_t)f->pages < sizeof pages / sizeof pages[0]);
    log_line(log, LOG_INFO, "  Memory:   at most %s for memory streams, on %s",
             o->js.max_memory < 0 ? "all" : size_text(max, (uint64_t)o->js.max_memory), pages[f->pages]);
    if (f->pages_how && f->pages_how[0] != '\0') log_line(log, LOG_INFO, "            %s", f->pages_how);
}

/* An address one can connect to: any address listened on is there on this machine too. */
static void put_url(char *out, size_t room, const char *host, int port) {
    must(port > 0);
    bool any = host[0] == '\0' || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
    const char *name = any ? "127.0.0.1" : host;
    bool v6 = strchr(name, ':') != NULL;
    snprintf(out, room, "nats://%s%s%s:%d", v6 ? "[" : "", name, v6 ? "]" : "", port);
}

void banner_print(struct log *log, const struct options *o, const struct startup_facts *f) {
    char payload[SIZE_TEXT], pending[SIZE_TEXT], took[SIZE_TEXT], url[320];
    must(f->version && f->server_id && f->server_name && f->io_backend);
    put_url(url, sizeof url, o->host, f->port);
    log_line(log, LOG_INFO, "Starting millrace");
    log_line(log, LOG_INFO, "  Version:  %s (NATS protocol %s)", f->version, NATS_VERSION);
    log_line(log, LOG_INFO, "  Name:     %s", f->server_name);
    log_line(log, LOG_INFO, "  ID:       %s", f->server_id);
    if (o->config_file[0] != '\0') log_line(log, LOG_INFO, "  Config:   %s", o->config_file);
    bool ring = strcmp(f->io_backend, "uring") == 0;
    log_line(log, LOG_INFO, "  Shards:   %u over %s%s%s%s", f->shards, ring ? "io_" : "", f->io_backend,
             f->start_ns > 0 ? ", up after " : "", f->start_ns > 0 ? time_text(took, f->start_ns) : "");
    if (f->io_why) log_line(log, LOG_WARN, "no io_uring: %s", f->io_why);
    log_line(log, LOG_INFO, "  Limits:   %lld clients, %s a message, %s pending a client",
             (long long)(o->max_connections < 0 ? 0 : o->max_connections),
             size_text(payload, (uint64_t)o->conn.max_payload),
             size_text(pending, (uint64_t)o->conn.max_pending));
    if (f->store_dir) {
        print_store(log, o, f);
        print_memory(log, o, f);
    } else {
        log_line(log, LOG_INFO, "  Store:    JetStream is off, nothing is stored; -js turns it on");
    }
    log_line(log, LOG_INFO, "  Try:      nats pub hello world -s %s", url);
    bool v6 = strchr(o->host, ':') != NULL;
    log_line(log, LOG_INFO, "Listening for client connections on %s%s%s:%d", v6 ? "[" : "", o->host,
             v6 ? "]" : "", f->port);
    log_line(log, LOG_INFO, "Server is ready"); /* word for word: scripts and containers wait for it */
}
