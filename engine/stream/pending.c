#include "stream/pending.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/must.h"

enum { ITEMS_MIN = 16, TRIM_MIN = 4096 };
static_must(sizeof(struct pending) == 64);

static const struct pending_list empty_list = {PENDING_NONE, PENDING_NONE};

static void set_empty(struct pending_set *s) {
    must(s);
    *s = (struct pending_set){.free_head = PENDING_NONE};
    s->order = s->wait = s->queue = s->gone = s->dirty = empty_list;
}

void pending_init(struct pending_set *s) {
    must(s);
    set_empty(s);
}

void pending_deinit(struct pending_set *s) {
    must(s);
    free(s->items);
    free(s->buckets);
    free(s->heap);
    set_empty(s);
}

struct pending *pending_at(const struct pending_set *s, uint32_t i) {
    must(i < s->cap);
    must(s->items[i].where != PENDING_FREE);
    return &s->items[i];
}

/* ------------------------------------------------------------------------------------------------ by
 * sequence */

static uint32_t bucket_of(const struct pending_set *s, uint64_t seq) {
    must(s->buckets_cap);
    return (uint32_t)mix64(seq) & (s->buckets_cap - 1);
}

uint32_t pending_find(const struct pending_set *s, uint64_t seq) {
    must(s);
    if (s->count + s->dead == 0) return PENDING_NONE;
    uint32_t i = s->buckets[bucket_of(s, seq)];
    while (i != PENDING_NONE && s->items[i].seq != seq) i = s->items[i].hash_next;
    return i;
}

static void hash_in(struct pending_set *s, uint32_t i) {
    must(i < s->cap);
    must(s->items[i].where != PENDING_FREE);
    uint32_t b = bucket_of(s, s->items[i].seq);
    s->items[i].hash_next = s->buckets[b];
    s->buckets[b] = i;
}

static void hash_out(struct pending_set *s, uint32_t i) {
    must(i < s->cap);
    uint32_t *at = &s->buckets[bucket_of(s, s->items[i].seq)];
    while (*at != i) {
        must(*at != PENDING_NONE);
        at = &s->items[*at].hash_next;
    }
    *at = s->items[i].hash_next;
}

enum err pending_reserve(struct pending_set *s) {
    must(s);
    if (s->free_head != PENDING_NONE) return ERR_OK;
    if (s->cap >= PENDING_MAX) return ERR_LIMIT;
    uint32_t cap = s->cap ? s->cap * 2 : ITEMS_MIN;
    struct pending *items = realloc(s->items, cap * sizeof *items);
    if (items) s->items = items;
    struct pending_due *heap = s->heaped ? realloc(s->heap, cap * sizeof *heap) : NULL;
    if (heap) s->heap = heap;
    uint32_t *buckets = realloc(s->buckets, cap * sizeof *buckets);
    if (buckets) s->buckets = buckets;
    if (!items || (s->heaped && !heap) || !buckets) return ERR_NOMEM;
    for (uint32_t i = s->cap; i < cap; i++) {
        items[i] = (struct pending){.where = PENDING_FREE, .hash_next = s->free_head};
        s->free_head = i;
    }
    s->cap = s->buckets_cap = cap;
    memset(buckets, 0xff, cap * sizeof *buckets);
    for (uint32_t i = 0; i < cap; i++) {
        if (items[i].where != PENDING_FREE) hash_in(s, i);
    }
    return ERR_OK;
}

enum err pending_use_heap(struct pending_set *s) {
    must(s);
    must(s->heaped || s->heap_len == 0);
    if (s->heaped) return ERR_OK;
    struct pending_due *heap = s->cap ? malloc(s->cap * sizeof *heap) : NULL;
    if (s->cap && !heap) return ERR_NOMEM;
    s->heap = heap;
    s->heaped = true;
    return ERR_OK;
}

/* ------------------------------------------------------------------------------------------------ giving
 * memory back */

/* The new index of every entry stands in its hash link, which is made anew afterwards. */
static uint32_t moved(const struct pending_set *s, uint32_t i) {
    must(i == PENDING_NONE || s->items[i].where != PENDING_FREE);
    return i == PENDING_NONE ? PENDING_NONE : s->items[i].hash_next;
}

static void move_list(const struct pending_set *s, struct pending_list *l) {
    must((l->head == PENDING_NONE) == (l->tail == PENDING_NONE));
    l->head = moved(s, l->head);
    l->tail = moved(s, l->tail);
}

static struct pending move_item(const struct pending_set *s, const struct pending *p) {
    must(p->where != PENDING_FREE);
    struct pending to = *p;
    bool ordered = p->where != PENDING_DEAD,
         listed = p->where == PENDING_WAIT || p->where == PENDING_QUEUE || p->where == PENDING_DEAD;
    to.older = ordered ? moved(s, p->older) : PENDING_NONE;
    to.newer = ordered ? moved(s, p->newer) : PENDING_NONE;
    if (listed) to.before = moved(s, p->before);
    if (listed) to.after = moved(s, p->after);
    to.dirty_prev = p->dirty ? moved(s, p->dirty_prev) : PENDING_NONE;
    to.dirty_next = p->dirty ? moved(s, p->dirty_next) : PENDING_NONE;
    return to;
}

