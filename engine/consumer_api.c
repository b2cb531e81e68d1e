/* consumer_api.c - consumers through the public interface: made, changed, deleted, found.
 *
 * A consumer of a memory stream, and an ephemeral one in memory, has no records. An update is applied at
 * once; its full record follows with the turn's progress. */
#include "engine.h"

#include "base/must.h"

static bool keeps_records(const struct mr_stream *s, const struct mr_consumer_config *cfg) {
    must(!s->deleted);
    return s->log && (cfg->durable || !cfg->mem_storage);
}

enum mr_status mr_consumer_create(struct mr_stream *s, const struct mr_consumer_config *cfg, int64_t now,
                                  struct mr_consumer **consumer) {
    must(consumer != NULL);
    must(!s->deleted);
    *consumer = NULL;
    if (!cfg || cfg->size < offsetof(struct mr_consumer_config, extra) + sizeof cfg->extra) return MR_INVAL;
    if (cfg->name.n == 0 || cfg->name.n > CONF_NAME_MAX) return MR_INVAL;
    if (mrc_find(s, span_of_bytes(cfg->name))) return MR_EXISTS;
    int64_t max = s->st.conf.c.max_consumers;
    if (max > 0 && s->consumers_count >= (uint64_t)max) return MR_LIMIT;
    enum mr_status may = mrs_may_consume(s, cfg);
    if (may != MR_OK) return may;
    struct mr_consumer *c = mrc_make(s, span_of_bytes(cfg->name));
    if (!c) return MR_NOMEM;
    c->logged = keeps_records(s, cfg);
    enum err e = consumer_init(&c->c, &s->st, cfg, now);
    if (!e && c->logged) e = mrc_log_full(c);
    if (e) {
        mrc_drop(c);
        return status_of(e);
    }
    *consumer = c;
    return MR_OK;
}

enum mr_status mr_consumer_update(struct mr_consumer *c, const struct mr_consumer_config *cfg, int64_t now) {
    must(!c->s->deleted);
    if (c->logged && c->s->log->failed) return MR_FAILED;
    enum err e = consumer_update(&c->c, cfg, now);
    if (e) return status_of(e);
    if (c->logged) mrc_owe_full(c);
    mrc_matches_others(c);
    mrc_touched(c);
    mrc_wake_if_ready(c, now);
    return MR_OK;
}

enum mr_status mr_consumer_delete(struct mr_consumer *c) {
    must(mrc_find(c->s, c->name) == c);
    struct mr_stream *s = c->s;
    must(!s->deleted);
    if (c->logged) {
        enum err e = mrc_log_gone(c);
        if (e) return status_of(e);
        s->log->gone = true;
    }
    mrc_release(c);
    mrc_drop(c);
    return MR_OK;
}

struct mr_consumer *mr_consumer_find(struct mr_stream *s, struct mr_bytes name) {
    return mrc_find(s, span_of_bytes(name));
}

struct mr_consumer *mr_consumer_after(struct mr_stream *s, struct mr_consumer *after) {
    must(!after || after->s == s);
    must(!s->deleted);
    struct list *next = after ? after->link.next : s->consumers.next;
    return next == &s->consumers ? NULL : container_of(next, struct mr_consumer, link);
}

const struct mr_consumer_config *mr_consumer_config(const struct mr_consumer *c) { return &c->c.conf.c; }
void mr_consumer_set_user(struct mr_consumer *c, void *user) { c->user = user; }
void *mr_consumer_user(const struct mr_consumer *c) { return c->user; }
struct mr_stream *mr_consumer_stream(const struct mr_consumer *c) {
    return c->s;
}

void mr_consumer_state(const struct mr_consumer *c, struct mr_consumer_state *out) {
    consumer_state((struct consumer *)&c->c, out);
}
