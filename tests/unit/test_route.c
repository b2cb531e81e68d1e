/* test_route.c - the routing table of one to four shards against a model that looks at every subscription. */
#include "route/route.h"

#include "base/rng.h"
#include "lib/check.h"
#include "subject/subject.h"

enum { SHARDS_MAX = 4, SUBS_MAX = 400 };

struct world;
struct client {
    struct sub sub;
    struct world *world;
    unsigned shard;
    char subject[64], queue[16];
    bool live, refuses, congests;
    int got;
    struct client *drops; /* unsubscribed inside this one's deliver */
};

/* What was forwarded and is applied once the publish is over. */
struct forward {
    unsigned to;
    bool plain;
    size_t picks_n;
    char picks[ROUTE_PICKS_MAX][16];
};

struct world {
    unsigned shards;
    struct route *route[SHARDS_MAX];
    struct end {
        struct world *w;
        unsigned self;
    } end[SHARDS_MAX];
    struct client *clients;
    size_t clients_n;
    struct forward forwards[16];
    size_t forwards_n;
    int announced;
};

static void drop(struct client *c) {
    c->live = false;
    route_unsubscribe(c->world->route[c->shard], &c->sub);
}

static bool on_deliver(struct sink *sink, struct sub *sub, struct route_msg *m) {
    struct client *c = container_of(sub, struct client, sub);
    CHECK(sink == sub->sink);
    CHECK(c->live);
    if (c->refuses) return false;
    c->got++;
    if (c->congests) m->congested = true;
    if (c->drops && c->drops->live) drop(c->drops);
    return true;
}
static struct sink sink = {on_deliver};

static void on_announce(void *ctx, struct span subject, struct span queue, bool add) {
    struct end *e = ctx;
    e->w->announced++;
    for (unsigned s = 0; s < e->w->shards; s++) {
        if (s != e->self) route_remote(e->w->route[s], e->self, subject, queue, add);
    }
}

static void on_forward(void *ctx, unsigned shard, struct route_msg *m, const struct span *picks, size_t n,
                       bool plain) {
    struct end *e = ctx;
    CHECK(m->msg.subject.n > 0);
    CHECK(e->w->forwards_n < sizeof e->w->forwards / sizeof e->w->forwards[0]);
    CHECK(shard != e->self && shard < e->w->shards);
    struct forward *f = &e->w->forwards[e->w->forwards_n++];
    *f = (struct forward){.to = shard, .plain = plain, .picks_n = n};
    for (size_t i = 0; i < n; i++) memcpy(f->picks[i], picks[i].p, picks[i].n);
}

static struct world *world_open(unsigned shards) {
    struct world *w = calloc(1, sizeof *w);
    w->shards = shards;
    w->clients = calloc(SUBS_MAX, sizeof *w->clients);
    for (unsigned s = 0; s < shards; s++) {
        w->end[s] = (struct end){w, s};
        struct route_peer peer = {&w->end[s], on_announce, on_forward};
        CHECK_EQ(route_open(&w->route[s], s, shards, &peer, 42), ERR_OK);
    }
    return w;
}

static void world_close(struct world *w) {
    for (size_t i = 0; i < w->clients_n; i++) {
        if (w->clients[i].live) drop(&w->clients[i]);
    }
    for (unsigned s = 0; s < w->shards; s++) {
        struct route_stats st;
        route_stats(w->route[s], &st);
        CHECK_EQ(st.subs, 0);
        CHECK_EQ(st.remote_patterns, 0);
        route_close(w->route[s]);
    }
    free(w->clients);
    free(w);
}

static struct client *subscribe(struct world *w, unsigned shard, uint64_t cid, const char *subject,
                                const char *queue) {
    CHECK(w->clients_n < SUBS_MAX);
    struct client *c = &w->clients[w->clients_n++];
    *c = (struct client){.world = w, .shard = shard};
    snprintf(c->subject, sizeof c->subject, "%s", subject);
    snprintf(c->queue, sizeof c->queue, "%s", queue);
    c->sub.sink = &sink;
    c->sub.subject = span_str(c->subject);
    c->sub.queue = span_str(c->queue);
    c->sub.cid = cid;
    CHECK_EQ(route_subscribe(w->route[shard], &c->sub), ERR_OK);
    c->live = true;
    return c;
}