static void move_all(struct pending_set *s, struct pending *items) {
    must(items != s->items);
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->cap; i++)
        if (s->items[i].where != PENDING_FREE) s->items[i].hash_next = n++;
    must(n == s->count + s->dead);
    for (uint32_t i = 0; i < s->cap; i++)
        if (s->items[i].where != PENDING_FREE) items[s->items[i].hash_next] = move_item(s, &s->items[i]);
    struct pending_list *lists[] = {&s->order, &s->wait, &s->queue, &s->gone, &s->dirty};
    for (size_t k = 0; k < sizeof lists / sizeof *lists; k++) move_list(s, lists[k]);
    for (uint32_t k = 0; k < s->heap_len; k++) s->heap[k].item = moved(s, s->heap[k].item);
}

void pending_trim(struct pending_set *s) {
    must(s);
    uint32_t used = s->count + s->dead, cap = TRIM_MIN / 4;
    if (s->cap <= TRIM_MIN || used > s->cap / 8) return;
    while (cap < 2 * used) cap *= 2;
    must(cap < s->cap);
    struct pending *items = malloc(cap * sizeof *items);
    uint32_t *buckets = malloc(cap * sizeof *buckets);
    if (!items || !buckets) {
        free(items);
        free(buckets);
        return;
    }
    move_all(s, items);
    free(s->items);
    free(s->buckets);
    s->items = items;
    s->buckets = buckets;
    s->cap = s->buckets_cap = cap;
    s->free_head = PENDING_NONE;
    for (uint32_t i = cap; i-- > used; s->free_head = i)
        items[i] = (struct pending){.where = PENDING_FREE, .hash_next = s->free_head};
    memset(buckets, 0xff, cap * sizeof *buckets);
    for (uint32_t i = 0; i < used; i++) hash_in(s, i);
    struct pending_due *heap = s->heaped ? realloc(s->heap, cap * sizeof *heap) : NULL;
    if (heap) s->heap = heap;
}

/* ------------------------------------------------------------------------------------------------ lists */

static void link_place(struct pending_set *s, struct pending_list *l, uint32_t i) {
    must(i < s->cap);
    must((l->head == PENDING_NONE) == (l->tail == PENDING_NONE));
    struct pending *p = &s->items[i];
    p->before = l->tail;
    p->after = PENDING_NONE;
    if (l->tail != PENDING_NONE)
        s->items[l->tail].after = i;
    else
        l->head = i;
    l->tail = i;
}

static void unlink_place(struct pending_set *s, struct pending_list *l, uint32_t i) {
    must(i < s->cap);
    must(l->head != PENDING_NONE);
    const struct pending *p = &s->items[i];
    if (p->before != PENDING_NONE)
        s->items[p->before].after = p->after;
    else
        l->head = p->after;
    if (p->after != PENDING_NONE)
        s->items[p->after].before = p->before;
    else
        l->tail = p->before;
}

/* New messages come in ascending order; only recovery puts one further forward. */
static void order_in(struct pending_set *s, uint32_t i) {
    must(i < s->cap);
    must(s->items[i].seq > 0);
    struct pending *p = &s->items[i];
    uint32_t older = s->order.tail;
    while (older != PENDING_NONE && s->items[older].seq > p->seq) older = s->items[older].older;
    p->older = older;
    p->newer = older != PENDING_NONE ? s->items[older].newer : s->order.head;
    if (older != PENDING_NONE)
        s->items[older].newer = i;
    else
        s->order.head = i;
    if (p->newer != PENDING_NONE)
        s->items[p->newer].older = i;
    else
        s->order.tail = i;
}

static void order_out(struct pending_set *s, uint32_t i) {
    must(i < s->cap);
    must(s->order.head != PENDING_NONE);
    const struct pending *p = &s->items[i];
    if (p->older != PENDING_NONE)
        s->items[p->older].newer = p->newer;
    else
        s->order.head = p->newer;
    if (p->newer != PENDING_NONE)
        s->items[p->newer].older = p->older;
    else
        s->order.tail = p->older;
}

/* ------------------------------------------------------------------------------------------------ the heap
 */

static void heap_set(struct pending_set *s, uint32_t at, struct pending_due d) {
    must(at < s->heap_len + 1);
    must(d.item < s->cap);
    s->heap[at] = d;
    s->items[d.item].before = at;
}

static void heap_up(struct pending_set *s, uint32_t at) {
    must(at < s->cap);
    struct pending_due d = s->heap[at];
    while (at > 0 && s->heap[(at - 1) / 2].deadline > d.deadline) {
        heap_set(s, at, s->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    heap_set(s, at, d);
}

static void heap_down(struct pending_set *s, uint32_t at) {
    must(at < s->heap_len);
    struct pending_due d = s->heap[at];
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= s->heap_len) break;
        if (child + 1 < s->heap_len && s->heap[child + 1].deadline < s->heap[child].deadline) child++;
        if (s->heap[child].deadline >= d.deadline) break;
        heap_set(s, at, s->heap[child]);
        at = child;
    }
    heap_set(s, at, d);
}

