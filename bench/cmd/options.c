/* options.c - see options.h. */
#include "cmd/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/must.h"
#include "wire/gotime.h"

static const char *const commands[CMD_COUNT] = {"throughput", "latency", "storage", "consume", "fanout",
                                                "request",    "limits",  "compare", "suite",   "shapes"};
static const char *const command_help[CMD_COUNT] = {
    "closed loop: each connection keeps a window of messages under way",
    "open loop: messages leave by a schedule; a sweep up to saturation, or fixed rates",
    "memory against file, synced at an interval, against file durable: the same work, one table",
    "pull consumers: catch-up with and without acknowledgements, or following publishers (--rate)",
    "publishers to many subscribers",
    "request and reply",
    "what this machine allows: system call, loopback, memory, durable writes, waking another core",
    "two earlier results (--json) beside each other: compare A.json B.json",
    "a list of works, one a line `name: command options`: suite FILE",
    "the same work with little and with much of something: what grows that should not"};

enum {
    LOAD = 1 << CMD_THROUGHPUT | 1 << CMD_LATENCY | 1 << CMD_STORAGE | 1 << CMD_CONSUME | 1 << CMD_FANOUT |
           1 << CMD_REQUEST,
    RUNS = LOAD | 1 << CMD_SUITE | 1 << CMD_SHAPES,
    STORED = 1 << CMD_THROUGHPUT | 1 << CMD_LATENCY | 1 << CMD_CONSUME,
    ALL = (1 << CMD_COUNT) - 1
};

enum type { T_SERVER, T_TEXT, T_COUNT, T_SIZE, T_TIME, T_RATES, T_ON, T_FLAG };

struct option {
    const char *name;
    enum type type;
    size_t at, given; /* offsets; given 0 = not kept */
    unsigned commands;
    uint64_t min, max;
    const char *value, *help;
};
#define AT(f) offsetof(struct options, f)

