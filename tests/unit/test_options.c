/* What an operator can say, by flag and by file, what it means, and every way of saying it wrong; log lines
 * and the banner. */
#include "shard/options.h"

#include <fcntl.h>
#include <pthread.h>
#include <regex.h>

#include "lib/check.h"
#include "shard/banner.h"
#include "shard/logfile.h"

#define SEC 1000000000ll
#define MIB (1ll << 20)

/* --- flags --- */

static bool flags_of(struct options *o, struct option_error *e, const char *line) {
    static char copy[1024];
    char *argv[64] = {(char *)"millrace"};
    int argc = 1;
    snprintf(copy, sizeof copy, "%s", line);
    for (char *at = strtok(copy, " "); at; at = strtok(NULL, " ")) argv[argc++] = at;
    *e = (struct option_error){""};
    return options_flags(o, argc, argv, e);
}

static struct options good_flags(const char *line) {
    struct options o;
    struct option_error e;
    options_defaults(&o);
    if (!flags_of(&o, &e, line)) fprintf(stderr, "%s: %s\n", line, e.text);
    CHECK_STR(e.text, "");
    return o;
}

static void bad_flags(const char *line, const char *text) {
    struct options o;
    struct option_error e;
    options_defaults(&o);
    CHECK(!flags_of(&o, &e, line));
    CHECK_STR(e.text, text);
}

static void defaults(void) {
    struct options o = good_flags("");
    CHECK_STR(o.host, "0.0.0.0");
    CHECK_EQ(o.port, 4222);
    CHECK(!o.jetstream && !o.debug && !o.trace && o.logtime && !o.logtime_utc);
    CHECK_STR(o.store_dir, "./data");
    CHECK(!o.store_dir_given);
    CHECK(o.sync_always);
    CHECK_EQ(o.sync_interval_ns, 120 * SEC);
    CHECK_EQ(o.io, IO_AUTO);
    CHECK_EQ(o.max_connections, 65536);
    CHECK_EQ(o.conn.max_payload, MIB);
    CHECK_EQ(o.conn.max_pending, 64 * MIB);
    CHECK_EQ(o.conn.max_control_line, 4096);
    CHECK_EQ(o.conn.ping_interval_ns, 120 * SEC);
    CHECK_EQ(o.conn.write_deadline_ns, 10 * SEC);
    CHECK_EQ(o.conn.auth_timeout_ns, 2 * SEC);
    CHECK_EQ(o.conn.ping_max, 2);
    CHECK_EQ(o.lame_duck_ns, 120 * SEC);
    CHECK_EQ(o.lame_duck_grace_ns, 10 * SEC);
    CHECK(o.js.strict);
}

static void spellings(void) {
    struct options o = good_flags("-p 4333 --addr=127.0.0.1 -js -n east");
    CHECK_EQ(o.port, 4333);
    CHECK_STR(o.host, "127.0.0.1");
    CHECK_STR(o.name, "east");
    CHECK(o.jetstream);
    CHECK_EQ(good_flags("--port=-1").port, -1);
    CHECK_EQ(good_flags("-p 0x10").port, 16);
    CHECK(!good_flags("-js -js=false").jetstream);
    CHECK(good_flags("-js=T").jetstream);
    CHECK(!good_flags("-T=0").logtime);
    CHECK(!good_flags("--logtime=false").logtime);
    CHECK(good_flags("--logtime_utc").logtime_utc);
    o = good_flags("-DV");
    CHECK(o.debug && o.trace);
    o = good_flags("-DV -DV=false");
    CHECK(!o.debug && !o.trace);
    o = good_flags("-V");
    CHECK(!o.debug && o.trace);
    o = good_flags("-D");
    CHECK(o.debug && !o.trace);
    o = good_flags("-sd /tmp/x -l /tmp/l -P /tmp/p -m 8222 -c /tmp/c -t");
    CHECK_STR(o.store_dir, "/tmp/x");
    CHECK(o.store_dir_given && o.check_only);
    CHECK_STR(o.log_file, "/tmp/l");
    CHECK_STR(o.pid_file, "/tmp/p");
    CHECK_STR(o.config_file, "/tmp/c");
    CHECK_EQ(o.http_port, 8222);
    o = good_flags("--shards 3 --io posix --sync 90s --poll 50");
    CHECK_EQ(o.poll_us, 50);
    CHECK_EQ(o.shards, 3);
    CHECK_EQ(o.io, IO_POSIX);
    CHECK(!o.sync_always);
    CHECK_EQ(o.sync_interval_ns, 90 * SEC);
    CHECK(good_flags("--sync 90s --sync always").sync_always);
    CHECK(good_flags("-h").show_help);
    CHECK(good_flags("--version").show_version);
    CHECK(good_flags("-p 1 help").show_help);
    CHECK(good_flags("-- version").show_version);
}

