/* emit.c - bytes to a client. Happy path: the exact length is computed first, then the text is written in one
 * go; a buffer that is too small is left alone and 0 comes back. Only emit_info allocates, through yyjson,
 * and answers 0 when it cannot. */
#include "wire/emit.h"

#include <yyjson.h>

#include "base/bytes.h"
#include "base/must.h"
#include "wire/json.h"

static size_t digits(uint64_t n) {
    size_t d = 1;
    for (; n >= 10; n /= 10) d++;
    return d;
}

/* A cursor over room that was checked before. */
static uint8_t *put(uint8_t *at, struct span s) {
    if (s.n) memcpy(at, s.p, s.n);
    return at + s.n;
}

static size_t emit_text(uint8_t *out, size_t room, struct span text) {
    if (text.n > room) return 0;
    put(out, text);
    return text.n;
}

size_t emit_msg_size(struct span subject, struct span sid, struct span reply, size_t hdr_n, size_t total) {
    must(hdr_n <= total);
    size_t n = sizeof "MSG " - 1 + subject.n + 1 + sid.n + 1 + digits(total) + 2;
    if (reply.n) n += reply.n + 1;
    if (hdr_n) n += 1 + digits(hdr_n) + 1;
    return n;
}

size_t emit_msg(uint8_t *out, size_t room, struct span subject, struct span sid, struct span reply,
                size_t hdr_n, size_t total) {
    size_t need = emit_msg_size(subject, sid, reply, hdr_n, total);
    if (need > room) return 0;
    uint8_t *at = put(out, hdr_n ? SPAN_LIT("HMSG ") : SPAN_LIT("MSG "));
    at = put(at, subject);
    *at++ = ' ';
    at = put(at, sid);
    *at++ = ' ';
    if (reply.n) {
        at = put(at, reply);
        *at++ = ' ';
    }
    uint8_t number[20];
    if (hdr_n) {
        at = put(at, span_of(number, put_u64(number, hdr_n)));
        *at++ = ' ';
    }
    at = put(at, span_of(number, put_u64(number, total)));
    at = put(at, SPAN_LIT("\r\n"));
    must((size_t)(at - out) == need);
    return need;
}

size_t emit_ok(uint8_t *out, size_t room) { return emit_text(out, room, SPAN_LIT("+OK\r\n")); }
size_t emit_ping(uint8_t *out, size_t room) { return emit_text(out, room, SPAN_LIT("PING\r\n")); }
size_t emit_pong(uint8_t *out, size_t room) { return emit_text(out, room, SPAN_LIT("PONG\r\n")); }

size_t emit_err(uint8_t *out, size_t room, struct span text) {
    struct span head = SPAN_LIT("-ERR '"), end = SPAN_LIT("'\r\n");
    if (text.n + head.n + end.n > room) return 0;
    uint8_t *at = put(put(put(out, head), text), end);
    must((size_t)(at - out) == text.n + head.n + end.n);
    return (size_t)(at - out);
}

/* INFO under construction; `ok` falls when memory is out and stays down. */
struct doc {
    yyjson_mut_doc *d;
    yyjson_mut_val *obj;
    bool ok;
};

static void add_str(struct doc *j, const char *key, const char *text) {
    j->ok = j->ok && json_add_span(j->d, j->obj, key, text ? span_str(text) : SPAN_LIT(""));
}
static void add_str_if(struct doc *j, const char *key, const char *text) {
    if (text && *text) add_str(j, key, text);
}
static void add_int(struct doc *j, const char *key, int64_t v) {
    j->ok = j->ok && yyjson_mut_obj_add_sint(j->d, j->obj, key, v);
}
static void add_bool(struct doc *j, const char *key, bool v) {
    j->ok = j->ok && yyjson_mut_obj_add_bool(j->d, j->obj, key, v);
}
static void add_true_if(struct doc *j, const char *key, bool v) {
    if (v) add_bool(j, key, true);
}

static void add_list_if(struct doc *j, const char *key, const char *const *list, size_t n) {
    if (!n) return;
    must(list != NULL);
    yyjson_mut_val *a = yyjson_mut_obj_add_arr(j->d, j->obj, key);
    j->ok = j->ok && a;
    for (size_t i = 0; i < n && j->ok; i++) j->ok = yyjson_mut_arr_add_strcpy(j->d, a, list[i]);
}

/* In the order nats-server writes them. */
static void add_fields(struct doc *j, const struct info *i) {
    add_str(j, "server_id", i->server_id);
    add_str(j, "server_name", i->server_name);
    add_str(j, "version", i->version);
    add_int(j, "proto", i->proto);
    add_str_if(j, "git_commit", i->git_commit);
    add_str(j, "go", i->go);
    add_str(j, "host", i->host);
    add_int(j, "port", i->port);
    add_bool(j, "headers", i->headers);
    add_true_if(j, "auth_required", i->auth_required);
    add_true_if(j, "tls_required", i->tls_required);
    add_true_if(j, "tls_verify", i->tls_verify);
    add_true_if(j, "tls_available", i->tls_available);
    add_int(j, "max_payload", i->max_payload);
    add_true_if(j, "jetstream", i->jetstream);
    add_str_if(j, "ip", i->ip);
    if (i->client_id) j->ok = j->ok && yyjson_mut_obj_add_uint(j->d, j->obj, "client_id", i->client_id);
    add_str_if(j, "client_ip", i->client_ip);
    add_str_if(j, "nonce", i->nonce);
    add_str_if(j, "cluster", i->cluster);
    add_true_if(j, "cluster_dynamic", i->cluster_dynamic);
    add_str_if(j, "domain", i->domain);
    add_list_if(j, "connect_urls", i->connect_urls, i->connect_urls_n);
    add_list_if(j, "ws_connect_urls", i->ws_connect_urls, i->ws_connect_urls_n);
    add_true_if(j, "ldm", i->ldm);
    add_true_if(j, "connect_info", i->connect_info);
    add_str_if(j, "remote_account", i->remote_account);
    add_true_if(j, "acc_is_sys", i->acc_is_sys);
    if (i->api_lvl) add_int(j, "api_lvl", i->api_lvl);
    add_str_if(j, "xkey", i->xkey);
}

size_t emit_info(uint8_t *out, size_t room, const struct info *i) {
    struct span head = SPAN_LIT("INFO "), end = SPAN_LIT(" \r\n");
    must(out != NULL);
    if (room < head.n + end.n) return 0;
    struct doc j = {.d = yyjson_mut_doc_new(NULL)};
    if (!j.d) return 0;
    j.obj = yyjson_mut_obj(j.d);
    j.ok = j.obj != NULL;
    yyjson_mut_doc_set_root(j.d, j.obj);
    add_fields(&j, i);
    size_t n = j.ok ? json_write(j.d, out + head.n, room - head.n - end.n) : 0;
    yyjson_mut_doc_free(j.d);
    if (!n) return 0;
    put(out, head);
    put(out + head.n + n, end);
    return head.n + n + end.n;
}
