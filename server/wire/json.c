/* json.c - yyjson with bounds in front and Go's manners behind. Happy path: the text's nesting is counted,
 * yyjson parses it, a table says which member goes where. What is refused comes with the sentence nats-server
 * would send. Memory comes from yyjson's allocator; when it is out, reading says so and writing answers false
 * or 0. */
#include "wire/json.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/must.h"
#include "wire/gotime.h"

__attribute__((format(printf, 2, 3))) static bool fail(struct json_err *e, const char *fmt, ...) {
    must(e != NULL);
    va_list args;
    va_start(args, fmt);
    vsnprintf(e->text, sizeof e->text, fmt, args);
    va_end(args);
    return false;
}

/* --- reading --- */

/* The deepest nesting of brackets outside strings; exact for well-formed text, harmless for other. */
static uint32_t depth_of(struct span s) {
    uint32_t depth = 0, max = 0;
    bool in = false;
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = s.p[i];
        if (in && c == '\\') {
            i++;
        } else if (c == '"') {
            in = !in;
        } else if (!in && (c == '{' || c == '[')) {
            if (++depth > max) max = depth;
        } else if (!in && (c == '}' || c == ']') && depth) {
            depth--;
        }
    }
    return max;
}

/* written: the text as it came, for the sentence. */
static yyjson_doc *read_valid(struct span text, struct span written, struct json_err *e) {
    yyjson_read_err err;
    yyjson_doc *doc = yyjson_read_opts((char *)(uintptr_t)text.p, text.n, 0, NULL, &err);
    if (doc) return doc;
    if (err.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION || !json_explain(written, e)) fail(e, "%s", err.msg);
    return NULL;
}

yyjson_doc *json_read(struct span text, uint32_t depth_max, struct json_err *e) {
    must(depth_max > 0);
    must(depth_max <= JSON_DEPTH_MAX);
    *e = (struct json_err){.offset = 0};
    if (text.n > JSON_BYTES_MAX) return fail(e, "text is too large"), NULL;
    if (depth_of(text) > depth_max) return fail(e, "exceeded max depth"), NULL;
    if (utf8_valid(text)) return read_valid(text, text, e);
    uint8_t *room = malloc(text.n * 3);
    if (!room) return fail(e, "out of memory"), NULL;
    yyjson_doc *doc = read_valid(utf8_fix(text, room), text, e);
    free(room);
    return doc;
}

/* --- decoding --- */

static const char *kind_of(yyjson_val *v) {
    switch (yyjson_get_type(v)) {
    case YYJSON_TYPE_BOOL: return "bool";
    case YYJSON_TYPE_STR: return "string";
    case YYJSON_TYPE_ARR: return "array";
    case YYJSON_TYPE_OBJ: return "object";
    case YYJSON_TYPE_NUM: return "number";
    default: return "null";
    }
}

static const char *go_type_of(const struct json_field *f) {
    static const char *const names[] = {
        [JSON_BOOL] = "bool",
        [JSON_I64] = "int64",
        [JSON_I32] = "int32",
        [JSON_U64] = "uint64",
        [JSON_U8] = "uint8",
        [JSON_F64] = "float64",
        [JSON_STR] = "string",
        [JSON_OBJECT] = "struct",
        [JSON_ARRAY] = "slice",
        [JSON_STRINGS] = "[]string",
        [JSON_STRMAP] = "map[string]string",
    };
    if (f->go_type) return f->go_type;
    must((size_t)f->type < sizeof names / sizeof names[0]);
    must(names[f->type] != NULL);
    return names[f->type];
}

/* Go names the number when a number was right but this one is not. */
static bool wrong_type(yyjson_val *v, const struct json_table *t, const struct json_field *f, bool number,
                       struct json_err *e) {
    must(t->go_type != NULL);
    char *text = number ? yyjson_val_write(v, 0, NULL) : NULL;
    fail(e, "json: cannot unmarshal %s%s%s into Go struct field %s.%s of type %s", kind_of(v),
         text ? " " : "", text ? text : "", t->go_type, f->name, go_type_of(f));
    free(text);
    return false;
}

static bool get_signed(yyjson_val *v, int64_t min, int64_t max, int64_t *out) {
    if (!yyjson_is_int(v) || (yyjson_is_uint(v) && yyjson_get_uint(v) > INT64_MAX)) return false;
    *out = yyjson_get_sint(v);
    return *out >= min && *out <= max;
}

