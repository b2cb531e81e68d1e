/* test_log_full.c - a disk that hangs: what would be appended waits, everything else of the shards goes on,
 * and nothing is lost or reordered once the disk is back. A gate in fdatasync() is the disk. */
#include <errno.h>
#include <unistd.h>

#include "shard_host.h"

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gate_moved = PTHREAD_COND_INITIALIZER;
static bool gate_closed;

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);

int __wrap_fdatasync(int fd) {
    pthread_mutex_lock(&gate);
    while (gate_closed) pthread_cond_wait(&gate_moved, &gate);
    pthread_mutex_unlock(&gate);
    return __real_fdatasync(fd);
}

static void disk_hangs(bool hangs) {
    pthread_mutex_lock(&gate);
    gate_closed = hangs;
    pthread_cond_broadcast(&gate_moved);
    pthread_mutex_unlock(&gate);
}

/* --- a server with two shards and a stream on each; clients come to the shards in turn --- */

struct field {
    struct running *r;
    char folder[32];
    struct client *control; /* on shard 0 */
};

/* What $JS.API answers, its JSON: valid until the next line is heard. */
static const char *ask(struct client *c, const char *call, const char *body) {
    static int number;
    char head[64];
    number++;
    say(c, "SUB re.%d %d\r\nUNSUB %d 1\r\nPUB $JS.API.%s re.%d %zu\r\n%s\r\n", number, 1000 + number,
        1000 + number, call, number, strlen(body), body);
    snprintf(head, sizeof head, "MSG re.%d ", number);
    for (;;) {
        const char *line = hear(c);
        CHECK(line[0]);
        if (strncmp(line, head, strlen(head)) == 0) return hear(c);
    }
}

/* An answer on $JS.API holds this text. */
static void api(struct client *c, const char *call, const char *body, const char *want) {
    const char *line = ask(c, call, body);
    if (!strstr(line, want)) fprintf(stderr, "no %s in %s\n", want, line);
    CHECK(strstr(line, want) != NULL);
}

static void field_open(struct field *f) {
    snprintf(f->folder, sizeof f->folder, "/tmp/test_full.XXXXXX");
    CHECK(mkdtemp(f->folder) != NULL);
    f->r = start(2, -1);
    f->r->o.jetstream = true;
    snprintf(f->r->o.store_dir, sizeof f->r->o.store_dir, "%s", f->folder);
    launch(f->r);
    CHECK(f->r->ready);
    f->control = join(f->r);
    api(f->control, "STREAM.CREATE.S0", "{\"name\":\"S0\",\"subjects\":[\"s0.>\"]}", "\"did_create\":true");
    api(f->control, "STREAM.CREATE.S1", "{\"name\":\"S1\",\"subjects\":[\"s1.>\"]}", "\"did_create\":true");
}

static void field_close(struct field *f) {
    char command[64];
    hang_up(f->control);
    CHECK_EQ(stop(f->r), 0);
    snprintf(command, sizeof command, "rm -rf %s", f->folder);
    CHECK_EQ(system(command), 0);
}

/* Publishes numbered messages until the server takes no more for a while; how many. Whole messages only. */
enum { BODY = 16384 };
static int publish_until_held(struct client *c, const char *subject) {
    static char block[BODY + 128];
    int count = 0;
    for (;;) {
        int head = snprintf(block, 128, "PUB %s %d\r\n", subject, BODY);
        memset(block + head, '.', BODY);
        int digits = snprintf(block + head, 16, "%012d", count);
        block[head + digits] = '.';
        memcpy(block + head + BODY, "\r\n", 2);
        size_t n = (size_t)head + BODY + 2, done = 0;
        while (done < n) {
            ssize_t sent = send(c->fd, block + done, n - done, MSG_NOSIGNAL | MSG_DONTWAIT);
            CHECK(sent > 0 || errno == EAGAIN);
            struct pollfd p = {.fd = c->fd, .events = POLLOUT};
            if (sent < 0 && poll(&p, 1, 300) == 0) {
                if (done == 0) return count;
                disk_hangs(false); /* in the middle of one: let it go on */
                done += (size_t)send(c->fd, block + done, n - done, MSG_NOSIGNAL);
                CHECK_EQ(done, n);
                disk_hangs(true);
                return count + 1;
            }
            if (sent > 0) done += (size_t)sent;
        }
        count++;
        CHECK(count < 20000);
    }
}

