/* check.h - one page of test support: checks that name what they saw, and a table of cases run each in a child process,
 * so that a crash fails one case. `test_x` runs all, `test_x name` one. The last line is "N passed, N failed". */
#pragma once
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(c)                                                                             \
    do {                                                                                     \
        if (!(c)) {                                                                          \
            fprintf(stderr, "%s:%d: CHECK(%s) does not hold\n", __FILE__, __LINE__, #c);     \
            exit(1);                                                                         \
        }                                                                                    \
    } while (0)

#define CHECK_EQ(a, b)                                                                                      \
    do {                                                                                                    \
        long long check_a = (long long)(a), check_b = (long long)(b);                                       \
        if (check_a != check_b) {                                                                           \
            fprintf(stderr, "%s:%d: %s is %lld, not %s = %lld\n", __FILE__, __LINE__, #a, check_a, #b, check_b); \
            exit(1);                                                                                        \
        }                                                                                                   \
    } while (0)

#define CHECK_STR(a, b)                                                                        \
    do {                                                                                       \
        const char *check_a = (a), *check_b = (b);                                             \
        if (strcmp(check_a, check_b) != 0) {                                                   \
            fprintf(stderr, "%s:%d: %s is\n  %s\nnot\n  %s\n", __FILE__, __LINE__, #a, check_a, check_b); \
            exit(1);                                                                           \
        }                                                                                      \
    } while (0)

#define CHECK_MEM(a, n, b, m)                                                                      \
    do {                                                                                           \
        size_t check_n = (n), check_m = (m);                                                       \
        const void *check_a = (a), *check_b = (b);                                                 \
        if (check_n != check_m || (check_n && memcmp(check_a, check_b, check_n) != 0)) {           \
            fprintf(stderr, "%s:%d: %s is \"%.*s\", not \"%.*s\"\n", __FILE__, __LINE__, #a, (int)check_n, \
                    (const char *)check_a, (int)check_m, (const char *)check_b);                   \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

struct check_case {
    const char *name;
    void (*run)(void);
};
#define CASE(f) {#f, f}

static inline int check_main(int argc, char **argv, const struct check_case *cases, size_t count) {
    int passed = 0, failed = 0;
    for (size_t i = 0; i < count; i++) {
        if (argc > 1 && strcmp(argv[1], cases[i].name) != 0) continue;
        fflush(NULL);
        pid_t pid = fork();
        if (pid == 0) {
            cases[i].run();
            exit(0);
        }
        int status = 1;
        if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
            fprintf(stderr, "FAILED %s (status %d)\n", cases[i].name, status);
            failed++;
        } else {
            passed++;
        }
    }
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0 || passed == 0;
}

#define CHECK_MAIN(...)                                                                        \
    int main(int argc, char **argv) {                                                          \
        static const struct check_case cases[] = {__VA_ARGS__};                                \
        return check_main(argc, argv, cases, sizeof cases / sizeof cases[0]);                  \
    }
