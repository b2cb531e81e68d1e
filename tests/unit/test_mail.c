/* test_mail.c - letters between shards: what waits, what they say, barriers, and two threads that sleep and
 * wake. */
#include "shard/mail.h"

#include <limits.h>
#include <pthread.h>

#include "base/bytes.h"
#include "base/rng.h"
#include "io/io.h"
#include "lib/check.h"
#include "shard/backlog.h"
#include "shard/barrier.h"
#include "shard/letters.h"

/* --- backlog --- */

static void backlog_keeps_order(void) {
    struct rng rng = {3};
    struct backlog b;
    uint64_t in = 0, out = 0;
    size_t bytes = 0, size[4096];
    backlog_init(&b);
    while (out < 4096) {
        struct span s;
        if (in < 4096 && rng_below(&rng, 5) < 3) {
            size_t n = 8 + (rng_below(&rng, 50) ? rng_below(&rng, 700) : rng_below(&rng, 400000));
            uint8_t *p = backlog_add(&b, n);
            CHECK_EQ((uintptr_t)p % 8, 0);
            memset(p, (int)in, n);
            store64(p, in);
            size[in++] = n;
            bytes += n;
        } else if (backlog_first(&b, &s)) {
            CHECK_EQ(load64(s.p), out);
            CHECK_EQ(s.n, size[out]);
            CHECK(s.n == 8 || s.p[s.n - 1] == (uint8_t)out);
            bytes -= s.n;
            out++;
            backlog_drop(&b);
        }
        CHECK_EQ(b.bytes, bytes);
        CHECK_EQ(backlog_empty(&b), in == out);
    }
    backlog_add(&b, 100);
    backlog_deinit(&b);
    CHECK(backlog_empty(&b));
}

/* --- a few shards in one thread --- */

enum { SHARDS_MAX = 3 };
struct office;
struct desk {
    struct office *office;
    unsigned self;
    struct io *io;
    struct mail *mail;
    struct barriers barriers;
    int letters, done;
    uint64_t done_cid[64];
    void (*on_letter)(struct desk *d, unsigned from, const struct letter *l);
};
struct office {
    unsigned shards;
    struct mail_post *post;
    struct desk desk[SHARDS_MAX];
};

static void on_mail(void *ctx, unsigned from, const struct letter *l) {
    struct desk *d = ctx;
    CHECK(from != d->self);
    if (l->kind == MAIL_BARRIER) {
        barriers_answer(&d->barriers, from, l->id);
    } else if (l->kind == MAIL_PASSED) {
        barriers_on_passed(&d->barriers, from, l->id);
    } else {
        d->letters++;
        if (d->on_letter) d->on_letter(d, from, l);
    }
}

static void on_done(void *ctx, const struct barrier_request *r) {
    struct desk *d = ctx;
    CHECK(d->done < 64);
    d->done_cid[d->done++] = r->cid;
}

static struct io *loop_open(void) {
    struct io *io;
    const char *why;
    CHECK_EQ(io_open(&io, &(struct io_config){.backend = IO_POSIX}, &why), ERR_OK);
    return io;
}

static struct office *office_open(unsigned shards) {
    struct office *o = calloc(1, sizeof *o);
    o->shards = shards;
    CHECK_EQ(mail_post_open(&o->post, shards), ERR_OK);
    for (unsigned s = 0; s < shards; s++) {
        struct desk *d = &o->desk[s];
        *d = (struct desk){.office = o, .self = s, .io = loop_open()};
        CHECK_EQ(mail_open(&d->mail, o->post, s, d->io, on_mail, d), ERR_OK);
        CHECK_EQ(barriers_init(&d->barriers, d->mail, s, shards, on_done, d), ERR_OK);
    }
    return o;
}

static void office_close(struct office *o) {
    for (unsigned s = 0; s < o->shards; s++) {
        barriers_deinit(&o->desk[s].barriers);
        mail_close(o->desk[s].mail);
    }
    for (unsigned s = 0; s < o->shards; s++) io_close(o->desk[s].io);
    mail_post_close(o->post);
    free(o);
}

static void turn(struct office *o, unsigned s) {
    struct desk *d = &o->desk[s];
    while (mail_drain(d->mail, 4096)) continue;
    barriers_complete(&d->barriers);
    barriers_send(&d->barriers);
    mail_publish(d->mail);
}

static void turns(struct office *o, int rounds) {
    for (int i = 0; i < rounds; i++) {
        for (unsigned s = 0; s < o->shards; s++) turn(o, s);
    }
}

