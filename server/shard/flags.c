/* flags.c - the command line, as Go's flag package reads it, so that a command line written for nats-server
 * means the same here: one or two dashes, `-x v` or `-x=v`, booleans only as `-x` or `-x=v`, the first other
 * word ends the flags.
 *
 * What fails says the flag and what is wrong with it. Flags that nats-server knows and this version does not
 * are refused by name, never ignored: a server that runs without the TLS it was told to use is worse than
 * none. */
#include "shard/options.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "wire/conf.h"
#include "wire/gotime.h"

enum flag_kind { FLAG_BOOL, FLAG_INT, FLAG_TEXT, FLAG_SPECIAL, FLAG_REFUSED };

struct flag {
    const char *name;
    enum flag_kind kind;
    size_t at, room;
    bool (*set)(struct options *o, const char *value); /* FLAG_SPECIAL */
    bool is_bool;                                      /* of FLAG_SPECIAL and FLAG_REFUSED: takes no value */
};

/* --- values, with Go's spellings --- */

static bool read_bool(const char *text, bool *out) {
    must(text && out);
    static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True"};
    static const char *const no[] = {"0", "f", "F", "false", "FALSE", "False"};
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
        if (strcmp(text, yes[i]) != 0 && strcmp(text, no[i]) != 0) continue;
        *out = strcmp(text, yes[i]) == 0;
        return true;
    }
    return false;
}

/* NULL, or what is wrong. */
static const char *read_int(const char *text, int *out) {
    must(text && out);
    char *end;
    errno = 0;
    long v = strtol(text, &end, 0);
    if (*text == '\0' || *end || text[0] == ' ') return "parse error";
    if (errno == ERANGE || v > INT_MAX || v < INT_MIN) return "value out of range";
    *out = (int)v;
    return NULL;
}

/* The special ones. */

static bool set_trace(struct options *o, const char *value) { return read_bool(value, &o->trace); }
static bool set_debug_trace(struct options *o, const char *value) {
    if (!read_bool(value, &o->trace)) return false;
    o->debug = o->trace;
    return true;
}
static bool set_store_dir(struct options *o, const char *value) {
    if (*value == '\0' || strlen(value) >= sizeof o->store_dir) return false;
    snprintf(o->store_dir, sizeof o->store_dir, "%s", value);
    o->store_dir_given = true;
    return true;
}
static bool read_count(const char *value, int max, unsigned *out) {
    int n;
    if (read_int(value, &n) || n < 0 || n > max) return false;
    *out = (unsigned)n;
    return true;
}
static bool set_shards(struct options *o, const char *value) {
    return read_count(value, OPTIONS_SHARDS_MAX, &o->shards);
}
static bool set_poll(struct options *o, const char *value) {
    return read_count(value, OPTIONS_POLL_MAX, &o->poll_us);
}
static bool set_io(struct options *o, const char *value) { return options_io(o, span_str(value)); }
static bool set_sync(struct options *o, const char *value) { return options_sync(o, span_str(value)); }

#define BOOL(n, f)                                                                                           \
    { .name = n, .kind = FLAG_BOOL, .at = offsetof(struct options, f), .is_bool = true }
#define INT(n, f)                                                                                            \
    { .name = n, .kind = FLAG_INT, .at = offsetof(struct options, f) }
#define TEXT(n, f)                                                                                           \
    {                                                                                                        \
        .name = n, .kind = FLAG_TEXT, .at = offsetof(struct options, f),                                     \
        .room = sizeof((struct options *)0)->f                                                               \
    }
#define VALUE(n, fn)                                                                                         \
    { .name = n, .kind = FLAG_SPECIAL, .set = fn }
#define SWITCH(n, fn)                                                                                        \
    { .name = n, .kind = FLAG_SPECIAL, .set = fn, .is_bool = true }
#define NO(n)                                                                                                \
    { .name = n, .kind = FLAG_REFUSED }
#define NO_SWITCH(n)                                                                                         \
    { .name = n, .kind = FLAG_REFUSED, .is_bool = true }

