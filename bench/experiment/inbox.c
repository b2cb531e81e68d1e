/* inbox.c - acknowledgements from one shard's connections to the consumer another shard owns: two threads.
 *
 *     experiment-inbox --shape text|letter|batch|bitmap [--pending 1000000] [--order straight|mixed|random]
 *                      [--consumers 1] [--tick 64] [--tick-us 100] [--rate 0] [--apply 1] [--rounds 3]
 *
 * text    a letter an ack with the ack subject's text in it, parsed by the owner: what the server does
 * letter  a letter an ack with consumer and sequence in 16 bytes
 * batch   a letter a tick and consumer with up to 64 sequences
 * bitmap  a shared bit a sequence, set with an atomic or, and two levels of summary above; the owner takes
 *         dirty words by atomic exchange
 *
 * The sender acknowledges every pending message once, --tick of them between two looks at the doorbell, as
 * fast as it can or at --rate. The owner looks every --tick-us (0: all the time) and takes each out of the
 * set of pending messages that the engine uses (--apply 0: only marks it). Each must arrive exactly once.
 *
 * One line: acks a second; ns of each side an ack (the sender's without waiting for room or schedule, the
 * owner's without looks that found nothing); memory between the two. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/must.h"
#include "base/rng.h"
#include "experiment/meter.h"
#include "host/clock.h"
#include "io/doorbell.h"
#include "io/ring.h"
#include "stream/pending.h"

enum shape { TEXT, LETTER, BATCH, BITMAP, SHAPES };
static const char *const shape_names[SHAPES] = {"text", "letter", "batch", "bitmap"};
enum { RING_BYTES = 1 << 20, BATCH_MAX = 64, TEXT_MAX = 128, CONSUMERS_MAX = 65536 };

/* A shared inbox: bit i of words is sequence i; a set bit above says that the word below may be. */
struct inbox {
    _Atomic uint64_t *words, *summary, *top;
    size_t words_len, summary_len, top_len;
};

struct ack {
    uint32_t consumer, seq; /* seq: from 0 */
};

struct batch {
    uint64_t consumer, count, seqs[BATCH_MAX];
};

struct test {
    enum shape shape;
    bool apply;
    uint64_t pending, each, consumers, tick, tick_ns, rate, rounds;
    struct ack *acks; /* in the order they are sent */
    char (*paths)[48];
    struct ring ring;
    struct doorbell bell;
    struct inbox *inboxes;
    struct inbox dirty; /* consumers */
    struct pending_set *sets;
    uint64_t *seen;
    pthread_barrier_t step;
    uint64_t sender_ns, owner_ns, waits, looks, taken, wall_ns;
};

/* --- the bitmap --- */

static _Atomic uint64_t *zeros(size_t n) {
    _Atomic uint64_t *p = calloc(n, sizeof *p);
    if (!p) die("memory");
    return p;
}

static void inbox_open(struct inbox *b, uint64_t bits) {
    b->words_len = (size_t)(bits + 63) / 64;
    b->summary_len = (b->words_len + 63) / 64;
    b->top_len = (b->summary_len + 63) / 64;
    b->words = zeros(b->words_len);
    b->summary = zeros(b->summary_len);
    b->top = zeros(b->top_len);
}

static size_t inbox_bytes(const struct inbox *b) { return (b->words_len + b->summary_len + b->top_len) * 8; }

static bool set(_Atomic uint64_t *words, uint64_t bit) {
    return atomic_fetch_or_explicit(&words[bit / 64], 1ull << (bit & 63), memory_order_acq_rel) == 0;
}

/* From below: who finds a word empty says so above. True: nobody had said anything yet. */
static bool inbox_set(struct inbox *b, uint64_t bit) {
    return set(b->words, bit) && set(b->summary, bit / 64) && set(b->top, bit / 64 / 64);
}

