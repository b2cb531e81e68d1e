/* test_move.c - connections that move to the shard of the stream they publish to, in a whole server: nothing
 * that is for them, from any shard, is lost, doubled or out of order while they do; nor what they publish. */
#include "shard_host.h"

#include <stdatomic.h>

enum { PUBLISHERS = 3, ROUND = 70 };

static char folder[64];

static struct running *serve_moving(unsigned shards, int64_t wait_ns) {
    struct running *r = start(shards, -1);
    snprintf(folder, sizeof folder, "/tmp/test_move.XXXXXX");
    CHECK(mkdtemp(folder) != NULL);
    r->log.level = LOG_DEBUG;
    r->o.jetstream = true;
    r->o.conn.move_wait_ns = wait_ns;
    snprintf(r->o.store_dir, sizeof r->o.store_dir, "%s", folder);
    launch(r);
    CHECK(r->ready);
    return r;
}

static void remove_folder(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    CHECK_EQ(system(command), 0);
}

static unsigned moved(struct running *r) {
    pthread_mutex_lock(&r->mutex);
    unsigned n = r->moved;
    pthread_mutex_unlock(&r->mutex);
    return n;
}

/* One stream on each shard. */
static void add_streams(struct client *c, unsigned count) {
    say(c, "SUB made 900\r\n");
    for (unsigned i = 0; i < count; i++) {
        char body[200];
        int n = snprintf(
            body, sizeof body,
            "{\"name\":\"S%u\",\"subjects\":[\"f.%u\"],\"storage\":\"memory\",\"num_replicas\":1}", i, i);
        say(c, "PUB $JS.API.STREAM.CREATE.S%u made %d\r\n%s\r\n", i, n, body);
        CHECK(strncmp(hear(c), "MSG made 900 ", 13) == 0);
        CHECK(strstr(hear(c), "\"did_create\":true") != NULL);
    }
    say(c, "UNSUB 900\r\n");
}

/* --- a crowd that publishes to everybody --- */

struct crowd {
    struct client *c;
    int id, count; /* count: what was sent, once it has ended */
    atomic_bool *stop;
    atomic_int taken; /* by the one that moves; not too far behind, or all it would do is read */
    pthread_t thread;
};

/* Sequence numbers, so fast that some are always under way; a PONG now and then sets the pace. */
static void *publish_all(void *arg) {
    struct crowd *p = arg;
    while (!*p->stop) {
        if (p->count - p->taken > 200) {
            sched_yield();
            continue;
        }
        for (int i = 0; i < 20; i++) say(p->c, "PUB news.%d 8\r\n%8d\r\n", p->id, p->count++);
        say(p->c, "PING\r\n");
        expect(p->c, "PONG");
    }
    return NULL;
}

/* --- what the client that moves, and the one that watches it, have seen --- */

struct seen {
    int news[PUBLISHERS], acks, own;
    int expect_ack[ROUTE_SHARDS_MAX]; /* next sequence by stream */
};

/* Reads one message and checks that it is the next of its kind. */
static void take(struct client *c, struct seen *s) {
    char subject[64], line[256];
    const char *l = hear(c);
    int sid, n, seq, stream;
    CHECK(l[0]);
    if (strncmp(l, "INFO ", 5) == 0) return;
    if (strcmp(l, "PING") == 0) {
        say(c, "PONG\r\n");
        return;
    }
    snprintf(line, sizeof line, "%.200s", l);
    if (sscanf(line, "MSG %63s %d %d", subject, &sid, &n) != 3) {
        fprintf(stderr, "not a message: %s\n", line);
        CHECK(false);
    }
    const char *body = hear(c);
    if (strncmp(subject, "news.", 5) == 0) {
        CHECK_EQ(sid, 2);
        CHECK_EQ(atoi(body), s->news[atoi(subject + 5)]++);
    } else if (strncmp(subject, "own.", 4) == 0) {
        CHECK_EQ(sid, 3);
        CHECK_EQ(atoi(body), s->own++);
    } else {
        CHECK_EQ(sid, 1);
        CHECK_EQ(sscanf(subject, "ack.%d.%d", &stream, &seq), 2);
        CHECK_EQ(seq, ++s->expect_ack[stream]);
        char want[64];
        snprintf(want, sizeof want, "{\"stream\":\"S%d\",\"seq\":%d}", stream, seq);
        CHECK_STR(body, want);
        s->acks++;
    }
}

/* Publishes to one stream after the other, each time until it has moved there, with the answers on the way.
 */
