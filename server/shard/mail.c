/* mail.c - letters between shards. As bytes a letter is [head][length of each span][padding to 8][the spans'
 * bytes].
 *
 * Writing goes into the queue, or behind the backlog of that peer while there is one; reading is in place.
 * The two things that can be short are room in the queue and the allowance for bytes in blocks; both only
 * mean that letters wait. */
#include "shard/mail.h"

#include <limits.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/must.h"
#include "io/doorbell.h"
#include "io/io.h"
#include "io/ring.h"
#include "shard/backlog.h"

enum {
    RINGS_BYTES = 4 << 20,
    RING_MIN = 64 << 10,
    RING_MAX = 1 << 20,
    BLOCKS_OUT_MAX = 16 << 20,
    DRAIN_BATCH = 64
};

struct head {
    uint8_t kind, flags;
    uint16_t spans_n;
    uint32_t unused;
    uint64_t id, arg;
};
static_must(sizeof(struct head) == 24);

/* From one shard to one other. */
struct pair {
    struct ring ring;
    struct doorbell room;    /* lain on by the writer while letters wait */
    struct allowance blocks; /* bytes in blocks under way */
};

struct mail_post {
    unsigned shards;
    struct doorbell *asleep; /* by shard */
    struct io **io;          /* by shard */
    struct pair *pairs;      /* [from * shards + to] */
};

struct mail {
    struct mail_post *post;
    unsigned self, next; /* next: where draining starts */
    void (*handle)(void *ctx, unsigned from, const struct letter *l);
    void *ctx;
    uint64_t sent;
    struct backlog *waiting; /* by shard */
};

static struct pair *pair_of(const struct mail_post *p, unsigned from, unsigned to) {
    must(from < p->shards && to < p->shards);
    return &p->pairs[from * p->shards + to];
}

/* --- opening and closing --- */

static size_t ring_bytes(unsigned shards) {
    size_t n = RING_MIN;
    while (n < RING_MAX && n * 2 * shards <= RINGS_BYTES) n *= 2;
    return n;
}

enum err mail_post_open(struct mail_post **out, unsigned shards) {
    must(shards >= 1);
    struct mail_post *p = calloc(1, sizeof *p);
    if (!p) return ERR_NOMEM;
    p->shards = shards;
    p->asleep = aligned_alloc(64, shards * sizeof *p->asleep);
    p->io = calloc(shards, sizeof(struct io *));
    size_t pairs = (size_t)shards * shards * sizeof *p->pairs;
    p->pairs = aligned_alloc(64, pairs);
    bool ok = p->asleep && p->io && p->pairs;
    if (p->asleep) memset(p->asleep, 0, shards * sizeof *p->asleep);
    if (p->pairs) memset(p->pairs, 0, pairs);
    for (unsigned i = 0; ok && i < shards * shards; i++) {
        if (i / shards != i % shards) ok = ring_init(&p->pairs[i].ring, ring_bytes(shards)) == ERR_OK;
    }
    if (!ok) {
        mail_post_close(p);
        return ERR_NOMEM;
    }
    *out = p;
    return ERR_OK;
}

void mail_post_close(struct mail_post *p) {
    must(p != NULL);
    for (unsigned i = 0; p->pairs && i < p->shards * p->shards; i++) ring_deinit(&p->pairs[i].ring);
    free(p->pairs);
    free(p->io);
    free(p->asleep);
    free(p);
}

enum err mail_open(struct mail **out, struct mail_post *post, unsigned self, struct io *io,
                   void (*handle)(void *ctx, unsigned from, const struct letter *l), void *ctx) {
    must(self < post->shards);
    must(io != NULL && handle != NULL);
    struct mail *m = calloc(1, sizeof *m);
    struct backlog *waiting = calloc(post->shards, sizeof *waiting);
    if (!m || !waiting) {
        free(m);
        free(waiting);
        return ERR_NOMEM;
    }
    *m = (struct mail){.post = post, .self = self, .handle = handle, .ctx = ctx, .waiting = waiting};
    for (unsigned s = 0; s < post->shards; s++) backlog_init(&waiting[s]);
    post->io[self] = io;
    *out = m;
    return ERR_OK;
}

/* --- writing --- */

static size_t letter_spans_at(size_t spans_n) { return align_up(sizeof(struct head) + 4 * spans_n, 8); }

