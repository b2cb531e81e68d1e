/* conf.c - reading the tree of conf_parse: look-ups, durations, sizes, and the sentences for what does not
 * fit. Nothing here changes the tree or allocates. */
#include "wire/conf.h"

#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

#include "base/bytes.h"
#include "base/must.h"
#include "wire/conf_lex.h"
#include "wire/gotime.h"

bool conf_key_is(const struct conf_node *n, const char *key) {
    must(key != NULL);
    return n->key.n == strlen(key) && strncasecmp((const char *)n->key.p, key, n->key.n) == 0;
}

const struct conf_node *conf_get(const struct conf_node *map, const char *key) {
    const struct conf_node *found = NULL;
    must(map->kind == CONF_MAP);
    conf_each(n, map) {
        if (conf_key_is(n, key)) found = n;
    }
    return found;
}

const char *conf_kind_name(enum conf_kind k) {
    static const char *const names[] = {"string", "integer", "float", "boolean", "date", "array", "map"};
    must((size_t)k < sizeof names / sizeof names[0]);
    return names[k];
}

bool conf_duration_ns(const struct conf_node *n, int64_t *ns) {
    must(ns != NULL);
    return n->kind == CONF_STR && goduration_get(n->str, ns);
}

bool conf_size(const struct conf_node *n, int64_t *bytes) {
    static const char units[] = "KMGT";
    must(bytes != NULL);
    if (n->kind == CONF_INT) {
        *bytes = n->i;
        return true;
    }
    if (n->kind != CONF_STR || n->str.n < 2) return false;
    struct span s = n->str;
    if ((s.p[s.n - 1] | 0x20) == 'b') s.n--;
    if (s.n > 1 && (s.p[s.n - 1] | 0x20) == 'i') s.n--;
    const char *unit = s.n > 1 ? strchr(units, s.p[s.n - 1] & ~0x20) : NULL;
    uint64_t v;
    if (!unit || !*unit || !get_u64(span_of(s.p, s.n - 1), &v)) return false;
    unsigned shift = 10 * (unsigned)(unit - units + 1);
    if (v > (uint64_t)INT64_MAX >> shift) return false;
    *bytes = (int64_t)(v << shift);
    return true;
}

enum { NEAR_MAX = 48 };

static unsigned least(unsigned a, unsigned b) { return a < b ? a : b; }
static uint8_t fold(uint8_t c) { return (uint8_t)(c >= 'A' && c <= 'Z' ? c | 0x20 : c); }

/* Edits from a to b: insert, delete, replace, or swap two neighbours. Both are at most NEAR_MAX long. */
static unsigned distance(struct span a, struct span b) {
    unsigned rows[3][NEAR_MAX + 1]; /* two before, the one before, this one */
    must(a.n <= NEAR_MAX && b.n <= NEAR_MAX);
    for (unsigned j = 0; j <= b.n; j++) rows[1][j] = j;
    for (unsigned i = 1; i <= a.n; i++) {
        rows[2][0] = i;
        for (unsigned j = 1; j <= b.n; j++) {
            uint8_t x = fold(a.p[i - 1]), y = fold(b.p[j - 1]);
            unsigned d = least(rows[1][j - 1] + (x != y), least(rows[1][j], rows[2][j - 1]) + 1);
            bool swapped = i > 1 && j > 1 && x == fold(b.p[j - 2]) && y == fold(a.p[i - 2]);
            rows[2][j] = swapped ? least(d, rows[0][j - 2] + 1) : d;
        }
        memcpy(rows[0], rows[1], sizeof rows[0]);
        memcpy(rows[1], rows[2], sizeof rows[0]);
    }
    return rows[1][b.n];
}

const char *conf_nearest(struct span key, const char *const *known) {
    const char *best = NULL;
    unsigned best_d = 0;
    must(known != NULL);
    if (key.n == 0 || key.n > NEAR_MAX) return NULL;
    for (; *known; known++) {
        struct span k = span_str(*known);
        if (k.n > NEAR_MAX) continue;
        unsigned d = distance(key, k), limit = 1 + (unsigned)k.n / 4;
        if (d > limit || d >= k.n || (best && d >= best_d)) continue;
        best = *known;
        best_d = d;
    }
    return best;
}

void conf_fail(struct conf_error *e, const struct conf_node *n, const char *fmt, ...) {
    va_list args;
    must(e != NULL);
    va_start(args, fmt);
    vsnprintf(e->text, sizeof e->text, fmt, args);
    va_end(args);
    lex_one_line(e->text);
    snprintf(e->file, sizeof e->file, "%s", n->file ? n->file : "");
    lex_one_line(e->file);
    e->line = n->line;
    e->col = n->col;
}

size_t conf_error_text(const struct conf_error *e, char *out, size_t room) {
    must(room > 0);
    int n = e->line ? snprintf(out, room, "%s:%u:%u: %s", e->file, e->line, e->col, e->text)
                    : snprintf(out, room, "%s: %s", e->file, e->text);
    must(n >= 0);
    return (size_t)n < room ? (size_t)n : room - 1;
}