static void mistakes_in_flags(void) {
    bad_flags("-bogus", "flag provided but not defined: -bogus");
    bad_flags("--shard 2", "flag provided but not defined: -shard, did you mean -shards?");
    bad_flags("-p", "flag needs an argument: -p");
    bad_flags("-p abc", "invalid value \"abc\" for flag -p: parse error");
    bad_flags("-p=", "invalid value \"\" for flag -p: parse error");
    bad_flags("-p 99999999999999999999",
              "invalid value \"99999999999999999999\" for flag -p: value out of range");
    bad_flags("-js=maybe", "invalid boolean value \"maybe\" for -js: parse error");
    bad_flags("---p 1", "bad flag syntax: ---p");
    bad_flags("-=x", "bad flag syntax: -=x");
    bad_flags("start", "unrecognized command: \"start\"");
    bad_flags("-js true", "unrecognized command: \"true\""); /* booleans take no value from the next word */
    bad_flags("--cluster nats://x", "flag -cluster is not supported by this version");
    bad_flags("--tls", "flag -tls is not supported by this version");
    bad_flags("--user=x", "flag -user is not supported by this version");
    bad_flags("-sl", "flag -sl is not supported by this version");
    bad_flags("--shards 65", "invalid value \"65\" for flag -shards: parse error");
    bad_flags("--io epoll", "invalid value \"epoll\" for flag -io: parse error");
    bad_flags("--poll 1000001", "invalid value \"1000001\" for flag -poll: parse error");
    bad_flags("--poll -1", "invalid value \"-1\" for flag -poll: parse error");
    bad_flags("--sync 0s", "invalid value \"0s\" for flag -sync: parse error");
    bad_flags("--sync never", "invalid value \"never\" for flag -sync: parse error");
}

/* --- file --- */

static char dir[] = "/tmp/millrace-options-XXXXXX";
static char path[128];

static void write_config(const char *text) {
    static bool made;
    if (!made) CHECK(mkdtemp(dir) != NULL);
    made = true;
    snprintf(path, sizeof path, "%s/a.conf", dir);
    FILE *f = fopen(path, "w");
    CHECK(f != NULL);
    CHECK(fputs(text, f) >= 0);
    CHECK_EQ(fclose(f), 0);
}
static void remove_config(void) {
    CHECK_EQ(unlink(path), 0);
    CHECK_EQ(rmdir(dir), 0);
}

static struct options good_file(const char *text) {
    struct options o;
    struct option_error e = {""};
    options_defaults(&o);
    write_config(text);
    if (!options_file(&o, path, &e)) fprintf(stderr, "%s\n", text);
    CHECK_STR(e.text, "");
    return o;
}

/* The error without the folder: "a.conf:1:2: ...". */
static void bad_file(const char *text, const char *error) {
    struct options o;
    struct option_error e = {""};
    options_defaults(&o);
    write_config(text);
    CHECK(!options_file(&o, path, &e));
    CHECK(strncmp(e.text, dir, strlen(dir)) == 0);
    CHECK_STR(e.text + strlen(dir) + 1, error);
}

