/* gotime.h - times and durations as Go prints and reads them, because clients and tools compare the text. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

/* Go's zero time, 0001-01-01T00:00:00Z, which nanoseconds since 1970 cannot hold. */
#define GOTIME_ZERO INT64_MIN
enum { GOTIME_TEXT_MAX = 36, GODURATION_TEXT_MAX = 32 };

/* RFC 3339 in UTC, trailing zeros of the fraction cut: 2024-01-02T03:04:05.6789Z. At most GOTIME_TEXT_MAX
 * bytes, no NUL. */
size_t gotime_put(char *out, int64_t unix_ns);
/* RFC 3339 with any offset and 0 to 9 (further ones cut) decimals. False when malformed or outside 1678 to
 * 2262. */
bool gotime_get(struct span s, int64_t *unix_ns);

/* 1h0m0s, 1.5s, 100ms, 0s. At most GODURATION_TEXT_MAX bytes, no NUL. */
size_t goduration_put(char *out, int64_t ns);
/* What time.ParseDuration reads; false also on overflow. */
bool goduration_get(struct span s, int64_t *ns);
