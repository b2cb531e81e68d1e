/* writer.c - see writer.h. A frame is [head][messages][zeros up to the alignment]; the head has its number
 * and a checksum. A write that fails or falls short ends the program. */
#include "experiment/writer.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "experiment/meter.h"
#include "host/clock.h"

const char *const method_names[METHODS] = {"dsync",  "linked", "grouped", "thread",
                                           "direct", "cached", "queued"};

#define MAGIC 0x4d41524645585031ull
enum { TAG_WRITE = 1, TAG_EVENT = 3, TAG_SYNC = 5, TAG_LINKED = 7, TAG_MASK = 7 };

struct frame_head {
    uint64_t magic, no;
    uint32_t bytes, messages, crc, pad;
};
_Static_assert(sizeof(struct frame_head) == FRAME_HEAD, "a frame's head");

struct slot {
    struct writer *w;
    uint8_t *buf;
    uint64_t no, off, sent_ns;
    uint32_t size, messages;
    bool written;
    ssize_t result;
    struct slot *next; /* of the queue to the threads and back */
};

struct writer {
    struct writer_config cfg;
    struct io_uring *ring;
    int fd, event;
    uint64_t event_word, at, lap_no; /* lap_no: the frame at offset 0 */
    uint64_t sent, written, safe, safe_messages, padding;
    uint64_t sync_through, sync_due;
    bool syncing, closing;
    uint32_t flying;
    struct slot slots[SLOTS];
    struct hist latency;
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct slot *todo, **todo_end, *done;
    pthread_t threads[SLOTS];
};

static bool through_cache(enum method m) { return m == CACHED || m == QUEUED; }
static bool durable(enum method m) { return m < DIRECT; }
static struct slot *slot_of(struct writer *w, uint64_t no) { return &w->slots[no % SLOTS]; }

/* --- threads --- */

