/* subject.c - the grammar of subjects, token by token. Happy path: one pass over both texts, no memory, no
 * state. Nothing can fail: whatever the bytes are, the answer is yes or no. An empty token makes a text match
 * nothing. */
#include "subject/subject.h"

#include "base/bytes.h"
#include "base/must.h"

/* Takes the next token off rest. The last one leaves rest.p NULL, which is how "a." (an empty token follows)
 * is told from "a" (nothing follows). */
static struct span token_take(struct span *rest) {
    must(rest->p != NULL);
    const uint8_t *dot = rest->n ? memchr(rest->p, '.', rest->n) : NULL;
    struct span token = span_of(rest->p, dot ? (size_t)(dot - rest->p) : rest->n);
    *rest = dot ? span_of(dot + 1, rest->n - token.n - 1) : SPAN_EMPTY;
    must(token.n == 0 || memchr(token.p, '.', token.n) == NULL);
    return token;
}

/* A walk starts with a pointer even if the text is empty. */
static struct span walk_of(struct span s) { return s.p ? s : SPAN_LIT(""); }

static bool is_star(struct span token) { return token.n == 1 && token.p[0] == '*'; }
static bool is_tail(struct span token) { return token.n == 1 && token.p[0] == '>'; }

static bool token_clean(struct span token) {
    for (size_t i = 0; i < token.n; i++) {
        uint8_t c = token.p[i];
        if (c == ' ' || (c >= '\t' && c <= '\r' && c != '\v')) return false;
    }
    return token.n != 0;
}

/* One walk for both questions: how many tokens if the subject is valid (0 when it is not), is any a wildcard.
 */
static size_t examine(struct span s, bool *wild) {
    must(wild != NULL);
    *wild = false;
    if (s.n == 0 || s.n > SUBJECT_MAX) return 0;
    must(s.p != NULL);
    size_t count = 0;
    bool tail = false;
    for (struct span rest = s; rest.p; count++) {
        struct span token = token_take(&rest);
        if (tail || !token_clean(token)) return 0;
        tail = is_tail(token);
        *wild |= tail || is_star(token);
    }
    return count <= SUBJECT_TOKENS_MAX ? count : 0;
}

bool subject_valid(struct span s) {
    must(s.p != NULL || s.n == 0);
    bool wild;
    return examine(s, &wild) != 0;
}

bool subject_literal(struct span s) {
    must(s.p != NULL || s.n == 0);
    bool wild;
    return examine(s, &wild) != 0 && !wild;
}

bool subject_has_wildcard(struct span s) {
    must(s.p != NULL || s.n == 0);
    for (struct span rest = walk_of(s); rest.p;) {
        struct span token = token_take(&rest);
        if (is_star(token) || is_tail(token)) return true;
    }
    return false;
}

/* The high bit of each byte of x that is zero; of bytes above a zero one it may be wrong. */
static uint64_t zero_bytes(uint64_t x) { return (x - 0x0101010101010101u) & ~x & 0x8080808080808080u; }

bool subject_whole(struct span s) {
    must(s.p != NULL || s.n == 0);
    if (s.n == 0 || s.p[0] == '.' || s.p[s.n - 1] == '.') return false;
    size_t i = 0;
    /* Two dots in a row begin at a byte whose neighbour is one too. What is wrong above the first zero is
     * never alone: a doubtful pair is looked at again below. */
    for (; i + 9 <= s.n; i += 8) {
        uint64_t dots = zero_bytes(load64(s.p + i) ^ 0x2e2e2e2e2e2e2e2eu);
        if (dots && dots & zero_bytes(load64(s.p + i + 1) ^ 0x2e2e2e2e2e2e2e2eu)) break;
    }
    for (i++; i < s.n; i++) {
        if (s.p[i] == '.' && s.p[i - 1] == '.') return false;
    }
    return true;
}

bool subject_match(struct span literal, struct span pattern) {
    must(literal.p != NULL || literal.n == 0);
    must(pattern.p != NULL || pattern.n == 0);
    struct span l = walk_of(literal), p = walk_of(pattern);
    while (p.p && l.p) {
        struct span want = token_take(&p);
        if (is_tail(want) && !p.p) return subject_whole(l);
        struct span have = token_take(&l);
        if (have.n == 0 || (!is_star(want) && !span_eq(have, want))) return false;
    }
    return !p.p && !l.p;
}

bool subject_subset(struct span sub, struct span super) {
    must(sub.p != NULL || sub.n == 0);
    must(super.p != NULL || super.n == 0);
    struct span s = walk_of(sub), p = walk_of(super);
    while (p.p && s.p) {
        struct span want = token_take(&p);
        if (is_tail(want) && !p.p) return subject_whole(s);
        struct span have = token_take(&s);
        if (have.n == 0 || (is_tail(have) && !s.p)) return false;
        if (!is_star(want) && !span_eq(have, want)) return false; /* a star in sub needs one in super */
    }
    return !p.p && !s.p;
}

bool subject_overlap(struct span a, struct span b) {
    must(a.p != NULL || a.n == 0);
    must(b.p != NULL || b.n == 0);
    struct span x = walk_of(a), y = walk_of(b);
    while (x.p && y.p) {
        if (is_tail(x)) return subject_whole(y);
        if (is_tail(y)) return subject_whole(x);
        struct span s = token_take(&x), t = token_take(&y);
        if (s.n == 0 || t.n == 0) return false;
        if (!is_star(s) && !is_star(t) && !span_eq(s, t)) return false;
    }
    return !x.p && !y.p;
}

size_t subject_tokens(struct span s) {
    must(s.p != NULL || s.n == 0);
    if (s.n == 0) return 0;
    size_t count = 1;
    for (size_t i = 0; i < s.n; i++) count += s.p[i] == '.';
    must(count <= s.n + 1);
    return count;
}
