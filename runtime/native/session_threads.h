// The number of threads that kernels run on: ExecuTorch's pool, one for the process.
#pragma once

#include <cstddef>
#include <mutex>
#include <shared_mutex>

namespace lerg {

size_t thread_count();

// Waits until no method of this library runs, then replaces the pool. count is at least 1.
void set_thread_count(size_t count);

// Held while a method runs, so that the pool stays.
class PoolInUse {
 public:
  PoolInUse();

 private:
  std::shared_lock<std::shared_mutex> lock_;
};

}  // namespace lerg
