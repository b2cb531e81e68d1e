/* logline.c - a connection's log lines, worded as nats-server words them, since operators and tools search
 * for them: `127.0.0.1:4000 - cid:7 - "v1.2:go:name" - text`. What a client sends is quoted and cut, and what
 * looks like a secret in CONNECT is not written. Off the data path: callers ask c->trace before they trace.
 */
#include "conn/state.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/must.h"

enum { NAME_SHOWN = 256, TEXT_MAX = 1024 };

/* --- quoting --- */

/* Length of the valid UTF-8 sequence at p, 0 if there is none. */
static size_t utf8_at(const uint8_t *p, size_t n) {
    must(n > 0);
    uint8_t c = p[0];
    size_t k = c < 0x80                ? 1
               : c >= 0xc2 && c < 0xe0 ? 2
               : c >= 0xe0 && c < 0xf0 ? 3
               : c >= 0xf0 && c < 0xf5 ? 4
                                       : 0;
    if (k == 0 || k > n) return 0;
    for (size_t i = 1; i < k; i++) {
        if ((p[i] & 0xc0) != 0x80) return 0;
    }
    if ((c == 0xe0 && p[1] < 0xa0) || (c == 0xed && p[1] > 0x9f)) return 0;
    if ((c == 0xf0 && p[1] < 0x90) || (c == 0xf4 && p[1] > 0x8f)) return 0;
    return k;
}

/* One character of s as Go's %q shows it, into out (room for 5 bytes); *used bytes of s. */
static size_t quote_one(char *out, const uint8_t *p, size_t n, size_t *used) {
    static const char from[] = "\a\b\f\n\r\t\v\\\"", to[] = "abfnrtv\\\"";
    const char *hit = p[0] ? strchr(from, p[0]) : NULL;
    size_t k = utf8_at(p, n);
    *used = k ? k : 1;
    if (hit) {
        out[0] = '\\';
        out[1] = to[hit - from];
        return 2;
    }
    if (k > 1 || (k == 1 && p[0] >= ' ' && p[0] != 0x7f)) {
        memcpy(out, p, k);
        return k;
    }
    snprintf(out, 5, "\\x%02x", p[0]);
    return 4;
}

char *quote(char *out, size_t room, struct span s) {
    size_t n = 0;
    must(room >= 16);
    out[n++] = '"';
    while (s.n > 0) {
        char one[8];
        size_t used, k = quote_one(one, s.p, s.n, &used);
        if (n + k + 5 > room) {
            memcpy(out + n, "...", 3);
            n += 3;
            break;
        }
        memcpy(out + n, one, k);
        n += k;
        s = span_skip(s, used);
    }
    out[n++] = '"';
    out[n] = '\0';
    return out;
}

/* --- redaction --- */

static bool is_blank(uint8_t c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }
static bool is_word(uint8_t c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* Does s start with a key that holds a secret? Its length then, with the rest of a longer key as `password`.
 */
static size_t secret_key(struct span s, bool at_word) {
    static const char *const prefixes[] = {"auth_token", "pass"}, *const whole[] = {"proxy_sig", "nkey",
                                                                                    "sig", "jwt"};
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        size_t n = strlen(prefixes[i]);
        if (!span_starts(s, span_of(prefixes[i], n))) continue;
        while (n < s.n && is_word(s.p[n])) n++;
        return n;
    }
    for (size_t i = 0; at_word && i < sizeof whole / sizeof whole[0]; i++) {
        size_t n = strlen(whole[i]);
        if (span_starts(s, span_of(whole[i], n)) && (s.n == n || !is_word(s.p[n]))) return n;
    }
    return 0;
}

/* From behind a key to its value: over a quote, blanks, colon or equals sign, blanks, a quote. 0: no value
 * follows. */
static size_t to_value(struct span s) {
    size_t i = 0;
    if (i < s.n && s.p[i] == '"') i++;
    while (i < s.n && is_blank(s.p[i])) i++;
    if (i == s.n || (s.p[i] != ':' && s.p[i] != '=')) return 0;
    for (i++; i < s.n && is_blank(s.p[i]);) i++;
    if (i < s.n && s.p[i] == '"') i++;
    return i;
}

/* Up to the end of a string, escapes and all, or of a bare value. */
static size_t value_length(struct span s, bool quoted) {
    size_t i = 0;
    for (; i < s.n; i++) {
        uint8_t c = s.p[i];
        if (quoted && c == '\\') {
            i++;
        } else if (c == '"' || c == '\r' || c == '\n' || (!quoted && (c == ',' || c == '}'))) {
            break;
        }
    }
    return i < s.n ? i : s.n;
}

