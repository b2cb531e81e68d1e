// micro.cc - what the engine's parts cost, each followed by the physical limit it is read against
// ("limit/..."), measured in the same run on the same machine. README.md says how to read it.
#include <benchmark/benchmark.h>

#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "disk.h"
#include "store.h"
#include "units.h"

namespace {

using benchmark::State;

void count(State &s, uint64_t items, uint64_t bytes) {
    s.SetItemsProcessed(int64_t(items));
    if (bytes) s.SetBytesProcessed(int64_t(bytes));
}

// --- limits ---

void limit_memcpy(State &s) { // in cache
    const size_t n = size_t(s.range(0));
    std::vector<uint8_t> from(n, 1), to(n);
    for (auto _ : s) {
        std::memcpy(to.data(), from.data(), n);
        benchmark::ClobberMemory();
    }
    count(s, s.iterations(), s.iterations() * n);
}

void limit_memcpy_cold(State &s) { // each copy to memory that was not touched for 256 MiB
    const size_t n = size_t(s.range(0)), size = size_t(256) << 20;
    std::vector<uint8_t> from(n, 1), to(size);
    size_t at = 0;
    for (auto _ : s) {
        std::memcpy(to.data() + at, from.data(), n);
        benchmark::ClobberMemory();
        at = at + 2 * n < size ? at + n : 0;
    }
    count(s, s.iterations(), s.iterations() * n);
}

void limit_dram(State &s) {              // one dependent read of memory that no cache holds
    const size_t size = size_t(1) << 25; // 256 MiB
    static std::vector<uint64_t> next;
    if (next.empty()) {
        next.resize(size);
        uint64_t at = 0;
        for (size_t i = 0; i < size; i++) { // a full cycle: an LCG with these constants has period 2^25
            const uint64_t to = (at * 1664525 + 1013904223) % size;
            next[at] = to;
            at = to;
        }
    }
    uint64_t at = 0;
    for (auto _ : s) benchmark::DoNotOptimize(at = next[at]);
    count(s, s.iterations(), 0);
}

void limit_durable_write(State &s) {
    disk_file *f = disk_open(disk_folder(nullptr), size_t(64) << 20);
    const size_t n = size_t(s.range(0));
    for (auto _ : s) disk_write_durable(f, n);
    count(s, s.iterations(), s.iterations() * n);
    disk_close(f);
}

void limit_direct_read(State &s) {
    disk_file *f = disk_open(disk_folder(nullptr), size_t(128) << 20);
    const size_t n = size_t(s.range(0));
    uint64_t at = 0;
    for (auto _ : s) disk_read(f, at, n), at += n == size_t(1) << 20 ? n : 7919 * 4096;
    count(s, s.iterations(), s.iterations() * n);
    disk_close(f);
}

// --- parts ---

void crc(State &s, uint32_t (*f)(const void *, size_t)) {
    const size_t n = size_t(s.range(0));
    std::vector<uint8_t> v(n, 7);
    for (auto _ : s) benchmark::DoNotOptimize(f(v.data(), n));
    count(s, s.iterations(), s.iterations() * n);
}

void parse(State &s) {
    unit_wire *w = unit_wire_new(1000, size_t(s.range(0)));
    uint64_t ops = 0;
    for (auto _ : s) ops += unit_wire_parse(w);
    count(s, ops, s.iterations() * unit_wire_bytes(w));
    unit_wire_free(w);
}

void match(State &s, int wild) {
    unit_trie *t = unit_trie_new(size_t(s.range(0)), wild);
    std::minstd_rand r(1);
    for (auto _ : s) benchmark::DoNotOptimize(unit_trie_match(t, r()));
    count(s, s.iterations(), 0);
    unit_trie_free(t);
}

void index_get(State &s) {
    const uint64_t n = uint64_t(s.range(0));
    unit_index *x = unit_index_new(n);
    std::minstd_rand r(1);
    for (auto _ : s) benchmark::DoNotOptimize(unit_index_get(x, 1 + r() % n));
    count(s, s.iterations(), 0);
    unit_index_free(x);
}

// --- the store ---

constexpr size_t payload = 128;

void append_memory(State &s) { // a turn each 256 messages, as under load
    Store store({.memory = true, .max_msgs = 1000000});
    uint64_t n = 0;
    for (auto _ : s) {
        store.append(payload, false);
        if (++n % 256 == 0) store.tick();
    }
    count(s, n, n * payload);
}

void append_file(State &s) { // groups of messages, the next handed in when the last is on the disk
    const std::string path = std::string(disk_folder(nullptr)) + "/append";
    const uint64_t group = uint64_t(s.range(0)), before = disk_written();
    uint64_t n = 0;
    {
        Store store({.max_msgs = 500000, .path = path});
        for (auto _ : s) {
            for (uint64_t i = 0; i < group; i++) store.append(payload, i + 1 == group);
            store.run_until_told();
            n += group;
        }
    }
    count(s, n, n * payload);
    s.counters["written/payload"] = double(disk_written() - before) / double(n * payload);
    disk_remove(path.c_str());
}

void read_memory(State &s) {
    Store store({.memory = true});
    for (int i = 0; i < 1000000; i++) {
        store.append(payload, false);
        if (i % 256 == 255) store.tick();
    }
    store.tick();
    std::minstd_rand r(1);
    uint64_t bytes = 0;
    for (auto _ : s) bytes += store.get(1 + r() % 1000000);
    count(s, s.iterations(), bytes);
}

void fill(Store &store, uint64_t msgs, size_t n) {
    for (uint64_t i = 0; i < msgs; i++) store.append(n, i + 1 == msgs);
    store.run_until_told();
}

void read_file(State &s, bool in_order, size_t n, uint64_t msgs) {
    const std::string path = std::string(disk_folder(nullptr)) + "/read";
    {
        Store store({.path = path});
        fill(store, msgs, n);
    }
    {
        Store store({.path = path});
        std::minstd_rand r(1);
        uint64_t bytes = 0, seq = 0;
        for (auto _ : s) {
            seq = in_order ? seq % msgs + 1 : 1 + r() % msgs;
            bytes += store.get(seq);
            if (seq % 256 == 0) store.tick();
        }
        count(s, s.iterations(), bytes);
    }
    disk_remove(path.c_str());
}

void ack(State &s) { // next message and its plain acknowledgement
    Store store({.memory = true, .max_msgs = 2000000});
    uint64_t n = 0;
    for (auto _ : s) {
        if (!store.consume()) {
            s.PauseTiming();
            for (int i = 0; i < 100000; i++) {
                store.append(payload, false);
                if (i % 256 == 255) store.tick();
            }
            store.tick();
            s.ResumeTiming();
            if (!store.consume()) s.SkipWithError("nothing to consume");
        }
        if (++n % 256 == 0) store.tick();
    }
    count(s, s.iterations(), s.iterations() * payload);
}

void recover(State &s) { // open a store of 1,000,000 messages, all of it read and checked
    const std::string path = std::string(disk_folder(nullptr)) + "/recover";
    constexpr uint64_t msgs = 1000000;
    {
        Store store({.path = path});
        fill(store, msgs, payload);
    }
    for (auto _ : s) {
        Store store({.path = path});
        if (store.last_seq() != msgs) s.SkipWithError("messages are missing");
    }
    count(s, s.iterations() * msgs, s.iterations() * msgs * payload);
    disk_remove(path.c_str());
}

} // namespace