static void a_whole_file(void) {
    struct options o = good_file(
        "# the one the load generator writes\n"
        "listen: \"127.0.0.1:15333\"\n"
        "jetstream { store_dir: \"/tmp/js\", max_mem: 4G, max_file: 20GB, sync_interval: always }\n");
    CHECK_STR(o.host, "127.0.0.1");
    CHECK_EQ(o.port, 15333);
    CHECK(o.jetstream && o.store_dir_given && o.sync_always);
    CHECK_STR(o.store_dir, "/tmp/js");
    CHECK_EQ(o.js.max_memory, 4000000000ll);
    CHECK_EQ(o.js.max_store, 20ll << 30);
    o = good_file(
        "host: ::1, port = 4333\nserver_name \"n1\"\nmax_payload: 2MB\nmax_pending: 32MB\nmax_control_line: "
        "8KB\n"
        "max_connections: 10\nmax_subs: 5\nmax_sub_tokens: 7\nping_interval: \"20s\"\nping_max: 3\n"
        "write_deadline: \"3s\"\nlame_duck_duration: \"40s\"\nlame_duck_grace_period: "
        "\"5s\"\nno_header_support: true\n"
        "debug: yes\ntrace: on\nlogtime: false\nlogtime_utc: true\nlog_file: /tmp/l\npid_file: /tmp/p\n"
        "http: \"[::1]:8222\"\nshards: 2\nio: uring\npoll: 75\n"
        "jetstream: { enabled: false, domain: hub, max_memory_store: \"1G\", strict: off, cache: 64MB,\n"
        "  sync: \"2m\",\n"
        "  limits { max_ack_pending: 100, max_request_batch: 50, duplicate_window: \"1m\" } }\n");
    CHECK_STR(o.host, "::1");
    CHECK_EQ(o.port, 4333);
    CHECK_STR(o.name, "n1");
    CHECK_EQ(o.conn.max_payload, 2 * MIB);
    CHECK_EQ(o.conn.max_pending, 32 * MIB);
    CHECK_EQ(o.conn.max_control_line, 8192);
    CHECK_EQ(o.max_connections, 10);
    CHECK_EQ(o.conn.max_subscriptions, 5);
    CHECK_EQ(o.conn.max_sub_tokens, 7);
    CHECK_EQ(o.conn.ping_interval_ns, 20 * SEC);
    CHECK_EQ(o.conn.ping_max, 3);
    CHECK_EQ(o.conn.write_deadline_ns, 3 * SEC);
    CHECK_EQ(o.lame_duck_ns, 40 * SEC);
    CHECK_EQ(o.lame_duck_grace_ns, 5 * SEC);
    CHECK(o.conn.no_headers && o.debug && o.trace && !o.logtime && o.logtime_utc && !o.jetstream &&
          !o.js.strict);
    CHECK_STR(o.log_file, "/tmp/l");
    CHECK_STR(o.pid_file, "/tmp/p");
    CHECK_STR(o.http_host, "::1");
    CHECK_EQ(o.http_port, 8222);
    CHECK_EQ(o.shards, 2);
    CHECK_EQ(o.io, IO_URING);
    CHECK_EQ(o.poll_us, 75);
    CHECK_STR(o.domain, "hub");
    CHECK_EQ(o.js.max_memory, 1ll << 30);
    CHECK_EQ(o.cache_bytes, 64 * MIB);
    CHECK(!o.sync_always);
    CHECK_EQ(o.sync_interval_ns, 120 * SEC);
    CHECK_EQ(o.js.max_ack_pending, 100);
    CHECK_EQ(o.js.max_request_batch, 50);
    CHECK_EQ(o.js.duplicate_window_ns, 60 * SEC);
    remove_config();
}

static void values_in_files(void) {
    CHECK(good_file("jetstream: enabled").jetstream);
    CHECK(!good_file("jetstream: disabled").jetstream);
    CHECK(good_file("JetStream: true").jetstream);
    CHECK(good_file("jetstream {}").jetstream);
    CHECK_EQ(good_file("listen: 4444").port, 4444);
    CHECK_STR(good_file("listen: 4444").host, "0.0.0.0");
    CHECK_STR(good_file("listen: \":4444\"").host, "");
    CHECK_EQ(good_file("listen: \"localhost:-1\"").port, -1);
    CHECK_EQ(good_file("max_connections: 0").max_connections, -1); /* nobody, as in nats-server */
    CHECK_EQ(good_file("PORT = 4555\nhost: \"127.0.0.1\"\nP: 1, PORT: $P").port, 1);
    CHECK_STR(good_file("dir: /tmp/y\nstore_dir: $dir").store_dir,
              "/tmp/y"); /* a key used as a variable is no mistake */
    CHECK(good_file("").port == 4222);
    remove_config();
}