size_t redact(char *out, size_t room, struct span json) {
    must(out != NULL && room > 16);
    static const char hidden[] = "[REDACTED]";
    size_t n = 0;
    bool at_word = true;
    while (json.n > 0 && n + sizeof hidden < room) {
        size_t key = secret_key(json, at_word), skip = key ? to_value(span_skip(json, key)) : 0;
        size_t head = key && skip ? key + skip : 1;
        at_word = !is_word(json.p[0]);
        if (n + head + sizeof hidden >= room) break;
        memcpy(out + n, json.p, head);
        n += head;
        bool quoted = json.p[head - 1] == '"';
        json = span_skip(json, head);
        if (head == 1) continue;
        memcpy(out + n, hidden, sizeof hidden - 1);
        n += sizeof hidden - 1;
        json = span_skip(json, value_length(json, quoted));
    }
    must(n < room);
    return n;
}

/* --- lines --- */

/* ` - "v1.2:go:name"` and ` - "$G/user:name"`, as far as the client said so. */
static void put_who(char *out, size_t room, const struct conn *c) {
    must(room > 0);
    char raw[NAME_SHOWN], quoted[2 * NAME_SHOWN];
    struct span parts[] = {c->opts.version, c->opts.lang, c->opts.name};
    size_t n = 0;
    out[0] = '\0';
    if (!c->connected) return;
    for (size_t i = 0; i < 3; i++) {
        if (parts[i].n == 0) continue;
        n += (size_t)snprintf(raw + n, sizeof raw - n, "%s%s%.*s", n ? ":" : "", i == 0 ? "v" : "",
                              (int)(parts[i].n < 80 ? parts[i].n : 80), (const char *)parts[i].p);
    }
    size_t used = 0;
    if (n) used = (size_t)snprintf(out, room, " - %s", quote(quoted, sizeof quoted, span_of(raw, n)));
    if (c->opts.user.n == 0) return;
    n = (size_t)snprintf(raw, sizeof raw, "$G/user:%.*s", (int)(c->opts.user.n < 80 ? c->opts.user.n : 80),
                         (const char *)c->opts.user.p);
    snprintf(out + used, room - used, " - %s", quote(quoted, sizeof quoted, span_of(raw, n)));
}

void conn_log(const struct conn *c, enum log_level level, const char *fmt, ...) {
    char who[1100], text[TEXT_MAX];
    va_list args;
    if (!log_on(c->cs->log, level)) return;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    put_who(who, sizeof who, c);
    bool v6 = strchr(c->peer, ':') != NULL;
    log_line(c->cs->log, level, "%s%s%s:%u - cid:%llu%s - %s", v6 ? "[" : "", c->peer, v6 ? "]" : "", c->port,
             (unsigned long long)c->cid, who, text);
}

void conn_trace(const struct conn *c, const char *arrow, const char *op, const struct span *words,
                size_t count) {
    must(arrow && op);
    char text[TEXT_MAX];
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (words[i].n == 0) continue;
        size_t k = words[i].n < sizeof text - n - 2 ? words[i].n : sizeof text - n - 2;
        text[n++] = ' ';
        memcpy(text + n, words[i].p, k);
        n += k;
        if (n + 2 >= sizeof text) break;
    }
    conn_log(c, LOG_TRACE, "%s [%s%.*s]", arrow, op, (int)n, text);
}

void conn_trace_payload(const struct conn *c, const char *arrow, const struct msg *m, bool headers) {
    char text[TEXT_MAX], raw[TEXT_MAX];
    struct span hdr = headers ? m->hdr : SPAN_EMPTY;
    size_t h = hdr.n < sizeof raw ? hdr.n : sizeof raw;
    size_t k = m->payload.n < sizeof raw - h ? m->payload.n : sizeof raw - h;
    if (h + k == 0) return;
    if (h) memcpy(raw, hdr.p, h);
    if (k) memcpy(raw + h, m->payload.p, k);
    conn_log(c, LOG_TRACE, "%s MSG_PAYLOAD: [%s]", arrow, quote(text, sizeof text - 64, span_of(raw, h + k)));
}

void conn_trace_connect(const struct conn *c, struct span json) {
    char text[TEXT_MAX];
    struct span words = span_of(text, redact(text, sizeof text, json));
    conn_trace(c, "<<-", "CONNECT", &words, 1);
}