static size_t publish_msg(struct world *w, unsigned shard, struct route_msg *m) {
    for (size_t i = 0; i < w->clients_n; i++) w->clients[i].got = 0;
    w->forwards_n = 0;
    size_t got = route_publish(w->route[shard], m);
    for (size_t i = 0; i < w->forwards_n; i++) {
        struct forward *f = &w->forwards[i];
        struct span picks[ROUTE_PICKS_MAX];
        for (size_t k = 0; k < f->picks_n; k++) picks[k] = span_str(f->picks[k]);
        route_deliver(w->route[f->to], m, picks, f->picks_n, f->plain);
    }
    return got;
}

static size_t publish(struct world *w, unsigned shard, uint64_t cid, const char *subject, bool no_echo) {
    struct route_msg m = {.msg = {.subject = span_str(subject)}, .cid = cid, .no_echo = no_echo};
    return publish_msg(w, shard, &m);
}

/* --- the model --- */

static bool echoes(const struct client *c, uint64_t cid, bool no_echo) {
    return no_echo && c->sub.cid == cid;
}

static void check_plain(struct world *w, const char *subject, uint64_t cid, bool no_echo) {
    for (size_t i = 0; i < w->clients_n; i++) {
        struct client *c = &w->clients[i];
        if (c->queue[0]) continue;
        bool wants =
            c->live && subject_match(span_str(subject), span_str(c->subject)) && !echoes(c, cid, no_echo);
        CHECK_EQ(c->got, wants && !c->refuses);
    }
}

/* Exactly one member of the group when every shard that has one has one that takes it; never two. */
static void check_group(struct world *w, const char *queue, const char *subject, uint64_t cid, bool no_echo) {
    int got = 0;
    bool has[SHARDS_MAX] = {0}, takes[SHARDS_MAX] = {0};
    for (size_t i = 0; i < w->clients_n; i++) {
        struct client *c = &w->clients[i];
        if (strcmp(c->queue, queue) != 0) continue;
        got += c->got;
        if (!c->live || !subject_match(span_str(subject), span_str(c->subject))) continue;
        CHECK(c->got <= 1);
        has[c->shard] = true;
        if (!c->refuses && !echoes(c, cid, no_echo)) takes[c->shard] = true;
    }
    int with = 0, sure = 0;
    for (unsigned s = 0; s < w->shards; s++) with += has[s], sure += has[s] && takes[s];
    CHECK(got <= 1);
    if (with && with == sure) CHECK_EQ(got, 1);
    if (sure == 0) CHECK_EQ(got, 0);
}

static const char *const patterns[] = {"a",     "a.b",   "a.b.c", "a.*",   "a.>",   "*.b", ">",     "*",
                                       "a.*.c", "*.*.*", "b",     "b.c.d", "*.c.>", "b.>", "a.b.>", "foo*"};
static const char *const literals[] = {"a",  "a.b", "a.b.c", "b.c.d", "b",    "c",     "a..b",    ".a",
                                       "a.", "a.*", "a.>",   "*",     "foo*", "x.c.y", "a.b.c.d", "b.c"};
/* Acknowledgements, whose answers are shared (route/match.h) unless somebody looks at their last tokens. */
static const char *const ack_patterns[] = {
    "$JS.ACK.>",       "$JS.ACK.s.>",     "$JS.ACK.s.c.>", "$JS.ACK.*.c.>",   "$JS.ACK.s.c.*",
    "$JS.ACK.s.c.1.2", "$JS.ACK.s.c.*.2", "*.ACK.>",       "$JS.ACK.*.*.1.>", ">",
    "$JS.ACK.s.c",     "$JS.*.s.d.>"};
static const char *const ack_literals[] = {"$JS.ACK.s.c.1.2",  "$JS.ACK.s.c.1.3", "$JS.ACK.s.c.2.2",
                                           "$JS.ACK.s.c.1",    "$JS.ACK.s.c",     "$JS.ACK.s.c.",
                                           "$JS.ACK.s.c..2",   "$JS.ACK.s.d.1.2", "$JS.ACK.t.c.1.2",
                                           "$JS.ACK.s.c.1.2.", "$JS.ACK.s",       "$JS.ACK.s..1.2"};
static const char *const queues[] = {"", "", "q", "w", "long-queue"};
#define PICK(rng, list) (list)[rng_below(rng, sizeof(list) / sizeof((list)[0]))]

