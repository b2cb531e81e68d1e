/* test_trie_nomem.c - an insert that runs out of memory at its n-th allocation leaves the trie as it was. The
 * unit is compiled into this test with allocators that fail on demand. */
#include <stdlib.h>

static int allocations_left = -1; /* -1: no end */

static int may_allocate(void) {
    if (allocations_left == 0) return 0;
    if (allocations_left > 0) allocations_left--;
    return 1;
}
static void *failing_malloc(size_t n) { return may_allocate() ? malloc(n) : NULL; }
static void *failing_calloc(size_t n, size_t size) { return may_allocate() ? calloc(n, size) : NULL; }

#define malloc failing_malloc
#define calloc failing_calloc
#include "subject/trie.c"
#undef malloc
#undef calloc

#include "lib/check.h"

static size_t nodes_below(const struct trie_node *n) {
    if (!n || !n->kids) return 0;
    size_t count = 0, at = 0;
    void *kid;
    struct span key;
    while (map_str_next(&n->kids->literal, &at, &key, &kid)) count += 1 + nodes_below(kid);
    if (n->kids->star) count += 1 + nodes_below(n->kids->star);
    if (n->kids->tail) count += 1 + nodes_below(n->kids->tail);
    return count;
}

static void every_allocation_may_fail(void) {
    static const char *const patterns[] = {"a.b", "a.*.c", "*.b.c.d.>", "a.b.c.d.e.f.*", ">", "a.*.c.x.*"};
    for (size_t p = 0; p < sizeof patterns / sizeof *patterns; p++) {
        struct trie t;
        struct trie_entry here, e;
        trie_init(&t, 1);
        CHECK_EQ(trie_insert(&t, SPAN_LIT("a.*.keep"), &here), ERR_OK);
        size_t before = nodes_below(t.root), failures = 0;
        for (;; failures++) {
            allocations_left = (int)failures;
            enum err err = trie_insert(&t, span_str(patterns[p]), &e);
            allocations_left = -1;
            if (err == ERR_OK) break;
            CHECK_EQ(err, ERR_NOMEM);
            CHECK_EQ(t.count, 1);
            CHECK_EQ(t.generation, 1);
            CHECK_EQ(nodes_below(t.root), before);
            CHECK(trie_has_match(&t, SPAN_LIT("a.z.keep")));
            CHECK(!trie_has_match(&t, SPAN_LIT("a.b")));
            CHECK(failures < 20);
        }
        CHECK(failures >= 1);
        CHECK_EQ(t.count, 2);
        trie_remove(&t, &e);
        CHECK_EQ(nodes_below(t.root), before);
        trie_remove(&t, &here);
        CHECK_EQ(nodes_below(t.root), 0);
        trie_deinit(&t);
    }
}

/* The very first insert: not even the root. */
static void from_nothing(void) {
    struct trie t;
    struct trie_entry e;
    for (int left = 0; left < 3; left++) {
        trie_init(&t, 1);
        allocations_left = left;
        CHECK_EQ(trie_insert(&t, SPAN_LIT("a.*"), &e), ERR_NOMEM);
        allocations_left = -1;
        CHECK(!trie_has_match(&t, SPAN_LIT("a.b")));
        CHECK_EQ(trie_insert(&t, SPAN_LIT("a.*"), &e), ERR_OK);
        CHECK(trie_has_match(&t, SPAN_LIT("a.b")));
        trie_remove(&t, &e);
        trie_deinit(&t);
    }
}

CHECK_MAIN(CASE(every_allocation_may_fail), CASE(from_nothing))
