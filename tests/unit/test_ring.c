/* test_ring.c - the queue between threads: order, contents, wrapping, the bound, and two threads at full
 * speed. */
#include <pthread.h>
#include <sched.h>

#include "base/bytes.h"
#include "base/rng.h"
#include "io/ring.h"
#include "lib/check.h"

static void empty_and_unpublished(void) {
    struct ring r;
    struct span msg;
    CHECK_EQ(ring_init(&r, 256), ERR_OK);
    CHECK_EQ(ring_message_max(&r), 64);
    CHECK(!ring_next(&r, &msg));
    CHECK(!ring_publish(&r));
    void *p = ring_reserve(&r, 5);
    CHECK(p != NULL);
    CHECK_EQ((uintptr_t)p % 8, 0);
    memcpy(p, "hello", 5);
    ring_push(&r, 5);
    CHECK(!ring_next(&r, &msg));
    CHECK(ring_publish(&r));
    CHECK(!ring_publish(&r));
    CHECK(ring_next(&r, &msg));
    CHECK_MEM(msg.p, msg.n, "hello", 5);
    CHECK(!ring_next(&r, &msg));
    ring_release(&r);
    ring_deinit(&r);
}

static void shorter_than_reserved(void) {
    struct ring r;
    struct span msg;
    CHECK_EQ(ring_init(&r, 256), ERR_OK);
    CHECK(ring_reserve(&r, 60) != NULL); /* given up: nothing was pushed */
    memcpy(ring_reserve(&r, 64), "ab", 2);
    ring_push(&r, 2);
    CHECK(ring_reserve(&r, 0) != NULL);
    ring_push(&r, 0);
    CHECK(ring_publish(&r));
    CHECK(ring_next(&r, &msg));
    CHECK_MEM(msg.p, msg.n, "ab", 2);
    CHECK(ring_next(&r, &msg));
    CHECK_EQ(msg.n, 0);
    CHECK(!ring_next(&r, &msg));
    CHECK_EQ(r.tail_local, 24); /* 8 + 2 rounded up, 8 + 0 */
    ring_deinit(&r);
}

static void full_until_released(void) {
    struct ring r;
    struct span msg;
    size_t n = 0, again = 0;
    CHECK_EQ(ring_init(&r, 256), ERR_OK);
    while (ring_reserve(&r, 24)) {
        ring_push(&r, 24);
        n++;
    }
    CHECK_EQ(n, 8);
    CHECK(ring_publish(&r));
    for (size_t i = 0; i < 8; i++) CHECK(ring_next(&r, &msg));
    CHECK(ring_reserve(&r, 24) == NULL); /* read, but not given back */
    ring_release(&r);
    while (ring_reserve(&r, 24)) {
        ring_push(&r, 24);
        again++;
    }
    CHECK_EQ(again, 8);
    ring_deinit(&r);
}

/* Random lengths against a model that knows what each message holds; every batch is published and released at
 * once. */
static void random_lengths_wrap(void) {
    struct ring r;
    struct rng rng = {4}, in = {5}, out = {5};
    struct span msg;
    CHECK_EQ(ring_init(&r, 1024), ERR_OK);
    for (int round = 0; round < 20000; round++) {
        for (uint64_t i = rng_below(&rng, 6); i > 0; i--) {
            struct rng before = in;
            size_t n = rng_below(&in, 257);
            uint8_t *p = ring_reserve(&r, n);
            if (!p) {
                in = before;
                break;
            }
            memset(p, (int)(n & 255), n);
            ring_push(&r, n);
        }
        ring_publish(&r);
        while (rng_below(&rng, 4) && ring_next(&r, &msg)) {
            size_t n = rng_below(&out, 257);
            CHECK_EQ(msg.n, n);
            for (size_t i = 0; i < n; i++) CHECK_EQ(msg.p[i], n & 255);
        }
        ring_release(&r);
    }
    CHECK(r.tail_local > 1000000);
    ring_deinit(&r);
}

enum { MESSAGES = 300000 };

static void *produce(void *arg) {
    struct ring *r = arg;
    struct rng lengths = {8};
    for (uint64_t i = 0; i < MESSAGES; i++) {
        size_t n = 8 + rng_below(&lengths, 100);
        uint8_t *p;
        while (!(p = ring_reserve(r, n))) {
            ring_publish(r);
            sched_yield();
        }
        store64(p, i);
        memset(p + 8, (int)(i & 255), n - 8);
        ring_push(r, n);
        if (i % 5 == 0) ring_publish(r);
    }
    ring_publish(r);
    return NULL;
}

static void two_threads(void) {
    struct ring r;
    struct rng lengths = {8};
    struct span msg;
    pthread_t writer;
    CHECK_EQ(ring_init(&r, 4096), ERR_OK);
    CHECK_EQ(pthread_create(&writer, NULL, produce, &r), 0);
    for (uint64_t i = 0; i < MESSAGES;) {
        if (!ring_next(&r, &msg)) {
            ring_release(&r);
            sched_yield();
            continue;
        }
        size_t n = 8 + rng_below(&lengths, 100);
        CHECK_EQ(msg.n, n);
        CHECK_EQ(load64(msg.p), i);
        for (size_t k = 8; k < n; k++) CHECK_EQ(msg.p[k], i & 255);
        if (++i % 7 == 0) ring_release(&r);
    }
    CHECK(!ring_next(&r, &msg));
    CHECK_EQ(pthread_join(writer, NULL), 0);
    ring_deinit(&r);
}

CHECK_MAIN(CASE(empty_and_unpublished), CASE(shorter_than_reserved), CASE(full_until_released),
           CASE(random_lengths_wrap), CASE(two_threads))
