/* js_recorded.h - what nats-server answered, from data/js/recorded.json, retention.json and pause.json
 * (tests/clients/differential.py writes them). */
#pragma once
#include <libgen.h>
#include <stdio.h>
#include <yyjson.h>

#include "base/span.h"
#include "lib/check.h"

static inline yyjson_doc *recorded_read(const char *name) {
    char here[1024], path[1200];
    snprintf(here, sizeof here, "%s", __FILE__);
    snprintf(path, sizeof path, "%s/data/js/%s.json", dirname(here), name);
    yyjson_doc *doc = yyjson_read_file(path, 0, NULL, NULL);
    CHECK(doc != NULL);
    CHECK(yyjson_arr_size(yyjson_doc_get_root(doc)) > 30);
    return doc;
}

static inline struct span recorded_str(yyjson_val *step, const char *key) {
    yyjson_val *v = yyjson_obj_get(step, key);
    return span_of(yyjson_get_str(v), yyjson_get_len(v));
}

/* The first answer's JSON, or NULL. */
static inline yyjson_val *recorded_answer(yyjson_val *step) {
    return yyjson_obj_get(yyjson_arr_get_first(yyjson_obj_get(step, "expect")), "json");
}
