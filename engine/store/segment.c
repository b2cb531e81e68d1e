/* segment.c - segment files: their names and headers, the list of those in use, and the step from one to the
 * next. The list is sorted by segment number and small enough for a binary search; files of sealed segments
 * are opened when a reader comes and closed again when too many are open. The step never creates a file: it
 * takes a ready one or, when none is, the one that maker.c has allocated so far. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/must.h"
#include "store/core.h"

enum { OPEN_MAX = 64 }; /* files of sealed segments */

struct seg *seg_new(struct store *s, uint32_t file) {
    must(s->dirfd >= 0);
    struct seg *g = calloc(1, sizeof *g);
    if (!g) return NULL;
    list_init(&g->link);
    list_init(&g->dirty);
    list_init(&g->open);
    g->file = file;
    g->fd = g->repair = -1;
    if (file >= s->next_file) s->next_file = file + 1;
    return g;
}

void seg_name(const struct seg *g, char out[16]) { snprintf(out, 16, "%08x.seg", g->file); }

enum err seg_open_file(struct store *s, struct seg *g, bool create) {
    char name[16];
    must(g->fd < 0);
    seg_name(g, name);
    must(!create || !s->cfg.read_only);
    unsigned flags = create ? IO_O_CREATE | IO_O_EXCL : 0, mode = s->cfg.read_only ? IO_O_RDONLY : 0;
    enum err e = io_file_open(s->io, s->dirfd, name, flags | mode | (s->direct ? IO_O_DIRECT : 0u), &g->fd);
    if (e == ERR_UNSUPPORTED && s->direct) { /* durable all the same: IO_DSYNC goes through the page cache */
        log_line(&s->log, LOG_WARN,
                 "log %04x: the file system takes no direct writes; writing through the page cache",
                 s->cfg.log);
        s->direct = false;
        e = io_file_open(s->io, s->dirfd, name, create ? IO_O_CREATE : mode, &g->fd);
    }
    if (e) g->fd = -1;
    return e;
}

void seg_close_file(struct store *s, struct seg *g) {
    must(g->reads == 0);
    must(list_empty(&g->dirty));
    if (!list_empty(&g->open)) {
        list_del(&g->open);
        s->open_count--;
    }
    if (g->fd >= 0) io_file_close(s->io, g->fd);
    g->fd = -1;
}

void seg_discard(struct store *s, struct seg *g) {
    must(g != s->place);
    must(g != s->maker.seg);
    seg_close_file(s, g);
    list_del(&g->link);
    free(g);
}

/* --- the list --- */

static size_t position(const struct store *s, uint64_t segno) {
    must(s->segs_len <= s->segs_cap);
    size_t lo = 0, hi = s->segs_len;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (s->segs[mid]->segno < segno)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

struct seg *seg_find(const struct store *s, uint64_t segno) {
    if (s->segs_len && s->segs[s->segs_len - 1]->segno == segno) return s->segs[s->segs_len - 1];
    size_t i = position(s, segno);
    return i < s->segs_len && s->segs[i]->segno == segno ? s->segs[i] : NULL;
}

enum err seg_list_add(struct store *s, struct seg *g) {
    must(g->segno > 0);
    must(list_empty(&g->link));
    if (s->segs_len == s->segs_cap) {
        size_t cap = s->segs_cap ? s->segs_cap * 2 : 64;
        struct seg **p = realloc(s->segs, cap * sizeof *p);
        if (!p) return ERR_NOMEM;
        s->segs = p;
        s->segs_cap = cap;
    }
    size_t i = position(s, g->segno);
    must(i == s->segs_len || s->segs[i]->segno != g->segno);
    memmove(s->segs + i + 1, s->segs + i, (s->segs_len - i) * sizeof *s->segs);
    s->segs[i] = g;
    s->segs_len++;
    return ERR_OK;
}

void seg_list_remove(struct store *s, struct seg *g) {
    must(s->segs_len > 0);
    size_t i = position(s, g->segno);
    must(i < s->segs_len);
    must(s->segs[i] == g);
    s->segs_len--;
    memmove(s->segs + i, s->segs + i + 1, (s->segs_len - i) * sizeof *s->segs);
}

/* Closes the file that was read longest ago, of those nobody reads. */
static void open_trim(struct store *s) {
    must(s->open_count > 0);
    list_each(l, next, &s->open) {
        if (s->open_count <= OPEN_MAX) return;
        struct seg *g = container_of(l, struct seg, open);
        if (g->state == SEG_SEALED && !g->reads && list_empty(&g->dirty) && g->last_no <= s->written)
            seg_close_file(s, g);
    }
}

enum err seg_for_read(struct store *s, uint64_t segno, struct seg **out) {
    must(s->opened);
    struct seg *g = *out = seg_find(s, segno);
    if (!g) return ERR_NONE;
    if (g->fd < 0) {
        enum err e = seg_open_file(s, g, false);
        if (e) return e == ERR_NOFILES ? ERR_FULL : e;
    }
    if (!list_empty(&g->open))
        list_del(&g->open);
    else
        s->open_count++;
    list_add_tail(&s->open, &g->open);
    if (s->open_count > OPEN_MAX) open_trim(s);
    return ERR_OK;
}

uint64_t store_first_segno(const struct store *s) {
    uint64_t first = s->segs_len ? s->segs[0]->segno : s->next_segno;
    const struct list *lists[] = {&s->free, &s->unlinked, &s->unlinking, &s->left};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        for (const struct list *l = lists[i]->next; l != lists[i]; l = l->next) {
            const struct seg *g = container_of(l, const struct seg, link);
            if (g->segno && g->segno < first) first = g->segno;
        }
    }
    if (s->maker.old_segno && s->maker.old_segno < first) first = s->maker.old_segno;
    return first;
}