/* From above: the sign is taken down before what it points at is looked at. */
static void inbox_sweep(struct inbox *b, struct test *t, uint32_t consumer,
                        void (*take)(struct test *, uint32_t, uint64_t)) {
    for (size_t i = 0; i < b->top_len; i++) {
        if (!atomic_load_explicit(&b->top[i], memory_order_relaxed)) continue;
        uint64_t top = atomic_exchange_explicit(&b->top[i], 0, memory_order_acq_rel);
        for (; top; top &= top - 1) {
            size_t j = i * 64 + (size_t)__builtin_ctzll(top);
            uint64_t sum = atomic_exchange_explicit(&b->summary[j], 0, memory_order_acq_rel);
            for (; sum; sum &= sum - 1) {
                size_t k = j * 64 + (size_t)__builtin_ctzll(sum);
                uint64_t word = atomic_exchange_explicit(&b->words[k], 0, memory_order_acq_rel);
                for (; word; word &= word - 1) take(t, consumer, k * 64 + (uint64_t)__builtin_ctzll(word));
            }
        }
    }
}

/* --- the owner --- */

static void take(struct test *t, uint32_t consumer, uint64_t seq) {
    uint64_t bit = consumer * t->each + seq;
    require(!(t->seen[bit / 64] >> (bit & 63) & 1), "an ack comes once");
    t->seen[bit / 64] |= 1ull << (bit & 63);
    t->taken++;
    if (!t->apply) return;
    uint32_t at = pending_find(&t->sets[consumer], seq + 1);
    require(at != PENDING_NONE, "a pending message");
    pending_remove(&t->sets[consumer], at);
}

static void take_consumer(struct test *t, uint32_t unused, uint64_t consumer) {
    (void)unused;
    inbox_sweep(&t->inboxes[consumer], t, (uint32_t)consumer, take);
}

/* $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending> */
static void take_text(struct test *t, const char *p, size_t n) {
    uint64_t v[5];
    const char *end = p + n, *path = p + 8, *at = path;
    for (int dots = 0; dots < 2; at++) dots += *at == '.';
    size_t path_n = (size_t)(at - path) - 1;
    for (int i = 0; i < 5; i++) {
        const char *stop = memchr(at, '.', (size_t)(end - at));
        if (!stop) stop = end;
        for (v[i] = 0; at < stop; at++) v[i] = v[i] * 10 + (uint64_t)(*at - '0');
        at++;
    }
    uint32_t consumer = (uint32_t)(v[0] >> 32); /* stands for what the table of consumers would give */
    require(strlen(t->paths[consumer]) == path_n && memcmp(t->paths[consumer], path, path_n) == 0,
            "the path");
    take(t, consumer, v[1]);
}

static void look_ring(struct test *t) {
    struct span m;
    while (ring_next(&t->ring, &m)) {
        if (t->shape == TEXT) {
            take_text(t, (const char *)m.p + 40, m.n - 40);
        } else if (t->shape == LETTER) {
            take(t, (uint32_t)load64(m.p), load64(m.p + 8));
        } else {
            const struct batch *b = (const struct batch *)m.p;
            for (uint64_t i = 0; i < b->count; i++) take(t, (uint32_t)b->consumer, b->seqs[i]);
        }
    }
    ring_release(&t->ring);
}

static void own(struct test *t) {
    uint64_t next = now_ns();
    while (t->taken < t->pending) {
        uint64_t from = now_ns(), before = t->taken;
        if (from < next) continue;
        next = from + t->tick_ns;
        if (t->shape == BITMAP)
            inbox_sweep(&t->dirty, t, 0, take_consumer);
        else
            look_ring(t);
        t->looks++;
        if (t->taken > before) t->owner_ns += now_ns() - from;
    }
}

/* --- the sender --- */

static void *room(struct test *t, size_t n) {
    void *p = ring_reserve(&t->ring, n);
    if (p) return p;
    uint64_t from = now_ns();
    ring_publish(&t->ring);
    while (!(p = ring_reserve(&t->ring, n))) continue;
    t->waits++;
    t->sender_ns -= now_ns() - from;
    return p;
}

static size_t digits(char *to, uint64_t v) {
    char b[20];
    size_t n = 0;
    do b[n++] = (char)('0' + v % 10);
    while (v /= 10);
    for (size_t i = 0; i < n; i++) to[i] = b[n - 1 - i];
    return n;
}

