/* test_engine_space.c - segments come back: what lives on is written again, what is gone stays gone, damage
 * costs what it hit. Small segments, real files. */
#include "engine_world.h"

#include <dirent.h>
#include <sys/stat.h>

static char payload[32 * 1024];

static void fill(struct mr_stream *s, int messages) {
    memset(payload, 'p', sizeof payload - 1);
    for (int i = 0; i < messages; i++) store(s, "fill", payload);
}

static struct mr_stream *ring(const char *name, int64_t max_msgs) {
    struct mr_stream_config cfg = stream_config(name);
    cfg.max_msgs = max_msgs;
    struct mr_stream *s;
    CHECK_EQ(mr_stream_create(w.sh, &cfg, io_wall(w.io), &s), MR_OK);
    return s;
}

static uint64_t disk_bytes(void) {
    struct mr_shard_stats st;
    mr_shard_stats(w.sh, &st);
    return st.disk_bytes;
}

static void world_small_segments(void) {
    w.cfg.segment_bytes = 1 << 20;
    world_new(1);
}

static void space_comes_back(void) {
    world_small_segments();
    struct mr_stream *r = ring("R", 5), *k = stream_new("K");
    struct mr_consumer *c = consumer_new(k, "C");
    struct mr_stream *gone = stream_new("G");
    consumer_new(gone, "GC");
    store(gone, "a", "x");
    struct mr_consumer *dropped = consumer_new(k, "D");
    store(k, "a", "kept");
    store(k, "a", "deleted");
    struct mr_delivery d = expect(c, 1, 1);
    size_t n = w.done_count;
    ack(c, &d, true);
    until_done(n + 1);
    CHECK_EQ(mr_delete(k, 2, false), MR_OK);
    fill(r, 60);
    CHECK_EQ(mr_stream_delete(gone), MR_OK); /* its records lie some segments further on */
    CHECK_EQ(mr_consumer_delete(dropped), MR_OK);
    w.done_count = 0;
    fill(r, 600); /* 19 MB through */
    CHECK(disk_bytes() < 12 << 20);
    for (int round = 0; round < 3; round++) {
        world_reopen(1);
        k = stream_old("K");
        check_msg(k, 1, "a", "kept");
        struct mr_msg_view v;
        CHECK_EQ(get(k, 2, &v), MR_NONE);
        CHECK(mr_stream_find(w.sh, str("G")) == NULL);
        CHECK(mr_consumer_find(k, str("D")) == NULL);
        struct mr_consumer_state st;
        mr_consumer_state(mr_consumer_find(k, str("C")), &st);
        CHECK_EQ(st.floor_stream_seq, 1);
        struct mr_stream_state rs;
        mr_stream_state(stream_old("R"), &rs);
        CHECK_EQ(rs.msgs, 5);
        CHECK_EQ(rs.first_seq, rs.last_seq - 4);
        CHECK_EQ(rs.lost_msgs, 0);
        CHECK_EQ(rs.last_seq, 660 + 100 * round);
        w.done_count = 0;
        fill(stream_old("R"), 100);
    }
    struct mr_shard_stats st;
    mr_shard_stats(w.sh, &st);
    CHECK_EQ(st.damaged_records, 0);
    CHECK_EQ(st.streams, 2);
    world_close();
}

static void numbers_of_deleted_streams_are_not_used_again(void) {
    world_small_segments();
    struct mr_stream *k = stream_new("K");
    store(k, "a", "kept");
    for (int i = 0; i < 20; i++) {
        struct mr_stream *s = stream_new("T");
        store(s, "a", "old");
        store(s, "a", "old");
        CHECK_EQ(mr_stream_delete(s), MR_OK);
        if (i % 5 == 4) world_reopen(1);
    }
    struct mr_stream *s = stream_new("T");
    CHECK_EQ(store(s, "a", "new"), 1);
    world_reopen(1);
    struct mr_stream_state st;
    mr_stream_state(stream_old("T"), &st);
    CHECK_EQ(st.msgs, 1);
    check_msg(stream_old("T"), 1, "a", "new");
    world_close();
}

