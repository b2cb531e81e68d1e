/* test_engine_header.c - message ids in header blocks of all shapes are known again after a restart, each as
 * it was when the message came in. */
#include "engine_world.h"
#include "base/header.h"

struct shape {
    const char *hdr, *id; /* id NULL: the block names none */
};

/* What nats-server took for the id of each. */
static const struct shape shapes[] = {
    {"NATS/1.0\r\nNats-Msg-Id: a\r\n\r\n", "a"},
    {"NATS/1.0\r\nNats-Msg-Id: blank behind \r\n\r\n", "blank behind "},
    {"NATS/1.0\r\nNats-Msg-Id: blanks behind   \r\n\r\n", "blanks behind   "},
    {"NATS/1.0\r\nNats-Msg-Id:\ttab before\r\n\r\n", "\ttab before"},
    {"NATS/1.0\r\nNats-Msg-Id: tab behind\t\r\n\r\n", "tab behind\t"},
    {"NATS/1.0\r\nNats-Msg-Id:   blanks before\r\n\r\n", "blanks before"},
    {"NATS/1.0\r\n\r\nNats-Msg-Id: behind an empty line\r\n\r\n", "behind an empty line"},
    {"HTTP\r\nNats-Msg-Id: another version\r\n\r\n", "another version"},
    {"NATS/1.0\r\nNats-Msg-Id: no line end", "no line end"},
    {"NATS/1.0\r\nNats-Msg-Id: first\r\nNats-Msg-Id: second\r\n\r\n", "first"},
    {"NATS/1.0\r\nNats-Msg-Id : a\r\n\r\n", NULL},
    {"NATS/1.0\r\nNats-Msg-Id2: a\r\n\r\n", NULL},
    {"NATS/1.0\r\nNats-Msg-Id:\r\nNats-Msg-Id: a\r\n\r\n", ""},
    {"Nats-Msg-Id: a\r\n\r\n", NULL},
    {"", NULL},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

/* As the server does: what its reader finds in the block is handed in as the id. */
static enum mr_status deliver(struct mr_stream *s, const struct shape *x, uint64_t *seq) {
    struct span id = SPAN_EMPTY;
    bool found = header_get(span_str(x->hdr), SPAN_LIT("Nats-Msg-Id"), &id);
    CHECK_EQ(found, x->id != NULL);
    if (x->id) CHECK_MEM(id.p, id.n, x->id, strlen(x->id));
    struct mr_msg m = message("a", "x");
    m.hdr = str(x->hdr);
    struct mr_append_opts o = {.msg_id = {id.p, id.n}};
    struct mr_append_result r = {0};
    enum mr_status st = mr_append(s, &m, &o, &r);
    *seq = r.seq;
    return st;
}

static void known_again(void) {
    world_new(1);
    struct mr_stream *s = stream_new("S");
    uint64_t seq;
    for (size_t i = 0; i < SHAPES; i++) {
        CHECK_EQ(deliver(s, &shapes[i], &seq), MR_OK);
        CHECK_EQ(seq, i + 1);
    }
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < SHAPES; i++) {
            if (!shapes[i].id || !*shapes[i].id) continue;
            CHECK_EQ(deliver(s, &shapes[i], &seq), MR_DUPLICATE);
            CHECK_EQ(seq, i + 1);
        }
        world_reopen(1);
        s = stream_old("S");
    }
    world_close();
}

/* Ids that differ in a blank are different ones, before and after. */
static void blanks_count(void) {
    static const struct shape with = {"NATS/1.0\r\nNats-Msg-Id: id \r\n\r\n", "id "},
                              without = {"NATS/1.0\r\nNats-Msg-Id: id\r\n\r\n", "id"};
    world_new(1);
    uint64_t seq;
    CHECK_EQ(deliver(stream_new("S"), &with, &seq), MR_OK);
    world_reopen(1);
    CHECK_EQ(deliver(stream_old("S"), &without, &seq), MR_OK);
    CHECK_EQ(deliver(stream_old("S"), &with, &seq), MR_DUPLICATE);
    CHECK_EQ(seq, 1);
    world_close();
}

CHECK_MAIN(CASE(known_again), CASE(blanks_count))
