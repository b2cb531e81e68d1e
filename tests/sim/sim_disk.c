/* sim_disk.c - see sim_disk.h. Each file is kept twice: as readers see it now and as it lies on the medium;
 * between the two is the list of writes not yet synced, in order. A crash plays that list, or parts of it,
 * onto the medium and goes on from there. A directory is a list of names, with its unsynced changes likewise.
 */
#include "sim/sim_disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/must.h"

struct pending {
    struct pending *next;
    uint64_t off, len, serial;
    bool durable; /* must survive; here only because an older unsynced write lies below it */
    bool flying;  /* never completed */
    uint8_t data[];
};

struct name {
    char name[SIM_NAME];
    struct sim_node *node;
};

struct names {
    struct name *v;
    size_t len, cap;
};

enum change_kind { CHANGE_ADD, CHANGE_REMOVE, CHANGE_RENAME };
struct change {
    struct change *next;
    enum change_kind kind;
    char name[SIM_NAME], to[SIM_NAME];
    struct sim_node *node;
};

struct sim_node {
    struct sim_node *all; /* every node of the disk */
    bool is_dir, locked, seen;
    int held;
    /* file */
    uint8_t *now, *medium;
    uint64_t size, medium_size, room;
    struct pending *first, **last;
    /* directory */
    struct names names, medium_names;
    struct change *changes, **changes_last;
};

struct sim_disk {
    struct sim_node *root, *all;
    uint64_t limit, serial, trace;
    enum sim_break broken;
};

void sim_disk_note(struct sim_disk *d, uint64_t a, uint64_t b, uint64_t c) {
    d->trace = mix64(mix64(mix64(d->trace ^ a) ^ b) ^ c);
}
uint64_t sim_disk_trace(const struct sim_disk *d) { return d->trace; }

static void *grab(size_t n) {
    void *p = calloc(1, n);
    must(p != NULL);
    return p;
}

static struct sim_node *node_new(struct sim_disk *d, bool is_dir) {
    struct sim_node *n = grab(sizeof *n);
    n->is_dir = is_dir;
    n->last = &n->first;
    n->changes_last = &n->changes;
    n->all = d->all;
    d->all = n;
    return n;
}

struct sim_disk *sim_disk_new(void) {
    struct sim_disk *d = grab(sizeof *d);
    d->limit = UINT64_MAX;
    d->root = node_new(d, true);
    d->root->held = 1;
    return d;
}

static void pending_clear(struct sim_node *n) {
    while (n->first) {
        struct pending *p = n->first;
        n->first = p->next;
        free(p);
    }
    n->last = &n->first;
}

static void changes_clear(struct sim_node *n) {
    while (n->changes) {
        struct change *c = n->changes;
        n->changes = c->next;
        free(c);
    }
    n->changes_last = &n->changes;
}

static void node_free(struct sim_node *n) {
    pending_clear(n);
    changes_clear(n);
    free(n->names.v);
    free(n->medium_names.v);
    free(n->now);
    free(n->medium);
    free(n);
}

void sim_disk_free(struct sim_disk *d) {
    while (d->all) {
        struct sim_node *n = d->all;
        d->all = n->all;
        node_free(n);
    }
    free(d);
}

void sim_disk_break(struct sim_disk *d, enum sim_break what) { d->broken = what; }
void sim_disk_limit(struct sim_disk *d, uint64_t bytes) { d->limit = bytes; }
struct sim_node *sim_disk_root(struct sim_disk *d) {
    return d->root;
}
bool sim_node_is_dir(const struct sim_node *n) { return n->is_dir; }
uint64_t sim_node_size(const struct sim_node *n) { return n->size; }
void sim_node_hold(struct sim_node *n, int by) { n->held += by; }
bool *sim_node_locked(struct sim_node *n) { return &n->locked; }

uint64_t sim_disk_used(const struct sim_disk *d) {
    uint64_t used = 0;
    for (const struct sim_node *n = d->all; n; n = n->all) used += n->size;
    return used;
}

/* --- names --- */

static struct name *name_in(const struct names *l, const char *name) {
    for (size_t i = 0; i < l->len; i++) {
        if (strcmp(l->v[i].name, name) == 0) return &l->v[i];
    }
    return NULL;
}

