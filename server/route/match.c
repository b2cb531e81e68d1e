/* match.c - makes answers and keeps them.
 *
 * Happy path: matcher_find() hashes the subject, finds its slot, compares the subject, returns. Otherwise
 * make(): the tries are asked once each, what they hand out is collected, queue groups are told apart by
 * name, and everything is laid out in one piece. The collecting buffers grow to the largest answer seen and
 * stay. A shard that cannot get memory for them cannot route and stops (must), since leaving someone out
 * would lose messages without a trace. */
#include "route/match.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/must.h"
#include "route/route.h"
#include "subject/subject.h"

enum { RING_BYTES = 4 << 20, KEEP_MAX = RING_BYTES / 16, SETS = 4096, INDEX_MIN = 16 };
enum { NO_GROUP = UINT32_MAX };

/* One thing a trie handed out: a local subscription, or an interest of other shards. */
struct match_found {
    struct sub *sub;
    const struct interest *interest;
    uint32_t group;
};

enum err matcher_init(struct matcher *m, const struct trie *local, const struct interests *remote,
                      uint64_t seed) {
    must(local != NULL && remote != NULL);
    *m = (struct matcher){.local = local, .remote = remote, .seed = seed, .generation = 1};
    m->sets = aligned_alloc(64, SETS * sizeof *m->sets);
    m->ring = aligned_alloc(64, RING_BYTES);
    if (!m->sets || !m->ring) {
        matcher_deinit(m);
        return ERR_NOMEM;
    }
    memset(m->sets, 0, SETS * sizeof *m->sets);
    return ERR_OK;
}

void matcher_deinit(struct matcher *m) {
    free(m->sets);
    free(m->ring);
    free(m->large);
    free(m->found);
    free(m->index);
    free(m->groups);
    *m = (struct matcher){0};
}

void matcher_invalidate(struct matcher *m) {
    if (++m->generation) return;
    memset(m->sets, 0, SETS * sizeof *m->sets); /* slots of 2^32 changes ago would look fresh */
    m->generation = 1;
}

/* Makes room for `want` objects; amortised, and never shrinks. */
static void *grow(void *p, size_t *cap, size_t want, size_t object) {
    if (want <= *cap) return p;
    size_t n = *cap ? *cap * 2 : 16;
    while (n < want) n *= 2;
    p = realloc(p, n * object);
    must(p != NULL);
    *cap = n;
    return p;
}

static void found_add(struct matcher *m, struct match_found f) {
    m->found = grow(m->found, &m->found_cap, m->found_n + 1, sizeof *m->found);
    m->found[m->found_n++] = f;
}

static void on_local(void *ctx, struct trie_entry *e) {
    found_add(ctx, (struct match_found){.sub = container_of(e, struct sub, entry), .group = NO_GROUP});
}

static void on_remote(void *ctx, struct trie_entry *e) {
    const struct interest *it = container_of(e, struct interest, entry);
    must(it->mask != 0);
    found_add(ctx, (struct match_found){.interest = it, .group = NO_GROUP});
}

/* --- queue groups by name, while an answer is made --- */

static struct span found_queue(const struct match_found *f) {
    return f->sub ? f->sub->queue : f->interest->queue;
}

/* The group's first member gives its name until the answer is laid out; name_at is that index in found. */
static size_t index_slot(const struct matcher *m, struct span name) {
    size_t mask = m->index_cap - 1, i = hash_bytes(name.p, name.n, m->seed) & mask;
    for (; m->index[i]; i = (i + 1) & mask) {
        const struct match_group *g = &m->groups[m->index[i] - 1];
        if (span_eq(found_queue(&m->found[g->name_at]), name)) return i;
    }
    return i;
}

static void index_reset(struct matcher *m, size_t groups) {
    m->index =
        grow(m->index, &m->index_cap, groups * 2 > INDEX_MIN ? groups * 2 : INDEX_MIN, sizeof *m->index);
    must((m->index_cap & (m->index_cap - 1)) == 0);
    memset(m->index, 0, m->index_cap * sizeof *m->index);
}

static struct match_group *group_of(struct matcher *m, size_t found_at) {
    struct span name = found_queue(&m->found[found_at]);
    must(name.n > 0);
    size_t slot = index_slot(m, name);
    if (!m->index[slot]) {
        m->groups = grow(m->groups, &m->groups_cap, m->groups_n + 1, sizeof *m->groups);
        m->groups[m->groups_n++] = (struct match_group){
            .name_at = (uint32_t)found_at, .name_n = (uint32_t)name.n, .chosen = MATCH_HERE};
        m->index[slot] = (uint32_t)m->groups_n;
    }
    m->found[found_at].group = m->index[slot] - 1;
    return &m->groups[m->index[slot] - 1];
}

