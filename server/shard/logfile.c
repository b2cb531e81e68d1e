/* logfile.c - log lines to stderr or a file.
 *
 * Happy path: a line is put together on the stack and leaves with one write(2) to a descriptor opened for
 * appending, so that lines of several threads do not mix and no lock is needed. What fails: opening (said to
 * the operator at start; at a reopen the old file goes on) and writing (nothing sensible can be done; the
 * server goes on). */
#include "shard/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/must.h"

enum { LINE_ROOM = 1280 };

static size_t put_time(const struct logfile *lf, char *out, size_t room) {
    must(room >= 32);
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    struct tm *got = lf->utc ? gmtime_r(&now.tv_sec, &tm) : localtime_r(&now.tv_sec, &tm);
    if (!got) return 0;
    int n = snprintf(out, room, "%04d/%02d/%02d %02d:%02d:%02d.%06ld ", tm.tm_year + 1900, tm.tm_mon + 1,
                     tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, now.tv_nsec / 1000);
    return n > 0 && (size_t)n < room ? (size_t)n : 0;
}

static void write_all(int fd, const char *p, size_t n) {
    must(fd >= 0);
    while (n > 0) {
        ssize_t k = write(fd, p, n);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return;
        p += k;
        n -= (size_t)k;
    }
}

static void line(void *ctx, enum log_level level, const char *text) {
    static const char *const names[] = {"FTL", "ERR", "WRN", "INF", "DBG", "TRC"};
    static const char *const colors[] = {"31", "31", "0;93", "32", "36", "33"};
    const struct logfile *lf = ctx;
    char out[LINE_ROOM];
    must((size_t)level < sizeof names / sizeof names[0]);
    if (level == LOG_DEBUG && !lf->debug) return; /* tracing alone does not show them */
    size_t n = (size_t)snprintf(out, sizeof out, "[%d] ", lf->pid);
    if (lf->time) n += put_time(lf, out + n, sizeof out - n);
    int k = lf->colors ? snprintf(out + n, sizeof out - n, "[\x1b[%sm%s\x1b[0m] %s\n", colors[level],
                                  names[level], text)
                       : snprintf(out + n, sizeof out - n, "[%s] %s\n", names[level], text);
    must(k > 0);
    n += (size_t)k;
    if (n >= sizeof out) {
        n = sizeof out - 1;
        out[n - 1] = '\n';
    }
    write_all(lf->fd, out, n);
}

static int open_append(const char *path) {
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
}

bool logfile_open(struct logfile *lf, const struct options *o, struct option_error *e) {
    must(lf && o && e);
    *lf = (struct logfile){.fd = STDERR_FILENO,
                           .pid = (int)getpid(),
                           .debug = o->debug,
                           .time = o->logtime,
                           .utc = o->logtime_utc};
    memcpy(lf->path, o->log_file, sizeof lf->path);
    lf->log = (struct log){.level = o->trace   ? LOG_TRACE
                                    : o->debug ? LOG_DEBUG
                                               : LOG_INFO,
                           .line = line,
                           .ctx = lf};
    if (lf->path[0] == '\0') {
        lf->colors = isatty(lf->fd) == 1;
        return true;
    }
    lf->fd = open_append(lf->path);
    if (lf->fd >= 0) return true;
    snprintf(e->text, sizeof e->text, "cannot open log file %.900s: %s", lf->path, strerror(errno));
    return false;
}

bool logfile_reopen(struct logfile *lf) {
    must(lf->fd >= 0);
    if (lf->path[0] == '\0') return true;
    int fd = open_append(lf->path);
    if (fd < 0) return false;
    bool ok = dup3(fd, lf->fd, O_CLOEXEC) >= 0; /* in one step: other threads keep writing to this number */
    close(fd);
    return ok;
}

void logfile_close(struct logfile *lf) {
    if (lf->path[0] != '\0' && lf->fd >= 0) close(lf->fd);
    lf->fd = STDERR_FILENO;
}
