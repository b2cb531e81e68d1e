/* log.h - where a unit says something to the operator. Nothing here does I/O: the host that made the log
 * decides where lines go. Not for the data path, except trace lines behind log_on(). */
#pragma once
#include <stdarg.h>
#include <stdbool.h>

enum log_level { LOG_FATAL, LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_TRACE };

struct log {
    enum log_level level; /* lines above it are not made */
    void (*line)(void *ctx, enum log_level level, const char *text);
    void *ctx;
};

static inline bool log_on(const struct log *l, enum log_level level) {
    return l && l->line && level <= l->level;
}
/* Formats (at most 1 KiB; longer lines are cut) and hands the line on. */
__attribute__((format(printf, 3, 4))) void log_line(const struct log *l, enum log_level level,
                                                    const char *fmt, ...);
