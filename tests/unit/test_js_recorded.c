/* Everything that was asked of nats-server (data/js), asked of JetStream on one, two and four
 * shards. */
#include "js_recorded.h"
#include "js_world.h"

static bool is_time(const char *key) {
    static const char *const times[] = {"ts",      "created",     "time",  "first_ts",
                                        "last_ts", "last_active", "active"};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++)
        if (strcmp(key, times[i]) == 0) return true;
    return false;
}

static bool random_name(const char *s) {
    bool upper = false;
    if (strlen(s) != 8) return false;
    for (size_t i = 0; i < 8; i++) {
        if (!strchr("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", s[i])) return false;
        upper |= s[i] < 'a';
    }
    return upper;
}

/* As the recorder replaces what differs from run to run. */
static yyjson_mut_val *normal(yyjson_mut_doc *d, yyjson_val *v, const char *key) {
    size_t i, n;
    yyjson_val *k, *x;
    if (yyjson_is_obj(v)) {
        yyjson_mut_val *o = yyjson_mut_obj(d);
        yyjson_obj_foreach(v, i, n, k, x) {
            const char *name = yyjson_get_str(k);
            yyjson_mut_obj_add(o, yyjson_mut_strcpy(d, name), normal(d, x, name));
        }
        return o;
    }
    if (yyjson_is_arr(v)) {
        yyjson_mut_val *a = yyjson_mut_arr(d);
        yyjson_arr_foreach(v, i, n, x) yyjson_mut_arr_append(a, normal(d, x, ""));
        return a;
    }
    const char *s = yyjson_get_str(v);
    if (!strcmp(key, "pause_remaining")) return yyjson_mut_str(d, "LEFT");
    if (s && is_time(key)) return yyjson_mut_str(d, strncmp(s, "0001-", 5) ? "TIME" : "ZERO");
    if (!strcmp(key, "_nats.ver") || !strcmp(key, "_nats.level") || !strcmp(key, "leader"))
        return yyjson_mut_str(d, "SERVER");
    if (s && !strcmp(key, "name") && random_name(s)) return yyjson_mut_str(d, "RANDOM");
    return yyjson_val_mut_copy(d, v);
}

/* Cuts the time out: the token of an ack subject, the value of a header. */
static void blank(char *s, const char *head, const char *stop, size_t skip_tokens) {
    char *at = strstr(s, head);
    if (!at) return;
    at += strlen(head);
    for (size_t i = 0; i < skip_tokens; i++) {
        at = strchr(at, '.');
        if (!at) return;
        at++;
    }
    char *end = at + strcspn(at, stop);
    char rest[4096];
    snprintf(rest, sizeof rest, "%s", end);
    if (end - at < 4) return;
    sprintf(at, "TIME%s", rest);
}

static void same_text(const char *subject, const char *body, const char *what, const char *got,
                      const char *want) {
    if (strcmp(got, want) == 0) return;
    fprintf(stderr, "%s %.200s: %s\n  got      %s\n  expected %s\n", subject, body, what, got, want);
    exit(1);
}

static void one_answer(struct got *g, yyjson_val *want, const char *subject, const char *body) {
    char reply[1024], hdr[8192];
    snprintf(reply, sizeof reply, "%s", g->reply);
    snprintf(hdr, sizeof hdr, "%s", g->hdr);
    blank(reply, "$JS.ACK.", ".", 5);
    blank(hdr, "Nats-Time-Stamp: ", "\r", 0);
    const char *inbox = strncmp(g->subject, "_INBOX.", 7) ? g->subject : "INBOX";
    same_text(subject, body, "subject", inbox, yyjson_get_str(yyjson_obj_get(want, "subject")));
    same_text(subject, body, "reply", reply, yyjson_get_str(yyjson_obj_get(want, "reply")));
    same_text(subject, body, "headers", hdr, yyjson_get_str(yyjson_obj_get(want, "hdr")));
    yyjson_val *data = yyjson_obj_get(want, "data");
    if (data) {
        same_text(subject, body, "data", g->data, yyjson_get_str(data));
        return;
    }
    yyjson_doc *doc = yyjson_read(g->data, g->data_n, 0);
    CHECK(doc != NULL);
    yyjson_mut_doc *d = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *have = normal(d, yyjson_doc_get_root(doc), ""),
                   *expect = yyjson_val_mut_copy(d, yyjson_obj_get(want, "json"));
    static const char *const any[] = {"api", "limits", "storage"};
    for (size_t i = 0; i < 3 && yyjson_mut_obj_get(expect, "api"); i++)
        yyjson_mut_obj_put(have, yyjson_mut_str(d, any[i]), yyjson_mut_str(d, "ANY"));
    if (!yyjson_mut_equals(have, expect))
        same_text(subject, body, "json", yyjson_mut_val_write(have, 0, NULL),
                  yyjson_mut_val_write(expect, 0, NULL));
    yyjson_mut_doc_free(d);
    yyjson_doc_free(doc);
}

static void replay(const char *name, unsigned shards, bool files) {
    struct world *w = world_open(shards, files);
    yyjson_doc *doc = recorded_read(name);
    size_t i, n, k = 0;
    yyjson_val *step;
    yyjson_arr_foreach(yyjson_doc_get_root(doc), i, n, step) {
        char *subject = world_copy(recorded_str(step, "subject")),
             *body = world_copy(recorded_str(step, "body"));
        char *hdr = world_copy(recorded_str(step, "hdr"));
        yyjson_val *expect = yyjson_obj_get(step, "expect");
        size_t want = yyjson_arr_size(expect);
        /* from another shard each time */
        size_t got = world_ask(w, (unsigned)(i % shards), subject, recorded_str(step, "body"), hdr,
                               want ? want : 1, want ? 3000 : 20);
        if (got != want) fprintf(stderr, "%s %s: %zu answers\n", subject, body, got);
        CHECK_EQ(got, want);
        for (k = 0; k < want; k++) one_answer(&w->got[k], yyjson_arr_get(expect, k), subject, body);
        free(subject);
        free(body);
        free(hdr);
    }
    yyjson_doc_free(doc);
    world_close(w);
}

static void one_shard(void) { replay("recorded", 1, true); }
static void two_shards(void) { replay("recorded", 2, true); }
static void four_shards(void) { replay("recorded", 4, true); }
static void retention(void) { replay("retention", 1, true); }
static void pauses(void) { replay("pause", 2, false); }
static void retention_on_three(void) { replay("retention", 3, true); }

CHECK_MAIN(CASE(one_shard), CASE(two_shards), CASE(four_shards), CASE(retention), CASE(pauses), CASE(retention_on_three))
