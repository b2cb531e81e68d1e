/* engine_lmdb.c - LMDB: one write transaction a commit, synced by default. */
#include <lmdb.h>
#include <stdlib.h>

#include "engines.h"

struct store {
    MDB_env *env;
    MDB_dbi dbi;
    size_t next;
};

static void check(int rc) {
    if (rc) engine_fail("lmdb", mdb_strerror(rc));
}

static void *open_store(const char *folder) {
    struct store *s = calloc(1, sizeof *s);
    if (!s) engine_fail("lmdb", "memory");
    check(mdb_env_create(&s->env));
    check(mdb_env_set_mapsize(s->env, (size_t)16 << 30));
    check(mdb_env_open(s->env, folder, 0, 0600));
    MDB_txn *t;
    MDB_cursor *c;
    MDB_val k, v;
    check(mdb_txn_begin(s->env, NULL, 0, &t));
    check(mdb_dbi_open(t, NULL, MDB_INTEGERKEY | MDB_CREATE, &s->dbi));
    check(mdb_cursor_open(t, s->dbi, &c));
    s->next = mdb_cursor_get(c, &k, &v, MDB_LAST) == 0 ? *(size_t *)k.mv_data + 1 : 1;
    mdb_cursor_close(c);
    check(mdb_txn_commit(t));
    return s;
}

static void append(void *e, const uint8_t *p, size_t n, size_t count) {
    struct store *s = e;
    MDB_txn *t;
    check(mdb_txn_begin(s->env, NULL, 0, &t));
    for (size_t i = 0; i < count; i++, p += n) {
        size_t key = s->next++;
        MDB_val k = {sizeof key, &key}, v = {n, (void *)(uintptr_t)p};
        check(mdb_put(t, s->dbi, &k, &v, MDB_APPEND));
    }
    check(mdb_txn_commit(t));
}

static uint64_t read_all(void *e, uint64_t *sum) {
    struct store *s = e;
    MDB_txn *t;
    MDB_cursor *c;
    MDB_val k, v;
    uint64_t n = 0;
    check(mdb_txn_begin(s->env, NULL, MDB_RDONLY, &t));
    check(mdb_cursor_open(t, s->dbi, &c));
    for (; mdb_cursor_get(c, &k, &v, MDB_NEXT) == 0; n++) *sum += sum_of(v.mv_data, v.mv_size);
    mdb_cursor_close(c);
    mdb_txn_abort(t);
    return n;
}

static size_t take(void *e, size_t count) {
    struct store *s = e;
    MDB_txn *t;
    MDB_cursor *c;
    MDB_val k, v;
    size_t n = 0;
    check(mdb_txn_begin(s->env, NULL, 0, &t));
    check(mdb_cursor_open(t, s->dbi, &c));
    for (; n < count && mdb_cursor_get(c, &k, &v, MDB_FIRST) == 0; n++) {
        (void)sum_of(v.mv_data, v.mv_size);
        check(mdb_cursor_del(c, 0));
    }
    mdb_cursor_close(c);
    check(mdb_txn_commit(t));
    return n;
}

static void close_store(void *e) {
    struct store *s = e;
    mdb_env_close(s->env);
    free(s);
}

const struct engine engine_lmdb = {"lmdb",     "mdb_txn_commit, synced", open_store, append, read_all, take,
                                   close_store};
