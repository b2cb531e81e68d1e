/* trie.h - from a literal subject to every pattern that matches it. A token trie with literal patterns in one hash table
 * probed first; the trie is walked only if patterns with wildcards exist. Entries are the caller's nodes; several may hold
 * the same pattern. Not thread-safe; entries must not be added or removed inside a match callback. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"
#include "base/map.h"
#include "base/span.h"

struct trie_node;

struct trie_entry { /* embedded in what is subscribed */
    struct list link;
    struct trie_node *node;
};

struct trie {
    struct trie_node *root;
    struct map_str literals;
    size_t count, wild_count;
    struct span watched;    /* literals under this prefix are counted; set right after trie_init(), static */
    size_t watched_count;
    uint64_t generation; /* changes with every insert and remove: caches of results compare it */
};

void trie_init(struct trie *t, uint64_t seed);
void trie_deinit(struct trie *t); /* entries must be gone */
/* The pattern's bytes are copied. ERR_INVAL when the pattern is no valid subject. */
enum err trie_insert(struct trie *t, struct span pattern, struct trie_entry *e) MUST_USE;
void trie_remove(struct trie *t, struct trie_entry *e);
/* Calls fn for every entry whose pattern matches; a literal with an empty token matches nothing. */
void trie_match(const struct trie *t, struct span literal, void (*fn)(void *ctx, struct trie_entry *e), void *ctx);
/* Do all literals that go on behind this prefix (whole tokens, then a dot) match the same patterns, as far as patterns
 * with wildcards go? */
bool trie_same_below(const struct trie *t, struct span prefix);
/* Is there any? */
bool trie_has_match(const struct trie *t, struct span literal);
