/* must.h - assertions. must() stays in release builds: a broken invariant stops the process before it can
 * acknowledge anything. must_slow() holds whole-structure checks and is compiled in debug, fuzz and
 * simulation builds only. */
#pragma once

#define must(c) ((c) ? (void)0 : must_fail(#c, __FILE__, __LINE__, __func__))

#ifdef MILLRACE_SLOW_CHECKS
#define must_slow(c) must(c)
#else
#define must_slow(c) ((void)sizeof(c))
#endif

#define static_must(c) _Static_assert(c, #c)

/* Prints the condition and place, then what the innermost registered dumper prints, and aborts. */
_Noreturn void must_fail(const char *condition, const char *file, int line, const char *func);

/* Registers, for this thread, what to print of the object at hand when an assertion fails. NULL clears it. */
void must_set_dump(void (*dump)(void *object), void *object);