static void expect_msg(struct desk *d, unsigned from, const struct letter *l) {
    struct routed r;
    CHECK_EQ(from, 0);
    CHECK_EQ(l->kind, MAIL_MSG);
    read_msg(l, &r);
    CHECK(span_eq(r.m.msg.subject, SPAN_LIT("a.b")));
    CHECK(span_eq(r.m.msg.hdr, SPAN_LIT("NATS/1.0\r\n\r\n")));
    CHECK_EQ(r.m.cid, 77);
    bool second = d->letters == 2;
    CHECK(span_eq(r.m.msg.reply, second ? SPAN_LIT("re") : SPAN_EMPTY));
    CHECK(span_eq(r.m.to, second ? SPAN_LIT("inbox") : SPAN_EMPTY));
    CHECK_EQ(r.m.msg.payload.n, second ? 900000 : 0);
    CHECK_EQ(r.m.no_echo, second);
    CHECK_EQ(r.plain, !second);
    CHECK_EQ(r.picks_n, second ? ROUTE_PICKS_MAX : 1);
    CHECK(span_eq(r.picks[0], SPAN_LIT("q")));
}

static void routed_messages(void) {
    static uint8_t big[900000];
    struct office *o = office_open(2);
    o->desk[1].on_letter = expect_msg;
    struct span picks[ROUTE_PICKS_MAX];
    for (size_t i = 0; i < ROUTE_PICKS_MAX; i++) picks[i] = SPAN_LIT("q");
    struct routed r = {
        .m = {.msg = {.subject = SPAN_LIT("a.b"), .hdr = SPAN_LIT("NATS/1.0\r\n\r\n")}, .cid = 77},
        .picks = picks,
        .picks_n = 1,
        .plain = true};
    post_msg(o->desk[0].mail, 1, &r);
    r.m.msg.payload = span_of(big, sizeof big);
    r.m.msg.reply = SPAN_LIT("re");
    r.m.to = SPAN_LIT("inbox");
    r.m.no_echo = true;
    r.plain = false;
    r.picks_n = ROUTE_PICKS_MAX;
    post_msg(o->desk[0].mail, 1, &r);
    CHECK(!mail_lie_down(o->desk[1].mail) ||
          o->desk[1].letters == 0); /* nothing is visible before publishing */
    turns(o, 1);
    CHECK_EQ(o->desk[1].letters, 2);
    office_close(o);
}

static void expect_interest(struct desk *d, unsigned from, const struct letter *l) {
    CHECK_EQ(l->kind, MAIL_INTEREST);
    CHECK_EQ(from, 1);
    CHECK(span_eq(l->spans[0], SPAN_LIT("a.>")));
    CHECK_EQ(l->spans[1].n, d->letters == 1 ? 0 : 1);
    CHECK_EQ(l->flags, d->letters == 1);
}

static void interest_goes_to_all(void) {
    struct office *o = office_open(3);
    for (int s = 0; s < 3; s++) o->desk[s].on_letter = expect_interest;
    post_interest(o->desk[1].mail, SPAN_LIT("a.>"), SPAN_EMPTY, true);
    post_interest(o->desk[1].mail, SPAN_LIT("a.>"), SPAN_LIT("q"), false);
    CHECK_EQ(mail_sent(o->desk[1].mail), 4);
    turns(o, 2);
    CHECK_EQ(o->desk[0].letters, 2);
    CHECK_EQ(o->desk[1].letters, 0);
    CHECK_EQ(o->desk[2].letters, 2);
    office_close(o);
}

static void called(void *ctx, void *arg) {
    struct desk *d = ctx;
    *(unsigned *)arg = d->self + 10;
}
static void expect_call(struct desk *d, unsigned from, const struct letter *l) {
    (void)from;
    read_call(l, d);
}

static void calls_run_there(void) {
    struct office *o = office_open(2);
    unsigned where = 0;
    o->desk[1].on_letter = expect_call;
    post_call(o->desk[0].mail, 1, called, &where);
    turns(o, 1);
    CHECK_EQ(where, 11);
    office_close(o);
}

/* --- room --- */

static void send_numbered(struct mail *m, unsigned to, uint64_t number, size_t n) {
    uint8_t *p = malloc(n + 1);
    memset(p, (int)number, n);
    struct span s = span_of(p, n);
    mail_send(m, to, &(struct letter){.kind = MAIL_CAST, .id = number, .arg = n, .spans = &s, .spans_n = 1});
    free(p);
}

static void check_numbered(const struct letter *l, uint64_t number) {
    CHECK_EQ(l->kind, MAIL_CAST);
    CHECK_EQ(l->id, number);
    CHECK_EQ(l->spans[0].n, l->arg);
    for (size_t i = 0; i < l->arg; i++) CHECK(l->spans[0].p[i] == (uint8_t)number);
}

