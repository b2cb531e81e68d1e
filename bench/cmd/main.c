/* main.c - millrace-bench: the command, the signals, the files at the end. */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "cmd/plan.h"

static _Atomic bool interrupted;

/* The first Ctrl-C ends the measurement and gives the report so far, the second the program. */
static void on_interrupt(int number) {
    atomic_store(&interrupted, true);
    signal(number, SIG_DFL);
}

static bool (*const commands[CMD_COUNT])(struct plan *) = {
    [CMD_THROUGHPUT] = cmd_throughput, [CMD_LATENCY] = cmd_latency, [CMD_STORAGE] = cmd_storage,
    [CMD_CONSUME] = cmd_consume,       [CMD_FANOUT] = cmd_fanout,   [CMD_REQUEST] = cmd_request,
    [CMD_LIMITS] = cmd_limits,         [CMD_SUITE] = cmd_suite,     [CMD_SHAPES] = cmd_shapes};

static void raise_descriptors(void) {
    struct rlimit l;
    if (getrlimit(RLIMIT_NOFILE, &l) != 0) return;
    l.rlim_cur = l.rlim_max;
    setrlimit(RLIMIT_NOFILE, &l);
}

static bool write_one(const char *path, bool (*write)(const struct report *, const char *),
                      const struct report *r) {
    if (!path[0]) return true;
    if (write(r, path)) {
        printf("%s is written\n", path);
        return true;
    }
    fprintf(stderr, "millrace-bench: %s cannot be written\n", path);
    return false;
}

static int run(struct options *o, const char *program, int argc, char **argv) {
    struct plan p;
    struct sigaction sa = {.sa_handler = on_interrupt};
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    signal(SIGPIPE, SIG_IGN);
    raise_descriptors();
    bool ok = plan_open(&p, o, &interrupted, program, argc, argv);
    if (ok) {
        report_text_head(p.report, stdout);
        progress_open(&p.progress, o->quiet, o->servers_n * o->repeat);
        ok = commands[o->command](&p);
        progress_clear(&p.progress);
        p.report->interrupted = plan_stopped(&p);
        p.report->load_end = machine_load();
        ok = write_one(o->json, report_json, p.report) && ok;
        ok = write_one(o->csv, report_csv, p.report) && ok;
        ok = write_one(o->markdown, report_markdown, p.report) && ok;
        ok = write_one(o->html, report_html, p.report) && ok;
    }
    if (p.why[0]) fprintf(stderr, "millrace-bench: %s\n", p.why);
    if (ok && report_void(p.report)) fprintf(stderr, "millrace-bench: a run was void\n");
    ok = ok && !report_void(p.report);
    plan_close(&p);
    return ok ? 0 : 1;
}

int main(int argc, char **argv) {
    struct options o;
    char why[256];
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        options_usage(argc > 2 ? argv[2] : NULL);
        return argc < 2 ? 2 : 0;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("millrace-bench %s\n", MILLRACE_BENCH_VERSION);
        return 0;
    }
    if (!options_parse(&o, argc - 1, argv + 1, why, sizeof why)) {
        fprintf(stderr, "millrace-bench: %s (millrace-bench %s --help)\n", why, argv[1]);
        return 2;
    }
    if (o.help) {
        options_usage(argv[1]);
        return 0;
    }
    return o.command == CMD_COMPARE ? cmd_compare(&o) : run(&o, argv[0], argc - 1, argv + 1);
}