static void name_set(struct names *l, const char *name, struct sim_node *n) {
    struct name *at = name_in(l, name);
    if (!at) {
        if (l->len == l->cap) {
            l->cap = l->cap ? 2 * l->cap : 8;
            l->v = realloc(l->v, l->cap * sizeof *l->v);
            must(l->v != NULL);
        }
        at = &l->v[l->len++];
        snprintf(at->name, sizeof at->name, "%s", name);
    }
    at->node = n;
}

static void name_drop(struct names *l, const char *name) {
    struct name *at = name_in(l, name);
    if (!at) return;
    size_t i = (size_t)(at - l->v);
    memmove(at, at + 1, (l->len - i - 1) * sizeof *at);
    l->len--;
}

static void change_do(struct names *l, const struct change *c) {
    switch (c->kind) {
    case CHANGE_ADD: name_set(l, c->name, c->node); break;
    case CHANGE_REMOVE: name_drop(l, c->name); break;
    case CHANGE_RENAME:
        name_drop(l, c->name);
        name_set(l, c->to, c->node);
        break;
    }
}

static void change(struct sim_node *dir, enum change_kind kind, const char *name, const char *to,
                   struct sim_node *n) {
    struct change *c = grab(sizeof *c);
    c->kind = kind;
    c->node = n;
    snprintf(c->name, sizeof c->name, "%s", name);
    snprintf(c->to, sizeof c->to, "%s", to);
    *dir->changes_last = c;
    dir->changes_last = &c->next;
    change_do(&dir->names, c);
}

/* Walks all but the last part of path; *last is that. */
static struct sim_node *parent_of(struct sim_disk *d, struct sim_node *dir, const char *path,
                                  char last[SIM_NAME]) {
    struct sim_node *at = !dir || *path == '/' ? d->root : dir;
    for (;;) {
        while (*path == '/') path++;
        size_t n = strcspn(path, "/");
        must(n < SIM_NAME);
        memcpy(last, path, n);
        last[n] = 0;
        path += n;
        while (*path == '/') path++;
        if (!*path) return at;
        const struct name *next = name_in(&at->names, last);
        if (!next || !next->node->is_dir) return NULL;
        at = next->node;
    }
}

struct sim_node *sim_node_find(struct sim_disk *d, struct sim_node *dir, const char *path) {
    char last[SIM_NAME];
    struct sim_node *at = parent_of(d, dir, path, last);
    if (!at) return NULL;
    if (!*last || strcmp(last, ".") == 0) return at;
    const struct name *n = name_in(&at->names, last);
    return n ? n->node : NULL;
}

enum err sim_node_create(struct sim_disk *d, struct sim_node *dir, const char *path, bool is_dir,
                         struct sim_node **n) {
    char last[SIM_NAME];
    struct sim_node *at = parent_of(d, dir, path, last);
    if (!at || !*last) return ERR_NOENT;
    if (name_in(&at->names, last)) return ERR_EXISTS;
    struct sim_node *made = node_new(d, is_dir);
    change(at, CHANGE_ADD, last, "", made);
    if (n) *n = made;
    return ERR_OK;
}

enum err sim_node_unlink(struct sim_disk *d, struct sim_node *dir, const char *path) {
    char last[SIM_NAME];
    struct sim_node *at = parent_of(d, dir, path, last);
    if (!at || !name_in(&at->names, last)) return ERR_NOENT;
    change(at, CHANGE_REMOVE, last, "", NULL);
    return ERR_OK;
}

enum err sim_node_rename(struct sim_disk *d, struct sim_node *dir, const char *from, const char *to) {
    char a[SIM_NAME], b[SIM_NAME];
    struct sim_node *at = parent_of(d, dir, from, a), *there = parent_of(d, dir, to, b);
    const struct name *n = at ? name_in(&at->names, a) : NULL;
    if (!n || at != there) return ERR_NOENT;
    change(at, CHANGE_RENAME, a, b, n->node);
    return ERR_OK;
}

const char *sim_node_name(const struct sim_node *n, size_t i) {
    must(n->is_dir);
    return i < n->names.len ? n->names.v[i].name : NULL;
}

/* --- bytes --- */