/* Ids stay known while the segments that brought them go. */
static void ids_survive_their_segment(void) {
    world_small_segments();
    struct mr_stream *r = ring("R", 3);
    struct mr_msg m = message("a", "x");
    m.hdr = str("NATS/1.0\r\nNats-Msg-Id: one\r\n\r\n");
    struct mr_append_opts o = {.msg_id = str("one")};
    struct mr_append_result res;
    CHECK_EQ(mr_append(r, &m, &o, &res), MR_OK);
    fill(r, 300);
    world_reopen(1);
    CHECK_EQ(mr_append(stream_old("R"), &m, &o, &res), MR_DUPLICATE);
    CHECK_EQ(res.seq, 1);
    world_close();
}

/* --- damage --- */

/* Flips one byte behind each place where `text` stands in the log's files; at most `most` places. Returns how
 * many. */
static int damage(const char *text, int most) {
    char folder[300];
    snprintf(folder, sizeof folder, "%s/log-0000", w.dir);
    DIR *dir = opendir(folder);
    CHECK(dir != NULL);
    int hits = 0;
    for (struct dirent *e; (e = readdir(dir));) {
        char name[600];
        snprintf(name, sizeof name, "%s/%s", folder, e->d_name);
        struct stat st;
        if (stat(name, &st) != 0 || !S_ISREG(st.st_mode)) continue;
        char *all = malloc((size_t)st.st_size);
        int fd = open(name, O_RDWR);
        CHECK_EQ(read(fd, all, (size_t)st.st_size), st.st_size);
        char *at = all, *end = all + st.st_size;
        while (hits < most && (at = memmem(at, (size_t)(end - at), text, strlen(text)))) {
            char c = (char)(*at ^ 1);
            CHECK_EQ(pwrite(fd, &c, 1, at - all), 1);
            at++;
            hits++;
        }
        close(fd);
        free(all);
    }
    closedir(dir);
    return hits;
}

static void a_damaged_message_costs_itself(void) {
    world_new(1);
    struct mr_stream *s = stream_new("S");
    consumer_new(s, "C");
    store(s, "a", "first-message");
    store(s, "a", "second-message");
    store(s, "a", "third-message");
    world_close();
    CHECK_EQ(damage("second-message", 1), 1);
    world_open(1);
    s = stream_old("S");
    struct mr_stream_state st;
    mr_stream_state(s, &st);
    CHECK_EQ(st.msgs, 2);
    CHECK_EQ(st.lost_msgs, 1);
    CHECK_EQ(st.last_seq, 3);
    check_msg(s, 1, "a", "first-message");
    check_msg(s, 3, "a", "third-message");
    struct mr_msg_view v;
    CHECK_EQ(get(s, 2, &v), MR_NONE);
    struct mr_shard_stats stats;
    mr_shard_stats(w.sh, &stats);
    CHECK_EQ(stats.damaged_records, 1);
    struct mr_consumer *c = mr_consumer_find(s, str("C"));
    (void)expect(c, 1, 1);
    (void)expect(c, 3, 1);
    CHECK_EQ(store(s, "a", "x"), 4);
    world_close();
}

static char damage_line[1024];
static void keep_damage_line(void *ctx, enum mr_log_level level, const char *text) {
    (void)ctx;
    if (level == MR_LOG_ERROR && strstr(text, "sequence"))
        snprintf(damage_line, sizeof damage_line, "%s", text);
}

static void damage_is_named(void) {
    world_new(1);
    store(stream_new("ORDERS"), "a", "the-message");
    store(stream_old("ORDERS"), "a", "behind");
    world_close();
    CHECK_EQ(damage("the-message", 1), 1);
    world_open(1);
    world_close();
    struct mr_host host = {0};
    w.cfg.log = keep_damage_line;
    CHECK_EQ(mr_env_open(&w.cfg, &w.env), MR_OK);
    CHECK_EQ(mr_shard_open(w.env, 0, NULL, &host, &w.sh), MR_OK); /* a loop of its own */
    mr_shard_run(w.sh, 0);
    mr_shard_close(w.sh);
    mr_env_close(w.env);
    CHECK(strstr(damage_line, "ORDERS") != NULL);
    CHECK(strstr(damage_line, "sequence 1") != NULL);
    CHECK(strstr(damage_line, "segment") != NULL);
}

