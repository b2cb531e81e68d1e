/* rng.c - the kernel's random bytes, for identities, epochs and hash seeds. getrandom(2) cannot fail here
 * except by a signal before the pool is ready (then it is called again) or a bug, which asserts. */
#include "base/rng.h"

#include <errno.h>
#include <sys/random.h>

#include "base/must.h"

void random_bytes(void *out, size_t n) {
    char *p = out;
    must(out != NULL || n == 0);
    while (n > 0) {
        ssize_t got = getrandom(p, n, 0);
        if (got < 0 && errno == EINTR) continue;
        must(got > 0);
        p += got;
        n -= (size_t)got;
    }
}
