/* json.h - what the JetStream API needs on top of yyjson: bounded reading, decoding of objects by a table
 * with the error texts Go's encoding/json produces (clients see them in error 10025), base64. Writing is
 * yyjson's mutable API; the few helpers at the end add what Go prints differently. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <yyjson.h>

#include "base/span.h"

enum { JSON_DEPTH_MAX = 100, JSON_BYTES_MAX = 8 << 20 };

struct json_err {
    char text[256];
    size_t offset; /* malformed text: bytes up to and with the one that is wrong, as Go counts; else 0 */
};

/* Parses; NULL with e filled when malformed, nested deeper than depth_max or larger than JSON_BYTES_MAX. Free
 * with yyjson_doc_free; strings read from the doc live as long as it does. Bytes that are no UTF-8 become
 * U+FFFD, as in Go. */
yyjson_doc *json_read(struct span text, uint32_t depth_max, struct json_err *e);

enum json_type {
    JSON_BOOL,    /* bool */
    JSON_I64,     /* int64_t: Go's int, int64 and time.Duration */
    JSON_I32,     /* int32_t */
    JSON_U64,     /* uint64_t */
    JSON_U8,      /* uint8_t */
    JSON_F64,     /* double */
    JSON_STR,     /* struct span into the doc, NUL-terminated */
    JSON_TIME,    /* int64_t, see gotime.h */
    JSON_ENUM,    /* int: index of the text in names; others are `can not unmarshal "\"text\""` */
    JSON_OBJECT,  /* yyjson_val *, checked to be an object, to be decoded with its own table */
    JSON_ARRAY,   /* yyjson_val *, checked to be an array */
    JSON_STRINGS, /* yyjson_val *, checked to be an array of strings */
    JSON_STRMAP,  /* yyjson_val *, checked to be an object of strings (metadata) */
    JSON_ANY,     /* yyjson_val *, whatever stands there */
    JSON_SKIP,    /* known and ignored */
};

struct json_field {
    const char *name;
    enum json_type type;
    size_t at;                /* offsetof(struct out, field) */
    const char *const *names; /* JSON_ENUM, ends with NULL */
    const char *go_type; /* for error texts when not the obvious one: "time.Duration", "int"; may be NULL */
};
struct json_table {
    const char *go_type; /* for error texts: "StreamConfig" */
    const struct json_field *fields;
    size_t count;
};

/* Fills what the object names and leaves the rest of *out alone (set defaults before). Null leaves a field
 * alone; names match exactly, else without regard to case; the later of equal names wins. strict: an unknown
 * name is `json: unknown field "x"`; a wrong type is `json: cannot unmarshal string into Go struct field
 * StreamConfig.max_msgs of type int64` in any case. */
bool json_decode(yyjson_val *obj, const struct json_table *t, bool strict, void *out, struct json_err *e);

/* One field, no table: false when missing, null, of another type or out of range. For small known requests.
 */
bool json_get_str(yyjson_val *obj, const char *key, struct span *out);
bool json_get_bool(yyjson_val *obj, const char *key, bool *out);
bool json_get_i64(yyjson_val *obj, const char *key, int64_t min, int64_t max, int64_t *out);
bool json_get_u64(yyjson_val *obj, const char *key, uint64_t *out);

/* obj[key] = text, copied into the doc; invalid UTF-8 replaced. False when memory is out, like all
 * yyjson_mut_obj_add_*. */
bool json_add_span(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key, struct span text);
bool json_add_time(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key, int64_t unix_ns);
bool json_add_base64(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key, struct span bytes);
/* The document as compact text into a caller's buffer; its length, 0 when it does not fit. */
size_t json_write(yyjson_mut_doc *d, uint8_t *out, size_t room);

/* Standard base64 with padding. */
static inline size_t base64_len(size_t n) { return (n + 2) / 3 * 4; }
size_t base64_put(char *out, struct span bytes);
/* Room for text.n / 4 * 3 at out. False when malformed. */
bool base64_get(uint8_t *out, size_t *n, struct span text);

/* Fills e with Go's sentence for the first thing wrong with a text: "invalid character 'x' after array
 * element", "unexpected end of JSON input". False when it is well-formed. json_read calls it when it must
 * explain itself. */
bool json_explain(struct span text, struct json_err *e);

bool utf8_valid(struct span s);
/* The span if it is valid UTF-8, else a copy with U+FFFD for each bad byte in room (>= 3 * s.n bytes). */
struct span utf8_fix(struct span s, uint8_t *room);
