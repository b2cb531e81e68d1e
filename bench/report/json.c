/* json.c - the whole report as JSON: every round, every figure, the whole histogram. What was not measured is
 * left out. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

#include "base/must.h"
#include "report/report.h"

struct writer {
    yyjson_mut_doc *doc;
    const struct report *report;
};

static void add_text(struct writer *w, yyjson_mut_val *obj, const char *key, const char *text) {
    if (text[0]) yyjson_mut_obj_add_strcpy(w->doc, obj, key, text);
}

static void add_number(struct writer *w, yyjson_mut_val *obj, const char *key, double v) {
    if (isfinite(v)) yyjson_mut_obj_add_real(w->doc, obj, key, v);
}

static yyjson_mut_val *add_object(struct writer *w, yyjson_mut_val *obj, const char *key) {
    yyjson_mut_val *v = yyjson_mut_obj(w->doc);
    must(yyjson_mut_obj_add_val(w->doc, obj, key, v));
    return v;
}

static yyjson_mut_val *add_array(struct writer *w, yyjson_mut_val *obj, const char *key) {
    yyjson_mut_val *v = yyjson_mut_arr(w->doc);
    must(yyjson_mut_obj_add_val(w->doc, obj, key, v));
    return v;
}

static void add_environment(struct writer *w, yyjson_mut_val *root) {
    const struct report *r = w->report;
    const struct machine *m = &r->machine;
    yyjson_mut_val *e = add_object(w, root, "environment");
    add_text(w, e, "started", m->started);
    add_text(w, e, "kernel", m->kernel);
    add_text(w, e, "cpu", m->cpu);
    yyjson_mut_obj_add_uint(w->doc, e, "cores", m->cores);
    yyjson_mut_obj_add_uint(w->doc, e, "memory_bytes", m->memory_bytes);
    add_text(w, e, "governor", m->governor);
    add_text(w, e, "folder", m->folder);
    add_text(w, e, "file_system", m->file_system);
    add_text(w, e, "device", m->device);
    add_number(w, e, "load_before", m->load);
    add_number(w, e, "load_after", r->load_end);
    if (!r->flush_known) return;
    yyjson_mut_val *f = add_object(w, e, "durable_write_4k");
    add_number(w, f, "p50_us", r->flush_p50_us);
    add_number(w, f, "p99_us", r->flush_p99_us);
    add_number(w, f, "per_s", r->flush_per_s);
    yyjson_mut_obj_add_bool(w->doc, f, "direct", r->flush_direct);
}

static void add_servers(struct writer *w, yyjson_mut_val *root) {
    yyjson_mut_val *all = add_array(w, root, "servers");
    for (size_t i = 0; i < w->report->servers_n; i++) {
        const struct server_info *s = &w->report->servers[i];
        yyjson_mut_val *v = yyjson_mut_arr_add_obj(w->doc, all);
        yyjson_mut_obj_add_strcpy(w->doc, v, "label", s->label);
        add_text(w, v, "version", s->version);
        add_text(w, v, "mode", s->mode);
    }
}

static void add_rounds(struct writer *w, yyjson_mut_val *cell, const struct cell *c) {
    yyjson_mut_val *all = add_array(w, cell, "rounds");
    for (size_t i = 0; i < c->rounds_n; i++) {
        const struct round *round = &c->rounds[i];
        yyjson_mut_val *v = yyjson_mut_arr_add_obj(w->doc, all);
        yyjson_mut_obj_add_bool(w->doc, v, "valid", round->valid);
        add_text(w, v, "void", round->valid ? "" : round->why);
        if (round->cut_short) yyjson_mut_obj_add_bool(w->doc, v, "cut_short", true);
        if (round->behind) yyjson_mut_obj_add_bool(w->doc, v, "behind", true);
        for (size_t f = 0; f < FIG_COUNT; f++) add_number(w, v, figure_info[f].key, round->figures[f]);
    }
}

static void add_summary(struct writer *w, yyjson_mut_val *cell, const struct cell *c) {
    yyjson_mut_val *all = add_object(w, cell, "summary");
    for (enum figure f = 0; f < FIG_COUNT; f++) {
        struct summary s = cell_summary(c, f);
        if (s.count == 0) continue;
        yyjson_mut_val *v = add_object(w, all, figure_info[f].key);
        add_number(w, v, "median", s.median);
        add_number(w, v, "min", s.min);
        add_number(w, v, "max", s.max);
        yyjson_mut_obj_add_uint(w->doc, v, "rounds", s.count);
    }
}

/* [from_ns, to_ns, count] for each cell that holds something. */
static void add_histogram(struct writer *w, yyjson_mut_val *cell, const struct hist *h) {
    yyjson_mut_val *v = add_object(w, cell, "latency_ns"), *all;
    yyjson_mut_obj_add_uint(w->doc, v, "count", h->total);
    yyjson_mut_obj_add_uint(w->doc, v, "min", h->min);
    yyjson_mut_obj_add_uint(w->doc, v, "max", h->max);
    add_number(w, v, "mean", hist_mean(h));
    all = add_array(w, v, "cells");
    for (size_t i = 0; i < HIST_CELLS; i++) {
        if (!h->count[i]) continue;
        yyjson_mut_val *one = yyjson_mut_arr_add_arr(w->doc, all);
        yyjson_mut_arr_add_uint(w->doc, one, hist_cell_low(i));
        yyjson_mut_arr_add_uint(w->doc, one, hist_cell_high(i));
        yyjson_mut_arr_add_uint(w->doc, one, h->count[i]);
    }
}