static bool get_unsigned(yyjson_val *v, uint64_t max, uint64_t *out) {
    if (!yyjson_is_int(v) || (yyjson_is_sint(v) && yyjson_get_sint(v) < 0)) return false;
    *out = yyjson_get_uint(v);
    return *out <= max;
}

static bool decode_number(yyjson_val *v, const struct json_table *t, const struct json_field *f, void *to,
                          struct json_err *e) {
    int64_t s = 0;
    uint64_t u = 0;
    must(to != NULL);
    if (!yyjson_is_num(v)) return wrong_type(v, t, f, false, e);
    switch (f->type) {
    case JSON_I64:
        if (!get_signed(v, INT64_MIN, INT64_MAX, &s)) return wrong_type(v, t, f, true, e);
        *(int64_t *)to = s;
        return true;
    case JSON_I32:
        if (!get_signed(v, INT32_MIN, INT32_MAX, &s)) return wrong_type(v, t, f, true, e);
        *(int32_t *)to = (int32_t)s;
        return true;
    case JSON_U64:
        if (!get_unsigned(v, UINT64_MAX, &u)) return wrong_type(v, t, f, true, e);
        *(uint64_t *)to = u;
        return true;
    case JSON_U8:
        if (!get_unsigned(v, UINT8_MAX, &u)) return wrong_type(v, t, f, true, e);
        *(uint8_t *)to = (uint8_t)u;
        return true;
    default:
        must(f->type == JSON_F64);
        *(double *)to = yyjson_get_num(v);
        return true;
    }
}

static bool decode_enum(yyjson_val *v, const struct json_field *f, int *to, struct json_err *e) {
    must(f->names != NULL);
    for (int i = 0; f->names[i]; i++) {
        if (!yyjson_equals_str(v, f->names[i])) continue;
        *to = i;
        return true;
    }
    char *text = yyjson_val_write(v, 0, NULL);
    bool quoted = text && text[0] == '"' && text[strlen(text) - 1] == '"';
    if (quoted) {
        text[strlen(text) - 1] = 0;
        fail(e, "can not unmarshal \"\\\"%s\\\"\"", text + 1);
    } else {
        fail(e, "can not unmarshal \"%s\"", text ? text : "");
    }
    free(text);
    return false;
}

static bool decode_time(yyjson_val *v, int64_t *to, struct json_err *e) {
    must(to != NULL);
    if (!yyjson_is_str(v)) return fail(e, "Time.UnmarshalJSON: input is not a JSON string");
    if (gotime_get(span_of(yyjson_get_str(v), yyjson_get_len(v)), to)) return true;
    const char *text = yyjson_get_str(v);
    return fail(e, "parsing time \"%s\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"%s\" as \"2006\"",
                text, text);
}

/* The first element that is no string; NULL when there is none. */
static yyjson_val *odd_one(yyjson_val *v) {
    size_t i, max;
    yyjson_val *key, *item;
    if (yyjson_is_obj(v)) {
        yyjson_obj_foreach(v, i, max, key, item) if (!yyjson_is_str(item)) return item;
    } else {
        yyjson_arr_foreach(v, i, max, item) if (!yyjson_is_str(item)) return item;
    }
    return NULL;
}

static bool decode_tree(yyjson_val *v, const struct json_table *t, const struct json_field *f,
                        yyjson_val **to, struct json_err *e) {
    bool object = f->type == JSON_OBJECT || f->type == JSON_STRMAP;
    must(object || f->type == JSON_ARRAY || f->type == JSON_STRINGS);
    if (object ? !yyjson_is_obj(v) : !yyjson_is_arr(v)) return wrong_type(v, t, f, false, e);
    bool strings = f->type == JSON_STRINGS || f->type == JSON_STRMAP;
    yyjson_val *odd = strings ? odd_one(v) : NULL;
    if (odd) return wrong_type(odd, t, &(struct json_field){.name = f->name, .type = JSON_STR}, false, e);
    *to = v;
    return true;
}

static bool decode_field(yyjson_val *v, const struct json_table *t, const struct json_field *f, void *to,
                         struct json_err *e) {
    if (f->type == JSON_ANY) *(yyjson_val **)to = v;
    if (f->type == JSON_ANY || f->type == JSON_SKIP || yyjson_is_null(v)) return true;
    switch (f->type) {
    case JSON_BOOL:
        if (!yyjson_is_bool(v)) return wrong_type(v, t, f, false, e);
        *(bool *)to = yyjson_get_bool(v);
        return true;
    case JSON_STR:
        if (!yyjson_is_str(v)) return wrong_type(v, t, f, false, e);
        *(struct span *)to = span_of(yyjson_get_str(v), yyjson_get_len(v));
        return true;
    case JSON_TIME: return decode_time(v, to, e);
    case JSON_ENUM: return decode_enum(v, f, to, e);
    case JSON_OBJECT:
    case JSON_ARRAY:
    case JSON_STRINGS:
    case JSON_STRMAP: return decode_tree(v, t, f, to, e);
    default: return decode_number(v, t, f, to, e);
    }
}

