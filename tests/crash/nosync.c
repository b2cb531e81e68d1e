/* nosync.c - a library to preload under which no sync does anything: what a build without O_DSYNC would be.
 * With it a power cut has to lose what was acknowledged; a test that does not see that sees nothing. It comes
 * between the program and the C library only, so the server has to run with --io posix. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdarg.h>
#include <sys/types.h>
#include <sys/uio.h>

int fsync(int fd) { return (void)fd, 0; }
int fdatasync(int fd) { return (void)fd, 0; }
int syncfs(int fd) { return (void)fd, 0; }
