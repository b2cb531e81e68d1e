/* options.c - defaults, the order in which sources override each other, and what values must hold against
 * each other.
 *
 * Defaults are nats-server's, but for what makes this server another one: every acknowledged message is on
 * disk, and the data lies in ./data. Limits that depend on the machine are taken from its memory, or the
 * container's if that is less. */
#include "shard/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/must.h"
#include "shard/version.h"
#include "wire/gotime.h"

#define MS  1000000ll
#define SEC 1000000000ll

void options_defaults(struct options *o) {
    must(o != NULL);
    *o = (struct options){
        .host = "0.0.0.0",
        .store_dir = STORE_DIR_DEFAULT,
        .port = 4222,
        .logtime = true,
        .io = IO_AUTO,
        .sync_always = true,
        .sync_interval_ns = 120 * SEC,
        .max_connections = 65536,
        .lame_duck_ns = 120 * SEC,
        .lame_duck_grace_ns = 10 * SEC,
        .conn = {.max_payload = 1 << 20,
                 .max_pending = 64 << 20,
                 .max_control_line = 4096,
                 .ping_interval_ns = 120 * SEC,
                 .write_deadline_ns = 10 * SEC,
                 .auth_timeout_ns = 2 * SEC,
                 .first_ping_ns = 2 * SEC,
                 .ping_max = 2},
        .js = {.max_memory = -1,
               .max_store = -1,
               .max_streams = -1,
               .max_consumers = -1,
               .max_ack_pending = -1,
               .memory_max_stream_bytes = -1,
               .store_max_stream_bytes = -1,
               .max_request_batch = -1,
               .duplicate_window_ns = -1,
               .strict = true,
               .api_level = NATS_API_LEVEL},
    };
}

bool options_sync(struct options *o, struct span text) {
    must(o != NULL);
    int64_t ns;
    if (text.n == 6 && strncasecmp((const char *)text.p, "always", 6) == 0) {
        o->sync_always = true;
        return true;
    }
    if (!goduration_get(text, &ns) || ns <= 0) return false;
    o->sync_always = false;
    o->sync_interval_ns = ns;
    return true;
}

bool options_io(struct options *o, struct span text) {
    must(o != NULL);
    static const enum io_backend all[] = {IO_AUTO, IO_URING, IO_POSIX};
    static const char *const names[] = {"auto", "uring", "posix"};
    for (size_t i = 0; i < 3; i++) {
        if (!span_eq(text, span_str(names[i]))) continue;
        o->io = all[i];
        return true;
    }
    return false;
}

/* --- the machine --- */

/* What the container may use, if that is limited. */
static uint64_t cgroup_memory(void) {
    static const char *const files[] = {"/sys/fs/cgroup/memory.max",
                                        "/sys/fs/cgroup/memory/memory.limit_in_bytes"};
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < 2; i++) {
        char text[32] = "";
        uint64_t v;
        FILE *f = fopen(files[i], "re");
        if (!f) continue;
        if (fgets(text, sizeof text, f) && get_u64(span_of(text, strcspn(text, "\n")), &v) && v < least)
            least = v;
        fclose(f);
    }
    return least;
}

static uint64_t memory_bytes(void) {
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    uint64_t all = pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : (uint64_t)1 << 30;
    uint64_t allowed = cgroup_memory();
    return allowed < all ? allowed : all;
}

/* Free bytes where the folder lies or will lie. */
static uint64_t disk_bytes(const char *folder) {
    must(folder[0] != '\0');
    char path[sizeof((struct options *)0)->store_dir];
    struct statvfs fs;
    snprintf(path, sizeof path, "%s", folder);
    while (statvfs(path, &fs) != 0) {
        char *slash = strrchr(path, '/');
        if (!slash || slash == path) {
            snprintf(path, sizeof path, "%s", slash ? "/" : ".");
            if (statvfs(path, &fs) != 0) return 0;
            break;
        }
        *slash = '\0';
    }
    return (uint64_t)fs.f_bavail * (uint64_t)fs.f_frsize;
}

static unsigned cores(void) {
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > OPTIONS_SHARDS_MAX ? OPTIONS_SHARDS_MAX : (unsigned)n;
}

/* --- settling --- */

__attribute__((format(printf, 2, 3))) static bool fail(struct option_error *e, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    vsnprintf(e->text, sizeof e->text, fmt, args);
    va_end(args);
    return false;
}

