/* disk.c - what a durable frame costs, by how it is written.
 *
 *     experiment-disk --dir FOLDER --method dsync|linked|grouped|thread|direct|cached|queued [--seconds 5]
 *                     [--align 4096] [--depth 4] [--interval-ms 100] [--file-mib 64]
 *                     [--frame BYTES]                                     frames of one size, as fast as it
 * goes
 *                     [--rate N | --window N] [--message 128] [--seal-kib 16]   messages from a client
 *                     [--client sleep|spin] [--client-cpu N] [--cpu N] [--spin-cpu N]
 *
 * Without --frame a client in a process of its own sends messages over a socket (by schedule, or with a
 * window) and waits until each is safe; a frame is sealed at a tick's end as the log does it: at once when
 * none is in flight, else when --seal-kib for each one in flight have gathered. --spin-cpu keeps a processor
 * busy besides.
 *
 * One line: frames and messages a second; latency (client: from the schedule; frames: from sent off);
 * processor time a frame, of this process and of the whole machine less the client and the spinner; requests,
 * flushes and bytes at the disk a frame. Everything written in the last lap of the file is read back and
 * checked. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "experiment/client.h"
#include "experiment/meter.h"
#include "experiment/writer.h"
#include "host/clock.h"
#include "host/machine.h"

enum { TAG_RECV = 2, TAG_ACK = 4, CQES = 256, IN_ROOM = 64 << 10 };

struct run {
    struct io_uring ring;
    struct writer *w;
    uint32_t message, depth, seal_bytes, frame;
    int fd;
    uint8_t in[IN_ROOM];
    size_t in_from, in_len; /* received, not yet in a frame */
    uint32_t filled;
    uint64_t received, ack, acked;
    bool receiving, acking, ended, in_loop; /* in_loop: writes are made by the loop itself */
};

static struct io_uring_sqe *entry(struct run *r) {
    struct io_uring_sqe *e = io_uring_get_sqe(&r->ring);
    require(e != NULL, "room in the ring");
    return e;
}

static void receive(struct run *r) {
    if (r->receiving || r->ended) return;
    memmove(r->in, r->in + r->in_from, r->in_len -= r->in_from);
    r->in_from = 0;
    if (r->in_len == IN_ROOM) return;
    struct io_uring_sqe *e = entry(r);
    io_uring_prep_recv(e, r->fd, r->in + r->in_len, IN_ROOM - r->in_len, 0);
    io_uring_sqe_set_data64(e, TAG_RECV);
    r->receiving = true;
}

static void acknowledge(struct run *r) {
    uint64_t safe = writer_safe_messages(r->w);
    if (r->acking || r->frame || safe == r->acked) return;
    r->ack = r->acked = safe;
    struct io_uring_sqe *e = entry(r);
    io_uring_prep_send(e, r->fd, &r->ack, sizeof r->ack, MSG_NOSIGNAL | MSG_WAITALL);
    io_uring_sqe_set_data64(e, TAG_ACK);
    r->acking = true;
}

static void on_cqe(struct run *r, const struct io_uring_cqe *cqe) {
    if (cqe->user_data & 1) {
        writer_on_cqe(r->w, cqe);
    } else if (cqe->user_data == TAG_RECV) {
        r->receiving = false;
        r->ended = cqe->res <= 0;
        if (cqe->res > 0) r->in_len += (size_t)cqe->res;
    } else {
        r->acking = false; /* the last one may find the client gone */
        require(cqe->res == sizeof r->ack || r->acked == r->received, "an acknowledgement sent");
    }
}

/* Whole messages into the frame being filled. */
static void gather(struct run *r) {
    uint8_t *to = writer_room(r->w);
    while (to && r->in_len - r->in_from >= r->message && FRAME_HEAD + r->filled + r->message <= FRAME_MAX) {
        uint64_t no;
        memcpy(&no, r->in + r->in_from, sizeof no);
        require(no == r->received++, "messages in order");
        memcpy(to + r->filled, r->in + r->in_from, r->message);
        r->filled += r->message;
        r->in_from += r->message;
    }
}

