/* disk.h - a helper thread that runs file operations one after the other, so that a loop without a ring never
 * blocks on a disk. One a loop, started with its first operation. */
#pragma once
#include <pthread.h>

#include "io/io.h"

struct disk {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct list todo, finished; /* under the lock */
    bool running, stop;
    int event; /* written when something is finished */
};

void disk_init(struct disk *d, int event);
/* Hands the operations on `batch` over (the list is empty then). ERR_NOMEM when no thread can be made: batch
 * as it was. */
enum err disk_run(struct disk *d, struct list *batch) MUST_USE;
/* Moves what is finished to the end of `out`; the result is in op->priv_word[DISK_RES]. */
void disk_take(struct disk *d, struct list *out);
/* Waits for the operation that is running; the others are dropped. */
void disk_deinit(struct disk *d);

enum { DISK_RES = 1 };
