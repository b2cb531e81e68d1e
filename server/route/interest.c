/* interest.c - the replica of the other shards' subscriptions, by pattern and queue group.
 *
 * Happy path: the key "subject queue" is looked up in one hash table and a count changes; only the first and
 * the last member of a pattern touch the trie. A blank cannot occur in a subject or a queue name, so keys are
 * unambiguous. */
#include "route/interest.h"

#include <stdlib.h>

#include "base/must.h"

void interests_init(struct interests *is, unsigned shards, uint64_t seed) {
    must(shards > 0 && shards <= 64);
    *is = (struct interests){.shards = shards};
    trie_init(&is->trie, seed);
    map_str_init(&is->by_key, seed);
}

static void interest_free(struct interests *is, struct interest *it) {
    struct interest *gone = map_str_del(&is->by_key, span_of(it->key, it->key_n));
    must(gone == it);
    trie_remove(&is->trie, &it->entry);
    free(it->count);
    free(it);
}

void interests_deinit(struct interests *is) {
    size_t at = 0;
    struct span key;
    void *value;
    while (map_str_next(&is->by_key, &at, &key, &value)) {
        struct interest *it = value;
        trie_remove(&is->trie, &it->entry);
        free(it->count);
        free(it);
    }
    map_str_deinit(&is->by_key);
    trie_deinit(&is->trie);
    free(is->scratch);
    *is = (struct interests){0};
}

/* The key in scratch; empty when memory is out. */
static struct span key_make(struct interests *is, struct span subject, struct span queue) {
    size_t n = subject.n + (queue.n ? 1 + queue.n : 0);
    must(subject.n > 0);
    if (n > is->scratch_n) {
        uint8_t *p = realloc(is->scratch, n * 2);
        if (!p) return SPAN_EMPTY;
        is->scratch = p;
        is->scratch_n = n * 2;
    }
    memcpy(is->scratch, subject.p, subject.n);
    if (queue.n) {
        is->scratch[subject.n] = ' ';
        memcpy(is->scratch + subject.n + 1, queue.p, queue.n);
    }
    return span_of(is->scratch, n);
}

static struct interest *interest_new(struct interests *is, struct span key, size_t subject_n) {
    must(subject_n > 0 && subject_n <= key.n);
    struct interest *it = malloc(sizeof *it + key.n);
    uint32_t *count = calloc(is->shards, sizeof *count);
    if (!it || !count) {
        free(it);
        free(count);
        return NULL;
    }
    *it = (struct interest){.count = count, .key_n = key.n};
    memcpy(it->key, key.p, key.n);
    it->subject = span_of(it->key, subject_n);
    it->queue = subject_n < key.n ? span_of(it->key + subject_n + 1, key.n - subject_n - 1) : SPAN_EMPTY;
    return it;
}

static enum err interest_add(struct interests *is, struct span key, size_t subject_n, struct interest **out) {
    struct interest *it = interest_new(is, key, subject_n);
    if (!it) return ERR_NOMEM;
    enum err e = trie_insert(&is->trie, it->subject, &it->entry);
    if (!e) {
        e = map_str_put(&is->by_key, span_of(it->key, it->key_n), it);
        if (e) trie_remove(&is->trie, &it->entry);
    }
    if (e) {
        free(it->count);
        free(it);
        return e;
    }
    *out = it;
    return ERR_OK;
}

enum err interests_change(struct interests *is, unsigned shard, struct span subject, struct span queue,
                          bool add) {
    must(shard < is->shards);
    struct span key = key_make(is, subject, queue);
    if (!key.n) return ERR_NOMEM;
    struct interest *it = map_str_get(&is->by_key, key);
    if (add) {
        enum err e = it ? ERR_OK : interest_add(is, key, subject.n, &it);
        if (e) return e;
        it->count[shard]++;
        it->mask |= UINT64_C(1) << shard;
        return ERR_OK;
    }
    must(it != NULL);
    must(it->count[shard] > 0);
    if (--it->count[shard] == 0) it->mask &= ~(UINT64_C(1) << shard);
    if (!it->mask) interest_free(is, it);
    return ERR_OK;
}