static void seal(struct run *r) {
    uint32_t flying = writer_flying(r->w);
    if (r->filled == 0 || flying >= r->depth || r->filled < r->seal_bytes * flying) return;
    writer_send(r->w, r->filled, r->filled / r->message);
    r->filled = 0;
}

static void fill(struct run *r, uint64_t end) {
    uint8_t *to;
    while (now_ns() < end && writer_flying(r->w) < r->depth && (to = writer_room(r->w))) {
        memset(to, (int)(writer_frames(r->w) & 0xff), r->frame - FRAME_HEAD);
        writer_send(r->w, r->frame - FRAME_HEAD, 1);
    }
}

static bool finished(const struct run *r, uint64_t end) {
    if (r->frame) return now_ns() >= end && writer_safe_messages(r->w) == writer_frames(r->w);
    return r->ended && !r->acking && writer_safe_messages(r->w) == r->received && !r->filled;
}

static void loop(struct run *r, uint64_t end) {
    for (;;) {
        if (r->frame) {
            fill(r, end);
        } else {
            gather(r);
            seal(r);
            receive(r);
        }
        acknowledge(r);
        uint64_t due = writer_tick(r->w), now = now_ns();
        if (finished(r, end)) break;
        uint64_t wait = !due ? NS_PER_S / 10 : due > now ? due - now : 0;
        struct __kernel_timespec t = {0, (long long)wait};
        struct io_uring_cqe *cqe;
        bool more = r->frame && r->in_loop; /* nothing that could complete */
        int n =
            more ? io_uring_submit(&r->ring) : io_uring_submit_and_wait_timeout(&r->ring, &cqe, 1, &t, NULL);
        if (more) n = io_uring_get_events(&r->ring);
        require(n >= 0 || n == -ETIME || n == -EINTR, "io_uring_enter");
        struct io_uring_cqe *some[CQES];
        unsigned count = io_uring_peek_batch_cqe(&r->ring, some, CQES);
        for (unsigned i = 0; i < count; i++) on_cqe(r, some[i]);
        io_uring_cq_advance(&r->ring, count);
    }
}

/* Keeps a processor busy until killed. */
static pid_t spinner(int cpu) {
    pid_t pid = fork();
    if (pid < 0) die("fork");
    if (pid > 0) return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    stay_on(cpu);
    for (volatile uint64_t i = 0;; i++) continue;
}

struct cost {
    struct meter m;
    uint64_t writes, flushes, bytes;
    double steal_s;
};

static void report(const struct run *r, const struct writer_config *cfg, const struct cost *c,
                   const struct client_result *client, double others_s) {
    double frames = (double)writer_frames(r->w), s = (double)c->m.wall_ns / 1e9;
    printf("%-7s align %u depth %u: %.0f frames/s", method_names[cfg->method], cfg->align, cfg->depth,
           frames / s);
    if (!r->frame) printf(", %.0f msgs/s", (double)client->sent / s);
    printf("; ");
    hist_print(r->frame ? writer_latency(r->w) : &client->latency);
    printf("; cpu us/frame: process %.1f machine %.1f", c->m.process_s * 1e6 / frames,
           (c->m.machine_s - others_s) * 1e6 / frames);
    if (!r->frame)
        printf(", us/msg: process %.2f machine %.2f", c->m.process_s * 1e6 / (double)client->sent,
               (c->m.machine_s - others_s) * 1e6 / (double)client->sent);
    printf("; a frame: %.2f writes %.2f flushes %.0f bytes, padding %.0f; steal %.1f %%\n",
           (double)c->writes / frames, (double)c->flushes / frames, (double)c->bytes / frames,
           (double)writer_padding(r->w) / frames, 100 * c->steal_s / s);
}