/* --- laying out --- */

/* Counts what was found into the head of the answer and into the groups. */
static struct match count_found(struct matcher *m, struct span subject) {
    struct match head = {.subject_n = (uint32_t)subject.n};
    size_t queued = 0;
    m->groups_n = 0;
    for (size_t i = 0; i < m->found_n; i++) queued += found_queue(&m->found[i]).n != 0;
    if (queued) index_reset(m, queued);
    for (size_t i = 0; i < m->found_n; i++) {
        const struct match_found *f = &m->found[i];
        struct match_group *g = found_queue(f).n ? group_of(m, i) : NULL;
        if (f->sub && !g) head.plain_n++;
        if (f->sub && g) g->members_n++, head.member_n++;
        if (f->interest && !g) head.plain_shards |= f->interest->mask;
        if (!f->interest || !g) continue;
        uint32_t shards = (uint32_t)__builtin_popcountll(f->interest->mask);
        g->remotes_n += shards;
        head.remote_n += shards;
    }
    head.group_n = (uint32_t)m->groups_n;
    return head;
}

static size_t match_size(const struct matcher *m, const struct match *head) {
    size_t names = 0;
    for (size_t i = 0; i < m->groups_n; i++) names += m->groups[i].name_n;
    size_t n = sizeof *head + (head->plain_n + (size_t)head->member_n) * sizeof(struct sub *) +
               head->group_n * sizeof(struct match_group) + head->remote_n * sizeof(struct match_remote) +
               head->subject_n + names;
    return align_up(n, 16);
}

/* Room for an answer: at the ring's end, over the oldest ones, or in the buffer for those that are not kept.
 */
static uint8_t *room_for(struct matcher *m, size_t n, bool *kept) {
    *kept = n <= KEEP_MAX;
    if (!*kept) return m->large = grow(m->large, &m->large_n, n, 1);
    size_t off = m->ring_at % RING_BYTES;
    if (off + n > RING_BYTES) m->ring_at += RING_BYTES - off;
    uint8_t *p = m->ring + m->ring_at % RING_BYTES;
    m->ring_at += n;
    must(p + n <= m->ring + RING_BYTES);
    return p;
}

/* Sets the pointers of the answer at `p` and copies groups, names and the subject in. */
static struct match *lay_out(struct matcher *m, const struct match *head, uint8_t *p, struct span subject) {
    struct match *a = (struct match *)p;
    *a = *head;
    a->plain = (struct sub **)(a + 1);
    a->members = a->plain + a->plain_n;
    a->groups = (struct match_group *)(a->members + a->member_n);
    a->remotes = (struct match_remote *)(a->groups + a->group_n);
    uint8_t *text = (uint8_t *)(a->remotes + a->remote_n);
    a->subject_at = (uint32_t)(text - p);
    memcpy(text, subject.p, subject.n);
    text += subject.n;
    uint32_t members_at = 0, remotes_at = 0;
    for (uint32_t i = 0; i < a->group_n; i++) {
        struct match_group *g = &a->groups[i];
        *g = m->groups[i];
        struct span name = found_queue(&m->found[g->name_at]);
        g->name_at = (uint32_t)(text - p);
        memcpy(text, name.p, name.n);
        text += name.n;
        g->members_at = members_at;
        g->remotes_at = remotes_at;
        members_at += g->members_n;
        remotes_at += g->remotes_n;
        g->members_n = g->remotes_n = 0; /* counted up again as they are filled in */
    }
    must(members_at == a->member_n && remotes_at == a->remote_n);
    return a;
}

static void fill_remote(struct match *a, struct match_group *g, const struct interest *it) {
    for (uint64_t left = it->mask; left; left &= left - 1) {
        uint32_t shard = (uint32_t)__builtin_ctzll(left);
        must(it->count[shard] > 0);
        a->remotes[g->remotes_at + g->remotes_n++] = (struct match_remote){shard, it->count[shard]};
        g->remote_members += it->count[shard];
    }
}

static void fill(struct matcher *m, struct match *a) {
    uint32_t plain = 0;
    for (size_t i = 0; i < m->found_n; i++) {
        const struct match_found *f = &m->found[i];
        struct match_group *g = f->group == NO_GROUP ? NULL : &a->groups[f->group];
        if (f->sub && !g) a->plain[plain++] = f->sub;
        if (f->sub && g) a->members[g->members_at + g->members_n++] = f->sub;
        if (f->interest && g) fill_remote(a, g, f->interest);
    }
    must(plain == a->plain_n);
}

