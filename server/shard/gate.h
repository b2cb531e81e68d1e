/* gate.h - the threads of the server meet here, at start and at the end only: each arrives and says whether
 * it is well, and all go on together, knowing whether all are. */
#pragma once
#include <pthread.h>
#include <stdbool.h>

struct gate {
    pthread_mutex_t mutex;
    pthread_cond_t moved;
    unsigned threads, arrived, round;
    bool failed; /* once anyone was not well, for good */
};

void gate_init(struct gate *g, unsigned threads);
void gate_deinit(struct gate *g);
/* Waits for all. False: this thread or another one is not well. */
bool gate_pass(struct gate *g, bool well);
