/* example.c - a work queue in one folder, with nothing but millrace.h:
 *
 *     millrace-example FOLDER put TEXT...   stores each text; says so when it is on the disk
 *     millrace-example FOLDER take          takes the next text; confirmed, so that it never comes again
 *     millrace-example FOLDER show          what is there
 *
 * Build it into a program of your own: one loop, mr_shard_run() until what you wait for was reported. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "millrace.h"

struct queue {
    struct mr_env *env;
    struct mr_shard *shard;
    struct mr_stream *stream;
    struct mr_consumer *consumer;
    size_t done, failed;
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
        if (done[i].status != MR_OK) q->failed++;
        if (done[i].kind == MR_DONE_APPEND)
            printf("%llu %s\n", (unsigned long long)done[i].seq, mr_status_text(done[i].status));
    }
}
static void on_ready(void *ctx, struct mr_consumer *c) { (void)ctx, (void)c; }
static void on_log(void *ctx, enum mr_log_level level, const char *text) {
    (void)ctx;
    if (level >= MR_LOG_WARN) fprintf(stderr, "%s\n", text);
}

static enum mr_status wait_done(struct queue *q, size_t count) {
    while (q->done < count) mr_shard_run(q->shard, 100 * 1000 * 1000);
    return q->failed ? MR_FAILED : MR_OK;
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
                                   .max_ack_pending = 1000};
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

static enum mr_status put(struct queue *q, int count, char **texts) {
    for (int i = 0; i < count; i++) {
        struct mr_msg m = {.subject = bytes("jobs"), .payload = bytes(texts[i])};
        struct mr_append_opts o = {.want_done = true};
        enum mr_status e;
        while ((e = mr_append(q->stream, &m, &o, NULL)) == MR_BUSY) mr_shard_run(q->shard, 100 * 1000 * 1000);
        if (e != MR_OK) return e;
    }
    return wait_done(q, (size_t)count);
}

static enum mr_status take(struct queue *q) {
    struct mr_delivery d;
    enum mr_status e;
    while ((e = mr_consumer_next(q->consumer, now(), 0, 0, &d)) == MR_LATER)
        mr_shard_run(q->shard, 100 * 1000 * 1000);
    if (e == MR_NONE) printf("nothing to do\n");
    if (e != MR_OK) return e == MR_NONE ? MR_OK : e;
    printf("%llu %.*s\n", (unsigned long long)d.view.seq, (int)d.view.msg.payload.n,
           (const char *)d.view.msg.payload.p);
    struct mr_ack a = {.kind = MR_ACK, .seq = d.view.seq, .consumer_seq = d.consumer_seq, .want_done = true};
    e = mr_consumer_ack(q->consumer, &a, now());
    return e == MR_OK ? wait_done(q, 1) : e;
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
        fprintf(stderr, "usage: %s FOLDER put TEXT... | take | show\n", argv[0]);
        return 2;
    }
    struct queue q = {0};
    enum mr_status e = open_queue(&q, argv[1]);
    if (e == MR_OK && strcmp(argv[2], "put") == 0) {
        e = put(&q, argc - 3, argv + 3);
    } else if (e == MR_OK && strcmp(argv[2], "take") == 0) {
        e = take(&q);
    } else if (e == MR_OK) {
        e = show(&q);
    }
    if (q.shard) mr_shard_close(q.shard);
    mr_env_close(q.env);
    if (e != MR_OK) fprintf(stderr, "%s: %s\n", argv[0], mr_status_text(e));
    return e == MR_OK ? 0 : 1;
}
