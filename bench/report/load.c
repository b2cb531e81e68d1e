/* load.c - see load.h. Unknown fields are passed over, missing ones stay unknown. */
#include "report/load.h"

#include <string.h>
#include <yyjson.h>

static void text_of(yyjson_val *obj, const char *key, char *out, size_t room) {
    const char *s = yyjson_get_str(yyjson_obj_get(obj, key));
    snprintf(out, room, "%s", s ? s : "");
}

static void load_environment(struct report *r, yyjson_val *e) {
    text_of(e, "started", r->machine.started, sizeof r->machine.started);
    text_of(e, "kernel", r->machine.kernel, sizeof r->machine.kernel);
    text_of(e, "cpu", r->machine.cpu, sizeof r->machine.cpu);
    text_of(e, "file_system", r->machine.file_system, sizeof r->machine.file_system);
    r->machine.load = yyjson_get_num(yyjson_obj_get(e, "load_before"));
    yyjson_val *flush = yyjson_obj_get(e, "durable_write_4k");
    r->flush_known = flush != NULL;
    r->flush_p50_us = yyjson_get_num(yyjson_obj_get(flush, "p50_us"));
    r->flush_p99_us = yyjson_get_num(yyjson_obj_get(flush, "p99_us"));
}

static void load_round(struct row *row, size_t server, yyjson_val *v) {
    struct round *round = report_round(row, server);
    if (!round) return;
    round->valid = yyjson_get_bool(yyjson_obj_get(v, "valid"));
    round->behind = yyjson_get_bool(yyjson_obj_get(v, "behind"));
    text_of(v, "void", round->why, sizeof round->why);
    for (size_t f = 0; f < FIG_COUNT; f++) {
        yyjson_val *n = yyjson_obj_get(v, figure_info[f].key);
        if (n) round->figures[f] = yyjson_get_num(n);
    }
}

static size_t server_index(const struct report *r, yyjson_val *cell) {
    const char *label = yyjson_get_str(yyjson_obj_get(cell, "label"));
    for (size_t i = 0; label && i < r->servers_n; i++) {
        if (strcmp(r->servers[i].label, label) == 0) return i;
    }
    return SERVERS_MAX;
}

static void load_row(struct report *r, yyjson_val *v) {
    char name[40], command[16], title[160], mode[64];
    text_of(v, "name", name, sizeof name);
    text_of(v, "command", command, sizeof command);
    text_of(v, "work", title, sizeof title);
    text_of(v, "mode", mode, sizeof mode);
    struct row *row = report_row(r, name, command, title, mode);
    if (!row) return;
    row->rate = yyjson_get_num(yyjson_obj_get(v, "offered"));
    size_t i, max, k, rounds_max;
    yyjson_val *cell, *round;
    yyjson_arr_foreach(yyjson_obj_get(v, "servers"), i, max, cell) {
        size_t server = server_index(r, cell);
        if (server == SERVERS_MAX) continue;
        yyjson_arr_foreach(yyjson_obj_get(cell, "rounds"), k, rounds_max, round)
            load_round(row, server, round);
    }
}

struct report *report_load(const char *path, char *why, size_t room) {
    yyjson_doc *doc = yyjson_read_file(path, 0, NULL, NULL);
    yyjson_val *root = yyjson_doc_get_root(doc), *v;
    const char *tool = yyjson_get_str(yyjson_obj_get(root, "tool"));
    if (!tool || strcmp(tool, "millrace-bench") != 0) {
        snprintf(why, room, "%.300s is not a result of millrace-bench (--json)", path);
        yyjson_doc_free(doc);
        return NULL;
    }
    struct report *r = report_open();
    load_environment(r, yyjson_obj_get(root, "environment"));
    size_t i, max;
    yyjson_arr_foreach(yyjson_obj_get(root, "servers"), i, max, v) {
        if (r->servers_n < SERVERS_MAX)
            text_of(v, "label", r->servers[r->servers_n++].label, sizeof r->servers[0].label);
    }
    yyjson_arr_foreach(yyjson_obj_get(root, "rows"), i, max, v) load_row(r, v);
    yyjson_doc_free(doc);
    return r;
}
