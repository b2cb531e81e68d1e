/* machine.h - the machine a figure comes from, and what else it was doing: processor, kernel, file system,
 * load, time stolen by the hypervisor, writes and flushes of the disk under a folder. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct machine {
    char kernel[128], cpu[128], folder[256], file_system[64], device[32], governor[32], started[40];
    unsigned cores;
    uint64_t memory_bytes;
    double load;
    char disk_stat[96]; /* /sys file of the disk under the folder; "" = none that counts */
};
/* Everything that does not change during a run; folder is where servers keep their files. */
void machine_read(struct machine *m, const char *folder);

struct machine_sample {
    double busy_s, steal_s;                         /* of all processors together */
    uint64_t disk_writes, disk_flushes, disk_bytes; /* of the disk under the folder */
};
struct machine_sample machine_sample(const struct machine *m);
/* The load average of the last minute. */
double machine_load(void);