bool store_segment_file(const struct store *s, uint64_t segno, char name[16]) {
    const struct seg *g = seg_find(s, segno);
    must(name != NULL);
    if (g) seg_name(g, name);
    return g != NULL;
}

/* --- headers and numbers --- */

void seg_number(struct store *s, struct seg *g) {
    must(s->block >= 512);
    must(g->size > SEG_HEADERS_BYTES);
    must(s->next_segno > 0);
    must(s->next_segno < UINT32_MAX); /* locations hold 32 bits: 64 MiB segments for 2^58 bytes */
    g->segno = s->next_segno++;
    do {
        g->epoch = rng_next(&s->rng);
    } while (!g->epoch);
    g->block = s->block;
    g->end = g->on_disk = SEG_HEADERS_BYTES;
    g->live = g->dead_at = g->last_no = g->needs = g->kept = 0;
    g->headed = g->damaged = g->asked = g->stays = false;
}

void seg_fill_header(struct store *s, struct seg *g, uint64_t first_frame, struct seg_header *h) {
    must(g->segno > 0);
    must(g->epoch != 0);
    *h = (struct seg_header){
        .version = FORMAT_VERSION,
        .block = s->block,
        .log = s->cfg.log,
        .segno = g->segno,
        .epoch = g->epoch,
        .size = g->size,
        .created_ns = io_wall(s->io),
        .first_frame = first_frame,
    };
    memcpy(h->uuid, s->cfg.uuid, sizeof h->uuid);
    seg_header_seal(h);
}

/* Doubles while the log is at least four of the larger size. */
uint64_t seg_next_size(const struct store *s) {
    uint64_t total = 0, size = s->cfg.seg_min;
    for (size_t i = 0; i < s->segs_len; i++) total += s->segs[i]->size;
    while (size < s->cfg.seg_max && total >= 8 * size) size *= 2;
    return size < s->cfg.seg_max ? size : s->cfg.seg_max;
}

/* Not one that a recovery cut too short. */
bool seg_usable(const struct store *s, const struct seg *g) {
    must(g->state == SEG_FREE);
    must(g->size % SEG_SIZE_STEP == 0);
    return g->size >= s->seg_least;
}

/* --- at open, blocking --- */

static enum err zero_now(struct store *s, struct seg *g) {
    must(!s->opened);
    must(g->fd >= 0);
    enum err e = ERR_OK;
    for (uint64_t off = SEG_HEADERS_BYTES; !e && off < g->size; off += FILL_STEP) {
        size_t n = g->size - off < FILL_STEP ? (size_t)(g->size - off) : FILL_STEP;
        e = io_file_write(s->io, g->fd, s->maker.mem.p, n, off, false);
    }
    return e ? e : io_file_sync(s->io, g->fd);
}

static enum err header_now(struct store *s, struct seg *g, uint64_t first_frame) {
    must(!s->opened);
    must(first_frame > 0);
    uint8_t *buf = s->maker.block;
    memset(buf, 0, SEG_HEADER_COPY);
    struct seg_header h;
    seg_fill_header(s, g, first_frame, &h);
    memcpy(buf, &h, sizeof h);
    /* One copy after the other: at any moment one of them is whole. */
    enum err e = io_file_write(s->io, g->fd, buf, SEG_HEADER_COPY, 0, true);
    return e ? e : io_file_write(s->io, g->fd, buf, SEG_HEADER_COPY, SEG_HEADER_COPY, true);
}

