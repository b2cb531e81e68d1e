/* conf_lex.h - the characters of a configuration: blanks and comments, keys, plain values. Knows nothing of
 * maps, variables or files. Every function that can fail answers false with the error filled: place and
 * sentence. Internal to conf. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "wire/conf.h"

struct lex {
    struct span text;   /* holds no NUL byte */
    size_t at, line_at; /* line_at: where the current line begins */
    uint32_t line;      /* from 1 */
    const char *file;
    struct conf_error *e;
};

/* False when the text holds a NUL byte. */
bool lex_init(struct lex *x, struct span text, const char *file, struct conf_error *e);
/* The byte under the cursor, 0 at the end. */
int lex_peek(const struct lex *x);
void lex_skip(struct lex *x, size_t n);
uint32_t lex_col(const struct lex *x);
/* Fills the error with the cursor's place; always false. */
__attribute__((format(printf, 2, 3))) bool lex_fail(struct lex *x, const char *fmt, ...);

/* Control characters of the file do not get into a log line. */
void lex_one_line(char *text);

void lex_blanks(struct lex *x);  /* spaces and tabs */
void lex_comment(struct lex *x); /* spaces, tabs and one comment up to its line's end */
void lex_between(struct lex *x); /* all white space and comments */
void lex_white(struct lex *x);   /* all white space, no comments */

/* A key, bare or quoted. *keyword: it was bare and white space follows, so "include" means the directive. */
bool lex_key(struct lex *x, struct span *key, bool *keyword);
/* What stands behind "include": a path, quoted or not. */
bool lex_include(struct lex *x, struct span *path);

/* A plain value as it stands in the text. */
struct scalar {
    enum conf_kind kind;
    bool variable; /* "$NAME": raw is NAME */
    bool escaped;  /* raw holds backslashes, all well-formed: lex_unescape */
    struct span raw;
};
bool lex_scalar(struct lex *x, struct scalar *s);
/* Room for raw.n bytes at out; the length. */
size_t lex_unescape(struct span raw, uint8_t *out);
