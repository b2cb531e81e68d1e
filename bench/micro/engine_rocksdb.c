/* engine_rocksdb.c - RocksDB: one WriteBatch a commit, its log synced. */
#include <endian.h>
#include <rocksdb/c.h>
#include <stdlib.h>

#include "engines.h"

struct store {
    rocksdb_t *db;
    rocksdb_options_t *options;
    rocksdb_writeoptions_t *durable;
    rocksdb_readoptions_t *reads;
    uint64_t next, first;
};

static void check(char *err) {
    if (err) engine_fail("rocksdb", err);
}

static uint64_t number(rocksdb_iterator_t *it) {
    size_t n;
    const char *k = rocksdb_iter_key(it, &n);
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++) v = v << 8 | (uint8_t)k[i];
    return v;
}

static void *open_store(const char *folder) {
    struct store *s = calloc(1, sizeof *s);
    if (!s) engine_fail("rocksdb", "memory");
    char *err = NULL;
    s->options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(s->options, 1);
    rocksdb_options_set_compression(s->options,
                                    rocksdb_no_compression); /* random bytes: it would only cost */
    s->durable = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(s->durable, 1);
    s->reads = rocksdb_readoptions_create();
    s->db = rocksdb_open(s->options, folder, &err);
    check(err);
    rocksdb_iterator_t *it = rocksdb_create_iterator(s->db, s->reads);
    rocksdb_iter_seek_to_last(it);
    s->next = rocksdb_iter_valid(it) ? number(it) + 1 : 1;
    rocksdb_iter_destroy(it);
    return s;
}

static void commit(struct store *s, rocksdb_writebatch_t *b) {
    char *err = NULL;
    rocksdb_write(s->db, s->durable, b, &err);
    check(err);
    rocksdb_writebatch_destroy(b);
}

static void append(void *e, const uint8_t *p, size_t n, size_t count) {
    struct store *s = e;
    rocksdb_writebatch_t *b = rocksdb_writebatch_create();
    for (size_t i = 0; i < count; i++, p += n) {
        uint64_t key = htobe64(s->next++);
        rocksdb_writebatch_put(b, (const char *)&key, sizeof key, (const char *)p, n);
    }
    commit(s, b);
}

static uint64_t read_all(void *e, uint64_t *sum) {
    struct store *s = e;
    uint64_t n = 0;
    rocksdb_iterator_t *it = rocksdb_create_iterator(s->db, s->reads);
    for (rocksdb_iter_seek_to_first(it); rocksdb_iter_valid(it); rocksdb_iter_next(it), n++) {
        size_t size;
        const char *v = rocksdb_iter_value(it, &size);
        *sum += sum_of(v, size);
    }
    rocksdb_iter_destroy(it);
    return n;
}

static size_t take(void *e, size_t count) {
    struct store *s = e;
    uint64_t from = htobe64(s->first);
    size_t n = 0;
    rocksdb_writebatch_t *b = rocksdb_writebatch_create();
    rocksdb_iterator_t *it = rocksdb_create_iterator(s->db, s->reads);
    /* from where the last one stopped: a scan over the deleted ones would not be fair */
    for (rocksdb_iter_seek(it, (const char *)&from, sizeof from); n < count && rocksdb_iter_valid(it);
         rocksdb_iter_next(it), n++) {
        size_t size;
        const char *k = rocksdb_iter_key(it, &size);
        rocksdb_writebatch_delete(b, k, size);
        s->first = number(it) + 1;
        k = rocksdb_iter_value(it, &size);
        (void)sum_of(k, size);
    }
    rocksdb_iter_destroy(it);
    commit(s, b);
    return n;
}

static void close_store(void *e) {
    struct store *s = e;
    rocksdb_close(s->db);
    rocksdb_readoptions_destroy(s->reads);
    rocksdb_writeoptions_destroy(s->durable);
    rocksdb_options_destroy(s->options);
    free(s);
}

const struct engine engine_rocksdb = {"rocksdb", "WriteOptions.sync", open_store, append, read_all,
                                      take,      close_store};
