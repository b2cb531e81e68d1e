/* test_shard.c - a whole server in this process, on one, two and four shards, over real sockets: what only
 * shows when connections sit on different shards, and how it starts and stops. */
#include "shard_host.h"

/* --- cases --- */

/* Who subscribed and saw PONG gets what anybody publishes from then on, wherever they sit. */
static void pong_is_a_barrier_on(unsigned shards) {
    struct running *r = serve(shards);
    struct client *c[4];
    char want[64];
    for (int i = 0; i < 4; i++) c[i] = join(r);
    for (int round = 0; round < 400; round++) {
        struct client *sub = c[round % 4], *pub = c[(round + 1 + round / 4 % 3) % 4];
        say(sub, "SUB s.%d %d\r\nPING\r\n", round, round + 1);
        expect(sub, "PONG");
        say(pub, "PUB s.%d 2\r\nhi\r\n", round);
        snprintf(want, sizeof want, "MSG s.%d %d 2", round, round + 1);
        expect(sub, want);
        expect(sub, "hi");
        say(sub, "UNSUB %d\r\nPING\r\n", round + 1);
        expect(sub, "PONG");
        say(pub, "PUB s.%d r.%d 2\r\nhi\r\nPING\r\n", round,
            round); /* nobody: and it knows, or a status would come */
        expect(pub, "PONG");
    }
    for (int i = 0; i < 4; i++) hang_up(c[i]);
    CHECK_EQ(stop(r), 0);
}
static void pong_is_a_barrier(void) { on_each(pong_is_a_barrier_on); }

/* Requests find responders on any shard, groups get each message once, and a stranger's request is refused.
 */
static void requests_cross_shards_on(unsigned shards) {
    enum { N = 200 };
    struct running *r = serve(shards);
    struct client *asks = join(r), *answers[4];
    int served = 0;
    for (int i = 0; i < 4; i++) {
        answers[i] = join(r);
        say(answers[i], "SUB svc.* workers 1\r\nPING\r\n");
        expect(answers[i], "PONG");
    }
    say(asks, "SUB in.> 9\r\nPUB none in.x 0\r\n\r\nPING\r\n");
    expect(asks, "HMSG in.x 9 36 36");
    expect(asks, "NATS/1.0 503");
    expect(asks, "Nats-Subject: none");
    for (int i = 0; i < 2; i++) expect(asks, "");
    expect(asks, "PONG");
    for (int i = 0; i < N; i++) say(asks, "PUB svc.%d in.%d 1\r\nx\r\n", i, i);
    for (int i = 0; i < 4; i++) {
        say(asks, "PING\r\n");
        expect(asks, "PONG");
        say(answers[i], "PING\r\n");
        for (const char *line; strcmp(line = hear(answers[i]), "PONG") != 0;)
            served += strncmp(line, "MSG svc.", 8) == 0;
    }
    CHECK_EQ(served, N);
    for (int i = 0; i < 4; i++) hang_up(answers[i]);
    hang_up(asks);
    CHECK_EQ(stop(r), 0);
}
static void requests_cross_shards(void) { on_each(requests_cross_shards_on); }

/* One publisher's messages keep their order on the way to a subscriber elsewhere, in all sizes. */
static void order_across_shards_on(unsigned shards) {
    enum { N = 3000 };
    struct running *r = serve(shards);
    struct client *pub = join(r), *sub = join(r);
    char want[64];
    say(sub, "SUB o 1\r\nPING\r\n");
    expect(sub, "PONG");
    for (int i = 0; i < N; i++) {
        int n = i * 37 % 900;
        say(pub, "PUB o %d\r\n%0*d\r\n", n + 8, n + 8, i);
    }
    for (int i = 0; i < N; i++) {
        int n = i * 37 % 900;
        snprintf(want, sizeof want, "MSG o 1 %d", n + 8);
        expect(sub, want);
        const char *body = hear(sub);
        CHECK_EQ(strlen(body), n + 8);
        CHECK_EQ(atoi(body), i);
    }
    hang_up(pub);
    hang_up(sub);
    CHECK_EQ(stop(r), 0);
}
static void order_across_shards(void) { on_each(order_across_shards_on); }

static void limit_counts_all_shards(void) {
    struct running *r = start(4, -1);
    struct client *c[5];
    r->o.max_connections = 4;
    launch(r);
    for (int i = 0; i < 4; i++) c[i] = join(r);
    c[4] = dial(r);
    CHECK(strncmp(hear(c[4]), "INFO ", 5) == 0);
    expect(c[4], "-ERR 'maximum connections exceeded'");
    expect(c[4], "");
    hang_up(c[4]);
    hang_up(c[2]);
    for (;;) { /* there is room again once the server has seen both leave */
        struct client *again = dial(r);
        hear(again);
        say(again, "CONNECT {\"verbose\":false}\r\nPING\r\n");
        const char *line = hear(again);
        bool in = strcmp(line, "PONG") == 0;
        CHECK(in || strcmp(line, "-ERR 'maximum connections exceeded'") == 0 || !line[0]);
        hang_up(again);
        if (in) break;
    }
    for (int i = 0; i < 4; i++) {
        if (i != 2) hang_up(c[i]);
    }
    CHECK_EQ(stop(r), 0);
}

