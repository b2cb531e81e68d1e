/* connect.c - CONNECT. Happy path: the json is decoded by a table over a copy of the options, then the
 * strings move into one block the options own. Refused input and lack of memory leave the options as they
 * were. */
#include "wire/connect.h"

#include <stdlib.h>

#include "base/must.h"
#include "wire/json.h"

#define FIELD(name, type, member)                                                                            \
    { name, type, offsetof(struct connect_opts, member), NULL, NULL }

static const struct json_field fields[] = {
    FIELD("echo", JSON_BOOL, echo),
    FIELD("verbose", JSON_BOOL, verbose),
    FIELD("pedantic", JSON_BOOL, pedantic),
    FIELD("tls_required", JSON_BOOL, tls_required),
    FIELD("nkey", JSON_STR, nkey),
    FIELD("jwt", JSON_STR, jwt),
    FIELD("sig", JSON_STR, sig),
    FIELD("auth_token", JSON_STR, auth_token),
    FIELD("user", JSON_STR, user),
    FIELD("pass", JSON_STR, pass),
    FIELD("name", JSON_STR, name),
    FIELD("lang", JSON_STR, lang),
    FIELD("version", JSON_STR, version),
    FIELD("protocol", JSON_I64, protocol),
    FIELD("account", JSON_STR, account),
    FIELD("new_account", JSON_BOOL, new_account),
    FIELD("headers", JSON_BOOL, headers),
    FIELD("no_responders", JSON_BOOL, no_responders),
    FIELD("proxy_sig", JSON_STR, proxy_sig),
};

static const struct json_table table = {"ClientOpts", fields, sizeof fields / sizeof fields[0]};

void connect_init(struct connect_opts *o) {
    must(o != NULL);
    *o = (struct connect_opts){.verbose = true, .pedantic = true, .echo = true};
}

/* Copies every string into one new block. */
static bool strings_own(struct connect_opts *o) {
    size_t total = 1;
    for (size_t i = 0; i < table.count; i++) {
        if (fields[i].type == JSON_STR) total += ((struct span *)((char *)o + fields[i].at))->n;
    }
    uint8_t *mem = malloc(total), *at = mem;
    if (!mem) return false;
    for (size_t i = 0; i < table.count; i++) {
        if (fields[i].type != JSON_STR) continue;
        struct span *s = (struct span *)((char *)o + fields[i].at);
        if (s->n) memcpy(at, s->p, s->n);
        *s = span_of(at, s->n);
        at += s->n;
    }
    must((size_t)(at - mem) == total - 1);
    o->mem = mem;
    return true;
}

bool connect_parse(struct connect_opts *o, struct span json) {
    struct connect_opts next = *o;
    struct json_err e;
    must(o != NULL);
    yyjson_doc *doc = json_read(json, CONNECT_DEPTH_MAX, &e);
    if (!doc) return false;
    bool ok = json_decode(yyjson_doc_get_root(doc), &table, false, &next, &e) && strings_own(&next);
    yyjson_doc_free(doc);
    if (!ok) return false;
    free(o->mem);
    *o = next;
    return true;
}

void connect_deinit(struct connect_opts *o) {
    must(o != NULL);
    free(o->mem);
    connect_init(o);
}
