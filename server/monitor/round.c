/* round.c - asking the shards, for one connection after the other. Happy path: the first in the queue has its
 * question put to all shards; each answer is added up; with the last one the page is made, or the next
 * question of the same page put. What fails: a shard that does not answer leaves the round open until the
 * connection's time is up (answer_late); answers to rounds that are over are dropped by their number. */
#include <stdlib.h>

#include "base/must.h"
#include "monitor/core.h"

static void ask(struct monitor *m, struct http_conn *c) {
    struct round *r = &m->round;
    must(!r->conn && c->phase == HTTP_ANSWER);
    list_del(&c->waiting);
    r->conn = c;
    r->id++;
    r->missing = m->host.shards == 64 ? UINT64_MAX : ((uint64_t)1 << m->host.shards) - 1;
    r->sum = (struct monitor_counters){0};
    r->no_memory = false;
    for (unsigned s = 0; s < m->host.shards; s++) m->host.ask(m->host.ctx, s, r->id, &c->question);
}

static void forget_entries(struct round *r) {
    free(r->entries);
    r->entries = NULL;
    r->entries_n = 0;
}

static void finish(struct monitor *m) {
    struct http_conn *c = m->round.conn;
    must(c && m->round.missing == 0);
    m->round.conn = NULL;
    if (!m->round.no_memory && answer_again(c))
        list_add_after(&m->waiting, &c->waiting);
    else
        answer_page(c);
    forget_entries(&m->round);
}

/* Not re-entered: answers may come while asking, and connections may leave while pages are made. */
static void run(struct monitor *m) {
    struct round *r = &m->round;
    if (r->running) return;
    r->running = true;
    for (;;) {
        if (r->conn && r->missing == 0)
            finish(m);
        else if (!r->conn && !list_empty(&m->waiting) && m->open)
            ask(m, container_of(m->waiting.next, struct http_conn, waiting));
        else
            break;
    }
    must(r->running);
    r->running = false;
}

void round_queue(struct http_conn *c) {
    must(list_empty(&c->waiting) && c->m->round.conn != c);
    http_await(c);
    list_add_tail(&c->m->waiting, &c->waiting);
    run(c->m);
}

void round_leave(struct http_conn *c) {
    struct round *r = &c->m->round;
    list_del(&c->waiting);
    if (r->conn != c) return;
    r->conn = NULL;
    if (!r->running) forget_entries(r);
    must(!r->running || r->missing);
    run(c->m);
}

static void add_up(struct monitor_counters *sum, const struct monitor_counters *c) {
    sum->connections += c->connections;
    sum->total_connections += c->total_connections;
    sum->subscriptions += c->subscriptions;
    sum->sub_inserts += c->sub_inserts;
    sum->sub_removes += c->sub_removes;
    sum->sub_matches += c->sub_matches;
    sum->sub_cache_hits += c->sub_cache_hits;
    sum->in_msgs += c->in_msgs;
    sum->in_bytes += c->in_bytes;
    sum->out_msgs += c->out_msgs;
    sum->out_bytes += c->out_bytes;
    sum->slow_consumers += c->slow_consumers;
    sum->stale_connections += c->stale_connections;
    sum->streams += c->streams;
    sum->consumers += c->consumers;
    sum->messages += c->messages;
    sum->bytes += c->bytes;
    sum->memory += c->memory;
    sum->storage += c->storage;
    sum->api_total += c->api_total;
    sum->api_errors += c->api_errors;
    sum->logs_failed += c->logs_failed;
    sum->logs_refusing += c->logs_refusing;
    if (c->logs_refusing) memcpy(sum->refusing, c->refusing, sizeof sum->refusing);
}

static void add_entries(struct round *r, struct span entries) {
    const struct monitor_question *q = &r->conn->question;
    size_t size = q->details ? sizeof(struct monitor_conn) : sizeof(uint64_t);
    must(entries.n % size == 0 && entries.n / size <= q->conns_max);
    if (entries.n == 0) return;
    uint8_t *room = realloc(r->entries, r->entries_n + entries.n);
    if (!room) {
        r->no_memory = true;
        return;
    }
    memcpy(room + r->entries_n, entries.p, entries.n);
    r->entries = room;
    r->entries_n += entries.n;
}

void monitor_on_answer(struct monitor *m, unsigned shard, uint64_t id, const struct monitor_counters *c,
                       struct span entries) {
    struct round *r = &m->round;
    must(shard < m->host.shards);
    uint64_t bit = (uint64_t)1 << shard;
    if (id != r->id || !r->conn || !(r->missing & bit)) return;
    r->missing &= ~bit;
    add_up(&r->sum, c);
    add_entries(r, entries);
    run(m);
}
