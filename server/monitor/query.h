/* query.h - the parameters of a request, read as nats-server reads them: the first of equal names counts, an
 * empty value is none, and a value that does not parse is answered with Go's words. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

enum { QUERY_VALUE_MAX = 256, QUERY_ERROR_MAX = 2048 };

struct query {
    struct span text;            /* a=b&c=d */
    char error[QUERY_ERROR_MAX]; /* "" until a value did not parse; then the first complaint */
};

/* The value, decoded, cut at QUERY_VALUE_MAX - 1 bytes; "" when it is not there. */
void query_text(const struct query *q, const char *name, char out[QUERY_VALUE_MAX]);
/* otherwise: when it is not there, or does not parse (then q->error is set). */
bool query_bool(struct query *q, const char *name, bool otherwise);
int64_t query_int(struct query *q, const char *name, int64_t otherwise);
uint64_t query_u64(struct query *q, const char *name, uint64_t otherwise);
/* value in double quotes as Go's %q writes ASCII; cut to fit. */
void query_quote(char *out, size_t room, const char *value);
