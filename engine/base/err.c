/* err.c - texts of the error list and the one mapping from errno. Pure; unknown errno values become ERR_IO,
 * since the callers that matter treat ERR_IO as final and never as success. */
#include "base/err.h"

#include <errno.h>
#include <stddef.h>

#include "base/must.h"

#define X(name, text) [ERR_##name] = text,
static const char *const texts[ERR_COUNT] = {ERR_LIST(X)};
#undef X

static_must(ERR_OK == 0); /* callers write if (e) */

const char *err_text(enum err e) {
    must((unsigned)e < ERR_COUNT);
    must(texts[e] != NULL);
    return texts[e];
}

enum err err_of_errno(int errno_value) {
    must(errno_value > 0);
    switch (errno_value) {
    case ENOMEM:
    case ENOBUFS: return ERR_NOMEM;
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return ERR_NOSPC;
    case EMFILE:
    case ENFILE: return ERR_NOFILES;
    case EPERM:
    case EACCES:
    case EROFS: return ERR_PERM;
    case ENOENT:
    case ENOTDIR: return ERR_NOENT;
    case EEXIST:
    case ENOTEMPTY: return ERR_EXISTS;
    case EINVAL:
    case EBADF:
    case ENAMETOOLONG:
    case ENOTSOCK:
    case EISDIR:
    case ELOOP: return ERR_INVAL;
    case ENOSYS:
    case EOPNOTSUPP:
    case EAFNOSUPPORT:
    case EPROTONOSUPPORT: return ERR_UNSUPPORTED;
    case EPIPE:
    case ECONNRESET:
    case ECONNABORTED:
    case ENOTCONN:
    case ESHUTDOWN:
    case ETIMEDOUT:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ENETDOWN:
    case ECONNREFUSED: return ERR_CLOSED;
    case ECANCELED:
    case EINTR: return ERR_CANCELLED;
    case EADDRINUSE: return ERR_ADDRINUSE;
    case EWOULDBLOCK: return ERR_LATER;
    default: return ERR_IO;
    }
}
