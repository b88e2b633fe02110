// The threads that kernels run on: ExecuTorch's pool, one for the process.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <shared_mutex>

namespace executorch::extension::threadpool {
struct NoThreadPoolGuard;
}

namespace lerg {

// Of the pool; 1 in a process that was forked from one whose pool had been made, because its threads stayed there.
size_t thread_count();

// Waits until no method of this library runs, then replaces the pool. count is at least 1. In a process that was forked
// from one with a pool nothing changes.
void set_thread_count(size_t count);

// Whether set_thread_count has been called in this process.
bool thread_count_was_set();

// Held while kernels run, so that the pool stays. One holder at a time has the pool; the others run on their own thread
// alone rather than wait for it, so that as many threads as call are busy. No result depends on which it is. Does not
// nest on a thread.
class PoolInUse {
 public:
  PoolInUse();
  ~PoolInUse();
  PoolInUse(const PoolInUse&) = delete;
  PoolInUse& operator=(const PoolInUse&) = delete;

 private:
  std::shared_lock<std::shared_mutex> stays_;
  std::unique_lock<std::mutex> turn_;
  std::unique_ptr<executorch::extension::threadpool::NoThreadPoolGuard> alone_;
};

}  // namespace lerg
