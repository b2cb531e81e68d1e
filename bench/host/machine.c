/* machine.c - see machine.h. What a kernel does not tell stays empty or 0. */
#include "host/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "host/text.h"

static void read_cpu(struct machine *m) {
    char text[4096];
    text_read("/proc/cpuinfo", text, sizeof text);
    const char *name = strstr(text, "model name");
    if (name && (name = strchr(name, ':'))) {
        snprintf(m->cpu, sizeof m->cpu, "%.*s", (int)strcspn(name + 2, "\n"), name + 2);
    } else {
        struct utsname u;
        uname(&u);
        snprintf(m->cpu, sizeof m->cpu, "%.100s", u.machine);
    }
    text_read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", m->governor, sizeof m->governor);
    text_trim(m->governor);
}

/* The mount whose path is the longest beginning of the folder. */
static void read_file_system(struct machine *m) {
    FILE *f = fopen("/proc/self/mounts", "re");
    if (!f) return;
    char line[1024], device[256], path[256], type[64];
    size_t best = 0;
    while (fgets(line, sizeof line, f)) {
        if (sscanf(line, "%255s %255s %63s", device, path, type) != 3) continue;
        size_t n = strlen(path);
        bool under = strncmp(m->folder, path, n) == 0 && (n == 1 || m->folder[n] == '/' || m->folder[n] == 0);
        if (!under || n < best) continue;
        best = n;
        snprintf(m->file_system, sizeof m->file_system, "%s", type);
        snprintf(m->device, sizeof m->device, "%.31s", device);
    }
    fclose(f);
}

/* Flushes are counted for whole disks only: of a partition, the disk's file is taken. */
static void find_disk(struct machine *m) {
    struct stat st;
    if (stat(m->folder, &st) != 0 || major(st.st_dev) == 0) return;
    char path[64], real[96];
    snprintf(path, sizeof path, "/sys/dev/block/%u:%u/partition", major(st.st_dev), minor(st.st_dev));
    const char *up = access(path, R_OK) == 0 ? "/.." : "";
    snprintf(real, sizeof real, "/sys/dev/block/%u:%u%s/stat", major(st.st_dev), minor(st.st_dev), up);
    if (access(real, R_OK) == 0) snprintf(m->disk_stat, sizeof m->disk_stat, "%s", real);
}

double machine_load(void) {
    double load = 0;
    return getloadavg(&load, 1) == 1 ? load : 0;
}

void machine_read(struct machine *m, const char *folder) {
    memset(m, 0, sizeof *m);
    struct utsname u;
    uname(&u);
    snprintf(m->kernel, sizeof m->kernel, "%.40s %.80s", u.sysname, u.release);
    char *full = realpath(folder, NULL);
    snprintf(m->folder, sizeof m->folder, "%.255s", full ? full : folder);
    free(full);
    read_cpu(m);
    read_file_system(m);
    find_disk(m);
    m->cores = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
    m->memory_bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    m->load = machine_load();
    time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(m->started, sizeof m->started, "%Y-%m-%d %H:%M:%S UTC", &utc);
}

struct machine_sample machine_sample(const struct machine *m) {
    struct machine_sample s = {0};
    char text[512];
    double tick = (double)sysconf(_SC_CLK_TCK);
    unsigned long long user, nice, system, idle, iowait, irq, softirq, steal;
    text_read("/proc/stat", text, sizeof text);
    if (sscanf(text, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle, &iowait,
               &irq, &softirq, &steal) == 8) {
        s.busy_s = (double)(user + nice + system + irq + softirq) / tick;
        s.steal_s = (double)steal / tick;
    }
    unsigned long long writes = 0, sectors = 0, flushes = 0;
    if (m->disk_stat[0] && text_read(m->disk_stat, text, sizeof text) &&
        sscanf(text, "%*u %*u %*u %*u %llu %*u %llu %*u %*u %*u %*u %*u %*u %*u %*u %llu", &writes, &sectors,
               &flushes) >= 2) {
        s.disk_writes = writes;
        s.disk_flushes = flushes;
        s.disk_bytes = sectors * 512;
    }
    return s;
}