/* What an answer is looked up by. */
struct key {
    struct span text;
    enum match_kind kind;
    struct match_slot *slot; /* where it goes */
    uint32_t tag;
};

/* Does a subscription look behind the prefix? */
static bool differ(const struct matcher *m, struct span prefix) {
    return !trie_same_below(m->local, prefix) ||
           (m->remote->trie.count && !trie_same_below(&m->remote->trie, prefix));
}

static struct match *make(struct matcher *m, struct span subject, const struct key *k) {
    enum match_kind kind = k->kind;
    m->found_n = 0;
    if (kind == MATCH_PREFIX && differ(m, k->text)) kind = MATCH_DIFFER;
    if (kind != MATCH_DIFFER) {
        trie_match(m->local, subject, on_local, m);
        if (m->remote->trie.count) trie_match(&m->remote->trie, subject, on_remote, m);
    }
    struct match head = count_found(m, k->text);
    head.kind = (uint8_t)kind;
    size_t n = match_size(m, &head);
    must(n <= UINT32_MAX);
    head.bytes = (uint32_t)n;
    bool kept;
    uint8_t *p = room_for(m, n, &kept);
    struct match *a = lay_out(m, &head, p, k->text);
    fill(m, a);
    if (kept) *k->slot = (struct match_slot){k->tag, m->generation, m->ring_at - n};
    return a;
}

/* --- finding --- */

static bool slot_fresh(const struct matcher *m, const struct match_slot *s) {
    return s->generation == m->generation && m->ring_at - s->at <= RING_BYTES;
}

/* The answer kept for k, or NULL: then k says where it goes. */
static struct match *look(struct matcher *m, struct key *k) {
    uint64_t hash = hash_bytes(k->text.p, k->text.n, m->seed);
    struct match_set *set = &m->sets[hash % SETS];
    k->tag = (uint32_t)(hash >> 32);
    k->slot = NULL;
    for (size_t i = 0; i < MATCH_WAYS; i++) {
        struct match_slot *s = &set->way[i];
        if (!slot_fresh(m, s)) {
            k->slot = s;
            continue;
        }
        if (s->tag != k->tag) continue;
        struct match *a = (struct match *)(m->ring + s->at % RING_BYTES);
        if ((a->kind == MATCH_SUBJECT) != (k->kind == MATCH_SUBJECT)) continue;
        if (span_eq(span_of((uint8_t *)a + a->subject_at, a->subject_n), k->text)) return a;
    }
    if (!k->slot) k->slot = &set->way[m->victim++ % MATCH_WAYS];
    return NULL;
}

/* $JS.ACK.stream.consumer. of a subject that goes on behind it; empty when it is none, or somebody wants one
 * such subject by its full name. */
static struct span ack_prefix(const struct matcher *m, struct span subject) {
    struct span start = MATCH_ACKS;
    if (!span_starts(subject, start) || m->local->watched_count || m->remote->trie.watched_count)
        return SPAN_EMPTY;
    struct span rest = span_skip(subject, start.n);
    for (int tokens = 0; tokens < 2; tokens++) {
        const uint8_t *dot = rest.n ? memchr(rest.p, '.', rest.n) : NULL;
        if (!dot) return SPAN_EMPTY;
        rest = span_skip(rest, (size_t)(dot - rest.p) + 1);
    }
    return subject_whole(subject) ? span_of(subject.p, subject.n - rest.n) : SPAN_EMPTY;
}

/* The answer all acknowledgements of this one's consumer share; NULL when it has to be asked for by its full
 * name. */
static struct match *find_shared(struct matcher *m, struct span subject) {
    struct key k = {.text = ack_prefix(m, subject), .kind = MATCH_PREFIX};
    if (k.text.n == 0) return NULL;
    struct match *a = look(m, &k);
    m->hits += a && a->kind == MATCH_PREFIX;
    if (!a) a = make(m, subject, &k);
    return a->kind == MATCH_PREFIX ? a : NULL;
}

struct match *matcher_find(struct matcher *m, struct span subject) {
    m->finds++;
    bool acks = subject.n > 0 && subject.p[0] == '$';
    struct match *a = acks ? find_shared(m, subject) : NULL;
    if (a) return a;
    struct key k = {.text = subject, .kind = MATCH_SUBJECT};
    a = look(m, &k);
    m->hits += a != NULL;
    return a ? a : make(m, subject, &k);
}

void match_forget(struct match *a, const struct sub *s) {
    must(a != NULL && s != NULL);
    for (uint32_t i = 0; i < a->plain_n; i++) {
        if (a->plain[i] == s) a->plain[i] = NULL;
    }
    for (uint32_t i = 0; i < a->member_n; i++) {
        if (a->members[i] == s) a->members[i] = NULL;
    }
}
