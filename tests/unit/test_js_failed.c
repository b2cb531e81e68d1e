/* test_js_failed.c - a log whose disk fails: publishers hear it at once, confirmed acknowledgements get no
 * answer, streams in memory and on other shards go on, and new streams are made where a log works.
 * fdatasync() fails here for the logs that a test has broken. */
#include <errno.h>
#include <unistd.h>

#include "js_world.h"

static const char *broken[2];

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);

int __wrap_fdatasync(int fd) {
    char link[64], path[256];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    path[n > 0 ? n : 0] = '\0';
    for (size_t i = 0; i < 2; i++) {
        if (!broken[i] || !strstr(path, broken[i])) continue;
        errno = EIO;
        return -1;
    }
    return __real_fdatasync(fd);
}

static const char *create(struct world *w, const char *name, const char *more) {
    char call[256], body[1024];
    snprintf(call, sizeof call, "STREAM.CREATE.%s", name);
    snprintf(body, sizeof body, "{\"name\":\"%s\"%s}", name, more);
    return world_api(w, call, body);
}

static unsigned shard_of(struct world *w, const char *name) {
    for (unsigned i = 0; i < w->shards; i++)
        if (js_stream_find(w->shard[i].js, span_str(name))) return i;
    return w->shards;
}

/* Two shards, a stream in files on each, with a consumer and a delivered message; then shard `which` breaks.
 */
static struct world *with_failed(unsigned which) {
    struct world *w = world_open(2, true);
    broken[0] = broken[1] = NULL;
    for (unsigned i = 0; i < 2; i++) {
        char name[8], call[64], body[128];
        snprintf(name, sizeof name, "F%u", i);
        world_has(create(w, name, ""), "\"did_create\":true");
        CHECK_EQ(shard_of(w, name), i);
        snprintf(call, sizeof call, "CONSUMER.CREATE.%s.c", name);
        snprintf(body, sizeof body,
                 "{\"stream_name\":\"%s\",\"config\":{\"name\":\"c\",\"ack_policy\":\"explicit\"}}", name);
        world_has(world_api(w, call, body), "\"name\":\"c\"");
        world_has(world_js_pub(w, name, "", "first"), "\"seq\":1}");
    }
    broken[0] = which ? "log-0001" : "log-0000";
    return w;
}

static void close_failed(struct world *w) {
    broken[0] = broken[1] = NULL;
    world_close(w);
}

static void publishers_hear_it(void) {
    struct world *w = with_failed(1);
    world_has(world_js_pub(w, "F1", "", "lost"), "\"err_code\":10077");
    for (int i = 0; i < 3; i++) world_has(world_js_pub(w, "F1", "", "refused"), "\"err_code\":10077");
    world_has(world_js_pub(w, "F0", "", "fine"), "\"seq\":2}");
    world_has(world_api(w, "STREAM.INFO.F1", ""), "\"messages\":");
    world_has(world_api(w, "STREAM.MSG.GET.F1", "{\"seq\":1}"), "\"data\":\"Zmlyc3Q=\"");
    world_has(world_api(w, "STREAM.PURGE.F1", ""), "\"error\":");
    close_failed(w);
}

/* What clients would take any message for success gets none. */
static void acks_are_not_confirmed(void) {
    struct world *w = with_failed(1);
    CHECK_EQ(world_ask(w, 1, "$JS.API.CONSUMER.MSG.NEXT.F1.c", SPAN_LIT("1"), "", 1, 2000), 1);
    char ack[256];
    snprintf(ack, sizeof ack, "%s", w->got[0].reply);
    CHECK_EQ(world_ask(w, 1, ack, SPAN_LIT("+ACK"), "", 1, 200), 0);
    CHECK_EQ(world_ask(w, 1, ack, SPAN_LIT("+ACK"), "", 1, 50), 0);
    CHECK_EQ(w->errors, 1); /* said once in a while */
    w->errors = 0;
    close_failed(w);
}

static void memory_goes_on_by(unsigned which) {
    struct world *w = with_failed(which);
    char file[8], memory[8];
    snprintf(file, sizeof file, "F%u", which);
    world_has(world_js_pub(w, file, "", "lost"), "\"err_code\":10077");
    bool here = false;
    for (int i = 0; i < 4; i++) {
        char call[64], body[128];
        snprintf(memory, sizeof memory, "M%d", i);
        world_has(create(w, memory, ",\"storage\":\"memory\""), "\"did_create\":true");
        here |= shard_of(w, memory) == which;
        world_has(world_js_pub(w, memory, "", "x"), "\"seq\":1}");
        snprintf(call, sizeof call, "CONSUMER.CREATE.%s.c", memory);
        snprintf(body, sizeof body, "{\"stream_name\":\"%s\",\"config\":{\"name\":\"c\"}}", memory);
        world_has(world_api(w, call, body), "\"name\":\"c\"");
        snprintf(call, sizeof call, "STREAM.UPDATE.%s", memory);
        snprintf(body, sizeof body, "{\"name\":\"%s\",\"storage\":\"memory\",\"description\":\"d\"}", memory);
        world_has(world_api(w, call, body), "\"description\":\"d\"");
        snprintf(call, sizeof call, "STREAM.PURGE.%s", memory);
        world_has(world_api(w, call, ""), "\"purged\":1}");
        snprintf(call, sizeof call, "STREAM.DELETE.%s", memory);
        if (i % 2) world_has(world_api(w, call, ""), "\"success\":true");
    }
    CHECK(here);
    close_failed(w);
}

static void memory_goes_on(void) {
    memory_goes_on_by(0);
    memory_goes_on_by(1);
}

/* New streams in files go where a log works, by and by without being told of each. */
static void others_are_chosen_by(unsigned which) {
    struct world *w = with_failed(which);
    char name[16], file[8];
    snprintf(file, sizeof file, "F%u", which);
    world_has(world_js_pub(w, file, "", "lost"), "\"err_code\":10077");
    for (int i = 0; i < 6; i++) {
        snprintf(name, sizeof name, "NEW%d", i);
        world_has(create(w, name, ""), "\"did_create\":true");
        CHECK_EQ(shard_of(w, name), 1 - which);
        world_has(world_js_pub(w, name, "", "x"), "\"seq\":1}");
    }
    CHECK_EQ(w->shard[0].js->dir.failed, 1u << which);
    /* None is left: a clear error, and the name is free. */
    broken[1] = which ? "log-0000" : "log-0001";
    world_has(world_js_pub(w, "NEW0", "", "lost"), "\"err_code\":10077");
    for (int i = 0; i < 2; i++) {
        world_has(create(w, "NONE", ""), "\"err_code\":10049");
        CHECK_STR(strstr(w->got[0].data, "a write failed") ? "said" : w->got[0].data, "said");
    }
    world_has(create(w, "NONE", ",\"storage\":\"memory\""), "\"did_create\":true");
    close_failed(w);
}

static void others_are_chosen(void) {
    others_are_chosen_by(0);
    others_are_chosen_by(1);
}

CHECK_MAIN(CASE(publishers_hear_it), CASE(acks_are_not_confirmed), CASE(memory_goes_on),
           CASE(others_are_chosen))
