/* pages.h - the pages, out of what the shards answered. A page that memory was short for has no body. */
#pragma once
#include <yyjson.h>

#include "monitor/core.h"

extern const char *const page_paths[PAGES];

struct reply page_index(const struct monitor *m);
struct reply page_varz(struct monitor *m);
struct reply page_jsz(const struct monitor *m);
struct reply page_subsz(const struct monitor *m);
/* problem: NULL: the log is looked at, unless js_enabled_only. */
struct reply page_healthz(const struct monitor *m, const char *problem, bool js_enabled_only);
struct reply page_connz(const struct http_conn *c);

/* A JSON object being written; `failed` is set when memory is out. */
struct json_out {
    yyjson_mut_doc *doc;
    bool failed;
};
yyjson_mut_val *json_begin(struct json_out *o); /* the root */
void json_int(struct json_out *o, yyjson_mut_val *obj, const char *key, int64_t v);
void json_uint(struct json_out *o, yyjson_mut_val *obj, const char *key, uint64_t v);
void json_bool(struct json_out *o, yyjson_mut_val *obj, const char *key, bool v);
void json_text(struct json_out *o, yyjson_mut_val *obj, const char *key, struct span v);
void json_time(struct json_out *o, yyjson_mut_val *obj, const char *key, int64_t unix_ns);
/* 1d2h3m4s, as nats-server writes how long something lasts. */
void json_lasted(struct json_out *o, yyjson_mut_val *obj, const char *key, uint64_t ns);
yyjson_mut_val *json_object(struct json_out *o, yyjson_mut_val *obj, const char *key);
/* The text, and the document is gone. */
struct reply json_end(struct json_out *o, int status, bool pretty);
/* server_id and now, which most pages have. */
void json_stamp(struct json_out *o, yyjson_mut_val *root, const struct monitor *m);