static void add_series(struct writer *w, yyjson_mut_val *cell, const struct series *s) {
    yyjson_mut_val *all = add_array(w, cell, "over_time");
    for (size_t i = 0; i < SERIES_SLOTS; i++) {
        if (!s->slots[i]) continue;
        yyjson_mut_val *v = yyjson_mut_arr_add_obj(w->doc, all);
        add_number(w, v, "from_s", (double)i * (double)s->slot_ns / 1e9);
        yyjson_mut_obj_add_uint(w->doc, v, "count", s->slots[i]->total);
        add_number(w, v, "p50_us", (double)hist_at(s->slots[i], 50) / 1e3);
        add_number(w, v, "p99_us", (double)hist_at(s->slots[i], 99) / 1e3);
        add_number(w, v, "max_us", (double)s->slots[i]->max / 1e3);
    }
}

static void add_comparison(struct writer *w, yyjson_mut_val *all, const struct row *row, size_t server) {
    for (enum figure f = 0; f < FIG_COUNT; f++) {
        struct summary a = cell_summary(&row->cells[0], f), b = cell_summary(&row->cells[server], f);
        struct ratio r = ratio_of(&a, &b);
        if (isnan(r.ratio) || !row_comparable(row, 0, server, f)) continue;
        yyjson_mut_val *v = yyjson_mut_arr_add_obj(w->doc, all);
        yyjson_mut_obj_add_str(w->doc, v, "figure", figure_info[f].key);
        yyjson_mut_obj_add_strcpy(w->doc, v, "server", w->report->servers[server].label);
        yyjson_mut_obj_add_strcpy(w->doc, v, "to", w->report->servers[0].label);
        add_number(w, v, "ratio", r.ratio);
        add_number(w, v, "min", r.min);
        add_number(w, v, "max", r.max);
        yyjson_mut_obj_add_str(w->doc, v, "verdict", verdict_text(r.verdict));
    }
}

