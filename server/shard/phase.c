/* phase.c - the steps that all shards take together, when the server starts and when it stops.
 *
 * A shard reports that it is done with a step, and shard 0 calls the next when all have. So clients come in
 * only when every shard knows what the others have, and no answer is under way between shards when
 * connections close. When stopping, each step is given step_ns; what is not answered by then was never
 * acknowledged. */
#include <limits.h>

#include "base/must.h"
#include "shard/state.h"
#include "shard/watch.h"

/* How long a step of stopping may take; five seconds in all. */
static const uint64_t step_ns[SHARD_ENDED + 1] = {
    [SHARD_QUIET] = 1000000000u, [SHARD_COMMIT] = 2000000000u, [SHARD_CLOSE] = 2000000000u};

void shard_next_phase(void *ctx, void *arg) {
    struct shard *s = ctx;
    (void)arg;
    must(s->phase < SHARD_ENDED);
    s->phase++;
}

static void server_on_report(void *ctx, void *arg) {
    struct shard *s = ctx;
    (void)arg;
    must(s->self == 0);
    must(s->server->reports < s->server->shards);
    if (++s->server->reports < s->server->shards) return;
    s->server->reports = 0;
    server_call_all(s->server, shard_next_phase, NULL);
}

static void on_applied(struct js_barrier *b) {
    struct shard *s = container_of(b, struct shard, apply);
    must(!s->applied);
    s->applied = true;
}

static void ask_applied(struct shard *s) {
    s->applied = false;
    s->apply.on_done = on_applied;
    barriers_request(&s->barriers, 0, &s->apply);
}

static void enter(struct shard *s) {
    must(s->phase > s->entered || !s->applied);
    s->entered = s->phase;
    s->reported = false;
    s->stop_by_ns = step_ns[s->phase] ? io_now(s->io) + step_ns[s->phase] : UINT64_MAX;
    switch (s->phase) {
    case SHARD_APPLY: ask_applied(s); break;
    case SHARD_SERVING:
        if (s->self == 0) server_open_doors(s->server);
        break;
    case SHARD_QUIET:
        io_timer_cancel(s->io, &s->lame_duck);
        if (s->js) js_shutdown(s->js);
        conns_stop_reading(&s->conns);
        ask_applied(s);
        break;
    case SHARD_CLOSE: conns_close_all(&s->conns, "Server Shutdown"); break;
    case SHARD_NEW:
    case SHARD_COMMIT:
    case SHARD_ENDED: break;
    }
}

static bool is_done(const struct shard *s) {
    switch (s->phase) {
    case SHARD_APPLY:
    case SHARD_QUIET: return s->applied;
    case SHARD_COMMIT: return (!s->js || js_idle(s->js)) && !mail_congested(s->mail, UINT_MAX);
    case SHARD_CLOSE: return conns_count(&s->conns) == 0 && (s->self != 0 || watch_idle(s->server));
    case SHARD_NEW:
    case SHARD_SERVING:
    case SHARD_ENDED: break;
    }
    return false;
}

bool shard_phase_due(const struct shard *s) { return s->entered != s->phase; }

void shard_phase_step(struct shard *s) {
    if (s->entered != s->phase) {
        /* what others sent before they were done comes first, if the log lets it */
        if (mail_waiting(s->mail) && !(s->js && js_brimful(s->js))) return;
        enter(s);
    }
    if (s->reported || (!is_done(s) && io_now(s->io) < s->stop_by_ns)) return;
    s->reported = true;
    s->stop_by_ns = UINT64_MAX;
    if (s->phase == SHARD_APPLY && s->js) js_stats(s->js, &s->recovered);
    if (s->self == 0)
        server_on_report(s, NULL);
    else
        post_call(s->mail, 0, server_on_report, NULL);
}
