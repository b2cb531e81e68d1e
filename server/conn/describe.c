/* describe.c - connections as monitoring shows them. Off the data path; nothing is kept. */
#include "base/must.h"
#include "conn/state.h"

static struct conn_info info_of(const struct conn *c) {
    must(c->phase == CONN_OPEN && c->cid != 0);
    return (struct conn_info){.cid = c->cid,
                              .opened_ns = c->opened_ns,
                              .heard_ns = c->heard_ns,
                              .in_msgs = c->in_msgs,
                              .in_bytes = c->in_bytes,
                              .out_msgs = c->out_msgs,
                              .out_bytes = c->out_bytes,
                              .pending_bytes = c->out.pending,
                              .subscriptions = c->subs.count,
                              .peer = c->peer,
                              .port = c->port,
                              .name = c->opts.name,
                              .lang = c->opts.lang,
                              .version = c->opts.version};
}

void conns_each(const struct conns *cs, bool (*fn)(void *ctx, const struct conn_info *info), void *ctx) {
    must(fn != NULL);
    for (const struct list *at = cs->all.next; at != &cs->all; at = at->next) {
        const struct conn *c = container_of(at, struct conn, all);
        if (c->phase != CONN_OPEN || c->moving == MOVE_ARRIVING) continue; /* its old shard shows it */
        struct conn_info info = info_of(c);
        if (!fn(ctx, &info)) return;
    }
}
