/* proc.c - see proc.h. A field that cannot be read counts as 0 in both samples, so its difference is 0. */
#include "host/proc.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "host/clock.h"
#include "host/text.h"

static void add_tasks(pid_t pid, struct proc_sample *s) {
    char path[320], text[4096];
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *tasks = opendir(path);
    if (!tasks) return;
    struct dirent *e;
    while ((e = readdir(tasks))) {
        if (e->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", (int)pid, e->d_name);
        if (text_read(path, text, sizeof text)) s->cpu_tasks_ns += strtoull(text, NULL, 10);
        snprintf(path, sizeof path, "/proc/%d/task/%s/status", (int)pid, e->d_name);
        if (!text_read(path, text, sizeof text)) continue;
        s->switches += text_number(text, "voluntary_ctxt_switches", 0);
        s->switches += text_number(text, "nonvoluntary_ctxt_switches", 0);
    }
    closedir(tasks);
}

static uint64_t total_cpu_ns(const char *stat) {
    const char *p = strrchr(stat, ')');
    unsigned long long user = 0, system = 0;
    if (!p || sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &system) != 2)
        return 0;
    return (user + system) * (NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK));
}

struct proc_sample proc_sample(pid_t pid) {
    struct proc_sample s = {0};
    char path[64], text[8192];
    if (pid <= 0) return s;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if (!text_read(path, text, sizeof text)) return s;
    s.cpu_total_ns = total_cpu_ns(text);
    s.valid = true;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    text_read(path, text, sizeof text);
    s.rss_max_bytes = (text_number(text, "VmHWM", 0) + text_number(text, "HugetlbPages", 0)) * 1024;
    snprintf(path, sizeof path, "/proc/%d/io", (int)pid);
    text_read(path, text, sizeof text);
    s.written_bytes = text_number(text, "write_bytes", 0);
    add_tasks(pid, &s);
    return s;
}

uint64_t proc_cpu_ns(const struct proc_sample *before, const struct proc_sample *after) {
    uint64_t tasks = after->cpu_tasks_ns - before->cpu_tasks_ns;
    uint64_t total = after->cpu_total_ns - before->cpu_total_ns;
    /* Threads that ended in between took their share with them: then the coarse figure is the better one. */
    bool lost = after->cpu_tasks_ns < before->cpu_tasks_ns || total > tasks + NS_PER_S / 20;
    return lost ? total : tasks;
}

uint64_t own_cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* The inode of the listening socket, from /proc/net/tcp and tcp6; 0 = none. */
static unsigned long listening_inode(const char *table, uint16_t port) {
    FILE *f = fopen(table, "re");
    if (!f) return 0;
    char line[512];
    unsigned long found = 0;
    while (!found && fgets(line, sizeof line, f)) {
        unsigned local_port, state;
        unsigned long inode;
        if (sscanf(line, " %*d: %*[0-9A-F]:%X %*[0-9A-F]:%*X %X %*s %*s %*s %*u %*u %lu", &local_port, &state,
                   &inode) == 3 &&
            state == 0x0A && local_port == port)
            found = inode;
    }
    fclose(f);
    return found;
}

static bool holds_socket(const char *pid, unsigned long inode) {
    char path[320], want[64], link[64];
    snprintf(want, sizeof want, "socket:[%lu]", inode);
    snprintf(path, sizeof path, "/proc/%s/fd", pid);
    DIR *fds = opendir(path);
    if (!fds) return false;
    bool found = false;
    struct dirent *e;
    while (!found && (e = readdir(fds))) {
        char fd[600];
        snprintf(fd, sizeof fd, "%s/%s", path, e->d_name);
        ssize_t n = readlink(fd, link, sizeof link - 1);
        if (n <= 0) continue;
        link[n] = 0;
        found = strcmp(link, want) == 0;
    }
    closedir(fds);
    return found;
}

pid_t proc_listening(uint16_t port) {
    unsigned long inode = listening_inode("/proc/net/tcp", port);
    if (!inode) inode = listening_inode("/proc/net/tcp6", port);
    DIR *all = inode ? opendir("/proc") : NULL;
    if (!all) return 0;
    pid_t found = 0;
    struct dirent *e;
    while (!found && (e = readdir(all))) {
        if (e->d_name[0] < '1' || e->d_name[0] > '9') continue;
        if (holds_socket(e->d_name, inode)) found = (pid_t)strtol(e->d_name, NULL, 10);
    }
    closedir(all);
    return found;
}

void proc_program(pid_t pid, char *out, size_t room) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    ssize_t n = pid > 0 ? readlink(path, out, room - 1) : 0;
    out[n > 0 ? n : 0] = 0;
}
