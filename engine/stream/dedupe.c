#include "stream/dedupe.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/must.h"
#include "stream/page.h"
#include "stream/siphash.h"

/* A table slot is 6 bits of the hash above 26 bits of position in the ring + 1; the table is at most 5/8
 * full: a new id costs one or two cache misses there and hardly ever one in the ring. Times are rounded up to
 * the unit: an id is refused until its window is over, at most one unit longer. */
enum { RING_MIN = 16, TABLE_MIN = 32, UNIT_MIN = 1000 * 1000, POS_BITS = 26 };
static_must(DEDUPE_MAX < 1 << POS_BITS);
static_must(sizeof(struct dedupe_entry) == 20);

static int64_t unit_of(int64_t window) {
    must(window >= 0);
    int64_t unit = window >> 30;
    return unit < UNIT_MIN ? UNIT_MIN : unit;
}

void dedupe_init(struct dedupe *d, const uint8_t secret[16], int64_t window_ns) {
    must(d && secret);
    must(window_ns >= 0);
    *d = (struct dedupe){.window = window_ns, .unit = unit_of(window_ns)};
    memcpy(d->secret, secret, sizeof d->secret);
}

/* ------------------------------------------------------------------------------------------------ chunks */

void dedupe_chunks(const struct dedupe *d, uint64_t *first, uint64_t *end) {
    must(first && end);
    must(d->next_no >= d->len);
    *first = (d->next_no - d->len) / DEDUPE_CHUNK;
    *end = d->len ? (d->next_no - 1) / DEDUPE_CHUNK + 1 : *first;
}

struct page_place *dedupe_place(const struct dedupe *d, uint64_t chunk) {
    uint64_t first, end;
    dedupe_chunks(d, &first, &end);
    if (chunk < first || chunk >= end) return NULL;
    must(end - first <= d->places_cap);
    return &d->places[chunk & (d->places_cap - 1)];
}

static void retire_all(struct dedupe *d) {
    uint64_t at, end;
    dedupe_chunks(d, &at, &end);
    for (; at < end; at++) page_gone(d->owner, PAGE_DEDUPE, at, dedupe_place(d, at));
    d->next_no = align_up(d->next_no, DEDUPE_CHUNK);
    must(d->next_no % DEDUPE_CHUNK == 0);
}

/* Room for the places of a ring of `cap` ids. */
static enum err places_grow(struct dedupe *d, uint32_t cap) {
    uint32_t want = 2;
    while (want < cap / DEDUPE_CHUNK + 2) want *= 2;
    if (want <= d->places_cap) return ERR_OK;
    struct page_place *p = calloc(want, sizeof *p);
    if (!p) return ERR_NOMEM;
    uint64_t at, end;
    dedupe_chunks(d, &at, &end);
    for (; at < end; at++) p[at & (want - 1)] = *dedupe_place(d, at);
    free(d->places);
    d->places = p;
    d->places_cap = want;
    return ERR_OK;
}

void dedupe_deinit(struct dedupe *d) {
    must(d);
    free(d->ring);
    free(d->table);
    free(d->late);
    retire_all(d);
    free(d->places);
    d->places = NULL;
    d->places_cap = 0;
    d->late = NULL;
    d->late_len = d->late_cap = 0;
    d->ring = NULL;
    d->table = NULL;
    d->cap = d->head = d->len = d->table_cap = 0;
}

struct dedupe_key dedupe_hash(const struct dedupe *d, struct span id) {
    must(d);
    must(id.n > 0);
    uint64_t h[2];
    siphash128(d->secret, id.p, id.n, h);
    return (struct dedupe_key){{(uint32_t)h[0], (uint32_t)(h[0] >> 32), (uint32_t)h[1]}};
}

static struct dedupe_entry *entry_at(const struct dedupe *d, uint32_t i) {
    must(i < d->len);
    return &d->ring[(d->head + i) & (d->cap - 1)];
}

static int64_t entry_ts(const struct dedupe *d, const struct dedupe_entry *e) {
    must(d->unit >= UNIT_MIN);
    return d->base_ts + (int64_t)e->time * d->unit;
}