static bool check_ranges(const struct options *o, struct option_error *e) {
    must(o->conn.max_payload > 0 && o->conn.max_pending > 0);
    char grace[GODURATION_TEXT_MAX + 1], all[GODURATION_TEXT_MAX + 1];
    grace[goduration_put(grace, o->lame_duck_grace_ns)] = '\0';
    all[goduration_put(all, o->lame_duck_ns)] = '\0';
    if (o->lame_duck_grace_ns >= o->lame_duck_ns)
        return fail(e, "lame duck grace period (%s) should be strictly lower than lame duck duration (%s)",
                    grace, all);
    if (o->conn.max_payload > o->conn.max_pending)
        return fail(e, "max_payload (%lld) cannot be higher than max_pending (%lld)",
                    (long long)o->conn.max_payload, (long long)o->conn.max_pending);
    if (strchr(o->name, ' ')) return fail(e, "server name cannot contain spaces");
    if (o->port < -1 || o->port > 65535) return fail(e, "port %d is not between -1 and 65535", o->port);
    if (o->http_port < -1 || o->http_port > 65535)
        return fail(e, "http port %d is not between -1 and 65535", o->http_port);
    return true;
}

/* Zero means the default, as in nats-server. */
static void fill_zeros(struct options *o) {
    struct options d;
    options_defaults(&d);
    if (o->host[0] == '\0') memcpy(o->host, d.host, sizeof o->host);
    if (o->port == 0) o->port = d.port;
    if (o->max_connections == 0) o->max_connections = d.max_connections;
    if (o->lame_duck_ns == 0) o->lame_duck_ns = d.lame_duck_ns;
    if (o->lame_duck_grace_ns == 0) o->lame_duck_grace_ns = d.lame_duck_grace_ns;
    struct conn_limits *c = &o->conn;
    if (c->max_payload == 0) c->max_payload = d.conn.max_payload;
    if (c->max_pending == 0) c->max_pending = d.conn.max_pending;
    if (c->max_control_line == 0) c->max_control_line = d.conn.max_control_line;
    if (c->ping_interval_ns == 0) c->ping_interval_ns = d.conn.ping_interval_ns;
    if (c->write_deadline_ns == 0) c->write_deadline_ns = d.conn.write_deadline_ns;
    if (c->ping_max == 0) c->ping_max = d.conn.ping_max;
    if (o->http_host[0] == '\0') memcpy(o->http_host, o->host, sizeof o->http_host);
}

bool options_settle(struct options *o, struct option_error *e) {
    must(o && e);
    fill_zeros(o);
    if (!check_ranges(o, e)) return false;
    if (o->shards == 0) o->shards = cores();
    uint64_t memory = memory_bytes();
    if (o->conn.outbox_max == 0) o->conn.outbox_max = memory / 4 / o->shards;
    if (o->conn.ingest_max == 0) o->conn.ingest_max = memory / 16 / o->shards;
    if (o->js.max_memory < 0) o->js.max_memory = (int64_t)(memory / 4 * 3);
    if (o->jetstream && o->js.max_store < 0) o->js.max_store = (int64_t)(disk_bytes(o->store_dir) / 4 * 3);
    o->js.max_payload = o->conn.max_payload;
    o->js.domain = o->domain[0] ? o->domain : NULL;
    must(o->shards >= 1 && o->shards <= OPTIONS_SHARDS_MAX);
    return true;
}

/* --- all of it --- */

static bool refuse(const struct option_error *e, int code, int *status) {
    must(code != 0);
    fprintf(stderr, "millrace: %s\n", e->text);
    if (code == 2) fputs("run millrace -h for the flags\n", stderr);
    *status = code;
    return false;
}

bool options_read(struct options *o, int argc, char **argv, int *status) {
    must(o && argv && status);
    struct option_error e = {""};
    *status = 0;
    options_defaults(o);
    if (!options_flags(o, argc, argv, &e)) return refuse(&e, 2, status);
    if (o->show_version) {
        printf("millrace: v%s (NATS protocol %s)\n", MILLRACE_VERSION, NATS_VERSION);
        return false;
    }
    if (o->show_help) {
        fputs(options_usage(), stdout);
        return false;
    }
    if (o->config_file[0] != '\0') {
        char path[sizeof o->config_file];
        memcpy(path, o->config_file, sizeof path);
        options_defaults(
            o); /* the file must not see what the flags said: -D=false overrides its `debug: true` */
        bool read = options_file(o, path, &e);
        must(!read || e.text[0] == '\0');
        if (!read) return refuse(&e, 1, status);
        if (!options_flags(o, argc, argv, &e)) return refuse(&e, 2, status);
    } else if (o->check_only) {
        snprintf(e.text, sizeof e.text,
                 "must specify [-c, --config] option to check configuration file syntax");
        return refuse(&e, 1, status);
    }
    if (!options_settle(o, &e)) return refuse(&e, 1, status);
    if (!o->check_only) return true;
    fprintf(stderr, "millrace: configuration file %s is valid%s%s%s\n", o->config_file,
            o->config_digest[0] ? " (" : "", o->config_digest, o->config_digest[0] ? ")" : "");
    return false;
}