/* What was published before the server was told to stop still reaches its subscribers; then they are closed.
 */
static void stopping_delivers_first(void) {
    struct running *r = serve(2);
    struct client *pub = join(r), *sub = join(r);
    say(sub, "SUB x 1\r\nPING\r\n");
    expect(sub, "PONG");
    for (int i = 0; i < 500; i++) say(pub, "PUB x 3\r\nabc\r\n");
    say(pub, "PING\r\n");
    expect(pub, "PONG");
    kill(getpid(), SIGTERM);
    for (int i = 0; i < 500; i++) {
        expect(sub, "MSG x 1 3");
        expect(sub, "abc");
    }
    expect(sub, "");
    expect(pub, "");
    CHECK_EQ(finish(r), 0);
    hang_up(pub);
    hang_up(sub);
}

static void taken_port_is_said(void) {
    struct sockaddr_in a = {.sin_family = AF_INET};
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_EQ(bind(fd, (void *)&a, n), 0);
    CHECK_EQ(listen(fd, 1), 0);
    CHECK_EQ(getsockname(fd, (void *)&a, &n), 0);
    struct running *r = start(2, ntohs(a.sin_port));
    launch(r);
    CHECK(!r->ready);
    CHECK(strstr(r->lines, "address already in use") != NULL);
    CHECK_EQ(finish(r), 1);
    close(fd);
}

static void lame_duck_tells_and_closes(void) {
    struct running *r = start(2, -1);
    r->o.lame_duck_ns = 2000000;
    r->o.lame_duck_grace_ns = 1000000;
    launch(r);
    struct client *c[3];
    for (int i = 0; i < 3; i++) {
        c[i] = dial(r);
        hear(c[i]);
        say(c[i], "CONNECT {\"verbose\":false,\"protocol\":1}\r\nPING\r\n");
        CHECK_STR(hear(c[i]), "PONG");
        CHECK(strstr(hear(c[i]), "\"connect_info\":true") != NULL);
    }
    kill(getpid(), SIGUSR2);
    for (int i = 0; i < 3; i++) {
        CHECK(strstr(hear(c[i]), "\"ldm\":true") != NULL);
        CHECK_STR(hear(c[i]), "");
        hang_up(c[i]);
    }
    CHECK_EQ(finish(r), 0);
}

/* --- streams --- */

static void remove_folder(const char *path) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", path);
    CHECK_EQ(system(command), 0);
}

static struct running *serve_streams(unsigned shards, const char *folder) {
    struct running *r = start(shards, -1);
    r->o.jetstream = true;
    snprintf(r->o.store_dir, sizeof r->o.store_dir, "%s", folder);
    launch(r);
    CHECK(r->ready);
    return r;
}

/* Sends a request on $JS.API and returns the answer's body. */
static const char *request(struct client *c, const char *subject, const char *body) {
    static int number;
    char want[64];
    number++;
    say(c, "SUB re.%d %d\r\nUNSUB %d 1\r\nPUB %s re.%d %zu\r\n%s\r\n", number, 1000 + number, 1000 + number,
        subject, number, strlen(body), body);
    snprintf(want, sizeof want, "MSG re.%d ", number);
    for (;;) {
        const char *line = hear(c);
        CHECK(line[0]);
        if (strncmp(line, want, strlen(want)) == 0) return hear(c);
    }
}

static void add_stream(struct client *c, int number) {
    char subject[64], body[256];
    snprintf(subject, sizeof subject, "$JS.API.STREAM.CREATE.S%d", number);
    snprintf(body, sizeof body,
             "{\"name\":\"S%d\",\"subjects\":[\"s%d.>\"],\"storage\":\"file\",\"num_replicas\":1}", number,
             number);
    CHECK(strstr(request(c, subject, body), "\"did_create\":true") != NULL);
}

static void expect_messages(struct client *c, int stream, int messages) {
    char subject[64], want[32];
    snprintf(subject, sizeof subject, "$JS.API.STREAM.INFO.S%d", stream);
    snprintf(want, sizeof want, "\"messages\":%d,", messages);
    const char *body = request(c, subject, "");
    if (!strstr(body, want)) fprintf(stderr, "stream %d: %s\n", stream, body);
    CHECK(strstr(body, want) != NULL);
}

