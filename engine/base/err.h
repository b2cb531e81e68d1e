/* err.h - the one list of operating errors. A bug asserts (must.h); a peer's mistake is a wire reply;
 * everything else that can go wrong is one of these, and every function that returns one is MUST_USE. errno
 * does not leave io/. */
#pragma once

#define ERR_LIST(X)                                                                                          \
    X(OK, "ok")                                                                                              \
    X(LATER, "started, completes later")                                                                     \
    X(NONE, "nothing there")                                                                                 \
    X(FULL, "no room now, try again after the next tick")                                                    \
    X(LIMIT, "a configured limit would be exceeded")                                                         \
    X(EXISTS, "exists already")                                                                              \
    X(INVAL, "not valid")                                                                                    \
    X(CORRUPT, "checksum or layout is wrong")                                                                \
    X(FORMAT, "written by another format version")                                                           \
    X(FOREIGN, "the folder holds something that is not a Millrace store")                                    \
    X(LOCKED, "another process holds the folder")                                                            \
    X(FAILED, "a write failed earlier; the log accepts no more until reopened")                              \
    X(IO, "the device reported an error")                                                                    \
    X(NOSPC, "no space left on the device")                                                                  \
    X(NOMEM, "out of memory")                                                                                \
    X(NOFILES, "out of file descriptors")                                                                    \
    X(PERM, "not permitted")                                                                                 \
    X(NOENT, "no such file")                                                                                 \
    X(UNSUPPORTED, "not supported here")                                                                     \
    X(CLOSED, "closed by the peer")                                                                          \
    X(CANCELLED, "cancelled")                                                                                \
    X(ADDRINUSE, "address already in use")

#define X(name, text) ERR_##name,
enum err { ERR_LIST(X) ERR_COUNT };
#undef X

#define MUST_USE __attribute__((warn_unused_result))

/* The text of an error; a static string. */
const char *err_text(enum err e);
/* Maps a positive errno value; only io/ calls this. */
enum err err_of_errno(int errno_value);
