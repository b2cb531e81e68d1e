/* locks.c - who holds the lock on a file: the kernel tells in /proc/locks, by device and inode. For a message
 * to people only: a process in another namespace, or a missing /proc, is "unknown". */
#include "io/io.h"

#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/must.h"

uint32_t io_file_locked_by(int fd) {
    struct stat st;
    char line[256];
    long holder = 0;
    must(fd >= 0);
    if (fstat(fd, &st) != 0) return 0;
    FILE *f = fopen("/proc/locks", "re");
    if (!f) return 0;
    while (!holder && fgets(line, sizeof line, f)) {
        unsigned major, minor;
        unsigned long inode;
        long pid;
        int n = sscanf(line, "%*d: FLOCK %*s %*s %ld %x:%x:%lu", &pid, &major, &minor, &inode);
        if (n == 4 && pid > 0 && inode == st.st_ino && makedev(major, minor) == st.st_dev) holder = pid;
    }
    fclose(f);
    must(holder >= 0);
    return (uint32_t)holder;
}
