/* special.c - messages that the server has something to do with beside routing them: who a client is, as the
 * nats tool asks, and traces. Off the data path, but for the look that finds them.
 *
 * What fails is memory for an answer: the client's request times out. */
#include <stdlib.h>
#include <strings.h>

#include "base/header.h"
#include "base/must.h"
#include "conn/state.h"
#include "wire/json.h"

/* matches nats-server: with a destination for its trace, such a message only asks what would become of it.
 * There are no traces here, so nothing becomes of it; storing or delivering it would be worse. */
bool conn_is_trace_only(struct span hdr) {
    static const char *const yes[] = {"true", "1", "on"};
    struct span only, dest;
    must(hdr.n > 0);
    if (!header_get(hdr, SPAN_LIT("Nats-Trace-Only"), &only)) return false;
    if (!header_get(hdr, SPAN_LIT("Nats-Trace-Dest"), &dest) || dest.n == 0) return false;
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        if (only.n == strlen(yes[i]) && strncasecmp((const char *)only.p, yes[i], only.n) == 0) return true;
    return false;
}

static bool user_info_put(const struct conn *c, yyjson_mut_doc *d) {
    const struct conn_server *sv = c->cs->server;
    yyjson_mut_val *root = yyjson_mut_obj(d), *server, *data;
    yyjson_mut_doc_set_root(d, root);
    must(sv->server_id && sv->server_name && sv->version);
    server = yyjson_mut_obj_add_obj(d, root, "server");
    data = yyjson_mut_obj_add_obj(d, root, "data");
    return server && data && yyjson_mut_obj_add_str(d, server, "name", sv->server_name) &&
           yyjson_mut_obj_add_str(d, server, "host", sv->host) &&
           yyjson_mut_obj_add_str(d, server, "id", sv->server_id) &&
           yyjson_mut_obj_add_str(d, server, "ver", sv->version) &&
           yyjson_mut_obj_add_bool(d, server, "jetstream", sv->jetstream) &&
           json_add_time(d, server, "time", io_wall(c->cs->io)) &&
           yyjson_mut_obj_add_str(d, data, "user", "") && yyjson_mut_obj_add_str(d, data, "account", "$G") &&
           yyjson_mut_obj_add_str(d, data, "account_name", "$G");
}

bool conn_user_info(struct conn *c, const struct msg *m) {
    if (m->reply.n == 0 || !span_eq(m->subject, SPAN_LIT("$SYS.REQ.USER.INFO"))) return false;
    must(c->phase == CONN_OPEN);
    yyjson_mut_doc *d = yyjson_mut_doc_new(NULL);
    size_t n = 0;
    char *text = d && user_info_put(c, d) ? yyjson_mut_write(d, 0, &n) : NULL;
    struct route_msg answer = {.msg = {.subject = m->reply, .payload = span_of(text, n)}};
    if (text) (void)route_publish(c->cs->route, &answer);
    free(text);
    yyjson_mut_doc_free(d);
    return true;
}
