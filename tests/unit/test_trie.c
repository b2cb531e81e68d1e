/* test_trie.c - the trie against a plain list of patterns walked with a matcher of our own, under random
 * inserts, removals and look-ups. */
#include "subject/trie.h"

#include "base/rng.h"
#include "lib/check.h"

enum { SUBS = 400, TEXT = 24 };

struct sub {
    struct trie_entry entry;
    char pattern[TEXT];
    bool on, hit;
};

static struct sub subs[SUBS];

static void on_match(void *ctx, struct trie_entry *e) {
    struct sub *s = container_of(e, struct sub, entry);
    CHECK(s->on);
    CHECK(!s->hit); /* never twice */
    s->hit = true;
    ++*(size_t *)ctx;
}

/* Tokens are compared by recursion over both texts; knows nothing of spans. */
static bool naive_match(const char *l, const char *p) {
    if (!*l || *l == '.') return false;
    size_t ln = strcspn(l, "."), pn = strcspn(p, ".");
    if (strcmp(p, ">") == 0) return !l[ln] || naive_match(l + ln + 1, ">");
    if (!(pn == 1 && *p == '*') && (ln != pn || strncmp(l, p, ln) != 0)) return false;
    if (!l[ln] || !p[pn]) return !l[ln] && !p[pn];
    return naive_match(l + ln + 1, p + pn + 1);
}

static void text_random(struct rng *r, char *out, bool wild) {
    static const char *const words[] = {"a", "b", "cc", "ab", "*", ">"};
    size_t n = 1 + rng_below(r, 4);
    *out = 0;
    for (size_t i = 0; i < n; i++) {
        if (i) strcat(out, ".");
        strcat(out, words[rng_below(r, !wild ? 4 : i + 1 == n ? 6 : 5)]);
    }
}

static void compare(const struct trie *t, const char *literal) {
    size_t hits = 0, expected = 0;
    for (size_t i = 0; i < SUBS; i++) subs[i].hit = false;
    trie_match(t, span_str(literal), on_match, &hits);
    for (size_t i = 0; i < SUBS; i++) {
        bool want = subs[i].on && naive_match(literal, subs[i].pattern);
        if (want != subs[i].hit) {
            fprintf(stderr, "\"%s\" against \"%s\" is not %d\n", literal, subs[i].pattern, want);
            exit(1);
        }
        expected += want;
    }
    CHECK_EQ(hits, expected);
    CHECK_EQ(trie_has_match(t, span_str(literal)), expected != 0);
}

static void against_a_list(void) {
    struct trie t;
    trie_init(&t, 99);
    struct rng r = {1};
    size_t count = 0, wild = 0, matched = 0;
    for (int round = 0; round < 20000; round++) {
        struct sub *s = &subs[rng_below(&r, SUBS)];
        uint64_t before = t.generation;
        bool shrink = (round / 4000) & 1; /* phases of growth and of decay */
        if (s->on && (shrink || rng_below(&r, 3) == 0)) {
            wild -= strpbrk(s->pattern, "*>") != NULL;
            trie_remove(&t, &s->entry);
            s->on = false, count--;
            CHECK(t.generation != before);
        } else if (!s->on && (!shrink || rng_below(&r, 8) == 0)) {
            text_random(&r, s->pattern, rng_below(&r, 2));
            CHECK_EQ(trie_insert(&t, span_str(s->pattern), &s->entry), ERR_OK);
            wild += strpbrk(s->pattern, "*>") != NULL;
            s->on = true, count++;
            CHECK(t.generation != before);
        }
        CHECK_EQ(t.count, count);
        CHECK_EQ(t.wild_count, wild);
        if (round % 4) continue;
        char literal[TEXT];
        text_random(&r, literal, rng_below(&r, 8) == 0);
        before = t.generation;
        compare(&t, literal);
        CHECK_EQ(t.generation, before);
        matched += trie_has_match(&t, span_str(literal));
    }
    CHECK(matched > 1000 && matched < 5000);
    for (size_t i = 0; i < SUBS; i++) {
        if (subs[i].on) trie_remove(&t, &subs[i].entry);
    }
    CHECK_EQ(t.count, 0);
    CHECK(!trie_has_match(&t, SPAN_LIT("a")));
    trie_deinit(&t);
}

static void odd_literals(void) {
    static const char *const patterns[] = {">", "*", "a.*", "a.>", "*.b", "a", "a.b", "*.*.*"};
    static const char *const odd[] = {"",    ".",   ".a",  "a.",      "a..b", "..",  "*",   ">",
                                      "a.*", "a.>", "*.b", "a.b.c.d", "a b",  "a*b", "zzz", "a.b."};
    struct trie t;
    trie_init(&t, 5);
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        strcpy(subs[i].pattern, patterns[i]);
        CHECK_EQ(trie_insert(&t, span_str(patterns[i]), &subs[i].entry), ERR_OK);
        subs[i].on = true;
    }
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) compare(&t, odd[i]);
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) trie_remove(&t, &subs[i].entry);
    trie_deinit(&t);
}

