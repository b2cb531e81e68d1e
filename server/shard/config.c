/* config.c - a NATS configuration file into options.
 *
 * Happy path: the file is read and parsed to a tree (wire/conf.h), each key is looked up in a table and its
 * value checked and stored. What fails names file, line and column: an unknown key with the nearest known
 * one, a value of the wrong type or out of range, and keys that nats-server knows and this version does not,
 * which are refused rather than ignored, since a `cluster` or `tls` block that does nothing would be worse.
 * The first mistake in the order of the text is reported. */
#include "shard/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "base/must.h"
#include "wire/conf.h"

enum { FILES_MAX = 256, KNOWN_MAX = 160 };

struct reader {
    struct options *o;
    struct conf_error *e;
    bool store_dir_seen;
};

enum key_kind { KEY_TEXT, KEY_INT, KEY_SIZE, KEY_BOOL, KEY_DURATION, KEY_SPECIAL, KEY_REFUSED };

struct key {
    const char *name;
    enum key_kind kind;
    size_t at, room; /* room: of KEY_TEXT; of numbers: the bytes of the field, 4 or 8 */
    int64_t min, max;
    bool (*set)(struct reader *r, const struct conf_node *n);
};

/* --- values --- */

static bool wrong(struct reader *r, const struct conf_node *n, const char *expected) {
    must(r->e && expected);
    conf_fail(r->e, n, "%.*s should be %s, not %s %s", (int)(n->key.n < 64 ? n->key.n : 64),
              (const char *)n->key.p, expected, n->kind == CONF_ARRAY || n->kind == CONF_INT ? "an" : "a",
              conf_kind_name(n->kind));
    return false;
}

static bool bad(struct reader *r, const struct conf_node *n, const char *why) {
    must(r->e && why);
    conf_fail(r->e, n, "%.*s %s", (int)(n->key.n < 64 ? n->key.n : 64), (const char *)n->key.p, why);
    return false;
}

static bool text(struct reader *r, const struct conf_node *n, char *out, size_t room) {
    must(room > 0);
    if (n->kind != CONF_STR) return wrong(r, n, "a string");
    if (n->str.n >= room || memchr(n->str.p, '\0', n->str.n)) return bad(r, n, "is too long");
    memcpy(out, n->str.p, n->str.n);
    out[n->str.n] = '\0';
    return true;
}

static bool number(struct reader *r, const struct conf_node *n, const struct key *k) {
    must(k->min <= k->max);
    must(k->room == sizeof(int) || k->room == sizeof(int64_t));
    int64_t v;
    if (k->kind == KEY_INT ? n->kind != CONF_INT : n->kind != CONF_INT && n->kind != CONF_STR)
        return wrong(r, n, k->kind == KEY_INT ? "an integer" : "a size");
    if (!conf_size(n, &v)) return bad(r, n, "should be a size, like 64MB");
    if (v < k->min) return bad(r, n, "value is too small");
    if (v > k->max) return bad(r, n, "value is too big");
    char *field = (char *)r->o + k->at;
    if (k->room == sizeof(int)) {
        int small = (int)v;
        memcpy(field, &small, sizeof small);
    } else {
        memcpy(field, &v, sizeof v);
    }
    return true;
}

static bool duration(struct reader *r, const struct conf_node *n, int64_t *ns) {
    if (n->kind == CONF_INT || n->kind == CONF_FLOAT)
        return bad(r, n, "should be converted to a duration, like \"2m\"");
    if (n->kind != CONF_STR) return wrong(r, n, "a duration");
    if (!conf_duration_ns(n, ns)) return bad(r, n, "should be a duration, like \"2m\" or \"1.5s\"");
    return true;
}

/* --- keys with rules of their own --- */

