/* test_js_batch.c - batches of publishes: byte for byte what nats-server answered (data/js/batches.json,
 * written by tests/clients/batches.py), then bounds, idleness, a full engine, restarts and streams that go
 * away. */
#include <libgen.h>
#include <yyjson.h>

#include "js_world.h"

static const char *str_at(yyjson_val *arr, size_t i) {
    const char *s = yyjson_get_str(yyjson_arr_get(arr, i));
    CHECK(s != NULL);
    return s;
}

static void say(struct world *w, yyjson_val *message) {
    const char *subject = str_at(message, 0), *data = str_at(message, 3);
    bool api = strncmp(subject, "$JS.API.", 8) == 0;
    world_pub(w, w->shards - 1, subject, api ? "_INBOX.api" : str_at(message, 1), str_at(message, 2),
              span_str(data));
}

static void play(unsigned shards) {
    struct world *w = world_open(shards, true);
    char here[1024], path[1200];
    snprintf(here, sizeof here, "%s", __FILE__);
    snprintf(path, sizeof path, "%s/data/js/batches.json", dirname(here));
    yyjson_doc *doc = yyjson_read_file(path, 0, NULL, NULL);
    CHECK(doc != NULL);
    yyjson_val *steps = yyjson_doc_get_root(doc);
    CHECK(yyjson_arr_size(steps) > 190);
    yyjson_arr_iter it = yyjson_arr_iter_with(steps);
    for (yyjson_val *step; (step = yyjson_arr_iter_next(&it));) {
        const char *what = yyjson_get_str(yyjson_obj_get(step, "what"));
        yyjson_val *send = yyjson_obj_get(step, "send"), *want = yyjson_obj_get(step, "expect");
        bool setup = strcmp(what, "create") == 0 || strcmp(what, "update") == 0;
        size_t n = setup ? 1 : yyjson_arr_size(want);
        world_forget(w);
        for (size_t i = 0; i < yyjson_arr_size(send); i++) say(w, yyjson_arr_get(send, i));
        world_wait(w, n, 10000); /* the disk may be busy with other tests */
        if (!n) world_wait(w, 1, 10); /* nothing, and nothing late either */
        if (w->got_n != n) fprintf(stderr, "%s: %zu answers\n", what, w->got_n);
        CHECK_EQ(w->got_n, n);
        if (setup) world_has(w->got[0].data, "\"config\":");
        for (size_t i = 0; i < n && !setup; i++) {
            yyjson_val *answer = yyjson_arr_get(want, i);
            if (strcmp(w->got[i].data, str_at(answer, 1))) fprintf(stderr, "%s\n", what);
            CHECK_STR(w->got[i].subject, str_at(answer, 0));
            CHECK_STR(w->got[i].data, str_at(answer, 1));
        }
    }
    yyjson_doc_free(doc);
    world_close(w);
}
static void as_recorded(void) { play(1); }
static void as_recorded_on_two_shards(void) { play(2); }

/* --- by hand --- */

static void create(struct world *w, const char *name, const char *more) {
    char call[256], body[1024];
    snprintf(call, sizeof call, "STREAM.CREATE.%s", name);
    snprintf(body, sizeof body, "{\"name\":\"%s\",\"allow_atomic\":true,\"allow_batched\":true%s}", name,
             more);
    const char *got = world_api(w, call, body);
    world_has(got, "\"allow_msg_ttl\":false,\"allow_atomic\":true,\"allow_batched\":true,");
    world_has(got, "\"_nats.req.level\":\"4\"");
    world_forget(w);
}

static void part(struct world *w, const char *stream, const char *reply, const char *id, unsigned seq,
                 const char *commit, struct span data) {
    char hdr[256], more[64] = "";
    if (commit) snprintf(more, sizeof more, "Nats-Batch-Commit: %s\r\n", commit);
    snprintf(hdr, sizeof hdr, "NATS/1.0\r\nNats-Batch-Id: %s\r\nNats-Batch-Sequence: %u\r\n%s\r\n", id, seq,
             more);
    world_pub(w, w->shards - 1, stream, reply, hdr, data);
}

static void answers(struct world *w, const char *text) {
    world_wait(w, 1, 2000);
    CHECK_EQ(w->got_n, 1);
    world_has(w->got[0].data, text);
    world_forget(w);
}

