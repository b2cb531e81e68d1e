/* connect.h - the options a client states in CONNECT. Unknown fields are ignored, names match without regard
 * to case, null changes nothing, a value of the wrong type or malformed json is refused: then the connection
 * closes without a word.
 *
 * A further CONNECT is parsed into the same struct: what it does not name keeps its value, as in nats-server.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

enum { CONNECT_DEPTH_MAX = 32 };

struct connect_opts {
    bool verbose, pedantic, echo; /* true unless stated */
    bool tls_required, headers, no_responders, new_account;
    int64_t protocol; /* 0 or 1; others are "invalid client protocol" */
    /* Valid UTF-8, possibly empty, valid until the next connect_parse or connect_deinit. */
    struct span user, pass, auth_token, nkey, jwt, sig, name, lang, version, account, proxy_sig;
    void *mem; /* the strings' bytes */
};

void connect_init(struct connect_opts *o);
/* False: refused (malformed, wrong type, nested too deep, no memory); the options are unchanged. */
bool connect_parse(struct connect_opts *o, struct span json);
void connect_deinit(struct connect_opts *o);
