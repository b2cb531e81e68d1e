/* flips.h - what flips.c (damage, and what must hold after it) and flips_store.c (the folder that is damaged,
 * and what is in it) share. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "millrace.h"

enum { STREAMS = 4, SEQ_MAX = 4096, CONSUMERS = 3, FILES_MAX = 64 };

/* A message as it was stored. */
struct ref_msg {
    bool known, live, batch;
    uint64_t hash; /* of subject, headers, payload */
    int64_t ts;
    int file; /* where it lies, if it is live; -1: somewhere */
    uint64_t from, to;
};
struct ref_stream {
    const char *name;
    uint64_t last_seq;
    struct ref_msg msgs[SEQ_MAX];
};
struct ref_consumer {
    const char *stream, *name;
    int at; /* index of the stream */
    bool confirmed[SEQ_MAX];
};
struct ref_file {
    char name[64]; /* in the folder */
    uint64_t size;
    uint64_t used; /* bytes that matter, as far as is known */
    uint64_t segno;
};
struct ref {
    struct ref_stream streams[STREAMS];
    struct ref_consumer consumers[CONSUMERS];
    struct ref_file files[FILES_MAX];
    int files_count;
};

/* An engine on one folder. */
struct life {
    struct mr_env *env;
    struct mr_shard *sh;
    size_t done, failed;
    char last_log[1024];
};
enum mr_status life_open(struct life *l, const char *dir);
void life_close(struct life *l);
/* A read to its end. */
enum mr_status life_get(struct life *l, struct mr_stream *s, uint64_t seq, struct mr_msg_view *v);
uint64_t hash_msg(const struct mr_msg *m);

/* Makes a folder: streams, limits, deletes, confirmed acks, checkpoints. The ref says what is in it. killed:
 * as it was when nobody had closed it. */
void store_make(struct ref *r, const char *dir, uint64_t seed, bool killed);
void copy_tree(const char *from, const char *to);
void remove_tree(const char *dir);
