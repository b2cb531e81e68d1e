/* json_out.c - the JSON of the pages: yyjson, and what Go prints in its own way. Lengths are bounded by what
 * goes in; memory that is out makes a page without a body. */
#include <stdio.h>

#include "base/must.h"
#include "monitor/pages.h"
#include "wire/json.h"

#define JSON_TYPE "application/json"

yyjson_mut_val *json_begin(struct json_out *o) {
    *o = (struct json_out){.doc = yyjson_mut_doc_new(NULL)};
    yyjson_mut_val *root = yyjson_mut_obj(o->doc);
    o->failed = root == NULL;
    if (root) yyjson_mut_doc_set_root(o->doc, root);
    return root;
}

static void note(struct json_out *o, bool ok) {
    if (!ok) o->failed = true;
}

void json_int(struct json_out *o, yyjson_mut_val *obj, const char *key, int64_t v) {
    note(o, yyjson_mut_obj_add_int(o->doc, obj, key, v));
}

void json_uint(struct json_out *o, yyjson_mut_val *obj, const char *key, uint64_t v) {
    note(o, yyjson_mut_obj_add_uint(o->doc, obj, key, v));
}

void json_bool(struct json_out *o, yyjson_mut_val *obj, const char *key, bool v) {
    note(o, yyjson_mut_obj_add_bool(o->doc, obj, key, v));
}

void json_text(struct json_out *o, yyjson_mut_val *obj, const char *key, struct span v) {
    note(o, !o->failed && json_add_span(o->doc, obj, key, v));
}

void json_time(struct json_out *o, yyjson_mut_val *obj, const char *key, int64_t unix_ns) {
    note(o, !o->failed && json_add_time(o->doc, obj, key, unix_ns));
}

void json_lasted(struct json_out *o, yyjson_mut_val *obj, const char *key, uint64_t ns) {
    static const struct {
        uint64_t seconds, in_next;
        char letter;
    } units[] = {
        {31536000, UINT64_MAX, 'y'}, {86400, 365, 'd'}, {3600, 24, 'h'}, {60, 60, 'm'}, {1, 60, 's'}};
    uint64_t seconds = ns / 1000000000u;
    char text[96];
    size_t n = 0;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (seconds < units[i].seconds && units[i].letter != 's') continue;
        n += (size_t)snprintf(text + n, sizeof text - n, "%llu%c",
                              (unsigned long long)(seconds / units[i].seconds % units[i].in_next),
                              units[i].letter);
    }
    must(n > 0 && n < sizeof text);
    json_text(o, obj, key, span_of(text, n));
}

yyjson_mut_val *json_object(struct json_out *o, yyjson_mut_val *obj, const char *key) {
    yyjson_mut_val *v = o->failed ? NULL : yyjson_mut_obj_add_obj(o->doc, obj, key);
    note(o, v != NULL);
    return v;
}

struct reply json_end(struct json_out *o, int status, bool pretty) {
    struct reply r = {.status = status, .type = JSON_TYPE, .extra = "Access-Control-Allow-Origin: *\r\n"};
    yyjson_write_flag flags = pretty ? YYJSON_WRITE_PRETTY_TWO_SPACES : YYJSON_WRITE_NOFLAG;
    must(status >= 200);
    if (!o->failed) r.body = yyjson_mut_write_opts(o->doc, flags, NULL, &r.n, NULL);
    yyjson_mut_doc_free(o->doc);
    o->doc = NULL;
    return r;
}

void json_stamp(struct json_out *o, yyjson_mut_val *root, const struct monitor *m) {
    must(m->server.server_id != NULL);
    json_text(o, root, "server_id", span_str(m->server.server_id));
    json_time(o, root, "now", io_wall(m->host.io));
}
