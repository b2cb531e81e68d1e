/* backlog.h - letters that wait for room in a queue, in order, in chunks. Memory that cannot be had is a
 * must: a letter that was accepted is not lost. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "base/list.h"
#include "base/span.h"

struct backlog {
    struct list chunks;
    size_t bytes; /* of waiting letters */
};

void backlog_init(struct backlog *b);
void backlog_deinit(struct backlog *b);
/* Contiguous room for a letter of n bytes, behind all others; 8-byte aligned. */
void *backlog_add(struct backlog *b, size_t n);
/* The first waiting letter, in place until backlog_drop(); false when none waits. */
bool backlog_first(const struct backlog *b, struct span *letter);
void backlog_drop(struct backlog *b);
static inline bool backlog_empty(const struct backlog *b) { return list_empty(&b->chunks); }