static void run_random(unsigned shards, uint64_t seed, bool acks) {
    struct rng rng = {seed};
    struct world *w = world_open(shards);
    for (int step = 0; step < 3000; step++) {
        uint64_t dice = rng_below(&rng, 10);
        if (dice == 0 && w->clients_n < SUBS_MAX) {
            unsigned shard = (unsigned)rng_below(&rng, shards);
            struct client *c =
                subscribe(w, shard, 1 + rng_below(&rng, 8),
                          acks ? PICK(&rng, ack_patterns) : PICK(&rng, patterns), PICK(&rng, queues));
            c->refuses = rng_below(&rng, 6) == 0;
        } else if (dice == 1 && w->clients_n) {
            struct client *c = &w->clients[rng_below(&rng, w->clients_n)];
            if (c->live) drop(c);
            if (acks && rng_below(&rng, 4) == 0) { /* few patterns are when answers are shared */
                for (size_t i = 0; i < w->clients_n; i++) {
                    if (w->clients[i].live) drop(&w->clients[i]);
                }
            }
        } else {
            const char *subject = acks ? PICK(&rng, ack_literals) : PICK(&rng, literals);
            uint64_t cid = 1 + rng_below(&rng, 8);
            bool no_echo = rng_below(&rng, 2);
            publish(w, (unsigned)rng_below(&rng, shards), cid, subject, no_echo);
            check_plain(w, subject, cid, no_echo);
            for (size_t q = 2; q < 5; q++) check_group(w, queues[q], subject, cid, no_echo);
        }
    }
    world_close(w);
}

static void random_against_model(void) {
    for (uint64_t seed = 1; seed <= 8; seed++) {
        for (unsigned shards = 1; shards <= SHARDS_MAX; shards++) {
            run_random(shards, seed, false);
            run_random(shards, seed, true);
        }
    }
}

static void counts_receivers(void) {
    struct world *w = world_open(2);
    CHECK_EQ(publish(w, 0, 9, "a.b", false), 0);
    subscribe(w, 0, 1, "a.b", "");
    subscribe(w, 1, 2, "a.*", "");
    subscribe(w, 1, 3, "a.>", "q");
    CHECK_EQ(publish(w, 0, 9, "a.b", false), 3);
    CHECK_EQ(w->forwards_n, 1); /* plain and pick in one hand-over */
    CHECK_EQ(publish(w, 0, 9, "x", false), 0);
    CHECK_EQ(publish(w, 0, 1, "a.b", true), 2);
    world_close(w);
}

static void invalid_subject_is_refused(void) {
    struct world *w = world_open(2);
    struct client c = {.world = w};
    c.sub.sink = &sink;
    c.sub.subject = SPAN_LIT("a..b");
    CHECK_EQ(route_subscribe(w->route[0], &c.sub), ERR_INVAL);
    CHECK_EQ(w->announced, 0);
    world_close(w);
}

static void local_only_stays_here(void) {
    struct world *w = world_open(2);
    struct client *c = &w->clients[w->clients_n++];
    *c = (struct client){.world = w, .shard = 0, .live = true, .subject = "$JS.API.>"};
    c->sub = (struct sub){.sink = &sink, .subject = span_str(c->subject), .local_only = true};
    CHECK_EQ(route_subscribe(w->route[0], &c->sub), ERR_OK);
    CHECK_EQ(w->announced, 0);
    CHECK(route_interest(w->route[0], SPAN_LIT("$JS.API.INFO")));
    CHECK(!route_interest(w->route[1], SPAN_LIT("$JS.API.INFO")));
    CHECK_EQ(publish(w, 1, 5, "$JS.API.INFO", false), 0);
    CHECK_EQ(publish(w, 0, 5, "$JS.API.INFO", false), 1);
    drop(c);
    CHECK_EQ(w->announced, 0);
    world_close(w);
}

static void interest_everywhere(void) {
    struct world *w = world_open(3);
    CHECK(!route_interest(w->route[0], SPAN_LIT("a.b")));
    struct client *c = subscribe(w, 2, 1, "a.*", "q");
    for (unsigned s = 0; s < 3; s++) CHECK(route_interest(w->route[s], SPAN_LIT("a.b")));
    drop(c);
    for (unsigned s = 0; s < 3; s++) CHECK(!route_interest(w->route[s], SPAN_LIT("a.b")));
    world_close(w);
}

