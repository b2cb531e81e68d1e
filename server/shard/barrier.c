/* barrier.c - rounds of letters. The only thing that can fail is memory for the queue of requests, which
 * stops the process: a client whose PONG never comes hangs. */
#include "shard/barrier.h"

#include <stdlib.h>

#include "base/must.h"

enum { CAP_FIRST = 64 };

enum err barriers_init(struct barriers *b, struct mail *mail, unsigned self, unsigned shards,
                       void (*done)(void *ctx, const struct barrier_request *r), void *ctx) {
    must(self < shards);
    must(mail != NULL && done != NULL);
    *b = (struct barriers){.mail = mail, .shards = shards, .cap = CAP_FIRST, .done = done, .ctx = ctx};
    b->answered = calloc(shards, sizeof *b->answered);
    b->queue = calloc(b->cap, sizeof *b->queue);
    if (!b->answered || !b->queue) {
        barriers_deinit(b);
        return ERR_NOMEM;
    }
    b->answered[self] = UINT64_MAX; /* its own work is applied at once */
    return ERR_OK;
}

void barriers_deinit(struct barriers *b) {
    free(b->answered);
    free(b->queue);
    *b = (struct barriers){0};
}

static void queue_grow(struct barriers *b) {
    struct barrier_request *q = calloc(b->cap * 2, sizeof *q);
    must(q != NULL);
    for (size_t i = 0; i < b->count; i++) q[i] = b->queue[(b->first + i) & (b->cap - 1)];
    free(b->queue);
    b->queue = q;
    b->first = 0;
    b->cap *= 2;
    must((b->cap & (b->cap - 1)) == 0);
}

static bool nothing_outstanding(const struct barriers *b) { return b->passed_sent == mail_sent(b->mail); }

bool barriers_idle(const struct barriers *b) { return b->count == 0 && nothing_outstanding(b); }

/* The round that covers everything sent so far: one that is through, one under way, or the next. */
static uint64_t round_for(struct barriers *b) {
    if (nothing_outstanding(b)) return b->passed;
    if (b->round > b->passed && b->round_sent == mail_sent(b->mail)) return b->round;
    must(b->shards > 1);
    b->wanted = true;
    return b->round + 1;
}

void barriers_request(struct barriers *b, uint64_t cid, struct js_barrier *js) {
    if (b->count == b->cap) queue_grow(b);
    uint64_t round = round_for(b);
    b->queue[(b->first + b->count++) & (b->cap - 1)] = (struct barrier_request){round, cid, js};
    must(b->count <= b->cap);
}

bool barriers_due(const struct barriers *b) { return b->count && b->queue[b->first].round <= b->passed; }

void barriers_complete(struct barriers *b) {
    for (size_t left = b->count; left && barriers_due(b);
         left--) { /* what done() requests waits for the next turn */
        struct barrier_request r = b->queue[b->first];
        b->first = (b->first + 1) & (b->cap - 1);
        b->count--;
        b->done(b->ctx, &r);
    }
    must(b->first < b->cap);
}

void barriers_send(struct barriers *b) {
    if (!b->wanted) return;
    b->wanted = false;
    b->round++;
    b->round_sent = mail_sent(b->mail);
    mail_send_all(b->mail, &(struct letter){.kind = MAIL_BARRIER, .id = b->round});
    must(b->round > b->passed);
}

static uint64_t answered_by_all(const struct barriers *b) {
    uint64_t least = UINT64_MAX;
    for (unsigned s = 0; s < b->shards; s++) least = b->answered[s] < least ? b->answered[s] : least;
    must(least <= b->round);
    return least;
}

void barriers_on_passed(struct barriers *b, unsigned from, uint64_t round) {
    must(from < b->shards);
    must(round == b->answered[from] + 1); /* in order, none left out */
    b->answered[from] = round;
    uint64_t passed = answered_by_all(b);
    if (passed == b->passed) return;
    b->passed = passed;
    if (passed == b->round) b->passed_sent = b->round_sent;
}

void barriers_answer(struct barriers *b, unsigned from, uint64_t round) {
    must(from < b->shards);
    mail_send(b->mail, from, &(struct letter){.kind = MAIL_PASSED, .id = round});
}
