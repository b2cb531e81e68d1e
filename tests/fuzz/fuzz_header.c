/* fuzz_header.c - header blocks of any bytes. Walking, finding and building must agree: in a valid block
 * every key is found with its first value, and the lines copied into a new block are the same bytes. */
#include <stdlib.h>

#include "base/must.h"
#include "wire/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool inside(struct span s, struct span block) {
    return s.n == 0 || (s.p >= block.p && s.p + s.n <= block.p + block.n);
}

static void check_lookup(struct span block, struct span key, struct span value) {
    struct span found;
    if (key.n == 0 || memchr(key.p, '\r', key.n) || memchr(key.p, '\n', key.n)) return;
    must(header_get(block, key, &found));
    must(inside(found, block));
    must(found.p <= value.p); /* the first one counts, and this one at the latest */
    if (found.p == value.p) must(found.n == value.n);
}

static void check_copy(struct span block) {
    int code;
    struct span text;
    struct header_buf b;
    uint8_t *out = malloc(block.n);
    if (header_status(block, &code, &text) || block.n < 10 || block.p[8] != '\r') {
        free(out);
        return;
    }
    header_begin(&b, out, block.n, 0, SPAN_EMPTY);
    header_add_all(&b, block, NULL, 0);
    must(header_end(&b) == block.n);
    must(memcmp(out, block.p, block.n) == 0);
    header_begin(&b, out, block.n - 1, 0, SPAN_EMPTY);
    header_add_all(&b, block, NULL, 0);
    must(header_end(&b) == 0);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct span block = span_of(data, size), key, value;
    struct header_iter it;
    bool valid = header_valid(block);
    size_t lines = 0;
    header_iter_init(&it, block);
    while (header_next(&it, &key, &value)) {
        must(inside(key, block));
        must(inside(value, block));
        if (lines++ < 64) check_lookup(block, key, value);
    }
    must(lines <= size);
    int code;
    if (header_status(block, &code, &value)) must(code >= 0 && code <= 999 && inside(value, block));
    if (valid) check_copy(block);
    return 0;
}