/* Bound means this very subject and group, not a pattern over it. */
static void bound_exactly(void) {
    struct world *w = world_open(2);
    struct span s = SPAN_LIT("push.x"), q = SPAN_LIT("q");
    uint32_t before = route_generation(w->route[1]);
    struct client *wild = subscribe(w, 0, 1, "push.*", ""), *group = subscribe(w, 0, 1, "push.x", "q");
    CHECK(route_generation(w->route[1]) != before);
    for (unsigned i = 0; i < 2; i++) {
        CHECK(!route_bound(w->route[i], s, SPAN_EMPTY));
        CHECK(route_bound(w->route[i], s, q));
        CHECK(!route_bound(w->route[i], s, SPAN_LIT("r")));
    }
    struct client *plain = subscribe(w, 1, 1, "push.x", "");
    for (unsigned i = 0; i < 2; i++) CHECK(route_bound(w->route[i], s, SPAN_EMPTY));
    before = route_generation(w->route[0]);
    drop(plain);
    CHECK(route_generation(w->route[0]) != before);
    for (unsigned i = 0; i < 2; i++) CHECK(!route_bound(w->route[i], s, SPAN_EMPTY));
    drop(wild);
    drop(group);
    CHECK(!route_bound(w->route[1], s, q));
    world_close(w);
}

/* Six members, spread unevenly over shards and patterns: each is picked a sixth of the time, from wherever.
 */
static void picks_are_uniform(void) {
    struct world *w = world_open(3);
    struct client *c[6] = {
        subscribe(w, 0, 1, "a.b", "q"), subscribe(w, 1, 2, "a.b", "q"), subscribe(w, 1, 3, "a.*", "q"),
        subscribe(w, 2, 4, "a.>", "q"), subscribe(w, 2, 5, "a.b", "q"), subscribe(w, 2, 6, ">", "q"),
    };
    for (unsigned from = 0; from < 3; from++) {
        int times[6] = {0};
        for (int i = 0; i < 12000; i++) {
            CHECK_EQ(publish(w, from, 9, "a.b", false), 1);
            for (int k = 0; k < 6; k++) times[k] += c[k]->got;
        }
        for (int k = 0; k < 6; k++) CHECK(times[k] > 1800 && times[k] < 2200);
    }
    world_close(w);
}

static void refusing_members_are_passed_over(void) {
    struct world *w = world_open(2);
    struct client *deaf[4], *ok;
    for (int i = 0; i < 4; i++) (deaf[i] = subscribe(w, 0, 1, "x", "q"))->refuses = true;
    ok = subscribe(w, 0, 2, "x", "q");
    for (int i = 0; i < 200; i++) {
        CHECK_EQ(publish(w, 0, 9, "x", false), 1);
        CHECK_EQ(ok->got, 1);
    }
    drop(ok); /* all local ones refuse: the other shard's member gets it */
    struct client *far = subscribe(w, 1, 3, "*", "q");
    for (int i = 0; i < 200; i++) {
        CHECK_EQ(publish(w, 0, 9, "x", false), 1);
        CHECK_EQ(far->got, 1);
    }
    drop(far);
    CHECK_EQ(publish(w, 0, 9, "x", false), 0);
    world_close(w);
}

static void echo_off_in_groups(void) {
    struct world *w = world_open(1);
    struct client *own = subscribe(w, 0, 7, "x", "q"), *other = subscribe(w, 0, 8, "x", "q");
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(publish(w, 0, 7, "x", true), 1);
        CHECK_EQ(own->got, 0);
        CHECK_EQ(other->got, 1);
    }
    drop(other);
    CHECK_EQ(publish(w, 0, 7, "x", true), 0);
    world_close(w);
}

/* More groups on one shard than a hand-over can name: all are served, plain subscriptions once. */
static void many_groups(void) {
    struct world *w = world_open(2);
    char name[16];
    for (int i = 0; i < 2 * ROUTE_PICKS_MAX + 5; i++) {
        snprintf(name, sizeof name, "g%d", i);
        subscribe(w, 1, 2, "x", name);
    }
    struct client *plain = subscribe(w, 1, 3, ">", "");
    CHECK_EQ(publish(w, 0, 9, "x", false), 2 * ROUTE_PICKS_MAX + 6);
    CHECK_EQ(w->forwards_n, 3);
    CHECK_EQ(plain->got, 1);
    for (size_t i = 0; i < w->clients_n; i++) CHECK_EQ(w->clients[i].got, 1);
    world_close(w);
}

static void matches_where_it_goes(void) {
    struct world *w = world_open(2);
    struct client *stored = subscribe(w, 0, 1, "orders", ""), *inbox = subscribe(w, 1, 2, "_INBOX.1", "");
    struct route_msg m = {.msg = {.subject = SPAN_LIT("orders")}, .to = SPAN_LIT("_INBOX.1")};
    CHECK_EQ(publish_msg(w, 0, &m), 1);
    CHECK_EQ(stored->got, 0);
    CHECK_EQ(inbox->got, 1);
    world_close(w);
}

