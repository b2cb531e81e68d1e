/* status.c - the public statuses: their texts, and which of them an inner error becomes. Pure. */
#include "millrace.h"

#include "base/must.h"
#include "env.h"

#define X(name, text) [MR_##name] = text,
static const char *const texts[MR_STATUS_COUNT] = {MR_STATUS_LIST(X)};
#undef X

const char *mr_status_text(enum mr_status s) { return (unsigned)s < MR_STATUS_COUNT ? texts[s] : "unknown"; }

enum mr_status status_of(enum err e) {
    must((unsigned)e < ERR_COUNT);
    switch (e) {
    case ERR_OK: return MR_OK;
    case ERR_LATER: return MR_LATER;
    case ERR_NONE: return MR_NONE;
    case ERR_NOENT: return MR_GONE;
    case ERR_NOFILES: return MR_NOFILES;
    case ERR_FULL: return MR_BUSY;
    case ERR_LIMIT: return MR_LIMIT;
    case ERR_EXISTS: return MR_EXISTS;
    case ERR_INVAL: return MR_INVAL;
    case ERR_CORRUPT: return MR_CORRUPT;
    case ERR_FORMAT: return MR_FORMAT;
    case ERR_FOREIGN: return MR_FOREIGN;
    case ERR_LOCKED: return MR_LOCKED;
    case ERR_FAILED: return MR_FAILED;
    case ERR_NOSPC: return MR_NOSPC;
    case ERR_NOMEM: return MR_NOMEM;
    case ERR_PERM: return MR_PERM;
    case ERR_UNSUPPORTED: return MR_UNSUPPORTED;
    default: return MR_IO;
    }
}