static uint32_t slot_value(struct dedupe_key k, uint32_t pos) {
    must(pos < DEDUPE_MAX);
    return (k.h[1] >> POS_BITS) << POS_BITS | (pos + 1);
}

static struct dedupe_entry *slot_entry(const struct dedupe *d, uint32_t slot) {
    must(d->table[slot] != 0);
    return &d->ring[(d->table[slot] & ((1u << POS_BITS) - 1)) - 1];
}

static bool slot_is(const struct dedupe *d, uint32_t slot, const struct dedupe_key *k) {
    must(k);
    if (d->table[slot] >> POS_BITS != k->h[1] >> POS_BITS) return false;
    return memcmp(&slot_entry(d, slot)->key, k, sizeof *k) == 0;
}

/* The table slot that refers to this key, or the empty one where it belongs. */
static uint32_t slot_of(const struct dedupe *d, struct dedupe_key k) {
    must(d->table_cap > d->len);
    uint32_t mask = d->table_cap - 1;
    uint32_t i = k.h[0] & mask;
    while (d->table[i] && !slot_is(d, i, &k)) i = (i + 1) & mask;
    return i;
}

uint64_t dedupe_find(const struct dedupe *d, struct dedupe_key k, int64_t now) {
    must(d->window >= 0);
    must(d);
    if (d->len == 0) return 0;
    uint32_t at = slot_of(d, k);
    if (d->table[at] == 0) return 0;
    const struct dedupe_entry *e = slot_entry(d, at);
    return now - entry_ts(d, e) < d->window ? d->base_seq + e->seq : 0;
}

/* ------------------------------------------------------------------------------------------------ sizes */

static void table_fill(struct dedupe *d) {
    must(d->table);
    must(d->table_cap > d->len);
    memset(d->table, 0, d->table_cap * sizeof d->table[0]);
    for (uint32_t i = 0; i < d->len; i++) {
        struct dedupe_entry *e = entry_at(d, i);
        d->table[slot_of(d, e->key)] = slot_value(e->key, (uint32_t)(e - d->ring));
    }
}

/* Gives the ring `cap` places and the table room for as many at 5/8 load. */
static enum err resize(struct dedupe *d, uint32_t cap) {
    must(cap >= d->len && (cap & (cap - 1)) == 0);
    uint32_t table_cap = cap / 2 > TABLE_MIN ? cap / 2 : TABLE_MIN;
    while (table_cap / 8 * 5 < d->len + 1) table_cap *= 2;
    struct dedupe_entry *ring = malloc(cap * sizeof *ring);
    uint32_t *table = malloc(table_cap * sizeof *table);
    if (!ring || !table || places_grow(d, cap) != ERR_OK) {
        free(ring);
        free(table);
        return ERR_NOMEM;
    }
    for (uint32_t i = 0; i < d->len; i++) ring[i] = *entry_at(d, i);
    free(d->ring);
    free(d->table);
    d->ring = ring;
    d->table = table;
    d->cap = cap;
    d->head = 0;
    d->table_cap = table_cap;
    table_fill(d);
    return ERR_OK;
}

static enum err table_grow(struct dedupe *d) {
    must(d->table_cap >= TABLE_MIN);
    must((d->table_cap & (d->table_cap - 1)) == 0);
    if (d->len + 1 <= d->table_cap / 8 * 5) return ERR_OK;
    uint32_t cap = d->table_cap * 2;
    uint32_t *table = malloc(cap * sizeof *table);
    if (!table) return ERR_NOMEM;
    free(d->table);
    d->table = table;
    d->table_cap = cap;
    table_fill(d);
    return ERR_OK;
}

enum err dedupe_reserve(struct dedupe *d) {
    must(d);
    if (d->window == 0) return ERR_OK;
    if (d->len == d->cap && d->cap < DEDUPE_MAX) return resize(d, d->cap ? d->cap * 2 : RING_MIN);
    return table_grow(d);
}

/* ------------------------------------------------------------------------------------------------ the oldest
 */

