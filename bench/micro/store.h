// store.h - one stream of libmillrace with one consumer, on the calling thread, as an embedding program would
// hold it. Whatever goes wrong ends the program with a message: there is nothing to measure then.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

#include "millrace.h"

class Store {
  public:
    struct Options {
        bool memory = false;
        int64_t max_msgs = -1;
        std::string path; // file stores
    };
    explicit Store(const Options &o);
    ~Store();
    Store(const Store &) = delete;
    Store &operator=(const Store &) = delete;

    void append(size_t n, bool told); // a message of n bytes; told: on_done will say when it is durable
    void run_until_told();
    void tick();
    size_t get(uint64_t seq); // the payload's size
    bool consume();           // next message and a plain ack; false: nothing there
    uint64_t last_seq() const;

  private:
    static void on_done(void *ctx, const mr_done *done, size_t count);
    void run();
    mr_env *env_ = nullptr;
    mr_shard *shard_ = nullptr;
    mr_stream *stream_ = nullptr;
    mr_consumer *consumer_ = nullptr;
    uint64_t asked_ = 0, told_ = 0;
    std::string payload_;
};
