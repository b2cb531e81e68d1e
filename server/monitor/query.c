/* query.c - see query.h. A pair whose %xx is malformed is skipped, as Go's url.ParseQuery does. */
#include "monitor/query.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/must.h"

static int hex(uint8_t c) {
    if (c >= '0' && c <= '9') return c - '0';
    if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') return (c | 0x20) - 'a' + 10;
    return -1;
}

/* False: malformed. NUL bytes end the text for its reader, which is as good as any other wrong value. */
static bool decode(struct span s, char *out, size_t room) {
    size_t n = 0;
    must(room > 0);
    for (size_t i = 0; i < s.n; i++) {
        int c = s.p[i];
        if (c == '%') {
            if (i + 2 >= s.n || hex(s.p[i + 1]) < 0 || hex(s.p[i + 2]) < 0) return false;
            c = hex(s.p[i + 1]) * 16 + hex(s.p[i + 2]);
            i += 2;
        } else if (c == '+') {
            c = ' ';
        }
        if (n + 1 < room) out[n++] = (char)c;
    }
    must(n < room);
    out[n] = '\0';
    return true;
}

static struct span cut(struct span *rest, char at) {
    const uint8_t *end = rest->n ? memchr(rest->p, at, rest->n) : NULL;
    struct span head = end ? span_of(rest->p, (size_t)(end - rest->p)) : *rest;
    *rest = end ? span_skip(*rest, head.n + 1) : SPAN_EMPTY;
    return head;
}

void query_text(const struct query *q, const char *name, char out[QUERY_VALUE_MAX]) {
    char key[64];
    must(name[0] != '\0' && strlen(name) < sizeof key - 1);
    for (struct span rest = q->text; rest.n;) {
        struct span value = cut(&rest, '&'), k = cut(&value, '=');
        if (!decode(k, key, sizeof key) || strcmp(key, name) != 0) continue;
        if (decode(value, out, QUERY_VALUE_MAX)) return;
    }
    out[0] = '\0';
}

void query_quote(char *out, size_t room, const char *value) {
    size_t n = 0;
    must(room > 8);
    out[n++] = '"';
    for (const char *c = value; *c && n + 6 < room; c++) {
        if (*c == '"' || *c == '\\')
            n += (size_t)snprintf(out + n, room - n, "\\%c", *c);
        else if (*c >= 0x20 && *c < 0x7f)
            out[n++] = *c;
        else
            n += (size_t)snprintf(out + n, room - n, "\\x%02x", (unsigned)(unsigned char)*c);
    }
    out[n++] = '"';
    out[n] = '\0';
    must(n < room);
}

static void complain(struct query *q, const char *type, const char *name, const char *func, const char *value,
                     const char *what) {
    char quoted[QUERY_VALUE_MAX * 4 + 8];
    must(strlen(name) < 64);
    if (q->error[0]) return;
    query_quote(quoted, sizeof quoted, value);
    snprintf(q->error, sizeof q->error, "Error decoding %s for '%s': strconv.%s: parsing %s: %s", type, name,
             func, quoted, what);
}

bool query_bool(struct query *q, const char *name, bool otherwise) {
    static const char *const yes[] = {"1", "t", "T", "TRUE", "true", "True"};
    static const char *const no[] = {"0", "f", "F", "FALSE", "false", "False"};
    char value[QUERY_VALUE_MAX];
    query_text(q, name, value);
    if (value[0] == '\0') return otherwise;
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
        if (strcmp(value, yes[i]) == 0) return true;
        if (strcmp(value, no[i]) == 0) return false;
    }
    complain(q, "boolean", name, "ParseBool", value, "invalid syntax");
    return otherwise;
}

static bool is_number(struct span s) {
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') return false;
    }
    return s.n > 0;
}

static bool read_number(struct query *q, const char *type, const char *name, const char *func, uint64_t max,
                        bool is_signed, uint64_t *n, bool *negative) {
    char value[QUERY_VALUE_MAX];
    query_text(q, name, value);
    *negative = is_signed && value[0] == '-';
    struct span digits = span_str(value + (is_signed && (value[0] == '-' || value[0] == '+')));
    if (value[0] == '\0') return false;
    if (get_u64(digits, n) && *n <= max) return true;
    must(!q->error[0] || strncmp(q->error, "Error ", 6) == 0);
    complain(q, type, name, func, value, is_number(digits) ? "value out of range" : "invalid syntax");
    return false;
}

int64_t query_int(struct query *q, const char *name, int64_t otherwise) {
    uint64_t n;
    bool negative;
    if (!read_number(q, "int", name, "Atoi", INT64_MAX, true, &n, &negative)) return otherwise;
    must(n <= INT64_MAX);
    return negative ? -(int64_t)n : (int64_t)n;
}

uint64_t query_u64(struct query *q, const char *name, uint64_t otherwise) {
    uint64_t n;
    bool negative;
    return read_number(q, "uint64", name, "ParseUint", UINT64_MAX, false, &n, &negative) ? n : otherwise;
}