BENCHMARK_CAPTURE(crc, instruction, unit_crc)->Arg(64)->Arg(4096)->Arg(65536);
BENCHMARK_CAPTURE(crc, tables, unit_crc_tables)->Arg(4096);
BENCHMARK(limit_memcpy)->Name("limit/memcpy")->Arg(64)->Arg(4096)->Arg(65536);
BENCHMARK(parse)->Arg(16)->Arg(128)->Arg(1024);
BENCHMARK(limit_memcpy)->Name("limit/memcpy")->Arg(33000)->Arg(145000);
BENCHMARK_CAPTURE(match, literal, 0)->Arg(1000)->Arg(100000);
BENCHMARK_CAPTURE(match, wild, 1)->Arg(1000)->Arg(100000);
BENCHMARK(index_get)->Arg(1000)->Arg(1000000);
BENCHMARK(limit_dram)->Name("limit/one_read_of_memory");
BENCHMARK(append_memory);
BENCHMARK(read_memory);
BENCHMARK(ack);
BENCHMARK(limit_memcpy_cold)->Name("limit/memcpy_cold")->Arg(payload);
BENCHMARK(append_file)->Arg(1)->Arg(64)->Arg(1024)->MeasureProcessCPUTime()->UseRealTime();
BENCHMARK(limit_durable_write)
    ->Name("limit/durable_write")
    ->Arg(4096)
    ->Arg(12288)
    ->Arg(204800)
    ->UseRealTime();
BENCHMARK_CAPTURE(read_file, in_order_128, true, 128, 500000)->MeasureProcessCPUTime()->UseRealTime();
BENCHMARK_CAPTURE(read_file, anywhere_4096, false, 4096, 20000)->MeasureProcessCPUTime()->UseRealTime();
BENCHMARK(limit_direct_read)->Name("limit/direct_read")->Arg(4096)->Arg(8192)->Arg(131072)->UseRealTime();
BENCHMARK(recover)->MeasureProcessCPUTime()->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(limit_direct_read)->Name("limit/direct_read")->Arg(1 << 20)->UseRealTime();

BENCHMARK_MAIN();