static enum err file_now(struct store *s, struct seg *g) {
    must(g->fd < 0);
    must(g->size % SEG_SIZE_STEP == 0);
    enum err e = seg_open_file(s, g, true);
    if (!e) e = io_file_allocate(s->io, g->fd, 0, g->size);
    if (e == ERR_UNSUPPORTED) e = ERR_OK; /* the zeros allocate then */
    if (!e) e = zero_now(s, g);
    return e;
}

static struct seg *free_take(struct store *s) {
    uint64_t most = 4 * seg_next_size(s); /* a small log stays small */
    must(most >= s->cfg.seg_min);
    list_each(l, next, &s->free) {
        struct seg *g = container_of(l, struct seg, link);
        if (!seg_usable(s, g) || g->size < s->cfg.seg_min || g->size > most || g->reads || g->unwritten)
            continue;
        list_del(l);
        s->free_count--;
        return g;
    }
    return NULL;
}

static enum err make(struct store *s, struct seg *g, bool fresh, uint64_t first_frame) {
    must(g->state == SEG_FREE);
    enum err e = fresh ? file_now(s, g) : g->fd < 0 ? seg_open_file(s, g, false) : ERR_OK;
    seg_number(s, g);
    if (!e) e = header_now(s, g, first_frame);
    if (!e) e = io_file_sync(s->io, s->dirfd);
    return e ? e : seg_list_add(s, g);
}

enum err seg_make_now(struct store *s, uint64_t first_frame) {
    must(!s->opened);
    must(s->place == NULL);
    struct seg *g = free_take(s);
    bool fresh = !g;
    if (fresh) {
        g = seg_new(s, s->next_file);
        if (!g) return ERR_NOMEM;
        g->size = seg_next_size(s);
    }
    enum err e = make(s, g, fresh, first_frame);
    if (e) {
        char name[16];
        seg_name(g, name);
        seg_discard(s, g);
        if (fresh && e == ERR_NOSPC && io_file_unlink(s->io, s->dirfd, name)) e = ERR_IO;
        return e;
    }
    g->headed = true;
    g->state = SEG_ACTIVE;
    s->place = g;
    return ERR_OK;
}

/* --- the next segment --- */

static struct seg *first_ready(const struct store *s) {
    return list_empty(&s->ready) ? NULL : container_of(s->ready.next, struct seg, link);
}

/* A record larger than the segments that are prepared: they go back, a larger one is made. */
static void ready_drop(struct store *s) {
    must(s->ready_count > 0);
    for (struct list *l; (l = list_pop(&s->ready));) {
        s->ready_count--;
        reclaim_free(s, container_of(l, struct seg, link));
    }
    must(s->ready_count == 0);
}

enum err seg_can_advance(struct store *s, uint64_t need) {
    must(need > 0);
    must(need % s->block == 0);
    uint64_t size = align_up(need + SEG_HEADERS_BYTES, SEG_SIZE_STEP);
    struct seg *g = first_ready(s);
    if (g && g->size >= size) return ERR_OK;
    if (g) ready_drop(s);
    struct maker *m = &s->maker;
    if (m->stage > MAKER_ALLOCATE && m->seg->size >= size && !m->taken) return ERR_OK;
    if (size > m->want && size > s->cfg.seg_min) m->want = size;
    m->waited = true;
    maker_kick(s);
    if (m->stage > MAKER_ALLOCATE && m->seg->size >= size && !m->taken) return ERR_OK; /* a recycled file */
    return m->no_space ? m->why : ERR_FULL;
}

enum err seg_advance(struct store *s, uint64_t need) {
    enum err e = seg_can_advance(s, need);
    if (e) return e;
    must(s->place == NULL);
    struct seg *g = first_ready(s);
    if (g) {
        list_del(&g->link);
        s->ready_count--;
    } else {
        g = maker_take(s);
    }
    e = seg_list_add(
        s, g); /* out of memory here leaves a numbered, empty segment: harmless, but it is lost to this run */
    must(e == ERR_OK);
    g->state = SEG_ACTIVE;
    g->needs = s->batch_from;
    s->place = g;
    return ERR_OK;
}
