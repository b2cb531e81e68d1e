/* dedupe.h - the message ids seen within a stream's duplicate window, and the sequence each got.
 *
 * An id is kept as 96 bits of its SipHash-128 under a secret key, in 20 bytes plus its slot in a table (4.6
 * to 9 bytes). The id itself is not kept and no stored message is read: two different ids among 10 million
 * would be confused with a probability below 10^-14, and no one without the key can make two. Entries lie in
 * the order of arrival, so that the window is cut exactly: an id is a duplicate when it came less than the
 * window ago. At DEDUPE_MAX ids the oldest are forgotten (counted in dropped).
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/span.h"
#include "stream/place.h"

enum { DEDUPE_MAX = 1 << 25, DEDUPE_CHUNK = 1024 };

struct dedupe_key {
    uint32_t h[3];
};

struct dedupe_entry {
    struct dedupe_key key;
    uint32_t time; /* in units of `unit` after base_ts */
    uint32_t seq;  /* after base_seq */
};

struct dedupe_late {
    struct dedupe_key key;
    uint64_t seq;
    int64_t ts;
};

struct dedupe {
    uint64_t secret[2];
    int64_t window, unit, base_ts;
    uint64_t base_seq;
    struct dedupe_entry *ring; /* oldest at head */
    uint32_t cap, head, len;
    uint32_t *table; /* open addressing, 0 = empty */
    uint32_t table_cap;
    struct dedupe_late *late; /* recovery only */
    uint32_t late_len, late_cap;
    uint64_t dropped;
    uint64_t next_no;          /* ids are numbered as they come; 1024 of them are written as a page */
    struct page_place *places; /* of chunk n: n & (places_cap - 1), as long as it has ids in the ring */
    uint32_t places_cap;
    struct stream *owner; /* NULL: pages are not written */
};

void dedupe_init(struct dedupe *d, const uint8_t secret[16], int64_t window_ns);
void dedupe_deinit(struct dedupe *d);
struct dedupe_key dedupe_hash(const struct dedupe *d, struct span id);
/* The sequence of the message that brought this id within the window before now; 0 when none. */
uint64_t dedupe_find(const struct dedupe *d, struct dedupe_key k, int64_t now);
/* Makes room for one, so that the next dedupe_put() cannot fail. */
enum err dedupe_reserve(struct dedupe *d) MUST_USE;
void dedupe_put(struct dedupe *d, struct dedupe_key k, uint64_t seq, int64_t ts);
/* Forgets what is older than the window. */
void dedupe_expire(struct dedupe *d, int64_t now);
void dedupe_set_window(struct dedupe *d, int64_t window_ns, int64_t now);
/* Oldest first: start with *at = 0. */
bool dedupe_next(const struct dedupe *d, uint32_t *at, struct dedupe_key *k, uint64_t *seq, int64_t *ts);
/* The chunks there are: [first, end). Their places; whether one is there. */
void dedupe_chunks(const struct dedupe *d, uint64_t *first, uint64_t *end);
struct page_place *dedupe_place(const struct dedupe *d, uint64_t chunk);
/* Ids of a chunk, oldest first: start with *at = 0. */
bool dedupe_next_in(const struct dedupe *d, uint64_t chunk, uint32_t *at, struct dedupe_key *k, uint64_t *seq,
                    int64_t *ts);
/* Recovery: ids in any order, known ones too; they count after dedupe_settle(). Find nothing in between. */
enum err dedupe_add_late(struct dedupe *d, struct dedupe_key k, uint64_t seq, int64_t ts) MUST_USE;
enum err dedupe_settle(struct dedupe *d) MUST_USE;