static size_t letter_size(const struct letter *l) {
    must(l->spans_n <= MAIL_SPANS_MAX);
    size_t n = letter_spans_at(l->spans_n);
    for (size_t i = 0; i < l->spans_n; i++) n += l->spans[i].n;
    return n;
}

static void letter_put(uint8_t *p, const struct letter *l) {
    struct head h = {(uint8_t)l->kind, l->flags, (uint16_t)l->spans_n, 0, l->id, l->arg};
    uint8_t *at = p + letter_spans_at(l->spans_n);
    memcpy(p, &h, sizeof h);
    for (size_t i = 0; i < l->spans_n; i++) {
        must(l->spans[i].n <= UINT32_MAX);
        store32(p + sizeof h + 4 * i, (uint32_t)l->spans[i].n);
        if (l->spans[i].n) memcpy(at, l->spans[i].p, l->spans[i].n);
        at += l->spans[i].n;
    }
}

static void letter_get(struct span bytes, struct letter *l, struct span spans[MAIL_SPANS_MAX]) {
    struct head h;
    must(bytes.n >= sizeof h);
    memcpy(&h, bytes.p, sizeof h);
    must(h.kind < MAIL_KINDS && h.spans_n <= MAIL_SPANS_MAX);
    const uint8_t *at = bytes.p + letter_spans_at(h.spans_n), *end = bytes.p + bytes.n;
    for (size_t i = 0; i < h.spans_n; i++) {
        size_t n = load32(bytes.p + sizeof h + 4 * i);
        must(n <= (size_t)(end - at));
        spans[i] = span_of(at, n);
        at += n;
    }
    *l = (struct letter){(enum mail_kind)h.kind, h.flags, h.id, h.arg, spans, h.spans_n};
}

/* May a letter that points to so many bytes go now? One always may. */
static bool blocks_allow(const struct pair *p, const struct letter *l) {
    if (l->kind != MAIL_BLOCK) return true;
    uint64_t out = allowance_out(&p->blocks);
    return out == 0 || out + l->arg <= BLOCKS_OUT_MAX;
}

static void put(struct mail *m, unsigned to, const struct letter *l, size_t n) {
    struct pair *p = pair_of(m->post, m->self, to);
    bool now = backlog_empty(&m->waiting[to]) && blocks_allow(p, l);
    uint8_t *at = now ? ring_reserve(&p->ring, n) : NULL;
    if (!at) {
        letter_put(backlog_add(&m->waiting[to], n), l);
        return;
    }
    letter_put(at, l);
    ring_push(&p->ring, n);
    if (l->kind == MAIL_BLOCK) allowance_lend(&p->blocks, l->arg);
}

void mail_send(struct mail *m, unsigned to, const struct letter *l) {
    must(to < m->post->shards && to != m->self);
    must(l->kind > MAIL_BLOCK && l->kind < MAIL_KINDS);
    size_t n = letter_size(l);
    if (l->kind != MAIL_BARRIER && l->kind != MAIL_PASSED) m->sent++;
    if (n <= ring_message_max(&pair_of(m->post, m->self, to)->ring)) {
        put(m, to, l, n);
        return;
    }
    uint8_t *block = malloc(n);
    must(block != NULL);
    letter_put(block, l);
    struct letter pointer = {.kind = MAIL_BLOCK, .id = (uintptr_t)block, .arg = n};
    put(m, to, &pointer, letter_size(&pointer));
}

void mail_send_all(struct mail *m, const struct letter *l) {
    must(m->self < m->post->shards);
    for (unsigned to = 0; to < m->post->shards; to++) {
        if (to != m->self) mail_send(m, to, l);
    }
}

bool mail_congested(const struct mail *m, unsigned to) {
    must(to < m->post->shards || to == UINT_MAX);
    if (to != UINT_MAX) return !backlog_empty(&m->waiting[to]);
    for (unsigned s = 0; s < m->post->shards; s++) {
        if (!backlog_empty(&m->waiting[s])) return true;
    }
    return false;
}

uint64_t mail_sent(const struct mail *m) { return m->sent; }

/* True when nothing waits any more. */
static bool move_waiting(struct mail *m, unsigned to) {
    struct pair *p = pair_of(m->post, m->self, to);
    struct span bytes;
    while (backlog_first(&m->waiting[to], &bytes)) {
        struct span spans[MAIL_SPANS_MAX];
        struct letter l;
        letter_get(bytes, &l, spans);
        void *at = blocks_allow(p, &l) ? ring_reserve(&p->ring, bytes.n) : NULL;
        if (!at) return false;
        memcpy(at, bytes.p, bytes.n);
        ring_push(&p->ring, bytes.n);
        if (l.kind == MAIL_BLOCK) allowance_lend(&p->blocks, l.arg);
        backlog_drop(&m->waiting[to]);
    }
    return true;
}

