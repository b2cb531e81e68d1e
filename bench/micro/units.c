/* units.c - see units.h. What cannot be prepared ends the program: there is nothing to measure then. */
#include "units.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/must.h"
#include "stream/index.h"
#include "subject/trie.h"
#include "wire/parse.h"

uint32_t unit_crc(const void *p, size_t n) { return crc32c(0, p, n); }
uint32_t unit_crc_tables(const void *p, size_t n) { return crc32c_portable(0, p, n); }

/* --- the wire --- */

struct unit_wire {
    uint8_t *buf;
    size_t n, count;
};

struct unit_wire *unit_wire_new(size_t count, size_t payload) {
    struct unit_wire *w = calloc(1, sizeof *w);
    must(w && (w->buf = malloc(count * (payload + 64))));
    for (size_t i = 0; i < count; i++) {
        w->n += (size_t)sprintf((char *)w->buf + w->n, "PUB orders.%zu %zu\r\n", i % 100, payload);
        memset(w->buf + w->n, 'x', payload);
        memcpy(w->buf + w->n + payload, "\r\n", 2);
        w->n += payload + 2;
    }
    w->count = count;
    return w;
}

size_t unit_wire_bytes(const struct unit_wire *w) { return w->n; }

size_t unit_wire_parse(struct unit_wire *w) {
    struct parser p;
    parser_init(&p, 4096, 1 << 20);
    const uint8_t *at = w->buf;
    size_t left = w->n, used, ops = 0;
    struct op op;
    while (left && parse_next(&p, at, left, &used, &op) == PARSE_OP) {
        at += used;
        left -= used;
        ops++;
    }
    must(ops == w->count && left == 0);
    return ops;
}

void unit_wire_free(struct unit_wire *w) {
    free(w->buf);
    free(w);
}

/* --- subscriptions --- */

struct unit_trie {
    struct trie t;
    size_t count, matched;
    struct trie_entry entries[];
};

static struct span name_of(char buf[64], size_t i, bool pattern) {
    return span_of(
        buf, (size_t)snprintf(buf, 64, pattern ? "region.%zu.*.%zu" : "region.%zu.sensor.%zu", i % 97, i));
}

struct unit_trie *unit_trie_new(size_t count, int wild) {
    struct unit_trie *t = calloc(1, sizeof *t + count * sizeof t->entries[0]);
    must(t != NULL);
    trie_init(&t->t, 1);
    t->count = count;
    char buf[64];
    for (size_t i = 0; i < count; i++)
        must(trie_insert(&t->t, name_of(buf, i, wild && i % 4 == 0), &t->entries[i]) == ERR_OK);
    return t;
}

static void on_match(void *ctx, struct trie_entry *e) {
    struct unit_trie *t = ctx;
    must(e != NULL);
    t->matched++;
}

size_t unit_trie_match(struct unit_trie *t, size_t which) {
    char buf[64];
    t->matched = 0;
    trie_match(&t->t, name_of(buf, which % t->count, false), on_match, t);
    must(t->matched == 1);
    return t->matched;
}

void unit_trie_free(struct unit_trie *t) {
    for (size_t i = 0; i < t->count; i++) trie_remove(&t->t, &t->entries[i]);
    trie_deinit(&t->t);
    free(t);
}

/* --- the index --- */

struct unit_index {
    struct index x;
};

struct unit_index *unit_index_new(size_t count) {
    struct unit_index *x = calloc(1, sizeof *x);
    must(x != NULL);
    index_init(&x->x);
    for (uint64_t seq = 1; seq <= count; seq++) {
        struct index_entry e = {
            .loc = seq * 192, .ts = (int64_t)seq, .subject = (uint32_t)(seq % 100), .size = 128};
        must(index_reserve(&x->x, seq) == ERR_OK);
        index_set(&x->x, seq, &e);
    }
    return x;
}

uint64_t unit_index_get(struct unit_index *x, uint64_t seq) {
    const struct index_entry *e = index_get(&x->x, seq);
    must(e != NULL);
    return e->loc;
}

void unit_index_free(struct unit_index *x) {
    index_deinit(&x->x);
    free(x);
}
