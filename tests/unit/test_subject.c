/* test_subject.c - the grammar by table, and every relation against brute force over all short literals. */
#include "subject/subject.h"

#include "base/rng.h"
#include "lib/check.h"

static void validity(void) {
    static const struct {
        const char *text;
        bool valid, literal, wild;
    } rows[] = {
        {"foo", 1, 1, 0},   {"foo.bar", 1, 1, 0}, {"foo.*", 1, 0, 1},    {"foo.>", 1, 0, 1},
        {"*", 1, 0, 1},     {">", 1, 0, 1},       {"*.*.>", 1, 0, 1},    {"foo*", 1, 1, 0},
        {"foo>", 1, 1, 0},  {"f*o.b>r", 1, 1, 0}, {"**", 1, 1, 0},       {"a.**.b", 1, 1, 0},
        {">>", 1, 1, 0},    {"$SYS.x", 1, 1, 0},  {"\xff\x01", 1, 1, 0}, {"a\vb", 1, 1, 0},
        {"", 0, 0, 0},      {".", 0, 0, 0},       {".a", 0, 0, 0},       {"a.", 0, 0, 0},
        {"a..b", 0, 0, 0},  {">.a", 0, 0, 1},     {"a.>.b", 0, 0, 1},    {"a b", 0, 0, 0},
        {"a\tb", 0, 0, 0},  {"a\rb", 0, 0, 0},    {"a\nb", 0, 0, 0},     {"a\fb", 0, 0, 0},
        {"a. .b", 0, 0, 0}, {"a.b.* ", 0, 0, 0},  {"*.", 0, 0, 1},       {"a.*.", 0, 0, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct span s = span_str(rows[i].text);
        if (subject_valid(s) != rows[i].valid || subject_literal(s) != rows[i].literal ||
            subject_has_wildcard(s) != rows[i].wild) {
            fprintf(stderr, "\"%s\": valid %d literal %d wild %d\n", rows[i].text, subject_valid(s),
                    subject_literal(s), subject_has_wildcard(s));
            exit(1);
        }
    }
    CHECK(!subject_valid(SPAN_EMPTY));
    CHECK(!subject_has_wildcard(SPAN_EMPTY));
}

static void bounds(void) {
    static char text[SUBJECT_MAX + 2];
    memset(text, 'a', sizeof text);
    CHECK(subject_valid(span_of(text, SUBJECT_MAX)));
    CHECK(!subject_valid(span_of(text, SUBJECT_MAX + 1)));
    for (size_t i = 1; i < SUBJECT_MAX; i += 2) text[i] = '.';
    CHECK(subject_valid(span_of(text, SUBJECT_TOKENS_MAX * 2 - 1)));
    CHECK(!subject_valid(span_of(text, SUBJECT_TOKENS_MAX * 2 + 1)));
    CHECK_EQ(subject_tokens(span_of(text, 2047)), 1024);
    CHECK(subject_match(span_of(text, 2047), SPAN_LIT(">"))); /* what is published is not bounded by tokens */
}

/* Dots at every place of texts long enough for the steps of eight, against the plain rule. */
static void whole(void) {
    struct rng rng = {7};
    for (int round = 0; round < 20000; round++) {
        uint8_t text[40];
        size_t n = rng_below(&rng, sizeof text + 1), pairs = 0;
        for (size_t i = 0; i < n; i++) text[i] = rng_below(&rng, 6) ? (uint8_t)rng_below(&rng, 256) : '.';
        for (size_t i = 1; i < n; i++) pairs += text[i] == '.' && text[i - 1] == '.';
        bool want = n > 0 && text[0] != '.' && text[n - 1] != '.' && pairs == 0;
        CHECK_EQ(subject_whole(span_of(text, n)), want);
    }
}

static void tokens(void) {
    CHECK_EQ(subject_tokens(SPAN_EMPTY), 0);
    CHECK_EQ(subject_tokens(SPAN_LIT("a")), 1);
    CHECK_EQ(subject_tokens(SPAN_LIT("a.b.c")), 3);
    CHECK_EQ(subject_tokens(SPAN_LIT("a..c")), 3);
}

static void matching(void) {
    static const struct {
        const char *literal, *pattern;
        bool yes;
    } rows[] = {
        {"foo", "foo", 1},
        {"foo", "fo", 0},
        {"fo", "foo", 0},
        {"foo.bar", "foo.*", 1},
        {"foo.bar", "*.bar", 1},
        {"foo.bar", "*", 0},
        {"foo", "*.*", 0},
        {"foo.bar", ">", 1},
        {"foo", "foo.>", 0},
        {"foo.", "foo.>", 0},
        {"foo.bar.baz", "foo.>", 1},
        {"a..b", ">", 0},
        {".a", ">", 0},
        {"a.", ">", 0},
        {"a.", "a.*", 0},
        {"a..b", "a.*.b", 0},
        {"", ">", 0},
        {"", "", 0},
        {"a.*", "a.*", 1},
        {"a.*", "a.b", 0},
        {"a.>", "a.*", 1},
        {"a.>", "a.>", 1},
        {">", "a", 0},
        {">", "*", 1},
        {"foo*", "foo*", 1},
        {"fooa", "foo*", 0},
        {"a.b.c", "a.*.c", 1},
        {"a.b.c", "a.*.d", 0},
        {"a.b.c", "*.*.*", 1},
        {"a.b", "a.b.>", 0},
        {"a.bc", "a.b", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (subject_match(span_str(rows[i].literal), span_str(rows[i].pattern)) == rows[i].yes) continue;
        fprintf(stderr, "\"%s\" against \"%s\" is not %d\n", rows[i].literal, rows[i].pattern, rows[i].yes);
        exit(1);
    }
}

/* --- brute force: patterns over {a, b, *, >} of up to 4 tokens, literals over {a, b, c} of up to 5; c stands
 * for every token no pattern names, 5 for every length beyond the longest --- */

enum { PATTERN_TOKENS = 4, LITERAL_TOKENS = 5, LITERALS = 3 + 9 + 27 + 81 + 243 };

static char literals[LITERALS][2 * LITERAL_TOKENS];

static void literals_fill(void) {
    size_t at = 0;
    for (int n = 1, count = 3; n <= LITERAL_TOKENS; n++, count *= 3) {
        for (int i = 0; i < count; i++, at++) {
            char *out = literals[at];
            for (int t = 0, v = i; t < n; t++, v /= 3) {
                if (t) *out++ = '.';
                *out++ = (char)('a' + v % 3);
            }
        }
    }
    CHECK_EQ(at, LITERALS);
}

static void pattern_random(struct rng *r, char *out) {
    size_t n = 1 + rng_below(r, PATTERN_TOKENS);
    for (size_t i = 0; i < n; i++) {
        if (i) *out++ = '.';
        *out++ = "ab*>"[rng_below(r, i + 1 == n ? 4 : 3)];
    }
    *out = 0;
}

/* Single-character tokens only: token i is byte 2i. */
static bool naive_match(const char *literal, const char *pattern) {
    size_t l = strlen(literal), p = strlen(pattern);
    for (size_t i = 0; i < p; i += 2) {
        if (pattern[i] == '>') return i < l;
        if (i >= l || (pattern[i] != '*' && pattern[i] != literal[i])) return false;
    }
    return l == p;
}

static void relations_match_brute_force(void) {
    literals_fill();
    struct rng r = {42};
    int subsets = 0, overlaps = 0;
    for (int round = 0; round < 4000; round++) {
        char a[16], b[16];
        pattern_random(&r, a);
        pattern_random(&r, b);
        CHECK(subject_valid(span_str(a)));
        bool subset = true, overlap = false;
        for (size_t i = 0; i < LITERALS; i++) {
            bool in_a = naive_match(literals[i], a), in_b = naive_match(literals[i], b);
            CHECK_EQ(subject_match(span_str(literals[i]), span_str(a)), in_a);
            subset &= !in_a || in_b;
            overlap |= in_a && in_b;
        }
        if (subject_subset(span_str(a), span_str(b)) != subset ||
            subject_overlap(span_str(a), span_str(b)) != overlap) {
            fprintf(stderr, "%s and %s: subset %d overlap %d\n", a, b, subset, overlap);
            exit(1);
        }
        subsets += subset, overlaps += overlap;
    }
    CHECK(subsets > 100 && overlaps > 100 && overlaps < 3900);
}

/* Any bytes at all: no crash, and the relations keep their logic. */
static void random_bytes_keep_the_logic(void) {
    struct rng r = {7};
    for (int round = 0; round < 100000; round++) {
        char a[12], b[12];
        size_t an = rng_below(&r, sizeof a), bn = rng_below(&r, sizeof b);
        for (size_t i = 0; i < an; i++) a[i] = "ab.*> \0."[rng_below(&r, 8)];
        for (size_t i = 0; i < bn; i++) b[i] = "ab.*> \0."[rng_below(&r, 8)];
        struct span x = span_of(a, an), y = span_of(b, bn);
        CHECK_EQ(subject_overlap(x, y), subject_overlap(y, x));
        if (subject_valid(x) && subject_valid(y) && subject_subset(x, y)) CHECK(subject_overlap(x, y));
        if (subject_valid(x)) CHECK(subject_subset(x, x) && subject_subset(x, SPAN_LIT(">")));
        if (subject_literal(x) && subject_valid(y)) {
            CHECK_EQ(subject_match(x, y), subject_subset(x, y));
            CHECK_EQ(subject_match(x, y), subject_overlap(x, y));
        }
    }
}

CHECK_MAIN(CASE(validity), CASE(bounds), CASE(whole), CASE(tokens), CASE(matching),
           CASE(relations_match_brute_force), CASE(random_bytes_keep_the_logic))