static void add_row(struct writer *w, yyjson_mut_val *rows, const struct row *row) {
    yyjson_mut_val *v = yyjson_mut_arr_add_obj(w->doc, rows);
    yyjson_mut_obj_add_strcpy(w->doc, v, "name", row->name);
    add_text(w, v, "command", row->command);
    add_text(w, v, "work", row->title);
    add_text(w, v, "mode", row->mode);
    yyjson_mut_obj_add_str(w->doc, v, "headline", figure_info[row->headline].key);
    if (row->rate > 0) add_number(w, v, "offered", row->rate);
    yyjson_mut_val *cells = add_array(w, v, "servers"), *compared = add_array(w, v, "comparisons");
    for (size_t s = 0; s < w->report->servers_n; s++) {
        const struct cell *c = &row->cells[s];
        if (c->rounds_n == 0) continue;
        yyjson_mut_val *cell = yyjson_mut_arr_add_obj(w->doc, cells);
        yyjson_mut_obj_add_strcpy(w->doc, cell, "label", w->report->servers[s].label);
        yyjson_mut_obj_add_bool(w->doc, cell, "valid", !cell_void(c, NULL));
        add_summary(w, cell, c);
        add_rounds(w, cell, c);
        if (c->latency) add_histogram(w, cell, c->latency);
        if (c->series) add_series(w, cell, c->series);
        if (s > 0 && !cell_void(c, NULL) && !cell_void(&row->cells[0], NULL))
            add_comparison(w, compared, row, s);
    }
}

static void add_growth(struct writer *w, yyjson_mut_val *all, const struct growth *g) {
    char text[40];
    yyjson_mut_val *v = yyjson_mut_arr_add_obj(w->doc, all);
    yyjson_mut_obj_add_strcpy(w->doc, v, "name", g->name);
    yyjson_mut_obj_add_strcpy(w->doc, v, "of", g->of);
    add_number(w, v, "from", g->from);
    add_number(w, v, "to", g->to);
    yyjson_mut_obj_add_strcpy(w->doc, v, "small", g->small->name);
    yyjson_mut_obj_add_strcpy(w->doc, v, "large", g->large->name);
    yyjson_mut_obj_add_str(w->doc, v, "judged", figure_info[g->judged].key);
    yyjson_mut_val *servers = add_array(w, v, "servers");
    for (size_t s = 0; s < w->report->servers_n; s++) {
        yyjson_mut_val *one = yyjson_mut_arr_add_obj(w->doc, servers);
        yyjson_mut_obj_add_strcpy(w->doc, one, "label", w->report->servers[s].label);
        yyjson_mut_obj_add_strcpy(w->doc, one, "verdict", growth_verdict(g, s, text, sizeof text));
        yyjson_mut_val *factors = add_object(w, one, "growth");
        for (size_t i = 0; i < g->figures_n; i++)
            add_number(w, factors, figure_info[g->figures[i]].key, growth_factor(g, s, g->figures[i]));
    }
}

bool report_json(const struct report *r, const char *path) {
    struct writer w = {yyjson_mut_doc_new(NULL), r};
    must(w.doc);
    yyjson_mut_val *root = yyjson_mut_obj(w.doc);
    yyjson_mut_doc_set_root(w.doc, root);
    yyjson_mut_obj_add_str(w.doc, root, "tool", "millrace-bench");
    add_text(&w, root, "version", r->version);
    add_text(&w, root, "command", r->command);
    add_text(&w, root, "note", r->note);
    yyjson_mut_obj_add_bool(w.doc, root, "valid", !report_void(r));
    if (r->interrupted) yyjson_mut_obj_add_bool(w.doc, root, "interrupted", true);
    add_environment(&w, root);
    add_servers(&w, root);
    yyjson_mut_val *rows = add_array(&w, root, "rows");
    for (size_t i = 0; i < r->rows_n; i++) add_row(&w, rows, &r->rows[i]);
    yyjson_mut_val *growths = r->growths_n ? add_array(&w, root, "growths") : NULL;
    for (size_t i = 0; i < r->growths_n; i++) add_growth(&w, growths, &r->growths[i]);
    bool ok = yyjson_mut_write_file(
        path, w.doc, YYJSON_WRITE_PRETTY_TWO_SPACES | YYJSON_WRITE_ALLOW_INVALID_UNICODE, NULL, NULL);
    yyjson_mut_doc_free(w.doc);
    return ok;
}
