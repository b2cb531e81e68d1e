/* test_engine_refused.c - a log that cannot make a segment says why, refuses messages for that reason, and
 * goes on when it has passed. */
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine_world.h"
#include "env.h"

enum { BODY = 60000 };
static char body[BODY + 1];

static struct mr_stream *begin(void) {
    memset(body, 'x', BODY);
    w.cfg.segment_bytes = 1 << 20;
    world_new(1);
    struct mr_stream *s = stream_new("S");
    store(s, "a", "first");
    return s;
}

/* Stores until refused for something else than a full buffer. */
static enum mr_status until_refused(struct mr_stream *s) {
    struct mr_msg m = message("a", body);
    enum mr_status st = MR_OK;
    for (int i = 0; i < 4000 && (st == MR_OK || st == MR_BUSY); i++) {
        st = mr_append(s, &m, NULL, NULL);
        turn();
    }
    return st;
}

static enum mr_status refusing(void) {
    struct mr_shard_stats st;
    mr_shard_stats(w.sh, &st);
    CHECK(!st.failed);
    return st.refusing;
}

static void goes_on(struct mr_stream *s) {
    struct mr_msg m = message("a", body);
    enum mr_status st = MR_GONE;
    for (int i = 0; i < 4000 && st != MR_OK; i++) {
        st = mr_append(s, &m, NULL, NULL);
        turn();
    }
    CHECK_EQ(st, MR_OK);
    for (int i = 0; i < 200 && refusing() != MR_OK; i++) turn();
    CHECK_EQ(refusing(), MR_OK);
}

static void no_descriptors(void) {
    struct mr_stream *s = begin();
    struct rlimit was, now;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &was), 0);
    now = (struct rlimit){3, was.rlim_max}; /* open ones stay, new ones cannot be had */
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &now), 0);
    CHECK_EQ(until_refused(s), MR_NOFILES);
    CHECK_EQ(refusing(), MR_NOFILES);
    CHECK(strstr(last_log, "no segment can be prepared: out of file descriptors") != NULL);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &was), 0);
    goes_on(s);
    world_close();
}

/* Somebody removed the log's folder. */
static void no_folder(void) {
    struct mr_stream *s = begin();
    char log[300], away[320];
    snprintf(log, sizeof log, "%s/log-0000", w.dir);
    snprintf(away, sizeof away, "%s/.away", w.dir);
    char command[1400];
    snprintf(command, sizeof command, "mkdir %s && mv %s/* %s && rmdir %s", away, log, away, log);
    CHECK_EQ(system(command), 0);
    CHECK_EQ(until_refused(s), MR_GONE);
    CHECK_EQ(refusing(), MR_GONE);
    CHECK(strstr(last_log, "no segment can be prepared: no such file") != NULL);
    snprintf(command, sizeof command, "mkdir %s && mv %s/* %s && rmdir %s", log, away, log, away);
    CHECK_EQ(system(command), 0);
    world_close();
}

static void words(void) {
    CHECK_STR(mr_status_text(MR_NOFILES), "out of file descriptors");
    CHECK_STR(mr_status_text(MR_GONE), "a file or folder of the store is gone");
    CHECK_EQ(status_of(ERR_NOFILES), MR_NOFILES);
    CHECK_EQ(status_of(ERR_NOENT), MR_GONE);
    CHECK_EQ(status_of(ERR_NONE), MR_NONE);
}

CHECK_MAIN(CASE(no_descriptors), CASE(no_folder), CASE(words))
