// store.cc - see store.h.
#include "store.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace {

void must_be_ok(mr_status s, const char *what) {
    if (s == MR_OK) return;
    std::fprintf(stderr, "%s: %s\n", what, mr_status_text(s));
    std::exit(1);
}

mr_bytes bytes(const char *s) { return {reinterpret_cast<const uint8_t *>(s), std::strlen(s)}; }

int64_t wall() {
    timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return int64_t(t.tv_sec) * 1000000000 + t.tv_nsec;
}

constexpr int64_t wait_ns = 100 * 1000 * 1000;

} // namespace

void Store::on_done(void *ctx, const mr_done *done, size_t count) {
    auto *self = static_cast<Store *>(ctx);
    for (size_t i = 0; i < count; i++) must_be_ok(done[i].status, "append");
    self->told_ += count;
}

Store::Store(const Options &o) : payload_(65536, 'x') {
    mr_env_config env{};
    env.size = sizeof env;
    env.path = o.memory ? nullptr : o.path.c_str();
    env.shards = 1;
    must_be_ok(mr_env_open(&env, &env_), "mr_env_open");
    mr_host host{};
    host.ctx = this;
    host.on_done = on_done;
    host.on_ready = [](void *, mr_consumer *) {};
    must_be_ok(mr_shard_open(env_, 0, nullptr, &host, &shard_), "mr_shard_open");
    const mr_bytes subject = bytes("orders.>");
    struct mr_stream_config s {};
    s.size = sizeof s;
    s.name = bytes("ORDERS");
    s.subjects = &subject;
    s.subjects_count = 1;
    s.storage = o.memory ? MR_MEMORY : MR_FILE;
    s.max_msgs = o.max_msgs;
    s.max_bytes = s.max_msg_size = s.max_msgs_per_subject = s.max_consumers = -1;
    stream_ = mr_stream_find(shard_, s.name);
    if (!stream_) must_be_ok(mr_stream_create(shard_, &s, wall(), &stream_), "mr_stream_create");
    struct mr_consumer_config c {};
    c.size = sizeof c;
    c.name = bytes("worker");
    c.durable = true;
    c.ack = MR_ACK_EXPLICIT;
    c.ack_wait_ns = int64_t(30) * 1000000000;
    c.max_deliver = c.max_ack_pending = -1;
    consumer_ = mr_consumer_find(stream_, c.name);
    if (!consumer_) must_be_ok(mr_consumer_create(stream_, &c, wall(), &consumer_), "mr_consumer_create");
}

Store::~Store() {
    mr_shard_close(shard_);
    mr_env_close(env_);
}

void Store::run() { mr_shard_run(shard_, wait_ns); }
void Store::tick() { mr_shard_tick(shard_); }

void Store::append(size_t n, bool told) {
    const mr_msg m{
        bytes("orders.new"), {nullptr, 0}, {reinterpret_cast<const uint8_t *>(payload_.data()), n}};
    mr_append_opts o{};
    o.want_done = told;
    mr_status s;
    while ((s = mr_append(stream_, &m, &o, nullptr)) == MR_BUSY) run();
    must_be_ok(s, "mr_append");
    if (told) asked_++;
}

void Store::run_until_told() {
    while (told_ < asked_) run();
}

size_t Store::get(uint64_t seq) {
    mr_wait w{};
    w.on_ready = [](mr_wait *) {};
    mr_msg_view v;
    mr_status s;
    while ((s = mr_get(stream_, seq, true, &w, &v)) == MR_LATER) run();
    must_be_ok(s, "mr_get");
    return v.msg.payload.n;
}

bool Store::consume() {
    mr_delivery d;
    mr_status s;
    const int64_t now = wall();
    while ((s = mr_consumer_next(consumer_, now, 0, 0, &d)) == MR_LATER) run();
    if (s == MR_NONE) return false;
    must_be_ok(s, "mr_consumer_next");
    mr_ack a{};
    a.kind = MR_ACK;
    a.seq = d.view.seq;
    a.consumer_seq = d.consumer_seq;
    must_be_ok(mr_consumer_ack(consumer_, &a, now), "mr_consumer_ack");
    return true;
}

uint64_t Store::last_seq() const {
    struct mr_stream_state s;
    mr_stream_state(stream_, &s);
    return s.last_seq;
}
