/* must.c - the end of a process whose invariant broke: says what and where, lets the innermost registered
 * dumper print the object at hand, and aborts. Writes with dprintf only, so that a broken heap does not hide
 * the message. A failure inside a dumper ends the process at once. */
#include "base/must.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

static _Thread_local void (*dump_fn)(void *object);
static _Thread_local void *dump_object;
static _Thread_local bool failing;

void must_set_dump(void (*dump)(void *object), void *object) {
    must(dump != NULL || object == NULL);
    dump_fn = dump;
    dump_object = object;
}

_Noreturn void must_fail(const char *condition, const char *file, int line, const char *func) {
    dprintf(2, "%s:%d: %s: must(%s) does not hold\n", file, line, func, condition);
    if (!failing && dump_fn) {
        failing = true;
        dump_fn(dump_object);
    }
    abort();
}
