/* child.c - see child.h. The child is killed by the kernel when this program dies first. */
#include "host/child.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/clock.h"
#include "host/text.h"

enum { START_TRIES = 800, STOP_TRIES = 2000 };

static struct sockaddr_in loopback(uint16_t port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

static uint16_t free_port(void) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = loopback(0);
    socklen_t n = sizeof a;
    uint16_t port = 0;
    if (fd >= 0 && bind(fd, (struct sockaddr *)&a, n) == 0 && getsockname(fd, (struct sockaddr *)&a, &n) == 0)
        port = ntohs(a.sin_port);
    if (fd >= 0) close(fd);
    return port;
}

static bool accepts(uint16_t port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = loopback(port);
    bool ok = fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0;
    if (fd >= 0) close(fd);
    return ok;
}

static bool write_conf(const struct child *c, const char *sync_interval) {
    FILE *f = fopen(c->conf, "we");
    if (!f) return false;
    fprintf(
        f,
        "listen: \"127.0.0.1:%u\"\njetstream {\n  store_dir: \"%s/js\"\n  max_mem: 8GB\n  max_file: 40GB\n",
        c->port, c->folder);
    if (sync_interval) fprintf(f, "  sync_interval: %s\n", sync_interval);
    fprintf(f, "}\n");
    return fclose(f) == 0;
}

static _Noreturn void become(const struct child *c, const char *program) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setpgid(0, 0); /* Ctrl-C is for the benchmark, which then ends its servers in order */
    int log = open(c->log, O_CREAT | O_WRONLY | O_TRUNC, 0600), null = open("/dev/null", O_RDONLY);
    dup2(null, 0);
    dup2(log, 1);
    dup2(log, 2);
    execl(program, program, "-c", c->conf, (char *)NULL);
    fprintf(stderr, "cannot run %s: %s\n", program, strerror(errno));
    _exit(127);
}

static bool fail(struct child *c, const char *what, char *why, size_t room) {
    char text[4096];
    text_read(c->log, text, sizeof text);
    text_trim(text);
    size_t n = strlen(text);
    snprintf(why, room, "%s%s%s", what, n ? ": " : "", n > 200 ? text + n - 200 : text);
    child_stop(c);
    return false;
}

bool child_start(struct child *c, const char *program, const char *root, const char *sync_interval, char *why,
                 size_t room) {
    memset(c, 0, sizeof *c);
    snprintf(c->folder, sizeof c->folder, "%.250s/millrace-bench-XXXXXX", root);
    if (!mkdtemp(c->folder)) {
        snprintf(why, room, "no folder can be made in %s: %s", root, strerror(errno));
        c->folder[0] = 0;
        return false;
    }
    snprintf(c->log, sizeof c->log, "%s/log", c->folder);
    snprintf(c->conf, sizeof c->conf, "%s/conf", c->folder);
    c->port = free_port();
    if (!c->port || !write_conf(c, sync_interval))
        return fail(c, "its configuration cannot be written", why, room);
    c->pid = fork();
    if (c->pid == 0) become(c, program);
    if (c->pid < 0) return fail(c, "it cannot be started", why, room);
    for (int i = 0; i < START_TRIES && child_alive(c); i++) {
        if (accepts(c->port)) return true;
        sleep_ns(NS_PER_S / 40);
    }
    return fail(c, "it does not accept connections", why, room);
}

bool child_alive(const struct child *c) {
    siginfo_t info = {0};
    return c->pid > 0 && waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == 0;
}

void child_stop(struct child *c) {
    if (c->pid > 0) {
        kill(c->pid, SIGTERM);
        for (int i = 0; i < STOP_TRIES && child_alive(c); i++) sleep_ns(NS_PER_S / 100);
        if (child_alive(c)) kill(c->pid, SIGKILL);
        waitpid(c->pid, NULL, 0);
    }
    if (c->folder[0]) folder_remove(c->folder);
    memset(c, 0, sizeof *c);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at) {
    (void)st, (void)type, (void)at;
    return remove(path);
}

void folder_remove(const char *path) { nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS); }
