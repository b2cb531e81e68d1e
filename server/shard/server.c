/* server.c - from options to a running server and back: what all shards share is made, one thread a shard is
 * started, and taken down in the reverse order. Shard 0 runs on the calling thread.
 *
 * The threads pass four gates: every mailbox is open; every shard has recovered; (they serve;) nobody sends
 * letters any more; nobody wakes anyone any more. A shard that cannot go on says why and makes all leave at
 * the next gate: exit status 1. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/must.h"
#include "base/rng.h"
#include "millrace.h"
#include "shard/banner.h"
#include "shard/facts.h"
#include "shard/logfile.h"
#include "shard/state.h"
#include "shard/version.h"
#include "shard/watch.h"

/* Descriptors that are not clients': of the process; of a shard, most of them segments read from lately. */
enum { OWN_FILES = 32, SHARD_FILES = 80 };

static int64_t clock_ns(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t now_ns(void) { return clock_ns(CLOCK_MONOTONIC); }

void server_call_all(struct server *sv, shard_call *fn, void *arg) {
    must(sv->shards > 0);
    for (unsigned s = 1; s < sv->shards; s++) post_call(sv->shard[0].mail, s, fn, arg);
    fn(&sv->shard[0], arg);
}

/* --- identity and limits --- */

static void set_identity(struct server *sv) {
    const struct options *o = sv->opts;
    nkey_random_put(sv->id, NKEY_SERVER);
    nkey_random_put(sv->xkey, NKEY_CURVE);
    must(sv->id[0] == 'N' && sv->xkey[0] == 'X');
    const char *name = o->name[0] ? o->name : sv->id;
    sv->info = (struct conn_server){.server_id = sv->id,
                                    .server_name = name,
                                    .version = NATS_VERSION,
                                    .xkey = sv->xkey,
                                    .git_commit = "",
                                    .go = "none",
                                    .host = o->host,
                                    .cluster = NULL,
                                    .domain = o->js.domain,
                                    .port = o->port,
                                    .jetstream = o->jetstream,
                                    .auth_required = false,
                                    .api_level = NATS_API_LEVEL};
    sv->js_limits = o->js;
    sv->js_limits.server_id = sv->id;
    sv->js_limits.server_name = name;
    sv->js_limits.server_version = NATS_VERSION;
    sv->js_limits.api_level = NATS_API_LEVEL;
    sv->js_limits.max_payload = o->conn.max_payload;
    random_bytes(&sv->route_seed, sizeof sv->route_seed);
}

/* A descriptor a client: as many as this process may have, less those the logs need. Clients must not keep a
 * log from its next segment. */
static void raise_descriptors(struct server *sv) {
    struct rlimit r;
    must(sv->opts != NULL);
    must(sv->shards > 0);
    int64_t most = sv->clients_max = sv->opts->max_connections;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0) return;
    r.rlim_cur = r.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &r) != 0)
        log_line(sv->log, LOG_WARN, "cannot raise the limit of open files");
    uint64_t ours = OWN_FILES + (uint64_t)sv->shards * SHARD_FILES;
    if (ours > r.rlim_cur / 2) ours = r.rlim_cur / 2;
    if (most <= 0 || (uint64_t)most <= r.rlim_cur - ours) return;
    sv->clients_max = (int64_t)(r.rlim_cur - ours);
    log_line(sv->log, LOG_DEBUG, "max_connections is %lld, but only %llu files may be open (ulimit -n): %lld",
             (long long)most, (unsigned long long)r.rlim_cur, (long long)sv->clients_max);
}

/* --- the store --- */

static void on_engine_log(void *ctx, enum mr_log_level level, const char *text) {
    static const enum log_level as[] = {[MR_LOG_DEBUG] = LOG_DEBUG,
                                        [MR_LOG_INFO] = LOG_INFO,
                                        [MR_LOG_WARN] = LOG_WARN,
                                        [MR_LOG_ERROR] = LOG_ERROR};
    must(level <= MR_LOG_ERROR);
    log_line(ctx, as[level], "%s", text);
}

static uint64_t bound(int64_t limit) { return limit > 0 ? (uint64_t)limit : 0; }

static bool open_env(struct server *sv) {
    const struct options *o = sv->opts;
    if (!o->jetstream) return true;
    const struct mr_env_config cfg = {.size = sizeof cfg,
                                      .path = o->store_dir,
                                      .shards = sv->shards,
                                      .sync = o->sync_always ? MR_SYNC_ALWAYS : MR_SYNC_INTERVAL,
                                      .sync_interval_ns = o->sync_interval_ns,
                                      .disk_max = bound(o->js.max_store),
                                      .memory_max = bound(o->js.max_memory),
                                      .cache_bytes = o->cache_bytes,
                                      .log = on_engine_log,
                                      .log_ctx = sv->log};
    must(o->store_dir[0] != 0);
    enum mr_status st = mr_env_open(&cfg, &sv->env);
    if (st) log_line(sv->log, LOG_FATAL, "cannot open the store in %s: %s", o->store_dir, mr_status_text(st));
    return st == MR_OK;
}

