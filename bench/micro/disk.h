/* disk.h - the disk under the benchmarks: a folder of one's own, what a durable write and a direct read cost
 * there, and what this process wrote. Failures end the program with a message. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A new folder below `base` (NULL: $MICRO_DIR, else the current folder); removed at exit with what is in it.
 */
const char *disk_folder(const char *base);
void disk_remove(const char *path);

/* A file of written blocks; one durable write (O_DIRECT|O_DSYNC) of n bytes, rounded up to 4 KiB, at the next
 * place. */
struct disk_file;
struct disk_file *disk_open(const char *folder, size_t bytes);
void disk_write_durable(struct disk_file *f, size_t n);
/* One direct read (O_DIRECT) of n bytes at a 4 KiB boundary that follows from `where`. */
void disk_read(struct disk_file *f, uint64_t where, size_t n);
void disk_close(struct disk_file *f);

uint64_t disk_written(void); /* bytes this process caused to be written: write_bytes of /proc/self/io */
uint64_t disk_cpu_ns(void);  /* user and system time of all threads of this process */
uint64_t disk_now_ns(void);

#ifdef __cplusplus
}
#endif
