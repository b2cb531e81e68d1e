/* log.c - makes a line of text and hands it to the host. A line longer than 1 KiB is cut, and ends in "..."
 * so that this shows; control characters, which could come from a peer's name or subject, are made visible,
 * so that a line stays one line. */
#include "base/log.h"

#include <stdio.h>
#include <string.h>

#include "base/must.h"

#define LINE_MAX_BYTES 1024

void log_line(const struct log *l, enum log_level level, const char *fmt, ...) {
    char text[LINE_MAX_BYTES];
    va_list args;
    must(fmt != NULL);
    must(level <= LOG_TRACE);
    if (!log_on(l, level)) return;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    must(n >= 0);
    if ((size_t)n >= sizeof text) memcpy(text + sizeof text - 4, "...", 4);
    for (char *p = text; *p; p++) {
        if ((unsigned char)*p < ' ' || *p == 0x7f) *p = '?';
    }
    l->line(l->ctx, level, text);
}