static enum method method_of(const char *name) {
    for (int m = 0; m < METHODS; m++) {
        if (strcmp(name, method_names[m]) == 0) return (enum method)m;
    }
    fprintf(stderr, "no method %s\n", name);
    exit(2);
}

int main(int argc, char **argv) {
    const char *dir = option_text(argc, argv, "dir", ".");
    char path[4200];
    snprintf(path, sizeof path, "%.4000s/experiment-disk-%d", dir, (int)getpid());
    struct writer_config cfg = {.path = path,
                                .file_size = option_number(argc, argv, "file-mib", 64) << 20,
                                .method = method_of(option_text(argc, argv, "method", "dsync")),
                                .align = (uint32_t)option_number(argc, argv, "align", 4096),
                                .depth = (uint32_t)option_number(argc, argv, "depth", 4),
                                .interval_ns = option_number(argc, argv, "interval-ms", 100) * 1000000};
    struct client_config client = {.rate = option_number(argc, argv, "rate", 0),
                                   .window = option_number(argc, argv, "window", 1000),
                                   .message = option_number(argc, argv, "message", 128),
                                   .seconds = option_number(argc, argv, "seconds", 5),
                                   .spin = strcmp(option_text(argc, argv, "client", "sleep"), "spin") == 0,
                                   .cpu = (int)option_number(argc, argv, "client-cpu", UINT64_MAX)};
    struct run *r = calloc(1, sizeof *r);
    struct client_result *result =
        mmap(NULL, sizeof *result, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (!r || result == MAP_FAILED) die("memory");
    r->message = (uint32_t)client.message;
    r->depth = cfg.depth;
    r->in_loop = cfg.method == CACHED;
    r->seal_bytes = (uint32_t)option_number(argc, argv, "seal-kib", 16) << 10;
    r->frame = (uint32_t)option_number(argc, argv, "frame", 0);
    require(!r->frame || (r->frame > FRAME_HEAD && r->frame <= FRAME_MAX), "--frame");
    if (option_number(argc, argv, "head", 1)) head_print(dir);
    fflush(stdout);
    int spin_cpu = (int)option_number(argc, argv, "spin-cpu", UINT64_MAX);
    pid_t spins = spin_cpu >= 0 ? spinner(spin_cpu) : 0, pid = 0;

    struct io_uring_params p = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
    int e = io_uring_queue_init_params(256, &r->ring, &p);
    require(e == 0, "io_uring_queue_init");
    stay_on((int)option_number(argc, argv, "cpu", UINT64_MAX));
    r->w = writer_open(&cfg, &r->ring);
    struct machine m;
    machine_read(&m, dir);
    struct machine_sample before = machine_sample(&m);
    struct cost cost = {.m = meter_now()};
    double spun = spins ? 1 : 0;
    if (!r->frame) pid = client_start(&client, result, &r->fd);
    loop(r, now_ns() + client.seconds * NS_PER_S);
    cost.m = meter_since(&cost.m);
    struct machine_sample after = machine_sample(&m);
    if (spins) kill(spins, SIGKILL);
    if (pid) waitpid(pid, NULL, 0);
    cost.writes = after.disk_writes - before.disk_writes;
    cost.flushes = after.disk_flushes - before.disk_flushes;
    cost.bytes = after.disk_bytes - before.disk_bytes;
    cost.steal_s = after.steal_s - before.steal_s;
    report(r, &cfg, &cost, result, result->cpu_s + spun * (double)cost.m.wall_ns / 1e9);
    uint64_t seen = writer_verify(r->w);
    require(r->frame || (result->sent == r->received && result->latency.total == result->sent),
            "every message acknowledged");
    printf("        read back %llu frames, whole and in order\n", (unsigned long long)seen);
    writer_close(r->w);
    io_uring_queue_exit(&r->ring);
    return 0;
}