/* Streams on all shards take from clients on all shards, and one folder opens with any number of shards. */
static void streams_survive_restarts(void) {
    enum { STREAMS = 6, CLIENTS = 3 };
    static const unsigned counts[] = {1, 4, 2};
    char folder[] = "/tmp/test_shard.XXXXXX", subject[64], want[64];
    CHECK(mkdtemp(folder) != NULL);
    for (int life = 0; life < 3; life++) {
        struct running *r = serve_streams(counts[life], folder);
        struct client *c[CLIENTS];
        for (int i = 0; i < CLIENTS; i++) c[i] = join(r);
        for (int s = 0; life == 0 && s < STREAMS; s++) add_stream(c[s % CLIENTS], s);
        for (int s = 0; s < STREAMS; s++) {
            expect_messages(c[s % CLIENTS], s, life * CLIENTS);
            for (int i = 0; i < CLIENTS; i++) {
                snprintf(subject, sizeof subject, "s%d.x", s);
                snprintf(want, sizeof want, "{\"stream\":\"S%d\",\"seq\":%d}", s, life * CLIENTS + i + 1);
                CHECK_STR(request(c[i], subject, "hello"), want);
            }
            expect_messages(c[(s + 1) % CLIENTS], s, (life + 1) * CLIENTS);
        }
        for (int i = 0; i < CLIENTS; i++) hang_up(c[i]);
        CHECK_EQ(stop(r), 0);
    }
    remove_folder(folder);
}

/* What was sent before the signal is stored and acknowledged before the connection closes. */
static void stopping_acknowledges_first(void) {
    enum { N = 200 };
    char folder[] = "/tmp/test_shard.XXXXXX";
    CHECK(mkdtemp(folder) != NULL);
    struct running *r = serve_streams(2, folder);
    struct client *c[2] = {join(r), join(r)};
    add_stream(c[0], 1);
    int acked = 0, sent = 0;
    for (int k = 0; k < 2; k++) {
        say(c[k], "SUB ack%d 1\r\n", k);
        for (int i = 0; i < N; i++, sent++) say(c[k], "PUB s1.x ack%d 1\r\nx\r\n", k);
        say(c[k], "PING\r\n");
    }
    for (int k = 0; k < 2; k++) { /* all was read by then, not all is acknowledged */
        for (const char *line; strcmp(line = hear(c[k]), "PONG") != 0;)
            acked += strncmp(line, "{\"stream\"", 9) == 0;
    }
    kill(getpid(), SIGTERM);
    for (int k = 0; k < 2; k++) {
        for (const char *line; (line = hear(c[k]))[0];) acked += strncmp(line, "{\"stream\"", 9) == 0;
        hang_up(c[k]);
    }
    CHECK_EQ(acked, sent);
    CHECK_EQ(finish(r), 0);
    remove_folder(folder);
}

static void foreign_folder_is_refused(void) {
    char folder[] = "/tmp/test_shard.XXXXXX", file[64];
    CHECK(mkdtemp(folder) != NULL);
    snprintf(file, sizeof file, "%s/precious", folder);
    FILE *f = fopen(file, "w");
    CHECK(f != NULL);
    fclose(f);
    struct running *r = start(2, -1);
    r->o.jetstream = true;
    snprintf(r->o.store_dir, sizeof r->o.store_dir, "%s", folder);
    launch(r);
    CHECK(!r->ready);
    CHECK(strstr(r->lines, "not a Millrace store") != NULL);
    CHECK_EQ(finish(r), 1);
    remove_folder(folder);
}

/* --- pace --- */

struct flood {
    struct client *c;
    int count;
    size_t size;
};

static void *flood(void *arg) {
    struct flood *f = arg;
    char *block = malloc(f->size + 64);
    int head = snprintf(block, 64, "PUB flood %zu\r\n", f->size);
    memset(block + head, 'x', f->size);
    memcpy(block + head + f->size, "\r\n", 2);
    for (int i = 0; i < f->count; i++) {
        size_t n = (size_t)head + f->size + 2, done = 0;
        while (done < n) {
            ssize_t sent = send(f->c->fd, block + done, n - done, MSG_NOSIGNAL);
            CHECK(sent > 0);
            done += (size_t)sent;
        }
    }
    free(block);
    return NULL;
}

/* A client that reads, but slower than another one on another shard publishes: it is not closed, the
 * publisher waits. */
static void publishers_keep_pace(void) {
    struct running *r = start(2, -1);
    r->o.conn.max_pending = 16 << 20;
    launch(r);
    struct flood f = {.c = join(r), .count = 6000, .size = 8000};
    struct client *sub = join(r);
    pthread_t t;
    say(sub, "SUB flood 1\r\nPING\r\n");
    expect(sub, "PONG");
    CHECK_EQ(pthread_create(&t, NULL, flood, &f), 0);
    for (int i = 0; i < f.count; i++) {
        expect(sub, "MSG flood 1 8000");
        CHECK_EQ(strlen(hear(sub)), 8000);
        if (i % 8 == 0) poll(NULL, 0, 1);
    }
    pthread_join(t, NULL);
    CHECK(strstr(r->lines, "Slow Consumer") == NULL);
    hang_up(f.c);
    hang_up(sub);
    CHECK_EQ(stop(r), 0);
}

CHECK_MAIN(CASE(pong_is_a_barrier), CASE(requests_cross_shards), CASE(order_across_shards),
           CASE(limit_counts_all_shards), CASE(stopping_delivers_first), CASE(taken_port_is_said),
           CASE(lame_duck_tells_and_closes), CASE(streams_survive_restarts),
           CASE(stopping_acknowledges_first), CASE(foreign_folder_is_refused), CASE(publishers_keep_pace))
