// Work split into parts that do not depend on the number of threads, so that neither does any result.
#pragma once

#include <atomic>
#include <cstdint>

#include <executorch/extension/threadpool/threadpool_guard.h>
#include <executorch/runtime/kernel/thread_parallel_interface.h>

namespace lerg {

constexpr int kMostLanes = 2;

// Below this many floats of work a call is cheaper on one thread than waking another.
constexpr int64_t kSerialWork = 1 << 16;

// Runs body(lane, part) for every part in [0, parts) of every lane, in any order and on any thread. `work` is the
// whole call's work in floats touched. Lanes are work on separate memory: a thread begins with the same lane in
// every call, so that what it wrote in the last one is in its own cache, and helps the others when that is done.
template <class Body>
void run_lanes(int lanes, int parts, int64_t work, const Body& body) {
  std::atomic<int> next[kMostLanes] = {};
  const auto drain = [&](int64_t thread, int64_t) {
    for (int turn = 0; turn < lanes; ++turn) {
      const int lane = static_cast<int>((thread + turn) % lanes);
      for (int part = next[lane].fetch_add(1); part < parts; part = next[lane].fetch_add(1)) body(lane, part);
    }
  };
  const int64_t tasks = int64_t(lanes) * parts;
  // Where the pool is not to be used, its lock is not waited for either.
  if (tasks > 1 && work > kSerialWork && !executorch::extension::threadpool::NoThreadPoolGuard::is_enabled()) {
    const int64_t threads = executorch::extension::get_thread_count();
    // A refusal to run in parallel leaves parts over; the drain below does them.
    (void)executorch::extension::parallel_for(0, threads < tasks ? threads : tasks, 1, drain);
  }
  drain(0, 0);
}

template <class Body>
void run_parts(int parts, int64_t work, const Body& body) {
  run_lanes(1, parts, work, [&](int, int part) { body(part); });
}

}  // namespace lerg
