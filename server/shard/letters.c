/* letters.c - letters written and read. A routed message has the spans subject, reply, header, payload, to,
 * and behind them the queue groups picked on the other shard. */
#include "shard/letters.h"

#include "base/must.h"

enum { MSG_SPANS = 5, FLAG_NO_ECHO = 1, FLAG_PLAIN = 2 };
enum { FLAG_ADD = 1, FLAG_FULL = 1 };
static_must(MSG_SPANS + ROUTE_PICKS_MAX <= MAIL_SPANS_MAX);

void post_msg(struct mail *m, unsigned to, const struct routed *r) {
    must(r->picks_n <= ROUTE_PICKS_MAX);
    must(r->plain || r->picks_n);
    const struct msg *msg = &r->m.msg;
    struct span spans[MSG_SPANS + ROUTE_PICKS_MAX] = {msg->subject, msg->reply, msg->hdr, msg->payload,
                                                      r->m.to};
    for (size_t i = 0; i < r->picks_n; i++) spans[MSG_SPANS + i] = r->picks[i];
    mail_send(
        m, to,
        &(struct letter){.kind = MAIL_MSG,
                         .flags = (uint8_t)((r->m.no_echo ? FLAG_NO_ECHO : 0) | (r->plain ? FLAG_PLAIN : 0)),
                         .id = r->m.cid,
                         .spans = spans,
                         .spans_n = MSG_SPANS + r->picks_n});
}

void read_msg(const struct letter *l, struct routed *r) {
    must(l->kind == MAIL_MSG);
    must(l->spans_n >= MSG_SPANS);
    *r = (struct routed){
        .m = {.msg = {l->spans[0], l->spans[1], l->spans[2], l->spans[3]},
              .to = l->spans[4],
              .cid = l->id,
              .no_echo = l->flags & FLAG_NO_ECHO},
        .picks = l->spans + MSG_SPANS,
        .picks_n = l->spans_n - MSG_SPANS,
        .plain = l->flags & FLAG_PLAIN,
    };
}

void post_interest(struct mail *m, struct span subject, struct span queue, bool add) {
    must(subject.n > 0);
    struct span spans[] = {subject, queue};
    mail_send_all(m, &(struct letter){
                         .kind = MAIL_INTEREST, .flags = add ? FLAG_ADD : 0, .spans = spans, .spans_n = 2});
}

void post_conn(struct mail *m, unsigned to, int fd, uint64_t cid, bool full) {
    must(fd >= 0);
    mail_send(
        m, to,
        &(struct letter){.kind = MAIL_CONN, .flags = full ? FLAG_FULL : 0, .id = cid, .arg = (uint64_t)fd});
}

void post_move(struct mail *m, unsigned to, const struct conn_move_letter *l) {
    static_must((int)CONN_MOVE_SPANS <= (int)MAIL_SPANS_MAX);
    must(l->cid != 0);
    mail_send(m, to, &(struct letter){MAIL_MOVE, (uint8_t)l->step, l->cid, l->arg, l->spans, l->spans_n});
}

void read_move(const struct letter *l, struct conn_move_letter *out) {
    must(l->kind == MAIL_MOVE);
    must(l->flags <= CONN_MOVE_DROP);
    *out = (struct conn_move_letter){(enum conn_move_step)l->flags, l->id, l->arg, l->spans, l->spans_n};
}

void post_call(struct mail *m, unsigned to, shard_call *fn, void *arg) {
    must(fn != NULL);
    mail_send(m, to, &(struct letter){.kind = MAIL_CALL, .id = (uintptr_t)fn, .arg = (uintptr_t)arg});
}

void read_call(const struct letter *l, void *ctx) {
    must(l->kind == MAIL_CALL);
    shard_call *fn = (shard_call *)(uintptr_t)l->id;
    must(fn != NULL);
    fn(ctx, (void *)(uintptr_t)l->arg);
}

void post_ask(struct mail *m, unsigned to, uint64_t id, struct span question) {
    must(question.n > 0);
    mail_send(m, to, &(struct letter){.kind = MAIL_ASK, .id = id, .spans = &question, .spans_n = 1});
}

struct span read_ask(const struct letter *l) {
    must(l->kind == MAIL_ASK && l->spans_n == 1);
    return l->spans[0];
}

void post_answer(struct mail *m, uint64_t id, struct span counters, struct span entries) {
    const struct span spans[] = {counters, entries};
    must(counters.n > 0);
    mail_send(m, 0, &(struct letter){.kind = MAIL_ANSWER, .id = id, .spans = spans, .spans_n = 2});
}

void read_answer(const struct letter *l, struct span *counters, struct span *entries) {
    must(l->kind == MAIL_ANSWER && l->spans_n == 2);
    *counters = l->spans[0];
    *entries = l->spans[1];
}