static const struct option options[] = {
    {"server", T_SERVER, 0, 0, RUNS, 0, 0, "[LABEL=]URL",
     "a server that runs: nats://host:port; or run:PROGRAM[,sync=always|DURATION], started\n                 "
     "      afresh for each round. Repeatable; the first is what the others are compared to"},
    {"millrace", T_TEXT, AT(millrace), 0, RUNS, 0, 0, "PATH",
     "the server to start when none is given (default: millrace beside this program)"},
    {"dir", T_TEXT, AT(dir), 0, RUNS | 1 << CMD_LIMITS, 0, 0, "FOLDER",
     "where servers that are started keep files, and disks are measured (default: $TMPDIR or /tmp)"},
    {"on", T_ON, AT(on), 0, STORED, 0, 0, "file|memory|core|request",
     "where messages go: a stream on file or in memory, subscribers without a\n                       stream "
     "(throughput, latency), a responder (latency)"},
    {"connections", T_COUNT, AT(connections), AT(connections_given), LOAD, 1, 20000, "N",
     "connections that publish (consume: that pull)"},
    {"subscribers", T_COUNT, AT(subscribers), 0, 1 << CMD_FANOUT | 1 << CMD_REQUEST, 1, 20000, "N",
     "subscribers, or responders"},
    {"window", T_COUNT, AT(window), AT(window_given), LOAD, 1, 1 << 20, "N",
     "closed loop: messages under way a connection"},
    {"size", T_SIZE, AT(size), AT(size_given), LOAD, 0, 64 << 20, "BYTES", "payload of a message"},
    {"subjects", T_COUNT, AT(subjects), 0, LOAD, 1, 1u << 31, "N", "messages go round over so many subjects"},
    {"streams", T_COUNT, AT(streams), 0, 1 << CMD_THROUGHPUT | 1 << CMD_LATENCY, 1, 100000, "N",
     "messages go round over so many streams"},
    {"per-subject", T_COUNT, AT(per_subject), 0, 1 << CMD_THROUGHPUT | 1 << CMD_LATENCY, 0, 1u << 31, "N",
     "the streams' max_msgs_per_subject"},
    {"rate", T_RATES, 0, 0, 1 << CMD_LATENCY | 1 << CMD_CONSUME, 0, 0, "N[,N...]",
     "open loop: messages a second over all connections (latency: default a sweep)"},
    {"spin", T_FLAG, AT(spin), 0, 1 << CMD_LATENCY | 1 << CMD_CONSUME, 0, 0, NULL,
     "open loop: keep a core busy instead of sleeping between sends"},
    {"batch", T_COUNT, AT(batch), 0, 1 << CMD_CONSUME, 1, 100000, "N", "messages a pull request"},
    {"no-acks", T_FLAG, AT(no_acks), 0, 1 << CMD_CONSUME, 0, 0, NULL, "a consumer that does not acknowledge"},
    {"only", T_TEXT, AT(only), 0, 1 << CMD_SHAPES, 0, 0, "NAME[,NAME...]", "these shapes only"},
    {"quick", T_FLAG, AT(quick), 0, 1 << CMD_SHAPES, 0, 0, NULL, "a hundredth of the size: does it work?"},
    {"interval", T_TEXT, AT(interval), 0, 1 << CMD_STORAGE, 0, 0, "DURATION",
     "sync_interval of the interval mode (default 1s)"},
    {"messages", T_COUNT, AT(messages), 0, LOAD, 1, 1000000000, "N",
     "count instead of time: no warm-up, the run is over when all came back"},
    {"duration", T_TIME, AT(duration_ns), AT(duration_given), RUNS | 1 << CMD_LIMITS, 1000000, 0, "TIME",
     "measured time of a round (10s, 500ms)"},
    {"warmup", T_TIME, AT(warmup_ns), AT(warmup_given), RUNS, 0, 0, "TIME",
     "the same load before it is measured"},
    {"repeat", T_COUNT, AT(repeat), 0, RUNS | 1 << CMD_LIMITS, 1, 64, "N",
     "rounds; servers take turns in each"},
    {"threads", T_COUNT, AT(threads), 0, RUNS, 1, 256, "N",
     "threads of the load generator (default: half the cores, which the server shares)"},
    {"seed", T_COUNT, AT(seed), 0, RUNS, 0, UINT64_MAX, "N", "what payloads are made of (default 1)"},
    {"patience", T_TIME, AT(patience_ns), 0, RUNS, 1000000, 0, "TIME",
     "a run is void when nothing comes back for so long (default 10s)"},
    {"trust", T_FLAG, AT(trust), 0, RUNS, 0, 0, NULL,
     "do not read back what was stored: for stand-ins that store nothing"},
    {"json", T_TEXT, AT(json), 0, RUNS | 1 << CMD_LIMITS, 0, 0, "FILE",
     "everything measured, the whole histograms too"},
    {"csv", T_TEXT, AT(csv), 0, RUNS | 1 << CMD_LIMITS, 0, 0, "FILE", "a line a round"},
    {"html", T_TEXT, AT(html), 0, RUNS | 1 << CMD_LIMITS, 0, 0, "FILE",
     "one page with curves, bars and a table; needs no network"},
    {"markdown", T_TEXT, AT(markdown), 0, RUNS, 0, 0, "FILE", "a table for a README"},
    {"quiet", T_FLAG, AT(quiet), 0, ALL, 0, 0, NULL, "no progress"},
    {"help", T_FLAG, AT(help), 0, ALL, 0, 0, NULL, "this"},
};
enum { OPTIONS = sizeof options / sizeof options[0] };

const char *command_name(enum command c) {
    must(c < CMD_COUNT);
    return commands[c];
}

bool duration_parse(const char *text, uint64_t *ns) {
    int64_t v;
    uint64_t plain;
    if (get_u64(span_str(text), &plain) && plain < 1000000) {
        *ns = plain * 1000000000u;
        return true;
    }
    if (!goduration_get(span_str(text), &v) || v < 0) return false;
    *ns = (uint64_t)v;
    return true;
}

bool count_parse(const char *text, uint64_t *n) {
    static const struct {
        const char *text;
        uint64_t times;
    } units[] = {{"", 1},           {"k", 1000},  {"K", 1000},      {"M", 1000000},
                 {"G", 1000000000}, {"B", 1},     {"KiB", 1 << 10}, {"MiB", 1 << 20},
                 {"GiB", 1 << 30},  {"KB", 1000}, {"MB", 1000000}};
    char digits[24];
    size_t len = 0;
    for (; (*text >= '0' && *text <= '9') || *text == '_'; text++) {
        if (*text != '_' && len + 1 < sizeof digits) digits[len++] = *text;
    }
    uint64_t v;
    if (!get_u64(span_of(digits, len), &v)) return false;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(text, units[i].text) == 0) return !__builtin_mul_overflow(v, units[i].times, n);
    }
    return false;
}

