/* work.h - one piece of work and one server, as plain values. A work is the same for every server it runs on.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "net/conn.h"

enum work_kind {
    WORK_CORE,    /* publishers to subscribers (or to none), without JetStream */
    WORK_REQUEST, /* requesters (publishers) to responders (subscribers) and back */
    WORK_STREAM,  /* publishes to streams, each acknowledged */
    WORK_CONSUME, /* pull consumers read what was published before; or follow publishers when rate is set */
    WORK_ROUTED,  /* publishes to streams; each message goes to the one of many pull consumers that has its
                     subject */
};

struct work {
    enum work_kind kind;
    char name[40], title[120];
    bool memory;               /* streams in memory, else on file */
    bool acks;                 /* consumers acknowledge */
    bool trust;                /* do not read back what was stored: for stand-ins that store nothing */
    bool spin;                 /* open loop: poll instead of sleeping between sends */
    const char *sync_interval; /* of servers this program starts; NULL = the server's own default */
    uint32_t publishers, subscribers, threads;
    uint32_t window; /* closed loop: messages under way a publisher */
    uint32_t size, subjects, streams, batch;
    int64_t per_subject; /* max_msgs_per_subject of the streams; 0 = none */
    bool work_queue;     /* streams remove what is acknowledged */
    uint32_t consumers;  /* of the first stream: WORK_ROUTED share its subjects; else nobody asks them */
    uint32_t idle;       /* more connections, that do nothing */
    uint32_t stalled;    /* WORK_CORE: more subscribers, that never read */
    double rate;         /* messages a second over all publishers; 0 = closed loop */
    uint64_t messages;   /* 0 = by duration */
    uint64_t most;       /* by duration: sending ends here all the same; streams only */
    uint64_t warmup_ns, duration_ns, patience_ns, seed;
};

/* Where the work goes: a server that runs already, or a program to start. */
struct target {
    char label[32], url[256];
    char program[256], sync_interval[32]; /* program "" = runs already */
    char mode[64];                        /* what is known of its durability, for the report */
    char version[160];
    struct address address;
    pid_t pid; /* 0 = cannot be looked at */
};
/* [LABEL=]URL[,mode=TEXT] or [LABEL=]run:PROGRAM[,sync=always|DURATION]. False with the reason in why. */
bool target_parse(struct target *t, const char *spec, char *why, size_t room);