/* A port, or host:port, with an IPv6 address in brackets. */
static bool host_port(struct reader *r, const struct conf_node *n, char *host, size_t room, int *port) {
    must(host && room > 0 && port);
    uint64_t v = 0;
    if (n->kind == CONF_INT) {
        if (n->i < -1 || n->i > 65535) return bad(r, n, "is not a port");
        *port = (int)n->i;
        return true;
    }
    if (n->kind != CONF_STR) return wrong(r, n, "a port or host:port");
    struct span s = n->str;
    size_t colon = s.n;
    while (colon > 0 && s.p[colon - 1] != ':') colon--;
    struct span h = span_of(s.p, colon ? colon - 1 : 0), p = span_skip(s, colon);
    bool bracketed = h.n >= 2 && h.p[0] == '[' && h.p[h.n - 1] == ']';
    if (bracketed) h = span_of(h.p + 1, h.n - 2);
    if (colon == 0 || h.n >= room || (!bracketed && memchr(h.p, ':', h.n)))
        return bad(r, n, "could not be read as host:port");
    bool any = span_eq(p, SPAN_LIT("-1"));
    if (!any && (!get_u64(p, &v) || v > 65535))
        return bad(r, n, "could not be read: the port is no number up to 65535");
    memcpy(host, h.p, h.n);
    host[h.n] = '\0';
    *port = any ? -1 : (int)v;
    return true;
}

static bool set_listen(struct reader *r, const struct conf_node *n) {
    return host_port(r, n, r->o->host, sizeof r->o->host, &r->o->port);
}
static bool set_http(struct reader *r, const struct conf_node *n) {
    return host_port(r, n, r->o->http_host, sizeof r->o->http_host, &r->o->http_port);
}

static bool set_server_name(struct reader *r, const struct conf_node *n) {
    if (!text(r, n, r->o->name, sizeof r->o->name)) return false;
    return strchr(r->o->name, ' ') ? bad(r, n, "cannot contain spaces") : true;
}

static bool set_store_dir(struct reader *r, const struct conf_node *n) {
    if (r->store_dir_seen) {
        conf_fail(r->e, n, "Duplicate 'store_dir' configuration");
        return false;
    }
    r->store_dir_seen = true;
    if (!text(r, n, r->o->store_dir, sizeof r->o->store_dir)) return false;
    if (r->o->store_dir[0] == '\0') return bad(r, n, "is empty");
    r->o->store_dir_given = true;
    return true;
}

/* Matches nats-server here: 0 means nobody, not no limit. */
static bool set_max_connections(struct reader *r, const struct conf_node *n) {
    if (n->kind != CONF_INT) return wrong(r, n, "an integer");
    if (n->i > INT32_MAX) return bad(r, n, "value is too big");
    r->o->max_connections = n->i > 0 ? n->i : -1;
    return true;
}

static bool set_lame_duck(struct reader *r, const struct conf_node *n) {
    if (!duration(r, n, &r->o->lame_duck_ns)) return false;
    return r->o->lame_duck_ns < 30000000000ll ? bad(r, n, "is too short, minimum is 30 seconds") : true;
}

static bool set_trace(struct reader *r, const struct conf_node *n) {
    if (n->kind != CONF_BOOL) return wrong(r, n, "true or false");
    r->o->trace = n->b;
    return true;
}

static bool set_io(struct reader *r, const struct conf_node *n) {
    if (n->kind != CONF_STR) return wrong(r, n, "a string");
    return options_io(r->o, n->str) ? true : bad(r, n, "should be auto, uring or posix");
}

static bool set_sync(struct reader *r, const struct conf_node *n) {
    if (n->kind == CONF_STR && options_sync(r->o, n->str)) return true;
    return bad(r, n, "should be always or a duration, like \"2m\"");
}

/* There is none in this version, so only its absence can be asked for. */
static bool set_no_system_account(struct reader *r, const struct conf_node *n) {
    if (n->kind != CONF_BOOL) return wrong(r, n, "true or false");
    return n->b ? true : bad(r, n, "has to be true: this version has no system account");
}

static bool set_jetstream(struct reader *r, const struct conf_node *n);
static bool set_limits(struct reader *r, const struct conf_node *n);

/* --- tables --- */

#define FIELD(f) .at = offsetof(struct options, f), .room = sizeof((struct options *)0)->f
#define TEXT(n, f)                                                                                           \
    { .name = n, .kind = KEY_TEXT, FIELD(f) }
