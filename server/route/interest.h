/* interest.h - what the other shards want: for each pattern (and queue group) how many members each of them
 * has. One entry in a trie for each pattern and queue, kept while any shard has a member.
 *
 * Another shard's announcements arrive in its order, so a count never goes below zero; if it would, a mailbox
 * lost a message, and that is a bug. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/map.h"
#include "base/span.h"
#include "subject/trie.h"

struct interest {
    struct trie_entry entry;
    struct span subject, queue; /* into key */
    uint64_t mask;              /* shards whose count is not 0 */
    uint32_t *count;            /* by shard */
    size_t key_n;
    uint8_t key[]; /* "subject queue", or the subject alone */
};

struct interests {
    struct trie trie;
    struct map_str by_key;
    unsigned shards;
    uint8_t *scratch; /* a key under construction */
    size_t scratch_n;
};

void interests_init(struct interests *is, unsigned shards, uint64_t seed);
void interests_deinit(struct interests *is);
/* One member or pattern more (add) or less on that shard. ERR_INVAL: not a subject; ERR_NOMEM. Only adding
 * can fail. */
enum err interests_change(struct interests *is, unsigned shard, struct span subject, struct span queue,
                          bool add) MUST_USE;