static void mistakes_in_files(void) {
    bad_file("port: 4222\nmax_payloads: 1\n",
             "a.conf:2:1: unknown field \"max_payloads\", did you mean \"max_payload\"?");
    bad_file("zebra: 1", "a.conf:1:1: unknown field \"zebra\"");
    bad_file("jetstream {\n  sore_dir: x\n}",
             "a.conf:2:3: unknown field \"sore_dir\", did you mean \"store_dir\"?");
    bad_file("jetstream { limits { max_ack: 1 } }", "a.conf:1:22: unknown field \"max_ack\"");
    bad_file("cluster { port: 6222 }", "a.conf:1:1: \"cluster\" is not supported by this version");
    bad_file("a_b: 1\ncluster {}", "a.conf:1:1: unknown field \"a_b\"");
    bad_file("jetstream { key: secret }", "a.conf:1:13: \"key\" is not supported by this version");
    bad_file("tls {}", "a.conf:1:1: \"tls\" is not supported by this version");
    bad_file("authorization { user: a }", "a.conf:1:1: \"authorization\" is not supported by this version");
    bad_file("port: \"x\"", "a.conf:1:1: port should be an integer, not a string");
    bad_file("port: 65536", "a.conf:1:1: port value is too big");
    bad_file("debug: 1", "a.conf:1:1: debug should be true or false, not an integer");
    bad_file("server_name: 1", "a.conf:1:1: server_name should be a string, not an integer");
    bad_file("server_name: \"a b\"", "a.conf:1:1: server_name cannot contain spaces");
    bad_file("ping_interval: 120",
             "a.conf:1:1: ping_interval should be converted to a duration, like \"2m\"");
    bad_file("ping_interval: soon",
             "a.conf:1:1: ping_interval should be a duration, like \"2m\" or \"1.5s\"");
    bad_file("ping_interval: \"0s\"", "a.conf:1:1: ping_interval needs to be positive");
    bad_file("max_payload: 3GB", "a.conf:1:1: max_payload value is too big");
    bad_file("max_payload: -1", "a.conf:1:1: max_payload value is too small");
    bad_file("max_payload: many", "a.conf:1:1: max_payload should be a size, like 64MB");
    bad_file("max_payload: [1]", "a.conf:1:1: max_payload should be a size, not an array");
    bad_file("max_sub_tokens: 256", "a.conf:1:1: max_sub_tokens value is too big");
    bad_file("lame_duck_duration: \"10s\"",
             "a.conf:1:1: lame_duck_duration is too short, minimum is 30 seconds");
    bad_file("listen: nowhere", "a.conf:1:1: listen could not be read as host:port");
    bad_file("listen: \"::1:4222\"", "a.conf:1:1: listen could not be read as host:port");
    bad_file("listen: \"a:b\"", "a.conf:1:1: listen could not be read: the port is no number up to 65535");
    bad_file("listen: true", "a.conf:1:1: listen should be a port or host:port, not a boolean");
    bad_file("jetstream: 3",
             "a.conf:1:1: jetstream should be a map, true, false or \"enabled\", not an integer");
    bad_file("jetstream: on_please", "a.conf:1:1: jetstream should be enabled or disabled");
    bad_file("jetstream { sync: 3 }", "a.conf:1:13: sync should be always or a duration, like \"2m\"");
    bad_file("io: fast", "a.conf:1:1: io should be auto, uring or posix");
    bad_file("store_dir: a\njetstream { store_dir: b }", "a.conf:2:13: Duplicate 'store_dir' configuration");
    remove_config();
    struct options o;
    struct option_error e = {""};
    options_defaults(&o);
    CHECK(!options_file(&o, "/tmp/millrace-no-such-file", &e));
    CHECK(strstr(e.text, "no such file") != NULL);
}

