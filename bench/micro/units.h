/* units.h - the engine's inner parts as microbenchmarks see them: plain calls over prepared data, since the
 * parts' own headers are C only. Each xxx_new() aborts when memory is short. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

uint32_t unit_crc(const void *p, size_t n);
uint32_t unit_crc_tables(const void *p, size_t n);

/* `count` PUBs with a payload of `payload` bytes, as one connection sends them; parses all and returns how
 * many there were. */
struct unit_wire;
struct unit_wire *unit_wire_new(size_t count, size_t payload);
size_t unit_wire_bytes(const struct unit_wire *w);
size_t unit_wire_parse(struct unit_wire *w);
void unit_wire_free(struct unit_wire *w);

/* `count` subscriptions: literal, or each fourth with a wildcard. Matches one of them and returns how many
 * match. */
struct unit_trie;
struct unit_trie *unit_trie_new(size_t count, int wild);
size_t unit_trie_match(struct unit_trie *t, size_t which);
void unit_trie_free(struct unit_trie *t);

/* `count` messages; the location of one. */
struct unit_index;
struct unit_index *unit_index_new(size_t count);
uint64_t unit_index_get(struct unit_index *x, uint64_t seq);
void unit_index_free(struct unit_index *x);

#ifdef __cplusplus
}
#endif