static const struct flag flags[] = {
    BOOL("h", show_help),
    BOOL("help", show_help),
    BOOL("v", show_version),
    BOOL("version", show_version),
    TEXT("a", host),
    TEXT("addr", host),
    TEXT("net", host),
    INT("p", port),
    INT("port", port),
    TEXT("n", name),
    TEXT("name", name),
    TEXT("server_name", name),
    TEXT("P", pid_file),
    TEXT("pid", pid_file),
    INT("m", http_port),
    INT("http_port", http_port),
    TEXT("c", config_file),
    TEXT("config", config_file),
    BOOL("t", check_only),
    TEXT("l", log_file),
    TEXT("log", log_file),
    BOOL("T", logtime),
    BOOL("logtime", logtime),
    BOOL("logtime_utc", logtime_utc),
    BOOL("D", debug),
    BOOL("debug", debug),
    BOOL("V", trace),
    BOOL("trace", trace),
    SWITCH("VV", set_trace),
    SWITCH("DV", set_debug_trace),
    SWITCH("DVV", set_debug_trace),
    BOOL("js", jetstream),
    BOOL("jetstream", jetstream),
    VALUE("sd", set_store_dir),
    VALUE("store_dir", set_store_dir),
    VALUE("shards", set_shards),
    VALUE("io", set_io),
    VALUE("poll", set_poll),
    VALUE("sync", set_sync),
    NO("client_advertise"),
    NO("user"),
    NO("pass"),
    NO("auth"),
    NO("ms"),
    NO("https_port"),
    NO("sl"),
    NO("signal"),
    NO("ports_file_dir"),
    NO("log_size_limit"),
    NO_SWITCH("s"),
    NO_SWITCH("syslog"),
    NO("r"),
    NO("remote_syslog"),
    NO("profile"),
    NO("routes"),
    NO("cluster"),
    NO("cluster_listen"),
    NO("cluster_advertise"),
    NO_SWITCH("no_advertise"),
    NO("connect_retries"),
    NO("cluster_name"),
    NO_SWITCH("help_tls"),
    NO_SWITCH("tls"),
    NO_SWITCH("tlsverify"),
    NO("tlscert"),
    NO("tlskey"),
    NO("tlscacert"),
    NO("max_traced_msg_len"),
};
enum { FLAGS = sizeof flags / sizeof flags[0] };

static const struct flag *find(struct span name) {
    must(name.n > 0);
    for (size_t i = 0; i < FLAGS; i++) {
        if (span_eq(span_str(flags[i].name), name)) return &flags[i];
    }
    return NULL;
}

__attribute__((format(printf, 2, 3))) static bool fail(struct option_error *e, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    vsnprintf(e->text, sizeof e->text, fmt, args);
    va_end(args);
    return false;
}

static bool unknown(struct span name, struct option_error *e) {
    must(find(name) == NULL);
    const char *known[FLAGS + 1];
    size_t n = 0;
    for (size_t i = 0; i < FLAGS; i++) {
        if (flags[i].kind != FLAG_REFUSED) known[n++] = flags[i].name;
    }
    known[n] = NULL;
    const char *near = name.n > 2 ? conf_nearest(name, known) : NULL;
    return fail(e, "flag provided but not defined: -%.*s%s%s%s", (int)(name.n < 200 ? name.n : 200),
                (const char *)name.p, near ? ", did you mean -" : "", near ? near : "", near ? "?" : "");
}

static bool set_one(struct options *o, const struct flag *f, const char *value, struct option_error *e) {
    must(o && f && value);
    void *field = (char *)o + f->at;
    const char *wrong = NULL;
    switch (f->kind) {
    case FLAG_REFUSED: return fail(e, "flag -%s is not supported by this version", f->name);
    case FLAG_BOOL:
        if (!read_bool(value, field))
            return fail(e, "invalid boolean value \"%.200s\" for -%s: parse error", value, f->name);
        return true;
    case FLAG_INT: wrong = read_int(value, field); break;
    case FLAG_TEXT:
        if (strlen(value) >= f->room) {
            wrong = "too long";
        } else {
            snprintf(field, f->room, "%s", value);
        }
        break;
    case FLAG_SPECIAL:
        if (!f->set(o, value)) wrong = "parse error";
        break;
    }
    if (!wrong) return true;
    return fail(e, "invalid value \"%.200s\" for flag -%s: %s", value, f->name, wrong);
}

/* A word that is no flag: nats-server takes help and version as commands. */
static bool command(struct options *o, const char *word, struct option_error *e) {
    must(o && word);
    if (strcmp(word, "help") == 0) {
        o->show_help = true;
    } else if (strcmp(word, "version") == 0) {
        o->show_version = true;
    } else {
        return fail(e, "unrecognized command: \"%.200s\"", word);
    }
    return true;
}

bool options_flags(struct options *o, int argc, char **argv, struct option_error *e) {
    must(o && argv && e);
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        if (strcmp(arg, "--") == 0) return i + 1 == argc || command(o, argv[i + 1], e);
        if (arg[0] != '-' || arg[1] == '\0') return command(o, arg, e);
        const char *name = arg + (arg[1] == '-' ? 2 : 1), *equals = strchr(name, '=');
        if (*name == '\0' || *name == '-' || *name == '=') return fail(e, "bad flag syntax: %.200s", arg);
        struct span key = span_of(name, equals ? (size_t)(equals - name) : strlen(name));
        const struct flag *f = find(key);
        if (!f) return unknown(key, e);
        const char *value = equals ? equals + 1 : f->is_bool ? "true" : NULL;
        if (!value && f->kind == FLAG_REFUSED) return set_one(o, f, "", e);
        if (!value && i + 1 == argc) return fail(e, "flag needs an argument: -%s", f->name);
        if (!value) value = argv[++i];
        if (!set_one(o, f, value, e)) return false;
    }
    return true;
}
