/* gate.c - one mutex and one condition; off the data path. */
#include "shard/gate.h"

#include "base/must.h"

void gate_init(struct gate *g, unsigned threads) {
    must(threads > 0);
    *g = (struct gate){.threads = threads};
    int failed = pthread_mutex_init(&g->mutex, NULL) | pthread_cond_init(&g->moved, NULL);
    must(!failed);
}

void gate_deinit(struct gate *g) {
    must(g->arrived == 0);
    pthread_cond_destroy(&g->moved);
    pthread_mutex_destroy(&g->mutex);
}

bool gate_pass(struct gate *g, bool well) {
    pthread_mutex_lock(&g->mutex);
    must(g->arrived < g->threads);
    unsigned round = g->round;
    if (!well) g->failed = true;
    if (++g->arrived == g->threads) {
        g->arrived = 0;
        g->round++;
        pthread_cond_broadcast(&g->moved);
    }
    while (g->round == round) pthread_cond_wait(&g->moved, &g->mutex);
    bool all = !g->failed;
    pthread_mutex_unlock(&g->mutex);
    return all;
}
