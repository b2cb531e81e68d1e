/* trie.c - patterns without wildcards lie in one hash table, whole; patterns with wildcards lie in a trie of
 * tokens whose nodes hold literal children in a hash table and the two wildcards in fields. A pattern is one
 * node, and the node lists the entries subscribed to it.
 *
 * Happy path: a match looks the literal up once and, only if wildcard patterns exist, walks the trie: at most
 * two branches a level, so never more nodes than the trie has. Matching allocates nothing. Inserting may run
 * out of memory: then what was built on the way is taken down again and the trie is as before. */
#include "subject/trie.h"

#include <stdlib.h>

#include "base/must.h"
#include "subject/subject.h"

/* What hangs below a node; only nodes that have children pay for it. */
struct trie_kids {
    struct map_str literal;
    struct trie_node *star, *tail;
};

struct trie_node {
    struct list entries;
    struct trie_node *parent; /* NULL: the root, or a whole pattern in the literals table */
    struct trie_kids *kids;
    uint16_t token_n;
    bool whole;
    uint8_t token[]; /* one token, or the whole literal pattern */
};

static_must(SUBJECT_MAX <= UINT16_MAX);

static struct span node_text(const struct trie_node *n) { return span_of(n->token, n->token_n); }

void trie_init(struct trie *t, uint64_t seed) {
    must(t != NULL);
    *t = (struct trie){0};
    map_str_init(&t->literals, seed);
    must(t->literals.seed == seed);
}

static struct trie_node *node_new(struct span text, bool whole) {
    must(text.n <= SUBJECT_MAX);
    must(text.p != NULL);
    struct trie_node *n = malloc(sizeof *n + text.n);
    if (!n) return NULL;
    *n = (struct trie_node){.token_n = (uint16_t)text.n, .whole = whole};
    list_init(&n->entries);
    memcpy(n->token, text.p, text.n);
    return n;
}

static bool node_empty(const struct trie_node *n) { return list_empty(&n->entries) && !n->kids; }

static void node_free(struct trie_node *n) {
    must(list_empty(&n->entries));
    must(n->kids == NULL);
    free(n);
}

static void kids_drop_if_empty(struct trie_node *n) {
    struct trie_kids *k = n->kids;
    must(k != NULL);
    must(!n->whole);
    if (k->literal.count || k->star || k->tail) return;
    map_str_deinit(&k->literal);
    free(k);
    n->kids = NULL;
}

static bool is_wild(struct span token, char c) { return token.n == 1 && token.p[0] == (uint8_t)c; }

/* The field that holds a wildcard child, NULL for a literal token. */
static struct trie_node **kids_wild_slot(struct trie_kids *k, struct span token) {
    must(token.n > 0);
    if (is_wild(token, '*')) return &k->star;
    return is_wild(token, '>') ? &k->tail : NULL;
}

/* Takes a node without entries or children out, and whatever above it thereby becomes empty. */
static void prune(struct trie *t, struct trie_node *n) {
    must(n != NULL);
    while (node_empty(n) && n != t->root) {
        struct trie_node *parent = n->parent;
        must(parent != NULL);
        must(parent->kids != NULL);
        struct trie_node **slot = kids_wild_slot(parent->kids, node_text(n));
        void *gone = slot ? *slot : map_str_del(&parent->kids->literal, node_text(n));
        must(gone == n);
        if (slot) *slot = NULL;
        node_free(n);
        kids_drop_if_empty(parent);
        n = parent;
    }
}

/* The child for this token, made when missing. NULL: no memory, and the node is as it was. */
static struct trie_node *child_get(struct trie *t, struct trie_node *n, struct span token) {
    must(!n->whole);
    must(token.n > 0);
    if (!n->kids) {
        n->kids = calloc(1, sizeof *n->kids);
        if (!n->kids) return NULL;
        map_str_init(&n->kids->literal, t->literals.seed);
    }
    struct trie_node **slot = kids_wild_slot(n->kids, token);
    struct trie_node *child = slot ? *slot : map_str_get(&n->kids->literal, token);
    if (child) return child;
    child = node_new(token, false);
    if (child) child->parent = n;
    if (child && slot) *slot = child;
    if (child && !slot && map_str_put(&n->kids->literal, node_text(child), child) != ERR_OK) {
        node_free(child);
        child = NULL;
    }
    if (!child) kids_drop_if_empty(n);
    return child;
}

static struct trie_node *wild_get(struct trie *t, struct span pattern) {
    must(subject_has_wildcard(pattern));
    if (!t->root) t->root = node_new(SPAN_LIT(""), false);
    struct trie_node *n = t->root;
    while (n && pattern.n) {
        const uint8_t *dot = memchr(pattern.p, '.', pattern.n);
        struct span token = span_of(pattern.p, dot ? (size_t)(dot - pattern.p) : pattern.n);
        struct trie_node *child = child_get(t, n, token);
        if (!child) prune(t, n);
        n = child;
        pattern = span_skip(pattern, token.n + 1);
    }
    must(n == NULL || n != t->root);
    return n;
}

