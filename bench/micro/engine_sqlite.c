/* engine_sqlite.c - SQLite: write-ahead log, synchronous=FULL, one transaction a commit. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#include "engines.h"

struct store {
    sqlite3 *db;
    sqlite3_stmt *insert, *all, *some, *del, *begin, *commit;
};

static void check(struct store *s, int rc) {
    if (rc != SQLITE_OK && rc != SQLITE_DONE && rc != SQLITE_ROW)
        engine_fail("sqlite", sqlite3_errmsg(s->db));
}
static void exec(struct store *s, const char *sql) { check(s, sqlite3_exec(s->db, sql, NULL, NULL, NULL)); }
static sqlite3_stmt *prepare(struct store *s, const char *sql) {
    sqlite3_stmt *q = NULL;
    check(s, sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &q, NULL));
    return q;
}
static void once(struct store *s, sqlite3_stmt *q) {
    check(s, sqlite3_step(q));
    check(s, sqlite3_reset(q));
}

static void *open_store(const char *folder) {
    struct store *s = calloc(1, sizeof *s);
    char path[4200];
    snprintf(path, sizeof path, "%.4000s/db", folder);
    if (!s || sqlite3_open(path, &s->db) != SQLITE_OK) engine_fail("sqlite", path);
    exec(s, "PRAGMA journal_mode=WAL");
    exec(s, "PRAGMA synchronous=FULL");
    exec(s, "CREATE TABLE IF NOT EXISTS m(seq INTEGER PRIMARY KEY, payload BLOB)");
    s->begin = prepare(s, "BEGIN IMMEDIATE");
    s->commit = prepare(s, "COMMIT");
    s->insert = prepare(s, "INSERT INTO m(payload) VALUES(?)");
    s->all = prepare(s, "SELECT payload FROM m ORDER BY seq");
    s->some = prepare(s, "SELECT seq, payload FROM m ORDER BY seq LIMIT ?");
    s->del = prepare(s, "DELETE FROM m WHERE seq <= ?");
    return s;
}

static void append(void *e, const uint8_t *p, size_t n, size_t count) {
    struct store *s = e;
    once(s, s->begin);
    for (size_t i = 0; i < count; i++, p += n) {
        check(s, sqlite3_bind_blob(s->insert, 1, p, (int)n, SQLITE_STATIC));
        once(s, s->insert);
    }
    once(s, s->commit);
}

static uint64_t read_all(void *e, uint64_t *sum) {
    struct store *s = e;
    uint64_t n = 0;
    for (; sqlite3_step(s->all) == SQLITE_ROW; n++)
        *sum += sum_of(sqlite3_column_blob(s->all, 0), (size_t)sqlite3_column_bytes(s->all, 0));
    check(s, sqlite3_reset(s->all));
    return n;
}

static size_t take(void *e, size_t count) {
    struct store *s = e;
    size_t n = 0;
    sqlite3_int64 last = 0;
    once(s, s->begin);
    check(s, sqlite3_bind_int64(s->some, 1, (sqlite3_int64)count));
    for (; sqlite3_step(s->some) == SQLITE_ROW; n++) {
        last = sqlite3_column_int64(s->some, 0);
        (void)sum_of(sqlite3_column_blob(s->some, 1), (size_t)sqlite3_column_bytes(s->some, 1));
    }
    check(s, sqlite3_reset(s->some));
    check(s, sqlite3_bind_int64(s->del, 1, last)); /* one range: kinder than one by one */
    once(s, s->del);
    once(s, s->commit);
    return n;
}

static void close_store(void *e) {
    struct store *s = e;
    sqlite3_stmt *all[] = {s->insert, s->all, s->some, s->del, s->begin, s->commit};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) sqlite3_finalize(all[i]);
    check(s, sqlite3_close(s->db));
    free(s);
}

const struct engine engine_sqlite = {"sqlite",   "WAL, synchronous=FULL", open_store, append, read_all, take,
                                     close_store};