static void expect_numbered(struct desk *d, unsigned from, const struct letter *l) {
    (void)from;
    check_numbered(l, (uint64_t)d->letters);
}

/* Far more than the queue takes, in all sizes: all of it arrives, once, in order; congestion comes and goes.
 */
static void what_finds_no_room_waits(void) {
    enum { N = 3000 };
    struct rng rng = {5};
    struct office *o = office_open(2);
    o->desk[1].on_letter = expect_numbered;
    for (uint64_t i = 1; i <= N; i++) {
        send_numbered(o->desk[0].mail, 1, i,
                      rng_below(&rng, 40) ? rng_below(&rng, 3000) : rng_below(&rng, 1 << 20));
    }
    CHECK(mail_congested(o->desk[0].mail, 1));
    CHECK(mail_congested(o->desk[0].mail, UINT_MAX));
    CHECK(!mail_congested(o->desk[1].mail, UINT_MAX));
    mail_publish(o->desk[0].mail);
    int before = -1;
    while (o->desk[1].letters < N) {
        CHECK(o->desk[1].letters > before); /* each turn gets on */
        before = o->desk[1].letters;
        turn(o, 1);
        turn(o, 0);
    }
    CHECK(!mail_congested(o->desk[0].mail, 1));
    office_close(o);
}

/* A megabyte a letter would let the queue's small pointers stand for gigabytes: blocks have an allowance. */
static void blocks_are_bounded(void) {
    struct office *o = office_open(2);
    o->desk[1].on_letter = expect_numbered;
    for (uint64_t i = 1; i <= 40; i++) send_numbered(o->desk[0].mail, 1, i, 1 << 20);
    mail_publish(o->desk[0].mail);
    CHECK(mail_congested(o->desk[0].mail, 1));
    turn(o, 1);
    CHECK(o->desk[1].letters >= 15 && o->desk[1].letters <= 16);
    turns(o, 4);
    CHECK_EQ(o->desk[1].letters, 40);
    office_close(o);
}

/* What is under way or waits at the end is freed (the leak checker looks). */
static void closing_drops_letters(void) {
    struct office *o = office_open(2);
    for (uint64_t i = 1; i <= 40; i++) send_numbered(o->desk[0].mail, 1, i, i % 2 ? 10 : 1 << 20);
    mail_publish(o->desk[0].mail);
    office_close(o);
}

/* --- barriers --- */

static void barrier_waits_for_all(void) {
    struct office *o = office_open(3);
    struct desk *d = &o->desk[0];
    CHECK(barriers_idle(&d->barriers)); /* nothing was sent */
    send_numbered(d->mail, 1, 1, 10);
    CHECK(!barriers_idle(&d->barriers));
    barriers_request(&d->barriers, 2, NULL);
    turn(o, 0);
    turn(o, 1);
    turn(o, 0);
    CHECK_EQ(o->desk[1].letters, 1);
    CHECK_EQ(d->done, 0); /* shard 2 has not answered */
    turn(o, 2);
    turn(o, 0);
    CHECK_EQ(d->done, 1);
    CHECK_EQ(d->done_cid[0], 2);
    CHECK(barriers_idle(&d->barriers));
    barriers_request(&d->barriers, 3, NULL); /* through already, yet never answered inside the call */
    CHECK_EQ(d->done, 1);
    CHECK(barriers_due(&d->barriers));
    turn(o, 0);
    CHECK_EQ(d->done, 2);
    office_close(o);
}

static void barrier_requests_keep_order(void) {
    struct office *o = office_open(2);
    struct desk *d = &o->desk[0];
    send_numbered(d->mail, 1, 1, 10);
    barriers_request(&d->barriers, 1, NULL);
    turn(o, 0);
    barriers_request(&d->barriers, 2, NULL); /* nothing new was sent: joins the round under way */
    CHECK_EQ(d->barriers.round, 1);
    CHECK(!d->barriers.wanted);
    send_numbered(d->mail, 1, 2, 10);
    barriers_request(&d->barriers, 3, NULL);
    barriers_request(&d->barriers, 4, NULL);
    turn(o, 1);
    turn(o, 0);
    CHECK_EQ(d->done, 2);
    CHECK_EQ(o->desk[1].letters, 1);
    turns(o, 2);
    CHECK_EQ(d->done, 4);
    for (uint64_t i = 0; i < 4; i++) CHECK_EQ(d->done_cid[i], i + 1);
    CHECK_EQ(d->barriers.round, 2);
    office_close(o);
}

