/* locks.c - who holds the lock on a file: the kernel tells in /proc/locks, by device and inode. For a message
 * to people only: a process in another namespace, or a missing /proc, is "unknown". */
#include "io/io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/must.h"

/* A number and where it ends; *at stays where it is when there is none. */
static unsigned long number(char **at, int base) { return strtoul(*at, at, base); }

/* "1: FLOCK  ADVISORY  WRITE 4711 fe:00:131 0 EOF": the process, if it is this file's lock. */
static unsigned long holder_in(char *line, const struct stat *st) {
    char *kind = strstr(line, "FLOCK"), *at = kind ? kind + strcspn(kind, "0123456789") : NULL;
    if (!at) return 0;
    unsigned long pid = number(&at, 10);
    unsigned major = (unsigned)number(&at, 16);
    if (*at++ != ':') return 0;
    unsigned minor = (unsigned)number(&at, 16);
    if (*at++ != ':') return 0;
    bool same = number(&at, 10) == st->st_ino && makedev(major, minor) == st->st_dev;
    return same && pid <= UINT32_MAX ? pid : 0;
}

uint32_t io_file_locked_by(int fd) {
    struct stat st;
    char line[256];
    unsigned long holder = 0;
    must(fd >= 0);
    if (fstat(fd, &st) != 0) return 0;
    FILE *f = fopen("/proc/locks", "re");
    if (!f) return 0;
    while (!holder && fgets(line, sizeof line, f)) holder = holder_in(line, &st);
    fclose(f);
    must(holder <= UINT32_MAX);
    return (uint32_t)holder;
}