#define INT(n, f, lo, hi)                                                                                    \
    { .name = n, .kind = KEY_INT, FIELD(f), .min = lo, .max = hi }
#define SIZE(n, f, lo, hi)                                                                                   \
    { .name = n, .kind = KEY_SIZE, FIELD(f), .min = lo, .max = hi }
#define BOOL(n, f)                                                                                           \
    { .name = n, .kind = KEY_BOOL, FIELD(f) }
#define DURATION(n, f, lo)                                                                                   \
    { .name = n, .kind = KEY_DURATION, FIELD(f), .min = lo }
#define SPECIAL(n, fn)                                                                                       \
    { .name = n, .kind = KEY_SPECIAL, .set = fn }
#define NO(n)                                                                                                \
    { .name = n, .kind = KEY_REFUSED }
#define END                                                                                                  \
    { .name = NULL }

static const struct key top_keys[] = {
    SPECIAL("listen", set_listen),
    INT("port", port, -1, 65535),
    TEXT("host", host),
    TEXT("net", host),
    SPECIAL("server_name", set_server_name),
    SPECIAL("http", set_http),
    INT("http_port", http_port, -1, 65535),
    INT("monitor_port", http_port, -1, 65535),
    SIZE("max_payload", conn.max_payload, 1, INT32_MAX),
    SIZE("max_pending", conn.max_pending, 1, INT64_MAX / 4),
    SIZE("max_control_line", conn.max_control_line, 64, 1 << 24),
    SPECIAL("max_connections", set_max_connections),
    SPECIAL("max_conn", set_max_connections),
    INT("max_subscriptions", conn.max_subscriptions, 0, INT32_MAX),
    INT("max_subs", conn.max_subscriptions, 0, INT32_MAX),
    INT("max_sub_tokens", conn.max_sub_tokens, 1, 255),
    INT("max_subscription_tokens", conn.max_sub_tokens, 1, 255),
    DURATION("ping_interval", conn.ping_interval_ns, 1),
    INT("ping_max", conn.ping_max, 1, INT32_MAX),
    DURATION("write_deadline", conn.write_deadline_ns, 1),
    SPECIAL("lame_duck_duration", set_lame_duck),
    DURATION("lame_duck_grace_period", lame_duck_grace_ns, 0),
    BOOL("no_header_support", conn.no_headers),
    SPECIAL("jetstream", set_jetstream),
    SPECIAL("store_dir", set_store_dir),
    SPECIAL("storedir", set_store_dir),
    BOOL("debug", debug),
    BOOL("trace", trace),
    SPECIAL("trace_verbose", set_trace),
    BOOL("logtime", logtime),
    BOOL("logtime_utc", logtime_utc),
    TEXT("log_file", log_file),
    TEXT("logfile", log_file),
    TEXT("pid_file", pid_file),
    TEXT("pidfile", pid_file),
    INT("shards", shards, 0, OPTIONS_SHARDS_MAX),
    SPECIAL("io", set_io),
    INT("poll", poll_us, 0, OPTIONS_POLL_MAX),
    NO("client_advertise"),
    NO("server_tags"),
    NO("server_metadata"),
    NO("https"),
    NO("https_port"),
    NO("http_base_path"),
    NO("proxy_protocol"),
    NO("max_closed_clients"),
    NO("write_timeout"),
    NO("no_fast_producer_stall"),
    NO("connect_error_reports"),
    NO("reconnect_error_reports"),
    NO("disable_sublist_cache"),
    NO("no_sublist_cache"),
    NO("authorization"),
    NO("accounts"),
    NO("no_auth_user"),
    NO("mappings"),
    NO("maps"),
    NO("tls"),
    NO("allow_non_tls"),
    NO("ocsp"),
    NO("ocsp_cache"),
    NO("operator"),
    NO("operators"),
    NO("root"),
    NO("roots"),
    NO("root_operator"),
    NO("root_operators"),
    NO("resolver"),
    NO("account_resolver"),
    NO("accounts_resolver"),
    NO("resolver_preload"),
    NO("resolver_pinned_accounts"),
    NO("resolver_tls"),
    NO("trusted"),
    NO("trusted_keys"),
    NO("system_account"),
    NO("system"),
    SPECIAL("no_system_account", set_no_system_account),
    SPECIAL("no_system", set_no_system_account),
    SPECIAL("no_sys_acc", set_no_system_account),
    NO("default_sentinel"),
    NO("proxies"),
    NO("default_js_domain"),
    NO("trace_headers"),
    NO("log_size_limit"),
    NO("logfile_size_limit"),
    NO("log_max_num"),
    NO("logfile_max_num"),
    NO("syslog"),
    NO("remote_syslog"),
    NO("max_traced_msg_len"),
    NO("ports_file_dir"),
    NO("prof_port"),
    NO("prof_block_rate"),
    NO("cluster"),
    NO("gateway"),
    NO("leafnodes"),
    NO("leaf"),
    NO("websocket"),
    NO("ws"),
    NO("mqtt"),
    NO("feature_flags"),
    END,
};

