/* socket.c - listening, and who is at the other end. Accepted sockets inherit TCP_NODELAY and keep-alive from
 * the listener, which saves two calls a connection. What fails is an address that is taken, unknown or not
 * permitted. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/must.h"
#include "io/loop.h"

#define BACKLOG 4096

static enum err listen_at(const struct addrinfo *at, int *fd) {
    int on = 1, off = 0;
    must(at->ai_addr != NULL);
    *fd = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (*fd < 0) return err_of_errno(errno);
    setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(*fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(*fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (at->ai_family == AF_INET6) setsockopt(*fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(*fd, at->ai_addr, at->ai_addrlen) == 0 && listen(*fd, BACKLOG) == 0) return ERR_OK;
    enum err e = err_of_errno(errno);
    close(*fd);
    *fd = -1;
    return e;
}

static int port_of(int fd) {
    struct sockaddr_in6 a = {0}; /* the port lies at the same place for both families */
    socklen_t n = sizeof a;
    must(getsockname(fd, (struct sockaddr *)&a, &n) == 0);
    must(a.sin6_family == AF_INET || a.sin6_family == AF_INET6);
    return ntohs(a.sin6_port);
}

static enum err resolve(const char *host, int port, int family, struct addrinfo **list) {
    char service[16];
    struct addrinfo hints = {
        .ai_family = family, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    must(port >= 0 && port <= 65535);
    snprintf(service, sizeof service, "%d", port);
    switch (getaddrinfo(host, service, &hints, list)) {
    case 0: return ERR_OK;
    case EAI_MEMORY: return ERR_NOMEM;
    default: return ERR_NOENT;
    }
}

static enum err listen_any(const char *host, int port, int family, int *fd) {
    struct addrinfo *list = NULL;
    enum err e = resolve(host, port, family, &list);
    if (e) return e;
    must(list != NULL);
    e = ERR_NOENT;
    for (const struct addrinfo *at = list; at && e && e != ERR_ADDRINUSE; at = at->ai_next)
        e = listen_at(at, fd);
    freeaddrinfo(list);
    return e;
}

enum err io_listen(struct io *io, const char *host, int *port, int *fd) {
    (void)io;
    must(port != NULL && fd != NULL);
    int want = *port == -1 ? 0 : *port;
    *fd = -1;
    if (want < 0 || want > 65535) return ERR_INVAL;
    bool any = !host || !*host;
    enum err e =
        listen_any(any ? NULL : host, want, any ? AF_INET6 : AF_UNSPEC, fd); /* :: takes IPv4 in too */
    if (e && e != ERR_ADDRINUSE && any) e = listen_any(NULL, want, AF_INET, fd);
    if (e) return e;
    *port = port_of(*fd);
    must(*fd >= 0 && *port > 0);
    return ERR_OK;
}

void io_peer(int fd, char out[46], uint16_t *port) {
    struct sockaddr_storage a = {0};
    socklen_t n = sizeof a;
    must(out != NULL && port != NULL);
    *port = 0;
    snprintf(out, 46, "unknown");
    if (getpeername(fd, (struct sockaddr *)&a, &n) != 0) return;
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&a;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&a;
    if (a.ss_family == AF_UNIX) snprintf(out, 46, "unix");
    if (a.ss_family == AF_INET) must(inet_ntop(AF_INET, &v4->sin_addr, out, 46) != NULL);
    if (a.ss_family == AF_INET6) {
        bool mapped = IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr);
        const void *from = mapped ? (const void *)(v6->sin6_addr.s6_addr + 12) : (const void *)&v6->sin6_addr;
        must(inet_ntop(mapped ? AF_INET : AF_INET6, from, out, 46) != NULL);
    }
    if (a.ss_family == AF_INET || a.ss_family == AF_INET6) *port = ntohs(v4->sin_port);
}