void mail_publish(struct mail *m) {
    struct mail_post *post = m->post;
    for (unsigned to = 0; to < post->shards; to++) {
        if (to == m->self) continue;
        struct pair *p = pair_of(post, m->self, to);
        if (!move_waiting(m, to)) {
            doorbell_lie_down(&p->room); /* then look again: the reader may have made room meanwhile */
            if (move_waiting(m, to)) doorbell_get_up(&p->room);
        }
        if (ring_publish(&p->ring) && doorbell_ring(&post->asleep[to]))
            io_wake(post->io[to], post->io[m->self]);
    }
}

/* --- reading --- */

static void handle_block(struct mail *m, unsigned from, struct pair *p, const struct letter *pointer) {
    struct span spans[MAIL_SPANS_MAX];
    struct letter l;
    uint8_t *block = (uint8_t *)(uintptr_t)pointer->id;
    must(block != NULL && pointer->arg > 0);
    letter_get(span_of(block, pointer->arg), &l, spans);
    must(l.kind != MAIL_BLOCK);
    m->handle(m->ctx, from, &l);
    free(block);
    allowance_return(&p->blocks, pointer->arg);
}

/* Returns how many bytes of letters were handled. */
static size_t drain_from(struct mail *m, unsigned from, size_t bytes_max) {
    struct pair *p = pair_of(m->post, from, m->self);
    struct span bytes, spans[MAIL_SPANS_MAX];
    struct letter l;
    size_t n = 0;
    while (n < bytes_max && ring_next(&p->ring, &bytes)) {
        letter_get(bytes, &l, spans);
        n += l.kind == MAIL_BLOCK ? l.arg : bytes.n;
        if (l.kind == MAIL_BLOCK)
            handle_block(m, from, p, &l);
        else
            m->handle(m->ctx, from, &l);
    }
    if (!n) return 0;
    ring_release(&p->ring);
    if (doorbell_ring(&p->room)) io_wake(m->post->io[from], m->post->io[m->self]);
    return n;
}

size_t mail_drain(struct mail *m, size_t bytes_max) {
    unsigned shards = m->post->shards;
    size_t n = 0;
    must(bytes_max > 0);
    for (unsigned i = 0; i < shards && n < bytes_max; i++) {
        unsigned from = (m->next + i) % shards;
        size_t batch = bytes_max - n < DRAIN_BATCH ? bytes_max - n : DRAIN_BATCH;
        if (from != m->self) n += drain_from(m, from, batch);
    }
    m->next = (m->next + 1) % shards;
    return n;
}

static void drop_letter(void *ctx, unsigned from, const struct letter *l) { (void)ctx, (void)from, (void)l; }

/* Blocks that no one will read any more are freed; waiting letters have their blocks still to themselves. */
void mail_close(struct mail *m) {
    m->handle = drop_letter;
    while (mail_drain(m, DRAIN_BATCH)) continue;
    for (unsigned to = 0; to < m->post->shards; to++) {
        struct span bytes, spans[MAIL_SPANS_MAX];
        struct letter l;
        while (backlog_first(&m->waiting[to], &bytes)) {
            letter_get(bytes, &l, spans);
            if (l.kind == MAIL_BLOCK) free((void *)(uintptr_t)l.id);
            backlog_drop(&m->waiting[to]);
        }
        backlog_deinit(&m->waiting[to]);
    }
    must(!mail_congested(m, UINT_MAX));
    free(m->waiting);
    free(m);
}

/* --- sleeping --- */

bool mail_waiting(struct mail *m) {
    must(m->post != NULL);
    for (unsigned from = 0; from < m->post->shards; from++) {
        if (from != m->self && ring_waiting(&pair_of(m->post, from, m->self)->ring)) return true;
    }
    return false;
}

bool mail_lie_down(struct mail *m) {
    doorbell_lie_down(&m->post->asleep[m->self]);
    if (!mail_waiting(m)) return true;
    mail_get_up(m);
    return false;
}

void mail_get_up(struct mail *m) {
    must(m->post != NULL);
    doorbell_get_up(&m->post->asleep[m->self]);
}