static void heap_out(struct pending_set *s, uint32_t i) {
    uint32_t at = s->items[i].before;
    must(at < s->heap_len && s->heap[at].item == i);
    s->heap_len--;
    if (at == s->heap_len) return;
    heap_set(s, at, s->heap[s->heap_len]);
    heap_up(s, at);
    heap_down(s, s->items[s->heap[at].item].before);
}

uint32_t pending_heap_top(const struct pending_set *s, int64_t *deadline) {
    must(s && deadline);
    if (s->heap_len == 0) return PENDING_NONE;
    *deadline = s->heap[0].deadline;
    return s->heap[0].item;
}

/* ------------------------------------------------------------------------------------------------ places */

static void leave(struct pending_set *s, uint32_t i) {
    must(i < s->cap);
    switch ((enum pending_where)s->items[i].where) {
    case PENDING_WAIT: unlink_place(s, &s->wait, i); break;
    case PENDING_HEAP: heap_out(s, i); break;
    case PENDING_QUEUE:
        unlink_place(s, &s->queue, i);
        s->queued--;
        break;
    case PENDING_DEAD:
        unlink_place(s, &s->gone, i);
        s->dead--;
        s->count++;
        order_in(s, i);
        break;
    case PENDING_FREE: must(false); break;
    case PENDING_NOWHERE: break;
    }
    s->items[i].where = PENDING_NOWHERE;
}

void pending_place(struct pending_set *s, uint32_t i, enum pending_where where, int64_t deadline) {
    must(s->heap_len <= s->count);
    struct pending *p = pending_at(s, i);
    leave(s, i);
    switch (where) {
    case PENDING_WAIT:
        must(s->wait.tail == PENDING_NONE || s->items[s->wait.tail].ts <= p->ts);
        link_place(s, &s->wait, i);
        break;
    case PENDING_HEAP:
        must(s->heaped && s->heap_len < s->cap);
        s->heap[s->heap_len] = (struct pending_due){deadline, i};
        heap_up(s, s->heap_len++);
        break;
    case PENDING_QUEUE:
        link_place(s, &s->queue, i);
        s->queued++;
        break;
    case PENDING_DEAD:
        order_out(s, i);
        link_place(s, &s->gone, i);
        s->dead++;
        s->count--;
        break;
    case PENDING_NOWHERE: break;
    case PENDING_FREE: must(false); break;
    }
    p->where = (uint8_t)where;
}

uint32_t pending_add(struct pending_set *s, uint64_t seq, uint64_t cseq) {
    must(seq > 0);
    must(cseq > 0);
    must(s->free_head != PENDING_NONE && pending_find(s, seq) == PENDING_NONE);
    uint32_t i = s->free_head;
    s->free_head = s->items[i].hash_next;
    s->items[i] = (struct pending){.seq = seq, .cseq = cseq, .where = PENDING_NOWHERE};
    hash_in(s, i);
    order_in(s, i);
    s->count++;
    return i;
}

static void undirty(struct pending_set *s, uint32_t i) {
    must(i < s->cap);
    must(!s->items[i].dirty || s->dirty_count > 0);
    struct pending *p = &s->items[i];
    if (!p->dirty) return;
    if (p->dirty_prev != PENDING_NONE)
        s->items[p->dirty_prev].dirty_next = p->dirty_next;
    else
        s->dirty.head = p->dirty_next;
    if (p->dirty_next != PENDING_NONE)
        s->items[p->dirty_next].dirty_prev = p->dirty_prev;
    else
        s->dirty.tail = p->dirty_prev;
    p->dirty = false;
    s->dirty_count--;
}

void pending_remove(struct pending_set *s, uint32_t i) {
    must(s->count + s->dead > 0);
    must(pending_at(s, i));
    pending_set_redelivered(s, i, 0);
    leave(s, i);
    undirty(s, i);
    order_out(s, i);
    hash_out(s, i);
    s->count--;
    s->items[i] = (struct pending){.where = PENDING_FREE, .hash_next = s->free_head};
    s->free_head = i;
}

void pending_set_redelivered(struct pending_set *s, uint32_t i, uint32_t n) {
    must(n < UINT32_MAX);
    struct pending *p = pending_at(s, i);
    if (p->redelivered) s->again--;
    if (n) s->again++;
    p->redelivered = n;
}

void pending_touch(struct pending_set *s, uint32_t i) {
    must(s->dirty_count <= s->count + s->dead);
    struct pending *p = pending_at(s, i);
    if (p->dirty) return;
    p->dirty = true;
    p->dirty_prev = s->dirty.tail;
    p->dirty_next = PENDING_NONE;
    if (s->dirty.tail != PENDING_NONE)
        s->items[s->dirty.tail].dirty_next = i;
    else
        s->dirty.head = i;
    s->dirty.tail = i;
    s->dirty_count++;
}

void pending_clean(struct pending_set *s) {
    must(s);
    while (s->dirty.head != PENDING_NONE) {
        uint32_t i = s->dirty.head;
        s->items[i].logged = true;
        undirty(s, i);
    }
    must(s->dirty_count == 0);
}
