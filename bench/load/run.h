/* run.h - one work on one server, once: what every kind of work has in common. A run has lanes, each a thread
 * with an epoll of its own and a share of the connections (links). Senders are paced here, by a window or by
 * a schedule; what is sent and what counts as come back is the kind's business (struct shape).
 *
 *     run_work() -> shape.prepare -> links opened -> lanes started -> [warm-up | measured | the rest comes
 * back]
 *                -> PING on every link, so that what is too much shows as well -> shape.check -> outcome
 *
 * Anything that is missing, doubled, out of order, altered or refused makes the outcome void, with the
 * reason. */
#pragma once
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "host/machine.h"
#include "host/proc.h"
#include "load/payload.h"
#include "load/work.h"
#include "net/api.h"
#include "stats/hist.h"
#include "stats/series.h"

struct outcome {
    bool valid, cut_short;
    bool behind; /* open loop: the server did not take what was offered; latencies are lower bounds */
    char why[256];
    double seconds;            /* measured */
    uint64_t done, bytes;      /* came back while it was measured: messages, payload bytes */
    uint64_t sent, came;       /* the whole run, warm-up included */
    uint64_t published;        /* while measured: done of the senders (fan-out delivers each several times) */
    struct hist latency, late; /* late: how much later than intended this program sent */
    struct series series;
    bool server_seen;
    double server_cpu_ns, own_cpu_ns, machine_busy_ns, steal, load;
    uint64_t rss_max_bytes, written_bytes, switches, disk_writes, disk_flushes;
};
void outcome_deinit(struct outcome *o);

struct run_control {
    const struct machine *machine;
    _Atomic bool *interrupted; /* set by Ctrl-C: stop sending, report what there is */
    void (*progress)(void *ctx, double part, double per_second); /* may be NULL; part 0..1 */
    void *ctx;
};

/* Never fails silently: an outcome is valid, or says why not. */
void run_work(const struct work *w, const struct target *t, const struct run_control *control,
              struct outcome *out);

/* Server and machine at one moment; two of them give what lay between cost. */
struct moment {
    uint64_t at_ns, own_cpu_ns;
    struct proc_sample server;
    struct machine_sample machine;
};
struct moment moment_take(const struct target *t, const struct run_control *control);
void outcome_cost(struct outcome *o, const struct run_control *control, const struct moment *from,
                  const struct moment *to);

/* --- for the shapes --- */

struct slot {
    uint64_t at_ns, tag;
    uint32_t stream;
    bool busy;
};

struct link {
    struct conn conn;
    struct lane *lane;
    bool sender;
    uint32_t index; /* among the senders, or among the receivers */
    uint32_t inflight, slots_n, free_n, subject_n;
    uint32_t *free;
    struct slot *slots;
    uint64_t sent, came, pings, asked;
    uint64_t *next; /* receivers: the number expected of each sender; senders: last sequence of each stream */
    void *state;    /* the shape's */
};

/* Open loop: messages under way over all connections; what is due beyond it waits, and its latency counts
 * from when it was due. Servers refuse publishes when too many lie before them. */
enum { OPEN_WINDOW = 8192, SAMPLES_MAX = 128 };
struct sample {
    uint64_t sequence, tag;
    uint32_t stream;
};

struct lane {
    struct run *run;
    pthread_t thread;
    int epoll;
    struct link *links;
    uint32_t links_n, senders_n, receivers_n, turn_at;
    struct conn *marked;
    uint64_t quota, sent, came, done, bytes, published, last_ns, scheduled;
    double gap_ns, offset_ns; /* open loop: between two sends, and of the first */
    _Atomic uint64_t sent_seen, came_seen;
    _Atomic bool sending, ended;
    uint64_t came_before, heard_ns; /* to notice silence */
    bool failed;
    char why[256];
    struct hist latency, late;
    struct series series;
    struct sample samples[SAMPLES_MAX];
    uint32_t samples_n;
    uint64_t samples_mask;
    uint64_t *stream_count; /* acknowledged, each stream */
};

struct shape {
    /* Streams and consumers; false with run->why. */
    bool (*prepare)(struct run *r);
    /* A link is open: subscriptions, memory. */
    bool (*open)(struct run *r, struct link *l);
    /* May this sender send one more now (closed loop), or is there room for it at all (open loop)? */
    bool (*may_send)(struct link *l);
    void (*send)(struct link *l, uint64_t intended_ns);
    /* After a batch of sends and before the flush; may be NULL. */
    void (*sent_batch)(struct link *l);
    conn_on_message *on_message; /* ctx is the link */
    /* A receiver's turn after something arrived (ask for more); may be NULL. */
    void (*turn)(struct link *l);
    /* Sending is over everywhere: has all come back to this lane? */
    bool (*complete)(struct lane *lane);
    /* After the run: read back and compare; false with run->why. May be NULL. */
    bool (*check)(struct run *r);
    void (*close)(struct run *r, struct link *l);
};
extern const struct shape shape_core, shape_request, shape_stream, shape_consume, shape_routed;

struct run {
    const struct work *work;
    const struct target *target;
    const struct run_control *control;
    const struct shape *shape;
    struct api api;
    struct payload payload;
    struct lane *lanes;
    uint32_t lanes_n;
    struct conn *bystanders; /* work's idle and stalled connections */
    uint32_t bystanders_n;
    uint64_t begin_ns, measure_from_ns;
    _Atomic uint64_t measure_to_ns; /* Ctrl-C brings it forward */
    _Atomic bool stop;
    char why[256], inbox[32];
};

/* Something sent at intended_ns came back, `size` payload bytes of it. */
void lane_came(struct lane *lane, uint64_t intended_ns, uint64_t now, uint64_t size);
/* The run is void. The first reason stays. */
void lane_void(struct lane *lane, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The link is served before the lane sleeps again. */
void lane_mark(struct link *l);
/* All lanes together: sent, and come back to the receivers. */
uint64_t run_sent(const struct run *r);
uint64_t run_came(const struct run *r);
bool run_sending(const struct run *r);
/* How many messages a sender may have under way. */
uint32_t link_window(const struct work *w);
/* Makes the free list of a sender's n slots. */
void link_slots_open(struct link *l, uint32_t n);
