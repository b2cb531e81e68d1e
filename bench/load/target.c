/* target.c - texts to targets. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "load/work.h"

static bool fail(char *why, size_t room, const char *what, const char *spec) {
    snprintf(why, room, "%s: '%s'", what, spec);
    return false;
}

/* The label is what stands before '=', if nothing of a URL stands in it; else made of the program or host. */
static const char *take_label(struct target *t, const char *spec) {
    size_t n = strcspn(spec, "=:/,@");
    if (spec[n] != '=' || n == 0 || n >= sizeof t->label) return spec;
    memcpy(t->label, spec, n);
    return spec + n + 1;
}

static bool take_options(struct target *t, char *options, char *why, size_t room) {
    for (char *next, *o = options; o && *o; o = next) {
        next = strchr(o, ',');
        if (next) *next++ = 0;
        if (strncmp(o, "sync=", 5) == 0 && t->program[0]) {
            snprintf(t->sync_interval, sizeof t->sync_interval, "%.31s", o + 5);
        } else if (strncmp(o, "mode=", 5) == 0) {
            snprintf(t->mode, sizeof t->mode, "%.63s", o + 5);
        } else {
            return fail(why, room, "not an option of a server", o);
        }
    }
    return true;
}

bool target_parse(struct target *t, const char *spec, char *why, size_t room) {
    memset(t, 0, sizeof *t);
    char text[600];
    const char *rest = take_label(t, spec);
    snprintf(text, sizeof text, "%s", rest);
    char *options = strchr(text, ',');
    if (options) *options++ = 0;
    snprintf(t->url, sizeof t->url, "%.255s", text);
    bool run = strncmp(text, "run:", 4) == 0;
    if (run) snprintf(t->program, sizeof t->program, "%.255s", text + 4);
    if (!take_options(t, options, why, room)) return false;
    if (run) {
        const char *base = strrchr(t->program, '/');
        if (!t->label[0]) snprintf(t->label, sizeof t->label, "%.31s", base ? base + 1 : t->program);
        return access(t->program, X_OK) == 0 || fail(why, room, "not a program that can be run", t->program);
    }
    if (!address_parse(&t->address, text)) return fail(why, room, "not the address of a server", text);
    if (!t->label[0]) snprintf(t->label, sizeof t->label, "%.20s:%u", t->address.host, t->address.port);
    return true;
}
