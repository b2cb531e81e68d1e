/* client.h - who sends messages to the writer under test, and waits for their acknowledgements: a process of
 * its own at the other end of a socket, as a client of a server is. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "stats/hist.h"

enum { MESSAGE_MAX = 4096 };

struct client_config {
    uint64_t rate;    /* messages a second by schedule; 0: a window instead */
    uint64_t window;  /* messages outstanding when there is no rate */
    uint64_t message; /* bytes; the first eight are the message's number */
    uint64_t seconds;
    bool spin; /* never sleeps: looks again and again, as a busy neighbour */
    int cpu;
};

/* In memory both processes see; complete once the client has ended. */
struct client_result {
    struct hist latency; /* from when a message was meant to be sent */
    uint64_t sent;
    double cpu_s, seconds;
};

/* Starts it; fd is the writer's end of the socket. The client ends its side when everything is acknowledged.
 */
pid_t client_start(const struct client_config *cfg, struct client_result *out, int *fd);
