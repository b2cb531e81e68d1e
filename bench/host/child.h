/* child.h - a server this program starts, in a folder of its own, and ends again. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct child {
    pid_t pid;
    uint16_t port;
    char folder[300], log[320], conf[320];
};

/* Starts `program -c <generated configuration>`: loopback, a free port, JetStream in a new folder under root;
 * sync_interval as given, or the server's own default when NULL. Waits until it accepts connections. False
 * with the reason in why (the end of its log, where it has one). Millrace and nats-server read the same file.
 */
bool child_start(struct child *c, const char *program, const char *root, const char *sync_interval, char *why,
                 size_t room);
bool child_alive(const struct child *c);
/* SIGTERM, SIGKILL after 20 s; the folder is removed. Nothing when it was never started. */
void child_stop(struct child *c);

/* Removes a folder and what is in it. */
void folder_remove(const char *path);
