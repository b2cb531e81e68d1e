/* connect.c - CONNECT: what the client says of itself, whether it may come in, and what follows from its
 * options.
 *
 * What fails: json that cannot be read closes without a word; everything else has its text. A further CONNECT
 * is taken like the first, and drops the subscriptions made before it, as in nats-server. */
#include "conn/state.h"

#include "base/must.h"

static void refuse(struct conn *c, const char *text, const char *log, const char *reason) {
    must(text && log && reason);
    conn_err(c, text);
    conn_log(c, LOG_ERROR, "%s", log);
    conn_close(c, reason, true);
}

static bool authorized(const struct conn *c) {
    const struct conns *cs = c->cs;
    if (c->opts.new_account || c->opts.account.n) return false; /* accounts are not for clients to name */
    return !cs->authorize || cs->authorize(cs->ctx, &c->opts);
}

void conn_connect(struct conn *c, struct span json) {
    must(c->phase == CONN_OPEN);
    if (c->trace) conn_trace_connect(c, json);
    if (!connect_parse(&c->opts, json)) {
        conn_log(c, LOG_ERROR, "CONNECT that is not readable");
        conn_close(c, "Protocol Violation", true);
        return;
    }
    bool first = !c->connected;
    c->connected = true;
    c->heard_ns = io_now(c->cs->io);
    c->headers = c->opts.headers && !c->cs->limits->no_headers;
    c->parser.headers = c->headers;
    if (!first) conn_drop_subs(c);
    if (!authorized(c)) {
        refuse(c, "Authorization Violation", "authentication error", "Authentication Failure");
        return;
    }
    c->parser.auth_pending = false;
    if (c->opts.protocol < 0 || c->opts.protocol > 1) {
        refuse(c, "invalid client protocol", "invalid client protocol", "Bad Client Protocol Version");
        return;
    }
    if (c->opts.no_responders && !c->headers) {
        refuse(c, "no responders requires headers support", "no responders requires headers support",
               "No Responders Requires Headers");
        return;
    }
    conn_arm_first(c);
    if (c->opts.verbose) conn_ok(c);
}