static void moves_on(unsigned shards, int rounds) {
    struct running *r = serve_moving(shards, 1);
    struct crowd crowd[PUBLISHERS] = {0};
    atomic_bool stop_all = false;
    struct client *c = join(r), *watch = join(r);
    struct seen seen = {0}, watched = {0};
    int sent[ROUTE_SHARDS_MAX] = {0}, own = 0;
    add_streams(c, shards);
    say(c, "SUB ack.> 1\r\nSUB news.* 2\r\nSUB own.* 3\r\nPING\r\n");
    expect(c, "PONG");
    say(watch, "SUB own.* 3\r\nPING\r\n");
    expect(watch, "PONG");
    for (int i = 0; i < PUBLISHERS; i++) {
        crowd[i].c = join(r);
        crowd[i].id = i;
        crowd[i].stop = &stop_all;
        CHECK_EQ(pthread_create(&crowd[i].thread, NULL, publish_all, &crowd[i]), 0);
    }
    for (int round = 0; round < rounds; round++) {
        int stream = round % (int)shards, acks = seen.acks;
        for (int i = 0; i < 2; i++) say(c, "PUB own.%d 8\r\n%8d\r\n", round, own++);
        for (int i = 0; i < ROUND; i++) {
            sent[stream]++;
            say(c, "PUB f.%d ack.%d.%d 2\r\nhi\r\n", stream, stream, sent[stream]);
        }
        say(c, "PUB own.%d 8\r\n%8d\r\n", round, own++);
        while (seen.acks < acks + ROUND || seen.own < own) {
            take(c, &seen);
            for (int i = 0; i < PUBLISHERS; i++) crowd[i].taken = seen.news[i];
        }
        while (watched.own < own) take(watch, &watched);
    }
    stop_all = true;
    for (int i = 0; i < PUBLISHERS; i++) {
        pthread_join(crowd[i].thread, NULL);
        while (seen.news[i] < crowd[i].count) take(c, &seen);
    }
    say(c, "PING\r\n");
    expect(c, "PONG"); /* and nothing twice */
    for (int i = 0; i < PUBLISHERS; i++) hang_up(crowd[i].c);
    unsigned n = moved(r);
    if (n < (unsigned)rounds / 2) fprintf(stderr, "%u moves in %d rounds on %u shards\n", n, rounds, shards);
    CHECK(n >= (unsigned)rounds / 2);
    hang_up(c);
    hang_up(watch);
    CHECK_EQ(stop(r), 0);
    remove_folder();
}
static void moving_keeps_every_message(void) {
    moves_on(2, 200);
    moves_on(4, 200);
}

/* A send that the client does not take is stopped, and its rest goes along: a client that reads nothing
 * moves, and then finds every byte. */
static void what_is_not_read_goes_along(void) {
    enum { COUNT = 1500, SIZE = 8000 };
    struct running *r = serve_moving(2, (int64_t)3600 * 1000000000);
    struct client *c = join(r), *from[2] = {join(r), join(r)};
    char *text = malloc(SIZE + 64), want[64];
    add_streams(c, 2);
    say(c, "SUB big.* 4\r\nPING\r\n");
    expect(c, "PONG");
    for (int i = 0; i < COUNT; i++) {
        for (int k = 0; k < 2; k++) {
            int n = sprintf(text, "PUB big.%d %d\r\n%*d\r\n", k, SIZE, SIZE, i);
            CHECK_EQ(send(from[k]->fd, text, (size_t)n, MSG_NOSIGNAL), n);
        }
    }
    for (int k = 0; k < 2; k++) {
        say(from[k], "PING\r\n");
        expect(from[k], "PONG");
    }
    for (int i = 0; i < 4 * ROUND; i++) say(c, "PUB f.%d 2\r\nhi\r\n", i / (2 * ROUND));
    while (moved(r) == 0) poll(NULL, 0, 1);
    for (int next[2] = {0}; next[0] + next[1] < 2 * COUNT;) {
        const char *line = hear(c);
        if (strcmp(line, "PING") == 0 || strncmp(line, "INFO ", 5) == 0) continue;
        int k = strncmp(line, "MSG big.1", 9) == 0;
        snprintf(want, sizeof want, "MSG big.%d 4 %d", k, SIZE);
        CHECK_STR(line, want);
        line = hear(c);
        CHECK_EQ(strlen(line), SIZE);
        CHECK_EQ(atoi(line), next[k]++);
    }
    for (int k = 0; k < 2; k++) hang_up(from[k]);
    hang_up(c);
    free(text);
    CHECK_EQ(stop(r), 0);
    remove_folder();
}

/* Once moved, a connection stays for a while, however it publishes. */
static void moving_is_damped(void) {
    struct running *r = serve_moving(2, (int64_t)3600 * 1000000000);
    struct client *c = join(r);
    add_streams(c, 2);
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 3 * ROUND; i++) say(c, "PUB f.%d 2\r\nhi\r\n", round % 2);
        say(c, "PING\r\n");
        expect(c, "PONG");
    }
    CHECK_EQ(moved(r), 1);
    hang_up(c);
    CHECK_EQ(stop(r), 0);
    remove_folder();
}

