/* list.h - intrusive doubly linked list. The node is embedded in its owner; a node not on a list points at
 * itself. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next, *prev;
};

#define LIST_INIT(l)                                                                                         \
    { &(l), &(l) }
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

static inline void list_init(struct list *l) { l->next = l->prev = l; }
static inline bool list_empty(const struct list *l) { return l->next == l; }
static inline void list_add_after(struct list *at, struct list *n) {
    n->prev = at;
    n->next = at->next;
    at->next->prev = n;
    at->next = n;
}
static inline void list_add_tail(struct list *head, struct list *n) { list_add_after(head->prev, n); }
static inline void list_del(struct list *n) {
    n->prev->next = n->next;
    n->next->prev = n->prev;
    list_init(n);
}
static inline struct list *list_pop(struct list *head) {
    struct list *n = head->next;
    if (n == head) return NULL;
    list_del(n);
    return n;
}
/* Walks a list; the current node may be deleted. */
#define list_each(pos, tmp, head)                                                                            \
    for (struct list *pos = (head)->next, *tmp = pos->next; pos != (head); pos = tmp, tmp = pos->next)
