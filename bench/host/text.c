/* text.c - see text.h. */
#include "host/text.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/must.h"

bool text_read(const char *path, char *out, size_t room) {
    must(room > 0);
    out[0] = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    size_t n = 0;
    ssize_t got;
    while (n < room - 1 && (got = read(fd, out + n, room - 1 - n)) > 0) n += (size_t)got;
    close(fd);
    out[n] = 0;
    return n > 0;
}

uint64_t text_number(const char *text, const char *key, uint64_t missing) {
    size_t n = strlen(key);
    for (const char *line = text; line && *line; line = strchr(line, '\n')) {
        if (*line == '\n') line++;
        if (strncmp(line, key, n) == 0) return strtoull(line + n + strspn(line + n, ": \t"), NULL, 10);
    }
    return missing;
}

void text_trim(char *text) {
    size_t n = strlen(text);
    while (n && isspace((unsigned char)text[n - 1])) text[--n] = 0;
}