static const struct key jetstream_keys[] = {
    BOOL("enabled", jetstream),
    BOOL("enable", jetstream),
    SPECIAL("store_dir", set_store_dir),
    SPECIAL("storedir", set_store_dir),
    SPECIAL("store", set_store_dir),
    SIZE("max_memory_store", js.max_memory, 0, INT64_MAX),
    SIZE("max_mem_store", js.max_memory, 0, INT64_MAX),
    SIZE("max_mem", js.max_memory, 0, INT64_MAX),
    SIZE("max_file_store", js.max_store, 0, INT64_MAX),
    SIZE("max_file", js.max_store, 0, INT64_MAX),
    TEXT("domain", domain),
    SPECIAL("sync_interval", set_sync),
    SPECIAL("sync", set_sync),
    BOOL("strict", js.strict),
    SPECIAL("limits", set_limits),
    SIZE("cache", cache_bytes, 0, INT64_MAX / 4),
    NO("key"),
    NO("ek"),
    NO("encryption_key"),
    NO("prev_key"),
    NO("prev_ek"),
    NO("prev_encryption_key"),
    NO("cipher"),
    NO("extension_hint"),
    NO("tpm"),
    NO("unique_tag"),
    NO("max_outstanding_catchup"),
    NO("max_buffered_size"),
    NO("max_buffered_msgs"),
    NO("request_queue_limit"),
    NO("info_queue_limit"),
    NO("meta_compact"),
    NO("meta_compact_size"),
    NO("meta_compact_sync"),
    NO("max_concurrent_io"),
    END,
};

static const struct key limits_keys[] = {
    INT("max_ack_pending", js.max_ack_pending, -1, INT32_MAX),
    INT("max_request_batch", js.max_request_batch, -1, INT32_MAX),
    DURATION("duplicate_window", js.duplicate_window_ns, 0),
    NO("max_ha_assets"),
    NO("default_max_consumers"),
    NO("batch"),
    END,
};

/* --- walking the tree --- */

static bool set_one(struct reader *r, const struct key *k, const struct conf_node *n) {
    must(k->name && (k->kind != KEY_SPECIAL || k->set));
    char *field = (char *)r->o + k->at;
    int64_t ns;
    switch (k->kind) {
    case KEY_TEXT: return text(r, n, field, k->room);
    case KEY_INT:
    case KEY_SIZE: return number(r, n, k);
    case KEY_BOOL:
        if (n->kind != CONF_BOOL) return wrong(r, n, "true or false");
        memcpy(field, &n->b, sizeof n->b);
        return true;
    case KEY_DURATION:
        if (!duration(r, n, &ns)) return false;
        if (ns < k->min) return bad(r, n, k->min ? "needs to be positive" : "cannot be negative");
        memcpy(field, &ns, sizeof ns);
        return true;
    case KEY_SPECIAL: return k->set(r, n);
    case KEY_REFUSED: break;
    }
    conf_fail(r->e, n, "\"%s\" is not supported by this version", k->name);
    return false;
}

