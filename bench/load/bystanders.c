/* bystanders.c - see bystanders.h. The idle stand first in the list, the stalled behind them. */
#include "load/bystanders.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"
#include "host/clock.h"

static bool answers(struct run *r, struct conn *c) {
    uint64_t until = now_ns() + 10 * NS_PER_S, pongs = c->pongs + 1;
    conn_put_text(c, "PING\r\n");
    while (c->pongs < pongs) {
        if (conn_flush(c) && conn_wait(c, until) && conn_read(c, NULL, NULL)) continue;
        snprintf(r->why, sizeof r->why, "a connection that did nothing is not served any more: %.150s",
                 c->error[0] ? c->error : "no answer to PING");
        return false;
    }
    return true;
}

bool bystanders_open(struct run *r) {
    const struct work *w = r->work;
    uint32_t all = w->idle + w->stalled;
    if (all == 0) return true;
    must(w->stalled == 0 || w->kind == WORK_CORE);
    r->bystanders = calloc(all, sizeof *r->bystanders);
    must(r->bystanders);
    for (uint32_t i = 0; i < all; i++) r->bystanders[i].fd = -1;
    for (uint32_t i = 0; i < all; i++) {
        struct conn *c = &r->bystanders[i];
        r->bystanders_n = i + 1;
        bool ok = conn_open(c, &r->target->address);
        if (!ok) snprintf(r->why, sizeof r->why, "connection %u of %u: %.180s", i + 1, all, c->error);
        if (ok && i >= w->idle)
            conn_put_text(c, w->subjects > 1 ? "SUB mrb.core.* 1\r\n" : "SUB mrb.core 1\r\n");
        if (!ok || (i >= w->idle && !answers(r, c))) return false;
    }
    return true;
}

bool bystanders_check(struct run *r) {
    for (uint32_t i = 0; i < r->work->idle; i++) {
        if (!answers(r, &r->bystanders[i])) return false;
    }
    return true;
}

void bystanders_close(struct run *r) {
    for (uint32_t i = 0; i < r->bystanders_n; i++) conn_close(&r->bystanders[i]);
    free(r->bystanders);
    r->bystanders = NULL;
    r->bystanders_n = 0;
}