/* Closes the hole at `at` of the linear-probing table. */
static void table_close(struct dedupe *d, uint32_t at) {
    must(at < d->table_cap);
    must(d->table[at] != 0);
    uint32_t mask = d->table_cap - 1;
    for (uint32_t i = (at + 1) & mask; d->table[i]; i = (i + 1) & mask) {
        uint32_t home = slot_entry(d, i)->key.h[0] & mask;
        if (((i - home) & mask) < ((i - at) & mask)) continue;
        d->table[at] = d->table[i];
        at = i;
    }
    d->table[at] = 0;
}

static void drop_oldest(struct dedupe *d) {
    must(d->len > 0);
    must((d->cap & (d->cap - 1)) == 0);
    struct dedupe_entry *e = entry_at(d, 0);
    uint32_t at = slot_of(d, e->key);
    /* A later message may have brought the same id again: then the slot is the later one's. */
    if (d->table[at] == slot_value(e->key, (uint32_t)(e - d->ring))) table_close(d, at);
    uint64_t chunk = (d->next_no - d->len) / DEDUPE_CHUNK;
    bool last = d->len == 1 || (d->next_no - d->len + 1) % DEDUPE_CHUNK == 0;
    if (last) page_gone(d->owner, PAGE_DEDUPE, chunk, dedupe_place(d, chunk));
    d->head = (d->head + 1) & (d->cap - 1);
    if (--d->len == 0) d->next_no = align_up(d->next_no, DEDUPE_CHUNK);
}

static void cut(struct dedupe *d, int64_t now) {
    must(d->window >= 0);
    while (d->len && (d->window == 0 || now - entry_ts(d, entry_at(d, 0)) >= d->window)) drop_oldest(d);
}

void dedupe_expire(struct dedupe *d, int64_t now) {
    must(d);
    cut(d, now);
    if (d->len == 0 && d->late_len == 0) {
        dedupe_deinit(d);
    } else if (d->cap > 1024 && d->len < d->cap / 8) {
        enum err e = resize(d, d->cap / 4);
        (void)e; /* without memory for the smaller one the larger one stays */
    }
}

/* Moves the bases so that ts and seq can be told from them. */
static void rebase(struct dedupe *d, uint64_t seq, int64_t ts) {
    must(seq > 0);
    while (d->len && seq - (d->base_seq + entry_at(d, 0)->seq) > UINT32_MAX) {
        drop_oldest(d);
        d->dropped++;
    }
    if (d->len == 0) {
        d->base_ts = ts;
        d->base_seq = seq;
        return;
    }
    uint32_t time = entry_at(d, 0)->time, first = entry_at(d, 0)->seq;
    for (uint32_t i = 0; i < d->len; i++) {
        entry_at(d, i)->time -= time;
        entry_at(d, i)->seq -= first;
    }
    d->base_ts += (int64_t)time * d->unit;
    d->base_seq += first;
}

static int64_t units(const struct dedupe *d, int64_t ts) {
    must(d->unit > 0);
    int64_t past = ts - d->base_ts;
    return past <= 0 ? 0 : past / d->unit + (past % d->unit != 0);
}

void dedupe_put(struct dedupe *d, struct dedupe_key k, uint64_t seq, int64_t ts) {
    must(d && seq > 0);
    if (d->window == 0) return;
    cut(d, ts);
    if (d->len == d->cap) {
        must(d->cap == DEDUPE_MAX);
        drop_oldest(d);
        d->dropped++;
    }
    if (d->len == 0 || seq - d->base_seq > UINT32_MAX || units(d, ts) > UINT32_MAX) rebase(d, seq, ts);
    must(seq >= d->base_seq);
    if (d->next_no % DEDUPE_CHUNK == 0)
        d->places[d->next_no / DEDUPE_CHUNK & (d->places_cap - 1)] = (struct page_place){0};
    d->next_no++;
    uint32_t at = slot_of(d, k);
    struct dedupe_entry *e = &d->ring[(d->head + d->len++) & (d->cap - 1)];
    *e = (struct dedupe_entry){k, (uint32_t)units(d, ts), (uint32_t)(seq - d->base_seq)};
    d->table[at] = slot_value(k, (uint32_t)(e - d->ring));
    dedupe_place(d, (d->next_no - 1) / DEDUPE_CHUNK)->dirty = true;
}

