/* missing.c - see missing.h. A sorted array: ranges come nearly in order, and there are few. What can fail is
 * memory, and the bound; then a range is not named. */
#include "stream/missing.h"

#include <stdlib.h>
#include <string.h>

#include "base/must.h"

enum { RANGES_MAX = 1 << 16 };

void missing_deinit(struct missing *m) {
    if (!m) return;
    free(m->at);
    *m = (struct missing){0};
}

void missing_clear(struct missing *m) {
    if (!m) return;
    m->len = 0;
    m->more = false;
}

/* The first range that ends at seq or behind it. */
static size_t position(const struct missing *m, uint64_t seq) {
    size_t lo = 0, hi = m->len;
    must(m->len <= m->cap);
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (m->at[mid].to < seq)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static bool room(struct missing *m) {
    if (m->len < m->cap) return true;
    size_t cap = m->cap ? m->cap * 2 : 16;
    struct missing_range *p = m->len < RANGES_MAX ? realloc(m->at, cap * sizeof *p) : NULL;
    if (!p) {
        m->more = true;
        return false;
    }
    m->at = p;
    m->cap = cap;
    return true;
}

/* Ranges i..j - 1 become the one that is given, or nothing when from > to. */
static void replace(struct missing *m, size_t i, size_t j, uint64_t from, uint64_t to) {
    must(i <= j && j <= m->len);
    size_t n = from <= to;
    if (j - i < n && !room(m)) return;
    memmove(m->at + i + n, m->at + j, (m->len - j) * sizeof *m->at);
    m->len = m->len - (j - i) + n;
    if (n) m->at[i] = (struct missing_range){from, to};
}

void missing_add(struct missing *m, uint64_t from, uint64_t to) {
    if (!m || from > to) return;
    must(from > 0 && to < UINT64_MAX);
    size_t i = position(m, from - 1), j = i; /* one that touches counts */
    for (; j < m->len && m->at[j].from <= to + 1; j++) {
        if (m->at[j].from < from) from = m->at[j].from;
        if (m->at[j].to > to) to = m->at[j].to;
    }
    replace(m, i, j, from, to);
}

void missing_remove(struct missing *m, uint64_t from, uint64_t to) {
    if (!m || from > to || !m->len) return;
    size_t i = position(m, from), j = i;
    if (i == m->len || m->at[i].from > to) return;
    struct missing_range left = {m->at[i].from, from - 1}, right = {1, 0};
    bool cut = m->at[i].from < from;
    for (; j < m->len && m->at[j].from <= to; j++)
        if (m->at[j].to > to) right = (struct missing_range){to + 1, m->at[j].to};
    replace(m, i, j, right.from, right.to);
    if (cut) replace(m, i, i, left.from, left.to);
}