static void *disk_thread(void *arg) {
    struct writer *w = arg;
    static const uint64_t one = 1;
    pthread_mutex_lock(&w->lock);
    for (;;) {
        while (!w->todo && !w->closing) pthread_cond_wait(&w->more, &w->lock);
        if (!w->todo) break;
        struct slot *s = w->todo;
        w->todo = s->next;
        if (!w->todo) w->todo_end = &w->todo;
        pthread_mutex_unlock(&w->lock);
        struct iovec v = {s->buf, s->size};
        s->result = pwritev2(w->fd, &v, 1, (off_t)s->off, RWF_DSYNC);
        pthread_mutex_lock(&w->lock);
        bool wake = !w->done;
        s->next = w->done;
        w->done = s;
        pthread_mutex_unlock(&w->lock);
        if (wake && write(w->event, &one, sizeof one) != sizeof one) die("eventfd");
        pthread_mutex_lock(&w->lock);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

static struct io_uring_sqe *entry(struct writer *w, uint64_t tag) {
    struct io_uring_sqe *e = io_uring_get_sqe(w->ring);
    require(e != NULL, "room in the ring");
    io_uring_sqe_set_data64(e, tag);
    return e;
}

static void event_arm(struct writer *w) {
    struct io_uring_sqe *e = entry(w, TAG_EVENT);
    io_uring_prep_read(e, w->event, &w->event_word, sizeof w->event_word, 0);
    io_uring_sqe_set_data64(e, TAG_EVENT);
}

/* --- opening --- */

static void write_out(struct writer *w) {
    enum { STEP = 1 << 20 };
    uint8_t *zeros = aligned_alloc(4096, STEP);
    if (!zeros) die("memory");
    memset(zeros, 0, STEP);
    int fd = open(w->cfg.path, O_RDWR | O_CREAT | O_TRUNC | O_DIRECT | O_CLOEXEC, 0600);
    if (fd < 0) die(w->cfg.path);
    for (uint64_t at = 0; at < w->cfg.file_size; at += STEP) {
        if (pwrite(fd, zeros, STEP, (off_t)at) != STEP) die("writing the file out");
    }
    if (fsync(fd) != 0) die("fsync");
    close(fd);
    free(zeros);
}

struct writer *writer_open(const struct writer_config *cfg, struct io_uring *ring) {
    struct writer *w = calloc(1, sizeof *w);
    if (!w) die("memory");
    require(cfg->file_size % (1 << 20) == 0 && cfg->file_size >= 4 * FRAME_MAX, "the file's size");
    require(cfg->depth >= 1 && cfg->depth <= SLOTS / 2 && cfg->align >= 512 && cfg->align <= 65536,
            "the options");
    *w = (struct writer){.cfg = *cfg, .ring = ring, .event = -1, .lap_no = 1};
    w->todo_end = &w->todo;
    hist_init(&w->latency);
    for (unsigned i = 0; i < SLOTS; i++) {
        w->slots[i].w = w;
        w->slots[i].buf = aligned_alloc(4096, FRAME_MAX + 65536);
        if (!w->slots[i].buf) die("memory");
        memset(w->slots[i].buf, 0, FRAME_MAX + 65536);
    }
    write_out(w);
    w->fd = open(cfg->path, O_RDWR | O_CLOEXEC | (through_cache(cfg->method) ? 0 : O_DIRECT));
    if (w->fd < 0) die(cfg->path);
    if (cfg->method != THREAD) return w;
    w->event = eventfd(0, EFD_CLOEXEC);
    if (w->event < 0) die("eventfd");
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->more, NULL);
    for (uint32_t i = 0; i < cfg->depth; i++) {
        if (pthread_create(&w->threads[i], NULL, disk_thread, w) != 0) die("pthread_create");
    }
    event_arm(w);
    return w;
}

uint8_t *writer_room(struct writer *w) {
    return w->sent - w->safe >= SLOTS - 1 ? NULL : slot_of(w, w->sent + 1)->buf + FRAME_HEAD;
}
uint32_t writer_flying(const struct writer *w) { return w->flying; }
uint64_t writer_safe_messages(const struct writer *w) { return w->safe_messages; }
uint64_t writer_frames(const struct writer *w) { return w->sent; }
uint64_t writer_padding(const struct writer *w) { return w->padding; }
const struct hist *writer_latency(const struct writer *w) { return &w->latency; }

/* --- sending --- */

static void seal(struct writer *w, struct slot *s, uint32_t bytes) {
    size_t used = FRAME_HEAD + bytes;
    s->size = (uint32_t)((used + w->cfg.align - 1) / w->cfg.align * w->cfg.align);
    require(used <= FRAME_MAX, "a frame that fits");
    memset(s->buf + used, 0, s->size - used);
    struct frame_head h = {MAGIC, s->no, bytes, s->messages, 0, 0};
    memcpy(s->buf, &h, sizeof h);
    h.crc = crc32c(0, s->buf, used);
    memcpy(s->buf, &h, sizeof h);
    w->padding += s->size - used;
    if (w->at + s->size > w->cfg.file_size) w->at = 0;
    if (w->at == 0) w->lap_no = s->no;
    s->off = w->at;
    w->at += s->size;
}

static void slot_done(struct writer *w, struct slot *s, ssize_t result);

static void to_threads(struct writer *w, struct slot *s) {
    pthread_mutex_lock(&w->lock);
    s->next = NULL;
    *w->todo_end = s;
    w->todo_end = &s->next;
    pthread_cond_signal(&w->more);
    pthread_mutex_unlock(&w->lock);
}

static void to_ring(struct writer *w, struct slot *s) {
    struct io_uring_sqe *e = entry(w, 0);
    io_uring_prep_write(e, w->fd, s->buf, s->size, s->off);
    if (w->cfg.method == DSYNC) e->rw_flags = RWF_DSYNC;
    if (w->cfg.method == LINKED) e->flags |= IOSQE_IO_LINK;
    io_uring_sqe_set_data64(e, (uintptr_t)s | TAG_WRITE);
    if (w->cfg.method != LINKED) return;
    e = entry(w, 0);
    io_uring_prep_fsync(e, w->fd, IORING_FSYNC_DATASYNC);
    io_uring_sqe_set_data64(e, (uintptr_t)s | TAG_LINKED);
}

void writer_send(struct writer *w, uint32_t bytes, uint32_t messages) {
    struct slot *s = slot_of(w, w->sent + 1);
    require(w->flying < w->cfg.depth && w->sent - w->safe < SLOTS - 1, "a free slot");
    s->no = ++w->sent;
    s->messages = messages;
    s->written = false;
    seal(w, s, bytes);
    s->sent_ns = now_ns();
    w->flying++;
    if (w->cfg.method == THREAD)
        to_threads(w, s);
    else if (w->cfg.method == CACHED)
        slot_done(w, s, pwrite(w->fd, s->buf, s->size, (off_t)s->off));
    else
        to_ring(w, s);
}

/* --- completing --- */

static void safe_to(struct writer *w, uint64_t no) {
    uint64_t now = now_ns();
    while (w->safe < no) {
        struct slot *s = slot_of(w, ++w->safe);
        hist_add(&w->latency, now - s->sent_ns);
        w->safe_messages += s->messages;
    }
}

static void sync_start(struct writer *w) {
    struct io_uring_sqe *e = entry(w, 0);
    io_uring_prep_fsync(e, w->fd, IORING_FSYNC_DATASYNC);
    io_uring_sqe_set_data64(e, TAG_SYNC);
    w->syncing = true;
    w->sync_through = w->written;
}

static void slot_done(struct writer *w, struct slot *s, ssize_t result) {
    require(result == (ssize_t)s->size, "a whole write");
    s->written = true;
    w->flying--;
    uint64_t before = w->written;
    while (w->written < w->sent && slot_of(w, w->written + 1)->written) w->written++;
    if (w->written == before) return;
    if (w->cfg.method != GROUPED) safe_to(w, w->written);
    if (w->cfg.method == GROUPED && !w->syncing) sync_start(w);
    if (!durable(w->cfg.method) && !w->sync_due) w->sync_due = now_ns() + w->cfg.interval_ns;
}

static void on_event(struct writer *w) {
    event_arm(w);
    pthread_mutex_lock(&w->lock);
    struct slot *s = w->done;
    w->done = NULL;
    pthread_mutex_unlock(&w->lock);
    while (s) {
        struct slot *next = s->next;
        slot_done(w, s, s->result);
        s = next;
    }
}

static void on_sync(struct writer *w, int result) {
    require(result == 0, "a sync that succeeds");
    w->syncing = false;
    if (w->cfg.method != GROUPED) return;
    safe_to(w, w->sync_through);
    if (w->written > w->safe) sync_start(w);
}

void writer_on_cqe(struct writer *w, const struct io_uring_cqe *cqe) {
    uint64_t tag = cqe->user_data & TAG_MASK;
    struct slot *s = (struct slot *)(uintptr_t)(cqe->user_data & ~(uint64_t)TAG_MASK);
    if (tag == TAG_EVENT) {
        on_event(w);
    } else if (tag == TAG_SYNC) {
        on_sync(w, cqe->res);
    } else if (tag == TAG_LINKED) {
        require(cqe->res == 0, "a sync that succeeds");
        slot_done(w, s, s->result);
    } else if (w->cfg.method == LINKED) {
        s->result = cqe->res; /* what counts is its sync */
    } else {
        slot_done(w, s, cqe->res);
    }
}

uint64_t writer_tick(struct writer *w) {
    if (!w->sync_due || w->syncing) return 0;
    if (now_ns() < w->sync_due) return w->sync_due;
    w->sync_due = 0;
    sync_start(w);
    return 0;
}

/* --- afterwards --- */

uint64_t writer_verify(struct writer *w) {
    require(w->written == w->sent, "nothing in flight");
    if (fsync(w->fd) != 0) die("fsync");
    int fd = open(w->cfg.path, O_RDONLY | O_DIRECT | O_CLOEXEC);
    uint8_t *buf = aligned_alloc(4096, w->cfg.file_size);
    if (fd < 0 || !buf) die(w->cfg.path);
    for (uint64_t at = 0; at < w->cfg.file_size; at += 1 << 20) {
        if (pread(fd, buf + at, 1 << 20, (off_t)at) != 1 << 20) die("reading back");
    }
    uint64_t at = 0;
    for (uint64_t no = w->lap_no; no <= w->sent; no++) {
        struct frame_head h;
        memcpy(&h, buf + at, sizeof h);
        require(h.magic == MAGIC && h.no == no && FRAME_HEAD + h.bytes <= FRAME_MAX,
                "every frame in its place");
        uint32_t crc = h.crc;
        memset(buf + at + offsetof(struct frame_head, crc), 0, sizeof h.crc);
        require(crc32c(0, buf + at, FRAME_HEAD + h.bytes) == crc, "every frame's checksum");
        at += (FRAME_HEAD + h.bytes + w->cfg.align - 1) / w->cfg.align * w->cfg.align;
    }
    free(buf);
    close(fd);
    return w->sent + 1 - w->lap_no;
}

void writer_close(struct writer *w) {
    if (w->cfg.method == THREAD) {
        pthread_mutex_lock(&w->lock);
        w->closing = true;
        pthread_cond_broadcast(&w->more);
        pthread_mutex_unlock(&w->lock);
        for (uint32_t i = 0; i < w->cfg.depth; i++) pthread_join(w->threads[i], NULL);
        close(w->event);
    }
    close(w->fd);
    unlink(w->cfg.path);
    for (unsigned i = 0; i < SLOTS; i++) free(w->slots[i].buf);
    free(w);
}
