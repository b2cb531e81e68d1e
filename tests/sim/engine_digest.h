/* engine_digest.h - all that a shard knows of its file streams, as text: one line a thing, so that two
 * openings of the same disk can be compared, and the lines that differ say what differs. */
#pragma once
#include <stdio.h>

#include "millrace.h"

void digest_shard(FILE *out, const struct mr_shard *sh);
/* Prints the first lines that differ; false when none does. */
bool digest_differs(const char *a, const char *b);