static const struct json_field *field_find(const struct json_table *t, yyjson_val *key) {
    const struct json_field *folded = NULL;
    must(yyjson_is_str(key));
    for (size_t i = 0; i < t->count; i++) {
        if (yyjson_equals_str(key, t->fields[i].name)) return &t->fields[i];
        size_t n = strlen(t->fields[i].name);
        if (!folded && n == yyjson_get_len(key) && !strncasecmp(t->fields[i].name, yyjson_get_str(key), n)) {
            folded = &t->fields[i];
        }
    }
    return folded;
}

bool json_decode(yyjson_val *obj, const struct json_table *t, bool strict, void *out, struct json_err *e) {
    must(t != NULL);
    must(out != NULL);
    if (yyjson_is_null(obj)) return true;
    if (!yyjson_is_obj(obj)) {
        return fail(e, "json: cannot unmarshal %s into Go value of type server.%s", kind_of(obj), t->go_type);
    }
    size_t i, max;
    yyjson_val *key, *v;
    yyjson_obj_foreach(obj, i, max, key, v) {
        const struct json_field *f = field_find(t, key);
        if (!f && strict) return fail(e, "json: unknown field \"%s\"", yyjson_get_str(key));
        if (f && !decode_field(v, t, f, (char *)out + f->at, e)) return false;
    }
    return true;
}

bool json_get_str(yyjson_val *obj, const char *key, struct span *out) {
    yyjson_val *v = yyjson_obj_get(obj, key);
    must(out != NULL);
    if (!yyjson_is_str(v)) return false;
    *out = span_of(yyjson_get_str(v), yyjson_get_len(v));
    return true;
}

bool json_get_bool(yyjson_val *obj, const char *key, bool *out) {
    yyjson_val *v = yyjson_obj_get(obj, key);
    must(out != NULL);
    if (!yyjson_is_bool(v)) return false;
    *out = yyjson_get_bool(v);
    return true;
}

bool json_get_i64(yyjson_val *obj, const char *key, int64_t min, int64_t max, int64_t *out) {
    int64_t v;
    must(min <= max);
    if (!get_signed(yyjson_obj_get(obj, key), min, max, &v)) return false;
    *out = v;
    return true;
}

bool json_get_u64(yyjson_val *obj, const char *key, uint64_t *out) {
    uint64_t v;
    must(out != NULL);
    if (!get_unsigned(yyjson_obj_get(obj, key), UINT64_MAX, &v)) return false;
    *out = v;
    return true;
}

/* --- writing --- */

bool json_add_span(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key, struct span text) {
    must(key != NULL);
    if (text.n == 0) return yyjson_mut_obj_add_str(d, obj, key, "");
    if (utf8_valid(text)) return yyjson_mut_obj_add_strncpy(d, obj, key, (const char *)text.p, text.n);
    uint8_t *room = malloc(text.n * 3);
    if (!room) return false;
    struct span fixed = utf8_fix(text, room);
    bool ok = yyjson_mut_obj_add_strncpy(d, obj, key, (const char *)fixed.p, fixed.n);
    free(room);
    return ok;
}

bool json_add_time(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key, int64_t unix_ns) {
    char text[GOTIME_TEXT_MAX];
    must(key != NULL);
    return yyjson_mut_obj_add_strncpy(d, obj, key, text, gotime_put(text, unix_ns));
}

bool json_add_base64(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key, struct span bytes) {
    must(key != NULL);
    char *text = malloc(base64_len(bytes.n) + 1);
    if (!text) return false;
    bool ok = yyjson_mut_obj_add_strncpy(d, obj, key, text, base64_put(text, bytes));
    free(text);
    return ok;
}

size_t json_write(yyjson_mut_doc *d, uint8_t *out, size_t room) {
    size_t n = 0;
    must(out != NULL || room == 0);
    char *text = yyjson_mut_write(d, YYJSON_WRITE_ALLOW_INVALID_UNICODE, &n);
    if (!text) return 0;
    bool fits = n <= room;
    if (fits) memcpy(out, text, n);
    free(text);
    return fits ? n : 0;
}