void server_reopen_log(struct server *sv) {
    must(sv->log != NULL);
    struct logfile *lf = container_of(sv->log, struct logfile, log); /* as main() made it */
    if (logfile_reopen(lf)) log_line(sv->log, LOG_INFO, "File log re-opened");
}

/* --- serving --- */

static bool write_pid(const struct server *sv) {
    const char *path = sv->opts->pid_file;
    if (!path[0]) return true;
    FILE *f = fopen(path, "w");
    bool ok = f && fprintf(f, "%ld\n", (long)getpid()) > 0;
    if (f && fclose(f) != 0) ok = false;
    if (!ok) log_line(sv->log, LOG_ERROR, "cannot write the pid file %s", path);
    return ok;
}

void server_open_doors(struct server *sv) {
    struct shard *s = &sv->shard[0];
    struct startup_facts facts;
    sv->recovery_ns = now_ns() - sv->started_ns;
    lobby_init(&sv->lobby, sv, s->io);
    signals_listen(sv);
    enum err e = lobby_open(&sv->lobby);
    if (e) {
        log_line(sv->log, LOG_FATAL, "cannot listen on %s:%d: %s", sv->opts->host, sv->opts->port,
                 err_text(e));
        sv->gate.failed = true;
        server_stop(sv);
        return;
    }
    must(sv->lobby.port > 0);
    sv->info.port = sv->lobby.port; /* before the first client, which other shards learn of by mail */
    if (!watch_open(sv)) {
        sv->gate.failed = true;
        server_stop(sv);
        return;
    }
    write_pid(sv);
    facts_gather(sv, &facts);
    facts.start_ns = now_ns() - sv->started_ns;
    banner_print(sv->log, sv->opts, &facts);
}

static void *shard_main(void *arg) {
    struct shard *s = arg;
    struct gate *gate = &s->server->gate;
    if (gate_pass(gate, shard_open(s)) && gate_pass(gate, shard_recover(s))) shard_run(s);
    shard_close(s);
    gate_pass(gate, true);
    if (s->mail) mail_close(s->mail);
    gate_pass(gate, true);
    if (s->io) io_close(s->io);
    return NULL;
}

static void start_threads(struct server *sv) {
    for (unsigned s = 0; s < sv->shards; s++) {
        sv->shard[s].self = s;
        sv->shard[s].server = sv;
        sv->shard[s].stop_by_ns = sv->shard[s].unpark_ns = UINT64_MAX;
    }
    for (unsigned s = 1; s < sv->shards; s++) {
        char name[24];
        if (pthread_create(&sv->shard[s].thread, NULL, shard_main, &sv->shard[s]) != 0) {
            log_line(sv->log, LOG_FATAL, "cannot start a thread for shard %u", s);
            _exit(1); /* the others wait at the first gate for a thread that will not come */
        }
        snprintf(name, sizeof name, "shard-%u", s);
        pthread_setname_np(sv->shard[s].thread, name);
    }
}

static void run_shards(struct server *sv) {
    gate_init(&sv->gate, sv->shards);
    start_threads(sv);
    shard_main(&sv->shard[0]);
    for (unsigned s = 1; s < sv->shards; s++) pthread_join(sv->shard[s].thread, NULL);
    gate_deinit(&sv->gate);
}

int server_run(const struct options *o, struct log *log) {
    must(o->shards > 0 && o->shards <= ROUTE_SHARDS_MAX);
    struct server *sv = calloc(1, sizeof *sv);
    must(sv != NULL);
    *sv = (struct server){.opts = o, .log = log, .shards = o->shards, .started_ns = now_ns()};
    sv->started_wall_ns = clock_ns(CLOCK_REALTIME);
    sv->shard = calloc(sv->shards, sizeof *sv->shard);
    must(sv->shard != NULL);
    set_identity(sv);
    raise_descriptors(sv);
    bool well = signals_install(sv) && open_env(sv) && mail_post_open(&sv->post, sv->shards) == ERR_OK;
    if (well) run_shards(sv);
    if (sv->gate.failed) well = false;
    if (sv->post) mail_post_close(sv->post);
    if (sv->env) mr_env_close(sv->env);
    signals_remove();
    if (well) log_line(log, LOG_INFO, "Server Exiting..");
    free(sv->shard);
    free(sv);
    return well ? 0 : 1;
}
