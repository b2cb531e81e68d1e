/* conf.h - the NATS configuration grammar: text to a tree of nodes. No I/O: files and the environment come
 * through callbacks. Happy path: conf_parse, conf_get and the typed readers, conf_deinit. Whatever is wrong
 * with the text comes back as file, line, column and a sentence. Nesting, includes, nodes and bytes are
 * bounded.
 *
 *     key: value    key = value    key value    key { ... }    [a, b]    # and // comments    include 'file'
 *     "dq \n \x41" 'raw' bare (block) 12 -3 4k 8MiB 1.5 true on no $VARIABLE 2024-01-02T03:04:05Z
 *
 * A variable is a key defined before in an enclosing map, else the environment's, whose value is parsed in
 * turn; `$2a$...` is a bcrypt hash and stays text. Of equal keys the later one wins. An included file's keys
 * join the map it stands in.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

enum conf_kind { CONF_STR, CONF_INT, CONF_FLOAT, CONF_BOOL, CONF_TIME, CONF_ARRAY, CONF_MAP };

enum {
    CONF_DEPTH_MAX = 100,
    CONF_INCLUDE_MAX = 16,     /* files inside files */
    CONF_NODES_MAX = 1 << 20,  /* counting what a variable repeats */
    CONF_BYTES_MAX = 64 << 20, /* of all files together */
};

/* All of it lives until conf_deinit. */
struct conf_node {
    enum conf_kind kind;
    bool used;        /* was named by a variable: an unknown key that was is no mistake */
    struct span key;  /* as written; empty in arrays and for the root */
    const char *file; /* where the key, or in arrays the value, stands; lines and columns from 1 */
    uint32_t line, col;
    struct span str; /* CONF_STR: the value; numbers, bools and times: as written. NUL-terminated behind n */
    int64_t i;       /* CONF_INT: suffix applied; CONF_TIME: nanoseconds since 1970 */
    double f;        /* CONF_FLOAT; CONF_INT: the same number */
    bool b;          /* CONF_BOOL */
    struct conf_node *first, *last, *next; /* children, in order; the next sibling */
    uint32_t count;                        /* children */
    uint32_t depth, weight;                /* of the subtree */
};

struct conf_source {
    /* The whole file; the bytes stay valid until conf_parse returns. NULL, or what went wrong ("no such
     * file"). */
    const char *(*read)(void *ctx, const char *path, struct span *text);
    /* NULL when not set. May be NULL: no environment. */
    const char *(*env)(void *ctx, const char *name);
    void *ctx;
};

struct conf_error {
    char file[512];
    uint32_t line, col; /* 0 = concerns the whole file */
    char text[256];
};

struct conf {
    struct conf_node *root; /* a map */
    struct conf_chunk *chunks;
};

/* False: *e says why and there is nothing to deinit. */
bool conf_parse(struct conf *c, const char *path, const struct conf_source *src, struct conf_error *e);
void conf_deinit(struct conf *c);

/* The child with this key without regard to case, the last one written; NULL when none. */
const struct conf_node *conf_get(const struct conf_node *map, const char *key);
#define conf_each(n, parent) for (const struct conf_node *n = (parent)->first; n; n = n->next)
bool conf_key_is(const struct conf_node *n, const char *key);
const char *conf_kind_name(enum conf_kind k); /* "string", "integer"... */

/* A Go duration in a string: "1h2m3.5s", "100ms", "-1s", "0". False for anything else, bare numbers too. */
bool conf_duration_ns(const struct conf_node *n, int64_t *ns);
/* A size: an integer with its suffix, or a string like "10GB" (powers of 1024, as nats-server reads strings).
 */
bool conf_size(const struct conf_node *n, int64_t *bytes);
/* The known key nearest to this one, NULL when none is near enough for "did you mean". Ends with a NULL
 * entry. */
const char *conf_nearest(struct span key, const char *const *known);
/* Fills an error with n's place and a printf text; for whoever reads the tree. */
__attribute__((format(printf, 3, 4))) void conf_fail(struct conf_error *e, const struct conf_node *n,
                                                     const char *fmt, ...);
/* "file:line:col: text" */
size_t conf_error_text(const struct conf_error *e, char *out, size_t room);