static void several_on_one_pattern(void) {
    struct trie t;
    trie_init(&t, 5);
    for (size_t i = 0; i < 6; i++) {
        const char *pattern = i % 2 ? "x.*" : "x.y";
        strcpy(subs[i].pattern, pattern);
        subs[i].on = true;
        CHECK_EQ(trie_insert(&t, span_str(pattern), &subs[i].entry), ERR_OK);
    }
    compare(&t, "x.y");
    trie_remove(&t, &subs[2].entry), subs[2].on = false;
    trie_remove(&t, &subs[3].entry), subs[3].on = false;
    compare(&t, "x.y");
    CHECK_EQ(t.count, 4);
    CHECK_EQ(t.wild_count, 2);
    for (size_t i = 0; i < 6; i++) {
        if (i != 2 && i != 3) trie_remove(&t, &subs[i].entry);
    }
    trie_deinit(&t);
}

static void the_pattern_is_copied(void) {
    struct trie t;
    trie_init(&t, 5);
    char a[] = "one.two", b[] = "one.*.three";
    CHECK_EQ(trie_insert(&t, span_str(a), &subs[0].entry), ERR_OK);
    CHECK_EQ(trie_insert(&t, span_str(b), &subs[1].entry), ERR_OK);
    memset(a, 'z', sizeof a);
    memset(b, 'z', sizeof b);
    CHECK(trie_has_match(&t, SPAN_LIT("one.two")));
    CHECK(trie_has_match(&t, SPAN_LIT("one.q.three")));
    trie_remove(&t, &subs[0].entry);
    trie_remove(&t, &subs[1].entry);
    trie_deinit(&t);
}

static void bad_patterns_are_refused(void) {
    static const char *const bad[] = {"", ".", "a.", ".a", "a..b", ">.a", "a b", "a.>.b"};
    struct trie t;
    trie_init(&t, 5);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_EQ(trie_insert(&t, span_str(bad[i]), &subs[0].entry), ERR_INVAL);
    }
    CHECK_EQ(t.count, 0);
    CHECK_EQ(t.generation, 0);
    trie_deinit(&t);
}

/* The deepest legal pattern, and a literal far deeper than any pattern may be. */
static void deep(void) {
    static char text[4096];
    for (size_t i = 0; i < sizeof text; i += 2) text[i] = '*', text[i + 1] = '.';
    struct trie t;
    trie_init(&t, 5);
    CHECK_EQ(trie_insert(&t, span_of(text, 511), &subs[0].entry), ERR_OK);
    CHECK_EQ(trie_insert(&t, span_of(text, 513), &subs[1].entry), ERR_INVAL);
    CHECK(trie_has_match(&t, span_of(text, 511)));
    CHECK(!trie_has_match(&t, span_of(text, 509)));
    CHECK(!trie_has_match(&t, span_of(text, 4095)));
    trie_remove(&t, &subs[0].entry);
    CHECK_EQ(trie_insert(&t, SPAN_LIT(">"), &subs[0].entry), ERR_OK);
    CHECK(trie_has_match(&t, span_of(text, 4095)));
    trie_remove(&t, &subs[0].entry);
    trie_deinit(&t);
}

static void many_literals(void) {
    enum { N = 20000 };
    static struct trie_entry entries[N];
    struct trie t;
    trie_init(&t, 5);
    char text[32];
    for (int i = 0; i < N; i++) {
        snprintf(text, sizeof text, i % 2 ? "s.%d" : "s.%d.>", i);
        CHECK_EQ(trie_insert(&t, span_str(text), &entries[i]), ERR_OK);
    }
    for (int i = 0; i < N; i++) {
        snprintf(text, sizeof text, "s.%d", i);
        CHECK_EQ(trie_has_match(&t, span_str(text)), i % 2);
        strcat(text, ".x");
        CHECK_EQ(trie_has_match(&t, span_str(text)), 1 - i % 2);
    }
    for (int i = 0; i < N; i++) trie_remove(&t, &entries[i]);
    trie_deinit(&t); /* the leak checker sees to the rest */
}

static void literals_below_a_prefix(void) {
    static const struct {
        const char *pattern;
        bool same;
    } rows[] = {{"a.b.>", true},    {"a.*.>", true}, {"a.b.c.>", false}, {"a.b.*", false}, {"a.*.*", false},
                {"*.b.c.*", false}, {">", true},     {"a.c.d.*", true},  {"b.>", true},    {"a.b", true}};
    struct trie t;
    struct trie_entry e;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        trie_init(&t, 3);
        t.watched = SPAN_LIT("a.b.");
        CHECK(trie_same_below(&t, SPAN_LIT("a.b.")));
        CHECK_EQ(trie_insert(&t, span_str(rows[i].pattern), &e), ERR_OK);
        CHECK_EQ(trie_same_below(&t, SPAN_LIT("a.b.")), rows[i].same);
        CHECK_EQ(t.watched_count, 0);
        trie_remove(&t, &e);
        trie_deinit(&t);
    }
    trie_init(&t, 3);
    t.watched = SPAN_LIT("a.b.");
    CHECK_EQ(trie_insert(&t, SPAN_LIT("a.b.c"), &e), ERR_OK);
    CHECK_EQ(t.watched_count, 1);
    trie_remove(&t, &e);
    CHECK_EQ(t.watched_count, 0);
    trie_deinit(&t);
}

CHECK_MAIN(CASE(against_a_list), CASE(odd_literals), CASE(several_on_one_pattern),
           CASE(the_pattern_is_copied), CASE(bad_patterns_are_refused), CASE(deep), CASE(many_literals),
           CASE(literals_below_a_prefix))