static struct js_batching *batching(struct world *w) { return &w->shard[0].js->batching; }

static void a_thousand_and_no_more(void) {
    struct world *w = world_open(1, true);
    create(w, "S", "");
    for (unsigned i = 1; i <= 1000; i++) part(w, "S", "", "b", i, NULL, SPAN_LIT("x"));
    part(w, "S", "_INBOX.a", "b", 1001, "eob", SPAN_EMPTY);
    answers(w, "{\"stream\":\"S\",\"seq\":1000,\"batch\":\"b\",\"count\":1000}");
    for (unsigned i = 1; i <= 1000; i++) part(w, "S", "", "b", i, NULL, SPAN_LIT("x"));
    part(w, "S", "_INBOX.a", "b", 1001, "1", SPAN_EMPTY);
    answers(w, "\"err_code\":10199,\"description\":\"atomic publish batch is too large: 1000\"");
    CHECK_EQ(batching(w)->bytes, 0);
    world_has(world_api(w, "STREAM.INFO.S", ""), "\"messages\":1000,");
    world_close(w);
}

static void so_many_at_a_time(void) {
    struct world *w = world_open(1, false);
    create(w, "S", ",\"storage\":\"memory\"");
    char id[16];
    for (int i = 0; i < BATCH_STREAM_MAX; i++) {
        snprintf(id, sizeof id, "b%d", i);
        part(w, "S", "", id, 1, NULL, SPAN_LIT("x"));
    }
    part(w, "S", "_INBOX.a", "more", 1, NULL, SPAN_EMPTY);
    answers(w, "\"code\":429,\"err_code\":10210,\"description\":\"atomic publish too many inflight\"");
    part(w, "S", "_INBOX.a", "b7", 2, "1", SPAN_EMPTY);
    answers(w, "\"batch\":\"b7\",\"count\":2");
    part(w, "S", "_INBOX.a", "more", 1, "1", SPAN_EMPTY);
    answers(w, "\"batch\":\"more\",\"count\":1");
    for (int i = 0; i < FAST_STREAM_MAX; i++) {
        snprintf(id, sizeof id, "_F.f%d", i);
        char reply[64];
        snprintf(reply, sizeof reply, "%s.9.ok.1.0.$FI", id);
        world_pub(w, 0, "S", reply, "", SPAN_LIT("x"));
        if (i % 100 == 0) world_tick(w);
    }
    world_pub(w, 0, "S", "_INBOX.more.9.ok.1.0.$FI", "", SPAN_LIT("x"));
    answers(w, "\"code\":429,\"err_code\":10211,\"description\":\"batch publish too many inflight\"");
    CHECK_EQ(batching(w)->fast_n, FAST_STREAM_MAX);
    CHECK_EQ(batching(w)->atomic_n, BATCH_STREAM_MAX - 1);
    world_has(world_api(w, "STREAM.DELETE.S", ""), "\"success\":true");
    CHECK_EQ(batching(w)->fast_n + batching(w)->atomic_n + batching(w)->bytes, 0);
    CHECK_EQ(js_batching_deadline(batching(w)), UINT64_MAX);
    world_close(w);
}

static void idle_ones_are_forgotten(void) {
    struct world *w = world_open(1, false);
    create(w, "S", ",\"storage\":\"memory\"");
    part(w, "S", "", "old", 1, NULL, SPAN_LIT("x"));
    world_pub(w, 0, "S", "_F.old.9.ok.1.0.$FI", "", SPAN_LIT("x"));
    part(w, "S", "", "young", 1, NULL, SPAN_LIT("x"));
    world_wait(w, 1, 10);
    struct js_batching *b = batching(w);
    CHECK_EQ(b->atomic_n, 2);
    CHECK_EQ(b->fast_n, 1);
    struct list *first = b->idle.next, *second = first->next;
    CHECK(js_batching_deadline(b) > js_now(w->shard[0].js));
    container_of(first, struct batch_head, idle)->used_ns -= BATCH_IDLE_NS; /* as if it were long ago */
    container_of(second, struct batch_head, idle)->used_ns -= BATCH_IDLE_NS;
    CHECK(js_deadline(w->shard[0].js) <= js_now(w->shard[0].js));
    world_tick(w);
    CHECK_EQ(b->atomic_n, 1);
    CHECK_EQ(b->fast_n, 0);
    part(w, "S", "_INBOX.a", "old", 2, "1", SPAN_EMPTY);
    answers(w, "\"err_code\":10176");
    part(w, "S", "_INBOX.a", "young", 2, "1", SPAN_EMPTY);
    answers(w, "\"batch\":\"young\",\"count\":2");
    world_close(w);
}