/* A publisher that stays where it is: too many subscriptions to move. */
static struct client *settled(struct running *r) {
    struct client *c = join(r);
    for (int i = 0; i < 20; i++) say(c, "SUB unused.%d %d\r\n", i, 100 + i);
    say(c, "PING\r\n");
    expect(c, "PONG");
    return c;
}

/* A PONG says that the publishes before it were taken, not that they are stored: those the log still holds
 * back follow at its pace, so the stream is asked until they have. */
static void expect_stored(struct client *c, const char *stream, int count) {
    char call[64], want[64];
    snprintf(call, sizeof call, "STREAM.INFO.%s", stream);
    snprintf(want, sizeof want, "\"messages\":%d,", count);
    for (int tries = 0; tries < 2000 && !strstr(ask(c, call, ""), want); tries++) usleep(10000);
    api(c, call, "", want);
}

/* The last message of a publisher is the one it sent last. */
static void expect_last(struct client *c, const char *subject, int number) {
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char text[16], body[64], want[64] = "\"data\":\"";
    snprintf(text, sizeof text, "%012d", number);
    size_t at = strlen(want);
    for (size_t i = 0; i < 12; i += 3) {
        unsigned v =
            (unsigned)(uint8_t)text[i] << 16 | (unsigned)(uint8_t)text[i + 1] << 8 | (uint8_t)text[i + 2];
        for (int k = 18; k >= 0; k -= 6) want[at++] = digit[v >> k & 63];
    }
    want[at] = '\0';
    snprintf(body, sizeof body, "{\"last_by_subj\":\"%s\"}", subject);
    api(c, "STREAM.MSG.GET.S1", body, want);
}

/* Core messages, interest and PONGs cross to and from the shard whose disk hangs, both from clients of that
 * shard and of the other one, while publishers to its stream wait. */
static void others_go_on_by(bool moving) {
    struct field f;
    field_open(&f); /* control is on shard 0, so clients come to 1, 0, 1, 0 */
    struct client *sub1 = join(f.r), *sub0 = join(f.r), *far = NULL, *near = NULL;
    struct client *odd = moving ? join(f.r) : settled(f.r), *even = moving ? join(f.r) : settled(f.r);
    far = even, near = odd; /* s1 is on shard 1: one publisher there, one across */
    say(sub1, "SUB core 1\r\nPING\r\n");
    expect(sub1, "PONG");
    disk_hangs(true);
    int sent = publish_until_held(far, "s1.far");
    int more = publish_until_held(near, "s1.near");
    CHECK(sent > 0 && more > 0);
    for (int i = 0; i < 20; i++) {
        say(sub0, "PUB core 1\r\nx\r\nPING\r\n");
        expect(sub0, "PONG");
        expect(sub1, "MSG core 1 1");
        expect(sub1, "x");
        say(sub1, "SUB fresh.%d %d\r\nPING\r\n", i, 10 + i);
        expect(sub1, "PONG");
        say(sub0, "PUB fresh.%d 1\r\ny\r\nPING\r\n", i);
        expect(sub0, "PONG");
        char want[32];
        snprintf(want, sizeof want, "MSG fresh.%d %d 1", i, 10 + i);
        expect(sub1, want);
        expect(sub1, "y");
    }
    disk_hangs(false);
    say(far, "PING\r\n");
    expect(far, "PONG");
    say(near, "PING\r\n");
    expect(near, "PONG");
    expect_stored(f.control, "S1", sent + more);
    expect_stored(f.control, "S0", 0);
    expect_last(f.control, "s1.far", sent - 1);
    expect_last(f.control, "s1.near", more - 1);
    hang_up(sub0);
    hang_up(sub1);
    hang_up(far);
    hang_up(near);
    field_close(&f);
}

static void others_go_on(void) { others_go_on_by(false); }
static void others_go_on_and_publishers_move(void) { others_go_on_by(true); }

CHECK_MAIN(CASE(others_go_on), CASE(others_go_on_and_publishers_move))