void options_defaults(struct options *o, enum command c) {
    o->command = c;
    o->on = ON_FILE;
    o->connections = c == CMD_LATENCY || c == CMD_STORAGE ? 4 : 1;
    o->window = c == CMD_REQUEST ? 1 : c == CMD_FANOUT ? 65536 : c == CMD_STORAGE ? 250 : 500;
    o->subscribers = 1;
    o->size = 128;
    o->subjects = o->streams = 1;
    o->per_subject = o->messages = 0;
    o->batch = 500;
    o->no_acks = o->spin = false;
    o->rates_n = 0;
}

static bool fail(char *why, size_t room, const char *what, const char *name) {
    snprintf(why, room, "%s: %s", what, name);
    return false;
}

static bool set_server(struct options *o, const char *value, char *why, size_t room) {
    if (o->servers_n == SERVERS_GIVEN_MAX) return fail(why, room, "too many servers", value);
    struct target *t = &o->servers[o->servers_n];
    if (!target_parse(t, value, why, room)) return false;
    for (size_t i = 0; i < o->servers_n; i++) {
        if (strcmp(o->servers[i].label, t->label) == 0)
            return fail(why, room, "two servers have the label", t->label);
    }
    o->servers_n++;
    return true;
}

static bool set_rates(struct options *o, const char *value) {
    o->rates_n = 0;
    char text[256], *next;
    snprintf(text, sizeof text, "%s", value);
    for (char *p = text; p; p = next) {
        uint64_t n;
        next = strchr(p, ',');
        if (next) *next++ = 0;
        if (o->rates_n == RATES_MAX || !count_parse(p, &n) || n == 0 || n > 100000000) return false;
        o->rates[o->rates_n++] = (double)n;
    }
    return true;
}

static bool set_on(struct options *o, const char *value) {
    static const char *const names[] = {"file", "memory", "core", "request"};
    for (int i = 0; i < 4; i++) {
        if (strcmp(value, names[i]) != 0) continue;
        bool stream_only = o->command == CMD_CONSUME;
        o->on = i;
        return i <= ON_MEMORY || (i == ON_CORE && !stream_only) || o->command == CMD_LATENCY;
    }
    return false;
}

static bool in_bounds(const struct option *opt, uint64_t n) {
    return n >= opt->min && (opt->max == 0 || n <= opt->max);
}

static bool set(struct options *o, const struct option *opt, const char *value, char *why, size_t room) {
    uint8_t *at = (uint8_t *)o + opt->at;
    uint64_t n;
    bool ok = true;
    switch (opt->type) {
    case T_SERVER: return set_server(o, value, why, room);
    case T_TEXT: {
        size_t space = opt->at == AT(interval) ? sizeof o->interval : sizeof o->json;
        ok = value[0] && strlen(value) < space;
        if (ok) memcpy(at, value, strlen(value) + 1);
        break;
    }
    case T_COUNT:
    case T_SIZE:
        ok = count_parse(value, &n) && in_bounds(opt, n);
        if (ok) memcpy(at, &n, sizeof n);
        break;
    case T_TIME:
        ok = duration_parse(value, &n) && in_bounds(opt, n);
        if (ok) memcpy(at, &n, sizeof n);
        break;
    case T_RATES: ok = set_rates(o, value); break;
    case T_ON: ok = set_on(o, value); break;
    case T_FLAG: *(bool *)at = true; break;
    }
    if (!ok) {
        snprintf(why, room, "--%s does not take '%.80s'; it wants %s", opt->name, value, opt->value);
        return false;
    }
    if (opt->given) *(bool *)((uint8_t *)o + opt->given) = true;
    return true;
}

static const struct option *find(const char *name, size_t n) {
    for (size_t i = 0; i < OPTIONS; i++) {
        if (strlen(options[i].name) == n && memcmp(options[i].name, name, n) == 0) return &options[i];
    }
    return NULL;
}