/* More than the log's buffer takes at once: commits wait their turn, order holds, nothing is stored twice. */
static void a_full_engine(void) {
    enum { SIZE = 1 << 20, BATCHES = 6, EACH = 20 };
    struct world *w = world_open(1, true);
    create(w, "S", "");
    uint8_t *data = calloc(1, SIZE);
    w->shard[0].js->stall[STALL_LOG].max = 512 << 20;
    for (int b = 0; b < BATCHES; b++) {
        char id[8], reply[32];
        snprintf(id, sizeof id, "b%d", b);
        snprintf(reply, sizeof reply, "_INBOX.%d", b);
        for (unsigned i = 1; i <= EACH; i++)
            part(w, "S", i == EACH ? reply : "", id, i, i == EACH ? "1" : NULL, span_of(data, SIZE - 256));
        snprintf(reply, sizeof reply, "_INBOX.fast.f%d.1.fail.1.2.$FI", b);
        world_pub(w, 0, "S", reply, "", span_of(data, SIZE - 256));
    }
    CHECK(js_congested(w->shard[0].js));
    world_wait(w, 2 * BATCHES, 5000);
    CHECK_EQ(w->got_n, 2 * BATCHES);
    for (int b = 0; b < BATCHES; b++) {
        char want[128];
        snprintf(want, sizeof want, "{\"stream\":\"S\",\"seq\":%d,\"batch\":\"b%d\",\"count\":%d}",
                 (b + 1) * (EACH + 1) - 1, b, EACH);
        CHECK_STR(w->got[2 * b].data, want);
        snprintf(want, sizeof want, "{\"stream\":\"S\",\"seq\":%d,\"batch\":\"f%d\",\"count\":1}",
                 (b + 1) * (EACH + 1), b);
        CHECK_STR(w->got[2 * b + 1].data, want);
    }
    free(data);
    world_reopen(w, 2);
    world_has(world_api(w, "STREAM.INFO.S", ""), "\"messages\":126,");
    world_close(w);
}

static void too_many_bytes(void) {
    enum { SIZE = 1 << 20 };
    struct world *w = world_open(1, true);
    create(w, "S", "");
    uint8_t *data = calloc(1, SIZE);
    for (unsigned i = 1; i <= 49; i++)
        part(w, "S", i == 48 ? "_INBOX.a" : "", "b", i, NULL, span_of(data, SIZE));
    answers(w, "\"err_code\":10023"); /* 47 MiB were kept */
    CHECK_EQ(batching(w)->atomic_n, 0);
    CHECK_EQ(batching(w)->bytes, 0);
    free(data);
    world_close(w);
}

/* The configuration survives, what was collected does not. */
static void after_a_restart(void) {
    struct world *w = world_open(1, true);
    create(w, "S", "");
    part(w, "S", "_INBOX.a", "b", 1, "1", SPAN_LIT("x"));
    answers(w, "{\"stream\":\"S\",\"seq\":1,\"batch\":\"b\",\"count\":1}");
    part(w, "S", "", "c", 1, NULL, SPAN_LIT("x"));
    world_reopen(w, 1);
    world_has(world_api(w, "STREAM.INFO.S", ""), "\"allow_atomic\":true,\"allow_batched\":true,");
    world_forget(w);
    part(w, "S", "_INBOX.a", "c", 2, "1", SPAN_LIT("x"));
    answers(w, "\"err_code\":10176");
    part(w, "S", "_INBOX.a", "c", 1, "1", SPAN_LIT("x"));
    answers(w, "{\"stream\":\"S\",\"seq\":2,\"batch\":\"c\",\"count\":1}");
    world_close(w);
}

CHECK_MAIN(CASE(as_recorded), CASE(as_recorded_on_two_shards), CASE(a_thousand_and_no_more),
           CASE(so_many_at_a_time), CASE(idle_ones_are_forgotten), CASE(a_full_engine), CASE(too_many_bytes),
           CASE(after_a_restart))
