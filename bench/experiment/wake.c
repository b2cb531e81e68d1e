/* wake.c - one thread wakes another that sleeps.
 *
 *     experiment-wake --by msg_ring|msg_ride|eventfd_ring|eventfd_epoll|futex|futex_ring [--rounds 20000]
 * [--gap-us 0]
 *                     [--cpus 0,1]
 *
 * msg_ring       an entry in the waker's own ring; the sleeper waits in io_uring_enter
 * msg_ride       the same, submitted by the enter in which the waker goes to sleep: no call of its own
 * eventfd_ring   write(2) to an eventfd of which a read waits in the sleeper's ring
 * eventfd_epoll  the same with epoll_wait
 * futex          futex(2) on both sides
 * futex_ring     FUTEX_WAIT waits in the sleeper's ring, futex(2) wakes
 *
 * Two threads wake each other in turn, each on its processor (-1: anywhere); after being woken a thread waits
 * --gap-us (spinning) before it wakes the other, which by then sleeps deeply. Every wake carries a number
 * that the other expects. One line: from waking to awake; the waker's call; processor time of both a wake. */
#include <errno.h>
#include <liburing.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "experiment/meter.h"
#include "host/clock.h"

enum by { MSG_RING, MSG_RIDE, EVENTFD_RING, EVENTFD_EPOLL, FUTEX, FUTEX_RING, WAYS };
static const char *const names[WAYS] = {"msg_ring",      "msg_ride", "eventfd_ring",
                                        "eventfd_epoll", "futex",    "futex_ring"};

struct side {
    enum by by;
    int cpu, event, epoll;
    uint64_t rounds, gap_ns, word, heard;
    struct io_uring ring;
    bool armed;
    _Alignas(64) _Atomic uint32_t futex;   /* counts wakes */
    _Alignas(64) _Atomic uint64_t work;    /* what the waker published before it woke */
    _Alignas(64) _Atomic uint64_t sent_ns; /* when */
    struct side *peer;
    struct hist awake, call;
    pthread_barrier_t *start;
};

static bool messages(enum by by) { return by == MSG_RING || by == MSG_RIDE; }
static bool rings(enum by by) { return messages(by) || by == EVENTFD_RING || by == FUTEX_RING; }

static void side_open(struct side *s) {
    s->event = eventfd(0, EFD_CLOEXEC);
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (s->event < 0 || s->epoll < 0) die("descriptors");
    struct epoll_event e = {.events = EPOLLIN};
    if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->event, &e) != 0) die("epoll_ctl");
    struct io_uring_params p = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                                         IORING_SETUP_R_DISABLED};
    require(io_uring_queue_init_params(64, &s->ring, &p) == 0, "io_uring_queue_init");
    hist_init(&s->awake);
    hist_init(&s->call);
}

/* --- waking --- */

