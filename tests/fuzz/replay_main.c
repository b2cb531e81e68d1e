/* replay_main.c - runs a fuzz target over files instead of under libFuzzer: every file of the folders named,
 * in order of name. A finding aborts; the last line is "N passed". No file at all is a failure, so that a
 * lost corpus is seen. */
#include <dirent.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is at hand when it aborts; the sanitizers are told to abort too. */
static char current[4096];

static void on_abort(int sig) {
    ssize_t ignored = write(2, current, strlen(current));
    ignored += write(2, ": this file\n", 12);
    (void)ignored;
    signal(sig, SIG_DFL);
}

const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "abort_on_error=1"; }
const char *__ubsan_default_options(void);
const char *__ubsan_default_options(void) { return "abort_on_error=1"; }

static int visible(const struct dirent *e) { return e->d_name[0] != '.'; }

/* A buffer of exactly the file's size, so that the sanitizer sees any look beyond it. */
static int run_file(const char *path) {
    FILE *f = fopen(path, "rb");
    long size = f && fseek(f, 0, SEEK_END) == 0 ? ftell(f) : -1;
    if (size < 0 || fseek(f, 0, SEEK_SET) != 0) return 0;
    uint8_t *data = malloc(size ? (size_t)size : 1);
    if (!data || fread(data, 1, (size_t)size, f) != (size_t)size) return 0;
    fclose(f);
    LLVMFuzzerTestOneInput(data, (size_t)size);
    free(data);
    return 1;
}

int main(int argc, char **argv) {
    int passed = 0;
    signal(SIGABRT, on_abort);
    for (int i = 1; i < argc; i++) {
        struct dirent **names;
        int n = scandir(argv[i], &names, visible, alphasort);
        for (int k = 0; k < n; k++) {
            snprintf(current, sizeof current, "%s/%s", argv[i], names[k]->d_name);
            if (!run_file(current)) {
                fprintf(stderr, "%s cannot be read\n", current);
                return 1;
            }
            free(names[k]);
            passed++;
        }
        if (n >= 0) free(names);
    }
    printf("%d passed\n", passed);
    return passed == 0;
}
