/* errors.c - see errors.h. */
#include "jetstream/errors.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/must.h"

static const struct {
    uint32_t err_code, code;
    const char *text;
} codes[JS_CODE_COUNT] = {
#define X(name, err_code, code, text) [JS_##name] = {err_code, code, text},
    JS_CODE_LIST(X)
#undef X
};

bool js_fail(struct js_error *e, enum js_code code, const char *arg) {
    must(code > JS_OK && code < JS_CODE_COUNT);
    e->code = code;
    const char *text = codes[code].text, *hole = strstr(text, "%s");
    if (hole)
        (void)snprintf(e->text, sizeof e->text, "%.*s%s%s", (int)(hole - text), text, arg ? arg : "",
                       hole + 2);
    else
        (void)snprintf(e->text, sizeof e->text, "%s", text);
    return false;
}

bool js_failf(struct js_error *e, enum js_code code, const char *fmt, ...) {
    char arg[480];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(arg, sizeof arg, fmt, args);
    va_end(args);
    return js_fail(e, code, arg);
}

bool js_fail_u64(struct js_error *e, enum js_code code, uint64_t n) {
    return js_failf(e, code, "%llu", (unsigned long long)n);
}

uint32_t js_err_code(enum js_code code) {
    must(code < JS_CODE_COUNT);
    return codes[code].err_code;
}

void js_error_put(struct text *t, const struct js_error *e) {
    must(e->code > JS_OK && e->code < JS_CODE_COUNT);
    text_lit(t, "{");
    text_key_u64(t, "code", codes[e->code].code);
    text_key_u64(t, "err_code", codes[e->code].err_code);
    text_key_str(t, "description", span_str(e->text));
    text_lit(t, "}");
}