enum err sim_node_grow(struct sim_disk *d, struct sim_node *n, uint64_t size) {
    must(!n->is_dir);
    if (size <= n->size) return ERR_OK;
    uint64_t used = sim_disk_used(d);
    if (used >= d->limit || size - n->size > d->limit - used) return ERR_NOSPC;
    if (size > n->room) {
        uint64_t room = align_up(size, 65536);
        n->now = realloc(n->now, room);
        n->medium = realloc(n->medium, room);
        must(n->now != NULL && n->medium != NULL);
        memset(n->now + n->room, 0, room - n->room);
        memset(n->medium + n->room, 0, room - n->room);
        n->room = room;
    }
    n->size = size;
    return ERR_OK;
}

void sim_node_cut(struct sim_node *n, uint64_t size) {
    must(!n->is_dir);
    if (size >= n->size) return;
    memset(n->now + size, 0, n->size - size);
    n->size = size;
}

size_t sim_node_read(const struct sim_node *n, uint64_t off, void *to, size_t len) {
    if (off >= n->size) return 0;
    if (len > n->size - off) len = (size_t)(n->size - off);
    memcpy(to, n->now + off, len);
    return len;
}

static void pend(struct sim_disk *d, struct sim_node *n, uint64_t off, const void *from, size_t len,
                 bool durable, bool flying) {
    struct pending *p = malloc(sizeof *p + len);
    must(p != NULL);
    *p =
        (struct pending){.off = off, .len = len, .serial = ++d->serial, .durable = durable, .flying = flying};
    memcpy(p->data, from, len);
    *n->last = p;
    n->last = &p->next;
}

enum err sim_node_write(struct sim_disk *d, struct sim_node *n, uint64_t off, const void *from, size_t len,
                        bool durable) {
    enum err e = sim_node_grow(d, n, off + len);
    if (e) return e;
    memcpy(n->now + off, from, len);
    if (d->broken == SIM_NO_DSYNC) durable = false;
    if (durable && off + len > n->medium_size) n->medium_size = off + len;
    if (durable && !n->first)
        memcpy(n->medium + off, from, len);
    else
        pend(d, n, off, from, len, durable, false);
    return ERR_OK;
}

void sim_node_tear(struct sim_disk *d, struct sim_node *n, uint64_t off, const void *from, size_t len) {
    if (n->is_dir || sim_node_grow(d, n, off + len)) return;
    pend(d, n, off, from, len, false, true);
}

uint64_t sim_node_mark(struct sim_disk *d) { return d->serial; }

void sim_node_sync(struct sim_disk *d, struct sim_node *n, uint64_t mark) {
    if (d->broken == (n->is_dir ? SIM_NO_DIRSYNC : SIM_NO_FSYNC)) return;
    if (n->is_dir) {
        for (const struct change *c = n->changes; c; c = c->next) change_do(&n->medium_names, c);
        changes_clear(n);
        return;
    }
    while (n->first && n->first->serial <= mark) {
        struct pending *p = n->first;
        memcpy(n->medium + p->off, p->data, p->len);
        n->first = p->next;
        free(p);
    }
    if (!n->first) n->last = &n->first;
    n->medium_size =
        n->size; /* generous to a write that came behind the mark: it only lengthens the file with zeros */
    if (n->room) memset(n->medium + n->size, 0, n->room - n->size);
}

/* --- crashes --- */

enum fate { ALL_LOST, ALL_KEPT, BY_WRITE, BY_SECTOR, FATES };

static bool survives(const struct pending *p, enum fate fate, bool coin, struct rng *r) {
    if (p->durable) return true;
    switch (fate) {
    case ALL_LOST: return false;
    case ALL_KEPT: return true;
    case BY_WRITE: return coin;
    default: return rng_below(r, 2);
    }
}

/* Power is gone: what of the list reached the medium is all there is. */
static void play(struct sim_node *n, enum fate fate, struct rng *r) {
    uint64_t longest = n->medium_size;
    for (const struct pending *p = n->first; p; p = p->next) {
        bool coin = rng_below(r, 2);
        for (uint64_t at = 0; at < p->len; at += SIM_SECTOR) {
            size_t take = p->len - at < SIM_SECTOR ? (size_t)(p->len - at) : SIM_SECTOR;
            if (!survives(p, fate, coin, r)) continue;
            memcpy(n->medium + p->off + at, p->data + at, take);
            if (p->off + at + take > longest) longest = p->off + at + take;
        }
    }
    pending_clear(n);
    n->medium_size = rng_below(r, 2) ? n->size : longest;
    n->size = n->medium_size;
    if (n->room) memset(n->medium + n->size, 0, n->room - n->size);
    if (n->room) memcpy(n->now, n->medium, n->room);
}