/* --- together --- */

static void settled(void) {
    struct option_error e = {""};
    struct options o = good_flags("-js -sd /tmp/millrace-not-there-yet/x");
    CHECK(options_settle(&o, &e));
    CHECK(o.shards >= 1 && o.shards <= OPTIONS_SHARDS_MAX);
    CHECK(o.js.max_memory > 0 && o.js.max_store > 0);
    CHECK(o.conn.outbox_max > 0 && o.conn.ingest_max > 0);
    CHECK_EQ(o.js.max_payload, MIB);
    CHECK(o.js.domain == NULL);
    o = good_flags("-p 0");
    CHECK(options_settle(&o, &e));
    CHECK_EQ(o.port, 4222);
    o.conn.max_payload = 65 * MIB;
    CHECK(!options_settle(&o, &e));
    CHECK_STR(e.text, "max_payload (68157440) cannot be higher than max_pending (67108864)");
    o = good_flags("");
    o.lame_duck_grace_ns = o.lame_duck_ns;
    CHECK(!options_settle(&o, &e));
    CHECK_STR(e.text,
              "lame duck grace period (2m0s) should be strictly lower than lame duck duration (2m0s)");
    o = good_flags("-p 70000");
    CHECK(!options_settle(&o, &e));
}

/* Runs options_read() with its output caught. */
static bool read_as_main(struct options *o, char **argv, int *status, char *out, size_t room) {
    int argc = 0, pipes[2];
    while (argv[argc]) argc++;
    CHECK_EQ(pipe(pipes), 0);
    fflush(NULL);
    int saved_out = dup(1), saved_err = dup(2);
    dup2(pipes[1], 1);
    dup2(pipes[1], 2);
    bool run = options_read(o, argc, argv, status);
    fflush(NULL);
    dup2(saved_out, 1);
    dup2(saved_err, 2);
    close(saved_out);
    close(saved_err);
    close(pipes[1]);
    size_t n = 0;
    ssize_t k;
    while (n + 1 < room && (k = read(pipes[0], out + n, room - 1 - n)) > 0) n += (size_t)k;
    out[n] = '\0';
    close(pipes[0]);
    return run;
}

static void as_main(void) {
    struct options o;
    char out[8192], expected[300];
    int status = -1;
    CHECK(!read_as_main(&o, (char *[]){"m", "-v", NULL}, &status, out, sizeof out));
    CHECK_EQ(status, 0);
    CHECK_STR(out, "millrace: v0.1.0 (NATS protocol 2.15.2)\n");
    CHECK(!read_as_main(&o, (char *[]){"m", "-h", NULL}, &status, out, sizeof out));
    CHECK_EQ(status, 0);
    CHECK(strstr(out, "Usage: millrace [options]\n") != NULL);
    CHECK(!read_as_main(&o, (char *[]){"m", "-bogus", NULL}, &status, out, sizeof out));
    CHECK_EQ(status, 2);
    CHECK_STR(out, "millrace: flag provided but not defined: -bogus\nrun millrace -h for the flags\n");
    CHECK(!read_as_main(&o, (char *[]){"m", "-t", NULL}, &status, out, sizeof out));
    CHECK_EQ(status, 1);
    CHECK_STR(out, "millrace: must specify [-c, --config] option to check configuration file syntax\n");
    write_config("debug: true\nport: 4999\n");
    CHECK(!read_as_main(&o, (char *[]){"m", "-t", "-c", path, NULL}, &status, out, sizeof out));
    CHECK_EQ(status, 0);
    snprintf(expected, sizeof expected, "millrace: configuration file %s is valid\n", path);
    CHECK_STR(out, expected);
    CHECK(read_as_main(&o, (char *[]){"m", "-c", path, "-p", "4998", "-D=false", NULL}, &status, out,
                       sizeof out));
    CHECK_STR(out, "");
    CHECK_EQ(o.port, 4998);
    CHECK(!o.debug);
    CHECK_STR(o.config_file, path);
    CHECK(read_as_main(&o, (char *[]){"m", "-c", path, NULL}, &status, out, sizeof out));
    CHECK(o.debug);
    write_config("port: x\n");
    CHECK(!read_as_main(&o, (char *[]){"m", "-c", path, NULL}, &status, out, sizeof out));
    CHECK_EQ(status, 1);
    snprintf(expected, sizeof expected, "millrace: %s:1:1: port should be an integer, not a string\n", path);
    CHECK_STR(out, expected);
    remove_config();
}