static bool take(struct options *o, int argc, char **argv, int *i, char *why, size_t room) {
    char *arg = argv[*i];
    if (strncmp(arg, "--", 2) != 0) {
        size_t most = o->command == CMD_COMPARE ? 2 : o->command == CMD_SUITE ? 1 : 0;
        if (o->files_n == most || arg[0] == '-') return fail(why, room, "not understood", arg);
        snprintf(o->files[o->files_n++], sizeof o->files[0], "%s", arg);
        return true;
    }
    size_t n = strcspn(arg + 2, "=");
    const struct option *opt = find(arg + 2, n);
    if (!opt) return fail(why, room, "there is no option", arg);
    if (!(opt->commands & 1u << o->command)) {
        snprintf(why, room, "%s has no option --%s", commands[o->command], opt->name);
        return false;
    }
    const char *value = arg[2 + n] == '=' ? arg + 3 + n : NULL;
    if (opt->type == T_FLAG)
        return value ? fail(why, room, "takes no value", opt->name) : set(o, opt, "", why, room);
    if (!value && ++*i == argc) return fail(why, room, "a value is missing for", arg);
    return set(o, opt, value ? value : argv[*i], why, room);
}

bool options_parse_more(struct options *o, int argc, char **argv, char *why, size_t room) {
    int c = 0;
    while (c < CMD_COUNT && (argc < 1 || strcmp(argv[0], commands[c]) != 0)) c++;
    if (c == CMD_COUNT) return fail(why, room, "not a command", argc < 1 ? "(none)" : argv[0]);
    options_defaults(o, (enum command)c);
    for (int i = 1; i < argc; i++) {
        if (!take(o, argc, argv, &i, why, room)) return false;
    }
    if (o->help) return true;
    size_t files = c == CMD_COMPARE ? 2 : c == CMD_SUITE ? 1 : o->files_n;
    if (o->files_n != files) return fail(why, room, "a file is missing for", commands[c]);
    if (o->size < 16 && (c == CMD_LATENCY || (c == CMD_CONSUME && o->rates_n)) && o->on == ON_CORE)
        return fail(why, room, "latency is carried in the message", "--size must be 16 at least");
    return true;
}

bool options_parse(struct options *o, int argc, char **argv, char *why, size_t room) {
    memset(o, 0, sizeof *o);
    const char *tmp = getenv("TMPDIR");
    snprintf(o->dir, sizeof o->dir, "%s", tmp && tmp[0] ? tmp : "/tmp");
    snprintf(o->interval, sizeof o->interval, "1s");
    o->repeat = 1;
    o->seed = 1;
    o->warmup_ns = 1000000000u;
    o->duration_ns = 5000000000u;
    o->patience_ns = 10000000000u;
    return options_parse_more(o, argc, argv, why, room);
}

static void print_command(enum command c) {
    printf("millrace-bench %s: %s\n\n", commands[c], command_help[c]);
    for (size_t i = 0; i < OPTIONS; i++) {
        if (!(options[i].commands & 1u << c)) continue;
        char left[64];
        snprintf(left, sizeof left, "--%s %s", options[i].name, options[i].value ? options[i].value : "");
        printf("  %-20s %s%s\n", left, strlen(left) > 20 ? "\n                       " : "", options[i].help);
    }
}

void options_usage(const char *command) {
    for (int c = 0; command && c < CMD_COUNT; c++) {
        if (strcmp(command, commands[c]) == 0) {
            print_command((enum command)c);
            return;
        }
    }
    printf("millrace-bench measures servers that speak the NATS protocol.\n\n"
           "  millrace-bench COMMAND [options]      millrace-bench COMMAND --help\n\n");
    for (int c = 0; c < CMD_COUNT; c++) printf("  %-11s %s\n", commands[c], command_help[c]);
    printf(
        "\nWithout --server it starts the millrace beside it in a temporary folder. Every run checks what "
        "came back, and is\n"
        "void when anything is missing, doubled, altered or out of order. Ctrl-C gives the report so far.\n"
        "Exit status: 0 all valid, 1 something void or failed, 2 not understood.\n");
}