static void congestion_is_reported(void) {
    struct world *w = world_open(1);
    struct client *c = subscribe(w, 0, 1, "x", "");
    struct route_msg m = {.msg = {.subject = SPAN_LIT("x")}, .congested = true};
    publish_msg(w, 0, &m);
    CHECK(!m.congested);
    c->congests = true;
    publish_msg(w, 0, &m);
    CHECK(m.congested);
    world_close(w);
}

/* A connection that is closed by what it is sent takes all its subscriptions along, inside deliver. */
static void unsubscribe_inside_deliver(void) {
    struct world *w = world_open(1);
    struct client *c[4];
    for (int i = 0; i < 4; i++) c[i] = subscribe(w, 0, 1, i % 2 ? "x" : "*", i == 3 ? "q" : "");
    for (int i = 0; i < 3; i++) c[i]->drops = c[(i + 1) % 3];
    publish(w, 0, 9, "x", false);
    int got = 0;
    for (int i = 0; i < 3; i++) got += c[i]->got;
    CHECK(got >= 1 && got <= 2);
    CHECK_EQ(c[3]->got, 1);
    c[3]->drops = c[3];
    publish(w, 0, 9, "x", false);
    CHECK_EQ(c[3]->got, 1);
    publish(w, 0, 9, "x", false);
    CHECK_EQ(c[3]->got, 0);
    world_close(w);
}

/* --- answers that are kept --- */

static uint64_t hits(struct world *w) {
    struct route_stats st;
    route_stats(w->route[0], &st);
    return st.cache_hits;
}

static void answers_are_kept_until_something_changes(void) {
    struct world *w = world_open(2);
    struct client *a = subscribe(w, 0, 1, "a.*", "");
    publish(w, 0, 9, "a.b", false);
    uint64_t before = hits(w);
    publish(w, 0, 9, "a.b", false);
    CHECK_EQ(hits(w), before + 1);
    CHECK_EQ(a->got, 1);
    subscribe(w, 1, 1, "a.b", ""); /* elsewhere */
    CHECK_EQ(publish(w, 0, 9, "a.b", false), 2);
    CHECK_EQ(hits(w), before + 1);
    drop(a);
    CHECK_EQ(publish(w, 0, 9, "a.b", false), 1);
    CHECK_EQ(hits(w), before + 1);
    world_close(w);
}

/* Subjects come round often enough that answers are overwritten and slots are fought for. */
static void more_subjects_than_room(void) {
    struct world *w = world_open(1);
    struct client *all = subscribe(w, 0, 1, "s.>", ""), *odd = subscribe(w, 0, 2, "s.*.1", "");
    char subject[256];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 60000; i++) {
            int n = snprintf(subject, sizeof subject, "s.%d.%d.", i, i % 2);
            if (i % 3)
                subject[n - 1] = 0;
            else
                memset(subject + n, 'x', (size_t)(i % 150) + 1), subject[n + i % 150 + 1] = 0;
            publish(w, 0, 9, subject, false);
            CHECK_EQ(all->got, 1);
            CHECK_EQ(odd->got, i % 3 && i % 2);
        }
    }
    world_close(w);
}

static void answers_too_large_to_keep(void) {
    enum { N = 40000 };
    struct world *w = world_open(1);
    struct client *c = calloc(N, sizeof *c);
    for (int i = 0; i < N; i++) {
        c[i] = (struct client){.world = w, .live = true, .subject = "x", .queue = "q"};
        c[i].sub = (struct sub){
            .sink = &sink, .subject = span_str(c[i].subject), .queue = i % 2 ? SPAN_LIT("q") : SPAN_EMPTY};
        CHECK_EQ(route_subscribe(w->route[0], &c[i].sub), ERR_OK);
    }
    for (int round = 0; round < 2; round++) CHECK_EQ(publish(w, 0, 9, "x", false), N / 2 + 1);
    CHECK_EQ(hits(w), 0);
    for (int i = 0; i < N; i++) drop(&c[i]);
    world_close(w);
    free(c);
}

CHECK_MAIN(CASE(random_against_model), CASE(counts_receivers), CASE(invalid_subject_is_refused),
           CASE(local_only_stays_here), CASE(interest_everywhere), CASE(bound_exactly),
           CASE(picks_are_uniform), CASE(refusing_members_are_passed_over), CASE(echo_off_in_groups),
           CASE(many_groups), CASE(matches_where_it_goes), CASE(congestion_is_reported),
           CASE(unsubscribe_inside_deliver), CASE(answers_are_kept_until_something_changes),
           CASE(more_subjects_than_room), CASE(answers_too_large_to_keep))