/* --- log --- */

static void matches(const char *text, const char *pattern) {
    regex_t re;
    CHECK_EQ(regcomp(&re, pattern, REG_EXTENDED | REG_NEWLINE), 0);
    if (regexec(&re, text, 0, NULL, 0) != 0) {
        fprintf(stderr, "%s\ndoes not match %s\n", text, pattern);
        exit(1);
    }
    regfree(&re);
}

static void slurp(const char *name, char *out, size_t room) {
    FILE *f = fopen(name, "r");
    CHECK(f != NULL);
    size_t n = fread(out, 1, room - 1, f);
    out[n] = '\0';
    fclose(f);
}

static void log_lines(void) {
    struct options o = good_flags("-V");
    struct option_error e = {""};
    struct logfile lf;
    char text[4096], old[160];
    write_config("");
    snprintf(o.log_file, sizeof o.log_file, "%s/log", dir);
    CHECK(logfile_open(&lf, &o, &e));
    log_line(&lf.log, LOG_INFO, "one %d", 1);
    log_line(&lf.log, LOG_DEBUG, "not shown");
    log_line(&lf.log, LOG_TRACE, "two\nlines");
    slurp(o.log_file, text, sizeof text);
    matches(text, "^\\[[0-9]+\\] 20[0-9][0-9]/[01][0-9]/[0-3][0-9] "
                  "[0-2][0-9]:[0-5][0-9]:[0-6][0-9]\\.[0-9]{6} \\[INF\\] one 1$");
    matches(text, " \\[TRC\\] two\\?lines$");
    CHECK(strstr(text, "not shown") == NULL);
    snprintf(old, sizeof old, "%s/log.1", dir);
    CHECK_EQ(rename(o.log_file, old), 0);
    log_line(&lf.log, LOG_WARN, "still in the old file");
    CHECK(logfile_reopen(&lf));
    log_line(&lf.log, LOG_ERROR, "in the new file");
    logfile_close(&lf);
    slurp(old, text, sizeof text);
    matches(text, "\\[WRN\\] still in the old file$");
    CHECK(strstr(text, "new file") == NULL);
    slurp(o.log_file, text, sizeof text);
    matches(text, "\\[ERR\\] in the new file$");
    CHECK_EQ(unlink(old), 0);
    CHECK_EQ(unlink(o.log_file), 0);
    o.logtime = false;
    CHECK(logfile_open(&lf, &o, &e));
    log_line(&lf.log, LOG_INFO, "timeless");
    logfile_close(&lf);
    slurp(o.log_file, text, sizeof text);
    matches(text, "^\\[[0-9]+\\] \\[INF\\] timeless$");
    CHECK_EQ(unlink(o.log_file), 0);
    snprintf(o.log_file, sizeof o.log_file, "%s/none/log", dir);
    CHECK(!logfile_open(&lf, &o, &e));
    CHECK(strstr(e.text, "cannot open log file") != NULL);
    remove_config();
}

enum { WRITERS = 4, LINES_EACH = 500 };
static void *write_lines(void *arg) {
    struct logfile *lf = arg;
    for (int i = 0; i < LINES_EACH; i++) log_line(&lf->log, LOG_INFO, "%0200d", i);
    return NULL;
}