static void barrier_random(void) {
    struct rng rng = {9};
    struct office *o = office_open(3);
    uint64_t asked[SHARDS_MAX] = {0}, done[SHARDS_MAX] = {0};
    for (int step = 0; step < 20000; step++) {
        unsigned s = (unsigned)rng_below(&rng, 3);
        struct desk *d = &o->desk[s];
        switch (rng_below(&rng, 4)) {
        case 0: send_numbered(d->mail, (s + 1 + (unsigned)rng_below(&rng, 2)) % 3, 1, 8); break;
        case 1:
            if (asked[s] - done[s] >= 60) break;
            if (barriers_idle(&d->barriers)) CHECK_EQ(asked[s], done[s]);
            barriers_request(&d->barriers, ++asked[s], NULL);
            break;
        default: turn(o, s);
        }
        for (unsigned i = 0; i < 3; i++) {
            for (int k = 0; k < o->desk[i].done; k++) CHECK_EQ(o->desk[i].done_cid[k], ++done[i]);
            o->desk[i].done = 0;
        }
    }
    office_close(o);
}

/* --- two threads --- */

enum { THREAD_LETTERS = 60000 };
struct worker {
    struct mail_post *post;
    pthread_barrier_t *gate;
    unsigned self;
    struct io *io;
    struct mail *mail;
    uint64_t seen, sent, naps;
};

static void worker_letter(void *ctx, unsigned from, const struct letter *l) {
    struct worker *w = ctx;
    CHECK_EQ(from, 1 - w->self);
    check_numbered(l, ++w->seen);
}

static void *work(void *arg) {
    struct worker *w = arg;
    struct rng rng = {w->self + 1};
    w->io = loop_open();
    CHECK_EQ(mail_open(&w->mail, w->post, w->self, w->io, worker_letter, w), ERR_OK);
    pthread_barrier_wait(w->gate);
    bool down = w->self == 1 && mail_lie_down(w->mail); /* one sleeps for certain, however they are scheduled */
    pthread_barrier_wait(w->gate);
    if (down) {
        w->naps++;
        io_tick(w->io, UINT64_MAX);
        mail_get_up(w->mail);
    }
    while (w->seen < THREAD_LETTERS || w->sent < THREAD_LETTERS || mail_congested(w->mail, UINT_MAX)) {
        /* the second thread answers only, so that both sleep often */
        uint64_t most = w->self == 0 ? THREAD_LETTERS : w->seen,
                 burst = rng_below(&rng, 100) ? rng_below(&rng, 8) : 600;
        for (; burst && w->sent < most && !mail_congested(w->mail, UINT_MAX); burst--) {
            size_t n = rng_below(&rng, 500) ? rng_below(&rng, 200) : rng_below(&rng, 600000);
            send_numbered(w->mail, 1 - w->self, ++w->sent, n);
        }
        mail_publish(w->mail);
        bool stuck = w->sent == most || mail_congested(w->mail, UINT_MAX); /* only the other one can help */
        bool naps = stuck && w->seen < THREAD_LETTERS;
        if (naps && mail_lie_down(w->mail)) {
            w->naps++;
            io_tick(w->io, UINT64_MAX);
            mail_get_up(w->mail);
        }
        mail_drain(w->mail, 100000);
    }
    mail_publish(w->mail);
    pthread_barrier_wait(w->gate);
    mail_close(w->mail);
    pthread_barrier_wait(w->gate);
    io_close(w->io);
    return NULL;
}

/* Every letter arrives in order although both sides sleep whenever they can: a lost wake-up would hang here.
 */
static void two_threads(void) {
    struct worker w[2];
    pthread_t t;
    pthread_barrier_t gate;
    struct mail_post *post;
    CHECK_EQ(mail_post_open(&post, 2), ERR_OK);
    pthread_barrier_init(&gate, NULL, 2);
    for (unsigned s = 0; s < 2; s++) w[s] = (struct worker){.post = post, .gate = &gate, .self = s};
    CHECK_EQ(pthread_create(&t, NULL, work, &w[1]), 0);
    work(&w[0]);
    pthread_join(t, NULL);
    for (int s = 0; s < 2; s++) CHECK_EQ(w[s].seen, THREAD_LETTERS);
    CHECK(w[0].naps + w[1].naps > 0);
    mail_post_close(post);
    pthread_barrier_destroy(&gate);
}

CHECK_MAIN(CASE(backlog_keeps_order), CASE(routed_messages), CASE(interest_goes_to_all),
           CASE(calls_run_there), CASE(what_finds_no_room_waits), CASE(blocks_are_bounded),
           CASE(closing_drops_letters), CASE(barrier_waits_for_all), CASE(barrier_requests_keep_order),
           CASE(barrier_random), CASE(two_threads))