/* What keeps a connection where it is: too many subscriptions, a queue group, a count; no stream there. */
static void some_stay(void) {
    static const char *const first[] = {"SUB a g 1\r\n", "SUB a 1\r\nUNSUB 1 5\r\n", "", ""};
    struct running *r = serve_moving(2, 1);
    struct client *c[4];
    for (int i = 0; i < 4; i++) c[i] = join(r);
    add_streams(c[0], 2);
    for (int i = 0; i < 2; i++) say(c[2 + i], "SUB core.%d 1\r\nPING\r\n", i);
    for (int i = 0; i < 2; i++) expect(c[2 + i], "PONG");
    for (int i = 0; i < 4; i++) {
        const char *subject = i == 3 ? "core" : "f";
        if (first[i][0]) say(c[i], "%s", first[i]);
        for (int s = 0; i == 2 && s < 17; s++) say(c[i], "SUB b.%d %d\r\n", s, 100 + s);
        for (int k = 0; k < 2 * ROUND; k++) {
            say(c[i], "PUB %s.%d 2\r\nhi\r\n", subject, k / ROUND);
            if (k % 50 == 49) say(c[i], "PUB nowhere 0\r\n\r\n");
        }
        for (int k = 0; k < 4 * ROUND; k++) say(c[i], "PUB %s.%d 2\r\nhi\r\n", subject, k / (2 * ROUND));
        say(c[i], "PING\r\n");
        const char *line;
        while (strcmp(line = hear(c[i]), "PONG") != 0) CHECK(line[0]);
    }
    CHECK_EQ(moved(r), 0);
    for (int i = 0; i < 4; i++) hang_up(c[i]);
    CHECK_EQ(stop(r), 0);
    remove_folder();
}

/* --- endings --- */

/* Nobody hears: a request is refused at once, by every shard. In the end; a shard may still have to learn. */
static void expect_nobody(struct client *c, int number, int round) {
    for (;;) {
        say(c, "PUB here.%d no.%d 0\r\n\r\nPING\r\n", round, number);
        bool refused = false;
        for (const char *line = hear(c); strcmp(line, "PONG") != 0; line = hear(c))
            refused |= strncmp(line, "HMSG no.", 8) == 0;
        if (refused) return;
    }
}

/* Clients vanish at every point of a move: no shard goes on believing that somebody is there. */
static void vanishing_on(unsigned shards, int rounds) {
    struct running *r = serve_moving(shards, 1);
    struct client *watch[4];
    for (int i = 0; i < 4; i++) watch[i] = join(r);
    add_streams(watch[0], shards);
    for (int i = 0; i < 4; i++) say(watch[i], "SUB no.%d 7\r\n", i);
    for (int round = 0; round < rounds; round++) {
        struct client *c = join(r);
        char text[128 * 32];
        size_t n = 0;
        say(c, "SUB ack.%d.> 1\r\nSUB here.%d 2\r\n", round, round);
        for (int i = 0; i < 60 + round % 20; i++)
            n += (size_t)sprintf(text + n, "PUB f.%d ack.%d.1 2\r\nhi\r\n", round % (int)shards, round);
        CHECK_EQ(send(c->fd, text, n, MSG_NOSIGNAL), n);
        for (int i = 0; i < round % 4; i++) say(watch[i], "PUB here.%d 2\r\nhi\r\n", round);
        if (round % 3 == 1) CHECK(hear(c)[0]); /* the first answer is back */
        if (round % 7 == 0) say(c, "BAD\r\n");
        hang_up(c);
    }
    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < 4; i++) expect_nobody(watch[i], i, round);
    }
    for (int i = 0; i < 4; i++) hang_up(watch[i]);
    CHECK_EQ(stop(r), 0);
    remove_folder();
}
static void vanishing_while_moving(void) {
    vanishing_on(2, 100);
    vanishing_on(4, 100);
}

/* The server is told to stop while they move: what was sent before is answered or not, but in order, and
 * everybody is closed. */
static void stopping_on(unsigned shards, int lives) {
    for (int life = 0; life < lives; life++) {
        struct running *r = serve_moving(shards, 1);
        struct client *c[6];
        for (int i = 0; i < 6; i++) c[i] = join(r);
        add_streams(c[0], shards);
        for (int i = 0; i < 6; i++) say(c[i], "SUB news.* 2\r\nSUB ack.%d.* 1\r\nPING\r\n", i);
        for (int i = 0; i < 6; i++) expect(c[i], "PONG");
        for (int k = 0; k < 64 + life * 3; k++) {
            for (int i = 0; i < 6; i++)
                say(c[i], "PUB f.%d ack.%d.%d 2\r\nhi\r\n", (i + life) % (int)shards, i, k);
        }
        CHECK_EQ(stop(r), 0);
        for (int i = 0; i < 6; i++) {
            int next = 0;
            for (const char *line = hear(c[i]); line[0]; line = hear(c[i])) {
                int who, k;
                if (sscanf(line, "MSG ack.%d.%d", &who, &k) != 2) continue;
                CHECK_EQ(who, i);
                CHECK_EQ(k, next++);
            }
            hang_up(c[i]);
        }
        remove_folder();
    }
}
static void stopping_while_moving(void) {
    stopping_on(2, 4);
    stopping_on(4, 4);
}

CHECK_MAIN(CASE(moving_keeps_every_message), CASE(what_is_not_read_goes_along), CASE(moving_is_damped),
           CASE(some_stay), CASE(vanishing_while_moving), CASE(stopping_while_moving))