void dedupe_set_window(struct dedupe *d, int64_t window_ns, int64_t now) {
    must(d && window_ns >= 0);
    int64_t unit = unit_of(window_ns);
    for (uint32_t i = 0; i < d->len && unit != d->unit; i++) {
        struct dedupe_entry *e = entry_at(d, i);
        int64_t past = (int64_t)e->time * d->unit;
        int64_t time = past / unit + (past % unit != 0);
        e->time = time > UINT32_MAX ? UINT32_MAX : (uint32_t)time;
    }
    d->unit = unit;
    d->window = window_ns;
    dedupe_expire(d, now);
}

bool dedupe_next(const struct dedupe *d, uint32_t *at, struct dedupe_key *k, uint64_t *seq, int64_t *ts) {
    must(d && at && k && seq && ts);
    if (*at >= d->len) return false;
    const struct dedupe_entry *e = entry_at(d, (*at)++);
    *k = e->key;
    *seq = d->base_seq + e->seq;
    *ts = entry_ts(d, e);
    return true;
}

bool dedupe_next_in(const struct dedupe *d, uint64_t chunk, uint32_t *at, struct dedupe_key *k, uint64_t *seq,
                    int64_t *ts) {
    must(at);
    uint64_t first = d->next_no - d->len, begin = chunk * DEDUPE_CHUNK;
    if (begin < first) begin = first;
    uint64_t no = begin + *at;
    if (no >= d->next_no || no / DEDUPE_CHUNK != chunk) return false;
    must(no >= first);
    uint32_t i = (uint32_t)(no - first);
    ++*at;
    return dedupe_next(d, &i, k, seq, ts);
}

/* ------------------------------------------------------------------------------------------------ recovery
 */

static int by_seq(const void *a, const void *b) {
    must(a && b);
    const struct dedupe_late *x = a, *y = b;
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

enum err dedupe_add_late(struct dedupe *d, struct dedupe_key k, uint64_t seq, int64_t ts) {
    must(d && seq > 0);
    if (d->late_len == d->late_cap && d->late_cap >= DEDUPE_MAX) {
        qsort(d->late, d->late_len, sizeof d->late[0], by_seq);
        d->late_len /= 2;
        d->dropped += d->late_len;
        memmove(d->late, d->late + d->late_len, d->late_len * sizeof d->late[0]);
    } else if (d->late_len == d->late_cap) {
        uint32_t cap = d->late_cap ? d->late_cap * 2 : 16;
        struct dedupe_late *late = realloc(d->late, cap * sizeof *late);
        if (!late) return ERR_NOMEM;
        d->late = late;
        d->late_cap = cap;
    }
    d->late[d->late_len++] = (struct dedupe_late){k, seq, ts};
    return ERR_OK;
}

enum err dedupe_settle(struct dedupe *d) {
    must(d);
    uint32_t at = 0;
    struct dedupe_late one;
    if (d->late_len == 0) return ERR_OK;
    while (dedupe_next(d, &at, &one.key, &one.seq, &one.ts)) {
        if (dedupe_add_late(d, one.key, one.seq, one.ts) != ERR_OK) return ERR_NOMEM;
    }
    struct dedupe_late *late = d->late;
    uint32_t n = d->late_len;
    d->late = NULL;
    d->late_len = d->late_cap = 0;
    qsort(late, n, sizeof *late, by_seq);
    dedupe_deinit(d);
    enum err e = ERR_OK;
    uint64_t last = 0;
    for (uint32_t i = 0; i < n && e == ERR_OK; i++) {
        if (late[i].seq == last) continue;
        last = late[i].seq;
        e = dedupe_reserve(d);
        if (e == ERR_OK) dedupe_put(d, late[i].key, last, late[i].ts);
    }
    free(late);
    return e;
}
