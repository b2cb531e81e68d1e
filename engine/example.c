/* example.c - a work queue in one folder, with nothing but millrace.h:
 *
 *     millrace-example FOLDER put [TEXT...]  stores each text, or each line of its input;
 *                                            says when it is on the disk
 *     millrace-example FOLDER take [COUNT]   takes the next texts; confirmed: they never come again
 *     millrace-example FOLDER show           what is there
 *
 *     cc example.c $(pkg-config --cflags --libs millrace)
 *
 * Build it into a program of your own: one loop, mr_shard_run() until what you wait for was reported. Kill it
 * at any moment: what it said is stored is stored, and what a finished `take` printed does not come again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <millrace.h>

enum { WINDOW = 500, LINE = 64 * 1024 };

struct queue {
    struct mr_env *env;
    struct mr_shard *shard;
    struct mr_stream *stream;
    struct mr_consumer *consumer;
    size_t asked, done;    /* operations handed in, and reported */
    enum mr_status failed; /* the first that was not MR_OK */
};

static struct mr_bytes bytes(const char *s) { return (struct mr_bytes){(const uint8_t *)s, strlen(s)}; }
static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void on_done(void *ctx, const struct mr_done *done, size_t count) {
    struct queue *q = ctx;
    for (size_t i = 0; i < count; i++) {
        q->done++;
        if (done[i].status != MR_OK && q->failed == MR_OK) q->failed = done[i].status;
        if (done[i].kind == MR_DONE_APPEND)
            printf("%llu %s\n", (unsigned long long)done[i].seq, mr_status_text(done[i].status));
    }
}
static void on_ready(void *ctx, struct mr_consumer *c) { (void)ctx, (void)c; }
static void on_log(void *ctx, enum mr_log_level level, const char *text) {
    (void)ctx;
    if (level >= MR_LOG_WARN) fprintf(stderr, "%s\n", text);
}

static void turn(struct queue *q) { mr_shard_run(q->shard, 100 * 1000 * 1000); }
/* Until at most `most` operations are unreported. */
static enum mr_status wait_for(struct queue *q, size_t most) {
    while (q->asked - q->done > most) turn(q);
    return q->failed;
}

static enum mr_status find_or_make(struct queue *q) {
    static const struct mr_bytes subjects[] = {{(const uint8_t *)"jobs", 4}};
    struct mr_stream_config s = {.size = sizeof s,
                                 .name = bytes("JOBS"),
                                 .subjects = subjects,
                                 .subjects_count = 1,
                                 .max_msgs = -1,
                                 .max_bytes = -1,
                                 .max_msg_size = -1,
                                 .max_msgs_per_subject = -1,
                                 .max_consumers = -1};
    struct mr_consumer_config c = {.size = sizeof c,
                                   .name = bytes("workers"),
                                   .durable = true,
                                   .ack = MR_ACK_EXPLICIT,
                                   .ack_wait_ns = INT64_C(30000000000),
                                   .max_deliver = -1,
                                   .max_ack_pending = 2 * WINDOW};
    enum mr_status e = MR_OK;
    q->stream = mr_stream_find(q->shard, s.name);
    if (!q->stream) e = mr_stream_create(q->shard, &s, now(), &q->stream);
    if (e != MR_OK) return e;
    q->consumer = mr_consumer_find(q->stream, c.name);
    return q->consumer ? MR_OK : mr_consumer_create(q->stream, &c, now(), &q->consumer);
}

static enum mr_status open_queue(struct queue *q, const char *folder) {
    struct mr_env_config cfg = {.size = sizeof cfg, .path = folder, .shards = 1, .log = on_log};
    struct mr_host host = {.ctx = q, .on_done = on_done, .on_ready = on_ready};
    enum mr_status e = mr_env_open(&cfg, &q->env);
    if (e == MR_OK) e = mr_shard_open(q->env, 0, NULL, &host, &q->shard);
    return e == MR_OK ? find_or_make(q) : e;
}

static enum mr_status put_one(struct queue *q, struct mr_bytes text) {
    struct mr_msg m = {.subject = bytes("jobs"), .payload = text};
    struct mr_append_opts o = {.want_done = true};
    enum mr_status e;
    while ((e = mr_append(q->stream, &m, &o, NULL)) == MR_BUSY) turn(q);
    if (e != MR_OK) return e;
    q->asked++;
    return wait_for(q, WINDOW); /* one write carries all that came in while the last was under way */
}

static enum mr_status put(struct queue *q, int count, char **texts) {
    enum mr_status e = MR_OK;
    static char line[LINE];
    for (int i = 0; i < count && e == MR_OK; i++) e = put_one(q, bytes(texts[i]));
    while (count == 0 && e == MR_OK && fgets(line, sizeof line, stdin))
        e = put_one(q, (struct mr_bytes){(const uint8_t *)line, strcspn(line, "\n")});
    enum mr_status rest = wait_for(q, 0);
    return e == MR_OK ? rest : e;
}

static enum mr_status take_one(struct queue *q) {
    struct mr_delivery d;
    enum mr_status e;
    while ((e = mr_consumer_next(q->consumer, now(), 0, 0, &d)) == MR_LATER) turn(q);
    if (e != MR_OK) return e;
    printf("%llu %.*s\n", (unsigned long long)d.view.seq, (int)d.view.msg.payload.n,
           (const char *)d.view.msg.payload.p);
    struct mr_ack a = {.kind = MR_ACK, .seq = d.view.seq, .consumer_seq = d.consumer_seq, .want_done = true};
    while ((e = mr_consumer_ack(q->consumer, &a, now())) == MR_BUSY) turn(q);
    if (e != MR_OK) return e;
    q->asked++;
    return wait_for(q, WINDOW);
}

static enum mr_status take(struct queue *q, long count) {
    enum mr_status e = MR_OK;
    long taken = 0;
    for (; taken < count && e == MR_OK; taken++) e = take_one(q);
    if (e == MR_NONE && taken == 1) printf("nothing to do\n");
    enum mr_status rest = wait_for(q, 0);
    return e == MR_OK || e == MR_NONE ? rest : e;
}

static enum mr_status show(struct queue *q) {
    struct mr_stream_state s;
    struct mr_consumer_state c;
    mr_stream_state(q->stream, &s);
    mr_consumer_state(q->consumer, &c);
    printf("%llu texts stored, %llu not taken, %llu taken and not confirmed\n", (unsigned long long)s.msgs,
           (unsigned long long)c.num_pending, (unsigned long long)c.num_ack_pending);
    return MR_OK;
}

int main(int argc, char **argv) {
    if (argc < 3) {
        fprintf(stderr, "usage: %s FOLDER put [TEXT...] | take [COUNT] | show\n", argv[0]);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ); /* what is said is said at once: the next moment may be the last */
    struct queue q = {0};
    enum mr_status e = open_queue(&q, argv[1]);
    if (e == MR_OK && strcmp(argv[2], "put") == 0) {
        e = put(&q, argc - 3, argv + 3);
    } else if (e == MR_OK && strcmp(argv[2], "take") == 0) {
        e = take(&q, argc > 3 ? strtol(argv[3], NULL, 10) : 1);
    } else if (e == MR_OK) {
        e = show(&q);
    }
    if (q.shard) mr_shard_close(q.shard);
    mr_env_close(q.env);
    if (e != MR_OK) fprintf(stderr, "%s: %s\n", argv[0], mr_status_text(e));
    return e == MR_OK ? 0 : 1;
}
