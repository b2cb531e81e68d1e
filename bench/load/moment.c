/* moment.c - samples of server and machine around what is measured, and what lies between two of them. */
#include "base/must.h"
#include "host/clock.h"
#include "load/run.h"

struct moment moment_take(const struct target *t, const struct run_control *control) {
    struct moment m = {.at_ns = now_ns(), .own_cpu_ns = own_cpu_ns()};
    m.server = proc_sample(t->pid);
    m.machine = machine_sample(control->machine);
    return m;
}

void outcome_cost(struct outcome *o, const struct run_control *control, const struct moment *from,
                  const struct moment *to) {
    must(from->at_ns <= to->at_ns);
    o->server_seen = from->server.valid && to->server.valid;
    if (o->server_seen) {
        o->server_cpu_ns = (double)proc_cpu_ns(&from->server, &to->server);
        o->rss_max_bytes = to->server.rss_max_bytes;
        o->written_bytes = to->server.written_bytes - from->server.written_bytes;
        o->switches = to->server.switches - from->server.switches;
    }
    o->own_cpu_ns = (double)(to->own_cpu_ns - from->own_cpu_ns);
    o->machine_busy_ns = (to->machine.busy_s - from->machine.busy_s) * 1e9;
    double wall = (double)(to->at_ns - from->at_ns) / 1e9 * control->machine->cores;
    o->steal = wall > 0 ? (to->machine.steal_s - from->machine.steal_s) / wall : 0;
    o->disk_writes = to->machine.disk_writes - from->machine.disk_writes;
    o->disk_flushes = to->machine.disk_flushes - from->machine.disk_flushes;
    o->load = machine_load();
}
