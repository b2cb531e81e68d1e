/* engine_fixture.h - what the engine's tests share: temporary folders, whole files, the last line of the log.
 */
#pragma once
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/check.h"
#include "millrace.h"

static char last_log[1024] __attribute__((unused));
static char fixture_dir[200] __attribute__((unused));

__attribute__((unused)) static void note_log(void *ctx, enum mr_log_level level, const char *text) {
    (void)ctx;
    (void)level;
    snprintf(last_log, sizeof last_log, "%s", text);
    if (getenv("SHOW_LOG")) fprintf(stderr, "log: %s\n", text);
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *at) {
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}
static void remove_temp_dir(void) {
    if (!getenv("KEEP")) nftw(fixture_dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* A new folder under $TMPDIR or /tmp, removed when the case ends. */
__attribute__((unused)) static void temp_dir(char out[256]) {
    const char *base = getenv("TMPDIR");
    snprintf(fixture_dir, sizeof fixture_dir, "%.150s/millrace-test-XXXXXX", base ? base : "/tmp");
    CHECK(mkdtemp(fixture_dir) != NULL);
    atexit(remove_temp_dir);
    strcpy(out, fixture_dir);
}

__attribute__((unused)) static void write_file(const char *name, const void *p, size_t n) {
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0);
    CHECK_EQ(write(fd, p, n), n);
    close(fd);
}

__attribute__((unused)) static void read_file(const char *name, void *p, size_t n) {
    int fd = open(name, O_RDONLY);
    CHECK(fd >= 0);
    CHECK_EQ(read(fd, p, n), n);
    close(fd);
}