/* The client made this text; here it stands for the receive buffer it is copied from. */
static size_t text_of(const struct test *t, struct ack a, char *out) {
    size_t n = 8, path = strlen(t->paths[a.consumer]);
    memcpy(out, "$JS.ACK.", 8);
    memcpy(out + n, t->paths[a.consumer], path);
    n += path;
    const uint64_t v[5] = {(uint64_t)a.consumer << 32 | 1, a.seq, a.seq, 1795000000123456789u, 42};
    for (int i = 0; i < 5; i++) {
        out[n++] = '.';
        n += digits(out + n, v[i]);
    }
    return n;
}

static void send_batch(struct test *t, struct batch *b) {
    if (!b->count) return;
    size_t n = 16 + b->count * 8;
    memcpy(room(t, n), b, n);
    ring_push(&t->ring, n);
    b->count = 0;
}

static void send_tick(struct test *t, const struct ack *a, size_t n, const char (*texts)[TEXT_MAX],
                      const size_t *lens) {
    struct batch b = {0};
    for (size_t i = 0; i < n; i++) {
        if (t->shape == BITMAP) {
            if (inbox_set(&t->inboxes[a[i].consumer], a[i].seq)) inbox_set(&t->dirty, a[i].consumer);
        } else if (t->shape == BATCH) {
            if (b.count == BATCH_MAX || (b.count && b.consumer != a[i].consumer)) send_batch(t, &b);
            b.consumer = a[i].consumer;
            b.seqs[b.count++] = a[i].seq;
        } else if (t->shape == LETTER) {
            uint8_t *p = room(t, 16);
            store64(p, a[i].consumer);
            store64(p + 8, a[i].seq);
            ring_push(&t->ring, 16);
        } else {
            uint8_t *p = room(t, 40 + lens[i]);
            memset(p, 0, 40); /* a letter's head and the lengths of its four parts */
            memcpy(p + 40, texts[i], lens[i]);
            ring_push(&t->ring, 40 + lens[i]);
        }
    }
    send_batch(t, &b);
    if (t->shape != BITMAP) ring_publish(&t->ring);
    doorbell_ring(&t->bell);
}

static void *sender(void *arg) {
    struct test *t = arg;
    static char texts[4096][TEXT_MAX];
    static size_t lens[4096];
    stay_on(0);
    for (uint64_t round = 0; round < t->rounds; round++) {
        pthread_barrier_wait(&t->step);
        uint64_t start = now_ns();
        for (uint64_t at = 0; at < t->pending; at += t->tick) {
            size_t n = (size_t)(t->pending - at < t->tick ? t->pending - at : t->tick);
            for (size_t i = 0; t->shape == TEXT && i < n; i++)
                lens[i] = text_of(t, t->acks[at + i], texts[i]);
            uint64_t due = t->rate ? start + (uint64_t)((double)at * 1e9 / (double)t->rate) : 0, from;
            while ((from = now_ns()) < due) continue;
            send_tick(t, t->acks + at, n, texts, lens);
            t->sender_ns += now_ns() - from;
        }
        pthread_barrier_wait(&t->step);
    }
    return NULL;
}

/* --- setting up --- */

static void shuffle(struct ack *a, size_t n, struct rng *rng) {
    for (size_t i = n; i > 1; i--) {
        size_t j = (size_t)rng_below(rng, i);
        struct ack x = a[i - 1];
        a[i - 1] = a[j];
        a[j] = x;
    }
}

/* mixed: as from many workers that each take a while; consumers come in runs of 16, as batches arrive. */
static void order(struct test *t, const char *how) {
    struct rng rng = {42};
    uint64_t n = 0, run = t->consumers > 1 ? 16 : t->each;
    for (uint64_t at = 0; at < t->each; at += run) {
        for (uint64_t c = 0; c < t->consumers; c++) {
            for (uint64_t s = at; s < at + run && s < t->each; s++)
                t->acks[n++] = (struct ack){(uint32_t)c, (uint32_t)s};
        }
    }
    require(n == t->pending, "all of them");
    if (strcmp(how, "random") == 0) shuffle(t->acks, n, &rng);
    for (uint64_t i = 0; strcmp(how, "mixed") == 0 && i < n; i += 256)
        shuffle(t->acks + i, n - i < 256 ? n - i : 256, &rng);
}

