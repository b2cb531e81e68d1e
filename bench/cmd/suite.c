/* suite.c - a list of works in a text file, one a line: `name: command options`. What the command line gives
 * (servers, rounds, files) holds for all; each line adds its own. All lines are read before the first runs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/plan.h"

enum { LINES_MAX = 100, WORDS_MAX = 40 };

struct suite_line {
    char name[40];
    struct options options;
};

static bool fail(struct plan *p, const char *path, int number, const char *what) {
    snprintf(p->why, sizeof p->why, "%.200s:%d: %.200s", path, number, what);
    return false;
}

static bool allowed(enum command c) {
    return c == CMD_THROUGHPUT || c == CMD_LATENCY || c == CMD_CONSUME || c == CMD_FANOUT ||
           c == CMD_REQUEST || c == CMD_STORAGE;
}

static bool read_line(struct plan *p, char *text, int number, struct suite_line *line) {
    const char *path = p->options->files[0];
    char *colon = strchr(text, ':'), *words[WORDS_MAX], why[256];
    if (!colon) return fail(p, path, number, "wants `name: command options`");
    *colon = 0;
    snprintf(line->name, sizeof line->name, "%.39s", text);
    int n = 0;
    for (char *save, *w = strtok_r(colon + 1, " \t\r\n", &save); w && n < WORDS_MAX;
         w = strtok_r(NULL, " \t\r\n", &save))
        words[n++] = w;
    line->options = *p->options;
    line->options.files_n = 0;
    if (!options_parse_more(&line->options, n, words, why, sizeof why)) return fail(p, path, number, why);
    if (!allowed(line->options.command)) return fail(p, path, number, "not a command for a list");
    if (line->options.servers_n != p->options->servers_n)
        return fail(p, path, number, "servers are given on the command line");
    if (line->options.command == CMD_LATENCY && line->options.rates_n == 0)
        return fail(p, path, number, "latency wants --rate here");
    return true;
}

static size_t read_lines(struct plan *p, struct suite_line *lines) {
    FILE *f = fopen(p->options->files[0], "re");
    if (!f) {
        fail(p, p->options->files[0], 0, "cannot be read");
        return 0;
    }
    char text[1000];
    size_t count = 0;
    bool ok = true;
    for (int number = 1; ok && fgets(text, sizeof text, f); number++) {
        const char *first = text + strspn(text, " \t\r\n");
        if (!*first || *first == '#') continue;
        if (count == LINES_MAX)
            ok = fail(p, p->options->files[0], number, "too many lines");
        else
            ok = read_line(p, text, number, &lines[count++]);
    }
    fclose(f);
    if (ok && count == 0) fail(p, p->options->files[0], 1, "holds no work");
    return ok ? count : 0;
}

static bool run_line(struct plan *p, struct suite_line *line) {
    static bool (*const commands[CMD_COUNT])(struct plan *) = {
        [CMD_THROUGHPUT] = cmd_throughput, [CMD_LATENCY] = cmd_latency, [CMD_CONSUME] = cmd_consume,
        [CMD_FANOUT] = cmd_fanout,         [CMD_REQUEST] = cmd_request, [CMD_STORAGE] = cmd_storage};
    struct options *whole = p->options;
    size_t first = p->report->rows_n;
    p->options = &line->options;
    p->row_name = line->options.command == CMD_STORAGE ? NULL : line->name;
    bool ok = commands[line->options.command](p);
    p->options = whole;
    p->row_name = NULL;
    return ok && (p->report->rows_n > first || plan_stopped(p));
}

bool cmd_suite(struct plan *p) {
    struct suite_line *lines = calloc(LINES_MAX, sizeof *lines);
    size_t count = lines ? read_lines(p, lines) : 0;
    p->progress.steps = count * p->options->repeat * p->options->servers_n;
    bool ok = count > 0;
    for (size_t i = 0; i < count && !plan_stopped(p); i++) ok = run_line(p, &lines[i]) && ok;
    free(lines);
    return ok;
}
