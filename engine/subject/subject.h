/* subject.h - NATS subject grammar: tokens separated by '.', '*' matches one token, '>' one or more at the end.
 * Rules as nats-server 2.15: empty tokens are illegal; space, tab, CR, LF and FF are illegal; "foo*" is a literal token. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"

enum { SUBJECT_MAX = 4096, SUBJECT_TOKENS_MAX = 256 };

/* A publishable or subscribable subject, wildcards allowed. */
bool subject_valid(struct span s);
/* As above with no wildcard token. */
bool subject_literal(struct span s);
bool subject_has_wildcard(struct span s);
/* Does the literal match the pattern? A literal containing '*' or '>' tokens is taken as text. */
bool subject_match(struct span literal, struct span pattern);
/* Is every subject that `sub` matches matched by `super` too? */
bool subject_subset(struct span sub, struct span super);
/* Could one literal match both? */
bool subject_overlap(struct span a, struct span b);
size_t subject_tokens(struct span s);
/* Has it at least one token and none that is empty? Reads eight bytes at a time. */
bool subject_whole(struct span s);