static void fill_pending(struct test *t) {
    for (uint64_t c = 0; t->apply && c < t->consumers; c++) {
        require(t->sets[c].count == 0, "every message was acknowledged");
        for (uint64_t s = 1; s <= t->each; s++) {
            require(pending_reserve(&t->sets[c]) == ERR_OK, "room for a pending message");
            uint32_t i = pending_add(&t->sets[c], s, s);
            pending_place(&t->sets[c], i, PENDING_WAIT, 0);
        }
    }
    memset(t->seen, 0, (t->pending + 63) / 64 * 8);
    t->taken = 0;
}

static void open_all(struct test *t, const char *how) {
    t->acks = calloc(t->pending, sizeof *t->acks);
    t->paths = calloc(t->consumers, sizeof *t->paths);
    t->inboxes = calloc(t->consumers, sizeof *t->inboxes);
    t->sets = calloc(t->consumers, sizeof *t->sets);
    t->seen = calloc((t->pending + 63) / 64, 8);
    if (!t->acks || !t->paths || !t->inboxes || !t->sets || !t->seen) die("memory");
    require(ring_init(&t->ring, RING_BYTES) == ERR_OK, "ring_init");
    inbox_open(&t->dirty, t->consumers);
    for (uint64_t c = 0; c < t->consumers; c++) {
        inbox_open(&t->inboxes[c], t->each);
        pending_init(&t->sets[c]);
        snprintf(t->paths[c], sizeof t->paths[c], "ORDERS_%03u.worker_%05u", (unsigned)(c % 10), (unsigned)c);
    }
    order(t, how);
    pthread_barrier_init(&t->step, NULL, 2);
}

static size_t memory_between(const struct test *t) {
    if (t->shape != BITMAP) return RING_BYTES;
    return inbox_bytes(&t->dirty) +
           (size_t)t->consumers * (sizeof(struct inbox) + inbox_bytes(&t->inboxes[0]));
}

int main(int argc, char **argv) {
    struct test *t = aligned_alloc(64, align_up(sizeof *t, 64));
    if (!t) die("memory");
    memset(t, 0, sizeof *t);
    const char *shape = option_text(argc, argv, "shape", "letter"),
               *how = option_text(argc, argv, "order", "straight");
    while (t->shape < SHAPES && strcmp(shape, shape_names[t->shape]) != 0) t->shape++;
    t->consumers = option_number(argc, argv, "consumers", 1);
    t->each = option_number(argc, argv, "pending", 1000000) / t->consumers;
    t->pending = t->each * t->consumers;
    t->tick = option_number(argc, argv, "tick", 64);
    t->tick_ns = option_number(argc, argv, "tick-us", 100) * 1000;
    t->rate = option_number(argc, argv, "rate", 0);
    t->apply = option_number(argc, argv, "apply", 1);
    t->rounds = option_number(argc, argv, "rounds", 3);
    require(t->shape < SHAPES && t->each > 0 && t->each <= PENDING_MAX && t->consumers <= CONSUMERS_MAX &&
                t->tick > 0 && t->tick <= 4096,
            "the options");
    open_all(t, how);
    if (option_number(argc, argv, "head", 1)) head_print(NULL);
    pthread_t thread;
    stay_on(1);
    if (pthread_create(&thread, NULL, sender, t) != 0) die("pthread_create");
    for (uint64_t round = 0; round < t->rounds; round++) {
        fill_pending(t);
        pthread_barrier_wait(&t->step);
        uint64_t from = now_ns();
        own(t);
        t->wall_ns += now_ns() - from;
        pthread_barrier_wait(&t->step);
    }
    pthread_join(thread, NULL);
    fill_pending(t); /* checks that nothing is left */
    double n = (double)(t->pending * t->rounds);
    printf("%-7s %-8s consumers %llu: %.2f M acks/s; sender %.1f ns, owner %.1f ns an ack; between them %zu "
           "KiB; "
           "%.0f acks a look, waited for room %llu times\n",
           shape_names[t->shape], how, (unsigned long long)t->consumers, n / (double)t->wall_ns * 1e3,
           (double)t->sender_ns / n, (double)t->owner_ns / n, memory_between(t) / 1024, n / (double)t->looks,
           (unsigned long long)t->waits);
    return 0;
}