/* A configuration stands in the log twice: one copy may go. */
static void one_copy_of_a_configuration_is_enough(void) {
    for (int which = 0; which < 2; which++) {
        world_new(1);
        struct mr_stream_config cfg = stream_config("S");
        cfg.extra = str("stream-configuration");
        struct mr_stream *s;
        CHECK_EQ(mr_stream_create(w.sh, &cfg, io_wall(w.io), &s), MR_OK);
        struct mr_consumer_config cc = consumer_config("C");
        cc.extra = str("consumer-configuration");
        struct mr_consumer *c;
        CHECK_EQ(mr_consumer_create(s, &cc, io_wall(w.io), &c), MR_OK);
        store(s, "a", "one");
        store(s, "a", "two");
        settle();
        world_close();
        CHECK_EQ(damage(which ? "consumer-configuration" : "stream-configuration", 1), 1);
        world_open(1);
        s = stream_old("S");
        check_msg(s, 1, "a", "one");
        check_msg(s, 2, "a", "two");
        c = mr_consumer_find(s, str("C"));
        CHECK(c != NULL);
        CHECK_MEM(mr_consumer_config(c)->extra.p, mr_consumer_config(c)->extra.n, "consumer-configuration",
                  22);
        (void)expect(c, 1, 1);
        world_close();
    }
}

static void keep_lost_line(void *ctx, enum mr_log_level level, const char *text) {
    (void)ctx;
    if (level == MR_LOG_ERROR && strstr(text, "IS LOST"))
        snprintf(damage_line, sizeof damage_line, "%s", text);
}

/* Without any copy the stream is not served, which is said; its messages wait on disk for better days, here
 * the return of what was damaged. */
static void a_lost_configuration_keeps_the_messages(void) {
    world_small_segments();
    struct mr_stream_config cfg = stream_config("S");
    cfg.extra = str("stream-configuration");
    struct mr_stream *s;
    CHECK_EQ(mr_stream_create(w.sh, &cfg, io_wall(w.io), &s), MR_OK);
    for (int i = 0; i < 50; i++) store(s, "orders.eu", "kept");
    CHECK_EQ(mr_stream_delete(stream_new("G")), MR_OK); /* so that a directory is written */
    settle();
    world_close();
    CHECK_EQ(damage("stream-configuration", 9), 2);
    damage_line[0] = 0;
    w.log = keep_lost_line;
    world_open(1);
    CHECK(strstr(damage_line, "50 messages, sequences 1 to 50") != NULL);
    CHECK(strstr(damage_line, "orders.eu") != NULL);
    CHECK(mr_stream_find(w.sh, str("S")) == NULL);
    struct mr_shard_stats stats;
    mr_shard_stats(w.sh, &stats);
    CHECK(stats.damaged_records > 0);
    for (int round = 0; round < 3; round++) {
        struct mr_stream *r = round ? stream_old("R") : ring("R", 3);
        w.done_count = 0;
        fill(r, 200); /* 6 MB through */
        damage_line[0] = 0;
        world_reopen(1);
        CHECK(strstr(damage_line, "50 messages") != NULL);
    }
    CHECK(disk_bytes() < 10 << 20);
    world_close();
    CHECK_EQ(damage("rtream-configuration", 9), 2); /* the same bits back */
    world_open(1);
    for (uint64_t seq = 1; seq <= 50; seq++) check_msg(stream_old("S"), seq, "orders.eu", "kept");
    w.log = NULL;
    world_close();
}

CHECK_MAIN(CASE(space_comes_back), CASE(numbers_of_deleted_streams_are_not_used_again),
           CASE(ids_survive_their_segment), CASE(a_damaged_message_costs_itself), CASE(damage_is_named),
           CASE(one_copy_of_a_configuration_is_enough), CASE(a_lost_configuration_keeps_the_messages))
