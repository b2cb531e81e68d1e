/* address.c - texts to socket addresses. */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "net/conn.h"

static void copy(char *out, size_t room, const char *p, size_t n) { snprintf(out, room, "%.*s", (int)n, p); }

/* Splits [user[:pass]@]host[:port]; false when the port is no number. */
static bool split(struct address *a, const char *text) {
    const char *at = strrchr(text, '@');
    if (at) {
        size_t user = strcspn(text, ":@");
        copy(a->user, sizeof a->user, text, user);
        if (text[user] == ':') copy(a->pass, sizeof a->pass, text + user + 1, (size_t)(at - text) - user - 1);
        text = at + 1;
    }
    const char *colon = strrchr(text, ':'), *bracket = strchr(text, ']');
    if (colon && bracket && colon < bracket) colon = NULL;
    uint64_t port = 4222;
    if (colon && (!get_u64(span_str(colon + 1), &port) || port == 0 || port > 65535)) return false;
    a->port = (uint16_t)port;
    size_t n = colon ? (size_t)(colon - text) : strlen(text);
    if (n >= 2 && text[0] == '[' && text[n - 1] == ']') {
        text++;
        n -= 2;
    }
    copy(a->host, sizeof a->host, text, n);
    return n > 0;
}

static bool is_local(const struct sockaddr_storage *sa) {
    if (sa->ss_family == AF_INET)
        return (ntohl(((const struct sockaddr_in *)sa)->sin_addr.s_addr) >> 24) == 127;
    return sa->ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)sa)->sin6_addr);
}

bool address_parse(struct address *a, const char *url) {
    memset(a, 0, sizeof *a);
    const char *text = strncmp(url, "nats://", 7) == 0 ? url + 7 : url;
    char copy_of[512], port[8];
    snprintf(copy_of, sizeof copy_of, "%s", text);
    size_t n = strlen(copy_of);
    if (n && copy_of[n - 1] == '/') copy_of[n - 1] = 0;
    if (strstr(copy_of, "//") || !split(a, copy_of)) return false;
    snprintf(port, sizeof port, "%u", a->port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    if (getaddrinfo(a->host, port, &hints, &found) != 0) return false;
    memcpy(&a->sa, found->ai_addr, found->ai_addrlen);
    a->sa_len = found->ai_addrlen;
    a->local = is_local(&a->sa);
    freeaddrinfo(found);
    return true;
}