static struct trie_node *literal_get(struct trie *t, struct span pattern) {
    must(!subject_has_wildcard(pattern));
    struct trie_node *n = map_str_get(&t->literals, pattern);
    if (n) return n;
    n = node_new(pattern, true);
    if (n && map_str_put(&t->literals, node_text(n), n) != ERR_OK) {
        node_free(n);
        n = NULL;
    }
    must(n == NULL || n->whole);
    return n;
}

static bool is_watched(const struct trie *t, struct span literal) {
    return t->watched.n && span_starts(literal, t->watched);
}

enum err trie_insert(struct trie *t, struct span pattern, struct trie_entry *e) {
    must(t != NULL);
    must(e != NULL);
    if (!subject_valid(pattern)) return ERR_INVAL;
    bool wild = subject_has_wildcard(pattern);
    struct trie_node *n = wild ? wild_get(t, pattern) : literal_get(t, pattern);
    if (!n) return ERR_NOMEM;
    e->node = n;
    list_add_tail(&n->entries, &e->link);
    t->count++;
    t->wild_count += wild;
    t->watched_count += !wild && is_watched(t, pattern);
    t->generation++;
    return ERR_OK;
}

void trie_remove(struct trie *t, struct trie_entry *e) {
    struct trie_node *n = e->node;
    must(n != NULL);
    must(t->count > 0);
    list_del(&e->link);
    e->node = NULL;
    t->count--;
    t->generation++;
    if (!n->whole) {
        must(t->wild_count > 0);
        t->wild_count--;
        prune(t, n);
        return;
    }
    t->watched_count -= is_watched(t, node_text(n));
    if (list_empty(&n->entries)) {
        void *gone = map_str_del(&t->literals, node_text(n));
        must(gone == n);
        node_free(n);
    }
}

void trie_deinit(struct trie *t) {
    must(t->count == 0);
    must(t->literals.count == 0);
    map_str_deinit(&t->literals);
    if (t->root) node_free(t->root);
    *t = (struct trie){0};
}

/* A match under way. fn NULL: only the question whether there is any, ends at the first. */
struct walk {
    void (*fn)(void *ctx, struct trie_entry *e);
    void *ctx;
    bool found;
};

/* True: the question is answered, stop. */
static bool walk_hit(struct walk *w, const struct trie_node *n) {
    must(n != NULL);
    if (list_empty(&n->entries)) return false;
    w->found = true;
    if (!w->fn) return true;
    for (struct list *at = n->entries.next; at != &n->entries; at = at->next) {
        struct trie_entry *e = container_of(at, struct trie_entry, link);
        must(e->node == n);
        w->fn(w->ctx, e);
    }
    return false;
}

/* rest is not empty and has no empty token. Recursion is bounded by the longest pattern: SUBJECT_TOKENS_MAX.
 */
static bool walk_down(struct walk *w, const struct trie_node *n, struct span rest) {
    must(rest.n > 0);
    const struct trie_kids *k = n->kids;
    if (!k) return false;
    if (k->tail && walk_hit(w, k->tail)) return true;
    const uint8_t *dot = memchr(rest.p, '.', rest.n);
    struct span token = span_of(rest.p, dot ? (size_t)(dot - rest.p) : rest.n);
    must(token.n > 0);
    const struct trie_node *next[2] = {k->star, map_str_get(&k->literal, token)};
    for (int i = 0; i < 2; i++) {
        if (!next[i]) continue;
        if (dot ? walk_down(w, next[i], span_skip(rest, token.n + 1)) : walk_hit(w, next[i])) return true;
    }
    return false;
}

static void walk_all(struct walk *w, const struct trie *t, struct span literal) {
    uint64_t generation = t->generation;
    must(literal.p != NULL || literal.n == 0);
    const struct trie_node *n = map_str_get(&t->literals, literal);
    if (n && walk_hit(w, n)) return;
    if (t->wild_count && subject_whole(literal)) walk_down(w, t->root, literal);
    must(t->generation == generation); /* the callback kept its hands off */
}

/* A pattern that looks at a token behind the prefix tells literals apart. */
static bool same_down(const struct trie_node *n, struct span rest) {
    const struct trie_kids *k = n->kids;
    if (!k) return true;
    if (rest.n == 0) return !k->star && k->literal.count == 0;
    const uint8_t *dot = memchr(rest.p, '.', rest.n);
    must(dot != NULL);
    struct span token = span_of(rest.p, (size_t)(dot - rest.p));
    const struct trie_node *next[2] = {k->star, map_str_get(&k->literal, token)};
    for (int i = 0; i < 2; i++) {
        if (next[i] && !same_down(next[i], span_skip(rest, token.n + 1))) return false;
    }
    return true;
}

bool trie_same_below(const struct trie *t, struct span prefix) {
    must(prefix.n > 1 && prefix.p[prefix.n - 1] == '.');
    return !t->wild_count || same_down(t->root, prefix);
}

void trie_match(const struct trie *t, struct span literal, void (*fn)(void *ctx, struct trie_entry *e),
                void *ctx) {
    must(t != NULL);
    must(fn != NULL);
    struct walk w = {.fn = fn, .ctx = ctx};
    walk_all(&w, t, literal);
}

bool trie_has_match(const struct trie *t, struct span literal) {
    must(t != NULL);
    struct walk w = {0};
    walk_all(&w, t, literal);
    return w.found;
}