static long futex(_Atomic uint32_t *at, int op, uint32_t value) {
    return syscall(SYS_futex, at, op | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

static void wake(struct side *s) {
    static const uint64_t one = 1;
    struct side *to = s->peer;
    uint64_t from = now_ns();
    atomic_store_explicit(&to->sent_ns, from, memory_order_relaxed);
    atomic_fetch_add_explicit(&to->work, 1, memory_order_release);
    if (messages(s->by)) {
        struct io_uring_sqe *e = io_uring_get_sqe(&s->ring);
        require(e != NULL, "room in the ring");
        io_uring_prep_msg_ring(e, to->ring.ring_fd, 0, 1, 0);
        e->flags |= IOSQE_CQE_SKIP_SUCCESS;
        require(s->by == MSG_RIDE || io_uring_submit(&s->ring) == 1, "an entry submitted");
    } else if (s->by == FUTEX || s->by == FUTEX_RING) {
        atomic_fetch_add_explicit(&to->futex, 1, memory_order_release);
        if (futex(&to->futex, FUTEX_WAKE, 1) < 0) die("FUTEX_WAKE");
    } else if (write(to->event, &one, sizeof one) != sizeof one) {
        die("eventfd");
    }
    hist_add(&s->call, now_ns() - from);
}

/* --- sleeping --- */

static void arm(struct side *s, uint32_t seen) {
    if (s->armed || messages(s->by)) return;
    struct io_uring_sqe *e = io_uring_get_sqe(&s->ring);
    require(e != NULL, "room in the ring");
    if (s->by == EVENTFD_RING)
        io_uring_prep_read(e, s->event, &s->word, sizeof s->word, 0);
    else
        io_uring_prep_futex_wait(e, (uint32_t *)&s->futex, seen, FUTEX_BITSET_MATCH_ANY,
                                 FUTEX2_SIZE_U32 | FUTEX2_PRIVATE, 0);
    s->armed = true;
}

static void sleep_until_woken(struct side *s) {
    uint32_t seen = atomic_load_explicit(&s->futex, memory_order_acquire);
    struct epoll_event e;
    bool futexes = s->by == FUTEX || s->by == FUTEX_RING;
    if (futexes && atomic_load_explicit(&s->work, memory_order_acquire) > s->heard) return;
    if (s->by == FUTEX) {
        if (futex(&s->futex, FUTEX_WAIT, seen) != 0 && errno != EAGAIN && errno != EINTR) die("FUTEX_WAIT");
    } else if (s->by == EVENTFD_EPOLL) {
        if (epoll_wait(s->epoll, &e, 1, -1) != 1 ||
            read(s->event, &s->word, sizeof s->word) != sizeof s->word)
            die("epoll_wait");
    } else {
        arm(s, seen);
        require(io_uring_submit_and_wait(&s->ring, 1) >= 0, "io_uring_enter");
        struct io_uring_cqe *some[8];
        unsigned n = io_uring_peek_batch_cqe(&s->ring, some, 8);
        for (unsigned i = 0; i < n; i++) {
            require(some[i]->res >= 0 || some[i]->res == -EAGAIN, "a completion without error");
            s->armed = false;
        }
        io_uring_cq_advance(&s->ring, n);
    }
}

static void *run(void *arg) {
    struct side *s = arg;
    stay_on(s->cpu);
    if (rings(s->by)) require(io_uring_enable_rings(&s->ring) == 0, "io_uring_enable_rings");
    pthread_barrier_wait(s->start);
    bool first = s < s->peer;
    for (uint64_t i = 0; i < s->rounds; i++) {
        if (!first || i > 0) {
            while (atomic_load_explicit(&s->work, memory_order_acquire) == s->heard) sleep_until_woken(s);
            hist_add(&s->awake, now_ns() - atomic_load_explicit(&s->sent_ns, memory_order_relaxed));
            require(atomic_load(&s->work) == ++s->heard, "one wake at a time");
        }
        for (uint64_t until = now_ns() + s->gap_ns; now_ns() < until;) continue;
        wake(s);
    }
    if (s->by == MSG_RIDE) io_uring_submit(&s->ring);
    return NULL;
}

int main(int argc, char **argv) {
    static struct side sides[2];
    pthread_barrier_t start;
    pthread_t threads[2];
    const char *by = option_text(argc, argv, "by", "msg_ring");
    int cpus[2] = {0, 1};
    require(sscanf(option_text(argc, argv, "cpus", "0,1"), "%d,%d", &cpus[0], &cpus[1]) == 2, "--cpus");
    pthread_barrier_init(&start, NULL, 2);
    if (option_number(argc, argv, "head", 1)) head_print(NULL);
    enum by way = 0;
    while (way < WAYS && strcmp(by, names[way]) != 0) way++;
    require(way < WAYS, "--by");
    for (int i = 0; i < 2; i++) {
        struct side *s = &sides[i];
        s->by = way;
        s->cpu = cpus[i];
        s->rounds = option_number(argc, argv, "rounds", 20000);
        s->gap_ns = option_number(argc, argv, "gap-us", 0) * 1000;
        s->peer = &sides[!i];
        s->start = &start;
        side_open(s);
    }
    struct meter cost = meter_now();
    for (int i = 0; i < 2; i++) {
        if (pthread_create(&threads[i], NULL, run, &sides[i]) != 0) die("pthread_create");
    }
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    cost = meter_since(&cost);
    hist_merge(&sides[0].awake, &sides[1].awake);
    hist_merge(&sides[0].call, &sides[1].call);
    double wakes = (double)sides[0].call.total, gap_s = wakes * (double)sides[0].gap_ns / 1e9;
    printf("%-13s to awake: ", names[way]);
    hist_print(&sides[0].awake);
    printf("; the call: ");
    hist_print(&sides[0].call);
    printf("; a wake: process %.2f us, machine %.2f\n", (cost.process_s - gap_s) * 1e6 / wakes,
           (cost.machine_s - gap_s) * 1e6 / wakes);
    return 0;
}