static void lines_do_not_mix(void) {
    struct options o = good_flags("");
    struct option_error e = {""};
    struct logfile lf;
    pthread_t t[WRITERS];
    char line[1024];
    int lines = 0;
    write_config("");
    snprintf(o.log_file, sizeof o.log_file, "%s/log", dir);
    CHECK(logfile_open(&lf, &o, &e));
    for (int i = 0; i < WRITERS; i++) CHECK_EQ(pthread_create(&t[i], NULL, write_lines, &lf), 0);
    for (int i = 0; i < 20; i++) CHECK(logfile_reopen(&lf));
    for (int i = 0; i < WRITERS; i++) CHECK_EQ(pthread_join(t[i], NULL), 0);
    logfile_close(&lf);
    FILE *f = fopen(o.log_file, "r");
    CHECK(f != NULL);
    size_t length = 0;
    for (; fgets(line, sizeof line, f); lines++) {
        if (length == 0) length = strlen(line);
        CHECK_EQ(strlen(line), length);
    }
    fclose(f);
    CHECK_EQ(lines, WRITERS * LINES_EACH);
    CHECK_EQ(unlink(o.log_file), 0);
    remove_config();
}

/* --- banner --- */

static char said[8192];
static void say(void *ctx, enum log_level level, const char *text) {
    (void)ctx;
    size_t n = strlen(said);
    snprintf(said + n, sizeof said - n, "%s%s\n", level == LOG_WARN ? "WRN " : "", text);
}

static void banner(void) {
    struct log log = {.level = LOG_INFO, .line = say};
    struct options o = good_flags("-js -a 0.0.0.0");
    struct startup_facts f = {.version = "0.1.0",
                              .server_id = "NID",
                              .server_name = "east",
                              .shards = 2,
                              .io_backend = "uring",
                              .port = 4222,
                              .store_dir = "./data",
                              .fs = {.type = "ext4", .free_bytes = 10ull << 30, .direct = true},
                              .durable_write_ns = 212000,
                              .pages = MEM_THP,
                              .pages_how = "how to get them",
                              .start_ns = 12000000};
    o.js.max_store = 20ll << 30;
    o.js.max_memory = 3ll << 29;
    banner_print(&log, &o, &f);
    CHECK_STR(said, "Starting millrace\n"
                    "  Version:  0.1.0 (NATS protocol 2.15.2)\n"
                    "  Name:     east\n"
                    "  ID:       NID\n"
                    "  Shards:   2 over io_uring, up after 12 ms\n"
                    "  Limits:   65536 clients, 1 MiB a message, 64 MiB pending a client\n"
                    "  Store:    ./data on ext4, 10 GiB free, at most 20 GiB used\n"
                    "  Durable:  always, acknowledged is on disk; a 4 KiB durable write takes 0.21 ms here\n"
                    "  Memory:   at most 1.5 GiB for memory streams, on transparent huge pages\n"
                    "            how to get them\n"
                    "  Try:      nats pub hello world -s nats://127.0.0.1:4222\n"
                    "Listening for client connections on 0.0.0.0:4222\n"
                    "Server is ready\n");
    said[0] = '\0';
    o = good_flags("-a ::1 --sync 2m");
    f = (struct startup_facts){.version = "0.1.0",
                               .server_id = "NID",
                               .server_name = "east",
                               .shards = 1,
                               .io_backend = "posix",
                               .io_why = "it is forbidden",
                               .port = 1};
    banner_print(&log, &o, &f);
    CHECK(strstr(said, "WRN no io_uring: it is forbidden\n") != NULL);
    CHECK(strstr(said, "JetStream is off") != NULL);
    CHECK(strstr(said, "-s nats://[::1]:1\nListening for client connections on [::1]:1\nServer is ready\n") !=
          NULL);
    said[0] = '\0';
    f.store_dir = "d";
    f.streams = 2;
    f.messages = 5;
    f.recovery_ns = 1500000;
    banner_print(&log, &o, &f);
    CHECK(strstr(said, "  Durable:  on disk within 2m0s\n") != NULL);
    CHECK(strstr(said, "  Found:    2 streams, 0 consumers, 5 messages (0 B) in 1.5 ms\n") != NULL);
}

CHECK_MAIN(CASE(defaults), CASE(spellings), CASE(mistakes_in_flags), CASE(a_whole_file),
           CASE(values_in_files), CASE(mistakes_in_files), CASE(settled), CASE(as_main), CASE(log_lines),
           CASE(lines_do_not_mix), CASE(banner))
