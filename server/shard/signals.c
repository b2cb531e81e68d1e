/* signals.c - a signal becomes a byte in a socket that shard 0 receives from like from a client. The handler
 * does nothing else, but for a second SIGINT or SIGTERM, which ends the process at once. */
#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/must.h"
#include "shard/state.h"

static const int handled[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2};
static int ends[2] = {-1, -1}; /* one server a process */
static volatile sig_atomic_t stopping, term_is_ignored;

static void on_signal(int number) {
    int saved = errno;
    char byte = (char)number;
    bool stop = number == SIGINT || (number == SIGTERM && !term_is_ignored);
    if (stop && stopping) _exit(1);
    if (stop) stopping = 1;
    if (number != SIGTERM || stop) (void)!send(ends[1], &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    errno = saved;
}

bool signals_install(struct server *sv) {
    struct sigaction act = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    must(ends[0] < 0);
    stopping = term_is_ignored = 0;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
        log_line(sv->log, LOG_FATAL, "no socket for signals");
        return false;
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file at its size limit is a full disk */
    for (size_t i = 0; i < sizeof handled / sizeof handled[0]; i++) sigaction(handled[i], &act, NULL);
    return true;
}

static void on_bytes(struct io_op *op, int64_t res) {
    struct server *sv = container_of(op, struct server, signals);
    for (int64_t i = 0; i < res; i++) {
        int number = ((const uint8_t *)op->buf)[i];
        switch (number) {
        case SIGINT:
        case SIGTERM:
            log_line(sv->log, LOG_INFO, "Trapped \"%s\" signal",
                     number == SIGINT ? "interrupt" : "terminated");
            server_stop(sv);
            break;
        case SIGUSR1: server_reopen_log(sv); break;
        case SIGUSR2: server_lame_duck(sv); break;
        case SIGHUP: log_line(sv->log, LOG_WARN, "reloading the configuration is not supported yet"); break;
        default: must(false);
        }
    }
    if (!op->busy && res > 0) io_submit(sv->shard[0].io, op);
}

void signals_listen(struct server *sv) {
    must(ends[0] >= 0);
    sv->signals = (struct io_op){.kind = IO_OP_RECV, .fd = ends[0], .on_done = on_bytes};
    io_submit(sv->shard[0].io, &sv->signals);
}

void signals_ignore_term(void) { term_is_ignored = 1; }

void signals_remove(void) {
    for (size_t i = 0; i < sizeof handled / sizeof handled[0]; i++) signal(handled[i], SIG_DFL);
    for (int i = 0; i < 2; i++) {
        if (ends[i] >= 0) close(ends[i]);
        ends[i] = -1;
    }
}