static bool unknown(struct reader *r, const struct key *keys, const struct conf_node *n) {
    const char *known[KNOWN_MAX];
    size_t count = 0;
    for (; keys->name; keys++) {
        must(count + 1 < KNOWN_MAX);
        if (keys->kind != KEY_REFUSED) known[count++] = keys->name;
    }
    known[count] = NULL;
    const char *near = conf_nearest(n->key, known);
    conf_fail(r->e, n, "unknown field \"%.*s\"%s%s%s", (int)(n->key.n < 64 ? n->key.n : 64),
              (const char *)n->key.p, near ? ", did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    return false;
}

static bool walk(struct reader *r, const struct key *keys, const struct conf_node *map) {
    must(map->kind == CONF_MAP);
    conf_each(n, map) {
        const struct key *k = keys;
        while (k->name && !conf_key_is(n, k->name)) k++;
        if (k->name ? !set_one(r, k, n) : !n->used && !unknown(r, keys, n)) return false;
    }
    return true;
}

static bool set_limits(struct reader *r, const struct conf_node *n) {
    return n->kind == CONF_MAP ? walk(r, limits_keys, n) : wrong(r, n, "a map");
}

static bool set_jetstream(struct reader *r, const struct conf_node *n) {
    static const char *const on[] = {"enabled", "enable"}, *const off[] = {"disabled", "disable"};
    switch (n->kind) {
    case CONF_BOOL: r->o->jetstream = n->b; return true;
    case CONF_MAP: r->o->jetstream = true; return walk(r, jetstream_keys, n);
    case CONF_STR:
        for (size_t i = 0; i < 2; i++) {
            bool yes = strcasecmp((const char *)n->str.p, on[i]) == 0;
            if (!yes && strcasecmp((const char *)n->str.p, off[i]) != 0) continue;
            r->o->jetstream = yes;
            return true;
        }
        return bad(r, n, "should be enabled or disabled");
    default: return wrong(r, n, "a map, true, false or \"enabled\"");
    }
}

/* --- reading --- */

struct files {
    void *text[FILES_MAX];
    size_t count;
};

static const char *read_whole(FILE *f, struct span *out, void **keep) {
    must(f && out && keep);
    size_t n = 0, room = 0;
    char *p = NULL;
    for (;;) {
        if (n == room) {
            if (room > (size_t)CONF_BYTES_MAX) break;
            room = room ? room * 2 : 16384;
            char *more = realloc(p, room);
            if (!more) break;
            p = more;
        }
        size_t got = fread(p + n, 1, room - n, f);
        n += got;
        if (got > 0) continue;
        if (ferror(f)) break;
        *keep = p;
        *out = span_of(p, n);
        return NULL;
    }
    free(p);
    return room > (size_t)CONF_BYTES_MAX ? "too large" : "cannot be read";
}

static const char *read_file(void *ctx, const char *path, struct span *out) {
    struct files *files = ctx;
    if (files->count == FILES_MAX) return "too many files";
    FILE *f = fopen(path, "re");
    if (!f)
        return errno == ENOENT   ? "no such file or directory"
               : errno == EACCES ? "permission denied"
                                 : "cannot be opened";
    const char *why = read_whole(f, out, &files->text[files->count]);
    fclose(f);
    if (!why) files->count++;
    return why;
}

static const char *read_env(void *ctx, const char *name) {
    (void)ctx;
    return getenv(name);
}

bool options_file(struct options *o, const char *path, struct option_error *e) {
    struct files files = {.count = 0};
    struct conf_source src = {.read = read_file, .env = read_env, .ctx = &files};
    struct conf_error ce = {.text = ""};
    struct reader r = {.o = o, .e = &ce};
    struct conf c;
    must(o && path && e);
    bool ok = conf_parse(&c, path, &src, &ce);
    if (ok) {
        ok = walk(&r, top_keys, c.root);
        conf_deinit(&c);
    }
    for (size_t i = 0; i < files.count; i++) free(files.text[i]);
    if (ok) {
        snprintf(o->config_file, sizeof o->config_file, "%s", path);
    } else {
        conf_error_text(&ce, e->text, sizeof e->text);
    }
    return ok;
}