/* A process died: what completed stays, volatile as it was; of the writes in flight some sectors were seen
 * through. */
static void land(struct sim_node *n, enum fate fate, struct rng *r) {
    for (struct pending *p = n->first; p; p = p->next) {
        if (!p->flying) continue;
        bool coin = rng_below(r, 2);
        p->flying = false;
        for (uint64_t at = 0; at < p->len; at += SIM_SECTOR) {
            size_t take = p->len - at < SIM_SECTOR ? (size_t)(p->len - at) : SIM_SECTOR;
            if (survives(p, fate, coin, r))
                memcpy(n->now + p->off + at, p->data + at, take);
            else
                memcpy(p->data + at, n->now + p->off + at, take); /* never sent: what was there stays there */
        }
    }
}

static void play_names(struct sim_node *n, struct rng *r) {
    size_t count = 0;
    for (const struct change *c = n->changes; c; c = c->next) count++;
    size_t keep = (size_t)rng_below(r, count + 1), i = 0;
    for (const struct change *c = n->changes; c && i < keep; c = c->next, i++) change_do(&n->medium_names, c);
    changes_clear(n);
    n->names.len = 0;
    for (i = 0; i < n->medium_names.len; i++)
        name_set(&n->names, n->medium_names.v[i].name, n->medium_names.v[i].node);
}

static void reach(struct sim_node *n) {
    if (n->seen) return;
    n->seen = true;
    for (size_t i = 0; i < n->names.len; i++) reach(n->names.v[i].node);
}

/* Nodes without a name are gone; only called when nothing is open. */
static void collect(struct sim_disk *d) {
    reach(d->root);
    for (struct sim_node **at = &d->all; *at;) {
        struct sim_node *n = *at;
        if (n->seen) {
            n->seen = n->locked = false;
            at = &n->all;
        } else {
            n->size = 0; /* gives its space back; the memory goes with the last descriptor */
            if (n->held > 0) {
                at = &n->all;
                continue;
            }
            *at = n->all;
            node_free(n);
        }
    }
}

void sim_disk_settle(struct sim_disk *d, enum sim_crash how, struct rng *r) {
    enum fate fate = (enum fate)rng_below(r, FATES);
    for (struct sim_node *n = d->all; n && how == SIM_POWER; n = n->all) {
        if (n->is_dir) play_names(n, r);
    }
    for (struct sim_node *n = d->all; n; n = n->all) {
        if (n->is_dir) continue;
        if (how == SIM_POWER)
            play(n, fate, r);
        else
            land(n, fate, r);
    }
    if (how == SIM_POWER) collect(d);
    sim_disk_note(d, 99, how, fate);
}

/* --- rot --- */

static void rot(struct sim_node *n, uint64_t off, uint8_t mask) {
    n->medium[off] ^= mask;
    n->now[off] ^= mask;
    for (struct pending *p = n->first; p; p = p->next) {
        if (off >= p->off && off < p->off + p->len) p->data[off - p->off] ^= mask;
    }
}

bool sim_disk_rot(struct sim_disk *d, const char *path, uint64_t off, uint8_t mask) {
    struct sim_node *n = sim_node_find(d, NULL, path);
    if (!n || n->is_dir || off >= n->size) return false;
    rot(n, off, mask);
    return true;
}

void sim_disk_rot_any(struct sim_disk *d, struct rng *r, unsigned sectors) {
    for (unsigned i = 0; i < sectors; i++) {
        uint64_t used = sim_disk_used(d), at = used ? rng_below(r, used) : 0;
        for (struct sim_node *n = d->all; n && used; n = n->all) {
            if (at < n->size) {
                rot(n, at, (uint8_t)(1 << rng_below(r, 8)));
                break;
            }
            at -= n->size;
        }
    }
}
